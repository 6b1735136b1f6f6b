//! Maintenance: what a worker does for a table besides staging. The worker that holds the table's lease commits, compacts
//! and vacuums. The others poll the lease.

use std::time::Duration;

use logmill_shared::chain;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::commit_pace::CommitPace;
use crate::sleep::sleep_or_stop;
use crate::table::{Committed, HowMuch, LEDGER_QUIET, Lease, Table, TableError};

/// How often the lease holder checks for due work, and renews the lease.
const TICK_INTERVAL: Duration = Duration::from_secs(5);

/// How often a worker without the lease tries to acquire it. Longer than a tick, so that a fleet makes few requests.
const LEASE_POLL_INTERVAL: Duration = Duration::from_secs(10);

/// How often past days are compacted, and obsolete files are deleted.
const HOUSEKEEPING_INTERVAL: Duration = Duration::from_mins(30);

/// A day is compacted when it has received nothing for this long. Otherwise a backfill would undo compactions repeatedly.
const QUIET: Duration = Duration::from_hours(1);

/// How long commits may fail for a transient reason before this is logged as an error.
const PATIENCE: Duration = Duration::from_mins(5);

/// How long replaced files are kept for queries that read older versions.
const GRACE: Duration = Duration::from_hours(6);

/// An event during the maintenance of a table.
#[derive(Debug)]
pub enum MaintenanceEvent {
    /// Whether the table's lease is held.
    Lease(bool),
    /// Staged files have been committed, and how long that took. There may have been none.
    Committed(Committed, Duration),
    /// What is set aside for the table.
    SetAside(HowMuch),
    /// Committing has failed, and will be retried. The error.
    CommitFailed(String),
    /// Compacting or vacuuming has failed, and will be retried. The error.
    HousekeepingFailed(String),
}

