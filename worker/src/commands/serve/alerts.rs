//! Evaluates alerts after commits: in a task of its own, one after the other, so that none holds up a commit.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::commands::alerts::{Alert, Alerts};
use crate::metrics::Metrics;
use crate::table::Root;

/// How often a table without new log files is looked at: hours become final by time alone, and a webhook may answer again.
const IDLE_INTERVAL: Duration = Duration::from_mins(1);

/// How long an alert that has failed is left alone, so that one that takes long does not run all the time.
const FAILED_WAIT: Duration = Duration::from_mins(5);

/// The alerts of a worker, and the tables whose alerts are due.
pub(super) struct AlertWatch {
    alerts: Alerts,
    root: Root,
    metrics: Arc<Metrics>,
    due: Mutex<Due>,
    is_due: Notify,
}

#[derive(Default)]
struct Due {
    tables: BTreeSet<String>,
    last: HashMap<String, Instant>,
}

impl AlertWatch {
    /// Logs alerts that can't be evaluated.
    pub(super) fn new(alerts: Alerts, root: &Root, metrics: &Arc<Metrics>) -> Self {
        for alert in &alerts.alerts {
            metrics.alert(&alert.name);
        }
        for invalid in &alerts.invalid {
            metrics.alert_failed(&invalid.name);
            tracing::error!(
                alert = invalid.name,
                reason = invalid.reason,
                "alert cannot be evaluated; other alerts and tables are not affected"
            );
        }
        Self {
            alerts,
            root: root.clone(),
            metrics: Arc::clone(metrics),
            due: Mutex::default(),
            is_due: Notify::new(),
        }
    }

    /// This worker has committed to a table, or has found nothing to commit.
    pub(super) fn committed(&self, table: &str, log_files: usize) {
        if self.alerts.of_table(table).next().is_none() {
            return;
        }
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |last: &Instant| last.elapsed() < IDLE_INTERVAL;
        if log_files == 0 && due.last.get(table).is_some_and(is_recent) {
            return;
        }
        due.last.insert(table.to_owned(), Instant::now());
        due.tables.insert(table.to_owned());
        self.is_due.notify_one();
    }

    /// Evaluates alerts that are due, until `stop` is cancelled.
    pub(super) async fn watch(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        let evaluate = async {
            let mut failed: HashMap<String, Instant> = HashMap::new();
            loop {
                self.is_due.notified().await;
                let due = || {
                    let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
                    std::mem::take(&mut due.tables)
                };
                for table in due() {
                    for alert in self.alerts.of_table(&table) {
                        let last = failed.remove(&alert.name);
                        if let Some(last) = last.filter(|last| last.elapsed() < FAILED_WAIT) {
                            failed.insert(alert.name.clone(), last);
                        } else if !self.evaluate(alert).await {
                            failed.insert(alert.name.clone(), Instant::now());
                        }
                    }
                }
            }
        };
        // What is cut off is done again by the next holder of the table's lease.
        stop.run_until_cancelled(evaluate).await;
        Ok(())
    }

    /// Returns whether the alert could be evaluated.
    async fn evaluate(&self, alert: &Alert) -> bool {
        let evaluated = self.alerts.evaluate(&self.root, alert).await;
        let is_evaluated = evaluated.is_ok();
        let failed = match evaluated {
            Ok(evaluated) => {
                let rows = evaluated.told.len() + evaluated.more_rows;
                self.metrics.alert_evaluated(&alert.name, rows as u64);
                evaluated.undelivered
            }
            Err(error) => Some(format!("{error:#}")),
        };
        if let Some(reason) = failed {
            self.metrics.alert_failed(&alert.name);
            tracing::warn!(alert = alert.name, reason, "alert failed; retrying");
        }
        is_evaluated
    }
}
