//! A certificate in which a scanner finds no fault: of an authority, for `localhost`, by openssl.

use std::path::{Path, PathBuf};

use crate::context::Context;

/// Half a year: below two months testssl warns, above thirteen browsers refuse.
const DAYS: &str = "180";

/// What signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Ecdsa,
    Rsa,
}

/// Files of one certificate; `folder` holds them and nothing else.
pub(super) struct Certificate {
    pub(super) folder: PathBuf,
    pub(super) authority: PathBuf,
    pub(super) chain: PathBuf,
    pub(super) key: PathBuf,
}

impl Key {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ecdsa => "ECDSA",
            Self::Rsa => "RSA",
        }
    }

    /// How openssl is asked for one.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Ecdsa => &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            Self::Rsa => &["-newkey", "rsa:2048"],
        }
    }
}

impl Certificate {
    /// Makes an authority and a certificate of it, in a new folder below `parent`.
    pub(super) fn make(context: &Context, parent: &Path, key: Key) -> Result<Self, String> {
        let folder = parent.join(key.name());
        std::fs::create_dir(&folder).map_err(|error| format!("no folder for certificates: {error}"))?;
        let file = |name: &str| folder.join(name);
        let (authority, signing) = (file("authority.pem"), file("authority.key"));
        let certificate = Self { authority, chain: file("chain.pem"), key: file("key.pem"), folder };
        certificate.issue(context, key, &signing, &certificate.authority, &[], &AUTHORITY)?;
        let [issuer, by] = [&certificate.authority, &signing].map(|path| path.to_string_lossy().into_owned());
        let signed = ["-CA", &issuer, "-CAkey", &by];
        certificate.issue(context, key, &certificate.key, &certificate.chain, &signed, &LEAF)?;
        Ok(certificate)
    }

    fn issue(
        &self,
        context: &Context,
        key: Key,
        to: &Path,
        into: &Path,
        signed: &[&str],
        about: &[&str],
    ) -> Result<(), String> {
        let mut command = context.command("openssl", &["req", "-x509", "-nodes", "-days", DAYS]);
        command.args(key.words()).args(signed).args(about).arg("-keyout").arg(to).arg("-out").arg(into);
        let ran = context.finish(&mut command);
        if ran.success { Ok(()) } else { Err(format!("openssl makes no certificate:\n{}", ran.output)) }
    }
}

const AUTHORITY: [&str; 4] =
    ["-subj", "/CN=An authority for a test", "-addext", "keyUsage=critical,keyCertSign,cRLSign"];

/// Nobody answers at its OCSP address, and nobody asks.
const LEAF: [&str; 12] = [
    "-subj",
    "/CN=localhost",
    "-addext",
    "basicConstraints=critical,CA:FALSE",
    "-addext",
    "keyUsage=critical,digitalSignature",
    "-addext",
    "extendedKeyUsage=serverAuth",
    "-addext",
    "subjectAltName=DNS:localhost,IP:127.0.0.1",
    "-addext",
    "authorityInfoAccess=OCSP;URI:http://127.0.0.1:9/",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::TempDir;

    #[test]
    fn a_certificate_is_of_its_authority_and_names_this_machine() {
        let context = Context::new(&crate::root()).unwrap();
        let folder = TempDir::new("certificate").unwrap();
        let made = Certificate::make(&context, folder.path(), Key::Ecdsa).unwrap();
        let mut verify = context.command("openssl", &["verify", "-verify_hostname", "localhost", "-CAfile"]);
        let verified = context.finish(verify.arg(&made.authority).arg(&made.chain));
        assert!(verified.success, "{}", verified.output);
    }
}
