//! How the limit of open files is shared out: connections, answers to those who get no seat, remembered files.

use std::io;
use std::os::fd::OwnedFd;

use crate::config::Settings;
use crate::handlers::files::cache::Room;

/// How many connections there may be: what is asked for, or what the limit of open files leaves after a reserve
/// for files, listeners and logs (SPEC RUN-1).
pub(super) fn connections(settings: &Settings, descriptors: Option<u64>) -> usize {
    /// Descriptors for everything that is not a connection.
    const RESERVE: u64 = 64;
    let available = descriptors.unwrap_or(u64::MAX);
    // Where 64 would be most of what there is, connections get half.
    let room = available.saturating_sub(RESERVE.min(available / 2)).max(1);
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    settings.limits.max_connections.unwrap_or(room).min(room)
}

/// Sees that there are descriptors left for a connection and a file: a server that can accept nobody has not started.
///
/// # Errors
/// `EMFILE` or `ENFILE`.
pub(super) fn spare(any: &OwnedFd) -> io::Result<()> {
    /// A connection, a file that it asks for, a path on the way there, and one to be told that there is no more.
    const LEAST: usize = 4;
    (0..LEAST).map(|_| any.try_clone()).collect::<io::Result<Vec<_>>>().map(drop)
}

/// Connections over the cap that may linger while they are told so: they hold descriptors too, but never most of
/// those that are left.
pub(super) fn courtesy(descriptors: Option<u64>, cap: usize) -> usize {
    /// Enough for a burst; a flood need not be told one by one.
    const MOST: usize = 128;
    let spare =
        descriptors.map_or(usize::MAX, |all| usize::try_from(all).unwrap_or(usize::MAX).saturating_sub(cap));
    (spare / 8).min(MOST)
}

/// What one cache of a worker may remember. Open files: all caches together take at most a quarter of what
/// connections leave. Memory: all together have 128 MiB, however many workers there are.
pub(super) fn remembered(descriptors: Option<u64>, cap: usize, workers: usize) -> Room {
    /// More descriptors would save few system calls.
    const MOST: u64 = 256;
    /// The files of the root, and the stored uploads. (The pages for refusals have little of their own.)
    const CACHES: u64 = 2;
    /// In bytes, for all caches together.
    const MEMORY: u64 = 128 * 1024 * 1024;
    /// Below this a cache holds too few files to be of use; above it holds more than a site's most wanted ones.
    const MEMORY_EACH: std::ops::RangeInclusive<u64> = 4 * 1024 * 1024..=32 * 1024 * 1024;
    let caches = CACHES * (workers as u64).max(1);
    let spare = descriptors.map_or(u64::MAX, |all| all.saturating_sub(cap as u64));
    Room {
        memory: (MEMORY / caches).clamp(*MEMORY_EACH.start(), *MEMORY_EACH.end()),
        descriptors: (spare / 4 / caches).clamp(1, MOST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_1_connections_leave_a_reserve_of_descriptors() {
        let command = crate::config::parse(["tidegate"].map(Into::into).into_iter());
        let Ok(crate::config::Command::Serve(invocation)) = command else { panic!("serve is the default") };
        let mut settings = invocation.resolve(&crate::config::Environment::default()).unwrap();
        assert_eq!(connections(&settings, Some(20_000)), 10_000);
        assert_eq!(connections(&settings, Some(1024)), 960);
        assert_eq!(connections(&settings, Some(64)), 32);
        assert_eq!(connections(&settings, Some(1)), 1);
        settings.limits.max_connections = None;
        assert_eq!(connections(&settings, Some(20_000)), 19_936);
        assert_eq!(courtesy(Some(64), 32), 4);
        assert_eq!(courtesy(None, 10), 128);
        let remembered = |limit, cap, workers| {
            let Room { memory, descriptors } = remembered(limit, cap, workers);
            (memory / 1024 / 1024, descriptors)
        };
        assert_eq!(remembered(Some(64), 32, 2), (32, 2));
        assert_eq!(remembered(Some(1024), 960, 2), (32, 4));
        assert_eq!(remembered(None, 10_000, 8), (8, 256));
        assert_eq!(remembered(None, 10_000, 1000), (4, 256));
    }
}
