//! The log tables.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::{Result, plan_err};

use super::Logs;
use super::table::LogTable;
use crate::format::{FORMATS, LogFormat};

/// The log tables over the same log files.
#[derive(Debug)]
pub(super) struct LogTables(pub(super) Arc<Logs>);

#[async_trait]
impl SchemaProvider for LogTables {
    fn table_names(&self) -> Vec<String> {
        FORMATS.map(|format| format.table.to_owned()).to_vec()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match LogFormat::of_table(&name.to_ascii_lowercase()) {
            Some(format) => Ok(Some(Arc::new(LogTable::new(format, Arc::clone(&self.0))))),
            None => plan_err!(
                "there is no log table '{name}': FROM must name one of {}",
                self.table_names().join(", ")
            ),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        LogFormat::of_table(&name.to_ascii_lowercase()).is_some()
    }
}
