//! What a server that is killed leaves behind (SPEC UP-3, UP-4): what was acknowledged is there and whole, what
//! was not is invisible, and the next start sweeps what is left of it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod strace;
mod support;

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use strace::{Strace, is_root, names, stored_name};
use support::{Server, Setup, eventually};

/// A server of which the uploads outlive it.
fn beside(uploads: &Path) -> Setup {
    Setup::new().args(&["--uploads", uploads.to_str().unwrap()])
}

fn body(number: usize) -> String {
    format!("{{\"number\":{number},\"fill\":\"{}\"}}", "z".repeat(number % 50 * 400))
}

/// Names that a client may see.
fn visible(folder: &Path) -> Vec<String> {
    names(folder).into_iter().filter(|name| !name.starts_with('.')).collect()
}

#[test]
fn row_i3_up_4_an_acknowledged_upload_outlives_a_kill() {
    let keep = support::Folder::new();
    for round in 0..5 {
        let mut server = beside(&keep.0).start();
        let text = body(49 + round);
        let name = stored_name(&server.upload(text.as_bytes()));
        server.signal("KILL");
        server.wait();
        assert_eq!(std::fs::read_to_string(keep.0.join(&name)).unwrap(), text);
        let again = beside(&keep.0).start();
        assert_eq!(again.get(&format!("/uploads/{name}")).text(), text);
    }
    assert_eq!(names(&keep.0).len(), 5);
}

/// Uploads from several clients until the server is gone; returns what was acknowledged.
fn upload_until_killed(server: &mut Server) -> Vec<(String, String)> {
    let acknowledged = Mutex::new(Vec::new());
    let addr = server.addr;
    std::thread::scope(|scope| {
        for client in 0..8 {
            let acknowledged = &acknowledged;
            scope.spawn(move || {
                for number in 0.. {
                    let text = body(client * 1000 + number);
                    let Some(name) = try_upload(addr, &text) else { return };
                    acknowledged.lock().unwrap().push((name, text));
                }
            });
        }
        eventually("uploads are under way", || acknowledged.lock().unwrap().len() >= 20);
        server.signal("KILL");
        server.wait();
    });
    acknowledged.into_inner().unwrap()
}

/// The name of one stored upload; `None` once the server is gone.
fn try_upload(addr: std::net::SocketAddr, text: &str) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(addr).ok()?;
    stream.set_read_timeout(Some(support::SOON)).unwrap();
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: {addr}\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(text.as_bytes()).ok()?;
    let mut response = Vec::new();
    let _ = stream.read_to_end(&mut response);
    let response = String::from_utf8(response).unwrap();
    let (_, tail) = response.split_once("Location: /uploads/")?;
    assert!(response.starts_with("HTTP/1.1 201 "), "{response}");
    Some(tail.split_once("\r\n")?.0.to_owned())
}

#[test]
fn row_i3_up_4_a_kill_amid_many_uploads_loses_nothing_acknowledged_and_shows_nothing_half() {
    let keep = support::Folder::new();
    let mut acknowledged = Vec::new();
    for _ in 0..2 {
        let mut server = beside(&keep.0).start();
        acknowledged.extend(upload_until_killed(&mut server));
        for name in visible(&keep.0) {
            let text = std::fs::read_to_string(keep.0.join(&name)).unwrap();
            let whole: serde_json::Value = serde_json::from_str(&text).unwrap();
            let number = usize::try_from(whole["number"].as_u64().unwrap()).unwrap();
            assert_eq!(text, body(number), "{name} is visible and not whole");
        }
    }
    for (name, text) in &acknowledged {
        assert_eq!(std::fs::read_to_string(keep.0.join(name)).unwrap(), *text, "{name}");
    }
    let server = beside(&keep.0).start();
    assert!(names(&keep.0).iter().all(|name| !name.starts_with('.')), "staging files are swept");
    let (name, text) = &acknowledged[0];
    assert_eq!(server.get(&format!("/uploads/{name}")).text(), *text);
}

/// Where unnamed files are not to be had, a kill leaves a dot-named file: never served, swept at the next start.
#[test]
fn row_i3_up_3_a_staging_file_left_by_a_kill_is_hidden_and_swept() {
    if !is_root("row_i3_up_3_a_staging_file_left_by_a_kill_is_hidden_and_swept") {
        return;
    }
    let keep = support::Folder::new();
    let mut server = beside(&keep.0).args(&["--threads", "1"]).start();
    let faults = ["-e", "trace=openat,fsync", "-e", "inject=openat:error=EOPNOTSUPP:when=1"];
    let slow = ["-e", "inject=fsync:delay_enter=15000000:when=1"];
    let strace =
        Strace::attach(&server, "pool-", &[faults, [slow[0], slow[1], "-e", "signal=none"]].concat());
    let mut client = server.connect();
    client.send_request(
        "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 8\r\n",
        b"[\"half\"]",
    );
    eventually("a staging file", || !names(&keep.0).is_empty());
    let left = names(&keep.0);
    assert!(left.iter().all(|name| name.starts_with(".tidegate-") && name.ends_with(".tmp")), "{left:?}");
    assert_eq!(server.get(&format!("/uploads/{}", left[0])).status, 404);
    server.signal("KILL");
    server.wait();
    drop(strace);
    assert_eq!(names(&keep.0), left, "the kill left it behind");
    let _again = beside(&keep.0).start();
    assert!(names(&keep.0).is_empty(), "and the next start swept it");
}

#[test]
fn row_e6_row_i2_up_3_a_client_that_leaves_amid_its_upload_leaves_nothing() {
    let server = Server::start(&["--threads", "2"]);
    assert_eq!(server.get("/healthz").status, 200);
    let before = server.descriptors();
    let head = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\n";
    for (fields, part) in [
        ("Content-Length: 100000\r\n", "[1"),
        ("Content-Length: 2\r\n", "1"),
        ("Content-Length: 10\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "2\r\n[]\r\n"),
        ("Transfer-Encoding: chunked\r\n", "2\r\n[]\r\n0\r\n"),
        ("Transfer-Encoding: chunked\r\n", "2\r\n["),
    ] {
        for reset in [false, true] {
            let mut client = server.connect();
            client.send_request(&format!("{head}{fields}"), part.as_bytes());
            if reset {
                std::thread::sleep(Duration::from_millis(20));
                drop(client);
            } else {
                client.finish();
                let response = client.response();
                assert_eq!(response.status, 400, "{fields}{part}");
                assert!(response.closes());
            }
        }
    }
    eventually("no connection is left", || server.descriptors() <= before);
    assert!(names(&server.uploads()).is_empty());
}

/// A client may be gone when its upload is stored; the file is whole then, or not there.
#[test]
fn up_4_a_client_that_leaves_before_the_answer_leaves_a_whole_file_or_none() {
    let server = Server::start(&[]);
    let text = body(30);
    for _ in 0..20 {
        let mut client = server.connect();
        let head = format!(
            "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            text.len()
        );
        client.send_request(&head, text.as_bytes());
        drop(client);
    }
    let last = stored_name(&server.upload(b"[\"last\"]"));
    std::thread::sleep(Duration::from_millis(100));
    for name in names(&server.uploads()).iter().filter(|name| **name != last) {
        assert_eq!(std::fs::read_to_string(server.uploads().join(name)).unwrap(), text);
    }
}
