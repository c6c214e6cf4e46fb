//! A good client of HTTP/2: one request after another on a connection, and what a server may send meanwhile.

use std::io::{self, Read, Write};

use super::frames::{self, ACK, END_STREAM, GOAWAY, HEAD, HEADERS, SETTINGS};
use crate::flood::stream::Stream;

/// An answer of 200 begins with entry 8 of the static table (RFC 7541 appendix A).
const STATUS_200: u8 = 0x88;

#[derive(Debug)]
pub(in super::super) struct Client {
    stream: Stream,
    host: String,
    requests: u32,
}

/// A frame that arrived.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) kind: u8,
    flags: u8,
    stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Client {
    /// Begins to speak over a connection to `port`.
    pub(in super::super) fn over(mut stream: Stream, port: u16) -> io::Result<Self> {
        stream.write_all(frames::PREFACE)?;
        Ok(Self { stream, host: format!("127.0.0.1:{port}"), requests: 0 })
    }

    /// Whether `/small.bin` was answered with 200, to the end. A connection is good for 60 of them: its window is never
    /// opened.
    pub(in super::super) fn get(&mut self) -> io::Result<bool> {
        let asked = frames::stream(self.requests);
        self.requests += 1;
        let mut request = Vec::new();
        frames::get(&mut request, asked, &self.host);
        self.stream.write_all(&request)?;
        let mut good = false;
        loop {
            let Frame { kind, flags, stream, payload } = read_frame(&mut self.stream)?;
            match kind {
                SETTINGS if flags & ACK == 0 => {
                    let mut seen = Vec::new();
                    frames::frame(&mut seen, SETTINGS, ACK, 0, &[]);
                    self.stream.write_all(&seen)?;
                }
                GOAWAY => return Err(io::Error::other("the server takes its leave")),
                HEADERS if stream == asked => good = has_status_200(&payload),
                _ => {}
            }
            if stream == asked && flags & END_STREAM != 0 && kind <= HEADERS {
                return Ok(good);
            }
        }
    }
}

/// The next frame, whole.
pub(super) fn read_frame(stream: &mut impl Read) -> io::Result<Frame> {
    let mut head = [0; HEAD];
    stream.read_exact(&mut head)?;
    let [a, b, c, kind, flags, id @ ..] = head;
    let mut payload = vec![0; usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)];
    stream.read_exact(&mut payload)?;
    Ok(Frame { kind, flags, stream: u32::from_be_bytes(id) & (u32::MAX >> 1), payload })
}

/// Before its first field a block may say how large the table is (RFC 7541 section 6.3).
fn has_status_200(block: &[u8]) -> bool {
    block.iter().find(|byte| **byte & 0xe0 != 0x20) == Some(&STATUS_200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_whole_or_not_at_all() {
        let mut bytes = Vec::new();
        frames::frame(&mut bytes, GOAWAY, 5, 7, &[1, 2, 3]);
        for cut in 0..bytes.len() {
            assert!(read_frame(&mut &bytes[..cut]).is_err(), "{cut}");
        }
        let frame = read_frame(&mut &bytes[..]).unwrap();
        assert_eq!((frame.kind, frame.flags, frame.stream, frame.payload), (GOAWAY, 5, 7, vec![1, 2, 3]));
    }

    #[test]
    fn a_200_is_told_from_other_answers() {
        assert!(has_status_200(&[0x88, 0x76]) && has_status_200(&[0x20, 0x88]));
        assert!(!has_status_200(&[0x8d]) && !has_status_200(&[]));
    }
}
