//! The bearer token of administrators: what a file holds, and whether somebody sent it (SPEC SEC-6).

use std::fmt;
use std::io::Read;
use std::path::Path;

use subtle::ConstantTimeEq;

use super::error::BadValue;

/// Letters of a token: 16 random ones are more than anybody can try over a network.
const LEAST: usize = 16;
/// A header line must hold it with room to spare.
const MOST: usize = 512;

/// A bearer token: 16 to 512 visible ASCII letters (RFC 6750 §2.1 has fewer). It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Vec<u8>);

impl Token {
    /// Reads the one line of `file`.
    pub(super) fn read(file: &Path) -> Result<Self, BadValue> {
        let expected = || format!("a file that holds one line of {LEAST} to {MOST} letters without spaces");
        let mut bytes = Vec::new();
        std::fs::File::open(file)
            .and_then(|file| file.take(MOST as u64 + 3).read_to_end(&mut bytes))
            .map_err(|error| BadValue::because(format!("cannot be read ({error})"), expected()))?;
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if (LEAST..=MOST).contains(&line.len()) && line.iter().all(u8::is_ascii_graphic) {
            return Ok(Self(line.to_vec()));
        }
        // What it does hold is a secret, or nearly one.
        Err(BadValue::because("holds no token", expected()))
    }

    /// Whether `given` is this token. The time it takes tells no more than whether the lengths agree.
    pub fn is(&self, given: &[u8]) -> bool {
        self.0.ct_eq(given).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Option<Token> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("tidegate-token-{}-{number}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        let token = Token::read(&path).ok();
        std::fs::remove_file(path).unwrap();
        token
    }

    #[test]
    fn sec_6_a_token_is_one_line_and_only_it_fits() {
        let token = read(b"0123456789abcdef\n").unwrap();
        assert!(token.is(b"0123456789abcdef"));
        for wrong in
            [&b""[..], b"0123456789abcde", b"0123456789abcdeF", b"0123456789abcdef\n", b"0123456789abcdef0"]
        {
            assert!(!token.is(wrong), "{wrong:?}");
        }
        assert_eq!(read(b"0123456789abcdef\r\n"), Some(token.clone()));
        assert_eq!(format!("{token:?}"), "Token(…)", "a log never shows it");
    }

    #[test]
    fn sec_6_a_file_without_a_token_is_refused() {
        let long = [b'a'; MOST + 1];
        for content in [&b""[..], b"\n", b"short", b"0123456789 abcdef", b"0123456789abcdef\n\n", &long] {
            assert_eq!(read(content), None, "{content:?}");
        }
        assert!(read(&[b'a'; MOST]).is_some());
    }
}
