//! How often to commit.

use std::time::Duration;

/// How often what is staged is committed, unless told otherwise. Each commit writes the hours that it touches anew:
/// often is fresh, and seldom is cheap.
pub const INTERVAL: Duration = Duration::from_secs(30);

/// Staged log files that make a commit due before its time, so that a commit's work has a bound.
const LOG_FILES: usize = 500;

/// A commit's cost in time, multiplied by this, is at least what lies between two commits: when an hour has grown
/// large, writing it anew takes no more than a tenth of the machine.
const REST: u32 = 9;

/// Tells when a commit is due.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    shortest: Duration,
    last_cost: Duration,
}

impl Pace {
    /// Commits follow one another by `shortest` at least, when little comes.
    pub fn new(shortest: Duration) -> Self {
        Self {
            shortest,
            last_cost: Duration::ZERO,
        }
    }

    /// Whether a commit is due, with so many log files staged since the last one, and so much time gone.
    pub fn is_due(&self, staged: usize, elapsed: Duration) -> bool {
        let rested = elapsed >= self.last_cost * REST;
        rested && (staged >= LOG_FILES || staged > 0 && elapsed >= self.shortest)
    }

    /// The time between two commits when little comes.
    pub fn interval(&self) -> Duration {
        self.shortest.max(self.last_cost * REST)
    }

    /// A commit has taken so long.
    pub fn committed(&mut self, cost: Duration) {
        let before = self.interval();
        self.last_cost = cost;
        if self.interval() > before.max(INTERVAL) {
            tracing::warn!(
                cost_s = cost.as_secs_f64(),
                interval_s = self.interval().as_secs_f64(),
                "commits have become rarer: the hours that they write anew are large. \
                 Fewer group keys, or coarser ones, make them small"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commits_become_rarer_when_they_cost_more() {
        let mut pace = Pace::new(INTERVAL);
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
    }
}
