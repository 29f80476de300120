//! A domain that stands for a path of its cluster: requests get the path in front, answers lose it again.
//!
//! What an answer says of places outside the path is left as it is: the client could not reach them by this domain
//! anyway. Pages are not read, so links in them must be relative. This file refuses to know about members.

use cartridge_protocol::ContextPath;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Uri};

/// Headers of an answer that name a place.
const PLACES: [HeaderName; 2] = [header::LOCATION, header::CONTENT_LOCATION];

/// The path of one request's domain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    pub(crate) path: &'a ContextPath,
    /// As the client named it, with its port.
    pub(crate) host: &'a str,
}

/// Why a request gets no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoWayIn {
    /// It might lead out of the path.
    #[error("the path holds a step '.' or '..', which this domain does not take")]
    Step,
    /// With the path in front it is longer than any request target.
    #[error("the path is too long")]
    TooLong,
}

impl NoWayIn {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Step => StatusCode::BAD_REQUEST,
            Self::TooLong => StatusCode::URI_TOO_LONG,
        }
    }
}

impl Context<'_> {
    /// The target that a member gets.
    pub(crate) fn inward(&self, target: &Uri) -> Result<Uri, NoWayIn> {
        let path = target.path();
        if !path.starts_with('/') {
            // `*`: it asks about the server, not about a place.
            return Ok(target.clone());
        }
        if has_dot_step(path) {
            return Err(NoWayIn::Step);
        }
        let target = match target.query() {
            Some(query) => format!("{}{path}?{query}", self.path),
            None => format!("{}{path}", self.path),
        };
        target.parse().map_err(|_| NoWayIn::TooLong)
    }

    /// Makes an answer speak of places as the client sees them.
    pub(crate) fn outward(&self, headers: &mut HeaderMap) {
        for name in &PLACES {
            let seen = headers
                .get(name)
                .and_then(|place| place.to_str().ok())
                .and_then(|place| self.place(place))
                .and_then(|place| HeaderValue::try_from(place).ok());
            if let Some(place) = seen {
                headers.insert(name, place);
            }
        }
        let mut cookies = headers.entry(header::SET_COOKIE);
        if let header::Entry::Occupied(cookies) = &mut cookies {
            for cookie in cookies.iter_mut() {
                let seen = self.cookie(cookie.as_bytes());
                if let Some(seen) = seen.and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()) {
                    *cookie = seen;
                }
            }
        }
    }

    /// A reference as the client sees it; None: it stays as it is, because it is relative or leads elsewhere.
    fn place(&self, place: &str) -> Option<String> {
        let before = self.before_path(place)?;
        let (front, path) = place.split_at(before);
        let seen = self.without(path)?;
        // Two slashes at the beginning would make the client read the next step as a host.
        let guard = if front.is_empty() && seen[1..].starts_with(['/', '\\']) {
            "/."
        } else {
            ""
        };
        Some(format!("{front}{guard}{seen}"))
    }

    /// Where the path begins in a reference to the client's own host; None: it is no such reference.
    fn before_path(&self, place: &str) -> Option<usize> {
        let (authority_at, default_port) = if place.starts_with("//") {
            (2, ":80")
        } else if place.starts_with('/') {
            return Some(0);
        } else if begins_with(place, "http://") {
            (7, ":80")
        } else if begins_with(place, "https://") {
            (8, ":443")
        } else {
            return None;
        };
        let rest = &place[authority_at..];
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        let bare = |host: &str| {
            host.strip_suffix(default_port)
                .unwrap_or(host)
                .to_ascii_lowercase()
        };
        (bare(authority) == bare(self.host)).then_some(authority_at + authority.len())
    }

    /// A path, with whatever follows it, without this one in front; None: it is not in front.
    fn without(&self, path: &str) -> Option<String> {
        let rest = path.strip_prefix(self.path.as_str())?;
        match rest.bytes().next() {
            Some(b'/') => Some(rest.to_owned()),
            None | Some(b'?' | b'#') => Some(format!("/{rest}")),
            Some(_) => None,
        }
    }

    /// A cookie whose path is one that the client sees; None: it stays as it is.
    fn cookie(&self, cookie: &[u8]) -> Option<Vec<u8>> {
        let mut changed = false;
        let mut pieces = Vec::new();
        for (at, piece) in cookie.split(|byte| *byte == b';').enumerate() {
            let seen = (at > 0).then(|| std::str::from_utf8(piece).ok()).flatten();
            let seen = seen.and_then(|piece| self.cookie_path(piece));
            changed |= seen.is_some();
            pieces.push(seen.map_or_else(|| piece.to_vec(), String::into_bytes));
        }
        changed.then(|| pieces.join(&b';'))
    }

    /// One attribute of a cookie, if it is a path that is to be changed.
    fn cookie_path(&self, attribute: &str) -> Option<String> {
        let (name, value) = attribute.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("path") {
            return None;
        }
        let value = value.trim();
        // A path above this one covers all that the client sees.
        let above = value == "/" || within(self.path.as_str(), value.trim_end_matches('/'));
        let seen = if above {
            "/".to_owned()
        } else {
            self.without(value)?
        };
        (seen != value).then(|| format!("{name}={seen}"))
    }
}

/// Whether `path` is `above` or below it; nothing is below an empty one.
fn within(path: &str, above: &str) -> bool {
    let rest = path.strip_prefix(above).filter(|_| above.starts_with('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn begins_with(text: &str, start: &str) -> bool {
    text.get(..start.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// Whether some server could take a step of the path for `.` or `..`: encoded, between other slashes, or with
/// parameters behind it.
fn has_dot_step(path: &str) -> bool {
    let mut rest = path.as_bytes();
    // Dots of the step so far; None: it holds something else.
    let mut dots = Some(0_u8);
    let is_step = |dots: Option<u8>| matches!(dots, Some(1 | 2));
    loop {
        let (byte, read) = match rest {
            [] => return is_step(dots),
            [b'%', high, low, ..] => (decoded(*high, *low), 3),
            [byte, ..] => (*byte, 1),
        };
        rest = &rest[read..];
        match byte {
            b'/' | b'\\' if is_step(dots) => return true,
            b'/' | b'\\' => dots = Some(0),
            b';' if is_step(dots) => return true,
            b'.' => dots = dots.map(|count| count.saturating_add(1)),
            _ => dots = None,
        }
    }
}

/// What an encoded byte stands for; a `%` that encodes nothing stands for itself.
fn decoded(high: u8, low: u8) -> u8 {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    match (digit(high), digit(low)) {
        (Some(high), Some(low)) => high << 4 | low,
        _ => b'%',
    }
}

#[cfg(test)]
#[path = "context_tests.rs"]
mod tests;
