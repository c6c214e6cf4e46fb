//! Rows F3 and F4: header blocks that do not end, that unpack to more than they weigh, and tables that change all the time.
//! No more than a head is ever held, the client is refused or cut, and a good one beside it is answered.
//!
//! Controls: a head in several CONTINUATION frames, one just below the bounds and a table that is used are served.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod h2raw;
mod support;
mod visitors;

use std::time::{Duration, Instant};

use h2raw::beside::Beside;
use h2raw::frame::{
    CONTINUATION, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADER_TABLE_SIZE, HEADERS, PROTOCOL_ERROR,
    frame, headers, ping, settings,
};
use h2raw::{Answer, H2, hpack, pseudo};
use support::{Server, Setup, eventually, rest};
use visitors::metric;

/// Bytes of a header block that may arrive before the connection ends (ATTACKS F3).
const BLOCK: usize = 128 * 1024;

/// By how much the server's memory may grow (ATTACKS F4), in KiB.
const GROWTH_KIB: u64 = 1024;

fn server(args: &[&str]) -> Server {
    Setup::new().file("index.html", "home").args(&["--access-log", "off"]).args(args).start()
}

/// The block of a GET.
fn get(client: &H2) -> Vec<u8> {
    hpack::block(&pseudo("GET", "http", &client.authority, "/"))
}

/// Begins a header block and goes on with CONTINUATION frames of `piece` until the server ends the connection; returns how
/// many it took. Each is read, and there is time to say what comes of it.
fn endless(server: &Server, piece: &[u8]) -> usize {
    let mut client = H2::connect(server);
    assert!(client.is_alive());
    let block = get(&client);
    client.send(frame(HEADERS, END_STREAM, 1, &block));
    for number in 0..200 {
        client.send(frame(CONTINUATION, 0, 1, piece));
        rest::read(server.addr.port());
        std::thread::sleep(Duration::from_millis(30));
        client.take_in();
        if client.inbox.goaway.is_some() {
            assert_eq!(client.ending().map(|goaway| goaway.code), Some(ENHANCE_YOUR_CALM));
            return number + 1;
        }
    }
    panic!("200 CONTINUATION frames of {} bytes were taken", piece.len());
}

/// CVE-2024-27316.
#[test]
fn row_f3_h2_1_a_header_block_without_end_is_cut() {
    // It is the bytes that end it, however slowly they come.
    let server = server(&["--header-timeout", "60s"]);
    let beside = Beside::start(&server);
    for size in [0, 1, 100, 16_384] {
        let count = endless(&server, &vec![0; size]);
        assert!(count * size <= BLOCK && count <= 20, "{count} of {size} bytes");
    }
    let filler = hpack::block(&[("x-filler", &"x".repeat(16_000))]);
    let count = endless(&server, &filler);
    assert!(count * filler.len() <= BLOCK, "{count} of {}", filler.len());
    let seen = beside.end();
    assert!(seen.grown_kib < GROWTH_KIB, "{seen:?}");
    eventually("it is recorded", || metric(&server, "tidegate_events_total{kind=\"rate\"}") >= 5.0);
}

#[test]
fn row_f3_load_5_a_header_block_that_stands_still_is_cut() {
    let server = server(&["--header-timeout", "3s"]);
    let mut client = H2::connect(&server);
    assert_eq!(client.get("/").text(), "home");
    let begun = Instant::now();
    client.send(frame(HEADERS, END_STREAM, 3, &get(&client)[..5]));
    assert!(client.ending().is_some());
    assert!(begun.elapsed() >= Duration::from_millis(2_900), "{:?}", begun.elapsed());
    let recorded = || metric(&server, "tidegate_refusals_total{code=\"slow_head\"}");
    eventually("it is recorded", || recorded() == 1.0);
}

/// Nothing may stand between the frames of a block (RFC 9113 §4.3, §6.10).
#[test]
fn row_f3_h2_1_a_header_block_is_not_interrupted() {
    let server = server(&[]);
    for between in [ping(*b"between!"), headers(3, &[0x82], true), settings(&[]), frame(0x42, 0, 0, b"")] {
        let mut client = H2::connect(&server);
        let block = get(&client);
        client.send([frame(HEADERS, END_STREAM, 1, &block[..5]), between].concat());
        assert_eq!(client.ending().map(|goaway| goaway.code), Some(PROTOCOL_ERROR));
    }
    let mut client = H2::connect(&server);
    client.send(frame(CONTINUATION, END_HEADERS, 1, b""));
    assert_eq!(client.ending().map(|goaway| goaway.code), Some(PROTOCOL_ERROR), "without a beginning");
}

/// Control of F3: a head may be cut anywhere, and into several frames.
#[test]
fn row_f3_h2_1_a_head_in_several_frames_is_served() {
    let server = server(&[]);
    let mut client = H2::connect(&server);
    let block = get(&client);
    for cut in 0..=block.len() {
        let stream = client.new_stream();
        client.inbox.expect(stream, false);
        client.send(frame(HEADERS, END_STREAM, stream, &block[..cut]));
        client.send(frame(CONTINUATION, END_HEADERS, stream, &block[cut..]));
        assert_eq!(client.response(stream).text(), "home", "cut after {cut}");
    }
    let stream = client.new_stream();
    client.inbox.expect(stream, false);
    client.send(frame(HEADERS, END_STREAM, stream, b""));
    for piece in block.chunks(block.len().div_ceil(3)) {
        client.send(frame(CONTINUATION, 0, stream, piece));
    }
    client.send(frame(CONTINUATION, END_HEADERS, stream, b""));
    assert_eq!(client.response(stream).text(), "home", "three pieces between nothing and nothing");
}

