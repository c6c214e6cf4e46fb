//! How a listing is sorted: chosen by the query, `?sort=name|size|modified&order=asc|desc`.

use std::fmt;

use super::{Entry, Listing};

/// An order of entries. Folders come first in each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// What is compared first; then the name.
    pub key: Key,
    /// Whether the key falls instead of rising.
    pub descending: bool,
}

/// A column of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Key {
    /// As people count: `file2` before `File10`.
    #[default]
    Name,
    /// Bytes.
    Size,
    /// Time of the last change.
    Modified,
}

impl Key {
    /// All, in the order of the columns.
    pub const ALL: [Self; 3] = [Self::Name, Self::Size, Self::Modified];

    /// Its name in a query.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Size => "size",
            Self::Modified => "modified",
        }
    }
}

impl Order {
    /// The order that a query asks for, given without its question mark. What is unknown is ignored.
    pub fn of(query: &[u8]) -> Self {
        let mut order = Self::default();
        for parameter in query.split(|byte| *byte == b'&') {
            match parameter {
                b"order=asc" => order.descending = false,
                b"order=desc" => order.descending = true,
                _ => {
                    let key = parameter.strip_prefix(b"sort=");
                    let known = Key::ALL.into_iter().find(|known| key == Some(known.token().as_bytes()));
                    order.key = known.unwrap_or(order.key);
                }
            }
        }
        order
    }

    /// The order that a click on the head of the column `key` gives: the other way round where it is this one.
    #[must_use]
    pub fn toward(self, key: Key) -> Self {
        Self { key, descending: self.key == key && !self.descending }
    }
}

/// As a query, with its question mark; empty for the order that needs none.
impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return Ok(());
        }
        write!(f, "?sort={}&order={}", self.key.token(), if self.descending { "desc" } else { "asc" })
    }
}

impl Listing {
    /// The entries in `order`, the same for any order in which they were read.
    pub fn sorted(&self, order: Order) -> Vec<&Entry> {
        let mut rows: Vec<&Entry> = self.entries.iter().collect();
        rows.sort_by(|a, b| {
            let by_name = || natural(&a.name).cmp(natural(&b.name)).then_with(|| a.name.cmp(&b.name));
            let by_key = match order.key {
                Key::Name => by_name(),
                Key::Size => a.size.cmp(&b.size),
                Key::Modified => a.modified.cmp(&b.modified),
            };
            let by_key = if order.descending { by_key.reverse() } else { by_key };
            a.kind.cmp(&b.kind).then(by_key).then_with(by_name)
        });
        rows
    }
}

/// What people see as one thing in a name: a whole number, or any other character in lower case.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Piece<'n> {
    /// A space, a dot: `file.txt` before `file2.txt`.
    Mark(char),
    /// Decimal digits without leading zeros, and first their count: the longer is the larger.
    Number(usize, &'n str),
    /// A letter of any script.
    Letter(char),
}

/// `name` as people read it. Lazy: ten thousand long names taken apart would fill much memory.
fn natural(name: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if end > 0 {
            let (digits, tail) = rest.split_at(end);
            rest = tail;
            let digits = digits.trim_start_matches('0');
            return Some(Piece::Number(digits.len(), digits));
        }
        rest = rest.strip_prefix(first)?;
        let lower = first.to_lowercase().next()?;
        Some(if lower.is_alphabetic() { Piece::Letter(lower) } else { Piece::Mark(lower) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::files::listing::Kind;
    use std::time::{Duration, SystemTime};

    fn entry(name: &str, kind: Kind, size: u64, seconds: u64) -> Entry {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Entry { name: name.to_owned(), kind, size, modified }
    }

    fn names(listing: &Listing, query: &str) -> String {
        let sorted = listing.sorted(Order::of(query.as_bytes()));
        sorted.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn file_8_names_are_sorted_as_people_count() {
        let sorted = [
            "",
            "-",
            "0",
            "00",
            "01",
            "1",
            "2",
            "10",
            "99999999999999999999",
            "100000000000000000000",
            "A",
            "a",
            "a.txt",
            "a1b",
            "a1c",
            "a2",
            "A10",
            "a10b",
            "ab",
            "Z",
            "ä",
            "Ö",
            "日本",
        ];
        let entries = sorted.iter().rev().map(|name| entry(name, Kind::File, 0, 0)).collect();
        let listing = Listing { entries, truncated: false };
        assert_eq!(names(&listing, ""), sorted.join(" "));
        let falling: Vec<_> = sorted.iter().rev().copied().collect();
        assert_eq!(names(&listing, "order=desc"), falling.join(" "));
    }

    #[test]
    fn file_8_folders_come_first_in_every_order_and_equals_by_name() {
        let entries = vec![
            entry("b", Kind::File, 5, 30),
            entry("y", Kind::Folder, 0, 90),
            entry("c", Kind::File, 9, 20),
            entry("a", Kind::File, 5, 10),
            entry("x", Kind::Folder, 0, 95),
        ];
        let listing = Listing { entries, truncated: false };
        for (query, expected) in [
            ("sort=name", "x y a b c"),
            ("sort=name&order=desc", "y x c b a"),
            ("sort=size", "x y a b c"),
            ("sort=size&order=desc", "x y c a b"),
            ("sort=modified", "y x a c b"),
            ("sort=modified&order=desc", "x y b c a"),
        ] {
            assert_eq!(names(&listing, query), expected, "{query}");
        }
    }

    #[test]
    fn file_8_unknown_words_of_a_query_are_ignored() {
        let order = |key, descending| Order { key, descending };
        for (query, expected) in [
            ("", order(Key::Name, false)),
            ("sort=size", order(Key::Size, false)),
            ("order=desc", order(Key::Name, true)),
            ("x=1&order=desc&&sort=modified", order(Key::Modified, true)),
            ("sort=size&sort=nonsense&order=down", order(Key::Size, false)),
            ("sort=SIZE&order=desc ", order(Key::Name, false)),
            ("sort=&order=&sort", order(Key::Name, false)),
            ("sort=%3cscript%3e", order(Key::Name, false)),
        ] {
            assert_eq!(Order::of(query.as_bytes()), expected, "{query}");
        }
    }

    #[test]
    fn file_8_an_order_is_its_query() {
        for key in Key::ALL {
            for descending in [false, true] {
                let order = Order { key, descending };
                let query = order.to_string();
                assert_eq!(Order::of(query.trim_start_matches('?').as_bytes()), order, "{query}");
                assert_eq!(order.toward(key), Order { key, descending: !descending });
            }
        }
        assert_eq!(Order::default().to_string(), "");
        assert_eq!(Order::default().toward(Key::Size), Order { key: Key::Size, descending: false });
    }
}
