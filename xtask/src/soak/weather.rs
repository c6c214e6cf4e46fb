//! What is done to the server at the moment: it explains failures that would be faults at any other time.

use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::bench::http::{Answer, Client};

/// How often a client that waits looks whether it may go on.
const LOOK: Duration = Duration::from_millis(10);

/// Something that a client may notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The server is killed: an answer may be cut.
    Killed,
    /// Nobody listens: a connection may be refused.
    Down,
    /// A server takes its leave: a connection that was kept for another request may end.
    Leaving,
    /// The disk of the uploads is full.
    Full,
}

const TROUBLES: usize = 4;

/// All troubles, whether the clients are to be quiet, and whether all is over.
#[derive(Debug, Default)]
pub(super) struct Weather {
    /// How often each began and ended: odd while it lasts.
    turns: [AtomicU64; TROUBLES],
    quiet: AtomicBool,
    over: AtomicBool,
}

/// A moment to which the weather can be compared later.
#[derive(Clone, Copy, Debug)]
struct Moment([u64; TROUBLES]);

/// Troubles that last until this is dropped.
#[derive(Debug)]
pub(super) struct Spell<'a> {
    weather: &'a Weather,
    troubles: &'static [Trouble],
}

/// A client with an address of its own, one connection and one request at a time.
#[derive(Debug)]
pub(super) struct Visitor<'a> {
    weather: &'a Weather,
    source: Ipv4Addr,
    port: u16,
    client: Option<Client>,
    /// When all was last known to be well, and the same before the last answer.
    well: Moment,
    before: Moment,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// The weather explains it.
    Explained,
    /// It began, and its end did not come; nothing explains that.
    Cut(String),
    /// Nothing explains it.
    Wrong(String),
}

