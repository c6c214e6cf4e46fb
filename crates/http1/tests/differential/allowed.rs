//! The allowed disagreements with h11, each with its reason and a proof in the bytes. Whatever is not here is a bug, of
//! one or the other.
//!
//! We are stricter by design: what two servers could read differently is refused (SPEC H1-4). h11 is stricter where it
//! judges what is not the framing's: our Host check stands in the server, behind this crate.

use super::Case;

/// Why a disagreement is no fault.
pub(crate) struct Reason {
    pub(crate) why: &'static str,
    holds: fn(&Case) -> bool,
}

/// The first reason that holds is the one that counts.
pub(crate) const REASONS: &[Reason] = &[
    Reason {
        why: "h11 waits for the end of a line or a head; we refuse at the first byte that is wrong (H1-2)",
        holds: |case| case.ours.starts_with("bad ") && case.theirs == "more",
    },
    Reason {
        why: "h11 asks for exactly one Host; in tidegate `http::host` does (HOST-1)",
        holds: |case| !case.we_refuse() && case.theirs.contains(" Host: header"),
    },
    Reason {
        why: "h11 refuses the empty line before a request that RFC 9112 §2.2 asks servers to ignore",
        holds: |case| !case.we_refuse() && case.they_refuse() && case.input.starts_with(b"\r"),
    },
    Reason {
        why: "h11 judges the framing fields of a trailer section, which we drop unread (RFC 9110 §6.5.1)",
        holds: |case| !case.we_refuse() && case.they_refuse() && case.has_framing_trailers(),
    },
    Reason {
        why: "h11 refuses blanks before a chunk extension, which RFC 9112 §7.1.1 has us read",
        holds: |case| {
            !case.we_refuse()
                && case.theirs.starts_with("bad illegal chunk header")
                && (case.holds(b" ;") || case.holds(b"\t;"))
        },
    },
    Reason {
        why: "h11 takes a line feed alone for the end of a line (RFC 9112 §2.2, a MAY)",
        holds: |case| {
            case.they_are_kinder(&["bad_request_line", "bad_head", "bad_chunk"]) && case.has_bare_line_feed()
        },
    },
    Reason {
        why: "h11 unfolds obsolete line folding (RFC 9112 §5.2)",
        holds: |case| {
            case.they_are_kinder(&["bad_head", "bad_chunk"])
                && (case.holds(b"\r\n ") || case.holds(b"\r\n\t"))
        },
    },
    Reason {
        why: "h11 takes control bytes in field values (RFC 9110 §5.5)",
        holds: |case| {
            case.they_are_kinder(&["bad_head", "bad_chunk"])
                && case.input.iter().any(|byte| is_control(*byte))
        },
    },
    Reason {
        why: "h11 hands on any version of one digit and one digit; we answer 505 (RFC 9110 §15.6.6)",
        holds: |case| {
            case.they_are_kinder(&["http_version"]) && !case.first_line_ends_in(&["HTTP/1.0", "HTTP/1.1"])
        },
    },
    Reason {
        why: "h11 lets Transfer-Encoding override a length, repeats one, or takes it in HTTP/1.0 (RFC 9112 §6.1, §6.3)",
        holds: |case| case.they_are_kinder(&["bad_framing"]) && case.has_doubtful_framing(),
    },
    Reason {
        why: "h11 takes anything for a chunk extension, and blanks behind a size (RFC 9112 §7.1.1)",
        holds: |case| {
            case.they_are_kinder(&[
                "bad_chunk: a malformed chunk extension",
                "bad_chunk: a carriage return without a line feed",
            ]) && [b';', b' ', b'\t'].iter().any(|byte| case.input.contains(byte))
        },
    },
    Reason {
        why: "h11 reads sizes of up to 20 digits; 16 are what 64 bits hold",
        holds: |case| {
            case.they_are_kinder(&["bad_chunk: a chunk size of more than 16 digits"])
                && case.input.windows(17).any(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        },
    },
];

/// The reason for the disagreement of `case`, as a place in [`REASONS`].
pub(crate) fn reason(case: &Case) -> Option<usize> {
    REASONS.iter().position(|reason| (reason.holds)(case))
}

impl Case {
    fn we_refuse(&self) -> bool {
        self.ours.starts_with("bad ")
    }

    fn they_refuse(&self) -> bool {
        self.theirs.starts_with("bad ")
    }

    /// They read a whole message, and we refuse it for one of these.
    fn they_are_kinder(&self, refusals: &[&str]) -> bool {
        let ours = self.ours.strip_prefix("bad ");
        self.theirs.starts_with("ok ")
            && ours.is_some_and(|ours| refusals.iter().any(|refusal| ours.starts_with(refusal)))
    }

    fn first_line_ends_in(&self, versions: &[&str]) -> bool {
        let line = self.input.split(|byte| *byte == b'\r').find(|line| !line.is_empty()).unwrap_or_default();
        versions.iter().any(|version| line.ends_with(version.as_bytes()))
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        self.input.windows(bytes.len()).any(|window| window == bytes)
    }

    fn has_bare_line_feed(&self) -> bool {
        self.input.starts_with(b"\n") || self.input.windows(2).any(|two| two[1] == b'\n' && two[0] != b'\r')
    }

    /// How many lines, of head and trailers, begin with this name.
    fn count(&self, name: &str) -> usize {
        let lines = self.input.split(|byte| *byte == b'\n');
        lines
            .filter(|line| {
                line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
            })
            .count()
    }

    fn has_framing_trailers(&self) -> bool {
        self.count("transfer-encoding:") > 1
            || self.count("content-length:") > 0 && self.count("transfer-encoding:") > 0
    }

    fn has_doubtful_framing(&self) -> bool {
        let (codings, lengths) = (self.count("transfer-encoding:"), self.count("content-length:"));
        let list =
            |line: &[u8]| line.to_ascii_lowercase().starts_with(b"content-length:") && line.contains(&b',');
        codings + lengths > 1
            || codings > 0 && self.holds(b"HTTP/1.0\r\n")
            || self.input.split(|byte| *byte == b'\n').any(list)
    }
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\t' | b'\r' | b'\n')
}
