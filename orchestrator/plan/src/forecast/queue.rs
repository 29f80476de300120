//! How much load so many members serve within the promised wait: the M/M/c queue.
//!
//! It refuses to know where the load goes. A cluster of n members with w workers each is one queue of c = n·w
//! servers. Its mean wait is taken from Sakasegawa, "An approximation formula Lq ≃ α·ρ^β/(1-ρ)" (Annals of the
//! Institute of Statistical Mathematics 29, 1977): W = S · ρ^(√(2(c+1)) - 1) / (c · (1 - ρ)), where S is the service
//! time and ρ the load per server. A fixed share of utilisation would waste on large clusters and starve small ones:
//! with five workers and a wait of one service time, one member may run at 86 %, forty at 99 %.

/// No cluster is sized beyond this by arrivals.
pub const MOST_MEMBERS: u32 = 4_096;
/// Load per server is never planned above this.
const FULL: f64 = 0.999;
/// A service time that moved less than this keeps the table.
const SAME: f64 = 0.02;

/// What one member can do, and what is promised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Server {
    /// Requests that one member serves at a time.
    pub workers: u32,
    /// Mean time in service, seconds, waiting apart.
    pub service_seconds: f64,
    /// The longest mean wait that keeps the promise, seconds.
    pub wait_seconds: f64,
}

impl Server {
    /// Requests per second that one member serves at most.
    pub fn capacity(&self) -> f64 {
        f64::from(self.workers.max(1)) / self.service_seconds.max(1e-6)
    }

    /// Mean wait in seconds of `rate` requests per second at `members` members.
    pub fn wait(&self, rate: f64, members: u32) -> f64 {
        let servers = f64::from(members.max(1)) * f64::from(self.workers.max(1));
        let load = (rate / (f64::from(members.max(1)) * self.capacity())).clamp(0.0, FULL);
        let power = (2.0 * (servers + 1.0)).sqrt() - 1.0;
        self.service_seconds * load.powf(power) / (servers * (1.0 - load))
    }

    /// The highest rate that `members` members serve within the wait.
    pub fn limit(&self, members: u32) -> f64 {
        let full = f64::from(members) * self.capacity() * FULL;
        let (mut low, mut high) = (0.0, full);
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            if self.wait(middle, members) <= self.wait_seconds {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    fn is_like(&self, other: &Self) -> bool {
        let near = |a: f64, b: f64| (a - b).abs() <= SAME * b.abs();
        self.workers == other.workers
            && near(self.service_seconds, other.service_seconds)
            && near(self.wait_seconds, other.wait_seconds)
    }
}

/// [`Server::limit`] for 1, 2, 3, … members, as far as it was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    server: Option<Server>,
    limits: Vec<f64>,
}

impl Limits {
    /// Starts anew if the server is another; small movements of a learned service time do not count.
    pub fn serve(&mut self, server: &Server) {
        if self.server.as_ref().is_none_or(|known| !known.is_like(server)) {
            self.server = Some(*server);
            self.limits.clear();
        }
    }

    /// Fewest members that serve this rate within the wait: at least 1, at most [`MOST_MEMBERS`].
    pub fn needed(&mut self, rate: f64) -> u32 {
        let Some(server) = self.server else { return 1 };
        while self.limits.last().is_none_or(|highest| *highest < rate) {
            let members = u32::try_from(self.limits.len()).unwrap_or(MOST_MEMBERS) + 1;
            if members > MOST_MEMBERS {
                return MOST_MEMBERS;
            }
            self.limits.push(server.limit(members));
        }
        let enough = self.limits.partition_point(|limit| *limit < rate);
        u32::try_from(enough).unwrap_or(MOST_MEMBERS) + 1
    }

    /// The highest rate that so many members serve within the wait.
    pub fn of(&mut self, members: u32) -> f64 {
        let members = members.min(MOST_MEMBERS);
        let Some(server) = self.server else { return 0.0 };
        match members.checked_sub(1).map(|at| at as usize) {
            None => 0.0,
            Some(at) => self
                .limits
                .get(at)
                .copied()
                .unwrap_or_else(|| server.limit(members)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: Server = Server {
        workers: 5,
        service_seconds: 0.1,
        wait_seconds: 0.1,
    };

    #[test]
    fn one_member_may_run_at_86_percent_and_forty_at_99() {
        let use_of = |members: u32| SERVER.limit(members) / (f64::from(members) * SERVER.capacity());
        assert!((use_of(1) - 0.86).abs() < 0.01, "{}", use_of(1));
        assert!((use_of(40) - 0.99).abs() < 0.01, "{}", use_of(40));
    }

    #[test]
    fn the_table_gives_the_fewest_members_that_trying_all_gives() {
        let mut limits = Limits::default();
        limits.serve(&SERVER);
        for rate in (0..4_000).map(|tenth| f64::from(tenth) * 0.7) {
            let tried = (1..=100).find(|members| SERVER.limit(*members) >= rate);
            assert_eq!(limits.needed(rate), tried.unwrap(), "{rate}");
        }
    }

    #[test]
    fn the_approximation_is_near_the_exact_wait_of_erlang() {
        for members in [1, 2, 5, 20_u32] {
            let limit = SERVER.limit(members);
            let exact = erlang(limit, members * SERVER.workers, SERVER.service_seconds);
            assert!(
                (0.5..1.5).contains(&(exact / SERVER.wait_seconds)),
                "{members}: {exact}"
            );
        }
    }

    /// Exact mean wait of M/M/c by the recursion of Erlang's B formula.
    fn erlang(rate: f64, servers: u32, service: f64) -> f64 {
        let offered = rate * service;
        let blocked = (1..=servers).fold(1.0, |b, n| offered * b / (f64::from(n) + offered * b));
        let load = offered / f64::from(servers);
        let waits = blocked / (1.0 - load * (1.0 - blocked));
        waits * service / (f64::from(servers) * (1.0 - load))
    }

    #[test]
    fn no_rate_asks_for_more_than_the_most() {
        let mut limits = Limits::default();
        assert_eq!(limits.needed(1e12), 1, "of no server nothing is known");
        limits.serve(&SERVER);
        assert_eq!(limits.needed(1e12), MOST_MEMBERS);
        assert_eq!((limits.needed(0.0), limits.of(0)), (1, 0.0));
    }
}
