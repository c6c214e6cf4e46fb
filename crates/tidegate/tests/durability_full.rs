//! Uploads onto a full disk and over a quota (SPEC UP-5), and through a power cut (SPEC UP-4).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod strace;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use strace::{Strace, assert_refused, is_root, names, stored_name};
use support::{Folder, Server, Setup};

/// A mounted file system; unmounted on drop.
struct Mount {
    at: PathBuf,
    _folder: Folder,
}

impl Mount {
    /// A tmpfs of `size`.
    fn tmpfs(size: &str) -> Self {
        let folder = Folder::new();
        let at = folder.0.join("mnt");
        std::fs::create_dir(&at).unwrap();
        let options = format!("size={size}");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&at));
        Self { at, _folder: folder }
    }

    /// An ext4 in `image`, which writes nothing to its device unless it is told to.
    fn ext4(image: &Path) -> Self {
        let folder = Folder::new();
        let at = folder.0.join("mnt");
        std::fs::create_dir(&at).unwrap();
        run(Command::new("mount").args(["-o", "loop,commit=300"]).arg(image).arg(&at));
        Self { at, _folder: folder }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.at).status();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn server_on(uploads: &Path) -> Server {
    Setup::new().file("page.html", "served").args(&["--uploads", uploads.to_str().unwrap()]).start()
}

fn json(size: usize) -> Vec<u8> {
    format!("\"{}\"", "f".repeat(size - 2)).into_bytes()
}

#[test]
fn row_i5_up_5_a_full_disk_is_507_leaves_nothing_and_is_over_when_there_is_room() {
    if !is_root("row_i5_up_5_a_full_disk_is_507_leaves_nothing_and_is_over_when_there_is_room") {
        return;
    }
    let mount = Mount::tmpfs("64k");
    let server = server_on(&mount.at);
    let mut kept = Vec::new();
    let refused = loop {
        let response = server.upload(&json(9_000));
        if response.status != 201 {
            break response;
        }
        kept.push(stored_name(&response));
        assert!(kept.len() < 10, "the disk never fills");
    };
    kept.sort();
    assert_refused(&refused, 507, "disk_full");
    assert!(refused.field("retry-after").is_some() && !refused.closes());
    assert_eq!(names(&mount.at), kept, "nothing is left behind");
    // A body that begins to fit and then does not, from many sides at once.
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| assert_refused(&server.upload(&json(200_000)), 507, "disk_full"));
        }
    });
    assert_eq!(names(&mount.at), kept);
    assert_eq!(server.get("/page.html").text(), "served");
    assert_eq!(server.get(&format!("/uploads/{}", kept[0])).body, json(9_000));
    assert_eq!(server.get("/readyz").status, 200, "a full disk is no damage");
    std::fs::remove_file(mount.at.join(kept.remove(0))).unwrap();
    kept.push(stored_name(&server.upload(&json(9_000))));
    kept.sort();
    assert_eq!(names(&mount.at), kept, "it works again as soon as there is room");
}

#[test]
fn row_i5_up_5_a_folder_without_free_entries_is_507() {
    if !is_root("row_i5_up_5_a_folder_without_free_entries_is_507") {
        return;
    }
    let mount = Mount::tmpfs("1m,nr_inodes=4");
    let server = server_on(&mount.at);
    let statuses: Vec<_> = (0..6).map(|_| server.upload(b"[1]").status).collect();
    let taken = names(&mount.at).len();
    assert!((1..=3).contains(&taken), "{taken}");
    assert_eq!(statuses, [vec![201; taken], vec![507; 6 - taken]].concat());
}

#[test]
fn up_3_a_read_only_folder_means_503_and_files_are_served() {
    if !is_root("up_3_a_read_only_folder_means_503_and_files_are_served") {
        return;
    }
    let mount = Mount::tmpfs("64k");
    run(Command::new("mount").args(["-o", "remount,ro"]).arg(&mount.at));
    let mut server = server_on(&mount.at);
    server.wait_for_log("uploads are refused");
    assert_refused(&server.upload(b"{}"), 503, "uploads_unavailable");
    assert_eq!(server.get("/page.html").text(), "served");
}

/// Uploads by name, with their bytes.
type Kept = Vec<(String, Vec<u8>)>;

