//! Faults on purpose, for the tests of panic isolation and of the sandbox (SPEC LOAD-4, SEC-7). Compiled to nothing
//! unless the feature `failpoints` is on; then `FAILPOINTS` in the environment arms points of `POINTS`:
//!
//! ```text
//! judge          panics each time
//! judge=7x50     panics every 7th time, 50 times in all
//! judge=escape   does what an intruder would do instead
//! judge,record   both
//! ```

#[cfg(feature = "failpoints")]
mod escape;

#[cfg(feature = "failpoints")]
pub use armed::{POINTS, hit};

/// Panics here when the point called `$name` is armed.
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        #[cfg(feature = "failpoints")]
        $crate::failpoint::hit($name);
    };
}

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Every point, and the stage at which it stands, in the order in which a request meets them.
    pub const POINTS: &[(&str, &str)] = &[
        ("accept", "a connection has just got its seat"),
        ("turn_away", "a connection without a seat is told so"),
        ("handshake", "a handshake has its turn in the lane"),
        ("certificate", "a certificate is chosen for a hello"),
        ("unseal", "what came by TLS is opened"),
        ("frames", "bytes of HTTP/2 have come and are judged"),
        ("stream", "a request of HTTP/2 is there, its head not yet text"),
        ("head", "a head is read"),
        ("judge", "a request is judged"),
        ("handler", "a handler is about to answer"),
        ("body", "a piece of a body is there"),
        ("job", "a thread of the pool begins any job"),
        ("open", "a thread of the pool looks for a file"),
        ("coding", "a thread of the pool compresses a file"),
        ("upload", "a thread of the pool has the whole body"),
        ("store_write", "the file of an upload is made and empty"),
        ("store_sync", "it is written and not yet synced"),
        ("store_link", "it is synced and has no name yet"),
        ("store_folder", "it has its name and the folder is being synced"),
        ("encode", "an answer is there, its head not yet encoded"),
        ("answer", "the head of an answer waits for its frame, its body does not yet"),
        ("send", "the head of a file is encoded, nothing of it sent"),
        ("piece", "the next piece of a file is sent"),
        ("live", "the dashboard's stream goes on"),
        ("record", "an answer is encoded and not yet written down"),
        ("payload", "a frame takes its bytes, under the lock of the h2 crate where they are few"),
        ("seal", "bytes are sealed to leave by TLS"),
        ("tick", "a worker looks at its deadlines"),
        ("second", "the main thread looks after the whole"),
        ("control", "a caller of the control socket has asked"),
        ("log", "the log's thread writes a batch"),
    ];

    /// What an armed point does.
    #[derive(Debug)]
    enum Fault {
        Panic { every: u64, most: u64 },
        Escape,
    }

    #[derive(Debug)]
    struct Armed {
        name: &'static str,
        fault: Fault,
        passed: AtomicU64,
    }

    /// Does what `name` is armed for.
    ///
    /// # Panics
    /// That is what it is for.
    pub fn hit(name: &str) {
        static ARMED: LazyLock<Vec<Armed>> = LazyLock::new(|| {
            let list = std::env::var("FAILPOINTS").unwrap_or_default();
            list.split(',').filter(|point| !point.is_empty()).map(armed).collect()
        });
        for point in ARMED.iter().filter(|point| point.name == name) {
            match point.fault {
                Fault::Escape => crate::failpoint::escape::attempt_all(),
                Fault::Panic { every, most } => {
                    let pass = point.passed.fetch_add(1, Ordering::Relaxed) + 1;
                    let due = pass.is_multiple_of(every) && pass / every <= most;
                    assert!(!due, "failpoint {name}");
                }
            }
        }
    }

    /// One entry of the list; a test with a mistake in it is to fail, so that ends the process.
    fn armed(text: &str) -> Armed {
        let (name, fault) = text.split_once('=').unwrap_or((text, "1x"));
        let point = POINTS.iter().find(|(known, _)| *known == name);
        let often = |fault: &str| -> Option<Fault> {
            let (every, most) = fault.split_once('x')?;
            let most = if most.is_empty() { u64::MAX } else { most.parse().ok()? };
            Some(Fault::Panic { every: every.parse().ok().filter(|every| *every > 0)?, most })
        };
        let fault = if fault == "escape" { Some(Fault::Escape) } else { often(fault) };
        let (Some((name, _)), Some(fault)) = (point, fault) else {
            crate::complain(&format!("FAILPOINTS: {text} is no point"));
            std::process::exit(2);
        };
        Armed { name, fault, passed: AtomicU64::new(0) }
    }
}
