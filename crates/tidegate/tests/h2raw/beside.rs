//! What goes on beside an attack: a good client that asks on and is answered, and what the server's memory does
//! meanwhile. And the attack itself, as a flood of frames.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Goaway, H2};
use crate::support::{SOON, Server};

/// How long the good client waits between an answer and its next request.
const PAUSE: Duration = Duration::from_millis(2);

/// Requests on one connection of the good client; the server has its own bound for them.
const REQUESTS: usize = 1000;

/// How often the memory is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Frames in one write of a flood.
const BATCH: usize = 64;

/// A good client and a look at the memory, from now on.
pub struct Beside {
    stop: Arc<AtomicBool>,
    client: JoinHandle<Vec<Duration>>,
    memory: JoinHandle<u64>,
    before_kib: u64,
}

/// What was seen until the end.
#[derive(Debug)]
pub struct Seen {
    /// How many requests of the good client were answered, all with 200.
    pub answers: usize,
    /// The longest that one of them took.
    pub worst: Duration,
    /// The 99th percentile.
    pub p99: Duration,
    /// By how much the server's own memory grew at most, in KiB.
    pub grown_kib: u64,
}

/// Whether a flooder takes in what the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ears {
    Open,
    Shut,
}

/// How a flood ended.
#[derive(Debug)]
pub struct Flooded {
    /// Frames that were handed to the socket.
    pub sent: usize,
    /// Until no more could be sent, or the server was heard to end it.
    pub took: Duration,
    /// What the server said before it closed; `None` where it just closed.
    pub goaway: Option<Goaway>,
}

impl Beside {
    /// Starts both. The server has answered over HTTP/2 before its memory is first looked at.
    pub fn start(server: &Server) -> Self {
        for _ in 0..3 {
            assert_eq!(H2::connect(server).get("/healthz").status, 200);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (asking, addr) = (Arc::clone(&stop), server.addr);
        let (looking, pid, before_kib) = (Arc::clone(&stop), server.pid(), server.memory_kib());
        Self {
            client: std::thread::spawn(move || ask_on(addr, &asking)),
            memory: std::thread::spawn(move || most_memory(pid, &looking)),
            stop,
            before_kib,
        }
    }

    /// Ends both. Panics where the good client was not answered as ever.
    pub fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut times = self.client.join().expect("a good client that is answered");
        let most_kib = self.memory.join().unwrap();
        times.sort_unstable();
        assert!(!times.is_empty(), "the good client got no answer");
        Seen {
            answers: times.len(),
            worst: times[times.len() - 1],
            p99: times[times.len() * 99 / 100],
            grown_kib: most_kib.saturating_sub(self.before_kib),
        }
    }
}

/// Asks until told to stop; how long each answer took.
fn ask_on(addr: SocketAddr, stop: &AtomicBool) -> Vec<Duration> {
    let (mut times, mut client) = (Vec::new(), H2::connect_to(addr));
    while !stop.load(Ordering::Relaxed) || times.is_empty() {
        let begun = Instant::now();
        assert_eq!(client.get("/healthz").status, 200);
        times.push(begun.elapsed());
        if times.len() % REQUESTS == 0 {
            client = H2::connect_to(addr);
        }
        std::thread::sleep(PAUSE);
    }
    times
}

/// The most memory of its own that the process has had, in KiB.
fn most_memory(pid: u32, stop: &AtomicBool) -> u64 {
    let mut most = 0;
    loop {
        // Asked once more at the end, so that a short flood is seen as well.
        let last = stop.load(Ordering::Relaxed);
        let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:")).unwrap_or("0");
        most = most.max(line.split_whitespace().next().unwrap().parse().unwrap());
        if last {
            return most;
        }
        std::thread::sleep(LOOK);
    }
}

/// Sends up to `count` pieces of a flood, and then listens how the connection ends. Panics where it does not.
pub fn flood(
    client: &mut H2,
    count: usize,
    ears: Ears,
    mut piece: impl FnMut(&mut H2, usize) -> Vec<u8>,
) -> Flooded {
    let (begun, mut sent) = (Instant::now(), 0);
    while sent < count && client.inbox.goaway.is_none() {
        let batch: Vec<u8> =
            (sent..count.min(sent + BATCH)).flat_map(|number| piece(client, number)).collect();
        if !client.send(batch) {
            break;
        }
        sent = count.min(sent + BATCH);
        assert!(begun.elapsed() < SOON, "{sent} frames were taken, and nothing said");
        if ears == Ears::Open {
            client.take_in();
        }
    }
    Flooded { sent, took: begun.elapsed(), goaway: client.ending() }
}
