//! The tools the steps need, and how a bare machine gets them.
//!
//! Debian packages need root; everything else goes below the target folder, so that `cargo clean` removes it.

use std::fs;
use std::path::PathBuf;

use super::context::Context;
use super::report::Report;

/// A program (or package) that is not part of the Rust toolchain pinned in `rust-toolchain.toml`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tool {
    /// How it is asked for: the program's name, or the npm package's.
    pub(super) name: &'static str,
    source: Source,
}

/// Where a tool comes from. What a registry brings has its version pinned: a new one arrives by a commit.
#[derive(Clone, Copy, Debug)]
enum Source {
    Debian { package: &'static str },
    Crate { version: &'static str },
    Npm { version: &'static str },
    Rustup,
}

pub(super) const CHROMIUM: Tool = Tool::debian("chromium", "chromium");
pub(super) const NODE: Tool = Tool::debian("node", "nodejs");
pub(super) const PLAYWRIGHT: Tool =
    Tool { name: "playwright-core", source: Source::Npm { version: "1.65.1" } };
pub(super) const DENY: Tool = Tool { name: "cargo-deny", source: Source::Crate { version: "0.20.2" } };
pub(super) const FUZZ: Tool = Tool { name: "cargo-fuzz", source: Source::Crate { version: "0.13.2" } };
pub(super) const NIGHTLY: Tool = Tool { name: "nightly", source: Source::Rustup };

/// In the order of installing: npm comes before what npm brings.
const TOOLS: [Tool; 14] = [
    // libFuzzer is written in C++.
    Tool::debian("c++", "g++"),
    Tool::debian("curl", "curl"),
    Tool::debian("groff", "groff-base"),
    Tool::debian("kill", "procps"),
    Tool::debian("mkfs.ext4", "e2fsprogs"),
    Tool::debian("strace", "strace"),
    Tool::debian("python3", "python3"),
    CHROMIUM,
    NODE,
    Tool::debian("npm", "npm"),
    PLAYWRIGHT,
    DENY,
    FUZZ,
    NIGHTLY,
];

/// The first step: installs what is missing, and says what cannot be.
pub(super) fn install_missing(context: &Context) -> Report {
    let (debian, others): (Vec<Tool>, Vec<Tool>) =
        TOOLS.into_iter().partition(|tool| matches!(tool.source, Source::Debian { .. }));
    let mut report = Report::default();
    install_debian(debian.into_iter().filter(|tool| !tool.is_present(context)), context, &mut report);
    for tool in others.into_iter().filter(|tool| !tool.is_present(context)) {
        report.absorb(tool.install(context));
    }
    // What is there now counts, however it came to be there.
    report.tally.passed = TOOLS.iter().filter(|tool| tool.is_present(context)).count();
    report
}

impl Tool {
    pub(super) const fn debian(name: &'static str, package: &'static str) -> Self {
        Self { name, source: Source::Debian { package } }
    }

    /// Whether it can be used now. Asks the machine, and changes nothing.
    pub(super) fn is_present(&self, context: &Context) -> bool {
        match self.source {
            Source::Debian { .. } | Source::Crate { .. } => context.find(self.name).is_some(),
            Source::Npm { .. } => node_modules(context).join(self.name).join("package.json").is_file(),
            Source::Rustup => context.run("rustup", &["run", self.name, "rustc", "--version"]).success,
        }
    }

    /// Installs a tool that needs no root; skipped by name where not even its installer is there.
    fn install(&self, context: &Context) -> Report {
        let tools = context.tools.to_string_lossy();
        let package;
        let (installer, args): (&str, &[&str]) = match self.source {
            Source::Debian { .. } => return Report::default(),
            // Not optimised: they run for seconds, and would be built for minutes.
            Source::Crate { version } => (
                "cargo",
                &["install", "--locked", "--debug", self.name, "--version", version, "--root", &tools],
            ),
            Source::Npm { version } => {
                package = format!("{}@{version}", self.name);
                ("npm", &["install", "--no-audit", "--no-fund", "--prefix", &tools, &package])
            }
            Source::Rustup => ("rustup", &["toolchain", "install", self.name, "--profile", "minimal"]),
        };
        if context.find(installer).is_none() {
            return Report::skipped(format!("{}: {installer}, which installs it, is missing", self.name));
        }
        // Without a target folder of ours, `cargo install` builds in a temporary one: a gigabyte nobody needs later.
        Report::of(context.finish(context.command(installer, args).env_remove("CARGO_TARGET_DIR")))
    }
}

/// Where npm puts what `--prefix` our tools folder asks for.
pub(super) fn node_modules(context: &Context) -> PathBuf {
    context.tools.join("node_modules")
}

/// All missing Debian packages in one go; without root each is skipped by name.
fn install_debian(missing: impl Iterator<Item = Tool>, context: &Context, report: &mut Report) {
    let missing: Vec<(&str, &str)> = missing
        .filter_map(|tool| match tool.source {
            Source::Debian { package } => Some((tool.name, package)),
            _ => None,
        })
        .collect();
    if missing.is_empty() {
        return;
    }
    if !is_root() {
        for (name, package) in missing {
            report.skip(format!("{name}: installing the Debian package `{package}` needs root"));
        }
        return;
    }
    let mut args = vec!["install", "--yes", "--no-install-recommends"];
    args.extend(missing.iter().map(|(_, package)| package));
    for args in [vec!["update"], args] {
        let ran = context.finish(context.command("apt-get", &args).env("DEBIAN_FRONTEND", "noninteractive"));
        if !ran.success {
            report.absorb(Report::failed(ran.output));
            return;
        }
    }
}

fn is_root() -> bool {
    // The owner of our own /proc entry is the effective user.
    use std::os::unix::fs::MetadataExt;
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_present_only_where_it_is() {
        let context = Context::new(&crate::root()).unwrap();
        assert!(Tool::debian("sh", "dash").is_present(&context));
        assert!(!Tool::debian("no-such-tool", "no-such-tool").is_present(&context));
        assert!(!Tool { name: "no-such-package", source: Source::Npm { version: "1" } }.is_present(&context));
        assert!(!Tool { name: "no-such-toolchain", source: Source::Rustup }.is_present(&context));
    }

    #[test]
    fn names_are_asked_for_once() {
        let mut names: Vec<_> = TOOLS.iter().map(|tool| tool.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), TOOLS.len());
    }
}
