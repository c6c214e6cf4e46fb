//! Tests of the seats: beside a simple model, and under every schedule that shuttle tries.

use super::*;

#[cfg(not(feature = "shuttle"))]
mod alone {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;
    use std::sync::atomic::AtomicU32;
    use std::task::Wake;

    #[derive(Default)]
    struct Bell(AtomicU32);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn client(number: u32) -> ClientKey {
        ClientKey::of(Ipv4Addr::from_bits(number).into())
    }

    fn admit(house: &Admission) -> Result<Permit, Refused> {
        house.admit(None, None)
    }

    #[test]
    fn load_3_the_longest_idle_connection_makes_room() {
        let house = Admission::new(3);
        let bell = Arc::new(Bell::default());
        let waker = Waker::from(Arc::clone(&bell));
        let seats: Vec<_> = (0..3).map(|_| admit(&house).unwrap()).collect();
        assert_eq!(admit(&house).unwrap_err(), Refused::HouseFull, "all are busy");
        seats[2].idle(Millis(10), &waker);
        seats[0].idle(Millis(20), &waker);
        let newcomer = admit(&house).unwrap();
        assert!(seats[2].evicted() && !seats[0].evicted() && !seats[1].evicted());
        assert_eq!(bell.0.load(Ordering::Relaxed), 1, "it was woken");
        assert!(!seats[2].busy(), "and may not serve on");
        assert_eq!(house.connections().0, 3);
        assert!(seats[0].busy(), "the other one may");
        assert_eq!(admit(&house).unwrap_err(), Refused::HouseFull);
        drop((seats, newcomer));
        assert_eq!(house.connections(), (0, 3));
    }

    #[test]
    fn load_3_a_seat_that_becomes_idle_after_a_refusal_is_found_at_once() {
        let house = Admission::new(CROWD);
        let seats: Vec<_> = (0..CROWD).map(|_| admit(&house).unwrap()).collect();
        for round in 0..1_000 {
            let seat = &seats[round * 7 % CROWD];
            seat.idle(Millis(1), Waker::noop());
            assert!(seat.busy());
        }
        assert_eq!(admit(&house).unwrap_err(), Refused::HouseFull);
        let (first, second) = (&seats[400], &seats[3]);
        first.idle(Millis(2), Waker::noop());
        second.idle(Millis(3), Waker::noop());
        let _newcomers = [admit(&house).unwrap(), admit(&house).unwrap()];
        assert!(first.evicted() && second.evicted());
        assert_eq!(admit(&house).unwrap_err(), Refused::HouseFull);
    }

    /// More than there are candidates.
    const CROWD: usize = 600;

    #[test]
    fn load_3_a_crowd_leaves_in_the_order_in_which_it_became_idle() {
        let house = Admission::new(CROWD);
        let seats: Vec<_> = (0..CROWD).map(|_| admit(&house).unwrap()).collect();
        let order: Vec<_> = (0..CROWD).map(|turn| turn * 7 % CROWD).collect();
        assert_eq!(admit(&house).unwrap_err(), Refused::HouseFull);
        for (turn, seat) in order.iter().enumerate() {
            seats[*seat].idle(Millis(turn as u64), Waker::noop());
        }
        let mut newcomers = Vec::new();
        for seat in order {
            assert!(!seats[seat].evicted());
            newcomers.push(admit(&house).unwrap());
            assert!(seats[seat].evicted());
        }
    }

    #[test]
    fn load_7_a_client_over_its_share_takes_its_own_seat_and_nobody_elses() {
        let house = Admission::new(10);
        let admit = |number| house.admit(Some(client(number)), Some(2));
        let (first, second) = (admit(1).unwrap(), admit(1).unwrap());
        let other = admit(2).unwrap();
        other.idle(Millis(1), Waker::noop());
        assert_eq!(admit(1).unwrap_err(), Refused::ClientFull);
        second.idle(Millis(5), Waker::noop());
        let third = admit(1).unwrap();
        assert!(second.evicted() && !other.evicted());
        assert_eq!((house.connections_of(client(1)), house.connections().0), (2, 3));
        // Also in a house that is full, and over a cap that was lowered.
        house.set_cap(1);
        first.idle(Millis(9), Waker::noop());
        let fourth = admit(1).unwrap();
        assert!(first.evicted() && !other.evicted());
        let exempt = house.admit(Some(client(1)), None).unwrap();
        assert!(other.evicted(), "who has no share is under the rule of the house");
        assert_eq!(house.connections_of(client(1)), 3);
        drop((first, second, third, fourth, other, exempt));
        assert_eq!((house.clients(), house.connections().0), (0, 0));
    }

