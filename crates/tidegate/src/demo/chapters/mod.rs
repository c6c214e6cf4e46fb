//! The tour's table of contents; each chapter is a table of steps in a file of its own.

mod bans;
mod drain;
mod files;
mod limits;
mod operators;
mod origins;
mod refusals;
mod reload;
mod secure;
mod start;
mod strict;
mod threads;
mod uploads;

use super::stage::Step;

/// Steps on one subject.
pub(super) struct Chapter {
    /// Its heading.
    pub(super) title: &'static str,
    /// One sentence below it.
    pub(super) about: &'static str,
    /// Its steps.
    pub(super) steps: &'static [Step],
}

/// The chapters in their order. The last ends the server.
pub(super) static CHAPTERS: [Chapter; 13] = [
    Chapter { title: "Start", about: "One binary, one command, safe defaults.", steps: start::STEPS },
    Chapter {
        title: "Files",
        about: "A folder is served as it lies, with everything that caches and resumed downloads need.",
        steps: files::STEPS,
    },
    Chapter {
        title: "Strict HTTP",
        about: "What two parsers could read in two ways is refused, never repaired: there smuggling begins.",
        steps: strict::STEPS,
    },
    Chapter {
        title: "Uploads",
        about: "JSON in, and a 201 only when it is safely on the disk; everything else is told why not.",
        steps: uploads::STEPS,
    },
    Chapter {
        title: "Threads and overload",
        about: "A slow or idle client costs memory, not a thread; what is too much is refused at once.",
        steps: threads::STEPS,
    },
    Chapter {
        title: "Limits for each client",
        about: "So often may one client ask, so many connections may it hold; nobody else notices.",
        steps: limits::STEPS,
    },
    Chapter {
        title: "Bans",
        about: "Offences add up to a ban, with evidence; by default it is only written down.",
        steps: bans::STEPS,
    },
    Chapter {
        title: "TLS and HTTP/2",
        about: "The same server behind a certificate: who listens in learns nothing, and floods in frames end soon.",
        steps: secure::STEPS,
    },
    Chapter {
        title: "Refusals",
        about: "Every refusal says why, in the form the client asked for, with an id that is in the log.",
        steps: refusals::STEPS,
    },
    Chapter {
        title: "Other origins",
        about: "Scripts of other sites read nothing here unless their origin is named.",
        steps: origins::STEPS,
    },
    Chapter {
        title: "For operators",
        about: "Metrics, status and dashboard: for who sits at this machine, is admitted or has the token.",
        steps: operators::STEPS,
    },
    Chapter {
        title: "Live reload",
        about: "HUP reads the configuration anew, whole or not at all, and no connection is dropped.",
        steps: reload::STEPS,
    },
    Chapter {
        title: "Drain",
        about: "TERM ends the server politely: nothing new is taken, what was begun is finished.",
        steps: drain::STEPS,
    },
];
