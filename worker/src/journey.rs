//! The whole way of one log file, from its bytes to staging:
//! open ▸ gunzip ▸ lines ▸ columns ▸ every rollup's SQL at once ▸ one staged file per rollup.

use std::io::{self, Read};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use futures::channel::mpsc::{Receiver, Sender, channel};
use futures::future::{try_join, try_join_all};
use futures::{FutureExt, SinkExt, StreamExt};
use logmill_shared::{LogFile, NamedAs};

use crate::aws::chain;
use crate::feeds::RollupTable;
use crate::format::{Condition, LogFormat, Recognised, Scan, ScanColumn, recognise};
use crate::log_file::gunzip::{self, GunzipError};
use crate::log_file::lines::{Chunk, Lines};
use crate::table::{Entry, FailedLines, RejectedLines, StagingFile, Table, TableError};
use crate::without_values::without_values;

/// Batches that may wait between the scan and a rollup. One is enough for both to go on; each holds a
/// megabyte of text.
const BATCHES_IN_FLIGHT: usize = 1;

/// Where few lines of a chunk matter, those of several chunks make one batch: until it has so many rows, or so many chunks,
/// each a megabyte at most, have been read.
const BATCH_ROWS_MIN: usize = 1000;
const BATCH_CHUNKS_MAX: usize = 16;

/// A log file to be staged.
pub struct Source<R> {
    /// Its identity.
    pub log_file: LogFile,
    /// Its size in bytes, as stored.
    pub bytes: u64,
    /// Its version.
    pub etag: String,
    /// Its bytes.
    pub reader: R,
}

/// Where a log file's way has ended.
#[derive(Debug)]
pub enum Outcome {
    /// It is staged for every rollup that reads it, or set aside for it: whatever happens now, it is not lost.
    Staged(Staged),
    /// It is no log that a rollup reads, and was left alone.
    Skipped(String),
    /// It is a log of this format, which no rollup here reads.
    NotRead(&'static LogFormat),
}

/// A log file that is staged.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Staged {
    /// What was read of it.
    pub reading: Reading,
    /// Where its time has gone.
    pub spent: Spent,
    /// Tables whose rollup fails on some of its lines, and on how many.
    pub failed_lines: Vec<(String, u64)>,
    /// Tables whose rollup fails on it as a whole, and why. It is set aside for them.
    pub set_aside: Vec<(String, String)>,
}

/// Bounds of what a log file may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most text that it may expand to, in bytes.
    pub text_bytes: u64,
    /// What the groups of one rollup may take before they are flushed, in bytes of memory.
    pub group_bytes: usize,
}

/// Where a log file's time has gone.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Waiting for its bytes.
    pub fetch: Duration,
    /// Decompressing, parsing and grouping.
    pub compute: Duration,
    /// Writing what is staged.
    pub put: Duration,
}

/// What was read of a log file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Its size in bytes, as stored.
    pub bytes: u64,
    /// The size of its text in bytes.
    pub text_bytes: u64,
    /// Its lines.
    pub lines: u64,
    /// Lines of it that are no log lines.
    pub rejected_lines: u64,
}

impl Reading {
    /// Adds what was read of another log file.
    pub fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.text_bytes += other.text_bytes;
        self.lines += other.lines;
        self.rejected_lines += other.rejected_lines;
    }
}

