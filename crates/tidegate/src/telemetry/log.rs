//! The log: lines are handed over in batches and written by one thread, so that no worker ever waits for a
//! disk or a pipe. What the writer cannot keep up with is dropped, counted and said (SPEC OBS-1).
//!
//! ```text
//! worker: line, line, line ─ batch ─┐
//! log::warn!(…) from any thread ────┼─► bounded channel ─► writer thread ─► log (stdout or file)
//! reopen, stop ─ beside the channel ──────────────────────┘             └─► JSON file, audit log
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::batch::{Batch, Spares};
use super::escape::push_json;
use super::stamp::Stamp;
use crate::clock::Utc;
use crate::config::{AccessFormat, LogSettings};
use crate::isolate;
use crate::sync::{Mutex, lock};

/// Batches that may wait for the writer. A worker's batch is at most 32 KiB, so this bounds the memory that
/// a stalled log may hold to 8 MiB.
const QUEUE: usize = 256;
/// How long a reload waits for a writer that is in the middle of a write.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the writer looks whether lines were dropped.
const LOOK: Duration = Duration::from_secs(1);

/// How the log's lines look; read by whoever writes one.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// The format of the main log.
    pub access: AccessFormat,
    /// Whether the main log is a terminal that takes colour.
    pub colour: bool,
    /// Whether JSON lines are written as well.
    pub json_too: bool,
    /// Whether security events are written to a file of their own.
    pub audit_too: bool,
}

/// What the writer is asked beside writing. It needs no place in the channel: a log that nobody reads must not
/// make the server deaf to signals.
#[derive(Debug, Default)]
struct Requests {
    stop: AtomicBool,
    reopen: Mutex<Option<Reopen>>,
}

#[derive(Debug)]
struct Reopen {
    settings: LogSettings,
    answer: SyncSender<io::Result<()>>,
}

/// A handle to the writer; clones share it.
#[derive(Clone, Debug)]
pub struct LogWriter {
    send: SyncSender<Batch>,
    requests: Arc<Requests>,
    spares: Arc<Spares>,
}

/// Lines dropped since start, because the writer could not keep up or the disk refused them.
static DROPPED: AtomicU64 = AtomicU64::new(0);

impl LogWriter {
    /// Opens the outputs and starts the writer thread.
    ///
    /// # Errors
    /// When a file cannot be opened; the error names it.
    pub fn start(settings: &LogSettings) -> io::Result<(Self, JoinHandle<()>)> {
        let outputs = Outputs::open(settings)?;
        let (send, receive) = sync_channel(QUEUE);
        let handle = Self { send, requests: Arc::default(), spares: Arc::default() };
        let (requests, spares) = (Arc::clone(&handle.requests), Arc::clone(&handle.spares));
        let writer = Writer { outputs, requests, spares, told: 0, looked: Instant::now() };
        let thread = std::thread::Builder::new().name("log".into()).spawn(move || writer.run(&receive))?;
        Ok((handle, thread))
    }

    /// An empty batch, most often with room for as many lines as the last ones held.
    pub fn batch(&self) -> Batch {
        self.spares.take()
    }

    /// Hands over `batch`; drops and counts it when the writer is too far behind.
    pub fn submit(&self, batch: Batch) {
        if let Err(TrySendError::Full(batch)) = self.send.try_send(batch) {
            DROPPED.fetch_add(batch.lines, Ordering::Relaxed);
            self.spares.put(batch);
        }
    }

    /// Opens the outputs anew, as after a rotation, and tells how that went; on an error the old ones stay.
    ///
    /// # Errors
    /// When a file cannot be opened, or the writer is stuck in a write for longer than two seconds.
    pub fn reopen(&self, settings: &LogSettings) -> io::Result<()> {
        let (answer, wait) = sync_channel(1);
        *lock(&self.requests.reopen) = Some(Reopen { settings: settings.clone(), answer });
        // An empty batch wakes a writer that has nothing to do.
        let _ = self.send.try_send(Batch::default());
        wait.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            lock(&self.requests.reopen).take();
            Err(io::Error::other("its reader takes nothing"))
        })
    }

    /// Asks the writer to write what was handed over before, and to end.
    pub fn stop(&self) {
        self.requests.stop.store(true, Ordering::Release);
        let _ = self.send.try_send(Batch::default());
    }

    /// Lines dropped since start.
    pub fn dropped(&self) -> u64 {
        DROPPED.load(Ordering::Relaxed)
    }
}

/// Whether the main log goes to a terminal that takes colour (`NO_COLOR` is honoured).
pub fn takes_colour(settings: &LogSettings) -> bool {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    settings.file.is_none() && !plain && io::stdout().is_terminal()
}

