//! What a load generator and a server agree on when they shake hands, seen by a relay between the two.
//!
//! ```text
//! wrk ─► relay ─► server: the first record of each answer is its ServerHello, in the clear (RFC 8446 section 4.1.3)
//!          └─► Hello of each connection ─► Agreed
//! ```
//!
//! Whether sessions are resumed is a matter of both sides: some servers give tickets that wrk never uses.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// TLS 1.3 as `supported_versions` names it (RFC 8446 section 4.2.1).
const TLS_1_3: u16 = 0x0304;

/// Types of records (RFC 8446 section 5.1).
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// What was agreed on in many handshakes with one server.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Agreed {
    pub(super) handshakes: usize,
    /// Of the first one, as RFC 8446 numbers them.
    pub(super) suite: u16,
    pub(super) group: u16,
    /// Handshakes that continued an older session, as a share of all.
    pub(super) resumed: f64,
}

/// One server's part of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Hello {
    suite: u16,
    /// 0 where no key is exchanged.
    group: u16,
    resumed: bool,
}

/// What `act` and the server at `port` agree on while `act` speaks to the port that it is given. An `Err` names a
/// handshake that is none of TLS 1.3, which alone is read here.
pub(super) fn watch<T>(port: u16, act: impl FnOnce(u16) -> T) -> Result<(T, Agreed), String> {
    let problem = |error: io::Error| format!("no relay: {error}");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(problem)?;
    let own_port = listener.local_addr().map_err(problem)?.port();
    let (hellos, over) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let outcome = thread::scope(|scope| {
        scope.spawn(|| {
            for client in listener.incoming().flatten() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                // A connection that breaks off shows in what `act` tells.
                scope.spawn(|| drop(pass_on(client, port, &hellos)));
            }
        });
        let outcome = act(own_port);
        over.store(true, Ordering::Relaxed);
        // It waits for one more connection.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, own_port)));
        outcome
    });
    let hellos = hellos.into_inner().unwrap_or_default();
    Ok((outcome, Agreed::of(&hellos).ok_or("a handshake is not one of TLS 1.3")?))
}

/// Carries one connection to its end.
fn pass_on(mut client: TcpStream, port: u16, hellos: &Mutex<Vec<Option<Hello>>>) -> io::Result<()> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::scope(|scope| {
        scope.spawn(move || {
            // However it ended, the other side must learn that nothing more comes.
            let _ = io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(Shutdown::Write);
        });
        let passed = first_record(&mut server).and_then(|record| {
            // An alert comes first where the client left before it said a word.
            if record.first() != Some(&ALERT) {
                hellos.lock().map_err(|_| io::ErrorKind::Other)?.push(read(&record));
            }
            client.write_all(&record)?;
            io::copy(&mut server, &mut client)
        });
        let _ = client.shutdown(Shutdown::Both);
        passed.map(drop)
    })
}

/// A record with its head of five bytes, the last two of which are the length of the rest.
fn first_record(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = [0; 5];
    stream.read_exact(&mut head)?;
    let mut record = head.to_vec();
    record.resize(head.len() + usize::from(u16::from_be_bytes([head[3], head[4]])), 0);
    stream.read_exact(&mut record[head.len()..])?;
    Ok(record)
}

/// `None` where the record is no ServerHello of TLS 1.3.
fn read(record: &[u8]) -> Option<Hello> {
    // Record head, type and length of the message, old version, random.
    let mut rest = Bytes(record.strip_prefix(&[HANDSHAKE])?.get(4..)?.strip_prefix(&[2])?.get(3 + 2 + 32..)?);
    let session = rest.number(1)?;
    rest.take(session)?;
    let mut hello = Hello { suite: u16::try_from(rest.number(2)?).ok()?, group: 0, resumed: false };
    rest.take(1)?; // Compression: there is none any more.
    let length = rest.number(2)?;
    let (mut extensions, mut version) = (Bytes(rest.take(length)?), 0);
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let length = extensions.number(2)?;
        let value = extensions.take(length)?;
        let first = value.first_chunk().map_or(0, |bytes| u16::from_be_bytes(*bytes));
        match kind {
            41 => hello.resumed = true,
            43 => version = first,
            51 => hello.group = first,
            _ => {}
        }
    }
    (version == TLS_1_3).then_some(hello)
}

