//! Who is calling, and what may they do, with whose things: Basic and Bearer credentials, two roles, tenants, one table.
//!
//! ```text
//! Authorization header -> Auth::verify -> Principal -> roles::access(method, route) -> Authorized, or 401, 403, 404
//! ```
//!
//! This module refuses to know what the routes do.

mod authorized;
mod backoff;
mod guard;
mod password;
pub mod roles;
pub mod session;
mod store;
pub mod web_hook;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cartridge_protocol::tenant::TenantId;
use cartridge_protocol::{Secret, TenantDomain};
use tokio::sync::Semaphore;

use crate::engine::Engine;

pub use authorized::{Api, Authorized, LinesOf, News, Sight};
pub use backoff::Backoff;
pub use guard::{BySession, Deployment, Guard, guard};
pub use roles::Role;
use session::Sessions;
pub use store::{AuthFault, Change, Credentials, NoChange, create_token, ensure_admin};
use web_hook::WebHooks;

/// Most verified headers remembered.
const MAX_REMEMBERED: usize = 256;
/// Most password checks at a time; each costs tens of milliseconds of one core.
const MAX_CHECKS: usize = 2;
/// Longest `Authorization` header looked at.
const MAX_HEADER_BYTES: usize = 1024;

/// Somebody whose credentials were right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// User name, or the token's owner, within the tenant.
    pub user: String,
    /// The same, with the tenant's domain behind an `@` unless it is the super tenant: how they log in.
    pub name: String,
    /// Whose user they are.
    pub tenant: TenantId,
    /// What they may do.
    pub role: Role,
}

/// What came of checking an `Authorization` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The credentials are right.
    Known(Principal),
    /// There are none, or they are wrong.
    Unknown,
    /// They are right, but the users of that tenant are refused.
    Kept(String),
    /// Too many wrong ones came from there: ask again after so many seconds.
    Later(u64),
}

/// Checks credentials. Cheap to clone.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    path: PathBuf,
    users: RwLock<(Option<store::Version>, Arc<store::Users>)>,
    remembered: Mutex<Vec<([u8; 32], Principal)>>,
    backoff: Mutex<Backoff>,
    sessions: Mutex<Sessions>,
    hooks: WebHooks,
    checks: Semaphore,
    /// One edit of the file at a time.
    edits: Mutex<()>,
    began: Instant,
    /// Who knows the tenants; without, there is the super tenant alone.
    tenants: OnceLock<Engine>,
}

impl Auth {
    /// Reads `<data>/users.json`, which [`ensure_admin`] creates.
    pub fn open(data: &Path) -> Result<Self, AuthFault> {
        let path = store::path(data);
        let version = store::version(&path);
        let users = Arc::new(store::Users::read(&path)?);
        Ok(Self(Arc::new(Inner {
            path,
            users: RwLock::new((version, users)),
            remembered: Mutex::default(),
            backoff: Mutex::default(),
            sessions: Mutex::default(),
            hooks: WebHooks::new(data),
            checks: Semaphore::new(MAX_CHECKS),
            edits: Mutex::default(),
            began: Instant::now(),
            tenants: OnceLock::new(),
        })))
    }

    /// From here on this one is asked which tenants there are.
    pub fn ask_of_tenants(&self, engine: &Engine) {
        // The first stays: there is one engine.
        let _ = self.0.tenants.set(engine.clone());
    }

    /// Checks an `Authorization` header that came from `source`. A header that was right before is answered from
    /// memory, also while its source is in back-off: somebody else's mistakes on the same host lock nobody out.
    pub async fn verify(&self, header: Option<&str>, source: IpAddr) -> Verdict {
        match self.recognise(header, source).await {
            Verdict::Known(principal) => self.let_in(principal),
            other => other,
        }
    }

    /// Asked each time: credentials are remembered, whether a tenant is active is not.
    fn let_in(&self, mut who: Principal) -> Verdict {
        if who.tenant.is_super() {
            return Verdict::Known(who);
        }
        let standing = self.0.tenants.get().and_then(|engine| {
            engine.read(|world, _, _| {
                let known = world.tenants.get(&who.tenant)?;
                Some((known.tenant_domain.to_string(), known.active))
            })
        });
        match standing {
            Some((domain, true)) => {
                who.name = format!("{}@{domain}", who.user);
                Verdict::Known(who)
            }
            Some((domain, false)) => Verdict::Kept(format!("tenant {domain} is deactivated")),
            None => Verdict::Kept(format!("there is no tenant {}", who.tenant)),
        }
    }

