//! What a page of ours may not do: turn text into elements, or carry script and style within its markup.
//!
//! Pages show what strangers sent (SPEC OBS-3). Text that goes in as `textContent` stays text; and a page without
//! inline script and style works under a policy that admits none.

use super::Finding;
use crate::rust_text::word_offsets;
use crate::tree::{File, Tree};

/// Ways by which a script makes elements or code of a text.
const MAKERS: [&str; 10] = [
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "setHTML",
    "createContextualFragment",
    "DOMParser",
    "srcdoc",
    "document.write",
    "eval(",
    "new Function",
];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.files.iter().filter(|file| is_page(file)).flat_map(check_file).collect()
}

/// Scripts and markup that a browser gets from us; what others wrote is vendored as they published it.
fn is_page(file: &File) -> bool {
    let served = file.path.starts_with("resources/") || file.path.starts_with("crates/tidegate/src/");
    served && !super::is_vendored(&file.path) && ["js", "html", "svg"].contains(&file.extension())
}

fn check_file(file: &File) -> Vec<Finding> {
    let is_markup = file.extension() != "js";
    let findings = file.lines().flat_map(|(number, line)| {
        let makers = MAKERS.iter().filter(|maker| word_offsets(line, maker).next().is_some());
        let makers = makers.map(|maker| format!("`{maker}` makes elements or code of a text"));
        let inline = inline(line).filter(|_| is_markup).map(|what| format!("{what} within the markup"));
        makers.chain(inline).map(move |message| Finding::new(&file.path, number, message)).collect::<Vec<_>>()
    });
    findings.collect()
}

/// What of `line` a policy without `unsafe-inline` does not admit; the first thing is enough.
fn inline(line: &str) -> Option<&'static str> {
    let line = line.to_lowercase();
    if line.contains("<style") || line.contains(" style=") {
        Some("style")
    } else if line.contains("<script") && !line.contains(" src=") || line.contains("javascript:") {
        Some("script")
    } else if line.match_indices(" on").any(|(at, _)| is_handler(&line[at + " on".len()..])) {
        Some("an event handler")
    } else {
        None
    }
}

/// Whether an attribute `on…=` goes on like this.
fn is_handler(rest: &str) -> bool {
    rest.trim_start_matches(|c: char| c.is_ascii_lowercase()).starts_with('=') && !rest.starts_with('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn obs_3_no_script_makes_elements_of_a_text() {
        for maker in MAKERS {
            let line = format!("node.{maker} = text;\n");
            assert_eq!(found("crates/tidegate/src/handlers/dashboard/assets/a.js", &line), 1, "{maker}");
            assert_eq!(found("resources/a.js", &line), 1, "{maker}");
            assert_eq!(found("crates/tidegate/tests/browser/a.mjs", &line), 0, "{maker}");
        }
        assert_eq!(found("resources/a.js", "node.textContent = text; retrieval(text);\n"), 0);
    }

    #[test]
    fn sec_3_no_markup_carries_script_or_style() {
        for bad in [
            "<p style=\"color: red\">",
            "<style>p {}</style>",
            "<script>run()</script>",
            "<a href=\"javascript:run()\">",
            "<img src=\"a\" onerror=\"run()\">",
            "<svg ONLOAD=run()>",
        ] {
            assert_eq!(found("resources/a.html", &format!("{bad}\n")), 1, "{bad}");
        }
        for good in ["<script src=\"/a.js\"></script>", "<p>based on a = b</p>", "<p class=\"style\">"] {
            assert_eq!(found("resources/a.html", &format!("{good}\n")), 0, "{good}");
        }
        assert_eq!(found("resources/a.js", "if (on === 1) run(\" style=\");\n"), 0);
    }

    #[test]
    fn what_is_vendored_stays_as_it_is() {
        assert_eq!(
            found("crates/tidegate/src/handlers/dashboard/assets/uplot/u.js", "x.innerHTML = y;\n"),
            0
        );
    }
}
