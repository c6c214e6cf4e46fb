//! TLS as openssl speaks it: what it is offered, and what it must not get (SPEC TLS-1; rows G2, G3, G5, G6).
//!
//! Each refusal has a control: the same client gets the same thing from `openssl s_server`, so that it is the server under
//! test who refuses.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;
mod tls;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use process::free_port;
use support::{Folder, Server, Setup, eventually};
use tls::Authority;

/// Suites without forward secrecy, without AEAD or without a certificate, at a level at which openssl offers them.
const WEAK: &str = "ALL:COMPLEMENTOFALL:!ECDHE+AESGCM:!ECDHE+CHACHA20:@SECLEVEL=0";

/// A server under test with a certificate for `localhost`: `authority.pem`, `site.pem`, `site.key` in its folder.
fn start(args: &[&str]) -> Server {
    let setup = Setup::new().args(args);
    certify(&setup.folder);
    let flags = tls::flags("site");
    setup.args(&flags.each_ref().map(String::as_str)).start()
}

fn certify(folder: &Folder) {
    let authority = Authority::new();
    folder.write("authority.pem", authority.pem());
    authority.leaf(&["localhost"]).write(folder, "site");
}

/// openssl's own server, which takes what it is told to take; ended on drop.
struct Obliging {
    child: Child,
    addr: SocketAddr,
    folder: Folder,
}

