//! Threads and overload: pipelining, a slow head, idle connections, a burst at a small pool (SPEC LOAD, H1-6).

use std::time::{Duration, Instant};

use crate::demo::client::Client;
use crate::demo::stage::{Act, Halt, Line, Scope, Stage, Step, check};

pub(super) const STEPS: &[Step] = &[
    Step {
        title: "Three requests in one packet",
        why: "Pipelined requests are answered in their order, batched into few writes.",
        scope: Scope::Any,
        act: Act::Play(pipelined),
    },
    Step {
        title: "A head that trickles in",
        why: "The deadline is for the whole head, so a byte now and then buys no time; all others are served.",
        scope: Scope::Own("the header timeout there may be long"),
        act: Act::Play(trickle),
    },
    Step {
        title: "Two hundred idle connections",
        why: "Event loops own the connections: idle ones cost a little memory and not one thread.",
        scope: Scope::Own("its threads are counted in /proc"),
        act: Act::Play(idle),
    },
    Step {
        title: "A burst at a small pool",
        why: "Two threads, a queue of two: what finds room is stored, the rest is told at once to come back.",
        scope: Scope::Own("it would leave files behind"),
        act: Act::Play(burst),
    },
];

fn pipelined(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let mut client = stage.connect()?;
    let targets = [("/healthz", 200), ("/no-such-page-4711", 404), ("/readyz", 200)];
    let mut bytes = String::new();
    for (target, _) in targets {
        bytes += &stage.request(&format!("GET {target}"), &[], "");
        stage.lines.push(Line::Sent(format!("GET {target} HTTP/1.1")));
    }
    client.send(bytes.as_bytes());
    for (_, status) in targets {
        stage.receive(&mut client, false, status, &["Content-Length"])?;
    }
    Ok(())
}

fn trickle(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let mut slow = stage.connect()?;
    let begun = Instant::now();
    let (mut sent, mut served, mut slowest) = (0_usize, 0_usize, Duration::ZERO);
    let head = stage.request("GET /", &[&format!("X-Patience: {}", "z".repeat(1000))], "");
    for byte in head.as_bytes().chunks(1) {
        slow.send(byte);
        sent += 1;
        let asked = Instant::now();
        ask_quietly(stage, "/healthz")?;
        served += 1;
        slowest = slowest.max(asked.elapsed());
        if slow.has_news(Duration::from_millis(40))? {
            break;
        }
    }
    stage.lines.push(Line::Sent(format!("{sent} bytes of a head, one every 40 ms")));
    let response = stage.receive(&mut slow, false, 408, &["Connection"])?;
    let waited = begun.elapsed();
    check(response.member("code") == "slow_head", "the code is not slow_head")?;
    check(served > 1, "nobody else was served meanwhile")?;
    slow.ends_silently()?;
    stage.note(format!(
        "cut off after {:.1} s; {served} others answered meanwhile, the slowest in {:.1} ms",
        waited.as_secs_f64(),
        slowest.as_secs_f64() * 1000.0
    ));
    Ok(())
}

/// GETs `target` on a connection of its own without showing it.
fn ask_quietly(stage: &Stage<'_>, target: &str) -> Result<Client, Halt> {
    let mut client = stage.connect()?;
    client.send(stage.request(&format!("GET {target}"), &[], "").as_bytes());
    let response = client.response(false)?;
    check(response.status == 200, format!("{target} answered {}", response.status))?;
    Ok(client)
}

fn idle(stage: &mut Stage<'_>) -> Result<(), Halt> {
    const MANY: usize = 200;
    let (before, memory) = (stage.own()?.threads()?, stage.own()?.memory()?);
    let held: Vec<_> = (0..MANY).map(|_| ask_quietly(stage, "/healthz")).collect::<Result<_, _>>()?;
    stage.lines.push(Line::Sent(format!("GET /healthz on {} connections, all kept open", held.len())));
    let (after, more) = (stage.own()?.threads()?, stage.own()?.memory()?.saturating_sub(memory));
    check(before == after, format!("threads before {before:?}, after {after:?}"))?;
    let workers = after.iter().filter(|name| name.starts_with("worker-")).count();
    let pool = after.iter().filter(|name| name.starts_with("pool-")).count();
    check(workers > 0 && pool == 2, format!("expected workers and 2 pool threads: {after:?}"))?;
    stage.note(format!(
        "{} threads before and after ({workers} workers, {pool} of the pool); {more} KiB more memory",
        after.len()
    ));
    drop(ask_quietly(stage, "/")?);
    stage.note("and one connection more is served like any other");
    Ok(())
}

fn burst(stage: &mut Stage<'_>) -> Result<(), Halt> {
    const MANY: usize = 64;
    let before = stage.own()?.uploads()?.len();
    let request = stage.request(
        "POST /upload",
        &["Content-Type: application/json", "Content-Length: 9"],
        "{\"n\": 64}",
    );
    stage.lines.push(Line::Sent(format!("POST /upload on {MANY} connections at the same time")));
    let mut clients: Vec<_> = (0..MANY).map(|_| stage.connect()).collect::<Result<_, _>>()?;
    clients.iter_mut().for_each(|client| client.send(request.as_bytes()));
    drop(ask_quietly(stage, "/healthz")?);
    let (mut stored, mut refused) = (0, 0);
    for client in &mut clients {
        let response = client.response(false)?;
        match (response.status, response.member("code").as_str()) {
            (201, _) => stored += 1,
            (503, "pool_saturated") => {
                check(response.field("retry-after").is_some(), "a 503 without Retry-After")?;
                refused += 1;
            }
            (status, code) => return Err(Halt::failed(format!("an answer of {status} {code}"))),
        }
    }
    stage.lines.push(Line::Received(201, format!("201 Created · {stored} times")));
    if refused > 0 {
        let text = format!("503 Service Unavailable · {refused} times · pool_saturated, Retry-After: 1");
        stage.lines.push(Line::Received(503, text));
    }
    let files = stage.own()?.uploads()?.len() - before;
    check(stored > 0, "none was stored")?;
    check(files == stored, format!("{stored} were promised and {files} are on the disk"))?;
    stage.note(format!("{files} files on the disk: exactly those promised; /healthz answered meanwhile"));
    Ok(())
}
