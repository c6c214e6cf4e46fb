//! What one client may do: how often it may ask, for whom a proxy asks, how many connections it may hold (SPEC SEC-1,
//! LOAD-7).

use std::time::Duration;

use crate::demo::client::{Client, Response};
use crate::demo::own::Change;
use crate::demo::stage::{Act, Halt, Line, Scope, Stage, Step, check};

const OF_ITS_OWN: Scope = Scope::Own("it takes a server with other limits");

/// Three requests at once and two a second, on this machine too.
const SLOW: [Change; 1] =
    [("max_connections = 300", "max_connections = 300\nrate_limit = \"2/s:3\"\nlimit_loopback = true")];
/// Three at once, then one a minute, for whomever a proxy on this machine names.
const BEHIND_A_PROXY: [Change; 2] = [
    ("max_connections = 300", "max_connections = 300\nrate_limit = \"1/m:3\""),
    ("[log]", "[security]\ntrusted_proxy = [\"127.0.0.1\"]\n\n[log]"),
];
/// Four connections for each client, on this machine too.
const FEW: [Change; 1] =
    [("max_connections = 300", "max_connections = 300\nmax_connections_per_ip = 4\nlimit_loopback = true")];

/// Requests after which the third at once must have been refused, however slow this machine is.
const MOST_REQUESTS: usize = 50;
/// As in [`FEW`].
const SHARE: usize = 4;

pub(super) const STEPS: &[Step] = &[
    Step {
        title: "Too fast",
        why: "A refusal is cheap and says when to come again; the connection stays, and whoever waits is served.",
        scope: OF_ITS_OWN,
        act: Act::Play(|stage| stage.elsewhere(&SLOW, too_fast)),
    },
    Step {
        title: "Each visitor behind a proxy",
        why: "A trusted proxy names its visitors: who asks too often is limited, and nobody else behind it.",
        scope: OF_ITS_OWN,
        act: Act::Play(|stage| stage.elsewhere(&BEHIND_A_PROXY, visitors)),
    },
    Step {
        title: "As many connections as one may have",
        why: "A client that holds all of its share and uses them is refused itself, and takes no place of others.",
        scope: OF_ITS_OWN,
        act: Act::Play(|stage| stage.elsewhere(&FEW, share)),
    },
];

/// Asks on `client` until it is refused; the refusal, and how many were answered before.
fn until_refused(stage: &Stage<'_>, client: &mut Client, fields: &[&str]) -> Result<(Response, usize), Halt> {
    let request = stage.request("GET /", fields, "");
    for answered in 0..MOST_REQUESTS {
        client.send(request.as_bytes());
        let response = client.response(false)?;
        if response.status != 200 {
            return Ok((response, answered));
        }
    }
    Err(Halt::failed(format!("{MOST_REQUESTS} requests at once, and none is refused")))
}

fn too_fast(stage: &mut Stage<'_>) -> Result<(), Halt> {
    stage.note(
        "rate_limit = \"2/s:3\", limit_loopback = true; the look whether it is ready was a request too",
    );
    let mut client = stage.connect()?;
    let (refusal, answered) = until_refused(stage, &mut client, &[])?;
    stage.lines.push(Line::Sent(format!("GET / on one connection, {} times at once", answered + 1)));
    stage.lines.push(Line::Received(200, format!("200 OK · {answered} times")));
    show_limited(stage, &refusal)?;
    let wait = refusal.field("retry-after").and_then(|wait| wait.parse().ok()).unwrap_or_default();
    check(wait > 0, "no Retry-After")?;
    std::thread::sleep(Duration::from_secs(wait));
    stage.note(format!("{wait} s later, on the same connection"));
    let request = stage.request("GET /", &[], "");
    stage.send(&mut client, &request);
    stage.receive(&mut client, false, 200, &[]).map(drop)
}

fn visitors(stage: &mut Stage<'_>) -> Result<(), Halt> {
    stage.note("rate_limit = \"1/m:3\", trusted_proxy = [\"127.0.0.1\"]");
    // The tour is the proxy, and one connection carries the requests of both.
    let mut proxy = stage.connect()?;
    let eager = ["X-Forwarded-For: 203.0.113.7"];
    let (refusal, answered) = until_refused(stage, &mut proxy, &eager)?;
    check(answered == 3, format!("{answered} requests of the first visitor were answered, not 3"))?;
    stage.lines.push(Line::Sent("GET / HTTP/1.1, four times".into()));
    stage.lines.push(Line::SentMore(eager.join("")));
    show_limited(stage, &refusal)?;
    let request = stage.request("GET /", &["X-Forwarded-For: 203.0.113.8"], "");
    stage.send(&mut proxy, &request);
    stage.receive(&mut proxy, false, 200, &[]).map(drop)
}

/// Shows a 429 with the fields that tell of the limit, and checks that they do.
fn show_limited(stage: &mut Stage<'_>, refusal: &Response) -> Result<(), Halt> {
    let (status, code) = (refusal.status, refusal.member("code"));
    check((status, code.as_str()) == (429, "rate_limited"), format!("an answer of {status} {code}"))?;
    stage.lines.push(Line::Received(status, format!("{status} {}", refusal.reason)));
    for name in ["Retry-After", "RateLimit", "RateLimit-Policy"] {
        let value = refusal.field(name).ok_or_else(|| Halt::failed(format!("no {name}")))?;
        stage.lines.push(Line::More(format!("{name}: {value}")));
    }
    stage.lines.push(Line::More(format!("{code}: {}", refusal.member("detail"))));
    Ok(())
}

fn share(stage: &mut Stage<'_>) -> Result<(), Halt> {
    stage.note("max_connections_per_ip = 4, limit_loopback = true");
    let fields = ["Content-Type: application/json", "Content-Length: 2", "Expect: 100-continue"];
    let upload = stage.request("POST /upload", &fields, "");
    // The connection that asked whether the server is ready is idle by now, and makes room.
    let mut held = Vec::new();
    for _ in 0..SHARE {
        let mut client = stage.connect()?;
        client.send(upload.as_bytes());
        check(client.is_invited()?, "a connection within the share is refused")?;
        held.push(client);
    }
    stage
        .lines
        .push(Line::Sent(format!("POST /upload on {SHARE} connections, each invited to send its content")));
    let mut newcomer = stage.connect()?;
    let request = stage.request("GET /", &[], "");
    stage.send(&mut newcomer, &request);
    let response = stage.receive(&mut newcomer, false, 429, &["Retry-After", "Connection"])?;
    check(response.member("code") == "too_many_from_client", "the code is another")?;
    newcomer.ends_silently()
}
