//! `--user`: what is left of root's rights once the server runs, and what is checked before it does (SPEC SEC-7,
//! RUN-2). Needs root and the users `nobody` and `daemon`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod strace;
mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use process::{Bare, Outcome, is_free, is_root, outcome, run};
use strace::{assert_refused, stored_name};
use support::{BINARY, Client, Folder, eventually, settle};

/// Number of `nobody` and its group, as Debian and most others have them.
fn nobody() -> (u32, u32) {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find_map(|line| line.strip_prefix("nobody:")).unwrap();
    let mut numbers = line.split(':').skip(1).map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// A folder with a page, and folders of nobody's for uploads and logs.
fn laid_out() -> Folder {
    let folder = Folder::new();
    folder.write("root/a.html", "hello");
    for name in ["root/uploads", "logs"] {
        std::fs::create_dir_all(folder.0.join(name)).unwrap();
        chown(folder.0.join(name), Some(nobody().0), None).unwrap();
    }
    folder
}

fn as_nobody(folder: Folder, args: &[&str]) -> (Bare, std::net::SocketAddr) {
    let args = [&["--user", "nobody", "--log-file", "logs/log", "--workers", "2"], args].concat();
    Bare::serve(folder, &args, &[])
}

fn log(server: &Bare) -> String {
    std::fs::read_to_string(server.folder.0.join("logs/log")).unwrap_or_default()
}

fn ask(addr: std::net::SocketAddr, head: &str, body: &[u8]) -> support::Response {
    let mut client = Client::connect(addr);
    client.send_request(head, body);
    client.response()
}

fn upload(addr: std::net::SocketAddr) -> support::Response {
    ask(addr, "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 3\r\n", b"[1]")
}

#[test]
fn row_j9_sec_7_every_thread_is_the_other_user_and_has_no_capability() {
    if !is_root("row_j9_sec_7_every_thread_is_the_other_user_and_has_no_capability") {
        return;
    }
    for more in [&[][..], &["--no-sandbox"]] {
        let (server, _) = as_nobody(laid_out(), more);
        eventually("it runs", || log(&server).contains("  user      nobody"));
        let (uid, gid) = nobody();
        let none = "0000000000000000".to_owned();
        let mut expected = vec![
            ("Uid", [uid.to_string().as_str(); 4].join("\t")),
            ("Gid", [gid.to_string().as_str(); 4].join("\t")),
            ("Groups", gid.to_string()),
            ("NoNewPrivs", "1".into()),
        ];
        expected.extend(["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|set| (set, none.clone())));
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.child.id())).unwrap();
        let statuses: Vec<_> =
            tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap()).collect();
        assert!(statuses.len() >= 14, "workers, pool, log and the main thread");
        for (name, value) in &expected {
            for status in &statuses {
                let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
                assert_eq!(line.unwrap().trim(), value, "{name}");
            }
        }
    }
}

#[test]
fn sec_7_the_other_user_serves_stores_reloads_and_rotates() {
    if !is_root("sec_7_the_other_user_serves_stores_reloads_and_rotates") {
        return;
    }
    let folder = laid_out();
    folder.write("t.toml", "[limits]\nmax_requests = 7\n");
    let (mut server, addr) = as_nobody(folder, &["-c", "t.toml"]);
    assert_eq!(ask(addr, "GET /a.html HTTP/1.1\r\n", b"").text(), "hello");
    let kept = server.folder.0.join("root/uploads").join(stored_name(&upload(addr)));
    assert_eq!((std::fs::read(&kept).unwrap(), kept.metadata().unwrap().uid()), (b"[1]".into(), nobody().0));
    server.folder.write("new", "[limits]\nmax_requests = 8\n");
    std::fs::rename(server.folder.0.join("new"), server.folder.0.join("t.toml")).unwrap();
    let (logs, old) = (server.folder.0.join("logs"), server.folder.0.join("logs/old"));
    std::fs::rename(logs.join("log"), &old).unwrap();
    server.signal("HUP");
    eventually("a new log is begun", || logs.join("log").exists());
    eventually("it is reloaded", || {
        format!("{}{}", std::fs::read_to_string(&old).unwrap(), log(&server)).contains("limits.max_requests")
    });
    stored_name(&upload(addr));
    server.signal("TERM");
    assert!(server.wait().success());
    assert!(log(&server).contains("stopped after"));
}

/// A free port of these.
fn low_port(mut ports: std::ops::Range<u16>) -> u16 {
    ports.find(|port| is_free(([127, 0, 0, 1], *port).into())).unwrap()
}

