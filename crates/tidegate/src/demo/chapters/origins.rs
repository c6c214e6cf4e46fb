//! Scripts of other origins: the preflight of one that is named, and what another one sees (SPEC SEC-2).

use crate::demo::own::Change;
use crate::demo::stage::{Act, Halt, Scope, Stage, Step, check};

const OF_ITS_OWN: Scope = Scope::Own("it takes a server that names an origin");

const NAMED: [Change; 1] = [("[log]", "[cors]\norigin = [\"https://app.example\"]\n\n[log]")];
const PREFLIGHT: [&str; 2] =
    ["Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type"];

pub(super) const STEPS: &[Step] = &[
    Step {
        title: "A preflight",
        why: "Before a page elsewhere may upload JSON its browser asks whether it may; an origin that is named may.",
        scope: OF_ITS_OWN,
        act: Act::Play(|stage| stage.elsewhere(&NAMED, preflight)),
    },
    Step {
        title: "A foreign origin",
        why: "Whoever is not named is told nothing, and the browser keeps the answer from the script.",
        scope: OF_ITS_OWN,
        act: Act::Play(|stage| stage.elsewhere(&NAMED, foreign)),
    },
];

fn preflight(stage: &mut Stage<'_>) -> Result<(), Halt> {
    stage.note("origin = [\"https://app.example\"]");
    let origin = ["Origin: https://app.example"];
    let fields = [&origin[..], &PREFLIGHT].concat();
    let shown = ["Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Access-Control-Max-Age"];
    let response = stage.exchange("OPTIONS /upload", &fields, 204, &shown)?;
    let allowed = ["https://app.example", "GET, HEAD, POST", "600"];
    for (name, value) in shown.into_iter().zip(allowed) {
        check(response.field(name) == Some(value), format!("{name} is not {value}"))?;
    }
    let refusal = stage.exchange("GET /no-such-page-4711", &origin, 404, &shown[..1])?;
    check(refusal.field(shown[0]) == Some(allowed[0]), "a refusal is hidden from its script")
}

fn foreign(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let fields = [&["Origin: https://elsewhere.example"][..], &PREFLIGHT].concat();
    let response = stage.exchange("OPTIONS /upload", &fields, 204, &["Vary"])?;
    check(response.field("access-control-allow-origin").is_none(), "a foreign origin is admitted")?;
    check(response.field("vary").is_some_and(|vary| vary.contains("Origin")), "no Vary: Origin")?;
    stage.note("no field that begins with Access-Control");
    let allows =
        response.fields.iter().any(|(name, _)| name.to_ascii_lowercase().starts_with("access-control"));
    check(!allows, "a field of CORS")
}
