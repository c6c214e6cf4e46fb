//! Listings as their readers take them: the names in JSON, the links in HTML as a browser resolves them.

#![allow(unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

use crate::support::Response;

/// The names that a JSON listing tells, in its order; a folder's may end with a slash.
pub fn json_names(response: &Response) -> Vec<String> {
    assert_eq!(response.status, 200, "{}", response.text());
    let kind = response.field("content-type").unwrap();
    assert!(kind.starts_with("application/json"), "{kind}");
    let mut names = Vec::new();
    collect(&response.json(), &mut names);
    names.into_iter().map(|name| name.trim_end_matches('/').to_owned()).collect()
}

/// Every `name` of an entry, wherever the entries stand.
fn collect(value: &serde_json::Value, names: &mut Vec<String>) {
    if let Some(entries) = value.as_array() {
        names.extend(entries.iter().filter_map(|entry| entry["name"].as_str()).map(str::to_owned));
    } else if let Some(fields) = value.as_object() {
        fields.values().for_each(|value| collect(value, names));
    }
}

/// The links of an HTML listing as a browser reads them.
pub fn links(response: &Response) -> Vec<String> {
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.field("content-type"), Some("text/html; charset=utf-8"));
    let text = response.text();
    let values = text.split("href=\"").skip(1).map(|rest| rest.split_once('"').expect("an end").0);
    values.map(unescaped).collect()
}

/// Text with its character references read.
fn unescaped(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        let (name, after) = after.split_once(';').expect("a character reference");
        plain.push_str(before);
        plain.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => numbered(name),
        });
        rest = after;
    }
    plain + rest
}

/// `#39` or `#x27`.
fn numbered(name: &str) -> char {
    let digits = name.strip_prefix('#').unwrap_or_else(|| panic!("&{name};"));
    let hexadecimal = digits.strip_prefix(['x', 'X']).map(|digits| u32::from_str_radix(digits, 16));
    char::from_u32(hexadecimal.unwrap_or_else(|| digits.parse()).unwrap()).unwrap()
}

/// The entry to which a link of the listing at `base` leads, as a browser resolves it; `None` for a link to an
/// order of the listing or to a folder above.
pub fn resolved(base: &str, link: &str) -> Option<String> {
    let has_scheme = link.split(['/', '?', '#']).next().unwrap().contains(':');
    assert!(!has_scheme && !link.starts_with("//") && !link.contains('\\'), "{link:?} leads elsewhere");
    assert!(link.bytes().all(|byte| (0x21..0x7f).contains(&byte)), "{link:?} is no URL");
    assert!(!link.contains(['<', '>', '"']), "{link:?} is not encoded");
    if link.contains('?') || link.starts_with("..") {
        return None;
    }
    let path = link.strip_prefix("./").unwrap_or(link);
    let path = if path.starts_with('/') { path.to_owned() } else { format!("{base}{path}") };
    (path.starts_with(base) && path != base).then_some(path)
}

/// Every byte percent-encoded but the unreserved ones.
pub fn encoded(name: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    name.iter()
        .map(|byte| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A percent-encoded name in one spelling.
pub fn encoded_again(name: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = name.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let digits = std::str::from_utf8(&after[..2]).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(*first);
        }
    }
    encoded(&bytes)
}
