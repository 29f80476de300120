//! A real Git server and real repositories for tests: `git http-backend` behind a small bridge, on loopback.
//!
//! It refuses to know the code under test.
#![allow(dead_code, reason = "every test uses another part")]

pub mod keys;
pub mod settled;
pub mod sshd;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use cartridge_agent::host::git::Remote;
use cartridge_agent_plan::artifacts::{Addresses, Remotes, Rules};
use cartridge_protocol::CommitId;
use tempfile::TempDir;

#[allow(unused_imports, reason = "every test uses another part")]
pub use settled::{open_again, settle, settle_to};

/// Repositories are fetched by the agent's own binary: a test's cannot be started as a fetching process.
pub fn use_the_agent() {
    if let Some(program) = option_env!("CARGO_BIN_EXE_cartridge-agent") {
        cartridge_agent::host::git::fetch_with(Path::new(program));
    }
}

/// Rules under which a test can reach its own server and its own folder.
pub fn rules() -> Rules {
    Rules {
        remotes: Remotes::parse("https|file").expect("kinds"),
        addresses: Addresses::parse("loopback").expect("classes"),
        ..Rules::default()
    }
}

/// The branch `main` there, under those rules.
pub fn remote(url: impl Into<String>) -> Remote {
    Remote {
        rules: Arc::new(rules()),
        ..Remote::new(url, "main")
    }
}

/// A working repository with the branch `main`.
pub struct Repo {
    dir: TempDir,
}

impl Repo {
    pub fn new() -> Self {
        use_the_agent();
        let dir = TempDir::new().expect("a temporary folder");
        let repo = Self { dir };
        repo.git(&["init", "-q", "-b", "main"]);
        repo
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn file_url(&self) -> String {
        format!("file://{}", self.dir.path().display())
    }

    pub fn git(&self, args: &[&str]) -> String {
        git_in(self.path(), args, b"")
    }

    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, content).expect("a written file");
    }

    pub fn commit(&self) -> CommitId {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "next"]);
        id(&self.git(&["rev-parse", "HEAD"]))
    }

    /// A commit of exactly this tree object, made the head of `main` without looking at it.
    pub fn commit_tree(&self, tree: &str) -> CommitId {
        let commit = self.git(&["commit-tree", "-m", "hostile", tree]);
        self.git(&["update-ref", "refs/heads/main", &commit]);
        id(&commit)
    }

    pub fn blob(&self, content: &[u8]) -> String {
        git_in(self.path(), &["hash-object", "-w", "--stdin"], content)
    }

    /// A tree object of these raw entries: mode, name, hash.
    pub fn tree(&self, entries: &[(&str, &[u8], &str)]) -> String {
        let mut raw = Vec::new();
        for (mode, name, hash) in entries {
            raw.extend_from_slice(mode.as_bytes());
            raw.push(b' ');
            raw.extend_from_slice(name);
            raw.push(0);
            let digits: Vec<char> = hash.chars().collect();
            for pair in digits.chunks(2) {
                let byte: String = pair.iter().collect();
                raw.push(u8::from_str_radix(&byte, 16).expect("a hash"));
            }
        }
        git_in(
            self.path(),
            &["hash-object", "--literally", "-w", "-t", "tree", "--stdin"],
            &raw,
        )
    }

    /// The tree object that a folder on disk amounts to.
    pub fn tree_of_folder(&self, folder: &Path) -> String {
        let scratch = TempDir::new().expect("a temporary folder");
        let run = |args: &[&str]| {
            let mut all = vec!["--git-dir", ".git", "--work-tree"];
            let folder = folder.to_str().expect("a plain path");
            all.push(folder);
            all.extend_from_slice(args);
            let mut command = git_command(self.path());
            command
                .env("GIT_INDEX_FILE", scratch.path().join("index"))
                .args(all);
            output(command, b"")
        };
        run(&["add", "-A", "-f", "."]);
        run(&["write-tree"])
    }

    pub fn tree_of_commit(&self, commit: &CommitId) -> String {
        self.git(&["rev-parse", &format!("{commit}^{{tree}}")])
    }
}

pub fn id(text: &str) -> CommitId {
    CommitId::new(text.trim()).expect("a commit")
}

pub fn git_in(dir: &Path, args: &[&str], stdin: &[u8]) -> String {
    let mut command = git_command(dir);
    command.args(args);
    output(command, stdin)
}

fn git_command(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{who}_NAME"), "t")
            .env(format!("GIT_{who}_EMAIL"), "t@example.org");
    }
    command
}

fn output(mut command: Command, stdin: &[u8]) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("git is installed");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(stdin)
        .expect("git reads");
    let done = child.wait_with_output().expect("git ends");
    assert!(
        done.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).expect("text").trim().to_owned()
}

