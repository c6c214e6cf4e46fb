//! Certificates and keys as files (SPEC TLS-1): which are taken, which are refused and in what words, and what is said
//! of them at start.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod life;
mod process;
mod support;
mod tls;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};

use life::Process;
use life::manager::activated_twice;
use process::{is_root, run};
use rcgen::{KeyPair, date_time_ymd};
use support::{Folder, Setup, eventually};
use tls::{Authority, Leaf, Trust, connect, flags, openssl};

const DAY: Duration = Duration::from_hours(24);

/// A folder with a root, and a good certificate as `good.pem` and `good.key`.
fn folder() -> (Folder, Authority) {
    let (folder, authority) = (Folder::new(), Authority::new());
    folder.write("root/index.html", "here");
    authority.leaf(&["a.example", "127.0.0.1"]).write(&folder, "good");
    (folder, authority)
}

fn in_folder(folder: Folder) -> Setup {
    let mut setup = Setup::new();
    setup.folder = folder;
    setup
}

/// What a server with this pair says instead of starting; `check` must say the same.
fn refusal(folder: &Folder, cert: &str, key: &str) -> String {
    let pair = ["-r", "root", "-p", "0", "--tls-cert", cert, "--tls-key", key];
    let start = run(&folder.0, &pair, &[]);
    assert_eq!((start.code, start.out.as_str()), (Some(1), ""), "{start:?}");
    let check = run(&folder.0, &[&["check"], &pair[..]].concat(), &[]);
    assert_eq!(check.code, Some(1), "{check:?}");
    assert!(check.out.contains(&format!("cert = [\"{cert}\"]")), "{check:?}");
    assert_eq!(check.err, start.err);
    start.err.strip_prefix("tidegate: ").unwrap().trim_end().to_owned()
}

#[test]
fn row_g6_tls_1_a_file_that_is_no_certificate_is_named_with_what_to_do() {
    let (folder, authority) = folder();
    let leaf = authority.leaf(&["b.example"]);
    let half = &leaf.chain[..leaf.chain.len() / 4];
    folder.write("empty.pem", "");
    folder.write("cut.pem", half);
    folder.write("letters.pem", leaf.chain.replacen("MII", "M!I", 1));
    folder.write("other.pem", leaf.chain.replacen("MII", "AAA", 1));
    folder.write("binary.pem", &leaf.der);
    folder.write("large.pem", vec![b'x'; (1 << 20) + 1]);
    std::fs::create_dir(folder.0.join("folder.pem")).unwrap();
    for (file, said) in [
        ("gone.pem", "gone.pem: cannot be read (No such file or directory"),
        ("empty.pem", "empty.pem: holds no certificate; expected PEM, the server's own first"),
        ("binary.pem", "binary.pem: holds no certificate; expected PEM"),
        ("good.key", "good.key: holds no certificate; expected PEM"),
        ("cut.pem", "cut.pem: is damaged ("),
        ("letters.pem", "letters.pem: is damaged ("),
        ("other.pem", "other.pem: certificate 1 in it cannot be read ("),
        ("large.pem", "large.pem: is not a certificate or a key; expected a file in PEM of at most 1MiB"),
        ("folder.pem", "folder.pem: is not a certificate or a key; expected a file"),
    ] {
        let refusal = refusal(&folder, file, "good.key");
        assert!(refusal.starts_with(said) && refusal.lines().count() == 1, "{refusal}");
    }
}

