//! TLS for the tour: a client that believes one certificate, the one whose fingerprint the server has told at its start.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned, SupportedProtocolVersion};

use crate::net::tls::client::Trust;

/// How a server is reached by TLS.
#[derive(Clone, Debug)]
pub(super) struct Secure(Arc<Trust>);

/// What a client offers in a handshake.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offer {
    /// Versions of TLS.
    pub(super) versions: &'static [&'static SupportedProtocolVersion],
    /// The server that is asked for; where that is an address it is not sent (RFC 6066 section 3).
    pub(super) server: &'static str,
    /// Protocols inside, by ALPN.
    pub(super) protocols: &'static [&'static str],
}

/// What any client offers who speaks HTTP/1.1 alone.
pub(super) const HTTP1: Offer =
    Offer { versions: rustls::ALL_VERSIONS, server: "127.0.0.1", protocols: &["http/1.1"] };

/// A connection after its handshake.
pub(super) type Tls = StreamOwned<ClientConnection, TcpStream>;

/// The bytes of a connection.
#[derive(Debug)]
pub(super) enum Pipe {
    /// As they are.
    Clear(TcpStream),
    /// Encrypted.
    Tls(Box<Tls>),
}

impl Secure {
    /// The way to a server whose certificate has this fingerprint: SHA-256 in hexadecimal, with colons.
    pub(super) fn pinned(fingerprint: &str) -> Self {
        Self(Arc::new(Trust::pinned(fingerprint)))
    }

    /// Shakes hands on `stream`, within its own time limits.
    pub(super) fn shake(&self, mut stream: TcpStream, offer: &Offer) -> io::Result<Tls> {
        let provider = Arc::clone(&self.0.provider);
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(offer.versions);
        let builder = builder.map_err(io::Error::other)?.dangerous();
        let pinned: Arc<Trust> = Arc::clone(&self.0);
        let mut config = builder.with_custom_certificate_verifier(pinned).with_no_client_auth();
        config.alpn_protocols = offer.protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let server = ServerName::try_from(offer.server).map_err(io::Error::other)?;
        let mut session = ClientConnection::new(Arc::new(config), server).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut stream)?;
        }
        Ok(StreamOwned::new(session, stream))
    }
}

impl Pipe {
    /// What carries it.
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Clear(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    /// What both sides agreed on, in words.
    pub(super) fn agreed(&self) -> String {
        let Self::Tls(stream) = self else { return "in the clear".to_owned() };
        let session = &stream.conn;
        let version = session.protocol_version().map(|version| format!("{version:?}"));
        let suite = session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
        let group = session.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
        let protocol = session.alpn_protocol().map(|protocol| String::from_utf8_lossy(protocol).into_owned());
        [version, suite, group, protocol].into_iter().flatten().collect::<Vec<_>>().join(" · ")
    }
}

impl Read for Pipe {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(piece),
            Self::Tls(stream) => stream.read(piece),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}
