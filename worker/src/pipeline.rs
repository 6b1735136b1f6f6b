//! The whole way of one log file, from its bytes to staging:
//! open ▸ gunzip ▸ lines ▸ columns ▸ every rollup's SQL at once ▸ one staged file per rollup.

use std::borrow::Cow;
use std::io::{self, Read};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::error::DataFusionError;
use futures::channel::mpsc::{Receiver, Sender, channel};
use futures::future::{try_join, try_join_all};
use futures::{FutureExt, SinkExt, StreamExt};
use logmill_shared::LogFile;

use crate::aws::{S3ErrorKind, chain};
use crate::feeds::RollupTable;
use crate::format::{
    LogFormat, Prefilter, Recognised, Scan, ScanColumn, by_name, has_shape, looks_like, recognise,
};
use crate::intake::disposition::{Dependency, Disposition, NotStaged};
use crate::log_file::fetch;
use crate::log_file::lines::{Chunk, Lines};
use crate::log_file::reading::{Reading, Spent};
use crate::table::{Entry, FailedLines, RejectedLines, StagingFile, Table, TableError};
use crate::without_values::without_values;
use logmill_gzip::{Decoder, GunzipError};

/// Batches that may wait between the scan and a rollup. One is enough for both to go on; each holds a
/// megabyte of text.
const BATCHES_IN_FLIGHT: usize = 1;

/// Where few lines of a chunk matter, those of several chunks make one batch: until it has so many rows, or so many chunks,
/// each a megabyte at most, have been read.
const BATCH_ROWS_MIN: usize = 1000;
const BATCH_CHUNKS_MAX: usize = 16;

/// The most log files at once. Each takes a thread of Tokio's for what blocks, of which there are 512, and all that reads
/// files or looks up names needs one now and then.
pub const LOG_FILES_AT_ONCE_MAX: usize = 256;

/// A log file to be staged.
pub struct Source<O> {
    /// Its identity.
    pub log_file: LogFile,
    /// Its size in bytes, as stored.
    pub bytes: u64,
    /// Its version.
    pub etag: String,
    /// Opens its bytes, from the first on. It is called again for a second opinion.
    pub open: O,
}

/// Where a log file's way has ended.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// It is staged for every rollup that reads it, or set aside for it: whatever happens now, it is not lost.
    Staged(Staged),
    /// It is of a known kind that no rollup reads, and was left alone.
    Skipped(String),
    /// It is a log of this format, which no rollup here reads.
    NotRead(&'static LogFormat),
    /// It is of no known kind, and was left alone. The text says what it looks like.
    Unrecognised(&'static str),
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
    /// Whether it was read by flate2, as logmill's own decoder refused it.
    pub by_second_opinion: bool,
}

/// Bounds of what a log file may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The most text that it may expand to, in bytes.
    pub text_bytes: u64,
    /// What the groups of one rollup may take before they are flushed, in bytes of memory.
    pub group_bytes: usize,
}

/// Why a log file is not staged. Nothing of it is.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Its bytes can't be had, now.
    #[error("can't be opened")]
    Open(#[from] io::Error),
    /// Its bytes are no text. To try again helps only if the file changes.
    #[error("can't be read")]
    Unreadable(#[from] GunzipError),
    /// Its name is that of a log file, and it has no log line. To try again helps only if the file changes.
    #[error(
        "it is named as a log file of {table}, but none of its lines is a log line; it looks like {what}. Upload the whole \
         log file under the same name, or exclude this one with --ignore"
    )]
    NoLog {
        /// The table that its lines would be rows of.
        table: &'static str,
        /// What it looks like.
        what: &'static str,
    },
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

impl PipelineError {
    /// What is to be done about the log file.
    pub(crate) fn disposed(self, log_file: &LogFile) -> NotStaged {
        if let Self::Open(source) | Self::Unreadable(GunzipError::Read { source, .. }) = &self {
            let kind = fetch::kind(source).unwrap_or(S3ErrorKind::Unavailable);
            return NotStaged::by_s3(kind, log_file, chain(&self));
        }
        let (name, disposition) = match &self {
            Self::Open(_) | Self::Unreadable(_) => ("unreadable", Disposition::Reject),
            Self::NoLog { .. } => ("no_log", Disposition::Reject),
            Self::Disk { .. } => ("disk", Disposition::BackOff(Dependency::All)),
            Self::Staging(TableError::NotOurs { .. } | TableError::Internal(_)) => {
                ("not_stageable", Disposition::Reject)
            }
            // Whatever else it is, it is not the log file's fault: no answer, or no permission any more.
            Self::Staging(_) => ("tables_unavailable", Disposition::BackOff(Dependency::All)),
        };
        let reason = chain(&self);
        NotStaged {
            name,
            reason: Cow::Owned(reason),
            disposition,
        }
    }

