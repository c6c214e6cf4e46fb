//! Served files that change, of which any part tells whether it is right.
//!
//! A file is the same [`PATTERN`] letters over and over; among them are its name and its version. So all bytes of an
//! answer follow from where it begins and from the version in it, and two versions in one are seen.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Letters of a pattern. The number is prime, so that no page of memory and no buffer is a whole number of them.
const PATTERN: usize = 61;

/// Versions so far apart are of one length, so that one can be written over the other.
const SAME_LENGTH: u64 = 35;

/// A version may be served for one second after its end (FILE-7); the rest is for a busy machine.
const STALE: Duration = Duration::from_secs(5);

/// The least part of a file that holds a whole pattern wherever it begins.
pub(super) const LEAST_PART: u64 = 2 * PATTERN as u64;

/// How a file is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Never,
    /// A new file takes its name.
    Replaced,
    /// One write over all its bytes.
    Overwritten,
}

/// Names, least sizes and ways of changing: files that are kept in memory, lent to the kernel, copied and sent.
const PAGES: [(&str, u64, Change); 9] = [
    ("small.bin", 1024, Change::Never),
    ("note.html", 300, Change::Replaced),
    ("page.html", 9_000, Change::Overwritten),
    ("sheet.css", 60_000, Change::Replaced),
    ("photo.bin", 200_000, Change::Replaced),
    ("chart.bin", 700_000, Change::Overwritten),
    ("book.bin", 3_000_000, Change::Replaced),
    ("still.bin", 9_500_000, Change::Never),
    ("film.bin", 9_000_000, Change::Replaced),
];

/// The served folder.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) folder: PathBuf,
    pub(super) pages: Vec<Page>,
    /// Held by who changes a file: two would get in each other's way.
    changing: Mutex<()>,
}

/// One file.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) name: &'static str,
    pub(super) least: u64,
    pub(super) change: Change,
    /// The versions that may still be served, the newest last.
    versions: Mutex<Vec<Version>>,
}

#[derive(Clone, Copy, Debug)]
struct Version {
    number: u64,
    /// When the next one was in its place; `None` for the newest.
    ended: Option<Instant>,
}

impl Pages {
    /// Writes the first version of every file.
    pub(super) fn write(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let pages = PAGES.iter().map(|&(name, least, change)| {
            let versions = Mutex::new(vec![Version { number: 0, ended: None }]);
            Page { name, least, change, versions }
        });
        let pages = Self { folder: folder.to_path_buf(), pages: pages.collect(), changing: Mutex::default() };
        for page in &pages.pages {
            fs::write(folder.join(page.name), page.bytes(0, 0, page.length(0)))?;
        }
        Ok(pages)
    }

    /// Brings the next version of `page` into its place.
    pub(super) fn change(&self, page: &Page) -> io::Result<()> {
        let _alone = lock(&self.changing);
        let mut versions = lock(&page.versions);
        let number = versions.last().map_or(0, |version| version.number);
        let path = self.folder.join(page.name);
        let next = match page.change {
            Change::Never => return Ok(()),
            Change::Replaced => number + 1,
            Change::Overwritten => number + SAME_LENGTH,
        };
        let bytes = page.bytes(next, 0, page.length(next));
        // From here on it may be served.
        versions.push(Version { number: next, ended: None });
        drop(versions);
        if page.change == Change::Replaced {
            let aside = self.folder.join(format!(".{}", page.name));
            fs::write(&aside, bytes)?;
            fs::rename(&aside, &path)?;
        } else {
            OpenOptions::new().write(true).open(&path)?.write_all_at(&bytes, 0)?;
        }
        let now = Instant::now();
        let mut versions = lock(&page.versions);
        versions.retain_mut(|version| {
            if version.number < next {
                version.ended.get_or_insert(now);
            }
            // Nobody waits so long for an answer that he may still get one older than that.
            version.ended.is_none_or(|ended| ended.elapsed() < 4 * STALE)
        });
        Ok(())
    }

    /// Negative control: makes one byte of a file that never changes another.
    pub(super) fn corrupt(&self) -> io::Result<()> {
        let path = self.folder.join(PAGES[0].0);
        OpenOptions::new().write(true).open(path)?.write_all_at(b"!", 500)
    }
}

