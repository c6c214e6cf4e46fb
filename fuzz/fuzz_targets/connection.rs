//! Whole connections: any cut gives the same events, nothing is consumed but what the framing covers, and nothing
//! follows a request that was to be the last.
//!
//! The first byte of the input chooses where it is cut; the rest is what the peer sends.

#![no_main]

#[path = "../../crates/http1/tests/support/mod.rs"]
mod support;

use http1::{BodyLength, ErrorKind, Limits, Version};
use libfuzzer_sys::fuzz_target;
use support::{Driver, Event, reference_chunked, run};

fuzz_target!(|data: &[u8]| fuzz::timely(data, check));

fn check(data: &[u8]) {
    let Some((&step, input)) = data.split_first() else { return };
    let (events, consumed) = run(Driver::new(Limits::default()), input, &[]);
    let cuts: Vec<usize> = (0..input.len()).step_by(usize::from(step) + 1).collect();
    assert_eq!(run(Driver::new(Limits::default()), input, &cuts), (events.clone(), consumed));
    let at = covered(&events, input);
    assert!(consumed.is_none_or(|consumed| at <= consumed && consumed <= input.len()));
    ends_once(&events);
}

/// The bytes that heads and bodies took; each piece is what its framing says.
fn covered(events: &[Event], input: &[u8]) -> usize {
    let mut at = 0;
    let mut announced = BodyLength::None;
    for event in events {
        at += match event {
            Event::Head { consumed, body, .. } => {
                announced = *body;
                assert!(input[at..at + consumed].ends_with(b"\r\n\r\n"));
                *consumed
            }
            Event::Body { payload, consumed } => {
                match announced {
                    BodyLength::None => panic!("a body that was not announced"),
                    BodyLength::Exact(length) => {
                        assert_eq!((*consumed as u64, &payload[..]), (length, &input[at..at + consumed]));
                    }
                    BodyLength::Chunked => {
                        assert_eq!(reference_chunked(&input[at..]), Some((payload.clone(), *consumed)));
                    }
                }
                *consumed
            }
            Event::Error { at: place, .. } => {
                assert!((at..=input.len()).contains(place), "a fault in what was read before");
                0
            }
            Event::Closed => 0,
        };
    }
    at
}

/// A fault and a close are the last event; and a close comes exactly after a request that does not persist, which an
/// HTTP/1.0 request does only where it says so (RFC 9112 §9.3).
fn ends_once(events: &[Event]) {
    let mut persists = true;
    for (index, event) in events.iter().enumerate() {
        let is_last = index + 1 == events.len();
        match event {
            Event::Head { persistent, version, fields, .. } => {
                assert!(persists, "a request after the last one");
                persists = *persistent;
                let asks = |option: &str| asks_for(fields, option);
                let stays = if *version == Version::Http10 { asks("keep-alive") } else { true };
                assert_eq!(persists, stays && !asks("close"));
            }
            Event::Body { .. } => {}
            Event::Closed => assert!(is_last && !persists),
            Event::Error { kind, .. } => {
                assert!(is_last && (persists || *kind != ErrorKind::BadRequestLine));
            }
        }
    }
}

fn asks_for(fields: &[(String, Vec<u8>)], option: &str) -> bool {
    let lines = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
    let text = lines.map(|(_, value)| String::from_utf8_lossy(value).to_ascii_lowercase());
    text.collect::<Vec<_>>().join(",").split(',').any(|found| found.trim_matches([' ', '\t']) == option)
}
