//! One line that says how the server does, and what to do: a pure function of the last minute.
//!
//! The worst that holds is said: `degraded` something of ours is broken · `overload` clients are turned away for want
//! of room · `attack` somebody means harm, and is refused · `watch` worth a look · `well`.

use super::board::Second;
use crate::http::reject::{Code, Event};

/// Hostile events a minute from which it is an attack: a person who mistypes makes one or two, ten are a program's.
const ATTACK: u64 = 10;
/// Refusals a minute for too many requests or connections from which it is an attack: a page with many pictures behind
/// a limit that is too low makes some dozens.
const FLOOD: u64 = 100;
/// Clients turned away a minute, for want of room, from which it is overload: fewer are a burst that has passed.
const OVERLOAD: u64 = 10;
/// Requests for what is not here from which a minute is worth a look, where they are also more than half of all
/// requests: the links of a site that moved look like that, and so does a slow scan.
const MISSING: u64 = 100;

/// How the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing to see.
    Well,
    /// Worth a look.
    Watch,
    /// Somebody means harm, and is refused.
    Attack,
    /// Clients are turned away for want of room.
    Overload,
    /// Something of ours is broken.
    Degraded,
}

impl Level {
    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Watch => "watch",
            Self::Attack => "attack",
            Self::Overload => "overload",
            Self::Degraded => "degraded",
        }
    }
}

/// One line for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How it is.
    pub level: Level,
    /// What happens, in a sentence.
    pub line: String,
    /// What to do about it; empty where there is nothing to do.
    pub advice: &'static str,
}

/// What holds beside what was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether clients that mean harm are banned.
    pub bans: bool,
    /// Whether the last reload was taken over.
    pub reloaded: bool,
}

impl Default for Standing {
    /// Nobody is banned, and no reload has failed.
    fn default() -> Self {
        Self { bans: false, reloaded: true }
    }
}

/// The last minute, summed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Minute {
    /// Requests answered.
    pub requests: u64,
    /// Refusals by [`Code::ALL`].
    pub refusals: [u64; Code::ALL.len()],
    /// Events by [`Event::ALL`].
    pub events: [u64; Event::COUNT],
    /// Clients with an event among those that are watched.
    pub clients: usize,
    /// Log lines dropped.
    pub dropped: u64,
}

impl Minute {
    /// The sum of `seconds`; the clients are not known from them.
    pub fn of(seconds: &[Second]) -> Self {
        let mut minute = Self {
            requests: 0,
            refusals: [0; Code::ALL.len()],
            events: [0; Event::COUNT],
            clients: 0,
            dropped: 0,
        };
        for second in seconds {
            minute.requests += second.requests;
            minute.dropped += second.dropped;
            minute.refusals.iter_mut().zip(second.refusals).for_each(|(sum, count)| *sum += count);
            minute.events.iter_mut().zip(second.events).for_each(|(sum, count)| *sum += count);
        }
        minute
    }

    fn refused(&self, codes: &[Code]) -> u64 {
        codes.iter().filter_map(|code| self.refusals.get(*code as usize)).sum()
    }

    fn seen(&self, event: Event) -> u64 {
        self.events.get(event as usize).copied().unwrap_or(0)
    }
}

impl Verdict {
    /// The verdict on `minute`.
    pub fn on(minute: &Minute, standing: Standing) -> Self {
        degraded(minute)
            .or_else(|| overload(minute))
            .or_else(|| attack(minute, standing))
            .or_else(|| watch(minute, standing))
            .unwrap_or_else(|| Self::new(Level::Well, "All is well.", ""))
    }

    fn new(level: Level, line: impl Into<String>, advice: &'static str) -> Self {
        Self { level, line: line.into(), advice }
    }
}

/// What of ours is broken, the worst first: codes, what they mean, and what helps.
const BROKEN: [(&[Code], &str, &str); 4] = [
    (
        &[Code::StoreDegraded],
        "The upload store had an error and takes nothing more; files are served.",
        "Check the disk of the uploads folder, then restart the server.",
    ),
    (
        &[Code::DiskFull],
        "The disk of the uploads folder is full; files are served.",
        "Make room there; uploads go on by themselves.",
    ),
    (
        &[Code::StoreError],
        "Uploads fail with an error of the disk.",
        "The log says which; check the disk of the uploads folder.",
    ),
    (
        &[Code::Internal],
        "Requests fail by an error inside the server.",
        "The ERROR lines of the log say where.",
    ),
];

fn degraded(minute: &Minute) -> Option<Verdict> {
    let (_, line, advice) = BROKEN.into_iter().find(|(codes, ..)| minute.refused(codes) > 0)?;
    Some(Verdict::new(Level::Degraded, line, advice))
}

