//! OBS-2 as Prometheus sees it: its own tools judge the text of `/metrics`, a real Prometheus scrapes it, and what lies
//! in `packaging/` for Prometheus and Grafana is sound and asks only for what is told.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

mod process;
mod support;
mod tls;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use process::free_port;
use serde_json::Value;
use support::{Client, Folder, SOON, Server, Setup};
use tls::Trust;

/// Whether Debian's `prometheus` is there, which brings `promtool`; says which test is skipped where not, and fails in
/// CI.
fn has_prometheus(test: &str) -> bool {
    let present = ["promtool", "prometheus"].iter().all(|program| {
        Command::new(program).arg("--version").output().is_ok_and(|said| said.status.success())
    });
    assert!(present || std::env::var("CI").as_deref() != Ok("true"), "{test} needs prometheus");
    if !present {
        println!("skipped: {test} needs prometheus");
    }
    present
}

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging")
}

/// What `promtool` says of `input`, in `folder`.
fn promtool(folder: &Path, args: &[&str], input: &str) -> Output {
    let mut command = Command::new("promtool");
    command
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A server that has answered and refused something.
fn busy_server() -> Server {
    let server = Setup::new().file("index.html", "home").start();
    for target in ["/", "/", "/missing", "/../x"] {
        server.get(target);
    }
    server.upload(b"{}");
    server
}

/// What a server tells that speaks TLS, and so has certificates.
fn metrics_over_tls() -> String {
    let server = Server::start(&["--tls-self-signed"]);
    tls::get(&server, &Trust::blind().config(), "127.0.0.1", "/metrics").text()
}

/// The families that `/metrics` tells, by their `# TYPE` lines.
fn told(text: &str) -> BTreeSet<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    lines.map(|line| line.split_once(' ').unwrap().0.to_owned()).collect()
}

/// The metrics that a query names; a histogram by its family.
fn asked(query: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let ours = ["tidegate_", "http_server_", "process_"];
    let names = query.split(|c| !is_name(c)).filter(|word| ours.iter().any(|start| word.starts_with(start)));
    names
        .map(|name| {
            ["_bucket", "_count", "_sum"]
                .iter()
                .find_map(|end| name.strip_suffix(end))
                .unwrap_or(name)
                .to_owned()
        })
        .collect()
}

/// The queries of the alert rules: what stands behind `expr:`, and on the deeper lines below it.
fn alert_queries() -> Vec<String> {
    let text = std::fs::read_to_string(packaging().join("prometheus/alerts.yml")).unwrap();
    let rules = text.split("- alert: ").skip(1);
    rules
        .map(|rule| rule.split_once("expr:").unwrap().1.split("labels:").next().unwrap().to_owned())
        .collect()
}

fn dashboard() -> Value {
    serde_json::from_slice(&std::fs::read(packaging().join("grafana/tidegate.json")).unwrap()).unwrap()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Every query of the dashboard, with the variables that Grafana fills in filled in.
fn panel_queries() -> Vec<String> {
    let dashboard = dashboard();
    let targets = array(&dashboard["panels"]).iter().flat_map(|panel| array(&panel["targets"]));
    let queries = targets.map(|target| target["expr"].as_str().unwrap().replace("$__rate_interval", "1m"));
    queries.map(|query| query.replace("$instance", ".+")).collect()
}

#[test]
fn obs_2_promtool_has_nothing_to_say_about_the_metrics() {
    if !has_prometheus("obs_2_promtool_has_nothing_to_say_about_the_metrics") {
        return;
    }
    for metrics in [busy_server().get("/metrics").text(), metrics_over_tls()] {
        assert!(metrics.contains("tidegate_build_info"), "{metrics}");
        let check = promtool(Path::new("."), &["check", "metrics"], &metrics);
        assert!(check.status.success() && said(&check).is_empty(), "{}", said(&check));
    }
    let broken = promtool(Path::new("."), &["check", "metrics"], "# TYPE a_total gauge\na_total 1\n");
    assert!(!said(&broken).is_empty(), "promtool does judge");
}

#[test]
fn obs_2_the_alerts_are_rules_that_fire_when_they_should() {
    if !has_prometheus("obs_2_the_alerts_are_rules_that_fire_when_they_should") {
        return;
    }
    let folder = packaging().join("prometheus");
    for args in [&["check", "rules", "alerts.yml"], &["test", "rules", "alerts_test.yml"]] {
        let ran = promtool(&folder, args, "");
        assert!(ran.status.success(), "promtool {args:?}: {}", said(&ran));
    }
}

#[test]
fn obs_2_every_query_of_the_dashboard_is_one() {
    if !has_prometheus("obs_2_every_query_of_the_dashboard_is_one") {
        return;
    }
    // promtool checks queries as recording rules.
    let mut rules = "groups: [{name: panels, rules: [\n".to_owned();
    for (number, query) in panel_queries().iter().enumerate() {
        writeln!(rules, "{{record: 'panel:{number}', expr: {}}},", Value::from(query.as_str())).unwrap();
    }
    let folder = Folder::new();
    folder.write("panels.yml", rules + "]}]\n");
    let ran = promtool(&folder.0, &["check", "rules", "panels.yml"], "");
    assert!(ran.status.success(), "{}", said(&ran));
}

#[test]
fn obs_2_the_dashboard_is_laid_out_as_grafana_wants_it() {
    let dashboard = dashboard();
    for field in ["uid", "title", "schemaVersion", "templating", "time", "panels"] {
        assert!(!dashboard[field].is_null(), "{field}");
    }
    let mut ids = BTreeSet::new();
    let mut taken = BTreeSet::new();
    for panel in array(&dashboard["panels"]) {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "two panels of one id: {panel}");
        let place = |side: &str| panel["gridPos"][side].as_u64().unwrap();
        assert!(place("x") + place("w") <= 24, "Grafana has 24 columns: {panel}");
        for (x, y) in (0..place("w")).flat_map(|x| (0..place("h")).map(move |y| (x, y))) {
            assert!(taken.insert((place("x") + x, place("y") + y)), "it lies on another: {panel}");
        }
        if panel["type"] != "row" {
            assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{panel}");
            assert!(!array(&panel["targets"]).is_empty(), "{panel}");
        }
        for target in array(&panel["targets"]) {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "no data source of one machine");
        }
    }
}

