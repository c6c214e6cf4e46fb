//! What runs under which tool, and what is left out for what reason.

use std::env::consts::ARCH;

/// A tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    Address,
    Thread,
    Miri,
}

/// One call of cargo.
#[derive(Debug)]
pub(super) struct Phase {
    pub(super) name: &'static str,
    package: &'static str,
    /// Integration tests, which start the server; unit tests where there are none.
    files: &'static [&'static str],
    /// Of these only those whose names have one of these parts; all where none is named.
    chosen: &'static [&'static str],
    /// And none of those.
    skipped: &'static [&'static [&'static str]],
    /// Beside those of the tool.
    pub(super) variables: &'static [(&'static str, &'static str)],
}

const UNIT: Phase =
    Phase { name: "unit tests", package: "tidegate", files: &[], chosen: &[], skipped: &[], variables: &[] };

/// What workers, pool and main thread do together. Left out: what tests words (configuration, explanations, the demo),
/// what is about a program beside the server (proxies, Prometheus) or runs under one (strace, FUSE), and the minutes of
/// slow clients.
const FILES: &[&str] = &[
    "bans",
    "bans_state",
    "codings_made",
    "dashboard_events",
    "dashboard_json",
    "files",
    "http1_connection",
    "links",
    "listing",
    "load",
    "log",
    "metrics",
    "panics",
    "pool_range",
    "races",
    "rate_limit",
    "reload",
    "signals",
    "status",
    "torn",
    "transfer",
    "upload",
];

/// These measure the memory of the process. Here each byte has a shadow, and what is freed is kept for a while, to see
/// who still uses it.
const OF_MEMORY: &[&str] = &[
    "file_3_memory_does_not_grow_with_the_file",
    "h1_6_a_client_that_does_not_read_is_not_read_from",
    "load_1_idle_and_slow_connections_cost_memory_and_no_thread",
    "load_8_bodies_in_progress_hold_no_more_memory_than_they_may",
];

/// These count the threads of the process, and ThreadSanitizer has one of its own.
const OF_THREADS: &[&str] = &[
    "load_1_a_worker_makes_no_call_that_may_wait_for_a_disk",
    "load_1_load_2_threads_are_named_and_as_many_as_configured",
    "load_2_load_3_obs_2_saturation_shows_in_the_metrics",
    "load_3_a_file_that_needs_the_full_pool_is_503",
    "load_3_a_full_queue_is_503_at_once_and_said_once",
    "load_4_a_panic_on_a_worker_costs_one_request",
    "load_4_a_panic_on_the_pool_costs_one_upload",
    "load_4_a_panic_while_a_file_is_opened_costs_one_request",
    "obs_4_load_2_a_thread_tells_what_it_does",
];

/// These measure a rate, or wait for six mebibytes to be compressed: a server that is ten times as slow is too late.
const OF_SPEED: &[&str] = &["file_6_no_answer_waits_for_a_coding", "sec_1_the_rate_is_exact"];

const SERVERS: Phase = Phase { name: "running servers", files: FILES, ..UNIT };

/// Leaks are looked for in unit tests alone: at the end of a server its sandbox keeps the tool from its threads.
const ADDRESS: &[Phase] = &[
    UNIT,
    Phase { skipped: &[OF_MEMORY, OF_SPEED], variables: &[("ASAN_OPTIONS", "detect_leaks=0")], ..SERVERS },
];

const THREAD: &[Phase] = &[UNIT, Phase { skipped: &[OF_MEMORY, OF_SPEED, OF_THREADS], ..SERVERS }];

/// Modules that make no system call but for time and random bytes, which Miri gives. Of the others it knows too little:
/// `openat2`, `statx`, `memfd_create` and sockets with options.
const PURE: &[&str] = &[
    "conn::deadline",
    "exchange",
    "handlers::files::cache",
    "handlers::files::flight",
    "handlers::files::listing::order",
    "http::",
    "limits::",
    "net::cidr",
    "pool::crew",
    "router",
    "store::json",
    "telemetry::",
];

/// Thousands of inputs, each cut at every place: hours, where every instruction is interpreted. For the same reason the
/// vectors of `http1` are left out as a whole.
const OF_CUTS: &[&str] = &["h1_4_shotgun"];

const HTTP1: Phase = Phase { name: "http1, unit tests", package: "http1", ..UNIT };

