//! Members as local processes: an agent each, in its own session and folder.
//!
//! `<data>/members/<member>.<incarnation>/` holds everything of one life. Every process of it carries
//! `CARTRIDGE_INSTANCE_TAG=<installation>/<member>/<incarnation>` in its environment and, where that is allowed, lives in
//! a cgroup named after it; nothing that has neither is ever signalled. This file refuses to know what the agent does.

mod cgroup;
mod ending;
mod folder;
mod launch;
mod ports;
mod spawn;
mod tagged;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cartridge_orchestrator_plan::step::MemberSpec;
use cartridge_protocol::MemberId;
use tokio::process::Child;
use tokio::sync::mpsc;

use self::cgroup::Cgroups;
use self::folder::Folder;
use self::ports::Ports;
use self::tagged::Pid;
use super::{Answer, Ensured, Exit, Found, LinkInfo, ProvisionError, Provisioner};

/// What the provisioner needs to know once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of all members.
    pub members: PathBuf,
    /// The tag's first part.
    pub installation: String,
    /// The agent's binary.
    pub agent: PathBuf,
    /// The balancer plugin's binary.
    pub balancer: PathBuf,
    /// Agents may fetch from `file://`.
    pub allow_file_repositories: bool,
    /// Each member gets a cgroup of its own, where the machine allows it.
    pub own_cgroups: bool,
}

/// For a cgroup whose last process was just killed to let go of it.
const REMOVAL_TRIES: u32 = 100;
const AGAIN: Duration = Duration::from_millis(10);

type Decided = (Ensured, Vec<PathBuf>, Option<Pid>);

/// One life of one member.
pub(crate) type Life = (MemberId, u64);

struct Inner {
    settings: Settings,
    cgroups: Cgroups,
    ports: Mutex<Ports>,
    /// Whose agent is being watched.
    watched: Mutex<BTreeSet<Life>>,
    exits: mpsc::Sender<Exit>,
}

/// Members as local processes.
#[derive(Clone)]
pub struct Process(Arc<Inner>);

impl Process {
    /// Finds out which cgroups may be made. Exits are sent to `exits`.
    pub fn new(settings: Settings, exits: mpsc::Sender<Exit>) -> Self {
        let find = if settings.own_cgroups {
            Cgroups::find
        } else {
            Cgroups::nowhere
        };
        Self(Arc::new(Inner {
            cgroups: find(&settings.installation),
            settings,
            ports: Mutex::default(),
            watched: Mutex::default(),
            exits,
        }))
    }

    fn folder(&self, life: &Life) -> Folder {
        Folder::of(&self.0.settings.members, life)
    }

    fn tag(&self, life: &Life) -> String {
        format!("{}/{}/{}", self.0.settings.installation, life.0, life.1)
    }

    /// Whether members get cgroups of their own here.
    pub fn own_cgroups(&self) -> bool {
        self.0.cgroups.allowed()
    }

    async fn listed(&self) -> Result<Vec<Found>, ProvisionError> {
        let this = self.clone();
        let (found, agents) = blocking(move || this.look()).await?;
        for (life, agent) in agents {
            watch::adopted(self, life, agent);
        }
        Ok(found)
    }

    /// Every life that has a folder, an agent or a cgroup; and the agents.
    fn look(&self) -> Result<(Vec<Found>, BTreeMap<Life, Pid>), ProvisionError> {
        let settings = &self.0.settings;
        let folders = folder::all(&settings.members)?;
        let agents = tagged::agents(&settings.installation)?;
        for folder in &folders {
            match folder.made() {
                Ok(Some((made, _))) => self.0.ports().take(made.address, made.ports.values().copied()),
                Ok(None) => {}
                // One bad file must not hide all others; whoever is asked for this life again says so.
                Err(e) => tracing::error!("{e}"),
            }
        }
        let mut ages: BTreeMap<Life, Option<Duration>> = BTreeMap::new();
        for (life, cgroup) in self.0.cgroups.lives() {
            ages.insert(life, cgroup::age(&cgroup));
        }
        for folder in folders {
            ages.insert(folder.life.clone(), folder.age());
        }
        for (life, agent) in &agents {
            ages.insert(life.clone(), tagged::age(*agent));
        }
        let found = ages.into_iter().map(|(life, age)| Found {
            running: agents.contains_key(&life),
            age,
            member: life.0,
            incarnation: life.1,
        });
        Ok((found.collect(), agents))
    }

    async fn ensured(&self, spec: MemberSpec, link: LinkInfo) -> Result<Ensured, ProvisionError> {
        let life = (spec.member.clone(), spec.incarnation);
        let (this, spec) = (self.clone(), Arc::new(spec));
        let (of, wanted) = (life.clone(), Arc::clone(&spec));
        let (made, cgroups, agent) = blocking(move || this.decided(&of, &wanted)).await?;
        if let Some(agent) = agent {
            watch::adopted(self, life, agent);
            return Ok(made);
        }
        // Its agent is gone, so whoever is left in there hides from the tag; the new agent must begin alone.
        if !cgroups.iter().all(|folder| cgroup::is_empty(folder)) {
            ending::end_all(&self.tag(&life), &cgroups).await?;
        }
        let (this, of, told) = (self.clone(), life.clone(), made.clone());
        let child = blocking(move || this.started(&of, &spec, &told, &link)).await?;
        watch::child(self, life, child);
        Ok(made)
    }

