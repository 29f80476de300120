//! The thread that writes lines: many in one write, all members in turn. A write that fails freezes it for a while.
//!
//! Refuses to make anybody wait.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use cartridge_protocol::MemberId;
use cartridge_protocol::link::LogLine;
use tokio::sync::oneshot;

use super::segments::{self, Newest};
use super::{Counts, KILLED, Kept, Limits, Work, bytes, row};
use crate::engine::FromMember;

/// Written at once when so much waits, whether it is time or not.
const MUCH: usize = 1 << 20;
/// There while a server writes: one that finds it knows that the one before did not end in order.
const OPEN: &str = ".open";

pub(super) struct Keeper {
    /// The server before this one did not end in order.
    pub was_killed: bool,
    folder: PathBuf,
    limits: Limits,
    counts: Arc<Counts>,
    members: BTreeMap<MemberId, Member>,
    pending_bytes: usize,
    /// Nothing is written until then.
    frozen: Option<Instant>,
    why: String,
    pruned: Instant,
}

#[derive(Default)]
struct Member {
    newest: Option<Newest>,
    pending: Vec<FromMember<LogLine>>,
    /// Lines that could not be kept since the last that was.
    lost: u64,
}

impl Keeper {
    pub fn open(folder: &Path, limits: Limits, counts: Arc<Counts>) -> std::io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let open = folder.join(OPEN);
        let was_killed = open.exists();
        std::fs::write(open, "")?;
        counts.wants_members.store(true, Relaxed);
        Ok(Self {
            was_killed,
            folder: folder.to_owned(),
            limits,
            counts,
            members: BTreeMap::new(),
            pending_bytes: 0,
            frozen: None,
            why: String::new(),
            pruned: Instant::now(),
        })
    }

    /// Members that have files.
    fn kept(&self) -> std::io::Result<Vec<MemberId>> {
        let entries = std::fs::read_dir(&self.folder)?.flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        Ok(folders
            .filter_map(|entry| MemberId::new(entry.file_name().to_str()?).ok())
            .collect())
    }

    pub fn run(mut self, work: &Receiver<Work>) {
        let mut due: Option<Instant> = None;
        loop {
            let next = match due {
                None => work.recv_timeout(self.limits.prune_every),
                Some(at) => work.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match next {
                Ok(Work::Keep(new)) => {
                    self.take(new);
                    due.get_or_insert(Instant::now() + self.limits.write_every);
                }
                Ok(Work::Flush(member, reply)) => {
                    self.write();
                    due = None;
                    let known = self.members.get(&member);
                    let _ = reply.send(known.is_some_and(|member| member.newest.is_some()));
                }
                Ok(Work::Members(members)) => self.prune(&members),
                Ok(Work::Close(reply)) => return self.close(reply),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let is_due = due.is_some_and(|at| at <= Instant::now());
            if is_due || self.pending_bytes >= MUCH {
                self.write();
                due = None;
            }
            if self.pruned.elapsed() >= self.limits.prune_every {
                self.pruned = Instant::now();
                self.counts.wants_members.store(true, Relaxed);
            }
        }
    }

    fn close(mut self, reply: oneshot::Sender<()>) {
        self.frozen = None;
        self.write();
        // If not, it is said that lines may be missing.
        let _ = std::fs::remove_file(self.folder.join(OPEN));
        let _ = reply.send(());
    }

    fn take(&mut self, new: FromMember<LogLine>) {
        self.pending_bytes += bytes(&new.rows);
        let member = self.members.entry(new.member.clone()).or_default();
        member.pending.push(new);
    }

    fn write(&mut self) {
        for (id, count) in self.counts.turned_away() {
            self.members.entry(id).or_default().lost += count;
            "more came than could be written".clone_into(&mut self.why);
        }
        if self.frozen.is_some_and(|until| until <= Instant::now()) {
            self.frozen = None;
        }
        self.counts.waiting_bytes.fetch_sub(self.pending_bytes, Relaxed);
        self.pending_bytes = 0;
        let mut failed = None;
        for (id, member) in &mut self.members {
            let pending = std::mem::take(&mut member.pending);
            if pending.is_empty() {
                continue;
            }
            let count = pending.iter().map(|new| new.rows.len() as u64).sum::<u64>();
            let stands = self.frozen.is_some() || failed.is_some();
            let written = if stands {
                Err(None)
            } else {
                member
                    .write(
                        &self.folder.join(id.as_str()),
                        &pending,
                        (self.was_killed, &self.why),
                        &self.limits,
                    )
                    .map_err(Some)
            };
            if let Err(error) = written {
                member.lost += count;
                self.counts.lost.fetch_add(count, Relaxed);
                failed = failed.or(error.map(|error| (id.clone(), error)));
            }
        }
        if let Some((member, error)) = failed {
            let seconds = self.limits.freeze.as_secs();
            tracing::error!(%error, %member, "what applications write cannot be kept, and is let go for {seconds} s");
            self.why = error.to_string();
            self.frozen = Some(Instant::now() + self.limits.freeze);
        }
    }

    /// Removes what is too old, what members that are gone left, and the oldest of what is too much.
    fn prune(&mut self, members: &BTreeSet<MemberId>) {
        self.pruned = Instant::now();
        let mut files = Vec::new();
        for member in self.kept().unwrap_or_default() {
            let is_there = members.contains(&member);
            let folder = self.folder.join(member.as_str());
            let found = segments::numbers(&folder).unwrap_or_default();
            let newest = found.last().copied();
            for number in found {
                let path = segments::path(&folder, number);
                let Ok(metadata) = std::fs::symlink_metadata(&path) else {
                    continue;
                };
                let age = age(metadata.modified().ok());
                let old = age
                    > if is_there {
                        self.limits.age
                    } else {
                        self.limits.age_of_gone
                    };
                // The one that is written to stays: the wall clock may be wrong.
                if old && !(is_there && Some(number) == newest) {
                    let _ = std::fs::remove_file(&path);
                } else {
                    files.push((age, metadata.len(), path, Some(number) == newest && is_there));
                }
            }
            // Where files are left it stays.
            if std::fs::remove_dir(&folder).is_ok() {
                self.members.remove(&member);
            }
        }
        self.drop_oldest(files);
        self.members
            .retain(|id, member| members.contains(id) || !member.pending.is_empty());
    }

    fn drop_oldest(&self, mut files: Vec<(Duration, u64, PathBuf, bool)>) {
        let mut all: u64 = files.iter().map(|(_, bytes, ..)| bytes).sum();
        files.sort_by_key(|(age, _, _, newest)| (*newest, std::cmp::Reverse(*age)));
        for (_, bytes, path, _) in files {
            if all <= self.limits.all_bytes {
                return;
            }
            if std::fs::remove_file(path).is_ok() {
                all -= bytes;
            }
        }
    }
}

/// None, and a time to come, count as new.
fn age(modified: Option<SystemTime>) -> Duration {
    let age = |at: SystemTime| SystemTime::now().duration_since(at).ok();
    modified.and_then(age).unwrap_or_default()
}

impl Member {
    fn write(
        &mut self,
        folder: &Path,
        pending: &[FromMember<LogLine>],
        (was_killed, why): (bool, &str),
        limits: &Limits,
    ) -> std::io::Result<()> {
        let mut newest = match self.newest {
            Some(newest) => newest,
            None => segments::newest(folder)?,
        };
        let mut text = Vec::new();
        let begins = newest.bytes > 0 || newest.number > 1;
        if self.newest.is_none() && was_killed && begins {
            say(&mut text, pending, KILLED);
        }
        if self.lost > 0 {
            say(
                &mut text,
                pending,
                &format!("({} lines were not kept here: {why})", self.lost),
            );
        }
        for new in pending {
            for line in new.rows.iter() {
                row::write(&mut text, new.incarnation, line);
            }
        }
        let written = segments::append(folder, &mut newest, &text, limits);
        self.newest = Some(newest);
        written?;
        self.lost = 0;
        Ok(())
    }
}

/// Says something before the first of these lines.
fn say(text: &mut Vec<u8>, before: &[FromMember<LogLine>], words: &str) {
    let Some(first) = before.first() else { return };
    let number = first.rows.first().map_or(0, |line| line.number.saturating_sub(1));
    let Kept { incarnation, line } = row::word(first.incarnation, number, words);
    row::write(text, incarnation, &line);
}
