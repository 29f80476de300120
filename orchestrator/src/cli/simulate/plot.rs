//! A simulation as a picture: what was needed, what stood ready, where it was not enough.
//!
//! This file refuses to know more than the outcome. The picture is SVG without scripts; a column of pixels shows the
//! lowest and the highest of all ticks that fall into it, so that no short peak is lost.

use std::fmt::Write as _;

use super::model::TICK;
use super::run::Outcome;

const WIDTH: usize = 1_200;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 48.0;
const BOTTOM: f64 = 64.0;
const RIGHT: f64 = 16.0;

/// One column: lowest and highest of what was needed, ready and paid for; violations; decisions up and down.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Column {
    needed: (u32, u32),
    ready: (u32, u32),
    paid: (u32, u32),
    violated: bool,
    grew: bool,
    shrank: bool,
}

/// Draws.
pub fn svg(outcome: &Outcome, title: &str) -> String {
    let columns = columns(outcome);
    let highest = columns
        .iter()
        .map(|c| c.paid.1.max(c.needed.1))
        .max()
        .unwrap_or(1)
        .max(1);
    let top = nice(f64::from(highest));
    let width = LEFT + columns.len() as f64 + RIGHT;
    let height = TOP + HEIGHT + BOTTOM;
    let y = |members: u32| TOP + HEIGHT * (1.0 - f64::from(members) / top);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-size=\"14\" font-weight=\"bold\">{}</text>\n",
        escaped(title)
    );
    legend(&mut text);
    axes(&mut text, top, columns.len(), outcome.ticks.len() as f64 * TICK);
    band(&mut text, &columns, y, |c| c.paid, "#dbe7f5", "0.9");
    band(&mut text, &columns, y, |c| c.needed, "#7a8794", "0.8");
    line(&mut text, &columns, y);
    marks(&mut text, &columns);
    text.push_str("</svg>\n");
    text
}

fn columns(outcome: &Outcome) -> Vec<Column> {
    let ticks = outcome.ticks.len().max(1);
    let count = ticks.min(WIDTH);
    let column_of = |tick: usize| (tick * count / ticks).min(count - 1);
    let mut columns: Vec<Option<Column>> = vec![None; count];
    for (number, (tick, needed)) in outcome.ticks.iter().zip(&outcome.needed).enumerate() {
        let paid = tick.ready + tick.starting;
        let column = columns[column_of(number)].get_or_insert(Column {
            needed: (*needed, *needed),
            ready: (tick.ready, tick.ready),
            paid: (paid, paid),
            ..Column::default()
        });
        let widen = |range: &mut (u32, u32), value: u32| *range = (range.0.min(value), range.1.max(value));
        widen(&mut column.needed, *needed);
        widen(&mut column.ready, tick.ready);
        widen(&mut column.paid, paid);
        column.violated |= tick.violated;
    }
    let mut columns: Vec<Column> = columns.into_iter().map(Option::unwrap_or_default).collect();
    for decision in &outcome.decisions {
        let column = &mut columns[column_of((decision.at / TICK) as usize)];
        column.grew |= decision.to > decision.from;
        column.shrank |= decision.to < decision.from;
    }
    columns
}

/// From the ground (or the lowest) to the highest of each column.
fn band(
    text: &mut String,
    columns: &[Column],
    y: impl Fn(u32) -> f64,
    of: fn(&Column) -> (u32, u32),
    colour: &str,
    opacity: &str,
) {
    let _ = write!(
        text,
        "<path fill=\"{colour}\" fill-opacity=\"{opacity}\" d=\"M{LEFT} {:.1}",
        y(0)
    );
    for (at, column) in columns.iter().enumerate() {
        let x = LEFT + at as f64;
        let high = y(of(column).1);
        let _ = write!(text, "L{x:.0} {high:.1}H{:.0}", x + 1.0);
    }
    let _ = writeln!(text, "V{:.1}Z\"/>", y(0));
}

/// What stood ready: a stroke through lowest and highest of each column.
fn line(text: &mut String, columns: &[Column], y: impl Fn(u32) -> f64) {
    text.push_str("<path fill=\"none\" stroke=\"#1560bd\" stroke-width=\"1.2\" d=\"");
    for (at, column) in columns.iter().enumerate() {
        let x = LEFT + at as f64 + 0.5;
        let verb = if at == 0 { 'M' } else { 'L' };
        let _ = write!(text, "{verb}{x:.1} {:.1}", y(column.ready.0));
        if column.ready.1 != column.ready.0 {
            let _ = write!(text, "V{:.1}", y(column.ready.1));
        }
    }
    text.push_str("\"/>\n");
}

