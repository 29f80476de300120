//! Git over SSH: the machine's `ssh` carries the bytes, confined, in a closed environment, with no settings but those
//! given here. The server's key must be in the operator's file; the name is looked up here, so that the rule about
//! addresses holds, and `ssh` connects to what was found. It refuses to know what the bytes mean.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use cartridge_agent_plan::artifacts::advertisement::Reader;
use cartridge_agent_plan::artifacts::ssh_words::{self, Trouble};
use cartridge_agent_plan::artifacts::{Rules, ssh_place};

use super::Stop;
use super::address::Address;
use super::carrier::Meter;
use super::confined::{self, Room, Running};
use super::credentials::Login;
use super::fault::{Fault, GitError, plain};
use super::patient::Patient;
use super::wire::{self, Patience};

const PROGRAM: &str = "ssh";
/// Who one is where nobody says: what the large forges expect.
const USER: &str = "git";
/// Longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// Most addresses of one name that are tried.
const MOST_ADDRESSES: usize = 4;
/// Most that it may use.
const MEMORY: u64 = 128 << 20;
const PROCESSOR: u64 = 3600;
/// Most of its words that are looked at.
const MOST_WORDS: u64 = 32 << 10;
/// Bytes read at a time.
const CHUNK: usize = 64 << 10;

/// Everything that is fixed: nothing is read from anybody's settings, nobody is asked, nothing but the one key is
/// shown, nothing is forwarded, started or written.
const FIXED: &[&str] = &[
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "GlobalKnownHostsFile=/dev/null",
    "CheckHostIP=no",
    "UpdateHostKeys=no",
    "VerifyHostKeyDNS=no",
    "CanonicalizeHostname=no",
    "IdentitiesOnly=yes",
    "IdentityAgent=none",
    "AddKeysToAgent=no",
    "PreferredAuthentications=publickey",
    "PasswordAuthentication=no",
    "KbdInteractiveAuthentication=no",
    "GSSAPIAuthentication=no",
    "HostbasedAuthentication=no",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "PermitLocalCommand=no",
    "ProxyCommand=none",
    "ProxyJump=none",
    "ControlMaster=no",
    "ControlPath=none",
    "ControlPersist=no",
    "EscapeChar=none",
    "Tunnel=no",
    "RequestTTY=no",
    "ConnectionAttempts=1",
    "TCPKeepAlive=yes",
    // Where the server's key is told, which a person needs.
    "LogLevel=DEBUG1",
];

/// One repository on a server.
pub(super) struct Ssh {
    program: PathBuf,
    host: String,
    port: u16,
    user: String,
    path: String,
    key: PathBuf,
    known_hosts: PathBuf,
    rules: Rules,
    stop: Stop,
    silence: Duration,
    line: Option<Line>,
}

/// A connection.
struct Line {
    running: Running,
    socket: Patient,
    heard: bool,
    used: bool,
}

impl Ssh {
    pub(super) fn new(
        address: &Address,
        login: Login,
        rules: &Rules,
        patience: Patience,
    ) -> Result<Self, GitError> {
        let url = super::address::shown(address.url.as_str());
        let setting = |path: PathBuf, reason: &str| GitError::Setting {
            path,
            reason: reason.to_owned(),
        };
        let program = confined::find(PROGRAM).ok_or_else(|| {
            setting(
                PROGRAM.into(),
                "it is not installed, and repositories over SSH need it",
            )
        })?;
        let known_hosts = rules.known_hosts.clone();
        let known_hosts =
            known_hosts.ok_or_else(|| setting(PROGRAM.into(), "repositories over SSH need --known-hosts"))?;
        let key = login.key.ok_or(GitError::Key { url, given: false })?;
        for file in [&known_hosts, &key] {
            if let Some(fault) = ssh_place::file_fault(&file.to_string_lossy()) {
                return Err(setting(file.clone(), fault));
            }
            std::fs::File::open(file).map_err(|error| setting(file.clone(), &error.to_string()))?;
        }
        let user = login.username.unwrap_or_else(|| USER.to_owned());
        let path = address.path.clone().unwrap_or_default();
        let host = address.url.host_str().unwrap_or_default().to_owned();
        let fault = ssh_place::user_fault(&user).or_else(|| ssh_place::host_fault(&host));
        if let Some(reason) = fault.or_else(|| ssh_place::path_fault(&path)) {
            let url = super::address::shown(address.url.as_str());
            return Err(GitError::Address { url, reason });
        }
        Ok(Self {
            program,
            port: address.url.port().unwrap_or(ssh_place::PORT),
            host,
            user,
            path,
            key,
            known_hosts,
            rules: rules.clone(),
            stop: patience.stop,
            silence: patience.silence,
            line: None,
        })
    }

