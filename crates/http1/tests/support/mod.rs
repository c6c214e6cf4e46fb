//! What the tests, and the fuzz targets, share: vectors as data, and a driver that feeds a connection in pieces.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support: each user takes a part"
)]

use http1::{
    Answer, AnswerBody, BodyEvent, BodyLength, Connection, ErrorKind, Expect, FieldStorage, Limits, Next,
    Version,
};

/// A line of a vector file: `name | input | expected`.
pub struct Vector {
    pub name: String,
    pub input: Vec<u8>,
    pub expected: String,
}

/// Reads a vector file. Empty lines and those that begin with `#` are comments.
///
/// In the input, `\r \n \t \0 \s \p \\` stand for CR, LF, TAB, NUL, space, `|` and backslash, `\xHH` for a byte, and
/// `{text*3}` for a repetition.
pub fn load(text: &str) -> Vec<Vector> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let vectors: Vec<Vector> = lines
        .map(|line| {
            let parts: Vec<&str> = line.splitn(3, '|').map(str::trim).collect();
            let [name, input, expected] = parts[..] else { panic!("not three parts: {line}") };
            Vector { name: name.into(), input: unescape(input), expected: expected.into() }
        })
        .collect();
    let mut names: Vec<&str> = vectors.iter().map(|vector| vector.name.as_str()).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "a name is used twice");
    vectors
}

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        match first {
            '\\' => {
                let escape = rest.chars().next().expect("an escape");
                rest = &rest[1..];
                match escape {
                    'r' => bytes.push(b'\r'),
                    'n' => bytes.push(b'\n'),
                    't' => bytes.push(b'\t'),
                    '0' => bytes.push(0),
                    's' => bytes.push(b' '),
                    'p' => bytes.push(b'|'),
                    '\\' => bytes.push(b'\\'),
                    'x' => {
                        bytes.push(u8::from_str_radix(&rest[..2], 16).expect("two digits"));
                        rest = &rest[2..];
                    }
                    other => panic!("no such escape: {other}"),
                }
            }
            '{' => {
                let (inner, after) = rest.split_once('}').expect("a closing brace");
                let (unit, count) = inner.rsplit_once('*').expect("a repetition");
                bytes.extend(unescape(unit).repeat(count.parse().expect("a number")));
                rest = after;
            }
            other => bytes.extend(other.to_string().bytes()),
        }
    }
    bytes
}

/// What a connection reported, free of how its bytes were cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Head {
        method: String,
        target: Vec<u8>,
        version: Version,
        fields: Vec<(String, Vec<u8>)>,
        body: BodyLength,
        expect: Expect,
        persistent: bool,
        start: usize,
        consumed: usize,
    },
    /// A whole body: its payload, and the bytes of input it took.
    Body {
        payload: Vec<u8>,
        consumed: usize,
    },
    /// The place counts from the first byte ever fed.
    Error {
        kind: ErrorKind,
        at: usize,
        detail: &'static str,
    },
    Closed,
}

/// A server that reads every body and answers every request with 200.
pub struct Driver {
    pub connection: Connection,
    pub limits: Limits,
    pub events: Vec<Event>,
    buffer: Vec<u8>,
    /// Bytes consumed and dropped from the buffer.
    pub consumed: usize,
    place: Place,
}

enum Place {
    Head,
    Body { payload: Vec<u8>, consumed: usize },
    Over,
}

impl Driver {
    pub fn new(limits: Limits) -> Self {
        let connection = Connection::new();
        Self { connection, limits, events: Vec::new(), buffer: Vec::new(), consumed: 0, place: Place::Head }
    }

    /// Starts in the middle: with the body that `head` announces.
    pub fn after_head(head: &[u8], limits: Limits) -> Self {
        let mut driver = Self::new(limits);
        driver.feed(head);
        assert!(matches!(driver.events[..], [Event::Head { .. }]), "{:?}", driver.events);
        driver.events.clear();
        driver.consumed = 0;
        driver
    }

    /// Takes the next piece as far as it goes.
    pub fn feed(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
        while self.step() {}
    }

    /// False when more input is needed, or nothing more can happen.
    fn step(&mut self) -> bool {
        match &self.place {
            Place::Head => self.step_head(),
            Place::Body { .. } => self.step_body(),
            Place::Over => false,
        }
    }

