//! What is JSON and what is not (SPEC UP-2), by a corpus in the manner of JSONTestSuite: its `y_` cases are
//! kept byte for byte, its `n_` cases are refused with the place of the fault, its `i_` cases go as SPEC says.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod support;

use support::{Client, Server};

/// Must be taken.
const YES: &[&[u8]] = &[
    b"[]",
    b"{}",
    b"null",
    b"true",
    b"false",
    b"0",
    b"-0",
    b"\"\"",
    b"[[]   ]",
    b"[\"\"]",
    b" [1]",
    b"[1]\r\n\t ",
    b"[1\n]",
    b"[1,null,null,null,2]",
    b"[123e65]",
    b"[0e+1]",
    b"[0e1]",
    b"[ 4]",
    b"[-0.000000000000000000000000000000000000000000000000000000000000000000000000000001]",
    b"[20e1]",
    b"[-123]",
    b"[1E22]",
    b"[1E-2]",
    b"[1E+2]",
    b"[123.456e78]",
    b"[1e999999999]",
    b"[-1e-999999999]",
    b"[123456789012345678901234567890123456789012345678901234567890]",
    b"{\"asd\":\"sdf\", \"dfg\":\"fgh\"}",
    b"{\"a\":\"b\",\"a\":\"c\"}",
    b"{\"a\":\"b\",\"a\":\"b\"}",
    b"{\"\":0}",
    b"{\"foo\\u0000bar\": 42}",
    b"{\"min\": -1.0e+28, \"max\": 1.0e+28}",
    b"{\n\"a\": \"b\"\n}",
    b"[\"\\u0060\\u012a\\u12AB\"]",
    b"[\"\\uD801\\udc37\"]",
    b"[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]",
    b"[\"\\\\u0000\"]",
    b"[\"a/*b*/c/*d//e\"]",
    b"[\"new\\u000Aline\"]",
    b"[\"\x7f\"]",
    b"[\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"]",
    b"[\"\xe2\x80\xa8\xe2\x80\xa9\xef\xbb\xbf\"]",
    b"[\"\\uFFFE\\uDBFF\\uDFFE\"]",
    // Lone and inverted surrogates, escaped.
    b"[\"\\ud800\"]",
    b"[\"\\udc00\"]",
    b"[\"\\uDd1ea\"]",
    b"[\"\\uD800\\uD800\\n\"]",
    b"[\"\\udc00\\ud800x\"]",
    b"{\"\\uDFAA\":0}",
];

/// Must be refused.
const NO: &[&[u8]] = &[
    b"",
    b" ",
    b"\n",
    b"[",
    b"]",
    b"[1",
    b"[1,",
    b"[1,]",
    b"[1,,2]",
    b"[,1]",
    b"[,]",
    b"[\"x\",,]",
    b"[\"x\"]]",
    b"[1]x",
    b"[1] [2]",
    b"1]",
    b"[3[4]]",
    b"[1:2]",
    b"[1 true]",
    b"[\"a\" \"b\"]",
    b"[a]",
    b"[*]",
    b"[-]",
    b"[-a]",
    b"[+1]",
    b"[++1]",
    b"[.5]",
    b"[-.5]",
    b"[1.]",
    b"[1.e1]",
    b"[0.]",
    b"[1e]",
    b"[1e+]",
    b"[1eE2]",
    b"[0e+-1]",
    b"[1+2]",
    b"[0x1]",
    b"[01]",
    b"[-01]",
    b"[-012]",
    b"[1_000]",
    b"[1 000]",
    b"[NaN]",
    b"[nan]",
    b"[Infinity]",
    b"[-Infinity]",
    b"[Inf]",
    b"[nul]",
    b"[tru]",
    b"[True]",
    b"[fals]",
    b"nulll",
    b"[undefined]",
    b"\"",
    b"\"a",
    b"\"a\\",
    b"[\"a",
    b"['a']",
    b"'a'",
    b"abc",
    b"[\"\\x00\"]",
    b"[\"\\a\"]",
    b"[\"\\'\"]",
    b"[\"\\ \"]",
    b"[\"\\\t\"]",
    b"[\"\\\xc3\xa9\"]",
    b"[\"\\u\"]",
    b"[\"\\u00A\"]",
    b"[\"\\u00g0\"]",
    b"[\"\\U0041\"]",
    b"[\"\\uD834\\uDd\"]",
    b"[\"\\uD800\\\"]",
    b"[\"a\x00a\"]",
    b"[\"\x1f\"]",
    b"[\"\t\"]",
    b"[\"new\nline\"]",
    b"[\x0c]",
    b"[\x0b]",
    b"[\x00]",
    b"[1]\x00",
    b"\x00[1]",
    b"[\xc2\xa0]",
    b"[\xe2\x81\xa0]",
    b"{",
    b"}",
    b"{\"a\"",
    b"{\"a\":",
    b"{\"a\":1",
    b"{\"a\":1,",
    b"{\"a\":1,}",
    b"{,}",
    b"{\"a\"}",
    b"{\"a\",1}",
    b"{\"a\"::1}",
    b"{\"a\":1,,\"b\":2}",
    b"{\"a\" 1}",
    b"{\"a\":1 2}",
    b"{\"a\":\"b\"\"c\":1}",
    b"{a:1}",
    b"{'a':1}",
    b"{1:1}",
    b"{null:1}",
    b"{[]:1}",
    b"{\"a\":1}#",
    b"{\"a\":1}//",
    b"{\"a\":/*c*/1}",
    b"/**/{}",
    b"{}}",
    b"{}{}",
    b"[}",
    b"{]",
    b"[{]}",
    b"<null>",
    b"<.>",
    // A byte order mark, UTF-16, and what is not UTF-8.
    b"\xef\xbb\xbf{}",
    b"\xef\xbb\xbf",
    b"\xef\xbb",
    b"\xfe\xff\x00[\x00]",
    b"[\x00]\x00",
    b"[\"\xff\"]",
    b"[\"\x81\"]",
    b"[\"\xc0\xaf\"]",
    b"[\"\xe0\x80\xaf\"]",
    b"[\"\xed\xa0\x80\"]",
    b"[\"\xf4\x90\x80\x80\"]",
    b"[\"\xf8\x88\x80\x80\x80\"]",
    b"[\"\xe6\x97\"]",
    b"[\xff]",
    b"\xff",
    b"{}\xe9",
];