#[test]
fn row_g6_tls_1_a_certificate_that_clients_would_refuse_is_refused_at_start() {
    let (folder, authority) = folder();
    let with_dates = |name: &str, from: [i32; 2], until: [i32; 2]| {
        let leaf = authority.leaf_with(&["b.example"], &KeyPair::generate().unwrap(), |params| {
            params.not_before = date_time_ymd(from[0], 1, 2);
            params.not_after = date_time_ymd(until[0], 1, 2);
        });
        leaf.write(&folder, name);
    };
    with_dates("old", [2001, 1], [2002, 1]);
    with_dates("early", [2131, 1], [2132, 1]);
    openssl(
        &folder,
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:1024",
            "-nodes",
            "-keyout",
            "weak.key",
            "-out",
            "weak.pem",
            "-subj",
            "/CN=weak.example",
        ],
    );
    for (name, said) in [
        ("old", "old.pem: the certificate for b.example expired on Wed, 02 Jan 2002 00:00:00 GMT; renew it"),
        (
            "early",
            "early.pem: the certificate for b.example is valid from Tue, 02 Jan 2131 00:00:00 GMT only; \
             is the clock of this machine right?",
        ),
        (
            "weak",
            "weak.pem: has an RSA key of 1024 bits; make a new key of at least 2048, and a certificate for it",
        ),
    ] {
        assert_eq!(refusal(&folder, &format!("{name}.pem"), &format!("{name}.key")), said);
    }
}

#[test]
fn row_g6_tls_1_a_key_that_does_not_fit_is_refused_with_the_reason() {
    let (folder, authority) = folder();
    let other = authority.leaf(&["b.example"]);
    other.write(&folder, "other");
    folder.write("two.key", format!("{0}{0}", other.key));
    // The authority's certificate first, then that of the server.
    let blocks: Vec<_> = other.chain.split_inclusive("-----END CERTIFICATE-----\n").collect();
    folder.write("turned.pem", format!("{}{}", blocks[1], blocks[0]));
    let password = ["-passout", "pass:secret"];
    openssl(
        &folder,
        &[&["pkcs8", "-topk8", "-in", "other.key", "-out", "locked.key"][..], &password].concat(),
    );
    openssl(&folder, &["ec", "-in", "other.key", "-aes128", "-out", "older.key", password[0], password[1]]);
    openssl(&folder, &["ecparam", "-name", "secp256k1", "-genkey", "-noout", "-out", "coin.key"]);
    openssl(&folder, &["genrsa", "-traditional", "-out", "short.key", "1024"]);
    let encrypted = "holds an encrypted key; decrypt it: openssl pkey -in FILE -out NEW-FILE";
    let unusable = "holds a key that cannot be used; expected RSA from 2048 bits";
    for (cert, key, said) in [
        ("good.pem", "gone.key", "gone.key: cannot be read (No such file or directory".to_owned()),
        ("good.pem", "good.pem", "good.pem: holds no private key; expected one in PEM".to_owned()),
        ("good.pem", "two.key", "two.key: holds 2 private keys; expected the one of the".to_owned()),
        ("good.pem", "locked.key", format!("locked.key: {encrypted}")),
        ("good.pem", "older.key", format!("older.key: {encrypted}")),
        ("good.pem", "coin.key", format!("coin.key: {unusable}")),
        ("good.pem", "short.key", format!("short.key: {unusable}")),
        (
            "good.pem",
            "other.key",
            "other.key: is not the key of the certificate in good.pem; each tls-cert goes with the tls-key in \
             the same place"
                .to_owned(),
        ),
        (
            "turned.pem",
            "other.key",
            "other.key: is not the key of the certificate in turned.pem; it is that of another one there, which \
             must come first"
                .to_owned(),
        ),
    ] {
        let refusal = refusal(&folder, cert, key);
        assert!(refusal.starts_with(&said), "{refusal}");
    }
}

