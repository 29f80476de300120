//! `cartridge diff` and `cartridge apply --dry-run`: what documents would change, told by the server.
//!
//! This file refuses to compare anything itself.

use std::path::PathBuf;

use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, Fault};
use super::document::read_all;
use super::{Output, show};

/// Carries out `diff`; nothing is changed by it.
pub async fn diff(client: &Client, files: &[PathBuf], output: Output) -> Result<(), Fault> {
    let documents: Vec<Value> = read_all(files)?
        .iter()
        .map(|one| json!({"collection": one.kind.collection(), "document": one.body}))
        .collect();
    let body = json!({"documents": documents});
    let answer = client.ask(Method::POST, "diff", Some(&body)).await?;
    if output == Output::Json {
        return show::json(&answer);
    }
    for row in rows(&answer["documents"]) {
        let name = format!("{} {}", text(&row["collection"]), text(&row["id"]));
        match row["change"].as_str() {
            Some("add") => show::line(&format!("{name}: is new"))?,
            Some("none") => show::line(&format!("{name}: stays as it is"))?,
            _ => show::line(&format!("{name}: changes"))?,
        }
        for change in rows(&row["changes"]) {
            let (from, to) = (&change["from"], &change["to"]);
            show::line(&format!("  {}: {from} -> {to}", text(&change["field"])))?;
        }
    }
    let plan = rows(&answer["plan"]);
    if !plan.is_empty() {
        show::line("what runs:")?;
    }
    for line in plan {
        show::line(&format!("  {}", text(line)))?;
    }
    let decisions = rows(&answer["decisions"]);
    if !decisions.is_empty() {
        show::line("at once:")?;
    }
    for decision in decisions {
        show::line(&format!("  {}", text(decision)))?;
    }
    Ok(())
}

fn rows(list: &Value) -> &[Value] {
    list.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
