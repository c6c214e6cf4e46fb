//! Answers: their bytes, their framing, and the joint rule on keeping a connection.

#![allow(clippy::expect_used, clippy::panic, reason = "what supports a test fails as a test does")]

use http1::{
    Answer, AnswerBody, BodyEvent, Connection, DRAIN_LIMIT, FieldStorage, Framing, Limits, Next, Sent,
    chunk_head, reason,
};

const KEEP: &[u8] = b"Connection: keep-alive\r\nKeep-Alive: timeout=30\r\n";

fn answer(status: u16, body: AnswerBody) -> Answer<'static> {
    Answer { status, fields: &[b"Server: a\r\n"], body, close: false, keep_alive: KEEP }
}

/// A connection that has read `head`.
fn asked(head: &str) -> Connection {
    let mut connection = Connection::new();
    let read = connection
        .read_head(head.as_bytes(), &mut FieldStorage::new(), &Limits::default())
        .map(|head| head.is_some());
    assert_eq!(read, Ok(true), "{head}");
    connection
}

/// What `answer` makes of a request: the bytes after the status line and the server's fields, and the decision.
fn reply(head: &str, answer: &Answer<'_>) -> (String, Sent) {
    let mut out = Vec::new();
    let sent = asked(head).answer(&mut out, answer);
    let text = String::from_utf8(out).expect("ASCII");
    let start = format!("HTTP/1.1 {} {}\r\nServer: a\r\n", answer.status, reason(answer.status));
    (text.strip_prefix(&start).expect("status line and fields").to_owned(), sent)
}

const GET: &str = "GET / HTTP/1.1\r\n\r\n";
const OPEN: &str = "Connection: keep-alive\r\nKeep-Alive: timeout=30\r\n\r\n";
const CLOSE: &str = "Connection: close\r\n\r\n";

#[test]
fn h1_8_every_answer_has_an_exact_length_or_an_end() {
    let head = "HEAD / HTTP/1.1\r\n\r\n";
    let old = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let old_head = "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let chunked = format!("Transfer-Encoding: chunked\r\n{OPEN}");
    let length = |length: u64| format!("Content-Length: {length}\r\n{OPEN}");
    let cases = [
        (GET, 200, AnswerBody::Exact(10), length(10), Framing::Exact(10), true),
        (GET, 200, AnswerBody::Exact(u64::MAX), length(u64::MAX), Framing::Exact(u64::MAX), true),
        (GET, 200, AnswerBody::None, length(0), Framing::Exact(0), true),
        (GET, 200, AnswerBody::Stream, chunked.clone(), Framing::Chunked, true),
        (GET, 204, AnswerBody::None, OPEN.to_owned(), Framing::Nothing, true),
        (GET, 204, AnswerBody::Exact(0), OPEN.to_owned(), Framing::Nothing, true),
        (GET, 304, AnswerBody::None, OPEN.to_owned(), Framing::Nothing, true),
        (head, 200, AnswerBody::Exact(10), length(10), Framing::Nothing, true),
        (head, 200, AnswerBody::Stream, chunked, Framing::Nothing, true),
        (old, 200, AnswerBody::Exact(10), length(10), Framing::Exact(10), true),
        (old, 200, AnswerBody::Stream, CLOSE.to_owned(), Framing::UntilClose, false),
        (old_head, 200, AnswerBody::Stream, CLOSE.to_owned(), Framing::Nothing, false),
    ];
    for (request, status, body, text, framing, persistent) in cases {
        let got = reply(request, &answer(status, body));
        assert_eq!(got, (text, Sent { framing, persistent }), "{request} {status} {body:?}");
    }
}

