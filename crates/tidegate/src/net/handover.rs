//! Descriptors over a unix socket (`SCM_RIGHTS`, unix(7)), with a line of text as their frame.
//!
//! ```text
//! ok.....⏎      each dot carries up to 64 descriptors
//! error: why⏎   none
//! ```

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as Blocking;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
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

/// Hands over duplicates of `descriptors`.
///
/// # Errors
/// When the other side has gone.
pub async fn send(stream: &UnixStream, descriptors: &[OwnedFd]) -> io::Result<()> {
    write(stream, b"ok", &[]).await?;
    for some in descriptors.chunks(AT_ONCE) {
        let some: Vec<BorrowedFd<'_>> = some.iter().map(AsFd::as_fd).collect();
        write(stream, b".", &some).await?;
    }
    write(stream, b"\n", &[]).await
}

async fn write(stream: &UnixStream, text: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let attempt = || {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut extra = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !extra.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // What is written is one to two bytes: all of it goes or nothing.
        sendmsg(stream, &[IoSlice::new(text)], &mut extra, SendFlags::NOSIGNAL)?;
        Ok(())
    };
    stream.async_io(Interest::WRITABLE, attempt).await
}

/// Takes what [`send`] hands over.
///
/// # Errors
/// The other side's sentence, or that it has gone or is silent for longer than the stream's read timeout.
pub fn receive(stream: &Blocking) -> io::Result<Vec<OwnedFd>> {
    let (mut line, mut taken) = (Vec::new(), Vec::new());
    while line.last() != Some(&b'\n') {
        let mut text = [0; LINE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut extra = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(stream, &mut [IoSliceMut::new(&mut text)], &mut extra, RecvFlags::CMSG_CLOEXEC)?;
        for message in extra.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                taken.extend(descriptors);
            }
        }
        line.extend_from_slice(text.get(..got.bytes).unwrap_or_default());
        if got.bytes == 0 || line.len() > LINE || taken.len() > MOST {
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    #[test]
    fn run_6_hundreds_of_descriptors_arrive_in_order() {
        let (ours, theirs) = Blocking::pair().unwrap();
        let files: Vec<OwnedFd> = (0..150)
            .map(|n| rustix::fs::memfd_create(n.to_string(), rustix::fs::MemfdFlags::CLOEXEC).unwrap())
            .collect();
        let identity = |file: &OwnedFd| rustix::fs::fstat(file).unwrap().st_ino;
        let sent: Vec<u64> = files.iter().map(identity).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let sender = std::thread::spawn(move || {
            runtime.block_on(async {
                ours.set_nonblocking(true).unwrap();
                send(&UnixStream::from_std(ours).unwrap(), &files).await.unwrap();
            });
            files.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>()
        });
        let taken = receive(&theirs).unwrap();
        assert_eq!(taken.iter().map(identity).collect::<Vec<_>>(), sent);
        assert_eq!(sender.join().unwrap().len(), taken.len());
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
