//! A pair of files → an identity. What a client would stumble over is found here, and told with its file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use httpdate::fmt_http_date;
use rustix::fs::{Mode, OFlags};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::facts::{Facts, listed};
use super::{Identity, fingerprint};
use crate::config::TlsPair;

/// A chain is some kilobytes; more than 1 MiB is another file, named by mistake.
const FILE_MAX: u64 = 1 << 20;
/// The bits of a mode that are for everybody.
const OTHERS: u32 = 0o007;
/// Shorter keys of RSA are refused by every browser, and by the crypto library (NIST SP 800-131A §3).
const RSA_BITS_MIN: usize = 2048;

/// A certificate as people are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The names and addresses for which it stands, in lower case; a wildcard begins with `*.`.
    pub names: Vec<String>,
    /// From when on it is valid.
    pub not_before: SystemTime,
    /// Until when.
    pub not_after: SystemTime,
    /// The file it came from; `None` where the server made it itself.
    pub file: Option<PathBuf>,
    /// The SHA-256 of it, in hexadecimal with colons.
    pub fingerprint: String,
}

impl Certificate {
    /// What it is called where there is room for one name.
    pub fn name(&self) -> &str {
        self.names.first().map_or("(no name)", String::as_str)
    }

    /// The names, where there is room for some of them.
    pub fn shown_names(&self) -> String {
        listed(&self.names)
    }

    /// A sentence for the operator, where it ends within `notice` of `now`, has ended, or has no name.
    pub(super) fn warning(&self, now: SystemTime, notice: Duration) -> Option<String> {
        let end = fmt_http_date(self.not_after);
        let place = self.file.as_ref().map(|file| format!(" in {}", file.display())).unwrap_or_default();
        let Some(name) = self.names.first() else {
            return Some(format!("the certificate{place} bears no name (subjectAltName): clients refuse it"));
        };
        match self.not_after.duration_since(now) {
            Ok(left) if left > notice => None,
            Ok(left) => Some(format!(
                "the certificate for {name}{place} expires on {end}, {} from now; renew it and reload",
                days(left)
            )),
            Err(_) => Some(format!(
                "the certificate for {name}{place} expired on {end}: clients refuse it; renew it and reload"
            )),
        }
    }
}

/// Why a certificate is not served, and in which file.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file is not what it should be.
    #[error("{}: {}", .0.display(), .1)]
    File(PathBuf, Problem),
    /// The server cannot make its own.
    #[error("cannot make a certificate: {0}")]
    Own(#[from] rcgen::Error),
    /// The crypto library refuses to work.
    #[error("cannot set up TLS: {0}")]
    Library(#[from] rustls::Error),
}

/// What is wrong with a file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It is not there, or not for us.
    #[error(
        "cannot be read ({0}); the user that the server runs as must be able to, and a folder that is new to it needs a restart"
    )]
    Unreadable(io::Error),
    /// It is something else.
    #[error("is not a certificate or a key; expected a file in PEM of at most 1MiB")]
    NotAFile,
    /// It is not in PEM, or damaged.
    #[error("is damaged ({0}); expected PEM, as it was issued")]
    Damaged(String),
    /// It has none.
    #[error("holds no certificate; expected PEM, the server's own first, then those that sign it")]
    NoCertificate,
    /// It has one that cannot be read: which, counted from 1, and why.
    #[error("certificate {0} in it cannot be read ({1})")]
    BadCertificate(usize, String),
    /// It has none.
    #[error("holds no private key; expected one in PEM: PKCS#8, PKCS#1 or SEC1")]
    NoKey,
    /// It has more than one.
    #[error("holds {0} private keys; expected the one of the certificate")]
    SeveralKeys(usize),
    /// Nobody is there to type the password.
    #[error("holds an encrypted key; decrypt it: openssl pkey -in FILE -out NEW-FILE")]
    EncryptedKey,
    /// Damaged, or of a kind that is not served.
    #[error(
        "holds a key that cannot be used; expected RSA from {RSA_BITS_MIN} bits, ECDSA (P-256, P-384, P-521) or Ed25519"
    )]
    BadKey,
    /// It is the key of another certificate.
    #[error("is not the key of the certificate in {}; {}", .0.display(), .1)]
    KeyMismatch(PathBuf, &'static str),
    /// Such a key can be broken: its bits.
    #[error(
        "has an RSA key of {0} bits; make a new key of at least {RSA_BITS_MIN}, and a certificate for it"
    )]
    WeakKey(usize),
    /// Whose it is, and when it ended.
    #[error("the certificate for {0} expired on {1}; renew it")]
    Expired(String, String),
    /// Whose it is, and when it begins.
    #[error("the certificate for {0} is valid from {1} only; is the clock of this machine right?")]
    NotYetValid(String, String),
}

