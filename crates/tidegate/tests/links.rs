//! What a name below the root may lead to: links that stay beneath it, nothing that leaves it, and nothing
//! that is no file (SPEC FILE-4).

#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test may fail loudly")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, RenameFlags, makedev, mknodat, renameat_with};
use support::{SOON, Server, Setup, eventually};

const SECRET: &str = "SECRET: this lies outside";

/// A root with `inside.html` and `dir/page.html`, and beside it what no link may reach.
///
/// Without the sandbox, which would keep the outside from a server that follows such a link.
fn setup() -> Setup {
    let setup = Setup::new().args(&["--no-sandbox"]);
    let setup = setup.file("inside.html", "inside").file("dir/page.html", "page");
    setup.folder.write("outside.html", SECRET);
    setup.folder.write("beside/page.html", SECRET);
    setup.folder.write("beside/index.html", SECRET);
    // A name that begins like the root's.
    setup.folder.write("rootless/page.html", SECRET);
    setup
}

fn link(setup: &Setup, target: impl AsRef<Path>, name: &str) {
    let path = setup.root().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    symlink(target, path).unwrap();
}

#[test]
fn file_4_links_that_stay_beneath_the_root_are_followed() {
    let setup = setup();
    for (target, name) in [
        ("inside.html", "direct.html"),
        ("direct.html", "chain.html"),
        ("dir", "folder"),
        ("../inside.html", "dir/up.html"),
        ("../dir/../dir/page.html", "dir/around.html"),
        ("../../inside.html", "dir/deep/up.html"),
        ("dir/page.html", "attachment.txt"),
    ] {
        link(&setup, target, name);
    }
    fs::create_dir(setup.root().join("linked-index")).unwrap();
    link(&setup, "../inside.html", "linked-index/index.html");
    let server = setup.start();
    for (target, body) in [
        ("/direct.html", "inside"),
        ("/chain.html", "inside"),
        ("/folder/page.html", "page"),
        ("/dir/up.html", "inside"),
        ("/dir/around.html", "page"),
        ("/dir/deep/up.html", "inside"),
        ("/linked-index/", "inside"),
        ("/attachment.txt", "page"),
    ] {
        let response = server.get(target);
        assert_eq!((response.status, response.text().as_str()), (200, body), "{target}");
    }
    // What it is called decides how it is shown, not what it leads to.
    assert!(server.get("/attachment.txt").field("content-disposition").is_some());
}

#[test]
fn row_c2_file_4_no_link_leaves_the_root() {
    let setup = setup();
    let outside = setup.folder.0.clone();
    link(&setup, "../outside.html", "relative.html");
    link(&setup, outside.join("outside.html"), "absolute.html");
    link(&setup, "/etc/passwd", "passwd");
    link(&setup, "../beside", "out");
    link(&setup, outside.join("beside"), "abs-out");
    link(&setup, "../rootless", "like-root");
    link(&setup, "/", "top");
    link(&setup, "..", "parent");
    link(&setup, "relative.html", "chain.html");
    link(&setup, "../../outside.html", "dir/two-up.html");
    link(&setup, "../root/inside.html", "out-and-back.html");
    link(&setup, "/proc/self/root", "magic");
    link(&setup, "/proc/self/cwd/outside.html", "magic-cwd.html");
    link(&setup, "../../outside.html", "indexed/index.html");
    link(&setup, "../nothing-there.html", "dangling-out.html");
    let server = setup.start();
    for (index, target) in [
        "/relative.html",
        "/absolute.html",
        "/passwd",
        "/out/page.html",
        "/out/",
        "/out/missing.html",
        "/abs-out/page.html",
        "/like-root/page.html",
        "/top/etc/passwd",
        "/parent/outside.html",
        "/chain.html",
        "/dir/two-up.html",
        "/out-and-back.html",
        "/magic/etc/passwd",
        "/magic-cwd.html",
        "/indexed/",
        "/dangling-out.html",
    ]
    .into_iter()
    .enumerate()
    {
        if index == 9 {
            // Beyond ten events a second they are only counted (SEC-5).
            std::thread::sleep(Duration::from_millis(1100));
        }
        let response = server.get(target);
        assert_eq!((response.status, response.code().as_str()), (403, "traversal"), "{target}");
        let id = response.field("x-request-id").unwrap().to_owned();
        let is_event = |line: &String| line.contains("security: traversal") && line.contains(&id);
        eventually(target, || server.log().iter().any(is_event));
    }
    for target in ["/out", "/top", "/parent"] {
        let response = server.get(target);
        assert_eq!((response.status, response.field("location")), (403, None), "{target}");
    }
    assert_eq!(server.get("/inside.html").text(), "inside");
}

