//! What a Git server says it has, read piece by piece as it comes in: nothing is kept but the one name that is wanted,
//! so a list without end costs no memory. Refuses to know where the pieces come from.

use super::limits::Limits;
use super::object::ObjectId;

/// Longest line of Git's protocol, its length included.
const MAX_LINE: usize = 65_520;
/// Digits of a line's length.
const LENGTH: usize = 4;
/// The line that a server without any branch sends instead of one.
const EMPTY: &[u8] = b"capabilities^{}";

/// What is wrong with a list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadList {
    /// Not Git's protocol.
    #[error("its list of branches is not in Git's protocol: {0}")]
    Malformed(&'static str),
    /// More than is accepted.
    #[error("a list of branches with more than {0}")]
    TooMuch(String),
    /// The server says that it will not.
    #[error("{0}")]
    Told(String),
}

/// Reads a list. [`Reader::feed`] it until it is complete.
#[derive(Debug)]
pub struct Reader {
    wanted: Name,
    /// The tag that a short name means where there is no such branch.
    tag: Option<Name>,
    limits: (u64, u64),
    waiting: Vec<u8>,
    seen: Seen,
    bytes: u64,
    complete: bool,
}

#[derive(Debug, Default)]
struct Seen {
    lines: u64,
    header: bool,
    first: Option<(ObjectId, Vec<u8>)>,
    capabilities: String,
}

/// A full name, and what the server has under it.
#[derive(Debug)]
struct Name {
    name: Vec<u8>,
    tip: Option<ObjectId>,
    peeled: Option<ObjectId>,
}

impl Name {
    fn new(name: String) -> Self {
        Self {
            name: name.into_bytes(),
            tip: None,
            peeled: None,
        }
    }

    fn take(&mut self, hash: ObjectId, name: &[u8]) {
        if name == self.name {
            self.tip = Some(hash);
        } else if name.strip_suffix(b"^{}") == Some(self.name.as_slice()) {
            self.peeled = Some(hash);
        }
    }
}

impl Reader {
    /// For the branch, tag or other name that is meant by `name`.
    pub fn new(name: &str, limits: &Limits) -> Self {
        Self {
            wanted: Name::new(full_name(name)),
            tag: tag_name(name).map(Name::new),
            limits: (limits.refs_bytes, limits.refs),
            waiting: Vec::new(),
            seen: Seen::default(),
            bytes: 0,
            complete: false,
        }
    }

    /// Takes the next piece; true: the list is complete, and the rest of the piece is not part of it.
    pub fn feed(&mut self, piece: &[u8]) -> Result<bool, BadList> {
        self.bytes = self.bytes.saturating_add(piece.len() as u64);
        if self.bytes > self.limits.0 {
            return Err(BadList::TooMuch(format!("{} bytes", self.limits.0)));
        }
        self.waiting.extend_from_slice(piece);
        let waiting = std::mem::take(&mut self.waiting);
        let mut rest = waiting.as_slice();
        while !self.complete {
            let Some(digits) = rest.get(..LENGTH) else { break };
            let length = length(digits)?;
            match length {
                0 => {
                    rest = &rest[LENGTH..];
                    // The first flush of two only ends the header.
                    self.complete = !(self.seen.header && self.seen.lines == 0);
                    self.seen.header = false;
                }
                1..=3 => return Err(BadList::Malformed("a length that is none")),
                _ => {
                    let Some(line) = rest.get(LENGTH..length) else {
                        break;
                    };
                    self.line(line)?;
                    rest = &rest[length..];
                }
            }
        }
        self.waiting = rest.to_vec();
        Ok(self.complete)
    }

