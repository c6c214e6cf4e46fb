//! `cargo xtask corpora`: what other projects test their request parsers with, against our binary.
//!
//! ```text
//! gunicorn.rs, llhttp.rs   files of a folder ─► cases: bytes, and what their authors say of them
//! exceptions.rs            where the RFC or our contract says otherwise, each with its reason
//! talk.rs                  each case over a connection of its own, in one piece and byte by byte ─► answers
//! judge.rs                 answers ─► accepted, refused or wrong          ─► a table, and what does not hold
//! ```
//! The files are not ours and are not kept here. gunicorn's come with its source package, which pip fetches where no
//! folder is named; llhttp's are in its repository alone.

mod cases;
mod exceptions;
mod gunicorn;
mod judge;
mod llhttp;
mod talk;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::{fs, thread};

use crate::Verdict;
use crate::bench::grid::Grid;
use crate::bench::process::{self, Process};
use crate::bench::servers;
use crate::command::TempDir;
use crate::context::Context;
use crate::subject;
use cases::Case;
use talk::Pace;

/// Most cases wait for the server to close, so many may wait at once.
const THREADS: usize = 32;

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    gunicorn: Option<PathBuf>,
    llhttp: Option<PathBuf>,
    binary: Option<PathBuf>,
}

/// `cargo xtask corpora FLAGS`. An `Err` says what is wrong with the flags.
pub(crate) fn run(root: &Path, flags: &[&str]) -> Result<Verdict, String> {
    let plan = parse(flags)?;
    Ok(perform(root, &plan).unwrap_or_else(|problem| {
        eprintln!("corpora: {problem}");
        Verdict::Bad
    }))
}

fn parse(words: &[&str]) -> Result<Plan, String> {
    let mut plan = Plan::default();
    let mut rest = words.iter();
    while let Some(&flag) = rest.next() {
        let value = match flag {
            "--gunicorn" => &mut plan.gunicorn,
            "--llhttp" => &mut plan.llhttp,
            "--binary" => &mut plan.binary,
            _ => return Err(format!("`corpora` does not know `{flag}`")),
        };
        *value = Some(rest.next().ok_or_else(|| format!("`{flag}` needs a value"))?.into());
    }
    Ok(plan)
}

fn perform(root: &Path, plan: &Plan) -> Result<Verdict, String> {
    let context = Context::new(root).map_err(|error| format!("no folders for tools and logs: {error}"))?;
    let cases = read(&context, plan)?;
    let program = subject::program(&context, plan.binary.as_deref())?;
    let folder = TempDir::new("corpora").map_err(|error| format!("no temporary folder: {error}"))?;
    let (server, port) = start(&context, &program, folder.path())?;
    let mut found = ask_all(&cases, port);
    drop(server);
    found.extend(exceptions::stale(&cases).into_iter().map(|line| ("exceptions", line)));
    println!(
        "{}\nNot as their authors say:\n  {}\n",
        table(&cases, &found),
        exceptions::told(&cases).join("\n  ")
    );
    for (corpus, line) in &found {
        println!("{corpus}: {line}");
    }
    Ok(if found.is_empty() { Verdict::Good } else { Verdict::Bad })
}

/// The cases of both corpora; llhttp's only where its folder is named.
fn read(context: &Context, plan: &Plan) -> Result<Vec<Case>, String> {
    let folder = match &plan.gunicorn {
        Some(folder) => folder.clone(),
        None => gunicorn::fetch(context)?,
    };
    let mut cases = gunicorn::read(&folder)?;
    match &plan.llhttp {
        Some(folder) => cases.extend(llhttp::read(folder)?),
        None => println!("llhttp: left out; --llhttp names a checkout of its repository"),
    }
    Ok(cases)
}

/// A server to whom every host is welcome, and which soon tires of who says nothing.
fn start(context: &Context, program: &Path, folder: &Path) -> Result<(Process, u16), String> {
    let root = folder.join("root");
    let files = fs::create_dir(&root).and_then(|()| fs::write(root.join("index.html"), "home"));
    files.map_err(|error| format!("no files to serve: {error}"))?;
    let port = servers::free_port().map_err(|error| format!("no free port: {error}"))?;
    let mut command = process::tethered(context, None, program);
    command.env_clear().args(["--port", &port.to_string(), "--allow-host", "*", "--rate-limit", "off"]);
    command.args(["--max-connections-per-ip", "0", "--keep-alive", "1s", "--header-timeout", "2s"]);
    command.args(["--access-log", "off", "--root"]).arg(&root);
    let log = folder.join("log");
    let mut server = Process::start(&mut command, &log).map_err(|error| format!("no server: {error}"))?;
    if talk::answers_soon(port, || !server.has_ended()) {
        return Ok((server, port));
    }
    let said = fs::read_to_string(&log).unwrap_or_default();
    Err(format!("the server did not come up; it said:\n{said}"))
}

/// Asks every case in both ways; returns what does not hold, each with its corpus.
fn ask_all(cases: &[Case], port: u16) -> Vec<(&'static str, String)> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(line) = ask(case, port) {
                        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                        found.push((case.corpus, format!("{}: {line}", case.name)));
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort();
    found
}

/// Asks one case in one piece and byte by byte: both must come out as they should.
fn ask(case: &Case, port: u16) -> Result<(), String> {
    for pace in [Pace::Whole, Pace::Bytes] {
        let heard = talk::talk(port, &case.sent(), pace).map_err(|error| format!("{pace:?}: {error}"))?;
        judge::judge(case, &heard).map_err(|wrong| format!("{pace:?}: {wrong}: {heard}"))?;
    }
    Ok(())
}

fn table(cases: &[Case], found: &[(&'static str, String)]) -> Grid {
    let mut grid = Grid::new(["corpus", "valid", "invalid", "unfinished", "exceptions", "wrong"]);
    for corpus in [gunicorn::NAME, llhttp::NAME] {
        let of = |wanted: fn(&Case) -> bool| {
            cases.iter().filter(|case| case.corpus == corpus && wanted(case)).count().to_string()
        };
        let wrong = found.iter().filter(|(of, _)| *of == corpus).count().to_string();
        grid.row([
            corpus.to_owned(),
            of(Case::is_valid),
            of(Case::is_invalid),
            of(Case::is_unfinished),
            of(|case| exceptions::of(case).is_some()),
            wrong,
        ]);
    }
    grid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_name_folders() {
        let plan = parse(&["--llhttp", "a", "--gunicorn", "b"]).unwrap();
        assert_eq!(plan, Plan { llhttp: Some("a".into()), gunicorn: Some("b".into()), binary: None });
        assert!(parse(&["--gunicorn"]).is_err());
        assert!(parse(&["--puma", "x"]).is_err());
    }
}
