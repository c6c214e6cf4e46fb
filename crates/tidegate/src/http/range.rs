//! Range requests: RFC 9110 §14, one range. A list of several is answered with the whole file, which a
//! server may always do (§14.2).

/// What a `Range` field asks of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The whole: no range, another unit, a malformed or an unsupported one.
    Whole,
    /// These bytes.
    Part(std::ops::Range<u64>),
    /// Nothing of the file lies in it: 416.
    Nothing,
}

/// Reads the value of a `Range` field against a file of `size` bytes.
pub fn parse(value: &[u8], size: u64) -> Asked {
    part(value, size).unwrap_or(Asked::Whole)
}

/// `None` where the value is not one well-formed byte range.
fn part(value: &[u8], size: u64) -> Option<Asked> {
    let (unit, set) = split(value, b'=')?;
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let (first, last) = split(set.trim_ascii(), b'-')?;
    let range = if first.is_empty() {
        let suffix = number(last)?;
        size.saturating_sub(suffix)..size
    } else {
        let first = number(first)?;
        let last = if last.is_empty() { u64::MAX } else { number(last)? };
        if last < first {
            return None;
        }
        first..last.saturating_add(1).min(size)
    };
    Some(if range.start < range.end { Asked::Part(range) } else { Asked::Nothing })
}

fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let position = bytes.iter().position(|byte| *byte == at)?;
    Some((bytes.get(..position)?, bytes.get(position + 1..)?))
}

/// Decimal digits, at least one; a number beyond `u64` is as good as the largest.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        digits
            .iter()
            .fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_5_one_range_and_everything_that_is_none() {
        use Asked::{Nothing, Part, Whole};
        for (value, expected) in [
            ("bytes=0-0", Part(0..1)),
            ("bytes=0-99", Part(0..10)),
            ("bytes=3-5", Part(3..6)),
            ("bytes=9-", Part(9..10)),
            ("bytes=-3", Part(7..10)),
            ("bytes=-99", Part(0..10)),
            ("BYTES=1-2", Part(1..3)),
            ("bytes=0-18446744073709551615", Part(0..10)),
            ("bytes=10-", Nothing),
            ("bytes=99-100", Nothing),
            ("bytes=-0", Nothing),
            ("bytes=18446744073709551616-", Nothing),
            ("bytes=5-2", Whole),
            ("bytes=", Whole),
            ("bytes=-", Whole),
            ("bytes=a-b", Whole),
            ("bytes=1-2,4-5", Whole),
            ("bytes=+1-2", Whole),
            ("items=0-1", Whole),
            ("bytes 0-1", Whole),
        ] {
            assert_eq!(parse(value.as_bytes(), 10), expected, "{value}");
        }
        assert_eq!(parse(b"bytes=0-", 0), Nothing);
    }
}
