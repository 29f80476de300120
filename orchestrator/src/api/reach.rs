//! Whether a repository can be reached, before an application is deployed from it: a mistyped address, a wrong password or
//! a branch that is not there is said at once, and not by members that never become active.
//!
//! One question to the server (`info/refs` of Git's smart HTTP protocol, gitprotocol-http(5)), bounded in time and length.
//! This file refuses to know objects and packs; members fetch for themselves.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cartridge_orchestrator_plan::blueprint::Repository;
use cartridge_protocol::Secret;
use futures_util::StreamExt as _;
use http::StatusCode;

/// Time for the whole question.
const DEADLINE: Duration = Duration::from_secs(10);
/// Longest answer that is read; a repository with more branches than fit is taken at its word.
const MAX_ANSWER_BYTES: usize = 4 << 20;
/// Branches named in a refusal.
const MAX_NAMED: usize = 8;

/// What is wrong with which part of the repository's description.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreachable {
    /// `repoUrl`, `repoUsername` or `branch`.
    pub(super) field: &'static str,
    /// For people; no secret in it.
    pub(super) message: String,
}

fn fault(field: &'static str, message: String) -> Unreachable {
    Unreachable { field, message }
}

/// Asks the server of `repository`; `file://` is for whoever may read the file.
pub(super) async fn check(repository: &Repository, password: Option<&Secret>) -> Result<(), Unreachable> {
    let url = repository.repo_url.as_str();
    if !(url.starts_with("http://") || url.starts_with("https://")) {
        return Ok(());
    }
    let asked = tokio::time::timeout(DEADLINE, advertised(repository, password)).await;
    let answer =
        asked.map_err(|_| fault("repoUrl", format!("{url:?} did not answer within {DEADLINE:?}")))??;
    match answer {
        Some(answer) => has_branch(&answer, url, &repository.branch),
        None => Ok(()),
    }
}

/// The answer to `info/refs`; None: there is more of it than is read.
async fn advertised(
    repository: &Repository,
    password: Option<&Secret>,
) -> Result<Option<Vec<u8>>, Unreachable> {
    let url = repository.repo_url.as_str();
    let unreachable = |why: String| fault("repoUrl", format!("{url:?} cannot be reached: {why}"));
    let place = format!("{}/info/refs?service=git-upload-pack", url.trim_end_matches('/'));
    let mut question = client().map_err(unreachable)?.get(place);
    if let Some(user) = &repository.repo_username {
        question = question.basic_auth(user, password.map(Secret::expose));
    }
    let answer = question.send().await.map_err(|e| unreachable(innermost(&e)))?;
    match answer.status() {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            let given = if repository.repo_username.is_some() {
                "other"
            } else {
                "a user name and a password"
            };
            let message = format!(
                "{url:?} wants {given} credentials (it answered {})",
                answer.status().as_u16()
            );
            return Err(fault(
                "repoUsername",
                message.replace("password credentials", "password"),
            ));
        }
        status if !status.is_success() => {
            return Err(fault(
                "repoUrl",
                format!("{url:?} is no Git repository: its server answered {status}"),
            ));
        }
        _ => {}
    }
    let mut whole = Vec::new();
    let mut chunks = answer.bytes_stream();
    while let Some(chunk) = chunks.next().await {
        whole.extend_from_slice(&chunk.map_err(|e| unreachable(innermost(&e)))?);
        if whole.len() > MAX_ANSWER_BYTES {
            return Ok(None);
        }
    }
    Ok(Some(whole))
}

/// Looks for the branch among the references.
fn has_branch(answer: &[u8], url: &str, branch: &str) -> Result<(), Unreachable> {
    let Some(lines) = packet_lines(answer) else {
        return Err(fault(
            "repoUrl",
            format!("{url:?} is no Git repository: its answer is not Git's"),
        ));
    };
    let names: BTreeSet<&str> = lines.into_iter().filter_map(name_of).collect();
    let is_commit = branch.len() == 40 && branch.bytes().all(|byte| byte.is_ascii_hexdigit());
    let full = [
        format!("refs/heads/{branch}"),
        format!("refs/tags/{branch}"),
        branch.to_owned(),
    ];
    // Whether a server gives out a commit by its hash is seen when it is fetched.
    if is_commit
        || full
            .iter()
            .any(|name| name.starts_with("refs/") && names.contains(name.as_str()))
    {
        return Ok(());
    }
    let branches = names.iter().filter_map(|name| name.strip_prefix("refs/heads/"));
    let named: Vec<&str> = branches.take(MAX_NAMED).collect();
    let there = if named.is_empty() {
        "it has none".to_owned()
    } else {
        format!("it has {}", named.join(", "))
    };
    Err(fault(
        "branch",
        format!("{branch:?} is no branch or tag of {url:?}; {there}"),
    ))
}

