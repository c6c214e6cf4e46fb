//! Settings written back as TOML, and compared for a reload: both read one list of what each row came to.

use std::fmt;
use std::path::{Path, PathBuf};

use log::LevelFilter;

use super::address::{ListenAddr, ip_of};
use super::settings::{AccessFormat, ClientSettings, ServerSettings, Settings, ThreadRange};
use super::table::{self as t, Flag, GROUPS, Reload};
use super::tls::TlsSettings;
use super::units::{write_duration, write_size};
use crate::net::cidr::CidrSet;

/// What a row came to, as TOML would say it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Written {
    Unset,
    Number(u64),
    Text(String),
    List(Vec<String>),
    Switch(bool),
}

impl Settings {
    /// The effective configuration as TOML: read as a file it gives the same settings again. What is not set
    /// stands as a comment. (A path that is not UTF-8 cannot get here: every layer is text.)
    pub fn to_toml(&self) -> String {
        let rows = self.written();
        let mut text = String::new();
        for (group, _) in GROUPS {
            text.push_str(&format!("[{group}]\n"));
            for (flag, written) in &rows {
                if let Some((_, key)) = flag.group_and_key().filter(|(of, _)| of == group) {
                    text.push_str(&line(key, written));
                }
            }
            text.push('\n');
        }
        text.truncate(text.trim_end().len());
        text + "\n"
    }

    /// The first key that differs in `new` although a reload may not change it, as `server.workers` (RUN-5).
    pub fn changed_fixed_key(&self, new: &Settings) -> Option<&'static str> {
        let pairs = self.written().into_iter().zip(new.written());
        pairs
            .filter(|((flag, old), (_, new))| !may_change(flag.reload, old, new))
            .map(|((flag, _), _)| flag.key)
            .next()
    }

    /// The keys that differ in `new`.
    pub fn changed_keys(&self, new: &Settings) -> Vec<&'static str> {
        let pairs = self.written().into_iter().zip(new.written());
        pairs.filter(|((_, old), (_, new))| old != new).map(|((flag, _), _)| flag.key).collect()
    }

    /// Every row that a file may hold, in the order of the table.
    fn written(&self) -> Vec<(&'static Flag, Written)> {
        let (limits, clients, admin, log) = (&self.limits, &self.clients, &self.admin, &self.log);
        let mut rows = server_rows(&self.server);
        rows.extend([
            (&t::MAX_CONNECTIONS, number(limits.max_connections.unwrap_or(0))),
            (&t::MAX_CONNECTIONS_PER_IP, number(clients.max_connections.unwrap_or(0))),
            (&t::RATE_LIMIT, Written::Text(clients.rate.map_or("off".to_owned(), |rate| rate.to_string()))),
            (&t::LIMIT_LOOPBACK, Written::Switch(clients.limit_loopback)),
            (&t::BANS, Written::Text(self.bans.mode.name().to_owned())),
            (&t::BAN_TIME, Written::Text(write_duration(&self.bans.time))),
            (&t::MAX_REQUESTS, Written::Number(limits.max_requests.unwrap_or(0).into())),
            (&t::KEEP_ALIVE, Written::Text(write_duration(&limits.keep_alive))),
            (&t::HEADER_TIMEOUT, Written::Text(write_duration(&limits.header_timeout))),
            (&t::MAX_HEADER, Written::Text(write_size(limits.max_header as u64))),
            (&t::MAX_FIELDS, number(limits.max_fields)),
            (&t::MAX_REQUEST_LINE, Written::Text(write_size(limits.max_request_line as u64))),
            (&t::MAX_BODY, Written::Text(write_size(limits.max_body))),
            (&t::BODY_MEMORY, Written::Text(write_size(limits.body_memory))),
            (&t::ROOT, path(&self.files.root)),
            // `inline` is not written: it says the same as an empty `download`.
            (&t::DOWNLOAD, Written::List(self.files.download.clone())),
            (&t::LISTING, Written::Switch(self.files.listing)),
            (&t::SPA, Written::Switch(self.files.spa)),
            (&t::UPLOADS, optional_path(self.uploads.dir.as_ref())),
            (
                &t::UPLOAD_QUOTA,
                self.uploads.quota.map_or(Written::Unset, |bytes| Written::Text(write_size(bytes))),
            ),
            (&t::ALLOW_HOST, Written::List(self.hosts.allow.written())),
            (&t::TRUSTED_PROXY, proxies(clients)),
            (&t::BAN_ALLOW, networks(&self.bans.never)),
            (&t::CORS_ORIGIN, Written::List(self.cors.origins.clone())),
            (&t::ADMIN_ALLOW, networks(&admin.allow)),
            (&t::ADMIN_TOKEN_FILE, optional_path(admin.token_file.as_ref())),
            (
                &t::ADMIN_LISTEN,
                admin.listen.as_ref().map_or(Written::Unset, |at| Written::Text(at.to_string())),
            ),
            (&t::ACCESS_LOG, Written::Text(access_format(log.access).to_owned())),
            (&t::LOG_LEVEL, Written::Text(level(log.level).to_owned())),
            (&t::LOG_FILE, optional_path(log.file.as_ref())),
            (&t::JSON_LOG_FILE, optional_path(log.json_file.as_ref())),
            (&t::AUDIT_LOG, optional_path(log.audit_file.as_ref())),
        ]);
        rows.extend(tls_rows(&self.tls));
        rows
    }
}

