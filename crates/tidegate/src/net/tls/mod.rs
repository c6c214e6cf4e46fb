//! TLS (RFC 8446, RFC 5246): what the server can prove of itself, and how one connection is encrypted. Types of rustls
//! stay in this folder.

use std::sync::Arc;

/// What is needed to speak TLS: certificates, keys and rules, built whole before a listener or a reload uses it.
#[derive(Clone)]
pub struct Tls {
    /// Versions, suites, certificates by server name, ALPN.
    #[allow(dead_code, reason = "the next step uses it")]
    pub(super) config: Arc<rustls::ServerConfig>,
}
