//! One that floods with handshakes, with what belongs to none, or with requests whose answers it never reads.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ContentType};
use socket2::SockRef;

use super::forge::{Hellos, Sealer};
use crate::bench::http;
use crate::flood::door::{Door, Version};
use crate::flood::h2::frames;
use crate::flood::stream::{self, Stream};

/// Where it comes from.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Hellos are sent by so many at once, for each waits for its answer.
const SENDERS: u32 = 8;

/// A server that neither takes nor says anything for so long has ended nothing.
const STALL: Duration = Duration::from_secs(2);

/// Records of one `write`: more than any server should bear.
const BATCH: usize = 100;

/// What those ask for that read nothing, and how often on each connection.
const UNREAD: &str = "/1m.bin";
const ASKED: u32 = 100;

/// How one flood goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Attack {
    /// Hellos at a rate, each on a connection of its own that is left when it is answered.
    Hellos(fn(&Hellos) -> Vec<u8>),
    /// So many hellos, and nothing more.
    Stalled(usize),
    /// A hello, and the same record in the clear without end.
    Behind(&'static [u8]),
    /// Changes of keys without end.
    Keys,
    /// The same sealed record without end.
    Sealed(ContentType, &'static [u8]),
    /// So many connections that ask for files and read nothing.
    Unread(Version, usize),
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) took: Duration,
    pub(super) connections: u64,
    /// How long each connection lived, from the first record of the flood, that the server had to end.
    pub(super) ended: Vec<Duration>,
    /// Those that it had to end and did not.
    pub(super) survivors: usize,
}

impl Attack {
    /// Floods for `span`, at `rate` connections a second at most.
    pub(super) fn run(self, door: &Door, rate: u32, span: Duration) -> io::Result<Outcome> {
        let begun = Instant::now();
        let made = Hellos::of(door)?;
        let mut outcome = Outcome::default();
        match self {
            Self::Hellos(hello) => outcome.connections = hellos(door, &hello(&made), rate, span)?,
            Self::Stalled(count) => hold(&mut outcome, count, span, || {
                let mut socket = http::connect_from(SOURCE, door.port)?;
                socket.write_all(&made.full)?;
                Ok(socket)
            })?,
            Self::Unread(version, count) => hold(&mut outcome, count, span, || ask(door, version))?,
            Self::Behind(_) | Self::Keys | Self::Sealed(..) => {
                while begun.elapsed() < span {
                    outcome.add(self.until_ended(door, &made)?);
                }
            }
        }
        outcome.took = begun.elapsed();
        Ok(outcome)
    }

    /// One connection that the server has to end; how long that took it.
    fn until_ended(self, door: &Door, made: &Hellos) -> io::Result<Option<Duration>> {
        if let Self::Keys = self {
            let mut stream = door.connect_from(SOURCE, Version::Http1)?;
            return end(&stream.socket.try_clone()?, || stream.change_keys());
        }
        let mut socket = http::connect_from(SOURCE, door.port)?;
        let watched = socket.try_clone()?;
        if let Self::Sealed(kind, content) = self {
            let config = door.config(Version::Http1).ok_or_else(|| io::Error::other("no TLS"))?;
            let mut open = ClientConfig::clone(config);
            open.enable_secret_extraction = true;
            let mut sealer = Sealer::of(stream::shake_hands(&mut socket, &Arc::new(open))?)?;
            return end(&watched, || {
                let batch: io::Result<Vec<_>> = (0..BATCH).map(|_| sealer.record(kind, content)).collect();
                socket.write_all(&batch?.concat())
            });
        }
        let Self::Behind(record) = self else { return Err(io::Error::other("no such flood")) };
        socket.write_all(&made.full)?;
        end(&watched, || socket.write_all(&record.repeat(BATCH)))
    }
}

impl Outcome {
    fn add(&mut self, ended: Option<Duration>) {
        self.connections += 1;
        match ended {
            Some(after) => self.ended.push(after),
            None => self.survivors += 1,
        }
    }
}

/// Sends `piece` after piece until the connection ends; how long that took, or `None` where it stands after [`STALL`].
fn end(socket: &TcpStream, mut piece: impl FnMut() -> io::Result<()>) -> io::Result<Option<Duration>> {
    socket.set_write_timeout(Some(STALL))?;
    let begun = Instant::now();
    while begun.elapsed() < STALL {
        match piece() {
            Ok(()) => {}
            Err(error) if is_stall(&error) => return Ok(None),
            Err(_) => return Ok(Some(begun.elapsed())),
        }
    }
    Ok(None)
}

fn is_stall(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Sends `hello` on new connections, `rate` of them a second if the server is as fast; how many it answered.
fn hellos(door: &Door, hello: &[u8], rate: u32, span: Duration) -> io::Result<u64> {
    let begun = Instant::now();
    let send = || {
        let (mut answered, mut next) = (0, Instant::now());
        while begun.elapsed() < span {
            answered += u64::from(is_answered(door, hello)?);
            // Who was kept waiting does not catch up.
            next = (next + Duration::from_secs(1) * SENDERS / rate).max(Instant::now());
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        Ok(answered)
    };
    thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS).map(|_| scope.spawn(send)).collect();
        let counts =
            senders.into_iter().map(|sender| sender.join().map_err(|_| io::Error::other("a panic"))?);
        counts.sum()
    })
}

/// Whether the server answers by a message of the handshake. The connection ends by a reset, which leaves no port waiting.
fn is_answered(door: &Door, hello: &[u8]) -> io::Result<bool> {
    let mut socket = http::connect_from(SOURCE, door.port)?;
    SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
    socket.set_read_timeout(Some(STALL))?;
    socket.write_all(hello)?;
    let mut answer = [0; 4096];
    let count = socket.read(&mut answer)?;
    Ok(count > 0 && answer.starts_with(&[22]))
}

/// Opens `count` connections as fast as that goes and keeps them for the rest of `span`, and as long again.
fn hold<T>(
    outcome: &mut Outcome,
    count: usize,
    span: Duration,
    open: impl Fn() -> io::Result<T>,
) -> io::Result<()> {
    let held: Vec<T> = (0..count).map(|_| open()).collect::<io::Result<_>>()?;
    outcome.connections = held.len() as u64;
    thread::sleep(span);
    Ok(())
}

/// A connection that asks for more than any buffer holds.
fn ask(door: &Door, version: Version) -> io::Result<Stream> {
    let mut stream = door.connect_from(SOURCE, version)?;
    let host = format!("127.0.0.1:{}", door.port);
    let asked = match version {
        Version::Http1 => format!("GET {UNREAD} HTTP/1.1\r\nHost: {host}\r\n\r\n").repeat(20).into_bytes(),
        Version::Http2 => frames::greedy(UNREAD, ASKED, &host),
    };
    stream.write_all(&asked)?;
    Ok(stream)
}
