//! h2spec's JUnit file: `<testcase package="http2/5.1.1" classname="Sends …">`, with an element inside where the case
//! did not pass.

use std::collections::HashMap;
use std::fmt;

/// One case.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Case {
    /// As h2spec takes it on its command line: `http2/5.1.1/2`.
    pub(super) id: String,
    pub(super) title: String,
    pub(super) outcome: Outcome,
    /// What was expected and what came, line by line.
    pub(super) said: String,
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Passed,
    Failed,
    Skipped,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}: {}", self.id, self.outcome, self.title)?;
        let mut lines = self.said.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// The cases of a report, in its order.
pub(super) fn read(report: &str) -> Vec<Case> {
    let mut numbers = HashMap::new();
    let cases = report.split("<testcase ").skip(1).filter_map(|text| {
        let (attributes, rest) = text.split_once('>')?;
        let inside = rest.split("</testcase>").next().unwrap_or_default();
        let package = attribute(attributes, "package")?;
        let number = numbers.entry(package.clone()).or_insert(0);
        *number += 1;
        let id = format!("{package}/{number}");
        let outcome = outcome(inside);
        Some(Case {
            id,
            title: attribute(attributes, "classname")?,
            outcome,
            said: plain(&without_tags(inside)),
        })
    });
    cases.collect()
}

/// An `error` is a failure that h2spec gave no words of its own.
fn outcome(inside: &str) -> Outcome {
    match inside {
        "" => Outcome::Passed,
        _ if inside.contains("<skipped") => Outcome::Skipped,
        _ => Outcome::Failed,
    }
}

fn attribute(attributes: &str, name: &str) -> Option<String> {
    let (_, value) = attributes.split_once(&format!("{name}=\""))?;
    Some(plain(value.split('"').next()?))
}

fn without_tags(text: &str) -> String {
    text.split('<').map(|part| part.split_once('>').map_or(part, |(_, after)| after)).collect()
}

/// Without the references that Go's XML writer makes.
fn plain(text: &str) -> String {
    let named =
        [("&#34;", "\""), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&#xA;", "\n"), ("&amp;", "&")];
    named.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "<testsuites>\n<testsuite package=\"http2/4.2\" id=\"4.2\">\n\
        <testcase package=\"http2/4.2\" classname=\"Sends &#34;a&#34;\" time=\"0.1\"></testcase>\n\
        <testcase package=\"http2/4.2\" classname=\"Sends b\" time=\"0\"><error>GOAWAY\nTimeout</error></testcase>\n\
        <testcase package=\"hpack/2\" classname=\"c\" time=\"0\"><skipped></skipped></testcase>\n</testsuite>";

    #[test]
    fn cases_are_read_with_the_ids_of_the_command_line() {
        let cases = read(REPORT);
        let seen: Vec<_> = cases.iter().map(|case| (case.id.as_str(), case.outcome)).collect();
        let wanted = [
            ("http2/4.2/1", Outcome::Passed),
            ("http2/4.2/2", Outcome::Failed),
            ("hpack/2/1", Outcome::Skipped),
        ];
        assert_eq!(seen, wanted);
        assert_eq!(cases[0].title, "Sends \"a\"");
        assert_eq!(cases[1].to_string(), "http2/4.2/2 Failed: Sends b\n    GOAWAY\n    Timeout");
        assert_eq!(read("not XML"), []);
    }
}
