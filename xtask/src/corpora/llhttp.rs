//! llhttp's `test/request/*.md`: below a heading a block of bytes (```` ```http ````) and one of events
//! (```` ```log ````). Only the strict cases are read: what a lenient parser may take is no measure for a server.

use std::fs;
use std::path::Path;

use super::cases::{Case, Says};

pub(super) const NAME: &str = "llhttp";

/// The cases of a checkout, or of its folder of requests.
pub(super) fn read(folder: &Path) -> Result<Vec<Case>, String> {
    let inner = folder.join("test/request");
    let folder = if inner.is_dir() { inner } else { folder.to_path_buf() };
    let problem = |error| format!("{NAME}: {error}");
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder).map_err(problem)? {
        let path = entry.map_err(problem)?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            cases.extend(read_page(&stem, &fs::read_to_string(&path).map_err(problem)?));
        }
    }
    if cases.is_empty() {
        return Err(format!("{NAME}: no case in that folder"));
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

fn read_page(stem: &str, page: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let (mut title, mut kind, mut input) = ("", "", None);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            title = line.trim_start_matches(['#', ' ']);
        } else if line.starts_with("<!-- meta=") {
            kind = line;
        } else if line == "```http" {
            input = Some(block(&mut lines));
        } else if line == "```log" {
            let log = block(&mut lines);
            let Some(input) = input.take().filter(|_| is_strict(kind)) else { continue };
            let name = format!("{stem}: {title}");
            cases.push(Case { corpus: NAME, name, bytes: unescape(&input), says: says(&log) });
        }
    }
    cases
}

/// The lines up to the closing fence, without their last line feed.
fn block<'p>(lines: &mut impl Iterator<Item = &'p str>) -> String {
    lines.take_while(|line| *line != "```").collect::<Vec<_>>().join("\n")
}

fn is_strict(meta: &str) -> bool {
    meta.contains("\"type\": \"request\"") || meta.contains("\"type\": \"request-finish\"")
}

/// Pausing, of itself or at an upgrade, is an error code too, but none of the input.
fn says(log: &str) -> Says {
    let complete = log.matches("message complete").count();
    let pauses = ["error code=21 ", "error code=22 "];
    let error =
        log.lines().any(|line| line.contains("error code=") && !pauses.iter().any(|p| line.contains(p)));
    match (error, log.matches("message begin").count() > complete) {
        (true, _) => Says::Invalid { after: complete },
        (false, true) => Says::Unfinished { after: complete },
        (false, false) => Says::Valid { requests: complete },
    }
}

/// Line feeds are CRLF, unless a backslash joins two lines; `\r \n \t \f \xHH` and octal numbers are bytes.
fn unescape(block: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = block.as_bytes();
    while let [first, after @ ..] = rest {
        let mut used = 1;
        match (first, after) {
            (b'\n', _) => {
                out.extend_from_slice(b"\r\n");
                used = 0;
            }
            (b'\\', [b'\n', ..]) => {}
            (b'\\', [b'r', ..]) => out.push(b'\r'),
            (b'\\', [b'n', ..]) => out.push(b'\n'),
            (b'\\', [b't', ..]) => out.push(b'\t'),
            (b'\\', [b'f', ..]) => out.push(0x0c),
            (b'\\', [b'x', digits @ ..]) => used += push_number(&mut out, digits, 16, 2),
            (b'\\', [b'0'..=b'7', ..]) => used = push_number(&mut out, after, 8, 3),
            _ => {
                out.push(*first);
                used = 0;
            }
        }
        rest = after.get(used..).unwrap_or_default();
    }
    out
}

/// Pushes the number of at most `most` digits that `text` begins with; returns how many there were.
fn push_number(out: &mut Vec<u8>, text: &[u8], radix: u32, most: usize) -> usize {
    let digits: Vec<u32> = text.iter().take(most).map_while(|&b| char::from(b).to_digit(radix)).collect();
    let number = digits.iter().fold(0, |number, digit| number * radix + digit);
    out.extend(u8::try_from(number));
    digits.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "## A title\n\n<!-- meta={\"type\": \"request\"} -->\n```http\nGET / HTTP/1.1\nX: \\x41\\\n\\101\\r\n\n\n```\n\n\
        ```log\noff=0 message begin\noff=9 message complete\n```\n\
        ### Lenient\n<!-- meta={\"type\": \"request-lenient-headers\"} -->\n```http\nx\n```\n```log\n```\n";

    #[test]
    fn strict_cases_are_read_and_lenient_ones_are_not() {
        let cases = read_page("page", PAGE);
        assert_eq!(cases.len(), 1);
        assert_eq!(cases[0].name, "page: A title");
        assert_eq!(cases[0].bytes, b"GET / HTTP/1.1\r\nX: AA\r\r\n\r\n");
        assert_eq!(cases[0].says, Says::Valid { requests: 1 });
    }

    #[test]
    fn the_log_tells_what_its_authors_say() {
        assert_eq!(
            says("message begin\nmessage complete\nmessage begin\nx error code=8 y"),
            Says::Invalid { after: 1 }
        );
        assert_eq!(says("message begin\nerror code=21 reason"), Says::Unfinished { after: 0 });
        assert_eq!(
            says("message begin\nmessage complete\nerror code=22 reason"),
            Says::Valid { requests: 1 }
        );
    }
}
