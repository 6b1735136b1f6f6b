//! Alerts: conditions on the final rows of tables. A row that an alert's SQL returns is reported once: by a log line, a metric, and a
//! webhook.
//!
//! [`Alerts::evaluate`] has the order of steps that makes this at least once.

mod load;
mod state;
mod webhook;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use chrono::{DateTime, DurationRound, SecondsFormat, TimeDelta, Utc};
use logmill_shared::chain;
use object_store::ObjectStore;
use serde_json::Value;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::commands::query::final_rows::{FinalQuery, FinalRows, rows_until};
use crate::delivery::Records;
use crate::table::Root;

pub use load::InvalidAlert;
pub use state::Instance;
use state::State;
pub use webhook::Webhook;

/// How long the SQL of an alert may run.
const QUERY_MAX: Duration = Duration::from_secs(60);

/// Maximum number of rows of a result that are used. It bounds the state, which contains their ids.
const ROWS_MAX: usize = 1000;

/// Maximum number of new rows that an evaluation reports one by one. More rows mean a general problem, which a number describes
/// better.
const TOLD_MAX: usize = 20;

/// Maximum number of rows that an alert keeps for a webhook that does not accept them. An alert with this many is not evaluated until
/// the webhook accepts them.
const UNDELIVERED_MAX: usize = 200;

/// Rows this long before the last final hour are evaluated again, because a late log file may change them. Two days, so that they
/// include the row of a day when the day is over.
const LOOK_BACK: TimeDelta = TimeDelta::hours(48);

/// An alert: a `SELECT` that returns rows when something is wrong.
#[derive(Debug, Clone)]
pub struct Alert {
    /// The name of its file, without extension.
    pub name: String,
    sql: String,
    query: Arc<FinalQuery>,
}

impl Alert {
    /// The tables that it reads, sorted. The worker that commits the first one evaluates the alert.
    pub fn tables(&self) -> &[String] {
        &self.query.tables
    }

    fn table(&self) -> &str {
        &self.query.tables[0]
    }

    /// Its output columns: names, and types in Trino's words.
    pub fn columns(&self) -> &[(String, String)] {
        &self.query.columns
    }

    /// The output column that has the time of a row.
    pub fn time(&self) -> Option<&str> {
        self.query.time.as_deref()
    }
}

/// The alerts in a folder of rollups.
#[derive(Debug, Default)]
pub struct Alerts {
    /// Alerts that can be evaluated.
    pub alerts: Vec<Alert>,
    /// Alerts that can't.
    pub invalid: Vec<InvalidAlert>,
    /// Where new rows are sent.
    pub webhook: Option<Webhook>,
}

/// The result of an evaluation.
#[derive(Debug, Default)]
pub struct Evaluated {
    /// The time up to which rows were evaluated, if an hour has become final since the last evaluation.
    pub until: Option<DateTime<Utc>>,
    /// The reported rows. After a crash, some of them may have been reported before.
    pub told: Vec<Instance>,
    /// Number of new rows that were not reported one by one, because there are too many.
    pub more_rows: usize,
    /// Why the webhook has not accepted some rows. They are sent again with the next evaluation.
    pub undelivered: Option<String>,
}

/// The rows that an alert returns.
#[derive(Debug)]
pub struct Seen {
    /// They are final up to this time.
    pub until: DateTime<Utc>,
    /// Each row, as a JSON object.
    pub rows: Vec<String>,
    /// Whether there are more.
    pub has_more: bool,
}

