//! Ranges: what is answered is, byte for byte, what the members of the list ask for, and never more than the file.
//!
//! The first byte of the input chooses the size of the file; the rest is the value of a `Range` field.

#![no_main]

use std::collections::BTreeSet;
use std::ops::Range;

use libfuzzer_sys::fuzz_target;
use tidegate::http::multipart::{Envelope, content_range};
use tidegate::http::range::{Asked, MAX_PARTS, parse};

/// A file of up to so many bytes is modelled byte by byte.
const SMALL: u64 = 40;

/// Sizes at which arithmetic could slip.
const SIZES: [u64; 5] = [4096, u32::MAX as u64, i64::MAX as u64, u64::MAX - 1, u64::MAX];

fuzz_target!(|data: &[u8]| fuzz::timely(data, check));

fn check(data: &[u8]) {
    let Some((&first, value)) = data.split_first() else { return };
    let small = u64::from(first);
    let size = if small <= SMALL { small } else { SIZES[usize::from(first) % SIZES.len()] };
    let asked = parse(value, size);
    assert_eq!(asked, parse(&value.to_ascii_uppercase(), size));
    let parts = match &asked {
        Asked::Whole | Asked::Nothing => &[],
        Asked::Part(part) => std::slice::from_ref(part),
        Asked::Parts(parts) => {
            assert!((2..=MAX_PARTS).contains(&parts.len()));
            parts.as_slice()
        }
    };
    if !parts.is_empty() {
        sound(parts, size);
        again(parts, &asked, size);
    }
    if size <= SMALL {
        assert_eq!(answered(&asked, size), by_bytes(value, size), "{asked:?}");
    }
}

/// Parts are within the file, have bytes between them, and together are no more than the file.
fn sound(parts: &[Range<u64>], size: u64) {
    let mut sorted = parts.to_vec();
    sorted.sort_by_key(|part| part.start);
    assert!(sorted.iter().all(|part| part.start < part.end && part.end <= size));
    assert!(sorted.windows(2).all(|two| two[0].end < two[1].start), "parts neither overlap nor touch");
    let sum = parts.iter().map(|part| part.end - part.start).sum::<u64>();
    assert!(sum <= size);
    // Of that size no file exists, and with what stands around the parts the sum has no name.
    if size < i64::MAX as u64 {
        let envelope = Envelope::new("B", "a/b", size, parts);
        let around: usize = envelope.heads.iter().chain([&envelope.end]).map(Vec::len).sum();
        assert_eq!((envelope.length, envelope.heads.len()), (around as u64 + sum, parts.len()));
        let told = |(head, part): (&Vec<u8>, _)| {
            head.ends_with(format!("{}\r\n", content_range(part, size)).as_bytes())
        };
        assert!(envelope.heads.iter().zip(parts).all(told));
    }
}

/// What is answered, asked for again, is answered the same.
fn again(parts: &[Range<u64>], asked: &Asked, size: u64) {
    let members: Vec<_> = parts.iter().map(|part| format!("{}-{}", part.start, part.end - 1)).collect();
    assert_eq!(&parse(format!("bytes={}", members.join(",")).as_bytes(), size), asked);
}

/// The bytes of an answer; `None` where the field is ignored.
fn answered(asked: &Asked, size: u64) -> Option<BTreeSet<u64>> {
    match asked {
        Asked::Whole => None,
        Asked::Nothing => Some(BTreeSet::new()),
        // One range that is the whole file stays a part.
        Asked::Part(part) => Some(part.clone().collect()),
        Asked::Parts(parts) => {
            Some(parts.iter().flat_map(|part| part.clone().filter(|at| *at < size)).collect())
        }
    }
}

/// RFC 9110 §14.1.2 and §14.2 with SPEC FILE-5: the bytes that the members name, one by one.
fn by_bytes(value: &[u8], size: u64) -> Option<BTreeSet<u64>> {
    let text = str::from_utf8(value).ok()?;
    let (unit, list) = text.split_once('=')?;
    let members: Vec<&str> = list.split(',').map(|member| member.trim_matches(BLANK)).collect();
    let named: Vec<&str> = members.iter().copied().filter(|member| !member.is_empty()).collect();
    if !unit.eq_ignore_ascii_case("bytes") || members.len() > MAX_PARTS || named.is_empty() {
        return None;
    }
    let mut bytes = BTreeSet::new();
    for member in &named {
        bytes.extend(of_member(member, size)?);
    }
    // Several that are all of the file are the file.
    let whole = named.len() > 1 && size > 0 && bytes.len() as u64 == size;
    (!whole).then_some(bytes)
}

/// The bytes of one member of the list; `None` where it is malformed.
fn of_member(member: &str, size: u64) -> Option<Vec<u64>> {
    let (first, last) = member.split_once('-')?;
    let holds: Box<dyn Fn(u128) -> bool> = match (first, last) {
        ("", suffix) => {
            let suffix = number(suffix)?;
            if size == 0 && suffix > 0 {
                return None;
            }
            Box::new(move |at| at + suffix >= u128::from(size))
        }
        (first, "") => {
            let first = number(first)?;
            Box::new(move |at| at >= first)
        }
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            Box::new(move |at| (first..=last).contains(&at))
        }
    };
    Some((0..size).filter(|at| holds(u128::from(*at))).collect())
}

/// A number. Allowed: what is beyond 64 bits is as good as the largest that is not, also where the two ends of a range
/// are compared.
fn number(digits: &str) -> Option<u128> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u128::MAX).min(u64::MAX.into()))
}

/// What is trimmed around a member. In a head there are none of these but space and tab.
const BLANK: [char; 5] = [' ', '\t', '\n', '\r', '\x0c'];
