//! Content codings that the operator made: sidecars beside the file, chosen by `Accept-Encoding` (SPEC FILE-6;
//! RFC 9110 §8.4, §12.5.3). Their validators and ranges are in `codings_tags`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod coded;
mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use coded::sidecar::{
    PLAIN, SECOND, check, found, modified, one_worker, server, sidecar, touch, with_sidecars,
};
use coded::{Coding, ask, coding_of, get, has_tools};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use support::{Server, Setup};

/// Values of `Accept-Encoding`, and what must be chosen where all three sidecars are there.
const CHOICES: [(&str, Option<Coding>); 47] = [
    ("br", Some(Coding::Br)),
    ("zstd", Some(Coding::Zstd)),
    ("gzip", Some(Coding::Gzip)),
    // RFC 9110 §8.4.1.3: a recipient takes x-gzip for gzip.
    ("x-gzip", Some(Coding::Gzip)),
    ("BR", Some(Coding::Br)),
    ("GZip", Some(Coding::Gzip)),
    ("gzip, deflate, br, zstd", Some(Coding::Br)),
    ("gzip, deflate, zstd", Some(Coding::Zstd)),
    ("gzip, deflate", Some(Coding::Gzip)),
    ("gzip,zstd,br", Some(Coding::Br)),
    ("gzip\t,\t zstd", Some(Coding::Zstd)),
    (", ,gzip, ,", Some(Coding::Gzip)),
    ("br;q=1, zstd;q=1, gzip;q=1", Some(Coding::Br)),
    ("br;q=0.5, zstd;q=0.5, gzip;q=0.5", Some(Coding::Br)),
    ("br;q=0.9, zstd;q=0.9, gzip", Some(Coding::Gzip)),
    ("br;q=0.998, zstd;q=0.999", Some(Coding::Zstd)),
    ("gzip;q=0.002, br;q=0.001", Some(Coding::Gzip)),
    ("br;q=0.5, gzip;q=0.50, zstd;q=0.500", Some(Coding::Br)),
    ("gzip ; q=0.5 , br ; q=0.4", Some(Coding::Gzip)),
    ("gzip;Q=0.6, br;Q=0.5", Some(Coding::Gzip)),
    ("br;q=1.000, gzip;q=1.0", Some(Coding::Br)),
    ("br;q=0.001", Some(Coding::Br)),
    ("br;q=0", None),
    ("br;q=0.0, gzip;q=0.000", None),
    ("br;q=0, gzip", Some(Coding::Gzip)),
    ("br;q=0, zstd;q=0, gzip;q=0", None),
    ("*", Some(Coding::Br)),
    ("*;q=0.1", Some(Coding::Br)),
    ("*;q=0", None),
    ("br;q=0, *", Some(Coding::Zstd)),
    ("br;q=0, zstd;q=0, *;q=0.3", Some(Coding::Gzip)),
    ("*, br;q=0", Some(Coding::Zstd)),
    ("gzip, *;q=0", Some(Coding::Gzip)),
    ("gzip;q=0.5, *;q=0.8", Some(Coding::Br)),
    ("gzip;q=0.8, *;q=0.5", Some(Coding::Gzip)),
    ("identity", None),
    ("identity, br;q=0.5", None),
    ("br;q=0.5, identity;q=0.4", Some(Coding::Br)),
    ("identity;q=0, gzip", Some(Coding::Gzip)),
    ("identity;q=0.5, *;q=0.6", Some(Coding::Br)),
    // Nothing that is there is accepted: the file as it is serves better than a refusal (RFC 9110 §12.5.3).
    ("identity;q=0", None),
    ("identity;q=0, *;q=0", None),
    ("deflate", None),
    ("compress, deflate, bzip2", None),
    ("brotli", None),
    ("xbr, brx, br-x, gzipx, zstdx", None),
    ("", None),
];

#[test]
fn file_6_accept_encoding_chooses_among_sidecars() {
    if !has_tools("file_6_accept_encoding_chooses_among_sidecars") {
        return;
    }
    let server = server();
    let mut client = server.connect();
    for (accepted, coding) in CHOICES {
        check(&get(&mut client, "/page.html", accepted), coding, accepted);
    }
    check(&client.get("/page.html"), None, "no field");
    let two_lines = ask(&mut client, "GET", "/page.html", "Accept-Encoding: gzip\r\nAccept-Encoding: br\r\n");
    check(&two_lines, Some(Coding::Br), "two field lines are one list");
    let two_lines =
        ask(&mut client, "GET", "/page.html", "Accept-Encoding: br;q=0\r\naccept-encoding: *\r\n");
    check(&two_lines, Some(Coding::Zstd), "two field lines are one list");
}

/// Whatever is made of it, the bytes are those that the answer says they are.
#[test]
fn file_6_a_malformed_accept_encoding_gets_a_right_answer() {
    if !has_tools("file_6_a_malformed_accept_encoding_gets_a_right_answer") {
        return;
    }
    let server = server();
    let mut client = server.connect();
    let long = "a,".repeat(3000);
    let deep = format!("br{}", ";q=0".repeat(1500));
    for accepted in [
        ",",
        ";",
        "=",
        ";q=1",
        "br;",
        "br;q",
        "br;q=",
        "br;q=2",
        "br;q=-1",
        "br;q=0.0001",
        "br;q=1.001",
        "br;q=.5",
        "br;q=NaN",
        "br;q=1e0",
        "br;q=0;q=1",
        "br;q=0, br",
        "br gzip",
        "br;q=1 gzip",
        "\"br\"",
        "br;level=5",
        "**",
        "*;*",
        "br\u{a0}",
        &long,
        &deep,
    ] {
        let response = get(&mut client, "/page.html", accepted);
        let coding = coding_of(&response);
        check(&response, coding, accepted);
    }
}

