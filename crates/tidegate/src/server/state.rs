//! What survives a restart (`--state`): the bans. A file of JSON lines, replaced whole, so that it is never half-written.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use crate::clock::Millis;
use crate::limits::Ledger;
use crate::pool::Pool;
use crate::sync::lock;

const NAME: &str = "bans.jsonl";
/// The new file until it is whole.
const NEXT: &str = ".bans.jsonl.next";

/// The folder of what survives.
#[derive(Debug)]
pub(super) struct State {
    folder: PathBuf,
    ledger: Arc<Ledger>,
    /// What the file holds.
    saved: Arc<Mutex<String>>,
}

impl State {
    /// Creates `folder` where it is missing, and takes over the bans that it holds.
    ///
    /// # Errors
    /// When it can be neither created nor read.
    pub(super) fn open(folder: &Path, ledger: &Arc<Ledger>, now: Millis) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let text = match std::fs::read_to_string(folder.join(NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        let restored = ledger.bans.restore(&text, now, SystemTime::now());
        if restored.bans > 0 || restored.skipped > 0 {
            log::info!("bans taken over: {}, lines skipped: {}", restored.bans, restored.skipped);
        }
        Ok(Self { folder: folder.to_owned(), ledger: Arc::clone(ledger), saved: Arc::new(Mutex::new(text)) })
    }

    /// Lets a thread that has nothing else to do write what has changed.
    pub(super) fn save_soon(&self, pool: &Pool, now: Millis) {
        let text = self.text(now);
        if *lock(&self.saved) != text {
            let (folder, saved) = (self.folder.clone(), Arc::clone(&self.saved));
            pool.run_spare("saving bans", move || keep(&folder, text, &saved));
        }
    }

    /// Writes what has changed, at the very end.
    pub(super) fn save(&self, now: Millis) {
        let text = self.text(now);
        if *lock(&self.saved) != text {
            keep(&self.folder, text, &self.saved);
        }
    }

    fn text(&self, now: Millis) -> String {
        self.ledger.bans.save(now, SystemTime::now())
    }
}

/// One writer at a time: the lock is held until the file is whole.
fn keep(folder: &Path, text: String, saved: &Mutex<String>) {
    let mut saved = lock(saved);
    match replace(folder, &text) {
        Ok(()) => *saved = text,
        Err(error) => log::error!("bans are not saved: {}: {error}", folder.display()),
    }
}

fn replace(folder: &Path, text: &str) -> io::Result<()> {
    let next = folder.join(NEXT);
    let mut file = File::create(&next)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()?;
    std::fs::rename(next, folder.join(NAME))
}
