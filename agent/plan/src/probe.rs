//! What counts as a healthy application: which ports must answer, and with what.
//!
//! Refuses to know how a connection is made.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What is asked of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Nothing: it is healthy while it runs.
    Running,
    /// Every one of these ports accepts a connection.
    Tcp(Vec<u16>),
    /// This answers with 2xx or 3xx.
    Http {
        /// The port.
        port: u16,
        /// The path, from `/`.
        path: String,
    },
}

/// What one probe said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Healthy.
    Healthy,
    /// Nobody answered: perhaps not yet.
    Silent(String),
    /// Somebody answered that things are not well.
    Unwell(String),
}

/// Why a probe cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProbe {
    /// Not the expected JSON.
    #[error("is not {{\"http\":{{\"port\":\"http\",\"path\":\"/health\"}}}} or {{\"tcp\":{{}}}}: {0}")]
    Json(String),
    /// A port name nobody defined.
    #[error("names port {0:?}, which is neither a number nor in PORT_MAPPINGS")]
    Port(String),
    /// No absolute path.
    #[error("has the path {0:?}; a path begins with '/' and holds neither blanks nor control characters")]
    Path(String),
    /// A probe of ports without any.
    #[error("asks for the ports of PORTS, but PORTS is empty")]
    NoPorts,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Written {
    Tcp {},
    Http { port: Port, path: Option<String> },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u16),
    Name(String),
}

impl Probe {
    /// Without anything written: all ports, or nothing where there are none.
    pub fn of_ports(ports: &[u16]) -> Self {
        if ports.is_empty() {
            Self::Running
        } else {
            Self::Tcp(ports.to_vec())
        }
    }

    /// Reads `CARTRIDGE_PROBE`.
    pub fn parse(text: &str, ports: &[u16], named: &BTreeMap<String, u16>) -> Result<Self, InvalidProbe> {
        match serde_json::from_str(text).map_err(|e| InvalidProbe::Json(e.to_string()))? {
            Written::Tcp {} if ports.is_empty() => Err(InvalidProbe::NoPorts),
            Written::Tcp {} => Ok(Self::of_ports(ports)),
            Written::Http { port, path } => {
                let path = path.unwrap_or_else(|| "/".to_owned());
                if !path.starts_with('/') || path.chars().any(|c| c.is_control() || c == ' ') {
                    return Err(InvalidProbe::Path(path));
                }
                let port = match port {
                    Port::Number(number) => number,
                    Port::Name(name) => named
                        .get(&name)
                        .copied()
                        .or_else(|| name.parse().ok())
                        .ok_or(InvalidProbe::Port(name))?,
                };
                Ok(Self::Http { port, path })
            }
        }
    }
}

/// What the first line of an HTTP answer says.
pub fn http_outcome(beginning: &[u8]) -> Outcome {
    let line = beginning
        .split(|b| *b == b'\r' || *b == b'\n')
        .next()
        .unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let version = words.next().unwrap_or_default();
    match words.next().and_then(|w| w.parse::<u16>().ok()) {
        Some(200..=399) if version.starts_with("HTTP/1.") => Outcome::Healthy,
        Some(status) if version.starts_with("HTTP/1.") => {
            Outcome::Unwell(format!("answers with status {status}"))
        }
        _ if line.is_empty() => Outcome::Silent("closes the connection without an answer".into()),
        _ => Outcome::Unwell("answers, but not in HTTP/1".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_by_name_and_by_number() {
        let named = BTreeMap::from([("http".to_owned(), 8080)]);
        let http = |path: &str| Probe::Http {
            port: 8080,
            path: path.into(),
        };
        for (text, expected) in [
            (r#"{"http":{"port":"http","path":"/health"}}"#, http("/health")),
            (r#"{"http":{"port":8080}}"#, http("/")),
            (r#"{"http":{"port":"8080"}}"#, http("/")),
            (r#"{"tcp":{}}"#, Probe::Tcp(vec![22])),
        ] {
            assert_eq!(Probe::parse(text, &[22], &named), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_probed_is_refused() {
        let none = BTreeMap::new();
        for bad in [
            "x",
            r#"{"http":{"port":"http"}}"#,
            r#"{"http":{"port":1,"path":"health"}}"#,
            r#"{"http":{"port":1,"path":"/a\r\nX: y"}}"#,
            r#"{"tcp":{}}"#,
        ] {
            assert!(Probe::parse(bad, &[], &none).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn only_2xx_and_3xx_are_healthy() {
        assert_eq!(http_outcome(b"HTTP/1.1 200 OK\r\n"), Outcome::Healthy);
        assert_eq!(http_outcome(b"HTTP/1.0 302 Found\r\n"), Outcome::Healthy);
        assert!(matches!(http_outcome(b"HTTP/1.1 503 No\r\n"), Outcome::Unwell(_)));
        assert!(matches!(http_outcome(b"SSH-2.0-x\r\n"), Outcome::Unwell(_)));
        assert!(matches!(http_outcome(b""), Outcome::Silent(_)));
    }
}
