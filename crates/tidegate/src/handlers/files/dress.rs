//! How the files of a folder are presented: media type, validators, and the fields of each representation, encoded
//! once.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::cache::{Coded, Content, Entry, Representation};
use super::codings;
use super::resolve::{self, Found, OpenedFile};
use crate::clock::Millis;
use crate::disk::Descriptor;
use crate::http::negotiate::Coding;
use crate::http::response::OpenFile;
use crate::http::{disposition, mime};
use crate::pool::Pool;

/// Stands for no entity-tag: no field of a request can hold it, so that it matches nothing.
const NO_ETAG: &str = "\0";

/// Stands for no modification time: later than any that an HTTP date can say.
fn never() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_800)
}

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
    /// Whether folders without an index are listed (FILE-8).
    pub listing: bool,
    /// Whether browsers get `index.html` for what is not there (FILE-9).
    pub spa: bool,
    /// Whether content codings are served (FILE-6).
    pub codings: bool,
}

impl Dress {
    /// The entry of a file just found under `name` at `now`; what takes time to close is closed by `pool`.
    pub fn entry(&self, found: Found, name: &str, now: Millis, pool: &Pool) -> Entry {
        let served = resolve::file_name(name);
        let extension = mime::extension(&served);
        let attached = self.download.contains(&extension);
        let own_type = mime::of_extension(&extension);
        let size = found.file.identity.size;
        let worth_coding = self.codings
            && (codings::LEAST..=codings::MOST).contains(&size)
            && mime::is_worth_coding(own_type);
        let negotiable = worth_coding || found.beside.iter().any(Option::is_some);
        let settled = found.file.settled;
        // What may change unseen must not be kept in another form.
        let worth_coding = worth_coding && settled;
        let kind = self.media_type.unwrap_or(if attached { mime::UNKNOWN } else { own_type });
        let look = self.look(&served, kind, negotiable);
        let mut codings = Coding::ALL.into_iter();
        Entry {
            plain: Rc::new(look.opened(found.file, None, pool)),
            coded: found.beside.map(|file| {
                let coding = codings.next();
                file.map_or(Coded::Absent, |file| Coded::Beside(Rc::new(look.opened(file, coding, pool))))
            }),
            worth_coding,
            negotiable,
            settled,
            checked: Cell::new(now),
            beside_checked: Cell::new(now),
        }
    }

    /// What `plain`, the file under `name`, is in `coding`, when `bytes` were made of it.
    pub fn made(
        &self,
        plain: &Representation,
        name: &str,
        coding: Coding,
        bytes: Arc<[u8]>,
    ) -> Representation {
        let served = resolve::file_name(name);
        let look = self.look(&served, plain.kind, true);
        let etag = etag(&plain.etag, Some(coding));
        Representation {
            identity: plain.identity,
            size: bytes.len() as u64,
            fields: look.fields(&etag, plain.modified, Some(coding)),
            etag,
            modified: plain.modified,
            kind: plain.kind,
            content: Content::Memory(bytes),
        }
    }

    fn look(&self, served: &str, kind: &'static str, negotiable: bool) -> Look {
        let attached = self.download.contains(&mime::extension(served));
        let disposition = attached.then(|| disposition::attachment(served));
        Look { kind, disposition, no_store: self.no_store, negotiable }
    }
}

/// What the representations of one file have in common.
struct Look {
    kind: &'static str,
    disposition: Option<String>,
    no_store: bool,
    negotiable: bool,
}

impl Look {
    fn opened(&self, file: OpenedFile, coding: Option<Coding>, pool: &Pool) -> Representation {
        let (identity, modified) = (file.identity, file.identity.last_modified(SystemTime::now()));
        let etag = etag(&identity.etag(), coding);
        // Other bytes may come under the same stamps: no validator tells them apart, so there is none (RFC 9110 §8.8).
        let (etag, modified) = if file.settled { (etag, modified) } else { (NO_ETAG.to_owned(), never()) };
        let content = match file.content {
            resolve::Content::Whole(bytes) => Content::Memory(bytes.into()),
            resolve::Content::Behind { fd, whole, slow } => {
                let whole = whole.map(Rc::new);
                let memory = whole.as_ref().map_or_else(Weak::new, Rc::downgrade);
                let fd = Arc::new(Descriptor::new(fd, slow.then(|| pool.clone())));
                let held = whole.clone().filter(|_| !file.settled);
                Content::File(Rc::new(OpenFile { fd, identity, memory, held }), whole)
            }
        };
        let fields = self.fields(&etag, modified, coding);
        Representation { identity, size: identity.size, etag, modified, kind: self.kind, fields, content }
    }

    /// Ranges are of the bytes as they are: only those say that they can be had in parts (SPEC FILE-6).
    fn fields(&self, etag: &str, modified: SystemTime, coding: Option<Coding>) -> Rc<[u8]> {
        let mut fields = format!("Content-Type: {}\r\n", self.kind);
        if etag != NO_ETAG {
            let date = httpdate::fmt_http_date(modified);
            fields.push_str(&format!("ETag: {etag}\r\nLast-Modified: {date}\r\n"));
        }
        match coding {
            Some(coding) => fields.push_str(&format!("Content-Encoding: {}\r\n", coding.token())),
            None => fields.push_str("Accept-Ranges: bytes\r\n"),
        }
        if self.negotiable {
            fields.push_str("Vary: Accept-Encoding\r\n");
        }
        if let Some(disposition) = &self.disposition {
            fields.push_str(&format!("Content-Disposition: {disposition}\r\n"));
        }
        if self.no_store {
            fields.push_str("Cache-Control: no-store\r\n");
        }
        fields.into_bytes().into()
    }
}

/// The entity-tag of a coding tells itself from that of the file and of every other coding.
fn etag(plain: &str, coding: Option<Coding>) -> String {
    match coding {
        Some(coding) => format!("{}-{}\"", plain.trim_end_matches('"'), coding.token()),
        None => plain.to_owned(),
    }
}