/// What there was no room for: codes, the room, and what makes more.
const NO_ROOM: [(&[Code], &str, &str); 3] = [
    (
        &[Code::PoolSaturated],
        "all threads are busy and the queue is full",
        "The disk cannot keep up; if it has time left, raise --threads or --queue.",
    ),
    (
        &[Code::TooManyConnections],
        "all connections are in use",
        "Raise --max-connections, or lower --max-connections-per-ip if a few clients hold them.",
    ),
    (
        &[Code::UploadsBusy],
        "the memory for uploads in progress is in use",
        "Raise --body-memory, or lower --max-body.",
    ),
];

fn overload(minute: &Minute) -> Option<Verdict> {
    let turned_away = |codes: &[Code]| match codes {
        // A dashboard too many is refused by the same code, and is no event.
        [Code::TooManyConnections] => minute.refused(codes).min(minute.seen(Event::Connections)),
        codes => minute.refused(codes),
    };
    let all: u64 = NO_ROOM.iter().map(|(codes, ..)| turned_away(codes)).sum();
    if all < OVERLOAD {
        return None;
    }
    let (_, room, advice) = NO_ROOM.into_iter().max_by_key(|(codes, ..)| turned_away(codes))?;
    Some(Verdict::new(
        Level::Overload,
        format!("{all} requests turned away in the last minute: {room}."),
        advice,
    ))
}

/// Kinds that mean harm, and what they are called, once and several times. What banned clients still try is no news.
const HOSTILE: [(Event, &str, &str); 6] = [
    (Event::Traversal, "try to leave the root", "tries to leave the root"),
    (Event::Scan, "scan for hidden files", "scans for hidden files"),
    (Event::Admin, "try at the operator's pages", "tries at the operator's pages"),
    (Event::Malformed, "malformed request", "malformed requests"),
    (Event::Slow, "request that drips", "requests that drip"),
    (Event::Host, "request for a host that is not ours", "requests for hosts that are not ours"),
];

/// Kinds that are only too much.
const FLOODS: [(Event, &str, &str); 2] = [
    (Event::Rate, "request over the rate limit", "requests over the rate limit"),
    (Event::Connections, "connection over the limit", "connections over the limit"),
];

fn attack(minute: &Minute, standing: Standing) -> Option<Verdict> {
    let count =
        |kinds: &[(Event, &str, &str)]| kinds.iter().map(|(event, ..)| minute.seen(*event)).sum::<u64>();
    let (hostile, floods) = (count(&HOSTILE), count(&FLOODS));
    if hostile < ATTACK && floods < FLOOD {
        return None;
    }
    let advice = if hostile < ATTACK {
        "The limits hold. If others suffer: a lower --rate-limit or --max-connections-per-ip."
    } else if minute.seen(Event::Host) == hostile {
        "If these are your visitors, admit the name they use: --allow-host NAME."
    } else if standing.bans {
        "Bans are on: who goes on is shut out."
    } else {
        "If it goes on: --bans on."
    };
    let refused = if minute.seen(Event::Scan) == 0 { "; all refused" } else { "" };
    Some(Verdict::new(Level::Attack, format!("{}{refused}.", told(minute)), advice))
}

fn watch(minute: &Minute, standing: Standing) -> Option<Verdict> {
    let missing = minute.refused(&[Code::NotFound]);
    let (line, advice) = if !standing.reloaded {
        let line = "The last reload was refused; the settings before it hold.";
        (line.to_owned(), "The log names the line to correct.")
    } else if minute.dropped > 0 {
        (
            format!("{} log lines dropped in the last minute.", minute.dropped),
            "Whoever reads the log is too slow.",
        )
    } else if minute.refused(&[Code::QuotaExceeded]) > 0 {
        (
            "Uploads are refused: the quota is used up.".to_owned(),
            "Raise --upload-quota, or remove old uploads.",
        )
    } else if HOSTILE.iter().chain(&FLOODS).any(|(event, ..)| minute.seen(*event) > 0) {
        (format!("{}.", told(minute)), "")
    } else if missing >= MISSING && missing * 2 > minute.requests {
        (
            format!("{missing} requests in the last minute for what is not here."),
            "A dead link, or somebody looks around.",
        )
    } else {
        return None;
    };
    Some(Verdict::new(Level::Watch, line, advice))
}

