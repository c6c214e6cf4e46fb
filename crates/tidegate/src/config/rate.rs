//! A rate as operators write it: `100/s:200`, `10/m` or `off`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// How many requests a client may make: `tokens` in each `period`, and `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// 1 to 100,000,000.
    pub tokens: u32,
    /// A second, a minute or an hour.
    pub period: Duration,
    /// Tokens of a full bucket, 1 to 1,000,000,000.
    pub burst: u32,
}

/// A rate that cannot be used; what it says reads on after "expected".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RateError {
    /// It has another form.
    #[error("a rate and its burst, like 100/s:200 or 10/m (s, m or h), or off")]
    Form,
    /// The rate is out of bounds.
    #[error("1 to {} requests in a rate", TOKENS.end())]
    Tokens,
    /// The burst is out of bounds.
    #[error("1 to {} requests in a burst", BURST.end())]
    Burst,
    /// The burst takes longer than a year to come back at this rate: it is no burst but an allowance for ever, and no
    /// clock of ours would hold it.
    #[error("a burst that comes back within 365 days")]
    TooSlow,
}

/// A rate's tokens: at the upper end one in 10 ns, more than a thousand times what a core answers.
const TOKENS: RangeInclusive<u32> = 1..=100_000_000;
/// The burst's: ten seconds of the highest rate.
const BURST: RangeInclusive<u32> = 1..=1_000_000_000;
const YEAR: Duration = Duration::from_hours(365 * 24);

const UNITS: [(&str, Duration); 3] =
    [("s", Duration::from_secs(1)), ("m", Duration::from_mins(1)), ("h", Duration::from_hours(1))];

/// Reads `RATE/UNIT`, `RATE/UNIT:BURST` or `off`, which is `None`.
///
/// # Errors
/// [`RateError`] for anything else.
pub fn rate_limit(text: &str) -> Result<Option<RateLimit>, RateError> {
    if text == "off" { Ok(None) } else { text.parse().map(Some) }
}

impl FromStr for RateLimit {
    type Err = RateError;

    /// Without a burst, what comes in two seconds may come at once, and at least one request.
    fn from_str(text: &str) -> Result<Self, RateError> {
        let (rate, burst) = match text.split_once(':') {
            Some((rate, burst)) => (rate, Some(burst)),
            None => (text, None),
        };
        let (tokens, unit) = rate.split_once('/').ok_or(RateError::Form)?;
        let (_, period) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(RateError::Form)?;
        let tokens = number(tokens, &TOKENS, RateError::Tokens)?;
        let burst = match burst {
            Some(burst) => number(burst, &BURST, RateError::Burst)?,
            None => default_burst(tokens, *period),
        };
        let rate = Self { tokens, period: *period, burst };
        if rate.refill() <= YEAR { Ok(rate) } else { Err(RateError::TooSlow) }
    }
}

impl RateLimit {
    /// In which time an empty bucket is full again.
    pub fn refill(&self) -> Duration {
        let nanos = self.period.as_nanos() * u128::from(self.burst) / u128::from(self.tokens.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

impl RateLimit {
    /// As a person says it: `100/s, burst 200`.
    pub fn described(&self) -> String {
        let text = self.to_string();
        let rate = text.split(':').next().unwrap_or(&text);
        format!("{rate}, burst {}", self.burst)
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.iter().find(|(_, period)| *period == self.period).map_or("s", |(name, _)| name);
        write!(f, "{}/{unit}", self.tokens)?;
        if self.burst == default_burst(self.tokens, self.period) {
            Ok(())
        } else {
            write!(f, ":{}", self.burst)
        }
    }
}

fn default_burst(tokens: u32, period: Duration) -> u32 {
    let two_seconds = u64::from(tokens) * 2 / period.as_secs().max(1);
    u32::try_from(two_seconds).unwrap_or(u32::MAX).max(1)
}

/// Digits only, within `range`; a number too long to be held is out of it.
fn number(text: &str, range: &RangeInclusive<u32>, out_of_range: RateError) -> Result<u32, RateError> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(RateError::Form);
    }
    text.parse().ok().filter(|number| range.contains(number)).ok_or(out_of_range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_1_a_rate_is_read_and_written_back() {
        for (text, tokens, seconds, burst) in [
            ("100/s", 100, 1, 200),
            ("100/s:1000", 100, 1, 1_000),
            ("10/m", 10, 60, 1),
            ("90/m", 90, 60, 3),
            ("1/h:24", 1, 3_600, 24),
            ("100000000/s", 100_000_000, 1, 200_000_000),
            ("100/s:1000000000", 100, 1, 1_000_000_000),
        ] {
            let expected = RateLimit { tokens, period: Duration::from_secs(seconds), burst };
            assert_eq!(text.parse(), Ok(expected), "{text}");
            assert_eq!(expected.to_string(), text);
        }
        assert_eq!("100/s:200".parse::<RateLimit>().unwrap().to_string(), "100/s", "the default burst");
        assert_eq!((rate_limit("off"), rate_limit("5/s").map(|rate| rate.is_some())), (Ok(None), Ok(true)));
    }

    #[test]
    fn sec_1_what_is_no_rate_is_refused() {
        for text in [
            "",
            "100",
            "100/",
            "/s",
            "100/d",
            "100/S",
            "100/s:",
            "100/s:200:1",
            "-1/s",
            "1.5/s",
            " 1/s",
            "Off",
        ] {
            assert_eq!(rate_limit(text), Err(RateError::Form), "{text}");
        }
        for text in ["0/s", "100000001/s", "99999999999999999999/h"] {
            assert_eq!(rate_limit(text), Err(RateError::Tokens), "{text}");
        }
        for text in ["1/s:0", "1/s:1000000001"] {
            assert_eq!(rate_limit(text), Err(RateError::Burst), "{text}");
        }
        assert_eq!(rate_limit("1/h:8761"), Err(RateError::TooSlow));
        assert!(rate_limit("1/h:8760").is_ok(), "365 days");
    }
}
