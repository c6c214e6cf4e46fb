//! Clients as a server has them: readers of files, in whole, in part and only if changed, and senders of uploads. Each
//! has an address of its own, keeps below the limits of one client, and judges every byte.

use std::net::Ipv4Addr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::counts::{Counts, Outcome, wrong};
use super::pages::{Change, LEAST_PART, Page, Pages};
use super::weather::{Failed, Trouble, Visitor, Weather};
use crate::bench::http::Answer;
use crate::crash::ledger::Ledger;
use crate::crash::uploads::{Told, Uploads, stored_name};
use crate::dice::Dice;

/// The longest pauses between two requests of a client: twenty a second is a fifth of what it may have.
const READER_PAUSE: Duration = Duration::from_millis(100);
const SENDER_PAUSE: Duration = Duration::from_millis(200);

/// The longest part that is asked for.
const MOST_PART: u64 = 100_000;

/// What all clients know.
pub(super) struct Town<'a> {
    pub(super) seed: u64,
    pub(super) port: u16,
    pub(super) weather: &'a Weather,
    pub(super) pages: &'a Pages,
    pub(super) uploads: &'a Uploads,
    pub(super) ledger: &'a Mutex<Ledger>,
}

/// The validator of a version, as its answer told it.
struct Known {
    condition: String,
    version: u64,
}

/// Reads one page after another until all is over.
pub(super) fn read(town: &Town<'_>, source: Ipv4Addr, counts: &Counts) {
    let mut visitor = Visitor::new(town.weather, source, town.port);
    let mut dice = Dice::of(town.seed, u64::from(source.to_bits()));
    let mut known: Vec<Option<Known>> = town.pages.pages.iter().map(|_| None).collect();
    while visitor.next(dice.within(READER_PAUSE)) {
        // A large page costs as much as a thousand small ones: it is read less often.
        let number = match dice.below(20) {
            drawn if drawn == 0 || drawn == 1 => dice.below(9),
            _ => dice.below(5),
        };
        let number = usize::try_from(number).unwrap_or(0);
        let (page, known) = (&town.pages.pages[number], &mut known[number]);
        let outcome = match dice.below(10) {
            0..3 => read_part(&mut visitor, page, &mut dice),
            3..6 => read_if_changed(&mut visitor, page, known),
            _ => read_whole(&mut visitor, page, known),
        };
        counts.add(cut_by_a_change(page, outcome));
    }
}

/// An answer whose file is written over while it is sent is cut, and rightly so: its rest would be of another version.
fn cut_by_a_change(page: &Page, outcome: Outcome) -> Outcome {
    match outcome {
        Err(Failed::Cut(_)) if page.change == Change::Overwritten => Err(Failed::Explained),
        outcome => outcome,
    }
}

fn path(page: &Page) -> String {
    format!("/{}", page.name)
}

fn read_whole(visitor: &mut Visitor<'_>, page: &Page, known: &mut Option<Known>) -> Outcome {
    let asked = Instant::now();
    let answer = visitor.get(&path(page), &[])?;
    match answer.status {
        200 => take_whole(page, &answer, asked, known),
        status => wrong(format!("{status} for {}", page.name)),
    }
}

fn take_whole(page: &Page, answer: &Answer, asked: Instant, known: &mut Option<Known>) -> Outcome {
    match page.judge(&answer.body, 0, answer.body.len() as u64, asked) {
        Ok(version) => {
            *known = answer.condition().map(|condition| Known { condition, version });
            Ok(())
        }
        Err(what) => wrong(what),
    }
}

fn read_if_changed(visitor: &mut Visitor<'_>, page: &Page, known: &mut Option<Known>) -> Outcome {
    let Some(Known { condition, version }) = known else {
        return read_whole(visitor, page, known);
    };
    let (condition, version, asked) = (condition.clone(), *version, Instant::now());
    let answer = visitor.get(&path(page), &[condition])?;
    match answer.status {
        200 => take_whole(page, &answer, asked, known),
        304 if page.may_be_served(version, asked) => Ok(()),
        304 => wrong(format!("{}: 304 for version {version}, which was over", page.name)),
        status => wrong(format!("{status} for {} if changed", page.name)),
    }
}

/// Every version is at least so long that the part lies in it.
fn read_part(visitor: &mut Visitor<'_>, page: &Page, dice: &mut Dice) -> Outcome {
    let length = LEAST_PART + dice.below(MOST_PART.min(page.least - LEAST_PART));
    let first = dice.below(page.least - length + 1);
    let range = format!("Range: bytes={first}-{}", first + length - 1);
    let asked = Instant::now();
    let answer = visitor.get(&path(page), &[range])?;
    if answer.status != 206 {
        return wrong(format!("{} for a part of {}", answer.status, page.name));
    }
    let told = answer.field("content-range").unwrap_or_default();
    let said = format!("bytes {first}-{}/", first + length - 1);
    match told.strip_prefix(&said).and_then(|total| total.parse().ok()) {
        None => wrong(format!("{}: `{told}` for {said}…", page.name)),
        Some(total) if answer.body.len() as u64 == length => {
            page.judge(&answer.body, first, total, asked).map(drop).or_else(wrong)
        }
        Some(_) => wrong(format!("{}: {} bytes for {said}…", page.name, answer.body.len())),
    }
}

/// Sends one upload after another until all is over, and reads each back.
pub(super) fn send(town: &Town<'_>, source: Ipv4Addr, counts: &Counts) {
    let mut visitor = Visitor::new(town.weather, source, town.port);
    let mut dice = Dice::of(town.seed, u64::from(source.to_bits()));
    while visitor.next(dice.within(SENDER_PAUSE)) {
        let number = town.uploads.next();
        counts.add(send_one(town, &mut visitor, number));
    }
}

/// One upload: written down when it is acknowledged, and then asked for.
pub(super) fn send_one(town: &Town<'_>, visitor: &mut Visitor<'_>, number: u64) -> Outcome {
    let body = town.uploads.body(number);
    let answer = visitor.upload(&body)?;
    if answer.status == 507 && visitor.had(Trouble::Full) {
        return Err(Failed::Explained);
    }
    let name = match stored_name(answer.field("location")) {
        Some(name) if answer.status == 201 => name,
        _ => return wrong(format!("{} for an upload", answer.status)),
    };
    let told = Told { acknowledged: vec![(name.clone(), number)], ..Told::default() };
    town.ledger.lock().unwrap_or_else(PoisonError::into_inner).add(&told);
    let back = visitor.get(&format!("/uploads/{name}"), &[])?;
    if back.status == 200 && back.body == body {
        Ok(())
    } else {
        wrong(format!("{name}, just acknowledged, is answered with {}", back.status))
    }
}
