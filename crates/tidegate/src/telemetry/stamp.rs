//! When something happened, as the log's formats write it. Most lines fall into the same second as the one before,
//! so what changes once a second is kept as text.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use super::digits::{push_digits, push_number};
use crate::clock::Utc;

/// A moment of the wall clock and its text; a time before 1970 counts as 1970.
#[derive(Debug)]
pub struct Stamp {
    since_1970: Duration,
    /// Date and time by ISO 8601, to the second.
    iso: String,
    /// Date and time as nginx's `$time_local` has them, to the second.
    nginx: String,
}

impl Stamp {
    /// The stamp of `time`.
    pub fn at(time: SystemTime) -> Self {
        let mut stamp = Self { since_1970: since_1970(time), iso: String::new(), nginx: String::new() };
        stamp.write(Utc::at(time));
        stamp
    }

    /// Turns it to `time`.
    #[inline]
    pub fn turn_to(&mut self, time: SystemTime) {
        let before = std::mem::replace(&mut self.since_1970, since_1970(time));
        if before.as_secs() != self.since_1970.as_secs() {
            self.write(Utc::at(time));
        }
    }

    fn write(&mut self, utc: Utc) {
        let Utc { year, month, day, hour, minute, second, .. } = utc;
        self.iso.clear();
        self.nginx.clear();
        // Writing to a string cannot fail.
        let _ = write!(self.iso, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
        let _ =
            write!(self.nginx, "{day:02}/{}/{year:04}:{hour:02}:{minute:02}:{second:02}", utc.month_name());
    }

    /// Appends it as `2026-11-21T05:48:32.123Z`.
    pub fn push_iso(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.iso.as_bytes());
        out.push(b'.');
        push_digits::<3>(out, self.since_1970.subsec_millis());
        out.push(b'Z');
    }

    /// Appends it as `21/Nov/2026:05:48:32 +0000`.
    pub fn push_nginx(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.nginx.as_bytes());
        out.extend(b" +0000");
    }

    /// Appends it as seconds since 1970, to the microsecond: `1795240112.123456`.
    pub fn push_seconds(&self, out: &mut Vec<u8>) {
        push_number(out, self.since_1970.as_secs());
        out.push(b'.');
        push_digits::<6>(out, self.since_1970.subsec_micros());
    }
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(stamp: &Stamp) -> [String; 3] {
        let mut texts = [Vec::new(), Vec::new(), Vec::new()];
        stamp.push_iso(&mut texts[0]);
        stamp.push_nginx(&mut texts[1]);
        stamp.push_seconds(&mut texts[2]);
        texts.map(|text| String::from_utf8(text).unwrap())
    }

    #[test]
    fn obs_1_a_stamp_reads_the_same_turned_or_made() {
        let start = SystemTime::UNIX_EPOCH + Duration::new(1_795_240_112, 7_654_321);
        let expected = ["2026-11-21T05:48:32.007Z", "21/Nov/2026:05:48:32 +0000", "1795240112.007654"];
        assert_eq!(texts(&Stamp::at(start)), expected);
        let mut stamp = Stamp::at(start);
        // Within the second, over its end, over midnight, and back, as when the clock is set.
        for ahead in [0, 1, 992, 993, 65_487_345, 65_487_346, 86_400_000, 5] {
            let time = start + Duration::from_millis(ahead);
            stamp.turn_to(time);
            assert_eq!(texts(&stamp), texts(&Stamp::at(time)), "{ahead} ms later");
        }
        stamp.turn_to(SystemTime::UNIX_EPOCH - Duration::from_secs(1));
        let expected = ["1970-01-01T00:00:00.000Z", "01/Jan/1970:00:00:00 +0000", "0.000000"];
        assert_eq!(texts(&stamp), expected);
    }
}
