//! Makes tables available under every database's name: `events`, `weblogs.events` and `"AwsDataCatalog"."weblogs"."events"` are the
//! same table.

use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider};

/// The tables that each catalog and each database has.
#[derive(Debug, Clone)]
pub(super) struct EveryDatabase(pub(super) Arc<dyn SchemaProvider>);

impl CatalogProviderList for EveryDatabase {
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

impl CatalogProvider for EveryDatabase {
    fn schema_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn schema(&self, _: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::clone(&self.0))
    }
}
