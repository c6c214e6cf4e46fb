//! Hosts: what is ours is what SPEC HOST-1 says, read naively; letter case and one dot change nothing, and what was
//! ours last time is judged the same again.
//!
//! The first byte of the input chooses the policy, the place and the form of the request; the rest is the host. Each is
//! judged in the clear, over TLS, and over TLS of which the handshake asked for a server.

#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;

use libfuzzer_sys::fuzz_target;
use tidegate::http::Code;
use tidegate::http::host::{Here, HostPolicy, LastHost, Ours};
use tidegate::net::tls::{Agreed, Protocol};

const LOCAL: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 7);

/// How a request comes: in the clear, or over TLS, perhaps to a server that it asked for.
#[derive(Clone, Copy)]
enum Manner {
    Clear,
    Tls(Option<&'static str>),
}

const MANNERS: [Manner; 3] = [Manner::Clear, Manner::Tls(None), Manner::Tls(Some("files.example"))];

impl Manner {
    fn agreed(self) -> Option<Agreed> {
        let Self::Tls(asked) = self else { return None };
        let (protocol, server_name) = (Protocol::Http1, asked.map(Rc::from));
        Some(Agreed { protocol, server_name, version: 0x0304, cipher_suite: 0x1301, resumed: false })
    }

    fn implied_port(self) -> u16 {
        if matches!(self, Self::Clear) { 80 } else { 443 }
    }
}

/// What the first byte chooses.
#[derive(Clone, Copy)]
struct Choice(u8);

impl Choice {
    fn has(self, bit: u8) -> bool {
        self.0 & (1 << bit) != 0
    }

    fn here(self, manner: Manner) -> Here {
        let port = if self.has(1) { manner.implied_port() } else { 8080 };
        match (self.has(0), self.has(2)) {
            (true, _) => Here::Unix,
            (_, true) => Here::Ip(Ipv6Addr::LOCALHOST.into(), port),
            _ => Here::Ip(LOCAL.into(), port),
        }
    }

    fn policy(self) -> HostPolicy {
        let allowed =
            vec![("a.example".into(), None), ("b.example".into(), Some(81)), ("10.1.1.1".into(), None)];
        HostPolicy {
            any: self.has(3),
            allowed: if self.has(4) { allowed } else { Vec::new() },
            configured: self.has(5).then(|| "files.example".into()),
        }
    }

    /// A request for `host`, named by its Host field or by its target.
    fn head(self, host: &[u8]) -> Vec<u8> {
        let version: &[u8] = if self.has(7) { b"1.0" } else { b"1.1" };
        if self.has(6) {
            [b"GET http://", host, b"/ HTTP/", version, b"\r\nHost: evil.example\r\n\r\n"].concat()
        } else {
            [b"GET / HTTP/", version, b"\r\nHost: ", host, b"\r\n\r\n"].concat()
        }
    }
}

fuzz_target!(|data: &[u8]| fuzz::timely(data, check));

fn check(data: &[u8]) {
    let Some((&first, host)) = data.split_first() else { return };
    if host.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return;
    }
    let choice = Choice(first);
    for manner in MANNERS {
        check_in(manner, choice, host);
    }
}

fn check_in(manner: Manner, choice: Choice, host: &[u8]) {
    let Some(judged) = judge(manner, choice, host) else { return };
    assert_eq!(Some(judged), judge(manner, choice, &host.to_ascii_uppercase()), "letter case");
    // Where the target has no authority, or another one, the Host field is judged; `Target` says which it has.
    if choice.has(6) && (host.is_empty() || host.iter().any(|byte| b"/?#".contains(byte))) {
        return;
    }
    // Blanks around a field are none of its value.
    let text = str::from_utf8(host).map(|text| text.trim_matches([' ', '\t']));
    assert_eq!(judged, by_the_contract(manner, choice, text.unwrap_or("?")));
}

/// The verdict, given twice in a row; `None` where no head holds `host`.
fn judge(manner: Manner, choice: Choice, host: &[u8]) -> Option<Result<Ours, Code>> {
    let (policy, last) = (choice.policy(), LastHost::default());
    let (here, agreed) = (choice.here(manner), manner.agreed());
    fuzz::ask(&choice.head(host), |request| {
        let request = request.over(agreed.as_ref());
        let verdict = policy.judge(&request, here).map_err(|reject| reject.code);
        for _ in 0..2 {
            let again = last.judge(&policy, &request, here).map_err(|reject| reject.code);
            assert_eq!(again, verdict, "what is remembered");
        }
        verdict
    })
}

/// SPEC HOST-1, HOST-2 and (2) of H1-10, over a host as text.
fn by_the_contract(manner: Manner, choice: Choice, text: &str) -> Result<Ours, Code> {
    let (name, port) = named(text).ok_or(Code::BadHost)?;
    if let Manner::Tls(Some(asked)) = manner
        && name != asked
    {
        return Err(Code::Misdirected);
    }
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>().ok();
    let here = choice.here(manner);
    let is_port = |ours| here == Here::Unix || port.unwrap_or(manner.implied_port()) == ours;
    let policy = choice.policy();
    let own = ["localhost", "127.0.0.1", "[::1]"].contains(&name.as_str())
        || policy.configured.as_deref() == Some(&name);
    let ours = match here {
        Here::Ip(local, ours) => is_port(ours) && (own || is_written(&name, local)),
        Here::Unix => own,
    };
    let allowed = policy.allowed.iter().any(|(ours, at)| *ours == name && at.is_none_or(is_port));
    if policy.any || ours || allowed {
        Ok(Ours { loopback: name == "localhost" || address.is_some_and(|address| address.is_loopback()) })
    } else {
        Err(Code::HostNotAllowed)
    }
}

/// Whether `name` is `address`, as a Host field writes it.
fn is_written(name: &str, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => name == address.to_string(),
        IpAddr::V6(address) => name == format!("[{address}]"),
    }
}

/// The name and the port; `None` where it is no host by the grammar. The name is in lower case without its dot, an address
/// as it is best written, and anything that is neither is nobody's name: empty.
fn named(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(inner) => {
            let (address, rest) = inner.split_once(']')?;
            (format!("[{}]", address.parse::<Ipv6Addr>().ok()?), rest)
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            (name(&text[..end])?, &text[end..])
        }
    };
    match port.strip_prefix(':') {
        None => port.is_empty().then_some((host, None)),
        Some("") => Some((host, None)),
        Some(digits) => {
            let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
            Some((host, Some(digits.parse().ok().filter(|_| is_number)?)))
        }
    }
}

/// `reg-name` (RFC 3986 §3.2.2) without a comma, as far as DNS could hold it.
fn name(text: &str) -> Option<String> {
    let is_registered = |letter: char| letter.is_ascii_alphanumeric() || "-._~%!$&'()*+;=".contains(letter);
    let mut escapes = text.split('%').skip(1).map(|after| after.as_bytes().get(..2));
    let sound = escapes.all(|digits| digits.is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)));
    if !(1..=255).contains(&text.len()) || !text.chars().all(is_registered) || !sound {
        return None;
    }
    let bare = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let is_name = bare.split('.').all(is_label) && (!is_number(&bare) || bare.parse::<Ipv4Addr>().is_ok());
    Some(if is_name { bare } else { String::new() })
}

fn is_label(label: &str) -> bool {
    !label.is_empty() && label.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter))
}

/// Whether somebody could take it for an IPv4 address: its last label is a number.
fn is_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").map(|digits| digits.chars().all(|letter| letter.is_ascii_hexdigit()));
    hex.unwrap_or(false) || last.chars().all(|letter| letter.is_ascii_digit())
}
