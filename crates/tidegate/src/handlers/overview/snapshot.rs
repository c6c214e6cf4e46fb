//! What the dashboard and `/status` show, as JSON. Every text in it is told as data: whoever shows it sets it as text.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::Overview;
use crate::clock::{unix_millis, unix_of};
use crate::config::BanMode;
use crate::http::explain::Explanation;
use crate::http::reject::{Code, Event};
use crate::limits::ClientKey;
use crate::limits::bans::Ban;
use crate::net::Tls;
use crate::net::tls::Certificate;
use crate::pool::Status;
use crate::telemetry::board::{HISTORY, Second};
use crate::telemetry::offenders::Offender;
use crate::telemetry::sightings::Sighting;
use crate::telemetry::stamp::Stamp;
use crate::telemetry::tally::{Handshake, Tally, Upload};

/// Offenders that are shown.
const OFFENDERS: usize = 20;
/// Newest events that are shown.
const EVENTS: usize = 50;
/// Bans that are shown; all of them are told by `tidegate bans`.
const BANS: usize = 200;
/// Names of a certificate that are shown.
const NAMES: usize = 8;

/// The server at this moment.
pub fn now(overview: &Overview) -> Value {
    let parts = &overview.parts;
    let settings = overview.settings();
    let usage = overview.usage();
    let verdict = overview.verdict();
    let reload = overview.reload();
    let enforced = overview.enforces_bans();
    let offenders = parts.board.offenders(overview.now(), OFFENDERS);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "at": unix_millis(),
        "uptime_seconds": parts.zero.elapsed().as_secs(),
        "verdict": {"level": verdict.level.name(), "line": verdict.line, "advice": verdict.advice},
        "second": parts.board.history(1).first().map(Second::json),
        "totals": totals(overview),
        "workers": workers(overview),
        "pool": pool(&parts.pool.status()),
        "offenders": offenders.iter().map(|one| offender(overview, one, enforced)).collect::<Vec<_>>(),
        "events": parts.board.events(EVENTS).iter().map(event).collect::<Vec<_>>(),
        "rate_limit": {
            "policy": settings.clients.rate.map_or("off".to_owned(), |rate| rate.described()),
            "tracked": parts.ledger.rates.tracked(),
            "capacity": parts.ledger.rates.capacity(),
            "table_bytes": parts.ledger.rates.bytes(),
            "limited": limited(overview, &offenders),
        },
        "bans": bans(overview, settings.bans.mode, enforced),
        "tls": overview.tls().map(|tls| tls_of(overview, &tls)),
        "memory": {
            "resident_bytes": usage.resident_bytes,
            "bodies_bytes": parts.budget.used(),
            "bodies_limit": settings.limits.body_memory,
            "open_files": usage.open_files,
            "open_files_limit": usage.open_files_limit,
            "cpu_seconds": usage.cpu_seconds,
        },
        "log_dropped": parts.writer.dropped(),
        "viewers": overview.viewers(),
        "reload": {"ok": reload.taken, "at": reload.at * 1000},
    })
}

/// The last minutes, a second each.
pub fn history(overview: &Overview) -> Value {
    json!({"seconds": overview.parts.board.history(HISTORY).iter().map(Second::json).collect::<Vec<_>>()})
}

/// `/status` (SPEC OBS-4).
pub fn status(overview: &Overview) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_seconds": overview.parts.zero.elapsed().as_secs(),
        "workers": workers(overview),
        "pool": pool(&overview.parts.pool.status()),
    })
}

/// A refusal by its id.
pub fn refusal(seen: &Sighting) -> Value {
    let row = seen.code.row();
    let mut value = event(seen);
    if let Value::Object(fields) = &mut value {
        fields.insert("time".into(), json!(time(seen.at)));
        fields.insert("status".into(), json!(row.status));
        fields.insert("rule".into(), json!(row.name));
        fields.insert("key".into(), json!(client(seen)));
        fields.insert("limit".into(), json!(limits(seen.code)));
        fields.insert("title".into(), json!(row.title));
        fields.insert("explanation".into(), json!(Explanation::of(seen.code).cause));
    }
    value
}

