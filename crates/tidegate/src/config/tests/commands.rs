//! What the subcommands read and print, and what a reload may change.

use super::{command, environment, resolve, resolve_file, tcp};
use crate::config::table::TABLE;
use crate::config::{Command, Shell, cli, completions, man};

#[test]
fn run_4_what_check_prints_is_the_same_configuration() {
    let full: &[&str] = &[
        "--listen=[::1]:1",
        "--listen=unix:/s \"quoted\"",
        "--workers=3",
        "--threads=4",
        "--queue=5",
        "--backlog=6",
        "--drain=1500ms",
        "--drain-delay=2m",
        "--max-connections=0",
        "--max-requests=0",
        "--keep-alive=1h",
        "--header-timeout=7ms",
        "--max-header=4KiB",
        "--max-fields=9",
        "--max-request-line=100B",
        "--max-body=1KB",
        "--body-memory=2GiB",
        "--root=a\\b",
        "--inline",
        "--uploads=up",
        "--upload-quota=1GB",
        "--allow-host=*",
        "--allow-host=A.example.:80",
        "--allow-host=[::1]",
        "--cors-origin=https://a.example",
        "--cors-origin=*",
        "--access-log=json",
        "--log-level=warn",
        "--log-file=l",
        "--json-log-file=j",
        "--tls-cert=a.pem",
        "--tls-cert=b.pem",
        "--tls-key=a.key",
        "--tls-key=b.key",
        "--tls-redirect=[::]:80",
        "--hsts=8760h",
    ];
    for args in [&[], full, &["0", "::1"], &["-H", "localhost"], &["-H", "0.0.0.0"]] {
        let settings = resolve(args, &[]).unwrap();
        assert_eq!(resolve_file(&settings.to_toml(), &[], &[]), Ok(settings));
    }
}

#[test]
fn run_4_check_names_every_key() {
    let text = resolve(&[], &[]).unwrap().to_toml();
    for flag in TABLE.iter().filter(|flag| !matches!(flag.name, "config" | "inline")) {
        let (_, key) = flag.group_and_key().unwrap();
        let named = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{key} "));
        assert!(text.lines().any(named), "{key}");
    }
}

#[test]
fn run_5_a_reload_may_not_change_what_is_fixed() {
    let changed = |old: &[&str], new: &[&str]| {
        resolve(old, &[]).unwrap().changed_fixed_key(&resolve(new, &[]).unwrap())
    };
    assert_eq!(changed(&[], &["-p", "1"]), Some("server.port"));
    assert_eq!(changed(&[], &["-H", "::1"]), Some("server.host"));
    assert_eq!(changed(&["--listen=[::1]:1"], &["--listen=[::1]:2"]), Some("server.listen"));
    assert_eq!(changed(&["--workers=1"], &["--workers=2"]), Some("server.workers"));
    assert_eq!(changed(&[], &["--root=b"]), Some("files.root"));
    assert_eq!(changed(&[], &["--uploads=b"]), Some("uploads.dir"));
    assert_eq!(changed(&["--log-file=a/l"], &["--log-file=b/l"]), Some("log.file"));
    assert_eq!(changed(&[], &["--json-log-file=b/l"]), Some("log.json_file"));
    assert_eq!(changed(&["--log-file=a/l"], &["--log-file=a/m"]), None);
    assert_eq!(changed(&["--log-file=l"], &["--log-file=./m"]), None);
    assert_eq!(changed(&["--log-file=a/l"], &[]), None);
    let pair = |cert: &'static str| ["--tls-cert", cert, "--tls-key", "d/key"];
    assert_eq!(changed(&pair("d/a"), &pair("e/a")), Some("tls.cert"));
    assert_eq!(changed(&[], &pair("d/a")), Some("tls.cert"), "turned on");
    assert_eq!(changed(&pair("d/a"), &["--tls-self-signed"]), Some("tls.cert"));
    assert_eq!(changed(&[], &["--tls-self-signed"]), Some("tls.self_signed"));
    let redirect = |at: &'static str| ["--tls-self-signed", "--tls-redirect", at];
    assert_eq!(changed(&redirect("0.0.0.0:80"), &redirect("0.0.0.0:81")), Some("tls.redirect"));
    let more = [&pair("d/b")[..], &pair("d/c"), &["--hsts", "1h"]].concat();
    assert_eq!(changed(&pair("d/a"), &more), None);
    let free =
        ["--threads=2", "--queue=9", "--keep-alive=1s", "--inline", "--allow-host=*", "--log-level=debug"];
    assert_eq!(changed(&[], &free), None);
}

#[test]
fn run_4_subcommands_are_told_apart() {
    assert!(matches!(command(&["check", "-r", "x"]), Ok(Command::Check(_))));
    assert_eq!(command(&["demo"]), Ok(Command::Demo { url: None }));
    assert_eq!(command(&["demo", "http://a"]), Ok(Command::Demo { url: Some("http://a".into()) }));
    assert_eq!(command(&["completions", "bash"]), Ok(Command::Completions(Shell::Bash)));
    assert_eq!(command(&["man"]), Ok(Command::Man));
    let health = command(&["healthcheck", "-p", "9", "-H", "::1"]);
    let Ok(Command::Healthcheck(invocation)) = health else { panic!("{health:?}") };
    assert_eq!(invocation.resolve(&environment(&[])).unwrap().server.listen, [tcp("[::1]:9")]);
    let refused: [&[&str]; 5] = [
        &["healthcheck", "--queue", "1"],
        &["completions", "cmd"],
        &["-p", "1", "check"],
        &["--tls-certs", "x"],
        &["-p"],
    ];
    for args in refused {
        assert_eq!(command(args).unwrap_err().code, 2, "{args:?}");
    }
    for args in [["--help"], ["-h"], ["--version"]] {
        assert_eq!(command(&args).unwrap_err().code, 0);
    }
}

#[test]
fn run_4_help_man_page_and_completions_know_every_flag() {
    let help = command(&["--help"]).unwrap_err().text;
    let mut page = Vec::new();
    man(&mut page).unwrap();
    let page = String::from_utf8(page).unwrap().replace("\\-", "-");
    let mut script = Vec::new();
    completions(Shell::Bash, &mut script).unwrap();
    let script = String::from_utf8(script).unwrap();
    for flag in TABLE.iter().filter(|flag| flag.flag) {
        let long = format!("--{}", flag.name);
        assert!(help.contains(&long) && page.contains(&long) && script.contains(&long), "{long}");
        assert!(help.contains(&flag.variable()), "{}", flag.variable());
        assert!(flag.key.is_empty() || help.contains(&format!("[key: {}]", flag.key)), "{}", flag.key);
        if let Some(default) = flag.default {
            assert!(help.contains(&format!("[default: {default}]")), "{long}");
            let value = [format!("{long}={default}")];
            assert_eq!(resolve(&[&value[0]], &[]), resolve(&[], &[]), "help states the default that holds");
        }
    }
}

#[test]
fn run_4_the_command_line_itself_is_sound() {
    cli::command().debug_assert();
}
