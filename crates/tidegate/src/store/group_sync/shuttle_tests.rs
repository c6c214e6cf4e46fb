//! The shared sync in many orders of events: nobody is told "durable" by a sync that began before his change, and after
//! one has failed nobody is told so at all.
//!
//! That they can fail was tried by hand: with `covered` read behind the sync, with a waiter content with `synced + 1`,
//! without the call to those who wait, with a failure that is forgotten or with two syncs at a time one of them fails.

use super::*;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use crate::sync::{Arc, in_many_orders, thread};

/// Orders of events for each test where nothing else is asked for.
const ORDERS: usize = 10_000;

/// Who write at the same time, and how often each.
const WRITERS: u32 = 3;
const CHANGES: u32 = 2;

/// What a disk keeps: the changes that were made before a sync began which then succeeded.
#[derive(Default)]
struct Disk {
    changed: AtomicU32,
    durable: AtomicU32,
    syncs: AtomicU32,
    syncing: AtomicBool,
    failed: AtomicBool,
    /// The sync that fails, from 1; 0 for none.
    fails: u32,
}

impl Disk {
    /// Changes something; the number of the change.
    fn change(&self) -> u32 {
        self.changed.fetch_add(1, SeqCst) + 1
    }

    fn sync(&self) -> Result<(), Errno> {
        assert!(!self.syncing.swap(true, SeqCst), "two syncs at a time");
        let number = self.syncs.fetch_add(1, SeqCst) + 1;
        assert!(!self.has_failed(), "a sync after the one that failed");
        let covered = self.changed.load(SeqCst);
        thread::yield_now();
        self.syncing.store(false, SeqCst);
        if number == self.fails {
            self.failed.store(true, SeqCst);
            return Err(Errno::IO);
        }
        self.durable.store(covered, SeqCst);
        Ok(())
    }

    /// Whether the sync that fails has been.
    fn has_failed(&self) -> bool {
        self.failed.load(SeqCst)
    }

    fn has(&self, change: u32) -> bool {
        self.durable.load(SeqCst) >= change
    }
}

/// Lets `WRITERS` threads do `write`, each `CHANGES` times, and returns the disk and the group.
fn under_writers(fails: u32, write: fn(&Disk, &GroupSync)) -> (Arc<Disk>, Arc<GroupSync>) {
    let disk = Arc::new(Disk { fails, ..Disk::default() });
    let group = Arc::new(GroupSync::default());
    let writers = (0..WRITERS).map(|_| {
        let (disk, group) = (Arc::clone(&disk), Arc::clone(&group));
        thread::spawn(move || (0..CHANGES).for_each(|_| write(&disk, &group)))
    });
    let writers: Vec<_> = writers.collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    (disk, group)
}

#[test]
fn shuttle_up_4_nobody_relies_on_a_sync_that_began_before_his_change() {
    in_many_orders(ORDERS, || {
        let (disk, _) = under_writers(0, |disk, group| {
            let change = disk.change();
            assert_eq!(group.wait(|| disk.sync()), Ok(()));
            assert!(disk.has(change), "change {change} was called durable and is not");
        });
        assert!(disk.syncs.load(SeqCst) <= WRITERS * CHANGES, "nobody syncs twice for one change");
    });
}

#[test]
fn shuttle_up_5_after_a_failed_sync_nothing_is_acknowledged() {
    for fails in 1..=3 {
        in_many_orders(ORDERS / 3, move || {
            let (disk, group) = under_writers(fails, |disk, group| {
                let change = disk.change();
                let is_late = disk.has_failed();
                match group.wait(|| disk.sync()) {
                    Ok(()) => assert!(disk.has(change) && !is_late, "change {change} is not durable"),
                    Err(errno) => assert_eq!(errno, Errno::IO),
                }
            });
            // Where changes shared their syncs, so many were not needed.
            if disk.has_failed() {
                assert_eq!(group.wait(|| disk.sync()), Err(Errno::IO), "it is remembered");
                assert_eq!(disk.syncs.load(SeqCst), fails, "and not tried again");
            }
        });
    }
}
