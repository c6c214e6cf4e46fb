//! The one that floods: requests without pause, and connections by the thousand.

use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::door::{Door, Version};
use super::stream::Stream;
use crate::bench::http::Client;

/// Where all of it comes from.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Connections that ask without pause, each the next as soon as it is answered.
const CONNECTIONS: usize = 4;

/// A server that is slow to refuse gets so many times as long before the storm is ended unfinished.
const MOST_TIMES: u32 = 6;

/// A connection that hears nothing in this time seems to be taken. Where that was wrong, a last look at all tells.
const REFUSAL_WAIT: Duration = Duration::from_millis(50);

/// So many that seem taken in a row are a sign of free seats; the next ones are then not waited for.
const TAKEN_IN_A_ROW: usize = 10;

/// No crowd is let in for longer.
const CROWD_LIMIT: Duration = Duration::from_secs(60);

/// What the requests got.
#[derive(Debug, Default)]
pub(crate) struct Storm {
    /// From the first request to the last answer.
    pub(crate) took: Duration,
    pub(crate) admitted: u64,
    /// How long each 429 or 503 took.
    pub(crate) refused: Vec<Duration>,
}

/// What the connections got.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    pub(crate) opened: usize,
    /// How long each 429 or 503 took, from the connect; with TLS each end before a handshake (SPEC LOAD-3).
    pub(crate) refused: Vec<Duration>,
}

/// Asks until `requests` are done and `seconds` are over. An `Err` names an answer that is neither yes nor no.
pub(crate) fn storm(door: &Door, requests: u64, seconds: u64) -> Result<Storm, String> {
    let begun = Instant::now();
    let least = Duration::from_secs(seconds);
    let done = AtomicU64::new(0);
    let goes_on = || {
        let more = done.fetch_add(1, Ordering::Relaxed) < requests || begun.elapsed() < least;
        more && begun.elapsed() < least * MOST_TIMES
    };
    let mut storm = Storm::default();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(|| ask(door, &goes_on))).collect();
        for client in clients {
            let one = client.join().map_err(|_| "a flooding client panicked".to_owned())??;
            storm.admitted += one.admitted;
            storm.refused.extend(one.refused);
        }
        Ok::<(), String>(())
    })?;
    storm.took = begun.elapsed();
    Ok(storm)
}

fn ask(door: &Door, goes_on: &impl Fn() -> bool) -> Result<Storm, String> {
    let problem = |error: io::Error| format!("the flood could not go on: {error}");
    let mut storm = Storm::default();
    let connect = || door.connect_from(SOURCE, Version::Http1).map(|stream| Client::over(stream, door.port));
    let mut client = connect().map_err(problem)?;
    while goes_on() {
        let begun = Instant::now();
        let answer = client.get("/small.bin", &[]).map_err(problem)?;
        match answer.status {
            200 => storm.admitted += 1,
            429 | 503 => storm.refused.push(begun.elapsed()),
            other => return Err(format!("an answer of {other} in the flood")),
        }
        if !answer.persistent {
            client = connect().map_err(problem)?;
        }
    }
    Ok(storm)
}

/// Opens `count` connections, begins a request on each so that none of them is idle, and keeps those that are taken.
/// The server has `seats` for them.
pub(crate) fn crowd(door: &Door, count: usize, seats: usize) -> Crowd {
    let mut crowd = Crowd::default();
    let mut kept: Vec<(Instant, Stream)> = Vec::new();
    let (mut unwatched, mut taken_in_a_row) = (seats, 0);
    let begun = Instant::now();
    while crowd.opened < count && begun.elapsed() < CROWD_LIMIT {
        let opening = Instant::now();
        let met = begin_request(door).map(|mut stream| (unwatched == 0 && refuses(&mut stream), stream));
        let stream = match met {
            Ok((false, stream)) => stream,
            Err(error) if !(door.is_tls() && is_end(&error)) => break,
            _ => {
                crowd.opened += 1;
                crowd.refused.push(opening.elapsed());
                taken_in_a_row = 0;
                continue;
            }
        };
        crowd.opened += 1;
        kept.push((opening, stream));
        taken_in_a_row += usize::from(unwatched == 0);
        unwatched = unwatched.saturating_sub(1);
        if taken_in_a_row == TAKEN_IN_A_ROW {
            (unwatched, taken_in_a_row) = (seats, 0);
        }
    }
    for (opening, mut stream) in kept {
        let told = stream.socket.set_nonblocking(true).is_ok() && refuses(&mut stream);
        crowd.refused.extend(told.then(|| opening.elapsed()));
    }
    crowd
}

/// A new connection on which half a head was sent.
fn begin_request(door: &Door) -> io::Result<Stream> {
    let mut stream = door.connect_from(SOURCE, Version::Http1)?;
    stream.socket.set_read_timeout(Some(REFUSAL_WAIT))?;
    stream.write_all(b"GET / HTTP/1.1\r\n")?;
    Ok(stream)
}

/// Whether the server has ended the connection.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// Whether the server says 429 or 503 within the time that `stream` waits.
fn refuses(stream: &mut Stream) -> bool {
    let mut answer = [0; 64];
    let read = stream.read(&mut answer).unwrap_or(0);
    let told = answer.get(..read).unwrap_or_default();
    told.starts_with(b"HTTP/1.1 429 ") || told.starts_with(b"HTTP/1.1 503 ")
}
