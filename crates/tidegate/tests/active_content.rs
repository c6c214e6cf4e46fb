//! Content that would act in a browser (SPEC SEC-3, UP-1, UP-7): what was uploaded can only be read as JSON, and what lies
//! in the root is of the type that its operator gave it, never of one that a browser guesses.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod strace;
mod support;

use strace::{assert_refused, names, stored_name};
use support::{Server, Setup};

const PAGE: &str = "<html><script>alert(1)</script></html>";
const IMAGE: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>";

fn upload_as(server: &Server, kind: &str, body: &str) -> support::Response {
    let length = body.len();
    let head = format!("POST /upload HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n");
    server.request(&head, body.as_bytes())
}

#[test]
fn row_h4_up_1_up_7_what_was_uploaded_acts_in_no_browser() {
    let server = Server::start(&[]);
    for (kind, body) in [("text/html", PAGE), ("image/svg+xml", IMAGE), ("application/xml", IMAGE)] {
        assert_refused(&upload_as(&server, kind, body), 415, "not_json");
    }
    for body in [PAGE, IMAGE] {
        assert_refused(&upload_as(&server, "application/json", body), 400, "invalid_json");
    }
    assert!(names(&server.uploads()).is_empty());
    // A page may stand in a string; it is read back as what it is.
    let kept = upload_as(&server, "application/vnd.page+json", &format!("{PAGE:?}"));
    let back = server.get(&format!("/uploads/{}", stored_name(&kept)));
    assert_eq!(back.text(), format!("{PAGE:?}"));
    assert_eq!(back.field("content-type"), Some("application/json"));
    assert_eq!(back.field("x-content-type-options"), Some("nosniff"));
    assert_eq!(back.field("cache-control"), Some("no-store"));
}

#[test]
fn row_h4_sec_3_file_2_a_file_has_the_type_of_its_name_and_no_other() {
    let names = [("image.svg", "image/svg+xml"), ("page.bin", "application/octet-stream")];
    let server = Setup::new().file("image.svg", IMAGE).file("page.bin", PAGE).file("page.txt", PAGE).start();
    for (name, kind) in names {
        let response = server.get(&format!("/{name}"));
        assert_eq!(response.field("content-type"), Some(kind));
        assert_eq!(response.field("x-content-type-options"), Some("nosniff"));
    }
    let text = server.get("/page.txt");
    assert!(text.field("content-disposition").unwrap().starts_with("attachment"), "{text:?}");
}
