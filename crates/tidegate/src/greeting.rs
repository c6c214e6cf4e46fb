//! What the server says of itself: the start-up block, the pool's state, the last words (SPEC RUN-1, OBS-5).

use std::fmt::Write;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::config::{AccessFormat, BanMode, ListenAddr, Settings, ThreadRange};
use crate::http::host::HTTPS_PORT;
use crate::net::Tls;
use crate::net::tls::Certificate;
use crate::pool::Status;
use crate::router::RESERVED;
use crate::sandbox::Confined;
use crate::site::lacks_a_name;
use crate::telemetry::{Totals, tally::Upload};

/// Says where the server listens, what it serves, and within which bounds.
pub fn greet(settings: &Settings, scene: &Scene<'_>) {
    log::info!("{}", block(settings, scene));
    remark(settings, scene.tls, &scene.at.public, scene.cap, scene.descriptors);
}

/// What a start came to.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// Where the server listens.
    pub at: &'a Addresses,
    /// What the server proves to be, where TCP listeners speak TLS.
    pub tls: Option<&'a Tls>,
    /// Whether uploads can be stored.
    pub uploads: bool,
    /// How the process is confined.
    pub confined: &'a Confined,
    /// Connections that there may be.
    pub cap: usize,
    /// The limit of open files, where it is known.
    pub descriptors: Option<u64>,
}

/// Where a server listens, with the real ports.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// For clients.
    pub public: Vec<ListenAddr>,
    /// For operators, if that is elsewhere.
    pub operators: Option<ListenAddr>,
    /// Where plain HTTP is sent on to HTTPS.
    pub redirect: Option<ListenAddr>,
}

impl Addresses {
    /// Where clients find the server over TLS, as far as it knows: the port of the first listener that can speak it.
    pub fn https_port(&self) -> u16 {
        let port = |at: &ListenAddr| match at {
            ListenAddr::Tcp(addr) => Some(addr.port()),
            ListenAddr::Unix(_) => None,
        };
        self.public.iter().find_map(port).unwrap_or(HTTPS_PORT)
    }
}

/// Says what the operator should know of these settings, at start and after a reload.
pub fn remark(
    settings: &Settings,
    tls: Option<&Tls>,
    at: &[ListenAddr],
    cap: usize,
    descriptors: Option<u64>,
) {
    for note in &settings.notes {
        log::warn!("{note}");
    }
    for exposed in tls.map_or_else(Vec::new, Tls::exposed_keys) {
        log::warn!("{exposed}");
    }
    tell_expiry(tls);
    let asked = settings.limits.max_connections;
    if asked.is_some_and(|asked| asked > cap) {
        let limit = descriptors.unwrap_or_default();
        log::warn!("max-connections is lowered to {cap}: the limit of open files is {limit}");
    }
    if lacks_a_name(at, &settings.hosts.allow) {
        log::warn!(
            "listening on every address, but clients that call this server by a name will get 403; \
             add --allow-host NAME"
        );
    }
    if let Some(address) = second_address(settings) {
        log::warn!(
            "the uploads folder lies inside the root: what is uploaded can be read at {address} as well"
        );
    }
    for name in RESERVED.iter().filter(|name| is_hidden(settings, name)) {
        log::warn!("{name} in the root is not served: /{name} is the server's own");
    }
}

/// Says which certificates end soon, or have ended.
pub fn tell_expiry(tls: Option<&Tls>) {
    for warning in tls.map_or_else(Vec::new, |tls| tls.warnings(SystemTime::now())) {
        log::warn!("{warning}");
    }
}

/// The address under which visitors find the uploads in the root too, where their folder lies there under another name.
fn second_address(settings: &Settings) -> Option<String> {
    let root = settings.files.root.canonicalize().ok()?;
    let folder = settings.uploads.dir.as_ref()?.canonicalize().ok()?;
    let below = folder.strip_prefix(&root).ok()?.to_str()?.to_owned();
    (below != "uploads").then(|| format!("/{below}/"))
}

/// Whether the root holds a reserved name that is not simply the default uploads folder.
fn is_hidden(settings: &Settings, name: &str) -> bool {
    let default_uploads = name == "uploads" && settings.uploads.dir.is_none();
    !default_uploads && settings.files.root.join(name).symlink_metadata().is_ok()
}

fn block(settings: &Settings, scene: &Scene<'_>) -> String {
    let (server, limits) = (&settings.server, &settings.limits);
    let mut text = format!("tidegate {} is running\n", env!("CARGO_PKG_VERSION"));
    let mut row = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<9} {value}");
    };
    for addr in &scene.at.public {
        row("url", url(addr, scene.tls));
    }
    for certificate in scene.tls.iter().flat_map(|tls| tls.certificates()) {
        row("tls", shown_certificate(certificate));
    }
    if let Some(redirect) = &scene.at.redirect {
        row("redirect", format!("{} to https", url(redirect, None)));
    }
    row("root", shown(&settings.files.root));
    row(
        "uploads",
        if scene.uploads { shown(&settings.uploads_folder()) } else { "refused (see the line above)".into() },
    );
    row("workers", format!("{} event loops", server.workers));
    row("pool", format!("{}, queue {}", threads(server.threads), server.queue));
    let requests = limits.max_requests.map_or("unlimited".into(), |max| max.to_string());
    row(
        "limits",
        format!("{} connections, {requests} requests each, idle {:?}", scene.cap, limits.keep_alive),
    );
    row(
        "",
        format!(
            "head {} in {:?}, {} fields, body {}, bodies in progress {}",
            size(limits.max_header as u64),
            limits.header_timeout,
            limits.max_fields,
            size(limits.max_body),
            size(limits.body_memory)
        ),
    );
    row("clients", clients(settings));
    row("operators", operators(scene));
    row("logs", logs(settings));
    if let Some(state) = &server.state {
        row("state", shown(state));
    }
    if let Some(control) = &server.control {
        row("control", control.display().to_string());
    }
    row("sandbox", scene.confined.to_string());
    if let Some(user) = &server.user {
        row("user", user.clone());
    }
    text.truncate(text.trim_end().len());
    text
}

