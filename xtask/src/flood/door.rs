//! Where a server is and how it is spoken to: in the clear, or by TLS with whatever certificate it shows.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::stream::Stream;
use crate::bench::http;

/// What is spoken within a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// The way to one server. Those who share it share its tickets: a second handshake resumes the session of the first.
#[derive(Clone)]
pub(crate) struct Door {
    pub(super) port: u16,
    tls: Option<[Arc<ClientConfig>; 2]>,
}

impl Door {
    pub(crate) const fn clear(port: u16) -> Self {
        Self { port, tls: None }
    }

    /// An `Err` is one of rustls: it refuses its own defaults.
    pub(super) fn tls(port: u16) -> Result<Self, String> {
        let config = |version| config(version).map(Arc::new);
        let both = config(Version::Http1).and_then(|first| Ok([first, config(Version::Http2)?]));
        Ok(Self { port, tls: Some(both.map_err(|error| format!("no TLS: {error}"))?) })
    }

    pub(super) const fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// How clients of `version` shake hands here; `None` in the clear.
    pub(super) fn config(&self, version: Version) -> Option<&Arc<ClientConfig>> {
        let [http1, http2] = self.tls.as_ref()?;
        Some(if version == Version::Http1 { http1 } else { http2 })
    }

    /// A connection from `source`, its handshake done.
    pub(super) fn connect_from(&self, source: Ipv4Addr, version: Version) -> io::Result<Stream> {
        let socket = http::connect_from(source, self.port)?;
        match self.config(version) {
            None => Stream::clear(socket),
            Some(config) => Stream::shake_hands(socket, config),
        }
    }
}

fn config(version: Version) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let protocol: &[u8] = if version == Version::Http1 { b"http/1.1" } else { b"h2" };
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(config)
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("port", &self.port).field("tls", &self.is_tls()).finish()
    }
}

/// Takes the certificate of the run, which nobody knows; that the server has its key is looked at as ever.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
