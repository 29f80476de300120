//! `cartridge-git-server`: serves the bare repositories of a folder over smart HTTP, with a web hook.
//!
//! It refuses to be more than a tool for tests and trials: no TLS, one user at most.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use cartridge_tests::git_server::{GitServer, Settings, WebHook};
use clap::Parser;

/// Serves the bare repositories of a folder over smart HTTP.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Folder with the bare repositories.
    #[arg(long)]
    root: PathBuf,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// URL told about each push that changed something.
    #[arg(long)]
    hook: Option<String>,
    /// File with the value of the Authorization header that goes to the hook.
    #[arg(long, requires = "hook")]
    hook_authorization: Option<PathBuf>,
    /// PEM file of the authority that signed the hook's certificate.
    #[arg(long, requires = "hook")]
    hook_ca: Option<PathBuf>,
    /// File with `user:password` that every request must carry.
    #[arg(long)]
    credentials: Option<PathBuf>,
}

fn settings(options: Options) -> Result<Settings, String> {
    let read = |path: &PathBuf| {
        let text =
            std::fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
        Ok::<_, String>(text.trim().to_owned())
    };
    let credentials = options.credentials.as_ref().map(read).transpose()?;
    let credentials =
        match credentials.map(|pair| pair.split_once(':').map(|(u, p)| (u.to_owned(), p.to_owned()))) {
            Some(None) => return Err("the credentials file must hold user:password".into()),
            other => other.flatten(),
        };
    let authorization = options.hook_authorization.as_ref().map(read).transpose()?;
    let authority = options.hook_ca.as_ref().map(read).transpose()?;
    let hook = options.hook.map(|url| WebHook {
        url,
        authorization,
        authority,
    });
    Ok(Settings {
        root: options.root,
        listen: Some(options.listen),
        credentials,
        hook,
    })
}

#[tokio::main]
async fn main() -> ExitCode {
    let started = match settings(Options::parse()) {
        Ok(settings) => GitServer::start(settings).await.map_err(|e| e.to_string()),
        Err(fault) => Err(fault),
    };
    match started {
        Ok(server) => {
            println!("http://{}", server.address());
            let _ = tokio::signal::ctrl_c().await;
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("cartridge-git-server: {fault}");
            ExitCode::FAILURE
        }
    }
}
