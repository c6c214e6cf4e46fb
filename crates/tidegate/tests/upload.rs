//! Uploads over the wire (SPEC UP-1, UP-3, UP-4, UP-6, UP-7): what is taken, under which name it is kept,
//! how it is answered and how it is read back. What is JSON is judged in `upload_json`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;

use std::collections::HashSet;
use std::path::Path;

use support::{Response, Server, Setup};

const JSON: &str = "Content-Type: application/json\r\n";

/// POSTs `body` with its length and the fields given.
fn post(server: &Server, fields: &str, body: &[u8]) -> Response {
    let head = format!("POST /upload HTTP/1.1\r\n{fields}Content-Length: {}\r\n", body.len());
    server.request(&head, body)
}

/// POSTs `body` in chunks of at most `size` bytes.
fn post_chunked(server: &Server, body: &[u8], size: usize) -> Response {
    let mut coded = Vec::new();
    for chunk in body.chunks(size) {
        coded.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        coded.extend_from_slice(chunk);
        coded.extend_from_slice(b"\r\n");
    }
    coded.extend_from_slice(b"0\r\n\r\n");
    server.request(&format!("POST /upload HTTP/1.1\r\n{JSON}Transfer-Encoding: chunked\r\n"), &coded)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The name in a 201, after everything around it was checked.
fn stored_name(response: &Response) -> String {
    assert_eq!(response.status, 201, "{}", response.text());
    let location = response.field("location").unwrap().to_owned();
    let name = location.strip_prefix("/uploads/").unwrap().to_owned();
    assert_eq!(
        response.text(),
        format!(
            "{{\"status\":\"success\",\"message\":\"File created successfully\",\"filepath\":\"{location}\"}}"
        )
    );
    assert_eq!(response.field("content-type"), Some("application/json"));
    assert_eq!(response.field("cache-control"), Some("no-store"));
    assert_name(&name);
    name
}

/// `upload_YYYYMMDD_HHMMSS_xxxxxx.json`
fn assert_name(name: &str) {
    let parts: Vec<_> = name.strip_suffix(".json").unwrap().split('_').collect();
    let [upload, date, time, random] = parts[..] else { panic!("{name}") };
    let digits = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    assert!(upload == "upload" && digits(date, 8) && digits(time, 6) && random.len() == 6, "{name}");
    assert!(random.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase()), "{name}");
}

#[test]
fn up_3_up_4_a_201_tells_the_name_and_the_bytes_are_kept_as_sent() {
    let server = Server::start(&[]);
    let body = b" {\"a\" : 1,\r\n\t\"a\":2 , \"\xc3\xa9\\ud800\":[1e999,-0.0]}\n\n";
    let before = std::time::SystemTime::now();
    let response = server.upload(body);
    let after = std::time::SystemTime::now();
    let name = stored_name(&response);
    assert_eq!(std::fs::read(server.uploads().join(&name)).unwrap(), body);
    assert_eq!(names(&server.uploads()), std::slice::from_ref(&name));
    // The moment in the name is in UTC, and that of the upload.
    let stamp = |time| {
        let date = httpdate::fmt_http_date(time);
        let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
            .iter()
            .position(|month| *month == &date[8..11])
            .unwrap()
            + 1;
        format!("{}{month:02}{}_{}", &date[12..16], &date[5..7], date[17..25].replace(':', ""))
    };
    let told = &name["upload_".len()..][..15];
    assert!(stamp(before).as_str() <= told && told <= stamp(after).as_str(), "{told}");
}

#[test]
fn row_h4_up_7_an_upload_is_read_back_as_json_that_nobody_keeps() {
    let server = Server::start(&[]);
    let body = format!("[\"{}\"]", "x".repeat(300_000));
    for body in [b"{\"small\":true}".as_slice(), body.as_bytes()] {
        let path = format!("/uploads/{}", stored_name(&server.upload(body)));
        let response = server.get(&path);
        assert_eq!((response.status, response.body.as_slice()), (200, body));
        assert_eq!(response.field("content-type"), Some("application/json"));
        assert_eq!(response.field("cache-control"), Some("no-store"));
        assert_eq!(response.field("content-disposition"), None);
        let head = server.request(&format!("HEAD {path} HTTP/1.1\r\n"), b"");
        assert_eq!(head.field("content-length"), Some(body.len().to_string().as_str()));
        assert_eq!(head.field("cache-control"), Some("no-store"));
    }
}

