//! What the process takes of the machine, as the kernel counts it.
//!
//! The descriptors are opened at start, before the sandbox shuts `/proc`, and read again each time.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{Mode, OFlags, RawDir, SeekFrom};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// Longer than a line of `/proc/self/stat` can be: 52 numbers of at most 20 digits and a name of 16 bytes.
const STAT_BYTES: usize = 2048;

/// Where the process can be looked at.
#[derive(Debug)]
pub struct Process {
    stat: File,
    descriptors: OwnedFd,
    /// When the machine was started, in seconds since 1970.
    booted: u64,
}

/// What the process takes at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// CPU time of all its threads so far, in seconds.
    pub cpu_seconds: f64,
    /// Memory that is in RAM, in bytes.
    pub resident_bytes: u64,
    /// Address space, in bytes.
    pub virtual_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Open descriptors.
    pub open_files: u64,
    /// How many it may open; `None` where there is no limit.
    pub open_files_limit: Option<u64>,
    /// When it was started, in seconds since 1970.
    pub started_seconds: f64,
}

impl Process {
    /// Opens what it takes to look at this process.
    ///
    /// # Errors
    /// Where there is no `/proc`, or no descriptor left.
    pub fn open() -> io::Result<Self> {
        let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            stat: File::open("/proc/self/stat")?,
            descriptors: rustix::fs::open("/proc/self/fd", folder, Mode::empty())?,
            booted: booted(&std::fs::read_to_string("/proc/stat")?).unwrap_or(0),
        })
    }

    /// What the process takes now: three system calls that wait for no disk. For one caller at a time, because on
    /// Linux before 6.2 it walks through the descriptors.
    ///
    /// # Errors
    /// Where the kernel tells something else than it always did.
    pub fn usage(&mut self) -> io::Result<Usage> {
        let mut bytes = [0; STAT_BYTES];
        let length = self.stat.read_at(&mut bytes, 0)?;
        let line = String::from_utf8_lossy(bytes.get(..length).unwrap_or_default());
        let stat = Stat::parse(&line).ok_or_else(|| io::Error::other("/proc/self/stat reads strangely"))?;
        let per_tick = 1.0 / clock_ticks_per_second() as f64;
        Ok(Usage {
            cpu_seconds: stat.cpu_ticks as f64 * per_tick,
            resident_bytes: stat.resident_pages * page_size() as u64,
            virtual_bytes: stat.virtual_bytes,
            threads: stat.threads,
            open_files: count(self.descriptors.as_fd())?,
            open_files_limit: getrlimit(Resource::Nofile).current,
            started_seconds: self.booted as f64 + stat.started_ticks as f64 * per_tick,
        })
    }
}

/// The fields of `/proc/self/stat` that matter here (proc_pid_stat(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    started_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    /// The second field is the name in brackets, in which anything may stand; so the rest is counted behind its end.
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.rsplit_once(')')?;
        let fields: Vec<_> = rest.split_ascii_whitespace().collect();
        // The manual counts from 1, and the first one here is its third.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            started_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

/// The line `btime` of `/proc/stat`.
fn booted(stat: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// How many entries `/proc/self/fd` has: since Linux 6.2 that is its size, before it was 0.
fn count(descriptors: impl AsFd) -> io::Result<u64> {
    match rustix::fs::fstat(&descriptors)?.st_size {
        0 => walk(descriptors),
        size => Ok(u64::try_from(size).unwrap_or(0)),
    }
}

fn walk(descriptors: impl AsFd) -> io::Result<u64> {
    let mut space = [MaybeUninit::uninit(); 4096];
    rustix::fs::seek(&descriptors, SeekFrom::Start(0))?;
    let mut entries = RawDir::new(descriptors, &mut space);
    let mut count = 0;
    while let Some(entry) = entries.next() {
        count += u64::from(!entry?.file_name().to_bytes().starts_with(b"."));
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn obs_2_a_strange_name_does_not_shift_the_fields() {
        let line = "7 (a) b (c) S 1 7 7 0 -1 4194304 9 0 0 0 30 12 0 0 20 0 5 0 900 8192000 400 18446744073709551615";
        let expected = Stat {
            cpu_ticks: 42,
            threads: 5,
            started_ticks: 900,
            virtual_bytes: 8_192_000,
            resident_pages: 400,
        };
        assert_eq!(Stat::parse(line), Some(expected));
        assert_eq!(Stat::parse("7 (a) S 1 7"), None);
        assert_eq!(booted("cpu 1 2\nbtime 1795240112\nprocesses 3\n"), Some(1_795_240_112));
    }

    #[test]
    fn obs_2_the_process_sees_itself() {
        let mut process = Process::open().unwrap();
        let before = process.usage().unwrap();
        assert!(before.resident_bytes > 1 << 20 && before.virtual_bytes >= before.resident_bytes);
        assert!(
            before.threads >= 1 && before.open_files_limit.is_none_or(|limit| limit >= before.open_files)
        );
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let age = now - before.started_seconds;
        assert!((-2.0..3600.0).contains(&age), "started {age} s ago");
        while process.usage().unwrap().cpu_seconds < before.cpu_seconds + 0.05 {
            std::hint::black_box((0..100_000_u64).sum::<u64>());
        }
    }

    #[test]
    fn obs_2_descriptors_are_counted_whether_the_kernel_tells_or_not() {
        let mut process = Process::open().unwrap();
        let before = process.usage().unwrap().open_files;
        let many: Vec<_> = (0..500).map(|_| File::open("/proc/self/stat").unwrap()).collect();
        // Other tests open and close files beside this one, but not a hundred at a time.
        let near = |told: u64| (before + 400..before + 600).contains(&told);
        let told = process.usage().unwrap().open_files;
        // The second walk begins at the start again.
        let walked = [(); 2].map(|()| walk(process.descriptors.as_fd()).unwrap());
        assert!(near(told) && walked.into_iter().all(near), "{before}, then {told} or {walked:?}");
        drop(many);
    }
}
