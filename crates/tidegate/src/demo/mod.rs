//! `tidegate demo [URL]`: a tour of every feature over real sockets (SPEC RUN-4).
//!
//! ```text
//! run ─► Target (a running server, or Own: a child process in a folder of its own)
//!     ─► chapters: tables of Steps ─► Stage plays one: send, receive, check ─► Screen shows it ─► Score
//! ```
//! The tour speaks to the server as any client does: nothing of the server's code is used here.

mod chapters;
mod client;
mod http2;
mod own;
mod screen;
mod secure;
mod stage;

pub(crate) use screen::wrap;

use std::io::{self, Write};
use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};

use chapters::{CHAPTERS, Chapter};
use client::{Client, Stop, Target};
use own::Own;
use screen::{Score, Screen};
use stage::{Halt, Scope, Stage, Step};

/// How long one answer of a server elsewhere may take; our own is given more, for busy machines.
const PATIENCE: Duration = Duration::from_secs(3);
/// What a shell reports of a program that an interrupt ended.
const INTERRUPTED: u8 = 130;

/// Why the tour did not come to its end.
enum Trouble {
    /// The URL cannot be meant.
    Url(String),
    /// There is no server to tour.
    NoServer(String),
    /// Nobody looks any more.
    Output(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Runs the tour of the server at `url`, or of one of its own. The exit code is 0 where every step that could
/// be tried went through.
pub fn run(url: Option<&str>) -> ExitCode {
    let stop = Stop::default();
    watch_signals(stop.clone());
    let outcome = tour(url, &stop, &mut io::stdout().lock());
    match outcome {
        _ if stop.is_asked() => ExitCode::from(INTERRUPTED),
        Ok(score) if score.failed.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(Trouble::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(Trouble::Output(error)) => complain(&error.to_string(), 1),
        Err(Trouble::NoServer(why)) => complain(&why, 1),
        Err(Trouble::Url(why)) => complain(&why, 2),
    }
}

fn complain(why: &str, code: u8) -> ExitCode {
    crate::complain(&format!("tidegate demo: {why}"));
    ExitCode::from(code)
}

fn tour(url: Option<&str>, stop: &Stop, out: &mut dyn Write) -> Result<Score, Trouble> {
    let begun = Instant::now();
    let mut screen = Screen::new(out);
    let mut score = Score::default();
    // Dropped on every way out, and with it the process and the folder.
    let mut own = None;
    let version = format!("tidegate {} · the tour", env!("CARGO_PKG_VERSION"));
    let target = if let Some(url) = url {
        let target = running(url, stop)?;
        let about = format!("Of the server at {url}; what needs a server of its own is skipped.");
        screen.open(&version, &about)?;
        target
    } else {
        screen.open(&version, "Of a server of its own, over real sockets: nothing here is staged.")?;
        let started = Own::start(stop, &[])
            .map_err(|error| Trouble::NoServer(format!("cannot start a server: {error}")))?;
        own.insert(started).target.clone()
    };
    for (chapter, number) in CHAPTERS.iter().zip(1..) {
        if stop.is_asked() {
            break;
        }
        play(chapter, number, &target, own.as_mut(), &mut screen, &mut score)?;
    }
    screen.close(&score, begun.elapsed(), stop.is_asked())?;
    Ok(score)
}

fn play(
    chapter: &Chapter,
    number: usize,
    target: &Target,
    mut own: Option<&mut Own>,
    screen: &mut Screen<'_>,
    score: &mut Score,
) -> Result<(), Trouble> {
    screen.chapter(number, chapter.title, chapter.about)?;
    for step in chapter.steps {
        if target.stop.is_asked() {
            return Ok(());
        }
        let mut stage = Stage { target, own: own.as_deref_mut(), scope: step.scope, lines: Vec::new() };
        let begun = Instant::now();
        let end = try_step(&mut stage, step);
        let took = begun.elapsed();
        if target.stop.is_asked() {
            return Ok(());
        }
        match &end {
            Ok(()) => score.passed += 1,
            Err(Halt::Skipped(_)) => score.skipped += 1,
            Err(Halt::Failed(_)) => score.failed.push(step.title.to_owned()),
        }
        screen.step(step.title, step.why, &stage.lines, &end, took)?;
    }
    Ok(())
}

fn try_step(stage: &mut Stage<'_>, step: &Step) -> Result<(), Halt> {
    match step.scope {
        Scope::Own(why) if stage.own.is_none() => Err(Halt::Skipped(why.to_owned())),
        _ => stage.play(&step.act),
    }
}

/// The server at `url`, if one answers there.
fn running(url: &str, stop: &Stop) -> Result<Target, Trouble> {
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| Trouble::Url(format!("{url}: expected http://HOST:PORT")))?;
    let host = rest.strip_suffix('/').unwrap_or(rest);
    if host.is_empty() || host.contains(['/', '@', '?', '#']) || host.contains(char::is_whitespace) {
        return Err(Trouble::Url(format!("{url}: expected http://HOST:PORT and nothing behind it")));
    }
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let place = if has_port { host.to_owned() } else { format!("{host}:80") };
    let found = place.to_socket_addrs().map_err(|error| Trouble::NoServer(format!("{url}: {error}")))?;
    let mut last = format!("{url}: no address");
    for addr in found {
        let target =
            Target { addr, host: host.to_owned(), secure: None, patience: PATIENCE, stop: stop.clone() };
        match Client::connect(&target) {
            Ok(_) => return Ok(target),
            Err(error) => last = format!("{url}: nothing answers there: {error}"),
        }
    }
    Err(Trouble::NoServer(last))
}

/// Lets an interrupt end the tour instead of the process, so that it can clear up; returns when it is so.
fn watch_signals(stop: Stop) {
    let (ready, is_ready) = mpsc::channel();
    let watch = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut int = signal(SignalKind::interrupt())?;
            let mut term = signal(SignalKind::terminate())?;
            let mut hup = signal(SignalKind::hangup())?;
            let _ = ready.send(());
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
                _ = hup.recv() => {}
            }
            stop.ask();
            io::Result::Ok(())
        })
    };
    // Without it an interrupt is only less tidy.
    let _ = std::thread::Builder::new().name("signals".into()).spawn(watch);
    // Where the thread could not do it, its end of the channel is gone.
    let _ = is_ready.recv();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_4_only_the_url_of_a_whole_server_is_taken() {
        for url in
            ["localhost:8080", "https://localhost", "http://", "http://a/b", "http://user@a", "http://a b"]
        {
            assert!(matches!(running(url, &Stop::default()), Err(Trouble::Url(_))), "{url}");
        }
    }

    #[test]
    fn run_4_every_step_has_a_title_of_its_own_and_a_reason() {
        let steps: Vec<_> = CHAPTERS.iter().flat_map(|chapter| chapter.steps).collect();
        for step in &steps {
            assert_eq!(steps.iter().filter(|other| other.title == step.title).count(), 1, "{}", step.title);
            assert!(step.why.ends_with('.'), "{}", step.title);
        }
    }
}
