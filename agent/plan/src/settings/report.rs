//! What `check` shows: every option with its origin, names of Stratos, what hooks are told, and all faults.
//!
//! Refuses to show secrets: they are masked before they come here.

use serde_json::{Value, json};

use super::table::WIDE;
use super::{OPTIONS, Resolved};
use crate::text::{one_line, wrapped};

/// Longest value shown, bytes.
const MOST: usize = 2048;

/// For a terminal of 80 columns; faults are for standard error and not in it.
pub fn text(resolved: &Resolved) -> String {
    let mut all = options(resolved);
    let stratos = resolved
        .stratos
        .iter()
        .map(|s| format!("{} (from {}) {}", s.name, s.origin, s.effect));
    section(&mut all, "Known from Stratos", stratos.collect());
    let told = resolved
        .passed_on
        .iter()
        .map(|p| one_line(&p.name, MOST))
        .collect::<Vec<_>>();
    let told = if told.is_empty() {
        Vec::new()
    } else {
        vec![told.join(" ")]
    };
    section(&mut all, "Also told to hooks, as STRATOS_<name>", told);
    section(&mut all, "Notes", resolved.notes.clone());
    all
}

fn options(resolved: &Resolved) -> String {
    let key = resolved.rows.iter().map(|r| r.key.len()).max().unwrap_or(0);
    let from = 16;
    let indent = key + from;
    let mut all = format!("{:key$}  {:from$}VALUE\n", "OPTION", "FROM", from = from - 2);
    for row in &resolved.rows {
        let shown = row
            .shown
            .as_deref()
            .map_or_else(|| "-".to_owned(), |v| one_line(v, MOST));
        let by = row.by.map(|by| format!(" (as {by})")).unwrap_or_default();
        let value = wrapped(&format!("{shown}{by}"), indent, WIDE);
        let head = format!("{:key$}  {:from$}", row.key, row.origin.word(), from = from - 2);
        all += &head;
        all += value.get(indent..).unwrap_or_default();
    }
    all
}

fn section(all: &mut String, title: &str, entries: Vec<String>) {
    if entries.is_empty() {
        return;
    }
    *all += &format!("\n{title}:\n");
    for entry in entries {
        *all += &wrapped(&one_line(&entry, MOST), 2, WIDE);
    }
}

/// For programs.
pub fn json(resolved: &Resolved) -> Value {
    let flag = |key: &str| OPTIONS.iter().find(|o| o.key == key).and_then(|o| o.flag);
    let faults = resolved.settings.as_ref().err().into_iter().flatten();
    json!({
        "version": 1,
        "options": resolved.rows.iter().map(|row| json!({
            "name": row.key,
            "flag": flag(row.key).map(|f| format!("--{f}")),
            "value": row.shown,
            "origin": row.origin.word(),
            "as": row.by,
        })).collect::<Vec<_>>(),
        "stratos": resolved.stratos.iter().map(|s| json!({
            "name": s.name, "origin": s.origin.word(), "effect": s.effect,
        })).collect::<Vec<_>>(),
        "told_to_hooks": resolved.passed_on.iter().map(|p| json!({
            "name": p.name, "origin": p.origin.word(),
        })).collect::<Vec<_>>(),
        "notes": resolved.notes,
        "faults": faults.map(|f| json!({
            "name": f.key,
            "problem": f.problem,
            "origin": f.origin.map(super::Origin::word),
            "as": f.by,
            "accepted": f.accepts,
        })).collect::<Vec<_>>(),
    })
}
