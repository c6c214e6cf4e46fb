//! The server as a whole: bind, start pool and workers, then listen to signals until it ends (SPEC RUN).
//!
//! ```text
//! bind ─► user ─► root, store ─► sandbox ─► log ─► pool ─► workers ─► ready
//!                                                                       │ HUP: settings read anew ─► Site swapped
//!                                                                       │ TERM, INT: not ready ─ delay ─► drain
//! ```

mod capacity;
mod control;
mod error;
mod listeners;
mod places;
mod signals;
mod start;
mod state;

use std::io;
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};
use tokio::time::MissedTickBehavior;

use self::control::Control;
pub use self::error::StartError;
pub use self::places::check_places;
use self::signals::{Asked, Signals};
use self::state::State;
use crate::config::{Environment, Invocation, Settings};
use crate::greeting;
use crate::limits::Admission;
use crate::net::listener::SocketFiles;
use crate::site::Services;
use crate::telemetry::log::{self as logging, LogWriter};
use crate::worker::{Order, Worker};

/// Exit codes (SPEC RUN-5). 0 is clean, and 2, usage or configuration, is `main`'s.
const COULD_NOT_START: u8 = 1;
const DRAIN_DEADLINE_PASSED: u8 = 3;

/// Between two lines on the pool's state, of those intervals in which there was work.
const STATUS_EVERY: Duration = Duration::from_secs(30);
/// How often the server looks whether its workers live, and keeps what the past second was like.
const SECOND: Duration = Duration::from_secs(1);
/// How often a draining server looks whether its workers have ended.
const DRAIN_POLL: Duration = Duration::from_millis(5);
/// What a worker with nothing open needs to end; a shorter drain would call that a cut.
const DRAIN_FLOOR: Duration = Duration::from_millis(200);
/// How long the pool and the log may take to finish at the very end.
const LAST_WORK: Duration = Duration::from_secs(2);

/// A running server.
pub struct Server {
    settings: Arc<Settings>,
    invocation: Invocation,
    workers: Vec<Worker>,
    services: Services,
    writer: LogWriter,
    log_thread: JoinHandle<()>,
    started: Instant,
    descriptors: Option<u64>,
    /// What survives a restart.
    state: Option<State>,
    /// Where `tidegate bans` comes in, until somebody listens there.
    control: Option<UnixListener>,
    _socket_files: SocketFiles,
}

impl Server {
    /// Runs until a signal ends it; the exit code says how.
    pub fn run(invocation: Invocation, settings: Settings) -> ExitCode {
        Self::start_and_watch(invocation, settings).unwrap_or_else(|error| {
            crate::complain(&format!("tidegate: {error}"));
            ExitCode::from(COULD_NOT_START)
        })
    }

    fn start_and_watch(invocation: Invocation, settings: Settings) -> Result<ExitCode, StartError> {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
        runtime.block_on(async {
            // A signal that comes from here on is heard, if only when the server has started.
            let mut signals = Signals::new()?;
            let mut server = Self::start(invocation, settings)?;
            server.open_control()?;
            let code = server.watch(&mut signals).await;
            server.finish(code);
            Ok(code)
        })
    }

    fn admission(&self) -> &Admission {
        &self.services.overview.parts.admission
    }

    /// Lets `tidegate bans` in, where the settings say so.
    fn open_control(&mut self) -> io::Result<()> {
        let Some(bound) = self.control.take() else { return Ok(()) };
        let overview = Arc::clone(&self.services.overview);
        tokio::task::spawn_local(Control { overview }.serve(bound)?);
        Ok(())
    }

