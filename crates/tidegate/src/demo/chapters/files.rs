//! Files: index, types, download, redirect, conditional requests, codings, ranges, HEAD, large files, listing, 404
//! (SPEC FILE).

use std::time::{Duration, Instant};

use crate::demo::client::Response;
use crate::demo::stage::Expect::{Begins, Body, Code, Field, Lacks, Length};
use crate::demo::stage::{Act, Ask, Halt, Scope, Send, Stage, Step, check};

/// How long the tour waits before it asks again for a coding that is being made.
const RETRY: Duration = Duration::from_millis(20);

pub(super) const STEPS: &[Step] = &[
    Step {
        title: "The front page",
        why: "A folder answers with its index.html, and a page says that it is UTF-8.",
        scope: Scope::Site,
        act: Act::Ask(Ask {
            send: Send::Request("GET /", &[], ""),
            status: 200,
            expect: &[
                Field("Content-Type", "text/html; charset=utf-8"),
                Begins("Keep-Alive", "timeout="),
                Lacks("Content-Disposition"),
                Body("<h1>Multi-threaded HTTP Server Running</h1>"),
            ],
        }),
    },
    Step {
        title: "A type by its name",
        why: "What has a known type is shown as that type, and nosniff keeps browsers from guessing another.",
        scope: Scope::Site,
        act: Act::Ask(Ask {
            send: Send::Request("GET /sample.json", &[], ""),
            status: 200,
            expect: &[
                Field("Content-Type", "application/json"),
                Field("X-Content-Type-Options", "nosniff"),
                Lacks("Content-Disposition"),
            ],
        }),
    },
    Step {
        title: "A download",
        why: "Texts and pictures come as attachments by default, so nothing uploaded or forged runs as a page.",
        scope: Scope::Site,
        act: Act::Ask(Ask {
            send: Send::Request("GET /logo.png", &[], ""),
            status: 200,
            expect: &[
                Field("Content-Type", "application/octet-stream"),
                Begins("Content-Disposition", "attachment; filename=\"logo.png\""),
            ],
        }),
    },
    Step {
        title: "A folder without its slash",
        why: "The redirect makes relative links work; it is built from the normalised path, never echoed.",
        scope: Scope::Own("it takes a folder whose name is known"),
        act: Act::Ask(Ask {
            send: Send::Request("GET /tides", &[], ""),
            status: 308,
            expect: &[Field("Location", "/tides/")],
        }),
    },
    Step {
        title: "Not modified",
        why: "A client that has the file already is told so in a few bytes: 304 has no content.",
        scope: Scope::Site,
        act: Act::Play(not_modified),
    },
    Step {
        title: "A precondition that fails",
        why: "If-Match names a version that is not there, so the answer is 412 instead of another file.",
        scope: Scope::Site,
        act: Act::Ask(Ask {
            send: Send::Request("GET /", &["If-Match: \"another\""], ""),
            status: 412,
            expect: &[Code("precondition_failed")],
        }),
    },
    Step {
        title: "Smaller for who can read it",
        why: "Each coding is made once, by a thread with nothing else to do; until then a file comes as it is.",
        scope: Scope::Site,
        act: Act::Play(coded),
    },
    Step {
        title: "The first ten bytes",
        why: "Ranges let an interrupted download go on where it stopped.",
        scope: Scope::Site,
        act: Act::Ask(Ask {
            send: Send::Request("GET /sample.txt", &["Range: bytes=0-9"], ""),
            status: 206,
            expect: &[Begins("Content-Range", "bytes 0-9/"), Length(10)],
        }),
    },
    Step {
        title: "Two parts at once",
        why: "Each part says where it belongs, and however they overlap no byte is sent twice.",
        scope: Scope::Site,
        act: Act::Ask(Ask {
            send: Send::Request("GET /sample.txt", &["Range: bytes=0-3, 2-4, -5"], ""),
            status: 206,
            expect: &[
                Begins("Content-Type", "multipart/byteranges; boundary="),
                Body("Content-Range: bytes 0-4/"),
            ],
        }),
    },
    Step {
        title: "A range beyond the end",
        why: "416 says how long the file is, so that the client can ask again.",
        scope: Scope::Site,
        act: Act::Ask(Ask {
            send: Send::Request("GET /sample.txt", &["Range: bytes=999999999-"], ""),
            status: 416,
            expect: &[Begins("Content-Range", "bytes */"), Code("range_not_satisfiable")],
        }),
    },
    Step {
        title: "HEAD",
        why: "HEAD says of a file all that GET says, and sends none of it.",
        scope: Scope::Site,
        act: Act::Play(head),
    },
    Step {
        title: "More than a megabyte, exact to the byte",
        why: "Large files go from page cache to socket by sendfile: memory does not grow with their size.",
        scope: Scope::Site,
        act: Act::Play(large),
    },
    Step {
        title: "What a folder holds",
        why: "With --listing a folder without an index is a page, or JSON for programs; without, it is a 404.",
        scope: Scope::Own("it takes a server with --listing"),
        act: Act::Play(listing),
    },
    Step {
        title: "Nothing there",
        why: "A 404 is a small problem document with a stable code, and says nothing of the disk.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Request("GET /no-such-page-4711", &[], ""),
            status: 404,
            expect: &[
                Field("Content-Type", "application/problem+json"),
                Field("Cache-Control", "no-store"),
                Code("not_found"),
            ],
        }),
    },
];

