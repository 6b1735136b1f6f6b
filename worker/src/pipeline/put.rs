//! The last step of a log file's way: each rollup's result is staged for its table.

use futures::future::try_join_all;
use logmill_shared::LogFile;

use super::aggregate::{RolledUp, of_one_table, without_panic};
use super::read::Scanned;
use super::{PipelineError, Source};
use crate::feeds::RollupTable;
use crate::format::LogFormat;
use crate::table::{Entry, StagingFile, Table, TableError};

/// The result for all tables.
#[derive(Default)]
pub(super) struct Puts {
    /// Tables whose rollup fails on some lines, with the number of these lines.
    pub(super) failed_lines: Vec<(String, u64)>,
    /// Tables for which the log file is set aside, with the reason.
    pub(super) set_aside: Vec<(String, String)>,
}

/// Stages a log file's rejected lines, and then the rollups' results. The results are staged concurrently, because a
/// disk's sync and a PUT to S3 are mostly waiting.
pub(super) async fn put_all<O>(
    source: &Source<O>,
    format: &LogFormat,
    scanned: &mut Scanned,
    rollups: &[&RollupTable],
    rolled_up: Vec<RolledUp>,
) -> Result<Puts, PipelineError> {
    let log_file = &source.log_file;
    let entry = entry(log_file, format, source.bytes, source.etag.clone(), scanned);
    // Before the rollups' rows: a log file that every rollup has is never read again, so its rejected lines would be lost.
    if let Some(rejected) = scanned.rejected.take() {
        rejected.stage(&entry).await?;
    }
    let each = rollups.iter().zip(rolled_up);
    let put = each.map(|(each, rolled_up)| put(&each.table, log_file, &entry, rolled_up));
    let put = try_join_all(put).await?;
    let mut puts = Puts::default();
    let mut not_put = None;
    for (each, put) in rollups.iter().zip(put) {
        let name = &each.table.definition().name;
        match put {
            Put::Staged(0) => {}
            Put::Staged(failed) => puts.failed_lines.push((name.clone(), failed)),
            Put::SetAside(reason) => puts.set_aside.push((name.clone(), reason)),
            Put::Neither(error) => not_put = not_put.or(Some(error)),
        }
    }
    match not_put {
        // The other tables have their rows, but the log file must be retried.
        Some(error) => Err(error.into()),
        None => Ok(puts),
    }
}

/// The result for one table.
enum Put {
    /// Staged. The rollup failed on this number of lines.
    Staged(u64),
    /// Set aside, for this reason.
    SetAside(String),
    /// Neither the rows nor a note that they are missing can be written, because of a problem with the table's folder.
    Neither(TableError),
}

/// Stages a rollup's result, or sets the log file aside for its table. Returns an error if no table can be written.
async fn put(
    table: &Table,
    log_file: &LogFile,
    entry: &Entry,
    rolled_up: RolledUp,
) -> Result<Put, PipelineError> {
    let reason = match rolled_up {
        Ok((staging, failed)) => {
            let count = failed.count;
            let entry = Entry {
                failed_lines: count as i64,
                failures: failed.kept,
                ..entry.clone()
            };
            match stage_rows(staging, &entry).await? {
                Ok(()) => return Ok(Put::Staged(count)),
                Err(reason) => reason,
            }
        }
        Err(reason) => reason,
    };
    match table.notes().set_aside(log_file, &reason).await {
        Ok(()) => Ok(Put::SetAside(reason)),
        Err(error) if error.is_of_its_folder() => Ok(Put::Neither(error)),
        Err(error) => Err(error.into()),
    }
}

/// Stages a rollup's result. The inner error is the reason why this one can't be staged.
async fn stage_rows(
    staging: StagingFile,
    entry: &Entry,
) -> Result<Result<(), String>, PipelineError> {
    match without_panic(staging.stage(entry)).await {
        Ok(Ok(())) => Ok(Ok(())),
        Ok(Err(error)) => of_one_table(error).map(Err),
        Err(panic) => Ok(Err(panic)),
    }
}

fn entry(
    log_file: &LogFile,
    format: &LogFormat,
    bytes: u64,
    etag: String,
    scanned: &Scanned,
) -> Entry {
    Entry {
        log_file: log_file.uri().to_owned(),
        log_table: format.table.to_owned(),
        bytes: bytes as i64,
        etag,
        text_bytes: scanned.text_bytes as i64,
        lines: scanned.lines as i64,
        rejected_lines: scanned.rejected_lines as i64,
        rows: 0,
        first_time: scanned.times.map(|(first, _)| first),
        last_time: scanned.times.map(|(_, last)| last),
        failed_lines: 0,
        failures: Vec::new(),
        slots: None,
    }
}
