//! What a handler gets instead of the engine: a sight of what the caller may see, and a voice that orders for the
//! caller's tenant. Only the guard makes one, after the table was asked; so a handler that forgets to ask does not
//! compile (T21).
//!
//! This file refuses to know routes.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use cartridge_orchestrator_plan::decide::Report;
use cartridge_orchestrator_plan::observe::Observations;
use cartridge_orchestrator_plan::order::{Code, Order, Refusal};
use cartridge_orchestrator_plan::record::Entry;
use cartridge_orchestrator_plan::tenancy::whose_sign_up;
use cartridge_orchestrator_plan::world::World;
use cartridge_protocol::link::{LogLine, Notice};
use cartridge_protocol::{ApplicationId, MemberId, Millis, Secret};
use http::StatusCode;
use http::request::Parts;
use serde_json::Value;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::{Auth, Principal};
use crate::api::reply::Failure;
use crate::api::sign_ups::listed;
use crate::api::telling::{Event, tell};
use crate::dashboard::Dashboard;
use crate::engine::{Engine, FromMember, ShareError, StatsReading, SubmitError};
use crate::identity::IdentityError;
use crate::journal::JournalError;
use crate::lines::Kept;
use crate::provision::takeover::Orphan;

/// What the routes share. The engine is not for handlers: they get an [`Authorized`].
#[derive(Clone)]
pub struct Api {
    pub(super) engine: Engine,
    dashboard: Dashboard,
    auth: Auth,
}

impl Api {
    /// Shares these.
    pub fn new(engine: Engine, dashboard: Dashboard, auth: Auth) -> Self {
        Self {
            engine,
            dashboard,
            auth,
        }
    }

    /// Who checks credentials.
    pub fn auth(&self) -> &Auth {
        &self.auth
    }
}

/// Proof that the table of rights let the caller through, and all that they may reach.
#[derive(Clone)]
pub struct Authorized {
    /// Facts and orders, as far as they are the caller's tenant's.
    pub engine: Sight,
    /// What the dashboard keeps.
    pub dashboard: Dashboard,
    /// Users.
    pub auth: Auth,
}

