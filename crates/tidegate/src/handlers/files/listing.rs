//! What a folder holds, for those who may look (SPEC FILE-8): read on a pool thread, then shown as a page or as
//! JSON.
//!
//! ```text
//! name ─► folder beneath the root ─► entries, each judged ─► Listing ─► page::to_html
//!                                                               └─────► json::to_json
//! ```
//! Shown is what a path can lead to: no dotfile (`.well-known` neither: its readers know what
//! they look for), no reserved name, no name that a path cannot hold, nothing that is neither file nor folder, and
//! no link that leads elsewhere or out of the root. `order` says how entries are sorted.

pub mod json;
pub mod order;
pub mod page;

use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType, OFlags, Statx, StatxFlags};
use rustix::io::Errno;

pub use self::json::to_json;
pub use self::order::{Key, Order};
pub use self::page::to_html;
use super::resolve::{Effort, SMALL, open_beneath};
use crate::clock::Utc;
use crate::disk::Sealed;
use crate::http::Response;
use crate::http::response::{Body, Fields};

/// Most entries of a folder that are looked at, shown or not. Ten thousand rows are 2 MB of page and 50 ms of a
/// pool thread; who has more needs a search, not a list.
pub const MAX_ENTRIES: usize = 10_000;

/// What a folder holds, in no order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// What is shown.
    pub entries: Vec<Entry>,
    /// Whether the folder holds more than was looked at.
    pub truncated: bool,
}

/// A file or folder that can be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name: one segment of a path, not encoded.
    pub name: String,
    /// What it is, or what the link of this name leads to.
    pub kind: Kind,
    /// Bytes; 0 for a folder.
    pub size: u64,
    /// When it was last modified; never before 1970.
    pub modified: SystemTime,
}

/// Folders come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A regular file.
    File,
}

/// In which form a listing is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// How entries are sorted.
    pub order: Order,
    /// As JSON, not as a page.
    pub json: bool,
}

impl Asked {
    /// The response with a listing as [`write()`] wrote it; `None` where too many large ones wait for slow clients.
    pub fn response(self, text: Written) -> Option<Response> {
        let own = if self.json { json::FIELDS.to_owned() } else { page::fields() };
        // A folder has no validators: what it holds is asked for anew each time.
        let fields = format!("{own}Vary: Accept\r\nCache-Control: no-cache\r\n");
        let body = match text {
            Written::Small(text) => Body::Owned(text),
            Written::Large(text) => Body::Sealed(Rc::new(text.ok()?)),
        };
        Some(Response::new(200, Fields::Owned(fields.into_bytes()), body))
    }
}

/// A listing written out.
#[derive(Debug)]
pub enum Written {
    /// It fits into a socket.
    Small(Vec<u8>),
    /// It may have to wait for its client, where it counts.
    Large(rustix::io::Result<Sealed>),
}

/// [Reads](read) the folder `name` and writes it out as it was asked for. May block, and takes its time.
///
/// # Errors
/// Those of [`read`].
pub fn write(
    root: BorrowedFd<'_>,
    name: &str,
    hide: impl Fn(&str) -> bool,
    asked: Asked,
) -> rustix::io::Result<Written> {
    let listing = read(root, name, hide)?;
    let path = format!("/{name}");
    let text = if asked.json {
        to_json(&listing, &path, asked.order)
    } else {
        to_html(&listing, &path, asked.order)
    };
    let large = text.len() as u64 > SMALL;
    Ok(if large { Written::Large(Sealed::new(&text)) } else { Written::Small(text) })
}

/// Reads the folder `name` beneath `root`; `name` is empty for the root itself, else it ends with a slash.
/// Entries that `hide` says are left out: the reserved names, at the top. May block.
///
/// # Errors
/// As `openat2` and `getdents64` have them: `NOENT` or `NOTDIR` where there is no such folder, `XDEV` where a link
/// leads out of the root, `ACCES` where it may not be read. An entry that vanishes meanwhile is no error.
pub fn read(root: BorrowedFd<'_>, name: &str, hide: impl Fn(&str) -> bool) -> rustix::io::Result<Listing> {
    let path = if name.is_empty() { "." } else { name };
    let folder = open_beneath(root, path, OFlags::RDONLY | OFlags::DIRECTORY, Effort::Blocking)?;
    let mut listing = Listing { entries: Vec::new(), truncated: false };
    let mut looked_at = 0;
    for found in Dir::read_from(&folder)? {
        let found = found?;
        let entry = found.file_name().to_bytes();
        if matches!(entry, b"." | b"..") {
            continue;
        }
        if looked_at == MAX_ENTRIES {
            listing.truncated = true;
            break;
        }
        looked_at += 1;
        if let Ok(entry) = std::str::from_utf8(entry)
            && is_servable(entry)
            && !hide(entry)
        {
            listing.entries.extend(look(root, folder.as_fd(), name, entry)?);
        }
    }
    Ok(listing)
}

/// Whether a path may hold this name (FILE-4, decided by `http::url_path`), and visitors are told of it.
fn is_servable(name: &str) -> bool {
    !name.starts_with('.') && !name.contains('\\')
}

/// The entry `name` of `folder`, which is `above` beneath the root; `None` where visitors cannot fetch it: it has gone, or
/// is a link that leads nowhere, or out of the root, or to what may not be looked at.
///
/// # Errors
/// Where it is not known what it is: a list that left it out would lie.
fn look(
    root: BorrowedFd<'_>,
    folder: BorrowedFd<'_>,
    above: &str,
    name: &str,
) -> rustix::io::Result<Option<Entry>> {
    let stat = match inspect(folder, name) {
        Err(Errno::NOENT) => return Ok(None),
        stat => stat?,
    };
    if kind_of(&stat) != FileType::Symlink {
        return Ok(entry(name, &stat));
    }
    // Only a link can lead anywhere else, so only a link is resolved from the root.
    match open_beneath(root, &format!("{above}{name}"), OFlags::PATH, Effort::Blocking) {
        Err(
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::ACCESS | Errno::NAMETOOLONG,
        ) => Ok(None),
        target => Ok(entry(name, &inspect(target?.as_fd(), "")?)),
    }
}

fn entry(name: &str, stat: &Statx) -> Option<Entry> {
    let (kind, size) = match kind_of(stat) {
        FileType::Directory => (Kind::Folder, 0),
        FileType::RegularFile => (Kind::File, stat.stx_size),
        _ => return None,
    };
    let seconds = u64::try_from(stat.stx_mtime.tv_sec).unwrap_or(0);
    let modified = SystemTime::UNIX_EPOCH + Duration::new(seconds, stat.stx_mtime.tv_nsec);
    Some(Entry { name: name.to_owned(), kind, size, modified })
}

/// A time of an entry for programs (RFC 3339), in whole seconds.
fn rfc3339(time: SystemTime) -> String {
    let Utc { year, month, day, hour, minute, second, .. } = Utc::at(time);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// What `name` is in `folder`, links as such; an empty name is the descriptor itself.
fn inspect(folder: BorrowedFd<'_>, name: &str) -> rustix::io::Result<Statx> {
    let flags =
        AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    rustix::fs::statx(folder, name, flags, StatxFlags::TYPE | StatxFlags::SIZE | StatxFlags::MTIME)
}

fn kind_of(stat: &Statx) -> FileType {
    FileType::from_raw_mode(stat.stx_mode.into())
}

#[cfg(test)]
mod tests;