#[test]
fn tls_1_keys_of_every_kind_and_form_are_served() {
    let (folder, authority) = folder();
    let setup = in_folder(folder);
    let folder = &setup.folder;
    let sign = |name: &str, key: &str| -> Leaf {
        let key = KeyPair::from_pem(key).unwrap();
        let leaf = authority.leaf_with(&[name], &key, |_| ());
        leaf.write(folder, name);
        leaf
    };
    let rsa = KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048).unwrap();
    let p384 = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let mut leaves = vec![
        sign("rsa.example", &rsa.serialize_pem()),
        sign("p384.example", &p384.serialize_pem()),
        sign("ed25519.example", &KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().serialize_pem()),
    ];
    // PKCS#1, and SEC1 as `openssl ecparam` writes it: behind the parameters of the curve.
    leaves.push(sign("pkcs1.example", &rsa.serialize_pem()));
    openssl(folder, &["rsa", "-in", "rsa.example.key", "-traditional", "-out", "pkcs1.example.key"]);
    leaves.push(sign("sec1.example", &p384.serialize_pem()));
    openssl(folder, &["ec", "-in", "p384.example.key", "-out", "bare.key"]);
    openssl(folder, &["ecparam", "-name", "secp384r1", "-out", "params"]);
    let read = |name: &str| std::fs::read_to_string(folder.0.join(name)).unwrap();
    folder.write("sec1.example.key", read("params") + &read("bare.key"));
    assert!(read("pkcs1.example.key").contains("BEGIN RSA PRIVATE KEY"));
    assert!(read("sec1.example.key").contains("BEGIN EC PRIVATE KEY"));
    // Certificate and key in one file, with the line ends of another system and words before it.
    let both = sign("both.example", &p384.serialize_pem());
    let text = format!("Both of them:\n{}{}", both.key, both.chain).replace('\n', "\r\n");
    folder.write("both.example.pem", &text);
    folder.write("both.example.key", &text);
    leaves.push(both);
    let names = ["rsa", "p384", "ed25519", "pkcs1", "sec1", "both"].map(|name| format!("{name}.example"));
    let flags: Vec<String> = names.iter().flat_map(|name| flags(name)).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let server = setup.args(&flags).start();
    let config = Trust::of(&authority).config();
    for (name, leaf) in names.iter().zip(leaves) {
        let connected = connect(server.addr, &config, name).unwrap();
        assert_eq!(connected.certificate(), leaf.der, "{name}");
    }
}

#[test]
fn tls_1_the_start_says_where_tls_is_spoken_and_for_which_names() {
    let (folder, authority) = folder();
    let soon = authority.leaf_with(&["*.soon.example"], &KeyPair::generate().unwrap(), |params| {
        params.not_after = (SystemTime::now() + 3 * DAY + DAY / 2).into();
    });
    soon.write(&folder, "soon");
    authority.leaf(&[]).write(&folder, "nameless");
    let many: Vec<String> = (0..100).map(|number| format!("n{number}.example")).collect();
    authority.leaf(&many.iter().map(String::as_str).collect::<Vec<_>>()).write(&folder, "many");
    let flags = [flags("good"), flags("soon"), flags("nameless"), flags("many")].concat();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let setup = in_folder(folder).args(&flags);
    let mut server = setup.args(&["--tls-redirect", "127.0.0.1:0"]).start();
    let row = |log: &[String], start: &str| log.iter().find(|line| line.starts_with(start)).cloned();
    server.wait_for_log("  logs ");
    let log = server.log();
    assert_eq!(row(&log, "  url "), Some(format!("  url       https://{}/", server.addr)));
    let good = row(&log, "  tls       a.example, 127.0.0.1; until ").unwrap();
    assert!(good.ends_with(" GMT"), "{good}");
    assert!(row(&log, "  tls       *.soon.example; until ").is_some(), "{log:#?}");
    assert!(row(&log, "  tls       no name; until ").is_some(), "{log:#?}");
    assert!(log.iter().any(|line| line.contains("n6.example, n7.example and 92 more; until ")), "{log:#?}");
    server.wait_for_log("  redirect  http://127.0.0.1:");
    server.wait_for_log("the certificate for *.soon.example in soon.pem expires on ");
    server.wait_for_log(", 3 days from now; renew it and reload");
    server.wait_for_log("the certificate in nameless.pem bears no name (subjectAltName): clients refuse it");
}