#[test]
fn row_c4_up_7_the_uploads_folder_itself_and_what_is_hidden_in_it_are_not_found() {
    let server = Server::start(&[]);
    stored_name(&server.upload(b"1"));
    std::fs::write(server.uploads().join(".tidegate-x.tmp"), "2").unwrap();
    std::fs::write(server.uploads().join("index.html"), "3").unwrap();
    std::fs::create_dir(server.uploads().join("folder")).unwrap();
    std::fs::write(server.uploads().join("folder/inner.json"), "4").unwrap();
    for target in [
        "/uploads",
        "/uploads/",
        "/uploads?x",
        "/uploads/.tidegate-x.tmp",
        "/uploads/folder",
        "/uploads/folder/",
        "/uploads/upload_20200101_000000_aaaaaa.json",
    ] {
        let response = server.get(target);
        assert_eq!((response.status, response.code().as_str()), (404, "not_found"), "{target}");
    }
}

#[test]
fn up_1_json_by_any_spelling_of_its_media_type() {
    let server = Server::start(&[]);
    for kind in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"latin1\"; x=y",
        "application/problem+json",
        "application/ld+JSON; profile=\"x\"",
        "model/gltf+json",
    ] {
        let response = post(&server, &format!("Content-Type: {kind}\r\n"), b"{}");
        assert_eq!(response.status, 201, "{kind}: {}", response.text());
    }
}

#[test]
fn row_d5_up_1_other_media_types_and_codings_are_415_and_nothing_is_kept() {
    let server = Server::start(&[]);
    for fields in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: text/json\r\n",
        "Content-Type: application/jsonx\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: multipart/form-data; boundary=json\r\n",
        "Content-Type: text/plain; x=application/json\r\n",
        "Content-Type:\r\n",
        "Content-Type: json\r\n",
    ] {
        let response = post(&server, fields, b"{}");
        assert_eq!((response.status, response.code().as_str()), (415, "not_json"), "{fields}");
        assert!(!response.closes(), "the body is little and was read: {fields}");
    }
    for coding in ["gzip", "br", "deflate", "identity, gzip", "x"] {
        let response = post(&server, &format!("{JSON}Content-Encoding: {coding}\r\n"), b"{}");
        assert_eq!((response.status, response.code().as_str()), (415, "content_encoding"), "{coding}");
    }
    assert!(names(&server.uploads()).is_empty());
    assert_eq!(post(&server, &format!("{JSON}Content-Encoding: Identity\r\n"), b"{}").status, 201);
}

#[test]
fn up_6_uploads_are_posted_to_one_path_only() {
    let server = Setup::new().file("page.html", "x").start();
    for target in ["/", "/page.html", "/upload/", "/uploads/x.json", "/uploads", "/nothing", "/healthz"] {
        let response =
            server.request(&format!("POST {target} HTTP/1.1\r\n{JSON}Content-Length: 2\r\n"), b"{}");
        assert_eq!((response.status, response.code().as_str()), (405, "method_not_allowed"), "{target}");
        assert_eq!(response.field("allow"), Some("GET, HEAD, OPTIONS"), "{target}");
    }
    for method in ["GET", "HEAD"] {
        let head = format!("{method} /upload HTTP/1.1\r\n");
        let response = server.request(&head, b"");
        assert_eq!(response.status, 405);
        assert_eq!(response.field("allow"), Some("POST, OPTIONS"));
    }
    assert_eq!(
        server.request(&format!("POST /upload?x=1 HTTP/1.1\r\n{JSON}Content-Length: 1\r\n"), b"1").status,
        201
    );
    assert_eq!(names(&server.uploads()).len(), 1);
}

