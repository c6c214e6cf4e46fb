//! Chunked bodies: however they are cut the payload is the same, and what is accepted is what the grammar accepts.

#![no_main]

#[path = "../../crates/http1/tests/support/mod.rs"]
mod support;

use http1::Limits;
use libfuzzer_sys::fuzz_target;
use support::{Driver, Event, run};

const HEAD: &[u8] = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";

/// Small limits, so that short inputs pass them.
fn small() -> Limits {
    Limits { chunk_overhead: 40, trailers: 24, trailer_fields: 2, ..Limits::default() }
}

/// None, so that the grammar alone decides.
fn none() -> Limits {
    Limits { chunk_overhead: u64::MAX, trailers: usize::MAX, trailer_fields: usize::MAX, ..Limits::default() }
}

fuzz_target!(|input: &[u8]| fuzz::timely(input, check));

fn check(input: &[u8]) {
    let body = read(input, small());
    let unlimited = read(input, none());
    assert!(body.is_none() || body == unlimited, "a limit changes what a body is");
    assert_eq!(unlimited, by_the_grammar(input));
}

/// The payload and its length with framing, in one piece and byte by byte; `None` where there is no whole body.
fn read(input: &[u8], limits: Limits) -> Option<(Vec<u8>, usize)> {
    let whole = run(Driver::after_head(HEAD, limits.clone()), input, &[]);
    let single: Vec<usize> = (0..input.len()).collect();
    assert_eq!(run(Driver::after_head(HEAD, limits), input, &single), whole);
    match whole.0.into_iter().next() {
        Some(Event::Body { payload, consumed }) => Some((payload, consumed)),
        _ => None,
    }
}

/// RFC 9112 §7.1, read piece by piece over a whole body; `None` where it is none.
fn by_the_grammar(input: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut payload, mut announced) = (Vec::new(), 0_u64);
    let mut rest = input;
    loop {
        let size;
        (size, rest) = size_line(rest)?;
        announced = announced.checked_add(size).filter(|&sum| sum < 1 << 63)?;
        if size == 0 {
            break;
        }
        let (data, after) = rest.split_at_checked(usize::try_from(size).ok()?)?;
        payload.extend_from_slice(data);
        rest = after.strip_prefix(b"\r\n")?;
    }
    loop {
        let line;
        (line, rest) = line_of(rest)?;
        if line.is_empty() {
            return Some((payload, input.len() - rest.len()));
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        if name.is_empty() || !name.iter().all(is_tchar) || !value.iter().all(is_text) {
            return None;
        }
    }
}

/// A line without its CRLF, and what follows.
fn line_of(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = input.windows(2).position(|two| two == b"\r\n")?;
    Some((&input[..end], &input[end + 2..]))
}

/// `chunk-size [ chunk-ext ] CRLF`, of at most 16 digits.
fn size_line(input: &[u8]) -> Option<(u64, &[u8])> {
    let (line, rest) = line_of(input)?;
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, mut extensions) = line.split_at(digits);
    while !extensions.is_empty() {
        extensions = extension(extensions)?;
    }
    let size = if digits <= 16 { str::from_utf8(size).ok()? } else { "" };
    Some((u64::from_str_radix(size, 16).ok()?, rest))
}

/// Takes `BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ]` off the front of `text` (§7.1.1).
fn extension(text: &[u8]) -> Option<&[u8]> {
    let text = past_blanks(past_blanks(text).strip_prefix(b";")?);
    let name = text.iter().take_while(|byte| is_tchar(byte)).count();
    let after = &text[name..];
    if name == 0 {
        return None;
    }
    let Some(value) = past_blanks(after).strip_prefix(b"=") else { return Some(after) };
    let value = past_blanks(value);
    match value.strip_prefix(b"\"") {
        Some(quoted) => past_quoted(quoted),
        None => {
            let token = value.iter().take_while(|byte| is_tchar(byte)).count();
            (token > 0).then_some(&value[token..])
        }
    }
}

/// What stands behind the closing quote.
fn past_quoted(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        match text {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', byte, rest @ ..] if is_text(byte) => text = rest,
            [byte, rest @ ..] if *byte != b'\\' && is_text(byte) => text = rest,
            _ => return None,
        }
    }
}

fn past_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    &text[blanks..]
}

fn is_tchar(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

/// What a value or a quoted string may hold.
fn is_text(byte: &u8) -> bool {
    !byte.is_ascii_control() || *byte == b'\t'
}
