//! The three options about the cloud's user-data, which are needed before everything else is known.

use cartridge_protocol::Millis;

use super::super::sources::{Layers, Sources};
use super::super::values::number;
use super::super::{USER_DATA, USER_DATA_SECONDS, USER_DATA_SERVER};
use super::Reader;
use crate::user_data::{Server, Wish};

/// What of the cloud's user-data is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedUserData {
    /// Whose.
    pub wish: Wish,
    /// From whom; None: as the cloud has it.
    pub server: Option<Server>,
    /// How long it may take.
    pub within: Millis,
}

/// Whether the other sources want the cloud's user-data too. What is wrong with these options, `resolve` tells.
pub fn user_data(sources: &Sources) -> Option<WantedUserData> {
    let mut reader = Reader {
        layers: Layers::new(sources),
        unread: false,
        faults: Vec::new(),
    };
    let wanted = reader.user_data();
    wanted.filter(|_| reader.faults.is_empty())
}

impl Reader<'_> {
    /// None: nothing is wanted, or nothing that can be understood.
    pub(super) fn user_data(&mut self) -> Option<WantedUserData> {
        let wish = self.get(USER_DATA, Wish::parse);
        let server = self.get(USER_DATA_SERVER, Server::parse);
        let within = self.get(USER_DATA_SECONDS, |v| number(v, 1, 3600));
        Some(WantedUserData {
            wish: wish.filter(|wish| *wish != Wish::Nothing)?,
            server,
            within: Millis::from_secs(within?),
        })
    }
}
