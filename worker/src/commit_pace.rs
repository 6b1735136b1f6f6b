//! How often to commit.

use std::time::Duration;

/// Default time between commits. Each commit rewrites the hours that it touches: a short interval gives fresh tables, a
/// long one costs less.
pub const INTERVAL: Duration = Duration::from_secs(30);

/// Number of staged log files that makes a commit due early. It bounds the work of one commit.
const LOG_FILES: usize = 500;

/// The minimum time between two commits is the duration of a commit times this. When an hour has grown large, rewriting it
/// then takes at most a ninth of the time: maintenance measures from the start of a commit, and `run` from its end.
const REST: u32 = 9;

/// The longest rest, unless a commit takes more than half of it: a table should not fall behind because one commit took long, or because a
/// backlog took many.
const REST_MAX: Duration = Duration::from_mins(5);

/// Decides when a commit is due.
#[derive(Debug, Clone, Copy)]
pub struct CommitPace {
    shortest: Duration,
    last_cost: Duration,
}

impl CommitPace {
    /// At low load, commits are at least `shortest` apart.
    pub fn new(shortest: Duration) -> Self {
        Self {
            shortest,
            last_cost: Duration::ZERO,
        }
    }

    /// Whether a commit is due, by the number of log files staged and the time elapsed since the last one.
    pub fn is_due(&self, staged: usize, elapsed: Duration) -> bool {
        let rested = elapsed >= self.rest();
        rested && (staged >= LOG_FILES || staged > 0 && elapsed >= self.shortest)
    }

    /// The time between two commits at low load.
    pub fn interval(&self) -> Duration {
        self.shortest.max(self.rest())
    }

    fn rest(&self) -> Duration {
        (self.last_cost * REST).min(REST_MAX.max(self.last_cost * 2))
    }

    /// Records the duration of a commit.
    pub fn committed(&mut self, cost: Duration) {
        let before = self.interval();
        self.last_cost = cost;
        if self.interval() > before.max(INTERVAL) {
            tracing::warn!(
                cost_s = cost.as_secs_f64(),
                interval_s = self.interval().as_secs_f64(),
                "commits take long and are now less frequent, because the hours that they rewrite are large; use \
                 fewer or coarser group keys"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_become_rarer_when_they_cost_more() {
        let mut pace = CommitPace::new(INTERVAL);
        let seconds = Duration::from_secs;
        assert!(!pace.is_due(0, seconds(100)));
        assert!(pace.is_due(1, seconds(30)));
        assert!(pace.is_due(LOG_FILES, seconds(1)));
        pace.committed(seconds(1));
        assert_eq!(pace.interval(), seconds(30));
        assert!(!pace.is_due(LOG_FILES, seconds(8)));
        assert!(pace.is_due(LOG_FILES, seconds(9)));
        pace.committed(seconds(10));
        assert_eq!(pace.interval(), seconds(90));
        assert!(!pace.is_due(1, seconds(89)));
        pace.committed(seconds(100));
        assert_eq!(pace.interval(), seconds(300));
        pace.committed(seconds(1000));
        assert_eq!(pace.interval(), seconds(2000));
    }
}
