//! Every refusal: one table of stable codes, and the value that a handler returns to refuse.
//!
//! A code is what an operator greps for and a client may match on; it never changes its meaning. The
//! status, the title and whether it closes the connection or is a security event follow from the code.

use std::borrow::Cow;
use std::sync::Arc;

/// Whose fault a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The bytes are not HTTP as RFC 9110 and 9112 have it.
    Malformed,
    /// Sound, but over a bound or against a rule that the operator set.
    Refused,
    /// Sound, but nothing here answers it.
    NotServed,
    /// The client took too long.
    TooSlow,
    /// Ours: an error, or no capacity.
    Internal,
}

/// What a security event is about (the `kind` of SPEC SEC-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A path tried to leave the root.
    Traversal,
    /// A host that is not ours, or none.
    Host,
    /// Bytes that are not HTTP.
    Malformed,
    /// A head or a body that drips.
    Slow,
    /// More requests than a client may make.
    Rate,
    /// More connections than there may be.
    Connections,
    /// Somebody who is no operator asked for an operator's page.
    Admin,
    /// A client looks for what is not here, again and again.
    Scan,
    /// A client that is shut out for a time.
    Ban,
}

impl Event {
    /// All kinds, each at the place of its number.
    pub const ALL: [Self; 9] = [
        Self::Traversal,
        Self::Host,
        Self::Malformed,
        Self::Slow,
        Self::Rate,
        Self::Connections,
        Self::Admin,
        Self::Scan,
        Self::Ban,
    ];

    /// How many kinds there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Traversal => "traversal",
            Self::Host => "host",
            Self::Malformed => "malformed",
            Self::Slow => "slow",
            Self::Rate => "rate",
            Self::Connections => "connections",
            Self::Admin => "admin",
            Self::Scan => "scan",
            Self::Ban => "ban",
        }
    }
}

/// What follows from a code.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The stable name.
    pub name: &'static str,
    /// The status code.
    pub status: u16,
    /// Whose fault it is.
    pub fault: Fault,
    /// Whether the connection closes whatever the state of the message.
    pub closes: bool,
    /// Whether it is worth an alarm.
    pub event: Option<Event>,
    /// A short sentence for a person.
    pub title: &'static str,
}

