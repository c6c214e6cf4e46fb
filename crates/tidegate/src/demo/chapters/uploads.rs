//! Uploads: stored and read back, promised, and everything that is refused (SPEC UP).

use crate::demo::stage::Expect::{Closes, Code, Field, Member, NotContinued};
use crate::demo::stage::{Act, Ask, Halt, Scope, Send, Stage, Step, check};

const LEAVES_A_FILE: Scope = Scope::Own("it would leave a file behind");

pub(super) const STEPS: &[Step] = &[
    Step {
        title: "An upload, read back",
        why: "The bytes are kept as they were sent, under a name that nobody can guess or take twice.",
        scope: LEAVES_A_FILE,
        act: Act::Play(read_back),
    },
    Step {
        title: "An upload in chunks",
        why: "A client that does not know the length beforehand sends chunks; they are put together again.",
        scope: LEAVES_A_FILE,
        act: Act::Play(in_chunks),
    },
    Step {
        title: "A 201 is a promise",
        why: "It is sent after fsync of the data and of the folder: a power cut later takes nothing back.",
        scope: LEAVES_A_FILE,
        act: Act::Play(promise),
    },
    Step {
        title: "Broken JSON",
        why: "What is no JSON is refused with line and column, so that it can be mended; nothing is stored.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Raw(
                "POST /upload HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
                 Content-Length: 29\r\n\r\n{\n  \"tide\": \"high\",\n  gate: 1}",
            ),
            status: 400,
            expect: &[Code("invalid_json"), Member("line", "3"), Member("column", "3")],
        }),
    },
    Step {
        title: "The wrong type",
        why: "Only JSON is taken: a page on another site cannot send that type without asking first.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Request("POST /upload", &["Content-Type: text/plain", "Content-Length: 2"], "{}"),
            status: 415,
            expect: &[Code("not_json")],
        }),
    },
    Step {
        title: "Too large",
        why: "Two terabytes are refused by their announcement: no byte of them is invited or read.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Request(
                "POST /upload",
                &["Content-Type: application/json", "Content-Length: 2199023255552", "Expect: 100-continue"],
                "",
            ),
            status: 413,
            expect: &[Code("body_too_large"), NotContinued, Closes],
        }),
    },
    Step {
        title: "No length",
        why: "A body without length or chunks has no end that could be trusted.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Request("POST /upload", &["Content-Type: application/json"], ""),
            status: 411,
            expect: &[Code("length_required")],
        }),
    },
    Step {
        title: "An upload to the wrong place",
        why: "A refusal by method names the methods there are.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Request("GET /upload", &[], ""),
            status: 405,
            expect: &[Field("Allow", "POST, OPTIONS"), Code("method_not_allowed")],
        }),
    },
];

/// Uploads with `fields`, and returns the path that the answer promises.
fn upload(stage: &mut Stage<'_>, fields: &[&str], body: &str) -> Result<String, Halt> {
    let mut client = stage.connect()?;
    let fields = [&["Content-Type: application/json"], fields].concat();
    let request = stage.request("POST /upload", &fields, body);
    stage.send(&mut client, &request);
    let response = stage.receive(&mut client, false, 201, &["Location"])?;
    let path = response.member("filepath");
    check(response.member("status") == "success", "the status is not success")?;
    check(response.field("location") == Some(&path), "Location is not the filepath")?;
    Ok(path)
}

/// The name of a stored upload.
fn stored_name(path: &str) -> Result<&str, Halt> {
    let name = path.strip_prefix("/uploads/").filter(|name| name.starts_with("upload_"));
    name.ok_or_else(|| Halt::failed(format!("{path} is no stored upload")))
}

fn read_back(stage: &mut Stage<'_>) -> Result<(), Halt> {
    const BODY: &str = "{\"tide\": \"high\", \"level\": 1.0e2}";
    let path = upload(stage, &[&format!("Content-Length: {}", BODY.len())], BODY)?;
    let show = ["Content-Type", "Cache-Control"];
    let back = stage.exchange(&format!("GET {path}"), &[], 200, &show)?;
    check(back.text() == BODY, format!("another text came back: {}", back.text()))?;
    stage.note(format!("{} came back as sent", back.text()));
    Ok(())
}

fn in_chunks(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let path =
        upload(stage, &["Transfer-Encoding: chunked"], "7\r\n{\"tide\"\r\n7\r\n:\"low\"}\r\n0\r\n\r\n")?;
    let back = stage.exchange(&format!("GET {path}"), &[], 200, &["Content-Length"])?;
    check(back.text() == "{\"tide\":\"low\"}", format!("another text came back: {}", back.text()))
}

fn promise(stage: &mut Stage<'_>) -> Result<(), Halt> {
    const BODY: &str = "[\"kept\"]";
    let before = stage.own()?.uploads()?.len();
    let path = upload(stage, &[&format!("Content-Length: {}", BODY.len())], BODY)?;
    let own = stage.own()?;
    let kept = own.read(&format!("uploads/{}", stored_name(&path)?))?;
    let names = own.uploads()?;
    check(kept == BODY.as_bytes(), "the file on the disk holds something else")?;
    check(names.len() == before + 1, format!("one upload made {} files", names.len() - before))?;
    let staged = names.iter().find(|name| name.starts_with('.'));
    check(staged.is_none(), format!("a staging file was left: {staged:?}"))?;
    stage.note(format!("on the disk now: {} files, each whole, no staging name left", names.len()));
    Ok(())
}
