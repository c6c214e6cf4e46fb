//! Traffic past a point that panics, and what it cost.
//!
//! Two threads ask for what leads there, two for whatever; three connections stand open meanwhile. When the point has
//! panicked as often as it should, all is as it was before.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rustls::ClientConfig;
use serde_json::Value;

use super::strace::{named_threads, names};
use super::support::client::End;
use super::support::{Client, SOON, Server, Setup, eventually};
use super::tls::{self, Connected, Trust};

/// Bytes of an upload, about: more than fit into one read together with its head.
pub const BODY: usize = 20_000;

/// How often each point panics.
pub fn most() -> usize {
    std::env::var("PANICS").map_or(50, |most| most.parse().expect("a number"))
}

/// A point, and how it is met.
pub struct Stage {
    pub point: &'static str,
    /// It panics each time that it is passed so often.
    pub every: usize,
    pub cost: Cost,
    pub ask: fn(&Target, usize) -> Came,
}

/// How the server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Clear,
    Tls,
}

/// A server, and how it is spoken to.
pub struct Target {
    pub server: Server,
    /// Whom a client believes, where that is by TLS.
    trust: Option<Arc<ClientConfig>>,
}

/// What its panic may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// The request is answered with 500.
    Refusal,
    /// The connection ends without a whole answer.
    Connection,
    /// No request is concerned.
    Nothing,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// Its answer.
    Whole,
    /// The acknowledgement of an upload.
    Stored,
    /// 500 with the code `internal`.
    Refused,
    /// No whole answer.
    Nothing,
}

/// A server under traffic.
pub struct Traffic {
    stage: &'static Stage,
    target: Target,
    beside: Vec<Client>,
    asked: AtomicUsize,
    stored: AtomicUsize,
    refused: AtomicUsize,
    lost: AtomicUsize,
}

impl Traffic {
    pub fn start(stage: &'static Stage, by: By) -> Self {
        let armed = format!("{}={}x{}", stage.point, stage.every, most());
        let args = ["--threads", "4", "--workers", "2", "--body-memory", "128KiB", "--max-body", "24KiB"];
        let setup = Setup::new().env("FAILPOINTS", &armed).args(&args).args(&["--keep-alive", "600s"]);
        let setup = setup.file("page.html", "served").file("middle.bin", vec![1; 1_500_000]);
        let setup = setup.file("large.bin", vec![2; 10_000_000]);
        let target = Target::start(setup, by);
        let mut beside: Vec<_> = (0..3).map(|_| target.connect().expect("a connection")).collect();
        for client in &mut beside {
            assert_eq!(client.get("/healthz").status, 200);
        }
        let zero = AtomicUsize::default;
        Self { stage, target, beside, asked: zero(), stored: zero(), refused: zero(), lost: zero() }
    }

    /// Asks until the point has panicked as often as it should; then judges.
    pub fn run(mut self) {
        let (threads, before) = (self.threads(), self.target.server.descriptors());
        let (traffic, ask) = (&self, self.stage.ask);
        std::thread::scope(|scope| {
            for ask in [ask, ask, health, health] {
                scope.spawn(move || traffic.ask_until_done(ask));
            }
        });
        let (most, point) = (most(), self.stage.point);
        let (refused, lost) = (self.refused.load(Relaxed), self.lost.load(Relaxed));
        let within = match self.stage.cost {
            // Who meets a second one while it is told of the first gets no answer: `encode` is passed by the 500 too.
            Cost::Refusal => refused + 2 * lost <= most && lost <= refused / 10,
            Cost::Connection => refused == 0 && lost <= most,
            Cost::Nothing => refused == 0 && lost == 0,
        };
        assert!(within, "{point}: {refused} refused, {lost} lost");
        for client in &mut self.beside {
            assert_eq!(client.get("/page.html").text(), "served", "{point}: a connection that was open");
        }
        self.beside.clear();
        self.assert_nothing_leaked();
        assert_eq!(self.threads(), threads, "{point}");
        eventually("no descriptor is left", || self.target.server.descriptors() <= before + 6);
        let kept = names(&self.target.server.uploads()).len();
        assert_eq!(kept, self.stored.load(Relaxed), "{point}: as many files as were acknowledged");
    }

    fn ask_until_done(&self, ask: fn(&Target, usize) -> Came) {
        while self.panics() < most() {
            let number = self.asked.fetch_add(1, Relaxed);
            assert!(number < 100 * most(), "{} is not met", self.stage.point);
            self.note(ask(&self.target, number));
        }
    }

