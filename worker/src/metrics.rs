//! Prometheus metrics of a worker. `docs/operating.md` lists them, and says which to alarm on.

mod samples;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::log_file::reading::{Reading, Spent};
use crate::memory;
use crate::recent_failures::{RecentFailure, RecentFailures};
use crate::table::{Committed, HowMuch};

pub(crate) use samples::Samples;

/// A label name and its value. There are few values of each label, and none is specific to a log file.
type Label = [(&'static str, String); 1];

type Counters = Family<Label, Counter>;
type Gauges = Family<Label, Gauge>;
type Histograms = Family<Label, Histogram, fn() -> Histogram>;

/// Histogram buckets for operations, in seconds: a small log file is staged in a few hundredths, a large one in minutes.
const SECONDS: [f64; 12] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0, 300.0,
];

/// Histogram buckets for waiting times, in seconds: half a minute for a commit, hours in a queue during an outage.
const AGES: [f64; 12] = [
    0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 14400.0,
];

/// All metrics of a worker.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    log_files: Counters,
    kinds: Counters,
    failures: Counters,
    second_opinions: Counter,
    lines: Counter,
    rejected_lines: Counter,
    bytes: Counter,
    text_bytes: Counter,
    log_file_seconds: Histograms,
    log_files_in_flight: Gauge,
    stalled_log_files: Gauge,
    messages_in_flight: Gauge,
    messages: Counters,
    message_age: Histogram,
    left_out: Counters,
    http_requests: Counters,
    http_evicted: Counter,
    lease_held: Gauges,
    last_maintained: Gauges,
    commit_seconds: Histograms,
    committed: Counters,
    staged_to_visible: Histograms,
    version: Gauges,
    maintenance_failures: Counters,
    failed_lines: Counters,
    out_of_range: Counters,
    other_rows: Counters,
    copies: Counters,
    set_aside: Gauges,
    set_aside_age: Gauges,
    troubles: Gauges,
    /// What the counters of failures do not tell.
    recent_failures: RecentFailures,
    /// The age in seconds, plus one, of the oldest message that was received since somebody last asked. Zero if none was.
    oldest_message: AtomicU64,
    alerts: Counters,
    alert_failures: Counters,
    alert_evaluated: Gauges,
    final_until: Gauges,
    late_log_files: Counters,
    memory: Gauge,
    memory_limit: Gauge,
}

/// The outcome of a message.
#[derive(Debug, Clone, Copy)]
pub enum MessageOutcome {
    /// All its log files are staged, and it was deleted.
    Deleted,
    /// It could not be staged, and stays in the queue.
    Returned,
    /// It was staged, but other workers have received it or will receive it.
    Lost,
}

/// Why an announced log file was left alone.
#[derive(Debug, Clone, Copy)]
pub enum LeftAlone {
    /// No rollup reads its kind.
    Skipped,
    /// Its kind is unknown.
    Unrecognised,
    /// An ignore pattern excludes it.
    Ignored,
}

impl LeftAlone {
    fn name(self) -> &'static str {
        match self {
            Self::Skipped => "skipped",
            Self::Unrecognised => "unrecognised",
            Self::Ignored => "ignored",
        }
    }
}

/// Something in progress. The gauge is decremented when this is dropped.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn moment() -> Histogram {
    Histogram::new(SECONDS)
}

