//! A bare repository and a working clone of it, made with the real `git`, untouched by the user's configuration.
//!
//! It refuses to know who serves the bare repository and who reads it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

const DEADLINE: Duration = Duration::from_secs(300);
/// The branch that everything happens on.
pub const BRANCH: &str = "main";

/// Why `git` did not do it.
#[derive(Debug, thiserror::Error)]
pub enum GitFault {
    /// It could not be started, or a file could not be written.
    #[error("{0}; is git installed?")]
    Io(#[from] io::Error),
    /// It said no.
    #[error("git {command} failed: {said}")]
    Refused {
        /// The first arguments.
        command: String,
        /// Its words.
        said: String,
    },
    /// It took too long.
    #[error("git {0} took longer than {DEADLINE:?}")]
    Deadline(String),
}

/// Runs `git` in `folder` with nobody's configuration and answers what it printed, trimmed.
pub async fn git(folder: &Path, arguments: &[&str]) -> Result<String, GitFault> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_AUTHOR_NAME", "Ada Example")
        .env("GIT_AUTHOR_EMAIL", "ada@example.test")
        .env("GIT_COMMITTER_NAME", "Ada Example")
        .env("GIT_COMMITTER_EMAIL", "ada@example.test")
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let command = || arguments.iter().take(3).copied().collect::<Vec<_>>().join(" ");
    let output = tokio::time::timeout(DEADLINE, output)
        .await
        .map_err(|_| GitFault::Deadline(command()))??;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(GitFault::Refused {
        command: command(),
        said,
    })
}

/// A bare repository with a working clone.
#[derive(Debug, Clone)]
pub struct Repository {
    bare: PathBuf,
    work: PathBuf,
}

impl Repository {
    /// Makes an empty bare repository at `bare` and a clone at `work`; pushes go to `bare` by its path until
    /// [`Self::push_to`] says otherwise.
    pub async fn create(bare: &Path, work: &Path) -> Result<Self, GitFault> {
        tokio::fs::create_dir_all(bare).await?;
        tokio::fs::create_dir_all(work).await?;
        git(bare, &["init", "--quiet", "--bare", "--initial-branch", BRANCH]).await?;
        git(work, &["init", "--quiet", "--initial-branch", BRANCH]).await?;
        git(work, &["config", "core.autocrlf", "false"]).await?;
        for folder in [bare, work] {
            git(folder, &["config", "gc.auto", "0"]).await?;
            git(folder, &["config", "receive.autogc", "false"]).await?;
            // The search for deltas would cost more than anything that is measured.
            git(folder, &["config", "pack.window", "0"]).await?;
        }
        git(work, &["remote", "add", "origin", &bare.to_string_lossy()]).await?;
        Ok(Self {
            bare: bare.to_owned(),
            work: work.to_owned(),
        })
    }

    /// The bare repository's folder.
    pub fn bare(&self) -> &Path {
        &self.bare
    }

    /// The working clone's folder.
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Pushes go to `url` from now on.
    pub async fn push_to(&self, url: &str) -> Result<(), GitFault> {
        git(&self.work, &["remote", "set-url", "origin", url])
            .await
            .map(drop)
    }

    /// Writes a file into the working clone; folders appear as needed.
    pub async fn write(&self, path: &str, content: impl AsRef<[u8]>) -> Result<(), GitFault> {
        let target = self.work.join(path);
        if let Some(folder) = target.parent() {
            tokio::fs::create_dir_all(folder).await?;
        }
        Ok(tokio::fs::write(target, content).await?)
    }

    /// Removes a file from the working clone.
    pub async fn remove(&self, path: &str) -> Result<(), GitFault> {
        Ok(tokio::fs::remove_file(self.work.join(path)).await?)
    }

    /// Commits everything that differs and answers the full hash.
    pub async fn commit(&self, message: &str) -> Result<String, GitFault> {
        git(&self.work, &["add", "--all"]).await?;
        git(&self.work, &["commit", "--quiet", "--allow-empty", "-m", message]).await?;
        self.head().await
    }

    /// Pushes the branch.
    pub async fn push(&self) -> Result<(), GitFault> {
        git(&self.work, &["push", "--quiet", "origin", BRANCH])
            .await
            .map(drop)
    }

    /// Writes the files, commits, pushes, and answers the full hash.
    pub async fn publish(&self, files: &[(&str, &str)], message: &str) -> Result<String, GitFault> {
        for (path, content) in files {
            self.write(path, content).await?;
        }
        let hash = self.commit(message).await?;
        self.push().await?;
        Ok(hash)
    }

    /// The working clone's head.
    pub async fn head(&self) -> Result<String, GitFault> {
        git(&self.work, &["rev-parse", "HEAD"]).await
    }

    /// The bare repository's head of the branch.
    pub async fn published(&self) -> Result<String, GitFault> {
        git(&self.bare, &["rev-parse", &format!("refs/heads/{BRANCH}")]).await
    }

    /// Fills the working clone with `files` files of together `bytes` bytes that compress badly; the same
    /// `seed` gives the same content. The benchmark repository is `fill(10_000, 200 << 20, 1)`.
    pub async fn fill(&self, files: u32, bytes: u64, seed: u64) -> Result<(), GitFault> {
        let each = usize::try_from(bytes / u64::from(files.max(1))).unwrap_or(usize::MAX);
        let work = self.work.clone();
        let writing = tokio::task::spawn_blocking(move || write_files(&work, files, each, seed));
        Ok(writing.await.map_err(io::Error::other)??)
    }
}

fn write_files(work: &Path, files: u32, each: usize, seed: u64) -> io::Result<()> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    for number in 0..files {
        let folder = work.join(format!("data/{:02}", number % 100));
        if number < 100 {
            std::fs::create_dir_all(&folder)?;
        }
        let mut content = Vec::with_capacity(each + 8);
        while content.len() < each {
            // Xorshift: quick, repeatable, and nothing that zlib could shorten.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            content.extend_from_slice(&state.to_le_bytes());
        }
        content.truncate(each);
        std::fs::write(folder.join(format!("{number:05}.bin")), content)?;
    }
    Ok(())
}