    fn step_head(&mut self) -> bool {
        let mut storage = FieldStorage::new();
        let event = match self.connection.read_head(&self.buffer, &mut storage, &self.limits) {
            Ok(None) => return false,
            Err(error) => return self.fail(error),
            Ok(Some(head)) => Event::Head {
                method: head.method.into(),
                target: head.target.into(),
                version: head.version,
                fields: head.fields.iter().map(|field| (field.name.into(), field.value.into())).collect(),
                body: head.body,
                expect: head.expect,
                persistent: head.persistent,
                start: head.start,
                consumed: head.consumed,
            },
        };
        let Event::Head { body, consumed, .. } = &event else { return false };
        let (has_body, consumed) = (*body != BodyLength::None, *consumed);
        self.events.push(event);
        self.take(consumed);
        if has_body {
            self.place = Place::Body { payload: Vec::new(), consumed: 0 };
        } else {
            self.answer();
        }
        true
    }

    fn step_body(&mut self) -> bool {
        let event = match self.connection.read_body(&self.buffer, &self.limits) {
            Ok(event) => event,
            Err(error) => return self.fail(error),
        };
        let Place::Body { payload, consumed } = &mut self.place else { return false };
        *consumed += event.consumed();
        if let BodyEvent::Data { skip, len } = event {
            assert!(len > 0, "an empty piece of data");
            payload.extend_from_slice(&self.buffer[skip..skip + len]);
        }
        let finished = match event {
            BodyEvent::End { .. } => {
                Some(Event::Body { payload: std::mem::take(payload), consumed: *consumed })
            }
            _ => None,
        };
        self.take(event.consumed());
        if let Some(body) = finished {
            assert!(self.connection.body_finished());
            self.events.push(body);
            self.answer();
            return true;
        }
        matches!(event, BodyEvent::Data { .. })
    }

    fn answer(&mut self) {
        let body = AnswerBody::None;
        let answer = Answer { status: 200, fields: &[], body, close: false, keep_alive: b"" };
        let sent = self.connection.answer(&mut Vec::new(), &answer);
        let next = self.connection.after_answer();
        assert_eq!(next, if sent.persistent { Next::Head } else { Next::Close });
        self.place = if sent.persistent { Place::Head } else { Place::Over };
        if !sent.persistent {
            self.events.push(Event::Closed);
        }
    }

    fn fail(&mut self, error: http1::Error) -> bool {
        assert!(error.at() <= self.buffer.len(), "{error} lies outside of {} bytes", self.buffer.len());
        let at = self.consumed + error.at();
        self.events.push(Event::Error { kind: error.kind(), at, detail: error.detail() });
        let answer = Answer {
            status: error.status(),
            fields: &[],
            body: AnswerBody::None,
            close: false,
            keep_alive: b"",
        };
        assert!(!self.connection.answer(&mut Vec::new(), &answer).persistent, "persistent after an error");
        assert_eq!(self.connection.after_answer(), Next::Close);
        self.place = Place::Over;
        false
    }

    fn take(&mut self, count: usize) {
        self.buffer.drain(..count);
        self.consumed += count;
    }
}

/// Feeds `input` in the pieces that `cuts` make of it: the events, and the bytes consumed unless it failed.
pub fn run(mut driver: Driver, input: &[u8], cuts: &[usize]) -> (Vec<Event>, Option<usize>) {
    let mut from = 0;
    for &cut in cuts.iter().chain([&input.len()]) {
        let to = cut.clamp(from, input.len());
        driver.feed(&input[from..to]);
        from = to;
    }
    let failed = matches!(driver.events.last(), Some(Event::Error { .. }));
    (driver.events, (!failed).then_some(driver.consumed))
}

/// An independent reading of a chunked body, whole and lenient: its payload, and its length with framing.
pub fn reference_chunked(input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let line_end =
        |from: usize| input[from..].windows(2).position(|two| two == b"\r\n").map(|found| from + found);
    let (mut payload, mut at) = (Vec::new(), 0);
    loop {
        let end = line_end(at)?;
        let digits = input[at..end].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let size = usize::from_str_radix(std::str::from_utf8(&input[at..at + digits]).ok()?, 16).ok()?;
        at = end + 2;
        if size == 0 {
            break;
        }
        payload.extend_from_slice(input.get(at..at.checked_add(size)?)?);
        at += size + 2;
    }
    loop {
        let end = line_end(at)?;
        let empty = end == at;
        at = end + 2;
        if empty {
            return Some((payload, at));
        }
    }
}
