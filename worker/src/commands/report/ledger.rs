//! The log files of a range, according to a table's ledger: their number by hour, and hours without any.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::TryStreamExt;
use logmill_shared::Shard;

use super::model::{Chart, Drawing, Ledger, Series};
use super::number::{Number, Unit};
use super::range::{Grain, Range};
use crate::table::{Entry, TableError, Version};

/// Maximum number of shards that are read to find the ledger's newest or earliest line.
const SHARDS_AT_AN_END: usize = 3;

/// Maximum number of hours that are counted separately. A hundred years have fewer.
const HOURS_MAX: usize = 1_000_000;

/// Maximum number of gaps that are listed.
const GAPS_MAX: usize = 20;

const HOUR: i64 = 3600;
const MILLISECONDS: i64 = 1000;

/// The earliest and the newest line that a table has counted, in seconds since 1970, according to the first and the last hours of its
/// ledger.
///
/// # Errors
///
/// If the ledger can't be read.
pub(super) async fn ends(version: &Version) -> Result<Option<(i64, i64)>, TableError> {
    let hours: Vec<Shard> = version
        .ledger_shards()
        .filter(|shard| day(shard).is_some())
        .cloned()
        .collect();
    let hours = match hours.is_empty() {
        // Log files whose names have no time.
        true => version.ledger_shards().cloned().collect(),
        false => hours,
    };
    let early = hours.iter().take(SHARDS_AT_AN_END);
    let late = hours.iter().rev().take(SHARDS_AT_AN_END);
    let some: Vec<Shard> = early.chain(late).cloned().collect();
    let entries = version.counted_entries(&some).await?;
    let first = entries.values().filter_map(|entry| entry.first_time).min();
    let last = entries.values().filter_map(|entry| entry.last_time).max();
    let seconds = |time: i64| time.div_euclid(MILLISECONDS);
    Ok(first
        .zip(last)
        .map(|(first, last)| (seconds(first), seconds(last))))
}

/// The day in the name of a shard, in seconds since 1970.
fn day(shard: &Shard) -> Option<i64> {
    let day = shard.as_str().get(..10)?;
    let days = logmill_trino::cast::varchar_to_date(day).ok()?;
    Some(i64::from(days) * Grain::Day.seconds())
}

#[derive(Debug, Default)]
struct Hour {
    log_files: i64,
    lines: i64,
    rejected_lines: i64,
}

/// What the ledger says about the log files whose last line is in this range.
///
/// # Errors
///
/// If the ledger can't be read.
pub(super) async fn ledger(
    version: &Arc<Version>,
    range: Range,
    newest_line: Option<i64>,
    grain: Grain,
    of_rejected_lines: bool,
) -> Result<Ledger, TableError> {
    // The time in the name of a log file is the end of its interval. Names without a time may have lines of any time.
    let margin = Grain::Day.seconds();
    let may_be_in = |shard: &&Shard| {
        day(shard).is_none_or(|day| day < range.to + margin && day + margin > range.from - margin)
    };
    let shards: Vec<Shard> = version.ledger_shards().filter(may_be_in).cloned().collect();
    let mut ledger = Ledger {
        newest_line,
        ..Ledger::default()
    };
    let mut hours = BTreeMap::new();
    let batches = Arc::clone(version).entries_by_shard(shards);
    let mut batches = std::pin::pin!(batches);
    while let Some(entries) = batches.try_next().await? {
        for entry in entries {
            ledger.add(&entry, range, &mut hours);
        }
    }
    // Few log files have rejected lines, so hours without them mean nothing.
    if !of_rejected_lines {
        ledger.find_gaps(&hours);
    }
    if !hours.is_empty() {
        ledger.chart = Some(chart(&hours, range, grain.max(Grain::Hour)));
    }
    Ok(ledger)
}

impl Ledger {
    fn add(&mut self, entry: &Entry, range: Range, hours: &mut BTreeMap<i64, Hour>) {
        // A log file with only rejected lines has no time. It belongs to every range.
        let last = entry.last_time.map(|time| time.div_euclid(MILLISECONDS));
        if last.is_some_and(|last| last < range.from || last >= range.to) {
            return;
        }
        self.log_files += 1;
        self.lines += entry.lines;
        self.rejected_lines += entry.rejected_lines;
        self.failed_lines += entry.failed_lines;
        let Some(last) = last else { return };
        let first = entry
            .first_time
            .map_or(last, |time| time.div_euclid(MILLISECONDS));
        self.first_line = Some(self.first_line.map_or(first, |line| line.min(first)));
        self.last_line = self.last_line.max(Some(last));
        let hour = last.div_euclid(HOUR) * HOUR;
        if hours.len() < HOURS_MAX || hours.contains_key(&hour) {
            let of_hour = hours.entry(hour).or_default();
            of_hour.log_files += 1;
            of_hour.lines += entry.lines;
            of_hour.rejected_lines += entry.rejected_lines;
        }
    }

    fn find_gaps(&mut self, hours: &BTreeMap<i64, Hour>) {
        let after = hours.keys().skip(1);
        for (hour, next) in hours.keys().zip(after) {
            let missing = (next - hour) / HOUR - 1;
            if missing > 0 {
                self.hours_without += missing;
                if self.gaps.len() < GAPS_MAX {
                    self.gaps.push((hour + HOUR, missing));
                }
            }
        }
    }
}

fn chart(hours: &BTreeMap<i64, Hour>, range: Range, grain: Grain) -> Chart {
    let mut buckets: BTreeMap<i64, [i64; 3]> = BTreeMap::new();
    let covered = hours.keys().next().zip(hours.keys().next_back());
    for empty in grain.buckets(range) {
        // Nothing is missing where there can't be a log file.
        if covered.is_some_and(|(first, last)| empty >= grain.start(*first) && empty <= *last) {
            buckets.insert(empty, [0; 3]);
        }
    }
    for (hour, of_hour) in hours {
        let bucket = buckets.entry(grain.start(*hour)).or_default();
        bucket[0] += of_hour.log_files;
        bucket[1] += of_hour.lines;
        bucket[2] += of_hour.rejected_lines;
    }
    let values = |place: usize| {
        let values = buckets
            .values()
            .map(|bucket| Some(Number::Whole(i128::from(bucket[place]))));
        values.collect()
    };
    let names = ["log files", "lines", "rejected lines"];
    let series = names.iter().enumerate().map(|(place, name)| Series {
        name: (*name).to_owned(),
        values: values(place),
        before: false,
    });
    Chart {
        title: "Log files and lines counted".to_owned(),
        drawing: Drawing::Lines,
        unit: Unit::Number,
        bucket: grain.seconds(),
        grain,
        x: buckets.keys().copied().collect(),
        series: series.collect(),
        sql: String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_without_log_files_are_gaps() {
        let mut ledger = Ledger::default();
        let hours = [10, 11, 14, 20].map(|hour| (hour * HOUR, Hour::default()));
        ledger.find_gaps(&hours.into_iter().collect());
        assert_eq!(ledger.gaps, [(12 * HOUR, 2), (15 * HOUR, 5)]);
        assert_eq!(ledger.hours_without, 7);
    }
}
