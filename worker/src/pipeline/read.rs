//! The first step of a log file's way: bytes become lines, and lines become batches of columns.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use futures::SinkExt;
use futures::channel::mpsc::Sender;
use logmill_gzip::Decoder;
use logmill_shared::LogFile;

use super::aggregate::of_one_table;
use super::{Outcome, PipelineError, Source};
use crate::feeds::RollupTable;
use crate::format::{
    LogFormat, Prefilter, Recognised, Rejection, Scan, ScanColumn, by_name, has_shape, looks_like,
    recognise,
};
use crate::log_file::lines::{Chunk, Lines};
use crate::table::{RejectedLines, StagingFile, Table};

/// Coalesces sparse chunks: a batch is emitted after 1,000 rows or 16 chunks of text, each a megabyte at most. So if a
/// prefilter leaves few lines of a chunk, several chunks share a batch.
pub(super) const BATCH_ROWS_MIN: usize = 1000;
pub(super) const BATCH_CHUNKS_MAX: usize = 16;

/// An open log file that is a log, at least by its name.
pub(super) struct OpenLog<'a> {
    pub(super) lines: Lines<'a>,
    pub(super) format: &'static LogFormat,
    /// A description of its beginning, if only its name says that it is a log.
    pub(super) claim: Option<&'static str>,
}

/// Opens a log file. Returns the outcome if it is not a log. Adds the time spent reading to `fetch`.
pub(super) fn open<'a, R: Read + 'a>(
    source: &Source<impl Fn() -> io::Result<R>>,
    decoder: Decoder,
    max_text_bytes: u64,
    fetch: &'a mut Duration,
) -> Result<Result<OpenLog<'a>, Outcome>, PipelineError> {
    let reader = Timed {
        reader: (source.open)()?,
        time: fetch,
    };
    let opened = open_reader(reader, &source.log_file, decoder, max_text_bytes)?;
    Ok(opened.map_err(|recognised| match recognised {
        Recognised::Unrecognised(what) => Outcome::Unrecognised(what),
        Recognised::Other(kind) => Outcome::Skipped(kind.to_owned()),
        // These are logs.
        Recognised::Log(format) | Recognised::Claimed(format) => Outcome::NotRead(format),
    }))
}

/// Recognises a file as [`super::stage`] does, reading a log to its end, but stages nothing.
///
/// # Errors
///
/// Those of [`super::stage`].
pub async fn look<R: Read>(
    log_file: &LogFile,
    open: impl Fn() -> io::Result<R>,
    max_text_bytes: u64,
) -> Result<Recognised, PipelineError> {
    if let Some(by_its_name @ Recognised::Other(_)) = by_name(log_file.named_as()) {
        return Ok(by_its_name);
    }
    let attempt = async |decoder| {
        let mut log = match open_reader(open()?, log_file, decoder, max_text_bytes)? {
            Ok(log) => log,
            Err(recognised) => return Ok(recognised),
        };
        while let Some(chunk) = log.lines.next_chunk()? {
            if log.claim.is_some()
                && let Chunk::Lines(text) = chunk
                && each_line(&text).any(|line| has_shape(log.format, line))
            {
                log.claim = None;
            }
        }
        confirm(log.format, log.claim)?;
        Ok(Recognised::Log(log.format))
    };
    let (recognised, _) = with_second_opinion(attempt).await?;
    Ok(recognised)
}

/// Opens a file, and recognises it by its name and its beginning. The inner error is what a file is that is not a log.
pub(super) fn open_reader<'a>(
    reader: impl Read + 'a,
    log_file: &LogFile,
    decoder: Decoder,
    max_text_bytes: u64,
) -> Result<Result<OpenLog<'a>, Recognised>, PipelineError> {
    let mut lines = Lines::new(logmill_gzip::open(reader, decoder, max_text_bytes)?);
    let beginning = lines.peek()?;
    let (format, claim) = match recognise(log_file.named_as(), beginning) {
        Recognised::Log(format) => (format, None),
        Recognised::Claimed(format) => (format, Some(looks_like(beginning))),
        other => return Ok(Err(other)),
    };
    Ok(Ok(OpenLog {
        lines,
        format,
        claim,
    }))
}

/// Fails if only the name says that a file is a log: none of its lines was a log line.
pub(super) fn confirm(
    format: &LogFormat,
    claim: Option<&'static str>,
) -> Result<(), PipelineError> {
    match claim {
        None => Ok(()),
        Some(what) => Err(PipelineError::NoLog {
            table: format.table,
            what,
        }),
    }
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
struct Timed<'a, R> {
    reader: R,
    time: &'a mut Duration,
}

impl<R: Read> Read for Timed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let begun = Instant::now();
        let read = self.reader.read(buffer);
        *self.time += begun.elapsed();
        read
    }
}

/// The scan of a log file for some rollups: the columns that any of them needs, for the lines that matter to any of them.
pub(super) fn scan_for(
    format: &'static LogFormat,
    rollups: &[&RollupTable],
    log_file: &LogFile,
) -> (Scan, Vec<ScanColumn>) {
    let columns = union_of_columns(rollups);
    let mut scan = Scan::new(format, &columns).delivered_on(log_file.delivery_day());
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
    mut rollups: Vec<Sender<RecordBatch>>,
    log_file: &LogFile,
    rejected_lines: Option<&Table>,
) -> Result<Scanned, PipelineError> {
    let OpenLog {
        mut lines,
        format,
        mut claim,
    } = log;
    let mut scanned = Scanned {
        format,
        text_bytes: 0,
        lines: 0,
        rejected_lines: 0,
        times: None,
        rejected: None,
    };
    let mut rejected = RejectedLines::new(log_file);
    let mut chunks = 0;
    while let Some(chunk) = lines.next_chunk()? {
        match chunk {
            Chunk::Overlong(start) => {
                scanned.lines += 1;
                scanned.rejected_lines += 1;
                scan.skip_line();
                rejected.push(scanned.lines, Rejection::TooLong, &start);
            }
            Chunk::Lines(text) => {
                for line in each_line(&text) {
                    scanned.lines += 1;
                    match scan.push(line) {
                        Ok(time) => {
                            claim = claim.filter(|_| !has_shape(format, line));
                            let (first, last) = scanned.times.unwrap_or((time, time));
                            scanned.times = Some((first.min(time), last.max(time)));
                        }
                        Err(reason) => {
                            scanned.rejected_lines += 1;
                            rejected.push(scanned.lines, reason, line);
                        }
                    }
                }
            }
        }
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
    scanned.text_bytes = lines.text_bytes();
    confirm(format, claim)?;
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

/// The lines of a text without their line endings. Unlike `str::lines`, it is fast on long lines.
pub(super) fn each_line(text: &str) -> impl Iterator<Item = &str> {
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]);
    ends.filter_map(move |end| {
        let line = text.get(start..end)?;
        let last = end == text.len();
        start = end + 1;
        // There is no line after the last line ending.
        (!(last && line.is_empty())).then(|| line.strip_suffix('\r').unwrap_or(line))
    })
}
