//! The other end of a connection: whom our own clients trust, and how one asks a server on this machine how it is.

use std::io::{self, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned,
};

use super::fingerprint;

/// TLS over `stream`, with whoever answers at `ip`. Its certificate is not compared with a name: it stands for what
/// visitors call the server, not for the loopback address, and the question is whether the server lives, not who it is.
///
/// # Errors
/// Where the library refuses to work; what becomes of the handshake is told by the first read or write.
pub fn unverified(stream: TcpStream, ip: IpAddr) -> io::Result<impl Read + Write> {
    let trust = Trust::anybody(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&trust.provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(trust))
        .with_no_client_auth();
    let session = ClientConnection::new(Arc::new(config), ServerName::from(ip)).map_err(io::Error::other)?;
    Ok(StreamOwned::new(session, stream))
}

/// Which certificate is taken, whoever signed it; that the server has its key is seen to.
#[derive(Debug)]
pub struct Trust {
    /// That of the only one, as [`fingerprint`] writes it; `None`: any.
    pinned: Option<String>,
    /// The crypto library.
    pub provider: Arc<CryptoProvider>,
}

impl Trust {
    /// In any certificate.
    pub(super) fn anybody(provider: CryptoProvider) -> Self {
        Self { pinned: None, provider: Arc::new(provider) }
    }

    /// In the one certificate of this fingerprint, as the start-up block tells it.
    pub fn pinned(fingerprint: &str) -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        Self { pinned: Some(fingerprint.to_owned()), provider }
    }
}

impl ServerCertVerifier for Trust {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _signers: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.pinned {
            Some(pinned) if *pinned != fingerprint(certificate) => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
