//! Merges rows of a table: sorted streams of staged and live rows become one stream, with one row per group.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, new_null_array};
use arrow::compute::{SortOptions, cast, filter_record_batch, interleave_record_batch, not};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::row::{Row, RowConverter, SortField};
use async_stream::try_stream;
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, UnboundedMemoryPool};
use datafusion::logical_expr::{SortExpr, ident};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use datafusion::physical_plan::sorts::streaming_merge::StreamingMergeBuilder;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use futures::{Stream, StreamExt, TryStreamExt};

use super::definition::{DATE_COLUMN, IS_OTHER_COLUMN};
use super::merge_rule::{MergeRule, merge_sql};
use super::parquet_file::Size;
use super::slot::{Slot, runs};
use super::{Definition, TableError};
use crate::engine::StreamPlan;

const SORTED: SortOptions = SortOptions {
    descending: false,
    nulls_first: true,
};

/// The column that marks, during a merge, the groups that are in the table already.
const LIVE: &str = "is live";

/// Folded rows of one time that are held before they are merged with each other, and their size in bytes.
const FOLDED_ROWS_MAX: u64 = 8192;
const FOLDED_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How the rows of one table are merged.
#[derive(Debug)]
pub(super) struct Merge {
    schema: SchemaRef,
    ordering: LexOrdering,
    slot_column: usize,
    is_other: Option<usize>,
    /// Group keys other than the time and `is_other`.
    other_keys: Vec<usize>,
    /// Folds sorted rows into one row per group, sorted. Holds one group in memory at a time.
    fold: StreamPlan,
    /// The same for rows that are tagged as live or not.
    fold_tagged: Option<StreamPlan>,
}

/// The remaining room of a slot for new groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) groups: u64,
    pub(super) bytes: u64,
}

/// The remaining room of all slots that rows may belong to.
#[derive(Debug)]
pub(super) struct Rooms {
    /// Slots that have groups.
    pub(super) of: BTreeMap<Slot, Room>,
    /// Any other slot.
    pub(super) elsewhere: Room,
}

impl Merge {
    pub(super) async fn plan(definition: &Definition) -> Result<Self> {
        let schema = definition.row_schema();
        let keys = definition.sort_keys();
        let is_other = definition.is_other();
        let names: Vec<&str> = keys
            .iter()
            .map(|&key| definition.columns[key].name.as_str())
            .collect();
        let columns: Vec<(&str, MergeRule)> = definition
            .columns
            .iter()
            .filter_map(|c| Some((c.name.as_str(), c.rule.clone()?)))
            .collect();
        let fold = plan_fold(&columns, &names, Arc::clone(&schema)).await?;
        let fold_tagged = match is_other {
            Some(_) => {
                let tagged = columns.iter().cloned().chain([(LIVE, MergeRule::BoolOr)]);
                let columns: Vec<_> = tagged.collect();
                Some(plan_fold(&columns, &names, tagged_schema(&schema)).await?)
            }
            None => None,
        };
        let ordering = keys.iter().map(|&key| {
            let column = Column::new(&definition.columns[key].name, key);
            PhysicalSortExpr::new(Arc::new(column), SORTED)
        });
        let ordering = LexOrdering::new(ordering).ok_or_else(|| {
            datafusion::common::internal_datafusion_err!(
                "a table that merges rows has no group key"
            )
        })?;
        let is_plain = |key: &usize| *key != definition.slot_column && Some(*key) != is_other;
        Ok(Self {
            schema,
            ordering,
            slot_column: definition.slot_column,
            is_other,
            other_keys: keys.into_iter().filter(is_plain).collect(),
            fold,
            fold_tagged,
        })
    }

    /// Merges sorted streams that each have one row per group into one such stream. `size` is the total size of their rows.
    pub(super) async fn fold(
        &self,
        sorted: Vec<SendableRecordBatchStream>,
        size: Size,
    ) -> Result<SendableRecordBatchStream> {
        let merged = self.merged(sorted, Arc::clone(&self.schema), size)?;
        self.folded(&self.fold, merged, Arc::clone(&self.schema))
            .await
    }

