//! HTTP/2 for the tour, by the h2 crate over the TLS of `secure`.
//!
//! `Wire` is a TLS connection as that crate wants it · `get` asks for one page · `open_and_reset` does what a flood does.

use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;
use rustls::ClientConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::client::{Response, Target};
use super::secure::Tls;
use super::stage::Halt;

/// How often it is looked whether the tour was interrupted.
const LOOK: Duration = Duration::from_millis(50);
/// Streams after which a flood must have been cut off, by far.
const MOST_STREAMS: u32 = 10_000;

/// Asks for `path` and takes the whole answer.
pub(super) fn get(target: &Target, connection: Tls, path: &str) -> Result<Response, Halt> {
    run(target, async {
        let (mut requests, driver) = h2::client::handshake(Wire::new(connection)?).await.map_err(said)?;
        tokio::spawn(driver);
        let (answer, _) = requests.send_request(request(target, path)?, true).map_err(said)?;
        let (head, mut content) = answer.await.map_err(said)?.into_parts();
        let mut body = Vec::new();
        while let Some(piece) = content.data().await {
            let piece = piece.map_err(said)?;
            body.extend_from_slice(&piece);
            content.flow_control().release_capacity(piece.len()).map_err(said)?;
        }
        let reason = head.status.canonical_reason().unwrap_or_default().to_owned();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let fields = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Ok(Response { status: head.status.as_u16(), reason, fields, body, continued: false })
    })
}

/// Opens a stream and resets it, again and again, until the server has enough: how many it took, and why it ended.
pub(super) fn open_and_reset(target: &Target, connection: Tls) -> Result<(u32, Reason), Halt> {
    run(target, async {
        let (mut requests, driver) = h2::client::handshake(Wire::new(connection)?).await.map_err(said)?;
        let driver = tokio::spawn(driver);
        let mut streams = 0;
        while streams < MOST_STREAMS && one_more(&mut requests, target).await? {
            streams += 1;
        }
        drop(requests);
        match driver.await.map_err(|error| Halt::failed(error.to_string()))? {
            Err(error) => Ok((streams, error.reason().unwrap_or(Reason::INTERNAL_ERROR))),
            Ok(()) => {
                Err(Halt::failed(format!("{streams} streams were opened and reset, and nobody minded")))
            }
        }
    })
}

/// Opens a stream and resets it once it has left; false where the connection has ended.
async fn one_more(requests: &mut SendRequest<Bytes>, target: &Target) -> Result<bool, Halt> {
    if poll_fn(|cx| requests.poll_ready(cx)).await.is_err() {
        return Ok(false);
    }
    let Ok((_answer, mut stream)) = requests.send_request(request(target, "/")?, true) else {
        return Ok(false);
    };
    tokio::task::yield_now().await;
    stream.send_reset(Reason::CANCEL);
    Ok(true)
}

fn request(target: &Target, path: &str) -> Result<http::Request<()>, Halt> {
    let request = http::Request::get(format!("https://{}{path}", target.host)).body(());
    request.map_err(|error| Halt::failed(error.to_string()))
}

#[allow(clippy::needless_pass_by_value, reason = "as map_err wants it")]
fn said(error: h2::Error) -> Halt {
    Halt::failed(format!("HTTP/2: {error}"))
}

/// Lets `work` go on for as long as the target may take, and no longer than the tour.
fn run<T>(target: &Target, work: impl Future<Output = Result<T, Halt>>) -> Result<T, Halt> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let interrupted = async {
        while !target.stop.is_asked() {
            tokio::time::sleep(LOOK).await;
        }
    };
    runtime.block_on(async {
        tokio::select! {
            end = work => end,
            () = interrupted => Err(Halt::failed("interrupted")),
            () = tokio::time::sleep(target.patience) => {
                Err(Halt::failed(format!("no answer within {:?}", target.patience)))
            }
        }
    })
}

/// A TLS connection without blocking.
struct Wire {
    socket: Socket,
    session: ClientConnection,
}

/// A socket that says `WouldBlock`, as rustls wants it.
struct Socket(tokio::net::TcpStream);

impl Wire {
    fn new(connection: Tls) -> io::Result<Self> {
        let (session, socket) = connection.into_parts();
        socket.set_nonblocking(true)?;
        Ok(Self { socket: Socket(tokio::net::TcpStream::from_std(socket)?), session })
    }

    /// Sends all that is encrypted.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            ready!(self.socket.0.poll_write_ready(cx))?;
            match self.session.write_tls(&mut self.socket) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                _ => {}
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Read for Socket {
    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(piece)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        piece: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this.session.reader().read(piece.initialize_unfilled()) {
                Ok(count) => {
                    piece.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                Err(_) => ready!(this.socket.0.poll_read_ready(cx))?,
            }
            match this.session.read_tls(&mut this.socket) {
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Err(error)),
                Err(_) => {}
                Ok(_) => {
                    this.session.process_new_packets().map_err(io::Error::other)?;
                }
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // What is encrypted waits in memory: no more of it before that has left.
        ready!(this.poll_send(cx))?;
        Poll::Ready(this.session.writer().write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_send(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.session.send_close_notify();
        this.poll_send(cx)
    }
}
