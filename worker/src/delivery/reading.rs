//! What a person or a page wants to know about one table: its nodes, up to when it is final, and what it waits for. Only the first
//! and the newest part of the ledger are read, so the cost does not grow with the age of the table.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use logmill_shared::Shard;

use super::{
    Arrival, Arrivals, Bounds, CLASSIC_INTERVAL, Late, NODES_KEPT, Node, Record, Records,
    Watermark, minute,
};
use crate::table::{Root, TableError, Version, Waiting};

/// Nodes that [`WaitsFor`] names when it is shown.
const NODES_SHOWN: usize = 3;

/// What must happen before a later time is final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitsFor {
    /// The table has counted no log file whose name has a time and a load balancer.
    FirstLogFile,
    /// Log files have arrived late, or after a pause. If no more of them arrive until this time, later times become final.
    Settling {
        /// That time.
        until: DateTime<Utc>,
    },
    /// Set-aside log files may have lines of this time or later.
    SetAside {
        /// That time.
        from: DateTime<Utc>,
    },
    /// Some nodes have not delivered for longer than the bound, while others have. The end of the last interval of each, the
    /// oldest first.
    Nodes {
        /// These nodes.
        silent: Vec<(Node, DateTime<Utc>)>,
        /// When the others have delivered this interval, these nodes are no longer waited for.
        until: DateTime<Utc>,
    },
    /// Only later log files.
    LaterLogFiles {
        /// The end of the newest interval so far.
        newest: DateTime<Utc>,
    },
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstLogFile => {
                f.write_str("a log file with a time and a load balancer in its name")
            }
            Self::Settling { until } => write!(
                f,
                "log files that arrived late or after a pause: until {} if no more of them arrive",
                minute(*until)
            ),
            Self::SetAside { from } => write!(
                f,
                "log files of {} or later that are set aside: see `logmill retry`",
                minute(*from)
            ),
            Self::Nodes { silent, until } => {
                let shown = silent.iter().take(NODES_SHOWN);
                let shown: Vec<String> = shown
                    .map(|(node, last)| format!("{node} (silent since {})", minute(*last)))
                    .collect();
                f.write_str(&shown.join(", "))?;
                match silent.len().saturating_sub(NODES_SHOWN) {
                    0 => {}
                    more => write!(f, " and {more} more nodes")?,
                }
                write!(f, ", or log files of {} from the others", minute(*until))
            }
            Self::LaterLogFiles { newest } => {
                write!(f, "log files later than {} from each node", minute(*newest))
            }
        }
    }
}

/// A node that has delivered in the last day before the newest log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeDelivery {
    /// The node.
    pub node: Node,
    /// The end of the first interval of that day.
    pub first_interval_end: DateTime<Utc>,
    /// The end of the last interval.
    pub last_interval_end: DateTime<Utc>,
    /// Its log files of that day.
    pub log_files: u64,
    /// Whether it is waited for. One that has been silent for long is not.
    pub is_active: bool,
}

/// The state of a table's deliveries.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// All lines before this time are counted, as long as the bound holds. `None` if nothing is recorded yet.
    pub final_until: Option<DateTime<Utc>>,
    /// When this was recorded, by a worker or by `logmill run`.
    pub recorded_at: Option<DateTime<Utc>>,
    /// The bounds by which it was recorded.
    pub bounds: Bounds,
    /// What must happen before a later time is final.
    pub waits_for: WaitsFor,
    /// The end of the first interval that the table has counted a log file of. A table that was made later than others lacks what is older.
    pub first_interval_end: Option<DateTime<Utc>>,
    /// The end of the newest interval of any node.
    pub newest_interval_end: Option<DateTime<Utc>>,
    /// The nodes of the last day before that, by load balancer and address.
    pub nodes: Vec<NodeDelivery>,
    /// Number of log files that were counted for a time that was already final.
    pub late_log_files: u64,
    /// The last of them, the newest last.
    pub late: Vec<Late>,
    /// Whether the table has log files without a time in their names. Nothing is known about their delivery.
    pub has_unnamed: bool,
}

impl Delivery {
    /// Reads the first and the newest part of the table's ledger, and the record. `waiting` was listed before the version was read.
    ///
    /// # Errors
    ///
    /// One of them can't be read.
    pub async fn of_table(
        root: &Root,
        table: &str,
        version: &Version,
        waiting: &Waiting,
        now: DateTime<Utc>,
    ) -> Result<Self, TableError> {
        let arrivals = arrivals(version, now).await?;
        let record = Records::of(root)?.of_version(table, version).await?;
        let bounds = record.as_ref().map_or_else(Bounds::default, Record::bounds);
        let active: BTreeSet<&Node> = arrivals.active(bounds).map(|(node, _)| node).collect();
        let nodes = arrivals.nodes().map(|(node, heard)| NodeDelivery {
            node: node.clone(),
            first_interval_end: heard.first,
            last_interval_end: heard.last,
            log_files: heard.log_files,
            is_active: active.contains(node),
        });
        let nodes = nodes.collect();
        let newest_interval_end = arrivals.newest();
        let first_interval_end = first(version).await?;
        let final_until = record.as_ref().and_then(|record| record.final_until);
        let settles_at = record.as_ref().and_then(|record| record.settles_at);
        let watermark = Watermark::new(bounds, arrivals, final_until, settles_at);
        let set_aside = waiting.all_set_aside().map(|(_, shard, _)| shard.clone());
        let set_aside = earliest_line(&set_aside.collect());
        let late_log_files = record.as_ref().map_or(0, |record| record.late_log_files);
        Ok(Self {
            final_until,
            recorded_at: record.as_ref().map(|record| record.computed_at),
            bounds,
            waits_for: watermark.waits_for(now, set_aside),
            first_interval_end,
            newest_interval_end,
            nodes,
            late_log_files: u64::try_from(late_log_files).unwrap_or_default(),
            late: record.map(|record| record.late).unwrap_or_default(),
            has_unnamed: version
                .ledger_shards()
                .any(|shard| span_of(shard).is_none()),
        })
    }
}

