//! The least HTTP/1.1 client that can tell whether an answer is right: one connection, one request at a time.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// A server that says nothing for this long is broken: all of them answer within milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest head that is taken. Real ones are below 1 KiB.
const MOST_HEAD: usize = 16 * 1024;

/// A connection to a server on loopback; `S` moves its bytes.
#[derive(Debug)]
pub(crate) struct Client<S = TcpStream> {
    stream: S,
    port: u16,
    /// What arrived and is not yet used up: the head of the current answer, and the beginning of its body.
    input: Vec<u8>,
}

/// One answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    /// Whether the server means to keep the connection.
    pub(crate) persistent: bool,
    head: String,
}

impl Client {
    pub(crate) fn connect(port: u16) -> io::Result<Self> {
        Self::patient(TcpStream::connect((Ipv4Addr::LOCALHOST, port))?, port)
    }

    /// The same from another address, see [`connect_from`].
    pub(crate) fn connect_from(source: Ipv4Addr, port: u16) -> io::Result<Self> {
        Self::patient(connect_from(source, port)?, port)
    }

    fn patient(stream: TcpStream, port: u16) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self::over(stream, port))
    }

    /// Asks as over a slow network: the end of the head follows after `pause`, unless an answer is here before.
    pub(super) fn get_slowly(&mut self, path: &str, pause: Duration) -> io::Result<Answer> {
        let begin = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n", self.port);
        self.stream.write_all(begin.as_bytes())?;
        self.stream.set_read_timeout(Some(pause))?;
        if !self.read_more().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            return self.receive();
        }
        self.stream.set_read_timeout(Some(PATIENCE))?;
        self.stream.write_all(b"Connection: close\r\n\r\n")?;
        self.receive()
    }
}

impl<S: Read + Write> Client<S> {
    /// Speaks over a connection to `port` that is there already.
    pub(crate) const fn over(stream: S, port: u16) -> Self {
        Self { stream, port, input: Vec::new() }
    }

    pub(crate) fn get(&mut self, path: &str, fields: &[String]) -> io::Result<Answer> {
        self.send("GET", path, fields, b"")
    }

    pub(crate) fn post_json(&mut self, path: &str, body: &[u8]) -> io::Result<Answer> {
        let fields = ["Content-Type: application/json".to_owned(), format!("Content-Length: {}", body.len())];
        self.send("POST", path, &fields, body)
    }

    /// Waits for the end of the connection; false where something else comes first.
    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]), Ok(0))
    }

    fn send(&mut self, method: &str, path: &str, fields: &[String], body: &[u8]) -> io::Result<Answer> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n", self.port);
        for field in fields {
            request.push_str(field);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        let mut request = request.into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request)?;
        self.receive()
    }

    fn receive(&mut self) -> io::Result<Answer> {
        let end = loop {
            if let Some(at) = self.input.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            if self.input.len() > MOST_HEAD {
                return Err(broken("a head without an end"));
            }
            self.read_more()?;
        };
        let head = String::from_utf8_lossy(&self.input[..end]).into_owned();
        self.input.drain(..end);
        let status = status(&head).ok_or_else(|| broken("no status"))?;
        let mut answer = Answer { status, body: Vec::new(), persistent: true, head };
        answer.persistent =
            answer.field("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"));
        // RFC 9112 section 6.3: a 304 has no body, whatever length it names.
        if status != 304 {
            answer.body = self.body(&answer)?;
        }
        Ok(answer)
    }

    /// The body, whose length must be given: every server that is measured gives it.
    fn body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        let length = answer.field("content-length").and_then(|value| value.parse::<usize>().ok());
        let length = length.ok_or_else(|| broken("an answer without a length"))?;
        while self.input.len() < length {
            self.read_more().map_err(|error| broken(&format!("an answer without its end: {error}")))?;
        }
        let next = self.input.split_off(length);
        Ok(std::mem::replace(&mut self.input, next))
    }

    fn read_more(&mut self) -> io::Result<()> {
        let mut piece = [0; 16 * 1024];
        let read = self.stream.read(&mut piece)?;
        self.input.extend_from_slice(&piece[..read]);
        match read {
            0 if self.input.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            0 => Err(broken("the connection ended within an answer")),
            _ => Ok(()),
        }
    }
}

impl Answer {
    /// The value of the first field of this name, which is given in lower case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.into_iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    /// The field that makes a request conditional on this answer's validator; the strongest it has.
    pub(crate) fn condition(&self) -> Option<String> {
        let tag = self.field("etag").map(|tag| format!("If-None-Match: {tag}"));
        tag.or_else(|| self.field("last-modified").map(|time| format!("If-Modified-Since: {time}")))
    }
}

/// A connection from an address of 127.0.0.0/8, by which the server takes us for another client.
pub(crate) fn connect_from(source: Ipv4Addr, port: u16) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddrV4::new(source, 0).into())?;
    socket.connect_timeout(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into(), PATIENCE)?;
    Ok(socket.into())
}

fn status(head: &str) -> Option<u16> {
    head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// What the client makes of `reply`, for each of its requests in turn.
    fn answers(replies: &'static [&'static str]) -> Vec<io::Result<Answer>> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            for reply in replies {
                let read = stream.read(&mut [0; 1024]).unwrap();
                assert!(read > 0);
                stream.write_all(reply.as_bytes()).unwrap();
            }
        });
        let mut client = Client::connect(port).unwrap();
        let answers = replies.iter().map(|_| client.get("/", &[])).collect();
        server.join().unwrap();
        answers
    }

    #[test]
    fn answers_follow_one_another_on_one_connection() {
        let answers = answers(&[
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nETag: \"a\"\r\n\r\nabc",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\nLast-Modified: x\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: Close\r\n\r\n",
        ]);
        let seen: Vec<_> = answers.into_iter().map(|answer| answer.unwrap()).collect();
        let shape: Vec<_> = seen.iter().map(|a| (a.status, a.body.len(), a.persistent)).collect();
        assert_eq!(shape, [(200, 3, true), (304, 0, true), (404, 0, false)]);
        assert_eq!(seen[0].condition().as_deref(), Some("If-None-Match: \"a\""));
        assert_eq!(seen[1].condition().as_deref(), Some("If-Modified-Since: x"));
        assert_eq!(seen[2].condition(), None);
    }

    #[test]
    fn half_an_answer_is_an_error() {
        let broken = answers(&["HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"]);
        assert!(broken[0].is_err());
        assert!(answers(&["HTTP/1.1 200 OK\r\n\r\nab"])[0].is_err());
        assert!(answers(&["SSH-2.0-x\r\n\r\n"])[0].is_err());
    }
}
