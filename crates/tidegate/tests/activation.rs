//! Socket activation (SPEC RUN-6): which inherited sockets are served and how, what is refused, and that a restart
//! behind such a socket refuses nobody.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod life;
mod process;
mod support;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::Command;

use life::crowd::{self, At, Crowd};
use life::manager::{activated, activated_twice};
use life::{Process, rounds};
use process::{Outcome, get_over_unix};
use socket2::{Domain, Socket, Type};
use support::{Client, Folder, Setup, eventually};

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("root/a.html", "here");
    folder
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

fn url(addr: SocketAddr) -> String {
    format!("http://{addr}/")
}

#[test]
fn run_6_an_inherited_socket_takes_the_place_of_its_address() {
    let (folder, (listener, addr)) = (folder(), listener());
    let listen = addr.to_string();
    let args = ["-r", "root", "--listen", &listen, "--listen", "127.0.0.1:0"];
    let server = Process::spawn(&mut activated(&folder.0, listener, &args)).up();
    let urls = server.urls();
    assert!(urls.len() == 2 && urls.contains(&url(addr)), "{urls:?}");
    for url in urls {
        let addr = url.trim_start_matches("http://").trim_end_matches('/').parse().unwrap();
        assert_eq!(Client::connect(addr).get("/a.html").text(), "here", "{url}");
    }
}

#[test]
fn run_6_an_inherited_socket_is_instead_of_the_default_address() {
    let (folder, (listener, addr)) = (folder(), listener());
    let server = Process::spawn(&mut activated(&folder.0, listener, &["-r", "root"])).up();
    assert_eq!(server.urls(), [url(addr)], "nothing else is bound");
    assert_eq!(Client::connect(addr).get("/a.html").text(), "here");
}

#[test]
fn run_6_an_address_that_is_asked_for_is_bound_beside_it() {
    let (folder, (listener, addr)) = (folder(), listener());
    let port = process::free_port().to_string();
    let server = Process::spawn(&mut activated(&folder.0, listener, &["-r", "root", "-p", &port])).up();
    let urls = server.urls();
    assert_eq!(urls.len(), 2, "{urls:?}");
    assert!(urls.contains(&url(addr)) && urls.contains(&format!("http://127.0.0.1:{port}/")), "{urls:?}");
    assert_eq!(Client::connect(addr).get("/a.html").text(), "here");
}

#[test]
fn run_6_several_sockets_by_name_unix_too() {
    let (folder, (listener, addr)) = (folder(), listener());
    let path = folder.0.join("s");
    let unix = UnixListener::bind(&path).unwrap();
    let mut command = activated_twice(&folder.0, listener, unix, &["-r", "root"]);
    let mut server = Process::spawn_with_stdout(command.env("LISTEN_FDNAMES", "web:local")).up();
    assert_eq!(server.urls(), [url(addr), format!("unix:{}", path.display())]);
    assert_eq!(Client::connect(addr).get("/a.html").text(), "here");
    assert!(get_over_unix(&path, "/a.html").ends_with("\r\n\r\nhere"));
    server.signal("TERM");
    assert_eq!(server.end(), Some(0));
    assert!(path.exists(), "its file is its maker's");
}

/// As `ListenStream=80` makes one: for IPv4 too, whose clients are known by their own addresses.
#[test]
fn run_6_a_socket_for_both_kinds_of_addresses() {
    let folder = folder();
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
    socket.set_only_v6(false).unwrap();
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into()).unwrap();
    socket.listen(16).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    let mut server = Process::spawn(&mut activated(&folder.0, socket, &["-r", "root"])).up();
    for ip in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
        let mut client = Client::connect((ip, port).into());
        assert_eq!(client.get("/a.html").text(), "here", "{ip}");
        assert_eq!(client.get("/metrics").status, 200, "{ip} is a local operator");
    }
    server.hear(" 127.0.0.1 \"GET /a.html");
}

#[test]
fn run_6_sockets_for_another_process_are_left_alone() {
    let (folder, (listener, addr)) = (folder(), listener());
    let keeper = listener.try_clone().unwrap();
    let mut command = activated(&folder.0, listener, &["-r", "root", "-p", "0"]);
    let server = Process::spawn(command.env("PID", std::process::id().to_string())).up();
    assert!(server.urls().len() == 1 && server.addr != addr, "{:?}", server.urls());
    let _waiting = std::net::TcpStream::connect(addr).unwrap();
    keeper.set_nonblocking(true).unwrap();
    assert!(keeper.accept().is_ok(), "the server took what was not for it");
}

/// Runs to its end, with the one line of complaint.
fn complaint(command: &mut Command) -> String {
    let outcome = outcome_with_stdin(command);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    assert_eq!(outcome.err.lines().count(), 1, "{outcome:?}");
    outcome.err
}

