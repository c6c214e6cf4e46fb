//! Plain text, the same on every machine: no tabs, CRLF or trailing blanks in sources, no path of one machine anywhere.

use super::Finding;
use crate::tree::{File, Tree};

/// Kinds of file that people write by hand. Test vectors and served files are bytes, and may hold anything.
const SOURCES: [&str; 9] = ["rs", "toml", "md", "mjs", "js", "css", "html", "sh", "py"];

/// Beginnings of absolute paths that exist on one machine only. Put together here so that this file stays clean.
const MACHINE_PATHS: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("/wo", "rk/")];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.files.iter().flat_map(|file| [white_space(file), machine_paths(file)].concat()).collect()
}

fn white_space(file: &File) -> Vec<Finding> {
    let ours = SOURCES.contains(&file.extension()) && !super::is_vendored(&file.path);
    if !ours && file.path != ".ci/run" {
        return Vec::new();
    }
    let mut findings: Vec<Finding> = file
        .lines()
        .filter_map(|(number, line)| stray(line).map(|what| Finding::new(&file.path, number, what)))
        .collect();
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        findings.push(Finding::new(&file.path, file.lines().count(), "the last line has no end"));
    }
    findings
}

/// What is wrong with the white space of one line; the first thing is enough.
fn stray(line: &str) -> Option<&'static str> {
    if line.ends_with('\r') {
        Some("CRLF line end")
    } else if line.contains('\t') {
        Some("tab")
    } else if line.ends_with(' ') {
        Some("trailing blank")
    } else {
        None
    }
}

fn machine_paths(file: &File) -> Vec<Finding> {
    let found = file.lines().filter_map(|(number, line)| {
        let path = MACHINE_PATHS
            .iter()
            .find(|path| line.match_indices(*path).any(|(at, _)| is_absolute(line, at)))?;
        Some(Finding::new(&file.path, number, format!("`{path}…` is a path of one machine")))
    });
    found.collect()
}

/// Whether the slash at `at` begins a path, and is not one inside `a/b` or a URL.
fn is_absolute(line: &str, at: usize) -> bool {
    let before = line[..at].chars().next_back();
    !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | '}' | ')'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn stray_white_space_is_found() {
        assert_eq!(
            found("a.rs", "a\n\tb\nc \nd\r\n"),
            ["a.rs:2: tab", "a.rs:3: trailing blank", "a.rs:4: CRLF line end"]
        );
        assert_eq!(found(".ci/run", "a"), [".ci/run:1: the last line has no end"]);
    }

    #[test]
    fn vectors_and_vendored_files_may_hold_anything() {
        assert!(found("crates/http1/tests/vectors/a.http", "GET / HTTP/1.1\r\n\r\n").is_empty());
        assert!(found(&format!("{}a.css", super::super::VENDORED[0]), "a {}").is_empty());
    }

    #[test]
    fn a_machine_path_is_found_in_any_file() {
        for path in MACHINE_PATHS {
            assert_eq!(found("a.json", &format!("{{\"root\": \"{path}x\"}}\n")).len(), 1, "{path}");
            assert!(found("a.json", &format!("https://host{path}x srv{path}y\n")).is_empty(), "{path}");
        }
    }
}
