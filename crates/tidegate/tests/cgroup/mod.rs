//! A limit on the memory of a server under test: a memory cgroup of its own, of either version.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should say where"
)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A group; removed on drop, when nobody is in it any more.
pub struct Cgroup {
    at: PathBuf,
    /// Where the kernel counts whom it killed here.
    killed: &'static str,
}

impl Cgroup {
    /// A group that holds `bytes` at most and does not swap; `None` where none can be made, which is a failure in CI.
    pub fn with_memory(bytes: u64, test: &str) -> Option<Self> {
        let made = Self::make(bytes);
        if made.is_none() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} needs a memory cgroup in CI");
            println!("skipped: {test} needs root and a memory cgroup");
        }
        made
    }

    fn make(bytes: u64) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let first = Path::new("/sys/fs/cgroup/memory").exists();
        let (root, limit, swap, none, killed) = if first {
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.swappiness", "0", "memory.oom_control")
        } else {
            // Where it is on already this says no more than that.
            let _ = std::fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
            ("/sys/fs/cgroup", "memory.max", "memory.swap.max", "0", "memory.events")
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let at = Path::new(root).join(format!("tidegate-test-{}-{number}", std::process::id()));
        std::fs::create_dir(&at).ok()?;
        let group = Self { at, killed };
        let _ = std::fs::write(group.at.join(swap), none);
        std::fs::write(group.at.join(limit), bytes.to_string()).ok()?;
        Some(group)
    }

    /// A shell line that enters the group and then becomes the program behind it.
    pub fn enter(&self) -> String {
        format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.at.display())
    }

    /// How many were killed for want of memory.
    pub fn killed(&self) -> u32 {
        let text = std::fs::read_to_string(self.at.join(self.killed)).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.expect("the kernel counts").parse().unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The last one in it may still be on its way out.
        for _ in 0..200 {
            if std::fs::remove_dir(&self.at).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}
