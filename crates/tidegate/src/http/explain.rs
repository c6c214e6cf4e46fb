//! What each refusal means, for operators (SPEC SEC-4): beside the row of its code, what only prose can say.
//!
//! `tidegate explain` shows it and docs/REFUSALS.md is written from it. What follows from the row of the code (status,
//! close, event) is not repeated here. A code without an explanation does not compile.

use super::reject::{Code, Event};

/// The prose of one code.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// What happened, in whole sentences.
    pub cause: &'static str,
    /// What the client can do, in whole sentences.
    pub client: &'static str,
    /// The flags that govern it, without their dashes.
    pub flags: &'static [&'static str],
    /// Where it is written that such a request is answered so, like `RFC 9112 §6.3`.
    pub source: &'static str,
}

/// Whether a refusal counts against its client where clients are banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    /// Each one.
    Each,
    /// Only a guess: a token was sent, and it was the wrong one.
    Guesses,
    /// Only many in a short time: somebody looks for what might be here.
    InScans,
    /// None.
    Never,
}

impl Counts {
    /// Of a code. What is limited already, and what is our own fault, is no offence.
    pub const fn of(code: Code) -> Self {
        match (code, code.row().event) {
            (Code::NotFound, _) => Self::InScans,
            (Code::AdminForbidden, _) => Self::Guesses,
            (_, None | Some(Event::Rate | Event::Connections | Event::Ban)) => Self::Never,
            (_, Some(_)) => Self::Each,
        }
    }
}

macro_rules! explanations {
    ($($variant:ident [$($flag:literal)*] $source:literal $cause:literal $client:literal;)*) => {
        impl Explanation {
            /// Of a code.
            pub const fn of(code: Code) -> Self {
                match code {
                    $(Code::$variant => Self {
                        cause: $cause, client: $client, flags: &[$($flag),*], source: $source,
                    }),*
                }
            }
        }
    };
}

