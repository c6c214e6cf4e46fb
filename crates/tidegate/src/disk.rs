//! Open files as a worker may use them: looked at and read without ever waiting for a disk. What would wait is for the
//! pool.

use std::io;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::SystemTime;

use rustix::fs::{AtFlags, FileType, MemfdFlags, SealFlags, Statx, StatxFlags};
use rustix::io::{Errno, ReadWriteFlags};

use crate::http::validators::Identity;
use crate::net::sys;
use crate::pool::Pool;

/// Only a disk knows: ask it from a pool thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WouldBlock;

/// What kind of file a descriptor is, and which version.
///
/// # Errors
/// Whatever `statx` reports.
pub fn inspect(fd: impl AsFd) -> rustix::io::Result<(FileType, Identity)> {
    let stat = stat(fd)?;
    Ok((FileType::from_raw_mode(stat.stx_mode.into()), identity(&stat)))
}

/// Which version of a file the descriptor is now.
///
/// # Errors
/// Whatever `statx` reports.
pub fn identity_of(fd: impl AsFd) -> rustix::io::Result<Identity> {
    stat(fd).map(|stat| identity(&stat))
}

/// A version of a file, and whether it can be trusted to stay until its stamps change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// What it is.
    pub identity: Identity,
    /// Whether nobody was in the middle of writing it. A write stamps a file before it copies its bytes, however long
    /// that takes; where the kernel does not tell who has the file open, that it changed some time ago must do.
    pub whole: bool,
}

/// Which version of a file the descriptor, open for reading, is now.
///
/// # Errors
/// Whatever `statx` reports.
pub fn version(fd: impl AsFd) -> rustix::io::Result<Version> {
    let look = || Ok(identity(&stat(&fd)?));
    let (identity, quiet) = match sys::while_nobody_writes(&fd, look) {
        Ok(Some(identity)) => (identity?, true),
        Ok(None) => (look()?, false),
        Err(_) => (look()?, true),
    };
    Ok(Version { identity, whole: quiet && !identity.is_changing(SystemTime::now()) })
}

/// Whether the descriptor still has the bytes of `version`. A file whose last name was taken away, as by a rename over
/// it, has got another change time though nobody wrote to it.
pub fn is_unchanged(fd: impl AsFd, version: &Identity) -> bool {
    stat(fd).is_ok_and(|stat| {
        let now = identity(&stat);
        now == *version || stat.stx_nlink == 0 && version.has_the_bytes_of(&now)
    })
}

/// Reads what is in memory of the bytes at `offset`: at least one, unless the file ends there.
///
/// # Errors
/// `Ok(Err(WouldBlock))` where the first of them is not, or the file system cannot tell.
pub fn read_cached(
    fd: impl AsFd,
    into: &mut [u8],
    offset: u64,
) -> rustix::io::Result<Result<usize, WouldBlock>> {
    loop {
        let mut part = [io::IoSliceMut::new(into)];
        match rustix::io::preadv2(&fd, &mut part, offset, ReadWriteFlags::NOWAIT) {
            Ok(count) => return Ok(Ok(count)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN | Errno::OPNOTSUPP) => return Ok(Err(WouldBlock)),
            Err(errno) => return Err(errno),
        }
    }
}

/// Reads the bytes at `offset` until `into` is full or the file ends; waits for the disk.
///
/// # Errors
/// Whatever `pread` reports.
pub fn read(fd: impl AsFd, into: &mut [u8], offset: u64) -> rustix::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(&fd, rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}

/// The descriptor of an open file. Where closing it takes time (a network file system writes back on close, and waits
/// for it) a pool thread closes it, whoever lets go of it last.
#[derive(Debug)]
pub struct Descriptor {
    /// Taken on drop and never before.
    fd: Option<OwnedFd>,
    closer: Option<Pool>,
}

impl Descriptor {
    /// `fd`, to be closed by `closer`, or by whoever drops it.
    pub fn new(fd: OwnedFd, closer: Option<Pool>) -> Self {
        Self { fd: Some(fd), closer }
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.fd {
            Some(fd) => fd.as_fd(),
            None => unreachable!("it is there until it is dropped"),
        }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if let (Some(fd), Some(pool)) = (self.fd.take(), &self.closer) {
            pool.run_later("closing a file", move || drop(fd));
        }
    }
}

/// Bytes in a file of memory that nobody can change: what is sent from it by reference stays what it was.
#[derive(Debug)]
pub struct Sealed {
    fd: OwnedFd,
    length: usize,
    /// The bytes in our own memory, once somebody has to read them.
    mapping: OnceLock<sys::Mapping>,
}

/// Sealed bytes of this process, and how many there may be: twice what all caches hold, for those that are still being
/// sent when a cache has let go of them.
static SEALED: AtomicUsize = AtomicUsize::new(0);
const SEALED_MOST: usize = 256 * 1024 * 1024;

