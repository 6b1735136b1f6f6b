//! The way of one log file, from its bytes to staging: open, scan and aggregate, stage.
//!
//! [`stage`] does all of it. Each step has a file: `read` turns bytes into lines and batches of columns, `aggregate` runs
//! the rollups over them, and `put` stages the results. Nothing is staged until the whole log file has been read.
//!
//! `rows` is for queries over log lines: it sends the batches to the query, and stages nothing.

mod outcome;
mod log;
mod read;
mod rows;
mod aggregate;
mod put;

use std::cell::Cell;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join;
use logmill_gzip::Decoder;
use logmill_shared::{LogFile, chain};

use crate::feeds::{Feed, RollupTable, Unfed};
use log::OpenLog;

use crate::format::{LogFormat, PlainLog, Recognised, unread_by_name};
use crate::intake::file_rules::FileRules;
use crate::intake::log_object::LogObject;
use crate::log_file::reading::Spent;
use crate::table::{Table, TableError};

pub use outcome::{Outcome, PipelineError, Staged};
pub use read::look;
pub(crate) use rows::{LinesWanted, ReadRows, RowsEnd, read_rows};

/// The maximum number of log files at once. Each takes one of Tokio's 512 threads for blocking work. Everything that reads
/// files or looks up names needs such a thread now and then.
pub const LOG_FILES_AT_ONCE_MAX: usize = 256;

/// Opens a log file.
pub trait Open {
    /// What reads its bytes.
    type Reader: Read;

    /// Opens its bytes from the beginning, or a range of them.
    ///
    /// # Errors
    ///
    /// It can't be opened.
    fn open(&self, range: Option<Range<u64>>) -> io::Result<Self::Reader>;
}

impl<R: Read, F: Fn(Option<Range<u64>>) -> io::Result<R>> Open for F {
    type Reader = R;

    fn open(&self, range: Option<Range<u64>>) -> io::Result<R> {
        self(range)
    }
}

/// A log file to be staged.
pub struct Source<O> {
    /// Its identity.
    pub log_file: LogFile,
    /// Its size in bytes, as stored.
    pub bytes: u64,
    /// Its version.
    pub etag: String,
    /// How its lines are written, if somebody has said so.
    pub plain: Option<PlainLog>,
    /// Opens it. Called again for a second opinion.
    pub open: O,
}

/// A log file that a listing has found.
pub fn source<'f>(found: &'f LogObject, rules: &FileRules) -> Source<impl Open + use<'f>> {
    Source {
        log_file: found.log_file.clone(),
        bytes: found.bytes,
        etag: found.etag.clone(),
        plain: rules.plain(&found.log_file),
        open: |range: Option<Range<u64>>| found.open(range),
    }
}

/// Limits for one log file.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The maximum size of the decompressed text, in bytes.
    pub text_bytes: u64,
    /// Memory that the groups of one rollup may take before they are flushed, in bytes.
    pub group_bytes: usize,
}

/// Stages a log file for these tables. It reads and computes without yielding, so it needs its own thread.
///
/// # Errors
///
/// If the log file is not staged, or not for every table: see [`PipelineError`].
#[tracing::instrument(name = "log_file", skip_all, fields(uri = %source.log_file))]
pub async fn stage(
    source: Source<impl Open>,
    feeds: &[Arc<Feed>],
    limits: Limits,
) -> Result<Outcome, PipelineError> {
    let named_as = source.log_file.named_as();
    match unread_by_name(named_as, |format| is_read(feeds, format)) {
        Some(Recognised::Other(kind)) => return Ok(Outcome::Skipped(kind.to_owned())),
        Some(Recognised::Claimed(format)) => return Ok(Outcome::NotRead(format)),
        _ => {}
    }
    let attempt = async |decoder| stage_by(decoder, &source, feeds, limits).await;
    let (mut outcome, refusal) = read::with_second_opinion(attempt).await?;
    if let (Outcome::Staged(staged), Some(refusal)) = (&mut outcome, refusal) {
        staged.by_second_opinion = true;
        tracing::warn!(
            log_file = %source.log_file,
            reason = chain(&refusal),
            "gzip decoders disagree: logmill's own decoder refuses the log file, but flate2 reads it to the end \
             with correct checksums; the log file is counted as flate2 reads it; please report this as a bug"
        );
    }
    Ok(outcome)
}

