//! `docs/FAULTS.md`: what the server did in every cell, and how to read it.
//!
//! A cell is what came of the three single faults, a slash, and what came of the fault that stayed; one word where all
//! are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::Played;
use super::judge::{Did, Outcome};
use super::load::Load;
use super::matrix::{CALLS, ERRNOS, Fault, LEFT_OUT, When};
use super::startup::{self, Start, Started};
use crate::bench::grid::Grid;

/// Below the top of the checkout.
pub(super) const FILE: &str = "docs/FAULTS.md";

const PREFACE: &str = "\
# Faults

What tidegate does when the kernel says no. Written by `cargo xtask faults --write`, which strace makes possible: it stands
between the release binary and the kernel and answers one system call with an error. Each case has a server of its own, in
which the first, the second or the fifth call of a thread fails, or every one until the fault ends. Meanwhile three clients
ask: one on a connection from before, one with a connection for each request, one that uploads; for files small, sealed in
memory, large and cold, for parts, listings, a missing file, health and metrics.

In every case must hold, and did where the table does not say otherwise:

- the process and each of its threads live, and nothing panics;
- each request ends within 5 s: answered, or visibly cut;
- each 200 and 206 has exactly the right bytes, each listing all names, and no file that is there is said to be missing;
- each 201 is true: the file is there and whole, it was synced, named, and its folder synced after that, as the trace shows;
- no visible upload is half-written, and no staging file outlives a restart;
- one second after the fault's end all is served again, and uploads too unless the store says that it is degraded (a failed
  `fsync`, SPEC UP-5) and `/readyz` says so as well;
- no descriptor is left open; idle with the fault on, the process takes less than half a core, and no call is tried without
  end; the log gets no more lines than there are requests.
";

const LEGEND: &str = "\
| word | what the server did with the requests that met the fault |
|---|---|
| `ok` | answered them as ever: it tried again, or went another way |
| `wait` | let them wait, and answered when the fault was over |
| a number | refused them with this status; every other request was answered |
| `cut` | ended their connections, visibly before the end of an answer |
| `degraded` | stores nothing more until a restart, and says so (503 `store_degraded`, `/readyz` 503); serves files |
| `no` | at the start: ended with exit code 1 and said why |
| `–` | the call is not made so often |
| `n/a` | no kernel does this; see below |
| **ends** | the process ended, and could not help it; see below |
| **BROKEN** | a promise did not hold |

A slash: what single faults did, then what the lasting one did. A dot: one of them this, another that, by which call was
met. A plus: in one case some requests this, others that.
";

const SECURED: &str = "\
A server that speaks TLS, with a certificate of its own. The clients ask by curl, with a connection for each request: the
first by HTTP/1.1, the others by HTTP/2.
";

const IMPOSSIBLE: &str = "\
Of many more cells no kernel gives the error (a full disk, of `accept4`); they stay, for they show what comes of an error that
nobody thought of. `n/a` stands where nothing sane can come of one. It was tried all the same:

";

const STARTING: &str = "\
Each of these starts and serves, or ends at once with exit code 1 and a line that says why. `503`: it serves files, and says
that it takes no uploads. Where it **ends**: the runtime panics where it cannot make its pipe of signals, so such a pipe is asked
for just before it; where that one is had and the very next is not, the line is the panic's, and the exit code 101.
";

/// So many calls are not told by their names.
const MANY: usize = 8;

/// What strace cannot do honestly.
const LIMITS: &str = "\
strace can answer a call but not shorten it: a `write` that returns 5 without having written 5 bytes is a lie, not a short
write. So *an end* (success, and nothing moved) is the only faked success in the table. Real short writes to sockets happen
in every case, for a slow client reads files of 3 MB; of files, in the case of a file size limit. What lies are good for: `cargo xtask faults --break` has the kernel claim writes, syncs, links and reads that never
happened, and every check that should notice does.
";

