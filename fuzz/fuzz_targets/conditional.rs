//! Preconditions: the outcome is that of RFC 9110 §13.2.2 over the fields as they stand, read by their grammar; and
//! each form of a date reads back as the time it was written of.
//!
//! The first byte of the input chooses the time of the last change; each line of the rest is a field, its name chosen
//! by its first byte.

#![no_main]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::{fmt_http_date, parse_http_date};
use libfuzzer_sys::fuzz_target;
use tidegate::http::conditional::{Outcome, evaluate, range_applies};

const NAMES: [&str; 5] =
    ["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"];

/// The tag of the file.
const TAG: &str = "\"0123456789abcdef\"";

/// Sun, 06 Nov 1994 08:49:37 GMT, the time of RFC 9110 §5.6.7.
const CHANGED: u64 = 784_111_777;

/// The last second that an HTTP date can name.
const LAST: u64 = 253_402_300_799;

fuzz_target!(|data: &[u8]| fuzz::timely(data, check));

fn check(data: &[u8]) {
    let Some((&first, rest)) = data.split_first() else { return };
    let fields: Vec<_> = rest.split(|byte| *byte == b'\n').filter_map(field).collect();
    let lines = fields.iter().flat_map(|(name, value)| [name.as_bytes(), b": ", value, b"\r\n"].concat());
    let head = [b"GET / HTTP/1.1\r\n", &lines.collect::<Vec<u8>>()[..], b"\r\n"].concat();
    let changed = UNIX_EPOCH + Duration::from_secs(CHANGED + u64::from(first % 3) - 1);
    let now = changed + Duration::from_millis(u64::from(first) * 10);
    let asked = fuzz::ask(&head, |request| {
        (evaluate(request, TAG, changed), range_applies(request, TAG, changed, now))
    });
    let Some((outcome, ranged)) = asked else { return };
    let fields = Fields(fields);
    if let Some(expected) = fields.outcome(changed) {
        assert_eq!(outcome, expected);
    }
    assert_eq!(ranged, fields.range_applies(changed, now));
    written(rest);
}

fn field(line: &[u8]) -> Option<(&'static str, &[u8])> {
    let (first, value) = line.split_first()?;
    Some((NAMES[usize::from(*first) % NAMES.len()], value))
}

struct Fields<'a>(Vec<(&'static str, &'a [u8])>);

impl Fields<'_> {
    /// RFC 9110 §13.2.2 for a GET of a file that is there; `None` where a list breaks its grammar, of which the RFC
    /// says nothing.
    fn outcome(&self, changed: SystemTime) -> Option<Outcome> {
        let since = |name| self.date(name);
        // Steps 1 and 2.
        match self.tags("If-Match") {
            Tags::Absent if since("If-Unmodified-Since").is_some_and(|since| changed > since) => {
                return Some(Outcome::Failed);
            }
            Tags::Absent => {}
            tags if !tags.hold(false)? => return Some(Outcome::Failed),
            _ => {}
        }
        // Steps 3 and 4.
        match self.tags("If-None-Match") {
            Tags::Absent if since("If-Modified-Since").is_some_and(|since| changed <= since) => {
                Some(Outcome::NotModified)
            }
            Tags::Absent => Some(Outcome::Proceed),
            tags => Some(if tags.hold(true)? { Outcome::NotModified } else { Outcome::Proceed }),
        }
    }

    /// RFC 9110 §13.1.5: the very same strong validator.
    fn range_applies(&self, changed: SystemTime, now: SystemTime) -> bool {
        let strong = now >= changed + Duration::from_secs(1);
        match self.values("If-Range")[..] {
            [] => true,
            [value] if value.starts_with('"') => value == TAG,
            [value] => strong && date(value) == Some(changed),
            _ => false,
        }
    }

    fn values(&self, wanted: &str) -> Vec<&str> {
        let ours = self.0.iter().filter(|(name, _)| *name == wanted);
        // What is not UTF-8 is neither a date nor our tag.
        ours.map(|(_, value)| str::from_utf8(value).unwrap_or("\u{fffd}").trim_matches([' ', '\t'])).collect()
    }

    /// A date that is given once; any other is ignored (§13.1.3).
    fn date(&self, name: &str) -> Option<SystemTime> {
        if let [value] = self.values(name)[..] { date(value) } else { None }
    }

    fn tags(&self, name: &str) -> Tags {
        match &self.values(name)[..] {
            [] => Tags::Absent,
            ["*"] => Tags::Any,
            lines => lines
                .iter()
                .map(|line| tags(line))
                .collect::<Option<Vec<_>>>()
                .map_or(Tags::Malformed, |tags| Tags::List(tags.concat())),
        }
    }
}

