//! HTTP/2 in the clear as other people's clients speak it: curl, nghttp and h2load (SPEC H2-1). Over TLS they are in
//! `tls_clients.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod clients;
mod process;
mod support;

use clients::curl::{self, Curl};
use support::{Setup, eventually};

#[test]
fn h2_1_curl_does_everything_by_prior_knowledge() {
    let server = curl::setup().start();
    Curl::new(&server, format!("http://{}", server.addr), &["--http2-prior-knowledge"]).everything("2");
}

#[test]
fn h2_1_curl_does_everything_by_http_1_on_the_same_port() {
    let server = curl::setup().start();
    Curl::new(&server, format!("http://{}", server.addr), &["--http1.1"]).everything("1.1");
    // It asks for an upgrade to h2c, which RFC 9113 section 3.1 has done away with: the answer is HTTP/1.1.
    Curl::new(&server, format!("http://{}", server.addr), &["--http2"]).everything("1.1");
}

#[test]
fn h2_1_nghttp_sees_the_frames_of_a_good_server() {
    let server = Setup::new().file("a.txt", "high water").start();
    let url = format!("http://{}/a.txt", server.addr);
    let Some(ended) = clients::run(&server.folder.0, "nghttp", &["-v", &url, &format!("{url}?again")]) else {
        return;
    };
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.out.matches(":status: 200").count(), 2, "{}", ended.out);
    assert_eq!(ended.out.matches("high water").count(), 2, "{}", ended.out);
    let expected = [
        "SETTINGS_MAX_CONCURRENT_STREAMS(0x03):100",
        "recv SETTINGS frame <length=0, flags=0x01",
        "server: tidegate",
    ];
    assert!(expected.iter().all(|text| ended.out.contains(text)), "{}", ended.out);
    let received: Vec<_> = ended.out.lines().filter(|line| line.contains("] recv ")).collect();
    assert!(
        !received.iter().any(|line| line.contains("RST_STREAM") || line.contains("GOAWAY")),
        "{received:#?}"
    );
}

#[test]
fn h2_1_nghttp_is_told_that_its_upload_is_too_large() {
    let server = Setup::new().start();
    let body = server.folder.write("huge.json", "0".repeat(2 << 20));
    let url = format!("http://{}/upload", server.addr);
    let args = ["-v", "-d", body.to_str().unwrap(), "-H", "content-type: application/json", &url];
    let Some(ended) = clients::run(&server.folder.0, "nghttp", &args) else { return };
    assert!(ended.out.contains(":status: 413") && ended.out.contains("body_too_large"), "{}", ended.out);
    // And that the rest of it is not wanted (RFC 9113 section 8.1).
    let (_, after) = ended.out.split_once("recv RST_STREAM").expect("a reset of the stream");
    assert!(after.lines().nth(1).is_some_and(|line| line.contains("NO_ERROR")), "{after}");
}

#[test]
fn h2_1_h2load_is_answered_every_time() {
    let server =
        Setup::new().file("small.txt", "x".repeat(1000)).file("larger.txt", "y".repeat(100_000)).start();
    for (path, requests) in [("small.txt", "1000"), ("larger.txt", "200")] {
        let url = format!("http://{}/{path}", server.addr);
        let args = ["-n", requests, "-c", "10", "-m", "20", &url];
        let Some(ended) = clients::run(&server.folder.0, "h2load", &args) else { return };
        assert!(
            ended.out.contains(&format!("{requests} succeeded, 0 failed, 0 errored, 0 timeout")),
            "{ended:?}"
        );
    }
    eventually("its connections are gone", || {
        server.get("/metrics").text().lines().any(|line| line == "tidegate_connections 1")
    });
}
