//! What the targets share: the bound on the time an input may take, and requests to ask with.

use std::time::{Duration, Instant};

use http1::{Connection, FieldStorage, Limits};
use tidegate::http::Request;

/// No input may keep a worker busy for longer, with its oracle and in a build that checks all arithmetic. A request
/// takes some microseconds; what takes a thousand times as long is a way to stop the server.
pub const SLOW: Duration = Duration::from_millis(100);

/// Checks `input`, and panics where that is slow three times in a row: once may be the machine.
pub fn timely(input: &[u8], check: fn(&[u8])) {
    let is_slow = || {
        let begun = Instant::now();
        check(input);
        begun.elapsed() > SLOW
    };
    assert!(!(0..3).all(|_| is_slow()), "slower than {SLOW:?}");
}

/// Shows `look` the request whose head is `head`; `None` where that is none.
pub fn ask<T>(head: &[u8], look: impl FnOnce(&Request<'_>) -> T) -> Option<T> {
    let mut storage = FieldStorage::new();
    let read = Connection::new().read_head(head, &mut storage, &Limits::default());
    read.ok().flatten().map(|found| look(&Request::new(&found, head)))
}
