//! Faults that were found by attacking the server, each held down by a test of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;

use std::io::{ErrorKind, Read};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{Server, Setup, eventually};

/// The idle time ran from the beginning of the last request, so that a slow upload used it up.
#[test]
fn h1_3_idle_time_counts_from_the_end_of_a_slow_request() {
    let server = Server::start(&["--keep-alive", "3s"]);
    let mut client = server.connect();
    let head = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n";
    client.send_request(head, b"{");
    std::thread::sleep(Duration::from_millis(3500));
    client.send("}");
    assert_eq!(client.response().status, 201);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(client.get("/healthz").status, 200, "idle for less than a second");
}

/// The handlers were set only after the server listened: a signal in between killed it.
#[test]
fn run_5_a_signal_at_start_is_heard() {
    for signal in ["TERM", "HUP"] {
        for round in 0..8 {
            let setup = Setup::new().args(&["--listen", "unix:s"]);
            let path = setup.folder.0.join("s");
            let mut child = setup.command().stdout(Stdio::null()).spawn().unwrap();
            eventually("it listens", || UnixStream::connect(&path).is_ok());
            for name in [signal, "TERM"] {
                let killed =
                    Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
                assert!(killed.unwrap().success());
                std::thread::sleep(Duration::from_millis(if name == "HUP" { 100 } else { 0 }));
                if signal == "TERM" {
                    break;
                }
            }
            assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}, round {round}");
        }
    }
}

/// A close with bytes unread reset the connection, and with it the part of the answer that was still queued.
#[test]
fn h1_9_late_bytes_of_a_closing_client_do_not_cost_it_the_answer() {
    let size = 8_000_000;
    let server = Setup::new().file("large.bin", vec![9; size]).start();
    let mut client = server.connect();
    client.send_request("GET /large.bin HTTP/1.1\r\nConnection: close\r\n", b"");
    std::thread::sleep(Duration::from_millis(200));
    client.send("\r\n");
    let mut received = 0;
    let mut piece = vec![0; 200_000];
    loop {
        std::thread::sleep(Duration::from_millis(5));
        match client.stream.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => received += count,
            // Where a read has a time limit the kernel may interrupt it for no reason of ours.
            Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted, "no reset"),
        }
    }
    assert!(received > size, "{received} bytes of head and body");
}

/// A browser tab closed during an upload was told as an attack, and a client that was gone was not told at all.
#[test]
fn obs_1_a_broken_off_upload_is_logged_and_is_no_alarm() {
    let mut server = Server::start(&[]);
    let mut client = server.connect();
    let head = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n";
    client.send_request(head, b"{");
    client.finish();
    assert_eq!(client.response().code(), "bad_framing");
    let line = server.wait_for_log("POST /upload");
    assert!(line.contains(" 400 "), "{line}");
    assert!(!server.log().iter().any(|line| line.contains("WARNING")), "{:#?}", server.log());
}

/// Look-ups of a name that changed a moment ago were remembered as if they had been verified.
#[test]
fn file_7_a_version_that_may_change_unseen_is_not_remembered() {
    let server = Setup::new().start();
    let path = server.root().join("a.txt");
    for round in 0..30 {
        std::fs::write(&path, format!("old {round:04}")).unwrap();
        let _ = server.get("/a.txt");
        std::fs::write(&path, format!("new {round:04}")).unwrap();
        std::thread::sleep(Duration::from_millis(1));
        let new = format!("new {round:04}");
        eventually("the new content", || server.get("/a.txt").text() == new);
    }
}

/// Uploads into a folder that had been removed were 500, without a word on why.
#[test]
fn up_3_a_removed_folder_is_said_and_files_are_served_on() {
    let mut server = Setup::new().file("a.html", "here").args(&["--uploads", "elsewhere"]).start();
    assert_eq!(server.upload(b"{}").status, 201);
    std::fs::remove_dir_all(server.folder.0.join("elsewhere")).unwrap();
    let refused = server.upload(b"{}");
    assert_eq!((refused.status, refused.code().as_str()), (503, "uploads_unavailable"));
    assert_eq!(server.get("/a.html").text(), "here");
    let line = server.wait_for_log("the uploads folder was removed");
    assert!(line.contains("WARNING"), "{line}");
}

