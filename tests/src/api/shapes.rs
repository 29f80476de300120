//! What the API answers, as far as tests look at it.
//!
//! It refuses to know the fields that nobody here reads.

use serde::Deserialize;
use serde_json::Value;

/// One member, as the API tells it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Its id.
    pub member: String,
    /// Which of its lives.
    pub incarnation: u64,
    /// Its cluster.
    #[serde(default)]
    pub cluster: Option<String>,
    /// Where it runs.
    pub network_partition: String,
    /// Where exactly.
    #[serde(default)]
    pub partition: Option<String>,
    /// `active`, `starting`, …
    #[serde(deserialize_with = "phase")]
    pub phase: String,
    /// `application` or `balancer`.
    pub kind: String,
    /// The commit it serves.
    #[serde(default)]
    pub release: Option<String>,
    /// Its address.
    #[serde(default)]
    pub address: Option<String>,
}

/// A phase is told as a word, or as `{"state": word, …}`.
fn phase<'de, D: serde::Deserializer<'de>>(source: D) -> Result<String, D::Error> {
    let value = Value::deserialize(source)?;
    let word = value.get("state").unwrap_or(&value).as_str();
    word.map(str::to_owned)
        .ok_or_else(|| serde::de::Error::custom("phase is neither a word nor has a state"))
}

impl Member {
    /// Whether it serves.
    pub fn is_active(&self) -> bool {
        self.phase.eq_ignore_ascii_case("active")
    }

    /// Whether it is a balancer.
    pub fn is_balancer(&self) -> bool {
        self.kind == "balancer"
    }
}

/// A balancer in front of an application.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Where it stands.
    pub network_partition: String,
    /// Its address.
    pub address: std::net::IpAddr,
    /// Its port.
    pub port: u16,
    /// Active members behind it.
    pub members: u32,
}
