//! `POST /upload` (SPEC UP-1 to UP-5) in the order of H1-10: what the head can decide is decided before a
//! byte of the body is read; a pool slot is taken only when the whole body is there.

use std::sync::Arc;

use http1::BodyLength;

use super::Answer;
use crate::http::reject::Extra;
use crate::http::request::Name;
use crate::http::response::{Body, Fields};
use crate::http::{Code, Reject, Reply, Request, Response};
use crate::limits::budget::{Bounds, Reserved, Spent};
use crate::limits::{Budget, ClientKey};
use crate::pool::Pool;
use crate::store::{LocalStore, StoreError, json};

/// Seconds after which a client may try again: uploads leave the pool within milliseconds.
const RETRY_SOON: Extra = Extra::RetryAfter(1);
/// The same where an operator has to act first.
const RETRY_LATER: Extra = Extra::RetryAfter(60);

/// Takes JSON bodies and stores them.
#[derive(Debug)]
pub struct Uploads {
    /// Where they go; `None` where the folder could not be had at start.
    pub store: Option<Arc<LocalStore>>,
    /// Memory for bodies in progress, over all workers.
    pub budget: Budget,
    /// Most bytes that may be in progress at once.
    pub body_memory: u64,
    /// Most bytes of one body.
    pub max_body: u64,
}

impl Uploads {
    /// Judges the head of an upload by `client`; `None`: by one who has no limits.
    ///
    /// # Errors
    /// 411, 413, 415 and 503, in this order.
    pub fn begin<'b>(
        &'b self,
        request: &Request<'b>,
        client: Option<ClientKey>,
        pool: &'b Pool,
    ) -> Result<Answer<'b>, Reject> {
        let length = match request.body {
            BodyLength::None => {
                return Err(Reject::new(
                    Code::LengthRequired,
                    "An upload needs a Content-Length, or chunks.",
                ));
            }
            BodyLength::Exact(length) if length > self.max_body => return Err(too_large(self.max_body)),
            BodyLength::Exact(length) => length,
            // Its length is known only at the end, so it is counted as the largest there may be.
            BodyLength::Chunked => self.max_body,
        };
        judge_type(request)?;
        let store = self.store()?;
        pool.check_room().map_err(|_| Reject::pool_saturated())?;
        let bounds = Bounds { all: self.body_memory, body: self.max_body };
        let reserved = self.budget.take(length, bounds, client).map_err(busy)?;
        let then = move |body| store_body(body, reserved, Arc::clone(store), pool);
        Ok(Reply::AfterBody { limit: self.max_body, then: Box::new(then) })
    }

    fn store(&self) -> Result<&Arc<LocalStore>, Reject> {
        let Some(store) = &self.store else {
            return Err(unavailable());
        };
        if store.is_degraded() { Err(degraded()) } else { Ok(store) }
    }
}

fn store_body<'b>(body: Vec<u8>, reserved: Reserved, store: Arc<LocalStore>, pool: &Pool) -> Answer<'b> {
    let work = move || {
        // Given back when the body is no longer held, whatever becomes of the client.
        let _reserved = reserved;
        crate::failpoint!("upload");
        check_and_store(&body, &store)
    };
    match pool.run("storing an upload", work) {
        Err(_) => Reply::Now(Err(Reject::pool_saturated())),
        Ok(pending) => Reply::Later(Box::pin(async move {
            let stored = pending.await.unwrap_or_else(|_| Err(lost()));
            stored.map(|name| created(&name))
        })),
    }
}

/// On a pool thread: keeps `body` if it is JSON, and tells its name.
fn check_and_store(body: &[u8], store: &LocalStore) -> Result<String, Reject> {
    json::check(body).map_err(|invalid| {
        let position = Extra::Position { line: invalid.line, column: invalid.column };
        let detail = format!("Line {}, column {}: {}.", invalid.line, invalid.column, invalid.reason);
        Reject::new(Code::InvalidJson, detail).with(position)
    })?;
    store.put(body).map_err(|error| refused(&error))
}

fn created(name: &str) -> Response {
    let fields =
        format!("Content-Type: application/json\r\nCache-Control: no-store\r\nLocation: /uploads/{name}\r\n");
    let body = format!(
        "{{\"status\":\"success\",\"message\":\"File created successfully\",\"filepath\":\"/uploads/{name}\"}}"
    );
    Response::new(201, Fields::Owned(fields.into_bytes()), Body::Owned(body.into_bytes()))
}

fn refused(error: &StoreError) -> Reject {
    match error {
        StoreError::DiskFull(_) => {
            Reject::new(Code::DiskFull, "There is no space left for uploads.").with(RETRY_LATER)
        }
        StoreError::QuotaExceeded => {
            Reject::new(Code::QuotaExceeded, "The quota for uploads is used up.").with(RETRY_LATER)
        }
        StoreError::Degraded => degraded(),
        StoreError::FolderGone => unavailable(),
        StoreError::SyncFailed { .. } | StoreError::Failed { .. } => {
            Reject::new(Code::StoreError, "The upload could not be stored; nothing was kept.")
        }
    }
    .seen(error.to_string())
}

/// JSON by its media type (parameters ignored, RFC 6839 `+json` too), and not compressed.
fn judge_type(request: &Request<'_>) -> Result<(), Reject> {
    let kind = super::media_type(request).to_ascii_lowercase();
    let subtype = kind.iter().position(|byte| *byte == b'/').and_then(|at| kind.get(at + 1..));
    let structured =
        subtype.is_some_and(|subtype| subtype.len() > b"+json".len() && subtype.ends_with(b"+json"));
    if kind != b"application/json" && !structured {
        return Err(Reject::new(Code::NotJson, "The Content-Type of an upload is application/json."));
    }
    let plain = request
        .values(Name::ContentEncoding)
        .all(|coding| coding.is_empty() || coding.eq_ignore_ascii_case(b"identity"));
    if plain { Ok(()) } else { Err(Reject::new(Code::ContentEncoding, "Send the JSON uncompressed.")) }
}

fn busy(spent: Spent) -> Reject {
    let detail = match spent {
        Spent::All => "Too many uploads are in progress.",
        Spent::Share => "Too many uploads of yours are in progress.",
    };
    Reject::new(Code::UploadsBusy, detail).with(RETRY_SOON)
}

/// 413 for a body over `limit` bytes.
pub fn too_large(limit: u64) -> Reject {
    Reject::new(Code::BodyTooLarge, format!("A body may have at most {limit} bytes."))
}

fn unavailable() -> Reject {
    Reject::new(Code::UploadsUnavailable, "The server has no folder to keep uploads in.").with(RETRY_LATER)
}

/// The thread that stored it panicked.
fn lost() -> Reject {
    Reject::new(Code::Internal, "The server made a mistake; the upload was not acknowledged.")
}

fn degraded() -> Reject {
    let detail = "An earlier upload could not be synced; uploads are refused until a restart.";
    Reject::new(Code::StoreDegraded, detail).with(RETRY_LATER)
}
