//! Which names from a repository may become names on a disk. Pure.
//!
//! Git's own check accepts several of the shapes refused here (reliability §0.2). This file refuses to know
//! where a name stands.

/// Longest name that Linux file systems take.
const MAX_NAME_BYTES: usize = 255;

/// Why this name is refused, if it is.
pub(super) fn fault(name: &[u8]) -> Option<&'static str> {
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

/// Two names that fold to the same would be one file on some file systems.
pub(super) fn folded(name: &[u8]) -> String {
    String::from_utf8_lossy(name)
        .chars()
        .filter(|c| !is_invisible(*c))
        .flat_map(char::to_lowercase)
        .collect()
}

/// Files that Git itself obeys; as links they would point it elsewhere.
pub(super) fn is_obeyed_by_git(name: &[u8]) -> bool {
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
    fn folding_finds_names_that_collide() {
        assert_eq!(folded("README".as_bytes()), folded("ReadMe".as_bytes()));
        assert_eq!(folded("Ä".as_bytes()), folded("ä".as_bytes()));
        assert_ne!(folded(b"a"), folded(b"b"));
    }
}
