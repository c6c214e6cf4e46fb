//! Media types by file name (SPEC FILE-2): a maintained table, and the few where it is wrong or silent.

/// Extensions whose entry in the table is wrong for the web, missing, or lacks the charset.
const OVERRIDES: &[(&str, &str)] = &[
    ("html", "text/html; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("csv", "text/csv; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("md", "text/markdown; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("svg", "image/svg+xml"),
    ("ts", "text/plain; charset=utf-8"),
    ("tsx", "text/plain; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("wasm", "application/wasm"),
    ("webmanifest", "application/manifest+json"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xml", "application/xml"),
];

/// What a type unknown to us is called.
pub const UNKNOWN: &str = "application/octet-stream";

/// The lower-case extension of a file name; empty where it has none.
pub fn extension(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or_default();
    last.rsplit_once('.').map_or_else(String::new, |(_, extension)| extension.to_ascii_lowercase())
}

/// The media type for a lower-case extension.
pub fn of_extension(extension: &str) -> &'static str {
    if let Some((_, kind)) = OVERRIDES.iter().find(|(known, _)| *known == extension) {
        return kind;
    }
    mime_guess::from_ext(extension).first_raw().unwrap_or(UNKNOWN)
}

/// Whether a coding makes files of this type smaller: texts, and what is written in text or has not been compressed.
pub fn is_worth_coding(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default();
    const APPLICATION: &[&str] = &[
        "javascript",
        "json",
        "rtf",
        "sql",
        "toml",
        "vnd.ms-fontobject",
        "wasm",
        "x-javascript",
        "x-ndjson",
        "x-sh",
        "x-tar",
        "x-yaml",
        "xml",
        "yaml",
    ];
    match essence.split_once('/') {
        Some(("text", _)) => true,
        Some(("application", subtype)) if APPLICATION.contains(&subtype) => true,
        Some(("font", "ttf" | "otf" | "collection") | ("image", "bmp")) => true,
        Some((_, subtype)) => subtype.ends_with("+xml") || subtype.ends_with("+json"),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_2_types_by_extension_in_any_case() {
        for (name, kind) in [
            ("a.html", "text/html; charset=utf-8"),
            ("dir/A.HTM", "text/html; charset=utf-8"),
            ("x.tar.gz", "application/gzip"),
            ("x.mjs", "text/javascript; charset=utf-8"),
            ("x.PNG", "image/png"),
            ("x.woff2", "font/woff2"),
            ("README", UNKNOWN),
            ("a.b/README", UNKNOWN),
            ("x.nonsense", UNKNOWN),
        ] {
            assert_eq!(of_extension(&extension(name)), kind, "{name}");
        }
    }

    #[test]
    fn file_6_texts_are_worth_a_coding_and_images_are_not() {
        for (extension, worth) in [
            ("html", true),
            ("js", true),
            ("json", true),
            ("svg", true),
            ("wasm", true),
            ("webmanifest", true),
            ("txt", true),
            ("ttf", true),
            ("png", false),
            ("jpg", false),
            ("woff2", false),
            ("mp4", false),
            ("zip", false),
            ("gz", false),
            ("pdf", false),
            ("nonsense", false),
        ] {
            assert_eq!(is_worth_coding(of_extension(extension)), worth, "{extension}");
        }
    }
}
