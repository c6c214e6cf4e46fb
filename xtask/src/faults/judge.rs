//! What was promised, whatever fails; and the short code of what a server did instead of answering as ever.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::ask::{Answer, End};
use super::case::{AFTER, BEFORE, Sight, says_degraded};
use super::load::{Seen, Wanted, stored_name};
use super::matrix::{Case, Fault};
use super::site::Site;

/// A server is well again this long after the fault's end.
const RECOVERY_BAR: Duration = Duration::from_secs(1);

/// The most that it may use of a core while nobody asks.
const CPU_BAR: f64 = 0.5;

/// The most calls that may fail in one case. A look for a file tries a thousand times at most, half of these at once
/// (`OPEN_TRIES` of `handlers::files::resolve`), and several are under way.
const HITS_BAR: usize = 20_000;

/// Lines of the log in one case: about one for each request, and those of start and recovery.
const LINES_BAR: usize = 80;

/// What a server did in one case. The order is that of their weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Did {
    /// Answered as ever.
    Right,
    /// Answered some requests only when the fault was over.
    Waited,
    /// Refused some with this status.
    Refused(u16),
    /// Ended some connections before a whole answer was there.
    Cut,
    /// Stores nothing more until it is restarted, and says so.
    Degraded,
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Right => f.write_str("ok"),
            Self::Waited => f.write_str("wait"),
            Self::Refused(status) => write!(f, "{status}"),
            Self::Cut => f.write_str("cut"),
            Self::Degraded => f.write_str("degraded"),
        }
    }
}

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// How often the call was hit; where never, the case says nothing.
    pub(super) hits: usize,
    pub(super) did: BTreeSet<Did>,
    /// Whether the server still ran at the end.
    pub(super) alive: bool,
    /// Promises that were broken.
    pub(super) broken: Vec<Broken>,
}

/// A broken promise, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    pub(super) what: String,
    /// Whether a busy machine alone could have made it.
    pub(super) of_time: bool,
    /// Whether a client was told, or will be, what is not true.
    pub(super) is_lie: bool,
}

pub(super) fn judge(
    site: &Site,
    case: Option<&Case<'_>>,
    sight: &Sight,
    descriptors: Option<usize>,
) -> Outcome {
    let mut broken = Broken::of_process(sight, descriptors);
    broken.extend(sight.seen.iter().filter_map(|seen| Broken::of_request(site, sight, seen)));
    broken.extend(Broken::of_store(sight));
    let hits = case.map_or(0, |case| match case.fault {
        Fault::Limit(_) => sight.trace.refusals("EFBIG"),
        Fault::Error(_) | Fault::End | Fault::Lie(_) => sight.trace.hits(case.call.name),
    });
    Outcome { hits, did: did(site, sight), alive: sight.process.alive, broken }
}

fn did(site: &Site, sight: &Sight) -> BTreeSet<Did> {
    let mut did: BTreeSet<Did> = sight.seen.iter().map(|seen| one(site, sight, seen)).collect();
    if sight.recovery.degraded {
        did.insert(Did::Degraded);
    }
    if did.len() > 1 {
        did.remove(&Did::Right);
    }
    did
}

fn one(site: &Site, sight: &Sight, seen: &Seen) -> Did {
    match &seen.end {
        End::Answer(_) if says_degraded(&seen.end) => Did::Degraded,
        End::Answer(answer) if !seen.ask.is_right(site, answer) => Did::Refused(answer.status),
        End::Answer(_) if seen.ended > sight.over => Did::Waited,
        End::Answer(_) => Did::Right,
        End::Cut | End::Hang => Did::Cut,
    }
}