    /// The same for fresh and live rows, if slots may be full. The rows of groups that are not live, and for which there is no
    /// room, are folded: each time has one row that represents all such groups.
    pub(super) async fn fold_within(
        &self,
        fresh: Vec<SendableRecordBatchStream>,
        live: SendableRecordBatchStream,
        rooms: Rooms,
        size: Size,
    ) -> Result<SendableRecordBatchStream> {
        let (Some(fold_tagged), Some(is_other)) = (&self.fold_tagged, self.is_other) else {
            let mut sorted = fresh;
            sorted.push(live);
            return self.fold(sorted, size).await;
        };
        let schema = tagged_schema(&self.schema);
        let mut sorted = Vec::with_capacity(fresh.len() + 1);
        for rows in fresh {
            sorted.push(tagged(rows, Arc::clone(&schema), false));
        }
        sorted.push(tagged(live, Arc::clone(&schema), true));
        let merged = self.merged(sorted, Arc::clone(&schema), size)?;
        let groups = self.folded(fold_tagged, merged, schema).await?;
        let within = Within {
            schema: Arc::clone(&self.schema),
            slot_column: self.slot_column,
            is_other,
            other_keys: self.other_keys.clone(),
            rooms,
        };
        // Folded rows have equal keys and are at the position of the row that represents them, so the same fold makes one row
        // of them.
        let rows = within.fold_beyond(groups, self.fold.clone());
        let rows = RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows);
        self.folded(&self.fold, Box::pin(rows), Arc::clone(&self.schema))
            .await
    }

    fn merged(
        &self,
        mut sorted: Vec<SendableRecordBatchStream>,
        schema: SchemaRef,
        size: Size,
    ) -> Result<SendableRecordBatchStream> {
        match sorted.len() {
            0 => {
                let none = futures::stream::empty();
                return Ok(Box::pin(RecordBatchStreamAdapter::new(schema, none)));
            }
            1 => return Ok(sorted.swap_remove(0)),
            _ => {}
        }
        let memory: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        StreamingMergeBuilder::new()
            .with_streams(sorted)
            .with_schema(schema)
            .with_expressions(&self.ordering)
            .with_metrics(BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0))
            .with_batch_size(size.batch_rows())
            .with_reservation(MemoryConsumer::new("merging sorted rows").register(&memory))
            .build()
    }

    async fn folded(
        &self,
        fold: &StreamPlan,
        sorted: SendableRecordBatchStream,
        schema: SchemaRef,
    ) -> Result<SendableRecordBatchStream> {
        let folded = fold.run(sorted).await?;
        let types = Arc::clone(&schema);
        let rows = folded.map(move |batch| conform(&batch?, &types));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }
}

/// Plans a fold: one row per group, of rows that are sorted by these keys.
async fn plan_fold(
    columns: &[(&str, MergeRule)],
    keys: &[&str],
    schema: SchemaRef,
) -> Result<StreamPlan> {
    let order: Vec<SortExpr> = keys
        .iter()
        .map(|name| ident(*name).sort(true, true))
        .collect();
    let order_by: Vec<String> = keys
        .iter()
        .map(|name| format!("\"{name}\" ASC NULLS FIRST"))
        .collect();
    let sql = format!(
        "{} ORDER BY {}",
        merge_sql(columns.iter().cloned(), "rows"),
        order_by.join(", ")
    );
    let statement = Parser::parse_sql(&GenericDialect {}, &sql)?.remove(0);
    StreamPlan::new(statement, "rows", schema, order).await
}

fn tagged_schema(schema: &Schema) -> SchemaRef {
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(LIVE, DataType::Boolean, true)));
    Arc::new(Schema::new(fields))
}

