//! Where the files of a repository appear, and what is done about what lies there already.
//!
//! A place becomes one link to the current release where that can be. Where it cannot, because the folder holds
//! other things too or is a mount point, it becomes a folder of links, one for each name in the release. Either way
//! the links lead through the shelf's own link, so all of them change in one instant. Refuses to know disks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cartridge_protocol::tenant::TenantId;

/// A name in a folder.
pub type Name = Vec<u8>;

/// What is done about content that is there before the first release.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the release's names appear beside it; what has the same name is set aside.
    #[default]
    Beside,
    /// All of it is set aside: the folder gets another name.
    Backup,
    /// Nothing is touched, and a person has to decide.
    Refuse,
}

impl Existing {
    /// Reads `beside`, `backup` or `refuse`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "beside" => Ok(Self::Beside),
            "backup" => Ok(Self::Backup),
            "refuse" => Ok(Self::Refuse),
            _ => Err("none of the three".to_owned()),
        }
    }
}

/// What a name in the place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// A link of ours.
    Ours,
    /// Something else.
    Others,
}

/// What lies at the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// The link to the current release.
    Ours,
    /// A link to somewhere else.
    Link(PathBuf),
    /// A file, a socket or the like.
    File,
    /// A folder with these names.
    Folder(BTreeMap<Name, Whose>),
}

/// What is known about a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    /// What lies there.
    pub found: Found,
    /// It can be removed, renamed or made: its parent may be written to, and it is no mount point.
    pub replaceable: bool,
    /// Names under which something was set aside before; None: there is no folder for them.
    pub aside: Option<BTreeSet<Name>>,
}

/// What has to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// It is a link, and stands.
    Stands,
    /// Make it a link.
    Link {
        /// An empty folder is to be removed first.
        empty: bool,
        /// The folder is to be renamed first.
        aside: bool,
    },
    /// It is, or becomes, a folder of links.
    Folder {
        /// Others' names to be set aside first.
        aside: Vec<Name>,
        /// Names to be linked before the release becomes current.
        add: Vec<Name>,
        /// Our links to be removed once it is current.
        drop: Vec<Name>,
    },
}

impl Layout {
    /// Whether nothing has to be done.
    pub fn stands(&self) -> bool {
        match self {
            Self::Stands => true,
            Self::Link { .. } => false,
            Self::Folder { aside, add, drop } => aside.is_empty() && add.is_empty() && drop.is_empty(),
        }
    }
}

/// What has to be done so that `wanted`, the names of a release, appear; or why nobody but a person can decide.
pub fn decide(ground: &Ground, existing: Existing, wanted: &BTreeSet<Name>) -> Result<Layout, String> {
    let link = |empty, aside| Ok(Layout::Link { empty, aside });
    match &ground.found {
        Found::Ours => Ok(Layout::Stands),
        Found::Nothing if ground.replaceable => link(false, false),
        Found::Nothing => Err("is not there and cannot be made: its folder may not be written to".to_owned()),
        Found::Link(target) => Err(format!(
            "is a link to {}, which is not this agent's: give each member a path of its own, or remove the link",
            target.display()
        )),
        Found::File => Err("is not a folder: remove it, or give another path".to_owned()),
        Found::Folder(names) if names.is_empty() && ground.replaceable => link(true, false),
        Found::Folder(names) => {
            let begun = names.is_empty() || names.values().any(|whose| *whose == Whose::Ours);
            match existing {
                _ if begun => beside(names, ground, wanted),
                Existing::Beside => beside(names, ground, wanted),
                Existing::Refuse => Err(
                    "holds files already: empty it, or choose beside or backup for --existing-files".to_owned(),
                ),
                Existing::Backup if ground.aside.is_some() => Err(
                    "holds files, and so does the backup of an earlier time beside it: remove one of them".to_owned(),
                ),
                Existing::Backup if ground.replaceable => link(false, true),
                Existing::Backup => Err(
                    "holds files and cannot be renamed (a mount point, or its folder may not be written to): choose \
                     beside for --existing-files"
                        .to_owned(),
                ),
            }
        }
    }
}

fn beside(names: &BTreeMap<Name, Whose>, ground: &Ground, wanted: &BTreeSet<Name>) -> Result<Layout, String> {
    let aside: Vec<Name> = wanted
        .iter()
        .filter(|name| names.get(*name) == Some(&Whose::Others))
        .cloned()
        .collect();
    let taken = |name: &&Name| ground.aside.as_ref().is_some_and(|names| names.contains(*name));
    if let Some(name) = aside.iter().find(taken) {
        return Err(format!(
            "holds {:?}, which is in the release too, and so does the backup of an earlier time beside it: remove one \
             of them",
            String::from_utf8_lossy(name)
        ));
    }
    let is_ours = |name: &&Name| names.get(*name) == Some(&Whose::Ours);
    Ok(Layout::Folder {
        add: wanted.iter().filter(|name| !is_ours(name)).cloned().collect(),
        drop: names
            .keys()
            .filter(|name| is_ours(name) && !wanted.contains(*name))
            .cloned()
            .collect(),
        aside,
    })
}

/// Where something at `place` is set aside.
pub fn backup_of(place: &Path) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push("_backup");
    name.into()
}

/// The folders of tenants below the application's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantPaths {
    /// Of the super tenant.
    pub super_tenant: PathBuf,
    /// Of all others: their number follows.
    pub tenants: PathBuf,
}

impl TenantPaths {
    /// Where the files of a tenant appear.
    pub fn place(&self, application: &Path, tenant: TenantId) -> PathBuf {
        let below = if tenant.is_super() {
            self.super_tenant.clone()
        } else {
            self.tenants.join(tenant.to_string())
        };
        let below: PathBuf = below
            .components()
            .filter(|part| matches!(part, std::path::Component::Normal(_)))
            .collect();
        application.join(below)
    }
}

#[cfg(test)]
mod tests;
