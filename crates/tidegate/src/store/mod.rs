//! Where uploads live: `json` says whether a body may be kept, `local` keeps it durably ·
//! `group_sync` lets many share one sync of a folder · `space` is what the quota is held against.

pub mod group_sync;
pub mod json;
pub mod local;
mod space;

pub use local::{LocalStore, StoreError};
