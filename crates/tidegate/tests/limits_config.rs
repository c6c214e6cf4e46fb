//! The flags of limits, bans, admin pages and audit log (SPEC RUN-2, RUN-3): each as flag, variable and key, and
//! what is refused at start.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod support;

use process::{Outcome, run};
use support::{Folder, Server, Setup, eventually};

/// Flag, key, a value as one writes it, and the value in TOML.
const FLAGS: &[(&str, &str, &str, &str)] = &[
    ("--max-connections-per-ip", "limits.max_connections_per_ip", "17", "17"),
    ("--rate-limit", "limits.rate_limit", "50/s:75", "'50/s:75'"),
    ("--rate-limit", "limits.rate_limit", "off", "'off'"),
    ("--trusted-proxy", "security.trusted_proxy", "10.0.0.0/8", "['10.0.0.0/8']"),
    ("--admin-allow", "admin.allow", "192.168.0.0/16", "['192.168.0.0/16']"),
    ("--admin-token-file", "admin.token_file", "token", "'token'"),
    ("--audit-log", "log.audit_file", "audit.jsonl", "'audit.jsonl'"),
    ("--state", "server.state", "state", "'state'"),
    ("--control", "server.control", "control.sock", "'control.sock'"),
    ("--bans", "limits.bans", "on", "'on'"),
    ("--ban-time", "limits.ban_time", "5s", "'5s'"),
    ("--ban-allow", "security.ban_allow", "2001:db8::/32", "['2001:db8::/32']"),
];

fn folder() -> Folder {
    let folder = Folder::new();
    std::fs::create_dir(folder.0.join("root")).unwrap();
    folder.write("token", "an-operators-long-secret\n");
    folder
}

fn check(folder: &Folder, args: &[&str], env: &[(&str, &str)]) -> Outcome {
    run(&folder.0, &[&["check", "-r", "root"], args].concat(), env)
}

/// What `check` prints, where it finds nothing wrong.
fn printed(folder: &Folder, args: &[&str], env: &[(&str, &str)]) -> String {
    let outcome = check(folder, args, env);
    assert_eq!((outcome.code, outcome.err.as_str()), (Some(0), ""), "{args:?} {env:?}");
    outcome.out
}

fn file(folder: &Folder, key: &str, value: &str) {
    let (group, name) = key.split_once('.').unwrap();
    folder.write("t.toml", format!("[{group}]\n{name} = {value}\n"));
}

#[test]
fn run_2_run_3_each_is_a_flag_a_variable_and_a_key() {
    let folder = folder();
    let default = printed(&folder, &[], &[]);
    for (flag, key, value, toml) in FLAGS {
        let by_flag = printed(&folder, &[flag, value], &[]);
        let variable = format!("TIDEGATE_{}", flag.trim_start_matches('-').replace('-', "_").to_uppercase());
        let by_variable = printed(&folder, &[], &[(&variable, value)]);
        file(&folder, key, toml);
        let by_file = printed(&folder, &["-c", "t.toml"], &[]);
        assert_ne!(by_flag, default, "{flag} changes nothing");
        assert_eq!(by_flag, by_variable, "{variable}");
        assert_eq!(by_flag, by_file, "{key}");
    }
    file(&folder, "limits.limit_loopback", "true");
    let by_file = printed(&folder, &["-c", "t.toml"], &[]);
    assert_eq!(printed(&folder, &["--limit-loopback"], &[]), by_file);
    assert_eq!(printed(&folder, &[], &[("TIDEGATE_LIMIT_LOOPBACK", "true")]), by_file);
    file(&folder, "admin.listen", "'127.0.0.1:9901'");
    assert!(printed(&folder, &["-c", "t.toml"], &[]).contains("127.0.0.1:9901"));
}

