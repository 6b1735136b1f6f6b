//! Delivery to the workers, with retries.

pub(crate) mod sqs;
pub(crate) mod http;

use std::fmt;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use logmill_shared::LogFile;
use tokio::time::{Instant, sleep};

/// Maximum attempts to send a log file. Nothing below retries: neither the AWS SDK nor the HTTP client. The deadline usually
/// comes first; this limit makes functions that may run for a quarter of an hour fail visibly.
const TRIES_MAX: u32 = 12;

/// The pause after the first failure. A connection that died while the function was frozen fails at once, and the next
/// one succeeds.
const PAUSE_FIRST: Duration = Duration::from_millis(100);

/// Maximum pause of our own backoff, without jitter. A pause that the other side requests may be longer.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// From this attempt on, each failure is logged as a warning. Earlier failures are usually transient.
const WORTH_A_WARNING: u32 = 3;

/// A way to the workers.
pub(crate) trait Sender {
    /// Sends log files. Retries each until it is delivered or refused, or the deadline is near.
    ///
    /// Returns the log files whose delivery was not confirmed; they may have been delivered if only the response was
    /// lost. All others were delivered: they are in the queue, or staged.
    async fn send(&self, log_files: &[LogFile], deadline: Instant) -> Vec<Undelivered>;
}

/// A log file whose delivery was not confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Undelivered {
    pub(crate) log_file: LogFile,
    pub(crate) why: SendError,
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.log_file, self.why)
    }
}

/// The reason of a failed delivery, and whether to retry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    /// A retry would be refused too, until a person has changed something.
    #[error("refused: {0}")]
    Refused(String),
    /// A retry may succeed, after the requested pause.
    #[error("{why}")]
    Unavailable {
        why: String,
        pause: Option<Duration>,
    },
}

/// Sends log files, and retries transient failures with growing pauses. `attempt` gets the log files that are
/// left, and the time that is left.
async fn insist(
    log_files: Vec<LogFile>,
    deadline: Instant,
    attempt: impl AsyncFn(&[LogFile], Duration) -> Vec<Undelivered>,
) -> Vec<Undelivered> {
    let mut refused = Vec::new();
    let mut waiting = log_files;
    let mut pauses = pauses();
    for tried in 1.. {
        let undelivered = attempt(&waiting, until(deadline)).await;
        let (again, done): (Vec<_>, Vec<_>) = undelivered
            .into_iter()
            .partition(|file| matches!(file.why, SendError::Unavailable { .. }));
        refused.extend(done);
        let own = pauses.next();
        let Some(pause) = own.and_then(|own| pause(own, &again, until(deadline))) else {
            refused.extend(again);
            break;
        };
        log_failure(tried, &again, pause);
        sleep(pause).await;
        waiting = again.into_iter().map(|file| file.log_file).collect();
    }
    refused
}

/// The time that is left.
fn until(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

/// Our own pauses, one fewer than attempts. They grow, and have jitter so that two functions that failed together don't
/// retry together.
fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(PAUSE_FIRST)
        .with_max_delay(PAUSE_MAX)
        .with_max_times(TRIES_MAX as usize - 1)
        .with_jitter()
        .build()
}

/// How long to wait before the retry. `None` if there is nothing to retry, or not enough time. Never shorter than
/// requested. A pause that would outlast the deadline is not started, because it would only cost money.
fn pause(own: Duration, again: &[Undelivered], left: Duration) -> Option<Duration> {
    if again.is_empty() {
        return None;
    }
    let asked = again.iter().filter_map(|file| match file.why {
        SendError::Unavailable { pause, .. } => pause,
        SendError::Refused(_) => None,
    });
    let pause = match asked.max() {
        Some(asked) => asked.saturating_add(own),
        None => own,
    };
    (pause < left).then_some(pause)
}

fn log_failure(tried: u32, again: &[Undelivered], pause: Duration) {
    let cause = again.first().map(|file| file.why.to_string());
    let (log_files, wait_ms) = (again.len(), pause.as_millis() as u64);
    match tried < WORTH_A_WARNING {
        true => tracing::debug!(tried, log_files, wait_ms, cause, "attempt failed; retrying"),
        false => tracing::warn!(tried, log_files, wait_ms, cause, "attempt failed; retrying"),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn log_files(names: &[&str]) -> Vec<LogFile> {
        names.iter().map(|name| LogFile::new(*name)).collect()
    }

    fn unavailable(log_file: &LogFile, pause: Option<u64>) -> Undelivered {
        Undelivered {
            log_file: log_file.clone(),
            why: SendError::Unavailable {
                why: "503".to_owned(),
                pause: pause.map(Duration::from_secs),
            },
        }
    }

    fn in_secs(secs: u64) -> Instant {
        Instant::now() + Duration::from_secs(secs)
    }

    #[tokio::test]
    async fn only_what_failed_is_sent_again() {
        let tries = RefCell::new(Vec::new());
        let left = insist(
            log_files(&["a", "b", "c"]),
            in_secs(60),
            async |files, _| {
                let names: Vec<_> = files.iter().map(|file| file.uri().to_owned()).collect();
                tries.borrow_mut().push(names.concat());
                match tries.borrow().len() {
                    1 => vec![
                        unavailable(&files[1], None),
                        Undelivered {
                            log_file: files[2].clone(),
                            why: SendError::Refused("bad".to_owned()),
                        },
                    ],
                    2 => vec![unavailable(&files[0], None)],
                    _ => Vec::new(),
                }
            },
        )
        .await;
        assert_eq!(tries.into_inner(), ["abc", "b", "b"]);
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].to_string(), "c: refused: bad");
    }

    #[tokio::test]
    async fn tries_end_with_the_time() {
        let tries = RefCell::new(Vec::new());
        let left = insist(log_files(&["a"]), in_secs(1), async |files, left| {
            tries.borrow_mut().push(left);
            vec![unavailable(&files[0], None)]
        })
        .await;
        assert_eq!(left.len(), 1);
        let tries = tries.into_inner();
        assert!(
            tries.len() > 1 && tries.len() < TRIES_MAX as usize,
            "{tries:?}"
        );
        assert!(
            tries.is_sorted_by(|before, after| before > after),
            "{tries:?}"
        );
    }

    #[test]
    fn a_pause_that_is_asked_for_is_kept() {
        let file = LogFile::new("a");
        let again = [unavailable(&file, Some(3)), unavailable(&file, Some(7))];
        let pause = |left| pause(PAUSE_FIRST, &again, Duration::from_secs(left));
        let seven = Duration::from_secs(7);
        assert_eq!(pause(60), Some(seven + PAUSE_FIRST));
        assert_eq!(pause(7), None);
        let forever = [unavailable(&file, Some(u64::MAX))];
        assert_eq!(super::pause(PAUSE_FIRST, &forever, seven), None);
    }

    #[test]
    fn pauses_are_bounded_and_grow_and_differ() {
        let pauses = |_| -> Vec<Duration> { pauses().collect() };
        let first = pauses(0);
        assert_eq!(first.len(), TRIES_MAX as usize - 1);
        for (at, min) in [(0, 100), (1, 200), (3, 800), (8, 10_000), (10, 10_000)] {
            let pause = first[at].as_millis();
            assert!((min..=2 * min).contains(&pause), "{at}: {pause}");
        }
        let of_ten: std::collections::BTreeSet<_> = (0..10).map(pauses).collect();
        assert!(of_ten.len() > 1);
    }
}
