//! The server as a whole: bind, start pool and workers, then listen to signals until it ends (SPEC RUN).
//!
//! ```text
//! bind ─► limits ─► log ─► pool ─► store ─► workers ─► ready
//!                                                        │ HUP: settings read anew ─► Site swapped in each worker
//!                                                        │ TERM, INT: not ready ─ delay ─► drain ─► ended, or cut
//! ```

mod capacity;
mod control;
mod state;

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::control::Control;
use self::state::State;
use crate::clock::Millis;
use crate::config::{Environment, Invocation, ListenAddr, Settings};
use crate::conn::send_file::copied_end;
use crate::handlers::files::codings::Codings;
use crate::handlers::health::Draining;
use crate::handlers::overview::{Overview, Parts};
use crate::limits::{Admission, Budget, Ledger};
use crate::net::listener::{self, SocketFiles};
use crate::pool::Pool;
use crate::site::Services;
use crate::store::LocalStore;
use crate::telemetry::log::{self as logging, LogWriter};
use crate::telemetry::process::Process;
use crate::telemetry::{Board, Notes};
use crate::worker::{Entrance, Order, Start, Worker};
use crate::{greeting, net};

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

/// Why the server did not start; a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder to serve is not there.
    #[error("root {0}: {1}; name the folder to serve with `-r FOLDER`")]
    Root(String, io::Error),
    /// An address cannot be had.
    #[error("{0}: address in use; another server listens there (choose another with -p or --listen)")]
    InUse(ListenAddr),
    /// An address cannot be bound for another reason.
    #[error("cannot listen on {0}: {1}")]
    Listen(ListenAddr, io::Error),
    /// A log file cannot be opened.
    #[error("cannot open the log: {0}")]
    Log(io::Error),
    /// The right to do so is missing.
    #[error("cannot listen on {0}: permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE")]
    Denied(ListenAddr),
    /// The folder for what survives a restart cannot be used.
    #[error("cannot use the state folder {}: {}", .0.display(), .1)]
    State(PathBuf, io::Error),
    /// The system refuses something else.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}

/// A running server.
pub struct Server {
    settings: Arc<Settings>,
    invocation: Invocation,
    workers: Vec<Worker>,
    services: Services,
    admission: Admission,
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

    /// Binds and starts everything, or nothing.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(invocation: Invocation, settings: Settings) -> Result<Self, StartError> {
        let started = Instant::now();
        let root = open_root(&settings.files.root)?;
        let (listeners, mut socket_files) = bind_all(&settings)?;
        let control = settings.server.control.as_ref().map(|path| bind_control(path, &mut socket_files));
        let control = control.transpose()?;
        net::sys::keep_no_large_memory();
        let descriptors = net::sys::raise_file_limit();
        let (writer, log_thread) = LogWriter::start(&settings.log).map_err(StartError::Log)?;
        logging::install(&writer, &settings.log);
        std::panic::set_hook(Box::new(|panic| log::error!("{panic}")));
        let cap = capacity::connections(&settings, descriptors);
        let store = open_store(&settings);
        let stored = store.as_ref().map(|store| store.folder().try_clone_to_owned()).transpose()?;
        let settings = Arc::new(settings);
        let (pool, budget) = (Pool::start(settings.server.threads, settings.server.queue)?, Budget::new());
        let (admission, draining) = (Admission::new(cap), Draining::default());
        let ledger = Arc::new(Ledger::new());
        let state = settings.server.state.as_ref().map(|folder| {
            State::open(folder, &ledger, Millis(0)).map_err(|error| StartError::State(folder.clone(), error))
        });
        let state = state.transpose()?;
        let notes = Notes::of(settings.server.workers);
        let parts = Parts {
            board: Board::new(
                notes.iter().map(|notes| Arc::clone(&notes.tally)).collect(),
                notes.iter().map(|notes| Arc::clone(&notes.sightings)).collect(),
            ),
            pool: pool.clone(),
            admission: admission.clone(),
            ledger: Arc::clone(&ledger),
            budget: budget.clone(),
            writer: writer.clone(),
            process: Mutex::new(Process::open()?),
            draining: draining.clone(),
            store: store.clone(),
            zero: started,
        };
        let services = Services {
            pool,
            root: Arc::new(root),
            store,
            stored: stored.map(Arc::new),
            budget,
            ledger,
            overview: Arc::new(Overview::new(parts, Arc::clone(&settings))),
            draining,
            room: capacity::remembered(descriptors, cap, settings.server.workers),
            codings: Codings::default(),
            copied_end: copied_end(net::sys::largest_receive_queue()),
        };
        let mut server = Self {
            settings,
            invocation,
            workers: Vec::new(),
            services,
            admission,
            writer,
            log_thread,
            started,
            descriptors,
            state,
            control,
            _socket_files: socket_files,
        };
        let at: Vec<_> =
            listeners.iter().filter_map(|all| all.first()).map(|first| first.bound.at.clone()).collect();
        server.start_workers(listeners, notes, capacity::courtesy(descriptors, cap))?;
        greeting::greet(&server.settings, &at, server.services.store.is_some(), cap, descriptors);
        Ok(server)
    }

    fn start_workers(
        &mut self,
        listeners: Vec<Vec<Entrance>>,
        notes: Vec<Notes>,
        courtesy: usize,
    ) -> io::Result<()> {
        let mut shares: Vec<Vec<Entrance>> = (0..self.settings.server.workers).map(|_| Vec::new()).collect();
        for bound in listeners {
            for (share, socket) in shares.iter_mut().zip(bound) {
                share.push(socket);
            }
        }
        for (number, (entrances, notes)) in shares.into_iter().zip(notes).enumerate() {
            self.workers.push(Worker::start(Start {
                number,
                entrances,
                settings: Arc::clone(&self.settings),
                services: self.services.clone(),
                admission: self.admission.clone(),
                notes,
                writer: self.writer.clone(),
                epoch: self.started,
                courtesy: (courtesy / self.settings.server.workers).max(1),
            })?);
        }
        Ok(())
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
        let mut second = tokio::time::interval(SECOND);
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
        let new = self.invocation.resolve(&Environment::current()).map_err(|error| error.to_string())?;
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
        self.admission.set_cap(cap);
        if let Some(store) =
            self.services.store.as_ref().filter(|_| new.uploads.quota != self.settings.uploads.quota)
        {
            store.set_quota(new.uploads.quota);
        }
        let changed = self.settings.changed_keys(&new);
        self.settings = Arc::new(new);
        self.services.overview.reloaded(Arc::clone(&self.settings));
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
        let connections = self.admission.connections().0;
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
                let left = self.admission.connections().0;
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
        let peak = self.admission.connections().1;
        log::info!("{}", greeting::summary(&totals, peak, self.started.elapsed(), self.writer.dropped()));
        self.writer.stop();
        let deadline = Instant::now() + LAST_WORK;
        while !self.log_thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// The signals that the server hears.
struct Signals {
    hup: Signal,
    int: Signal,
    term: Signal,
}

/// What a signal asks for.
enum Asked {
    Reload,
    /// By the signal of this name.
    End(&'static str),
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hup: signal(SignalKind::hangup())?,
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.hup.recv() => Asked::Reload,
            _ = self.int.recv() => Asked::End("INT"),
            _ = self.term.recv() => Asked::End("TERM"),
        }
    }

    /// Waits for one that asks for the end.
    async fn end(&mut self) {
        while matches!(self.next().await, Asked::Reload) {}
    }
}

