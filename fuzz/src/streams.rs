//! What hooks and applications write, in pieces. Refuses to know where the lines go.

use cartridge_agent_plan::logs::bucket::Rate;
use cartridge_agent_plan::logs::flow::{Flow, Over};
use cartridge_agent_plan::logs::ring::LogRing;
use cartridge_agent_plan::outbox::Outbox;
use cartridge_protocol::Millis;
use cartridge_protocol::link::{MAX_BODY_BYTES, Status};

/// The first byte says how it is cut into pieces. Whatever comes: positions only grow, entries lie within what was
/// read, and every batch made of them is acceptable.
pub(crate) fn output(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else {
        return;
    };
    let mut flow = Flow::new(Rate::default(), Over::Dropped, Millis(100), 0);
    let (mut ring, mut outbox) = (LogRing::new(0), Outbox::new(0));
    let (mut now, mut last, mut read) = (Millis::ZERO, 0, 0_u64);
    let mut entries = Vec::new();
    for piece in bytes.chunks(usize::from(*cut).max(1)) {
        let mut rest = piece;
        while !rest.is_empty() {
            let taken = flow.take(rest, now, None, 16, &mut entries);
            if taken == 0 {
                break;
            }
            rest = &rest[taken..];
            read += taken as u64;
            keep(&mut entries, &mut last, read, &mut ring);
        }
        now = now.plus(Millis(u64::from(*cut) * 7));
        flow.tick(now, &mut entries);
        keep(&mut entries, &mut last, read, &mut ring);
    }
    flow.finish(now, None, &mut entries);
    keep(&mut entries, &mut last, read, &mut ring);
    let (batch, _) = outbox.batch(Status::starting(), &mut ring);
    batch
        .check()
        .expect("a batch of whatever was written is acceptable");
    let written = serde_json::to_vec(&batch).expect("a batch is JSON");
    assert!(written.len() < MAX_BODY_BYTES);
}

fn keep(
    entries: &mut Vec<cartridge_agent_plan::logs::flow::Entry>,
    last: &mut u64,
    read: u64,
    ring: &mut LogRing,
) {
    for entry in entries.drain(..) {
        assert!(
            entry.end >= *last && entry.end <= read,
            "{} after {last} of {read}",
            entry.end
        );
        *last = entry.end;
        ring.push("out", &entry.text);
    }
}
