//! Files into documents: JSON or YAML, one or several each; what each describes; what must come first.
//!
//! This file refuses to know whether they are valid: the server says so.

use std::path::{Path, PathBuf};

use cartridge_orchestrator_plan::blueprint::parse::lenient_json;
use serde::Deserialize as _;
use serde_json::Value;

use super::Kind;
use super::client::{Fault, segment};

/// Longest file read, bytes.
const MAX_FILE_BYTES: u64 = 8 << 20;
/// Most files read from folders.
const MAX_FILES: usize = 2000;
/// Deepest folder looked into.
const MAX_DEPTH: usize = 8;

/// One document of one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// What it describes.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Under which application policy it is to be deployed, if it says so.
    pub policy: Option<String>,
    /// Itself, without what only this program reads.
    pub body: Value,
}

impl Document {
    /// Where the API takes it.
    pub fn path(&self) -> String {
        format!(
            "{}?mode=either",
            self.kind
                .collection()
                .expect("documents are of kinds with collections")
        )
    }

    /// Where the API shows it.
    pub fn own_path(&self) -> String {
        format!(
            "{}/{}",
            self.kind.collection().expect("see above"),
            segment(&self.name)
        )
    }
}

/// Reads all documents, those that others need first.
pub fn read_all(files: &[PathBuf]) -> Result<Vec<Document>, Fault> {
    let mut documents = Vec::new();
    for file in files {
        if file.as_os_str() == "-" {
            let text = std::io::read_to_string(std::io::Read::take(std::io::stdin(), MAX_FILE_BYTES))?;
            documents.extend(read(Path::new("(standard input)"), &text)?);
            continue;
        }
        let mut found = Vec::new();
        collect(file, 0, &mut found)?;
        for path in found {
            documents.extend(read(&path, &read_text(&path)?)?);
        }
    }
    if documents.is_empty() {
        return Err(Fault::Usage(
            "nothing to apply: no document in these files".into(),
        ));
    }
    documents.sort_by_key(|document| rank(document.kind));
    Ok(documents)
}

/// Reads the only document of a file, whatever it describes.
pub fn read_one(file: &Path) -> Result<Value, Fault> {
    let (name, text) = if file.as_os_str() == "-" {
        let text = std::io::read_to_string(std::io::Read::take(std::io::stdin(), MAX_FILE_BYTES))?;
        (Path::new("(standard input)"), text)
    } else {
        (file, read_text(file)?)
    };
    let fault = |problem: String| Fault::Usage(format!("{}: {problem}", name.display()));
    let mut found = values(&text).map_err(fault)?;
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        _ => Err(fault("exactly one document is read here".to_owned())),
    }
}

/// What needs nothing comes first.
fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Cartridges | Kind::AutoscalingPolicies | Kind::NetworkPartitions => 0,
        Kind::DeploymentPolicies | Kind::ApplicationPolicies | Kind::CartridgeGroups => 1,
        _ => 2,
    }
}

fn collect(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), Fault> {
    let fault = |problem: std::io::Error| Fault::Usage(format!("{}: {problem}", path.display()));
    if found.len() >= MAX_FILES || depth > MAX_DEPTH {
        return Err(Fault::Usage(format!(
            "{}: more than {MAX_FILES} files or {MAX_DEPTH} levels",
            path.display()
        )));
    }
    if !std::fs::metadata(path).map_err(fault)?.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    let mut inside = Vec::new();
    for entry in std::fs::read_dir(path).map_err(fault)? {
        inside.push(entry.map_err(fault)?.path());
    }
    inside.sort();
    for inner in inside {
        let extension = inner.extension().and_then(|e| e.to_str());
        if inner.is_dir() || matches!(extension, Some("json" | "yaml" | "yml")) {
            collect(&inner, depth + 1, found)?;
        }
    }
    Ok(())
}

fn read_text(path: &Path) -> Result<String, Fault> {
    let fault = |problem: String| Fault::Usage(format!("{}: {problem}", path.display()));
    let size = std::fs::metadata(path)
        .map_err(|problem| fault(problem.to_string()))?
        .len();
    if size > MAX_FILE_BYTES {
        return Err(fault(format!("{size} bytes; at most {MAX_FILE_BYTES} are read")));
    }
    std::fs::read_to_string(path).map_err(|problem| fault(problem.to_string()))
}

fn read(path: &Path, text: &str) -> Result<Vec<Document>, Fault> {
    let mut documents = Vec::new();
    let fault = |problem: String| Fault::Usage(format!("{}: {problem}", path.display()));
    for value in values(text).map_err(fault)? {
        match value {
            Value::Null => {}
            Value::Array(items) => {
                for item in items {
                    documents.push(recognise(item).map_err(fault)?);
                }
            }
            one => documents.push(recognise(one).map_err(fault)?),
        }
    }
    Ok(documents)
}

