//! Which certificate a client is shown: the one that bears the name it asks for (RFC 6066 §3).
//!
//! A name that no certificate bears gets the first one, as with nginx, and not the alert `unrecognized_name`: the
//! client then says which name it did find, where an alert says nothing that a person understands; who comes by an
//! address, or checks how the server is, names nothing anyway; and nothing is given away that a client without a name
//! would not be told. What is served is decided by the Host of each request: one that is not ours is refused, one that
//! is not the name of the handshake is misdirected.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Identity;

/// Certificates by name, in the order of the settings.
#[derive(Debug)]
pub(super) struct ByName {
    /// A wildcard lies under its name without the star, which begins with a dot as no other name does.
    known: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For everybody else: the first one, and those that share a name with it.
    others: Vec<Arc<CertifiedKey>>,
}

impl ByName {
    pub(super) fn new(identities: &[Identity]) -> Self {
        let mut known: HashMap<String, Vec<Arc<CertifiedKey>>> = HashMap::new();
        for Identity { certified, certificate, .. } in identities {
            for name in &certificate.names {
                known.entry(key_of(name).to_owned()).or_default().push(Arc::clone(certified));
            }
        }
        let first = identities.first();
        let name = first.and_then(|identity| identity.certificate.names.first());
        let others = name.and_then(|name| known.get(key_of(name)).cloned());
        let nameless = || first.map(|identity| Arc::clone(&identity.certified)).into_iter().collect();
        Self { others: others.unwrap_or_else(nameless), known }
    }

    /// The certificates for `name`: those that bear it, else such with a star for its first label (RFC 9525 §6.3).
    fn of(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let found = name.and_then(|name| {
            let wildcard = || self.known.get(name.get(name.find('.')?..)?);
            self.known.get(name).or_else(wildcard)
        });
        found.unwrap_or(&self.others)
    }
}

fn key_of(name: &str) -> &str {
    name.strip_prefix('*').unwrap_or(name)
}

impl ResolvesServerCert for ByName {
    /// Of several with one name, as of RSA and of ECDSA, the first that this client can verify.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fitting = self.of(hello.server_name());
        let verifiable =
            |certified: &&Arc<CertifiedKey>| certified.key.choose_scheme(hello.signature_schemes()).is_some();
        fitting.iter().find(verifiable).or(fitting.first()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::self_signed;
    use std::time::SystemTime;

    /// Certificates with these names, told apart by their place.
    fn by_name(names: &[&[&str]]) -> (ByName, Vec<Identity>) {
        let identity = |names: &&[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            self_signed::identity(&names, &[], SystemTime::now()).unwrap()
        };
        let identities: Vec<_> = names.iter().map(identity).collect();
        (ByName::new(&identities), identities)
    }

    #[test]
    fn tls_1_the_exact_name_comes_before_the_wildcard_and_the_first_for_all_others() {
        let (by_name, identities) =
            by_name(&[&["first.example"], &["*.example", "b.a.example"], &["a.example", "a.b.example"]]);
        let place = |name: Option<&str>| {
            let found = by_name.of(name);
            assert_eq!(found.len(), 1, "{name:?}");
            identities.iter().position(|identity| Arc::ptr_eq(&identity.certified, &found[0])).unwrap()
        };
        for (name, expected) in [
            ("first.example", 0),
            ("a.example", 2),
            ("z.example", 1),
            ("b.a.example", 1),
            ("a.b.example", 2),
            // A star is one label, and one at the least.
            ("x.a.example", 0),
            ("example", 0),
            (".example", 1),
            ("*.example", 1),
            ("other.test", 0),
            ("", 0),
            (".", 0),
        ] {
            assert_eq!(place(Some(name)), expected, "{name}");
        }
        assert_eq!(place(None), 0);
    }

    #[test]
    fn tls_1_several_certificates_of_one_name_are_all_candidates() {
        let (by_name, _) = by_name(&[&["a.example"], &["b.example"], &["a.example", "c.example"]]);
        assert_eq!(by_name.of(Some("a.example")).len(), 2);
        assert_eq!(by_name.of(None).len(), 2, "the first name has two");
        assert_eq!(by_name.of(Some("b.example")).len(), 1);
    }
}
