//! Field blocks (RFC 7541): written representation by representation, as a test wants them, and read with all that a
//! server may use.
//!
//! [`block`] and the functions beside it write · [`Decoder`] reads · [`STATIC`] and [`HUFFMAN`] are the tables of the RFC.

use std::collections::VecDeque;

/// A table of the size that a decoder has before anybody speaks of it (RFC 9113 §6.5.2).
const TABLE_SIZE: usize = 4096;

/// What an entry of the dynamic table counts beside its bytes (RFC 7541 §4.1).
const ENTRY_OVERHEAD: usize = 32;

/// Reads the field blocks of one connection, in their order.
pub struct Decoder {
    /// The newest entry first.
    dynamic: VecDeque<(String, String)>,
    /// What the entries may weigh, as the server says.
    pub size: usize,
    /// The most that it may say.
    pub most: usize,
}

/// The fields as literals that no table keeps (RFC 7541 §6.2.3).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| literal(0x10, name, value)).collect()
}

/// A field that the server's dynamic table is to keep (RFC 7541 §6.2.1).
pub fn kept(name: &str, value: &str) -> Vec<u8> {
    literal(0x40, name, value)
}

/// A field that stands in a table (RFC 7541 §6.1). 62 is the newest of the dynamic one.
pub fn indexed(index: usize) -> Vec<u8> {
    integer(0x80, 7, index)
}

/// A change of the dynamic table's size (RFC 7541 §6.3).
pub fn table_size(size: usize) -> Vec<u8> {
    integer(0x20, 5, size)
}

fn literal(kind: u8, name: &str, value: &str) -> Vec<u8> {
    [vec![kind], string(name), string(value)].concat()
}

fn string(text: &str) -> Vec<u8> {
    [integer(0, 7, text.len()), text.as_bytes().to_vec()].concat()
}

/// A number behind the bits of `first` that are above the `prefix` lowest (RFC 7541 §5.1).
pub fn integer(first: u8, prefix: u32, value: usize) -> Vec<u8> {
    let most = (1 << prefix) - 1;
    if value < most {
        return vec![first | u8::try_from(value).unwrap()];
    }
    let mut bytes = vec![first | u8::try_from(most).unwrap()];
    let mut rest = value - most;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128 + 128).unwrap());
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

impl Default for Decoder {
    fn default() -> Self {
        Self { dynamic: VecDeque::new(), size: TABLE_SIZE, most: TABLE_SIZE }
    }
}

impl Decoder {
    /// The fields of a whole block. Panics where it is malformed.
    pub fn read(&mut self, mut block: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        while let Some(&first) = block.first() {
            match first {
                0x80.. => {
                    let index = read_integer(&mut block, 7);
                    fields.push(self.entry(index));
                }
                0x40.. => {
                    let field = self.read_literal(&mut block, 6);
                    self.keep(field.clone());
                    fields.push(field);
                }
                0x20.. => {
                    assert!(fields.is_empty(), "a size amid the fields (RFC 7541 §4.2)");
                    let size = read_integer(&mut block, 5);
                    assert!(size <= self.most, "{size} is more than we keep");
                    self.size = size;
                    self.shrink();
                }
                _ => fields.push(self.read_literal(&mut block, 4)),
            }
        }
        fields
    }

    fn read_literal(&self, block: &mut &[u8], prefix: u32) -> (String, String) {
        let name = match read_integer(block, prefix) {
            0 => read_string(block),
            index => self.entry(index).0,
        };
        (name, read_string(block))
    }

    fn entry(&self, index: usize) -> (String, String) {
        assert_ne!(index, 0, "an index of nothing (RFC 7541 §6.1)");
        if let Some((name, value)) = STATIC.get(index - 1) {
            return ((*name).to_owned(), (*value).to_owned());
        }
        self.dynamic.get(index - 1 - STATIC.len()).unwrap_or_else(|| panic!("no entry {index}")).clone()
    }

    fn keep(&mut self, field: (String, String)) {
        self.dynamic.push_front(field);
        self.shrink();
    }

    fn shrink(&mut self) {
        let weight = |(name, value): &(String, String)| name.len() + value.len() + ENTRY_OVERHEAD;
        while self.dynamic.iter().map(weight).sum::<usize>() > self.size {
            self.dynamic.pop_back();
        }
    }
}

fn take<'b>(block: &mut &'b [u8], count: usize) -> &'b [u8] {
    let (taken, rest) = block.split_at_checked(count).expect("a block cut short");
    *block = rest;
    taken
}

fn read_integer(block: &mut &[u8], prefix: u32) -> usize {
    let most = (1 << prefix) - 1;
    let mut value = usize::from(take(block, 1)[0]) & most;
    if value < most {
        return value;
    }
    for shift in (0..28).step_by(7) {
        let byte = usize::from(take(block, 1)[0]);
        value += (byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a number without end")
}

fn read_string(block: &mut &[u8]) -> String {
    let is_huffman = block[0] & 0x80 != 0;
    let length = read_integer(block, 7);
    let bytes = take(block, length);
    let bytes = if is_huffman { read_huffman(bytes) } else { bytes.to_vec() };
    String::from_utf8(bytes).expect("a field in UTF-8")
}

/// The code is canonical: the codes of one length follow each other in the order of their symbols, and go on from twice
/// the last of the length before (RFC 7541, Appendix B).
fn read_huffman(bytes: &[u8]) -> Vec<u8> {
    let mut bits = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| usize::from(byte >> bit & 1)));
    let mut text = Vec::new();
    'symbols: loop {
        let (mut code, mut read, mut first, mut padding) = (0, 0, 0, true);
        for (length, symbols) in HUFFMAN {
            while read < length {
                let Some(bit) = bits.next() else {
                    assert!(padding && read < 8, "the padding is not of ones (RFC 7541 §5.2)");
                    return text;
                };
                (code, read, first, padding) = (code * 2 + bit, read + 1, first * 2, padding && bit == 1);
            }
            if let Some(symbol) = symbols.as_bytes().get(code - first) {
                text.push(*symbol);
                continue 'symbols;
            }
            first += symbols.len();
        }
        panic!("a code that is for no printable character");
    }
}

/// Lengths of codes, each with its symbols; all that are printable, of which `\` is the first of its length.
const HUFFMAN: [(usize, &str); 11] = [
    (5, "012aceiost"),
    (6, " %-./3456789=A_bdfghlmnpru"),
    (7, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, "&*,;XZ"),
    (10, "!\"()?"),
    (11, "'+|"),
    (12, "#>"),
    (13, "\0$@[]~"),
    (14, "^}"),
    (15, "<`{"),
    (19, "\\"),
];

/// The static table (RFC 7541, Appendix A); index 1 is the first.
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];
