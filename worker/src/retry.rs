//! Retries: one policy, and one layer of it around each request. A retry within a retry multiplies: twenty attempts of
//! twenty attempts of ten make one broken PUT last for three quarters of an hour.
//!
//! So every request is retried by exactly one of two: by the AWS SDK, where one request is all there is to do
//! ([`Policy::of_sdk`]), or by [`Retries`], where more than the request is done again (a stream that goes on where it broke,
//! the rest of a batch), and then the SDK tries once.

use std::fmt::Display;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::sleep;

/// How often something is attempted, and how long to wait in between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    /// Attempts, the first included. Fewer, and a service that restarts fails what waits for it; more, and what will never
    /// succeed holds up what is behind it.
    pub(crate) attempts: u32,
    /// The wait before the second attempt. It doubles each time. Up to as much again is added at random, so that those who
    /// failed together don't come back together.
    pub(crate) first_wait: Duration,
    /// The longest wait, but for what is added at random.
    pub(crate) longest_wait: Duration,
}

impl Policy {
    /// For a request to S3 or SQS: it outlasts a bad quarter of a minute, and is over within twice that.
    pub(crate) const REQUEST: Self = Self {
        attempts: 7,
        first_wait: Duration::from_millis(250),
        longest_wait: Duration::from_secs(8),
    };

    /// Begins to count attempts. `what` names what is attempted in the log.
    pub(crate) fn begin(self, what: impl Display) -> Retries {
        self.begin_with(what, None)
    }

    /// The same; with a seed, the waits follow from it.
    pub(crate) fn begin_with(self, what: impl Display, seed: Option<u64>) -> Retries {
        Retries {
            what: what.to_string(),
            policy: self,
            seed,
            waits: self.waits(seed),
            failures: 0,
        }
    }

    /// The same policy for the AWS SDK, which also slows down by itself when AWS throttles.
    pub(crate) fn of_sdk(self) -> RetryConfig {
        RetryConfig::adaptive()
            .with_max_attempts(self.attempts)
            .with_initial_backoff(self.first_wait)
            .with_max_backoff(self.longest_wait)
    }

    /// For requests around which somebody else retries.
    pub(crate) fn once() -> RetryConfig {
        RetryConfig::adaptive().with_max_attempts(1)
    }

    fn waits(self, seed: Option<u64>) -> ExponentialBackoff {
        let waits = ExponentialBuilder::new()
            .with_factor(2.0)
            .with_min_delay(self.first_wait)
            .with_max_delay(self.longest_wait)
            .with_max_times(self.attempts.saturating_sub(1) as usize)
            .with_jitter();
        match seed {
            Some(seed) => waits.with_jitter_seed(seed).build(),
            None => waits.build(),
        }
    }
}

/// Attempts at one thing. Each failure is logged with its cause.
#[derive(Debug)]
pub(crate) struct Retries {
    what: String,
    policy: Policy,
    seed: Option<u64>,
    waits: ExponentialBackoff,
    failures: u32,
}

impl Retries {
    /// Waits after an attempt that has failed. `false`: that was the last one, and nothing was waited for.
    pub(crate) async fn wait(&mut self, cause: impl Display) -> bool {
        match self.failed(cause) {
            Some(wait) => {
                sleep(wait).await;
                true
            }
            None => false,
        }
    }

    /// How long to wait after an attempt that has failed, before the next one. `None`: that was the last one.
    pub(crate) fn failed(&mut self, cause: impl Display) -> Option<Duration> {
        self.failures += 1;
        let wait = self.waits.next()?;
        log_failure(&self.what, self.failures, &cause, Some(wait));
        Some(wait)
    }

    /// Counts from the beginning again: there was some progress.
    pub(crate) fn start_over(&mut self) {
        self.waits = self.policy.waits(self.seed);
        self.failures = 0;
    }
}

/// The first failures of an attempt pass by themselves most often, and are of no interest; from this one on they are.
const WORTH_A_WARNING: u32 = 3;

/// Logs that an attempt has failed, the `failures`-th in a row. Another follows after `wait`; without it, it is the AWS SDK
/// that decides whether.
pub(crate) fn log_failure(what: &str, failures: u32, cause: impl Display, wait: Option<Duration>) {
    let wait_ms = wait.map(|wait| wait.as_millis() as u64);
    let next = if wait.is_some() { "; retrying" } else { "" };
    match failures < WORTH_A_WARNING {
        true => tracing::debug!(what, failures, wait_ms, %cause, "attempt failed{next}"),
        false => tracing::warn!(what, failures, wait_ms, %cause, "attempt failed{next}"),
    }
}

/// Logs that something has been waited for, for so long. Nothing has failed.
pub(crate) fn log_wait(what: &str, waited: Duration) {
    tracing::warn!(what, waited_s = waited.as_secs(), "waiting");
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const POLICY: Policy = Policy {
        attempts: 5,
        first_wait: Duration::from_millis(10),
        longest_wait: Duration::from_millis(30),
    };

    #[tokio::test]
    async fn attempts_and_waits_are_bounded() {
        let (mut retries, mut attempts, begin) = (POLICY.begin("a test"), 1, Instant::now());
        while retries.wait("broken").await {
            attempts += 1;
        }
        assert_eq!(attempts, POLICY.attempts);
        // 10, 20, 30 and 30 milliseconds, and up to as much again.
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(90), "{took:?}");
        let waits: Vec<Duration> = POLICY.waits(None).collect();
        assert!(waits[3] < Duration::from_millis(60), "{waits:?}");
    }

    #[tokio::test]
    async fn progress_starts_the_count_over() {
        let mut retries = POLICY.begin("a test");
        for _ in 0..4 {
            assert!(retries.wait("broken").await);
        }
        retries.start_over();
        for _ in 0..4 {
            assert!(retries.wait("broken").await);
        }
        assert!(!retries.wait("broken").await);
    }
}
