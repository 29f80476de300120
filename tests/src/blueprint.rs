//! The resources that end-to-end tests deploy: one application of one cartridge over network partitions of local
//! processes or simulated members.
//!
//! This file refuses to know how the server is reached beyond [`Api`].

use std::path::Path;

use serde_json::{Value, json};

use crate::api::{Api, ApiFault};

/// What to deploy.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The application's id; names of everything else are derived from it.
    pub application: String,
    /// `process` or `mock`.
    pub provider: String,
    /// Program of the members.
    pub program: String,
    /// Extra environment of the members.
    pub environment: Vec<(String, String)>,
    /// Network partitions in the order of bursting: name, address, capacity.
    pub partitions: Vec<(String, String, u32)>,
    /// Fewest members per network partition in use.
    pub min: u32,
    /// Most members per network partition in use.
    pub max: u32,
    /// The balancers' port; 0 = no balancer.
    pub proxy_port: u16,
    /// Requests in flight per member.
    pub in_flight: f64,
    /// Horizon and stabilisation, seconds.
    pub pace: (f64, f64),
    /// Where its files come from.
    pub repository: Option<Value>,
    /// Extra properties of each network partition.
    pub properties: Vec<(String, String)>,
}

impl Plan {
    /// `hello` as local processes in one network partition, without a balancer and without a repository.
    pub fn hello(binaries: &Path, application: &str) -> Self {
        Self {
            application: application.to_owned(),
            provider: "process".to_owned(),
            program: binaries.join("cartridge-hello").display().to_string(),
            environment: Vec::new(),
            partitions: vec![(format!("{application}-np"), "127.0.30.1".to_owned(), 64)],
            min: 1,
            max: 16,
            proxy_port: 0,
            in_flight: 8.0,
            pace: (5.0, 10.0),
            repository: None,
            properties: Vec::new(),
        }
    }

    /// The id of its only cluster.
    pub fn cluster(&self) -> String {
        format!("{0}.web.{0}-cartridge.domain", self.application)
    }

    /// Adds everything and deploys it.
    pub async fn deploy(&self, api: &Api) -> Result<(), ApiFault> {
        self.add(api).await?;
        let policy = format!("{}-policy", self.application);
        let path = format!("/api/applications/{}/deploy/{policy}", self.application);
        api.post(&path, None).await
    }

    /// Adds everything without deploying it.
    pub async fn add(&self, api: &Api) -> Result<(), ApiFault> {
        let named = |suffix: &str| format!("{}-{suffix}", self.application);
        for partition in self.network_partitions() {
            api.post("/api/networkPartitions", Some(&partition)).await?;
        }
        api.post("/api/cartridges", Some(&self.cartridge())).await?;
        api.post("/api/autoscalingPolicies", Some(&self.scaling()))
            .await?;
        api.post("/api/deploymentPolicies", Some(&self.deployment()))
            .await?;
        let names: Vec<&String> = self.partitions.iter().map(|(name, _, _)| name).collect();
        let policy =
            json!({"id": named("policy"), "algorithm": "one-after-another", "networkPartitions": names});
        api.post("/api/applicationPolicies", Some(&policy)).await?;
        api.post("/api/applications", Some(&self.blueprint())).await
    }

    fn network_partitions(&self) -> Vec<Value> {
        let properties = |address: &String| {
            let own = [("address", address.as_str())].into_iter();
            own.chain(
                self.properties
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str())),
            )
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect::<Vec<_>>()
        };
        let one = |(name, address, capacity): &(String, String, u32)| {
            let room = json!([{"name": "capacity", "value": capacity.to_string()}]);
            json!({
                "id": name, "provider": self.provider, "properties": properties(address),
                "partitions": [{"id": "p1", "property": room}],
            })
        };
        self.partitions.iter().map(one).collect()
    }

    fn cartridge(&self) -> Value {
        let environment: serde_json::Map<String, Value> = self
            .environment
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        json!({
            "type": format!("{}-cartridge", self.application), "category": "framework", "provider": "cartridge",
            "host": "hello.test", "displayName": "Hello", "description": "", "version": "1", "multiTenant": false,
            "portMapping": [{"name": "http", "protocol": "http", "port": 8080, "proxyPort": self.proxy_port}],
            "deployment": {},
            "iaasProvider": [{"type": self.provider, "imageId": "hello", "property": []}],
            "process": {"command": [self.program], "environment": environment},
            "health": {"http": {"port": "http", "path": "/health"}},
        })
    }

    fn scaling(&self) -> Value {
        json!({
            "id": format!("{}-scaling", self.application),
            "loadThresholds": {
                "requestsInFlight": {"threshold": self.in_flight},
                "memoryConsumption": {"threshold": 90},
                "loadAverage": {"threshold": 900},
            },
            "horizonSeconds": self.pace.0, "stabilizationSeconds": self.pace.1,
        })
    }

    fn deployment(&self) -> Value {
        let partition = |(name, _, capacity): &(String, String, u32)| {
            json!({
                "id": name, "partitionAlgo": "one-after-another",
                "partitions": [{"id": "p1", "partitionMax": capacity}],
            })
        };
        let partitions: Vec<Value> = self.partitions.iter().map(partition).collect();
        json!({"id": format!("{}-where", self.application), "networkPartitions": partitions})
    }

    /// The application document.
    pub fn blueprint(&self) -> Value {
        let mut subscription = json!({
            "alias": "web",
            "autoscalingPolicy": format!("{}-scaling", self.application),
            "deploymentPolicy": format!("{}-where", self.application),
        });
        if let Some(repository) = &self.repository {
            subscription["artifactRepository"] = repository.clone();
        }
        json!({
            "applicationId": self.application, "alias": self.application, "multiTenant": false,
            "components": {"cartridges": [{
                "type": format!("{}-cartridge", self.application),
                "cartridgeMin": self.min, "cartridgeMax": self.max, "subscribableInfo": subscription,
            }]},
        })
    }
}
