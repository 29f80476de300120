//! Repositories behind SSH: their addresses, and the command that the server is asked to run. Refuses to know keys and
//! sockets.

/// Longest path.
const MAX_PATH: usize = 1000;
/// Where SSH servers listen.
pub const PORT: u16 = 22;

/// Takes `user@host:path` apart. None: it is written in another way.
pub fn short(text: &str) -> Option<(&str, &str, &str)> {
    let (place, path) = match text.find(']') {
        // An IPv6 address in brackets has colons of its own.
        Some(end) => (text.get(..=end)?, text.get(end + 1..)?.strip_prefix(':')?),
        None => text.split_once(':')?,
    };
    let (user, host) = place.split_once('@')?;
    let is_plain = !path.starts_with("//") && !place.contains('/');
    is_plain.then_some((user, host, path))
}

/// Why this is no name of a host that is given to a program.
pub fn host_fault(host: &str) -> Option<&'static str> {
    let inside = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let good = match inside {
        Some(six) => six.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.len() < 254
                && !host.starts_with(['-', '.'])
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        }
    };
    (!good).then_some("its host is not a name of letters, digits, '.', '_' and '-'")
}

/// Why this is no user that is given to a program.
pub fn user_fault(user: &str) -> Option<&'static str> {
    let good = !user.is_empty()
        && user.len() < 65
        && !user.starts_with('-')
        && user
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._+@".contains(&b));
    (!good).then_some("its user is not a name of letters, digits, '.', '_', '+', '@' and '-'")
}

/// Why this is no path that is given to a server.
pub fn path_fault(path: &str) -> Option<&'static str> {
    if path.is_empty() || path == "/" {
        return Some("it names no repository");
    }
    if path.starts_with('-') {
        return Some("its path begins with '-'");
    }
    let odd = path.len() > MAX_PATH || path.chars().any(char::is_control);
    odd.then_some("its path is too long or holds control characters")
}

/// Why a file is not named to `ssh`, whose settings give some letters a meaning.
pub fn file_fault(path: &str) -> Option<&'static str> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@,:=".contains(&b);
    let good = path.starts_with('/') && path.bytes().all(plain);
    (!good).then_some("ssh is given absolute paths of letters, digits and ._-+@,:= only")
}

/// What the server is asked to run: its shell reads the path as one word.
pub fn command(path: &str) -> String {
    let word = path.replace('\'', "'\\''").replace('!', "'\\!'");
    format!("git-upload-pack '{word}'")
}

/// Under which name a file of known hosts has this server.
pub fn known_as(host: &str, port: u16) -> String {
    let bare = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_ascii_lowercase();
    if port == PORT {
        bare
    } else {
        format!("[{bare}]:{port}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn short_addresses_are_told_from_paths_and_urls() {
        assert_eq!(short("git@host:org/x.git"), Some(("git", "host", "org/x.git")));
        assert_eq!(short("git@[::1]:/srv/x"), Some(("git", "[::1]", "/srv/x")));
        for other in [
            "/srv/x",
            "../a:b",
            "host:x",
            "ssh://git@host/x",
            "a/b@host:x",
            "git@host",
            "git@[::1]x",
            "",
        ] {
            assert_eq!(short(other), None, "{other}");
        }
    }

    #[test]
    fn what_could_be_an_option_or_a_command_is_refused() {
        for bad in [
            "-oProxyCommand=id",
            "",
            "a b",
            "a\nb",
            "host;id",
            "$(id)",
            "[::1",
            "[x]",
            ".x",
            "a%00",
        ] {
            assert!(host_fault(bad).is_some(), "{bad:?}");
        }
        for bad in ["-l", "", "a b", "a\nb", "a;b", "%u"] {
            assert!(user_fault(bad).is_some(), "{bad:?}");
        }
        for bad in ["", "/", "-x", "a\nb", "a\0b"] {
            assert!(path_fault(bad).is_some(), "{bad:?}");
        }
        for bad in [
            "x", "/a b", "/a%h", "/a\"b", "/${HOME}", "/~", "/a\nb", "none", "",
        ] {
            assert!(file_fault(bad).is_some(), "{bad:?}");
        }
        assert_eq!(host_fault("git.example.org"), None);
        assert_eq!(host_fault("[2001:db8::1]"), None);
        assert_eq!(user_fault("deploy+ci"), None);
        assert_eq!(file_fault("/etc/cartridge/known_hosts"), None);
    }

    #[test]
    fn a_server_is_known_by_name_and_port() {
        assert_eq!(known_as("Git.Example.org", 22), "git.example.org");
        assert_eq!(known_as("git", 2222), "[git]:2222");
        assert_eq!(known_as("[::1]", 22), "::1");
    }

    proptest! {
        /// As a shell of the family of sh reads it.
        #[test]
        fn a_path_is_one_word_to_a_shell(path in "[ -~]{1,40}") {
            let command = command(&path);
            let mut rest = command.strip_prefix("git-upload-pack ").unwrap().chars();
            let (mut word, mut quoted) = (String::new(), false);
            while let Some(c) = rest.next() {
                match c {
                    '\'' => quoted = !quoted,
                    '\\' if !quoted => word.extend(rest.next()),
                    c => {
                        prop_assert!(quoted, "{} stands bare in {}", c, command);
                        word.push(c);
                    }
                }
            }
            prop_assert!(!quoted);
            prop_assert_eq!(word, path);
        }
    }
}
