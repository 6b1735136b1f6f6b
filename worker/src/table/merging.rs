//! Merging rows of a table, in DataFusion: staged rows with each other, and the result with what the table has.

use std::sync::Arc;

use arrow::compute::{SortOptions, cast};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{SortExpr, ident};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use datafusion::physical_plan::sorts::streaming_merge::StreamingMergeBuilder;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use futures::{Stream, StreamExt, TryStreamExt};
use parquet::errors::ParquetError;

use super::Definition;
use crate::rollup::engine::{StreamPlan, sql_memory};
use crate::rollup::merge::merge_sql;

/// Rows at a time that two sorted streams are merged by.
const BATCH_ROWS: usize = 8192;

/// How the rows of one table are merged.
#[derive(Debug)]
pub(super) struct Merge {
    schema: SchemaRef,
    ordering: LexOrdering,
    /// Rows in any order become one row per group, sorted. Holds all groups in memory.
    gather: StreamPlan,
    /// Sorted rows become one row per group, sorted. Holds one group in memory at a time.
    fold: StreamPlan,
}

impl Merge {
    pub(super) async fn plan(definition: &Definition) -> Result<Self> {
        let schema = definition.row_schema();
        let keys = definition.sort_keys();
        let names = keys
            .iter()
            .map(|&key| definition.columns[key].name.as_str());
        let order: Vec<SortExpr> = names
            .clone()
            .map(|name| ident(name).sort(true, true))
            .collect();
        let order_by: Vec<String> = names
            .map(|name| format!("\"{name}\" ASC NULLS FIRST"))
            .collect();
        let columns = definition
            .columns
            .iter()
            .filter_map(|c| Some((c.name.as_str(), c.rule?)));
        let sql = format!(
            "{} ORDER BY {}",
            merge_sql(columns, "rows"),
            order_by.join(", ")
        );
        let statement = Parser::parse_sql(&GenericDialect {}, &sql)?.remove(0);
        let gather =
            StreamPlan::new(statement.clone(), "rows", Arc::clone(&schema), Vec::new()).await?;
        let fold = StreamPlan::new(statement, "rows", Arc::clone(&schema), order).await?;
        let options = SortOptions {
            descending: false,
            nulls_first: true,
        };
        let ordering = keys.iter().map(|&key| {
            let column = Column::new(&definition.columns[key].name, key);
            PhysicalSortExpr::new(Arc::new(column), options)
        });
        let ordering = LexOrdering::new(ordering).ok_or_else(|| {
            datafusion::common::internal_datafusion_err!("a table that merges has a group key")
        })?;
        Ok(Self {
            schema,
            ordering,
            gather,
            fold,
        })
    }

    /// Makes one row per group of rows in any order.
    pub(super) async fn gather(&self, rows: SendableRecordBatchStream) -> Result<Vec<RecordBatch>> {
        let merged = self.gather.run(rows).await?;
        conform_all(merged, Arc::clone(&self.schema))
            .try_collect()
            .await
    }

    /// Gathered rows as a stream.
    pub(super) fn stream(&self, gathered: Vec<RecordBatch>) -> SendableRecordBatchStream {
        let rows = futures::stream::iter(gathered.into_iter().map(Ok));
        Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            rows,
        ))
    }

    /// Makes one row per group of two sorted streams that each have one row per group.
    pub(super) async fn fold(
        &self,
        fresh: Vec<RecordBatch>,
        live: SendableRecordBatchStream,
    ) -> Result<SendableRecordBatchStream> {
        let sorted = StreamingMergeBuilder::new()
            .with_streams(vec![self.stream(fresh), live])
            .with_schema(Arc::clone(&self.schema))
            .with_expressions(&self.ordering)
            .with_metrics(BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0))
            .with_batch_size(BATCH_ROWS)
            .with_reservation(sql_memory("merging sorted rows"))
            .build()?;
        let merged = self.fold.run(sorted).await?;
        let schema = Arc::clone(&self.schema);
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&self.schema),
            conform_all(merged, schema),
        )))
    }
}

fn conform_all(
    rows: SendableRecordBatchStream,
    schema: SchemaRef,
) -> impl Stream<Item = Result<RecordBatch>> + Send {
    rows.map(move |batch| conform(&batch?, &schema))
}

/// Gives rows the types in which a table stores them.
pub(crate) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// Parquet's stream as one of DataFusion's.
pub(super) fn rows_of(
    schema: SchemaRef,
    rows: impl Stream<Item = Result<RecordBatch, ParquetError>> + Send + 'static,
) -> SendableRecordBatchStream {
    let types = Arc::clone(&schema);
    let rows = rows.map(move |batch| conform(&batch?, &types));
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::displayable;

    use super::*;
    use crate::rollup::Rollup;

    #[tokio::test]
    async fn sorted_rows_are_folded_group_by_group_and_not_sorted_again() {
        let sql = "SELECT elb_status_code AS status, \
                   date_trunc('minute', from_iso8601_timestamp(time)) AS minute, client_ip, \
                   count(*) AS n, approx_set(user_agent) AS agents, tdigest_agg(sent_bytes) AS sizes \
                   FROM alb_access_logs GROUP BY 1, 2, 3";
        let rollup = Rollup::from_sql("t", sql).await.unwrap();
        let merge = Merge::plan(rollup.definition()).await.unwrap();
        let plan = displayable(merge.fold.physical().as_ref())
            .indent(true)
            .to_string();
        assert!(plan.contains("ordering_mode=Sorted"), "{plan}");
        assert!(!plan.contains("SortExec"), "{plan}");
        let plan = displayable(merge.gather.physical().as_ref())
            .indent(true)
            .to_string();
        assert!(plan.contains("SortExec"), "{plan}");
    }
}
