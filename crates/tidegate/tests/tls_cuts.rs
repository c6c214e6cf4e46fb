//! An upload whose TLS ends amid its body is never taken for a whole one (SPEC UP-3, UP-5, TLS-1): whoever is on the way
//! can end a connection or change its bytes at any place, also where what came so far would be a document (RFC 8446 §6.1).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod h2raw;
mod support;
mod tls;

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use h2raw::frame::{DATA, END_STREAM, PREFACE, frame, headers, settings};
use h2raw::{hpack, pseudo};
use rustls::SupportedProtocolVersion;
use socket2::SockRef;
use support::{Client, Server, eventually};
use tls::{Connected, TLS12, TLS13, Trust};

const NAME: &str = "127.0.0.1";
const FIELDS: &str = "Content-Type: application/json\r\n";

/// An upload in two pieces of bytes. The first holds a whole document, so that nothing but the missing end can tell.
struct Upload {
    what: &'static str,
    protocol: &'static str,
    begun: Vec<u8>,
    rest: Vec<u8>,
}

/// How it is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// The connection ends, and TLS says nothing of it.
    Silent,
    /// TLS says that this is the end, as of a client that was stopped.
    Announced,
    /// The connection is reset.
    Reset,
    /// The client ends it by a fatal alert.
    Alert,
    /// The rest comes, and a bit of it was changed on the way.
    Changed,
}

const CUTS: [Cut; 5] = [Cut::Silent, Cut::Announced, Cut::Reset, Cut::Alert, Cut::Changed];

fn uploads(server: &Server) -> [Upload; 4] {
    let host = server.addr.to_string();
    let head = |framing: &str| format!("POST /upload HTTP/1.1\r\nHost: {host}\r\n{FIELDS}{framing}\r\n");
    let http2 = |length: &[(&str, &str)]| {
        let json = [("content-type", "application/json")];
        let fields = [&pseudo("POST", "https", &host, "/upload")[..], &json, length].concat();
        let begun = [PREFACE, &settings(&[]), &headers(1, &hpack::block(&fields), false)].concat();
        [begun, frame(DATA, 0, 1, b"[1] ")].concat()
    };
    let end = frame(DATA, END_STREAM, 1, b" ");
    [
        Upload {
            what: "a length",
            protocol: "http/1.1",
            begun: [head("Content-Length: 5\r\n").as_bytes(), b"[1] "].concat(),
            rest: b" ".to_vec(),
        },
        Upload {
            what: "chunks",
            protocol: "http/1.1",
            begun: [head("Transfer-Encoding: chunked\r\n").as_bytes(), b"4\r\n[1] \r\n"].concat(),
            rest: b"0\r\n\r\n".to_vec(),
        },
        Upload { what: "a stream", protocol: "h2", begun: http2(&[]), rest: end.clone() },
        Upload {
            what: "a stream with a length",
            protocol: "h2",
            begun: http2(&[("content-length", "5")]),
            rest: end,
        },
    ]
}

impl Cut {
    /// Cuts an upload of which `rest` has not been sent.
    fn make(self, mut client: Connected, rest: &[u8]) {
        let (session, socket) = (&mut client.stream.conn, &mut client.stream.sock);
        let mut last = Vec::new();
        match self {
            Self::Silent => {}
            Self::Announced => session.send_close_notify(),
            Self::Reset => SockRef::from(&*socket).set_linger(Some(Duration::ZERO)).unwrap(),
            Self::Alert => {
                // What no server has sealed makes a client say so.
                let garbage = [&[23, 3, 3, 0, 32][..], &[0; 32]].concat();
                session.read_tls(&mut garbage.as_slice()).unwrap();
                assert!(session.process_new_packets().is_err());
            }
            Self::Changed => session.writer().write_all(rest).unwrap(),
        }
        while session.wants_write() {
            session.write_tls(&mut last).unwrap();
        }
        if let Some(byte) = last.last_mut().filter(|_| self == Self::Changed) {
            *byte ^= 1;
        }
        assert_eq!(last.is_empty(), matches!(self, Self::Silent | Self::Reset), "{self:?}");
        socket.write_all(&last).unwrap();
        if self == Self::Reset {
            return;
        }
        socket.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = client.stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.contains(" 201 "), "{self:?}: {answer}");
    }
}

/// A server, and a connection on which it is asked how it is.
struct Stand {
    server: Server,
    beside: RefCell<Client>,
}

impl Stand {
    fn start() -> Self {
        let server = Server::start(&["--tls-self-signed", "--workers", "1", "--max-requests", "0"]);
        let beside = tls::connect(server.addr, &Trust::blind().config(), NAME).unwrap().client();
        Self { beside: RefCell::new(beside), server }
    }

    fn metric(&self, name: &str) -> f64 {
        self.beside.borrow_mut().get("/metrics?format=json").json()[name]
            .as_f64()
            .unwrap_or_else(|| panic!("no {name}"))
    }

    fn kept(&self) -> usize {
        std::fs::read_dir(self.server.uploads()).unwrap().count()
    }

    /// Sends the first piece; the server has begun with it when this returns.
    fn begin(&self, upload: &Upload, versions: &'static [&'static SupportedProtocolVersion]) -> Connected {
        let config = Trust::blind().versions(versions).alpn(&[upload.protocol]).config();
        let mut client = tls::connect(self.server.addr, &config, NAME).unwrap();
        client.stream.write_all(&upload.begun).unwrap();
        eventually("the upload has begun", || self.metric("http_server_active_requests") == 1.0);
        client
    }

    /// Nobody is being answered, and nothing is held of what came.
    fn rests(&self) {
        eventually("the upload is over", || self.metric("http_server_active_requests") == 0.0);
        eventually("its memory is free", || self.metric("tidegate_body_bytes") == 0.0);
    }
}

#[test]
fn tls_1_up_5_an_upload_that_tls_1_3_cuts_is_never_stored() {
    cut_all(TLS13);
}

#[test]
fn tls_1_up_5_an_upload_that_tls_1_2_cuts_is_never_stored() {
    cut_all(TLS12);
}

fn cut_all(versions: &'static [&'static SupportedProtocolVersion]) {
    let stand = Stand::start();
    for (stored, upload) in uploads(&stand.server).into_iter().enumerate() {
        for cut in CUTS {
            cut.make(stand.begin(&upload, versions), &upload.rest);
            stand.rests();
            assert_eq!(stand.kept(), stored, "{} {cut:?}: nothing is left", upload.what);
        }
        // The very bytes that were missing are what it takes.
        let mut client = stand.begin(&upload, versions);
        client.stream.write_all(&upload.rest).unwrap();
        eventually(upload.what, || stand.kept() == stored + 1);
        stand.rests();
    }
    assert_eq!(stand.metric("tidegate_panics_total"), 0.0);
}
