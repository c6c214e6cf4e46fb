//! `cargo xtask soak`: clients of every kind, and something done to the server every ten seconds; is each byte right?
//!
//! ```text
//! clients.rs   readers and senders       ┐                     weather.rs   what explains a failure, and when
//! hostile.rs   bad and slow ones         ├─► one server ◄───── chaos.rs     what is done, and how soon it is well again
//! pages.rs     files that change         ┘   house.rs
//! every ten seconds: something done ─► well again? ─► load ─► a new process? all quiet: descriptors and memory ─► …
//! at the end: every acknowledged upload, and what the last process holds beyond what it held at first
//! ```
//! With `--corrupt` a byte of a file and an acknowledged upload are lost on purpose: both must be told.

mod chaos;
mod clients;
mod counts;
mod hostile;
mod house;
mod pages;
mod weather;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use crate::Verdict;
use crate::bench::grid::Grid;
use crate::command::TempDir;
use crate::context::Context;
use crate::crash::ledger::Ledger;
use crate::crash::uploads::Uploads;
use crate::dice::{self, Dice};
use crate::{crash, mounts};
use chaos::{Chaos, EVENTS};
use clients::Town;
use counts::Counts;
use house::{Held, House};
use pages::Pages;
use weather::Weather;

/// Folders of a run that was itself killed are known by this word, and removed by the next run.
const PURPOSE: &str = "soak";

/// Something is done so often.
const SLOT: Duration = Duration::from_secs(10);
const MINUTE: Duration = Duration::from_secs(60);

/// So long before the end nothing replaces the process any more, so that there is a first and a last look at it.
const CALM: Duration = Duration::from_secs(25);

/// What a process may hold beyond what it held at its first quiet moment: connections of which the kernel has just
/// told the end; a share of its memory, or what an allocator keeps of a larger burst.
const MORE_DESCRIPTORS: usize = 4;
const MORE_MEMORY: f64 = 0.25;
const MORE_BYTES: u64 = 4 << 20;

/// Mebibytes of the disk of uploads: at the start, and for each minute.
const DISK: u64 = 64;
const DISK_A_MINUTE: u64 = 48;

/// More than a working day belongs into several runs.
const MOST_MINUTES: u64 = 600;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    minutes: u64,
    /// Negative control.
    corrupt: bool,
    /// `None` for any.
    seed: Option<u64>,
    binary: Option<PathBuf>,
}

const WHOLE: Plan = Plan { minutes: 60, corrupt: false, seed: None, binary: None };

