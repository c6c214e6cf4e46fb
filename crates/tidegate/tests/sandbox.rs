//! What the process may do after its start, and what it may not (SPEC SEC-7). The escapes need `--features failpoints`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod strace;
mod support;
mod tls;

use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command};

use process::{Bare, get_over_unix, is_root, lines_with, signal};
use strace::{Strace, stored_name};
use support::{Client, Folder, Server, Setup, eventually};

/// The ABI of Landlock that a server says it is confined by; without one the tests of it mean nothing.
fn abi(server: &mut Server) -> u32 {
    let row = server.wait_for_log("  sandbox ");
    let abi = row.split("landlock ABI ").nth(1).and_then(|abi| abi.parse().ok());
    abi.unwrap_or_else(|| panic!("these tests need a kernel with Landlock: {row}"))
}

/// A value of the status of every thread, each once.
fn of_every_thread(pid: u32, name: &str) -> Vec<String> {
    let status = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("status")).unwrap();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let found = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        line.unwrap().trim().to_owned()
    };
    let mut values: Vec<_> = tasks.map(|task| found(status(task.unwrap()))).collect();
    values.sort();
    values.dedup();
    values
}

#[test]
fn sec_7_the_start_up_block_says_what_confines_the_process() {
    let mut server = Server::start(&[]);
    assert!(abi(&mut server) >= 1);
    for (args, env) in [(&["--no-sandbox"][..], None), (&[], Some("1"))] {
        let setup = Setup::new().args(args).env("TIDEGATE_NO_SANDBOX", env.unwrap_or_default());
        let mut server = setup.start();
        assert!(server.wait_for_log("  sandbox ").ends_with("off: --no-sandbox"));
    }
}

#[test]
fn row_j9_sec_7_no_thread_gains_anything_by_exec_with_or_without_a_sandbox() {
    for args in [&["--workers", "2"][..], &["--workers", "2", "--no-sandbox"]] {
        let server = Server::start(args);
        assert!(server.threads().len() >= 14, "workers, pool, log and the main thread");
        assert_eq!(of_every_thread(server.pid(), "NoNewPrivs"), ["1"]);
    }
}

/// The kernel is made to say what another one would.
#[test]
fn sec_7_another_kernel_confines_less_and_is_not_hidden() {
    let faults = [
        ("landlock_create_ruleset:error=ENOSYS", "off: the kernel has no Landlock"),
        ("landlock_create_ruleset:error=EOPNOTSUPP", "off: the kernel has no Landlock"),
        ("landlock_create_ruleset:retval=1:when=1", "landlock ABI 1"),
        ("landlock_restrict_self:error=E2BIG", "(os error 7)"),
    ];
    for (fault, said) in faults {
        let inject = format!("inject={fault}");
        let strace = [
            "strace",
            "-f",
            "-q",
            "-o",
            "trace",
            "-e",
            "trace=/landlock",
            "-e",
            "signal=none",
            "-e",
            &inject,
        ];
        let mut server = Setup::new().file("a.html", "hello").wrapper(&strace).start();
        let row = server.wait_for_log("  sandbox ");
        assert!(row.ends_with(said), "{row}");
        assert_eq!(server.get("/a.html").text(), "hello");
        stored_name(&server.upload(b"[1]"));
        let warned = usize::from(fault.contains("E2BIG"));
        eventually("it says so", || lines_with(&server, "WARNING no sandbox: ").len() == warned);
        assert_eq!(of_every_thread(server.pid(), "NoNewPrivs"), ["1"]);
        server.signal("TERM");
        server.wait();
    }
}