    #[test]
    fn load_7_a_flood_over_the_share_looks_at_no_seat_again() {
        let house = Admission::new(20_000);
        let seats: Vec<_> =
            (0..10_000).map(|_| house.admit(Some(client(1)), Some(10_000)).unwrap()).collect();
        let refused = (0..100_000).all(|_| house.admit(Some(client(1)), Some(10_000)).is_err());
        // Ten thousand seats looked at a hundred thousand times would take minutes.
        assert!(refused);
        drop(seats);
        assert_eq!(house.clients(), 0);
    }

    #[test]
    fn load_3_idle_keeps_its_first_time_until_busy_again() {
        let house = Admission::new(2);
        let waker = Waker::noop();
        let (first, second) = (admit(&house).unwrap(), admit(&house).unwrap());
        first.idle(Millis(5), waker);
        second.idle(Millis(6), waker);
        first.idle(Millis(50), waker);
        let _third = admit(&house).unwrap();
        assert!(first.evicted() && !second.evicted());
    }

    /// What can happen to a house.
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Admit(u32, Option<usize>),
        Idle(usize),
        Busy(usize),
        Leave(usize),
        Cap(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0_u32..4, proptest::option::of(1_usize..4)).prop_map(|(client, share)| Step::Admit(client, share)),
            3 => (0_usize..12).prop_map(Step::Idle),
            2 => (0_usize..12).prop_map(Step::Busy),
            1 => (0_usize..12).prop_map(Step::Leave),
            1 => (1_usize..8).prop_map(Step::Cap),
        ]
    }

    /// A connection as the model sees it.
    struct Guest {
        permit: Permit,
        client: ClientKey,
        idle: Option<u64>,
        evicted: bool,
    }

    proptest! {
        #[test]
        fn load_7_seats_agree_with_a_list(steps in proptest::collection::vec(step(), 1..200)) {
            let house = Admission::new(5);
            let (mut guests, mut cap): (Vec<Guest>, _) = (Vec::new(), 5);
            for (now, step) in steps.into_iter().enumerate() {
                let now = now as u64;
                match step {
                    Step::Admit(number, share) => {
                        let client = client(number);
                        let of_client = |guest: &&mut Guest| !guest.evicted && guest.client == client;
                        let own = guests.iter_mut().filter(of_client).count();
                        let taken = guests.iter().filter(|guest| !guest.evicted).count();
                        let longest = |guests: &mut Vec<Guest>, own: bool| {
                            let sit = guests.iter_mut().filter(|guest| !guest.evicted && (!own || guest.client == client));
                            sit.filter(|guest| guest.idle.is_some()).min_by_key(|guest| guest.idle)
                                .map(|guest| guest.evicted = true)
                        };
                        let expected = if share.is_some_and(|share| own >= share) {
                            longest(&mut guests, true).ok_or(Refused::ClientFull)
                        } else if taken >= cap {
                            longest(&mut guests, false).ok_or(Refused::HouseFull)
                        } else {
                            Ok(())
                        };
                        let found = house.admit(Some(client), share);
                        prop_assert_eq!(found.as_ref().map(|_| ()).map_err(|refused| *refused), expected);
                        guests.extend(found.ok().map(|permit| Guest { permit, client, idle: None, evicted: false }));
                    }
                    Step::Idle(index) => if let Some(guest) = guests.get_mut(index) {
                        guest.permit.idle(Millis(now), Waker::noop());
                        guest.idle = guest.idle.or(Some(now));
                    },
                    Step::Busy(index) => if let Some(guest) = guests.get_mut(index) {
                        prop_assert_eq!(guest.permit.busy(), !guest.evicted);
                        guest.idle = None;
                    },
                    Step::Leave(index) => if index < guests.len() {
                        guests.swap_remove(index);
                    },
                    Step::Cap(seats) => {
                        cap = seats;
                        house.set_cap(cap);
                    }
                }
                prop_assert!(guests.iter().all(|guest| guest.permit.evicted() == guest.evicted));
                let count = |client| guests.iter().filter(|guest| !guest.evicted && guest.client == client).count();
                prop_assert_eq!(house.connections().0, guests.iter().filter(|guest| !guest.evicted).count());
                prop_assert!((0..4).map(client).all(|client| house.connections_of(client) == count(client)));
            }
            guests.clear();
            prop_assert_eq!((house.connections().0, house.clients()), (0, 0));
        }
    }
}

/// Thousands of schedules. Negative controls, tried by hand: with `hunger.set(true)` behind the look at the seats, or
/// with `evict` that stores instead of comparing, `shuttle_` tests fail.
#[cfg(feature = "shuttle")]
mod scheduled {
    use super::*;
    use crate::sync::{Condvar, in_many_orders, thread};
    use std::task::Wake;

    const SCHEDULES: usize = 10_000;

    fn client() -> ClientKey {
        ClientKey::UNIX
    }

