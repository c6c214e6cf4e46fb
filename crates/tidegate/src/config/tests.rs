//! The configuration as a whole: command line, environment and file to settings, and back.

mod commands;
mod tls;

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use log::LevelFilter;

use super::table::TABLE;
use super::*;
use crate::net::CidrSet;

/// A TOML file that is removed again.
struct TempFile(PathBuf);

impl TempFile {
    fn new(text: &str) -> TempFile {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("tidegate-config-{}-{}.toml", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        TempFile(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn command(args: &[&str]) -> Result<Command, Exit> {
    parse(["tidegate"].iter().chain(args).map(OsString::from))
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().map(|(name, text)| (name.into(), text.into())).collect()
}

fn resolve(args: &[&str], variables: &[(&str, &str)]) -> Result<Settings, String> {
    match command(args) {
        Ok(Command::Serve(invocation)) => {
            invocation.resolve(&environment(variables)).map_err(|error| error.to_string())
        }
        Ok(other) => Err(format!("{other:?}")),
        Err(exit) => Err(format!("{}: {}", exit.code, exit.text)),
    }
}

fn resolve_file(text: &str, args: &[&str], variables: &[(&str, &str)]) -> Result<Settings, String> {
    let file = TempFile::new(text);
    let path = file.0.to_str().unwrap();
    resolve(&[&["-c", path], args].concat(), variables).map_err(|error| error.replace(path, "t.toml"))
}

fn tcp(text: &str) -> ListenAddr {
    ListenAddr::Tcp(text.parse::<SocketAddr>().unwrap())
}

#[test]
fn run_2_defaults_are_those_of_the_contract() {
    let settings = resolve(&[], &[]).unwrap();
    let workers = std::thread::available_parallelism().unwrap().get();
    let seconds = Duration::from_secs;
    assert!(settings.server.listens_by_default());
    assert!(!resolve(&["-p", "8081"], &[]).unwrap().server.listens_by_default());
    let expected = Settings {
        server: ServerSettings {
            listen: vec![tcp("127.0.0.1:8080")],
            host: "127.0.0.1".into(),
            workers,
            threads: ThreadRange::fixed(10),
            queue: 100,
            backlog: 1024,
            drain: seconds(30),
            drain_delay: seconds(0),
            state: None,
            control: None,
            user: None,
            sandbox: true,
        },
        limits: LimitSettings {
            max_connections: Some(10_000),
            max_requests: Some(100),
            keep_alive: seconds(30),
            header_timeout: seconds(10),
            max_header: 8192,
            max_fields: 100,
            max_request_line: 8000,
            max_body: 1 << 20,
            body_memory: 256 << 20,
        },
        files: FileSettings {
            root: "resources".into(),
            download: ["txt", "png", "jpg", "jpeg"].map(String::from).to_vec(),
            listing: false,
            spa: false,
        },
        uploads: UploadSettings { dir: None, quota: None },
        hosts: HostSettings { allow: AllowHosts::default() },
        clients: ClientSettings {
            max_connections: Some(256),
            rate: Some(RateLimit { tokens: 100, period: seconds(1), burst: 200 }),
            limit_loopback: false,
            trusted_proxies: CidrSet::default(),
            trusted_unix: false,
        },
        bans: BanSettings { mode: BanMode::Shadow, time: seconds(600), never: CidrSet::default() },
        admin: AdminSettings { allow: CidrSet::default(), token_file: None, token: None, listen: None },
        cors: CorsSettings { origins: vec![] },
        log: LogSettings {
            access: AccessFormat::Pretty,
            level: LevelFilter::Info,
            file: None,
            json_file: None,
            audit_file: None,
        },
        tls: TlsSettings::default(),
        notes: vec![],
    };
    assert_eq!(settings, expected);
}

#[test]
fn run_2_positionals_are_port_host_and_threads() {
    let server = resolve(&["8081", "::1", "4", "--queue", "7"], &[]).unwrap().server;
    assert_eq!((server.listen, server.queue), (vec![tcp("[::1]:8081")], 7));
    assert_eq!(server.threads, ThreadRange::fixed(4));
    assert_eq!(resolve(&["serve", "8081"], &[]).unwrap().server.listen, [tcp("127.0.0.1:8081")]);
}

#[test]
fn run_2_contradictions_are_usage_errors() {
    let unix = ["--listen", "unix:/s"];
    let all: [&[&str]; 7] = [
        &["80", "-p", "80"],
        &["80", "::1", "-H", "::1"],
        &["80", "::1", "4", "-t", "4"],
        &[unix[0], unix[1], "-p", "1"],
        &[unix[0], unix[1], "-H", "::1"],
        &[unix[0], unix[1], "80"],
        &["-p", "1", "-p", "2"],
    ];
    for args in all {
        let exit = command(args).unwrap_err();
        assert_eq!(exit.code, 2, "{args:?}");
        assert!(exit.text.contains("cannot be used"), "{}", exit.text);
    }
}

#[test]
fn run_2_a_folder_in_the_place_of_the_port_is_shown_its_flag() {
    for folder in ["./folder", "/", "public"] {
        let exit = command(&[folder]).unwrap_err();
        assert_eq!(exit.code, 2);
        assert!(exit.text.contains(&format!("tidegate -r {folder}")), "{}", exit.text);
    }
    assert!(command(&["chekc"]).unwrap_err().text.contains("the command check?"));
    assert!(resolve(&["65536"], &[]).unwrap_err().starts_with("PORT 65536: expected a whole number"));
}

#[test]
fn run_3_the_higher_layer_wins() {
    let file = "[server]\nqueue = 1\n[security]\nallow_host = [\"file\", \"too\"]";
    let variables = [("TIDEGATE_QUEUE", "2"), ("TIDEGATE_ALLOW_HOST", "variable")];
    let flags = ["--queue", "3", "--allow-host", "flag"];
    let outcome = |settings: Settings| {
        let names: Vec<String> = settings.hosts.allow.names.into_iter().map(|(name, _)| name).collect();
        (settings.server.queue, names.join(" "))
    };
    assert_eq!(outcome(resolve(&[], &[]).unwrap()), (100, String::new()));
    assert_eq!(outcome(resolve_file(file, &[], &[]).unwrap()), (1, "file too".to_owned()));
    assert_eq!(outcome(resolve_file(file, &[], &variables).unwrap()), (2, "variable".to_owned()));
    assert_eq!(outcome(resolve_file(file, &flags, &variables).unwrap()), (3, "flag".to_owned()));
}

#[test]
fn run_3_the_file_may_be_named_by_its_variable_and_the_flag_wins() {
    let (named, other) = (TempFile::new("[server]\nqueue = 5"), TempFile::new("[server]\nqueue = 6"));
    let variables = [("TIDEGATE_CONFIG", named.0.to_str().unwrap())];
    assert_eq!(resolve(&[], &variables).unwrap().server.queue, 5);
    assert_eq!(resolve(&["-c", other.0.to_str().unwrap()], &variables).unwrap().server.queue, 6);
    let Ok(Command::Serve(invocation)) = command(&[]) else { panic!("no arguments are valid") };
    assert_eq!(invocation.config_path(&environment(&variables)), Some(named.0.clone()));
    assert_eq!(invocation.config_path(&environment(&[])), None);
}

#[test]
fn run_2_listen_and_host_with_port_override_each_other_by_layer() {
    let file = "[server]\nlisten = [\"[::1]:1\", \"unix:/s\"]\nhost = \"localhost\"\nport = 9";
    let in_file = resolve_file(file, &[], &[]).unwrap();
    assert_eq!(in_file.server.listen, [tcp("[::1]:1"), ListenAddr::Unix("/s".into())]);
    assert_eq!(in_file.server.host, "localhost", "still our own name for the Host check");
    assert_eq!(in_file.notes, ["port is ignored: listen names its own ports"]);
    let by_flag = resolve_file(file, &["-p", "2", "-H", "::1"], &[]).unwrap();
    assert_eq!((by_flag.server.listen, by_flag.notes), (vec![tcp("[::1]:2")], vec![]));
    let by_position = resolve_file(file, &["2", "127.0.0.1"], &[]).unwrap();
    assert_eq!(by_position.server.listen, [tcp("127.0.0.1:2")]);
    let by_variable = resolve_file(file, &["--listen", "127.0.0.1:3"], &[("PORT", "4")]).unwrap();
    assert_eq!(by_variable.server.listen, [tcp("127.0.0.1:3")]);
}

#[test]
fn run_2_a_host_name_is_looked_up_and_kept_as_written() {
    let server = resolve(&["0", "localhost"], &[]).unwrap().server;
    assert_eq!(server.host, "localhost");
    assert!(matches!(server.listen.as_slice(), [ListenAddr::Tcp(address)] if address.ip().is_loopback()));
    let error = resolve(&["-H", "no-such-host.invalid"], &[]).unwrap_err();
    assert!(error.starts_with("--host no-such-host.invalid: no address found"), "{error}");
}

#[test]
fn run_3_a_bad_value_is_told_in_the_words_of_its_layer() {
    let expected = "expected a duration with its unit, like 30s";
    let file = "[limits]\nmax_fields = 9\n  keep_alive = 30";
    let starts = |error: String, start: &str| assert!(error.starts_with(start), "{error}");
    starts(resolve(&["--keep-alive", "30"], &[]).unwrap_err(), &format!("--keep-alive 30: {expected}"));
    starts(
        resolve(&[], &[("TIDEGATE_KEEP_ALIVE", "30")]).unwrap_err(),
        &format!("TIDEGATE_KEEP_ALIVE=30: {expected}"),
    );
    let in_file = format!("t.toml:3:16: limits.keep_alive: bad value `30`; {expected}");
    starts(resolve_file(file, &[], &[]).unwrap_err(), &in_file);
    starts(resolve_file(file, &["--keep-alive", "30s"], &[]).unwrap_err(), &in_file);
    let list = "[security]\nallow_host = [\n  \"good.example\",\n  \"b d\"]";
    starts(
        resolve_file(list, &[], &[]).unwrap_err(),
        "t.toml:4:3: security.allow_host: bad value `b d`; expected",
    );
}

#[test]
fn run_3_bad_values_are_refused_with_what_was_expected() {
    for (flag, text, expected) in [
        ("--workers", "many", "expected auto or a whole number from 1 to 1024"),
        ("--max-header", "8", "expected a size with its unit, like 8KiB"),
        ("--access-log", "xml", "expected pretty, combined, json or off"),
        ("--log-level", "TRACE", "expected DEBUG, INFO, WARNING or ERROR"),
        ("--root", "", "expected a path"),
        ("--listen", "8080", "expected an address with its port, like 127.0.0.1:8080"),
        ("--host", "4", "expected an address or a name without a port"),
        (
            "--cors-origin",
            "https://a/",
            "expected scheme://host[:port] without a path, like https://app.example",
        ),
        ("--allow-host", "a b", "expected a host name or address, like files.example"),
    ] {
        let error = resolve(&[flag, text], &[]).unwrap_err();
        assert!(error.starts_with(&format!("{flag} {text}: {expected}")), "{error}");
    }
    let error = resolve(&[], &[("TIDEGATE_INLINE", "yes")]).unwrap_err();
    assert_eq!(error, "TIDEGATE_INLINE=yes: expected true or false");
    let error = resolve_file("[files]\ndownload = [\".txt\"]", &[], &[]).unwrap_err();
    assert_eq!(
        error,
        "t.toml:2:13: files.download: bad value `.txt`; expected an extension without its dot, like txt"
    );
}

#[test]
fn run_2_the_bounds_in_help_are_the_bounds_that_hold() {
    for (name, below, least, most, above) in [
        ("port", "-", "0", "65535", "65536"),
        ("workers", "0", "1", "1024", "1025"),
        ("threads", "0", "1", "1024", "1025"),
        ("queue", "0", "1", "1000000", "1000001"),
        ("backlog", "0", "1", "65535", "65536"),
        ("drain", "-", "0s", "24h", "86401s"),
        ("drain-delay", "-", "0s", "24h", "86401s"),
        ("max-connections", "-", "0", "1000000", "1000001"),
        ("max-requests", "-", "0", "4294967295", "4294967296"),
        ("keep-alive", "0s", "1ms", "24h", "86401s"),
        ("header-timeout", "0s", "1ms", "24h", "86401s"),
        ("max-header", "511B", "512B", "1MiB", "1048577B"),
        ("max-fields", "0", "1", "256", "257"),
        ("max-body", "0B", "1B", "1024GiB", "1025GiB"),
        ("body-memory", "0B", "1B", "1024GiB", "1025GiB"),
        ("upload-quota", "0B", "1B", "1024GiB", "1025GiB"),
    ] {
        let with = |text: &str| resolve(&[&format!("--{name}={text}")], &[]);
        assert!(with(below).is_err() && with(above).is_err(), "{name}");
        assert!(with(least).is_ok() && with(most).is_ok(), "{name}");
        let help = TABLE.iter().find(|flag| flag.name == name).unwrap().help;
        let says_bounds = help.contains(&format!("{least} to {most}"));
        assert!(
            says_bounds || matches!(name, "port" | "max-requests"),
            "{name}: the type's own range goes unsaid"
        );
    }
}

#[test]
fn load_2_threads_are_a_number_or_a_range() {
    let threads = |text| resolve(&["--threads", text], &[]).map(|settings| settings.server.threads);
    for (text, least, most) in [("10", 10, 10), ("4..32", 4, 32), ("1..1024", 1, 1024), ("7..7", 7, 7)] {
        assert_eq!(threads(text).ok(), ThreadRange::new(least, most), "{text}");
    }
    for text in
        ["0..4", "5..4", "4..1025", "4..", "..4", "..", "4..8..9", "4 .. 8", "4-8", "1..=4", "+1..4", ""]
    {
        let error = threads(text).unwrap_err();
        let expected = "expected a whole number from 1 to 1024, or a range like 4..32";
        assert_eq!(error, format!("--threads {text}: {expected}"));
    }
}

#[test]
fn load_2_a_range_of_threads_is_written_back_as_it_was_read() {
    for (written, line) in [("8", "threads = 8\n"), ("'4..32'", "threads = \"4..32\"\n")] {
        let settings = resolve_file(&format!("[server]\nthreads = {written}"), &[], &[]).unwrap();
        let toml = settings.to_toml();
        assert!(toml.contains(line), "{toml}");
        assert_eq!(resolve_file(&toml, &[], &[]).unwrap(), settings);
    }
}

#[test]
fn run_3_a_request_line_fits_its_head() {
    let line = |args: &[&str]| resolve(args, &[]).map(|settings| settings.limits.max_request_line);
    assert_eq!(line(&["--max-header", "1KiB"]), Ok(1024), "the default gives way");
    assert_eq!(line(&["--max-header", "1KiB", "--max-request-line", "64B"]), Ok(64));
    let error = line(&["--max-header", "1KiB", "--max-request-line", "1025B"]).unwrap_err();
    assert!(
        error.starts_with(
            "--max-request-line 1025B: a request line larger than its head; expected at most 1KiB"
        )
    );
    assert!(line(&["--max-request-line", "63B"]).is_err());
}

#[test]
fn run_2_zero_is_no_limit() {
    let limits = resolve(&["--max-connections", "0", "--max-requests", "0"], &[]).unwrap().limits;
    assert_eq!((limits.max_connections, limits.max_requests), (None, None));
}

#[test]
fn file_2_inline_is_an_empty_download() {
    let download = |file: &str, args: &[&str], variables: &[(&str, &str)]| {
        resolve_file(file, args, variables).unwrap().files.download
    };
    let (inline, none) = ("[files]\ninline = true", Vec::<String>::new());
    assert_eq!(download(inline, &[], &[]), none);
    assert_eq!(download("[files]\ndownload = []", &[], &[]), none);
    assert_eq!(download("[files]\ndownload = [\"PDF\"]", &[], &[]), ["pdf"]);
    assert_eq!(download("[files]\ndownload = [\"pdf\"]", &["--inline"], &[]), none);
    assert_eq!(download(inline, &[], &[("TIDEGATE_INLINE", "false")]), ["txt", "png", "jpg", "jpeg"]);
}

#[test]
fn obs_1_log_levels_are_read_in_any_case() {
    for (text, level) in [
        ("debug", LevelFilter::Debug),
        ("Info", LevelFilter::Info),
        ("WARN", LevelFilter::Warn),
        ("warning", LevelFilter::Warn),
        ("ERROR", LevelFilter::Error),
    ] {
        assert_eq!(resolve(&[], &[("LOG_LEVEL", text)]).unwrap().log.level, level);
    }
}

#[test]
fn load_8_body_memory_below_one_body_is_noted() {
    let settings = resolve(&["--body-memory", "1KiB"], &[]).unwrap();
    assert_eq!(
        settings.notes,
        ["max-body 1MiB is over body-memory 1KiB: the largest bodies are always refused"]
    );
}

#[test]
fn run_2_the_sandbox_is_on_until_flag_variable_or_file_turn_it_off() {
    let on = |result: Result<Settings, String>| result.unwrap().server.sandbox;
    assert!(on(resolve(&[], &[])));
    assert!(!on(resolve(&["--no-sandbox"], &[])));
    assert!(!on(resolve(&[], &[("TIDEGATE_NO_SANDBOX", "true")])));
    let file = "[server]\nsandbox = false\n";
    assert!(!on(resolve_file(file, &[], &[])));
    assert!(on(resolve_file(file, &[], &[("TIDEGATE_NO_SANDBOX", "0")])), "the variable wins over the file");
    assert!(resolve(&[], &[("TIDEGATE_NO_SANDBOX", "perhaps")]).unwrap_err().contains("true or false"));
    assert!(resolve(&["--no-sandbox"], &[]).unwrap().to_toml().contains("\nsandbox = false\n"));
}

#[test]
fn run_2_a_user_is_a_name_or_a_number() {
    let user = |text: &str| resolve(&["--user", text], &[]).map(|settings| settings.server.user.unwrap());
    assert_eq!(user("www-data").unwrap(), "www-data");
    assert_eq!(resolve_file("[server]\nuser = 33\n", &[], &[]).unwrap().server.user.unwrap(), "33");
    for text in ["", "a:b", "a\nb"] {
        assert!(user(text).is_err(), "{text}");
    }
}

#[test]
fn run_5_a_reload_takes_the_address_that_was_found_at_start() {
    let again = |args: &[&str], settings: &Settings| match command(args) {
        Ok(Command::Serve(invocation)) => invocation.resolve_again(&environment(&[]), settings),
        other => panic!("{other:?}"),
    };
    let mut settings = resolve(&["-H", "localhost", "-p", "81"], &[]).unwrap();
    settings.server.listen = vec![ListenAddr::Tcp("192.0.2.7:81".parse().unwrap())];
    let listen = |args: &[&str]| again(args, &settings).unwrap().server.listen;
    assert_eq!(listen(&["-H", "localhost", "-p", "81"]), settings.server.listen);
    assert_eq!(listen(&["-H", "other.invalid", "-p", "81"]), settings.server.listen, "nobody is asked");
    assert_eq!(listen(&["-H", "127.0.0.1", "-p", "81"]), [ListenAddr::Tcp("127.0.0.1:81".parse().unwrap())]);
    settings.server.listen = vec![ListenAddr::Unix("here".into())];
    assert!(again(&["-H", "localhost"], &settings).is_err(), "no address was found at start");
}
