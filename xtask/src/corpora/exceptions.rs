//! Where we differ from the authors of a corpus on purpose: each case with what we do instead, and why.

use super::cases::{Case, Says};

/// What is right instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instead {
    Refused,
    Accepted,
    /// Nothing follows from it for us, but that it ends and is answered no more often than it may be.
    Unjudged,
}

/// One reason, and the cases that it is for.
#[derive(Debug)]
pub(super) struct Exception {
    pub(super) instead: Instead,
    why: &'static str,
    corpus: &'static str,
    names: &'static [&'static str],
}

impl Exception {
    fn is_for(&self, case: &Case) -> bool {
        self.corpus == case.corpus && self.names.contains(&case.name.as_str())
    }
}

const fn gunicorn(instead: Instead, names: &'static [&'static str], why: &'static str) -> Exception {
    Exception { instead, why, corpus: super::gunicorn::NAME, names }
}

const fn llhttp(instead: Instead, names: &'static [&'static str], why: &'static str) -> Exception {
    Exception { instead, why, corpus: super::llhttp::NAME, names }
}

use Instead::{Accepted, Refused, Unjudged};

const EXCEPTIONS: &[Exception] = &[
    // Their authors take them.
    gunicorn(
        Refused,
        &["valid/024", "valid/026"],
        "made for an option that raises a limit; H1-5: request line 8000, head 8192",
    ),
    gunicorn(
        Refused,
        &["valid/025", "valid/029", "valid/030"],
        "Transfer-Encoding twice: read differently along a chain (H1-4)",
    ),
    gunicorn(
        Refused,
        &[
            "valid/025_line",
            "valid/rfc9112_smuggle_gzip_chunked_01",
            "valid/rfc9112_smuggle_te_identity_chunked_01",
        ],
        "a coding that is not understood is 501 (RFC 9112 section 6.1, H1-4)",
    ),
    gunicorn(Refused, &["valid/005"], "a fragment is never sent (RFC 9112 section 3.2, H1-7)"),
    gunicorn(Refused, &["valid/009"], "Transfer-Encoding beside Content-Length (RFC 9112 section 6.1, H1-4)"),
    gunicorn(Refused, &["valid/027"], "a raw byte above 0x7f is in no URI (RFC 3986 section 2, H1-7)"),
    gunicorn(Refused, &["valid/028"], "an option; space before the colon is 400 (RFC 9112 section 5.1)"),
    gunicorn(
        Refused,
        &["valid/compat_obs_fold", "valid/compat_obs_fold_huge"],
        "an option; folded lines are refused (RFC 9112 section 5.2, H1-4)",
    ),
    gunicorn(
        Refused,
        &["valid/pp_01", "valid/pp_02", "valid/pp_04", "valid/pp_05"],
        "an option; the PROXY protocol is not HTTP",
    ),
    gunicorn(
        Refused,
        &["valid/rfc9112_target_absolute_userinfo_01"],
        "userinfo from an untrusted source is an error (RFC 9110 section 4.2.4, HOST-1)",
    ),
    // Their authors refuse them.
    gunicorn(
        Accepted,
        &["invalid/006", "invalid/010", "invalid/011", "invalid/012"],
        "made for options that lower a limit; ours are those of H1-5",
    ),
    gunicorn(
        Unjudged,
        &["invalid/040"],
        "sound to HTTP (a field name that a gateway would map to another); of HTTP/1.0, so it closes either way",
    ),
    gunicorn(
        Accepted,
        &["invalid/016"],
        "no target, but of a method that is 405 whatever the target (H1-10)",
    ),
    gunicorn(Accepted, &["invalid/003c"], "`-bl` is a token (RFC 9110 section 9.1); H1-1: 405"),
    gunicorn(
        Accepted,
        &["invalid/019", "invalid/041", "invalid/chunked_07"],
        "sound to HTTP: what a gateway makes of such fields (a scheme, an environment, a type) is no question here",
    ),
    gunicorn(
        Accepted,
        &[
            "invalid/rfc9110_trailer_forbidden_cl_01",
            "invalid/rfc9110_trailer_forbidden_host_01",
            "invalid/rfc9110_trailer_forbidden_te_01",
        ],
        "trailers are dropped, whatever they are called, and never merged (RFC 9110 section 6.5.1, H1-4)",
    ),
    llhttp(
        Refused,
        &[
            "method: SOURCE request with ICE",
            "method: OPTIONS request with RTSP",
            "method: ANNOUNCE request with RTSP",
        ],
        "other protocols",
    ),
    llhttp(Refused, &["sample: No HTTP version"], "HTTP/0.9 (H1-2)"),
    llhttp(
        Refused,
        &[
            "transfer-encoding: POST with `chunked` as last transfer-encoding",
            "transfer-encoding: POST with `chunked` as last transfer-encoding (multiple headers)",
        ],
        "a coding that is not understood is 501, Transfer-Encoding twice 400 (RFC 9112 section 6.1, H1-4)",
    ),
    llhttp(Refused, &["uri: Fragment in URI"], "a fragment is never sent (RFC 9112 section 3.2, H1-7)"),
    llhttp(
        Refused,
        &["uri: `host:port` and basic auth"],
        "userinfo from an untrusted source is an error (RFC 9110 section 4.2.4, HOST-1)",
    ),
    llhttp(
        Accepted,
        &[
            "invalid: HTTP protocol and ANNOUNCE method",
            "invalid: Invalid method",
            "method: PRI request HTTP2",
        ],
        "a method is any token (RFC 9110 section 9.1); H1-1: 405",
    ),
    llhttp(
        Unjudged,
        &[
            "connection: Multiple tokens with folding and LWS",
            "connection: Upgrade GET request",
            "connection: Upgrade POST request",
            "connection: Emitting part of body and pausing",
        ],
        "no upgrade is made (RFC 9110 section 7.8), so what follows is read as a request, which it is not",
    ),
];

/// The exception that `case` is.
pub(super) fn of(case: &Case) -> Option<&'static Exception> {
    EXCEPTIONS.iter().find(|one| one.is_for(case))
}

/// Each reason with how many of `cases` it is for.
pub(super) fn told(cases: &[Case]) -> Vec<String> {
    let count = |one: &Exception| cases.iter().filter(|case| one.is_for(case)).count();
    let counted = EXCEPTIONS.iter().map(|one| (count(one), one)).filter(|(count, _)| *count > 0);
    counted.map(|(count, one)| format!("{count} {:?} ({}): {}", one.instead, one.corpus, one.why)).collect()
}

/// Exceptions that are none, for the authors say the same. One without a case is of another version of its corpus.
pub(super) fn stale(cases: &[Case]) -> Vec<String> {
    let agreeing = cases.iter().filter(|case| of(case).is_some_and(|one| agrees(case.says, one.instead)));
    agreeing.map(|case| format!("the authors of {} `{}` say the same", case.corpus, case.name)).collect()
}

fn agrees(says: Says, instead: Instead) -> bool {
    matches!((says, instead), (Says::Valid { .. }, Accepted) | (Says::Invalid { .. }, Refused))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_case_has_two_reasons() {
        let mut names: Vec<_> =
            EXCEPTIONS.iter().flat_map(|one| one.names.iter().map(|name| (one.corpus, name))).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn an_exception_that_is_none_is_told() {
        let case = Case {
            corpus: "gunicorn",
            name: "valid/005".to_owned(),
            bytes: vec![],
            says: Says::Invalid { after: 0 },
        };
        assert_eq!(stale(&[case]), ["the authors of gunicorn `valid/005` say the same"]);
    }
}
