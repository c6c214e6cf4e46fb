//! What holds for every input: no panic, no matter how it is cut, and never a byte more than the framing says.

#![allow(clippy::expect_used, clippy::panic, reason = "what supports a test fails as a test does")]

mod support;

use http1::{Authority, Limits, Target, request_line};
use proptest::prelude::*;
use support::{Driver, Event, reference_chunked, run};

/// Pieces of messages, good and bad, that random bytes would never hit upon.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&'static [u8]> = vec![
        b"GET / HTTP/1.1\r\n",
        b"POST /a?b HTTP/1.1\r\n",
        b"HEAD * HTTP/1.0\r\n",
        b"Host: a\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: keep-alive\r\n",
        b"Connection: close\r\n",
        b"Expect: 100-continue\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b"abc",
        b"3\r\nabc\r\n",
        b"2;a=\"b\"\r\nxy\r\n",
        b"0\r\n\r\n",
        b"0\r\nX: y\r\n\r\n",
        b"0\r\nX: y\r\n",
    ];
    prop_oneof![
        12 => prop::sample::select(known).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..8),
    ]
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(fragment(), 0..24).prop_map(|parts| parts.concat())
}

/// Small limits, so that short inputs pass them.
fn small() -> Limits {
    Limits { request_line: 20, head: 80, fields: 3, chunk_overhead: 24, trailers: 20, trailer_fields: 1 }
}

/// Checks every event against an independent reading of the same bytes.
fn check_consumed(input: &[u8], events: &[Event]) {
    let mut at = 0;
    for event in events {
        let rest = &input[at..];
        at += match event {
            Event::Head { consumed, start, .. } => {
                let empty = rest[*start..].windows(4).position(|four| four == b"\r\n\r\n").expect("an end");
                assert_eq!(*consumed, start + empty + 4, "a head ends at its first empty line");
                *consumed
            }
            Event::Body { payload, consumed } => {
                let exact = payload.len() == *consumed && rest.starts_with(payload);
                let chunked = || reference_chunked(rest) == Some((payload.clone(), *consumed));
                assert!(exact || chunked(), "a body is as long as its framing says");
                *consumed
            }
            Event::Error { .. } | Event::Closed => 0,
        };
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn h1_4_any_split_gives_the_same_events(
        input in message(),
        mut cuts in prop::collection::vec(0_usize..200, 0..12),
        tight in any::<bool>(),
    ) {
        let limits = || if tight { small() } else { Limits::default() };
        let whole = run(Driver::new(limits()), &input, &[]);
        cuts.sort_unstable();
        prop_assert_eq!(&run(Driver::new(limits()), &input, &cuts), &whole);
        let single: Vec<usize> = (0..input.len()).collect();
        prop_assert_eq!(&run(Driver::new(limits()), &input, &single), &whole);
        check_consumed(&input, &whole.0);
    }

    #[test]
    fn h1_4_random_bytes_never_panic(input in prop::collection::vec(any::<u8>(), 0..200)) {
        run(Driver::new(Limits::default()), &input, &[]);
        let head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        run(Driver::after_head(head, small()), &input, &[]);
        let _ = (Target::parse(&input), Authority::parse(&input), request_line(&input));
    }

    #[test]
    fn h1_4_whatever_is_chunked_comes_back(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..80), 0..12),
    ) {
        let mut coded = Vec::new();
        for chunk in &chunks {
            http1::chunk_head(&mut coded, chunk.len());
            coded.extend_from_slice(chunk);
            coded.extend_from_slice(http1::CHUNK_END);
        }
        coded.extend_from_slice(http1::LAST_CHUNK);
        let head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let (events, consumed) = run(Driver::after_head(head, Limits::default()), &coded, &[]);
        prop_assert_eq!(consumed, Some(coded.len()));
        prop_assert_eq!(&events[0], &Event::Body { payload: chunks.concat(), consumed: coded.len() });
    }

    #[test]
    fn h1_7_a_target_is_its_parts(target in "(/|\\*|https?://)[!-~]{0,40}") {
        let again = match Target::parse(target.as_bytes()) {
            Ok(Target::Origin { path, query }) => join(&[path], query),
            Ok(Target::Absolute { scheme, authority, path, query }) => {
                let whole = join(&[scheme, b"://", authority, path], query);
                // The one path that is not in the input: `/` for an empty one.
                if whole.len() > target.len() { join(&[scheme, b"://", authority], query) } else { whole }
            }
            Ok(Target::Asterisk) => b"*".to_vec(),
            Err(_) => return Ok(()),
        };
        prop_assert_eq!(again, target.as_bytes());
    }
}

fn join(parts: &[&[u8]], query: Option<&[u8]>) -> Vec<u8> {
    let mut whole = parts.concat();
    if let Some(query) = query {
        whole.push(b'?');
        whole.extend_from_slice(query);
    }
    whole
}

/// The whole of a conversation, cut in two at every place.
#[test]
fn h1_4_shotgun() {
    let input = b"\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n\
        POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world\
        POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;x=\"y\"\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n\
        PUT /d HTTP/1.1\r\nContent-Length: 0\r\n\r\n\r\n\
        GET /e HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /f HTTP/1.0\r\n\r\nGET /never HTTP/1.1\r\n\r\n";
    let (events, consumed) = run(Driver::new(Limits::default()), input, &[]);
    assert_eq!(events.len(), 6 + 3 + 1, "six heads, three bodies, the end: {events:?}");
    assert_eq!(consumed, Some(input.len() - b"GET /never HTTP/1.1\r\n\r\n".len()));
    check_consumed(input, &events);
    for cut in 0..=input.len() {
        assert_eq!(run(Driver::new(Limits::default()), input, &[cut]).0, events, "cut at {cut}");
    }
}

/// What was scanned is not looked at again. The proof breaks the contract on purpose: behind the scan
/// every byte turns into a line feed, which would be refused on sight.
#[test]
fn row_a12_h1_5_a_slow_drip_is_scanned_once() {
    let head = [b"GET / HTTP/1.1\r\nX: ".as_slice(), &[b'a'; 8000]].concat();
    let limits = Limits::default();
    let mut connection = http1::Connection::new();
    for end in 1..=head.len() {
        let mut input = head[..end].to_vec();
        if end > b"GET / HTTP/1.1\r\n".len() {
            input[..end - 1].fill(b'\n');
        }
        let mut storage = http1::FieldStorage::new();
        assert!(matches!(connection.read_head(&input, &mut storage, &limits), Ok(None)), "at byte {end}");
    }
}

/// The storage bounds the limit: a configuration of more must refuse the field that has no room, not lose it.
#[test]
fn h1_5_fields_never_outgrow_their_storage() {
    let limits = Limits { fields: 1000, head: 1 << 16, ..Limits::default() };
    let with =
        |fields: usize| [b"GET / HTTP/1.1\r\n".to_vec(), b"a:\r\n".repeat(fields), b"\r\n".to_vec()].concat();
    let full = run(Driver::new(limits.clone()), &with(http1::MAX_FIELDS), &[]).0;
    assert!(matches!(&full[..], [Event::Head { fields, .. }] if fields.len() == http1::MAX_FIELDS));
    let over = run(Driver::new(limits), &with(http1::MAX_FIELDS + 1), &[]).0;
    assert!(matches!(over[..], [Event::Error { kind: http1::ErrorKind::TooManyFields, .. }]));
}
