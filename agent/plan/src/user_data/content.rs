//! Whether user-data is for us. Much of what people give to instances is for cloud-init or Ignition.

use cartridge_protocol::launch::{InvalidLaunchParameters, Parsed, parse};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Why user-data is not for us.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// For somebody else.
    #[error(
        "is {0}; accepted: launch parameters alone (or have it write them to a file, and name that with --launch-params)"
    )]
    Foreign(&'static str),
    /// No text.
    #[error("is not text in UTF-8: byte {0} is wrong")]
    NotText(usize),
    /// Not as launch parameters are.
    #[error(transparent)]
    Invalid(#[from] InvalidLaunchParameters),
}

/// Beginnings of what is for others, and what it is.
const FOREIGN: &[(&str, &str)] = &[
    ("#!", "a script (#!)"),
    ("#cloud-config", "a configuration of cloud-init (#cloud-config)"),
    ("#cloud-boothook", "for cloud-init (#cloud-boothook)"),
    ("#include", "for cloud-init (#include)"),
    ("#part-handler", "for cloud-init (#part-handler)"),
    ("#upstart-job", "for cloud-init (#upstart-job)"),
    ("## template:", "a template of cloud-init (## template:)"),
    ("content-type:", "a MIME message for cloud-init"),
    ("mime-version:", "a MIME message for cloud-init"),
    ("<?xml", "XML"),
    ("<powershell", "a script (<powershell>)"),
];

/// Reads user-data. Empty ones hold nothing.
pub fn content(bytes: &[u8]) -> Result<Parsed, NotOurs> {
    if bytes.starts_with(&[0x1f, 0x8b]) {
        return Err(NotOurs::Foreign("compressed (gzip)"));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| NotOurs::NotText(e.valid_up_to() + 1))?;
    let begins = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let foreign = FOREIGN.iter().find(|(beginning, _)| {
        let head = begins.get(..beginning.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(beginning))
    });
    if let Some((_, what)) = foreign {
        return Err(NotOurs::Foreign(what));
    }
    if begins.is_empty() {
        return Ok(Parsed::default());
    }
    if is_ignition(begins) {
        return Err(NotOurs::Foreign("a configuration for Ignition"));
    }
    Ok(parse(text)?)
}

fn is_ignition(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Config {
        #[serde(rename = "ignition")]
        _ignition: IgnoredAny,
    }
    serde_json::from_str::<Config>(text).is_ok()
}
