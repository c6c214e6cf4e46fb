//! The flags of `cargo xtask faults`.

use std::path::PathBuf;

use super::matrix::{CALLS, Call, ERRNOS};

/// What is to be done.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) calls: Vec<Call>,
    pub(super) errnos: Vec<String>,
    /// Servers at a time.
    pub(super) jobs: usize,
    /// A server that is already built.
    pub(super) binary: Option<PathBuf>,
    /// Faults of the running server, and faults while it starts.
    pub(super) running: bool,
    pub(super) starting: bool,
    /// Lies in place of faults: the checks must see them.
    pub(super) lies: bool,
    pub(super) write: bool,
}

/// As many servers at a time as keep two cores busy: most of a case is waiting.
const JOBS: usize = 3;
const JOBS_MOST: usize = 16;

pub(super) fn parse(words: &[&str]) -> Result<Plan, String> {
    let mut plan = Plan {
        calls: CALLS.to_vec(),
        errnos: ERRNOS.iter().map(|errno| errno.name.to_owned()).collect(),
        jobs: JOBS,
        binary: None,
        running: true,
        starting: true,
        lies: false,
        write: false,
    };
    let mut rest = words.iter();
    while let Some(&flag) = rest.next() {
        let mut value = || rest.next().copied().ok_or_else(|| format!("`{flag}` needs a value"));
        match flag {
            "--calls" => plan.calls = value()?.split(',').map(call).collect::<Result<_, _>>()?,
            "--errnos" => plan.errnos = value()?.split(',').map(errno).collect::<Result<_, _>>()?,
            "--jobs" => {
                let jobs = value()?.parse().ok().filter(|jobs| (1..=JOBS_MOST).contains(jobs));
                plan.jobs = jobs.ok_or_else(|| format!("`--jobs` is a number from 1 to {JOBS_MOST}"))?;
            }
            "--binary" => plan.binary = Some(value()?.into()),
            "--running" => plan.starting = false,
            "--starting" => plan.running = false,
            "--break" => plan.lies = true,
            "--write" => plan.write = true,
            _ => return Err(format!("`faults` does not know `{flag}`")),
        }
    }
    Ok(plan)
}

fn call(name: &str) -> Result<Call, String> {
    let known = CALLS.into_iter().find(|call| call.label == name);
    known.ok_or_else(|| format!("`{name}` is no row of the matrix"))
}

/// Also one that is no column: strace says what it does not know.
fn errno(name: &str) -> Result<String, String> {
    let is_name = name.starts_with('E') && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if is_name { Ok(name.to_owned()) } else { Err(format!("`{name}` is no name of an error")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_choose_rows_and_columns() {
        let plan = parse(&["--calls", "fsync,write", "--errnos", "EIO,EBADF", "--jobs", "1"]).unwrap();
        assert_eq!(plan.calls.iter().map(|call| call.name).collect::<Vec<_>>(), ["fsync", "write"]);
        assert_eq!((plan.errnos, plan.jobs), (vec!["EIO".to_owned(), "EBADF".to_owned()], 1));
        let whole = parse(&[]).unwrap();
        assert_eq!((whole.calls.len(), whole.errnos.len()), (CALLS.len(), ERRNOS.len()));
        for wrong in [&["--calls", "fork"][..], &["--errnos", "eio"], &["--jobs", "0"], &["--calls"], &["-x"]]
        {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
