//! Upkeep: what a long-running worker does for a table besides staging. Whoever has the table's lease commits, settles
//! and vacuums; the others ask for the lease now and then.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::pace::Pace;
use crate::table::{Entry, Lease, Table, TableError};

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

/// Keeps a table until `stop` says true. `committed` is told which log files have been counted.
pub async fn keep(
    table: &Table,
    mut stop: watch::Receiver<bool>,
    mut committed: impl FnMut(&[Entry]),
) {
    while !*stop.borrow() {
        let held = match table.try_lease().await {
            Ok(Some(mut lease)) => {
                let held = hold(table, &mut lease, &mut stop, &mut committed).await;
                lease.release().await;
                held
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = held {
            let table = &table.definition().name;
            tracing::error!(%table, error = format!("{:#}", anyhow::Error::new(error)), "table not kept");
        }
        tick(ASK, &mut stop).await;
    }
}

/// Works as long as the lease is held.
async fn hold(
    table: &Table,
    lease: &mut Lease,
    stop: &mut watch::Receiver<bool>,
    committed: &mut impl FnMut(&[Entry]),
) -> Result<(), TableError> {
    let mut pace = Pace::default();
    // Whoever had it before may have died long ago: the first commit is due at once.
    let mut next_commit = Instant::now();
    let mut next_housekeeping = Instant::now() + HOUSEKEEPING;
    while !*stop.borrow() && lease.renew().await {
        if Instant::now() >= next_commit {
            let begin = Instant::now();
            let done = table.try_commit(lease).await?;
            committed(&done.entries);
            if done.more {
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
        tick(TICK, stop).await;
    }
    Ok(())
}

/// Waits, or until it is time to stop.
async fn tick(duration: Duration, stop: &mut watch::Receiver<bool>) {
    tokio::select! {
        () = sleep(duration) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}
