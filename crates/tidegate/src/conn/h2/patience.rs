//! How much of what is no request or answer a client may send, and how often it may make us undo one (ATTACKS F1 to F5).
//!
//! HTTP/2 has frames that cost their receiver more than their sender: resets of streams just opened (CVE-2023-44487),
//! mistakes for which the server must reset them (CVE-2025-8671), PING and SETTINGS that want a reply (CVE-2019-9512,
//! -9515), PRIORITY, WINDOW_UPDATE and empty DATA that only want to be read (CVE-2019-9511, -9518), header blocks that
//! never end (CVE-2024-27316). Honest clients send few of them, and in proportion to what they ask and get. So each
//! connection has a purse that requests and payload fill, and that time fills slowly; whoever empties it is cut off. Time
//! is an argument.

use super::frames::{Frame, Frames, Kind, PREFACE, Seen};
use crate::clock::Millis;

/// Frames without payload that a client may send before it has earned any. A browser sends less than 20.
const PURSE_FIRST: u32 = 1_000;
/// The fullest purse. What is left after a long download does not pay for a long flood.
const PURSE_MOST: u32 = 10_000;
/// Earned by a request: its WINDOW_UPDATE and RST_STREAM frames, and some more.
const PER_REQUEST: u32 = 8;
/// Bytes of payload, either way, that earn a frame. Who takes a frame of 16 KiB sends two WINDOW_UPDATEs for it.
const BYTES_A_FRAME: u32 = 512;
/// Earned by waiting, in frames a second: PINGs that keep a connection alive, and measure it.
const PER_SECOND: u64 = 100;

/// Streams that a client may reset before they are answered, beyond those that were answered and the seconds that passed.
const RESETS: u32 = 200;
/// Streams that the server had to reset for a mistake of the client, likewise.
const MISTAKES: u32 = 200;
/// CONTINUATION frames of one header block. The list may have 32 KiB, which fit into two.
const CONTINUATIONS: u32 = 8;
/// Bytes of one header block as it is sent: four times the most that it may decode to.
const BLOCK: u32 = 4 * 32 * 1024;

/// Codes of RFC 9113 §7 for what is no mistake of the client: a stream that is not needed any more, or that we could not
/// bring to its end.
const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const CANCEL: u32 = 8;
/// A stream over the number that may be open, which a client cannot know before it has read our SETTINGS, or one whose
/// head is over the bound. It costs what it earned, and a frame.
const REFUSED_STREAM: u32 = 7;

/// Why a client is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// It opens streams and resets them.
    Resets,
    /// It makes the server reset streams.
    Mistakes,
    /// It sends frames that carry nothing.
    Idle,
    /// A header block does not end.
    Block,
    /// It does not begin with SETTINGS: no flood, but no HTTP/2 either (RFC 9113 §3.4).
    Stranger,
}

impl Flood {
    /// For the operator.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Resets => "HTTP/2: streams are opened and reset, again and again (rapid reset)",
            Self::Mistakes => "HTTP/2: streams are broken so that the server must reset them (MadeYouReset)",
            Self::Idle => {
                "HTTP/2: a flood of frames that carry nothing (PING, SETTINGS, WINDOW_UPDATE, empty DATA and the like)"
            }
            Self::Stranger => "HTTP/2: the first frame is no SETTINGS frame",
            Self::Block => "HTTP/2: a header block that does not end (CONTINUATION flood)",
        }
    }
}

/// What one client did on one connection.
#[derive(Debug)]
pub struct Patience {
    received: Frames,
    sent: Frames,
    account: Account,
}

#[derive(Debug)]
struct Account {
    purse: u32,
    /// Bytes of payload that have not earned a frame yet.
    change: u32,
    /// The first frame has come.
    begun: bool,
    resets: u32,
    mistakes: u32,
    /// CONTINUATION frames and bytes of the header block that is not at its end.
    block: Option<(u32, u32)>,
    /// Bytes of frames that were sent as answers: to what keeps a connection awake alone nobody owes time.
    answered: i64,
    /// Until when time has been paid out.
    paid: Millis,
    verdict: Option<Flood>,
    /// Streams that the server reset for a mistake, and nobody has been told of.
    untold: u32,
}

