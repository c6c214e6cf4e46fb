//! The end under a thousand slow connections (SPEC RUN-5): what was begun has until the deadline and not a moment
//! less, who is idle leaves at once, and the exit code tells which it was.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should say where"
)]

mod life;
mod process;
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use life::Process;
use life::crowd::{self, At, Crowd};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::{SOON, Setup, eventually};

/// Connections of each kind; there are four.
const OF_EACH: usize = 250;
/// More than socket buffers and the server's own hold for a reader that does not read.
const LARGE: usize = 3 << 20;
/// Bytes by which a body is ahead of the pace that it must keep, of a KiB in each second: a minute of it.
const AHEAD: usize = 60 << 10;
/// Clients that read at a time.
const AT_A_TIME: usize = 16;
/// Time for an idle connection to be closed on a busy machine; 200 ms is what is promised on an idle one.
const AT_ONCE: Duration = Duration::from_secs(2);

/// What a connection has open when the server is told to end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Begun {
    HalfHead,
    HalfBody,
    SlowReader,
    Idle,
}

struct Slow {
    begun: Begun,
    stream: TcpStream,
    received: Vec<u8>,
}

impl Slow {
    fn begin(addr: SocketAddr, begun: Begun) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut slow = Self { begun, stream, received: Vec::new() };
        slow.send(&match begun {
            Begun::HalfHead => format!("GET /small.html HTTP/1.1\r\nHost: {addr}\r\n"),
            Begun::HalfBody => format!(
                "POST /upload HTTP/1.1\r\nHost: {addr}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}[1",
                AHEAD + 4,
                " ".repeat(AHEAD)
            ),
            Begun::SlowReader => format!("GET /long.bin HTTP/1.1\r\nHost: {addr}\r\n\r\n"),
            Begun::Idle => format!("GET /small.html HTTP/1.1\r\nHost: {addr}\r\n\r\n"),
        });
        slow
    }

    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// Whether the connection has ended; of a slow reader, whose buffer is full, that is not known before it reads.
    fn has_ended(&mut self) -> bool {
        self.stream.set_nonblocking(true).unwrap();
        let mut probe = [0];
        let ended = match self.stream.peek(&mut probe) {
            Ok(count) => count == 0,
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        };
        self.stream.set_nonblocking(false).unwrap();
        ended
    }

    /// Waits for the first bytes of an answer, and takes what is there.
    fn hear(&mut self) {
        let mut status_line = [0; 16];
        self.stream.read_exact(&mut status_line).unwrap();
        let mut rest = [0; 4096];
        let count = self.stream.read(&mut rest).unwrap();
        self.received.extend_from_slice(&[&status_line[..], &rest[..count]].concat());
    }

    /// Does the other half of what was begun.
    fn finish(&mut self) {
        match self.begun {
            Begun::HalfHead => self.send("\r\n"),
            Begun::HalfBody => self.send("2]"),
            Begun::SlowReader | Begun::Idle => {}
        }
    }

    /// All that came until the end of the connection, as status and length.
    fn last_answer(mut self) -> (String, usize) {
        let _ = self.stream.read_to_end(&mut self.received);
        let head = self.received.windows(4).position(|window| window == b"\r\n\r\n");
        let status = String::from_utf8_lossy(self.received.get(9..12).unwrap_or_default()).into_owned();
        (status, self.received.len() - head.map_or(0, |end| end + 4))
    }

    fn assert_answered(self) {
        let begun = self.begun;
        let (status, length) = self.last_answer();
        let expected = match begun {
            Begun::HalfHead | Begun::Idle => ("200", 4),
            Begun::SlowReader => ("200", LARGE),
            Begun::HalfBody => ("201", length),
        };
        assert_eq!((status.as_str(), length), expected, "{begun:?}");
    }
}

/// One test after the other: a body and a reader have a pace to keep, and thousands of connections take their time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This process shall hold a thousand connections.
fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// A server whose only deadline is that of the drain, and a thousand connections that have begun.
fn with_a_thousand(drain: &str) -> (Setup, Process, Vec<Slow>) {
    raise_file_limit();
    let setup = crowd::with_files(Setup::new()).file("long.bin", vec![b'x'; LARGE]).args(&["--drain", drain]);
    let setup =
        setup.args(&["--header-timeout", "1h", "--keep-alive", "1h", "--max-connections-per-ip", "0"]);
    // All uploads are finished in one moment, which is more than the queue of the pool takes by default.
    let setup = setup.args(&["--queue", "1000"]);
    let server = Process::start(&setup, &["--access-log", "off"]);
    let begin = |begun| Slow::begin(server.addr, begun);
    let kinds = [Begun::HalfHead, Begun::SlowReader, Begun::Idle];
    let mut slow: Vec<_> = (0..3 * OF_EACH).map(|number| begin(kinds[number % 3])).collect();
    slow.iter_mut().filter(|slow| slow.begun != Begun::HalfHead).for_each(Slow::hear);
    // Last of all: a body has a pace to keep.
    slow.extend((0..OF_EACH).map(|_| begin(Begun::HalfBody)));
    eventually("all are seated", || {
        let status = server.connect().get("/metrics?format=json").json();
        status["tidegate_connections"].as_f64().unwrap() >= 4.0 * OF_EACH as f64
    });
    // A half head that was not read yet would count as idle.
    server.rests();
    (setup, server, slow)
}

