//! Finds the problems of a pipeline, the worst first, with the action for each. `docs/operating.md` has the same order and limits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::reasons::reason;
use super::{Gathered, Known, Moment, TableStatus, Worker, words};
use crate::recent_failures::RecentFailure;

/// Log files may be staged for this long before a table is late: commits are due every half minute.
const STAGED_AGE_MAX: Duration = Duration::from_mins(5);

/// Messages may be this old before the status is wrong.
const MESSAGE_AGE_MAX: Duration = Duration::from_mins(15);

/// Maintenance may fail for this long before the status is wrong: a retry may succeed.
const FAILING_MAX: Duration = Duration::from_mins(5);

/// A failed attempt stays a problem for this long.
const FAILURE_IS_RECENT: Duration = Duration::from_mins(10);

/// The same for unexpected counts, such as copies.
const NOTABLE_IS_RECENT: Duration = Duration::from_hours(1);

/// After this long without a report, a worker has most likely died. A report is due each minute.
pub(super) const SILENCE_MAX: Duration = Duration::from_mins(3);

/// If more than this percentage of lines are rejected, the log's format has most likely changed.
const REJECTED_PERCENT_MAX: f64 = 1.0;

/// The most problems that are reported. Other workers' reports may name any tables.
const PROBLEMS_MAX: usize = 50;

/// The conclusion about the whole pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// `None` if there is no problem.
    pub state: Option<Severity>,
    /// In one sentence.
    pub summary: String,
    /// The worst first.
    pub problems: Vec<Problem>,
    /// What could not be checked, so that the conclusion does not cover it.
    pub unknown: Vec<String>,
}

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Log files are not counted, or late. Somebody must act.
    Wrong,
    /// Somebody should look at it, but not at night.
    Look,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub what: String,
    /// The error, if there is one. It may contain text from strangers.
    pub cause: Option<String>,
    /// What to do.
    pub then: String,
}

impl Problem {
    fn new(severity: Severity, what: String, then: &str) -> Self {
        Self {
            severity,
            what,
            cause: None,
            then: then.to_owned(),
        }
    }

    fn by(self, cause: &str) -> Self {
        let cause = (!cause.is_empty()).then(|| cause.to_owned());
        Self { cause, ..self }
    }
}

impl Verdict {
    pub(super) fn of(gathered: &Gathered) -> Self {
        let Gathered {
            at,
            workers,
            tables,
            queue,
            ..
        } = gathered;
        let mut problems = Vec::new();
        if let Some(queue) = queue {
            match &queue.dead {
                Known::Known(dead) if *dead > 0 => problems.push(Problem::new(
                    Severity::Wrong,
                    format!(
                        "{} in the dead-letter queue: {} log files are not counted",
                        words::counted(*dead, "message is", "messages are"),
                        if *dead == 1 { "its" } else { "their" }
                    ),
                    "Find the cause among the failures below or in the log, fix it, then run `logmill replay --dead-letters`.",
                )),
                _ => {}
            }
            if let Known::Unknown(why) = &queue.depth {
                problems.push(
                    Problem::new(
                        Severity::Wrong,
                        "The queue does not answer this worker".to_owned(),
                        "Check the queue, its region and the worker's permissions. Workers keep retrying.",
                    )
                    .by(why),
                );
            }
        }
        let stuck = commits(*at, workers, tables, &mut problems);
        for table in tables {
            backlog(*at, table, stuck.contains(&table.name), &mut problems);
        }
        failures(*at, workers, &mut problems);
        messages(workers, &mut problems);
        troubles(workers, &mut problems);
        notable(*at, workers, &mut problems);
        silence(*at, workers, &mut problems);
        // Stable: problems of the same severity stay in the order above.
        problems.sort_by_key(|problem| problem.severity);
        let mut unknown = unknown(gathered);
        let state = problems.first().map(|problem| problem.severity);
        let summary = summary(state, &problems, gathered);
        if let Some(more) = problems.len().checked_sub(PROBLEMS_MAX + 1) {
            let more = words::counted(more as u64 + 1, "problem is", "problems are");
            unknown.push(format!("{more} not shown"));
            problems.truncate(PROBLEMS_MAX);
        }
        Self {
            summary,
            state,
            problems,
            unknown,
        }
    }
}

fn summary(state: Option<Severity>, problems: &[Problem], gathered: &Gathered) -> String {
    let wrong = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Wrong);
    let has_nothing = gathered
        .workers
        .iter()
        .all(|worker| worker.report.log_files.values().all(|count| *count == 0));
    match state {
        Some(Severity::Wrong) => match wrong.count() {
            1 => "Something is wrong".to_owned(),
            several => format!("{several} things are wrong"),
        },
        Some(Severity::Look) => "Nothing is wrong, but have a look".to_owned(),
        None if has_nothing => "All is well. No log file has come yet".to_owned(),
        None => "All is well".to_owned(),
    }
}

