//! What is done about a log file that could not be staged: one answer for the queue, for callers over HTTP, and for the log.
//! Every error comes to it by `NotStaged::by_s3` or `PipelineError::disposed`.

use std::borrow::Cow;
use std::fmt;

use logmill_shared::LogFile;

use crate::aws::S3ErrorKind;

/// Why a log file is not staged, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotStaged {
    /// A name for counting, as `docs/operating.md` lists them.
    pub name: &'static str,
    /// The chain of causes, in words. Nothing in it was written by a visitor.
    pub reason: Cow<'static, str>,
    /// What to do.
    pub disposition: Disposition,
}

/// What to do about a failure, the later the longer to wait.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disposition {
    /// It would fail again: a person must look at it.
    Reject,
    /// Another time it may succeed: the trouble is this log file's.
    Retry,
    /// Another time it may succeed: what fails is what others need too, and to try more of them now is no use.
    BackOff(Dependency),
}

/// What log files depend on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Dependency {
    /// A bucket of log files. Those in other buckets go on.
    Bucket(String),
    /// What all log files need: the tables, or this machine's disk.
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
    /// The bucket that this log file is in.
    pub(crate) fn bucket_of(log_file: &LogFile) -> Self {
        match log_file.bucket_and_key() {
            Some((bucket, _)) => Self::Bucket(bucket.to_owned()),
            None => Self::All,
        }
    }
}

impl NotStaged {
    /// It is known beforehand that no retry helps.
    pub(crate) fn rejected(name: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name,
            reason: reason.into(),
            disposition: Disposition::Reject,
        }
    }

    /// By an answer of S3 about this log file.
    pub(crate) fn by_s3(kind: S3ErrorKind, log_file: &LogFile, reason: impl ToString) -> Self {
        let outage = || Disposition::BackOff(Dependency::bucket_of(log_file));
        let (name, disposition) = match kind {
            // Deleted, or announced by a wrong key. S3 shows what it has announced, but not every store does at once.
            S3ErrorKind::NotFound => ("missing", Disposition::Retry),
            S3ErrorKind::Changed => ("changed", Disposition::Retry),
            S3ErrorKind::Archived => ("archived", Disposition::Reject),
            // Most likely a permission is missing, and all others in this bucket will be refused as well.
            S3ErrorKind::Refused => ("refused", outage()),
            S3ErrorKind::Unavailable => ("s3_unavailable", outage()),
        };
        Self {
            name,
            reason: Cow::Owned(reason.to_string()),
            disposition,
        }
    }

    /// By a panic in a log file's journey.
    pub(crate) fn by_panic(panic: impl fmt::Display) -> Self {
        Self::rejected("bug", format!("a bug of logmill: {panic}"))
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