/// Below the ground: decisions up, decisions down, violations.
fn marks(text: &mut String, columns: &[Column]) {
    type Row = (fn(&Column) -> bool, f64, &'static str);
    let rows: [Row; 3] = [
        (|c| c.grew, 22.0, "#2e8b57"),
        (|c| c.shrank, 30.0, "#c28a1a"),
        (|c| c.violated, 38.0, "#d0021b"),
    ];
    for (is, down, colour) in rows {
        let mut path = String::new();
        for (at, _) in columns.iter().enumerate().filter(|(_, column)| is(column)) {
            let _ = write!(
                path,
                "M{:.1} {:.1}v6",
                LEFT + at as f64 + 0.5,
                TOP + HEIGHT + down
            );
        }
        if !path.is_empty() {
            let _ = writeln!(
                text,
                "<path stroke=\"{colour}\" stroke-width=\"1.4\" d=\"{path}\"/>"
            );
        }
    }
}

fn legend(text: &mut String) {
    let entries = [
        ("#7a8794", "members needed"),
        ("#1560bd", "ready"),
        ("#dbe7f5", "paid for"),
        ("#2e8b57", "decision: more"),
        ("#c28a1a", "decision: fewer"),
        ("#d0021b", "promise broken"),
    ];
    let mut x = LEFT;
    for (colour, name) in entries {
        let _ = writeln!(
            text,
            "<rect x=\"{x:.0}\" y=\"28\" width=\"10\" height=\"10\" fill=\"{colour}\"/><text x=\"{:.0}\" \
             y=\"37\">{name}</text>",
            x + 14.0
        );
        x += 30.0 + 7.0 * name.len() as f64;
    }
}

fn axes(text: &mut String, top: f64, columns: usize, seconds: f64) {
    let right = LEFT + columns as f64;
    for part in 0..=4 {
        let value = top * f64::from(part) / 4.0;
        let y = TOP + HEIGHT * (1.0 - f64::from(part) / 4.0);
        let _ = writeln!(
            text,
            "<path stroke=\"#ddd\" d=\"M{LEFT} {y:.1}H{right:.0}\"/><text x=\"{:.0}\" y=\"{:.1}\" \
             text-anchor=\"end\">{value:.0}</text>",
            LEFT - 6.0,
            y + 4.0
        );
    }
    for part in 0..=6 {
        let x = LEFT + columns as f64 * f64::from(part) / 6.0;
        let anchor = match part {
            0 => "start",
            6 => "end",
            _ => "middle",
        };
        let _ = writeln!(
            text,
            "<text x=\"{x:.0}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
            TOP + HEIGHT + 16.0,
            clock(seconds * f64::from(part) / 6.0)
        );
    }
}

/// A round number not below, divisible by four.
fn nice(highest: f64) -> f64 {
    let unit = 10_f64.powf((highest / 4.0).max(1.0).log10().floor());
    let steps = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0].map(|m| m * unit * 4.0);
    steps
        .into_iter()
        .find(|top| *top >= highest && (*top / 4.0).fract() == 0.0)
        .unwrap_or(40.0 * unit)
}

fn clock(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    let (days, hours, minutes) = (minutes / 1_440, minutes / 60 % 24, minutes % 60);
    match days {
        0 => format!("{hours}:{minutes:02}"),
        _ => format!("{days} d {hours}:{minutes:02}"),
    }
}

fn escaped(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    plain
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::model::Tick;
    use super::super::run::Decision;
    use super::*;

    fn outcome(ticks: usize) -> Outcome {
        let one = |n: usize| Tick {
            ready: 4 + (n == 700) as u32,
            starting: 1,
            violated: n == 5_000,
            ..Tick::default()
        };
        Outcome {
            ticks: (0..ticks).map(one).collect(),
            needed: (0..ticks).map(|n| if n == 3_333 { 90 } else { 3 }).collect(),
            decisions: vec![Decision {
                at: ticks as f64 * TICK,
                from: 4,
                to: 5,
                factor: "arrivals",
                reason: String::new(),
            }],
        }
    }

    #[test]
    fn no_peak_is_lost_however_many_ticks_share_a_column() {
        let columns = columns(&outcome(100_000));
        assert_eq!(columns.len(), WIDTH);
        assert_eq!(columns.iter().map(|c| c.needed.1).max(), Some(90));
        assert_eq!(columns.iter().filter(|c| c.violated).count(), 1);
        assert!(columns[WIDTH - 1].grew);
    }

    #[test]
    fn the_picture_is_whole_and_small_and_a_title_is_no_markup() {
        for ticks in [2, 1_000, 300_000] {
            let picture = svg(&outcome(ticks), "<script>&");
            assert!(
                picture.ends_with("</svg>\n") && picture.len() < 200_000,
                "{}",
                picture.len()
            );
            assert!(picture.contains("&lt;script&gt;&amp;") && !picture.contains("<script"));
        }
    }

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!(
            [1.0, 3.0, 7.0, 41.0, 205.0].map(nice),
            [4.0, 4.0, 8.0, 60.0, 240.0]
        );
    }
}
