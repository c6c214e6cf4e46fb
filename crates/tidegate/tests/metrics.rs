//! `/metrics` (SPEC OBS-2): the families that are promised, as Prometheus text and as JSON, that they count what
//! happens, and that no client can put a word into them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod process;
mod strace;
mod support;
mod visitors;

use std::collections::{BTreeMap, BTreeSet};

use process::lines_with;
use strace::{Strace, is_root};
use support::{Server, Setup, eventually};
use visitors::{BEHIND_PROXY, Proxy, ask, from, metric, operator_get};

/// Family, type.
const FAMILIES: &[(&str, &str)] = &[
    ("http_server_request_duration_seconds", "histogram"),
    ("http_server_active_requests", "gauge"),
    ("tidegate_pool_threads", "gauge"),
    ("tidegate_pool_busy", "gauge"),
    ("tidegate_pool_queue_depth", "gauge"),
    ("tidegate_pool_queue_wait_seconds", "histogram"),
    ("tidegate_pool_saturations_total", "counter"),
    ("tidegate_connections", "gauge"),
    ("tidegate_refusals_total", "counter"),
    ("tidegate_events_total", "counter"),
    ("tidegate_cache_hits_total", "counter"),
    ("tidegate_cache_misses_total", "counter"),
    ("tidegate_uploads_total", "counter"),
    ("tidegate_log_dropped_total", "counter"),
    ("tidegate_panics_total", "counter"),
    ("tidegate_config_reload_success", "gauge"),
    ("tidegate_build_info", "gauge"),
    ("process_cpu_seconds_total", "counter"),
    ("process_open_fds", "gauge"),
    ("process_max_fds", "gauge"),
    ("process_resident_memory_bytes", "gauge"),
    ("process_start_time_seconds", "gauge"),
];

/// The text, once all that was asked before is counted.
fn text(server: &Server) -> String {
    server.rests();
    let response = operator_get(server, "/metrics");
    assert_eq!(response.status, 200, "{}", response.text());
    response.text()
}

/// The samples of a text by `name{labels}`; each may stand once.
fn samples(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
        let value = value.parse().unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(samples.insert(name.to_owned(), value).is_none(), "twice: {line}");
    }
    samples
}

#[test]
fn obs_2_every_family_is_there_with_its_help_and_type() {
    let server = Setup::new().file("index.html", "home").start();
    assert_eq!(server.get("/").status, 200);
    let text = text(&server);
    for (family, kind) in FAMILIES {
        assert!(text.contains(&format!("# TYPE {family} {kind}\n")), "{family} {kind}: {text}");
        assert!(text.contains(&format!("# HELP {family} ")), "{family}");
        let samples = samples(&text);
        let begins = |name: &String| name.strip_prefix(family).is_some_and(|rest| !rest.starts_with('x'));
        assert!(samples.keys().any(begins), "{family} has no sample");
    }
    let build = format!("tidegate_build_info{{version=\"{}\"}} 1\n", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&build), "{text}");
    assert!(text.ends_with('\n'));
}

#[test]
fn obs_2_the_form_follows_accept_and_format() {
    let server = Server::start(&[]);
    let kind = |target: &str, fields: &str| {
        let response = server.request(&format!("GET {target} HTTP/1.1\r\n{fields}"), b"");
        assert_eq!(response.status, 200, "{target} {fields}");
        assert_eq!(response.field("cache-control"), Some("no-store"), "{target} {fields}");
        let json = serde_json::from_slice::<serde_json::Value>(&response.body).is_ok();
        let kind = response.field("content-type").unwrap().to_owned();
        assert_eq!(json, kind.starts_with("application/json"), "{target} {fields}: {kind}");
        json
    };
    let prometheus = server.get("/metrics");
    assert!(prometheus.field("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    for (target, fields, json) in [
        ("/metrics", "", false),
        ("/metrics", "Accept: */*\r\n", false),
        ("/metrics", "Accept: text/plain\r\n", false),
        (
            "/metrics",
            "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1\r\n",
            false,
        ),
        ("/metrics", "Accept: application/json\r\n", true),
        ("/metrics?format=json", "", true),
        ("/metrics?x=y&format=json", "Accept: text/plain\r\n", true),
        ("/metrics?format=text", "", false),
        ("/metrics", "Accept: application/json;q=0, */*\r\n", false),
    ] {
        assert_eq!(kind(target, fields), json, "{target} {fields}");
    }
}

#[test]
fn obs_2_json_and_text_tell_the_same_series() {
    let server = Setup::new().file("index.html", "home").start();
    for _ in 0..3 {
        assert_eq!(server.get("/").status, 200);
        assert_eq!(server.get("/metrics").status, 200);
        assert_eq!(server.get("/missing").status, 404);
    }
    let text = samples(&text(&server));
    server.rests();
    let json = server.get("/metrics?format=json").json();
    let json: BTreeMap<String, f64> = json
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), value.as_f64().unwrap_or_else(|| panic!("{name}: {value}"))))
        .collect();
    let names = |of: &BTreeMap<String, f64>| of.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&text), names(&json));
    let refusals = "tidegate_refusals_total{code=\"not_found\"}";
    assert_eq!((text[refusals], json[refusals]), (3.0, 3.0));
}

