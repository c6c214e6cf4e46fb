//! Landlock: the kernel refuses what is not granted, whatever code asks for it (landlock(7)).
//!
//! Everything that the newest known ABI can refuse is refused: files and folders beyond the grants, every program, new
//! TCP sockets, signals to others and their abstract sockets. An older kernel refuses less.

use std::fmt;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use super::grants::{Grant, Purpose};

/// What it can refuse beyond ABI 7, connecting to a unix socket by its path, is nothing that a running server does.
const NEWEST: ABI = ABI::V9;

/// How the process is confined: what the start-up block says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confined {
    /// By this ABI of Landlock.
    ByLandlock(u32),
    /// Not at all: `--no-sandbox`.
    NotAsked,
    /// Not at all: the kernel cannot.
    NoLandlock,
    /// Not at all: the kernel did not.
    Failed(String),
}

impl fmt::Display for Confined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByLandlock(abi) => write!(f, "landlock ABI {abi}"),
            Self::NotAsked => f.write_str("off: --no-sandbox"),
            Self::NoLandlock => f.write_str("off: the kernel has no Landlock"),
            Self::Failed(why) => write!(f, "off: {why}"),
        }
    }
}

/// Confines the calling thread, and those that it starts from now on, to `grants`.
pub fn confine(grants: &[Grant]) -> Confined {
    match restrict(grants) {
        Ok(confined) => confined,
        Err(error) => Confined::Failed(error.to_string()),
    }
}

fn restrict(grants: &[Grant]) -> Result<Confined, RulesetError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for grant in grants {
        // What is not there, like an uploads folder that could not be made, stays out of reach.
        let Ok(place) = PathFd::new(&grant.at) else { continue };
        let rights = match grant.at.is_dir() {
            true => rights(grant.purpose),
            false => rights(grant.purpose) & AccessFs::from_file(NEWEST),
        };
        rules = rules.add_rule(PathBeneath::new(place, rights))?;
    }
    let status = rules.restrict_self()?;
    Ok(match status.landlock {
        LandlockStatus::Available { effective_abi, .. } if status.ruleset != RulesetStatus::NotEnforced => {
            Confined::ByLandlock(effective_abi as u32)
        }
        _ => Confined::NoLandlock,
    })
}

/// The least that each purpose needs.
fn rights(purpose: Purpose) -> BitFlags<AccessFs> {
    match purpose {
        Purpose::Serve => AccessFs::ReadFile | AccessFs::ReadDir,
        Purpose::Reread => AccessFs::ReadFile.into(),
        Purpose::Keep => {
            AccessFs::ReadFile
                | AccessFs::ReadDir
                | AccessFs::WriteFile
                | AccessFs::MakeReg
                | AccessFs::RemoveFile
        }
        Purpose::Append => AccessFs::WriteFile | AccessFs::MakeReg,
        Purpose::Remove => AccessFs::RemoveFile.into(),
    }
}