    fn is_damage(&self) -> bool {
        matches!(self, Self::Unreadable(error) if error.is_damage())
    }
}

/// Stages a log file for these rollups. It reads and computes without pause, so it needs a thread of its own.
///
/// # Errors
///
/// If nothing of it is staged: see [`PipelineError`].
pub async fn stage<R: Read>(
    source: Source<impl Fn() -> io::Result<R>>,
    rollups: &[&RollupTable],
    rejected_lines: &Table,
    limits: Limits,
) -> Result<Outcome, PipelineError> {
    if let Some(Recognised::Other(kind)) = by_name(source.log_file.named_as()) {
        return Ok(Outcome::Skipped(kind.to_owned()));
    }
    let attempt = async |decoder| stage_by(decoder, &source, rollups, rejected_lines, limits).await;
    let (mut outcome, refusal) = with_second_opinion(attempt).await?;
    if let (Outcome::Staged(staged), Some(refusal)) = (&mut outcome, refusal) {
        staged.by_second_opinion = true;
        tracing::warn!(
            log_file = %source.log_file,
            reason = format!("{:#}", anyhow::Error::new(refusal)),
            "gzip decoders disagree: flate2 reads to the end, with every checksum right, what logmill's own decoder refuses; \
             the log file is counted as flate2 reads it; please report this as a bug"
        );
    }
    Ok(outcome)
}

/// Reads a log file to its end, if it is one, and says what it is: what [`stage`] would find, with nothing staged.
///
/// # Errors
///
/// Those of [`stage`].
pub async fn look<R: Read>(
    log_file: &LogFile,
    open: impl Fn() -> io::Result<R>,
    max_text_bytes: u64,
) -> Result<Recognised, PipelineError> {
    if let Some(told @ Recognised::Other(_)) = by_name(log_file.named_as()) {
        return Ok(told);
    }
    let attempt = async |decoder| {
        let mut lines = Lines::new(logmill_gzip::open(open()?, decoder, max_text_bytes)?);
        let beginning = lines.peek()?;
        let recognised = recognise(log_file.named_as(), beginning);
        // What it looks like, until a log line is found.
        let (format, mut claim) = match recognised {
            Recognised::Log(format) => (format, None),
            Recognised::Claimed(format) => (format, Some(looks_like(beginning))),
            other => return Ok(other),
        };
        while let Some(chunk) = lines.next_chunk()? {
            if claim.is_some()
                && let Chunk::Lines(text) = chunk
                && each_line(&text).any(|line| has_shape(format, line))
            {
                claim = None;
            }
        }
        let table = format.table;
        match claim {
            None => Ok(Recognised::Log(format)),
            Some(what) => Err(PipelineError::NoLog { table, what }),
        }
    };
    let (recognised, _) = with_second_opinion(attempt).await?;
    Ok(recognised)
}

