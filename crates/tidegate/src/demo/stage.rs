//! What a step is, and the stage it plays on: it sends, receives, checks, and keeps what is to be shown.

use std::io;

use super::client::{Client, Response, Target};
use super::own::{Change, Own};

/// One stop of the tour.
pub(super) struct Step {
    /// What is tried.
    pub(super) title: &'static str,
    /// What it shows and why it matters: one sentence.
    pub(super) why: &'static str,
    /// Where it can be tried.
    pub(super) scope: Scope,
    /// How.
    pub(super) act: Act,
}

/// Where a step can be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// On any tidegate.
    Any,
    /// Where the bundled site is served: a 404 of somebody else's server is no fault.
    Site,
    /// Only on a server of our own, for this reason.
    Own(&'static str),
}

/// How a step is done.
pub(super) enum Act {
    /// One exchange, written down as data.
    Ask(Ask),
    /// Anything else.
    Play(fn(&mut Stage<'_>) -> Result<(), Halt>),
}

/// One request and what its answer must be.
pub(super) struct Ask {
    /// What is sent.
    pub(super) send: Send,
    /// The status that must come back.
    pub(super) status: u16,
    /// What else must hold.
    pub(super) expect: &'static [Expect],
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) enum Send {
    /// A well-formed request: method and target, fields beside `Host`, content.
    Request(&'static str, &'static [&'static str], &'static str),
    /// These very bytes, with the right name for `{host}`.
    Raw(&'static str),
}

/// What must hold of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Expect {
    /// A field has exactly this value.
    Field(&'static str, &'static str),
    /// A field begins with this.
    Begins(&'static str, &'static str),
    /// A field is not there.
    Lacks(&'static str),
    /// The content contains this text.
    Body(&'static str),
    /// The content has this many bytes.
    Length(usize),
    /// It is a problem of this code.
    Code(&'static str),
    /// Another member of the problem.
    Member(&'static str, &'static str),
    /// No `100 Continue` came first.
    NotContinued,
    /// It says `Connection: close`, and then the connection ends without another byte.
    Closes,
}

/// Why a step did not go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// It found a fault.
    Failed(String),
    /// It cannot be tried here.
    Skipped(String),
}

impl Halt {
    /// A fault.
    pub(super) fn failed(what: impl Into<String>) -> Self {
        Self::Failed(what.into())
    }
}

impl From<io::Error> for Halt {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A fault unless `holds`.
pub(super) fn check(holds: bool, otherwise: impl Into<String>) -> Result<(), Halt> {
    if holds { Ok(()) } else { Err(Halt::failed(otherwise)) }
}

/// A line of what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// Bytes to the server.
    Sent(String),
    /// A further line of the same message.
    SentMore(String),
    /// A status from the server, with fields worth seeing.
    Received(u16, String),
    /// Anything else that was seen.
    Note(String),
    /// A further line of what was received or seen.
    More(String),
}

/// A blank at which no line is broken.
pub(super) const GLUE: char = '\u{a0}';

/// A short text that stays on one line.
fn glued(text: &str) -> String {
    if text.chars().count() > 64 { text.to_owned() } else { text.replace(' ', &GLUE.to_string()) }
}

/// Where a step plays.
pub(super) struct Stage<'a> {
    /// The server.
    pub(super) target: &'a Target,
    /// The same as a process, where it is ours.
    pub(super) own: Option<&'a mut Own>,
    /// Where the present step can be tried.
    pub(super) scope: Scope,
    /// What happened so far.
    pub(super) lines: Vec<Line>,
}

impl Stage<'_> {
    /// Plays `act`.
    pub(super) fn play(&mut self, act: &Act) -> Result<(), Halt> {
        match act {
            Act::Ask(ask) => self.ask(ask),
            Act::Play(play) => play(self),
        }
    }

    /// Our own server; only steps of [`Scope::Own`] ask.
    pub(super) fn own(&mut self) -> Result<&mut Own, Halt> {
        self.own.as_deref_mut().ok_or_else(|| Halt::Skipped("this server is not ours".into()))
    }

    /// Plays on another server of our own, whose configuration differs by `changes`; it ends with the step.
    pub(super) fn elsewhere(
        &mut self,
        changes: &[Change],
        play: fn(&mut Stage<'_>) -> Result<(), Halt>,
    ) -> Result<(), Halt> {
        let mut own = Own::start(&self.target.stop, changes)?;
        let target = own.target.clone();
        let lines = std::mem::take(&mut self.lines);
        let mut stage = Stage { target: &target, own: Some(&mut own), scope: self.scope, lines };
        let end = play(&mut stage);
        self.lines = stage.lines;
        end
    }

    /// A new connection.
    pub(super) fn connect(&self) -> Result<Client, Halt> {
        Client::connect(self.target).map_err(|error| Halt::failed(format!("cannot connect: {error}")))
    }

    /// Keeps a remark for the screen.
    pub(super) fn note(&mut self, text: impl Into<String>) {
        self.lines.push(Line::Note(text.into()));
    }

    /// Sends bytes on `client` and keeps their lines for the screen.
    pub(super) fn send(&mut self, client: &mut Client, bytes: &str) {
        self.lines.extend(shown(bytes, &self.target.host));
        client.send(bytes.as_bytes());
    }

    /// A request for `line` (method and target) with `fields`.
    pub(super) fn request(&self, line: &str, fields: &[&str], body: &str) -> String {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        format!("{line} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n{body}", self.target.host)
    }

    /// The next answer on `client`, which must have `status`; `show` names the fields worth seeing.
    pub(super) fn receive(
        &mut self,
        client: &mut Client,
        to_head: bool,
        status: u16,
        show: &[&str],
    ) -> Result<Response, Halt> {
        let response = client.response(to_head)?;
        self.show(&response, show);
        self.judge(&response, status)?;
        Ok(response)
    }

    /// Keeps an answer for the screen, with the fields worth seeing.
    pub(super) fn show(&mut self, response: &Response, fields: &[&str]) {
        let mut text = format!("{} {}", response.status, response.reason);
        for name in fields {
            if let Some(value) = response.field(name) {
                text += &format!(" ·{GLUE}{}", glued(&format!("{name}: {value}")));
            }
        }
        self.lines.push(Line::Received(response.status, text));
        let (code, detail) = (response.member("code"), response.member("detail"));
        if !detail.is_empty() {
            self.lines.push(Line::More(format!("{code}: {detail}")));
        }
    }

    /// One request on a connection of its own.
    pub(super) fn exchange(
        &mut self,
        line: &str,
        fields: &[&str],
        status: u16,
        show: &[&str],
    ) -> Result<Response, Halt> {
        let mut client = self.connect()?;
        let request = self.request(line, fields, "");
        self.send(&mut client, &request);
        self.receive(&mut client, line.starts_with("HEAD "), status, show)
    }

    /// What holds of every answer (SPEC H1-8, SEC-3), and its status.
    fn judge(&self, response: &Response, status: u16) -> Result<(), Halt> {
        if response.status == 404 && status != 404 && self.scope == Scope::Site && self.own.is_none() {
            return Err(Halt::Skipped("the site of this server has no such file".into()));
        }
        check(response.status == status, format!("expected {status}, got {}", response.status))?;
        let server = response.field("server").unwrap_or("nobody");
        check(server == "tidegate", format!("answered by {server}, not by tidegate"))?;
        check(response.field("date").is_some_and(|date| date.ends_with(" GMT")), "no Date in GMT")?;
        check(response.field("x-content-type-options") == Some("nosniff"), "no nosniff")
    }

    fn ask(&mut self, ask: &Ask) -> Result<(), Halt> {
        let mut client = self.connect()?;
        let (bytes, to_head) = match ask.send {
            Send::Request(line, fields, body) => {
                (self.request(line, fields, body), line.starts_with("HEAD "))
            }
            Send::Raw(bytes) => (bytes.replace("{host}", &self.target.host), false),
        };
        self.send(&mut client, &bytes);
        let response = self.receive(&mut client, to_head, ask.status, &worth_seeing(ask.expect))?;
        for expected in ask.expect {
            fulfil(&response, &mut client, expected)?;
        }
        Ok(())
    }
}

/// The fields that the expectations speak of.
fn worth_seeing(expect: &[Expect]) -> Vec<&'static str> {
    let named = expect.iter().filter_map(|expected| match expected {
        Expect::Field(name, _) | Expect::Begins(name, _) => Some(*name),
        Expect::Closes => Some("Connection"),
        _ => None,
    });
    named.collect()
}

fn fulfil(response: &Response, client: &mut Client, expected: &Expect) -> Result<(), Halt> {
    let got = |name: &str| response.field(name).unwrap_or("nothing").to_owned();
    match *expected {
        Expect::Field(name, value) => {
            check(response.field(name) == Some(value), format!("{name} is {}, not {value}", got(name)))
        }
        Expect::Begins(name, value) => check(
            response.field(name).is_some_and(|found| found.starts_with(value)),
            format!("{name} is {} and does not begin with {value}", got(name)),
        ),
        Expect::Lacks(name) => {
            check(response.field(name).is_none(), format!("{name} is {}, not absent", got(name)))
        }
        Expect::Body(text) => check(response.text().contains(text), format!("the content lacks {text}")),
        Expect::Length(length) => {
            let found = response.body.len();
            check(found == length, format!("{found} bytes of content, not {length}"))
        }
        Expect::Code(code) => {
            let found = response.member("code");
            check(found == code, format!("the code is {found:?}, not {code:?}"))
        }
        Expect::Member(name, value) => {
            let found = response.member(name);
            check(found == value, format!("{name} is {found:?}, not {value:?}"))
        }
        Expect::NotContinued => check(!response.continued, "100 Continue invited a body that is not wanted"),
        Expect::Closes => {
            check(response.field("connection") == Some("close"), "it does not say Connection: close")?;
            client.ends_silently()
        }
    }
}

/// The lines of a message as they are shown: the head without the usual Host, then the beginning of the content.
fn shown(bytes: &str, host: &str) -> Vec<Line> {
    const MOST: usize = 8;
    let (head, content) = bytes.split_once("\r\n\r\n").unwrap_or((bytes, ""));
    let usual = format!("Host: {host}");
    let mut head = head.split("\r\n").filter(|line| *line != usual).map(visible);
    let first = head.next().map(Line::Sent);
    let content = content.lines().filter(|line| !line.is_empty()).map(|line| format!("│ {}", visible(line)));
    let mut lines: Vec<_> = first.into_iter().chain(head.chain(content).map(Line::SentMore)).collect();
    if lines.len() > MOST {
        lines.truncate(MOST);
        lines.push(Line::SentMore("…".into()));
    }
    lines
}

/// Text in which what a terminal would obey or hide can be seen.
pub(super) fn visible(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            c if c.is_control() => safe.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_4_what_is_shown_hides_nothing_but_the_usual_host() {
        let lines = shown("GET /\n HTTP/1.1\r\nHost: here\r\nHost: there\r\n\r\nGET /next", "here");
        let wanted = ["GET /\\n HTTP/1.1", "Host: there", "│ GET /next"];
        assert_eq!(lines.first(), Some(&Line::Sent(wanted[0].into())));
        assert_eq!(lines[1..], [Line::SentMore(wanted[1].into()), Line::SentMore(wanted[2].into())]);
    }

    #[test]
    fn run_4_a_control_byte_is_made_visible() {
        assert_eq!(visible("a\u{1b}[31m\n"), "a\\x1b[31m\\n");
    }
}
