//! What readers said lately, and what is made of it: the sample, and whether the member is well.
//!
//! A figure that a reader gives replaces the agent's own; of two readers the first by name counts. What is too old
//! counts as not said: absence is never zero, and the agent's own figure is back with its own scope. Refuses to know
//! how readers are asked.

use std::collections::{BTreeMap, BTreeSet};

use cartridge_protocol::Millis;
use cartridge_protocol::plugin::{Health, MAX_FIGURES, Measurement, PluginName};
use cartridge_protocol::sample::{MAX_READERS, Reading, Sample, Scope, is_figure_name};

use crate::probe::Outcome;
use crate::text::one_line;

/// Shortest time between two readings of one reader.
const LEAST_EVERY: Millis = Millis(1_000);
/// Longest such time.
const MOST_EVERY: Millis = Millis(3_600_000);
/// Longest reason of a reader, bytes.
const MAX_REASON_BYTES: usize = 500;
/// Figures of its own that a reader may give, either way from zero.
const MOST_FIGURE: f64 = 1e15;

/// What is wanted of one reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Time between readings; none: with every batch.
    pub every: Option<Millis>,
    /// Time for one reading.
    pub within: Millis,
    /// Without it the member is not well.
    pub required: bool,
}

/// One reader.
#[derive(Clone, Debug)]
struct Reader {
    wish: Wish,
    /// It can be asked.
    serves: bool,
    /// It is being asked.
    asked: bool,
    due: Millis,
    /// The time between readings when it was asked last.
    interval: Millis,
    latest: Option<(Measurement, Millis)>,
    /// Why there is nothing newer, for people.
    missing: String,
    /// Faults of its answers that were told already.
    told: BTreeSet<&'static str>,
}

/// All readers, and those that are not there yet but have to be.
#[derive(Clone, Debug, Default)]
pub struct Readings(BTreeMap<PluginName, Reader>);

impl Readings {
    /// Its kind is known now, or its member is not well without it: from now on it counts.
    pub fn expect(&mut self, name: &PluginName, wish: Wish) {
        self.0.entry(name.clone()).or_insert_with(|| Reader {
            wish,
            serves: false,
            asked: false,
            due: Millis::ZERO,
            interval: LEAST_EVERY,
            latest: None,
            missing: "has not answered yet".to_owned(),
            told: BTreeSet::new(),
        });
    }

    /// It can be asked.
    pub fn serves(&mut self, name: &PluginName) {
        if let Some(reader) = self.0.get_mut(name) {
            reader.serves = true;
            reader.asked = false;
            reader.due = Millis::ZERO;
        }
    }

    /// It cannot be asked, and why. What it said before counts until it is too old.
    pub fn rests(&mut self, name: &PluginName, why: &str) {
        if let Some(reader) = self.0.get_mut(name) {
            reader.serves = false;
            reader.asked = false;
            reader.missing = one_line(why, MAX_REASON_BYTES);
        }
    }

    /// Whom to ask now, and how long each may take. `publish` is the time between batches.
    pub fn ask(&mut self, now: Millis, publish: Millis) -> Vec<(PluginName, Millis)> {
        let mut asked = Vec::new();
        for (name, reader) in &mut self.0 {
            if reader.serves && !reader.asked && reader.due <= now {
                reader.interval = reader
                    .wish
                    .every
                    .unwrap_or(publish)
                    .clamp(LEAST_EVERY, MOST_EVERY);
                reader.due = now.plus(reader.interval);
                reader.asked = true;
                asked.push((name.clone(), reader.wish.within));
            }
        }
        asked
    }

    /// It measured. Says, once for each thing, what of it cannot be used.
    pub fn measured(&mut self, name: &PluginName, measured: Measurement, now: Millis) -> Vec<String> {
        let Some(reader) = self.0.get_mut(name) else {
            return Vec::new();
        };
        reader.asked = false;
        let (clean, faults) = clean(measured);
        reader.latest = Some((clean, now));
        let news = faults.into_iter().filter(|fault| reader.told.insert(fault));
        news.map(|fault| format!("{name}: {fault}; it is not used"))
            .collect()
    }

    /// It was asked and gave nothing, and why. Says so, unless that was said before.
    pub fn refused(&mut self, name: &PluginName, why: &str) -> Option<String> {
        let reader = self.0.get_mut(name)?;
        reader.asked = false;
        let why = one_line(why, MAX_REASON_BYTES);
        let news = reader.missing != why;
        reader.missing = why;
        news.then(|| format!("{name} gives no reading: {}", reader.missing))
    }

    /// The sample with everything in it that readers said and that is not too old.
    pub fn merge(&self, own: Sample, now: Millis) -> Sample {
        let mut sample = own;
        let mut taken = Taken::default();
        for (name, measured, age) in self.fresh(now) {
            taken.take(&mut sample, measured);
            if sample.readers.len() < MAX_READERS {
                sample.readers.push(Reading {
                    reader: name.clone(),
                    age_ms: age.0,
                    in_flight: measured.in_flight,
                    figures: measured.figures.clone(),
                });
            }
        }
        if taken.any {
            sample.scope = Scope::Reader;
        }
        sample
    }

