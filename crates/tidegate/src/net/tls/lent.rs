//! Memory for bytes on their way through TLS, lent by the thread: a connection that waits for its peer holds as many
//! bytes as are on their way, and mostly none.

use std::cell::RefCell;

/// Size of what is lent: what is sealed at once, with its records' overhead, and what may stand before it.
const SIZE: usize = 72 * 1024;
/// Pieces that a thread keeps: one is received into, one holds what overflows, one is sent from, one joins two slices.
const KEPT: usize = 4;

thread_local! {
    static STOCK: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A queue of bytes. An empty one that is [settled](Self::settle) holds no memory.
#[derive(Debug, Default)]
pub(super) struct Lent {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Lent {
    /// What is in it.
    pub(super) fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// What is in it, to be changed in place.
    pub(super) fn filled_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// How many bytes are in it.
    pub(super) const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether there are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Where to write the next bytes: at least `room` of them.
    pub(super) fn spare(&mut self, room: usize) -> &mut [u8] {
        if self.bytes.len() - self.end < room {
            let mut larger = take(self.len() + room);
            if let Some(front) = larger.get_mut(..self.len()) {
                front.copy_from_slice(self.filled());
            }
            self.end -= self.start;
            self.start = 0;
            give_back(std::mem::replace(&mut self.bytes, larger));
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// `count` bytes were written there.
    pub(super) fn add(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
    }

    /// Appends a copy of `bytes`.
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if let Some(front) = self.spare(bytes.len()).get_mut(..bytes.len()) {
            front.copy_from_slice(bytes);
            self.add(bytes.len());
        }
    }

    /// The first `count` bytes are done with.
    pub(super) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Moves what fits to the front of `into`, and tells how much that is.
    pub(super) fn move_to(&mut self, into: &mut [u8]) -> usize {
        let count = self.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..count), self.filled().get(..count)) {
            to.copy_from_slice(from);
        }
        self.consume(count);
        count
    }

    /// Gives back what was lent; what is left of the bytes gets memory of its own size.
    pub(super) fn settle(&mut self) {
        if self.len() < self.bytes.len() {
            let rest: Box<[u8]> = self.filled().into();
            (self.start, self.end) = (0, rest.len());
            give_back(std::mem::replace(&mut self.bytes, rest));
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        give_back(std::mem::take(&mut self.bytes));
    }
}

fn take(room: usize) -> Box<[u8]> {
    let kept = if room <= SIZE { STOCK.with_borrow_mut(Vec::pop) } else { None };
    kept.unwrap_or_else(|| vec![0; room.max(SIZE)].into())
}

fn give_back(bytes: Box<[u8]>) {
    // At the end of a thread there is no stock any more.
    let _ = STOCK.try_with(|stock| {
        let mut stock = stock.borrow_mut();
        if bytes.len() == SIZE && stock.len() < KEPT {
            stock.push(bytes);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_1_what_waits_holds_its_own_size_and_nothing_when_empty() {
        let mut queue = Lent::default();
        queue.append(&[1; 100]);
        assert_eq!(queue.bytes.len(), SIZE);
        queue.consume(60);
        queue.settle();
        assert_eq!((queue.filled(), queue.bytes.len()), (&[1; 40][..], 40));
        assert_eq!(STOCK.with_borrow(Vec::len), 1, "the memory waits for the next one");
        queue.consume(40);
        queue.settle();
        assert_eq!((queue.len(), queue.bytes.len()), (0, 0));
    }

    #[test]
    fn tls_1_bytes_come_out_as_they_went_in_whatever_their_number() {
        let mut queue = Lent::default();
        let all: Vec<u8> = (0..=255).cycle().take(3 * SIZE).collect();
        let (mut put, mut got) = (0, Vec::new());
        for step in 1.. {
            let more = &all[put..all.len().min(put + 997 * step)];
            queue.append(more);
            put += more.len();
            let mut into = vec![0; 1009 * step];
            let count = queue.move_to(&mut into);
            got.extend_from_slice(&into[..count]);
            queue.settle();
            if put == all.len() && queue.is_empty() {
                break;
            }
        }
        assert!(got == all);
    }
}
