//! The first step of a log file's way: bytes become lines, and lines become batches of columns.

use std::cell::Cell;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use futures::SinkExt;
use futures::channel::mpsc::Sender;
use logmill_gzip::Decoder;
use logmill_shared::LogFile;

use super::aggregate::of_one_table;
use super::log::{Evidence, OpenLog};
use super::{Open, PipelineError, Source};
use crate::feeds::RollupTable;
use crate::format::{LogFormat, Prefilter, Pushed, Recognised, Scan, ScanColumn, Shape, by_name};
use crate::table::{RejectedLines, StagingFile, Table};

/// Coalesces sparse chunks: a batch is emitted after 1,000 rows or 16 chunks of text, each a megabyte at most. So if a
/// prefilter leaves few lines of a chunk, several chunks share a batch.
pub(super) const BATCH_ROWS_MIN: usize = 1000;
pub(super) const BATCH_CHUNKS_MAX: usize = 16;

/// Recognises a file as [`super::stage`] does, reading a log to its end, but stages nothing.
///
/// # Errors
///
/// Those of [`super::stage`].
pub async fn look(
    source: &Source<impl Open>,
    max_text_bytes: u64,
) -> Result<Recognised, PipelineError> {
    if let Some(by_its_name @ Recognised::Other(_)) = by_name(source.log_file.named_as()) {
        return Ok(by_its_name);
    }
    let attempt = async |decoder| {
        let log = match OpenLog::open(source, decoder, max_text_bytes)? {
            Ok(log) => log,
            Err(recognised) => return Ok(recognised),
        };
        let (format, shape, mut evidence) = (log.format, log.shape.clone(), Evidence::of(&log));
        let mut scan = Scan::new(format, &shape, &[], &source.log_file);
        let mut records = log.records(&scan, max_text_bytes)?;
        while let Some(lines) = records.next()? {
            if !evidence.is_enough() {
                lines.scan(&mut scan, 0, |_, pushed, text| evidence.see(&pushed, text));
            }
        }
        evidence.confirm()?;
        Ok(Recognised::Log(format, shape))
    };
    let (recognised, _) = with_second_opinion(attempt).await?;
    Ok(recognised)
}

/// Tries logmill's own decoder and, if it finds damage, flate2. A log file is damaged only if both find damage. If only
/// flate2 succeeds, also returns the own decoder's error.
pub(super) async fn with_second_opinion<T>(
    attempt: impl AsyncFn(Decoder) -> Result<T, PipelineError>,
) -> Result<(T, Option<PipelineError>), PipelineError> {
    let refusal = match attempt(Decoder::Own).await {
        Err(error) if error.is_damage() => error,
        other => return other.map(|done| (done, None)),
    };
    match attempt(Decoder::Flate2).await {
        Ok(done) => Ok((done, Some(refusal))),
        Err(again) if again.is_damage() => Err(refusal),
        Err(other) => Err(other),
    }
}

/// Measures the time spent waiting for a log file's bytes.
pub(super) struct Timed<'a, R> {
    pub(super) reader: R,
    pub(super) time: &'a Cell<Duration>,
}

impl<R: Read> Read for Timed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        let read = self.reader.read(buffer);
        self.time.set(self.time.get() + begun.elapsed());
        read
    }
}

/// The scan of a log file for some rollups: the columns that any of them needs, for the lines that matter to any of them.
pub(super) fn scan_for(
    log: &OpenLog<'_>,
    rollups: &[&RollupTable],
    log_file: &LogFile,
) -> (Scan, Vec<ScanColumn>) {
    let columns = union_of_columns(rollups);
    let mut scan = Scan::new(log.format, &log.shape, &columns, log_file);
    if let Some(prefilters) = prefilters(rollups) {
        scan = scan.only(Prefilter::Any(prefilters));
    }
    (scan, columns)
}

/// The columns that the rollups need, without duplicates.
fn union_of_columns(rollups: &[&RollupTable]) -> Vec<ScanColumn> {
    let mut columns: Vec<ScanColumn> = Vec::new();
    for column in rollups.iter().flat_map(|each| each.rollup.scan()) {
        if !columns.contains(column) {
            columns.push(column.clone());
        }
    }
    columns
}

