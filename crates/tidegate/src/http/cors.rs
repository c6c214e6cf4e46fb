//! CORS (Fetch, "HTTP CORS protocol"; SPEC SEC-2): which scripts of other origins may read our answers.
//!
//! ```text
//! configured        Origin sent        any answer                      answer to a preflight
//! nothing           –                  –                               –
//! *                 any or none        Allow-Origin: *                 and methods, headers, age
//! https://a, …      https://a          Allow-Origin: https://a, Vary   and methods, headers, age
//!                   other or none      Vary                            Vary
//! ```
//! What is allowed follows from the request alone, so refusals are as readable as files. Credentials are never
//! admitted: this server knows none. `null` is what every sandboxed page says, and is an origin only where it is
//! configured.

use super::request::{Method, Name, Request};

/// The configured origins, each with its fields, encoded.
#[derive(Debug, Default)]
pub struct Cors {
    allowed: Vec<Allowed>,
}

/// An origin whose scripts may read, and what its browser is told.
#[derive(Debug)]
struct Allowed {
    origin: String,
    fields: String,
    preflight: String,
}

/// The anyone of `--cors-origin *`.
const ANY: &str = "*";

/// Where the answer depends on Origin: a cache must not give one origin what was made for another.
const VARY: &str = "Vary: Origin\r\n";

/// What a script may read beside the safelisted fields: what its answer is about (`ETag`, `Location`, a range or a
/// download), what it may do next (methods, when to come again), and the id to report. A list, not `*`: a field that
/// is added later is then no accident.
const EXPOSE: &str = "Access-Control-Expose-Headers: Accept-Ranges, Allow, Content-Disposition, Content-Range, ETag, \
                      Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id\r\n";

/// The methods of all routes together but OPTIONS, which no script sends; of the fields that a script may set, we read
/// only the type of an upload. Ten minutes: after a change of the configuration no browser is wrong for longer.
const PREFLIGHT: &str = "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n\
                         Access-Control-Allow-Methods: GET, HEAD, POST\r\n\
                         Access-Control-Allow-Headers: Content-Type\r\nAccess-Control-Max-Age: 600\r\n";

impl Cors {
    /// Knows `origins`: `*`, `null` or serialised origins. `*` makes the others superfluous.
    pub fn new(origins: &[String]) -> Self {
        let any = origins.iter().find(|origin| *origin == ANY);
        let known = any.map_or(origins, std::slice::from_ref);
        Self { allowed: known.iter().map(|origin| Allowed::new(origin)).collect() }
    }

    /// Whether no origin is configured, so that no answer has fields of this kind.
    #[inline]
    pub const fn is_off(&self) -> bool {
        self.allowed.is_empty()
    }

    /// The fields to add to whatever answers `request`, encoded as `Name: value\r\n` lines.
    pub fn fields(&self, request: &Request<'_>) -> &[u8] {
        let origin = request.single(Name::Origin);
        match self.allowed.iter().find(|allowed| allowed.admits(origin)) {
            Some(allowed) if is_preflight(request) => allowed.preflight.as_bytes(),
            Some(allowed) => allowed.fields.as_bytes(),
            None if self.is_off() => &[],
            None => VARY.as_bytes(),
        }
    }
}

impl Allowed {
    fn new(origin: &str) -> Self {
        let vary = if origin == ANY { "" } else { VARY };
        let allow = format!("Access-Control-Allow-Origin: {origin}\r\n");
        Self {
            origin: origin.to_owned(),
            fields: format!("{vary}{allow}{EXPOSE}"),
            preflight: format!("{allow}{PREFLIGHT}"),
        }
    }

    /// Whole and exact, but for the case of ASCII letters, which scheme and host do not have (RFC 6454 §4).
    fn admits(&self, origin: Option<&[u8]>) -> bool {
        self.origin == ANY || origin.is_some_and(|origin| origin.eq_ignore_ascii_case(self.origin.as_bytes()))
    }
}

