//! The start of a server: everything, or nothing.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use super::listeners::Listeners;
use super::notify::Notifier;
use super::state::State;
use super::takeover::Predecessor;
use super::{Server, StartError, capacity, places};
use crate::config::{Invocation, LogSettings, Settings};
use crate::conn::send_file::copied_end;
use crate::greeting::{self, Scene};
use crate::handlers::files::codings::Codings;
use crate::handlers::health::Draining;
use crate::handlers::overview::{Overview, Parts};
use crate::limits::{Admission, Budget, Ledger};
use crate::net::{Tls, sys};
use crate::pool::Pool;
use crate::sandbox::Confined;
use crate::site::Services;
use crate::sync::Mutex;
use crate::telemetry::log::{self as logging, LogWriter};
use crate::telemetry::process::Process;
use crate::telemetry::{Notes, panics};
use crate::worker::{Entrance, Start, Worker};

impl Server {
    /// Binds and starts everything, or nothing. The order of what takes rights away is told in `places`.
    ///
    /// # Errors
    /// [`StartError`].
    pub(super) fn start(
        invocation: Invocation,
        mut settings: Settings,
        predecessor: Option<&mut Predecessor>,
    ) -> Result<Self, StartError> {
        let started = Instant::now();
        let listeners = Listeners::open(&settings, predecessor)?;
        settings.notes.extend(listeners.note());
        let at = listeners.addresses();
        let duplicates = listeners.duplicates()?;
        let notifier = Notifier::find();
        sys::set_up_memory();
        let descriptors = sys::raise_file_limit();
        // All three read what lies beyond the sandbox: the cache counts the cores.
        let (codings, copied_end) = (Codings::default(), copied_end(sys::largest_receive_queue()));
        let process = Process::open()?;
        let Ground { root, store, tls, ledger, state, confined } = ground(&invocation, &mut settings)?;
        // From here on there are threads.
        let (writer, log_thread) = start_log(&settings.log, started)?;
        state.iter().for_each(State::tell);
        let cap = capacity::connections(&settings, descriptors);
        let store = store.inspect_err(|why| log::warn!("uploads are refused: {why}")).ok();
        let stored = store.as_ref().map(|store| store.folder().try_clone_to_owned()).transpose()?;
        let settings = Arc::new(settings);
        let notes = Notes::of(settings.server.workers);
        let parts = Parts {
            board: Notes::board(&notes),
            pool: Pool::start(settings.server.threads, settings.server.queue)?,
            admission: Admission::new(cap),
            ledger,
            budget: Budget::default(),
            writer: writer.clone(),
            process: Mutex::new(process),
            draining: Draining::default(),
            zero: started,
        };
        let services = Services {
            pool: parts.pool.clone(),
            root: Arc::new(root),
            store,
            stored: stored.map(Arc::new),
            budget: parts.budget.clone(),
            ledger: Arc::clone(&parts.ledger),
            draining: parts.draining.clone(),
            overview: Arc::new(Overview::new(parts, Arc::clone(&settings), tls.clone())),
            room: capacity::remembered(descriptors, cap, settings.server.workers),
            codings,
            copied_end,
            https_port: at.https_port(),
        };
        // So that who looks in the first second sees something.
        services.overview.tick();
        let Listeners { entrances, control, files, .. } = listeners;
        let mut server = Self {
            settings,
            tls,
            invocation,
            workers: Vec::new(),
            services,
            writer,
            log_thread,
            started,
            descriptors,
            at,
            state,
            control,
            commands: None,
            duplicates,
            handed_on: Rc::default(),
            notifier,
            socket_files: files,
        };
        server.start_workers(entrances, notes, capacity::courtesy(descriptors, cap))?;
        capacity::spare(&server.services.root)?;
        server.greet(&confined, cap);
        Ok(server)
    }

    fn greet(&self, confined: &Confined, cap: usize) {
        let scene = Scene {
            at: &self.at,
            tls: self.tls.as_deref(),
            uploads: self.services.store.is_some(),
            confined,
            cap,
            descriptors: self.descriptors,
        };
        greeting::greet(&self.settings, &scene);
    }

    fn start_workers(
        &mut self,
        entrances: Vec<Vec<Entrance>>,
        notes: Vec<Notes>,
        courtesy: usize,
    ) -> io::Result<()> {
        let workers = self.settings.server.workers;
        let shares = Listeners::shares(entrances, workers)?;
        for (number, (entrances, notes)) in shares.into_iter().zip(notes).enumerate() {
            self.workers.push(Worker::start(Start {
                number,
                entrances,
                settings: Arc::clone(&self.settings),
                tls: self.tls.clone(),
                services: self.services.clone(),
                admission: self.services.overview.parts.admission.clone(),
                notes,
                writer: self.writer.clone(),
                epoch: self.started,
                courtesy: (courtesy / workers).max(1),
            })?);
        }
        Ok(())
    }
}

/// What is opened before there are threads, by the user that the process becomes.
struct Ground {
    root: OwnedFd,
    store: places::Stored,
    tls: Option<Arc<Tls>>,
    ledger: Arc<Ledger>,
    state: Option<State>,
    confined: Confined,
}

fn ground(invocation: &Invocation, settings: &mut Settings) -> Result<Ground, StartError> {
    places::give_up(settings)?;
    let root = places::open_root(&settings.files.root)?;
    let store = places::open_store(settings);
    let ledger = Arc::new(Ledger::new());
    let state = State::of(settings, &ledger)?;
    let tls = places::load_tls(settings)?;
    let confined = places::keep(invocation, settings, &store)?;
    Ok(Ground { root, store, tls, ledger, state, confined })
}

/// Starts the log, where panics are told too.
fn start_log(settings: &LogSettings, zero: Instant) -> Result<(LogWriter, JoinHandle<()>), StartError> {
    let (writer, thread) = LogWriter::start(settings).map_err(StartError::Log)?;
    logging::install(&writer, settings);
    panics::tell(zero);
    Ok((writer, thread))
}