/// Milliseconds since 1970 as RFC 3339 has it.
fn time(millis: u64) -> String {
    let mut text = Vec::new();
    Stamp::at(UNIX_EPOCH + Duration::from_millis(millis)).push_iso(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The flags that govern a refusal.
pub fn limits(code: Code) -> Vec<String> {
    Explanation::of(code).flags.iter().map(|flag| format!("--{flag}")).collect()
}

fn totals(overview: &Overview) -> Value {
    let totals = overview.parts.board.totals();
    let refusals: Map<String, Value> =
        totals.refused().map(|(name, count)| (name.to_owned(), json!(count))).collect();
    let events = by_kind(totals.events, |_| true);
    json!({
        "requests": totals.requests,
        "http2_requests": totals.http2,
        "refusals": refusals,
        "events": events,
        "uploads": {
            "stored": totals.uploads(Upload::Stored),
            "refused": totals.uploads(Upload::Refused),
            "failed": totals.uploads(Upload::Failed),
        },
        "connections_peak": overview.parts.admission.connections().1,
    })
}

fn tls_of(overview: &Overview, tls: &Tls) -> Value {
    let totals = overview.parts.board.totals();
    let handshakes =
        Handshake::ALL.map(|outcome| (outcome.name().to_owned(), json!(totals.handshakes(outcome))));
    json!({
        "certificates": tls.certificates().map(certificate).collect::<Vec<_>>(),
        "handshakes": Map::from_iter(handshakes),
    })
}

fn certificate(certificate: &Certificate) -> Value {
    let names = certificate.names.get(..NAMES).unwrap_or(&certificate.names);
    json!({
        "names": names, "more": certificate.names.len() - names.len(),
        "expires": unix_of(certificate.not_after), "self_signed": certificate.file.is_none(),
    })
}

fn workers(overview: &Overview) -> Vec<Value> {
    let draining = overview.parts.draining.is_begun();
    let worker = |(id, tally): (usize, &Arc<Tally>)| {
        let (active, now) = (tally.active_now(), tally.requests());
        let state = if draining {
            "draining"
        } else if active > 0 {
            "busy"
        } else {
            "idle"
        };
        json!({
            "id": id, "state": state, "connections": tally.connections(), "served": now,
            "doing": match (active, tally.connections()) {
                (0, 0) => "no connections".to_owned(),
                (0, open) => format!("{open} connections open"),
                (active, _) => format!("{active} waiting for disk or body"),
            },
        })
    };
    overview.parts.board.tallies().iter().enumerate().map(worker).collect()
}

fn pool(status: &Status) -> Value {
    let thread = |(id, thread): (usize, &crate::pool::ThreadStatus)| {
        json!({
            "id": id,
            "state": if thread.doing.is_some() { "busy" } else { "idle" },
            "doing": thread.doing,
            "since": thread.since.as_millis() as f64 / 1000.0,
            "served": thread.served,
        })
    };
    json!({
        "size": status.size(), "least": status.range.least(), "most": status.range.most(), "busy": status.busy(),
        "queue_depth": status.queued, "queue_limit": status.queue_limit, "saturations": status.saturations,
        "threads": status.threads.iter().enumerate().map(thread).collect::<Vec<_>>(),
    })
}

/// Those of `counts` that are `told`, by the names of their kinds.
fn by_kind(counts: [u64; Event::COUNT], told: impl Fn(u64) -> bool) -> Map<String, Value> {
    let kinds = Event::ALL.iter().zip(counts).filter(|(_, count)| told(*count));
    kinds.map(|(kind, count)| (kind.name().to_owned(), json!(count))).collect()
}

fn offender(overview: &Overview, offender: &Offender<ClientKey>, enforced: bool) -> Value {
    let events = by_kind(offender.events, |count| count > 0);
    let banned = match overview.parts.ledger.bans.check(offender.client, overview.now()) {
        None => "no",
        Some(ban) if ban.shadow || !enforced => "shadow",
        Some(_) => "yes",
    };
    json!({
        "client": offender.client.to_string(), "refusals": offender.refusals, "events": events,
        "last_seen": overview.unix(offender.last_seen), "banned": banned,
    })
}

fn limited(overview: &Overview, offenders: &[Offender<ClientKey>]) -> Vec<Value> {
    let rate = Event::Rate as usize;
    let limited = offenders.iter().filter_map(|one| {
        let refused = one.events.get(rate).copied().filter(|refused| *refused > 0)?;
        Some(json!({"client": one.client.to_string(), "refused": refused, "last_seen": overview.unix(one.last_seen)}))
    });
    limited.collect()
}

fn client(seen: &Sighting) -> String {
    seen.client.map_or("unix".to_owned(), |address| address.to_string())
}

fn event(seen: &Sighting) -> Value {
    json!({
        "at": seen.at, "id": format!("{:016x}", seen.id), "client": client(seen),
        "kind": seen.event.map(Event::name), "code": seen.code.row().name,
        "request": seen.request.shown(), "evidence": seen.why(),
    })
}

fn bans(overview: &Overview, mode: BanMode, enforced: bool) -> Value {
    let (on, shadow) = overview.parts.ledger.bans.count(overview.now());
    let last = overview.parts.ledger.bans.list(overview.now(), BANS);
    let list: Vec<_> = last.iter().map(|one| ban(overview, one, enforced)).collect();
    json!({"mode": mode.name(), "count": on + shadow, "list": list})
}

fn ban(overview: &Overview, ban: &Ban, enforced: bool) -> Value {
    let evidence = ban.evidence.iter().map(|offence| {
        json!({
            "at": offence.at, "kind": offence.kind.name(), "text": offence.text,
            "id": format!("{:016x}", offence.id),
        })
    });
    let left = u64::try_from(ban.left(overview.now()).as_millis()).unwrap_or(u64::MAX);
    json!({
        "client": ban.client.to_string(), "since": ban.since, "until": unix_millis().saturating_add(left),
        "shadow": ban.shadow || !enforced, "times": ban.times, "reason": ban.kind.name(), "evidence": evidence.collect::<Vec<_>>(),
    })
}
