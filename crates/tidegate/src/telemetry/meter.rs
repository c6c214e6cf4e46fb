//! How many lines on clients the log takes in a second (SPEC SEC-5): few of each client, so that one does not hide the
//! others, and not too many of all, so that a flood does not fill the disk. The rest is counted.

use crate::clock::Millis;

/// Lines on one client per second.
const OF_CLIENT: u32 = 10;
/// Lines in all per second, of whoever shares the meter: ten clients that do their worst. At 300 bytes a line that is
/// 2.6 GB a day.
const OF_ALL: usize = 100;

/// Counts the lines of the present second. It remembers who had a line in it, so at most a hundred clients.
#[derive(Clone, Debug)]
pub struct Meter<K> {
    second: u64,
    /// Who had a line, and how many there were or would have been.
    clients: Vec<(K, u32)>,
    written: usize,
    unsaid: u64,
    /// What seconds that are over left out, until somebody asks.
    left_out: Option<Unsaid<K>>,
}

/// What was not written in a second that is over, or in several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsaid<K> {
    /// Lines left out.
    pub lines: u64,
    /// The client of whom most was left out, where that was for its own sake, and how much.
    pub most: Option<(K, u32)>,
}

impl<K: Copy + Eq> Meter<K> {
    /// Nothing said yet.
    pub const fn new() -> Self {
        Self { second: 0, clients: Vec::new(), written: 0, unsaid: 0, left_out: None }
    }

    /// Whether a line on `client` may be written now.
    pub fn may_say(&mut self, client: K, now: Millis) -> bool {
        self.turn(now);
        let said = match self.clients.iter_mut().find(|(known, _)| *known == client) {
            Some((_, said)) => said,
            None if self.written < OF_ALL => {
                self.clients.push((client, 0));
                let Some((_, said)) = self.clients.last_mut() else { return false };
                said
            }
            None => {
                self.unsaid += 1;
                return false;
            }
        };
        *said = said.saturating_add(1);
        let may = *said <= OF_CLIENT && self.written < OF_ALL;
        if may {
            self.written += 1;
        } else {
            self.unsaid += 1;
        }
        may
    }

    /// What was left out before the second of `now`; it is told once.
    pub fn left_out(&mut self, now: Millis) -> Option<Unsaid<K>> {
        self.turn(now);
        self.left_out.take()
    }

    /// Goes on to the second of `now`.
    fn turn(&mut self, now: Millis) {
        let second = now.0 / 1000;
        if second == self.second {
            return;
        }
        if self.unsaid > 0 {
            let over = self.clients.iter().map(|&(client, said)| (client, said.saturating_sub(OF_CLIENT)));
            let most = over.max_by_key(|(_, over)| *over).filter(|(_, over)| *over > 0);
            let before = self.left_out.map_or(0, |left_out| left_out.lines);
            self.left_out = Some(Unsaid { lines: before + self.unsaid, most });
        }
        self.second = second;
        self.clients.clear();
        (self.written, self.unsaid) = (0, 0);
    }
}

impl<K: Copy + Eq> Default for Meter<K> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn sec_5_ten_lines_a_second_and_client_are_written_and_the_rest_is_counted() {
        let mut meter = Meter::new();
        let said = |meter: &mut Meter<char>, client, at| {
            (0..30).filter(|_| meter.may_say(client, Millis(at))).count()
        };
        assert_eq!((said(&mut meter, 'a', 5000), said(&mut meter, 'b', 5999)), (10, 10));
        assert_eq!(meter.left_out(Millis(5999)), None, "the second is not over");
        assert_eq!(meter.left_out(Millis(6000)), Some(Unsaid { lines: 40, most: Some(('b', 20)) }));
        assert_eq!(meter.left_out(Millis(7000)), None, "it is told once");
        assert_eq!(said(&mut meter, 'a', 7000), 10);
    }

    #[test]
    fn sec_5_a_flood_of_strangers_is_bounded_as_a_whole() {
        let mut meter = Meter::new();
        let said = (0..100_000_u32).filter(|&client| meter.may_say(client, Millis(0))).count();
        assert_eq!((said, meter.clients.len()), (OF_ALL, OF_ALL));
        assert_eq!(meter.left_out(Millis(1000)), Some(Unsaid { lines: 100_000 - OF_ALL as u64, most: None }));
    }

    proptest! {
        #[test]
        fn sec_5_what_is_said_and_what_is_counted_make_the_whole(
            asked in prop::collection::vec((0_u8..40, 0_u64..40), 0..500),
        ) {
            let (mut meter, mut now, mut unsaid) = (Meter::new(), 0, 0);
            let mut said: HashMap<(u64, u8), u32> = HashMap::new();
            let mut count = |left_out: Option<Unsaid<u8>>| unsaid += left_out.map_or(0, |unsaid| unsaid.lines);
            let mut written = 0;
            for &(client, later) in &asked {
                now += later;
                if later % 3 == 0 {
                    count(meter.left_out(Millis(now)));
                }
                if meter.may_say(client, Millis(now)) {
                    *said.entry((now / 1000, client)).or_default() += 1;
                    written += 1;
                }
            }
            count(meter.left_out(Millis(now + 1000)));
            prop_assert_eq!(written + unsaid, asked.len() as u64);
            prop_assert!(said.values().all(|lines| *lines <= OF_CLIENT));
            for second in 0..=now / 1000 {
                let all: u32 = said.iter().filter(|((at, _), _)| *at == second).map(|(_, lines)| lines).sum();
                prop_assert!(all as usize <= OF_ALL);
            }
        }
    }
}
