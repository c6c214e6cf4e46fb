//! The layers of settings laid over each other: flag > environment > file > default (RUN-3).
//!
//! Every layer is validated, also where a higher one hides it: a mistake in the file is told at start, not on
//! the day somebody drops the flag. The highest layer that gives a setting decides it, lists included.

use super::cli::Invocation;
use super::env::Environment;
use super::error::{BadValue, ConfigError, Place, Value};
use super::file;
use super::table::{CONFIG, Flag};

/// All layers, lowest first.
#[derive(Debug)]
pub(super) struct Layers {
    given: Vec<Given>,
    /// What the operator should know, from any layer.
    pub(super) notes: Vec<String>,
}

/// One setting as one layer gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) flag: &'static Flag,
    pub(super) layer: Layer,
    /// One value; for a list any number of them.
    pub(super) values: Vec<Value>,
}

/// Where a setting comes from; a later one overrides an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    File,
    Environment,
    CommandLine,
}

impl Layers {
    /// Reads the environment and the file, and lays the flags on top.
    ///
    /// # Errors
    /// A file that cannot be read, is no TOML or has an unknown key; a variable that is not UTF-8.
    pub(super) fn gather(invocation: &Invocation, environment: &Environment) -> Result<Layers, ConfigError> {
        let (variables, notes) = environment.read()?;
        let above = Layers { given: [variables, invocation.given.clone()].concat(), notes };
        let in_file = match above.last(&CONFIG) {
            Some(path) => file::read(path)?,
            None => Vec::new(),
        };
        Ok(Layers { given: [in_file, above.given].concat(), notes: above.notes })
    }

    /// The highest layer that gives this setting; `None` where it is at its default.
    pub(super) fn rank(&self, flag: &Flag) -> Option<Layer> {
        self.of(flag).map(|given| given.layer).max()
    }

    /// A setting that has a default.
    pub(super) fn one<T>(
        &self,
        flag: &Flag,
        parse: impl Fn(&str) -> Result<T, BadValue>,
    ) -> Result<T, ConfigError> {
        match self.optional(flag, &parse)? {
            Some(value) => Ok(value),
            None => read(&default_of(flag), &parse),
        }
    }

    /// A setting that may be absent.
    pub(super) fn optional<T>(
        &self,
        flag: &Flag,
        parse: impl Fn(&str) -> Result<T, BadValue>,
    ) -> Result<Option<T>, ConfigError> {
        let mut highest = None;
        for value in self.of(flag).flat_map(|given| &given.values) {
            highest = Some(read(value, &parse)?);
        }
        Ok(highest)
    }

    /// A setting of at most `max` values.
    pub(super) fn list<T>(
        &self,
        flag: &Flag,
        max: usize,
        parse: impl Fn(&str) -> Result<T, BadValue>,
    ) -> Result<Vec<T>, ConfigError> {
        let mut highest = None;
        for given in self.of(flag) {
            if let Some(beyond) = given.values.get(max) {
                return Err(beyond.refused(BadValue::because("too many", format!("at most {max} of them"))));
            }
            highest = Some(given.values.iter().map(|value| read(value, &parse)).collect::<Result<_, _>>()?);
        }
        match highest {
            Some(values) => Ok(values),
            None => default_of(flag)
                .text
                .split_terminator(',')
                .map(|text| read_default(flag, text, &parse))
                .collect(),
        }
    }

    /// The value that decides a setting, to be named where it fails a later check.
    pub(super) fn deciding(&self, flag: &Flag) -> Value {
        self.last(flag).cloned().unwrap_or_else(|| default_of(flag))
    }

    fn last(&self, flag: &Flag) -> Option<&Value> {
        self.of(flag).flat_map(|given| &given.values).last()
    }

    fn of(&self, flag: &Flag) -> impl Iterator<Item = &Given> {
        self.given.iter().filter(move |given| given.flag.name == flag.name)
    }
}

fn default_of(flag: &Flag) -> Value {
    let text = flag.default.unwrap_or_default().to_owned();
    Value { text, place: Place::Default(format!("default of --{}", flag.name)) }
}

fn read_default<T>(
    flag: &Flag,
    text: &str,
    parse: impl Fn(&str) -> Result<T, BadValue>,
) -> Result<T, ConfigError> {
    read(&Value { text: text.to_owned(), ..default_of(flag) }, parse)
}

fn read<T>(value: &Value, parse: impl Fn(&str) -> Result<T, BadValue>) -> Result<T, ConfigError> {
    parse(&value.text).map_err(|bad| value.refused(bad))
}
