//! What was said about repositories. Refuses to know what the rules are for.

use cartridge_protocol::launch::key;

use super::Reader;
use crate::artifacts::{Addresses, Confinement, History, Limits, Remotes, Rules, Signatures};
use crate::settings::options::{
    ALLOW_ADDRESSES, ALLOW_REMOTES, ALLOWED_SIGNERS, ARTIFACT_LIMITS, ARTIFACT_SOURCE, FETCH_SANDBOX,
    FETCH_USER, GIT_CA, GIT_CREDENTIALS, HISTORY, KNOWN_HOSTS, LEAST_PERCENT, SIGNATURES,
};
use crate::settings::values::{absolute, boolean, number};
use crate::settings::{host_of, is_loopback};

impl Reader<'_> {
    /// The rules for repositories. Where a value is not understood there is a fault, and these are not used.
    pub(super) fn artifacts(&mut self, link: Option<&str>) -> Rules {
        let hosts_are_known = self.is_set(KNOWN_HOSTS);
        let by_plugin = self.is_set(ARTIFACT_SOURCE);
        let remotes = self.get(ALLOW_REMOTES, |text| match Remotes::parse(text)? {
            Remotes { ssh: true, .. } if !hosts_are_known => Err("ssh needs --known-hosts too".to_owned()),
            remotes => Ok(remotes),
        });
        let mut remotes = remotes.unwrap_or_default();
        remotes.file |= self.get(key::ALLOW_FILE_REPOSITORIES, boolean).unwrap_or(false);
        let usual = Addresses {
            loopback: link.is_some_and(|link| is_loopback(host_of(link))),
            ..Addresses::default()
        };
        let signers = self.get(ALLOWED_SIGNERS, absolute);
        let signatures = self.get(SIGNATURES, |text| match Signatures::parse(text, signers)? {
            Signatures::None => Ok(Signatures::None),
            _ if by_plugin => Err("what --artifact-source brings has no signatures".to_owned()),
            wanted => Ok(wanted),
        });
        let confinement = self.confinement();
        let percent = self.get(LEAST_PERCENT, |text| number(text, 0, 100));
        Rules {
            remotes,
            addresses: self.get(ALLOW_ADDRESSES, Addresses::parse).unwrap_or(usual),
            authority: self.get(GIT_CA, absolute),
            credentials: self.get(GIT_CREDENTIALS, absolute),
            known_hosts: self.get(KNOWN_HOSTS, absolute),
            signatures: signatures.unwrap_or(Signatures::None),
            history: self.get(HISTORY, History::parse).unwrap_or(History::Any),
            least_percent: percent.and_then(|n| u8::try_from(n).ok()).unwrap_or(0),
            limits: self.get(ARTIFACT_LIMITS, Limits::parse).unwrap_or_default(),
            confinement,
        }
    }

    fn confinement(&mut self) -> Confinement {
        let required = self.get(FETCH_SANDBOX, |text| match text {
            "required" => Ok(true),
            "best-effort" => Ok(false),
            _ => Err("neither required nor best-effort".to_owned()),
        });
        let user = self.get(FETCH_USER, |text| number(text, 0, u64::from(u32::MAX - 1)));
        Confinement {
            required: required.unwrap_or(false),
            user: user.and_then(|id| u32::try_from(id).ok()).unwrap_or(0),
        }
    }
}
