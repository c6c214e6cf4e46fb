//! A module opens with a map: its first line is a `//!` comment that says something.

use super::Finding;
use crate::tree::Tree;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mapless = tree.rust_files().filter(|(file, _)| !opens_with_map(&file.text));
    mapless.map(|(file, _)| Finding::new(&file.path, 1, "opens without a `//!` map of the module")).collect()
}

fn opens_with_map(text: &str) -> bool {
    let opening = text.lines().next().and_then(|line| line.strip_prefix("//!"));
    opening.is_some_and(|words| !words.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_map_is_found() {
        let findings = |text| check(&Tree::of(&[("crates/a/src/b.rs", text)])).len();
        assert_eq!(findings("//! What lies here.\n"), 0);
        assert_eq!(findings("//!\n"), 1);
        assert_eq!(findings("use std::fmt;\n//! Too late.\n"), 1);
        assert_eq!(findings(""), 1);
    }
}
