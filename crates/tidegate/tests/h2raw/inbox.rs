//! What a client makes of the frames that come: responses by stream, windows both ways, and how the connection ends.
//! A server that breaks a rule of RFC 9113 fails the test.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::time::Duration;

use super::Wire;
use super::frame::{
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, FIRST_WINDOW, Frame, GOAWAY, HEADER_TABLE_SIZE,
    HEADERS, INITIAL_WINDOW_SIZE, PADDED, PING, PRIORITIZED, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, frame, window_update,
};
use super::hpack::Decoder;
use crate::support::Response;

/// Fields that speak of an HTTP/1.1 connection (RFC 9113 §8.2.2).
const OF_THE_CONNECTION: [&str; 6] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te"];

/// What came on one connection.
pub struct Inbox {
    received: Vec<u8>,
    /// How much of `received` is done with.
    at: usize,
    decoder: Decoder,
    streams: HashMap<u32, Stream>,
    /// A field block whose end has not come: its stream, its bytes, and whether the stream ends with it.
    block: Option<(u32, Vec<u8>, bool)>,
    /// What the server may still send, on the connection.
    allowed: i64,
    /// What a stream may send at first: by the server, by us.
    first_windows: (i64, i64),
    /// What we may still send, on the connection.
    room: i64,
    /// Settings of the server.
    pub settings: HashMap<u16, u32>,
    /// How many of our SETTINGS and PING frames were acknowledged.
    pub settings_acks: usize,
    pub pongs: usize,
    pub goaway: Option<Goaway>,
    /// Whether windows are opened again by what was received.
    pub gives_back: bool,
}

/// What the server said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goaway {
    /// The last stream that it has looked at.
    pub last: u32,
    pub code: u32,
}

/// What came next.
#[derive(Debug)]
pub enum Next {
    Frame(Frame),
    /// The connection has ended, by FIN or RST.
    Ended,
    /// Not a whole frame in the time given.
    Nothing,
}

/// What became of a stream.
#[derive(Debug)]
pub enum Answer {
    /// A whole one.
    Response(Response),
    /// RST_STREAM with this code before the end of a response.
    Reset(u32),
    /// The connection ended first.
    Ended(Option<Goaway>),
}

/// What came on one stream.
#[derive(Default)]
struct Stream {
    /// Informational responses (RFC 9110 §15.2).
    interim: Vec<u16>,
    response: Option<Response>,
    ended: bool,
    reset: Option<u32>,
    to_head: bool,
    allowed: i64,
    room: i64,
}

impl Inbox {
    pub fn new() -> Self {
        Self {
            received: Vec::new(),
            at: 0,
            decoder: Decoder::default(),
            streams: HashMap::new(),
            block: None,
            allowed: FIRST_WINDOW,
            first_windows: (FIRST_WINDOW, FIRST_WINDOW),
            room: FIRST_WINDOW,
            settings: HashMap::new(),
            settings_acks: 0,
            pongs: 0,
            goaway: None,
            gives_back: true,
        }
    }

    /// Notes what our own settings allow.
    pub fn announce(&mut self, settings: &[(u16, u32)]) {
        for (id, value) in settings {
            match *id {
                // A server may know the new size or the old one until it acknowledges; ours are sent before all else.
                INITIAL_WINDOW_SIZE => self.first_windows.0 = i64::from(*value),
                HEADER_TABLE_SIZE => self.decoder.most = usize::try_from(*value).unwrap(),
                _ => {}
            }
        }
    }

    /// What the server's table may weigh, as it says.
    pub fn table_size(&self) -> usize {
        self.decoder.size
    }

    /// Notes that a window was opened by hand.
    pub fn allow(&mut self, stream: u32, by: u32) {
        *self.streams.get_mut(&stream).map_or(&mut self.allowed, |stream| &mut stream.allowed) +=
            i64::from(by);
    }

    /// Notes that `stream` was begun.
    pub fn expect(&mut self, stream: u32, to_head: bool) {
        let (allowed, room) = self.first_windows;
        self.streams.insert(stream, Stream { to_head, allowed, room, ..Stream::default() });
    }

