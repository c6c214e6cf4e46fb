//! One certificate for all servers: ECDSA P-256, made for the run by openssl.

use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::tools::Tool;

pub(super) const OPENSSL: Tool = Tool::debian("openssl", "openssl");

/// Where the certificate and its key lie, in PEM.
#[derive(Debug)]
pub(crate) struct Certificate {
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
}

impl Certificate {
    /// In a run's folder, made or not.
    pub(super) fn below(scratch: &Path) -> Self {
        Self { chain: scratch.join("certificate.pem"), key: scratch.join("key.pem") }
    }

    /// Makes both files. An `Err` holds what openssl said.
    pub(crate) fn make(context: &Context, scratch: &Path) -> Result<(), String> {
        let Self { chain, key } = Self::below(scratch);
        let kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
        let mut command = context.command("openssl", &["req"]);
        command.args(kind).args(names).args(["-days", "2"]);
        command.arg("-keyout").arg(key).arg("-out").arg(chain);
        let ran = context.finish(&mut command);
        if ran.success { Ok(()) } else { Err(format!("no certificate; openssl said:\n{}", ran.output)) }
    }
}
