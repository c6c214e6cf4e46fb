//! A 201 is a promise (SPEC UP-4, UP-5): what is synced before it leaves, and what a failing disk leaves behind.
//! What a killed server leaves behind is in `durability_crash`, what a full disk does in `durability_full`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should say where")]

mod strace;
mod support;

use strace::{Call, Strace, assert_refused, is_root, names, stored_name};
use support::{Server, Setup};

/// One pool thread, so that the n-th call of a kind is known.
fn one_thread() -> Server {
    Setup::new().file("page.html", "served").args(&["--threads", "1", "--queue", "100"]).start()
}

/// The pool's calls and the worker's answer in one trace, of which the order is to be judged.
fn traced_upload(inject: &[&str]) -> Vec<String> {
    let calls =
        "trace=openat,write,pwrite64,writev,fsync,fdatasync,link,linkat,renameat2,unlinkat,sendto,sendmsg";
    let mut words = vec!["strace", "-f", "-qq", "-y", "-s", "200", "-o", "trace.log", "-e", calls];
    words.extend_from_slice(inject);
    let setup = Setup::new().wrapper(&words);
    let server = setup.args(&["--threads", "1", "--workers", "1"]).start();
    let response = server.upload(b"{\"traced\":\"body\"}");
    stored_name(&response);
    let trace = server.folder.0.join("trace.log");
    support::eventually("the answer is traced", || {
        strace::lines(&trace).iter().any(|line| line.contains("201 Created"))
    });
    strace::lines(&trace)
}

/// Whether the trace shows, one after the other: the body written, its file synced, its name given, the folder
/// synced, and only then the 201 sent. A call that strace replaced by a success of its own never happened.
fn judge(trace: &[String]) -> Result<(), String> {
    let calls = strace::calls(trace);
    let answer = calls.iter().find(|call| call.text.contains("201 Created")).ok_or("no answer")?;
    let written = |text: &str| text.starts_with("write(") && text.contains("\\\"traced\\\"");
    let synced = |text: &str| is_sync(text) && !text.contains("/uploads>");
    let linked = |text: &str| text.starts_with("linkat(") && text.contains("upload_") && text.contains("= 0");
    let mut after = None;
    for (name, is_step) in [
        ("write", &written as &dyn Fn(&str) -> bool),
        ("sync of the file", &synced),
        ("link", &linked),
        ("sync of the folder", &is_folder_sync),
    ] {
        let happened = |call: &&Call| is_step(&call.text) && !call.text.contains("(INJECTED)");
        let in_time = |call: &&Call| after.is_none_or(|after| call.begin > after) && call.end < answer.begin;
        let step = calls.iter().filter(happened).find(in_time);
        after = Some(step.ok_or_else(|| format!("no {name} where it should be: {trace:#?}"))?.end);
    }
    Ok(())
}

fn is_sync(text: &str) -> bool {
    text.contains("fsync(") || text.contains("fdatasync(")
}

fn is_folder_sync(text: &str) -> bool {
    text.starts_with("fsync(") && text.contains("/uploads>")
}

/// Uploads at once may share a sync of the folder, of one that began after their names were given.
#[test]
fn row_i3_up_4_uploads_share_a_sync_that_began_after_they_were_linked() {
    if !is_root("row_i3_up_4_uploads_share_a_sync_that_began_after_they_were_linked") {
        return;
    }
    let calls = "trace=linkat,fsync,sendto,sendmsg,write,writev";
    let words = ["strace", "-f", "-qq", "-y", "-s", "1000", "-o", "trace.log", "-e", calls];
    let slow = ["-e", "inject=fsync:delay_enter=30000"];
    let server = Setup::new().wrapper(&[&words[..], &slow].concat()).args(&["--threads", "8"]).start();
    let stored: Vec<_> = std::thread::scope(|scope| {
        let uploads: Vec<_> = (0..24).map(|_| scope.spawn(|| stored_name(&server.upload(b"[1]")))).collect();
        uploads.into_iter().map(|upload| upload.join().unwrap()).collect()
    });
    let trace = server.folder.0.join("trace.log");
    let answered = |name: &String| {
        let location = format!("Location: /uploads/{name}");
        strace::calls(&strace::lines(&trace)).iter().any(|call| call.text.contains(&location))
    };
    support::eventually("the answers are traced", || stored.iter().all(answered));
    let calls = strace::calls(&strace::lines(&trace));
    let syncs: Vec<&Call> = calls.iter().filter(|call| is_folder_sync(&call.text)).collect();
    for name in &stored {
        let quoted = format!("\"{name}\"");
        let location = format!("Location: /uploads/{name}");
        let link =
            calls.iter().find(|call| call.text.contains(&quoted) && call.text.contains("= 0")).unwrap();
        let answer = calls.iter().find(|call| call.text.contains(&location)).unwrap();
        let durable = syncs.iter().any(|sync| sync.begin > link.end && sync.end < answer.begin);
        assert!(durable, "{name} was acknowledged before a sync that began after its link: {calls:#?}");
    }
    assert!(syncs.len() < stored.len(), "nobody shared: {} syncs for {}", syncs.len(), stored.len());
}

