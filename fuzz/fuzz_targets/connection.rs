//! Whole connections: any cut gives the same events, and nothing is consumed but what the framing covers.
//!
//! The first byte of the input chooses where it is cut; the rest is what the peer sends.

#![no_main]

#[path = "../../crates/http1/tests/support/mod.rs"]
mod support;

use http1::{BodyLength, Limits};
use libfuzzer_sys::fuzz_target;
use support::{Driver, Event, reference_chunked, run};

fuzz_target!(|data: &[u8]| {
    let Some((&step, input)) = data.split_first() else { return };
    let (events, consumed) = run(Driver::new(Limits::default()), input, &[]);
    let cuts: Vec<usize> = (0..input.len()).step_by(usize::from(step) + 1).collect();
    assert_eq!(run(Driver::new(Limits::default()), input, &cuts), (events.clone(), consumed));

    let mut at = 0;
    let mut announced = BodyLength::None;
    for event in &events {
        at += match event {
            Event::Head { consumed, body, .. } => {
                announced = *body;
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
            Event::Error { .. } | Event::Closed => 0,
        };
    }
    assert!(consumed.is_none_or(|consumed| at <= consumed && consumed <= input.len()));
});
