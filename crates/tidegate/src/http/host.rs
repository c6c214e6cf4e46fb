//! Is this request for us? The Host check (RFC 9110 §7.2 and §7.4, SPEC HOST-1 to HOST-3).
//!
//! A server that answers to any name lends its address to DNS rebinding and cache poisoning; so only names
//! that the operator gave, loopback names and the literal address of the connection are ours.
//!
//! Over TLS a request is also for the very server that its handshake asked for, or it is misdirected (RFC 9110
//! §15.5.20): what one name's certificate proves says nothing of another.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use http1::{Authority, Host, Target};

use super::reject::{Code, Reject};
use super::request::{HostField, Request, Version};
use crate::net::tls::Agreed;

/// Names that are ours.
#[derive(Clone, Debug, Default)]
pub struct HostPolicy {
    /// Any host will do (`--allow-host '*'`).
    pub any: bool,
    /// Names that fit with their port, or with any.
    pub allowed: Vec<(String, Option<u16>)>,
    /// The configured host; `None` where it is a wildcard address, which is no name.
    pub configured: Option<String>,
}

/// Where a connection was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Here {
    /// On this address and port.
    Ip(IpAddr, u16),
    /// On a unix socket, where a port means nothing.
    Unix,
}

/// Bytes of a malformed host that are shown to the operator.
const SHOWN: usize = 80;

/// The port that `http` implies (RFC 9110 §4.2.1).
pub const HTTP_PORT: u16 = 80;
/// The port that `https` implies (RFC 9110 §4.2.2).
pub const HTTPS_PORT: u16 = 443;

/// A host that is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ours {
    /// Whether it was named, and by a name of this machine for itself: `localhost`, 127.0.0.0/8 or `[::1]` (SPEC
    /// SEC-0).
    pub loopback: bool,
}

/// What was ours last time, so that a client that asks again is known at a glance.
#[derive(Debug, Default)]
pub struct LastHost(RefCell<Option<Known>>);

/// A host that was ours, and everything on which that hung.
#[derive(Debug)]
struct Known {
    field: Vec<u8>,
    here: Here,
    over_tls: bool,
    server_name: Option<Rc<str>>,
    ours: Ours,
}

impl LastHost {
    /// As [`HostPolicy::judge`] with `policy`, always the same.
    ///
    /// # Errors
    /// The same.
    #[inline]
    pub fn judge(&self, policy: &HostPolicy, request: &Request<'_>, here: Here) -> Result<Ours, Reject> {
        // An absolute target names the host itself.
        let HostField::One(field) = request.host() else { return policy.judge(request, here) };
        if !request.target.starts_with(b"/") {
            return policy.judge(request, here);
        }
        if let Some(known) = &*self.0.borrow()
            && known.is(field, here, request.secured)
        {
            return Ok(known.ours);
        }
        let ours = policy.judge(request, here)?;
        *self.0.borrow_mut() = Some(Known::of(field, here, request.secured, ours));
        Ok(ours)
    }
}

impl Known {
    fn of(field: &[u8], here: Here, secured: Option<&Agreed>, ours: Ours) -> Self {
        let server_name = secured.and_then(|agreed| agreed.server_name.clone());
        Self { field: field.to_vec(), here, over_tls: secured.is_some(), server_name, ours }
    }

    #[inline]
    fn is(&self, field: &[u8], here: Here, secured: Option<&Agreed>) -> bool {
        self.field == field
            && self.here == here
            && self.over_tls == secured.is_some()
            && self.server_name.as_deref() == secured.and_then(|agreed| agreed.server_name.as_deref())
    }
}

impl HostPolicy {
    /// Judges the host that `request` names.
    ///
    /// # Errors
    /// `host_missing` or `bad_host` where that is no host at all (RFC 9112 §3.2 requires 400), then `misdirected`, then
    /// `host_not_allowed`.
    pub fn judge(&self, request: &Request<'_>, here: Here) -> Result<Ours, Reject> {
        let Some(authority) = named(request)? else { return Ok(Ours { loopback: false }) };
        // The handshake tells no port.
        if let Some(asked) = request.secured.and_then(|agreed| agreed.server_name.as_deref())
            && !is(&authority, asked.strip_suffix('.').unwrap_or(asked))
        {
            return Err(misdirected(&authority, asked));
        }
        if !self.admits(&authority, here, implied_port(request)) {
            return Err(refused(&authority));
        }
        Ok(Ours { loopback: names_loopback(&authority) })
    }

