//! A known file and a request: 200, 206, 304, 412 or 416 (RFC 9110 §13 and §14).

use std::ops::Range;
use std::rc::Rc;
use std::time::SystemTime;

use super::cache::{Content, Representation};
use crate::http::multipart::{self, Envelope};
use crate::http::range::{self, Asked};
use crate::http::reject::Extra;
use crate::http::request::Name;
use crate::http::response::{Body, Fields, Parts};
use crate::http::{Code, Reject, Request, Response, conditional};
use crate::random;

/// Fields that ask for something else than the whole file.
const SPECIAL: &[Name] =
    &[Name::IfMatch, Name::IfNoneMatch, Name::IfModifiedSince, Name::IfUnmodifiedSince, Name::Range];

/// Answers a GET or HEAD with `file`.
///
/// # Errors
/// 412 and 416.
#[inline]
pub fn file(file: &Representation, request: &Request<'_>) -> Result<Response, Reject> {
    if request.has(SPECIAL) { special(file, request) } else { Ok(whole(file)) }
}

#[inline]
fn whole(file: &Representation) -> Response {
    Response::new(200, Fields::Shared(Rc::clone(&file.fields)), part(file, 0..file.size))
}

fn special(file: &Representation, request: &Request<'_>) -> Result<Response, Reject> {
    match conditional::evaluate(request, &file.etag, file.modified) {
        conditional::Outcome::Failed => {
            return Err(Reject::new(
                Code::PreconditionFailed,
                "The file is not the version that was asked for.",
            ));
        }
        conditional::Outcome::NotModified => {
            return Ok(Response::empty(304, Fields::Shared(Rc::clone(&file.fields))));
        }
        conditional::Outcome::Proceed => {}
    }
    match asked(file, request) {
        Asked::Whole => Ok(whole(file)),
        Asked::Nothing => {
            let detail = format!("The file has {} bytes.", file.size);
            Err(Reject::new(Code::RangeNotSatisfiable, detail).with(Extra::Size(file.size)))
        }
        Asked::Part(range) => {
            let mut fields = file.fields.to_vec();
            fields.extend(multipart::content_range(&range, file.size).bytes());
            Ok(Response::new(206, Fields::Owned(fields), part(file, range)))
        }
        Asked::Parts(ranges) => Ok(several(file, &ranges)),
    }
}

/// Range is defined for GET alone (RFC 9110 §14.2).
fn asked(file: &Representation, request: &Request<'_>) -> Asked {
    match request.single(Name::Range) {
        Some(value)
            if request.method == "GET"
                && conditional::range_applies(request, &file.etag, file.modified, SystemTime::now()) =>
        {
            range::parse(value, file.size)
        }
        _ => Asked::Whole,
    }
}

/// 206 with several parts (RFC 9110 §15.3.7.2): the type of the file stands in each of them.
fn several(file: &Representation, ranges: &[Range<u64>]) -> Response {
    let boundary = format!("{:016x}{:016x}", random::number(), random::number());
    let envelope = Envelope::new(&boundary, file.kind, file.size, ranges);
    let own_type = format!("Content-Type: {}\r\n", file.kind);
    let mut fields = multipart::content_type(&boundary).into_bytes();
    fields.extend_from_slice(file.fields.strip_prefix(own_type.as_bytes()).unwrap_or(&file.fields));
    let body = match &file.content {
        Content::File(open, _) => {
            let parts = envelope.heads.into_iter().zip(ranges.iter().cloned()).collect();
            Body::Parts(Rc::clone(open), Rc::new(Parts { parts, end: envelope.end }))
        }
        Content::Memory(bytes) => {
            let mut body = Vec::with_capacity(usize::try_from(envelope.length).unwrap_or(0));
            for (head, range) in envelope.heads.iter().zip(ranges) {
                body.extend_from_slice(head);
                body.extend_from_slice(bytes.get(within(bytes, range)).unwrap_or_default());
            }
            body.extend_from_slice(&envelope.end);
            Body::Owned(body)
        }
    };
    Response::new(206, Fields::Owned(fields), body)
}

/// Bytes `range` of the file.
#[inline]
fn part(file: &Representation, range: Range<u64>) -> Body {
    match &file.content {
        Content::Memory(bytes) => Body::Shared(bytes.clone(), within(bytes, &range)),
        Content::File(open, _) => Body::File(Rc::clone(open), range),
    }
}

/// `range` as places in `bytes`.
#[inline]
fn within(bytes: &[u8], range: &Range<u64>) -> Range<usize> {
    let at = |offset: u64| usize::try_from(offset).map_or(bytes.len(), |at| at.min(bytes.len()));
    at(range.start)..at(range.end)
}
