//! A crowd of clients that ask until told to stop, and keep count of what became of each request.
//!
//! A request on a new connection must be answered. One on a connection that was kept may cross the server's close; a
//! client then asks again on a new one (RFC 9112 section 9.3.1), which is counted and is no fault. Who sees that the
//! connection is closed before it asks, as pools of clients do, just makes a new one.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::Duration;

pub use super::exchange::At;
use super::exchange::{Answer, Outcome, Pipe, ask, has_ended};
use crate::support::{Setup, eventually};

/// Between two requests of one client: a crowd should keep a server busy, not the machine.
const PAUSE: Duration = Duration::from_millis(2);
/// Words of 4 bytes in `large.bin`: 12 MiB, so that it goes by `sendfile`, and more than socket buffers hold.
const LARGE_WORDS: u32 = 3 << 20;
/// What `small.html` says.
const SMALL: &str = "here";

/// What a client does, again and again.
#[derive(Clone, Copy, Debug)]
pub enum Guest {
    /// GETs a page on a new connection each time.
    Fresh,
    /// GETs a page on one connection for as long as the server keeps it.
    Kept,
    /// POSTs on a new connection each time.
    Uploads,
    /// GETs a large file slowly, on a new connection each time.
    Downloads,
}

/// All that a server serves: two of the small, one of each other.
pub const ALL: [Guest; 6] =
    [Guest::Fresh, Guest::Fresh, Guest::Kept, Guest::Kept, Guest::Uploads, Guest::Downloads];

/// Clients at work.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Tally>>,
}

/// What became of the requests.
#[derive(Debug, Default)]
pub struct Tally {
    /// Answered with what was asked for.
    pub served: u64,
    /// Kept connections that the server closed between two requests.
    pub closed: u64,
    /// Asked again, since a kept connection was closed while the request was on its way.
    pub again: u64,
    /// Connections that nobody took.
    pub refused: u64,
    /// All that went wrong otherwise, in words.
    pub broken: Vec<String>,
    /// Uploads that were acknowledged: under which path, and what they hold.
    stored: Vec<(String, Vec<u8>)>,
}

/// Puts the files that the crowd asks for into the root.
pub fn with_files(setup: Setup) -> Setup {
    setup.file("small.html", SMALL).file("large.bin", &*LARGE)
}

/// What `large.bin` holds. No two stretches are alike, so that a piece in the wrong place is seen.
static LARGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let words = (0..LARGE_WORDS).map(|word| word.wrapping_mul(2_654_435_761));
    words.flat_map(u32::to_le_bytes).collect()
});

impl Crowd {
    /// Lets `guests` ask at `at`, until [`Crowd::stop`].
    pub fn at(at: &At, guests: &[Guest]) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let start = |(number, guest): (usize, &Guest)| {
            let client = Guests {
                at: at.clone(),
                number,
                stop: Arc::clone(&stop),
                served: Arc::clone(&served),
                tally: Tally::default(),
            };
            let guest = *guest;
            std::thread::spawn(move || client.ask_on(guest))
        };
        let clients = guests.iter().enumerate().map(start).collect();
        Self { stop, served, clients }
    }

    /// Waits until so many more were served: what just happened to the server happened under load.
    pub fn asks_on(&self, more: u64) {
        let before = self.served.load(Ordering::Relaxed);
        eventually("the crowd is served on", || self.served.load(Ordering::Relaxed) >= before + more);
    }

    /// Lets everybody finish the request at hand and go home.
    pub fn stop(self) -> Tally {
        self.stop.store(true, Ordering::Relaxed);
        let tallies = self.clients.into_iter().map(|client| client.join().unwrap());
        tallies.fold(Tally::default(), Tally::plus)
    }
}

/// One client of the crowd.
struct Guests {
    at: At,
    number: usize,
    stop: Arc<AtomicBool>,
    served: Arc<AtomicU64>,
    tally: Tally,
}

impl Guests {
    fn ask_on(mut self, guest: Guest) -> Tally {
        while !self.stop.load(Ordering::Relaxed) {
            match guest {
                Guest::Fresh => self.once("GET /small.html", SMALL.as_bytes()),
                Guest::Kept => self.keep_asking(),
                Guest::Uploads => self.upload(),
                Guest::Downloads => self.once("GET /large.bin", &LARGE),
            }
            std::thread::sleep(PAUSE);
        }
        self.tally
    }