/// The two most frequent kinds, and from how many clients they came.
fn told(minute: &Minute) -> String {
    let mut kinds: Vec<_> = HOSTILE.iter().chain(&FLOODS).map(|kind| (minute.seen(kind.0), kind)).collect();
    kinds.retain(|(count, _)| *count > 0);
    kinds.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let named = |(count, (_, one, many)): &(u64, &(Event, &str, &str))| {
        format!("{count} {}", if *count == 1 { one } else { many })
    };
    let shown: Vec<_> = kinds.iter().take(2).map(named).collect();
    let more = if kinds.len() > 2 { " and more" } else { "" };
    let from = match minute.clients {
        0 => String::new(),
        1 => " from one client".to_owned(),
        clients => format!(" from {clients} clients"),
    };
    format!("{}{more} in the last minute{from}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(refusals: &[(Code, u64)], events: &[(Event, u64)]) -> Minute {
        let mut minute = Minute { requests: 1000, clients: 3, ..Minute::of(&[]) };
        refusals.iter().for_each(|(code, count)| minute.refusals[*code as usize] = *count);
        events.iter().for_each(|(event, count)| minute.events[*event as usize] = *count);
        minute
    }

    fn level(refusals: &[(Code, u64)], events: &[(Event, u64)]) -> Level {
        Verdict::on(&minute(refusals, events), Standing::default()).level
    }

    #[test]
    fn obs_3_an_attack_is_told_with_numbers_and_advice() {
        let told = |events: &[_], standing| {
            let verdict = Verdict::on(&minute(&[], events), standing);
            (verdict.level, verdict.line, verdict.advice)
        };
        let (level, line, advice) =
            told(&[(Event::Traversal, 31), (Event::Malformed, 1)], Standing::default());
        assert_eq!(level, Level::Attack);
        assert_eq!(
            line,
            "31 tries to leave the root, 1 malformed request in the last minute from 3 clients; all refused."
        );
        assert_eq!(advice, "If it goes on: --bans on.");
        let banning = Standing { bans: true, ..Standing::default() };
        assert!(told(&[(Event::Traversal, 31)], banning).2.starts_with("Bans are on"));
        assert!(told(&[(Event::Host, 31)], banning).2.contains("--allow-host"));
        assert!(!told(&[(Event::Scan, 31)], banning).1.contains("refused"), "a scan is noticed, not refused");
    }

    #[test]
    fn obs_3_the_worst_that_holds_is_told() {
        let (hostile, crowded) = ([(Event::Traversal, 100)], (Code::PoolSaturated, 100));
        assert_eq!(level(&[crowded, (Code::Internal, 1)], &hostile), Level::Degraded);
        assert_eq!(level(&[crowded], &hostile), Level::Overload);
        assert_eq!(level(&[], &hostile), Level::Attack);
        assert_eq!(level(&[], &[(Event::Traversal, 1)]), Level::Watch);
        assert_eq!(level(&[], &[]), Level::Well);
    }

    #[test]
    fn obs_3_each_threshold_lies_where_it_says() {
        let event = |kind, count| level(&[], &[(kind, count)]);
        for (kind, ..) in HOSTILE {
            assert_eq!(
                (event(kind, ATTACK - 1), event(kind, ATTACK)),
                (Level::Watch, Level::Attack),
                "{kind:?}"
            );
        }
        for (kind, ..) in FLOODS {
            assert_eq!(
                (event(kind, FLOOD - 1), event(kind, FLOOD)),
                (Level::Watch, Level::Attack),
                "{kind:?}"
            );
        }
        for (codes, ..) in NO_ROOM {
            let refused = |count| level(&[(codes[0], count)], &[(Event::Connections, count)]);
            assert_eq!(refused(OVERLOAD), Level::Overload, "{codes:?}");
            assert_ne!(refused(OVERLOAD - 1), Level::Overload, "{codes:?}");
        }
        assert_eq!(event(Event::Ban, 100_000), Level::Well, "banned clients are dealt with");
        let missing = |count| level(&[(Code::NotFound, count)], &[]);
        assert_eq!([missing(500), missing(501)], [Level::Well, Level::Watch], "more than half of 1000");
    }

    #[test]
    fn obs_3_what_an_operator_must_mend_is_named() {
        let advice = |code| Verdict::on(&minute(&[(code, 50)], &[]), Standing::default()).advice;
        assert!(advice(Code::StoreDegraded).contains("restart"));
        let full = minute(&[(Code::TooManyConnections, 50)], &[(Event::Connections, 50)]);
        assert!(Verdict::on(&full, Standing::default()).advice.contains("--max-connections"));
        assert_eq!(advice(Code::TooManyConnections), "", "dashboards too many are no overload");
        assert!(advice(Code::UploadsBusy).contains("--body-memory"));
        assert!(advice(Code::QuotaExceeded).contains("--upload-quota"));
        let refused = Standing { reloaded: false, ..Standing::default() };
        assert_eq!(Verdict::on(&minute(&[], &[]), refused).level, Level::Watch);
        let dropping = Minute { dropped: 7, ..minute(&[], &[]) };
        assert!(Verdict::on(&dropping, Standing::default()).line.starts_with("7 log lines"));
    }
}
