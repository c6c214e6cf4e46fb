//! The units of `packaging/systemd` (SPEC RUN-6): their commands do what they should, systemd understands them, and
//! what they forbid the server never does.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should say where"
)]

mod life;
mod process;
mod support;

use std::collections::{BTreeSet, HashSet};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use life::Process;
use life::manager::activated;
use process::{clean, is_root, run};
use support::{BINARY, Folder};

const SERVICE: &str = include_str!("../../../packaging/systemd/tidegate.service");
const SOCKET: &str = include_str!("../../../packaging/systemd/tidegate.socket");
const CONFIG: &str = include_str!("../../../packaging/systemd/tidegate.toml");

/// The default of `--drain`, in seconds.
const DRAIN: u64 = 30;

/// The values of a directive.
fn values<'u>(unit: &'u str, directive: &str) -> Vec<&'u str> {
    unit.lines().filter_map(|line| line.strip_prefix(directive)?.strip_prefix('=')).collect()
}

fn value<'u>(unit: &'u str, directive: &str) -> &'u str {
    let [value] = values(unit, directive)[..] else { panic!("{directive} stands once") };
    value
}

/// `text` with all that it names inside `folder`.
fn moved(text: &str, folder: &Folder) -> String {
    let at = |name: &str| folder.0.join(name).display().to_string();
    text.replace("/usr/bin/tidegate", BINARY)
        .replace("/etc/tidegate", &at("etc"))
        .replace("/run/tidegate", &at("run"))
        .replace("/var/lib/tidegate", &at("lib"))
        .replace("/var/www/html", &at("www"))
}

/// What the units install and make, in a folder.
fn installed() -> Folder {
    let folder = Folder::new();
    folder.write("etc/tidegate.toml", moved(CONFIG, &folder));
    folder.write("www/a.html", "here");
    folder.write("www/large.bin", vec![b'x'; 2 << 20]);
    for made in ["run", "lib"] {
        std::fs::create_dir(folder.0.join(made)).unwrap();
    }
    folder
}

/// The words of a command of the service, without the program.
fn words(directive: &str, folder: &Folder) -> Vec<String> {
    let command = moved(value(SERVICE, directive), folder);
    let mut words = command.split_whitespace().map(str::to_owned);
    assert_eq!(words.next().as_deref(), Some(BINARY));
    words.collect()
}

/// The variables that the service sets.
fn environment(folder: &Folder) -> Vec<(String, String)> {
    let pairs = values(SERVICE, "Environment").into_iter().map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(name, value)| (name.to_owned(), moved(value, folder))).collect()
}

#[test]
fn run_6_the_units_commands_start_reload_and_stop() {
    let folder = installed();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let start = words("ExecStart", &folder);
    let start: Vec<_> = start.iter().map(String::as_str).collect();
    let environment = environment(&folder);
    let server =
        Process::spawn(activated(&folder.0, listener, &start).envs(environment.iter().cloned())).up();
    assert_eq!(server.urls(), [format!("http://{addr}/")], "what the socket unit holds, and nothing else");
    assert_eq!(server.status("/a.html"), 200);

    let reload = words("ExecReload", &folder);
    let reload: Vec<_> = reload.iter().map(String::as_str).collect();
    let environment: Vec<_> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let taken = run(&folder.0, &reload, &environment);
    assert_eq!((taken.code, taken.err.as_str()), (Some(0), ""), "{taken:?}");
    folder.write("etc/tidegate.toml", "[limits]\nmax_requests = 'many'\n");
    let refused = run(&folder.0, &reload, &environment);
    assert!(refused.code == Some(1) && refused.err.contains("max_requests"), "{refused:?}");

    let mut server = server;
    server.signal("TERM");
    assert_eq!(server.end(), Some(0));
}

#[test]
fn run_6_the_units_file_is_sound_and_its_names_exist() {
    let folder = installed();
    let start = words("ExecStart", &folder);
    let words: Vec<_> = ["check"].into_iter().chain(start.iter().map(String::as_str)).collect();
    let environment = environment(&folder);
    let environment: Vec<_> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let check = run(&folder.0, &words, &environment);
    // A variable that no flag has would be told here too.
    assert_eq!((check.code, check.err.as_str()), (Some(0), ""), "{check:?}");
    assert!(check.out.contains("control.sock"), "{check:?}");
}

