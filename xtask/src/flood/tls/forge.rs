//! TLS as bytes, made by hand where a well-behaved library would not make it (RFC 8446).

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, ProtocolVersion,
    SupportedCipherSuite,
};

use crate::bench::http::Client;
use crate::flood::door::{Door, Version};

/// Records in the clear: the one that middleboxes want to see (appendix D.4), and a warning, user_canceled (section 6.1).
pub(super) const CHANGE_CIPHER_SPEC: &[u8] = &[20, 3, 3, 0, 1, 1];
pub(super) const WARNING: &[u8] = &[21, 3, 3, 0, 2, 1, 90];

/// Contents of sealed ones: that warning, and the head of a message that is too long to come (section 4).
pub(super) const USER_CANCELED: &[u8] = &[1, 90];
pub(super) const ENDLESS: &[u8] = &[24, 255, 255, 255];

/// The head of a record, and most that it may hold (section 5.1).
const RECORD_HEAD: usize = 5;
const RECORD_MOST: usize = 1 << 14;

/// The extension `pre_shared_key`, which is the last one (section 4.2.11), and the length of a binder by SHA-256.
const PRE_SHARED_KEY: [u8; 2] = [0, 41];
const BINDER: usize = 32;

/// First messages of clients, which the server answers as often as they are sent.
#[derive(Debug)]
pub(super) struct Hellos {
    pub(super) full: Vec<u8>,
    /// With a ticket of this server.
    pub(super) resumed: Vec<u8>,
}

impl Hellos {
    pub(super) fn of(door: &Door) -> io::Result<Self> {
        let config = door.config(Version::Http1).ok_or_else(|| io::Error::other("no TLS"))?;
        let mut strange = ClientConfig::clone(config);
        strange.resumption = Resumption::disabled();
        let full = hello(&Arc::new(strange))?;
        // Tickets come before the first answer.
        let stream = door.connect_from(Ipv4Addr::LOCALHOST, Version::Http1)?;
        Client::over(stream, door.port).get("/small.bin", &[])?;
        Ok(Self { full, resumed: hello(config)? })
    }
}

fn hello(config: &Arc<ClientConfig>) -> io::Result<Vec<u8>> {
    let name = ServerName::from(IpAddr::from(Ipv4Addr::LOCALHOST));
    let mut client = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
    let mut hello = Vec::new();
    client.write_tls(&mut hello)?;
    Ok(hello)
}

/// The same message in records of one byte.
pub(super) fn in_pieces(hello: &[u8]) -> Vec<u8> {
    let message = hello.get(RECORD_HEAD..).unwrap_or_default();
    message.iter().flat_map(|byte| [22, 3, 1, 0, 1, *byte]).collect()
}

/// The same hello with its ticket as often as a record holds it, each time with its last byte changed: the server has to
/// open each to see that.
pub(super) fn many_tickets(made: &Hellos) -> Vec<u8> {
    with_tickets(&made.resumed).unwrap_or_default()
}

fn with_tickets(resumed: &[u8]) -> Option<Vec<u8>> {
    let message = resumed.get(RECORD_HEAD + 4..)?;
    // Behind version and random: the session, the suites, the ways of compression; then the extensions.
    let mut at = 34;
    at += 1 + usize::from(*message.get(at)?);
    at += 2 + length(message, at)?;
    at += 1 + usize::from(*message.get(at)?);
    let (front, mut rest) = message.split_at_checked(at)?;
    rest = rest.get(2..)?;
    let mut extensions = Vec::new();
    while !rest.starts_with(&PRE_SHARED_KEY) {
        let (extension, next) = rest.split_at_checked(4 + length(rest, 2)?)?;
        extensions.extend_from_slice(extension);
        rest = next;
    }
    // Behind the type, its length and that of all identities.
    let ticket = rest.get(8..8 + length(rest, 6)?)?;
    let (last, ticket) = ticket.split_last()?;
    let identity = [&prefixed(&[ticket, &[!last]].concat())[..], &[0; 4]].concat();
    let binder = [&[u8::try_from(BINDER).ok()?][..], &[0; BINDER]].concat();
    let room = RECORD_MOST.checked_sub(front.len() + extensions.len() + 64)?;
    let count = room / (identity.len() + binder.len());
    let offered = [prefixed(&identity.repeat(count)), prefixed(&binder.repeat(count))].concat();
    extensions.extend([&PRE_SHARED_KEY[..], &prefixed(&offered)].concat());
    let body = [front, &prefixed(&extensions)].concat();
    // A message has a length of three bytes, of which the first is 0 here.
    let message = [&[1, 0][..], &prefixed(&body)].concat();
    Some([&[22, 3, 1][..], &prefixed(&message)].concat())
}

