//! Files in memory that are read as a slice.

use std::io;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::NonNull;

use rustix::fs::SealFlags;

/// The bytes of a sealed file of memory (memfd_create(2)), mapped to be read.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<u8>,
    length: NonZeroUsize,
}

impl Mapping {
    /// The first `length` bytes of `file`, which has as many.
    ///
    /// # Errors
    /// `EPERM` unless the file is sealed against writing and shrinking and is long enough, `ENOMEM` where there is no room.
    pub fn of_sealed(file: impl AsFd, length: NonZeroUsize) -> io::Result<Self> {
        let seals = rustix::fs::fcntl_get_seals(&file)?;
        let size = rustix::fs::fstat(&file)?.st_size;
        if !seals.contains(SealFlags::WRITE | SealFlags::SHRINK)
            || u64::try_from(size).is_ok_and(|size| size < length.get() as u64)
        {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        // SAFETY: a new mapping at a place of the kernel's choice takes no memory from anybody (man 2 mmap). Populated, for
        // all of it is about to be read.
        #[allow(unsafe_code)]
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length.get(),
                libc::PROT_READ,
                libc::MAP_SHARED | libc::MAP_POPULATE,
                file.as_fd().as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::from_raw_os_error(libc::ENOMEM))?;
        Ok(Self { start, length })
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `length` bytes are mapped there until `self` is dropped. Nobody can change them or take them away: the file
        // is sealed against both, and seals are never lifted.
        #[allow(unsafe_code)]
        unsafe {
            std::slice::from_raw_parts(self.start.as_ptr(), self.length.get())
        }
    }
}

// SAFETY: it is memory that is read only, whoever reads it, and unmapped by whoever drops it.
#[allow(unsafe_code)]
unsafe impl Send for Mapping {}
// SAFETY: as above.
#[allow(unsafe_code)]
unsafe impl Sync for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this mapping is ours, and no slice of it outlives `self`.
        #[allow(unsafe_code)]
        unsafe {
            libc::munmap(self.start.as_ptr().cast(), self.length.get());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::MemfdFlags;

    #[test]
    fn file_7_what_is_mapped_is_sealed_and_whole() {
        let length = NonZeroUsize::new(10_000).unwrap();
        let file = rustix::fs::memfd_create("tidegate-test", MemfdFlags::ALLOW_SEALING).unwrap();
        assert_eq!(rustix::io::write(&file, &[7; 10_000]), Ok(10_000));
        let refused = |length| Mapping::of_sealed(&file, length).unwrap_err().raw_os_error();
        assert_eq!(refused(length), Some(libc::EPERM), "anybody could change it");
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::WRITE).unwrap();
        assert_eq!(refused(length.saturating_add(1)), Some(libc::EPERM), "there is less");
        let mapping = Mapping::of_sealed(&file, length).unwrap();
        drop(file);
        assert_eq!(&*mapping, &[7; 10_000]);
    }
}