/// Every way to a file: by itself, as an index, beside one in a coding, as a page for what is missing or for trouble,
/// as the application, in a listing, as an upload, and below the one folder that may begin with a dot.
#[test]
fn row_c2_file_4_no_route_follows_a_link_out() {
    let setup = setup().args(&["--listing", "--spa", "--threads", "2", "--max-requests", "0"]);
    for name in [
        "index.html",
        "plain.html",
        "indexed/index.html",
        "inside.html.gz",
        "inside.html.br",
        "inside.html.zst",
        "404.html",
        "50x.html",
        "uploads/taken.json",
        ".well-known/security.txt",
        "attachment.txt",
    ] {
        let up = "../".repeat(1 + name.matches('/').count());
        link(&setup, format!("{up}outside.html"), name);
    }
    link(&setup, "../../beside", "dir/out");
    let server = setup.start();
    let targets = [
        "/",
        "/index.html",
        "/plain.html",
        "/indexed/",
        "/inside.html",
        "/inside.html.gz",
        "/inside.html.br",
        "/missing",
        "/404.html",
        "/50x.html",
        "/uploads/taken.json",
        "/.well-known/security.txt",
        "/attachment.txt",
        "/dir/",
        "/dir/out/",
        "/dir/out/page.html",
    ];
    let mut client = server.connect();
    for target in targets {
        for accept in ["text/html", "application/json", "*/*"] {
            let coding = "Accept-Encoding: br, zstd, gzip\r\n";
            client.send_request(&format!("GET {target} HTTP/1.1\r\nAccept: {accept}\r\n{coding}"), b"");
            let response = client.response();
            let text = String::from_utf8_lossy(&response.body);
            assert!(!text.contains("SECRET"), "{target} {accept}: {} {text}", response.status);
            let is_inside = matches!(target, "/inside.html" | "/dir/");
            assert_eq!(response.status == 200, is_inside, "{target} {accept}: {}", response.status);
        }
    }
}

#[test]
fn file_4_links_that_lead_nowhere_are_404() {
    let setup = setup();
    link(&setup, "nothing.html", "dangling.html");
    link(&setup, "loop.html", "loop.html");
    link(&setup, "b", "a");
    link(&setup, "a", "b");
    let server = setup.start();
    for target in ["/dangling.html", "/loop.html", "/a", "/a/x.html", "/dangling.html/x"] {
        assert_eq!(server.get(target).status, 404, "{target}");
    }
}

/// What was served from memory a moment ago is no reason to serve what its name leads to now.
#[test]
fn row_c3_file_4_a_served_name_that_becomes_a_way_out_is_refused() {
    let setup = setup();
    let root = setup.root();
    let server = setup.start();
    for target in ["/inside.html", "/dir/page.html"] {
        assert_eq!(server.get(target).status, 200);
    }
    fs::remove_file(root.join("inside.html")).unwrap();
    symlink("../outside.html", root.join("inside.html")).unwrap();
    fs::rename(root.join("dir"), root.join("was-dir")).unwrap();
    symlink("../beside", root.join("dir")).unwrap();
    let changed = Instant::now();
    for target in ["/inside.html", "/dir/page.html"] {
        loop {
            let begun = Instant::now();
            let response = server.get(target);
            assert!(!response.text().contains("SECRET"), "{target}");
            if response.status == 403 {
                break;
            }
            assert!(
                begun - changed <= Duration::from_secs(1),
                "{target} is served {:?} later",
                begun - changed
            );
        }
    }
}

/// The kernel gives up on a `..` in a link while it races with a rename, anywhere on the machine (EAGAIN).
#[test]
fn file_4_renames_elsewhere_do_not_break_links() {
    let setup = setup().args(&["--max-requests", "0"]);
    for number in 0..400 {
        link(&setup, "../inside.html", &format!("dir/up-{number}.html"));
    }
    let elsewhere = setup.folder.write("busy/one", "");
    let other = setup.folder.write("busy/two", "");
    let server = setup.start();
    let asked = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Bounded, so that a failure elsewhere does not leave it running.
            let begun = Instant::now();
            while !asked.load(Relaxed) && begun.elapsed() < Duration::from_secs(10) {
                renameat_with(CWD, &elsewhere, CWD, &other, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let mut client = server.connect();
        for number in 0..400 {
            let response = client.get(&format!("/dir/up-{number}.html"));
            assert_eq!(response.status, 200, "link {number}");
        }
        asked.store(true, Relaxed);
    });
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR | Mode::ROTH, 0).unwrap();
}

