//! A listing for people: one table that works without script, in any width, in light and dark.
//!
//! Every link is relative, so that the page is right behind a proxy that serves it under another path. End tags
//! that HTML lets one leave out are left out of the rows.

use super::{Entry, Key, Kind, Listing, MAX_ENTRIES, Order, rfc3339};
use crate::http::page::{Text, policy, push};
use crate::http::url_path;

const STYLE: &str = include_str!("page.css");
/// Of [`STYLE`], for the policy; a test says the new one after a change.
const STYLE_HASH: &str = "sha256-F9BZci3OS5WLoHFHSGmZFB8HoKs6ka82acnyBOsrQL0=";

/// The fields of a page beside its length: its type, and a policy that admits its style and nothing else.
pub fn fields() -> String {
    format!("Content-Type: text/html; charset=utf-8\r\n{}", policy(STYLE_HASH))
}

/// The page of the folder at the decoded `path`, which begins and ends with a slash, sorted by `order`.
pub fn to_html(listing: &Listing, path: &str, order: Order) -> Vec<u8> {
    let mut page = String::with_capacity(STYLE.len() + 1024 + 256 * listing.entries.len());
    push(
        &mut page,
        format_args!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" \
             content=\"width=device-width\">\n<title>Index of {}</title>\n<style>{STYLE}</style>\n",
            Text(path)
        ),
    );
    let folders: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    push_way(&mut page, &folders, order);
    let here = Text(folders.last().unwrap_or(&"/"));
    push(&mut page, format_args!("<main>\n<h1>Index of <bdi>{here}</bdi></h1>\n"));
    push_table(&mut page, listing, order);
    page.push_str("</main>\n</html>\n");
    page.into_bytes()
}

/// The folders from the root down to this one, and how to go up by one.
fn push_way(page: &mut String, folders: &[&str], order: Order) {
    let Some((here, above)) = folders.split_last() else { return };
    let query = order.to_string();
    page.push_str("<nav aria-label=\"Folders above\">\n<ol>\n");
    for (index, name) in std::iter::once(&"Top").chain(above).enumerate() {
        let up = "../".repeat(folders.len() - index);
        push(page, format_args!("<li><a href=\"{up}{}\"><bdi>{}</bdi></a>\n", Text(&query), Text(name)));
    }
    push(page, format_args!("<li aria-current=\"page\"><bdi>{}</bdi>\n</ol>\n", Text(here)));
    push(page, format_args!("<a href=\"../{}\" rel=\"up\">Parent folder</a>\n</nav>\n", Text(&query)));
}

fn push_table(page: &mut String, listing: &Listing, order: Order) {
    push(page, format_args!("<table>\n<caption>{}</caption>\n<thead>\n<tr>", summary(listing)));
    for key in Key::ALL {
        push_head(page, key, order);
    }
    page.push_str("\n<tbody>\n");
    let query = order.to_string();
    for entry in listing.sorted(order) {
        push_row(page, entry, &query);
    }
    page.push_str("</table>\n");
}

/// The head of a column: a link that sorts by it, or turns it round.
fn push_head(page: &mut String, key: Key, order: Order) {
    let label = match key {
        Key::Name => "Name",
        Key::Size => "Size",
        Key::Modified => "Modified <small>UTC</small>",
    };
    let sorted = match (order.key == key, order.descending) {
        (false, _) => "",
        (true, false) => " aria-sort=\"ascending\"",
        (true, true) => " aria-sort=\"descending\"",
    };
    // Without a query `./` leads to the folder itself, in the order that needs none.
    let link = format!("./{}", order.toward(key));
    push(page, format_args!("<th scope=\"col\"{sorted}><a href=\"{}\">{label}</a>", Text(&link)));
}

