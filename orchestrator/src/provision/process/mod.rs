//! Members as local processes: an agent each, in its own session and folder.
//!
//! `<data>/members/<member>.<incarnation>/` holds everything of one life. Every process of it carries
//! `CARTRIDGE_INSTANCE_TAG=<installation>/<member>/<incarnation>` in its environment; nothing without that tag is ever
//! signalled. This file refuses to know what the agent does.

mod folder;
mod launch;
mod ports;
mod spawn;
mod tagged;
mod watch;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use cartridge_orchestrator_plan::step::MemberSpec;
use cartridge_protocol::MemberId;
use tokio::sync::mpsc;

use self::folder::Folder;
use self::ports::Ports;
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
}

/// One life of one member.
pub(crate) type Life = (MemberId, u64);

struct Inner {
    settings: Settings,
    ports: Mutex<Ports>,
    /// Whose agent is being watched.
    watched: Mutex<BTreeSet<Life>>,
    exits: mpsc::Sender<Exit>,
}

/// Members as local processes.
#[derive(Clone)]
pub struct Process(Arc<Inner>);

impl Process {
    /// Exits are sent to `exits`.
    pub fn new(settings: Settings, exits: mpsc::Sender<Exit>) -> Self {
        Self(Arc::new(Inner {
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

    async fn listed(&self) -> Result<Vec<Found>, ProvisionError> {
        let settings = self.0.settings.clone();
        let (folders, agents) = blocking(move || {
            let folders = folder::all(&settings.members)?;
            let agents = tagged::agents(&settings.installation)?;
            Ok((folders, agents))
        })
        .await?;
        for folder in &folders {
            match folder.made() {
                Ok(Some(made)) => self.0.ports().take(made.address, made.ports.values().copied()),
                Ok(None) => {}
                // One bad file must not hide all others; whoever is asked for this life again says so.
                Err(e) => tracing::error!("{e}"),
            }
        }
        let mut lives: BTreeSet<Life> = folders.iter().map(|folder| folder.life.clone()).collect();
        lives.extend(agents.keys().cloned());
        for (life, agent) in &agents {
            watch::adopted(self, life.clone(), *agent);
        }
        let found = |life: Life| Found {
            running: agents.contains_key(&life),
            age: match agents.get(&life) {
                Some(agent) => tagged::age(*agent),
                None => self.folder(&life).age(),
            },
            member: life.0,
            incarnation: life.1,
        };
        Ok(lives.into_iter().map(found).collect())
    }

    async fn ensured(&self, spec: MemberSpec, link: LinkInfo) -> Result<Ensured, ProvisionError> {
        let life = (spec.member.clone(), spec.incarnation);
        let folder = self.folder(&life);
        let made = match folder.made()? {
            Some(made) => made,
            None => {
                let made = self.choose(&spec)?;
                if let Err(e) = folder.create().and_then(|()| folder.write_made(&made)) {
                    self.give_back(&made);
                    return Err(e);
                }
                made
            }
        };
        let tag = self.tag(&life);
        let agent = blocking(move || tagged::agent(&tag)).await?;
        match agent {
            Some(agent) => watch::adopted(self, life, agent),
            None => {
                let parameters = launch::parameters(&self.0.settings, &spec, &made, &link);
                folder.write_launch(&parameters)?;
                let child = spawn::agent(&self.0.settings, &folder, &self.tag(&life), &life)?;
                watch::child(self, life, child);
            }
        }
        Ok(made)
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
        tagged::kill_all(&self.tag(&life)).await?;
        let folder = self.folder(&life);
        let made = folder.made().ok().flatten();
        blocking(move || folder.delete()).await?;
        if let Some(made) = made {
            self.give_back(&made);
        }
        Ok(())
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