/// How the server behaves.
pub struct Manners {
    root: PathBuf,
    /// Wanted as Basic credentials.
    pub credentials: Option<(String, String)>,
    /// Requests that were refused for want of them.
    pub refused: AtomicUsize,
    /// Bytes of an answer to a POST before the connection is cut.
    pub cut: AtomicUsize,
    /// Bytes that answers to POST had.
    pub sent: AtomicUsize,
    /// Connections accepted.
    pub connections: AtomicUsize,
    /// A path that is redirected, and where to.
    pub redirect: Option<(String, String)>,
    /// Speak TLS.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// `git http-backend` on a loopback port.
pub struct Server {
    pub port: u16,
    pub manners: Arc<Manners>,
}

impl Server {
    /// Serves every repository below `root`.
    pub fn start(root: &Path) -> Self {
        Self::with(root, |_| {})
    }

    pub fn with(root: &Path, set: impl FnOnce(&mut Manners)) -> Self {
        let mut manners = Manners {
            root: root.to_path_buf(),
            credentials: None,
            refused: AtomicUsize::new(0),
            cut: AtomicUsize::new(usize::MAX),
            sent: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            redirect: None,
            tls: None,
        };
        set(&mut manners);
        let manners = Arc::new(manners);
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let shared = manners.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let manners = shared.clone();
                let _ = stream.set_nodelay(true);
                std::thread::spawn(move || match &manners.tls {
                    None => serve(stream, &manners),
                    Some(tls) => {
                        let end = rustls::ServerConnection::new(tls.clone()).expect("TLS settings");
                        serve(rustls::StreamOwned::new(end, stream), &manners);
                    }
                });
            }
        });
        Self { port, manners }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }
}

struct Asked {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map_or("", |(_, value)| value)
    }
}

/// Answers until the client, or our manners, end it; leaving drops the connection.
fn serve(stream: impl Read + Write, manners: &Manners) {
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read_request(&mut reader) {
        if !answer(reader.get_mut(), &asked, manners) {
            return;
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Asked> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut asked = Asked {
        method,
        path: path.into(),
        query: query.into(),
        headers,
        body: Vec::new(),
    };
    let length = asked.header("content-length").parse().unwrap_or(0);
    asked.body = vec![0; length];
    reader.read_exact(&mut asked.body).ok()?;
    Some(asked)
}

/// False: the connection is to be cut.
fn answer(stream: &mut impl Write, asked: &Asked, manners: &Manners) -> bool {
    if let Some((from, to)) = &manners.redirect
        && let Some(rest) = asked.path.strip_prefix(from.as_str())
    {
        let place = format!("{to}{rest}?{}", asked.query);
        let text = format!("HTTP/1.1 301 Moved\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n");
        return stream.write_all(text.as_bytes()).is_ok();
    }
    if let Some((user, password)) = &manners.credentials {
        let wanted = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        if asked.header("authorization") != format!("Basic {wanted}") {
            manners.refused.fetch_add(1, Ordering::SeqCst);
            let text = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
            return stream.write_all(text.as_bytes()).is_ok();
        }
    }
    let (status, headers, body) = backend(asked, manners);
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let cut = if asked.method == "POST" {
        manners.sent.fetch_add(body.len(), Ordering::SeqCst);
        manners.cut.load(Ordering::SeqCst)
    } else {
        usize::MAX
    };
    let kept = &body[..body.len().min(cut)];
    let written = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(kept));
    written.and_then(|()| stream.flush()).is_ok() && kept.len() == body.len()
}

fn backend(asked: &Asked, manners: &Manners) -> (String, Vec<(String, String)>, Vec<u8>) {
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &manners.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("PATH_INFO", &asked.path)
        .env("QUERY_STRING", &asked.query)
        .env("REQUEST_METHOD", &asked.method)
        .env("CONTENT_TYPE", asked.header("content-type"))
        .env("CONTENT_LENGTH", asked.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", asked.header("content-encoding"))
        .env("GIT_PROTOCOL", asked.header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("git is installed");
    let mut stdin = child.stdin.take().expect("a pipe");
    let body = asked.body.clone();
    let feed = std::thread::spawn(move || {
        let _ = stdin.write_all(&body);
    });
    let done = child.wait_with_output().expect("git ends").stdout;
    feed.join().expect("fed");
    let end = done
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .expect("a CGI head");
    let mut status = "200 OK".to_owned();
    let mut headers = Vec::new();
    for line in String::from_utf8_lossy(&done[..end]).lines() {
        match line.split_once(": ") {
            Some(("Status", value)) => status = value.to_owned(),
            Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
            None => {}
        }
    }
    (status, headers, done[end + 4..].to_vec())
}
