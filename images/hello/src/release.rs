//! The release on disk: its page, its name, and whether it is well.
//!
//! The link is read for every request, so that a switch shows at once. This file refuses to know who switches.

use std::path::{Path, PathBuf};

use tokio::io::AsyncReadExt;

/// Largest file served; what is beyond is cut.
const MOST_BYTES: u64 = 8 << 20;
/// Shown where there is no release.
pub(crate) const BUILT_IN: &str = "<!doctype html>\n<title>Hello</title>\n<h1>Hello from Cartridge</h1>\n";

/// One release, as the link says right now.
#[derive(Debug)]
pub(crate) struct Release {
    root: PathBuf,
}

impl Release {
    /// Follows the link. `None` if nothing is there.
    pub(crate) async fn current(link: Option<&Path>) -> Option<Self> {
        let root = tokio::fs::canonicalize(link?).await.ok()?;
        Some(Self { root })
    }

    /// The commit: the name of the folder that the link leads to.
    pub(crate) fn name(&self) -> String {
        let name = self.root.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// The page.
    pub(crate) async fn page(&self) -> std::io::Result<Vec<u8>> {
        self.read("index.html").await
    }

    /// What is wrong with it; `None` if it is well.
    pub(crate) async fn fault(&self) -> Option<Vec<u8>> {
        match self.read("unhealthy").await {
            Ok(text) => Some(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => Some(format!("unhealthy: {error}\n").into_bytes()),
        }
    }

    async fn read(&self, name: &str) -> std::io::Result<Vec<u8>> {
        let file = tokio::fs::File::open(self.root.join(name)).await?;
        let mut content = Vec::new();
        file.take(MOST_BYTES).read_to_end(&mut content).await?;
        Ok(content)
    }
}
