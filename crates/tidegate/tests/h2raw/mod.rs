//! A raw HTTP/2 client (RFC 9113): what a test sends goes out byte by byte, and what comes in is checked as strictly as
//! the RFC lets a client.
//!
//! [`H2`] one connection, and what is asked on it · `inbox` what it makes of the frames that come · `frame`, `hpack`
//! the two formats · `beside` a good client that goes on meanwhile · [`Wire`] what a connection runs over.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should say where"
)]

pub mod beside;
pub mod frame;
pub mod hpack;
pub mod inbox;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::support::{Response, SOON, Server};
use frame::{END_STREAM, MOST_PAYLOAD, PREFACE};
pub use inbox::{Answer, Goaway, Inbox, Next};

/// What a connection runs over; its writes block.
pub trait Wire: Write + Send {
    /// Reads what is there, and waits for it no longer than `patience`, which may be zero.
    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<usize>;
}

impl Wire for TcpStream {
    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<usize> {
        if patience.is_zero() {
            self.set_nonblocking(true)?;
            let outcome = self.read(buffer);
            self.set_nonblocking(false)?;
            return outcome;
        }
        self.set_read_timeout(Some(patience))?;
        self.read(buffer)
    }
}

/// One connection.
pub struct H2 {
    wire: Box<dyn Wire>,
    pub inbox: Inbox,
    /// What is asked is sent to this server.
    pub authority: String,
    scheme: &'static str,
    next_stream: u32,
}

/// Fields of a request; beside the pseudo-fields unless said otherwise.
pub type Fields<'f> = [(&'f str, &'f str)];

impl H2 {
    /// A connection in the clear, by prior knowledge (RFC 9113 §3.3).
    pub fn connect(server: &Server) -> Self {
        Self::with_settings(server, &[])
    }

    /// One to the server at `addr`.
    pub fn connect_to(addr: SocketAddr) -> Self {
        let mut client = Self::over(Box::new(tcp(addr)), addr.to_string());
        client.scheme = "http";
        client.begin(&[]);
        client
    }

    /// One whose first SETTINGS frame says this.
    pub fn with_settings(server: &Server, settings: &[(u16, u32)]) -> Self {
        let mut client = Self::silent(server);
        client.begin(settings);
        client
    }

    /// One that has said nothing yet, not even the preface.
    pub fn silent(server: &Server) -> Self {
        let mut client = Self::over(Box::new(tcp(server.addr)), server.addr.to_string());
        client.scheme = "http";
        client
    }

    /// A connection over `wire`, on which nothing has been said, to the server that `authority` names.
    pub fn over(wire: Box<dyn Wire>, authority: String) -> Self {
        Self { wire, inbox: Inbox::new(), authority, scheme: "https", next_stream: 1 }
    }

    /// Sends the preface.
    pub fn begin(&mut self, settings: &[(u16, u32)]) {
        self.inbox.announce(settings);
        self.send([PREFACE, &frame::settings(settings)].concat());
    }