/// Maintains a table until `stop` is cancelled, or the table is removed or replaced. Commits are at least `interval` apart,
/// unless they can't keep up with what is staged. Events are passed to `on_event`.
pub async fn run(
    table: &Table,
    interval: Duration,
    stop: &CancellationToken,
    mut on_event: impl FnMut(MaintenanceEvent),
) {
    let mut maintenance = Maintenance {
        table,
        pace: CommitPace::new(interval),
        next_commit: Instant::now(),
        commits_begun: None,
        next_housekeeping: Instant::now() + HOUSEKEEPING_INTERVAL,
        failing: None,
    };
    on_event(MaintenanceEvent::Lease(false));
    while !stop.is_cancelled() {
        let held = match table.try_lease().await {
            Ok(Some(mut lease)) => {
                on_event(MaintenanceEvent::Lease(true));
                // The previous holder may have died long ago: commit immediately.
                maintenance.next_commit = Instant::now();
                let held = maintenance.hold(&mut lease, stop, &mut on_event).await;
                lease.release().await;
                on_event(MaintenanceEvent::Lease(false));
                held
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = held {
            let is_replaced = error.is_replaced_table();
            maintenance.stands_still(error, &mut on_event);
            if is_replaced {
                return;
            }
        }
        sleep_or_stop(LEASE_POLL_INTERVAL, stop).await;
    }
}

/// When work on a table is due. It outlives a lease, which may be lost repeatedly.
struct Maintenance<'a> {
    table: &'a Table,
    pace: CommitPace,
    next_commit: Instant,
    /// When the first of several consecutive commits began. They are consecutive if one commit does not take all staged
    /// files.
    commits_begun: Option<Instant>,
    next_housekeeping: Instant,
    /// Time of the first failed commit since the last successful one.
    failing: Option<Instant>,
}

impl Maintenance<'_> {
    /// Works while the lease is held.
    async fn hold(
        &mut self,
        lease: &mut Lease,
        stop: &CancellationToken,
        on_event: &mut impl FnMut(MaintenanceEvent),
    ) -> Result<(), TableError> {
        while !stop.is_cancelled() && lease.renew().await {
            if Instant::now() >= self.next_commit {
                self.commit(lease, on_event).await?;
            }
            if Instant::now() >= self.next_housekeeping {
                self.compact_or_vacuum(lease, on_event).await;
            }
            let next = self.next_commit.min(self.next_housekeeping);
            sleep_or_stop(next.duration_since(Instant::now()).min(TICK_INTERVAL), stop).await;
        }
        Ok(())
    }

    async fn commit(
        &mut self,
        lease: &mut Lease,
        on_event: &mut impl FnMut(MaintenanceEvent),
    ) -> Result<(), TableError> {
        let begun = Instant::now();
        let first_begun = *self.commits_begun.get_or_insert(begun);
        let done = self.table.try_commit(lease).await?;
        let took = begun.elapsed();
        self.failing = None;
        if !done.more {
            self.commits_begun = None;
            self.pace.committed(first_begun.elapsed());
            self.next_commit = begun + self.pace.interval();
        }
        if let Some((log_file, reason)) = done.set_aside.first() {
            tracing::warn!(
                table = %self.table.definition().name, log_files = done.set_aside.len(), log_file, reason,
                "set aside: the staged files cannot be committed; fix the cause, then run `logmill retry`"
            );
        }
        if !done.entries.is_empty() {
            let table = &self.table.definition().name;
            let lines: i64 = done.entries.iter().map(|entry| entry.lines).sum();
            let rejected: i64 = done.entries.iter().map(|entry| entry.rejected_lines).sum();
            let waited = done.oldest.and_then(|oldest| oldest.elapsed().ok());
            // infra/alarms.yaml derives metrics and alarms from these fields.
            tracing::info!(
                %table, log_files = done.entries.len(), lines, rejected_lines = rejected, version = done.version,
                more = done.more, took_s = took.as_secs_f64(),
                staged_to_visible_s = waited.map(|waited| waited.as_secs_f64()), "committed"
            );
            if done.lost.sums > 0 {
                tracing::warn!(
                    %table, sums = done.lost.sums,
                    "sums exceed bigint and are NULL; columns that end in __sum have the exact values"
                );
            }
            if done.lost.other_rows > 0 {
                tracing::warn!(
                    %table, rows = done.lost.other_rows,
                    "hour full: groups that do not fit are combined into rows with is_other; use fewer or coarser \
                     group keys"
                );
            }
        }
        if let Some((log_file, copy_of)) = done.copies.first() {
            tracing::warn!(
                table = %self.table.definition().name, log_files = done.copies.len(), log_file, copy_of,
                "log file has the same name as another one and is most likely a copy, but is counted too; exclude \
                 one of the two folders with --ignore, or announce only the other"
            );
        }
        if let Some(how_much) = done.all_set_aside {
            on_event(MaintenanceEvent::SetAside(how_much));
        }
        on_event(MaintenanceEvent::Committed(done, took));
        Ok(())
    }

    /// Compacts one day, so that a commit can run in between. If there is no day to compact, removes old rows, and deletes obsolete files.
    async fn compact_or_vacuum(
        &mut self,
        lease: &mut Lease,
        on_event: &mut impl FnMut(MaintenanceEvent),
    ) {
        match self.table.compact_next(lease, QUIET).await {
            Ok(Some(_)) => return,
            Ok(None) => {}
            Err(error) => self.failed("compaction failed; retrying", error, on_event),
        }
        if let Err(error) = self.table.pack_ledger(LEDGER_QUIET).await {
            self.failed("the ledger could not be packed; retrying", error, on_event);
        }
        if let Err(error) = self.table.expire().await {
            self.failed("old rows could not be removed; retrying", error, on_event);
        }
        if let Err(error) = self.table.vacuum(GRACE).await {
            self.failed("vacuum failed; retrying", error, on_event);
        }
        match self.table.notes().how_much().await {
            Ok(how_much) => on_event(MaintenanceEvent::SetAside(how_much)),
            Err(error) => self.failed(
                "counting set-aside log files failed; retrying",
                error,
                on_event,
            ),
        }
        self.next_housekeeping = Instant::now() + HOUSEKEEPING_INTERVAL;
    }

    /// Logs that nothing can be committed. infra/alarms.yaml has an alarm on the message.
    fn stands_still(&mut self, error: TableError, on_event: &mut impl FnMut(MaintenanceEvent)) {
        let since = *self.failing.get_or_insert_with(Instant::now);
        let (table, is_transient) = (&self.table.definition().name, error.is_transient());
        let (error, since_s) = (chain(&error), since.elapsed().as_secs());
        match is_transient && since.elapsed() < PATIENCE {
            true => tracing::warn!(%table, error, since_s, "commit failed; retrying"),
            false => tracing::error!(%table, error, since_s, "table cannot be committed"),
        }
        on_event(MaintenanceEvent::CommitFailed(error));
    }

    fn failed(&self, what: &str, error: TableError, on_event: &mut impl FnMut(MaintenanceEvent)) {
        let (table, is_transient) = (&self.table.definition().name, error.is_transient());
        let error = chain(&error);
        match is_transient {
            true => tracing::warn!(%table, error, "{what}"),
            false => tracing::error!(%table, error, "{what}"),
        }
        on_event(MaintenanceEvent::HousekeepingFailed(error));
    }
}
