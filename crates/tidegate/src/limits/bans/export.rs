//! Bans as text: our own state, which outlives a restart, and what other programs take to ban by.
//!
//! - **State**: a line of JSON for each ban, ended ones included. Times are those of the wall clock, for the other
//!   clock begins anew with the process. A line that cannot be read is skipped and counted.
//! - **fail2ban**: a line for each ban, which the filter in `packaging/fail2ban/tidegate.conf` matches.
//! - **nftables**: commands for `nft -f`, which fill the sets of `packaging/nftables/tidegate.nft`.
//!
//! The bans of shadow mode and those of unix sockets are for nobody else.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::offence::Offence;
use super::{BANS_MAX, Ban, BanBook, EVIDENCE_MAX, LONGEST, REMEMBERED, Register};
use crate::clock::{Millis, Utc};
use crate::http::reject::Event;

/// A ban in the state.
#[derive(Serialize, Deserialize)]
struct Line {
    client: String,
    kind: String,
    /// Milliseconds since 1970, as all times here.
    since: u64,
    until: u64,
    times: u32,
    shadow: bool,
    evidence: Vec<Seen>,
}

/// An offence in the state.
#[derive(Serialize, Deserialize)]
struct Seen {
    kind: String,
    at: u64,
    /// 16 hexadecimal digits.
    id: String,
    text: String,
}

/// What came of reading a state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Bans taken over.
    pub bans: usize,
    /// Lines that are none, or no longer matter.
    pub skipped: usize,
}

/// Bytes of a line: five offences of 160 bytes, each byte escaped to six, and as much again.
const LINE_MAX: usize = 16 * 1024;

/// For whom bans are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Our own state.
    Json,
    /// A log for fail2ban.
    Fail2ban,
    /// Commands for `nft -f`.
    Nftables,
    /// A table for people.
    Table,
}

impl Format {
    /// Whether what is written is to shut clients out elsewhere.
    pub fn is_for_firewalls(self) -> bool {
        matches!(self, Self::Fail2ban | Self::Nftables)
    }

    /// The format with this name, as the command line has it.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "json" => Self::Json,
            "fail2ban" => Self::Fail2ban,
            "nftables" => Self::Nftables,
            "table" => Self::Table,
            _ => return None,
        })
    }
}

impl BanBook {
    /// The bans at `now`, written in `format`, given what the wall clock shows in milliseconds since 1970.
    pub fn export(&self, format: Format, now: Millis, wall: u64) -> String {
        let (mut out, write): (_, fn(&mut String, &Ban, Millis)) = match format {
            Format::Json => return self.save(now, wall),
            Format::Fail2ban => (String::new(), fail2ban),
            Format::Nftables => (String::new(), nftables),
            Format::Table => (TABLE_HEAD.to_owned(), table),
        };
        let told = self
            .list(now, usize::MAX)
            .into_iter()
            .filter(|ban| format == Format::Table || is_for_others(ban));
        told.for_each(|ban| write(&mut out, &ban, now));
        out
    }

    /// The state of all bans, line by line, given what both clocks show (`wall` in milliseconds since 1970).
    pub fn save(&self, now: Millis, wall: u64) -> String {
        let mut out = String::new();
        for ban in self.read().records.values() {
            if let Ok(line) = serde_json::to_string(&Line::of(ban, now, wall)) {
                out.push_str(&line);
                out.push('\n');
            }
        }
        out
    }

    /// Takes over the bans of a state that was saved, as if they had been given by this process, and forgets its own.
    pub fn restore(&self, state: &str, now: Millis, wall: u64) -> Restored {
        self.write(|register| *register = Register::default());
        let mut restored = Restored::default();
        for line in state.lines().filter(|line| !line.trim().is_empty()) {
            match Line::read(line).and_then(|line| line.ban(now, wall)) {
                Some(ban) if restored.bans < BANS_MAX => {
                    self.enter(ban, now);
                    restored.bans += 1;
                }
                _ => restored.skipped += 1,
            }
        }
        restored
    }
}