fn values(text: &str) -> Result<Vec<Value>, String> {
    if text.trim_start().starts_with(['{', '[']) {
        let one = lenient_json(text);
        if let Ok(value) = one {
            return Ok(vec![value]);
        }
        let several: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
        return several.map_err(|_| one.expect_err("it was no JSON").to_string());
    }
    serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).map_err(|problem| format!("not YAML: {problem}")))
        .collect()
}

fn recognise(mut body: Value) -> Result<Document, String> {
    let kind = match body["kind"].as_str() {
        Some(named) => by_name(named).ok_or_else(|| {
            format!(
                "kind {named:?} is unknown; Cartridge, CartridgeGroup, AutoscalingPolicy, DeploymentPolicy, \
                 ApplicationPolicy, NetworkPartition, Tenant and Application are known"
            )
        })?,
        None => by_shape(&body)
            .ok_or("cannot tell what it describes; add a `kind` field, such as `kind: Cartridge`")?,
    };
    let field = kind.id_field();
    let name = match &body[field] {
        Value::String(name) if !name.is_empty() => name.clone(),
        Value::Number(name) => name.to_string(),
        _ => return Err(format!("a document of kind {kind:?} has no {field:?}")),
    };
    let mut policy = None;
    if let Some(fields) = body.as_object_mut() {
        fields.remove("kind");
        policy = fields
            .remove("applicationPolicy")
            .and_then(|value| value.as_str().map(str::to_owned));
    }
    Ok(Document {
        kind,
        name,
        policy: policy.filter(|policy| !policy.is_empty()),
        body,
    })
}

fn by_name(name: &str) -> Option<Kind> {
    let plain: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    match plain.to_ascii_lowercase().as_str() {
        "cartridge" => Some(Kind::Cartridges),
        "cartridgegroup" => Some(Kind::CartridgeGroups),
        "autoscalingpolicy" => Some(Kind::AutoscalingPolicies),
        "deploymentpolicy" => Some(Kind::DeploymentPolicies),
        "applicationpolicy" => Some(Kind::ApplicationPolicies),
        "networkpartition" => Some(Kind::NetworkPartitions),
        "application" => Some(Kind::Applications),
        "tenant" => Some(Kind::Tenants),
        _ => None,
    }
}

fn by_shape(body: &Value) -> Option<Kind> {
    let has = |field: &str| body.get(field).is_some();
    if has("tenantDomain") {
        Some(Kind::Tenants)
    } else if has("applicationId") {
        Some(Kind::Applications)
    } else if has("loadThresholds") || has("arrivals") {
        Some(Kind::AutoscalingPolicies)
    } else if has("algorithm") {
        Some(Kind::ApplicationPolicies)
    } else if has("networkPartitions") || has("networkPartition") {
        Some(Kind::DeploymentPolicies)
    } else if has("type") {
        Some(Kind::Cartridges)
    } else if has("partitions") {
        Some(Kind::NetworkPartitions)
    } else if has("name") && (has("cartridges") || has("groups")) {
        Some(Kind::CartridgeGroups)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_documents_are_recognised_by_kind_and_by_shape() {
        let text = "kind: Application\napplicationId: a\napplicationPolicy: p\n---\ntype: php\ncategory: framework\n---\nid: p\nloadThresholds: {}\n";
        let read = read(Path::new("x"), text).unwrap();
        let kinds: Vec<Kind> = read.iter().map(|d| d.kind).collect();
        assert!(read[0].body.get("kind").is_none() && read[0].body.get("applicationPolicy").is_none());
        assert_eq!(read[0].policy.as_deref(), Some("p"));
        assert_eq!(
            kinds,
            [Kind::Applications, Kind::Cartridges, Kind::AutoscalingPolicies]
        );
    }

    #[test]
    fn what_others_need_comes_first() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("1.yaml", "applicationId: a");
        write("2.yaml", "id: d\nnetworkPartitions: []");
        write("3.yml", "id: np\npartitions: []\nprovider: mock");
        write("readme.txt", "not a document");
        let read = read_all(&[folder.path().to_owned()]).unwrap();
        let names: Vec<&str> = read.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names, ["np", "d", "a"]);
    }

    #[test]
    fn unknown_documents_are_named_with_their_file() {
        for (text, word) in [
            ("kind: Pod\nid: a", "Pod"),
            ("a: b", "kind"),
            ("kind: Cartridge", "type"),
        ] {
            let said = read(Path::new("x.yaml"), text).unwrap_err().to_string();
            assert!(said.contains("x.yaml") && said.contains(word), "{said}");
        }
    }
}