/// Reads a certificate with its key, as they are to be served at the time `now`.
///
/// # Errors
/// The first problem, with its file.
pub(super) fn read(pair: &TlsPair, now: SystemTime) -> Result<Identity, CertificateError> {
    let in_cert = |problem| CertificateError::File(pair.cert.clone(), problem);
    let in_key = |problem| CertificateError::File(pair.key.clone(), problem);
    let chain = content(&pair.cert).and_then(|(text, _)| chain(&text)).map_err(in_cert)?;
    let facts = judged(&chain, now).map_err(in_cert)?;
    let (text, mode) = content(&pair.key).map_err(in_key)?;
    let key = key(&text).map_err(in_key)?;
    let key = any_supported_type(&key).map_err(|_| in_key(Problem::BadKey))?;
    let certified = CertifiedKey::new(chain, key);
    if let Err(problem) = matches(&certified, &pair.cert) {
        return Err(in_key(problem));
    }
    Ok(Identity {
        exposed: exposed(&pair.key, mode),
        ..Identity::new(certified, facts, Some(pair.cert.clone()))
    })
}

impl Identity {
    /// What `facts` say of the first certificate of `certified`.
    pub(super) fn new(certified: CertifiedKey, facts: Facts, file: Option<PathBuf>) -> Self {
        let Facts { names, not_before, not_after, .. } = facts;
        let fingerprint = fingerprint(certified.cert.first().map_or(&[], |first| first.as_ref()));
        let certificate = Certificate { names, not_before, not_after, file, fingerprint };
        Self { certified: Arc::new(certified), certificate, exposed: None }
    }
}

/// A sentence for the operator, where everybody on this machine may read or replace the key in `file`. A group may: that
/// is how a server that is not root gets it, as from Debian's `ssl-cert`.
fn exposed(file: &Path, mode: u32) -> Option<String> {
    (mode & OTHERS != 0).then(|| {
        let (file, mode) = (file.display(), mode & 0o7777);
        format!("the private key in {file} is open to every user of this machine (mode {mode:04o}); chmod o= {file}")
    })
}

/// What `file` holds, and its mode. One that is no file, as a pipe that nobody writes to, must not hold up a reload.
fn content(file: &Path) -> Result<(Vec<u8>, u32), Problem> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let open = rustix::fs::open(file, flags, Mode::empty());
    let mut open = File::from(open.map_err(|errno| Problem::Unreadable(errno.into()))?);
    let meta = open.metadata().map_err(Problem::Unreadable)?;
    if !meta.is_file() || meta.len() > FILE_MAX {
        return Err(Problem::NotAFile);
    }
    let mut bytes = Vec::new();
    (&mut open).take(FILE_MAX).read_to_end(&mut bytes).map_err(Problem::Unreadable)?;
    Ok((bytes, meta.mode()))
}

fn chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(text).collect::<Result<_, _>>().map_err(|error| damaged(&error))?;
    if chain.is_empty() { Err(Problem::NoCertificate) } else { Ok(chain) }
}

fn key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Problem> {
    // `BEGIN ENCRYPTED PRIVATE KEY` (RFC 7468 §11), or the older `Proc-Type: 4,ENCRYPTED` (RFC 1421 §4.6.1.1).
    if text.windows(9).any(|word| word == b"ENCRYPTED") {
        return Err(Problem::EncryptedKey);
    }
    let keys = PrivateKeyDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    let mut keys = keys.map_err(|error| damaged(&error))?;
    match (keys.pop(), keys.len()) {
        (Some(key), 0) => Ok(key),
        (Some(_), more) => Err(Problem::SeveralKeys(more + 1)),
        (None, _) => Err(Problem::NoKey),
    }
}

fn damaged(error: &pem::Error) -> Problem {
    Problem::Damaged(error.to_string())
}

/// What the first certificate of `chain` says, where that can be served. Those that sign it are the clients' to judge:
/// an old one that has ended may stand there for good reason, as long as another way leads to a root.
fn judged(chain: &[CertificateDer<'_>], now: SystemTime) -> Result<Facts, Problem> {
    let mut facts = Vec::with_capacity(chain.len());
    for (place, certificate) in chain.iter().enumerate() {
        let bad = |error: x509_cert::der::Error| Problem::BadCertificate(place + 1, error.to_string());
        facts.push(Facts::of(certificate).map_err(bad)?);
    }
    let facts = facts.into_iter().next().ok_or(Problem::NoCertificate)?;
    if let Some(bits) = facts.rsa_bits.filter(|bits| *bits < RSA_BITS_MIN) {
        return Err(Problem::WeakKey(bits));
    }
    if facts.not_after < now {
        return Err(Problem::Expired(facts.called(), fmt_http_date(facts.not_after)));
    }
    if facts.not_before > now {
        return Err(Problem::NotYetValid(facts.called(), fmt_http_date(facts.not_before)));
    }
    Ok(facts)
}

/// Whether the key belongs to the first certificate, in the file `cert`.
fn matches(certified: &CertifiedKey, cert: &Path) -> Result<(), Problem> {
    if certified.keys_match().is_ok() {
        return Ok(());
    }
    let of_another =
        certified.cert.iter().skip(1).any(|other| {
            CertifiedKey::new(vec![other.clone()], Arc::clone(&certified.key)).keys_match().is_ok()
        });
    let advice = match of_another {
        true => "it is that of another one there, which must come first",
        false => "each tls-cert goes with the tls-key in the same place",
    };
    Err(Problem::KeyMismatch(cert.to_owned(), advice))
}

/// Whole days.
fn days(time: Duration) -> String {
    match time.as_secs() / (24 * 60 * 60) {
        0 => "less than a day".to_owned(),
        1 => "1 day".to_owned(),
        more => format!("{more} days"),
    }
}