    /// One request on a connection of its own, answered with 200 and `expected`.
    fn once(&mut self, asked: &str, expected: &[u8]) {
        let Some(mut stream) = self.connect() else { return };
        let request = self.request(&format!("{asked} HTTP/1.1\r\nConnection: close\r\n"), b"");
        let outcome = ask(&mut *stream, &request);
        self.judge(asked, outcome, |answer| answer.status == 200 && answer.body == expected);
    }

    fn upload(&mut self) {
        let number = self.tally.stored.len();
        let body = format!("{{\"client\": {}, \"number\": {number}}}", self.number).into_bytes();
        let head = format!(
            "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n",
            body.len()
        );
        let Some(mut stream) = self.connect() else { return };
        let outcome = ask(&mut *stream, &self.request(&head, &body));
        let location = match &outcome {
            Outcome::Answer(answer) if answer.status == 201 => answer.field("location: "),
            _ => None,
        };
        self.judge("POST /upload", outcome, |answer| answer.status == 201);
        self.tally.stored.extend(location.map(|location| (location, body)));
    }

    /// Asks on one connection until the server closes it.
    fn keep_asking(&mut self) {
        let request = self.request("GET /small.html HTTP/1.1\r\n", b"");
        let Some(mut stream) = self.connect() else { return };
        for asked in 0.. {
            let outcome = ask(&mut *stream, &request);
            if asked > 0 && matches!(outcome, Outcome::Silence(kind) if kind != io::ErrorKind::WouldBlock) {
                self.tally.again += 1;
                return;
            }
            let goes_on = matches!(&outcome, Outcome::Answer(answer) if !answer.closes());
            self.judge("GET /small.html", outcome, |answer| {
                answer.status == 200 && answer.body == SMALL.as_bytes()
            });
            if !goes_on || self.stop.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(PAUSE);
            if has_ended(&mut *stream) {
                self.tally.closed += 1;
                return;
            }
        }
    }

    fn connect(&mut self) -> Option<Box<dyn Pipe>> {
        let connected = self.at.connect();
        if connected.is_err() {
            self.tally.refused += 1;
        }
        connected.ok()
    }

    fn request(&self, head: &str, body: &[u8]) -> Vec<u8> {
        [format!("{head}Host: {}\r\n\r\n", self.at.host()).as_bytes(), body].concat()
    }

    fn judge(&mut self, asked: &str, outcome: Outcome, is_right: impl Fn(&Answer) -> bool) {
        match outcome {
            Outcome::Answer(answer) if is_right(&answer) => {
                self.tally.served += 1;
                self.served.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Answer(answer) => {
                self.tally.broken.push(format!("{asked}: {} ({} bytes)", answer.head, answer.body.len()));
            }
            Outcome::Silence(kind) => self.tally.broken.push(format!("{asked}: no answer, {kind:?}")),
            Outcome::Cut(length) => self.tally.broken.push(format!("{asked}: cut after {length} bytes")),
        }
    }
}

impl Tally {
    fn plus(mut self, other: Self) -> Self {
        self.served += other.served;
        self.closed += other.closed;
        self.again += other.again;
        self.refused += other.refused;
        self.broken.extend(other.broken);
        self.stored.extend(other.stored);
        self
    }

    /// Asserts that every request was answered as it should be.
    pub fn assert_flawless(&self) {
        assert!(self.refused == 0 && self.broken.is_empty(), "{}", self.summary());
        assert!(self.served > 0, "nobody asked");
    }

    /// Asserts that `uploads` holds what was acknowledged, and nothing else; returns how many that were.
    pub fn assert_kept(&self, uploads: &Path) -> usize {
        for (location, body) in &self.stored {
            let kept = std::fs::read(uploads.join(location.trim_start_matches("/uploads/")));
            assert_eq!(kept.ok().as_deref(), Some(body.as_slice()), "{location} was acknowledged");
        }
        let there = std::fs::read_dir(uploads).unwrap().count();
        assert_eq!(there, self.stored.len(), "files that nobody was told of");
        there
    }

    /// The counts in a line, and what broke.
    pub fn summary(&self) -> String {
        let Self { served, closed, again, refused, broken, stored } = self;
        format!(
            "{served} served, {} uploads acknowledged; {closed} kept connections closed, {again} requests asked again; \
             {refused} refused, {} broken: {broken:#?}",
            stored.len(),
            broken.len()
        )
    }
}
