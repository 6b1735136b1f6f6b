//! The tables of a root, by name. A table is opened only when a query names it. So a query costs only as much as its own tables, and a
//! damaged table affects only queries that name it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::{Column, Result};
use datafusion::datasource::{TableType, ViewTable, provider_as_source};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};
use logmill_shared::chain;

use super::finality;
use super::ledgers::{Kind, Ledgers};
use super::scan::DeltaScan;
use crate::rollup::{Reader, Rollup, View};
use crate::table::definition::GROUPS;
use crate::table::definition::{FAILED_LINES, FINAL_UNTIL, LOG_FILES};
use crate::table::{Root, TableError, Version};

/// A table that a query needs and that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be read: {reason}\nQueries of other tables are not affected. {advice}")]
pub(super) struct Unreadable {
    what: String,
    reason: String,
    advice: String,
}

impl Unreadable {
    fn new(root: &Root, name: &str, error: TableError) -> Self {
        let what = format!("the table '{name}'");
        let advice = match &error {
            // The error already says what to do.
            TableError::Format { .. } => String::new(),
            _ => format!(
                "{} To exclude the table from queries of log_files and failed_lines, add WHERE \"table\" <> '{name}'.",
                advice(&format!("{}{name}/", root.url()))
            ),
        };
        let reason = chain(&error);
        Self {
            what,
            reason,
            advice,
        }
    }
}

fn advice(folder: &str) -> String {
    format!(
        "Move {folder} out of the folder of tables. If logmill created the table, `logmill run` over the logs \
         creates it again."
    )
}

/// Tables that exist in every root, unless an older table has the name.
const MADE: [&str; 3] = [LOG_FILES, FAILED_LINES, FINAL_UNTIL];

/// The tables of a root, the two tables that show the ledgers, and `final_until`.
#[derive(Debug)]
pub(super) struct Tables {
    root: Root,
    names: Vec<String>,
    /// The time of the query.
    pub(super) now: DateTime<Utc>,
    /// If only final rows are read: lines of this time or later may still arrive. Then only tables of rollups may be read.
    final_until: Option<DateTime<Utc>>,
    /// Tables that the query has opened.
    opened: Mutex<BTreeSet<String>>,
}

impl Tables {
    /// Lists the tables without opening them. They are read as at the time `now`.
    pub(super) async fn list(root: &Root, now: DateTime<Utc>) -> Result<Self, TableError> {
        Ok(Self {
            names: root.tables().await?,
            root: root.clone(),
            now,
            final_until: None,
            opened: Mutex::default(),
        })
    }

    /// The same tables without rows that may still change, because lines of this time or later may arrive. This is also the query's
    /// `now()`.
    pub(super) fn final_until(self, until: DateTime<Utc>) -> Self {
        Self {
            now: until,
            final_until: Some(until),
            ..self
        }
    }

    /// The error of a query whose data could not be read, if the reason does not name the table.
    pub(super) fn unreadable_data(&self, reason: &str) -> Option<Unreadable> {
        let opened = self.opened.lock().ok()?;
        let names: Vec<&str> = opened.iter().map(String::as_str).collect();
        let (what, folder) = match names[..] {
            [] => return None,
            [name] => (
                format!("the table '{name}'"),
                format!("{}{name}/", self.root.url()),
            ),
            _ => {
                let what = format!("one of the tables '{}'", names.join("', '"));
                (what, format!("its folder in {}", self.root.url()))
            }
        };
        Some(Unreadable {
            what,
            reason: reason.to_owned(),
            advice: advice(&folder),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The plan of the view with this name.
    pub(super) async fn view_plan(&self, name: &str) -> Result<Option<LogicalPlan>> {
        if !self.has(name) {
            return Ok(None);
        }
        let opened = self.open(name).await?;
        match opened.view() {
            Some(view) => Ok(Some(view.plan(opened.scan, self.now).await?)),
            None => Ok(None),
        }
    }

    /// Opens a table for reading, with its rollup.
    async fn open(&self, name: &str) -> Result<Opened> {
        let version = self.version(name).await?;
        let scan = scan(name, &version)?;
        let rollup = rollup(&self.root, name, &version).await?;
        let scan = match (self.final_until, &rollup) {
            (None, _) => scan,
            (Some(until), Some(rollup)) => final_rows(rollup, scan, until).await?,
            (Some(_), None) => return Err(never_final(name)),
        };
        Ok(Opened { scan, rollup })
    }

    async fn version(&self, name: &str) -> Result<Version> {
        let version = open(&self.root, name).await?;
        if let Ok(mut opened) = self.opened.lock() {
            opened.insert(name.to_owned());
        }
        Ok(version)
    }

    /// The table whose groups have this name.
    fn of_groups<'n>(&self, name: &'n str) -> Option<&'n str> {
        let table = name.strip_suffix(GROUPS)?;
        self.has(table).then_some(table)
    }

    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|other| other == name)
    }
}

