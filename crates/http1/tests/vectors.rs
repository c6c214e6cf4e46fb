//! The vectors under `vectors/`: each whole, byte by byte, cut at every place, and with bytes behind it.

#![allow(clippy::expect_used, clippy::panic, reason = "what supports a test fails as a test does")]

mod support;

use http1::{Authority, BodyLength, Expect, Host, Limits, Target, Version};
use support::{Driver, Event, Vector, load, run};

/// Miri runs some hundred times slower: it sees every vector whole, and the short ones cut here and there.
const STEP: usize = if cfg!(miri) { 17 } else { 1 };

/// Where a short input is cut in two; a long one is cut near its ends, and at steps between.
fn cuts(length: usize) -> impl Iterator<Item = usize> {
    (0..=length)
        .step_by(STEP)
        .filter(move |_| !cfg!(miri) || length < 600)
        .filter(move |&cut| length < 600 || cut < 50 || length - cut < 50 || cut % 997 == 0)
}

/// Runs `input` in one piece, and demands the same events however it is cut and whatever follows it.
fn run_every_way(vector: &Vector, input: &[u8], driver: impl Fn() -> Driver) -> Vec<Event> {
    let whole = run(driver(), input, &[]);
    let name = &vector.name;
    let single: Vec<usize> = (0..input.len()).collect();
    if !cfg!(miri) || input.len() < 600 {
        assert_eq!(run(driver(), input, &single), whole, "{name}: byte by byte");
    }
    for cut in cuts(input.len()) {
        assert_eq!(run(driver(), input, &[cut]), whole, "{name}: cut at {cut}");
    }
    if vector.expected != "more" {
        for trailing in [&b"\r\n\r\n"[..], b"GET /smuggled HTTP/1.1\r\n\r\n", b"\0\n"] {
            let mut longer = input.to_vec();
            longer.extend_from_slice(trailing);
            let events = run(driver(), &longer, &[]).0;
            assert_eq!(
                events.get(..whole.0.len()),
                Some(&whole.0[..]),
                "{name}: with {trailing:?} behind it"
            );
        }
    }
    whole.0
}

/// The vector's own words for a run of events.
fn describe(events: &[Event], words: impl Fn(&Event) -> String) -> String {
    match events {
        [] => "more".to_owned(),
        [Event::Error { kind, at, .. }, ..] => format!("{} @{at}", kind.code()),
        [first, ..] => words(first),
    }
}

