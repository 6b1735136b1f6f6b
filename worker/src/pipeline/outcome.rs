//! How the way of a log file ends: staged, left alone, or failed.

use std::borrow::Cow;
use std::io;

use datafusion::error::DataFusionError;
use logmill_gzip::GunzipError;
use logmill_shared::LogFile;

use crate::aws::{S3ErrorKind, chain};
use crate::format::LogFormat;
use crate::intake::disposition::{Dependency, Disposition, NotStaged};
use crate::log_file::fetch;
use crate::log_file::reading::{Reading, Spent};
use crate::table::TableError;

/// What became of a log file.
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

    pub(super) fn is_damage(&self) -> bool {
        matches!(self, Self::Unreadable(error) if error.is_damage())
    }
}