#[test]
fn run_6_the_manager_waits_for_longer_than_a_drain() {
    let patience: u64 = value(SERVICE, "TimeoutStopSec").parse().unwrap();
    assert!(patience > DRAIN, "{patience}");
    let codes = [value(SERVICE, "SuccessExitStatus"), value(SERVICE, "RestartPreventExitStatus")];
    assert_eq!(codes, ["3", "2"], "RUN-5: a drain that was cut, a configuration that is wrong");
}

/// Whether the program is there; says which test is skipped where not, and fails in CI.
fn is_there(program: &str, test: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{test} needs {program}");
        println!("skipped: {test} needs {program}");
    }
    found
}

#[test]
fn run_6_systemd_finds_nothing_wrong_with_the_units() {
    if !is_there("systemd-analyze", "run_6_systemd_finds_nothing_wrong_with_the_units") {
        return;
    }
    let folder = installed();
    let verify = |service: &str| {
        let service = folder.write("tidegate.service", service);
        let socket = folder.write("tidegate.socket", SOCKET);
        let mut command = Command::new("systemd-analyze");
        process::outcome(command.arg("verify").args([service, socket]))
    };
    let verified = verify(&moved(SERVICE, &folder));
    assert_eq!((verified.code, verified.err.as_str()), (Some(0), ""), "{verified:?}");
    let slip = verify(&moved(SERVICE, &folder).replace("OOMScoreAdjust", "OutOfMemoryScoreAdjust"));
    assert!(slip.err.contains("OutOfMemoryScoreAdjust"), "it would say so: {slip:?}");
}

/// The system calls that `SystemCallFilter` lets through, its groups resolved.
fn allowed() -> HashSet<String> {
    let mut open: Vec<String> = value(SERVICE, "SystemCallFilter").split(' ').map(str::to_owned).collect();
    let mut allowed = HashSet::new();
    while let Some(name) = open.pop() {
        if name.starts_with('@') {
            let group = process::outcome(Command::new("systemd-analyze").args(["syscall-filter", &name])).out;
            let members = group.lines().skip(1).map(str::trim).filter(|line| !line.starts_with('#'));
            open.extend(members.map(str::to_owned));
        } else {
            allowed.insert(name);
        }
    }
    allowed
}

/// The system calls of a server from its start to its end, with all that it does for clients between.
fn calls(folder: &Folder) -> BTreeSet<String> {
    let trace = folder.0.join("trace");
    let mut command = Command::new("strace");
    clean(&mut command, &folder.0).args(["-f", "-qq", "-o"]).arg(&trace).arg(BINARY);
    command.args(words("ExecStart", folder)).envs(environment(folder)).args(["--port", "0", "--listing"]);
    let server = Process::spawn(&mut command).up();
    for target in ["/a.html", "/large.bin", "/", "/nothing", "/metrics", "/status", "/security-dashboard"] {
        server.status(target);
    }
    let mut client = server.connect();
    let head = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\n";
    client.send_request(head, b"{}");
    assert_eq!(client.response().status, 201);
    let children = format!("/proc/{0}/task/{0}/children", server.child.id());
    let pid = std::fs::read_to_string(children).unwrap().trim().parse().unwrap();
    process::signal(pid, "HUP");
    let mut server = server;
    server.hear("configuration reloaded");
    process::signal(pid, "TERM");
    assert_eq!(server.end(), Some(0));
    names(&trace)
}

/// The calls that a trace names; `123 read(…` and the like, after the call by which the program became ours.
fn names(trace: &Path) -> BTreeSet<String> {
    let trace = std::fs::read_to_string(trace).unwrap();
    let calls = trace.lines().skip(1).filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('));
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    calls.map(|(name, _)| name.to_owned()).filter(|name| is_name(name)).collect()
}

/// What a filter may answer with "no such call", for the server goes another way then, as on an old kernel.
const OPTIONAL: [&str; 1] = ["cachestat"];

#[test]
fn run_6_the_units_filter_lets_through_what_the_server_calls() {
    let name = "run_6_the_units_filter_lets_through_what_the_server_calls";
    if !is_there("systemd-analyze", name) || !is_there("strace", name) || !is_root(name) {
        return;
    }
    let (allowed, calls) = (allowed(), calls(&installed()));
    assert!(calls.len() > 40, "a trace of a whole life: {calls:?}");
    let refused: Vec<_> = calls.iter().filter(|call| !allowed.contains(*call)).collect();
    assert!(refused.iter().all(|call| OPTIONAL.contains(&call.as_str())), "{refused:?}");
    assert!(!allowed.contains("ptrace") && !allowed.contains("mount"), "a filter that lets all through");
}
