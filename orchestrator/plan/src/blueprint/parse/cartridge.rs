//! Reads cartridges. It refuses to know which provisioners exist.

use std::collections::BTreeMap;

use super::read::{NAME, Object, Reader, TEXT};
use crate::blueprint::{Cartridge, HttpProbe, IaasProvider, OnRelease, PortMapping, ProcessSpec};

pub(super) const FIELDS: &[&str] = &[
    "type",
    "category",
    "provider",
    "host",
    "displayName",
    "description",
    "version",
    "multiTenant",
    "portMapping",
    "deployment",
    "iaasProvider",
    "persistence",
    "loadBalancingIPType",
    "metadataKeys",
    "property",
    "process",
    "health",
    "onRelease",
    // Known to Stratos, without meaning here.
    "uuid",
    "tenantPartitions",
    "serviceGroup",
    "defaultAutoscalingPolicy",
    "tenantId",
    "kubernetesClusterId",
    "isPublic",
    "deployerType",
    "exportingProperties",
    "metadataIndexes",
];
const PORT: &[&str] = &[
    "name",
    "protocol",
    "port",
    "proxyPort",
    "kubernetesPortType",
    "kubernetesServicePort",
];
const DEPLOYMENT: &[&str] = &["baseDir", "dir"];
const PROVIDER: &[&str] = &[
    "type",
    "imageId",
    "property",
    "name",
    "className",
    "provider",
    "identity",
    "credential",
    "networkInterfaces",
    "maxInstanceLimit",
];
const PROCESS: &[&str] = &["command", "environment", "hooks"];
const HEALTH: &[&str] = &["http"];
const HTTP: &[&str] = &["port", "path"];

const PORTS: usize = 64;
const PROVIDERS: usize = 32;
const ARGUMENTS: usize = 256;
const METADATA_KEYS: usize = 256;

/// The name of the cartridge type that stands for our own balancers.
pub(super) const RESERVED: &str = "cartridge-balancer";

pub(super) fn read(reader: &mut Reader, object: &Object<'_>) -> Option<Cartridge> {
    let cartridge_type = reader.needed(object, "type", Reader::id);
    if object.get("type").and_then(|t| t.as_str()) == Some(RESERVED) {
        let message = "is the built-in balancer's; choose another";
        reader.fault(&object.path("type"), object.get("type"), message);
    }
    let category = reader.needed(object, "category", |r, o, f| r.text(o, f, NAME));
    let provider = reader.needed(object, "provider", |r, o, f| r.text(o, f, NAME));
    let host = reader.needed(object, "host", Reader::host_name);
    let text = |r: &mut Reader, field: &str| r.text(object, field, TEXT).unwrap_or_default();
    let (display_name, description) = (text(reader, "displayName"), text(reader, "description"));
    let version = text(reader, "version");
    let multi_tenant = reader.flag(object, "multiTenant");
    let port_mapping = ports(reader, object);
    let deployment = reader.child(object, "deployment", DEPLOYMENT);
    let base_dir = deployment
        .and_then(|d| reader.text(&d, "baseDir", TEXT))
        .filter(|dir| !dir.is_empty());
    let iaas_provider = providers(reader, object);
    let process = reader
        .child(object, "process", PROCESS)
        .map(|p| process(reader, &p));
    let health = reader
        .child(object, "health", HEALTH)
        .and_then(|h| probe(reader, &h, &port_mapping));
    let on_release = reader.word(
        object,
        "onRelease",
        &[("nothing", OnRelease::Nothing), ("restart", OnRelease::Restart)],
    );
    let metadata_keys = reader.texts(object, "metadataKeys", METADATA_KEYS);
    let property = reader.properties(object, "property");
    Some(Cartridge {
        cartridge_type: cartridge_type?,
        category: category?,
        provider: provider?,
        host: host?,
        display_name,
        description,
        version,
        multi_tenant,
        port_mapping,
        base_dir,
        iaas_provider,
        process,
        health,
        on_release: on_release.unwrap_or_default(),
        metadata_keys,
        property,
    })
}

