//! The raw HTTP/2 client over TLS, agreed on by ALPN (RFC 9113 §3.2).

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use crate::h2raw::{H2, Wire};
use crate::tls::{Connected, Trust};

/// A client that believes everybody and offers HTTP/2.
pub fn trust() -> Trust {
    Trust::blind().alpn(&["h2"])
}

/// HTTP/2 over `connected`, whose preface is sent.
pub fn over(connected: Connected) -> H2 {
    assert_eq!(connected.alpn(), Some("h2"));
    let authority = connected.host().to_owned();
    let mut client = H2::over(Box::new(Sealed(connected.stream)), authority);
    client.begin(&[]);
    client
}

/// A session as that client writes and reads it.
struct Sealed(StreamOwned<ClientConnection, TcpStream>);

impl Wire for Sealed {
    fn read_within(&mut self, buffer: &mut [u8], patience: Duration) -> io::Result<usize> {
        // A limit of zero is none: whoever does not want to wait waits for a moment.
        self.0.sock.set_read_timeout(Some(patience.max(Duration::from_millis(1))))?;
        self.0.read(buffer)
    }
}

impl Write for Sealed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