/// Where an unnamed file cannot be linked by its descriptor (before Linux 6.10 that takes a capability) the way through
/// `/proc` is open, and where that is refused too, there are staging files.
#[test]
fn sec_7_uploads_are_stored_by_each_way_that_a_kernel_leaves() {
    if !is_root("sec_7_uploads_are_stored_by_each_way_that_a_kernel_leaves") {
        return;
    }
    for (fault, way) in [("ENOENT", "\"/proc/self/fd/"), ("EXDEV", "\".tidegate-")] {
        let mut server = Server::start(&["--threads", "1"]);
        abi(&mut server);
        let inject = format!("inject=linkat:error={fault}:when=1");
        let strace = Strace::attach(&server, "pool-", &["-e", "trace=linkat", "-e", &inject]);
        let kept = stored_name(&server.upload(b"[1]"));
        let trace = strace.detach();
        assert_eq!(strace::names(&server.uploads()), [kept], "{trace:#?}");
        assert!(trace.iter().any(|line| line.contains(way) && line.ends_with(" = 0")), "{trace:#?}");
    }
}

/// Whatever runs in the process finds every door shut; the control opens all of them.
#[cfg(feature = "failpoints")]
#[test]
fn row_j9_sec_7_an_escape_finds_nothing() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};

    for confined in [true, false] {
        let outside = Folder::new();
        outside.write("there", "secret");
        let name = format!("tidegate-escape-{}-{confined}", std::process::id());
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _abstract = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let setup = Setup::new().file("page.html", "page").file("other.html", "other").file("uploads/x", "");
        let mut server = setup
            .env("FAILPOINTS", "judge=escape")
            .env("ESCAPE_FOLDER", outside.0.to_str().unwrap())
            .env("ESCAPE_PORT", &tcp.local_addr().unwrap().port().to_string())
            .env("ESCAPE_SOCKET", &name)
            .args(if confined { &[] } else { &["--no-sandbox"] })
            .start();
        let abi = if confined { abi(&mut server) } else { 0 };
        assert_eq!(server.get("/other.html").status, 200);
        server.wait_for_log("escape: end of 19 attempts");
        let attempts = lines_with(&server, "escape: ");
        for line in &attempts[..19] {
            let from = match line {
                line if line.contains("listen") || line.contains(": connect: ") => 4,
                line if line.contains("abstract") || line.contains("signal") => 6,
                _ => 1,
            };
            let refused = line.ends_with("(os error 13)") || line.ends_with("(os error 1)");
            assert_eq!(refused, abi >= from, "{line}");
            assert_eq!(line.ends_with(": done"), abi < from, "{line}");
        }
        let left = if confined { &["there"][..] } else { &["folder", "link", "made", "moved"] };
        assert_eq!(strace::names(&outside.0), left);
        assert_eq!(std::fs::read(outside.0.join(left[left.len() - 1])).unwrap().is_empty(), !confined);
        assert_eq!(server.root().join("page.html").exists(), confined);
    }
}

/// A `strace` around a server; both are gone when it is dropped.
struct Traced(Child);

impl Traced {
    fn server(&self) -> Option<u32> {
        let children = format!("/proc/{0}/task/{0}/children", self.0.id());
        std::fs::read_to_string(children).ok()?.trim().parse().ok()
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if let Some(server) = self.server() {
            signal(server, "KILL");
        }
        let _ = self.0.wait();
    }
}

/// The calls that were refused, each with what stands before it in the same thread: where two threads call at once, that
/// is where its arguments are.
fn refused(trace: &[String]) -> Vec<(Option<&String>, &String)> {
    let is_refusal = |line: &str| ["EACCES", "EPERM", "EXDEV"].iter().any(|errno| line.contains(errno));
    let begun = |line: &str, at: usize| {
        let pid = line.split(' ').next().unwrap_or_default();
        trace[..at].iter().rev().find(|before| before.starts_with(pid))
    };
    // glibc asks that once, when it first gives back a part of an arena, and does without (malloc/arena.c, shrink_heap).
    let is_glibc = |line: &String| line.contains("/proc/sys/vm/overcommit_memory");
    let calls = trace.iter().enumerate().filter(|(_, line)| is_refusal(line));
    let calls = calls.map(|(at, line)| (begun(line, at), line));
    calls.filter(|(begun, line)| !is_glibc(line) && !begun.is_some_and(is_glibc)).collect()
}

#[test]
fn sec_7_nothing_that_the_server_does_is_refused() {
    nothing_is_refused(&Folder::new(), &[], &Client::connect);
}

