//! The tables that a worker serves, as they are now: a table may be removed, recreated or repaired while the worker runs.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use crate::feeds::{Feed, Feeds, Trouble};
use crate::maintenance::{self, MaintenanceEvent};
use crate::metrics::Metrics;
use crate::set_aside_watch::SetAsideWatch;
use crate::sleep::sleep_or_stop;
use crate::table::{Root, Table};
use logmill_shared::chain;

/// How often a worker checks whether a table is still the one that it opened.
const WATCH_INTERVAL: Duration = Duration::from_mins(5);

/// All tables of a worker.
pub(super) struct Tables {
    root: Root,
    /// The tables as they were at startup.
    feeds: Feeds,
    served: Vec<Arc<ServedTable>>,
    /// Number of set-aside log files of each table, as last seen by this worker.
    pub(super) set_aside: SetAsideWatch,
    metrics: Arc<Metrics>,
}

/// A table, which may be replaced by another of the same name.
pub(super) struct ServedTable {
    now: RwLock<Arc<Feed>>,
}

impl ServedTable {
    /// The table in its current state.
    pub(super) fn now(&self) -> Arc<Feed> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, feed: Feed) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(feed);
    }
}

impl Tables {
    /// `troubles` are those of opening the tables.
    pub(super) fn new(
        root: Root,
        feeds: Feeds,
        troubles: &[Trouble],
        metrics: &Arc<Metrics>,
    ) -> Arc<Self> {
        for feed in &feeds.tables {
            metrics.trouble(feed.name(), false);
        }
        for trouble in troubles {
            log_trouble(trouble, metrics);
        }
        let served = feeds.tables.iter().cloned().map(RwLock::new);
        Arc::new(Self {
            served: served.map(|now| Arc::new(ServedTable { now })).collect(),
            root,
            feeds,
            set_aside: SetAsideWatch::default(),
            metrics: Arc::clone(metrics),
        })
    }

    /// All tables.
    pub(super) fn served(&self) -> &[Arc<ServedTable>] {
        &self.served
    }

    /// All tables in their current state.
    pub(super) fn now(&self) -> Vec<Arc<Feed>> {
        self.served.iter().map(|table| table.now()).collect()
    }

    /// The number of tables that are the results of rollups.
    pub(super) fn rollup_count(&self) -> usize {
        let of_lines = |feed: &&Arc<Feed>| matches!(***feed, Feed::RejectedLines(_));
        self.served.len() - self.feeds.tables.iter().filter(of_lines).count()
    }

    /// Commits, compacts and vacuums a table.
    pub(super) async fn maintain(
        self: Arc<Self>,
        table: Arc<ServedTable>,
        interval: Duration,
        stop: CancellationToken,
    ) -> Result<()> {
        while !stop.is_cancelled() {
            match table.now().table() {
                Some(fed) => {
                    self.maintain_table(fed, interval, &stop).await;
                    if !stop.is_cancelled() {
                        self.reopen(&table).await;
                    }
                }
                // `watch` reopens it.
                None => sleep_or_stop(interval, &stop).await,
            }
        }
        Ok(())
    }

    async fn maintain_table(&self, table: &Table, interval: Duration, stop: &CancellationToken) {
        let name = &table.definition().name;
        maintenance::run(table, interval, stop, |event| match event {
            MaintenanceEvent::Lease(is_held) => self.metrics.lease(name, is_held),
            MaintenanceEvent::Committed(committed, took) => {
                self.metrics.committed(name, &committed, took)
            }
            MaintenanceEvent::SetAside(how_much) => {
                self.set_aside.seen(name, how_much);
                self.metrics.set_aside(name, how_much);
            }
            MaintenanceEvent::Failed => self.metrics.maintenance_failed(name),
        })
        .await;
    }

    /// Checks periodically whether a table is still the one that was opened. Commits to a replaced table set aside what was
    /// staged for the old one; an early check keeps this to few log files.
    pub(super) async fn watch(
        self: Arc<Self>,
        table: Arc<ServedTable>,
        stop: CancellationToken,
    ) -> Result<()> {
        loop {
            sleep_or_stop(WATCH_INTERVAL, &stop).await;
            if stop.is_cancelled() {
                return Ok(());
            }
            let must_reopen = match table.now().table() {
                Some(fed) => match fed.version().await {
                    Ok(_) => false,
                    Err(error) => error.is_replaced_table(),
                },
                None => true,
            };
            if must_reopen {
                self.reopen(&table).await;
            }
        }
    }

    /// Counts what is set aside for the tables.
    pub(super) async fn watch_set_aside(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        let (root, metrics) = (&self.root, &self.metrics);
        self.set_aside.watch(root, metrics, &stop).await;
        Ok(())
    }

    /// Opens a table in its current state.
    async fn reopen(&self, table: &ServedTable) {
        let before = table.now();
        let name = before.name();
        match self.feeds.reopened(&self.root, name).await {
            Ok((feed, trouble)) => {
                match &trouble {
                    Some(trouble) => log_trouble(trouble, &self.metrics),
                    None => {
                        self.metrics.trouble(name, false);
                        tracing::info!(table = name, "table reopened");
                    }
                }
                table.replace(feed);
            }
            Err(error) => {
                self.metrics.trouble(name, true);
                tracing::error!(
                    table = name,
                    error = chain(&error),
                    "table cannot be opened"
                );
            }
        }
    }
}

/// Logs a problem with a rollup or a table, and sets its metric.
fn log_trouble(trouble: &Trouble, metrics: &Metrics) {
    let Trouble {
        table,
        what,
        is_failure,
    } = trouble;
    metrics.trouble(table, true);
    match is_failure {
        true => {
            tracing::error!(%table, what, "problem with a table; other tables are not affected")
        }
        false => {
            tracing::warn!(%table, what, "rollup file not used: the table continues with the SQL stored in it")
        }
    }
}