#[test]
fn h1_3_the_joint_rule_on_keeping_a_connection() {
    let limit = DRAIN_LIMIT;
    let post = |fields: &str| format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
    let cases = [
        (GET.to_owned(), true),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), false),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(), true),
        (post("Connection: close"), false),
        (post(&format!("Content-Length: {limit}")), true),
        (post(&format!("Content-Length: {}", limit + 1)), false),
        (post("Transfer-Encoding: chunked"), true),
        (post("Content-Length: 5\r\nExpect: 100-continue"), false),
        (post("Content-Length: 0\r\nExpect: 100-continue"), true),
        (post("Content-Length: 5\r\nExpect: other"), true),
    ];
    for (request, persistent) in cases {
        let exact = answer(200, AnswerBody::Exact(1));
        assert_eq!(reply(&request, &exact).1.persistent, persistent, "{request}");
        let closing = Answer { close: true, ..exact };
        assert!(!reply(&request, &closing).1.persistent, "the server wants to close: {request}");
    }
}

#[test]
fn h1_6_continue_is_sent_once_and_only_to_who_waits() {
    let mut out = Vec::new();
    let mut waiting = asked("POST / HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    waiting.ask_for_body(&mut out);
    waiting.ask_for_body(&mut out);
    assert_eq!(out, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert!(
        waiting.answer(&mut out, &answer(200, AnswerBody::None)).persistent,
        "asked for, so it will come"
    );
    assert_eq!(waiting.after_answer(), Next::Drain);

    let mut sending = asked("POST / HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(sending.read_body(b"he", &Limits::default()), Ok(BodyEvent::Data { skip: 0, len: 2 }));
    let mut out = Vec::new();
    sending.ask_for_body(&mut out);
    asked(GET).ask_for_body(&mut out);
    asked("POST / HTTP/1.0\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").ask_for_body(&mut out);
    assert!(out.is_empty(), "nobody waits");
    assert!(
        sending.answer(&mut out, &answer(200, AnswerBody::None)).persistent,
        "it sends, so it can be drained"
    );
}

#[test]
fn h1_11_a_body_nobody_read_is_drained_before_the_next_head() {
    let input =
        b"GET / HTTP/1.1\r\nContent-Length: 22\r\n\r\nGET /not HTTP/1.1\r\n\r\n!GET /yes HTTP/1.1\r\n\r\n";
    let limits = Limits::default();
    let mut connection = Connection::new();
    let mut at = connection
        .read_head(input, &mut FieldStorage::new(), &limits)
        .expect("sound")
        .expect("whole")
        .consumed;
    connection.answer(&mut Vec::new(), &answer(404, AnswerBody::None));
    assert!(
        connection.read_head(&input[at..], &mut FieldStorage::new(), &limits).is_err(),
        "a body is no head"
    );
    while connection.after_answer() == Next::Drain {
        at += connection.read_body(&input[at..], &limits).expect("sound").consumed();
    }
    assert_eq!(connection.after_answer(), Next::Head);
    let mut storage = FieldStorage::new();
    let head = connection.read_head(&input[at..], &mut storage, &limits).expect("sound").expect("whole");
    assert_eq!(head.target, b"/yes");
}

/// RFC 9112 §2.2: old clients send a CRLF behind a body, and an empty line may stand before a request line.
#[test]
fn h1_4_behind_a_request_two_empty_lines_are_ignored_and_a_third_is_not() {
    let limits = Limits::default();
    for (between, sound) in [("", true), ("\r\n", true), ("\r\n\r\n", true), ("\r\n\r\n\r\n", false)] {
        let next = format!("{between}GET /next HTTP/1.1\r\n\r\n");
        let mut connection = asked(GET);
        connection.answer(&mut Vec::new(), &answer(404, AnswerBody::None));
        for end in 0..next.len() {
            let bytes = &next.as_bytes()[..end];
            let refused = connection.read_head(bytes, &mut FieldStorage::new(), &limits).is_err();
            let judged = !sound && end > between.len() - 2;
            assert_eq!(refused, judged, "{between:?}, {end} bytes");
            if judged {
                break;
            }
        }
        if sound {
            let mut storage = FieldStorage::new();
            let head =
                connection.read_head(next.as_bytes(), &mut storage, &limits).expect("sound").expect("whole");
            assert_eq!((head.target, head.start), (&b"/next"[..], between.len()));
        }
    }
}

#[test]
fn h1_11_a_chunked_drain_has_an_end() {
    let mut connection = asked("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(connection.answer(&mut Vec::new(), &answer(404, AnswerBody::None)).persistent);
    let chunk = [b"400\r\n".as_slice(), &[b'x'; 1024], b"\r\n"].concat();
    let (mut stream, mut drained) = (chunk.repeat(100), 0);
    while connection.after_answer() == Next::Drain {
        let taken = connection.read_body(&stream, &Limits::default()).expect("sound").consumed();
        assert!(taken > 0, "a drain goes on");
        stream.drain(..taken);
        drained += taken as u64;
    }
    assert_eq!(connection.after_answer(), Next::Close);
    assert!(drained > DRAIN_LIMIT && drained < DRAIN_LIMIT + 2 * 1024, "{drained}");
}

#[test]
fn h1_4_after_an_error_every_answer_closes() {
    for bad in
        ["\u{16}\u{3}\u{1}", "GET / HTTP/1.1\r\nX : y\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
    {
        let mut connection = Connection::new();
        let limits = Limits::default();
        let error =
            connection.read_head(bad.as_bytes(), &mut FieldStorage::new(), &limits).expect_err("refused");
        let mut out = Vec::new();
        let sent = connection.answer(&mut out, &answer(error.status(), AnswerBody::Exact(3)));
        assert_eq!(sent, Sent { framing: Framing::Exact(3), persistent: false });
        assert!(
            out.starts_with(b"HTTP/1.1 400 Bad Request\r\n")
                && out.ends_with(b"\r\nConnection: close\r\n\r\n")
        );
        assert_eq!(connection.after_answer(), Next::Close);
        assert!(connection.read_head(GET.as_bytes(), &mut FieldStorage::new(), &limits).is_err());
        assert!(connection.read_body(b"x", &limits).is_err());
    }
}

#[test]
fn h1_4_an_error_in_a_body_closes() {
    let mut connection = asked("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    let error = connection.read_body(b"5\nhello", &Limits::default()).expect_err("refused");
    assert_eq!((error.status(), error.code(), error.at()), (400, "bad_chunk", 1));
    assert!(!connection.answer(&mut Vec::new(), &answer(400, AnswerBody::None)).persistent);
}

#[test]
fn load_5_a_deadline_may_answer_before_any_head() {
    let mut connection = Connection::new();
    let mut storage = FieldStorage::new();
    assert!(matches!(connection.read_head(b"GET / HT", &mut storage, &Limits::default()), Ok(None)));
    let mut out = Vec::new();
    assert!(!connection.answer(&mut out, &answer(408, AnswerBody::Exact(0))).persistent);
    assert_eq!(connection.after_answer(), Next::Close);
}

#[test]
fn h1_8_chunk_heads_are_hexadecimal_and_never_end_the_payload() {
    let head = |len| {
        let mut out = Vec::new();
        chunk_head(&mut out, len);
        out
    };
    assert_eq!(head(0), b"");
    assert_eq!(head(9), b"9\r\n");
    assert_eq!(head(0x1_0a0f), b"10a0f\r\n");
    assert_eq!(head(usize::MAX), b"ffffffffffffffff\r\n");
}

#[test]
fn load_1_an_idle_connection_is_a_few_words() {
    assert!(size_of::<Connection>() <= 64, "{}", size_of::<Connection>());
}

#[test]
fn sec_4_every_kind_has_one_status_and_a_code_of_its_own() {
    use http1::ErrorKind as Kind;
    let all = [
        (Kind::BadRequestLine, 400, "bad_request_line"),
        (Kind::TargetTooLong, 414, "target_too_long"),
        (Kind::HttpVersion, 505, "http_version"),
        (Kind::BadHead, 400, "bad_head"),
        (Kind::HeadTooLarge, 431, "head_too_large"),
        (Kind::TooManyFields, 431, "too_many_fields"),
        (Kind::BadFraming, 400, "bad_framing"),
        (Kind::UnknownCoding, 501, "unknown_coding"),
        (Kind::BadChunk, 400, "bad_chunk"),
    ];
    for (kind, status, code) in all {
        assert_eq!((kind.status(), kind.code()), (status, code));
        assert!(!reason(status).is_empty(), "{status} has a reason phrase");
    }
}
