//! Preferences: the codings are those of RFC 9110 §12.5.3 read naively, letter case and the cut into lines change
//! nothing, and a coding is sent only where it was mentioned.
//!
//! The input is the lines of a field, read as each of `Accept-Encoding` and `Accept`.

#![no_main]

use std::cmp::Reverse;

use libfuzzer_sys::fuzz_target;
use tidegate::http::negotiate::{Accepted, Coding, names_html, prefers_json};

fuzz_target!(|data: &[u8]| fuzz::timely(data, check));

fn check(field: &[u8]) {
    let lines = |field| <[u8]>::split(field, |byte| *byte == b'\n');
    let shouted = field.to_ascii_uppercase();
    let accepted = Accepted::of(lines(field));
    assert_eq!(accepted, Accepted::of(lines(&shouted)));
    assert_eq!(prefers_json(lines(field)), prefers_json(lines(&shouted)));
    assert_eq!(names_html(lines(field)), names_html(lines(&shouted)));
    let ranked: Vec<Coding> = accepted.ranked().collect();
    let holds = |token: &str| shouted.windows(token.len()).any(|window| window == token.as_bytes());
    assert!(holds("*") || ranked.iter().all(|coding| holds(&coding.token().to_uppercase())));
    assert!(!prefers_json(lines(field)) || holds("JSON") || holds("*"));
    assert!(!names_html(lines(field)) || holds("TEXT/HTML"));
    if let Some(text) = str::from_utf8(field).ok().filter(|text| !text.contains('"')) {
        let tokens: Vec<&str> = ranked.iter().map(|coding| coding.token()).collect();
        assert_eq!(tokens, by_the_rfc(text));
        let joined = field.iter().map(|&byte| if byte == b'\n' { b',' } else { byte }).collect::<Vec<u8>>();
        assert_eq!(accepted, Accepted::of([&joined[..]].into_iter()), "lines are one list");
    }
}

/// The names that count in `Accept-Encoding`, ours first, as they are preferred at equal weight.
const NAMES: [&str; 5] = ["br", "zstd", "gzip", "identity", "*"];

/// The codings that may be sent, best first, where no quoted string stands in the list.
fn by_the_rfc(text: &str) -> Vec<&'static str> {
    let mut weights = [None; NAMES.len()];
    for (name, weight) in text.split([',', '\n']).filter_map(member) {
        // The first of a name counts.
        weights[name].get_or_insert(weight);
    }
    let [br, zstd, gzip, identity, others] = weights;
    let least = identity.unwrap_or(0).max(1);
    let weights = [br, zstd, gzip].map(|weight| weight.or(others).unwrap_or(0));
    let mut ours: Vec<(u32, &str)> =
        weights.into_iter().zip(NAMES).filter(|(weight, _)| *weight >= least).collect();
    ours.sort_by_key(|(weight, _)| Reverse(*weight));
    ours.into_iter().map(|(_, name)| name).collect()
}

/// The number of a name and its weight in thousandths; `None` where the member is malformed or the name not ours.
fn member(text: &str) -> Option<(usize, u32)> {
    let mut parts = text.split(';').map(|part| part.trim_matches(BLANK));
    let (name, parameter, more) = (parts.next()?, parts.next(), parts.next());
    let name = if name.eq_ignore_ascii_case("x-gzip") { "gzip" } else { name };
    let number = NAMES.iter().position(|known| name.eq_ignore_ascii_case(known))?;
    let weight = parameter.map_or(Some(1000), thousandths)?;
    more.is_none().then_some((number, weight))
}

/// `qvalue`, §12.4.2.
fn thousandths(parameter: &str) -> Option<u32> {
    let number = parameter.strip_prefix(['q', 'Q'])?.strip_prefix('=')?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let is_number = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let weight = format!("{whole}{decimals:0<3}").parse().ok().filter(|&weight| weight <= 1000);
    weight.filter(|_| is_number && ["0", "1"].contains(&whole))
}

/// What is trimmed around a member. In a head there are none of these but space and tab.
const BLANK: [char; 5] = [' ', '\t', '\n', '\r', '\x0c'];
