//! The kernel's side: the descriptor, the one task that reads it, and its limits in words. Refuses to know who asks.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::Path;
use std::sync::{Arc, Weak};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

use super::PACE;
use super::table::{Table, Unarmed};

/// Most reads of the descriptor (4 KiB each) between two pauses; the rest waits in the kernel.
const MOST_READS: usize = 64;

/// What is told: changes of content, names and modes; not that somebody reads.
const TOLD: AddWatchFlags = AddWatchFlags::IN_MODIFY
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVE)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::from_bits_retain(nix::libc::IN_EXCL_UNLINK))
    .union(AddWatchFlags::IN_ONLYDIR);

/// The descriptor.
#[derive(Debug)]
pub(super) struct Instance(Inotify);

impl AsRawFd for Instance {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl AsFd for Instance {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Instance {
    pub(super) fn open() -> Result<Self, Unarmed> {
        match Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK) {
            Ok(inotify) => Ok(Self(inotify)),
            Err(Errno::EMFILE) => Err(Unarmed::Limit(
                "this user has as many inotify instances as fs.inotify.max_user_instances allows; raise it",
            )),
            Err(errno) => Err(Unarmed::Io(errno.into())),
        }
    }

    pub(super) fn add(&self, folder: &Path, follow: bool) -> Result<WatchDescriptor, Unarmed> {
        let mut flags = TOLD;
        flags.set(AddWatchFlags::IN_DONT_FOLLOW, !follow);
        self.0.add_watch(folder, flags).map_err(|errno| match errno {
            Errno::ENOSPC => Unarmed::Limit(
                "this user watches as many folders as fs.inotify.max_user_watches allows; raise it",
            ),
            errno => Unarmed::Io(errno.into()),
        })
    }

    pub(super) fn remove(&self, watch: WatchDescriptor) {
        // It may have gone with its folder.
        let _ = self.0.rm_watch(watch);
    }

    fn read(&self) -> Result<Vec<InotifyEvent>, Errno> {
        self.0.read_events()
    }
}

/// Reads for as long as the table is there.
pub(super) async fn read(instance: Arc<Instance>, table: Weak<Table>) {
    // SAFETY: the instance owns its descriptor, never replaces it, and is kept alive by this very handle.
    let Ok(ready) = (unsafe { AsyncFd::register_with_interest(instance, Interest::READABLE) }) else {
        return;
    };
    loop {
        let Ok(mut guard) = ready.readable().await else {
            return;
        };
        let Some(table) = table.upgrade() else { return };
        for _ in 0..MOST_READS {
            match ready.get_ref().read() {
                Ok(events) => table.told(&events),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    guard.clear_ready();
                    break;
                }
                Err(errno) => {
                    tracing::warn!(%errno, "what changes on the disk is not told any more");
                    return;
                }
            }
        }
        drop(table);
        sleep(PACE).await;
    }
}
