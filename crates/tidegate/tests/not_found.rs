//! What is not there: it is told fast and cheaply, and no longer than it is true (SPEC FILE-1, FILE-7, SEC-4).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use support::{Client, Response, Server, Setup};

/// How old an answer may be.
const STALE: Duration = Duration::from_secs(1);

fn ask(client: &mut Client, method: &str, target: &str, fields: &str) -> Response {
    let head = format!("{method} {target} HTTP/1.1\r\n{fields}");
    client.send_request(&head, b"");
    client.response_to(&head)
}

fn id(response: &Response) -> &str {
    response.field("x-request-id").expect("an id")
}

/// Connections enough that every worker has some, each asked often enough that what is remembered is used.
fn all_say(clients: &mut [Client], target: &str, status: u16) {
    for client in clients {
        for _ in 0..5 {
            assert_eq!(client.get(target).status, status, "{target}");
        }
    }
}

#[test]
fn file_1_file_7_what_is_missing_is_served_within_a_second_of_its_making() {
    let server =
        Setup::new().args(&["--max-requests", "0", "--workers", "2"]).file("other.html", "x").start();
    let root = server.root();
    let mut clients: Vec<_> = (0..8).map(|_| server.connect()).collect();
    let targets = ["/a.html", "/dir/deep/b.html", "/dir/", "/link.html", "/moved.html"];
    for _ in 0..2 {
        for target in targets {
            all_say(&mut clients, target, 404);
        }
        server.folder.write("root/a.html", "a");
        server.folder.write("root/dir/deep/b.html", "b");
        server.folder.write("root/dir/index.html", "index");
        symlink("other.html", root.join("link.html")).unwrap();
        let staged = server.folder.write("staged", "moved");
        fs::rename(staged, root.join("moved.html")).unwrap();
        std::thread::sleep(STALE);
        for target in targets {
            all_say(&mut clients, target, 200);
        }
        fs::remove_file(root.join("a.html")).unwrap();
        fs::rename(root.join("dir"), server.folder.0.join("gone")).unwrap();
        fs::remove_file(root.join("link.html")).unwrap();
        fs::remove_file(root.join("moved.html")).unwrap();
        std::thread::sleep(STALE);
        for target in targets {
            all_say(&mut clients, target, 404);
        }
        fs::remove_dir_all(server.folder.0.join("gone")).unwrap();
    }
}

/// Asked for without pause while it is made: never again missing once it was there.
#[test]
fn file_7_no_memory_of_a_404_comes_back() {
    let server = Setup::new().args(&["--max-requests", "0"]).start();
    for round in 0..40 {
        let (name, mut client) = (format!("{round}.html"), server.connect());
        let target = format!("/{name}");
        for _ in 0..round % 4 {
            assert_eq!(client.get(&target).status, 404);
        }
        server.folder.write(&format!("root/{name}"), &name);
        let made = std::time::Instant::now();
        let mut seen = false;
        while made.elapsed() < Duration::from_millis(60) {
            let response = client.get(&target);
            match response.status {
                200 => assert_eq!(response.text(), name),
                404 => assert!(!seen, "{target} was there and is missing again"),
                other => panic!("{target}: {other}"),
            }
            seen |= response.status == 200;
        }
    }
}

#[test]
fn sec_4_one_404_differs_from_another_by_its_id_alone() {
    let server = Setup::new().args(&["--max-requests", "0"]).start();
    let long = format!("/{}", "n".repeat(7000));
    let deep = format!("/{}", "d/".repeat(1000));
    let targets =
        ["/missing", "/another/one.html", "/%3Cscript%3E", &*long, &*deep, "/missing?query", "/missing"];
    for accept in ["", "Accept: text/html\r\n", "Accept: application/json\r\n"] {
        let mut client = server.connect();
        let plain = |response: &Response| {
            let id = id(response).to_owned();
            let lasting =
                |name: &str| !["date", "x-request-id"].contains(&name.to_ascii_lowercase().as_str());
            let fields: Vec<_> = response.fields.iter().filter(|(name, _)| lasting(name)).cloned().collect();
            (response.status, fields, response.text().replace(&id, "ID"))
        };
        let first = ask(&mut client, "GET", "/first", accept);
        assert_eq!(first.status, 404);
        let mut ids = HashSet::from([id(&first).to_owned()]);
        for target in targets {
            let response = ask(&mut client, "GET", target, accept);
            assert_eq!(plain(&response), plain(&first), "{target}");
            assert!(ids.insert(id(&response).to_owned()), "{target}: an id twice");
            assert!(!response.text().contains("nnnn") && !response.text().contains("script>"), "{target}");
            let head = ask(&mut client, "HEAD", target, accept);
            assert_eq!((head.status, head.body.len()), (404, 0), "{target}");
            assert_eq!(head.field("content-length"), first.field("content-length"), "{target}");
            assert_eq!(head.field("content-type"), first.field("content-type"), "{target}");
            assert!(ids.insert(id(&head).to_owned()), "{target}: an id twice");
        }
    }
}

const HOT: usize = 50;

fn hot(number: usize) -> String {
    format!("{number} is hot\n").repeat(1000)
}

/// Asks for names from `from` on that nobody ever made, many at once, and for hot files in between.
fn flood(server: &Server, from: usize, count: usize) -> HashSet<String> {
    const BATCH: usize = 40;
    let mut client = server.connect();
    let mut ids = HashSet::new();
    for batch in (from..from + count).step_by(BATCH) {
        let names = batch..batch + BATCH;
        let requests = names.map(|name| {
            format!("GET /missing/{name}/page-{name}.html HTTP/1.1\r\nHost: {}\r\n\r\n", server.host())
        });
        client.send(requests.collect::<String>());
        for _ in 0..BATCH {
            let response = client.response();
            assert_eq!((response.status, response.closes()), (404, false));
            ids.insert(id(&response).to_owned());
        }
        let number = batch / BATCH % HOT;
        let response = client.get(&format!("/hot/{number}.html"));
        assert_eq!((response.status, response.text()), (200, hot(number)));
    }
    assert_eq!(ids.len(), count, "each has an id of its own");
    ids
}

/// A hundred thousand names that are not there: none is kept at the cost of what is.
#[test]
fn row_h5_sec_4_a_flood_of_missing_names_takes_no_memory() {
    const EACH: usize = 10_000;
    let file = |setup: Setup, number: usize| setup.file(&format!("hot/{number}.html"), hot(number));
    let setup = Setup::new().args(&["--max-requests", "0", "--workers", "2"]);
    let server = (0..HOT).fold(setup, file).start();
    let all = |first: usize| {
        std::thread::scope(|scope| {
            let floods: Vec<_> = (0..5)
                .map(|at| {
                    let server = &server;
                    scope.spawn(move || flood(server, first + at * EACH, EACH))
                })
                .collect();
            floods.into_iter().flat_map(|flood| flood.join().unwrap()).collect::<HashSet<_>>()
        })
    };
    let mut ids = all(0);
    let before = server.memory_kib();
    ids.extend(all(5 * EACH));
    let grown = server.memory_kib().saturating_sub(before);
    assert!(grown < 8 * 1024, "{grown} KiB for fifty thousand names more");
    assert_eq!(ids.len(), 10 * EACH, "each has an id of its own");
    for number in 0..HOT {
        assert_eq!(server.get(&format!("/hot/{number}.html")).text(), hot(number));
    }
    // One of the names is made at last, though it was told to be missing.
    server.folder.write("root/missing/99999/page-99999.html", "made");
    std::thread::sleep(STALE);
    assert_eq!(server.get("/missing/99999/page-99999.html").text(), "made");
}