#[test]
fn row_i3_up_4_file_and_folder_are_synced_before_the_201_leaves() {
    if is_root("row_i3_up_4_file_and_folder_are_synced_before_the_201_leaves") {
        judge(&traced_upload(&[])).unwrap();
    }
}

/// Negative control: a server whose syncs are faked must not pass.
#[test]
fn row_i3_up_4_faked_syncs_are_noticed() {
    if is_root("row_i3_up_4_faked_syncs_are_noticed") {
        let trace = traced_upload(&["-e", "inject=fsync,fdatasync:retval=0"]);
        assert!(trace.iter().any(|line| line.contains("(INJECTED)")), "{trace:#?}");
        judge(&trace).unwrap_err();
    }
}

/// Negative control of the judge itself.
#[test]
fn row_i3_up_4_a_wrong_order_is_noticed() {
    let line = |text: &str| format!("7 {text}");
    let steps = [
        line("write(9</r/uploads/#5 (deleted)>, \"{\\\"traced\\\":\\\"body\\\"}\", 17) = 17"),
        line("fsync(9</r/uploads/#5 (deleted)>) = 0"),
        line("linkat(9</r/uploads/#5 (deleted)>, \"\", 8</r/uploads>, \"upload_x.json\", AT_EMPTY_PATH) = 0"),
        line("fsync(8</r/uploads>) = 0"),
        line("sendto(10, \"HTTP/1.1 201 Created\", 20) = 20"),
    ];
    judge(&steps).unwrap();
    for missing in 0..steps.len() {
        let mut fewer = steps.to_vec();
        fewer.remove(missing);
        judge(&fewer).unwrap_err();
    }
    for first in 0..steps.len() - 1 {
        let mut swapped = steps.to_vec();
        swapped.swap(first, first + 1);
        judge(&swapped).unwrap_err();
    }
}

/// After a failed sync: this upload 500, later ones 503, not ready, files served on, nothing left behind.
fn assert_degrades(inject: &str, syncs: usize) {
    let server = one_thread();
    let kept = stored_name(&server.upload(b"[\"kept\"]"));
    let strace = Strace::attach(&server, "pool-", &["-e", "trace=fsync,fdatasync", "-e", inject]);
    assert_refused(&server.upload(b"[\"lost\"]"), 500, "store_error");
    assert_eq!(names(&server.uploads()), std::slice::from_ref(&kept), "nothing is left behind");
    for _ in 0..3 {
        let later = server.upload(b"[\"later\"]");
        assert_refused(&later, 503, "store_degraded");
        assert!(later.field("retry-after").is_some());
    }
    let trace = strace.detach();
    let calls = trace.iter().filter(|line| is_sync(line)).count();
    assert_eq!(calls, syncs, "a failed sync is never tried again: {trace:#?}");
    assert_eq!(server.upload(b"[\"healed\"]").code(), "store_degraded", "it stays so until a restart");
    assert_refused(&server.get("/readyz"), 503, "store_degraded");
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/page.html").text(), "served");
    assert_eq!(server.get(&format!("/uploads/{kept}")).text(), "[\"kept\"]");
    assert_eq!(names(&server.uploads()), [kept]);
}

#[test]
fn row_i4_up_5_a_failed_sync_of_the_file_degrades_the_store() {
    if is_root("row_i4_up_5_a_failed_sync_of_the_file_degrades_the_store") {
        assert_degrades("inject=fsync,fdatasync:error=EIO:when=1", 1);
    }
}

#[test]
fn row_i4_up_5_a_failed_sync_of_the_folder_degrades_the_store() {
    if is_root("row_i4_up_5_a_failed_sync_of_the_folder_degrades_the_store") {
        assert_degrades("inject=fsync,fdatasync:error=EIO:when=2", 2);
    }
}

/// A folder that finds no room for the name only at its sync has lost it: that is no full disk to wait out.
#[test]
fn row_i5_up_5_a_folder_without_room_at_its_sync_degrades_the_store() {
    if is_root("row_i5_up_5_a_folder_without_room_at_its_sync_degrades_the_store") {
        assert_degrades("inject=fsync,fdatasync:error=ENOSPC:when=2", 2);
    }
}

