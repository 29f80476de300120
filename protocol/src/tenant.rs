//! Tenants of a multi-tenant application.
//!
//! This file refuses to know who they are.

use serde::{Deserialize, Serialize};

/// Stratos's number of a tenant: -1234 for the super tenant, others from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct TenantId(i64);

/// The super tenant.
const SUPER: i64 = -1234;

/// Not a tenant's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no tenant: numbers are -1234 (the super tenant) or 1 to 2147483647")]
pub struct InvalidTenant(i64);

impl TenantId {
    /// The super tenant.
    pub const SUPER: Self = Self(SUPER);

    /// Checks the number.
    pub fn new(number: i64) -> Result<Self, InvalidTenant> {
        if number == SUPER || (1..=i64::from(i32::MAX)).contains(&number) {
            Ok(Self(number))
        } else {
            Err(InvalidTenant(number))
        }
    }

    /// The number.
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Whether it is the super tenant.
    pub const fn is_super(self) -> bool {
        self.0 == SUPER
    }
}

impl Default for TenantId {
    fn default() -> Self {
        Self::SUPER
    }
}

impl TryFrom<i64> for TenantId {
    type Error = InvalidTenant;

    fn try_from(number: i64) -> Result<Self, InvalidTenant> {
        Self::new(number)
    }
}

impl From<TenantId> for i64 {
    fn from(tenant: TenantId) -> Self {
        tenant.0
    }
}

impl std::fmt::Display for TenantId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_numbers_of_tenants_are_accepted() {
        for good in [-1234, 1, 4, i64::from(i32::MAX)] {
            assert_eq!(TenantId::new(good).unwrap().get(), good);
        }
        for bad in [0, -1, -1235, i64::from(i32::MAX) + 1, i64::MIN, i64::MAX] {
            assert!(TenantId::new(bad).is_err(), "{bad}");
            assert!(
                serde_json::from_str::<TenantId>(&bad.to_string()).is_err(),
                "{bad}"
            );
        }
        assert!(TenantId::SUPER.is_super());
    }
}
