//! A session against the client of rustls, over bytes in memory; and a transport against one over a socket.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use super::seal::RECORD;
use super::*;
use crate::net::{Progress, Transport};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A server for `localhost`, and a client that trusts it and offers `protocols`.
fn pair(version: &'static SupportedProtocolVersion, protocols: &[&str]) -> (Tls, Arc<ClientConfig>) {
    let identity = self_signed::identity(&["localhost".into()], &[], SystemTime::now()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(identity.certified.cert[0].clone()).unwrap();
    let identities = vec![identity];
    let config = Arc::new(config(&identities, None).unwrap());
    let client = ClientConfig::builder_with_provider(Arc::clone(config.crypto_provider()));
    let client = client.with_protocol_versions(&[version]).unwrap();
    let mut client = client.with_root_certificates(roots).with_no_client_auth();
    client.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    (Tls { config, identities }, Arc::new(client))
}

/// Both ends of one connection.
struct Both {
    server: Session,
    client: ClientConnection,
    agreed: Option<Agreed>,
}

impl Both {
    fn new((tls, client): &(Tls, Arc<ClientConfig>)) -> Self {
        let name = "LOCALHOST".try_into().unwrap();
        let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
        client.set_buffer_limit(None);
        Self { server: Session::new(tls).unwrap(), client, agreed: None }
    }

    /// After a handshake.
    fn agreed(version: &'static SupportedProtocolVersion) -> Self {
        let mut both = Self::new(&pair(version, &["http/1.1"]));
        both.shake_hands(usize::MAX);
        both
    }

    /// Goes through the handshake, the client's bytes in pieces of `piece`.
    fn shake_hands(&mut self, piece: usize) {
        while self.agreed.is_none() || self.client.is_handshaking() {
            for bytes in self.client_sends().chunks(piece) {
                self.server_receives(bytes).unwrap();
                self.agreed = self.server.advance().unwrap().or(self.agreed.take());
            }
            self.client_receives();
        }
    }

    fn client_sends(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    fn server_receives(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.server.receiving()[..bytes.len()].copy_from_slice(bytes);
        self.server.received(bytes.len())
    }

    /// Moves what the server has sealed; returns what the client reads of it.
    fn client_receives(&mut self) -> Vec<u8> {
        let count = self.server.unsent();
        let plain = read_by(&mut self.client, self.server.out().filled());
        self.server.out().consume(count);
        plain
    }

    /// Moves what the client has sealed; returns what the server reads of it with a buffer of `room`, however much comes at
    /// once.
    fn server_reads(&mut self, room: usize) -> Vec<u8> {
        let mut plain = Vec::new();
        let mut into = vec![0; room];
        let most = if room == RECORD { self.server.receiving().len() } else { 7_000 };
        for piece in self.client_sends().chunks(most) {
            self.server_receives(piece).unwrap();
            let count = self.server.open(&mut into).unwrap();
            plain.extend_from_slice(&into[..count]);
            while self.server.has_plain() {
                let count = self.server.take(&mut into).unwrap();
                plain.extend_from_slice(&into[..count]);
            }
        }
        plain
    }
}

/// What `client` reads of `sealed`.
fn read_by(client: &mut ClientConnection, mut sealed: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    while !sealed.is_empty() {
        client.read_tls(&mut sealed).unwrap();
        client.process_new_packets().unwrap();
        // That nothing more is there yet is an error of a reader.
        let _ = client.reader().read_to_end(&mut plain);
    }
    plain
}

/// `count` bytes, of which no piece is like the next.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| u8::try_from((at / 251 + at) % 256).unwrap()).collect()
}

/// Lengths of the records in `sealed`.
fn records(mut sealed: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    while let [_, _, _, high, low, rest @ ..] = sealed {
        let length = usize::from(*high) << 8 | usize::from(*low);
        lengths.push(length);
        sealed = &rest[length..];
    }
    lengths
}

#[test]
fn row_g1_tls_1_a_handshake_may_come_in_pieces_of_any_size() {
    for version in VERSIONS {
        let pair = pair(version, &["h2", "http/1.1"]);
        for piece in [1, 2, 3, 5, 97, 1000, usize::MAX] {
            let mut both = Both::new(&pair);
            both.shake_hands(piece);
            let agreed = both.agreed.unwrap();
            assert_eq!(
                (agreed.protocol, agreed.server_name.as_deref()),
                (Protocol::Http2, Some("localhost"))
            );
            let known = &both.client;
            let resumed = known.handshake_kind() == Some(rustls::HandshakeKind::Resumed);
            let suite = known.negotiated_cipher_suite().unwrap().suite();
            assert_eq!((agreed.cipher_suite, agreed.resumed), (suite.into(), resumed));
            assert_eq!(agreed.version, u16::from(version.version));
        }
    }
}

#[test]
fn tls_1_without_a_common_name_http_1_is_spoken_or_nothing() {
    for (offered, spoken) in [(&[][..], Protocol::Http1), (&["http/1.1"], Protocol::Http1)] {
        let mut both = Both::new(&pair(&TLS13, offered));
        both.shake_hands(usize::MAX);
        assert_eq!(both.agreed.unwrap().protocol, spoken);
    }
    let mut both = Both::new(&pair(&TLS13, &["spdy/3"]));
    let hello = both.client_sends();
    both.server_receives(&hello).unwrap();
    let error = both.server.advance().unwrap_err().to_string();
    assert!(error.contains("known protocol"), "{error}");
    both.client.read_tls(&mut both.server.out().filled()).unwrap();
    let told = both.client.process_new_packets().unwrap_err().to_string();
    assert!(told.contains("NoApplicationProtocol"), "{told}");
}

#[test]
fn tls_1_a_client_that_comes_back_resumes_and_is_asked_for_its_name_again() {
    for version in VERSIONS {
        let pair = pair(version, &["http/1.1"]);
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut both = Both::new(&pair);
            both.shake_hands(usize::MAX);
            assert_eq!(both.client.handshake_kind(), Some(kind), "{version:?}");
            assert_eq!(both.agreed.unwrap().server_name.as_deref(), Some("localhost"));
        }
    }
}

