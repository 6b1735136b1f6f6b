//! An open log file, whichever way its lines are written.

use std::borrow::Cow;
use std::io::{self, Read};
use std::ops::Range;

use bytes::Bytes;
use logmill_gzip::Decoder;

use super::{Open, PipelineError, Source};
use crate::format::{
    LogFormat, MAGIC, ParquetBatch, ParquetFile, ParquetRows, Pushed, Recognised, Rejection, Scan,
    Shape, by_columns, has_shape, looks_like, recognise,
};
use crate::log_file::lines::{Chunk, Lines};

/// An open log file that is a log, at least by its name.
pub(super) struct OpenLog<'a> {
    body: Body<'a>,
    pub(super) format: &'static LogFormat,
    pub(super) shape: Shape,
    /// A description of its beginning, if only its name says that it is a log.
    pub(super) claim: Option<&'static str>,
}

enum Body<'a> {
    Lines(Box<Lines<'a>>),
    Parquet(Box<ParquetFile<'a>>),
}

impl<'a> OpenLog<'a> {
    /// Opens a file, and recognises it by its name and its beginning. The inner error is what a file is that is not a log.
    pub(super) fn open<O: Open>(
        source: &'a Source<O>,
        decoder: Decoder,
        max_text_bytes: u64,
    ) -> Result<Result<Self, Recognised>, PipelineError>
    where
        O::Reader: 'a,
    {
        let reader = source.open.open(None)?;
        let mut lines = Lines::new(logmill_gzip::open(reader, decoder, max_text_bytes)?);
        let beginning = lines.peek()?;
        let named_as = source.log_file.named_as();
        // A visitor's value may begin a text as well.
        let told = match beginning.starts_with(MAGIC) && source.is_parquet()? {
            true => Recognised::Parquet,
            false => recognise(named_as, source.plain.clone(), beginning),
        };
        let (format, shape, claim) = match told {
            Recognised::Log(format, shape) => (format, shape, None),
            Recognised::Claimed(format) => (format, Shape::Text, Some(looks_like(beginning))),
            Recognised::Parquet => {
                let file = ParquetFile::open(source.bytes, Box::new(|range| source.read(range)))?;
                return Ok(match by_columns(file.names(), source.plain.as_ref()) {
                    Recognised::Log(format, shape) => Ok(Self {
                        body: Body::Parquet(Box::new(file)),
                        format,
                        shape,
                        claim: None,
                    }),
                    other => Err(other),
                });
            }
            other => return Ok(Err(other)),
        };
        Ok(Ok(Self {
            body: Body::Lines(Box::new(lines)),
            format,
            shape,
            claim,
        }))
    }

    /// Starts to read its lines for this scan.
    pub(super) fn records(
        self,
        scan: &Scan,
        max_text_bytes: u64,
    ) -> Result<Records<'a>, PipelineError> {
        Ok(match self.body {
            Body::Lines(lines) => Records::Lines(*lines),
            Body::Parquet(file) => Records::Rows(scan.rows_of(*file, max_text_bytes)?),
        })
    }
}

impl<O: Open> Source<O> {
    /// Whether it begins and ends as Parquet files do.
    fn is_parquet(&self) -> io::Result<bool> {
        let mark = MAGIC.len() as u64;
        if self.bytes < 2 * mark {
            return Ok(false);
        }
        Ok(self.read(self.bytes - mark..self.bytes)? == MAGIC && self.read(0..mark)? == MAGIC)
    }

    /// Reads a range of its bytes.
    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.open.open(Some(range))?.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

/// The lines of a log: lines of text, or rows of Parquet.
pub(super) enum Records<'a> {
    Lines(Lines<'a>),
    Rows(ParquetRows<'a>),
}

/// Some of the lines of a log.
pub(super) enum SomeRecords<'c> {
    Lines(Chunk<'c>),
    Rows(ParquetBatch),
}

impl Records<'_> {
    /// Bytes of text so far, decompressed.
    pub(super) fn text_bytes(&self) -> u64 {
        match self {
            Self::Lines(lines) => lines.text_bytes(),
            Self::Rows(rows) => rows.bytes(),
        }
    }

    /// The next lines, or `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<SomeRecords<'_>>, PipelineError> {
        Ok(match self {
            Self::Lines(lines) => lines.next_chunk()?.map(SomeRecords::Lines),
            Self::Rows(rows) => rows.next_batch()?.map(SomeRecords::Rows),
        })
    }
}

impl SomeRecords<'_> {
    /// Adds the lines to a scan, but for those up to line `after` of the log file. Calls `each` with the number, the result
    /// and the text of each line.
    pub(super) fn scan(
        &self,
        scan: &mut Scan,
        after: i64,
        mut each: impl for<'t> FnMut(i64, Result<Pushed, Rejection>, &dyn Fn() -> Cow<'t, str>),
    ) {
        match self {
            Self::Lines(Chunk::Overlong(start)) => {
                scan.skip_line();
                if scan.line_number() > after {
                    let text = || Cow::Borrowed(start.as_str());
                    each(scan.line_number(), Err(Rejection::TooLong), &text);
                }
            }
            Self::Lines(Chunk::Lines(text)) => {
                for line in each_line(text) {
                    if scan.line_number() < after {
                        scan.pass(line);
                        continue;
                    }
                    let pushed = scan.push(line);
                    each(scan.line_number(), pushed, &|| Cow::Borrowed(line));
                }
            }
            Self::Rows(batch) => {
                for row in batch.rows() {
                    let pushed = scan.push_row(row);
                    each(scan.line_number(), pushed, &|| Cow::Owned(row.to_text()));
                }
            }
        }
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

/// What bears out that a file is a log: one of its lines.
pub(super) struct Evidence {
    format: &'static LogFormat,
    shape: Shape,
    /// A description of its beginning, if only its name says that it is a log.
    claim: Option<&'static str>,
    /// Whether a line was read, and why the first one was not.
    is_read: bool,
    first: Option<Rejection>,
}

impl Evidence {
    pub(super) fn of(log: &OpenLog<'_>) -> Self {
        Self {
            format: log.format,
            shape: log.shape.clone(),
            claim: log.claim,
            is_read: false,
            first: None,
        }
    }

    /// Takes a line of the file, and what a scan says of it.
    #[inline(always)]
    pub(super) fn see<'t>(
        &mut self,
        pushed: &Result<Pushed, Rejection>,
        text: impl Fn() -> Cow<'t, str>,
    ) {
        match pushed {
            Ok(Pushed::Line(_)) => {
                self.is_read = true;
                if self.claim.is_some() && has_shape(self.format, &text()) {
                    self.claim = None;
                }
            }
            Ok(Pushed::Directive) => {}
            Err(reason) => self.first = self.first.or(Some(*reason)),
        }
    }

    /// Whether nothing speaks against it so far.
    pub(super) fn is_enough(&self) -> bool {
        self.claim.is_none() && (self.is_read || self.shape == Shape::Text)
    }

    /// Fails if only its name says that a file is a log, or if none of its lines can be read.
    pub(super) fn confirm(&self) -> Result<(), PipelineError> {
        let table = self.format.table;
        match (self.claim, self.first) {
            (Some(what), _) => Err(PipelineError::NoLog { table, what }),
            (None, Some(reason)) if !self.is_enough() => Err(PipelineError::NoLine {
                table,
                shape: self.shape.clone(),
                reason,
            }),
            _ => Ok(()),
        }
    }
}
