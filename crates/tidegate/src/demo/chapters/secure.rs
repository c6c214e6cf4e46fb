//! TLS and HTTP/2: handshakes, the way to them from the clear, and a flood that is cut off (SPEC TLS-1, H2-1, HOST-1).

use crate::demo::client::{Client, Target};
use crate::demo::http2;
use crate::demo::own::Change;
use crate::demo::secure::{HTTP1, Offer};
use crate::demo::stage::{Act, Halt, Line, Scope, Stage, Step, check};

const OF_ITS_OWN: Scope = Scope::Own("it takes a server with a certificate");

/// A certificate that signs itself, a door in the clear, and an hour of HTTPS alone.
const TLS: [Change; 1] =
    [("[log]", "[tls]\nself_signed = true\nredirect = \"127.0.0.1:0\"\nhsts = \"1h\"\n\n[log]")];

/// A client that speaks HTTP/2.
const HTTP2: Offer = Offer { protocols: &["h2", "http/1.1"], ..HTTP1 };

/// One for each version of TLS, with its name.
static VERSIONS: [(Offer, &str); 2] = [
    (Offer { versions: &[&rustls::version::TLS13], ..HTTP1 }, "TLSv1_3"),
    (Offer { versions: &[&rustls::version::TLS12], ..HTTP1 }, "TLSv1_2"),
];

pub(super) const STEPS: &[Step] = &[
    Step {
        title: "Two handshakes",
        why: "TLS 1.3 with keys that a quantum computer does not open either, and 1.2 for who is older.",
        scope: OF_ITS_OWN,
        act: Act::Play(|stage| stage.elsewhere(&TLS, handshakes)),
    },
    Step {
        title: "HTTP/2 by ALPN",
        why: "Who offers h2 gets it within the handshake; the same rules judge its requests, the same log tells of them.",
        scope: OF_ITS_OWN,
        act: Act::Play(|stage| stage.elsewhere(&TLS, http_2)),
    },
    Step {
        title: "Another name than in the handshake",
        why: "The handshake was for one server and the request is for another: nobody is to mix them up.",
        scope: OF_ITS_OWN,
        act: Act::Play(|stage| stage.elsewhere(&TLS, misdirected)),
    },
    Step {
        title: "From http to https",
        why: "A listener in the clear that does nothing else leads to the right place, query and all.",
        scope: OF_ITS_OWN,
        act: Act::Play(|stage| stage.elsewhere(&TLS, redirect)),
    },
    Step {
        title: "By TLS from now on",
        why: "Strict-Transport-Security keeps a browser from asking in the clear again; it is never said in the clear.",
        scope: OF_ITS_OWN,
        act: Act::Play(|stage| stage.elsewhere(&TLS, remembered)),
    },
    Step {
        title: "Streams opened and reset",
        why: "The rapid reset of 2023: costly for a server that begins each request. Here the connection ends, and it is an event.",
        scope: OF_ITS_OWN,
        act: Act::Play(|stage| stage.elsewhere(&TLS, rapid_reset)),
    },
];

/// Connects with `offer` and shows what was agreed on.
fn agree(stage: &mut Stage<'_>, offer: &Offer) -> Result<Client, Halt> {
    let client = Client::offering(stage.target, offer)?;
    stage.note(client.agreed());
    Ok(client)
}

fn handshakes(stage: &mut Stage<'_>) -> Result<(), Halt> {
    for (offer, version) in &VERSIONS {
        let mut client = agree(stage, offer)?;
        check(client.agreed().starts_with(*version), format!("another version than {version}"))?;
        let request = stage.request("GET /sample.txt", &[], "");
        stage.send(&mut client, &request);
        stage.receive(&mut client, false, 200, &["Content-Type"])?;
    }
    Ok(())
}

fn http_2(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let client = agree(stage, &HTTP2)?;
    check(client.agreed().ends_with("h2"), "no HTTP/2")?;
    stage.lines.push(Line::Sent(":method GET · :path /sample.json".into()));
    let response = http2::get(stage.target, client.into_tls()?, "/sample.json")?;
    stage.show(&response, &["content-type", "content-length"]);
    check(response.status == 200 && response.text().contains("tidegate"), "not the file that was asked for")?;
    check(response.field("connection").is_none(), "a field of HTTP/1 in HTTP/2")
}

fn misdirected(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let mut client = agree(stage, &Offer { server: "localhost", ..HTTP1 })?;
    let named = stage.target.host.replace("127.0.0.1", "localhost");
    for (host, status) in [(named, 200), (stage.target.host.clone(), 421)] {
        stage.note(format!("the handshake was for localhost, this request is for {host}"));
        client.send(format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        stage.receive(&mut client, false, status, &[])?;
    }
    Ok(())
}

/// The listener in the clear, as the start-up block names it.
fn door(stage: &mut Stage<'_>) -> Result<Target, Halt> {
    let line = stage.own()?.wait_for_log("  redirect ", 0)?;
    let host = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let addr = host.parse().map_err(|_| Halt::failed(format!("no address in {line:?}")))?;
    Ok(Target { addr, host: host.to_owned(), secure: None, ..stage.target.clone() })
}

fn redirect(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let door = door(stage)?;
    let target = "/tides/?high=noon";
    let request = format!("GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", door.host);
    let mut client = Client::connect(&door)?;
    stage.send(&mut client, &request);
    let response = stage.receive(&mut client, false, 308, &["Location"])?;
    let wanted = format!("https://{}{target}", stage.target.host);
    check(response.field("location") == Some(wanted.as_str()), "it leads elsewhere")?;
    let stranger = "GET / HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n";
    stage.send(&mut client, stranger);
    let refusal = stage.receive(&mut client, false, 403, &[])?;
    check(refusal.field("location").is_none(), "it leads wherever a stranger says")
}

fn remembered(stage: &mut Stage<'_>) -> Result<(), Halt> {
    const FIELD: &str = "Strict-Transport-Security";
    for (line, status) in [("GET /", 200), ("GET /no-such-page-4711", 404)] {
        let response = stage.exchange(line, &[], status, &[FIELD])?;
        check(response.field(FIELD) == Some("max-age=3600"), format!("no {FIELD} of an hour"))?;
    }
    let door = door(stage)?;
    let mut client = Client::connect(&door)?;
    client.send(format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", door.host).as_bytes());
    check(client.response(false)?.field(FIELD).is_none(), "it is said in the clear")
}

fn rapid_reset(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let flood = agree(stage, &HTTP2)?.into_tls()?;
    let (streams, reason) = http2::open_and_reset(stage.target, flood)?;
    stage.lines.push(Line::Sent(format!("HEADERS, RST_STREAM: {streams} times")));
    stage.note(format!("GOAWAY {reason:?}"));
    check(reason == h2::Reason::ENHANCE_YOUR_CALM, "it ended for another reason")?;
    let event = stage.own()?.wait_for_log("rate_limited", 0)?;
    stage.note(event);
    stage.exchange("GET /sample.txt", &[], 200, &[]).map(drop)
}
