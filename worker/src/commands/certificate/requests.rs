//! Compares AWS's own count of requests, the metric `RequestCount` of CloudWatch, with the lines that a table has counted.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use logmill_shared::{LogFile, Shard};
use serde::Deserialize;

use super::file::{CountedLogFile, RequestRecord};
use super::tables::OpenTable;

const SECONDS_PER_HOUR: i64 = 3600;
const SECONDS_PER_DAY: i64 = 24 * SECONDS_PER_HOUR;

/// Maximum size of a file of counts: a minute's data point takes about 100 bytes, so this is a year of them.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Log tables with a line for each request, and whose load balancers have a `RequestCount`.
const WITH_REQUESTS: [&str; 2] = ["alb_access_logs", "elb_logs"];

/// `RequestCount` of some load balancers: requests by the second since 1970 at which a period begins.
#[derive(Debug, Default)]
pub struct RequestCounts(BTreeMap<String, BTreeMap<i64, i64>>);

/// The output of `aws cloudwatch get-metric-statistics` or `aws cloudwatch get-metric-data`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Printed {
    #[serde(rename_all = "PascalCase")]
    Statistics { datapoints: Vec<Datapoint> },
    #[serde(rename_all = "PascalCase")]
    Data {
        metric_data_results: Vec<Series>,
        next_token: Option<String>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Datapoint {
    timestamp: String,
    sum: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Series {
    label: String,
    timestamps: Vec<String>,
    values: Vec<f64>,
    status_code: Option<String>,
}

impl RequestCounts {
    /// Reads files: each as `FILE`, or as `BALANCER=FILE` if the file does not name the load balancer.
    ///
    /// # Errors
    ///
    /// A file can't be read, is not what the AWS CLI prints, or does not say which load balancer it is about.
    pub fn load(files: &[String]) -> Result<Self> {
        let mut counts = Self::default();
        for file in files {
            let (balancer, path) = match file.split_once('=') {
                Some((balancer, path)) if is_balancer(balancer) => (Some(balancer), path),
                _ => (None, file.as_str()),
            };
            let added = read(path).and_then(|text| counts.add(balancer, &text));
            added.with_context(|| format!("the counts of requests in {path} cannot be used"))?;
        }
        Ok(counts)
    }

    fn add(&mut self, balancer: Option<&str>, text: &str) -> Result<()> {
        let printed: Printed = serde_json::from_str(text).context(
            "expected the JSON that `aws cloudwatch get-metric-statistics` or `get-metric-data` prints",
        )?;
        match printed {
            Printed::Statistics { datapoints } => {
                let Some(balancer) = balancer else {
                    bail!(
                        "the file does not say which load balancer it is about: write --request-count BALANCER=FILE, with the \
                         balancer as in app/my-loadbalancer/50dc6c495c0c9188"
                    );
                };
                let points = datapoints.into_iter().map(|point| {
                    let sum = point
                        .sum
                        .context("a data point has no Sum: ask CloudWatch with --statistics Sum")?;
                    Ok((point.timestamp, sum))
                });
                let points: Vec<_> = points.collect::<Result<_>>()?;
                self.add_series(balancer, points)
            }
            Printed::Data {
                metric_data_results,
                next_token,
            } => {
                if next_token.is_some() {
                    bail!("the output goes on: it has a NextToken");
                }
                if balancer.is_some() && metric_data_results.len() > 1 {
                    bail!("the file has several metrics, but one load balancer was given for it");
                }
                metric_data_results
                    .into_iter()
                    .try_for_each(|series| self.add_data(balancer, series))
            }
        }
    }

    fn add_data(&mut self, balancer: Option<&str>, series: Series) -> Result<()> {
        let balancer = balancer.unwrap_or_else(|| series.label.trim());
        if !is_balancer(balancer) || balancer == "RequestCount" {
            bail!(
                "the label {balancer:?} is not the name of a load balancer: ask CloudWatch with the label \
                 \"${{PROP('Dim.LoadBalancer')}}\""
            );
        }
        let status = series.status_code.as_deref().unwrap_or("Complete");
        if status != "Complete" {
            bail!("the counts of {balancer} are incomplete: their StatusCode is {status:?}");
        }
        if series.timestamps.len() != series.values.len() {
            bail!("{balancer} has not as many Values as Timestamps");
        }
        self.add_series(balancer, series.timestamps.into_iter().zip(series.values))
    }

    fn add_series(
        &mut self,
        balancer: &str,
        points: impl IntoIterator<Item = (String, f64)>,
    ) -> Result<()> {
        let series = self.0.entry(balancer.to_owned()).or_default();
        for (timestamp, requests) in points {
            let time = DateTime::parse_from_rfc3339(&timestamp);
            let time = time.with_context(|| format!("{timestamp:?} is not a time"))?;
            // Doubles hold integers up to 2^53 exactly.
            if !(0.0..9e15).contains(&requests) || requests.fract() != 0.0 {
                bail!("{requests} at {timestamp} is not a number of requests");
            }
            if series.insert(time.timestamp(), requests as i64).is_some() {
                bail!("{balancer} has two counts for {timestamp}");
            }
        }
        Ok(())
    }

    /// The names of the load balancers.
    pub(super) fn balancers(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The records of a table: of each load balancer and day with a count.
    pub(super) fn records(
        &self,
        table: &str,
        days: &Range<NaiveDate>,
        lines: &LinesByHour,
    ) -> Vec<RequestRecord> {
        let mut records = Vec::new();
        for (balancer, counts) in &self.0 {
            let is_hourly = is_hourly(counts);
            let mut day = days.start;
            while day < days.end {
                let Some(next) = day.succ_opt() else { break };
                let hours = hour_of(day)..hour_of(next);
                let of_day = hours.start * SECONDS_PER_HOUR..hours.end * SECONDS_PER_HOUR;
                let counted: Vec<(i64, i64)> = counts
                    .range(of_day)
                    .map(|(time, requests)| (time.div_euclid(SECONDS_PER_HOUR), *requests))
                    .collect();
                if !counted.is_empty() {
                    let record = lines.record(balancer, hours, &counted, is_hourly);
                    records.push(RequestRecord {
                        table: table.to_owned(),
                        day: day.to_string(),
                        ..record
                    });
                }
                day = next;
            }
        }
        records
    }
}

/// Whether each count covers an hour or less, according to the shortest time between two counts.
fn is_hourly(counts: &BTreeMap<i64, i64>) -> bool {
    let times: Vec<&i64> = counts.keys().collect();
    let shortest = times.windows(2).map(|pair| pair[1] - pair[0]).min();
    shortest.is_some_and(|seconds| seconds <= SECONDS_PER_HOUR)
}

fn read(path: &str) -> Result<String> {
    let bytes = std::fs::metadata(Path::new(path))?.len();
    if bytes > FILE_BYTES_MAX {
        bail!("the file has {bytes} bytes; the maximum is {FILE_BYTES_MAX}");
    }
    Ok(std::fs::read_to_string(path)?)
}

/// Whether a text can be the name of a load balancer in CloudWatch.
fn is_balancer(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'/';
    !text.is_empty() && text.bytes().all(is_allowed)
}

/// The first hour of a day, since 1970.
fn hour_of(day: NaiveDate) -> i64 {
    let seconds = day.and_time(NaiveTime::MIN).and_utc().timestamp();
    seconds.div_euclid(SECONDS_PER_DAY) * (SECONDS_PER_DAY / SECONDS_PER_HOUR)
}

/// Lines of log files, by load balancer and by the hour that contains their five minutes.
#[derive(Debug, Default)]
pub(super) struct LinesByHour(BTreeMap<String, BTreeMap<i64, Lines>>);

#[derive(Debug, Default, Clone, Copy)]
struct Lines {
    log_files: i64,
    lines: i64,
    rejected_lines: i64,
}

impl LinesByHour {
    /// The lines of these load balancers. `None` for a table whose lines are not requests.
    pub(super) fn of<'b>(
        table: &OpenTable,
        balancers: impl IntoIterator<Item = &'b str>,
    ) -> Option<Self> {
        WITH_REQUESTS.contains(&table.log_table).then(|| {
            let balancers = balancers.into_iter();
            Self(
                balancers
                    .map(|name| (name.to_owned(), BTreeMap::new()))
                    .collect(),
            )
        })
    }

    pub(super) fn add(&mut self, counted: &CountedLogFile) {
        let log_file = LogFile::new(counted.log_file.as_str());
        let Some(hours) = log_file.balancer().and_then(|name| self.0.get_mut(&name)) else {
            return;
        };
        let end = log_file.interval_end();
        let end = end.and_then(|end| NaiveDateTime::parse_from_str(end, "%Y%m%dT%H%MZ").ok());
        let Some(end) = end else { return };
        // The time in the name is the end of the five minutes.
        let hour = (end.and_utc().timestamp() - 1).div_euclid(SECONDS_PER_HOUR);
        let lines = hours.entry(hour).or_default();
        lines.log_files += 1;
        lines.lines += counted.lines;
        lines.rejected_lines += counted.rejected_lines;
    }

    /// The log files whose names have the first minute after the days: their requests were before.
    ///
    /// # Errors
    ///
    /// The ledger can't be read.
    pub(super) async fn add_after(&mut self, table: &OpenTable, end: NaiveDate) -> Result<()> {
        let midnight = format!("{}T0000Z", end.format("%Y%m%d"));
        let shard = Shard::from_name(format!("{end}T00"));
        for entry in table.entries(&[shard]).await? {
            let log_file = LogFile::new(entry.log_file.as_str());
            if log_file.interval_end() == Some(midnight.as_str()) {
                self.add(&super::tables::OfDay::of(entry).counted);
            }
        }
        Ok(())
    }

    /// The lines of a load balancer in some hours, without table and day.
    pub(super) fn record(
        &self,
        balancer: &str,
        hours: Range<i64>,
        counted: &[(i64, i64)],
        is_hourly: bool,
    ) -> RequestRecord {
        let empty = BTreeMap::new();
        let by_hour = self.0.get(balancer).unwrap_or(&empty);
        let mut requests_by_hour: BTreeMap<i64, i64> = BTreeMap::new();
        for (hour, requests) in counted {
            *requests_by_hour.entry(*hour).or_default() += requests;
        }
        let of_hour = |hour: &i64| by_hour.get(hour).copied().unwrap_or_default().lines;
        let short = requests_by_hour
            .iter()
            .map(|(hour, requests)| requests - of_hour(hour));
        let short: Vec<i64> = short.filter(|missing| *missing > 0).collect();
        let mut record = RequestRecord {
            table: String::new(),
            balancer: balancer.to_owned(),
            day: String::new(),
            requests: requests_by_hour.values().sum(),
            log_files: 0,
            lines: 0,
            rejected_lines: 0,
            short_hours: is_hourly.then_some(short.len() as i64),
            short_by: is_hourly.then(|| short.iter().sum()),
        };
        for (_, lines) in by_hour.range(hours) {
            record.log_files += lines.log_files;
            record.lines += lines.lines;
            record.rejected_lines += lines.rejected_lines;
        }
        record
    }

    /// The lines of a load balancer on a day, without AWS's count.
    pub(super) fn of_day(&self, balancer: &str, day: NaiveDate) -> RequestRecord {
        let hours = hour_of(day)..hour_of(day) + SECONDS_PER_DAY / SECONDS_PER_HOUR;
        self.record(balancer, hours, &[], false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATISTICS: &str = r#"{"Label": "RequestCount", "Datapoints": [
        {"Timestamp": "2026-11-20T10:00:00+00:00", "Sum": 12.0, "Unit": "Count"},
        {"Timestamp": "2026-11-20T09:00:00Z", "Sum": 3.0, "Unit": "Count"}]}"#;

    const BALANCER: &str = "app/shop/50dc6c495c0c9188";

    fn data(label: &str, more: &str) -> String {
        format!(
            r#"{{"MetricDataResults": [{{"Id": "m1", "Label": "{label}", "Timestamps": ["2026-11-20T10:00:00+00:00"],
                "Values": [7.0]{more}}}], "Messages": []}}"#
        )
    }

    fn added(balancer: Option<&str>, text: &str) -> Result<RequestCounts> {
        let mut counts = RequestCounts::default();
        counts.add(balancer, text).map(|()| counts)
    }

    #[test]
    fn what_the_cli_prints_is_read() {
        let ten = DateTime::parse_from_rfc3339("2026-11-20T10:00:00Z").unwrap();
        let counts = added(Some(BALANCER), STATISTICS).unwrap();
        assert_eq!(counts.0[BALANCER][&ten.timestamp()], 12);
        assert_eq!(counts.0[BALANCER].len(), 2);
        assert!(is_hourly(&counts.0[BALANCER]));
        let counts = added(None, &data(BALANCER, r#", "StatusCode": "Complete""#)).unwrap();
        assert_eq!(counts.0[BALANCER][&ten.timestamp()], 7);
        assert!(!is_hourly(&counts.0[BALANCER]), "one count has no period");
        let counts = added(Some("shop"), &data("RequestCount", "")).unwrap();
        assert_eq!(counts.balancers().collect::<Vec<_>>(), ["shop"]);
    }

    #[test]
    fn what_is_not_a_whole_count_is_refused() {
        let twice = STATISTICS.replace("09:00:00Z", "10:00:00Z");
        for (balancer, text, reason) in [
            (None, STATISTICS.to_owned(), "BALANCER=FILE"),
            (Some("a"), "{}".to_owned(), "expected the JSON"),
            (
                Some("a"),
                STATISTICS.replace("Sum", "Average"),
                "--statistics Sum",
            ),
            (Some("a"), STATISTICS.replace("12.0", "12.5"), "12.5 at"),
            (Some("a"), STATISTICS.replace("12.0", "-1"), "-1 at"),
            (
                Some("a"),
                STATISTICS.replace("09:00:00Z", "9"),
                "is not a time",
            ),
            (Some("a"), twice, "two counts"),
            (None, data("RequestCount", ""), "is not the name"),
            (
                None,
                data("a", r#", "StatusCode": "PartialData""#),
                "PartialData",
            ),
            (None, data("a", "").replace("[7.0]", "[]"), "not as many"),
            (
                None,
                data("a", "").replace("\"Messages\"", "\"NextToken\": \"x\", \"Messages\""),
                "goes on",
            ),
        ] {
            let error = added(balancer, &text).unwrap_err();
            assert!(format!("{error:#}").contains(reason), "{error:#}");
        }
    }

    #[test]
    fn a_log_file_belongs_to_the_five_minutes_before_its_time() {
        let counted = |end: &str, lines| CountedLogFile {
            log_file: format!(
                "s3://b/1_elasticloadbalancing_r_app.shop.50dc6c495c0c9188_{end}_10.0.0.1_r.log.gz"
            ),
            etag: String::new(),
            bytes: 1,
            lines,
            rejected_lines: 1,
        };
        let mut lines = LinesByHour(BTreeMap::from([(BALANCER.to_owned(), BTreeMap::new())]));
        // Of the day before, of the first hour, of the last one, and of the day after.
        for (end, number) in [
            ("20261120T0000Z", 1),
            ("20261120T0005Z", 10),
            ("20261121T0000Z", 100),
            ("20261121T0005Z", 1000),
        ] {
            lines.add(&counted(end, number));
        }
        let day: NaiveDate = "2026-11-20".parse().unwrap();
        assert_eq!(lines.of_day(BALANCER, day).lines, 110);
        let mut counts = RequestCounts::default();
        let at = |time: &str, requests| (time.to_owned(), requests);
        counts
            .add_series(
                BALANCER,
                [
                    at("2026-11-19T23:00:00Z", 5.0),
                    at("2026-11-20T00:00:00Z", 14.0),
                    at("2026-11-20T01:00:00Z", 2.0),
                    at("2026-11-20T23:00:00Z", 90.0),
                ],
            )
            .unwrap();
        let days = day..day.succ_opt().unwrap();
        let records = counts.records("t", &days, &lines);
        assert_eq!(records.len(), 1);
        let RequestRecord {
            requests,
            log_files,
            rejected_lines,
            short_hours,
            short_by,
            ..
        } = records[0].clone();
        assert_eq!((requests, log_files, rejected_lines), (106, 2, 2));
        assert_eq!((short_hours, short_by), (Some(2), Some(6)));
    }
}