    /// Whether a host is ours; `implied` is the port that it names by naming none.
    fn admits(&self, authority: &Authority<'_>, here: Here, implied: u16) -> bool {
        if self.any {
            return true;
        }
        let names_port = |port| authority.port.unwrap_or(implied) == port;
        let port_is_ours = match here {
            Here::Unix => true,
            Here::Ip(_, port) => names_port(port),
        };
        let by_address = match (authority.host, here) {
            (Host::Name(_) | Host::Other(_), _) => false,
            (Host::V4(ip), _) if ip == std::net::Ipv4Addr::LOCALHOST => true,
            (Host::V6(ip), _) if ip == std::net::Ipv6Addr::LOCALHOST => true,
            (Host::V4(ip), Here::Ip(local, _)) => !ip.is_unspecified() && IpAddr::V4(ip) == local,
            (Host::V6(ip), Here::Ip(local, _)) => !ip.is_unspecified() && IpAddr::V6(ip) == local,
            (_, Here::Unix) => false,
        };
        let by_name = || {
            let configured = self.configured.as_deref();
            is(authority, "localhost") || configured.is_some_and(|configured| is(authority, configured))
        };
        port_is_ours && (by_address || by_name())
            || self.allowed.iter().any(|(name, port)| {
                is(authority, name) && port.is_none_or(|port| here == Here::Unix || names_port(port))
            })
    }
}

/// The host that `request` names, by its target or by its Host field; an HTTP/1.0 request need not name any.
///
/// # Errors
/// `host_missing` or `bad_host`.
pub fn named<'b>(request: &Request<'b>) -> Result<Option<Authority<'b>>, Reject> {
    let field = match request.host() {
        HostField::One(value) => Some(value),
        HostField::Repeated => return Err(Reject::new(Code::BadHost, "There are several Host fields.")),
        // HTTP/1.0 clients need not name a host (HOST-2).
        HostField::Missing if request.version == Version::Http10 => None,
        HostField::Missing => {
            return Err(Reject::new(Code::HostMissing, "HTTP/1.1 requires a Host field."));
        }
    };
    let field = field.map(parse).transpose()?;
    // The authority of an absolute target replaces the field (RFC 9112 §3.2.2), which must be sound all the same.
    match absolute_authority(request.target) {
        Some(authority) => Ok(Some(parse(authority)?)),
        None => Ok(field),
    }
}

fn names_loopback(authority: &Authority<'_>) -> bool {
    match authority.host {
        Host::Name(_) => is(authority, "localhost"),
        Host::V4(ip) => ip.is_loopback(),
        Host::V6(ip) => ip.is_loopback(),
        Host::Other(_) => false,
    }
}

/// The port that a host without one names: that of the scheme (RFC 9110 §4.2).
pub fn implied_port(request: &Request<'_>) -> u16 {
    if request.secured.is_some() { HTTPS_PORT } else { HTTP_PORT }
}

fn parse(bytes: &[u8]) -> Result<Authority<'_>, Reject> {
    Authority::parse(bytes).map_err(|bad| {
        let given = String::from_utf8_lossy(bytes.get(..SHOWN).unwrap_or(bytes));
        Reject::new(Code::BadHost, "The Host field is no host with an optional port.")
            .seen(format!("{bad}: {given}"))
    })
}

fn absolute_authority(target: &[u8]) -> Option<&[u8]> {
    if target.first() == Some(&b'/') {
        return None;
    }
    match Target::parse(target) {
        Ok(Target::Absolute { authority, .. }) => Some(authority),
        _ => None,
    }
}