/// `<hash> <full name>`, the first line with capabilities behind a NUL.
fn name_of(line: &[u8]) -> Option<&str> {
    let line = line.split(|byte| *byte == 0).next()?;
    let text = std::str::from_utf8(line).ok()?.trim_end();
    Some(text.split_once(' ')?.1)
}

/// Splits lines that begin with their length in four hexadecimal digits; None: that is not what it is.
fn packet_lines(mut rest: &[u8]) -> Option<Vec<&[u8]>> {
    let mut lines = Vec::new();
    while !rest.is_empty() {
        let digits = std::str::from_utf8(rest.get(..4)?).ok()?;
        let length = usize::from_str_radix(digits, 16).ok()?;
        if length < 4 {
            // A flush packet, between the heading and the references and at the end.
            rest = &rest[4..];
            continue;
        }
        lines.push(rest.get(4..length)?);
        rest = rest.get(length..)?;
    }
    (!lines.is_empty()).then_some(lines)
}

fn client() -> Result<reqwest::Client, String> {
    let mut roots = rustls::RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        // Credentials go to the address that was described, and nowhere else.
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(DEADLINE / 2)
        .build()
        .map_err(|e| innermost(&e))
}

/// The last cause says what happened; the outer ones say the address again.
fn innermost(fault: &dyn std::error::Error) -> String {
    let mut cause = fault;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "0123456789012345678901234567890123456789";

    fn packet(text: &str) -> String {
        format!("{:04x}{text}", text.len() + 4)
    }

    fn advertisement() -> String {
        let first = packet(&format!("{HASH} HEAD\0side-band-64k agent=git\n"));
        let main = packet(&format!("{HASH} refs/heads/main\n"));
        let tag = packet(&format!("{HASH} refs/tags/v1\n"));
        format!(
            "{}0000{first}{main}{tag}0000",
            packet("# service=git-upload-pack\n")
        )
    }

    #[test]
    fn a_branch_is_found_and_a_tag_and_a_commit_is_taken_at_its_word() {
        for name in ["main", "v1", "refs/tags/v1", "refs/heads/main", HASH] {
            assert_eq!(
                has_branch(advertisement().as_bytes(), "u", name),
                Ok(()),
                "{name}"
            );
        }
        for name in ["HEAD", "v2", "refs/heads/v1", "tags/v1", &HASH[1..]] {
            let refused = has_branch(advertisement().as_bytes(), "u", name).unwrap_err();
            assert_eq!(refused.field, "branch");
            assert_eq!(
                refused.message,
                format!("{name:?} is no branch or tag of \"u\"; it has main")
            );
        }
    }

    #[test]
    fn any_cut_or_foreign_answer_is_refused_or_understood_and_never_a_panic() {
        let whole = advertisement();
        for end in 0..whole.len() {
            let _ = has_branch(&whole.as_bytes()[..end], "u", "main");
        }
        for foreign in ["<html>", "", "ffff", "0004", "zzzz"] {
            assert!(has_branch(foreign.as_bytes(), "u", "main").is_err(), "{foreign}");
        }
    }

    #[tokio::test]
    async fn an_address_where_nobody_listens_is_named() {
        let repository = Repository {
            repo_url: "http://127.0.0.1:1/site.git".to_owned(),
            branch: "main".to_owned(),
            repo_username: None,
            repo_password: None,
            poll_seconds: 15,
        };
        let refused = check(&repository, None).await.unwrap_err();
        assert_eq!(refused.field, "repoUrl");
        assert!(refused.message.contains("127.0.0.1:1/site.git"), "{refused:?}");
    }
}
