//! Uploads in a folder of a local file system, durable before they are acknowledged (SPEC UP-3 to UP-5).
//!
//! ```text
//! unnamed file ─ write ─ fsync ─ link under a new name ─ sync of the folder ─► acknowledged
//! ```
//! The folder is synced for groups: one thread syncs for all who linked before it began, and all of them share
//! what comes of it.
//! A failure at any step leaves nothing visible. A failed `fsync` is never retried: after one, the kernel
//! may have dropped the very pages it could not write and call the next `fsync` a success (PostgreSQL's
//! "fsyncgate"), so the store takes no more until it is restarted. (A full disk is no such doubt: it costs that
//! upload alone.)

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::group_sync::GroupSync;
use super::space::Space;
use crate::clock::Utc;
use crate::sync::atomic::{AtomicBool, Ordering};

/// A name that is taken is answered with a new one; this often in a row means that something else is wrong.
const NAME_TRIES: usize = 16;
/// Where unnamed files are not to be had, staging files are called this; the boot sweep removes them.
const STAGING_PREFIX: &str = ".tidegate-";
const STAGING_SUFFIX: &str = ".tmp";

/// A folder of uploads.
#[derive(Debug)]
pub struct LocalStore {
    folder: OwnedFd,
    /// Unnamed files, linked when they are complete; false once the file system said no.
    unnamed: AtomicBool,
    degraded: AtomicBool,
    folder_sync: GroupSync,
    space: Space,
}

/// Why an upload was not kept. In each case nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `ENOSPC`, `EDQUOT` or `EFBIG`.
    #[error("the disk is full: {0}")]
    DiskFull(io::Error),
    /// The configured quota would be exceeded.
    #[error("the upload quota is used up")]
    QuotaExceeded,
    /// The folder was removed under us.
    #[error("the uploads folder was removed; restart the server to have it made anew")]
    FolderGone,
    /// An earlier `fsync` failed.
    #[error("an earlier fsync failed; uploads stay refused until a restart")]
    Degraded,
    /// An `fsync` failed: this upload is lost, and the store takes no more.
    #[error("syncing the {what}: {error}")]
    SyncFailed {
        /// File or folder.
        what: &'static str,
        /// What the system said.
        error: io::Error,
    },
    /// Any other error of the file system.
    #[error("{step}: {error}")]
    Failed {
        /// What was tried.
        step: &'static str,
        /// What the system said.
        error: io::Error,
    },
}

impl LocalStore {
    /// Opens `folder`, creating it where it is missing, and sweeps what a crash left half-written.
    ///
    /// # Errors
    /// When the folder can be neither opened nor created, or not written to.
    pub fn open(folder: &Path, quota: Option<u64>) -> io::Result<Self> {
        create_durably(folder)?;
        let folder =
            rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::fs::accessat(
            &folder,
            ".",
            rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
            AtFlags::EACCESS,
        )?;
        let store = Self {
            folder,
            unnamed: AtomicBool::new(true),
            degraded: AtomicBool::new(false),
            folder_sync: GroupSync::default(),
            space: Space::new(),
        };
        store.sweep()?;
        store.set_quota(quota);
        Ok(store)
    }

    /// The folder, to read stored files from.
    pub fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// Whether an `fsync` failed since start.
    pub fn is_degraded(&self) -> bool {
        self.degraded.load(Ordering::Relaxed)
    }

    /// Changes the quota in bytes; `None` means none. The folder is counted when there is one.
    pub fn set_quota(&self, quota: Option<u64>) {
        self.space.set_quota(quota, || self.count());
    }

    /// Keeps `bytes` and returns the file's name. On return data and name are durable.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is left behind.
    pub fn put(&self, bytes: &[u8]) -> Result<String, StoreError> {
        if self.is_degraded() {
            return Err(StoreError::Degraded);
        }
        let size = bytes.len() as u64;
        let mut under_way = self.space.reserve(size, || self.count()).ok_or(StoreError::QuotaExceeded)?;
        let written = self.write(bytes).map_err(|error| self.or_gone(error));
        under_way.stored = written.is_ok();
        written
    }

    /// What an error means where the folder is no longer there: the descriptor outlives its name.
    fn or_gone(&self, error: StoreError) -> StoreError {
        let gone = rustix::fs::fstat(&self.folder).is_ok_and(|stat| stat.st_nlink == 0);
        if gone { StoreError::FolderGone } else { error }
    }

    fn write(&self, bytes: &[u8]) -> Result<String, StoreError> {
        if self.unnamed.load(Ordering::Relaxed) {
            match self.write_unnamed(bytes) {
                Err(StoreError::Failed { error, .. }) if is_unsupported(&error) => {}
                done => return done,
            }
        }
        // Where this way works, the other one need not be tried again.
        self.write_staged(bytes).inspect(|_| self.unnamed.store(false, Ordering::Relaxed))
    }