fn ports(reader: &mut Reader, object: &Object<'_>) -> Vec<PortMapping> {
    let mut found: Vec<(String, PortMapping)> = Vec::new();
    for (path, item) in reader.list(object, "portMapping", PORTS) {
        let Some(entry) = reader.object(&path, item, PORT) else {
            continue;
        };
        let words = [("http", "http"), ("https", "https"), ("tcp", "tcp")];
        let protocol = reader.needed(&entry, "protocol", |r, o, f| r.word(o, f, &words));
        let port = reader.needed(&entry, "port", Reader::port);
        let proxy_port = match entry.get("proxyPort") {
            Some(value) if value.as_str() != Some("") => reader.whole(&entry, "proxyPort", 0, 65_535),
            _ => Some(0),
        };
        let name = reader.text(&entry, "name", 64).filter(|name| !name.is_empty());
        if let (Some(protocol), Some(port), Some(proxy_port)) = (protocol, port, proxy_port) {
            let name = name.unwrap_or_else(|| format!("{protocol}-{port}"));
            let mapping = PortMapping {
                name,
                protocol: protocol.to_owned(),
                port,
                proxy_port: u16::try_from(proxy_port).unwrap_or(u16::MAX),
            };
            found.push((entry.path("name"), mapping));
        }
    }
    reader.unique(
        found
            .iter()
            .map(|(path, port)| (path.clone(), port.name.as_str())),
        "port name",
    );
    found.into_iter().map(|(_, port)| port).collect()
}

fn providers(reader: &mut Reader, object: &Object<'_>) -> Vec<IaasProvider> {
    let mut found: Vec<(String, IaasProvider)> = Vec::new();
    for (path, item) in reader.list(object, "iaasProvider", PROVIDERS) {
        let Some(entry) = reader.object(&path, item, PROVIDER) else {
            continue;
        };
        let provider_type = reader.needed(&entry, "type", |r, o, f| r.text(o, f, NAME));
        let image_id = reader.text(&entry, "imageId", TEXT).unwrap_or_default();
        let property = reader.properties(&entry, "property");
        if let Some(provider_type) = provider_type {
            let provider = IaasProvider {
                provider_type,
                image_id,
                property,
            };
            found.push((entry.path("type"), provider));
        }
    }
    reader.unique(
        found
            .iter()
            .map(|(path, p)| (path.clone(), p.provider_type.as_str())),
        "provider type",
    );
    found.into_iter().map(|(_, provider)| provider).collect()
}

fn process(reader: &mut Reader, object: &Object<'_>) -> ProcessSpec {
    let command = reader.texts(object, "command", ARGUMENTS);
    if command.first().is_some_and(String::is_empty) {
        reader.fault(&object.path("command[0]"), None, "must name a program");
    }
    let environment: BTreeMap<String, String> = reader.map(object, "environment");
    for name in environment.keys() {
        if name.contains('=') || name.contains('\0') {
            let path = format!("{}.{name}", object.path("environment"));
            reader.fault(
                &path,
                None,
                "is no environment variable's name: it holds '=' or a zero byte",
            );
        }
    }
    ProcessSpec {
        command,
        environment,
        hooks: reader
            .text(object, "hooks", TEXT)
            .filter(|folder| !folder.is_empty()),
    }
}

fn probe(reader: &mut Reader, health: &Object<'_>, ports: &[PortMapping]) -> Option<HttpProbe> {
    let http = reader.child(health, "http", HTTP)?;
    let first = ports
        .iter()
        .find(|port| port.protocol == "http")
        .map(|port| port.name.clone());
    let port = match http.get("port") {
        None if first.is_some() => first,
        _ => reader.needed_here(&http, "port", |r, o, f| r.text(o, f, NAME)),
    };
    if let Some(name) = &port
        && !ports.iter().any(|mapping| mapping.name == *name)
    {
        let names: Vec<&str> = ports.iter().map(|mapping| mapping.name.as_str()).collect();
        let message = format!("must be the name of a port mapping ({})", names.join(", "));
        reader.fault(&http.path("port"), http.get("port"), message);
    }
    let path = match http.get("path") {
        None => Some("/".to_owned()),
        Some(value) => reader.text(&http, "path", 2048).filter(|path| {
            let fine = path.starts_with('/') && !path.chars().any(|c| c.is_control() || c == ' ');
            if !fine {
                let message = "must begin with '/' and hold no blanks";
                reader.fault(&http.path("path"), Some(value), message);
            }
            fine
        }),
    };
    Some(HttpProbe {
        port: port?,
        path: path?,
    })
}
