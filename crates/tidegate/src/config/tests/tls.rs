//! The settings of TLS, and what does not go together.

use std::time::Duration;

use super::{resolve, resolve_file};
use crate::config::TlsPair;

#[test]
fn tls_1_certificates_and_keys_are_pairs_in_their_order() {
    let pair = |cert: &str, key: &str| TlsPair { cert: cert.into(), key: key.into() };
    let flags = ["--tls-cert", "a", "--tls-key", "x", "--tls-cert", "b", "--tls-key", "y"];
    let tls = resolve(&flags, &[]).unwrap().tls;
    assert!(tls.is_on());
    assert_eq!(tls.pairs, [pair("a", "x"), pair("b", "y")]);
    let file = "[tls]\ncert = [\"a\"]\nkey = [\"x\"]\nredirect = \"[::]:80\"\nhsts = \"8760h\"\n";
    let tls = resolve_file(file, &[], &[("TIDEGATE_TLS_CERT", "b")]).unwrap().tls;
    assert_eq!(tls.pairs, [pair("b", "x")]);
    assert_eq!(tls.redirect, Some("[::]:80".parse().unwrap()));
    assert_eq!(tls.hsts, Some(Duration::from_secs(31_536_000)));
    assert!(!resolve(&[], &[]).unwrap().tls.is_on());
}

#[test]
fn tls_1_what_does_not_go_together_is_refused_by_its_place() {
    let pair = ["--tls-cert", "a", "--tls-key", "x"];
    let own = "--tls-self-signed";
    let cases: [(&[&str], &str); 9] = [
        (
            &["--tls-cert", "a", "--tls-cert", "b", "--tls-key", "x"],
            "--tls-cert b: no key to go with it (certificates: 2, keys: 1); \
             expected a tls-key for each tls-cert, in the same order",
        ),
        (
            &["--tls-key", "x"],
            "--tls-key x: no certificate to go with it (certificates: 0, keys: 1); \
             expected a tls-cert for each tls-key, in the same order",
        ),
        (
            &[&pair[..], &[own]].concat(),
            "--tls-self-signed true: there are certificates of your own; expected this or tls-cert, not both",
        ),
        (
            &["--tls-redirect", "0.0.0.0:80"],
            "--tls-redirect 0.0.0.0:80: nothing is served over TLS; \
             expected tls-cert and tls-key, or tls-self-signed, beside it",
        ),
        (
            &["--hsts", "1h"],
            "--hsts 1h: nothing is served over TLS; \
             expected tls-cert and tls-key, or tls-self-signed, beside it",
        ),
        (
            &[own, "--tls-redirect", "127.0.0.1:8080"],
            "--tls-redirect 127.0.0.1:8080: HTTPS is served there; expected an address of its own",
        ),
        (
            &[own, "--tls-redirect", "unix:/s"],
            "--tls-redirect unix:/s: expected an address with its port, like 0.0.0.0:80 or [::]:80",
        ),
        (&[own, "--hsts", "1500ms"], "--hsts 1500ms: expected whole seconds, like 8760h"),
        (&[own, "--hsts", "17521h"], "--hsts 17521h: out of range; expected 0s to 17520h"),
    ];
    for (args, error) in cases {
        assert_eq!(resolve(args, &[]).unwrap_err(), error);
    }
    let file = "[tls]\nself_signed = true\nredirect = \"127.0.0.1:9\"\n[admin]\nlisten = \"127.0.0.1:9\"\n";
    assert_eq!(
        resolve_file(file, &[], &[]).unwrap_err(),
        "t.toml:3:12: tls.redirect: HTTPS is served there; expected an address of its own"
    );
    assert!(resolve(&[own, "--hsts", "0s", "-p", "0", "--tls-redirect", "127.0.0.1:0"], &[]).is_ok());
}

#[test]
fn tls_1_a_certificate_of_its_own_bears_every_name_of_the_server_once() {
    let names = |args: &[&str]| resolve(args, &[]).unwrap().own_names();
    assert_eq!(names(&[]), ["localhost", "127.0.0.1", "::1"]);
    let listens = ["--listen=0.0.0.0:1", "--listen=192.0.2.7:1", "--listen=unix:/s"];
    assert_eq!(names(&listens), ["localhost", "127.0.0.1", "::1", "192.0.2.7"]);
    let allowed =
        ["-H", "[::]", "--allow-host=*", "--allow-host=A.example.:80", "--allow-host=[2001:db8::1]"];
    assert_eq!(names(&allowed), ["localhost", "127.0.0.1", "::1", "a.example", "2001:db8::1"]);
}

#[test]
fn tls_1_unix_listeners_alone_are_noted() {
    let notes = |listen: &str| resolve(&["--tls-self-signed", "--listen", listen], &[]).unwrap().notes;
    assert_eq!(notes("unix:/s"), ["every listener is a unix socket, and those never speak TLS"]);
    assert_eq!(notes("127.0.0.1:0"), Vec::<String>::new());
}
