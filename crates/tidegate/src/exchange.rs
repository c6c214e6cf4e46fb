//! The plain record of one request and its response. It is filled as the request goes along and read once,
//! at the single exit, by telemetry.

use std::time::Instant;

use crate::http::response::Refusal;
use crate::http::{Request, Response};
use crate::limits::Client;
use crate::net::Peer;

/// One request and its response; `'b` is the life of the request's bytes.
#[derive(Debug)]
pub struct Exchange<'b> {
    /// Random and unique in this process's life; the client reads it in `X-Request-Id` of a refusal.
    pub id: u64,
    /// Who is at the other end of the connection.
    pub peer: Peer,
    /// Who asked: the peer, or the client that a trusted proxy names.
    pub client: Client,
    /// When the last byte of the head was there.
    pub started: Instant,
    /// The request line as received: method, target, version. `None` where it could not be read.
    pub line: Option<(&'b str, &'b [u8], &'b [u8])>,
    /// The request, where its head was sound.
    pub request: Option<Request<'b>>,
    /// The status answered; 0 where the connection ended without an answer.
    pub status: u16,
    /// Bytes of payload handed to the socket.
    pub bytes: u64,
    /// Bytes of request payload read.
    pub received: u64,
    /// Why it was refused, and what an operator should know of that.
    pub refusal: Option<Refusal>,
}

impl<'b> Exchange<'b> {
    /// A record that knows only who asked.
    pub fn begin(id: u64, peer: Peer, started: Instant) -> Self {
        let client = Client::peer(peer);
        Self {
            id,
            peer,
            client,
            started,
            line: None,
            request: None,
            status: 0,
            bytes: 0,
            received: 0,
            refusal: None,
        }
    }

    /// Notes the request.
    pub fn asked(&mut self, request: Request<'b>) {
        self.line = Some((request.method, request.target, request.version.text().as_bytes()));
        self.request = Some(request);
    }

    /// Notes the response that is sent.
    pub fn answered(&mut self, response: &Response) {
        self.status = response.status;
        self.refusal.clone_from(&response.refusal);
    }

    /// What was asked and `why` that is told, as evidence for whoever judges later; what the client sent is not escaped.
    pub fn told(&self, why: &str) -> Vec<u8> {
        match self.line {
            Some((method, target, _)) => [method.as_bytes(), b" ", target, b": ", why.as_bytes()].concat(),
            None => why.as_bytes().to_vec(),
        }
    }

    /// Whether this was an upload, or would have been one.
    #[inline]
    pub fn is_upload(&self) -> bool {
        let to_upload = |target: &[u8]| matches!(target.strip_prefix(b"/upload"), Some([] | [b'?', ..]));
        self.line.is_some_and(|(method, target, _)| method == "POST" && to_upload(target))
    }
}
