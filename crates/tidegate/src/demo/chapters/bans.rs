//! The ban book: what is held against a client, what comes of it in shadow and on, and how a ban ends (SPEC SEC-1).

use std::time::Duration;

use crate::demo::client::Client;
use crate::demo::own::Change;
use crate::demo::stage::{Act, Halt, Line, Scope, Stage, Step, check, visible};

const OF_ITS_OWN: Scope = Scope::Own("it takes a server with a control socket");

/// Each offence is one of a visitor, for the tour speaks as a trusted proxy: who sits at this machine is never banned.
const PROXY: Change = ("[log]", "[security]\ntrusted_proxy = [\"127.0.0.1\"]\n\n[log]");
const SHADOW: [Change; 2] = [PROXY, ("drain = \"10s\"", "drain = \"10s\"\ncontrol = \"control\"")];
const ON: [Change; 3] =
    [PROXY, SHADOW[1], ("max_connections = 300", "max_connections = 300\nbans = \"on\"\nban_time = \"1h\"")];

const VISITOR: &str = "203.0.113.9";
const NAMED: &str = "X-Forwarded-For: 203.0.113.9";
/// Ways out of the root that are one too many.
const OFFENCES: usize = 5;

pub(super) const STEPS: &[Step] = &[
    Step {
        title: "In shadow, as by default",
        why: "Five tries to leave the root would be a ban: written down with evidence, and nobody is shut out.",
        scope: OF_ITS_OWN,
        act: Act::Play(|stage| stage.elsewhere(&SHADOW, shadow)),
    },
    Step {
        title: "On, and lifted",
        why: "A ban ends by itself, a next one lasts twice as long; an operator ends it at once.",
        scope: OF_ITS_OWN,
        act: Act::Play(|stage| stage.elsewhere(&ON, lifted)),
    },
];

/// Offends until it is enough, on one connection; a line of the ban book.
fn offend(stage: &mut Stage<'_>, client: &mut Client) -> Result<String, Halt> {
    let offence = stage.request("GET /%2e%2e/secret", &[NAMED], "");
    for _ in 0..OFFENCES {
        client.send(offence.as_bytes());
        let response = client.response(false)?;
        let code = response.member("code");
        check(code == "traversal", format!("an answer of {} {code}", response.status))?;
    }
    stage.lines.push(Line::Sent(format!("GET /%2e%2e/secret HTTP/1.1, {OFFENCES} times")));
    stage.lines.push(Line::SentMore(NAMED.into()));
    stage.lines.push(Line::Received(403, format!("403 Forbidden · {OFFENCES} times")));
    let known = |book: &str| book.lines().find(|line| line.starts_with(VISITOR)).map(ToOwned::to_owned);
    // A refusal is entered when its answer has been sent.
    for _ in 0..100 {
        if let Some(line) = known(&stage.own()?.bans(&["list"])?) {
            return Ok(line);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(Halt::failed("the ban book does not know the visitor"))
}

fn show_book(stage: &mut Stage<'_>, line: &str) {
    stage.note("tidegate bans list");
    let words: Vec<_> = line.split_whitespace().collect();
    stage.lines.push(Line::More(visible(&words.join(" "))));
}

fn shadow(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let mut client = stage.connect()?;
    let line = offend(stage, &mut client)?;
    check(line.contains(" shadow "), format!("not in shadow: {line}"))?;
    show_book(stage, &line);
    let request = stage.request("GET /", &[NAMED], "");
    stage.send(&mut client, &request);
    stage.receive(&mut client, false, 200, &[]).map(drop)
}

fn lifted(stage: &mut Stage<'_>) -> Result<(), Halt> {
    stage.note("bans = \"on\", ban_time = \"1h\"");
    let mut client = stage.connect()?;
    let line = offend(stage, &mut client)?;
    check(line.contains(" on "), format!("not on: {line}"))?;
    let request = stage.request("GET /", &[NAMED], "");
    stage.send(&mut client, &request);
    let response = stage.receive(&mut client, false, 403, &["Retry-After"])?;
    check(response.member("code") == "banned", "the code is another")?;
    let left: u64 = response.field("retry-after").and_then(|left| left.parse().ok()).unwrap_or_default();
    check((3000..=3600).contains(&left), format!("an hour that is {left} s long"))?;
    show_book(stage, &line);
    let said = stage.own()?.bans(&["lift", VISITOR])?;
    stage.note(format!("tidegate bans lift {VISITOR}"));
    stage.lines.push(Line::More(said.trim().to_owned()));
    stage.send(&mut client, &request);
    stage.receive(&mut client, false, 200, &[]).map(drop)
}
