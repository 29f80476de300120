//! Reads the cartridges of a blueprint, with their repositories. It refuses to know groups, and keeps passwords apart.

use std::collections::BTreeMap;

use cartridge_protocol::{PolicyId, Secret};
use serde_json::Value;

use super::read::{NAME, Object, Reader, TEXT};
use crate::blueprint::{Repository, Subscription};

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
pub(super) const REPOSITORY: &[&str] = &[
    "alias",
    "privateRepo",
    "repoUrl",
    "repoUsername",
    "repoPassword",
    "branch",
    "pollSeconds",
];

/// The largest maximum that a sample of Stratos uses.
pub(super) const MOST_MEMBERS: u32 = 10_000_000;

/// One cartridge and the path of its alias; `inherited` is the deployment policy of a group around it.
pub(super) fn read(
    reader: &mut Reader,
    path: &str,
    item: &Value,
    inherited: Option<&PolicyId>,
    passwords: &mut BTreeMap<String, Secret>,
) -> Option<(String, Subscription)> {
    let entry = &reader.object(path, item, CARTRIDGE)?;
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
    let deployment_policy = deployment_policy(reader, &info, inherited);
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

/// It stands on exactly one level: on a group, or on each cartridge.
fn deployment_policy(
    reader: &mut Reader,
    info: &Object<'_>,
    inherited: Option<&PolicyId>,
) -> Option<PolicyId> {
    let field = "deploymentPolicy";
    let Some(policy) = inherited else {
        return reader.needed(info, field, Reader::id);
    };
    let value = info.get(field).filter(|value| value.as_str() != Some(""));
    if value.is_some() {
        let message = format!("is defined twice: a group around it has {:?}", policy.as_str());
        reader.fault(&info.path(field), value, message);
    }
    Some(policy.clone())
}

/// `([a-z0-9]+([-][a-z0-9])*)+`, at most a host-name label long.
pub(super) fn alias(reader: &mut Reader, info: &Object<'_>, field: &str) -> Option<String> {
    let text = reader.text(info, field, TEXT)?;
    let word = |w: &str| !w.is_empty() && w.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9'));
    if text.len() <= 63 && text.split('-').all(word) {
        return Some(text);
    }
    let message = "must be lower-case letters and digits, in words joined by '-', at most 63 characters";
    reader.fault(&info.path(field), info.get(field), message);
    None
}

fn repository(reader: &mut Reader, info: &Object<'_>) -> Option<(Repository, Option<Secret>)> {
    let object = reader.child(info, "artifactRepository", REPOSITORY)?;
    described(reader, &object)
}

/// The repository, if a URL names one (empty texts are common), and its password apart.
pub(super) fn described(reader: &mut Reader, object: &Object<'_>) -> Option<(Repository, Option<Secret>)> {
    let url = reader.text(object, "repoUrl", 2048).filter(|url| !url.is_empty());
    let user = reader
        .text(object, "repoUsername", NAME)
        .filter(|user| !user.is_empty());
    let password = reader
        .text(object, "repoPassword", TEXT)
        .filter(|password| !password.is_empty());
    reader.flag(object, "privateRepo");
    let branch = reader
        .text(object, "branch", NAME)
        .filter(|branch| !branch.is_empty());
    let branch = branch.unwrap_or_else(|| "main".to_owned());
    if !is_branch(&branch) {
        let message =
            "is no branch name: letters, digits, '.', '_', '-' and '/', not beginning with '-' or '/'";
        reader.fault(&object.path("branch"), object.get("branch"), message);
    }
    let poll = reader.whole(object, "pollSeconds", 1, 86_400).unwrap_or(15);
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
    check_url(reader, object, &repo_url);
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

/// How addresses begin.
const KINDS: &str = "must begin with https://, http://, ssh:// or file://, or be like user@host:path";

/// An address that can be fetched from, without a password in it: it is shown in answers and kept in the journal.
fn check_url(reader: &mut Reader, object: &Object<'_>, url: &str) {
    let path = object.path("repoUrl");
    let value = Value::String(url.to_owned());
    let (scheme, authority) = match (url.split_once("://"), is_short(url)) {
        (Some((scheme, rest)), _) => (scheme, rest.split(['/', '?', '#']).next().unwrap_or_default()),
        (None, true) => ("ssh", url.split_once(':').map_or("", |(place, _)| place)),
        (None, false) => {
            let value = Value::String(url.rsplit('@').next().unwrap_or_default().to_owned());
            reader.fault(&path, Some(&value), KINDS);
            return;
        }
    };
    // Over SSH one is a user and shows a key: the user's name is no secret.
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    if authority.contains('@') && (scheme != "ssh" || user.contains(':')) {
        let message = "must not hold a user name or password; use repoUsername and repoPassword";
        reader.fault(&path, Some(&Value::String("(hidden)".to_owned())), message);
    } else if !matches!(scheme, "https" | "http" | "ssh" | "file") {
        reader.fault(&path, Some(&value), KINDS);
    } else if host.is_empty() && scheme != "file" {
        reader.fault(&path, Some(&value), "names no host");
    } else if host.starts_with('-') || user.starts_with('-') {
        reader.fault(&path, Some(&value), "has a host or user that begins with '-'");
    } else if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        reader.fault(&path, Some(&value), "must not hold blanks or control characters");
    }
}

/// `user@host:path`, as SSH servers are named.
fn is_short(url: &str) -> bool {
    let place = url.split_once(':').map_or("", |(place, _)| place);
    place.contains('@') && !place.contains('/')
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
