//! Reads blueprints. It refuses to know what they refer to, and keeps passwords apart.

use std::collections::BTreeMap;

use cartridge_protocol::{ApplicationId, Secret};
use serde_json::Value;

use super::dependencies;
use super::read::{NAME, Object, Reader, TEXT};
use crate::blueprint::{Application, Repository, Subscription};

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
const CARTRIDGE: &[&str] = &[
    "type",
    "cartridgeMin",
    "cartridgeMax",
    "subscribableInfo",
    "lvsVirtualIP",
    "uuid",
];
const INFO: &[&str] = &[
    "alias",
    "autoscalingPolicy",
    "deploymentPolicy",
    "artifactRepository",
    "lvsVirtualIP",
    "dependencyAliases",
    "property",
    "persistence",
    "minMembers",
    "maxMembers",
];
const REPOSITORY: &[&str] = &[
    "alias",
    "privateRepo",
    "repoUrl",
    "repoUsername",
    "repoPassword",
    "branch",
    "pollSeconds",
];

const CARTRIDGES: usize = 200;
const MOST_MEMBERS: u32 = 10_000_000;

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
    let groups = reader.list(&components, "groups", usize::MAX);
    if !groups.is_empty() {
        let message = "composite applications (groups of cartridges) are not supported yet; \
                       list the cartridges in components.cartridges";
        reader.fault(&components.path("groups"), components.get("groups"), message);
    }
    let mut passwords = BTreeMap::new();
    let mut found = Vec::new();
    let items = reader.list(&components, "cartridges", CARTRIDGES);
    if items.is_empty() && groups.is_empty() {
        let path = components.path("cartridges");
        reader.fault(
            &path,
            components.get("cartridges"),
            "at least one cartridge is required",
        );
    }
    for (path, item) in items {
        if let Some(entry) = reader.object(&path, item, CARTRIDGE) {
            found.extend(subscription(reader, &entry, &mut passwords));
        }
    }
    reader.unique(
        found.iter().map(|(path, s)| (path.clone(), s.alias.as_str())),
        "alias",
    );
    let cartridges: Vec<Subscription> = found.into_iter().map(|(_, subscription)| subscription).collect();
    let dependencies = if groups.is_empty() {
        let name = application_id.as_ref().map_or("", |id| id.as_str());
        dependencies::read(reader, &components, name, &cartridges)
    } else {
        None
    };
    let application = Application {
        application_id: application_id?,
        alias: alias?.to_string(),
        name,
        description,
        multi_tenant,
        property,
        cartridges,
        dependencies,
    };
    Some((application, passwords))
}

fn subscription(
    reader: &mut Reader,
    entry: &Object<'_>,
    passwords: &mut BTreeMap<String, Secret>,
) -> Option<(String, Subscription)> {
    let cartridge_type = reader.needed(entry, "type", Reader::id);
    let least = reader.needed(entry, "cartridgeMin", |r, o, f| r.whole(o, f, 1, MOST_MEMBERS));
    let most = reader.needed(entry, "cartridgeMax", |r, o, f| r.whole(o, f, 1, MOST_MEMBERS));
    if let (Some(least), Some(most)) = (least, most)
        && least > most
    {
        let message = format!("must not exceed cartridgeMax, which is {most}");
        reader.fault(&entry.path("cartridgeMin"), entry.get("cartridgeMin"), message);
    }
    if entry.get("subscribableInfo").is_none() {
        reader.fault(&entry.path("subscribableInfo"), None, "is required");
    }
    let info = reader.child(entry, "subscribableInfo", INFO)?;
    let alias = reader.needed(&info, "alias", alias);
    let autoscaling_policy = reader.needed(&info, "autoscalingPolicy", Reader::id);
    let deployment_policy = reader.needed(&info, "deploymentPolicy", Reader::id);
    let repository = repository(reader, &info);
    let property = reader.properties(&info, "property");
    let (artifact_repository, password) = match repository {
        Some((repository, password)) => (Some(repository), password),
        None => (None, None),
    };
    if let (Some(alias), Some(password)) = (&alias, password) {
        passwords.insert(alias.clone(), password);
    }
    let subscription = Subscription {
        cartridge_type: cartridge_type?,
        cartridge_min: least?,
        cartridge_max: most?,
        alias: alias?,
        autoscaling_policy: autoscaling_policy?,
        deployment_policy: deployment_policy?,
        artifact_repository,
        property,
    };
    Some((info.path("alias"), subscription))
}

