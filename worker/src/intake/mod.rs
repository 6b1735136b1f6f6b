//! Sources of log files: listings, and announcements through a queue or over HTTP.

pub mod span;
pub mod file_rules;
pub mod copies;
pub mod log_object;
mod bucket;
mod walk;
mod folder;
pub mod listing;
pub mod not_staged;
pub mod allowed_locations;
mod failures;
pub mod queue;
pub mod sqs_queue;
#[cfg(test)]
mod memory_queue;
pub(crate) mod message;
mod visibility;
mod deletions;
mod outages;
pub(crate) mod consumer;
pub(crate) mod connections;
pub mod token;
pub mod http;

use std::future::Future;

use futures::StreamExt;
use futures::stream::{self, Stream};
use logmill_shared::LogFile;
use logmill_shared::notification::Announced;

use not_staged::NotStaged;

/// Stages announced log files.
pub trait Stage: Clone + Send + Sync + 'static {
    /// Stages a log file. `Ok` promises that every table that reads it has it staged or set aside, or that no rollup reads
    /// it. So its announcement can be dropped. It does not promise that the log file is counted yet.
    fn stage(
        &self,
        log_file: &LogFile,
    ) -> impl Future<Output = Result<StageOutcome, NotStaged>> + Send;
}

/// The result of an announcement that succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageOutcome {
    /// Every table that reads it has it staged or set aside.
    Staged,
    /// No rollup reads it.
    Skipped,
    /// No rollup reads it: its name or a pattern of `--ignore` says so. Nothing was requested from its bucket.
    NotRequested,
}

/// Stages all log files of a notification, up to `at_once` concurrently.
fn stage_all(
    stage: &impl Stage,
    log_files: Vec<Announced>,
    at_once: usize,
) -> impl Stream<Item = (LogFile, Result<StageOutcome, NotStaged>)> + Send {
    stream::iter(log_files)
        .map(move |announced| async move {
            let staged = stage.stage(&announced.log_file).await;
            (announced.log_file, staged)
        })
        .buffer_unordered(at_once)
}
