//! A raw HTTP/1.1 client: bytes out as given, responses in with every check that a strict client makes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::SOON;

/// One connection.
pub struct Client {
    pub stream: TcpStream,
    /// What encrypts what goes over it, where that is not in the clear.
    pipe: Option<Box<dyn Pipe>>,
    received: Vec<u8>,
    host: String,
}

/// Bytes out and in; closing it says so where the protocol can.
pub trait Pipe: Read + Write + Send + Sync {}
impl<T: Read + Write + Send + Sync> Pipe for T {}

/// A response, checked for its framing.
#[derive(Debug, Clone)]
pub struct Response {
    pub status: u16,
    pub fields: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// FIN.
    Closed,
    /// RST.
    Reset,
    /// Not at all, within the time given.
    Open,
}

impl Response {
    /// The value of a field that stands once or not at all.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        let first = values.next().map(|(_, value)| value.as_str());
        assert!(values.next().is_none(), "{name} stands twice: {self:?}");
        first
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The `code` of a problem.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn closes(&self) -> bool {
        self.field("connection") == Some("close")
    }
}

impl Client {
    pub fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.set_write_timeout(Some(SOON)).unwrap();
        Self { stream, pipe: None, received: Vec::new(), host: addr.to_string() }
    }

    /// A client that speaks through `pipe` over `stream`, to a server of the name `host`.
    pub fn through(stream: TcpStream, pipe: Box<dyn Pipe>, host: String) -> Self {
        Self { stream, pipe: Some(pipe), received: Vec::new(), host }
    }

    /// Sends bytes as they are; a server that has closed is no error here.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = match &mut self.pipe {
            None => self.stream.write_all(bytes.as_ref()),
            Some(pipe) => pipe.write_all(bytes.as_ref()).and_then(|()| pipe.flush()),
        };
    }

    /// Sends a request with a Host field of this server; `head` without the final empty line.
    pub fn send_request(&mut self, head: &str, body: &[u8]) {
        let (line, fields) = head.split_once("\r\n").unwrap_or((head, ""));
        let mut bytes = format!("{line}\r\nHost: {}\r\n{fields}\r\n", self.host).into_bytes();
        bytes.extend_from_slice(body);
        self.send(bytes);
    }

    /// GETs `target` on this connection.
    pub fn get(&mut self, target: &str) -> Response {
        self.send_request(&format!("GET {target} HTTP/1.1\r\n"), b"");
        self.response()
    }

    /// Says that nothing more is sent.
    pub fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next final response to a request other than HEAD.
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// The next final response to `head`, of which only the method counts.
    pub fn response_to(&mut self, head: &str) -> Response {
        self.try_response(head.starts_with("HEAD ")).expect("a response")
    }

    /// The next final response, or `None` where the connection ends before one.
    pub fn try_response(&mut self, to_head: bool) -> Option<Response> {
        loop {
            let response = self.read_response(to_head)?;
            if response.status != 100 {
                return Some(response);
            }
        }
    }

    /// The next response, interim ones too.
    pub fn read_response(&mut self, to_head: bool) -> Option<Response> {
        let end = loop {
            if let Some(at) = find(&self.received, b"\r\n\r\n") {
                break at;
            }
            if !self.more() {
                assert!(
                    self.received.is_empty(),
                    "half a head: {:?}",
                    String::from_utf8_lossy(&self.received)
                );
                return None;
            }
        };
        let head = String::from_utf8(self.received[..end].to_vec()).expect("an ASCII head");
        self.received.drain(..end + 4);
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap();
        assert!(line.starts_with("HTTP/1.1 "), "{line:?}");
        let status: u16 = line[9..12].parse().unwrap();
        let fields: Vec<_> = lines
            .map(|line| line.split_once(": ").unwrap_or_else(|| panic!("a field line: {line:?}")))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut response = Response { status, fields, body: Vec::new() };
        if status != 100 {
            check_common(&response);
        }
        if !to_head && !matches!(status, 100 | 204 | 304) {
            let length = response.field("content-length").expect("a length").parse().unwrap();
            response.body = self.take(length);
        }
        Some(response)
    }

    /// The next `length` bytes.
    pub fn take(&mut self, length: usize) -> Vec<u8> {
        while self.received.len() < length {
            assert!(self.more(), "cut short: {} of {length} bytes", self.received.len());
        }
        self.received.drain(..length).collect()
    }

    /// Everything until the connection ends, or `patience` passes without a byte.
    pub fn rest(&mut self, patience: Duration) -> (Vec<u8>, End) {
        self.stream.set_read_timeout(Some(patience)).unwrap();
        let mut bytes = std::mem::take(&mut self.received);
        let mut piece = [0; 65536];
        let end = loop {
            match self.read(&mut piece) {
                Ok(0) => break End::Closed,
                Ok(count) => bytes.extend_from_slice(&piece[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    break End::Open;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break End::Reset,
            }
        };
        self.stream.set_read_timeout(Some(SOON)).unwrap();
        (bytes, end)
    }

    /// Whether the server closes the connection without another byte.
    pub fn is_closed(&mut self) -> bool {
        let (bytes, end) = self.rest(SOON);
        assert_eq!(String::from_utf8_lossy(&bytes), "", "bytes after the last response");
        end != End::Open
    }

    /// An end that TLS does not announce is an error here.
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match &mut self.pipe {
            None => self.stream.read(piece),
            Some(pipe) => pipe.read(piece),
        }
    }

    fn more(&mut self) -> bool {
        let mut piece = [0; 65536];
        match self.read(&mut piece) {
            Ok(count) => {
                self.received.extend_from_slice(&piece[..count]);
                count > 0
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("no answer in {SOON:?}")
            }
            // A read with a time limit may be interrupted without any signal: whoever asked for more asks again.
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(_) => false,
        }
    }
}

/// What every final response has (SPEC H1-3, H1-8, SEC-3).
fn check_common(response: &Response) {
    assert_eq!(response.field("server"), Some("tidegate"));
    assert_eq!(response.field("x-content-type-options"), Some("nosniff"));
    let date = response.field("date").expect("a date");
    assert!(httpdate::parse_http_date(date).is_ok() && date.ends_with(" GMT"), "{date}");
    match response.field("connection") {
        Some("keep-alive") => assert!(response.field("keep-alive").is_some()),
        Some("close") => assert!(response.field("keep-alive").is_none()),
        other => panic!("Connection: {other:?}"),
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
