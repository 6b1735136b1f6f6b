//! Reads the lines of one log file as rows of a query.

use arrow::array::RecordBatch;
use datafusion::common::Result as QueryResult;
use logmill_gzip::Decoder;
use tokio::sync::mpsc::Sender;

use super::log::{Evidence, OpenLog, Records};
use super::read::{BATCH_CHUNKS_MAX, BATCH_ROWS_MIN};
use super::{Open, PipelineError, Source};
use crate::format::{LogFormat, Prefilter, Pushed, Recognised, Scan, ScanColumn, unread_by_name};
use crate::log_file::reading::Reading;

/// What a query wants of each line.
#[derive(Debug, Clone)]
pub(crate) struct LinesWanted {
    pub(crate) format: &'static LogFormat,
    /// The columns of the batches.
    pub(crate) columns: Vec<ScanColumn>,
    /// Leaves out lines that the query does not need.
    pub(crate) prefilter: Option<Prefilter>,
    /// The maximum size of the decompressed text, in bytes.
    pub(crate) text_bytes_max: u64,
}

/// How reading a log file ended.
#[derive(Debug)]
pub(crate) enum RowsEnd {
    /// All lines were read.
    Whole,
    /// The query needs no more rows.
    Stopped,
    /// The file has no lines of the wanted format. Nothing of it was sent.
    Other(Recognised),
    /// The rest of the file can't be read. The rows of the lines before it were sent.
    Failed(PipelineError),
}

/// The result of reading a log file.
#[derive(Debug)]
pub(crate) struct ReadRows {
    pub(crate) reading: Reading,
    pub(crate) end: RowsEnd,
    /// Whether flate2 read it, because logmill's own decoder refused it.
    pub(crate) by_second_opinion: bool,
}

/// Reads a log file, and sends its rows to a query. It waits without yielding, so it needs its own thread.
pub(crate) fn read_rows(
    source: &Source<impl Open>,
    wanted: &LinesWanted,
    query: &Sender<QueryResult<RecordBatch>>,
) -> ReadRows {
    let mut rows = Rows {
        source,
        wanted,
        query,
        is_confirmed: false,
        reading: Reading::default(),
        sent: 0,
    };
    let mut by_second_opinion = false;
    let named_as = source.log_file.named_as();
    let end = match unread_by_name(named_as, |format| format == wanted.format) {
        Some(recognised) => RowsEnd::Other(recognised),
        None => match rows.attempt(Decoder::Own) {
            Err(refusal) if refusal.is_damage() => {
                let again = rows.attempt(Decoder::Flate2);
                by_second_opinion = again.is_ok();
                again.unwrap_or_else(|again| match again.is_damage() {
                    true => RowsEnd::Failed(refusal),
                    false => RowsEnd::Failed(again),
                })
            }
            other => other.unwrap_or_else(RowsEnd::Failed),
        },
    };
    ReadRows {
        reading: rows.reading,
        end,
        by_second_opinion,
    }
}

/// A log file that is being read.
struct Rows<'a, O> {
    source: &'a Source<O>,
    wanted: &'a LinesWanted,
    query: &'a Sender<QueryResult<RecordBatch>>,
    /// Whether a line was found that bears out the file's name.
    is_confirmed: bool,
    reading: Reading,
    /// The number of the last line of the log file whose row was sent. A second attempt skips the lines up to it.
    sent: i64,
}

/// The query has all the rows that it needs.
struct Enough;

