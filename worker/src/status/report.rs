//! The report of a worker: for its own page, and once a minute for the other workers.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::moment::Moment;
use crate::recent_failures::{self, RecentFailure};

/// The most entries that are kept of each list or map in another worker's report. There are fewer reasons, and rarely more tables or
/// kinds.
const ENTRIES_MAX: usize = 200;

/// The sum of the entries that were cut off.
const OTHERS: &str = "others";

/// The report of a worker. Counters count since it started. Members that a report lacks are zero: another version may
/// have written it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerReport {
    /// The name of its machine or container.
    pub host: String,
    /// The version of the program.
    pub version: String,
    /// When it started.
    pub started: Moment,
    /// Whether it is shutting down.
    pub is_stopping: bool,
    /// Whether it commits, or only stages.
    pub commits: bool,
    /// Log files by outcome.
    pub log_files: BTreeMap<String, u64>,
    /// Staged and skipped log files by kind.
    pub kinds: BTreeMap<String, u64>,
    /// Failed attempts by reason.
    pub failures: BTreeMap<String, u64>,
    /// Lines of staged log files.
    pub lines: u64,
    /// Rejected lines of these log files.
    pub rejected_lines: u64,
    /// Bytes of staged log files, as stored.
    pub bytes: u64,
    /// Bytes of staged log files, decompressed.
    pub text_bytes: u64,
    /// Log files that are being staged.
    pub log_files_in_flight: u64,
    /// Log files that make no progress.
    pub stalled_log_files: u64,
    /// Messages in flight.
    pub messages_in_flight: u64,
    /// Messages by outcome.
    pub messages: BTreeMap<String, u64>,
    /// What it did in the last minutes.
    pub recently: Throughput,
    /// The age of the oldest message that it received in the last minutes, in seconds.
    pub oldest_message_seconds: Option<u64>,
    /// Its state of each table. A next generation has its own name.
    pub tables: BTreeMap<String, TableReport>,
    /// Counters of unexpected events that have risen since the start.
    pub notable: Vec<Notable>,
    /// The latest failures.
    pub recent_failures: Vec<RecentFailure>,
}

/// Log files that were staged in a time span.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Throughput {
    /// The length of the span.
    pub seconds: f64,
    /// Log files.
    pub log_files: u64,
    /// Their lines.
    pub lines: u64,
    /// Rejected lines of these log files.
    pub rejected_lines: u64,
    /// Their bytes, as stored.
    pub bytes: u64,
    /// Their bytes, decompressed.
    pub text_bytes: u64,
}

/// The state of a table, as one worker knows it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableReport {
    /// Whether the worker holds the table's lease.
    pub has_lease: bool,
    /// Log files that its commits have counted.
    pub committed_log_files: u64,
    /// When it last committed, or found nothing to commit.
    pub maintained: Option<Moment>,
    /// A problem of the table or its rollup.
    pub trouble: Option<TableTrouble>,
    /// Why it can't commit, compact or vacuum the table.
    pub failing: Option<Failing>,
}

/// A problem of a table or its rollup that a person should know about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableTrouble {
    /// A description, and what to do.
    pub what: String,
    /// Whether something is not counted because of it.
    pub is_failure: bool,
}

/// Maintenance that fails.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failing {
    /// When it failed for the first time since it last succeeded.
    pub since: Moment,
    /// When it last failed.
    pub last: Moment,
    /// The last error.
    pub error: String,
}

/// A counter of unexpected events.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Notable {
    /// The metric, without prefix and suffix.
    pub metric: String,
    /// The table, if it is about one.
    pub table: Option<String>,
    /// Its value.
    pub count: u64,
    /// When it last rose.
    pub last: Moment,
}

impl WorkerReport {
    /// The report for other workers. It has only one failure for each reason, so that it stays small.
    #[must_use]
    pub fn in_short(mut self) -> Self {
        let mut reasons = BTreeSet::new();
        self.recent_failures
            .retain(|failure| reasons.insert(failure.reason.clone()));
        self
    }

