//! The middle step of a log file's way: all rollups run over its batches concurrently.

use std::panic::AssertUnwindSafe;

use arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use futures::channel::mpsc::{Receiver, Sender, channel};
use futures::future::try_join_all;
use futures::{FutureExt, StreamExt};
use logmill_shared::{LogFile, chain};

use super::PipelineError;
use crate::feeds::RollupTable;
use crate::format::ScanColumn;
use crate::table::{FailedLines, StagingFile, TableError};
use crate::without_values::without_values;

/// Batches buffered for each rollup, in addition to the one that every sender may hold. Scan and rollups take turns on one
/// thread, so more would only cost memory.
const BATCHES_IN_FLIGHT: usize = 1;

/// The result of a rollup over a log file: the file to stage and the failed lines, or the reason why the rollup fails on
/// the whole log file.
pub(super) type Aggregated = Result<(StagingFile, FailedLines), String>;

/// Runs all rollups over the batches that are sent to the returned senders, one sender per rollup.
pub(super) fn aggregate_all<'a>(
    rollups: &'a [&RollupTable],
    log_file: &'a LogFile,
    columns: &'a [ScanColumn],
    group_bytes: usize,
) -> (
    Vec<Sender<RecordBatch>>,
    impl Future<Output = Result<Vec<Aggregated>, PipelineError>>,
) {
    let mut senders = Vec::with_capacity(rollups.len());
    let mut aggregated = Vec::with_capacity(rollups.len());
    for each in rollups {
        let (sender, receiver) = channel(BATCHES_IN_FLIGHT);
        senders.push(sender);
        aggregated.push(aggregate(each, log_file, columns, receiver, group_bytes));
    }
    (senders, try_join_all(aggregated))
}

/// Runs one rollup over a log file's batches. Returns an error only if no table can be written.
async fn aggregate(
    each: &RollupTable,
    log_file: &LogFile,
    columns: &[ScanColumn],
    batches: Receiver<RecordBatch>,
    group_bytes: usize,
) -> Result<Aggregated, PipelineError> {
    let aggregated = rows_of(each, log_file, columns, batches, group_bytes);
    let error = match without_panic(aggregated).await {
        Ok(Ok(aggregated)) => return Ok(Ok(aggregated)),
        Ok(Err(error)) => error,
        Err(panic) => return Ok(Err(panic)),
    };
    match error {
        RollupFailure::Staging(error) => of_one_table(error).map(Err),
        RollupFailure::Sql(error) => Ok(Err(format!(
            "the rollup fails on the log file as a whole: {}",
            without_values(&error)
        ))),
    }
}

/// The reason why a log file can't be staged for one table. Returns an error if it can't be staged for any table, because
/// a shared dependency is down.
pub(super) fn of_one_table(error: TableError) -> Result<String, PipelineError> {
    match error.is_store_error() && !error.is_table_folder_error() {
        true => Err(error.into()),
        false => Ok(chain(&error)),
    }
}

/// Runs work for one rollup. A panic in it must not cost the other rollups the log file.
pub(super) async fn without_panic<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!(
            "a bug in logmill; please report it: {}",
            text.unwrap_or("it panicked")
        )
    })
}

/// Why a log file could not be rolled up.
#[derive(Debug, thiserror::Error)]
enum RollupFailure {
    #[error(transparent)]
    Sql(#[from] DataFusionError),
    #[error(transparent)]
    Staging(#[from] TableError),
}

async fn rows_of(
    each: &RollupTable,
    log_file: &LogFile,
    columns: &[ScanColumn],
    batches: Receiver<RecordBatch>,
    group_bytes: usize,
) -> Result<(StagingFile, FailedLines), RollupFailure> {
    let RollupTable { rollup, table } = each;
    let own: Vec<usize> = rollup
        .scan()
        .iter()
        .filter_map(|column| columns.iter().position(|other| other == column))
        .collect();
    let batches = batches.map(move |batch| Ok(batch.project(&own)?));

    let mut staging = table.staging_file(log_file)?;
    let mut rows = rollup.rows(batches.boxed(), group_bytes);
    while let Some(rows) = rows.next().await? {
        staging.write(rows).await?;
    }
    Ok((staging, rows.failed().await))
}
