//! Layers into settings: the type and the bounds of every row, and the rules between rows.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use log::LevelFilter;

use super::address::{AllowHosts, ListenAddr, allowed_host, host, ip_of, listen_address, socket_path};
use super::cli::Invocation;
use super::env::Environment;
use super::error::{BadValue, ConfigError};
use super::layers::Layers;
use super::origin::origin;
use super::rate::{RateLimit, rate_limit};
use super::settings::{
    AccessFormat, AdminSettings, BanMode, BanSettings, ClientSettings, CorsSettings, FileSettings,
    HostSettings, LimitSettings, LogSettings, ServerSettings, Settings, ThreadRange, UploadSettings,
};
use super::table as t;
use super::tls;
use super::token::Token;
use super::units::{duration_in, number_in, size_in, write_size};
use crate::net::cidr::{Cidr, CidrError, CidrSet};

/// Threads of one kind: far beyond the cores of any machine; more only cost memory and switching.
const THREADS_MAX: usize = 1024;
/// Jobs waiting for the pool: a job is some hundred bytes, so a full queue stays below a gigabyte.
const QUEUE_MAX: usize = 1_000_000;
/// The kernel's own ceiling, `somaxconn`, was 16 bits wide for long, and a longer queue only hides an
/// overload.
const BACKLOG_MAX: i32 = 65_535;
/// Linux's default `fs.nr_open` is 1,048,576 open files for one process, and each connection is one.
const CONNECTIONS_MAX: usize = 1_000_000;
/// Fields in a head: the fixed array of the head parser.
const FIELDS_MAX: usize = 256;
/// A head must hold a request line, Host and a few fields, or nobody is served.
const HEADER_MIN: u64 = 512;
/// Each connection may hold a head of this size: more would make heads the cheapest way to exhaust memory.
const HEADER_MAX: u64 = 1 << 20;
/// `GET / HTTP/1.1` and room for a short path.
const REQUEST_LINE_MIN: u64 = 64;
/// 1 TiB: more memory or upload space than a machine that runs this has to give.
const SIZE_MAX: u64 = 1 << 40;
/// The shortest deadline the clock of the connections can tell.
const DEADLINE_MIN: Duration = Duration::from_millis(1);
/// A deadline of more than a day is none.
const TIME_MAX: Duration = Duration::from_hours(24);
/// Addresses to listen on: each costs one socket for each worker.
const LISTENERS_MAX: usize = 64;
/// Allowed hosts, origins and download extensions: searched in turn, once for each request.
const NAMES_MAX: usize = 256;
/// Letters of an extension.
const EXTENSION_MAX: usize = 32;

impl Invocation {
    /// Lays flags, environment, file and defaults over each other and validates all of them.
    ///
    /// A configured host that is a name is looked up here, which may block on the resolver.
    ///
    /// # Errors
    /// The first value, in any layer, that cannot be used: with its place and what was expected.
    pub fn resolve(&self, environment: &Environment) -> Result<Settings, ConfigError> {
        self.resolve_by(environment, &|host, port| {
            (host, port).to_socket_addrs()?.next().ok_or_else(no_address)
        })
    }

    /// The same for a server that runs by `at_start`: no name is looked up again. A resolver reads files and opens
    /// sockets that the sandbox refuses (SEC-7), and the addresses cannot change anyway (RUN-5).
    ///
    /// # Errors
    /// As `resolve`.
    pub fn resolve_again(
        &self,
        environment: &Environment,
        at_start: &Settings,
    ) -> Result<Settings, ConfigError> {
        let tcp = |addr: &ListenAddr| if let ListenAddr::Tcp(addr) = addr { Some(addr.ip()) } else { None };
        let known = at_start.server.listen.iter().find_map(tcp);
        self.resolve_by(environment, &|_, port| known.map(|ip| (ip, port).into()).ok_or_else(no_address))
    }

    fn resolve_by(
        &self,
        environment: &Environment,
        resolver: &Resolver<'_>,
    ) -> Result<Settings, ConfigError> {
        let layers = Layers::gather(self, environment)?;
        let (server, admin) = (server(&layers, resolver)?, admin(&layers)?);
        let mut settings = Settings {
            tls: tls::tls(&layers, &server, &admin)?,
            server,
            limits: limits(&layers)?,
            files: files(&layers)?,
            uploads: uploads(&layers)?,
            hosts: hosts(&layers)?,
            clients: clients(&layers)?,
            bans: bans(&layers)?,
            admin,
            cors: cors(&layers)?,
            log: log(&layers)?,
            notes: Vec::new(),
        };
        settings.notes = [layers.notes.clone(), notes(&layers, &settings)].concat();
        Ok(settings)
    }
}

