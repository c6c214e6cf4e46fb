//! What an operator is told of the files of certificates (SPEC TLS-1): keys that everybody may read, and one certificate
//! of several that has ended.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod life;
mod process;
mod support;
mod tls;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use life::reload;
use process::{is_root, run};
use rcgen::{KeyPair, date_time_ymd};
use support::{Folder, Server, Setup};
use tls::{Authority, Trust, connect, flags};

/// What is said of a key that is open to all.
const OPEN: &str = "is open to every user of this machine";

fn set_mode(folder: &Folder, name: &str, mode: u32) {
    std::fs::set_permissions(folder.0.join(name), Permissions::from_mode(mode)).unwrap();
}

fn lines_of(log: &[String]) -> Vec<&String> {
    log.iter().filter(|line| line.contains(OPEN)).collect()
}

/// One warning for each such file, at the start and by `check`; it is served all the same. A group may read it.
#[test]
fn tls_1_a_key_that_everybody_may_read_is_told_with_its_mode_and_served() {
    let authority = Authority::new();
    let setup = Setup::new().file("index.html", "here");
    authority.leaf(&["localhost"]).write(&setup.folder, "a");
    authority.leaf(&["b.example"]).write(&setup.folder, "b");
    set_mode(&setup.folder, "b.key", 0o640);
    let pairs = [flags("a"), flags("a"), flags("b")].concat();
    let pairs: Vec<_> = pairs.iter().map(String::as_str).collect();
    let args = [&["check", "-r", "root"], &pairs[..]].concat();
    for (mode, is_told) in
        [(0o600, false), (0o640, false), (0o660, false), (0o644, true), (0o604, true), (0o602, true)]
    {
        set_mode(&setup.folder, "a.key", mode);
        let check = run(&setup.folder.0, &args, &[]);
        let told = format!("warning: the private key in a.key {OPEN} (mode {mode:04o}); chmod o= a.key\n");
        let expected = if is_told { told } else { String::new() };
        assert_eq!((check.code, check.err), (Some(0), expected), "{mode:o}");
    }
    set_mode(&setup.folder, "a.key", 0o644);
    let mut server = setup.args(&pairs).args(&["--control", "control.sock"]).start();
    let line = server.wait_for_log(OPEN);
    assert!(line.contains("WARN") && line.contains("a.key") && line.contains("(mode 0644)"), "{line}");
    let client = connect(server.addr, &Trust::of(&authority).config(), "localhost").unwrap();
    assert_eq!(client.client().get("/").text(), "here");
    assert_eq!(lines_of(&server.log()).len(), 1);
    // Who has done what it says hears no more of it.
    set_mode(&server.folder, "a.key", 0o600);
    assert_eq!(reload(&server.folder.0).code, Some(0));
    server.wait_for_log("configuration reloaded");
    assert_eq!(lines_of(&server.log()).len(), 1);
}

/// What the first start tells: the key is read as the user that serves.
#[test]
fn run_4_tls_1_check_with_a_user_refuses_the_key_that_only_root_may_read() {
    if !is_root("run_4_tls_1_check_with_a_user_refuses_the_key_that_only_root_may_read") {
        return;
    }
    let folder = Folder::new();
    folder.write("root/index.html", "here");
    Authority::new().leaf(&["localhost"]).write(&folder, "a");
    set_mode(&folder, "a.key", 0o600);
    set_mode(&folder, ".", 0o755);
    let pair = flags("a");
    let pair: Vec<_> = pair.iter().map(String::as_str).collect();
    let args = |user| [&["check", "-r", "root", "--uploads", "none"], &pair[..], user].concat();
    let check = run(&folder.0, &args(&["--user", "nobody"]), &[]);
    assert_eq!(check.code, Some(1), "{check:?}");
    assert!(check.err.contains("tidegate: a.key: cannot be read (Permission denied"), "{check:?}");
    assert_eq!(run(&folder.0, &args(&[]), &[]).code, Some(0), "the control: root may");
    set_mode(&folder, "a.key", 0o644);
    assert_eq!(
        run(&folder.0, &args(&["--user", "nobody"]), &[]).code,
        Some(0),
        "it could not be read, no more"
    );
}

/// The certificate that `name` is shown.
fn shown(server: &Server, authority: &Authority, name: &str) -> Vec<u8> {
    connect(server.addr, &Trust::of(authority).config(), name).unwrap().certificate().to_vec()
}

#[test]
fn run_5_tls_1_one_expired_certificate_of_two_refuses_the_reload_and_both_old_ones_go_on() {
    let authority = Authority::new();
    let setup = Setup::new().file("index.html", "here").args(&["--control", "control.sock"]);
    let old = [authority.leaf(&["a.example"]), authority.leaf(&["b.example"])];
    old[0].write(&setup.folder, "a");
    old[1].write(&setup.folder, "b");
    let pairs = [flags("a"), flags("b")].concat();
    let pairs: Vec<_> = pairs.iter().map(String::as_str).collect();
    let server = setup.args(&pairs).start();
    let ended = authority.leaf_with(&["b.example", "c.example"], &KeyPair::generate().unwrap(), |params| {
        params.not_after = date_time_ymd(2002, 1, 2);
    });
    authority.leaf(&["a.example"]).replace(&server.folder, "a");
    ended.replace(&server.folder, "b");
    let refused = reload(&server.folder.0);
    let said =
        "b.pem: the certificate for b.example, c.example expired on Wed, 02 Jan 2002 00:00:00 GMT; renew it";
    assert!(refused.code == Some(1) && refused.err.contains(said), "{refused:?}");
    assert_eq!(
        shown(&server, &authority, "a.example"),
        old[0].der.to_vec(),
        "the good one waits for the other"
    );
    assert_eq!(shown(&server, &authority, "b.example"), old[1].der.to_vec());
    let new = authority.leaf(&["b.example"]);
    new.replace(&server.folder, "b");
    assert_eq!(reload(&server.folder.0).code, Some(0));
    support::eventually("all workers have it", || {
        (0..8).all(|_| shown(&server, &authority, "b.example") == new.der.to_vec())
    });
}

/// Many authorities leave the subject empty, and one may have set no name: it is named as far as can be.
#[test]
fn tls_1_an_expired_certificate_is_called_by_its_names_or_else_by_its_subject() {
    let authority = Authority::new();
    let folder = Folder::new();
    folder.write("root/index.html", "here");
    let many: Vec<String> = (0..20).map(|number| format!("n{number}.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (names, has_subject, called) in [
        (&["a.example", "b.example"][..], false, "a.example, b.example"),
        (
            &many,
            true,
            "n0.example, n1.example, n2.example, n3.example, n4.example, n5.example, n6.example, n7.example and 12 more",
        ),
        (&[], true, "CN=nobody"),
        (&[], false, "no name"),
    ] {
        let leaf = authority.leaf_with(names, &KeyPair::generate().unwrap(), |params| {
            params.not_after = date_time_ymd(2002, 1, 2);
            if !has_subject {
                params.distinguished_name = rcgen::DistinguishedName::new();
            }
        });
        leaf.write(&folder, "a");
        let pair = flags("a");
        let pair: Vec<_> = pair.iter().map(String::as_str).collect();
        let refused = run(&folder.0, &[&["-r", "root", "-p", "0"], &pair[..]].concat(), &[]);
        let said =
            format!("a.pem: the certificate for {called} expired on Wed, 02 Jan 2002 00:00:00 GMT; renew it");
        assert!(refused.code == Some(1) && refused.err.contains(&said), "{refused:?}");
    }
}
