//! `cartridge describe`, `explain` and `status`: everything about one thing, as indented text.
//!
//! This file refuses to know what the fields mean.

use serde_json::{Value, json};

use super::client::{Client, Fault, segment};
use super::get::{domain_mapping, sign_ups, text};
use super::{Kind, Output, show};

/// Carries out `describe`.
pub async fn describe(client: &Client, kind: Kind, name: &str, output: Output) -> Result<(), Fault> {
    let found = match kind {
        Kind::Endpoints => {
            client
                .get(&format!("applications/{}/endpoints", segment(name)))
                .await?
        }
        Kind::Metadata => {
            client
                .get(&format!("applications/{}/values", segment(name)))
                .await?
        }
        Kind::Policies => {
            let text = "say which kind: autoscaling-policy, deployment-policy or application-policy";
            return Err(Fault::Usage(text.into()));
        }
        Kind::Applications => application(client, name).await?,
        Kind::SignUps => sign_ups(client, name).await?,
        Kind::DomainMappings => domain_mapping(client, name).await?,
        other => {
            let collection = other.collection().expect("the others have one");
            client.get(&format!("{collection}/{}", segment(name))).await?
        }
    };
    print(&found, output)
}

/// Carries out `explain`.
pub async fn explain(client: &Client, cluster: &str, output: Output) -> Result<(), Fault> {
    let found = client.get(&format!("explain/{}", segment(cluster))).await?;
    match output {
        Output::Json => show::json(&found),
        Output::Table => lines(&found).iter().try_for_each(|line| show::line(line)),
    }
}

fn lines(found: &Value) -> Vec<String> {
    let decision = &found["decision"];
    let mut lines = vec![
        format!(
            "{}: {} active, {} wanted",
            text(&found["cluster"]),
            text(&found["active"]),
            text(&found["desired"])
        ),
        format!("because: {}", text(&found["because"])),
    ];
    if found["orderedSize"].is_u64() {
        lines.push(format!("ordered size: {}", text(&found["orderedSize"])));
    }
    // While paused nothing is decided, and there is nothing to show.
    if decision["factor"]
        .as_str()
        .is_some_and(|factor| !factor.is_empty())
    {
        let figures = [&decision["factor"], &decision["required"], &decision["target"]].map(text);
        lines.push(format!(
            "factor: {}, required {}, target {}",
            figures[0], figures[1], figures[2]
        ));
        lines.push(format!("seen: {}", text(&decision["inputs"])));
        if decision["frozen"].is_string() {
            lines.push(format!("held: {}", text(&decision["frozen"])));
        } else if decision["target"] == found["desired"] {
            lines.push("nothing to do: as many are wanted as there should be".to_owned());
        }
    }
    for row in decision["forecast"].as_array().into_iter().flatten() {
        let figures = [
            &row["factor"],
            &row["now"],
            &row["predicted"],
            &row["threshold"],
            &row["required"],
        ]
        .map(text);
        let [factor, now, predicted, threshold, required] = figures;
        lines.push(format!(
            "{factor}: now {now}, predicted {predicted}, threshold {threshold}, asks for {required}"
        ));
        lines.extend(outlook(&row["outlook"]));
    }
    lines.extend(
        decision["notes"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|note| format!("note: {}", text(note))),
    );
    for place in found["instances"].as_array().into_iter().flatten() {
        let ending = if place["ending"] == true {
            ", being emptied"
        } else {
            ""
        };
        let figures = [&place["networkPartition"], &place["active"], &place["desired"]].map(text);
        lines.push(format!(
            "in {}: {} of {} active{ending}",
            figures[0], figures[1], figures[2]
        ));
    }
    lines
}

/// How the forecast of arrivals came to its size.
fn outlook(row: &Value) -> Vec<String> {
    let Some(horizon) = row["horizon"].as_f64() else {
        return Vec::new();
    };
    let percent = |value: &Value| {
        value
            .as_f64()
            .map_or_else(String::new, |v| format!("{:.0} %", 100.0 * v))
    };
    vec![
        format!(
            "  {} per second expected in {horizon:.0} s by {}; the load is {}; trends are believed {} and {}",
            text(&row["expected"]),
            text(&row["believed"]),
            text(&row["mood"]),
            percent(&row["trust"][0]),
            percent(&row["trust"][1]),
        ),
        format!(
            "  ready for {} per second, {} per member: {} needed, {} wanted with those kept",
            text(&row["readyFor"]),
            text(&row["capacity"]),
            text(&row["needed"]),
            text(&row["wanted"]),
        ),
    ]
}

/// Carries out `status`.
pub async fn status(client: &Client, output: Output) -> Result<(), Fault> {
    print(&client.get("status").await?, output)
}

async fn application(client: &Client, name: &str) -> Result<Value, Fault> {
    let path = segment(name);
    let blueprint = client.get(&format!("applications/{path}")).await?;
    let endpoints = client.get(&format!("applications/{path}/endpoints")).await?;
    let clusters = client.get("clusters").await?;
    let own: Vec<Value> = clusters
        .as_array()
        .into_iter()
        .flatten()
        .filter(|row| row["application"] == name)
        .cloned()
        .collect();
    let mut shown = json!({"application": blueprint, "clusters": own, "endpoints": endpoints});
    if blueprint["multiTenant"] == true {
        shown["signUps"] = sign_ups(client, name).await?;
    }
    Ok(shown)
}

fn print(found: &Value, output: Output) -> Result<(), Fault> {
    match output {
        Output::Json => show::json(found),
        Output::Table => show::indented(found),
    }
}
