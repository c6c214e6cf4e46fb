//! Payloads that were handed to the HTTP/2 layer: bytes by reference where they lie in memory already. They are counted
//! as owed to the client from then until they are on the wire, or dropped with their stream.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Buf;

use super::shared::Shared;
use crate::disk::Sealed;

/// Bytes of one answer, or of a piece of it.
pub(super) struct Payload {
    bytes: Bytes,
    /// What is still to be sent of them.
    left: Range<usize>,
    owed: Owed,
}

/// Where they lie.
pub(super) enum Bytes {
    /// In the program.
    Static(&'static str),
    /// With others who send the same.
    Shared(Arc<[u8]>),
    /// In sealed memory, mapped.
    Sealed(Rc<Sealed>),
    /// Here alone.
    Owned(Vec<u8>),
}

/// What the connection owes to its client, counted back on drop.
struct Owed {
    shared: Rc<Shared>,
    count: usize,
}

impl Payload {
    /// The `part` of `bytes`, owed from now on.
    pub(super) fn new(shared: &Rc<Shared>, bytes: Bytes, part: Range<usize>) -> Self {
        let owed = Owed { shared: Rc::clone(shared), count: part.len() };
        shared.owe(part.len());
        Self { bytes, left: part, owed }
    }

    /// All of a vector.
    pub(super) fn owned(shared: &Rc<Shared>, bytes: Vec<u8>) -> Self {
        let all = 0..bytes.len();
        Self::new(shared, Bytes::Owned(bytes), all)
    }
}

impl Buf for Payload {
    fn remaining(&self) -> usize {
        self.left.len()
    }

    fn chunk(&self) -> &[u8] {
        crate::failpoint!("payload");
        let bytes = match &self.bytes {
            Bytes::Static(text) => text.as_bytes(),
            Bytes::Shared(bytes) => bytes,
            // Whoever made this has mapped them.
            Bytes::Sealed(memory) => memory.bytes().unwrap_or_default(),
            Bytes::Owned(bytes) => bytes,
        };
        bytes.get(self.left.clone()).unwrap_or_default()
    }

    fn advance(&mut self, count: usize) {
        self.left.start = self.left.start.saturating_add(count).min(self.left.end);
        self.owed.shared.move_on(count);
        self.owed.pay(count);
    }
}

impl Owed {
    fn pay(&mut self, count: usize) {
        let count = count.min(self.count);
        self.count -= count;
        self.shared.paid(count);
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        self.pay(self.count);
    }
}