/// What is on the device when the 201s have arrived, as a machine finds it that lost its power then: the
/// uploads acknowledged, and those found.
fn after_a_power_cut(faults: &[&str]) -> (Kept, Kept) {
    let folder = Folder::new();
    let (image, copy) = (folder.0.join("disk.img"), folder.0.join("copy.img"));
    std::fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
    run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
    let mount = Mount::ext4(&image);
    let uploads = mount.at.join("kept");
    let server = server_on(&uploads);
    // The folder itself is older than the cut.
    run(Command::new("sync").arg("-f").arg(&mount.at));
    let strace = Strace::attach(&server, "pool-", &[&["-e", "trace=fsync"], faults].concat());
    let acknowledged: Vec<_> = (1..=8)
        .map(|number| {
            let body = json(number * 3000);
            (stored_name(&server.upload(&body)), body)
        })
        .collect();
    // The file behind the loop device holds what was written to the device, and nothing of the page cache above.
    run(Command::new("cp").arg("--sparse=always").args([&image, &copy]));
    drop(strace);
    drop(server);
    let rebooted = Mount::ext4(&copy);
    let folder = rebooted.at.join("kept");
    let found =
        names(&folder).into_iter().map(|name| (name.clone(), std::fs::read(folder.join(name)).unwrap()));
    (acknowledged, found.collect())
}

#[test]
fn row_i3_up_4_an_acknowledged_upload_outlives_a_power_cut() {
    if !is_root("row_i3_up_4_an_acknowledged_upload_outlives_a_power_cut") {
        return;
    }
    let (mut acknowledged, found) = after_a_power_cut(&[]);
    acknowledged.sort();
    assert_eq!(acknowledged.len(), 8);
    assert!(acknowledged == found, "{:?}", found.iter().map(|(name, _)| name).collect::<Vec<_>>());
}

/// Negative control: without syncs the same cut loses uploads.
#[test]
fn row_i3_up_4_without_syncs_a_power_cut_loses_uploads() {
    if !is_root("row_i3_up_4_without_syncs_a_power_cut_loses_uploads") {
        return;
    }
    let (mut acknowledged, found) = after_a_power_cut(&["-e", "inject=fsync:retval=0"]);
    acknowledged.sort();
    assert!(acknowledged != found, "the cut has no teeth");
}

#[test]
fn up_5_the_quota_answers_507_and_takes_uploads_again_when_there_is_room() {
    let server = Server::start(&["--upload-quota", "100B"]);
    let body = format!("\"{}\"", "x".repeat(58));
    let first = stored_name(&server.upload(body.as_bytes()));
    let response = server.upload(body.as_bytes());
    assert_eq!((response.status, response.code().as_str()), (507, "quota_exceeded"));
    assert!(!response.closes());
    assert_eq!(names(&server.uploads()), std::slice::from_ref(&first));
    assert_eq!(server.get(&format!("/uploads/{first}")).text(), body);
    assert_eq!(server.upload(&body.as_bytes()[..0]).status, 400, "a refusal takes nothing of the quota");
    let small = format!("\"{}\"", "y".repeat(38));
    stored_name(&server.upload(small.as_bytes()));
    std::fs::remove_file(server.uploads().join(first)).unwrap();
    support::eventually("room again", || server.upload(b"1").status == 201);
}

#[test]
fn up_5_the_quota_counts_what_lies_there_at_start() {
    let setup = Setup::new().file("uploads/upload_20200101_000000_aaaaaa.json", "\"0123456789\"");
    let server = setup.args(&["--upload-quota", "14B"]).start();
    assert_eq!(server.upload(b"[1]").code(), "quota_exceeded");
    assert_eq!(server.upload(b"12").status, 201);
}

/// What an upload that is still under way will take counts too, though the folder does not show it yet.
#[test]
fn up_5_the_quota_holds_for_uploads_at_once() {
    let server = Server::start(&["--upload-quota", "1000B", "--threads", "8"]);
    let body = format!("\"{}\"", "q".repeat(98));
    let stored = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..4 {
                    match server.upload(body.as_bytes()).status {
                        201 => _ = stored.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
                        status => assert_eq!(status, 507),
                    }
                }
            });
        }
    });
    let stored = stored.into_inner() as usize;
    assert_eq!(names(&server.uploads()).len(), stored);
    assert!((1..=10).contains(&stored), "{stored} hundred bytes in a thousand");
    // What is left can be used up, one by one, and no more.
    for _ in stored..10 {
        support::eventually("room", || server.upload(body.as_bytes()).status == 201);
    }
    assert_eq!(server.upload(body.as_bytes()).code(), "quota_exceeded");
}
