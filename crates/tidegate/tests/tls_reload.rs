//! Reload of certificates (SPEC TLS-1, RUN-5): who is served by which one, what refuses the whole reload, what becomes
//! of connections and tickets, and that a renewal is seen behind the sandbox and by another user.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod life;
mod process;
mod support;
mod tls;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use life::{Process, reload, rounds};
use process::is_root;
use rcgen::{KeyPair, date_time_ymd};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use support::{Server, Setup, eventually};
use tls::{Authority, Leaf, TLS12, TLS13, Trust, connect};

const NAME: &str = "localhost";
/// Between two requests of a client, so that the reloads are what takes the time.
const PAUSE: Duration = Duration::from_millis(2);

/// The settings of a server with one certificate, and something else that is new each `round`.
fn settings(round: usize) -> String {
    let idle = 60 + round % 7;
    format!("[limits]\nmax_requests = 0\nkeep_alive = '{idle}s'\n[tls]\ncert = ['a.pem']\nkey = ['a.key']\n")
}

/// A server with the certificate `leaf`, and further flags.
fn start(leaf: &Leaf, more: &[&str]) -> Server {
    let setup = Setup::new().file("index.html", "here").args(&["-c", "t.toml", "--control", "control.sock"]);
    setup.folder.write("t.toml", settings(0));
    leaf.write(&setup.folder, "a");
    setup.args(more).start()
}

/// Reloads; what came of it, as it was said.
fn reloaded(server: &Server) -> Result<String, String> {
    let outcome = reload(&server.folder.0);
    match outcome.code {
        Some(0) => Ok(outcome.out),
        _ => Err(outcome.err),
    }
}

/// The certificate that a new client is shown, once all workers have heard of a reload.
fn shown(server: &Server, config: &Arc<ClientConfig>) -> CertificateDer<'static> {
    connect(server.addr, config, NAME).unwrap().certificate()
}

fn eventually_shown(server: &Server, config: &Arc<ClientConfig>, leaf: &Leaf) {
    // Two workers: each must have been met.
    eventually("the new certificate is shown", || (0..8).all(|_| shown(server, config) == leaf.der));
}

/// A client that resumes nothing, so that it is shown a certificate each time.
fn forgetful(trust: Trust) -> Arc<ClientConfig> {
    let mut config = Arc::unwrap_or_clone(trust.config());
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// Clients that ask on until they are stopped; any failure is one of the test.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// On `server`: with each of these settings one client that keeps its connection, and one that makes a new one for
    /// each request.
    fn on(server: &Server, configs: &[Arc<ClientConfig>]) -> Self {
        let mut load = Self { stop: Arc::default(), asked: Arc::default(), clients: Vec::new() };
        for (config, keeps) in configs.iter().flat_map(|config| [(config, true), (config, false)]) {
            let (addr, config) = (server.addr, Arc::clone(config));
            let (stop, asked) = (Arc::clone(&load.stop), Arc::clone(&load.asked));
            load.clients.push(std::thread::spawn(move || {
                let connect = || connect(addr, &config, NAME).expect("a handshake").client();
                let mut client = connect();
                while !stop.load(Relaxed) {
                    assert_eq!(client.get("/").text(), "here");
                    asked.fetch_add(1, Relaxed);
                    std::thread::sleep(PAUSE);
                    if !keeps {
                        client = connect();
                    }
                }
            }));
        }
        load
    }

    /// Waits until `count` more requests were answered.
    fn asks_on(&self, count: usize) {
        let until = self.asked.load(Relaxed) + count;
        eventually("the clients are served", || self.asked.load(Relaxed) >= until);
    }

    /// Ends it; how many requests there were, none of which failed.
    fn stop(self) -> usize {
        self.stop.store(true, Relaxed);
        self.clients.into_iter().for_each(|client| client.join().expect("no request failed"));
        self.asked.load(Relaxed)
    }
}

/// Breaks the certificate or the settings of `server` in one of six ways; what the refusal must say.
fn break_it(server: &Server, authority: &Authority, round: usize) -> &'static str {
    let folder = &server.folder;
    match round % 6 {
        0 => {
            folder.write("a.pem", "-----BEGIN CERTIFICATE-----\nMIIB");
            "a.pem: is damaged"
        }
        1 => {
            folder.write("a.key", authority.leaf(&[NAME]).key);
            "a.key: is not the key of the certificate in a.pem"
        }
        2 => {
            std::fs::remove_file(folder.0.join("a.key")).unwrap();
            "a.key: cannot be read"
        }
        3 => {
            let expired = authority.leaf_with(&[NAME], &KeyPair::generate().unwrap(), |params| {
                params.not_after = date_time_ymd(2002, 1, 1);
            });
            expired.replace(folder, "a");
            "a.pem: the certificate for localhost expired on Tue, 01 Jan 2002"
        }
        4 => {
            folder.write("t.toml", settings(round).replace("key = ['a.key']", ""));
            "no key to go with it"
        }
        _ => {
            folder.write("t.toml", settings(round) + "self_signed = true\n");
            "there are certificates of your own"
        }
    }
}

