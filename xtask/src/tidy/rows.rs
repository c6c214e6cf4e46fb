//! The index of attacks and faults in `docs/RELIABILITY.md` is true: each row that `xtask/attack_rows.txt` promises
//! stands there with its tests, each test named there exists and carries the row's id, and no such test is missing.
//!
//! Row `E4` is carried by `#[test] fn row_e4_load_6_more_clients()`, and by one called `row_e3_row_e4_…` as well. What is
//! promised for later is `A13 waits: HTTP/2`, and its line says "waits for HTTP/2"; where only a part waits, the line of
//! the list begins with `J2 partly waits: …` and there are tests all the same.

use std::collections::BTreeMap;

use super::{Finding, spec};
use crate::tree::{File, Tree};

const ROWS: &str = "xtask/attack_rows.txt";
const INDEX: &str = "docs/RELIABILITY.md";

/// Test functions that begin with `row_`, each with its file and line.
type Tests<'t> = BTreeMap<&'t str, (&'t str, usize)>;

/// A line of the list.
struct Promise<'t> {
    id: &'t str,
    waits: Option<&'t str>,
    is_tested: bool,
}

/// A line of the index.
struct Entry<'t> {
    line: usize,
    id: &'t str,
    text: &'t str,
    tests: Vec<&'t str>,
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let (Some(promised), Some(index)) = (tree.file(ROWS), tree.file(INDEX)) else {
        return vec![Finding::new(INDEX, 1, format!("this index or {ROWS} is missing"))];
    };
    let (entries, tests) = (index.lines().filter_map(Entry::of).collect::<Vec<_>>(), tests(tree));
    [kept(promised, &entries), true_entries(&entries, &tests), all_listed(&tests, &entries)].concat()
}

fn tests(tree: &Tree) -> Tests<'_> {
    let all = tree.rust_files().flat_map(|(file, rust)| {
        spec::test_names(rust).into_iter().map(|(line, name)| (name, (file.path.as_str(), line)))
    });
    all.filter(|(name, _)| name.starts_with("row_")).collect()
}

/// A letter and a number.
fn is_id(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|letter| letter.is_ascii_uppercase())
        && text.len() > 1
        && characters.all(|digit| digit.is_ascii_digit())
}

/// Every promised row has its line, with its tests or the reason why there are none yet.
fn kept(promised: &File, entries: &[Entry<'_>]) -> Vec<Finding> {
    let lines = promised.lines().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .filter_map(|(number, line)| Some(Finding::new(ROWS, number, Promise::of(line).breach(entries)?)))
        .collect()
}

impl<'t> Entry<'t> {
    /// A table line that begins with an id: `| A1 | … |`.
    fn of((line, text): (usize, &'t str)) -> Option<Self> {
        let id = text.strip_prefix("| ")?.split(" |").next().filter(|id| is_id(id))?;
        let code = text.split('`').skip(1).step_by(2);
        Some(Self { line, id, text, tests: code.filter(|name| name.starts_with("row_")).collect() })
    }
}

impl<'t> Promise<'t> {
    fn of(line: &'t str) -> Self {
        let (row, waits) = line.split_once(" waits: ").map_or((line, None), |(row, why)| (row, Some(why)));
        let (id, partly) = row.strip_suffix(" partly").map_or((row, false), |id| (id, true));
        Self { id, waits, is_tested: waits.is_none() || partly }
    }

    fn breach(&self, entries: &[Entry<'_>]) -> Option<String> {
        let Some(entry) = entries.iter().find(|entry| entry.id == self.id) else {
            return Some(format!("{} is not in {INDEX}", self.id));
        };
        if self.is_tested && entry.tests.is_empty() {
            return Some(format!("{INDEX} names no test of {}", self.id));
        }
        let untold = self.waits.filter(|why| !entry.text.contains(&format!("waits for {why}")));
        untold.map(|why| format!("{INDEX} does not say that {} waits for {why}", self.id))
    }
}

/// Every test that is named exists and carries the id.
fn true_entries(entries: &[Entry<'_>], tests: &Tests<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for entry in entries {
        let carried = format!("_row_{}_", entry.id.to_lowercase());
        for test in &entry.tests {
            if !tests.contains_key(test) {
                findings.push(Finding::new(INDEX, entry.line, format!("no test is called {test}")));
            } else if !format!("_{test}_").contains(&carried) {
                findings.push(Finding::new(INDEX, entry.line, format!("{test} does not carry {}", entry.id)));
            }
        }
    }
    findings
}

/// Every test of a row is named by the index.
fn all_listed(tests: &Tests<'_>, entries: &[Entry<'_>]) -> Vec<Finding> {
    let is_listed = |name: &&str| entries.iter().any(|entry| entry.tests.contains(name));
    let missing = tests.iter().filter(|(name, _)| !is_listed(name));
    missing
        .map(|(name, (path, line))| Finding::new(path, *line, format!("{INDEX} does not name {name}")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str =
        "#[test]\nfn row_a1_x() {}\n#[test]\nfn row_a1_row_b2_y() {}\n#[test]\nfn h1_4_z() {}\n";
    const SOUND: &str = "| row | tests |\n|---|---|\n| A1 | `--flag`, `row_a1_x`, `row_a1_row_b2_y` |\n\
        | B2 | `row_a1_row_b2_y` |\n| C3 | waits for rain |\n";

    fn found(rows: &str, index: &str) -> Vec<String> {
        let tree = Tree::of(&[(ROWS, rows), (INDEX, index), ("crates/a/tests/a.rs", CODE)]);
        check(&tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_true_index_passes() {
        assert!(found("# promised\nA1\nB2\n\nC3 waits: rain\n", SOUND).is_empty());
        assert_eq!(check(&Tree::of(&[])).len(), 1);
    }

    #[test]
    fn a_promise_without_a_line_or_a_test_is_found() {
        assert_eq!(found("A1\nD4\n", SOUND), ["xtask/attack_rows.txt:2: D4 is not in docs/RELIABILITY.md"]);
        assert_eq!(
            found("C3\n", SOUND),
            ["xtask/attack_rows.txt:1: docs/RELIABILITY.md names no test of C3"]
        );
        assert_eq!(found("C3 partly waits: rain\n", SOUND).len(), 1, "the other part has tests");
        assert_eq!(found("B2 partly waits: rain\n", SOUND).len(), 1, "and says what it waits for");
    }

    #[test]
    fn a_line_that_is_not_true_is_found() {
        let renamed = SOUND.replace("`row_a1_x`", "`row_a1_x`, `row_a1_gone`");
        assert_eq!(found("A1\n", &renamed), ["docs/RELIABILITY.md:3: no test is called row_a1_gone"]);
        let moved = SOUND.replace("| B2 | `row_a1_row_b2_y`", "| B2 | `row_a1_x`");
        assert_eq!(found("A1\n", &moved), ["docs/RELIABILITY.md:4: row_a1_x does not carry B2"]);
    }

    #[test]
    fn a_test_that_no_line_names_is_found() {
        let short = SOUND.replace("`row_a1_x`, ", "");
        assert_eq!(
            found("A1\n", &short),
            ["crates/a/tests/a.rs:2: docs/RELIABILITY.md does not name row_a1_x"]
        );
    }
}