struct Outputs {
    main: Box<dyn Write + Send>,
    json: Option<File>,
    audit: Option<File>,
    shape: Shape,
}

impl Outputs {
    fn open(settings: &LogSettings) -> io::Result<Self> {
        let main: Box<dyn Write + Send> = match &settings.file {
            Some(path) => Box::new(append(path)?),
            None => Box::new(io::stdout()),
        };
        let json = settings.json_file.as_ref().map(append).transpose()?;
        let audit = settings.audit_file.as_ref().map(append).transpose()?;
        Ok(Self { main, json, audit, shape: Shape::of(settings) })
    }

    /// Writes to each output, even where another one fails.
    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        let main = self.main.write_all(&batch.main).and_then(|()| self.main.flush());
        let json = self.json.as_mut().map_or(Ok(()), |file| file.write_all(&batch.json));
        let audit = self.audit.as_mut().map_or(Ok(()), |file| file.write_all(&batch.audit));
        main.and(json).and(audit)
    }
}

fn append(path: &PathBuf) -> io::Result<File> {
    let open = OpenOptions::new().append(true).create(true).open(path);
    open.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", Path::display(path))))
}

impl Shape {
    /// The shape that `settings` ask for.
    pub fn of(settings: &LogSettings) -> Self {
        Self {
            access: settings.access,
            colour: takes_colour(settings),
            json_too: settings.json_file.is_some(),
            audit_too: settings.audit_file.is_some(),
        }
    }
}

struct Writer {
    outputs: Outputs,
    requests: Arc<Requests>,
    spares: Arc<Spares>,
    /// Dropped lines that the log already tells of.
    told: u64,
    /// When it last looked for dropped lines.
    looked: Instant,
}

impl Writer {
    fn run(mut self, receive: &Receiver<Batch>) {
        loop {
            let batch = receive.recv_timeout(LOOK);
            self.reopen();
            match batch {
                Ok(batch) => {
                    let lines = batch.lines;
                    if isolate::run(|| self.write(batch)).is_err() {
                        DROPPED.fetch_add(lines, Ordering::Relaxed);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.requests.stop.load(Ordering::Acquire) {
                receive.try_iter().for_each(|batch| self.write(batch));
                self.tell_dropped();
                return;
            }
            if self.looked.elapsed() >= LOOK {
                self.looked = Instant::now();
                self.tell_dropped();
            }
        }
    }

    fn reopen(&mut self) {
        let request = lock(&self.requests.reopen).take();
        if let Some(Reopen { settings, answer }) = request {
            let opened = Outputs::open(&settings).map(|outputs| self.outputs = outputs);
            let _ = answer.send(opened);
        }
    }

    fn write(&mut self, batch: Batch) {
        crate::failpoint!("log");
        if self.outputs.write(&batch).is_err() {
            DROPPED.fetch_add(batch.lines, Ordering::Relaxed);
        }
        self.spares.put(batch);
    }

    fn tell_dropped(&mut self) {
        let dropped = DROPPED.load(Ordering::Relaxed);
        if dropped > self.told {
            let text = format!("{} log lines dropped, {dropped} since start", dropped - self.told);
            let mut batch = Batch::default();
            push_event(&mut batch, self.outputs.shape, Level::Warn, &text);
            if self.outputs.write(&batch).is_ok() {
                self.told = dropped;
            }
        }
    }
}

/// The `log` crate's sink: what the server itself has to say.
struct Events {
    writer: LogWriter,
    shape: Mutex<Shape>,
}

static EVENTS: std::sync::OnceLock<Events> = std::sync::OnceLock::new();

/// Sends what `log::info!` and its like say to `writer`, from now until the process ends.
pub fn install(writer: &LogWriter, settings: &LogSettings) {
    let events = Events { writer: writer.clone(), shape: Mutex::new(Shape::of(settings)) };
    if EVENTS.set(events).is_ok()
        && let Some(events) = EVENTS.get()
    {
        let _ = log::set_logger(events);
    }
    reshape(settings);
}

/// Takes over the level and formats of `settings`.
pub fn reshape(settings: &LogSettings) {
    log::set_max_level(settings.level);
    if let Some(events) = EVENTS.get() {
        *lock(&events.shape) = Shape::of(settings);
    }
}

impl Log for Events {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Libraries speak up only when something is wrong.
        let ours = metadata.target().starts_with("tidegate");
        metadata.level() <= if ours { LevelFilter::Trace } else { LevelFilter::Warn }
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let shape = *lock(&self.shape);
            let mut batch = Batch::default();
            push_event(&mut batch, shape, record.level(), &record.args().to_string());
            self.writer.submit(batch);
        }
    }

    fn flush(&self) {}
}

fn push_event(batch: &mut Batch, shape: Shape, level: Level, text: &str) {
    batch.lines += 1;
    match shape.access {
        AccessFormat::Json => push_event_json(&mut batch.main, level, text),
        AccessFormat::Combined => push_event_nginx(&mut batch.main, level, text),
        AccessFormat::Pretty | AccessFormat::Off => {
            push_event_pretty(&mut batch.main, level, text, shape.colour);
        }
    }
    if shape.json_too {
        push_event_json(&mut batch.json, level, text);
    }
}

fn push_event_pretty(out: &mut Vec<u8>, level: Level, text: &str, colour: bool) {
    let (name, on) = match level {
        Level::Error => ("ERROR", "\x1b[31m"),
        Level::Warn => ("WARNING", "\x1b[33m"),
        Level::Info => ("INFO", ""),
        Level::Debug | Level::Trace => ("DEBUG", "\x1b[2m"),
    };
    let (on, off) = if colour && !on.is_empty() { (on, "\x1b[0m") } else { ("", "") };
    Stamp::at(SystemTime::now()).push_iso(out);
    let _ = writeln!(out, " {on}{name:<7}{off} {text}");
}

fn push_event_nginx(out: &mut Vec<u8>, level: Level, text: &str) {
    let now = Utc::now();
    let name = match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "notice",
        Level::Debug | Level::Trace => "debug",
    };
    let _ = writeln!(
        out,
        "{:04}/{:02}/{:02} {:02}:{:02}:{:02} [{name}] {}#0: {text}",
        now.year,
        now.month,
        now.day,
        now.hour,
        now.minute,
        now.second,
        std::process::id()
    );
}

