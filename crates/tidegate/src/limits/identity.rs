//! Who asks (SPEC SEC-0, SEC-1): the peer itself, or the client that a trusted proxy names.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Once;

use super::ClientKey;
use crate::config::ClientSettings;
use crate::http::request::{Name, Version};
use crate::http::{Request, forwarded};
use crate::net::Peer;
use crate::net::cidr::CidrSet;

/// Who asks, as limits, bans and the pages for operators see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address; a peer on a unix socket has none.
    pub address: Option<IpAddr>,
    /// What limits are counted by.
    pub key: ClientKey,
    /// Whether it is a local operator (SEC-0).
    pub operator: bool,
    /// Whether a proxy that nobody trusts may stand between: then nobody knows whose address it is.
    pub hidden: bool,
}

/// Stands for the address of a proxy on a unix socket, which has none; nobody's packets come from it (RFC 1122
/// §3.2.1.3).
const NOWHERE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// How clients are told apart.
#[derive(Debug)]
pub struct Identity {
    trusted: CidrSet,
    trusted_unix: bool,
    limit_loopback: bool,
    habits: Habits,
}

/// Which of the two fields a trusted proxy writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// `Forwarded`
    Forwarded,
    /// `X-Forwarded-For`
    List,
}

/// What is known of the proxies' habits.
///
/// A proxy writes one of the two fields, and passes the other on as its visitor sent it: where both are there, one of
/// them may be a visitor's word on himself. But what a proxy writes it writes always; so a request with one field alone
/// proves that it does not write the other one.
#[derive(Debug, Default)]
struct Habits(RefCell<HashMap<IpAddr, Habit>>);

/// Proxies whose habits are remembered; of more, only those fields are believed that agree.
const PROXIES: usize = 256;

impl Habits {
    /// The habit of `proxy`, which now passes on what was `sent`: `Forwarded`, `X-Forwarded-For`.
    fn of(&self, proxy: IpAddr, sent: (bool, bool)) -> Option<Habit> {
        let shown = match sent {
            (true, false) => Some(Habit::Forwarded),
            (false, true) => Some(Habit::List),
            _ => None,
        };
        let known = self.0.borrow().get(&proxy).copied();
        if let (None, Some(shown)) = (known, shown) {
            // The first proof stays, until a reload: what contradicts it later is no habit.
            let mut habits = self.0.borrow_mut();
            if habits.len() < PROXIES {
                habits.insert(proxy, shown);
            }
        }
        shown.or(known)
    }
}

impl Client {
    /// The peer at the other end of a connection, of which nothing more is known.
    pub fn peer(peer: Peer) -> Self {
        let address = peer.ip().map(|ip| ip.to_canonical());
        let key = address.map_or(ClientKey::UNIX, ClientKey::of);
        Self { address, key, operator: false, hidden: false }
    }