/// Which nodes have delivered in the last day before the newest log file.
pub(super) async fn arrivals(
    version: &Version,
    now: DateTime<Utc>,
) -> Result<Arrivals, TableError> {
    let mut arrivals = Arrivals::default();
    for log_file in version
        .log_files_in(newest(version.ledger_shards(), now))
        .await?
    {
        arrivals.add(
            &Arrival::of_name(log_file.uri().to_owned()),
            Bounds::default(),
            now,
        );
    }
    arrivals.forget();
    Ok(arrivals)
}

/// The end of the first interval in the ledger.
async fn first(version: &Version) -> Result<Option<DateTime<Utc>>, TableError> {
    let shards = version.ledger_shards();
    let spans = shards.filter_map(|shard| Some((span_of(shard)?.0, shard)));
    let Some((_, first)) = spans.min_by_key(|(begin, _)| *begin) else {
        return Ok(None);
    };
    let log_files = version.log_files_in(vec![first.clone()]).await?;
    let ends = log_files
        .into_iter()
        .filter_map(|log_file| Arrival::of_name(log_file.uri().to_owned()).end);
    Ok(ends.min())
}

/// The shards of the last day before the newest one. Shards in the future are left out: the names of their log files are wrong.
fn newest<'s>(shards: impl Iterator<Item = &'s Shard>, now: DateTime<Utc>) -> Vec<Shard> {
    let spans = shards.filter_map(|shard| Some((shard, span_of(shard)?)));
    let spans: Vec<_> = spans.filter(|(_, (begin, _))| *begin <= now).collect();
    let Some(end) = spans.iter().map(|(_, (_, end))| (*end).min(now)).max() else {
        return Vec::new();
    };
    let from = end - NODES_KEPT - TimeDelta::hours(1);
    let newest = spans.into_iter().filter(|(_, (_, end))| *end > from);
    newest.map(|(shard, _)| shard.clone()).collect()
}

/// The earliest time that lines in log files of these shards may have: a Classic Load Balancer may publish hourly.
pub(super) fn earliest_line(shards: &BTreeSet<Shard>) -> Option<DateTime<Utc>> {
    let begins = shards.iter().filter_map(span_of).map(|(begin, _)| begin);
    begins.min().map(|begin| begin - CLASSIC_INTERVAL)
}

/// The hour or the day of a shard: its start and its end. `None` if its log files have no time in their names.
fn span_of(shard: &Shard) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let (day, hour) = match shard.as_str().split_once('T') {
        Some((day, hour)) => (day, Some(hour.parse().ok()?)),
        None => (shard.as_str(), None),
    };
    let day = NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()?;
    let begin = day.and_hms_opt(hour.unwrap_or(0), 0, 0)?.and_utc();
    let hours = if hour.is_some() { 1 } else { 24 };
    Some((begin, begin + TimeDelta::hours(hours)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_newest_shards_are_those_of_a_day() {
        let now = time("2026-11-22T10:20:00Z");
        let newest = |names: &[&str]| {
            let shards: Vec<Shard> = names.iter().copied().map(Shard::from_name).collect();
            let newest = newest(shards.iter(), now);
            let names = newest.iter().map(|shard| shard.as_str().to_owned());
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(newest(&[]), "");
        assert_eq!(newest(&["unnamed-07", "unnamed-ff", "2026-11-99"]), "");
        assert_eq!(
            newest(&[
                "2026-11-20",
                "2026-11-21T08",
                "2026-11-21T09",
                "2026-11-22T10",
                "unnamed-07"
            ]),
            "2026-11-21T09 2026-11-22T10"
        );
        // A name with a future time.
        assert_eq!(
            newest(&["2026-11-20", "2026-11-20T07", "2099-01-01T00"]),
            "2026-11-20 2026-11-20T07"
        );
        assert_eq!(
            newest(&["2026-11-19", "2026-11-20", "2026-11-22T10"]),
            "2026-11-22T10"
        );
    }

    #[test]
    fn lines_are_of_the_hour_before_too() {
        let shards = ["unnamed-07", "2026-11-22T10", "2026-11-21"];
        let shards = shards.map(Shard::from_name);
        assert_eq!(earliest_line(&shards[..1].iter().cloned().collect()), None);
        assert_eq!(
            earliest_line(&shards[..2].iter().cloned().collect()),
            Some(time("2026-11-22T09:00:00Z"))
        );
        assert_eq!(
            earliest_line(&shards.into()),
            Some(time("2026-11-20T23:00:00Z"))
        );
    }
}
