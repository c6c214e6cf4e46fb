//! Tests of the ban book: its arithmetic beside a simple model, its bounds, and what it writes.

use super::offence::TEXT_MAX;
use super::*;
use proptest::prelude::*;
use std::net::Ipv4Addr;

const ON: Policy = Policy { mode: BanMode::On, first: Duration::from_mins(10) };
const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

fn client(number: u32) -> ClientKey {
    ClientKey::of(Ipv4Addr::from_bits(number).into())
}

/// 2026-11-21T09:00:00Z.
const WALL: u64 = 1_795_251_600_000;

fn offence(kind: Event, id: u64) -> Offence {
    Offence::new(kind, WALL, id, "GET /../etc/passwd")
}

/// Offends until there is a ban, which is returned.
fn ban(book: &BanBook, number: u32, policy: &Policy, now: u64) -> Ban {
    (0..10)
        .find_map(|id| {
            match book.offend(client(number), offence(Event::Traversal, id), policy, Millis(now)) {
                Outcome::Banned(ban) => Some(ban),
                _ => None,
            }
        })
        .unwrap()
}

#[test]
fn sec_1_the_fifth_traversal_in_a_row_bans_with_its_evidence() {
    let book = BanBook::new();
    let now = Millis(5 * MINUTE);
    for id in 1..=4 {
        assert_eq!(book.offend(client(1), offence(Event::Traversal, id), &ON, now), Outcome::Scored);
        book.offend(client(2), offence(Event::Host, 90 + id), &ON, now);
    }
    assert_eq!(book.check(client(1), now), None);
    let Outcome::Banned(ban) = book.offend(client(1), offence(Event::Malformed, 5), &ON, now) else {
        panic!("no ban");
    };
    let ids: Vec<_> = ban.evidence.iter().map(|offence| offence.id).collect();
    assert_eq!((ids, ban.kind, ban.times), (vec![5, 4, 3, 2, 1], Event::Malformed, 1));
    let info = book.check(client(1), Millis(now.0 + MINUTE)).unwrap();
    assert_eq!((info.left, ON.refuses(&info)), (Duration::from_mins(9), true));
    assert_eq!(book.offend(client(1), offence(Event::Host, 6), &ON, now), Outcome::Nothing, "said once");
    assert_eq!(
        (book.check(client(2), now), book.count(now), book.list(now, usize::MAX)),
        (None, (1, 0), vec![ban])
    );
    let end = Millis(now.0 + 10 * MINUTE);
    assert_eq!((book.check(client(1), end), book.list(end, usize::MAX)), (None, vec![]));
}

#[test]
fn sec_1_who_comes_back_is_banned_for_twice_as_long_up_to_a_day() {
    let book = BanBook::new();
    let (mut now, mut minutes) = (0, Vec::new());
    for _ in 0..10 {
        let ban = ban(&book, 1, &ON, now);
        minutes.push(ban.left(Millis(now)).as_secs() / 60);
        now = ban.until.0;
    }
    assert_eq!(minutes, [10, 20, 40, 80, 160, 320, 640, 1_280, 1_440, 1_440]);
    assert_eq!(ban(&book, 1, &ON, now + DAY - 1).times, 11);
    book.expire(Millis(now + 4 * DAY));
    assert!(book.read().records.is_empty());
    assert_eq!(ban(&book, 1, &ON, now + 4 * DAY).times, 1, "a day after the end it is forgotten");
}

#[test]
fn sec_1_a_lifted_ban_leaves_nothing() {
    let book = BanBook::new();
    assert!(!book.lift(client(1)));
    ban(&book, 1, &ON, 0);
    assert!(book.lift(client(1)));
    assert_eq!((book.check(client(1), Millis(1)), book.last_end.load(Ordering::Relaxed)), (None, 0));
    for _ in 0..4 {
        assert_eq!(book.offend(client(1), offence(Event::Traversal, 7), &ON, Millis(2)), Outcome::Scored);
    }
    assert_eq!(ban(&book, 1, &ON, 2).times, 1);
}

