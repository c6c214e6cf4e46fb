//! The end: a request that has begun is finished, the exit is clean, nothing stays behind (SPEC RUN-5, RUN-4).

use crate::demo::client::Client;
use crate::demo::stage::{Act, Halt, Line, Scope, Stage, Step, check};

const BODY: &str = "{\"last\": \"words\"}";

pub(super) const STEPS: &[Step] = &[
    Step {
        title: "TERM in the middle of an upload",
        why: "The upload that had begun gets its 201 while new connections are no longer taken.",
        scope: Scope::Own("it is not ours to end"),
        act: Act::Play(drain),
    },
    Step {
        title: "Nothing stays behind",
        why: "Whoever shows something should leave the place as it was.",
        scope: Scope::Own("there is nothing of ours there"),
        act: Act::Play(clear_up),
    },
];

fn drain(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let mut client = stage.connect()?;
    let (first, rest) = BODY.split_at(5);
    let length = format!("Content-Length: {}", BODY.len());
    let fields = ["Content-Type: application/json", &length, "Expect: 100-continue"];
    let request = stage.request("POST /upload", &fields, "");
    stage.send(&mut client, &request);
    check(client.is_invited()?, "the upload is not invited")?;
    stage.lines.push(Line::Received(100, "100 Continue".into()));
    stage.lines.push(Line::Sent(first.into()));
    client.send(first.as_bytes());
    let known = stage.own()?.log().len();
    stage.own()?.terminate()?;
    let line = stage.own()?.wait_for_log("shutting down", known)?;
    stage.note(format!("kill -TERM · {line}"));
    wait_until_closed(stage)?;
    stage.note("a new connection is refused by now");
    stage.lines.push(Line::Sent(rest.into()));
    client.send(rest.as_bytes());
    let response = stage.receive(&mut client, false, 201, &["Connection"])?;
    check(response.field("connection") == Some("close"), "the last answer does not say so")?;
    client.ends_silently()?;
    // The server waits a moment for this side to close too.
    drop(client);
    let status = stage.own()?.wait()?;
    check(status.code() == Some(0), format!("it ended by {status}"))?;
    let log = stage.own()?.log();
    let summary = log.lines().find(|line| line.contains("stopped after")).unwrap_or_default();
    check(!summary.is_empty(), "no summary in the log")?;
    stage.note(format!("exit code 0 · {summary}"));
    Ok(())
}

fn wait_until_closed(stage: &Stage<'_>) -> Result<(), Halt> {
    for _ in 0..500 {
        if Client::connect(stage.target).is_err() {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    Err(Halt::failed("new connections are still taken"))
}

fn clear_up(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let own = stage.own()?;
    let status = own.wait()?;
    let folder = own.remove()?.to_owned();
    check(!folder.exists(), "the folder is still there")?;
    stage.note(format!("process ended ({status}), folder removed: {}", folder.display()));
    Ok(())
}
