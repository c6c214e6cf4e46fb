//! A listing for programs: the fields are fixed by SPEC FILE-8.

use serde::Serialize;

use super::{Entry, Kind, Listing, Order, rfc3339};

/// The field that says what this is.
pub const FIELDS: &str = "Content-Type: application/json\r\n";

/// `{"path", "truncated", "entries": [{"name", "type", "size", "modified"}]}` for the folder at the decoded `path`,
/// sorted by `order`. Names are not encoded; a folder's size is null; times are RFC 3339 in whole seconds.
pub fn to_json(listing: &Listing, path: &str, order: Order) -> Vec<u8> {
    let entries = listing.sorted(order).into_iter().map(Row::of).collect();
    let document = Document { path, truncated: listing.truncated, entries };
    // Strings, numbers and a vector cannot fail to be written to memory.
    let mut text = serde_json::to_vec(&document).unwrap_or_default();
    text.push(b'\n');
    text
}

#[derive(Serialize)]
struct Document<'l> {
    path: &'l str,
    truncated: bool,
    entries: Vec<Row<'l>>,
}

#[derive(Serialize)]
struct Row<'l> {
    name: &'l str,
    #[serde(rename = "type")]
    kind: &'static str,
    size: Option<u64>,
    modified: String,
}

impl<'l> Row<'l> {
    fn of(entry: &'l Entry) -> Self {
        let (kind, size) = match entry.kind {
            Kind::Folder => ("directory", None),
            Kind::File => ("file", Some(entry.size)),
        };
        Self { name: &entry.name, kind, size, modified: rfc3339(entry.modified) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    #[test]
    fn file_8_json_has_exactly_the_promised_fields() {
        let modified = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 987_654_321);
        let entry = |name: &str, kind, size| Entry { name: name.to_owned(), kind, size, modified };
        let entries = vec![entry("q\"\\\n\u{202e}.txt", Kind::File, u64::MAX), entry("sub", Kind::Folder, 0)];
        let json = to_json(&Listing { entries, truncated: true }, "/a b/", Order::default());
        let expected = concat!(
            r#"{"path":"/a b/","truncated":true,"entries":["#,
            r#"{"name":"sub","type":"directory","size":null,"modified":"2023-11-14T22:13:20Z"},"#,
            r#"{"name":"q\"\\\n"#,
            "\u{202e}",
            r#".txt","type":"file","size":18446744073709551615,"modified":"2023-11-14T22:13:20Z"}]}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(json).unwrap(), expected);
    }

    #[test]
    fn file_8_an_empty_folder_is_an_empty_list() {
        let json = to_json(&Listing { entries: Vec::new(), truncated: false }, "/", Order::default());
        assert_eq!(json, b"{\"path\":\"/\",\"truncated\":false,\"entries\":[]}\n");
    }
}