/// What is still to be read.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// Of one or two bytes.
    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }
}

impl Agreed {
    /// `None` without a handshake, and where one could not be read.
    fn of(hellos: &[Option<Hello>]) -> Option<Self> {
        let hellos: Vec<Hello> = hellos.iter().copied().collect::<Option<_>>()?;
        let first = hellos.first()?;
        let resumed = hellos.iter().filter(|hello| hello.resumed).count();
        Some(Self {
            handshakes: hellos.len(),
            suite: first.suite,
            group: first.group,
            resumed: resumed as f64 / hellos.len() as f64,
        })
    }

    pub(super) fn suite(&self) -> String {
        let known = [(0x1301, "AES-128-GCM"), (0x1302, "AES-256-GCM"), (0x1303, "ChaCha20-Poly1305")];
        name(&known, self.suite)
    }

    pub(super) fn group(&self) -> String {
        let known = [(0x0017, "P-256"), (0x0018, "P-384"), (0x001d, "X25519"), (0x11ec, "X25519MLKEM768")];
        name(&known, self.group)
    }
}

fn name(known: &[(u16, &str)], number: u16) -> String {
    let found = known.iter().find(|(one, _)| *one == number);
    found.map_or_else(|| format!("{number:#06x}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ServerHello of AES-128-GCM with these extensions.
    fn record(extensions: &[u8]) -> Vec<u8> {
        let mut body = [&[3, 3][..], &[7; 32], &[2, 8, 8], &[0x13, 0x01], &[0]].concat();
        body.extend([0, u8::try_from(extensions.len()).unwrap()]);
        body.extend(extensions);
        let length = u8::try_from(body.len()).unwrap();
        [&[22, 3, 3, 0, length + 4, 2, 0, 0, length][..], &body].concat()
    }

    const VERSION: [u8; 6] = [0, 43, 0, 2, 3, 4];
    const KEY_SHARE: [u8; 8] = [0, 51, 0, 4, 0, 0x1d, 0, 0];
    const PRE_SHARED_KEY: [u8; 6] = [0, 41, 0, 2, 0, 0];

    #[test]
    fn a_server_hello_tells_suite_group_and_resumption() {
        let full = Hello { suite: 0x1301, group: 0x1d, resumed: false };
        assert_eq!(read(&record(&[&VERSION[..], &KEY_SHARE].concat())), Some(full));
        let resumed = [&KEY_SHARE[..], &PRE_SHARED_KEY, &VERSION].concat();
        assert_eq!(read(&record(&resumed)), Some(Hello { resumed: true, ..full }));
        assert_eq!(read(&record(&KEY_SHARE)), None, "TLS 1.2 does not say so in this way");
    }

    #[test]
    fn half_a_hello_is_none() {
        let whole = record(&[&VERSION[..], &KEY_SHARE].concat());
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length]), None, "{length}");
        }
    }

    #[test]
    fn the_relay_carries_both_ways_and_sees_the_hello() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = [record(&[&VERSION[..], &KEY_SHARE].concat()), b"and more".to_vec()].concat();
        let expected = answer.clone();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut said = [0; 5];
            stream.read_exact(&mut said).unwrap();
            stream.write_all(&answer).unwrap();
            said
        });
        let ask = |port| {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            stream.write_all(b"hello").unwrap();
            let mut told = Vec::new();
            stream.read_to_end(&mut told).unwrap();
            told
        };
        let (told, agreed) = watch(port, ask).unwrap();
        assert_eq!((told, &server.join().unwrap()), (expected, b"hello"));
        assert_eq!((agreed.handshakes, agreed.resumed), (1, 0.0));
        assert_eq!((agreed.suite(), agreed.group()), ("AES-128-GCM".to_owned(), "X25519".to_owned()));
    }

    #[test]
    fn a_number_without_a_name_is_shown_as_it_is() {
        assert_eq!(name(&[], 0x1399), "0x1399");
        assert_eq!(Agreed::of(&[]), None);
        assert_eq!(Agreed::of(&[None]), None);
    }
}