/// Sends `block` on streams of one connection until it ends, at most `times`; each answer is 431.
fn bomb(server: &Server, times: usize, block: impl Fn(&H2, usize) -> Vec<u8>) {
    let mut client = H2::connect(server);
    for number in 0..times {
        let bytes = block(&client, number);
        let stream = client.new_stream();
        client.inbox.expect(stream, false);
        client.send(headers(stream, &bytes, true));
        match client.answer(stream) {
            Answer::Response(response) => assert_eq!(response.status, 431),
            Answer::Ended(Some(_)) => return,
            other => panic!("{number}: {other:?}"),
        }
    }
    assert_eq!(client.get("/").text(), "home");
}

/// CVE-2016-6581: an entry of the table is named by one byte, as often as the block has room.
#[test]
fn row_f4_h2_1_a_bomb_of_indexed_fields_is_not_unpacked() {
    let server = server(&[]);
    let beside = Beside::start(&server);
    for size in [10, 1000, 3900] {
        let entry = "x".repeat(size);
        bomb(&server, 50, |client, _| {
            [get(client), hpack::kept("x-bomb", &entry), hpack::indexed(62).repeat(16_000)].concat()
        });
    }
    let seen = beside.end();
    assert!(seen.grown_kib < GROWTH_KIB, "{seen:?}");
}

/// CVE-2026-47774: a cookie may come in crumbs (RFC 9113 §8.2.3), of which each counts.
#[test]
fn row_f4_h1_5_cookies_in_thousands_of_crumbs_are_refused() {
    let server = server(&[]);
    let beside = Beside::start(&server);
    let crumbs = |client: &H2, count: usize| {
        let cookies = hpack::kept("cookie", "a=1").into_iter().chain(hpack::indexed(62).repeat(count - 1));
        get(client).into_iter().chain(cookies).collect::<Vec<u8>>()
    };
    for count in [101, 800, 4000, 16_000] {
        bomb(&server, 20, |client, _| crumbs(client, count));
    }
    let literal = hpack::block(&[("cookie", "a=1")]);
    bomb(&server, 20, |client, _| [get(client), literal.repeat(3000)].concat());
    let seen = beside.end();
    assert!(seen.grown_kib < GROWTH_KIB, "{seen:?}");
    let mut client = H2::connect(&server);
    let few = crumbs(&client, 90);
    client.inbox.expect(1, false);
    client.send(headers(1, &few, true));
    assert_eq!(client.response(1).text(), "home", "control: a cookie in 90 crumbs");
}

/// Sizes of the dynamic table that change thousands of times in one block, and in each (RFC 7541 §4.2, §6.3).
#[test]
fn row_f4_h2_1_a_storm_of_table_sizes_costs_nothing() {
    let server = server(&[]);
    let beside = Beside::start(&server);
    let storm = [hpack::table_size(0), hpack::table_size(4096)].concat();
    for times in [1, 100, 3000] {
        let mut client = H2::connect(&server);
        for _ in 0..50 {
            let stream = client.new_stream();
            client.inbox.expect(stream, false);
            let block = [storm.repeat(times), get(&client), hpack::kept("x-kept", "1")].concat();
            client.send(headers(stream, &block, true));
            match client.answer(stream) {
                Answer::Response(response) => assert_eq!(response.status, 200),
                Answer::Ended(Some(_)) if times > 1 => break,
                other => panic!("{times}: {other:?}"),
            }
        }
    }
    // More than the server ever offered is an error of the connection.
    let mut client = H2::connect(&server);
    let block = [hpack::table_size(1 << 20), get(&client)].concat();
    client.inbox.expect(1, false);
    client.send(headers(1, &block, true));
    assert!(matches!(client.answer(1), Answer::Ended(Some(_))));
    let seen = beside.end();
    assert!(seen.grown_kib < GROWTH_KIB, "{seen:?}");
}

/// The table of our own encoder may be as large as the client allows (RFC 9113 §6.5.2), and it says in the blocks when it
/// grows (RFC 7541 §4.2). Each refusal has an id that was never sent before; the harness fails where one stands for an entry
/// that the table, as large as was said, would have lost.
#[test]
fn row_f4_h2_1_a_client_that_allows_a_huge_table_makes_us_fill_none() {
    let server = server(&["--rate-limit", "off"]);
    let mut client = H2::with_settings(&server, &[(HEADER_TABLE_SIZE, u32::MAX)]);
    for _ in 0..10 {
        let streams: Vec<_> = (0..50).map(|_| client.ask("GET", "/missing", &[])).collect();
        streams.into_iter().for_each(|stream| assert_eq!(client.response(stream).status, 404));
        assert!(client.inbox.table_size() <= 4096, "{}", client.inbox.table_size());
    }
}
