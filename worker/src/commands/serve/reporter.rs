//! Makes a worker's report from its current metrics, its metrics some minutes ago, and the problems of its tables.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::tables::Tables;
use crate::metrics::{Metrics, Samples};
use crate::moment::Moment;
use crate::sleep::sleep_or_stop;
use crate::status::{Notable, TableReport, Throughput, WorkerReport};

/// How often the metrics are saved.
const INTERVAL: Duration = Duration::from_secs(10);

/// Number of intervals that are kept: five minutes.
const INTERVALS: usize = 30;

/// Counters of unexpected events, by table.
const NOTABLE_BY_TABLE: [&str; 5] = [
    "failed_lines",
    "out_of_range_sums",
    "other_rows",
    "copies",
    "late_log_files",
];

/// Makes a worker's report.
pub(super) struct Reporter {
    host: String,
    started: Moment,
    commits: bool,
    tables: Arc<Tables>,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    history: Mutex<History>,
}

/// Earlier values of the metrics. Bounded: there are few counters, and a fixed number of moments.
#[derive(Debug, Default)]
struct History {
    moments: VecDeque<Remembered>,
    notable: BTreeMap<(&'static str, Option<String>), (u64, Moment)>,
}

#[derive(Debug)]
struct Remembered {
    at: Instant,
    /// Log files, lines, rejected lines, bytes, decompressed bytes.
    staged: [u64; 5],
    oldest_message: Option<u64>,
}

fn staged(samples: &Samples) -> [u64; 5] {
    [
        samples.of("log_files", "staged"),
        samples.get("lines"),
        samples.get("rejected_lines"),
        samples.get("log_file_bytes"),
        samples.get("text_bytes"),
    ]
}

impl History {
    fn remember(&mut self, now: Instant, samples: &Samples, oldest_message: Option<u64>) {
        if self.moments.len() > INTERVALS {
            self.moments.pop_front();
        }
        self.moments.push_back(Remembered {
            at: now,
            staged: staged(samples),
            oldest_message,
        });
        let unrecognised = samples.of("log_files", "unrecognised");
        let second_opinions = samples.get("second_opinions");
        let own = [
            ("unrecognised", None, unrecognised),
            ("second_opinions", None, second_opinions),
        ];
        let of_tables = NOTABLE_BY_TABLE.into_iter().flat_map(|metric| {
            let values = samples.by_label(metric).into_iter();
            values.map(move |(table, value)| (metric, Some(table), value))
        });
        for (metric, table, value) in own.into_iter().chain(of_tables) {
            let known = self.notable.entry((metric, table)).or_default();
            if value > known.0 {
                *known = (value, Moment::now());
            }
        }
    }

