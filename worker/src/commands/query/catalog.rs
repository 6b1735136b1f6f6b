//! The tables of a root, by name. A table is opened only when a query names it. A query therefore costs only what its own
//! tables cost, and a damaged table affects only queries that name it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::{TableType, ViewTable};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
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

/// The tables of a root, the two tables that show the ledgers, and the one that says up to when tables are final.
#[derive(Debug)]
pub(super) struct Tables {
    root: Root,
    names: Vec<String>,
    /// The time of the query.
    pub(super) now: DateTime<Utc>,
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
            opened: Mutex::default(),
        })
    }

    /// The error of a query whose data could not be read, if the reason does not say which table it was.
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
        let version = self.version(name).await?;
        match view(&self.root, name, &version).await? {
            Some(view) => Ok(Some(view.plan(scan(name, &version)?, self.now).await?)),
            None => Ok(None),
        }
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

/// The view over a table, if the table is not the result of its rollup's SQL.
async fn view(root: &Root, name: &str, version: &Version) -> Result<Option<View>> {
    // Tables that no rollup has made have no views.
    let lookups = version.lookup_files().await;
    let lookups = lookups.map_err(|error| unreadable(root, name, error))?;
    let rollup = Rollup::of_table(name, version.sql(), lookups, version.erased())
        .await
        .ok();
    Ok(rollup.and_then(|rollup| rollup.view().cloned()))
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
            let version = self.version(name).await?;
            let scan = scan(name, &version)?;
            return Ok(Some(match view(&self.root, name, &version).await? {
                Some(view) => {
                    let sql = view.sql(&format!("\"{name}{GROUPS}\""), Reader::Logmill);
                    Arc::new(ViewTable::new(view.plan(scan, self.now).await?, Some(sql)))
                }
                None => scan,
            }));
        }
        if let Some(table) = self.of_groups(name) {
            let version = self.version(table).await?;
            return match view(&self.root, table, &version).await? {
                Some(_) => Ok(Some(scan(table, &version)?)),
                None => Ok(None),
            };
        }
        let kind = match name {
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
