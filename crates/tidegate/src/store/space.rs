//! What the upload quota is held against: bytes that lie in the folder, and bytes on their way there.

use std::time::{Duration, Instant};

use crate::sync::{Mutex, MutexGuard, lock};

/// How often the folder may be counted anew while the quota is used up.
const RECOUNT: Duration = Duration::from_secs(1);

/// Bytes taken of the quota.
#[derive(Debug)]
pub(super) struct Space(Mutex<Taken>);

#[derive(Debug)]
struct Taken {
    /// The largest number where there is none.
    quota: u64,
    /// Bytes of the files in the folder, as last counted and added to since.
    kept: u64,
    /// Bytes of uploads that are being stored.
    under_way: u64,
    counted: Option<Instant>,
}

/// Bytes of an upload that is being stored. When this is dropped, also by a panic, they count as kept or not at all.
#[derive(Debug)]
pub(super) struct UnderWay<'s> {
    space: &'s Space,
    size: u64,
    /// Whether they are kept.
    pub(super) stored: bool,
}

impl Space {
    /// Without a quota.
    pub(super) fn new() -> Self {
        Self(Mutex::new(Taken { quota: u64::MAX, kept: 0, under_way: 0, counted: None }))
    }

    /// Changes the quota in bytes; `None` means none. The folder is counted by `count` when there is one;
    /// where that fails, what was known of it holds.
    pub(super) fn set_quota(&self, quota: Option<u64>, count: impl Fn() -> Option<u64>) {
        let mut taken = self.lock();
        taken.quota = quota.unwrap_or(u64::MAX);
        if quota.is_some() {
            taken.kept = count().unwrap_or(taken.kept);
        }
    }

    /// Takes `size` bytes for an upload, or says that the quota is used up by `None`. Where it seems so, the folder is
    /// counted anew, for files may have been removed from outside; but not for every refusal. An upload that is linked
    /// and not yet finished then counts twice for a moment, which errs to the safe side.
    pub(super) fn reserve(&self, size: u64, count: impl Fn() -> Option<u64>) -> Option<UnderWay<'_>> {
        let mut taken = self.lock();
        if !taken.has_room(size) && taken.counted.is_none_or(|last| last.elapsed() >= RECOUNT) {
            taken.counted = Some(Instant::now());
            taken.kept = count().unwrap_or(taken.kept);
        }
        if !taken.has_room(size) {
            return None;
        }
        taken.under_way = taken.under_way.saturating_add(size);
        Some(UnderWay { space: self, size, stored: false })
    }

    /// Lets the folder be counted anew at once.
    #[cfg(test)]
    pub(super) fn forget_when(&self) {
        self.lock().counted = None;
    }

    /// Bytes that are kept, and bytes on their way.
    #[cfg(all(test, feature = "shuttle"))]
    pub(super) fn counters(&self) -> (u64, u64) {
        let taken = self.lock();
        (taken.kept, taken.under_way)
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        lock(&self.0)
    }
}

impl Taken {
    fn has_room(&self, size: u64) -> bool {
        let total = self.kept.saturating_add(self.under_way).saturating_add(size);
        total <= self.quota
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut taken = self.space.lock();
        taken.under_way = taken.under_way.saturating_sub(self.size);
        if self.stored {
            taken.kept = taken.kept.saturating_add(self.size);
        }
    }
}