/// Whether any of these tables reads logs in this format.
pub(crate) fn is_read(feeds: &[Arc<Feed>], format: &'static LogFormat) -> bool {
    Readers::of(feeds, format).is_some()
}

/// The whole way of a log file: open it, aggregate its lines, stage the results.
async fn stage_by(
    decoder: Decoder,
    source: &Source<impl Open>,
    feeds: &[Arc<Feed>],
    limits: Limits,
) -> Result<Outcome, PipelineError> {
    let begun = Instant::now();
    let fetch = Cell::new(Duration::ZERO);
    let timed = source.timed(&fetch);
    let log = match OpenLog::open(&timed, decoder, limits.text_bytes)? {
        Ok(log) => log,
        Err(Recognised::Unrecognised(what)) => return Ok(Outcome::Unrecognised(what)),
        Err(Recognised::Other(kind)) => return Ok(Outcome::Skipped(kind.to_owned())),
        Err(Recognised::Log(..) | Recognised::Claimed(_) | Recognised::Parquet) => {
            return Err(TableError::Internal("a log was not opened".to_owned()).into());
        }
    };
    let Some(readers) = Readers::of(feeds, log.format) else {
        return Ok(Outcome::NotRead(log.format));
    };
    let (scan, columns) = read::scan_for(&log, &readers.rollups, &source.log_file);
    let (batches, results) = aggregate::aggregate_all(
        &readers.rollups,
        &source.log_file,
        &columns,
        limits.group_bytes,
    );
    let (file, bytes_max) = (&source.log_file, limits.text_bytes);
    let scanned = read::scan_lines(log, scan, bytes_max, batches, file, readers.rejected_lines);
    let (scanned, results) = try_join(scanned, results).await?;
    let fetch = fetch.get();

    // The whole file has been read, and it is a log. Only now is anything staged.
    let read = begun.elapsed();
    let mut staged = put::put_all(source, scanned, &readers, results).await?;
    staged.spent = Spent {
        fetch,
        compute: read.saturating_sub(fetch),
        put: begun.elapsed().saturating_sub(read),
    };
    Ok(Outcome::Staged(staged))
}

impl<O: Open> Source<O> {
    /// The same, adding the time spent reading to `time`.
    fn timed<'a>(&'a self, time: &'a Cell<Duration>) -> Source<impl Open> {
        Source {
            log_file: self.log_file.clone(),
            bytes: self.bytes,
            etag: self.etag.clone(),
            plain: self.plain.clone(),
            open: move |range: Option<Range<u64>>| {
                let reader = self.open.open(range)?;
                Ok(read::Timed { reader, time })
            },
        }
    }
}

/// The tables that a log file is staged for.
struct Readers<'f> {
    rollups: Vec<&'f RollupTable>,
    rejected_lines: Option<&'f Table>,
    unfed: Vec<&'f Unfed>,
}

impl<'f> Readers<'f> {
    /// Those of the tables that read this format. The format of a table that can't be fed is unknown, so it may read any.
    /// Returns `None` if there are tables of rollups, but no rollup reads the format.
    fn of(feeds: &'f [Arc<Feed>], format: &'static LogFormat) -> Option<Self> {
        let mut readers = Self {
            rollups: Vec::new(),
            rejected_lines: None,
            unfed: Vec::new(),
        };
        let mut reads_other_formats = false;
        for feed in feeds {
            match &**feed {
                Feed::Rollup(each) if each.rollup.format() == format => readers.rollups.push(each),
                Feed::Rollup(_) => reads_other_formats = true,
                Feed::RejectedLines(table) => readers.rejected_lines = Some(table),
                Feed::Unfed(unfed) => readers.unfed.push(unfed),
            }
        }
        let has_none = readers.rollups.is_empty() && readers.unfed.is_empty();
        (!(has_none && reads_other_formats)).then_some(readers)
    }
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