fn scan(name: &str, version: &Version) -> Result<Arc<dyn TableProvider>> {
    let scan = DeltaScan::new(name, version);
    Ok(Arc::new(scan.map_err(|error| {
        DataFusionError::External(Box::new(error))
    })?))
}

/// A table that is read, and its rollup.
struct Opened {
    scan: Arc<dyn TableProvider>,
    /// `None` for a table that was not made by a rollup.
    rollup: Option<Rollup>,
}

impl Opened {
    /// The view over the table, if the table is not the result of its rollup's SQL.
    fn view(&self) -> Option<View> {
        self.rollup.as_ref()?.view().cloned()
    }
}

/// The rollup of a table.
async fn rollup(root: &Root, name: &str, version: &Version) -> Result<Option<Rollup>> {
    let lookups = version.lookup_files().await;
    let lookups = lookups.map_err(|error| unreadable(root, name, error))?;
    let rollup = Rollup::of_table(name, version.sql(), lookups, version.erased());
    Ok(rollup.await.ok())
}

/// The rows of a rollup's table that can't be changed by lines of this time or later.
pub(super) async fn final_rows(
    rollup: &Rollup,
    scan: Arc<dyn TableProvider>,
    until: DateTime<Utc>,
) -> Result<Arc<dyn TableProvider>> {
    let definition = rollup.definition();
    let end = rollup.time_key_at(until).await;
    let end = end.map_err(DataFusionError::Plan)?;
    let slot = Column::new_unqualified(&definition.columns[definition.slot_column].name);
    let rows = LogicalPlanBuilder::scan(&definition.name, provider_as_source(scan), None)?;
    let rows = rows.filter(Expr::Column(slot).lt(lit(end)))?.build()?;
    Ok(Arc::new(ViewTable::new(rows, None)))
}

/// The error of a query of final rows that names a table without a rollup.
pub(super) fn never_final(name: &str) -> DataFusionError {
    DataFusionError::Plan(format!(
        "the table {name} can't be read here: only tables of rollups have final hours"
    ))
}

/// Opens a table for reading. The error contains the table's name.
pub(super) async fn open(root: &Root, name: &str) -> Result<Version> {
    let opened = root.read(name).await;
    opened.map_err(|error| unreadable(root, name, error))
}

/// The error of a query that needs this table.
pub(super) fn unreadable(root: &Root, name: &str, error: TableError) -> DataFusionError {
    DataFusionError::External(Box::new(Unreadable::new(root, name, error)))
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.names.clone();
        let made = MADE.into_iter();
        names.extend(made.filter(|name| !self.has(name)).map(str::to_owned));
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        // A table may have been created under a reserved name before the name was reserved.
        if self.has(name) {
            let opened = self.open(name).await?;
            return Ok(Some(match opened.view() {
                Some(view) => {
                    let sql = view.sql(&format!("\"{name}{GROUPS}\""), Reader::Logmill);
                    let plan = view.plan(opened.scan, self.now).await?;
                    Arc::new(ViewTable::new(plan, Some(sql)))
                }
                None => opened.scan,
            }));
        }
        if let Some(table) = self.of_groups(name) {
            let opened = self.open(table).await?;
            return Ok(opened.view().map(|_| opened.scan));
        }
        let kind = match name {
            _ if self.final_until.is_some() && MADE.contains(&name) => {
                return Err(never_final(name));
            }
            LOG_FILES => Kind::LogFiles,
            FAILED_LINES => Kind::FailedLines,
            FINAL_UNTIL => return Ok(Some(finality::table(&self.root, &self.names).await?)),
            _ => return Ok(None),
        };
        let ledgers = Ledgers::new(kind, &self.root, &self.names);
        Ok(Some(Arc::new(ledgers)))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.has(name) || self.of_groups(name).is_some() || MADE.contains(&name)
    }
}