impl<O: Open> Rows<'_, O> {
    fn attempt(&mut self, decoder: Decoder) -> Result<RowsEnd, PipelineError> {
        let text_bytes_max = self.wanted.text_bytes_max;
        let log = match OpenLog::open(self.source, decoder, text_bytes_max)? {
            Ok(log) => log,
            Err(recognised) => return Ok(RowsEnd::Other(recognised)),
        };
        let (format, mut evidence) = (log.format, Evidence::of(&log));
        if format != self.wanted.format {
            return Ok(RowsEnd::Other(Recognised::Log(format, log.shape)));
        }
        let log_file = &self.source.log_file;
        let scan = Scan::new(format, &log.shape, &self.wanted.columns, log_file);
        let scan = match self.wanted.prefilter.clone() {
            Some(prefilter) => scan.only(prefilter),
            None => scan,
        };
        let mut records = log.records(&scan, text_bytes_max)?;
        if !evidence.is_enough() && !self.is_confirmed {
            // Rows that were sent can't be taken back if the file turns out not to be a log.
            let mut first = scan;
            while let Some(lines) = records.next()? {
                lines.scan(&mut first, 0, |_, pushed, text| evidence.see(&pushed, text));
                let _ = first.finish();
                if evidence.is_enough() {
                    self.is_confirmed = true;
                    return self.attempt(decoder);
                }
                if self.query.is_closed() {
                    return Ok(RowsEnd::Stopped);
                }
            }
            evidence.confirm()?;
            return Ok(RowsEnd::Whole);
        }
        self.scan(records, scan, decoder)
    }

    fn scan(
        &mut self,
        mut records: Records<'_>,
        mut scan: Scan,
        decoder: Decoder,
    ) -> Result<RowsEnd, PipelineError> {
        let mut unsent = Reading::default();
        let mut chunks = 0;
        loop {
            let lines = match records.next() {
                Ok(Some(lines)) => lines,
                Ok(None) => break,
                Err(error) => {
                    // There is no third attempt that would read these lines.
                    if decoder == Decoder::Flate2 || !error.is_damage() {
                        let _ = self.send(&mut scan, &mut unsent);
                    }
                    return Err(error);
                }
            };
            lines.scan(&mut scan, self.sent, |_, pushed, _| {
                if pushed != Ok(Pushed::Directive) {
                    unsent.lines += 1;
                    unsent.rejected_lines += u64::from(pushed.is_err());
                }
            });
            chunks += 1;
            if scan.rows() >= BATCH_ROWS_MIN || chunks == BATCH_CHUNKS_MAX {
                chunks = 0;
                self.reading.text_bytes = records.text_bytes();
                if let Err(Enough) = self.send(&mut scan, &mut unsent) {
                    return Ok(RowsEnd::Stopped);
                }
            }
        }
        self.reading.text_bytes = records.text_bytes();
        Ok(match self.send(&mut scan, &mut unsent) {
            Ok(()) => RowsEnd::Whole,
            Err(Enough) => RowsEnd::Stopped,
        })
    }

    /// Sends the rows since the last batch.
    fn send(&mut self, scan: &mut Scan, unsent: &mut Reading) -> Result<(), Enough> {
        let sent = match scan.rows() {
            0 if self.query.is_closed() => Err(Enough),
            0 => Ok(()),
            _ => self
                .query
                .blocking_send(Ok(scan.finish()))
                .map_err(|_| Enough),
        };
        self.reading.add(&std::mem::take(unsent));
        self.sent = scan.line_number();
        sent
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};
    use std::ops::Range;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use logmill_gzip::IS_BROKEN;
    use logmill_shared::LogFile;
    use tokio::sync::mpsc::channel;

    use super::*;
    use crate::format::{ALB_ACCESS_LOGS, ELB_LOGS};

    const NAME: &str =
        "s3://logs/1_elasticloadbalancing_r_app.a.1_20261120T1005Z_10.0.0.1_r.log.gz";

    fn lines(count: usize) -> String {
        let line = |number: usize| {
            format!(
                "https 2026-11-20T10:00:00.000001Z app/a/1 192.0.2.1:{} - -1 -1 -1 460 - 34 366 \
                 \"GET https://a/{} HTTP/1.1\"\n",
                number % 65_536,
                "x".repeat(number * 7 % 101)
            )
        };
        (0..count).map(line).collect()
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    fn wanted(format: &'static LogFormat) -> LinesWanted {
        LinesWanted {
            format,
            columns: vec![ScanColumn::LineNumber],
            prefilter: None,
            text_bytes_max: 1 << 30,
        }
    }

    fn source(name: &str, bytes: &[u8]) -> Source<impl Open> {
        Source {
            log_file: LogFile::new(name),
            bytes: bytes.len() as u64,
            etag: "etag".to_owned(),
            plain: None,
            open: |_: Option<Range<u64>>| Ok(Cursor::new(bytes.to_vec())),
        }
    }

    /// Reads a file. Returns the number of rows that were sent, too.
    fn read(name: &str, bytes: &[u8], wanted: &LinesWanted) -> (ReadRows, u64) {
        let (sender, mut receiver) = channel(1000);
        let read = read_rows(&source(name, bytes), wanted, &sender);
        drop(sender);
        let mut rows = 0;
        while let Some(batch) = receiver.blocking_recv() {
            rows += batch.unwrap().num_rows() as u64;
        }
        (read, rows)
    }

    #[test]
    fn the_lines_before_damage_are_read_once() {
        let bytes = gzip(&lines(50_000));
        for is_broken in [false, true] {
            // Our decoder then refuses each file at its end, and flate2 goes on after the rows that were sent.
            IS_BROKEN.set(is_broken);
            let (whole, rows) = read(NAME, &bytes, &wanted(&ALB_ACCESS_LOGS));
            assert!(matches!(whole.end, RowsEnd::Whole), "{whole:?}");
            assert_eq!((whole.reading.lines, rows), (50_000, 50_000));
            assert_eq!(whole.by_second_opinion, is_broken);
            let half = &bytes[..bytes.len() / 2];
            let (half, rows) = read(NAME, half, &wanted(&ALB_ACCESS_LOGS));
            assert!(matches!(half.end, RowsEnd::Failed(_)), "{half:?}");
            assert!(rows > 0 && rows < 50_000, "{rows}");
            assert_eq!(half.reading.lines, rows);
        }
        IS_BROKEN.set(false);
    }

    #[test]
    fn only_lines_of_the_wanted_format_are_sent() {
        let other = "text that is no log line\n".repeat(10_000);
        let logs = wanted(&ALB_ACCESS_LOGS);
        let read_all = |text: String| read(NAME, text.as_bytes(), &logs);
        let (of_other_format, rows) = read(NAME, lines(3).as_bytes(), &wanted(&ELB_LOGS));
        assert!(matches!(
            of_other_format.end,
            RowsEnd::Other(Recognised::Log(..))
        ));
        assert_eq!(rows, 0);
        // A name is borne out by one line, wherever it is.
        let (late, rows) = read_all(format!("{other}{}", lines(3)));
        assert!(matches!(late.end, RowsEnd::Whole), "{late:?}");
        assert_eq!((late.reading.rejected_lines, rows), (10_000, 3));
        let (no_log, rows) = read_all(other.clone());
        assert!(
            matches!(no_log.end, RowsEnd::Failed(PipelineError::NoLog { .. })),
            "{no_log:?}"
        );
        assert_eq!(rows, 0);
        let (unknown, _) = read("s3://logs/notes.txt", other.as_bytes(), &logs);
        assert!(
            matches!(unknown.end, RowsEnd::Other(Recognised::Unrecognised(_))),
            "{unknown:?}"
        );
    }

    #[test]
    fn a_query_that_has_enough_rows_stops_the_reading() {
        let text = lines(50_000);
        let (sender, mut receiver) = channel(1);
        let reader = std::thread::spawn(move || {
            let source = source(NAME, text.as_bytes());
            read_rows(&source, &wanted(&ALB_ACCESS_LOGS), &sender)
        });
        assert!(receiver.blocking_recv().unwrap().is_ok());
        drop(receiver);
        let read = reader.join().unwrap();
        assert!(matches!(read.end, RowsEnd::Stopped), "{read:?}");
        assert!(read.reading.lines < 50_000, "{read:?}");
    }
}