/// A kind of client: what it does from an address of its own, and how many of it there are.
struct Kind {
    counts: Counts,
    number: u8,
    live: fn(&Town<'_>, Ipv4Addr, &Counts),
}

/// What the process that serves held when all was quiet, at first and now.
#[derive(Clone, Copy, Debug)]
struct Life {
    first: Held,
    now: Held,
}

/// `cargo xtask soak FLAGS`. An `Err` says what is wrong with the flags.
pub(crate) fn run(root: &Path, flags: &[&str]) -> Result<Verdict, String> {
    let plan = parse(flags)?;
    Ok(mounts::apart("soak", flags, "a disk that can be made full needs root", || perform(root, &plan)))
}

fn parse(words: &[&str]) -> Result<Plan, String> {
    let mut plan = WHOLE;
    let mut rest = words.iter();
    while let Some(&flag) = rest.next() {
        let mut value = || rest.next().copied().ok_or_else(|| format!("`{flag}` needs a value"));
        let number = |text: &str, least: u64, most: u64| {
            let number = text.parse().ok().filter(|number| (least..=most).contains(number));
            number.ok_or_else(|| format!("`{flag}` is a number from {least} to {most}"))
        };
        match flag {
            "--minutes" => plan.minutes = number(value()?, 1, MOST_MINUTES)?,
            "--seed" => plan.seed = Some(number(value()?, 0, u64::MAX)?),
            "--binary" => plan.binary = Some(PathBuf::from(value()?)),
            "--corrupt" => plan.corrupt = true,
            _ => return Err(format!("`soak` does not know `{flag}`")),
        }
    }
    Ok(plan)
}

fn perform(root: &Path, plan: &Plan) -> Result<Verdict, String> {
    let context = Context::new(root).map_err(|error| format!("no folders for tools and logs: {error}"))?;
    let binary = crash::server(&context, plan.binary.as_deref())?;
    let seed = plan.seed.unwrap_or_else(dice::any_seed);
    println!("soak: {} minutes, --seed {seed}", plan.minutes);
    let mut dice = Dice::new(seed);
    TempDir::sweep(&context.target, PURPOSE);
    let scratch = TempDir::new_in(&context.target, PURPOSE).map_err(|error| format!("no folder: {error}"))?;
    let pages = Pages::write(&scratch.path().join("root")).map_err(|error| format!("no pages: {error}"))?;
    let disk = DISK + DISK_A_MINUTE * plan.minutes;
    let house = House::new(&context, &binary, scratch.path(), disk, &mut dice)?;
    let (weather, uploads, ledger) = (Weather::default(), Uploads::new(seed), Mutex::default());
    let town =
        Town { seed, port: house.port, weather: &weather, pages: &pages, uploads: &uploads, ledger: &ledger };
    let (kinds, probes) = (kinds(), Counts::new("probes"));
    let mut chaos = Chaos::new(&town, house, dice);
    let life = live(&town, plan, &mut chaos, &kinds, &probes)?;
    let (kept, promises) = judge_uploads(&chaos, &ledger, &uploads)?;
    let Chaos { house, records, .. } = chaos;
    let left = house.end().inspect_err(|what| println!("wrong, at the end: {what}"));
    let counts: Vec<&Counts> = kinds.iter().map(|kind| &kind.counts).chain([&probes]).collect();
    println!("\n{}\n{}\n{}\n{promises}", clients_table(&counts), events_table(&records), life.told());
    // A kind of client that was never served has shown nothing.
    let all_right = counts.iter().all(|counts| matches!(counts.sums(), [right, _, 0] if right > 0))
        && records.iter().all(|record| record.wrong == 0);
    let good = all_right && kept && life.is_good() && left.is_ok();
    println!("\n{}", if good { "All was right." } else { "**Not all was right.**" });
    Ok(if good { Verdict::Good } else { Verdict::Bad })
}

/// The clients live, and things are done to their server.
fn live(
    town: &Town<'_>,
    plan: &Plan,
    chaos: &mut Chaos<'_>,
    kinds: &[Kind],
    probes: &Counts,
) -> Result<Life, String> {
    thread::scope(|scope| {
        for (kind, street) in kinds.iter().zip(1..) {
            for number in 1..=kind.number {
                let source = Ipv4Addr::new(127, 0, street, number);
                scope.spawn(move || (kind.live)(town, source, &kind.counts));
            }
        }
        let life = live_through(plan, chaos, kinds, probes);
        town.weather.end_all();
        life
    })
}

fn kinds() -> [Kind; 6] {
    let kind = |name, number, live| Kind { counts: Counts::new(name), number, live };
    [
        kind("readers", 4, clients::read),
        kind("senders", 3, clients::send),
        kind("bad requests", 1, hostile::annoy),
        kind("slow heads", 2, hostile::drip),
        kind("slow readers", 2, hostile::sip),
        kind("changes of files", 1, change),
    ]
}

/// No client, but it lives like one: it changes a file now and then.
fn change(town: &Town<'_>, source: Ipv4Addr, counts: &Counts) {
    let mut dice = Dice::of(town.seed, u64::from(source.to_bits()));
    while !town.weather.is_over() {
        thread::sleep(dice.within(Duration::from_secs(1)));
        let number = usize::try_from(dice.below(town.pages.pages.len() as u64)).unwrap_or(0);
        match town.pages.change(&town.pages.pages[number]) {
            Ok(()) => counts.add(Ok(())),
            Err(error) => counts.wrong(format!("a file cannot be changed: {error}")),
        }
    }
}

/// All that is done, one after the other. An `Err` says why it could not go on to the end.
fn live_through(plan: &Plan, chaos: &mut Chaos<'_>, kinds: &[Kind], probes: &Counts) -> Result<Life, String> {
    let begun = Instant::now();
    let time = MINUTE * u32::try_from(plan.minutes).unwrap_or(u32::MAX);
    thread::sleep(SLOT);
    if plan.corrupt {
        corrupt(chaos)?;
    }
    let mut first = chaos.first_look()?;
    let (mut minute, mut done) = (1, Vec::new());
    while begun.elapsed() + SLOT / 2 < time {
        let slot = Instant::now();
        let event = chaos.draw(begun.elapsed() + CALM > time);
        chaos.perform(event, probes)?;
        done.push(event.name());
        thread::sleep(SLOT.saturating_sub(slot.elapsed()));
        if event.replaces() {
            first = chaos.first_look()?;
        }
        if begun.elapsed() >= MINUTE * minute {
            tell(minute, kinds, &done);
            done.clear();
            minute += 1;
        }
    }
    if !done.is_empty() {
        tell(minute, kinds, &done);
    }
    Ok(Life { first, now: chaos.look()? })
}

fn tell(minute: u32, kinds: &[Kind], done: &[&str]) {
    let sums = kinds.iter().map(|kind| kind.counts.sums());
    let [right, explained, wrong] = sums.fold([0; 3], |[a, b, c], [d, e, f]| [a + d, b + e, c + f]);
    println!("minute {minute}: {right} right, {explained} explained, {wrong} wrong; {}", done.join(", "));
}

/// Negative control: a byte of a file, and an upload that was acknowledged.
fn corrupt(chaos: &Chaos<'_>) -> Result<(), String> {
    chaos.town.pages.corrupt().map_err(|error| format!("no byte can be changed: {error}"))?;
    let ledger = chaos.town.ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let name = ledger.acknowledged().next().map(|(name, _)| name.to_owned());
    let name = name.ok_or("no upload was acknowledged so far")?;
    fs::remove_file(chaos.house.uploads().join(name))
        .map_err(|error| format!("no upload can be lost: {error}"))
}

/// Whether each promise is kept, and that in words.
fn judge_uploads(
    chaos: &Chaos<'_>,
    ledger: &Mutex<Ledger>,
    uploads: &Uploads,
) -> Result<(bool, String), String> {
    let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
    let looked = ledger.judge(chaos.house.uploads(), uploads);
    let (faults, hidden) = looked.map_err(|error| format!("the folder of uploads: {error}"))?;
    let mut told = format!("{} uploads acknowledged:", ledger.acknowledged().count());
    for (kind, found) in faults.kinds().into_iter().take(3) {
        told.push_str(&format!(" {} {kind},", found.len()));
    }
    told.push_str(&format!(" {hidden} half-written"));
    Ok((faults.is_none() && hidden == 0, told))
}

impl Life {
    fn is_good(self) -> bool {
        let most =
            (self.first.memory as f64 * (1.0 + MORE_MEMORY)).max((self.first.memory + MORE_BYTES) as f64);
        self.now.descriptors <= self.first.descriptors + MORE_DESCRIPTORS && self.now.memory as f64 <= most
    }

