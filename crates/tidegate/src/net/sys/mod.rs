//! Raw system calls that no safe wrapper offers, and `mapping`: files of memory as slices. The only `unsafe` of this
//! workspace stands here.

mod mapping;

pub use mapping::Mapping;

use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// `SIOCOUTQ` of `linux/sockios.h`, as most architectures have it (`asm-generic/ioctls.h`): bytes in the send queue
/// that the peer has not acknowledged.
const SIOCOUTQ: rustix::ioctl::Opcode = 0x5411;

/// Bytes written to a stream socket that its peer has not yet taken.
///
/// # Errors
/// Whatever `ioctl` reports; a socket type without a send queue gives `ENOTTY` or `EINVAL`.
pub fn unsent(socket: impl AsFd) -> io::Result<u64> {
    // SAFETY: SIOCOUTQ writes exactly one `int` and reads nothing (man 7 tcp, SIOCOUTQ).
    #[allow(unsafe_code)]
    let queued =
        unsafe { rustix::ioctl::ioctl(socket.as_fd(), rustix::ioctl::Getter::<SIOCOUTQ, i32>::new()) }?;
    Ok(u64::try_from(queued).unwrap_or(0))
}

/// `SIOCOUTQNSD` of `linux/sockios.h`: bytes in the send queue that have not been sent at all.
const SIOCOUTQNSD: rustix::ioctl::Opcode = 0x894b;

/// Bytes written to a TCP socket that have not left it yet.
///
/// # Errors
/// Whatever `ioctl` reports; other sockets than TCP give `ENOTTY` or `EINVAL`.
pub fn unsent_yet(socket: impl AsFd) -> io::Result<u64> {
    // SAFETY: SIOCOUTQNSD writes exactly one `int` and reads nothing (linux/net/ipv4/tcp.c, tcp_ioctl).
    #[allow(unsafe_code)]
    let queued =
        unsafe { rustix::ioctl::ioctl(socket.as_fd(), rustix::ioctl::Getter::<SIOCOUTQNSD, i32>::new()) }?;
    Ok(u64::try_from(queued).unwrap_or(0))
}

/// `cachestat` in the system call table of x86-64, arm64, riscv64 and all that came after them.
const SYS_CACHESTAT: libc::c_long = 451;

/// `struct cachestat_range` and `struct cachestat` of `linux/mman.h`.
#[repr(C)]
struct CacheRange {
    offset: u64,
    length: u64,
}
#[repr(C)]
#[derive(Default)]
struct CacheStat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Whether every page of `part` of a file is in the page cache; a look that waits for nothing.
///
/// # Errors
/// `ENOSYS` before Linux 6.5, `EOPNOTSUPP` for a file without page cache.
pub fn is_in_page_cache(file: impl AsFd, part: Range<u64>) -> io::Result<bool> {
    let page = rustix::param::page_size() as u64;
    let pages = part.end.div_ceil(page).saturating_sub(part.start / page);
    let range = CacheRange { offset: part.start, length: part.end.saturating_sub(part.start) };
    let mut stat = CacheStat::default();
    // SAFETY: cachestat(2) reads one `cachestat_range` and writes one `cachestat`, both laid out as the kernel has them
    // and alive across the call; the flags must be 0.
    #[allow(unsafe_code)]
    let done = unsafe {
        libc::syscall(SYS_CACHESTAT, file.as_fd().as_raw_fd(), &raw const range, &raw mut stat, 0_u32)
    };
    if done == 0 { Ok(stat.cached >= pages) } else { Err(io::Error::last_os_error()) }
}

/// Lets two signals pass whose default is to end the process: SIGIO, which tells of a writer that waits for a lease of ours
/// to end, though it ends by itself at once ([`while_nobody_writes`]); and SIGXFSZ, which tells that a file would grow
/// beyond `RLIMIT_FSIZE`: the write then fails, and that upload alone.
pub fn ignore_signals() {
    static IGNORED: Once = Once::new();
    IGNORED.call_once(|| [libc::SIGIO, libc::SIGXFSZ].into_iter().for_each(ignore));
}

fn ignore(signal: libc::c_int) {
    // SAFETY: to ignore a signal runs no code of ours.
    #[allow(unsafe_code)]
    unsafe {
        libc::signal(signal, libc::SIG_IGN);
    }
}

