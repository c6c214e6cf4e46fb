//! The single exit: every exchange ends here, once.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use log::Level;

use super::Tally;
use super::access_log::{self, Line};
use super::batch::Batch;
use super::log::{LogWriter, Shape};
use super::stamp::Stamp;
use crate::clock::{Millis, Wall};
use crate::config::{AccessFormat, LogSettings};
use crate::exchange::Exchange;
use crate::http::reject::{Event, Fault};

/// A worker's batch of access lines goes to the writer at this size, or at the next tick.
const BATCH_BYTES: usize = 32 * 1024;
/// Security events of one kind that a worker writes out per second, and lines on trouble of our own; the rest are
/// counted in one line.
const LINES_PER_SECOND: u32 = 10;
/// Trouble has its meter behind those of the kinds of events.
const TROUBLE: usize = Event::COUNT;

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
    said_of: [Meter; TROUBLE + 1],
    /// Requests and connections of which the log tells.
    said: Cell<(u64, usize)>,
}

/// How many lines of one kind there were to say in the present second.
#[derive(Debug, Default)]
struct Meter {
    second: Cell<u64>,
    seen: Cell<u32>,
}

impl Recorder {
    /// A recorder for the thread called `thread`.
    pub fn new(tally: Arc<Tally>, thread: String, writer: LogWriter, settings: &LogSettings) -> Self {
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
            said_of: Default::default(),
            said: Cell::default(),
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

    /// Whether anybody reads how long an exchange took.
    #[inline]
    pub fn tells_time(&self) -> bool {
        self.access.get()
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
            self.line(exchange, ended);
        }
    }

    fn line(&self, exchange: &Exchange<'_>, ended: Instant) {
        let took = ended.saturating_duration_since(exchange.started);
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
    fn wall_time(&self, ended: Instant) -> SystemTime {
        self.wall.get().at(ended).unwrap_or_else(|| {
            let now = SystemTime::now();
            self.wall.set(Wall::asked(ended, now));
            now
        })
    }

    fn refusal(&self, exchange: &Exchange<'_>, now: Millis) {
        let Some(refusal) = &exchange.refusal else { return };
        let row = refusal.code.row();
        self.tally.refusal(refusal.code);
        // Trouble of our own is told with what there is to know; that all threads are busy, the pool has said.
        let level = match refusal.event {
            Some(_) => Level::Warn,
            None if row.status == 500 => Level::Error,
            None if row.fault == Fault::Internal && refusal.evidence.is_some() => Level::Warn,
            None => Level::Debug,
        };
        if level <= Level::Warn && !self.may_say(refusal.event, now) {
            return;
        }
        if log::log_enabled!(level) {
            // What came before should stand before.
            self.flush();
            let alarm = if refusal.event.is_some() { "security: " } else { "" };
            let evidence = refusal.evidence.as_deref().unwrap_or(row.title);
            log::log!(level, "{alarm}{}", told(exchange, row.name, evidence));
        }
    }

    /// Whether an event of this kind, or trouble of our own, may still be written out in this second.
    fn may_say(&self, event: Option<Event>, now: Millis) -> bool {
        let (kind, name) = event.map_or((TROUBLE, "trouble"), |event| (event as usize, event.name()));
        let Some(meter) = self.said_of.get(kind) else { return false };
        let second = now.0 / 1000;
        if meter.second.replace(second) != second {
            let unsaid = meter.seen.replace(0).saturating_sub(LINES_PER_SECOND);
            if unsaid > 0 {
                log::warn!("{name}: {unsaid} more in that second");
            }
        }
        meter.seen.set(meter.seen.get().saturating_add(1));
        meter.seen.get() <= LINES_PER_SECOND
    }

    /// Says at DEBUG what this worker has done, if that is news.
    pub fn tell_state(&self, connections: usize) {
        let state = (self.tally.requests(), connections);
        if log::log_enabled!(Level::Debug) && self.said.replace(state) != state {
            log::debug!("{}: {} requests served, {connections} connections open", self.thread, state.0);
        }
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

/// A refusal for the operator. Whatever the client sent is escaped.
fn told(exchange: &Exchange<'_>, code: &str, evidence: &str) -> String {
    let mut text = format!("{code} from {} ({:016x}) \"", exchange.peer, exchange.id).into_bytes();
    access_log::push_request_line(&mut text, exchange);
    text.extend(b"\": ");
    super::escape::push_text(&mut text, evidence.as_bytes());
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Peer;
    use std::time::Duration;

    #[test]
    fn obs_1_a_line_carries_the_moment_its_exchange_ended() {
        let settings = LogSettings {
            access: AccessFormat::Pretty,
            level: log::LevelFilter::Info,
            file: Some("/dev/null".into()),
            json_file: None,
        };
        let (writer, _) = LogWriter::start(&settings).unwrap();
        let recorder = Recorder::new(Arc::new(Tally::new()), "worker-0".into(), writer, &settings);
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
