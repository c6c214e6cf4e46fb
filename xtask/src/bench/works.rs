//! The works that are measured, the answers they must get, and the bars of each.

use std::path::Path;
use std::{fs, io};

use super::wire::Wire;

/// One kind of load.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    /// What is asked for; of [`MIX`] files where it ends with `/`.
    pub(super) path: &'static str,
    pub(super) status: u16,
    /// Bytes of the right answer's body; `None` where they are the server's own affair.
    pub(super) body: Option<u64>,
    /// Connections held by the load generator.
    pub(super) connections: u32,
    pub(super) wire: Wire,
    pub(super) manner: Manner,
    pub(super) bars: &'static [Bar],
}

/// How the requests are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// The next request after the last answer.
    Plain,
    /// A new connection for each.
    Close,
    /// Asking for what changed since the server's own validator.
    Conditional,
    /// [`DEPTH`] at once.
    Pipelined,
    /// [`STREAMS`] of HTTP/2 at once on each connection.
    Streams,
    /// [`HANDSHAKES`] a second, each by a client that was never here before, with one request.
    Strangers,
}

/// What tidegate's CPU time is measured by, as a ratio to another's.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) rival: Rival,
    /// The largest ratio that is good enough, where there is one.
    pub(super) must: Option<f64>,
    /// The ratio that we would like.
    pub(super) should: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rival {
    Floor,
    /// The best peer.
    Best,
    Peer(&'static str),
}

/// Requests in one batch of [`Manner::Pipelined`].
pub(super) const DEPTH: u32 = 16;

/// Requests under way on each connection of [`Manner::Streams`]: below what every server allows.
pub(super) const STREAMS: u32 = 32;

/// Below what the slowest server can do, and what the load generator can.
pub(super) const HANDSHAKES: u32 = 500;

/// Files of the work `mix`: more than fit into a first-level cache, fewer than a server keeps open.
pub(super) const MIX: u32 = 1000;

pub(super) const WORKS: [Work; 17] = [
    Work {
        bars: &[against(Rival::Floor, 1.20, 1.10), Bar { must: Some(0.85), ..AS_GOOD }],
        ..file("small", "1 KiB", "/small.bin", 1 << 10)
    },
    Work { bars: &[against(Rival::Best, 0.85, 0.75)], ..file("10k", "10 KiB", "/10k.bin", 10 << 10) },
    Work { connections: 32, ..file("100k", "100 KiB", "/100k.bin", 100 << 10) },
    Work {
        connections: 16,
        bars: &[against(Rival::Best, 1.0, 0.90)],
        ..file("1m", "1 MiB", "/1m.bin", 1 << 20)
    },
    Work {
        body: None,
        bars: &[against(Rival::Best, 0.75, 0.65)],
        ..file("mix", "1000 files of 0.5 to 20 KB", "/mix/", 0)
    },
    Work {
        status: 304,
        body: Some(0),
        manner: Manner::Conditional,
        bars: &[against(Rival::Best, 0.90, 0.80)],
        ..file("304", "1 KiB, not modified", "/small.bin", 0)
    },
    Work { status: 404, body: None, ..file("404", "no such file", "/missing.bin", 0) },
    Work {
        connections: 32,
        manner: Manner::Close,
        ..file("close", "1 KiB, a connection for each request", "/small.bin", 1 << 10)
    },
    Work {
        manner: Manner::Pipelined,
        bars: &[Bar { rival: Rival::Floor, ..SHOWN }, against(Rival::Best, 0.40, 0.25)],
        ..file("pipeline", "1 KiB, 16 requests at once", "/small.bin", 1 << 10)
    },
    Work {
        connections: 1,
        bars: &[Bar { rival: Rival::Floor, ..SHOWN }, AS_GOOD],
        ..file("c1", "1 KiB, alone", "/small.bin", 1 << 10)
    },
    Work {
        wire: Wire::Tls,
        bars: &[against(Rival::Best, 0.95, 0.80)],
        ..file("tls-small", "1 KiB over TLS", "/small.bin", 1 << 10)
    },
    Work {
        connections: 16,
        wire: Wire::Tls,
        bars: &[AS_GOOD],
        ..file("tls-1m", "1 MiB over TLS", "/1m.bin", 1 << 20)
    },
    Work {
        connections: 32,
        wire: Wire::Tls,
        manner: Manner::Close,
        bars: &[AS_GOOD],
        ..file("tls-close", "1 KiB, a handshake for each request", "/small.bin", 1 << 10)
    },
    Work {
        connections: 10,
        wire: Wire::Tls,
        manner: Manner::Strangers,
        bars: &[AS_GOOD],
        ..file("tls-full", "1 KiB, a full handshake for each request, 500 a second", "/small.bin", 1 << 10)
    },
    Work {
        wire: Wire::Tls,
        ..streams("h2-tls", "1 KiB by HTTP/2 over TLS, 32 streams", "/small.bin", 1 << 10)
    },
    Work {
        bars: &[
            Bar { rival: Rival::Peer("nginx"), must: Some(0.80), should: None },
            Bar { rival: Rival::Peer("lighttpd"), must: None, should: Some(1.0) },
        ],
        ..streams("h2-small", "1 KiB by HTTP/2 in the clear, 32 streams", "/small.bin", 1 << 10)
    },
    streams("h2-100k", "100 KiB by HTTP/2 in the clear, 32 streams", "/100k.bin", 100 << 10),
];

/// Compared, and not judged.
const SHOWN: Bar = Bar { rival: Rival::Best, must: None, should: None };

/// No worse than the best peer.
const AS_GOOD: Bar = Bar { rival: Rival::Best, must: Some(1.0), should: None };

const fn against(rival: Rival, must: f64, should: f64) -> Bar {
    Bar { rival, must: Some(must), should: Some(should) }
}

const fn file(name: &'static str, what: &'static str, path: &'static str, body: u64) -> Work {
    Work {
        name,
        what,
        path,
        status: 200,
        body: Some(body),
        connections: 64,
        wire: Wire::Clear,
        manner: Manner::Plain,
        bars: &[Bar { should: Some(0.85), ..AS_GOOD }],
    }
}

const fn streams(name: &'static str, what: &'static str, path: &'static str, body: u64) -> Work {
    let bars = &[SHOWN, Bar { rival: Rival::Peer("nginx"), ..SHOWN }];
    Work { connections: 16, wire: Wire::H2c, manner: Manner::Streams, bars, ..file(name, what, path, body) }
}

impl Work {
    /// Every path that is asked for.
    pub(super) fn paths(&self) -> Vec<String> {
        if self.path.ends_with('/') {
            (0..MIX).map(|number| format!("{}{number}.bin", self.path)).collect()
        } else {
            vec![self.path.to_owned()]
        }
    }

    /// Whether the floor can do it: it knows one answer, of 1 KiB, and never closes.
    pub(super) fn suits_floor(&self) -> bool {
        let its_answer = self.wire == Wire::Clear && self.status == 200 && self.body == Some(1 << 10);
        its_answer && self.manner != Manner::Close
    }
}

/// Puts the files of every work below `root`.
pub(super) fn write_files(root: &Path) -> io::Result<()> {
    let mix = root.join("mix");
    fs::create_dir_all(&mix)?;
    for (name, size) in [("small", 1 << 10), ("10k", 10 << 10), ("100k", 100 << 10), ("1m", 1 << 20)] {
        fs::write(root.join(format!("{name}.bin")), vec![b'x'; size])?;
    }
    for number in 0..MIX {
        fs::write(mix.join(format!("{number}.bin")), vec![b'x'; mix_size(number)])?;
    }
    Ok(())
}

/// 0.5 to 20 KB, evenly spread and out of order: 389 has no divisor in common with [`MIX`].
fn mix_size(number: u32) -> usize {
    let step = number * 389 % MIX;
    500 + step as usize * 39 / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_reaches_from_half_to_twenty_kilobytes_evenly() {
        let mut sizes: Vec<usize> = (0..MIX).map(mix_size).collect();
        assert_ne!(sizes[1], sizes[0] + 19, "in no order of size");
        sizes.sort_unstable();
        assert_eq!((sizes[0], sizes[999]), (500, 19_980));
        assert!(sizes.windows(2).all(|pair| (19..=20).contains(&(pair[1] - pair[0]))));
    }

    #[test]
    fn the_floor_does_what_its_one_answer_allows() {
        let names: Vec<_> = WORKS.iter().filter(|work| work.suits_floor()).map(|work| work.name).collect();
        assert_eq!(names, ["small", "pipeline", "c1"]);
    }
}
