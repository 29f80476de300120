//! Puts answers on the terminal: tables that fit, colours where they are wanted, everything cleaned.
//!
//! This file refuses to know what is in the tables.

use std::io::{IsTerminal as _, Write as _};

use comfy_table::{CellAlignment, Table, presets};
use serde_json::Value;

use super::clean;
use super::client::Fault;

/// Width when nothing says another.
const DEFAULT_WIDTH: usize = 80;

/// A column: its title, and how soon it goes when the terminal is too narrow (0 = never, highest first).
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Heading.
    pub title: &'static str,
    /// 0 = never left out.
    pub spare: u8,
    /// Figures stand right.
    pub figure: bool,
}

/// A column of words.
pub const fn words(title: &'static str, spare: u8) -> Column {
    Column {
        title,
        spare,
        figure: false,
    }
}

/// A column of figures.
pub const fn figures(title: &'static str, spare: u8) -> Column {
    Column {
        title,
        spare,
        figure: true,
    }
}

/// Prints a table.
pub fn table(columns: &[Column], rows: &[Vec<String>], none: &str) -> Result<(), Fault> {
    if rows.is_empty() {
        return line(none);
    }
    let text = fit(columns, rows, width());
    let colour = colours();
    let mut out = std::io::stdout().lock();
    for (n, row) in text.lines().enumerate() {
        match (colour, n) {
            (true, 0) => writeln!(out, "\u{1b}[1m{row}\u{1b}[0m")?,
            _ => writeln!(out, "{row}")?,
        }
    }
    Ok(())
}

/// The table without the columns that do not fit into `width`.
fn fit(columns: &[Column], rows: &[Vec<String>], width: usize) -> String {
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    loop {
        let text = layout(columns, rows, &shown);
        let widest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        let spare = shown
            .iter()
            .copied()
            .filter(|c| columns[*c].spare > 0)
            .max_by_key(|c| columns[*c].spare);
        match spare {
            Some(column) if widest > width => shown.retain(|c| *c != column),
            _ => return text,
        }
    }
}

fn layout(columns: &[Column], rows: &[Vec<String>], shown: &[usize]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(shown.iter().map(|c| columns[*c].title));
    for row in rows {
        table.add_row(
            shown
                .iter()
                .map(|c| row.get(*c).map(|cell| clean::line(cell)).unwrap_or_default()),
        );
    }
    for (position, c) in shown.iter().enumerate() {
        if let Some(column) = table.column_mut(position) {
            column.set_padding((0, if position + 1 == shown.len() { 0 } else { 2 }));
            if columns[*c].figure {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    let text = table.to_string();
    text.lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

/// Prints one cleaned line.
pub fn line(text: &str) -> Result<(), Fault> {
    writeln!(std::io::stdout().lock(), "{}", clean::line(text))?;
    Ok(())
}

/// Prints one cleaned line in the colour of `tone`.
pub fn toned(text: &str, tone: Tone) -> Result<(), Fault> {
    let text = clean::line(text);
    let mut out = std::io::stdout().lock();
    match tone.code().filter(|_| colours()) {
        Some(code) => writeln!(out, "\u{1b}[{code}m{text}\u{1b}[0m")?,
        None => writeln!(out, "{text}")?,
    }
    Ok(())
}

/// Prints JSON.
pub fn json(value: &Value) -> Result<(), Fault> {
    let text = serde_json::to_string_pretty(value).expect("a value is always JSON");
    writeln!(std::io::stdout().lock(), "{}", clean::json(&text))?;
    Ok(())
}

/// Prints one JSON value as one line.
pub fn json_line(value: &Value) -> Result<(), Fault> {
    writeln!(std::io::stdout().lock(), "{}", clean::json(&value.to_string()))?;
    Ok(())
}

/// Prints an error as one line on standard error, which may be closed: there is nobody left to tell then.
pub fn error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "cartridge: {}", clean::line(text));
}

/// What a line means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Nothing special.
    Plain,
    /// Something works now.
    Good,
    /// Something is being done.
    Notable,
    /// Something is lost or refused.
    Bad,
}

impl Tone {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Notable => Some("33"),
            Self::Bad => Some("31"),
        }
    }
}

/// A value as indented text, the way people write YAML.
pub fn indented(value: &Value) -> Result<(), Fault> {
    let mut text = String::new();
    outline(value, 0, &mut text);
    write!(std::io::stdout().lock(), "{}", clean::lines(&text))?;
    Ok(())
}