/// Gives the first address of a host by its name, with this port.
type Resolver<'a> = dyn Fn(&str, u16) -> io::Result<SocketAddr> + 'a;

fn no_address() -> io::Error {
    io::Error::other("the name has none")
}

fn server(layers: &Layers, resolver: &Resolver<'_>) -> Result<ServerSettings, ConfigError> {
    Ok(ServerSettings {
        listen: listeners(layers, resolver)?,
        host: layers.one(&t::HOST, host)?,
        workers: layers.one(&t::WORKERS, workers)?,
        threads: layers.one(&t::THREADS, threads)?,
        queue: layers.one(&t::QUEUE, number_in(1..=QUEUE_MAX))?,
        backlog: layers.one(&t::BACKLOG, number_in(1..=BACKLOG_MAX))?,
        drain: layers.one(&t::DRAIN, duration_in(Duration::ZERO..=TIME_MAX))?,
        drain_delay: layers.one(&t::DRAIN_DELAY, duration_in(Duration::ZERO..=TIME_MAX))?,
        state: layers.optional(&t::STATE, path)?,
        control: layers.optional(&t::CONTROL, socket_path)?,
        user: layers.optional(&t::USER, user)?,
        sandbox: layers.optional(&t::SANDBOX, switch)?.unwrap_or(true),
    })
}

fn limits(layers: &Layers) -> Result<LimitSettings, ConfigError> {
    let max_header = layers.one(&t::MAX_HEADER, size_in(HEADER_MIN..=HEADER_MAX))?;
    let max_request_line = max_request_line(layers, max_header)?;
    Ok(LimitSettings {
        max_connections: layers.one(&t::MAX_CONNECTIONS, number_in(0..=CONNECTIONS_MAX)).map(unless_zero)?,
        max_requests: layers.one(&t::MAX_REQUESTS, number_in(0..=u32::MAX)).map(unless_zero)?,
        keep_alive: layers.one(&t::KEEP_ALIVE, duration_in(DEADLINE_MIN..=TIME_MAX))?,
        header_timeout: layers.one(&t::HEADER_TIMEOUT, duration_in(DEADLINE_MIN..=TIME_MAX))?,
        max_header: in_memory(max_header),
        max_fields: layers.one(&t::MAX_FIELDS, number_in(1..=FIELDS_MAX))?,
        max_request_line: in_memory(max_request_line),
        max_body: layers.one(&t::MAX_BODY, size_in(1..=SIZE_MAX))?,
        body_memory: layers.one(&t::BODY_MEMORY, size_in(1..=SIZE_MAX))?,
    })
}

fn files(layers: &Layers) -> Result<FileSettings, ConfigError> {
    let download = layers.list(&t::DOWNLOAD, NAMES_MAX, extension)?;
    let inline = layers.optional(&t::INLINE, switch)?.unwrap_or(false);
    Ok(FileSettings {
        root: layers.one(&t::ROOT, path)?,
        download: if inline { Vec::new() } else { download },
        listing: layers.optional(&t::LISTING, switch)?.unwrap_or(false),
        spa: layers.optional(&t::SPA, switch)?.unwrap_or(false),
    })
}

fn uploads(layers: &Layers) -> Result<UploadSettings, ConfigError> {
    Ok(UploadSettings {
        dir: layers.optional(&t::UPLOADS, path)?,
        quota: layers.optional(&t::UPLOAD_QUOTA, size_in(1..=SIZE_MAX))?,
    })
}

fn hosts(layers: &Layers) -> Result<HostSettings, ConfigError> {
    let names = layers.list(&t::ALLOW_HOST, NAMES_MAX, allowed_host)?;
    Ok(HostSettings { allow: AllowHosts::from_names(names) })
}

fn cors(layers: &Layers) -> Result<CorsSettings, ConfigError> {
    Ok(CorsSettings { origins: layers.list(&t::CORS_ORIGIN, NAMES_MAX, origin)? })
}

fn clients(layers: &Layers) -> Result<ClientSettings, ConfigError> {
    let proxies = layers.list(&t::TRUSTED_PROXY, NAMES_MAX, proxy)?;
    let connections = layers.one(&t::MAX_CONNECTIONS_PER_IP, number_in(0..=CONNECTIONS_MAX))?;
    Ok(ClientSettings {
        max_connections: unless_zero(connections),
        rate: layers.one(&t::RATE_LIMIT, rate)?,
        limit_loopback: layers.optional(&t::LIMIT_LOOPBACK, switch)?.unwrap_or(false),
        trusted_unix: proxies.contains(&None),
        trusted_proxies: proxies.into_iter().flatten().collect(),
    })
}

