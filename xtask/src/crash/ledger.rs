//! What was promised of a folder of uploads, held against what lies there.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::{fs, io};

use super::uploads::{Told, Uploads};

/// What is promised of one folder.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The number of the upload behind each name of a 201.
    acknowledged: BTreeMap<String, u64>,
    /// Names that a second 201 gave away again.
    given_twice: Vec<String>,
}

/// What speaks against the server, by kind; each in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Acknowledged, and not there with its bytes.
    pub(crate) lost: BTreeSet<String>,
    /// Visible, and not the whole of an upload that was sent.
    pub(crate) torn: Vec<String>,
    /// One upload under two names, or two under one.
    pub(crate) twice: Vec<String>,
    /// Half-written, and still there after a start.
    pub(crate) left: Vec<String>,
    /// Answers and ends of connections that nothing explains.
    pub(crate) wrong: Vec<String>,
}

/// What lies in a folder.
#[derive(Debug, Default)]
struct Shelf {
    /// By name: the upload that a visible file is, `None` where it is no whole one.
    visible: HashMap<String, Option<u64>>,
    hidden: Vec<String>,
}

impl Ledger {
    pub(crate) fn add(&mut self, told: &Told) {
        for (name, number) in &told.acknowledged {
            if self.acknowledged.insert(name.clone(), *number).is_some() {
                self.given_twice.push(format!("{name} was given to two uploads"));
            }
        }
    }

    /// The names with the numbers of their uploads.
    pub(crate) fn acknowledged(&self) -> impl Iterator<Item = (&str, u64)> {
        self.acknowledged.iter().map(|(name, number)| (name.as_str(), *number))
    }

    /// Holds `folder` against what was promised, and tells how many half-written files lie there besides. These are
    /// no fault before the next start.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn judge(&self, folder: &Path, uploads: &Uploads) -> io::Result<(Faults, usize)> {
        let shelf = Shelf::read(folder, uploads)?;
        let lost =
            self.acknowledged().filter(|(name, number)| shelf.visible.get(*name) != Some(&Some(*number)));
        let torn = shelf.visible.iter().filter(|(_, number)| number.is_none());
        let mut numbers = HashSet::new();
        let known = shelf.visible.iter().filter_map(|(name, number)| Some((name, (*number)?)));
        let again = known.filter(|(_, number)| !numbers.insert(*number));
        let faults = Faults {
            lost: lost.map(|(name, number)| told(name, number)).collect(),
            torn: torn.map(|(name, _)| name.clone()).collect(),
            twice: again
                .map(|(name, number)| format!("{name} is upload {number} once more"))
                .chain(self.given_twice.iter().cloned())
                .collect(),
            ..Faults::default()
        };
        Ok((faults, shelf.hidden.len()))
    }
}

/// An upload in words.
pub(crate) fn told(name: &str, number: u64) -> String {
    format!("{name}, upload {number}")
}

/// Names that begin with a dot: after a start there must be none (UP-3).
pub(crate) fn hidden(folder: &Path) -> io::Result<Vec<String>> {
    let names = names(folder)?;
    Ok(names.into_iter().filter(|name| name.starts_with('.')).collect())
}

impl Shelf {
    fn read(folder: &Path, uploads: &Uploads) -> io::Result<Self> {
        let mut shelf = Self::default();
        for name in names(folder)? {
            if name.starts_with('.') {
                shelf.hidden.push(name);
            } else {
                let number = uploads.recognise(&fs::read(folder.join(&name))?);
                shelf.visible.insert(name, number);
            }
        }
        Ok(shelf)
    }
}

/// A folder that was never made has no names: a cut may come before the first upload.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

impl Faults {
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Each kind with its name, in the order of the table.
    pub(crate) fn kinds(&self) -> [(&'static str, Vec<&String>); 5] {
        [
            ("lost", self.lost.iter().collect()),
            ("torn", self.torn.iter().collect()),
            ("twice", self.twice.iter().collect()),
            ("left over", self.left.iter().collect()),
            ("wrong", self.wrong.iter().collect()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::TempDir;

    /// A folder with three acknowledged uploads, and what came of `change` to it.
    fn judged(change: impl FnOnce(&Path, &Uploads)) -> (Faults, usize) {
        let folder = TempDir::new("ledger").unwrap();
        let uploads = Uploads::new(5);
        let mut told = Told::default();
        for name in ["a.json", "b.json", "c.json"] {
            let number = uploads.next();
            fs::write(folder.path().join(name), uploads.body(number)).unwrap();
            told.acknowledged.push((name.to_owned(), number));
        }
        let mut ledger = Ledger::default();
        ledger.add(&told);
        change(folder.path(), &uploads);
        ledger.judge(folder.path(), &uploads).unwrap()
    }

    #[test]
    fn what_was_promised_is_no_fault_and_more_may_be_there() {
        assert_eq!(judged(|_, _| ()), (Faults::default(), 0));
        let (faults, hidden) = judged(|folder, uploads| {
            fs::write(folder.join("unacknowledged.json"), uploads.body(uploads.next())).unwrap();
            fs::write(folder.join(".half.tmp"), "{").unwrap();
        });
        assert!(faults.is_none() && hidden == 1, "{faults:?}");
    }

    #[test]
    fn every_fault_is_found() {
        let counts = |faults: &Faults| faults.kinds().map(|(_, found)| found.len());
        let gone = judged(|folder, _| fs::remove_file(folder.join("a.json")).unwrap()).0;
        assert_eq!(counts(&gone), [1, 0, 0, 0, 0]);
        let cut = judged(|folder, _| fs::write(folder.join("a.json"), "{\"number\":0,").unwrap()).0;
        assert_eq!(counts(&cut), [1, 1, 0, 0, 0]);
        let swapped = judged(|folder, uploads| fs::write(folder.join("a.json"), uploads.body(1)).unwrap()).0;
        assert_eq!(counts(&swapped), [1, 0, 1, 0, 0]);
        let twice = judged(|folder, uploads| fs::write(folder.join("d.json"), uploads.body(1)).unwrap()).0;
        assert_eq!(counts(&twice), [0, 0, 1, 0, 0]);
        let foreign = judged(|folder, _| fs::write(folder.join("d.json"), "{}").unwrap()).0;
        assert_eq!(counts(&foreign), [0, 1, 0, 0, 0]);
    }

    #[test]
    fn a_name_given_twice_is_a_fault() {
        let told = Told { acknowledged: vec![("a".to_owned(), 1), ("a".to_owned(), 2)], ..Told::default() };
        let mut ledger = Ledger::default();
        ledger.add(&told);
        let (faults, _) = ledger.judge(Path::new("no-such-folder"), &Uploads::new(1)).unwrap();
        assert_eq!((faults.twice.len(), faults.lost.len()), (1, 1));
    }
}
