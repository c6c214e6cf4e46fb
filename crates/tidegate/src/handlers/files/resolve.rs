//! From a name to an open file beneath the root, with the kernel as the judge (`openat2`, SPEC FILE-4).
//!
//! The same look-up runs in two ways. [`Effort::Cached`] is for a worker: it gives up with [`WouldBlock`] as
//! soon as the kernel would have to wait for a disk (`RESOLVE_CACHED`, `RWF_NOWAIT`). [`Effort::Blocking`] is
//! for a pool thread.
//!
//! A name is first opened as a mere path (`O_PATH`), which runs no driver and wakes no FIFO; only a regular
//! file is then opened for reading, and judged again by its descriptor.

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::SystemTime;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags};
use rustix::io::{Errno, ReadWriteFlags};

use crate::http::validators::{Identity, STAMP_TICK};

/// Files up to this size are kept in memory; larger ones go out by `sendfile`. 64 KiB is where one copy
/// costs as much as the extra system call.
pub const SMALL: u64 = 64 * 1024;

/// How often a small file is read again that changed while it was read.
const READ_TRIES: usize = 4;

/// How often a look-up beneath the root is tried again: the kernel gives up on a link with `..` in it whenever
/// anything on the machine was renamed meanwhile (openat2(2), `EAGAIN`).
const OPEN_TRIES: usize = 1000;

/// How far a look-up may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Only as far as nothing blocks.
    Cached,
    /// As far as it takes.
    Blocking,
}

/// A look-up that a worker must hand to the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WouldBlock;

/// What a name stands for.
#[derive(Debug)]
pub enum Found {
    /// A regular file.
    File(OpenedFile),
    /// A folder named without its trailing slash.
    Folder,
    /// Nothing that is served: no such file, or neither file nor folder.
    Nothing,
    /// A symbolic link led out of the root.
    Outside,
    /// The file system refuses to read it.
    Unreadable,
    /// Something went wrong.
    Failed(io::Error),
}

/// A regular file, opened.
#[derive(Debug)]
pub struct OpenedFile {
    /// The descriptor.
    pub fd: OwnedFd,
    /// Which version of the file it is.
    pub identity: Identity,
    /// The whole content, where it is small.
    pub content: Option<Vec<u8>>,
    /// Whether a later change will show in the identity: only then may this version be remembered.
    pub settled: bool,
}

/// Looks `name` up beneath `root`: a file, or `index.html` where the name is a folder's (empty, or with a
/// trailing slash).
///
/// # Errors
/// [`WouldBlock`] only with [`Effort::Cached`].
pub fn look(root: BorrowedFd<'_>, name: &str, effort: Effort) -> Result<Found, WouldBlock> {
    let file = file_name(name);
    match open(root, &file, effort) {
        // A folder's index is a file, or there is none.
        Ok(Found::Folder) if file != name => Ok(Found::Nothing),
        Ok(found) => Ok(found),
        Err(Errno::AGAIN) if effort == Effort::Cached => Err(WouldBlock),
        Err(errno) => Ok(found_for(errno)),
    }
}

/// The identity of the file that `name` leads to now, without opening it.
///
/// # Errors
/// [`WouldBlock`] where only a disk knows. A name that leads to no regular file gives `Ok(None)`.
pub fn identify(root: BorrowedFd<'_>, name: &str) -> Result<Option<Identity>, WouldBlock> {
    let probe =
        open_beneath(root, &file_name(name), OFlags::PATH, Effort::Cached).and_then(|path| inspect(&path));
    match probe {
        Ok((FileType::RegularFile, identity)) => Ok(Some(identity)),
        Ok(_) => Ok(None),
        Err(Errno::AGAIN) => Err(WouldBlock),
        Err(_) => Ok(None),
    }
}

/// The file that a name stands for: a folder stands for its index.
pub fn file_name(name: &str) -> Cow<'_, str> {
    if name.is_empty() || name.ends_with('/') { format!("{name}index.html").into() } else { name.into() }
}

fn open(root: BorrowedFd<'_>, name: &str, effort: Effort) -> rustix::io::Result<Found> {
    let path = open_beneath(root, name, OFlags::PATH, effort)?;
    match inspect(&path)?.0 {
        FileType::Directory => return Ok(Found::Folder),
        FileType::RegularFile => {}
        _ => return Ok(Found::Nothing),
    }
    if effort == Effort::Cached && !opens_at_once(&path) {
        return Err(Errno::AGAIN);
    }
    // Between the two look-ups the name may have been given to something else, so the file opened is judged
    // again; NONBLOCK and NOCTTY make even that opening harmless.
    let fd = open_beneath(root, name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, effort)?;
    let looked = SystemTime::now();
    let (kind, identity) = inspect(&fd)?;
    if kind != FileType::RegularFile {
        return Ok(Found::Nothing);
    }
    let (identity, content) = read_small(&fd, identity, effort)?;
    let settled = identity.is_settled(looked);
    Ok(Found::File(OpenedFile { fd, identity, content, settled }))
}

