//! A certificate of the server's own making, for development: it proves nothing, but what it encrypts nobody reads on
//! the way.

use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use rustls::crypto::aws_lc_rs::sign::any_ecdsa_type;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::CertifiedKey;

use super::facts::Facts;
use super::{CertificateError, EXPIRY_NOTICE, Identity};

/// Whom it is for, where names do not say it.
const NAME: &str = "tidegate, self-signed";
/// A year: below what clients take of any certificate (825 days), and more than a server for development runs.
const LIFE: Duration = Duration::from_hours(365 * 24);
/// The clocks of clients may be behind ours.
const CLOCKS: Duration = Duration::from_hours(1);

/// A certificate for `names` at the time `now`: that of `before`, where it has these names and does not end soon, so
/// that who has accepted it once is not asked again at each reload.
///
/// # Errors
/// Where a name is none, or there is no randomness to be had.
pub(super) fn identity(
    names: &[String],
    before: &[Identity],
    now: SystemTime,
) -> Result<Identity, CertificateError> {
    let still_good = |identity: &&Identity| {
        let certificate = &identity.certificate;
        certificate.names == names && certificate.warning(now, EXPIRY_NOTICE).is_none()
    };
    match before.iter().find(still_good) {
        Some(identity) => Ok(identity.clone()),
        None => make(names, now),
    }
}

fn make(names: &[String], now: SystemTime) -> Result<Identity, CertificateError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(names)?;
    params.not_before = (now - CLOCKS).into();
    params.not_after = (now + LIFE).into();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, NAME);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(&key)?.der().clone();
    let facts = Facts {
        subject: NAME.to_owned(),
        names: names.to_vec(),
        not_before: now - CLOCKS,
        not_after: now + LIFE,
        rsa_bits: None,
    };
    let key = any_ecdsa_type(&PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
    Ok(Identity::new(CertifiedKey::new(vec![certificate], key), facts, None))
}
