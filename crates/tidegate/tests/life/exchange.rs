//! One request and what came of it, told apart more finely than a test's client does: refused, silent, cut, answered.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::SOON;

/// Between two pieces of a large answer, so that a download lasts through what happens to the server.
const SIP: Duration = Duration::from_millis(10);
/// What such a client takes at a time.
const PIECE: usize = 256 * 1024;

/// Where a server is asked.
#[derive(Clone, Debug)]
pub enum At {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// What came of one request on a connection.
pub enum Outcome {
    Answer(Answer),
    /// The connection ended, or nothing came, before a byte of an answer.
    Silence(io::ErrorKind),
    /// It ended within an answer.
    Cut(usize),
}

/// A whole answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl At {
    /// A new connection, on which nothing may take longer than a test waits.
    pub fn connect(&self) -> io::Result<Box<dyn Pipe>> {
        match self {
            Self::Tcp(addr) => {
                let stream = TcpStream::connect_timeout(addr, SOON)?;
                stream.set_read_timeout(Some(SOON))?;
                stream.set_write_timeout(Some(SOON))?;
                Ok(Box::new(stream))
            }
            Self::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(SOON))?;
                stream.set_write_timeout(Some(SOON))?;
                Ok(Box::new(stream))
            }
        }
    }

    /// What the Host field says.
    pub fn host(&self) -> String {
        match self {
            Self::Tcp(addr) => addr.to_string(),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

/// A connection of either kind.
pub trait Pipe: Read + Write {
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()>;
}

impl Pipe for TcpStream {
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.set_nonblocking(nonblocking)
    }
}

impl Pipe for UnixStream {
    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.set_nonblocking(nonblocking)
    }
}

/// Whether the server has closed, as seen without asking anything.
pub fn has_ended(stream: &mut dyn Pipe) -> bool {
    stream.set_nonblocking(true).unwrap();
    let found = stream.read(&mut [0]);
    stream.set_nonblocking(false).unwrap();
    !matches!(found, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

impl Answer {
    /// The value of the field that `name`, in lower case and with its colon, begins.
    pub fn field(&self, name: &str) -> Option<String> {
        let mut lines = self.head.lines();
        lines.find_map(|line| {
            line.to_ascii_lowercase().starts_with(name).then(|| line[name.len()..].to_owned())
        })
    }

    /// Whether it is the last on its connection.
    pub fn closes(&self) -> bool {
        self.field("connection: ").as_deref() == Some("close")
    }
}

/// Sends a request and reads its answer.
pub fn ask(stream: &mut dyn Pipe, request: &[u8]) -> Outcome {
    // Who is closed upon while sending may have been answered all the same.
    let _ = stream.write_all(request);
    let (mut received, mut piece) = (Vec::new(), vec![0; PIECE]);
    loop {
        if let Some(answer) = whole(&received) {
            return Outcome::Answer(answer);
        }
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => received.extend_from_slice(&piece[..count]),
            // Where a read has a time limit the kernel may say so for no reason of ours.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            ended if received.is_empty() => {
                return Outcome::Silence(
                    ended.map_or_else(|error| error.kind(), |_| io::ErrorKind::UnexpectedEof),
                );
            }
            _ => return Outcome::Cut(received.len()),
        }
        if received.len() > PIECE {
            std::thread::sleep(SIP);
        }
    }
}

/// The answer, if all of it is there.
fn whole(received: &[u8]) -> Option<Answer> {
    let end = received.windows(4).take(8192).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&received[..end]).into_owned();
    let mut answer = Answer { status: head.get(9..12)?.parse().ok()?, head, body: Vec::new() };
    let length: usize = answer.field("content-length: ")?.parse().ok()?;
    answer.body = received.get(end + 4..end + 4 + length)?.to_vec();
    Some(answer)
}
