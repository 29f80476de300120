//! Adds the cloud's user-data to what was said, where that is wanted. Refuses to know how it is asked for.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use cartridge_agent_plan::settings::{self, Fault, OPTIONS, Sources, USER_DATA};
use cartridge_agent_plan::user_data::{Cloud, Found, Wish, content};
use tokio::signal::unix::{SignalKind, signal};

use crate::host::user_data::fetch;

/// It was asked to end while it waited.
#[derive(Debug, thiserror::Error)]
#[error("asked to end by a signal while it waited for the cloud's user-data")]
pub struct Interrupted;

/// What was added.
static ADDED: OnceLock<BTreeMap<String, String>> = OnceLock::new();

/// Adds once more what was added at the start: a cloud is asked once.
pub fn add_again(sources: &mut Sources) {
    if let Some(added) = ADDED.get() {
        sources.user_data.clone_from(added);
    }
}

/// Adds it. What goes wrong is among the faults.
pub fn add(sources: &mut Sources) -> Result<(), Interrupted> {
    let Some(wanted) = settings::user_data(sources) else {
        return Ok(());
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            sources.faults.push(fault(error.to_string()));
            return Ok(());
        }
    };
    let fetched = runtime.block_on(async {
        // The first process of a container is not ended by a signal that it does not listen to.
        let ended = async {
            let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
            match (terminate, interrupt) {
                (Ok(mut terminate), Ok(mut interrupt)) => tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                },
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            fetched = fetch(&wanted, |why| eprintln!("cartridge-agent: {why}")) => Ok(fetched),
            () = ended => Err(Interrupted),
        }
    })?;
    // A look-up of a name may still be under way.
    runtime.shutdown_background();
    match fetched {
        Err(error) => sources.faults.push(fault(error.to_string())),
        Ok(None) => sources
            .notes
            .push("no cloud's metadata service has answered".to_owned()),
        Ok(Some((cloud, found))) => take(sources, wanted.wish, cloud, found),
    }
    let _ = ADDED.set(sources.user_data.clone());
    Ok(())
}

fn take(sources: &mut Sources, wish: Wish, cloud: Cloud, found: Found) {
    let name = cloud.name();
    sources.user_data = found.meta;
    match content(&found.data) {
        Ok(parsed) => {
            if found.data.is_empty() {
                sources
                    .notes
                    .push(format!("{name}: the instance has no user-data"));
            }
            let notes = parsed
                .notes
                .iter()
                .map(|note| format!("user-data of {name}: {note}"));
            sources.notes.extend(notes);
            let pairs = parsed.parameters.iter();
            let pairs = pairs.map(|(k, v)| (k.to_owned(), v.to_owned()));
            sources.user_data.extend(pairs);
        }
        // Who said "whoever answers" may well have user-data for something else.
        Err(not_ours) if wish == Wish::Auto => {
            sources.notes.push(format!("the user-data of {name} {not_ours}"));
        }
        Err(not_ours) => sources
            .faults
            .push(fault(format!("the user-data of {name} {not_ours}"))),
    }
}

fn fault(problem: String) -> Fault {
    let help = OPTIONS.iter().find(|o| o.key == USER_DATA).map_or("", |o| o.help);
    Fault {
        key: USER_DATA,
        problem,
        origin: None,
        by: None,
        accepts: help,
    }
}
