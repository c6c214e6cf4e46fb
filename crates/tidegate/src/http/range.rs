//! Range requests: which bytes of a file a `Range` field asks for (RFC 9110 §14.1.2, §14.2).
//!
//! ```text
//! value ─► unit and members ─► each against the size ─► overlaps joined ─► Whole | Part | Parts | Nothing
//!           not ours, malformed or too many ─► Whole
//! ```
//! What is answered never costs more than the file itself, whatever is asked (CVE-2011-3192): there are few
//! parts, and no byte is in two of them.

use std::ops::Range;

/// Most members of a `Range` list. A reader of a PDF or a video asks for a handful; a longer list buys its
/// sender nothing but our work (RFC 9110 §14.2 and §17.15), and is answered with the whole file.
pub const MAX_PARTS: usize = 16;

/// What a `Range` field asks of a file. A range has at least one byte and ends within the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// The whole: another unit, a malformed value, too many ranges, or several that are all of the file.
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Two or more parts with bytes between them that nobody asked for, in the order of their first mention.
    Parts(Vec<Range<u64>>),
    /// Nothing of the file lies in it: 416.
    Nothing,
}

/// Reads the value of a `Range` field against a file of `size` bytes.
pub fn parse(value: &[u8], size: u64) -> Asked {
    let Some(asked) = ranges(value, size) else { return Asked::Whole };
    let several = asked.len() > 1;
    let mut parts = Vec::with_capacity(asked.len());
    for range in asked.into_iter().filter(|range| !range.is_empty()) {
        join(&mut parts, range);
    }
    match parts.as_slice() {
        [] => Asked::Nothing,
        [all] if several && *all == (0..size) => Asked::Whole,
        [one] => Asked::Part(one.clone()),
        _ => Asked::Parts(parts),
    }
}

/// Every member as the bytes it stands for; an empty range lies outside of the file. `None` where the field
/// is to be ignored.
fn ranges(value: &[u8], size: u64) -> Option<Vec<Range<u64>>> {
    let (unit, set) = split(value, b'=')?;
    // Empty members are nothing (RFC 9110 §5.6.1.2), yet they count: the bound comes before the work.
    let members = || set.split(|byte| *byte == b',');
    if !unit.eq_ignore_ascii_case(b"bytes") || members().nth(MAX_PARTS).is_some() {
        return None;
    }
    let specs = members().map(<[u8]>::trim_ascii).filter(|spec| !spec.is_empty());
    let ranges: Vec<_> = specs.map(|spec| member(spec, size)).collect::<Option<_>>()?;
    (!ranges.is_empty()).then_some(ranges)
}

/// `first-last`, `first-` or `-suffix`. `None` where it is malformed.
fn member(spec: &[u8], size: u64) -> Option<Range<u64>> {
    let (first, last) = split(spec, b'-')?;
    if first.is_empty() {
        let suffix = number(last)?;
        // The end of an empty file can be had (§14.1.2), but no Content-Range can say so: ignored.
        return (size > 0 || suffix == 0).then(|| size.saturating_sub(suffix)..size);
    }
    let first = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    (first <= last).then(|| first.min(size)..last.saturating_add(1).min(size))
}