/// Adds tables that can't be committed, compacted or vacuumed. Returns the names of the tables where a person must act.
fn commits(
    now: Moment,
    workers: &[Worker],
    tables: &[TableStatus],
    problems: &mut Vec<Problem>,
) -> BTreeSet<String> {
    let mut stuck = BTreeSet::new();
    let mut failing = BTreeMap::new();
    for worker in workers {
        for (table, report) in &worker.report.tables {
            if let Some(of_table) = &report.failing {
                let known = failing.entry(table).or_insert(of_table);
                if of_table.last > known.last {
                    *known = of_table;
                }
            }
        }
    }
    for (table, failing) in failing {
        let time = now.since(failing.since);
        let severity = match time > FAILING_MAX {
            true => Severity::Wrong,
            false => Severity::Look,
        };
        if severity == Severity::Wrong {
            stuck.insert(table.clone());
        }
        let status = tables.iter().find(|status| status.name == *table);
        let staged = status.and_then(|status| status.staged);
        let waiting = match staged.filter(|staged| staged.log_files > 0) {
            Some(staged) => format!("; {}", are_staged(staged.log_files)),
            None => String::new(),
        };
        let time = words::length(time);
        let what = format!("{table} can't be committed, for {time}{waiting}");
        let then = "The error says what to do. Log files are still staged, and other tables are not affected.";
        problems.push(Problem::new(severity, what, then).by(&failing.error));
    }
    stuck
}

fn are_staged(log_files: u64) -> String {
    words::counted(log_files, "log file is staged", "log files are staged")
}

/// Adds the backlog of a table. A late backlog follows from commits that fail: it is left out if the table is `stuck`.
fn backlog(now: Moment, table: &TableStatus, stuck: bool, problems: &mut Vec<Problem>) {
    let name = &table.name;
    if let Some(problem) = &table.problem {
        let what = format!("{name} can't be read");
        let then = "The error says what to do. If the tables' storage does not answer, workers keep retrying.";
        problems.push(Problem::new(Severity::Wrong, what, then).by(problem));
    }
    if let Some(staged) = &table.staged
        && let Some(oldest) = staged.oldest
        && now.since(oldest) > STAGED_AGE_MAX
        && !stuck
    {
        let what = format!(
            "{name} is late: {}, the oldest for {}",
            are_staged(staged.log_files),
            words::length(now.since(oldest))
        );
        let then = "See which worker holds the lease and how long its commits take. Without a holder, no worker commits.";
        problems.push(Problem::new(Severity::Wrong, what, then));
    }
    if let Some(set_aside) = table.set_aside
        && set_aside.log_files > 0
    {
        let since = set_aside.oldest.map_or(String::new(), |oldest| {
            format!(", the first {} ago", words::length(now.since(oldest)))
        });
        let what = format!(
            "{} set aside for {name}{since}: it does not count them",
            words::counted(set_aside.log_files, "log file is", "log files are")
        );
        let then = "The reasons are in the notes under _set_aside in the table's folder; `logmill verify` names them. Fix the cause, then run `logmill retry`.";
        problems.push(Problem::new(Severity::Wrong, what, then));
    }
}

/// Attempts that have failed recently, one problem for each reason.
fn failures(now: Moment, workers: &[Worker], problems: &mut Vec<Problem>) {
    let mut last: BTreeMap<&str, &RecentFailure> = BTreeMap::new();
    let all = workers
        .iter()
        .flat_map(|worker| &worker.report.recent_failures);
    // Set-aside log files are a problem of their table instead.
    for failure in all.filter(|failure| failure.reason != "set_aside") {
        let known = last.entry(&failure.reason).or_insert(failure);
        if failure.at > known.at {
            *known = failure;
        }
    }
    for (name, failure) in last {
        let age = now.since(failure.at);
        if age > FAILURE_IS_RECENT {
            continue;
        }
        let (severity, meaning, then) = reason(name);
        let what = format!(
            "{meaning}: {name}, the last time {} ago",
            words::length(age)
        );
        let cause = match failure.about.as_str() {
            "" => failure.message.clone(),
            about => format!("{about}: {}", failure.message),
        };
        problems.push(Problem::new(severity, what, then).by(&cause));
    }
    let stalled = workers.iter().map(|worker| worker.report.stalled_log_files);
    let stalled = stalled.fold(0, u64::saturating_add);
    if stalled > 0 {
        let what = format!(
            "{} without progress occupy places",
            words::log_files(stalled)
        );
        let then =
            "The log names them. If all places of a worker are occupied, it exits with an error.";
        problems.push(Problem::new(Severity::Look, what, then));
    }
}

fn messages(workers: &[Worker], problems: &mut Vec<Problem>) {
    let oldest = workers
        .iter()
        .filter_map(|worker| worker.report.oldest_message_seconds);
    let oldest = Duration::from_secs(oldest.max().unwrap_or(0));
    if oldest > MESSAGE_AGE_MAX {
        let what = format!(
            "Messages wait too long: one was {} old when it was received",
            words::length(oldest)
        );
        let then = "Add workers, or see whether S3 or the tables refuse requests. After a replay or an outage, this is expected.";
        problems.push(Problem::new(Severity::Wrong, what, then));
    }
}