#[test]
fn run_2_the_defaults_are_the_promised_ones() {
    let text = printed(&folder(), &[], &[]);
    for line in ["max_connections_per_ip = 256", "bans = \"shadow\"", "limit_loopback = false"] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert_eq!(text, printed(&folder(), &["--rate-limit", "100/s:200"], &[]), "the promised rate and burst");
    let time = text.lines().find(|line| line.starts_with("ban_time = ")).unwrap_or_else(|| panic!("{text}"));
    assert!(["\"10m\"", "\"600s\""].iter().any(|value| time.ends_with(value)), "{time}");
}

/// What `check` prints is a file that says the same.
#[test]
fn run_4_check_prints_these_settings_so_that_they_load_again() {
    let folder = folder();
    let args: Vec<&str> = FLAGS
        .iter()
        .filter(|(_, _, value, _)| *value != "off")
        .flat_map(|(flag, _, value, _)| [*flag, *value])
        .chain(["--trusted-proxy", "::1", "--limit-loopback"])
        .collect();
    let first = printed(&folder, &args, &[]);
    folder.write("again.toml", &first);
    assert_eq!(printed(&folder, &["-c", "again.toml"], &[]), first);
}

#[test]
fn run_2_a_wrong_value_is_exit_2_with_what_was_expected() {
    let folder = folder();
    for (flag, value) in [
        ("--rate-limit", "100"),
        ("--rate-limit", "100/s:"),
        ("--rate-limit", "100/d"),
        ("--rate-limit", "0/s"),
        ("--rate-limit", "100/s:0"),
        ("--rate-limit", "1.5/s"),
        ("--rate-limit", "100000001/s"),
        ("--rate-limit", "100/s:99999999999999999999"),
        ("--rate-limit", ""),
        ("--max-connections-per-ip", "many"),
        ("--trusted-proxy", "10.0.0.0/33"),
        ("--trusted-proxy", "10.0.0.1/8"),
        ("--trusted-proxy", "localhost"),
        ("--trusted-proxy", "::1/129"),
        ("--trusted-proxy", "10.0.0.0/"),
        ("--admin-allow", "0x7f.1"),
        ("--admin-allow", "2001:db8::1/32"),
        ("--ban-allow", "300.0.0.1"),
        ("--bans", "yes"),
        ("--ban-time", "10"),
        ("--ban-time", "0s"),
        ("--admin-token-file", "nowhere"),
    ] {
        let outcome = check(&folder, &[flag, value], &[]);
        assert_eq!(outcome.code, Some(2), "{flag} {value:?}: {}{}", outcome.out, outcome.err);
        assert!(outcome.err.contains(flag) && outcome.err.contains("expected"), "{}", outcome.err);
    }
    let network = check(&folder, &["--trusted-proxy", "10.0.0.1/8"], &[]);
    assert!(network.err.contains("10.0.0.0/8"), "the right one is named: {}", network.err);
}

#[test]
fn run_3_a_wrong_key_is_named_with_its_place() {
    let folder = folder();
    for (key, value) in [
        ("limits.rate_limit", "100"),
        ("limits.bans", "true"),
        ("limits.ban_time", "600"),
        ("security.trusted_proxy", "'10.0.0.1/8'"),
        ("security.ban_allow", "['x']"),
        ("admin.allow", "['10.0.0.1/8']"),
        ("admin.listen", "'9901'"),
        ("admin.tokenfile", "'token'"),
    ] {
        file(&folder, key, value);
        let outcome = check(&folder, &["-c", "t.toml"], &[]);
        assert_eq!(outcome.code, Some(2), "{key}: {}{}", outcome.out, outcome.err);
        assert!(outcome.err.contains("t.toml:2:") && outcome.err.contains(key), "{key}: {}", outcome.err);
    }
}

#[test]
fn run_2_zero_connections_of_a_client_is_no_limit() {
    assert!(
        printed(&folder(), &["--max-connections-per-ip", "0"], &[]).contains("max_connections_per_ip = 0")
    );
}

