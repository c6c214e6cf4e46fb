//! The environment as a layer of settings.
//!
//! `TIDEGATE_MAX_BODY` is `--max-body`; `PORT`, `LOG_LEVEL`, `LOG_FILE` and `JSON_LOG_FILE` yield to their
//! prefixed form. An empty variable counts as unset: that is what `${PORT}` becomes where nobody set it.

use std::ffi::{OsStr, OsString};

use super::error::{BadValue, ConfigError, Place, Value};
use super::layers::{Given, Layer};
use super::nearest::nearest;
use super::table::{Flag, PORT, Shape, TABLE, VARIABLE_PREFIX};

/// A snapshot of the environment, so that nothing below reads the process's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    variables: Vec<(OsString, OsString)>,
}

impl Environment {
    /// The environment of this process, now.
    pub fn current() -> Environment {
        Environment { variables: std::env::vars_os().collect() }
    }

    /// The settings given here, and what the operator should know about the rest.
    ///
    /// # Errors
    /// A variable of ours that is not UTF-8.
    pub(super) fn read(&self) -> Result<(Vec<Given>, Vec<String>), ConfigError> {
        let mut given = Vec::new();
        for flag in TABLE.iter().filter(|flag| flag.flag) {
            if let Some((name, text)) = self.variable_of(flag) {
                given.push(give(flag, &name, text)?);
            }
        }
        Ok((given, self.notes()))
    }

    /// The variable that sets `flag`: the prefixed one, else the plain one.
    fn variable_of(&self, flag: &Flag) -> Option<(String, &OsStr)> {
        let names = [Some(flag.variable()), flag.plain_variable.map(str::to_owned)];
        names.into_iter().flatten().find_map(|name| {
            let text = self.get(&name)?;
            (!is_service_link(&name, text)).then_some((name, text))
        })
    }

    fn get(&self, name: &str) -> Option<&OsStr> {
        let (_, text) = self.variables.iter().find(|(known, _)| known == name)?;
        (!text.is_empty()).then_some(text)
    }

    fn notes(&self) -> Vec<String> {
        self.variables.iter().filter_map(|(name, text)| note_on(&name.to_string_lossy(), text)).collect()
    }
}

impl FromIterator<(OsString, OsString)> for Environment {
    fn from_iter<I: IntoIterator<Item = (OsString, OsString)>>(variables: I) -> Environment {
        Environment { variables: variables.into_iter().collect() }
    }
}

/// The line about a variable with our prefix that sets nothing.
fn note_on(name: &str, text: &OsStr) -> Option<String> {
    let suffix = name.strip_prefix(VARIABLE_PREFIX)?;
    if is_service_link(name, text) {
        return Some(format!("{name}={} is ignored: Kubernetes sets it for a service", text.display()));
    }
    let variables = || TABLE.iter().filter(|flag| flag.flag).map(|flag| flag.variable());
    if variables().any(|known| known == name) {
        return None;
    }
    let known: Vec<String> = variables().collect();
    let hint = nearest(suffix, known.iter().filter_map(|known| known.strip_prefix(VARIABLE_PREFIX)))
        .map(|near| format!("; did you mean {VARIABLE_PREFIX}{near}?"))
        .unwrap_or_default();
    Some(format!("{name} is not a setting and is ignored{hint}"))
}

/// Kubernetes gives each container `NAME_PORT=tcp://…` for a service called NAME, and ours is called
/// tidegate.
fn is_service_link(name: &str, text: &OsStr) -> bool {
    name == PORT.variable() && text.as_encoded_bytes().starts_with(b"tcp://")
}

