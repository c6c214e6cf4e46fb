//! HTTP semantics (RFC 9110) without sockets, disks or settings: pure functions and plain records.
//!
//! `request` what was asked · `response` what is answered · `reject` every refusal and its table ·
//! `problem` how a refusal reads · `page` what our own pages share · `url_path` target to file name ·
//! `negotiate` RFC 9110 §12 · `conditional` §13 · `range` and `multipart` §14 · `validators` ETag and
//! Last-Modified · `host` who we are · `forwarded` for whom a proxy speaks · `cors` whose scripts may read ·
//! `explain` what a refusal means · `mime` and `disposition` what a file is.

pub mod conditional;
pub mod cors;
pub mod disposition;
pub mod explain;
pub mod forwarded;
pub mod host;
pub mod mime;
pub mod multipart;
pub mod negotiate;
pub mod page;
pub mod problem;
pub mod range;
pub mod reject;
pub mod request;
pub mod response;
pub mod url_path;
pub mod validators;

pub use reject::{Code, Reject};
pub use request::{Method, Request};
pub use response::{Body, Reply, Response};