#[test]
fn sec_1_shadow_mode_writes_down_and_refuses_nobody_and_off_does_nothing() {
    let book = BanBook::new();
    let (shadow, off) = (Policy { mode: BanMode::Shadow, ..ON }, Policy { mode: BanMode::Off, ..ON });
    let given = ban(&book, 1, &shadow, 0);
    let info = book.check(client(1), Millis(1)).unwrap();
    assert!(given.shadow && info.shadow && !shadow.refuses(&info) && !ON.refuses(&info));
    assert_eq!(book.count(Millis(1)), (0, 1));
    for format in [Format::Fail2ban, Format::Nftables] {
        assert_eq!(book.export(format, Millis(1), WALL), "");
    }
    ban(&book, 2, &ON, 0);
    assert!(!shadow.refuses(&book.check(client(2), Millis(1)).unwrap()), "after a reload");
    for _ in 0..10 {
        assert_eq!(book.offend(client(3), offence(Event::Scan, 1), &off, Millis(0)), Outcome::Nothing);
    }
    assert!(book.offences.lock().unwrap().iter().all(|(offender, _)| *offender != client(3)));
}

#[test]
fn row_j11_sec_1_bans_and_offences_are_bounded() {
    let book = BanBook::new();
    for number in 0..u32::try_from(BANS_MAX).unwrap() + 500 {
        ban(&book, number, &ON, u64::from(number));
    }
    let now = Millis(u64::try_from(BANS_MAX).unwrap());
    assert_eq!((book.list(now, usize::MAX).len(), book.displaced()), (BANS_MAX, 500));
    assert!(book.check(client(499), now).is_none(), "the one that ended first went");
    assert!(book.check(client(500), now).is_some());
    assert_eq!(book.offences.lock().unwrap().len(), OFFENCES_MAX);
    let long = Offence::new(Event::Host, WALL, 1, &"ä".repeat(TEXT_MAX));
    assert_eq!(long.text.len(), TEXT_MAX);
    assert_eq!(Offence::new(Event::Host, WALL, 1, &format!("a{}", long.text)).text.len(), TEXT_MAX - 1);
}

#[test]
fn sec_1_a_state_is_read_back_on_another_clock() {
    let book = BanBook::new();
    let (first, second) =
        (ban(&book, 1, &ON, 0), ban(&book, 2, &Policy { mode: BanMode::Shadow, ..ON }, 5 * MINUTE));
    let saved = book.save(Millis(6 * MINUTE), WALL);
    // Two minutes later, a process that has run for one.
    let (other, now) = (BanBook::new(), Millis(MINUTE));
    let rubbish = format!(
        "\n{{}}\nrubbish\n{saved}{{\"client\":\"1.2.3\"}}\n{}\n",
        saved.replace("\"times\":1", "\"times\":-1")
    );
    let restored = other.restore(&rubbish, now, WALL + 2 * MINUTE);
    assert_eq!(restored, Restored { bans: 2, skipped: 5 });
    let left = |number| other.check(client(number), now).unwrap().left;
    assert_eq!((left(1), left(2)), (Duration::from_mins(2), Duration::from_mins(7)));
    let bans = other.list(now, usize::MAX);
    assert_eq!((&bans[1].evidence, bans[1].since, bans[1].shadow), (&first.evidence, first.since, false));
    assert_eq!((&bans[0].evidence, bans[0].shadow), (&second.evidence, true));
    // What was lifted since is not in the next one, and banned no more.
    book.lift(client(1));
    assert_eq!(other.restore(&book.save(Millis(6 * MINUTE), WALL), now, WALL).bans, 1);
    assert!(other.check(client(1), now).is_none() && other.check(client(2), now).is_some());
    // One that has ended is still remembered, one that ended a day ago is not.
    let later = BanBook::new();
    assert_eq!(later.restore(&saved, now, WALL + 30 * MINUTE).bans, 2);
    assert_eq!((later.list(now, usize::MAX).len(), ban(&later, 1, &ON, MINUTE).times), (0, 2));
    assert_eq!(BanBook::new().restore(&saved, now, WALL + 25 * 60 * MINUTE).skipped, 2);
    // A wall clock that was set back a year makes no ban of a year.
    let long = BanBook::new();
    long.restore(&saved, now, WALL - 365 * DAY);
    assert_eq!(long.check(client(1), now).unwrap().left, LONGEST);
}

