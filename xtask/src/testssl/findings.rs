//! testssl's flat JSON file, of which each member stands on a line of its own: `"severity" : "OK"`.

use std::fmt;

/// One line of its judgement.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) id: String,
    pub(super) severity: Severity,
    pub(super) said: String,
}

/// How bad it is, from nothing to worst. `Warn` speaks of testssl's own limits on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Severity {
    Info,
    Ok,
    Warn,
    Low,
    Medium,
    High,
    Critical,
    /// It gave up.
    Fatal,
}

impl Severity {
    pub(super) const ALL: [Self; 8] =
        [Self::Info, Self::Ok, Self::Warn, Self::Low, Self::Medium, Self::High, Self::Critical, Self::Fatal];

    /// A word that we do not know is the worst.
    fn of(word: &str) -> Self {
        Self::ALL.into_iter().find(|severity| severity.to_string() == word).unwrap_or(Self::Fatal)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format!("{self:?}").to_uppercase())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.severity, self.id, self.said)
    }
}

/// The findings of a report, in its order.
pub(super) fn read(report: &str) -> Vec<Finding> {
    let finding = |object: &str| {
        let severity = Severity::of(&member(object, "severity")?);
        Some(Finding { id: member(object, "id")?, severity, said: member(object, "finding")? })
    };
    report.split("{\n").skip(1).filter_map(finding).collect()
}

/// The value of the line that begins with this name.
fn member(object: &str, name: &str) -> Option<String> {
    let (_, value) = object.lines().find_map(|line| {
        let (key, value) = line.trim().split_once(':')?;
        (key.trim() == format!("\"{name}\"")).then_some((key, value))
    })?;
    let value = value.trim().trim_end_matches(',');
    Some(value.strip_prefix('"')?.strip_suffix('"')?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"[
         {
              "id"           : "cipher_order",
              "ip"           : "localhost/127.0.0.1",
              "severity"     : "HIGH",
              "finding"      : "NOT a cipher order: none, at all"
          }
,         {
              "id"           : "TLS1_3",
              "severity"     : "OK",
              "cve"          : "",
              "finding"      : "offered {final}"
          }
]"#;

    #[test]
    fn findings_are_read_with_their_severity() {
        let findings = read(REPORT);
        assert_eq!(findings.len(), 2);
        assert_eq!(findings[0].to_string(), "HIGH cipher_order: NOT a cipher order: none, at all");
        assert_eq!(findings[1].severity, Severity::Ok);
        assert_eq!(read("no JSON"), []);
    }

    #[test]
    fn a_word_that_is_new_is_the_worst() {
        let report = REPORT.replace("HIGH", "HORRIBLE");
        assert_eq!(read(&report)[0].severity, Severity::Fatal);
        assert!(Severity::Medium > Severity::Low && Severity::Low > Severity::Warn);
    }
}