fn push_event_json(out: &mut Vec<u8>, level: Level, text: &str) {
    let name = match level {
        Level::Error => "error",
        Level::Warn => "warn",
        Level::Info => "info",
        Level::Debug | Level::Trace => "debug",
    };
    let _ = write!(out, "{{\"level\":\"{name}\",\"ts\":");
    Stamp::at(SystemTime::now()).push_seconds(out);
    out.extend(b",\"logger\":\"tidegate\",\"msg\":");
    for (index, part) in text.as_bytes().chunks(super::escape::MAX_TEXT).enumerate() {
        // Long texts of our own are kept whole: pieces joined into one string.
        if index > 0 {
            out.pop();
        }
        let start = out.len();
        push_json(out, part);
        if index > 0 {
            out.remove(start);
        }
    }
    if text.is_empty() {
        out.extend(b"\"\"");
    }
    out.extend(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(access: AccessFormat) -> Shape {
        Shape { access, colour: false, json_too: true, audit_too: false }
    }

    #[test]
    fn obs_1_events_follow_the_format_of_the_log() {
        let mut batch = Batch::default();
        push_event(&mut batch, shape(AccessFormat::Pretty), Level::Warn, "a \"b\"");
        let main = String::from_utf8(batch.main.clone()).unwrap();
        assert!(main.ends_with("Z WARNING a \"b\"\n"), "{main}");
        let json: serde_json::Value = serde_json::from_slice(&batch.json).unwrap();
        assert_eq!((json["level"].as_str(), json["msg"].as_str()), (Some("warn"), Some("a \"b\"")));
        let mut batch = Batch::default();
        push_event(&mut batch, shape(AccessFormat::Combined), Level::Error, "x");
        assert!(String::from_utf8(batch.main).unwrap().contains(" [error] "));
    }

    #[test]
    fn obs_1_long_events_stay_one_json_string() {
        let mut batch = Batch::default();
        let long = "x".repeat(3000);
        push_event(&mut batch, shape(AccessFormat::Json), Level::Info, &long);
        let json: serde_json::Value = serde_json::from_slice(&batch.main).unwrap();
        assert_eq!(json["msg"], long);
    }

    #[test]
    fn obs_1_the_writer_gives_its_buffers_back() {
        let settings = LogSettings {
            access: AccessFormat::Combined,
            level: LevelFilter::Info,
            file: Some("/dev/null".into()),
            json_file: None,
            audit_file: None,
        };
        let (writer, thread) = LogWriter::start(&settings).unwrap();
        writer.submit(Batch { main: Vec::with_capacity(5000), ..Batch::default() });
        writer.stop();
        thread.join().unwrap();
        // The batch that woke it to stop may lie on top.
        assert!((0..2).any(|_| writer.batch().main.capacity() == 5000));
    }
}
