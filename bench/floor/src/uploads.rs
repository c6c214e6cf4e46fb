//! Durable files one after another, on some threads: an unnamed file, its bytes, fsync, a link, fsync of the folder.
//!
//! These are the steps behind each 201 of tidegate (UP-4), without HTTP and without a shared sync.

use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, fsync, linkat, open};

/// As large as what the clients of the bench post.
const FILE: usize = 1024;

/// Stores files in `folder` on `threads` threads until `time` is over; gives how many were stored in a second.
/// They are left there.
///
/// # Errors
///
/// The first error of any thread. `folder` must be on a file system that has unnamed files, and `/proc` mounted.
pub(crate) fn store(folder: &Path, threads: usize, time: Duration) -> io::Result<f64> {
    let next = AtomicU64::new(0);
    let begun = Instant::now();
    let end = begun + time;
    let stored: io::Result<u64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(|| store_until(end, folder, &next))).collect();
        let ended = threads.into_iter().map(|thread| match thread.join() {
            Ok(stored) => stored,
            Err(_) => Err(io::Error::other("a thread panicked")),
        });
        ended.sum()
    });
    // The last syncs end after the time: they count, and so does the time they took.
    Ok(stored? as f64 / begun.elapsed().as_secs_f64())
}

fn store_until(end: Instant, folder: &Path, next: &AtomicU64) -> io::Result<u64> {
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
        fsync(&directory)?;
        stored += 1;
    }
    Ok(stored)
}
