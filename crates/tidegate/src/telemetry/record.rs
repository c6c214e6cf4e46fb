//! The single exit: every exchange ends here, once.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use log::Level;

use super::access_log::{self, Line};
use super::alarm::Alarm;
use super::batch::Batch;
use super::log::{LogWriter, Shape};
use super::notes::Notes;
use super::stamp::Stamp;
use super::tally::{Handshake, Tally, Upload};
use crate::clock::{Millis, Wall};
use crate::config::{AccessFormat, LogSettings};
use crate::exchange::Exchange;
use crate::http::Request;
use crate::http::reject::Event;
use crate::http::request::Version;
use crate::limits::ledger::Suspicion;

/// A worker's batch of access lines goes to the writer at this size, or at the next tick.
const BATCH_BYTES: usize = 32 * 1024;

/// What one worker tells of its exchanges.
#[derive(Debug)]
pub struct Recorder {
    tally: Arc<Tally>,
    thread: String,
    writer: LogWriter,
    shape: Cell<Shape>,
    batch: RefCell<Batch>,
    wall: Cell<Wall>,
    /// When the last line's exchange ended.
    stamp: RefCell<Stamp>,
    /// Whether access lines are written at all: the only question on the fast path.
    access: Cell<bool>,
    alarm: Alarm,
    /// Requests and connections of which the log tells.
    said: Cell<(u64, usize)>,
}

impl Recorder {
    /// A recorder for the thread called `thread`.
    pub fn new(notes: Notes, thread: String, writer: LogWriter, settings: &LogSettings) -> Self {
        let Notes { tally, sightings, meter } = notes;
        let alarm = Alarm::new(sightings, meter, writer.clone());
        let now = SystemTime::now();
        let recorder = Self {
            tally,
            thread,
            writer,
            shape: Cell::new(Shape::of(settings)),
            batch: RefCell::new(Batch::default()),
            wall: Cell::new(Wall::asked(Instant::now(), now)),
            stamp: RefCell::new(Stamp::at(now)),
            access: Cell::new(false),
            alarm,
            said: Cell::default(),
        };
        recorder.reshape(settings);
        recorder
    }

    /// Takes over the formats of `settings`.
    pub fn reshape(&self, settings: &LogSettings) {
        self.flush();
        self.shape.set(Shape::of(settings));
        self.alarm.set_audit(settings.audit_file.is_some());
        self.access.set(settings.access != AccessFormat::Off && settings.level >= log::LevelFilter::Info);
    }

    /// What this worker counts.
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Counts and writes down `exchange`, which ended at `now` (the same moment as `ended`).
    #[inline]
    pub fn record(&self, exchange: &Exchange<'_>, ended: Instant, now: Millis) {
        let took = ended.saturating_duration_since(exchange.started);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let method = exchange.request.as_ref().and_then(Request::known_method);
        self.tally.record(method, exchange.status, nanos, exchange.received, exchange.bytes);
        if exchange.request.as_ref().is_some_and(|request| request.version == Version::Http2) {
            self.tally.by_http2();
        }
        if exchange.refusal.is_some() {
            self.refusal(exchange, ended, now);
        }
        // One that was sent on to HTTPS was neither taken nor refused.
        if exchange.is_upload() && exchange.status != 308 {
            self.tally.upload(Upload::of(exchange.status));
        }
        log::debug!(
            "{:016x}: transfer of {} bytes in, {} bytes out, status {}",
            exchange.id,
            exchange.received,
            exchange.bytes,
            exchange.status
        );
        if self.access.get() {
            self.line(exchange, ended, took);
        }
    }

    /// Counts how a TLS handshake ended.
    pub fn handshake(&self, outcome: Handshake) {
        self.tally.handshake(outcome);
    }