fn age() -> Histogram {
    Histogram::new(AGES)
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            registry: Registry::with_prefix("logmill"),
            log_files: Family::default(),
            kinds: Family::default(),
            failures: Family::default(),
            second_opinions: Counter::default(),
            lines: Counter::default(),
            rejected_lines: Counter::default(),
            bytes: Counter::default(),
            text_bytes: Counter::default(),
            log_file_seconds: Family::new_with_constructor(moment),
            log_files_in_flight: Gauge::default(),
            stalled_log_files: Gauge::default(),
            messages_in_flight: Gauge::default(),
            messages: Family::default(),
            message_age: age(),
            left_out: Family::default(),
            http_requests: Family::default(),
            http_evicted: Counter::default(),
            lease_held: Family::default(),
            last_maintained: Family::default(),
            commit_seconds: Family::new_with_constructor(age),
            committed: Family::default(),
            staged_to_visible: Family::new_with_constructor(age),
            version: Family::default(),
            maintenance_failures: Family::default(),
            failed_lines: Family::default(),
            out_of_range: Family::default(),
            other_rows: Family::default(),
            copies: Family::default(),
            set_aside: Family::default(),
            set_aside_age: Family::default(),
            troubles: Family::default(),
            recent_failures: RecentFailures::default(),
            oldest_message: AtomicU64::new(0),
            alerts: Family::default(),
            alert_failures: Family::default(),
            alert_evaluated: Family::default(),
            final_until: Family::default(),
            late_log_files: Family::default(),
            memory: Gauge::default(),
            memory_limit: Gauge::default(),
        }
        .registered()
        .shown()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let registry = &mut self.registry;
        let seconds = || Unit::Seconds;
        registry.register(
            "log_files",
            "Log files by outcome: staged, skipped (of a kind that no rollup reads), unrecognised (of no known kind), ignored (by --ignore), failed (an attempt)",
            self.log_files.clone(),
        );
        registry.register(
            "log_file_kinds",
            "Log files by kind: the log table that their lines are rows of, with their shape if they are not text, or what else they are",
            self.kinds.clone(),
        );
        registry.register(
            "failures",
            "Attempts that failed, by reason",
            self.failures.clone(),
        );
        registry.register(
            "second_opinions",
            "Log files that logmill's own gzip decoder refused, and flate2 read to their end",
            self.second_opinions.clone(),
        );
        registry.register("lines", "Lines of staged log files", self.lines.clone());
        registry.register(
            "rejected_lines",
            "Lines that are not log lines; the table rejected_lines has them",
            self.rejected_lines.clone(),
        );
        registry.register(
            "log_file_bytes",
            "Bytes of staged log files, as stored",
            self.bytes.clone(),
        );
        registry.register(
            "text_bytes",
            "Bytes of staged log files, decompressed",
            self.text_bytes.clone(),
        );
        registry.register_with_unit(
            "log_file",
            "Seconds per log file by step: wait (for its turn), look_up (until S3 answers), fetch (waiting for \
             its bytes), compute, put (staging)",
            seconds(),
            self.log_file_seconds.clone(),
        );
        registry.register(
            "log_files_in_flight",
            "Log files that are being staged",
            self.log_files_in_flight.clone(),
        );
        registry.register(
            "stalled_log_files",
            "Log files that make no progress; each was returned for a retry, and occupies a place until its thread \
             or the worker ends",
            self.stalled_log_files.clone(),
        );
        registry.register(
            "messages_in_flight",
            "Messages in flight",
            self.messages_in_flight.clone(),
        );
        registry.register(
            "messages",
            "Messages by outcome: deleted, returned (to the queue), lost (other workers may have them too)",
            self.messages.clone(),
        );
        registry.register_with_unit(
            "message_age",
            "Seconds from sending a message until its log files are staged",
            seconds(),
            self.message_age.clone(),
        );
        registry.register(
            "left_out",
            "Parts of notifications that announce no log file, or one that the message has already named, by reason",
            self.left_out.clone(),
        );
        registry.register(
            "http_requests",
            "Requests to /v1/log-files, by status",
            self.http_requests.clone(),
        );
        registry.register(
            "http_connections_evicted",
            "HTTP connections that were closed to make room for others",
            self.http_evicted.clone(),
        );
        registry.register(
            "lease_held",
            "Whether this worker holds the table's lease: 1 at one worker, 0 at the others",
            self.lease_held.clone(),
        );
        registry.register_with_unit(
            "table_kept_timestamp",
            "When this worker last committed, or found nothing to commit, in seconds since 1970",
            seconds(),
            self.last_maintained.clone(),
        );
        registry.register_with_unit(
            "commit",
            "Duration of commits to a table in seconds",
            seconds(),
            self.commit_seconds.clone(),
        );
        registry.register(
            "committed_log_files",
            "Log files that this worker's commits have counted in a table",
            self.committed.clone(),
        );
        registry.register_with_unit(
            "staged_to_visible",
            "Seconds from staging the oldest log file of each commit until it was committed",
            seconds(),
            self.staged_to_visible.clone(),
        );
        registry.register(
            "table_version",
            "The version of a table after this worker's last commit",
            self.version.clone(),
        );
        registry.register(
            "upkeep_failures",
            "Commits, compactions and vacuums that failed and are retried",
            self.maintenance_failures.clone(),
        );
        registry.register(
            "failed_lines",
            "Lines in log files staged by this worker on which a table's rollup fails; the table leaves them out",
            self.failed_lines.clone(),
        );
        registry.register(
            "out_of_range_sums",
            "Sums that exceed bigint and are NULL, in the hours that this worker's commits have written; counted \
             again with each commit",
            self.out_of_range.clone(),
        );
        registry.register(
            "other_rows",
            "Rows that combine groups that did not fit into a full hour, in the hours that this worker's commits \
             have written; counted again with each commit",
            self.other_rows.clone(),
        );
        registry.register(
            "copies",
            "Log files that this worker's commits have counted although another one has the same name; most likely \
             copies",
            self.copies.clone(),
        );
        registry.register(
            "set_aside_log_files",
            "Log files that are set aside for a table, as this worker last found",
            self.set_aside.clone(),
        );
        registry.register_with_unit(
            "set_aside_age",
            "Age in seconds of the oldest set-aside log file of a table",
            seconds(),
            self.set_aside_age.clone(),
        );
        registry.register(
            "table_troubles",
            "1 if a person must fix a problem with a table or its rollup, otherwise 0",
            self.troubles.clone(),
        );
        registry.register(
            "alerts",
            "Rows that an alert has returned for the first time, as this worker has found",
            self.alerts.clone(),
        );
        registry.register(
            "alert_failures",
            "Evaluations of an alert that failed, or whose rows the webhook has not taken; they are retried",
            self.alert_failures.clone(),
        );
        registry.register_with_unit(
            "alert_evaluated_timestamp",
            "When this worker last evaluated an alert, or found no other hour final, in seconds since 1970",
            seconds(),
            self.alert_evaluated.clone(),
        );
        registry.register_with_unit(
            "final_until_timestamp",
            "The time up to which a table is final, in seconds since 1970, at the worker that holds the table's lease",
            seconds(),
            self.final_until.clone(),
        );
        registry.register(
            "late_log_files",
            "Log files that this worker's commits have counted for a time that had been final",
            self.late_log_files.clone(),
        );
        let bytes = || Unit::Bytes;
        registry.register_with_unit(
            "memory",
            "Resident memory of this worker",
            bytes(),
            self.memory.clone(),
        );
        registry.register_with_unit(
            "memory_limit",
            "Memory that this worker may use: the limit of its container, or the machine's memory",
            bytes(),
            self.memory_limit.clone(),
        );
        self
    }

    /// All metrics, in Prometheus's text format.
    pub fn text(&self) -> String {
        self.memory
            .set(memory::resident().unwrap_or_default() as i64);
        self.memory_limit.set(memory::limit() as i64);
        let mut text = String::new();
        // Writing to a string can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// All metrics without histograms.
    pub(crate) fn samples(&self) -> Samples {
        Samples::of_text(&self.text())
    }

    /// The last failures, the newest first.
    pub(crate) fn recent_failures(&self) -> Vec<RecentFailure> {
        self.recent_failures.newest()
    }

    pub(crate) fn log_file_in_flight(&self) -> InFlight {
        in_flight(&self.log_files_in_flight)
    }

    pub(crate) fn stalled_log_file(&self) -> InFlight {
        in_flight(&self.stalled_log_files)
    }

    pub(crate) fn message_in_flight(&self) -> InFlight {
        in_flight(&self.messages_in_flight)
    }

    pub(crate) fn staged(&self, reading: &Reading, spent: &Spent) {
        count(&self.log_files, "outcome", "staged", 1);
        self.lines.inc_by(reading.lines);
        self.rejected_lines.inc_by(reading.rejected_lines);
        self.bytes.inc_by(reading.bytes);
        self.text_bytes.inc_by(reading.text_bytes);
        self.step("fetch", spent.fetch);
        self.step("compute", spent.compute);
        self.step("put", spent.put);
    }

    /// Counts a log file of this kind: the table of its lines, with their shape if they are not text, or what else it is.
    pub(crate) fn kind(&self, kind: &str) {
        count(&self.kinds, "kind", kind, 1);
    }

    pub(crate) fn left_alone(&self, outcome: LeftAlone) {
        count(&self.log_files, "outcome", outcome.name(), 1);
    }

    pub(crate) fn second_opinion(&self) {
        self.second_opinions.inc();
    }

    pub(crate) fn not_staged(&self, reason: &'static str, log_file: &str, message: &str) {
        count(&self.log_files, "outcome", "failed", 1);
        self.failed(reason, log_file, message);
    }

    /// Counts a failed attempt, and remembers what it was about. `about` may be empty.
    pub(crate) fn failed(&self, reason: &'static str, about: &str, message: &str) {
        count(&self.failures, "reason", reason, 1);
        self.recent_failures.add(reason, about, message);
    }

    pub(crate) fn step(&self, step: &str, time: Duration) {
        observe(&self.log_file_seconds, "step", step, time);
    }

    pub(crate) fn message(&self, outcome: MessageOutcome) {
        let outcome = match outcome {
            MessageOutcome::Deleted => "deleted",
            MessageOutcome::Returned => "returned",
            MessageOutcome::Lost => "lost",
        };
        count(&self.messages, "outcome", outcome, 1);
    }

    pub(crate) fn message_received(&self, age: Duration) {
        let seconds = age.as_secs().saturating_add(1);
        self.oldest_message.fetch_max(seconds, Ordering::Relaxed);
    }

    /// The age in seconds of the oldest message that was received since the last call.
    pub(crate) fn take_oldest_message(&self) -> Option<u64> {
        self.oldest_message
            .swap(0, Ordering::Relaxed)
            .checked_sub(1)
    }

    pub(crate) fn message_done(&self, age: Duration) {
        self.message_age.observe(age.as_secs_f64());
    }

    pub(crate) fn left_out(&self, reason: &str) {
        count(&self.left_out, "reason", reason, 1);
    }

    pub(crate) fn http_request(&self, status: u16) {
        count(&self.http_requests, "status", &status.to_string(), 1);
    }

    pub(crate) fn http_evicted(&self) {
        self.http_evicted.inc();
    }

    /// Exports counters before the first event, so that the first event is visible as an increase.
    fn shown(self) -> Self {
        let left_alone = [
            LeftAlone::Skipped,
            LeftAlone::Unrecognised,
            LeftAlone::Ignored,
        ];
        for outcome in ["staged", "failed"]
            .into_iter()
            .chain(left_alone.map(LeftAlone::name))
        {
            count(&self.log_files, "outcome", outcome, 0);
        }
        for outcome in ["deleted", "returned", "lost"] {
            count(&self.messages, "outcome", outcome, 0);
        }
        self
    }

    pub(crate) fn set_aside(&self, table: &str, how_much: HowMuch) {
        let table = label("table", table);
        let count = self.set_aside.get_or_create_owned(&table);
        count.set(how_much.log_files as i64);
        let age = self.set_aside_age.get_or_create_owned(&table);
        age.set(how_much.oldest.as_secs() as i64);
    }

    pub(crate) fn trouble(&self, table: &str, is_trouble: bool) {
        let gauge = self.troubles.get_or_create_owned(&label("table", table));
        gauge.set(is_trouble.into());
    }

    pub(crate) fn lease(&self, table: &str, is_held: bool) {
        count(&self.maintenance_failures, "table", table, 0);
        count(&self.committed, "table", table, 0);
        count(&self.copies, "table", table, 0);
        let gauge = self.lease_held.get_or_create_owned(&label("table", table));
        gauge.set(is_held.into());
        if !is_held {
            // The worker that holds the lease knows it better.
            self.final_until.remove(&label("table", table));
        }
    }

    pub(crate) fn committed(&self, table: &str, committed: &Committed, took: Duration) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let gauge = self
            .last_maintained
            .get_or_create_owned(&label("table", table));
        gauge.set(now.unwrap_or_default().as_secs() as i64);
        if committed.entries.is_empty() {
            return;
        }
        let log_files = committed.entries.len() as u64;
        observe(&self.commit_seconds, "table", table, took);
        count(&self.committed, "table", table, log_files);
        let gauge = self.version.get_or_create_owned(&label("table", table));
        gauge.set(committed.version as i64);
        count(&self.out_of_range, "table", table, committed.lost.sums);
        count(&self.other_rows, "table", table, committed.lost.other_rows);
        let copies: HashSet<&String> = committed.copies.iter().map(|(copy, _)| copy).collect();
        count(&self.copies, "table", table, copies.len() as u64);
        if let Some(oldest) = committed.oldest {
            let waited = oldest.elapsed().unwrap_or_default();
            observe(&self.staged_to_visible, "table", table, waited);
        }
    }

    /// `until` is in seconds since 1970.
    pub(crate) fn is_final(&self, table: &str, until: Option<i64>, late: usize) {
        count(&self.late_log_files, "table", table, late as u64);
        if let Some(until) = until {
            let gauge = self.final_until.get_or_create_owned(&label("table", table));
            gauge.set(until);
        }
    }

    pub(crate) fn failed_lines(&self, table: &str, lines: u64) {
        count(&self.failed_lines, "table", table, lines);
    }

    /// Exports the counters of an alert before anything happens.
    pub(crate) fn alert(&self, alert: &str) {
        count(&self.alerts, "alert", alert, 0);
        count(&self.alert_failures, "alert", alert, 0);
    }

    pub(crate) fn alert_rows(&self, alert: &str, rows: u64) {
        count(&self.alerts, "alert", alert, rows);
    }

    pub(crate) fn alert_evaluated(&self, alert: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let gauge = self
            .alert_evaluated
            .get_or_create_owned(&label("alert", alert));
        gauge.set(now.unwrap_or_default().as_secs() as i64);
    }

    /// Counts a failed evaluation or delivery of an alert, and remembers why.
    pub(crate) fn alert_failed(&self, alert: &str, message: &str) {
        count(&self.alert_failures, "alert", alert, 1);
        self.recent_failures.add("alert", alert, message);
    }

    pub(crate) fn maintenance_failed(&self, table: &str) {
        count(&self.maintenance_failures, "table", table, 1);
    }

    /// Remembers why compacting or vacuuming a table failed.
    pub(crate) fn housekeeping_failed(&self, table: &str, message: &str) {
        self.maintenance_failed(table);
        self.recent_failures.add("upkeep", table, message);
    }
}

