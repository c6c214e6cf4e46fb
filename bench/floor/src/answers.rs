//! One thread, one epoll: accept; one read, count the empty lines, one write of as many answers.
//!
//! A request that arrives in two pieces with its empty line torn gets no answer, and what a full socket does not take
//! closes the connection: the load generators of the bench cause neither.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;

/// Tidegate's own head for a file of 1 KiB, so that both put the same bytes on the wire.
const HEAD: &str = "HTTP/1.1 200 OK\r\n\
    Server: tidegate\r\n\
    Date: Sat, 21 Nov 2026 12:00:00 GMT\r\n\
    X-Content-Type-Options: nosniff\r\n\
    Content-Type: application/octet-stream\r\n\
    ETag: \"757157ee208b993f\"\r\n\
    Last-Modified: Sat, 21 Nov 2026 12:00:00 GMT\r\n\
    Accept-Ranges: bytes\r\n\
    Content-Length: 1024\r\n\
    Connection: keep-alive\r\n\
    Keep-Alive: timeout=300\r\n\
    \r\n";

const BODY: usize = 1024;

/// Events taken from one wait: as many as the bench has connections.
const EVENTS: usize = 256;

/// Bytes of one read: 16 pipelined requests fit many times over.
const READ: usize = 64 * 1024;

/// The listener's mark in an event; a connection's is its descriptor.
const LISTENER: u64 = u64::MAX;

/// Serves on `127.0.0.1:port` until it is killed.
///
/// # Errors
///
/// Where the port cannot be bound, or epoll itself fails.
pub(crate) fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    watch(&epoll, &listener, LISTENER)?;
    let mut floor = Floor { connections: Vec::new(), answers: Vec::new(), input: vec![0; READ] };
    let mut events = Vec::with_capacity(EVENTS);
    loop {
        events.clear();
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            match event.data.u64() {
                LISTENER => floor.accept(&epoll, &listener)?,
                connection => floor.answer(usize::try_from(connection).map_err(io::Error::other)?),
            }
        }
    }
}

struct Floor {
    /// By descriptor.
    connections: Vec<Option<TcpStream>>,
    /// Answers one after another, as many as were ever asked for at once.
    answers: Vec<u8>,
    input: Vec<u8>,
}

impl Floor {
    fn accept(&mut self, epoll: impl AsFd, listener: &TcpListener) -> io::Result<()> {
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nonblocking(true)?;
            let at = usize::try_from(stream.as_raw_fd()).map_err(io::Error::other)?;
            watch(&epoll, &stream, at as u64)?;
            if self.connections.len() <= at {
                self.connections.resize_with(at + 1, || None);
            }
            self.connections[at] = Some(stream);
        }
    }

    /// Closes the connection where it ended or failed.
    fn answer(&mut self, at: usize) {
        if !self.try_answer(at).unwrap_or(false) {
            self.connections[at] = None;
        }
    }

    /// Whether the connection goes on.
    fn try_answer(&mut self, at: usize) -> io::Result<bool> {
        let Some(mut stream) = self.connections[at].as_ref() else { return Ok(false) };
        let read = stream.read(&mut self.input)?;
        let requests = self.input[..read].windows(4).filter(|bytes| bytes == b"\r\n\r\n").count();
        let wanted = requests * (HEAD.len() + BODY);
        while self.answers.len() < wanted {
            self.answers.extend_from_slice(HEAD.as_bytes());
            self.answers.resize(self.answers.len() + BODY, b'x');
        }
        Ok(read > 0 && stream.write(&self.answers[..wanted])? == wanted)
    }
}

fn watch(epoll: impl AsFd, source: impl AsFd, mark: u64) -> io::Result<()> {
    Ok(epoll::add(epoll, source, epoll::EventData::new_u64(mark), epoll::EventFlags::IN)?)
}