impl Sealed {
    /// A copy of `bytes`.
    ///
    /// # Errors
    /// Where there is no descriptor or no memory left, `NOMEM` also beyond a bound of our own.
    pub fn new(bytes: &[u8]) -> rustix::io::Result<Self> {
        if SEALED.load(Relaxed).saturating_add(bytes.len()) > SEALED_MOST {
            return Err(Errno::NOMEM);
        }
        let fd = rustix::fs::memfd_create("tidegate", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let mut written = 0;
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match rustix::io::write(&fd, rest)? {
                0 => return Err(Errno::IO),
                more => written += more,
            }
        }
        rustix::fs::fcntl_add_seals(
            &fd,
            SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL,
        )?;
        SEALED.fetch_add(bytes.len(), Relaxed);
        Ok(Self { fd, length: bytes.len(), mapping: OnceLock::new() })
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The bytes, for what cannot take them by reference to the file: they are mapped when this is first asked.
    ///
    /// # Errors
    /// `ENOMEM`
    pub fn bytes(&self) -> io::Result<&[u8]> {
        let Some(length) = NonZeroUsize::new(self.length) else { return Ok(&[]) };
        if let Some(mapping) = self.mapping.get() {
            return Ok(mapping);
        }
        let mapping = sys::Mapping::of_sealed(&self.fd, length)?;
        Ok(self.mapping.get_or_init(|| mapping))
    }
}

impl Drop for Sealed {
    fn drop(&mut self) {
        SEALED.fetch_sub(self.length, Relaxed);
    }
}

impl AsFd for Sealed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// How far apart the bytes are that [`is_in_memory`] reads: the least that any kernel reads ahead.
const PROBE: usize = 64 * 1024;

/// Whether all of `part` is in memory: every page is in the cache, and some bytes show that pages are not only on their
/// way there. Before Linux 6.5, which does not count pages, those bytes stand for all.
pub fn is_in_memory(fd: impl AsFd, part: Range<u64>) -> bool {
    if matches!(sys::is_in_page_cache(&fd, part.clone()), Ok(false)) {
        return false;
    }
    let last = part.end.saturating_sub(1);
    let mut byte = [0];
    let mut probe = |offset| matches!(read_cached(&fd, &mut byte, offset), Ok(Ok(_)));
    std::iter::once(last).chain(part.step_by(PROBE)).all(&mut probe)
}

fn stat(fd: impl AsFd) -> rustix::io::Result<Statx> {
    rustix::fs::statx(fd, "", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, StatxFlags::BASIC_STATS)
}

fn identity(stat: &Statx) -> Identity {
    let device = (u64::from(stat.stx_dev_major) << 32) | u64::from(stat.stx_dev_minor);
    Identity {
        file: (device, stat.stx_ino),
        size: stat.stx_size,
        modified: (stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
        changed: (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Write;

    fn written(bytes: &[u8]) -> (std::path::PathBuf, File) {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tidegate-disk-{}-{number}", std::process::id()));
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.write_all(bytes).unwrap();
        (path, file)
    }

    #[test]
    fn load_1_what_was_just_written_is_in_memory_and_read_at_once() {
        let (path, file) = written(&[7; 300_000]);
        assert!(is_in_memory(&file, 0..300_000));
        let mut bytes = [0; 10];
        assert_eq!(read_cached(&file, &mut bytes, 299_995), Ok(Ok(5)));
        assert_eq!(read(&file, &mut bytes, 299_998), Ok(2));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn load_1_what_was_dropped_from_memory_is_seen_to_be_gone() {
        let (path, file) = written(&[7; 300_000]);
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        if !rustix::fs::fstatfs(&file).is_ok_and(|stat| stat.f_type == 0x0102_1994) {
            // A tmpfs keeps everything in memory.
            assert!(!is_in_memory(&file, 0..300_000));
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn file_7_sealed_bytes_cannot_be_changed() {
        let sealed = Sealed::new(&[7; 100_000]).unwrap();
        let mut bytes = vec![0; 100_001];
        assert_eq!(read(&sealed, &mut bytes, 0), Ok(100_000));
        assert!(bytes.iter().take(100_000).all(|byte| *byte == 7));
        assert_eq!(sealed.bytes().unwrap(), &bytes[..100_000]);
        assert_eq!(Sealed::new(&[]).unwrap().bytes().unwrap(), b"");
        assert_eq!(rustix::io::pwrite(&sealed, b"x", 0), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&sealed, 5), Err(Errno::PERM));
    }

    #[test]
    fn file_7_an_unlinked_file_keeps_its_bytes_and_an_edited_one_does_not() {
        let (path, mut file) = written(b"one");
        let version = identity_of(&file).unwrap();
        std::thread::sleep(crate::http::validators::STAMP_TICK);
        std::fs::remove_file(&path).unwrap();
        assert_ne!(identity_of(&file).unwrap(), version);
        assert!(is_unchanged(&file, &version));
        file.write_all(b"two").unwrap();
        assert!(!is_unchanged(&file, &version));
    }

    #[test]
    fn file_7_a_modification_time_that_is_set_back_hides_nothing() {
        let (path, mut file) = written(b"one");
        let (version, modified) = (identity_of(&file).unwrap(), file.metadata().unwrap().modified().unwrap());
        std::thread::sleep(crate::http::validators::STAMP_TICK);
        std::io::Seek::rewind(&mut file).unwrap();
        file.write_all(b"two").unwrap();
        file.set_modified(modified).unwrap();
        assert!(version.has_the_bytes_of(&identity_of(&file).unwrap()));
        assert!(!is_unchanged(&file, &version));
        std::fs::remove_file(path).unwrap();
    }
}
