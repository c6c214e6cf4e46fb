//! The known name nearest to a mistyped one.

/// More edits than this are another word, not a slip of the hand.
const EDITS_MAX: usize = 3;

/// A longer name is no slip of the hand either; the bound keeps the comparison's cost small.
const NAME_MAX: usize = 64;

/// The candidate with the fewest edits to `name`: at most 3, and at most half of its letters.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > NAME_MAX {
        return None;
    }
    candidates
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= EDITS_MAX && edits * 2 <= candidate.len())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, one row of the matrix at a time.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, from_byte) in from.bytes().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (to_byte, above) in to.bytes().zip(row.iter_mut().skip(1)) {
            let replaced = diagonal + usize::from(from_byte != to_byte);
            diagonal = *above;
            left = replaced.min(*above + 1).min(left + 1);
            *above = left;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or(from.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_3_a_slip_finds_its_name_and_another_word_does_not() {
        let known = || ["max_body", "max_header", "port"].into_iter();
        assert_eq!(nearest("maxbody", known()), Some("max_body"));
        assert_eq!(nearest("max_heder", known()), Some("max_header"));
        assert_eq!(nearest("prot", known()), Some("port"));
        assert_eq!(nearest("host", known()), Some("port"), "two of four letters");
        assert_eq!(nearest("hosts", known()), None, "three of four are another word");
        assert_eq!(nearest("colour", known()), None);
        assert_eq!(nearest(&"x".repeat(1 << 20), known()), None);
    }

    #[test]
    fn run_3_edits_are_levenshtein_distances() {
        assert_eq!([edits("", ""), edits("abc", ""), edits("", "abc"), edits("abc", "abc")], [0, 3, 3, 0]);
        assert_eq!([edits("kitten", "sitting"), edits("flaw", "lawn"), edits("ab", "ba")], [3, 2, 2]);
    }
}