    /// What the probe said, unless a reader knows better. A reader that is broken is none of the member's faults,
    /// unless the member needs it.
    pub fn gate(&self, probed: Outcome, now: Millis) -> Outcome {
        if probed != Outcome::Healthy {
            return probed;
        }
        for (name, reader) in &self.0 {
            match reader.fresh(now) {
                Some((measured, _)) => {
                    if let Some(Health::Failing(why)) = &measured.health {
                        return Outcome::Unwell(format!("is not well, says the reader {name}: {why}"));
                    }
                }
                None if reader.wish.required => {
                    return Outcome::Silent(format!(
                        "cannot be judged: the reader {name} is required and {}",
                        reader.missing
                    ));
                }
                None => {}
            }
        }
        Outcome::Healthy
    }

    fn fresh(&self, now: Millis) -> impl Iterator<Item = (&PluginName, &Measurement, Millis)> {
        self.0.iter().filter_map(move |(name, reader)| {
            let (measured, age) = reader.fresh(now)?;
            Some((name, measured, age))
        })
    }
}

impl Reader {
    /// What it said, unless two turns have passed without a word.
    fn fresh(&self, now: Millis) -> Option<(&Measurement, Millis)> {
        let (measured, at) = self.latest.as_ref()?;
        let age = now.since(*at);
        let most = self.interval.plus(self.interval).plus(self.wish.within);
        (age <= most).then_some((measured, age))
    }
}

/// Which of the agent's own figures were replaced already.
#[derive(Default)]
struct Taken {
    load: bool,
    memory: bool,
    cpu: bool,
    any: bool,
}

impl Taken {
    fn take(&mut self, sample: &mut Sample, measured: &Measurement) {
        if let Some(load) = measured.load.filter(|_| !self.load) {
            sample.load = Some(load);
            sample.cores = measured.cores.unwrap_or(sample.cores);
            (self.load, self.any) = (true, true);
        }
        if let Some(used) = measured.memory_used.filter(|_| !self.memory) {
            // Used and limit belong together: a limit that is not given is the agent's own.
            sample.memory_limit = measured.memory_limit.or(sample.memory_limit);
            sample.memory_used = Some(sample.memory_limit.map_or(used, |limit| used.min(limit)));
            (self.memory, self.any) = (true, true);
        }
        if let Some(cpu) = measured.cpu_percent.filter(|_| !self.cpu) {
            sample.cpu_percent = Some(cpu);
            (self.cpu, self.any) = (true, true);
        }
    }
}

/// What of a measurement can be used, and what is wrong with the rest.
fn clean(mut measured: Measurement) -> (Measurement, Vec<&'static str>) {
    let mut faults = Vec::new();
    let within = |value: f64, least: f64, most: f64| value.is_finite() && value >= least && value <= most;
    if measured
        .cores
        .is_some_and(|cores| !within(cores, 0.001, 65_536.0))
    {
        // A load without the cores that it is measured against means nothing.
        (measured.cores, measured.load) = (None, None);
        faults.push("\"cores\" is not from 0.001 to 65536");
    }
    if measured
        .load
        .is_some_and(|load| !load.iter().all(|value| within(*value, 0.0, 1e6)))
    {
        measured.load = None;
        faults.push("\"load\" is not from 0 to 1000000");
    }
    if measured.memory_limit == Some(0) {
        measured.memory_limit = None;
        faults.push("\"memory_limit\" is 0");
    }
    if measured.cpu_percent.is_some_and(|cpu| !within(cpu, 0.0, 1e5)) {
        measured.cpu_percent = None;
        faults.push("\"cpu_percent\" is not from 0 to 100000");
    }
    if measured.in_flight.is_some_and(|count| !within(count, 0.0, 1e9)) {
        measured.in_flight = None;
        faults.push("\"in_flight\" is not from 0 to 1000000000");
    }
    let before = measured.figures.len();
    measured
        .figures
        .retain(|name, value| is_figure_name(name) && within(*value, -MOST_FIGURE, MOST_FIGURE));
    if measured.figures.len() < before {
        faults.push("a figure of \"figures\" has a name with other characters than a-z, 0-9, '-', '_', '.', more than 64 of them, or a value beyond 1e15");
    }
    if measured.figures.len() > MAX_FIGURES {
        measured.figures = measured.figures.into_iter().take(MAX_FIGURES).collect();
        faults.push("\"figures\" holds more than 16");
    }
    if let Some(Health::Failing(why)) = &mut measured.health {
        *why = one_line(why, MAX_REASON_BYTES);
    }
    (measured, faults)
}

#[cfg(test)]
mod tests;
