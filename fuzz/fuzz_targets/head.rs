//! Heads: however they are cut the verdict is the same, and it is that of the grammar read naively; what is accepted
//! httparse reads in the same way, and where it is kinder than we are the reason is one of a list.

#![no_main]

use http1::{BodyLength, Connection, ErrorKind, FieldStorage, Limits, MAX_FIELDS, request_line};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| fuzz::timely(input, check));

fn check(input: &[u8]) {
    compare(input, &Limits::default());
    // Small ones, so that short inputs pass them.
    compare(input, &Limits { request_line: 20, head: 60, fields: 2, ..Limits::default() });
}

/// A head that was accepted, as far as it can be compared.
type Good = (usize, BodyLength);

/// The same head, in one piece and byte by byte, and read by others.
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
    match whole {
        Ok(found) => assert_eq!(found, by_the_grammar(input, limits)),
        Err((kind, at)) => {
            // What is refused before its end is not saved by any end.
            let ended = [input, b"\r\n\r\n"].concat();
            assert_eq!(by_the_grammar(&ended, limits), None, "{kind:?} at {at}");
        }
    }
    compare_with_httparse(input, limits, whole);
}

/// A verdict that can be compared: what a head says, or the fault and its place.
fn verdict(
    connection: &mut Connection,
    input: &[u8],
    limits: &Limits,
) -> Result<Option<Good>, (ErrorKind, usize)> {
    let mut storage = FieldStorage::new();
    match connection.read_head(input, &mut storage, limits) {
        Ok(None) => Ok(None),
        Ok(Some(head)) => {
            let (method, target, _) = request_line(input).expect("a good head has a clean request line");
            assert_eq!((method, target), (head.method, head.target));
            Ok(Some((head.consumed, head.body)))
        }
        Err(error) => {
            assert!(error.at() <= input.len());
            Err((error.kind(), error.at()))
        }
    }
}

/// RFC 9112 §2.2, §3, §5 and §6 with SPEC H1-4 and H1-5, read line by line over a whole head; `None` where it is none.
fn by_the_grammar(input: &[u8], limits: &Limits) -> Option<Good> {
    let head = input.strip_prefix(b"\r\n").unwrap_or(input);
    let length = head.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    // One letter for each byte.
    let text: String = head[..length - 4].iter().map(|&byte| char::from(byte)).collect();
    let mut lines = text.split("\r\n");
    let line = lines.next()?;
    let [method, target, version] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
    let fields: Vec<_> = lines.map(|line| line.split_once(':')).collect::<Option<_>>()?;
    let good = is_token(method)
        && !target.is_empty()
        && target.chars().all(|letter| letter.is_ascii_graphic())
        && ["HTTP/1.0", "HTTP/1.1"].contains(&version)
        && fields.iter().all(|(name, value)| is_token(name) && !value.contains(is_forbidden))
        && (line.chars().count() <= limits.request_line && length <= limits.head)
        && fields.len() <= limits.fields.min(MAX_FIELDS);
    let body = if good { framing(&fields, version)? } else { return None };
    Some((input.len() - head.len() + length, body))
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(letter))
}

fn is_forbidden(letter: char) -> bool {
    letter.is_ascii_control() && letter != '\t'
}

/// RFC 9112 §6.3, where whatever is given twice is refused.
fn framing(fields: &[(&str, &str)], version: &str) -> Option<BodyLength> {
    let framing = ["content-length", "transfer-encoding"];
    let ours: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t'])))
        .filter(|(name, _)| framing.contains(&name.as_str()))
        .collect();
    match &ours[..] {
        [] => Some(BodyLength::None),
        [(name, value)] if name == "transfer-encoding" => {
            (version == "HTTP/1.1" && value.eq_ignore_ascii_case("chunked")).then_some(BodyLength::Chunked)
        }
        [(_, value)] if value.bytes().all(|byte| byte.is_ascii_digit()) => {
            value.parse().ok().filter(|&length| length < 1 << 63).map(BodyLength::Exact)
        }
        _ => None,
    }
}

/// httparse is the parser below ours. It is kinder in what [`is_kinder`] lists and in nothing else.
fn compare_with_httparse(input: &[u8], limits: &Limits, ours: Result<Option<Good>, (ErrorKind, usize)>) {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut theirs = httparse::Request::new(&mut fields);
    let taken = match theirs.parse(input) {
        Ok(httparse::Status::Complete(taken)) => taken,
        other => return assert!(!matches!(ours, Ok(Some(_))), "{other:?}"),
    };
    match ours {
        Ok(None) => panic!("httparse is done, and we wait for more"),
        Err((kind, at)) => assert!(is_kinder(&theirs, &input[..taken], limits, kind), "{kind:?} at {at}"),
        Ok(Some((consumed, _))) => {
            let mut storage = FieldStorage::new();
            let head = Connection::new().read_head(input, &mut storage, limits).ok().flatten();
            let head = head.expect("read before");
            assert_eq!(
                (taken, theirs.method, theirs.path.map(str::as_bytes)),
                (consumed, Some(head.method), Some(head.target))
            );
            assert_eq!(theirs.headers, head.fields);
        }
    }
}

/// The allowed disagreements with httparse, each proven by the bytes.
fn is_kinder(theirs: &httparse::Request<'_, '_>, bytes: &[u8], limits: &Limits, kind: ErrorKind) -> bool {
    let crlf = bytes.windows(2).filter(|two| two == b"\r\n").count();
    let line_ends = bytes.iter().filter(|byte| matches!(byte, b'\r' | b'\n')).count();
    match kind {
        // It takes a line feed alone for the end of a line, and any number of empty lines before the first.
        ErrorKind::BadRequestLine | ErrorKind::BadHead if line_ends != 2 * crlf => true,
        ErrorKind::BadRequestLine if bytes.starts_with(b"\r\n\r\n") => true,
        // It takes targets that are not ASCII.
        ErrorKind::BadRequestLine => theirs.path.is_some_and(|path| !path.is_ascii()),
        ErrorKind::TargetTooLong => bytes.len() > limits.request_line,
        ErrorKind::HeadTooLarge => bytes.len() > limits.head,
        ErrorKind::TooManyFields => theirs.headers.len() > limits.fields,
        // It knows nothing of bodies.
        ErrorKind::BadFraming | ErrorKind::UnknownCoding => theirs.headers.iter().any(|field| {
            ["content-length", "transfer-encoding"].contains(&&*field.name.to_ascii_lowercase())
        }),
        _ => false,
    }
}
