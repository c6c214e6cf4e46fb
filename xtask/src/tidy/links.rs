//! Every Markdown link to a file leads to one.

use super::Finding;
use crate::tree::{File, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let pages = tree.files.iter().filter(|file| file.extension() == "md");
    pages.flat_map(|page| dead_links(page, tree)).collect()
}

fn dead_links(page: &File, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut fenced = false;
    for (number, line) in page.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if fenced {
            continue;
        }
        let dead = targets(line).into_iter().filter(|target| !leads_somewhere(&page.path, target, tree));
        findings.extend(dead.map(|target| Finding::new(&page.path, number, format!("dead link: {target}"))));
    }
    findings
}

/// What stands in `](…)`, outside of code spans.
fn targets(line: &str) -> Vec<String> {
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("");
    let links = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    links.map(|(target, _)| target.to_owned()).collect()
}

/// Whether `target` is outside the checkout, or a file or folder of it.
fn leads_somewhere(page: &str, target: &str, tree: &Tree) -> bool {
    let path = target.split('#').next().unwrap_or_default();
    let elsewhere = target.contains("://") || target.starts_with("mailto:");
    elsewhere || resolve(page, path).is_some_and(|path| tree.has(&path))
}

/// `path` as seen from the folder of `page`; `None` where it climbs out of the checkout.
fn resolve(page: &str, path: &str) -> Option<String> {
    if path.is_empty() {
        return Some(page.to_owned());
    }
    let mut segments: Vec<&str> = page.split('/').collect();
    segments.pop();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()?),
            name => segments.push(name),
        }
    }
    Some(segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let tree = Tree::of(&[("docs/a.md", text), ("docs/b.md", ""), ("LICENSE", "")]);
        check(&tree).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_dead_link_is_found() {
        assert_eq!(found("[x](c.md) and [y](../docs/)\n"), ["dead link: c.md"]);
        assert_eq!(found("[x](../../etc)\n"), ["dead link: ../../etc"]);
    }

    #[test]
    fn a_living_link_is_not() {
        assert!(
            found("[b](b.md#top) [l](../LICENSE) [here](#a) [web](https://example.org/c.md)\n").is_empty()
        );
    }

    #[test]
    fn code_is_not_a_link() {
        assert!(found("`a[0](x)`\n```\n[x](c.md)\n```\n").is_empty());
    }
}
