//! Values that the cartridges of an application share: they live as long as the application is deployed.
//!
//! This file refuses to know who shares them, and whether they may.

use cartridge_protocol::ClusterId;
use cartridge_protocol::values::ToldValues;
use serde::{Deserialize, Serialize};

use super::World;
use crate::record::Record;

/// The values of one application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationValues {
    /// The entry that changed them last.
    pub revision: u64,
    /// All of them, as members are told.
    pub told: ToldValues,
}

impl World {
    /// A cluster is going for good: what it shared goes with it, unless another has its alias by now.
    pub(super) fn forget_values_of(&mut self, cluster: &ClusterId) {
        let revision = self.seq;
        let Some(gone) = self.clusters.get(cluster) else {
            return;
        };
        let (application, alias) = (gone.application.clone(), gone.alias.clone());
        let taken = self
            .clusters_of(&application)
            .any(|other| other.alias == alias && other.is_wanted());
        let shares = |values: &ApplicationValues| values.told.clusters.contains_key(&alias);
        if taken || !self.values.get(&application).is_some_and(shares) {
            return;
        }
        if let Some(values) = self.values.get_mut(&application) {
            values.revision = revision;
            values.told = values.told.changed(|all| all.withdraw(Some(&alias), None, None));
        }
    }

    /// `record` fits, and is about values.
    pub(super) fn change_values(&mut self, record: &Record) {
        let revision = self.seq;
        let (Record::ValuesShared { application, .. } | Record::ValuesWithdrawn { application, .. }) = record
        else {
            unreachable!("no record of values: {record:?}")
        };
        let values = self
            .values
            .get_or_insert_with(application.clone(), ApplicationValues::default);
        values.revision = revision;
        values.told = values.told.changed(|all| match record {
            Record::ValuesShared {
                alias,
                key,
                values,
                added,
                ..
            } => all.share(alias.as_deref(), key, values, *added),
            Record::ValuesWithdrawn {
                alias, key, value, ..
            } => all.withdraw(alias.as_deref(), key.as_ref(), value.as_deref()),
            _ => {}
        });
    }
}
