//! Everything that the server listens on: bound before anything else is done, or inherited, and shared out among the
//! workers.

use std::io;
use std::path::Path;

use super::StartError;
use super::takeover::Predecessor;
use crate::config::{ListenAddr, Settings};
use crate::greeting::Addresses;
use crate::net::handover::Sockets;
use crate::net::inherited::{self, Inherited};
use crate::net::listener::{self, Bound, SocketFiles};
use crate::pipeline::Purpose;
use crate::worker::Entrance;

/// The listening sockets.
pub(super) struct Listeners {
    /// The sockets of each address: for TCP mostly one for each worker.
    pub(super) entrances: Vec<Vec<Entrance>>,
    /// Where the operator's commands come in.
    pub(super) control: Option<Bound>,
    /// Those that have a file, which goes with them.
    pub(super) files: SocketFiles,
    /// Where the server before listens and this one will not.
    given_up: Vec<ListenAddr>,
}

impl Listeners {
    /// Binds all addresses of `settings`, or none. What a service manager left for us, or what the server before hands
    /// over, is taken instead of being bound.
    pub(super) fn open(
        settings: &Settings,
        predecessor: Option<&mut Predecessor>,
    ) -> Result<Self, StartError> {
        let server = &settings.server;
        let mut lent = inherited::from_service_manager().map_err(StartError::Inherited)?;
        let control_before = predecessor.as_ref().and_then(|before| before.control());
        let (handed, lent_before) = predecessor.map_or(Ok(Default::default()), Predecessor::listeners)?;
        lent.extend(lent_before);
        let mut stock = Stock {
            lent,
            handed,
            control_before,
            files: SocketFiles::default(),
            workers: server.workers,
            backlog: server.backlog,
        };
        let mut entrances = Vec::new();
        if let Some(addr) = &settings.admin.listen {
            entrances.push(stock.entrances(addr, Purpose::Operators)?);
        }
        if let Some(addr) = settings.tls.redirect {
            entrances.push(stock.entrances(&ListenAddr::Tcp(addr), Purpose::Redirect)?);
        }
        // A service manager's other sockets stand for the default address, but not for one that somebody asked for.
        let by_default = server.listens_by_default() && !stock.lent.is_empty();
        for addr in server.listen.iter().filter(|_| !by_default) {
            entrances.push(stock.entrances(addr, Purpose::Public)?);
        }
        let control = server.control.as_ref().map(|path| stock.control(path)).transpose()?;
        entrances.extend(stock.rest()?);
        // What is not served any more leaves no file behind.
        stock.handed.iter().for_each(|unwanted| stock.files.remember_handed(&unwanted.at));
        let mut given_up: Vec<_> = stock.handed.into_iter().map(|unwanted| unwanted.at).collect();
        given_up.dedup();
        Ok(Self { entrances, control, files: stock.files, given_up })
    }

    /// A sentence on the addresses that a takeover closes: the settings decide, but who left one out by mistake should
    /// not have to learn it from clients.
    pub(super) fn note(&self) -> Option<String> {
        let given_up: Vec<_> = self.given_up.iter().map(ListenAddr::to_string).collect();
        (!given_up.is_empty()).then(|| {
            format!(
                "no longer listening on {}: the server before did, and these settings do not name it",
                given_up.join(", ")
            )
        })
    }

    /// Where they are.
    pub(super) fn addresses(&self) -> Addresses {
        let firsts = || self.entrances.iter().filter_map(|all| all.first());
        let of = |purpose| {
            firsts().filter(move |first| first.purpose == purpose).map(|first| first.bound.at.clone())
        };
        Addresses {
            public: of(Purpose::Public).collect(),
            operators: of(Purpose::Operators).next(),
            redirect: of(Purpose::Redirect).next(),
        }
    }

    /// Duplicates of all, for a successor, where one could ask for them.
    pub(super) fn duplicates(&self) -> io::Result<Sockets> {
        let mut sockets = Sockets::default();
        let all = || self.entrances.iter().flatten().map(|entrance| &entrance.bound).chain(&self.control);
        for bound in self.control.iter().flat_map(|_| all()) {
            let kind = if bound.lent { &mut sockets.lent } else { &mut sockets.ours };
            kind.push(bound.duplicate()?.into());
        }
        Ok(sockets)
    }

