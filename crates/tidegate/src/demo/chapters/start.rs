//! The start: what the server says of itself, and the two questions that a balancer asks (SPEC RUN-1, OBS-4).

use crate::demo::stage::Expect::{Body, Field};
use crate::demo::stage::{Act, Ask, Halt, Line, Scope, Send, Stage, Step, check};

pub(super) const STEPS: &[Step] = &[
    Step {
        title: "One command",
        why: "Where it listens, what it serves and within which bounds: said at start, so nobody has to guess.",
        scope: Scope::Own("it runs already"),
        act: Act::Play(greeting),
    },
    Step {
        title: "Alive?",
        why: "/healthz answers without disk or pool for as long as the process lives.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Request("GET /healthz", &[], ""),
            status: 200,
            expect: &[Body("ok"), Field("Cache-Control", "no-store")],
        }),
    },
    Step {
        title: "Ready for traffic?",
        why: "/readyz turns to 503 while draining, saturated or unable to store: a balancer looks elsewhere.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Request("GET /readyz", &[], ""),
            status: 200,
            expect: &[Body("ready")],
        }),
    },
];

fn greeting(stage: &mut Stage<'_>) -> Result<(), Halt> {
    stage.note("tidegate -c tidegate.toml");
    let log = stage.own()?.log();
    let first = log.lines().position(|line| line.contains(" is running"));
    let block = log.lines().skip(first.unwrap_or(usize::MAX)).enumerate();
    let block: Vec<_> = block.take_while(|(number, line)| *number == 0 || line.starts_with("  ")).collect();
    for name in ["url", "root", "workers", "pool", "limits", "logs", "sandbox"] {
        let found = block.iter().any(|(_, line)| line.trim_start().starts_with(name));
        check(found, format!("the start-up block says nothing of {name}"))?;
    }
    for (number, line) in block {
        // The time stands in the first line only.
        let text = if number == 0 { line.splitn(3, ' ').last().unwrap_or(line).trim() } else { line };
        stage.lines.push(Line::More(text.to_owned()));
    }
    Ok(())
}
