//! From a trace to arrivals, tick by tick.
//!
//! This file refuses to know who serves them. The middles of the trace's steps are joined by straight lines; requests
//! come independently of each other, so their number in a tick is drawn from a Poisson distribution. The draw depends
//! on the trace's name and a seed only: every rule meets the same arrivals.

use cartridge_orchestrator_plan::forecast::queue::Server;

use super::model::TICK;
use super::trace::Trace;

/// The trace's busiest thousandth is scaled to this share of the peak's members.
const PEAK_SHARE: f64 = 0.9;

/// Arrivals per second, tick by tick.
pub fn arrivals(trace: &Trace, seed: u64, peak: Option<(u32, &Server)>) -> Vec<f64> {
    let factor = peak.map_or(1.0, |(members, server)| {
        let busy = quantile(&trace.rates, 0.999);
        PEAK_SHARE * f64::from(members) * server.capacity() / busy.max(1e-9)
    });
    let ticks = (trace.rates.len() as f64 * trace.step / TICK).ceil() as usize;
    let mut dice = Dice::new(&trace.name, seed);
    (0..ticks)
        .map(|tick| {
            let mean = factor * rate_at(trace, (tick as f64 + 0.5) * TICK) * TICK;
            dice.poisson(mean) / TICK
        })
        .collect()
}

fn rate_at(trace: &Trace, seconds: f64) -> f64 {
    let place = (seconds / trace.step - 0.5).clamp(0.0, (trace.rates.len() - 1) as f64);
    let (at, part) = (place.floor() as usize, place.fract());
    let next = trace.rates.get(at + 1).copied().unwrap_or(trace.rates[at]);
    trace.rates[at] * (1.0 - part) + next * part
}

/// The value below which this share of the others lies, between neighbours by a straight line.
fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * (sorted.len() - 1) as f64;
    let (at, part) = (place.floor() as usize, place.fract());
    let next = sorted.get(at + 1).copied().unwrap_or(sorted[at]);
    sorted[at] * (1.0 - part) + next * part
}

/// A generator of numbers that look random (splitmix64, Steele, Lea and Flood 2014).
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn new(name: &str, seed: u64) -> Self {
        let mixed = name.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(mixed)
    }

    /// Between 0 and 1.
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// By multiplication (Knuth) where few are expected, else by the normal distribution.
    fn poisson(&mut self, mean: f64) -> f64 {
        if mean < 30.0 {
            let (limit, mut product, mut count) = ((-mean).exp(), self.uniform(), 0.0);
            while product > limit {
                product *= self.uniform();
                count += 1.0;
            }
            return count;
        }
        let radius = (-2.0 * self.uniform().max(1e-300).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.uniform()).cos();
        (mean + mean.sqrt() * normal).round().max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(rates: &[f64]) -> Trace {
        Trace {
            name: "t".into(),
            step: 60.0,
            rates: rates.to_vec(),
        }
    }

    #[test]
    fn the_mean_and_the_spread_are_those_of_chance() {
        for mean in [2.0, 400.0] {
            let drawn = arrivals(&trace(&[mean; 1_000]), 1, None);
            let seen = drawn.iter().sum::<f64>() / drawn.len() as f64;
            let spread = drawn.iter().map(|x| (x - seen).powi(2)).sum::<f64>() / drawn.len() as f64;
            assert!((seen / mean - 1.0).abs() < 0.03, "{seen} of {mean}");
            assert!(
                (spread / (mean / TICK) - 1.0).abs() < 0.1,
                "{spread} of {}",
                mean / TICK
            );
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_and_another_another() {
        let one = trace(&[50.0; 10]);
        assert_eq!(arrivals(&one, 1, None), arrivals(&one, 1, None));
        assert_ne!(arrivals(&one, 1, None), arrivals(&one, 2, None));
    }

    #[test]
    fn between_the_middles_of_two_steps_lies_a_straight_line() {
        let one = trace(&[0.0, 60.0]);
        assert_eq!(
            [0.0, 30.0, 60.0, 90.0, 119.0].map(|s| rate_at(&one, s)),
            [0.0, 0.0, 30.0, 60.0, 60.0]
        );
    }

    #[test]
    fn a_peak_scales_the_busiest_thousandth() {
        let server = Server {
            workers: 5,
            service_seconds: 0.1,
            wait_seconds: 0.1,
        };
        let scaled = arrivals(&trace(&[1.0; 2_000]), 1, Some((40, &server)));
        let mean = scaled.iter().sum::<f64>() / scaled.len() as f64;
        assert!((mean - 1_800.0).abs() < 10.0, "{mean}");
    }
}
