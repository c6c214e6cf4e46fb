//! What every kind of flood may be told, and what follows from it.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};
use std::slice;
use std::str::FromStr;

use super::door::Door;
use crate::bench;
use crate::bench::certificate::Certificate;
use crate::bench::servers::{Kind, Setup, TIDEGATE, TIDEGATE_B};
use crate::bench::wire::Wire;
use crate::context::Context;

/// A command line, flag by flag.
pub(super) struct Words<'w> {
    rest: slice::Iter<'w, &'w str>,
    flag: &'w str,
}

impl<'w> Words<'w> {
    pub(super) fn of(words: &'w [&'w str]) -> Self {
        Self { rest: words.iter(), flag: "" }
    }

    /// The next flag that is not common to all floods; those go to `common` on the way.
    pub(super) fn next(&mut self, common: &mut Common) -> Result<Option<&'w str>, String> {
        while let Some(&flag) = self.rest.next() {
            self.flag = flag;
            match flag {
                "--tls" => common.tls = true,
                "--binary" => common.binary = Some(self.value()?.into()),
                "--write" => common.write = true,
                _ => return Ok(Some(flag)),
            }
        }
        Ok(None)
    }

    /// What follows the flag.
    pub(super) fn value(&mut self) -> Result<&'w str, String> {
        self.rest.next().copied().ok_or_else(|| format!("`{}` needs a value", self.flag))
    }

    /// The number that follows the flag, from 1 to `most`.
    pub(super) fn number<N: FromStr + PartialOrd + From<u8> + Display + Copy>(
        &mut self,
        most: N,
    ) -> Result<N, String> {
        let number = self.value()?.parse().ok().filter(|number| N::from(1) <= *number && *number <= most);
        number.ok_or_else(|| format!("`{}` is a number from 1 to {most}", self.flag))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Common {
    /// All of it over TLS: who floods, and who asks on.
    pub(super) tls: bool,
    /// Another build than that of this checkout.
    binary: Option<PathBuf>,
    pub(super) write: bool,
}

impl Common {
    pub(super) const NONE: Self = Self { tls: false, binary: None, write: false };

    /// What is flooded where nobody names another server.
    pub(super) const fn ours(&self) -> Kind {
        if self.binary.is_some() { TIDEGATE_B } else { TIDEGATE }
    }

    /// What a server speaks: TLS, or `otherwise`.
    pub(super) const fn wire(&self, otherwise: Wire) -> Wire {
        if self.tls { Wire::Tls } else { otherwise }
    }

    pub(super) fn door(&self, port: u16) -> Result<Door, String> {
        if self.tls { Door::tls(port) } else { Ok(Door::clear(port)) }
    }

    /// Builds the server unless a build is named, and makes a certificate where one is shown.
    pub(super) fn setup<'a>(
        &self,
        context: &'a Context,
        scratch: &'a Path,
        otherwise: Wire,
    ) -> Result<Setup<'a>, String> {
        let binary = self.binary.as_ref().map(fs::canonicalize).transpose();
        let binary = binary.map_err(|error| format!("`--binary`: {error}"))?;
        if binary.is_none() {
            bench::build_server(context)?;
        }
        if self.tls {
            Certificate::make(context, scratch)?;
        }
        Ok(Setup { binary, wire: self.wire(otherwise), ..Setup::new(context, scratch) })
    }
}