fn not_modified(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let first = stage.exchange("GET /", &[], 200, &["ETag", "Last-Modified"])?;
    let tag = first.field("etag").ok_or_else(|| Halt::failed("no ETag"))?.to_owned();
    let again = stage.exchange("GET /", &[&format!("If-None-Match: {tag}")], 304, &["ETag"])?;
    check(again.field("etag") == Some(&tag), "the 304 names another ETag")?;
    let date = first.field("last-modified").ok_or_else(|| Halt::failed("no Last-Modified"))?;
    stage.exchange("GET /", &[&format!("If-Modified-Since: {date}")], 304, &[])?;
    Ok(())
}

fn coded(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let plain = stage.exchange("GET /about.html", &[], 200, &["Content-Length", "ETag", "Vary"])?;
    check(plain.field("vary") == Some("Accept-Encoding"), "no Vary: Accept-Encoding")?;
    check(plain.field("content-encoding").is_none(), "a coding that nobody asked for")?;
    wait_for_coding(stage)?;
    let asked = ["Accept-Encoding: gzip;q=0.5, br"];
    let show = ["Content-Encoding", "Content-Length", "ETag"];
    let coded = stage.exchange("GET /about.html", &asked, 200, &show)?;
    check(coded.field("content-encoding") == Some("br"), "it did not come in the coding that weighs most")?;
    check(coded.field("etag") != plain.field("etag"), "two codings share one ETag")?;
    let (from, to) = (plain.body.len(), coded.body.len());
    check(to < from, format!("{to} bytes for {from}"))?;
    stage.note(format!("{to} bytes instead of {from}"));
    Ok(())
}

/// Asks until the answer is in a coding; whoever asks first gets the file as it is.
fn wait_for_coding(stage: &Stage<'_>) -> Result<(), Halt> {
    let request = stage.request("GET /about.html", &["Accept-Encoding: br", "Connection: close"], "");
    let begun = Instant::now();
    loop {
        let mut client = stage.connect()?;
        client.send(request.as_bytes());
        if client.response(false)?.field("content-encoding").is_some() {
            return Ok(());
        }
        let in_time = begun.elapsed() < stage.target.patience && !stage.target.stop.is_asked();
        check(in_time, "no coding was made")?;
        std::thread::sleep(RETRY);
    }
}

fn listing(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let holds = |response: &Response, text: &str| {
        check(response.text().contains(text), format!("the listing lacks {text}"))
    };
    let page = stage.exchange("GET /harbour/", &["Accept: text/html"], 200, &["Content-Type"])?;
    check(page.field("content-type") == Some("text/html; charset=utf-8"), "it is no page")?;
    holds(&page, "<a href=\"./chart.txt\">")?;
    // Links that sort, so that no script is needed.
    holds(&page, "<a href=\"./?sort=size&amp;order=asc\">")?;
    let fields = ["Accept: application/json"];
    let json = stage.exchange("GET /harbour/?sort=size&order=desc", &fields, 200, &["Content-Type"])?;
    let listed: serde_json::Value = serde_json::from_slice(&json.body).unwrap_or_default();
    let names: Vec<_> =
        listed["entries"].as_array().into_iter().flatten().map(|entry| &entry["name"]).collect();
    check(names == ["chart.txt", "boats.txt"], format!("listed are {names:?}"))
}

fn head(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let mut client = stage.connect()?;
    let request = stage.request("HEAD /", &[], "");
    stage.send(&mut client, &request);
    let seen = stage.receive(&mut client, true, 200, &["Content-Type", "Content-Length"])?;
    // On the same connection: a content after HEAD would be taken for the next answer.
    let request = stage.request("GET /", &[], "");
    stage.send(&mut client, &request);
    let got = stage.receive(&mut client, false, 200, &["Content-Type", "Content-Length"])?;
    for name in ["Content-Type", "Content-Length", "ETag", "Last-Modified"] {
        check(seen.field(name) == got.field(name), format!("HEAD and GET differ in {name}"))?;
    }
    Ok(())
}

fn large(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let response = stage.exchange("GET /banner.png", &[], 200, &["Content-Length"])?;
    let size = response.body.len();
    check(size > 1_000_000, format!("only {size} bytes"))?;
    if let Some(own) = stage.own.as_deref() {
        check(own.read("site/banner.png")? == response.body, "the bytes differ from those on the disk")?;
        stage.note(format!("{size} bytes received, each as it is on the disk"));
    } else {
        stage.note(format!("{size} bytes received"));
    }
    Ok(())
}
