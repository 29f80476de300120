//! Finds who gave this machine its address, in what the DHCP clients keep. Refuses to know their formats.

use std::fs::File;
use std::io::Read;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cartridge_agent_plan::user_data::dhcp_server;

/// Where systemd-networkd, NetworkManager and dhclient keep their leases.
const FOLDERS: &[&str] = &[
    "/run/systemd/netif/leases",
    "/var/lib/NetworkManager",
    "/var/lib/dhcp",
    "/var/lib/dhclient",
];
/// Most files looked at in one folder.
const MOST_FILES: usize = 64;
/// Most of one file.
const MOST: u64 = 1 << 20;

/// The server of the newest lease.
pub(super) fn server() -> Option<Ipv4Addr> {
    server_in(FOLDERS.iter().map(Path::new))
}

fn server_in<'a>(folders: impl Iterator<Item = &'a Path>) -> Option<Ipv4Addr> {
    let mut files: Vec<(SystemTime, PathBuf)> = folders.flat_map(files_in).collect();
    files.sort();
    files.iter().rev().find_map(|(_, path)| {
        let mut text = Vec::new();
        File::open(path).ok()?.take(MOST).read_to_end(&mut text).ok()?;
        dhcp_server(&String::from_utf8_lossy(&text))
    })
}

fn files_in(folder: &Path) -> Vec<(SystemTime, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let file = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.ok()?;
        let about = entry.metadata().ok()?;
        about.is_file().then_some((about.modified().ok()?, entry.path()))
    };
    entries.take(MOST_FILES).filter_map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_file_that_names_a_server_counts() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, age: u64, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            let when = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000 - age);
            File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_modified(when)
                .unwrap();
        };
        write("old", 100, "SERVER_ADDRESS=10.0.0.1\n");
        write("new", 50, "SERVER_ADDRESS=10.0.0.2\n");
        write("newest", 1, "nothing of the kind");
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        let nowhere = folder.path().join("absent");
        let found = server_in([nowhere.as_path(), folder.path()].into_iter());
        assert_eq!(found, Some(Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(server_in([nowhere.as_path()].into_iter()), None);
    }
}
