//! For whom does a proxy speak? The fields `Forwarded` (RFC 7239) and `X-Forwarded-For`, read against the way.
//!
//! Each proxy adds at the right end the address from which it was asked. So the last element was written by the peer,
//! the one before it by whoever the last element names, and so on: an element is worth as much as the hop that wrote
//! it. The walk goes from right to left while hops are trusted; the first one that is not is the client, and what is
//! left of it may be anybody's invention. An element that is no address (`unknown`, `_hidden`, rubbish) ends the walk
//! at the last address known.
//!
//! ```text
//! peer (trusted)    Forwarded: for=6.6.6.6,  for=203.0.113.7,  for=10.0.0.2
//!                                 invented    the client        trusted    ◄── the walk begins here
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Elements looked at, from the right: more trusted proxies in a row than anybody has. With more, the last one looked
/// at is the client.
pub const MAX_HOPS: usize = 64;

/// Bytes of an address with its brackets and port, unquoted; what is longer is none.
const MAX_NODE: usize = 64;

/// The client behind `peer`: the peer itself, unless it is trusted and names another one. The values of the fields are
/// given line by line in their order. Where there is a `Forwarded` it alone counts, and one that is malformed says
/// nothing.
pub fn client<'a>(
    peer: IpAddr,
    forwarded: impl IntoIterator<Item = &'a [u8]>,
    x_forwarded_for: impl IntoIterator<Item = &'a [u8]>,
    trusted: impl Fn(IpAddr) -> bool,
) -> IpAddr {
    if !trusted(peer.to_canonical()) {
        return peer;
    }
    let mut forwarded = forwarded.into_iter().peekable();
    let hops = if forwarded.peek().is_some() { by_forwarded(forwarded) } else { by_list(x_forwarded_for) };
    hops.map_or(peer, |hops| hops.walk(peer, trusted))
}

/// The last elements in their order, as a ring; `None` for one that is no address.
struct Hops {
    nodes: [Option<IpAddr>; MAX_HOPS],
    count: usize,
}

impl Hops {
    fn new() -> Self {
        Self { nodes: [None; MAX_HOPS], count: 0 }
    }

    fn push(&mut self, node: Option<IpAddr>) {
        if let Some(place) = self.nodes.get_mut(self.count % MAX_HOPS) {
            *place = node;
        }
        self.count += 1;
    }

    fn walk(&self, peer: IpAddr, trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
        let mut client = peer;
        for back in 1..=self.count.min(MAX_HOPS) {
            let node = self.nodes.get((self.count - back) % MAX_HOPS).copied().flatten();
            let Some(address) = node else { return client };
            client = address;
            if !trusted(address) {
                return client;
            }
        }
        client
    }
}

/// The elements of `X-Forwarded-For`, which no standard describes: addresses with commas between them.
fn by_list<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Hops> {
    let mut hops = Hops::new();
    let elements = lines.into_iter().flat_map(|line| line.split(|byte| *byte == b','));
    // Empty elements count for nothing in a list (RFC 9110 §5.6.1.2).
    for element in elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty()) {
        let bare = std::str::from_utf8(element).ok().and_then(|text| text.parse::<IpAddr>().ok());
        hops.push(bare.map(|address| address.to_canonical()).or_else(|| node(element)));
    }
    Some(hops)
}

/// The elements of `Forwarded`; `None` where a line breaks the grammar (RFC 7239 §4). A line is whole by itself: no
/// quoted string goes on in the next.
fn by_forwarded<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<Hops> {
    let mut hops = Hops::new();
    for line in lines {
        let mut rest = trim_start(line);
        while !rest.is_empty() {
            if let Some(next) = rest.strip_prefix(b",") {
                rest = trim_start(next);
                continue;
            }
            let element;
            (element, rest) = forwarded_element(rest)?;
            hops.push(element);
            rest = trim_start(rest);
            // Behind an element there is another one or nothing.
            if !rest.is_empty() && !rest.starts_with(b",") {
                return None;
            }
        }
    }
    Some(hops)
}

/// One `forwarded-element`, pairs with semicolons between them: the address of its `for`, and what follows.
fn forwarded_element(mut rest: &[u8]) -> Option<(Option<IpAddr>, &[u8])> {
    let mut named = None;
    loop {
        if !matches!(rest.first(), None | Some(b';' | b',' | b' ' | b'\t')) {
            let (name, after) = token(rest)?;
            let after = after.strip_prefix(b"=")?;
            let value = if let Some(quoted) = after.strip_prefix(b"\"") {
                let (value, after) = quoted_string(quoted)?;
                rest = after;
                value
            } else {
                let (value, after) = token(after)?;
                rest = after;
                node(value)
            };
            // Each parameter at most once (§4).
            if name.eq_ignore_ascii_case(b"for") && named.replace(value).is_some() {
                return None;
            }
        }
        match rest.strip_prefix(b";") {
            Some(after) => rest = after,
            None => return Some((named.flatten(), rest)),
        }
    }
}