/// Attempts something with logmill's own decoder and, if that finds damage, with flate2. A log file is damaged only if both
/// say so. Also returns what the own decoder found if flate2 succeeded in its place.
async fn with_second_opinion<T>(
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

async fn stage_by<R: Read>(
    decoder: Decoder,
    source: &Source<impl Fn() -> io::Result<R>>,
    rollups: &[&RollupTable],
    rejected_lines: &Table,
    limits: Limits,
) -> Result<Outcome, PipelineError> {
    let Source {
        log_file,
        bytes,
        etag,
        open,
    } = source;
    let begun = Instant::now();
    let mut fetch = Duration::ZERO;
    let reader = Timed {
        reader: open()?,
        time: &mut fetch,
    };
    let mut lines = Lines::new(logmill_gzip::open(reader, decoder, limits.text_bytes)?);
    let beginning = lines.peek()?;
    let recognised = recognise(log_file.named_as(), beginning);
    // What it looks like, if no log line has been found yet.
    let (format, claim) = match recognised {
        Recognised::Log(format) => (format, None),
        Recognised::Claimed(format) => (format, Some(looks_like(beginning))),
        Recognised::Other(kind) => return Ok(Outcome::Skipped(kind.to_owned())),
        Recognised::Unrecognised(what) => return Ok(Outcome::Unrecognised(what)),
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
            log_file,
            &columns,
            receiver,
            limits.group_bytes,
        ));
    }
    let mut scan = Scan::new(format, &columns);
    if let Some(conditions) = conditions(&rollups) {
        scan = scan.only(Prefilter::Any(conditions));
    }
    let scanned = Scanned {
        is_log: claim.is_none(),
        ..Scanned::default()
    };
    let scanned = scan_lines(
        lines,
        format,
        scan,
        senders,
        log_file,
        rejected_lines,
        scanned,
    );
    let (scanned, rolled_up) = try_join(scanned, try_join_all(rolled_up)).await?;
    if let (false, Some(what)) = (scanned.is_log, claim) {
        let table = format.table;
        return Err(PipelineError::NoLog { table, what });
    }

    let read = begun.elapsed();
    // Only now, with the whole file read and nothing wrong, does anything of it come to be staged.
    let entry = entry(log_file, format, *bytes, etag.clone(), &scanned);
    let mut puts = Vec::with_capacity(rollups.len());
    for (each, rolled_up) in rollups.iter().zip(rolled_up) {
        puts.push(put(&each.table, log_file, &entry, rolled_up));
    }
    // Side by side: a disk's sync and a PUT to S3 take many times what they cost.
    let rejected = async {
        match scanned.rejected {
            Some(rejected) => rejected.stage(&entry).await.map_err(Into::into),
            None => Ok(()),
        }
    };
    let (put, ()) = try_join(try_join_all(puts), rejected).await?;
    let mut failed_lines = Vec::new();
    let mut set_aside = Vec::new();
    let mut not_put = None;
    for (each, put) in rollups.iter().zip(put) {
        let name = &each.table.definition().name;
        match put {
            Put::Staged(0) => {}
            Put::Staged(failed) => failed_lines.push((name.clone(), failed)),
            Put::SetAside(reason) => set_aside.push((name.clone(), reason)),
            Put::Neither(error) => not_put = not_put.or(Some(error)),
        }
    }
    // The log file is not done with. The other tables have theirs.
    if let Some(error) = not_put {
        return Err(error.into());
    }
    let reading = Reading {
        bytes: *bytes,
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
        by_second_opinion: false,
    }))
}

/// What has become of a log file for one table.
enum Put {
    /// It is staged. The rollup has failed on so many of its lines.
    Staged(u64),
    /// It is set aside, for this reason.
    SetAside(String),
    /// Neither its rows nor a note that they are missing can be written: something is the matter with the table's folder.
    Neither(TableError),
}

/// Stages what a rollup has made of a log file, or sets the log file aside for its table. Fails if no table can be written.
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
fn conditions(rollups: &[&RollupTable]) -> Option<Vec<Prefilter>> {
    let conditions = rollups.iter().map(|each| each.rollup.condition().cloned());
    conditions.collect()
}

