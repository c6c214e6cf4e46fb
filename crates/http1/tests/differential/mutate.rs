//! Requests made of good ones: whole messages, with none to three bytes, lines or pieces changed. The same every time.

/// Requests that reach every part of head, framing and body, and what is beside the borders of the allowed.
const BASES: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /a/b?c=d HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a.example:8080\r\nAccept: */*\r\nX-Empty:\r\n\r\n",
    b"GET http://a/b HTTP/1.1\r\nhost: a\r\nX: \t b c \t\r\n\r\nGET / HTTP/1.1\r\n",
    b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /u HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n",
    b"POST /u HTTP/1.0\r\nContent-Length: 3\r\n\r\nabcdef",
    b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST /u HTTP/1.1\r\nHost: a\r\ntransfer-encoding: Chunked\r\n\r\n1;a=b\r\nx\r\nA;c = \"d\\\"\"\r\n0123456789\r\n00;e\r\nX: y\r\n\r\n",
    b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000001\r\nz\r\n0\r\nA: b\r\nContent-Length: 9\r\n\r\n",
    b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3 ; a\r\nabc\r\n0\r\n\r\n",
    b"POST /u HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000001\r\na\r\n0\r\n\r\n",
    b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
];

/// What is put into them: bytes that mean something, and lines that steer.
const PIECES: &[&[u8]] = &[
    b"\r",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b":",
    b";",
    b",",
    b"\0",
    b"\x01",
    b"\x0b",
    b"\x7f",
    b"\xff",
    b"0",
    b"5",
    b"f",
    b"g",
    b"\"",
    b"\\",
    b"=",
    b"+",
    b"-",
    b"_",
    b"0x",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"HTTP/2.0",
    b"/",
    b"*",
    b"\r\n ",
    b"\r\n\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Content-Length: 18446744073709551616\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Host: b\r\n",
    b"Connection: close\r\n",
    b"ffffffffffffffff",
    b"00000000000000000",
    b"GET / HTTP/1.1\r\n",
];

/// So many requests: every base, then changed ones.
pub(crate) fn requests(number: usize) -> Vec<Vec<u8>> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let bases = BASES.iter().map(|base| base.to_vec());
    let changed = std::iter::repeat_with(|| {
        let mut request = random.of(BASES).to_vec();
        for _ in 0..=random.below(3) {
            change(&mut request, &mut random);
        }
        request
    });
    bases.chain(changed).take(number).collect()
}

fn change(request: &mut Vec<u8>, random: &mut Random) {
    let at = random.below(request.len() + 1);
    let end = request.len().min(at + 1 + random.below(3));
    match random.below(6) {
        0 => drop(request.drain(at..end)),
        1 | 2 => drop(request.splice(at..at, random.of(PIECES).iter().copied())),
        3 => drop(request.splice(at..end, random.of(PIECES).iter().copied())),
        4 => {
            // At the beginning of a line, where a line belongs.
            let line =
                request.iter().skip(at).position(|byte| *byte == b'\n').map_or(0, |found| at + found + 1);
            drop(request.splice(line..line, random.of(PIECES).iter().copied()));
        }
        _ => request.truncate(at.max(request.len() / 2)),
    }
}

/// Xorshift: good enough to choose, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % bound
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}
