//! A table's data files, as a DataFusion table.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{
    ColumnStatistics, DFSchema, DataFusionError, Result, ScalarValue, Statistics,
};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use serde_json::Value;

use crate::table::definition::DATE_COLUMN;
use crate::table::{DataFile, TableError, Version};
use logmill_trino::cast::varchar_to_date;
use logmill_trino::iso8601::from_iso8601_timestamp;

const MICROSECONDS_PER_MILLISECOND: i64 = 1000;

/// The URL under which queries find the object store of the tables. Each table is in the folder of its name.
pub(super) fn store_url() -> Result<ObjectStoreUrl> {
    ObjectStoreUrl::parse("logmill://tables")
}

/// A version of a Delta table, as a DataFusion table. It skips files if their partition or statistics show that no row can pass the
/// filter.
#[derive(Debug)]
pub(super) struct DeltaScan {
    /// The table's columns; the partition column is the last.
    schema: SchemaRef,
    /// Each with its path in the store.
    files: Vec<(String, DataFile)>,
}

impl DeltaScan {
    /// The table of this name, in the store at [`store_url`].
    pub(super) fn new(name: &str, version: &Version) -> Result<Self, TableError> {
        let files = version.files().iter();
        let files = files.map(|file| {
            (
                format!("{name}/{}", version.path_in_table(file)),
                file.clone(),
            )
        });
        Ok(Self {
            schema: version.schema()?,
            files: files.collect(),
        })
    }

    /// The files that may have rows that pass these filters.
    fn files_for(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<PartitionedFile>> {
        let every = vec![true; self.files.len()];
        let kept = match conjunction(filters.to_vec()) {
            None => every,
            Some(filter) => {
                let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
                let filter = state.create_physical_expr(filter, &schema)?;
                let bounds = self
                    .files
                    .iter()
                    .map(|(_, file)| Arc::new(bounds(&self.schema, file)));
                let bounds = PrunableStatistics::new(bounds.collect(), Arc::clone(&self.schema));
                let predicate = PruningPredicateBuilder::new()
                    .with_file_schema(Arc::clone(&self.schema))
                    .build(filter);
                match predicate {
                    Some(predicate) => predicate.prune(&bounds)?,
                    None => every,
                }
            }
        };
        let files = self
            .files
            .iter()
            .zip(kept)
            .filter_map(|(file, kept)| kept.then_some(file));
        let files = files.map(|(path, file)| {
            PartitionedFile::new(path, file.bytes)
                .with_partition_values(vec![ScalarValue::Date32(date(file))])
        });
        Ok(files.collect())
    }

    /// The columns that are in the data files: all except the partition column.
    fn file_schema(&self) -> SchemaRef {
        let fields = self
            .schema
            .fields()
            .iter()
            .filter(|field| field.name() != DATE_COLUMN)
            .cloned();
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    }
}

#[async_trait]
impl TableProvider for DeltaScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let files = self.files_for(state, filters)?;
        if files.is_empty() {
            let schema = match projection {
                Some(projection) => Arc::new(self.schema.project(projection)?),
                None => Arc::clone(&self.schema),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let files = FileGroup::new(files).split_files(state.config().target_partitions());
        let partition = Arc::new(Field::new(DATE_COLUMN, DataType::Date32, true));
        let schema = TableSchema::builder(self.file_schema())
            .with_table_partition_cols(vec![partition])
            .build();
        let source = ParquetSource::new(schema);
        let config = FileScanConfigBuilder::new(store_url()?, Arc::new(source))
            .with_file_groups(files)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

fn date(file: &DataFile) -> Option<i32> {
    varchar_to_date(file.date.as_deref()?).ok()
}

/// The statistics of a data file from the Delta log. All values are within the bounds, but the bounds may be wider. This is enough to
/// skip files.
fn bounds(schema: &SchemaRef, file: &DataFile) -> Statistics {
    let json: Value = file
        .statistics
        .as_deref()
        .and_then(|json| serde_json::from_str(json).ok())
        .unwrap_or_default();
    let count = |value: Option<&Value>| match value.and_then(Value::as_u64) {
        Some(count) => Precision::Exact(count as usize),
        None => Precision::Absent,
    };
    let rows = count(json.get("numRecords"));
    let bound = |bounds: &str, field: &Field| {
        let value = match field.name().as_str() {
            DATE_COLUMN => date(file).map(|date| ScalarValue::Date32(Some(date))),
            name => {
                let value = json.get(bounds).and_then(|bounds| bounds.get(name));
                value.and_then(|value| scalar(field.data_type(), value))
            }
        };
        value.map_or(Precision::Absent, Precision::Exact)
    };
    let nulls = |field: &Field| match field.name().as_str() {
        DATE_COLUMN if file.date.is_none() => rows,
        DATE_COLUMN => Precision::Exact(0),
        name => count(json.get("nullCount").and_then(|nulls| nulls.get(name))),
    };
    let column = |field: &Arc<Field>| ColumnStatistics {
        null_count: nulls(field),
        min_value: bound("minValues", field),
        max_value: bound("maxValues", field),
        ..ColumnStatistics::new_unknown()
    };
    Statistics {
        num_rows: rows,
        total_byte_size: Precision::Absent,
        column_statistics: schema.fields().iter().map(column).collect(),
    }
}

fn scalar(data_type: &DataType, value: &Value) -> Option<ScalarValue> {
    let integer = || value.as_i64();
    Some(match data_type {
        DataType::Int8 => ScalarValue::Int8(Some(integer()?.try_into().ok()?)),
        DataType::Int16 => ScalarValue::Int16(Some(integer()?.try_into().ok()?)),
        DataType::Int32 => ScalarValue::Int32(Some(integer()?.try_into().ok()?)),
        DataType::Int64 => ScalarValue::Int64(Some(integer()?)),
        DataType::Float64 => ScalarValue::Float64(Some(value.as_f64()?)),
        DataType::Utf8 => ScalarValue::Utf8(Some(value.as_str()?.to_owned())),
        DataType::Utf8View => ScalarValue::Utf8View(Some(value.as_str()?.to_owned())),
        DataType::Date32 => ScalarValue::Date32(Some(varchar_to_date(value.as_str()?).ok()?)),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let milliseconds = from_iso8601_timestamp(value.as_str()?).ok()?;
            let microseconds = milliseconds.checked_mul(MICROSECONDS_PER_MILLISECOND)?;
            ScalarValue::TimestampMicrosecond(Some(microseconds), zone.clone())
        }
        _ => return None,
    })
}
