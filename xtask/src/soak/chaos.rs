//! What is done to the server, one thing every ten seconds, and how soon it is well again.

use std::net::Ipv4Addr;
use std::thread;
use std::time::{Duration, Instant};

use super::clients::{self, Town};
use super::counts::Counts;
use super::hostile;
use super::house::{self, Held, House, KEEP_ALIVE};
use super::pages::Change;
use super::weather::{Trouble, Visitor};
use crate::dice::Dice;
use crate::flood::bad;
use crate::flood::door::Door;

/// After everything that is done it must be well again so soon.
const WELL_AGAIN: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

/// What is given back at all is given back in this time.
const QUIET: Duration = Duration::from_secs(2);

/// How long files are changed without pause, and a disk is full.
const REWRITES: Duration = Duration::from_secs(2);
const BETWEEN_REWRITES: Duration = Duration::from_millis(5);
const FULL: Duration = Duration::from_millis(1500);

/// A flood asks for so many seconds. A crowd is twice as many connections as one address may have.
const FLOOD_SECONDS: u64 = 3;
const BURST_SECONDS: u64 = 1;
const CROWD: usize = 512;
const SEATS: usize = 256;

/// From where it is looked whether all is well.
const PROBE: Ipv4Addr = Ipv4Addr::new(127, 0, 100, 1);

/// Configurations that must be refused: not TOML, a bare number where a unit is needed, a key that needs a restart.
const BROKEN: [&str; 3] = ["[limits", "[limits]\nkeep_alive = 5\n", "[server]\nworkers = 7\n"];

/// Something that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Reload,
    BrokenReload,
    Rewrites,
    FullDisk,
    Flood,
    Crowd,
    Kill,
    Restart,
    Takeover,
}

/// All of them; from the last ones on the process is another.
pub(super) const EVENTS: [Event; 9] = [
    Event::Reload,
    Event::BrokenReload,
    Event::Rewrites,
    Event::FullDisk,
    Event::Flood,
    Event::Crowd,
    Event::Kill,
    Event::Restart,
    Event::Takeover,
];

/// What an event came to, over all times.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    pub(super) times: u64,
    /// The longest it took to be well again, from the end of what was done.
    pub(super) slowest: Duration,
    pub(super) wrong: u64,
}

/// Who does it.
pub(super) struct Chaos<'a> {
    pub(super) town: &'a Town<'a>,
    pub(super) house: House<'a>,
    dice: Dice,
    /// What is still to come in this round.
    deck: Vec<Event>,
    probe: Visitor<'a>,
    /// As in the configuration that is in force.
    keep_alive: u64,
    can_take_over: bool,
    pub(super) records: [Record; EVENTS.len()],
}

impl Event {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::BrokenReload => "reload of a broken configuration",
            Self::Rewrites => "files rewritten without pause",
            Self::FullDisk => "disk full for a while",
            Self::Flood => "flood of requests",
            Self::Crowd => "crowd of connections",
            Self::Kill => "kill -9 and start",
            Self::Restart => "TERM and start",
            Self::Takeover => "takeover",
        }
    }

    /// Whether another process serves afterwards.
    pub(super) fn replaces(self) -> bool {
        matches!(self, Self::Kill | Self::Restart | Self::Takeover)
    }
}

impl<'a> Chaos<'a> {
    pub(super) fn new(town: &'a Town<'a>, house: House<'a>, dice: Dice) -> Self {
        let probe = Visitor::new(town.weather, PROBE, town.port);
        let can_take_over = house.can_take_over();
        let records = [Record::default(); EVENTS.len()];
        Self { town, house, dice, deck: Vec::new(), probe, keep_alive: KEEP_ALIVE, can_take_over, records }
    }

    /// The next thing to do, which leaves the process in its place where that is asked. Each comes once before any
    /// comes again.
    pub(super) fn draw(&mut self, keeps_the_process: bool) -> Event {
        loop {
            let fits = |event: &Event| !(keeps_the_process && event.replaces());
            if let Some(at) = self.deck.iter().position(fits) {
                return self.deck.remove(at);
            }
            let mut fresh: Vec<Event> = EVENTS.to_vec();
            fresh.retain(|event| *event != Event::Takeover || self.can_take_over);
            while !fresh.is_empty() {
                let drawn = self.dice.below(fresh.len() as u64);
                self.deck.push(fresh.swap_remove(usize::try_from(drawn).unwrap_or(0)));
            }
        }
    }

    /// Does it, and waits until all is well again. What went wrong is counted here and with the `probes`. An `Err` says
    /// why it cannot go on.
    pub(super) fn perform(&mut self, event: Event, probes: &Counts) -> Result<(), String> {
        let done = self.act(event);
        if self.house.has_ended() {
            return Err(format!("the server ended in the course of: {}; {done:?}", event.name()));
        }
        let begun = Instant::now();
        while let Err(what) = self.is_well(probes) {
            if begun.elapsed() > WELL_AGAIN {
                probes.wrong(format!("not well after: {}; {what}", event.name()));
                break;
            }
            thread::sleep(LOOK);
        }
        let record = &mut self.records[event as usize];
        record.times += 1;
        record.slowest = record.slowest.max(begun.elapsed());
        if let Err(what) = done {
            record.wrong += 1;
            eprintln!("wrong, {}: {what}", event.name());
        }
        Ok(())
    }

