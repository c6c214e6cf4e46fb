//! A known file and a request: 200, 206, 304, 412 or 416 (RFC 9110 §13 and §14).

use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use super::cache::{Content, Entry};
use super::resolve::{self, OpenedFile};
use crate::clock::Millis;
use crate::http::range::{self, Asked};
use crate::http::reject::Extra;
use crate::http::request::Name;
use crate::http::response::{Body, Fields, OpenFile};
use crate::http::{Code, Reject, Request, Response, conditional, disposition, mime};

/// How the files of one folder are presented.
#[derive(Clone, Debug)]
pub struct Dress {
    /// Lower-case extensions that are sent as attachments.
    pub download: Vec<String>,
    /// One media type for all, instead of one by extension.
    pub media_type: Option<&'static str>,
    /// Whether nobody may store them.
    pub no_store: bool,
    /// Whether folders redirect to themselves with a slash.
    pub folders: bool,
}

impl Dress {
    /// The entry of a file just opened under `name` at `now`.
    pub fn entry(&self, file: OpenedFile, name: &str, now: Millis) -> Entry {
        let (etag, modified) = (file.identity.etag(), file.identity.last_modified(SystemTime::now()));
        let fields = self.fields(name, &etag, modified);
        let content = match file.content {
            Some(content) => Content::Memory(content.into()),
            None => Content::File(Rc::new(OpenFile { fd: Arc::new(file.fd), identity: file.identity })),
        };
        Entry {
            identity: file.identity,
            etag,
            modified,
            fields: fields.into_bytes().into(),
            content,
            checked: std::cell::Cell::new(now),
        }
    }

    fn fields(&self, name: &str, etag: &str, modified: SystemTime) -> String {
        let served = resolve::file_name(name);
        let extension = mime::extension(&served);
        let attached = self.download.contains(&extension);
        let kind = match self.media_type {
            Some(kind) => kind,
            None if attached => mime::UNKNOWN,
            None => mime::of_extension(&extension),
        };
        let mut fields = format!(
            "Content-Type: {kind}\r\nETag: {etag}\r\nLast-Modified: {}\r\nAccept-Ranges: bytes\r\n",
            httpdate::fmt_http_date(modified)
        );
        if attached {
            fields.push_str(&format!("Content-Disposition: {}\r\n", disposition::attachment(&served)));
        }
        if self.no_store {
            fields.push_str("Cache-Control: no-store\r\n");
        }
        fields
    }
}

/// Answers a GET or HEAD from `entry`.
///
/// # Errors
/// 412 and 416.
#[inline]
pub fn file(entry: &Entry, request: &Request<'_>) -> Result<Response, Reject> {
    let size = entry.identity.size;
    if request.has(conditional::FIELDS) || request.has(&[Name::Range]) {
        return special(entry, request);
    }
    Ok(Response::new(200, Fields::Shared(Rc::clone(&entry.fields)), part(entry, 0..size)))
}

fn special(entry: &Entry, request: &Request<'_>) -> Result<Response, Reject> {
    match conditional::evaluate(request, &entry.etag, entry.modified) {
        conditional::Outcome::Failed => {
            return Err(Reject::new(
                Code::PreconditionFailed,
                "The file is not the version that was asked for.",
            ));
        }
        conditional::Outcome::NotModified => {
            return Ok(Response::empty(304, Fields::Shared(Rc::clone(&entry.fields))));
        }
        conditional::Outcome::Proceed => {}
    }
    let size = entry.identity.size;
    // Range is defined for GET alone (RFC 9110 §14.2).
    let asked = match request.single(Name::Range) {
        Some(value)
            if request.method == "GET"
                && conditional::range_applies(request, &entry.etag, entry.modified, SystemTime::now()) =>
        {
            range::parse(value, size)
        }
        _ => Asked::Whole,
    };
    match asked {
        Asked::Whole => {
            Ok(Response::new(200, Fields::Shared(Rc::clone(&entry.fields)), part(entry, 0..size)))
        }
        Asked::Nothing => {
            let detail = format!("The file has {size} bytes.");
            Err(Reject::new(Code::RangeNotSatisfiable, detail).with(Extra::Size(size)))
        }
        Asked::Part(range) => {
            let mut fields = entry.fields.to_vec();
            let last = range.end.saturating_sub(1);
            fields.extend(format!("Content-Range: bytes {}-{last}/{size}\r\n", range.start).bytes());
            Ok(Response::new(206, Fields::Owned(fields), part(entry, range)))
        }
    }
}

/// Bytes `range` of the file.
fn part(entry: &Entry, range: std::ops::Range<u64>) -> Body {
    match &entry.content {
        Content::Memory(bytes) => {
            let at = |offset: u64| usize::try_from(offset).map_or(bytes.len(), |at| at.min(bytes.len()));
            Body::Shared(Rc::clone(bytes), at(range.start)..at(range.end))
        }
        Content::File(file) => Body::File(Rc::clone(file), range),
    }
}
