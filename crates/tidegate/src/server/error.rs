//! Why a server does not start.

use std::io;
use std::path::PathBuf;

use crate::config::ListenAddr;
use crate::net::tls::CertificateError;
use crate::sandbox::UserError;

/// Why the server did not start; a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The folder to serve is not there.
    #[error("root {0}: {1}; name the folder to serve with `-r FOLDER`")]
    Root(String, io::Error),
    /// An address cannot be had.
    #[error("{0}: address in use; another server listens there (choose another with -p or --listen)")]
    InUse(ListenAddr),
    /// The server that is to be replaced has the same port at another address, and accepts there until this one could.
    #[error(
        "{0}: in use by the server that runs, as {1}; a takeover cannot go from one to the other: keep {1}, or stop that \
         server first"
    )]
    HeldBefore(ListenAddr, ListenAddr),
    /// The control socket cannot be made.
    #[error("--control {}: {}", .0.display(), .1)]
    Control(PathBuf, io::Error),
    /// Another server has the control socket.
    #[error(
        "--control {}: in use; another server listens there, or has not ended yet (--takeover takes its place)", .0.display()
    )]
    ControlInUse(PathBuf),
    /// An address cannot be bound for another reason.
    #[error("cannot listen on {0}: {1}")]
    Listen(ListenAddr, io::Error),
    /// What a service manager left open cannot be served.
    #[error("cannot take over the sockets of the service manager: {0}")]
    Inherited(String),
    /// The server that runs does not let itself be replaced.
    #[error("--takeover {}: {}", .0.display(), .1)]
    Takeover(PathBuf, String),
    /// A log file cannot be opened.
    #[error("cannot open the log: {0}")]
    Log(io::Error),
    /// The right to do so is missing.
    #[error("cannot listen on {0}: permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE")]
    Denied(ListenAddr),
    /// The folder for what survives a restart cannot be used.
    #[error("cannot use the state folder {}: {}", .0.display(), .1)]
    State(PathBuf, io::Error),
    /// A certificate cannot be served.
    #[error(transparent)]
    Tls(#[from] CertificateError),
    /// The process cannot become the user that was asked for.
    #[error(transparent)]
    User(#[from] UserError),
    /// That user may not write there: it, and why.
    #[error(
        "user {0} cannot store uploads: {1}; make the folder that user's, or name another with --uploads"
    )]
    Uploads(String, String),
    /// That user may not write there: it, where, and why.
    #[error("user {0} cannot begin a log in {1}: {2}; make the folder that user's, or log elsewhere")]
    Logs(String, String, io::Error),
    /// The system refuses something else.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
}
