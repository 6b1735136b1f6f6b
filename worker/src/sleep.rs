//! Sleeping in a worker that may be told to stop.

use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Sleeps, or returns early when `stop` is cancelled. The caller checks `stop`.
pub(crate) async fn sleep_or_stop(duration: Duration, stop: &CancellationToken) {
    // Both outcomes end the sleep.
    let _ = timeout(duration, stop.cancelled()).await;
}
