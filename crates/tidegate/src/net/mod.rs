//! The network's edge: listening sockets, byte pipes, and the few raw system calls.
//!
//! `cidr` networks by their text · `listener` binds · `inherited` are sockets that others bound, `handover` passes them
//! on · `pipe` is a connected socket, `tls` what may be
//! spoken over it, `transport` one accepted connection, in the clear or by TLS · `sys` is the only place where `unsafe` may stand.

pub mod cidr;
pub mod handover;
pub mod inherited;
pub mod listener;
mod pipe;
pub mod sys;
pub mod tls;
pub mod transport;

pub use cidr::{Cidr, CidrSet};
pub use listener::Listener;
pub use tls::Tls;
pub use transport::{Peer, Progress, Transport};