fn troubles(workers: &[Worker], problems: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    for worker in workers {
        for (table, report) in &worker.report.tables {
            let Some(trouble) = &report.trouble else {
                continue;
            };
            if seen.insert((table, &trouble.what)) {
                let (severity, what, then) = match trouble.is_failure {
                    true => (
                        Severity::Wrong,
                        format!("{table} has a problem, and does not count everything"),
                        "The cause says what to do. Other tables are not affected.",
                    ),
                    false => (
                        Severity::Look,
                        format!("{table} does not use its rollup's file"),
                        "If the file is right, run `logmill rebuild`.",
                    ),
                };
                problems.push(Problem::new(severity, what, then).by(&trouble.what));
            }
        }
    }
}

/// Unexpected counts, such as copies and failed lines.
fn notable(now: Moment, workers: &[Worker], problems: &mut Vec<Problem>) {
    let mut recently = super::Throughput::default();
    workers
        .iter()
        .for_each(|worker| recently.add(&worker.report.recently));
    let percent = 100.0 * recently.rejected_lines as f64 / recently.lines.max(1) as f64;
    if percent > REJECTED_PERCENT_MAX {
        let what = format!("{percent:.1} % of the lines of the last minutes are rejected");
        let then = "Most likely a log's format has changed. The table rejected_lines has the lines and reasons.";
        problems.push(Problem::new(Severity::Look, what, then));
    }
    let mut sums: BTreeMap<(&str, Option<&str>), (u64, Moment)> = BTreeMap::new();
    for notable in workers.iter().flat_map(|worker| &worker.report.notable) {
        let key = (notable.metric.as_str(), notable.table.as_deref());
        let (count, last) = sums.entry(key).or_default();
        *count = count.saturating_add(notable.count);
        *last = (*last).max(notable.last);
    }
    for ((metric, table), (count, last)) in sums {
        let age = now.since(last);
        if age > NOTABLE_IS_RECENT {
            continue;
        }
        let of = table.map_or(String::new(), |table| format!(" of {table}"));
        let number = words::count(count);
        let (what, then) = match metric {
            "unrecognised" => (
                format!("{number} files are of no known kind"),
                "The log names them. Ignore those that are not logs with --ignore, so that `logmill verify` can be complete.",
            ),
            "failed_lines" => (
                format!("The rollup{of} fails on {number} lines, and leaves them out"),
                "`logmill query 'SELECT * FROM failed_lines'` says why.",
            ),
            "out_of_range_sums" => (
                format!("{number} sums{of} exceed bigint and are NULL"),
                "Columns that end in __sum have the exact values.",
            ),
            "other_rows" => (
                format!("{number} rows{of} combine groups that did not fit into a full hour"),
                "Use fewer or coarser group keys.",
            ),
            "copies" => (
                format!(
                    "{number} log files{of} have the same name as another one, and most likely count twice"
                ),
                "The log names both files. Exclude one of the two folders with --ignore.",
            ),
            "late_log_files" => (
                format!("{number} log files{of} were counted for a time that was final"),
                "Messages are delayed for longer than --delay-max. `logmill status` lists the last ones.",
            ),
            "second_opinions" => (
                format!("{number} log files were read only by the second gzip decoder"),
                "They are counted. Please report this bug.",
            ),
            _ => continue,
        };
        let what = format!("{what}; the last time {} ago", words::length(age));
        problems.push(Problem::new(Severity::Look, what, then));
    }
}

fn silence(now: Moment, workers: &[Worker], problems: &mut Vec<Problem>) {
    for worker in workers.iter().skip(1) {
        let age = now.since(worker.heard);
        if age > SILENCE_MAX {
            let what = format!(
                "The worker on {} has said nothing for {}, and did not say that it stops",
                worker.report.host,
                words::length(age)
            );
            let then = "If nobody stopped it, find out why it died. Nothing is lost: other workers take over its messages and leases.";
            problems.push(Problem::new(Severity::Look, what, then));
        }
    }
    let versions: BTreeSet<&str> = workers
        .iter()
        .map(|worker| worker.report.version.as_str())
        .collect();
    if versions.len() > 1 {
        let versions: Vec<&str> = versions.into_iter().collect();
        let what = format!("Workers have different versions: {}", versions.join(", "));
        let then =
            "During a deployment this is expected. Older workers refuse tables of a newer format.";
        problems.push(Problem::new(Severity::Look, what, then));
    }
}

/// What could not be checked.
fn unknown(gathered: &Gathered) -> Vec<String> {
    let mut unknown = gathered.unread_reports.clone();
    if let Some(queue) = &gathered.queue
        && let Known::Unknown(why) = &queue.dead
    {
        unknown.push(format!(
            "The depth of the dead-letter queue is unknown: {why}"
        ));
    }
    for table in &gathered.tables {
        if let Some(Known::Unknown(why)) = &table.finality {
            let name = &table.name;
            unknown.push(format!("Up to when {name} is final is unknown: {why}"));
        }
        for (what, waiting) in [("staged", table.staged), ("set aside", table.set_aside)] {
            if waiting.is_some_and(|waiting| waiting.are_more) {
                let name = &table.name;
                unknown.push(format!("More log files are {what} for {name} than were looked at; the oldest may be older"));
            }
        }
    }
    unknown
}