/// Opening a FIFO to read waits for a writer: a pool of two threads would be stuck after two such requests.
#[test]
fn row_c5_file_4_what_is_no_file_is_404_at_once() {
    let setup = Setup::new().args(&["--threads", "2", "--queue", "4"]).file("page.html", "page");
    let root = setup.root();
    for name in ["fifo-index", "socket-index"] {
        fs::create_dir(root.join(name)).unwrap();
    }
    fifo(&root.join("fifo"));
    fifo(&root.join("fifo.html"));
    fifo(&root.join("fifo-index/index.html"));
    symlink("fifo", root.join("link-to-fifo")).unwrap();
    // A short name: the path of a unix socket has 107 bytes.
    let socket = UnixListener::bind(root.join("socket")).unwrap();
    let _index = UnixListener::bind(root.join("socket-index/index.html")).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut targets =
        vec!["/fifo", "/fifo.html", "/fifo-index/", "/link-to-fifo", "/socket", "/socket-index/"];
    let device = mknodat(CWD, root.join("zero"), FileType::CharacterDevice, Mode::ROTH, makedev(1, 5));
    let tape = mknodat(CWD, root.join("terminal"), FileType::CharacterDevice, Mode::ROTH, makedev(5, 0));
    if device.is_ok() && tape.is_ok() {
        targets.extend(["/zero", "/terminal"]);
    } else {
        assert!(std::env::var_os("CI").is_none(), "making device nodes needs root");
        println!("skipped: device nodes need root");
    }
    let server = setup.start();
    for _ in 0..4 {
        for target in &targets {
            let response = server.get(target);
            assert_eq!((response.status, response.code().as_str()), (404, "not_found"), "{target}");
        }
    }
    assert!(socket.accept().is_err(), "nobody connected to the socket");
    assert_eq!(server.get("/page.html").text(), "page");
    assert!(server.cpu_seconds() < 5.0, "no thread reads a device");
}

/// Asks for files of `names` under changing names until told to stop, and counts both kinds of answer.
fn ask(server: &Server, stop: &AtomicBool, seed: u32, seen: [&AtomicU32; 2]) {
    let mut client = server.connect();
    let mut number = seed;
    while !stop.load(Relaxed) {
        // Many names, so that what is remembered of one does not answer for the next.
        number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let pick = (number >> 16) % 300;
        let target = if pick < 30 { "/swapped.html".to_owned() } else { format!("/swapped/{pick}.html") };
        let response = client.get(&target);
        match response.status {
            200 => assert_eq!(response.text(), "inside", "{target}"),
            403 => assert!(!response.text().contains("SECRET"), "{target}"),
            // Between the two look-ups of one open.
            404 => {}
            other => panic!("{target}: {other}"),
        }
        if let Some(at) = [200, 403].iter().position(|status| *status == response.status) {
            seen[at].fetch_add(1, Relaxed);
        }
    }
}

/// A check of the name followed by an opening of the name would lose this race (CVE class TOCTOU).
///
/// `SWAPPED_GETS=1000000` asks for more than a test run has time for.
#[test]
fn row_c3_file_4_swapping_a_file_for_a_link_never_shows_the_outside() {
    let setup = setup().args(&["--max-requests", "0"]).file("swapped.html", "inside");
    for number in 0..300 {
        setup.folder.write(&format!("root/swapped/{number}.html"), "inside");
        setup.folder.write(&format!("elsewhere/{number}.html"), SECRET);
    }
    let root = setup.root();
    link(&setup, "../outside.html", "spare.html");
    link(&setup, "../elsewhere", "spare");
    let server = setup.start();
    let wanted = std::env::var("SWAPPED_GETS").map_or(0, |count| count.parse::<u32>().unwrap());
    let (stop, inside, refused) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
    let swap = |one: &str, other: &str| {
        renameat_with(CWD, root.join(one), CWD, root.join(other), RenameFlags::EXCHANGE).unwrap();
    };
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let (server, stop, seen) = (&server, &stop, [&inside, &refused]);
            scope.spawn(move || ask(server, stop, seed, seen));
        }
        let begun = Instant::now();
        let mut swaps = 0_u32;
        let count = || (inside.load(Relaxed), refused.load(Relaxed));
        let met = || count().0 > 20 && count().1 > 20 && count().0 + count().1 >= wanted;
        let patience = if wanted == 0 { SOON } else { 60 * SOON };
        while begun.elapsed() < Duration::from_secs(3) || (!met() && begun.elapsed() < patience) {
            swap("swapped.html", "spare.html");
            swap("swapped", "spare");
            swaps += 1;
            if swaps.is_multiple_of(16) {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        stop.store(true, Relaxed);
    });
    let seen = (inside.load(Relaxed), refused.load(Relaxed));
    println!("{seen:?} GETs of the file and of the link while they were swapped");
    assert!(seen.0 > 20 && seen.1 > 20 && seen.0 + seen.1 >= wanted, "both were met: {seen:?}");
}
