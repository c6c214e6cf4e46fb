//! `Content-Disposition: attachment` (RFC 6266, RFC 8187) that no file name can break out of.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Bytes that may stand as they are in an extended parameter value (RFC 8187 §3.2.1, `attr-char`).
const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// The field value that offers a download under the last segment of `path`.
pub fn attachment(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ';
    if name.chars().all(plain) {
        return format!("attachment; filename=\"{name}\"");
    }
    let fallback: String = name.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    format!("attachment; filename=\"{fallback}\"; filename*=UTF-8''{}", utf8_percent_encode(name, ATTR_CHAR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_2_no_file_name_breaks_out_of_the_field() {
        for (path, expected) in [
            ("a/b.txt", "attachment; filename=\"b.txt\""),
            ("a b;c.txt", "attachment; filename=\"a b;c.txt\""),
            ("q\".txt", "attachment; filename=\"q_.txt\"; filename*=UTF-8''q%22.txt"),
            ("n\r\nX: y.txt", "attachment; filename=\"n__X: y.txt\"; filename*=UTF-8''n%0D%0AX%3A%20y.txt"),
            ("ü.png", "attachment; filename=\"_.png\"; filename*=UTF-8''%C3%BC.png"),
            ("back\\slash", "attachment; filename=\"back_slash\"; filename*=UTF-8''back%5Cslash"),
        ] {
            assert_eq!(attachment(path), expected, "{path}");
        }
    }
}