fn threads(range: ThreadRange) -> String {
    let (least, most) = (range.least(), range.most());
    if range.is_fixed() { format!("{most} threads") } else { format!("{least} to {most} threads") }
}

/// What one client may do.
fn clients(settings: &Settings) -> String {
    let clients = &settings.clients;
    let rate = clients.rate.map_or("no rate limit".to_owned(), |rate| rate.described());
    let connections = clients
        .max_connections
        .map_or("unlimited connections".to_owned(), |most| format!("{most} connections"));
    let bans = match settings.bans.mode {
        BanMode::Off => "no bans",
        BanMode::Shadow => "bans in shadow",
        BanMode::On => "bans on",
    };
    let local = if clients.limit_loopback { "" } else { "; local operators are exempt" };
    format!("{rate}, {connections}, {bans}{local}")
}

/// Where operators look.
fn operators(scene: &Scene<'_>) -> String {
    let at =
        scene.at.operators.as_ref().or(scene.at.public.iter().find(|at| matches!(at, ListenAddr::Tcp(_))));
    format!("{}security-dashboard, /metrics, /status", at.map_or("/".to_owned(), |at| url(at, scene.tls)))
}

/// The address as a client types it.
fn url(addr: &ListenAddr, tls: Option<&Tls>) -> String {
    match addr {
        ListenAddr::Tcp(addr) if tls.is_some() => format!("https://{addr}/"),
        ListenAddr::Tcp(addr) => format!("http://{addr}/"),
        ListenAddr::Unix(path) => format!("unix:{}", path.display()),
    }
}

/// For which names it stands and until when; of one that nobody signed also how to know it again.
fn shown_certificate(certificate: &Certificate) -> String {
    let names = certificate.shown_names();
    if certificate.file.is_some() {
        return format!("{names}; until {}", httpdate::fmt_http_date(certificate.not_after));
    }
    format!("{names}; self-signed, for development\n            SHA-256 {}", certificate.fingerprint)
}

fn shown(path: &Path) -> String {
    path.canonicalize().unwrap_or_else(|_| path.to_owned()).display().to_string()
}

fn logs(settings: &Settings) -> String {
    let log = &settings.log;
    let format = match log.access {
        AccessFormat::Pretty => "pretty",
        AccessFormat::Combined => "combined",
        AccessFormat::Json => "json",
        AccessFormat::Off => "no access lines",
    };
    let place = log.file.as_ref().map_or("standard output".into(), |file| file.display().to_string());
    let also =
        log.json_file.as_ref().map_or(String::new(), |file| format!(", JSON lines to {}", file.display()));
    let audit =
        log.audit_file.as_ref().map_or(String::new(), |file| format!(", audit log {}", file.display()));
    format!("{place} ({format}), level {}{also}{audit}", log.level.to_string().replace("WARN", "WARNING"))
}

fn size(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let unit = UNITS.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes} B"), |(name, unit)| format!("{} {name}", bytes / unit))
}

/// One line on the pool.
pub fn pool_status(status: &Status) -> String {
    format!(
        "thread pool status: busy {}/{}, queue {}/{}",
        status.busy(),
        status.size(),
        status.queued,
        status.queue_limit
    )
}

/// The last words.
pub fn summary(totals: &Totals, peak: usize, ran: Duration, dropped: u64) -> String {
    let refused: u64 = totals.refusals.iter().sum();
    let kinds: Vec<_> = totals.refused().map(|(name, count)| format!("{name} {count}")).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
    let dropped = if dropped > 0 { format!(", {dropped} log lines dropped") } else { String::new() };
    format!(
        "stopped after {:.1} s: {} requests served, {refused} refused{kinds}, {} uploads, peak {peak} connections{dropped}",
        ran.as_secs_f64(),
        totals.requests.saturating_sub(refused),
        totals.uploads(Upload::Stored)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Code;

    #[test]
    fn obs_5_the_summary_names_each_kind_of_refusal() {
        let mut totals = Totals { requests: 10, uploads: [2, 5, 5], ..Totals::default() };
        totals.refusals[Code::NotFound as usize] = 3;
        totals.refusals[Code::SlowHead as usize] = 1;
        let text = summary(&totals, 7, Duration::from_millis(1500), 0);
        assert_eq!(
            text,
            "stopped after 1.5 s: 6 requests served, 4 refused (not_found 3, slow_head 1), 2 uploads, peak 7 connections"
        );
    }

    #[test]
    fn run_1_sizes_read_as_they_are_written() {
        assert_eq!(
            [size(8192), size(1 << 20), size(8000), size(1 << 30)],
            ["8 KiB", "1 MiB", "8000 B", "1 GiB"]
        );
    }
}
