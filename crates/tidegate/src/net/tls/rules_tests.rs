//! Handshakes in memory, with rustls' own client at the other end: what the rules of `config` come to.

use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{
    ClientConfig, ClientConnection, Error, HandshakeKind, NamedGroup, ProtocolVersion, ServerConnection,
    SupportedProtocolVersion, version,
};

use super::client::Trust;
use super::facts::Facts;
use super::*;

const BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn own(of: &[&str], before: &[Identity]) -> Identity {
    self_signed::identity(&names(of), before, SystemTime::now()).unwrap()
}

fn client(of: &'static SupportedProtocolVersion, alpn: &[&str]) -> Arc<ClientConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let anybody = Arc::new(Trust::anybody((*provider).clone()));
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[of]).unwrap();
    let mut config = builder.dangerous().with_custom_certificate_verifier(anybody).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    config.enable_early_data = true;
    Arc::new(config)
}

/// Both ends after a handshake, and what came behind it.
fn shake(tls: &Tls, config: &Arc<ClientConfig>, name: &str) -> Result<ClientConnection, Error> {
    let mut client = ClientConnection::new(Arc::clone(config), name.to_owned().try_into().unwrap())?;
    let mut server = ServerConnection::new(Arc::clone(&tls.config))?;
    while client.wants_write() || server.wants_write() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(client)
}

fn is_resumed(client: &ClientConnection) -> bool {
    client.handshake_kind() == Some(HandshakeKind::Resumed)
}

#[test]
fn tls_1_the_servers_order_of_suites_counts_and_the_first_group_is_post_quantum() {
    let tls = Tls::of(vec![own(&["a.example"], &[])], None).unwrap();
    for (of, version, suite) in [
        (BOTH[0], ProtocolVersion::TLSv1_2, suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        (BOTH[1], ProtocolVersion::TLSv1_3, suite::TLS13_AES_128_GCM_SHA256),
    ] {
        let client = shake(&tls, &client(of, &[]), "a.example").unwrap();
        assert_eq!(client.protocol_version(), Some(version));
        assert_eq!(client.negotiated_cipher_suite().unwrap().suite(), suite.suite());
        let group = client.negotiated_key_exchange_group().map(rustls::crypto::SupportedKxGroup::name);
        let post_quantum = group == Some(NamedGroup::X25519MLKEM768);
        assert_eq!(post_quantum, version == ProtocolVersion::TLSv1_3, "{group:?}");
    }
}

#[test]
fn tls_1_a_protocol_that_both_speak_is_agreed_on_or_none() {
    let tls = Tls::of(vec![own(&["a.example"], &[])], None).unwrap();
    let agreed = |alpn: &[&str]| {
        let client = shake(&tls, &client(BOTH[1], alpn), "a.example")?;
        Ok(client.alpn_protocol().map(<[u8]>::to_vec))
    };
    assert_eq!(agreed(&[]), Ok(None));
    assert_eq!(agreed(&["http/1.1"]), Ok(Some(b"http/1.1".to_vec())));
    assert_eq!(agreed(&["spdy/3", "http/1.1"]), Ok(Some(b"http/1.1".to_vec())));
    assert_eq!(agreed(&["spdy/3"]), Err(Error::NoApplicationProtocol), "RFC 7301 §3.2");
}

#[test]
fn tls_1_of_two_keys_for_one_name_each_client_gets_the_one_it_can_verify() {
    let rsa = rsa(&["a.example"]);
    let chain = rsa.certified.cert.clone();
    let tls = Tls::of(vec![own(&["a.example"], &[]), rsa], None).unwrap();
    let shown = |provider: CryptoProvider| {
        let mut config = Arc::unwrap_or_clone(client(BOTH[1], &[]));
        config.dangerous().set_certificate_verifier(Arc::new(Trust::anybody(provider)));
        shake(&tls, &Arc::new(config), "a.example").unwrap().peer_certificates().unwrap().to_vec()
    };
    let mut provider = aws_lc_rs::default_provider();
    assert_ne!(shown(provider.clone()), chain, "the first one");
    let schemes = provider.signature_verification_algorithms.mapping.iter().copied();
    let of_rsa = schemes.filter(|(scheme, _)| format!("{scheme:?}").starts_with("RSA"));
    provider.signature_verification_algorithms.mapping = Vec::leak(of_rsa.collect());
    assert_eq!(shown(provider), chain);
}

/// A certificate of an RSA key, signed by itself.
fn rsa(of: &[&str]) -> Identity {
    let key = rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let certificate =
        rcgen::CertificateParams::new(names(of)).unwrap().self_signed(&key).unwrap().der().clone();
    let facts = Facts::of(&certificate).unwrap();
    assert_eq!(facts.rsa_bits, Some(2048));
    assert_eq!(facts.names, of);
    let key = aws_lc_rs::sign::any_supported_type(&key.serialize_der().try_into().unwrap()).unwrap();
    Identity::new(CertifiedKey::new(vec![certificate], key), facts, None)
}

#[test]
fn row_g4_tls_1_a_ticket_is_good_for_its_name_alone_and_as_long_as_the_certificates_are_served() {
    let (a, b) = (own(&["a.example"], &[]), own(&["b.example"], &[]));
    let before = Tls::of(vec![a.clone(), b.clone()], None).unwrap();
    let same = Tls::of(vec![a.clone(), b.clone()], Some(&before)).unwrap();
    let fewer = Tls::of(vec![a], Some(&before)).unwrap();
    let renewed = Tls::of(vec![own(&["a.example"], &[]), b], Some(&before)).unwrap();
    for of in BOTH {
        let config = client(of, &[]);
        let resumes = |tls: &Tls, name: &str| is_resumed(&shake(tls, &config, name).unwrap());
        assert!(!resumes(&before, "a.example"), "the first time");
        assert!(resumes(&before, "a.example"));
        assert!(resumes(&same, "a.example"), "a reload that changes nothing costs nobody a handshake");
        assert!(!resumes(&fewer, "a.example"), "what else was removed, its tickets must not live on");
        assert!(!resumes(&renewed, "a.example"), "a client is shown the new certificate");
    }
}

/// The client offers a ticket for the name of another certificate, as CVE-2025-23419 did.
#[test]
fn row_g4_tls_1_a_ticket_does_not_lead_from_one_name_to_another() {
    let tls = Tls::of(vec![own(&["a.example"], &[]), own(&["b.example"], &[])], None).unwrap();
    for of in BOTH {
        let tickets = Arc::new(OneTicketForAll(ClientSessionMemoryCache::new(8)));
        let mut config = Arc::unwrap_or_clone(client(of, &[]));
        config.resumption = Resumption::store(tickets);
        let config = Arc::new(config);
        let resumes = |name: &str| is_resumed(&shake(&tls, &config, name).unwrap());
        assert!(!resumes("a.example"));
        assert!(resumes("a.example"), "the control: the ticket is good");
        assert!(!resumes("b.example"));
    }
}

/// Keeps what a client remembers of any server under one name.
#[derive(Debug)]
struct OneTicketForAll(ClientSessionMemoryCache);

impl OneTicketForAll {
    fn name() -> ServerName<'static> {
        ServerName::try_from("one.example").unwrap()
    }
}