/// Escapes as the vector files do, so that expectations can be written in ASCII.
fn escape(bytes: &[u8]) -> String {
    let text = |&byte: &u8| match byte {
        b'\r' => "\\r".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\t' => "\\t".to_owned(),
        0 => "\\0".to_owned(),
        b' '..=b'~' => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    bytes.iter().map(text).collect()
}

/// Expands `{text*n}` in an expectation.
fn expand(expected: &str) -> String {
    let Some((before, rest)) = expected.split_once('{') else { return expected.to_owned() };
    match rest.split_once('}').and_then(|(inner, after)| Some((inner.rsplit_once('*')?, after))) {
        Some(((unit, count), after)) => {
            before.to_owned() + &unit.repeat(count.parse().expect("a number")) + &expand(after)
        }
        None => format!("{before}{{{}", expand(rest)),
    }
}

#[test]
fn h1_2_h1_4_h1_5_request_lines() {
    let vectors = load(include_str!("vectors/request_lines.txt"));
    for vector in &vectors {
        let input = [&vector.input[..], b"\r\nHost: a\r\n\r\n"].concat();
        let events = run_every_way(vector, &input, || Driver::new(Limits::default()));
        let got = describe(&events, |event| match event {
            Event::Head { method, target, version, .. } => {
                let version = if *version == Version::Http10 { "1.0" } else { "1.1" };
                format!("ok {method} {} {version}", escape(target))
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(got, expand(&vector.expected), "{}", vector.name);
    }
}

#[test]
fn h1_4_h1_5_heads() {
    for vector in &load(include_str!("vectors/heads.txt")) {
        let events = run_every_way(vector, &vector.input, || Driver::new(Limits::default()));
        let got = describe(&events, |event| match event {
            Event::Head { fields, consumed, start, .. } => {
                assert_eq!(*consumed, vector.input.len(), "{}: a head ends at its empty line", vector.name);
                assert_eq!(*start, if vector.input.starts_with(b"\r\n") { 2 } else { 0 });
                let fields: Vec<String> =
                    fields.iter().map(|(name, value)| format!("{name}={}", escape(value))).collect();
                format!("ok {}", fields.join("&"))
            }
            other => panic!("{other:?}"),
        });
        assert_eq!(got.trim_end(), expand(&vector.expected), "{}", vector.name);
    }
}

#[test]
fn h1_3_h1_4_h1_6_framing() {
    for vector in &load(include_str!("vectors/framing.txt")) {
        let (version, fields) = match vector.input.strip_prefix(b"1.0 ") {
            Some(fields) => ("1.0", fields),
            None => ("1.1", &vector.input[..]),
        };
        let mut input = format!("POST / HTTP/{version}\r\n").into_bytes();
        let mut starts = Vec::new();
        for line in split_lines(fields) {
            starts.push(input.len());
            input.extend_from_slice(&line);
            input.extend_from_slice(b"\r\n");
        }
        input.extend_from_slice(b"\r\n");
        let events = run_every_way(vector, &input, || Driver::new(Limits::default()));
        let got = match &events[0] {
            Event::Error { kind, at, .. } => {
                let line = starts.iter().position(|start| start == at).expect("a place where a field begins");
                format!("{} #{}", kind.code(), line + 1)
            }
            Event::Head { body, expect, persistent, .. } => steering(*body, *expect, *persistent),
            other => panic!("{other:?}"),
        };
        assert_eq!(got, vector.expected, "{}", vector.name);
    }
}

/// Cuts `a; b; c` at the semicolons followed by a space and a name; `\x3b` in a vector is written without one.
fn split_lines(fields: &[u8]) -> Vec<Vec<u8>> {
    let text: String = fields.iter().map(|&byte| char::from(byte)).collect();
    let mut lines: Vec<String> = Vec::new();
    for part in text.split("; ") {
        let continues = !part.contains(':');
        match lines.last_mut() {
            Some(last) if continues => *last = format!("{last}; {part}"),
            _ => lines.push(part.to_owned()),
        }
    }
    lines.iter().map(|line| line.chars().map(|c| u8::try_from(c).expect("one byte")).collect()).collect()
}

fn steering(body: BodyLength, expect: Expect, persistent: bool) -> String {
    let body = match body {
        BodyLength::None => "none".to_owned(),
        BodyLength::Exact(length) => format!("exact:{length}"),
        BodyLength::Chunked => "chunked".to_owned(),
    };
    let expect = match expect {
        Expect::None => "-",
        Expect::Continue => "continue",
        Expect::Other => "other",
    };
    format!("{body} {expect} {}", if persistent { "keep" } else { "close" })
}

#[test]
fn h1_4_chunked() {
    let head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    for vector in &load(include_str!("vectors/chunked.txt")) {
        let driver = || Driver::after_head(head, Limits::default());
        let events = run_every_way(vector, &vector.input, driver);
        let got = describe(&events, |event| match event {
            Event::Body { payload, consumed } => {
                assert_eq!(
                    *consumed,
                    vector.input.len(),
                    "{}: consumed is the framing's length",
                    vector.name
                );
                format!("ok {}", escape(payload))
            }
            other => panic!("{other:?}"),
        });
        match vector.expected.strip_suffix('~') {
            Some(start) => assert!(got.starts_with(start), "{}: {got}", vector.name),
            None => assert_eq!(got.trim_end(), expand(&vector.expected), "{}", vector.name),
        }
    }
}

#[test]
fn h1_7_targets() {
    let query = |query: Option<&[u8]>| query.map(|query| format!(" ?{}", escape(query))).unwrap_or_default();
    for vector in &load(include_str!("vectors/targets.txt")) {
        let got = match Target::parse(&vector.input) {
            Ok(Target::Origin { path, query: q }) => format!("origin {}{}", escape(path), query(q)),
            Ok(Target::Absolute { scheme, authority, path, query: q }) => {
                format!("absolute {} {} {}{}", escape(scheme), escape(authority), escape(path), query(q))
            }
            Ok(Target::Asterisk) => "asterisk".to_owned(),
            Err(bad) => {
                let word = vector.expected.strip_prefix("bad ").unwrap_or("?");
                assert!(bad.detail().contains(word), "{}: {bad}", vector.name);
                vector.expected.clone()
            }
        };
        assert_eq!(got, vector.expected, "{}", vector.name);
    }
}

#[test]
fn host_1_host_2_authorities() {
    for vector in &load(include_str!("vectors/authorities.txt")) {
        let got = match Authority::parse(&vector.input) {
            Ok(Authority { host, port }) => {
                let host = match host {
                    Host::Name(name) => format!("name {name}"),
                    Host::V4(address) => format!("v4 {address}"),
                    Host::V6(address) => format!("v6 {address}"),
                    Host::Other(text) => format!("other {text}"),
                };
                host + &port.map(|port| format!(" :{port}")).unwrap_or_default()
            }
            Err(_) => "bad".to_owned(),
        };
        assert_eq!(got, expand(&vector.expected), "{}", vector.name);
    }
}