/// Fetch, "CORS-preflight request": OPTIONS with both fields.
fn is_preflight(request: &Request<'_>) -> bool {
    request.known_method() == Some(Method::Options)
        && request.has(&[Name::Origin])
        && request.has(&[Name::AccessControlRequestMethod])
}

#[cfg(test)]
mod tests {
    use super::*;
    use http1::{Connection, FieldStorage, Limits};

    fn fields(origins: &[&str], method: &str, lines: &str) -> String {
        let cors = Cors::new(&origins.iter().map(ToString::to_string).collect::<Vec<_>>());
        let head = format!("{method} / HTTP/1.1\r\n{lines}\r\n");
        let mut storage = FieldStorage::new();
        let read = Connection::new().read_head(head.as_bytes(), &mut storage, &Limits::default());
        let request = Request::new(&read.unwrap().unwrap(), head.as_bytes());
        String::from_utf8(cors.fields(&request).to_vec()).unwrap()
    }

    #[test]
    fn sec_2_nothing_is_configured_and_nothing_is_said() {
        for origin in ["", "Origin: https://a\r\n", "Origin: *\r\n", "Origin: null\r\n"] {
            assert_eq!(fields(&[], "GET", origin), "");
        }
        assert!(Cors::new(&[]).is_off());
    }

    #[test]
    fn sec_2_an_allowed_origin_reads_and_every_other_only_varies() {
        let known = ["https://a.example", "http://b.example:81"];
        for (line, allowed) in [
            ("Origin: https://a.example", Some("https://a.example")),
            ("Origin: HTTPS://A.EXAMPLE", Some("https://a.example")),
            ("Origin: http://b.example:81", Some("http://b.example:81")),
            ("Origin: http://a.example", None),
            ("Origin: http://b.example", None),
            ("Origin: https://a.example:443", None),
            ("Origin: https://a.example.evil", None),
            ("Origin: https://evil-a.example", None),
            ("Origin: https://a.example https://a.example", None),
            ("Origin: null", None),
            ("Origin: *", None),
            ("Origin: https://a.example\r\nOrigin: https://a.example", None),
            ("Accept: */*", None),
        ] {
            let said = fields(&known, "GET", &format!("{line}\r\n"));
            let expected = allowed.map_or_else(String::new, |origin| {
                format!("Access-Control-Allow-Origin: {origin}\r\n{EXPOSE}")
            });
            assert_eq!(said, format!("{VARY}{expected}"), "{line}");
        }
    }

    #[test]
    fn sec_2_anyone_is_one_answer_for_all_and_so_does_not_vary() {
        for line in ["Origin: https://a\r\n", "Origin: null\r\n", ""] {
            let said = fields(&["https://b", "*"], "GET", line);
            assert_eq!(said, format!("Access-Control-Allow-Origin: *\r\n{EXPOSE}"));
        }
    }

    #[test]
    fn sec_2_null_must_be_written_to_be_allowed() {
        assert!(fields(&["null"], "GET", "Origin: null\r\n").contains("Allow-Origin: null\r\n"));
        assert_eq!(fields(&["null"], "GET", "Origin: https://a\r\n"), VARY);
    }

    #[test]
    fn sec_2_a_preflight_names_methods_and_headers_to_the_allowed() {
        let asks = "Access-Control-Request-Method: POST\r\n";
        let said = |method, origin| fields(&["https://a"], method, &format!("{origin}{asks}"));
        let expected = format!("Access-Control-Allow-Origin: https://a\r\n{PREFLIGHT}");
        assert_eq!(said("OPTIONS", "Origin: https://a\r\n"), expected);
        assert_eq!(said("OPTIONS", "Origin: https://b\r\n"), VARY);
        assert_eq!(said("OPTIONS", ""), VARY);
        assert!(
            !said("GET", "Origin: https://a\r\n").contains("Allow-Methods"),
            "only OPTIONS asks beforehand"
        );
        assert!(!fields(&["https://a"], "OPTIONS", "Origin: https://a\r\n").contains("Allow-Methods"));
    }
}
