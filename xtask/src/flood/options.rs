//! What every kind of flood may be told, and what follows from it.

use std::fs;
use std::path::{Path, PathBuf};

use super::door::Door;
use crate::bench;
use crate::bench::certificate::Certificate;
use crate::bench::servers::{Kind, Setup, TIDEGATE, TIDEGATE_B};
use crate::bench::wire::Wire;
use crate::context::Context;

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

    /// Whether `flag` is one of these; `value` is what follows it.
    pub(super) fn take(
        &mut self,
        flag: &str,
        value: impl FnOnce() -> Result<PathBuf, String>,
    ) -> Result<bool, String> {
        match flag {
            "--tls" => self.tls = true,
            "--binary" => self.binary = Some(value()?),
            "--write" => self.write = true,
            _ => return Ok(false),
        }
        Ok(true)
    }

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