/// What the scan of a log file's lines has found.
#[derive(Default)]
struct Scanned {
    /// Whether some line has the whole shape of a log line.
    is_log: bool,
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
    format: &LogFormat,
    mut scan: Scan,
    mut rollups: Vec<Sender<RecordBatch>>,
    log_file: &LogFile,
    rejected_lines: &Table,
    mut scanned: Scanned,
) -> Result<Scanned, PipelineError> {
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
                            scanned.is_log = scanned.is_log || has_shape(format, line);
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
) -> Result<RolledUp, PipelineError> {
    let rolled_up = rows_of(each, log_file, columns, batches, group_bytes);
    let error = match without_panic(rolled_up).await {
        Ok(Ok(rolled_up)) => return Ok(Ok(rolled_up)),
        Ok(Err(error)) => error,
        Err(panic) => return Ok(Err(panic)),
    };
    match error {
        RollupFailure::Staging(error) => of_one_table(error).map(Err),
        RollupFailure::Sql(error) => match error.find_root() {
            DataFusionError::IoError(_) => Err(PipelineError::Disk {
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

/// Stages what a rollup has made of a log file; or tells why this one can't be staged.
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

/// Why a log file can't be staged for one table. Fails if it can't be for any: what they all need is out of order.
fn of_one_table(error: TableError) -> Result<String, PipelineError> {
    match error.is_of_store() && !error.is_of_its_folder() {
        true => Err(error.into()),
        false => Ok(chain(&error)),
    }
}

/// Works for one rollup. A panic in it must not cost the others their log file.
async fn without_panic<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let done = AssertUnwindSafe(work).catch_unwind().await;
    done.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        format!("a bug of logmill: {}", text.unwrap_or("it panicked"))
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

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};
    use std::sync::Arc;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use futures::stream::BoxStream;
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use object_store::{
        CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
        PutMultipartOptions, PutOptions, PutPayload, PutResult,
    };

    use super::*;
    use crate::feeds::Feeds;
    use crate::rollup::Rollup;
    use crate::table::Root;
    use logmill_gzip::IS_BROKEN;

    const NAME: &str =
        "s3://logs/1_elasticloadbalancing_r_app.a.1_20261120T1005Z_10.0.0.1_r.log.gz";
    const LINE: &str = "https 2026-11-20T10:00:00.000001Z app/a/1 192.0.2.1:2817 - -1 -1 -1 460 - 34 366 \"GET https://a/ HTTP/1.1\"\n";

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// Stages a log file for one rollup. Returns what came of it, and how many log files are staged for the rollup then.
    async fn staged(uri: &str, bytes: Vec<u8>) -> (Result<Outcome, String>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::create(folder.path().to_str().unwrap()).await.unwrap();
        let sql = "SELECT elb, count(*) AS lines FROM alb_access_logs GROUP BY 1";
        let rollup = Rollup::from_sql("by_elb", sql).await.unwrap();
        let tables = Feeds::open(&root, vec![rollup].into()).await.unwrap().0;
        let rollups: Vec<_> = tables.fed().collect();
        let source = Source {
            log_file: LogFile::new(uri),
            bytes: bytes.len() as u64,
            etag: "etag".to_owned(),
            open: || Ok(Cursor::new(bytes.clone())),
        };
        let limits = Limits {
            text_bytes: 1 << 20,
            group_bytes: 1 << 20,
        };
        let outcome = stage(source, &rollups, &tables.rejected_lines, limits).await;
        let outcome = outcome.map_err(|error| format!("{:#}", anyhow::Error::new(error)));
        let open = || Ok(Cursor::new(bytes.clone()));
        let looked = look(&LogFile::new(uri), open, 1 << 20).await;
        assert_eq!(
            looked.is_ok(),
            outcome.is_ok(),
            "what looks says what stages"
        );
        let table = &rollups[0].table;
        let staged = table.staged().await.unwrap().len();
        (outcome, staged)
    }

    #[tokio::test]
    async fn what_our_decoder_refuses_counts_if_flate2_reads_it() {
        let whole = gzip(&LINE.repeat(3));
        let damaged = &whole[..whole.len() - 1];
        for is_broken in [false, true] {
            IS_BROKEN.set(is_broken);
            let (outcome, staged_files) = staged(NAME, whole.clone()).await;
            match outcome.unwrap() {
                Outcome::Staged(staged) => {
                    assert_eq!(staged.by_second_opinion, is_broken);
                    assert_eq!((staged.reading.lines, staged_files), (3, 1));
                }
                other => panic!("{other:?}"),
            }
            // What both refuse is damaged, in the words of the first.
            let (outcome, staged_files) = staged(NAME, damaged.to_vec()).await;
            let error = outcome.unwrap_err();
            assert!(error.contains("the gzip stream is "), "{error}");
            assert_eq!(staged_files, 0);
        }
        IS_BROKEN.set(false);
    }

    #[tokio::test]
    async fn a_name_is_borne_out_by_one_line_wherever_it_is() {
        let unlike = "text that is no log line\n".repeat(10_000);
        for text in [
            LINE.to_owned(),
            format!("{unlike}{LINE}"),
            format!("\u{feff}{LINE}"),
        ] {
            let (outcome, staged) = staged(NAME, gzip(&text)).await;
            assert!(matches!(outcome, Ok(Outcome::Staged(_))), "{outcome:?}");
            assert_eq!(staged, 1);
        }
        // A time in its place, and twelve fields, are no log line yet.
        let loose = "INFO 2026-11-20T10:00:00.123Z worker app.py:42 did a lot of things without any trouble\n";
        for (text, what) in [
            ("\n", "white space"),
            (&unlike, "text"),
            (loose, "text"),
            ("<?xml?>", "XML"),
        ] {
            let (outcome, staged) = staged(NAME, gzip(text)).await;
            let error = outcome.unwrap_err();
            assert!(error.contains(&format!("it looks like {what}")), "{error}");
            assert_eq!(staged, 0, "{error}");
        }
        let (outcome, _) = staged("s3://logs/notes.txt", unlike.into_bytes()).await;
        assert_eq!(outcome, Ok(Outcome::Unrecognised("text of another kind")));
        // Without a byte of text there is nothing to count, and nothing to lose.
        for (uri, bytes) in [
            (NAME, Vec::new()),
            (NAME, gzip("")),
            ("s3://logs/empty.txt", Vec::new()),
        ] {
            let (outcome, staged) = staged(uri, bytes).await;
            assert_eq!(outcome, Ok(Outcome::Skipped("empty file".to_owned())));
            assert_eq!(staged, 0);
        }
    }

    /// A store in which whatever is written of one table's staging panics.
    #[derive(Debug)]
    struct Panicking {
        store: InMemory,
        table: &'static str,
    }

    impl Panicking {
        fn see(&self, path: &Path) {
            let staging = format!("{}/_staging/", self.table);
            assert!(!path.as_ref().contains(&staging), "the store is broken");
        }
    }

    impl std::fmt::Display for Panicking {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Panicking")
        }
    }

    type Stored<T> = object_store::Result<T>;

    #[async_trait::async_trait]
    impl ObjectStore for Panicking {
        async fn put_opts(
            &self,
            path: &Path,
            payload: PutPayload,
            options: PutOptions,
        ) -> Stored<PutResult> {
            self.see(path);
            self.store.put_opts(path, payload, options).await
        }

        async fn put_multipart_opts(
            &self,
            path: &Path,
            options: PutMultipartOptions,
        ) -> Stored<Box<dyn MultipartUpload>> {
            self.see(path);
            self.store.put_multipart_opts(path, options).await
        }

        async fn get_opts(&self, path: &Path, options: GetOptions) -> Stored<GetResult> {
            self.store.get_opts(path, options).await
        }

        fn delete_stream(
            &self,
            paths: BoxStream<'static, Stored<Path>>,
        ) -> BoxStream<'static, Stored<Path>> {
            self.store.delete_stream(paths)
        }

        fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Stored<ObjectMeta>> {
            self.store.list(prefix)
        }

        async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Stored<ListResult> {
            self.store.list_with_delimiter(prefix).await
        }

        async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Stored<()> {
            self.store.copy_opts(from, to, options).await
        }
    }

    #[tokio::test]
    async fn a_panic_in_one_rollup_costs_the_others_nothing() {
        // Rows of megabytes are written while they are made, and a few when the log file has ended.
        let few = "SELECT elb, count(*) AS lines FROM alb_access_logs GROUP BY 1";
        let many = "SELECT time, request_url FROM alb_access_logs";
        let long = LINE.replace("https://a/", &format!("https://a/{}", "x".repeat(60_000)));
        for (sql, text) in [(few, LINE.to_owned()), (many, long.repeat(300))] {
            let url = url::Url::parse("s3://tables/t/").unwrap();
            let store = Panicking {
                store: InMemory::new(),
                table: "broken",
            };
            let root = Root::in_store(url, Arc::new(store));
            let whole = Rollup::from_sql("whole", few).await.unwrap();
            let broken = Rollup::from_sql("broken", sql).await.unwrap();
            let feeds = Feeds::open(&root, vec![whole, broken].into()).await;
            let feeds = feeds.unwrap().0;
            let rollups: Vec<_> = feeds.fed().collect();
            let log_file = LogFile::new(NAME);
            let source = Source {
                log_file: log_file.clone(),
                bytes: text.len() as u64,
                etag: "etag".to_owned(),
                open: || Ok(Cursor::new(text.clone().into_bytes())),
            };
            let limits = Limits {
                text_bytes: 1 << 30,
                group_bytes: 1 << 20,
            };
            let outcome = stage(source, &rollups, &feeds.rejected_lines, limits).await;
            let Outcome::Staged(staged) = outcome.unwrap() else {
                panic!("not staged");
            };
            let reason = "a bug of logmill: the store is broken".to_owned();
            assert_eq!(staged.set_aside, [("broken".to_owned(), reason.clone())]);
            let ids = rollups[0].table.staged().await.unwrap();
            assert!(ids.contains(&log_file.id()));
            let waiting = root.waiting("broken").await.unwrap();
            assert_eq!(waiting.set_aside(log_file.id()), Some(reason.as_str()));
            let committed = rollups[0].table.commit().await.unwrap();
            assert_eq!(committed.entries.len(), 1);
        }
    }

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