    /// How many bytes may be sent on `stream`.
    pub fn room(&self, stream: u32) -> usize {
        let of_stream = self.streams.get(&stream).map_or(0, |stream| stream.room);
        usize::try_from(of_stream.min(self.room)).unwrap_or(0)
    }

    /// Notes that bytes were sent on `stream`.
    pub fn spend(&mut self, stream: u32, count: usize) {
        let count = i64::try_from(count).unwrap();
        self.room -= count;
        self.streams.get_mut(&stream).unwrap().room -= count;
    }

    /// Whether nothing more comes on `stream`.
    pub fn is_over(&self, stream: u32) -> bool {
        self.streams.get(&stream).is_some_and(|stream| stream.ended || stream.reset.is_some())
    }

    /// With which code `stream` was reset, before or after its answer.
    pub fn reset_of(&self, stream: u32) -> Option<u32> {
        self.streams.get(&stream)?.reset
    }

    /// How many streams were reset, with which code soever.
    pub fn resets(&self) -> usize {
        self.streams.values().filter(|stream| stream.reset.is_some()).count()
    }

    pub fn interim(&self, stream: u32) -> &[u16] {
        self.streams.get(&stream).map_or(&[], |stream| &stream.interim)
    }

    /// What came of the body of a response so far, where its head has come.
    pub fn body_of(&self, stream: u32) -> Option<&[u8]> {
        Some(&self.streams.get(&stream)?.response.as_ref()?.body)
    }

    /// What became of `stream`, once that is known.
    pub fn answer(&self, stream: u32) -> Option<Answer> {
        let Stream { response, ended, reset, to_head, .. } = self.streams.get(&stream)?;
        if *ended {
            let response = response.clone().expect("a stream that ends without a response");
            check(&response, *to_head);
            return Some(Answer::Response(response));
        }
        reset.map(Answer::Reset)
    }

