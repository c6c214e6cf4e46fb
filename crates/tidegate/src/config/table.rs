//! The one table of settings: what a row is, and every row.
//!
//! A row holds all names of a setting together: its flag, its TOML key, its environment variable (made from
//! the flag), its default and its help. The command line (`cli`), the environment (`env`), the file (`file`),
//! the man page and the completions all read this table; `resolve` gives each row its type and its bounds.

/// One setting, under all of its names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flag {
    /// The long flag without its dashes, as in `max-body`.
    pub(super) name: &'static str,
    /// The short flag, where there is one.
    pub(super) short: Option<char>,
    /// What help calls the value; empty for a switch.
    pub(super) value: &'static str,
    /// How the value is written.
    pub(super) shape: Shape,
    /// The default as the user would write it (lists by comma); `None` where nothing is set.
    pub(super) default: Option<&'static str>,
    /// The TOML key with its group, as in `limits.max_body`; empty where a file may not hold it.
    pub(super) key: &'static str,
    /// A variable without our prefix that sets this too, and yields to the prefixed one.
    pub(super) plain_variable: Option<&'static str>,
    /// What a reload may do with it.
    pub(super) reload: Reload,
    /// False for a setting that only the file has: no flag and no variable.
    pub(super) flag: bool,
    /// One line for `-h`, with units and bounds, without the default.
    pub(super) help: &'static str,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A whole number everywhere.
    Number,
    /// Text everywhere; a TOML integer is refused.
    Text,
    /// Text or a number in TOML: `auto` or `4`. Durations and sizes too, so that a bare number is told its
    /// unit.
    Word,
    /// A TOML array of texts; a repeated flag; a variable with commas.
    List,
    /// A flag without a value; `true` or `false` elsewhere.
    Switch,
    /// A switch that is on by default: flag and variable are called `no-…` and turn it off, the key says it plainly.
    OffSwitch,
}

/// What a reload may do with a setting (RUN-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reload {
    /// Takes effect at once.
    AtOnce,
    /// A change refuses the whole reload.
    Fixed,
    /// A path that may change within its present folder only.
    SameFolder,
}

impl Flag {
    /// The environment variable: `TIDEGATE_` and the flag in capitals.
    pub(super) fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name.to_uppercase().replace('-', "_"))
    }

    /// The TOML group and the key within it; `None` where a file may not hold this setting.
    pub(super) fn group_and_key(&self) -> Option<(&'static str, &'static str)> {
        self.key.split_once('.')
    }
}

/// What every variable of ours begins with.
pub(super) const VARIABLE_PREFIX: &str = "TIDEGATE_";

/// The TOML groups in the order of help and of `check`, each with its heading in help.
pub(super) const GROUPS: &[(&str, &str)] = &[
    ("server", "Listening and threads"),
    ("limits", "Limits"),
    ("files", "Files"),
    ("uploads", "Uploads"),
    ("security", "Security"),
    ("cors", "Scripts of other origins"),
    ("admin", "Metrics, status and dashboard"),
    ("log", "Logs"),
    ("tls", "TLS"),
];

/// The most common answers, so that a row says only what is particular to it.
const PLAIN: Flag = Flag {
    name: "",
    short: None,
    value: "",
    shape: Shape::Word,
    default: None,
    key: "",
    plain_variable: None,
    reload: Reload::AtOnce,
    flag: true,
    help: "",
};

/// Declares each row as a static and lists it in `TABLE`, so that no row can be forgotten there.
macro_rules! table {
    ($($row:ident { $($field:ident: $value:expr),+ $(,)? })+) => {
        $(pub(super) static $row: Flag = Flag { $($field: $value,)+ ..PLAIN };)+
        /// Every setting, in the order of help.
        pub(super) static TABLE: &[&Flag] = &[$(&$row),+];
    };
}

