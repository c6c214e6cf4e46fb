//! The checkout as data: every file git would commit, read once, so that a rule is a pure function of a [`Tree`].

use std::path::Path;
use std::process::Command;
use std::{fs, io};

use crate::rust_text::RustText;

/// Folders that hold products, not sources. Needed only where git cannot list the files.
const PRODUCTS: [&str; 4] = [".git", "target", "node_modules", "artifacts"];

/// All files of the project, in the order of their paths.
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

/// One file: its path from the top with `/`, and its text. A binary file has an empty text.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text as code, for `.rs` files.
    pub(crate) rust: Option<RustText>,
}

impl Tree {
    /// Reads the checkout at `root`: what git tracks or would add; every file where there is no git.
    pub(crate) fn read(root: &Path) -> io::Result<Self> {
        let mut paths = match git_paths(root) {
            Some(paths) => paths,
            None => walked_paths(root)?,
        };
        paths.sort();
        paths.dedup();
        let mut files = Vec::with_capacity(paths.len());
        for path in paths {
            // A file deleted but not yet committed is still listed by git.
            let Ok(bytes) = fs::read(root.join(&path)) else { continue };
            files.push(File::new(path, String::from_utf8(bytes).unwrap_or_default()));
        }
        Ok(Self { files })
    }

    /// The file at exactly this path.
    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether a file or a folder has this path.
    pub(crate) fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty() || self.files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
    }

    /// The Rust sources, each with its code.
    pub(crate) fn rust_files(&self) -> impl Iterator<Item = (&File, &RustText)> {
        self.files.iter().filter_map(|file| file.rust.as_ref().map(|rust| (file, rust)))
    }

    /// A tree made of `(path, text)` pairs.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self {
            files: files.iter().map(|&(path, text)| File::new(path.to_owned(), text.to_owned())).collect(),
        }
    }
}

impl File {
    fn new(path: String, text: String) -> Self {
        let rust = path.ends_with(".rs").then(|| RustText::of(&text));
        Self { path, text, rust }
    }

    /// The part after the last dot of the file name; empty where there is none.
    pub(crate) fn extension(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// Lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.split('\n').enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Tracked files and those that `git add` would take; `None` outside a checkout or without git.
fn git_paths(root: &Path) -> Option<Vec<String>> {
    let listing = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .ok()
        .filter(|listing| listing.status.success())?;
    let names = String::from_utf8(listing.stdout).ok()?;
    Some(names.split_terminator('\0').map(str::to_owned).collect())
}

/// Every file below `root` outside the product folders.
fn walked_paths(root: &Path) -> io::Result<Vec<String>> {
    let mut paths = Vec::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
            // `file_type` does not follow symlinks, so a loop of links cannot trap the walk.
            match entry.file_type()? {
                kind if kind.is_dir() && !PRODUCTS.contains(&name.as_str()) => folders.push(path),
                kind if kind.is_file() => paths.push(path),
                _ => {}
            }
        }
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_and_the_walk_both_find_this_file() {
        let root = crate::root();
        let here = "xtask/src/tree.rs".to_owned();
        assert!(walked_paths(&root).unwrap().contains(&here));
        // An unpacked source archive has no `.git`: then there is only the walk.
        if root.join(".git").exists() {
            assert!(git_paths(&root).unwrap().contains(&here));
        }
    }

    #[test]
    fn a_folder_exists_when_something_lies_in_it() {
        let tree = Tree::of(&[("docs/guide.md", "")]);
        assert!(tree.has("docs") && tree.has("docs/guide.md"));
        assert!(!tree.has("doc") && !tree.has("docs/guide"));
    }

    #[test]
    fn the_extension_is_that_of_the_file_name() {
        let tree = Tree::of(&[("a.b/run", ""), ("x/y.tar.gz", "")]);
        assert_eq!(tree.files.iter().map(File::extension).collect::<Vec<_>>(), ["", "gz"]);
    }
}
