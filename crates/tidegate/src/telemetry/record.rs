//! The single exit: every exchange ends here, once.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::log::{Batch, LogWriter, Shape};
use super::{Tally, access_log};
use crate::clock::Millis;
use crate::config::{AccessFormat, LogSettings};
use crate::exchange::Exchange;
use crate::http::reject::Event;

/// A worker's batch of access lines goes to the writer at this size, or at the next tick.
const BATCH_BYTES: usize = 32 * 1024;
/// Security events of one kind that a worker writes out per second; the rest are counted in one line.
const EVENTS_PER_SECOND: u32 = 10;

/// What one worker tells of its exchanges.
#[derive(Debug)]
pub struct Recorder {
    tally: Arc<Tally>,
    thread: String,
    writer: LogWriter,
    shape: Cell<Shape>,
    batch: RefCell<Batch>,
    /// Whether access lines are written at all: the only question on the fast path.
    access: Cell<bool>,
    events: [EventMeter; 5],
}

/// How many events of one kind there were in the present second.
#[derive(Debug, Default)]
struct EventMeter {
    second: Cell<u64>,
    seen: Cell<u32>,
}

impl Recorder {
    /// A recorder for the thread called `thread`.
    pub fn new(tally: Arc<Tally>, thread: String, writer: LogWriter, settings: &LogSettings) -> Self {
        let recorder = Self {
            tally,
            thread,
            writer,
            shape: Cell::new(Shape::of(settings)),
            batch: RefCell::new(Batch::default()),
            access: Cell::new(false),
            events: Default::default(),
        };
        recorder.reshape(settings);
        recorder
    }

    /// Takes over the formats of `settings`.
    pub fn reshape(&self, settings: &LogSettings) {
        self.flush();
        self.shape.set(Shape::of(settings));
        self.access.set(settings.access != AccessFormat::Off && settings.level >= log::LevelFilter::Info);
    }

    /// Counts and writes down `exchange`, which ended at `now` (the same moment as `ended`).
    #[inline]
    pub fn record(&self, exchange: &Exchange<'_>, ended: Instant, now: Millis) {
        self.tally.request();
        if exchange.refusal.is_some() {
            self.refusal(exchange, now);
        }
        if exchange.stored() {
            self.tally.upload();
        }
        log::debug!(
            "{:016x}: transfer of {} bytes in, {} bytes out, status {}",
            exchange.id,
            exchange.received,
            exchange.bytes,
            exchange.status
        );
        if self.access.get() {
            self.line(exchange, ended.saturating_duration_since(exchange.started));
        }
    }

    fn line(&self, exchange: &Exchange<'_>, took: Duration) {
        let shape = self.shape.get();
        let mut batch = self.batch.borrow_mut();
        match shape.access {
            AccessFormat::Pretty => {
                access_log::pretty(&mut batch.main, exchange, took, &self.thread, shape.colour);
            }
            AccessFormat::Combined => access_log::combined(&mut batch.main, exchange),
            AccessFormat::Json => access_log::json(&mut batch.main, exchange, took, &self.thread),
            AccessFormat::Off => {}
        }
        if shape.json_too {
            access_log::json(&mut batch.json, exchange, took, &self.thread);
        }
        batch.lines += 1;
        if batch.main.len().max(batch.json.len()) >= BATCH_BYTES {
            drop(batch);
            self.flush();
        }
    }

    fn refusal(&self, exchange: &Exchange<'_>, now: Millis) {
        let Some(refusal) = &exchange.refusal else { return };
        let row = refusal.code.row();
        self.tally.refusal(refusal.code);
        let evidence = refusal.evidence.as_deref().unwrap_or(row.title);
        match row.event {
            Some(event) => self.event(event, exchange, row.name, evidence, now),
            None if row.status == 500 => {
                log::error!("{} for {} ({:016x}): {evidence}", row.name, exchange.peer, exchange.id);
            }
            None => {
                log::debug!("{} for {} ({:016x}): {evidence}", row.name, exchange.peer, exchange.id);
            }
        }
    }

    fn event(&self, event: Event, exchange: &Exchange<'_>, code: &str, evidence: &str, now: Millis) {
        let Some(meter) = self.events.get(event as usize) else { return };
        let second = now.0 / 1000;
        if meter.second.replace(second) != second {
            let unsaid = meter.seen.replace(0).saturating_sub(EVENTS_PER_SECOND);
            if unsaid > 0 {
                log::warn!("security {}: {unsaid} more in that second", event.name());
            }
        }
        meter.seen.set(meter.seen.get().saturating_add(1));
        if meter.seen.get() <= EVENTS_PER_SECOND {
            let mut safe = Vec::new();
            super::escape::push_text(&mut safe, evidence.as_bytes());
            let safe = String::from_utf8_lossy(&safe);
            log::warn!(
                "security {}: {code} from {} ({:016x}): {safe}",
                event.name(),
                exchange.peer,
                exchange.id
            );
        }
    }

    /// Hands what was collected to the writer.
    pub fn flush(&self) {
        let mut batch = self.batch.borrow_mut();
        if batch.lines > 0 {
            let full = std::mem::take(&mut *batch);
            // The next batch will be about as large as this one.
            batch.main.reserve(full.main.len());
            self.writer.submit(full);
        }
    }
}
