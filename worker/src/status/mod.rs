//! The state of a pipeline, for a person on call. Everything here is computed from facts that were gathered before: no requests, no
//! clock. `commands/serve` gathers them, and returns the page, or the same as JSON.

mod report;
mod reasons;
mod verdict;
mod words;
mod tables;
mod page;

use serde::Serialize;

use crate::moment::Moment;

pub use page::{Page, page};
pub use report::{Failing, Notable, TableReport, TableTrouble, Throughput, WorkerReport};
pub use verdict::{Problem, Severity, Verdict};

/// The gathered facts about a pipeline, and what follows from them.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The conclusion from all of it.
    pub verdict: Verdict,
    /// When it was gathered.
    pub at: Moment,
    /// The id of the worker that answers the request.
    pub answered_by: String,
    /// The sums over all workers.
    pub totals: WorkerReport,
    /// All workers that have written a report, the answering one first.
    pub workers: Vec<Worker>,
    /// Why the other workers' reports, or some of them, could not be read.
    pub unread_reports: Vec<String>,
    /// The tables that rollups feed.
    pub tables: Vec<TableStatus>,
    /// The queue, if there is one.
    pub queue: Option<QueueStatus>,
    /// The worker's settings, without secrets.
    pub settings: Vec<Setting>,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Worker {
    /// The id, which names the worker's object in the folder of tables.
    pub id: String,
    /// When it wrote its report.
    pub heard: Moment,
    /// The report.
    pub report: WorkerReport,
}

/// A table, according to its folder. A figure is `None` if it could not be read.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TableStatus {
    /// Its name.
    pub name: String,
    /// What feeds it.
    pub fed_by: String,
    /// The generation that is live.
    pub generation: Option<String>,
    /// The version of its log.
    pub version: Option<u64>,
    /// Rows.
    pub rows: Option<u64>,
    /// Data files.
    pub files: Option<u64>,
    /// Their size in bytes.
    pub bytes: Option<u64>,
    /// The time of the newest line that it has counted.
    pub newest_line: Option<Moment>,
    /// When it last counted a log file.
    pub last_commit: Option<Moment>,
    /// Log files that are staged and not counted yet.
    pub staged: Option<Waiting>,
    /// Log files that are set aside.
    pub set_aside: Option<Waiting>,
    /// Up to when it is final. `None` if that is not recorded for this table.
    pub finality: Option<Known<Finality>>,
    /// Its next generation, if a rebuild fills one: log files that are staged for it.
    pub next: Option<NextGeneration>,
    /// Why it, or a part of it, could not be read.
    pub problem: Option<String>,
}

/// Up to when a table is final: `docs/final.md` says what that means.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Finality {
    /// All lines before this time are counted, as long as the bound on delays holds. `None` if nothing is final yet.
    pub until: Option<Moment>,
    /// What must happen before a later time is final. It names nodes of load balancers.
    pub waits_for: String,
    /// Nodes that are waited for.
    pub active_nodes: u64,
    /// Log files that were counted for a time that was already final.
    pub late_log_files: u64,
}

/// Log files that wait to be counted by a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// Their number.
    pub log_files: u64,
    /// Since when the oldest one waits.
    pub oldest: Option<Moment>,
    /// Whether there are more, which were not read.
    pub are_more: bool,
}

/// A table's next generation.
#[derive(Debug, Clone, Serialize)]
pub struct NextGeneration {
    /// Its name.
    pub name: String,
    /// Log files that are staged for it. `None` if it could not be read.
    pub staged: Option<Waiting>,
}

/// A queue.
#[derive(Debug, Clone, Serialize)]
pub struct QueueStatus {
    /// Its name.
    pub name: String,
    /// Its messages.
    pub depth: Known<Depth>,
    /// The messages in its dead-letter queue.
    pub dead: Known<u64>,
}

/// The messages of a queue, as SQS counts them: approximately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Depth {
    /// Those that can be received.
    pub waiting: u64,
    /// Those that are in progress at some worker.
    pub in_flight: u64,
    /// Those that can be received only later.
    pub delayed: u64,
}

/// A figure, or why it is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Known<T> {
    /// The figure.
    Known(T),
    /// Why it is unknown.
    Unknown(String),
}

impl<T> Known<T> {
    /// The figure, if it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(figure) => Some(figure),
            Self::Unknown(_) => None,
        }
    }
}

/// A setting.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// Its name.
    pub name: &'static str,
    /// Its value.
    pub value: String,
}

/// The gathered facts, before any conclusion.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// When.
    pub at: Moment,
    /// All workers, the answering one first.
    pub workers: Vec<Worker>,
    /// Why the other workers' reports, or some of them, could not be read.
    pub unread_reports: Vec<String>,
    /// The tables.
    pub tables: Vec<TableStatus>,
    /// The queue.
    pub queue: Option<QueueStatus>,
    /// The settings.
    pub settings: Vec<Setting>,
}

impl Status {
    /// Sums up the gathered facts, and draws the conclusion.
    pub fn of(gathered: Gathered) -> Self {
        let verdict = Verdict::of(&gathered);
        let reports = gathered.workers.iter().map(|worker| &worker.report);
        let mut totals = WorkerReport::default();
        reports.for_each(|report| totals.add(report));
        let Gathered {
            at,
            workers,
            unread_reports,
            tables,
            queue,
            settings,
        } = gathered;
        Self {
            verdict,
            at,
            answered_by: workers
                .first()
                .map(|worker| worker.id.clone())
                .unwrap_or_default(),
            totals,
            workers,
            unread_reports,
            tables,
            queue,
            settings,
        }
    }
}

#[cfg(test)]
mod tests;
