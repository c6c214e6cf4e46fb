//! The server as a whole: bind, start pool and workers, then listen to signals and operators until it ends (SPEC RUN).
//!
//! ```text
//! bind ─► user ─► root, store, TLS ─► sandbox ─► log ─► pool ─► workers ─► ready
//!                                                                            │ HUP: settings read anew ─► Site swapped
//!                                                                            │ TERM, INT: not ready ─ delay ─► drain
//!                                                                            │ a successor is ready ─► drain
//! ```

mod capacity;
mod control;
mod drain;
mod error;
mod listeners;
mod notify;
mod places;
mod reload;
mod signals;
mod start;
mod state;
mod takeover;
mod watchdog;

use std::cell::Cell;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::task::JoinHandle as Task;
use tokio::time::MissedTickBehavior;

use self::control::{Control, Wish};
use self::drain::Ending;
pub use self::error::StartError;
use self::notify::Notifier;
pub use self::places::{Checked, check};
use self::signals::{Asked, Signals};
use self::state::State;
use self::takeover::Predecessor;
use self::watchdog::Watchdog;
use crate::clock::unix_millis;
use crate::config::{Invocation, Settings};
use crate::greeting::{self, Addresses};
use crate::isolate;
use crate::limits::Admission;
use crate::limits::bans::Restored;
use crate::net::Tls;
use crate::net::handover::Sockets;
use crate::net::listener::{Bound, SocketFiles};
use crate::site::Services;
use crate::telemetry::log::LogWriter;
use crate::worker::{Order, Worker};

/// Exit codes (SPEC RUN-5). 0 is clean, and 2, usage or configuration, is `main`'s.
const COULD_NOT_START: u8 = 1;
const DRAIN_DEADLINE_PASSED: u8 = 3;

/// Between two lines on the pool's state, of those intervals in which there was work.
const STATUS_EVERY: Duration = Duration::from_secs(30);
/// How often the server looks whether its workers live, and keeps what the past second was like.
const SECOND: Duration = Duration::from_secs(1);
/// How often the server looks whether a certificate ends soon.
const DAY: Duration = Duration::from_hours(24);
/// Wishes that may wait: those of all callers that the control socket has at a time.
const WISHES: usize = 8;

/// A running server.
pub struct Server {
    settings: Arc<Settings>,
    /// What it proves to be, where it speaks TLS.
    tls: Option<Arc<Tls>>,
    invocation: Invocation,
    workers: Vec<Worker>,
    services: Services,
    writer: LogWriter,
    log_thread: JoinHandle<()>,
    started: Instant,
    descriptors: Option<u64>,
    /// Where it listens.
    at: Addresses,
    /// What survives a restart.
    state: Option<State>,
    /// Where operators' commands come in, until somebody listens there.
    control: Option<Bound>,
    /// Who does.
    commands: Option<Task<()>>,
    /// The listening sockets once more, where a successor may ask for them.
    duplicates: Sockets,
    /// Whether one has them.
    handed_on: Rc<Cell<bool>>,
    notifier: Notifier,
    socket_files: SocketFiles,
}

impl Server {
    /// Runs until a signal ends it, or a successor; the exit code says how.
    pub fn run(invocation: Invocation, settings: Settings) -> ExitCode {
        Self::start_and_watch(invocation, settings).unwrap_or_else(|error| {
            crate::complain(&format!("tidegate: {error}"));
            ExitCode::from(COULD_NOT_START)
        })
    }

    fn start_and_watch(invocation: Invocation, settings: Settings) -> Result<ExitCode, StartError> {
        signals::prepare()?;
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(async {
            // A signal that comes from here on is heard, if only when the server has started.
            let mut signals = Signals::new()?;
            let mut predecessor = Predecessor::of(&invocation, &settings)?;
            let mut server = Self::start(invocation, settings, predecessor.as_mut())?;
            let (wishes, wished) = mpsc::channel(WISHES);
            server.open_control(wishes.clone())?;
            if let Some(bans) = predecessor.map(Predecessor::relieve).transpose()?.flatten() {
                server.take_over_bans(&bans);
            }
            server.open();
            server.notifier.ready("accepting connections");
            let code = match server.watch(&mut signals, wished).await {
                Some(ending) => server.drain(ending, &mut signals).await,
                None => ExitCode::from(COULD_NOT_START),
            };
            server.finish(code);
            Ok(code)
        })
    }

