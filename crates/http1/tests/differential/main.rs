//! Requests read by us and by h11, whose authors share nothing with ours: both must say the same, but for what is in
//! the list of allowed disagreements.
//!
//! ```text
//! seeds, vectors ─► mutate.rs ─► requests ─┬─► Connection ───────────────► line ─┐
//!                                          └─► h11_reader.py (by a pipe) ─► line ─┴─► equal, or in allowed.rs
//! ```
//! `DIFFERENTIAL_CASES=1000000 cargo test --release -p http1 --test differential` makes a long run of it.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "what supports a test fails and speaks as a test does"
)]

mod allowed;
mod mutate;
#[path = "../support/mod.rs"]
mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use http1::{Limits, Version};
use support::{Driver, Event, run};

/// Enough to meet each allowed disagreement many times, and few enough for seconds.
const CASES: usize = 20_000;

/// Of disagreements that are not allowed so many are told.
const SHOWN: usize = 10;

/// One request, and what both readers say of it: `ok …`, `more` or `bad …`.
#[derive(Clone, Debug)]
struct Case {
    input: Vec<u8>,
    ours: String,
    theirs: String,
}

#[test]
fn h1_2_h1_4_a1_a2_a3_a4_a6_a7_h11_reads_what_we_read() {
    let Some(modules) = python_modules() else { return };
    let number = std::env::var("DIFFERENTIAL_CASES").ok().and_then(|number| number.parse().ok());
    let inputs = mutate::requests(number.unwrap_or(CASES));
    let theirs = ask_h11(&modules, &inputs);
    assert_eq!(theirs.len(), inputs.len(), "an answer for each request");
    let cases =
        inputs.into_iter().zip(theirs).map(|(input, theirs)| Case { ours: ours(&input), input, theirs });
    let mut used = vec![0_usize; allowed::REASONS.len()];
    let (mut agreed, mut unlisted) = (0_usize, Vec::new());
    for case in cases {
        match allowed::reason(&case) {
            _ if agrees(&case) => agreed += 1,
            Some(reason) => used[reason] += 1,
            None => unlisted.push(shown(&case)),
        }
    }
    unlisted.truncate(SHOWN);
    assert!(unlisted.is_empty(), "not allowed:\n{}", unlisted.join("\n"));
    let counts: Vec<String> = used
        .iter()
        .zip(allowed::REASONS)
        .map(|(count, reason)| format!("{count:>8}  {}", reason.why))
        .collect();
    println!("{agreed:>8}  the same\n{}", counts.join("\n"));
    assert!(!used.contains(&0), "a reason that is never needed:\n{}", counts.join("\n"));
    assert!(agreed > used.iter().sum(), "most requests are read alike");
}

/// The negative control: what is changed behind our back is no allowed disagreement.
#[test]
fn a_difference_that_is_not_listed_is_found() {
    let input = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET".to_vec();
    let line = ours(&input);
    assert_eq!(line, "ok 504f5354 2f61 312e31 3530 6869 686f7374 61 636f6e74656e742d6c656e677468 32");
    for theirs in [
        "more",
        "bad Receive buffer too long",
        &line.replace(" 3530 ", " 3531 "),
        &line.replace(" 6869 ", " 6868 "),
    ] {
        let case = Case { input: input.clone(), ours: line.clone(), theirs: theirs.to_owned() };
        assert!(!agrees(&case) && allowed::reason(&case).is_none(), "{theirs}");
    }
    for ours in [
        "more",
        "bad bad_framing: both Transfer-Encoding and Content-Length",
        "bad bad_head: a field line has no colon",
    ] {
        let case = Case { input: input.clone(), ours: ours.to_owned(), theirs: line.clone() };
        assert!(!agrees(&case) && allowed::reason(&case).is_none(), "{ours}");
    }
}

/// The same message, the same wait, or both refuse, each for a reason of its own.
fn agrees(case: &Case) -> bool {
    case.ours == case.theirs || case.ours.starts_with("bad") && case.theirs.starts_with("bad")
}

/// What we say of the first request of `input`, in the words of `h11_reader.py`.
fn ours(input: &[u8]) -> String {
    let (events, _) = run(Driver::new(Limits::default()), input, &[]);
    let Some(Event::Head { method, target, version, fields, consumed: head, body, .. }) = events.first()
    else {
        return refused(events.first());
    };
    let (payload, length) = match events.get(1) {
        _ if *body == http1::BodyLength::None => (&[][..], 0),
        Some(Event::Body { payload, consumed }) => (&payload[..], *consumed),
        other => return refused(other),
    };
    let version: &[u8] = if *version == Version::Http10 { b"1.0" } else { b"1.1" };
    let consumed = (head + length).to_string();
    let mut words =
        vec![hex(method.as_bytes()), hex(target), hex(version), hex(consumed.as_bytes()), hex(payload)];
    for (name, value) in fields {
        words.push(hex(name.to_ascii_lowercase().as_bytes()));
        // Two values that both readers take are of any case, and h11 writes them in one.
        let lower = name.eq_ignore_ascii_case("transfer-encoding");
        words.push(hex(&if lower { value.to_ascii_lowercase() } else { value.clone() }));
    }
    format!("ok {}", words.join(" "))
}

fn refused(event: Option<&Event>) -> String {
    match event {
        Some(Event::Error { kind, detail, .. }) => format!("bad {}: {detail}", kind.code()),
        _ => "more".to_owned(),
    }
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() { "-".to_owned() } else { bytes.iter().map(|byte| format!("{byte:02x}")).collect() }
}

fn shown(case: &Case) -> String {
    format!("{}\nours:   {}\ntheirs: {}", case.input.escape_ascii(), case.ours, case.theirs)
}

/// Where h11 is, as `cargo xtask test --only setup` puts it beside our other tools. Without it the test is skipped.
fn python_modules() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let modules = target.join("tools/python");
    if modules.join("h11").is_dir() {
        return Some(modules);
    }
    assert!(std::env::var("CI").as_deref() != Ok("true"), "h11 is missing: cargo xtask test --only setup");
    println!("skipped: differential needs h11: cargo xtask test --only setup");
    None
}

/// The answers of h11, in the order of `inputs`.
fn ask_h11(modules: &Path, inputs: &[Vec<u8>]) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/h11_reader.py");
    let mut child: Child = Command::new("python3")
        .arg(script)
        .env("PYTHONPATH", modules)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut questions = child.stdin.take().expect("a pipe");
    let answers = BufReader::new(child.stdout.take().expect("a pipe"));
    // Written from another thread: a pipe holds less than all of it.
    let answers = std::thread::scope(|scope| {
        scope.spawn(move || {
            for input in inputs {
                let length = u32::try_from(input.len()).expect("a short request");
                questions
                    .write_all(&length.to_be_bytes())
                    .and_then(|()| questions.write_all(input))
                    .expect("h11 reads");
            }
        });
        answers.lines().map(|line| line.expect("text")).collect()
    });
    assert!(child.wait().expect("an end").success(), "h11_reader.py failed");
    answers
}
