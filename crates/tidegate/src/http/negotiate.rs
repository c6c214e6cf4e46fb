//! What a client would rather have: content codings (RFC 9110 §12.5.3) and media types (§12.5.1).
//!
//! Both fields are lists of things with weights; one reader of members serves both. A malformed member is
//! ignored as if it had not been sent: a preference is never worth a refusal, and a weight that cannot be read
//! must not be guessed, since a guess may choose what the client cannot use. Lists need no bound of their own:
//! a head has one, and each member is looked at once.

use std::cmp::Reverse;

/// A coding that is served, from the most to the least wanted by us: the smaller answer first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// Brotli, RFC 7932.
    Br,
    /// Zstandard, RFC 8878.
    Zstd,
    /// RFC 1952; its other name `x-gzip` means the same (RFC 9110 §8.4.1.3).
    Gzip,
}

impl Coding {
    /// All, in the order in which we prefer them at equal weight (SPEC FILE-6).
    pub const ALL: [Self; 3] = [Self::Br, Self::Zstd, Self::Gzip];

    /// Its name in `Accept-Encoding` and `Content-Encoding`.
    pub const fn token(self) -> &'static str {
        match self {
            Self::Br => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// What a file in this coding has after its name.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Br => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }

    fn is_named(self, token: &[u8]) -> bool {
        token.eq_ignore_ascii_case(self.token().as_bytes())
            || self == Self::Gzip && token.eq_ignore_ascii_case(b"x-gzip")
    }
}

/// The weights that a client gives to codings. A coding named twice has its first weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// In the order of [`Coding::ALL`].
    codings: [Option<Weight>; Coding::ALL.len()],
    identity: Option<Weight>,
    /// Of `*`: every coding that is not named, and identity too.
    others: Option<Weight>,
}

impl Accepted {
    /// Reads the values of all `Accept-Encoding` lines. No line and an empty one both ask for no coding: to the
    /// first any might be sent (RFC 9110 §12.5.3), but a client that is silent may well not know ours.
    pub fn of<'a>(values: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut accepted = Self::default();
        for member in values.flat_map(|value| split(value, b',')) {
            if let Some((token, weight)) = coding(member)
                && let Some(slot) = accepted.slot(token)
            {
                slot.get_or_insert(weight);
            }
        }
        accepted
    }

    /// The codings to try, best first: those with a weight, unless identity was named and weighs more.
    pub fn ranked(&self) -> impl Iterator<Item = Coding> + use<> {
        let least = self.identity.unwrap_or(Weight::NONE).max(Weight::LEAST);
        let mut weighed = Coding::ALL.map(|coding| (coding, self.weight(coding)));
        weighed.sort_by_key(|(_, weight)| Reverse(*weight));
        weighed.into_iter().filter(move |(_, weight)| *weight >= least).map(|(coding, _)| coding)
    }

    fn weight(&self, coding: Coding) -> Weight {
        self.codings[coding as usize].or(self.others).unwrap_or(Weight::NONE)
    }

    /// Where the weight of `token` is kept; `None` for a coding that is not ours.
    fn slot(&mut self, token: &[u8]) -> Option<&mut Option<Weight>> {
        if token == b"*" {
            return Some(&mut self.others);
        }
        if token.eq_ignore_ascii_case(b"identity") {
            return Some(&mut self.identity);
        }
        let coding = Coding::ALL.into_iter().find(|coding| coding.is_named(token))?;
        self.codings.get_mut(coding as usize)
    }
}

/// Whether an `Accept` list asks for JSON rather than for HTML, between which we leave the choice to the
/// client: JSON weighs more, or as much and only it is named. `*/*` alone and silence mean HTML.
pub fn prefers_json<'a>(accept: impl Iterator<Item = &'a [u8]>) -> bool {
    let (mut json, mut html) = (Fit::default(), Fit::default());
    for (range, weight) in accept.flat_map(|value| split(value, b',')).filter_map(media_range) {
        json = json.max(Fit::of(range, weight, b"application", b"json"));
        html = html.max(Fit::of(range, weight, b"text", b"html"));
    }
    let only_json_named = json.precision > html.precision && json.precision == Precision::Type;
    json.weight > html.weight || json.weight == html.weight && json.weight > Weight::NONE && only_json_named
}

