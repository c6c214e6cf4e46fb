//! Listings of real folders with names that nobody wishes for.

use super::*;
use crate::http::url_path::{self, UrlPath};
use rustix::fs::{CWD, Mode, OFlags as Flags};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A root with something beside it that no link may reach; removed on drop.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tidegate-listing-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("root")).unwrap();
        fs::write(path.join("outside.txt"), "secret").unwrap();
        Self(path)
    }

    fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    fn write(&self, name: impl AsRef<Path>, content: &str) {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn read(&self, name: &str) -> rustix::io::Result<Listing> {
        read(self.open().as_fd(), name, |_| false)
    }

    fn open(&self) -> OwnedFd {
        rustix::fs::open(self.root(), Flags::PATH | Flags::DIRECTORY, Mode::empty()).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn names(listing: &Listing) -> Vec<&str> {
    listing.sorted(Order::default()).into_iter().map(|entry| entry.name.as_str()).collect()
}

#[test]
fn file_8_an_entry_is_its_name_kind_size_and_time() {
    let folder = Folder::new("entry");
    folder.write("five.txt", "12345");
    folder.write("sub/inner.txt", "1");
    let modified = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 250);
    let file = fs::File::options().write(true).open(folder.root().join("five.txt")).unwrap();
    file.set_modified(modified).unwrap();
    let listing = folder.read("").unwrap();
    let sorted = listing.sorted(Order::default());
    assert_eq!(names(&listing), ["sub", "five.txt"]);
    assert_eq!((sorted[0].kind, sorted[0].size), (Kind::Folder, 0));
    assert_eq!(sorted[1], &Entry { name: "five.txt".to_owned(), kind: Kind::File, size: 5, modified });
    assert!(!listing.truncated);
    assert_eq!(names(&folder.read("sub/").unwrap()), ["inner.txt"]);
}

#[test]
fn file_8_hostile_names_are_listed_as_they_are_and_each_link_leads_to_its_file() {
    let folder = Folder::new("hostile");
    let long = "é".repeat(127) + "x";
    let hostile = [
        "<img src=x onerror=alert(1)>",
        "\" onmouseover=\"alert(1)",
        "' '",
        "javascript:alert(1)",
        "a\r\nSet-Cookie: b",
        "%2e",
        "%2e%2e%2f",
        "a?b#c",
        " leading and trailing ",
        "🦀 emoji 👩\u{200d}🚀",
        "photo\u{202e}gpj.exe",
        "..a",
        "a..",
        long.as_str(),
    ];
    hostile.iter().for_each(|name| folder.write(name, name));
    let listing = folder.read("").unwrap();
    // `..a` begins with a dot; all others are here.
    assert_eq!(listing.entries.len(), hostile.len() - 1);
    for entry in &listing.entries {
        assert!(hostile.contains(&entry.name.as_str()) && entry.size == entry.name.len() as u64);
        // What is listed is what FILE-4 lets through, to the very name.
        let path = format!("/{}", url_path::encode(&entry.name));
        assert_eq!(UrlPath::parse(path.as_bytes()).unwrap().name(), Some(entry.name.as_str()));
    }
}

#[test]
fn file_8_dotfiles_and_names_that_no_path_holds_are_hidden() {
    let folder = Folder::new("dots");
    for name in [".hidden", ".well-known/x", ".git/config", "...", "a\\b", "\\", "seen.txt"] {
        folder.write(name, "");
    }
    folder.write(std::ffi::OsStr::from_bytes(b"caf\xe9.txt"), "Latin-1");
    assert_eq!(names(&folder.read("").unwrap()), ["seen.txt"]);
    // Whatever is refused as a path is not listed.
    for name in [".hidden", ".git", "...", "a\\b"] {
        let path = format!("/{}", url_path::encode(name));
        let served = UrlPath::parse(path.as_bytes()).is_ok_and(|path| path.name().is_some());
        assert!(!served && !is_servable(name), "{name}");
    }
}

#[test]
fn file_4_only_links_that_stay_beneath_the_root_are_listed() {
    let folder = Folder::new("links");
    folder.write("file.txt", "four");
    folder.write("dir/page.html", "page");
    for (target, name) in [
        ("file.txt", "link.txt"),
        ("dir", "linked-dir"),
        ("link.txt", "chain.txt"),
        ("../file.txt", "dir/up.txt"),
        ("../outside.txt", "out.txt"),
        ("..", "out-dir"),
        ("/etc/passwd", "absolute.txt"),
        ("/proc/self/root", "magic"),
        ("missing.txt", "dangling.txt"),
        ("loop", "loop"),
        ("../../outside.txt", "dir/out.txt"),
    ] {
        symlink(target, folder.root().join(name)).unwrap();
    }
    let listing = folder.read("").unwrap();
    assert_eq!(names(&listing), ["dir", "linked-dir", "chain.txt", "file.txt", "link.txt"]);
    assert!(listing.entries.iter().all(|entry| entry.size == 4 || entry.kind == Kind::Folder));
    for name in ["dir/", "linked-dir/"] {
        assert_eq!(names(&folder.read(name).unwrap()), ["page.html", "up.txt"], "{name}");
    }
}

#[test]
fn file_4_fifos_sockets_and_devices_are_hidden() {
    let folder = Folder::new("kinds");
    folder.write("file.txt", "");
    let fifo = folder.root().join("fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
    symlink("fifo", folder.root().join("link-to-fifo")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(folder.root().join("socket")).unwrap();
    assert_eq!(names(&folder.read("").unwrap()), ["file.txt"]);
}

#[test]
fn file_10_what_the_caller_hides_is_hidden() {
    let folder = Folder::new("reserved");
    for name in ["uploads/a.json", "metrics", "kept/uploads/b.json"] {
        folder.write(name, "{}");
    }
    let listing = read(folder.open().as_fd(), "", |name| crate::router::RESERVED.contains(&name)).unwrap();
    assert_eq!(names(&listing), ["kept"]);
    assert_eq!(names(&folder.read("kept/").unwrap()), ["uploads"]);
}

#[test]
fn file_8_what_is_no_folder_beneath_the_root_is_an_error() {
    use rustix::io::Errno;
    let folder = Folder::new("errors");
    folder.write("file.txt", "");
    symlink("..", folder.root().join("out")).unwrap();
    for (name, errno) in [
        ("missing/", Errno::NOENT),
        ("file.txt/", Errno::NOTDIR),
        ("file.txt", Errno::NOTDIR),
        ("out/", Errno::XDEV),
        ("../", Errno::XDEV),
    ] {
        assert_eq!(folder.read(name).unwrap_err(), errno, "{name}");
    }
}

#[test]
fn file_8_a_folder_of_more_than_the_most_is_cut_and_that_is_said() {
    let folder = Folder::new("many");
    folder.write("0", "");
    let name = |number: usize| folder.root().join(number.to_string());
    (1..MAX_ENTRIES).for_each(|number| fs::hard_link(name(0), name(number)).unwrap());
    let listing = folder.read("").unwrap();
    assert_eq!((listing.entries.len(), listing.truncated), (MAX_ENTRIES, false));
    folder.write("one more", "");
    let listing = folder.read("").unwrap();
    assert_eq!((listing.entries.len(), listing.truncated), (MAX_ENTRIES, true));
}