#[test]
fn sec_7_tls_1_nothing_that_the_server_does_over_tls_is_refused() {
    let (folder, authority) = (Folder::new(), tls::Authority::new());
    authority.leaf(&["localhost"]).write(&folder, "a");
    let config = tls::Trust::of(&authority).config();
    let connect = |addr| tls::connect(addr, &config, "localhost").unwrap().client();
    let files = ["--tls-cert", "a.pem", "--tls-key", "a.key", "--tls-redirect", "127.0.0.1:0"];
    nothing_is_refused(&folder, &files, &connect);
}

/// Everything that a server does over its life, in a trace: the sandbox refuses none of it.
fn nothing_is_refused(folder: &Folder, more: &[&str], connect: &dyn Fn(SocketAddr) -> Client) {
    folder.write("etc/t.toml", "[limits]\nmax_requests = 7\n");
    folder.write("root/a.html", "hello");
    folder.write("root/sub/b.txt", "b".repeat(100_000));
    let wrapped = ["strace", "-f", "-q", "-o", "trace", "-e", "trace=file,network,desc", "-e", "signal=none"];
    let log = ["--log-file", "log/main", "--json-log-file", "json/lines"];
    for name in ["log", "json"] {
        std::fs::create_dir(folder.0.join(name)).unwrap();
    }
    let rest =
        ["-c", "etc/t.toml", "-H", "localhost", "--uploads", "up", "--listing", "--upload-quota", "1MiB"];
    let port = process::free_port().to_string();
    let args = [&[support::BINARY, "-r", "root", "-p", &port][..], &log, &rest, more].concat();
    let mut command = Command::new(wrapped[0]);
    let child = command.args(&wrapped[1..]).args(&args).current_dir(&folder.0).spawn().unwrap();
    let mut traced = Traced(child);
    let main = || std::fs::read_to_string(folder.0.join("log/main")).unwrap_or_default();
    eventually("it runs", || main().contains("  sandbox   landlock ABI"));
    let pid = traced.server().expect("a child");
    let url = main()
        .lines()
        .find_map(|line| Some(line.split_once("  url ")?.1.split_once("://")?.1.to_owned()))
        .unwrap();
    let addr: SocketAddr = url.trim_end_matches('/').parse().unwrap();
    let ask = |head: &str, body: &[u8]| {
        let mut client = connect(addr);
        client.send_request(head, body);
        client.response_to(head)
    };
    let get = |target: &str| ask(&format!("GET {target} HTTP/1.1\r\n"), b"");
    let all = || {
        assert_eq!(get("/a.html").text(), "hello");
        assert_eq!(get("/sub/").status, 200);
        assert_eq!(get("/sub/b.txt").body.len(), 100_000);
        assert_eq!(get("/none").status, 404);
        let head = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 3\r\n";
        let kept = stored_name(&ask(head, b"[1]"));
        assert_eq!(get(&format!("/uploads/{kept}")).text(), "[1]");
    };
    all();
    // Replaced by a rename, as any careful editor does; the old inode is gone.
    folder.write("etc/new", "[limits]\nmax_requests = 8\n");
    std::fs::rename(folder.0.join("etc/new"), folder.0.join("etc/t.toml")).unwrap();
    for file in ["log/main", "json/lines"] {
        std::fs::rename(folder.0.join(file), folder.0.join(format!("{file}.1"))).unwrap();
    }
    signal(pid, "HUP");
    eventually("it is reloaded", || {
        folder.0.join("log/main").exists()
            && format!("{}{}", main(), old(folder)).contains("limits.max_requests")
    });
    all();
    eventually("the new files are written to", || {
        let json = std::fs::read_to_string(folder.0.join("json/lines")).unwrap_or_default();
        main().contains("/a.html") && json.contains("/a.html")
    });
    signal(pid, "TERM");
    assert!(process::ended(&mut traced.0, support::SOON).unwrap().success());
    let trace = strace::lines(&folder.0.join("trace"));
    let confined = trace.iter().position(|line| line.contains("landlock_restrict_self"));
    let later = &trace[confined.unwrap_or_default()..];
    let refused = refused(later);
    assert!(refused.is_empty(), "{refused:#?}");
    assert!(later.iter().any(|line| line.contains("O_TMPFILE")), "there was something to see");
}

