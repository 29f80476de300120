//! Reads blueprints. It refuses to know what they refer to, and keeps passwords apart.

use std::collections::BTreeMap;

use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{ApplicationId, Secret};

use super::dependencies::{self, Level};
use super::groups::{self, Found};
use super::read::{NAME, Object, Reader, TEXT};
use crate::blueprint::Application;

pub(super) const FIELDS: &[&str] = &[
    "applicationId",
    "alias",
    "multiTenant",
    "name",
    "description",
    "property",
    "components",
    // Given out by Stratos and ignored when they come back.
    "status",
    "signUpsExist",
    "uuid",
    "tenantId",
    "tenantDomain",
    "tenantAdminUsername",
    "applicationPolicyId",
    "applicationPolicy",
    "revision",
];
const COMPONENTS: &[&str] = &["cartridges", "groups", "dependencies"];

pub(super) fn read(
    reader: &mut Reader,
    object: &Object<'_>,
) -> Option<(Application, BTreeMap<String, Secret>)> {
    let application_id = reader.needed(object, "applicationId", Reader::id::<ApplicationId>);
    let alias = reader.needed(object, "alias", |r, o, f| r.id::<ApplicationId>(o, f));
    let multi_tenant = reader.flag(object, "multiTenant");
    let name = reader.text(object, "name", NAME).unwrap_or_default();
    let description = reader.text(object, "description", TEXT).unwrap_or_default();
    let property = reader.properties(object, "property");
    if object.get("components").is_none() {
        reader.fault(&object.path("components"), None, "is required");
    }
    let components = reader.child(object, "components", COMPONENTS)?;
    let mut found = Found::default();
    let (cartridges, groups) = groups::members(reader, &components, None, 0, &mut found);
    if found.cartridges == 0 && reader.list(&components, "groups", usize::MAX).is_empty() {
        let path = components.path("cartridges");
        reader.fault(
            &path,
            components.get("cartridges"),
            "at least one cartridge is required",
        );
    }
    found.aliases_are_unique(reader);
    let id = application_id.as_ref().map_or("", |id| id.as_str());
    let known = groups::components(&cartridges, &groups);
    let level = Level {
        kind: "application",
        name: id,
        known: Some(&known),
    };
    let dependencies = dependencies::read(reader, &components, &level);
    let application = Application {
        application_id: application_id?,
        tenant: TenantId::SUPER,
        alias: alias?.to_string(),
        name,
        description,
        multi_tenant,
        property,
        cartridges,
        groups,
        dependencies,
    };
    Some((application, found.passwords))
}
