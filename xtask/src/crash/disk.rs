//! A disk whose power can be cut: an ext4 in memory.
//!
//! `EXT4_IOC_SHUTDOWN` stops a file system at once: what no sync has brought into the journal or to its place by then
//! is gone at the next mount. What it cannot show is a device that says "written" and has it in a cache of its own.

use std::fs::File;
use std::path::Path;

use crate::context::Context;
use crate::mounts::{Mount, run, text};
use crate::tools::Tool;

/// What it takes to make a disk and to cut its power; `mount` and `unshare` are on every machine.
pub(super) const TOOLS: [Tool; 2] =
    [Tool::debian("mkfs.ext4", "e2fsprogs"), Tool::debian("perl", "perl-base")];

/// Mebibytes of an image, of which only what is written takes memory. The uploads of some cycles are a tenth.
const SIZE: u64 = 1024;

/// Without a sync nothing but this timer of the journal writes, and no cycle lasts so many seconds.
const OPTIONS: &str = "loop,commit=300";

/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`: not even the journal is written out.
const CUT: &str = "my ($disk, $flags) = (undef, pack('I', 2)); \
    sysopen($disk, $ARGV[0], 0) && ioctl($disk, 0x8004587d, $flags) or die $!";

/// A disk. It is taken off in the order of its fields.
pub(super) struct Disk<'a> {
    context: &'a Context,
    disk: Mount<'a>,
    _memory: Mount<'a>,
}

impl<'a> Disk<'a> {
    /// A fresh disk below `scratch`.
    pub(super) fn new(context: &'a Context, scratch: &Path) -> Result<Self, String> {
        let memory = Mount::memory(context, SIZE + 1, &scratch.join("memory"))?;
        let image = memory.at().join("image");
        let made = File::create(&image).and_then(|file| file.set_len(SIZE << 20));
        made.map_err(|error| format!("no image for a disk: {error}"))?;
        run(context, "mkfs.ext4", &["-q", "-F", &text(&image)])?;
        let disk = Mount::new(context, &["-o", OPTIONS, &text(&image)], &scratch.join("disk"))?;
        Ok(Self { context, disk, _memory: memory })
    }

    /// Where files lie.
    pub(super) fn path(&self) -> &Path {
        self.disk.at()
    }

    /// From now on nothing reaches the disk, and every sync fails.
    pub(super) fn cut_power(&self) -> Result<(), String> {
        run(self.context, "perl", &["-e", CUT, &text(self.path())])
    }

    /// Takes it off and on, as a machine does that starts again.
    pub(super) fn restart(&self) -> Result<(), String> {
        self.disk.again()
    }
}
