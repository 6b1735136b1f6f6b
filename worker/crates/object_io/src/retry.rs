//! Retries: one policy, applied by one layer around each request. Nested retries multiply: with twenty attempts of twenty
//! attempts of ten, one broken PUT takes three quarters of an hour.
//!
//! So every request is retried by exactly one layer. For a request of `object_store` it is [`crate::RetryingStore`]. For
//! one of the AWS SDK it is the SDK ([`Policy::of_sdk`]), if repeating the request is enough. If more than the request has to
//! be repeated, such as a stream that resumes where it broke or the rest of a batch, it is [`Retries`], and the SDK tries
//! only once.

use std::fmt::Display;
use std::time::Duration;

use aws_smithy_types::retry::RetryConfig;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::sleep;

/// The number of attempts, and the waits between them.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Number of attempts, including the first. With fewer, a service that restarts fails the requests that wait for it.
    /// With more, a request that will never succeed delays those behind it.
    pub attempts: u32,
    /// The wait before the second attempt. It doubles each time. Jitter of up to the same duration is added, so that
    /// clients that failed together do not retry together.
    pub first_wait: Duration,
    /// The longest wait, without jitter.
    pub longest_wait: Duration,
}

impl Policy {
    /// For a request to S3 or SQS: it survives an outage of about 15 seconds, and gives up within about 30.
    pub const REQUEST: Self = Self {
        attempts: 7,
        first_wait: Duration::from_millis(250),
        longest_wait: Duration::from_secs(8),
    };

    /// Starts counting attempts. `what` names the operation in the log.
    pub fn begin(self, what: impl Display) -> Retries {
        self.begin_with(what, None)
    }

    /// Like [`Policy::begin`]. With a seed, the waits are deterministic.
    pub fn begin_with(self, what: impl Display, seed: Option<u64>) -> Retries {
        Retries {
            what: what.to_string(),
            policy: self,
            seed,
            waits: self.waits(seed),
            failures: 0,
        }
    }

    /// This policy for the AWS SDK, which also slows down when AWS throttles.
    pub fn of_sdk(self) -> RetryConfig {
        RetryConfig::adaptive()
            .with_max_attempts(self.attempts)
            .with_initial_backoff(self.first_wait)
            .with_max_backoff(self.longest_wait)
    }

    /// For requests that the caller retries.
    pub fn once() -> RetryConfig {
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

/// Attempts at one operation. Each failure that is followed by another attempt is logged with its cause; the last one is for
/// the caller to report.
#[derive(Debug)]
pub struct Retries {
    what: String,
    policy: Policy,
    seed: Option<u64>,
    waits: ExponentialBackoff,
    failures: u32,
}

impl Retries {
    /// Waits after a failed attempt. Returns `false` without waiting if that was the last one.
    pub async fn wait(&mut self, cause: impl Display) -> bool {
        match self.failed(cause) {
            Some(wait) => {
                sleep(wait).await;
                true
            }
            None => false,
        }
    }

    /// Returns the wait before the next attempt. `None` if the failed attempt was the last one.
    pub fn failed(&mut self, cause: impl Display) -> Option<Duration> {
        self.failures += 1;
        let wait = self.waits.next()?;
        log_failure(&self.what, self.failures, &cause, Some(wait));
        Some(wait)
    }

    /// Starts counting again, because there was some progress.
    pub fn start_over(&mut self) {
        self.waits = self.policy.waits(self.seed);
        self.failures = 0;
    }
}

/// Number of failures from which on they are logged as warnings. The first ones are usually transient.
const WORTH_A_WARNING: u32 = 3;

/// Logs the `failures`-th failed attempt in a row. With `wait`, the next attempt follows after that time. Without it, the
/// AWS SDK decides whether there is one.
pub fn log_failure(what: &str, failures: u32, cause: impl Display, wait: Option<Duration>) {
    let wait_ms = wait.map(|wait| wait.as_millis() as u64);
    let next = if wait.is_some() { "; retrying" } else { "" };
    match failures < WORTH_A_WARNING {
        true => tracing::debug!(what, failures, wait_ms, %cause, "attempt failed{next}"),
        false => tracing::warn!(what, failures, wait_ms, %cause, "attempt failed{next}"),
    }
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
        // 10, 20, 30 and 30 milliseconds, each with jitter of up to the same duration.
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
