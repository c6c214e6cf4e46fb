//! Time as the rest of the server sees it: milliseconds since start for every limit and deadline, wall
//! time only for `Date`, file names and the log.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant, SystemTime};

/// Milliseconds since the process started; monotonic, so a jump of the wall clock moves no deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub u64);

impl Millis {
    /// No deadline.
    pub const NEVER: Self = Self(u64::MAX);

    /// This moment plus `duration`, saturating.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// A worker's clock, with the response fields that change once a second kept encoded.
#[derive(Debug)]
pub struct Clock {
    start: Instant,
    common: RefCell<Vec<u8>>,
    second: Cell<u64>,
}

impl Clock {
    /// A clock whose zero is `start`, the same for all workers.
    pub fn new(start: Instant) -> Self {
        let clock = Self { start, common: RefCell::new(Vec::new()), second: Cell::new(u64::MAX) };
        clock.refresh();
        clock
    }

    /// Now.
    #[inline]
    pub fn now(&self) -> Millis {
        self.at(Instant::now())
    }

    /// `instant` on this clock.
    #[inline]
    pub fn at(&self, instant: Instant) -> Millis {
        let since = instant.saturating_duration_since(self.start);
        Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// `instant` on this clock, in nanoseconds: for rates of which several requests fall into a millisecond.
    #[inline]
    pub fn nanos(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Encodes the common fields anew when the wall clock shows another second.
    pub fn refresh(&self) {
        let now = SystemTime::now();
        let second = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if self.second.replace(second) != second {
            let date = httpdate::fmt_http_date(now);
            *self.common.borrow_mut() =
                format!("Server: tidegate\r\nDate: {date}\r\nX-Content-Type-Options: nosniff\r\n")
                    .into_bytes();
        }
    }

    /// `Server`, `Date` (IMF-fixdate, RFC 9110 §5.6.7) and `X-Content-Type-Options`, encoded: every
    /// response carries them.
    pub fn common_fields(&self) -> std::cell::Ref<'_, [u8]> {
        std::cell::Ref::map(self.common.borrow(), Vec::as_slice)
    }
}

/// What the wall clock showed at one moment, for log lines: asked seldom and carried on by the monotonic clock, which
/// whoever ends an exchange has read anyway.
#[derive(Clone, Copy, Debug)]
pub struct Wall {
    asked: Instant,
    showed: SystemTime,
}

impl Wall {
    /// How long its word is taken. When somebody sets the clock, lines are wrong for no longer than this, which is a
    /// tick of a worker; and it is asked ten times a second instead of once a line.
    const TRUSTED: Duration = Duration::from_millis(100);

    /// The wall clock showed `showed` at `asked`.
    pub fn asked(asked: Instant, showed: SystemTime) -> Self {
        Self { asked, showed }
    }

    /// What it shows at `moment`; `None` where it must be asked again.
    #[inline]
    pub fn at(self, moment: Instant) -> Option<SystemTime> {
        let since = moment.checked_duration_since(self.asked)?;
        if since < Self::TRUSTED { self.showed.checked_add(since) } else { None }
    }
}

/// What the wall clock shows, in milliseconds since 1970.
pub fn unix_millis() -> u64 {
    unix_of(SystemTime::now())
}

/// `moment` in milliseconds since 1970.
pub fn unix_of(moment: SystemTime) -> u64 {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A moment of the wall clock in UTC, split for file names and log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Utc {
    /// Gregorian year.
    pub year: u64,
    /// 1 to 12.
    pub month: u64,
    /// 1 to 31.
    pub day: u64,
    /// 0 to 23.
    pub hour: u64,
    /// 0 to 59.
    pub minute: u64,
    /// 0 to 59.
    pub second: u64,
    /// 0 to 999.
    pub millis: u32,
}

/// English month names, three letters each, as logs and HTTP dates have them.
pub const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Utc {
    /// `time` in UTC; a time before 1970 counts as 1970.
    pub fn at(time: SystemTime) -> Self {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (days, rest) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
        // Days to civil date by eras of 400 years that begin on 1 March (Hinnant, "chrono-Compatible
        // Low-Level Date Algorithms").
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        Self {
            year: year_of_era + era * 400 + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * shifted_month + 2) / 5 + 1,
            hour: rest / 3_600,
            minute: rest / 60 % 60,
            second: rest % 60,
            millis: since.subsec_millis(),
        }
    }

    /// Now.
    pub fn now() -> Self {
        Self::at(SystemTime::now())
    }

    /// The month's English name, three letters.
    pub fn month_name(&self) -> &'static str {
        usize::try_from(self.month - 1).ok().and_then(|index| MONTHS.get(index)).copied().unwrap_or("Jan")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_3_utc_agrees_with_the_http_date_of_the_same_moment() {
        for seconds in (0..4_102_444_800_u64).step_by(86_400 * 13 + 12_345) {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let utc = Utc::at(time);
            let text = format!(
                "{:02} {} {} {:02}:{:02}:{:02} GMT",
                utc.day,
                utc.month_name(),
                utc.year,
                utc.hour,
                utc.minute,
                utc.second
            );
            assert!(httpdate::fmt_http_date(time).ends_with(&text), "{seconds}: {text}");
        }
    }

    #[test]
    fn obs_1_the_wall_clock_is_carried_on_for_a_tick_and_then_asked_again() {
        let (asked, showed) = (Instant::now(), SystemTime::now());
        let wall = Wall::asked(asked, showed);
        let at = |since: Duration| wall.at(asked + since);
        assert_eq!(at(Duration::ZERO), Some(showed));
        let last = Wall::TRUSTED - Duration::from_nanos(1);
        assert_eq!(at(last), Some(showed + last));
        assert_eq!(at(Wall::TRUSTED), None);
        assert_eq!(Wall::asked(asked + last, showed).at(asked), None, "a moment before it was asked");
    }

    #[test]
    fn h1_8_the_common_fields_are_server_date_and_nosniff() {
        let fields = Clock::new(Instant::now());
        let text = String::from_utf8(fields.common_fields().to_vec()).unwrap();
        let lines: Vec<_> = text.split_terminator("\r\n").collect();
        assert_eq!((lines[0], lines[2]), ("Server: tidegate", "X-Content-Type-Options: nosniff"));
        assert!(httpdate::parse_http_date(lines[1].strip_prefix("Date: ").unwrap()).is_ok());
    }
}
