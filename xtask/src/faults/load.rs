//! The mixed load under a fault: three clients, each asking one thing after another, and what was right of the answers.
//! Over TLS the first speaks HTTP/1.1, the others HTTP/2.
//!
//! ```text
//! seated    a connection opened before the fault      files, a part, nothing, a listing, health, metrics
//! fresh     a connection for each request             files, listings, a client that reads slowly
//! uploader  a connection of its own                   uploads, and one of them read again
//! ```

use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::ask::{Answer, Client, End, Request};
use super::curl::Protocol;
use super::site::{FOLDERS, HUGE, LISTED, Site};
use super::target::Place;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Load {
    Mixed,
    /// With a file so large that it is sent by reference.
    Huge,
    /// Warm files and uploads alone: nothing but an upload goes to the pool.
    Uploads,
    /// The mixed one, on a store that had to take the way of named staging files.
    Staged,
    /// The mixed one over TLS, by HTTP/1.1 and HTTP/2.
    Secured,
}

/// Files answer 206 to this; both ends within the smallest of the large ones.
const PART: std::ops::RangeInclusive<usize> = 5..=499_999;

/// A request, and what a right answer to it is.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) wanted: Wanted,
    request: Request,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// 200 with all bytes of the file of this name.
    File(String),
    /// 206 with [`PART`] of it.
    Part(String),
    /// 200 with all of [`LISTED`] in it.
    Listing,
    /// 404.
    Nothing,
    /// 200, whatever it says.
    Status,
    /// 201; these bytes are kept.
    Stored(Vec<u8>),
    /// 200 with these bytes.
    Bytes(Vec<u8>),
}

/// One request under the fault.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) ask: Ask,
    pub(super) end: End,
    pub(super) ended: Instant,
}

impl Ask {
    pub(super) fn file(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or(path);
        Self::get(path, Wanted::File(name.to_owned()))
    }

    pub(super) fn status(path: &str) -> Self {
        Self::get(path, Wanted::Status)
    }

    pub(super) fn upload(body: Vec<u8>) -> Self {
        let fields = "Content-Type: application/json\r\n".to_owned();
        let request =
            Request { method: "POST", path: "/upload".to_owned(), fields, body: body.clone(), slow: false };
        Self { wanted: Wanted::Stored(body), request }
    }

    fn get(path: &str, wanted: Wanted) -> Self {
        let request = Request { method: "GET", path: format!("/{path}"), ..Request::default() };
        Self { wanted, request }
    }

    fn part(path: &str) -> Self {
        let mut ask = Self::get(path, Wanted::Part(path.to_owned()));
        ask.request.fields = format!("Range: bytes={}-{}\r\n", PART.start(), PART.end());
        ask
    }

    fn slowly(mut self) -> Self {
        self.request.slow = true;
        self
    }

    pub(super) fn put_to(self, client: &mut Client) -> Seen {
        let end = client.ask(&self.request);
        Seen { ask: self, end, ended: Instant::now() }
    }

    /// For people.
    pub(super) fn told(&self) -> String {
        format!("{} {}", self.request.method, self.request.path)
    }

    /// Whether this is all that was asked for.
    pub(super) fn is_right(&self, site: &Site, answer: &Answer) -> bool {
        let Answer { status, body, .. } = answer;
        match &self.wanted {
            Wanted::File(name) => *status == 200 && body == site.content(name),
            Wanted::Part(name) => *status == 206 && site.content(name).get(PART) == Some(body.as_slice()),
            Wanted::Listing => *status == 200 && lists_all(body),
            Wanted::Nothing => *status == 404,
            Wanted::Status => *status == 200,
            Wanted::Stored(_) => *status == 201,
            Wanted::Bytes(bytes) => *status == 200 && body == bytes,
        }
    }
}

fn lists_all(body: &[u8]) -> bool {
    let page = String::from_utf8_lossy(body);
    LISTED.iter().all(|name| page.contains(name))
}

/// The three clients at work.
#[derive(Debug)]
pub(super) struct Clients(Vec<JoinHandle<Vec<Seen>>>);

