//! What operators see, and who is one (SPEC SEC-0, SEC-6, OBS-2, OBS-3, OBS-4).

use serde_json::Value;

use crate::demo::client::Response;
use crate::demo::stage::Expect::{Begins, Body, Code, Field};
use crate::demo::stage::{Act, Ask, Halt, Line, Scope, Send, Stage, Step, check};

const OPERATORS: Scope = Scope::Own("its pages may not be open to us");

pub(super) const STEPS: &[Step] = &[
    Step {
        title: "Metrics",
        why: "For Prometheus or as JSON. Labels are closed sets, so no client makes series.",
        scope: OPERATORS,
        act: Act::Play(metrics),
    },
    Step {
        title: "What each thread does",
        why: "Event loops with their connections, pool threads with their job, how long, and what waits.",
        scope: OPERATORS,
        act: Act::Play(status),
    },
    Step {
        title: "The dashboard",
        why: "A page that follows the server live; nothing comes from outside, and no text of a client is markup.",
        scope: OPERATORS,
        act: Act::Ask(Ask {
            send: Send::Request("GET /security-dashboard", &["Accept: text/html"], ""),
            status: 200,
            expect: &[
                Field("Content-Type", "text/html; charset=utf-8"),
                Begins("Content-Security-Policy", "default-src 'none'"),
                Field("Cache-Control", "no-store"),
                Body("<title>"),
            ],
        }),
    },
    Step {
        title: "What it says of this tour",
        why: "One line tells how the server does, and one what to do; programs read the same as JSON.",
        scope: OPERATORS,
        act: Act::Play(verdict),
    },
    Step {
        title: "The same through a proxy",
        why: "Behind a proxy on this machine may be the world: any trace of one makes a stranger.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Request("GET /security-dashboard", &["Via: 1.1 proxy"], ""),
            status: 403,
            expect: &[Field("Cache-Control", "no-store"), Code("admin_forbidden")],
        }),
    },
];

fn metrics(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let response = stage.exchange("GET /metrics", &[], 200, &["Content-Type"])?;
    let text = response.text();
    let shown = [
        "tidegate_connections ",
        "tidegate_pool_saturations_total ",
        "tidegate_refusals_total{code=\"traversal\"} ",
        "tidegate_events_total{kind=\"malformed\"} ",
    ];
    for name in shown {
        let line = text.lines().find(|line| line.starts_with(name));
        let line = line.ok_or_else(|| Halt::failed(format!("no series {name}")))?;
        stage.lines.push(Line::More(line.to_owned()));
    }
    check(!text.contains("traversal\"} 0\n"), "the ways out of the folder were not counted")
}

fn status(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let response = stage.exchange("GET /status", &[], 200, &["Content-Type"])?;
    let status = json(&response)?;
    let (workers, pool) = (&status["workers"], &status["pool"]);
    for worker in workers.as_array().into_iter().flatten() {
        let number = |name: &str| worker[name].as_u64().unwrap_or_default();
        let (id, connections, served) = (number("id"), number("connections"), number("served"));
        stage
            .lines
            .push(Line::More(format!("worker {id}: {connections} connections, {served} requests served")));
    }
    let sizes = ["size", "busy", "queue_depth", "queue_limit"].map(|name| format!("{name} {}", pool[name]));
    stage.lines.push(Line::More(format!("pool: {}", sizes.join(", "))));
    check(pool["size"] == 2, "the pool has another size")?;
    let named = pool["threads"].as_array().is_some_and(|threads| threads.len() == 2);
    check(named && workers[0]["served"].is_u64(), "not every thread is told of")
}

fn verdict(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let response = stage.exchange("GET /security-dashboard?format=json", &[], 200, &["Content-Type"])?;
    let page = json(&response)?;
    let verdict = &page["snapshot"]["verdict"];
    for name in ["level", "line", "advice"] {
        let text =
            verdict[name].as_str().ok_or_else(|| Halt::failed(format!("the verdict has no {name}")))?;
        stage.lines.push(Line::More(format!("{name}: {text}")));
    }
    check(verdict["level"] != "well", "after all this, all is well")
}

fn json(response: &Response) -> Result<Value, Halt> {
    serde_json::from_slice(&response.body).map_err(|error| Halt::failed(format!("no JSON: {error}")))
}
