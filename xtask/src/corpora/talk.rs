//! One case over one connection: everything is sent, and read until the server closes.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::bench::http::Client;

/// A server that has not closed by now never will: a body may come slowly for 10 s, a head for 2.
const LIMIT: Duration = Duration::from_secs(20);

/// It takes milliseconds; a loaded machine gets thousands of times that.
const START_LIMIT: Duration = Duration::from_secs(10);

/// Pieces of a long case: byte by byte it would take the time of all others together.
const PIECES: usize = 1500;

/// How a case is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    Whole,
    Bytes,
}

/// A final answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Whether it says that it is the last.
    pub(super) closes: bool,
}

/// What came back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) answers: Vec<Answer>,
    /// Whether the server closed in time.
    pub(super) ended: bool,
    /// Whether all of it were answers.
    pub(super) clean: bool,
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statuses: Vec<_> = self.answers.iter().map(|answer| answer.status).collect();
        write!(f, "answers {statuses:?}, {}", if self.ended { "closed" } else { "open" })
    }
}

/// Waits until a server answers, as long as it `lives`.
pub(super) fn answers_soon(port: u16, mut lives: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + START_LIMIT;
    while Client::connect(port).and_then(|mut client| client.get("/", &[])).is_err() {
        if !lives() || Instant::now() >= deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Sends `bytes` and hears what comes of it.
pub(super) fn talk(port: u16, bytes: &[u8], pace: Pace) -> io::Result<Heard> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(LIMIT))?;
    let piece = match pace {
        Pace::Whole => bytes.len().max(1),
        Pace::Bytes => bytes.len().div_ceil(PIECES).max(1),
    };
    let mut sender = stream.try_clone()?;
    thread::scope(|scope| {
        // A server that refuses early does not take the rest, which is its right.
        scope.spawn(move || bytes.chunks(piece).try_for_each(|piece| sender.write_all(piece)));
        let (input, ended) = read_to_end(&mut stream)?;
        let (answers, clean) = answers(&input);
        Ok(Heard { answers, ended, clean })
    })
}

/// A reset is an end, too.
fn read_to_end(stream: &mut TcpStream) -> io::Result<(Vec<u8>, bool)> {
    let deadline = Instant::now() + LIMIT;
    let (mut input, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok((input, false));
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece) {
            Ok(0) => return Ok((input, true)),
            Ok(count) => input.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok((input, true)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// The final answers in `input`, and whether it holds nothing else.
fn answers(input: &[u8]) -> (Vec<Answer>, bool) {
    let mut answers = Vec::new();
    let mut rest = input;
    while !rest.is_empty() {
        let Some((answer, after)) = next_answer(rest) else { return (answers, false) };
        answers.extend((answer.status >= 200).then_some(answer));
        rest = after;
    }
    (answers, true)
}

fn next_answer(input: &[u8]) -> Option<(Answer, &[u8])> {
    const BEGIN: &[u8] = b"HTTP/1.1 ";
    let end = input.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let (head, rest) = input.split_at_checked(end)?;
    let head = std::str::from_utf8(head).ok()?.to_ascii_lowercase();
    let status = head.strip_prefix("http/1.1 ")?.get(..3)?.parse().ok()?;
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let length = field("content-length:").and_then(|value| value.parse().ok()).unwrap_or(0);
    // An answer to HEAD names a length and has no body. No body of ours begins like an answer.
    let has_body = !rest.is_empty() && !rest.starts_with(BEGIN);
    let rest = rest.get(if has_body { length } else { 0 }..)?;
    Some((Answer { status, closes: field("connection:") == Some("close") }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_follow_one_another() {
        let input = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab\
            HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
        let seen: Vec<_> = answers(input).0.iter().map(|answer| (answer.status, answer.closes)).collect();
        assert_eq!(seen, [(200, false), (200, false), (404, true)]);
        assert!(answers(input).1);
    }

    #[test]
    fn what_is_no_answer_or_half_of_one_is_told() {
        assert_eq!(answers(b""), (vec![], true));
        assert!(!answers(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab").1);
        assert!(!answers(b"SSH-2.0\r\n\r\n").1);
    }
}