#[test]
fn run_3_lists_of_variables_are_split_at_commas() {
    let folder = folder();
    let by_variable = printed(&folder, &[], &[("TIDEGATE_TRUSTED_PROXY", "10.0.0.0/8,::1")]);
    let by_flags = printed(&folder, &["--trusted-proxy", "10.0.0.0/8", "--trusted-proxy", "::1"], &[]);
    assert_eq!(by_variable, by_flags);
}

#[test]
fn run_1_the_start_up_block_tells_of_dashboard_and_limits() {
    let mut server = Setup::new().args(&["--rate-limit", "50/s:75"]).start();
    server.wait_for_log("  logs ");
    let log = server.log().join("\n");
    for part in ["/security-dashboard", "50/s"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    let off = Server::start(&["--rate-limit", "off"]);
    assert_eq!(off.get("/healthz").status, 200);
}

#[test]
fn run_4_help_tells_every_flag_and_subcommand() {
    let folder = folder();
    let help = run(&folder.0, &["--help"], &[]).out;
    for (flag, ..) in FLAGS {
        assert!(help.contains(flag), "{flag}");
    }
    for word in ["--limit-loopback", "bans", "explain"] {
        assert!(help.contains(word), "{word}");
    }
    let man = run(&folder.0, &["man"], &[]).out.replace("\\-", "-");
    let completions = run(&folder.0, &["completions", "bash"], &[]).out;
    for (flag, ..) in FLAGS {
        assert!(man.contains(flag) && completions.contains(flag), "{flag}");
    }
}

/// Sends HUP for a file of `text`, and returns the line that tells what came of it.
fn reload(server: &Server, text: &str) -> String {
    let told = |server: &Server| {
        let lines = server.log();
        let outcome = |line: &&String| line.contains("reloaded");
        lines.iter().filter(outcome).cloned().collect::<Vec<_>>()
    };
    let before = told(server).len();
    server.folder.write("t.toml", text);
    server.signal("HUP");
    eventually("it says what came of it", || told(server).len() > before);
    told(server).pop().unwrap()
}

#[test]
fn run_5_all_of_it_but_the_listener_changes_at_once() {
    let setup = Setup::new().args(&["-c", "t.toml"]);
    setup.folder.write("t.toml", "[log]\naudit_file = 'one.jsonl'\n[admin]\ntoken_file = 'token'\n");
    setup.folder.write("token", "an-operators-long-secret\n");
    setup.folder.write("token2", "another-operators-secret\n");
    let server = setup.start();
    let all = "[limits]\nrate_limit = '3/m:2'\nlimit_loopback = true\nmax_connections_per_ip = 9\nbans = 'on'\n\
               ban_time = '1m'\n[security]\ntrusted_proxy = ['10.0.0.0/8']\nban_allow = ['10.0.0.0/8']\n\
               [admin]\nallow = ['10.0.0.0/8']\ntoken_file = 'token2'\n[log]\naudit_file = 'two.jsonl'\n";
    let line = reload(&server, all);
    assert!(line.contains("configuration reloaded"), "{line}");
    eventually("limited", || server.get("/healthz").status == 429);
    eventually("written to the new file", || {
        server.get("/healthz");
        std::fs::read_to_string(server.folder.0.join("two.jsonl")).is_ok_and(|text| text.contains("rate"))
    });
    let line = reload(&server, &format!("{all}\n[server]\nqueue = 7\n[admin.x]\n"));
    assert!(line.contains("not reloaded"), "{line}");
    let line = reload(&server, &all.replace("[admin]\n", "[admin]\nlisten = '127.0.0.1:1'\n"));
    assert!(line.contains("not reloaded") && line.contains("admin.listen"), "{line}");
    let line = reload(&server, &all.replace("'3/m:2'", "'3/d'"));
    assert!(line.contains("not reloaded") && line.contains("limits.rate_limit"), "{line}");
    assert_eq!(server.get("/healthz").status, 429, "the old limit goes on");
}
