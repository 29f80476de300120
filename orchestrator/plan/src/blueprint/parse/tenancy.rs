//! Reads what people say of tenants. It refuses to know which there are, and keeps passwords apart.

use cartridge_protocol::{Secret, TenantDomain};

use super::read::{NAME, Object, Reader};
use crate::tenancy::TenantDocument;

pub(super) const TENANT: &[&str] = &[
    "tenantDomain",
    "admin",
    "adminPassword",
    "firstName",
    "firstname",
    "lastName",
    "lastname",
    "email",
    "active",
    // Given out by Stratos and ignored when they come back.
    "tenantId",
    "createdDate",
    "usagePlan",
    "originatedService",
    "successKey",
];

/// Length of names of users, in bytes.
pub const USER_NAME: std::ops::RangeInclusive<usize> = 3..=64;
/// Length of passwords, in characters.
pub const PASSWORD: std::ops::RangeInclusive<usize> = 6..=256;

pub(super) fn tenant(reader: &mut Reader, object: &Object<'_>) -> Option<(TenantDocument, Option<Secret>)> {
    let domain = reader.needed(object, "tenantDomain", domain);
    let admin = text(reader, object, &["admin"]);
    if let Some(name) = &admin
        && !is_user_name(name)
    {
        let message = "must be 3 to 64 letters, digits, '.', '_', '-' or '@'";
        reader.fault(&object.path("admin"), object.get("admin"), message);
    }
    let password = password(reader, object);
    let document = TenantDocument {
        domain: domain?,
        admin,
        first_name: text(reader, object, &["firstName", "firstname"]),
        last_name: text(reader, object, &["lastName", "lastname"]),
        email: text(reader, object, &["email"]),
        active: object.get("active").map(|_| reader.flag(object, "active")),
    };
    Some((document, password))
}

/// As it is: blanks belong to it.
fn password(reader: &mut Reader, object: &Object<'_>) -> Option<Secret> {
    let value = object.get("adminPassword")?;
    let text = value
        .as_str()
        .filter(|text| PASSWORD.contains(&text.chars().count()));
    if text.is_none() {
        let message = "must be a text of 6 to 256 characters";
        reader.fault(&object.path("adminPassword"), Some(value), message);
    }
    text.map(Secret::new)
}

/// Whether a user may be called so.
pub fn is_user_name(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
    USER_NAME.contains(&name.len()) && name.chars().all(fine)
}

/// Domains are the same in any case.
fn domain(reader: &mut Reader, object: &Object<'_>, field: &str) -> Option<TenantDomain> {
    let text = reader.text(object, field, NAME)?.to_ascii_lowercase();
    match TenantDomain::new(text) {
        Ok(domain) => Some(domain),
        Err(reason) => {
            reader.fault(&object.path(field), object.get(field), reason.to_string());
            None
        }
    }
}

/// The first of these fields that says something.
fn text(reader: &mut Reader, object: &Object<'_>, fields: &[&str]) -> Option<String> {
    let mut found = fields.iter().filter_map(|field| reader.text(object, field, NAME));
    found.find(|text| !text.is_empty())
}
