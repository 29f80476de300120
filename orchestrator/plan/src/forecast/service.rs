//! How long a request takes while nothing waits: learned, because nobody knows it beforehand.
//!
//! It refuses to know what a request does. By Little's law (Operations Research 9, 1961) the mean time that a request
//! is at the cluster is requests in flight over arrivals per second. While the cluster is at most half busy that is
//! the service time; when it is busier it has waiting in it, so then it may only lower what is known. It moves by at
//! most a hundredth per step, so that nothing that members do (answer faults at once, or late) moves a size at once.

/// Fewest arrivals in a step that say something.
const FEWEST: f64 = 5.0;
/// Share of the workers that may be busy while times in the cluster count as service.
const HALF: f64 = 0.5;
/// Most that it moves per step.
const MOST_MOVE: f64 = 0.01;

/// See above.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServiceTime {
    seconds: Option<f64>,
}

impl ServiceTime {
    /// What is known, seconds.
    pub fn seconds(&self) -> Option<f64> {
        self.seconds
    }

    /// Takes in one step: arrivals per second, mean requests in flight, and how many the cluster serves at a time.
    pub fn observe(&mut self, rate: f64, in_flight: f64, step: f64, workers: f64) {
        let said = rate * step >= FEWEST && in_flight > 0.0 && rate.is_finite() && in_flight.is_finite();
        if !said {
            return;
        }
        let stayed = (in_flight / rate).clamp(1e-5, 3_600.0);
        let calm = in_flight <= HALF * workers;
        self.seconds = match self.seconds {
            None => Some(stayed),
            Some(known) if calm || stayed < known => {
                Some(stayed.clamp(known * (1.0 - MOST_MOVE), known * (1.0 + MOST_MOVE)))
            }
            known => known,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_in_a_calm_cluster_is_the_service_time() {
        let mut time = ServiceTime::default();
        assert_eq!(time.seconds(), None);
        for _ in 0..200 {
            time.observe(100.0, 10.0, 5.0, 50.0);
        }
        assert!((time.seconds().unwrap() - 0.1).abs() < 1e-9);
    }

    #[test]
    fn waiting_is_no_service() {
        let mut time = ServiceTime::default();
        time.observe(100.0, 10.0, 5.0, 50.0);
        for _ in 0..1_000 {
            time.observe(100.0, 400.0, 5.0, 50.0);
        }
        assert_eq!(time.seconds(), Some(0.1));
    }

    #[test]
    fn answers_that_come_at_once_move_it_by_a_hundredth_per_step() {
        let mut time = ServiceTime::default();
        time.observe(100.0, 10.0, 5.0, 50.0);
        time.observe(100.0, 0.001, 5.0, 50.0);
        assert_eq!(time.seconds(), Some(0.1 * 0.99));
        for broken in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
            time.observe(broken, 1.0, 5.0, 50.0);
            time.observe(1.0, broken, 5.0, 50.0);
        }
        assert_eq!(time.seconds(), Some(0.1 * 0.99));
    }
}
