//! Detects outages of a bucket or of the tables from messages that fail. Each attempt brings a message closer to the
//! dead-letter queue, although an outage is not its fault. So during an outage few messages are tried until one succeeds.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::not_staged::Dependency;

/// Consecutive messages that must fail because of a dependency before it counts as down. With fewer, one odd object stops
/// a bucket. With more, more messages waste an attempt.
const FAILURES_BEFORE_OUTAGE: u32 = 4;

/// The maximum pause between two attempts in an outage.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The pause after this number of consecutive failures.
pub(super) fn pause(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.min(6)).min(LONGEST_PAUSE)
}

/// Dependencies that have failed since they last succeeded.
#[derive(Debug)]
pub(super) struct Outages {
    /// The number of buckets that log files may come from.
    buckets: usize,
    failing: Mutex<HashMap<Dependency, Failing>>,
}

#[derive(Debug)]
struct Failing {
    /// The number of consecutive messages that failed.
    failures: u32,
    next_attempt: Instant,
}

impl Failing {
    fn is_out(&self) -> bool {
        self.failures >= FAILURES_BEFORE_OUTAGE
    }

    fn attempt(&mut self, now: Instant) {
        self.next_attempt = now + pause(self.failures.saturating_sub(FAILURES_BEFORE_OUTAGE));
    }
}

impl Outages {
    pub(super) fn new(buckets: usize) -> Self {
        Self {
            buckets,
            failing: Mutex::default(),
        }
    }

    /// Records that a message has failed because of this dependency.
    pub(super) fn failed(&self, dependency: &Dependency) {
        let now = Instant::now();
        let mut failing = self.failing();
        let failing = failing
            .entry(dependency.clone())
            .or_insert_with(|| Failing {
                failures: 0,
                next_attempt: now,
            });
        failing.failures = failing.failures.saturating_add(1);
        failing.attempt(now);
        if failing.failures == FAILURES_BEFORE_OUTAGE {
            tracing::warn!(
                %dependency,
                failures = FAILURES_BEFORE_OUTAGE,
                "outage: messages that need this dependency are held back, and one of them is retried from time to \
                 time"
            );
        }
    }

    /// Records a success that needed this dependency. Nothing else ends an outage.
    pub(super) fn succeeded(&self, dependency: &Dependency) {
        let ended = self.failing().remove(dependency);
        if ended.is_some_and(|failing| failing.is_out()) {
            tracing::info!(%dependency, "outage over");
        }
    }

    /// Whether to try log files of this bucket. During an outage, only the first caller after each pause is admitted.
    pub(super) fn admits(&self, bucket: &Dependency) -> bool {
        let now = Instant::now();
        match self.failing().get_mut(bucket) {
            Some(failing) if failing.is_out() => {
                let is_time = now >= failing.next_attempt;
                if is_time {
                    failing.attempt(now);
                }
                is_time
            }
            _ => true,
        }
    }

    /// How long to receive no messages because nothing could be staged: the tables or all buckets are down. `None` if
    /// something can be staged. The caller must try one message after the pause.
    pub(super) fn all_out(&self) -> Option<Duration> {
        let now = Instant::now();
        let mut failing = self.failing();
        let mut out: Vec<(&Dependency, &mut Failing)> = failing
            .iter_mut()
            .filter(|(_, failing)| failing.is_out())
            .collect();
        let is_all = out
            .iter()
            .any(|(dependency, _)| **dependency == Dependency::All);
        if !is_all && (out.is_empty() || out.len() < self.buckets) {
            return None;
        }
        // If the tables are down too, their pause decides: without them no attempt can succeed.
        out.retain(|(dependency, _)| !is_all || **dependency == Dependency::All);
        let wait = out
            .iter()
            .map(|(_, failing)| failing.next_attempt.saturating_duration_since(now))
            .min()?;
        out.into_iter()
            .for_each(|(_, failing)| failing.attempt(now + wait));
        Some(wait)
    }

    fn failing(&self) -> MutexGuard<'_, HashMap<Dependency, Failing>> {
        // Ignoring poison is safe: no code panics midway through a change while it holds this lock.
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(name: &str) -> Dependency {
        Dependency::Bucket(name.to_owned())
    }

    fn out(outages: &Outages, dependency: &Dependency) {
        for _ in 0..FAILURES_BEFORE_OUTAGE {
            outages.failed(dependency);
        }
    }

    #[tokio::test]
    async fn a_bucket_holds_up_its_own_log_files_alone() {
        let outages = Outages::new(2);
        for _ in 1..FAILURES_BEFORE_OUTAGE {
            outages.failed(&bucket("a"));
            assert!(outages.admits(&bucket("a")));
        }
        outages.failed(&bucket("a"));
        assert!(!outages.admits(&bucket("a")));
        assert!(outages.admits(&bucket("b")));
        assert_eq!(outages.all_out(), None);
        outages.succeeded(&bucket("b"));
        assert!(
            !outages.admits(&bucket("a")),
            "another's success is none of its own"
        );
        outages.succeeded(&bucket("a"));
        assert!(outages.admits(&bucket("a")));
    }

    #[tokio::test]
    async fn nothing_is_taken_while_all_buckets_or_the_tables_are_out() {
        let outages = Outages::new(2);
        out(&outages, &bucket("a"));
        assert_eq!(outages.all_out(), None);
        out(&outages, &bucket("b"));
        assert!(outages.all_out().is_some_and(|wait| wait <= pause(0)));
        // The attempt after the wait counts as one; the next comes after its own pause.
        assert!(outages.all_out().is_some_and(|wait| wait > pause(0) / 2));
        outages.succeeded(&bucket("b"));
        assert_eq!(outages.all_out(), None);
        out(&outages, &Dependency::All);
        assert!(outages.all_out().is_some());
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        assert_eq!(pause(0).as_secs(), 1);
        assert_eq!(pause(3).as_secs(), 8);
        assert_eq!(pause(100).as_secs(), 60);
    }
}
