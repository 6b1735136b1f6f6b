//! The tables of a root, by name. A table is opened when a query names it, so that a query costs what its own tables
//! cost, and a damaged table fails only the queries that name it.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::Result;
use datafusion::datasource::TableType;
use datafusion::error::DataFusionError;

use super::ledgers::{Kind, Ledgers};
use super::scan::DeltaScan;
use crate::rollup::{FAILED_LINES, LOG_FILES};
use crate::table::{Root, TableError, Version};

/// A table that a query needs and that can't be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "the table '{name}' can't be read: {reason}\n\
     Queries that don't name it are not affected. {advice}"
)]
pub(super) struct Unreadable {
    name: String,
    reason: String,
    advice: String,
}

impl Unreadable {
    fn new(root: &Root, name: &str, error: TableError) -> Self {
        let folder = format!("{}{name}/", root.url());
        let advice = match &error {
            TableError::Format { .. } => String::new(),
            _ => format!(
                "To build it anew, move {folder} out of the folder of tables, and run `logmill run` over the logs. \
                 Queries of log_files and failed_lines leave it out with WHERE \"table\" <> '{name}'."
            ),
        };
        Self {
            name: name.to_owned(),
            reason: format!("{:#}", anyhow::Error::new(error)),
            advice,
        }
    }
}

/// The tables of a root, and the two that show what ledgers have.
#[derive(Debug)]
pub(super) struct Tables {
    root: Root,
    names: Vec<String>,
}

impl Tables {
    /// Lists the tables, and opens none.
    pub(super) async fn list(root: &Root) -> Result<Self, TableError> {
        Ok(Self {
            names: root.tables().await?,
            root: root.clone(),
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|other| other == name)
    }
}

/// Opens a table for reading. The error names it.
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
        let made = [LOG_FILES, FAILED_LINES].into_iter();
        names.extend(made.filter(|name| !self.has(name)).map(str::to_owned));
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        // A table may have been made under one of these names before they were reserved.
        if self.has(name) {
            let version = open(&self.root, name).await?;
            let scan = DeltaScan::new(name, &version)
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
            return Ok(Some(Arc::new(scan)));
        }
        let kind = match name {
            LOG_FILES => Kind::LogFiles,
            FAILED_LINES => Kind::FailedLines,
            _ => return Ok(None),
        };
        let ledgers = Ledgers::new(kind, &self.root, &self.names);
        Ok(Some(Arc::new(ledgers)))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        Ok(self.table_exist(name).then_some(TableType::Base))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.has(name) || [LOG_FILES, FAILED_LINES].contains(&name)
    }
}