    /// What is or was decided for this life, durably; its cgroups; and its agent if it runs.
    fn decided(&self, life: &Life, spec: &MemberSpec) -> Result<Decided, ProvisionError> {
        let folder = self.folder(life);
        let wanted = self.0.cgroups.of(life);
        let (made, cgroups) = match folder.made()? {
            Some((made, recorded)) => {
                let mut all = self.0.cgroups.verified(life, recorded.clone());
                all.extend(wanted.into_iter().filter(|folder| !recorded.contains(folder)));
                if all.iter().any(|folder| !recorded.contains(folder)) {
                    folder.write_made(&made, &all)?;
                }
                (made, all)
            }
            None => {
                let made = self.choose(spec)?;
                if let Err(e) = folder.create().and_then(|()| folder.write_made(&made, &wanted)) {
                    self.give_back(&made);
                    return Err(e);
                }
                (made, wanted)
            }
        };
        Ok((made, cgroups, tagged::agent(&self.tag(life))?))
    }

    fn started(
        &self,
        life: &Life,
        spec: &MemberSpec,
        made: &Ensured,
        link: &LinkInfo,
    ) -> Result<Child, ProvisionError> {
        let folder = self.folder(life);
        let parameters = launch::parameters(&self.0.settings, spec, made, link);
        folder.write_launch(&parameters)?;
        let entries = self.0.cgroups.make(life);
        spawn::agent(&self.0.settings, &folder, &self.tag(life), life, entries)
    }

    fn choose(&self, spec: &MemberSpec) -> Result<Ensured, ProvisionError> {
        let ports = if spec.balancer {
            spec.ports.clone()
        } else {
            self.0.ports().choose(spec.address, spec.ports.keys())?
        };
        Ok(Ensured {
            instance: format!("process:{}.{}", spec.member, spec.incarnation),
            address: spec.address,
            ports,
        })
    }

    async fn removed(&self, life: Life) -> Result<(), ProvisionError> {
        self.end(&life).await?;
        let mut tries = REMOVAL_TRIES;
        loop {
            tries -= 1;
            let (this, of) = (self.clone(), life.clone());
            match blocking(move || Ok(this.0.cgroups.remove(&this.cgroups(&of)))).await? {
                Ok(()) => break,
                Err(e) if tries == 0 => return Err(ProvisionError(format!("cgroup of {}: {e}", life.0))),
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
        let this = self.clone();
        blocking(move || {
            let folder = this.folder(&life);
            let made = folder.made().ok().flatten();
            folder.delete()?;
            if let Some((made, _)) = made {
                this.give_back(&made);
            }
            Ok(())
        })
        .await
    }

    /// Ends all processes of a life.
    async fn end(&self, life: &Life) -> Result<(), ProvisionError> {
        let (this, of) = (self.clone(), life.clone());
        let cgroups = blocking(move || Ok(this.cgroups(&of))).await?;
        ending::end_all(&self.tag(life), &cgroups).await
    }

    /// All cgroups of a life: those that it would get now, and those that it was given under an orchestrator that lived
    /// elsewhere in the tree.
    fn cgroups(&self, life: &Life) -> Vec<PathBuf> {
        let made = self.folder(life).made().ok().flatten();
        let recorded = made.map(|(_, cgroups)| cgroups).unwrap_or_default();
        let mut all = self.0.cgroups.verified(life, recorded);
        for folder in self.0.cgroups.of(life) {
            if !all.contains(&folder) {
                all.push(folder);
            }
        }
        all
    }

    fn give_back(&self, made: &Ensured) {
        self.0
            .ports()
            .give_back(made.address, made.ports.values().copied());
    }
}

impl Inner {
    fn ports(&self) -> std::sync::MutexGuard<'_, Ports> {
        self.ports.lock().expect("no holder of the port lock panics")
    }
}

impl Provisioner for Process {
    fn list(&self) -> Answer<'_, Vec<Found>> {
        Box::pin(self.listed())
    }

    fn ensure(&self, spec: MemberSpec, link: LinkInfo) -> Answer<'_, Ensured> {
        Box::pin(self.ensured(spec, link))
    }

    fn remove<'a>(&'a self, member: &'a MemberId, incarnation: u64) -> Answer<'a, ()> {
        Box::pin(self.removed((member.clone(), incarnation)))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProvisionError> + Send + 'static,
) -> Result<T, ProvisionError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| ProvisionError("the orchestrator is stopping".to_owned()))?
}
