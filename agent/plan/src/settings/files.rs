//! How the member's files are kept and where they appear.
//!
//! Refuses to know releases and disks.

use std::path::{Path, PathBuf};

use cartridge_protocol::launch::key;
use cartridge_protocol::tenant::TenantId;

use super::options::SIGNATURES;
use super::resolve::Reader;
use super::values::{absolute, boolean};
use crate::layout::{Existing, TenantPaths};
use crate::release::ReleaseFiles;

/// Whether releases share files.
pub const RELEASE_FILES: &str = "CARTRIDGE_RELEASE_FILES";
/// What is done about files that are there before the first release.
pub const EXISTING_FILES: &str = "CARTRIDGE_EXISTING_FILES";
/// Where the files of the super tenant appear.
pub const SUPER_TENANT_PATH: &str = "CARTRIDGE_SUPER_TENANT_PATH";
/// Where the files of other tenants appear.
pub const TENANT_PATH: &str = "CARTRIDGE_TENANT_PATH";

/// Whether local changes go back to the branch.
pub const PUSH_BACK: &str = "CARTRIDGE_PUSH_BACK";

/// Where Stratos has them.
const SUPER_TENANT: &str = "repository/deployment/server";

/// What the operator decided about files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSettings {
    /// What the files of a release are to the application and to other releases.
    pub kind: ReleaseFiles,
    /// The application's path, where one is named.
    pub application: Option<PathBuf>,
    /// What is done about files that are there before the first release.
    pub existing: Existing,
    /// What the application changes goes back to the branch.
    pub push_back: bool,
    /// Several tenants have repositories of their own.
    pub multi_tenant: bool,
    /// Whose the member's own repository is.
    pub tenant: TenantId,
    /// Where the files of tenants appear, below the application's path.
    pub tenants: TenantPaths,
}

impl FileSettings {
    /// Where the files of the member's own repository appear, where a path is named.
    pub fn place(&self) -> Option<PathBuf> {
        let application = self.application.as_deref()?;
        Some(if self.multi_tenant {
            self.tenants.place(application, self.tenant)
        } else {
            application.to_path_buf()
        })
    }

    /// The application's path that hooks are told; `current` is the shelf's link.
    pub fn told(&self, current: &Path) -> PathBuf {
        self.application.clone().unwrap_or_else(|| current.to_path_buf())
    }
}

impl Reader<'_> {
    pub(super) fn files(&mut self) -> Option<FileSettings> {
        let kind = self.get(RELEASE_FILES, ReleaseFiles::parse);
        let application = self.get(key::APPLICATION_PATH, application);
        let existing = self.get(EXISTING_FILES, Existing::parse);
        let signed = self.get(SIGNATURES, |v| Ok(v != "none")) == Some(true);
        let push_back = self.get(PUSH_BACK, |v| match boolean(v)? {
            true if signed => {
                Err("the agent's own commits are not signed, and --signatures wants them to be".to_owned())
            }
            other => Ok(other),
        });
        let multi_tenant = self.get(key::MULTITENANT, boolean);
        let tenant = self.get(key::TENANT_ID, tenant);
        let super_tenant = self
            .get(SUPER_TENANT_PATH, below)
            .unwrap_or_else(|| SUPER_TENANT.into());
        let tenants = self.get(TENANT_PATH, |v| apart(below(v)?, &super_tenant));
        Some(FileSettings {
            kind: kind.map(|kind| {
                if push_back == Some(true) {
                    ReleaseFiles::Writable
                } else {
                    kind
                }
            })?,
            push_back: push_back?,
            application,
            existing: existing?,
            multi_tenant: multi_tenant?,
            tenant: tenant?,
            tenants: TenantPaths {
                super_tenant,
                tenants: tenants?,
            },
        })
    }
}

/// A folder that can be replaced by a link: not the root.
fn application(text: &str) -> Result<PathBuf, String> {
    let path = absolute(text)?;
    if path
        .components()
        .any(|part| part == std::path::Component::ParentDir)
    {
        return Err("a path with ..".to_owned());
    }
    // Without a slash at the end: a link is made of that name.
    let path: PathBuf = path.components().collect();
    match path.file_name() {
        Some(_) => Ok(path),
        None => Err("the root of the machine".to_owned()),
    }
}

fn tenant(text: &str) -> Result<TenantId, String> {
    let number = text.parse().map_err(|_| "not a number".to_owned())?;
    TenantId::new(number).map_err(|e| e.to_string())
}

/// A path below the application's, whatever slashes it begins and ends with.
fn below(text: &str) -> Result<PathBuf, String> {
    let trimmed = text.trim_matches('/');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let wrong = |name: &str| matches!(name, "" | "." | "..") || !name.chars().all(is_plain);
    if trimmed.split('/').any(wrong) {
        return Err("not names of letters, digits, '.', '_' and '-', parted by slashes".to_owned());
    }
    Ok(trimmed.into())
}

/// One tenant's files must not appear among another's.
fn apart(tenants: PathBuf, super_tenant: &Path) -> Result<PathBuf, String> {
    if tenants.starts_with(super_tenant) || super_tenant.starts_with(&tenants) {
        return Err("in the super tenant's folder, or around it".to_owned());
    }
    Ok(tenants)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_below_the_application_stay_below() {
        assert_eq!(
            below("/repository/deployment/server/"),
            Ok("repository/deployment/server".into())
        );
        for bad in ["", "/", "a/../b", "..", "a//b", ".", "a b"] {
            assert!(below(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_tenants_files_appear_among_anothers() {
        let apart = |text: &str| apart(text.into(), Path::new("repository/deployment/server"));
        assert!(apart("repository/tenants").is_ok() && apart("repository/deployment/server2").is_ok());
        for bad in [
            "repository",
            "repository/deployment/server",
            "repository/deployment/server/x",
        ] {
            assert!(apart(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_applications_path_is_a_folder_with_a_name() {
        assert_eq!(application("/var/www/"), Ok("/var/www".into()));
        for bad in ["/", "var/www", "/var/../etc", "//"] {
            assert!(application(bad).is_err(), "{bad}");
        }
    }
}
