//! The tour itself: it passes, it notices a wrong server, and it leaves nothing behind (SPEC RUN-4).

#![allow(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod process;
mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use support::{BINARY, Folder, Setup, eventually};

/// `tidegate demo` with a folder of its own for what is temporary.
fn demo(folder: &Folder, args: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("demo").args(args).env_clear().env("TMPDIR", &folder.0).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap() + &String::from_utf8_lossy(&output.stderr)
}

/// The numbers of the last line: passed, failed, skipped.
fn score(text: &str) -> [usize; 3] {
    let line = text.lines().rfind(|line| line.contains(" passed, ")).unwrap_or_else(|| panic!("{text}"));
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!([words[1], words[3], words[5]], ["passed,", "failed,", "skipped"], "{line}");
    [0, 2, 4].map(|at| words[at].parse().unwrap())
}

/// Fails where a file is left in `folder`, or a process that works below it.
fn assert_nothing_left(folder: &Folder) {
    let left: Vec<_> = std::fs::read_dir(&folder.0).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    let works_there = |process: &Path| {
        let place = std::fs::read_link(process.join("cwd")).unwrap_or_default();
        place.starts_with(&folder.0)
    };
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let running: Vec<_> = processes.filter(|process| works_there(process)).collect();
    assert!(running.is_empty(), "still running: {running:?}");
}

#[test]
fn run_4_the_demo_passes_and_leaves_nothing_behind() {
    let folder = Folder::new();
    // Settings for another server do not reach the demo's own.
    let output =
        demo(&folder, &[]).env("TIDEGATE_MAX_BODY", "1B").env("LOG_LEVEL", "ERROR").output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let [passed, failed, skipped] = score(&text);
    assert!(passed >= 60 && failed == 0 && skipped == 0, "{text}");
    let chapters = [
        "Files",
        "Strict HTTP",
        "Uploads",
        "Threads",
        "Limits",
        "Bans",
        "TLS and HTTP/2",
        "Refusals",
        "Other origins",
        "For operators",
        "Live reload",
        "Drain",
    ];
    for chapter in chapters {
        assert!(text.contains(&format!(" · {chapter}")), "no chapter on {chapter}:\n{text}");
    }
    // In a pipe: no colour, and narrow enough to read.
    assert!(!text.contains('\x1b'));
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    assert_nothing_left(&folder);
}

#[test]
fn run_4_the_demo_tours_a_running_server() {
    let site = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../resources");
    let server = Setup::new().args(&["-r", site.to_str().unwrap(), "--uploads", "kept"]).start();
    let folder = Folder::new();
    let output = demo(&folder, &[&format!("http://{}/", server.addr)]).output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let [passed, failed, skipped] = score(&text);
    assert!(passed >= 30 && failed == 0 && skipped >= 20, "{text}");
    assert!(text.contains("Skipped: it would leave a file behind."), "{text}");
    // Nothing was left there either, and the server goes on.
    assert_eq!(std::fs::read_dir(server.folder.0.join("kept")).unwrap().count(), 0);
    assert_eq!(server.get("/readyz").status, 200);
    assert_nothing_left(&folder);
}

#[test]
fn run_4_the_demo_skips_files_that_another_site_has_not() {
    let server = Setup::new().start();
    let folder = Folder::new();
    let output = demo(&folder, &[&format!("http://{}", server.addr)]).output().unwrap();
    let text = text(&output);
    assert_eq!((output.status.code(), score(&text)[1]), (Some(0), 0), "{text}");
    assert!(text.contains("Skipped: the site of this server has no such file."), "{text}");
}

#[test]
fn run_4_the_demo_fails_against_a_wrong_server() {
    // It says what tidegate says, and agrees to everything.
    const AGREES: &str = "HTTP/1.1 200 OK\r\nServer: tidegate\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
        X-Content-Type-Options: nosniff\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 65536]);
                let _ = stream.write_all(AGREES.as_bytes());
            });
        }
    });
    let folder = Folder::new();
    let output = demo(&folder, &[&url]).output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let [passed, failed, _] = score(&text);
    assert!(failed > 25 && passed < 3, "{text}");
    let (_, summary) = text.rsplit_once("───\n").unwrap();
    for title in ["A smuggled second request", "Ways out of the folder", "A name that is not ours", "HEAD"] {
        assert!(summary.contains(&format!("✗ {title}\n")), "{title} passed:\n{text}");
    }
}

#[test]
fn run_4_the_demo_tells_who_is_not_there() {
    let folder = Folder::new();
    let run = |url: &str| {
        let output = demo(&folder, &[url]).output().unwrap();
        (output.status.code(), text(&output))
    };
    let (code, said) = run(&format!("http://127.0.0.1:{}", process::free_port()));
    assert!(code == Some(1) && said.contains("nothing answers there"), "{code:?} {said}");
    for url in ["localhost:8080", "https://localhost:8080", "http://localhost/page"] {
        let (code, said) = run(url);
        assert!(code == Some(2) && said.contains("expected http://HOST:PORT"), "{url}: {code:?} {said}");
    }
}

#[test]
fn run_4_an_interrupted_demo_clears_up() {
    for signal in ["INT", "TERM"] {
        let folder = Folder::new();
        let mut child = demo(&folder, &[]).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains(" · Strict HTTP") {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "it ended before the second chapter");
        }
        let sent = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        let mut rest = String::new();
        output.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
        assert!(rest.contains("Interrupted") && !rest.contains("✗"), "{rest}");
        assert_nothing_left(&folder);
    }
}

#[test]
fn run_4_a_reader_that_goes_away_ends_the_demo_tidily() {
    let folder = Folder::new();
    let mut child = demo(&folder, &[]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let code = child.wait().unwrap().code();
    assert_eq!(code, Some(1));
    eventually("nothing is left", || std::fs::read_dir(&folder.0).unwrap().next().is_none());
    assert_nothing_left(&folder);
}
