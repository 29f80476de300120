//! The loop of a plugin that does one thing after the other: a line in, a call, a line out.
//!
//! Refuses to know what is measured and fetched.

use std::fmt::Display;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::process::ExitCode;

use cartridge_protocol::CommitId;
use cartridge_protocol::plugin::{Answer, Call, Kind, MAX_LINE_BYTES, Measurement, Origin};

use crate::answer::{answered, describe, line, not_mine, too_long, understand};

/// The whole `main` of a reader: `read` is called whenever the agent wants to know, until stdin ends.
///
/// What `read` refuses is told to people; the figures are then absent, never zero.
pub fn run_reader<E: Display>(name: &str, read: impl FnMut() -> Result<Measurement, E>) -> ExitCode {
    ended(
        name,
        serve_reader_on(name, read, io::stdin().lock(), io::stdout().lock()),
    )
}

/// A reader on any pair of pipes.
///
/// # Errors
/// The pipes broke.
pub fn serve_reader_on<E: Display>(
    name: &str,
    mut read: impl FnMut() -> Result<Measurement, E>,
    input: impl BufRead,
    output: impl Write,
) -> io::Result<()> {
    serve(name, Kind::Reader, input, output, |call| match call {
        Call::Read => read().map(Answer::Measured).map_err(|why| why.to_string()),
        other => Err(not_mine(Kind::Reader, &other)),
    })
}

/// The whole `main` of an artifact source, until stdin ends.
///
/// `look` names the newest revision; `fetch` writes one into a folder, which is empty, and nowhere else. The agent
/// takes from there what its own checks let pass. Both are given where the blueprint says that files come from.
pub fn run_artifact<E: Display>(
    name: &str,
    look: impl FnMut(&Origin) -> Result<CommitId, E>,
    fetch: impl FnMut(&Origin, &CommitId, &Path) -> Result<(), E>,
) -> ExitCode {
    ended(
        name,
        serve_artifact_on(name, look, fetch, io::stdin().lock(), io::stdout().lock()),
    )
}

/// An artifact source on any pair of pipes.
///
/// # Errors
/// The pipes broke.
pub fn serve_artifact_on<E: Display>(
    name: &str,
    mut look: impl FnMut(&Origin) -> Result<CommitId, E>,
    mut fetch: impl FnMut(&Origin, &CommitId, &Path) -> Result<(), E>,
    input: impl BufRead,
    output: impl Write,
) -> io::Result<()> {
    serve(name, Kind::Artifact, input, output, |call| match call {
        Call::Look(origin) => look(&origin)
            .map(|revision| Answer::Looked { revision })
            .map_err(|why| why.to_string()),
        Call::Fetch(what) => fetch(&what.origin, &what.revision, Path::new(&what.into))
            .map(|()| Answer::Fetched {})
            .map_err(|why| why.to_string()),
        other => Err(not_mine(Kind::Artifact, &other)),
    })
}