/// Whether an `Accept` list names `text/html` itself, with a weight above zero: what browsers do and tools
/// do not.
pub fn names_html<'a>(accept: impl Iterator<Item = &'a [u8]>) -> bool {
    accept
        .flat_map(|value| split(value, b','))
        .filter_map(media_range)
        .any(|(range, weight)| weight > Weight::NONE && range.eq_ignore_ascii_case(b"text/html"))
}

/// How well a media type fits into an `Accept` list. The order is that of RFC 9110 §12.5.1: the most precise
/// range decides; of two that are equally so, which then differ in parameters that we do not tell apart, the
/// heavier.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    precision: Precision,
    weight: Weight,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Precision {
    /// It does not fit.
    #[default]
    None,
    /// `*/*`
    Any,
    /// `text/*`
    Kind,
    /// `text/html`
    Type,
}

impl Fit {
    fn of(range: &[u8], weight: Weight, kind: &[u8], subtype: &[u8]) -> Self {
        let mut halves = range.splitn(2, |byte| *byte == b'/');
        let (first, second) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        let precision = match (first, second) {
            (b"*", b"*") => Precision::Any,
            (first, b"*") if first.eq_ignore_ascii_case(kind) => Precision::Kind,
            (first, second) if first.eq_ignore_ascii_case(kind) && second.eq_ignore_ascii_case(subtype) => {
                Precision::Type
            }
            _ => return Self::default(),
        };
        Self { precision, weight }
    }
}

/// A weight in thousandths, from 0 (not acceptable) to 1000 (RFC 9110 §12.4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Weight(u16);

impl Weight {
    const NONE: Self = Self(0);
    const LEAST: Self = Self(1);
    /// What stands without a weight weighs this.
    const FULL: Self = Self(1000);