    /// Listens to signals until the server has ended.
    async fn watch(&mut self, signals: &mut Signals) -> ExitCode {
        let mut status = tokio::time::interval_at(tokio::time::Instant::now() + STATUS_EVERY, STATUS_EVERY);
        let mut second = tokio::time::interval_at(tokio::time::Instant::now() + SECOND, SECOND);
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut finished = 0;
        let asked_by = loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Asked::Reload => self.reload(),
                    Asked::End(name) => break name,
                },
                _ = second.tick() => {
                    if self.workers.iter().any(Worker::is_finished) {
                        log::error!("a worker ended, and a server without it would answer some clients only");
                        return ExitCode::from(COULD_NOT_START);
                    }
                    self.tick();
                }
                _ = status.tick() => finished = self.tell_status(finished),
            }
        };
        self.drain(asked_by, signals).await
    }

    /// What is done once a second.
    fn tick(&self) {
        let (overview, ledger) = (&self.services.overview, &self.services.ledger);
        overview.tick();
        let now = overview.now();
        ledger.bans.expire(now);
        if let Some(state) = &self.state {
            state.save_soon(&self.services.pool, now);
        }
    }

    /// Reads the configuration anew and takes it over whole, or not at all.
    fn reload(&mut self) {
        match self.try_reload() {
            Ok(changed) if changed.is_empty() => {
                log::info!("configuration reloaded, nothing changed; logs reopened");
            }
            Ok(changed) => {
                log::info!("configuration reloaded, logs reopened; changed: {}", changed.join(", "));
            }
            Err(why) => {
                self.services.overview.reload_failed();
                log::error!("configuration not reloaded, the old one goes on: {why}");
            }
        }
    }

    fn try_reload(&mut self) -> Result<Vec<&'static str>, String> {
        let new = self.invocation.resolve_again(&Environment::current(), &self.settings);
        let new = new.map_err(|error| error.to_string())?;
        if let Some(key) = self.settings.changed_fixed_key(&new) {
            return Err(format!("{key} cannot change while the server runs; restart it for that"));
        }
        // What can fail comes first; from the reopened log on, nothing does.
        self.services.pool.resize(new.server.threads, new.server.queue).map_err(|error| error.to_string())?;
        if let Err(error) = self.writer.reopen(&new.log) {
            let old = &self.settings.server;
            let _ = self.services.pool.resize(old.threads, old.queue);
            return Err(format!("cannot open the log: {error}"));
        }
        logging::reshape(&new.log);
        let cap = capacity::connections(&new, self.descriptors);
        greeting::remark(&new, cap, self.descriptors);
        self.admission().set_cap(cap);
        if let Some(store) =
            self.services.store.as_ref().filter(|_| new.uploads.quota != self.settings.uploads.quota)
        {
            store.set_quota(new.uploads.quota);
        }
        let overview = &self.services.overview;
        self.services.ledger.rescale(&self.settings.clients, &new.clients, overview.now());
        let changed = self.settings.changed_keys(&new);
        self.settings = Arc::new(new);
        overview.reloaded(Arc::clone(&self.settings));
        for worker in &self.workers {
            worker.order(Order::Reload(Arc::clone(&self.settings)));
        }
        Ok(changed)
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

    /// Ends politely: not ready, then no longer accepting, then everything begun is finished or cut.
    async fn drain(&self, asked_by: &str, signals: &mut Signals) -> ExitCode {
        self.services.draining.begin();
        let settings = &self.settings.server;
        if !settings.drain_delay.is_zero() {
            log::info!(
                "{asked_by} received, shutting down: /readyz says 503; accepting on for {:?}",
                settings.drain_delay
            );
            tokio::select! {
                () = tokio::time::sleep(settings.drain_delay) => {}
                () = signals.end() => return cut_short(),
            }
        }
        let connections = self.admission().connections().0;
        log::info!(
            "{asked_by} received, shutting down: connections open: {connections}, with {:?} to finish (once more to end \
             at once)",
            settings.drain
        );
        for worker in &self.workers {
            worker.order(Order::Drain);
        }
        let all_ended = async {
            while !self.workers.iter().all(Worker::is_finished) {
                tokio::time::sleep(DRAIN_POLL).await;
            }
        };
        tokio::select! {
            () = all_ended => ExitCode::SUCCESS,
            () = tokio::time::sleep(settings.drain.max(DRAIN_FLOOR)) => {
                let left = self.admission().connections().0;
                log::warn!("the drain deadline passed; {left} connections are cut");
                ExitCode::from(DRAIN_DEADLINE_PASSED)
            }
            () = signals.end() => cut_short(),
        }
    }

    /// The last words. Workers that were not done end with the process.
    fn finish(self, code: ExitCode) {
        if code == ExitCode::SUCCESS {
            self.services.pool.shut_down(Instant::now() + LAST_WORK);
        }
        if let Some(state) = &self.state {
            state.save(self.services.overview.now());
        }
        let totals = self.services.overview.parts.board.totals();
        let peak = self.admission().connections().1;
        log::info!("{}", greeting::summary(&totals, peak, self.started.elapsed(), self.writer.dropped()));
        self.writer.stop();
        let deadline = Instant::now() + LAST_WORK;
        while !self.log_thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The operator asked twice.
fn cut_short() -> ExitCode {
    log::warn!("a second signal: ending at once");
    ExitCode::from(DRAIN_DEADLINE_PASSED)
}
