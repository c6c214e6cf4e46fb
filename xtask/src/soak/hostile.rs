//! Clients that one would rather not have: requests that must be refused, heads that never end, readers that take their
//! time.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use super::clients::Town;
use super::counts::{Counts, wrong};
use super::weather::{Failed, Trouble, Visitor};
use crate::bench::http;
use crate::dice::Dice;

/// The longest pause between two bad requests, and between two slow clients.
const PAUSE: Duration = Duration::from_millis(400);
/// A refusal takes no longer on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);
/// A slow head gets a byte so often, and is over after ten seconds (LOAD-5); the rest is for a busy machine.
const DRIP: Duration = Duration::from_millis(250);
const HEAD_LIFE: Duration = Duration::from_secs(15);
/// A slow reader takes a sip so often: some megabytes a second, far above what would be cut.
const SIP: usize = 64 << 10;
const BETWEEN_SIPS: Duration = Duration::from_millis(20);

/// Requests and the status that each must get. `@` stands for the right Host, and the empty line is added.
const BAD: [(&str, u16); 16] = [
    ("GET / HTTP/1.1", 400),
    ("GET /a b HTTP/1.1\r\n@", 400),
    ("GET / HTTP/1.1\r\n@\r\nBad Name: 1", 400),
    ("GET /%00 HTTP/1.1\r\n@", 400),
    ("POST /upload HTTP/1.1\r\n@\r\nContent-Length: 2\r\nTransfer-Encoding: chunked", 400),
    ("GET / HTTP/1.1\r\nHost: other.example", 403),
    ("GET /%2e%2e/secret HTTP/1.1\r\n@", 403),
    ("GET /not-there HTTP/1.1\r\n@", 404),
    ("DELETE /small.bin HTTP/1.1\r\n@", 405),
    ("POST /upload HTTP/1.1\r\n@\r\nContent-Type: application/json", 411),
    ("POST /upload HTTP/1.1\r\n@\r\nContent-Type: application/json\r\nContent-Length: 9999999", 413),
    ("POST /upload HTTP/1.1\r\n@\r\nContent-Type: text/plain\r\nContent-Length: 0", 415),
    ("GET /small.bin HTTP/1.1\r\n@\r\nRange: bytes=9999999-", 416),
    ("GET / HTTP/1.1\r\n@\r\nExpect: a-miracle", 417),
    ("POST /upload HTTP/1.1\r\n@\r\nTransfer-Encoding: gzip", 501),
    ("GET / HTTP/9.9\r\n@", 505),
];

/// Sends bad requests until all is over.
pub(super) fn annoy(town: &Town<'_>, source: Ipv4Addr, counts: &Counts) {
    let mut visitor = Visitor::new(town.weather, source, town.port);
    let mut dice = Dice::of(town.seed, u64::from(source.to_bits()));
    while visitor.next(dice.within(PAUSE)) {
        let (request, status) = BAD[usize::try_from(dice.below(BAD.len() as u64)).unwrap_or(0)];
        counts.add(visitor.raw(|| refused(town.port, source, request)).and_then(|got| match got {
            got if got == Some(status) => Ok(()),
            got => wrong(format!("{got:?} instead of {status} for {request:?}")),
        }));
    }
}

/// The status that a request gets on a connection of its own.
fn refused(port: u16, source: Ipv4Addr, request: &str) -> io::Result<Option<u16>> {
    let mut stream = http::connect_from(source, port)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let host = format!("Host: 127.0.0.1:{port}");
    stream.write_all(format!("{}\r\n\r\n", request.replace('@', &host)).as_bytes())?;
    status(&mut stream)
}

/// `None` where something else is said than a status.
fn status(stream: &mut TcpStream) -> io::Result<Option<u16>> {
    let mut line = [0; 12];
    stream.read_exact(&mut line)?;
    let line = String::from_utf8_lossy(&line).into_owned();
    Ok(line.strip_prefix("HTTP/1.1 ").and_then(|code| code.parse().ok()))
}

/// Begins one head after another, a byte at a time; each must be ended by the server in time.
pub(super) fn drip(town: &Town<'_>, source: Ipv4Addr, counts: &Counts) {
    let mut visitor = Visitor::new(town.weather, source, town.port);
    while visitor.next(PAUSE) {
        match visitor.raw(|| head_life(town, source)) {
            Ok(None) => {} // It had to go when all were to be quiet.
            Ok(Some(life)) if life <= HEAD_LIFE || visitor.had(Trouble::Leaving) => counts.add(Ok(())),
            Ok(Some(life)) => counts.wrong(format!("a slow head lived {} s", life.as_secs())),
            Err(failed) => counts.add(Err(failed)),
        }
    }
}

