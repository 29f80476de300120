//! Ends everything that one life of a member consists of: what carries its tag, and what is in its cgroups.
//! Refuses to know why.

use std::path::PathBuf;
use std::time::Duration;

use super::{blocking, cgroup, tagged};
use crate::provision::ProvisionError;

/// For all processes of an instance to be gone.
const GONE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(10);

/// Kills every process with this tag or in these cgroups, and those that they start meanwhile.
pub(super) async fn end_all(tag: &str, cgroups: &[PathBuf]) -> Result<(), ProvisionError> {
    let rounds = async {
        let mut again = false;
        loop {
            let (tag, cgroups) = (tag.to_owned(), cgroups.to_vec());
            if blocking(move || end_once(&tag, &cgroups, again)).await? == 0 {
                return Ok(());
            }
            again = true;
            tokio::time::sleep(AGAIN).await;
        }
    };
    match tokio::time::timeout(GONE, rounds).await {
        Ok(result) => result,
        Err(_) => Err(ProvisionError(format!(
            "processes of {tag} are still there {} s after SIGKILL",
            GONE.as_secs()
        ))),
    }
}

fn end_once(tag: &str, cgroups: &[PathBuf], again: bool) -> Result<usize, ProvisionError> {
    let held: usize = cgroups.iter().map(|folder| cgroup::end_once(folder, again)).sum();
    Ok(held + tagged::kill_once(tag)?)
}