fn server_rows(server: &ServerSettings) -> Vec<(&'static Flag, Written)> {
    let (port, listen) = match port_of(server) {
        Some(port) => (Written::Number(port.into()), Written::Unset),
        None => (Written::Unset, Written::List(server.listen.iter().map(ToString::to_string).collect())),
    };
    vec![
        (&t::PORT, port),
        (&t::HOST, Written::Text(server.host.clone())),
        (&t::LISTEN, listen),
        (&t::WORKERS, number(server.workers)),
        (&t::THREADS, threads(server.threads)),
        (&t::QUEUE, number(server.queue)),
        (&t::BACKLOG, Written::Number(u64::from(server.backlog.unsigned_abs()))),
        (&t::DRAIN, Written::Text(write_duration(&server.drain))),
        (&t::DRAIN_DELAY, Written::Text(write_duration(&server.drain_delay))),
        (&t::STATE, optional_path(server.state.as_ref())),
        (&t::CONTROL, optional_path(server.control.as_ref())),
        (&t::USER, server.user.clone().map_or(Written::Unset, Written::Text)),
        (&t::SANDBOX, Written::Switch(server.sandbox)),
    ]
}

fn tls_rows(tls: &TlsSettings) -> [(&'static Flag, Written); 5] {
    let text = |text: Option<String>| text.map_or(Written::Unset, Written::Text);
    [
        (&t::TLS_CERT, paths(tls.pairs.iter().map(|pair| &pair.cert))),
        (&t::TLS_KEY, paths(tls.pairs.iter().map(|pair| &pair.key))),
        (&t::TLS_SELF_SIGNED, Written::Switch(tls.self_signed)),
        (&t::TLS_REDIRECT, text(tls.redirect.map(|at| at.to_string()))),
        (&t::HSTS, text(tls.hsts.map(|age| write_duration(&age)))),
    ]
}

/// The port, where host and port alone say where the server listens.
fn port_of(server: &ServerSettings) -> Option<u16> {
    match server.listen.as_slice() {
        [ListenAddr::Tcp(only)] if ip_of(&server.host) == Some(only.ip()) => Some(only.port()),
        _ => None,
    }
}

fn may_change(reload: Reload, old: &Written, new: &Written) -> bool {
    match (reload, old, new) {
        (Reload::AtOnce, ..) => true,
        // Back to the terminal needs no folder.
        (Reload::SameFolder, _, Written::Unset) => true,
        (Reload::SameFolder, Written::Text(old), Written::Text(new)) => folder(old) == folder(new),
        // Other files of the same folders; but none at all would mean another protocol.
        (Reload::SameFolder, Written::List(old), Written::List(new)) => {
            let known = |file: &String| old.iter().any(|old| folder(old) == folder(file));
            old.is_empty() == new.is_empty() && new.iter().all(known)
        }
        _ => old == new,
    }
}

/// The folder of a file; `.` for a bare name.
fn folder(file: &str) -> Option<&Path> {
    let parent = Path::new(file).parent()?;
    Some(if parent.as_os_str().is_empty() { Path::new(".") } else { parent })
}

fn line(key: &str, written: &Written) -> String {
    match written {
        Written::Unset => format!("# {key} is not set\n"),
        written => format!("{key} = {written}\n"),
    }
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Written::Unset => Ok(()),
            Written::Number(number) => write!(f, "{number}"),
            Written::Text(text) => write!(f, "{}", toml::Value::from(text.as_str())),
            Written::Switch(on) => write!(f, "{on}"),
            Written::List(texts) => write!(f, "{}", toml::Value::from(texts.clone())),
        }
    }
}

fn number(number: usize) -> Written {
    Written::Number(number as u64)
}

fn threads(range: ThreadRange) -> Written {
    if range.is_fixed() { number(range.most()) } else { Written::Text(range.to_string()) }
}

fn path(path: &Path) -> Written {
    Written::Text(path.display().to_string())
}

fn optional_path(given: Option<&PathBuf>) -> Written {
    given.map_or(Written::Unset, |given| path(given))
}

fn paths<'a>(given: impl Iterator<Item = &'a PathBuf>) -> Written {
    Written::List(given.map(|path| path.display().to_string()).collect())
}

fn proxies(clients: &ClientSettings) -> Written {
    let unix = clients.trusted_unix.then(|| "unix".to_owned());
    Written::List(clients.trusted_proxies.iter().map(ToString::to_string).chain(unix).collect())
}

fn networks(set: &CidrSet) -> Written {
    Written::List(set.iter().map(ToString::to_string).collect())
}

fn access_format(format: AccessFormat) -> &'static str {
    match format {
        AccessFormat::Pretty => "pretty",
        AccessFormat::Combined => "combined",
        AccessFormat::Json => "json",
        AccessFormat::Off => "off",
    }
}

/// The level by our name for it; `Trace` and `Off` are never set by `resolve`.
fn level(level: LevelFilter) -> &'static str {
    match level {
        LevelFilter::Trace | LevelFilter::Debug => "DEBUG",
        LevelFilter::Info => "INFO",
        LevelFilter::Warn => "WARNING",
        LevelFilter::Error | LevelFilter::Off => "ERROR",
    }
}