impl Patience {
    /// A client that has just connected.
    pub fn new(now: Millis) -> Self {
        Self {
            received: Frames::after(PREFACE.len()),
            sent: Frames::after(0),
            account: Account {
                purse: PURSE_FIRST,
                change: 0,
                begun: false,
                resets: 0,
                mistakes: 0,
                block: None,
                answered: 0,
                paid: now,
                verdict: None,
                untold: 0,
            },
        }
    }

    /// The client sent `bytes`.
    pub fn receive(&mut self, bytes: &[u8], now: Millis) {
        let Self { received, account, .. } = self;
        account.pay_time(now);
        received.pass(bytes, |seen| {
            if let Seen::Frame(frame) = seen {
                account.receive(frame);
            }
        });
    }

    /// The client was sent `bytes`.
    pub fn send(&mut self, bytes: &[u8]) {
        let Self { sent, account, .. } = self;
        sent.pass(bytes, |seen| account.send(seen));
    }

    /// Whether it is to be cut off, and why.
    pub const fn verdict(&self) -> Option<Flood> {
        self.account.verdict
    }

    /// Bytes of answers so far, without what PING and SETTINGS are answered.
    pub const fn answered(&self) -> i64 {
        self.account.answered
    }

    /// Whether a header block has begun and not ended.
    pub const fn in_block(&self) -> bool {
        self.account.block.is_some() || self.received.is_in_block()
    }

    /// How many streams the server had to reset for a mistake since this was last asked.
    pub const fn take_mistakes(&mut self) -> u32 {
        std::mem::replace(&mut self.account.untold, 0)
    }
}

impl Account {
    fn receive(&mut self, frame: Frame) {
        if !std::mem::replace(&mut self.begun, true) && frame.kind != Kind::Settings {
            self.condemn(Flood::Stranger);
        }
        match frame.kind {
            Kind::Data if frame.length > 0 => self.carry(frame.length),
            // The end of a body, of which each stream has one.
            Kind::Data if frame.has(Frame::END_STREAM) => {}
            Kind::Headers => {
                self.earn(PER_REQUEST);
                self.block = (!frame.has(Frame::END_HEADERS)).then_some((0, frame.length));
            }
            Kind::Continuation => self.go_on(frame),
            Kind::RstStream => {
                self.resets += 1;
                self.spend(1);
                if self.resets > RESETS {
                    self.condemn(Flood::Resets);
                }
            }
            _ => self.spend(1),
        }
        if let Some((count, bytes)) = self.block
            && (count > CONTINUATIONS || bytes > BLOCK)
        {
            self.condemn(Flood::Block);
        }
    }

    fn send(&mut self, seen: Seen) {
        match seen {
            Seen::Frame(frame) => {
                if frame.kind == Kind::Data {
                    self.carry(frame.length);
                }
                if matches!(frame.kind, Kind::Data | Kind::Headers | Kind::Continuation) {
                    self.answered = self.answered.saturating_add(i64::from(frame.length));
                }
                if matches!(frame.kind, Kind::Data | Kind::Headers) && frame.has(Frame::END_STREAM) {
                    self.resets = self.resets.saturating_sub(1);
                }
            }
            Seen::Code(NO_ERROR | INTERNAL_ERROR | CANCEL) => {}
            Seen::Code(REFUSED_STREAM) => self.spend(PER_REQUEST + 1),
            Seen::Code(_) => {
                self.mistakes += 1;
                self.untold += 1;
                if self.mistakes > MISTAKES {
                    self.condemn(Flood::Mistakes);
                }
            }
        }
    }

    fn go_on(&mut self, frame: Frame) {
        self.spend(1);
        let (count, bytes) = self.block.unwrap_or_default();
        let ends = frame.has(Frame::END_HEADERS);
        self.block = (!ends).then_some((count + 1, bytes.saturating_add(frame.length)));
    }

    fn carry(&mut self, bytes: u32) {
        let change = self.change.saturating_add(bytes);
        self.change = change % BYTES_A_FRAME;
        self.earn(change / BYTES_A_FRAME);
    }

