//! The folders that a running server still needs, read off its settings.
//!
//! A grant names a folder, not a file: it is kept by inode, and a file that is replaced by a rename, as a renewed
//! configuration or a rotated log, is another inode. For the same reason a folder that is itself replaced needs a
//! restart.

use std::path::{Path, PathBuf};

use crate::config::{ListenAddr, Settings};

/// A place, and what may be done with what lies beneath it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// A folder, or a file that is no regular one, like `/dev/null`.
    pub at: PathBuf,
    /// What for.
    pub purpose: Purpose,
}

/// What a place is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The root: files are read, folders are listed.
    Serve,
    /// Configuration, certificates: files are read again.
    Reread,
    /// Uploads: files are made, written, read and removed, and counted.
    Keep,
    /// Logs: files are made and written to.
    Append,
    /// Sockets of ours: files are removed at the end.
    Remove,
}

/// What `settings` and the configuration file need. A place that does not exist is none: it stays out of reach.
pub fn grants(settings: &Settings, config: Option<&Path>) -> Vec<Grant> {
    let log = &settings.log;
    let mut grants = vec![
        Grant { at: settings.files.root.clone(), purpose: Purpose::Serve },
        Grant { at: settings.uploads_folder(), purpose: Purpose::Keep },
    ];
    grants.extend(config.into_iter().flat_map(|file| of_file(file, Purpose::Reread)));
    grants.extend(settings.admin.token_file.iter().flat_map(|file| of_file(file, Purpose::Reread)));
    grants.extend(settings.tls.files().flat_map(|file| of_file(file, Purpose::Reread)));
    grants.extend(settings.server.state.iter().map(|at| Grant { at: at.clone(), purpose: Purpose::Keep }));
    let logs = [&log.file, &log.json_file, &log.audit_file];
    grants.extend(logs.into_iter().flatten().flat_map(|file| of_file(file, Purpose::Append)));
    let listens = settings.server.listen.iter().chain(&settings.admin.listen);
    let sockets = listens.filter_map(|addr| match addr {
        ListenAddr::Unix(path) => Some(path),
        ListenAddr::Tcp(_) => None,
    });
    let sockets = sockets.chain(&settings.server.control);
    grants.extend(sockets.map(|path| Grant { at: folder_of(path), purpose: Purpose::Remove }));
    grants
}

/// What is needed to open `file` again when another one has taken its place.
fn of_file(file: &Path, purpose: Purpose) -> Vec<Grant> {
    let grant = |at| Grant { at, purpose };
    // Where a link leads to: what is opened lies there, and what takes its place will.
    let target = file.canonicalize().ok();
    match (&target, file.metadata()) {
        // Nobody rotates a device, and its folder holds others. (A pipe has no place and needs no grant.)
        (_, Ok(found)) if !found.is_file() => target.into_iter().map(grant).collect(),
        // A link that is bent to another file of its own folder, as is done with mounted configurations.
        (Some(target), _) if purpose == Purpose::Reread => {
            vec![grant(folder_of(file)), grant(folder_of(target))]
        }
        (Some(target), _) => vec![grant(folder_of(target))],
        (None, _) => vec![grant(folder_of(file))],
    }
}

/// The folder of a file; `.` for a bare name.
pub(super) fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn at(grants: &[Grant]) -> Vec<(&Path, Purpose)> {
        grants.iter().map(|grant| (grant.at.as_path(), grant.purpose)).collect()
    }

    #[test]
    fn sec_7_each_setting_that_names_a_place_is_granted_for_one_purpose() {
        let args = [
            "tidegate",
            "-r",
            "/nowhere/root",
            "--uploads",
            "/nowhere/up",
            "--log-file",
            "/nowhere/log/a",
            "--json-log-file",
            "b",
            "--listen",
            "unix:/nowhere/run/s",
        ];
        let command = crate::config::parse(args.map(Into::into).into_iter());
        let Ok(crate::config::Command::Serve(invocation)) = command else { panic!("serve is the default") };
        let settings = invocation.resolve(&crate::config::Environment::default()).unwrap();
        let expected = [
            ("/nowhere/root", Purpose::Serve),
            ("/nowhere/up", Purpose::Keep),
            ("/nowhere/etc", Purpose::Reread),
            ("/nowhere/log", Purpose::Append),
            (".", Purpose::Append),
            ("/nowhere/run", Purpose::Remove),
        ];
        let grants = grants(&settings, Some(Path::new("/nowhere/etc/t.toml")));
        assert_eq!(at(&grants), expected.map(|(path, purpose)| (Path::new(path), purpose)));
    }

    #[test]
    fn sec_7_a_link_is_granted_where_it_leads_and_a_device_alone() {
        let top = std::env::temp_dir().join(format!("tidegate-grants-{}", std::process::id()));
        let top = std::fs::create_dir_all(top.join("archive")).and_then(|()| top.canonicalize()).unwrap();
        std::fs::write(top.join("archive/1"), "").unwrap();
        symlink("archive/1", top.join("live")).unwrap();
        let (live, archive) = (top.join("live"), top.join("archive"));
        let both = [(top.as_path(), Purpose::Reread), (&archive, Purpose::Reread)];
        assert_eq!(at(&of_file(&live, Purpose::Reread)), both);
        assert_eq!(at(&of_file(&live, Purpose::Append)), [(archive.as_path(), Purpose::Append)]);
        let null = Path::new("/dev/null");
        assert_eq!(at(&of_file(null, Purpose::Append)), [(null, Purpose::Append)]);
        std::fs::remove_dir_all(&top).unwrap();
    }
}
