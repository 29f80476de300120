//! Users and API tokens in `<data>/users.json`, readable by its owner alone. Passwords and tokens stand there as
//! hashes only. Each belongs to one tenant; a name is unique within its tenant.
//!
//! This file refuses to know how credentials arrive.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use cartridge_protocol::Secret;
use cartridge_protocol::tenant::TenantId;
use serde::{Deserialize, Serialize};

use super::password::{Hashed, NoRandom, random_text, sha256_text};
use super::{Principal, Role};

/// Name of the administrator that the first start creates.
pub const ADMIN: &str = "admin";
/// Length of generated passwords.
const PASSWORD_LENGTH: usize = 24;

/// What [`ensure_admin`] created; the password is known here and never again.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// User name.
    pub user: String,
    /// Password.
    pub password: Secret,
}

/// Why users cannot be read or created.
#[derive(Debug, thiserror::Error)]
pub enum AuthFault {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is damaged.
    #[error("{path} is no users file: {source}; restore it, or remove it to get a new administrator")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// See there.
    #[error(transparent)]
    Random(#[from] NoRandom),
}

/// The users file.
pub fn path(data: &Path) -> PathBuf {
    data.join("users.json")
}

/// Which state of the file this is: time alone is too coarse for two changes in a row, but each makes a new file.
pub type Version = (std::time::SystemTime, u64);

/// The state of the file now.
pub fn version(path: &Path) -> Option<Version> {
    let about = std::fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.ino()))
}

/// Creates the administrator with a random password, if there are no users yet. `tell` hears it first: a password that
/// is kept but that nobody was told would lock everybody out for good.
pub fn ensure_admin(
    data: &Path,
    tell: impl FnOnce(&Credentials) -> Result<(), AuthFault>,
) -> Result<Option<Credentials>, AuthFault> {
    let path = path(data);
    if path.exists() {
        return Ok(None);
    }
    let made = Credentials {
        user: ADMIN.into(),
        password: random_text(PASSWORD_LENGTH)?,
    };
    let admin = User {
        name: made.user.clone(),
        tenant: TenantId::SUPER,
        role: Role::Admin,
        password: Hashed::of(&made.password)?,
    };
    tell(&made)?;
    Users {
        users: vec![admin],
        tokens: Vec::new(),
    }
    .write(&path)?;
    Ok(Some(made))
}

/// Creates an API token `cartridge_<id>_<secret>` for `owner` of a tenant; it is shown once. A running server
/// notices it.
pub fn create_token(data: &Path, tenant: TenantId, owner: &str, role: Role) -> Result<Secret, AuthFault> {
    let path = path(data);
    let mut users = Users::read(&path)?;
    let (id, secret) = (random_text(8)?, random_text(40)?);
    users.tokens.push(Token {
        id: id.expose().to_owned(),
        owner: owner.to_owned(),
        tenant,
        role,
        sha256: sha256_text(secret.expose()),
    });
    users.write(&path)?;
    Ok(Secret::new(format!(
        "cartridge_{}_{}",
        id.expose(),
        secret.expose()
    )))
}

/// What shall become of a user.
#[derive(Clone, Debug)]
pub enum Change {
    /// There shall be one more.
    Add(Role, Secret),
    /// Role and password of one that there is; what is not named stays.
    Update(Option<Role>, Option<Secret>),
    /// One fewer; its tokens go with it.
    Remove,
    /// A tenant begins with this one: whoever the file names of an earlier tenant of this number, is none of its.
    Found(Secret),
    /// The administrator of a tenant has this password, whether there was such a user or not.
    Restore(Secret),
}

/// Why a user stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum NoChange {
    /// There is one of that name.
    #[error("there is a user {0:?} already")]
    Exists(String),
    /// There is none of that name.
    #[error("there is no user {0:?}")]
    Unknown(String),
    /// Nobody could order anything any more.
    #[error("{0:?} is the last administrator")]
    LastAdmin(String),
    /// There are too many.
    #[error("there are {0} users; no more are accepted")]
    TooMany(usize),
    /// The file.
    #[error(transparent)]
    Fault(#[from] AuthFault),
}

/// Most users of the super tenant.
pub const MAX_USERS: usize = 1000;
/// Most users of another tenant.
pub const MAX_TENANT_USERS: usize = 100;

const fn most(tenant: TenantId) -> usize {
    if tenant.is_super() {
        MAX_USERS
    } else {
        MAX_TENANT_USERS
    }
}

