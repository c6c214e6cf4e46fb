//! Words that code may not say, and where. Comments and literals may: they say why.

use super::Finding;
use crate::rust_text::{Line, word_offsets};
use crate::tree::Tree;

/// A set of words banned from some files.
struct Ban {
    words: &'static [&'static str],
    /// Whether the ban holds in the file with this path.
    holds_in: fn(&str) -> bool,
    tests_too: bool,
    why: &'static str,
}

const BANS: [Ban; 4] = [
    Ban {
        words: &["todo!", "unimplemented!", "dbg!", "#[ignore"],
        holds_in: |_| true,
        tests_too: true,
        why: "is unfinished work",
    },
    Ban {
        words: &["unsafe"],
        holds_in: |path| !path.starts_with("crates/tidegate/src/net/sys"),
        tests_too: true,
        why: "is for crates/tidegate/src/net/sys only",
    },
    Ban {
        words: &[
            "tokio",
            "async",
            "await",
            "Instant",
            "SystemTime",
            "std::time",
            "core::time",
            "std::fs",
            "std::os",
            "std::thread",
            "TcpStream",
            "TcpListener",
            "UdpSocket",
            "UnixStream",
            "UnixListener",
        ],
        holds_in: |path| path.starts_with("crates/http1/src/"),
        tests_too: true,
        why: "does not belong in a protocol of bytes: no socket, no clock, no runtime in http1",
    },
    Ban {
        words: &["thread::sleep", "std::fs"],
        holds_in: runs_on_a_worker,
        tests_too: false,
        why: "blocks a worker: disk work goes to the pool, waiting is a deadline",
    },
];

/// Modules whose code runs on an event-loop thread, where one blocking call stalls every connection (LOAD-1).
fn runs_on_a_worker(path: &str) -> bool {
    let module = path.strip_prefix("crates/tidegate/src/").unwrap_or_default();
    ["conn/", "http/", "limits/"].iter().any(|folder| module.starts_with(folder))
        || ["conn.rs", "http.rs", "limits.rs", "pipeline.rs", "router.rs", "worker.rs"].contains(&module)
}

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    BANS.iter().flat_map(|ban| enforce(ban, tree)).collect()
}

fn enforce(ban: &Ban, tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, rust) in tree.rust_files().filter(|(file, _)| (ban.holds_in)(&file.path)) {
        for line in rust.lines().filter(|line| ban.tests_too || !line.in_test) {
            let said = ban.words.iter().filter(|word| says(line, word));
            findings.extend(
                said.map(|word| Finding::new(&file.path, line.number, format!("`{word}` {}", ban.why))),
            );
        }
    }
    findings
}

fn says(line: Line<'_>, word: &str) -> bool {
    word_offsets(line.code, word).next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&Tree::of(&[(path, text)])).len()
    }

    #[test]
    fn every_banned_word_is_found_where_its_ban_holds() {
        let homes = [
            "xtask/src/a.rs",
            "crates/tidegate/src/a.rs",
            "crates/http1/src/a.rs",
            "crates/tidegate/src/conn/a.rs",
        ];
        for (ban, home) in BANS.iter().zip(homes) {
            for word in ban.words {
                assert_eq!(found(home, &format!("{word}\n")), 1, "{word} in {home}");
                assert_eq!(found(home, &format!("// {word}\n")), 0, "{word} in a comment");
            }
        }
    }

    #[test]
    fn unsafe_has_one_home() {
        let code = "fn f() { unsafe { g() } }\n";
        assert_eq!(found("crates/tidegate/src/net/sys.rs", code), 0);
        assert_eq!(found("crates/tidegate/src/net/sys/raw.rs", code), 0);
        assert_eq!(found("crates/tidegate/src/net/listener.rs", code), 1);
        assert_eq!(found("crates/a/src/lib.rs", "#![deny(unsafe_code)]\n"), 0);
    }

    #[test]
    fn the_pool_may_block_and_so_may_a_workers_tests() {
        let code = "use std::fs;\n";
        assert_eq!(found("crates/tidegate/src/store/local.rs", code), 0);
        assert_eq!(found("crates/tidegate/src/pipeline.rs", code), 1);
        assert_eq!(
            found("crates/tidegate/src/pipeline.rs", "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n"),
            0
        );
        assert_eq!(found("crates/tidegate/src/http/date.rs", "use rustix::fs;\n"), 0);
    }
}