    fn write_unnamed(&self, bytes: &[u8]) -> Result<String, StoreError> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, ".", flags, Mode::from_raw_mode(0o640))
            .map_err(|errno| failed("opening an unnamed file", errno))?;
        self.fill(&file, bytes)?;
        let name = self.link(|name| link_unnamed(&file, self.folder.as_fd(), name))?;
        self.sync_folder(name)
    }

    fn write_staged(&self, bytes: &[u8]) -> Result<String, StoreError> {
        let staging = format!("{STAGING_PREFIX}{}{STAGING_SUFFIX}", random_text(12));
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, &staging, flags, Mode::from_raw_mode(0o640))
            .map_err(|errno| failed("creating a staging file", errno))?;
        let staging = self.lent(staging);
        // The lock tells the sweep of another instance that this file is no leftover.
        let _ = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        self.fill(&file, bytes)?;
        let link = |name: &str| {
            rustix::fs::linkat(&self.folder, &staging.name, &self.folder, name, AtFlags::empty())
        };
        let name = self.link(link)?;
        drop(staging);
        self.sync_folder(name)
    }

    /// `name`, which was just made and is taken away again unless it is kept.
    fn lent(&self, name: String) -> Lent<'_> {
        Lent { folder: self.folder.as_fd(), name }
    }

    fn fill(&self, file: &OwnedFd, bytes: &[u8]) -> Result<(), StoreError> {
        crate::failpoint!("store_write");
        let mut rest = bytes;
        while !rest.is_empty() {
            match rustix::io::write(file, rest) {
                Ok(0) => return Err(failed("writing", Errno::IO)),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed("writing", errno)),
            }
        }
        crate::failpoint!("store_sync");
        rustix::fs::fsync(file).map_err(|errno| self.file_sync_failed(errno))
    }

    fn link(&self, link: impl Fn(&str) -> rustix::io::Result<()>) -> Result<String, StoreError> {
        crate::failpoint!("store_link");
        let mut tried = Errno::EXIST;
        for _ in 0..NAME_TRIES {
            let name = new_name();
            match link(&name) {
                Ok(()) => return Ok(name),
                Err(Errno::EXIST) => {}
                Err(errno) => {
                    tried = errno;
                    break;
                }
            }
        }
        Err(failed("linking the file", tried))
    }

    /// Makes `name` durable, and returns it.
    fn sync_folder(&self, name: String) -> Result<String, StoreError> {
        let lent = self.lent(name);
        let sync = || {
            crate::failpoint!("store_folder");
            rustix::fs::fsync(&self.folder)
        };
        self.folder_sync.wait(sync).map_err(|errno| {
            self.degraded.store(true, Ordering::Relaxed);
            StoreError::SyncFailed { what: "folder", error: errno.into() }
        })?;
        Ok(lent.keep())
    }

    /// A full disk loses only this upload, whose file is dropped with its pages; any other failed sync
    /// puts the whole device in doubt.
    fn file_sync_failed(&self, errno: Errno) -> StoreError {
        if is_full(errno) {
            return StoreError::DiskFull(errno.into());
        }
        self.degraded.store(true, Ordering::Relaxed);
        StoreError::SyncFailed { what: "file", error: errno.into() }
    }

    /// Bytes in the folder's files; `None` where they cannot be read, which must not look like an empty folder.
    fn count(&self) -> Option<u64> {
        let mut bytes = 0_u64;
        for entry in Dir::read_from(&self.folder).ok()? {
            match rustix::fs::statat(&self.folder, entry.ok()?.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_file() => {
                    bytes = bytes.saturating_add(u64::try_from(stat.st_size).unwrap_or(0));
                }
                Ok(_) | Err(Errno::NOENT) => {}
                Err(_) => return None,
            }
        }
        Some(bytes)
    }

    fn sweep(&self) -> io::Result<()> {
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if !name.starts_with(STAGING_PREFIX.as_bytes()) || !name.ends_with(STAGING_SUFFIX.as_bytes()) {
                continue;
            }
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let Ok(file) = rustix::fs::openat(&self.folder, entry.file_name(), flags, Mode::empty()) else {
                continue;
            };
            if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
                rustix::fs::unlinkat(&self.folder, entry.file_name(), AtFlags::empty())?;
            }
        }
        Ok(())
    }
}

/// A name in the folder that is taken away again, also after a panic, unless it is kept.
#[derive(Debug)]
struct Lent<'f> {
    folder: BorrowedFd<'f>,
    /// Empty where it is kept.
    name: String,
}

impl Lent<'_> {
    fn keep(mut self) -> String {
        std::mem::take(&mut self.name)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            let _ = rustix::fs::unlinkat(self.folder, &self.name, AtFlags::empty());
        }
    }
}

