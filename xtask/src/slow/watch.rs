//! What a good client sees meanwhile, what the server takes, and how long slow heads of our own live.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::bench::http::Client;
use crate::bench::servers::Server;

/// A good client asks once a second, and a visitor would not wait longer for the answer than three.
const PERIOD: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(3);

/// Slow heads of our own: enough to tell a deadline, begun one after the other.
const DRIPS: usize = 5;

/// How often they are looked at: the precision of a life.
const LOOK: Duration = Duration::from_millis(50);

/// What a good client got, and the memory meanwhile, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) samples: u32,
    pub(super) missed: u32,
    pub(super) slowest: Duration,
    pub(super) memory_before: u64,
    pub(super) memory_most: u64,
}

/// How long slow heads lived; `None` for one that was not cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Drips {
    pub(super) lives: Vec<Option<Duration>>,
}

/// Looks at `server` once a second until it is `over`.
pub(super) fn watch(server: &Server, over: &AtomicBool) -> Seen {
    let memory_before = server.process.memory().anonymous;
    let mut seen = Seen { memory_before, memory_most: memory_before, ..Seen::default() };
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let answer = Client::connect(server.port).and_then(|mut client| client.get("/small.bin", &[]));
        let took = begun.elapsed();
        seen.samples += 1;
        seen.missed += u32::from(took > PATIENCE || !answer.is_ok_and(|answer| answer.status == 200));
        seen.slowest = seen.slowest.max(took);
        seen.memory_most = seen.memory_most.max(server.process.memory().anonymous);
        thread::sleep(PERIOD.saturating_sub(begun.elapsed()));
    }
    seen
}

/// A head that goes on by a byte each second.
struct Drip {
    stream: TcpStream,
    begun: Instant,
    sent: u32,
    life: Option<Duration>,
}

/// Begins one slow head a second, and tells how long each lived until it was `over`.
pub(super) fn drip(port: u16, over: &AtomicBool) -> io::Result<Drips> {
    let mut drips: Vec<Drip> = Vec::new();
    let mut next = Instant::now() + PERIOD;
    while !over.load(Ordering::Relaxed) {
        if drips.len() < DRIPS && Instant::now() >= next {
            drips.push(Drip::begin(port)?);
            next += PERIOD;
        }
        drips.iter_mut().filter(|drip| drip.life.is_none()).for_each(Drip::go_on);
        thread::sleep(LOOK);
    }
    Ok(Drips { lives: drips.into_iter().map(|drip| drip.life).collect() })
}

impl Drip {
    fn begin(port: u16) -> io::Result<Self> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.write_all(format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX-Slow: ").as_bytes())?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, begun: Instant::now(), sent: 0, life: None })
    }

    /// Whatever the server says, it says because it has waited enough.
    fn go_on(&mut self) {
        let silent =
            matches!(self.stream.read(&mut [0; 64]), Err(error) if error.kind() == ErrorKind::WouldBlock);
        let due = self.begun.elapsed() >= PERIOD * (self.sent + 1);
        let refused = silent && due && self.stream.write_all(b"x").is_err();
        self.sent += u32::from(due);
        if !silent || refused {
            self.life = Some(self.begun.elapsed());
        }
    }
}

impl Drips {
    /// The longest life; `None` where one was not cut, or none was begun.
    pub(super) fn longest(&self) -> Option<Duration> {
        let lives: Option<Vec<Duration>> = self.lives.iter().copied().collect();
        lives?.into_iter().max()
    }

    pub(super) fn told(&self) -> String {
        match (self.lives.iter().flatten().min(), self.longest()) {
            (Some(least), Some(most)) => format!("{:.1} to {:.1}", least.as_secs_f64(), most.as_secs_f64()),
            _ => "not cut".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn a_slow_head_lives_until_the_server_has_enough() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let over = AtomicBool::new(false);
        let drips = thread::scope(|scope| {
            let drips = scope.spawn(|| drip(port, &over));
            // The first is cut after some time, the second lives on.
            let first = listener.accept().unwrap().0;
            thread::sleep(Duration::from_millis(400));
            drop(first);
            let _second = listener.accept().unwrap().0;
            thread::sleep(LOOK * 2);
            over.store(true, Ordering::Relaxed);
            drips.join().unwrap().unwrap()
        });
        let life = drips.lives[0].unwrap();
        assert!((Duration::from_millis(400)..Duration::from_secs(5)).contains(&life), "{life:?}");
        assert_eq!((drips.lives.len(), drips.longest()), (2, None));
        assert_eq!(drips.told(), "not cut");
        assert_eq!(Drips { lives: vec![Some(Duration::from_millis(9950)); 2] }.told(), "9.9 to 9.9");
        assert_eq!(Drips { lives: vec![] }.longest(), None);
    }
}
