//! A log table: the lines of all log files of one format.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::datasource::TableType;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::stream::RecordBatchReceiverStreamBuilder;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use super::Logs;
use super::limits::{Limits, passing_days};
use crate::format::{LogFormat, Prefilter, ScanColumn};
use crate::intake::log_object::LogObject;
use crate::pipeline::{self, LinesWanted, read_rows};
use crate::rollup::{check_days, prefilter};

/// Batches of each thread that wait for the query. A batch has up to a megabyte of text.
const BATCHES_IN_FLIGHT: usize = 2;

#[derive(Debug)]
pub(super) struct LogTable {
    format: &'static LogFormat,
    columns: Vec<ScanColumn>,
    schema: SchemaRef,
    logs: Arc<Logs>,
}

impl LogTable {
    pub(super) fn new(format: &'static LogFormat, logs: Arc<Logs>) -> Self {
        let columns = columns(format);
        Self {
            schema: schema(format, &columns),
            format,
            columns,
            logs,
        }
    }

    fn prefilter(&self, conditions: &[Expr]) -> Option<Prefilter> {
        let each = conditions.iter();
        let each = each.filter_map(|each| prefilter(each, self.format, &self.columns));
        let each: Vec<Prefilter> = each.collect();
        (!each.is_empty()).then_some(Prefilter::All(each))
    }

    /// The log files that may have lines that pass these conditions.
    async fn log_files(&self, conditions: &[Expr], state: &dyn Session) -> Result<Vec<LogObject>> {
        conditions.iter().try_for_each(check_days)?;
        let limits = Limits::of(conditions, self.format);
        let span = limits.span();
        let mut found = self
            .logs
            .list(self.format, span)
            .await
            .map_err(|error| DataFusionError::External(error.into()))?;
        let listed = found.len();
        let days: BTreeSet<Option<String>> = found.iter().map(delivery_day).collect();
        let days: Vec<Option<String>> = days.into_iter().collect();
        let passing = passing_days(&days, conditions, state)?;
        let passing: BTreeMap<Option<String>, bool> = days.into_iter().zip(passing).collect();
        found.retain(|found| {
            passing.get(&delivery_day(found)) == Some(&true) && limits.may_have(&found.log_file)
        });
        self.logs
            .will_read(&found, listed - found.len(), span.is_some());
        Ok(found)
    }
}

fn delivery_day(found: &LogObject) -> Option<String> {
    found.log_file.delivery_day()
}

/// The columns of a format's table, in Athena's order, then those of the path.
pub(in crate::commands::query) fn columns(format: &'static LogFormat) -> Vec<ScanColumn> {
    format.all_columns().collect()
}

fn schema(format: &LogFormat, columns: &[ScanColumn]) -> SchemaRef {
    let fields = columns.iter().map(|column| column.field(format));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

#[async_trait]
impl TableProvider for LogTable {
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
        let columns: Vec<ScanColumn> = match projection {
            Some(places) => places
                .iter()
                .filter_map(|place| self.columns.get(*place).cloned())
                .collect(),
            None => self.columns.clone(),
        };
        let schema = schema(self.format, &columns);
        let log_files = self.log_files(filters, state).await?;
        if log_files.is_empty() {
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let threads = state.config().target_partitions().min(log_files.len());
        let reading = Arc::new(Reading {
            log_files,
            next: AtomicUsize::new(0),
            wanted: LinesWanted {
                format: self.format,
                columns,
                prefilter: self.prefilter(filters),
                text_bytes_max: self.logs.options.max_log_file_bytes,
            },
            logs: Arc::clone(&self.logs),
        });
        let threads = (0..threads).map(|_| {
            Arc::new(Thread {
                schema: Arc::clone(&schema),
                reading: Arc::clone(&reading),
            }) as Arc<dyn PartitionStream>
        });
        Ok(Arc::new(StreamingTableExec::try_new(
            Arc::clone(&schema),
            threads.collect(),
            None,
            None,
            false,
            limit,
        )?))
    }
}

/// The log files that one scan of a query reads.
struct Reading {
    log_files: Vec<LogObject>,
    next: AtomicUsize,
    wanted: LinesWanted,
    logs: Arc<Logs>,
}

impl Reading {
    fn next(&self) -> Option<&LogObject> {
        self.log_files
            .get(self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// One thread that reads log files. Each takes the next log file that no other has taken.
struct Thread {
    schema: SchemaRef,
    reading: Arc<Reading>,
}

impl std::fmt::Debug for Thread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Thread").finish_non_exhaustive()
    }
}

impl PartitionStream for Thread {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        // It also reports a panic of the thread as an error: rows must not be missing silently.
        let mut stream =
            RecordBatchReceiverStreamBuilder::new(Arc::clone(&self.schema), BATCHES_IN_FLIGHT);
        let query = stream.tx();
        let reading = Arc::clone(&self.reading);
        stream.spawn_blocking(move || {
            while !query.is_closed()
                && let Some(found) = reading.next()
            {
                let source = pipeline::source(found, &reading.logs.options.rules);
                let read = read_rows(&source, &reading.wanted, &query);
                reading.logs.has_read(found, read);
            }
            Ok(())
        });
        stream.build()
    }
}