/// Gives an unnamed file its name: by its descriptor, or through `/proc` where the kernel asks a capability
/// for that.
fn link_unnamed(file: &OwnedFd, folder: BorrowedFd<'_>, name: &str) -> rustix::io::Result<()> {
    use std::os::fd::AsRawFd;
    match rustix::fs::linkat(file, "", folder, name, AtFlags::EMPTY_PATH) {
        Err(Errno::NOENT | Errno::PERM | Errno::ACCESS) => {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            rustix::fs::linkat(CWD, path, folder, name, AtFlags::SYMLINK_FOLLOW)
        }
        done => done,
    }
}

/// Makes `folder` where it is missing, and each folder above it; a file in it is only as durable as their names.
fn create_durably(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|above| !above.exists()).collect();
    std::fs::create_dir_all(folder)?;
    for made in missing.into_iter().filter(|made| !made.as_os_str().is_empty()) {
        let above = made.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(above)?.sync_all()?;
    }
    Ok(())
}

/// Errors by which a file system says that it has no unnamed files or cannot link them.
fn is_unsupported(error: &io::Error) -> bool {
    let unsupported = [Errno::OPNOTSUPP, Errno::ISDIR, Errno::INVAL, Errno::XDEV, Errno::NOENT];
    unsupported.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn failed(step: &'static str, errno: Errno) -> StoreError {
    match is_full(errno) {
        true => StoreError::DiskFull(errno.into()),
        false => StoreError::Failed { step, error: errno.into() },
    }
}

/// No space, no quota, or no larger file for this process (`RLIMIT_FSIZE`).
fn is_full(errno: Errno) -> bool {
    matches!(errno, Errno::NOSPC | Errno::DQUOT | Errno::FBIG)
}

/// `upload_YYYYMMDD_HHMMSS_xxxxxx.json`, in UTC.
fn new_name() -> String {
    let now = Utc::now();
    format!(
        "upload_{:04}{:02}{:02}_{:02}{:02}{:02}_{}.json",
        now.year,
        now.month,
        now.day,
        now.hour,
        now.minute,
        now.second,
        random_text(6)
    )
}

/// `length` random characters of base 36.
fn random_text(length: usize) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        // The largest multiple of 36 below 256 keeps every digit equally likely.
        text.extend(
            crate::random::bytes()
                .into_iter()
                .filter(|byte| *byte < 252)
                .map(|byte| char::from(DIGITS[usize::from(byte % 36)]))
                .take(length - text.len()),
        );
    }
    text
}

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod shuttle_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("tidegate-store-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            Self(path)
        }

        fn names(&self) -> Vec<String> {
            let entries = std::fs::read_dir(&self.0).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn row_i6_up_3_files_are_kept_as_sent_under_names_of_their_own_by_either_way() {
        let folder = Folder::new("names");
        let store = LocalStore::open(&folder.0, None).unwrap();
        for unnamed in [true, false] {
            store.unnamed.store(unnamed, Ordering::Relaxed);
            let name = store.put(b"{\"a\": 1}").unwrap();
            assert_eq!(std::fs::read(folder.0.join(&name)).unwrap(), b"{\"a\": 1}");
            let parts: Vec<_> = name.strip_suffix(".json").unwrap().split('_').collect();
            assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [6, 8, 6, 6], "{name}");
            assert!(parts[3].bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase()), "{name}");
        }
        assert_eq!(folder.names().len(), 2, "no staging file is left");
    }

    #[test]
    fn up_3_a_crash_leftover_is_swept_and_a_file_in_use_is_not() {
        let folder = Folder::new("sweep");
        std::fs::create_dir_all(&folder.0).unwrap();
        for name in [".tidegate-dead.tmp", ".tidegate-live.tmp", ".other.tmp", "keep.json"] {
            std::fs::write(folder.0.join(name), "x").unwrap();
        }
        let live = std::fs::File::open(folder.0.join(".tidegate-live.tmp")).unwrap();
        rustix::fs::flock(&live, FlockOperation::NonBlockingLockExclusive).unwrap();
        LocalStore::open(&folder.0, None).unwrap();
        let mut names = folder.names();
        names.sort();
        assert_eq!(names, [".other.tmp", ".tidegate-live.tmp", "keep.json"]);
    }

    #[test]
    fn up_5_the_quota_counts_what_is_there_and_frees_what_is_removed() {
        let folder = Folder::new("quota");
        let store = LocalStore::open(&folder.0, Some(10)).unwrap();
        let name = store.put(b"12345678").unwrap();
        assert!(matches!(store.put(b"123"), Err(StoreError::QuotaExceeded)));
        assert_eq!(folder.names().len(), 1);
        std::fs::remove_file(folder.0.join(name)).unwrap();
        store.space.forget_when();
        store.put(b"123").unwrap();
    }

    #[test]
    fn up_5_a_degraded_store_takes_nothing() {
        let folder = Folder::new("degraded");
        let store = LocalStore::open(&folder.0, None).unwrap();
        let _ = store.file_sync_failed(Errno::NOSPC);
        assert!(!store.is_degraded(), "a full disk is no damage");
        let _ = store.file_sync_failed(Errno::IO);
        assert!(matches!(store.put(b"1"), Err(StoreError::Degraded)));
    }
}