#[test]
fn tls_1_bytes_of_any_number_come_through_both_ways() {
    for version in VERSIONS {
        let mut both = Both::agreed(version);
        for count in [0, 1, 2, 15, RECORD - 1, RECORD, RECORD + 1, 4 * RECORD - 1, 4 * RECORD] {
            let sent = bytes(count);
            assert_eq!(both.server.seal(&sent, b"").unwrap(), count);
            assert!(both.client_receives() == sent, "{count} bytes down");
            for room in [1 + count / 5, RECORD] {
                let sent = sent.repeat(10);
                both.client.writer().write_all(&sent).unwrap();
                assert!(both.server_reads(room) == sent, "{} bytes up", sent.len());
            }
        }
        assert_eq!(both.server.seal(&bytes(9 * RECORD), b"").unwrap(), 4 * RECORD, "a portion at once");
    }
}

/// A read brings the end of one record and the beginning of the next: what is held meanwhile is more than either.
#[test]
fn tls_1_a_long_body_in_the_largest_records_comes_in_by_the_largest_reads() {
    for version in VERSIONS {
        let mut both = Both::agreed(version);
        let body = bytes(1024 * 1024);
        both.client.writer().write_all(&body).unwrap();
        assert!(both.server_reads(RECORD) == body);
    }
}

#[test]
fn tls_1_two_slices_share_the_record_between_them() {
    let mut both = Both::agreed(&TLS13);
    let whole = bytes(5 * RECORD);
    for (first, second, whole_records) in [
        (0, 100, 1),
        (100, 0, 1),
        (100, 200, 1),
        (300, RECORD - 300, 1),
        (300, RECORD, 2),
        (RECORD, 5, 2),
        (RECORD + 7, RECORD - 7, 2),
        (2 * RECORD + 1, 2 * RECORD, 5),
        (5 * RECORD, 5, 4),
        (30, 5 * RECORD, 4),
    ] {
        let (head, body) = whole.split_at(first);
        let body = &body[..second.min(body.len())];
        let taken = both.server.seal(head, body).unwrap();
        let count = records(both.server.out().filled()).len();
        let expected = [head, body].concat();
        assert!(both.client_receives() == expected[..taken], "{first} and {second}");
        assert!(taken == expected.len() || taken == 4 * RECORD);
        assert!(count <= whole_records, "{first} and {second} in {count} records");
    }
}