enum Tags {
    Absent,
    Any,
    List(Vec<String>),
    Malformed,
}

impl Tags {
    /// Whether ours is among them, by weak or by strong comparison (§8.8.3.2); ours is strong.
    fn hold(&self, weak: bool) -> Option<bool> {
        match self {
            Self::Absent | Self::Malformed => None,
            Self::Any => Some(true),
            Self::List(tags) => {
                Some(tags.iter().any(|tag| tag == TAG || weak && tag.strip_prefix("W/") == Some(TAG)))
            }
        }
    }
}

/// `#entity-tag` (§5.6.1, §8.8.3): an opaque tag may hold a comma, and no quote.
fn tags(list: &str) -> Option<Vec<String>> {
    let mut tags = Vec::new();
    let mut rest = list.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let bare = rest.strip_prefix("W/").unwrap_or(rest);
        let length = bare.strip_prefix('"')?.find('"')? + 2;
        let (tag, after) = rest.split_at(rest.len() - bare.len() + length);
        if bare[..length].chars().any(|letter| matches!(letter, '\0'..=' ' | '\x7f')) {
            return None;
        }
        tags.push(tag.to_owned());
        let after = after.trim_start_matches([' ', '\t']);
        rest = after.trim_start_matches([' ', '\t', ',']);
        if !after.is_empty() && !after.starts_with(',') {
            return None;
        }
    }
    Some(tags)
}

/// A date in one of the three forms of §5.6.7, which it is exactly: its week day is that of its day, and the day is one
/// of its month.
fn date(text: &str) -> Option<SystemTime> {
    let time = parse_http_date(text).ok()?;
    let [fixed, older, oldest] = forms(time);
    // Allowed: httpdate overlooks the byte before the clock of RFC 850, and a zero in place of asctime's second space.
    // The time is no other.
    let forgiven = |form: &str| {
        let differ = text.bytes().zip(form.bytes()).filter(|(ours, form)| ours != form);
        text.len() == form.len() && differ.count() < 2
    };
    assert!(text == fixed || forgiven(&older) || forgiven(&oldest), "{text:?} is no date");
    Some(time)
}

/// A time reads back from each of its forms.
fn written(seed: &[u8]) {
    let mut bytes = [0; 8];
    bytes.iter_mut().zip(seed).for_each(|(byte, seed)| *byte = *seed);
    let time = UNIX_EPOCH + Duration::from_secs(u64::from_le_bytes(bytes) % (LAST + 1));
    let [fixed, older, oldest] = forms(time);
    assert!([&fixed, &oldest].into_iter().all(|form| parse_http_date(form).is_ok_and(|read| read == time)));
    // Two digits of a year name one of a hundred years, and with the week day of another it is no date.
    assert!(parse_http_date(&older).is_ok_and(|read| read == time) || !(1970..2070).contains(&year(&fixed)));
}

fn year(fixed: &str) -> u32 {
    fixed[12..16].parse().unwrap_or(0)
}

/// IMF-fixdate, RFC 850 and asctime, made of the first.
fn forms(time: SystemTime) -> [String; 3] {
    const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
    let fixed = fmt_http_date(time);
    let (day, date, month, year, clock) =
        (&fixed[..3], &fixed[5..7], &fixed[8..11], &fixed[12..16], &fixed[17..25]);
    let long = DAYS.into_iter().find(|long| long.starts_with(day)).unwrap_or_default();
    let older = format!("{long}, {date}-{month}-{} {clock} GMT", &year[2..]);
    let spaced = date.strip_prefix('0').map_or(date.to_owned(), |digit| format!(" {digit}"));
    let oldest = format!("{day} {month} {spaced} {clock} {year}");
    [fixed, older, oldest]
}