fn give(flag: &'static Flag, name: &str, text: &OsStr) -> Result<Given, ConfigError> {
    let value = |text: &str| Value { text: text.to_owned(), place: Place::Variable(name.to_owned()) };
    let Some(text) = text.to_str() else {
        return Err(value(&text.to_string_lossy()).refused(BadValue::because("not UTF-8", "UTF-8 text")));
    };
    let values = match flag.shape {
        Shape::List => text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(value).collect(),
        Shape::OffSwitch => vec![value(opposite(text))],
        _ => vec![value(text)],
    };
    Ok(Given { flag, layer: Layer::Environment, values })
}

/// What a variable called `NO_…` says of what it turns off; anything else is for `resolve` to refuse.
fn opposite(text: &str) -> &str {
    match text {
        "true" | "1" => "false",
        "false" | "0" => "true",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().map(|(name, text)| (name.into(), text.into())).collect()
    }

    /// Each setting given, as `flag=value,value`, and the notes.
    fn read(variables: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
        let (given, notes) = environment(variables).read().unwrap();
        let shown = |given: &Given| {
            let values: Vec<&str> = given.values.iter().map(|value| value.text.as_str()).collect();
            format!("{}={}", given.flag.name, values.join("|"))
        };
        (given.iter().map(shown).collect(), notes)
    }

    #[test]
    fn run_3_plain_variables_yield_to_their_prefixed_form() {
        assert_eq!(read(&[("PORT", "1")]).0, ["port=1"]);
        assert_eq!(read(&[("PORT", "1"), ("TIDEGATE_PORT", "2")]).0, ["port=2"]);
        assert_eq!(
            read(&[("LOG_LEVEL", "a"), ("LOG_FILE", "b"), ("JSON_LOG_FILE", "c")]).0,
            ["log-level=a", "log-file=b", "json-log-file=c"]
        );
        assert_eq!(
            read(&[("HOST", "x"), ("THREADS", "3")]),
            (vec![], vec![]),
            "only the four named ones are plain"
        );
    }

    #[test]
    fn run_3_lists_are_split_at_commas_and_empty_variables_are_unset() {
        assert_eq!(read(&[("TIDEGATE_ALLOW_HOST", "a, b:1,,*")]).0, ["allow-host=a|b:1|*"]);
        assert_eq!(read(&[("TIDEGATE_ROOT", "a,b")]).0, ["root=a,b"]);
        assert_eq!(read(&[("TIDEGATE_PORT", ""), ("PORT", "7")]).0, ["port=7"]);
        assert_eq!(read(&[("TIDEGATE_PORT", "")]), (vec![], vec![]));
    }

    #[test]
    fn run_3_an_unknown_variable_is_a_note_with_the_nearest_name() {
        let (given, notes) =
            read(&[("TIDEGATE_MAXBODY", "1MiB"), ("TIDEGATE_COLOUR", "x"), ("TIDEGATE", "y")]);
        assert!(given.is_empty());
        assert_eq!(
            notes,
            [
                "TIDEGATE_MAXBODY is not a setting and is ignored; did you mean TIDEGATE_MAX_BODY?",
                "TIDEGATE_COLOUR is not a setting and is ignored"
            ]
        );
    }

    #[test]
    fn run_3_the_service_link_of_kubernetes_is_ignored_with_a_note() {
        let link = ("TIDEGATE_PORT", "tcp://10.0.0.1:80");
        let note = "TIDEGATE_PORT=tcp://10.0.0.1:80 is ignored: Kubernetes sets it for a service";
        assert_eq!(read(&[link]), (vec![], vec![note.to_owned()]));
        assert_eq!(read(&[link, ("PORT", "9")]).0, ["port=9"]);
    }

    #[test]
    fn run_3_a_variable_that_is_not_utf_8_is_refused_by_name() {
        use std::os::unix::ffi::OsStringExt;
        let bad = [("TIDEGATE_ROOT".into(), OsString::from_vec(vec![b'a', 0xff]))].into_iter();
        let error = bad.collect::<Environment>().read().unwrap_err().to_string();
        assert_eq!(error, "TIDEGATE_ROOT=a\u{fffd}: not UTF-8; expected UTF-8 text");
    }
}
