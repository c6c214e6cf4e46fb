//! What tells one version of a file from another: identity, ETag and Last-Modified (RFC 9110 §8.8).

use std::hash::{Hash, Hasher};
use std::time::{Duration, SystemTime};

/// A version of a file, as the file system tells it (SPEC FILE-7). `ctime` changes with every change of
/// content, even where a writer sets `mtime` back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Device and inode.
    pub file: (u64, u64),
    /// Bytes.
    pub size: u64,
    /// Modification time: seconds and nanoseconds.
    pub modified: (i64, u32),
    /// Change time: seconds and nanoseconds.
    pub changed: (i64, u32),
}

/// A change within this time before the look may be followed by another that leaves the same stamps: kernels stamp
/// files with a clock that ticks every 1 to 10 ms.
pub const STAMP_TICK: Duration = Duration::from_millis(20);
/// The same for file systems that keep whole seconds only.
const COARSE_STAMP_TICK: Duration = Duration::from_secs(2);

impl Identity {
    /// Whether `later`, seen behind the same descriptor, has the same bytes. A file that is replaced or renamed
    /// gets another change time though nobody wrote to it.
    pub fn has_the_bytes_of(&self, later: &Self) -> bool {
        (self.size, self.modified) == (later.size, later.modified)
    }

    /// Whether it was modified at the same time as `other`, or later. A tool that copies the time of one file to
    /// another in whole seconds, as brotli(1) does, means the same time.
    pub fn is_no_older_than(&self, other: &Self) -> bool {
        match self.modified {
            (second, 0) => second >= other.modified.0,
            modified => modified >= other.modified,
        }
    }

    /// The strong entity-tag with its quotes.
    pub fn etag(&self) -> String {
        // Any fixed hash does: what matters is that two versions differ, and no inode number is shown.
        let mut hasher = std::hash::DefaultHasher::new();
        self.hash(&mut hasher);
        format!("\"{:016x}\"", hasher.finish())
    }

    /// When the content was last modified, in whole seconds, never later than `now` (RFC 9110 §8.8.2.1).
    pub fn last_modified(&self, now: SystemTime) -> SystemTime {
        let seconds = u64::try_from(self.modified.0).unwrap_or(0);
        (SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).min(now)
    }

    /// Whether the file changed so shortly before `now` that a write may still be under way.
    pub fn is_changing(&self, now: SystemTime) -> bool {
        self.changed_within(STAMP_TICK, now)
    }

    /// Whether any change after `now` will leave other stamps than these. A version of which that is not true must
    /// not be remembered: it may change unseen.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let coarse = self.changed.1 == 0 && self.modified.1 == 0;
        !self.changed_within(if coarse { COARSE_STAMP_TICK } else { STAMP_TICK }, now)
    }

    /// A change in the future, as after a clock was set back, counts as of this moment.
    fn changed_within(&self, time: Duration, now: SystemTime) -> bool {
        let seconds = u64::try_from(self.changed.0).unwrap_or(0);
        let changed = SystemTime::UNIX_EPOCH + Duration::new(seconds, self.changed.1.min(999_999_999));
        now.duration_since(changed).map_or(true, |age| age < time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Identity = Identity { file: (1, 2), size: 3, modified: (1_000, 5), changed: (1_000, 5) };

    #[test]
    fn file_5_each_part_of_the_identity_changes_the_etag() {
        let tags = [
            FILE,
            Identity { file: (1, 9), ..FILE },
            Identity { size: 4, ..FILE },
            Identity { modified: (1_000, 6), ..FILE },
            Identity { changed: (1_001, 5), ..FILE },
        ]
        .map(|identity| identity.etag());
        for (index, tag) in tags.iter().enumerate() {
            assert!(tag.len() == 18 && tag.starts_with('"') && tag.ends_with('"'));
            assert!(!tags[..index].contains(tag));
        }
    }

    #[test]
    fn file_7_a_file_that_is_replaced_keeps_its_bytes() {
        assert!(FILE.has_the_bytes_of(&Identity { changed: (2_000, 0), ..FILE }));
        assert!(!FILE.has_the_bytes_of(&Identity { modified: (1_000, 6), ..FILE }));
        assert!(!FILE.has_the_bytes_of(&Identity { size: 2, ..FILE }));
    }

    #[test]
    fn file_6_a_time_in_whole_seconds_is_no_older_than_its_second() {
        let at = |modified| Identity { modified, ..FILE };
        for (coded, file, holds) in [
            ((5, 7), (5, 7), true),
            ((5, 8), (5, 7), true),
            ((5, 6), (5, 7), false),
            ((5, 0), (5, 7), true),
            ((4, 0), (5, 7), false),
            ((4, 9), (5, 0), false),
        ] {
            assert_eq!(at(coded).is_no_older_than(&at(file)), holds, "{coded:?} {file:?}");
        }
    }

    #[test]
    fn file_5_last_modified_is_never_in_the_future() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(500);
        assert_eq!(FILE.last_modified(now), now);
    }

    #[test]
    fn file_7_a_change_of_this_very_moment_is_not_trusted() {
        let changed = SystemTime::UNIX_EPOCH + Duration::new(1_000, 5);
        for (age, changing, settled) in [(3, true, false), (300, false, true)] {
            let now = changed + Duration::from_millis(age);
            assert_eq!((FILE.is_changing(now), FILE.is_settled(now)), (changing, settled), "{age} ms");
        }
        assert!(!FILE.is_settled(changed - Duration::from_secs(60)), "a change in the future");
    }

    #[test]
    fn file_7_whole_second_stamps_settle_later() {
        let coarse = Identity { modified: (1_000, 0), changed: (1_000, 0), ..FILE };
        let at = |millis| SystemTime::UNIX_EPOCH + Duration::from_secs(1_000) + Duration::from_millis(millis);
        assert!(!coarse.is_settled(at(1_500)) && coarse.is_settled(at(2_100)));
        assert!(!coarse.is_changing(at(1_500)));
    }
}
