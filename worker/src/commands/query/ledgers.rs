//! `log_files` and `failed_lines`: the ledgers of all tables, read while a query runs. A filter on the table or the log
//! file limits which ledgers, and which of their shards, are read.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, DataFusionError, Result, ScalarValue};
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_expr::utils::{Guarantee, LiteralGuarantee};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::{Stream, StreamExt, TryStreamExt};
use logmill_shared::{LogFile, Shard};

use super::catalog;
use crate::table::definition::REJECTED_LINES;
use crate::table::{Entry, FailedLine, Root, may_hold};

/// The column that names the table.
const TABLE: &str = "table";

/// The column that names the log file.
const LOG_FILE: &str = "log_file";

/// The part of the ledgers that is shown.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// One row for each entry.
    LogFiles,
    /// One row for each failed line in an entry.
    FailedLines,
}

/// The ledgers of all tables, as one table.
#[derive(Debug)]
pub(super) struct Ledgers {
    kind: Kind,
    schema: SchemaRef,
    root: Root,
    tables: Vec<String>,
}

impl Ledgers {
    pub(super) fn new(kind: Kind, root: &Root, tables: &[String]) -> Self {
        // The ledger of rejected_lines has only log files with rejected lines, so it would add little.
        let tables = tables.iter().filter(|name| *name != REJECTED_LINES);
        Self {
            kind,
            schema: kind.schema(),
            root: root.clone(),
            tables: tables.cloned().collect(),
        }
    }

    /// What the filters guarantee about the values of columns.
    fn allowed(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<LiteralGuarantee>> {
        let Some(filter) = conjunction(filters.to_vec()) else {
            return Ok(Vec::new());
        };
        let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let filter = state.create_physical_expr(filter, &schema)?;
        Ok(LiteralGuarantee::analyze(&filter))
    }
}

fn texts(guarantee: &LiteralGuarantee) -> HashSet<&str> {
    let literals = guarantee.literals.iter();
    literals
        .filter_map(|literal| literal.try_as_str().flatten())
        .collect()
}

/// Whether a row with this value in this column can pass the filters.
fn passes(guarantees: &[LiteralGuarantee], column: &str, value: &str) -> bool {
    let mut of_column = guarantees.iter().filter(|each| each.column.name == column);
    of_column.all(|each| (each.guarantee == Guarantee::In) == texts(each).contains(value))
}

/// The shards of the log files that can pass the filters; `None` if any log file can.
fn shards(guarantees: &[LiteralGuarantee]) -> Option<HashSet<Shard>> {
    let mut of_log_file = guarantees
        .iter()
        .filter(|each| each.column.name == LOG_FILE && each.guarantee == Guarantee::In);
    let uris = texts(of_log_file.next()?);
    Some(
        uris.into_iter()
            .map(|uri| LogFile::new(uri).shard())
            .collect(),
    )
}

#[async_trait]
impl TableProvider for Ledgers {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let guarantees = self.allowed(state, filters)?;
        let tables = self.tables.iter();
        let tables = tables.filter(|name| passes(&guarantees, TABLE, name));
        let reading = Reading {
            kind: self.kind,
            schema: Arc::clone(&self.schema),
            root: self.root.clone(),
            tables: tables.cloned().collect(),
            shards: shards(&guarantees),
        };
        Ok(Arc::new(StreamingTableExec::try_new(
            Arc::clone(&self.schema),
            vec![Arc::new(reading)],
            projection,
            None,
            false,
            limit,
        )?))
    }
}

/// The ledgers that a query reads.
#[derive(Debug, Clone)]
struct Reading {
    kind: Kind,
    schema: SchemaRef,
    root: Root,
    tables: Vec<String>,
    /// The shards to read; `None` for all.
    shards: Option<HashSet<Shard>>,
}

impl PartitionStream for Reading {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let reading = self.clone();
        let tables = futures::stream::iter(self.tables.clone());
        let rows = tables
            .then(move |name| {
                let reading = reading.clone();
                async move { reading.rows(name).await }
            })
            .try_flatten();
        let schema = Arc::clone(&self.schema);
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    }
}

impl Reading {
    /// The rows of one table's ledger, a batch for each shard.
    async fn rows(self, name: String) -> Result<impl Stream<Item = Result<RecordBatch>>> {
        let version = Arc::new(catalog::open(&self.root, &name).await?);
        let Self {
            kind, root, shards, ..
        } = self;
        let shards = version.ledger_shards().filter(|shard| {
            let wanted = shards.as_ref();
            wanted.is_none_or(|wanted| wanted.iter().any(|wanted| may_hold(shard, wanted)))
        });
        let shards: Vec<Shard> = shards.cloned().collect();
        let entries = version.entries_by_shard(shards);
        Ok(entries.map(move |entries| {
            let entries = entries.map_err(|error| catalog::unreadable(&root, &name, error))?;
            kind.batch(&name, &entries)
        }))
    }
}

impl Kind {
    fn schema(self) -> SchemaRef {
        let text = |name: &str| Arc::new(Field::new(name, DataType::Utf8, true));
        let mut fields = vec![text(TABLE)];
        match self {
            Self::LogFiles => {
                let entry = Entry::schema();
                // Failed lines are rows of the table `failed_lines`.
                let shown = entry.fields().iter();
                fields.extend(
                    shown
                        .filter(|field| field.name() != Entry::FAILURES)
                        .cloned(),
                );
            }
            Self::FailedLines => fields.extend([
                text(LOG_FILE),
                Arc::new(Field::new("line_number", DataType::Int64, true)),
                text("reason"),
                text("line"),
            ]),
        }
        Arc::new(Schema::new(fields))
    }

    fn batch(self, table: &str, entries: &[Entry]) -> Result<RecordBatch> {
        let columns = match self {
            Self::LogFiles => log_files(table, entries)?,
            Self::FailedLines => failed_lines(table, entries),
        };
        Ok(RecordBatch::try_new(self.schema(), columns)?)
    }
}

fn log_files(table: &str, entries: &[Entry]) -> Result<Vec<ArrayRef>> {
    let rows = Entry::batch(entries).map_err(|error| DataFusionError::External(Box::new(error)))?;
    let mut columns = vec![ScalarValue::from(table).to_array_of_size(entries.len())?];
    let schema = rows.schema();
    let named = schema.fields().iter().zip(rows.columns());
    let shown = named.filter(|(field, _)| field.name() != Entry::FAILURES);
    columns.extend(shown.map(|(_, column)| Arc::clone(column)));
    Ok(columns)
}

fn failed_lines(table: &str, entries: &[Entry]) -> Vec<ArrayRef> {
    let lines: Vec<(&str, &FailedLine)> = entries
        .iter()
        .flat_map(|entry| {
            let log_file = entry.log_file.as_str();
            entry
                .failures
                .iter()
                .map(move |failure| (log_file, failure))
        })
        .collect();
    let lines = || lines.iter();
    let numbers =
        lines().map(|(_, failure)| Some(failure.line_number).filter(|number| *number > 0));
    let texts = |texts: StringArray| -> ArrayRef { Arc::new(texts) };
    vec![
        texts(lines().map(|_| Some(table)).collect()),
        texts(lines().map(|(log_file, _)| Some(*log_file)).collect()),
        Arc::new(numbers.collect::<Int64Array>()),
        texts(lines().map(|(_, failure)| Some(&failure.reason)).collect()),
        texts(lines().map(|(_, failure)| Some(&failure.line)).collect()),
    ]
}
