//! Connections: the driver of each protocol version, its deadlines, and what every connection of a worker
//! shares.
//!
//! `connection` the state of one · `handshake` TLS before the first request · `h1` the HTTP/1 driver, one linear loop ·
//! `h2` HTTP/2 · `fields` the lines that every answer has · `complete` answers that take more than a look · `receive`
//! bodies in · `send` bytes, `send_file` files, `send_sealed` files in memory and `send_live` what never ends out ·
//! `linger` the polite close · `deadline` when to give up · `buffer` memory that idle connections do not hold · `local`
//! what one worker's connections share.

pub mod buffer;
mod complete;
pub mod connection;
pub mod deadline;
mod fields;
pub mod h1;
pub mod h2;
mod handshake;
mod linger;
pub mod local;
mod receive;
mod send;
pub mod send_file;
mod send_live;
mod send_sealed;

pub use connection::Connection;
