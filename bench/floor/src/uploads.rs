//! Durable files one after another, on some threads: an unnamed file, its bytes, fsync, a link, fsync of the folder.
//!
//! These are the steps behind each 201 of tidegate (UP-4), without HTTP. The last one each thread does for itself, or one
//! does it for all who wait ([`Group`]), as in tidegate: the difference is what sharing saves.

use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fsync, linkat, open};

use crate::group::Group;

/// As large as what the clients of the bench post.
const FILE: usize = 1024;

/// Who syncs the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FolderSync {
    /// Each thread, after each of its files.
    Each,
    /// One for all who wait.
    Shared,
}

/// Stores files in `folder` on `threads` threads until `time` is over; gives how many were stored in a second.
/// They are left there.
///
/// # Errors
///
/// The first error of any thread. `folder` must be on a file system that has unnamed files, and `/proc` mounted.
pub(crate) fn store(folder: &Path, threads: usize, time: Duration, sync: FolderSync) -> io::Result<f64> {
    let next = AtomicU64::new(0);
    let group = (sync == FolderSync::Shared).then(Group::default);
    let begun = Instant::now();
    let end = begun + time;
    let stored: io::Result<u64> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| store_until(end, folder, &next, group.as_ref()))).collect();
        let ended = threads.into_iter().map(|thread| match thread.join() {
            Ok(stored) => stored,
            Err(_) => Err(io::Error::other("a thread panicked")),
        });
        ended.sum()
    });
    // The last syncs end after the time: they count, and so does the time they took.
    Ok(stored? as f64 / begun.elapsed().as_secs_f64())
}

fn store_until(end: Instant, folder: &Path, next: &AtomicU64, group: Option<&Group>) -> io::Result<u64> {
    let directory = open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let body = [b'x'; FILE];
    let mut stored = 0;
    while Instant::now() < end {
        let name = format!("{}.json", next.fetch_add(1, Ordering::Relaxed));
        let mode = Mode::RUSR | Mode::WUSR;
        let unnamed = open(folder, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, mode)?;
        let mut file = std::fs::File::from(unnamed);
        file.write_all(&body)?;
        fsync(&file)?;
        // Root could link the descriptor itself; this way everybody can.
        let open_file = format!("/proc/self/fd/{}", file.as_raw_fd());
        linkat(CWD, open_file, &directory, name, AtFlags::SYMLINK_FOLLOW)?;
        match group {
            Some(group) => group.wait(|| Ok(fsync(&directory)?))?,
            None => fsync(&directory)?,
        }
        stored += 1;
    }
    Ok(stored)
}