/// Whether the authority names `host` (lower case, no trailing dot), ASCII case and one dot aside (HOST-2).
fn is(authority: &Authority<'_>, host: &str) -> bool {
    match authority.host {
        Host::Name(name) => name.strip_suffix('.').unwrap_or(name).eq_ignore_ascii_case(host),
        Host::V4(ip) => host.parse() == Ok(ip),
        Host::V6(ip) => host.trim_matches(['[', ']']).parse() == Ok(ip),
        // Well-formed, but no name that anybody configures, and nothing is decoded to make it one.
        Host::Other(_) => false,
    }
}

/// It is no event and no offence: a browser may ask for one name on a connection to another whose certificate
/// covers both (RFC 9113 §9.1.1), and opens one of its own when told.
fn misdirected(authority: &Authority<'_>, asked: &str) -> Reject {
    Reject::new(
        Code::Misdirected,
        "This connection was made to another server than the one that the request names.",
    )
    .seen(format!("TLS asked for {asked}, the request for {}", written(authority)))
}

/// The host of `authority` as it is best written: lower case, without a trailing dot and without the port.
pub fn written(authority: &Authority<'_>) -> String {
    match authority.host {
        Host::Name(name) => name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase(),
        Host::V4(ip) => ip.to_string(),
        Host::V6(ip) => format!("[{ip}]"),
        Host::Other(text) => text.to_owned(),
    }
}