#[test]
fn file_6_only_the_sidecars_that_are_there_count() {
    if !has_tools("file_6_only_the_sidecars_that_are_there_count") {
        return;
    }
    let setup = with_sidecars(one_worker(), "gz.html", &[Coding::Gzip], SECOND);
    let setup = with_sidecars(setup, "dir/index.html", &[Coding::Zstd], SECOND);
    let setup = with_sidecars(setup, ".well-known/page.html", &[Coding::Br], SECOND);
    let server = with_sidecars(setup, "none.html", &[], 0).start();
    for (target, coding) in
        [("/gz.html", Coding::Gzip), ("/dir/", Coding::Zstd), ("/.well-known/page.html", Coding::Br)]
    {
        found(&server, target, coding);
        let mut client = server.connect();
        check(&get(&mut client, target, "br, zstd, gzip"), Some(coding), target);
        let others: Vec<_> = Coding::ALL.into_iter().filter(|other| *other != coding).collect();
        let others = others.into_iter().map(Coding::token).collect::<Vec<_>>().join(", ");
        check(&get(&mut client, target, &others), None, &others);
    }
    let response = get(&mut server.connect(), "/none.html", "br, zstd, gzip");
    assert_eq!((response.status, coding_of(&response)), (200, None));
    assert!(response.body == PLAIN);
}

/// A sidecar that was forgotten when its file was edited would show the old text for ever.
#[test]
fn file_6_a_sidecar_older_than_its_file_is_not_used() {
    if !has_tools("file_6_a_sidecar_older_than_its_file_is_not_used") {
        return;
    }
    let setup = with_sidecars(one_worker(), "older.html", &Coding::ALL, -1);
    let setup = with_sidecars(setup, "much-older.html", &Coding::ALL, -3600 * SECOND);
    let server = with_sidecars(setup, "same.html", &Coding::ALL, 0).start();
    found(&server, "/same.html", Coding::Br);
    for coding in Coding::ALL {
        // On a worker that knows the file not yet, the first answer may be as it is.
        found(&server, "/same.html", coding);
        for target in ["/older.html", "/much-older.html"] {
            stays_plain(&server, target, coding.token());
        }
    }
}

/// Asked some times over, so that what is looked up late is seen as well.
fn stays_plain(server: &Server, target: &str, accepted: &str) {
    for _ in 0..4 {
        let response = get(&mut server.connect(), target, accepted);
        assert_eq!((response.status, coding_of(&response)), (200, None), "{target} {accepted}");
        assert!(response.body == PLAIN, "{target} {accepted}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sidecars are names like others: what may not be served as itself is not served as a coding.
#[test]
fn row_c2_file_6_a_sidecar_that_is_no_file_of_the_root_is_not_used() {
    if !has_tools("row_c2_file_6_a_sidecar_that_is_no_file_of_the_root_is_not_used") {
        return;
    }
    let names = ["outside.html", "absolute.html", "fifo.html", "folder.html", "dangling.html", "loop.html"];
    let setup =
        names.iter().fold(Setup::new().args(&["--threads", "2"]), |setup, name| setup.file(name, PLAIN));
    let root = setup.root();
    for name in names {
        touch(&root.join(name), modified(0));
    }
    let outside = setup.folder.write("outside.br", Coding::Br.encode(b"SECRET: this lies outside"));
    symlink("../outside.br", root.join("outside.html.br")).unwrap();
    symlink(outside, root.join("absolute.html.br")).unwrap();
    let fifo = root.join("fifo.html.br");
    mknodat(CWD, fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR | Mode::ROTH, 0).unwrap();
    fs::create_dir(root.join("folder.html.br")).unwrap();
    symlink("nothing", root.join("dangling.html.br")).unwrap();
    symlink("loop.html.br", root.join("loop.html.br")).unwrap();
    let server = setup.start();
    for name in names {
        stays_plain(&server, &format!("/{name}"), "br");
    }
}

#[test]
fn file_6_a_sidecar_makes_no_name_of_its_own() {
    if !has_tools("file_6_a_sidecar_makes_no_name_of_its_own") {
        return;
    }
    let setup = with_sidecars(one_worker(), "page.html", &Coding::ALL, SECOND);
    let setup = with_sidecars(setup, ".hidden.html", &Coding::ALL, SECOND);
    let server = setup.file("lonely.html.br", sidecar(Coding::Br)).file("dir/.br", "x").start();
    for target in ["/lonely.html", "/.hidden.html", "/.hidden.html.br", "/dir/.br", "/dir/"] {
        assert_eq!(get(&mut server.connect(), target, "br").status, 404, "{target}");
    }
    // Asked for by its own name it is a file like any other, and not coded.
    for coding in Coding::ALL {
        let target = format!("/page.html.{}", coding.suffix());
        let response = get(&mut server.connect(), &target, "br, zstd, gzip");
        assert_eq!((response.status, coding_of(&response)), (200, None), "{target}");
        assert!(response.body == sidecar(coding), "{target}");
    }
}

#[test]
fn file_6_a_coded_attachment_is_an_attachment() {
    if !has_tools("file_6_a_coded_attachment_is_an_attachment") {
        return;
    }
    let server = with_sidecars(one_worker(), "notes.txt", &[Coding::Br], SECOND).start();
    let coded = found(&server, "/notes.txt", Coding::Br);
    assert_eq!(coded.field("content-disposition"), Some("attachment; filename=\"notes.txt\""));
    assert_eq!(coded.field("content-type"), Some("application/octet-stream"));
    assert!(coded.body == sidecar(Coding::Br));
}