/// Aborts a task when it is dropped.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Alerts {
    /// The alerts on a table. An alert on several tables belongs to the first of them.
    pub fn of_table<'a>(&'a self, table: &'a str) -> impl Iterator<Item = &'a Alert> {
        self.alerts
            .iter()
            .filter(move |alert| alert.table() == table)
    }

    /// Whether all alerts could be evaluated, and the webhook has accepted their rows.
    pub fn all_work(&self, evaluated: &[(String, Result<Evaluated>)]) -> bool {
        let works = |evaluated: &Result<Evaluated>| {
            let evaluated = evaluated.as_ref();
            evaluated.is_ok_and(|evaluated| evaluated.undelivered.is_none())
        };
        self.invalid.is_empty() && evaluated.iter().all(|(_, evaluated)| works(evaluated))
    }

    /// Evaluates an alert if another hour has become final, and reports its new rows. Their number is passed to `on_rows`.
    ///
    /// The order of steps: log lines and `on_rows`, the state with the rows that the webhook has not accepted, the webhook, the state
    /// without these rows. After a crash, the steps since the last write are repeated.
    ///
    /// # Errors
    ///
    /// The SQL fails or takes too long, a table can't be read, or the state can't be written.
    pub async fn evaluate(
        &self,
        root: &Root,
        alert: &Alert,
        on_rows: &(dyn Fn(usize) + Sync),
    ) -> Result<Evaluated> {
        let store = root.store()?;
        let mut state = State::read(&*store, alert).await?;
        let mut evaluated = Evaluated::default();
        match self.webhook.is_none() || state.undelivered.len() < UNDELIVERED_MAX {
            true => {
                let evaluated = &mut evaluated;
                self.advance(root, &*store, alert, &mut state, evaluated, on_rows)
                    .await?
            }
            false => tracing::warn!(
                alert = alert.name,
                rows = state.undelivered.len(),
                "alert not evaluated: the webhook has not accepted its last rows"
            ),
        }
        evaluated.undelivered = self.deliver(&*store, alert, &mut state).await?;
        Ok(evaluated)
    }

    async fn advance(
        &self,
        root: &Root,
        store: &dyn ObjectStore,
        alert: &Alert,
        state: &mut State,
        evaluated: &mut Evaluated,
        on_rows: &(dyn Fn(usize) + Sync),
    ) -> Result<()> {
        let until = final_until(root, alert.tables()).await?;
        let Some(until) = until.filter(|until| state.until.is_none_or(|before| before < *until))
        else {
            return Ok(());
        };
        evaluated.until = Some(until);
        let from = state.until.unwrap_or(until).min(until) - LOOK_BACK;
        let found = query(root, alert, until, from).await?;
        if found.has_more {
            tracing::warn!(
                alert = alert.name,
                rows_max = ROWS_MAX,
                "alert returns too many rows; only the first ones are used"
            );
        }
        let ids: Vec<String> = found.rows.iter().map(|row| alert.id(row)).collect();
        let rows = ids.iter().zip(&found.rows);
        let mut seen = state.told.clone();
        // The SQL may return a row twice.
        let mut new: Vec<_> = rows.filter(|(id, _)| seen.insert((*id).clone())).collect();
        evaluated.more_rows = new.len().saturating_sub(TOLD_MAX);
        new.truncate(TOLD_MAX);
        for (id, row) in new {
            let instance = alert.instance(id, row, until, evaluated.more_rows)?;
            tracing::warn!(
                alert = instance.alert, table = instance.table, id = instance.id, time = instance.time, row = %instance.row,
                final_until = instance.final_until, more_rows = instance.more_rows, "alert raised"
            );
            evaluated.told.push(instance);
        }
        on_rows(evaluated.told.len() + evaluated.more_rows);
        state.until = Some(until);
        state.told = ids.into_iter().collect();
        if self.webhook.is_some() {
            state.undelivered.extend(evaluated.told.iter().cloned());
        }
        state.write(store, alert).await
    }

    /// Sends the rows that the webhook has not accepted yet. Returns why some were not accepted.
    async fn deliver(
        &self,
        store: &dyn ObjectStore,
        alert: &Alert,
        state: &mut State,
    ) -> Result<Option<String>> {
        let Some(webhook) = &self.webhook else {
            return Ok(None);
        };
        let before = state.undelivered.len();
        let mut refused = None;
        while let Some(instance) = state.undelivered.first() {
            if let Err(error) = webhook.send(instance).await {
                refused = Some(format!("{error:#}"));
                break;
            }
            state.undelivered.remove(0);
        }
        if state.undelivered.len() < before {
            state.write(store, alert).await?;
        }
        Ok(refused)
    }

    /// Evaluates all alerts, one after the other. Returns the result of each, by its name.
    pub async fn evaluate_all(&self, tables: &str) -> Vec<(String, Result<Evaluated>)> {
        let mut all = Vec::new();
        if self.alerts.is_empty() {
            return all;
        }
        let root = Root::open(tables).await;
        for alert in &self.alerts {
            let evaluated = match &root {
                Ok(root) => self.evaluate(root, alert, &|_| {}).await,
                Err(error) => Err(anyhow!("{}", chain(error))),
            };
            all.push((alert.name.clone(), evaluated));
        }
        all
    }

    /// The rows that an alert returns now, of this time or later. Does not report them. `None` if no hour is final.
    ///
    /// # Errors
    ///
    /// The SQL fails or takes too long, or a table can't be read.
    pub async fn look(
        root: &Root,
        alert: &Alert,
        from: Option<DateTime<Utc>>,
    ) -> Result<Option<Seen>> {
        let Some(until) = final_until(root, alert.tables()).await? else {
            return Ok(None);
        };
        let from = from.unwrap_or(until - LOOK_BACK);
        let FinalRows { rows, has_more } = query(root, alert, until, from).await?;
        Ok(Some(Seen {
            until,
            rows,
            has_more,
        }))
    }
}

