//! Upkeep: what a long-running worker does for a table besides staging. Whoever has the table's lease commits, settles
//! and vacuums; the others ask for the lease now and then.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::pace::Pace;
use crate::table::{Committed, Lease, Table, TableError};

/// How often the holder looks whether something is due, and gives a sign of life.
const TICK: Duration = Duration::from_secs(5);

/// How often a worker without the lease asks for it. Longer than a tick, so that a fleet asks seldom.
const ASK: Duration = Duration::from_secs(10);

/// How often the days that are over are packed, and what is no longer needed is deleted.
const HOUSEKEEPING: Duration = Duration::from_mins(30);

/// A day is packed when nothing has come for so long, so that a backfill does not undo it again and again.
const QUIET: Duration = Duration::from_hours(1);

/// How long replaced files are kept for queries that read older versions.
const GRACE: Duration = Duration::from_hours(6);

/// What happens to a table while it is kept.
#[derive(Debug)]
pub enum News {
    /// The table's lease was taken, or is no longer held.
    Lease(bool),
    /// Log files have been counted.
    Committed(Committed, Duration),
    /// Something failed, and will be tried again.
    Failed,
}

/// Keeps a table until `stop` is cancelled. Commits follow one another by `interval` at least. `tell` is told what happens.
pub async fn keep(
    table: &Table,
    interval: Duration,
    stop: CancellationToken,
    mut tell: impl FnMut(News),
) {
    tell(News::Lease(false));
    while !stop.is_cancelled() {
        let held = match table.try_lease().await {
            Ok(Some(mut lease)) => {
                tell(News::Lease(true));
                let held = hold(table, interval, &mut lease, &stop, &mut tell).await;
                lease.release().await;
                tell(News::Lease(false));
                held
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = held {
            let (table, is_transient) = (&table.definition().name, error.is_transient());
            let error = format!("{:#}", anyhow::Error::new(error));
            match is_transient {
                true => tracing::warn!(%table, error, "table not kept; trying again"),
                false => tracing::error!(%table, error, "table not kept; trying again"),
            }
            tell(News::Failed);
        }
        tick(ASK, &stop).await;
    }
}

/// Works as long as the lease is held.
async fn hold(
    table: &Table,
    interval: Duration,
    lease: &mut Lease,
    stop: &CancellationToken,
    tell: &mut impl FnMut(News),
) -> Result<(), TableError> {
    let mut pace = Pace::new(interval);
    // Whoever had it before may have died long ago: the first commit is due at once.
    let mut next_commit = Instant::now();
    let mut next_housekeeping = Instant::now() + HOUSEKEEPING;
    while !stop.is_cancelled() && lease.renew().await {
        if Instant::now() >= next_commit {
            let begin = Instant::now();
            let done = table.try_commit(lease).await?;
            let more = done.more;
            if !done.entries.is_empty() {
                tracing::info!(
                    table = table.definition().name,
                    log_files = done.entries.len(),
                    version = done.version,
                    took_s = begin.elapsed().as_secs_f64(),
                    "committed"
                );
                tell(News::Committed(done, begin.elapsed()));
            }
            if more {
                continue;
            }
            pace.committed(begin.elapsed());
            next_commit = begin + pace.interval();
        }
        if Instant::now() >= next_housekeeping {
            next_housekeeping = Instant::now() + HOUSEKEEPING;
            table.settle(lease, QUIET).await?;
            table.vacuum(GRACE).await?;
        }
        tick(TICK.min(interval), stop).await;
    }
    Ok(())
}

/// Waits, or until it is time to stop.
async fn tick(duration: Duration, stop: &CancellationToken) {
    // Either is well.
    let _ = timeout(duration, stop.cancelled()).await;
}
