//! Decides what to do about a log file that could not be staged. The queue, HTTP callers and the log share this decision.
//! Every error is classified by `NotStaged::by_s3` or `PipelineError::disposed`.

use std::borrow::Cow;
use std::fmt;

use logmill_shared::LogFile;

use crate::aws::S3ErrorKind;

/// Why a log file is not staged, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotStaged {
    /// The error's name in metrics, as listed in `docs/operating.md`.
    pub name: &'static str,
    /// The chain of causes, as text. It contains nothing that a visitor wrote.
    pub reason: Cow<'static, str>,
    /// What to do about it.
    pub disposition: Disposition,
}

/// What to do about a failure. Later variants wait longer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disposition {
    /// Retrying cannot help; a person must look at it.
    Reject,
    /// A retry may succeed. The problem is limited to this log file.
    Retry,
    /// A shared dependency is down, so other log files would fail too. Stop taking work and back off.
    BackOff(Dependency),
}

/// A dependency that log files share.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dependency {
    /// A bucket of log files. Log files in other buckets are not affected.
    Bucket(String),
    /// A dependency of all log files: the tables.
    All,
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket(bucket) => write!(f, "s3://{bucket}"),
            Self::All => f.write_str("the tables"),
        }
    }
}

impl Dependency {
    /// The bucket of this log file, or `All` if it is not in a bucket.
    pub(crate) fn bucket_of(log_file: &LogFile) -> Self {
        match log_file.bucket_and_key() {
            Some((bucket, _)) => Self::Bucket(bucket.to_owned()),
            None => Self::All,
        }
    }
}

impl NotStaged {
    /// An error for which no retry can help.
    pub(crate) fn rejected(name: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name,
            reason: reason.into(),
            disposition: Disposition::Reject,
        }
    }

    /// Classifies an S3 error about this log file.
    pub(crate) fn by_s3(kind: S3ErrorKind, log_file: &LogFile, reason: impl ToString) -> Self {
        let outage = || Disposition::BackOff(Dependency::bucket_of(log_file));
        let (name, disposition) = match kind {
            // Deleted, or announced with a wrong key. S3 shows an object by the time it announces it, but not every
            // S3-compatible store does.
            S3ErrorKind::NotFound => ("missing", Disposition::Retry),
            S3ErrorKind::Changed => ("changed", Disposition::Retry),
            S3ErrorKind::Archived => ("archived", Disposition::Reject),
            // Most likely a permission is missing, so all other objects in this bucket would be refused too.
            S3ErrorKind::Refused => ("refused", outage()),
            S3ErrorKind::Unavailable => ("s3_unavailable", outage()),
        };
        Self {
            name,
            reason: Cow::Owned(reason.to_string()),
            disposition,
        }
    }

    /// Classifies a panic while a log file was being staged.
    pub(crate) fn by_panic(panic: impl fmt::Display) -> Self {
        Self::rejected(
            "bug",
            format!("a bug in logmill; please report it: {panic}"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_file() -> LogFile {
        LogFile::in_bucket("logs", "a.log")
    }

    #[test]
    fn an_answer_of_s3_is_about_the_log_file_or_its_bucket() {
        let bucket = Disposition::BackOff(Dependency::Bucket("logs".to_owned()));
        for (kind, expected) in [
            (S3ErrorKind::NotFound, &Disposition::Retry),
            (S3ErrorKind::Changed, &Disposition::Retry),
            (S3ErrorKind::Archived, &Disposition::Reject),
            (S3ErrorKind::Refused, &bucket),
            (S3ErrorKind::Unavailable, &bucket),
        ] {
            let not_staged = NotStaged::by_s3(kind, &log_file(), "why");
            assert_eq!(&not_staged.disposition, expected, "{kind:?}");
        }
    }
}
