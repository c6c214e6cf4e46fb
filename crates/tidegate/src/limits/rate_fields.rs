//! A rate in response fields: `RateLimit-Policy`, `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11 §3 and §4) and
//! `Retry-After` (RFC 9110 §10.2.3).

use std::io::Write;
use std::time::Duration;

use super::rate::{Rate, Verdict};

/// Writes the fields of `verdict` as lines, each with its end. An answer that was allowed has no `t`: the tokens left
/// may be used at any time, and more come meanwhile.
pub fn write_fields(out: &mut Vec<u8>, rate: &Rate, verdict: &Verdict) {
    let (quota, window) = (rate.quota(), rate.window().as_secs());
    // Writing to a vector cannot fail.
    let _ = write!(out, "RateLimit-Policy: \"default\";q={quota};w={window}\r\n");
    let _ = match verdict {
        Verdict::Allowed { remaining } => write!(out, "RateLimit: \"default\";r={remaining}\r\n"),
        Verdict::Limited { retry_after } => {
            // One number for both: Retry-After must not end before the window does (§6).
            let seconds = seconds(*retry_after);
            write!(out, "RateLimit: \"default\";r=0;t={seconds}\r\nRetry-After: {seconds}\r\n")
        }
    };
}

/// Whole seconds, rounded up, so that who waits as told does not come too early; at least 1.
pub fn seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(rate: &str, verdict: &Verdict) -> String {
        let mut out = Vec::new();
        write_fields(&mut out, &Rate::new(&rate.parse().unwrap()), verdict);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn sec_1_who_is_limited_is_told_the_policy_and_when_to_come_again() {
        let verdict = Verdict::Limited { retry_after: Duration::from_millis(1_200) };
        assert_eq!(
            fields("100/s:5", &verdict),
            "RateLimit-Policy: \"default\";q=100;w=1\r\nRateLimit: \"default\";r=0;t=2\r\nRetry-After: 2\r\n"
        );
        assert_eq!(
            fields("3/m", &Verdict::Allowed { remaining: 7 }),
            "RateLimit-Policy: \"default\";q=3;w=60\r\nRateLimit: \"default\";r=7\r\n"
        );
    }

    #[test]
    fn sec_1_a_wait_is_rounded_up_and_never_nothing() {
        for (millis, said) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60)] {
            assert_eq!(seconds(Duration::from_millis(millis)), said);
        }
        assert_eq!(seconds(Duration::MAX), u64::MAX);
    }
}
