//! What an operator must learn at once: security events, and trouble of our own (SPEC SEC-5).
//!
//! A refusal is kept among the [`Sightings`]; an event is a line of the log and of the audit log as well, up to so many
//! a second and client as the [`Meter`] lets through. What it does not is counted, and told in one line.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::SystemTime;

use log::Level;

use super::access_log;
use super::escape::{push_json, push_text};
use super::log::LogWriter;
use super::meter::{Meter, Unsaid};
use super::sightings::{Sighting, Sightings, Text};
use super::stamp::Stamp;
use crate::clock::{Millis, unix_of};
use crate::exchange::Exchange;
use crate::http::reject::{Event, Fault};
use crate::http::response::Refusal;
use crate::limits::ClientKey;
use crate::sync::{Mutex, lock};

/// Lines on clients, metered for all workers together.
pub(super) type SharedMeter = Arc<Mutex<Meter<ClientKey>>>;

/// Tells of one worker's refusals.
#[derive(Debug)]
pub(super) struct Alarm {
    sightings: Arc<Sightings>,
    meter: SharedMeter,
    trouble: RefCell<Meter<()>>,
    bans: RefCell<Meter<ClientKey>>,
    writer: LogWriter,
    /// Whether there is an audit log.
    audit: Cell<bool>,
}

/// An event, for the log.
struct Told<'a> {
    exchange: &'a Exchange<'a>,
    kind: Event,
    rule: &'a str,
    evidence: &'a str,
}

impl Alarm {
    pub(super) fn new(sightings: Arc<Sightings>, meter: SharedMeter, writer: LogWriter) -> Self {
        Self {
            sightings,
            meter,
            trouble: RefCell::default(),
            bans: RefCell::default(),
            writer,
            audit: Cell::new(false),
        }
    }

    /// Whether events go to an audit log from now on.
    pub(super) fn set_audit(&self, audit: bool) {
        self.audit.set(audit);
    }

    /// Keeps a refusal, and tells of it where it is an event or trouble. `first` is done before a line is written.
    pub(super) fn refused(
        &self,
        exchange: &Exchange<'_>,
        refusal: &Refusal,
        wall: SystemTime,
        now: Millis,
        first: impl Fn(),
    ) {
        let row = refusal.code.row();
        let evidence = refusal.why();
        self.sightings.refusal(
            &sighting(
                exchange,
                refusal,
                refusal.event,
                refusal.evidence.as_deref().unwrap_or_default(),
                wall,
            ),
            exchange.client.key,
            now,
        );
        match refusal.event {
            Some(kind) => self.event(&Told { exchange, kind, rule: row.name, evidence }, now, first),
            None => self.trouble(exchange, refusal, now, first),
        }
    }

    /// Keeps and tells an event that is more than its refusal.
    pub(super) fn noticed(
        &self,
        exchange: &Exchange<'_>,
        kind: Event,
        evidence: &str,
        wall: SystemTime,
        now: Millis,
    ) {
        let Some(refusal) = &exchange.refusal else { return };
        self.sightings.event(&sighting(exchange, refusal, Some(kind), evidence, wall));
        let told = Told { exchange, kind, rule: refusal.code.row().name, evidence };
        match kind {
            // A client is banned once in a while: no flood of other events may hide that.
            Event::Ban if self.bans.borrow_mut().may_say(exchange.client.key, now) => self.write(&told),
            _ => self.event(&told, now, || {}),
        }
    }

    fn event(&self, told: &Told<'_>, now: Millis, first: impl Fn()) {
        let (may, left_out) = {
            let mut meter = lock(&self.meter);
            (meter.may_say(told.exchange.client.key, now), meter.left_out(now))
        };
        if !may && left_out.is_none() {
            return;
        }
        first();
        if let Some(left_out) = left_out {
            self.tell_left_out(left_out);
        }
        if may {
            self.write(told);
        }
    }

    fn write(&self, told: &Told<'_>) {
        log::warn!("security: {}", line(told.exchange, told.rule, told.evidence));
        self.tell_audit(|out| told.push_json(out));
    }

    /// What was left out of earlier seconds.
    fn tell_left_out(&self, Unsaid { lines, most }: Unsaid<ClientKey>) {
        let by = most.map_or(String::new(), |(client, count)| format!(", {count} of them by {client}"));
        log::warn!("security: {lines} more events, not written out{by}");
    }

    /// Tells what is left out and that nobody asked for since.
    pub(super) fn tick(&self, now: Millis) {
        let left_out = lock(&self.meter).left_out(now);
        if let Some(left_out) = left_out {
            self.tell_left_out(left_out);
        }
    }

    /// Trouble of our own is told with what there is to know; that all threads are busy, the pool has said.
    fn trouble(&self, exchange: &Exchange<'_>, refusal: &Refusal, now: Millis, first: impl Fn()) {
        let row = refusal.code.row();
        let level = match row.status {
            500 => Level::Error,
            _ if row.fault == Fault::Internal && refusal.evidence.is_some() => Level::Warn,
            _ => Level::Debug,
        };
        if !log::log_enabled!(level) || level <= Level::Warn && !self.may_tell_trouble(now) {
            return;
        }
        first();
        log::log!(level, "{}", line(exchange, row.name, refusal.why()));
    }

    fn may_tell_trouble(&self, now: Millis) -> bool {
        let mut meter = self.trouble.borrow_mut();
        if let Some(left_out) = meter.left_out(now) {
            log::warn!("trouble: {} more lines, not written out", left_out.lines);
        }
        meter.may_say((), now)
    }

    fn tell_audit(&self, push: impl Fn(&mut Vec<u8>)) {
        if self.audit.get() {
            let mut batch = self.writer.batch();
            push(&mut batch.audit);
            batch.lines = 1;
            self.writer.submit(batch);
        }
    }
}

impl Told<'_> {
    /// As SEC-5 has it; an audit must show what was asked for, too.
    fn push_json(&self, out: &mut Vec<u8>) {
        out.extend(b"{\"time\":\"");
        Stamp::at(SystemTime::now()).push_iso(out);
        out.extend(format!("\",\"id\":\"{:016x}\",\"client\":", self.exchange.id).into_bytes());
        push_json(out, self.exchange.client.to_string().as_bytes());
        out.extend(
            format!(",\"kind\":\"{}\",\"rule\":\"{}\",\"evidence\":", self.kind.name(), self.rule)
                .into_bytes(),
        );
        push_json(out, &self.exchange.told(self.evidence));
        out.extend(b"}\n");
    }
}

fn sighting(
    exchange: &Exchange<'_>,
    refusal: &Refusal,
    event: Option<Event>,
    evidence: &str,
    wall: SystemTime,
) -> Sighting {
    let request = match exchange.line {
        Some((method, target, _)) => Text::of(&[method.as_bytes(), target]),
        None => Text::of(&[b"-"]),
    };
    Sighting {
        id: exchange.id,
        at: unix_of(wall),
        client: exchange.client.address,
        code: refusal.code,
        event,
        status: exchange.status,
        request,
        evidence: Text::of(&[evidence.as_bytes()]),
    }
}

/// A refusal for the operator. Whatever the client sent is escaped.
fn line(exchange: &Exchange<'_>, code: &str, evidence: &str) -> String {
    let mut text = format!("{code} from {} ({:016x}) \"", exchange.client, exchange.id).into_bytes();
    access_log::push_request_line(&mut text, exchange);
    text.extend(b"\": ");
    push_text(&mut text, evidence.as_bytes());
    String::from_utf8_lossy(&text).into_owned()
}