impl Page {
    /// The version of a part of this file, where it is one: `bytes` from `first` on, of `total`, in an answer to a
    /// request that began when it was `asked`. An `Err` says what is wrong with it.
    pub(super) fn judge(&self, bytes: &[u8], first: u64, total: u64, asked: Instant) -> Result<u64, String> {
        let wrong =
            |what: &str| format!("{}, {} bytes from {first} of {total}: {what}", self.name, bytes.len());
        let number = self.version_in(bytes, first).ok_or_else(|| wrong("no version"))?;
        if total != self.length(number) {
            return Err(wrong(&format!("version {number} is of another length")));
        }
        if bytes != self.bytes(number, first, bytes.len() as u64) {
            return Err(wrong(&format!("not all of it is version {number}")));
        }
        if !self.may_be_served(number, asked) {
            return Err(wrong(&format!("version {number} was over")));
        }
        Ok(number)
    }

    /// Whether this version was in its place a short while before it was asked for, or came later.
    pub(super) fn may_be_served(&self, number: u64, asked: Instant) -> bool {
        let versions = lock(&self.versions);
        let version = versions.iter().find(|version| version.number == number);
        version.is_some_and(|version| version.ended.is_none_or(|ended| ended + STALE >= asked))
    }

    /// What the first whole pattern says.
    fn version_in(&self, bytes: &[u8], first: u64) -> Option<u64> {
        let phase = index(first) % PATTERN;
        let at = (PATTERN - phase) % PATTERN;
        let pattern = std::str::from_utf8(bytes.get(at..at + PATTERN)?).ok()?;
        pattern.strip_prefix(self.name)?.strip_prefix(" is version ")?.split(' ').next()?.parse().ok()
    }

    fn bytes(&self, number: u64, first: u64, length: u64) -> Vec<u8> {
        let text = format!("{} is version {number:010} ", self.name);
        let pattern = format!("{text:.<width$}\n", width = PATTERN - 1);
        let (phase, length) = (index(first) % PATTERN, index(length));
        let mut bytes = pattern.into_bytes().repeat(length / PATTERN + 2).split_off(phase);
        bytes.truncate(length);
        bytes
    }

    /// Versions differ in length, so that a length of one with the bytes of another is seen.
    fn length(&self, number: u64) -> u64 {
        self.least + number % SAME_LENGTH * 7
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place in a file of this run; all are small.
fn index(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::TempDir;

    #[test]
    fn every_part_of_every_page_is_known_and_a_changed_byte_is_seen() {
        let folder = TempDir::new("pages").unwrap();
        let pages = Pages::write(folder.path()).unwrap();
        for page in &pages.pages {
            pages.change(page).unwrap();
            let bytes = fs::read(folder.path().join(page.name)).unwrap();
            let total = bytes.len() as u64;
            for first in [0, 1, 60, 61, 100] {
                let part = &bytes[index(first)..index(first + LEAST_PART)];
                let version = page.judge(part, first, total, Instant::now()).unwrap();
                assert_eq!(version > 0, page.change != Change::Never, "{}", page.name);
                assert!(page.judge(part, first + 1, total, Instant::now()).is_err(), "a byte further");
                assert!(page.judge(part, first, total + 1, Instant::now()).is_err(), "of another length");
                let mut changed = part.to_vec();
                changed[70] ^= 1;
                assert!(page.judge(&changed, first, total, Instant::now()).is_err(), "a byte changed");
            }
        }
    }

    #[test]
    fn an_old_version_may_be_served_for_a_while_and_two_in_one_never() {
        let folder = TempDir::new("pages").unwrap();
        let pages = Pages::write(folder.path()).unwrap();
        let page = pages.pages.iter().find(|page| page.change == Change::Overwritten).unwrap();
        let path = folder.path().join(page.name);
        let old = fs::read(&path).unwrap();
        pages.change(page).unwrap();
        let new = fs::read(&path).unwrap();
        let (total, now) = (old.len() as u64, Instant::now());
        assert_eq!(page.judge(&old, 0, total, now), Ok(0));
        assert_eq!(page.judge(&new, 0, total, now), Ok(SAME_LENGTH));
        assert!(page.judge(&old, 0, total, now + 2 * STALE).is_err(), "long over");
        let mixed = [&new[..4096], &old[4096..]].concat();
        assert!(page.judge(&mixed, 0, total, now).is_err());
    }

    #[test]
    fn a_corrupted_file_is_seen() {
        let folder = TempDir::new("pages").unwrap();
        let pages = Pages::write(folder.path()).unwrap();
        pages.corrupt().unwrap();
        let bytes = fs::read(folder.path().join(PAGES[0].0)).unwrap();
        assert!(pages.pages[0].judge(&bytes, 0, bytes.len() as u64, Instant::now()).is_err());
    }
}