/// As `process::outcome`, for a command whose standard input is taken.
fn outcome_with_stdin(command: &mut Command) -> Outcome {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Outcome { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

#[test]
fn run_6_what_is_no_listening_stream_socket_is_refused() {
    let folder = folder();
    let silent = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    silent.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let (_accepting, addr) = listener();
    let wrong: [(&str, OwnedFd); 5] = [
        ("a file", std::fs::File::open(folder.write("file", "")).unwrap().into()),
        ("of datagrams", UdpSocket::bind("127.0.0.1:0").unwrap().into()),
        ("of unix datagrams", UnixDatagram::unbound().unwrap().into()),
        ("bound only", silent.into()),
        ("connected", std::net::TcpStream::connect(addr).unwrap().into()),
    ];
    for (what, socket) in wrong {
        let complaint = complaint(&mut activated(&folder.0, socket, &["-r", "root"]));
        assert!(complaint.contains("LISTEN_FDS") || complaint.contains("socket"), "{what}: {complaint}");
    }
    let (listener, _) = listener();
    let mut command = activated(&folder.0, listener, &["-r", "nowhere"]);
    assert!(complaint(&mut command).contains("nowhere"), "other mistakes are told as ever");
}

#[test]
fn run_6_all_workers_serve_from_one_socket() {
    let (folder, (listener, addr)) = (folder(), listener());
    let args = ["-r", "root", "--workers", "3", "--access-log", "off"];
    let server = Process::spawn(&mut activated(&folder.0, listener, &args)).up();
    eventually("each has served somebody", || {
        let mut crowd: Vec<_> = (0..30).map(|_| Client::connect(addr)).collect();
        crowd.iter_mut().for_each(|client| client.send_request("GET /a.html HTTP/1.1\r\n", b""));
        crowd.iter_mut().for_each(|client| assert_eq!(client.response().text(), "here"));
        let status = server.connect().get("/status").json();
        let workers = status["workers"].as_array().unwrap();
        assert_eq!(workers.len(), 3, "{status}");
        workers.iter().all(|worker| worker["served"].as_u64().unwrap() > 0)
    });
}

/// Ends and starts a server again and again, each time by `command`, with the crowd asking on.
fn restarts_under_load(times: usize, at: &At, mut command: impl FnMut() -> Command) -> crowd::Tally {
    let mut server = Process::spawn(&mut command()).up();
    let crowd = Crowd::at(at, &crowd::ALL);
    for _ in 0..times {
        crowd.asks_on(20);
        server.signal("TERM");
        assert_eq!(server.end(), Some(0), "{:#?}", server.said());
        server = Process::spawn(&mut command()).up();
    }
    crowd.asks_on(20);
    crowd.stop()
}

#[test]
fn run_6_restarts_behind_a_socket_refuse_nobody() {
    let setup = crowd::with_files(Setup::new());
    let (listener, addr) = listener();
    let times = rounds(10);
    let tally = restarts_under_load(times, &At::Tcp(addr), || {
        let listener = listener.try_clone().unwrap();
        activated(&setup.folder.0, listener, &["-r", "root", "--access-log", "off"])
    });
    println!("{times} restarts behind a socket: {}", tally.summary());
    tally.assert_flawless();
    tally.assert_kept(&setup.root().join("uploads"));
}

#[test]
fn run_6_restarts_behind_a_unix_socket_refuse_nobody() {
    let setup = crowd::with_files(Setup::new());
    let path = setup.folder.0.join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let args = ["-r", "root", "--access-log", "off", "--rate-limit", "off"];
    let tally = restarts_under_load(rounds(3), &At::Unix(path), || {
        activated(&setup.folder.0, listener.try_clone().unwrap(), &args)
    });
    tally.assert_flawless();
    tally.assert_kept(&setup.root().join("uploads"));
}

/// What the two above look at is seen where there is something to see: a server that binds for itself.
#[test]
fn run_6_restarts_without_such_a_socket_refuse_somebody() {
    let listen = format!("127.0.0.1:{}", process::free_port());
    let setup = crowd::with_files(Setup::new()).args(&["--listen", &listen, "--access-log", "off"]);
    let tally = restarts_under_load(3, &At::Tcp(listen.parse().unwrap()), || setup.command());
    assert!(tally.refused > 0, "{}", tally.summary());
    tally.assert_kept(&setup.root().join("uploads"));
}

/// The manager's socket is as it was: a connection that came while no server ran is served by the next.
#[test]
fn run_6_who_comes_while_no_server_runs_waits_for_the_next() {
    let (folder, (listener, addr)) = (folder(), listener());
    let start =
        || Process::spawn(&mut activated(&folder.0, listener.try_clone().unwrap(), &["-r", "root"])).up();
    let mut server = start();
    assert_eq!(Client::connect(addr).get("/a.html").text(), "here");
    server.signal("TERM");
    assert_eq!(server.end(), Some(0));
    let mut waiting: Vec<_> = (0..20).map(|_| Client::connect(addr)).collect();
    waiting.iter_mut().for_each(|client| client.send_request("GET /a.html HTTP/1.1\r\n", b""));
    let mut server = start();
    waiting.iter_mut().for_each(|client| assert_eq!(client.response().text(), "here"));
    // The same after a crash.
    server.signal("KILL");
    assert_eq!(server.end(), None);
    let mut waiting = Client::connect(addr);
    waiting.send_request("GET /a.html HTTP/1.1\r\n", b"");
    let _server = start();
    assert_eq!(waiting.response().text(), "here");
}

/// `tidegate check` is run by people, whatever their shell has inherited.
#[test]
fn run_6_check_takes_no_socket() {
    let folder = folder();
    let (listener, _) = listener();
    let outcome = outcome_with_stdin(&mut activated(&folder.0, listener, &["check", "-r", "root"]));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
}
