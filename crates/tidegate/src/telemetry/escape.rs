//! Client text in log lines: one request stays one line, whatever bytes it holds (ATTACKS H1).

use std::io::Write;

/// Most bytes of one client text in a log line.
pub const MAX_TEXT: usize = 1024;

/// Appends `text` as visible ASCII: every other byte, the quote and the backslash become `\xHH`, as nginx
/// writes them. Cut at [`MAX_TEXT`].
pub fn push_text(out: &mut Vec<u8>, text: &[u8]) {
    for &byte in text.iter().take(MAX_TEXT) {
        match byte {
            b'"' | b'\\' => hex(out, b"\\x", byte),
            0x20..0x7f => out.push(byte),
            _ => hex(out, b"\\x", byte),
        }
    }
}

/// Appends `text` as a JSON string with its quotes; bytes outside visible ASCII become `\u00HH`.
pub fn push_json(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for &byte in text.iter().take(MAX_TEXT) {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            0x20..0x7f => out.push(byte),
            _ => hex(out, b"\\u00", byte),
        }
    }
    out.push(b'"');
}

fn hex(out: &mut Vec<u8>, prefix: &[u8], byte: u8) {
    out.extend(prefix);
    // Writing to a vector cannot fail.
    let _ = write!(out, "{byte:02x}");
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

    #[test]
    fn obs_1_long_texts_are_cut() {
        let mut text = Vec::new();
        push_text(&mut text, &[b'a'; 5000]);
        assert_eq!(text.len(), MAX_TEXT);
    }
}
