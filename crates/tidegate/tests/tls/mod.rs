//! What the tests of TLS share: an authority that signs certificates, and a client that trusts it.
//!
//! `Authority` ─► `Leaf` ─► files and flags of a server; `Trust` ─► `connect` ─► `Connected` ─► a `Client` as for plain
//! connections. Keys of kinds that rcgen does not make come from the program `openssl`.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use crate::support::{Client, Folder, Response, SOON, Server};

/// TLS 1.2 alone, and 1.3 alone.
pub const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
pub const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// Who signs certificates, and is believed by `Trust::of`.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub struct Leaf {
    /// It and the one that signed it, in PEM.
    pub chain: String,
    /// Its key, in PKCS#8.
    pub key: String,
    /// It alone.
    pub der: CertificateDer<'static>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = named("Test Authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A good certificate for these names and addresses, of an ECDSA key.
    pub fn leaf(&self, names: &[&str]) -> Leaf {
        self.leaf_with(names, &KeyPair::generate().unwrap(), |_| ())
    }

    /// A certificate of this key, of which `change` may spoil something, as its dates.
    pub fn leaf_with(&self, names: &[&str], key: &KeyPair, change: impl Fn(&mut CertificateParams)) -> Leaf {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.distinguished_name = named(names.first().map_or("nobody", String::as_str));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        let leaf = params.signed_by(key, &self.0).unwrap();
        let chain = format!("{}{}", leaf.pem(), self.0.pem());
        Leaf { chain, key: key.serialize_pem(), der: leaf.der().clone() }
    }

    /// Itself, in PEM.
    pub fn pem(&self) -> String {
        self.0.pem()
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

impl Leaf {
    /// Writes `NAME.pem` and `NAME.key`.
    pub fn write(&self, folder: &Folder, name: &str) -> [PathBuf; 2] {
        [folder.write(&format!("{name}.pem"), &self.chain), folder.write(&format!("{name}.key"), &self.key)]
    }

    /// Puts it in the place of `NAME.pem` and `NAME.key` as certbot does: each by a rename.
    pub fn replace(&self, folder: &Folder, name: &str) {
        for (ending, text) in [("key", &self.key), ("pem", &self.chain)] {
            let new = folder.write(&format!("{name}.{ending}.new"), text);
            std::fs::rename(new, folder.0.join(format!("{name}.{ending}"))).unwrap();
        }
    }
}

/// The flags of a server with the certificate `NAME.pem`, as `Leaf::write` names it, in its folder.
pub fn flags(name: &str) -> [String; 4] {
    ["--tls-cert".into(), format!("{name}.pem"), "--tls-key".into(), format!("{name}.key")]
}

/// Whom a client believes, and what it speaks.
pub struct Trust {
    versions: &'static [&'static SupportedProtocolVersion],
    roots: Option<RootCertStore>,
    alpn: Vec<Vec<u8>>,
}

impl Trust {
    /// A client that believes `authority`, and speaks TLS 1.3 and 1.2.
    pub fn of(authority: &Authority) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.0.der().clone()).unwrap();
        Self { versions: rustls::ALL_VERSIONS, roots: Some(roots), alpn: Vec::new() }
    }

    /// A client that believes everybody.
    pub fn blind() -> Self {
        Self { versions: rustls::ALL_VERSIONS, roots: None, alpn: Vec::new() }
    }

    /// One that speaks these versions only.
    pub fn versions(self, versions: &'static [&'static SupportedProtocolVersion]) -> Self {
        Self { versions, ..self }
    }

    /// One that offers these protocols.
    pub fn alpn(self, protocols: &[&str]) -> Self {
        Self { alpn: protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect(), ..self }
    }

    /// The settings of a client; connections of one share its tickets.
    pub fn config(self) -> Arc<ClientConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(self.versions).unwrap();
        let mut config = match self.roots {
            Some(roots) => builder.with_root_certificates(roots).with_no_client_auth(),
            None => {
                let everybody = Arc::new(Everybody(provider));
                builder.dangerous().with_custom_certificate_verifier(everybody).with_no_client_auth()
            }
        };
        config.alpn_protocols = self.alpn;
        Arc::new(config)
    }
}

/// A connection after its handshake.
pub struct Connected {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
    host: String,
}

/// Connects to `addr` and shakes hands with the server `name`, a name or an address.
pub fn connect(addr: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> io::Result<Connected> {
    let mut socket = TcpStream::connect(addr)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(SOON))?;
    socket.set_write_timeout(Some(SOON))?;
    let server = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let mut session = ClientConnection::new(Arc::clone(config), server).map_err(io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    // Without brackets an IPv6 address is no host.
    let name = if name.contains(':') { format!("[{name}]") } else { name.to_owned() };
    let host = format!("{name}:{}", addr.port());
    Ok(Connected { stream: StreamOwned::new(session, socket), host })
}

impl Connected {
    /// The server as it was asked for, with its port.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn version(&self) -> ProtocolVersion {
        self.stream.conn.protocol_version().unwrap()
    }

    pub fn alpn(&self) -> Option<&str> {
        self.stream.conn.alpn_protocol().map(|protocol| std::str::from_utf8(protocol).unwrap())
    }

    pub fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The certificate that the server showed; of a resumed session the one it began with.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
    }

    /// The same as a client of HTTP, whose Host is the name of the handshake.
    pub fn client(self) -> Client {
        let socket = self.stream.sock.try_clone().unwrap();
        Client::through(socket, Box::new(self.stream), self.host)
    }
}

/// GETs `target` on a connection of its own.
pub fn get(server: &Server, config: &Arc<ClientConfig>, name: &str, target: &str) -> Response {
    connect(server.addr, config, name).unwrap().client().get(target)
}

/// Runs `openssl` in `folder`, for keys and certificates of kinds that rcgen does not make.
pub fn openssl(folder: &Folder, args: &[&str]) {
    let output = Command::new("openssl").args(args).current_dir(&folder.0).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Takes any certificate, and checks no more than that the server has its key.
#[derive(Debug)]
struct Everybody(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for Everybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
