//! Codings made by us (SPEC FILE-6): once for each version of a file, by pool threads that have nothing else to do, for
//! all workers. Nobody waits for one: until it is there a request gets what is.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use crate::disk::{self, Descriptor};
use crate::http::negotiate::Coding;
use crate::http::validators::Identity;
use crate::pool::Pool;
use crate::sync::{Mutex, lock};

/// Smallest file worth a coding, in bytes: what is saved below that is lost in one packet.
pub const LEAST: u64 = 1024;
/// Largest file that is coded, in bytes: a thread is busy for about a second with that much.
pub const MOST: u64 = 8 * 1024 * 1024;
/// Memory for what was made, in bytes.
const CAPACITY: u64 = 32 * 1024 * 1024;
/// What one that was made costs beside its bytes.
const OVERHEAD: u64 = 256;
/// Files that are coded at the same time. The other threads of the pool are for those who wait.
const AT_ONCE: usize = 2;
/// What was made and had to go is not made again before so long: a site of more than is kept would be compressed
/// without end.
const AGAIN: Duration = Duration::from_mins(10);
/// Of how much that is remembered.
const REMEMBERED: usize = 8192;
/// A coding must save a tenth, or the client's work is not worth it.
const WORTH: (usize, usize) = (9, 10);

/// Brotli's quality 5 is the highest that takes about as long as the others.
const BROTLI_QUALITY: i32 = 5;
/// 4 MiB; every client must be able to hold 16 MiB (RFC 7932 §9.1).
const BROTLI_WINDOW: i32 = 22;
/// With zstd's own defaults for a file of at most 8 MiB: its window is within the 8 MiB that clients hold (RFC 9659).
const ZSTD_LEVEL: i32 = 9;
const ZSTD_WINDOW_LOG: u32 = 23;
const GZIP_LEVEL: u32 = 6;

/// What was made, and what is being made; clones share it.
#[derive(Clone, Debug)]
pub struct Codings(Arc<Mutex<Inner>>);

/// A version of a file, and a coding.
type Key = (Identity, Coding);

#[derive(Debug)]
struct Inner {
    /// `None` for what turned out to be useless.
    made: Cache<Key, Option<Arc<[u8]>>, Weigh>,
    making: HashSet<Key>,
    /// When something was made last, also where that failed or was too much to be kept.
    last: Cache<Key, Instant>,
}

#[derive(Clone, Debug)]
struct Weigh;

impl Weighter<Key, Option<Arc<[u8]>>> for Weigh {
    fn weight(&self, _: &Key, made: &Option<Arc<[u8]>>) -> u64 {
        OVERHEAD + made.as_ref().map_or(0, |bytes| bytes.len() as u64)
    }
}

/// Where the bytes of a file come from.
#[derive(Debug)]
pub enum Making {
    /// Memory.
    OfBytes(Arc<[u8]>),
    /// A descriptor that must still be of this version when it has been read.
    OfFile(Arc<Descriptor>, Identity),
}

/// What came of asking for a coding.
#[derive(Debug)]
pub enum Asked {
    /// Here it is.
    Made(Arc<[u8]>),
    /// It would be no smaller.
    Useless,
    /// It is being made, or will be when asked for again, at once or after ten minutes.
    NotYet,
}

impl Default for Codings {
    fn default() -> Self {
        let made = Cache::with_weighter(1024, CAPACITY, Weigh);
        let last = Cache::new(REMEMBERED);
        Self(Arc::new(Mutex::new(Inner { made, making: HashSet::new(), last })))
    }
}

impl Codings {
    /// Asks for `coding` of the version `identity`; orders it from `pool` if it is to be made of `source`.
    pub fn ask(
        &self,
        identity: &Identity,
        coding: Coding,
        source: impl FnOnce() -> Making,
        pool: &Pool,
    ) -> Asked {
        let key = (*identity, coding);
        let mut inner = lock(&self.0);
        match inner.made.get(&key) {
            Some(Some(bytes)) => return Asked::Made(Arc::clone(bytes)),
            Some(None) => return Asked::Useless,
            None => {}
        }
        if inner.last.get(&key).is_some_and(|last| last.elapsed() < AGAIN) {
            return Asked::NotYet;
        }
        if inner.making.len() < AT_ONCE && inner.making.insert(key) {
            drop(inner);
            let (place, source) = (Place { codings: self.clone(), key }, source());
            // A refused job is dropped, and its place with it.
            pool.run_spare("compressing a file", move || place.make(source));
        }
        Asked::NotYet
    }
}

/// A coding that is being made; its place is given back on drop, also after a panic.
struct Place {
    codings: Codings,
    key: Key,
}

impl Place {
    fn make(self, source: Making) {
        lock(&self.codings.0).last.insert(self.key, Instant::now());
        crate::failpoint!("coding");
        let Some(bytes) = source.read() else { return };
        let made = match encode(&bytes, self.key.1) {
            Ok(made) => made,
            Err(error) => {
                log::warn!("a file could not be compressed as {}: {error}", self.key.1.token());
                return;
            }
        };
        let useful = made.len() / WORTH.0 < bytes.len() / WORTH.1;
        let made = useful.then(|| Arc::from(made));
        lock(&self.codings.0).made.insert(self.key, made);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.codings.0).making.remove(&self.key);
    }
}

