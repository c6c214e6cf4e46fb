//! `cargo xtask`: the project's own commands, in little more than std, and the TLS library that the server needs anyway.
//!
//! ```text
//! tidy      the house rules, checked by machine       tidy/   over tree.rs and rust_text.rs
//! test      what CI runs, in CI's order               ci/     over command.rs
//! browser   the bundled site in a real browser        one step of `test`, in ci/browser.rs
//! bench     side by side with other servers           bench/ over command.rs
//! faults    the kernel says no, call by call          faults/ over bench/
//! fuzz      every fuzz target for a long time         fuzz/ over command.rs
//! flood     one address floods, others ask on         flood/ over bench/
//! corpora   other projects' request corpora           corpora/ over bench/
//! h2spec    HTTP/2 by another project's cases        h2spec/ over subject.rs
//! testssl   TLS by another project's judgement       testssl/ over subject.rs
//! hosts     a million hostile requests                hosts.rs over bench/
//! slow      thousands of slow clients                 slow/ over bench/
//! overload  five times the load that can be served    bench/overload/
//! crash     kills and power cuts amid uploads         crash/ over bench/
//! soak      all of it at once, for long               soak/ over crash/ and flood/
//! sanitize  the tests under a sanitizer or Miri       sanitize/ over command.rs
//! ```
//!
//! Exit codes: 0 all is well, 1 something was found or failed, 2 the command line made no sense.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks on its streams")]

mod bench;
mod ci;
mod command;
mod context;
mod corpora;
mod crash;
mod dice;
mod faults;
mod flood;
mod fuzz;
mod h2spec;
mod hosts;
mod mounts;
mod parallel;
mod rust_text;
mod sanitize;
mod slow;
mod soak;
mod subject;
mod testssl;
mod tidy;
mod tools;
mod tree;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  tidy                 check the house rules
  test                 run everything CI runs
  test --list          name the steps of `test`
  test --only NAME     run only this step (repeatable)
  browser              run the browser tests against a freshly built server
  bench [speed]        tidegate side by side with other servers: CPU time per request
    --rounds N  --seconds S  --works small,304  --servers tidegate,nginx
    --log                the access log on everywhere
    --default-requests   100 requests on a connection
    --binary PATH        another build of tidegate beside this one
    --write              write bench/RESULTS.md also after a part
  bench uploads        durable uploads against a bare loop  [--rounds N] [--seconds S]
  bench idle           memory of 15,000 idle connections, plain and TLS
    --servers LIST  --binary PATH  --write
  faults               what the server does when a system call fails, for each call and error
    --calls LIST  --errnos LIST  --running  --starting  --jobs N  --binary PATH  --break  --write
  fuzz                 every fuzz target, in all a hundred million executions
    --executions N       of each target  --only TARGET (repeatable)
  flood                one address floods while others go on asking
    --seconds S  --requests N  --connections N  --no-limits  --tls  --binary PATH  --write
  flood h2             floods of HTTP/2 frames while others go on asking
    --kinds reset,ping  --frames N  --servers tidegate,h2o  --tls  --binary PATH  --write
  flood tls            floods of handshakes, and of records that carry nothing
    --kinds full,keys  --rate N (handshakes a second)  --rounds N  --binary PATH  --write
  corpora              what other projects test their request parsers with
    --gunicorn DIR  --llhttp DIR  --binary PATH
  h2spec               HTTP/2 in the clear and over TLS by h2spec's cases
    --bin PATH (of h2spec 2.6)  --binary PATH  --port N (of another server)
  testssl              TLS as testssl.sh judges it, with an ECDSA and an RSA certificate
    --binary PATH  --port N (of another server)
  hosts                hostile names, paths, methods and addresses: series and memory  [--requests N]
  slow                 slow clients against tidegate and nginx
    --manner heads|bodies|reads|ranges  --connections N  --seconds S  --header-timeout 600s  --write
  overload             five times as many requests as can be served  [--seconds N] [--queue N]
  crash                kill -9 and power cuts amid uploads: is what was acknowledged there?
    --kills N  --powercuts N  --no-fsync  --no-link  --seed N  --binary PATH
  soak                 mixed clients, and something done to the server every ten seconds
    --minutes N  --corrupt  --seed N  --binary PATH
  sanitize TOOL        the tests under a tool that sees more: address, thread or miri
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    match run(&args) {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("cargo xtask: {problem}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// How a command ended, once its command line was understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    Bad,
}

/// Chooses the command. An `Err` says what is wrong with the command line.
fn run(args: &[String]) -> Result<Verdict, String> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["tidy"] => Ok(tidy::run(&root())),
        ["test", flags @ ..] => ci::run(&root(), flags),
        ["bench", flags @ ..] => bench::run(&root(), flags),
        ["faults", flags @ ..] => faults::run(&root(), flags),
        ["fuzz", flags @ ..] => fuzz::run(&root(), flags),
        ["flood", flags @ ..] => flood::run(&root(), flags),
        ["corpora", flags @ ..] => corpora::run(&root(), flags),
        ["h2spec", flags @ ..] => h2spec::run(&root(), flags),
        ["testssl", flags @ ..] => testssl::run(&root(), flags),
        ["hosts", flags @ ..] => hosts::run(&root(), flags),
        ["slow", flags @ ..] => slow::run(&root(), flags),
        ["overload", flags @ ..] => bench::overload(&root(), flags),
        ["crash", flags @ ..] => crash::run(&root(), flags),
        ["soak", flags @ ..] => soak::run(&root(), flags),
        ["sanitize", words @ ..] => sanitize::run(&root(), words),
        ["browser"] => ci::run(&root(), &["--only", "browser"]),
        ["help" | "-h" | "--help"] => {
            print!("{USAGE}");
            Ok(Verdict::Good)
        }
        [] => Err("no command given".to_owned()),
        [other, ..] => Err(format!("cannot make sense of `{other}` here")),
    }
}

/// The top of the checkout: xtask lies directly below it.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_command_line_is_named() {
        let refused = |args: &[&str]| run(&args.iter().map(|&a| a.to_owned()).collect::<Vec<_>>());
        assert_eq!(refused(&["tidi"]), Err("cannot make sense of `tidi` here".to_owned()));
        assert_eq!(refused(&[]), Err("no command given".to_owned()));
        assert!(refused(&["test", "--only"]).is_err());
    }
}