fn open_beneath(
    root: BorrowedFd<'_>,
    name: &str,
    flags: OFlags,
    effort: Effort,
) -> rustix::io::Result<OwnedFd> {
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let open = |resolve| rustix::fs::openat2(root, name, flags | OFlags::CLOEXEC, Mode::empty(), resolve);
    if effort == Effort::Cached {
        return open(beneath | ResolveFlags::CACHED);
    }
    let mut opened = open(beneath);
    for _ in 1..OPEN_TRIES {
        if !matches!(opened, Err(Errno::AGAIN)) {
            break;
        }
        std::thread::yield_now();
        opened = open(beneath);
    }
    opened
}

/// What kind of file a descriptor is, and which version.
fn inspect(fd: impl AsFd) -> rustix::io::Result<(FileType, Identity)> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = rustix::fs::statx(fd, "", flags, StatxFlags::BASIC_STATS)?;
    let device = (u64::from(stat.stx_dev_major) << 32) | u64::from(stat.stx_dev_minor);
    let identity = Identity {
        file: (device, stat.stx_ino),
        size: stat.stx_size,
        modified: (stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
        changed: (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
    };
    Ok((FileType::from_raw_mode(stat.stx_mode.into()), identity))
}

/// Which version of a file the descriptor is now.
///
/// # Errors
/// Whatever `statx` reports.
pub fn identity_of(fd: impl AsFd) -> io::Result<Identity> {
    Ok(inspect(fd)?.1)
}

/// Whether opening a file of this file system asks nobody: true for those that keep all they need in
/// memory, false for FUSE, NFS and whatever is not known here.
fn opens_at_once(path: &OwnedFd) -> bool {
    const EXT4: u32 = 0xef53;
    const XFS: u32 = 0x5846_5342;
    const BTRFS: u32 = 0x9123_683e;
    const TMPFS: u32 = 0x0102_1994;
    const OVERLAY: u32 = 0x794c_7630;
    const F2FS: u32 = 0xf2f5_2010;
    let Ok(stat) = rustix::fs::fstatfs(path) else { return false };
    u32::try_from(stat.f_type).is_ok_and(|magic| [EXT4, XFS, BTRFS, TMPFS, OVERLAY, F2FS].contains(&magic))
}

/// Reads a small file whole, and tells which version was read; a larger one is left alone.
///
/// A write stamps the file before it copies its bytes, so what is read just after a change may be half of one
/// and half of the other under one stamp: a file that changed this very moment is waited for, once.
fn read_small(
    fd: &OwnedFd,
    mut before: Identity,
    effort: Effort,
) -> rustix::io::Result<(Identity, Option<Vec<u8>>)> {
    let mut waited = false;
    for _ in 0..READ_TRIES {
        if before.size > SMALL {
            return Ok((before, None));
        }
        if before.is_changing(SystemTime::now()) {
            if effort == Effort::Cached {
                return Err(Errno::AGAIN);
            }
            if std::mem::replace(&mut waited, true) {
                break;
            }
            std::thread::sleep(STAMP_TICK);
            before = inspect(fd)?.1;
            continue;
        }
        let content = read_all(fd, before.size, effort)?;
        let after = inspect(fd)?.1;
        if after == before {
            return Ok((before, Some(content)));
        }
        before = after;
    }
    // It changes faster than it can be read; sent from the descriptor, a change is noticed and cut.
    Ok((before, None))
}

fn read_all(fd: &OwnedFd, size: u64, effort: Effort) -> rustix::io::Result<Vec<u8>> {
    let mut content = vec![0; usize::try_from(size).unwrap_or(0)];
    let mut filled = 0;
    while let Some(rest) = content.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let read = match effort {
            Effort::Cached => {
                let mut part = [io::IoSliceMut::new(rest)];
                rustix::io::preadv2(fd, &mut part, filled as u64, ReadWriteFlags::NOWAIT)
            }
            Effort::Blocking => rustix::io::pread(fd, rest, filled as u64),
        };
        match read {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP) if effort == Effort::Cached => return Err(Errno::AGAIN),
            Err(errno) => return Err(errno),
        }
    }
    content.truncate(filled);
    Ok(content)
}

fn found_for(errno: Errno) -> Found {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP | Errno::NXIO | Errno::NODEV => {
            Found::Nothing
        }
        Errno::XDEV => Found::Outside,
        Errno::ACCESS | Errno::PERM => Found::Unreadable,
        errno => Found::Failed(errno.into()),
    }
}
