//! `multipart/byteranges`: what stands around the parts of an answer to several ranges (RFC 9110 §14.6).
//!
//! ```text
//! --B CRLF Content-Type CRLF Content-Range CRLF CRLF  part   the first head
//! CRLF --B CRLF …                                     part   every other
//! CRLF --B-- CRLF                                            the end
//! ```
//! The parts themselves are never touched here: they go from the file to the socket.

use std::ops::Range;

/// All of a body but its parts: `heads[0]`, part 0, `heads[1]`, part 1, …, `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// What stands before each part, in their order.
    pub heads: Vec<Vec<u8>>,
    /// What stands after the last one.
    pub end: Vec<u8>,
    /// Bytes of the whole body, for `Content-Length`.
    pub length: u64,
}

impl Envelope {
    /// The envelope of `parts` of a file of media type `kind` and `size` bytes. The parts are not empty, end
    /// within the file, and together are no larger than it, as [`super::range::parse`] gives them.
    ///
    /// `boundary` is 1 to 70 letters and digits (RFC 2046 §5.1.1) that no part may hold after `CRLF--`: as
    /// nobody reads the file for it first, it must be one that nobody can guess.
    pub fn new(boundary: &str, kind: &str, size: u64, parts: &[Range<u64>]) -> Self {
        debug_assert!(
            (1..=70).contains(&boundary.len()) && boundary.bytes().all(|b| b.is_ascii_alphanumeric())
        );
        let head = |(index, part): (usize, &Range<u64>)| {
            let ended = if index == 0 { "" } else { "\r\n" };
            let range = content_range(part, size);
            format!("{ended}--{boundary}\r\nContent-Type: {kind}\r\n{range}\r\n").into_bytes()
        };
        let heads: Vec<Vec<u8>> = parts.iter().enumerate().map(head).collect();
        let end = format!("\r\n--{boundary}--\r\n").into_bytes();
        let around = heads.iter().chain([&end]).map(|text| text.len() as u64);
        let within = parts.iter().map(|part| part.end - part.start);
        let length = around.chain(within).sum();
        Self { heads, end, length }
    }
}

/// The field line that names the media type of the whole body, and its boundary.
pub fn content_type(boundary: &str) -> String {
    format!("Content-Type: multipart/byteranges; boundary={boundary}\r\n")
}

/// The field line that says which bytes of a file of `size` a part is; it is not empty (RFC 9110 §14.4).
pub fn content_range(part: &Range<u64>, size: u64) -> String {
    format!("Content-Range: bytes {}-{}/{size}\r\n", part.start, part.end - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes<'f>(file: &'f [u8], part: &Range<u64>) -> &'f [u8] {
        &file[usize::try_from(part.start).unwrap()..usize::try_from(part.end).unwrap()]
    }

    /// The whole body for `parts` of `file`.
    fn body(envelope: &Envelope, file: &[u8], parts: &[Range<u64>]) -> Vec<u8> {
        let mut body = Vec::new();
        for (head, part) in envelope.heads.iter().zip(parts) {
            body.extend(head);
            body.extend(bytes(file, part));
        }
        [body, envelope.end.clone()].concat()
    }

    /// Reads a body as a client does (RFC 2046 §5.1.1): type, range, size and bytes of each part.
    fn read_back(body: &[u8], boundary: &str) -> Vec<(String, Range<u64>, u64, Vec<u8>)> {
        let body = [b"\r\n", body].concat();
        let delimiter = format!("\r\n--{boundary}");
        let mut pieces = Vec::new();
        let mut rest = &body[..];
        while let Some(at) = rest.windows(delimiter.len()).position(|window| window == delimiter.as_bytes()) {
            pieces.push(&rest[..at]);
            rest = &rest[at + delimiter.len()..];
        }
        assert_eq!((pieces.remove(0), rest), (&b""[..], &b"--\r\n"[..]), "preamble and end");
        pieces.into_iter().map(read_part).collect()
    }

    fn read_part(piece: &[u8]) -> (String, Range<u64>, u64, Vec<u8>) {
        let at = piece.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&piece[..at]).unwrap().strip_prefix("\r\n").unwrap();
        let (kind, range) = head.split_once("\r\n").unwrap();
        let range = range.strip_prefix("Content-Range: bytes ").unwrap();
        let (range, size) = range.split_once('/').unwrap();
        let (first, last) = range.split_once('-').unwrap();
        let range = first.parse().unwrap()..last.parse::<u64>().unwrap() + 1;
        let kind = kind.strip_prefix("Content-Type: ").unwrap().to_owned();
        (kind, range, size.parse().unwrap(), piece[at + 4..].to_vec())
    }

    #[test]
    fn file_5_several_ranges_in_their_envelope() {
        let parts = [1..3, 6..10];
        let envelope = Envelope::new("B7", "text/plain", 10, &parts);
        let body = body(&envelope, b"0123456789", &parts);
        let expected = "--B7\r\nContent-Type: text/plain\r\nContent-Range: bytes 1-2/10\r\n\r\n12\r\n\
                        --B7\r\nContent-Type: text/plain\r\nContent-Range: bytes 6-9/10\r\n\r\n6789\r\n\
                        --B7--\r\n";
        assert_eq!(String::from_utf8(body).unwrap(), expected);
        assert_eq!(envelope.length, expected.len() as u64);
        assert_eq!(content_type("B7"), "Content-Type: multipart/byteranges; boundary=B7\r\n");
    }

    #[test]
    fn file_5_lengths_beyond_32_bits_add_up() {
        let parts = [0..5_000_000_000, 6_000_000_000..9_000_000_000];
        let envelope = Envelope::new("B", "a/b", 9_000_000_000, &parts);
        let around = envelope.heads.iter().map(Vec::len).sum::<usize>() + envelope.end.len();
        assert_eq!(envelope.length, 8_000_000_000 + around as u64);
        let head = String::from_utf8(envelope.heads[1].clone()).unwrap();
        assert!(head.contains("Content-Range: bytes 6000000000-8999999999/9000000000\r\n"), "{head}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn file_5_what_is_sent_reads_back(
            file in proptest::collection::vec(any::<u8>(), 1..200),
            cuts in proptest::collection::btree_set(0..200_usize, 2..16),
        ) {
            let bounds: Vec<u64> = cuts.into_iter().map(|cut| cut.min(file.len()) as u64).collect();
            let parts = bounds.chunks_exact(2).map(|pair| pair[0]..pair[1]);
            let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
            prop_assume!(!parts.is_empty());
            let size = file.len() as u64;
            let envelope = Envelope::new("Kx3Tq9", "image/png", size, &parts);
            let body = body(&envelope, &file, &parts);
            prop_assert_eq!(envelope.length, body.len() as u64);
            let sent = parts.iter().map(|part| {
                ("image/png".to_owned(), part.clone(), size, bytes(&file, part).to_vec())
            });
            prop_assert_eq!(read_back(&body, "Kx3Tq9"), sent.collect::<Vec<_>>());
        }
    }
}
