//! The character classes of RFC 9110 §5 as look-up tables, and the two field rules every reader of fields shares.
//!
//! A table costs one load per byte whatever the class; it is filled at compile time from the predicate that
//! reads like the RFC, so there is no second copy of the grammar to get wrong.

/// A set of bytes with constant-time membership.
pub(crate) struct Class([bool; 256]);

impl Class {
    /// For [`class!`] only.
    pub(crate) const fn of(table: [bool; 256]) -> Self {
        Self(table)
    }

    /// Whether `byte` belongs to the class.
    #[inline]
    pub(crate) fn has(&self, byte: u8) -> bool {
        // Never out of range; `get` only spares the panic path, and compiles to a plain load.
        self.0.get(usize::from(byte)).copied().unwrap_or(false)
    }

    /// The length of the longest prefix of `bytes` that consists of members.
    #[inline]
    pub(crate) fn span(&self, bytes: &[u8]) -> usize {
        bytes.iter().position(|&byte| !self.has(byte)).unwrap_or(bytes.len())
    }

    /// Whether `bytes` is not empty and consists of members only.
    #[inline]
    pub(crate) fn spans(&self, bytes: &[u8]) -> bool {
        !bytes.is_empty() && bytes.iter().all(|&byte| self.has(byte))
    }
}

/// Fills a [`Class`] from a predicate, at compile time.
macro_rules! class {
    ($byte:ident => $member:expr) => {{
        let mut table = [false; 256];
        let mut $byte = 0_u8;
        loop {
            #[expect(
                clippy::indexing_slicing,
                reason = "a byte indexes 256 entries; const evaluation checks it"
            )]
            {
                table[$byte as usize] = $member;
            }
            if $byte == u8::MAX {
                break;
            }
            $byte += 1;
        }
        $crate::grammar::Class::of(table)
    }};
}
pub(crate) use class;

/// `tchar`, RFC 9110 §5.6.2: what methods, field names and codings are made of.
pub(crate) static TCHAR: Class = class!(b => b.is_ascii_alphanumeric()
    || matches!(b, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'));

/// A byte of a field value, RFC 9110 §5.5: `VCHAR`, `obs-text`, and the white space between them.
pub(crate) static VALUE: Class = class!(b => matches!(b, b'\t' | b' '..=0x7e | 0x80..=0xff));

/// `VCHAR`, RFC 5234 §B.1: what is left of a request-target once spaces, controls and non-ASCII are refused.
pub(crate) static VISIBLE: Class = class!(b => matches!(b, b'!'..=0x7e));

/// `BWS` and `OWS`, RFC 9110 §5.6.3.
#[inline]
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `bytes` without the optional white space around it.
pub(crate) fn trim(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, inner @ ..] = rest
        && is_blank(*first)
    {
        rest = inner;
    }
    while let [inner @ .., last] = rest
        && is_blank(*last)
    {
        rest = inner;
    }
    rest
}

/// What is wrong with `line`, a field line without its CRLF, and at which of its bytes; `None` for a good one.
///
/// RFC 9112 §5, without any of the leniencies it allows: no folding (§5.2), no space before the colon (§5.1).
pub(crate) fn field_fault(line: &[u8]) -> Option<(usize, &'static str)> {
    let name = TCHAR.span(line);
    let detail = match (name, line.get(name)) {
        (0, Some(b' ' | b'\t')) => "a line begins with white space (obsolete folding)",
        (0, Some(b':')) => "a field has no name",
        (_, Some(b' ' | b'\t')) => "white space between a field name and its colon",
        (_, None) => "a field line has no colon",
        (_, Some(b':')) => return value_fault(line, name),
        (_, Some(_)) => "a byte that no field name may hold",
    };
    Some((name, detail))
}

/// The first byte after the colon at `colon` that no value may hold.
fn value_fault(line: &[u8], colon: usize) -> Option<(usize, &'static str)> {
    let bad = line.iter().enumerate().skip(colon).find(|&(_, &byte)| !VALUE.has(byte))?;
    Some((bad.0, "a control byte in a field value"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_exactly_their_bytes() {
        let count = |class: &Class| (0..=u8::MAX).filter(|&byte| class.has(byte)).count();
        assert_eq!((count(&TCHAR), count(&VALUE), count(&VISIBLE)), (77, 224, 94));
        assert!(!TCHAR.has(b':') && !VALUE.has(0x7f) && !VISIBLE.has(b' '));
    }

    #[test]
    fn trim_takes_blanks_from_both_ends_only() {
        assert_eq!(trim(b" \ta b\t "), b"a b");
        assert_eq!(trim(b" \t "), b"");
    }

    #[test]
    fn h1_4_a_field_fault_names_the_first_bad_byte() {
        assert_eq!(field_fault(b"a: b\tc\xff"), None);
        assert_eq!(field_fault(b"a:"), None);
        for (line, at) in
            [(&b" a: b"[..], 0), (b": b", 0), (b"a : b", 1), (b"ab", 2), (b"a\0: b", 1), (b"a: \x7f", 3)]
        {
            assert_eq!(field_fault(line).map(|fault| fault.0), Some(at), "{line:?}");
        }
    }
}
