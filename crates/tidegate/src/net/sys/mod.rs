//! Raw system calls that no safe wrapper offers. The only `unsafe` of this workspace stands here.

use std::io;
use std::os::fd::AsFd;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// `SIOCOUTQ` of `linux/sockios.h`: bytes in the send queue that the peer has not acknowledged.
const SIOCOUTQ: rustix::ioctl::Opcode = 0x5411;

/// Bytes written to a stream socket that its peer has not yet taken.
///
/// # Errors
/// Whatever `ioctl` reports; a socket type without a send queue gives `ENOTTY` or `EINVAL`.
pub fn unsent(socket: impl AsFd) -> io::Result<u64> {
    // SAFETY: SIOCOUTQ writes exactly one `int` and reads nothing (man 7 tcp, SIOCOUTQ).
    #[allow(unsafe_code)]
    let queued =
        unsafe { rustix::ioctl::ioctl(socket.as_fd(), rustix::ioctl::Getter::<SIOCOUTQ, i32>::new()) }?;
    Ok(u64::try_from(queued).unwrap_or(0))
}

/// `SIOCOUTQNSD` of `linux/sockios.h`: bytes in the send queue that have not been sent at all.
const SIOCOUTQNSD: rustix::ioctl::Opcode = 0x894b;

/// Bytes written to a TCP socket that have not left it yet.
///
/// # Errors
/// Whatever `ioctl` reports; other sockets than TCP give `ENOTTY` or `EINVAL`.
pub fn unsent_yet(socket: impl AsFd) -> io::Result<u64> {
    // SAFETY: SIOCOUTQNSD writes exactly one `int` and reads nothing (linux/net/ipv4/tcp.c, tcp_ioctl).
    #[allow(unsafe_code)]
    let queued =
        unsafe { rustix::ioctl::ioctl(socket.as_fd(), rustix::ioctl::Getter::<SIOCOUTQNSD, i32>::new()) }?;
    Ok(u64::try_from(queued).unwrap_or(0))
}

/// Raises the soft limit of open files to the hard one and returns it; `None` means unlimited.
pub fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn load_5_unsent_counts_what_the_peer_has_not_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut writer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        writer.set_nonblocking(true).unwrap();
        assert_eq!((unsent(&writer).unwrap(), unsent_yet(&writer).unwrap()), (0, 0));
        let chunk = [0_u8; 65536];
        while writer.write(&chunk).is_ok() {}
        assert!(unsent(&writer).unwrap() > 0, "a peer that reads nothing leaves bytes queued");
        assert!(unsent_yet(&writer).unwrap() > 0, "and some of them never left");
    }
}