    fn earn(&mut self, frames: u32) {
        self.purse = self.purse.saturating_add(frames).min(PURSE_MOST);
    }

    fn spend(&mut self, frames: u32) {
        match self.purse.checked_sub(frames) {
            Some(left) => self.purse = left,
            None => self.condemn(Flood::Idle),
        }
    }

    /// Time earns frames, and forgives a reset and a mistake each second.
    fn pay_time(&mut self, now: Millis) {
        let passed = now.0.saturating_sub(self.paid.0);
        let frames = passed.saturating_mul(PER_SECOND) / 1000;
        if frames == 0 {
            return;
        }
        let seconds = now.0 / 1000 - self.paid.0 / 1000;
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        self.earn(u32::try_from(frames).unwrap_or(u32::MAX));
        self.resets = self.resets.saturating_sub(seconds);
        self.mistakes = self.mistakes.saturating_sub(seconds);
        self.paid = now;
    }

    fn condemn(&mut self, flood: Flood) {
        self.verdict.get_or_insert(flood);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_000);

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    fn client() -> Patience {
        let mut patience = Patience::new(NOW);
        patience.receive(PREFACE, NOW);
        patience.receive(&frame(4, 0, &[]), NOW);
        patience
    }

    /// How many times `frames` may be sent at once, of 100,000 that are tried.
    fn bears(frames: &[u8]) -> Option<u32> {
        let mut patience = client();
        (0..100_000).find(|_| {
            patience.receive(frames, NOW);
            patience.verdict().is_some()
        })
    }

    fn headers(flags: u8) -> Vec<u8> {
        frame(1, flags, &[0x82])
    }

    #[test]
    fn row_f5_h2_1_frames_that_carry_nothing_empty_the_purse() {
        for (kind, payload) in
            [(6, &[0; 8][..]), (4, &[]), (2, &[0; 5]), (8, &[0, 0, 0, 1]), (0, &[]), (99, b"x")]
        {
            assert_eq!(bears(&frame(kind, 0, payload)), Some(PURSE_FIRST - 1), "type {kind}");
        }
    }

    #[test]
    fn row_f3_load_5_h2_1_a_dripped_head_is_a_block_until_its_last_byte() {
        let mut patience = client();
        let frame = frame(1, 5, b"dripped");
        for byte in &frame[..frame.len() - 1] {
            patience.receive(&[*byte], NOW);
        }
        assert!(patience.in_block(), "END_HEADERS is set, and the block is not there");
        patience.receive(&frame[frame.len() - 1..], NOW);
        assert!(!patience.in_block());
    }

    #[test]
    fn row_f5_h2_1_a_window_opened_byte_by_byte_empties_the_purse() {
        let mut patience = client();
        let cut = (0..100_000).find(|_| {
            patience.receive(&frame(8, 0, &[0, 0, 0, 1]), NOW);
            patience.send(&frame(0, 0, b"x"));
            patience.verdict().is_some()
        });
        assert!(cut.is_some_and(|count| count < 2 * PURSE_FIRST), "{cut:?}");
    }

    #[test]
    fn row_f1_h2_1_streams_opened_and_reset_are_counted() {
        let opened_and_reset = [headers(5), frame(3, 0, &[0, 0, 0, 8])].concat();
        assert_eq!(bears(&opened_and_reset), Some(RESETS));
    }

    #[test]
    fn row_f1_h2_1_who_is_answered_may_change_its_mind() {
        let mut patience = client();
        for number in 0..100_000_u32 {
            patience.receive(&headers(5), NOW);
            // A film that is wound on: every other answer is broken off.
            if number % 2 == 0 {
                patience.receive(&frame(3, 0, &[0, 0, 0, 8]), NOW);
            } else {
                patience.send(&headers(5));
            }
        }
        assert_eq!(patience.verdict(), None);
        // Alone it may do so once a second.
        for second in 0..1000 {
            patience
                .receive(&[headers(5), frame(3, 0, &[0, 0, 0, 8])].concat(), Millis(2_000 + second * 1000));
        }
        assert_eq!(patience.verdict(), None);
    }

