//! `cartridge apply`: every document goes to the server; applications are deployed if they say under which policy.
//!
//! This file refuses to know what is valid.

use reqwest::Method;

use super::client::{Client, Fault, segment};
use super::document::{Document, read_all};
use super::{ApplyOptions, Kind, show};

/// Carries out `apply`. Stops at the first refusal: what follows may need it.
pub async fn apply(client: &Client, options: &ApplyOptions) -> Result<(), Fault> {
    for document in read_all(&options.files)? {
        let named = |fault: Fault| match fault {
            Fault::Refused(why) => Fault::Refused(format!("{}: {why}", document.name)),
            Fault::NotFound(why) => Fault::NotFound(format!("{}: {why}", document.name)),
            other => other,
        };
        let answer = client
            .ask(Method::PUT, &document.path(), Some(&document.body))
            .await
            .map_err(named)?;
        show::line(answer["message"].as_str().unwrap_or("applied"))?;
        if document.kind == Kind::Applications
            && let Some(policy) = document.policy.as_ref().or(options.deploy.as_ref())
        {
            deploy(client, &document, policy).await?;
        }
    }
    Ok(())
}

/// Deploys, unless it is deployed under this policy already: applying twice is the same as once.
async fn deploy(client: &Client, document: &Document, policy: &str) -> Result<(), Fault> {
    let now = client.get(&document.own_path()).await?;
    if now["status"] == "Deployed" && now["applicationPolicyId"] == *policy {
        return Ok(());
    }
    let path = format!(
        "applications/{}/deploy/{}",
        segment(&document.name),
        segment(policy)
    );
    let answer = client.ask(Method::POST, &path, None).await?;
    show::line(answer["message"].as_str().unwrap_or("deployed"))
}
