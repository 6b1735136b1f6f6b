//! The end of a worker: it is asked to stop, or one of its tasks ends by itself.

use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Time after the grace period for the requests that return messages to the queue.
const GIVING_BACK: Duration = Duration::from_secs(5);

/// Tasks that run until they are asked to stop.
pub(super) type Tasks = JoinSet<Result<()>>;

/// Waits until `stop` is cancelled or a task ends by itself, and then for work in progress. HTTP is answered until the end,
/// so that health checks see a worker that is shutting down and not one that has died.
///
/// Logs the error of every task. Returns the first one, whether it occurred before or after the shutdown began.
pub(super) async fn drain(
    mut working: Tasks,
    mut http: Tasks,
    stop: CancellationToken,
    close: CancellationToken,
    grace: Duration,
) -> Result<()> {
    let ended = tokio::select! {
        () = stop.cancelled() => None,
        Some(ended) = working.join_next() => Some(ended),
        Some(ended) = http.join_next() => Some(ended),
    };
    let mut first_error = None;
    let mut note = |ended: Result<Result<()>, JoinError>| {
        if let Err(error) = ended.map_err(anyhow::Error::new).flatten() {
            tracing::error!(error = format!("{error:#}"), "worker task failed");
            first_error.get_or_insert(error);
        }
    };
    if let Some(ended) = ended {
        // `stop` may have been cancelled at the same moment.
        let too_early = || Err(anyhow!("a worker task ended before shutdown"));
        note(match ended {
            Ok(Ok(())) if !stop.is_cancelled() => Ok(too_early()),
            ended => ended,
        });
    }
    stop.cancel();
    tracing::info!(grace_s = grace.as_secs(), "worker shutting down");
    let deadline = Instant::now() + grace + GIVING_BACK;
    let finished = async {
        while let Some(ended) = working.join_next().await {
            note(ended);
        }
        close.cancel();
        while let Some(ended) = http.join_next().await {
            note(ended);
        }
    };
    if timeout_at(deadline, finished).await.is_err() {
        tracing::warn!(
            "shutdown grace period over; unfinished work is abandoned, and this worker or another one \
             will retry it"
        );
    }
    match first_error {
        Some(error) => Err(error),
        None => {
            tracing::info!("worker stopped");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;
    use tokio::time::sleep;

    use super::*;

    /// Returns the result of a worker after one task ended with `outcome`, before or after it was asked to stop.
    async fn ends(is_told: bool, outcome: fn() -> Result<()>) -> Result<()> {
        let stop = CancellationToken::new();
        let (mut working, mut http) = (Tasks::new(), Tasks::new());
        let close = CancellationToken::new();
        http.spawn({
            let close = close.clone();
            async move {
                close.cancelled().await;
                Ok(())
            }
        });
        for is_odd in [false, true] {
            let stop = stop.clone();
            working.spawn(async move {
                match is_odd && !is_told {
                    true => sleep(Duration::from_millis(10)).await,
                    false => stop.cancelled().await,
                }
                if is_odd { outcome() } else { Ok(()) }
            });
        }
        if is_told {
            stop.cancel();
        }
        drain(working, http, stop, close, Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn a_tasks_error_is_the_workers_whenever_it_comes() {
        let broken = || bail!("broken");
        for is_told in [false, true] {
            let error = ends(is_told, broken).await.unwrap_err();
            assert_eq!(error.to_string(), "broken");
            let panicked = ends(is_told, || panic!("a bug")).await.unwrap_err();
            assert!(panicked.to_string().contains("panicked"), "{panicked}");
        }
        assert!(ends(true, || Ok(())).await.is_ok());
        let too_early = ends(false, || Ok(())).await.unwrap_err();
        assert!(
            too_early.to_string().contains("before shutdown"),
            "{too_early}"
        );
    }
}
