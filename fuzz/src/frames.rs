//! What crosses a wire or a pipe. Refuses to know which.

use cartridge_agent_plan::plugin::{Place, described, hear};
use cartridge_agent_plan::probe::http_outcome;
use cartridge_agent_plan::sharing::variables;
use cartridge_protocol::link::{Batch, Desired, Down, Join};
use cartridge_protocol::local::Request;
use cartridge_protocol::plugin;
use cartridge_protocol::plugin::decode;
use cartridge_protocol::values::{Share, SharedValues};

/// A batch of an agent that lies: what passes the check holds nothing absurd, and reads the same again.
pub(crate) fn batch(data: &[u8]) {
    let _ = serde_json::from_slice::<Join>(data);
    let Ok(batch) = serde_json::from_slice::<Batch>(data) else {
        return;
    };
    if batch.check().is_err() {
        return;
    }
    for sample in batch.sample.iter() {
        let load = sample.load_percent().unwrap_or(0.0);
        let memory = sample.memory_percent().unwrap_or(0.0);
        assert!(load.is_finite() && load >= 0.0 && memory.is_finite() && memory >= 0.0);
    }
    let written = serde_json::to_vec(&batch).expect("what was read can be written");
    let again: Batch = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(format!("{again:?}"), format!("{batch:?}"));
}

/// An order, or what comes down the stream.
pub(crate) fn desired(data: &[u8]) {
    let _ = serde_json::from_slice::<Down>(data);
    if let Ok(desired) = serde_json::from_slice::<Desired>(data) {
        // Its passwords are not written down by themselves; everything else is.
        let _ = serde_json::to_vec(&desired);
    }
}

/// What a member says that it shares: whatever passes the limits is what members are told, and comes through unchanged.
pub(crate) fn share(data: &[u8]) {
    let Ok(share) = serde_json::from_slice::<Share>(data) else {
        return;
    };
    let mut all = SharedValues::default();
    all.share(Some("web"), &share.key, &share.values, false);
    all.share(None, &share.key, &share.values, true);
    if all.check().is_err() {
        return;
    }
    for (name, value) in variables(&all) {
        let shell = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        assert!(
            name.chars().all(shell) && !value.contains('\0'),
            "{name} is no variable"
        );
    }
    let written = serde_json::to_vec(&all).expect("what was read can be written");
    assert_eq!(
        serde_json::from_slice::<SharedValues>(&written).ok(),
        Some(all.clone())
    );
    all.withdraw(Some("web"), None, None);
    all.withdraw(None, Some(&share.key), None);
    assert!(all.is_empty(), "what was withdrawn is there");
}

/// A line on the agent's own socket.
pub(crate) fn local_request(data: &[u8]) {
    let _ = Request::parse(data);
}

/// A line of a plugin that misbehaves.
pub(crate) fn plugin_answer(data: &[u8]) {
    for asked in [0, 1, u64::MAX] {
        match hear(data, asked) {
            Ok(outcome) => {
                for place in [Place::Balancer, Place::Source, Place::Beside, Place::Anywhere] {
                    let _ = described(outcome.clone(), place);
                }
            }
            Err(fault) => assert!(fault.to_string().len() < 4096, "a fault that fills the log"),
        }
    }
}

/// A line that a plugin reads.
pub(crate) fn plugin_call(data: &[u8]) {
    let _ = decode::<plugin::Request>(data);
}

/// What an application answers to its probe.
pub(crate) fn http_answer(data: &[u8]) {
    let _ = http_outcome(data);
}
