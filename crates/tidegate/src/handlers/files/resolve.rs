//! From a name to an open file beneath the root, with the kernel as the judge (`openat2`, SPEC FILE-4).
//!
//! The same look-up runs in two ways. [`Effort::Cached`] is for a worker: it gives up with [`WouldBlock`] as
//! soon as the kernel would have to wait for a disk (`RESOLVE_CACHED`, `RWF_NOWAIT`). [`Effort::Blocking`] and
//! [`Effort::Final`] are for a pool thread.
//!
//! A name is first opened as a mere path (`O_PATH`), which runs no driver and wakes no FIFO; only a regular
//! file is then opened for reading, and judged again by its descriptor.

use std::borrow::Cow;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, SystemTime};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::disk::{self, Sealed, Version, WouldBlock};
use crate::http::negotiate::Coding;
use crate::http::validators::{Identity, STAMP_TICK};

/// Files up to this size are read whole and kept in memory while there is room; larger ones stay behind their
/// descriptor. To send 1 MiB from memory takes about as long as a worker may be busy with one request.
pub const KEPT: u64 = 1024 * 1024;

/// A file up to this size that was read whole needs its descriptor no more: it fits into a socket, and no slow client
/// makes us keep much of it.
pub const SMALL: u64 = 64 * 1024;

/// How often a file is read again that changed while it was read.
const READ_TRIES: usize = 4;

/// How often a look-up beneath the root is tried again: the kernel gives up on a link with `..` in it whenever
/// anything on the machine was renamed meanwhile, and on a file that somebody has leased until the lease is broken
/// (openat2(2), open(2), `EAGAIN`).
const OPEN_TRIES: usize = 1000;
/// So many of those follow at once; the others wait in between.
const OPEN_TRIES_AT_ONCE: usize = 500;
/// For so long.
const OPEN_PAUSE: Duration = Duration::from_millis(1);

/// How far a look-up may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Only as far as nothing blocks: for a worker.
    Cached,
    /// Whatever the disk takes; a file that is being written is looked at again later.
    Blocking,
    /// The same, but a file that is being written is taken as it is.
    Final,
}

/// Why a name leads to no file that is served.
#[derive(Clone, Debug)]
pub enum Absent {
    /// A folder named without its trailing slash.
    Folder,
    /// Nothing that is served: no such file, or neither file nor folder.
    Nothing,
    /// A symbolic link led out of the root.
    Outside,
    /// The file system refuses to read it.
    Unreadable,
    /// Something went wrong.
    Failed(Errno),
}

/// A regular file, opened.
#[derive(Debug)]
pub struct OpenedFile {
    /// Which version of the file it is.
    pub identity: Identity,
    /// Where its bytes are.
    pub content: Content,
    /// Whether a later change will show in the identity: only then may this version be remembered.
    pub settled: bool,
}

/// Where the bytes of an opened file are.
#[derive(Debug)]
pub enum Content {
    /// All in memory, and the file is closed: where closing it takes time, it took that of a pool thread.
    Whole(Vec<u8>),
    /// Behind a descriptor.
    Behind {
        /// The descriptor.
        fd: OwnedFd,
        /// All of them, where they are not too many.
        whole: Option<Sealed>,
        /// Whether closing the descriptor may wait for a disk or a network.
        slow: bool,
    },
}

/// A file and its codings beside it, in the order of [`Coding::ALL`].
#[derive(Debug)]
pub struct Found {
    /// The file.
    pub file: OpenedFile,
    /// Those that are at least as new as the file.
    pub beside: [Option<OpenedFile>; Coding::ALL.len()],
}

/// What a name stands for.
pub type Look = Result<Found, Absent>;

/// Looks `name` up beneath `root`: a file, or `index.html` where the name is a folder's (empty, or with a
/// trailing slash). With `codings` also those beside the file.
///
/// # Errors
/// [`WouldBlock`], but not with [`Effort::Final`].
pub fn look(root: BorrowedFd<'_>, name: &str, codings: bool, effort: Effort) -> Result<Look, WouldBlock> {
    let file_name = file_name(name);
    let file = match open(root, &file_name, effort)? {
        Ok(file) => file,
        // A folder's index is a file, or there is none.
        Err(Absent::Folder) if file_name != name => return Ok(Err(Absent::Nothing)),
        Err(absent) => return Ok(Err(absent)),
    };
    let mut beside = [const { None }; Coding::ALL.len()];
    for (slot, coding) in beside.iter_mut().zip(Coding::ALL).filter(|_| codings) {
        *slot = match open(root, &coded_name(name, coding), effort) {
            Ok(Ok(coded)) => Some(coded).filter(|coded| {
                // One that is being written is none yet.
                coded.settled && coded.identity.is_no_older_than(&file.identity)
            }),
            Err(WouldBlock) if effort == Effort::Cached => return Err(WouldBlock),
            // Whatever keeps it from being read: the file itself is there.
            Ok(Err(_)) | Err(WouldBlock) => None,
        };
    }
    Ok(Ok(Found { file, beside }))
}

/// The identity of the file `name` now, without opening it.
///
/// # Errors
/// [`WouldBlock`] where only a disk knows. A name that leads to no regular file gives `Ok(None)`.
pub fn identify(root: BorrowedFd<'_>, name: &str) -> Result<Option<Identity>, WouldBlock> {
    let probe = open_beneath(root, name, OFlags::PATH, Effort::Cached).and_then(|path| disk::inspect(&path));
    match probe {
        Ok((FileType::RegularFile, identity)) => Ok(Some(identity)),
        Ok(_) => Ok(None),
        Err(Errno::AGAIN) => Err(WouldBlock),
        Err(_) => Ok(None),
    }
}

