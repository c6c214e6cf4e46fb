//! Very many connections to one server, each of which did one request and is then idle.
//!
//! In the clear they are our own. TLS is spoken by Python's `ssl` module (`bench/tls_clients.py`): another library than
//! the server's.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use super::http::Client;
use super::servers::Setup;
use super::wire::Wire;
use crate::tools::Tool;

pub(super) const PYTHON: Tool = Tool::debian("python3", "python3");

/// All connections are there within seconds, with TLS within a minute; a server that is slow about each shows how far it
/// came.
const LIMIT: Duration = Duration::from_secs(120);

/// One in so many connections is used again while all are held, to see that they are alive.
const SAMPLE: usize = 100;

/// They all end on drop.
pub(super) enum Crowd {
    Clear(Vec<Client>),
    Tls(TlsClients),
}

/// Python's, by the protocol that the script tells.
pub(super) struct TlsClients {
    child: Child,
    count: usize,
    /// Taken at the end: that lets it go.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Crowd {
    /// `count` connections, or as many as the server takes. An `Err` where it takes none.
    pub(super) fn gather(setup: &Setup<'_>, port: u16, count: usize) -> io::Result<Self> {
        match setup.wire {
            Wire::Tls => TlsClients::gather(setup, port, count).map(Self::Tls),
            Wire::Clear | Wire::H2c => gather_clear(port, count).map(Self::Clear),
        }
    }

    pub(super) fn count(&self) -> usize {
        match self {
            Self::Clear(clients) => clients.len(),
            Self::Tls(clients) => clients.count,
        }
    }

    /// Asks again on some. An `Err` where one of them is not answered.
    pub(super) fn ask_some(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(clients) => {
                let mut some = clients.iter_mut().step_by(SAMPLE);
                some.try_for_each(|client| client.get("/small.bin", &[]).map(drop))
            }
            Self::Tls(clients) => clients.ask_some(),
        }
    }
}

fn gather_clear(port: u16, count: usize) -> io::Result<Vec<Client>> {
    let mut clients = Vec::with_capacity(count);
    let deadline = Instant::now() + LIMIT;
    while clients.len() < count && Instant::now() < deadline {
        let answered = Client::connect(port).and_then(|mut client| {
            client.get("/small.bin", &[])?;
            Ok(client)
        });
        match answered {
            Ok(client) => clients.push(client),
            Err(error) if clients.is_empty() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(clients)
}

impl TlsClients {
    fn gather(setup: &Setup<'_>, port: u16, count: usize) -> io::Result<Self> {
        let mut command = setup.context.command("python3", &["bench/tls_clients.py"]);
        command.args([port.to_string(), count.to_string(), LIMIT.as_secs().to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = BufReader::new(output.ok_or(io::ErrorKind::BrokenPipe)?);
        let mut clients = Self { child, count: 0, input, output };
        clients.count = clients.number()?;
        if clients.count > 0 { Ok(clients) } else { Err(io::Error::other("not one TLS connection")) }
    }

    fn ask_some(&mut self) -> io::Result<()> {
        self.input.as_ref().ok_or(io::ErrorKind::BrokenPipe)?.write_all(b"ask\n")?;
        match self.number()? {
            0 => Ok(()),
            silent => Err(io::Error::other(format!("{silent} connections that were idle do not answer"))),
        }
    }

    /// The next line of what it says.
    fn number(&mut self) -> io::Result<usize> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        let number = line.trim().parse();
        number.map_err(|_| io::Error::other(format!("the TLS clients said `{}`", line.trim())))
    }
}

impl Drop for TlsClients {
    fn drop(&mut self) {
        drop(self.input.take());
        // It ends when its input does, and its connections with it.
        let _ = self.child.wait();
    }
}
