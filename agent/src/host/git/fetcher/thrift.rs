//! Gives back the pieces of a pack that libgit2 has read: of a pack that it is just indexing it keeps every piece mapped,
//! since its limit counts only packs that are complete. So a file of any size would be as much memory again.
//!
//! A timer that counts processor time looks now and then, because one object can be as large as everything that is
//! allowed. What is given back comes again from the page cache when it is looked at. It refuses to know packs.

use std::fs::File;
use std::io;
use std::os::fd::IntoRawFd;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use libc::{c_int, c_void};

/// Processor time between two looks, microseconds.
const EVERY: libc::suseconds_t = 4_000;
/// How much may be mapped anew before it is given back.
const GROWTH: u64 = 4 << 20;
/// Bytes of text read at a time, on the stack of whatever was interrupted.
const CHUNK: usize = 2048;

/// How much is mapped, and what; opened before the process cannot open them any more.
static SIZES: AtomicI32 = AtomicI32::new(-1);
static MAPS: AtomicI32 = AtomicI32::new(-1);
/// Pages of files that were mapped after the last time.
static BEFORE: AtomicU64 = AtomicU64::new(u64::MAX);

/// Opens what has to be read. To be called before the process is confined; where it does not work, nothing is given
/// back.
pub(super) fn prepare() {
    for (path, descriptor) in [("/proc/self/statm", &SIZES), ("/proc/self/maps", &MAPS)] {
        if let Ok(file) = File::open(path) {
            descriptor.store(file.into_raw_fd(), Ordering::Relaxed);
        }
    }
}

/// Begins to look.
pub(super) fn begin() -> io::Result<()> {
    let Some(now) = mapped() else { return Ok(()) };
    BEFORE.store(now, Ordering::Relaxed);
    // SAFETY: plain calls; the structures are complete, and the handler does nothing but system calls.
    let failed = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = look as extern "C" fn(c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        let every = libc::timeval {
            tv_sec: 0,
            tv_usec: EVERY,
        };
        let timer = libc::itimerval {
            it_interval: every,
            it_value: every,
        };
        libc::sigaction(libc::SIGPROF, &raw const action, std::ptr::null_mut()) != 0
            || libc::setitimer(libc::ITIMER_PROF, &raw const timer, std::ptr::null_mut()) != 0
    };
    if failed {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Runs in the middle of anything: no allocation, no locks, the error number as it was.
extern "C" fn look(_: c_int) {
    // SAFETY: the place of this thread's error number.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let kept = unsafe { *errno };
    if let Some(now) = mapped()
        && now.saturating_sub(BEFORE.load(Ordering::Relaxed)) > GROWTH
    {
        give_back();
        BEFORE.store(mapped().unwrap_or(now), Ordering::Relaxed);
    }
    // SAFETY: as above.
    unsafe { *errno = kept };
}

/// Bytes of files that are mapped and in memory.
fn mapped() -> Option<u64> {
    let mut text = [0; CHUNK];
    let text = read(SIZES.load(Ordering::Relaxed), 0, &mut text)?;
    let shared = text.split(|byte| *byte == b' ').nth(2)?;
    let pages = shared.iter().try_fold(0_u64, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0'))
    })?;
    Some(pages * 4096)
}

/// Every mapping that is shared and only read is one of libgit2's: the program itself is mapped privately.
fn give_back() {
    let (mut text, mut line, mut at) = ([0; CHUNK], Line::default(), 0);
    while let Some(piece) =
        read(MAPS.load(Ordering::Relaxed), at, &mut text).filter(|piece| !piece.is_empty())
    {
        at += i64::try_from(piece.len()).unwrap_or(i64::MAX);
        for byte in piece {
            let Some((start, end)) = line.take(*byte) else {
                continue;
            };
            let (start, length) = (start as *mut c_void, end - start);
            // SAFETY: it is mapped now and nothing else runs; its contents are the file's and come back from there.
            unsafe { libc::madvise(start, length, libc::MADV_DONTNEED) };
        }
    }
}

fn read(descriptor: c_int, at: i64, into: &mut [u8]) -> Option<&[u8]> {
    // SAFETY: the buffer is as long as is said.
    let count = unsafe { libc::pread(descriptor, into.as_mut_ptr().cast(), into.len(), at) };
    usize::try_from(count).ok().and_then(|count| into.get(..count))
}

/// A line `start-end r--s …`, as far as it has been read.
#[derive(Default)]
struct Line {
    numbers: [usize; 2],
    rights: [u8; 4],
    field: usize,
    length: usize,
}

impl Line {
    /// The next letter; at the end of a line, the mapping if it is shared and only read.
    fn take(&mut self, letter: u8) -> Option<(usize, usize)> {
        match (letter, self.field) {
            (b'\n', _) => {
                let line = std::mem::take(self);
                return (&line.rights == b"r--s").then_some((line.numbers[0], line.numbers[1]));
            }
            (b'-', 0) | (b' ', 1 | 2) => {
                self.field += 1;
                self.length = 0;
            }
            (digit, field @ (0 | 1)) => {
                let digit = char::from(digit).to_digit(16).unwrap_or(0) as usize;
                self.numbers[field] = self.numbers[field] << 4 | digit;
            }
            (letter, 2) => {
                if let Some(place) = self.rights.get_mut(self.length) {
                    *place = letter;
                }
                self.length += 1;
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_shared_and_read_is_found() {
        let text = "7f2915cff000-7f2915dff000 r--s 00b00000 fe:00 1 /x/pack_git2\n\
                    7f29167ff000-7f2918000000 rw-p 00000000 00:00 0\n\
                    7f2918000000-7f29185bb000 r--p 00000000 fe:00 2 /agent r--s\n\
                    7f29185bb000-7f29192b5000 r-xs 00000000 fe:00 2\n\
                    1000-3000 r--s 00000000 fe:00 2\n";
        let mut line = Line::default();
        let found: Vec<_> = text.bytes().filter_map(|byte| line.take(byte)).collect();
        assert_eq!(found, [(0x7f29_15cf_f000, 0x7f29_15df_f000), (0x1000, 0x3000)]);
    }
}
