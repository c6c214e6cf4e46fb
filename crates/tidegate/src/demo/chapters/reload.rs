//! Live reload: settings change under an open connection, a broken configuration does not, and the new cap on
//! connections holds (SPEC RUN-5, LOAD-3).

use std::time::Duration;

use crate::demo::client::Client;
use crate::demo::own::Change;
use crate::demo::stage::{Act, Halt, Line, Scope, Stage, Step, check};

const NOT_OURS: Scope = Scope::Own("its configuration is not ours to change");

/// What the new configuration says otherwise.
const CHANGES: [Change; 3] = [
    ("root = \"site\"", "root = \"site\"\ndownload = []"),
    ("max_connections = 300", "max_connections = 8"),
    ("header_timeout = \"1s\"", "header_timeout = \"20s\""),
];
/// The cap in it.
const CAP: usize = 8;

/// Between two looks at something that should happen soon, and how often it is looked at.
const PAUSE: Duration = Duration::from_millis(5);
const MOST_TRIES: usize = 1000;

pub(super) const STEPS: &[Step] = &[
    Step {
        title: "New settings on an open connection",
        why: "The same connection gets the download shown instead: the site is swapped, the sockets stay.",
        scope: NOT_OURS,
        act: Act::Play(takes_effect),
    },
    Step {
        title: "A broken configuration",
        why: "It is refused whole, with the place of the mistake, and the server goes on as it was.",
        scope: NOT_OURS,
        act: Act::Play(broken),
    },
    Step {
        title: "The house is full: an idle guest makes room",
        why: "Over the cap a newcomer takes the place of the connection that has been idle longest.",
        scope: NOT_OURS,
        act: Act::Play(idle_gives_way),
    },
    Step {
        title: "The house is full of busy guests",
        why: "Where none is idle the newcomer is told so at once, instead of waiting in the dark.",
        scope: NOT_OURS,
        act: Act::Play(full_house),
    },
];

fn sample(stage: &mut Stage<'_>, client: &mut Client) -> Result<bool, Halt> {
    let request = stage.request("GET /sample.txt", &[], "");
    stage.send(client, &request);
    let show = ["Content-Type", "Content-Disposition"];
    Ok(stage.receive(client, false, 200, &show)?.field("content-disposition").is_some())
}

fn takes_effect(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let mut client = stage.connect()?;
    check(sample(stage, &mut client)?, "not a download before")?;
    let known = stage.own()?.log().len();
    stage.own()?.reload(&CHANGES)?;
    stage.note("written to the file: download = [], max_connections = 8 · kill -HUP");
    let line = stage.own()?.wait_for_log("configuration reloaded", known)?;
    stage.note(line);
    // The workers are told at the same moment, and take it over when they next wake.
    let shown = stage.lines.len();
    for _ in 0..50 {
        stage.lines.truncate(shown);
        if !sample(stage, &mut client)? {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(Halt::failed("still a download"))
}

fn broken(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let known = stage.own()?.log().len();
    stage.own()?.reload(&[("max_connections = 300", "max_conections = 9")])?;
    stage.note("written to the file: max_conections = 9 · kill -HUP");
    let line = stage.own()?.wait_for_log("not reloaded", known)?;
    stage.note(line);
    // The next reload, of whatever cause, finds a good file again.
    let known = stage.own()?.log().len();
    stage.own()?.reload(&CHANGES)?;
    stage.own()?.wait_for_log("configuration reloaded", known)?;
    let mut client = stage.connect()?;
    check(!sample(stage, &mut client)?, "the settings before it are lost")
}

fn idle_gives_way(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let request = stage.request("GET /healthz", &[], "");
    let mut first = stage.connect()?;
    stage.send(&mut first, &request);
    stage.receive(&mut first, false, 200, &[])?;
    let mut guests = Vec::new();
    // Connections of earlier steps may still be about to leave, so it can take some guests more than the cap.
    while !first.has_news(PAUSE)? {
        check(guests.len() < 4 * CAP, format!("{} guests more, and the first still sits", guests.len()))?;
        let mut guest = stage.connect()?;
        guest.send(request.as_bytes());
        check(guest.response(false)?.status == 200, "a guest within the cap is refused")?;
        guests.push(guest);
    }
    stage.lines.push(Line::Sent(format!("GET /healthz on {} connections more", guests.len())));
    stage.lines.push(Line::Received(200, format!("200 OK · {} times", guests.len())));
    first.ends_silently()?;
    stage.note("the first connection was closed to make room");
    Ok(())
}

fn full_house(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let fields = ["Content-Type: application/json", "Content-Length: 2", "Expect: 100-continue"];
    let upload = stage.request("POST /upload", &fields, "");
    stage
        .lines
        .push(Line::Sent(format!("POST /upload on {CAP} connections, each invited to send its content")));
    let mut guests = Vec::new();
    for _ in 0..MOST_TRIES {
        let mut guest = stage.connect()?;
        guest.send(upload.as_bytes());
        // Busy for certain; one that is refused came before a guest of an earlier step had left.
        if guest.is_invited()? {
            guests.push(guest);
        } else {
            std::thread::sleep(PAUSE);
        }
        if guests.len() == CAP {
            break;
        }
    }
    check(guests.len() == CAP, format!("only {} guests were let in", guests.len()))?;
    let mut newcomer = stage.connect()?;
    let request = stage.request("GET /", &[], "");
    stage.send(&mut newcomer, &request);
    let response = stage.receive(&mut newcomer, false, 503, &["Retry-After", "Connection"])?;
    check(response.member("code") == "too_many_connections", "the code is another")?;
    check(response.field("retry-after").is_some(), "no Retry-After")?;
    newcomer.ends_silently()?;
    drop((guests, newcomer));
    for _ in 0..MOST_TRIES {
        let mut next = stage.connect()?;
        next.send(request.as_bytes());
        if next.response(false)?.status == 200 {
            stage.note("the guests leave, and the next newcomer is served");
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    Err(Halt::failed("still full after all guests have left"))
}
