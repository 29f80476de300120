//! The table of options as text: for a terminal, and for the documentation.
//!
//! Refuses to know what anybody has set.

use super::{OPTIONS, Opt};
use crate::text::wrapped;

/// Columns of a terminal.
pub(super) const WIDE: usize = 80;

/// One row per option, in Markdown: what stands in docs/agent.md.
pub fn markdown() -> String {
    let head = "| flag | name elsewhere | default | meaning |\n| --- | --- | --- | --- |\n";
    let row = |o: &Opt| {
        let flag = o.flag.map_or("(never a flag)".to_owned(), |f| format!("`--{f}`"));
        let default = match o.default {
            Some(value) => format!("`{value}`"),
            None if o.required => "required".to_owned(),
            None => String::new(),
        };
        let help = o.help.replace('|', "\\|");
        format!("| {flag} | `{}` | {default} | {help} |\n", o.key)
    };
    OPTIONS
        .iter()
        .map(row)
        .fold(head.to_owned(), |all, row| all + &row)
}

/// The same for a terminal.
pub fn help() -> String {
    let entry = |o: &Opt| {
        let flag = o.flag.map(|f| format!("  --{f}")).unwrap_or_default();
        let default = match o.default {
            Some(value) => format!("  (default: {value})"),
            None if o.required => "  (required)".to_owned(),
            None => String::new(),
        };
        format!("{}{flag}{default}\n{}", o.key, wrapped(o.help, 4, WIDE))
    };
    OPTIONS.iter().map(entry).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_has_a_row_of_four_cells_and_fits_a_terminal() {
        let table = markdown();
        assert_eq!(table.lines().count(), OPTIONS.len() + 2);
        for line in table.lines() {
            let bars = line.replace("\\|", "").matches('|').count();
            assert_eq!(bars, 5, "{line}");
        }
        assert!(help().lines().all(|line| line.chars().count() <= WIDE));
    }

    #[test]
    fn no_two_options_share_a_name() {
        for (index, one) in OPTIONS.iter().enumerate() {
            for other in &OPTIONS[..index] {
                assert_ne!(one.key, other.key);
                assert!(one.flag.is_none() || one.flag != other.flag, "{}", one.key);
            }
        }
    }
}