    /// A connection that was evicted does not serve, one that serves was not evicted, and each is counted once.
    #[test]
    fn shuttle_load_3_a_seat_is_evicted_or_serves_and_is_given_back_once() {
        in_many_orders(SCHEDULES, || {
            let house = Admission::new(2);
            let owners: Vec<_> = (0..2)
                .map(|now| {
                    let permit = house.admit(Some(client()), None).unwrap();
                    thread::spawn(move || {
                        permit.idle(Millis(now), Waker::noop());
                        let serves = permit.busy();
                        // Nobody takes the seat of one who serves.
                        thread::yield_now();
                        assert_eq!(permit.evicted(), !serves);
                        drop(permit);
                        serves
                    })
                })
                .collect();
            let newcomer = {
                let house = house.clone();
                thread::spawn(move || house.admit(Some(client()), Some(2)).is_ok())
            };
            let served = owners.into_iter().map(|owner| owner.join().unwrap());
            let left = served.filter(|serves| !serves).count();
            assert!(left <= usize::from(newcomer.join().unwrap()), "one newcomer, one eviction at most");
            assert_eq!((house.connections().0, house.clients()), (0, 0));
        });
    }

    /// However a refusal and a seat that becomes idle fall together: the next newcomer finds the seat.
    #[test]
    fn shuttle_load_3_no_idle_seat_is_overlooked() {
        in_many_orders(SCHEDULES, || {
            let house = Admission::new(2);
            let permits: Vec<_> = (0..2).map(|_| house.admit(Some(client()), None).unwrap()).collect();
            let idlers = permits.into_iter().map(|permit| {
                thread::spawn(move || {
                    permit.idle(Millis(1), Waker::noop());
                    permit
                })
            });
            let idlers: Vec<_> = idlers.collect();
            let early: Vec<_> = (0..2).filter_map(|_| house.admit(Some(client()), Some(2)).ok()).collect();
            let permits: Vec<_> = idlers.into_iter().map(|idler| idler.join().unwrap()).collect();
            let late: Vec<_> =
                (early.len()..2).map(|_| house.admit(Some(client()), Some(2)).unwrap()).collect();
            assert!(permits.iter().all(Permit::evicted));
            assert_eq!(house.admit(None, None).unwrap_err(), Refused::HouseFull);
            drop((early, late, permits));
            assert_eq!((house.connections().0, house.clients()), (0, 0));
        });
    }

    /// The sleep of an owner, which ends by a call alone: a thread that is parked may wake by itself.
    #[derive(Default)]
    struct Sleep {
        called: Mutex<bool>,
        bell: Condvar,
    }

    impl Wake for Sleep {
        fn wake(self: std::sync::Arc<Self>) {
            *lock(&self.called) = true;
            self.bell.notify_all();
        }
    }

    /// Who sleeps in an idle seat is woken when somebody else is given it: a call that is lost is an owner who sleeps
    /// for ever.
    #[test]
    fn shuttle_load_3_who_is_evicted_in_his_sleep_is_woken() {
        in_many_orders(SCHEDULES, || {
            let house = Admission::new(1);
            let permit = house.admit(Some(client()), None).unwrap();
            let sleeper = thread::spawn(move || {
                let sleep = std::sync::Arc::new(Sleep::default());
                permit.idle(Millis(1), &Waker::from(std::sync::Arc::clone(&sleep)));
                let mut called = lock(&sleep.called);
                while !*called {
                    called = sleep.bell.wait(called).unwrap();
                }
                assert!(permit.evicted() && !permit.busy(), "who was evicted does not serve");
            });
            let newcomer = loop {
                match house.admit(Some(client()), None) {
                    Ok(permit) => break permit,
                    Err(_) => thread::yield_now(),
                }
            };
            sleeper.join().unwrap();
            drop(newcomer);
            assert_eq!((house.connections(), house.clients()), ((0, 1), 0));
        });
    }

    /// Two doors take in guests of a house whose cap a reload lowers and raises meanwhile, and guests leave.
    #[test]
    fn shuttle_load_3_the_cap_holds_at_two_doors_and_over_a_reload() {
        in_many_orders(SCHEDULES, || {
            let house = Admission::new(2);
            let doors = [1, 2].map(|number| {
                let house = house.clone();
                thread::spawn(move || {
                    let first = house.admit(Some(client()), None);
                    if let Ok(permit) = &first {
                        permit.idle(Millis(number), Waker::noop());
                    }
                    let second = house.admit(Some(client()), Some(2));
                    drop(first);
                    second.map(drop)
                })
            });
            house.set_cap(1);
            house.set_cap(2);
            for door in doors {
                let _ = door.join().unwrap();
            }
            let (now, most) = house.connections();
            assert!(now == 0 && most <= 2 && house.clients() == 0, "{now} now, {most} at most");
        });
    }
}
