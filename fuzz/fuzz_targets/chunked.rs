//! Chunked bodies: however they are cut, the payload is the same, and an independent reading agrees on its length.

#![no_main]

#[path = "../../crates/http1/tests/support/mod.rs"]
mod support;

use http1::Limits;
use libfuzzer_sys::fuzz_target;
use support::{Driver, Event, reference_chunked, run};

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";

/// Small limits, so that short inputs pass them.
fn limits() -> Limits {
    Limits { chunk_overhead: 40, trailers: 24, trailer_fields: 2, ..Limits::default() }
}

fuzz_target!(|input: &[u8]| {
    let whole = run(Driver::after_head(HEAD, limits()), input, &[]);
    let single: Vec<usize> = (0..input.len()).collect();
    assert_eq!(run(Driver::after_head(HEAD, limits()), input, &single), whole);
    if let [Event::Body { payload, consumed }, ..] = &whole.0[..] {
        assert_eq!(reference_chunked(input), Some((payload.clone(), *consumed)));
    }
});
