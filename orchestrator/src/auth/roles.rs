//! The one table of who may do what, and with whose things. A route without a row is refused to everybody.
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
    /// Who has the token of the application that the path names, and administrators.
    Sharing,
    /// Whoever signs with the secret of web hooks, and whoever has at least this role.
    Signed(Role),
}

const OPEN: Access = Access::Open;
const LOOK: Access = Access::From(Role::Viewer);
const ORDER: Access = Access::From(Role::Admin);
const SHARE: Access = Access::Sharing;
const SIGNED: Access = Access::Signed(Role::Admin);

/// Whose a route's object must be. What is another tenant's is answered as if it did not exist (T21); the super tenant,
/// who owns the machines, may see and order all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The same for everybody: what is no object, and the installation's documents.
    Everyones,
    /// The installation's: only for users of the super tenant.
    Installation,
    /// Lists, streams and documents: only what is the tenant's is in them, or is taken.
    Own,
    /// `{id}` is an application of the tenant.
    Application,
    /// `{id}` is an application of the tenant, or one that several tenants share.
    SignUp,
    /// `{domain}` is a tenant for which only users of the super tenant order something; 405 for others, as in Stratos.
    OnBehalf,
    /// `{id}` is a cluster of the tenant.
    Cluster,
    /// `{id}` is a member of the tenant.
    Member,
}

const EVERYONES: Relation = Relation::Everyones;
const INSTALLATION: Relation = Relation::Installation;
const OWN: Relation = Relation::Own;
const APPLICATION: Relation = Relation::Application;
const SIGN_UP: Relation = Relation::SignUp;
const ON_BEHALF: Relation = Relation::OnBehalf;
const CLUSTER: Relation = Relation::Cluster;
const MEMBER: Relation = Relation::Member;

/// One row: method, route without the `/api` or `/api/v4.1` before it, who, and whose.
pub(crate) type Row = (&'static str, &'static str, Access, Relation);