fn ended(name: &str, served: io::Result<()>) -> ExitCode {
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if stderr is closed.
            let _ = writeln!(io::stderr(), "{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(
    name: &str,
    kind: Kind,
    mut input: impl BufRead,
    mut output: impl Write,
    mut answer: impl FnMut(Call) -> Result<Answer, String>,
) -> io::Result<()> {
    while let Some(asked) = next_line(&mut input)? {
        let response = match asked.map_err(too_long).and_then(|line| understand(&line)) {
            Ok(request) => {
                let answer = match request.call {
                    Call::Describe(versions) => describe(name, kind, versions),
                    call => answer(call),
                };
                answered(request.id, answer)
            }
            Err(line) => line.into(),
        };
        output.write_all(&line(&response)?)?;
        output.flush()?;
    }
    Ok(())
}

/// The next whole line, or the length of one that is too long and was skipped; none when the pipe has ended.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<Result<Vec<u8>, usize>>> {
    let (mut line, mut length) = (Vec::new(), 0_usize);
    loop {
        let available = input.fill_buf()?;
        if available.is_empty() {
            return Ok(None);
        }
        let newline = available.iter().position(|b| *b == b'\n');
        let taken = newline.unwrap_or(available.len());
        length = length.saturating_add(taken);
        if length < MAX_LINE_BYTES {
            line.extend_from_slice(&available[..taken]);
        } else {
            line = Vec::new();
        }
        input.consume(taken + usize::from(newline.is_some()));
        if newline.is_some() {
            return Ok(Some(if length < MAX_LINE_BYTES {
                Ok(line)
            } else {
                Err(length)
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk(asked: &[u8]) -> Vec<String> {
        let mut said = Vec::new();
        let mut calls = 0;
        let read = || {
            calls += 1;
            if calls == 1 {
                return Err("not yet");
            }
            Ok(Measurement {
                in_flight: Some(7.0),
                ..Measurement::default()
            })
        };
        serve_reader_on("seven", read, asked, &mut said).unwrap();
        String::from_utf8(said)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn a_reader_describes_itself_refuses_and_measures() {
        let said = talk(
            b"{\"id\":1,\"call\":\"describe\",\"with\":{\"version\":1}}\n{\"id\":2,\"call\":\"read\"}\n{\"id\":3,\"call\":\"read\"}\n",
        );
        assert_eq!(
            said,
            [
                r#"{"id":1,"ok":{"described":{"name":"seven","version":1,"kind":"reader"}}}"#,
                r#"{"id":2,"error":"not yet"}"#,
                r#"{"id":3,"ok":{"measured":{"in_flight":7.0}}}"#,
            ]
        );
    }

    #[test]
    fn what_is_not_understood_is_answered_and_the_next_call_works() {
        let mut asked = vec![b'x'; MAX_LINE_BYTES];
        asked.extend_from_slice(
            b"\nnoise\n{\"id\":4,\"call\":\"look\",\"with\":{\"url\":\"u\",\"branch\":\"b\"}}\n{\"id\":5,\"call\":\"describe\",\"with\":{\"version\":2}}\n{\"id\":6,\"call\":\"read\"}\ncut",
        );
        let said = talk(&asked);
        assert!(said[0].starts_with(r#"{"id":0,"error":"line of "#), "{said:?}");
        assert!(
            said[1].starts_with(r#"{"id":0,"error":"not a plugin frame"#),
            "{said:?}"
        );
        assert!(said[2].contains("this is a reader"), "{said:?}");
        assert!(
            said[3].contains("version 2 was asked for; seven speaks version 1"),
            "{said:?}"
        );
        assert_eq!(said[4], r#"{"id":6,"error":"not yet"}"#);
        assert_eq!(said.len(), 5);
    }

    #[test]
    fn an_artifact_source_looks_and_fetches() {
        let revision = "a".repeat(40);
        let asked = format!(
            "{{\"id\":1,\"call\":\"look\",\"with\":{{\"url\":\"u\",\"branch\":\"main\"}}}}\n{{\"id\":2,\"call\":\"fetch\",\"with\":{{\"url\":\"u\",\"branch\":\"main\",\"revision\":\"{revision}\",\"into\":\"/there\"}}}}\n"
        );
        let (mut said, mut fetched) = (Vec::new(), None);
        let look = |origin: &Origin| {
            assert_eq!((origin.url.as_str(), origin.branch.as_str()), ("u", "main"));
            CommitId::new(revision.clone())
        };
        let fetch = |_: &Origin, revision: &CommitId, into: &Path| {
            fetched = Some((revision.clone(), into.to_owned()));
            Ok(())
        };
        serve_artifact_on("there", look, fetch, asked.as_bytes(), &mut said).unwrap();
        assert_eq!(
            String::from_utf8(said).unwrap(),
            format!(
                "{{\"id\":1,\"ok\":{{\"looked\":{{\"revision\":\"{revision}\"}}}}}}\n{{\"id\":2,\"ok\":{{\"fetched\":{{}}}}}}\n"
            )
        );
        assert_eq!(fetched.unwrap().1, Path::new("/there"));
    }
}
