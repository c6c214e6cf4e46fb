//! The demo's own client: a connection that sends bytes as given and reads responses without kindness.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::secure::{HTTP1, Offer, Pipe, Secure, Tls};
use super::stage::Halt;

/// How long one read may sleep before it looks whether the tour was interrupted.
const SLICE: Duration = Duration::from_millis(50);
/// The largest head and the largest body that this client takes.
const MAX_HEAD: usize = 64 * 1024;
const MAX_BODY: usize = 64 << 20;

/// Whether somebody asked for the end of the tour; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Asks for the end.
    pub(super) fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether somebody did.
    pub(super) fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The server that is toured.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Where it listens.
    pub(super) addr: SocketAddr,
    /// What `Host` says.
    pub(super) host: String,
    /// Where it speaks TLS, how it is believed.
    pub(super) secure: Option<Secure>,
    /// How long one answer may take.
    pub(super) patience: Duration,
    /// Ends every wait.
    pub(super) stop: Stop,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Client {
    pipe: Pipe,
    received: Vec<u8>,
    patience: Duration,
    stop: Stop,
}

/// One response.
#[derive(Clone, Debug, Default)]
pub(super) struct Response {
    /// The status code.
    pub(super) status: u16,
    /// The words behind it.
    pub(super) reason: String,
    /// Field lines in their order.
    pub(super) fields: Vec<(String, String)>,
    /// The content.
    pub(super) body: Vec<u8>,
    /// Whether `100 Continue` came before it.
    pub(super) continued: bool,
}

impl Response {
    /// The first value of a field.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The content as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A text member of a JSON object in the content; empty where there is none.
    pub(super) fn member(&self, name: &str) -> String {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        json.get(name).map_or(String::new(), |value| {
            value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
        })
    }
}

impl Client {
    /// Connects to `target`.
    pub(super) fn connect(target: &Target) -> io::Result<Self> {
        Self::offering(target, &HTTP1)
    }