fn upload(client: &mut Client, body: &[u8]) -> support::Response {
    let head = format!(
        "POST /upload HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
        body.len()
    );
    client.send_request(&head, body);
    client.response()
}

#[test]
fn row_i1_up_2_what_is_json_is_kept_byte_for_byte() {
    let server = Server::start(&["--max-requests", "0"]);
    let mut client = server.connect();
    for body in YES {
        let response = upload(&mut client, body);
        let shown = String::from_utf8_lossy(body);
        assert_eq!(response.status, 201, "{shown}: {}", response.text());
        let name = response.field("location").unwrap().strip_prefix("/uploads/").unwrap().to_owned();
        assert_eq!(std::fs::read(server.uploads().join(name)).unwrap(), *body, "{shown}");
    }
}

#[test]
fn row_i1_up_2_what_is_not_json_is_refused_with_a_place_and_nothing_is_kept() {
    let server = Server::start(&["--max-requests", "0"]);
    let mut client = server.connect();
    for body in NO {
        let response = upload(&mut client, body);
        let shown = String::from_utf8_lossy(body);
        assert_eq!((response.status, response.code().as_str()), (400, "invalid_json"), "{shown:?}");
        let problem = response.json();
        let (line, column) = (problem["line"].as_u64().unwrap(), problem["column"].as_u64().unwrap());
        let lines: Vec<_> = body.split(|byte| *byte == b'\n').collect();
        let place = usize::try_from(line).ok().and_then(|line| lines.get(line.wrapping_sub(1)));
        let length = place.unwrap_or_else(|| panic!("{shown:?}: no line {line}")).len() as u64;
        assert!((1..=length + 1).contains(&column), "{shown:?}: line {line}, column {column}");
        assert!(!response.closes(), "the message itself is sound: {shown:?}");
    }
    assert_eq!(std::fs::read_dir(server.uploads()).unwrap().count(), 0);
}

#[test]
fn row_i1_up_2_the_place_of_the_fault_is_told() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    for (body, line, column) in [
        (b"{\n  \"a\": 1,\n  oops\n}".as_slice(), 3, 3),
        (b"[1,\n 2,\n 3x]", 3, 3),
        (b"nope", 1, 2),
        (b"\xef\xbb\xbf[]", 1, 1),
        (b"[\n\"ab\xff\"]", 2, 4),
        (b"{\"a\":1} {", 1, 9),
        (b"[01]", 1, 3),
    ] {
        let problem = upload(&mut client, body).json();
        let place = (problem["line"].as_u64(), problem["column"].as_u64());
        assert_eq!(place, (Some(line), Some(column)), "{:?}: {problem}", String::from_utf8_lossy(body));
    }
    let problem = upload(&mut client, b"[\"ab\ncd\"]").json();
    assert_eq!(problem["line"].as_u64(), Some(1), "a raw line end in a string is a fault of its line");
}

#[test]
fn row_i1_up_2_depth_128_is_taken_and_129_is_not() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let arrays = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!("{}0{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    for (depth, status) in [(127, 201), (128, 201), (129, 400), (5_000, 400), (100_000, 400)] {
        for body in [arrays(depth), objects(depth)] {
            let response = upload(&mut client, body.as_bytes());
            assert_eq!(response.status, status, "depth {depth}: {}", response.text());
        }
    }
    let problem = upload(&mut client, arrays(129).as_bytes()).json();
    assert_eq!((problem["line"].as_u64(), problem["column"].as_u64()), (Some(1), Some(129)));
    let siblings = format!("[{}]", ["[[]]"; 1000].join(","));
    assert_eq!(upload(&mut client, siblings.as_bytes()).status, 201, "siblings are not depth");
    let brackets = format!("\"{}\\\"{}\"", "[".repeat(300), "{".repeat(300));
    assert_eq!(upload(&mut client, brackets.as_bytes()).status, 201, "brackets in strings are text");
}

#[test]
fn row_i1_up_2_large_documents_are_judged_whole() {
    let server = Server::start(&[]);
    let mut client = server.connect();
    let digits = format!("[{}.{}e-{}]", "9".repeat(400_000), "7".repeat(400_000), "1".repeat(100_000));
    assert_eq!(upload(&mut client, digits.as_bytes()).status, 201, "numbers of any size");
    let keys: Vec<_> = (0..60_000).map(|number| format!("\"k{}\":{number}", number % 7)).collect();
    assert_eq!(upload(&mut client, format!("{{{}}}", keys.join(",")).as_bytes()).status, 201);
    let late = format!("[{}]", "1,".repeat(300_000)).into_bytes();
    let response = upload(&mut client, &late);
    assert_eq!((response.status, response.json()["column"].as_u64()), (400, Some(600_002)));
}
