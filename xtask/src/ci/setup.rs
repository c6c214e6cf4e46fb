//! The tools the steps need.

use super::report::Report;
use crate::context::Context;
use crate::tools::{self, Missing, Tool};

pub(super) const CHROMIUM: Tool = Tool::debian("chromium", "chromium");
pub(super) const NODE: Tool = Tool::debian("node", "nodejs");
pub(super) const PIP: Tool = Tool::debian("pip3", "python3-pip");
pub(super) const PLAYWRIGHT: Tool = Tool::npm("playwright-core", "1.65.1");
// Not optimised: they run for seconds, and would be built for minutes.
pub(super) const DENY: Tool = Tool::from_crate("cargo-deny", "0.20.2", &["--debug"]);
pub(super) const FUZZ: Tool = Tool::from_crate("cargo-fuzz", "0.13.2", &["--debug"]);
pub(super) const NIGHTLY: Tool = Tool::rustup("nightly");

/// In the order of installing: npm comes before what npm brings.
const TOOLS: [Tool; 24] = [
    Tool::debian("brotli", "brotli"),
    // libFuzzer is written in C++.
    Tool::debian("c++", "g++"),
    Tool::debian("curl", "curl"),
    Tool::debian("faketime", "faketime"),
    Tool::debian("groff", "groff-base"),
    Tool::debian("kill", "procps"),
    Tool::debian("mkfs.ext4", "e2fsprogs"),
    // h2load comes with it.
    Tool::debian("nghttp", "nghttp2-client"),
    Tool::debian("nginx", "nginx"),
    Tool::debian("openssl", "openssl"),
    Tool::debian("promtool", "prometheus"),
    Tool::debian("strace", "strace"),
    Tool::debian("systemd-analyze", "systemd"),
    Tool::debian("python3", "python3"),
    Tool::debian("zstd", "zstd"),
    CHROMIUM,
    NODE,
    PIP,
    Tool::debian("npm", "npm"),
    PLAYWRIGHT,
    // Another reading of requests, for the test `differential`.
    Tool::pip("h11", "0.16.0"),
    DENY,
    FUZZ,
    NIGHTLY,
];

/// The first step: installs what is missing, and says what cannot be.
pub(super) fn install_missing(context: &Context) -> Report {
    let mut report = Report::default();
    for missing in tools::install_missing(&TOOLS, context) {
        report.absorb(match missing {
            Missing::NotTried(why) => Report::skipped(why),
            Missing::Failed(output) => Report::failed(output),
        });
    }
    // What is there now counts, however it came to be there.
    report.tally.passed = TOOLS.iter().filter(|tool| tool.is_present(context)).count();
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_asked_for_once() {
        let mut names: Vec<_> = TOOLS.iter().map(|tool| tool.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TOOLS.len());
    }
}
