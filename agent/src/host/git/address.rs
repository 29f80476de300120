//! Which repository addresses are accepted, and how they are shown. It refuses to know what answers there.

use std::net::IpAddr;

use cartridge_agent_plan::artifacts::{Rules, names, ssh_place};
use cartridge_protocol::Secret;
use reqwest::Url;

use super::{GitError, Remote};

/// An accepted address, its credentials taken out of it.
pub(super) struct Address {
    pub url: Url,
    /// What an SSH server calls the repository.
    pub path: Option<String>,
    pub username: Option<String>,
    pub password: Option<Secret>,
}

/// The address of this remote, if it is one that will be used, and its branch can be one.
pub(super) fn accept(remote: &Remote) -> Result<Address, GitError> {
    let refuse = |reason| GitError::Address {
        url: shown(&remote.url),
        reason,
    };
    let address = parse(&remote.url, &remote.rules).map_err(refuse)?;
    match names::reference_fault(&remote.branch) {
        None => Ok(address),
        Some(_) => Err(GitError::UnknownBranch {
            url: shown(&remote.url),
            branch: super::fault::plain(&remote.branch),
            empty: false,
        }),
    }
}

/// Accepts what the rules name; what could be taken for an option of a program is refused.
pub(super) fn parse(text: &str, rules: &Rules) -> Result<Address, &'static str> {
    if text.chars().any(char::is_control) {
        return Err("it holds control characters");
    }
    let (mut url, path) = match ssh_place::short(text) {
        Some((user, host, path)) => (short(user, host, path)?, Some(path.to_owned())),
        None => {
            let url = Url::parse(text).map_err(|_| "it is not an absolute URL such as https://host/path")?;
            let path = (url.scheme() == "ssh").then(|| ssh_path(&url));
            (url, path)
        }
    };
    match url.scheme() {
        "https" if rules.remotes.https => {}
        "http" if rules.remotes.http || (rules.addresses.loopback && is_this_machine(&url)) => {}
        "ssh" if rules.remotes.ssh => {}
        "file" if rules.remotes.file => {}
        "https" | "http" | "ssh" | "file" => {
            return Err("repositories of this kind are not allowed here (--allow-remotes)");
        }
        _ => return Err("only https, ssh, http and file are ever accepted"),
    }
    if let Some(fault) = literal(&url).and_then(|address| rules.addresses.fault(address)) {
        return Err(fault);
    }
    let username = Some(decoded(url.username())).filter(|name| !name.is_empty());
    let password = url.password().map(|word| Secret::new(decoded(word)));
    let host = url.host_str().unwrap_or_default().to_owned();
    if host.starts_with('-') || username.as_deref().is_some_and(|name| name.starts_with('-')) {
        return Err("its host or user name begins with '-'");
    }
    if url.scheme() == "ssh" {
        let fault = ssh_place::host_fault(&host)
            .or_else(|| username.as_deref().and_then(ssh_place::user_fault))
            .or_else(|| path.as_deref().and_then(ssh_place::path_fault));
        if let Some(fault) = fault {
            return Err(fault);
        }
        if password.is_some() {
            return Err("it holds a password, and SSH is only spoken with a key (--git-credentials)");
        }
    }
    if url.scheme() == "file" && !host.is_empty() {
        return Err("file:// takes no host: write file:///path");
    }
    if url.scheme() != "file" && (url.set_username("").is_err() || url.set_password(None).is_err()) {
        return Err("it has no host");
    }
    url.set_fragment(None);
    url.set_query(None);
    Ok(Address {
        url,
        path,
        username,
        password,
    })
}

/// `user@host:path`, written out.
fn short(user: &str, host: &str, path: &str) -> Result<Url, &'static str> {
    let fault = ssh_place::host_fault(host).or_else(|| ssh_place::user_fault(user));
    if let Some(fault) = fault.or_else(|| ssh_place::path_fault(path)) {
        return Err(fault);
    }
    let bad = "it is not an address such as user@host:path";
    let mut url = Url::parse(&format!("ssh://{host}/")).map_err(|_| bad)?;
    url.set_username(user).map_err(|()| bad)?;
    url.set_path(path);
    Ok(url)
}

/// The path as the server is told it: one that begins with `/~` is somebody's home.
fn ssh_path(url: &Url) -> String {
    let path = decoded(url.path());
    match path.strip_prefix("/~") {
        Some(home) => format!("~{home}"),
        None => path,
    }
}

fn is_this_machine(url: &Url) -> bool {
    url.host_str() == Some("localhost") || literal(url).is_some_and(|address| address.is_loopback())
}

/// The address, where the host is no name.
fn literal(url: &Url) -> Option<IpAddr> {
    let host = url.host_str()?;
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// An address for people, without anything that may be a credential.
pub(super) fn shown(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if url.has_host() || url.scheme() == "file" => {
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_fragment(None);
            url.set_query(None);
            url.to_string()
        }
        _ => {
            let tail = text.rsplit('@').next().unwrap_or_default();
            super::fault::plain(tail)
        }
    }
}