    /// Connects to `target` with this offer, where it speaks TLS.
    pub(super) fn offering(target: &Target, offer: &Offer) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&target.addr, target.patience)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(target.patience))?;
        stream.set_write_timeout(Some(target.patience))?;
        let pipe = match &target.secure {
            None => Pipe::Clear(stream),
            Some(secure) => Pipe::Tls(Box::new(secure.shake(stream, offer)?)),
        };
        pipe.socket().set_read_timeout(Some(SLICE))?;
        let (patience, stop) = (target.patience, target.stop.clone());
        Ok(Self { pipe, received: Vec::new(), patience, stop })
    }

    /// What TLS agreed on, in words.
    pub(super) fn agreed(&self) -> String {
        self.pipe.agreed()
    }

    /// The connection without what makes it one of HTTP/1.
    pub(super) fn into_tls(self) -> Result<Tls, Halt> {
        match self.pipe {
            Pipe::Tls(tls) => Ok(*tls),
            Pipe::Clear(_) => Err(Halt::failed("a connection in the clear")),
        }
    }

    /// Sends bytes as they are. A server that has closed already is seen by reading.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        let _ = self.pipe.write_all(bytes).and_then(|()| self.pipe.flush());
    }

    /// The next final response; `to_head` says that it has no content whatever its fields say.
    pub(super) fn response(&mut self, to_head: bool) -> Result<Response, Halt> {
        let mut continued = false;
        loop {
            let mut response = self.head()?;
            if response.status == 100 {
                continued = true;
                continue;
            }
            response.continued = continued;
            if !to_head && !matches!(response.status, 204 | 304) {
                response.body = self.body(&response)?;
            }
            return Ok(response);
        }
    }

    /// Waits for `100 Continue`: the server has begun with a request and wants its content. False where another
    /// answer came.
    pub(super) fn is_invited(&mut self) -> Result<bool, Halt> {
        Ok(self.head()?.status == 100)
    }

    /// Fails unless the connection ends without another byte.
    pub(super) fn ends_silently(&mut self) -> Result<(), Halt> {
        while self.received.is_empty() {
            if !self.more()? {
                return Ok(());
            }
        }
        let surplus = String::from_utf8_lossy(&self.received).lines().next().unwrap_or_default().to_owned();
        Err(Halt::failed(format!("bytes after the last response: {surplus}")))
    }

    /// Whether bytes arrive within `wait`; the end of the connection counts.
    pub(super) fn has_news(&mut self, wait: Duration) -> Result<bool, Halt> {
        if !self.received.is_empty() {
            return Ok(true);
        }
        let socket = self.pipe.socket();
        socket.set_read_timeout(Some(wait))?;
        let news = match socket.peek(&mut [0]) {
            Ok(_) => true,
            Err(error) => !is_waiting(&error),
        };
        socket.set_read_timeout(Some(SLICE))?;
        Ok(news)
    }

    fn head(&mut self) -> Result<Response, Halt> {
        let end = loop {
            if let Some(at) = self.received.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if self.received.len() > MAX_HEAD {
                return Err(Halt::failed("an endless response head"));
            }
            if !self.more()? {
                return Err(Halt::failed("the connection ended without an answer"));
            }
        };
        let bytes: Vec<u8> = self.received.drain(..end + 4).collect();
        parse_head(&String::from_utf8_lossy(&bytes)).ok_or_else(|| Halt::failed("the answer is not HTTP/1"))
    }

    fn body(&mut self, response: &Response) -> Result<Vec<u8>, Halt> {
        let Some(length) = response.field("content-length") else {
            return Err(Halt::failed("the answer has no Content-Length"));
        };
        let length: usize =
            length.parse().map_err(|_| Halt::failed(format!("Content-Length: {length} is no number")))?;
        if length > MAX_BODY {
            return Err(Halt::failed(format!("a body of {length} bytes is more than this tour takes")));
        }
        while self.received.len() < length {
            if !self.more()? {
                let got = self.received.len();
                return Err(Halt::failed(format!("cut short: {got} of {length} bytes")));
            }
        }
        Ok(self.received.drain(..length).collect())
    }

    /// Reads what there is; false at the end of the connection.
    fn more(&mut self) -> Result<bool, Halt> {
        let begun = Instant::now();
        let mut piece = vec![0; 64 * 1024];
        loop {
            match self.pipe.read(&mut piece) {
                Ok(count) => {
                    self.received.extend(piece.iter().take(count));
                    return Ok(count > 0);
                }
                Err(error) if is_waiting(&error) => {
                    if self.stop.is_asked() {
                        return Err(Halt::failed("interrupted"));
                    }
                    if begun.elapsed() > self.patience {
                        return Err(Halt::failed(format!("no answer within {:?}", self.patience)));
                    }
                }
                // A reset is an end too, only less polite.
                Err(_) => return Ok(false),
            }
        }
    }
}

fn is_waiting(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

fn parse_head(head: &str) -> Option<Response> {
    let mut lines = head.trim_end().split("\r\n");
    let (version, rest) = lines.next()?.split_once(' ')?;
    if !version.starts_with("HTTP/1.") {
        return None;
    }
    let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let fields = lines.filter_map(|line| line.split_once(':'));
    let fields = fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
    Some(Response { status: status.parse().ok()?, reason: reason.to_owned(), fields, ..Response::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_4_a_response_head_is_read_or_refused() {
        let response = parse_head("HTTP/1.1 404 Not Found\r\nServer: tidegate\r\n\r\n").unwrap();
        assert_eq!((response.status, response.reason.as_str()), (404, "Not Found"));
        assert_eq!(response.field("SERVER"), Some("tidegate"));
        assert!(parse_head("SSH-2.0-OpenSSH\r\n\r\n").is_none());
        assert!(parse_head("HTTP/1.1 many words\r\n\r\n").is_none());
    }
}