explanations! {
    BadRequestLine [] "RFC 9112 §3"
        "The first line is not `method SP target SP version`. A TLS hello on a plain port looks like this too."
        "Speak HTTP/1.1, and TLS only where it is served.";
    BadHead [] "RFC 9112 §5"
        "A field line has no colon or a space before it, holds a control byte, continues on the next line, or \
         does not end in CRLF."
        "Send each field as `name: value` on one line that ends in CRLF.";
    BadFraming [] "RFC 9112 §6.3"
        "The length of the body is malformed, given twice, given beside Transfer-Encoding, or the body ended before \
         it. Two servers could read such a message in two ways, and a second request hide in it."
        "Send one Content-Length or `Transfer-Encoding: chunked`, never both.";
    BadChunk [] "RFC 9112 §7.1"
        "The size of a chunk is malformed, a chunk does not end where its size says, extensions cost more than the \
         payload, or the body ended before its last chunk."
        "Send chunks of some KiB, without extensions, and the last one of size 0.";
    BadTarget [] "RFC 9112 §3.2"
        "The target is no path and no URL, or its percent-encoding is broken, holds a NUL byte or is not UTF-8."
        "Write the path in UTF-8 and percent-encode what a URL may not hold.";
    BadHost [] "RFC 9112 §3.2"
        "The Host field stands twice, or is no host with an optional port."
        "Send one Host field, without a user name.";
    HostMissing [] "RFC 9112 §3.2"
        "An HTTP/1.1 request has no Host field, or an HTTP/1.0 request has none where all is redirected to the same \
         host over TLS."
        "Send a Host field; every client library does.";
    InvalidJson [] "RFC 8259 §2"
        "The body of an upload is not one JSON text in UTF-8, begins with a byte order mark, or is nested deeper than \
         128 levels."
        "Correct the place that `line` and `column` of the answer name.";
    HostNotAllowed ["allow-host"] "RFC 9110 §7.4"
        "The request names a host that is none of ours: a name that was not configured, a proxy that rewrites Host, or \
         a page that rebinds its name to our address (DNS rebinding)."
        "Use a name of this server; the log line of the refusal says which flag would admit the other.";
    TraversalRefused ["root"] "RFC 9110 §17.3"
        "The path would leave the folder: a `..` or `.` segment in any encoding, a backslash, two slashes in front, or \
         a link that leads outside."
        "Ask for the path itself. Links that stay within the folder are followed.";
    AdminForbidden ["admin-allow" "admin-token-file"] "RFC 9110 §15.5.4"
        "Metrics, status or dashboard were asked for by a peer that is no local operator, is in no allowed network and \
         sent no right token. What comes through a proxy is not local."
        "Ask from this machine and not through a proxy, from an allowed network, or with `Authorization: Bearer TOKEN`.";
    Banned ["bans" "ban-time" "ban-allow"] "RFC 9110 §15.5.4"
        "The client offended until it was banned, and the ban is not over."
        "Wait. An operator sees the reason with `tidegate bans list`, and ends it with `tidegate bans lift`.";
    Unreadable [] "RFC 9110 §15.5.4"
        "The file is there, but the user of the server may not read it."
        "Nothing; the operator can give the user of the server the right to read.";
    NotFound ["root" "listing" "spa"] "RFC 9110 §15.5.5"
        "Nothing is served under this path: no file, a folder without an index, a name that begins with a dot, or \
         something that is no regular file."
        "Correct the path.";
    MethodNotAllowed [] "RFC 9110 §15.5.6"
        "The method is unknown here, or has no meaning for this path: only `/upload` takes POST."
        "Use a method that the Allow field of the answer names.";
    SlowHead ["header-timeout"] "RFC 9110 §15.5.9"
        "The head of a request was not complete in time. Many of these at once are an attack (Slowloris)."
        "Send the whole head at once.";
    SlowBody [] "RFC 9110 §15.5.9"
        "After the first 10 s the body came in at less than 1 KiB per second."
        "Send over a faster line, or send less.";
    LengthRequired [] "RFC 9110 §15.5.12"
        "An upload came without Content-Length and was not chunked."
        "Send Content-Length, or `Transfer-Encoding: chunked`.";
    PreconditionFailed [] "RFC 9110 §15.5.13"
        "The file is not, or no longer, the version that If-Match or If-Unmodified-Since asks for."
        "Fetch the file anew and begin again from that version.";
    BodyTooLarge ["max-body"] "RFC 9110 §15.5.14"
        "The body is longer than a body may be: by its Content-Length, before any of it was read, or by its chunks."
        "Send less, or in several uploads.";
    TargetTooLong ["max-request-line"] "RFC 9110 §15.5.15"
        "The request line is longer than it may be."
        "Shorten the URL; most often it is the query.";
    NotJson [] "RFC 9110 §15.5.16"
        "The Content-Type of an upload is not `application/json` or a `+json` type."
        "Send `Content-Type: application/json`.";
    ContentEncoding [] "RFC 9110 §15.5.16"
        "The body of an upload has a Content-Encoding."
        "Send the JSON as it is, not compressed.";
    RangeNotSatisfiable [] "RFC 9110 §15.5.17"
        "None of the ranges asked for lies within the file. It may have become shorter."
        "Ask within the size that the Content-Range field of the answer names.";
    ExpectationFailed [] "RFC 9110 §15.5.18"
        "The Expect field asks for something other than `100-continue`."
        "Leave the field out.";
    Misdirected [] "RFC 9110 §15.5.20"
        "The TLS handshake asked for one server (SNI) and the request names another. A client that reuses a connection \
         for a second name of the same certificate does so in good faith, which is why it is no event."
        "Ask again on a connection of its own; browsers do so by themselves.";
    RateLimited ["rate-limit" "limit-loopback" "trusted-proxy"] "RFC 6585 §4"
        "The client asks faster than one client may. Behind a proxy that is not trusted, all its users are one client."
        "Wait as many seconds as Retry-After says, and ask more slowly.";
    TooManyFromClient ["max-connections-per-ip" "limit-loopback" "trusted-proxy"] "RFC 6585 §4"
        "The client has as many connections open as one client may, and none of them is idle."
        "Use fewer connections, and each for many requests.";
    HeadTooLarge ["max-header"] "RFC 6585 §5"
        "The head, or the trailer behind a chunked body, is larger than it may be. Most often it is cookies."
        "Send fewer and shorter fields.";
    TooManyFields ["max-fields"] "RFC 6585 §5"
        "The head, or the trailer behind a chunked body, has more field lines than it may have."
        "Send fewer fields.";
    Internal [] "RFC 9110 §15.6.1"
        "The server made a mistake, or the disk did; the log tells more under the id of the request."
        "Try again; report the id of the request where it happens again.";
    StoreError ["uploads"] "RFC 9110 §15.6.1"
        "The upload could not be written to the disk. Nothing of it was kept; the log names the error."
        "Try again later.";
    UnknownCoding [] "RFC 9112 §6.1"
        "The body has a transfer coding other than `chunked`."
        "Send the body chunked only, or with its length.";
    PoolSaturated ["threads" "queue"] "RFC 9110 §15.6.4"
        "All threads for work on the disk are busy, and so is every place in their queue."
        "Try again after Retry-After.";
    TooManyConnections ["max-connections"] "RFC 9110 §15.6.4"
        "As many connections are open as there may be, and none of them is idle."
        "Try again after Retry-After.";
    UploadsUnavailable ["uploads"] "RFC 9110 §15.6.4"
        "The server has no folder for uploads: it could not be made at the start, and a line of the log says why."
        "Nothing; the operator can make the folder and start again.";
    UploadsBusy ["body-memory" "max-body"] "RFC 9110 §15.6.4"
        "The bodies that arrive now hold all the memory that there is for them, or those of this client a quarter of it."
        "Try again after Retry-After.";
    StoreDegraded ["uploads"] "RFC 9110 §15.6.4"
        "The disk failed to keep an earlier upload (fsync), and what it says after that cannot be trusted. Files are \
         served on."
        "Nothing; the operator checks the disk and starts the server again.";
    Draining ["drain" "drain-delay"] "RFC 9110 §15.6.4"
        "The server is on its way out, and says so at `/readyz`."
        "Ask another server, or this one after its restart.";
    HttpVersion [] "RFC 9110 §15.6.6"
        "The request line names a version other than HTTP/1.0 and HTTP/1.1."
        "Speak HTTP/1.1.";
    DiskFull ["uploads"] "RFC 4918 §11.5"
        "The disk of the uploads is full. Nothing of this one was kept."
        "Try again later; the operator makes room.";
    QuotaExceeded ["upload-quota"] "RFC 4918 §11.5"
        "All uploads together would take more than their quota."
        "Try again later; the operator removes uploads or raises the quota.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn sec_4_every_flag_of_an_explanation_exists() {
        for code in Code::ALL {
            for flag in Explanation::of(*code).flags {
                assert!(config::help_of(flag).is_some(), "{code:?} names --{flag}");
            }
        }
    }

    #[test]
    fn sec_4_every_explanation_is_sentences_and_a_section_of_an_rfc() {
        for code in Code::ALL {
            let Explanation { cause, client, source, .. } = Explanation::of(*code);
            for text in [cause, client] {
                assert!(text.ends_with('.') && !text.contains("  "), "{code:?}: {text}");
            }
            let (number, section) = source.strip_prefix("RFC ").unwrap().split_once(" §").unwrap();
            assert!(number.parse::<u16>().is_ok(), "{source}");
            assert!(section.split('.').all(|part| part.parse::<u8>().is_ok()), "{source}");
        }
    }

    #[test]
    fn sec_4_attacks_are_offences_and_being_refused_for_them_is_none() {
        let of = |code| Counts::of(code);
        assert_eq!([of(Code::TraversalRefused), of(Code::BadHead), of(Code::SlowHead)], [Counts::Each; 3]);
        assert_eq!([of(Code::Banned), of(Code::RateLimited), of(Code::PoolSaturated)], [Counts::Never; 3]);
        assert_eq!(of(Code::NotFound), Counts::InScans);
    }
}