#[test]
fn tls_1_what_the_socket_takes_byte_by_byte_stays_in_order() {
    let mut both = Both::agreed(&TLS13);
    let (mut read, mut sent) = (Vec::new(), Vec::new());
    for step in 1..400 {
        let piece = bytes(step);
        both.server.seal(&piece[..step / 3], &piece[step / 3..]).unwrap();
        sent.extend_from_slice(&piece);
        let some = both.server.out().filled()[..step].to_vec();
        both.server.out().consume(step);
        both.server.out().settle();
        read.extend(read_by(&mut both.client, &some));
    }
    read.extend(both.client_receives());
    assert!(read == sent);
}

#[test]
fn tls_1_less_is_sealed_for_a_peer_that_takes_little() {
    let mut both = Both::agreed(&TLS13);
    let much = bytes(9 * RECORD);
    both.server.adapt(false);
    assert_eq!(both.server.seal(&much, b"").unwrap(), RECORD);
    both.server.adapt(true);
    assert_eq!(both.server.seal(&much, b"").unwrap(), 2 * RECORD);
    both.server.adapt(true);
    both.server.adapt(true);
    assert_eq!((both.server.portion(), both.server.seal(&much, b"").unwrap()), (4 * RECORD, 4 * RECORD));
}

#[test]
fn row_g2_tls_1_keys_may_be_changed_and_a_flood_of_changes_ends_the_session() {
    let mut both = Both::agreed(&TLS13);
    for round in 1..100 {
        both.client.refresh_traffic_keys().unwrap();
        both.client.writer().write_all(&bytes(round)).unwrap();
        assert!(both.server_reads(RECORD) == bytes(round));
        both.server.seal(&bytes(2 * round), b"").unwrap();
        assert!(both.client_receives() == bytes(2 * round));
    }
    for _ in 0..100 {
        both.client.refresh_traffic_keys().unwrap();
    }
    let flood = both.client_sends();
    both.server_receives(&flood).unwrap();
    let error = both.server.open(&mut [0; 100]).unwrap_err().to_string();
    assert!(error.contains("TooManyKeyUpdateRequests"), "{error}");
    assert!(both.server.unsent() < 1000, "{} bytes for it", both.server.unsent());
    assert!(matches!(both.server.seal(b"x", b""), Err(Broken::Before)));
}

#[test]
fn tls_1_an_announced_end_is_an_end_and_the_other_way_stays_open() {
    for version in VERSIONS {
        let mut both = Both::agreed(version);
        both.client.writer().write_all(b"the last").unwrap();
        both.client.send_close_notify();
        assert_eq!(both.server_reads(100), b"the last");
        assert_eq!(both.server.take(&mut [0; 9]), Some(0));
        both.server.seal(b"an answer", b"").unwrap();
        both.server.say_goodbye();
        both.server.say_goodbye();
        assert_eq!(both.client_receives(), b"an answer");
        assert!(both.client.process_new_packets().unwrap().peer_has_closed());
        assert!(both.server.seal(b"more", b"").is_err(), "nothing is taken that cannot be sent");
    }
}

#[test]
fn tls_1_what_was_changed_on_its_way_ends_the_session() {
    let mut both = Both::agreed(&TLS13);
    both.client.writer().write_all(&bytes(1000)).unwrap();
    let mut sealed = both.client_sends();
    sealed[500] ^= 1;
    both.server_receives(&sealed).unwrap();
    assert!(matches!(both.server.open(&mut [0; 2000]), Err(Broken::Protocol(_))));
    assert_eq!(records(both.server.out().filled()).len(), 1, "an alert");
    assert_eq!(both.server.take(&mut [0; 9]), Some(0));
}

#[test]
fn row_g1_tls_1_garbage_is_told_so_and_ends_it() {
    let (tls, _) = pair(&TLS13, &[]);
    for garbage in
        [&b"\0\0\0\0\0\0\0\0"[..], &[22, 3, 1, 0, 4, 9, 9, 9, 9], &[0xff; 300], &[21, 3, 3, 0, 2, 2, 40]]
    {
        let mut session = Session::new(&tls).unwrap();
        session.receiving()[..garbage.len()].copy_from_slice(garbage);
        session.received(garbage.len()).unwrap();
        assert!(session.advance().is_err(), "{garbage:?}");
        assert!(session.unsent() <= 7 && matches!(session.advance(), Err(Broken::Before)));
    }
}