pub(super) fn page(conditions: &str, running: &[Played<'_>], starting: &[Started]) -> String {
    let mut text = PREFACE.to_owned();
    let cases = running.len() + starting.len();
    let reached = running.iter().filter(|played| played.is_hit()).count()
        + starting.iter().filter(|started| started.hit).count();
    let bad = running.iter().filter(|played| played.is_bad()).count()
        + starting.iter().filter(|started| started.is_bad()).count();
    let _ = writeln!(
        text,
        "\n{cases} cases, of which {reached} met their fault; {bad} broke a promise. {conditions}."
    );
    if !running.is_empty() {
        let (secured, clear): (Vec<_>, Vec<_>) =
            running.iter().partition(|played| played.case.call.load == Load::Secured);
        text.push_str("\n## A server that runs\n\n");
        if !clear.is_empty() {
            let _ = writeln!(text, "{}", running_grid(&clear));
        }
        let _ = writeln!(text, "{LEGEND}");
        if !secured.is_empty() {
            let _ = writeln!(text, "### Over TLS and HTTP/2\n\n{SECURED}\n{}", running_grid(&secured));
        }
        text.push_str(&limited(running));
        text.push_str(&ended(running));
        text.push_str(&impossible(running));
    }
    if !starting.is_empty() {
        let _ = writeln!(text, "\n## A server that starts\n\n{}", starting_grid(starting));
        text.push_str(STARTING);
    }
    text.push_str(&reasons());
    text
}

/// What all requests of a case together met with.
pub(super) fn shown(did: &BTreeSet<Did>) -> String {
    did.iter().map(ToString::to_string).collect::<Vec<_>>().join("+")
}

pub(super) fn started(did: &BTreeSet<Start>) -> String {
    let one = |start: &Start| match start {
        Start::Serves(did) => did.to_string(),
        Start::Refused => "no".to_owned(),
    };
    did.iter().map(one).collect::<Vec<_>>().join("+")
}

fn running_grid(running: &[&Played<'_>]) -> Grid {
    let mut columns: Vec<Fault<'_>> = Vec::new();
    let mut rows: Vec<&str> = Vec::new();
    for played in running.iter().filter(|played| played.case.file_limit().is_none()) {
        if !columns.contains(&played.case.fault) {
            columns.push(played.case.fault);
        }
        if !rows.contains(&played.case.call.label) {
            rows.push(played.case.call.label);
        }
    }
    // Not every call has one.
    columns.sort_by_key(|fault| *fault == Fault::End);
    let mut grid = Grid::new(["call"].into_iter().chain(columns.iter().map(|fault| fault.name())));
    for row in rows {
        let cells = columns.iter().map(|column| {
            let of_cell =
                running.iter().filter(|played| played.case.call.label == row && played.case.fault == *column);
            cell(of_cell.map(|played| (played.case.when, played.word())))
        });
        grid.row([format!("`{row}`")].into_iter().chain(cells));
    }
    grid
}

fn starting_grid(starting: &[Started]) -> Grid {
    let mut columns: Vec<&str> = Vec::new();
    for started in starting {
        if !columns.contains(&started.errno.as_str()) {
            columns.push(&started.errno);
        }
    }
    let mut grid = Grid::new(["call"].into_iter().chain(columns.iter().copied()));
    for (row, _) in startup::CALLS {
        let cells = columns.iter().map(|column| {
            let of_cell = starting.iter().filter(|started| started.call.0 == row && started.errno == *column);
            cell(of_cell.map(|started| (started.when, started.word())))
        });
        grid.row([format!("`{row}`")].into_iter().chain(cells));
    }
    grid
}

/// One cell of its up to four times. Which of a thread's calls is the n-th is not always the same: of what came of single
/// faults the order tells nothing.
fn cell(times: impl Iterator<Item = (When, String)>) -> String {
    let (lasting, single): (Vec<_>, Vec<_>) = times.partition(|(when, _)| *when == When::Every);
    let mut words: Vec<String> =
        single.into_iter().map(|(_, word)| word).filter(|word| word != "–").collect();
    words.sort_by_key(|word| (word != "ok", word != "wait", word.clone()));
    words.dedup();
    let single = if words.is_empty() { "–".to_owned() } else { words.join("·") };
    match lasting.into_iter().next() {
        None => single,
        Some((_, lasting)) if lasting == single || single == "–" => lasting,
        Some((_, lasting)) => format!("{single} / {lasting}"),
    }
}

impl Played<'_> {
    fn is_hit(&self) -> bool {
        self.outcome.as_ref().is_ok_and(|outcome| outcome.hits > 0)
    }

    /// What the server did, and the weightiest promise that it broke.
    fn in_short(&self) -> String {
        match &self.outcome {
            Err(problem) => format!("not played ({})", problem.split(':').next().unwrap_or_default()),
            Ok(Outcome { did, broken, .. }) => match broken.first() {
                None => format!("`{}`", shown(did)),
                // Names of files tell nobody anything.
                Some(broken) => {
                    format!("`{}`, {}", shown(did), broken.what.rsplit(": ").next().unwrap_or_default())
                }
            },
        }
    }

    fn word(&self) -> String {
        match &self.outcome {
            _ if self.case.impossible().is_some() => "n/a".to_owned(),
            _ if self.is_bad() => "**BROKEN**".to_owned(),
            _ if self.has_ended_as_it_may() => "**ends**".to_owned(),
            Ok(outcome) if outcome.hits == 0 => "–".to_owned(),
            Ok(outcome) => shown(&outcome.did),
            Err(_) => "**BROKEN**".to_owned(),
        }
    }
}

impl Started {
    fn word(&self) -> String {
        match &self.came {
            _ if self.impossible().is_some() => "n/a".to_owned(),
            Err(_) if self.has_ended_as_it_may() => "**ends**".to_owned(),
            Ok(_) if !self.hit => "–".to_owned(),
            Ok(came) => started(came),
            Err(_) => "**BROKEN**".to_owned(),
        }
    }
}

/// The one case that strace does not make.
fn limited(running: &[Played<'_>]) -> String {
    let limited = running.iter().find_map(|played| Some((played, played.case.file_limit()?)));
    limited.map_or_else(String::new, |(played, bytes)| {
        format!(
            "Where no file may have more than {bytes} bytes (`RLIMIT_FSIZE`: a write that is really short, then EFBIG and a \
             signal), longer uploads end with: {}.\n\n",
            played.word()
        )
    })
}

/// What no kernel does, and what came of it all the same; by the reason.
fn impossible(running: &[Played<'_>]) -> String {
    let mut by_reason: BTreeMap<&str, (BTreeSet<&str>, BTreeSet<String>)> = BTreeMap::new();
    for played in running {
        let Some(why) = played.case.impossible() else { continue };
        let (calls, came) = by_reason.entry(why).or_default();
        calls.insert(played.case.call.label);
        came.insert(played.in_short());
    }
    if by_reason.is_empty() {
        return String::new();
    }
    let mut text = IMPOSSIBLE.to_owned();
    for (why, (calls, came)) in by_reason {
        let calls = match calls.len() {
            ..MANY => calls.into_iter().map(|call| format!("`{call}`")).collect::<Vec<_>>().join(", "),
            _ => "most calls".to_owned(),
        };
        let came: Vec<String> = came.into_iter().collect();
        let _ = writeln!(text, "- {calls}: {why}. What came of it: {}.", came.join("; "));
    }
    text
}

/// Why a server may have ended.
fn ended(running: &[Played<'_>]) -> String {
    let why =
        running.iter().filter(|played| played.has_ended_as_it_may()).find_map(|played| played.case.may_end());
    why.map_or_else(String::new, |why| format!("Where it **ends**: {why}.\n\n"))
}

/// Why these rows and columns.
fn reasons() -> String {
    let mut text = "\n## Why these\n\nA running server makes these calls:\n\n".to_owned();
    for call in CALLS {
        let _ = writeln!(text, "- `{}` {}", call.label, call.why);
    }
    text.push_str("\nAnd a starting one these:\n\n");
    for (name, why) in startup::CALLS {
        let _ = writeln!(text, "- `{name}` {why}");
    }
    text.push_str("\nOf what a kernel may say, each of these comes in life:\n\n");
    for errno in ERRNOS {
        let _ = writeln!(text, "- `{}`: {}", errno.name, errno.why);
    }
    text.push_str(
        "\nEBADF, EFAULT, EINVAL and ENOSYS tell of a bug of the caller, not of trouble. Left out:\n\n",
    );
    for (name, why) in LEFT_OUT {
        let _ = writeln!(text, "- `{name}`: {why}");
    }
    let _ = write!(text, "\n## What is not tried\n\n{LIMITS}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_as_short_as_it_can_be() {
        let cell = |words: [&str; 4]| {
            let whens = [When::First, When::Second, When::Fifth, When::Every];
            super::cell(whens.into_iter().zip(words.map(str::to_owned)))
        };
        assert_eq!(cell(["ok", "ok", "ok", "ok"]), "ok");
        assert_eq!(cell(["ok", "ok", "–", "wait"]), "ok / wait");
        assert_eq!(cell(["500", "ok", "500", "500"]), "ok·500 / 500");
        assert_eq!(cell(["–", "–", "–", "cut"]), "cut");
        assert_eq!(cell(["–", "–", "–", "–"]), "–");
    }
}
