//! What is tried: which call fails, by which error, and how often; why these, and what no kernel does.

use super::load::Load;

/// One row of the matrix: a system call of the running server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) name: &'static str,
    /// The row's name, where the call's is not enough.
    pub(super) label: &'static str,
    /// What the server does with it.
    pub(super) why: &'static str,
    /// What must be asked for so that it is made.
    pub(super) load: Load,
    /// Which calls of this name are meant.
    pub(super) aim: Aim,
    /// Whether a success that moves nothing (an end, where there is none) is honest of it.
    pub(super) can_end: bool,
}

/// Where a call is meant to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// Wherever it is made.
    Everywhere,
    /// On the threads of the pool, and there the first, and then one in so many.
    Pool(u32),
    /// Where a descriptor of this path is used.
    Path(&'static str),
}

/// Memory that is sent by reference, as strace calls it.
const MEMORY: &str = "/memfd:tidegate";

/// Every call that a running server makes to serve, store or live, but for those named in [`LEFT_OUT`].
pub(super) const CALLS: [Call; 32] = [
    Call::of("accept4", "takes a connection from the queue"),
    Call { can_end: true, ..Call::of("recvfrom", "reads a request") },
    Call::of("sendto", "sends an answer"),
    Call::of("writev", "sends a head together with a piece of a file"),
    Call { load: Load::Huge, can_end: true, ..Call::of("sendfile", "sends sealed memory or a large file") },
    Call { load: Load::Huge, ..Call::of("ioctl", "asks a socket how much the peer has not taken") },
    Call::of("epoll_wait", "waits for whatever comes next"),
    Call::of("epoll_ctl", "watches a connection that has to wait"),
    Call::of("openat2", "opens a file beneath the root"),
    Call::of("openat", "opens a folder for its listing, an unnamed file for an upload"),
    Call::of("statx", "asks which version of a file this is"),
    Call::of("fstatfs", "asks whether a file system opens files at once"),
    Call { can_end: true, ..Call::of("preadv2", "reads of a file what is in memory") },
    Call { can_end: true, ..Call::of("pread64", "reads a file from disk, on a pool thread") },
    Call::of("fcntl", "takes a lease on a file, seals memory"),
    Call::of("memfd_create", "makes memory that can be sent by reference"),
    Call::of("getdents64", "reads a folder for its listing"),
    // Between two uploads a pool thread writes to the event loop's own descriptor, which cannot fail.
    Call { load: Load::Uploads, aim: Aim::Pool(2), can_end: true, ..Call::of("write", "stores an upload") },
    Call {
        label: "write-memory",
        aim: Aim::Path(MEMORY),
        can_end: true,
        ..Call::of("write", "copies a file into memory")
    },
    Call::of("fsync", "makes an upload durable: the file, then the folder"),
    Call::of("linkat", "gives an upload its name"),
    Call { load: Load::Staged, ..Call::of("unlinkat", "takes away the first name of a staged upload") },
    Call::of("close", "lets go of a descriptor"),
    Call::of("mmap", "takes memory"),
    Call::of("clone3", "starts a thread of the pool"),
    Call { can_end: true, ..Call::secured("recvfrom", "recvfrom-tls", "reads records, from the hello on") },
    Call::secured("sendto", "sendto-tls", "sends records, from the hello on"),
    Call::secured("epoll_ctl", "epoll_ctl-tls", "watches a connection that has to wait"),
    Call::secured("memfd_create", "memfd_create-tls", "makes memory that can be sealed"),
    Call {
        aim: Aim::Path(MEMORY),
        ..Call::secured("mmap", "mmap-tls", "maps sealed memory, to encrypt it from where it lies")
    },
    Call {
        can_end: true,
        ..Call::secured("preadv2", "preadv2-tls", "reads what is encrypted as it is sent")
    },
    Call::secured("fsync", "fsync-tls", "makes an upload durable"),
];

impl Call {
    const fn of(name: &'static str, why: &'static str) -> Self {
        Self { name, label: name, why, load: Load::Mixed, aim: Aim::Everywhere, can_end: false }
    }

