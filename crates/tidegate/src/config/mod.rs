//! Configuration: command line, environment and file into validated [`Settings`].
//!
//! ```text
//! table ──► cli   ─┐                                    table    every setting under all of its names
//!       ──► env   ─┼─► layers ──► resolve ──► Settings  layers   flag > environment > file > default
//!       ──► file  ─┘                          │         resolve  the type and the bounds of each row
//!                                             └─► show  TOML again; what a reload may not change
//! ```
//! `units`, `address` and `origin` parse single values, `tls` holds what belongs together of TLS, `error` says what is
//! wrong and where, `nearest` guesses what was meant. A new setting is a row in `table`, a field in `settings`, a line in `resolve` and one in
//! `show`.

mod address;
mod cli;
mod env;
mod error;
mod file;
mod layers;
mod nearest;
mod origin;
mod rate;
mod resolve;
mod settings;
mod show;
mod table;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod units;

use std::io;

pub use address::{AllowHosts, ListenAddr};
pub use clap_complete::Shell;
pub use cli::{BansRequest, Command, Exit, Explain, Invocation, parse};
pub use env::Environment;
pub use error::ConfigError;
pub use nearest::nearest;
pub use rate::{RateError, RateLimit, rate_limit};
pub use settings::{
    AccessFormat, AdminSettings, BanMode, BanSettings, ClientSettings, CorsSettings, FileSettings,
    HostSettings, LimitSettings, LogSettings, ServerSettings, Settings, ThreadRange, UploadSettings,
};
pub use tls::{TlsPair, TlsSettings};
pub use token::Token;

/// What `-h` says of a long flag, given without its dashes; `None` where there is no such flag.
pub fn help_of(flag: &str) -> Option<String> {
    table::TABLE.iter().find(|row| row.flag && row.name == flag).map(|row| cli::short_help(row))
}

/// Writes the completions for a shell.
///
/// # Errors
/// Those of `out`.
pub fn completions(shell: Shell, out: &mut dyn io::Write) -> io::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), "tidegate", &mut script);
    out.write_all(&script)
}

/// Writes the man page, `tidegate(1)`, in roff.
///
/// # Errors
/// Those of `out`.
pub fn man(out: &mut dyn io::Write) -> io::Result<()> {
    clap_mangen::Man::new(cli::command()).render(out)
}