    #[test]
    fn row_f2_h2_1_streams_that_the_server_must_reset_are_counted() {
        let mut patience = client();
        let reset = |code: u8| frame(3, 0, &[0, 0, 0, code]);
        (0..10_000).for_each(|_| patience.send(&[reset(0), reset(2), reset(8)].concat()));
        assert_eq!((patience.verdict(), patience.take_mistakes()), (None, 0), "nobody's mistake");
        (0..MISTAKES).for_each(|_| patience.send(&reset(1)));
        assert_eq!((patience.verdict(), patience.take_mistakes()), (None, MISTAKES));
        patience.send(&reset(1));
        assert_eq!((patience.verdict(), patience.take_mistakes()), (Some(Flood::Mistakes), 1));
    }

    #[test]
    fn row_f2_h2_1_streams_that_are_refused_are_no_mistakes_and_not_free() {
        let mut patience = client();
        let refused = |patience: &mut Patience| {
            patience.receive(&headers(5), NOW);
            patience.send(&frame(3, 0, &[0, 0, 0, 7]));
            patience.verdict().is_some()
        };
        assert!(
            (0..500).all(|_| !refused(&mut patience)),
            "a page of many files, before it has our SETTINGS"
        );
        assert!((0..1000).any(|_| refused(&mut patience)), "again and again");
        assert_eq!((patience.verdict(), patience.take_mistakes()), (Some(Flood::Idle), 0));
    }

    #[test]
    fn row_f3_h2_1_a_header_block_ends_soon_or_the_connection_does() {
        let begun = || {
            let mut patience = client();
            patience.receive(&headers(1), NOW);
            assert!(patience.in_block());
            patience
        };
        let mut many = begun();
        (0..CONTINUATIONS).for_each(|_| many.receive(&frame(9, 0, b""), NOW));
        assert_eq!(many.verdict(), None);
        many.receive(&frame(9, 0, b""), NOW);
        assert_eq!(many.verdict(), Some(Flood::Block));
        let mut long = begun();
        (0..8).for_each(|_| long.receive(&frame(9, 0, &[0; 16 * 1024]), NOW));
        assert_eq!(long.verdict(), Some(Flood::Block));
        let mut sound = begun();
        sound.receive(&frame(9, 4, b""), NOW);
        assert!(!sound.in_block() && sound.verdict().is_none());
    }

    #[test]
    fn row_f6_h2_1_replies_to_pings_are_no_answers() {
        let mut patience = client();
        patience.send(&[frame(6, 1, &[0; 8]), frame(4, 1, &[])].concat());
        assert_eq!(patience.answered(), 0);
        patience.send(&[headers(4), frame(0, 1, b"body")].concat());
        assert_eq!(patience.answered(), 5);
    }

    #[test]
    fn h2_1_what_begins_without_settings_is_no_client() {
        let mut patience = Patience::new(NOW);
        patience.receive(&[&PREFACE[..], &frame(6, 0, &[0; 8])].concat(), NOW);
        assert_eq!(patience.verdict(), Some(Flood::Stranger));
    }

    #[test]
    fn h2_1_honest_clients_are_not_cut_off() {
        // A download of 1 GiB of which each frame is paid back twice.
        let mut patience = client();
        for _ in 0..65_536 {
            patience.send(&[&[0, 0x40, 0, 0, 0, 0, 0, 0, 1][..], &[0; 16 * 1024]].concat());
            patience.receive(&[frame(8, 0, &[0, 0, 64, 0]), frame(8, 0, &[0, 0, 64, 0])].concat(), NOW);
        }
        assert_eq!(patience.verdict(), None, "a download");
        // An upload in small pieces, and a page of many small files.
        let mut patience = client();
        (0..100_000).for_each(|_| patience.receive(&frame(0, 0, &[7; 100]), NOW));
        (0..100_000).for_each(|_| patience.receive(&[headers(5), frame(8, 0, &[0, 0, 4, 0])].concat(), NOW));
        assert_eq!(patience.verdict(), None, "an upload, and many requests");
        // A PING every ten milliseconds for an hour.
        let mut patience = client();
        (0..360_000).for_each(|n| patience.receive(&frame(6, 0, &[0; 8]), Millis(1_000 + 10 * n)));
        assert_eq!(patience.verdict(), None, "pings");
    }
}