#[test]
fn row_j9_sec_7_a_port_below_1024_is_bound_before_rights_are_given_up() {
    if !is_root("row_j9_sec_7_a_port_below_1024_is_bound_before_rights_are_given_up") {
        return;
    }
    let port = low_port(600..1024);
    let args = ["-r", "root", "-p", &port.to_string(), "--user", "nobody", "--log-file", "logs/log"];
    let server = Bare::start(laid_out(), &args, &[]);
    eventually("it runs", || log(&server).contains("  user      nobody"));
    assert_eq!(ask(([127, 0, 0, 1], port).into(), "GET /a.html HTTP/1.1\r\n", b"").text(), "hello");
}

/// Starts that must fail: exit code 1, and a sentence that says who lacks what.
#[test]
fn sec_7_rights_that_the_other_user_lacks_are_told_at_start() {
    if !is_root("sec_7_rights_that_the_other_user_lacks_are_told_at_start") {
        return;
    }
    let folder = laid_out();
    std::fs::create_dir(folder.0.join("roots")).unwrap();
    let fails = |args: &[&str], sentence: &str| {
        let args = [&["-r", "root", "-p", "0", "--user"], args].concat();
        let Outcome { code, err, .. } = run(&folder.0, &args, &[]);
        assert_eq!(code, Some(1), "{err}");
        assert!(err.contains(sentence), "{err}");
    };
    fails(&["nobody", "--uploads", "roots"], "user nobody cannot store uploads: roots: Permission denied");
    fails(&["nobody", "--uploads", "none"], "user nobody cannot store uploads: none: Permission denied");
    fails(&["nobody", "--log-file", "roots/log"], "cannot begin a log in roots: Permission denied");
    fails(&["no-such-user"], "user no-such-user: no such name or number in /etc/passwd");
    folder.write("logs/log", "root's");
    fails(&["nobody", "--log-file", "logs/log"], "cannot open the log: logs/log: Permission denied");
    std::fs::set_permissions(folder.0.join("root"), PermissionsExt::from_mode(0o700)).unwrap();
    fails(&["nobody", "--uploads", "logs"], "root root: Permission denied");
}

#[test]
fn run_2_check_warns_of_a_user_that_is_unknown() {
    let folder = Folder::new();
    std::fs::create_dir(folder.0.join("root")).unwrap();
    let Outcome { code, out, err } = run(&folder.0, &["check", "-r", "root", "--user", "no-such-user"], &[]);
    assert_eq!(
        (code, err.as_str()),
        (Some(0), "warning: user no-such-user: no such name or number in /etc/passwd\n")
    );
    assert!(out.contains("\nuser = \"no-such-user\"\nsandbox = true\n"), "{out}");
}

/// `check` asks the kernel what that user may, as a start does, and not what root may.
#[test]
fn run_4_check_with_a_user_judges_files_as_that_user_and_not_as_root() {
    if !is_root("run_4_check_with_a_user_judges_files_as_that_user_and_not_as_root") {
        return;
    }
    let folder = laid_out();
    folder.write("t.toml", "");
    folder.write("token", "0123456789abcdef0123456789abcdef");
    std::fs::create_dir_all(folder.0.join("roots")).unwrap();
    let args = ["-r", "root", "-c", "t.toml", "--admin-token-file", "token", "--log-file", "roots/log"];
    let check = |user: &[&str]| run(&folder.0, &[&["check"], &args[..], user].concat(), &[]);
    let as_nobody = || check(&["--user", "nobody"]).err;
    let cannot_log = "warning: nobody may not write in roots: Permission denied (os error 13)\n";
    assert_eq!(as_nobody(), cannot_log, "the rest is open to all");
    for name in ["t.toml", "token", "root/uploads", "root"] {
        let path = folder.0.join(name);
        let open = path.metadata().unwrap().permissions();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o500)).unwrap();
        chown(&path, Some(0), Some(0)).unwrap();
        let said = as_nobody();
        let expected = match name {
            "t.toml" | "token" => {
                format!("reloads will be refused: nobody may not read {name}: Permission denied")
            }
            "root" => "root root: Permission denied".to_owned(),
            _ => format!("nobody may not write in {name}: Permission denied"),
        };
        assert!(said.contains(&expected), "{name}: {said}");
        assert_eq!(check(&[]).err, "", "root may all that");
        std::fs::set_permissions(&path, open).unwrap();
    }
}

