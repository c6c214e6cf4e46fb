//! Client text in log lines: one request stays one line, whatever bytes it holds.

use super::digits::hex;

/// Most bytes of one client text in a log line.
pub const MAX_TEXT: usize = 1024;

/// Bytes that are judged together and, where all are plain, copied together: enough for vector registers, few enough
/// that a quote takes only its neighbours off that path.
const PIECE: usize = 32;

/// Appends `text` as visible ASCII: every other byte, the quote and the backslash become `\xHH`, as nginx
/// writes them. Cut at [`MAX_TEXT`].
pub fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    push_escaped(out, text, |out, byte| {
        out.extend(b"\\x");
        out.extend(hex(byte));
    });
}

/// Appends `text` as a JSON string with its quotes; bytes outside visible ASCII become `\u00HH`.
/// Cut at [`MAX_TEXT`].
pub fn push_json(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    push_escaped(out, text, |out, byte| match byte {
        b'"' | b'\\' => out.extend([b'\\', byte]),
        _ => {
            out.extend(b"\\u00");
            out.extend(hex(byte));
        }
    });
    out.push(b'"');
}

/// Appends the plain bytes of `text` as they are and the others by `escape`.
#[inline]
fn push_escaped(out: &mut Vec<u8>, text: &[u8], escape: impl Fn(&mut Vec<u8>, u8)) {
    let text = text.get(..MAX_TEXT).unwrap_or(text);
    for piece in text.chunks(PIECE) {
        if piece.iter().fold(true, |plain, &byte| plain & is_plain(byte)) {
            out.extend_from_slice(piece);
            continue;
        }
        for &byte in piece {
            if is_plain(byte) { out.push(byte) } else { escape(out, byte) }
        }
    }
}

/// Whether `byte` stands for itself in every format.
const fn is_plain(byte: u8) -> bool {
    // No short circuit: these are compared side by side.
    (byte >= 0x20) & (byte < 0x7f) & (byte != b'"') & (byte != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obs_1_every_byte_stays_within_its_line_and_its_quotes() {
        let all: Vec<u8> = (0..=255).collect();
        let mut text = Vec::new();
        push_text(&mut text, &all);
        assert!(text.iter().all(|byte| (0x20..0x7f).contains(byte) && *byte != b'"'));
        let mut json = Vec::new();
        push_json(&mut json, &all);
        let value: String = serde_json::from_slice(&json).unwrap();
        assert_eq!(value.chars().map(u32::from).collect::<Vec<_>>(), (0..=255).collect::<Vec<u32>>());
    }

    /// Pieces are judged as a whole: a byte must be seen wherever it stands, and its neighbours kept.
    #[test]
    fn obs_1_a_byte_is_escaped_wherever_it_stands() {
        for (length, odd) in (1..=2 * PIECE + 3).flat_map(|length| (0..length).map(move |at| (length, at))) {
            let mut text = vec![b'a'; length];
            text[odd] = b'\n';
            let (before, after) = ("a".repeat(odd), "a".repeat(length - odd - 1));
            let mut out = Vec::new();
            push_text(&mut out, &text);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{before}\\x0a{after}"));
            let mut out = Vec::new();
            push_json(&mut out, &text);
            assert_eq!(String::from_utf8(out).unwrap(), format!("\"{before}\\u000a{after}\""));
        }
    }

    #[test]
    fn obs_1_long_texts_are_cut() {
        let mut text = Vec::new();
        push_text(&mut text, &[b'a'; 5000]);
        assert_eq!(text.len(), MAX_TEXT);
    }
}
