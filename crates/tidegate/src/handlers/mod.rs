//! Who answers what: one module per kind of route. A handler gets the request, answers now, later, or after
//! the body, and says what it refuses by a [`Reject`].

pub mod files;
pub mod health;
pub mod upload;

use crate::http::{Reject, Reply, Response};

/// A handler's answer: a response, or why there is none.
pub type Answer<'b> = Reply<'b, Result<Response, Reject>>;
