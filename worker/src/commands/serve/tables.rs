//! The current tables of a worker: a table may be removed, recreated or repaired while the worker runs.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::alerts::AlertWatch;
use super::table_states::TableStates;
use crate::commands::alerts::Alerts;
use crate::feeds::{Feed, Feeds, Reopened, Trouble};
use crate::maintenance::{self, Finality, MaintenanceEvent};
use crate::metrics::Metrics;
use crate::set_aside_watch::SetAsideWatch;
use crate::sleep::sleep_or_stop;
use crate::table::definition::REJECTED_LINES;
use crate::table::{Root, Table, Version};
use logmill_shared::chain;

/// How often a worker checks whether a table is still the one that it opened.
pub(super) const WATCH_INTERVAL: Duration = Duration::from_mins(5);

/// All tables of a worker.
pub(super) struct Tables {
    root: Root,
    /// The tables as they were at startup.
    feeds: Feeds,
    served: Vec<Arc<ServedTable>>,
    /// Number of set-aside log files of each table, as last seen by this worker.
    pub(super) set_aside: SetAsideWatch,
    /// The problems of the tables.
    pub(super) states: TableStates,
    /// The alerts on the tables.
    pub(super) alerts: Arc<AlertWatch>,
    finality: Finality,
    metrics: Arc<Metrics>,
}

/// A table, which may be replaced by another of the same name, or get another generation.
pub(super) struct ServedTable {
    generations: RwLock<ServedGenerations>,
    /// Other generations have been opened.
    pub(super) reopened: Notify,
}

struct ServedGenerations {
    live: Arc<Feed>,
    next: Option<Arc<Feed>>,
    /// Ends the maintenance of the next generation.
    next_is_over: CancellationToken,
}