impl ClientSessionStore for OneTicketForAll {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(Self::name(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&Self::name())
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(Self::name(), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&Self::name())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&Self::name());
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(Self::name(), value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&Self::name())
    }
}

#[test]
fn row_g3_tls_1_nobody_is_offered_early_data() {
    let tls = Tls::of(vec![own(&["a.example"], &[])], None).unwrap();
    let config = client(BOTH[1], &[]);
    shake(&tls, &config, "a.example").unwrap();
    let mut again = ClientConnection::new(Arc::clone(&config), "a.example".try_into().unwrap()).unwrap();
    assert!(again.early_data().is_none(), "the ticket allows none");
    // The control: where a server allows it, as rustls does for sessions that it keeps, this client would send some.
    let resolver = Arc::clone(&tls.config.cert_resolver);
    let builder = ServerConfig::builder_with_provider(Arc::clone(tls.config.crypto_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let mut careless = builder.with_cert_resolver(resolver);
    careless.max_early_data_size = 1024;
    let careless = Tls { config: Arc::new(careless), identities: Vec::new() };
    let config = client(BOTH[1], &[]);
    shake(&careless, &config, "a.example").unwrap();
    let mut again = ClientConnection::new(config, "a.example".try_into().unwrap()).unwrap();
    assert!(again.early_data().is_some());
}

#[test]
fn tls_1_a_certificate_of_our_own_is_kept_until_its_names_change_or_it_ends() {
    let settings = TlsSettings { self_signed: true, ..TlsSettings::default() };
    let now = SystemTime::now();
    let load = |of: &[&str], before: Option<&Tls>, now: SystemTime| {
        Tls::load(&settings, &names(of), before, now).unwrap().unwrap()
    };
    let print = |tls: &Tls| tls.certificates().next().unwrap().fingerprint.clone();
    let first = load(&["localhost", "::1"], None, now);
    assert_eq!(print(&load(&["localhost", "::1"], Some(&first), now)), print(&first));
    assert_ne!(print(&load(&["localhost"], Some(&first), now)), print(&first));
    let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
    assert_eq!(print(&load(&["localhost", "::1"], Some(&first), now + days(350))), print(&first));
    assert_ne!(print(&load(&["localhost", "::1"], Some(&first), now + days(352))), print(&first));
    assert!(Tls::load(&TlsSettings::default(), &[], Some(&first), now).unwrap().is_none());
}

#[test]
fn row_g6_tls_1_the_last_fourteen_days_of_a_certificate_are_told_and_the_days_after() {
    let now = SystemTime::now();
    let tls = Tls::of(vec![own(&["a.example", "b.example"], &[])], None).unwrap();
    let end = tls.certificates().next().unwrap().not_after;
    let date = httpdate::fmt_http_date(end);
    let before_end = |seconds: u64| tls.warnings(end - Duration::from_secs(seconds));
    assert_eq!(tls.warnings(now), Vec::<String>::new());
    const DAY: u64 = 24 * 60 * 60;
    assert_eq!(before_end(14 * DAY + 1), Vec::<String>::new());
    let warns = |left: &str| {
        [format!("the certificate for a.example expires on {date}, {left} from now; renew it and reload")]
    };
    assert_eq!(before_end(14 * DAY), warns("14 days"));
    assert_eq!(before_end(DAY), warns("1 day"));
    assert_eq!(before_end(DAY - 1), warns("less than a day"));
    let after =
        format!("the certificate for a.example expired on {date}: clients refuse it; renew it and reload");
    assert_eq!(tls.warnings(end + Duration::from_secs(1)), [after]);
}
