//! Files below the root, and stored uploads (SPEC FILE, UP-7).
//!
//! ```text
//! name ─► cache ─ fresh ───────────────────────────────► respond
//!           │ stale: look without blocking ─ the same ──► respond
//!           │ none, or changed
//!           ├─► look without blocking ──────────► keep ─► respond
//!           └─► would block: one pool thread ───► keep ─► respond to all who wait for it
//! ```
//! `shelf` finds a name · `resolve` asks the kernel · `cache` remembers · `flight` one look at a time · `codings` makes
//! br, zstd and gzip · `dress` the fields of a file · `respond` judges preconditions and ranges · `listing` shows a
//! folder · `pages` for refusals.

pub mod cache;
pub mod codings;
pub mod dress;
pub mod flight;
pub mod listing;
pub mod pages;
pub mod resolve;
pub mod respond;
pub mod shelf;

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use rustix::io::Errno;

use self::cache::{Entry, Representation, Room};
use self::dress::Dress;
use self::pages::Pages;
use self::resolve::Absent;
use self::shelf::{Find, Known, Means, Shelf};
use super::Answer;
use crate::clock::Millis;
use crate::http::negotiate::{self, Accepted};
use crate::http::reject::Extra;
use crate::http::request::Name;
use crate::http::response::{Body, Fields};
use crate::http::{Code, Reject, Reply, Request, Response, url_path};
use crate::router::RESERVED;

/// The file that stands for its folder, and with `--spa` for every page of the application.
const INDEX: &str = "index.html";

/// A folder that is served.
#[derive(Debug)]
pub struct Files {
    shelf: Rc<Shelf>,
    pages: Pages,
}

impl Files {
    /// Serves what lies beneath `root`, as `dress` has it, with `room` for what is remembered.
    pub fn new(root: Arc<OwnedFd>, dress: Dress, room: Room, means: Means) -> Self {
        let plain = Dress { codings: false, ..dress.clone() };
        let pages = Shelf::new(Arc::clone(&root), plain, pages::ROOM, means.clone());
        Self { shelf: Rc::new(Shelf::new(root, dress, room, means)), pages: Pages::new(Rc::new(pages)) }
    }

    /// The operator's own pages for refusals.
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// Answers a GET or HEAD for `name`, a decoded path without its leading slash.
    #[inline]
    pub fn serve<'b>(&'b self, request: &Request<'b>, name: &str, now: Millis) -> Answer<'b> {
        match self.shelf.find(name, now) {
            Find::File(entry) => Reply::Now(self.file(&entry, request, name)),
            Find::Missing => self.missing(request, name, now),
            Find::Absent(absent) => self.absent(&absent, request, name, now),
            Find::Ask(meanwhile) => self.serve_later(*request, name.to_owned(), meanwhile, now),
        }
    }

