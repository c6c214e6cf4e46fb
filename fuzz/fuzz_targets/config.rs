//! The configuration file: settings that are written back read the same, none lies outside of its bounds, what is no
//! TOML is no configuration, and a mistake has a place in the file.
//!
//! The input is the file. One that begins with a zero byte, which no TOML does, is a number for one setting: as text alone
//! hardly any would meet a bound.

#![no_main]

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, memfd_create};
use tidegate::config::{Command, ConfigError, Environment, Invocation, Settings, parse};

fuzz_target!(|data: &[u8]| fuzz::timely(data, check));

fn check(data: &[u8]) {
    let written = data.strip_prefix(b"\0").and_then(one_number);
    let data = written.as_ref().map_or(data, String::as_bytes);
    match READER.read(data) {
        Err(error) => is_told(&error, data),
        Ok(settings) => {
            bounded(&settings);
            let text = str::from_utf8(data).expect("a configuration is text");
            let table: toml::Table = toml::from_str(text).expect("a configuration is TOML");
            assert!(table.values().all(toml::Value::is_table), "keys stand in groups");
            let written = settings.to_toml();
            let again =
                READER.read(written.as_bytes()).unwrap_or_else(|error| panic!("{error} in\n{written}"));
            assert_eq!(settings.changed_keys(&again), [""; 0], "{written}");
            assert_eq!(settings.changed_fixed_key(&again), None);
            // What the operator is told may differ: of a port beside `listen` only the latter is written back.
            assert_eq!(Settings { notes: Vec::new(), ..settings }, Settings { notes: Vec::new(), ..again });
        }
    }
}

/// Settings that are a number, or one with a unit.
const NUMBERS: [(&str, &str, &str); 16] = [
    ("server", "port", ""),
    ("server", "workers", ""),
    ("server", "threads", ""),
    ("server", "queue", ""),
    ("server", "backlog", ""),
    ("server", "drain", "ms"),
    ("limits", "max_connections", ""),
    ("limits", "max_requests", ""),
    ("limits", "max_fields", ""),
    ("limits", "ban_time", "ms"),
    ("limits", "keep_alive", "ms"),
    ("limits", "header_timeout", "ms"),
    ("limits", "max_header", "B"),
    ("limits", "max_request_line", "B"),
    ("limits", "max_body", "B"),
    ("limits", "body_memory", "B"),
];

/// A file that sets one of them.
fn one_number(choice: &[u8]) -> Option<String> {
    let (&which, number) = choice.split_first()?;
    let number = u64::from_le_bytes(*number.first_chunk()?);
    let (group, key, unit) = NUMBERS[usize::from(which) % NUMBERS.len()];
    let quote = if unit.is_empty() { "" } else { "\"" };
    Some(format!("[{group}]\n{key} = {quote}{number}{unit}{quote}\n"))
}

/// Line and column, where a mistake has them, are those of a letter of the file or of what follows its last one.
fn is_told(error: &ConfigError, data: &[u8]) {
    let told = error.to_string();
    let Some(place) = told.strip_prefix(&format!("{}:", READER.path)) else {
        assert!(str::from_utf8(data).is_err(), "{told}");
        return;
    };
    let text = str::from_utf8(data).expect("its lines were counted");
    let mut numbers = place.split(':').map(|number| number.parse::<usize>().expect("a number"));
    let [line, column] = [(); 2].map(|()| numbers.next().expect("a line and a column"));
    let found = text.split('\n').nth(line - 1).unwrap_or_else(|| panic!("{told}"));
    assert!((1..=found.chars().count() + 1).contains(&column), "{told}");
}

/// The bounds that the settings promise.
fn bounded(settings: &Settings) {
    let (server, limits) = (&settings.server, &settings.limits);
    assert!((1..=64).contains(&server.listen.len()) && (1..=1024).contains(&server.workers));
    assert!(server.threads.least() <= server.threads.most() && (1..=1024).contains(&server.threads.most()));
    assert!((1..=1_000_000).contains(&server.queue) && (1..=65_535).contains(&server.backlog));
    let day = Duration::from_hours(24);
    assert!([server.drain, server.drain_delay].iter().all(|time| *time <= day));
    let deadlines = [limits.keep_alive, limits.header_timeout, settings.bans.time];
    assert!(deadlines.iter().all(|time| (Duration::from_millis(1)..=day).contains(time)));
    assert!((512..=1 << 20).contains(&limits.max_header) && (1..=256).contains(&limits.max_fields));
    assert!((64..=limits.max_header).contains(&limits.max_request_line));
    assert!([limits.max_body, limits.body_memory].iter().all(|size| (1..=1 << 40).contains(size)));
    assert!(limits.max_connections != Some(0) && limits.max_requests != Some(0));
    assert!(settings.files.download.len() <= 256 && settings.cors.origins.len() <= 256);
}

static READER: LazyLock<Reader> = LazyLock::new(Reader::new);

/// Reads a file that lies in memory, as a reload does: no name is looked up.
struct Reader {
    file: File,
    path: String,
    invocation: Box<Invocation>,
    at_start: Settings,
}

impl Reader {
    fn new() -> Self {
        let file = File::from(memfd_create("config", MemfdFlags::CLOEXEC).expect("memory"));
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let nothing = Environment::default();
        let at_start = invocation(&["check"]).resolve(&nothing).expect("the defaults");
        Self { invocation: invocation(&["check", "-c", &path]), file, path, at_start }
    }

    fn read(&self, data: &[u8]) -> Result<Settings, ConfigError> {
        self.file.set_len(0).and_then(|()| self.file.write_all_at(data, 0)).expect("memory");
        self.invocation.resolve_again(&Environment::default(), &self.at_start)
    }
}

fn invocation(arguments: &[&str]) -> Box<Invocation> {
    match parse(["tidegate"].iter().chain(arguments).map(OsString::from)) {
        Ok(Command::Check(invocation)) => invocation,
        other => panic!("{other:?}"),
    }
}
