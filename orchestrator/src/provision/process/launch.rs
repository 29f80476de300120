//! The launch parameters of a local member: those of its world, the link, and the ports chosen here.

use cartridge_orchestrator_plan::step::MemberSpec;
use cartridge_protocol::launch::{LaunchParameters, key};

use super::Settings;
use crate::provision::{Ensured, LinkInfo};

/// Everything that the agent is told at its start.
pub(super) fn parameters(
    settings: &Settings,
    spec: &MemberSpec,
    made: &Ensured,
    link: &LinkInfo,
) -> LaunchParameters {
    let mut parameters = LaunchParameters::default();
    for (name, value) in &spec.parameters {
        parameters.set(name, value);
    }
    parameters.set(key::LINK, &link.url);
    parameters.set(key::LINK_CA, link.ca.display().to_string());
    parameters.set(key::JOIN_TOKEN, link.token.expose());
    if let Some(token) = &link.sharing {
        parameters.set(key::TOKEN, token.expose());
        if parameters.get(key::METADATA_SERVICE_URL).is_none() {
            parameters.set(key::METADATA_SERVICE_URL, &link.url);
        }
    }
    parameters.set(key::INCARNATION, spec.incarnation.to_string());
    parameters.set(key::INSTALLATION, &spec.installation);
    parameters.set(key::ADDRESS, made.address.to_string());
    // Others live on this machine, too.
    parameters.set(key::SCOPE, "member");
    if settings.allow_file_repositories {
        parameters.set(key::ALLOW_FILE_REPOSITORIES, "true");
    }
    if spec.balancer {
        let command = serde_json::json!([settings.balancer]);
        parameters.set(key::BALANCER, command.to_string());
    } else {
        let ports: Vec<String> = made.ports.values().map(ToString::to_string).collect();
        parameters.set(key::PORTS, ports.join("|"));
        if let Some(mappings) = spec.parameters.get(key::PORT_MAPPINGS) {
            parameters.set(key::PORT_MAPPINGS, with_ports(mappings, made));
        }
    }
    parameters
}

/// `NAME:n|PROTOCOL:p|PORT:x|PROXY_PORT:y;…` with the ports that were chosen.
fn with_ports(mappings: &str, made: &Ensured) -> String {
    let one = |mapping: &str| -> String {
        let name = mapping.split('|').find_map(|field| field.strip_prefix("NAME:"));
        let port = name.and_then(|name| made.ports.get(name));
        let fields = mapping.split('|').map(|field| match port {
            Some(port) if field.starts_with("PORT:") => format!("PORT:{port}"),
            _ => field.to_owned(),
        });
        fields.collect::<Vec<_>>().join("|")
    };
    mappings.split(';').map(one).collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_mappings_carry_the_chosen_ports() {
        let made = Ensured {
            instance: String::new(),
            address: "127.0.0.1".parse().unwrap(),
            ports: [("http".to_owned(), 20_001), ("admin".to_owned(), 20_002)].into(),
        };
        let given =
            "NAME:http|PROTOCOL:http|PORT:80|PROXY_PORT:8080;NAME:admin|PROTOCOL:tcp|PORT:22|PROXY_PORT:0;";
        let want = "NAME:http|PROTOCOL:http|PORT:20001|PROXY_PORT:8080;NAME:admin|PROTOCOL:tcp|PORT:20002|PROXY_PORT:0;";
        assert_eq!(with_ports(given, &made), want);
    }
}