fn refused(authority: &Authority<'_>) -> Reject {
    let name = written(authority);
    let admitting = if matches!(authority.host, Host::Other(_)) { "'*'" } else { &name };
    let port = authority.port.map_or_else(String::new, |port| format!(" with port {port}"));
    Reject::new(Code::HostNotAllowed, "This server does not answer for the host that the request names.")
        .seen(format!("host {name}{port}; --allow-host {admitting} would admit it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http1::{Connection, FieldStorage, Limits};

    const HERE: Here = Here::Ip(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 7)), 8080);

    fn judge(policy: &HostPolicy, head: &str, here: Here) -> Option<Code> {
        with_request(head, |request| policy.judge(&request, here).err().map(|reject| reject.code))
    }

    fn with_request<T>(head: &str, check: impl FnOnce(Request<'_>) -> T) -> T {
        let mut storage = FieldStorage::new();
        let read = Connection::new().read_head(head.as_bytes(), &mut storage, &Limits::default());
        check(Request::new(&read.unwrap().unwrap(), head.as_bytes()))
    }

    /// The verdict over TLS, of which the handshake asked for `asked`; once fresh, and twice by `last`.
    fn over_tls(policy: &HostPolicy, last: &LastHost, asked: Option<&str>, head: &str) -> Option<Code> {
        let agreed = Agreed::with(asked);
        with_request(head, |request| {
            let request = request.over(Some(&agreed));
            let code = |verdict: Result<Ours, Reject>| verdict.err().map(|reject| reject.code);
            let verdict = code(policy.judge(&request, HERE));
            for _ in 0..2 {
                assert_eq!(code(last.judge(policy, &request, HERE)), verdict, "{head}");
            }
            verdict
        })
    }

    fn host(policy: &HostPolicy, host: &str, here: Here) -> Option<Code> {
        judge(policy, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), here)
    }

    #[test]
    fn host_1_ours_with_our_port_and_nothing_else() {
        let policy = HostPolicy { configured: Some("files.example".into()), ..HostPolicy::default() };
        for name in ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "files.example:8080", "10.0.0.7:8080"]
        {
            assert_eq!(host(&policy, name, HERE), None, "{name}");
        }
        for name in
            ["localhost", "localhost:80", "evil.example:8080", "10.0.0.8:8080", "0.0.0.0:8080", "[::]:8080"]
        {
            assert_eq!(host(&policy, name, HERE), Some(Code::HostNotAllowed), "{name}");
        }
        for name in ["", "a b", "user@localhost:8080", "localhost:x", "localhost:99999", "[::1", "a,b", "a/b"]
        {
            assert_eq!(host(&policy, name, HERE), Some(Code::BadHost), "{name:?}");
        }
    }

    #[test]
    fn host_1_what_is_a_name_by_the_grammar_alone_is_never_ours() {
        // As if somebody had configured it: nothing that is compared is decoded or read as a number.
        let configured = Some("127.1".into());
        let allowed = vec![("%6cocalhost".into(), None), ("a=b".into(), None)];
        let policy = HostPolicy { configured, allowed, ..HostPolicy::default() };
        let any = HostPolicy { any: true, ..HostPolicy::default() };
        for name in
            ["127.1:8080", "0x7f.0.0.1:8080", "2130706433:8080", "%6cocalhost:8080", "a=b", "a..b", "*"]
        {
            assert_eq!(host(&policy, name, HERE), Some(Code::HostNotAllowed), "{name}");
            assert_eq!(host(&any, name, HERE), None, "{name}");
        }
    }

    #[test]
    fn host_1_what_was_ours_last_time_is_no_pass_for_anything_else() {
        let (policy, last) = (HostPolicy::default(), LastHost::default());
        let judge = |head: &str, here: Here| {
            with_request(head, |request| last.judge(&policy, &request, here).err().map(|reject| reject.code))
        };
        for _ in 0..2 {
            assert_eq!(judge("GET / HTTP/1.1\r\nHost: 10.0.0.7:8080\r\n\r\n", HERE), None);
            let other = Here::Ip(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 8)), 8080);
            for (head, here, code) in [
                ("GET / HTTP/1.1\r\nHost: 10.0.0.7:8080\r\n\r\n", other, Code::HostNotAllowed),
                ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", HERE, Code::HostNotAllowed),
                ("GET http://evil/ HTTP/1.1\r\nHost: 10.0.0.7:8080\r\n\r\n", HERE, Code::HostNotAllowed),
                ("GET / HTTP/1.1\r\nHost: 10.0.0.7:8080\r\nHost: 10.0.0.7:8080\r\n\r\n", HERE, Code::BadHost),
                ("GET / HTTP/1.1\r\n\r\n", HERE, Code::HostMissing),
            ] {
                assert_eq!(judge(head, here), Some(code), "{head}");
            }
        }
    }

    #[test]
    fn row_g4_over_tls_the_host_is_the_server_that_the_handshake_asked_for() {
        let allowed = vec![("a.example".into(), None), ("b.example".into(), None)];
        let (policy, last) = (HostPolicy { allowed, ..HostPolicy::default() }, LastHost::default());
        let verdict = |asked, host: &str| {
            over_tls(&policy, &last, asked, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
        };
        for host in ["a.example", "A.Example.", "a.example:443", "a.example:9"] {
            assert_eq!(verdict(Some("a.example"), host), None, "{host}");
            assert_eq!(verdict(Some("a.example."), host), None, "{host}, and a dot in the handshake");
        }
        for host in
            ["b.example", "10.0.0.7:8080", "localhost:8080", "evil.example", "a.example..", "xa.example"]
        {
            assert_eq!(verdict(Some("a.example"), host), Some(Code::Misdirected), "{host}");
        }
        // Who knows but an address asks for no name.
        assert_eq!([verdict(None, "b.example"), verdict(None, "10.0.0.7:8080")], [None; 2]);
        assert_eq!(verdict(None, "evil.example"), Some(Code::HostNotAllowed));
        assert_eq!(verdict(Some("evil.example"), "evil.example"), Some(Code::HostNotAllowed));
    }

    #[test]
    fn row_g4_what_is_no_host_is_malformed_before_it_is_misdirected() {
        let (policy, last) = (HostPolicy { any: true, ..HostPolicy::default() }, LastHost::default());
        let verdict = |head: &str| over_tls(&policy, &last, Some("a.example"), head);
        let twice = "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n";
        assert_eq!(verdict(twice), Some(Code::BadHost));
        assert_eq!(verdict("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), Some(Code::BadHost));
        assert_eq!(verdict("GET / HTTP/1.1\r\n\r\n"), Some(Code::HostMissing));
        assert_eq!(verdict("GET / HTTP/1.0\r\n\r\n"), None, "it names nothing else");
        let absolute = |host: &str| format!("GET https://{host}/ HTTP/1.1\r\nHost: a.example\r\n\r\n");
        assert_eq!(verdict(&absolute("a.example")), None);
        assert_eq!(verdict(&absolute("b.example")), Some(Code::Misdirected));
    }

    #[test]
    fn row_g4_what_was_ours_on_one_connection_is_no_pass_on_another() {
        let (policy, last) = (HostPolicy { any: true, ..HostPolicy::default() }, LastHost::default());
        let head = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
        let verdict = |asked| over_tls(&policy, &last, asked, head);
        for _ in 0..2 {
            assert_eq!(verdict(Some("a.example")), None);
            assert_eq!(verdict(Some("b.example")), Some(Code::Misdirected));
            assert_eq!(verdict(None), None);
            let plain = with_request(head, |request| last.judge(&policy, &request, HERE).is_ok());
            assert!(plain, "in the clear nothing was asked for");
        }
    }

    #[test]
    fn host_1_over_tls_the_port_that_may_be_left_out_is_443() {
        let policy = HostPolicy::default();
        let verdict = |host: &str, port, secured| {
            let here = Here::Ip(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), port);
            with_request(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), |request| {
                policy.judge(&request.over(secured), here).is_ok()
            })
        };
        let agreed = Agreed::with(None);
        let tls = Some(&agreed);
        assert!(verdict("localhost", 443, tls) && verdict("localhost:443", 443, tls));
        assert!(!verdict("localhost", 80, tls) && !verdict("localhost", 443, None));
    }

    #[test]
    fn host_1_the_default_port_may_be_left_out_and_unix_has_none() {
        let policy = HostPolicy::default();
        let port_80 = Here::Ip(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 80);
        assert_eq!(host(&policy, "localhost", port_80), None);
        assert_eq!(host(&policy, "localhost:80", port_80), None);
        assert_eq!(host(&policy, "localhost:1234", Here::Unix), None);
        assert_eq!(host(&policy, "evil", Here::Unix), Some(Code::HostNotAllowed));
    }

    #[test]
    fn host_1_allowed_names_fit_any_port_unless_they_have_one() {
        let allowed = vec![("a.example".into(), None), ("b.example".into(), Some(81))];
        let policy = HostPolicy { allowed, ..HostPolicy::default() };
        assert_eq!(host(&policy, "a.example:1", HERE), None);
        assert_eq!(host(&policy, "A.Example.", HERE), None);
        assert_eq!(host(&policy, "b.example:81", HERE), None);
        assert_eq!(host(&policy, "b.example", HERE), Some(Code::HostNotAllowed));
        assert_eq!(host(&HostPolicy { any: true, ..policy }, "who.ever", HERE), None);
    }

    #[test]
    fn host_2_case_and_one_trailing_dot_are_ignored() {
        assert_eq!(host(&HostPolicy::default(), "LocalHost.:8080", HERE), None);
        assert_ne!(host(&HostPolicy::default(), "localhost..:8080", HERE), None);
    }

    #[test]
    fn host_2_a_missing_host_is_for_http_1_0_only() {
        let policy = HostPolicy::default();
        assert_eq!(judge(&policy, "GET / HTTP/1.0\r\n\r\n", HERE), None);
        assert_eq!(judge(&policy, "GET / HTTP/1.1\r\n\r\n", HERE), Some(Code::HostMissing));
        let twice = "GET / HTTP/1.1\r\nHost: localhost:8080\r\nHost: localhost:8080\r\n\r\n";
        assert_eq!(judge(&policy, twice, HERE), Some(Code::BadHost));
    }

    #[test]
    fn h1_7_the_authority_of_an_absolute_target_replaces_host() {
        let policy = HostPolicy::default();
        let head = |target: &str, host: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(judge(&policy, &head("http://localhost:8080/", "evil"), HERE), None);
        let evil = judge(&policy, &head("http://evil/", "localhost:8080"), HERE);
        assert_eq!(evil, Some(Code::HostNotAllowed));
        let user = judge(&policy, &head("http://u:p@localhost:8080/", "localhost:8080"), HERE);
        assert_eq!(user, Some(Code::BadHost));
    }
}
