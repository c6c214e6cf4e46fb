//! The floor: the least a program can do on this machine for the work that tidegate does.
//!
//! ```text
//! floor answers PORT                                 answers.rs   one thread, one epoll, a fixed answer for each request
//! floor uploads FOLDER THREADS SECONDS each|shared   uploads.rs   durable files as fast as the disk takes them
//!                                                    group.rs     one sync for all who wait for one
//! ```
//!
//! Neither is a server: nothing is parsed, routed, limited or logged. They say how much of a figure is the kernel's.

mod answers;
mod group;
mod uploads;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use std::{env, io};

use uploads::FolderSync;

const USAGE: &str = "usage: floor answers PORT | floor uploads FOLDER THREADS SECONDS each|shared";

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("floor: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> io::Result<()> {
    match *words {
        ["answers", port] => answers::serve(number(port)?),
        ["uploads", folder, threads, seconds, sync @ ("each" | "shared")] => {
            let time = Duration::from_secs(number(seconds)?);
            let sync = if sync == "each" { FolderSync::Each } else { FolderSync::Shared };
            let per_second = uploads::store(Path::new(folder), number(threads)?, time, sync)?;
            println!("{per_second:.1}");
            Ok(())
        }
        _ => Err(io::Error::other(USAGE)),
    }
}

fn number<T: std::str::FromStr>(word: &str) -> io::Result<T> {
    word.parse().map_err(|_| io::Error::other(format!("`{word}` is no number here; {USAGE}")))
}
