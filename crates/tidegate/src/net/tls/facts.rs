//! What an X.509 certificate says (RFC 5280), as far as it is judged or shown.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use x509_cert::Certificate;
use x509_cert::der::asn1::{ObjectIdentifier, UintRef};
use x509_cert::der::{Decode, Reader, SliceReader};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::spki::SubjectPublicKeyInfoOwned;

/// The algorithm of an RSA key (RFC 8017 §A.1).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// What one certificate says.
#[derive(Debug)]
pub(super) struct Facts {
    /// Whom it is for, as `CN=a.example`.
    pub(super) subject: String,
    /// The names and addresses for which it stands, in lower case. The common name is none (RFC 9525 §2).
    pub(super) names: Vec<String>,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
    /// How long the modulus of its key is, where that is one of RSA.
    pub(super) rsa_bits: Option<usize>,
}

/// Names shown: a certificate may have a hundred.
const SHOWN: usize = 8;

/// The first of `names`, and how many more there are.
pub(super) fn listed(names: &[String]) -> String {
    match names.split_at_checked(SHOWN) {
        _ if names.is_empty() => "no name".to_owned(),
        Some((first, more)) if !more.is_empty() => format!("{} and {} more", first.join(", "), more.len()),
        _ => names.join(", "),
    }
}

impl Facts {
    /// What it is called: by the names for which it stands, else by whom it is for. Many are issued without the latter.
    pub(super) fn called(&self) -> String {
        if self.names.is_empty() && !self.subject.is_empty() {
            return self.subject.clone();
        }
        listed(&self.names)
    }

    /// Reads `der`.
    ///
    /// # Errors
    /// Why it is no certificate.
    pub(super) fn of(der: &[u8]) -> Result<Self, x509_cert::der::Error> {
        let certificate = Certificate::from_der(der)?;
        let body = certificate.tbs_certificate();
        let alternatives = body.get_extension::<SubjectAltName>()?;
        let names = alternatives.iter().flat_map(|(_, names)| &names.0).filter_map(name);
        Ok(Self {
            subject: body.subject().to_string(),
            names: names.collect(),
            not_before: moment(body.validity().not_before.to_unix_duration()),
            not_after: moment(body.validity().not_after.to_unix_duration()),
            rsa_bits: rsa_bits(body.subject_public_key_info())?,
        })
    }
}

fn moment(since_1970: Duration) -> SystemTime {
    SystemTime::UNIX_EPOCH + since_1970
}

/// A name by which a server can be called; others, as of persons, are none.
fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        GeneralName::IpAddress(octets) => {
            let v4 = <[u8; 4]>::try_from(octets.as_bytes()).map(|octets| Ipv4Addr::from(octets).to_string());
            let v6 =
                || <[u8; 16]>::try_from(octets.as_bytes()).map(|octets| Ipv6Addr::from(octets).to_string());
            v4.or_else(|_| v6()).ok()
        }
        _ => None,
    }
}

/// `RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }` (RFC 8017 §A.1.1).
fn rsa_bits(key: &SubjectPublicKeyInfoOwned) -> Result<Option<usize>, x509_cert::der::Error> {
    if key.algorithm.oid != RSA {
        return Ok(None);
    }
    let mut reader = SliceReader::new(key.subject_public_key.raw_bytes())?;
    let modulus = reader.sequence(|sequence: &mut SliceReader<'_>| {
        let modulus = UintRef::decode(sequence)?;
        UintRef::decode(sequence)?;
        Ok::<_, x509_cert::der::Error>(modulus)
    })?;
    let leading = modulus.as_bytes().first().map_or(0, |byte| byte.leading_zeros() as usize);
    Ok(Some((modulus.as_bytes().len() * 8).saturating_sub(leading)))
}
