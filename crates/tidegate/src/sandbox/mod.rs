//! What the process may do once it has started, and nothing beyond (SPEC SEC-7).
//!
//! ```text
//! bind ─► user: another user, no capabilities ─► files are opened ─► landlock: known folders only ─► threads
//! ```
//! `grants` says which folders these are. `user` and `landlock` act on the calling thread, and on those that it starts
//! later: they are called before there is another.

mod grants;
mod landlock;
mod user;

pub use grants::{Grant, Purpose, grants};
pub use landlock::{Confined, confine};
pub use user::{User, UserError};

/// Gives up for good what a program could gain by being executed: bits like setuid count no more (prctl(2),
/// `PR_SET_NO_NEW_PRIVS`). Landlock asks for it, and it costs nothing where there is no Landlock.
///
/// # Errors
/// `EINVAL` before Linux 3.5.
pub fn gain_nothing_by_exec() -> std::io::Result<()> {
    Ok(rustix::thread::set_no_new_privs(true)?)
}