/// Runs the SQL of an alert in its own task, with a time limit. A panic of the task is an error.
async fn query(
    root: &Root,
    alert: &Alert,
    until: DateTime<Utc>,
    from: DateTime<Utc>,
) -> Result<FinalRows> {
    let (root, sql) = (root.clone(), alert.sql.clone());
    let query = async move { rows_until(&root, &sql, until, from, ROWS_MAX).await };
    let mut task = tokio::spawn(query);
    let _abort = AbortOnDrop(task.abort_handle());
    match timeout(QUERY_MAX, &mut task).await {
        Ok(rows) => rows.context("the SQL panicked")?,
        Err(_) => bail!(
            "the SQL has run for {} s and was stopped",
            QUERY_MAX.as_secs()
        ),
    }
}

/// The whole hour up to which the rows of all these tables are final. `None` if no hour is.
async fn final_until(root: &Root, tables: &[String]) -> Result<Option<DateTime<Utc>>> {
    let records = Records::of(root)?;
    let mut all: Option<DateTime<Utc>> = None;
    for table in tables {
        let read = async {
            let version = root.read(table).await?;
            records.of_version(table, &version).await
        };
        let record = read.await.with_context(|| format!("the table {table}"))?;
        let Some(until) = record.and_then(|record| record.final_until) else {
            return Ok(None);
        };
        all = Some(all.map_or(until, |all| all.min(until)));
    }
    let hour = all.map(|until| until.duration_trunc(TimeDelta::hours(1)));
    Ok(hour.transpose()?)
}

impl Alert {
    fn instance(
        &self,
        id: &str,
        row: &str,
        until: DateTime<Utc>,
        more_rows: usize,
    ) -> Result<Instance> {
        let values: serde_json::Map<String, Value> = serde_json::from_str(row)?;
        let time = self.time().and_then(|time| values.get(time)?.as_str());
        let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
        Ok(Instance {
            id: id.to_owned(),
            alert: self.name.clone(),
            table: self.table().to_owned(),
            time: time.map(str::to_owned),
            row: state::shortened(row, values)?,
            final_until: text(until),
            first_told: text(SystemTime::now().into()),
            more_rows,
        })
    }
}