fn decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let pair = tail.get(..2).and_then(|p| std::str::from_utf8(p).ok());
        match pair
            .and_then(|p| u8::from_str_radix(p, 16).ok())
            .filter(|_| first == b'%')
        {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use cartridge_agent_plan::artifacts::{Addresses, Remotes};

    use super::*;

    fn rules(remotes: &str) -> Rules {
        Rules {
            remotes: Remotes::parse(remotes).unwrap(),
            ..Rules::default()
        }
    }

    #[test]
    fn refuses_what_runs_programs_reads_files_or_looks_like_an_option() {
        for bad in [
            "ext::sh -c id",
            "ssh://host/x",
            "git://host/x",
            "git@host:x",
            "/srv/x",
            "../x",
            "--upload-pack=id",
            "file:///srv/x",
            "https://-oProxyCommand=id/x",
            "https://-u@host/x",
            "https://%2du@host/x",
            "http://host/\u{1b}x",
            "",
        ] {
            assert!(parse(bad, &rules("https")).is_err(), "{bad:?} was accepted");
        }
        assert!(parse("file:///srv/x", &rules("file")).is_ok());
        assert!(parse("file://host/srv/x", &rules("file")).is_err());
    }

    #[test]
    fn ssh_addresses_are_written_in_two_ways_and_hide_no_options() {
        let rules = rules("ssh");
        for (text, host, user, path) in [
            ("git@host:org/x.git", "host", Some("git"), "org/x.git"),
            ("git@host:/srv/x y.git", "host", Some("git"), "/srv/x y.git"),
            ("ssh://me@host:2222/srv/x", "host", Some("me"), "/srv/x"),
            ("ssh://host/~/x", "host", None, "~/x"),
            ("ssh://host/a%20b", "host", None, "/a b"),
        ] {
            let address = parse(text, &rules).unwrap();
            assert_eq!(address.url.host_str(), Some(host));
            assert_eq!(
                (address.username.as_deref(), address.path.as_deref()),
                (user, Some(path))
            );
            assert!(
                !shown(text).contains("me@") && !shown(text).contains("git@"),
                "{}",
                shown(text)
            );
        }
        for bad in [
            "ssh://-oProxyCommand=id/x",
            "ssh://-l@host/x",
            "ssh://%2dl@host/x",
            "ssh://host/",
            "ssh://host",
            "ssh://host/a%0ab",
            "ssh://host/a%00b",
            "ssh://me:word@host/x",
            "ssh://ho%20st/x",
            "ssh://[::1%25eth0]/x",
            "-oProxyCommand=id@host:x",
            "git@-oProxyCommand=id:x",
            "git@host:-x",
            "git@host:",
            "git@ho st:x",
            "git@host:x\ny",
            "git@$(id):x",
            "ssh://169.254.169.254/x",
            "git@169.254.169.254:x",
            "git@[fe80::1]:x",
        ] {
            assert!(parse(bad, &rules).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn plain_http_is_for_loopback_unless_it_is_named() {
        let usual = rules("https");
        let local = Rules {
            addresses: Addresses::parse("public|loopback").unwrap(),
            ..usual.clone()
        };
        for address in ["http://127.0.0.1:80/x", "http://[::1]/x", "http://localhost/x"] {
            assert!(
                parse(address, &usual).is_err() && parse(address, &local).is_ok(),
                "{address}"
            );
        }
        assert!(parse("http://host/x", &local).is_err());
        assert!(parse("http://host/x", &rules("http")).is_ok());
    }

    #[test]
    fn an_address_that_is_never_connected_to_is_refused_before_anything_happens() {
        for bad in [
            "https://169.254.169.254/x",
            "https://[fe80::1]/x",
            "https://[::ffff:169.254.169.254]/x",
            "https://127.0.0.1/x",
            // As URLs are read elsewhere, these are all the same.
            "https://2130706433/x",
            "https://0x7f.1/x",
            "https://017700000001/x",
            "https://[::ffff:7f00:1]/x",
        ] {
            assert!(parse(bad, &rules("https|http")).is_err(), "{bad} was accepted");
        }
        assert!(parse("https://10.0.0.1/x", &rules("https")).is_ok());
    }

    #[test]
    fn credentials_leave_the_address_and_are_never_shown() {
        let address = parse("https://me:p%40ss@host/x.git?token=abc", &rules("https")).unwrap();
        assert_eq!(address.url.as_str(), "https://host/x.git");
        assert_eq!(address.username.as_deref(), Some("me"));
        assert!(address.password.unwrap().matches("p@ss"));
        assert_eq!(
            shown("https://me:pass@host/x.git?token=abc"),
            "https://host/x.git"
        );
        assert!(!shown("me:pass@host:x").contains("pass"));
    }
}