#[test]
fn row_i2_up_1_h1_10_a_body_without_length_is_411_and_too_long_a_one_413() {
    let server = Server::start(&["--max-body", "1000B"]);
    let response = server.request(&format!("POST /upload HTTP/1.1\r\n{JSON}"), b"");
    assert_eq!((response.status, response.code().as_str()), (411, "length_required"));
    // By its announced length: answered though not a byte of it was sent.
    let response = server.request(&format!("POST /upload HTTP/1.1\r\n{JSON}Content-Length: 1001\r\n"), b"");
    assert_eq!((response.status, response.code().as_str()), (413, "body_too_large"));
    assert!(response.closes());
    // The order: 411 before 415, 413 before 415.
    assert_eq!(server.request("POST /upload HTTP/1.1\r\n", b"").status, 411);
    assert_eq!(server.request("POST /upload HTTP/1.1\r\nContent-Length: 1001\r\n", b"").status, 413);
    let string = |length: usize| format!("\"{}\"", "x".repeat(length - 2)).into_bytes();
    for (length, status) in [(1000, 201), (1001, 413)] {
        assert_eq!(post(&server, JSON, &string(length)).status, status, "{length} at once");
        for size in [7, 400, 2000] {
            let response = post_chunked(&server, &string(length), size);
            assert_eq!(response.status, status, "{length} in chunks of {size}");
        }
    }
    let endless = post_chunked(&server, &b" ".repeat(200_000), 1000);
    assert_eq!((endless.status, endless.code().as_str()), (413, "body_too_large"));
    assert_eq!(names(&server.uploads()).len(), 4);
}

#[test]
fn up_2_chunks_of_any_size_make_the_same_file() {
    let server = Server::start(&[]);
    let body = b"{\"chunks\":[1,2,3],\"text\":\"0\\r\\n\\r\\n\"}";
    for size in [1, 2, 3, 16, 1000] {
        let name = stored_name(&post_chunked(&server, body, size));
        assert_eq!(std::fs::read(server.uploads().join(name)).unwrap(), body, "chunks of {size}");
    }
    // Each byte of the coding in a segment of its own.
    let mut client = server.connect();
    client.send_request(&format!("POST /upload HTTP/1.1\r\n{JSON}Transfer-Encoding: chunked\r\n"), b"");
    for byte in b"1;ext=\"a\"\r\n[\r\n3\r\n1,2\r\n1\r\n]\r\n0\r\nTrailer: x\r\n\r\n" {
        client.send([*byte]);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let name = stored_name(&client.response());
    assert_eq!(std::fs::read(server.uploads().join(name)).unwrap(), b"[1,2]");
    assert_eq!(client.get("/healthz").status, 200, "the connection goes on behind the trailers");
}

#[test]
fn up_1_h1_6_a_wanted_body_is_asked_for_and_an_unwanted_one_is_not() {
    let server = Server::start(&[]);
    let expect = "Expect: 100-continue\r\n";
    let mut client = server.connect();
    client.send_request(&format!("POST /upload HTTP/1.1\r\n{JSON}{expect}Content-Length: 2\r\n"), b"");
    assert_eq!(client.read_response(false).unwrap().status, 100);
    client.send("{}");
    assert_eq!(client.read_response(false).unwrap().status, 201);
    for (fields, status) in [
        (format!("{JSON}Content-Length: 9999999\r\n"), 413),
        ("Content-Type: text/plain\r\nContent-Length: 2\r\n".to_owned(), 415),
        (format!("{JSON}Content-Encoding: gzip\r\nContent-Length: 2\r\n"), 415),
    ] {
        let mut client = server.connect();
        client.send_request(&format!("POST /upload HTTP/1.1\r\n{expect}{fields}"), b"");
        assert_eq!(client.read_response(false).unwrap().status, status, "no 100 before it");
    }
}

#[test]
fn row_i6_up_3_two_hundred_uploads_at_once_have_names_and_contents_of_their_own() {
    let server = Server::start(&["--threads", "10", "--queue", "200"]);
    let body = |number: usize| format!("{{\"number\":{number},\"fill\":\"{}\"}}", "y".repeat(number * 7));
    let stored: Vec<(String, String)> = std::thread::scope(|scope| {
        let uploads: Vec<_> = (0..200)
            .map(|number| {
                let (server, body) = (&server, body(number));
                scope.spawn(move || (stored_name(&server.upload(body.as_bytes())), body))
            })
            .collect();
        uploads.into_iter().map(|upload| upload.join().unwrap()).collect()
    });
    let distinct: HashSet<_> = stored.iter().map(|(name, _)| name).collect();
    assert_eq!(distinct.len(), 200);
    for (name, body) in &stored {
        assert_eq!(std::fs::read_to_string(server.uploads().join(name)).unwrap(), *body);
    }
    assert_eq!(names(&server.uploads()).len(), 200, "and nothing else is in the folder");
}

#[test]
fn up_3_pipelined_uploads_are_answered_in_order() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for number in 0..5 {
        client.send_request(
            &format!("POST /upload HTTP/1.1\r\n{JSON}Content-Length: 3\r\n"),
            format!("[{number}]").as_bytes(),
        );
    }
    for number in 0..5 {
        let name = stored_name(&client.response());
        assert_eq!(std::fs::read_to_string(server.uploads().join(name)).unwrap(), format!("[{number}]"));
    }
}