fn bans(layers: &Layers) -> Result<BanSettings, ConfigError> {
    Ok(BanSettings {
        mode: layers.one(&t::BANS, ban_mode)?,
        time: layers.one(&t::BAN_TIME, duration_in(Duration::from_secs(1)..=TIME_MAX))?,
        never: networks(layers, &t::BAN_ALLOW)?,
    })
}

fn admin(layers: &Layers) -> Result<AdminSettings, ConfigError> {
    let token_file = layers.optional(&t::ADMIN_TOKEN_FILE, path)?;
    let read =
        |file: &PathBuf| Token::read(file).map_err(|bad| layers.deciding(&t::ADMIN_TOKEN_FILE).refused(bad));
    Ok(AdminSettings {
        allow: networks(layers, &t::ADMIN_ALLOW)?,
        token: token_file.as_ref().map(read).transpose()?,
        token_file,
        listen: layers.optional(&t::ADMIN_LISTEN, listen_address)?,
    })
}

fn networks(layers: &Layers, flag: &t::Flag) -> Result<CidrSet, ConfigError> {
    layers.list(flag, NAMES_MAX, network).map(CidrSet::from_iter)
}

fn log(layers: &Layers) -> Result<LogSettings, ConfigError> {
    Ok(LogSettings {
        access: layers.one(&t::ACCESS_LOG, access_format)?,
        level: layers.one(&t::LOG_LEVEL, level)?,
        file: layers.optional(&t::LOG_FILE, path)?,
        json_file: layers.optional(&t::JSON_LOG_FILE, path)?,
        audit_file: layers.optional(&t::AUDIT_LOG, path)?,
    })
}

/// Where to listen. Of `listen` and the pair of host and port, the one given in the higher layer decides; in
/// the same layer `listen` does, for host is then only the name that the Host check knows.
fn listeners(layers: &Layers, resolver: &Resolver<'_>) -> Result<Vec<ListenAddr>, ConfigError> {
    let listen = layers.list(&t::LISTEN, LISTENERS_MAX, listen_address)?;
    let host = layers.one(&t::HOST, host)?;
    let port = layers.one(&t::PORT, number_in(0..=u16::MAX))?;
    if listen_decides(layers) && !listen.is_empty() {
        return Ok(each_once(listen));
    }
    Ok(vec![look_up(layers, &host, port, resolver)?])
}

/// An address named twice is one listener; port 0 is another free port each time.
fn each_once(listen: Vec<ListenAddr>) -> Vec<ListenAddr> {
    let mut once: Vec<ListenAddr> = Vec::with_capacity(listen.len());
    for addr in listen {
        let any_port = matches!(addr, ListenAddr::Tcp(addr) if addr.port() == 0);
        if any_port || !once.contains(&addr) {
            once.push(addr);
        }
    }
    once
}

fn listen_decides(layers: &Layers) -> bool {
    layers.rank(&t::LISTEN) >= layers.rank(&t::HOST).max(layers.rank(&t::PORT))
}

/// The first address of the host; a name asks the resolver.
fn look_up(
    layers: &Layers,
    host: &str,
    port: u16,
    resolver: &Resolver<'_>,
) -> Result<ListenAddr, ConfigError> {
    if let Some(address) = ip_of(host) {
        return Ok(ListenAddr::Tcp((address, port).into()));
    }
    resolver(host, port).map(ListenAddr::Tcp).map_err(|error| {
        let what = format!("no address found ({error})");
        let bad = BadValue::because(what, "an address or a name of this machine");
        layers.deciding(&t::HOST).refused(bad)
    })
}

/// A request line is part of the head. The default gives way to a small head; a written one must fit.
fn max_request_line(layers: &Layers, max_header: u64) -> Result<u64, ConfigError> {
    let line = layers.one(&t::MAX_REQUEST_LINE, size_in(REQUEST_LINE_MIN..=HEADER_MAX))?;
    if line <= max_header || layers.rank(&t::MAX_REQUEST_LINE).is_none() {
        return Ok(line.min(max_header));
    }
    let expected = format!("at most {}, the size of a head (max-header)", write_size(max_header));
    let bad = BadValue::because("a request line larger than its head", expected);
    Err(layers.deciding(&t::MAX_REQUEST_LINE).refused(bad))
}

