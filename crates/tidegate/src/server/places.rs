//! What a server opens at start, with which rights, and what it may open later (SPEC SEC-7).
//!
//! The order matters. Before the other user come the listeners, for ports below 1024. After it come root, store,
//! certificates and logs: what this user may not open is then seen at start, not at the first rotation or renewal. After the store comes the
//! sandbox, and only then the first thread: none of this reaches a thread that is there already.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::StartError;
use crate::config::{Environment, Invocation, Settings};
use crate::net::Tls;
use crate::sandbox::{self, Confined, Grant, Purpose, User, UserError};
use crate::store::LocalStore;

/// Becomes the user that `settings` name, if they do, and gains nothing by exec from now on.
pub(super) fn give_up(settings: &Settings) -> Result<(), StartError> {
    sandbox::gain_nothing_by_exec()?;
    match &settings.server.user {
        Some(name) => Ok(User::named(name)?.take_over()?),
        None => Ok(()),
    }
}

/// What `tidegate check` finds.
#[derive(Debug)]
pub struct Checked {
    /// What is wrong with a place, which may be otherwise where the server runs, and what should be done soon; a
    /// sentence each.
    pub warnings: Vec<String>,
    /// Why the certificates cannot be served: they are part of the configuration.
    pub refusal: Option<StartError>,
}

/// Looks whether what `settings` name can be had, without taking it. As a start does, it becomes the user that they name
/// and asks the kernel what that one may: the process must have nothing to do after this that needs more.
pub fn check(invocation: &Invocation, settings: &Settings) -> Checked {
    let mut warnings = Vec::new();
    match settings.server.user.as_deref().map(look_as).transpose() {
        Ok(Some(user)) => warnings.extend(forbidden(user, invocation, settings)),
        Ok(None) => {}
        Err(why) => warnings.push(why),
    }
    warnings.extend(open_root(&settings.files.root).err().map(|error| error.to_string()));
    match load_tls(settings) {
        Ok(tls) => {
            let tls = tls.as_deref();
            warnings.extend(tls.map_or_else(Vec::new, Tls::exposed_keys));
            warnings.extend(tls.map_or_else(Vec::new, |tls| tls.warnings(SystemTime::now())));
            Checked { warnings, refusal: None }
        }
        Err(error) => Checked { warnings, refusal: Some(error) },
    }
}

/// Becomes the user called `name`, and returns it; else a sentence.
fn look_as(name: &str) -> Result<&str, String> {
    let became = User::named(name).and_then(|user| user.take_over());
    became.map(|()| name).map_err(|why| match why {
        UserError::NotRoot(_) => {
            format!("files were judged as the user who runs this check; only root can look at them as {name}")
        }
        why => why.to_string(),
    })
}

/// A sentence for each right that `user`, which this process is, lacks: to read again what a reload does, and to write
/// where there is a folder for it.
fn forbidden(user: &str, invocation: &Invocation, settings: &Settings) -> Vec<String> {
    let config = invocation.config_path(&Environment::current());
    let grants = sandbox::grants(settings, config.as_deref());
    let mut found: Vec<_> = unreadable(user, settings, config).collect();
    let written = |grant: &Grant| matches!(grant.purpose, Purpose::Keep | Purpose::Append);
    for Grant { at, .. } in grants.into_iter().filter(written) {
        // A device, as /dev/null for a log, is not searched.
        let is_device = at.metadata().is_ok_and(|meta| !meta.is_dir());
        let search = if is_device { Access::empty() } else { Access::EXEC_OK };
        match lacks(&at, Access::WRITE_OK | search) {
            None | Some(Errno::NOENT) => {}
            Some(why) => found.push(format!("{user} may not write in {}: {why}", at.display())),
        }
    }
    found.dedup();
    found
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
        let unreadable: Vec<_> = unreadable(&user, settings, config).collect();
        settings.notes.extend(unreadable);
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

/// A note for each file that `user` cannot read again, as a reload must. (Certificates are read by that user at the
/// start already.)
fn unreadable(user: &str, settings: &Settings, config: Option<PathBuf>) -> impl Iterator<Item = String> {
    config.into_iter().chain(settings.admin.token_file.clone()).filter_map(move |file| {
        let why = lacks(&file, Access::READ_OK)?;
        Some(format!("reloads will be refused: {user} may not read {}: {why}", file.display()))
    })
}

/// Why the process has no such right to `path`.
fn lacks(path: &Path, right: Access) -> Option<Errno> {
    rustix::fs::accessat(CWD, path, right, AtFlags::EACCESS).err()
}
