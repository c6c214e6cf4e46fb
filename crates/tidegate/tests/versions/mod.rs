//! Files whose bytes tell their version: its number over and over in words of eight bytes, so that a mix, a hole and
//! padding all show.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

/// `size` bytes of a version; words at the end are whole.
pub fn content(version: usize, size: usize) -> Vec<u8> {
    format!("{version:07}\n").into_bytes().repeat(size / 8)
}

/// Whether every word is as the one before it.
pub fn is_even(body: &[u8]) -> bool {
    body.len() < 8 || body[8..] == body[..body.len() - 8]
}

/// The version that a word is of; `None` where it was never written.
pub fn number(word: &[u8]) -> Option<usize> {
    std::str::from_utf8(word.get(..7)?).ok()?.parse().ok()
}

/// How many times as much as otherwise is done: `RACES_ROUNDS`, for a long run.
pub fn rounds() -> u32 {
    let asked = std::env::var("RACES_ROUNDS").ok();
    asked.map_or(1, |number| number.parse().unwrap_or_else(|_| panic!("RACES_ROUNDS is a number")))
}
