//! One connection, in the clear or within TLS. One thread may write to it while another reads from it.
//!
//! ```text
//!  socket ─► read ─► session (a lock, held while bytes are opened or sealed and never while the socket waits) ─► opened
//!  the caller's bytes ─► session ─► records ─► socket
//! ```

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// A server that says nothing for so long is broken, unless its caller knows better.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is read of a socket at once: a record of full size.
const PIECE: usize = 16 * 1024;

#[derive(Debug)]
pub(crate) struct Stream {
    pub(super) socket: TcpStream,
    session: Option<Arc<Mutex<Session>>>,
}

/// The TLS of one connection.
#[derive(Debug)]
struct Session {
    tls: ClientConnection,
    /// Plaintext that nobody has read yet.
    opened: VecDeque<u8>,
}

impl Stream {
    pub(super) fn clear(socket: TcpStream) -> io::Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket, session: None })
    }

    /// The same, with a session that is agreed on when this returns.
    pub(super) fn shake_hands(socket: TcpStream, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let mut stream = Self::clear(socket)?;
        let tls = shake_hands(&mut stream.socket, config)?;
        let session = Session { tls, opened: VecDeque::new() };
        stream.session = Some(Arc::new(Mutex::new(session)));
        Ok(stream)
    }

    /// The same connection, for another thread.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, session: self.session.clone() })
    }

    /// Changes the sender's keys and asks the server to change its own (RFC 8446 section 4.6.3). Not in the clear.
    pub(super) fn change_keys(&mut self) -> io::Result<()> {
        let session = self.session.as_ref().ok_or_else(|| io::Error::other("no TLS"))?;
        let records = {
            let mut session = lock(session);
            session.tls.refresh_traffic_keys().map_err(io::Error::other)?;
            session.records()?
        };
        self.socket.write_all(&records)
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(session) = &self.session else { return self.socket.read(into) };
        let mut piece = [0; PIECE];
        loop {
            let held = lock(session).opened.read(into)?;
            if held > 0 || into.is_empty() {
                return Ok(held);
            }
            match self.socket.read(&mut piece)? {
                0 => return Ok(0),
                count => lock(session).open(piece.get(..count).unwrap_or_default())?,
            }
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(session) = &self.session else { return self.socket.write(bytes) };
        let (count, records) = {
            let mut session = lock(session);
            (session.tls.writer().write(bytes)?, session.records()?)
        };
        self.socket.write_all(&records)?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl Session {
    fn open(&mut self, mut records: &[u8]) -> io::Result<()> {
        while !records.is_empty() {
            self.tls.read_tls(&mut records)?;
            let there = self.tls.process_new_packets().map_err(io::Error::other)?.plaintext_bytes_to_read();
            let mut plain = vec![0; there];
            self.tls.reader().read_exact(&mut plain)?;
            self.opened.extend(plain);
        }
        Ok(())
    }

    /// What is to be sent.
    fn records(&mut self) -> io::Result<Vec<u8>> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records)?;
        }
        Ok(records)
    }
}

/// A session over `socket`, agreed on.
pub(super) fn shake_hands(
    socket: &mut TcpStream,
    config: &Arc<ClientConfig>,
) -> io::Result<ClientConnection> {
    let name = ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST));
    let mut tls = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    while tls.is_handshaking() {
        tls.complete_io(socket)?;
    }
    Ok(tls)
}

/// What a thread that panicked left behind is as good as ever: its own panic ends the run.
fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}
