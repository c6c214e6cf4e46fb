//! The quota in many orders of events, over a folder of the test's own.
//!
//! That it can fail was tried by hand: where `reserve` lets go of the lock between the look and the taking, or `put`
//! forgets what is under way before it counts it as kept, the quota is overrun.

use std::path::PathBuf;

use super::*;
use crate::sync::{Arc, in_many_orders, thread};

/// Each order syncs files: fewer than elsewhere.
const ORDERS: usize = 1_000;

/// A folder in memory where there is one, for `fsync` waits for a disk.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let memory = PathBuf::from("/dev/shm");
        let parent = if memory.is_dir() { memory } else { std::env::temp_dir() };
        let path = parent.join(format!("tidegate-quota-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Bytes of all files.
    fn bytes(&self) -> u64 {
        std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    }

    fn empty(&self) {
        std::fs::read_dir(&self.0)
            .unwrap()
            .for_each(|entry| std::fs::remove_file(entry.unwrap().path()).unwrap());
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Three uploads of 4 bytes, of which two have room, while a reload counts the folder anew.
#[test]
fn shuttle_up_5_the_quota_is_kept_by_uploads_at_once_and_over_a_reload() {
    const QUOTA: u64 = 10;
    let folder = Arc::new(Folder::new());
    in_many_orders(ORDERS, move || {
        folder.empty();
        let store = Arc::new(LocalStore::open(&folder.0, Some(QUOTA)).unwrap());
        let uploads = (0..3).map(|_| {
            let store = Arc::clone(&store);
            thread::spawn(move || store.put(b"1234"))
        });
        let uploads: Vec<_> = uploads.collect();
        store.set_quota(Some(QUOTA));
        let kept: Vec<_> = uploads.into_iter().map(|upload| upload.join().unwrap()).collect();
        let refused = |error: &StoreError| matches!(error, StoreError::QuotaExceeded);
        assert!(kept.iter().flat_map(|kept| kept.as_ref().err()).all(refused), "{kept:?}");
        let count = kept.iter().filter(|kept| kept.is_ok()).count() as u64;
        assert_eq!(folder.bytes(), 4 * count);
        assert!((1..=2).contains(&count), "{count} uploads fit into the quota");
        let (kept, under_way) = store.space.counters();
        assert!(kept >= folder.bytes() && under_way == 0, "{kept} {under_way}");
    });
}
