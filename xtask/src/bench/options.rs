//! The command line of `cargo xtask bench`.

use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

use super::servers::{KINDS, Kind, Role, TIDEGATE, TIDEGATE_B, TIDEGATE_QUIET};
use super::wire::Wire;
use super::works::{Manner, WORKS, Work};

/// What is to be measured.
#[derive(Debug)]
pub(super) enum Plan {
    Speed(Speed),
    Uploads(Rounds),
    Idle(Idle),
}

impl Plan {
    /// Who takes part; for uploads that is ours and the bare loop.
    pub(super) fn kinds(&self) -> &[Kind] {
        match self {
            Self::Speed(speed) => &speed.kinds,
            Self::Idle(idle) => &idle.kinds,
            Self::Uploads(_) => &[],
        }
    }

    pub(super) fn needs_tls(&self) -> bool {
        match self {
            Self::Speed(speed) => speed.works.iter().any(|work| work.wire != Wire::Clear),
            Self::Idle(_) => true,
            Self::Uploads(_) => false,
        }
    }

    /// The build of `--binary`. An `Err` says why there is none.
    pub(super) fn binary(&self) -> Result<Option<PathBuf>, String> {
        let binary = match self {
            Self::Speed(speed) => &speed.binary,
            Self::Idle(idle) => &idle.binary,
            Self::Uploads(_) => &None,
        };
        let binary = binary.as_ref().map(fs::canonicalize).transpose();
        binary.map_err(|error| format!("`--binary`: {error}"))
    }
}

/// The side-by-side run.
#[derive(Debug)]
pub(super) struct Speed {
    pub(super) rounds: Rounds,
    pub(super) works: Vec<&'static Work>,
    pub(super) kinds: Vec<Kind>,
    pub(super) mode: Mode,
    pub(super) binary: Option<PathBuf>,
}

/// Which question the side-by-side run answers; each has its own section in the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Unlimited requests on a connection, no log.
    Plain,
    /// With the access log on everywhere.
    Log,
    /// With [`DEFAULT_REQUESTS`] on a connection.
    DefaultRequests,
}

/// The run over idle connections: memory is the same in every round, so there is one.
#[derive(Debug)]
pub(super) struct Idle {
    pub(super) kinds: Vec<Kind>,
    pub(super) binary: Option<PathBuf>,
    pub(super) write: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rounds {
    pub(super) count: usize,
    /// Of one measurement.
    pub(super) seconds: u64,
    /// Whether the results are written down.
    pub(super) write: bool,
}

/// Requests on one connection by tidegate's default.
pub(super) const DEFAULT_REQUESTS: u32 = 100;

/// A median of five is stable here to some percent; two seconds are some ten thousand requests and more.
const ROUNDS: Rounds = Rounds { count: 5, seconds: 2, write: false };

/// More would take days.
const MOST_ROUNDS: usize = 101;
const MOST_SECONDS: u64 = 60;

/// Reads what follows `bench`. An `Err` says what is wrong with it.
pub(super) fn parse(words: &[&str]) -> Result<Plan, String> {
    let (subject, flags) = match words {
        [subject @ ("speed" | "uploads" | "idle"), flags @ ..] => (*subject, flags),
        flags => ("speed", flags),
    };
    let mut rounds = ROUNDS;
    let mut asked = Asked::default();
    let mut rest = flags.iter();
    while let Some(&flag) = rest.next() {
        let mut value = || rest.next().copied().ok_or_else(|| format!("`{flag}` needs a value"));
        match (flag, subject) {
            ("--rounds", "speed" | "uploads") => rounds.count = number(flag, value()?, MOST_ROUNDS)?,
            ("--seconds", "speed" | "uploads") => rounds.seconds = number(flag, value()?, MOST_SECONDS)?,
            ("--write", _) => rounds.write = true,
            ("--servers", "speed" | "idle") => asked.servers = Some(value()?.to_owned()),
            ("--works", "speed") => asked.works = Some(value()?.to_owned()),
            ("--binary", "speed" | "idle") => asked.binary = Some(PathBuf::from(value()?)),
            ("--log", "speed") => asked.modes.push(Mode::Log),
            ("--default-requests", "speed") => asked.modes.push(Mode::DefaultRequests),
            _ => return Err(format!("`bench {subject}` does not know `{flag}`")),
        }
    }
    match subject {
        "uploads" => Ok(Plan::Uploads(Rounds { write: true, ..rounds })),
        "idle" => asked.idle(rounds.write).map(Plan::Idle),
        _ => asked.speed(rounds).map(Plan::Speed),
    }
}

/// The flags as written.
#[derive(Debug, Default)]
struct Asked {
    works: Option<String>,
    servers: Option<String>,
    modes: Vec<Mode>,
    binary: Option<PathBuf>,
}

impl Asked {
    fn idle(self, write: bool) -> Result<Idle, String> {
        let servers = KINDS.into_iter().filter(|kind| kind.role != Role::Floor);
        let mut kinds = chosen(self.servers.as_deref(), servers, |kind| kind.name)?;
        kinds.extend(self.binary.is_some().then_some(TIDEGATE_B));
        let whole = self.servers.is_none() && self.binary.is_none();
        Ok(Idle { kinds, write: write || whole, binary: self.binary })
    }

