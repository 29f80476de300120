//! Which repository addresses are accepted, and how they are shown. It refuses to know what answers there.

use cartridge_protocol::Secret;
use reqwest::Url;

/// An accepted address, its credentials taken out of it.
pub(super) struct Address {
    pub url: Url,
    pub username: Option<String>,
    pub password: Option<Secret>,
}

/// Accepts `https`, `http`, and `file` where allowed; what could be taken for an option of a program is refused.
pub(super) fn parse(text: &str, allow_file: bool) -> Result<Address, &'static str> {
    if text.chars().any(char::is_control) {
        return Err("it holds control characters");
    }
    let mut url = Url::parse(text).map_err(|_| "it is not an absolute URL such as https://host/path")?;
    match url.scheme() {
        "https" | "http" => {}
        "file" if allow_file => {}
        "file" => return Err("file:// is not allowed here"),
        _ => return Err("only https:// and http:// are accepted"),
    }
    let username = Some(decoded(url.username())).filter(|name| !name.is_empty());
    let password = url.password().map(|word| Secret::new(decoded(word)));
    let host = url.host_str().unwrap_or_default().to_owned();
    if host.starts_with('-') || username.as_deref().is_some_and(|name| name.starts_with('-')) {
        return Err("its host or user name begins with '-'");
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
        username,
        password,
    })
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
    use super::*;

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
            assert!(parse(bad, false).is_err(), "{bad:?} was accepted");
        }
        assert!(parse("file:///srv/x", true).is_ok());
        assert!(parse("file://host/srv/x", true).is_err());
    }

    #[test]
    fn credentials_leave_the_address_and_are_never_shown() {
        let address = parse("https://me:p%40ss@host/x.git?token=abc", false).unwrap();
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
