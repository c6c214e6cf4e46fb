//! Lines on their way to the writer, and the buffers that come back from it.

use std::sync::Mutex;

/// Written batches that are kept for their buffers: two of each of eight workers.
const SPARES: usize = 16;
/// A buffer that a very long line has made larger than this is not kept, so the spares hold 2 MiB at most.
const SPARE_BYTES: usize = 64 * 1024;

/// Lines on their way to the writer.
#[derive(Debug, Default)]
pub struct Batch {
    /// For the main log.
    pub main: Vec<u8>,
    /// For the JSON file.
    pub json: Vec<u8>,
    /// For the audit log: some of the lines of the main log are told there too.
    pub audit: Vec<u8>,
    /// How many lines of the main log these are.
    pub lines: u64,
}

/// Written batches, for whoever begins a new one. Nobody waits for this lock: who does not get it does without.
#[derive(Debug, Default)]
pub(super) struct Spares(Mutex<Vec<Batch>>);

impl Spares {
    /// An empty batch, with the buffers of a written one where there is one at hand.
    pub(super) fn take(&self) -> Batch {
        self.0.try_lock().ok().and_then(|mut kept| kept.pop()).unwrap_or_default()
    }

    /// Takes back a batch that is done with.
    pub(super) fn put(&self, mut batch: Batch) {
        let Batch { main, json, audit, lines } = &mut batch;
        main.clear();
        json.clear();
        audit.clear();
        *lines = 0;
        let fits = main.capacity().max(json.capacity()).max(audit.capacity()) <= SPARE_BYTES;
        if fits
            && let Ok(mut kept) = self.0.try_lock()
            && kept.len() < SPARES
        {
            kept.push(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(capacity: usize) -> Batch {
        let mut main = Vec::with_capacity(capacity);
        main.push(b'x');
        Batch { main, json: b"y".to_vec(), audit: b"z".to_vec(), lines: 1 }
    }

    #[test]
    fn obs_1_a_batch_comes_back_empty_and_with_its_buffer() {
        let spares = Spares::default();
        spares.put(batch(SPARE_BYTES));
        let Batch { main, json, audit, lines } = spares.take();
        assert_eq!((main.len(), json.len(), audit.len(), lines), (0, 0, 0, 0));
        assert_eq!(main.capacity(), SPARE_BYTES);
        assert_eq!(spares.take().main.capacity(), 0, "there was one");
    }

    #[test]
    fn obs_1_spares_are_bounded_in_number_and_size() {
        let spares = Spares::default();
        spares.put(batch(SPARE_BYTES + 1));
        assert_eq!(spares.take().main.capacity(), 0, "too large to keep");
        for _ in 0..2 * SPARES {
            spares.put(batch(10));
        }
        assert_eq!(spares.0.lock().unwrap().len(), SPARES);
    }
}