    fn recently(&self, now: Instant, samples: &Samples) -> Throughput {
        let Some(first) = self.moments.front() else {
            return Throughput::default();
        };
        let mut risen = staged(samples);
        for (risen, before) in risen.iter_mut().zip(first.staged) {
            *risen = risen.saturating_sub(before);
        }
        let [log_files, lines, rejected_lines, bytes, text_bytes] = risen;
        Throughput {
            // A worker that has just started has no rate yet.
            seconds: now.duration_since(first.at).as_secs_f64().max(1.0),
            log_files,
            lines,
            rejected_lines,
            bytes,
            text_bytes,
        }
    }
}

impl Reporter {
    pub(super) fn new(
        tables: &Arc<Tables>,
        metrics: &Arc<Metrics>,
        commits: bool,
        stop: &CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            host: host(),
            started: Moment::now(),
            commits,
            tables: Arc::clone(tables),
            metrics: Arc::clone(metrics),
            stop: stop.clone(),
            history: Mutex::default(),
        })
    }

    /// Saves the metrics at intervals.
    pub(super) async fn remember(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        while !stop.is_cancelled() {
            let (samples, oldest) = (self.metrics.samples(), self.metrics.take_oldest_message());
            self.history().remember(Instant::now(), &samples, oldest);
            sleep_or_stop(INTERVAL, &stop).await;
        }
        Ok(())
    }

    fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker's current report.
    pub(super) fn report(&self) -> WorkerReport {
        let samples = self.metrics.samples();
        let history = self.history();
        let oldest_message = history
            .moments
            .iter()
            .filter_map(|moment| moment.oldest_message)
            .max();
        let notable = history.notable.iter().filter(|(_, (count, _))| *count > 0);
        let notable = notable.map(|((metric, table), (count, last))| Notable {
            metric: (*metric).to_owned(),
            table: table.clone(),
            count: *count,
            last: *last,
        });
        let mut failures = samples.by_label("failures");
        let upkeep: u64 = samples.by_label("upkeep_failures").values().sum();
        let alerts: u64 = samples.by_label("alert_failures").values().sum();
        for (reason, count) in [("upkeep", upkeep), ("alert", alerts)] {
            if count > 0 {
                failures.insert(reason.to_owned(), count);
            }
        }
        WorkerReport {
            host: self.host.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started,
            is_stopping: self.stop.is_cancelled(),
            commits: self.commits,
            log_files: samples.by_label("log_files"),
            kinds: samples.by_label("log_file_kinds"),
            failures,
            lines: samples.get("lines"),
            rejected_lines: samples.get("rejected_lines"),
            bytes: samples.get("log_file_bytes"),
            text_bytes: samples.get("text_bytes"),
            log_files_in_flight: samples.get("log_files_in_flight"),
            stalled_log_files: samples.get("stalled_log_files"),
            messages_in_flight: samples.get("messages_in_flight"),
            messages: samples.by_label("messages"),
            recently: history.recently(Instant::now(), &samples),
            oldest_message_seconds: oldest_message,
            tables: self.of_tables(&samples),
            notable: notable.collect(),
            recent_failures: self.metrics.recent_failures(),
        }
    }

    fn of_tables(&self, samples: &Samples) -> BTreeMap<String, TableReport> {
        let mut tables: BTreeMap<String, TableReport> = BTreeMap::new();
        for (table, is_held) in samples.by_label("lease_held") {
            let maintained = samples.of("table_kept_timestamp_seconds", &table) as i64;
            let report = TableReport {
                has_lease: is_held > 0,
                committed_log_files: samples.of("committed_log_files", &table),
                maintained: (maintained > 0).then(|| Moment::of_milliseconds(1000 * maintained)),
                ..TableReport::default()
            };
            tables.insert(table, report);
        }
        for (table, state) in self.tables.states.all() {
            let report = tables.entry(table).or_default();
            (report.trouble, report.failing) = (state.trouble, state.failing);
        }
        tables
    }
}

/// The name of this machine or container.
fn host() -> String {
    let of_kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = of_kernel.or_else(|| std::env::var("HOSTNAME").ok());
    let name = name
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty());
    name.unwrap_or_else(|| "a machine without a name".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::LeftAlone;

    #[test]
    fn a_rate_is_that_of_the_last_minutes_and_what_rises_is_notable() {
        let metrics = Metrics::default();
        let mut history = History::default();
        let begun = Instant::now();
        assert_eq!(
            history.recently(begun, &metrics.samples()),
            Throughput::default()
        );
        for interval in 0..100 {
            metrics.failed_lines("events", 1);
            let oldest = (interval == 3).then_some(70);
            history.remember(begun + interval * INTERVAL, &metrics.samples(), oldest);
        }
        assert_eq!(history.moments.len(), INTERVALS + 1);
        let seconds = history
            .recently(begun + 99 * INTERVAL, &metrics.samples())
            .seconds;
        assert_eq!(seconds, 300.0);
        assert!(
            history
                .moments
                .iter()
                .all(|moment| moment.oldest_message.is_none())
        );
        let of_events = ("failed_lines", Some("events".to_owned()));
        let (count, last) = history.notable[&of_events];
        assert_eq!(count, 100);
        assert_eq!(history.notable[&("unrecognised", None)].0, 0);
        metrics.left_alone(LeftAlone::Unrecognised);
        history.remember(begun + 100 * INTERVAL, &metrics.samples(), None);
        assert_eq!(history.notable[&("unrecognised", None)].0, 1);
        assert_eq!(history.notable[&of_events], (100, last));
    }
}