fn outline(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    let empty = |v: &Value| v.is_null() || v.as_array().is_some_and(Vec::is_empty);
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter().filter(|(_, field)| !empty(field)) {
                match scalar(field) {
                    Some(text) => out.push_str(&format!("{indent}{name}: {text}\n")),
                    None => {
                        out.push_str(&format!("{indent}{name}:\n"));
                        outline(field, depth + 1, out);
                    }
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                match scalar(item) {
                    Some(text) => out.push_str(&format!("{indent}- {text}\n")),
                    None => {
                        let mut inner = String::new();
                        outline(item, depth + 1, &mut inner);
                        let marked = inner.replacen(&"  ".repeat(depth + 1), &format!("{indent}- "), 1);
                        out.push_str(&marked);
                    }
                }
            }
        }
        other => out.push_str(&format!("{indent}{}\n", scalar(other).unwrap_or_default())),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("-".into()),
        Value::String(text) => Some(clean::line(text)),
        Value::Number(number) => Some(match number.as_f64() {
            Some(value) if number.is_f64() => figure(value),
            _ => number.to_string(),
        }),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Array(items) if items.is_empty() => Some("-".into()),
        Value::Object(fields) if fields.is_empty() => Some("-".into()),
        _ => None,
    }
}

/// A figure with one digit after the point where it has any; what rounds to nothing has no sign.
pub fn figure(value: f64) -> String {
    let text = if value.fract() == 0.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    };
    match text.as_str() {
        "-0" | "-0.0" | "0.0" => "0".to_owned(),
        _ => text,
    }
}

/// Colours are wanted: a terminal reads, and nobody said `NO_COLOR`.
fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Columns of the terminal; without one, no limit but the one that `COLUMNS` sets.
fn width() -> usize {
    let said = std::env::var("COLUMNS")
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|w| *w > 0);
    said.unwrap_or_else(|| {
        if !std::io::stdout().is_terminal() {
            return usize::MAX;
        }
        terminal_width().unwrap_or(DEFAULT_WIDTH)
    })
}

fn terminal_width() -> Option<usize> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes one `winsize` to the address given, which `size` is and outlives the call.
    let done = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    (done == 0 && size.ws_col > 0).then(|| usize::from(size.ws_col))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Vec<String>> {
        vec![vec![
            "single-cartridge-app.my-php.php.domain-12".into(),
            "active".into(),
            "x".repeat(30),
            "7".into(),
        ]]
    }

    const COLUMNS: [Column; 4] = [
        words("MEMBER", 0),
        words("PHASE", 0),
        words("WHERE", 2),
        figures("LOAD", 1),
    ];

    #[test]
    fn what_rounds_to_nothing_has_no_sign() {
        let shown = |value: f64| {
            [
                figure(value),
                scalar(&Value::from(value)).unwrap(),
                super::super::get::text(&Value::from(value)),
            ]
        };
        for value in [-0.0, -0.04, 0.0, 0.04] {
            assert_eq!(shown(value), ["0", "0", "0"]);
        }
        assert_eq!(shown(-0.06), ["-0.1", "-0.1", "-0.1"]);
        assert_eq!(shown(20.0), ["20", "20", "20"]);
        assert_eq!(shown(12.34), ["12.3", "12.3", "12.3"]);
    }

    #[test]
    fn columns_go_before_lines_wrap() {
        let narrow = fit(&COLUMNS, &rows(), 60);
        assert!(narrow.lines().all(|line| line.chars().count() <= 60), "{narrow}");
        assert!(narrow.contains("domain-12") && narrow.contains("LOAD") && !narrow.contains("WHERE"));
        assert!(fit(&COLUMNS, &rows(), 200).contains("WHERE"));
    }

    #[test]
    fn cells_are_cleaned() {
        let text = fit(&COLUMNS, &[vec!["a\u{1b}[2J\nb".into()]], 80);
        assert!(text.contains("a b") && !text.contains('\u{1b}'), "{text:?}");
    }

    #[test]
    fn an_outline_reads_like_yaml() {
        let mut text = String::new();
        let value = serde_json::json!({"a": 1, "b": {"c": [{"d": 2.25, "e": "x"}, 3]}, "f": []});
        outline(&value, 0, &mut text);
        assert_eq!(text, "a: 1\nb:\n  c:\n    - d: 2.2\n      e: x\n    - 3\n");
    }
}