    fn serve_later<'b>(
        &'b self,
        request: Request<'b>,
        name: String,
        meanwhile: Option<Rc<Entry>>,
        now: Millis,
    ) -> Answer<'b> {
        let flight = self.shelf.ask(&name, now);
        if let Some(entry) = meanwhile {
            return Reply::Now(self.file(&entry, &request, &name));
        }
        match flight {
            Err(_) => Reply::Now(Err(Reject::pool_saturated())),
            Ok(flight) => Reply::Later(Box::pin(async move {
                let mut known = flight.outcome().await;
                // It panicked: not all who shared it shall pay for that, so they share one more.
                if let (Known::Lost, Ok(again)) = (&known, self.shelf.ask(&name, now)) {
                    known = again.outcome().await;
                }
                match known {
                    Known::File(entry) => self.file(&entry, &request, &name),
                    Known::Absent(absent) => settled(self.absent(&absent, &request, &name, now)).await,
                    Known::Saturated => Err(Reject::pool_saturated()),
                    Known::Lost => Err(lost()),
                }
            })),
        }
    }

    /// Answers with the representation that the client would rather have.
    #[inline]
    fn file(&self, entry: &Rc<Entry>, request: &Request<'_>, name: &str) -> Result<Response, Reject> {
        if entry.negotiable
            && request.has(&[Name::AcceptEncoding])
            && let Some(coded) = self.coded(entry, request, name)
            && coded.is_as_promised()
        {
            return respond::file(&coded, request);
        }
        respond::file(&entry.plain, request)
    }

    /// The coding to answer with, if any. Ranges are of the bytes as they are (FILE-6).
    fn coded(&self, entry: &Rc<Entry>, request: &Request<'_>, name: &str) -> Option<Rc<Representation>> {
        if request.has(&[Name::Range]) && request.method == "GET" {
            return None;
        }
        let accepted = Accepted::of(request.values(Name::AcceptEncoding));
        let best = accepted.ranked().find(|coding| entry.may_have(*coding))?;
        self.shelf.coded(entry, name, best).or_else(|| {
            // Not made yet: the next best that is there, and as it is if none.
            accepted.ranked().find_map(|coding| entry.ready(coding))
        })
    }

    fn absent<'b>(&'b self, absent: &Absent, request: &Request<'b>, name: &str, now: Millis) -> Answer<'b> {
        let reject = match absent {
            Absent::Nothing => return self.missing(request, name, now),
            // A folder of that name is no index, and no page of an application.
            Absent::Folder if self.shelf.dress.folders && name != INDEX => {
                return Reply::Now(Ok(redirect(name, request)));
            }
            Absent::Folder => Reject::not_found(),
            Absent::Outside => Reject::new(Code::TraversalRefused, "The path leads out of the folder.")
                .seen(format!("a symbolic link leads out of the root: /{name}")),
            Absent::Unreadable => Reject::new(Code::Unreadable, "The server may not read this file.")
                .seen(format!("permission denied: /{name}")),
            Absent::Failed(errno @ (Errno::MFILE | Errno::NFILE | Errno::NOMEM)) => {
                Reject::new(Code::TooManyConnections, "The server has no room to open the file; try again.")
                    .seen(format!("opening /{name}: {errno}"))
                    .with(Extra::RetryAfter(1))
            }
            Absent::Failed(errno) => Reject::new(Code::Internal, "The file could not be opened.")
                .seen(format!("opening /{name}: {errno}")),
        };
        Reply::Now(Err(reject))
    }

    /// Nothing is there under `name`: a listing, the application's page, or 404.
    #[inline]
    fn missing<'b>(&'b self, request: &Request<'b>, name: &str, now: Millis) -> Answer<'b> {
        let dress = &self.shelf.dress;
        if dress.listing && (name.is_empty() || name.ends_with('/')) {
            return self.list(*request, name.to_owned(), now);
        }
        self.application(request, name, now)
    }

    /// The page of a single-page application for a browser (FILE-9), or 404.
    #[inline]
    fn application<'b>(&'b self, request: &Request<'b>, name: &str, now: Millis) -> Answer<'b> {
        if self.shelf.dress.spa && name != INDEX && negotiate::names_html(request.values(Name::Accept)) {
            return self.serve(request, INDEX, now).map(|outcome| outcome.map(for_browsers));
        }
        Reply::Now(Err(Reject::not_found()))
    }

    /// A folder without an index (FILE-8), read and written out by a pool thread.
    fn list<'b>(&'b self, request: Request<'b>, name: String, now: Millis) -> Answer<'b> {
        let query = request.query();
        let asked = listing::Asked {
            order: listing::Order::of(query.strip_prefix(b"?").unwrap_or_default()),
            json: negotiate::prefers_json(request.values(Name::Accept)),
        };
        let folder = name.clone();
        let written = self.shelf.in_folder("listing a folder", move |root| {
            // The server keeps these names for itself, at the top.
            let hide = |entry: &str| folder.is_empty() && RESERVED.contains(&entry);
            listing::write(root, &folder, hide, asked)
        });
        let Ok(written) = written else { return Reply::Now(Err(Reject::pool_saturated())) };
        Reply::Later(Box::pin(async move {
            let absent = match written.await {
                Ok(Ok(text)) => return asked.response(text).ok_or_else(too_many_listings),
                Ok(Err(errno)) => resolve::absent_for(errno),
                Err(_) => return Err(lost()),
            };
            match absent {
                Absent::Nothing => settled(self.application(&request, &name, now)).await,
                absent => settled(self.absent(&absent, &request, &name, now)).await,
            }
        }))
    }
}

/// The outcome of an answer that waits for no body.
async fn settled(answer: Answer<'_>) -> Result<Response, Reject> {
    match answer {
        Reply::Now(outcome) => outcome,
        Reply::Later(later) => later.await,
        Reply::AfterBody { .. } => Err(lost()),
    }
}

/// Says that another client would have got something else: a cache must not give a page to a program.
fn for_browsers(mut page: Response) -> Response {
    page.fields = Fields::Owned([page.fields.as_bytes(), b"Vary: Accept\r\n"].concat());
    page
}

/// Large listings that wait for their clients have taken all the memory there is for them.
fn too_many_listings() -> Reject {
    Reject::pool_saturated().seen("no memory for another listing: many large ones are being sent")
}

/// A pool job that panicked, or was never run.
fn lost() -> Reject {
    Reject::new(Code::Internal, "The file could not be opened.")
}

/// A folder's address ends with a slash, or its relative links would lead astray (FILE-1).
fn redirect(name: &str, request: &Request<'_>) -> Response {
    let mut fields = format!("Location: /{}/", url_path::encode(name)).into_bytes();
    // The query is visible ASCII: the target was judged.
    fields.extend_from_slice(request.query());
    fields.extend_from_slice(b"\r\n");
    Response::new(308, Fields::Owned(fields), Body::Static(""))
}
