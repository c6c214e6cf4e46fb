//! Faults while a server starts: it starts and serves, or it ends with exit code 1 and a line that says why.
//!
//! strace starts the server, and lets pass what the loader and the runtime of the language do before `main`: the n-th
//! call of a name is counted from there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::ask::{Client, End};
use super::case::says_degraded;
use super::judge::Did;
use super::load::{Ask, Load};
use super::matrix::{self, WHENS, When};
use super::options::Plan;
use super::report;
use super::target::{GROWING, Place, Stand, answers};
use crate::bench::process::Process;
use crate::parallel::in_parallel;

/// A call of a starting server, and what it does with it.
pub(super) type Call = (&'static str, &'static str);

pub(super) const CALLS: [Call; 20] = [
    ("openat", "opens what it reads at the start, the root and the folder of uploads"),
    ("read", "reads the number of cores, the limits of the kernel"),
    ("statx", "asks whether a folder is one"),
    ("fcntl", "duplicates descriptors, makes sockets wait for nobody"),
    ("getdents64", "looks for what a crash left in the folder of uploads"),
    ("mkdir", "makes the folder of uploads"),
    ("socket", "makes the listening socket"),
    ("setsockopt", "sets it up"),
    ("bind", "gives it its address"),
    ("getsockname", "asks for the port it got"),
    ("listen", "opens it"),
    ("socketpair", "makes the pipe by which signals are told"),
    ("epoll_create1", "makes an event loop"),
    ("eventfd2", "makes the descriptor that wakes it"),
    ("epoll_ctl", "watches the listening socket"),
    ("prctl", "gives up new privileges; names threads"),
    ("landlock_create_ruleset", "begins the sandbox"),
    ("landlock_restrict_self", "closes the sandbox"),
    ("clone3", "starts threads"),
    ("write", "says that it runs"),
];

/// The runtime panics where it cannot make the pipe of signals. So one is asked for just before, where a failure is a value;
/// where that one is had, and the next is not, the process ends with the panic and its line.
const MAY_END: (&str, When) = ("socketpair", When::Second);

/// Longer than that nothing may take: a start takes a tenth of a second, and a traced one some tenths.
const LIMIT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// What the runtime of the language calls first, behind the loader: are the standard streams open?
const BEGIN: &str = "poll(";

/// How a start with a fault went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Start {
    /// It serves, and this is what it did with the first requests.
    Serves(Did),
    /// It ended with exit code 1 and said why.
    Refused,
}

/// One start, and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Started {
    pub(super) call: Call,
    pub(super) errno: String,
    pub(super) when: When,
    /// Whether the call was made so often; an `Err` says which promise was broken.
    pub(super) hit: bool,
    pub(super) came: Result<BTreeSet<Start>, String>,
}

impl Started {
    pub(super) fn is_bad(&self) -> bool {
        self.came.is_err() && self.impossible().is_none() && !self.has_ended_as_it_may()
    }

    /// Whether it ended with a panic that it could not help, as the page says.
    pub(super) fn has_ended_as_it_may(&self) -> bool {
        let (name, _) = self.call;
        let is_runtimes = self.came.as_ref().is_err_and(|what| what.contains("signal/unix.rs"));
        is_runtimes && (name, self.when) == MAY_END
    }

    /// Why no kernel does this.
    pub(super) fn impossible(&self) -> Option<&'static str> {
        matrix::impossible(self.call.0, &self.errno, self.when)
    }

    fn told(&self) -> String {
        let Self { call: (name, _), errno, when, came, .. } = self;
        let came = came.as_ref().map_or_else(Clone::clone, report::started);
        format!("at start, {name} {errno} {}: {came}", when.name())
    }
}

/// Every call, error and time of the plan.
pub(super) fn play_all(stand: &Stand<'_>, plan: &Plan) -> Result<Vec<Started>, String> {
    let passed = calls_before_main(stand)?;
    let mut cases = Vec::new();
    for call in CALLS {
        for errno in &plan.errnos {
            cases.extend(WHENS.map(|when| (call, errno.as_str(), when)));
        }
    }
    Ok(in_parallel(&cases, plan.jobs, |&(call, errno, when)| {
        let passed = passed.get(call.0).copied().unwrap_or(0);
        let played = play(stand, &injection(call.0, errno, when, passed));
        let (hit, came) = played.map_or_else(|problem| (true, Err(problem)), |(hit, came)| (hit, came));
        let started = Started { call, errno: errno.to_owned(), when, hit, came };
        if started.is_bad() {
            println!("{}", started.told());
        }
        started
    }))
}

fn injection(call: &str, errno: &str, when: When, passed: usize) -> String {
    let when = match when {
        When::First => format!("{}", passed + 1),
        When::Second => format!("{}", passed + 2),
        When::Fifth => format!("{}", passed + 5),
        When::Every => format!("{}+1", passed + 1),
    };
    format!("inject={call}:error={errno}:when={when}")
}