/// Every route. A row is a line: the documentation is held against it.
#[rustfmt::skip]
pub(crate) const TABLE: &[Row] = &[
    ("GET", "/healthz", OPEN, EVERYONES),
    ("GET", "/metrics", LOOK, OWN),
    ("GET", "/", LOOK, OWN),
    ("GET", "/dashboard/app.js", LOOK, EVERYONES),
    ("GET", "/dashboard/style.css", LOOK, EVERYONES),
    ("GET", "/dashboard/stream", LOOK, OWN),
    ("GET", "/openapi.json", LOOK, EVERYONES),
    ("GET", "/init", LOOK, EVERYONES),
    ("GET", "/session", LOOK, EVERYONES),
    ("GET", "/auth/cookie", LOOK, EVERYONES),
    ("GET", "/iaasProviders", LOOK, EVERYONES),
    ("POST", "/cartridges", ORDER, INSTALLATION),
    ("PUT", "/cartridges", ORDER, INSTALLATION),
    ("GET", "/cartridges", LOOK, EVERYONES),
    ("GET", "/cartridges/{id}", LOOK, EVERYONES),
    ("DELETE", "/cartridges/{id}", ORDER, INSTALLATION),
    ("GET", "/cartridges/filter/{filter}", LOOK, EVERYONES),
    ("GET", "/cartridges/{id}/filter/{filter}", LOOK, EVERYONES),
    ("POST", "/users", ORDER, OWN),
    ("PUT", "/users", ORDER, OWN),
    ("GET", "/users", ORDER, OWN),
    ("DELETE", "/users/{id}", ORDER, OWN),
    ("POST", "/tenants", ORDER, INSTALLATION),
    ("PUT", "/tenants", ORDER, INSTALLATION),
    ("GET", "/tenants", ORDER, INSTALLATION),
    ("GET", "/tenants/{domain}", ORDER, INSTALLATION),
    ("GET", "/tenants/search/{domain}", ORDER, INSTALLATION),
    ("PUT", "/tenants/activate/{domain}", ORDER, INSTALLATION),
    ("PUT", "/tenants/deactivate/{domain}", ORDER, INSTALLATION),
    ("DELETE", "/tenants/{domain}", ORDER, INSTALLATION),
    ("POST", "/cartridgeGroups", ORDER, INSTALLATION),
    ("PUT", "/cartridgeGroups", ORDER, INSTALLATION),
    ("GET", "/cartridgeGroups", LOOK, EVERYONES),
    ("GET", "/cartridgeGroups/{id}", LOOK, EVERYONES),
    ("DELETE", "/cartridgeGroups/{id}", ORDER, INSTALLATION),
    ("POST", "/networkPartitions", ORDER, INSTALLATION),
    ("PUT", "/networkPartitions", ORDER, INSTALLATION),
    ("GET", "/networkPartitions", LOOK, EVERYONES),
    ("GET", "/networkPartitions/{id}", LOOK, EVERYONES),
    ("DELETE", "/networkPartitions/{id}", ORDER, INSTALLATION),
    ("POST", "/deploymentPolicies", ORDER, INSTALLATION),
    ("PUT", "/deploymentPolicies", ORDER, INSTALLATION),
    ("GET", "/deploymentPolicies", LOOK, EVERYONES),
    ("GET", "/deploymentPolicies/{id}", LOOK, EVERYONES),
    ("DELETE", "/deploymentPolicies/{id}", ORDER, INSTALLATION),
    ("POST", "/autoscalingPolicies", ORDER, INSTALLATION),
    ("PUT", "/autoscalingPolicies", ORDER, INSTALLATION),
    ("GET", "/autoscalingPolicies", LOOK, EVERYONES),
    ("GET", "/autoscalingPolicies/{id}", LOOK, EVERYONES),
    ("DELETE", "/autoscalingPolicies/{id}", ORDER, INSTALLATION),
    ("POST", "/applicationPolicies", ORDER, INSTALLATION),
    ("PUT", "/applicationPolicies", ORDER, INSTALLATION),
    ("GET", "/applicationPolicies", LOOK, EVERYONES),
    ("GET", "/applicationPolicies/{id}", LOOK, EVERYONES),
    ("DELETE", "/applicationPolicies/{id}", ORDER, INSTALLATION),
    ("POST", "/kubernetesClusters", ORDER, INSTALLATION),
    ("PUT", "/kubernetesClusters", ORDER, INSTALLATION),
    ("GET", "/kubernetesClusters", LOOK, EVERYONES),
    ("PUT", "/kubernetesClusters/host", ORDER, INSTALLATION),
    ("GET", "/kubernetesClusters/{id}", LOOK, EVERYONES),
    ("DELETE", "/kubernetesClusters/{id}", ORDER, INSTALLATION),
    ("GET", "/kubernetesClusters/{id}/hosts", LOOK, EVERYONES),
    ("DELETE", "/kubernetesClusters/{id}/hosts/{host}", ORDER, INSTALLATION),
    ("GET", "/kubernetesClusters/{id}/master", LOOK, EVERYONES),
    ("PUT", "/kubernetesClusters/{id}/master", ORDER, INSTALLATION),
    ("POST", "/kubernetesClusters/{id}/minion", ORDER, INSTALLATION),
    ("POST", "/diff", ORDER, OWN),
    ("POST", "/applications", ORDER, OWN),
    ("PUT", "/applications", ORDER, OWN),
    ("GET", "/applications", LOOK, OWN),
    ("GET", "/applications/{id}", LOOK, APPLICATION),
    ("DELETE", "/applications/{id}", ORDER, APPLICATION),
    ("POST", "/applications/{id}/deploy/{policy}", ORDER, APPLICATION),
    ("POST", "/applications/{id}/undeploy", ORDER, APPLICATION),
    ("GET", "/applications/{id}/runtime", LOOK, APPLICATION),
    ("GET", "/applications/{id}/networkPartitions", LOOK, APPLICATION),
    ("GET", "/applications/{id}/endpoints", LOOK, APPLICATION),
    ("GET", "/applications/{id}/values", ORDER, APPLICATION),
    ("POST", "/applications/{id}/signup", ORDER, SIGN_UP),
    ("GET", "/applications/{id}/signup", LOOK, SIGN_UP),
    ("DELETE", "/applications/{id}/signup", ORDER, SIGN_UP),
    ("POST", "/applications/{id}/signup/{domain}", ORDER, ON_BEHALF),
    ("DELETE", "/applications/{id}/signup/{domain}", ORDER, ON_BEHALF),
    ("GET", "/signups", LOOK, OWN),
    ("POST", "/applications/{id}/domainMappings", ORDER, SIGN_UP),
    ("GET", "/applications/{id}/domainMappings", LOOK, SIGN_UP),
    ("DELETE", "/applications/{id}/domainMappings/{domain}", ORDER, SIGN_UP),
    ("GET", "/domainMappings", LOOK, OWN),
    ("GET", "/cluster/{id}", LOOK, CLUSTER),
    ("GET", "/clusters", LOOK, OWN),
    ("GET", "/clusters/{id}", LOOK, CLUSTER),
    ("POST", "/clusters/{id}/scale", ORDER, CLUSTER),
    ("POST", "/clusters/{id}/release", ORDER, CLUSTER),
    ("POST", "/clusters/{id}/rollback", ORDER, CLUSTER),
    ("GET", "/explain/{id}", LOOK, CLUSTER),
    ("GET", "/members", LOOK, OWN),
    ("GET", "/members/{id}", LOOK, MEMBER),
    ("POST", "/members/{id}/drain", ORDER, MEMBER),
    ("GET", "/events", LOOK, OWN),
    ("GET", "/logs/{id}", LOOK, MEMBER),
    ("GET", "/status", LOOK, OWN),
    ("POST", "/pause", ORDER, INSTALLATION),
    ("POST", "/resume", ORDER, INSTALLATION),
    ("POST", "/repo/notify", SIGNED, OWN),
    ("GET", "/metadata/api/applications/{id}/properties", SHARE, APPLICATION),
    ("GET", "/metadata/api/applications/{id}/properties/{key}", SHARE, APPLICATION),
    ("POST", "/metadata/api/applications/{id}/properties", SHARE, APPLICATION),
    ("DELETE", "/metadata/api/applications/{id}/properties", SHARE, APPLICATION),
    ("DELETE", "/metadata/api/applications/{id}/properties/{key}", SHARE, APPLICATION),
    ("DELETE", "/metadata/api/applications/{id}/properties/{key}/value/{value}", SHARE, APPLICATION),
    ("GET", "/metadata/api/applications/{id}/clusters/{alias}/properties", SHARE, APPLICATION),
    ("GET", "/metadata/api/applications/{id}/clusters/{alias}/properties/{key}", SHARE, APPLICATION),
    ("POST", "/metadata/api/applications/{id}/clusters/{alias}/properties", SHARE, APPLICATION),
    ("GET", "/metadata/api/applications/{id}/cluster/{alias}/properties", SHARE, APPLICATION),
    ("GET", "/metadata/api/applications/{id}/cluster/{alias}/properties/{key}", SHARE, APPLICATION),
    ("POST", "/metadata/api/applications/{id}/cluster/{alias}/properties", SHARE, APPLICATION),
    ("GET", "/mock-iaas/api/instances", ORDER, OWN),
    ("GET", "/mock-iaas/api/instances/{id}", ORDER, OWN),
    ("DELETE", "/mock-iaas/api/instances/{id}", ORDER, OWN),
];

