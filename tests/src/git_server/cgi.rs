//! One run of `git http-backend`: a child fed with the request's body and read as the answer's body, both as
//! they come.
//!
//! It refuses to know who may ask and what a repository is.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::Body;
use super::web_hook::Push;

/// Time until the back end has said how it will answer; a large push is read whole before that.
const HEAD_DEADLINE: Duration = Duration::from_secs(300);
const WHOLE_DEADLINE: Duration = Duration::from_secs(600);
const END_DEADLINE: Duration = Duration::from_secs(10);
const MAX_HEAD_BYTES: u64 = 64 << 10;
const CHUNK_BYTES: usize = 64 << 10;

/// Answers `request` out of the repositories below `root`; tells `pushed` when the child has ended.
pub(super) async fn run(
    request: Request<Incoming>,
    root: &Path,
    cut_after: Option<u64>,
    pushed: Option<Push>,
) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let mut child = command(&parts, root).spawn()?;
    let stdin = child.stdin.take().expect("stdin was asked to be a pipe");
    let stdout = child.stdout.take().expect("stdout was asked to be a pipe");
    let mut stdout = BufReader::with_capacity(CHUNK_BYTES, stdout);
    let feeding = AbortOnDropHandle::new(tokio::spawn(feed(body, stdin)));
    let response = timeout(HEAD_DEADLINE, read_head(&mut stdout)).await??;
    let (chunks, mut received) = mpsc::channel::<io::Result<Bytes>>(8);
    tokio::spawn(async move {
        pump(child, stdout, chunks, cut_after).await;
        drop(feeding);
        if let Some(push) = pushed {
            push.ended().await;
        }
    });
    let stream = futures_util::stream::poll_fn(move |cx| {
        received.poll_recv(cx).map(|c| c.map(|c| c.map(Frame::data)))
    });
    Ok(response.map(|()| StreamBody::new(stream).boxed_unsync()))
}

fn command(parts: &Parts, root: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("http-backend").env_clear();
    for kept in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    let settings = [
        ("http.receivepack", "true"),
        ("safe.directory", "*"),
        ("uploadpack.allowAnySHA1InWant", "true"),
        ("uploadpack.allowFilter", "true"),
    ];
    for (index, (name, value)) in settings.iter().enumerate() {
        command
            .env(format!("GIT_CONFIG_KEY_{index}"), name)
            .env(format!("GIT_CONFIG_VALUE_{index}"), value);
    }
    command
        .env("GIT_CONFIG_COUNT", settings.len().to_string())
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GATEWAY_INTERFACE", "CGI/1.1")
        .env("REMOTE_ADDR", "127.0.0.1")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default());
    let passed_on = [
        ("content-type", "CONTENT_TYPE"),
        ("content-length", "CONTENT_LENGTH"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("git-protocol", "GIT_PROTOCOL"),
        ("accept-encoding", "HTTP_ACCEPT_ENCODING"),
    ];
    for (header, variable) in passed_on {
        if let Some(value) = parts.headers.get(header).and_then(|v| v.to_str().ok()) {
            command.env(variable, value);
        }
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn feed(mut body: Incoming, mut stdin: ChildStdin) {
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(data) = frame.into_data()
            && stdin.write_all(&data).await.is_err()
        {
            // The back end has heard enough; its answer says why.
            return;
        }
    }
}

async fn read_head(stdout: &mut BufReader<ChildStdout>) -> io::Result<Response<()>> {
    let mut response = Response::new(());
    let mut head = stdout.take(MAX_HEAD_BYTES);
    loop {
        let mut line = String::new();
        if head.read_line(&mut line).await? == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "ended without an answer",
            ));
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(response);
        }
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, format!("header {line:?}"));
        let (name, value) = line.split_once(':').ok_or_else(invalid)?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("status") {
            let code = value.split(' ').next().unwrap_or_default();
            *response.status_mut() = StatusCode::from_bytes(code.as_bytes()).map_err(|_| invalid())?;
        } else {
            let name: http::HeaderName = name.parse().map_err(|_| invalid())?;
            response
                .headers_mut()
                .append(name, value.parse().map_err(|_| invalid())?);
        }
    }
}

async fn pump(
    mut child: Child,
    mut stdout: BufReader<ChildStdout>,
    chunks: mpsc::Sender<io::Result<Bytes>>,
    cut_after: Option<u64>,
) {
    let deadline = Instant::now() + WHOLE_DEADLINE;
    let mut left = cut_after.unwrap_or(u64::MAX);
    let fault = loop {
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        let read = tokio::select! {
            read = timeout_at(deadline, stdout.read_buf(&mut chunk)) => read,
            () = chunks.closed() => break Some(io::Error::from(io::ErrorKind::BrokenPipe)),
        };
        match read {
            Ok(Ok(0)) => break None,
            Ok(Ok(_)) => {}
            Ok(Err(fault)) => break Some(fault),
            Err(elapsed) => break Some(elapsed.into()),
        }
        let cut = chunk.len() as u64 > left;
        chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left = left.saturating_sub(chunk.len() as u64);
        if chunks.send(Ok(chunk.freeze())).await.is_err() || cut {
            break Some(io::Error::other("cut on request"));
        }
    };
    if let Some(fault) = fault {
        // The answer must not look complete: an error makes the server close the connection instead.
        let _ = chunks.send(Err(fault)).await;
        let _ = child.start_kill();
    }
    drop(chunks);
    let _ = timeout(END_DEADLINE, child.wait()).await;
}
