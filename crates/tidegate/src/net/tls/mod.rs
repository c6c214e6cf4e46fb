//! TLS (RFC 8446, RFC 5246): what the server can prove of itself, and how one connection is encrypted. Types of rustls
//! stay in this folder.
//!
//! ```text
//! files ──► certificates ─┐                        facts   what an X.509 certificate says
//!           self_signed  ─┴─► Identity ──► Tls     by_name which one a client is shown
//! ```
//! `session` is one connection as bytes and bytes, `seal` half of it; `wire` moves them over a socket, in memory that is
//! `lent`; `names` is what a client asked for. `client` is the other end, for asking the server how it is.

mod by_name;
mod certificates;
pub mod client;
mod facts;
mod lent;
mod names;
#[cfg(test)]
mod rules_tests;
mod seal;
mod self_signed;
mod session;
mod wire;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite as suite};
use rustls::server::NoServerSessionStorage;
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedCipherSuite};

use self::by_name::ByName;
pub use self::certificates::{Certificate, CertificateError};
use self::names::Noting;
pub(super) use self::session::Session;
pub use self::session::{Agreed, Broken, Protocol};
use crate::config::TlsSettings;

/// The protocols that are offered, best first (RFC 7301 §3.1).
const ALPN: &[&[u8]] = &[b"h2", b"http/1.1"];

/// The suites, best first; all are authenticated and keep no secret that opens old recordings. AES with 128 bits comes
/// first, as in Mozilla's lists: nobody breaks it, and it costs less than with 256.
const SUITES: &[SupportedCipherSuite] = &[
    suite::TLS13_AES_128_GCM_SHA256,
    suite::TLS13_AES_256_GCM_SHA384,
    suite::TLS13_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
    suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
];

/// How long before its end a certificate is spoken of: time to renew it by hand, and less than what is left when
/// certbot (30 days before the end) should long have done so.
const EXPIRY_NOTICE: Duration = Duration::from_hours(14 * 24);

/// What is needed to speak TLS: certificates, keys and rules, built whole before a listener or a reload uses it.
#[derive(Debug)]
pub struct Tls {
    /// Versions, suites, certificates by server name, ALPN.
    pub(super) config: Arc<ServerConfig>,
    identities: Vec<Identity>,
}

/// What the server can prove to be.
#[derive(Clone, Debug)]
struct Identity {
    /// The chain and the key.
    certified: Arc<CertifiedKey>,
    /// What people are told of it.
    certificate: Certificate,
    /// What the operator is told of the file of its key, where others may read that.
    exposed: Option<String>,
}

impl Tls {
    /// What `settings` ask for at the time `now`, or `None` where that is no TLS. A certificate of the server's own
    /// bears `names`. Of what was there `before` is kept what still holds: such a certificate, and the keys of tickets.
    ///
    /// # Errors
    /// The first file that cannot be served, with what to do.
    pub fn load(
        settings: &TlsSettings,
        names: &[String],
        before: Option<&Self>,
        now: SystemTime,
    ) -> Result<Option<Arc<Self>>, CertificateError> {
        if !settings.is_on() {
            return Ok(None);
        }
        let identities = match settings.self_signed {
            true => vec![self_signed::identity(names, before.map_or(&[], |tls| &tls.identities), now)?],
            false => {
                let read = settings.pairs.iter().map(|pair| certificates::read(pair, now));
                read.collect::<Result<_, _>>()?
            }
        };
        Ok(Some(Arc::new(Self::of(identities, before)?)))
    }

    fn of(identities: Vec<Identity>, before: Option<&Self>) -> Result<Self, rustls::Error> {
        Ok(Self { config: Arc::new(config(&identities, before)?), identities })
    }

    /// Whether clients are shown the same certificates by both.
    pub fn shows_the_same(before: Option<&Self>, now: Option<&Self>) -> bool {
        match (before, now) {
            (Some(before), Some(now)) => same_chains(&before.identities, &now.identities),
            (before, now) => before.is_none() && now.is_none(),
        }
    }

    /// The certificates, in the order of the settings: the first is shown to who names none of the others.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.identities.iter().map(|identity| &identity.certificate)
    }

    /// What an operator should do about keys that others may read, a sentence for each file.
    pub fn exposed_keys(&self) -> Vec<String> {
        let mut exposed: Vec<_> =
            self.identities.iter().filter_map(|identity| identity.exposed.clone()).collect();
        exposed.sort();
        exposed.dedup();
        exposed
    }

    /// What an operator should do at the time `now`, a sentence for each certificate that ends soon.
    pub fn warnings(&self, now: SystemTime) -> Vec<String> {
        self.certificates().filter_map(|certificate| certificate.warning(now, EXPIRY_NOTICE)).collect()
    }
}

/// The rules of every handshake. The rest are rustls' defaults: TLS 1.3 and 1.2, a post-quantum group first, neither
/// renegotiation nor compression, and no early data: whoever records that can send it again (RFC 8446 §8).
fn config(identities: &[Identity], before: Option<&Tls>) -> Result<ServerConfig, rustls::Error> {
    let provider = CryptoProvider { cipher_suites: SUITES.to_vec(), ..aws_lc_rs::default_provider() };
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Noting(ByName::new(identities))));
    config.ignore_client_order = true;
    config.alpn_protocols = ALPN.iter().map(|protocol| protocol.to_vec()).collect();
    // A session lives in its ticket: no table, no lock on it, and nothing that clients can fill.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = match before.filter(|before| same_chains(&before.identities, identities)) {
        Some(before) => Arc::clone(&before.config.ticketer),
        None => aws_lc_rs::Ticketer::new()?,
    };
    Ok(config)
}

/// Whether tickets that were given out go on: a resumed session shows no certificate, so those of one that is served
/// no more must not resume, while a reload that changes none should cost nobody a handshake. (That a ticket resumes
/// only under the name for which it was given is rustls' own rule, RFC 6066 §3.)
fn same_chains(before: &[Identity], now: &[Identity]) -> bool {
    before.len() == now.len()
        && before.iter().zip(now).all(|(before, now)| before.certified.cert == now.certified.cert)
}

/// SHA-256 of a certificate, in hexadecimal with colons, as browsers and openssl show it.
fn fingerprint(certificate: &[u8]) -> String {
    sha256(certificate).map(|octet| format!("{octet:02X}")).join(":")
}

/// SHA-256 of `bytes`, by the crypto library that rustls brings.
fn sha256(bytes: &[u8]) -> [u8; 32] {
    let SupportedCipherSuite::Tls13(suite) = suite::TLS13_AES_128_GCM_SHA256 else {
        unreachable!("it is one of TLS 1.3")
    };
    let mut digest = [0; 32];
    digest.copy_from_slice(suite.common.hash_provider.hash(bytes).as_ref());
    digest
}

#[cfg(test)]
mod tests;
