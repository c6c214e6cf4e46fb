//! Uploads that can be told apart: each has a number, from which all its bytes follow; and the clients that send them.
//!
//! ```text
//! {"number":17,"fill":"qwqe…"}     so that a file found later is judged byte by byte, whoever wrote it
//! ```

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::bench::http::Client;
use crate::dice::Dice;

/// The uploads of one run.
#[derive(Debug)]
pub(crate) struct Uploads {
    seed: u64,
    next: AtomicU64,
}

/// What clients sent and were told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) sent: u64,
    /// The name of each 201 with the number of the upload.
    pub(crate) acknowledged: Vec<(String, u64)>,
    /// Other answers than 201, and connections that failed, while nothing had been done to the server.
    pub(crate) wrong: Vec<String>,
}

/// Most bytes of the fill of a small, a middling and a large upload. One write, one page or some hundred.
const FILLS: [u64; 3] = [400, 16 << 10, 300 << 10];

/// A fill repeats so many letters. The number is odd, so pages of 4 KiB are equal only 61 pages apart,
/// and one in the place of another is seen.
const PATTERN: usize = 61;

const BEFORE_NUMBER: &str = "{\"number\":";
const BEFORE_FILL: &str = ",\"fill\":\"";
const AFTER_FILL: &str = "\"}";

impl Uploads {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, next: AtomicU64::new(0) }
    }

    /// A number that no upload had before.
    pub(crate) fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// All bytes of an upload.
    pub(crate) fn body(&self, number: u64) -> Vec<u8> {
        let mut dice = Dice::of(self.seed, number);
        // Of twenty, sixteen are small and one is large.
        let most = match dice.below(20) {
            0 => FILLS[2],
            1..4 => FILLS[1],
            _ => FILLS[0],
        };
        let length = usize::try_from(dice.below(most)).unwrap_or(0);
        let letters: Vec<u8> = (0..PATTERN).map(|_| b'a' + dice.roll().to_le_bytes()[0] % 16).collect();
        let fill = letters.repeat(length / PATTERN + 1);
        let head = format!("{BEFORE_NUMBER}{number}{BEFORE_FILL}");
        [head.as_bytes(), &fill[..length], AFTER_FILL.as_bytes()].concat()
    }

    /// Which upload `bytes` are; `None` where they are not the whole of one.
    pub(crate) fn recognise(&self, bytes: &[u8]) -> Option<u64> {
        let head = std::str::from_utf8(bytes.get(..bytes.len().min(64))?).ok()?;
        let (number, _) = head.strip_prefix(BEFORE_NUMBER)?.split_once(BEFORE_FILL)?;
        let number = number.parse().ok()?;
        let was_sent = number < self.next.load(Ordering::Relaxed);
        (was_sent && self.body(number) == bytes).then_some(number)
    }

    /// Lets `clients` send one upload after another until the server is gone, which `strike` brings about: it begins
    /// by raising the flag that it is given.
    pub(super) fn storm<T>(
        &self,
        port: u16,
        clients: u64,
        strike: impl FnOnce(&AtomicBool) -> T,
    ) -> (Told, T) {
        let struck = AtomicBool::new(false);
        let told = Mutex::new(Told::default());
        let struck_with = thread::scope(|scope| {
            for _ in 0..clients {
                scope.spawn(|| {
                    let one = self.send_until_gone(port, &struck);
                    told.lock().unwrap_or_else(std::sync::PoisonError::into_inner).add(one);
                });
            }
            strike(&struck)
        });
        (told.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner), struck_with)
    }

    fn send_until_gone(&self, port: u16, struck: &AtomicBool) -> Told {
        let mut told = Told::default();
        let mut client = Client::connect(port);
        loop {
            let number = self.next();
            let body = self.body(number);
            told.sent += 1;
            let answer = match &mut client {
                Ok(client) => client.post_json("/upload", &body),
                Err(error) => Err(error.kind().into()),
            };
            let undisturbed = !struck.load(Ordering::SeqCst);
            match answer {
                Ok(answer) if answer.status == 201 => match stored_name(answer.field("location")) {
                    Some(name) => told.acknowledged.push((name, number)),
                    None => told.wrong.push("a 201 without its path".to_owned()),
                },
                Ok(answer) if undisturbed => told.wrong.push(format!("an answer of {}", answer.status)),
                // A disk that is gone is no reason to be silent: those 500 and 503 are as they should be.
                Ok(answer) if matches!(answer.status, 500 | 503) => {}
                Ok(answer) => told.wrong.push(format!("an answer of {} after the strike", answer.status)),
                Err(error) => {
                    if undisturbed {
                        told.wrong.push(format!("a connection failed: {error}"));
                    }
                    return told;
                }
            }
        }
    }
}

impl Told {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.acknowledged.extend(other.acknowledged);
        self.wrong.extend(other.wrong);
    }
}

/// The name of the file that a 201 tells (UP-4).
pub(crate) fn stored_name(location: Option<&str>) -> Option<String> {
    location?.strip_prefix("/uploads/").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upload_is_recognised_whole_and_in_no_other_way() {
        let uploads = Uploads::new(7);
        for _ in 0..100 {
            let number = uploads.next();
            let body = uploads.body(number);
            assert_eq!(uploads.recognise(&body), Some(number));
            assert_eq!(uploads.recognise(&body[..body.len() - 1]), None, "cut");
            assert_eq!(uploads.recognise(&[&body[..], b" "].concat()), None, "grown");
            let mut zeroed = body.clone();
            let at = body.len() - 3;
            zeroed[at] = 0;
            assert_eq!(uploads.recognise(&zeroed), None, "a hole");
            assert_eq!(Uploads::new(8).recognise(&body), None, "of another run");
        }
        let unsent = uploads.body(100);
        assert_eq!(uploads.recognise(&unsent), None, "nobody sent it");
        assert_eq!(uploads.recognise(b""), None);
    }

    #[test]
    fn sizes_are_mixed_and_bodies_are_json_of_their_length() {
        let uploads = Uploads::new(1);
        let sizes: Vec<usize> = (0..200).map(|number| uploads.body(number).len()).collect();
        assert!(sizes.iter().filter(|&&size| size < 500).count() > 100);
        assert!(sizes.iter().any(|&size| size > 100_000) && sizes.iter().all(|&size| size < 310_000));
        let body = String::from_utf8(uploads.body(3)).unwrap();
        assert!(body.starts_with("{\"number\":3,\"fill\":\"") && body.ends_with("\"}"), "{body}");
    }
}
