//! Sessions: a random text in a cookie stands for credentials that were shown a short while ago. Kept in memory only,
//! as hashes, so that a restart ends them all.
//!
//! This file refuses to know a clock; the caller says how late it is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use cartridge_protocol::Secret;

use super::Principal;
use super::password::{NoRandom, random_text, sha256};
use super::store::Users;

/// How long a session lasts, whatever it is used for; then the credentials are asked for again.
pub const LIFE: Duration = Duration::from_secs(15 * 60);
/// Most sessions; the oldest gives way.
pub const MAX_SESSIONS: usize = 1024;
/// Most sessions of one person; the oldest gives way.
pub const MAX_OWN: usize = 16;
/// Name of the cookie. Browsers take one of this beginning only from an encrypted connection and for one host.
pub const COOKIE: &str = "__Host-cartridge-session";
/// Length of the text.
const LENGTH: usize = 43;

/// All sessions, the oldest first.
#[derive(Default)]
pub struct Sessions(VecDeque<Session>);

struct Session {
    digest: [u8; 32],
    principal: Principal,
    opened: Duration,
    /// The users as they were: whoever was changed or removed since has to show credentials again.
    users: Arc<Users>,
}

impl Sessions {
    /// Opens one; the text is known to nobody else.
    pub fn open(
        &mut self,
        principal: Principal,
        users: Arc<Users>,
        now: Duration,
    ) -> Result<Secret, NoRandom> {
        let text = random_text(LENGTH)?;
        self.0
            .retain(|one| now.saturating_sub(one.opened) < LIFE && Arc::ptr_eq(&one.users, &users));
        let own = |one: &Session| one.principal == principal;
        if self.0.iter().filter(|one| own(one)).count() >= MAX_OWN
            && let Some(oldest) = self.0.iter().position(own)
        {
            self.0.remove(oldest);
        }
        if self.0.len() >= MAX_SESSIONS {
            self.0.pop_front();
        }
        self.0.push_back(Session {
            digest: sha256(text.expose().as_bytes()),
            principal,
            opened: now,
            users,
        });
        Ok(text)
    }

    /// Whose session it is, if it lasts still.
    pub fn find(&self, text: &str, users: &Arc<Users>, now: Duration) -> Option<Principal> {
        let digest = sha256(text.as_bytes());
        let found = self.0.iter().find(|one| one.digest == digest)?;
        let lasts = now.saturating_sub(found.opened) < LIFE && Arc::ptr_eq(&found.users, users);
        lasts.then(|| found.principal.clone())
    }
}

/// The text of our cookie in a `Cookie` header.
pub fn in_header(header: &str) -> Option<&str> {
    header
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE)
        .map(|(_, text)| text)
}

/// What sets the cookie.
pub fn header(text: &Secret) -> String {
    format!(
        "{COOKIE}={}; Path=/; Max-Age={}; Secure; HttpOnly; SameSite=Strict",
        text.expose(),
        LIFE.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Role;

    fn known(name: &str) -> Principal {
        Principal {
            user: name.into(),
            name: name.into(),
            tenant: cartridge_protocol::tenant::TenantId::SUPER,
            role: Role::Viewer,
        }
    }

    #[test]
    fn a_session_ends_by_age_and_when_the_users_change() {
        let (users, others) = (Arc::new(Users::default()), Arc::new(Users::default()));
        let mut sessions = Sessions::default();
        let text = sessions
            .open(known("eve"), Arc::clone(&users), Duration::ZERO)
            .unwrap();
        let find = |users, now| sessions.find(text.expose(), users, now);
        assert_eq!(find(&users, LIFE - Duration::from_secs(1)), Some(known("eve")));
        assert_eq!(find(&users, LIFE), None);
        assert_eq!(find(&others, Duration::ZERO), None);
        assert_eq!(sessions.find("guess", &users, Duration::ZERO), None);
    }

    #[test]
    fn their_number_is_bounded_for_each_and_for_all() {
        let users = Arc::new(Users::default());
        let mut sessions = Sessions::default();
        let mut open = |name: &str| {
            sessions
                .open(known(name), Arc::clone(&users), Duration::ZERO)
                .unwrap()
        };
        let first = open("eve");
        let others: Vec<Secret> = (0..MAX_OWN).map(|_| open("eve")).collect();
        for n in 0..MAX_SESSIONS {
            open(&format!("user-{n}"));
        }
        assert_eq!(sessions.0.len(), MAX_SESSIONS);
        for gone in others.iter().chain([&first]) {
            assert_eq!(sessions.find(gone.expose(), &users, Duration::ZERO), None);
        }
    }

    #[test]
    fn our_cookie_is_found_among_others() {
        let header = format!("a=b; {COOKIE}=text; c");
        assert_eq!(in_header(&header), Some("text"));
        assert_eq!(in_header("a=b; x__Host-cartridge-session=text"), None);
    }
}
