//! How the way of a log file ends: staged, left alone, or failed.

use std::borrow::Cow;
use std::io;

use logmill_gzip::GunzipError;
use logmill_shared::{LogFile, chain};

use crate::aws::S3ErrorKind;
use crate::format::{LogFormat, ParquetReadError, Rejection, Shape};
use crate::intake::not_staged::{Dependency, Disposition, NotStaged};
use crate::log_file::fetch;
use crate::log_file::reading::{Reading, Spent};
use crate::table::TableError;

/// What became of a log file.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// Every table that reads it has it staged or set aside. It can't be lost any more.
    Staged(Staged),
    /// A known kind that no rollup reads; left alone.
    Skipped(String),
    /// A log in this format, which no rollup here reads.
    NotRead(&'static LogFormat),
    /// An unknown kind; left alone. The text describes the content.
    Unrecognised(&'static str),
}

/// A log file that is staged.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Staged {
    /// The table that its lines are rows of, with their shape if they are not text.
    pub kind: String,
    /// Its size and line counts.
    pub reading: Reading,
    /// Where its time went.
    pub spent: Spent,
    /// Tables whose rollup fails on some of its lines, with the number of these lines.
    pub failed_lines: Vec<(String, u64)>,
    /// Tables whose rollup fails on the whole log file, with the reason. The log file is set aside for them.
    pub set_aside: Vec<(String, String)>,
    /// Whether flate2 read it, because logmill's own decoder refused it.
    pub by_second_opinion: bool,
}

/// Why a log file is not staged, or not for every table.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The object could not be opened; a retry may succeed.
    #[error("cannot be opened")]
    Open(#[from] io::Error),
    /// The bytes can't be read as text. Unless the read itself failed, a retry helps only if the file changes.
    #[error("cannot be read")]
    Unreadable(#[source] GunzipError),
    /// The text is longer than `--max-log-file-bytes`. A retry helps only if the file or the limit changes.
    #[error("cannot be read: {0}; if that size is correct, raise --max-log-file-bytes")]
    TooLarge(String),
    /// A Parquet file can't be decoded. A retry helps only if the file changes.
    #[error("cannot be read")]
    Parquet(#[source] ParquetReadError),
    /// The name is that of a log file, but no line is a log line. A retry helps only if the file changes.
    #[error(
        "the name is that of a log file of {table}, but no line is a log line; the content looks like {what}. \
         Upload the whole log file under the same name, or exclude this file with --ignore"
    )]
    NoLog {
        /// The table that its lines would be rows of.
        table: &'static str,
        /// A description of its content.
        what: &'static str,
    },
    /// Fields with these names are those of a log, but no line can be read. A retry helps only if the file changes.
    #[error("no line can be read as one of {table} in the shape {shape}; the first one: {reason}")]
    NoLine {
        /// The table that its lines would be rows of.
        table: &'static str,
        /// How its lines are written.
        shape: Shape,
        /// Why the first line is none.
        reason: Rejection,
    },
    /// One table's folder can't be written: neither the rows nor a note that they are missing. Other tables may work.
    #[error("cannot be staged for the table '{table}'")]
    TableFolder {
        /// The table's name.
        table: String,
        /// What failed.
        source: TableError,
    },
    /// Writing to the tables failed.
    #[error("cannot be staged")]
    Staging(#[from] TableError),
}

impl From<GunzipError> for PipelineError {
    fn from(error: GunzipError) -> Self {
        match error {
            GunzipError::TooLarge { .. } => Self::TooLarge(error.to_string()),
            error => Self::Unreadable(error),
        }
    }
}

impl From<ParquetReadError> for PipelineError {
    fn from(error: ParquetReadError) -> Self {
        match error {
            ParquetReadError::TooLarge { .. } => Self::TooLarge(error.to_string()),
            ParquetReadError::Read(source) => Self::Open(source),
            error => Self::Parquet(error),
        }
    }
}

impl PipelineError {
    /// Decides what to do about the log file.
    pub(crate) fn disposed(self, log_file: &LogFile) -> NotStaged {
        if let Self::Open(source) | Self::Unreadable(GunzipError::Read { source, .. }) = &self {
            let kind = fetch::kind(source).unwrap_or(S3ErrorKind::Unavailable);
            return NotStaged::by_s3(kind, log_file, chain(&self));
        }
        let (name, disposition) = match &self {
            Self::Open(_) | Self::Unreadable(_) | Self::TooLarge(_) | Self::Parquet(_) => {
                ("unreadable", Disposition::Reject)
            }
            Self::NoLog { .. } | Self::NoLine { .. } => ("no_log", Disposition::Reject),
            Self::TableFolder { .. } => ("table_not_writable", Disposition::Retry),
            Self::Staging(TableError::Internal(_)) => ("bug", Disposition::Reject),
            // Any other cause is not the log file's fault: the store does not answer, or a permission is missing.
            Self::Staging(_) => ("tables_unavailable", Disposition::BackOff(Dependency::All)),
        };
        let reason = chain(&self);
        NotStaged {
            name,
            reason: Cow::Owned(reason),
            disposition,
        }
    }

    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Self::Unreadable(error) if error.is_damage())
    }
}
