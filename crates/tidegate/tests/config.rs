//! Settings from the command line, the environment and the file, and the subcommands that start no server
//! (SPEC RUN-2, RUN-3, RUN-4).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use process::{Bare, clean, outcome, run};
use support::{BINARY, Client, Folder, Server, Setup};

/// Each start that must be refused as a mistake of usage; nothing may be said on standard output.
fn refused(folder: &Folder, args: &[&str], env: &[(&str, &str)], parts: &[&str]) {
    let outcome = run(&folder.0, args, env);
    assert_eq!(outcome.code, Some(2), "{args:?} {env:?}: {}{}", outcome.out, outcome.err);
    for part in parts {
        assert!(outcome.err.contains(part), "{args:?} {env:?}: no {part:?} in {:?}", outcome.err);
    }
    assert_eq!(outcome.out, "", "{args:?}");
    assert!(!folder.0.join("root/uploads").exists(), "{args:?} half-started");
}

fn folder() -> Folder {
    let folder = Folder::new();
    std::fs::create_dir(folder.0.join("root")).unwrap();
    folder
}

#[test]
fn run_2_a_wrong_flag_is_exit_2_with_the_flag_and_what_was_expected() {
    let folder = folder();
    for (args, parts) in [
        (["--keep-alive", "30"], ["--keep-alive 30", "expected a duration with its unit, like 30s"]),
        (["--max-body", "5"], ["--max-body 5", "expected a size with its unit, like 8KiB"]),
        (["--max-body", "0B"], ["--max-body 0B", "expected"]),
        (["--port", "65536"], ["--port 65536", "0 to 65535"]),
        (["--port", "-1"], ["--port -1", "0 to 65535"]),
        (["--threads", "0"], ["--threads 0", "1 to 1024"]),
        (["--access-log", "xml"], ["--access-log xml", "pretty, combined, json or off"]),
        (["--log-level", "loud"], ["--log-level loud", "DEBUG, INFO, WARNING or ERROR"]),
        (["--listen", "8080"], ["--listen 8080", "127.0.0.1:8080"]),
        (["--allow-host", "a/b"], ["--allow-host a/b", "expected a host name"]),
        (["--host", "no such"], ["--host no such", "expected an address or a name"]),
        (["--max-bodyy", "1MiB"], ["--max-bodyy", "--max-body"]),
        (["--queue", "1 "], ["--queue 1 ", "expected a whole number"]),
    ] {
        refused(&folder, &[&["-r", "root"], args.as_slice()].concat(), &[], &parts);
    }
}

#[test]
fn run_2_contradictions_are_exit_2() {
    let folder = folder();
    let all: [&[&str]; 8] = [
        &["8080", "-p", "8080"],
        &["8080", "127.0.0.1", "-H", "127.0.0.1"],
        &["8080", "127.0.0.1", "4", "--threads", "4"],
        &["--listen", "127.0.0.1:0", "-p", "0"],
        &["--listen", "127.0.0.1:0", "--host", "::1"],
        &["--listen", "unix:s", "0"],
        &["8080", "127.0.0.1", "4", "one too many"],
        &["-p"],
    ];
    for args in all {
        refused(&folder, args, &[], &["error:", "--help"]);
    }
}

#[test]
fn run_2_a_folder_in_the_place_of_the_port_is_exit_2_with_the_flag() {
    let folder = folder();
    for name in ["./folder", "root", "/srv", "."] {
        refused(&folder, &[name], &[], &[&format!("-r {name}"), name]);
    }
}

#[test]
fn run_3_a_wrong_variable_is_exit_2_by_its_name() {
    let folder = folder();
    for (name, value, expected) in [
        ("TIDEGATE_MAX_BODY", "1", "a size with its unit"),
        ("TIDEGATE_PORT", "http", "a whole number from 0 to 65535"),
        ("PORT", "80a", "a whole number from 0 to 65535"),
        ("LOG_LEVEL", "chatty", "DEBUG, INFO, WARNING or ERROR"),
        ("TIDEGATE_INLINE", "maybe", "true or false"),
        ("TIDEGATE_ALLOW_HOST", "ok.example,not ok", "a host name"),
        ("TIDEGATE_CONFIG", "nowhere.toml", "No such file"),
    ] {
        refused(&folder, &["-r", "root"], &[(name, value)], &[name, expected]);
    }
}