fn label(name: &'static str, value: &str) -> Label {
    [(name, value.to_owned())]
}

fn count(counters: &Counters, name: &'static str, value: &str, by: u64) {
    counters.get_or_create_owned(&label(name, value)).inc_by(by);
}

fn observe(histograms: &Histograms, name: &'static str, value: &str, time: Duration) {
    let histogram = histograms.get_or_create_owned(&label(name, value));
    histogram.observe(time.as_secs_f64());
}

fn in_flight(gauge: &Gauge) -> InFlight {
    gauge.inc();
    InFlight(gauge.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Entry;

    fn entry() -> Entry {
        Entry {
            log_file: "s3://logs/a.log".to_owned(),
            log_table: "alb_access_logs".to_owned(),
            bytes: 1,
            etag: "etag".to_owned(),
            text_bytes: 1,
            lines: 1,
            rejected_lines: 0,
            rows: 1,
            first_time: None,
            last_time: None,
            failed_lines: 0,
            failures: Vec::new(),
            slots: None,
            pending: false,
        }
    }

    #[test]
    fn metrics_are_prometheus_text() {
        let metrics = Metrics::default();
        let in_flight = metrics.message_in_flight();
        metrics.message(MessageOutcome::Deleted);
        metrics.lease("events", true);
        let committed = Committed {
            entries: vec![entry()],
            version: 7,
            oldest: Some(SystemTime::now() - Duration::from_secs(40)),
            ..Committed::default()
        };
        metrics.committed("events", &committed, Duration::from_secs(1));
        let text = metrics.text();
        for line in [
            "logmill_messages_total{outcome=\"deleted\"} 1",
            "logmill_messages_in_flight 1",
            "logmill_lease_held{table=\"events\"} 1",
            "logmill_table_version{table=\"events\"} 7",
            "logmill_committed_log_files_total{table=\"events\"} 1",
            "logmill_staged_to_visible_seconds_bucket{le=\"60.0\",table=\"events\"} 1",
            "logmill_commit_seconds_sum{table=\"events\"} 1.0",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        drop(in_flight);
        assert!(metrics.text().contains("logmill_messages_in_flight 0\n"));
    }

    #[test]
    fn every_metric_is_documented() {
        let documented = include_str!("../../docs/operating.md");
        let text = Metrics::default().text();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        for line in types {
            let (name, kind) = line.split_once(' ').unwrap();
            let name = match kind {
                "counter" => format!("{name}_total"),
                _ => name.to_owned(),
            };
            assert!(documented.contains(&format!("`{name}`")), "{name}");
        }
    }
}