    /// The next frame from `wire`, and what is to be sent for it.
    pub fn next(&mut self, wire: &mut dyn Wire, patience: Duration) -> (Next, Vec<u8>) {
        let mut piece = [0; 65536];
        loop {
            if let Some(frame) = Frame::first(&self.received[self.at..]) {
                self.at += 9 + frame.payload.len();
                let reply = self.take(&frame);
                return (Next::Frame(frame), reply);
            }
            self.received.drain(..std::mem::take(&mut self.at));
            match wire.read_within(&mut piece, patience) {
                Ok(0) => return (Next::Ended, Vec::new()),
                Ok(count) => self.received.extend_from_slice(&piece[..count]),
                // A read with a time limit may be interrupted without any signal.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return (Next::Nothing, Vec::new());
                }
                Err(_) => return (Next::Ended, Vec::new()),
            }
        }
    }

    /// Takes in one frame; returns what a client sends for it.
    fn take(&mut self, received: &Frame) -> Vec<u8> {
        let amid_a_block = self.block.as_ref().map(|(stream, ..)| (CONTINUATION, *stream));
        assert!(
            amid_a_block.unwrap_or((received.kind, received.stream)) == (received.kind, received.stream)
                && (received.kind != CONTINUATION || amid_a_block.is_some()),
            "{received:?} amid {amid_a_block:?} (RFC 9113 §4.3)"
        );
        let acknowledges = received.has(ACK);
        match received.kind {
            DATA => return self.take_data(received),
            HEADERS | CONTINUATION => self.take_block(received),
            RST_STREAM => self.stream(received.stream).reset = Some(received.number(0)),
            SETTINGS if acknowledges => self.settings_acks += 1,
            SETTINGS => return self.take_settings(received),
            PUSH_PROMISE => panic!("a push, which no client asked for"),
            PING if acknowledges => self.pongs += 1,
            PING => return frame(PING, ACK, 0, &received.payload),
            GOAWAY => self.take_goaway(received),
            WINDOW_UPDATE if received.stream == 0 => self.room += i64::from(received.number(0)),
            WINDOW_UPDATE => self.stream(received.stream).room += i64::from(received.number(0)),
            PRIORITY => panic!("{received:?} of a server"),
            // What is not known is ignored (RFC 9113 §5.5).
            _ => {}
        }
        Vec::new()
    }

    fn stream(&mut self, stream: u32) -> &mut Stream {
        self.streams
            .get_mut(&stream)
            .unwrap_or_else(|| panic!("a frame on stream {stream}, which nobody began"))
    }

    fn take_data(&mut self, received: &Frame) -> Vec<u8> {
        assert!(!received.has(PADDED), "a server of ours pads nothing");
        let count = i64::try_from(received.payload.len()).unwrap();
        let back = if self.gives_back { count } else { 0 };
        self.allowed -= count;
        assert!(self.allowed >= 0, "more than the window of the connection (RFC 9113 §6.9.1)");
        self.allowed += back;
        let stream = self.stream(received.stream);
        stream.allowed -= count;
        assert!(stream.allowed >= 0, "more than the window of the stream (RFC 9113 §6.9.1)");
        stream.allowed += back;
        assert!(!stream.ended, "{received:?} after the end");
        stream.response.as_mut().expect("a head before a body").body.extend_from_slice(&received.payload);
        stream.ended = received.has(END_STREAM);
        match u32::try_from(back).unwrap() {
            0 => Vec::new(),
            by if stream.ended => window_update(0, by),
            by => [window_update(0, by), window_update(received.stream, by)].concat(),
        }
    }

    fn take_block(&mut self, received: &Frame) {
        assert!(!received.has(PADDED | PRIORITIZED) || received.kind == CONTINUATION, "{received:?}");
        let begun = (received.stream, Vec::new(), received.has(END_STREAM));
        let (stream, mut block, ends) = self.block.take().unwrap_or(begun);
        block.extend_from_slice(&received.payload);
        if !received.has(END_HEADERS) {
            self.block = Some((stream, block, ends));
            return;
        }
        let mut fields = self.decoder.read(&block);
        let (name, status) = fields.remove(0);
        assert_eq!(name, ":status", "{fields:?}");
        let status = status.parse().unwrap();
        let stream = self.stream(stream);
        assert!(stream.response.is_none() && !stream.ended, "a second head: {status} {fields:?}");
        if status < 200 {
            assert!(!ends, "{status} is no end");
            stream.interim.push(status);
        } else {
            stream.response = Some(Response { status, fields, body: Vec::new() });
            stream.ended = ends;
        }
    }

    fn take_settings(&mut self, received: &Frame) -> Vec<u8> {
        for setting in received.payload.chunks_exact(6) {
            let id = u16::from_be_bytes([setting[0], setting[1]]);
            let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
            self.settings.insert(id, value);
            if id == INITIAL_WINDOW_SIZE {
                let grown = i64::from(value) - self.first_windows.1;
                self.first_windows.1 = i64::from(value);
                self.streams.values_mut().for_each(|stream| stream.room += grown);
            }
        }
        frame(SETTINGS, ACK, 0, b"")
    }

    fn take_goaway(&mut self, received: &Frame) {
        let said = Goaway { last: received.number(0), code: received.number(4) };
        let before = self.goaway.map_or(u32::MAX, |before| before.last);
        assert!(said.last <= before, "{said:?} takes back what was refused (RFC 9113 §6.8)");
        self.goaway = Some(said);
    }
}

/// What every response over HTTP/2 keeps (RFC 9113 §8.2, §8.3.2; SPEC H1-8, SEC-3).
fn check(response: &Response, to_head: bool) {
    if response.fields.is_empty() {
        // The protocol layer's own word for a list that it has not unpacked.
        assert_eq!(response.status, 431);
        return;
    }
    for (name, _) in &response.fields {
        assert!(!name.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b':'), "{name}");
        assert!(!OF_THE_CONNECTION.contains(&name.as_str()), "{name}");
    }
    assert_eq!(response.field("server"), Some("tidegate"));
    assert_eq!(response.field("x-content-type-options"), Some("nosniff"));
    let date = response.field("date").expect("a date");
    assert!(httpdate::parse_http_date(date).is_ok() && date.ends_with(" GMT"), "{date}");
    let length = response.field("content-length").map(|length| length.parse::<usize>().unwrap());
    match response.status {
        _ if to_head => assert!(response.body.is_empty(), "a body for HEAD"),
        204 | 304 => assert!(response.body.is_empty() && (response.status == 304 || length.is_none())),
        _ => assert!(length.is_none_or(|length| length == response.body.len()), "{response:?}"),
    }
}