/// Does `work` while nobody else has `file`, which is open for reading, open for writing: whoever wants to waits that
/// long. `Ok(None)` where somebody has it open already.
///
/// # Errors
/// `EACCES` where the file is not ours and we may not lease it (`CAP_LEASE`), `EINVAL` on a file system without leases.
pub fn while_nobody_writes<T>(file: impl AsFd, work: impl FnOnce() -> T) -> io::Result<Option<T>> {
    ignore_signals();
    let set = |kind: libc::c_int| {
        // SAFETY: F_SETLEASE takes an int and no memory (man 2 fcntl).
        #[allow(unsafe_code)]
        let done = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_SETLEASE, kind) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    match set(libc::F_RDLCK) {
        Ok(()) => {
            let done = work();
            set(libc::F_UNLCK)?;
            Ok(Some(done))
        }
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lets the kernel keep connections to `listener` that have sent nothing for `time`, in whole seconds.
///
/// # Errors
/// Whatever `setsockopt` reports.
pub fn defer_accept(listener: impl AsFd, time: Duration) -> io::Result<()> {
    let seconds = libc::c_int::try_from(time.as_secs()).unwrap_or(libc::c_int::MAX);
    set_tcp_option(listener, libc::TCP_DEFER_ACCEPT, seconds)
}

/// Lets `socket` take no more while it holds so many bytes that it has not sent at all.
///
/// # Errors
/// Whatever `setsockopt` reports; a socket that is not TCP gives `EOPNOTSUPP` or the like.
pub fn keep_unsent_below(socket: impl AsFd, bytes: u32) -> io::Result<()> {
    set_tcp_option(socket, libc::TCP_NOTSENT_LOWAT, libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX))
}

fn set_tcp_option(socket: impl AsFd, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: both options read one int, which is alive across the call (man 7 tcp).
    #[allow(unsafe_code)]
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            option,
            (&raw const value).cast(),
            libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(4),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The first descriptors after standard error, as many as a service manager says that it left open for this process
/// (sd_listen_fds(3)); to the second who asks, none.
///
/// # Errors
/// Where one of them is no socket that listens: then none is taken.
pub fn left_open(count: u16) -> io::Result<Vec<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    /// `SD_LISTEN_FDS_START`.
    const FIRST: RawFd = 3;
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let numbers = FIRST..FIRST + RawFd::from(count);
    for number in numbers.clone() {
        // SAFETY: the descriptor is only looked at, here, and `getsockopt` may be called with any number.
        #[allow(unsafe_code)]
        let listens = rustix::net::sockopt::socket_acceptconn(unsafe { BorrowedFd::borrow_raw(number) });
        if !listens.unwrap_or(false) {
            return Err(io::Error::other(format!("descriptor {number} is no listening socket")));
        }
    }
    // SAFETY: each is open, for it listens, and nobody else in this process owns it: it listened before anything here
    // did, since sockets of our own come later, and this place is passed once.
    #[allow(unsafe_code)]
    let owned: Vec<OwnedFd> = numbers.map(|number| unsafe { OwnedFd::from_raw_fd(number) }).collect();
    for descriptor in &owned {
        rustix::io::fcntl_setfd(descriptor, rustix::io::FdFlags::CLOEXEC)?;
    }
    Ok(owned)
}

/// Lets the event loop of this thread watch `socket`.
///
/// # Errors
/// When its epoll refuses the descriptor.
pub fn watch(socket: &Rc<OwnedFd>, interest: Interest) -> io::Result<AsyncFd<Rc<OwnedFd>>> {
    // SAFETY: what is registered shares in owning the descriptor, so that stays open and the same until it is not
    // registered any more.
    #[allow(unsafe_code)]
    let watched = unsafe { AsyncFd::register_with_interest(Rc::clone(socket), interest) };
    watched.map_err(Into::into)
}

/// Most bytes that a TCP socket of this machine holds unread, unless its owner asks for more: the last number of
/// `net.ipv4.tcp_rmem`, or the kernel's default where that cannot be read.
pub fn largest_receive_queue() -> u64 {
    /// Linux since 2.6.
    const DEFAULT: u64 = 6 * 1024 * 1024;
    let setting = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_rmem").unwrap_or_default();
    setting.split_whitespace().last().and_then(|most| most.parse().ok()).unwrap_or(DEFAULT)
}

/// Sets up the allocator. Memory of more than a mebibyte goes back to the system as soon as it is free: without this
/// the allocator raises that bound with every larger piece that it sees, and keeps what one compressed file took for
/// ever. And there are up to eight arenas for each core, as by default: it would count the cores when it first needs
/// many, and the sandbox would refuse it that.
pub fn set_up_memory() {
    #[cfg(target_env = "gnu")]
    {
        /// glibc's own number (malloc/arena.c, `NARENAS_FROM_NCORES`).
        const ARENAS_FOR_A_CORE: usize = 8;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let arenas = libc::c_int::try_from(cores * ARENAS_FOR_A_CORE).unwrap_or(libc::c_int::MAX);
        // SAFETY: mallopt takes two ints (man 3 mallopt); the caller has started no other thread that could set the
        // same.
        #[allow(unsafe_code)]
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, 1024 * 1024);
            libc::mallopt(libc::M_ARENA_MAX, arenas);
        }
    }
}

/// Gives free memory back to the system: the allocator keeps what it was given by default. Takes some milliseconds, in
/// which other threads may wait for memory.
pub fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim touches only memory that nobody owns (man 3 malloc_trim); it is safe to call from any thread.
    #[allow(unsafe_code)]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Raises the soft limit of open files to the hard one and returns it; `None` means unlimited.
pub fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn load_1_pages_in_memory_are_counted() {
        let path = std::env::temp_dir().join(format!("tidegate-pages-{}", std::process::id()));
        std::fs::write(&path, [1; 100_000]).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        match is_in_page_cache(&file, 5000..100_000) {
            Ok(all) => assert!(all),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENOSYS), "{error}"),
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn file_7_a_file_that_is_open_for_writing_is_told_from_one_that_is_not() {
        let path = std::env::temp_dir().join(format!("tidegate-lease-{}", std::process::id()));
        let writer = std::fs::File::create(&path).unwrap();
        let reader = std::fs::File::open(&path).unwrap();
        let quiet = || match while_nobody_writes(&reader, || 7) {
            Ok(quiet) => Some(quiet),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => None,
            Err(error) => panic!("{error}"),
        };
        assert!(quiet().is_none_or(|quiet| quiet.is_none()));
        drop(writer);
        assert!(quiet().is_none_or(|quiet| quiet == Some(7)));
        // The lease has ended: a writer does not wait for us.
        std::fs::write(&path, "again").unwrap();
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn load_5_unsent_counts_what_the_peer_has_not_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut writer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        writer.set_nonblocking(true).unwrap();
        assert_eq!((unsent(&writer).unwrap(), unsent_yet(&writer).unwrap()), (0, 0));
        let chunk = [0_u8; 65536];
        while writer.write(&chunk).is_ok() {}
        assert!(unsent(&writer).unwrap() > 0, "a peer that reads nothing leaves bytes queued");
        assert!(unsent_yet(&writer).unwrap() > 0, "and some of them never left");
    }
}