impl Obliging {
    fn start(options: &[&str]) -> Self {
        let folder = Folder::new();
        certify(&folder);
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let mut command = Command::new("openssl");
        command.args([
            "s_server",
            "-accept",
            &addr.to_string(),
            "-cert",
            "site.pem",
            "-key",
            "site.key",
            "-quiet",
        ]);
        command
            .args(options)
            .current_dir(&folder.0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let child = command.spawn().unwrap();
        eventually("openssl s_server accepts", || TcpStream::connect(addr).is_ok());
        Self { child, addr, folder }
    }
}

impl Obliging {
    /// Serves something to who is connected.
    fn serve(&self) {
        let _ = self.child.stdin.as_ref().unwrap().write_all(b"served\n");
    }
}

impl Drop for Obliging {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What `openssl s_client OPTIONS` says of the server at `addr`. It types `typed`, and ends when what it said is `enough`,
/// or with the connection.
fn s_client(
    folder: &Path,
    addr: SocketAddr,
    options: &[&str],
    typed: &str,
    enough: impl Fn(&str) -> bool,
) -> String {
    let (mut output, into) = std::io::pipe().unwrap();
    let mut command = Command::new("timeout");
    command.args([
        "-k",
        "1",
        "20",
        "openssl",
        "s_client",
        "-connect",
        &addr.to_string(),
        "-CAfile",
        "authority.pem",
    ]);
    command.args(options).current_dir(folder).stdin(Stdio::piped());
    let mut child = command.stdout(into.try_clone().unwrap()).stderr(into).spawn().unwrap();
    // It holds the other ends of the pipe, which ends when all of them are closed.
    drop(command);
    let mut input = child.stdin.take().unwrap();
    // Where the handshake fails nobody reads it.
    let _ = input.write_all(typed.as_bytes());
    let (mut said, mut piece, mut input) = (String::new(), [0; 4096], Some(input));
    while let Some(count) = Some(output.read(&mut piece).unwrap()).filter(|count| *count > 0) {
        said.push_str(&String::from_utf8_lossy(&piece[..count]));
        if enough(&said) {
            input = None;
        }
    }
    child.wait().unwrap();
    drop(input);
    said
}

/// Until it has told of the session: then the handshake is over.
fn session_told(said: &str) -> bool {
    said.contains("Verify return code")
}

#[test]
fn tls_1_openssl_finds_good_parameters() {
    let server = start(&[]);
    for (version, named, protocol) in [("-tls1_2", "TLSv1.2", "http/1.1"), ("-tls1_3", "TLSv1.3", "h2")] {
        let options =
            [version, "-verify_hostname", "localhost", "-servername", "localhost", "-alpn", protocol];
        let said = s_client(&server.folder.0, server.addr, &options, "", session_told);
        let alpn = format!("ALPN protocol: {protocol}");
        let wanted =
            [&format!("New, {named}, Cipher is "), "Verify return code: 0 (ok)", "Compression: NONE", &alpn];
        assert!(wanted.iter().all(|text| said.contains(*text)), "{said}");
        assert!(version == "-tls1_3" || said.contains("Secure Renegotiation IS supported"), "{said}");
    }
}

#[test]
fn row_g2_tls_1_nobody_renegotiates() {
    let server = start(&[]);
    let hellos = |said: &str| said.matches(", ServerHello\n").count();
    let renegotiate = |folder: &Folder, addr| {
        // The letter asks for a handshake within the connection.
        s_client(&folder.0, addr, &["-tls1_2", "-msg"], "R\n", |said| hellos(said) == 2)
    };
    let said = renegotiate(&server.folder, server.addr);
    assert!(said.contains("RENEGOTIATING") && hellos(&said) == 1, "{said}");
    let control = Obliging::start(&["-tls1_2", "-client_renegotiation"]);
    assert_eq!(hellos(&renegotiate(&control.folder, control.addr)), 2);
}

#[test]
fn row_g3_tls_1_early_data_is_never_taken() {
    let server = start(&[]);
    let request = format!("GET /healthz HTTP/1.1\r\nHost: localhost:{}\r\n\r\n", server.addr.port());
    let said = twice(&server.folder, |options| {
        s_client(&server.folder.0, server.addr, options, &request, |said| said.contains("HTTP/1.1 200"))
    });
    assert!(said.contains("Reused, TLSv1.3"), "{said}");
    assert!(said.contains("Early data was not sent") && said.contains("Max Early Data: 0"), "{said}");
    let options = ["-tls1_3", "-early_data", "-max_early_data", "16384", "-no_anti_replay"];
    let control = Obliging::start(&options);
    let said = twice(&control.folder, |options| {
        s_client(&control.folder.0, control.addr, options, "", |said| {
            if session_told(said) {
                control.serve();
            }
            said.contains("served")
        })
    });
    assert!(said.contains("Early data was accepted"), "{said}");
}

/// Connects, and connects again with the ticket and early data; what was said the second time.
fn twice(folder: &Folder, connect: impl Fn(&[&str]) -> String) -> String {
    folder.write("early", "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    // Tickets come before the answer, so that whoever has this has them.
    connect(&["-tls1_3", "-servername", "localhost", "-sess_out", "ticket"]);
    connect(&["-tls1_3", "-servername", "localhost", "-sess_in", "ticket", "-early_data", "early"])
}

#[test]
fn row_g5_tls_1_who_is_connected_is_answered_amid_handshakes() {
    let server = start(&["--max-requests", "0"]);
    let believing = tls::Trust::blind().config();
    let mut established = tls::connect(server.addr, &believing, "localhost").unwrap().client();
    let [mut one, mut other] = ["-tls1_2", "-tls1_3"].map(|version| handshakes(server.addr, version));
    let mut answered = 0;
    while one.try_wait().unwrap().is_none() || other.try_wait().unwrap().is_none() {
        // The harness fails where an answer takes longer than it waits.
        assert_eq!(established.get("/healthz").status, 200);
        answered += 1;
        std::thread::sleep(Duration::from_millis(5));
    }
    for flood in [one, other] {
        let said = String::from_utf8(flood.wait_with_output().unwrap().stdout).unwrap();
        let made = said
            .split(" connections in ")
            .next()
            .and_then(|text| text.rsplit('\n').next()?.parse::<u32>().ok());
        assert!(made.is_some_and(|made| made > 0), "{said}");
    }
    assert!(answered > 10, "{answered} answers in three seconds");
}

/// New handshakes one after the other, for three seconds.
fn handshakes(addr: SocketAddr, version: &str) -> Child {
    let mut command = Command::new("openssl");
    command.args(["s_time", "-new", "-time", "3", version, "-connect", &addr.to_string()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn row_g6_tls_1_old_versions_and_weak_suites_are_refused() {
    let server = start(&[]);
    let control = Obliging::start(&["-cipher", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"]);
    let weak = |version: &'static str, suites: &'static str| {
        [version, "-cipher", suites, "-servername", "localhost"]
    };
    let cases = [
        weak("-tls1", "ALL:@SECLEVEL=0"),
        weak("-tls1_1", "ALL:@SECLEVEL=0"),
        weak("-tls1_2", WEAK),
        weak("-tls1_2", "ECDHE-ECDSA-AES128-SHA256"),
        weak("-tls1_2", "ECDHE-ECDSA-AES256-SHA"),
    ];
    for options in &cases {
        let said = s_client(&server.folder.0, server.addr, options, "", session_told);
        let is_refused = said.contains("alert handshake failure") || said.contains("alert protocol version");
        assert!(is_refused && said.contains("Cipher is (NONE)"), "{options:?}: {said}");
    }
    for options in &cases {
        let said = s_client(&control.folder.0, control.addr, options, "", session_told);
        assert!(said.contains("New, ") && !said.contains("Cipher is (NONE)"), "control, {options:?}: {said}");
    }
}
