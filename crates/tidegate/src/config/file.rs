//! The TOML file as a layer of settings, each value with its line and column.
//!
//! The file is walked against the table, not deserialised into a struct: so each key, each element of a list
//! and each mistake keeps its own position, and a key exists as soon as its row does.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::error::{BadValue, ConfigError, Place, Value};
use super::layers::{Given, Layer};
use super::nearest::nearest;
use super::table::{Flag, GROUPS, Shape, TABLE};

/// A configuration is some kilobytes; more than 1 MiB is another file, named by mistake (`/dev/zero`, a log).
const FILE_MAX: u64 = 1 << 20;

/// Reads the file that `path` names.
///
/// # Errors
/// A file that cannot be read, is larger than 1 MiB, is no TOML, or holds an unknown key or a value of
/// another type.
pub(super) fn read(path: &Value) -> Result<Vec<Given>, ConfigError> {
    let unreadable = |what: String| path.refused(BadValue::because(what, "a readable TOML file"));
    let input = read_text(Path::new(&path.text)).map_err(unreadable)?;
    Document { path: &path.text, input: &input }.read()
}

fn read_text(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_MAX {
        return Err("larger than 1MiB".to_owned());
    }
    String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())
}

/// One file, as read.
struct Document<'a> {
    path: &'a str,
    input: &'a str,
}

/// One key and its value, as the TOML parser gives them.
type Entry<'t, 'a> = (&'t Spanned<std::borrow::Cow<'a, str>>, &'t Spanned<DeValue<'a>>);

impl<'a> Document<'a> {
    fn read(&self) -> Result<Vec<Given>, ConfigError> {
        let root = DeTable::parse(self.input).map_err(|error| self.syntax(&error))?;
        let mut given = Vec::new();
        for (name, value) in in_order(root.get_ref()) {
            let group = name.get_ref().as_ref();
            if !GROUPS.iter().any(|(known, _)| *known == group) {
                return Err(self.unknown(name.span(), group));
            }
            let Some(table) = value.get_ref().as_table() else {
                return Err(self.problem(value.span(), group, &format!("not a group; expected [{group}]")));
            };
            for (name, value) in in_order(table) {
                let key = format!("{group}.{}", name.get_ref());
                let Some(flag) = TABLE.iter().find(|flag| flag.key == key) else {
                    return Err(self.unknown(name.span(), &key));
                };
                given.push(Given { flag, layer: Layer::File, values: self.values(flag, value)? });
            }
        }
        Ok(given)
    }

    /// The values of one key; more than one only in a list, which may be a text where it is a list of one.
    fn values(&self, flag: &Flag, value: &Spanned<DeValue<'a>>) -> Result<Vec<Value>, ConfigError> {
        match (flag.shape, value.get_ref()) {
            (Shape::List, DeValue::Array(items)) => items.iter().map(|item| self.text(flag, item)).collect(),
            _ => Ok(vec![self.text(flag, value)?]),
        }
    }

    /// One value as text, where its TOML type fits the shape of the setting.
    fn text(&self, flag: &Flag, value: &Spanned<DeValue<'a>>) -> Result<Value, ConfigError> {
        let text = match (flag.shape, value.get_ref()) {
            (Shape::Number | Shape::Word, DeValue::Integer(number)) => decimal(number),
            (Shape::Text | Shape::Word | Shape::List, DeValue::String(text)) => text.to_string(),
            (Shape::Switch | Shape::OffSwitch, DeValue::Boolean(on)) => on.to_string(),
            _ => return Err(self.wrong_type(flag, value)),
        };
        let (line, column) = self.position(value.span());
        let place = Place::File { path: self.path.to_owned(), line, column, key: flag.key.to_owned() };
        Ok(Value { text, place })
    }

    fn wrong_type(&self, flag: &Flag, value: &Spanned<DeValue<'a>>) -> ConfigError {
        let expected = match flag.shape {
            Shape::Number => "a whole number",
            Shape::Text => "text in quotes",
            Shape::Word => "a number or text in quotes",
            Shape::List => "a list of texts, like [\"a\", \"b\"]",
            Shape::Switch | Shape::OffSwitch => "true or false",
        };
        let what = format!("wrong type, {}; expected {expected}", value.get_ref().type_str());
        self.problem(value.span(), flag.key, &what)
    }

    fn unknown(&self, span: Range<usize>, key: &str) -> ConfigError {
        let hint = nearest_key(key).map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        self.problem(span, key, &format!("unknown key{hint}"))
    }

    fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let (line, column) = self.position(error.span().unwrap_or(0..0));
        ConfigError::new(format_args!("{}:{line}:{column}", self.path), error.message().replace('\n', "; "))
    }

    fn problem(&self, span: Range<usize>, key: &str, problem: &str) -> ConfigError {
        let (line, column) = self.position(span);
        ConfigError::new(format_args!("{}:{line}:{column}: {key}", self.path), problem)
    }

    /// Line and column of the span's beginning, in letters, counted from 1.
    fn position(&self, span: Range<usize>) -> (usize, usize) {
        let before = self.input.get(..span.start).unwrap_or(self.input);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        (before.matches('\n').count() + 1, column)
    }
}

/// The entries as they stand in the file, so that the first mistake is the one told.
fn in_order<'t, 'a>(table: &'t DeTable<'a>) -> Vec<Entry<'t, 'a>> {
    let mut entries: Vec<Entry<'t, 'a>> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
}