    fn speed(self, rounds: Rounds) -> Result<Speed, String> {
        let mode = match self.modes.as_slice() {
            [] => Mode::Plain,
            [mode] => *mode,
            _ => return Err("`--log` and `--default-requests` are two runs".to_owned()),
        };
        // Only a whole run is written down unasked: half a table would replace a whole one.
        let whole = self.works.is_none() && self.servers.is_none() && self.binary.is_none();
        let fits = |work: &&Work| mode != Mode::DefaultRequests || work.can_count_requests();
        let works = chosen(self.works.as_deref(), WORKS.iter().filter(fits), |work| work.name)?;
        let counted = |kind: &Kind| mode == Mode::Plain || kind.role != Role::Floor;
        let mut kinds = chosen(self.servers.as_deref(), KINDS.into_iter().filter(counted), |kind| kind.name)?;
        if mode == Mode::Log && kinds.contains(&TIDEGATE) {
            kinds.push(TIDEGATE_QUIET);
        }
        kinds.extend(self.binary.is_some().then_some(TIDEGATE_B));
        let rounds = Rounds { write: rounds.write || whole, ..rounds };
        Ok(Speed { rounds, works, kinds, mode, binary: self.binary })
    }
}

impl Work {
    /// Whether a limit of requests on a connection leaves this work what it is.
    fn can_count_requests(&self) -> bool {
        matches!(self.manner, Manner::Plain | Manner::Conditional)
    }
}

/// Those of `all` whose names are in the list; all where there is none.
pub(crate) fn chosen<T>(
    list: Option<&str>,
    all: impl Iterator<Item = T>,
    name: impl Fn(&T) -> &'static str,
) -> Result<Vec<T>, String> {
    let all: Vec<T> = all.collect();
    let Some(list) = list else { return Ok(all) };
    let known: Vec<&str> = all.iter().map(&name).collect();
    if let Some(stranger) = list.split(',').find(|asked| !known.contains(asked)) {
        return Err(format!("`{stranger}` is not one of {}", known.join(", ")));
    }
    Ok(all.into_iter().filter(|one| list.split(',').any(|asked| asked == name(one))).collect())
}

fn number<T: FromStr + PartialOrd + From<u8> + Display + Copy>(
    flag: &str,
    value: &str,
    most: T,
) -> Result<T, String> {
    let number = value.parse::<T>().ok().filter(|number| (&T::from(1)..=&most).contains(&number));
    number.ok_or_else(|| format!("`{flag}` needs a whole number from 1 to {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed(words: &[&str]) -> Speed {
        match parse(words) {
            Ok(Plan::Speed(speed)) => speed,
            other => panic!("{other:?}"),
        }
    }

    fn names(speed: &Speed) -> Vec<&'static str> {
        speed.kinds.iter().map(|kind| kind.name).collect()
    }

    #[test]
    fn a_whole_run_is_written_down_and_a_part_only_on_demand() {
        assert!(speed(&[]).rounds.write && speed(&["speed", "--rounds", "9"]).rounds.write);
        assert!(!speed(&["--works", "small"]).rounds.write);
        assert!(!speed(&["--servers", "tidegate,nginx"]).rounds.write);
        assert!(!speed(&["--binary", "x"]).rounds.write);
        assert!(speed(&["--works", "small", "--write"]).rounds.write);
    }

    #[test]
    fn works_and_servers_are_chosen_in_the_order_of_the_tables() {
        let speed = speed(&["--works", "404,small", "--servers", "nginx,tidegate", "--binary", "x"]);
        assert_eq!(speed.works.iter().map(|work| work.name).collect::<Vec<_>>(), ["small", "404"]);
        assert_eq!(names(&speed), ["tidegate", "nginx", "tidegate-b"]);
    }

    #[test]
    fn a_mode_brings_what_it_needs_and_leaves_out_what_it_cannot_do() {
        let log = speed(&["--log", "--servers", "tidegate"]);
        assert_eq!(names(&log), ["tidegate", "tidegate, no log"]);
        let limited = speed(&["--default-requests"]);
        assert!(!limited.works.iter().any(|work| ["close", "pipeline"].contains(&work.name)));
        assert!(!names(&limited).contains(&"floor"));
    }

    #[test]
    fn idle_takes_every_server_but_the_floor() {
        let Ok(Plan::Idle(idle)) = parse(&["idle"]) else { panic!("no idle run") };
        assert!(idle.write && idle.kinds.len() == KINDS.len() - 1 && !idle.kinds.contains(&KINDS[0]));
        for part in [["idle", "--servers", "nginx"], ["idle", "--binary", "x"]] {
            assert!(matches!(parse(&part), Ok(Plan::Idle(Idle { write: false, .. }))));
        }
    }

    #[test]
    fn a_certificate_is_made_only_where_one_is_needed() {
        let needs = [&["idle"][..], &["--works", "small,tls-1m"], &["--works", "small"], &["uploads"]];
        assert_eq!(needs.map(|words| parse(words).unwrap().needs_tls()), [true, true, false, false]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let commands: [&[&str]; 10] = [
            &["--rounds", "0"],
            &["--rounds", "102"],
            &["--rounds", "x"],
            &["--works", "smal"],
            &["--servers", "apache"],
            &["--log", "--default-requests"],
            &["--seconds"],
            &["uploads", "--log"],
            &["idle", "--rounds", "2"],
            &["swift"],
        ];
        for words in commands {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
