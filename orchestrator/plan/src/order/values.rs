//! Values that cartridges share: whose they are, their limits, and that a token opens one deployment of one application.
//!
//! It refuses to know how often somebody may share; see [`crate::allowance`].

use cartridge_protocol::values::SharedValues;
use cartridge_protocol::{ApplicationId, ValueKey};

use super::{Code, Refusal};
use crate::record::Record;
use crate::world::{Role, World};

type Answer = Result<Vec<Record>, Refusal>;

/// Whose values are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whose {
    /// Which application.
    pub application: ApplicationId,
    /// Which of its clusters, by alias or by id; None: those of the application as a whole.
    pub cluster: Option<String>,
    /// Only while it is deployed as it was: the number of the deployment ([`crate::world::ApplicationState::deployed`]).
    pub deployment: Option<u64>,
}

impl Whose {
    /// The application's own, whoever asks.
    pub const fn of(application: ApplicationId) -> Self {
        Self {
            application,
            cluster: None,
            deployment: None,
        }
    }

    /// The alias of the cluster that is meant, if one is; an error where there is no such application or cluster.
    pub fn alias(&self, world: &World) -> Result<Option<String>, Refusal> {
        let id = self.application.as_str();
        let Some(state) = world.applications.get(&self.application) else {
            let message = format!("there is no application {id:?}");
            return Err(Refusal::new(Code::NotFound, "application", message));
        };
        if self
            .deployment
            .is_some_and(|number| Some(number) != state.deployment())
        {
            let message = format!("application {id:?} is not deployed as it was any more");
            return Err(Refusal::new(Code::Conflict, "application", message));
        }
        let Some(name) = &self.cluster else {
            return Ok(None);
        };
        let by_id = world
            .clusters_of(&self.application)
            .find(|cluster| cluster.id.as_str() == name && cluster.role == Role::Application)
            .map(|cluster| cluster.alias.clone());
        let by_alias = || state.blueprint.subscriptions().any(|one| one.alias == *name);
        match by_id {
            Some(alias) => Ok(Some(alias)),
            None if by_alias() => Ok(Some(name.clone())),
            None => {
                let message = format!("application {id:?} has no cluster {name:?}");
                Err(Refusal::new(Code::NotFound, "alias", message))
            }
        }
    }
}

fn present(world: &World, application: &ApplicationId) -> SharedValues {
    let known = world.values.get(application);
    known.map_or_else(SharedValues::default, |values| (*values.told).clone())
}

pub(super) fn share(world: &World, whose: &Whose, key: ValueKey, values: Vec<String>, add: bool) -> Answer {
    let alias = whose.alias(world)?;
    if add && values.is_empty() {
        let message = format!("values: there is none to add to {key}");
        return Err(Refusal::new(Code::Invalid, "values", message));
    }
    let before = present(world, &whose.application);
    let mut after = before.clone();
    after.share(alias.as_deref(), &key, &values, add);
    if after == before {
        return Ok(Vec::new());
    }
    after.check().map_err(|fault| {
        let message = fault.to_string();
        let field = message.split(':').next().unwrap_or_default().to_owned();
        Refusal::new(Code::Invalid, &field, message)
    })?;
    Ok(vec![Record::ValuesShared {
        application: whose.application.clone(),
        alias,
        key,
        values,
        added: add,
    }])
}

pub(super) fn withdraw(world: &World, whose: &Whose, key: Option<ValueKey>, value: Option<String>) -> Answer {
    let alias = whose.alias(world)?;
    let before = present(world, &whose.application);
    let mut after = before.clone();
    after.withdraw(alias.as_deref(), key.as_ref(), value.as_deref());
    Ok((after != before)
        .then(|| Record::ValuesWithdrawn {
            application: whose.application.clone(),
            alias,
            key,
            value,
        })
        .into_iter()
        .collect())
}
