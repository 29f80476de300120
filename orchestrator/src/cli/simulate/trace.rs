//! A trace of requests per second, read from CSV: `seconds,requests_per_second` with a constant step.
//!
//! This file refuses to know what is done with it. What is wrong is told with the number of its line.

use std::io::Read as _;
use std::path::Path;

/// Longest file read, bytes.
const MAX_BYTES: u64 = 64 << 20;
/// Longest trace, seconds: a year.
const MAX_SECONDS: f64 = 366.0 * 86_400.0;
/// Most requests per second.
const MAX_RATE: f64 = 1e9;

/// Requests per second over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Its name: the file's, or as a line `# name: ...` says.
    pub name: String,
    /// Seconds between two rates.
    pub step: f64,
    /// Mean requests per second, step by step.
    pub rates: Vec<f64>,
}

/// Why it cannot be used.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum Unusable {
    /// No such file, no right to it, or too long.
    #[error("{0}")]
    File(String),
    /// A line is wrong.
    #[error("line {line}: {why}")]
    Line {
        /// Which, from 1.
        line: usize,
        /// What.
        why: String,
    },
    /// Too little in it.
    #[error("it has {0} rows; at least 2 of `seconds,requests_per_second` are needed")]
    Short(usize),
}

/// Reads a file.
pub fn read(path: &Path) -> Result<Trace, Unusable> {
    let fault = |problem: std::io::Error| Unusable::File(problem.to_string());
    let file = std::fs::File::open(path).map_err(fault)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Unusable::File(format!(
            "it is longer than {} MiB",
            MAX_BYTES >> 20
        )));
    }
    let text = String::from_utf8(bytes).map_err(|_| Unusable::File("it is no text (UTF-8)".into()))?;
    let name = path
        .file_stem()
        .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    parse(&name, &text)
}

/// Reads a text.
pub fn parse(name: &str, text: &str) -> Result<Trace, Unusable> {
    let mut trace = Trace {
        name: name.to_owned(),
        step: 0.0,
        rates: Vec::new(),
    };
    let (mut before, mut heading) = (None, false);
    for (number, line) in text.lines().enumerate() {
        let wrong = |why: String| Unusable::Line {
            line: number + 1,
            why,
        };
        let line = line.trim();
        if let Some(note) = line.strip_prefix('#') {
            if let Some(("name", named)) = note.split_once(':').map(|(k, v)| (k.trim(), v.trim())) {
                named.clone_into(&mut trace.name);
            }
            continue;
        }
        if line.is_empty() {
            continue;
        }
        if !heading && trace.rates.is_empty() && line.starts_with(|c: char| c.is_ascii_alphabetic()) {
            heading = true;
            if line.replace(' ', "") != "seconds,requests_per_second" {
                return Err(wrong(format!(
                    "the columns are {:?}, not \"seconds,requests_per_second\"",
                    short(line)
                )));
            }
            continue;
        }
        let (seconds, rate) = row(line).map_err(wrong)?;
        if let Some(before) = before {
            after(&mut trace, before, seconds).map_err(wrong)?;
        }
        before = Some(seconds);
        trace.rates.push(rate);
        if trace.step * trace.rates.len() as f64 > MAX_SECONDS {
            return Err(wrong("the trace is longer than a year".into()));
        }
    }
    if trace.rates.len() < 2 {
        return Err(Unusable::Short(trace.rates.len()));
    }
    Ok(trace)
}

fn row(line: &str) -> Result<(f64, f64), String> {
    let mut cells = line.split(',').map(str::trim);
    let (Some(seconds), Some(rate), None) = (cells.next(), cells.next(), cells.next()) else {
        return Err(format!("{:?} is not `seconds,requests_per_second`", short(line)));
    };
    let figure = |cell: &str, what: &str, most: f64| match cell.parse::<f64>() {
        Ok(value) if !value.is_finite() => Err(format!("{what} is {cell}, which is no number")),
        Ok(value) if value < 0.0 => Err(format!("{what} is {cell}, which is negative")),
        Ok(value) if value > most => Err(format!("{what} is {cell}; at most {most:e} make sense")),
        Ok(value) => Ok(value),
        Err(_) => Err(format!("{what} is {:?}, which is no number", short(cell))),
    };
    Ok((
        figure(seconds, "seconds", 1e12)?,
        figure(rate, "requests_per_second", MAX_RATE)?,
    ))
}

/// The first step is the step.
fn after(trace: &mut Trace, before: f64, seconds: f64) -> Result<(), String> {
    let step = seconds - before;
    if step <= 0.0 {
        return Err(format!("seconds do not rise: {seconds} after {before}"));
    }
    if trace.rates.len() == 1 {
        if step < 1.0 {
            return Err(format!("the step is {step} s; at least 1 s is needed"));
        }
        trace.step = step;
    } else if (step - trace.step).abs() > 1e-3 * trace.step {
        return Err(format!("the step is {step} s here and {} s before", trace.step));
    }
    Ok(())
}

fn short(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_steps_and_the_name_are_read() {
        let text = "# name: shop\n# licence: none\nseconds,requests_per_second\n0,1.5\n60, 2\n120,0\n";
        let trace = parse("file", text).unwrap();
        assert_eq!((trace.name.as_str(), trace.step), ("shop", 60.0));
        assert_eq!(trace.rates, [1.5, 2.0, 0.0]);
        assert_eq!(parse("file", "0,1\n5,2").unwrap().name, "file");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, line, word) in [
            ("time,load\n0,1\n1,2", 1, "columns"),
            ("0,1\n60,2,3", 2, "requests_per_second"),
            ("0,1\n60", 2, "requests_per_second"),
            ("0,1\n60,-2", 2, "negative"),
            ("0,1\n60,NaN", 2, "no number"),
            ("0,1\n60,inf", 2, "no number"),
            ("0,1\n60,many", 2, "no number"),
            ("0,1\n60,1e300", 2, "at most"),
            ("0,1\n\n# note\n60,1\n30,1", 5, "rise"),
            ("0,1\n60,1\n180,1", 3, "step"),
            ("0,1\n0.5,1", 2, "at least 1 s"),
            ("0,1\n99999999,1", 2, "year"),
        ] {
            match parse("x", text) {
                Err(Unusable::Line { line: at, why }) => {
                    assert!(at == line && why.contains(word), "{text:?}: line {at}: {why}");
                }
                other => panic!("{text:?}: {other:?}"),
            }
        }
        assert_eq!(parse("x", "0,1"), Err(Unusable::Short(1)));
        assert_eq!(parse("x", ""), Err(Unusable::Short(0)));
    }

    #[test]
    fn a_file_that_is_not_there_or_no_text_is_told() {
        assert!(matches!(read(Path::new("/nowhere.csv")), Err(Unusable::File(_))));
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        std::fs::write(&path, [0xff, 0xfe, 0, 1]).unwrap();
        assert!(matches!(read(&path), Err(Unusable::File(_))));
    }
}