#[test]
fn run_3_a_wrong_file_is_exit_2_with_line_and_column() {
    let folder = folder();
    for (text, parts) in [
        ("[server]\nport = 0\n\n[limits]\n  max_bodi = 1", ["t.toml:5:3:", "unknown key", "limits.max_body"]),
        ("[limits]\nkeep_alive = 30\n", ["t.toml:2:14:", "limits.keep_alive", "a duration with its unit"]),
        ("[limits]\nmax_body = \"1\"", ["t.toml:2:12:", "limits.max_body", "a size with its unit"]),
        ("[server]\nport = \"80\"", ["t.toml:2:8:", "server.port", "expected a whole number"]),
        ("[server]\nqueue = 0", ["t.toml:2:9:", "server.queue", "from 1 to 1000000"]),
        ("[server]\nport = 1\nport = 2", ["t.toml:3:1:", "error:", "duplicate"]),
        ("[security]\nallow_host = [\n  \"a\",\n  \"b c\",\n]", ["t.toml:4:3:", "allow_host", "b c"]),
        ("\n[tsl]\ncert = 'x'", ["t.toml:2:2:", "tsl", "unknown key"]),
        ("[server]\nport = ", ["t.toml:2:", "error:", "t.toml"]),
    ] {
        folder.write("t.toml", text);
        refused(&folder, &["-c", "t.toml", "-r", "root"], &[], &parts);
        // A flag that hides the value does not hide the mistake.
        refused(&folder, &["-c", "t.toml", "-r", "root", "-p", "0", "--keep-alive", "1s"], &[], &parts);
    }
    refused(&folder, &["-c", "nowhere.toml"], &[], &["nowhere.toml", "No such file"]);
    refused(&folder, &["-c", "root"], &[], &["root", "directory"]);
}

/// What `check` says one key comes to.
fn checked(folder: &Path, args: &[&str], env: &[(&str, &str)], key: &str) -> String {
    let outcome = run(folder, &[&["check"], args].concat(), env);
    assert_eq!(outcome.code, Some(0), "{}", outcome.err);
    let start = format!("{key} = ");
    let line = outcome.out.lines().find_map(|line| line.strip_prefix(start.as_str()));
    line.unwrap_or_else(|| panic!("no {key}: {}", outcome.out)).to_owned()
}

#[test]
fn run_3_flag_over_environment_over_file_over_default() {
    let folder = folder();
    folder
        .write("t.toml", "[server]\nqueue = 1\n[security]\nallow_host = [\"file\"]\n[log]\nlevel = 'ERROR'");
    let (file, env, flag) = (["-c", "t.toml"], [("TIDEGATE_QUEUE", "2")], ["-c", "t.toml", "--queue", "3"]);
    let queue = |args: &[&str], env: &[(&str, &str)]| checked(&folder.0, args, env, "queue");
    assert_eq!(queue(&[], &[]), "100");
    assert_eq!(queue(&file, &[]), "1");
    assert_eq!(queue(&file, &env), "2");
    assert_eq!(queue(&flag, &env), "3");
    assert_eq!(queue(&[], &[("TIDEGATE_CONFIG", "t.toml")]), "1");
    let level = |env: &[(&str, &str)]| checked(&folder.0, &file, env, "level");
    assert_eq!(level(&[]), "\"ERROR\"");
    assert_eq!(level(&[("LOG_LEVEL", "debug")]), "\"DEBUG\"");
    assert_eq!(level(&[("LOG_LEVEL", "debug"), ("TIDEGATE_LOG_LEVEL", "Warn")]), "\"WARNING\"");
    let port = |env: &[(&str, &str)]| checked(&folder.0, &[], env, "port");
    assert_eq!(port(&[("PORT", "81")]), "81");
    assert_eq!(port(&[("PORT", "81"), ("TIDEGATE_PORT", "82")]), "82");
    assert_eq!(port(&[("PORT", "81"), ("TIDEGATE_PORT", "tcp://10.0.0.1:80")]), "81");
    let hosts = checked(&folder.0, &file, &[("TIDEGATE_ALLOW_HOST", "a,b:1")], "allow_host");
    assert_eq!(hosts, "[\"a\", \"b:1\"]");
}

#[test]
fn run_3_the_layers_hold_in_the_running_server() {
    let keep_alive = |setup: Setup| {
        let server = setup.start();
        server.get("/healthz").field("keep-alive").unwrap().to_owned()
    };
    let with_file = || {
        let setup = Setup::new();
        setup.folder.write("t.toml", "[limits]\nkeep_alive = '7s'\nmax_requests = 5");
        setup.args(&["-c", "t.toml"])
    };
    assert_eq!(keep_alive(Setup::new()), "timeout=30, max=100");
    assert_eq!(keep_alive(with_file()), "timeout=7, max=5");
    assert_eq!(keep_alive(with_file().env("TIDEGATE_KEEP_ALIVE", "8s")), "timeout=8, max=5");
    let all = with_file().env("TIDEGATE_KEEP_ALIVE", "8s").args(&["--keep-alive", "9s"]);
    assert_eq!(keep_alive(all), "timeout=9, max=5");
}