/// The known key meant by an unknown one: the same name in its right group, else the nearest spelling.
fn nearest_key(key: &str) -> Option<&'static str> {
    let name = key.rsplit('.').next().unwrap_or(key);
    let moved = TABLE.iter().filter_map(|flag| Some((flag.group_and_key()?.1, flag.key)));
    let moved = moved.into_iter().find(|(known, _)| *known == name).map(|(_, key)| key);
    let groups = || GROUPS.iter().map(|(group, _)| *group);
    let keys = || TABLE.iter().filter(|flag| !flag.key.is_empty()).map(|flag| flag.key);
    moved.or_else(|| if key.contains('.') { nearest(key, keys()) } else { nearest(key, groups()) })
}

/// The number in base ten, whatever base it was written in; what does not fit is left for the range check to
/// refuse.
fn decimal(number: &DeInteger<'_>) -> String {
    i128::from_str_radix(number.as_str(), number.radix())
        .map_or_else(|_| number.as_str().to_owned(), |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &str) -> Result<Vec<String>, String> {
        let shown = |given: Given| {
            let values: Vec<&str> = given.values.iter().map(|value| value.text.as_str()).collect();
            format!("{}={}", given.flag.key, values.join("|"))
        };
        match (Document { path: "t.toml", input }).read() {
            Ok(given) => Ok(given.into_iter().map(shown).collect()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn run_3_keys_are_read_in_their_groups() {
        let input = "[server]\nport = 8_1\nworkers = \"auto\"\nthreads = 0x10\nlisten = [\"a\", \"b\"]\n\
                     [files]\ninline = true\n";
        let given = ["server.port=81", "server.workers=auto", "server.threads=16", "server.listen=a|b"];
        assert_eq!(read(input).unwrap(), [given.as_slice(), &["files.inline=true"]].concat());
        assert_eq!(read("").unwrap(), Vec::<String>::new());
        assert_eq!(read("server.port = 1").unwrap(), ["server.port=1"], "a dotted key is the same key");
        assert_eq!(read("[tls]\ncert = 'a.pem'").unwrap(), ["tls.cert=a.pem"], "one of a list");
    }

    #[test]
    fn run_3_unknown_keys_name_the_nearest_known_one() {
        for (input, error) in [
            (
                "[limits]\n  maxbody = 1",
                "t.toml:2:3: limits.maxbody: unknown key; did you mean limits.max_body?",
            ),
            (
                "[server]\nkeep_alive = 1",
                "t.toml:2:1: server.keep_alive: unknown key; did you mean limits.keep_alive?",
            ),
            ("port = 80", "t.toml:1:1: port: unknown key; did you mean server.port?"),
            ("\n[servr]\n", "t.toml:2:2: servr: unknown key; did you mean server?"),
            ("[cache]\nsize = 'x'", "t.toml:1:2: cache: unknown key"),
            ("[log]\ncolour = 'x'", "t.toml:2:1: log.colour: unknown key"),
        ] {
            assert_eq!(read(input).unwrap_err(), error);
        }
    }

    #[test]
    fn run_3_a_wrong_type_is_refused_at_its_line_and_column() {
        for (input, error) in [
            (
                "[server]\nport = \"80\"",
                "t.toml:2:8: server.port: wrong type, string; expected a whole number",
            ),
            ("[server]\nhost = 5", "t.toml:2:8: server.host: wrong type, integer; expected text in quotes"),
            (
                "[limits]\nkeep_alive = 1.5",
                "t.toml:2:14: limits.keep_alive: wrong type, float; \
                                            expected a number or text in quotes",
            ),
            (
                "[server]\nlisten = 5",
                "t.toml:2:10: server.listen: wrong type, integer; \
                                          expected a list of texts, like [\"a\", \"b\"]",
            ),
            (
                "[server]\nlisten = [\"ä\", 5]",
                "t.toml:2:16: server.listen: wrong type, integer; \
                                               expected a list of texts, like [\"a\", \"b\"]",
            ),
            ("[files]\ninline = 1", "t.toml:2:10: files.inline: wrong type, integer; expected true or false"),
            ("server = 5", "t.toml:1:10: server: not a group; expected [server]"),
        ] {
            assert_eq!(read(input).unwrap_err(), error);
        }
    }

    #[test]
    fn run_3_broken_toml_is_refused_at_its_line_and_column() {
        for (input, place) in [
            ("[server]\nport = \n", "t.toml:2:"),
            ("[server]\nport = 1\nport = 2", "t.toml:3:1:"),
            ("[limits]\nkeep_alive = 30s", "t.toml:2:14:"),
            ("[server\n", "t.toml:1:"),
        ] {
            let error = read(input).unwrap_err();
            assert!(error.starts_with(place) && error.len() > place.len() + 5, "{error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn run_3_a_file_that_cannot_be_read_is_named() {
        let path = |text: &str| Value { text: text.to_owned(), place: Place::Flag("--config".to_owned()) };
        let error = |text| super::read(&path(text)).unwrap_err().to_string();
        assert!(error("/nonexistent/t.toml").starts_with("--config /nonexistent/t.toml: No such file"));
        assert_eq!(error("/dev/zero"), "--config /dev/zero: larger than 1MiB; expected a readable TOML file");
    }
}