/// How often each call is made before the server's own code runs.
fn calls_before_main(stand: &Stand<'_>) -> Result<BTreeMap<&'static str, usize>, String> {
    let place =
        stand.place(GROWING, Load::Mixed).map_err(|error| format!("no place for a server: {error}"))?;
    let names: Vec<&str> = CALLS.iter().map(|(name, _)| *name).chain(["poll"]).collect();
    let mut server = start(stand, &place, &["-e", &format!("trace={}", names.join(","))])?;
    if !comes_up(&mut server, &place) {
        return Err(format!("without any fault it does not start: {}", place.said()));
    }
    drop(server);
    let trace = trace(&place);
    let lines = trace.lines().filter_map(|line| Some(line.split_once(' ')?.1.trim_start()));
    let before: Vec<&str> = lines.take_while(|line| !line.starts_with(BEGIN)).collect();
    let count = |name: &str| before.iter().filter(|line| line.split('(').next() == Some(name)).count();
    Ok(CALLS.iter().map(|(name, _)| (*name, count(name))).collect())
}

/// Starts a server below strace, whose arguments these are.
fn start(stand: &Stand<'_>, place: &Place, args: &[&str]) -> Result<Process, String> {
    let output = place.folder.join("trace").to_string_lossy().into_owned();
    let words = [&["strace", "-f", "-qq", "-s", "0", "--seccomp-bpf", "-o", &output], args].concat();
    let process = Process::start(&mut stand.command(place, &words), &place.output());
    process.map_err(|error| format!("strace: {error}"))
}

fn trace(place: &Place) -> String {
    String::from_utf8_lossy(&fs::read(place.folder.join("trace")).unwrap_or_default()).into_owned()
}

/// Whether the fault came, and how the start went.
fn play(stand: &Stand<'_>, injection: &str) -> Result<(bool, Result<BTreeSet<Start>, String>), String> {
    let place =
        stand.place(GROWING, Load::Mixed).map_err(|error| format!("no place for a server: {error}"))?;
    let call = injection.trim_start_matches("inject=").split(':').next().unwrap_or_default();
    let (traced, output) = (format!("trace={call}"), place.output().to_string_lossy().into_owned());
    let mut args = vec!["-e", &traced, "-e", injection];
    if call == "write" {
        // Of its words alone: the event loops' own descriptors cannot fail.
        args.extend(["-P", &output]);
    }
    let mut server = start(stand, &place, &args)?;
    let came =
        if comes_up(&mut server, &place) { serves(stand, &place) } else { refuses(&mut server, &place) };
    drop(server);
    let hit = trace(&place).contains("(INJECTED)");
    let said = place.said();
    let panic = said.lines().find(|line| line.contains("panicked"));
    let lie = call.starts_with("landlock") && hit && said.contains("sandbox   landlock");
    let came = match panic {
        Some(line) => Err(format!("a panic: {line}")),
        None if lie => Err("it says that it has a sandbox".to_owned()),
        None => came,
    };
    Ok((hit, came))
}

fn comes_up(server: &mut Process, place: &Place) -> bool {
    let deadline = Instant::now() + LIMIT;
    while !server.has_ended() && Instant::now() < deadline {
        if answers(place) {
            return true;
        }
        thread::sleep(POLL);
    }
    false
}

/// What a server that runs does with its first requests.
fn serves(stand: &Stand<'_>, place: &Place) -> Result<BTreeSet<Start>, String> {
    let mut client = Client::new(place.addr);
    let mut did = BTreeSet::new();
    for ask in [Ask::file("w0.bin"), Ask::file("v0.bin"), Ask::upload(b"[1]".to_vec())] {
        let seen = ask.put_to(&mut client);
        did.insert(match &seen.end {
            End::Hang => return Err(format!("it came up, and {} has no end", seen.ask.told())),
            End::Cut => Did::Cut,
            End::Answer(_) if says_degraded(&seen.end) => Did::Degraded,
            End::Answer(answer) if seen.ask.is_right(&stand.site, answer) => Did::Right,
            End::Answer(answer) if matches!(answer.status, 200..300 | 404) => {
                return Err(format!("it came up, and {} gets a {}", seen.ask.told(), answer.status));
            }
            End::Answer(answer) => Did::Refused(answer.status),
        });
    }
    if did.len() > 1 {
        did.remove(&Did::Right);
    }
    Ok(did.into_iter().map(Start::Serves).collect())
}

/// How a server that does not run ended.
fn refuses(server: &mut Process, place: &Place) -> Result<BTreeSet<Start>, String> {
    if !server.has_ended() {
        return Err("it neither starts nor ends".to_owned());
    }
    let said = place.said();
    let line = said.lines().rfind(|line| !line.trim().is_empty());
    match (server.exit_code(), line) {
        (Some(1), Some(_)) => Ok(BTreeSet::from([Start::Refused])),
        (code, Some(line)) => Err(format!("it ended with {code:?} and said: {line}")),
        (code, None) => Err(format!("it ended with {code:?} and said nothing")),
    }
}