    fn is_loopback(&self) -> bool {
        self.address.is_some_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

impl Identity {
    /// By these settings.
    pub fn new(settings: &ClientSettings) -> Self {
        Self {
            trusted: settings.trusted_proxies.clone(),
            trusted_unix: settings.trusted_unix,
            limit_loopback: settings.limit_loopback,
            habits: Habits::default(),
        }
    }

    /// Whose request this is. `loopback` says that the Host it names, and that is ours, is a loopback one.
    #[inline]
    pub fn of(&self, peer: Peer, request: &Request<'_>, loopback: bool) -> Client {
        let client = Client::peer(peer);
        let forwarded = request.is_forwarded();
        let Some(address) = client.address else { return self.on_unix(client, request) };
        if self.trusted.contains(address) {
            return self.behind(address, request);
        }
        if forwarded && client.is_loopback() && self.trusted.is_empty() {
            tell_of_the_missing_flag(&address);
        }
        let operator = !forwarded && loopback && client.is_loopback() && request.version != Version::Http10;
        Client { operator, hidden: forwarded, ..client }
    }

    /// A peer on a unix socket: a proxy on this machine, as a rule.
    fn on_unix(&self, peer: Client, request: &Request<'_>) -> Client {
        let forwarded = request.is_forwarded();
        if !self.trusted_unix {
            if forwarded {
                tell_of_the_missing_flag(&"unix");
            }
            return Client { hidden: forwarded, ..peer };
        }
        let client = self.behind(NOWHERE, request);
        if client.hidden { Client { hidden: true, ..peer } } else { client }
    }

    /// The client that the trusted proxy at `address` names, or the proxy itself where it names none that can be
    /// believed.
    fn behind(&self, address: IpAddr, request: &Request<'_>) -> Client {
        let trusted = |hop| hop == NOWHERE || self.trusted.contains(hop);
        let by_forwarded = || forwarded::client(address, request.values(Name::Forwarded), [], trusted);
        let by_list = || forwarded::client(address, [], request.values(Name::XForwardedFor), trusted);
        let sent = (request.has(&[Name::Forwarded]), request.has(&[Name::XForwardedFor]));
        let named = match (sent, self.habits.of(address, sent)) {
            ((false, false), _) => address,
            (_, Some(Habit::Forwarded)) => by_forwarded(),
            (_, Some(Habit::List)) => by_list(),
            ((true, true), None) => {
                Some(by_forwarded()).filter(|named| *named == by_list()).unwrap_or(address)
            }
            (_, None) => address,
        };
        Client { address: Some(named), key: ClientKey::of(named), operator: false, hidden: trusted(named) }
    }

    /// By what the connections of `peer` are counted; `None` where they are not: a proxy's are those of many clients,
    /// and a local operator cannot be told from others before it has asked.
    pub fn counted(&self, peer: Peer) -> Option<ClientKey> {
        let address = peer.ip()?.to_canonical();
        let exempt = self.trusted.contains(address) || address.is_loopback() && !self.limit_loopback;
        (!exempt).then(|| ClientKey::of(address))
    }

    /// Whether rate limit and bans pass `client` over (SEC-1).
    #[inline]
    pub fn exempts(&self, client: &Client) -> bool {
        client.operator && !self.limit_loopback
    }

    /// Whether `client` may be banned at all: a trusted proxy is not, nor is this machine unless it is limited like any
    /// other, for behind either there may be everybody.
    pub fn may_ban(&self, client: &Client) -> bool {
        client.address.is_some_and(|address| {
            !self.trusted.contains(address) && (self.limit_loopback || !client.is_loopback())
        })
    }
}

/// Said once: every request of that proxy would say it again.
fn tell_of_the_missing_flag(peer: &dyn fmt::Display) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        log::warn!(
            "a proxy on this machine names its clients, but nobody told to believe it: all of them are limited as one; \
             add --trusted-proxy {peer}"
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_1_one_field_alone_shows_what_a_proxy_writes() {
        let habits = Habits::default();
        let proxy = IpAddr::from([10, 0, 0, 1]);
        assert_eq!(habits.of(proxy, (true, true)), None, "nothing is known yet");
        assert_eq!(habits.of(proxy, (false, false)), None, "a request of the proxy's own shows nothing");
        assert_eq!(habits.of(proxy, (false, true)), Some(Habit::List));
        assert_eq!(habits.of(proxy, (true, true)), Some(Habit::List), "the other field is its visitor's");
        assert_eq!(habits.of(proxy, (true, false)), Some(Habit::Forwarded), "a field that is alone counts");
        assert_eq!(
            habits.of(proxy, (true, true)),
            Some(Habit::List),
            "but nothing is learned from it any more"
        );
        assert_eq!(habits.of(IpAddr::from([10, 0, 0, 2]), (true, true)), None, "another proxy");
        for number in 0..2 * PROXIES {
            habits.of(IpAddr::from((number as u128).to_be_bytes()), (true, false));
        }
        assert!(habits.0.borrow().len() <= PROXIES);
    }
}