fn all(slow: &mut [Slow], idle: bool) -> impl Iterator<Item = &mut Slow> {
    slow.iter_mut().filter(move |slow| (slow.begun == Begun::Idle) == idle)
}

/// Asserts that nothing of what was begun was finished: the process has gone.
fn assert_cut(slow: Vec<Slow>) {
    for slow in slow.into_iter().filter(|slow| slow.begun != Begun::Idle) {
        let begun = slow.begun;
        let (status, length) = slow.last_answer();
        let reads = begun == Begun::SlowReader;
        assert_eq!(status, if reads { "200" } else { "" }, "{begun:?}");
        assert!(length < if reads { LARGE } else { 1 }, "{begun:?}: {length} bytes");
    }
}

/// Asserts that each gets the whole of its answer. Some at a time, for it takes a tenth of a second until one that has not
/// read has the rest.
fn assert_all_are_answered(slow: Vec<Slow>) {
    let left = Mutex::new(slow);
    let take = || left.lock().unwrap().pop();
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(slow) = take() {
                    slow.assert_answered();
                }
            });
        }
    });
}

/// Waits until every idle connection is closed, and asserts that it was soon and that no other one is.
fn assert_only_the_idle_leave(slow: &mut [Slow], since: Instant) {
    while !all(slow, true).all(Slow::has_ended) {
        assert!(since.elapsed() < AT_ONCE, "idle connections are open on");
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("{OF_EACH} idle connections of {} were closed after {:?}", 4 * OF_EACH, since.elapsed());
    assert!(!all(slow, false).any(Slow::has_ended), "cut before the deadline");
}

#[test]
fn row_j6_run_5_a_thousand_slow_connections_are_finished() {
    let _alone = alone();
    let (setup, mut server, mut slow) = with_a_thousand("1h");
    let told = Instant::now();
    server.signal("TERM");
    assert_only_the_idle_leave(&mut slow, told);
    std::thread::sleep(Duration::from_secs(1));
    assert!(!all(&mut slow, false).any(Slow::has_ended), "cut before the deadline");
    slow.iter_mut().rev().for_each(Slow::finish);
    assert_all_are_answered(slow);
    assert_eq!(server.end(), Some(0), "nothing was cut");
    assert_eq!(std::fs::read_dir(setup.root().join("uploads")).unwrap().count(), OF_EACH);
}

#[test]
fn row_j6_run_5_at_the_deadline_what_is_left_of_a_thousand_is_cut() {
    let _alone = alone();
    let (_setup, mut server, mut slow) = with_a_thousand("5s");
    let told = Instant::now();
    server.signal("TERM");
    assert_only_the_idle_leave(&mut slow, told);
    while told.elapsed() < Duration::from_millis(2_500) {
        assert!(!all(&mut slow, false).any(Slow::has_ended), "cut {:?} after the signal", told.elapsed());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(server.end(), Some(3), "some were cut");
    let took = told.elapsed();
    println!("a drain of 5 s with {} unfinished connections took {took:?}", 3 * OF_EACH);
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(5) + SOON, "{took:?}");
    assert_cut(slow);
    let line = server.hear("the drain deadline passed");
    assert!(line.contains(&format!("{} connections are cut", 3 * OF_EACH)), "{line}");
}

#[test]
fn row_j6_run_5_a_second_signal_cuts_a_thousand_at_once() {
    let _alone = alone();
    let (_setup, mut server, mut slow) = with_a_thousand("1h");
    server.signal("TERM");
    assert_only_the_idle_leave(&mut slow, Instant::now());
    server.signal("INT");
    assert_eq!(server.end(), Some(3));
    server.hear("a second signal");
}

/// What the others look at is seen where there is something to see: a server without time to finish cuts them.
#[test]
fn row_j6_run_5_without_a_drain_a_thousand_are_cut() {
    let _alone = alone();
    let (_setup, mut server, slow) = with_a_thousand("0s");
    server.signal("TERM");
    assert_eq!(server.end(), Some(3));
    assert_cut(slow);
}

#[test]
fn row_j6_run_5_the_delay_before_a_drain_refuses_nobody() {
    let _alone = alone();
    let setup = crowd::with_files(Setup::new()).args(&["--drain-delay", "6s", "--access-log", "off"]);
    let mut server = Process::start(&setup, &[]);
    assert_eq!(server.status("/readyz"), 200);
    let crowd = Crowd::at(&At::Tcp(server.addr), &crowd::ALL);
    crowd.asks_on(20);
    server.signal("TERM");
    eventually("not ready", || server.status("/readyz") == 503);
    crowd.asks_on(20);
    let tally = crowd.stop();
    tally.assert_flawless();
    tally.assert_kept(&setup.root().join("uploads"));
    assert_eq!(server.end(), Some(0));
    assert!(TcpStream::connect(server.addr).is_err());
    let draining = server.lines_with("shutting down");
    assert_eq!(draining.len(), 2, "the delay, then the drain: {draining:#?}");
}
