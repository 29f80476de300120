//! Bounded reads of files that the kernel writes anew for each reader. Refuses to know what is in them.

use std::borrow::Cow;
use std::fs::File;
use std::os::unix::fs::FileExt;

use cartridge_agent_plan::sample::Fault;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

/// Longest text read.
const MOST_BYTES: usize = 256 << 10;
/// What nearly every text fits into.
const USUALLY: usize = 4096;
/// A read of a long list that gives less has come to its end.
const CERTAINLY_ALL: usize = 1024;

/// Reads into one buffer, again and again.
#[derive(Default)]
pub(super) struct Reader {
    bytes: Vec<u8>,
}

impl Reader {
    /// A text of a known, short form: whole after one read, unless it fills the buffer.
    pub(super) fn text(&mut self, file: &File) -> Option<Cow<'_, str>> {
        self.fill(file, |count, asked| count < asked)
    }

    /// A list of any length, which the kernel gives in parts.
    pub(super) fn list(&mut self, file: &File) -> Option<Cow<'_, str>> {
        self.fill(file, |count, _| count < CERTAINLY_ALL)
    }

    /// A file that is read only now and then.
    pub(super) fn once(&mut self, path: &str) -> Option<Cow<'_, str>> {
        self.list(&File::open(path).ok()?)
    }

    /// The same of a file in a folder that is held open: its path need not be walked again.
    pub(super) fn once_in(&mut self, folder: &File, name: &str) -> Option<Cow<'_, str>> {
        let how = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
        let file = openat(folder, name, how, Mode::empty()).ok()?;
        self.list(&File::from(file))
    }

    fn fill(&mut self, file: &File, is_all: impl Fn(usize, usize) -> bool) -> Option<Cow<'_, str>> {
        let mut filled = 0;
        loop {
            if filled == self.bytes.len() {
                self.bytes.resize((filled * 2).clamp(USUALLY, MOST_BYTES), 0);
            }
            let free = &mut self.bytes[filled..];
            let asked = free.len();
            let count = file.read_at(free, filled as u64).ok()?;
            filled += count;
            if is_all(count, asked) || filled >= MOST_BYTES {
                // Nearly every text is ASCII, which is quickly seen.
                let bytes = &self.bytes[..filled];
                let text = std::str::from_utf8(bytes).map(Cow::Borrowed);
                return Some(text.unwrap_or_else(|_| String::from_utf8_lossy(bytes)));
            }
        }
    }

    /// A figure out of a file that is held open; absent where either is not as expected.
    pub(super) fn figure<T>(
        &mut self,
        file: Option<&File>,
        read: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        let text = self.text(file?)?;
        read(&text)
            .inspect_err(|fault| tracing::debug!(%fault, "no figure"))
            .ok()
    }

    /// A figure out of a file that is read only now and then.
    pub(super) fn figure_once<T>(
        &mut self,
        path: &str,
        read: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        let file = File::open(path).ok()?;
        self.figure(Some(&file), read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_text_of_any_length_is_read_to_its_bound() {
        let mut reader = Reader::default();
        for length in [0, 1, 1023, 1024, 4096, 10_000, MOST_BYTES + 5000] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&vec![b'7'; length]).unwrap();
            assert_eq!(
                reader.text(&file).unwrap().len(),
                length.min(MOST_BYTES),
                "{length}"
            );
            assert_eq!(
                reader.list(&file).unwrap().len(),
                length.min(MOST_BYTES),
                "{length}"
            );
        }
    }
}