    fn note(&self, came: Came) {
        let counter = match came {
            Came::Whole => return,
            Came::Stored => &self.stored,
            Came::Refused => &self.refused,
            Came::Nothing => &self.lost,
        };
        counter.fetch_add(1, Relaxed);
    }

    fn panics(&self) -> usize {
        self.metrics()["tidegate_panics_total"].as_u64().map_or(0, |count| usize::try_from(count).unwrap())
    }

    /// The metrics, as soon as a request for them meets no panic.
    fn metrics(&self) -> Value {
        loop {
            let (came, body) = exchange(&self.target, "GET /metrics?format=json HTTP/1.1\r\n", b"", 200);
            if came == Came::Whole {
                return serde_json::from_slice(&body).unwrap();
            }
            self.note(came);
        }
    }

    /// Every gauge is back where it was when nobody asked for anything.
    fn assert_nothing_leaked(&self) {
        let gauges = [
            // Whoever asks for the metrics.
            ("tidegate_connections", 1.0),
            ("tidegate_body_bytes", 0.0),
            ("http_server_active_requests", 0.0),
            ("tidegate_pool_busy", 0.0),
            ("tidegate_pool_queue_depth", 0.0),
            ("tidegate_dashboard_viewers", 0.0),
        ];
        for (name, at_rest) in gauges {
            let at = || self.metrics()[name].as_f64().unwrap();
            eventually(&format!("{}: {name} is {at_rest}", self.stage.point), || at() <= at_rest);
        }
        assert_eq!(self.panics(), most(), "{}: not once more", self.stage.point);
    }

    fn threads(&self) -> Vec<String> {
        let mut threads: Vec<_> =
            named_threads(&self.target.server).into_iter().map(|(_, name)| name).collect();
        threads.sort();
        threads
    }
}

impl Target {
    fn start(setup: Setup, by: By) -> Self {
        match by {
            By::Clear => Self { server: setup.start(), trust: None },
            By::Tls => {
                let server = setup.args(&["--tls-self-signed"]).start();
                Self { server, trust: Some(Trust::blind().config()) }
            }
        }
    }

    /// A new connection; `None` where its handshake is cut.
    pub fn connect(&self) -> Option<Client> {
        let Some(trust) = &self.trust else { return Some(self.server.connect()) };
        tls::connect(self.server.addr, trust, "127.0.0.1").ok().map(Connected::client)
    }
}

/// What needs neither thread nor file: it shares a look at a name with nobody.
fn health(target: &Target, _: usize) -> Came {
    asked(target, "GET /healthz HTTP/1.1\r\n", b"", 200)
}

pub fn page(target: &Target, _: usize) -> Came {
    asked(target, "GET /page.html HTTP/1.1\r\n", b"", 200)
}

/// One request on a connection of its own, whose whole answer is of this status.
pub fn asked(target: &Target, head: &str, body: &[u8], status: u16) -> Came {
    exchange(target, head, body, status).0
}

fn exchange(target: &Target, head: &str, body: &[u8], status: u16) -> (Came, Vec<u8>) {
    let Some(mut client) = target.connect() else { return (Came::Nothing, Vec::new()) };
    client.send_request(&format!("{head}Connection: close\r\n"), body);
    let (bytes, end) = client.rest(SOON);
    assert_ne!(end, End::Open, "{head}: no end");
    let Some((answer, body)) = whole(&bytes) else { return (Came::Nothing, Vec::new()) };
    let came = match answer {
        500 => Came::Refused,
        201 => Came::Stored,
        _ => Came::Whole,
    };
    assert!(answer == status || came == Came::Refused, "{head}: {}", String::from_utf8_lossy(&bytes));
    (came, body)
}

/// Status and body of an answer, where it is whole.
fn whole(bytes: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).expect("an ASCII head");
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
    let body = &bytes[end + 4..];
    (body.len() == length.parse::<usize>().unwrap()).then(|| (head[9..12].parse().unwrap(), body.to_vec()))
}

/// Whether one of `texts` arrives before the connection ends.
pub fn hears(client: &mut Client, texts: &[&str]) -> bool {
    let (mut heard, mut piece) = (Vec::new(), [0; 16 * 1024]);
    while let Ok(count @ 1..) = client.stream.read(&mut piece) {
        heard.extend_from_slice(&piece[..count]);
        if texts.iter().any(|text| String::from_utf8_lossy(&heard).contains(text)) {
            return true;
        }
    }
    false
}

/// What the control socket answers to `line`, if it does.
pub fn command(path: &Path, line: &str) -> Option<String> {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}