/// Adds `asked` to `parts`, none of which overlaps or touches another: it becomes one with all that it
/// overlaps or touches, at the place of the first of them.
fn join(parts: &mut Vec<Range<u64>>, asked: Range<u64>) {
    let meets = |part: &Range<u64>| part.start <= asked.end && asked.start <= part.end;
    let place = parts.iter().position(meets).unwrap_or(parts.len());
    let joined = parts
        .extract_if(.., |part| meets(part))
        .fold(asked.clone(), |sum, part| sum.start.min(part.start)..sum.end.max(part.end));
    parts.insert(place, joined);
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
    use super::Asked::{Nothing, Part, Parts, Whole};
    use super::*;
    use proptest::prelude::*;

    fn check(size: u64, vectors: impl IntoIterator<Item = (&'static str, Asked)>) {
        for (value, expected) in vectors {
            assert_eq!(parse(value.as_bytes(), size), expected, "{value} of {size}");
        }
    }

    #[test]
    fn file_5_one_range_and_everything_that_is_none() {
        check(
            10,
            [
                ("bytes=0-0", Part(0..1)),
                ("bytes=0-99", Part(0..10)),
                ("bytes=0-", Part(0..10)),
                ("bytes=3-5", Part(3..6)),
                ("bytes=9-", Part(9..10)),
                ("bytes=-3", Part(7..10)),
                ("bytes=-99", Part(0..10)),
                ("BYTES=1-2", Part(1..3)),
                ("bytes= 1-2\t", Part(1..3)),
                ("bytes=007-08", Part(7..9)),
                ("bytes=0-18446744073709551615", Part(0..10)),
                ("bytes=-18446744073709551616", Part(0..10)),
                ("bytes=10-", Nothing),
                ("bytes=99-100", Nothing),
                ("bytes=-0", Nothing),
                ("bytes=18446744073709551616-", Nothing),
            ],
        );
    }

    #[test]
    fn file_5_what_is_malformed_or_of_another_unit_is_ignored() {
        for value in [
            "bytes=5-2",
            "bytes=",
            "bytes=,",
            "bytes= , ,",
            "bytes=-",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1 - 2",
            "bytes=1-2-3",
            "bytes=1",
            "bytes=--1",
            "bytes=0x1-2",
            "bytes=1-2;3-4",
            "bytes=1-2 4-5",
            "bytes =1-2",
            "items=0-1",
            "bytes 0-1",
            "",
            "=",
            "=1-2",
            // One bad member spoils the list, wherever it stands, and beside members outside of the file too.
            "bytes=0-0,x",
            "bytes=x,0-0",
            "bytes=0-0,5-2",
            "bytes=50-60,-",
            "bytes=0-0,bytes=2-3",
        ] {
            assert_eq!(parse(value.as_bytes(), 10), Whole, "{value}");
        }
    }

    #[test]
    fn file_5_several_ranges_keep_the_order_in_which_they_are_asked() {
        check(
            10,
            [
                ("bytes=1-2,4-5", Parts(vec![1..3, 4..6])),
                ("bytes=4-5, 1-2", Parts(vec![4..6, 1..3])),
                ("bytes=-1,0-0", Parts(vec![9..10, 0..1])),
                ("bytes=0-0,\t3-3 ,6-", Parts(vec![0..1, 3..4, 6..10])),
                ("bytes=,1-2,,4-5, ,", Parts(vec![1..3, 4..6])),
                // RFC 9110 §14.1.2: one that lies outside is left out.
                ("bytes=1-2,50-60,4-5", Parts(vec![1..3, 4..6])),
                ("bytes=1-2,50-60", Part(1..3)),
                ("bytes=-0,1-2", Part(1..3)),
                ("bytes=50-60,10-,-0", Nothing),
            ],
        );
    }

    #[test]
    fn file_5_overlaps_and_neighbours_are_one_part_at_its_first_place() {
        check(
            10,
            [
                ("bytes=1-3,2-5", Part(1..6)),
                ("bytes=2-5,1-3", Part(1..6)),
                ("bytes=1-2,3-4", Part(1..5)),
                ("bytes=3-4,1-2", Part(1..5)),
                ("bytes=1-2,1-2,1-2", Part(1..3)),
                ("bytes=1-8,3-4", Part(1..9)),
                ("bytes=3-4,1-8", Part(1..9)),
                ("bytes=1-1,5-5,1-2", Parts(vec![1..3, 5..6])),
                ("bytes=7-7,1-1,5-5,6-6", Parts(vec![5..8, 1..2])),
                ("bytes=1-1,7-7,3-3,2-2", Parts(vec![1..4, 7..8])),
                ("bytes=9-9,1-1,3-3,5-5,2-4", Parts(vec![9..10, 1..6])),
            ],
        );
    }

    #[test]
    fn file_5_several_that_are_all_of_the_file_are_the_file() {
        check(
            10,
            [
                ("bytes=0-4,5-9", Whole),
                ("bytes=5-,0-4", Whole),
                ("bytes=0-,0-,0-", Whole),
                ("bytes=0-,99-", Whole),
                ("bytes=1-9,0-0", Whole),
                ("bytes=0-4,6-9", Parts(vec![0..5, 6..10])),
                // One range is answered as asked, though it is everything: a player looks for the 206.
                ("bytes=0-,", Part(0..10)),
            ],
        );
    }

    #[test]
    fn file_5_an_empty_file_has_no_ranges() {
        check(
            0,
            [
                ("bytes=0-", Nothing),
                ("bytes=0-0,1-", Nothing),
                ("bytes=-0", Nothing),
                ("bytes=-5", Whole),
                ("bytes=0-,-5", Whole),
            ],
        );
    }

    #[test]
    fn file_5_the_largest_file_overflows_nothing() {
        check(
            u64::MAX,
            [
                ("bytes=18446744073709551614-", Part(u64::MAX - 1..u64::MAX)),
                ("bytes=18446744073709551615-", Nothing),
                ("bytes=0-0,-1", Parts(vec![0..1, u64::MAX - 1..u64::MAX])),
                ("bytes=0-0,1-18446744073709551615", Whole),
            ],
        );
    }

    #[test]
    fn file_5_cve_2011_3192_a_long_list_is_the_whole_file() {
        let list = |count: u64| {
            let members: Vec<_> = (0..count).map(|n| format!("{}-{}", 2 * n, 2 * n)).collect();
            format!("bytes={}", members.join(","))
        };
        let most = MAX_PARTS as u64;
        assert_eq!(parse(list(most).as_bytes(), 1000), Parts((0..most).map(|n| 2 * n..2 * n + 1).collect()));
        assert_eq!(parse(list(most + 1).as_bytes(), 1000), Whole);
        // The attack itself: every range begins at 5 and reaches a little further.
        let attack: Vec<_> = (6..1300).map(|last| format!("5-{last}")).collect();
        assert_eq!(parse(format!("bytes=0-,{}", attack.join(",")).as_bytes(), 10_000), Whole);
        // Empty members count too.
        assert_eq!(parse(format!("bytes=1-1{}", ",".repeat(MAX_PARTS)).as_bytes(), 10), Whole);
    }

    /// One member as text, and which bytes it asks for.
    type Member = (String, Range<u64>);

    fn members() -> impl Strategy<Value = Vec<Member>> {
        let member = prop_oneof![
            (0..60_u64, 0..30_u64).prop_map(|(at, more)| (format!("{at}-{}", at + more), at..at + more + 1)),
            (0..60_u64).prop_map(|at| (format!("{at}-"), at..u64::MAX)),
        ];
        proptest::collection::vec(member, 1..=MAX_PARTS)
    }

    /// The parts of an answer to several ranges.
    fn parts(asked: Asked, size: u64) -> Vec<Range<u64>> {
        match asked {
            Whole => std::iter::once(0..size).collect(),
            Part(part) => vec![part],
            Parts(parts) => parts,
            Nothing => Vec::new(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn file_5_each_byte_asked_for_is_in_exactly_one_part(members in members(), size in 1..50_u64) {
            let texts: Vec<_> = members.iter().map(|(text, _)| text.as_str()).collect();
            let asked = parse(format!("bytes={}", texts.join(",")).as_bytes(), size);
            let parts = parts(asked, size);
            for byte in 0..size {
                let wanted = members.iter().any(|(_, range)| range.contains(&byte));
                let sent = parts.iter().filter(|part| part.contains(&byte)).count();
                prop_assert_eq!(sent, usize::from(wanted), "byte {} of {:?}", byte, &parts);
            }
            prop_assert!(parts.iter().all(|part| part.start < part.end && part.end <= size));
            prop_assert!(parts.iter().map(|part| part.end - part.start).sum::<u64>() <= size);
            // Each part stands where a byte of it was first asked for.
            let first = |part: &Range<u64>| members.iter().position(|(_, asked)| {
                asked.start.max(part.start) < asked.end.min(part.end)
            });
            prop_assert!(parts.iter().map(first).is_sorted());
        }

        #[test]
        fn file_5_no_bytes_panic(
            value in proptest::collection::vec(any::<u8>(), 0..64),
            size in any::<u64>(),
        ) {
            for value in [value.clone(), [b"bytes=", &value[..]].concat()] {
                let parts = parts(parse(&value, size), size);
                prop_assert!(parts.len() <= MAX_PARTS && parts.iter().all(|part| part.end <= size));
            }
        }
    }
}
