//! A folder of uploads that lives through some strikes in a row, and what is found of it after each.
//!
//! ```text
//! start ─► uploads ─► strike ─► what lies there? ─► start ─► swept? every 201 answered with its bytes? ─► uploads ─► …
//! ```

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::disk::Disk;
use super::ledger::{self, Faults, Ledger};
use super::uploads::{Told, Uploads};
use super::victim::{Scene, Victim, Way};
use crate::bench::http::Client;
use crate::command::TempDir;
use crate::dice::Dice;

/// A strike comes at any moment of this time after the first uploads began.
const STRIKE_WITHIN: Duration = Duration::from_millis(300);
/// A start takes about ten milliseconds, so half of these kills come amid it.
const KILL_START_WITHIN: Duration = Duration::from_millis(20);
/// So long a server may go on without its disk before it is gone itself.
const SURVIVES_WITHIN: Duration = Duration::from_millis(20);
/// At least and at most so many clients.
const CLIENTS: (u64, u64) = (8, 16);

/// What is done to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strike {
    Kill,
    /// Killed amid uploads, and once more amid the start that follows.
    KillTwice,
    PowerCut,
}

/// What a strike left.
#[derive(Debug)]
pub(super) struct Aftermath {
    pub(super) way: Way,
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    /// Half-written files that lay there until the next start.
    pub(super) swept: usize,
    pub(super) faults: Faults,
}

/// What all seasons of a run have in common.
pub(super) struct Run<'a> {
    pub(super) scene: Scene<'a>,
    pub(super) uploads: Uploads,
    pub(super) dice: Dice,
    /// Where every server is to be run in one way.
    pub(super) way: Option<Way>,
}

/// One folder. It falls apart in the order of its fields: who uses it, what it lies on, where that is.
pub(super) struct Season<'a> {
    victim: Victim,
    way: Way,
    disk: Option<Disk<'a>>,
    flags: Vec<String>,
    uploads: PathBuf,
    log: PathBuf,
    ledger: Ledger,
    _scratch: TempDir,
}

impl Strike {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill -9",
            Self::KillTwice => "kill -9, again amid the start",
            Self::PowerCut => "power cut",
        }
    }
}

impl<'a> Season<'a> {
    /// A new folder, on a disk of its own where its power is to be cut, with a server.
    pub(super) fn new(run: &mut Run<'a>, on_a_disk: bool) -> Result<Self, String> {
        let problem = |error| format!("no folder for uploads: {error}");
        let scratch = TempDir::new_in(&run.scene.context.target, super::PURPOSE).map_err(problem)?;
        let disk = on_a_disk.then(|| Disk::new(run.scene.context, scratch.path())).transpose()?;
        let parent = disk.as_ref().map_or(scratch.path(), Disk::path);
        // The server makes it: that, too, must outlive a cut.
        let uploads = parent.join("uploads");
        let root = scratch.path().join("root");
        std::fs::create_dir(&root).map_err(problem)?;
        let flags = flags(&[("--root", &root), ("--uploads", &uploads)]);
        let log = scratch.path().join("log");
        let way = run.next_way();
        let victim = Victim::spawn(Scene { log: &log, flags: &flags, ..run.scene }, way)?;
        Ok(Self { victim, way, disk, flags, uploads, log, ledger: Ledger::default(), _scratch: scratch })
    }

    /// Strikes amid uploads, and looks at what is left.
    pub(super) fn strike(&mut self, run: &mut Run<'a>, strike: Strike) -> Result<Aftermath, String> {
        let way = self.way;
        let told = self.storm(run, strike)?;
        self.ledger.add(&told);
        if strike == Strike::KillTwice {
            // Nothing is uploaded to it; and strace, killed amid its own start, leaves stopped processes behind.
            self.start(run, Way::Unnamed)?;
            thread::sleep(run.dice.within(KILL_START_WITHIN));
            self.kill()?;
        }
        let looked = self.ledger.judge(&self.uploads, &run.uploads);
        let (mut faults, swept) = looked.map_err(|error| format!("the folder of uploads: {error}"))?;
        let next_way = run.next_way();
        self.start(run, next_way)?;
        self.ask(&told, &run.uploads, &mut faults)?;
        let acknowledged = told.acknowledged.len() as u64;
        faults.wrong.extend(told.wrong);
        Ok(Aftermath { way, sent: told.sent, acknowledged, swept, faults })
    }

    fn storm(&mut self, run: &mut Run<'a>, strike: Strike) -> Result<Told, String> {
        let port = self.victim.port()?;
        let clients = CLIENTS.0 + run.dice.below(CLIENTS.1 - CLIENTS.0 + 1);
        let (delay, survives) = (run.dice.within(STRIKE_WITHIN), run.dice.within(SURVIVES_WITHIN));
        let (told, struck) = run.uploads.storm(port, clients, |struck: &AtomicBool| {
            thread::sleep(delay);
            struck.store(true, Ordering::SeqCst);
            let cut = match &self.disk {
                Some(disk) if strike == Strike::PowerCut => {
                    let cut = disk.cut_power();
                    thread::sleep(survives);
                    cut
                }
                _ => Ok(()),
            };
            // Whatever became of the cut: the clients wait for the end of the server.
            self.kill().and(cut)
        });
        struck?;
        if let Some(disk) = &self.disk {
            disk.restart()?;
        }
        Ok(told)
    }

    fn start(&mut self, run: &Run<'a>, way: Way) -> Result<(), String> {
        self.way = way;
        self.victim = Victim::spawn(Scene { log: &self.log, flags: &self.flags, ..run.scene }, way)?;
        Ok(())
    }

    fn kill(&mut self) -> Result<(), String> {
        self.victim.kill().map_err(|error| format!("the server cannot be killed: {error}"))
    }

    /// What the started server says: whether it swept, and whether each new 201 leads to its bytes.
    fn ask(&mut self, told: &Told, uploads: &Uploads, faults: &mut Faults) -> Result<(), String> {
        let port = self.victim.port()?;
        let problem = |error| format!("the started server does not answer: {error}");
        let left =
            ledger::hidden(&self.uploads).map_err(|error| format!("the folder of uploads: {error}"))?;
        faults.left.extend(left);
        let mut client = Client::connect(port).map_err(problem)?;
        for (name, number) in &told.acknowledged {
            let answer = client.get(&format!("/uploads/{name}"), &[]).map_err(problem)?;
            if answer.status != 200 || answer.body != uploads.body(*number) {
                // What is not on the disk cannot be answered either: that is one loss.
                faults.lost.insert(ledger::told(name, *number));
            }
        }
        Ok(())
    }
}

impl Run<'_> {
    /// Each fourth server has no unnamed files.
    fn next_way(&mut self) -> Way {
        let drawn = if self.dice.one_in(4) { Way::Staged } else { Way::Unnamed };
        self.way.unwrap_or(drawn)
    }
}

/// No limit may end what the strike is to end.
fn flags(paths: &[(&str, &PathBuf)]) -> Vec<String> {
    let fixed = ["--port", "0", "--max-requests", "0", "--access-log", "off"].map(str::to_owned);
    let paths =
        paths.iter().flat_map(|(flag, path)| [(*flag).to_owned(), path.to_string_lossy().into_owned()]);
    fixed.into_iter().chain(paths).collect()
}