    fn line(&mut self, line: &[u8]) -> Result<(), BadList> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        if let Some(words) = line.strip_prefix(b"ERR ") {
            return Err(BadList::Told(String::from_utf8_lossy(words).into_owned()));
        }
        if self.seen.lines == 0 && line.starts_with(b"# service=") {
            self.seen.header = true;
            return Ok(());
        }
        if line.starts_with(b"shallow ") || line == b"version 1" {
            return Ok(());
        }
        let (hash, name) = line
            .split_at_checked(40)
            .and_then(|(hash, rest)| Some((hash, rest.strip_prefix(b" ")?)))
            .ok_or(BadList::Malformed("a line without a hash"))?;
        let hash = std::str::from_utf8(hash).ok().and_then(|hash| hash.parse().ok());
        let hash: ObjectId = hash.ok_or(BadList::Malformed("a hash that is none"))?;
        self.seen.lines += 1;
        if self.seen.lines > self.limits.1 {
            return Err(BadList::TooMuch(format!("{} branches and tags", self.limits.1)));
        }
        let name = if self.seen.lines == 1 {
            self.first(hash, name)?
        } else {
            name
        };
        self.wanted.take(hash, name);
        if let Some(tag) = &mut self.tag {
            tag.take(hash, name);
        }
        Ok(())
    }

    fn first<'a>(&mut self, hash: ObjectId, rest: &'a [u8]) -> Result<&'a [u8], BadList> {
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
        let (name, capabilities) = rest.split_at(end);
        let capabilities = String::from_utf8_lossy(capabilities);
        let capabilities: Vec<&str> = capabilities
            .trim_start_matches('\0')
            .split_ascii_whitespace()
            .collect();
        if capabilities
            .iter()
            .any(|word| word.starts_with("object-format=") && *word != "object-format=sha1")
        {
            return Err(BadList::Told(
                "its hashes are not SHA-1, and others are not read".to_owned(),
            ));
        }
        self.seen.capabilities = capabilities.join(" ");
        self.seen.first = Some((hash, name.to_vec()));
        Ok(name)
    }

    /// What was read, once it is complete.
    pub fn finish(self) -> Result<Advertisement, BadList> {
        if !self.complete {
            return Err(BadList::Malformed("it breaks off"));
        }
        let is_tag = self.wanted.tip.is_none();
        let tag = self.tag.filter(|tag| is_tag && tag.tip.is_some());
        Ok(Advertisement {
            wanted: tag.unwrap_or(self.wanted),
            seen: self.seen,
        })
    }
}

/// What a server has of what is wanted.
#[derive(Debug)]
pub struct Advertisement {
    wanted: Name,
    seen: Seen,
}

impl Advertisement {
    /// The commit that the wanted name means; a tag's own object is looked through.
    pub fn tip(&self) -> Option<ObjectId> {
        self.wanted.peeled.or(self.wanted.tip)
    }

    /// The full name of what was found, or of the branch that was not.
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.wanted.name).into_owned()
    }

    /// Whether the server has no branch at all.
    pub fn is_empty(&self) -> bool {
        self.seen.first.as_ref().is_none_or(|(_, name)| name == EMPTY)
    }

    /// Whether the server may be asked for any commit by its hash.
    pub fn gives_by_hash(&self) -> bool {
        let mut words = self.seen.capabilities.split(' ');
        words.any(|word| matches!(word, "allow-tip-sha1-in-want" | "allow-reachable-sha1-in-want"))
    }

    /// The list again, as a server would send it that has only what is wanted.
    pub fn again(&self, with_header: bool) -> Vec<u8> {
        let mut lines = Vec::new();
        if with_header {
            put(&mut lines, b"# service=git-upload-pack\n");
            lines.extend_from_slice(b"0000");
        }
        let first = self
            .wanted
            .tip
            .map(|tip| (tip, self.wanted.name.clone()))
            .or_else(|| self.seen.first.clone());
        if let Some((hash, name)) = first {
            let head = [hash.to_string().as_bytes(), b" ", &name, b"\0"].concat();
            put(
                &mut lines,
                &[&head, self.seen.capabilities.as_bytes(), b"\n"].concat(),
            );
        }
        if let Some(peeled) = self.wanted.peeled {
            put(
                &mut lines,
                &[peeled.to_string().as_bytes(), b" ", &self.wanted.name, b"^{}\n"].concat(),
            );
        }
        lines.extend_from_slice(b"0000");
        lines
    }
}

/// The tag that a short name means where there is no branch of that name.
pub fn tag_name(name: &str) -> Option<String> {
    let is_short = !name.starts_with("refs/") && name.parse::<ObjectId>().is_err();
    is_short.then(|| format!("refs/tags/{name}"))
}

/// The full name that a short one means: a branch, unless it begins with `refs/`. Where a commit is named, it is looked
/// for in the history of what the server has checked out.
pub fn full_name(name: &str) -> String {
    if name.parse::<ObjectId>().is_ok() {
        return "HEAD".to_owned();
    }
    if name.starts_with("refs/") {
        name.to_owned()
    } else {
        format!("refs/heads/{name}")
    }
}

fn put(lines: &mut Vec<u8>, line: &[u8]) {
    lines.extend_from_slice(format!("{:04x}", line.len() + LENGTH).as_bytes());
    lines.extend_from_slice(line);
}