impl Weather {
    /// Begins troubles.
    pub(super) fn spell(&self, troubles: &'static [Trouble]) -> Spell<'_> {
        let spell = Spell { weather: self, troubles };
        spell.turn();
        spell
    }

    /// Whether the clients are to be quiet, without a connection.
    pub(super) fn set_quiet(&self, quiet: bool) {
        self.quiet.store(quiet, Ordering::SeqCst);
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.quiet.load(Ordering::SeqCst)
    }

    pub(super) fn end_all(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn now(&self) -> Moment {
        Moment([0, 1, 2, 3].map(|at: usize| self.turns[at].load(Ordering::SeqCst)))
    }

    /// Whether there was this trouble at any time since `moment`.
    fn had(&self, trouble: Trouble, moment: Moment) -> bool {
        let (then, now) = (moment.0[trouble as usize], self.now().0[trouble as usize]);
        then != now || now % 2 == 1
    }
}

impl Spell<'_> {
    fn turn(&self) {
        for &trouble in self.troubles {
            self.weather.turns[trouble as usize].fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Spell<'_> {
    fn drop(&mut self) {
        self.turn();
    }
}

impl<'a> Visitor<'a> {
    pub(super) fn new(weather: &'a Weather, source: Ipv4Addr, port: u16) -> Self {
        Self { weather, source, port, client: None, well: weather.now(), before: weather.now() }
    }

    /// Waits for its turn; false when all is over. Who waits for the end of a quiet time has no connection.
    pub(super) fn next(&mut self, pause: Duration) -> bool {
        thread::sleep(pause);
        while self.weather.is_quiet() && !self.weather.is_over() {
            self.leave();
            thread::sleep(LOOK);
        }
        !self.weather.is_over()
    }

    pub(super) fn leave(&mut self) {
        self.client = None;
        self.well = self.weather.now();
    }

    pub(super) fn get(&mut self, path: &str, fields: &[String]) -> Result<Answer, Failed> {
        self.ask(|client| client.get(path, fields))
    }

    pub(super) fn upload(&mut self, body: &[u8]) -> Result<Answer, Failed> {
        self.ask(|client| client.post_json("/upload", body))
    }

    /// Whether there was this trouble between the last answer and the one before it.
    pub(super) fn had(&self, trouble: Trouble) -> bool {
        self.weather.had(trouble, self.before)
    }

    fn ask(&mut self, ask: impl FnOnce(&mut Client) -> io::Result<Answer>) -> Result<Answer, Failed> {
        let kept = self.client.take();
        let ending = if kept.is_some() { Trouble::Leaving } else { Trouble::Down };
        let (source, port) = (self.source, self.port);
        let connect = || Client::connect_from(source, port);
        let asked = || {
            let mut client = kept.map_or_else(connect, Ok)?;
            let answer = ask(&mut client)?;
            Ok((client, answer))
        };
        let (client, answer) = self.judged(asked(), ending)?;
        self.client = answer.persistent.then_some(client);
        Ok(answer)
    }

    /// Does what a client of another kind does, on a connection of its own.
    pub(super) fn raw<T>(&mut self, act: impl FnOnce() -> io::Result<T>) -> Result<T, Failed> {
        let done = act();
        self.judged(done, Trouble::Down)
    }

    /// Holds a failure against the weather; `ending` would explain that there is no answer.
    fn judged<T>(&mut self, done: io::Result<T>, ending: Trouble) -> Result<T, Failed> {
        self.before = self.well;
        self.well = self.weather.now();
        done.map_err(|error| match error.kind() {
            _ if explanation(&error, ending).is_some_and(|trouble| self.had(trouble)) => Failed::Explained,
            ErrorKind::InvalidData => Failed::Cut(error.to_string()),
            _ => Failed::Wrong(error.to_string()),
        })
    }
}

/// The trouble that would explain it.
fn explanation(error: &io::Error, ending: Trouble) -> Option<Trouble> {
    match error.kind() {
        ErrorKind::ConnectionRefused => Some(Trouble::Down),
        ErrorKind::UnexpectedEof
        | ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe => Some(ending),
        ErrorKind::InvalidData => Some(Trouble::Killed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trouble_explains_what_happens_in_it_and_just_after_and_nothing_else() {
        let weather = Weather::default();
        let before = weather.now();
        assert!(!weather.had(Trouble::Down, before));
        let spell = weather.spell(&[Trouble::Down]);
        let during = weather.now();
        assert!(weather.had(Trouble::Down, before) && weather.had(Trouble::Down, during));
        assert!(!weather.had(Trouble::Full, before));
        drop(spell);
        assert!(weather.had(Trouble::Down, before) && weather.had(Trouble::Down, during));
        assert!(!weather.had(Trouble::Down, weather.now()));
    }

    /// What a takeover must not cost: it begins `Leaving` alone.
    #[test]
    fn a_new_connection_that_is_not_answered_is_explained_only_where_nobody_should_listen() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || listener.incoming().for_each(drop));
        let weather = Weather::default();
        let mut visitor = Visitor::new(&weather, Ipv4Addr::LOCALHOST, port);
        let _leaving = weather.spell(&[Trouble::Leaving]);
        assert!(matches!(visitor.get("/", &[]), Err(Failed::Wrong(_))));
        let _down = weather.spell(&[Trouble::Down]);
        assert!(matches!(visitor.get("/", &[]), Err(Failed::Explained)));
    }

    #[test]
    fn a_refused_connection_is_explained_only_where_nobody_should_listen() {
        let port =
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let weather = Weather::default();
        let mut visitor = Visitor::new(&weather, Ipv4Addr::LOCALHOST, port);
        assert!(matches!(visitor.get("/", &[]), Err(Failed::Wrong(_))));
        let spell = weather.spell(&[Trouble::Down]);
        assert!(matches!(visitor.get("/", &[]), Err(Failed::Explained)));
        drop(spell);
        assert!(matches!(visitor.get("/", &[]), Err(Failed::Explained)), "it may have begun before");
        assert!(matches!(visitor.get("/", &[]), Err(Failed::Wrong(_))));
    }
}
