//! A record in one line, for the log. Refuses to show documents.

use cartridge_orchestrator_plan::record::Record;

/// A record as one line for the log: its kind and its ids, never a document.
pub(crate) fn line(record: &Record) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(record) else {
        return String::new();
    };
    let mut line = fields
        .get("kind")
        .and_then(|kind| kind.as_str())
        .unwrap_or_default()
        .to_owned();
    let shown = [
        "application",
        "cluster",
        "networkPartition",
        "member",
        "commit",
        "from",
        "to",
        "factor",
        "reason",
        "epoch",
    ];
    for name in shown {
        match fields.get(name) {
            Some(serde_json::Value::String(text)) => line.extend([" ", name, "=", &printable(text)]),
            Some(serde_json::Value::Number(number)) => line.extend([" ", name, "=", &number.to_string()]),
            _ => {}
        }
    }
    line
}

fn printable(text: &str) -> String {
    text.chars()
        .take(300)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