table! {
    CONFIG { name: "config", short: Some('c'), value: "FILE", shape: Shape::Text, reload: Reload::Fixed,
        help: "TOML file to read; flags and environment override it" }

    PORT { name: "port", short: Some('p'), value: "PORT", shape: Shape::Number, default: Some("8080"),
        key: "server.port", plain_variable: Some("PORT"), reload: Reload::Fixed,
        help: "TCP port to listen on; 0 takes a free one and says which" }
    HOST { name: "host", short: Some('H'), value: "HOST", shape: Shape::Text, default: Some("127.0.0.1"),
        key: "server.host", reload: Reload::Fixed,
        help: "Address or name to listen on; 0.0.0.0 or [::] for all" }
    LISTEN { name: "listen", value: "ADDR", shape: Shape::List, key: "server.listen", reload: Reload::Fixed,
        help: "Listen here instead: 127.0.0.1:8080, [::1]:8080 or unix:/path (repeatable)" }
    WORKERS { name: "workers", value: "auto|N",
        default: Some("auto"), key: "server.workers", reload: Reload::Fixed,
        help: "Event-loop threads, 1 to 1024; auto is one for each core" }
    THREADS { name: "threads", short: Some('t'), value: "N|A..B", default: Some("10"), key: "server.threads",
        help: "Pool threads for work that blocks, 1 to 1024; 4..32 grows under load" }
    QUEUE { name: "queue", value: "N", shape: Shape::Number, default: Some("100"), key: "server.queue",
        help: "Jobs that may wait for the pool, 1 to 1000000; beyond it 503" }
    BACKLOG { name: "backlog", value: "N", shape: Shape::Number, default: Some("1024"), key: "server.backlog",
        help: "Connections waiting in the kernel to be accepted, 1 to 65535" }
    DRAIN { name: "drain", value: "DURATION", default: Some("30s"), key: "server.drain",
        help: "Time to finish running requests on shutdown, 0s to 24h" }
    DRAIN_DELAY { name: "drain-delay", value: "DURATION", default: Some("0s"), key: "server.drain_delay",
        help: "Time to accept on, with /readyz at 503, before a drain, 0s to 24h" }
    USER { name: "user", value: "NAME", shape: Shape::Word, key: "server.user", reload: Reload::Fixed,
        help: "User to become once the addresses are bound; needs root [default: stay who started it]" }
    SANDBOX { name: "no-sandbox", shape: Shape::OffSwitch, key: "server.sandbox", reload: Reload::Fixed,
        help: "Do not have the kernel refuse what a running server never does (Landlock)" }

    STATE { name: "state", value: "DIR", shape: Shape::Text, key: "server.state", reload: Reload::Fixed,
        help: "Folder for what survives a restart: bans [default: nothing does]" }
    CONTROL { name: "control", value: "PATH", shape: Shape::Text, key: "server.control", reload: Reload::Fixed,
        help: "Unix socket, mode 0600, for `tidegate reload`, `bans` and --takeover [default: none]" }

    MAX_CONNECTIONS { name: "max-connections", value: "N", shape: Shape::Number, default: Some("10000"),
        key: "limits.max_connections", help: "Open connections in all, 0 to 1000000; 0 for no limit" }
    MAX_CONNECTIONS_PER_IP { name: "max-connections-per-ip", value: "N", shape: Shape::Number, default: Some("256"),
        key: "limits.max_connections_per_ip",
        help: "Open connections of one client (IPv6: /64), 0 for no limit; beyond it 429" }
    RATE_LIMIT { name: "rate-limit", value: "RATE[:BURST]|off", shape: Shape::Text, default: Some("100/s:200"),
        key: "limits.rate_limit",
        help: "Requests of one client (IPv6: /64) per s, m or h; beyond it 429" }
    LIMIT_LOOPBACK { name: "limit-loopback", shape: Shape::Switch, key: "limits.limit_loopback",
        help: "Limit clients on this machine like any other; by default local operators are exempt" }
    BANS { name: "bans", value: "MODE", shape: Shape::Text, default: Some("shadow"), key: "limits.bans",
        help: "Ban clients that attack: off, shadow (only say so) or on (403)" }
    BAN_TIME { name: "ban-time", value: "DURATION", default: Some("10m"), key: "limits.ban_time",
        help: "How long a first ban lasts, 1s to 24h; each further one twice as long" }
    MAX_REQUESTS { name: "max-requests", value: "N", shape: Shape::Number, default: Some("100"),
        key: "limits.max_requests", help: "Requests on one connection; 0 for no limit" }
    KEEP_ALIVE { name: "keep-alive", value: "DURATION", default: Some("30s"), key: "limits.keep_alive",
        help: "Idle time of a connection between requests, 1ms to 24h" }
    HEADER_TIMEOUT { name: "header-timeout", value: "DURATION",
        default: Some("10s"), key: "limits.header_timeout",
        help: "Time for a whole request head to arrive, 1ms to 24h" }
    MAX_HEADER { name: "max-header", value: "SIZE", default: Some("8KiB"), key: "limits.max_header",
        help: "Largest request head, 512B to 1MiB; beyond it 431 (HTTP/2: 128KiB at most)" }
    MAX_FIELDS { name: "max-fields", value: "N", shape: Shape::Number,
        default: Some("100"), key: "limits.max_fields",
        help: "Most fields in a request head, 1 to 256; beyond it 431" }
    MAX_REQUEST_LINE { name: "max-request-line", value: "SIZE", default: Some("8000B"),
        key: "limits.max_request_line",
        help: "Longest request line, 64B to 1MiB, within --max-header; beyond it 414" }
    MAX_BODY { name: "max-body", value: "SIZE", default: Some("1MiB"), key: "limits.max_body",
        help: "Largest request body, 1B to 1024GiB; beyond it 413" }
    BODY_MEMORY { name: "body-memory", value: "SIZE", default: Some("256MiB"), key: "limits.body_memory",
        help: "Memory for all bodies in progress, 1B to 1024GiB, a quarter for one client; beyond it 503" }

    ROOT { name: "root", short: Some('r'), value: "DIR", shape: Shape::Text, default: Some("resources"),
        key: "files.root", reload: Reload::Fixed, help: "Folder to serve" }
    DOWNLOAD { name: "download", shape: Shape::List, default: Some("txt,png,jpg,jpeg"), key: "files.download",
        flag: false, help: "Extensions sent as attachments" }
    INLINE { name: "inline", shape: Shape::Switch, key: "files.inline",
        help: "Show every file; by default txt, png, jpg and jpeg are downloads" }
    LISTING { name: "listing", shape: Shape::Switch, key: "files.listing",
        help: "List folders that have no index.html; by default they are 404" }
    SPA { name: "spa", shape: Shape::Switch, key: "files.spa",
        help: "Give browsers index.html for paths that are not there (single-page applications)" }

    UPLOADS { name: "uploads", value: "DIR", shape: Shape::Text, key: "uploads.dir", reload: Reload::Fixed,
        help: "Folder for uploads [default: uploads inside the root]" }
    UPLOAD_QUOTA { name: "upload-quota", value: "SIZE", key: "uploads.quota",
        help: "Space for all uploads, 1B to 1024GiB; beyond it 507 [default: none]" }

    ALLOW_HOST { name: "allow-host", value: "NAME", shape: Shape::List, key: "security.allow_host",
        help: "Another host to answer; without a port on any port, * is any host (repeatable)" }

    TRUSTED_PROXY { name: "trusted-proxy", value: "CIDR", shape: Shape::List, key: "security.trusted_proxy",
        help: "Proxy whose Forwarded or X-Forwarded-For counts: 10.0.0.0/8, ::1 or unix (repeatable)" }
    BAN_ALLOW { name: "ban-allow", value: "CIDR", shape: Shape::List, key: "security.ban_allow",
        help: "Clients that are never banned (repeatable)" }

    CORS_ORIGIN { name: "cors-origin", value: "ORIGIN", shape: Shape::List, key: "cors.origin",
        help: "Origin whose scripts may read answers and upload, as https://app.example; * is any (repeatable)" }

    ADMIN_ALLOW { name: "admin-allow", value: "CIDR", shape: Shape::List, key: "admin.allow",
        help: "Peers, no proxies among them, that may see metrics, status and dashboard (repeatable)" }
    ADMIN_TOKEN_FILE { name: "admin-token-file", value: "FILE", shape: Shape::Text, key: "admin.token_file",
        reload: Reload::SameFolder,
        help: "File whose one line is the bearer token for them, 16 to 512 letters" }
    ADMIN_LISTEN { name: "admin-listen", shape: Shape::Text, key: "admin.listen", flag: false, reload: Reload::Fixed,
        help: "Address of a listener for them alone; elsewhere they are then 404" }

    ACCESS_LOG { name: "access-log", value: "FORMAT", shape: Shape::Text,
        default: Some("pretty"), key: "log.access",
        help: "Access log: pretty, combined (as nginx), json or off" }
    LOG_LEVEL { name: "log-level", value: "LEVEL", shape: Shape::Text,
        default: Some("INFO"), key: "log.level",
        plain_variable: Some("LOG_LEVEL"),
        help: "Least level logged: DEBUG, INFO, WARNING or ERROR, in any case" }
    LOG_FILE { name: "log-file", value: "FILE", shape: Shape::Text, key: "log.file",
        plain_variable: Some("LOG_FILE"), reload: Reload::SameFolder,
        help: "File to log to instead of the terminal" }
    JSON_LOG_FILE { name: "json-log-file", value: "FILE", shape: Shape::Text, key: "log.json_file",
        plain_variable: Some("JSON_LOG_FILE"), reload: Reload::SameFolder,
        help: "File to log to as JSON lines, besides the log itself" }
    AUDIT_LOG { name: "audit-log", value: "FILE", shape: Shape::Text, key: "log.audit_file",
        reload: Reload::SameFolder,
        help: "File for security events as JSON lines" }

    TLS_CERT { name: "tls-cert", value: "FILE", shape: Shape::List, key: "tls.cert", reload: Reload::SameFolder,
        help: "Certificate to serve over TLS, PEM, with those that sign it behind it (repeatable)" }
    TLS_KEY { name: "tls-key", value: "FILE", shape: Shape::List, key: "tls.key", reload: Reload::SameFolder,
        help: "Its private key, PEM, not encrypted; one for each --tls-cert, in the same order" }
    TLS_SELF_SIGNED { name: "tls-self-signed", shape: Shape::Switch, key: "tls.self_signed", reload: Reload::Fixed,
        help: "Serve over TLS with a certificate that is made at start, for development" }
    TLS_REDIRECT { name: "tls-redirect", value: "ADDR", shape: Shape::Text, key: "tls.redirect",
        reload: Reload::Fixed, help: "Listen here for plain HTTP too, and answer with the way to HTTPS: 0.0.0.0:80" }
    HSTS { name: "hsts", value: "DURATION", key: "tls.hsts",
        help: "Have browsers come over TLS only for so long, 0s to 17520h [default: do not say]" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_3_every_flag_has_a_variable_and_a_key_of_its_own() {
        for flag in TABLE {
            assert_eq!(TABLE.iter().filter(|other| other.name == flag.name).count(), 1, "{}", flag.name);
            assert_eq!(TABLE.iter().filter(|other| other.key == flag.key).count(), 1, "{}", flag.key);
            assert!(!flag.help.is_empty(), "{}", flag.name);
            match flag.group_and_key() {
                Some((group, key)) => {
                    assert!(GROUPS.iter().any(|(known, _)| *known == group), "{group}");
                    assert!(!key.is_empty());
                }
                None => assert_eq!(flag.name, "config", "only the path of the file cannot stand in the file"),
            }
        }
        assert_eq!(MAX_BODY.variable(), "TIDEGATE_MAX_BODY");
    }
}