impl Making {
    /// The whole file; `None` where it has changed, or cannot be read: the next look at it will tell why.
    fn read(self) -> Option<Arc<[u8]>> {
        match self {
            Self::OfBytes(bytes) => Some(bytes),
            Self::OfFile(fd, identity) => {
                let mut bytes = vec![0; usize::try_from(identity.size).ok()?];
                let count = disk::read(&fd, &mut bytes, 0).ok()?;
                (count == bytes.len() && disk::is_unchanged(&fd, &identity)).then(|| bytes.into())
            }
        }
    }
}

/// `bytes` in `coding`.
///
/// # Errors
/// What the library says; writing to memory cannot fail.
pub fn encode(bytes: &[u8], coding: Coding) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(bytes.len() / 3);
    match coding {
        Coding::Br => {
            let params = brotli::enc::BrotliEncoderParams {
                quality: BROTLI_QUALITY,
                lgwin: BROTLI_WINDOW,
                size_hint: bytes.len(),
                ..Default::default()
            };
            brotli::BrotliCompress(&mut &bytes[..], &mut out, &params)?;
        }
        Coding::Zstd => {
            let mut encoder = zstd::Encoder::new(&mut out, ZSTD_LEVEL)?;
            encoder.window_log(ZSTD_WINDOW_LOG)?;
            encoder.set_pledged_src_size(Some(bytes.len() as u64))?;
            encoder.include_checksum(true)?;
            encoder.write_all(bytes)?;
            encoder.finish()?;
        }
        Coding::Gzip => {
            flate2::read::GzEncoder::new(bytes, flate2::Compression::new(GZIP_LEVEL))
                .read_to_end(&mut out)?;
        }
    }
    Ok(out)
}

#[cfg(test)]
#[cfg(feature = "shuttle")]
mod shuttle_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ThreadRange;
    use std::time::Duration;

    fn decode(bytes: &[u8], coding: Coding) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Br => {
                brotli::BrotliDecompress(&mut &bytes[..], &mut out).unwrap();
            }
            Coding::Zstd => out = zstd::decode_all(bytes).unwrap(),
            Coding::Gzip => {
                flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
            }
        }
        out
    }

    fn identity(number: u64) -> Identity {
        Identity { file: (1, number), size: 0, modified: (0, 0), changed: (0, 0) }
    }

    fn settled(codings: &Codings, number: u64, coding: Coding, bytes: &Arc<[u8]>, pool: &Pool) -> Asked {
        for _ in 0..2000 {
            let source = || Making::OfBytes(Arc::clone(bytes));
            match codings.ask(&identity(number), coding, source, pool) {
                Asked::NotYet => std::thread::sleep(Duration::from_millis(5)),
                asked => return asked,
            }
        }
        panic!("never made");
    }

    #[test]
    fn file_6_every_coding_decodes_to_the_same_bytes_and_is_made_once() {
        let (pool, codings) = (Pool::start(ThreadRange::fixed(2), 4).unwrap(), Codings::default());
        let text: Arc<[u8]> = "the tide comes in, the tide goes out. ".repeat(3000).into_bytes().into();
        for coding in Coding::ALL {
            let Asked::Made(bytes) = settled(&codings, 1, coding, &text, &pool) else { panic!("{coding:?}") };
            assert!(bytes.len() < text.len() / 10);
            assert_eq!(decode(&bytes, coding), &text[..], "{coding:?}");
            let never = || panic!("it is there");
            let Asked::Made(again) = codings.ask(&identity(1), coding, never, &pool) else { panic!() };
            assert!(Arc::ptr_eq(&bytes, &again));
        }
        // A job counts as finished a moment after what it made is there.
        while pool.status().busy() > 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(pool.status().finished, 3);
    }

    #[test]
    fn file_6_what_does_not_shrink_is_remembered_as_useless() {
        let (pool, codings) = (Pool::start(ThreadRange::fixed(1), 4).unwrap(), Codings::default());
        let ids = crate::random::Ids::new();
        let noise: Arc<[u8]> = (0..1000).flat_map(|_| ids.next().to_le_bytes()).collect();
        for coding in Coding::ALL {
            assert!(matches!(settled(&codings, 1, coding, &noise, &pool), Asked::Useless), "{coding:?}");
        }
    }

    #[test]
    fn file_6_few_are_made_at_once_and_a_busy_pool_makes_none() {
        let (pool, codings) = (Pool::start(ThreadRange::fixed(1), 4).unwrap(), Codings::default());
        let (release, held) = std::sync::mpsc::channel::<()>();
        let busy = pool.run("holding", move || held.recv()).unwrap();
        while pool.status().busy() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let text: Arc<[u8]> = vec![b'a'; 10_000].into();
        for number in 0..10 {
            let source = || Making::OfBytes(Arc::clone(&text));
            assert!(matches!(codings.ask(&identity(number), Coding::Br, source, &pool), Asked::NotYet));
        }
        assert_eq!((pool.status().queued, lock(&codings.0).making.len()), (0, 0));
        drop((release, busy));
        assert!(matches!(settled(&codings, 3, Coding::Br, &text, &pool), Asked::Made(_)));
    }

    #[test]
    fn file_7_a_file_that_changed_is_not_coded_under_its_old_name() {
        let path = std::env::temp_dir().join(format!("tidegate-coding-{}", std::process::id()));
        std::fs::write(&path, "old ".repeat(1000)).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let version = disk::identity_of(&file).unwrap();
        std::thread::sleep(crate::http::validators::STAMP_TICK);
        std::fs::write(&path, "new ".repeat(1000)).unwrap();
        assert!(Making::OfFile(Arc::new(Descriptor::new(file.into(), None)), version).read().is_none());
        std::fs::remove_file(path).unwrap();
    }
}