fn length(digits: &[u8]) -> Result<usize, BadList> {
    let text = std::str::from_utf8(digits)
        .ok()
        .filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
    text.and_then(|text| usize::from_str_radix(text, 16).ok())
        .filter(|length| *length <= MAX_LINE)
        .ok_or(BadList::Malformed("a line without a length"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    fn list(lines: &[String], header: bool) -> Vec<u8> {
        let mut text = Vec::new();
        if header {
            put(&mut text, b"# service=git-upload-pack\n");
            text.extend_from_slice(b"0000");
        }
        for line in lines {
            put(&mut text, line.as_bytes());
        }
        text.extend_from_slice(b"0000");
        text
    }

    fn usual() -> Vec<String> {
        vec![
            format!("{A} HEAD\0multi_ack thin-pack side-band-64k ofs-delta allow-tip-sha1-in-want agent=x\n"),
            format!("{A} refs/heads/main\n"),
            format!("{B} refs/tags/v1\n"),
            format!("{A} refs/tags/v1^{{}}\n"),
        ]
    }

    fn read(name: &str, bytes: &[u8], step: usize) -> Result<Advertisement, BadList> {
        let mut reader = Reader::new(name, &Limits::default());
        for piece in bytes.chunks(step) {
            if reader.feed(piece)? {
                break;
            }
        }
        reader.finish()
    }

    #[test]
    fn branches_and_tags_are_found_however_the_list_is_cut() {
        for header in [true, false] {
            let bytes = list(&usual(), header);
            for step in [1, 2, 3, 7, 64, bytes.len()] {
                let main = read("main", &bytes, step).unwrap();
                assert_eq!(main.tip().unwrap().to_string(), A);
                assert!(main.gives_by_hash() && !main.is_empty());
                let tag = read("refs/tags/v1", &bytes, step).unwrap();
                assert_eq!(tag.tip().unwrap().to_string(), A, "a tag means its commit");
                let short = read("v1", &bytes, step).unwrap();
                assert_eq!((short.tip(), short.name().as_str()), (tag.tip(), "refs/tags/v1"));
                assert_eq!(read("v2", &bytes, step).unwrap().tip(), None);
            }
        }
    }

    #[test]
    fn a_branch_goes_before_a_tag_of_the_same_name() {
        let mut lines = usual();
        lines.push(format!("{B} refs/tags/main\n"));
        let found = read("main", &list(&lines, true), 9).unwrap();
        assert_eq!(found.name(), "refs/heads/main");
        assert_eq!(found.tip().unwrap().to_string(), A);
        let tag = read("refs/tags/main", &list(&lines, true), 9).unwrap();
        assert_eq!(tag.tip().unwrap().to_string(), B);
    }

    #[test]
    fn what_is_passed_on_is_what_is_wanted() {
        let tag = read("refs/tags/v1", &list(&usual(), true), 9).unwrap();
        let text = String::from_utf8(tag.again(true)).unwrap();
        assert!(text.starts_with("001e# service=git-upload-pack\n0000"));
        assert!(text.contains(&format!("{B} refs/tags/v1\0multi_ack thin-pack side-band-64k")));
        assert!(text.contains(&format!("{A} refs/tags/v1^{{}}\n")));
        assert!(!text.contains("refs/heads/main"));
        let again = read("refs/tags/v1", text.as_bytes(), 1).unwrap();
        assert_eq!(again.again(true), tag.again(true));
    }

    #[test]
    fn an_empty_repository_and_a_refusal_are_told_apart() {
        let zero = "0".repeat(40);
        let empty = read(
            "main",
            &list(&[format!("{zero} capabilities^{{}}\0agent=x\n")], true),
            5,
        )
        .unwrap();
        assert!(empty.is_empty() && empty.tip().is_none());
        assert!(read("main", b"0000", 1).unwrap().is_empty());
        let told = read("main", &list(&["ERR go away\n".to_owned()], false), 3).unwrap_err();
        assert_eq!(told, BadList::Told("go away".into()));
        let other = format!("{A} HEAD\0object-format=sha256\n");
        assert!(matches!(
            read("main", &list(&[other], false), 99),
            Err(BadList::Told(_))
        ));
    }

    #[test]
    fn lists_without_end_are_cut_and_cost_nothing() {
        let limits = Limits {
            refs: 1000,
            refs_bytes: 1 << 20,
            ..Limits::default()
        };
        let mut reader = Reader::new("main", &limits);
        let mut line = Vec::new();
        put(&mut line, format!("{A} refs/heads/x\n").as_bytes());
        let error = (0..2000).find_map(|_| reader.feed(&line).err()).unwrap();
        assert_eq!(error, BadList::TooMuch("1000 branches and tags".into()));
        assert!(reader.waiting.capacity() < 1 << 17);
        let mut reader = Reader::new("main", &limits);
        let long = [b"fff0".as_slice(), &[b'x'; 60_000]].concat();
        let error = (0..2000).find_map(|_| reader.feed(&long).err()).unwrap();
        assert!(matches!(error, BadList::Malformed(_)), "{error:?}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic_or_hoard(bytes in proptest::collection::vec(any::<u8>(), 0..400), step in 1usize..50) {
            let _ = read("main", &bytes, step);
        }

        #[test]
        fn a_changed_byte_is_noticed_or_harmless(at in 0usize..300, to in any::<u8>()) {
            let mut bytes = list(&usual(), true);
            let at = at % bytes.len();
            bytes[at] = to;
            if let Ok(found) = read("main", &bytes, 16) {
                let _ = found.again(false);
            }
        }
    }
}
