//! The last step of a log file's way: each rollup's result is staged for its table.

use futures::future::try_join_all;
use logmill_shared::LogFile;

use super::aggregate::{Aggregated, of_one_table, without_panic};
use super::read::Scanned;
use super::{PipelineError, Readers, Source, Staged};
use crate::format::Shape;
use crate::log_file::reading::Reading;
use crate::table::{Entry, FailedLines, Notes, StagingFile, Table, TableError};

/// Stages a log file's rejected lines, and then the rollups' results. The results are staged concurrently, because a
/// disk's sync and a PUT to S3 are mostly waiting. Sets the log file aside for tables that can't be fed.
pub(super) async fn put_all<O>(
    source: &Source<O>,
    scanned: Scanned,
    readers: &Readers<'_>,
    results: Vec<Aggregated>,
) -> Result<Staged, PipelineError> {
    let log_file = &source.log_file;
    let entry = entry(source, &scanned);
    let mut puts = Vec::new();
    // Before the rollups' rows: once every rollup has the log file, `replay --missing` does not send it again. Only `run`
    // notices that its rejected lines are missing.
    if let (Some(table), Some(rejected)) = (readers.rejected_lines, scanned.rejected) {
        let rejected = rejected.map(|staging| (staging, FailedLines::default()));
        puts.push((
            &table.definition().name,
            put(table, log_file, &entry, rejected).await?,
        ));
    }
    let tables = || readers.rollups.iter().map(|each| &each.table);
    let each = tables().zip(results);
    let each = each.map(|(table, result)| put(table, log_file, &entry, result));
    let names = tables().map(|table| &table.definition().name);
    puts.extend(names.zip(try_join_all(each).await?));
    for unfed in &readers.unfed {
        let reason = unfed.reason.clone();
        puts.push((
            &unfed.table,
            set_aside(&unfed.notes, log_file, reason).await?,
        ));
    }

    let mut staged = Staged {
        kind: match &scanned.shape {
            Shape::Text => scanned.format.table.to_owned(),
            shape => format!("{}, {shape}", scanned.format.table),
        },
        reading: Reading {
            bytes: source.bytes,
            text_bytes: scanned.text_bytes,
            lines: scanned.lines,
            rejected_lines: scanned.rejected_lines,
        },
        ..Staged::default()
    };
    let mut not_put = None;
    for (table, put) in puts {
        match put {
            Put::Staged(0) => {}
            Put::Staged(failed) => staged.failed_lines.push((table.clone(), failed)),
            Put::SetAside(reason) => staged.set_aside.push((table.clone(), reason)),
            Put::Neither(source) => {
                not_put = not_put.or(Some(PipelineError::TableFolder {
                    table: table.clone(),
                    source,
                }));
            }
        }
    }
    match not_put {
        // Rows that are staged stay staged; staging them again changes nothing. The log file must be retried for the table
        // that has neither rows nor a note.
        Some(error) => Err(error),
        None => Ok(staged),
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
    result: Aggregated,
) -> Result<Put, PipelineError> {
    let reason = match result {
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
    set_aside(&table.notes(), log_file, reason).await
}

/// Sets a log file aside for a table. Returns an error if no table can be written.
async fn set_aside(
    notes: &Notes,
    log_file: &LogFile,
    reason: String,
) -> Result<Put, PipelineError> {
    match notes.set_aside(log_file, &reason).await {
        Ok(()) => Ok(Put::SetAside(reason)),
        Err(error) if error.is_table_folder_error() => Ok(Put::Neither(error)),
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

fn entry<O>(source: &Source<O>, scanned: &Scanned) -> Entry {
    Entry {
        log_file: source.log_file.uri().to_owned(),
        log_table: scanned.format.table.to_owned(),
        bytes: source.bytes as i64,
        etag: source.etag.clone(),
        text_bytes: scanned.text_bytes as i64,
        lines: scanned.lines as i64,
        rejected_lines: scanned.rejected_lines as i64,
        rows: 0,
        first_time: scanned.times.map(|(first, _)| first),
        last_time: scanned.times.map(|(_, last)| last),
        failed_lines: 0,
        failures: Vec::new(),
        slots: None,
        pending: false,
    }
}
