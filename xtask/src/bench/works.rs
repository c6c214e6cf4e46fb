//! The works that are measured, the answers they must get, and the bars of each.

use std::path::Path;
use std::{fs, io};

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
    pub(super) manner: Manner,
    pub(super) bars: Bars,
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
}

/// The largest ratios of CPU time that are good enough: tidegate's to the floor's, and to the best peer's.
#[derive(Debug)]
pub(super) struct Bars {
    /// `None` where the floor does not do this work.
    pub(super) floor: Option<f64>,
    pub(super) peer: f64,
}

/// Requests in one batch of [`Manner::Pipelined`].
pub(super) const DEPTH: u32 = 16;

/// Files of the work `mix`: more than fit into a first-level cache, fewer than a server keeps open.
pub(super) const MIX: u32 = 1000;

pub(super) const WORKS: [Work; 10] = [
    Work { bars: Bars { floor: Some(1.20), peer: 0.85 }, ..file("small", "1 KiB", "/small.bin", 1 << 10) },
    Work { bars: against_peers(0.85), ..file("10k", "10 KiB", "/10k.bin", 10 << 10) },
    Work { connections: 32, ..file("100k", "100 KiB", "/100k.bin", 100 << 10) },
    Work { connections: 16, ..file("1m", "1 MiB", "/1m.bin", 1 << 20) },
    Work { body: None, bars: against_peers(0.75), ..file("mix", "1000 files of 0.5 to 20 KB", "/mix/", 0) },
    Work {
        status: 304,
        body: Some(0),
        manner: Manner::Conditional,
        bars: against_peers(0.90),
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
        bars: Bars { floor: None, peer: 0.40 },
        ..file("pipeline", "1 KiB, 16 requests at once", "/small.bin", 1 << 10)
    },
    Work { connections: 1, ..file("c1", "1 KiB, alone", "/small.bin", 1 << 10) },
];

const fn file(name: &'static str, what: &'static str, path: &'static str, body: u64) -> Work {
    Work {
        name,
        what,
        path,
        status: 200,
        body: Some(body),
        connections: 64,
        manner: Manner::Plain,
        bars: against_peers(1.0),
    }
}

const fn against_peers(peer: f64) -> Bars {
    Bars { floor: None, peer }
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
        let its_answer = self.status == 200 && self.body == Some(1 << 10);
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
