//! Read buffers that are lent, not owned: an idle connection holds none.

use std::cell::RefCell;
use std::task::Poll;

/// Smallest size of a buffer: room for a head of the default limit and some pipelined ones behind it.
const SIZE: usize = 16 * 1024;
/// Buffers that a worker keeps for the next connection; beyond that they are freed.
const KEPT: usize = 64;

/// Bytes received and not yet consumed. Empty buffers hold no memory.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// What was received and not consumed.
    #[inline]
    pub fn unread(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// Whether there is nothing to consume.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether no head is on its way: the empty line that old clients send behind a body is none (RFC 9112 §2.2).
    #[inline]
    pub fn is_blank(&self) -> bool {
        self.unread().iter().all(|byte| matches!(byte, b'\r' | b'\n'))
    }

    /// Marks `count` bytes as done with.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Where to receive into: the free part, made as large as can be, and never empty.
    #[inline]
    fn spare(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.bytes.len() {
            let mut larger = vec![0; (2 * self.bytes.len()).max(SIZE)];
            if let Some(front) = larger.get_mut(..self.end) {
                front.copy_from_slice(self.unread());
            }
            self.bytes = larger.into();
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }
}

/// A worker's stock of buffers.
#[derive(Debug, Default)]
pub struct Buffers {
    input: RefCell<Vec<Box<[u8]>>>,
    output: RefCell<Vec<Vec<u8>>>,
    /// Where pieces of files pass through, within one poll.
    pub(super) scratch: RefCell<Vec<u8>>,
}

impl Buffers {
    /// Receives into `buffer` by `read`, lending it memory if it has none. The memory comes back at once
    /// when nothing is received and nothing was there. `room` is the least size of a buffer.
    #[inline]
    pub fn receive<E>(
        &self,
        buffer: &mut Buffer,
        room: usize,
        read: impl FnOnce(&mut [u8]) -> Poll<Result<usize, E>>,
    ) -> Poll<Result<usize, E>> {
        if buffer.bytes.is_empty() {
            buffer.bytes = self.take(room);
        }
        let received = read(buffer.spare());
        if let Poll::Ready(Ok(count)) = received {
            buffer.end += count;
        }
        if buffer.is_empty() {
            self.give_back(buffer);
        }
        received
    }

    /// A buffer that holds a copy of `bytes`, with room for `room` in all.
    pub fn holding(&self, bytes: &[u8], room: usize) -> Buffer {
        if bytes.is_empty() {
            return Buffer::default();
        }
        let mut buffer = Buffer { bytes: self.take(room.max(bytes.len())), start: 0, end: bytes.len() };
        if let Some(front) = buffer.bytes.get_mut(..bytes.len()) {
            front.copy_from_slice(bytes);
        }
        buffer
    }

    /// Takes the memory of `buffer`, which may be lent again.
    #[inline]
    pub fn give_back(&self, buffer: &mut Buffer) {
        let bytes = std::mem::take(buffer).bytes;
        let mut kept = self.input.borrow_mut();
        if bytes.len() == SIZE && kept.len() < KEPT {
            kept.push(bytes);
        }
    }

    fn take(&self, room: usize) -> Box<[u8]> {
        let kept = if room <= SIZE { self.input.borrow_mut().pop() } else { None };
        kept.unwrap_or_else(|| vec![0; room.max(SIZE)].into())
    }

    /// An empty vector to encode answers into.
    #[inline]
    pub fn take_output(&self) -> Vec<u8> {
        self.output.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(SIZE))
    }

    /// Takes an output vector back.
    #[inline]
    pub fn give_back_output(&self, mut output: Vec<u8>) {
        let mut kept = self.output.borrow_mut();
        if (SIZE..=8 * SIZE).contains(&output.capacity()) && kept.len() < KEPT {
            output.clear();
            kept.push(output);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_1_a_buffer_that_receives_nothing_holds_nothing() {
        let stock = Buffers::default();
        let mut buffer = Buffer::default();
        let pending: Poll<Result<usize, ()>> = stock.receive(&mut buffer, 1, |_| Poll::Pending);
        assert!(pending.is_pending());
        assert_eq!(buffer.bytes.len(), 0);
        assert_eq!(stock.input.borrow().len(), 1, "the memory waits for the next one");
    }

    #[test]
    fn h1_4_bytes_come_out_as_they_went_in() {
        let stock = Buffers::default();
        let mut buffer = stock.holding(b"abc", 64);
        buffer.consume(1);
        let read = stock.receive(&mut buffer, 64, |spare| {
            spare[..2].copy_from_slice(b"de");
            Poll::Ready(Ok::<_, ()>(2))
        });
        assert_eq!(read, Poll::Ready(Ok(2)));
        assert_eq!(buffer.unread(), b"bcde");
        buffer.consume(99);
        assert!(buffer.is_empty());
    }
}