#[test]
fn run_4_check_by_who_cannot_become_the_user_says_for_whom_it_judged() {
    if !is_root("run_4_check_by_who_cannot_become_the_user_says_for_whom_it_judged") {
        return;
    }
    let folder = laid_out();
    let program = program_for_all(&folder);
    let (uid, gid) = nobody();
    let check = |user: &str| {
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()]);
        command.arg(&program).args(["check", "-r", "root", "--user", user]).current_dir(&folder.0);
        outcome(&mut command)
    };
    let other = check("daemon");
    let said =
        "warning: files were judged as the user who runs this check; only root can look at them as daemon\n";
    assert_eq!((other.code, other.err.as_str()), (Some(0), said));
    assert_eq!((check("nobody").code, check("nobody").err.as_str()), (Some(0), ""));
}

/// Where nobody made a folder for uploads and none is asked for, files are served alone (UP-3).
#[test]
fn up_3_a_user_who_cannot_make_the_uploads_folder_serves_files() {
    if !is_root("up_3_a_user_who_cannot_make_the_uploads_folder_serves_files") {
        return;
    }
    let folder = laid_out();
    std::fs::remove_dir(folder.0.join("root/uploads")).unwrap();
    let (server, addr) = as_nobody(folder, &[]);
    assert_eq!(ask(addr, "GET /a.html HTTP/1.1\r\n", b"").text(), "hello");
    assert_refused(&upload(addr), 503, "uploads_unavailable");
    eventually("it says so", || {
        log(&server).contains("uploads are refused: root/uploads: Permission denied")
    });
}

#[test]
fn sec_7_a_configuration_that_the_other_user_cannot_read_is_a_warning() {
    if !is_root("sec_7_a_configuration_that_the_other_user_cannot_read_is_a_warning") {
        return;
    }
    let folder = laid_out();
    let config = folder.write("t.toml", "");
    std::fs::set_permissions(config, PermissionsExt::from_mode(0o600)).unwrap();
    let (server, addr) = as_nobody(folder, &["-c", "t.toml"]);
    eventually("it says so", || log(&server).contains("reloads will be refused: nobody may not read t.toml"));
    server.signal("HUP");
    eventually("and it is so", || log(&server).contains("configuration not reloaded"));
    assert_eq!(ask(addr, "GET /a.html HTTP/1.1\r\n", b"").text(), "hello");
}

/// A copy of the program that other users may run.
fn program_for_all(folder: &Folder) -> PathBuf {
    let program = folder.0.join("tidegate");
    std::fs::copy(BINARY, &program).unwrap();
    settle();
    program
}

/// Has `nobody` start `program`, with a single capability.
fn started_by_nobody(program: &Path, folder: &Path, args: &[&str]) -> Command {
    let (uid, gid) = nobody();
    let ids = [format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".into()];
    let capability = ["--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service"];
    let mut command = Command::new("setpriv");
    command.args(ids).args(capability).arg(program).args(["-r", "root"]).args(args).current_dir(folder);
    command
}

#[test]
fn run_2_only_root_becomes_another_user() {
    if !is_root("run_2_only_root_becomes_another_user") {
        return;
    }
    let folder = laid_out();
    let program = program_for_all(&folder);
    for other in ["root", "daemon", "0"] {
        let args = ["-p", "0", "--user", other];
        let Outcome { code, err, .. } = outcome(&mut started_by_nobody(&program, &folder.0, &args));
        assert_eq!(code, Some(1), "{err}");
        assert!(err.contains("only root can become another user"), "{err}");
    }
}

/// Who is that user already needs no right for it, and gives up what it has.
#[test]
fn sec_7_the_same_user_gives_up_the_right_to_low_ports() {
    if !is_root("sec_7_the_same_user_gives_up_the_right_to_low_ports") {
        return;
    }
    let (port, number) = (low_port(300..600).to_string(), nobody().0.to_string());
    for (args, left) in [(&["--user", &number][..], 0), (&[], 1 << 10)] {
        let folder = laid_out();
        let program = program_for_all(&folder);
        let args = [&["-p", &port, "--log-file", "logs/log"][..], args].concat();
        let child = started_by_nobody(&program, &folder.0, &args).spawn().unwrap();
        let mut server = Bare { child, folder };
        eventually("it accepts", || {
            std::net::TcpStream::connect(("127.0.0.1", port.parse().unwrap())).is_ok()
        });
        eventually("it runs", || log(&server).contains("is running"));
        for set in ["CapPrm", "CapEff", "CapAmb"] {
            let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix(&format!("{set}:\t"))).unwrap();
            assert_eq!(u64::from_str_radix(line, 16).unwrap(), left, "{set}");
        }
        server.signal("TERM");
        assert!(server.wait().success());
    }
}