#[test]
fn row_j7_tls_1_a_storm_of_reloads_half_of_them_broken_costs_no_request() {
    let authority = Authority::new();
    let server = start(&authority.leaf(&[NAME]), &["--access-log", "off"]);
    let trust = |versions| Trust::of(&authority).versions(versions);
    let load = Load::on(&server, &[trust(TLS12).config(), trust(TLS13).config(), forgetful(trust(TLS13))]);
    let reloads = rounds(200);
    let mut last = None;
    for round in 0..reloads / 2 {
        let leaf = authority.leaf(&[NAME]);
        leaf.replace(&server.folder, "a");
        server.folder.write("t.toml", settings(round + 1));
        assert!(reloaded(&server).unwrap().contains("limits.keep_alive"), "round {round}");
        let why = break_it(&server, &authority, round);
        let said = reloaded(&server).unwrap_err();
        assert!(said.contains("the old one goes on: ") && said.contains(why), "round {round}: {said}");
        load.asks_on(1);
        last = Some(leaf);
    }
    eventually_shown(&server, &forgetful(trust(TLS13)), &last.unwrap());
    let asked = load.stop();
    println!("{reloads} reloads, {asked} requests");
    assert!(asked >= reloads / 2);
}

#[test]
fn run_5_tls_1_a_new_certificate_is_for_new_handshakes_and_old_connections_go_on() {
    let authority = Authority::new();
    let (old, new) = (authority.leaf(&[NAME]), authority.leaf(&[NAME, "more.example"]));
    let server = start(&old, &[]);
    let config = forgetful(Trust::of(&authority));
    let connected = connect(server.addr, &config, NAME).unwrap();
    assert_eq!(connected.certificate(), old.der);
    let mut kept = connected.client();
    assert_eq!(kept.get("/").text(), "here");
    new.replace(&server.folder, "a");
    assert_eq!(shown(&server, &config), old.der, "nobody said that it changed");
    let said = reloaded(&server).unwrap();
    assert!(said.contains("configuration reloaded"), "{said}");
    eventually_shown(&server, &config, &new);
    assert_eq!(kept.get("/").text(), "here", "it keeps what it began with");
}

/// A ticket goes on over a reload that changes no certificate, and not over one that does (ATTACKS G4).
#[test]
fn row_g4_tls_1_tickets_live_as_long_as_the_certificates_do() {
    let authority = Authority::new();
    let leaf = authority.leaf(&[NAME]);
    let server = start(&leaf, &[]);
    for versions in [TLS12, TLS13] {
        let config = Trust::of(&authority).versions(versions).config();
        let resumes = || {
            let connected = connect(server.addr, &config, NAME).unwrap();
            let resumed = connected.is_resumed();
            // A ticket of TLS 1.3 comes behind the handshake.
            assert_eq!(connected.client().get("/").text(), "here");
            resumed
        };
        assert!(!resumes(), "the first time");
        assert!(resumes());
        reloaded(&server).unwrap();
        assert!((0..8).all(|_| resumes()), "nothing has changed");
        authority.leaf(&[NAME]).replace(&server.folder, "a");
        reloaded(&server).unwrap();
        // A worker that has not heard of it yet still resumes; then each session begins anew, and is good again.
        eventually("the old tickets are good for nothing", || !resumes());
        eventually("the new ones are good", || (0..8).all(|_| resumes()));
    }
}

#[test]
fn run_5_tls_1_what_is_fixed_or_broken_refuses_the_reload_and_is_named() {
    let authority = Authority::new();
    let server = start(&authority.leaf(&[NAME]), &[]);
    let base = "[limits]\nmax_requests = 0\nkeep_alive = '60s'\n";
    for (tls, why) in [
        ("", "tls.cert cannot change while the server runs; restart it for that"),
        ("[tls]\nself_signed = true\n", "tls.cert cannot change"),
        ("[tls]\ncert = ['b/a.pem']\nkey = ['a.key']\n", "tls.cert cannot change"),
        (
            "[tls]\ncert = ['a.pem']\nkey = ['a.key']\nredirect = '127.0.0.1:1'\n",
            "tls.redirect cannot change",
        ),
        ("[tls]\ncert = ['b.pem']\nkey = ['a.key']\n", "b.pem: cannot be read"),
    ] {
        server.folder.write("t.toml", format!("{base}{tls}"));
        let said = reloaded(&server).unwrap_err();
        assert!(said.contains(why), "{tls}: {said}");
    }
    server.folder.write("t.toml", settings(1));
    let said = reloaded(&server).unwrap();
    assert!(said.contains("changed: limits.keep_alive"), "{said}");
}