/// Errors by which a file system also says that it lacks a feature are no reason to try a sync once more.
#[test]
fn row_i4_up_5_a_failed_sync_is_not_taken_for_a_missing_feature() {
    if !is_root("row_i4_up_5_a_failed_sync_is_not_taken_for_a_missing_feature") {
        return;
    }
    for error in ["EINVAL", "EOPNOTSUPP"] {
        for when in [1, 2] {
            assert_degrades(&format!("inject=fsync,fdatasync:error={error}:when={when}"), when);
        }
    }
}

/// The folder's entries share a block: one thread's failed sync may have lost the name of another's upload,
/// and the kernel reports it only once. So an upload whose folder sync begins after that must not be acknowledged.
#[test]
fn row_i4_up_5_a_failed_sync_of_the_folder_takes_the_uploads_beside_it_along() {
    if !is_root("row_i4_up_5_a_failed_sync_of_the_folder_takes_the_uploads_beside_it_along") {
        return;
    }
    let server = Server::start(&["--threads", "2"]);
    // The failure has happened when the thread is told of it.
    let fault = "inject=fsync:error=EIO:when=2:delay_exit=1500000";
    let strace = Strace::attach(&server, "pool-0", &["-e", "trace=fsync", "-e", fault]);
    // Either thread may take an upload; only the first is hit.
    for _ in 0..50 {
        let before = names(&server.uploads()).len();
        let (first, second) = std::thread::scope(|scope| {
            let first = scope.spawn(|| server.upload(b"[\"first\"]").status);
            support::eventually("it has its name, and its folder is synced next", || {
                first.is_finished() || names(&server.uploads()).len() > before
            });
            std::thread::sleep(std::time::Duration::from_millis(400));
            let second = (!first.is_finished()).then(|| server.upload(b"[\"second\"]").status);
            (first.join().unwrap(), second)
        });
        // One that nothing befell may take as long where the machine is busy.
        if let (500, Some(second)) = (first, second) {
            assert!(matches!(second, 500 | 503), "acknowledged beside a failed sync: {second}");
            assert_eq!(names(&server.uploads()).len(), before);
            drop(strace);
            return;
        }
        assert_eq!(first, 201);
    }
    panic!("the first thread never took an upload");
}

#[test]
fn row_i5_up_5_a_failed_write_or_link_costs_this_upload_alone() {
    if !is_root("row_i5_up_5_a_failed_write_or_link_costs_this_upload_alone") {
        return;
    }
    let server = one_thread();
    for (inject, status, code) in [
        ("inject=write:error=EIO:when=1", 500, "store_error"),
        ("inject=write:error=ENOSPC:when=1", 507, "disk_full"),
        ("inject=write:error=EDQUOT:when=1", 507, "disk_full"),
        ("inject=openat:error=ENOSPC:when=1", 507, "disk_full"),
        ("inject=openat:error=EMFILE:when=1", 500, "store_error"),
        ("inject=linkat:error=ENOSPC", 507, "disk_full"),
        ("inject=linkat:error=EIO", 500, "store_error"),
        ("inject=linkat:error=EROFS", 500, "store_error"),
    ] {
        let strace = Strace::attach(&server, "pool-", &["-e", "trace=write,openat,linkat", "-e", inject]);
        let response = server.upload(b"[\"lost\"]");
        assert!(!response.closes(), "{inject}");
        assert_refused(&response, status, code);
        assert_eq!(response.field("retry-after").is_some(), status == 507, "{inject}");
        assert!(names(&server.uploads()).is_empty(), "{inject}");
        drop(strace);
        let name = stored_name(&server.upload(b"[\"kept\"]"));
        assert_eq!(server.get("/readyz").status, 200, "{inject}");
        std::fs::remove_file(server.uploads().join(name)).unwrap();
    }
}

#[test]
fn row_i5_up_4_short_and_interrupted_writes_are_continued() {
    if !is_root("row_i5_up_4_short_and_interrupted_writes_are_continued") {
        return;
    }
    let server = one_thread();
    let strace =
        Strace::attach(&server, "pool-", &["-e", "trace=write", "-e", "inject=write:error=EINTR:when=1"]);
    let name = stored_name(&server.upload(b"[\"interrupted\"]"));
    drop(strace);
    assert_eq!(std::fs::read(server.uploads().join(name)).unwrap(), b"[\"interrupted\"]");
}