    /// A call of a server that speaks TLS.
    const fn secured(name: &'static str, label: &'static str, why: &'static str) -> Self {
        Self { label, load: Load::Secured, ..Self::of(name, why) }
    }

    /// Whether it takes memory for the program's own.
    fn takes_memory(&self) -> bool {
        self.name == "mmap" && self.aim == Aim::Everywhere
    }
}

/// One column: an error, and when it comes in life.
#[derive(Clone, Copy, Debug)]
pub(super) struct Errno {
    pub(super) name: &'static str,
    pub(super) why: &'static str,
}

pub(super) const ERRNOS: [Errno; 12] = [
    Errno { name: "EIO", why: "a disk breaks" },
    Errno { name: "ENOSPC", why: "a disk is full" },
    Errno { name: "EDQUOT", why: "a user's share of it is used up" },
    Errno { name: "EROFS", why: "a file system turned read-only after an error" },
    Errno { name: "ESTALE", why: "a network file system lost the file" },
    Errno { name: "EACCES", why: "rights were taken away" },
    Errno { name: "EMFILE", why: "the process has no descriptor left" },
    Errno { name: "ENFILE", why: "the machine has no descriptor left" },
    Errno { name: "ENOMEM", why: "the kernel has no memory" },
    Errno { name: "EINTR", why: "a signal came first" },
    Errno { name: "EAGAIN", why: "not now" },
    Errno { name: "ECONNRESET", why: "the peer is gone" },
];

/// Writes that are really too short: some uploads of the load are longer than a file may be.
pub(super) const LIMITED: Case<'_> = Case {
    call: Call {
        label: "write-limit",
        load: Load::Uploads,
        ..Call::of("write", "stores what no file may hold")
    },
    fault: Fault::Limit(12_000),
    when: When::Every,
};

/// Calls of a running server that are not tried, and why.
pub(super) const LEFT_OUT: [(&str, &str); 6] = [
    (
        "futex",
        "an error of it is a bug of the caller; what it may say (EAGAIN, EINTR, ETIMEDOUT) libc expects",
    ),
    ("munmap, madvise, mprotect, brk", "libc gives memory back, or takes it by `mmap` instead"),
    ("setsockopt, getsockopt, shutdown", "what they ask for is a courtesy; nothing is made of their result"),
    (
        "read, newfstatat, renameat2",
        "a running server makes them for `--control`, `--upload-quota` and `--state` alone",
    ),
    ("getrandom", "has not failed since Linux 3.17; the time of day stands in"),
    ("cachestat", "strace does not know it; every error counts as \"not in memory\""),
];

/// How often the error comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    First,
    Second,
    Fifth,
    /// Until the fault ends.
    Every,
}

pub(super) const WHENS: [When; 4] = [When::First, When::Second, When::Fifth, When::Every];

/// What the kernel says instead of doing what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault<'a> {
    Error(&'a str),
    /// Success, and nothing moved.
    End,
    /// No file may become longer than this, in bytes: a write is shortened, and the next one fails (`RLIMIT_FSIZE`).
    Limit(u32),
    /// A success that is a lie: the bytes are nowhere. No kernel does it; it shows that the checks see it.
    Lie(u32),
}

/// One cell of the matrix at one of its times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case<'a> {
    pub(super) call: Call,
    pub(super) fault: Fault<'a>,
    pub(super) when: When,
}

