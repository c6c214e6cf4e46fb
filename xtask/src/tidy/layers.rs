//! Imports go down only: a module of the server may name its own layer and those below, never one above.

use super::Finding;
use crate::rust_text::{RustText, leading_identifier, word_offsets};
use crate::tree::Tree;

const SRC: &str = "crates/tidegate/src/";

/// The layers of the server from the top down; modules on one line are neighbours. `http1` is a crate: cargo
/// itself keeps it from looking up.
const LAYERS: [&[&str]; 12] = [
    &["main"],
    &["ask", "demo", "explain", "healthcheck"],
    &["server", "greeting"],
    &["worker"],
    &["conn"],
    &["pipeline"],
    &["site"],
    &["handlers"],
    &["telemetry"],
    &["limits", "router", "exchange"],
    &["http", "store", "disk"],
    &["config", "net", "sandbox", "pool", "clock", "random", "isolate", "failpoint", "sync"],
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, rust) in tree.rust_files() {
        let Some(path) = file.path.strip_prefix(SRC).filter(|&path| path != "lib.rs") else { continue };
        let module = module_of(path);
        match layer_of(module) {
            Some(layer) => findings.extend(upward_uses(&file.path, module, layer, rust)),
            None => findings.push(Finding::new(
                &file.path,
                1,
                format!("`{module}` is in no layer: add it to LAYERS"),
            )),
        }
        findings.extend(hidden_uses(&file.path, path, rust));
    }
    findings
}

/// `conn/h1.rs` and `conn.rs` belong to the module `conn`.
fn module_of(path: &str) -> &str {
    leading_identifier(path)
}

/// The depth of a module's layer: 0 is the top.
fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn upward_uses(path: &str, module: &str, layer: usize, rust: &RustText) -> Vec<Finding> {
    let upward = crate_names(rust.code()).into_iter().filter_map(|(offset, name)| {
        let above = layer_of(name).filter(|&above| above < layer)?;
        let message =
            format!("`{module}` (layer {layer}) names `{name}` (layer {above}): imports go down only");
        Some(Finding::new(path, rust.line_at(offset), message))
    });
    upward.collect()
}

/// Every module named right after `crate::`, also in a group, with its place.
fn crate_names(code: &str) -> Vec<(usize, &str)> {
    const PREFIX: &str = "crate::";
    let mut names = Vec::new();
    for at in word_offsets(code, PREFIX) {
        let after = at + PREFIX.len();
        match code[after..].strip_prefix('{') {
            Some(group) => {
                names.extend(group_names(group).into_iter().map(|(o, name)| (after + 1 + o, name)));
            }
            None => names.push((after, leading_identifier(&code[after..]))),
        }
    }
    names
}

/// The first identifier of each member of a `{…}` group, given from behind its opening brace.
fn group_names(group: &str) -> Vec<(usize, &str)> {
    let mut names = Vec::new();
    let mut depth = 1_usize;
    let mut member_begins = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => member_begins = true,
            c if member_begins && !c.is_whitespace() => {
                names.push((at, leading_identifier(&group[at..])));
                member_begins = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names
}

/// Ways to the crate's top that do not say `crate::`, and so would hide a layer.
fn hidden_uses(full_path: &str, path: &str, rust: &RustText) -> Vec<Finding> {
    let at_top = !path.contains('/') || path.ends_with("/mod.rs") && path.matches('/').count() == 1;
    // In `mod tests`, `super` is the module above it: there it hides nothing.
    let hidden = rust.lines().filter(|line| !line.in_test).filter(|line| {
        let top_named = at_top && word_offsets(line.code, "super::").next().is_some();
        top_named || line.code.contains("super::super::")
    });
    hidden
        .map(|line| Finding::new(full_path, line.number, "write `crate::`: `super::` hides the layer"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&Tree::of(&[(path, text)])).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_import_from_below_is_found_with_both_layers() {
        assert_eq!(
            found("crates/tidegate/src/http/reject.rs", "//! x\nuse crate::conn::H1;\n"),
            [format!(
                "{SRC}http/reject.rs:2: `http` (layer 10) names `conn` (layer 4): imports go down only"
            )]
        );
        assert_eq!(found("crates/tidegate/src/pool.rs", "fn f(s: &crate::site::Site) {}\n").len(), 1);
    }

    #[test]
    fn every_member_of_a_group_is_judged() {
        let group = "use crate::{\n    config::{Settings, units},\n    server, worker::Worker,\n};\n";
        let findings = found("crates/tidegate/src/site.rs", group);
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert!(findings.iter().all(|finding| finding.contains("site.rs:3: ")), "{findings:?}");
    }

    #[test]
    fn down_and_sideways_is_allowed() {
        assert!(
            found("crates/tidegate/src/conn/h1.rs", "use crate::{conn::linger, http, pipeline};\n")
                .is_empty()
        );
        assert!(found("crates/tidegate/src/lib.rs", "pub use crate::server::Server;\n").is_empty());
    }

    #[test]
    fn a_module_without_a_layer_is_found() {
        assert_eq!(found("crates/tidegate/src/helpers.rs", "").len(), 1);
    }

    #[test]
    fn a_way_around_crate_is_found() {
        assert_eq!(found("crates/tidegate/src/http/mod.rs", "use super::server;\n").len(), 1);
        assert_eq!(found("crates/tidegate/src/http/date.rs", "use super::super::server;\n").len(), 1);
        assert_eq!(found("crates/tidegate/src/pool.rs", "use super::server;\n").len(), 1);
        assert!(found("crates/tidegate/src/http/date.rs", "use super::Response;\n").is_empty());
        assert!(
            found("crates/tidegate/src/pool.rs", "#[cfg(test)]\nmod tests {\n    use super::*;\n}\n")
                .is_empty()
        );
    }
}
