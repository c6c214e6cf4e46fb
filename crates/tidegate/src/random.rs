//! Random bytes from the kernel.

/// Eight random bytes; the time of day stands in should the kernel refuse, which it does not since 3.17.
pub fn bytes() -> [u8; 8] {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(8) => bytes,
        _ => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            now.as_nanos().to_le_bytes().first_chunk().copied().unwrap_or_default()
        }
    }
}

/// A random number that nobody can guess.
pub fn number() -> u64 {
    u64::from_le_bytes(bytes())
}

/// Ids for exchanges: a walk through all 64-bit numbers from a random start, mixed so that neighbours do
/// not look alike (splitmix64).
#[derive(Debug)]
pub struct Ids(std::cell::Cell<u64>);

impl Ids {
    /// A walk from a random start.
    pub fn new() -> Self {
        Self(std::cell::Cell::new(number()))
    }

    /// The next id.
    #[inline]
    pub fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Default for Ids {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_4_ids_do_not_repeat() {
        let ids = Ids::new();
        let seen: std::collections::HashSet<_> = (0..10_000).map(|_| ids.next()).collect();
        assert_eq!(seen.len(), 10_000);
    }
}
