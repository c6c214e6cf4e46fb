//! A file fits into a head: at most [`MOST_LINES`] lines, its own unit tests not counted.

use super::Finding;
use crate::tree::Tree;

/// Files of 100 to 350 lines are what readers of large servers praise; above 400 a file hides a second subject.
const MOST_LINES: usize = 400;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let sources = tree.rust_files().filter(|(file, _)| !is_test_file(&file.path));
    sources
        .filter_map(|(file, rust)| {
            let count = rust.lines().filter(|line| !line.in_test).count();
            let message = format!("{count} lines without tests, at most {MOST_LINES}: split by subject");
            (count > MOST_LINES).then(|| Finding::new(&file.path, MOST_LINES, message))
        })
        .collect()
}

/// Integration tests, and unit tests moved beside their module, are tests as a whole.
fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn one_line_too_many_is_found() {
        assert_eq!(findings("crates/a/src/b.rs", &"x();\n".repeat(MOST_LINES)), 0);
        assert_eq!(findings("crates/a/src/b.rs", &"x();\n".repeat(MOST_LINES + 1)), 1);
    }

    #[test]
    fn tests_are_not_counted() {
        let text =
            format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", "x();\n".repeat(MOST_LINES), "y();\n".repeat(9));
        assert_eq!(findings("crates/a/src/b.rs", &text), 0);
        assert_eq!(findings("crates/a/src/b.rs", &format!("{text}x();\n")), 1);
        assert_eq!(findings("crates/a/tests/b.rs", &"x();\n".repeat(MOST_LINES + 1)), 0);
    }
}
