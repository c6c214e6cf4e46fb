//! From the path of a request-target to a name below the root (SPEC FILE-4), decided on bytes alone.
//!
//! Decoded once. Every spelling of "up" is refused here, before a route or a disk sees it; the kernel
//! refuses it again when the file is opened beneath the root (`openat2`, `RESOLVE_BENEATH`).

use std::borrow::Cow;

use super::reject::{Code, Reject};

/// A path that may be looked for: decoded, beginning with `/`, free of dot segments and separators in
/// disguise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlPath<'b> {
    decoded: Cow<'b, str>,
    /// Whether it was seen at a glance that a file may have it.
    plain: bool,
    /// An encoded slash is a legal byte of a segment, but no file name can hold it.
    holds_slash: bool,
}

/// Bytes that a path may hold literally without a closer look: everything but `%`, `.`, `/` and `\`.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        table[byte] = true;
        byte += 1;
    }
    table[b'%' as usize] = false;
    table[b'.' as usize] = false;
    table[b'/' as usize] = false;
    table[b'\\' as usize] = false;
    table
};

impl<'b> UrlPath<'b> {
    /// Judges `path`, which begins with `/` and holds visible ASCII only.
    ///
    /// # Errors
    /// `bad_target` for a bad percent-encoding, NUL or what is not UTF-8; `traversal` for a dot segment in
    /// any encoding, a backslash, or a leading `//`.
    #[inline]
    pub fn parse(path: &'b [u8]) -> Result<Self, Reject> {
        match plain(path) {
            Some(plain) => Ok(Self { decoded: Cow::Borrowed(plain), plain: true, holds_slash: false }),
            None => Self::decode(path),
        }
    }

    fn decode(path: &'b [u8]) -> Result<Self, Reject> {
        let decoded = percent_decode(path)?;
        if decoded.contains(&0) {
            return Err(Reject::new(Code::BadTarget, "The path holds a NUL byte."));
        }
        let Ok(decoded) = String::from_utf8(decoded) else {
            return Err(Reject::new(Code::BadTarget, "The path is not UTF-8."));
        };
        let up = decoded.split(['/', '\\']).any(|segment| matches!(segment, "." | ".."));
        let raw_backslash = path.contains(&b'\\');
        if up || raw_backslash || decoded.contains('\\') || path.starts_with(b"//") {
            return Err(Reject::new(Code::TraversalRefused, "Paths lead downwards only."));
        }
        let slashes = |bytes: &[u8]| bytes.iter().filter(|byte| **byte == b'/').count();
        let holds_slash = slashes(decoded.as_bytes()) != slashes(path);
        Ok(Self { decoded: Cow::Owned(decoded), plain: false, holds_slash })
    }

    /// The decoded path with its leading slash.
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.decoded
    }

    /// The name to open beneath the root; `None` where no file can have it: an encoded slash, an empty
    /// segment, or a dotfile other than `.well-known`.
    #[inline]
    pub fn name(&self) -> Option<&str> {
        let name = self.decoded.strip_prefix('/')?;
        if self.plain { Some(name) } else { self.judge_name(name) }
    }

    fn judge_name<'n>(&self, name: &'n str) -> Option<&'n str> {
        if self.holds_slash {
            return None;
        }
        let inner = name.strip_suffix('/').unwrap_or(name);
        let servable =
            |segment: &str| !segment.is_empty() && (!segment.starts_with('.') || segment == ".well-known");
        (inner.is_empty() && name.is_empty() || inner.split('/').all(servable)).then_some(name)
    }
}

/// The path as text, where one look finds nothing that needs a second, and no segment that is empty or begins with a
/// dot: the common case.
fn plain(path: &[u8]) -> Option<&str> {
    let mut previous = b' ';
    for &byte in path {
        if !PLAIN[usize::from(byte)] {
            match byte {
                b'/' if previous != b'/' => {}
                b'.' if previous != b'/' => {}
                _ => return None,
            }
        }
        previous = byte;
    }
    std::str::from_utf8(path).ok()
}

fn percent_decode(path: &[u8]) -> Result<Vec<u8>, Reject> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path.iter();
    while let Some(&byte) = rest.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|byte| char::from(*byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(Reject::new(Code::BadTarget, "The path has a bad percent-encoding."));
        };
        decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    Ok(decoded)
}

/// Encodes `path` for a `Location` field or a link: unreserved bytes and `/` stay (RFC 3986 §2.3).
pub fn encode(path: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEEP: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(path, KEEP).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(path: &str) -> Option<Code> {
        UrlPath::parse(path.as_bytes()).err().map(|reject| reject.code)
    }

    fn name(path: &str) -> Option<String> {
        UrlPath::parse(path.as_bytes()).unwrap().name().map(str::to_owned)
    }

    #[test]
    fn file_4_every_spelling_of_up_is_traversal() {
        for path in [
            "/../etc/passwd",
            "/..",
            "/a/..",
            "/a/../b",
            "/.",
            "/a/./b",
            "/%2e%2e/x",
            "/%2E%2E/x",
            "/.%2e/x",
            "/%2e./x",
            "/..%2fx",
            "/..%2Fetc%2fpasswd",
            "/a%2f..%2fb",
            "/..%5cx",
            "/..\\x",
            "/a\\b",
            "/a%5cb",
            "//evil.example/",
            "//",
            "/%2e",
            "/a/%2e/",
            "/%5c..%5c",
        ] {
            assert_eq!(code(path), Some(Code::TraversalRefused), "{path}");
        }
    }

    #[test]
    fn file_4_bytes_that_are_no_text_are_bad_targets() {
        for path in ["/%00", "/a%00.txt", "/%", "/%2", "/%zz", "/%c0%ae%c0%ae/x", "/%ff"] {
            assert_eq!(code(path), Some(Code::BadTarget), "{path}");
        }
    }

    #[test]
    fn file_4_what_only_looks_like_up_is_a_name() {
        for (path, expected) in [
            ("/", ""),
            ("/a", "a"),
            ("/a/", "a/"),
            ("/a..b", "a..b"),
            ("/a.txt", "a.txt"),
            ("/a..", "a.."),
            ("/%61", "a"),
            ("/caf%C3%A9", "café"),
            ("/a%20b", "a b"),
            ("/;..", ";.."),
            ("/.well-known/x", ".well-known/x"),
        ] {
            assert_eq!(name(path).as_deref(), Some(expected), "{path}");
        }
        // Decoded once: `%252e` is the text `%2e`, a name like any other.
        assert_eq!(name("/%252e%252e/x").as_deref(), Some("%2e%2e/x"));
    }

    #[test]
    fn file_4_dotfiles_encoded_slashes_and_empty_segments_name_nothing() {
        for path in
            ["/.hidden", "/a/.git/config", "/.env", "/a%2fb", "/a//b", "/a//", "/...", "/.well-known-x"]
        {
            assert_eq!(name(path), None, "{path}");
        }
    }

    #[test]
    fn file_1_locations_are_encoded() {
        assert_eq!(encode("/a b/ü\r\n\"/"), "/a%20b/%C3%BC%0D%0A%22/");
    }
}
