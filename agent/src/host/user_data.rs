//! Asks a cloud's metadata service: with deadlines, limits, without proxies, and never where it leads elsewhere.
//!
//! Refuses to know what the answers mean; the plan does.

mod leases;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use cartridge_agent_plan::backoff::doubled;
use cartridge_agent_plan::settings::WantedUserData;
use cartridge_agent_plan::user_data::{
    Answer, Ask, Cloud, DATA_SERVER, Found, LINK_LOCAL, ORDER, Server, Stage, Turn, Wish, is_near,
};
use cartridge_protocol::Millis;
use cartridge_protocol::launch::MAX_BYTES;
use reqwest::{Client, Method};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// Longest wait for one whole answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Longest wait for the first answer where it is not known who is there.
const PROBE: Duration = Duration::from_secs(1);
/// First and longest wait between two tries.
const AGAIN: [Millis; 2] = [Millis(250), Millis(5_000)];

/// Why there is no user-data.
#[derive(Debug, thiserror::Error)]
pub enum NoUserData {
    /// It will not be better.
    #[error("{cloud}: {why}")]
    Never {
        /// Whose.
        cloud: &'static str,
        /// Why.
        why: String,
    },
    /// It did not come up in time.
    #[error("{cloud}: given up after {within}: {why}")]
    Late {
        /// Whose.
        cloud: &'static str,
        /// How long was waited.
        within: Millis,
        /// Why, at last.
        why: String,
    },
    /// No client.
    #[error("the HTTP client cannot be set up: {0}")]
    Client(String),
}

/// What the cloud knows, and which one it was; None: of all that were asked, nobody answered as a cloud does. `says` is
/// told why it takes long.
pub async fn fetch(
    wanted: &WantedUserData,
    says: impl FnMut(&str),
) -> Result<Option<(Cloud, Found)>, NoUserData> {
    let client = client()?;
    let until = Instant::now() + Duration::from_millis(wanted.within.0);
    match wanted.wish {
        Wish::Nothing => Ok(None),
        Wish::From(cloud) => {
            let found = patiently(&client, cloud, wanted, until, says).await?;
            Ok(Some((cloud, found)))
        }
        Wish::Auto => whoever(&client, wanted, until).await,
    }
}

fn client() -> Result<Client, NoUserData> {
    let tls = crate::link::public_client_config().map_err(|e| NoUserData::Client(e.to_string()))?;
    Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .build()
        .map_err(|e| NoUserData::Client(e.to_string()))
}

/// Tries until it is there, or time is over.
async fn patiently(
    client: &Client,
    cloud: Cloud,
    wanted: &WantedUserData,
    until: Instant,
    mut says: impl FnMut(&str),
) -> Result<Found, NoUserData> {
    let (name, mut last, mut tries) = (cloud.name(), String::new(), 0);
    loop {
        let why = match server(cloud, wanted).await {
            Err(why) => why,
            Ok(address) => match talk(client, address, Stage::first(cloud), until, ANSWER).await {
                Turn::Done(found) => return Ok(found),
                Turn::Never(why) => return Err(NoUserData::Never { cloud: name, why }),
                Turn::Later(why) => why,
                Turn::Next(_) => "the conversation has no end".to_owned(),
            },
        };
        if why != last {
            says(&format!("waits for the user-data of {name}: {why}"));
            last.clone_from(&why);
        }
        let wait = Duration::from_millis(doubled(AGAIN[0], AGAIN[1], tries).0);
        tries += 1;
        if Instant::now() + wait >= until {
            let within = wanted.within;
            return Err(NoUserData::Late {
                cloud: name,
                within,
                why,
            });
        }
        sleep(wait).await;
    }
}

/// Asks each cloud's service once. Who answered the first question as that cloud does is believed.
async fn whoever(
    client: &Client,
    wanted: &WantedUserData,
    until: Instant,
) -> Result<Option<(Cloud, Found)>, NoUserData> {
    for cloud in ORDER {
        let Ok(address) = server(cloud, wanted).await else {
            continue;
        };
        let first = Stage::first(cloud);
        let answer = ask(client, address, &first.ask(), until.min(Instant::now() + PROBE)).await;
        let turn = match first.answered(answer) {
            Turn::Next(stage) => talk(client, address, stage, until, ANSWER).await,
            Turn::Done(found) => Turn::Done(found),
            Turn::Later(_) | Turn::Never(_) => continue,
        };
        return match turn {
            Turn::Done(found) => Ok(Some((cloud, found))),
            Turn::Later(why) | Turn::Never(why) => Err(NoUserData::Never {
                cloud: cloud.name(),
                why,
            }),
            Turn::Next(_) => Ok(None),
        };
    }
    Ok(None)
}

async fn talk(client: &Client, server: SocketAddr, first: Stage, until: Instant, each: Duration) -> Turn {
    let mut stage = first;
    loop {
        let deadline = until.min(Instant::now() + each);
        let answer = ask(client, server, &stage.ask(), deadline).await;
        match stage.answered(answer) {
            Turn::Next(next) => stage = next,
            over => return over,
        }
    }
}

async fn ask(client: &Client, server: SocketAddr, ask: &Ask, deadline: Instant) -> Answer {
    match timeout_at(deadline, whole(client, server, ask)).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Answer::Unreachable(format!("{server} cannot be reached: {}", causes(&error))),
        Err(_) => Answer::Silent,
    }
}

async fn whole(client: &Client, server: SocketAddr, ask: &Ask) -> reqwest::Result<Answer> {
    let method = if ask.put { Method::PUT } else { Method::GET };
    let mut request = client.request(method, format!("http://{server}{}", ask.path));
    for (name, value) in &ask.headers {
        request = request.header(*name, value);
    }
    let mut response = request.send().await?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > MAX_BYTES {
            return Ok(Answer::TooLong);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Answer::Got { status, body })
}

/// The last cause says what happened; those before it say that something did.
fn causes(error: &reqwest::Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

async fn server(cloud: Cloud, wanted: &WantedUserData) -> Result<SocketAddr, String> {
    match (&wanted.server, cloud) {
        (Some(Server::At(ip, port)), _) => Ok(SocketAddr::new(*ip, *port)),
        (Some(Server::DataServer), _) => by_name().await,
        (None, Cloud::Ec2 | Cloud::OpenStack) => Ok(SocketAddr::new(LINK_LOCAL, 80)),
        (None, Cloud::CloudStack) => match leases::server() {
            Some(ip) if is_near(IpAddr::V4(ip)) => Ok(SocketAddr::new(ip.into(), 80)),
            Some(ip) => Err(format!("the DHCP server {ip} is too far away to be asked")),
            None if wanted.wish == Wish::Auto => Err("no lease names a DHCP server".to_owned()),
            None => by_name().await,
        },
    }
}

/// A name can lead anywhere; only who is near is asked.
async fn by_name() -> Result<SocketAddr, String> {
    let looked = timeout(ANSWER, tokio::net::lookup_host((DATA_SERVER, 80))).await;
    let mut addresses = match looked {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return Err(format!("{DATA_SERVER} has no address: {error}")),
        Err(_) => return Err(format!("nobody says the address of {DATA_SERVER}")),
    };
    let near = addresses.find(|address| is_near(address.ip()));
    near.ok_or_else(|| format!("{DATA_SERVER} is too far away to be asked"))
}