    /// Connects, and reads what the server has.
    pub(super) fn list(&mut self, reader: &mut Reader, meter: &mut Meter) -> Result<(), Fault> {
        self.line = None;
        let patience = Patience {
            stop: self.stop.clone(),
            silence: CONNECT,
        };
        let found = wire::look_up(&patience, &self.host, self.port, self.rules.addresses)?;
        let mut last = Fault::Unreachable("its name has no address".to_owned());
        for address in found.into_iter().take(MOST_ADDRESSES) {
            match self.list_at(address, reader, meter) {
                // The name may have an address that works.
                Err(Fault::Unreachable(why)) if !self.line.as_ref().is_some_and(|line| line.heard) => {
                    last = Fault::Unreachable(why);
                }
                other => return other,
            }
        }
        Err(last)
    }

    fn list_at(&mut self, to: SocketAddr, reader: &mut Reader, meter: &mut Meter) -> Result<(), Fault> {
        let line = self
            .connect(to)
            .map_err(|error| Fault::Unreachable(plain(&error.to_string())))?;
        self.line = Some(line);
        loop {
            let piece = self.take()?;
            if piece.is_empty() {
                return Err(Fault::NotARepository(
                    "it ends before its list of branches does".to_owned(),
                ));
            }
            meter.came(piece.len())?;
            if reader.feed(&piece)? {
                return Ok(());
            }
        }
    }

    fn connect(&self, to: SocketAddr) -> io::Result<Line> {
        let mut command = confined::command(
            &self.program,
            &Room {
                port: Some(self.port),
                user: None,
                memory: MEMORY,
                processor: PROCESSOR,
                required: self.rules.confinement.required,
            },
        );
        self.arguments(&mut command, to);
        let (ours, theirs) = UnixStream::pair()?;
        command
            .stdin(Stdio::from(OwnedFd::from(theirs.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(theirs)));
        Ok(Line {
            running: Running::start(command)?,
            socket: Patient::new(ours, &self.stop, self.silence)?,
            heard: false,
            used: false,
        })
    }

    fn arguments(&self, command: &mut Command, to: SocketAddr) {
        let option = |name: &str, value: &dyn std::fmt::Display| format!("{name}={value}");
        let chosen = [
            option("ConnectTimeout", &CONNECT.as_secs()),
            option("UserKnownHostsFile", &self.known_hosts.display()),
            option("IdentityFile", &self.key.display()),
            option("HostKeyAlias", &ssh_place::known_as(&self.host, self.port)),
            option("Port", &self.port),
            option("User", &self.user),
        ];
        // The file "none" is no file at all: nobody's settings.
        command.args(["-F", "none"]);
        for setting in FIXED.iter().copied().chain(chosen.iter().map(String::as_str)) {
            command.args(["-o", setting]);
        }
        command
            .arg("--")
            .arg(to.ip().to_string())
            .arg(ssh_place::command(&self.path));
    }

    /// Whether what was connected has been used for a fetch.
    pub(super) fn is_spent(&self) -> bool {
        self.line.as_ref().is_none_or(|line| line.used)
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let Some(line) = &mut self.line else {
            return Err(Fault::Unreachable("it is not connected".to_owned()));
        };
        line.used = true;
        let sent = line.socket.write_all(bytes);
        sent.map_err(|error| self.broken(&error))
    }

    /// The next piece of the answer; none is its end.
    pub(super) fn take(&mut self) -> Result<Bytes, Fault> {
        let Some(line) = &mut self.line else {
            return Ok(Bytes::new());
        };
        let mut piece = vec![0; CHUNK];
        match line.socket.read(&mut piece) {
            Ok(0) => self.end().map(|()| Bytes::new()),
            Ok(count) => {
                line.heard = true;
                piece.truncate(count);
                Ok(piece.into())
            }
            Err(error) => Err(self.broken(&error)),
        }
    }

    fn broken(&mut self, error: &io::Error) -> Fault {
        if self.stop.is_raised() {
            return Fault::Stopped;
        }
        if error.kind() == io::ErrorKind::TimedOut {
            return Fault::Unreachable(format!("it said nothing for {} s", self.silence.as_secs()));
        }
        self.end()
            .err()
            .unwrap_or_else(|| Fault::Unreachable("the connection broke off".to_owned()))
    }

    /// What it means that `ssh` says nothing more.
    fn end(&mut self) -> Result<(), Fault> {
        let Some(mut line) = self.line.take() else {
            return Ok(());
        };
        let status = line.running.wait();
        if status.is_some_and(|status| status.success()) {
            return Ok(());
        }
        let words = line.running.words(MOST_WORDS);
        tracing::debug!(words, "ssh has ended");
        Err(
            match ssh_words::trouble(&words, status.and_then(|status| status.code())) {
                Trouble::Host(why) => Fault::HostKey(plain(&why)),
                Trouble::Key => Fault::Key,
                Trouble::KeyFile(why) => Fault::Setting(self.key.clone(), why),
                Trouble::Unreachable(why) => Fault::Unreachable(plain(&why)),
                Trouble::Command(why) => Fault::NotARepository(plain(&why)),
            },
        )
    }
}
