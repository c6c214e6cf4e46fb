//! Strict HTTP: ambiguous framing, foreign names, ways out of the folder, other protocols (SPEC H1, HOST, FILE-4).

use crate::demo::stage::Expect::{Begins, Closes, Code};
use crate::demo::stage::{Act, Ask, Halt, Line, Scope, Send, Stage, Step, check};

pub(super) const STEPS: &[Step] = &[
    Step {
        title: "Two lengths",
        why: "With two lengths, a proxy and a server may cut the message in different places; here it ends.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Raw(
                "POST /upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            ),
            status: 400,
            expect: &[Code("bad_framing"), Closes],
        }),
    },
    Step {
        title: "A smuggled second request",
        why: "Length and chunks together are how a request hides inside another: one refusal, then silence.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Raw(
                "POST /upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n\
                 0\r\n\r\nGET /hidden HTTP/1.1\r\nHost: {host}\r\n\r\n",
            ),
            status: 400,
            expect: &[Code("bad_framing"), Closes],
        }),
    },
    Step {
        title: "A coding that only looks like chunked",
        why: "A coding that is not exactly `chunked` gives no length to trust; an unknown one is 501.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Raw(
                "POST /upload HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            ),
            status: 501,
            expect: &[Code("unknown_coding"), Closes],
        }),
    },
    Step {
        title: "A bare line feed",
        why: "Many servers take LF for CRLF, and then disagree with their proxy on where a field ends.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Raw("GET / HTTP/1.1\nHost: {host}\n\n"),
            status: 400,
            expect: &[Closes],
        }),
    },
    Step {
        title: "A folded field",
        why: "Continuation lines (obs-fold) were given up by the RFC because they hide fields from filters.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Raw("GET / HTTP/1.1\r\nHost: {host}\r\nX-Note: one\r\n two\r\n\r\n"),
            status: 400,
            expect: &[Code("bad_head"), Closes],
        }),
    },
    Step {
        title: "A blank before the colon",
        why: "`Content-Length : 5` is another field to one parser and a length to the next.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Raw("GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length : 5\r\n\r\n"),
            status: 400,
            expect: &[Code("bad_head"), Closes],
        }),
    },
    Step {
        title: "A name that is not ours",
        why: "A page elsewhere can point its own name at this address (DNS rebinding); the Host gives it away.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Raw("GET / HTTP/1.1\r\nHost: elsewhere.invalid\r\n\r\n"),
            status: 403,
            expect: &[Code("host_not_allowed")],
        }),
    },
    Step {
        title: "No name at all",
        why: "HTTP/1.1 demands exactly one Host.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Raw("GET / HTTP/1.1\r\n\r\n"),
            status: 400,
            expect: &[Code("host_missing")],
        }),
    },
    Step {
        title: "Ways out of the folder",
        why: "Every spelling of `..` is refused before the disk is asked; the kernel holds the root besides.",
        scope: Scope::Any,
        act: Act::Play(traversal),
    },
    Step {
        title: "A byte of zero in the path",
        why: "NUL ends a name in C and not in HTTP, so a path that holds it means two things.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Request("GET /sample%00.txt", &[], ""),
            status: 400,
            expect: &[Code("bad_target")],
        }),
    },
    Step {
        title: "A version that does not exist",
        why: "A version that is not spoken here is said to be so: 505.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Raw("GET / HTTP/9.9\r\nHost: {host}\r\n\r\n"),
            status: 505,
            expect: &[Code("http_version"), Closes],
        }),
    },
    Step {
        title: "A method that is not served",
        why: "TRACE would echo secrets; what is not served is 405, with the methods that are.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Request("TRACE /", &[], ""),
            status: 405,
            expect: &[Code("method_not_allowed"), Begins("Allow", "GET, HEAD, OPTIONS"), Closes],
        }),
    },
    Step {
        title: "A TLS hello on the plain port",
        why: "A first byte that no method begins with is answered at once, not when a timeout has passed.",
        scope: Scope::Any,
        act: Act::Ask(Ask {
            send: Send::Raw("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{7c}\u{3}\u{3}"),
            status: 400,
            expect: &[Code("bad_request_line"), Closes],
        }),
    },
    Step {
        title: "A head without end",
        why: "A head over 8 KiB is refused while it arrives: no client makes the server remember more.",
        scope: Scope::Own("its limits may be others"),
        act: Act::Play(endless_head),
    },
];

fn traversal(stage: &mut Stage<'_>) -> Result<(), Halt> {
    const SPELLINGS: [&str; 6] = [
        "/../etc/passwd",
        "/%2e%2e/etc/passwd",
        "/a/%2E./%2e./etc/passwd",
        "/..%2fetc%2fpasswd",
        "/..%5c..%5cetc%5cpasswd",
        "//etc/passwd",
    ];
    for target in SPELLINGS {
        let line = format!("GET {target}");
        let mut client = stage.connect()?;
        let request = stage.request(&line, &[], "");
        client.send(request.as_bytes());
        let response = client.response(false)?;
        let code = response.member("code");
        stage.lines.push(Line::Sent(line));
        stage.lines.push(Line::Received(response.status, format!("{} · {code}", response.status)));
        check(
            response.status == 403 && code == "traversal",
            format!("{target} is not refused as a traversal"),
        )?;
    }
    Ok(())
}

fn endless_head(stage: &mut Stage<'_>) -> Result<(), Halt> {
    let mut client = stage.connect()?;
    let filler = format!("X-Filler: {}", "x".repeat(10_000));
    let request = stage.request("GET /", &[&filler], "");
    client.send(request.as_bytes());
    stage.lines.push(Line::Sent("GET / HTTP/1.1".into()));
    stage.lines.push(Line::SentMore("X-Filler: xxxxxxxx… (10,000 bytes)".into()));
    let response = stage.receive(&mut client, false, 431, &["Connection"])?;
    check(response.member("code") == "head_too_large", "the code is not head_too_large")?;
    client.ends_silently()
}
