//! Tokens of applications, and how much may be shared at a time. Refuses to know who asks over which protocol.

use std::collections::BTreeMap;
use std::sync::Mutex;

use cartridge_orchestrator_plan::allowance::{Allowance, Wait, price};
use cartridge_orchestrator_plan::order::{Order, admit};
use cartridge_protocol::{ApplicationId, Millis, Secret};

use super::{Engine, SubmitError};
use crate::tokens::Claims;

/// Tokens remembered.
const MAX_TOKENS: usize = 10_000;

/// What sharing needs beside the world.
#[derive(Default)]
pub(crate) struct Sharing {
    /// Of applications that shared lately.
    allowances: Mutex<BTreeMap<ApplicationId, Allowance>>,
    /// Signing takes a millisecond, and all members of an application have the same.
    tokens: Mutex<BTreeMap<ApplicationId, (u64, Secret)>>,
}

/// Why values are not shared. Nothing changed, unless the words of the order's own fault say that it may.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// The order itself.
    #[error(transparent)]
    Order(#[from] SubmitError),
    /// Too much was shared lately.
    #[error(
        "the application has shared too much lately; try again in {} s",
        .0.0.div_ceil(1000)
    )]
    TooMuch(Millis),
}

impl Engine {
    /// The token that opens an application as it is deployed now; None: it is not deployed.
    pub fn token_of(&self, application: &ApplicationId) -> Option<Secret> {
        let (deployment, installation) = self.read(|world, _, _| {
            let deployment = world.applications.get(application)?.deployment()?;
            Some((deployment, world.installation.clone()))
        })?;
        let mut tokens = self
            .shared
            .sharing
            .tokens
            .lock()
            .expect("no holder of this lock panics");
        if let Some((of, token)) = tokens.get(application)
            && *of == deployment
        {
            return Some(token.clone());
        }
        let claims = Claims {
            app_id: application.clone(),
            deployment,
            iss: installation,
        };
        match self.shared.identity.tokens().token(&claims) {
            Ok(token) => {
                if tokens.len() >= MAX_TOKENS {
                    tokens.clear();
                }
                tokens.insert(application.clone(), (deployment, token.clone()));
                Some(token)
            }
            Err(fault) => {
                tracing::error!(%application, "no token could be signed: {fault}");
                None
            }
        }
    }

    /// What a token opens: an application and its deployment, which is the present one. None: nothing, or nothing any more.
    pub fn opened_by(&self, token: &str) -> Option<(ApplicationId, u64)> {
        let claims = self.shared.identity.tokens().claims(token)?;
        let counts = self.read(|world, _, _| {
            let state = world.applications.get(&claims.app_id);
            claims.iss == world.installation
                && state.and_then(|state| state.deployment()) == Some(claims.deployment)
        });
        counts.then_some((claims.app_id, claims.deployment))
    }

    /// Carries out an order about the values of `application`, if it has not shared too much lately. What changes nothing
    /// costs nothing.
    pub async fn share(&self, application: &ApplicationId, order: Order) -> Result<(), ShareError> {
        let bytes = match &order {
            Order::ShareValues { key, values, .. } => {
                key.as_str().len() + values.iter().map(String::len).sum::<usize>()
            }
            _ => 0,
        };
        let records = self.read(|world, _, _| admit(world, order.clone()));
        if records.map_err(SubmitError::Refused)?.is_empty() {
            return Ok(());
        }
        self.spend(application, price(bytes))
            .map_err(|Wait(wait)| ShareError::TooMuch(wait))?;
        self.submit(order).await?;
        Ok(())
    }

    fn spend(&self, application: &ApplicationId, price: u64) -> Result<(), Wait> {
        let now = self.now();
        let mut allowances = self
            .shared
            .sharing
            .allowances
            .lock()
            .expect("no holder of this lock panics");
        allowances.retain(|_, allowance| !allowance.is_full(now));
        allowances
            .entry(application.clone())
            .or_insert_with(|| Allowance::full(now))
            .spend(price, now)
    }
}