impl Authorized {
    pub(super) fn new(api: &Api, who: Principal) -> Self {
        Self {
            engine: Sight {
                engine: api.engine.clone(),
                who,
            },
            dashboard: api.dashboard.clone(),
            auth: api.auth.clone(),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Authorized {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let found = parts.extensions.get::<Self>().cloned();
        found.ok_or_else(|| Failure::new(StatusCode::FORBIDDEN, "nobody was asked for credentials here"))
    }
}

/// The engine as the users of one tenant see it; cheap to clone.
#[derive(Clone)]
pub struct Sight {
    engine: Engine,
    who: Principal,
}

impl Sight {
    /// Whose it is.
    pub const fn who(&self) -> &Principal {
        &self.who
    }

    /// Looks at everything that the tenant may see; nothing else is there. Keep it short: the writer waits meanwhile.
    pub fn read<T>(&self, look: impl FnOnce(&World, &Observations, &Report) -> T) -> T {
        let tenant = self.who.tenant;
        self.engine.read(|world, seen, report| {
            if tenant.is_super() {
                return look(world, seen, report);
            }
            let world = world.narrowed(tenant);
            let own = report.clusters.iter();
            let own = own.filter(|row| world.clusters.contains_key(&row.cluster));
            let report = Report {
                clusters: own.cloned().collect(),
            };
            look(&world, seen, &report)
        })
    }

    /// Sign-ups for applications of the tenant, and its own for those of others, with what became of their files.
    pub fn sign_ups(&self) -> Vec<Value> {
        let tenant = self.who.tenant;
        self.engine.read(|world, seen, _| {
            listed(world, seen, |application, whose| {
                let owner = world.owner_of(application.as_str());
                tenant.is_super() || whose == tenant || owner == Some(tenant)
            })
        })
    }

    /// Gives an order for the tenant: what belongs to others is refused as if it did not exist.
    pub async fn submit(&self, order: Order) -> Result<u64, SubmitError> {
        self.engine.submit_as(self.who.tenant, order).await
    }

    /// Whether the tenant's users may still come in: long answers end when they may not.
    pub fn is_let_in(&self) -> bool {
        let tenant = self.who.tenant;
        tenant.is_super() || self.engine.read(|world, _, _| world.is_active(tenant))
    }

    /// Whether a member is, or was, the tenant's.
    fn sees(&self, member: &MemberId) -> bool {
        let tenant = self.who.tenant;
        tenant.is_super()
            || self
                .engine
                .read(|world, _, _| world.owner_of_member(member.as_str()))
                == Some(tenant)
    }

    /// The entries after a position, told; those of others are left out.
    pub async fn page(&self, after: u64, limit: usize) -> Result<Page, JournalError> {
        let entries = self.engine.entries(after, limit).await?;
        let newest = entries.last().map(|entry| entry.seq);
        let told = self.engine.read(|world, _, _| {
            let entries = entries.iter();
            entries
                .filter_map(|entry| self.told(entry, world))
                .collect::<Vec<_>>()
        });
        Ok(Page { newest, told })
    }

    /// Everybody hears of their own applications and sign-ups only, the super tenant of everything.
    fn told(&self, entry: &Entry, world: &World) -> Option<Event> {
        let event = tell(entry, world);
        let owner = event
            .application
            .as_deref()
            .and_then(|application| world.owner_of(application));
        let whose = [owner, whose_sign_up(&entry.record)];
        (self.who.tenant.is_super() || whose.contains(&Some(self.who.tenant))).then_some(event)
    }

    /// Every event from now on.
    pub fn news(&self) -> News {
        News {
            live: self.engine.subscribe(),
            sight: self.clone(),
        }
    }

    /// Log lines of a member that are still kept in memory, with numbers above `after`, oldest first.
    pub fn logs(&self, member: &MemberId, after: u64) -> Vec<LogLine> {
        if self.sees(member) {
            self.engine.logs(member, after)
        } else {
            Vec::new()
        }
    }

    /// All log lines of a member that are still kept, oldest first, each with its life.
    pub async fn all_logs(&self, member: &MemberId) -> Vec<Kept> {
        if self.sees(member) {
            self.engine.all_logs(member).await
        } else {
            Vec::new()
        }
    }

    /// Log lines of a member from now on.
    pub fn lines_of(&self, member: &MemberId) -> LinesOf {
        LinesOf {
            live: self.engine.subscribe_logs(),
            member: member.clone(),
            sight: self.clone(),
        }
    }

    /// Notices of a member that are still kept.
    pub fn notices(&self, member: &MemberId, after: u64) -> Vec<Notice> {
        if self.sees(member) {
            self.engine.notices(member, after)
        } else {
            Vec::new()
        }
    }

    /// Carries out an order about the values of an application, if it is the tenant's.
    pub async fn share(&self, application: &ApplicationId, order: Order) -> Result<(), ShareError> {
        let tenant = self.who.tenant;
        let owner = self
            .engine
            .read(|world, _, _| world.owner_of(application.as_str()));
        if !tenant.is_super() && owner != Some(tenant) {
            let message = format!("there is no application {:?}", application.as_str());
            let refusal = Refusal {
                code: Code::NotFound,
                field: None,
                message,
            };
            return Err(SubmitError::Refused(refusal).into());
        }
        self.engine.share(application, order).await
    }

    /// The token that opens an application of the tenant, if it is deployed.
    pub fn token_of(&self, application: &ApplicationId) -> Option<Secret> {
        let seen = self.read(|world, _, _| world.applications.contains_key(application));
        seen.then(|| self.engine.token_of(application)).flatten()
    }

    /// Somebody says that a simulated instance of the tenant has ended. Returns once that is recorded, or after five seconds:
    /// who is asked to believe it takes a moment.
    pub async fn instance_gone(&self, member: &MemberId, incarnation: u64, reason: String) {
        if !self.sees(member) {
            return;
        }
        let mut live = self.engine.subscribe();
        self.engine.instance_gone(member, incarnation, reason);
        let runs = || {
            self.engine.read(|world, _, _| {
                let now = world.members.get(member);
                now.is_some_and(|now| now.incarnation == incarnation && now.instance.is_some())
            })
        };
        let recorded = async { while runs() && !matches!(live.recv().await, Err(RecvError::Closed)) {} };
        let _ = tokio::time::timeout(Duration::from_secs(5), recorded).await;
    }

    /// Instances that the journal does not know: the installation's matter.
    pub fn orphans(&self) -> Vec<Orphan> {
        if self.who.tenant.is_super() {
            self.engine.orphans()
        } else {
            Vec::new()
        }
    }

    /// Seals a repository password.
    pub fn seal(&self, text: &str) -> Result<String, IdentityError> {
        self.engine.seal(text)
    }

    /// Opens what was sealed. The only texts that a tenant can hand over are those of its own applications.
    pub fn unseal(&self, sealed: &str) -> Result<Secret, IdentityError> {
        self.engine.unseal(sealed)
    }

    /// Now, on the clock that `since` and `heard` fields are of.
    pub fn now(&self) -> Millis {
        self.engine.now()
    }

    /// Wall clock, milliseconds since 1970: for people only.
    pub fn unix_ms(&self) -> u64 {
        self.engine.unix_ms()
    }

    /// Figures about the engine itself.
    pub fn stats(&self) -> StatsReading {
        self.engine.stats()
    }

    /// Cancelled when the orchestrator stops: long answers end then.
    pub fn stopping(&self) -> CancellationToken {
        self.engine.stopping()
    }
}

/// Some entries, told.
pub struct Page {
    /// The position of the last of them, told or not; None: there are no more.
    pub newest: Option<u64>,
    /// What is told of them, oldest first.
    pub told: Vec<Event>,
}

/// Events as they happen.
pub struct News {
    live: Receiver<Arc<Entry>>,
    sight: Sight,
}

impl News {
    /// The position of the next entry, and what is told of it if it is the tenant's.
    pub async fn next(&mut self) -> Result<(u64, Option<Event>), RecvError> {
        let entry = self.live.recv().await?;
        if !self.sight.is_let_in() {
            return Err(RecvError::Closed);
        }
        let engine = &self.sight.engine;
        let told = engine.read(|world, _, _| self.sight.told(&entry, world));
        Ok((entry.seq, told))
    }
}

/// Lines of one member as they come in.
pub struct LinesOf {
    live: Receiver<FromMember<LogLine>>,
    member: MemberId,
    sight: Sight,
}

impl LinesOf {
    /// The next ones.
    pub async fn next(&mut self) -> Result<FromMember<LogLine>, RecvError> {
        loop {
            let fresh = self.live.recv().await?;
            if fresh.member != self.member {
                continue;
            }
            if self.sight.is_let_in() && self.sight.sees(&self.member) {
                return Ok(fresh);
            }
            return Err(RecvError::Closed);
        }
    }
}
