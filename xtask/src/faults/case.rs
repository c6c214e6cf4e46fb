//! One case from its begin to its end, and everything that is to be judged of it.
//!
//! ```text
//! server up ─► fault begins ─► clients at work ─► a look at the CPU ─► fault ends ─► clients done ─► well again?
//!                              at most FAULT_MOST                                     ─► what is left behind
//! ```

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::ask::{Client, End};
use super::curl::Protocol;
use super::load::{Ask, Clients, Load, Seen};
use super::matrix::{Aim, Case};
use super::strace::{Trace, Tracer};
use super::target::{FIXED, GROWING, Stand, Target};

/// A fault ends when the clients are done, or after this time: whoever waits for its end is to see it.
const FAULT_MOST: Duration = Duration::from_secs(2);

/// The same where each request brings a program and a handshake along, and none is meant to see the end.
const FAULT_MOST_SECURED: Duration = Duration::from_secs(10);

/// How long the CPU is looked at while nobody asks for anything.
const IDLE: Duration = Duration::from_millis(200);

/// For so long it is tried to find the server well again; what it may take is in `judge`.
const RECOVERY_LIMIT: Duration = Duration::from_secs(8);
const RECOVERY_POLL: Duration = Duration::from_millis(10);

/// Descriptors of connections that linger are given back after two seconds.
const SETTLE_LIMIT: Duration = Duration::from_secs(4);

/// Uploads that are no client's: one that prepares a store, and those that try whether it is well again.
pub(super) const BEFORE: &[u8] = b"[\"before\"]";
pub(super) const AFTER: &[u8] = b"[\"after\"]";

/// What was seen in one case.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) seen: Vec<Seen>,
    /// When the fault was about to end, and when it was over.
    pub(super) ending: Instant,
    pub(super) over: Instant,
    /// What happened to the calls that were traced, and whether those of the store are among them.
    pub(super) trace: Trace,
    pub(super) store_is_traced: bool,
    pub(super) recovery: Recovery,
    pub(super) process: OfProcess,
    pub(super) store: OfStore,
}

/// The process when all was over.
#[derive(Debug)]
pub(super) struct OfProcess {
    pub(super) alive: bool,
    /// Threads that were there before and are not any more.
    pub(super) lost_threads: Vec<String>,
    pub(super) descriptors: usize,
    /// Share of one core while nobody asked, with the fault on.
    pub(super) idle_cpu: f64,
    /// Its log.
    pub(super) said: String,
}

/// The folder of uploads when all was over.
#[derive(Debug)]
pub(super) struct OfStore {
    pub(super) uploads: PathBuf,
    /// Names and bytes.
    pub(super) stored: Vec<(String, Vec<u8>)>,
    /// Staging files that a restarted server left where they were.
    pub(super) unswept: usize,
}

/// How it was after the fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recovery {
    /// From the end of the fault to the first round in which everything was right; `None` for never.
    pub(super) took: Option<Duration>,
    /// Whether it says that it stores nothing more until it is restarted (SPEC UP-5).
    pub(super) degraded: bool,
}

/// Plays one case; without one, the same with no fault at all. A server that has done its work and holds at most
/// `expected` descriptors is not looked at for longer. An `Err` says what kept it from being played.
pub(super) fn play(
    stand: &Stand<'_>,
    load: Load,
    case: Option<&Case<'_>>,
    expected: usize,
) -> Result<Sight, String> {
    // strace attaches to the threads of a pool when the fault begins, and to none that comes later.
    let aims_at_pool = case.is_some_and(|case| matches!(case.call.aim, Aim::Pool(_)));
    let mut target = Target::start(stand, if aims_at_pool { FIXED } else { GROWING }, load)?;
    if load == Load::Staged {
        refuse_unnamed(&target)?;
    }
    let before = settled_threads(&target);
    let Under { clients, trace, idle_cpu, ending, over } = suffer(&target, load, case)?;
    let recovery = recover(stand, &target, load, over);
    let seen = clients.finish()?;
    // A close that strace kept from the kernel closed nothing.
    let kept_open = trace.hits("close");
    let descriptors = settled_descriptors(&target, expected + kept_open).saturating_sub(kept_open);
    let threads = target.threads();
    let lost_threads = before.into_iter().filter(|name| !threads.contains(name)).collect();
    let alive = !target.process.has_ended();
    let (uploads, stored, said) = (target.place.uploads(), target.place.stored(), target.place.said());
    let is_left = stored.iter().any(|(name, _)| name.starts_with('.'));
    let unswept = if is_left { unswept(stand, target)? } else { 0 };
    let process = OfProcess { alive, lost_threads, descriptors, idle_cpu, said };
    let store = OfStore { uploads, stored, unswept };
    let store_is_traced = case.is_none_or(|case| !matches!(case.call.aim, Aim::Path(_)));
    Ok(Sight { seen, ending, over, trace, store_is_traced, recovery, process, store })
}

/// What there is at the end of a fault.
struct Under {
    clients: Clients,
    trace: Trace,
    idle_cpu: f64,
    ending: Instant,
    over: Instant,
}

