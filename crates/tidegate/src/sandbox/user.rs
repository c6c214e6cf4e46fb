//! Becoming another user, with no way back (`--user`).
//!
//! Users are looked up in `/etc/passwd` and `/etc/group` alone: a resolver of names (nsswitch.conf(5)) would run
//! foreign code with the rights that are to be given up.

use std::io;

use rustix::io::Errno;
use rustix::process::{Gid, Uid, getgid, getgroups, getuid};
use rustix::thread::{self, CapabilitySet, CapabilitySets};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// An account of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: String,
    uid: Uid,
    gid: Gid,
    /// All of its groups, the first one among them.
    groups: Vec<Gid>,
}

/// Why the process did not become that user; a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// No such account.
    #[error("user {0}: no such name or number in /etc/passwd")]
    Unknown(String),
    /// The accounts cannot be read.
    #[error("user {0}: {1}: {2}")]
    Unreadable(String, &'static str, io::Error),
    /// Only root becomes another.
    #[error("user {0}: only root can become another user; start as root, or as {0} without --user")]
    NotRoot(String),
    /// The system refuses a step.
    #[error("user {0}: {1}: {2}")]
    Refused(String, &'static str, io::Error),
    /// Rights were given up, and are still there.
    #[error("user {0}: {1} after giving up all rights; the server does not run like that")]
    NotGivenUp(String, &'static str),
}

impl User {
    /// The account with this name, or this number.
    ///
    /// # Errors
    /// [`UserError::Unknown`], or [`UserError::Unreadable`].
    pub fn named(name: &str) -> Result<Self, UserError> {
        let read = |file| {
            std::fs::read_to_string(file).map_err(|error| UserError::Unreadable(name.into(), file, error))
        };
        let account = find(&read(PASSWD)?, name).ok_or_else(|| UserError::Unknown(name.into()))?;
        let groups = groups_of(&read(GROUP)?, &account);
        Ok(Self { groups, ..account })
    }

    /// Makes the calling thread, and those that it starts from now on, this user's, without any capability. Who is
    /// this user already only loses its capabilities.
    ///
    /// # Errors
    /// [`UserError`]; the process must end then, for some rights may be gone and others not.
    pub fn take_over(&self) -> Result<(), UserError> {
        drop_bounding_set().map_err(|errno| self.refused("capabilities", errno))?;
        if getuid() != self.uid {
            self.switch()?;
        }
        // The kernel does this for root who becomes another, and for nobody else (capabilities(7)).
        thread::set_capabilities(None, NO_CAPABILITIES)
            .map_err(|errno| self.refused("capabilities", errno))?;
        match thread::clear_ambient_capability_set() {
            // Linux before 4.3 has no such set.
            Ok(()) | Err(Errno::INVAL) => {}
            Err(errno) => return Err(self.refused("capabilities", errno)),
        }
        self.verify()
    }

    fn switch(&self) -> Result<(), UserError> {
        thread::set_thread_groups(&self.groups).map_err(|errno| self.refused("groups", errno))?;
        thread::set_thread_res_gid(self.gid, self.gid, self.gid)
            .map_err(|errno| self.refused("group", errno))?;
        thread::set_thread_res_uid(self.uid, self.uid, self.uid)
            .map_err(|errno| self.refused("user", errno))?;
        let groups = getgroups().map_err(|errno| self.refused("groups", errno))?;
        if getuid() != self.uid || getgid() != self.gid || groups.iter().any(|at| !self.groups.contains(at)) {
            return Err(UserError::NotGivenUp(self.name.clone(), "it is another user or group"));
        }
        Ok(())
    }

    fn refused(&self, step: &'static str, errno: Errno) -> UserError {
        match errno {
            Errno::PERM => UserError::NotRoot(self.name.clone()),
            _ => UserError::Refused(self.name.clone(), step, errno.into()),
        }
    }

    /// Trusts no call's word: looks for what is left, and tries to go back.
    fn verify(&self) -> Result<(), UserError> {
        let still = |what| Err(UserError::NotGivenUp(self.name.clone(), what));
        if thread::capabilities(None) != Ok(NO_CAPABILITIES) {
            return still("there are capabilities");
        }
        let root = Uid::ROOT;
        if !self.uid.is_root() && thread::set_thread_res_uid(root, root, root).is_ok() {
            return still("it can become root again");
        }
        Ok(())
    }
}

const NO_CAPABILITIES: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};

/// Empties the set of what a program could ever gain by being executed. Without the right to do so there is no need:
/// who gains nothing by that (`no_new_privs`) does not gain what is in it.
fn drop_bounding_set() -> rustix::io::Result<()> {
    for number in 0..u64::BITS {
        match thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            // Beyond the last one that this kernel knows; or no right to.
            Err(Errno::INVAL | Errno::PERM) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// The account with this name or number, of passwd(5): `name:password:uid:gid:comment:home:shell`.
fn find(passwd: &str, wanted: &str) -> Option<User> {
    let accounts = || {
        passwd.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let (name, _, uid, gid) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            Some(User {
                name: name.into(),
                uid: Uid::from_raw(id(uid)?),
                gid: Gid::from_raw(id(gid)?),
                groups: vec![],
            })
        })
    };
    let number = id(wanted).map(Uid::from_raw);
    accounts().find(|user| user.name == wanted).or_else(|| accounts().find(|user| Some(user.uid) == number))
}

/// All groups of `user`, of group(5): `name:password:gid:user,user`.
fn groups_of(group: &str, user: &User) -> Vec<Gid> {
    let further = group.lines().filter_map(|line| {
        let mut fields = line.split(':').skip(2);
        let (gid, members) = (fields.next()?, fields.next()?);
        members.split(',').any(|member| member == user.name).then_some(())?;
        id(gid).map(Gid::from_raw).filter(|gid| *gid != user.gid)
    });
    std::iter::once(user.gid).chain(further).collect()
}

/// A user's or group's number. The largest one means "as it is" to the kernel and is nobody's.
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNTS: &str = "root:x:0:0:root:/root:/bin/sh\n\
        # a remark\nbroken:x\nlast:x:4294967295:1::/:\n\
        www:x:33:34:www:/var/www:/usr/sbin/nologin\n\
        33:x:70:71::/:/bin/false\n";

    #[test]
    fn run_2_a_user_is_found_by_name_then_by_number() {
        let found = |name: &str| find(ACCOUNTS, name).map(|user| (user.uid.as_raw(), user.gid.as_raw()));
        assert_eq!(found("www"), Some((33, 34)));
        assert_eq!(found("33"), Some((70, 71)), "a name may look like a number");
        assert_eq!(found("70"), Some((70, 71)));
        assert_eq!(found("0"), Some((0, 0)));
        for name in ["", "broken", "last", "4294967295", "-1", "ww", "x", "34"] {
            assert_eq!(found(name), None, "{name}");
        }
    }

    #[test]
    fn run_2_a_user_has_its_own_group_and_those_that_name_it() {
        let user = find(ACCOUNTS, "www").unwrap();
        let group =
            "root:x:0:\nadm:x:4:syslog,www\nssl:x:90:www\nwww:x:34:www\nwwwdata:x:35:xwww,www2\nbad:x\n";
        assert_eq!(groups_of(group, &user), [34, 4, 90].map(Gid::from_raw));
        assert_eq!(groups_of("", &user), [Gid::from_raw(34)]);
    }
}