/// Where the kernel or the file system refuses one way to give an unnamed file its name, another is found, or
/// the upload fails and leaves nothing.
#[test]
fn row_i6_up_3_a_name_is_given_by_whichever_way_works() {
    if !is_root("row_i6_up_3_a_name_is_given_by_whichever_way_works") {
        return;
    }
    for (inject, works) in [
        ("inject=linkat:error=ENOENT:when=1", true),
        ("inject=linkat:error=EPERM:when=1", true),
        ("inject=linkat:error=ENOENT:when=1..2", true),
        ("inject=linkat:error=EXDEV:when=1", true),
        ("inject=openat:error=EOPNOTSUPP:when=1", true),
        ("inject=openat:error=EISDIR:when=1", true),
        ("inject=linkat:error=EEXIST:when=1..3", true),
        ("inject=linkat:error=ENOENT", false),
        ("inject=linkat:error=EEXIST", false),
    ] {
        let server = one_thread();
        let strace = Strace::attach(&server, "pool-", &["-e", "trace=linkat,openat", "-e", inject]);
        let response = server.upload(b"[\"linked\"]");
        drop(strace);
        if works {
            let name = stored_name(&response);
            assert_eq!(names(&server.uploads()), std::slice::from_ref(&name), "{inject}");
            assert_eq!(std::fs::read(server.uploads().join(name)).unwrap(), b"[\"linked\"]", "{inject}");
        } else {
            assert_refused(&response, 500, "store_error");
            assert!(names(&server.uploads()).is_empty(), "{inject}");
        }
        assert_eq!(server.upload(b"[\"next\"]").status, 201, "{inject}");
    }
}

/// A disk that tells only at the sync that it is full is full, not broken.
#[test]
fn row_i5_up_5_a_disk_found_full_at_the_sync_is_507_and_no_damage() {
    if !is_root("row_i5_up_5_a_disk_found_full_at_the_sync_is_507_and_no_damage") {
        return;
    }
    for error in ["ENOSPC", "EDQUOT"] {
        let server = one_thread();
        let fault = format!("inject=fsync,fdatasync:error={error}:when=1");
        let strace = Strace::attach(&server, "pool-", &["-e", "trace=fsync,fdatasync", "-e", &fault]);
        assert_refused(&server.upload(b"[\"lost\"]"), 507, "disk_full");
        assert!(names(&server.uploads()).is_empty(), "{error}");
        assert_eq!(server.get("/readyz").status, 200, "{error}");
        assert_eq!(server.upload(b"[\"kept\"]").status, 201, "{error}");
        drop(strace);
    }
}

/// The way by a staging file keeps the same promises.
#[test]
fn row_i5_up_5_a_staging_file_is_not_left_behind_either() {
    if !is_root("row_i5_up_5_a_staging_file_is_not_left_behind_either") {
        return;
    }
    for (fault, status, code) in [
        ("inject=write:error=ENOSPC:when=1", 507, "disk_full"),
        ("inject=write:error=EIO:when=1", 500, "store_error"),
        ("inject=fsync:error=EIO:when=1", 500, "store_error"),
        ("inject=fsync:error=EIO:when=2", 500, "store_error"),
        ("inject=linkat:error=EIO:when=1", 500, "store_error"),
    ] {
        let server = one_thread();
        let staged = "inject=openat:error=EOPNOTSUPP:when=1";
        let trace = "trace=openat,write,fsync,linkat,unlinkat";
        let strace = Strace::attach(&server, "pool-", &["-e", trace, "-e", staged, "-e", fault]);
        assert_refused(&server.upload(b"[\"lost\"]"), status, code);
        assert!(names(&server.uploads()).is_empty(), "{fault}");
        let trace = strace.detach();
        assert!(trace.iter().any(|line| line.contains(".tidegate-")), "it was not staged: {trace:#?}");
        let degraded = fault.contains("fsync");
        assert_eq!(server.upload(b"[\"next\"]").status, if degraded { 503 } else { 201 }, "{fault}");
    }
}

/// Two uploads under way must not both take the last room: what the first will take counts, though the folder
/// does not show it yet when the second makes the server count anew.
#[test]
fn up_5_the_quota_counts_an_upload_that_is_being_stored() {
    if !is_root("up_5_the_quota_counts_an_upload_that_is_being_stored") {
        return;
    }
    let server = Server::start(&["--threads", "2", "--upload-quota", "100B"]);
    let slow = "inject=fsync:delay_enter=1000000:when=1";
    let strace = Strace::attach(&server, "pool-", &["-e", "trace=fsync", "-e", slow]);
    let body = format!("\"{}\"", "q".repeat(58));
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| server.upload(body.as_bytes()));
        std::thread::sleep(std::time::Duration::from_millis(300));
        let second = server.upload(body.as_bytes());
        (first.join().unwrap(), second)
    });
    drop(strace);
    assert_eq!(names(&server.uploads()).len(), 1, "120 bytes in 100");
    // Where the machine is busy the second may be there first.
    let (taken, refused) = if first.status == 201 { (first, second) } else { (second, first) };
    assert_eq!(taken.status, 201);
    assert_refused(&refused, 507, "quota_exceeded");
}