/// The fault from its begin to its end, and the clients that meet it.
fn suffer(target: &Target, load: Load, case: Option<&Case<'_>>) -> Result<Under, String> {
    let mut seated = target.place.client(Protocol::Http1);
    let _ = Ask::status("healthz").put_to(&mut seated);
    let (call, aim) = case.map_or(("fsync", Aim::Everywhere), |case| (case.call.name, case.call.aim));
    let injection = case.and_then(Case::injection);
    let output = target.place.folder.join("trace");
    let tracer = Tracer::attach(target.pid(), call, aim, injection.as_deref(), &output)?;
    let limit = case.and_then(Case::file_limit);
    limit.map_or(Ok(()), |limit| limit_files(target.pid(), &limit.to_string()))?;
    let clients = Clients::start(load, &target.place, seated);
    let deadline = Instant::now() + if load == Load::Secured { FAULT_MOST_SECURED } else { FAULT_MOST };
    while !clients.are_done() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(2));
    }
    let idle_cpu = idle_cpu(target);
    let ending = Instant::now();
    let trace = tracer.detach();
    limit.map_or(Ok(()), |_| limit_files(target.pid(), "unlimited"))?;
    Ok(Under { clients, trace, idle_cpu, ending, over: Instant::now() })
}

/// How long a file may become that the process `pid` writes.
fn limit_files(pid: u32, bytes: &str) -> Result<(), String> {
    let limit = format!("--fsize={bytes}:unlimited");
    let set =
        Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).stderr(Stdio::null()).status();
    match set {
        Ok(status) if status.success() => Ok(()),
        // One that has ended has none.
        Ok(_) if bytes == "unlimited" => Ok(()),
        _ => Err("prlimit sets no limit".to_owned()),
    }
}

/// Has the store take the way of named staging files from now on, as on a file system that knows no other.
fn refuse_unnamed(target: &Target) -> Result<(), String> {
    // The unnamed file is refused, and the named one behind it is not.
    let refusal = "inject=openat:error=EOPNOTSUPP:when=1+2";
    let output = target.place.folder.join("prelude");
    let tracer = Tracer::attach(target.pid(), "openat", Aim::Everywhere, Some(refusal), &output)?;
    let seen = Ask::upload(BEFORE.to_vec()).put_to(&mut Client::new(target.place.addr));
    let trace = tracer.detach();
    match seen.end {
        End::Answer(answer) if answer.status == 201 && trace.hits("openat") > 0 => Ok(()),
        other => Err(format!("the store did not take the other way: {other:?}")),
    }
}

/// The threads, when each has its name: until then it is called as the first one is, after the program.
fn settled_threads(target: &Target) -> Vec<String> {
    let deadline = Instant::now() + SETTLE_LIMIT;
    loop {
        let threads = target.threads();
        let unnamed = threads.iter().filter(|name| Some(*name) == threads.first()).count();
        if unnamed <= 1 || Instant::now() >= deadline {
            return threads;
        }
        thread::sleep(RECOVERY_POLL);
    }
}

/// Share of one core over [`IDLE`].
fn idle_cpu(target: &Target) -> f64 {
    let (before, begun) = (target.process.cpu_nanos(), Instant::now());
    thread::sleep(IDLE);
    let used = target.process.cpu_nanos().saturating_sub(before);
    Duration::from_nanos(used).as_secs_f64() / begun.elapsed().as_secs_f64()
}

/// Asks for everything anew until all of it is right.
fn recover(stand: &Stand<'_>, target: &Target, load: Load, over: Instant) -> Recovery {
    let mut degraded = false;
    while over.elapsed() < RECOVERY_LIMIT {
        let begun = over.elapsed();
        let mut client = target.place.client(Protocol::Http2);
        let files = ["w0.bin", "v0.bin", "l1.bin"].map(Ask::file);
        let served = files.into_iter().all(|ask| is_right(stand, &ask.put_to(&mut client)));
        let stored = Ask::upload(AFTER.to_vec()).put_to(&mut client);
        degraded = says_degraded(&stored.end);
        let ready = Ask::status("readyz").put_to(&mut client);
        let as_said = match degraded {
            // Who stores nothing must not say that it is ready.
            true => matches!(&ready.end, End::Answer(answer) if answer.status == 503),
            false => is_right(stand, &stored) && is_right(stand, &ready),
        };
        if served && as_said {
            // A program for each request takes its own time, which on a busy machine is more than the server's.
            let took = if load == Load::Secured { begun } else { over.elapsed() };
            return Recovery { took: Some(took), degraded };
        }
        thread::sleep(RECOVERY_POLL);
    }
    Recovery { took: None, degraded }
}

fn is_right(stand: &Stand<'_>, seen: &Seen) -> bool {
    matches!(&seen.end, End::Answer(answer) if seen.ask.is_right(&stand.site, answer))
}

/// A 503 by which the store says that it takes nothing more.
pub(super) fn says_degraded(end: &End) -> bool {
    let End::Answer(answer) = end else { return false };
    answer.status == 503 && String::from_utf8_lossy(&answer.body).contains("store_degraded")
}

/// Descriptors, when they have become as few as they become.
fn settled_descriptors(target: &Target, expected: usize) -> usize {
    let deadline = Instant::now() + SETTLE_LIMIT;
    loop {
        let descriptors = target.descriptors();
        if descriptors <= expected || Instant::now() >= deadline {
            return descriptors;
        }
        thread::sleep(RECOVERY_POLL);
    }
}

/// How many staging files are left when a new server has started where this one was.
fn unswept(stand: &Stand<'_>, target: Target) -> Result<usize, String> {
    let Target { process, place } = target;
    drop(process);
    let target = Target::start_at(stand, place)?;
    Ok(target.place.stored().iter().filter(|(name, _)| name.starts_with('.')).count())
}