#[test]
fn run_3_an_unknown_variable_of_ours_is_a_warning() {
    let setup = Setup::new().env("TIDEGATE_MAXBODY", "1MiB").env("TIDEGATE_PORT", "tcp://10.0.0.1:80");
    let mut server = setup.env("SOMETHING_ELSE", "x").start();
    let line = server.wait_for_log("TIDEGATE_MAXBODY");
    assert!(line.contains("WARNING") && line.contains("TIDEGATE_MAX_BODY?"), "{line}");
    assert!(server.wait_for_log("TIDEGATE_PORT=tcp://").contains("ignored"));
    assert_eq!(server.get("/healthz").status, 200);
    assert!(process::lines_with(&server, "SOMETHING_ELSE").is_empty());
}

#[test]
fn run_4_check_prints_what_loads_again_and_starts_nothing() {
    let folder = folder();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    let args: &[&str] =
        &["check", "-p", &port, "-r", "root", "--max-body", "3MiB", "--allow-host", "a.example:1"];
    let first = run(&folder.0, args, &[("TIDEGATE_KEEP_ALIVE", "1500ms"), ("LOG_FILE", "l.log")]);
    assert_eq!(
        (first.code, first.err.as_str()),
        (Some(0), ""),
        "a port in use is no mistake of the settings"
    );
    folder.write("again.toml", &first.out);
    let again = run(&folder.0, &["check", "-c", "again.toml"], &[]);
    assert_eq!((again.code, again.err.as_str()), (Some(0), ""));
    assert_eq!(again.out, first.out);
    for line in ["max_body = \"3MiB\"", "keep_alive = \"1500ms\"", "allow_host = [\"a.example:1\"]"] {
        assert!(first.out.contains(line), "{line}: {}", first.out);
    }
    assert!(!folder.0.join("root/uploads").exists() && !folder.0.join("l.log").exists());
    refused(&folder, &["check", "--queue", "0"], &[], &["--queue 0"]);
    let warned = run(&folder.0, &["check"], &[("TIDEGATE_COLOUR", "x")]);
    assert_eq!(warned.code, Some(0));
    assert!(warned.err.contains("warning: TIDEGATE_COLOUR"), "{}", warned.err);
}

#[test]
fn run_4_healthcheck_tells_the_living_from_the_dead() {
    let server = Server::start(&["--listen", "127.0.0.1:0", "--listen", "unix:s"]);
    let port = server.addr.port().to_string();
    let dir = &server.folder.0;
    let code = |args: &[&str], env: &[(&str, &str)]| run(dir, &[&["healthcheck"], args].concat(), env).code;
    server.folder.write("t.toml", format!("[server]\nport = {port}"));
    assert_eq!(code(&["-p", &port], &[]), Some(0));
    assert_eq!(code(&["-p", &port, "-H", "0.0.0.0"], &[]), Some(0), "a wildcard is reached on loopback");
    assert_eq!(code(&["-c", "t.toml"], &[]), Some(0));
    assert_eq!(code(&["--listen", "unix:s"], &[]), Some(0));
    assert_eq!(code(&[], &[("PORT", &port)]), Some(0));
    assert_eq!(code(&[], &[("TIDEGATE_LISTEN", &format!("127.0.0.1:{port}"))]), Some(0));
    assert_eq!(code(&["-p", "no"], &[]), Some(2));
    let dead = process::free_port().to_string();
    let outcome = run(dir, &["healthcheck", "-p", &dead], &[]);
    assert_eq!(outcome.code, Some(1));
    assert!(outcome.err.contains(&dead) && outcome.err.contains("refused"), "{}", outcome.err);
    assert_eq!(code(&["--listen", "unix:nobody"], &[]), Some(1));
}

#[test]
fn run_4_healthcheck_is_not_fooled_and_not_kept_waiting() {
    let dir = folder();
    for answer in
        ["HTTP/1.1 503 Service Unavailable\r\n\r\n", "SSH-2.0-x\r\n", "", "HTTP/1.1 404 Not Found\r\n\r\n"]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port().to_string();
        let peer = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 512]);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let outcome = run(&dir.0, &["healthcheck", "-p", &port], &[]);
        peer.join().unwrap();
        assert_eq!(outcome.code, Some(1), "{answer:?}: {}", outcome.err);
        assert!(outcome.err.contains(&port), "{}", outcome.err);
    }
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let begun = Instant::now();
    assert_eq!(run(&dir.0, &["healthcheck", "-p", &port], &[]).code, Some(1));
    assert!(begun.elapsed() < support::SOON, "it gave up by itself");
}