#[test]
fn sec_1_bans_are_written_for_fail2ban_nftables_and_people() {
    let book = BanBook::new();
    let given = ban(&book, 0xcb00_7107, &ON, 0);
    let (v6, until) = ("2001:db8:1:2::5".parse().unwrap(), Millis(given.until.0 - 1));
    book.enter(Ban { client: v6, times: 2, until, ..given.clone() }, Millis(0));
    book.enter(Ban { client: ClientKey::UNIX, shadow: true, until: Millis(1_000), ..given }, Millis(0));
    let export = |name, now| book.export(Format::named(name).unwrap(), Millis(now), WALL);
    assert_eq!(
        export("fail2ban", 1),
        "2026-11-21T09:00:00Z tidegate ban 203.0.113.7 kind=traversal times=1 seconds=600\n\
         2026-11-21T09:00:00Z tidegate ban 2001:db8:1:2::/64 kind=traversal times=2 seconds=600\n"
    );
    assert_eq!(
        export("nftables", 500_000),
        "add element inet tidegate banned4 { 203.0.113.7 timeout 100s }\n\
         add element inet tidegate banned6 { 2001:db8:1:2::/64 timeout 100s }\n"
    );
    assert!(export("nftables", 599_998).contains("{ 203.0.113.7 timeout 1s }"), "0 would mean for ever");
    let table = export("table", 1);
    let lines: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1][..6], ["203.0.113.7", "600", "s", "on", "1", "traversal"]);
    assert_eq!(lines[3][..6], ["unix", "1", "s", "shadow", "1", "traversal"]);
    assert_eq!((lines.len(), Format::named("xml"), export("json", 1).lines().count()), (4, None, 3));
}

#[test]
fn sec_1_what_is_limited_already_is_no_offence() {
    let book = BanBook::new();
    for kind in [Event::Rate, Event::Connections, Event::Ban] {
        assert_eq!(book.offend(client(1), offence(kind, 1), &ON, Millis(0)), Outcome::Nothing);
    }
    assert!(book.offences.lock().unwrap().is_empty());
}

proptest! {
    /// Beside a score in milliseconds of forgiveness and a list of bans.
    #[test]
    fn sec_1_scores_and_bans_agree_with_a_list(
        steps in proptest::collection::vec((0_u32..3, 0..Event::COUNT, 0_u64..40_000), 1..120),
    ) {
        let book = BanBook::new();
        let (mut score, mut banned) = ([(0_u64, 0_u64); 3], [(0_u64, 0_u32); 3]);
        let mut now = 0;
        for (number, kind, passed) in steps {
            now += passed;
            let kind = Event::ALL[kind];
            let found = book.offend(client(number), offence(kind, 1), &ON, Millis(now));
            let (level, at) = &mut score[number as usize];
            let (until, times) = &mut banned[number as usize];
            let expected = if now < *until || points(kind) == 0 {
                Outcome::Nothing
            } else {
                let sum = level.saturating_sub(now - *at) + points(kind) * 6_000;
                *at = now;
                if sum <= 100 * 6_000 {
                    *level = sum;
                    Outcome::Scored
                } else {
                    *level = 0;
                    *times += 1;
                    *until = now + ((10 * MINUTE) << (*times - 1)).min(DAY);
                    let Outcome::Banned(ban) = &found else { panic!("no ban of {number}") };
                    prop_assert_eq!((ban.until, ban.times), (Millis(*until), *times));
                    found.clone()
                }
            };
            prop_assert_eq!(found, expected);
            for (number, (until, _)) in (0..).zip(&banned) {
                let left = book.check(client(number), Millis(now)).map(|info| info.left);
                let expected = (now < *until).then(|| Duration::from_millis(until - now));
                prop_assert_eq!(left, expected);
            }
        }
    }
}
