//! A dependency costs build time and trust, so each one has its reason in the dependency table of `ARCHITECTURE.md`.
//!
//! A row counts when it names the crate in backquotes (`` `tokio` ``) and has a reason in its last column.

use super::Finding;
use crate::tree::{File, Tree};

const TABLE: &str = "ARCHITECTURE.md";

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let explained = tree.file(TABLE).map(|file| explained_names(&file.text)).unwrap_or_default();
    let manifests = tree.files.iter().filter(|file| is_product_manifest(&file.path));
    manifests
        .flat_map(dependencies)
        .filter(|(_, _, name)| !explained.contains(name))
        .map(|(path, line, name)| {
            Finding::new(path, line, format!("`{name}` has no row with a reason in {TABLE}"))
        })
        .collect()
}

fn is_product_manifest(path: &str) -> bool {
    path.strip_prefix("crates/").is_some_and(|rest| rest.ends_with("/Cargo.toml"))
}

/// Crate names in backquotes before the last column of a table row, where that column says something.
fn explained_names(markdown: &str) -> Vec<&str> {
    let rows = markdown.lines().filter_map(|line| line.strip_prefix('|')?.trim_end().strip_suffix('|'));
    let with_reason =
        rows.filter_map(|row| row.rsplit_once('|')).filter(|(_, reason)| !reason.trim().is_empty());
    with_reason.flat_map(|(cells, _)| cells.split('`').skip(1).step_by(2)).collect()
}

/// `(manifest, line, name)` of each dependency from a registry; crates of this workspace need no reason.
fn dependencies(manifest: &File) -> Vec<(&str, usize, &str)> {
    let mut names = Vec::new();
    let mut section = "";
    for (number, line) in manifest.lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end().trim_end_matches(']');
            // The form `[dependencies.name]`.
            let named = section.rsplit_once('.').filter(|(kind, _)| is_dependency_section(kind));
            names.extend(named.map(|(_, name)| (manifest.path.as_str(), number, name)));
        } else if is_dependency_section(section) && !line.contains("path =") {
            let key = line.split_once('=').map(|(key, _)| key.trim()).filter(|key| !key.starts_with('#'));
            let name = key.map(|key| key.split('.').next().unwrap_or(key));
            names.extend(name.map(|name| (manifest.path.as_str(), number, name)));
        }
    }
    names
}

/// `dependencies`, `dev-dependencies`, `target.'cfg(unix)'.build-dependencies`, …
fn is_dependency_section(section: &str) -> bool {
    section.ends_with("dependencies")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "[package]\nname = \"a\"\n[dependencies]\nhttp1 = { path = \"../http1\" }\nbytes = \"1\"\n\
        tokio.workspace = true\n[dev-dependencies.proptest]\nversion = \"1\"\n[features]\nx = []\n";

    fn found(architecture: &str) -> Vec<String> {
        let tree = Tree::of(&[("crates/a/Cargo.toml", MANIFEST), ("ARCHITECTURE.md", architecture)]);
        check(&tree).into_iter().map(|finding| format!("{}: {}", finding.line, finding.message)).collect()
    }

    #[test]
    fn a_dependency_without_a_reason_is_found() {
        let missing =
            |line: usize, name: &str| format!("{line}: `{name}` has no row with a reason in {TABLE}");
        assert_eq!(found(""), [missing(5, "bytes"), missing(6, "tokio"), missing(7, "proptest")]);
        assert_eq!(found("| `bytes`, `tokio` | buffers |\n| `proptest` |  |\n"), [missing(7, "proptest")]);
    }

    #[test]
    fn a_name_outside_a_table_or_in_the_reason_does_not_count() {
        assert_eq!(found("`bytes` is nice\n| `tokio` | better than `proptest` |\n").len(), 2);
    }
}
