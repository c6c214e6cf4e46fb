//! Addresses and host names: where to listen, and which Host fields to answer.
//!
//! Names are kept in one form, lower case and without the trailing dot (HOST-2), so that they compare as
//! bytes.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::error::BadValue;

/// Bytes a unix socket's path may have: `sun_path` is 108 with its final NUL (unix(7)).
const UNIX_PATH_MAX: usize = 107;

/// Letters of a host name in all, and of one label (RFC 1035 §2.3.4).
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// An address to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddr {
    /// A TCP address; port 0 takes a free one.
    Tcp(SocketAddr),
    /// The path of a unix socket, at most 107 bytes.
    Unix(PathBuf),
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddr::Tcp(address) => write!(f, "{address}"),
            ListenAddr::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The hosts answered besides our own (HOST-1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowHosts {
    /// Whether `*` was given: any well-formed host is answered.
    pub any: bool,
    /// Names in lower case without a trailing dot, IPv6 in brackets; without a port any port fits. At most
    /// 256.
    pub names: Vec<(String, Option<u16>)>,
}

impl AllowHosts {
    pub(super) fn from_names(given: Vec<AllowedHost>) -> AllowHosts {
        let mut allow = AllowHosts::default();
        for host in given {
            match host {
                AllowedHost::Any => allow.any = true,
                AllowedHost::Named(name, port) => allow.names.push((name, port)),
            }
        }
        allow
    }

    /// The names as the user would write them.
    pub(super) fn written(&self) -> Vec<String> {
        let names = self.names.iter().map(|(name, port)| match port {
            Some(port) => format!("{name}:{port}"),
            None => name.clone(),
        });
        self.any.then(|| "*".to_owned()).into_iter().chain(names).collect()
    }
}

/// One `--allow-host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AllowedHost {
    Any,
    Named(String, Option<u16>),
}

/// Reads one `--listen`: `127.0.0.1:8080`, `[::1]:8080` or `unix:/path`.
pub(super) fn listen_address(text: &str) -> Result<ListenAddr, BadValue> {
    if let Some(path) = text.strip_prefix("unix:") {
        return socket_path(path).map(ListenAddr::Unix);
    }
    text.parse().map(ListenAddr::Tcp).map_err(|_| {
        BadValue::expected("an address with its port, like 127.0.0.1:8080, [::1]:8080 or unix:/path")
    })
}

/// Reads the path of a unix socket.
pub(super) fn socket_path(text: &str) -> Result<PathBuf, BadValue> {
    let fits = (1..=UNIX_PATH_MAX).contains(&text.len()) && !text.contains('\0');
    let refusal = || BadValue::expected(format!("the path of a socket, 1 to {UNIX_PATH_MAX} bytes"));
    fits.then(|| PathBuf::from(text)).ok_or_else(refusal)
}

/// Reads `--host`: an IP address, bracketed or not, or a name. The text is kept as written.
pub(super) fn host(text: &str) -> Result<String, BadValue> {
    let is_address = text.parse::<IpAddr>().is_ok() || bracketed(text).is_some();
    if is_address || host_name(text).is_some() {
        Ok(text.to_owned())
    } else {
        Err(BadValue::expected("an address or a name without a port, like 127.0.0.1, ::1 or localhost"))
    }
}

/// The address in a host as written, where it is one rather than a name.
pub(super) fn ip_of(host: &str) -> Option<IpAddr> {
    host.parse().ok().or_else(|| bracketed(host).map(IpAddr::V6))
}

/// Reads one `--allow-host`: a name or an address, with or without a port, or `*`.
pub(super) fn allowed_host(text: &str) -> Result<AllowedHost, BadValue> {
    if text == "*" {
        return Ok(AllowedHost::Any);
    }
    named_host(text).ok_or_else(|| {
        BadValue::expected("a host name or address, like files.example, files.example:8080 or [::1], or *")
    })
}