    /// `user@domain` is a user of that tenant; without a tenant's domain it is one of the super tenant.
    pub fn login<'a>(&self, login: &'a str) -> (TenantId, &'a str) {
        let found = login.rsplit_once('@').and_then(|(user, domain)| {
            let domain = domain.to_ascii_lowercase();
            if domain == TenantDomain::SUPER {
                return Some((TenantId::SUPER, user));
            }
            let engine = self.0.tenants.get()?;
            let tenant = engine.read(|world, _, _| world.tenant_of_domain(&domain))?;
            Some((tenant, user))
        });
        found.unwrap_or((TenantId::SUPER, login))
    }

    async fn recognise(&self, header: Option<&str>, source: IpAddr) -> Verdict {
        let Some(header) = header.filter(|h| h.len() <= MAX_HEADER_BYTES) else {
            return Verdict::Unknown;
        };
        self.refresh();
        let digest = password::sha256(header.as_bytes());
        if let Some(known) = self.recall(&digest) {
            return Verdict::Known(known);
        }
        let now = self.0.began.elapsed();
        if let Some(wait) = self.backoff(|b| b.remaining(source, now)) {
            return Verdict::Later(wait.as_secs() + 1);
        }
        let Ok(_permit) = self.0.checks.acquire().await else {
            return Verdict::Unknown;
        };
        // Others from there may have failed while this one waited: many at once are not many free attempts.
        let now = self.0.began.elapsed();
        if let Some(wait) = self.backoff(|b| b.remaining(source, now)) {
            return Verdict::Later(wait.as_secs() + 1);
        }
        let users = self.users();
        match self.check(&users, header).await {
            Some(principal) => {
                self.remember(digest, principal.clone(), &users);
                self.backoff(|b| b.succeeded(source));
                Verdict::Known(principal)
            }
            None => {
                self.backoff(|b| b.failed(source, self.0.began.elapsed()));
                Verdict::Unknown
            }
        }
    }

    /// Opens a session for somebody who just showed credentials; None: they are right no longer.
    pub fn open_session(&self, principal: &Principal) -> Result<Option<Secret>, AuthFault> {
        let (users, now) = (self.users(), self.0.began.elapsed());
        if !users.knows(principal) {
            return Ok(None);
        }
        let mut sessions = self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Some(sessions.open(principal.clone(), users, now)?))
    }

    /// Whose session a `Cookie` header names.
    pub fn session(&self, header: &str) -> Option<Principal> {
        let text = session::in_header(header)?;
        self.refresh();
        let (users, now) = (self.users(), self.0.began.elapsed());
        let sessions = self.0.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.find(text, &users, now)
    }

    /// Checks signed web hooks.
    pub fn hooks(&self) -> &WebHooks {
        &self.0.hooks
    }

    /// Names and roles of all users of a tenant.
    pub fn listed(&self, tenant: TenantId) -> Vec<(String, Role)> {
        self.refresh();
        self.users().listed(tenant)
    }

    /// Changes one user of a tenant; blocks for as long as hashing a password takes.
    pub fn change(&self, tenant: TenantId, name: &str, change: Change) -> Result<(), NoChange> {
        let _one_at_a_time = self.0.edits.lock().unwrap_or_else(PoisonError::into_inner);
        store::change_user(&self.0.path, tenant, name, change)?;
        self.refresh();
        Ok(())
    }

    /// Reads the file anew if it changed (`cartridge token`): what was right before may not be any more.
    fn refresh(&self) {
        let version = store::version(&self.0.path);
        let known = self.0.users.read().unwrap_or_else(PoisonError::into_inner).0;
        if version == known {
            return;
        }
        match store::Users::read(&self.0.path) {
            Ok(users) => {
                *self.0.users.write().unwrap_or_else(PoisonError::into_inner) = (version, Arc::new(users));
                self.0
                    .remembered
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clear();
            }
            Err(fault) => tracing::warn!(%fault, "users stay as they were"),
        }
    }

    fn users(&self) -> Arc<store::Users> {
        Arc::clone(&self.0.users.read().unwrap_or_else(PoisonError::into_inner).1)
    }

    fn recall(&self, digest: &[u8; 32]) -> Option<Principal> {
        let remembered = self.0.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered
            .iter()
            .find(|(known, _)| known == digest)
            .map(|(_, who)| who.clone())
    }

    /// Unless the file changed while `users` were asked: what they said may not be right any more.
    fn remember(&self, digest: [u8; 32], principal: Principal, users: &Arc<store::Users>) {
        let mut remembered = self.0.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(users, &self.users()) {
            return;
        }
        if remembered.len() >= MAX_REMEMBERED {
            remembered.remove(0);
        }
        remembered.push((digest, principal));
    }

    fn backoff<T>(&self, act: impl FnOnce(&mut Backoff) -> T) -> T {
        act(&mut self.0.backoff.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn check(&self, users: &Arc<store::Users>, header: &str) -> Option<Principal> {
        let (scheme, rest) = header.split_once(' ')?;
        if scheme.eq_ignore_ascii_case("bearer") {
            return users.token(rest.trim());
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(rest.trim()).ok()?).ok()?;
        let (login, secret) = decoded.split_once(':')?;
        let (tenant, user) = self.login(login);
        let (users, user, secret) = (Arc::clone(users), user.to_owned(), Secret::new(secret));
        tokio::task::spawn_blocking(move || users.password(tenant, &user, &secret))
            .await
            .ok()
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn basic(user: &str, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    }

    #[tokio::test]
    async fn the_first_password_works_and_the_second_start_keeps_it() {
        let data = tempfile::tempdir().unwrap();
        let first = ensure_admin(data.path(), |_| Ok(()))
            .unwrap()
            .expect("first start");
        assert!(ensure_admin(data.path(), |_| Ok(())).unwrap().is_none());
        let auth = Auth::open(data.path()).unwrap();
        let header = basic(&first.user, first.password.expose());
        for _ in 0..2 {
            let known = auth.verify(Some(&header), HERE).await;
            assert!(matches!(known, Verdict::Known(p) if p.name == "admin" && p.role == Role::Admin));
        }
    }

    #[tokio::test]
    async fn the_file_holds_no_password_and_only_its_owner_may_read_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let data = tempfile::tempdir().unwrap();
        let first = ensure_admin(data.path(), |_| Ok(()))
            .unwrap()
            .expect("first start");
        let path = store::path(data.path());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(first.password.expose()));
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(first.password.expose().len(), 24);
    }

    #[tokio::test]
    async fn wrong_credentials_are_slowed_down_but_a_known_header_still_works() {
        let data = tempfile::tempdir().unwrap();
        let first = ensure_admin(data.path(), |_| Ok(()))
            .unwrap()
            .expect("first start");
        let auth = Auth::open(data.path()).unwrap();
        let right = basic(&first.user, first.password.expose());
        assert!(matches!(auth.verify(Some(&right), HERE).await, Verdict::Known(_)));
        for n in 0..backoff::FREE_ATTEMPTS {
            let wrong = basic("admin", &format!("wrong-{n}"));
            assert_eq!(auth.verify(Some(&wrong), HERE).await, Verdict::Unknown);
        }
        assert!(matches!(
            auth.verify(Some(&basic("admin", "x")), HERE).await,
            Verdict::Later(_)
        ));
        assert!(matches!(auth.verify(Some(&right), HERE).await, Verdict::Known(_)));
    }

    #[tokio::test]
    async fn guesses_at_the_same_time_are_slowed_down_like_guesses_in_turn() {
        let data = tempfile::tempdir().unwrap();
        ensure_admin(data.path(), |_| Ok(())).unwrap();
        let auth = Auth::open(data.path()).unwrap();
        let guesses = (0..50).map(|n| {
            let auth = auth.clone();
            tokio::spawn(async move { auth.verify(Some(&basic("admin", &n.to_string())), HERE).await })
        });
        let mut checked = 0;
        for guess in guesses.collect::<Vec<_>>() {
            checked += usize::from(guess.await.unwrap() == Verdict::Unknown);
        }
        let most = backoff::FREE_ATTEMPTS as usize + MAX_CHECKS;
        assert!(checked <= most, "{checked} passwords were checked at once");
    }

    #[tokio::test]
    async fn a_password_that_nobody_was_told_is_not_kept() {
        let data = tempfile::tempdir().unwrap();
        let lost = |_: &Credentials| Err(AuthFault::Random(password::NoRandom));
        assert!(ensure_admin(data.path(), lost).is_err());
        assert!(
            ensure_admin(data.path(), |_| Ok(())).unwrap().is_some(),
            "the next start makes another"
        );
    }

    #[tokio::test]
    async fn hostile_headers_are_unknown() {
        let data = tempfile::tempdir().unwrap();
        ensure_admin(data.path(), |_| Ok(())).unwrap();
        let auth = Auth::open(data.path()).unwrap();
        let long = format!("Basic {}", "A".repeat(5000));
        for (n, bad) in [
            "",
            "Basic",
            "Basic !!!",
            "Basic YQ==",
            "Digest x",
            "Bearer ",
            &long,
        ]
        .into_iter()
        .enumerate()
        {
            let source = IpAddr::from([127, 0, 1, u8::try_from(n).unwrap()]);
            assert_eq!(
                auth.verify(Some(bad), source).await,
                Verdict::Unknown,
                "{bad:.40}"
            );
        }
        assert_eq!(auth.verify(None, HERE).await, Verdict::Unknown);
    }

    #[tokio::test]
    async fn a_bearer_token_is_known_by_its_hash() {
        let data = tempfile::tempdir().unwrap();
        ensure_admin(data.path(), |_| Ok(())).unwrap();
        let auth = Auth::open(data.path()).unwrap();
        let token = create_token(data.path(), TenantId::SUPER, "ci", Role::Viewer).unwrap();
        let header = format!("Bearer {}", token.expose());
        let known = auth.verify(Some(&header), HERE).await;
        assert!(matches!(known, Verdict::Known(p) if p.name == "ci" && p.role == Role::Viewer));
        let text = std::fs::read_to_string(store::path(data.path())).unwrap();
        let secret = token.expose().rsplit('_').next().unwrap();
        assert!(!text.contains(secret));
        assert_eq!(
            auth.verify(Some(&format!("{header}0")), HERE).await,
            Verdict::Unknown
        );
    }
}