fn push_row(page: &mut String, entry: &Entry, query: &str) {
    // With `./` in front no name can be taken for a scheme or a host (RFC 3986 §4.2).
    let (name, href) = (Text(&entry.name), url_path::encode(&entry.name));
    match entry.kind {
        Kind::Folder => push(
            page,
            format_args!(
                "<tr class=\"folder\"><th scope=\"row\"><a href=\"./{href}/{}\"><bdi>{name}</bdi>/</a><td>–",
                Text(query)
            ),
        ),
        Kind::File => push(
            page,
            format_args!(
                "<tr><th scope=\"row\"><a href=\"./{href}\"><bdi>{name}</bdi></a><td><data value=\"{size}\" \
                 title=\"{size} bytes\">{}</data>",
                human(entry.size),
                size = entry.size
            ),
        ),
    }
    let stamp = rfc3339(entry.modified);
    let (day, clock) = stamp.split_once('T').unwrap_or_default();
    let minute = clock.rsplit_once(':').unwrap_or_default().0;
    push(page, format_args!("<td><time datetime=\"{stamp}\">{day}<span> {minute}</span></time>\n"));
}

/// What is in the table, in one sentence.
fn summary(listing: &Listing) -> String {
    let files = listing.entries.iter().filter(|entry| entry.kind == Kind::File);
    let (count, bytes) =
        files.fold((0, 0_u64), |(count, bytes), file| (count + 1, bytes.saturating_add(file.size)));
    let of = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    let (folders, files) = (of(listing.entries.len() - count, "folder"), of(count, "file"));
    let more = match listing.truncated {
        true => format!("; the folder holds more than the {MAX_ENTRIES} entries that were looked at"),
        false => String::new(),
    };
    format!("{folders} and {files} of {} in all{more}.", human(bytes))
}

