//! The files that are asked for. What is *warm* all servers share, and the kernel knows it by name; what is *cold* is
//! written anew for each case, so that a server must look for it with a pool thread.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Names and sizes of the warm files: of one vector, of sealed memory, and too large for it.
const WARM: [(&str, usize); 12] = [
    ("w0.bin", SMALL),
    ("w1.bin", SMALL),
    ("w2.bin", SMALL),
    ("w3.bin", SMALL),
    ("w4.bin", SMALL),
    ("v0.bin", MEDIUM),
    ("v1.bin", MEDIUM),
    ("v2.bin", MEDIUM),
    ("v3.bin", MEDIUM),
    ("v4.bin", MEDIUM),
    ("l0.bin", LARGE),
    ("l1.bin", LARGE),
];

/// The same in the folder of a case.
const COLD: [(&str, usize); 8] = [
    ("c0.bin", SMALL),
    ("c1.bin", SMALL),
    ("c2.bin", SMALL),
    ("c3.bin", SMALL),
    ("c4.bin", SMALL),
    ("k0.bin", MEDIUM),
    ("k1.bin", MEDIUM),
    ("k2.bin", MEDIUM),
];

const SMALL: usize = 1000;
const MEDIUM: usize = 200_000;
const LARGE: usize = 3_000_000;

/// Only what is longer than a receiver on this machine can hold is sent by reference to its file.
pub(super) const HUGE: &str = "huge.bin";
const HUGE_BEYOND: usize = 8 * 1024 * 1024;
/// What the server copies beside that receive buffer; see `copied_end` of `conn::send_file`.
const HUGE_LEAST: usize = 16 * 1024 * 1024;

/// Folders of a case, and what each of them holds.
pub(super) const FOLDERS: [&str; 3] = ["d0", "d1", "d2"];
pub(super) const LISTED: [&str; 3] = ["apple.txt", "birch.txt", "cedar.txt"];

/// What a coding beside a file is called; looked for with each file.
const BESIDE: [&str; 4] = ["", ".br", ".zst", ".gz"];

/// Pages of the operator's own, which are looked for with each refusal; there are none.
const PAGES: [&str; 2] = ["404.html", "50x.html"];

/// The root of all servers, and every byte that a right answer may hold.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) root: PathBuf,
    files: BTreeMap<&'static str, Vec<u8>>,
}

/// The folder of one case below the root; removed on drop.
#[derive(Debug)]
pub(super) struct Cold {
    /// Its name below the root.
    pub(super) name: String,
    path: PathBuf,
}

impl Site {
    /// Writes the warm files, and has the kernel learn their names.
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let sizes = WARM.into_iter().chain(COLD).chain([(HUGE, huge())]);
        let files: BTreeMap<_, _> = sizes.map(|(name, size)| (name, bytes(name, size))).collect();
        let site = Self { root: root.to_path_buf(), files };
        for name in WARM.map(|(name, _)| name).into_iter().chain([HUGE]) {
            fs::write(root.join(name), site.content(name))?;
            for suffix in BESIDE {
                // That nothing is there is what the kernel is to remember.
                let _ = fs::metadata(root.join(format!("{name}{suffix}")));
            }
        }
        for name in PAGES {
            let _ = fs::metadata(root.join(name));
        }
        Ok(site)
    }

    /// One that lies nowhere.
    #[cfg(test)]
    pub(super) fn of(files: &[(&'static str, &[u8])]) -> Self {
        let files = files.iter().map(|(name, bytes)| (*name, bytes.to_vec())).collect();
        Self { root: PathBuf::new(), files }
    }

    /// The cold folder of one case.
    pub(super) fn cold(&self, number: usize) -> io::Result<Cold> {
        let name = format!("cold-{number}");
        let cold = Cold { path: self.root.join(&name), name };
        fs::create_dir(&cold.path)?;
        for (name, _) in COLD {
            fs::write(cold.path.join(name), self.content(name))?;
        }
        for folder in FOLDERS {
            fs::create_dir(cold.path.join(folder))?;
            for name in LISTED {
                fs::write(cold.path.join(folder).join(name), name)?;
            }
        }
        Ok(cold)
    }

    /// The bytes of the file of this name, wherever it lies; none of one that does not exist.
    pub(super) fn content(&self, name: &str) -> &[u8] {
        self.files.get(name).map_or(&[], Vec::as_slice)
    }
}

impl Drop for Cold {
    fn drop(&mut self) {
        // It is in a temporary folder that goes as a whole.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn huge() -> usize {
    let limits = fs::read_to_string("/proc/sys/net/ipv4/tcp_rmem").unwrap_or_default();
    let most = limits.split_whitespace().nth(2).and_then(|most| most.parse::<usize>().ok());
    most.unwrap_or(0).max(HUGE_LEAST) + HUGE_BEYOND
}

/// Bytes that no other file has, and no other place of this one (xorshift).
fn bytes(name: &str, size: usize) -> Vec<u8> {
    let mut state = name.bytes().fold(0xcbf2_9ce4_8422_2325, |state: u64, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_files_are_alike() {
        let (one, other) = (bytes("w0.bin", 1000), bytes("w1.bin", 1000));
        assert_eq!((one.len(), other.len()), (1000, 1000));
        assert_ne!(one[..8], other[..8]);
        assert_ne!(one[..8], one[8..16]);
    }
}