/// What is allowed but hardly meant.
fn notes(layers: &Layers, settings: &Settings) -> Vec<String> {
    let mut notes = Vec::from_iter(tls::note(settings));
    if settings.limits.max_body > settings.limits.body_memory {
        let (body, memory) = (write_size(settings.limits.max_body), write_size(settings.limits.body_memory));
        notes.push(format!(
            "max-body {body} is over body-memory {memory}: the largest bodies are always refused"
        ));
    }
    if layers.rank(&t::PORT).is_some() && layers.rank(&t::LISTEN).is_some() && listen_decides(layers) {
        notes.push("port is ignored: listen names its own ports".to_owned());
    }
    notes
}

fn workers(text: &str) -> Result<usize, BadValue> {
    /// Asked once: behind the sandbox the quota of a control group cannot be read, and a reload would count more.
    static CORES: LazyLock<usize> =
        LazyLock::new(|| std::thread::available_parallelism().map_or(1, NonZero::get));
    if text == "auto" {
        return Ok((*CORES).min(THREADS_MAX));
    }
    number_in(1..=THREADS_MAX)(text)
        .map_err(|_| BadValue::expected(format!("auto or a whole number from 1 to {THREADS_MAX}")))
}

/// One number, or two with `..` between them.
fn threads(text: &str) -> Result<ThreadRange, BadValue> {
    let number = number_in(1..=THREADS_MAX);
    let (least, most) = text.split_once("..").unwrap_or((text, text));
    let range = number(least).and_then(|least| Ok(ThreadRange::new(least, number(most)?)));
    range.ok().flatten().ok_or_else(|| {
        BadValue::expected(format!("a whole number from 1 to {THREADS_MAX}, or a range like 4..32"))
    })
}

pub(super) fn path(text: &str) -> Result<PathBuf, BadValue> {
    if text.is_empty() || text.contains('\0') {
        return Err(BadValue::expected("a path"));
    }
    Ok(PathBuf::from(text))
}

/// A name or number of passwd(5), whether there is one or not.
fn user(text: &str) -> Result<String, BadValue> {
    let fits = !text.is_empty() && !text.contains([':', '\n', '\0']);
    if fits { Ok(text.to_owned()) } else { Err(BadValue::expected("the name or number of a user")) }
}

fn extension(text: &str) -> Result<String, BadValue> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+');
    if (1..=EXTENSION_MAX).contains(&text.len()) && text.bytes().all(known) {
        return Ok(text.to_ascii_lowercase());
    }
    Err(BadValue::expected("an extension without its dot, like txt"))
}

pub(super) fn switch(text: &str) -> Result<bool, BadValue> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(BadValue::expected("true or false")),
    }
}

fn rate(text: &str) -> Result<Option<RateLimit>, BadValue> {
    rate_limit(text).map_err(|error| BadValue::expected(error.to_string()))
}

/// A network, or `None` for `unix`: whoever can connect to a unix socket of ours.
fn proxy(text: &str) -> Result<Option<Cidr>, BadValue> {
    if text == "unix" { Ok(None) } else { network(text).map(Some) }
}

fn network(text: &str) -> Result<Cidr, BadValue> {
    text.parse().map_err(|bad: CidrError| BadValue::expected(bad.to_string()))
}

fn ban_mode(text: &str) -> Result<BanMode, BadValue> {
    match text {
        "off" => Ok(BanMode::Off),
        "shadow" => Ok(BanMode::Shadow),
        "on" => Ok(BanMode::On),
        _ => Err(BadValue::expected("off, shadow or on")),
    }
}

fn access_format(text: &str) -> Result<AccessFormat, BadValue> {
    match text {
        "pretty" => Ok(AccessFormat::Pretty),
        "combined" => Ok(AccessFormat::Combined),
        "json" => Ok(AccessFormat::Json),
        "off" => Ok(AccessFormat::Off),
        _ => Err(BadValue::expected("pretty, combined, json or off")),
    }
}

fn level(text: &str) -> Result<LevelFilter, BadValue> {
    match text.to_ascii_uppercase().as_str() {
        "DEBUG" => Ok(LevelFilter::Debug),
        "INFO" => Ok(LevelFilter::Info),
        "WARNING" | "WARN" => Ok(LevelFilter::Warn),
        "ERROR" => Ok(LevelFilter::Error),
        _ => Err(BadValue::expected("DEBUG, INFO, WARNING or ERROR")),
    }
}

/// `0` is no limit (RUN-2).
fn unless_zero<N: Default + PartialEq>(number: N) -> Option<N> {
    (number != N::default()).then_some(number)
}

/// A size bounded by `HEADER_MAX`, as an index; the bound fits every pointer width Linux runs on.
fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
