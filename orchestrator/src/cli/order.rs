//! The commands that order something and get one line as answer.
//!
//! This file refuses to know who may order it.

use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, Fault, segment};
use super::{Command, DeployOptions, Kind, document, show};

/// The size of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// The scaler decides.
    Auto,
    /// So many members.
    Members(u32),
}

/// Reads `SIZE|auto`.
pub fn size(text: &str) -> Result<Size, String> {
    match text {
        "auto" => Ok(Size::Auto),
        figures => figures
            .parse()
            .map(Size::Members)
            .map_err(|_| "a whole number from 0 to 4294967295, or `auto`, is accepted".into()),
    }
}

/// Carries out a command that orders something.
pub async fn order(client: &Client, command: Command) -> Result<(), Fault> {
    let (method, path, body) = request(command)?;
    let answer = client.ask(method, &path, body.as_ref()).await?;
    show::line(answer["message"].as_str().unwrap_or("done"))
}

fn request(command: Command) -> Result<(Method, String, Option<Value>), Fault> {
    let post = |path: String, body: Option<Value>| Ok((Method::POST, path, body));
    match command {
        Command::Scale { cluster, size } => {
            let size = match size {
                Size::Auto => Value::Null,
                Size::Members(count) => Value::from(count),
            };
            post(
                format!("clusters/{}/scale", segment(&cluster)),
                Some(json!({"size": size})),
            )
        }
        Command::Deploy(options) => deploy(&options),
        Command::Undeploy { application, force } => post(
            format!("applications/{}/undeploy?force={force}", segment(&application)),
            None,
        ),
        Command::Rollback { cluster } => post(format!("clusters/{}/rollback", segment(&cluster)), None),
        Command::Drain { member } => post(format!("members/{}/drain", segment(&member)), None),
        Command::Pause { reason } => post("pause".into(), Some(json!({"reason": reason}))),
        Command::Resume => post("resume".into(), None),
        Command::SignUp {
            application,
            file,
            tenant,
        } => post(
            sign_up_path(&application, tenant.as_deref()),
            Some(document::read_one(&file)?),
        ),
        Command::SignOff { application, tenant } => {
            let path = sign_up_path(&application, tenant.as_deref());
            Ok((Method::DELETE, path, None))
        }
        Command::MapDomain {
            application,
            domain,
            alias,
            path,
        } => {
            let row = json!({"domainName": domain, "cartridgeAlias": alias, "contextPath": path});
            let body = json!({"domainMappings": [row]});
            post(domains_of(&application), Some(body))
        }
        Command::UnmapDomain { application, domain } => {
            let path = format!("{}/{}", domains_of(&application), segment(&domain));
            Ok((Method::DELETE, path, None))
        }
        Command::Delete { kind, name } => delete(kind, &name),
        _ => Err(Fault::Usage("this command orders nothing".into())),
    }
}

fn sign_up_path(application: &str, tenant: Option<&str>) -> String {
    let own = format!("applications/{}/signup", segment(application));
    tenant.map_or(own.clone(), |domain| format!("{own}/{}", segment(domain)))
}

fn domains_of(application: &str) -> String {
    format!("applications/{}/domainMappings", segment(application))
}

fn deploy(options: &DeployOptions) -> Result<(Method, String, Option<Value>), Fault> {
    let target = segment(&options.target);
    let (path, body) = match (&options.what.policy, &options.what.commit) {
        (Some(policy), _) => {
            let unchecked = if options.unchecked { "?unchecked=true" } else { "" };
            (
                format!("applications/{target}/deploy/{}{unchecked}", segment(policy)),
                None,
            )
        }
        (None, Some(commit)) => (
            format!("clusters/{target}/release"),
            Some(json!({"commit": commit})),
        ),
        (None, None) => (
            format!("clusters/{target}/release"),
            Some(json!({"follow": true})),
        ),
    };
    Ok((Method::POST, path, body))
}

fn delete(kind: Kind, name: &str) -> Result<(Method, String, Option<Value>), Fault> {
    let collection = match kind {
        Kind::Members => {
            return Err(Fault::Usage(
                "a member is taken out with `cartridge drain`".into(),
            ));
        }
        Kind::Tenants => {
            return Err(Fault::Usage(
                "tenants are not removed; `PUT /api/tenants/deactivate/NAME` refuses their users".into(),
            ));
        }
        Kind::SignUps => return Err(Fault::Usage("sign-ups end with `cartridge sign-off`".into())),
        Kind::DomainMappings => {
            return Err(Fault::Usage(
                "domains are taken away with `cartridge unmap-domain APPLICATION DOMAIN`".into(),
            ));
        }
        Kind::Clusters => return Err(Fault::Usage("clusters go with `cartridge undeploy`".into())),
        Kind::Endpoints => return Err(Fault::Usage("endpoints go with `cartridge undeploy`".into())),
        other => other.collection().ok_or_else(|| {
            Fault::Usage("say which kind: autoscaling-policy, deployment-policy or application-policy".into())
        })?,
    };
    Ok((Method::DELETE, format!("{collection}/{}", segment(name)), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_become_requests() {
        let (method, path, body) = request(Command::Scale {
            cluster: "c".into(),
            size: Size::Members(3),
        })
        .unwrap();
        assert_eq!(
            (method, path.as_str(), body),
            (Method::POST, "clusters/c/scale", Some(json!({"size": 3})))
        );
        let (_, path, _) = request(Command::Drain {
            member: "../x".into(),
        })
        .unwrap();
        assert_eq!(path, "members/..%2Fx/drain");
        assert!(delete(Kind::Members, "m").is_err());
    }

    #[test]
    fn sizes_are_whole_numbers_or_auto() {
        assert_eq!(size("auto"), Ok(Size::Auto));
        assert_eq!(size("0"), Ok(Size::Members(0)));
        for bad in ["", "-1", "1.5", "all", "99999999999"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }
}