macro_rules! codes {
    ($($variant:ident $name:literal $status:literal $fault:ident $closes:literal $event:expr, $title:literal;)*) => {
        /// The stable code of a refusal.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)]
        pub enum Code { $($variant),* }

        impl Code {
            /// All of them, in the order of their status.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// What follows from this code.
            pub const fn row(self) -> Row {
                match self {
                    $(Self::$variant => Row {
                        name: $name, status: $status, fault: Fault::$fault, closes: $closes, event: $event,
                        title: $title,
                    }),*
                }
            }

            /// The code of that name.
            pub fn named(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

use Event::{Admin, Ban, Connections, Host, Malformed, Rate, Slow, Traversal};

codes! {
    BadRequestLine "bad_request_line" 400 Malformed true Some(Malformed), "The request line is not HTTP";
    BadHead "bad_head" 400 Malformed true Some(Malformed), "A field line is malformed";
    BadFraming "bad_framing" 400 Malformed true Some(Malformed), "The length of the message is ambiguous";
    BadChunk "bad_chunk" 400 Malformed true Some(Malformed), "The chunked body is malformed";
    BadTarget "bad_target" 400 Malformed false None, "The request target is malformed";
    BadHost "bad_host" 400 Malformed false Some(Host), "The Host field is malformed";
    HostMissing "host_missing" 400 Malformed false Some(Host), "There is no Host field";
    InvalidJson "invalid_json" 400 Malformed false None, "The body is not valid JSON";
    HostNotAllowed "host_not_allowed" 403 Refused false Some(Host), "This host is not served here";
    TraversalRefused "traversal" 403 Refused false Some(Traversal), "The path leaves the folder";
    AdminForbidden "admin_forbidden" 403 Refused false Some(Admin), "This page is for operators";
    Banned "banned" 403 Refused false Some(Ban), "This client is banned for a time";
    Unreadable "unreadable" 403 NotServed false None, "The file cannot be read";
    NotFound "not_found" 404 NotServed false None, "There is nothing here";
    MethodNotAllowed "method_not_allowed" 405 NotServed false None, "The method is not allowed here";
    SlowHead "slow_head" 408 TooSlow true Some(Slow), "The request took too long to arrive";
    SlowBody "slow_body" 408 TooSlow true Some(Slow), "The body arrives too slowly";
    LengthRequired "length_required" 411 Malformed false None, "The body has no length";
    PreconditionFailed "precondition_failed" 412 NotServed false None, "A precondition does not hold";
    BodyTooLarge "body_too_large" 413 Refused true None, "The body is too large";
    TargetTooLong "target_too_long" 414 Refused true Some(Malformed), "The request line is too long";
    NotJson "not_json" 415 Refused false None, "Only JSON is taken here";
    ContentEncoding "content_encoding" 415 Refused false None, "Encoded bodies are not taken here";
    RangeNotSatisfiable "range_not_satisfiable" 416 NotServed false None, "The range lies outside the file";
    ExpectationFailed "expectation_failed" 417 Refused false None, "The expectation is not known";
    Misdirected "misdirected" 421 Refused false None, "This connection is for another server";
    RateLimited "rate_limited" 429 Refused false Some(Rate), "Too many requests";
    TooManyFromClient "too_many_from_client" 429 Refused true Some(Connections), "Too many connections from one client";
    HeadTooLarge "head_too_large" 431 Refused true Some(Malformed), "The head is too large";
    TooManyFields "too_many_fields" 431 Refused true Some(Malformed), "The head has too many fields";
    Internal "internal" 500 Internal true None, "An error inside the server";
    StoreError "store_error" 500 Internal false None, "The upload could not be stored";
    UnknownCoding "unknown_coding" 501 Malformed true Some(Malformed), "The transfer coding is not known";
    PoolSaturated "pool_saturated" 503 Internal false None, "All threads are busy and the queue is full";
    TooManyConnections "too_many_connections" 503 Internal true Some(Connections), "Too many connections";
    UploadsUnavailable "uploads_unavailable" 503 Internal false None, "Uploads cannot be stored here";
    UploadsBusy "uploads_busy" 503 Internal false None, "Too many uploads are in progress";
    StoreDegraded "store_degraded" 503 Internal false None, "The upload store had an error and takes no more";
    Draining "draining" 503 Internal false None, "The server is shutting down";
    HttpVersion "http_version" 505 Malformed true Some(Malformed), "The HTTP version is not supported";
    DiskFull "disk_full" 507 Internal false None, "The disk is full";
    QuotaExceeded "quota_exceeded" 507 Internal false None, "The upload quota is used up";
}

/// A refusal.
#[derive(Clone, Debug)]
pub struct Reject {
    /// Why.
    pub code: Code,
    /// One sentence for the client; tells no path of this machine.
    pub detail: Cow<'static, str>,
    /// What an operator should know and a client need not.
    pub evidence: Option<Arc<str>>,
    /// Whether it is worth an alarm.
    pub event: Option<Event>,
    /// Whether a secret was guessed at.
    pub guess: bool,
    /// What goes with it.
    pub extra: Extra,
    /// Whether the connection must close, beyond what the code says.
    pub close: bool,
}

/// What some refusals carry beside their code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extra {
    /// Nothing.
    None,
    /// The methods for the `Allow` field.
    Allow(&'static str),
    /// Seconds for the `Retry-After` field.
    RetryAfter(u32),
    /// Encoded field lines.
    Fields(Vec<u8>),
    /// The size of the whole for `Content-Range: bytes */N`.
    Size(u64),
    /// Where the JSON is wrong, counted from 1.
    Position {
        /// Line.
        line: usize,
        /// Column, in bytes.
        column: usize,
    },
}

impl Reject {
    /// A refusal by `code` with its one sentence.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            evidence: None,
            event: code.row().event,
            guess: false,
            extra: Extra::None,
            close: code.row().closes,
        }
    }

    /// 404, the same for everything that is not there.
    pub const fn not_found() -> Self {
        Self {
            code: Code::NotFound,
            detail: Cow::Borrowed("There is nothing at this address."),
            evidence: None,
            event: None,
            guess: false,
            extra: Extra::None,
            close: false,
        }
    }

    /// The pool takes nothing more now; jobs leave it within milliseconds.
    pub fn pool_saturated() -> Self {
        Self::new(Code::PoolSaturated, "All threads are busy and the queue is full.")
            .with(Extra::RetryAfter(1))
    }

    /// Adds what goes with it.
    #[must_use]
    pub fn with(mut self, extra: Extra) -> Self {
        self.extra = extra;
        self
    }

    /// Adds what only the operator sees.
    #[must_use]
    pub fn seen(mut self, evidence: impl Into<Arc<str>>) -> Self {
        self.evidence = Some(evidence.into());
        self
    }

    /// Says that there is nothing to be alarmed at.
    #[must_use]
    pub fn harmless(mut self) -> Self {
        self.event = None;
        self
    }

    /// Says that a secret was guessed at.
    #[must_use]
    pub fn guessed(mut self) -> Self {
        self.guess = true;
        self
    }

    /// Closes the connection after it.
    #[must_use]
    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }
}

impl From<&http1::Error> for Reject {
    fn from(error: &http1::Error) -> Self {
        let code = Code::named(error.code()).unwrap_or(Code::BadHead);
        Self::new(code, error.detail()).seen(format!("at byte {}: {}", error.at(), error.detail()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_4_codes_are_unique_and_found_by_name() {
        for code in Code::ALL {
            assert_eq!(Code::named(code.row().name), Some(*code));
            assert!((400..600).contains(&code.row().status));
        }
        assert_eq!(Code::named("no_such_code"), None);
        assert!(Code::ALL.is_sorted_by_key(|code| code.row().status));
    }

    #[test]
    fn sec_5_each_kind_of_event_stands_at_its_number() {
        for (number, event) in Event::ALL.into_iter().enumerate() {
            assert_eq!(event as usize, number);
        }
        let mut names = Event::ALL.map(Event::name);
        names.sort_unstable();
        assert!(names.is_sorted_by(|one, next| one < next), "a name stands twice");
    }
}