/// Bytes as two or three digits and a binary unit.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut units) = (bytes as f64 / 1024.0, UNITS.iter());
    let mut unit = units.next();
    // What would be rounded to 1024 is 1.0 of the next unit.
    while value >= 1023.5 {
        value /= 1024.0;
        unit = units.next();
    }
    let decimals = usize::from(value < 9.95);
    format!("{value:.decimals$} {}", unit.unwrap_or(&"EiB"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    fn entry(name: &str, kind: Kind, size: u64) -> Entry {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        Entry { name: name.to_owned(), kind, size, modified }
    }

    fn page(entries: Vec<Entry>, path: &str, query: &str) -> String {
        let listing = Listing { entries, truncated: false };
        String::from_utf8(to_html(&listing, path, Order::of(query.as_bytes()))).unwrap()
    }

    /// The values of all `href`s, as a browser reads them.
    fn links(page: &str) -> Vec<String> {
        let values = page.split("href=\"").skip(1).map(|rest| rest.split_once('"').unwrap().0);
        values.map(|value| value.replace("&amp;", "&")).collect()
    }

    #[test]
    fn sec_3_the_policy_of_the_page_admits_its_style_and_nothing_else() {
        assert_eq!(STYLE_HASH, crate::http::page::tests::hash_of(STYLE));
        let page = page(Vec::new(), "/", "");
        assert_eq!(page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0, STYLE);
        assert!(fields().contains(&format!("default-src 'none'; style-src '{STYLE_HASH}';")));
        assert!(!page.contains("style=") && !page.contains("<script") && !page.contains("<img"));
    }

    #[test]
    fn file_8_rows_say_name_size_and_time() {
        let text = page(vec![entry("a b.txt", Kind::File, 1536), entry("sub", Kind::Folder, 0)], "/", "");
        for expected in [
            "<tr class=\"folder\"><th scope=\"row\"><a href=\"./sub/\"><bdi>sub</bdi>/</a><td>–<td>",
            "<tr><th scope=\"row\"><a href=\"./a%20b.txt\"><bdi>a b.txt</bdi></a><td>\
             <data value=\"1536\" title=\"1536 bytes\">1.5 KiB</data><td>",
            "<time datetime=\"2023-11-14T22:13:20Z\">2023-11-14<span> 22:13</span></time>",
            "<caption>1 folder and 1 file of 1.5 KiB in all.</caption>",
            "<title>Index of /</title>",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        assert!(text.find("./sub/") < text.find("./a%20b.txt") && !text.contains("<nav"));
    }

    #[test]
    fn file_8_no_name_is_markup_or_leads_elsewhere() {
        for (name, href, shown) in [
            (
                "<img src=x onerror=alert(1)>",
                "./%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E",
                "&lt;img src=x onerror=alert(1)&gt;",
            ),
            ("\" onclick=\"alert(1)", "./%22%20onclick%3D%22alert%281%29", "&quot; onclick=&quot;alert(1)"),
            ("'q'", "./%27q%27", "&#39;q&#39;"),
            ("javascript:alert(1)", "./javascript%3Aalert%281%29", "javascript:alert(1)"),
            ("a:b", "./a%3Ab", "a:b"),
            ("a\nb", "./a%0Ab", "a[U+000A]b"),
            ("%2e%2e", "./%252e%252e", "%2e%2e"),
            ("?q#f", "./%3Fq%23f", "?q#f"),
            ("a&amp;b", "./a%26amp%3Bb", "a&amp;amp;b"),
            ("<style><script>", "./%3Cstyle%3E%3Cscript%3E", "&lt;style&gt;&lt;script&gt;"),
            ("🦀", "./%F0%9F%A6%80", "🦀"),
            ("\u{202e}gpj.exe", "./%E2%80%AEgpj.exe", "[U+202E]gpj.exe"),
        ] {
            let text = page(vec![entry(name, Kind::File, 0)], "/", "");
            assert!(
                text.contains(&format!("<a href=\"{href}\"><bdi>{shown}</bdi></a>")),
                "{name:?} in\n{text}"
            );
            // Of a folder it is in the title, the heading and the way here.
            let within = page(Vec::new(), &format!("/{name}/"), "");
            assert_eq!(within.matches(shown).count(), 3, "{name:?} in\n{within}");
            assert!(!within.contains(&format!("<bdi>{name}</bdi>")) || name == shown);
        }
    }

    #[test]
    fn file_8_the_way_here_is_relative_and_keeps_the_order() {
        let text = page(vec![entry("d", Kind::Folder, 0)], "/one/a b/three/", "sort=size&order=desc");
        let query = "?sort=size&order=desc";
        let expected = ["../../../", "../../", "../", "../"].map(|up| format!("{up}{query}"));
        assert_eq!(links(&text)[..4], expected);
        assert_eq!(links(&text).last().unwrap(), &format!("./d/{query}"));
        assert!(text.contains("<li aria-current=\"page\"><bdi>three</bdi>") && text.contains("rel=\"up\""));
        assert_eq!(links(&page(Vec::new(), "/one/", ""))[..2], ["../", "../"]);
    }

    #[test]
    fn file_8_the_heads_of_the_columns_sort_and_say_how() {
        for (query, sorted, heads) in [
            (
                "",
                "<th scope=\"col\" aria-sort=\"ascending\"><a href=\"./?sort=name",
                ["./?sort=name&order=desc", "./?sort=size&order=asc", "./?sort=modified&order=asc"],
            ),
            (
                "order=desc",
                "<th scope=\"col\" aria-sort=\"descending\"><a href=\"./\">Name",
                ["./", "./?sort=size&order=asc", "./?sort=modified&order=asc"],
            ),
            (
                "sort=size",
                "<th scope=\"col\" aria-sort=\"ascending\"><a href=\"./?sort=size",
                ["./", "./?sort=size&order=desc", "./?sort=modified&order=asc"],
            ),
        ] {
            let text = page(Vec::new(), "/", query);
            assert!(text.contains(sorted), "{query}: {text}");
            assert_eq!(
                (links(&text), text.matches("aria-sort=\"").count()),
                (heads.map(String::from).to_vec(), 1 + STYLE.matches("aria-sort=\"").count())
            );
        }
    }

    #[test]
    fn file_8_more_than_is_shown_is_said() {
        let listing = Listing { entries: Vec::new(), truncated: true };
        let text = String::from_utf8(to_html(&listing, "/", Order::default())).unwrap();
        assert!(
            text.contains(
                "0 folders and 0 files of 0 B in all; the folder holds more than the 10000 entries"
            ),
            "{text}"
        );
    }

    #[test]
    fn file_8_sizes_are_read_at_a_glance() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10_188, "9.9 KiB"),
            (10_189, "10 KiB"),
            (1_048_063, "1023 KiB"),
            (1_048_064, "1.0 MiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(human(bytes), expected, "{bytes}");
        }
    }
}
