//! Reads which domains are to lead where. It refuses to know into which application, and whose they are.

use super::read::{Object, Reader};
use super::subscription;
use crate::tenancy::{MAX_DOMAINS_OF_TENANT, MappedDomain};

pub(super) const FIELDS: &[&str] = &["domainMappings"];
const MAPPING: &[&str] = &["cartridgeAlias", "domainName", "contextPath"];

pub(super) fn read(reader: &mut Reader, object: &Object<'_>) -> Option<Vec<MappedDomain>> {
    let mut all = Vec::new();
    let mut names = Vec::new();
    for (path, item) in reader.list(object, FIELDS[0], MAX_DOMAINS_OF_TENANT) {
        let Some(entry) = reader.object(&path, item, MAPPING) else {
            continue;
        };
        let alias = reader.needed(&entry, "cartridgeAlias", subscription::alias);
        let domain = reader.needed(&entry, "domainName", Reader::domain_name);
        let path = reader.context_path(&entry, "contextPath");
        let (Some(alias), Some(domain)) = (alias, domain) else {
            continue;
        };
        names.push((entry.path("domainName"), domain.clone()));
        all.push(MappedDomain { domain, alias, path });
    }
    let named = names.iter().map(|(path, name)| (path.clone(), name.as_str()));
    reader.unique(named, "domainName");
    Some(all)
}