impl Line {
    fn of(ban: &Ban, now: Millis, wall: u64) -> Self {
        let ended = now.0.saturating_sub(ban.until.0);
        let until = wall.saturating_add(millis(ban.left(now))).saturating_sub(ended);
        let seen = |offence: &Offence| Seen {
            kind: offence.kind.name().to_owned(),
            at: offence.at,
            id: format!("{:016x}", offence.id),
            text: offence.text.to_string(),
        };
        let (client, kind) = (ban.client.to_string(), ban.kind.name().to_owned());
        let evidence = ban.evidence.iter().map(seen).collect();
        Self { client, kind, since: ban.since, until, times: ban.times, shadow: ban.shadow, evidence }
    }

    fn read(line: &str) -> Option<Self> {
        if line.len() <= LINE_MAX { serde_json::from_str(line).ok() } else { None }
    }

    /// The ban of this line: no longer than one can be, should the wall clock have been set back, and `None` where it
    /// ended too long ago to matter. One that ended before this process began counts as if it ended then.
    fn ban(self, now: Millis, wall: u64) -> Option<Ban> {
        let left = Duration::from_millis(self.until.saturating_sub(wall)).min(LONGEST);
        let ended = wall.saturating_sub(self.until);
        if ended >= millis(REMEMBERED) {
            return None;
        }
        let until = Millis(now.after(left).0.saturating_sub(ended));
        let evidence = self.evidence.into_iter().take(EVIDENCE_MAX).map(Seen::offence);
        Some(Ban {
            client: self.client.parse().ok()?,
            kind: kind(&self.kind)?,
            since: self.since,
            until,
            times: self.times.max(1),
            shadow: self.shadow,
            evidence: evidence.collect::<Option<_>>()?,
        })
    }
}

impl Seen {
    fn offence(self) -> Option<Offence> {
        let id = u64::from_str_radix(&self.id, 16).ok()?;
        Some(Offence::new(kind(&self.kind)?, self.at, id, &self.text))
    }
}

/// A line for `fail2ban`; the time is that of the ban.
fn fail2ban(out: &mut String, ban: &Ban, now: Millis) {
    let Utc { year, month, day, hour, minute, second, .. } =
        Utc::at(UNIX_EPOCH + Duration::from_millis(ban.since));
    let (client, kind, times, left) = (ban.client, ban.kind.name(), ban.times, seconds(ban.left(now)));
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z \
         tidegate ban {client} kind={kind} times={times} seconds={left}"
    );
}

/// A command for `nft -f`.
fn nftables(out: &mut String, ban: &Ban, now: Millis) {
    let set = if matches!(ban.client.address(), Some(IpAddr::V4(_))) { "banned4" } else { "banned6" };
    let (client, left) = (ban.client, seconds(ban.left(now)));
    let _ = writeln!(out, "add element inet tidegate {set} {{ {client} timeout {left}s }}");
}

/// A line for people, under [`TABLE_HEAD`].
fn table(out: &mut String, ban: &Ban, now: Millis) {
    let (client, left, mode) =
        (ban.client.to_string(), seconds(ban.left(now)), if ban.shadow { "shadow" } else { "on" });
    let (times, kind) = (ban.times, ban.kind.name());
    // A client may have sent anything, and this is for a terminal.
    let text = ban.evidence.first().map_or("", |offence| &offence.text).escape_debug();
    let _ = writeln!(out, "{client:26} {left:>6} s {mode:6} {times:>5} {kind:10} {text}");
}

const TABLE_HEAD: &str = "CLIENT                         LEFT MODE   TIMES REASON     LAST SEEN\n";

fn is_for_others(ban: &Ban) -> bool {
    !ban.shadow && ban.client.address().is_some()
}

/// Whole seconds, rounded up: `timeout 0s` would mean for ever.
fn seconds(left: Duration) -> u64 {
    left.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX).max(1)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The kind with this name.
fn kind(name: &str) -> Option<Event> {
    Event::ALL.into_iter().find(|kind| kind.name() == name)
}
