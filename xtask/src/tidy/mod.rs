//! The house rules as a test: what `ARCHITECTURE.md` and `CONTRIBUTING.md` promise, a machine checks.
//!
//! ```text
//! size      a file fits into a head                 words     what no source may say, and where
//! map       a module opens with its map             layers    imports go down only
//! text      no tabs, CRLF, stray blanks, box paths  reasons   every dependency has its reason written down
//! spec      every promised id has a test            links     every link to a file leads to one
//! pages     what our pages may not do: make elements of a text, carry script or style in their markup
//! rows      every promised attack and fault stands in the index, with tests that carry its id
//! ```
//!
//! A rule is a pure function `&Tree -> Vec<Finding>` in [`RULES`], with a unit test that shows it fire. Function
//! length is clippy's (`too-many-lines-threshold`).

mod layers;
mod links;
mod map;
mod pages;
mod reasons;
mod rows;
mod size;
mod spec;
mod text;
mod words;

use std::fmt;
use std::path::Path;

use crate::Verdict;
use crate::tree::Tree;

type Rule = fn(&Tree) -> Vec<Finding>;

const RULES: [(&str, Rule); 10] = [
    ("size", size::check),
    ("map", map::check),
    ("text", text::check),
    ("words", words::check),
    ("layers", layers::check),
    ("reasons", reasons::check),
    ("spec", spec::check),
    ("links", links::check),
    ("pages", pages::check),
    ("rows", rows::check),
];

/// Files of others, kept byte for byte as they were published.
const VENDORED: [&str; 1] = ["crates/tidegate/src/handlers/dashboard/assets/uplot/"];

fn is_vendored(path: &str) -> bool {
    VENDORED.iter().any(|folder| path.starts_with(folder))
}

/// One breach of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    path: String,
    /// From 1.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// `cargo xtask tidy`: prints every finding.
pub(crate) fn run(root: &Path) -> Verdict {
    let tree = match Tree::read(root) {
        Ok(tree) => tree,
        Err(error) => {
            eprintln!("tidy: cannot read the checkout at {}: {error}", root.display());
            return Verdict::Bad;
        }
    };
    let findings = check(&tree);
    for finding in &findings {
        println!("{finding}");
    }
    println!("tidy: {} files, {} rules, {} findings", tree.files.len(), RULES.len(), findings.len());
    if findings.is_empty() { Verdict::Good } else { Verdict::Bad }
}

/// Every rule over the whole tree; each line begins with its place and ends with the rule's name.
fn check(tree: &Tree) -> Vec<String> {
    let named = |(name, rule): &(&str, Rule)| {
        rule(tree).iter().map(|finding| format!("{finding} [{name}]")).collect::<Vec<_>>()
    };
    RULES.iter().flat_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_tidy() {
        let findings = check(&Tree::read(&crate::root()).unwrap());
        assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
    }

    #[test]
    fn a_finding_names_its_place_and_its_rule() {
        let findings = check(&Tree::of(&[("crates/a/src/lib.rs", "fn a() {}\t\n")]));
        assert!(findings.iter().any(|f| f.starts_with("crates/a/src/lib.rs:1: ") && f.ends_with(" [text]")));
        assert!(findings.iter().any(|f| f.ends_with(" [map]")));
    }
}
