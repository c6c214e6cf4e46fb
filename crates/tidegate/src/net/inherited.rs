//! Listening sockets that were made elsewhere: by a service manager, which leaves them open for us (`LISTEN_FDS`,
//! sd_listen_fds(3)), or by the server that ran before and hands them over.
//!
//! Such a socket lives on when this process ends, and with it the connections that wait in its queue: that is why a
//! restart or an upgrade with them refuses nobody.

use std::io;
use std::os::fd::OwnedFd;

use socket2::{Socket, Type};

use super::listener::{self, Bound};
use super::sys;
use crate::config::ListenAddr;

/// A listening socket and the address that it has.
#[derive(Debug)]
pub struct Inherited {
    /// Where it listens.
    pub at: ListenAddr,
    socket: Socket,
}

impl Inherited {
    /// Looks at what `descriptor` is.
    ///
    /// # Errors
    /// Where it is no listening stream socket of TCP, nor a unix one that has a path.
    pub fn new(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(descriptor);
        if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
            return Err(io::Error::other("it is no listening stream socket"));
        }
        let address = socket.local_addr()?;
        let unix = || address.as_pathname().map(|path| ListenAddr::Unix(path.to_owned()));
        let at = address.as_socket().map(ListenAddr::Tcp).or_else(unix);
        Ok(Self {
            at: at.ok_or_else(|| io::Error::other("it has neither a TCP address nor a path"))?,
            socket,
        })
    }

    /// Whether it stands for `wanted`: port 0 is any port.
    pub fn answers_to(&self, wanted: &ListenAddr) -> bool {
        match (&self.at, wanted) {
            (ListenAddr::Tcp(at), ListenAddr::Tcp(wanted)) if wanted.port() == 0 => at.ip() == wanted.ip(),
            (at, wanted) => at == wanted,
        }
    }

    /// Makes it one of ours, or one that is `lent` to us by a service manager.
    ///
    /// # Errors
    /// Whatever the system says to an option.
    pub fn adopt(self, lent: bool) -> io::Result<Bound> {
        listener::adopted(self.socket, self.at, lent)
    }
}

/// What the service manager left open for this process; nothing where there is none. Answers once: who asks again gets
/// nothing.
///
/// # Errors
/// A sentence, where the variables make no sense or a descriptor is not what it should be.
pub fn from_service_manager() -> Result<Vec<Inherited>, String> {
    let variable = |name| std::env::var(name).ok();
    let Some(count) = left_for_us(variable("LISTEN_PID"), variable("LISTEN_FDS"), std::process::id())? else {
        return Ok(Vec::new());
    };
    let sockets = sys::left_open(count).map_err(|error| format!("LISTEN_FDS={count}: {error}"))?;
    let inherit = |(number, socket)| {
        Inherited::new(socket).map_err(|error| format!("socket {} of LISTEN_FDS: {error}", number + 1))
    };
    sockets.into_iter().enumerate().map(inherit).collect()
}

/// How many descriptors are for the process `own`: what a parent left for another one is none of ours.
fn left_for_us(pid: Option<String>, count: Option<String>, own: u32) -> Result<Option<u16>, String> {
    let (Some(pid), Some(count)) = (pid, count) else { return Ok(None) };
    if pid.parse() != Ok(own) {
        return Ok(None);
    }
    let parsed = count.parse().map_err(|_| format!("LISTEN_FDS={count:?} is no number of sockets"))?;
    Ok(Some(parsed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    #[test]
    fn run_6_descriptors_for_another_process_are_left_alone() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(left_for_us(some("7"), some("2"), 7), Ok(Some(2)));
        assert_eq!(left_for_us(some("8"), some("2"), 7), Ok(None));
        assert_eq!(left_for_us(None, some("2"), 7), Ok(None));
        assert_eq!(left_for_us(some("7"), None, 7), Ok(None));
        assert!(left_for_us(some("7"), some("two"), 7).is_err());
    }

    #[test]
    fn run_6_only_listening_stream_sockets_are_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let talking = TcpStream::connect(at).unwrap();
        assert!(Inherited::new(talking.into()).is_err());
        assert!(Inherited::new(UdpSocket::bind("127.0.0.1:0").unwrap().into()).is_err());
        assert!(Inherited::new(std::fs::File::open("/dev/null").unwrap().into()).is_err());
        let inherited = Inherited::new(listener.into()).unwrap();
        assert_eq!(inherited.at, ListenAddr::Tcp(at));
        let wanted = |text: &str| ListenAddr::Tcp(text.parse().unwrap());
        assert!(inherited.answers_to(&inherited.at) && inherited.answers_to(&wanted("127.0.0.1:0")));
        assert!(!inherited.answers_to(&wanted("127.0.0.2:0")));
        assert!(!inherited.answers_to(&wanted("127.0.0.1:1")));
    }
}