fn named_host(text: &str) -> Option<AllowedHost> {
    let (name, port) = match text.rsplit_once(':') {
        // The colons within brackets are the address's own.
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let port = port.map(port_number).transpose().ok()?;
    let name = match bracketed(name) {
        Some(address) => format!("[{address}]"),
        None => {
            host_name(name).or_else(|| name.parse::<std::net::Ipv4Addr>().ok().map(|ip| ip.to_string()))?
        }
    };
    Some(AllowedHost::Named(name, port))
}

/// A port that a client can name: digits, 1 to 65535.
fn port_number(text: &str) -> Result<u16, BadValue> {
    super::units::number_in(1..=u16::MAX)(text)
}

fn bracketed(text: &str) -> Option<Ipv6Addr> {
    text.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// The name in its one form, or `None` where it is none.
///
/// A last label of digits only is refused: a resolver takes `4` for the address 0.0.0.4, so a number that
/// slipped into the place of a host must not pass for one.
fn host_name(text: &str) -> Option<String> {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let last_is_number =
        name.rsplit('.').next().is_none_or(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    let fits = name.len() <= NAME_MAX && name.split('.').all(is_label) && !last_is_number;
    fits.then_some(name)
}

/// Letters, digits, hyphens inside (RFC 1123 §2.1), and the underscore that container networks use.
fn is_label(label: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LABEL_MAX).contains(&label.len())
        && label.bytes().all(known)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_2_listen_takes_tcp_and_unix_and_nothing_else() {
        for text in ["127.0.0.1:8080", "[::1]:8080", "0.0.0.0:0", "unix:/run/tidegate.sock", "unix:here"] {
            assert_eq!(listen_address(text).unwrap().to_string(), text);
        }
        let long = format!("unix:/{}", "x".repeat(UNIX_PATH_MAX));
        for text in
            ["", "8080", ":8080", "127.0.0.1", "::1:8080", "localhost:8080", "unix:", "unix:a\0b", &long]
        {
            assert!(listen_address(text).is_err(), "{text}");
        }
        assert!(listen_address(&long[..long.len() - 1]).is_ok());
    }

    #[test]
    fn run_2_host_is_an_address_or_a_name_never_a_number() {
        for text in ["127.0.0.1", "::1", "[::1]", "0.0.0.0", "localhost", "Files.Example.", "web_1"] {
            assert_eq!(host(text).as_deref(), Ok(text));
        }
        for text in ["", "4", "10.1", "localhost:80", "a b", "a..b", "-a", "[::1", "host/", "x.9", "ünï"] {
            assert!(host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn host_1_allowed_names_are_kept_in_one_form() {
        let named = |name: &str, port| Ok(AllowedHost::Named(name.to_owned(), port));
        assert_eq!(allowed_host("*"), Ok(AllowedHost::Any));
        assert_eq!(allowed_host("Files.Example."), named("files.example", None));
        assert_eq!(allowed_host("files.example:8080"), named("files.example", Some(8080)));
        assert_eq!(allowed_host("192.0.2.7:80"), named("192.0.2.7", Some(80)));
        assert_eq!(allowed_host("[0:0::1]"), named("[::1]", None));
        assert_eq!(allowed_host("[::1]:443"), named("[::1]", Some(443)));
        let bad = [
            "",
            "*.example",
            "a:",
            "a:0",
            "a:65536",
            "a:+1",
            "::1",
            "[::1",
            "user@a",
            "http://a",
            "a/b",
            "a,b",
        ];
        for text in bad {
            assert!(allowed_host(text).is_err(), "{text}");
        }
    }

    #[test]
    fn host_1_name_lengths_end_where_the_dns_ends_them() {
        let label = |letters| "a".repeat(letters);
        assert!(allowed_host(&label(63)).is_ok());
        assert!(allowed_host(&label(64)).is_err());
        let name = |last| format!("{0}.{0}.{0}.{1}", label(63), label(last));
        assert!(allowed_host(&name(61)).is_ok(), "253 letters");
        assert!(allowed_host(&name(62)).is_err(), "254 letters");
    }
}
