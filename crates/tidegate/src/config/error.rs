//! What is wrong with a configuration, and where it was written.
//!
//! A parser knows only the text: it returns [`BadValue`]. The layer knows the place: [`Value`] carries it.
//! Both together are a [`ConfigError`], the only error that leaves this module.

use std::fmt;

/// A configuration that cannot be used: where it was written and what was expected. Exit code 2 (RUN-3).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    place: String,
    problem: String,
}

impl ConfigError {
    pub(super) fn new(place: impl fmt::Display, problem: impl Into<String>) -> ConfigError {
        ConfigError { place: place.to_string(), problem: problem.into() }
    }
}

/// One value as it was written, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) place: Place,
}

impl Value {
    /// The error that names this value and its place.
    pub(super) fn refused(&self, bad: BadValue) -> ConfigError {
        let text = &self.text;
        match (&self.place, bad.what) {
            (Place::File { .. }, None) => {
                ConfigError::new(&self.place, format!("bad value `{text}`; expected {}", bad.expected))
            }
            (Place::File { .. }, Some(what)) => {
                ConfigError::new(&self.place, format!("{what}; expected {}", bad.expected))
            }
            (Place::Variable(name), what) => {
                ConfigError::new(format_args!("{name}={text}"), sentence(what, &bad.expected))
            }
            (Place::Flag(name) | Place::Default(name), what) => {
                ConfigError::new(format_args!("{name} {text}"), sentence(what, &bad.expected))
            }
        }
    }
}

fn sentence(what: Option<String>, expected: &str) -> String {
    match what {
        Some(what) => format!("{what}; expected {expected}"),
        None => format!("expected {expected}"),
    }
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere: our default, under the name of its flag.
    Default(String),
    /// In the file, at a line and a column counted from 1.
    File { path: String, line: usize, column: usize, key: String },
    /// In this environment variable.
    Variable(String),
    /// On the command line, as `--port` or as the positional `PORT`.
    Flag(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { path, line, column, key } => write!(f, "{path}:{line}:{column}: {key}"),
            Place::Default(name) | Place::Variable(name) | Place::Flag(name) => f.write_str(name),
        }
    }
}

/// Why a text is no value of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadValue {
    /// What is wrong, where the text itself does not show it.
    what: Option<String>,
    /// What would have been right, with an example.
    expected: String,
}

impl BadValue {
    pub(super) fn expected(expected: impl Into<String>) -> BadValue {
        BadValue { what: None, expected: expected.into() }
    }

    pub(super) fn because(what: impl Into<String>, expected: impl Into<String>) -> BadValue {
        BadValue { what: Some(what.into()), expected: expected.into() }
    }
}
