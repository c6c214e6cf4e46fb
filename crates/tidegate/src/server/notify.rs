//! What a service manager is told (sd_notify(3), SPEC RUN-6): ready, reloading, stopping.
//!
//! The socket is connected before the sandbox, for newer kernels refuse to reach a socket by its path from within. That
//! is why this is not left to a crate: those connect anew for each message.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::time::{ClockId, clock_gettime};

/// The way to the service manager, if there is one.
#[derive(Debug)]
pub(super) struct Notifier(Option<UnixDatagram>);

impl Notifier {
    /// By `NOTIFY_SOCKET`: a path, or `@name` for an abstract socket. One that cannot be reached is none.
    pub(super) fn find() -> Self {
        let reach = || {
            let name = std::env::var_os("NOTIFY_SOCKET")?;
            let address = match name.as_bytes().strip_prefix(b"@") {
                Some(name) => SocketAddr::from_abstract_name(name),
                None => SocketAddr::from_pathname(&name),
            };
            let socket = UnixDatagram::unbound().ok()?;
            socket.connect_addr(&address.ok()?).ok()?;
            // A manager that does not read must not hold us up.
            socket.set_nonblocking(true).ok()?;
            Some(socket)
        };
        Self(reach())
    }

    /// The server accepts; also after a reload, whose result `status` tells.
    pub(super) fn ready(&self, status: &str) {
        // A line of it is one of the message's.
        let status = status.replace('\n', " ");
        self.tell(&format!("READY=1\nMAINPID={}\nSTATUS={status}", std::process::id()));
    }

    /// A reload begins.
    pub(super) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1000));
    }

    /// The server ends.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=finishing what was begun");
    }

    /// The service goes on, as this process.
    pub(super) fn succeeded_by(&self, pid: i32) {
        self.tell(&format!("MAINPID={pid}\nSTATUS=a new server took over"));
    }

    fn tell(&self, state: &str) {
        if let Some(Err(error)) = self.0.as_ref().map(|socket| socket.send(state.as_bytes())) {
            log::warn!("the service manager cannot be told: {error}");
        }
    }
}
