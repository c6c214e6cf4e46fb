//! What our own pages share: text that is safe and visible, and a policy under which nothing runs (SPEC SEC-3).

use std::fmt::{self, Display, Formatter, Write};

/// Text for HTML, between tags or in a quoted attribute: no character of it is markup, or moves others.
///
/// What breaks a line, turns the direction of reading or has no width is shown by its number, `[U+202E]`:
/// `photo[U+202E]gpj.exe` must not look like a picture.
#[derive(Clone, Copy, Debug)]
pub struct Text<'t>(pub &'t str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c if is_unseen(c) => write!(f, "[U+{:04X}]", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// Controls, line ends, and the invisible: marks of direction (Unicode UAX #9), spaces without width, the
/// byte order mark. The two joiners stay, for Persian and many emoji are written with them.
fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// The field line that lets a page have one style element and nothing else: no script, no picture, no form and
/// no frame around it. `hash` is `sha256-…` over what stands between the style's tags (CSP Level 3 §8.3).
pub fn policy(hash: &str) -> String {
    format!(
        "Content-Security-Policy: default-src 'none'; style-src '{hash}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'\r\n"
    )
}

/// Appends `part`; writing to a `String` cannot fail.
pub fn push(text: &mut String, part: fmt::Arguments<'_>) {
    let _ = text.write_fmt(part);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    /// The source expression that admits `style`, computed by the system's own `sha256sum`.
    pub(crate) fn hash_of(style: &str) -> String {
        let mut program = Command::new("sha256sum");
        let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), style.as_bytes()).unwrap();
        let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let digest: Vec<u8> =
            (0..64).step_by(2).map(|at| u8::from_str_radix(&said[at..at + 2], 16).unwrap()).collect();
        format!("sha256-{}", base64(&digest))
    }

    /// RFC 4648 §4.
    fn base64(bytes: &[u8]) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let group = |three: &[u8]| -> String {
            let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(*three.get(at).unwrap_or(&0)));
            let digit = |at: usize| match at <= three.len() {
                true => char::from(ALPHABET[bits >> (18 - 6 * at) & 63]),
                false => '=',
            };
            (0..4).map(digit).collect()
        };
        bytes.chunks(3).map(group).collect()
    }

    #[test]
    fn sec_3_the_hash_is_the_one_of_the_standard() {
        assert_eq!(
            ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes())),
            ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]
        );
        // The example of CSP Level 3 §8.3, `alert('Hello, world.');`.
        assert_eq!(hash_of("alert('Hello, world.');"), "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=");
    }

    #[test]
    fn sec_3_text_is_never_markup_and_never_unseen() {
        for (text, expected) in [
            ("<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;"),
            ("a&amp;b", "a&amp;amp;b"),
            ("\"'", "&quot;&#39;"),
            ("a\r\n\tb\0\u{7f}\u{85}", "a[U+000D][U+000A][U+0009]b[U+0000][U+007F][U+0085]"),
            ("photo\u{202e}gpj.exe", "photo[U+202E]gpj.exe"),
            ("\u{2066}a\u{2069}\u{200f}\u{61c}", "[U+2066]a[U+2069][U+200F][U+061C]"),
            ("a\u{200b}b\u{feff}\u{ad}", "a[U+200B]b[U+FEFF][U+00AD]"),
            ("naïve שלום 日本 👩\u{200d}🚀", "naïve שלום 日本 👩\u{200d}🚀"),
        ] {
            assert_eq!(Text(text).to_string(), expected);
        }
    }
}
