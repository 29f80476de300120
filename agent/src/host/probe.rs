//! Asks the application whether it is well. Refuses to know what follows from the answer.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use cartridge_agent_plan::probe::{Outcome, Probe, http_outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest time for one probe.
const DEADLINE: Duration = Duration::from_secs(2);
/// Most bytes read of an answer: its first line.
const MOST: usize = 256;

/// One probe.
pub async fn probe(address: IpAddr, probe: &Probe) -> Outcome {
    let asked = async {
        match probe {
            Probe::Running => Outcome::Healthy,
            Probe::Tcp(ports) => tcp(address, ports).await,
            Probe::Http { port, path } => http(SocketAddr::new(address, *port), path).await,
        }
    };
    timeout(DEADLINE, asked)
        .await
        .unwrap_or_else(|_| Outcome::Silent(format!("does not answer within {} s", DEADLINE.as_secs())))
}

async fn tcp(address: IpAddr, ports: &[u16]) -> Outcome {
    for port in ports {
        if let Err(error) = TcpStream::connect((address, *port)).await {
            return Outcome::Silent(format!("does not answer on {address} port {port}: {error}"));
        }
    }
    Outcome::Healthy
}

async fn http(to: SocketAddr, path: &str) -> Outcome {
    match ask(to, path).await {
        Ok(beginning) => http_outcome(&beginning),
        Err(error) => Outcome::Silent(format!("does not answer on {to}: {error}")),
    }
}

async fn ask(to: SocketAddr, path: &str) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(to).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {to}\r\nUser-Agent: cartridge-agent\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut beginning = Vec::with_capacity(MOST);
    let mut limited = stream.take(MOST as u64);
    while limited.read_buf(&mut beginning).await? > 0 && !beginning.contains(&b'\n') {}
    Ok(beginning)
}