/// Why a log file is not staged. Nothing of it is.
#[derive(Debug, thiserror::Error)]
pub enum JourneyError {
    /// Its bytes can't be had, now.
    #[error("can't be opened")]
    Open(#[from] io::Error),
    /// Its bytes are no text. To try again helps only if the file changes.
    #[error("can't be read")]
    Unreadable(#[from] GunzipError),
    /// The disk is full, or can't be written, while a rollup's groups are computed.
    #[error("the rollup '{rollup}' can't use the disk")]
    Disk {
        /// The rollup's name.
        rollup: String,
        /// What failed.
        source: DataFusionError,
    },
    /// It can't be staged, now.
    #[error("can't be staged")]
    Staging(#[from] TableError),
}

/// Stages a log file for these rollups. It reads and computes without pause, so it needs a thread of its own.
pub async fn stage<R: Read>(
    source: Source<R>,
    rollups: &[&RollupTable],
    rejected_lines: &Table,
    limits: Limits,
) -> Result<Outcome, JourneyError> {
    let Source {
        log_file,
        bytes,
        etag,
        reader,
    } = source;
    let named_as = log_file.named_as();
    if !matches!(named_as, NamedAs::Unknown)
        && let Recognised::Other(what) = recognise(named_as, "")
    {
        return Ok(Outcome::Skipped(what.to_owned()));
    }

    let begun = Instant::now();
    let mut fetch = Duration::ZERO;
    let reader = Timed {
        reader,
        time: &mut fetch,
    };
    let mut lines = Lines::new(gunzip::open(reader, limits.text_bytes)?);
    let format = match recognise(named_as, lines.peek()?) {
        Recognised::Log(format) => format,
        Recognised::Other(_) if bytes == 0 => return Ok(Outcome::Skipped("empty file".to_owned())),
        Recognised::Other(what) => return Ok(Outcome::Skipped(what.to_owned())),
    };
    let rollups: Vec<&RollupTable> = rollups
        .iter()
        .copied()
        .filter(|each| each.rollup.format() == format)
        .collect();
    if rollups.is_empty() {
        return Ok(Outcome::NotRead(format));
    }

    let columns = union_of_columns(&rollups);
    let mut senders = Vec::with_capacity(rollups.len());
    let mut rolled_up = Vec::with_capacity(rollups.len());
    for each in &rollups {
        let (sender, receiver) = channel(BATCHES_IN_FLIGHT);
        senders.push(sender);
        rolled_up.push(roll_up(
            each,
            &log_file,
            &columns,
            receiver,
            limits.group_bytes,
        ));
    }
    let mut scan = Scan::new(format, &columns);
    if let Some(conditions) = conditions(&rollups) {
        scan = scan.only(Condition::Any(conditions));
    }
    let scanned = scan_lines(lines, scan, senders, &log_file, rejected_lines);
    let (scanned, rolled_up) = try_join(scanned, try_join_all(rolled_up)).await?;

    let read = begun.elapsed();
    // Only now, with the whole file read and nothing wrong, does anything of it come to be staged.
    let mut entry = entry(&log_file, format, bytes, etag, &scanned);
    if let Some(rejected) = scanned.rejected {
        rejected.stage(&entry).await?;
    }
    let mut failed_lines = Vec::new();
    let mut set_aside = Vec::new();
    for (each, rolled_up) in rollups.iter().zip(rolled_up) {
        let (staging, failed) = match rolled_up {
            Ok(rolled_up) => rolled_up,
            Err(reason) => {
                each.table.notes().set_aside(&log_file, &reason).await?;
                set_aside.push((each.table.definition().name.clone(), reason));
                continue;
            }
        };
        if failed.count > 0 {
            failed_lines.push((each.table.definition().name.clone(), failed.count));
        }
        entry.failed_lines = failed.count as i64;
        entry.failures = failed.kept;
        staging.stage(&entry).await?;
    }
    let reading = Reading {
        bytes,
        text_bytes: scanned.text_bytes,
        lines: scanned.lines,
        rejected_lines: scanned.rejected_lines,
    };
    let spent = Spent {
        fetch,
        compute: read.saturating_sub(fetch),
        put: begun.elapsed().saturating_sub(read),
    };
    Ok(Outcome::Staged(Staged {
        reading,
        spent,
        failed_lines,
        set_aside,
    }))
}

/// Measures how long is waited for a log file's bytes.
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

/// The columns that the rollups need, each once.
fn union_of_columns(rollups: &[&RollupTable]) -> Vec<ScanColumn> {
    let mut columns: Vec<ScanColumn> = Vec::new();
    for column in rollups.iter().flat_map(|each| each.rollup.scan()) {
        if !columns.contains(column) {
            columns.push(column.clone());
        }
    }
    columns
}

/// What each rollup asks of a line. `None` if all lines may matter to one of them.
fn conditions(rollups: &[&RollupTable]) -> Option<Vec<Condition>> {
    let conditions = rollups.iter().map(|each| each.rollup.condition().cloned());
    conditions.collect()
}

/// What the scan of a log file's lines has found.
#[derive(Default)]
struct Scanned {
    text_bytes: u64,
    lines: u64,
    rejected_lines: u64,
    /// Times of the earliest and the latest line, in milliseconds since 1970.
    times: Option<(i64, i64)>,
    rejected: Option<StagingFile>,
}

/// Turns lines into batches, and sends each to every rollup.
async fn scan_lines(
    mut lines: Lines<'_>,
    mut scan: Scan,
    mut rollups: Vec<Sender<RecordBatch>>,
    log_file: &LogFile,
    rejected_lines: &Table,
) -> Result<Scanned, JourneyError> {
    let mut scanned = Scanned::default();
    let mut rejected = RejectedLines::new(log_file);
    let mut chunks = 0;
    while let Some(chunk) = lines.next_chunk()? {
        match chunk {
            Chunk::Overlong(start) => {
                scanned.lines += 1;
                scanned.rejected_lines += 1;
                scan.skip_line();
                rejected.push(scanned.lines, crate::format::Rejection::TooLong, &start);
            }
            Chunk::Lines(text) => {
                for line in each_line(&text) {
                    scanned.lines += 1;
                    match scan.push(line) {
                        Ok(time) => {
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
        if let Some(rows) = rejected.take()? {
            let staging = match &mut scanned.rejected {
                Some(staging) => staging,
                none => none.insert(rejected_lines.staging_file(log_file)?),
            };
            staging.write(vec![rows]).await?;
        }
        chunks += 1;
        if scan.rows() >= BATCH_ROWS_MIN || chunks == BATCH_CHUNKS_MAX {
            send(&mut scan, &mut rollups).await;
            chunks = 0;
        }
    }
    send(&mut scan, &mut rollups).await;
    scanned.text_bytes = lines.text_bytes();
    Ok(scanned)
}

/// Sends the rows since the last batch to every rollup.
async fn send(scan: &mut Scan, rollups: &mut [Sender<RecordBatch>]) {
    if scan.rows() == 0 {
        return;
    }
    let batch = scan.finish();
    for rollup in rollups {
        // A rollup that wants no more has failed, and says so itself.
        let _ = rollup.send(batch.clone()).await;
    }
}

/// The lines of a text without their ends. Unlike `str::lines` it is fast on long lines.
fn each_line(text: &str) -> impl Iterator<Item = &str> {
    let mut start = 0;
    let ends = memchr::memchr_iter(b'\n', text.as_bytes()).chain([text.len()]);
    ends.filter_map(move |end| {
        let line = text.get(start..end)?;
        let last = end == text.len();
        start = end + 1;
        // After the last line end there is no line.
        (!(last && line.is_empty())).then(|| line.strip_suffix('\r').unwrap_or(line))
    })
}

/// What has come of a rollup over a log file: what it is to stage, and the lines on which it fails; or why it fails on the log file
/// as a whole.
type RolledUp = Result<(StagingFile, FailedLines), String>;

/// Runs one rollup over a log file's batches. Fails if nobody can be told apart from the others: the disk is full, or tables can't
/// be written.
async fn roll_up(
    each: &RollupTable,
    log_file: &LogFile,
    columns: &[ScanColumn],
    batches: Receiver<RecordBatch>,
    group_bytes: usize,
) -> Result<RolledUp, JourneyError> {
    let rolled_up = rows_of(each, log_file, columns, batches, group_bytes);
    // A panic in one rollup must not cost the others their log file.
    let error = match AssertUnwindSafe(rolled_up).catch_unwind().await {
        Ok(Ok(rolled_up)) => return Ok(Ok(rolled_up)),
        Ok(Err(error)) => error,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            let what = text.unwrap_or("it panicked");
            return Ok(Err(format!("a bug of logmill: {what}")));
        }
    };
    match error {
        RollupFailure::Staging(error) if error.is_of_store() => Err(error.into()),
        RollupFailure::Staging(error) => Ok(Err(chain(&error))),
        RollupFailure::Sql(error) => match error.find_root() {
            DataFusionError::IoError(_) => Err(JourneyError::Disk {
                rollup: each.table.definition().name.clone(),
                source: error,
            }),
            _ => Ok(Err(format!(
                "the rollup fails on the log file as a whole: {}",
                without_values(&error)
            ))),
        },
    }
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

#[cfg(test)]
mod tests {
    use super::each_line;

    #[test]
    fn lines_are_cut_at_their_ends() {
        let lines = |text| each_line(text).collect::<Vec<_>>();
        assert_eq!(lines("a\nb"), ["a", "b"]);
        assert_eq!(lines("a\r\nb\r\n"), ["a", "b"]);
        assert_eq!(lines("a\n\nb\n\n"), ["a", "", "b", ""]);
        assert!(lines("").is_empty());
        assert_eq!(lines("\n"), [""]);
    }
}