impl Clients {
    /// Sets them to work; `seated` already has its connection.
    pub(super) fn start(load: Load, place: &Place, seated: Client) -> Self {
        let cold = if load == Load::Uploads { None } else { Some(place.cold.name.as_str()) };
        let mut fresh = asks_of_fresh(cold);
        if load == Load::Huge {
            fresh.push(Ask::file(HUGE).slowly());
        }
        let (uploads, uploader) = (asks_of_uploader(), place.client(Protocol::Http2));
        Self(vec![
            work(seated, asks_of_seated(cold), false),
            work(place.client(Protocol::Http2), fresh, true),
            thread::spawn(move || upload(uploader, uploads)),
        ])
    }

    pub(super) fn are_done(&self) -> bool {
        self.0.iter().all(JoinHandle::is_finished)
    }

    /// Waits for the last of them; no request takes longer than its patience.
    pub(super) fn finish(self) -> Result<Vec<Seen>, String> {
        let seen: Result<Vec<_>, _> = self.0.into_iter().map(JoinHandle::join).collect();
        seen.map(|seen| seen.into_iter().flatten().collect()).map_err(|_| "a client panicked".to_owned())
    }
}

fn work(mut client: Client, asks: Vec<Ask>, anew: bool) -> JoinHandle<Vec<Seen>> {
    thread::spawn(move || {
        let one = |ask: Ask| {
            if anew {
                client.leave();
            }
            ask.put_to(&mut client)
        };
        asks.into_iter().map(one).collect()
    })
}

/// Uploads, and then reads the first that was acknowledged.
fn upload(mut client: Client, asks: Vec<Ask>) -> Vec<Seen> {
    let mut seen: Vec<Seen> = asks.into_iter().map(|ask| ask.put_to(&mut client)).collect();
    let stored = seen.iter().find_map(|seen| Some((stored_name(&seen.end)?, seen.ask.clone())));
    if let Some((name, Ask { wanted: Wanted::Stored(bytes), .. })) = stored {
        seen.push(Ask::get(&format!("uploads/{name}"), Wanted::Bytes(bytes)).put_to(&mut client));
    }
    seen
}

/// The name of the file that a 201 tells.
pub(super) fn stored_name(end: &End) -> Option<String> {
    let End::Answer(answer) = end else { return None };
    let path = answer.field("location").filter(|_| answer.status == 201)?;
    Some(path.strip_prefix("/uploads/").unwrap_or(path).to_owned())
}

fn asks_of_seated(cold: Option<&str>) -> Vec<Ask> {
    let mut asks = vec![Ask::status("healthz"), Ask::file("w0.bin"), Ask::file("v0.bin")];
    if let Some(cold) = cold {
        asks.extend([
            Ask::file(&format!("{cold}/c0.bin")),
            Ask::get(&format!("{cold}/none.bin"), Wanted::Nothing),
            Ask::get(&format!("{cold}/{}/", FOLDERS[0]), Wanted::Listing),
            Ask::file(&format!("{cold}/c1.bin")),
        ]);
    }
    asks.extend([Ask::part("l0.bin"), Ask::file("w1.bin"), Ask::file("v1.bin"), Ask::status("metrics")]);
    asks
}

fn asks_of_fresh(cold: Option<&str>) -> Vec<Ask> {
    let mut asks = vec![Ask::file("w2.bin"), Ask::file("v2.bin")];
    if let Some(cold) = cold {
        let files = ["c2.bin", "k0.bin", "c3.bin", "k1.bin", "c4.bin", "k2.bin"];
        asks.extend(files.map(|name| Ask::file(&format!("{cold}/{name}"))));
        let listings = [FOLDERS[1], FOLDERS[2]];
        asks.extend(listings.map(|folder| Ask::get(&format!("{cold}/{folder}/"), Wanted::Listing)));
    }
    asks.extend([Ask::status("healthz"), Ask::file("v3.bin"), Ask::file("l0.bin").slowly()]);
    asks.extend([Ask::file("l1.bin"), Ask::file("w3.bin"), Ask::file("v4.bin"), Ask::file("w4.bin")]);
    asks
}

/// Of several sizes: one write takes each of them.
fn asks_of_uploader() -> Vec<Ask> {
    let body = |number: usize| format!("{{\"n\":{number},\"text\":\"{}\"}}", "x".repeat(number * 5000));
    (0..6).map(|number| Ask::upload(body(number).into_bytes())).collect()
}
