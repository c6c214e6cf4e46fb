//! `tidegate explain` (SPEC RUN-4, SEC-4): every code of the contract, its status, and what one can do.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;

use process::run;
use support::{Folder, Server};

/// The codes of the contract by status.
const CODES: &[(u16, &str)] = &[
    (400, "bad_request_line bad_head bad_framing bad_chunk bad_target bad_host host_missing invalid_json"),
    (403, "host_not_allowed traversal admin_forbidden banned unreadable"),
    (404, "not_found"),
    (405, "method_not_allowed"),
    (408, "slow_head slow_body"),
    (411, "length_required"),
    (412, "precondition_failed"),
    (413, "body_too_large"),
    (414, "target_too_long"),
    (415, "not_json content_encoding"),
    (416, "range_not_satisfiable"),
    (417, "expectation_failed"),
    (421, "misdirected"),
    (429, "rate_limited too_many_from_client"),
    (431, "head_too_large too_many_fields"),
    (500, "internal store_error"),
    (501, "unknown_coding"),
    (503, "pool_saturated too_many_connections uploads_unavailable uploads_busy store_degraded draining"),
    (505, "http_version"),
    (507, "disk_full quota_exceeded"),
];

fn codes() -> impl Iterator<Item = (u16, &'static str)> {
    CODES.iter().flat_map(|(status, names)| names.split(' ').map(|name| (*status, name)))
}

#[test]
fn run_4_sec_4_every_code_is_explained_with_its_status() {
    let folder = Folder::new();
    for (status, code) in codes() {
        let outcome = run(&folder.0, &["explain", code], &[]);
        assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), ""), "{code}");
        assert!(outcome.out.contains(code) && outcome.out.contains(&status.to_string()), "{}", outcome.out);
        assert!(outcome.out.lines().count() >= 3, "more than its name: {}", outcome.out);
    }
}

/// A flag that an explanation names is one that the program has.
#[test]
fn run_4_explanations_name_flags_that_exist() {
    let folder = Folder::new();
    let help = run(&folder.0, &["--help"], &[]).out;
    let mut named = 0;
    for (_, code) in codes() {
        let text = run(&folder.0, &["explain", code], &[]).out;
        for word in text.split(|c: char| c.is_whitespace() || "`'\",.;:()=".contains(c)) {
            if let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) {
                assert!(help.contains(&format!("--{flag}")), "--{flag} in {code}");
                named += 1;
            }
        }
    }
    assert!(named > 10, "{named} flags named");
}

#[test]
fn run_4_explain_alone_lists_all_codes() {
    let folder = Folder::new();
    let outcome = run(&folder.0, &["explain"], &[]);
    assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), ""));
    let mut last = 0;
    for (status, code) in codes() {
        let words = |line: &&str| line.split_whitespace().any(|word| word.trim_matches('`') == code);
        assert!(outcome.out.lines().any(|line| words(&line)), "{code}: {}", outcome.out);
        assert!(status >= last, "the control: this list is by status");
        last = status;
    }
}

#[test]
fn run_4_an_unknown_code_is_exit_2_with_the_nearest() {
    let folder = Folder::new();
    for (wrong, near) in
        [("travesal", "traversal"), ("rate_limit", "rate_limited"), ("too_many_field", "too_many_fields")]
    {
        let outcome = run(&folder.0, &["explain", wrong], &[]);
        assert_eq!((outcome.code, outcome.out.as_str()), (Some(2), ""), "{wrong}");
        assert!(outcome.err.contains(near), "{wrong}: {}", outcome.err);
    }
    assert_eq!(run(&folder.0, &["explain", "traversal", "x"], &[]).code, Some(2));
}

/// What the server sends is what the program explains.
#[test]
fn sec_4_a_refusal_in_the_wild_is_explained_by_its_code() {
    let server = Server::start(&[]);
    for target in ["/missing", "/../x", "/%zz", "/upload"] {
        let refused = server.get(target);
        let outcome = run(&server.folder.0, &["explain", &refused.code()], &[]);
        assert_eq!(outcome.code, Some(0), "{}", refused.code());
        assert!(outcome.out.contains(&refused.status.to_string()), "{}", outcome.out);
    }
}