    /// The sockets of each of `workers`. Of each address every worker has one, and no socket is without a worker:
    /// where the numbers differ, some share one or have several.
    pub(super) fn shares(entrances: Vec<Vec<Entrance>>, workers: usize) -> io::Result<Vec<Vec<Entrance>>> {
        let mut shares: Vec<Vec<Entrance>> = (0..workers).map(|_| Vec::new()).collect();
        for sockets in entrances {
            let lacking = workers.saturating_sub(sockets.len());
            let shared = sockets.iter().cycle().take(lacking).map(Entrance::duplicate);
            let shared = shared.collect::<io::Result<Vec<_>>>()?;
            for (number, socket) in sockets.into_iter().chain(shared).enumerate() {
                if let Some(share) = shares.get_mut(number % workers) {
                    share.push(socket);
                }
            }
        }
        Ok(shares)
    }
}

/// What there is already, and how to make what is missing.
struct Stock {
    /// By a service manager.
    lent: Vec<Inherited>,
    /// By the server that ran before.
    handed: Vec<Inherited>,
    /// How that server spells the path of its control socket.
    control_before: Option<ListenAddr>,
    files: SocketFiles,
    workers: usize,
    backlog: i32,
}

impl Stock {
    /// The sockets for `addr`.
    fn entrances(&mut self, addr: &ListenAddr, purpose: Purpose) -> Result<Vec<Entrance>, StartError> {
        let lent = take(&mut self.lent, addr);
        if !lent.is_empty() {
            let bound = adopt(lent, true).map_err(|error| refused(addr, error))?;
            return Ok(entrances(bound, purpose));
        }
        let handed = take(&mut self.handed, addr);
        let bound = if handed.is_empty() {
            listener::bind(addr, self.workers, self.backlog).inspect(|_| self.files.remember(addr))
        } else {
            self.files.remember_handed(addr);
            adopt(handed, false)
        };
        Ok(entrances(bound.map_err(|error| self.refused(addr, error))?, purpose))
    }

    /// Why there is nothing to be had at `addr`.
    fn refused(&self, addr: &ListenAddr, error: io::Error) -> StartError {
        let holds = |socket: &&Inherited| match (&socket.at, addr) {
            (ListenAddr::Tcp(at), ListenAddr::Tcp(wanted)) => at.port() == wanted.port(),
            _ => false,
        };
        match self.handed.iter().find(holds) {
            Some(socket) if error.kind() == io::ErrorKind::AddrInUse => {
                StartError::HeldBefore(addr.clone(), socket.at.clone())
            }
            _ => refused(addr, error),
        }
    }

    /// The socket at `path` for the operator's commands.
    fn control(&mut self, path: &Path) -> Result<Bound, StartError> {
        let addr = ListenAddr::Unix(path.to_owned());
        let bound = match take(&mut self.handed, self.control_before.as_ref().unwrap_or(&addr)).pop() {
            None => listener::bind_private(path).inspect(|_| self.files.remember(&addr)),
            Some(socket) => {
                self.files.remember_handed(&addr);
                socket.adopt(false)
            }
        };
        bound.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => StartError::ControlInUse(path.to_owned()),
            _ => StartError::Control(path.to_owned(), error),
        })
    }

    /// What the service manager left beyond what was asked for: it is served too.
    fn rest(&mut self) -> Result<Vec<Vec<Entrance>>, StartError> {
        let mut rest = Vec::new();
        while let Some(first) = self.lent.first() {
            let at = first.at.clone();
            rest.push(self.entrances(&at, Purpose::Public)?);
        }
        Ok(rest)
    }
}

/// Takes the sockets of one address out of `stock`: those that `wanted` means.
fn take(stock: &mut Vec<Inherited>, wanted: &ListenAddr) -> Vec<Inherited> {
    let Some(at) = stock.iter().find(|socket| socket.answers_to(wanted)).map(|socket| socket.at.clone())
    else {
        return Vec::new();
    };
    stock.extract_if(.., |socket| socket.at == at).collect()
}

fn adopt(sockets: Vec<Inherited>, lent: bool) -> io::Result<Vec<Bound>> {
    sockets.into_iter().map(|socket| socket.adopt(lent)).collect()
}

fn entrances(bound: Vec<Bound>, purpose: Purpose) -> Vec<Entrance> {
    bound.into_iter().map(|bound| Entrance { bound, purpose }).collect()
}

fn refused(addr: &ListenAddr, error: io::Error) -> StartError {
    match error.kind() {
        io::ErrorKind::AddrInUse => StartError::InUse(addr.clone()),
        io::ErrorKind::PermissionDenied => StartError::Denied(addr.clone()),
        _ => StartError::Listen(addr.clone(), error),
    }
}
