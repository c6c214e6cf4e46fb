//! A disk whose power can be cut: an ext4 in memory, mounted where only this process and its children see it.
//!
//! `EXT4_IOC_SHUTDOWN` stops a file system at once: what no sync has brought into the journal or to its place by then
//! is gone at the next mount. What it cannot show is a device that says "written" and has it in a cache of its own.

use std::os::unix::process::{CommandExt, parent_id};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use crate::context::Context;
use crate::tools::Tool;

/// What it takes to make a disk and to cut its power; `mount` and `unshare` are on every machine.
pub(super) const TOOLS: [Tool; 2] =
    [Tool::debian("mkfs.ext4", "e2fsprogs"), Tool::debian("perl", "perl-base")];

/// Bytes of an image, of which only what is written takes memory. The uploads of some cycles are a tenth.
const SIZE: u64 = 1 << 30;

/// Without a sync nothing but this timer of the journal writes, and no cycle is so long (seconds).
const COMMIT: u32 = 300;

/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`: not even the journal is written out.
const CUT: &str = "my ($disk, $flags) = (undef, pack('I', 2)); \
    sysopen($disk, $ARGV[0], 0) && ioctl($disk, 0x8004587d, $flags) or die $!";

/// A file system is busy for a moment after its last user was killed.
const UNMOUNT_LIMIT: Duration = Duration::from_secs(5);

/// A disk, mounted while it lives.
pub(super) struct Disk<'a> {
    context: &'a Context,
    memory: PathBuf,
    at: PathBuf,
}

/// Whether mounts made here are seen by nobody else. The kernel then removes them with our last process, however it
/// ends.
pub(super) fn is_apart() -> bool {
    let mounts = |process: &str| fs::read_link(format!("/proc/{process}/ns/mnt")).ok();
    mounts("self") != mounts(&parent_id().to_string())
}

/// Becomes the same command with mounts of its own. Returns only what stood in the way.
pub(super) fn become_apart(words: &[&str]) -> io::Error {
    match env::current_exe() {
        Ok(program) => Command::new("unshare").args(["--mount", "--"]).arg(program).args(words).exec(),
        Err(error) => error,
    }
}

impl<'a> Disk<'a> {
    /// A fresh disk below `scratch`.
    pub(super) fn new(context: &'a Context, scratch: &Path) -> Result<Self, String> {
        let disk = Self { context, memory: scratch.join("memory"), at: scratch.join("disk") };
        for folder in [&disk.memory, &disk.at] {
            fs::create_dir_all(folder).map_err(|error| format!("no folder for a disk: {error}"))?;
        }
        disk.run("mount", &["-t", "tmpfs", "tmpfs", &text(&disk.memory)])?;
        let image = disk.image();
        let made = fs::File::create(&image).and_then(|file| file.set_len(SIZE));
        made.map_err(|error| format!("no image for a disk: {error}"))?;
        disk.run("mkfs.ext4", &["-q", "-F", &text(&image)])?;
        disk.mount()?;
        Ok(disk)
    }

    /// Where files lie.
    pub(super) fn path(&self) -> &Path {
        &self.at
    }

    /// From now on nothing reaches the disk, and every sync fails.
    pub(super) fn cut_power(&self) -> Result<(), String> {
        self.run("perl", &["-e", CUT, &text(&self.at)])
    }

    /// Takes it away from whoever is left and brings it back, as a machine does that starts again.
    pub(super) fn restart(&self) -> Result<(), String> {
        let deadline = Instant::now() + UNMOUNT_LIMIT;
        while let Err(problem) = self.run("umount", &[&text(&self.at)]) {
            if Instant::now() >= deadline {
                return Err(problem);
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.mount()
    }

    fn mount(&self) -> Result<(), String> {
        let options = format!("loop,commit={COMMIT}");
        self.run("mount", &["-o", &options, &text(&self.image()), &text(&self.at)])
    }

    fn image(&self) -> PathBuf {
        self.memory.join("image")
    }

    fn run(&self, program: &str, args: &[&str]) -> Result<(), String> {
        let ran = self.context.run(program, args);
        if ran.success { Ok(()) } else { Err(format!("{program} {}: {}", args.join(" "), ran.output)) }
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        // Lazily: who is still on it is about to be killed. One that will not go goes with our last process.
        for at in [&self.at, &self.memory] {
            let _ = self.run("umount", &["--lazy", &text(at)]);
        }
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
