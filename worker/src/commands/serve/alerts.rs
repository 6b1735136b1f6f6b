//! Evaluates alerts whenever another hour becomes final: in their own task, one after the other, so that none delays a commit.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::commands::alerts::{Alert, Alerts};
use crate::metrics::Metrics;
use crate::table::Root;

/// How often the alerts of a table are due even if its final time has not changed: the final time of another table that they read may
/// have, and a webhook may answer again.
const IDLE_INTERVAL: Duration = Duration::from_mins(5);

/// Minimum time before a failed alert is evaluated again, so that a slow one does not run all the time.
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
    /// The final time of each table when its alerts were last due, and when that was.
    last: HashMap<String, (Option<DateTime<Utc>>, Instant)>,
}

impl AlertWatch {
    /// Logs alerts that can't be evaluated.
    pub(super) fn new(alerts: Alerts, root: &Root, metrics: &Arc<Metrics>) -> Self {
        for alert in &alerts.alerts {
            metrics.alert(&alert.name);
        }
        for invalid in &alerts.invalid {
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

    /// A table whose lease this worker holds is final up to this time.
    pub(super) fn is_final(&self, table: &str, until: Option<DateTime<Utc>>) {
        if self.alerts.of_table(table).next().is_none() {
            return;
        }
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |(last, then): &(Option<DateTime<Utc>>, Instant)| {
            *last == until && then.elapsed() < IDLE_INTERVAL
        };
        if due.last.get(table).is_some_and(is_same) {
            return;
        }
        due.last.insert(table.to_owned(), (until, Instant::now()));
        due.tables.insert(table.to_owned());
        self.is_due.notify_one();
    }

    /// Evaluates alerts that are due, until `stop` is cancelled.
    pub(super) async fn watch(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        let evaluate = async {
            let mut failed: HashMap<String, Instant> = HashMap::new();
            let mut next_invalid = Instant::now();
            loop {
                tokio::select! {
                    () = self.is_due.notified() => {}
                    () = sleep_until(next_invalid) => {}
                }
                if Instant::now() >= next_invalid {
                    // As often as one that is evaluated and fails.
                    next_invalid += FAILED_WAIT;
                    for invalid in &self.alerts.invalid {
                        self.metrics.alert_failed(&invalid.name, &invalid.reason);
                    }
                }
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
        // The next holder of the table's lease repeats an interrupted evaluation.
        stop.run_until_cancelled(evaluate).await;
        Ok(())
    }

    /// Returns whether the alert could be evaluated.
    async fn evaluate(&self, alert: &Alert) -> bool {
        let on_rows = |rows| self.metrics.alert_rows(&alert.name, rows as u64);
        let evaluated = self.alerts.evaluate(&self.root, alert, &on_rows).await;
        let is_evaluated = evaluated.is_ok();
        let failed = match evaluated {
            Ok(evaluated) => {
                self.metrics.alert_evaluated(&alert.name);
                evaluated.undelivered
            }
            Err(error) => Some(format!("{error:#}")),
        };
        if let Some(reason) = failed {
            self.metrics.alert_failed(&alert.name, &reason);
            tracing::warn!(alert = alert.name, reason, "alert failed; retrying");
        }
        is_evaluated
    }
}