/// The prefilter of each rollup, or `None` if one of them needs all lines.
fn prefilters(rollups: &[&RollupTable]) -> Option<Vec<Prefilter>> {
    let prefilters = rollups.iter().map(|each| each.rollup.prefilter().cloned());
    prefilters.collect()
}

/// The result of scanning the lines of a log.
pub(super) struct Scanned {
    pub(super) format: &'static LogFormat,
    pub(super) shape: Shape,
    pub(super) text_bytes: u64,
    pub(super) lines: u64,
    pub(super) rejected_lines: u64,
    /// Times of the earliest and the latest line, in milliseconds since 1970.
    pub(super) times: Option<(i64, i64)>,
    /// The rejected lines, if there are any, or why the table of rejected lines can't take them.
    pub(super) rejected: Option<Result<StagingFile, String>>,
}

/// Turns lines into batches, and sends each to every rollup.
///
/// # Errors
///
/// Also if no line of the file is a log line.
pub(super) async fn scan_lines(
    log: OpenLog<'_>,
    mut scan: Scan,
    max_text_bytes: u64,
    mut rollups: Vec<Sender<RecordBatch>>,
    log_file: &LogFile,
    rejected_lines: Option<&Table>,
) -> Result<Scanned, PipelineError> {
    let (format, shape, mut evidence) = (log.format, log.shape.clone(), Evidence::of(&log));
    let mut records = log.records(&scan, max_text_bytes)?;
    let mut scanned = Scanned {
        format,
        shape,
        text_bytes: 0,
        lines: 0,
        rejected_lines: 0,
        times: None,
        rejected: None,
    };
    let mut rejected = RejectedLines::new(log_file);
    let mut chunks = 0;
    while let Some(lines) = records.next()? {
        lines.scan(&mut scan, 0, |number, pushed, text| {
            evidence.see(&pushed, text);
            match pushed {
                Ok(Pushed::Line(time)) => {
                    scanned.lines += 1;
                    if let Some(time) = time {
                        let (first, last) = scanned.times.unwrap_or((time, time));
                        scanned.times = Some((first.min(time), last.max(time)));
                    }
                }
                Ok(Pushed::Directive) => {}
                Err(reason) => {
                    scanned.lines += 1;
                    scanned.rejected_lines += 1;
                    rejected.push(number.unsigned_abs(), reason, &text());
                }
            }
        });
        if let (Some(rows), Some(table)) = (rejected.take()?, rejected_lines) {
            keep_rejected(&mut scanned.rejected, rows, table, log_file).await?;
        }
        chunks += 1;
        if scan.rows() >= BATCH_ROWS_MIN || chunks == BATCH_CHUNKS_MAX {
            send(&mut scan, &mut rollups).await;
            chunks = 0;
        }
    }
    send(&mut scan, &mut rollups).await;
    scanned.text_bytes = records.text_bytes();
    evidence.confirm()?;
    Ok(scanned)
}

/// Keeps rejected lines until the log file is staged. If their table can't take them, the log file will be set aside for it,
/// and the rollups go on.
async fn keep_rejected(
    kept: &mut Option<Result<StagingFile, String>>,
    rows: RecordBatch,
    table: &Table,
    log_file: &LogFile,
) -> Result<(), PipelineError> {
    let kept = match kept {
        Some(kept) => kept,
        none => none.insert(match table.staging_file(log_file) {
            Ok(staging) => Ok(staging),
            Err(error) => Err(of_one_table(error)?),
        }),
    };
    if let Ok(staging) = kept
        && let Err(error) = staging.write(vec![rows]).await
    {
        *kept = Err(of_one_table(error)?);
    }
    Ok(())
}

/// Sends the rows since the last batch to every rollup.
async fn send(scan: &mut Scan, rollups: &mut [Sender<RecordBatch>]) {
    if scan.rows() == 0 {
        return;
    }
    let batch = scan.finish();
    for rollup in rollups {
        // A rollup that has stopped receiving has failed, and reports that itself.
        let _ = rollup.send(batch.clone()).await;
    }
}