    fn line(&self, exchange: &Exchange<'_>, ended: Instant, took: Duration) {
        let mut stamp = self.stamp.borrow_mut();
        stamp.turn_to(self.wall_time(ended));
        let line = Line { exchange, ended: &stamp, took, thread: &self.thread };
        let shape = self.shape.get();
        let mut batch = self.batch.borrow_mut();
        match shape.access {
            AccessFormat::Pretty => access_log::pretty(&mut batch.main, line, shape.colour),
            AccessFormat::Combined => access_log::combined(&mut batch.main, line),
            AccessFormat::Json => access_log::json(&mut batch.main, line),
            AccessFormat::Off => {}
        }
        if shape.json_too {
            access_log::json(&mut batch.json, line);
        }
        batch.lines += 1;
        if batch.main.len().max(batch.json.len()) >= BATCH_BYTES {
            drop(batch);
            self.flush();
        }
    }

    /// What the wall clock showed at `ended`, which is now.
    pub fn wall_time(&self, ended: Instant) -> SystemTime {
        self.wall.get().at(ended).unwrap_or_else(|| {
            let now = SystemTime::now();
            self.wall.set(Wall::asked(ended, now));
            now
        })
    }

    fn refusal(&self, exchange: &Exchange<'_>, ended: Instant, now: Millis) {
        let Some(refusal) = &exchange.refusal else { return };
        self.tally.refusal(refusal.code, refusal.event);
        // What came before should stand before.
        self.alarm.refused(exchange, refusal, self.wall_time(ended), now, || self.flush());
    }

    /// Tells what the refusal of `exchange` made of its client.
    pub fn suspect(&self, exchange: &Exchange<'_>, suspicion: &Suspicion, wall: SystemTime, now: Millis) {
        if suspicion.scans {
            self.tally.event(Event::Scan);
            self.alarm.noticed(exchange, Event::Scan, "many requests for what is not there", wall, now);
        }
        if let Some(ban) = &suspicion.banned {
            self.tally.event(Event::Ban);
            self.alarm.noticed(exchange, Event::Ban, &ban.describe(now), wall, now);
        }
    }

    /// Says at DEBUG what this worker has done, if that is news.
    pub fn tell_state(&self, connections: usize) {
        let state = (self.tally.requests(), connections);
        if log::log_enabled!(Level::Debug) && self.said.replace(state) != state {
            log::debug!("{}: {} requests served, {connections} connections open", self.thread, state.0);
        }
    }

    /// Tells of what was left out of the log in seconds that are over.
    pub fn tick(&self, now: Millis) {
        self.alarm.tick(now);
    }

    /// Hands what was collected to the writer.
    pub fn flush(&self) {
        let mut batch = self.batch.borrow_mut();
        if batch.lines > 0 {
            let full = std::mem::replace(&mut *batch, self.writer.batch());
            self.writer.submit(full);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Peer;

    #[test]
    fn obs_1_a_line_carries_the_moment_its_exchange_ended() {
        let settings = LogSettings {
            access: AccessFormat::Pretty,
            level: log::LevelFilter::Info,
            file: Some("/dev/null".into()),
            json_file: None,
            audit_file: None,
        };
        let (writer, _) = LogWriter::start(&settings).unwrap();
        let recorder = Recorder::new(Notes::default(), "worker-0".into(), writer, &settings);
        let began = Instant::now();
        recorder.wall.set(Wall::asked(began, SystemTime::UNIX_EPOCH + Duration::from_millis(999_970)));
        let exchange = Exchange::begin(1, Peer::Unix, began);
        for took in [20, 40, 100] {
            recorder.record(&exchange, began + Duration::from_millis(took), Millis(0));
        }
        let batch = recorder.batch.borrow();
        let text = String::from_utf8(batch.main.clone()).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((batch.lines, lines.len()), (3, 3), "{text}");
        assert!(lines[0].starts_with("1970-01-01T00:16:39.990Z") && lines[0].contains(" 20.00ms "), "{text}");
        assert!(lines[1].starts_with("1970-01-01T00:16:40.010Z") && lines[1].contains(" 40.00ms "), "{text}");
        assert!(!lines[2].starts_with("1970"), "the wall clock was asked again: {text}");
    }
}