    fn act(&mut self, event: Event) -> Result<(), String> {
        let weather = self.town.weather;
        match event {
            Event::Reload => self.reload(),
            Event::BrokenReload => self.break_config(),
            Event::Rewrites => self.rewrite(),
            Event::FullDisk => self.fill_disk(),
            Event::Flood => {
                let storm = bad::storm(&Door::clear(self.town.port), 1, FLOOD_SECONDS)?;
                hostile::is_a_flood(storm.admitted, storm.refused.len())
            }
            Event::Crowd => {
                let crowd = bad::crowd(&Door::clear(self.town.port), CROWD, SEATS);
                hostile::is_a_flood(crowd.opened as u64, crowd.refused.len())
            }
            Event::Kill => {
                let _spell = weather.spell(&[Trouble::Killed, Trouble::Down, Trouble::Leaving]);
                self.house.kill_and_start()
            }
            Event::Restart => {
                let _spell = weather.spell(&[Trouble::Down, Trouble::Leaving]);
                self.house.end_and_start()
            }
            Event::Takeover => {
                let _spell = weather.spell(&[Trouble::Leaving]);
                self.house.take_over()
            }
        }
    }

    /// The first look at a process comes after a burst: what an allocator and the tables of clients keep of their first
    /// one is no leak.
    pub(super) fn first_look(&mut self) -> Result<Held, String> {
        bad::crowd(&Door::clear(self.town.port), CROWD, SEATS);
        bad::storm(&Door::clear(self.town.port), 1, BURST_SECONDS)?;
        self.look()
    }

    /// What the process holds when nobody asks and nothing is cached: a reload empties the cache, of which a part is open
    /// files.
    pub(super) fn look(&mut self) -> Result<Held, String> {
        let weather = self.town.weather;
        weather.set_quiet(true);
        let emptied = self.reload();
        self.probe.leave();
        thread::sleep(QUIET);
        let held = self.house.held();
        weather.set_quiet(false);
        emptied.map(|()| held)
    }

    fn reload(&mut self) -> Result<(), String> {
        self.keep_alive = if self.keep_alive == KEEP_ALIVE { KEEP_ALIVE - 1 } else { KEEP_ALIVE };
        self.house.reload(&house::config(self.keep_alive))?;
        self.eventually("the new configuration is in force", Self::has_keep_alive)
    }

    fn break_config(&mut self) -> Result<(), String> {
        let refused = self.house.times_said("not reloaded");
        let broken = BROKEN[usize::try_from(self.dice.below(BROKEN.len() as u64)).unwrap_or(0)];
        self.house.reload(broken)?;
        let said = self.eventually("the broken configuration is refused", |chaos| {
            chaos.house.times_said("not reloaded") > refused
        });
        let kept = self.has_keep_alive();
        self.house.restore(&house::config(self.keep_alive))?;
        said?;
        if kept { Ok(()) } else { Err("a part of a broken configuration is in force".to_owned()) }
    }

    /// Whether a new connection is told of the keep-alive that should be in force.
    fn has_keep_alive(&mut self) -> bool {
        self.probe.leave();
        let told = format!("timeout={}", self.keep_alive);
        let answer = self.probe.get("/small.bin", &[]);
        answer.is_ok_and(|answer| answer.field("keep-alive").is_some_and(|value| value.starts_with(&told)))
    }

    fn rewrite(&mut self) -> Result<(), String> {
        let changing: Vec<_> =
            self.town.pages.pages.iter().filter(|page| page.change != Change::Never).collect();
        let end = Instant::now() + REWRITES;
        while Instant::now() < end {
            let page = changing[usize::try_from(self.dice.below(changing.len() as u64)).unwrap_or(0)];
            self.town.pages.change(page).map_err(|error| format!("{}: {error}", page.name))?;
            thread::sleep(BETWEEN_REWRITES);
        }
        Ok(())
    }

    fn fill_disk(&mut self) -> Result<(), String> {
        let _spell = self.town.weather.spell(&[Trouble::Full]);
        self.house.fill_disk()?;
        let body = format!("\"{}\"", "x".repeat(100_000));
        let told = self.eventually("an upload gets 507", |chaos| {
            chaos.probe.upload(body.as_bytes()).is_ok_and(|answer| answer.status == 507)
        });
        thread::sleep(FULL);
        self.house.empty_disk()?;
        told
    }

    fn eventually(&mut self, what: &str, holds: impl Fn(&mut Self) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + WELL_AGAIN;
        while !holds(self) {
            if Instant::now() >= deadline {
                return Err(format!("never: {what}"));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Whether a file is served, an upload is taken, and the server says that it is ready.
    fn is_well(&mut self, probes: &Counts) -> Result<(), String> {
        self.probe.leave();
        let ready = self.probe.get("/readyz", &[]).map_err(|failed| format!("{failed:?}"))?;
        if ready.status != 200 {
            return Err(format!("/readyz says {}", ready.status));
        }
        let page = self.probe.get("/small.bin", &[]).map_err(|failed| format!("{failed:?}"))?;
        if page.status != 200 {
            return Err(format!("a page is answered with {}", page.status));
        }
        let number = self.town.uploads.next();
        clients::send_one(self.town, &mut self.probe, number).map_err(|failed| format!("{failed:?}"))?;
        probes.add(Ok(()));
        Ok(())
    }
}