/// The operator asked twice.
fn cut_short() -> ExitCode {
    log::warn!("a second signal: ending at once");
    ExitCode::from(DRAIN_DEADLINE_PASSED)
}

/// Looks whether what the settings name can be had, without taking it: for `tidegate check`.
///
/// # Errors
/// [`StartError`], as a start would give it.
pub fn check_places(settings: &Settings) -> Result<(), StartError> {
    open_root(&settings.files.root).map(|_| ())
}

fn open_root(root: &Path) -> Result<OwnedFd, StartError> {
    rustix::fs::open(root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| StartError::Root(root.display().to_string(), errno.into()))
}

fn cannot_listen(addr: &ListenAddr, error: io::Error) -> StartError {
    match error.kind() {
        io::ErrorKind::AddrInUse => StartError::InUse(addr.clone()),
        io::ErrorKind::PermissionDenied => StartError::Denied(addr.clone()),
        _ => StartError::Listen(addr.clone(), error),
    }
}

fn bind_control(path: &Path, files: &mut SocketFiles) -> Result<UnixListener, StartError> {
    let addr = ListenAddr::Unix(path.to_owned());
    let bound = listener::bind_private(path).map_err(|error| cannot_listen(&addr, error))?;
    files.remember(&addr);
    Ok(bound)
}

/// Sockets per address, each a list with one socket per worker.
fn bind_all(settings: &Settings) -> Result<(Vec<Vec<Entrance>>, SocketFiles), StartError> {
    let mut files = SocketFiles::default();
    let mut all = Vec::new();
    let public = settings.server.listen.iter().map(|addr| (addr, false));
    for (addr, backstage) in public.chain(settings.admin.listen.iter().map(|addr| (addr, true))) {
        let bound = listener::bind(addr, settings.server.workers, settings.server.backlog);
        let bound = bound.map_err(|error| cannot_listen(addr, error))?;
        all.push(bound.into_iter().map(|bound| Entrance { bound, backstage }).collect());
        files.remember(addr);
    }
    Ok((all, files))
}

/// The uploads folder, where it can be had; files are served without it too (SPEC UP-3).
fn open_store(settings: &Settings) -> Option<Arc<LocalStore>> {
    let inside = settings.files.root.join("uploads");
    let folder = settings.uploads.dir.as_deref().unwrap_or(&inside);
    match LocalStore::open(folder, settings.uploads.quota) {
        Ok(store) => Some(Arc::new(store)),
        Err(error) => {
            log::warn!("uploads are refused: {}: {error}", folder.display());
            None
        }
    }
}