#[test]
fn obs_2_dashboard_and_alerts_ask_only_for_what_is_told() {
    let mut told = told(&busy_server().get("/metrics").text());
    told.extend(self::told(&metrics_over_tls()));
    for query in panel_queries().iter().chain(&alert_queries()) {
        let missing: Vec<String> = asked(query).difference(&told).cloned().collect();
        assert!(missing.is_empty(), "{missing:?} in {query}\nof {told:?}");
        assert!(!asked(query).is_empty() || query.contains("up{"), "{query}");
    }
}

/// A running Prometheus; ended on drop.
struct Prometheus {
    child: Child,
    addr: SocketAddr,
    _folder: Folder,
}

impl Prometheus {
    /// One that scrapes `target` each second, with the alerts of `packaging/`.
    fn start(target: SocketAddr) -> Self {
        let folder = Folder::new();
        let rules = packaging().join("prometheus/alerts.yml").canonicalize().unwrap();
        let config = format!(
            "global: {{scrape_interval: 1s}}\nrule_files: ['{}']\nscrape_configs:\n  - job_name: tidegate\n    \
             static_configs: [{{targets: ['{target}']}}]\n",
            rules.display()
        );
        folder.write("prometheus.yml", config);
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let child = Command::new("prometheus")
            .current_dir(&folder.0)
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"])
            .arg(format!("--web.listen-address={addr}"))
            .spawn()
            .unwrap();
        Self { child, addr, _folder: folder }
    }

    /// The values of an instant query, each with its labels; empty while there is no answer.
    fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let target = format!("/api/v1/query?query={query}");
        let Some(body) = self.get(&target) else { return Vec::new() };
        let answer: Value = serde_json::from_str(&body).unwrap();
        let results = array(&answer["data"]["result"]).iter();
        results
            .map(|one| (one["metric"].clone(), one["value"][1].as_str().unwrap().parse().unwrap()))
            .collect()
    }

    /// The body of an answer of 200, from HTTP/1.0 so that it ends with the connection.
    fn get(&self, target: &str) -> Option<String> {
        std::net::TcpStream::connect(self.addr).ok()?;
        let mut client = Client::connect(self.addr);
        client.send(format!("GET {target} HTTP/1.0\r\n\r\n"));
        let answer = String::from_utf8(client.rest(SOON).0).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n")?;
        head.contains(" 200 ").then(|| body.to_owned())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn obs_2_a_real_prometheus_scrapes_us_and_sees_counters_move() {
    if !has_prometheus("obs_2_a_real_prometheus_scrapes_us_and_sees_counters_move") {
        return;
    }
    let server = busy_server();
    let prometheus = Prometheus::start(server.addr);
    let begun = Instant::now();
    let value = |query: &str| prometheus.query(query).first().map(|(_, value)| *value);
    let refused = "tidegate_refusals_total%7Bcode=%22not_found%22%7D";
    let until = |name: &str, holds: &dyn Fn() -> bool| {
        while !holds() {
            assert!(begun.elapsed() < 3 * SOON, "never: {name}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    until("up", &|| value("up") == Some(1.0));
    until("the first refusal", &|| value(refused) == Some(1.0));
    for _ in 0..5 {
        server.get("/missing");
    }
    until("five more", &|| value(refused) == Some(6.0));
    assert_eq!(prometheus.query("tidegate_build_info")[0].0["version"], env!("CARGO_PKG_VERSION"));
    assert!(
        prometheus.query("ALERTS%7Balertstate=%22firing%22%7D").is_empty(),
        "a server that is well raises nothing"
    );
    assert!(prometheus.get("/api/v1/rules").unwrap().contains("TidegateAttack"), "the rules are loaded");
}
