//! The stack with a stand-in for the server.

use std::os::unix::fs::PermissionsExt;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Says that all is well, whatever is asked.
async fn well() -> (String, tokio_util::task::AbortOnDropHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await;
        }
    });
    (url, tokio_util::task::AbortOnDropHandle::new(task))
}

fn script(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("cartridge");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn members_outlive_the_server_but_not_the_stack() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (url, _well) = well().await;
    // A stand-in for the server: it writes its file and starts a member that lives on without it.
    let program = script(
        folder.path(),
        &format!(
            "cd \"$3\"; echo \"$*\" >> calls\n\
             [ -e member ] || {{ touch member; CARTRIDGE_INSTANCE_TAG=stack/m-1/1 setsid sleep 100 & }}\n\
             echo '{{\"server\":\"{url}\"}}' > new; mv new client.json; exec sleep 100"
        ),
    );
    let mut stack = Stack::start_program(&program, &data, &["--quick"]).await.unwrap();
    let first = stack.pid().unwrap();
    let found = async {
        while !stack
            .processes()
            .iter()
            .any(|p| p.program != "sh" && p.program != "dash")
        {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::time::timeout(START_DEADLINE, found).await.unwrap();
    let member = stack.processes()[0].pid;
    stack.kill9().await.unwrap();
    assert!(!process::runs(first) && process::runs(member));
    stack.restart().await.unwrap();
    assert!(stack.pid().unwrap() != first && process::runs(member));
    let second = async {
        loop {
            let calls = std::fs::read_to_string(data.join("calls")).unwrap();
            if let Some(second) = calls.lines().nth(1) {
                return second.to_owned();
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    let second = tokio::time::timeout(START_DEADLINE, second).await.unwrap();
    let address = url.trim_start_matches("http://");
    assert!(
        second.ends_with(&format!("--listen {address} --quick")),
        "{second}"
    );

    let (data, pid) = (stack.data().to_owned(), stack.pid().unwrap());
    drop(stack);
    let gone = async {
        while process::runs(pid) || !process::belonging_to(&data).is_empty() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    tokio::time::timeout(START_DEADLINE, gone).await.unwrap();
}

#[tokio::test]
async fn a_server_that_ends_at_once_is_told_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let program = script(folder.path(), "echo no room left >&2; exit 7");
    let Err(fault) = Stack::start_program(&program, &folder.path().join("data"), &[]).await else {
        panic!("a stack without a server");
    };
    let text = fault.to_string();
    assert!(text.contains("no room left") && text.contains('7'), "{text}");
}