impl Broken {
    fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), of_time: false, is_lie: false }
    }

    fn lie(what: impl Into<String>) -> Self {
        Self { is_lie: true, ..Self::new(what) }
    }

    fn slow(what: impl Into<String>) -> Self {
        Self { of_time: true, ..Self::new(what) }
    }

    /// What the process as a whole owes.
    fn of_process(sight: &Sight, descriptors: Option<usize>) -> Vec<Self> {
        let Sight { process, recovery, trace, .. } = sight;
        let mut broken = Vec::new();
        if !process.alive {
            broken.push(Self::new("the server has ended"));
        }
        if !process.lost_threads.is_empty() {
            broken.push(Self::new(format!("threads have ended: {}", process.lost_threads.join(", "))));
        }
        if let Some(line) = process.said.lines().find(|line| line.contains("panicked")) {
            broken.push(Self::new(format!("a panic: {line}")));
        }
        match recovery.took {
            None => broken.push(Self::slow("never well again")),
            Some(took) if took > RECOVERY_BAR => {
                broken.push(Self::slow(format!("well again after {took:.1?}")));
            }
            Some(_) => {}
        }
        if process.idle_cpu > CPU_BAR {
            broken.push(Self::slow(format!("{:.0} % of a core while idle", process.idle_cpu * 100.0)));
        }
        if trace.all_hits() > HITS_BAR {
            broken.push(Self::new(format!("{} failed calls: it tries without end", trace.all_hits())));
        }
        let lines = process.said.lines().count();
        if lines > LINES_BAR {
            broken.push(Self::new(format!("{lines} lines in the log")));
        }
        if let Some(most) = descriptors.filter(|most| process.descriptors > *most) {
            broken.push(Self::new(format!("{} descriptors are left, not {most}", process.descriptors)));
        }
        broken
    }

    /// What every single client is owed: an end, and no lie.
    fn of_request(site: &Site, sight: &Sight, seen: &Seen) -> Option<Self> {
        let told = seen.ask.told();
        match &seen.end {
            End::Hang => Some(Self::slow(format!("{told}: no end"))),
            End::Answer(answer) if is_lie(site, seen, answer) => {
                Some(Self::lie(format!("{told}: a {} that is not true", answer.status)))
            }
            End::Answer(_) => stored_name(&seen.end).and_then(|name| {
                let Wanted::Stored(bytes) = &seen.ask.wanted else { return None };
                let why = sight.false_201(&name, bytes, seen)?;
                Some(Self::lie(format!("{told}: a false 201, {name} {why}")))
            }),
            End::Cut => None,
        }
    }

    /// What the folder of uploads owes: nothing half-written, nothing left over.
    fn of_store(sight: &Sight) -> Vec<Self> {
        let sent = sight.seen.iter().filter_map(|seen| match &seen.ask.wanted {
            Wanted::Stored(bytes) => Some(bytes.as_slice()),
            _ => None,
        });
        let sent: Vec<&[u8]> = sent.chain([BEFORE, AFTER]).collect();
        let visible = sight.store.stored.iter().filter(|(name, _)| !name.starts_with('.'));
        let torn = visible.filter(|(_, bytes)| !sent.contains(&bytes.as_slice()));
        let mut broken: Vec<Self> = torn.map(|(name, _)| Self::lie(format!("{name} is no upload"))).collect();
        if sight.store.unswept > 0 {
            broken.push(Self::new(format!("{} staging files stay for ever", sight.store.unswept)));
        }
        broken
    }
}

/// A success that is none, or a file said to be missing that is there.
fn is_lie(site: &Site, seen: &Seen, answer: &Answer) -> bool {
    let says_something = matches!(answer.status, 200..300 | 404);
    says_something && !seen.ask.is_right(site, answer)
}

impl Sight {
    /// Why the 201 for this upload was false.
    fn false_201(&self, name: &str, bytes: &[u8], seen: &Seen) -> Option<&'static str> {
        let Some((_, kept)) = self.store.stored.iter().find(|(stored, _)| stored == name) else {
            return Some("is not there");
        };
        if kept != bytes {
            return Some("has other bytes");
        }
        // What was stored when strace had let go is not in its trace.
        let traced = self.store_is_traced && seen.ended < self.ending;
        (traced && !self.trace.is_durable(name, &self.store.uploads)).then_some("was not synced")
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Instant;

    use super::*;
    use crate::faults::case::{OfProcess, OfStore, Recovery};
    use crate::faults::load::Ask;
    use crate::faults::strace::Trace;

    const TRACE: &str = "7 fsync(9</up/#5>(deleted)) = 0\n\
        7 linkat(9</up/#5>(deleted), \"\", 8</up>, \"a.json\", AT_EMPTY_PATH) = 0\n\
        7 fsync(8</up>) = 0\n";

    fn site() -> Site {
        Site::of(&[("w0.bin", b"0123")])
    }

    fn seen(ask: Ask, status: u16, fields: &str, body: &[u8]) -> Seen {
        let head = format!("HTTP/1.1 {status} X\r\n{fields}\r\n");
        Seen { ask, end: End::Answer(Answer { status, head, body: body.to_vec() }), ended: Instant::now() }
    }