#[test]
fn tls_1_a_certificate_of_our_own_is_said_with_its_fingerprint_and_served() {
    let mut server = Setup::new().args(&["--tls-self-signed", "--allow-host", "dev.example"]).start();
    server.wait_for_log("  logs ");
    let config = Trust::blind().config();
    let shown = connect(server.addr, &config, "dev.example").unwrap().certificate();
    server.folder.write("shown.der", &shown);
    openssl(&server.folder, &["x509", "-inform", "der", "-in", "shown.der", "-out", "shown.pem"]);
    let log = server.log();
    let text = log.iter().find(|line| line.starts_with("  tls ")).unwrap();
    assert_eq!(text, "  tls       localhost, 127.0.0.1, ::1, dev.example; self-signed, for development");
    let said = log.iter().find_map(|line| line.trim().strip_prefix("SHA-256 ")).unwrap();
    let printed = std::process::Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in", "shown.pem"])
        .current_dir(&server.folder.0)
        .output()
        .unwrap();
    assert!(String::from_utf8(printed.stdout).unwrap().trim().ends_with(said), "{said}");
}

/// A key that only root may read, as certbot leaves them, is told at start and not at the first renewal.
#[test]
fn sec_7_tls_1_the_other_user_must_be_able_to_read_the_certificates() {
    if !is_root("sec_7_tls_1_the_other_user_must_be_able_to_read_the_certificates") {
        return;
    }
    let (folder, authority) = folder();
    let live = folder.0.join("live");
    std::fs::create_dir(&live).unwrap();
    let leaf = authority.leaf(&["a.example"]);
    folder.write("live/a.pem", &leaf.chain);
    folder.write("live/a.key", &leaf.key);
    let all = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&folder.0, all.clone()).unwrap();
    let args = ["-r", "root", "-p", "0", "--user", "nobody", "--tls-cert", "live/a.pem"];
    let args = [&args[..], &["--tls-key", "live/a.key", "--uploads", "live/none"]].concat();
    std::fs::set_permissions(&live, std::fs::Permissions::from_mode(0o700)).unwrap();
    let refused = run(&folder.0, &args, &[]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("live/a.pem: cannot be read (Permission denied"), "{refused:?}");
    std::fs::set_permissions(&live, all).unwrap();
    std::fs::set_permissions(live.join("a.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let refused = run(&folder.0, &args, &[]);
    assert!(refused.err.contains("live/a.key: cannot be read (Permission denied"), "{refused:?}");
}

/// Its own flags, the file or the environment say that TLS is spoken there.
#[test]
fn run_4_tls_1_healthcheck_speaks_tls() {
    let (folder, _) = folder();
    let server = in_folder(folder).args(&["--tls-cert", "good.pem", "--tls-key", "good.key"]).start();
    let port = server.addr.port().to_string();
    let health = |more: &[&str], env: &[(&str, &str)]| {
        run(&server.folder.0, &[&["healthcheck", "-p", &port], more].concat(), env)
    };
    server.folder.write("t.toml", "[tls]\ncert = ['good.pem']\nkey = ['good.key']\n");
    assert_eq!(health(&["-c", "t.toml"], &[]).code, Some(0));
    assert_eq!(health(&["--tls-self-signed"], &[]).code, Some(0), "who it is is not asked");
    assert_eq!(health(&[], &[("TIDEGATE_TLS_SELF_SIGNED", "1")]).code, Some(0));
    let plain = health(&[], &[]);
    assert!(plain.code == Some(1) && plain.err.contains("400"), "{plain:?}");
    let plain = Setup::new().start();
    let port = plain.addr.port().to_string();
    let refused = run(&plain.folder.0, &["healthcheck", "-p", &port, "--tls-self-signed"], &[]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
}

/// The listener of `--tls-redirect` may be a service manager's, as any other; what else it left is served over TLS.
#[test]
fn run_6_tls_1_an_inherited_socket_may_be_the_redirects() {
    let (folder, _) = folder();
    let redirect = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (to, public) = (redirect.local_addr().unwrap().to_string(), other.local_addr().unwrap());
    let args = ["-r", "root", "--tls-self-signed", "--tls-redirect", &to];
    let mut command = activated_twice(&folder.0, redirect, other, &args);
    let mut server = Process::spawn_with_stdout(&mut command).up();
    assert_eq!(server.urls(), [format!("https://{public}/")]);
    assert!(server.hear("  redirect ").contains(&format!("http://{to}/ to https")));
    eventually("it is served", || connect(public, &Trust::blind().config(), "localhost").is_ok());
}