impl ServedTable {
    fn new(live: Arc<Feed>) -> Self {
        let generations = ServedGenerations {
            live,
            next: None,
            next_is_over: CancellationToken::new(),
        };
        Self {
            generations: RwLock::new(generations),
            reopened: Notify::new(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, ServedGenerations> {
        self.generations
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The table in its current state.
    pub(super) fn now(&self) -> Arc<Feed> {
        Arc::clone(&self.read().live)
    }

    /// Its next generation, if it has one, and what ends its maintenance.
    pub(super) fn next(&self) -> Option<(Arc<Feed>, CancellationToken)> {
        let generations = self.read();
        let next = generations.next.as_ref().map(Arc::clone)?;
        Some((next, generations.next_is_over.clone()))
    }

    fn replace(&self, live: Feed, next: Option<Feed>) {
        let mut generations = self
            .generations
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        generations.next_is_over.cancel();
        *generations = ServedGenerations {
            live: Arc::new(live),
            next: next.map(Arc::new),
            next_is_over: CancellationToken::new(),
        };
        self.reopened.notify_one();
    }

    /// Whether these are the generations that a version of the table names.
    pub(super) fn are_of(&self, version: &Version) -> bool {
        let generations = self.read();
        let live = generations.live.table();
        let next = generations.next.as_ref().map(|next| next.table());
        live.is_some_and(|live| live.is_live_in(version))
            && match (next, version.next()) {
                (None, None) => true,
                (Some(Some(next)), Some(_)) => next.is_next_of(version),
                // A generation that can't be fed is opened again.
                _ => false,
            }
    }
}

impl Tables {
    /// `troubles` are the problems of opening the tables.
    pub(super) fn new(
        root: Root,
        feeds: Feeds,
        troubles: &[Trouble],
        finality: Finality,
        alerts: Alerts,
        metrics: &Arc<Metrics>,
    ) -> Arc<Self> {
        for feed in &feeds.tables {
            metrics.trouble(feed.name(), false);
        }
        let states = TableStates::default();
        for trouble in troubles {
            log_trouble(trouble, metrics);
            states.trouble(trouble);
        }
        let mut served: Vec<ServedTable> = Vec::new();
        for feed in &feeds.tables {
            match served.last_mut() {
                Some(table) if feed.is_next() => {
                    let generations = table.generations.get_mut();
                    generations.unwrap_or_else(PoisonError::into_inner).next =
                        Some(Arc::clone(feed));
                }
                _ => served.push(ServedTable::new(Arc::clone(feed))),
            }
        }
        Arc::new(Self {
            served: served.into_iter().map(Arc::new).collect(),
            alerts: Arc::new(AlertWatch::new(alerts, &root, metrics)),
            root,
            feeds,
            set_aside: SetAsideWatch::default(),
            states,
            finality,
            metrics: Arc::clone(metrics),
        })
    }

    /// All tables.
    pub(super) fn served(&self) -> &[Arc<ServedTable>] {
        &self.served
    }

    /// All current generations that log files are staged for.
    pub(super) fn now(&self) -> Vec<Arc<Feed>> {
        let generations = self.served.iter().flat_map(|table| {
            let next = table.next().map(|(next, _)| next);
            [table.now()].into_iter().chain(next)
        });
        generations.collect()
    }

    /// The location of the tables.
    pub(super) fn root(&self) -> &Root {
        &self.root
    }

    /// The number of tables that have a rollup.
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

    /// Commits, compacts and vacuums a table's next generation, while it has one.
    pub(super) async fn maintain_next(
        self: Arc<Self>,
        table: Arc<ServedTable>,
        interval: Duration,
        stop: CancellationToken,
    ) -> Result<()> {
        while !stop.is_cancelled() {
            if let Some((next, is_over)) = table.next()
                && let Some(fed) = next.table()
            {
                let ends = stop.child_token();
                let end = async {
                    is_over.cancelled().await;
                    ends.cancel();
                    std::future::pending::<()>().await;
                };
                tokio::select! {
                    () = self.maintain_table(fed, interval, &ends) => {}
                    () = end => {}
                }
                if !ends.is_cancelled() {
                    // The next generation may be the live one by now.
                    self.reopen(&table).await;
                }
            }
            sleep_or_stop(interval, &stop).await;
        }
        Ok(())
    }

    async fn maintain_table(&self, table: &Table, interval: Duration, stop: &CancellationToken) {
        let name = &table.label();
        // Nobody reads a next generation, and the ledger of rejected lines contains few log files.
        let is_tracked = !table.is_next() && table.definition().name != REJECTED_LINES;
        let finality = is_tracked.then_some(&self.finality);
        maintenance::run(table, finality, interval, stop, |event| match event {
            MaintenanceEvent::Lease(is_held) => self.metrics.lease(name, is_held),
            MaintenanceEvent::Committed(committed, took) => {
                self.states.committed(name);
                self.metrics.committed(name, &committed, took)
            }
            MaintenanceEvent::SetAside(how_much) => {
                if !table.is_next() {
                    self.set_aside.seen(name, how_much);
                }
                self.metrics.set_aside(name, how_much);
            }
            MaintenanceEvent::CommitFailed(error) => {
                self.states.commit_failed(name, error);
                self.metrics.maintenance_failed(name);
            }
            MaintenanceEvent::HousekeepingFailed(error) => {
                self.metrics.housekeeping_failed(name, &error)
            }
            MaintenanceEvent::Final(until, late) => {
                self.alerts.is_final(name, until);
                let until = until.map(|until| until.timestamp());
                self.metrics.is_final(name, until, late);
            }
        })
        .await;
    }

    /// Checks periodically whether a table is still the one that was opened, and has the same generations. Commits to a replaced table
    /// set aside files that were staged for the old one; an early check keeps their number small.
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
                    Ok(version) => !table.are_of(&version),
                    Err(error) => error.is_replaced_table(),
                },
                None => true,
            };
            if must_reopen {
                self.reopen(&table).await;
            }
        }
    }

    /// Counts the set-aside log files of the tables.
    pub(super) async fn watch_set_aside(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        let (root, metrics) = (&self.root, &self.metrics);
        self.set_aside.watch(root, metrics, &stop).await;
        Ok(())
    }

    /// Opens the current state of a table.
    pub(super) async fn reopen(&self, table: &ServedTable) {
        let before = table.now();
        let name = before.name();
        match self.feeds.reopened(&self.root, name).await {
            Ok(Reopened {
                feed,
                next,
                trouble,
            }) => {
                match &trouble {
                    Some(trouble) => {
                        log_trouble(trouble, &self.metrics);
                        self.states.trouble(trouble);
                    }
                    None => {
                        self.metrics.trouble(name, false);
                        self.states.no_trouble(name);
                        tracing::info!(table = name, "table reopened");
                    }
                }
                if let Some(table) = feed.table().filter(|table| !table.is_next())
                    && table
                        .version()
                        .await
                        .is_ok_and(|version| version.is_untouched())
                {
                    let what = "the table is new and has no rows: it was removed or dropped while the worker ran";
                    self.metrics.failed("table_removed", name, what);
                }
                table.replace(feed, next);
            }
            Err(error) => {
                let error = chain(&error);
                self.metrics.trouble(name, true);
                tracing::error!(table = name, error, "table cannot be opened");
                self.states.trouble(&Trouble {
                    table: name.to_owned(),
                    what: error,
                    is_failure: true,
                });
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
