//! The one table of who may do what. A route without a row is refused to everybody.
//!
//! This file refuses to know what the routes do.

use http::Method;
use serde::{Deserialize, Serialize};

/// What a person or program may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// May look.
    Viewer,
    /// May look and order.
    Admin,
}

/// Who a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, unasked.
    Open,
    /// Whoever has at least this role.
    From(Role),
}

const OPEN: Access = Access::Open;
const LOOK: Access = Access::From(Role::Viewer);
const ORDER: Access = Access::From(Role::Admin);

/// Method, route without the `/api` or `/api/v4.1` before it, who.
pub(crate) const TABLE: &[(&str, &str, Access)] = &[
    ("GET", "/healthz", OPEN),
    ("GET", "/metrics", LOOK),
    ("GET", "/", LOOK),
    ("GET", "/dashboard/app.js", LOOK),
    ("GET", "/dashboard/style.css", LOOK),
    ("GET", "/dashboard/stream", LOOK),
    ("GET", "/init", LOOK),
    ("GET", "/session", LOOK),
    ("GET", "/iaasProviders", LOOK),
    ("POST", "/cartridges", ORDER),
    ("PUT", "/cartridges", ORDER),
    ("GET", "/cartridges", LOOK),
    ("GET", "/cartridges/{id}", LOOK),
    ("DELETE", "/cartridges/{id}", ORDER),
    ("GET", "/cartridges/filter/{filter}", LOOK),
    ("GET", "/cartridges/{id}/filter/{filter}", LOOK),
    ("POST", "/users", ORDER),
    ("PUT", "/users", ORDER),
    ("GET", "/users", ORDER),
    ("DELETE", "/users/{id}", ORDER),
    ("POST", "/cartridgeGroups", ORDER),
    ("PUT", "/cartridgeGroups", ORDER),
    ("GET", "/cartridgeGroups", LOOK),
    ("GET", "/cartridgeGroups/{id}", LOOK),
    ("DELETE", "/cartridgeGroups/{id}", ORDER),
    ("POST", "/networkPartitions", ORDER),
    ("PUT", "/networkPartitions", ORDER),
    ("GET", "/networkPartitions", LOOK),
    ("GET", "/networkPartitions/{id}", LOOK),
    ("DELETE", "/networkPartitions/{id}", ORDER),
    ("POST", "/deploymentPolicies", ORDER),
    ("PUT", "/deploymentPolicies", ORDER),
    ("GET", "/deploymentPolicies", LOOK),
    ("GET", "/deploymentPolicies/{id}", LOOK),
    ("DELETE", "/deploymentPolicies/{id}", ORDER),
    ("POST", "/autoscalingPolicies", ORDER),
    ("PUT", "/autoscalingPolicies", ORDER),
    ("GET", "/autoscalingPolicies", LOOK),
    ("GET", "/autoscalingPolicies/{id}", LOOK),
    ("DELETE", "/autoscalingPolicies/{id}", ORDER),
    ("POST", "/applicationPolicies", ORDER),
    ("PUT", "/applicationPolicies", ORDER),
    ("GET", "/applicationPolicies", LOOK),
    ("GET", "/applicationPolicies/{id}", LOOK),
    ("DELETE", "/applicationPolicies/{id}", ORDER),
    ("POST", "/diff", ORDER),
    ("POST", "/applications", ORDER),
    ("PUT", "/applications", ORDER),
    ("GET", "/applications", LOOK),
    ("GET", "/applications/{id}", LOOK),
    ("DELETE", "/applications/{id}", ORDER),
    ("POST", "/applications/{id}/deploy/{policy}", ORDER),
    ("POST", "/applications/{id}/undeploy", ORDER),
    ("GET", "/applications/{id}/runtime", LOOK),
    ("GET", "/applications/{id}/networkPartitions", LOOK),
    ("GET", "/applications/{id}/endpoints", LOOK),
    ("GET", "/cluster/{id}", LOOK),
    ("GET", "/clusters", LOOK),
    ("GET", "/clusters/{id}", LOOK),
    ("POST", "/clusters/{id}/scale", ORDER),
    ("POST", "/clusters/{id}/release", ORDER),
    ("POST", "/clusters/{id}/rollback", ORDER),
    ("GET", "/explain/{id}", LOOK),
    ("GET", "/members", LOOK),
    ("GET", "/members/{id}", LOOK),
    ("POST", "/members/{id}/drain", ORDER),
    ("GET", "/events", LOOK),
    ("GET", "/logs/{id}", LOOK),
    ("GET", "/status", LOOK),
    ("POST", "/pause", ORDER),
    ("POST", "/resume", ORDER),
    ("POST", "/repo/notify", ORDER),
];

/// Who may use this route; None: it has no row, nobody may.
pub fn access(method: &Method, route: &str) -> Option<Access> {
    TABLE
        .iter()
        .find(|(m, r, _)| *m == method.as_str() && *r == route)
        .map(|(_, _, access)| *access)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_looking_is_for_viewers_who_the_users_are_is_not_and_only_health_is_open() {
        for (method, route, access) in TABLE {
            match access {
                Access::Open => assert_eq!(*route, "/healthz"),
                Access::From(Role::Viewer) => assert_eq!(*method, "GET", "{route}"),
                Access::From(Role::Admin) => assert!(*method != "GET" || *route == "/users", "{route}"),
            }
        }
    }

    #[test]
    fn no_row_stands_there_twice_and_what_has_none_is_for_nobody() {
        for (n, (method, route, _)) in TABLE.iter().enumerate() {
            assert!(
                !TABLE[..n].iter().any(|(m, r, _)| m == method && r == route),
                "{method} {route}"
            );
        }
        assert_eq!(access(&Method::PATCH, "/members"), None);
    }
}
