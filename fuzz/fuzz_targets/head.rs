//! Heads: in one piece and byte by byte they give the same verdict, and a good one holds nothing that was refused.

#![no_main]

use http1::{Connection, ErrorKind, FieldStorage, Limits, request_line};
use libfuzzer_sys::fuzz_target;

/// A verdict that can be compared: the bytes a head took, or the fault and its place.
fn verdict(
    connection: &mut Connection,
    input: &[u8],
    limits: &Limits,
) -> Result<Option<usize>, (ErrorKind, usize)> {
    let mut storage = FieldStorage::new();
    match connection.read_head(input, &mut storage, limits) {
        Ok(None) => Ok(None),
        Ok(Some(head)) => {
            let bytes = &input[head.start..head.consumed];
            assert!(
                bytes.ends_with(b"\r\n\r\n")
                    && bytes.len() <= limits.head
                    && head.fields.len() <= limits.fields
            );
            assert_eq!(bytes.windows(4).filter(|four| four == b"\r\n\r\n").count(), 1);
            let ends = bytes.windows(2).filter(|two| two == b"\r\n").count();
            assert_eq!(bytes.iter().filter(|&&byte| byte == b'\n' || byte == b'\r').count(), 2 * ends);
            assert_eq!(head.fields.len() + 2, ends);
            let (method, target, _) = request_line(input).expect("a good head has a clean request line");
            assert_eq!((method, target), (head.method, head.target));
            for field in head.fields {
                assert!(!field.name.is_empty() && !field.name.contains([' ', ':']));
                assert!(!field.value.iter().any(|byte| matches!(byte, 0..=8 | 10..=31 | 127)));
            }
            Ok(Some(head.consumed))
        }
        Err(error) => Err((error.kind(), error.at())),
    }
}

/// The same head, in one piece and byte by byte.
fn compare(input: &[u8], limits: &Limits) {
    let whole = verdict(&mut Connection::new(), input, limits);
    let mut connection = Connection::new();
    let mut drip = Ok(None);
    for end in 0..=input.len() {
        drip = verdict(&mut connection, &input[..end], limits);
        if drip != Ok(None) {
            break;
        }
    }
    assert_eq!(whole, drip);
}

fuzz_target!(|input: &[u8]| {
    compare(input, &Limits::default());
    // Small ones, so that short inputs pass them.
    compare(input, &Limits { request_line: 20, head: 60, fields: 2, ..Limits::default() });
});
