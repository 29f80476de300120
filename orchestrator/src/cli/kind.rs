//! The kinds of things that commands name, and where the API keeps them.
//!
//! This file refuses to know what is in them.

use clap::ValueEnum;

/// A kind of thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Running instances
    #[value(name = "members", alias = "member")]
    Members,
    /// All members of one cartridge in one application
    #[value(name = "clusters", alias = "cluster")]
    Clusters,
    /// Blueprints, deployed or not
    #[value(name = "applications", alias = "application", alias = "app", alias = "apps")]
    Applications,
    /// Where clients reach applications
    #[value(name = "endpoints", alias = "endpoint")]
    Endpoints,
    /// What the cartridges of one application share
    #[value(name = "metadata", alias = "values")]
    Metadata,
    /// Packaged runtimes
    #[value(name = "cartridges", alias = "cartridge")]
    Cartridges,
    /// Definitions of groups of cartridges
    #[value(name = "cartridge-groups", alias = "cartridge-group")]
    CartridgeGroups,
    /// All three kinds of policies
    #[value(name = "policies")]
    Policies,
    /// Thresholds
    #[value(name = "autoscaling-policies", alias = "autoscaling-policy")]
    AutoscalingPolicies,
    /// Which partitions a cluster may use
    #[value(name = "deployment-policies", alias = "deployment-policy")]
    DeploymentPolicies,
    /// Which network partitions an application may use
    #[value(name = "application-policies", alias = "application-policy")]
    ApplicationPolicies,
    /// Places that share a network
    #[value(name = "network-partitions", alias = "network-partition")]
    NetworkPartitions,
    /// Who has applications of their own here
    #[value(name = "tenants", alias = "tenant")]
    Tenants,
    /// Which tenants signed up for which applications
    #[value(name = "signups", alias = "signup", alias = "sign-ups", alias = "sign-up")]
    SignUps,
    /// Domains of tenants, and the applications that they lead into
    #[value(name = "domain-mappings", alias = "domain-mapping", alias = "domains")]
    DomainMappings,
    /// Users of your tenant
    #[value(name = "users", alias = "user")]
    Users,
}

impl Kind {
    /// The API's collection; None where several or none belong to it.
    pub fn collection(self) -> Option<&'static str> {
        match self {
            Self::Members => Some("members"),
            Self::Clusters => Some("clusters"),
            Self::Applications => Some("applications"),
            Self::Cartridges => Some("cartridges"),
            Self::CartridgeGroups => Some("cartridgeGroups"),
            Self::AutoscalingPolicies => Some("autoscalingPolicies"),
            Self::DeploymentPolicies => Some("deploymentPolicies"),
            Self::ApplicationPolicies => Some("applicationPolicies"),
            Self::NetworkPartitions => Some("networkPartitions"),
            Self::Tenants => Some("tenants"),
            Self::DomainMappings => Some("domainMappings"),
            Self::Users => Some("users"),
            Self::SignUps => Some("signups"),
            Self::Endpoints | Self::Metadata | Self::Policies => None,
        }
    }

    /// The field that names one of them.
    pub fn id_field(self) -> &'static str {
        match self {
            Self::Members => "member",
            Self::Clusters => "cluster",
            Self::Applications => "applicationId",
            Self::Cartridges => "type",
            Self::CartridgeGroups => "name",
            Self::Tenants => "tenantDomain",
            Self::DomainMappings => "domainName",
            Self::Users => "userName",
            Self::SignUps => "application",
            _ => "id",
        }
    }
}