/// The file in `coding` beside the file that `name` stands for.
pub fn coded_name(name: &str, coding: Coding) -> String {
    format!("{}{}", file_name(name), coding.suffix())
}

/// The file that a name stands for: a folder stands for its index.
pub fn file_name(name: &str) -> Cow<'_, str> {
    if name.is_empty() || name.ends_with('/') { format!("{name}index.html").into() } else { name.into() }
}

fn open(root: BorrowedFd<'_>, name: &str, effort: Effort) -> Result<Result<OpenedFile, Absent>, WouldBlock> {
    match try_open(root, name, effort) {
        Err(Errno::AGAIN) if effort != Effort::Final => Err(WouldBlock),
        Err(errno) => Ok(Err(absent_for(errno))),
        Ok(opened) => Ok(opened),
    }
}

fn try_open(
    root: BorrowedFd<'_>,
    name: &str,
    effort: Effort,
) -> rustix::io::Result<Result<OpenedFile, Absent>> {
    let path = open_beneath(root, name, OFlags::PATH, effort)?;
    match disk::inspect(&path)?.0 {
        FileType::Directory => return Ok(Err(Absent::Folder)),
        FileType::RegularFile => {}
        _ => return Ok(Err(Absent::Nothing)),
    }
    let slow = !opens_at_once(&path);
    if effort == Effort::Cached && slow {
        return Err(Errno::AGAIN);
    }
    // Between the two look-ups the name may have been given to something else, so the file opened is judged
    // again; NONBLOCK and NOCTTY make even that opening harmless.
    let fd = open_beneath(root, name, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, effort)?;
    if disk::inspect(&fd)?.0 != FileType::RegularFile {
        return Ok(Err(Absent::Nothing));
    }
    let looked = SystemTime::now();
    let version = quiet(&fd, effort)?;
    let (identity, whole) = read_whole(&fd, version, effort)?;
    let settled = version.whole && identity.is_settled(looked);
    let content = match whole {
        Some(whole) if identity.size <= SMALL => Content::Whole(whole),
        // Without a descriptor to spare they stay in the file alone.
        whole => Content::Behind { fd, whole: whole.and_then(|whole| Sealed::new(&whole).ok()), slow },
    };
    Ok(Ok(OpenedFile { identity, content, settled }))
}

pub(super) fn open_beneath(
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
    for tries in 1..OPEN_TRIES {
        if !matches!(opened, Err(Errno::AGAIN | Errno::INTR)) {
            break;
        }
        // A rename is over in a moment; whoever holds the file for itself takes longer to let go.
        match tries {
            ..OPEN_TRIES_AT_ONCE => std::thread::yield_now(),
            _ => std::thread::sleep(OPEN_PAUSE),
        }
        opened = open(beneath);
    }
    opened
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

/// The version that the file is now. One that is being written is for a later look: a log always is, so that ends.
fn quiet(fd: &OwnedFd, effort: Effort) -> rustix::io::Result<Version> {
    let version = disk::version(fd)?;
    if version.whole || effort == Effort::Final { Ok(version) } else { Err(Errno::AGAIN) }
}

/// Reads a file that is not too large whole, and tells which version was read; a larger one is left alone.
fn read_whole(
    fd: &OwnedFd,
    mut version: Version,
    effort: Effort,
) -> rustix::io::Result<(Identity, Option<Vec<u8>>)> {
    for _ in 0..READ_TRIES {
        if version.identity.size > KEPT {
            return Ok((version.identity, None));
        }
        if !version.whole {
            break;
        }
        let content = read_all(fd, version.identity.size, effort)?;
        // What ends before its size has lost its end, whatever its stamps say.
        let whole = content.len() as u64 == version.identity.size;
        if disk::identity_of(fd)? == version.identity && whole {
            return Ok((version.identity, Some(content)));
        }
        version = quiet(fd, effort)?;
    }
    read_twice(fd, version.identity, effort)
}

/// A file that always has a writer, as a log, or whose stamps change all the time: it is known by its bytes. What is
/// the same at two moments was not being written between them.
fn read_twice(
    fd: &OwnedFd,
    identity: Identity,
    effort: Effort,
) -> rustix::io::Result<(Identity, Option<Vec<u8>>)> {
    if effort != Effort::Final {
        return Err(Errno::AGAIN);
    }
    let once = read_all(fd, identity.size, effort)?;
    std::thread::sleep(STAMP_TICK);
    let twice = read_all(fd, identity.size, effort)?;
    // Sent from the descriptor otherwise, where a change is noticed and cut.
    if once != twice || once.len() as u64 != identity.size {
        return Ok((identity, None));
    }
    Ok((Identity { size: identity.size, ..disk::identity_of(fd)? }, Some(once)))
}

fn read_all(fd: &OwnedFd, size: u64, effort: Effort) -> rustix::io::Result<Vec<u8>> {
    let mut content = vec![0; usize::try_from(size).unwrap_or(0)];
    let mut filled = 0;
    while let Some(rest) = content.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        let count = match effort {
            Effort::Cached => {
                disk::read_cached(fd, rest, filled as u64)?.map_err(|WouldBlock| Errno::AGAIN)?
            }
            Effort::Blocking | Effort::Final => disk::read(fd, rest, filled as u64)?,
        };
        if count == 0 {
            break;
        }
        filled += count;
    }
    content.truncate(filled);
    Ok(content)
}

/// What an error of the kernel says of a name.
pub(super) fn absent_for(errno: Errno) -> Absent {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::LOOP | Errno::NXIO | Errno::NODEV => {
            Absent::Nothing
        }
        Errno::XDEV => Absent::Outside,
        Errno::ACCESS | Errno::PERM => Absent::Unreadable,
        errno => Absent::Failed(errno),
    }
}