const MIRI: &[Phase] = &[
    HTTP1,
    Phase { name: "http1, messages", files: &["answers", "properties"], skipped: &[OF_CUTS], ..HTTP1 },
    Phase { name: "pure modules", chosen: PURE, ..UNIT },
];

impl Tool {
    pub(super) const ALL: [Self; 3] = [Self::Address, Self::Thread, Self::Miri];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Thread => "thread",
            Self::Miri => "miri",
        }
    }

    pub(super) fn phases(self) -> &'static [Phase] {
        match self {
            Self::Address => ADDRESS,
            Self::Thread => THREAD,
            Self::Miri => MIRI,
        }
    }

    /// How often it tells of a fault in `output`.
    pub(super) fn reports(self, output: &str) -> usize {
        let marks: &[&str] = match self {
            Self::Address => &["ERROR: AddressSanitizer", "ERROR: LeakSanitizer"],
            Self::Thread => &["WARNING: ThreadSanitizer"],
            Self::Miri => &["error: Undefined Behavior", "error: memory leaked"],
        };
        output.lines().filter(|line| marks.iter().any(|mark| line.contains(mark))).count()
    }

    pub(super) fn variables(self) -> &'static [(&'static str, &'static str)] {
        // Optimised a little, or what compresses takes longer than a test waits.
        match self {
            Self::Address => &[("RUSTFLAGS", "-Zsanitizer=address"), ("CARGO_PROFILE_DEV_OPT_LEVEL", "1")],
            Self::Thread => &[("RUSTFLAGS", "-Zsanitizer=thread"), ("CARGO_PROFILE_DEV_OPT_LEVEL", "1")],
            Self::Miri => &[("MIRIFLAGS", "-Zmiri-disable-isolation"), ("PROPTEST_CASES", "4")],
        }
    }

    /// What cargo is to do. Where std is built anew a target has to be named, or build scripts would be built for the
    /// tool as well.
    pub(super) fn cargo_words(self) -> Vec<String> {
        let words: &[&str] = match self {
            Self::Address | Self::Thread => &["test", "-Zbuild-std", "--target"],
            Self::Miri => &["miri", "test"],
        };
        let target = (self != Self::Miri).then(|| format!("{ARCH}-unknown-linux-gnu"));
        words.iter().map(ToString::to_string).chain(target).collect()
    }
}

impl Phase {
    /// Which tests cargo builds.
    pub(super) fn cargo_words(&self) -> Vec<&'static str> {
        let mut words = vec!["--no-fail-fast", "--package", self.package];
        if self.package == "tidegate" {
            words.extend(["--features", "tidegate/failpoints"]);
        }
        match self.files {
            [] => words.push("--lib"),
            files => words.extend(files.iter().flat_map(|file| ["--test", file])),
        }
        words
    }

    /// Which of them run.
    pub(super) fn test_words(&self) -> Vec<&'static str> {
        let skipped = self.skipped.iter().copied().flatten().flat_map(|name| ["--skip", name]);
        self.chosen.iter().copied().chain(skipped).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    #[test]
    fn every_file_and_every_test_that_is_named_is_there() {
        let tree = Tree::read(&crate::root()).unwrap();
        for phase in Tool::ALL.into_iter().flat_map(Tool::phases) {
            let file = |name: &&str| tree.file(&format!("crates/{}/tests/{name}.rs", phase.package));
            assert!(phase.files.iter().all(|name| file(name).is_some()), "{}", phase.name);
            for name in phase.skipped.concat() {
                let is_there = phase.files.iter().filter_map(file).any(|file| file.text.contains(name));
                assert!(is_there, "{name}");
            }
        }
    }

    #[test]
    fn each_tool_knows_its_own_reports() {
        for (tool, line) in [
            (Tool::Address, "==7==ERROR: AddressSanitizer: heap-use-after-free on address"),
            (Tool::Address, "==7==ERROR: LeakSanitizer: detected memory leaks"),
            (Tool::Thread, "WARNING: ThreadSanitizer: data race (pid=7)"),
            (Tool::Miri, "error: Undefined Behavior: memory access failed: it has been freed"),
        ] {
            assert_eq!(tool.reports(&format!("a\n{line}\nb\n{line}\n")), 2, "{line}");
        }
        assert_eq!(Tool::Thread.reports("test a_data_race ... ok"), 0);
    }
}
