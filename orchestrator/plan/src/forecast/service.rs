//! How long a request takes while nothing waits: learned, because nobody knows it beforehand.
//!
//! It refuses to know what a request does. By the utilisation law (Denning and Buzen, Computing Surveys 10, 1978) the
//! mean time in service is busy workers over answers per second; of c workers, as many are busy as requests are in
//! flight, at most all c. It moves by at most a twentieth per step, so that nothing that members do (answer faults at
//! once, or late) moves a size at once.

/// Fewest answers in a step that say something.
const FEWEST: f64 = 5.0;
/// Most that it moves per step.
const MOST_MOVE: f64 = 0.05;

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

    /// Takes in one step: answers per second, mean requests in flight, and how many the cluster serves at a time.
    pub fn observe(&mut self, answered: f64, in_flight: f64, step: f64, workers: f64) {
        let busy = in_flight.min(workers);
        if !(answered.is_finite() && in_flight.is_finite() && answered * step >= FEWEST && busy > 0.0) {
            return;
        }
        let seen = (busy / answered).clamp(1e-5, 3_600.0);
        self.seconds = Some(match self.seconds {
            None => seen,
            Some(known) => seen.clamp(known * (1.0 - MOST_MOVE), known * (1.0 + MOST_MOVE)),
        });
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
        for _ in 0..1_000 {
            time.observe(500.0, 4_000.0, 5.0, 50.0);
        }
        assert_eq!(time.seconds(), Some(0.1), "all 50 are busy, whatever waits");
    }

    #[test]
    fn requests_that_take_longer_from_now_on_are_noticed_while_all_are_busy() {
        let mut time = ServiceTime::default();
        time.observe(40.0, 0.04, 5.0, 2.0);
        for _ in 0..200 {
            time.observe(10.0, 8.0, 5.0, 2.0);
        }
        assert!((time.seconds().unwrap() - 0.2).abs() < 1e-9, "{time:?}");
    }

    #[test]
    fn answers_that_come_at_once_move_it_by_a_twentieth_per_step() {
        let mut time = ServiceTime::default();
        time.observe(100.0, 10.0, 5.0, 50.0);
        time.observe(100.0, 0.001, 5.0, 50.0);
        assert_eq!(time.seconds(), Some(0.1 * 0.95));
        for broken in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
            time.observe(broken, 1.0, 5.0, 50.0);
            time.observe(1.0, broken, 5.0, 50.0);
        }
        assert_eq!(time.seconds(), Some(0.1 * 0.95));
    }
}