/// Changes one user of a tenant. Slow on purpose where a password is hashed.
pub fn change_user(path: &Path, tenant: TenantId, name: &str, change: Change) -> Result<(), NoChange> {
    let mut users = Users::read(path)?;
    let known = users.find(tenant, name).is_some();
    match (&change, known) {
        (Change::Add(..), true) => return Err(NoChange::Exists(name.to_owned())),
        (Change::Update(..) | Change::Remove, false) => return Err(NoChange::Unknown(name.to_owned())),
        (Change::Add(..) | Change::Restore(_), false) if users.of(tenant).count() >= most(tenant) => {
            return Err(NoChange::TooMany(most(tenant)));
        }
        _ => {}
    }
    let hashed = |password: Secret| Hashed::of(&password).map_err(AuthFault::from);
    match change {
        Change::Add(role, password) => users.put(tenant, name, Some(role), Some(hashed(password)?)),
        Change::Update(role, password) => {
            let password = password.map(hashed).transpose()?;
            users.put(tenant, name, role, password);
        }
        Change::Remove => {
            users
                .users
                .retain(|user| user.tenant != tenant || user.name != name);
            users
                .tokens
                .retain(|token| token.tenant != tenant || token.owner != name);
        }
        Change::Found(password) => {
            users.users.retain(|user| user.tenant != tenant);
            users.tokens.retain(|token| token.tenant != tenant);
            users.put(tenant, name, Some(Role::Admin), Some(hashed(password)?));
        }
        Change::Restore(password) => users.put(tenant, name, Some(Role::Admin), Some(hashed(password)?)),
    }
    if !users.has_admin(tenant) {
        return Err(NoChange::LastAdmin(name.to_owned()));
    }
    Ok(users.write(path)?)
}

/// All users and tokens.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Users {
    users: Vec<User>,
    #[serde(default)]
    tokens: Vec<Token>,
}

#[derive(Clone, Serialize, Deserialize)]
struct User {
    name: String,
    /// Files of before there were tenants name none: the super tenant's.
    #[serde(default, skip_serializing_if = "is_supers")]
    tenant: TenantId,
    role: Role,
    password: Hashed,
}

#[derive(Clone, Serialize, Deserialize)]
struct Token {
    id: String,
    owner: String,
    #[serde(default, skip_serializing_if = "is_supers")]
    tenant: TenantId,
    role: Role,
    sha256: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_supers(tenant: &TenantId) -> bool {
    tenant.is_super()
}

impl Users {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self, AuthFault> {
        let text = std::fs::read(path).map_err(|source| AuthFault::File {
            path: path.into(),
            source,
        })?;
        serde_json::from_slice(&text).map_err(|source| AuthFault::Damaged {
            path: path.into(),
            source,
        })
    }

    /// Writes the whole file anew and renames it into place.
    fn write(&self, path: &Path) -> Result<(), AuthFault> {
        let fault = |source| AuthFault::File {
            path: path.into(),
            source,
        };
        let part = path.with_extension("json.part");
        let text = serde_json::to_vec_pretty(self).expect("users are always JSON");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)
            .map_err(fault)?;
        file.write_all(&text).map_err(fault)?;
        file.sync_all().map_err(fault)?;
        std::fs::rename(&part, path).map_err(fault)
    }

    /// Names and roles of a tenant's users, in the order in which they were added.
    pub fn listed(&self, tenant: TenantId) -> Vec<(String, Role)> {
        self.of(tenant)
            .map(|user| (user.name.clone(), user.role))
            .collect()
    }

    fn of(&self, tenant: TenantId) -> impl Iterator<Item = &User> {
        self.users.iter().filter(move |user| user.tenant == tenant)
    }

    fn find(&self, tenant: TenantId, name: &str) -> Option<&User> {
        self.of(tenant).find(|user| user.name == name)
    }

    /// Adds one, or changes password and role of the one there is.
    fn put(&mut self, tenant: TenantId, name: &str, role: Option<Role>, password: Option<Hashed>) {
        let mut users = self.users.iter_mut();
        match users.find(|user| user.tenant == tenant && user.name == name) {
            Some(user) => {
                user.role = role.unwrap_or(user.role);
                user.password = password.unwrap_or_else(|| user.password.clone());
            }
            None => self.users.extend(password.map(|password| User {
                name: name.to_owned(),
                tenant,
                role: role.unwrap_or(Role::Viewer),
                password,
            })),
        }
    }

    /// Whether somebody of this name may do this still, by password or by token.
    pub fn knows(&self, who: &Principal) -> bool {
        let user = |user: &User| user.name == who.user && user.role == who.role;
        let of_tenant = |token: &&Token| token.tenant == who.tenant;
        let token = |token: &Token| token.owner == who.user && token.role == who.role;
        self.of(who.tenant).any(user) || self.tokens.iter().filter(of_tenant).any(token)
    }

    fn has_admin(&self, tenant: TenantId) -> bool {
        self.of(tenant).any(|user| user.role == Role::Admin)
    }

    /// The user of a tenant with this name, if the password is right. A name that does not exist costs the same time.
    pub fn password(&self, tenant: TenantId, name: &str, password: &Secret) -> Option<Principal> {
        let user = self.find(tenant, name);
        let hashed = user.or_else(|| self.users.first()).map(|user| &user.password)?;
        let right = hashed.is(password);
        user.filter(|_| right).map(|user| Principal {
            user: user.name.clone(),
            name: user.name.clone(),
            tenant,
            role: user.role,
        })
    }

    /// The owner of a token.
    pub fn token(&self, text: &str) -> Option<Principal> {
        let (id, secret) = text.strip_prefix("cartridge_")?.split_once('_')?;
        let token = self.tokens.iter().find(|token| token.id == id)?;
        Secret::new(token.sha256.clone())
            .matches(&sha256_text(secret))
            .then(|| Principal {
                user: token.owner.clone(),
                name: token.owner.clone(),
                tenant: token.tenant,
                role: token.role,
            })
    }
}
