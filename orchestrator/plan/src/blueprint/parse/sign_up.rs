//! Reads what a tenant signs up with. It refuses to know for which application, and keeps passwords apart.

use std::collections::BTreeMap;

use cartridge_protocol::Secret;

use super::read::{Object, Reader};
use super::subscription::{self, REPOSITORY};
use crate::blueprint::{MAX_CARTRIDGES, Repository};

pub(super) const FIELDS: &[&str] = &["artifactRepositories"];

/// Repositories and passwords, by the alias of the cartridge.
pub(super) type Read = (BTreeMap<String, Repository>, BTreeMap<String, Secret>);

pub(super) fn read(reader: &mut Reader, object: &Object<'_>) -> Option<Read> {
    let (mut repositories, mut passwords) = (BTreeMap::new(), BTreeMap::new());
    let mut aliases = Vec::new();
    for (path, item) in reader.list(object, "artifactRepositories", MAX_CARTRIDGES) {
        let Some(entry) = reader.object(&path, item, REPOSITORY) else {
            continue;
        };
        let alias = reader.needed(&entry, "alias", subscription::alias);
        let described = subscription::described(reader, &entry);
        let Some(alias) = alias else { continue };
        if let Some((repository, password)) = described {
            repositories.insert(alias.clone(), repository);
            passwords.extend(password.map(|password| (alias.clone(), password)));
        }
        aliases.push((entry.path("alias"), alias));
    }
    let named = aliases.iter().map(|(path, alias)| (path.clone(), alias.as_str()));
    reader.unique(named, "alias");
    Some((repositories, passwords))
}