/// `([a-z0-9]+([-][a-z0-9])*)+`, at most a host-name label long.
fn alias(reader: &mut Reader, info: &Object<'_>, field: &str) -> Option<String> {
    let text = reader.text(info, field, TEXT)?;
    let word = |w: &str| !w.is_empty() && w.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9'));
    if text.len() <= 63 && text.split('-').all(word) {
        return Some(text);
    }
    let message = "must be lower-case letters and digits, in words joined by '-', at most 63 characters";
    reader.fault(&info.path(field), info.get(field), message);
    None
}

/// The repository, if a URL names one (empty texts are common), and its password apart.
fn repository(reader: &mut Reader, info: &Object<'_>) -> Option<(Repository, Option<Secret>)> {
    let object = reader.child(info, "artifactRepository", REPOSITORY)?;
    let url = reader
        .text(&object, "repoUrl", 2048)
        .filter(|url| !url.is_empty());
    let user = reader
        .text(&object, "repoUsername", NAME)
        .filter(|user| !user.is_empty());
    let password = reader
        .text(&object, "repoPassword", TEXT)
        .filter(|password| !password.is_empty());
    reader.flag(&object, "privateRepo");
    let branch = reader
        .text(&object, "branch", NAME)
        .filter(|branch| !branch.is_empty());
    let branch = branch.unwrap_or_else(|| "main".to_owned());
    if !is_branch(&branch) {
        let message =
            "is no branch name: letters, digits, '.', '_', '-' and '/', not beginning with '-' or '/'";
        reader.fault(&object.path("branch"), object.get("branch"), message);
    }
    let poll = reader.whole(&object, "pollSeconds", 1, 86_400).unwrap_or(15);
    let Some(repo_url) = url else {
        if user.is_some() || password.is_some() {
            reader.fault(
                &object.path("repoUrl"),
                None,
                "is required where a user name or password is given",
            );
        }
        return None;
    };
    check_url(reader, &object, &repo_url);
    if password.is_some() && user.is_none() {
        reader.fault(
            &object.path("repoUsername"),
            None,
            "is required where repoPassword is given",
        );
    }
    let repository = Repository {
        repo_url,
        branch,
        repo_username: user,
        repo_password: None,
        poll_seconds: u64::from(poll),
    };
    Some((repository, password.map(Secret::new)))
}

/// A URL that can be fetched, without a password in it: it is shown in answers and kept in the journal.
fn check_url(reader: &mut Reader, object: &Object<'_>, url: &str) {
    let path = object.path("repoUrl");
    let Some((scheme, rest)) = url.split_once("://") else {
        let value = Value::String(url.rsplit('@').next().unwrap_or_default().to_owned());
        reader.fault(
            &path,
            Some(&value),
            "must begin with https://, http:// or file://",
        );
        return;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        let message = "must not hold a user name or password; use repoUsername and repoPassword";
        reader.fault(&path, Some(&Value::String("(hidden)".to_owned())), message);
        return;
    }
    let value = Value::String(url.to_owned());
    let known = matches!(scheme, "https" | "http" | "file");
    if !known {
        reader.fault(
            &path,
            Some(&value),
            "must begin with https://, http:// or file://",
        );
    } else if authority.is_empty() && scheme != "file" {
        reader.fault(&path, Some(&value), "names no host");
    } else if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        reader.fault(&path, Some(&value), "must not hold blanks or control characters");
    }
}

/// What Git accepts as a branch and no shell or option parser could take for anything else.
fn is_branch(name: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '+' | '#');
    name.chars().all(fine)
        && !name.starts_with(['-', '/', '.'])
        && !name.ends_with(['/', '.'])
        && !name.ends_with(".lock")
        && !name.contains("..")
        && !name.contains("//")
        && !name.contains("/.")
}
