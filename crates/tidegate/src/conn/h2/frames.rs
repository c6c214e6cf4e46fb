//! Frames as they pass by, header by header (RFC 9113 §4.1): nothing is decoded, nothing is kept but nine bytes.

/// Length of the client's connection preface (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADER: usize = 9;
/// Types that carry a header block.
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;

/// The type of a frame, as far as it matters here (RFC 9113 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    RstStream,
    Settings,
    Ping,
    GoAway,
    WindowUpdate,
    Continuation,
    /// PRIORITY, which means nothing any more, PUSH_PROMISE, and what nobody knows.
    Other,
}

/// What the header of a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) flags: u8,
    /// Bytes of its payload, below 2^24.
    pub(super) length: u32,
}

impl Frame {
    pub(super) const END_STREAM: u8 = 0x1;
    pub(super) const END_HEADERS: u8 = 0x4;

    pub(super) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    fn parse(header: [u8; HEADER]) -> Self {
        let [a, b, c, kind, flags, ..] = header;
        let kind = match kind {
            0 => Kind::Data,
            HEADERS => Kind::Headers,
            3 => Kind::RstStream,
            4 => Kind::Settings,
            6 => Kind::Ping,
            7 => Kind::GoAway,
            8 => Kind::WindowUpdate,
            CONTINUATION => Kind::Continuation,
            _ => Kind::Other,
        };
        Self { kind, flags, length: u32::from_be_bytes([0, a, b, c]) }
    }
}

/// A direction of a connection: where in which frame it stands.
#[derive(Debug)]
pub(super) struct Frames {
    header: [u8; HEADER],
    /// Bytes of `header` that are there.
    filled: usize,
    /// Bytes of payload, or of the preface, still to pass.
    passing: usize,
    /// The first four bytes of the payload of a RST_STREAM: its error code.
    code: u32,
    /// Bytes of `code` still to come.
    code_left: usize,
}

/// What was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The header of a frame.
    Frame(Frame),
    /// The error code of the RST_STREAM frame before (RFC 9113 §7).
    Code(u32),
}

impl Frames {
    /// A direction that begins with `skipped` bytes that are no frames.
    pub(super) const fn after(skipped: usize) -> Self {
        Self { header: [0; HEADER], filled: 0, passing: skipped, code: 0, code_left: 0 }
    }

    /// Tells `each` what begins in `bytes`, which follow those of the last call.
    pub(super) fn pass(&mut self, mut bytes: &[u8], mut each: impl FnMut(Seen)) {
        while !bytes.is_empty() {
            let taken = if self.code_left > 0 {
                self.take_code(bytes, &mut each)
            } else if self.passing > 0 {
                let passed = self.passing.min(bytes.len());
                self.passing -= passed;
                passed
            } else {
                self.take_header(bytes, &mut each)
            };
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// Whether the last byte stood in the payload of a frame of a header block.
    pub(super) const fn is_in_block(&self) -> bool {
        let [_, _, _, kind, ..] = self.header;
        self.passing > 0 && matches!(kind, HEADERS | CONTINUATION)
    }

    /// Whether the last byte was the last of a frame.
    #[cfg(test)]
    pub(super) const fn is_between(&self) -> bool {
        self.filled == 0 && self.passing == 0 && self.code_left == 0
    }

    fn take_header(&mut self, bytes: &[u8], each: &mut impl FnMut(Seen)) -> usize {
        let taken = bytes.len().min(HEADER - self.filled);
        for (to, from) in self.header.iter_mut().skip(self.filled).zip(bytes) {
            *to = *from;
        }
        self.filled += taken;
        if self.filled == HEADER {
            let frame = Frame::parse(self.header);
            self.filled = 0;
            self.passing = frame.length as usize;
            if frame.kind == Kind::RstStream && frame.length >= 4 {
                (self.code, self.code_left) = (0, 4);
            }
            each(Seen::Frame(frame));
        }
        taken
    }

    fn take_code(&mut self, bytes: &[u8], each: &mut impl FnMut(Seen)) -> usize {
        let taken = bytes.len().min(self.code_left);
        for byte in bytes.iter().take(taken) {
            self.code = self.code << 8 | u32::from(*byte);
        }
        self.code_left -= taken;
        self.passing = self.passing.saturating_sub(taken);
        if self.code_left == 0 {
            each(Seen::Code(self.code));
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    #[test]
    fn h2_1_frames_are_told_alike_however_their_bytes_come() {
        let wire = [
            PREFACE.to_vec(),
            frame(4, 0, &[]),
            frame(1, 5, b"block"),
            frame(3, 0, &[0, 0, 1, 8]),
            frame(0, 1, b"data"),
            frame(77, 255, b"x"),
        ]
        .concat();
        let told = |step: usize| {
            let (mut frames, mut told) = (Frames::after(PREFACE.len()), Vec::new());
            wire.chunks(step).for_each(|bytes| frames.pass(bytes, |seen| told.push(seen)));
            assert!(frames.is_between());
            told
        };
        let whole = told(wire.len());
        let frame = |kind, flags, length| Seen::Frame(Frame { kind, flags, length });
        assert_eq!(
            whole,
            [
                frame(Kind::Settings, 0, 0),
                frame(Kind::Headers, 5, 5),
                frame(Kind::RstStream, 0, 4),
                Seen::Code(264),
                frame(Kind::Data, 1, 4),
                frame(Kind::Other, 255, 1),
            ]
        );
        for step in 1..wire.len() {
            assert_eq!(told(step), whole, "{step}");
        }
    }
}
