//! The programs that are not part of the pinned Rust toolchain, and how a bare machine gets them.
//!
//! Debian packages need root; everything else goes below the target folder, so that `cargo clean` removes it.

use std::fs;
use std::path::PathBuf;

use crate::context::Context;

/// A program (or package) that is not part of the Rust toolchain pinned in `rust-toolchain.toml`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    /// How it is asked for: the program's name, or the npm package's.
    pub(crate) name: &'static str,
    source: Source,
}

/// Where a tool comes from. What a registry brings has its version pinned: a new one arrives by a commit.
#[derive(Clone, Copy, Debug)]
enum Source {
    Debian {
        package: &'static str,
    },
    Crate {
        version: &'static str,
        build: &'static [&'static str],
    },
    Npm {
        version: &'static str,
    },
    /// A Python module without dependencies, for programs that look for it in [`python_modules`].
    Pip {
        version: &'static str,
    },
    Rustup,
}

/// Why a tool is still not there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Nobody tried: its installer is not there, or may not be used.
    NotTried(String),
    /// Everything its installer said.
    Failed(String),
}

/// Gets what is missing of `tools`, in their order.
pub(crate) fn install_missing(tools: &[Tool], context: &Context) -> Vec<Missing> {
    let absent = tools.iter().filter(|tool| !tool.is_present(context));
    let (debian, others): (Vec<&Tool>, Vec<&Tool>) =
        absent.partition(|tool| matches!(tool.source, Source::Debian { .. }));
    let mut missing = install_debian(&debian, context);
    // What one installer brings may be the next one's: npm is a Debian package.
    missing.extend(others.into_iter().filter_map(|tool| tool.install(context).err()));
    missing
}

impl Tool {
    pub(crate) const fn debian(name: &'static str, package: &'static str) -> Self {
        Self { name, source: Source::Debian { package } }
    }

    /// A program of a crate, for which `build` is added to the flags of `cargo install`.
    pub(crate) const fn from_crate(
        name: &'static str,
        version: &'static str,
        build: &'static [&'static str],
    ) -> Self {
        Self { name, source: Source::Crate { version, build } }
    }

    pub(crate) const fn npm(name: &'static str, version: &'static str) -> Self {
        Self { name, source: Source::Npm { version } }
    }

    pub(crate) const fn pip(name: &'static str, version: &'static str) -> Self {
        Self { name, source: Source::Pip { version } }
    }

    /// A toolchain.
    pub(crate) const fn rustup(name: &'static str) -> Self {
        Self { name, source: Source::Rustup }
    }

    /// Whether it can be used now. Asks the machine, and changes nothing.
    pub(crate) fn is_present(&self, context: &Context) -> bool {
        match self.source {
            Source::Debian { .. } | Source::Crate { .. } => context.find(self.name).is_some(),
            Source::Npm { .. } => node_modules(context).join(self.name).join("package.json").is_file(),
            Source::Pip { .. } => python_modules(context).join(self.name).is_dir(),
            Source::Rustup => context.run("rustup", &["run", self.name, "rustc", "--version"]).success,
        }
    }

    /// Installs a tool that needs no root.
    fn install(&self, context: &Context) -> Result<(), Missing> {
        let (tools, modules) = (context.tools.to_string_lossy(), python_modules(context));
        let modules = modules.to_string_lossy();
        let package;
        let (installer, args): (&str, Vec<&str>) = match self.source {
            Source::Debian { .. } => return Ok(()),
            Source::Crate { version, build } => {
                let args = ["install", "--locked", self.name, "--version", version, "--root", &tools];
                ("cargo", [&args, build].concat())
            }
            Source::Npm { version } => {
                package = format!("{}@{version}", self.name);
                ("npm", vec!["install", "--no-audit", "--no-fund", "--prefix", &tools, &package])
            }
            Source::Pip { version } => {
                package = format!("{}=={version}", self.name);
                ("pip3", vec!["install", "--quiet", "--no-deps", "--target", &modules, &package])
            }
            Source::Rustup => ("rustup", vec!["toolchain", "install", self.name, "--profile", "minimal"]),
        };
        if context.find(installer).is_none() {
            return Err(Missing::NotTried(format!(
                "{}: {installer}, which installs it, is missing",
                self.name
            )));
        }
        // Without a target folder of ours, `cargo install` builds in a temporary one: a gigabyte nobody needs later.
        let ran = context.finish(context.command(installer, &args).env_remove("CARGO_TARGET_DIR"));
        if ran.success { Ok(()) } else { Err(Missing::Failed(ran.output)) }
    }
}

/// Where npm puts what `--prefix` our tools folder asks for.
pub(crate) fn node_modules(context: &Context) -> PathBuf {
    context.tools.join("node_modules")
}

/// Where tests look for Python modules: `tools/python` below cargo's target folder.
fn python_modules(context: &Context) -> PathBuf {
    context.tools.join("python")
}

/// All missing Debian packages in one go; without root each is named.
fn install_debian(tools: &[&Tool], context: &Context) -> Vec<Missing> {
    let packages: Vec<(&str, &str)> = tools
        .iter()
        .filter_map(|tool| match tool.source {
            Source::Debian { package } => Some((tool.name, package)),
            _ => None,
        })
        .collect();
    if packages.is_empty() {
        return Vec::new();
    }
    if !is_root() {
        let named = |(name, package)| {
            Missing::NotTried(format!("{name}: installing the Debian package `{package}` needs root"))
        };
        return packages.into_iter().map(named).collect();
    }
    let mut args = vec!["install", "--yes", "--no-install-recommends"];
    args.extend(packages.iter().map(|(_, package)| package));
    for args in [vec!["update"], args] {
        let ran = context.finish(context.command("apt-get", &args).env("DEBIAN_FRONTEND", "noninteractive"));
        if !ran.success {
            return vec![Missing::Failed(ran.output)];
        }
    }
    Vec::new()
}

/// Whether we may do everything.
pub(crate) fn is_root() -> bool {
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
        assert!(!Tool::npm("no-such-package", "1").is_present(&context));
        assert!(!Tool::pip("no-such-module", "1").is_present(&context));
        assert!(!Tool::rustup("no-such-toolchain").is_present(&context));
    }

    #[test]
    fn what_is_there_is_not_installed_again() {
        let context = Context::new(&crate::root()).unwrap();
        assert_eq!(install_missing(&[Tool::debian("sh", "no-such-package")], &context), []);
    }
}