    /// `0` or `1`, with at most three digits behind a point, no more than 1 in all.
    fn parse(text: &[u8]) -> Option<Self> {
        let (whole, decimals): (u8, &[u8]) = match text {
            [whole] => (*whole, &[]),
            [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (*whole, decimals),
            _ => return None,
        };
        if !matches!(whole, b'0' | b'1') || !decimals.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let places = [100, 10, 1].into_iter().zip(decimals);
        let part: u16 = places.map(|(place, digit)| place * u16::from(digit - b'0')).sum();
        Some(Self(u16::from(whole - b'0') * 1000 + part)).filter(|weight| *weight <= Self::FULL)
    }

    /// Reads `q=…` in either case; the outer `None` is another parameter.
    fn parameter(text: &[u8]) -> Option<Option<Self>> {
        let value = text.strip_prefix(b"q=").or_else(|| text.strip_prefix(b"Q="))?;
        Some(Self::parse(value))
    }
}

/// `gzip` or `gzip;q=0.5`: a coding takes no parameter but its weight (RFC 9110 §12.5.3).
fn coding(member: &[u8]) -> Option<(&[u8], Weight)> {
    let mut parts = split(member, b';');
    let token = parts.next()?;
    let weight = match parts.next() {
        None => Weight::FULL,
        Some(parameter) => Weight::parameter(parameter).flatten()?,
    };
    parts.next().is_none().then_some((token, weight))
}

/// `text/html;level=1;q=0.5`: other parameters are passed over, and the weight may stand anywhere among them
/// (RFC 9110 §12.5.1).
fn media_range(member: &[u8]) -> Option<(&[u8], Weight)> {
    let mut parts = split(member, b';');
    let range = parts.next()?;
    let weight = parts.find_map(Weight::parameter).unwrap_or(Some(Weight::FULL))?;
    Some((range, weight))
}

/// The pieces of `value` between `separator`s that stand outside of quoted strings (RFC 9110 §5.6.4), without
/// the white space around them.
fn split(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let (mut quoted, mut escaped) = (false, false);
    let pieces = value.split(move |byte| {
        if std::mem::take(&mut escaped) {
            return false;
        }
        escaped = quoted && *byte == b'\\';
        quoted ^= *byte == b'"';
        !quoted && *byte == separator
    });
    pieces.map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn accepted(lines: &[&str]) -> Accepted {
        Accepted::of(lines.iter().map(|line| line.as_bytes()))
    }

    fn ranked(value: &str) -> String {
        accepted(&[value]).ranked().map(Coding::token).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn file_6_codings_come_by_weight_and_then_by_our_preference() {
        for (value, expected) in [
            ("gzip, deflate, br, zstd", "br zstd gzip"),
            ("gzip", "gzip"),
            ("x-gzip", "gzip"),
            ("GZip;Q=1.000", "gzip"),
            ("gzip;q=1.0, br;q=0.9", "gzip br"),
            ("br;q=0.001, zstd;q=0.002", "zstd br"),
            ("br ; q=0.5 ,\tgzip;q=0.500", "br gzip"),
            ("br;q=0, gzip", "gzip"),
            ("br;q=0.000, zstd;q=0., gzip;q=0", ""),
            ("*", "br zstd gzip"),
            ("*;q=0.5, gzip", "gzip br zstd"),
            ("br;q=0, *", "zstd gzip"),
            ("gzip, *;q=0", "gzip"),
            ("deflate, compress", ""),
            ("", ""),
            (", ,gzip,,", "gzip"),
            // The first weight of a coding holds, under either of its names.
            ("gzip;q=0, gzip, x-gzip", ""),
            ("x-gzip;q=0.2, gzip;q=0.8, br;q=0.5", "br gzip"),
        ] {
            assert_eq!(ranked(value), expected, "{value}");
        }
    }

    #[test]
    fn file_6_identity_wins_only_where_it_is_named_and_weighs_more() {
        for (value, expected) in [
            ("identity, gzip", "gzip"),
            ("identity;q=0.5, gzip;q=0.5", "gzip"),
            ("identity;q=0.5, gzip;q=0.4", ""),
            ("identity;q=0.5, gzip;q=0.4, br;q=0.6", "br"),
            ("identity;q=0, gzip;q=0.1", "gzip"),
            ("identity", ""),
            ("identity;q=0.5, *", "br zstd gzip"),
            ("gzip;q=0.1", "gzip"),
            // `*` weighs identity too, but does not name it.
            ("gzip;q=0.1, *;q=0.9", "br zstd gzip"),
        ] {
            assert_eq!(ranked(value), expected, "{value}");
        }
    }

    #[test]
    fn file_6_a_malformed_member_is_as_if_not_sent() {
        for (value, expected) in [
            ("gzip;q=2, br", "br"),
            ("gzip;q=1.001", ""),
            ("gzip;q=0.5000", ""),
            ("gzip;q=.5", ""),
            ("gzip;q=-1", ""),
            ("gzip;q=", ""),
            ("gzip;q", ""),
            ("gzip;", ""),
            ("gzip;q= 1", ""),
            ("gzip;q =1", ""),
            ("gzip;q=1;q=1", ""),
            ("gzip;level=9", ""),
            ("gzip;level=9;q=1", ""),
            ("gzip q=1", ""),
            ("\"gzip\"", ""),
            ("gzip;q=1.0.0, zstd;q=0.5", "zstd"),
            ("gzip;q=9, gzip;q=0.3", "gzip"),
            ("gzip;q=9, *;q=0.3", "br zstd gzip"),
        ] {
            assert_eq!(ranked(value), expected, "{value}");
        }
    }

    #[test]
    fn file_6_all_lines_are_one_list() {
        let lines = accepted(&["gzip;q=0.5", "br;q=0.1, identity;q=0", "gzip"]);
        assert_eq!(lines, accepted(&["gzip;q=0.5, br;q=0.1, identity;q=0, gzip"]));
        assert_eq!(accepted(&[]).ranked().count(), 0);
    }

    #[test]
    fn file_6_the_order_of_preference_is_that_of_the_slots() {
        assert!(Coding::ALL.iter().enumerate().all(|(index, coding)| *coding as usize == index));
        assert_eq!(Coding::ALL.map(Coding::suffix), [".br", ".zst", ".gz"]);
    }

    #[test]
    fn file_8_json_is_sent_to_who_would_rather_have_it() {
        for (accept, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/json, text/plain, */*", true), // axios
            ("application/json, */*;q=0.5", true),
            ("application/*", true),
            ("application/json;q=0.001", true),
            ("text/html;q=0.8, application/json", true),
            ("*/*, text/html;q=0.9", true),
            ("text/*;q=0.5, */*", true),
            ("text/html;q=0, */*", true),
            ("*/*", false), // curl
            ("", false),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false), // browsers
            ("application/json, text/html", false),
            ("application/json;q=0.9, text/html", false),
            ("application/json;q=0", false),
            ("application/json;q=0, */*", false),
            ("application/*, */*", false),
            ("application/*, text/*", false),
            ("application/json;q=0.5, */*", false),
            ("application/json;q=0.5, application/*, text/html;q=0.7", false), // the precise range decides
            ("application/json;q=nonsense", false),
            ("application/jsonx, x/application/json, */json, application", false),
            ("text/plain;note=\"a,application/json,b\"", false),
        ] {
            assert_eq!(prefers_json(std::iter::once(accept.as_bytes())), expected, "{accept}");
        }
        assert!(!prefers_json(std::iter::empty()));
        assert!(prefers_json([&b"text/html;q=0.5"[..], b"application/json"].into_iter()));
    }

    #[test]
    fn sec_4_html_must_be_named_with_a_weight() {
        for (accept, expected) in [
            ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", true),
            ("application/json, Text/HTML;q=0.5", true),
            ("text/html;charset=utf-8", true),
            ("text/html;level=\"1;q=0\"", true),
            ("text/html;level=1;q=0.001", true),
            ("text/html;q=0, text/html", true),
            ("*/*", false),
            ("text/*", false),
            ("text/htmlx", false),
            ("text/html;q=0", false),
            ("text/html;Q=0.000", false),
            ("text/html; level=1; q=0.0", false),
            ("text/html;q=0.0001", false),
            ("text/html;q=1.5", false),
            ("text/plain;x=\",text/html,\"", false),
            ("text/plain;x=\"\\\",text/html,\"", false),
            ("", false),
        ] {
            assert_eq!(names_html(std::iter::once(accept.as_bytes())), expected, "{accept}");
        }
        assert!(!names_html(std::iter::empty()));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn file_6_a_weight_reads_back(thousandths in 0..=1000_u16, places in 0..=3_usize) {
            let step = 10_u16.pow(3 - u32::try_from(places).unwrap());
            let rounded = thousandths / step * step;
            let text = format!("{:.places$}", f64::from(rounded) / 1000.0);
            prop_assert_eq!(Weight::parse(text.as_bytes()), Some(Weight(rounded)), "{}", text);
        }

        #[test]
        fn file_6_what_is_ranked_is_unique_and_in_order(value in "(br|zstd|gzip|[*,;=q01. ]|;q=0\\.[0-9]|,){0,40}") {
            let accepted = accepted(&[&value]);
            let ranked: Vec<_> = accepted.ranked().collect();
            let order = |coding: &Coding| (Reverse(accepted.weight(*coding)), *coding as usize);
            prop_assert!(ranked.is_sorted_by(|a, b| order(a) < order(b)));
        }

        #[test]
        fn file_6_no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..64)) {
            let line = || std::iter::once(&value[..]);
            prop_assert!(Accepted::of(line()).ranked().count() <= Coding::ALL.len());
            let _ = (prefers_json(line()), names_html(line()));
        }
    }
}
