//! Metrics as text: Prometheus' format 0.0.4, and one flat JSON object (SPEC OBS-2).
//!
//! A [`Family`] is a name, what it means, and its series; `metrics` builds the list, [`text`] and [`json`] write it.

use std::fmt::{self, Write};

/// All series of one name.
#[derive(Clone, Debug)]
pub struct Family {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    series: Vec<Series>,
}

/// One number and what it is called.
#[derive(Clone, Debug)]
struct Series {
    /// What stands between the family's name and the labels.
    suffix: &'static str,
    /// `{name="value",…}`, or nothing.
    labels: String,
    value: Number,
}

/// A value; whole numbers are written exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A count.
    Whole(u64),
    /// A measure; always finite, for JSON has no other.
    Real(f64),
}

/// Counts per bucket, as any histogram of this server holds them.
#[derive(Clone, Copy, Debug)]
pub struct Buckets<'a> {
    /// The upper ends, in the metric's unit; the bucket of the rest has none.
    pub bounds: &'a [f64],
    /// One more than there are bounds; not yet cumulative.
    pub counts: &'a [u64],
    /// Everything together, in the metric's unit.
    pub sum: f64,
}

impl Family {
    /// What only grows; by custom its name ends in `_total`.
    pub fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: "counter", series: Vec::new() }
    }

    /// What comes and goes.
    pub fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: "gauge", series: Vec::new() }
    }

    /// How measures are spread.
    pub fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: "histogram", series: Vec::new() }
    }

    /// Adds its only series.
    #[must_use]
    pub fn is(self, value: impl Into<Number>) -> Self {
        self.with(&[], value)
    }

    /// Adds a series told apart by `labels`.
    #[must_use]
    pub fn with(mut self, labels: &[(&str, &str)], value: impl Into<Number>) -> Self {
        self.push("", labels, value.into());
        self
    }

    /// Adds a series for each of `values`, told apart by the label `name`.
    #[must_use]
    pub fn by<'v, V: Into<Number>>(self, name: &str, values: impl Iterator<Item = (&'v str, V)>) -> Self {
        values.fold(self, |family, (label, value)| family.with(&[(name, label)], value))
    }

    /// Adds the series of one histogram: a running total per bound, all of them, and the sum.
    #[must_use]
    pub fn spread(mut self, labels: &[(&str, &str)], buckets: Buckets<'_>) -> Self {
        let ends = buckets.bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        let mut running = 0;
        for (end, count) in ends.zip(buckets.counts) {
            running += count;
            self.push("_bucket", &[labels, &[("le", &end)]].concat(), Number::Whole(running));
        }
        self.push("_sum", labels, buckets.sum.into());
        self.push("_count", labels, Number::Whole(running));
        self
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there is nothing to tell yet.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    fn push(&mut self, suffix: &'static str, labels: &[(&str, &str)], value: Number) {
        let pairs: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) };
        self.series.push(Series { suffix, labels, value });
    }
}

/// The families in Prometheus' text format; one without series is left out.
pub fn text(families: &[Family]) -> String {
    let mut out = String::new();
    for Family { name, help, kind, series } in families.iter().filter(|family| !family.is_empty()) {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for Series { suffix, labels, value } in series {
            let _ = writeln!(out, "{name}{suffix}{labels} {value}");
        }
    }
    out
}

/// The families as one JSON object, `{"name{labels}": number}`.
pub fn json(families: &[Family]) -> String {
    let mut out = String::from("{");
    for (name, series) in families.iter().flat_map(|family| family.series.iter().map(|s| (family.name, s))) {
        let key = serde_json::Value::from(format!("{name}{}{}", series.suffix, series.labels));
        let comma = if out.len() > 1 { "," } else { "" };
        let _ = write!(out, "{comma}\n{key}: {}", series.value);
    }
    out.push_str("\n}\n");
    out
}

/// A label's value between its quotes.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Real(number) => number.fmt(f),
        }
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<usize> for Number {
    fn from(number: usize) -> Self {
        Self::Whole(number as u64)
    }
}

impl From<bool> for Number {
    fn from(yes: bool) -> Self {
        Self::Whole(yes.into())
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        debug_assert!(number.is_finite(), "JSON has no {number}");
        Self::Real(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn families() -> [Family; 4] {
        let waits = Buckets { bounds: &[0.00005, 1.0], counts: &[3, 0, 2], sum: 7.5 };
        [
            Family::counter("a_total", "Some.").by("kind", [("x", 1_u64), ("y", u64::MAX)].into_iter()),
            Family::gauge("b", "Other.").is(true),
            Family::histogram("c_seconds", "Waits.").spread(&[("m", "a\"b\\c\nd")], waits),
            Family::gauge("never", "Nothing yet."),
        ]
    }

    #[test]
    fn obs_2_families_read_as_prometheus_text() {
        let expected = "# HELP a_total Some.\n# TYPE a_total counter\na_total{kind=\"x\"} 1\n\
            a_total{kind=\"y\"} 18446744073709551615\n\
            # HELP b Other.\n# TYPE b gauge\nb 1\n\
            # HELP c_seconds Waits.\n# TYPE c_seconds histogram\n\
            c_seconds_bucket{m=\"a\\\"b\\\\c\\nd\",le=\"0.00005\"} 3\n\
            c_seconds_bucket{m=\"a\\\"b\\\\c\\nd\",le=\"1\"} 3\n\
            c_seconds_bucket{m=\"a\\\"b\\\\c\\nd\",le=\"+Inf\"} 5\n\
            c_seconds_sum{m=\"a\\\"b\\\\c\\nd\"} 7.5\nc_seconds_count{m=\"a\\\"b\\\\c\\nd\"} 5\n";
        assert_eq!(text(&families()), expected);
    }

    #[test]
    fn obs_2_json_has_the_same_series_and_numbers() {
        let told: serde_json::Value = serde_json::from_str(&json(&families())).unwrap();
        let text = text(&families());
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(told.as_object().unwrap().len(), lines.len());
        for line in lines {
            let (key, value) = line.rsplit_once(' ').unwrap();
            assert_eq!(told[key].to_string().trim_end_matches(".0"), value, "{key}");
        }
        assert_eq!(json(&[]), "{\n}\n");
    }
}