    /// Opens these bytes.
    pub(super) fn in_memory(bytes: &[u8]) -> impl Open {
        |range: Option<Range<u64>>| {
            let range = range.unwrap_or(0..bytes.len() as u64);
            let range = range.start as usize..range.end as usize;
            Ok(Cursor::new(bytes[range].to_vec()))
        }
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// Stages a log file for one rollup. Returns the outcome, and the number of log files that are then staged for the
    /// rollup.
    async fn staged(uri: &str, bytes: Vec<u8>) -> (Result<Outcome, String>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let root = Root::create(folder.path().to_str().unwrap()).await.unwrap();
        let sql = "SELECT elb, count(*) AS lines FROM alb_access_logs GROUP BY 1";
        let rollup = Rollup::from_sql("by_elb", sql).await.unwrap();
        let tables = Feeds::open(&root, vec![rollup].into()).await.unwrap().0;
        let source = || Source {
            log_file: LogFile::new(uri),
            bytes: bytes.len() as u64,
            etag: "etag".to_owned(),
            plain: None,
            open: in_memory(&bytes),
        };
        let limits = Limits {
            text_bytes: 1 << 20,
            group_bytes: 1 << 20,
        };
        let outcome = stage(source(), &tables.tables, limits).await;
        let outcome = outcome.map_err(|error| chain(&error));
        let looked = look(&source(), 1 << 20).await;
        assert_eq!(
            looked.is_ok(),
            outcome.is_ok(),
            "what looks says what stages"
        );
        let table = tables.tables[0].table().unwrap();
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
            // A file that both decoders refuse is damaged. The error is that of the first.
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
        // A time in its field and twelve fields do not make a log line.
        let loose = "INFO 2026-11-20T10:00:00.123Z worker app.py:42 did a lot of things without any trouble\n";
        for (text, what) in [
            ("\n", "white space"),
            (&unlike, "text"),
            (loose, "text"),
            ("<?xml?>", "XML"),
        ] {
            let (outcome, staged) = staged(NAME, gzip(text)).await;
            let error = outcome.unwrap_err();
            assert!(
                error.contains(&format!("the content looks like {what}")),
                "{error}"
            );
            assert_eq!(staged, 0, "{error}");
        }
        let (outcome, _) = staged("s3://logs/notes.txt", unlike.into_bytes()).await;
        assert_eq!(outcome, Ok(Outcome::Unrecognised("text of another kind")));
        // Without any text there is nothing to count, and nothing to lose.
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

    /// A store that panics on every write to the staging of one table.
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
        // A few rows are written when the log file has ended. Megabytes of rows are written while they are made.
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
            let log_file = LogFile::new(NAME);
            let source = Source {
                log_file: log_file.clone(),
                bytes: text.len() as u64,
                etag: "etag".to_owned(),
                plain: None,
                open: in_memory(text.as_bytes()),
            };
            let limits = Limits {
                text_bytes: 1 << 30,
                group_bytes: 1 << 20,
            };
            let outcome = stage(source, &feeds.tables, limits).await;
            let Outcome::Staged(staged) = outcome.unwrap() else {
                panic!("not staged");
            };
            let reason = "a bug in logmill; please report it: the store is broken".to_owned();
            assert_eq!(staged.set_aside, [("broken".to_owned(), reason.clone())]);
            let ids = feeds.tables[0].table().unwrap().staged().await.unwrap();
            assert!(ids.contains(&log_file.id()));
            let notes = root.notes("broken").await.unwrap().read().await.unwrap();
            assert_eq!((notes[0].id, &notes[0].reason), (log_file.id(), &reason));
            let committed = feeds.tables[0].table().unwrap().commit().await.unwrap();
            assert_eq!(committed.entries.len(), 1);
        }
    }

    #[test]
    fn lines_are_cut_at_their_ends() {
        let lines = |text| log::each_line(text).collect::<Vec<_>>();
        assert_eq!(lines("a\nb"), ["a", "b"]);
        assert_eq!(lines("a\r\nb\r\n"), ["a", "b"]);
        assert_eq!(lines("a\n\nb\n\n"), ["a", "", "b", ""]);
        assert!(lines("").is_empty());
        assert_eq!(lines("\n"), [""]);
    }
}