fn tagged(
    rows: SendableRecordBatchStream,
    schema: SchemaRef,
    is_live: bool,
) -> SendableRecordBatchStream {
    let fields = Arc::clone(&schema);
    let rows = rows.map(move |batch| {
        let batch = batch?;
        let mut columns = batch.columns().to_vec();
        columns.push(Arc::new(BooleanArray::from(vec![
            is_live;
            batch.num_rows()
        ])));
        Ok(RecordBatch::try_new(Arc::clone(&fields), columns)?)
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

/// Decides which groups a slot has room for.
struct Within {
    schema: SchemaRef,
    slot_column: usize,
    is_other: usize,
    other_keys: Vec<usize>,
    rooms: Rooms,
}

impl Within {
    /// Sorted rows, one per tagged group. Rows for which there is no room lose their keys. They are moved after the other rows
    /// of their time, to the position of the row that represents them.
    fn fold_beyond(
        mut self,
        mut groups: SendableRecordBatchStream,
        fold: StreamPlan,
    ) -> impl Stream<Item = Result<RecordBatch>> + Send {
        try_stream! {
            let mut folded: Vec<RecordBatch> = Vec::new();
            while let Some(batch) = groups.try_next().await? {
                let kept = self.kept(&batch)?;
                let columns: Vec<usize> = (0..self.schema.fields().len()).collect();
                let batch = batch.project(&columns)?;
                // Usually there is room for all rows, and nothing moves.
                if folded.is_empty() && kept.true_count() == kept.len() {
                    yield batch;
                    continue;
                }
                for range in by_time(&batch, self.slot_column)? {
                    let rows = batch.slice(range.start, range.len());
                    let kept = kept.slice(range.start, range.len());
                    if let Some(last) = folded.first() && !same_time(last, &rows, self.slot_column)? {
                        for rows in folded.drain(..) {
                            yield rows;
                        }
                    }
                    if kept.true_count() < kept.len() {
                        folded.push(self.without_keys(&filter_record_batch(&rows, &not(&kept)?)?)?);
                        let held = Size::of(&folded);
                        if held.rows > FOLDED_ROWS_MAX || held.bytes > FOLDED_BYTES_MAX {
                            let many = futures::stream::iter(std::mem::take(&mut folded).into_iter().map(Ok));
                            let many = RecordBatchStreamAdapter::new(Arc::clone(&self.schema), many);
                            let mut one = fold.run(Box::pin(many)).await?;
                            while let Some(rows) = one.try_next().await? {
                                folded.push(conform(&rows, &self.schema)?);
                            }
                        }
                    }
                    // Within a time, the row of other groups is last.
                    let (groups, others) = self.others_last(&filter_record_batch(&rows, &kept)?)?;
                    if groups.num_rows() > 0 {
                        yield groups;
                    }
                    if others.num_rows() > 0 {
                        folded.push(others);
                    }
                }
            }
            for rows in folded {
                yield rows;
            }
        }
    }

    /// Marks the rows that keep their keys: live rows, rows that represent other groups, and as many more as there is room
    /// for.
    fn kept(&mut self, batch: &RecordBatch) -> Result<BooleanArray> {
        let live = batch.column(batch.num_columns() - 1).as_boolean();
        let is_other = batch.column(self.is_other).as_boolean();
        let size = Size::of(std::slice::from_ref(batch));
        let bytes = size.bytes / size.rows.max(1);
        let mut kept = Vec::with_capacity(batch.num_rows());
        for (slot, rows) in runs(batch.column(self.slot_column)) {
            let room = self.rooms.of.entry(slot).or_insert(self.rooms.elsewhere);
            for row in rows {
                let has_place = live.value(row) || is_other.value(row);
                let has_room = room.groups > 0 && room.bytes > 0;
                if !has_place && has_room {
                    room.groups -= 1;
                    room.bytes = room.bytes.saturating_sub(bytes);
                }
                kept.push(has_place || has_room);
            }
        }
        Ok(BooleanArray::from(kept))
    }

    fn without_keys(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let mut columns = rows.columns().to_vec();
        for &key in &self.other_keys {
            columns[key] = new_null_array(columns[key].data_type(), rows.num_rows());
        }
        columns[self.is_other] = Arc::new(BooleanArray::from(vec![true; rows.num_rows()]));
        Ok(RecordBatch::try_new(rows.schema(), columns)?)
    }

    fn others_last(&self, rows: &RecordBatch) -> Result<(RecordBatch, RecordBatch)> {
        let is_other = rows.column(self.is_other).as_boolean();
        // Within a time, rows are sorted by `is_other`.
        let groups = (0..rows.num_rows())
            .position(|row| is_other.value(row))
            .unwrap_or(rows.num_rows());
        Ok((
            rows.slice(0, groups),
            rows.slice(groups, rows.num_rows() - groups),
        ))
    }
}

/// The range of rows of each time in a sorted batch.
fn by_time(batch: &RecordBatch, time: usize) -> Result<Vec<Range<usize>>> {
    Ok(arrow::compute::partition(&[Arc::clone(batch.column(time))])?.ranges())
}

fn same_time(left: &RecordBatch, right: &RecordBatch, time: usize) -> Result<bool> {
    let of = |batch: &RecordBatch| ScalarValue::try_from_array(batch.column(time), 0);
    Ok(of(left)? == of(right)?)
}

/// Sorts rows by these columns, into batches of a bounded size.
pub(super) fn sorted(batches: Vec<RecordBatch>, keys: &[usize]) -> Result<Vec<RecordBatch>> {
    let Some(first) = batches.first() else {
        return Ok(batches);
    };
    let fields = keys.iter().map(|&key| {
        let data_type = first.column(key).data_type().clone();
        SortField::new_with_options(data_type, SORTED)
    });
    // Encode keys as bytes that sort like the rows: comparing them is faster than comparing column by column.
    let converter = RowConverter::new(fields.collect())?;
    let mut bytes = converter.empty_rows(0, 0);
    for batch in &batches {
        let columns: Vec<ArrayRef> = keys.iter().map(|&key| batch.column(key).clone()).collect();
        converter.append(&mut bytes, &columns)?;
    }
    // The position of each row: its batch, and its index in the batch.
    let places = batches
        .iter()
        .enumerate()
        .flat_map(|(number, batch)| (0..batch.num_rows()).map(move |row| (number, row)));
    let mut order: Vec<(Row, (usize, usize))> = bytes.iter().zip(places).collect();
    order.sort_unstable();
    let order: Vec<(usize, usize)> = order.into_iter().map(|(_, place)| place).collect();
    let size = Size::of(&batches);
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    let parts = order.chunks(size.batch_rows());
    let rows = parts.map(|part| Ok(interleave_record_batch(&batches, part)?));
    rows.collect()
}

/// Casts rows to the types in which a table stores them.
pub(super) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// Turns rows read from Parquet into rows of a table. `date` is the partition's value, for a data file.
pub(super) fn rows_of(
    definition: &Definition,
    date: Option<Option<String>>,
    rows: impl Stream<Item = std::result::Result<RecordBatch, TableError>> + Send + 'static,
) -> SendableRecordBatchStream {
    let schema = definition.row_schema();
    let states: Vec<(usize, usize)> = definition.exact_sums().collect();
    let complete = Complete {
        schema: Arc::clone(&schema),
        states: states
            .into_iter()
            .map(|(sum, state)| (state, sum))
            .collect(),
        date,
    };
    let rows = rows.map(move |batch| {
        let batch = batch.map_err(|error| DataFusionError::External(Box::new(error)))?;
        complete.rows(&batch)
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, rows))
}

/// Adds table columns that the rows of a file lack: the partition column, and those that format 1 did not have.
struct Complete {
    schema: SchemaRef,
    /// The column of each exact state, and the column of its sum.
    states: BTreeMap<usize, usize>,
    date: Option<Option<String>>,
}

impl Complete {
    fn rows(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let fields = self.schema.fields().iter().enumerate();
        let columns = fields.map(|(index, field)| self.column(batch, index, field));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    fn column(&self, batch: &RecordBatch, index: usize, field: &Field) -> Result<ArrayRef> {
        let rows = batch.num_rows();
        if let Some(column) = batch.column_by_name(field.name()) {
            return Ok(cast(column, field.data_type())?);
        }
        if let Some(sum) = self.states.get(&index) {
            let sum = self.column(batch, *sum, self.schema.field(*sum))?;
            return Ok(cast(&sum, field.data_type())?);
        }
        Ok(match (field.name().as_str(), &self.date) {
            (DATE_COLUMN, Some(date)) => {
                let date = arrow::array::StringArray::from(vec![date.as_deref(); rows]);
                cast(&date, field.data_type())?
            }
            (IS_OTHER_COLUMN, _) => Arc::new(BooleanArray::from(vec![false; rows])),
            _ => new_null_array(field.data_type(), rows),
        })
    }
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
                   count(*) AS n, sum(sent_bytes) AS bytes, approx_set(user_agent) AS agents, \
                   tdigest_agg(sent_bytes) AS sizes \
                   FROM alb_access_logs GROUP BY 1, 2, 3";
        let rollup = Rollup::from_sql("t", sql).await.unwrap();
        let merge = Merge::plan(rollup.definition()).await.unwrap();
        for fold in [&merge.fold, merge.fold_tagged.as_ref().unwrap()] {
            let plan = displayable(fold.physical().as_ref())
                .indent(true)
                .to_string();
            assert!(plan.contains("ordering_mode=Sorted"), "{plan}");
            assert!(!plan.contains("SortExec"), "{plan}");
        }
    }
}