/// Three requests of a kind make three in the histogram, in `+Inf`, and in no other pair of labels.
#[test]
fn obs_2_the_histogram_counts_every_request_by_method_and_status() {
    let server = Setup::new().file("index.html", "home").start();
    for line in ["GET /", "GET /", "GET /", "HEAD /", "GET /missing", "PUT /", "OPTIONS /"] {
        server.request(&format!("{line} HTTP/1.1\r\n"), b"");
    }
    assert_eq!(server.upload(b"[1]").status, 201);
    let samples = samples(&text(&server));
    let count = |method: &str, status: u16| {
        let labels = format!("http_request_method=\"{method}\",http_response_status_code=\"{status}\"");
        let name = format!("http_server_request_duration_seconds_count{{{labels}}}");
        let buckets = |le: &str| {
            let name = format!("http_server_request_duration_seconds_bucket{{{labels},le=\"{le}\"}}");
            samples.get(&name).copied()
        };
        let count = samples.get(&name).copied().unwrap_or_default();
        assert_eq!(buckets("+Inf").unwrap_or_default(), count, "{name}");
        count
    };
    assert_eq!(
        [count("GET", 200), count("HEAD", 200), count("GET", 404), count("_OTHER", 405), count("POST", 201)],
        [3.0, 1.0, 1.0, 1.0, 1.0]
    );
    assert_eq!(count("OPTIONS", 204), 1.0);
    assert!(
        samples.keys().any(|name| name.contains("le=\"0.00005\"") || name.contains("le=\"5e-05\"")),
        "from 50 µs"
    );
}

/// Buckets are cumulative, the sum is a plausible time, and nothing goes backwards from one look to the next.
#[test]
fn obs_2_histograms_are_sound_and_counters_never_go_back() {
    let server = Setup::new().file("index.html", "home").start();
    let mut before: BTreeMap<String, f64> = BTreeMap::new();
    for _ in 0..5 {
        for target in ["/", "/missing", "/../x"] {
            server.get(target);
        }
        let text = text(&server);
        let now = samples(&text);
        for (name, value) in now.iter().filter(|(name, _)| is_counter(name)) {
            assert!(*value >= before.get(name).copied().unwrap_or_default(), "{name} went back");
        }
        let mut last: (String, f64) = (String::new(), 0.0);
        for line in text.lines().filter(|line| line.contains("_bucket{")) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            let family = name.split("le=").next().unwrap().to_owned();
            let value: f64 = value.parse().unwrap();
            assert!(family != last.0 || value >= last.1, "not cumulative: {line}");
            last = (family, value);
        }
        before = now;
    }
    let sum: f64 = before.iter().filter(|(name, _)| name.contains("seconds_sum{")).map(|(_, sum)| sum).sum();
    assert!(sum > 0.0 && sum < 60.0, "{sum} s");
}

fn is_counter(name: &str) -> bool {
    let plain = name.split('{').next().unwrap();
    ["_total", "_count", "_bucket", "_sum"].iter().any(|end| plain.ends_with(end))
}

#[test]
fn obs_2_gauges_and_counters_follow_what_happens() {
    let server = Setup::new().file("index.html", "home").args(&["--threads", "3"]).start();
    let of = |name: &str| {
        server.rests();
        metric(&server, name)
    };
    assert_eq!(of("tidegate_pool_threads"), 3.0);
    let held: Vec<_> = (0..5)
        .map(|_| {
            let mut client = server.connect();
            for _ in 0..5 {
                assert_eq!(client.get("/").status, 200);
            }
            client
        })
        .collect();
    eventually("five and the one that asks", || of("tidegate_connections") >= 5.0);
    drop(held);
    eventually("they are gone", || of("tidegate_connections") <= 2.0);
    assert!(of("tidegate_cache_hits_total") >= 3.0);
    assert!(of("tidegate_cache_misses_total") >= 1.0);
    assert_eq!(server.upload(b"[1]").status, 201);
    assert_eq!(server.upload(b"[1").status, 400);
    assert_eq!(of("tidegate_uploads_total{outcome=\"stored\"}"), 1.0);
    assert_eq!(of("tidegate_uploads_total{outcome=\"refused\"}"), 1.0);
    assert_eq!(of("tidegate_uploads_total{outcome=\"failed\"}"), 0.0);
    assert_eq!(server.get("/../x").status, 403);
    assert_eq!(of("tidegate_events_total{kind=\"traversal\"}"), 1.0);
    assert_eq!(of("tidegate_refusals_total{code=\"traversal\"}"), 1.0);
    assert!(of("process_resident_memory_bytes") > 1e6 && of("process_open_fds") > 5.0);
    let descriptors = server.descriptors();
    let counted = of("process_open_fds");
    assert!(
        (counted - f64::from(u32::try_from(descriptors).unwrap())).abs() <= 4.0,
        "{counted}, {descriptors}"
    );
}

