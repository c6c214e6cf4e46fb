//! Frames (RFC 9113 §4.1): nine bytes and a payload, written as the test says, whether they are allowed or not.

use std::fmt;

/// The connection preface of a client (RFC 9113 §3.4); a SETTINGS frame follows.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frame (RFC 9113 §6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

/// Flags.
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const PRIORITIZED: u8 = 0x20;

/// Error codes (RFC 9113 §7).
pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const COMPRESSION_ERROR: u32 = 9;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// Settings (RFC 9113 §6.5.2).
pub const HEADER_TABLE_SIZE: u16 = 1;
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
pub const INITIAL_WINDOW_SIZE: u16 = 4;
pub const MAX_FRAME_SIZE: u16 = 5;

/// The largest payload that both sides take before anybody speaks of it (RFC 9113 §4.2).
pub const MOST_PAYLOAD: usize = 16_384;

/// What a window is before anybody speaks of it (RFC 9113 §6.9.2).
pub const FIRST_WINDOW: i64 = 65_535;

/// A frame that was received.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The frame with which `received` begins, once it is whole; it takes nine bytes more than its payload.
    pub fn first(received: &[u8]) -> Option<Self> {
        let head = received.first_chunk::<9>()?;
        let length = usize::try_from(u32::from_be_bytes([0, head[0], head[1], head[2]])).unwrap();
        assert!(length <= MOST_PAYLOAD, "a frame of {length} bytes, which we never allowed");
        let (kind, flags, stream) = (head[3], head[4], u32_at(head, 5));
        let payload = received.get(9..9 + length)?.to_vec();
        Some(Self { kind, flags, stream, payload })
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The number in the payload's four bytes from `at` on.
    pub fn number(&self, at: usize) -> u32 {
        u32_at(&self.payload, at)
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, flags, stream, payload } = self;
        write!(f, "frame {kind} flags {flags:#x} stream {stream} ({} bytes)", payload.len())
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// A frame in bytes.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let one = |(id, value): &(u16, u32)| [id.to_be_bytes().as_slice(), &value.to_be_bytes()].concat();
    frame(SETTINGS, 0, 0, &settings.iter().flat_map(one).collect::<Vec<_>>())
}

pub fn window_update(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

pub fn reset(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

pub fn ping(data: [u8; 8]) -> Vec<u8> {
    frame(PING, 0, 0, &data)
}

/// A field block in HEADERS and as many CONTINUATION frames as it takes.
pub fn headers(stream: u32, block: &[u8], ends_stream: bool) -> Vec<u8> {
    let (first, rest) = block.split_at(block.len().min(MOST_PAYLOAD));
    let last = |is_last: bool| if is_last { END_HEADERS } else { 0 };
    let end = if ends_stream { END_STREAM } else { 0 };
    let mut bytes = frame(HEADERS, end | last(rest.is_empty()), stream, first);
    let pieces = rest.chunks(MOST_PAYLOAD);
    let count = pieces.len();
    for (number, piece) in pieces.enumerate() {
        bytes.extend(frame(CONTINUATION, last(number + 1 == count), stream, piece));
    }
    bytes
}