/// A token (RFC 9110 §5.6.2) and what follows; `None` where it is empty.
fn token(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let end = bytes.iter().position(|byte| !is_token(byte)).unwrap_or(bytes.len());
    let (token, rest) = bytes.split_at_checked(end)?;
    if token.is_empty() { None } else { Some((token, rest)) }
}

/// What a quoted string (RFC 9110 §5.6.4) names, given from behind its opening quote, and what follows its end.
fn quoted_string(bytes: &[u8]) -> Option<(Option<IpAddr>, &[u8])> {
    let (mut text, mut length) = ([0; MAX_NODE], 0_usize);
    let mut rest = bytes.iter();
    loop {
        let byte = match rest.next()? {
            b'"' => return Some((text.get(..length).and_then(node), rest.as_slice())),
            b'\\' => rest.next()?,
            byte => byte,
        };
        if byte.is_ascii_control() && *byte != b'\t' {
            return None;
        }
        if let Some(place) = text.get_mut(length) {
            *place = *byte;
        }
        length += 1;
    }
}

/// The address of a `node` (RFC 7239 §6), with or without its port: `192.0.2.7`, `[2001:db8::1]:4711`.
fn node(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (address, rest) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (address, rest) = bracketed.split_once(']')?;
            (IpAddr::V6(address.parse::<Ipv6Addr>().ok()?), rest)
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            let (address, rest) = text.split_at_checked(end)?;
            (IpAddr::V4(address.parse::<Ipv4Addr>().ok()?), rest)
        }
    };
    let port_is_sound = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port);
    port_is_sound.then(|| address.to_canonical())
}

