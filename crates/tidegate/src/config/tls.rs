//! `[tls]`: whether and how TLS is spoken, and the rules between its settings.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::address::{ListenAddr, ip_of};
use super::error::{BadValue, ConfigError};
use super::layers::Layers;
use super::resolve::{path, switch};
use super::settings::{AdminSettings, ServerSettings, Settings};
use super::table::{self as t, Flag};
use super::units::duration_in;

/// Certificates: each is a series of the metrics and a row of the dashboard, and one alone may have a hundred names.
const PAIRS_MAX: usize = 64;
/// Two years: what the lists that browsers come with ask for at most; longer only prolongs a mistake.
const HSTS_MAX: Duration = Duration::from_hours(2 * 365 * 24);

/// `[tls]`: whether and how TLS is spoken (TLS-1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// Certificates with their keys, at most 64; the first one is shown to who names no other.
    pub pairs: Vec<TlsPair>,
    /// Whether a certificate is made at start instead; fixed for the life of the process.
    pub self_signed: bool,
    /// Where plain HTTP is answered with the way to HTTPS; fixed for the life of the process.
    pub redirect: Option<SocketAddr>,
    /// For how long browsers are told to come over TLS only (RFC 6797 §6.1.1): whole seconds, up to two years.
    /// Zero has them forget it; `None` tells them nothing.
    pub hsts: Option<Duration>,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsPair {
    /// The file of the certificate and of those that sign it, as written.
    pub cert: PathBuf,
    /// The file of its private key, as written.
    pub key: PathBuf,
}

impl TlsSettings {
    /// Whether TCP listeners speak TLS.
    pub fn is_on(&self) -> bool {
        self.self_signed || !self.pairs.is_empty()
    }

    /// All files that are named here.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.pairs.iter().flat_map(|pair| [&pair.cert, &pair.key])
    }
}

impl Settings {
    /// The names and addresses by which clients may call the server, each once: loopback, the configured host, those
    /// allowed besides, and the addresses listened on. A wildcard is none.
    pub fn own_names(&self) -> Vec<String> {
        let listens = self.server.listen.iter().chain(&self.admin.listen);
        let addresses = listens.filter_map(|addr| match addr {
            ListenAddr::Tcp(addr) => Some(addr.ip().to_string()),
            ListenAddr::Unix(_) => None,
        });
        let allowed = self.hosts.allow.names.iter().map(|(name, _)| name.clone());
        let loopback = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
        let written = loopback.into_iter().chain([self.server.host.clone()]).chain(allowed).chain(addresses);
        let mut names = Vec::new();
        for name in written {
            let address = ip_of(&name);
            let name = address.map_or_else(
                || name.trim_end_matches('.').to_ascii_lowercase(),
                |address| address.to_string(),
            );
            if !address.is_some_and(|address| address.is_unspecified()) && !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

/// What the layers say of TLS, beside the listeners of `server` and `admin`.
pub(super) fn tls(
    layers: &Layers,
    server: &ServerSettings,
    admin: &AdminSettings,
) -> Result<TlsSettings, ConfigError> {
    let tls = TlsSettings {
        pairs: pairs(layers)?,
        self_signed: layers.optional(&t::TLS_SELF_SIGNED, switch)?.unwrap_or(false),
        redirect: layers.optional(&t::TLS_REDIRECT, redirect)?,
        hsts: layers.optional(&t::HSTS, hsts)?,
    };
    let refuse = |flag: &Flag, what: &str, expected: &str| {
        Err(layers.deciding(flag).refused(BadValue::because(what, expected)))
    };
    if tls.self_signed && !tls.pairs.is_empty() {
        return refuse(
            &t::TLS_SELF_SIGNED,
            "there are certificates of your own",
            "this or tls-cert, not both",
        );
    }
    let beside = "tls-cert and tls-key, or tls-self-signed, beside it";
    if tls.redirect.is_some() && !tls.is_on() {
        return refuse(&t::TLS_REDIRECT, "nothing is served over TLS", beside);
    }
    if tls.hsts.is_some() && !tls.is_on() {
        return refuse(&t::HSTS, "nothing is served over TLS", beside);
    }
    let taken = |redirect: &SocketAddr| {
        let redirect = ListenAddr::Tcp(*redirect);
        server.listen.contains(&redirect) || admin.listen.as_ref() == Some(&redirect)
    };
    if tls.redirect.as_ref().is_some_and(|redirect| redirect.port() != 0 && taken(redirect)) {
        return refuse(&t::TLS_REDIRECT, "HTTPS is served there", "an address of its own");
    }
    Ok(tls)
}

/// What is allowed but hardly meant.
pub(super) fn note(settings: &Settings) -> Option<String> {
    let only_unix = settings.server.listen.iter().all(|at| matches!(at, ListenAddr::Unix(_)));
    (settings.tls.is_on() && only_unix)
        .then(|| "every listener is a unix socket, and those never speak TLS".to_owned())
}

/// The first certificate with the first key, and so on.
fn pairs(layers: &Layers) -> Result<Vec<TlsPair>, ConfigError> {
    let certs = layers.list(&t::TLS_CERT, PAIRS_MAX, path)?;
    let keys = layers.list(&t::TLS_KEY, PAIRS_MAX, path)?;
    let lone = match certs.len().cmp(&keys.len()) {
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some((&t::TLS_CERT, "key", "tls-key for each tls-cert")),
        std::cmp::Ordering::Less => Some((&t::TLS_KEY, "certificate", "tls-cert for each tls-key")),
    };
    if let Some((flag, lacking, each)) = lone {
        let counts = format!("certificates: {}, keys: {}", certs.len(), keys.len());
        let bad = BadValue::because(
            format!("no {lacking} to go with it ({counts})"),
            format!("a {each}, in the same order"),
        );
        return Err(layers.deciding(flag).refused(bad));
    }
    Ok(certs.into_iter().zip(keys).map(|(cert, key)| TlsPair { cert, key }).collect())
}

/// A TCP address: who connects to a unix socket has no need to be told of another scheme.
fn redirect(text: &str) -> Result<SocketAddr, BadValue> {
    text.parse().map_err(|_| BadValue::expected("an address with its port, like 0.0.0.0:80 or [::]:80"))
}

fn hsts(text: &str) -> Result<Duration, BadValue> {
    let duration = duration_in(Duration::ZERO..=HSTS_MAX)(text)?;
    // `max-age` has no fractions (RFC 6797 §6.1.1), and a rounded one might be the zero that means the opposite.
    if duration.subsec_nanos() == 0 {
        Ok(duration)
    } else {
        Err(BadValue::expected("whole seconds, like 8760h"))
    }
}
