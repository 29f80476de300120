//! `cartridge events` and `cartridge logs`: lists, and streams that go on until interrupted.
//!
//! This file refuses to know what the events mean beyond their tone.

use std::fmt::Write as _;

use serde_json::Value;

use super::client::{Client, Fault, segment};
use super::show::{self, Tone};
use super::{EventsOptions, Output, clean};

/// Longest line of a stream, bytes.
const MAX_LINE_BYTES: usize = 1 << 20;

/// Carries out `events`.
pub async fn events(client: &Client, options: &EventsOptions, output: Output) -> Result<(), Fault> {
    let mut path = format!("events?limit={}", options.limit);
    if let Some(application) = &options.application {
        let _ = write!(path, "&application={}", segment(application));
    }
    if let Some(after) = options.after {
        let _ = write!(path, "&after={after}");
    }
    read(client, path, options.follow, output, event).await
}

/// Carries out `logs`.
pub async fn logs(
    client: &Client,
    member: &str,
    follow: bool,
    tail: u32,
    output: Output,
) -> Result<(), Fault> {
    let path = format!("logs/{}?tail={tail}", segment(member));
    read(client, path, follow, output, log).await
}

async fn read(
    client: &Client,
    path: String,
    follow: bool,
    output: Output,
    print: fn(&Value) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if follow {
        return pump(
            client.stream(&format!("{path}&follow=true")).await?,
            output,
            print,
        )
        .await;
    }
    let rows = client.get(&path).await?;
    if output == Output::Json {
        return show::json(&rows);
    }
    rows.as_array().into_iter().flatten().try_for_each(print)
}

async fn pump(
    mut response: reqwest::Response,
    output: Output,
    print: fn(&Value) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut rest = Vec::new();
    loop {
        let chunk = response.chunk().await.ok().flatten();
        let Some(chunk) = chunk else {
            return Err(Fault::Unreachable("the server ended the stream".into()));
        };
        rest.extend_from_slice(&chunk);
        for value in take_events(&mut rest) {
            match output {
                Output::Json => show::json_line(&value)?,
                Output::Table => print(&value)?,
            }
        }
        if rest.len() > MAX_LINE_BYTES {
            return Err(Fault::Unreachable("the server sends an endless line".into()));
        }
    }
}

/// Takes the complete `data:` lines out of `buffer`; others (comments, names) are passed over.
fn take_events(buffer: &mut Vec<u8>) -> Vec<Value> {
    let Some(end) = buffer.iter().rposition(|byte| *byte == b'\n') else {
        return Vec::new();
    };
    let complete: Vec<u8> = buffer.drain(..=end).collect();
    String::from_utf8_lossy(&complete)
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?.trim()).ok())
        .collect()
}

fn event(event: &Value) -> Result<(), Fault> {
    let at = event["at"].as_str().unwrap_or("-");
    // 2026-11-21T02:43:31.123Z: the time of day is enough for a stream.
    let time = at.get(11..19).unwrap_or(at);
    let text = event["text"].as_str().unwrap_or_default();
    show::toned(
        &format!("{time}  {text}"),
        tone(event["kind"].as_str().unwrap_or_default()),
    )
}

fn log(line: &Value) -> Result<(), Fault> {
    let stream = line["stream"].as_str().unwrap_or_default();
    let tone = if stream == "err" {
        Tone::Notable
    } else {
        Tone::Plain
    };
    // An entry of several lines: each is cleaned by itself, so that none can hide the next.
    let lines = line["text"].as_str().unwrap_or_default().split('\n');
    lines.map(clean::line).try_for_each(|text| match stream {
        "out" | "err" => show::toned(&text, tone),
        other => show::toned(&format!("[{other}] {text}"), tone),
    })
}

/// The tone of an event's kind.
fn tone(kind: &str) -> Tone {
    match kind {
        "member-failed" | "member-ensure-failed" | "release-rejected" | "member-suspended" => Tone::Bad,
        "member-activated" | "release-accepted" | "automation-resumed" => Tone::Good,
        "cluster-resized" | "burst-started" | "burst-ending" | "release-proposed" | "automation-paused" => {
            Tone::Notable
        }
        _ => Tone::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_line_by_line_and_halves_wait() {
        let mut buffer = b": ping\n\ndata: {\"seq\":1}\n\nevent: x\ndata:{\"seq\":2}\n\ndata: {\"se".to_vec();
        let taken = take_events(&mut buffer);
        assert_eq!(
            taken.iter().map(|v| v["seq"].as_u64()).collect::<Vec<_>>(),
            [Some(1), Some(2)]
        );
        buffer.extend_from_slice(b"q\":3}\n");
        assert_eq!(take_events(&mut buffer)[0]["seq"], 3);
        assert!(buffer.is_empty());
    }
}
