//! What a `.gitignore` keeps out, by Git's own rules. Refuses to know where the files are.

/// Longest file of patterns that is read, bytes.
pub const MOST_BYTES: usize = 64 << 10;
/// Most patterns of one file.
const MOST_PATTERNS: usize = 1000;
/// Most folders that a pattern names one by one.
const MOST_PARTS: usize = 32;

/// One line.
#[derive(Clone, Debug)]
struct Pattern {
    /// It takes back what others keep out.
    brings_back: bool,
    /// It means folders only.
    folders: bool,
    /// It is about the whole path below its file, not about any name.
    anchored: bool,
    parts: Vec<Vec<u8>>,
}

/// The patterns of one folder.
#[derive(Clone, Debug, Default)]
pub struct Ignore(Vec<Pattern>);

impl Ignore {
    /// Reads a file of patterns; what is too much is left out.
    pub fn read(bytes: &[u8]) -> Self {
        let bytes = &bytes[..bytes.len().min(MOST_BYTES)];
        let lines = bytes.split(|byte| *byte == b'\n');
        Self(lines.filter_map(pattern).take(MOST_PATTERNS).collect())
    }

    /// Whether a path below its folder is kept out: None says nothing about it.
    fn says(&self, path: &[&[u8]], folder: bool) -> Option<bool> {
        self.0
            .iter()
            .rev()
            .find(|pattern| pattern.fits(path, folder))
            .map(|pattern| !pattern.brings_back)
    }
}

/// Whether a name is kept out, by the patterns of all folders above it, outermost first: the last that says something
/// counts. `path` is from the root; a folder that is kept out is not looked into.
pub fn is_ignored(above: &[Ignore], path: &[Vec<u8>], folder: bool) -> bool {
    let path: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
    let said = above.iter().enumerate().rev();
    said.filter_map(|(depth, ignore)| ignore.says(path.get(depth..)?, folder))
        .next()
        .unwrap_or(false)
}

fn pattern(line: &[u8]) -> Option<Pattern> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut line = trimmed(line);
    if line.is_empty() || line.starts_with(b"#") {
        return None;
    }
    let brings_back = line.starts_with(b"!");
    if brings_back {
        line = &line[1..];
    }
    let folders = line.ends_with(b"/");
    if folders {
        line = &line[..line.len() - 1];
    }
    let anchored = line.contains(&b'/');
    let line = line.strip_prefix(b"/").unwrap_or(line);
    let parts: Vec<Vec<u8>> = line.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
    let usable = !line.is_empty() && parts.len() <= MOST_PARTS;
    usable.then_some(Pattern {
        brings_back,
        folders,
        anchored,
        parts,
    })
}

/// Without blanks at the end, unless they are quoted.
fn trimmed(mut line: &[u8]) -> &[u8] {
    while let Some(rest) = line.strip_suffix(b" ") {
        if rest.ends_with(b"\\") {
            break;
        }
        line = rest;
    }
    line
}

impl Pattern {
    fn fits(&self, path: &[&[u8]], folder: bool) -> bool {
        if self.folders && !folder {
            return false;
        }
        match path.last() {
            Some(name) if !self.anchored => fits(&self.parts[0], name),
            Some(_) => whole(&self.parts, path),
            None => false,
        }
    }
}

/// Names against names; `**` stands for any number of them. Row by row, so that no pattern takes long.
fn whole(parts: &[Vec<u8>], path: &[&[u8]]) -> bool {
    let mut reached = vec![false; path.len() + 1];
    reached[0] = true;
    for (index, part) in parts.iter().enumerate() {
        let mut next = vec![false; path.len() + 1];
        if part == b"**" {
            // At the end it means what is inside, not the folder itself.
            let least = usize::from(index + 1 == parts.len());
            for from in (0..=path.len()).filter(|from| reached[*from]) {
                next.iter_mut().skip(from + least).for_each(|cell| *cell = true);
            }
        } else {
            for from in (0..path.len()).filter(|from| reached[*from]) {
                next[from + 1] |= fits(part, path[from]);
            }
        }
        reached = next;
    }
    reached[path.len()]
}

