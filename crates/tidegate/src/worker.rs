//! One worker: a thread with an event loop of its own, its own listening sockets, and the connections that they accept.
//! On the path of a cached answer workers share one lock, that of a shard of the rate table, for some nanoseconds.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;

use crate::clock::Clock;
use crate::config::{ListenAddr, LogSettings, Settings};
use crate::conn::Connection;
use crate::conn::deadline::TICK;
use crate::conn::local::Local;
use crate::http::host::Here;
use crate::isolate;
use crate::limits::Admission;
use crate::net::listener::Bound;
use crate::net::{Listener, Peer, Tls, Transport, sys};
use crate::pipeline::{Caller, Purpose};
use crate::site::{Services, Site};
use crate::telemetry::log::LogWriter;
use crate::telemetry::{Notes, Recorder};

/// First wait after `accept` failed for want of descriptors or memory; doubled up to [`BACKOFF_MAX`].
const BACKOFF: Duration = Duration::from_millis(10);
/// Longest such wait: how long a recovery may go unnoticed.
const BACKOFF_MAX: Duration = Duration::from_millis(200);
/// Between two log lines about failing accepts.
const ACCEPT_LOG_GAP: Duration = Duration::from_secs(10);
/// Every so many ticks a worker says at DEBUG what it does.
const STATE_EVERY: u64 = 10;

/// When so many connections were open and half of them are gone, their memory goes back to the system.
const CROWD: usize = 256;

/// What a worker is told while it runs.
#[derive(Clone, Debug)]
pub enum Order {
    /// Serve by these settings from now on, with these certificates.
    Reload(Arc<Settings>, Option<Arc<Tls>>),
    /// Accept from now on.
    Open,
    /// Stop accepting, finish what was begun, then end.
    Drain,
}

/// A listening socket of a worker.
#[derive(Debug)]
pub struct Entrance {
    /// The socket.
    pub bound: Bound,
    /// What is served there.
    pub purpose: Purpose,
}

impl Entrance {
    /// The same, for another worker.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE`.
    pub fn duplicate(&self) -> io::Result<Self> {
        Ok(Self { bound: self.bound.duplicate()?, purpose: self.purpose })
    }
}

/// What a worker starts with.
pub struct Start {
    /// Its number, from 0.
    pub number: usize,
    /// Its listening sockets.
    pub entrances: Vec<Entrance>,
    /// What it serves.
    pub settings: Arc<Settings>,
    /// What it proves to be, where it speaks TLS.
    pub tls: Option<Arc<Tls>>,
    /// What it shares with the others, under locks or atomics.
    pub services: Services,
    /// Seats for connections.
    pub admission: Admission,
    /// What it counts and has seen.
    pub notes: Notes,
    /// Where its log lines go.
    pub writer: LogWriter,
    /// The zero of all clocks.
    pub epoch: Instant,
    /// Connections without a seat that may be told so at once; beyond that they are just closed.
    pub courtesy: usize,
}

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    orders: mpsc::UnboundedSender<Order>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts the thread `worker-N`, and waits until it could accept; it does once it is ordered to open.
    ///
    /// # Errors
    /// When the system refuses a thread, an event loop, or a descriptor.
    pub fn start(start: Start) -> io::Result<Self> {
        let (orders, receive) = mpsc::unbounded_channel();
        let (ready, accepts) = sync_channel(1);
        let name = format!("worker-{}", start.number);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
            let ran = runtime.and_then(|runtime| runtime.block_on(run(start, receive, &ready)));
            if let Err(error) = ran {
                let _ = ready.send(Err(error));
            }
        })?;
        accepts.recv().unwrap_or_else(|_| Err(io::Error::other("a worker ended at once")))?;
        Ok(Self { orders, thread })
    }

    /// Tells the worker.
    pub fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}