/// One to five digits, or a hidden one (`_x`, §6.3).
fn is_port(text: &str) -> bool {
    let hidden = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match text.strip_prefix('_') {
        Some(name) => !name.is_empty() && name.bytes().all(hidden),
        None => (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

fn trim_start(bytes: &[u8]) -> &[u8] {
    let blank = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    bytes.get(blank..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PEER: &str = "10.0.0.1";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// 10.0.0.0/8 and 2001:db8:10::/48 are trusted.
    fn trusted(address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => address.octets()[0] == 10,
            IpAddr::V6(address) => address.segments()[..3] == [0x2001, 0xdb8, 0x10],
        }
    }

    fn by(forwarded: &[&str], list: &[&str]) -> String {
        let (forwarded, list) =
            (forwarded.iter().map(|line| line.as_bytes()), list.iter().map(|line| line.as_bytes()));
        client(ip(PEER), forwarded, list, trusted).to_string()
    }

    #[test]
    fn sec_1_the_first_hop_from_the_right_that_is_not_trusted_is_the_client() {
        for (line, client) in [
            ("for=203.0.113.7", "203.0.113.7"),
            ("for=6.6.6.6, for=203.0.113.7, for=10.0.0.2", "203.0.113.7"),
            ("For=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("proto=https;for=\"203.0.113.7:80\";by=10.0.0.1", "203.0.113.7"),
            ("for=10.0.0.3,for=10.0.0.2", "10.0.0.3"),
            ("for=\"203.0.113.7:_port\"", "203.0.113.7"),
            ("for=\"\\2\\03.0.113.7\"", "203.0.113.7"),
            ("for=\"[::ffff:203.0.113.7]\"", "203.0.113.7"),
            ("for=1.1.1.1,, ,\tfor=203.0.113.7 ,", "203.0.113.7"),
            (";for=203.0.113.7;", "203.0.113.7"),
            ("for=6.6.6.6;host=\"a, for=7.7.7.7\"", "6.6.6.6"),
        ] {
            assert_eq!(by(&[line], &[]), client, "{line}");
        }
        for (line, client) in [
            ("203.0.113.7", "203.0.113.7"),
            ("6.6.6.6, 203.0.113.7 ,10.0.0.2", "203.0.113.7"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("203.0.113.7:4711,", "203.0.113.7"),
            ("2001:db8:10::1,10.0.0.2", "2001:db8:10::1"),
        ] {
            assert_eq!(by(&[], &[line]), client, "{line}");
        }
        assert_eq!(by(&["for=6.6.6.6", "for=203.0.113.7"], &[]), "203.0.113.7", "lines are one list");
        assert_eq!(by(&[], &["6.6.6.6", "203.0.113.7", "10.0.0.9"]), "203.0.113.7");
        assert_eq!(by(&["for=203.0.113.7"], &["6.6.6.6"]), "203.0.113.7", "Forwarded wins");
        assert_eq!(by(&[], &[]), PEER);
        assert_eq!(by(&[], &[""]), PEER);
    }

    #[test]
    fn sec_1_what_is_no_address_ends_the_walk_at_the_last_one_known() {
        for hidden in
            ["for=unknown", "for=_gazonk", "for=\"\"", "proto=http", "for=999.1.1.1", "for=\"2001:db8::1\""]
        {
            let line = format!("for=6.6.6.6, {hidden}, for=10.0.0.2");
            assert_eq!(by(&[&line], &[]), "10.0.0.2", "{line}");
            assert_eq!(by(&[hidden], &["6.6.6.6"]), PEER, "{hidden}");
        }
        let long = format!("for=\"{}\"", "1".repeat(MAX_NODE + 1));
        assert_eq!(by(&[&long], &[]), PEER);
        for rubbish in
            ["unknown", "localhost", "1.2.3", "1.2.3.4:", "1.2.3.4:123456", "[::1", "[1.2.3.4]", "\u{e4}"]
        {
            assert_eq!(by(&[], &[&format!("6.6.6.6, {rubbish}, 10.0.0.2")]), "10.0.0.2", "{rubbish}");
        }
    }

    #[test]
    fn sec_1_a_malformed_forwarded_says_nothing() {
        for line in [
            "for=203.0.113.7, for",
            "for=203.0.113.7, for=",
            "for=203.0.113.7, =1.2.3.4",
            "for=\"203.0.113.7",
            "for=\"203.0.113.7\\",
            "for=203.0.113.7 proto=http",
            "for=203.0.113.7; proto=http",
            "for=203.0.113.7;for=203.0.113.7",
            "for=203.0.113.7:80",
            "for=[2001:db8::1]",
            "for =203.0.113.7",
            "for=\"203.0.113.7\"x",
            "for=203.0.113.7, for=\"\u{1}\"",
        ] {
            assert_eq!(by(&[line], &["6.6.6.6"]), PEER, "{line}");
        }
    }

    #[test]
    fn sec_1_who_is_not_trusted_names_nobody() {
        let line: &[u8] = b"for=6.6.6.6";
        let peer = ip("203.0.113.9");
        assert_eq!(client(peer, [line], [], trusted), peer);
        assert_eq!(client(ip("::ffff:10.0.0.1"), [line], [], trusted), ip("6.6.6.6"));
    }

    #[test]
    fn sec_1_no_more_than_64_hops_are_looked_at() {
        let trusted_hops = vec!["10.0.0.2"; MAX_HOPS - 1].join(",");
        assert_eq!(by(&[], &[&format!("6.6.6.6,{trusted_hops}")]), "6.6.6.6");
        assert_eq!(by(&[], &[&format!("6.6.6.6,10.9.9.9,{trusted_hops}")]), "10.9.9.9");
    }

    proptest! {
        /// What is left of a hop that is not trusted changes nothing, be it rubbish.
        #[test]
        fn sec_1_nothing_left_of_an_untrusted_hop_is_believed(
            left in "[ -~]{0,40}", client: u32, hops in proptest::collection::vec(0_u32..1 << 24, 0..5),
        ) {
            let address = Ipv4Addr::from_bits(client);
            prop_assume!(!trusted(address.into()));
            let trusted_hops = hops.iter().map(|host| format!(",{}", Ipv4Addr::from_bits(10 << 24 | host)));
            let list = format!("{left},{address}{}", trusted_hops.collect::<String>());
            prop_assert_eq!(by(&[], &[&list]), address.to_string());
        }

        /// Whatever is sent, the client is the peer or an address that was sent.
        #[test]
        fn sec_1_any_bytes_give_an_address_that_was_sent(
            forwarded in proptest::collection::vec("(for=|[\"\\\\,; ]|10\\.0\\.0\\.2|6\\.6\\.6\\.6|\\[::1\\]|[ -~]){0,12}", 0..3),
        ) {
            let lines: Vec<_> = forwarded.iter().map(String::as_str).collect();
            let found = by(&lines, &[]);
            let sent = forwarded.concat().replace('\\', "");
            prop_assert!(found == PEER || sent.contains(&found), "{found}");
        }
    }
}