impl Case<'_> {
    /// As strace is told; `None` where not strace makes the fault. `when` counts the calls of each thread, from the moment of attaching.
    pub(super) fn injection(&self) -> Option<String> {
        let stride = match self.call.aim {
            Aim::Pool(stride) => stride,
            Aim::Everywhere | Aim::Path(_) => 1,
        };
        let when = match (self.when, self.fault) {
            (When::First, _) => "1".to_owned(),
            (When::Second, _) => (1 + stride).to_string(),
            (When::Fifth, _) => (1 + 4 * stride).to_string(),
            // Whoever is interrupted tries again, and only then goes on to what is not meant.
            (When::Every, Fault::Error("EINTR")) if stride > 1 => format!("1+{}", stride + 1),
            (When::Every, _) => format!("1+{stride}"),
        };
        let instead = match self.fault {
            Fault::Error(errno) => format!("error={errno}"),
            Fault::End => "retval=0".to_owned(),
            Fault::Lie(bytes) => format!("retval={bytes}"),
            Fault::Limit(_) => return None,
        };
        Some(format!("inject={}:{instead}:when={when}", self.call.name))
    }

    /// Why a server may end here all the same: what no server in this language can help.
    pub(super) fn may_end(&self) -> Option<&'static str> {
        self.call.takes_memory().then_some(
            "without memory the language ends the process: for a value, or before the first line of a new thread, which has \
             no stack for its signals. No thread is begun later where `--threads` is one number, as it is by default",
        )
    }

    /// The most bytes that a file may have.
    pub(super) fn file_limit(&self) -> Option<u32> {
        match self.fault {
            Fault::Limit(bytes) => Some(bytes),
            Fault::Error(_) | Fault::End | Fault::Lie(_) => None,
        }
    }

    /// For people.
    pub(super) fn told(&self) -> String {
        format!("{} {} {}", self.call.label, self.fault.name(), self.when.name())
    }

    /// Why no kernel gives this error for this call, where a server that met it could do nothing sane.
    pub(super) fn impossible(&self) -> Option<&'static str> {
        let Fault::Error(errno) = self.fault else { return None };
        // Of memory that has a descriptor the kernel says more.
        let mapped = self.call.name == "mmap" && !self.call.takes_memory();
        impossible(if mapped { self.call.label } else { self.call.name }, errno, self.when)
    }
}

impl<'a> Fault<'a> {
    pub(super) fn name(self) -> &'a str {
        match self {
            Self::Error(errno) => errno,
            Self::End => "an end",
            Self::Lie(_) => "a lie",
            Self::Limit(_) => "EFBIG",
        }
    }
}

impl When {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Second => "second",
            Self::Fifth => "fifth",
            Self::Every => "every",
        }
    }
}

/// Why no kernel says this here, though strace does.
pub(super) fn impossible(call: &str, errno: &str, when: When) -> Option<&'static str> {
    match (call, errno) {
        (_, "EINTR") if when == When::Every => {
            Some("a signal comes once; who is interrupted tries again, here without end")
        }
        ("epoll_wait", "EINTR") | ("mmap", "ENOMEM") => None,
        ("epoll_wait", _) => {
            Some("the kernel says EINTR alone; after anything else there is nothing to wait with")
        }
        ("mmap", _) => Some("the kernel says ENOMEM alone of memory without a file"),
        ("recvfrom" | "sendto" | "writev" | "sendfile", "EAGAIN") => Some(
            "the kernel says EAGAIN of a socket only where it tells later that it is over; here nobody does, until a deadline",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str) -> Call {
        *CALLS.iter().find(|call| call.name == name).unwrap()
    }

    #[test]
    fn an_injection_hits_the_calls_that_are_meant() {
        let told = |name, fault, when| Case { call: call(name), fault, when }.injection().unwrap();
        assert_eq!(told("fsync", Fault::Error("EIO"), When::Fifth), "inject=fsync:error=EIO:when=5");
        assert_eq!(told("fsync", Fault::Lie(0), When::Every), "inject=fsync:retval=0:when=1+1");
        assert_eq!(told("write", Fault::Error("EIO"), When::Second), "inject=write:error=EIO:when=3");
        assert_eq!(told("write", Fault::End, When::Every), "inject=write:retval=0:when=1+2");
        // Body, body again, event loop.
        assert_eq!(told("write", Fault::Error("EINTR"), When::Every), "inject=write:error=EINTR:when=1+3");
    }

    #[test]
    fn rows_and_columns_are_named_once() {
        for (at, call) in CALLS.iter().enumerate() {
            assert!(CALLS[..at].iter().all(|other| other.label != call.label), "{}", call.label);
        }
        for (at, errno) in ERRNOS.iter().enumerate() {
            assert!(ERRNOS[..at].iter().all(|other| other.name != errno.name), "{}", errno.name);
        }
    }
}
