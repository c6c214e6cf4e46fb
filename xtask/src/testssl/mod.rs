//! `cargo xtask testssl`: what [testssl.sh](https://testssl.sh) finds in our TLS, with an ECDSA and an RSA certificate.
//!
//! ```text
//! certificate.rs: an authority and a leaf ─► server ─► testssl, which asks nobody else ─► its JSON
//!                                             findings.rs ─► a count by severity, and what is LOW or above
//! ```
//! A finding of MEDIUM or above fails. There is no list of exceptions: the certificate comes from an authority that
//! testssl is told of, names where its revocation would be told, and lasts half a year.

mod certificate;
mod findings;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Verdict;
use crate::bench::grid::Grid;
use crate::command::TempDir;
use crate::context::Context;
use crate::subject::{self, Subject};
use crate::tools::{self, Missing, Tool};
use certificate::{Certificate, Key};
use findings::{Finding, Severity};

/// Debian's program has no suffix.
const TESTSSL: Tool = Tool::debian("testssl", "testssl.sh");

/// One run takes a minute on an idle machine.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// A whole run has 136 and more: so few mean that it came to an early end.
const FEWEST_FINDINGS: usize = 100;

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    binary: Option<PathBuf>,
    /// Somebody else's server, whose certificate is its own.
    port: Option<u16>,
}

/// `cargo xtask testssl FLAGS`. An `Err` says what is wrong with the flags.
pub(crate) fn run(root: &Path, flags: &[&str]) -> Result<Verdict, String> {
    let plan = parse(flags)?;
    Ok(perform(root, &plan).unwrap_or_else(|problem| {
        eprintln!("testssl: {problem}");
        Verdict::Bad
    }))
}

fn parse(flags: &[&str]) -> Result<Plan, String> {
    match flags {
        [] => Ok(Plan::default()),
        ["--binary", program] => Ok(Plan { binary: Some(program.into()), port: None }),
        ["--port", port] => {
            let port = port.parse().map_err(|_| "`--port` is a number".to_owned())?;
            Ok(Plan { binary: None, port: Some(port) })
        }
        _ => Err("`testssl` knows `--binary PATH` and `--port N` alone".to_owned()),
    }
}

fn perform(root: &Path, plan: &Plan) -> Result<Verdict, String> {
    let context = Context::new(root).map_err(|error| format!("no folders for tools and logs: {error}"))?;
    install(&context)?;
    let folder = TempDir::new("testssl").map_err(|error| format!("no temporary folder: {error}"))?;
    if let Some(port) = plan.port {
        let certificate = Certificate::make(&context, folder.path(), Key::Ecdsa)?;
        return Ok(judge(&[("port", examine(&context, &certificate, port)?)]));
    }
    let program = subject::program(&context, plan.binary.as_deref())?;
    let mut reports = Vec::new();
    for key in [Key::Ecdsa, Key::Rsa] {
        let certificate = Certificate::make(&context, folder.path(), key)?;
        let server = Subject::start(&context, &program, &flags(&certificate))?;
        reports.push((key.name(), examine(&context, &certificate, server.port)?));
    }
    Ok(judge(&reports))
}

fn install(context: &Context) -> Result<(), String> {
    match tools::install_missing(&[TESTSSL], context).pop() {
        None => Ok(()),
        Some(Missing::NotTried(why) | Missing::Failed(why)) => Err(why),
    }
}

/// A server that says for how long it is to be asked by TLS alone, as one that is meant for the world does.
fn flags(certificate: &Certificate) -> Vec<String> {
    let [chain, key] = [&certificate.chain, &certificate.key].map(|path| path.to_string_lossy().into_owned());
    ["--tls-cert", &chain, "--tls-key", &key, "--hsts", "8760h"].map(ToOwned::to_owned).to_vec()
}

/// Lets testssl look at the server on this port of loopback, without a look-up of names or a call to the internet.
fn examine(context: &Context, certificate: &Certificate, port: u16) -> Result<Vec<Finding>, String> {
    let report = certificate.folder.join("report.json");
    // It would rather not run than write over a file.
    let _ = std::fs::remove_file(&report);
    let mut command = context.command(TESTSSL.name, &["--ip", "127.0.0.1", "--nodns", "none", "--quiet"]);
    command.args(["--warnings", "off", "--color", "0", "--jsonfile"]).arg(&report);
    command.arg("--add-ca").arg(&certificate.authority).arg(format!("localhost:{port}"));
    let ran = context.finish_within(&mut command, LIMIT);
    let report = std::fs::read_to_string(report).map_err(|_| format!("no report:\n{}", ran.output))?;
    let findings = findings::read(&report);
    if findings.len() < FEWEST_FINDINGS || findings.iter().any(|finding| finding.severity == Severity::Fatal)
    {
        return Err(format!("it came to an early end after {} findings:\n{}", findings.len(), ran.output));
    }
    Ok(findings)
}

/// Prints how often it said what, and each finding that is worth a look.
fn judge(reports: &[(&str, Vec<Finding>)]) -> Verdict {
    let heads = Severity::ALL.iter().map(ToString::to_string);
    let mut grid = Grid::new(["certificate".to_owned()].into_iter().chain(heads).collect::<Vec<_>>());
    let mut told = Vec::new();
    for (name, findings) in reports {
        let count =
            |of: &Severity| findings.iter().filter(|finding| finding.severity == *of).count().to_string();
        grid.row([(*name).to_owned()].into_iter().chain(Severity::ALL.iter().map(count)).collect::<Vec<_>>());
        let worth_a_look = findings.iter().filter(|finding| finding.severity >= Severity::Low);
        told.extend(worth_a_look.map(|finding| format!("{name}: {finding}")));
    }
    println!("{grid}");
    told.iter().for_each(|line| println!("{line}"));
    let is_bad = |finding: &Finding| finding.severity >= Severity::Medium;
    match reports.iter().flat_map(|(_, findings)| findings).any(is_bad) {
        true => Verdict::Bad,
        false => Verdict::Good,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_name_what_is_examined() {
        assert_eq!(parse(&["--port", "8443"]), Ok(Plan { binary: None, port: Some(8443) }));
        assert_eq!(parse(&["--binary", "a"]), Ok(Plan { binary: Some("a".into()), port: None }));
        for wrong in [&["--port"][..], &["--port", "x"], &["--severity", "LOW"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_finding_of_medium_fails_and_one_below_does_not() {
        let found = |severity| {
            let finding = Finding { id: "x".to_owned(), severity, said: "y".to_owned() };
            judge(&[("ECDSA", vec![finding])])
        };
        assert_eq!(found(Severity::Low), Verdict::Good);
        assert_eq!(found(Severity::Medium), Verdict::Bad);
        assert_eq!(found(Severity::Critical), Verdict::Bad);
    }
}
