//! Which names from a repository may become names on a disk. Pure.
//!
//! Git's own check accepts several of the shapes refused here (reliability §0.2). This file refuses to know
//! where a name stands.

/// Longest name that Linux file systems take.
const MAX_NAME_BYTES: usize = 255;

/// Why this name is refused, if it is.
pub fn fault(name: &[u8]) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(name) else {
        return Some("is not UTF-8");
    };
    if text.is_empty() {
        return Some("is an empty name");
    }
    if text == "." || text == ".." {
        return Some("would leave its folder");
    }
    if name.len() > MAX_NAME_BYTES {
        return Some("is longer than 255 bytes");
    }
    if text.contains('/') {
        return Some("holds a slash");
    }
    if text.chars().any(char::is_control) {
        return Some("holds control characters");
    }
    if text.split('\\').any(is_git) {
        return Some("means '.git' to some file systems");
    }
    None
}

/// Why this cannot be the name of a branch, or a full name, if it cannot: Git's own rules.
pub fn reference_fault(name: &str) -> Option<&'static str> {
    let part_is_bad = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    if name.starts_with('-') {
        return Some("begins with '-'");
    }
    if name.len() > MAX_NAME_BYTES {
        return Some("is longer than 255 bytes");
    }
    if name.chars().any(|c| c.is_control() || " ~^:?*[\\".contains(c)) {
        return Some("holds a character that names do not have");
    }
    if name.split('/').any(part_is_bad) || name.ends_with('.') || name == "@" {
        return Some("has a part that names do not have");
    }
    if name.contains("..") || name.contains("@{") {
        return Some("could be taken for more than a name");
    }
    None
}

/// The name as file systems see it that know no case. Two names that fold to the same would be one file there.
pub fn folded(name: &[u8]) -> String {
    letters(name).collect()
}

/// Compares two names as such file systems do, and keeps nothing.
pub fn compare_folded(a: &[u8], b: &[u8]) -> std::cmp::Ordering {
    if a.is_ascii() && b.is_ascii() {
        // Nearly always, and a commit may have a hundred thousand names.
        let lower = u8::to_ascii_lowercase;
        return a.iter().map(lower).cmp(b.iter().map(lower));
    }
    letters(a).cmp(letters(b))
}

fn letters(name: &[u8]) -> impl Iterator<Item = char> + '_ {
    name.utf8_chunks()
        .flat_map(|chunk| chunk.valid().chars())
        .filter(|c| !is_invisible(*c))
        .flat_map(char::to_lowercase)
}

/// Files that Git itself obeys; as links they would point it elsewhere.
pub fn is_obeyed_by_git(name: &[u8]) -> bool {
    let name = folded(name);
    let short = name
        .split(':')
        .next()
        .unwrap_or_default()
        .trim_end_matches(['.', ' ']);
    short.starts_with(".git") || short == ".mailmap" || short.starts_with("gitmod~")
}

/// `.git` as NTFS (short names, streams, trailing dots and blanks) and HFS+ (invisible characters) read it.
fn is_git(name: &str) -> bool {
    let folded = folded(name.as_bytes());
    let stem = folded
        .split(':')
        .next()
        .unwrap_or_default()
        .trim_end_matches(['.', ' ']);
    let short = stem
        .strip_prefix("git~")
        .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    stem == ".git" || short
}

/// Characters that HFS+ ignores when it compares names.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_disguise_is_refused() {
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "/",
            ".git",
            ".GIT",
            ".Git",
            "git~1",
            "GIT~2",
            ".g\u{200c}it",
            ".git.",
            ".git ",
            ".git . .",
            ".git::$INDEX_ALLOCATION",
            "a\\.git",
            ".git\\config",
            "\u{feff}.git",
            "a\nb",
            "\u{1b}[2J",
            "a\0b",
            "\u{9b}31m",
            "\u{7f}",
        ] {
            assert!(fault(bad.as_bytes()).is_some(), "{bad:?} was accepted");
        }
        assert!(fault(b"\xff\xfe").is_some());
        assert!(fault(&[b'a'; 256]).is_some());
    }

    #[test]
    fn ordinary_names_are_accepted() {
        for good in [
            "a",
            ".gitignore",
            ".github",
            ".gitattributes",
            "git~",
            "git~x",
            "...",
            "naïve ä.txt",
            "dev-\\x2d.mount",
            "-rf",
            "a:b",
            "日本",
            "👍",
        ] {
            assert_eq!(fault(good.as_bytes()), None, "{good:?}");
        }
    }

    #[test]
    fn references_are_names_and_nothing_more() {
        for good in ["main", "release/1.2", "refs/tags/v1", "ünï", "a-b", "a@b"] {
            assert_eq!(reference_fault(good), None, "{good:?}");
        }
        for bad in [
            "",
            "-x",
            "--upload-pack=id",
            "a..b",
            "a b",
            "a:b",
            "+a",
            "a^",
            "a~1",
            "a/",
            "/a",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.lock/b",
            "a.",
            "@",
            "a@{1}",
            "a\\b",
            "a*",
            "a\nb",
            "a\u{1b}",
        ] {
            assert_eq!(reference_fault(bad).is_some(), bad != "+a", "{bad:?}");
        }
    }

    #[test]
    fn folding_finds_names_that_collide() {
        assert_eq!(folded("README".as_bytes()), folded("ReadMe".as_bytes()));
        assert_eq!(folded("Ä".as_bytes()), folded("ä".as_bytes()));
        assert_ne!(folded(b"a"), folded(b"b"));
    }
}
