//! Options about what the application writes: which files, how they are read. Refuses to know what is in them.

use std::path::{Path, PathBuf};

use cartridge_protocol::link::MAX_TEXT_BYTES;

use super::values::number;
use crate::logs::{LogRules, Rate};

/// Files to follow.
pub const LOG_FILES: &str = "CARTRIDGE_LOG_FILES";
/// What the first line of an entry begins with.
pub const LOG_START: &str = "CARTRIDGE_LOG_START";
/// Lines that one stream may bring in a second.
pub const LOG_LINES: &str = "CARTRIDGE_LOG_LINES";
/// Bytes that one stream may bring in a second.
pub const LOG_BYTES: &str = "CARTRIDGE_LOG_BYTES";
/// Most paths and patterns.
const MOST: usize = 64;

/// What is known of the application's logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// Which files.
    pub files: Vec<LogFiles>,
    /// How they, and the application's output, are read.
    pub rules: LogRules,
}

/// One file of a folder, or all that are meant by a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFiles {
    /// The folder.
    pub folder: PathBuf,
    /// The file's name; `*` is any text.
    pub name: String,
}

/// `/path/file|/path/*.log`
pub(super) fn files(text: &str) -> Result<Vec<LogFiles>, String> {
    let all: Vec<&str> = text.split('|').map(str::trim).filter(|t| !t.is_empty()).collect();
    if all.len() > MOST {
        return Err(format!("{} paths; at most {MOST} are followed", all.len()));
    }
    all.into_iter().map(one).collect()
}

fn one(text: &str) -> Result<LogFiles, String> {
    let fault = |why: &str| Err(format!("{text:?}: {why}"));
    let Some((folder, name)) = text.rsplit_once('/').filter(|_| text.starts_with('/')) else {
        return fault("not an absolute path");
    };
    if name.is_empty() || name == "." || name == ".." {
        return fault("names no file");
    }
    if folder.contains('*') {
        return fault("a * is for the last part only");
    }
    if folder.split('/').any(|part| part == "..") || text.contains(['\0', '\n']) {
        return fault("goes up, or holds what no path holds");
    }
    // Beside the name that a pattern stands for.
    if text.len() + 255 > MAX_TEXT_BYTES {
        return fault("too long");
    }
    Ok(LogFiles {
        folder: PathBuf::from(if folder.is_empty() { "/" } else { folder }),
        name: name.to_owned(),
    })
}

/// The agent's own secrets are below `state`: nothing there is ever followed.
pub(super) fn outside(files: &[LogFiles], state: &Path) -> Result<(), String> {
    match files.iter().find(|f| f.folder.starts_with(state)) {
        Some(inside) => Err(format!(
            "names files in {}, which is the agent's own folder",
            inside.folder.display()
        )),
        None => Ok(()),
    }
}

pub(super) fn lines(text: &str) -> Result<u32, String> {
    bounded(text, 1, 100_000)
}

pub(super) fn bytes(text: &str) -> Result<u32, String> {
    bounded(text, 1_000, 100_000_000)
}

fn bounded(text: &str, least: u64, most: u64) -> Result<u32, String> {
    number(text, least, most).map(|n| u32::try_from(n).unwrap_or(u32::MAX))
}

/// Put together; what is missing has its default.
pub(super) fn settings(
    files: Option<Vec<LogFiles>>,
    start: Option<crate::logs::pattern::Start>,
    lines: Option<u32>,
    bytes: Option<u32>,
) -> LogSettings {
    let rate = Rate::default();
    LogSettings {
        files: files.unwrap_or_default(),
        rules: LogRules {
            start,
            rate: Rate {
                lines: lines.unwrap_or(rate.lines),
                bytes: bytes.unwrap_or(rate.bytes),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_parted_by_bars_and_only_the_last_part_has_stars() {
        let got = files("/var/log/a.log| /srv/*.log |/x").unwrap();
        let shown: Vec<(String, &str)> = got
            .iter()
            .map(|f| (f.folder.display().to_string(), f.name.as_str()))
            .collect();
        assert_eq!(
            shown,
            [
                ("/var/log".into(), "a.log"),
                ("/srv".into(), "*.log"),
                ("/".into(), "x")
            ]
        );
        for bad in [
            "a.log",
            "/var/*/a.log",
            "/var/log/",
            "/a/../b",
            "/a/..",
            "/a\0b",
            "log/a",
        ] {
            assert!(files(bad).is_err(), "{bad:?}");
        }
        assert!(files(&"/a|".repeat(65)).is_err());
        assert!(files(&format!("/{}", "a".repeat(4000))).is_err());
    }

    #[test]
    fn the_agents_own_folder_is_not_followed() {
        let inside = files("/state/x/*.log").unwrap();
        assert!(outside(&inside, Path::new("/state")).is_err());
        assert!(outside(&inside, Path::new("/stat")).is_ok());
    }
}