#[test]
fn up_3_up_7_the_folder_may_lie_elsewhere_and_is_created_with_its_parents() {
    let setup = Setup::new();
    let elsewhere = setup.folder.0.join("a/b/kept");
    let server = setup.args(&["--uploads", "a/b/kept"]).start();
    assert!(elsewhere.is_dir() && !server.uploads().exists());
    let name = stored_name(&server.upload(b"[1]"));
    assert_eq!(std::fs::read(elsewhere.join(&name)).unwrap(), b"[1]");
    assert_eq!(server.get(&format!("/uploads/{name}")).text(), "[1]");
    // A folder of that name in the root is not what /uploads shows.
    std::fs::create_dir(server.uploads()).unwrap();
    std::fs::write(server.uploads().join("other.json"), "2").unwrap();
    assert_eq!(server.get("/uploads/other.json").status, 404);
}

#[test]
fn up_3_without_a_folder_files_are_served_and_uploads_are_503() {
    let server = Setup::new()
        .file("page.html", "here")
        .file("blocked", "a file")
        .args(&["--uploads", "root/blocked/x"])
        .start();
    let mut server = server;
    server.wait_for_log("uploads are refused");
    assert_eq!(server.get("/page.html").text(), "here");
    let response = server.upload(b"{}");
    assert_eq!((response.status, response.code().as_str()), (503, "uploads_unavailable"));
    assert!(response.field("retry-after").is_some());
    assert_eq!(server.get("/uploads/x.json").status, 404);
    // The head is judged before the store: what is wrong with it is told first.
    assert_eq!(post(&server, "Content-Type: text/plain\r\n", b"{}").status, 415);
}

#[test]
fn row_c2_up_7_a_link_out_of_the_uploads_folder_leads_nowhere() {
    let setup = Setup::new();
    setup.folder.write("secret.json", "\"secret\"");
    std::fs::create_dir(setup.root().join("uploads")).unwrap();
    std::os::unix::fs::symlink("../../secret.json", setup.root().join("uploads/link.json")).unwrap();
    let server = setup.start();
    let response = server.get("/uploads/link.json");
    assert_eq!((response.status, response.code().as_str()), (403, "traversal"));
    for target in ["/uploads/../secret.json", "/uploads/%2e%2e/secret.json"] {
        assert_eq!(server.get(target).status, 403, "{target}");
    }
}

#[test]
fn up_1_h1_2_an_http_1_0_client_can_upload() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    client.send_request(&format!("POST /upload HTTP/1.0\r\n{JSON}Content-Length: 3\r\n"), b"[0]");
    let response = client.response();
    assert!(response.closes());
    stored_name(&response);
    assert!(client.is_closed());
}