/// The successor has all listeners, also that which sends on, and speaks TLS at once.
#[test]
fn row_j8_tls_1_a_takeover_takes_the_redirect_along() {
    let setup = Setup::new().file("index.html", "here").args(&["--control", "control.sock"]);
    let setup = setup.args(&["--tls-self-signed", "--tls-redirect", "127.0.0.1:0"]);
    let config = forgetful(Trust::blind());
    let mut old = Process::start(&setup, &[]);
    let (addr, redirect) = (old.addr, old.hear("  redirect "));
    let mut kept = connect(addr, &config, NAME).unwrap().client();
    assert_eq!(kept.get("/").text(), "here");
    let mut new = Process::start(&setup, &["--takeover"]);
    assert_eq!((new.addr, new.hear("  redirect ")), (addr, redirect));
    assert_eq!(old.end(), Some(0), "{:#?}", old.said());
    assert_eq!(connect(addr, &config, NAME).unwrap().client().get("/").text(), "here");
}

/// As certbot renews: files in a folder of their own, and links to the newest that are bent, behind the sandbox.
#[test]
fn sec_7_tls_1_a_renewal_behind_links_is_seen_in_the_sandbox() {
    renewed_behind_links(&[]);
}

/// The same as another user, which may read them and nothing more.
#[test]
fn sec_7_tls_1_a_renewal_behind_links_is_seen_by_the_other_user() {
    if is_root("sec_7_tls_1_a_renewal_behind_links_is_seen_by_the_other_user") {
        renewed_behind_links(&["--user", "nobody", "--uploads", "up"]);
    }
}

fn renewed_behind_links(more: &[&str]) {
    let authority = Authority::new();
    let (old, new) = (authority.leaf(&[NAME]), authority.leaf(&[NAME]));
    let setup = Setup::new().file("index.html", "here").args(&["--control", "control.sock"]);
    let folder = setup.folder.0.clone();
    for (leaf, number) in [(&old, 1), (&new, 2)] {
        setup.folder.write(&format!("archive/a/cert{number}.pem"), &leaf.chain);
        setup.folder.write(&format!("archive/a/key{number}.pem"), &leaf.key);
    }
    let bend = |number: usize| {
        for name in ["cert", "key"] {
            let next = folder.join(format!("live/a/{name}.next"));
            symlink(format!("../../archive/a/{name}{number}.pem"), &next).unwrap();
            std::fs::rename(next, folder.join(format!("live/a/{name}.pem"))).unwrap();
        }
    };
    for folder in [folder.join("live/a"), folder.join("up")] {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    bend(1);
    let files = ["--tls-cert", "live/a/cert.pem", "--tls-key", "live/a/key.pem"];
    let server = setup.args(&files).args(more).start();
    let config = forgetful(Trust::of(&authority));
    assert_eq!(shown(&server, &config), old.der);
    bend(2);
    reloaded(&server).unwrap();
    eventually_shown(&server, &config, &new);
}

/// A certificate that ends while it is served goes on being served: to end then would help nobody. A reload says so.
#[test]
fn row_g6_tls_1_a_certificate_that_ends_while_it_is_served_stops_nobody() {
    let authority = Authority::new();
    let end = SystemTime::now() + Duration::from_secs(6);
    let short =
        authority.leaf_with(&[NAME], &KeyPair::generate().unwrap(), |params| params.not_after = end.into());
    let mut server = start(&short, &[]);
    server.wait_for_log("the certificate for localhost in a.pem expires on ");
    let blind = forgetful(Trust::blind());
    eventually("it has ended", || SystemTime::now() > end + Duration::from_secs(1));
    let believing = forgetful(Trust::of(&authority));
    assert!(connect(server.addr, &believing, NAME).is_err(), "the control: it has");
    assert_eq!(connect(server.addr, &blind, NAME).unwrap().client().get("/").text(), "here");
    let said = reloaded(&server).unwrap_err();
    assert!(said.contains("a.pem: the certificate for localhost expired on "), "{said}");
    assert_eq!(shown(&server, &blind), short.der, "the old one goes on");
}

/// One of our own stays as long as its names do, so that who has accepted it is not asked again.
#[test]
fn run_5_tls_1_a_certificate_of_our_own_outlives_a_reload_that_changes_no_name() {
    let setup = Setup::new().args(&["-c", "t.toml", "--control", "control.sock", "--tls-self-signed"]);
    setup.folder.write("t.toml", "");
    let server = setup.start();
    let config = forgetful(Trust::blind());
    let first = shown(&server, &config);
    server.folder.write("t.toml", "[limits]\nkeep_alive = '9s'\n");
    reloaded(&server).unwrap();
    assert!((0..8).all(|_| shown(&server, &config) == first));
    server.folder.write("t.toml", "[security]\nallow_host = ['new.example']\n");
    reloaded(&server).unwrap();
    eventually("it bears the new name", || shown(&server, &config) != first);
}
