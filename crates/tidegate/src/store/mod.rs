//! Where uploads live: `json` says whether a body may be kept, `local` keeps it durably.

pub mod json;
pub mod local;

pub use local::{LocalStore, StoreError};
