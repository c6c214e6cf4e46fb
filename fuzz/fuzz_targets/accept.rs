//! Preferences and ranges: letter case changes nothing, and what is answered is made of what is there.
//!
//! The first byte of the input is the size of the file; the rest is the lines of a field, read as each of
//! `Accept-Encoding`, `Accept` and `Range`.

#![no_main]

// The two modules stand alone, so that the whole server need not be built with a sanitizer.
#[allow(dead_code)]
#[path = "../../crates/tidegate/src/http/negotiate.rs"]
mod negotiate;
#[path = "../../crates/tidegate/src/http/range.rs"]
mod range;

use libfuzzer_sys::fuzz_target;
use negotiate::{Accepted, Coding, names_html, prefers_json};
use range::{Asked, MAX_PARTS, parse};

fuzz_target!(|data: &[u8]| {
    let Some((&size, field)) = data.split_first() else { return };
    preferences(field, &field.to_ascii_uppercase());
    field.split(|byte| *byte == b'\n').for_each(|value| ranges(value, size.into()));
});

fn preferences(field: &[u8], shouted: &[u8]) {
    let lines = |field| <[u8]>::split(field, |byte| *byte == b'\n');
    let accepted = Accepted::of(lines(field));
    assert_eq!(accepted, Accepted::of(lines(shouted)));
    assert_eq!(prefers_json(lines(field)), prefers_json(lines(shouted)));
    assert_eq!(names_html(lines(field)), names_html(lines(shouted)));

    let ranked: Vec<Coding> = accepted.ranked().collect();
    assert!(ranked.iter().enumerate().all(|(index, coding)| !ranked[..index].contains(coding)));
    // A coding is sent only where it was mentioned.
    let holds = |token: &str| shouted.windows(token.len()).any(|window| window == token.as_bytes());
    assert!(holds("*") || ranked.iter().all(|coding| holds(&coding.token().to_uppercase())));
}

fn ranges(value: &[u8], size: u64) {
    let asked = parse(value, size);
    assert_eq!(asked, parse(&value.to_ascii_uppercase(), size));
    let parts = match &asked {
        Asked::Whole | Asked::Nothing => return,
        Asked::Part(part) => std::slice::from_ref(part),
        Asked::Parts(parts) => {
            assert!((2..=MAX_PARTS).contains(&parts.len()));
            parts
        }
    };
    let mut sorted = parts.to_vec();
    sorted.sort_by_key(|part| part.start);
    assert!(sorted.iter().all(|part| part.start < part.end && part.end <= size));
    assert!(sorted.windows(2).all(|two| two[0].end < two[1].start), "parts neither overlap nor touch");
    // What is answered, asked for again, is answered the same.
    let again: Vec<_> = parts.iter().map(|part| format!("{}-{}", part.start, part.end - 1)).collect();
    assert_eq!(parse(format!("bytes={}", again.join(",")).as_bytes(), size), asked);
}