/// A length of two bytes.
fn length(bytes: &[u8], at: usize) -> Option<usize> {
    let &[high, low] = bytes.get(at..)?.first_chunk()?;
    Some(usize::from(u16::from_be_bytes([high, low])))
}

/// `bytes` behind their length in two.
fn prefixed(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes();
    [&length, bytes].concat()
}

/// Seals what nobody should send.
pub(super) struct Sealer {
    encrypter: Box<dyn MessageEncrypter>,
    sealed: u64,
}

impl Sealer {
    /// Takes over the keys of a session whose `config` gives them away.
    pub(super) fn of(tls: ClientConnection) -> io::Result<Self> {
        let Some(SupportedCipherSuite::Tls13(suite)) = tls.negotiated_cipher_suite() else {
            return Err(io::Error::other("the session is not of TLS 1.3"));
        };
        let (sealed, secrets) = tls.dangerous_extract_secrets().map_err(io::Error::other)?.tx;
        let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets
        else {
            return Err(io::Error::other("an unknown suite"));
        };
        Ok(Self { encrypter: suite.aead_alg.encrypter(key, iv), sealed })
    }

    pub(super) fn record(&mut self, typ: ContentType, content: &[u8]) -> io::Result<Vec<u8>> {
        let payload = OutboundChunks::Single(content);
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        let record = self.encrypter.encrypt(message, self.sealed).map_err(io::Error::other)?;
        self.sealed += 1;
        Ok(record.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A hello without any but a ticket.
    fn resumed(ticket: &[u8]) -> Vec<u8> {
        let identity = [&prefixed(ticket)[..], &[9; 4]].concat();
        let binder = [&[32][..], &[8; 32]].concat();
        let offered = [prefixed(&identity), prefixed(&binder)].concat();
        let extensions = [&[0, 45, 0, 2, 1, 1][..], &PRE_SHARED_KEY, &prefixed(&offered)].concat();
        let body = [&[3; 34][..], &[0], &prefixed(&[0x13, 1]), &[1, 0], &prefixed(&extensions)].concat();
        [&[22, 3, 1][..], &prefixed(&[&[1, 0][..], &prefixed(&body)].concat())].concat()
    }

    #[test]
    fn a_ticket_is_spoiled_and_offered_as_often_as_it_fits() {
        let forged = with_tickets(&resumed(&[7; 100])).unwrap();
        assert_eq!(length(&forged, 3), Some(forged.len() - RECORD_HEAD));
        assert!(
            (RECORD_MOST - 200..=RECORD_MOST).contains(&(forged.len() - RECORD_HEAD)),
            "{}",
            forged.len()
        );
        let spoiled = [&[7; 99][..], &[!7]].concat();
        let offers = forged.windows(100).filter(|window| *window == spoiled).count();
        assert_eq!(offers, (RECORD_MOST - 41 - 6 - 64) / (106 + 33));
        // Itself, with one ticket, is read by the same rules.
        assert_eq!(with_tickets(&forged).map(|again| again.len()), Some(forged.len()));
        assert_eq!(with_tickets(&forged[..60]), None);
    }

    #[test]
    fn pieces_are_the_same_message() {
        let hello = resumed(b"ticket");
        let pieces = in_pieces(&hello);
        assert!(pieces.chunks(6).all(|piece| piece.starts_with(&[22, 3, 1, 0, 1])));
        assert!(pieces.chunks(6).map(|piece| piece[5]).eq(hello[RECORD_HEAD..].iter().copied()));
    }
}