    /// A report of another worker, with its texts and lists cut to a bounded length.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        let cut = |text: &mut String| recent_failures::cut(text);
        cut(&mut self.host);
        cut(&mut self.version);
        for counts in [
            &mut self.log_files,
            &mut self.kinds,
            &mut self.failures,
            &mut self.messages,
        ] {
            *counts = std::mem::take(counts)
                .into_iter()
                .take(ENTRIES_MAX)
                .map(|(mut name, count)| {
                    cut(&mut name);
                    (name, count)
                })
                .collect();
        }
        let tables = std::mem::take(&mut self.tables).into_iter();
        self.tables = tables
            .take(ENTRIES_MAX)
            .map(|(mut name, mut table)| {
                cut(&mut name);
                if let Some(trouble) = &mut table.trouble {
                    cut(&mut trouble.what);
                }
                if let Some(failing) = &mut table.failing {
                    cut(&mut failing.error);
                }
                (name, table)
            })
            .collect();
        self.notable.truncate(ENTRIES_MAX);
        for notable in &mut self.notable {
            cut(&mut notable.metric);
            notable.table.as_mut().into_iter().for_each(cut);
        }
        self.recent_failures.truncate(ENTRIES_MAX);
        for failure in &mut self.recent_failures {
            failure.cut();
        }
        // Other values, such as NaN, would give nonsensical rates.
        if !(1.0..=3600.0).contains(&self.recently.seconds) {
            self.recently = Throughput::default();
        }
        self
    }
}

impl WorkerReport {
    /// Adds another worker's counters and gauges, and takes over what both have of the tables and failures.
    pub(super) fn add(&mut self, other: &Self) {
        for (own, others) in [
            (&mut self.log_files, &other.log_files),
            (&mut self.kinds, &other.kinds),
            (&mut self.failures, &other.failures),
            (&mut self.messages, &other.messages),
        ] {
            for (name, count) in others {
                let has_room = own.len() < ENTRIES_MAX || own.contains_key(name);
                let name = if has_room { name } else { OTHERS };
                add(own.entry(name.to_owned()).or_default(), *count);
            }
        }
        for (own, others) in [
            (&mut self.lines, other.lines),
            (&mut self.rejected_lines, other.rejected_lines),
            (&mut self.bytes, other.bytes),
            (&mut self.text_bytes, other.text_bytes),
            (&mut self.log_files_in_flight, other.log_files_in_flight),
            (&mut self.stalled_log_files, other.stalled_log_files),
            (&mut self.messages_in_flight, other.messages_in_flight),
        ] {
            add(own, others);
        }
        self.recently.add(&other.recently);
        self.oldest_message_seconds =
            (self.oldest_message_seconds).max(other.oldest_message_seconds);
        self.recent_failures
            .extend_from_slice(&other.recent_failures);
        self.recent_failures
            .sort_by_key(|failure| std::cmp::Reverse(failure.at));
        self.recent_failures.truncate(ENTRIES_MAX);
    }
}

/// Other workers may write any number.
fn add(own: &mut u64, others: u64) {
    *own = own.saturating_add(others);
}

impl Throughput {
    /// Adds what another worker did. The spans are about as long.
    pub(super) fn add(&mut self, other: &Self) {
        self.seconds = self.seconds.max(other.seconds);
        add(&mut self.log_files, other.log_files);
        add(&mut self.lines, other.lines);
        add(&mut self.rejected_lines, other.rejected_lines);
        add(&mut self.bytes, other.bytes);
        add(&mut self.text_bytes, other.text_bytes);
    }

    /// Log files, lines and decompressed bytes a second.
    pub fn per_second(&self) -> [f64; 3] {
        let per_second = |count: u64| match self.seconds > 0.0 {
            true => count as f64 / self.seconds,
            false => 0.0,
        };
        [self.log_files, self.lines, self.text_bytes].map(per_second)
    }
}