    /// Sends bytes as they are; whether they were taken. A server that has closed is no error here.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.wire.write_all(bytes.as_ref()).is_ok()
    }

    /// The number of a stream that was not used yet.
    pub fn new_stream(&mut self) -> u32 {
        self.next_stream += 2;
        self.next_stream - 2
    }

    /// Begins a stream by these fields, exactly.
    pub fn open(&mut self, fields: &Fields<'_>, ends_stream: bool) -> u32 {
        let stream = self.new_stream();
        self.inbox.expect(stream, fields.contains(&(":method", "HEAD")));
        self.send(frame::headers(stream, &hpack::block(fields), ends_stream));
        stream
    }

    /// Begins a request whose body is still to come.
    pub fn start(&mut self, method: &str, path: &str, fields: &Fields<'_>) -> u32 {
        let authority = self.authority.clone();
        self.open(&[&pseudo(method, self.scheme, &authority, path), fields].concat(), false)
    }

    /// Begins a request without a body.
    pub fn ask(&mut self, method: &str, path: &str, fields: &Fields<'_>) -> u32 {
        let authority = self.authority.clone();
        self.open(&[&pseudo(method, self.scheme, &authority, path), fields].concat(), true)
    }

    /// Sends `body` as DATA, within the windows that the server gives, until all is sent or the stream is answered.
    pub fn send_body(&mut self, stream: u32, mut body: &[u8], ends_stream: bool) {
        while !body.is_empty() {
            let room = self.inbox.room(stream).min(MOST_PAYLOAD).min(body.len());
            if room == 0 {
                match self.next(SOON) {
                    Next::Frame(_) if !self.inbox.is_over(stream) => continue,
                    Next::Nothing => panic!("no window for {} more bytes", body.len()),
                    _ => return,
                }
            }
            let (piece, rest) = body.split_at(room);
            let flags = if rest.is_empty() && ends_stream { END_STREAM } else { 0 };
            self.inbox.spend(stream, room);
            self.send(frame::frame(frame::DATA, flags, stream, piece));
            body = rest;
        }
    }

    /// One request without a body, and its answer.
    pub fn request(&mut self, method: &str, path: &str, fields: &Fields<'_>) -> Response {
        let stream = self.ask(method, path, fields);
        self.response(stream)
    }

    pub fn get(&mut self, path: &str) -> Response {
        self.request("GET", path, &[])
    }

    /// A POST with a body whose length nothing but the end of the stream tells.
    pub fn post(&mut self, path: &str, fields: &Fields<'_>, body: &[u8]) -> Response {
        let stream = self.start("POST", path, fields);
        self.send_body(stream, body, !body.is_empty());
        if body.is_empty() {
            self.send(frame::frame(frame::DATA, END_STREAM, stream, b""));
        }
        self.response(stream)
    }

    /// POSTs JSON to `/upload`.
    pub fn upload(&mut self, body: &[u8]) -> Response {
        self.post("/upload", &[("content-type", "application/json")], body)
    }

    /// What becomes of a stream.
    pub fn answer(&mut self, stream: u32) -> Answer {
        loop {
            if let Some(answer) = self.inbox.answer(stream) {
                return answer;
            }
            match self.next(SOON) {
                Next::Frame(_) => {}
                Next::Ended => return self.inbox.answer(stream).unwrap_or(Answer::Ended(self.inbox.goaway)),
                Next::Nothing => panic!("no answer on stream {stream} in {SOON:?}"),
            }
        }
    }

    pub fn response(&mut self, stream: u32) -> Response {
        match self.answer(stream) {
            Answer::Response(response) => response,
            other => panic!("no response on stream {stream}: {other:?}"),
        }
    }

    /// The next frame, which the inbox has taken in and answered where the RFC asks for it.
    pub fn next(&mut self, patience: Duration) -> Next {
        let (next, reply) = self.inbox.next(&mut *self.wire, patience);
        if !reply.is_empty() {
            self.send(reply);
        }
        next
    }

    /// Takes in what has arrived.
    pub fn take_in(&mut self) {
        while matches!(self.next(Duration::ZERO), Next::Frame(_)) {}
    }

    /// Takes in frames until `done` says so.
    pub fn until(&mut self, what: &str, done: impl Fn(&Inbox) -> bool) {
        while !done(&self.inbox) {
            assert!(matches!(self.next(SOON), Next::Frame(_)), "never: {what}");
        }
    }

    /// How the server ended the connection: the last GOAWAY, and then the close. Panics where it does not.
    pub fn ending(&mut self) -> Option<Goaway> {
        loop {
            match self.next(SOON) {
                Next::Frame(_) => {}
                Next::Ended => return self.inbox.goaway,
                Next::Nothing => panic!("the connection is not ended; GOAWAY: {:?}", self.inbox.goaway),
            }
        }
    }

    /// Whether the server still answers on this connection.
    pub fn is_alive(&mut self) -> bool {
        let before = self.inbox.pongs;
        self.send(frame::ping(*b"alive???"));
        loop {
            match self.next(SOON) {
                Next::Frame(_) if self.inbox.pongs > before => return self.inbox.goaway.is_none(),
                Next::Frame(_) => {}
                Next::Ended | Next::Nothing => return false,
            }
        }
    }
}

/// What a request begins with (RFC 9113 §8.3.1).
pub fn pseudo<'f>(
    method: &'f str,
    scheme: &'f str,
    authority: &'f str,
    path: &'f str,
) -> [(&'f str, &'f str); 4] {
    [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]
}

fn tcp(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream
}