/// One name: `*`, `?`, `[a-z]`, `[!a]` and `\`.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        let next = pattern.get(at);
        if next == Some(&b'*') {
            star = Some((at + 1, in_name));
            at += 1;
            continue;
        }
        let Some(byte) = name.get(in_name) else {
            return next.is_none();
        };
        match one(&pattern[at..], *byte) {
            Some(used) => {
                at += used;
                in_name += 1;
            }
            None => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    (at, in_name) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
}

/// How much of the pattern stands for this byte, if it does.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [b'?', ..] => Some(1),
        [b'\\', quoted, ..] => (*quoted == byte).then_some(2),
        [b'[', rest @ ..] => match set(rest, byte) {
            Some((used, fits)) => fits.then_some(used + 1),
            None => (byte == b'[').then_some(1),
        },
        [plain, ..] => (*plain == byte).then_some(1),
        [] => None,
    }
}

/// A set of characters: how long it is, its closing bracket included, and whether the byte is in it.
fn set(rest: &[u8], byte: u8) -> Option<(usize, bool)> {
    let negated = matches!(rest.first(), Some(b'!' | b'^'));
    let mut at = usize::from(negated);
    let mut found = false;
    let first = at;
    loop {
        let low = *rest.get(at)?;
        if low == b']' && at > first {
            return Some((at + 1, found != negated));
        }
        if rest.get(at + 1) == Some(&b'-') && rest.get(at + 2).is_some_and(|high| *high != b']') {
            found |= (low..=rest[at + 2]).contains(&byte);
            at += 3;
        } else {
            found |= low == byte;
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ignored(patterns: &str, path: &str) -> bool {
        let folder = path.ends_with('/');
        let names: Vec<Vec<u8>> = path
            .trim_end_matches('/')
            .split('/')
            .map(|name| name.as_bytes().to_vec())
            .collect();
        is_ignored(&[Ignore::read(patterns.as_bytes())], &names, folder)
    }

    #[test]
    fn patterns_mean_what_git_means() {
        for (pattern, path, expected) in [
            ("*.log", "a.log", true),
            ("*.log", "deep/down/a.log", true),
            ("*.log", "a.log.txt", false),
            ("/a", "a", true),
            ("/a", "b/a", false),
            ("cache/", "cache/", true),
            ("cache/", "cache", false),
            ("a/b", "a/b", true),
            ("a/b", "x/a/b", false),
            ("**/b", "b", true),
            ("**/b", "x/y/b", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**", "a/x/y", true),
            ("a/**", "a/", false),
            ("a/*", "a/b", true),
            ("a/*", "a/b/c", false),
            ("?.txt", "a.txt", true),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]]x", "]x", true),
            ("\\#x", "#x", true),
            ("# x", "# x", false),
            ("a\\ ", "a ", true),
            ("a ", "a", true),
            ("!a", "a", false),
            ("*\n!keep", "keep", false),
            ("*\n!keep", "other", true),
            ("x\r\ny", "x", true),
            ("[", "[", true),
        ] {
            assert_eq!(ignored(pattern, path), expected, "{pattern:?} {path}");
        }
    }

    #[test]
    fn the_nearest_folder_has_the_last_word() {
        let (outer, inner) = (Ignore::read(b"*.log"), Ignore::read(b"!a.log\n/b"));
        let path = |names: &[&str]| names.iter().map(|n| n.as_bytes().to_vec()).collect::<Vec<_>>();
        let above = [outer, inner];
        assert!(!is_ignored(&above, &path(&["x", "a.log"]), false));
        assert!(is_ignored(&above, &path(&["x", "c.log"]), false));
        assert!(is_ignored(&above, &path(&["x", "b"]), false));
        assert!(!is_ignored(&above, &path(&["x", "y", "b"]), false));
    }

    #[test]
    fn no_pattern_takes_long() {
        let stars = "a*".repeat(200) + "b";
        assert!(!ignored(&stars, &"a".repeat(250)));
        let folders = vec!["**"; 31].join("/") + "/b";
        assert!(!ignored(&folders, &vec!["a"; 120].join("/")));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
            path in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..6), 0..4),
        ) {
            is_ignored(&[Ignore::read(&bytes)], &path, false);
        }
    }
}