fn old(folder: &Folder) -> String {
    std::fs::read_to_string(folder.0.join("log/main.1")).unwrap_or_default()
}

/// As mounted by Kubernetes: the file is a link into a folder that is a link, and only the latter is bent.
#[test]
fn run_5_a_configuration_behind_bent_links_is_read_again() {
    let folder = Folder::new();
    folder.write("etc/1/t.toml", "[limits]\nmax_requests = 11\n");
    folder.write("etc/2/t.toml", "[limits]\nmax_requests = 12\n");
    folder.write("root/a.html", "hello");
    std::fs::create_dir(folder.0.join("logs")).unwrap();
    symlink("1", folder.0.join("etc/data")).unwrap();
    symlink("data/t.toml", folder.0.join("etc/t.toml")).unwrap();
    let (server, _) = Bare::serve(folder, &["-c", "etc/t.toml"], &[("LOG_FILE", "logs/log")]);
    let log = || std::fs::read_to_string(server.folder.0.join("logs/log")).unwrap_or_default();
    symlink("2", server.folder.0.join("etc/new")).unwrap();
    std::fs::rename(server.folder.0.join("etc/new"), server.folder.0.join("etc/data")).unwrap();
    server.signal("HUP");
    eventually("it is reloaded", || log().contains("changed: limits.max_requests"));
}

#[test]
fn run_5_a_reload_looks_no_name_up_and_refuses_another() {
    let folder = Folder::new();
    folder.write("etc/t.toml", "[server]\nhost = \"localhost\"\n");
    let (server, _) = Bare::serve(folder, &["-c", "etc/t.toml", "--workers", "auto"], &[]);
    server.signal("HUP");
    server.wait_for_log("nothing changed");
    server.folder.write("etc/t.toml", "[server]\nhost = \"elsewhere.invalid\"\n");
    server.signal("HUP");
    server.wait_for_log("server.host cannot change");
    server.folder.write("etc/t.toml", "[server]\nhost = \"localhost\"\nsandbox = false\n");
    server.signal("HUP");
    server.wait_for_log("server.sandbox cannot change");
}

#[test]
fn sec_7_a_log_that_is_no_file_and_a_socket_outside_work() {
    let folder = Folder::new();
    let run = Folder::new();
    let socket = run.0.join("socket");
    let listen = format!("unix:{}", socket.display());
    let args = ["-r", "root", "--listen", &listen, "--json-log-file", "/dev/null"];
    folder.write("root/a.html", "hello");
    let mut server = Bare::start(folder, &args, &[]);
    server.wait_for_log("landlock ABI");
    assert!(get_over_unix(&socket, "/a.html").ends_with("hello"));
    server.signal("HUP");
    server.wait_for_log("nothing changed");
    server.signal("TERM");
    assert!(server.wait().success());
    assert!(!socket.exists(), "its file is removed at the end");
}

#[test]
fn sec_7_what_is_mounted_beneath_the_root_is_served() {
    if !is_root("sec_7_what_is_mounted_beneath_the_root_is_served") {
        return;
    }
    let other = Folder::new();
    other.write("page.html", "from elsewhere");
    let setup = Setup::new().file("mounted/.keep", "");
    let at = setup.root().join("mounted");
    mount(&["--bind", other.0.to_str().unwrap(), at.to_str().unwrap()]);
    symlink("mounted/page.html", setup.root().join("link.html")).unwrap();
    let mut server = setup.start();
    let answers = ["/mounted/page.html", "/link.html"].map(|target| server.get(target).text());
    let later = server.root().join("mounted");
    assert!(Command::new("umount").arg(&later).status().unwrap().success());
    abi(&mut server);
    assert_eq!(answers, ["from elsewhere", "from elsewhere"]);
}

fn mount(args: &[&str]) {
    assert!(Command::new("mount").args(args).status().unwrap().success());
    assert!(Path::new(args[2]).exists());
}
