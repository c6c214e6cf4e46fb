//! What a server opens at start, with which rights, and what it may open later (SPEC SEC-7).
//!
//! The order matters. Before the other user come the listeners, for ports below 1024. After it come root, store,
//! certificates and logs: what this user may not open is then seen at start, not at the first rotation or renewal. After the store comes the
//! sandbox, and only then the first thread: none of this reaches a thread that is there already.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::StartError;
use crate::config::{Environment, Invocation, Settings};
use crate::net::Tls;
use crate::sandbox::{self, Confined, Grant, Purpose, User};
use crate::store::LocalStore;

/// Becomes the user that `settings` name, if they do, and gains nothing by exec from now on.
pub(super) fn give_up(settings: &Settings) -> Result<(), StartError> {
    sandbox::gain_nothing_by_exec()?;
    match &settings.server.user {
        Some(name) => Ok(User::named(name)?.take_over()?),
        None => Ok(()),
    }
}

/// Looks whether what the settings name can be had, without taking it: for `tidegate check`.
///
/// # Errors
/// [`StartError`], as a start would give it.
pub fn check_places(settings: &Settings) -> Result<(), StartError> {
    settings.server.user.as_deref().map(User::named).transpose()?;
    open_root(&settings.files.root).map(|_| ())
}

/// Looks whether the certificates that the settings name can be served, for `tidegate check`; returns what should be
/// done about them soon.
///
/// # Errors
/// [`StartError`], as a start would give it.
pub fn check_certificates(settings: &Settings) -> Result<Vec<String>, StartError> {
    let tls = load_tls(settings)?;
    Ok(tls.map_or_else(Vec::new, |tls| tls.warnings(SystemTime::now())))
}

/// Opens the folder to serve.
pub(super) fn open_root(root: &Path) -> Result<OwnedFd, StartError> {
    rustix::fs::open(root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| StartError::Root(root.display().to_string(), errno.into()))
}

/// Reads the certificates that `settings` name, or makes one, as the user that the process now is: what that one may
/// not read would fail each reload.
pub(super) fn load_tls(settings: &Settings) -> Result<Option<Arc<Tls>>, StartError> {
    Ok(Tls::load(&settings.tls, &settings.own_names(), None, SystemTime::now())?)
}

/// Keeps the calling thread, and those that it starts, to what `settings` need; adds to their notes what the operator
/// should know.
///
/// # Errors
/// Where another user was asked for, and lacks a right that it will need.
pub(super) fn keep(
    invocation: &Invocation,
    settings: &mut Settings,
    store: &Stored,
) -> Result<Confined, StartError> {
    let config = invocation.config_path(&Environment::current());
    let grants = sandbox::grants(settings, config.as_deref());
    if let Some(user) = settings.server.user.clone() {
        may_write(&user, settings, store, &grants)?;
        let token = settings.admin.token_file.clone();
        let again = config.into_iter().chain(token);
        settings.notes.extend(again.filter_map(|file| unreadable(&user, &file)));
    }
    if !settings.server.sandbox {
        return Ok(Confined::NotAsked);
    }
    let confined = sandbox::confine(&grants);
    if let Confined::Failed(why) = &confined {
        settings.notes.push(format!("no sandbox: {why}"));
    }
    Ok(confined)
}

/// The uploads folder, or a sentence on why it cannot be had.
pub(super) type Stored = Result<Arc<LocalStore>, String>;

/// Opens the uploads folder. Files are served without it too (SPEC UP-3).
pub(super) fn open_store(settings: &Settings) -> Stored {
    let folder = settings.uploads_folder();
    let store = LocalStore::open(&folder, settings.uploads.quota);
    store.map(Arc::new).map_err(|error| format!("{}: {error}", folder.display()))
}

/// Whether `user` can store uploads, where there is a folder for them or one was asked for, and begin a new log after
/// a rotation.
fn may_write(user: &str, settings: &Settings, store: &Stored, grants: &[Grant]) -> Result<(), StartError> {
    let wanted = settings.uploads.dir.is_some() || settings.uploads_folder().exists();
    if let Some(why) = store.as_ref().err().filter(|_| wanted) {
        return Err(StartError::Uploads(user.to_owned(), why.clone()));
    }
    let mut logs = grants.iter().filter(|grant| grant.purpose == Purpose::Append && grant.at.is_dir());
    let lacking = logs.find_map(|log| Some((log, lacks(&log.at, Access::WRITE_OK | Access::EXEC_OK)?)));
    lacking.map_or(Ok(()), |(log, why)| {
        Err(StartError::Logs(user.to_owned(), log.at.display().to_string(), why.into()))
    })
}

/// A note where `user` cannot read `file` again, which a reload must.
fn unreadable(user: &str, file: &Path) -> Option<String> {
    let why = lacks(file, Access::READ_OK)?;
    Some(format!("reloads will be refused: {user} may not read {}: {why}", file.display()))
}

/// Why the process has no such right to `path`.
fn lacks(path: &Path, right: Access) -> Option<Errno> {
    rustix::fs::accessat(CWD, path, right, AtFlags::EACCESS).err()
}
