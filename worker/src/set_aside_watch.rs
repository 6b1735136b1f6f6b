//! Decides when a worker counts the log files that are set aside for its tables. Commits report what they have seen. But a
//! worker may set a log file aside for a table that another worker commits, and `logmill retry` puts it back in another
//! process. Listing the notes all the time would be too expensive.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::table::HowMuch;

/// The known state of tables, by name. Tables that are not in it most likely have nothing set aside.
#[derive(Debug)]
pub(crate) struct SetAsideWatch {
    /// Minimum time between two checks of one table.
    interval: Duration,
    tables: Mutex<HashMap<String, Known>>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Known {
    log_files: usize,
    /// A log file has been set aside since the last check.
    has_changed: bool,
    looked: Option<Instant>,
}

impl SetAsideWatch {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            tables: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Records that this worker has set aside a log file for the table.
    pub(crate) fn changed(&self, table: &str) {
        self.tables()
            .entry(table.to_owned())
            .or_default()
            .has_changed = true;
        self.changed.notify_one();
    }

    /// Records what was just found to be set aside for the table.
    pub(crate) fn seen(&self, table: &str, how_much: HowMuch) {
        self.seen_at(Instant::now(), table, how_much);
    }

    fn seen_at(&self, now: Instant, table: &str, how_much: HowMuch) {
        let known = Known {
            log_files: how_much.log_files,
            has_changed: false,
            looked: Some(now),
        };
        self.tables().insert(table.to_owned(), known);
    }

    /// Waits until a table may be due.
    pub(crate) async fn is_due(&self) {
        // Both outcomes are fine.
        let _ = timeout(self.interval, self.changed.notified()).await;
    }

    /// Returns the tables to check now. They count as checked even if the check fails.
    pub(crate) fn due(&self) -> Vec<String> {
        self.due_at(Instant::now())
    }

    fn due_at(&self, now: Instant) -> Vec<String> {
        let mut due = Vec::new();
        for (table, known) in self.tables().iter_mut() {
            let is_rested = known
                .looked
                .is_none_or(|looked| now.duration_since(looked) >= self.interval);
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

    const INTERVAL: Duration = Duration::from_secs(60);

    fn how_much(log_files: usize) -> HowMuch {
        HowMuch {
            log_files,
            oldest: Duration::ZERO,
        }
    }

    #[tokio::test]
    async fn a_table_is_looked_at_at_once_then_seldom_and_until_nothing_is_set_aside() {
        let watch = SetAsideWatch::new(INTERVAL);
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
        watch.changed("a");
        watch.is_due().await;
        assert!(begun.elapsed() < INTERVAL);
        assert_eq!(due_after(0), ["a"]);
        seen_after(0, 1);

        // The notes are not listed each time, no matter how much is set aside.
        for _ in 0..100 {
            watch.changed("a");
            assert!(due_after(59).is_empty());
        }
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
