//! gunicorn's `tests/requests/{valid,invalid}/*.http`: line breaks stand for nothing, escapes for bytes. Beside each
//! stands a `.py` file whose `request` is what is to be parsed, or a list of such.

use std::fs;
use std::path::{Path, PathBuf};

use super::cases::{Case, Says};
use crate::context::Context;

pub(super) const NAME: &str = "gunicorn";

/// The version of which every exception is known.
const VERSION: &str = "27.0.1";

/// Gets the source package by pip, once, and unpacks its tests below our tools.
pub(super) fn fetch(context: &Context) -> Result<PathBuf, String> {
    let folder = context.tools.join("corpora");
    let source = folder.join(format!("gunicorn-{VERSION}"));
    if source.join(REQUESTS).is_dir() {
        return Ok(source);
    }
    let dest = folder.to_string_lossy();
    let package = format!("gunicorn=={VERSION}");
    let archive = format!("{}.tar.gz", source.to_string_lossy());
    let fetch = ["download", "--no-deps", "--no-binary", "gunicorn", "--dest", &dest, &package];
    let unpack = ["--extract", "--file", &archive, "--directory", &dest];
    for (program, args) in [("pip3", fetch.as_slice()), ("tar", unpack.as_slice())] {
        let ran = context.run(program, args);
        if !ran.success {
            return Err(format!("{NAME}: its source package cannot be had:\n{}", ran.output));
        }
    }
    Ok(source)
}

const REQUESTS: &str = "tests/requests";

/// The cases of a source tree, or of its folder of requests.
pub(super) fn read(folder: &Path) -> Result<Vec<Case>, String> {
    let inner = folder.join(REQUESTS);
    let folder = if inner.is_dir() { inner } else { folder.to_path_buf() };
    let mut cases = Vec::new();
    for kind in ["valid", "invalid"] {
        let problem = |error| format!("{NAME}: {kind}: {error}");
        for entry in fs::read_dir(folder.join(kind)).map_err(problem)? {
            let path = entry.map_err(problem)?.path();
            if path.extension().is_some_and(|extension| extension == "http") {
                cases.push(read_case(&path, kind).map_err(problem)?);
            }
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

fn read_case(path: &Path, kind: &str) -> std::io::Result<Case> {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let bytes = unescape(&fs::read(path)?);
    let says = match kind {
        "valid" => Says::Valid { requests: requests(&fs::read_to_string(path.with_extension("py"))?) },
        _ => Says::Invalid { after: 0 },
    };
    Ok(Case { corpus: NAME, name: format!("{kind}/{stem}"), bytes, says })
}

/// How many requests `request = …` names: one, or as many as the list has elements.
fn requests(python: &str) -> usize {
    let list = python.lines().find_map(|line| line.strip_prefix("request = [")).unwrap_or("one]");
    list.trim_end_matches(']').split(',').filter(|element| !element.trim().is_empty()).count()
}

/// `\r`, `\n`, `\t`, `\0` and `\xHH`; line feeds of the file itself go.
fn unescape(file: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = file;
    while let [first, after @ ..] = rest {
        let (byte, used) = match (first, after) {
            (b'\n', _) => (None, 0),
            (b'\\', [b'r', ..]) => (Some(b'\r'), 1),
            (b'\\', [b'n', ..]) => (Some(b'\n'), 1),
            (b'\\', [b't', ..]) => (Some(b'\t'), 1),
            (b'\\', [b'0', ..]) => (Some(0), 1),
            (b'\\', [b'x', high, low, ..]) => (hex(&[*high, *low]), 3),
            _ => (Some(*first), 0),
        };
        out.extend(byte);
        rest = after.get(used..).unwrap_or_default();
    }
    out
}

fn hex(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_bytes_and_line_feeds_are_layout() {
        assert_eq!(
            unescape(b"GET / HTTP/1.1\\r\\n\nX: \\t\\x0D\\0\\xfF\\n\n"),
            b"GET / HTTP/1.1\r\nX: \t\r\0\xff\n"
        );
    }

    #[test]
    fn a_list_has_as_many_requests_as_elements() {
        assert_eq!(requests("cfg = 1\nrequest = [req1, req2]\n"), 2);
        assert_eq!(requests("request = {\n    \"method\": \"GET\",\n}\n"), 1);
    }
}
