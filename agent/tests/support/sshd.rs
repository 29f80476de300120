//! A real SSH server on loopback, which serves repositories; and a way between it and the agent that can be cut.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cartridge_agent::host::git::Remote;
use cartridge_agent_plan::artifacts::{Addresses, Remotes, Rules};
use tempfile::TempDir;

use super::keys::{public, run, ssh_key};
use super::remote;

const PROGRAM: &str = "/usr/sbin/sshd";

/// `sshd`, with a host key and one user's key.
pub struct Sshd {
    pub folder: TempDir,
    pub address: &'static str,
    pub port: u16,
    child: Child,
}

impl Sshd {
    pub fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        Self::start_at("127.0.0.1", port)
    }

    pub fn start_at(address: &'static str, port: u16) -> Self {
        super::use_the_agent();
        let folder = TempDir::new().expect("a temporary folder");
        for name in ["host", "user"] {
            ssh_key(folder.path(), name, &["ed25519"]);
        }
        fs::copy(folder.path().join("user.pub"), folder.path().join("authorized")).expect("a copy");
        // It insists on this folder when root starts it.
        let _ = fs::create_dir_all("/run/sshd");
        let here = folder.path().display();
        let path = std::env::var("PATH").expect("a path");
        let config = format!(
            "Port {port}\nListenAddress {address}\nHostKey {here}/host\nPidFile none\nUsePAM no\nStrictModes no\n\
             AuthorizedKeysFile {here}/authorized\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin prohibit-password\nMaxStartups 100\nSetEnv PATH={path}\n"
        );
        fs::write(folder.path().join("config"), config).expect("a configuration");
        let child = Command::new(PROGRAM)
            .args(["-D", "-e", "-f"])
            .arg(folder.path().join("config"))
            .stderr(fs::File::create(folder.path().join("log")).expect("a log"))
            .spawn()
            .expect("sshd is installed (tests/install test)");
        let server = Self {
            folder,
            address,
            port,
            child,
        };
        server.answers();
        server
    }

    fn answers(&self) {
        let begun = Instant::now();
        while TcpStream::connect((self.address, self.port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "sshd: {}", self.log());
            std::thread::yield_now();
        }
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A line of known hosts for this server, seen at this port.
    pub fn known(&self, name: &str, port: u16) -> String {
        format!("[{name}]:{port} {}\n", public(&self.path("host")))
    }

    pub fn user() -> String {
        run(Command::new("id").arg("-un"))
    }

    /// The repository in this folder, over this port, with the right key and the server's own as known.
    pub fn remote(&self, folder: &Path, port: u16) -> Remote {
        fs::write(self.path("known"), self.known("127.0.0.1", port)).expect("known hosts");
        self.credentials(&self.path("user"));
        let rules = Rules {
            remotes: Remotes::parse("ssh").expect("a kind"),
            addresses: Addresses::parse("loopback").expect("a class"),
            credentials: Some(self.path("credentials")),
            known_hosts: Some(self.path("known")),
            ..Rules::default()
        };
        Remote {
            rules: Arc::new(rules),
            ..remote(format!(
                "ssh://{}@127.0.0.1:{port}{}",
                Self::user(),
                folder.display()
            ))
        }
    }

    /// From now on the agent shows this key.
    pub fn credentials(&self, key: &Path) {
        let text = format!(
            "{{\"127.0.0.1\": {{\"key\": \"{}\"}}, \"localhost\": {{\"key\": \"{}\"}}}}",
            key.display(),
            key.display()
        );
        fs::write(self.path("credentials"), text).expect("credentials");
        fs::set_permissions(self.path("credentials"), fs::Permissions::from_mode(0o600)).expect("a mode");
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes everything on to a server, until so many bytes have come from it.
pub struct Between {
    pub port: u16,
    pub cut: Arc<AtomicUsize>,
    pub passed: Arc<AtomicUsize>,
}

impl Between {
    pub fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (cut, passed) = (
            Arc::new(AtomicUsize::new(usize::MAX)),
            Arc::new(AtomicUsize::new(0)),
        );
        let between = Self {
            port,
            cut: cut.clone(),
            passed: passed.clone(),
        };
        std::thread::spawn(move || {
            for near in listener.incoming().flatten() {
                let far = TcpStream::connect(("127.0.0.1", to)).expect("the server");
                let (mut up, mut down) = (near.try_clone().expect("a socket"), near);
                let (mut into, mut from) = (far.try_clone().expect("a socket"), far);
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut up, &mut into);
                    let _ = into.shutdown(Shutdown::Both);
                });
                let (cut, passed) = (cut.clone(), passed.clone());
                std::thread::spawn(move || {
                    let (mut buffer, mut bytes) = ([0; 512], 0);
                    while let Ok(count) = from.read(&mut buffer) {
                        bytes += count;
                        passed.fetch_add(count, Ordering::SeqCst);
                        if count == 0
                            || bytes > cut.load(Ordering::SeqCst)
                            || down.write_all(&buffer[..count]).is_err()
                        {
                            break;
                        }
                    }
                    let _ = down.shutdown(Shutdown::Both);
                    let _ = from.shutdown(Shutdown::Both);
                });
            }
        });
        between
    }
}

/// Processes whose command line holds this.
pub fn processes(part: &str) -> Vec<PathBuf> {
    let all = fs::read_dir("/proc").expect("procfs").flatten();
    let holds = |folder: &PathBuf| {
        let line = fs::read(folder.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).replace('\0', " ").contains(part)
    };
    all.map(|entry| entry.path()).filter(holds).collect()
}