/// How long a head lives that goes on by single bytes; `None` where we ended it.
fn head_life(town: &Town<'_>, source: Ipv4Addr) -> io::Result<Option<Duration>> {
    let mut stream = http::connect_from(source, town.port)?;
    stream.set_read_timeout(Some(DRIP))?;
    let begun = Instant::now();
    stream.write_all(b"GET / HTTP/1.1\r\nX-Slow: ")?;
    while !town.weather.is_quiet() && !town.weather.is_over() {
        match stream.read(&mut [0; 64]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            // Whatever it says, it says because it has waited enough; that it also resets the rest is its right.
            _ => return Ok(Some(begun.elapsed())),
        }
        if stream.write_all(b"x").is_err() {
            return Ok(Some(begun.elapsed()));
        }
    }
    Ok(None)
}

/// Takes large pages sip by sip, and judges them whole.
pub(super) fn sip(town: &Town<'_>, source: Ipv4Addr, counts: &Counts) {
    let mut visitor = Visitor::new(town.weather, source, town.port);
    let mut dice = Dice::of(town.seed, u64::from(source.to_bits()));
    let large = &town.pages.pages[6..];
    while visitor.next(PAUSE) {
        let page = &large[usize::try_from(dice.below(large.len() as u64)).unwrap_or(0)];
        let asked = Instant::now();
        let outcome = match visitor.raw(|| sipped(town, source, page.name)) {
            // Who is slow may be cut when a server's time to leave is over.
            Err(Failed::Cut(_)) if visitor.had(Trouble::Leaving) => Err(Failed::Explained),
            Ok(None) => continue,
            Ok(Some(body)) => page.judge(&body, 0, body.len() as u64, asked).map(drop).or_else(wrong),
            Err(failed) => Err(failed),
        };
        counts.add(outcome);
    }
}

/// The body of a page, taken slowly; `None` where we ended it.
fn sipped(town: &Town<'_>, source: Ipv4Addr, page: &str) -> io::Result<Option<Vec<u8>>> {
    let mut stream = http::connect_from(source, town.port)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let host = format!("Host: 127.0.0.1:{}", town.port);
    stream.write_all(format!("GET /{page} HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    loop {
        if town.weather.is_quiet() || town.weather.is_over() {
            return Ok(None);
        }
        let begun = answer.len();
        answer.resize(begun + SIP, 0);
        let read = match stream.read(&mut answer[begun..]) {
            Err(error) if begun > 0 => return Err(cut(&error.to_string())),
            read => read?,
        };
        answer.truncate(begun + read);
        if read == 0 {
            return body(answer).map(Some);
        }
        std::thread::sleep(BETWEEN_SIPS);
    }
}

/// What follows a head, where it is as long as that says.
fn body(mut answer: Vec<u8>) -> io::Result<Vec<u8>> {
    if answer.is_empty() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or_else(|| cut("half a head"))?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    match length.and_then(|length| length.parse().ok()) {
        Some(length) if body.len() == length && head.starts_with("HTTP/1.1 200 ") => Ok(body),
        Some(length) if body.len() < length => Err(cut("an answer without its end")),
        _ => Err(io::Error::other(format!("an answer of {} bytes under the head\n{head}", body.len()))),
    }
}

fn cut(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

/// Of a flood from one address some is let in and some refused; everyone else must not notice.
pub(super) fn is_a_flood(let_in: u64, refused: usize) -> Result<(), String> {
    if let_in > 0 && refused > 0 { Ok(()) } else { Err(format!("{let_in} let in, {refused} refused")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_whole_or_cut() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(body(format!("{head}abc").into_bytes()).unwrap(), b"abc");
        assert_eq!(body(format!("{head}ab").into_bytes()).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(body(format!("{head}abcd").into_bytes()).unwrap_err().kind(), ErrorKind::Other);
        assert_eq!(body(head.as_bytes()[..9].to_vec()).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(body(Vec::new()).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        let refused = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(body(refused.as_bytes().to_vec()).unwrap_err().kind(), ErrorKind::Other);
    }
}