#[test]
fn row_g1_tls_1_a_hello_without_end_is_cut() {
    let (tls, _) = pair(&TLS13, &[]);
    let mut session = Session::new(&tls).unwrap();
    // A hello of 60,000 bytes, in records of a hundred.
    let mut record = [[22, 3, 1, 0, 100, 1, 0, 0xea, 0x60].to_vec(), vec![0; 96]].concat();
    let received = (0..60_000 / 100).find_map(|count| {
        session.receiving()[..record.len()].copy_from_slice(&record);
        let held = session.received(record.len()).err();
        record.truncate(5);
        record.extend_from_slice(&[0; 100]);
        assert!(held.is_some() || session.advance().is_ok_and(|agreed| agreed.is_none()));
        held.map(|error| (count, error))
    });
    let (count, error) = received.expect("a bound");
    assert!(matches!(error, Broken::TooLong(_)) && count < 33 * 1024 / 105, "{count}: {error}");
}

/// A connection over a socket: the server's end, and what the client makes of its own on a thread.
fn over_a_socket<T: Send + 'static>(
    work: impl FnOnce(&mut StreamOwned<ClientConnection, UnixStream>) -> T + Send + 'static,
) -> (Transport, Tls, JoinHandle<T>) {
    let (tls, client) = pair(&TLS13, &["http/1.1"]);
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let client = ClientConnection::new(client, "localhost".try_into().unwrap()).unwrap();
    let worker = std::thread::spawn(move || work(&mut StreamOwned::new(client, theirs)));
    (Transport::new(ours.into()), tls, worker)
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn shake_hands(io: &mut Transport, tls: &Tls) {
    io.begin_tls(tls).unwrap();
    loop {
        poll_fn(|cx| io.poll_hear(cx)).await.unwrap();
        if matches!(io.advance_handshake().unwrap(), Progress::Agreed(_)) {
            return;
        }
        poll_fn(|cx| io.poll_flush(cx)).await.unwrap();
    }
}

#[test]
fn tls_1_a_megabyte_goes_out_to_a_slow_reader_and_nothing_is_held_afterwards() {
    let whole = Arc::new(bytes(1024 * 1024));
    let expected = Arc::clone(&whole);
    let (mut io, tls, client) = over_a_socket(move |stream| {
        let (mut read, mut piece) = (Vec::new(), [0; 5000]);
        while let Ok(count) = stream.read(&mut piece)
            && count > 0
        {
            read.extend_from_slice(&piece[..count]);
        }
        assert!(read == *expected, "{} bytes", read.len());
    });
    wait(async {
        shake_hands(&mut io, &tls).await;
        let mut sent = 0;
        while sent < whole.len() {
            sent += poll_fn(|cx| {
                io.poll_write_two(
                    cx,
                    &whole[sent..(sent + 3).min(whole.len())],
                    &whole[(sent + 3).min(whole.len())..],
                )
            })
            .await
            .unwrap();
        }
        poll_fn(|cx| io.poll_flush(cx)).await.unwrap();
        assert!(!io.needs_flush());
        io.finish_writing();
    });
    client.join().unwrap();
}

#[test]
fn tls_1_an_end_that_was_not_announced_is_an_error_and_an_announced_one_is_none() {
    for announced in [true, false] {
        let (mut io, tls, client) = over_a_socket(move |stream| {
            stream.write_all(b"half of").unwrap();
            if announced {
                stream.conn.send_close_notify();
            }
            stream.flush().unwrap();
            stream.sock.shutdown(std::net::Shutdown::Write).unwrap();
        });
        wait(async {
            shake_hands(&mut io, &tls).await;
            let mut into = [0; 100];
            let mut read = Vec::new();
            let end = loop {
                match poll_fn(|cx| io.poll_read(cx, &mut into)).await {
                    Ok(0) => break None,
                    Ok(count) => read.extend_from_slice(&into[..count]),
                    Err(error) => break Some(error.kind()),
                }
            };
            assert_eq!(read, b"half of");
            assert_eq!(end, (!announced).then_some(std::io::ErrorKind::UnexpectedEof));
        });
        client.join().unwrap();
    }
}
