//! Lookups in a folder of rollups, which a query may join as tables.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::MemTable;

use crate::rollup::lookup_rows;

/// The lookups of a folder, in addition to other tables. A lookup is read only when a query names it.
#[derive(Debug)]
pub(super) struct WithLookups {
    pub(super) tables: Arc<dyn SchemaProvider>,
    pub(super) folder: String,
}

/// The tables and, if there is a folder of lookups, the lookups too.
pub(super) fn with_lookups(
    tables: Arc<dyn SchemaProvider>,
    folder: Option<&str>,
) -> Arc<dyn SchemaProvider> {
    match folder {
        Some(folder) => Arc::new(WithLookups {
            tables,
            folder: folder.to_owned(),
        }),
        None => tables,
    }
}

#[async_trait]
impl SchemaProvider for WithLookups {
    fn table_names(&self) -> Vec<String> {
        self.tables.table_names()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if self.tables.table_exist(name) {
            return self.tables.table(name).await;
        }
        let rows = lookup_rows(&self.folder, name).await;
        let rows = rows.map_err(|error| DataFusionError::External(error.into()))?;
        match rows {
            Some(rows) => {
                let table = MemTable::try_new(rows.schema(), vec![vec![rows]])?;
                Ok(Some(Arc::new(table)))
            }
            // The error lists the existing tables.
            None => self.tables.table(name).await,
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.table_exist(name)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use datafusion::catalog::MemorySchemaProvider;
    use datafusion::catalog::streaming::StreamingTable;
    use datafusion::execution::{SendableRecordBatchStream, TaskContext};
    use datafusion::physical_plan::displayable;
    use datafusion::physical_plan::stream::EmptyRecordBatchStream;
    use datafusion::physical_plan::streaming::PartitionStream;

    use super::*;
    use crate::commands::query::session;

    /// A table of unknown size, like a table of log lines.
    #[derive(Debug)]
    struct Lines(arrow::datatypes::SchemaRef);

    impl PartitionStream for Lines {
        fn schema(&self) -> &arrow::datatypes::SchemaRef {
            &self.0
        }

        fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
            Box::pin(EmptyRecordBatchStream::new(Arc::clone(&self.0)))
        }
    }

    #[tokio::test]
    async fn a_join_keeps_the_lookup_in_memory_and_not_the_lines() {
        let folder = tempfile::tempdir().unwrap();
        let rows: String = (0..200_000)
            .map(|n| format!("key{n},a longer value\n"))
            .collect();
        fs::write(folder.path().join("names.csv"), format!("k,v\n{rows}")).unwrap();
        let folder = folder.path().to_str().unwrap();
        let schema = lookup_rows(folder, "names")
            .await
            .unwrap()
            .unwrap()
            .schema();
        let lines = StreamingTable::try_new(Arc::clone(&schema), vec![Arc::new(Lines(schema))]);
        let tables = MemorySchemaProvider::new();
        tables
            .register_table("lines".to_owned(), Arc::new(lines.unwrap()))
            .unwrap();
        let context = session(Arc::new(tables), Some(folder)).unwrap();
        for join in ["JOIN", "LEFT JOIN"] {
            let sql = format!("SELECT n.v FROM w.lines l {join} w.names n ON n.k = l.k");
            let plan = context.state().create_logical_plan(&sql).await.unwrap();
            let plan = context.state().create_physical_plan(&plan).await.unwrap();
            let plan = displayable(&*plan).indent(false).to_string();
            let (_, inputs) = plan.split_once("HashJoinExec").unwrap();
            let (kept, streamed) = inputs.split_once("StreamingTableExec").unwrap();
            assert!(
                kept.contains("mode=CollectLeft") && kept.contains("DataSourceExec"),
                "{plan}"
            );
            assert!(!streamed.contains("DataSourceExec"), "{plan}");
        }
    }
}
