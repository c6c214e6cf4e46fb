//! One that floods: frames as fast as they go out, on a new connection whenever the last one is ended.

use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::client::read_frame;
use super::frames::{Flood, GOAWAY};
use crate::flood::door::{Door, Version};
use crate::flood::stream::Stream;

/// Where it comes from.
const SOURCE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Frames of one `write`.
const BATCH: u32 = 100;

/// A server that takes nothing for so long has ended the flood in its own way, but not the connection.
const STALL: Duration = Duration::from_secs(2);

/// A server that is slow to take all of it gets so long.
const MOST_TIME: Duration = Duration::from_secs(60);

/// What came of a flood.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) frames: u64,
    pub(super) took: Duration,
    /// How each connection that the server ended lived, and what its GOAWAY said (RFC 9113 section 6.8).
    pub(super) ended: Vec<Ended>,
    /// Connections that were still open when all was sent, or that stood still.
    pub(super) survivors: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// From the first frame of the flood.
    pub(super) after: Duration,
    pub(super) code: Option<u32>,
}

/// Floods until `frames` are sent and `least` is over. An `Err` says why it could not go on.
pub(super) fn run(flood: Flood, door: &Door, frames: u64, least: Duration) -> Result<Outcome, String> {
    let begun = Instant::now();
    let mut outcome = Outcome::default();
    while (outcome.frames < frames || begun.elapsed() < least) && begun.elapsed() < MOST_TIME {
        let (sent, ended) = one(flood, door, frames)
            .map_err(|error| format!("the flood `{}` could not go on: {error}", flood.name))?;
        outcome.frames += sent;
        match ended {
            Some(ended) => outcome.ended.push(ended),
            None => outcome.survivors += 1,
        }
    }
    outcome.took = begun.elapsed();
    Ok(outcome)
}

/// The same load for a server that never ends a connection and reads all: what the machine alone does to others.
pub(super) fn pour(flood: Flood, sink: &Door, least: Duration) -> Result<(), String> {
    let over = AtomicBool::new(false);
    let mut stream =
        sink.connect_from(SOURCE, Version::Http2).map_err(|error| format!("no sink: {error}"))?;
    thread::scope(|scope| {
        scope.spawn(|| write(&mut stream, flood, u64::MAX, &over));
        thread::sleep(least);
        over.store(true, Ordering::Relaxed);
    });
    Ok(())
}

/// One connection, until it ends or `most` frames are sent; what was sent, and how the server ended it.
fn one(flood: Flood, door: &Door, most: u64) -> io::Result<(u64, Option<Ended>)> {
    let mut stream = door.connect_from(SOURCE, Version::Http2)?;
    stream.socket.set_write_timeout(Some(STALL))?;
    let (begun, over) = (Instant::now(), AtomicBool::new(false));
    let mut heard = stream.try_clone()?;
    heard.socket.set_read_timeout(Some(STALL))?;
    thread::scope(|scope| {
        let listening = flood.reads.then(|| {
            let mut heard = heard.try_clone()?;
            let over = &over;
            Ok::<_, io::Error>(scope.spawn(move || {
                let told = listen(&mut heard);
                over.store(told.at.is_some(), Ordering::Relaxed);
                told
            }))
        });
        let listening = listening.transpose()?;
        let (sent, broken) = write(&mut stream, flood, most, &over);
        let told = match listening {
            Some(listening) => listening.join().unwrap_or_default(),
            None => listen(&mut heard),
        };
        let at = [told.at, broken].into_iter().flatten().min();
        let ended = at.map(|at| Ended { after: at.saturating_duration_since(begun), code: told.code });
        Ok((sent, ended))
    })
}

/// Sends the flood until it is over or breaks; how many frames, and when it broke.
fn write(stream: &mut Stream, flood: Flood, most: u64, over: &AtomicBool) -> (u64, Option<Instant>) {
    let host = stream.socket.peer_addr().map(|address| address.to_string()).unwrap_or_default();
    let mut sent = 0;
    let mut bytes = flood.opening(&host);
    while sent < most && !over.load(Ordering::Relaxed) {
        // No connection lives for as many frames as a number of 32 bits has.
        bytes.extend(flood.frames(u32::try_from(sent).unwrap_or(u32::MAX / 2), BATCH, &host));
        if let Err(error) = stream.write_all(&bytes) {
            let stalled = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
            return (sent, (!stalled).then(Instant::now));
        }
        bytes.clear();
        sent += u64::from(BATCH);
    }
    (sent, None)
}

/// What the server said of the end, and when.
#[derive(Debug, Default)]
struct Told {
    at: Option<Instant>,
    code: Option<u32>,
}

/// Reads until the server takes its leave or the connection ends; a server that is silent has done neither.
fn listen(stream: &mut Stream) -> Told {
    loop {
        match read_frame(stream) {
            Ok(frame) if frame.kind == GOAWAY => {
                let code =
                    frame.payload.get(4..8).and_then(|code| code.try_into().ok()).map(u32::from_be_bytes);
                return Told { at: Some(Instant::now()), code };
            }
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return Told::default();
            }
            Err(_) => return Told { at: Some(Instant::now()), code: None },
        }
    }
}
