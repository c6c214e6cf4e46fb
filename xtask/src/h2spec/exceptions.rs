//! Cases that may fail, each with its reason. One that passes is no exception any more, and that is told.

use super::Way;
use super::junit::{Case, Outcome};

/// A case that fails in one way of speaking to the server.
struct Exception {
    way: Way,
    id: &'static str,
    why: &'static str,
}

const EXCEPTIONS: [Exception; 1] = [Exception {
    way: Way::Clear,
    id: "http2/3.5/2",
    why: "what does not begin with the preface is HTTP/1 on a port in the clear, and gets the 400 of HTTP/1",
}];

/// Whether this case may fail.
pub(super) fn allow(way: &str, case: &Case) -> bool {
    EXCEPTIONS.iter().any(|one| one.way.name() == way && one.id == case.id)
}

/// Each with its reason.
pub(super) fn told() -> impl Iterator<Item = String> {
    EXCEPTIONS.iter().map(|one| format!("{} {}: {}", one.way.name(), one.id, one.why))
}

/// Cases of `way` that pass and are excepted all the same.
pub(super) fn stale(way: &str, cases: &[Case]) -> Vec<String> {
    let passed = cases.iter().filter(|case| case.outcome == Outcome::Passed && allow(way, case));
    passed.map(|case| format!("{way}: {} passes, and is an exception", case.id)).collect()
}
