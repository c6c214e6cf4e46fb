//! Bans as text: our own state, which outlives a restart, and what other programs take to ban by.
//!
//! - **State**: a line of JSON for each ban, ended ones included. Times are those of the wall clock, for the other clock
//!   begins anew with the process. A line that cannot be read is skipped and counted.
//! - **fail2ban**: a line for each ban, which the filter in `packaging/fail2ban/tidegate.conf` matches.
//! - **nftables**: commands for `nft -f`, which need these sets:
//!
//! ```text
//! table inet tidegate {
//!     set banned4 { type ipv4_addr; flags interval, timeout; }
//!     set banned6 { type ipv6_addr; flags interval, timeout; }
//!     chain input {
//!         type filter hook input priority filter - 10;
//!         ip saddr @banned4 drop
//!         ip6 saddr @banned6 drop
//!     }
//! }
//! ```
//! The bans of shadow mode and those of unix sockets are for nobody else.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{BANS_MAX, Ban, BanBook, EVIDENCE_MAX, LONGEST, REMEMBERED};
use crate::clock::{Millis, Utc};
use crate::limits::offence::{Offence, OffenceKind};

/// A ban in the state.
#[derive(Serialize, Deserialize)]
struct Line {
    client: String,
    kind: OffenceKind,
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
    kind: OffenceKind,
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

impl BanBook {
    /// The state of all bans, line by line, given what both clocks show.
    pub fn save(&self, now: Millis, wall: SystemTime) -> String {
        let mut out = String::new();
        for ban in self.read().records.values() {
            if let Ok(line) = serde_json::to_string(&Line::of(ban, now, wall)) {
                out.push_str(&line);
                out.push('\n');
            }
        }
        out
    }

    /// Takes over the bans of a state that was saved, as if they had been given by this process.
    pub fn restore(&self, state: &str, now: Millis, wall: SystemTime) -> Restored {
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
    fn of(ban: &Ban, now: Millis, wall: SystemTime) -> Self {
        let ended = now.0.saturating_sub(ban.until.0);
        let until = millis(wall + ban.left(now)).saturating_sub(ended);
        let seen = |offence: &Offence| Seen {
            kind: offence.kind,
            at: millis(offence.at),
            id: format!("{:016x}", offence.id),
            text: offence.text.to_string(),
        };
        let (client, since) = (ban.client.to_string(), millis(ban.since));
        let evidence = ban.evidence.iter().map(seen).collect();
        Self { client, kind: ban.kind, since, until, times: ban.times, shadow: ban.shadow, evidence }
    }

    fn read(line: &str) -> Option<Self> {
        if line.len() <= LINE_MAX { serde_json::from_str(line).ok() } else { None }
    }

    /// The ban of this line: no longer than one can be, should the wall clock have been set back, and `None` where it
    /// ended too long ago to matter. One that ended before this process began counts as if it ended then.
    fn ban(self, now: Millis, wall: SystemTime) -> Option<Ban> {
        let left = Duration::from_millis(self.until.saturating_sub(millis(wall))).min(LONGEST);
        let ended = Duration::from_millis(millis(wall).saturating_sub(self.until));
        if ended >= REMEMBERED {
            return None;
        }
        let until = Millis(now.after(left).0.saturating_sub(millis(UNIX_EPOCH + ended)));
        let evidence = self.evidence.into_iter().take(EVIDENCE_MAX).map(Seen::offence);
        Some(Ban {
            client: self.client.parse().ok()?,
            kind: self.kind,
            since: time(self.since)?,
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
        Some(Offence::new(self.kind, time(self.at)?, id, &self.text))
    }
}

/// Bans as lines of a log that fail2ban reads: `2026-11-21T09:00:00Z tidegate ban 203.0.113.7 kind=scan times=1
/// seconds=600`. The time is that of the ban.
pub fn fail2ban(bans: &[Ban], now: Millis) -> String {
    let mut out = String::new();
    for ban in bans.iter().filter(|ban| is_for_others(ban)) {
        let Utc { year, month, day, hour, minute, second, .. } = Utc::at(ban.since);
        let (client, kind, times, left) = (ban.client, ban.kind.name(), ban.times, seconds(ban.left(now)));
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z \
             tidegate ban {client} kind={kind} times={times} seconds={left}"
        );
    }
    out
}

/// Bans as commands for `nft -f`.
pub fn nftables(bans: &[Ban], now: Millis) -> String {
    let mut out = String::new();
    for ban in bans.iter().filter(|ban| is_for_others(ban)) {
        let set = if matches!(ban.client.address(), Some(IpAddr::V4(_))) { "banned4" } else { "banned6" };
        let (client, left) = (ban.client, seconds(ban.left(now)));
        let _ = writeln!(out, "add element inet tidegate {set} {{ {client} timeout {left}s }}");
    }
    out
}

fn is_for_others(ban: &Ban) -> bool {
    !ban.shadow && ban.client.address().is_some()
}

/// Whole seconds, rounded up: `timeout 0s` would mean for ever.
fn seconds(left: Duration) -> u64 {
    left.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX).max(1)
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn time(millis: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}
