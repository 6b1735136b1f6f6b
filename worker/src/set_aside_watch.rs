//! Decides when a worker counts the log files that are set aside for its tables. Commits report what they have seen. But a
//! worker may set a log file aside for a table that another worker commits, and `logmill retry` puts it back in another
//! process. Listing the notes all the time would be too expensive.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use logmill_shared::LogFile;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::table::{HowMuch, Root};
use logmill_shared::chain;

/// Minimum time between two counts for one table. Each count lists the notes of the table.
const INTERVAL: Duration = Duration::from_mins(1);

/// Minimum time between warnings about set-aside log files of one table: a rollup that fails on one log file is likely to
/// fail on all.
const WARNING_INTERVAL: Duration = Duration::from_mins(1);

/// The known state of tables, by name. Tables that are not in it most likely have nothing set aside.
#[derive(Debug, Default)]
pub(crate) struct SetAsideWatch {
    tables: Mutex<HashMap<String, Known>>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Known {
    log_files: usize,
    /// A log file has been set aside since the last check.
    has_changed: bool,
    looked: Option<Instant>,
    warned: Option<Instant>,
}

impl SetAsideWatch {
    /// Records that this worker has set aside a log file for the table, and warns of it now and then.
    pub(crate) fn set_aside(&self, log_file: &LogFile, table: &str, reason: &str) {
        if self.changed_at(Instant::now(), table) {
            tracing::warn!(%log_file, table, reason, "set aside for the table, logged once a minute at most; fix \
                 the cause, then run `logmill retry`");
        }
    }

    /// Records a change. Returns whether to warn of it.
    fn changed_at(&self, now: Instant, table: &str) -> bool {
        let mut tables = self.tables();
        let known = tables.entry(table.to_owned()).or_default();
        known.has_changed = true;
        self.changed.notify_one();
        let is_due = known
            .warned
            .is_none_or(|warned| now.duration_since(warned) >= WARNING_INTERVAL);
        if is_due {
            known.warned = Some(now);
        }
        is_due
    }

    /// Records what was just found to be set aside for the table.
    pub(crate) fn seen(&self, table: &str, how_much: HowMuch) {
        self.seen_at(Instant::now(), table, how_much);
    }

    fn seen_at(&self, now: Instant, table: &str, how_much: HowMuch) {
        let mut tables = self.tables();
        let known = tables.entry(table.to_owned()).or_default();
        known.log_files = how_much.log_files;
        known.has_changed = false;
        known.looked = Some(now);
    }

    /// Counts the log files that are set aside for tables: soon after this worker has set one aside, and periodically while
    /// there are any. The count also shows when another process has put them back.
    pub(crate) async fn watch(&self, root: &Root, metrics: &Metrics, stop: &CancellationToken) {
        while stop.run_until_cancelled(self.is_due()).await.is_some() {
            for table in self.due_at(Instant::now()) {
                let look = async { root.notes(&table).await?.how_much().await };
                match look.await {
                    Ok(how_much) => {
                        self.seen(&table, how_much);
                        metrics.set_aside(&table, how_much);
                    }
                    // The table stays due.
                    Err(error) => {
                        tracing::warn!(
                            table,
                            error = chain(&error),
                            "counting set-aside log files failed; retrying"
                        );
                    }
                }
            }
        }
    }

    /// Waits until a table may be due.
    async fn is_due(&self) {
        // Both outcomes are fine.
        let _ = timeout(INTERVAL, self.changed.notified()).await;
    }

    /// Returns the tables to check now. They count as checked even if the check fails.
    fn due_at(&self, now: Instant) -> Vec<String> {
        let mut due = Vec::new();
        for (table, known) in self.tables().iter_mut() {
            let is_rested = known
                .looked
                .is_none_or(|looked| now.duration_since(looked) >= INTERVAL);
            if is_rested && (known.has_changed || known.log_files > 0) {
                known.looked = Some(now);
                due.push(table.clone());
            }
        }
        due
    }

    fn tables(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn how_much(log_files: usize) -> HowMuch {
        HowMuch {
            log_files,
            oldest: Duration::ZERO,
        }
    }

    #[tokio::test]
    async fn a_table_is_looked_at_at_once_then_seldom_and_until_nothing_is_set_aside() {
        let watch = SetAsideWatch::default();
        let begun = Instant::now();
        let due_after = |seconds| watch.due_at(begun + Duration::from_secs(seconds));
        let seen_after = |seconds, log_files| {
            watch.seen_at(
                begun + Duration::from_secs(seconds),
                "a",
                how_much(log_files),
            );
        };
        assert!(due_after(0).is_empty());
        assert!(watch.changed_at(begun, "a"));
        watch.is_due().await;
        assert!(begun.elapsed() < INTERVAL);
        assert_eq!(due_after(0), ["a"]);
        seen_after(0, 1);

        // The notes are not listed each time, no matter how much is set aside.
        for _ in 0..100 {
            assert!(!watch.changed_at(begun, "a"), "one warning is enough");
            assert!(due_after(59).is_empty());
        }
        assert!(watch.changed_at(begun + WARNING_INTERVAL, "a"));
        assert_eq!(due_after(60), ["a"]);
        seen_after(60, 2);

        // A count by the worker's own commit is as good as a check.
        seen_after(90, 2);
        assert!(due_after(120).is_empty());
        assert_eq!(due_after(150), ["a"]);

        // A failed check is repeated.
        assert_eq!(due_after(210), ["a"]);
        seen_after(210, 0);
        assert!(due_after(1000).is_empty());
    }
}
