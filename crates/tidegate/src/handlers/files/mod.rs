//! Files below the root, and stored uploads (SPEC FILE, UP-7).
//!
//! ```text
//! name ─► cache ─ fresh ──────────────────────────────► respond
//!           │ stale: look without blocking ─ the same ─► respond
//!           │ none, or changed
//!           ├─► look without blocking ─────────► keep ─► respond
//!           └─► would block: pool thread looks ─► keep ─► respond
//! ```
//! `resolve` asks the kernel · `cache` remembers · `respond` judges preconditions and ranges.

pub mod cache;
pub mod resolve;
pub mod respond;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use self::cache::{Entry, FileCache};
use self::resolve::{Effort, Found, WouldBlock};
use super::Answer;
use crate::clock::Millis;
use crate::http::response::{Body, Fields};
use crate::http::{Code, Reject, Reply, Request, Response, url_path};
use crate::pool::Pool;

/// A folder that is served.
#[derive(Debug)]
pub struct Files {
    root: Arc<OwnedFd>,
    cache: FileCache,
    dress: respond::Dress,
}

impl Files {
    /// Serves what lies beneath `root`, with the fields that `dress` gives each file; remembers at most
    /// about `descriptors` open files.
    pub fn new(root: Arc<OwnedFd>, dress: respond::Dress, descriptors: u64) -> Self {
        Self { root, cache: FileCache::new(descriptors), dress }
    }

    /// Answers a GET or HEAD for `name`, a decoded path without its leading slash.
    #[inline]
    pub fn serve<'b>(&'b self, request: &Request<'b>, name: &str, now: Millis, pool: &Pool) -> Answer<'b> {
        if let Some(entry) = self.cache.get(name)
            && (entry.is_fresh(now) || self.is_still(&entry, name, now))
            && entry.is_as_promised()
        {
            return Reply::Now(respond::file(&entry, request));
        }
        let mut found = resolve::look(self.root.as_fd(), name, Effort::Cached);
        if matches!(&found, Ok(Found::Failed(error)) if is_exhausted(error)) {
            // The descriptors that are remembered here are the first to be spared.
            self.cache.clear();
            found = resolve::look(self.root.as_fd(), name, Effort::Cached);
        }
        match found {
            Ok(found) => Reply::Now(self.settle(found, name, request, now)),
            Err(WouldBlock) => self.serve_later(*request, name.to_owned(), now, pool),
        }
    }

    /// Looks at a stale entry's file without blocking; true when it is the same version.
    fn is_still(&self, entry: &Entry, name: &str, now: Millis) -> bool {
        let same = resolve::identify(self.root.as_fd(), name) == Ok(Some(entry.identity));
        if same {
            entry.checked.set(now);
        }
        same
    }

    fn serve_later<'b>(&'b self, request: Request<'b>, name: String, now: Millis, pool: &Pool) -> Answer<'b> {
        let (root, path) = (Arc::clone(&self.root), name.clone());
        let work = move || {
            crate::failpoint!("open");
            resolve::look(root.as_fd(), &path, Effort::Blocking)
        };
        match pool.run("opening a file", work) {
            Err(_) => Reply::Now(Err(Reject::pool_saturated())),
            Ok(pending) => Reply::Later(Box::pin(async move {
                match pending.await {
                    Ok(Ok(found)) => self.settle(found, &name, &request, now),
                    // A blocking look never would block; a lost one panicked.
                    Ok(Err(WouldBlock)) | Err(_) => {
                        Err(Reject::new(Code::Internal, "The file could not be opened."))
                    }
                }
            })),
        }
    }

    /// Turns what was found into an answer, and remembers a file.
    fn settle(
        &self,
        found: Found,
        name: &str,
        request: &Request<'_>,
        now: Millis,
    ) -> Result<Response, Reject> {
        match found {
            Found::File(file) => {
                let settled = file.settled;
                let entry = Rc::new(self.dress.entry(file, name, now));
                if settled {
                    self.cache.put(name, Rc::clone(&entry));
                } else {
                    self.cache.remove(name);
                }
                respond::file(&entry, request)
            }
            found => {
                self.cache.remove(name);
                self.nothing(found, name, request)
            }
        }
    }

    fn nothing(&self, found: Found, name: &str, request: &Request<'_>) -> Result<Response, Reject> {
        match found {
            Found::Folder if self.dress.folders => Ok(redirect(name, request)),
            Found::File(_) | Found::Folder | Found::Nothing => Err(not_found()),
            Found::Outside => Err(Reject::new(Code::TraversalRefused, "The path leads out of the folder.")
                .seen(format!("a symbolic link leads out of the root: /{name}"))),
            Found::Unreadable => Err(Reject::new(Code::Unreadable, "The server may not read this file.")
                .seen(format!("permission denied: /{name}"))),
            Found::Failed(error) => Err(Reject::new(Code::Internal, "The file could not be opened.")
                .seen(format!("opening /{name}: {error}"))),
        }
    }
}

/// Whether there were no descriptors left, in this process or on this machine.
fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// 404, the same for everything that is not there.
pub fn not_found() -> Reject {
    Reject::new(Code::NotFound, "There is nothing at this address.")
}

/// A folder's address ends with a slash, or its relative links would lead astray (FILE-1).
fn redirect(name: &str, request: &Request<'_>) -> Response {
    let query = request.target.iter().position(|byte| *byte == b'?');
    let query = query.and_then(|at| request.target.get(at..)).unwrap_or_default();
    let mut fields = format!("Location: /{}/", url_path::encode(name)).into_bytes();
    // The query is visible ASCII: the target was judged.
    fields.extend_from_slice(query);
    fields.extend_from_slice(b"\r\n");
    Response::new(308, Fields::Owned(fields), Body::Static(""))
}