#[test]
fn run_4_help_and_version_are_exit_0_on_standard_output() {
    let folder = folder();
    for args in [
        &["--help"][..],
        &["-h"],
        &["check", "--help"],
        &["healthcheck", "-h"],
        &["completions", "--help"],
        &["man", "--help"],
        &["help"],
    ] {
        let outcome = run(&folder.0, args, &[]);
        assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), ""), "{args:?}");
        assert!(outcome.out.contains("Usage:"), "{args:?}: {}", outcome.out);
        assert!(!outcome.out.contains('\x1b'), "no colour where no terminal is: {args:?}");
    }
    let help = run(&folder.0, &["--help"], &[]).out;
    for flag in ["-p, --port", "-r, --root", "--allow-host", "--drain-delay", "TIDEGATE_MAX_BODY", "[PORT]"] {
        assert!(help.contains(flag), "{flag}");
    }
    let version = run(&folder.0, &["--version"], &[]);
    assert_eq!(
        (version.code, version.out.as_str()),
        (Some(0), concat!("tidegate ", env!("CARGO_PKG_VERSION"), "\n"))
    );
}

#[test]
fn run_4_completions_are_scripts_for_each_shell() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&folder.0, &["completions", shell], &[]);
        assert_eq!((script.code, script.err.as_str()), (Some(0), ""), "{shell}");
        for word in ["max-body", "healthcheck", "allow-host"] {
            assert!(script.out.contains(word), "{shell}: {word}");
        }
        let file = folder.write(&format!("script.{shell}"), &script.out);
        let mut command = Command::new(shell);
        clean(command.arg("-n").arg(&file), &folder.0).stdin(Stdio::null());
        // Syntax is judged by the shell itself, where it is installed.
        if let Ok(output) = command.output() {
            assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    let script = ". ./script.bash; COMP_WORDS=(tidegate --max-b); COMP_CWORD=1; \
                  _tidegate tidegate --max-b tidegate; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let found = outcome(clean(&mut Command::new("bash"), &folder.0).args(["-c", script]));
    assert_eq!(found.out.trim(), "--max-body", "{}", found.err);
    refused(&folder, &["completions", "cmd"], &[], &["cmd", "bash"]);
    refused(&folder, &["completions"], &[], &["SHELL"]);
}

#[test]
fn run_4_the_man_page_renders() {
    let folder = folder();
    let page = run(&folder.0, &["man"], &[]);
    assert_eq!((page.code, page.err.as_str()), (Some(0), ""));
    assert!(
        page.out.contains(".TH tidegate 1") || page.out.contains(".TH TIDEGATE 1"),
        "{}",
        &page.out[..200]
    );
    let file = folder.write("tidegate.1", &page.out);
    let mut groff = Command::new("groff");
    groff.args(["-man", "-Tutf8", "-ww", "-P-cbou"]).arg(&file);
    if Command::new("groff").arg("--version").output().is_err() {
        println!("skipped: run_4_the_man_page_renders needs groff");
        return;
    }
    let text = outcome(clean(&mut groff, &folder.0));
    assert_eq!((text.code, text.err.as_str()), (Some(0), ""), "groff has no complaint");
    for word in ["--max-body", "TIDEGATE_MAX_BODY", "NAME", "SYNOPSIS", "OPTIONS", "healthcheck"] {
        assert!(text.out.replace('‐', "-").contains(word), "{word}: {}", text.out);
    }
}

#[test]
fn run_4_a_reader_that_has_enough_is_no_error() {
    let folder = folder();
    for words in ["--help", "man", "check -r .", "completions bash"] {
        let line = format!("{BINARY} {words} | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}");
        let outcome = outcome(clean(&mut Command::new("bash"), &folder.0).args(["-c", &line]));
        assert_eq!((outcome.out.trim(), outcome.err.as_str()), ("0", ""), "{words}");
    }
}

#[test]
fn run_2_a_repeated_list_flag_adds_up() {
    let (server, addr) = Bare::serve(folder(), &["--allow-host", "a.example", "--allow-host=b.example"], &[]);
    for (host, status) in [("a.example", 200), ("b.example:1", 200), ("c.example", 403)] {
        let mut client = Client::connect(addr);
        client.send(format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.response().status, status, "{host}: {}", server.log());
    }
}
