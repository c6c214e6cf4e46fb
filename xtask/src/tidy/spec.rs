//! What the contract promises, a test holds up: each id in `xtask/spec_ids.txt` is named by a test function.
//!
//! `H1-4` is named by `#[test] fn h1_4_bare_lf_is_refused()`: the id in lower case, with `_`, at word borders.

use super::Finding;
use crate::rust_text::{RustText, leading_identifier};
use crate::tree::Tree;

const IDS: &str = "xtask/spec_ids.txt";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let Some(ids) = tree.file(IDS) else {
        return vec![Finding::new(IDS, 1, "the list of promised ids is missing")];
    };
    let tests: Vec<&str> =
        tree.rust_files().flat_map(|(_, rust)| test_names(rust)).map(|(_, name)| name).collect();
    let promised = ids.lines().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    promised
        .filter(|(_, id)| !tests.iter().any(|test| names_id(test, id)))
        .map(|(line, id)| Finding::new(IDS, line, format!("no test is named after {id}")))
        .collect()
}

/// The functions under an attribute `#[test]`, `#[tokio::test]` and the like, each with its line.
pub(super) fn test_names(rust: &RustText) -> Vec<(usize, &str)> {
    let mut names = Vec::new();
    let mut marked = false;
    for line in rust.lines() {
        let code = line.code.trim();
        marked |= code.starts_with("#[test]") || code.starts_with("#[") && code.contains("::test");
        if let Some((_, name)) = code.split_once("fn ").filter(|_| marked) {
            names.push((line.number, leading_identifier(name)));
            marked = false;
        }
    }
    names
}

fn names_id(test: &str, id: &str) -> bool {
    let wanted = format!("_{}_", id.to_lowercase().replace('-', "_"));
    format!("_{test}_").contains(&wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(code: &str) -> Vec<String> {
        let tree = Tree::of(&[(IDS, "# promised\nH1-1\nFILE-10\n"), ("crates/a/tests/a.rs", code)]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_id_without_a_test_is_found() {
        let code = "#[test]\nfn h1_1_get() {}\n#[tokio::test]\nasync fn file_10_is_reserved() {}\n";
        assert!(found(code).is_empty());
        assert_eq!(
            found("#[test]\nfn h1_1_get() {}\n"),
            ["xtask/spec_ids.txt:3: no test is named after FILE-10"]
        );
        assert_eq!(check(&Tree::of(&[])).len(), 1);
    }

    #[test]
    fn a_longer_number_is_another_id() {
        assert_eq!(found("#[test]\nfn h1_10_x() {}\n#[test]\nfn file_1_x() {}\n").len(), 2);
    }

    #[test]
    fn only_a_test_counts() {
        assert_eq!(found("fn h1_1_get() {}\n// #[test] fn file_10_x() {}\n").len(), 2);
        assert_eq!(found("#[test]\n#[should_panic]\nfn h1_1_file_10_both() {}\n").len(), 0);
    }
}
