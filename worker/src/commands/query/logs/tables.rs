//! The log tables, under every database's name: `alb_access_logs`, `weblogs.alb_access_logs` and
//! `"AwsDataCatalog"."weblogs"."alb_access_logs"` are the same table.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::{Result, plan_err};

use super::Logs;
use super::table::LogTable;
use crate::format::{FORMATS, LogFormat};

/// The log tables over the same log files.
#[derive(Debug, Clone)]
pub(super) struct LogTables(pub(super) Arc<Logs>);

impl CatalogProviderList for LogTables {
    fn register_catalog(
        &self,
        _: String,
        _: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn catalog(&self, _: &str) -> Option<Arc<dyn CatalogProvider>> {
        Some(Arc::new(self.clone()))
    }
}

impl CatalogProvider for LogTables {
    fn schema_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn schema(&self, _: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(self.clone()))
    }
}

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