/// With no time to drain and nothing open, the exit code claimed that requests were cut.
#[test]
fn run_5_no_time_to_drain_is_enough_where_nothing_is_open() {
    let mut server = Server::start(&["--drain", "0s"]);
    assert_eq!(server.get("/healthz").status, 200);
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

/// What was compressed of a file that somebody had open for writing, and might change unseen, was kept for ever.
#[test]
fn file_7_a_file_that_is_being_written_is_never_served_in_a_coding() {
    let setup = Setup::new().file("page.html", "<p>the tide comes in</p>".repeat(200));
    let writer = std::fs::File::options().append(true).open(setup.root().join("page.html")).unwrap();
    let server = setup.start();
    let coding = || {
        let response = server.request("GET /page.html HTTP/1.1\r\nAccept-Encoding: gzip\r\n", b"");
        assert_eq!(response.status, 200);
        response.field("content-encoding").map(str::to_owned)
    };
    for _ in 0..5 {
        assert_eq!(coding(), None);
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(writer);
    eventually("it is coded when the writer is gone", || coding().as_deref() == Some("gzip"));
}

/// Somebody who has a file for himself, as Samba does for its clients, and lets go of it when asked, got it answered
/// 500.
#[test]
fn file_1_a_file_leased_to_somebody_is_served_when_he_lets_go() {
    let setup = Setup::new().file("page.html", "page");
    let script = "import fcntl,os,signal,sys,time\n\
        f=open(sys.argv[1],'r+b')\n\
        def let_go(*_): time.sleep(0.1); f.close(); os._exit(0)\n\
        signal.signal(signal.SIGIO,let_go)\n\
        fcntl.fcntl(f,fcntl.F_SETLEASE,fcntl.F_WRLCK)\n\
        open(sys.argv[1]+'.leased','w').close()\n\
        while True: signal.pause()";
    let path = setup.root().join("page.html");
    let mut holder = Command::new("python3").arg("-c").arg(script).arg(&path).spawn().unwrap();
    eventually("it is leased", || path.with_extension("html.leased").exists());
    let server = setup.start();
    let response = server.get("/page.html");
    let _ = holder.kill();
    let _ = holder.wait();
    assert_eq!((response.status, response.text().as_str()), (200, "page"));
}

/// A log that was appended to all the time was cut in the middle, though it had been read whole.
#[test]
fn file_3_a_log_that_grows_is_sent_as_it_was_read() {
    let setup = Setup::new().file("growing.log", vec![b'a'; 300_000]);
    let mut log = std::fs::File::options().append(true).open(setup.root().join("growing.log")).unwrap();
    let server = setup.start();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                std::io::Write::write_all(&mut log, b"aaaaaaaaaaaaaaa\n").unwrap();
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        for _ in 0..8 {
            let response = server.get("/growing.log");
            assert_eq!(response.status, 200);
            assert!(response.body.len() >= 300_000 && response.body.starts_with(b"aaaa"));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// A folder called `index.html` was redirected to for ever.
#[test]
fn file_9_a_folder_called_index_is_no_page() {
    let setup = Setup::new().args(&["--spa"]).file("index.html/inner.html", "inner");
    let server = setup.start();
    for target in ["/", "/index.html", "/some/page"] {
        let response = server.request(&format!("GET {target} HTTP/1.1\r\nAccept: text/html\r\n"), b"");
        assert_eq!(response.status, 404, "{target}");
    }
    assert_eq!(server.get("/index.html/inner.html").text(), "inner");
}

/// Uploads that lay in the root under a name of their own were public there, and nobody was told.
#[test]
fn up_7_uploads_that_can_be_read_at_another_address_are_told() {
    let setup = Setup::new().file("incoming/.keep", "");
    let folder = setup.root().join("incoming");
    let server = setup.args(&["--uploads", folder.to_str().unwrap()]).start();
    let told = || server.log().iter().any(|line| line.contains("can be read at /incoming/ as well"));
    eventually("the warning", told);
    let plain = Server::start(&[]);
    assert!(!plain.log().iter().any(|line| line.contains("as well")));
}

/// A cache gave the page of an application to programs, for nothing said that it was for browsers.
#[test]
fn file_9_a_page_for_browsers_says_so() {
    let server = Setup::new().args(&["--spa"]).file("index.html", "application").start();
    let response = server.request("GET /some/page HTTP/1.1\r\nAccept: text/html\r\n", b"");
    assert_eq!((response.status, response.text().as_str()), (200, "application"));
    let varies = |name: &str| {
        let mut lines = response.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case("vary"));
        lines.any(|(_, value)| value.split(',').any(|listed| listed.trim().eq_ignore_ascii_case(name)))
    };
    assert!(varies("accept"), "{:?}", response.fields);
}

/// `gzip -k` beside a running server: what it had written so far went out as the whole.
#[test]
fn file_6_a_coding_that_is_still_being_written_is_none() {
    let setup = Setup::new().file("image.bin", vec![7; 5000]);
    let path = setup.root().join("image.bin.gz");
    let mut half = std::fs::File::create(&path).unwrap();
    std::io::Write::write_all(&mut half, &[0x1f, 0x8b, 8, 0]).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let server = setup.start();
    let coding = || {
        let response = server.request("GET /image.bin HTTP/1.1\r\nAccept-Encoding: gzip\r\n", b"");
        (response.status, response.field("content-encoding").map(str::to_owned))
    };
    assert_eq!(coding(), (200, None));
    drop(half);
    let other = Setup::new().file("image.bin", vec![7; 5000]).file("image.bin.gz", "whole");
    let server = other.start();
    let response = server.request("GET /image.bin HTTP/1.1\r\nAccept-Encoding: gzip\r\n", b"");
    assert_eq!(response.field("content-encoding"), Some("gzip"), "negative control");
}

/// A file in the middle of a long write had the tag of the new version and bytes of the old one: a range that was
/// resumed by `If-Range` joined the two, and a client that had half of a version was told 304 for ever.
#[test]
fn file_5_what_is_being_written_has_no_validator() {
    let setup = Setup::new().file("large.bin", vec![7; 3 << 20]).file("small.bin", "small");
    let writers = ["large.bin", "small.bin"]
        .map(|name| std::fs::File::options().append(true).open(setup.root().join(name)).unwrap());
    let server = setup.start();
    for target in ["/large.bin", "/small.bin"] {
        let response = server.get(target);
        assert_eq!((response.field("etag"), response.field("last-modified")), (None, None), "{target}");
        for condition in ["If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT", "If-None-Match: \"x\""] {
            let head = format!("GET {target} HTTP/1.1\r\n{condition}\r\n");
            assert_eq!(server.request(&head, b"").status, 200, "{target} {condition}");
        }
        let head = format!("GET {target} HTTP/1.1\r\nIf-Match: \"x\"\r\n");
        assert_eq!(server.request(&head, b"").status, 412, "{target}");
        let part = format!("GET {target} HTTP/1.1\r\nRange: bytes=0-1\r\n");
        assert_eq!(server.request(&part, b"").status, 206, "the end of a log may be asked for");
    }
    drop(writers);
    for target in ["/large.bin", "/small.bin"] {
        eventually("a strong tag", || {
            server.get(target).field("etag").is_some_and(|tag| tag.starts_with('"'))
        });
    }
}

/// What waited in our own socket turned into zeros when the file was truncated, and was sent before the connection was
/// cut.
#[test]
fn row_c6_h1_8_a_truncated_file_is_cut_before_its_zeros() {
    const SIZE: usize = 60_000_000;
    let setup = Setup::new().file("large.bin", vec![b'A'; SIZE]);
    let path = setup.root().join("large.bin");
    let server = setup.start();
    let mut client = server.connect();
    socket2::SockRef::from(&client.stream).set_recv_buffer_size(65_536).unwrap();
    client.send_request("GET /large.bin HTTP/1.1\r\n", b"");
    assert_eq!(client.try_response(true).unwrap().status, 200);
    std::thread::sleep(Duration::from_millis(500));
    std::fs::File::options().write(true).open(path).unwrap().set_len(3_000_000).unwrap();
    let (mut received, mut piece) = (0, vec![0; 100_000]);
    while let Ok(count @ 1..) = client.stream.read(&mut piece) {
        assert!(piece[..count].iter().all(|byte| *byte == b'A'), "zeros after {received} bytes");
        received += count;
    }
    assert!(received < SIZE, "it was cut");
}