    /// A case in which all went well.
    fn sight() -> Sight {
        let file = seen(Ask::file("w0.bin"), 200, "", b"0123");
        let upload = seen(Ask::upload(b"[1]".to_vec()), 201, "Location: /uploads/a.json\r\n", b"");
        let later = Instant::now() + Duration::from_secs(1);
        Sight {
            seen: vec![file, upload],
            ending: later,
            over: later,
            trace: Trace::read(TRACE.as_bytes()),
            store_is_traced: true,
            recovery: Recovery { took: Some(Duration::from_millis(20)), degraded: false },
            process: OfProcess {
                alive: true,
                lost_threads: Vec::new(),
                descriptors: 20,
                idle_cpu: 0.01,
                said: "tidegate is running\n".to_owned(),
            },
            store: OfStore {
                uploads: PathBuf::from("/up"),
                stored: vec![("a.json".to_owned(), b"[1]".to_vec())],
                unswept: 0,
            },
        }
    }

    /// What is broken when all went well but for this.
    fn broken(change: impl FnOnce(&mut Sight)) -> Vec<String> {
        let mut sight = sight();
        change(&mut sight);
        let outcome = judge(&site(), None, &sight, Some(20));
        outcome.broken.into_iter().map(|broken| broken.what).collect()
    }

    #[test]
    fn each_promise_of_the_process_can_be_broken() {
        assert_eq!(broken(|_| {}), [""; 0]);
        assert_eq!(broken(|sight| sight.process.alive = false), ["the server has ended"]);
        assert_eq!(
            broken(|sight| sight.process.lost_threads.push("worker-0".to_owned())),
            ["threads have ended: worker-0"]
        );
        assert_eq!(
            broken(|sight| sight.process.said.push_str("x panicked at y\n")),
            ["a panic: x panicked at y"]
        );
        assert_eq!(broken(|sight| sight.process.said = "x\n".repeat(81)), ["81 lines in the log"]);
        assert_eq!(broken(|sight| sight.process.descriptors = 21), ["21 descriptors are left, not 20"]);
        assert_eq!(broken(|sight| sight.process.idle_cpu = 0.9), ["90 % of a core while idle"]);
        assert_eq!(broken(|sight| sight.recovery.took = None), ["never well again"]);
        let slow = Duration::from_millis(1100);
        assert_eq!(broken(|sight| sight.recovery.took = Some(slow)), ["well again after 1.1s"]);
        let spin = "7 close(9) = -1 EIO (Input/output error) (INJECTED)\n".repeat(20_001) + TRACE;
        let spun = broken(|sight| sight.trace = Trace::read(spin.as_bytes()));
        assert_eq!(spun, ["20001 failed calls: it tries without end"]);
    }

    #[test]
    fn each_lie_is_seen() {
        let answer =
            |sight: &mut Sight, status, body| sight.seen[0] = seen(Ask::file("w0.bin"), status, "", body);
        assert_eq!(broken(|sight| answer(sight, 200, b"0124")), ["GET /w0.bin: a 200 that is not true"]);
        assert_eq!(broken(|sight| answer(sight, 200, b"012")), ["GET /w0.bin: a 200 that is not true"]);
        assert_eq!(broken(|sight| answer(sight, 404, b"")), ["GET /w0.bin: a 404 that is not true"]);
        assert_eq!(broken(|sight| answer(sight, 500, b"")), [""; 0], "a refusal is none");
        assert_eq!(broken(|sight| sight.seen[0].end = End::Cut), [""; 0], "nor is a cut");
        assert_eq!(broken(|sight| sight.seen[0].end = End::Hang), ["GET /w0.bin: no end"]);
        let upload = "POST /upload: a false 201, a.json";
        assert_eq!(broken(|sight| sight.store.stored.clear()), [format!("{upload} is not there")]);
        assert_eq!(broken(|sight| sight.trace = Trace::default()), [format!("{upload} was not synced")]);
        assert_eq!(
            broken(|sight| sight.store.stored[0].1 = b"[".to_vec()),
            [format!("{upload} has other bytes"), "a.json is no upload".to_owned()]
        );
        assert_eq!(broken(|sight| sight.store.unswept = 1), ["1 staging files stay for ever"]);
    }

    #[test]
    fn what_was_done_is_named_by_its_weight() {
        let did = |change: &dyn Fn(&mut Sight)| {
            let mut sight = sight();
            change(&mut sight);
            judge(&site(), None, &sight, None).did.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(did(&|_| {}), ["ok"]);
        assert_eq!(did(&|sight| sight.seen[0].ended = sight.over + Duration::from_secs(1)), ["wait"]);
        assert_eq!(did(&|sight| sight.seen[0].end = End::Cut), ["cut"]);
        assert_eq!(
            did(&|sight| {
                sight.seen[0] = seen(Ask::file("w0.bin"), 500, "", b"");
                sight.recovery.degraded = true;
            }),
            ["500", "degraded"]
        );
    }
}