async fn run(
    start: Start,
    mut orders: mpsc::UnboundedReceiver<Order>,
    ready: &SyncSender<io::Result<()>>,
) -> io::Result<()> {
    let Start { number, entrances, settings, tls, services, admission, notes, writer, epoch, courtesy } =
        start;
    let recorder = Recorder::new(notes, format!("worker-{number}"), writer, &settings.log);
    let site = Site::new(&settings, tls, &services, recorder.tally());
    let local = Rc::new(Local::new(site, Clock::new(epoch), recorder));
    local.site().files.pages().read(local.clock.now());
    let (drain, draining) = watch::channel(false);
    let (backlog, backlogs) = watch::channel(settings.server.backlog);
    let mut doors = Vec::new();
    for Entrance { bound, purpose } in entrances {
        let listener = Listener::attach(bound)?;
        let inside = Inside { local: Rc::clone(&local), admission: admission.clone(), courtesy, purpose };
        doors.push(Door { listener, inside });
    }
    spawn_local(tick(Rc::clone(&local), admission));
    let _ = ready.send(Ok(()));
    let mut accepting = Vec::new();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Open => accepting.extend(
                doors
                    .drain(..)
                    .map(|door| spawn_local(door.accept_until(draining.clone(), backlogs.clone()))),
            ),
            Order::Reload(settings, tls) => {
                reload(&local, &settings, tls, &services);
                backlog.send_replace(settings.server.backlog);
            }
            Order::Drain => break,
        }
    }
    drain.send_replace(true);
    for task in accepting {
        let _ = task.await;
    }
    local.drain();
    while local.deadlines.live() > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    local.recorder.flush();
    Ok(())
}

fn reload(local: &Local, settings: &Settings, tls: Option<Arc<Tls>>, services: &Services) {
    let log: &LogSettings = &settings.log;
    local.recorder.reshape(log);
    local.swap_site(Site::new(settings, tls, services, local.recorder.tally()));
}

/// Keeps time for a worker: deadlines, the `Date` field, log lines that wait to be handed over, and memory that is not
/// needed any more.
async fn tick(local: Rc<Local>, admission: Admission) {
    let mut peak = 0;
    for count in 1_u64.. {
        tokio::time::sleep(TICK).await;
        local.recorder.tally().turn(local.clock.now());
        let _ = isolate::run(|| {
            crate::failpoint!("tick");
            local.clock.refresh();
            local.deadlines.tick(local.clock.now());
            local.recorder.flush();
            let live = local.deadlines.connections();
            local.recorder.tally().set_connections(live);
            if count % STATE_EVERY == 0 {
                local.recorder.tell_state(live);
                local.recorder.tick(local.clock.now());
                tidy_up(&local, &admission, live, &mut peak);
            }
        });
    }
}

/// Gives memory back when half of a crowd has gone.
fn tidy_up(local: &Local, admission: &Admission, live: usize, peak: &mut usize) {
    *peak = live.max(*peak);
    if *peak < CROWD || live >= *peak / 2 {
        return;
    }
    local.deadlines.give_memory_back();
    admission.give_memory_back();
    if local.site().pool.run_spare("tidying up", sys::give_memory_back) {
        *peak = live;
    }
}

/// A listening socket of a worker and what is behind it.
struct Door {
    listener: Listener,
    inside: Inside,
}

/// Where accepted connections go.
struct Inside {
    local: Rc<Local>,
    admission: Admission,
    courtesy: usize,
    purpose: Purpose,
}

