//! Maintenance: what a worker does for a table besides staging. The worker that holds the table's lease commits, compacts
//! and vacuums. The others poll the lease.

use std::time::Duration;

use chrono::{DateTime, Utc};
use logmill_shared::chain;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::commit_pace::CommitPace;
use crate::delivery::{Bounds, Late, Recorder, Records};
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

/// How long to wait after what is final could not be recorded.
const RECORD_RETRY: Duration = Duration::from_mins(1);

/// Where to record up to when tables are final, and by which bounds.
#[derive(Debug, Clone)]
pub struct Finality {
    /// The records.
    pub records: Records,
    /// The bounds.
    pub bounds: Bounds,
}

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
    /// The time up to which the table is final, and how many log files have come late for it since the last such event.
    Final(Option<DateTime<Utc>>, usize),
}

/// Maintains a table until `stop` is cancelled, or the table is removed or replaced. Commits are at least `interval` apart,
/// unless they can't keep up with what is staged. With `finality`, records up to when the table is final. Events are passed to `on_event`.
pub async fn run(
    table: &Table,
    finality: Option<&Finality>,
    interval: Duration,
    stop: &CancellationToken,
    mut on_event: impl FnMut(MaintenanceEvent),
) {
    let mut maintenance = Maintenance::new(table, finality, interval);
    on_event(MaintenanceEvent::Lease(false));
    while !stop.is_cancelled() {
        let held = match table.try_lease().await {
            Ok(Some(mut lease)) => {
                on_event(MaintenanceEvent::Lease(true));
                // The previous holder may have died long ago: commit immediately.
                maintenance.next_commit = Instant::now();
                let held = maintenance.hold(&mut lease, stop, &mut on_event).await;
                // Another worker may go on.
                maintenance.recorder = None;
                lease.release().await;
                on_event(MaintenanceEvent::Lease(false));
                held
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(TableError::Swapped { .. } | TableError::Dropped { .. }) = &held {
            // A person has done it. The caller opens what is there now.
            let table = &table.definition().name;
            tracing::info!(%table, "the table was dropped, or has another generation now");
            return;
        }
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
    finality: Option<&'a Finality>,
    /// Open while the lease is held.
    recorder: Option<Recorder>,
    next_record: Instant,
    /// Whether the last commit has left something staged.
    has_more: bool,
    pace: CommitPace,
    next_commit: Instant,
    /// When the first of several consecutive commits began. They are consecutive if one commit does not take all staged
    /// files.
    commits_begun: Option<Instant>,
    next_housekeeping: Instant,
    /// Time of the first failed commit since the last successful one.
    failing: Option<Instant>,
}

impl<'a> Maintenance<'a> {
    fn new(table: &'a Table, finality: Option<&'a Finality>, interval: Duration) -> Self {
        Self {
            table,
            finality,
            recorder: None,
            next_record: Instant::now(),
            has_more: false,
            pace: CommitPace::new(interval),
            next_commit: Instant::now(),
            commits_begun: None,
            next_housekeeping: Instant::now() + HOUSEKEEPING_INTERVAL,
            failing: None,
        }
    }

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
            if Instant::now() >= self.next_record {
                self.record_final(on_event).await;
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
        let done = match self.table.try_commit(lease).await {
            Ok(done) => done,
            Err(error) => {
                // The time in which nothing can be committed is no cost of a commit.
                self.commits_begun = None;
                return Err(error);
            }
        };
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
        self.has_more = done.more;
        if let Some(recorder) = &mut self.recorder {
            let late = recorder.counted(&done.entries, Utc::now());
            log_late(&self.table.definition().name, &late);
            on_event(MaintenanceEvent::Final(recorder.final_until(), late.len()));
        }
        on_event(MaintenanceEvent::Committed(done, took));
        Ok(())
    }

    /// Records up to when the table is final, if that has changed. What is staged and could not be committed yet is waited for.
    async fn record_final(&mut self, on_event: &mut impl FnMut(MaintenanceEvent)) {
        let Some(Finality { records, bounds }) = self.finality else {
            return;
        };
        let now = Utc::now();
        if self.has_more {
            return;
        }
        let recorded = async {
            let recorder = match &mut self.recorder {
                Some(recorder) => recorder,
                none => {
                    let settles_at = now + bounds.delay;
                    let opened =
                        Recorder::open(records, self.table, *bounds, Some(settles_at), now);
                    none.insert(opened.await?)
                }
            };
            match recorder.is_due(now) {
                true => recorder.record(self.table, true, now).await.map(Some),
                false => Ok(None),
            }
        };
        match recorded.await {
            Ok(Some(recorded)) => on_event(MaintenanceEvent::Final(recorded.final_until, 0)),
            Ok(None) => {}
            Err(error) => {
                self.next_record = Instant::now() + RECORD_RETRY;
                self.failed(
                    "what is final could not be recorded; retrying",
                    error,
                    on_event,
                );
            }
        }
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

/// Logs that log files were counted for a time that had been final.
pub(crate) fn log_late(table: &str, late: &[Late]) {
    if let Some(first) = late.first() {
        tracing::warn!(
            table,
            log_files = late.len(),
            log_file = first.log_file,
            final_until = crate::delivery::minute(first.final_until),
            "late log file: it was counted for a time that was final; `logmill status` lists the last ones"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::ops::Range;
    use std::sync::Arc;

    use chrono::TimeDelta;
    use logmill_shared::LogFile;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::feeds::Feeds;
    use crate::pipeline::{self, Limits, Outcome, Source};
    use crate::rollup::Rollup;
    use crate::table::Root;

    /// Stages a log file with one line.
    async fn stage(feeds: &Feeds, end: DateTime<Utc>) {
        let time = (end - TimeDelta::minutes(1)).format("%Y-%m-%dT%H:%M:%S.000001Z");
        let line = format!(
            "https {time} app/a/1 192.0.2.1:2817 - -1 -1 -1 460 - 34 366 \"GET https://a/ HTTP/1.1\"\n"
        );
        let name = format!(
            "s3://logs/1_elasticloadbalancing_r_app.a.1_{}_10.0.0.1_r.log",
            end.format("%Y%m%dT%H%MZ")
        );
        let bytes = line.clone().into_bytes();
        let source = Source {
            log_file: LogFile::new(name),
            bytes: line.len() as u64,
            etag: "etag".to_owned(),
            plain: None,
            open: |range: Option<Range<u64>>| {
                let range = range.unwrap_or(0..bytes.len() as u64);
                let bytes = &bytes[range.start as usize..range.end as usize];
                Ok::<_, std::io::Error>(Cursor::new(bytes.to_vec()))
            },
        };
        let limits = Limits {
            text_bytes: 1 << 30,
            group_bytes: 1 << 20,
        };
        let staged = pipeline::stage(source, &feeds.tables, limits).await;
        assert!(matches!(staged, Ok(Outcome::Staged(_))));
    }

    async fn feeds(root: &Root) -> Feeds {
        let sql = "SELECT elb, count(*) AS lines FROM alb_access_logs GROUP BY 1";
        let rollup = Rollup::from_sql("by_elb", sql).await.unwrap();
        Feeds::open(root, vec![rollup].into()).await.unwrap().0
    }

    #[tokio::test]
    async fn a_table_that_could_not_be_committed_for_long_is_committed_as_often_as_before() {
        let store = Arc::new(InMemory::new());
        let url = url::Url::parse("s3://tables/t/").unwrap();
        let feeds = feeds(&Root::in_store(url, Arc::clone(&store) as _)).await;
        let table = feeds.tables[0].table().unwrap();
        let interval = Duration::from_millis(100);
        let mut maintenance = Maintenance::new(table, None, interval);
        stage(&feeds, "2026-11-20T10:35:00Z".parse().unwrap()).await;
        let mut lease = table.try_lease().await.unwrap().unwrap();
        let next = object_store::path::Path::from(format!("t/by_elb/_delta_log/{:020}.json", 1));
        store.put(&next, "{".into()).await.unwrap();
        let failed = maintenance.commit(&mut lease, &mut |_| {}).await;
        assert!(failed.is_err());
        tokio::time::sleep(Duration::from_secs(2)).await;
        store.delete(&next).await.unwrap();
        maintenance.commit(&mut lease, &mut |_| {}).await.unwrap();
        // Nine times the two seconds, if they counted as the duration of a commit.
        assert!(maintenance.pace.interval() < Duration::from_secs(18));
    }

    #[tokio::test]
    async fn the_holder_of_the_lease_records_what_is_final_and_tells_what_is_late() {
        let url = url::Url::parse("s3://tables/t/").unwrap();
        let root = Root::in_store(url, Arc::new(InMemory::new()));
        let feeds = feeds(&root).await;
        let newest: DateTime<Utc> = "2026-11-20T10:35:00Z".parse().unwrap();
        stage(&feeds, newest).await;
        let finality = Finality {
            records: Records::of(&root).unwrap(),
            // So nothing has to settle.
            bounds: Bounds::of_delay(Duration::ZERO),
        };
        let (sender, mut events) = unbounded_channel();
        let (stop, feed) = (CancellationToken::new(), Arc::clone(&feeds.tables[0]));
        let (ends, maintained) = (stop.clone(), finality.clone());
        let maintaining = tokio::spawn(async move {
            let on_event = |event| {
                if let MaintenanceEvent::Final(until, late) = event {
                    let _ = sender.send((until, late));
                }
            };
            let table = feed.table().unwrap();
            run(
                table,
                Some(&maintained),
                Duration::from_millis(100),
                &ends,
                on_event,
            )
            .await;
        });
        assert_eq!(events.recv().await, Some((Some(newest), 0)));
        let record = finality.records.read("by_elb").await.unwrap().unwrap();
        assert_eq!(record.final_until, Some(newest));
        assert_eq!((record.nodes, record.late_log_files), (1, 0));
        stage(&feeds, newest - TimeDelta::minutes(30)).await;
        while let Some((until, late)) = events.recv().await {
            assert_eq!(until, Some(newest));
            if late > 0 {
                assert_eq!(late, 1);
                break;
            }
        }
        stop.cancel();
        maintaining.await.unwrap();
    }
}
