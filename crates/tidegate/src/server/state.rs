//! What survives a restart (`--state`): the bans. A file of JSON lines, replaced whole, so that it is never
//! half-written.

use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{Access, AtFlags, CWD, OFlags};

use super::StartError;
use crate::clock::{Millis, unix_millis};
use crate::config::Settings;
use crate::limits::Ledger;
use crate::limits::bans::Restored;
use crate::pool::Pool;
use crate::sync::{Mutex, lock};

const NAME: &str = "bans.jsonl";
/// So long nothing is written again for each [`REST_FOR`] bans: a flood must not decide how much a disk writes. Ten
/// thousand bans are some 10 MB.
const REST: Duration = Duration::from_secs(2);
const REST_FOR: usize = 1000;
/// More is no file of ours: ten thousand bans with all their evidence have less than half of it.
const LARGEST: u64 = 64 * 1024 * 1024;
/// The new file until it is whole.
const NEXT: &str = ".bans.jsonl.next";

/// The folder of what survives.
#[derive(Debug)]
pub(super) struct State {
    folder: PathBuf,
    ledger: Arc<Ledger>,
    restored: Restored,
    saved: Arc<Mutex<Saved>>,
}

/// What the file holds.
#[derive(Clone, Copy, Debug)]
struct Saved {
    /// So many of the book's changes.
    changes: u64,
    /// Whether the last try failed, which is told once.
    failing: bool,
    /// No other try before this moment.
    rest_until: Millis,
}

impl State {
    /// The one that `settings` name, if they do, at the start of the server.
    ///
    /// # Errors
    /// As [`State::open`].
    pub(super) fn of(settings: &Settings, ledger: &Arc<Ledger>) -> Result<Option<Self>, StartError> {
        let open = |folder: &PathBuf| {
            Self::open(folder, ledger, Millis(0)).map_err(|error| StartError::State(folder.clone(), error))
        };
        settings.server.state.as_ref().map(open).transpose()
    }

    /// Creates `folder` where it is missing, and takes over the bans that it holds.
    ///
    /// # Errors
    /// When it can be neither created nor read, or not written to.
    fn open(folder: &Path, ledger: &Arc<Ledger>, now: Millis) -> io::Result<Self> {
        // Who asked for what is nobody else's business.
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        rustix::fs::accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS)?;
        let text = read(&folder.join(NAME))?;
        let restored = ledger.bans.restore(&String::from_utf8_lossy(&text), now, unix_millis());
        let saved =
            Arc::new(Mutex::new(Saved { changes: ledger.bans.changes(), failing: false, rest_until: now }));
        Ok(Self { folder: folder.to_owned(), ledger: Arc::clone(ledger), restored, saved })
    }

    /// Says what was taken over, when there is a log.
    pub(super) fn tell(&self) {
        let Restored { bans, skipped } = self.restored;
        if bans > 0 {
            log::info!("bans taken over from {}: {bans}", self.folder.display());
        }
        if skipped > 0 {
            log::warn!("{}: {skipped} lines of {NAME} are no bans", self.folder.display());
        }
    }

    /// Lets a thread that has nothing else to do write what has changed.
    pub(super) fn save_soon(&self, pool: &Pool, now: Millis) {
        // Who writes now will be followed by another look in a second.
        let changes = self.ledger.bans.changes();
        let due =
            self.saved.try_lock().is_ok_and(|saved| saved.changes != changes && now >= saved.rest_until);
        if due {
            let (folder, ledger, saved) =
                (self.folder.clone(), Arc::clone(&self.ledger), Arc::clone(&self.saved));
            pool.run_spare("saving bans", move || keep(&folder, &ledger, &saved, now));
        }
    }

    /// Writes what has changed, at the very end.
    pub(super) fn save(&self, now: Millis) {
        if self.ledger.bans.changes() != lock(&self.saved).changes {
            keep(&self.folder, &self.ledger, &self.saved, now);
        }
    }
}

/// One writer at a time: the lock is held until the file is whole.
fn keep(folder: &Path, ledger: &Ledger, saved: &Mutex<Saved>, now: Millis) {
    let mut saved = lock(saved);
    let changes = ledger.bans.changes();
    let replaced = replace(folder, &ledger.bans.save(now, unix_millis()));
    match (&replaced, saved.failing) {
        (Err(error), false) => log::error!("bans are not saved: {}: {error}", folder.display()),
        (Ok(()), true) => log::info!("bans are saved again"),
        _ => {}
    }
    let changes = if replaced.is_ok() { changes } else { saved.changes };
    // The file is written whole: the larger it is, the less often.
    let rest = REST.saturating_mul(u32::try_from(ledger.bans.kept() / REST_FOR).unwrap_or(u32::MAX));
    *saved = Saved { changes, failing: replaced.is_err(), rest_until: now.after(rest) };
}

/// The file at `path`; nothing where there is none.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let not_blocking = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    let file = match File::options().read(true).custom_flags(not_blocking).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    content(file)
}

/// What `file` holds from where it stands.
pub(super) fn content(file: File) -> io::Result<Vec<u8>> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("bans.jsonl is no file"));
    }
    let mut text = Vec::new();
    file.take(LARGEST).read_to_end(&mut text)?;
    Ok(text)
}

fn replace(folder: &Path, text: &str) -> io::Result<()> {
    let next = folder.join(NEXT);
    // One that a crash left behind; and nothing is written through a link that stands there.
    match std::fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&next)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    std::fs::rename(next, folder.join(NAME))
}