    /// Goes on with the bans of the server before, in place of those that it saved last.
    fn take_over_bans(&self, bans: &str) {
        let Restored { bans, .. } =
            self.services.ledger.bans.restore(bans, self.services.overview.now(), unix_millis());
        if bans > 0 {
            log::info!("bans taken over from the server before: {bans}");
        }
    }

    /// Lets clients in: from here on this is the server.
    fn open(&mut self) {
        self.socket_files.take_over();
        for worker in &self.workers {
            worker.order(Order::Open);
        }
    }

    fn admission(&self) -> &Admission {
        &self.services.overview.parts.admission
    }

    /// Lets operators' commands in, where the settings say so.
    fn open_control(&mut self, wishes: mpsc::Sender<Wish>) -> io::Result<()> {
        let Some(bound) = self.control.take() else { return Ok(()) };
        let (overview, handed_on) = (Arc::clone(&self.services.overview), Rc::clone(&self.handed_on));
        let control = Control { overview, wishes, handed_on };
        self.commands = Some(tokio::task::spawn_local(control.serve(bound)?));
        Ok(())
    }

    /// Listens to signals and wishes until one asks for the end; `None` where a worker has died.
    async fn watch(&mut self, signals: &mut Signals, mut wished: mpsc::Receiver<Wish>) -> Option<Ending> {
        let mut status = tokio::time::interval_at(tokio::time::Instant::now() + STATUS_EVERY, STATUS_EVERY);
        let mut second = tokio::time::interval_at(tokio::time::Instant::now() + SECOND, SECOND);
        let mut day = tokio::time::interval_at(tokio::time::Instant::now() + DAY, DAY);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut finished, mut watchdog) = (0, Watchdog::default());
        loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Asked::Reload => drop(self.reload()),
                    Asked::End(name) => return Some(Ending::Asked(name)),
                },
                Some(wish) = wished.recv() => match wish {
                    Wish::Reload(reply) => drop(reply.send(self.reload())),
                    Wish::Listeners(reply) => drop(reply.send(self.duplicates())),
                    Wish::MakeWay { pid } => return Some(Ending::Replaced(pid)),
                },
                _ = second.tick() => {
                    if self.workers.iter().any(Worker::is_finished) {
                        log::error!("a worker ended, and a server without it would answer some clients only");
                        return None;
                    }
                    let _ = isolate::run(|| {
                        self.tick();
                        watchdog.walk(&self.services.overview);
                    });
                }
                _ = day.tick() => greeting::tell_expiry(self.tls.as_deref()),
                _ = status.tick() => finished = isolate::run(|| self.tell_status(finished)).unwrap_or(finished),
            }
        }
    }

    /// The listening sockets for a successor, who finds what survives a restart written down.
    fn duplicates(&self) -> io::Result<Sockets> {
        if let Some(state) = &self.state {
            state.save(self.services.overview.now());
        }
        self.duplicates.duplicate()
    }

    /// What is done once a second.
    fn tick(&self) {
        crate::failpoint!("second");
        let (overview, ledger) = (&self.services.overview, &self.services.ledger);
        overview.tick();
        let now = overview.now();
        ledger.bans.expire(now);
        if let Some(state) = &self.state {
            state.save_soon(&self.services.pool, now);
        }
    }

    /// Says how the pool does, if it did something since `finished` jobs were done.
    fn tell_status(&self, finished: u64) -> u64 {
        let status = self.services.pool.status();
        if status.finished > finished || status.busy() > 0 {
            log::info!("{}", greeting::pool_status(&status));
            for (number, thread) in status.threads.iter().enumerate() {
                log::debug!("pool-{number}: {}", thread.doing.unwrap_or("idle"));
            }
        }
        status.finished
    }
}
