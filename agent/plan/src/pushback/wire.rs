//! What is said to a Git server that takes a commit, and what it answers: the command, the pack, the report.
//!
//! Refuses to know how hashes are taken and how bytes travel.

use crate::artifacts::object::{ObjectId, ObjectKind};

/// Longest report that is read, bytes.
pub const MOST_REPORT: usize = 64 << 10;
/// Most of a stored piece of a compressed stream.
const STORED: usize = 65_535;
/// What Adler's sums are taken modulo.
const ADLER: u32 = 65_521;

/// What a server made of a push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// The branch is at the new commit.
    Taken,
    /// It is not, and why, in the server's words.
    Refused(String),
    /// Nobody can say.
    Unclear,
}

/// The command before the pack: `branch` from `old` to `new`, and nothing if it is not at `old` any more.
pub fn command(branch: &str, old: ObjectId, new: ObjectId, agent: &str) -> Vec<u8> {
    let line = format!("{old} {new} {branch}\0 report-status agent={agent}");
    let mut bytes = format!("{:04x}", line.len() + 4).into_bytes();
    bytes.extend_from_slice(line.as_bytes());
    bytes.extend_from_slice(b"0000");
    bytes
}

/// A pack without its hash: add each object, then the hash of all.
#[derive(Debug)]
pub struct Pack(Vec<u8>);

impl Pack {
    /// For so many objects.
    pub fn of(objects: u32) -> Self {
        let mut bytes = b"PACK\0\0\0\x02".to_vec();
        bytes.extend_from_slice(&objects.to_be_bytes());
        Self(bytes)
    }

    /// One object: whole, and not made smaller, so that no compressor is needed; the server repacks.
    pub fn add(&mut self, kind: ObjectKind, contents: &[u8]) {
        let number: u8 = match kind {
            ObjectKind::Commit => 1,
            ObjectKind::Tree => 2,
            ObjectKind::Blob => 3,
            ObjectKind::Tag => 4,
        };
        let mut size = contents.len();
        let mut byte = (number << 4) | low(size, 0x0f);
        size >>= 4;
        while size > 0 {
            self.0.push(byte | 0x80);
            byte = low(size, 0x7f);
            size >>= 7;
        }
        self.0.push(byte);
        stored(contents, &mut self.0);
    }

    /// What the hash is taken of.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// All of it.
    pub fn finish(mut self, hash: &[u8]) -> Vec<u8> {
        self.0.extend_from_slice(hash);
        self.0
    }
}

fn low(size: usize, mask: u8) -> u8 {
    size.to_le_bytes()[0] & mask
}

/// A zlib stream that compresses nothing (RFC 1950, 1951).
fn stored(contents: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(&[0x78, 0x01]);
    let mut rest = contents;
    loop {
        let (piece, after) = rest.split_at(rest.len().min(STORED));
        let length = u16::try_from(piece.len()).expect("a piece is at most 65535 bytes long");
        into.push(u8::from(after.is_empty()));
        into.extend_from_slice(&length.to_le_bytes());
        into.extend_from_slice(&(!length).to_le_bytes());
        into.extend_from_slice(piece);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    into.extend_from_slice(&adler(contents).to_be_bytes());
}

fn adler(contents: &[u8]) -> u32 {
    let (mut a, mut b) = (1u32, 0u32);
    for byte in contents {
        a = (a + u32::from(*byte)) % ADLER;
        b = (b + a) % ADLER;
    }
    (b << 16) | a
}

/// Reads the report about `branch`.
pub fn report(bytes: &[u8], branch: &str) -> Report {
    let mut rest = bytes;
    let mut unpacked = None;
    while let Some(line) = next_line(&mut rest) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end();
        if let Some(words) = line.strip_prefix("unpack ") {
            if words != "ok" {
                return Report::Refused(format!("it cannot read the pack: {words}"));
            }
            unpacked = Some(());
        } else if line.strip_prefix("ok ") == Some(branch) && unpacked.is_some() {
            return Report::Taken;
        } else if let Some(why) = line.strip_prefix("ng ") {
            let why = why.strip_prefix(branch).unwrap_or(why).trim();
            return Report::Refused(why.to_owned());
        }
    }
    Report::Unclear
}

fn next_line<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let digits = std::str::from_utf8(rest.get(..4)?).ok()?;
    let length = usize::from_str_radix(digits, 16).ok()?;
    if length < 4 {
        return None;
    }
    let line = rest.get(4..length)?;
    *rest = &rest[length..];
    Some(line)
}

/// Whether a refusal means that somebody else was first: worth another try on top of theirs.
pub fn was_late(why: &str) -> bool {
    const WORDS: [&str; 7] = [
        "non-fast-forward",
        "fetch first",
        "failed to update ref",
        "cannot lock ref",
        "failed to lock",
        "stale info",
        "reference already exists",
    ];
    let why = why.to_ascii_lowercase();
    WORDS.iter().any(|word| why.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(text: &str) -> String {
        format!("{:04x}{text}", text.len() + 4)
    }

    #[test]
    fn reports_are_read() {
        let branch = "refs/heads/main";
        let taken = line("unpack ok\n") + &line("ok refs/heads/main\n") + "0000";
        assert_eq!(report(taken.as_bytes(), branch), Report::Taken);
        let late = line("unpack ok\n") + &line("ng refs/heads/main failed to update ref\n") + "0000";
        assert_eq!(
            report(late.as_bytes(), branch),
            Report::Refused("failed to update ref".into())
        );
        assert!(
            was_late("failed to update ref") && was_late("cannot lock ref 'x'") && !was_late("hook declined")
        );
        let broken = line("unpack index-pack abnormal exit\n");
        assert!(matches!(report(broken.as_bytes(), branch), Report::Refused(_)));
        for unclear in [
            "",
            "0000",
            "zzzz",
            "00",
            &line("ok refs/heads/other\n"),
            &line("ok refs/heads/main\n"),
        ] {
            assert_eq!(report(unclear.as_bytes(), branch), Report::Unclear, "{unclear}");
        }
    }

    #[test]
    fn a_command_names_what_is_replaced() {
        let (old, new) = (ObjectId::from_bytes([1; 20]), ObjectId::from_bytes([2; 20]));
        let bytes = command("refs/heads/main", old, new, "x/1");
        assert!(bytes.ends_with(b"0000"));
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..4]).unwrap(), 16).unwrap();
        assert_eq!(length + 4, bytes.len());
    }

    proptest! {
        #[test]
        fn sizes_are_written_as_they_are_read(size in 0usize..200_000) {
            let mut pack = Pack::of(1);
            pack.add(ObjectKind::Blob, &vec![7; size]);
            let bytes = &pack.bytes()[12..];
            let mut read = usize::from(bytes[0] & 0x0f);
            let (mut shift, mut at) = (4, 0);
            while bytes[at] & 0x80 != 0 {
                at += 1;
                read |= usize::from(bytes[at] & 0x7f) << shift;
                shift += 7;
            }
            prop_assert_eq!((read, (bytes[0] >> 4) & 7), (size, 3));
        }

        #[test]
        fn no_report_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = report(&bytes, "refs/heads/main");
        }
    }
}
