//! The binary as an agent starts it: environment in, sockets and signals out.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Hello {
    child: Child,
    address: String,
}

impl Hello {
    fn start(variables: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cartridge-hello"))
            .env_clear()
            .env("PORT", "0")
            .env("MEMBER_ID", "web-1")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().rsplit(' ').next().unwrap().to_owned();
        Self { child, address }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// One request on a connection of its own; the whole answer.
    fn get(&self, target: &str) -> String {
        let mut stream = self.connect();
        ask(&mut stream, target, "close");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn terminate(&self) {
        let id = i32::try_from(self.child.id()).unwrap();
        // SAFETY: a signal to our own child, which has not been waited for.
        assert_eq!(unsafe { libc::kill(id, libc::SIGTERM) }, 0);
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(stream: &mut TcpStream, target: &str, connection: &str) {
    write!(
        stream,
        "GET {target} HTTP/1.1\r\nhost: hello\r\nconnection: {connection}\r\n\r\n"
    )
    .unwrap();
}

fn switch(shelf: &Path, commit: &str) {
    let fresh = shelf.join("current.new");
    std::os::unix::fs::symlink(commit, &fresh).unwrap();
    std::fs::rename(fresh, shelf.join("current")).unwrap();
}

#[test]
fn a_switch_of_the_release_shows_at_once() {
    let shelf = tempfile::tempdir().unwrap();
    for commit in ["aaaa", "bbbb"] {
        std::fs::create_dir(shelf.path().join(commit)).unwrap();
        std::fs::write(
            shelf.path().join(commit).join("index.html"),
            format!("page {commit}"),
        )
        .unwrap();
    }
    let link = shelf.path().join("current");
    let hello = Hello::start(&[("CARTRIDGE_RELEASE", link.to_str().unwrap())]);
    assert!(hello.get("/").contains("x-release: none"), "no release yet");
    for commit in ["aaaa", "bbbb", "aaaa"] {
        switch(shelf.path(), commit);
        let answer = hello.get("/");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("x-member: web-1\r\n"), "{answer}");
        assert!(answer.contains(&format!("x-release: {commit}\r\n")), "{answer}");
        assert!(answer.ends_with(&format!("page {commit}")), "{answer}");
    }
}

#[test]
fn a_release_that_says_it_is_unhealthy_is() {
    let shelf = tempfile::tempdir().unwrap();
    let path = shelf.path().to_str().unwrap();
    let hello = Hello::start(&[("CARTRIDGE_RELEASE", path)]);
    assert!(hello.get("/health").starts_with("HTTP/1.1 200"));
    std::fs::write(shelf.path().join("unhealthy"), "no database").unwrap();
    let sick = hello.get("/health");
    assert!(sick.starts_with("HTTP/1.1 503"), "{sick}");
    assert!(sick.ends_with("no database"), "{sick}");
}

#[test]
fn without_a_release_there_is_a_built_in_page() {
    let hello = Hello::start(&[]);
    assert!(hello.get("/").contains("Hello from Cartridge"));
    assert!(hello.get("/other").starts_with("HTTP/1.1 404"));
}

#[test]
fn health_answers_while_requests_burn() {
    let hello = Hello::start(&[]);
    let mut burning: Vec<_> = (0..6).map(|_| hello.connect()).collect();
    for stream in &mut burning {
        ask(stream, "/?cpu_ms=5000", "close");
    }
    let asked = Instant::now();
    assert!(hello.get("/health").starts_with("HTTP/1.1 200"));
    assert!(
        asked.elapsed() < Duration::from_secs(4),
        "health waited for the burning"
    );
}

#[test]
fn sigterm_finishes_what_is_in_flight_and_says_goodbye() {
    let mut hello = Hello::start(&[]);
    let (mut idle, mut busy) = (hello.connect(), hello.connect());
    // The idle connection has had an answer, so it is known to be served.
    ask(&mut idle, "/", "keep-alive");
    let mut first = [0; 12];
    idle.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    // One thread takes what comes in the order of coming: once a later request was answered, `busy` is in flight.
    ask(&mut busy, "/?wait_ms=700", "keep-alive");
    assert!(hello.get("/health").starts_with("HTTP/1.1 200"));
    hello.terminate();
    let mut answer = String::new();
    busy.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).unwrap();
    assert!(hello.child.wait().unwrap().success());
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_cartridge-hello"))
        .env_clear()
        .env("PORT", &port)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(
        words.contains(&format!("cannot listen on 127.0.0.1:{port}")),
        "{words}"
    );
}

#[test]
fn help_names_every_variable_and_arguments_are_refused() {
    let run = |word: &str| {
        Command::new(env!("CARGO_BIN_EXE_cartridge-hello"))
            .arg(word)
            .output()
            .unwrap()
    };
    let help = run("--help");
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success() && text.contains("HELLO_WAIT_MS"), "{text}");
    let refused = run("--port");
    assert_eq!(refused.status.code(), Some(2));
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("\"--port\" is not understood"), "{text}");
}