    fn told(self) -> String {
        let mib = |held: Held| held.memory as f64 / 1024.0 / 1024.0;
        format!(
            "The last process, when all was quiet: {} descriptors and {:.1} MiB at first, {} and {:.1} MiB at the end{}",
            self.first.descriptors,
            mib(self.first),
            self.now.descriptors,
            mib(self.now),
            if self.is_good() { "" } else { ": **too much**" },
        )
    }
}

fn clients_table(counts: &[&Counts]) -> Grid {
    let mut grid = Grid::new(["clients", "right", "explained", "wrong"]);
    for counts in counts {
        grid.row([counts.name.to_owned()].into_iter().chain(counts.sums().map(|sum| sum.to_string())));
    }
    grid
}

fn events_table(records: &[chaos::Record]) -> Grid {
    let mut grid = Grid::new(["what was done", "times", "well again after, ms at most", "wrong"]);
    for (event, record) in EVENTS.into_iter().zip(records) {
        let millis = record.slowest.as_millis().to_string();
        grid.row([event.name().to_owned(), record.times.to_string(), millis, record.wrong.to_string()]);
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_keeps_what_it_took_is_found() {
        let held = |descriptors, mebibytes: u64| Held { descriptors, memory: mebibytes << 20 };
        let life = |first, now| Life { first, now };
        assert!(life(held(30, 10), held(34, 14)).is_good());
        assert!(life(held(30, 100), held(30, 125)).is_good());
        for bad in [life(held(30, 10), held(35, 10)), life(held(30, 10), held(30, 15))] {
            assert!(!bad.is_good() && bad.told().contains("**too much**"), "{}", bad.told());
        }
    }

    #[test]
    fn flags_are_numbers_within_bounds() {
        assert_eq!(parse(&[]), Ok(WHOLE));
        let plan = parse(&["--minutes", "3", "--corrupt", "--seed", "7"]).unwrap();
        assert_eq!(plan, Plan { minutes: 3, corrupt: true, seed: Some(7), binary: None });
        for wrong in [&["--minutes", "0"][..], &["--minutes"], &["--minutes", "601"], &["--fast"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