/// Who may use this route, and whose its object must be; None: it has no row, nobody may.
pub fn access(method: &Method, route: &str) -> Option<(Access, Relation)> {
    TABLE
        .iter()
        .find(|(m, r, ..)| *m == method.as_str() && *r == route)
        .map(|(.., access, relation)| (*access, *relation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_looking_is_for_viewers_who_the_users_are_is_not_and_only_health_is_open() {
        for (method, route, access, _) in TABLE {
            match access {
                Access::Open => assert_eq!(*route, "/healthz"),
                Access::From(Role::Viewer) => assert_eq!(*method, "GET", "{route}"),
                Access::From(Role::Admin) => {
                    let told_secrets =
                        *route == "/users" || route.starts_with("/mock-iaas/") || route.ends_with("/values");
                    let of_tenants = route.starts_with("/tenants");
                    assert!(*method != "GET" || told_secrets || of_tenants, "{route}");
                }
                Access::Sharing => assert!(route.starts_with("/metadata/api/"), "{route}"),
                Access::Signed(least) => assert_eq!((*route, *least), ("/repo/notify", Role::Admin)),
            }
        }
    }

    #[test]
    fn no_row_stands_there_twice_and_what_has_none_is_for_nobody() {
        for (n, (method, route, ..)) in TABLE.iter().enumerate() {
            assert!(
                !TABLE[..n].iter().any(|(m, r, ..)| m == method && r == route),
                "{method} {route}"
            );
        }
        assert_eq!(access(&Method::PATCH, "/members"), None);
    }
    #[test]
    fn a_route_with_a_name_says_whose_it_is_unless_it_is_the_installations() {
        for (method, route, access, relation) in TABLE {
            let kind = match route.split('/').nth(1) {
                _ if !route.contains("{id}") => continue,
                Some("applications") if route.ends_with("/signup") => Relation::SignUp,
                Some("applications") if route.contains("/domainMappings") => Relation::SignUp,
                Some("applications") if route.contains("/signup/") => Relation::OnBehalf,
                Some("applications") => Relation::Application,
                Some("cluster" | "clusters" | "explain") => Relation::Cluster,
                Some("members" | "logs") => Relation::Member,
                Some("users" | "mock-iaas") => Relation::Own,
                Some("metadata") => Relation::Application,
                _ if *access == LOOK => Relation::Everyones,
                _ => Relation::Installation,
            };
            assert_eq!(*relation, kind, "{method} {route}");
        }
    }
}
