//! Descriptors over a unix socket (`SCM_RIGHTS`, unix(7)), with a line of text as their frame.
//!
//! ```text
//! ok..::⏎       each dot carries up to 64 sockets of the server's own, each colon such that a service manager keeps
//! error: why⏎   none
//! ```
//! The last word of a takeover goes the same way, with a file beside it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as Blocking;

use rustix::io::retry_on_intr;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Descriptors in a message: the kernel takes up to 253 (`SCM_MAX_FD`).
const AT_ONCE: usize = 64;
/// Longest line that is read.
const LINE: usize = 512;
/// Most descriptors that are taken: each of 65 addresses for each of 1024 workers would be more than a process may
/// have open.
const MOST: usize = 16_384;

/// Sockets to be handed over.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Nobody else has them: they go with the last server that does.
    pub ours: Vec<OwnedFd>,
    /// A service manager keeps them: they were there before the first server, and will be after the last.
    pub lent: Vec<OwnedFd>,
}

impl Sockets {
    /// The same once more.
    ///
    /// # Errors
    /// `EMFILE` or `ENFILE`.
    pub fn duplicate(&self) -> io::Result<Self> {
        let all = |some: &[OwnedFd]| some.iter().map(OwnedFd::try_clone).collect::<io::Result<_>>();
        Ok(Self { ours: all(&self.ours)?, lent: all(&self.lent)? })
    }
}

const OURS: &[u8] = b".";
const LENT: &[u8] = b":";

/// Hands over duplicates of `sockets`.
///
/// # Errors
/// When the other side has gone.
pub async fn send(stream: &UnixStream, sockets: &Sockets) -> io::Result<()> {
    write(stream, b"ok", &[]).await?;
    for (mark, sockets) in [(OURS, &sockets.ours), (LENT, &sockets.lent)] {
        for some in sockets.chunks(AT_ONCE) {
            let some: Vec<BorrowedFd<'_>> = some.iter().map(AsFd::as_fd).collect();
            write(stream, mark, &some).await?;
        }
    }
    write(stream, b"\n", &[]).await
}

/// Sends `line` with duplicates of `descriptors`, at most 64, all at once or not at all.
///
/// # Errors
/// When the other side has gone.
pub async fn write(stream: &UnixStream, line: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let attempt = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut extra = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !extra.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // What is written is a few bytes: all of it goes or nothing.
        sendmsg(stream, &[IoSlice::new(line)], &mut extra, SendFlags::NOSIGNAL)?;
        Ok(())
    };
    stream.async_io(Interest::WRITABLE, attempt).await
}

/// Takes what [`send`] hands over.
///
/// # Errors
/// The other side's sentence, or that it has gone or is silent for longer than the stream's read timeout.
pub fn receive(stream: &Blocking) -> io::Result<Sockets> {
    let (mut line, mut taken) = (Vec::new(), Sockets::default());
    while line.last() != Some(&b'\n') {
        let Message { text, descriptors, cut } = read(stream)?;
        // The kernel never joins a message with descriptors to what comes behind it.
        let kind = if text.ends_with(LENT) { &mut taken.lent } else { &mut taken.ours };
        kind.extend(descriptors);
        line.extend_from_slice(&text);
        if cut {
            return Err(io::Error::other("too few descriptors are left for its sockets"));
        }
        if text.is_empty() || line.len() > LINE || taken.ours.len() + taken.lent.len() > MOST {
            return Err(io::Error::other("no answer that makes sense"));
        }
    }
    match line.strip_prefix(b"ok") {
        Some(_) => Ok(taken),
        None => {
            let line = String::from_utf8_lossy(&line);
            Err(io::Error::other(line.trim().trim_start_matches("error: ").to_owned()))
        }
    }
}

/// What came over at once.
#[derive(Debug, Default)]
pub struct Message {
    /// Nothing at the end of the stream.
    pub text: Vec<u8>,
    /// What was sent beside it.
    pub descriptors: Vec<OwnedFd>,
    /// Whether some of them are lost, for there was no room for them in this process.
    pub cut: bool,
}

/// Takes what [`write()`] sent, from one call or, where they had no descriptors, several.
///
/// # Errors
/// When the other side has gone, or is silent for longer than the stream's read timeout.
pub fn read(stream: &Blocking) -> io::Result<Message> {
    let mut text = vec![0; LINE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
    let mut extra = RecvAncillaryBuffer::new(&mut space);
    // With a timeout no call is taken up again after a signal (signal(7)).
    let got = retry_on_intr(|| {
        recvmsg(stream, &mut [IoSliceMut::new(&mut text)], &mut extra, RecvFlags::CMSG_CLOEXEC)
    })?;
    text.truncate(got.bytes);
    let mut descriptors = Vec::new();
    for message in extra.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            descriptors.extend(some);
        }
    }
    Ok(Message { text, descriptors, cut: got.flags.contains(ReturnFlags::CTRUNC) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{MemfdFlags, memfd_create};
    use std::io::Write;

    #[test]
    fn run_6_hundreds_of_sockets_arrive_in_order_and_as_what_they_are() {
        let (ours, theirs) = Blocking::pair().unwrap();
        let file = |number: usize| memfd_create(number.to_string(), MemfdFlags::CLOEXEC).unwrap();
        let sockets = Sockets { ours: (0..150).map(file).collect(), lent: (0..70).map(file).collect() };
        let identities = |files: &[OwnedFd]| {
            files.iter().map(|file| rustix::fs::fstat(file).unwrap().st_ino).collect::<Vec<_>>()
        };
        let sent = (identities(&sockets.ours), identities(&sockets.lent));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sender = std::thread::spawn(move || {
            runtime.block_on(async {
                ours.set_nonblocking(true).unwrap();
                send(&UnixStream::from_std(ours).unwrap(), &sockets).await.unwrap();
            });
        });
        let taken = receive(&theirs).unwrap();
        assert_eq!((identities(&taken.ours), identities(&taken.lent)), sent);
        sender.join().unwrap();
    }

    #[test]
    fn run_6_a_refusal_is_told_and_silence_is_an_error() {
        let (mut ours, theirs) = Blocking::pair().unwrap();
        ours.write_all(b"error: not now\n").unwrap();
        assert_eq!(receive(&theirs).unwrap_err().to_string(), "not now");
        drop(ours);
        assert!(receive(&theirs).is_err());
    }
}
