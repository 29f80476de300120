//! How far the load of later strayed from what was expected: a histogram that forgets.
//!
//! It refuses to know in which unit. A distance is counted in spreads of the expert that expected (see
//! [`super::expert`]), so one shape serves quiet and busy services. 40 bins are a quarter wide from -4 to 6, the
//! rest grow by 9 % each, up to almost 90 spreads: bursts have long tails.

/// Number of bins.
pub(super) const BINS: usize = 72;
const FIRST: f64 = -4.0;
const WIDTH: f64 = 0.25;
const EVEN: usize = 40;
const GROWTH: f64 = 1.09;
/// What is believed before anything was seen weighs as much as so many observations.
const PRIOR_WEIGHT: f64 = 60.0;
/// Observations count half as much after so many seconds of their kind: a day, in the sense of e^-1.
const MEMORY_SECONDS: f64 = 86_400.0;

/// Lower edge of a bin.
pub(super) fn edge(bin: usize) -> f64 {
    if bin < EVEN {
        FIRST + WIDTH * bin as f64
    } else {
        6.0 * GROWTH.powi(i32::try_from(bin - EVEN).unwrap_or(i32::MAX))
    }
}

/// Observed distances, decayed counts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spread {
    counts: [f32; BINS],
}

impl Spread {
    /// Before anything was seen: a Laplace shape, wider above (scale 0.9) than below (scale 0.5).
    pub(super) fn prior(edges: &[f64; BINS]) -> Self {
        let below = |z: f64| {
            if z > 0.0 {
                1.0 - 0.5 * (-z / 0.9).exp()
            } else {
                0.5 * (z / 0.5).exp()
            }
        };
        let mut counts = [0.0_f32; BINS];
        for (bin, count) in counts.iter_mut().enumerate() {
            let upper = edges.get(bin + 1).map_or(1.0, |edge| below(*edge));
            let share = (upper - below(edges[bin])).max(1e-7);
            #[allow(clippy::cast_possible_truncation, reason = "a share")]
            let weight = (PRIOR_WEIGHT * share) as f32;
            *count = weight;
        }
        Self { counts }
    }

    /// Takes in one distance; what was seen before counts less by the `seconds` that this one stands for.
    pub(super) fn observe(&mut self, distance: f64, seconds: f64, edges: &[f64; BINS]) {
        #[allow(clippy::cast_possible_truncation, reason = "a factor below one")]
        let kept = (-seconds / MEMORY_SECONDS).exp() as f32;
        self.counts.iter_mut().for_each(|count| *count *= kept);
        let bin = edges.partition_point(|edge| *edge < distance).saturating_sub(1);
        self.counts[bin.min(BINS - 1)] += 1.0;
    }

    /// From the farthest bin down: its upper edge, and the share of all that lies above that.
    pub(super) fn tail<'a>(&'a self, edges: &'a [f64; BINS]) -> impl Iterator<Item = (f64, f64)> + 'a {
        let total: f64 = self.counts.iter().map(|count| f64::from(*count)).sum();
        let mut above = 0.0;
        (0..BINS).rev().map(move |bin| {
            let upper = edges.get(bin + 1).copied().unwrap_or(edges[bin] * GROWTH);
            let share = above / total;
            above += f64::from(self.counts[bin]);
            (upper, share)
        })
    }
}

/// All lower edges.
pub(super) fn edges() -> [f64; BINS] {
    std::array::from_fn(edge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_rise_and_the_tail_falls_to_nothing() {
        let edges = edges();
        assert!(edges.windows(2).all(|pair| pair[0] < pair[1]), "{edges:?}");
        let mut spread = Spread::prior(&edges);
        for _ in 0..1_000 {
            spread.observe(1.0, 5.0, &edges);
        }
        let tail: Vec<_> = spread.tail(&edges).collect();
        assert_eq!((tail.len(), tail[0].1), (BINS, 0.0));
        assert!(
            tail.windows(2)
                .all(|pair| pair[0].0 > pair[1].0 && pair[0].1 <= pair[1].1)
        );
        let beyond_two = tail.iter().find(|(upper, _)| *upper <= 2.0).unwrap().1;
        assert!(beyond_two < 0.01, "nearly all lay at 1: {beyond_two}");
    }

    #[test]
    fn the_share_above_a_bin_is_what_counting_gives() {
        let edges = edges();
        let mut spread = Spread { counts: [0.0; BINS] };
        let distances: Vec<f64> = (0..500).map(|n| f64::from(n * n % 997) / 50.0 - 3.0).collect();
        for distance in &distances {
            spread.observe(*distance, 0.0, &edges);
        }
        for (upper, share) in spread.tail(&edges) {
            let counted = distances.iter().filter(|distance| **distance > upper).count();
            assert!(
                (share - counted as f64 / 500.0).abs() < 1e-6,
                "{upper}: {share} {counted}"
            );
        }
    }

    #[test]
    fn what_lies_outside_counts_at_the_ends() {
        let edges = edges();
        let mut spread = Spread { counts: [0.0; BINS] };
        spread.observe(-1e9, 0.0, &edges);
        spread.observe(1e9, 0.0, &edges);
        assert_eq!((spread.counts[0], spread.counts[BINS - 1]), (1.0, 1.0));
    }
}
