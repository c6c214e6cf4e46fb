//! (path, method) to route, by name only: the disk is not asked (SPEC H1-10, FILE-10).

use crate::http::Method;

/// Who answers a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'p> {
    /// `POST /upload`
    Upload,
    /// `GET /uploads/NAME`; the name is whatever stands there.
    Uploaded(&'p str),
    /// `GET /healthz`
    Health,
    /// `GET /readyz`
    Ready,
    /// A page for operators.
    Admin(Page<'p>),
    /// A name kept for the server itself, with nothing behind it.
    Reserved,
    /// Everything else: a file below the root.
    File,
}

/// The pages for operators (SPEC SEC-6, OBS-2 to OBS-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page<'p> {
    /// `/metrics`
    Metrics,
    /// `/status`
    Status,
    /// `/status/refusals/ID`; the id is whatever stands there.
    Refusal(&'p str),
    /// `/security-dashboard`
    Dashboard,
    /// `/security-dashboard/events`
    Events,
    /// `POST /security-dashboard/bans/lift`
    Lift,
    /// `/security-dashboard/NAME`; the name is whatever stands there.
    Asset(&'p str),
    /// Anything else below `/status` and `/security-dashboard`.
    Nothing,
}

/// Methods of the paths that take something.
pub const ALLOW_UPLOAD: &str = "POST, OPTIONS";
/// Methods of every other path.
pub const ALLOW_READ: &str = "GET, HEAD, OPTIONS";
/// Methods of the server as a whole (`OPTIONS *`).
pub const ALLOW_ALL: &str = "GET, HEAD, POST, OPTIONS";

/// First segments that the server keeps for itself; a file of that name in the root is never served.
pub const RESERVED: &[&str] =
    &["upload", "uploads", "metrics", "status", "healthz", "readyz", "security-dashboard"];

impl<'p> Route<'p> {
    /// The route of a decoded path without its query.
    #[inline]
    pub fn of(path: &'p str) -> Self {
        // Every reserved name begins with one of these letters; most paths do not.
        if !matches!(path.as_bytes().get(1), Some(b'u' | b'm' | b's' | b'h' | b'r')) {
            return Self::File;
        }
        match path {
            "/upload" => Self::Upload,
            "/healthz" => Self::Health,
            "/readyz" => Self::Ready,
            _ => Self::below(path),
        }
    }

    fn below(path: &'p str) -> Self {
        let rest = path.strip_prefix('/').unwrap_or(path);
        let (first, tail) = rest.split_once('/').map_or((rest, None), |(first, tail)| (first, Some(tail)));
        match (first, tail) {
            ("uploads", Some(name)) if !name.is_empty() => Self::Uploaded(name),
            // Only these three own everything below them.
            ("uploads", _) => Self::Reserved,
            ("status", tail) => Self::Admin(Page::of_status(tail)),
            ("security-dashboard", tail) => Self::Admin(Page::of_dashboard(tail)),
            ("metrics", None) => Self::Admin(Page::Metrics),
            _ => Self::File,
        }
    }

    /// Whether its answers are for operators alone, and never for a script of another origin (SEC-2).
    pub fn is_for_operators(self) -> bool {
        matches!(self, Self::Admin(_))
    }

    /// The methods of this route, as `Allow` lists them.
    pub fn allow(self) -> &'static str {
        if self.takes() { ALLOW_UPLOAD } else { ALLOW_READ }
    }

    /// Whether this route takes what is sent, rather than giving something.
    fn takes(self) -> bool {
        matches!(self, Self::Upload | Self::Admin(Page::Lift))
    }

    /// Whether this route answers `method`.
    #[inline]
    pub fn answers(self, method: Method) -> bool {
        match method {
            Method::Options => true,
            Method::Post => self.takes(),
            Method::Get | Method::Head => !self.takes(),
        }
    }
}

impl<'p> Page<'p> {
    fn of_status(tail: Option<&'p str>) -> Self {
        match tail {
            None | Some("") => Self::Status,
            Some(tail) => tail.strip_prefix("refusals/").map_or(Self::Nothing, Self::Refusal),
        }
    }

    fn of_dashboard(tail: Option<&'p str>) -> Self {
        match tail {
            None | Some("") => Self::Dashboard,
            Some("events") => Self::Events,
            Some("bans/lift") => Self::Lift,
            Some(name) => Self::Asset(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_10_reserved_names_never_reach_the_disk() {
        for (path, route) in [
            ("/", Route::File),
            ("/index.html", Route::File),
            ("/upload", Route::Upload),
            ("/upload/", Route::File),
            ("/uploads", Route::Reserved),
            ("/uploads/", Route::Reserved),
            ("/uploads/a", Route::Uploaded("a")),
            ("/uploads/a/b", Route::Uploaded("a/b")),
            ("/uploadsx", Route::File),
            ("/metrics", Route::Admin(Page::Metrics)),
            ("/metrics/", Route::File),
            ("/status", Route::Admin(Page::Status)),
            ("/status/refusals/1", Route::Admin(Page::Refusal("1"))),
            ("/status/x", Route::Admin(Page::Nothing)),
            ("/statusx", Route::File),
            ("/security-dashboard", Route::Admin(Page::Dashboard)),
            ("/security-dashboard/", Route::Admin(Page::Dashboard)),
            ("/security-dashboard/events", Route::Admin(Page::Events)),
            ("/security-dashboard/bans/lift", Route::Admin(Page::Lift)),
            ("/security-dashboard/a.js", Route::Admin(Page::Asset("a.js"))),
            ("/healthz", Route::Health),
            ("/readyz", Route::Ready),
            ("/readyz/x", Route::File),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn h1_1_methods_by_route() {
        assert!(Route::Upload.answers(Method::Post) && !Route::Upload.answers(Method::Get));
        assert!(Route::File.answers(Method::Head) && !Route::File.answers(Method::Post));
        assert!(Route::Reserved.answers(Method::Options));
        let lift = Route::Admin(Page::Lift);
        assert!(lift.answers(Method::Post) && !lift.answers(Method::Get));
        assert!(!Route::Admin(Page::Metrics).answers(Method::Post));
    }
}