impl Door {
    /// Accepts until told to drain; then takes in those who already wait, whom a close would reset.
    async fn accept_until(self, mut draining: watch::Receiver<bool>, mut backlogs: watch::Receiver<i32>) {
        let mut trouble = Trouble::default();
        // A socket that was handed over has the backlog of the server before.
        backlogs.mark_changed();
        loop {
            tokio::select! {
                biased;
                _ = draining.wait_for(|draining| *draining) => break,
                Ok(()) = backlogs.changed() => {
                    let backlog = *backlogs.borrow_and_update();
                    if let Err(error) = self.listener.set_backlog(backlog) {
                        log::warn!("the backlog stays as it was: {error}");
                    }
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((io, peer)) => {
                        trouble.over();
                        self.inside.welcome(self.listener.at(), io, peer);
                    }
                    Err(error) => trouble.wait(&error).await,
                }
            }
        }
        let Self { listener, inside } = self;
        let at = listener.at().clone();
        for (io, peer) in listener.last_ones() {
            inside.welcome(&at, io, peer);
        }
    }
}

impl Inside {
    /// Gives a connection its seat, or tells it that there is none. A panic here costs that connection alone.
    fn welcome(&self, at: &ListenAddr, io: Transport, peer: Peer) {
        let _ = isolate::run(|| self.seat(at, io, peer));
    }

    fn seat(&self, at: &ListenAddr, io: Transport, peer: Peer) {
        let caller = Caller { peer, here: here(at, &io), purpose: self.purpose };
        let site = self.local.site();
        let guard = &site.guard;
        match self.admission.admit(guard.identity.counted(peer), guard.max_connections) {
            Ok(permit) => {
                crate::failpoint!("accept");
                let tls = self.tls(&site, caller.here);
                spawn_local(Connection::new(io, caller, Some(permit), &self.local).serve(tls));
            }
            Err(refused)
                if self.local.turned_away.get() < self.courtesy && self.tls(&site, caller.here).is_none() =>
            {
                let telling = Telling::begin(&self.local);
                let mut connection = Connection::new(io, caller, None, &self.local);
                spawn_local(async move {
                    let _telling = telling;
                    connection.turn_away(refused).await;
                });
            }
            Err(refused) => Connection::new(io, caller, None, &self.local).turn_away_silently(refused),
        }
    }

    /// What is spoken here before HTTP: TLS on every TCP listener, if there are certificates, but for the one that only
    /// leads there.
    fn tls(&self, site: &Site, here: Here) -> Option<Arc<Tls>> {
        let plain = here == Here::Unix || self.purpose == Purpose::Redirect;
        site.tls.clone().filter(|_| !plain)
    }
}

/// A connection that is being told that it has no seat; counted until this is dropped.
struct Telling(Rc<Local>);

impl Telling {
    fn begin(local: &Rc<Local>) -> Self {
        local.turned_away.set(local.turned_away.get() + 1);
        Self(Rc::clone(local))
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.turned_away.set(self.0.turned_away.get().saturating_sub(1));
    }
}

/// The address on which a connection was accepted; only a wildcard listener must ask.
fn here(at: &ListenAddr, io: &Transport) -> Here {
    match at {
        ListenAddr::Unix(_) => Here::Unix,
        ListenAddr::Tcp(at) if !at.ip().is_unspecified() => Here::Ip(at.ip(), at.port()),
        ListenAddr::Tcp(at) => {
            Here::Ip(io.local_addr().map_or(at.ip(), |local| local.ip().to_canonical()), at.port())
        }
    }
}

/// Failing accepts (SPEC LOAD-6): wait a little longer each time, say so now and then, recover by itself.
#[derive(Default)]
struct Trouble {
    wait: Duration,
    said: Option<Instant>,
}

impl Trouble {
    fn over(&mut self) {
        self.wait = Duration::ZERO;
    }

    async fn wait(&mut self, error: &io::Error) {
        // A client that left before it was accepted is nobody's trouble.
        if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted) {
            return;
        }
        self.wait = (self.wait * 2).clamp(BACKOFF, BACKOFF_MAX);
        if self.said.is_none_or(|said| said.elapsed() >= ACCEPT_LOG_GAP) {
            self.said = Some(Instant::now());
            log::warn!("cannot accept connections: {error}; trying again until it works");
        }
        tokio::time::sleep(self.wait).await;
    }
}