/// A request that waits for its body is under way; the one that asks is as well.
#[test]
fn obs_2_active_requests_are_those_under_way() {
    let server = Server::start(&[]);
    let active = || metric(&server, "http_server_active_requests");
    let mut waiting: Vec<_> = (0..3)
        .map(|_| {
            let mut client = server.connect();
            client.send_request(
                "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n\
                 Content-Length: 2\r\n",
                b"",
            );
            assert_eq!(client.read_response(false).unwrap().status, 100);
            client
        })
        .collect();
    assert!((3.0..=4.0).contains(&active()), "{}", active());
    waiting[0].send("{}");
    assert_eq!(waiting[0].response().status, 201);
    drop(waiting);
    eventually("none is left, however it ended", || active() <= 1.0);
}

#[test]
fn obs_2_run_5_a_reload_that_failed_shows() {
    let setup = Setup::new().args(&["-c", "t.toml"]);
    setup.folder.write("t.toml", "");
    let server = setup.start();
    let success = || metric(&server, "tidegate_config_reload_success");
    assert_eq!(success(), 1.0, "the start was one");
    server.folder.write("t.toml", "[nonsense]\n");
    server.signal("HUP");
    eventually("it failed", || success() == 0.0);
    server.folder.write("t.toml", "");
    server.signal("HUP");
    eventually("and is well again", || success() == 1.0);
    eventually("it is said once", || lines_with(&server, "not reloaded").len() == 1);
}

/// The words that clients choose: none of them becomes a label, and no series is born of them.
#[test]
fn row_h5_obs_2_labels_are_closed_sets_whatever_clients_send() {
    let args = ["--rate-limit", "off", "--bans", "off", "--access-log", "off", "--allow-host", "*"];
    let server = Setup::new().args(&BEHIND_PROXY).args(&args).start();
    let mut proxy = Proxy::of(&server);
    let hostile = |proxy: &mut Proxy, number: usize| {
        let mut client = server.connect();
        client.send(format!(
            "XYZZY{number} /XYZZY{number}?XYZZY HTTP/1.1\r\nHost: xyzzy{number}.example\r\n\
             User-Agent: XYZZY{number}\r\nX-XYZZY{number}: x\r\n\r\n"
        ));
        assert_eq!(client.response().status, 405);
        proxy.get(&format!("198.51.{}.{}", number / 250, number % 250), &format!("/xyzzy{number}"));
    };
    hostile(&mut proxy, 0);
    // A look is a request like any other, and counted once it is over.
    text(&server);
    let before = samples(&text(&server)).len();
    for number in 1..300 {
        hostile(&mut proxy, number);
    }
    let text = text(&server);
    assert_eq!(samples(&text).len(), before, "series were born");
    assert!(before <= 2_000, "{before} series");
    for word in ["xyzzy", "198.51"] {
        assert!(!text.to_lowercase().contains(word), "{word} in {text}");
    }
}

#[test]
fn load_2_load_3_obs_2_saturation_shows_in_the_metrics() {
    if !is_root("load_2_load_3_obs_2_saturation_shows_in_the_metrics") {
        return;
    }
    let server = Server::start(&["--threads", "1", "--queue", "1"]);
    let slow = ["-e", "trace=fsync", "-e", "inject=fsync:delay_enter=15s"];
    let pool = Strace::attach(&server, "pool-", &slow);
    let upload = || {
        let mut client = server.connect();
        let head = "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 1\r\n";
        client.send_request(head, b"1");
        client
    };
    let mut first = upload();
    eventually("the thread is busy", || metric(&server, "tidegate_pool_busy") == 1.0);
    let mut second = upload();
    eventually("the queue is full", || metric(&server, "tidegate_pool_queue_depth") == 1.0);
    let mut third = upload();
    assert_eq!(third.response().code(), "pool_saturated");
    assert_eq!(upload().response().code(), "pool_saturated", "the same episode");
    assert_eq!(metric(&server, "tidegate_pool_saturations_total"), 1.0, "once an episode (LOAD-3)");
    eventually("each is counted", || {
        metric(&server, "tidegate_refusals_total{code=\"pool_saturated\"}") == 2.0
    });
    drop(pool);
    for client in [&mut first, &mut second] {
        assert_eq!(client.response().status, 201);
    }
    eventually("all is quiet", || metric(&server, "tidegate_pool_busy") == 0.0);
    assert!(metric(&server, "tidegate_pool_queue_wait_seconds_count") >= 2.0);
}

/// The scrape of a server in trouble: it needs no pool thread, no place in the queue and no seat but its own.
#[test]
fn obs_2_metrics_are_cheap_and_not_stored() {
    let server = Server::start(&[]);
    let mut client = from(&server, "127.0.0.9");
    for _ in 0..50 {
        assert_eq!(ask(&mut client, "GET /metrics HTTP/1.1\r\n").status, 200);
    }
    let head = ask(&mut client, "HEAD /metrics HTTP/1.1\r\n");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert!(head.field("content-length").unwrap().parse::<usize>().unwrap() > 1_000);
    assert_eq!(ask(&mut client, "POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n").status, 405);
}
