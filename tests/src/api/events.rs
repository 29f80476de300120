//! The event stream, collected in the background across restarts of the server: each event once, in order.
//!
//! It refuses to know what the kinds mean.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::Api;

/// Most events kept.
const MAX_EVENTS: usize = 200_000;
const MAX_LINE_BYTES: usize = 1 << 20;
/// A stream silent for so long is opened anew; nothing is lost by that.
const SILENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(200);

/// One event.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Its place in the journal.
    pub seq: u64,
    /// When, RFC 3339.
    pub at: String,
    /// What, such as `member-activated`.
    pub kind: String,
    /// Which application.
    pub application: Option<String>,
    /// Which cluster.
    pub cluster: Option<String>,
    /// Which member.
    pub member: Option<String>,
    /// What, for people.
    pub text: String,
}

/// What was waited for did not happen.
#[derive(Debug, thiserror::Error)]
#[error("no event {what} within {within:?}; the last of {seen} were: {last}")]
pub struct NoEvent {
    what: String,
    within: Duration,
    seen: usize,
    last: String,
}

/// All events since the collector began; dropping it ends the stream.
pub struct Events {
    collected: Arc<Mutex<Vec<Event>>>,
    news: watch::Receiver<u64>,
    _task: AbortOnDropHandle<()>,
}

impl Events {
    pub(super) fn follow(api: Api, after: u64) -> Self {
        let collected = Arc::new(Mutex::new(Vec::new()));
        let (told, news) = watch::channel(after);
        let task = tokio::spawn(collect(api, Arc::clone(&collected), told));
        Self {
            collected,
            news,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// The number of the newest event; hand it to [`Self::wait_after`] to look at later ones only.
    pub fn newest(&self) -> u64 {
        *self.news.borrow()
    }

    /// Every event after number `after`.
    pub fn after(&self, after: u64) -> Vec<Event> {
        let collected = self.collected.lock().unwrap_or_else(PoisonError::into_inner);
        let from = collected.partition_point(|event| event.seq <= after);
        collected[from..].to_vec()
    }

    /// The first event of all that `wanted` accepts, waiting at most `within`.
    pub async fn wait_for(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event, NoEvent> {
        self.wait_after(0, what, within, wanted).await
    }

    /// The first event after number `after` that `wanted` accepts, waiting at most `within`.
    pub async fn wait_after(
        &self,
        after: u64,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event, NoEvent> {
        let mut news = self.news.clone();
        let looking = async {
            let mut looked_at = after;
            loop {
                news.borrow_and_update();
                for event in self.after(looked_at) {
                    looked_at = event.seq;
                    if wanted(&event) {
                        return Some(event);
                    }
                }
                if news.changed().await.is_err() {
                    return None;
                }
            }
        };
        if let Ok(Some(event)) = tokio::time::timeout(within, looking).await {
            return Ok(event);
        }
        let seen = self.after(after);
        let last: Vec<_> = seen
            .iter()
            .rev()
            .take(5)
            .rev()
            .map(|e| format!("{} ({})", e.kind, e.text))
            .collect();
        Err(NoEvent {
            what: what.to_owned(),
            within,
            seen: seen.len(),
            last: last.join("; "),
        })
    }
}

async fn collect(api: Api, collected: Arc<Mutex<Vec<Event>>>, told: watch::Sender<u64>) {
    while collected.lock().unwrap_or_else(PoisonError::into_inner).len() < MAX_EVENTS {
        // However it ended: the next stream begins where this one stopped.
        let _ = stream(&api, &collected, &told).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn stream(
    api: &Api,
    collected: &Mutex<Vec<Event>>,
    told: &watch::Sender<u64>,
) -> Result<(), reqwest::Error> {
    let path = format!("/api/events?after={}&follow=true", *told.borrow());
    let call = api
        .begin(Method::GET, &path)
        .header(http::header::ACCEPT, "text/event-stream");
    let Ok(answer) = tokio::time::timeout(SILENCE, call.send()).await else {
        return Ok(());
    };
    let mut answer = answer?.error_for_status()?;
    let mut pending = Vec::new();
    while let Ok(Some(chunk)) = tokio::time::timeout(SILENCE, answer.chunk())
        .await
        .unwrap_or(Ok(None))
    {
        pending.extend_from_slice(&chunk);
        while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = pending.drain(..=end).collect();
            if let Some(event) = read(&line) {
                keep(event, collected, told);
            }
        }
        if pending.len() > MAX_LINE_BYTES {
            return Ok(());
        }
    }
    Ok(())
}

fn read(line: &[u8]) -> Option<Event> {
    let data = line.strip_prefix(b"data:")?;
    serde_json::from_slice(data).ok()
}

fn keep(event: Event, collected: &Mutex<Vec<Event>>, told: &watch::Sender<u64>) {
    let seq = event.seq;
    let mut collected = collected.lock().unwrap_or_else(PoisonError::into_inner);
    // Several events may come of one record and share its number; an older number is a repetition.
    if collected
        .last()
        .is_none_or(|last| last.seq < seq || (last.seq == seq && last.text != event.text))
    {
        collected.push(event);
        told.send_replace(seq);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::ClientFile;
    use super::*;

    /// Serves numbered events, a few per connection, each stream beginning one event too early.
    async fn server(per_connection: u64) -> (String, AbortOnDropHandle<()>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                let head = String::from_utf8(head).unwrap();
                assert!(
                    head.contains("authorization: Basic YWRhOnB3") && head.contains("follow=true"),
                    "{head}"
                );
                let after: u64 = head
                    .split("after=")
                    .nth(1)
                    .unwrap()
                    .split('&')
                    .next()
                    .unwrap()
                    .parse()
                    .unwrap();
                let mut answer =
                    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: ping\n\n".to_owned();
                for seq in after.max(1)..after + per_connection {
                    answer +=
                        &format!("data: {{\"seq\":{seq},\"kind\":\"member-joined\",\"text\":\"{seq}\"}}\n\n");
                }
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        (url, AbortOnDropHandle::new(task))
    }

    #[tokio::test]
    async fn events_are_collected_once_and_in_order_over_broken_connections() {
        let (url, _server) = server(4).await;
        let file = ClientFile {
            server: url,
            ca: None,
            user: Some("ada".into()),
            password: Some("pw".into()),
            token: None,
        };
        let events = Api::new(file).unwrap().follow(0);
        let tenth = events
            .wait_for("number 10", Duration::from_secs(20), |e| e.seq == 10)
            .await
            .unwrap();
        assert_eq!(tenth.text, "10");
        let seen: Vec<_> = events.after(0).iter().map(|e| e.seq).take(10).collect();
        assert_eq!(seen, (1..=10).collect::<Vec<_>>());
        let never = events
            .wait_for("never", Duration::from_millis(50), |e| e.kind == "never")
            .await;
        assert!(never.unwrap_err().to_string().contains("member-joined"));
    }

    #[test]
    fn a_repeated_event_is_kept_once_and_other_lines_are_none() {
        let collected = Mutex::new(Vec::new());
        let (told, _) = watch::channel(0);
        let line = br#"data: {"seq":7,"kind":"member-joined","member":"a-1","text":"a-1 joined","more":1}"#;
        for _ in 0..2 {
            keep(read(line).unwrap(), &collected, &told);
        }
        assert!(read(b"event: record\n").is_none() && read(b": ping\n").is_none());
        let collected = collected.into_inner().unwrap();
        assert_eq!(collected.len(), 1);
        assert_eq!(
            (collected[0].seq, collected[0].member.as_deref()),
            (7, Some("a-1"))
        );
        assert_eq!(*told.borrow(), 7);
    }
}
