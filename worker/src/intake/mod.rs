//! Where log files come from: by listing, or announced by a queue or over HTTP.

pub(crate) mod s3_uri;
pub mod span;
pub mod ignore;
pub mod copies;
mod bucket;
mod walk;
pub mod listing;
pub mod places;
pub mod queue;
mod visibility;
pub mod sqs;
pub mod http;

use std::borrow::Cow;
use std::future::Future;

use futures::StreamExt;
use futures::stream::{self, Stream};
use logmill_shared::LogFile;
use logmill_shared::notification::Announced;

use crate::aws::Verdict;

/// What log files are announced to.
pub trait Stage: Clone + Send + Sync + 'static {
    /// Stages a log file. `Ok` promises that it is staged, or that no rollup reads it: whoever announced it may forget
    /// it. It does not promise that it is counted yet.
    fn stage(&self, log_file: &LogFile) -> impl Future<Output = Result<Taken, NotStaged>> + Send;
}

/// How a log file's announcement has ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is staged for every rollup that reads it.
    Staged,
    /// No rollup reads it.
    Skipped,
}

/// Why a log file is not staged, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NotStaged {
    /// A name for counting.
    pub name: &'static str,
    /// In words.
    pub reason: Cow<'static, str>,
    /// Whose move is next.
    pub next: Next,
}

impl NotStaged {
    /// Of what S3 has said.
    pub(crate) fn by_s3(verdict: Verdict, reason: impl ToString) -> Self {
        let (name, next) = match verdict {
            // Deleted, or announced by a wrong key. S3 shows what it has announced, but not every store does at once.
            Verdict::NotFound => ("missing", Next::Again),
            Verdict::Changed => ("changed", Next::Again),
            Verdict::Archived => ("archived", Next::Person),
            // Most likely a permission is missing, and all others will be refused as well.
            Verdict::Refused => ("refused", Next::Outage),
            Verdict::Retry => ("s3_unavailable", Next::Outage),
        };
        let reason = Cow::Owned(reason.to_string());
        Self { name, reason, next }
    }
}

/// Whose move is next after a failure, the later the longer to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Next {
    /// It would fail again: a person must look at it.
    Person,
    /// Another time it may succeed: the trouble is this log file's.
    Again,
    /// Another time it may succeed: what fails is what all log files need, and to announce more of them now is no use.
    Outage,
}

/// Stages all log files of a notification, some side by side.
fn stage_all(
    stage: &impl Stage,
    log_files: Vec<Announced>,
    at_once: usize,
) -> impl Stream<Item = (LogFile, Result<Taken, NotStaged>)> + Send {
    stream::iter(log_files)
        .map(move |announced| async move {
            let staged = stage.stage(&announced.log_file).await;
            (announced.log_file, staged)
        })
        .buffer_unordered(at_once)
}
