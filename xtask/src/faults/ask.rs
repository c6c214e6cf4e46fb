//! One request and what became of it: an answer, a cut, or silence. Nothing waits longer than [`PATIENCE`].
//!
//! In the clear it is asked here, over TLS by `curl`.

use std::io::{self, Read, Write};
use std::net::{SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use super::curl::{self, Protocol};

/// From the first byte of a request to the last of its answer; who waits longer hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Before a slow client reads: a socket is full by then.
const SLOWNESS: Duration = Duration::from_millis(50);

/// What is sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) path: String,
    /// Whole lines, each with its end.
    pub(super) fields: String,
    pub(super) body: Vec<u8>,
    /// Whether the answer is left waiting for a moment.
    pub(super) slow: bool,
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Answer(Answer),
    /// The connection ended before a whole answer was there; visible to every client.
    Cut,
    /// Neither within [`PATIENCE`].
    Hang,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The value of the first field of this name, which is given in lower case.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// A client that opens a connection where it has none; over TLS, one for each request.
#[derive(Debug)]
pub(super) struct Client {
    addr: SocketAddrV4,
    stream: Option<TcpStream>,
    tls: Option<Protocol>,
}

impl Client {
    pub(super) fn new(addr: SocketAddrV4) -> Self {
        Self { addr, stream: None, tls: None }
    }

    /// The same over TLS, by this protocol.
    pub(super) fn secured(self, protocol: Protocol) -> Self {
        Self { tls: Some(protocol), ..self }
    }

    /// Leaves the connection, if there is one.
    pub(super) fn leave(&mut self) {
        self.stream = None;
    }

    pub(super) fn ask(&mut self, request: &Request) -> End {
        if let Some(protocol) = self.tls {
            return curl::ask(self.addr, protocol, request);
        }
        let deadline = Instant::now() + PATIENCE;
        let ended = self.try_ask(request, deadline);
        let stays = matches!(&ended, Ok(answer) if answer.field("connection") != Some("close"));
        if !stays {
            self.stream = None;
        }
        match ended {
            Ok(answer) => End::Answer(answer),
            Err(error) if is_timeout(&error) => End::Hang,
            Err(_) => End::Cut,
        }
    }

    fn try_ask(&mut self, request: &Request, deadline: Instant) -> io::Result<Answer> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(TcpStream::connect_timeout(&self.addr.into(), left(deadline)?)?),
        };
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(left(deadline)?))?;
        let Request { method, path, fields, body, slow } = request;
        let mut bytes = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{fields}", self.addr).into_bytes();
        if *method == "POST" {
            bytes.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(body);
        // Who is refused early may still be answered: what counts is what can be read.
        let _ = stream.write_all(&bytes);
        if *slow {
            std::thread::sleep(SLOWNESS);
        }
        receive(stream, deadline)
    }
}

fn receive(stream: &mut TcpStream, deadline: Instant) -> io::Result<Answer> {
    let mut input = Vec::new();
    let head_end = loop {
        if let Some(at) = input.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
        read_more(stream, &mut input, deadline)?;
    };
    let head = String::from_utf8_lossy(&input[..head_end]).into_owned();
    input.drain(..head_end);
    let status = head.get(9..12).and_then(|status| status.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let mut answer = Answer { status, head, body: Vec::new() };
    let length = answer.field("content-length").and_then(|length| length.parse::<usize>().ok());
    // Every answer that is asked for here has a length.
    let length = length.ok_or(io::ErrorKind::InvalidData)?;
    while input.len() < length {
        read_more(stream, &mut input, deadline)?;
    }
    answer.body = input;
    Ok(answer)
}

fn read_more(stream: &mut TcpStream, input: &mut Vec<u8>, deadline: Instant) -> io::Result<()> {
    stream.set_read_timeout(Some(left(deadline)?))?;
    let mut piece = [0; 64 * 1024];
    match stream.read(&mut piece)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        count => {
            input.extend_from_slice(&piece[..count]);
            Ok(())
        }
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    fn ended(reply: &'static [u8]) -> End {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
            stream.write_all(reply).unwrap();
        });
        let mut client = Client::new(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port));
        let ended = client.ask(&Request { method: "GET", path: "/".to_owned(), ..Request::default() });
        server.join().unwrap();
        ended
    }

    #[test]
    fn half_an_answer_is_a_cut_and_a_whole_one_is_kept() {
        let End::Answer(answer) = ended(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A: b\r\n\r\nabc") else {
            panic!("no answer")
        };
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"abc"[..]));
        assert_eq!(answer.field("x-a"), Some("b"));
        assert_eq!(ended(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"), End::Cut);
        assert_eq!(ended(b"HTTP/1.1 200"), End::Cut);
        assert_eq!(ended(b""), End::Cut);
    }
}
