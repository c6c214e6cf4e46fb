//! Refusals in both forms, where their id leads, and what is allowed instead (SPEC SEC-4, OBS-4, H1-1).

use crate::demo::stage::Expect::{Begins, Body, Code, Field};
use crate::demo::stage::{Act, Ask, Halt, Line, Scope, Send, Stage, Step, check, visible};

pub(super) const STEPS: &[Step] = &[
    Step {
        title: "A refusal for programs",
        why: "problem+json (RFC 9457): a stable code to branch on, a sentence to read, an id to quote.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Request("GET /%zz", &["Accept: application/json"], ""),
            status: 400,
            expect: &[
                Field("Content-Type", "application/problem+json"),
                Begins("X-Request-Id", ""),
                Code("bad_target"),
            ],
        }),
    },
    Step {
        title: "The same for people",
        why: "A browser gets a small page under a policy that lets it load and run nothing.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Request("GET /no-such-page-4711", &["Accept: text/html"], ""),
            status: 404,
            expect: &[
                Field("Content-Type", "text/html; charset=utf-8"),
                Begins("Content-Security-Policy", "default-src 'none'"),
                Body("<h1>"),
            ],
        }),
    },
    Step {
        title: "The id leads into the log",
        why: "Who reports a refusal quotes its id, and the operator finds the line at once.",
        scope: Scope::Own("its log cannot be read from here"),
        act: Act::Play(found_in_the_log),
    },
    Step {
        title: "The id leads to an answer",
        why: "An operator asks by the id which rule refused it, by which evidence, and which flag governs it.",
        scope: Scope::Own("its pages may not be open to us"),
        act: Act::Play(explained),
    },
    Step {
        title: "What is allowed here",
        why: "OPTIONS names the methods of every path, and `*` those of the whole server.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Request("OPTIONS *", &[], ""),
            status: 204,
            expect: &[Field("Allow", "GET, HEAD, POST, OPTIONS")],
        }),
    },
];

fn found_in_the_log(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let known = stage.own()?.log().len();
    let response = stage.exchange("GET /%2e%2e/secret", &[], 403, &["X-Request-Id"])?;
    let id = response.field("x-request-id").ok_or_else(|| Halt::failed("no X-Request-Id"))?;
    check(id.len() == 16, format!("an id of another shape: {id}"))?;
    let line = stage.own()?.wait_for_log(id, known)?;
    stage.note(visible(&line));
    Ok(())
}

fn explained(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let mut client = stage.connect()?;
    stage.send(&mut client, "GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n");
    let response = stage.receive(&mut client, false, 403, &["X-Request-Id"])?;
    let id = response.field("x-request-id").unwrap_or_default();
    let answer = stage.exchange(&format!("GET /status/refusals/{id}"), &[], 200, &[])?;
    for name in ["rule", "evidence", "limit", "explanation"] {
        stage.lines.push(Line::More(visible(&format!("{name}: {}", answer.member(name)))));
    }
    check(answer.member("rule") == "host_not_allowed", "it tells of another refusal")?;
    check(answer.member("limit").contains("--allow-host"), "it does not name the flag")
}
