//! Files with sidecars: what the operator made beside them.
//!
//! The files are below 1 KiB, so that what is coded came from a sidecar; each sidecar holds another text than its
//! file, so that the bytes tell where they came from.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::fs::File;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{Coding, coding_of, get};
use crate::support::{Response, Server, Setup, eventually};

pub const PLAIN: &[u8] = b"<h1>the file itself</h1>\n";

/// When the files of these tests were last modified; their sidecars are later by some seconds.
pub fn modified(later: i64) -> SystemTime {
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let by = Duration::from_nanos(later.unsigned_abs());
    if later < 0 { then - by } else { then + by }
}

pub fn touch(path: &Path, time: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

/// What the sidecar of a coding holds.
pub fn sidecar(coding: Coding) -> Vec<u8> {
    coding.encode(format!("<h1>the sidecar for {}</h1>\n", coding.token()).as_bytes())
}

/// A file of the root and some sidecars, newer than it by `later` nanoseconds.
pub fn with_sidecars(setup: Setup, name: &str, codings: &[Coding], later: i64) -> Setup {
    let setup = setup.file(name, PLAIN);
    touch(&setup.root().join(name), modified(0));
    for coding in codings {
        let path = setup.folder.write(&format!("root/{name}.{}", coding.suffix()), sidecar(*coding));
        touch(&path, modified(later));
    }
    setup
}

pub const SECOND: i64 = 1_000_000_000;

/// One worker: what one connection has [`found`] the others know.
pub fn one_worker() -> Setup {
    Setup::new().args(&["--workers", "1"])
}

/// A server of `page.html` with all sidecars.
pub fn server() -> Server {
    let setup = one_worker().args(&["--max-requests", "0"]);
    let server = with_sidecars(setup, "page.html", &Coding::ALL, SECOND).start();
    for coding in Coding::ALL {
        found(&server, "/page.html", coding);
    }
    server
}

/// Waits until the sidecar is served: a first look at it may have to wait for the disk, and an answer need not; and one
/// that somebody seems to write (a child that was forked meanwhile holds it open until its `exec`) is none yet.
pub fn found(server: &Server, target: &str, coding: Coding) -> Response {
    let accepted = || get(&mut server.connect(), target, coding.token());
    let is_it = |response: &Response| coding_of(response) == Some(coding) && response.body == sidecar(coding);
    eventually(target, || is_it(&accepted()));
    accepted()
}

/// What no coding may change.
pub fn check(response: &Response, coding: Option<Coding>, what: &str) {
    assert_eq!(response.status, 200, "{what}");
    assert_eq!(coding_of(response), coding, "{what}");
    assert_eq!(response.field("content-type"), Some("text/html; charset=utf-8"), "{what}");
    assert_eq!(response.field("vary"), Some("Accept-Encoding"), "{what}");
    assert!(response.body == coding.map_or_else(|| PLAIN.to_vec(), sidecar), "{what}: other bytes");
}
