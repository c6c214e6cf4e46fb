//! Numbers, durations and sizes as a person writes them, and written back.
//!
//! A quantity needs its unit: `30` may mean seconds or milliseconds, so it is refused rather than guessed.
//! Only whole numbers, no spaces; the largest unit that divides exactly is the one written back.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::error::BadValue;

const DURATION_UNITS: &[(&str, u64)] = &[("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const SIZE_UNITS: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// A parser of whole numbers within `range`.
pub(super) fn number_in<N>(range: RangeInclusive<N>) -> impl Fn(&str) -> Result<N, BadValue>
where
    N: FromStr + PartialOrd + Display,
{
    move |text| {
        let digits_only = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits_only { text.parse().ok() } else { None };
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            BadValue::expected(format!("a whole number from {} to {}", range.start(), range.end()))
        })
    }
}

/// A parser of durations (`500ms`, `30s`, `5m`, `1h`) within `range`.
pub(super) fn duration_in(range: RangeInclusive<Duration>) -> impl Fn(&str) -> Result<Duration, BadValue> {
    move |text| {
        let milliseconds = quantity(text, DURATION_UNITS)
            .ok_or_else(|| BadValue::expected("a duration with its unit, like 30s (ms, s, m or h)"))?;
        let duration = Duration::from_millis(milliseconds);
        if range.contains(&duration) { Ok(duration) } else { Err(out_of_range(&range, write_duration)) }
    }
}

/// A parser of sizes (`8000B`, `8KiB`, `1MB`, …) in bytes within `range`.
pub(super) fn size_in(range: RangeInclusive<u64>) -> impl Fn(&str) -> Result<u64, BadValue> {
    move |text| {
        let bytes = quantity(text, SIZE_UNITS).ok_or_else(|| {
            BadValue::expected("a size with its unit, like 8KiB (B, KiB, MiB, GiB, KB, MB or GB)")
        })?;
        if range.contains(&bytes) { Ok(bytes) } else { Err(out_of_range(&range, |bytes| write_size(*bytes))) }
    }
}

/// The duration in the largest unit that holds it exactly; below a millisecond is cut off.
pub(super) fn write_duration(duration: &Duration) -> String {
    let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if milliseconds == 0 { "0s".to_owned() } else { write_quantity(milliseconds, DURATION_UNITS) }
}

/// The size in the largest unit that holds it exactly: `8KiB`, `8000B`.
pub(super) fn write_size(bytes: u64) -> String {
    // Decimal units are read, never written: 8000B says more than 8KB, which many would take for 8192.
    let binary_only = SIZE_UNITS.iter().filter(|(unit, _)| unit.contains('i') || *unit == "B");
    write_quantity(bytes, binary_only)
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn write_quantity<'a>(amount: u64, units: impl IntoIterator<Item = &'a (&'a str, u64)>) -> String {
    let exact = units.into_iter().find(|(_, factor)| amount >= *factor && amount.is_multiple_of(*factor));
    match exact {
        Some((unit, factor)) => format!("{}{unit}", amount / factor),
        None => format!("{amount}B"),
    }
}

fn out_of_range<Q>(range: &RangeInclusive<Q>, write: impl Fn(&Q) -> String) -> BadValue {
    BadValue::because("out of range", format!("{} to {}", write(range.start()), write(range.end())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY_TIME: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_hours(24);

    #[test]
    fn run_3_durations_need_a_unit_and_whole_numbers() {
        let parse = duration_in(ANY_TIME);
        for (text, milliseconds) in
            [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("0s", 0)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in [
            "",
            "30",
            "s",
            "1.5s",
            "-1s",
            "+1s",
            "30 s",
            "30S",
            "1d",
            "1h30m",
            "99999999999999999999s",
            "25h",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        // A product beyond 64 bits must not wrap round into a small, accepted one.
        assert!(parse("5124095576030432h").is_err());
    }

    #[test]
    fn run_3_sizes_need_a_unit_and_know_both_bases() {
        let parse = size_in(0..=1 << 40);
        for (text, bytes) in
            [("0B", 0), ("8000B", 8000), ("8KiB", 8192), ("1MiB", 1 << 20), ("2GiB", 2 << 30)]
        {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for (text, bytes) in [("1KB", 1000), ("3MB", 3_000_000), ("1GB", 1_000_000_000)] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
        for text in ["", "8", "KiB", "8kib", "8K", "1.5MiB", "8 KiB", "17179869184GiB", "1025GiB"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn run_3_numbers_are_digits_within_their_bounds() {
        let parse = number_in(1..=256_usize);
        assert_eq!((parse("1"), parse("256")), (Ok(1), Ok(256)));
        for text in ["", "0", "257", "+5", "-5", " 5", "5s", "0x10", "1e2", "99999999999999999999999"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn run_4_what_is_written_is_read_back() {
        for text in ["500ms", "30s", "90s", "5m", "1h", "0s"] {
            assert_eq!(write_duration(&duration_in(ANY_TIME)(text).unwrap()), text);
        }
        for text in ["1B", "8000B", "8KiB", "1536KiB", "1MiB", "256MiB", "3GiB"] {
            assert_eq!(write_size(size_in(1..=1 << 40)(text).unwrap()), text);
        }
    }
}
