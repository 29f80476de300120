//! What the words of `ssh` mean. Part of them may be the server's, so they explain a failure and decide nothing.
//! Refuses to know the program.

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The server's key is not known, has changed, or was revoked; for people.
    Host(String),
    /// The server does not take the key.
    Key,
    /// The key's file is not used.
    KeyFile(String),
    /// Nobody was reached: another address may do.
    Unreachable(String),
    /// The server ran the command and it failed.
    Command(String),
}

/// Ends of ssh itself.
const OWN_CODE: i32 = 255;
/// Lines that tell how it went, not what went wrong.
const COMMENTS: [&str; 5] = [
    "debug1: ",
    "OpenSSH_",
    "Authenticated to ",
    "Transferred: ",
    "Bytes per second",
];

/// What the words mean that `ssh` ended with.
pub fn trouble(words: &str, code: Option<i32>) -> Trouble {
    let has = |part: &str| words.contains(part);
    if has("Host key verification failed") {
        return Trouble::Host(host(words));
    }
    if has("UNPROTECTED PRIVATE KEY FILE") || has("bad permissions") {
        return Trouble::KeyFile("its mode lets others than its owner use it; make it 600".to_owned());
    }
    if has("invalid format") || has("error in libcrypto") {
        return Trouble::KeyFile("it is not a private key that ssh reads".to_owned());
    }
    let last = said(words);
    match code {
        Some(OWN_CODE) if has("Permission denied") || has("Too many authentication failures") => Trouble::Key,
        Some(OWN_CODE) | None => Trouble::Unreachable(last.unwrap_or("the connection broke off").to_owned()),
        Some(code) => Trouble::Command(last.map_or_else(|| format!("exit code {code}"), str::to_owned)),
    }
}

fn host(words: &str) -> String {
    let shown = fingerprint(words).unwrap_or_else(|| "that it shows".to_owned());
    if words.contains("REVOKED") || words.contains("revoked") {
        return format!("its key {shown} is revoked in --known-hosts");
    }
    if words.contains("IDENTIFICATION HAS CHANGED") {
        return format!(
            "its key {shown} is not the one in --known-hosts: it was set up anew, or somebody pretends to be it"
        );
    }
    format!(
        "its key {shown} is not in --known-hosts; compare it with what its operator says, then add it (ssh-keyscan)"
    )
}

/// Kind and fingerprint of the key that the server shows.
fn fingerprint(words: &str) -> Option<String> {
    let line = words
        .lines()
        .find_map(|line| line.strip_prefix("debug1: Server host key: "))?;
    let plain = |c: char| c.is_ascii_graphic() || c == ' ';
    (line.len() < 200 && line.chars().all(plain)).then(|| line.trim().to_owned())
}

/// The last line that is not about how it went.
fn said(words: &str) -> Option<&str> {
    let mut lines = words.lines().map(str::trim);
    lines.rfind(|line| !line.is_empty() && !COMMENTS.iter().any(|comment| line.starts_with(comment)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SHOWN: &str = "OpenSSH_9.2p1\ndebug1: Server host key: ssh-ed25519 SHA256:abc\n";

    #[test]
    fn unknown_changed_and_revoked_hosts_are_told_apart_with_the_fingerprint() {
        for (words, told) in [
            (
                "No ED25519 host key is known for x and you have requested strict checking.",
                "is not in --known-hosts",
            ),
            (
                "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @",
                "is not the one in --known-hosts",
            ),
            ("@ WARNING: REVOKED HOST KEY DETECTED! @", "is revoked"),
        ] {
            let words = format!("{SHOWN}{words}\nHost key verification failed.\r\n");
            let Trouble::Host(text) = trouble(&words, Some(255)) else {
                panic!("{words}")
            };
            assert!(
                text.contains(told) && text.contains("ssh-ed25519 SHA256:abc"),
                "{text}"
            );
        }
    }

    #[test]
    fn other_ends_are_told_apart() {
        let own = |words: &str| trouble(&format!("{SHOWN}{words}\n"), Some(255));
        assert_eq!(own("git@x: Permission denied (publickey)."), Trouble::Key);
        assert_eq!(
            own("ssh: connect to host 127.0.0.1 port 1: Connection refused"),
            Trouble::Unreachable("ssh: connect to host 127.0.0.1 port 1: Connection refused".into())
        );
        assert!(matches!(
            own("Permissions 0644 for 'k' are too open.\n UNPROTECTED PRIVATE KEY FILE!"),
            Trouble::KeyFile(_)
        ));
        let ran = trouble(
            &format!("{SHOWN}fatal: '/x' does not appear to be a git repository\ndebug1: Exit status 128\n"),
            Some(128),
        );
        assert_eq!(
            ran,
            Trouble::Command("fatal: '/x' does not appear to be a git repository".into())
        );
        assert_eq!(
            trouble("", None),
            Trouble::Unreachable("the connection broke off".into())
        );
        assert_eq!(trouble("", Some(1)), Trouble::Command("exit code 1".into()));
    }

    proptest! {
        #[test]
        fn no_words_make_the_reader_panic(words in "(debug1: Server host key: )?[ -~\n\u{e9}]{0,200}", code in proptest::option::of(any::<i32>())) {
            let _ = trouble(&words, code);
            let _ = trouble(&(words + "Host key verification failed"), code);
        }
    }
}
