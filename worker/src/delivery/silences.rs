//! Intervals for which a node delivered no log file, although it delivered some before and after. AWS delivers on a best-effort basis,
//! and a node without traffic writes no log file: the names alone can't tell the two cases apart.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use logmill_shared::{LogFile, NamedAs};
use serde::Serialize;

use super::{Arrival, Node, minute};

/// Number of silences that are listed one by one: the longest.
const LISTED_MAX: usize = 1000;

const SECONDS_PER_MINUTE: i64 = 60;

/// Consecutive intervals without a log file from a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Silence {
    /// What the node writes: `access log`, `connection log` or `health check log`.
    pub kind: &'static str,
    /// The node.
    #[serde(flatten)]
    pub node: Node,
    /// The end of the interval before, which it has delivered: `2026-11-20T10:05Z`.
    pub from: String,
    /// The end of the interval that it delivered next.
    pub to: String,
    /// Number of intervals in between.
    pub intervals: u64,
}

/// The silent nodes of one load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfBalancer {
    /// What its nodes write.
    pub kind: &'static str,
    /// Its account.
    pub account: String,
    /// Its region.
    pub region: String,
    /// Its name.
    pub balancer: String,
    /// Number of nodes that delivered anything.
    pub nodes: u64,
    /// Number of nodes that were silent in between.
    pub silent_nodes: u64,
    /// Number of intervals without a log file, of all nodes.
    pub intervals: u64,
}

/// The silences of all nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Silences {
    /// The expected interval, in minutes.
    pub every_minutes: i64,
    /// Number of nodes that delivered anything.
    pub nodes: u64,
    /// Number of intervals without a log file, of all nodes.
    pub intervals: u64,
    /// Load balancers with silent nodes, the most silent first.
    pub balancers: Vec<OfBalancer>,
    /// The longest silences, at most 1,000.
    pub longest: Vec<Silence>,
}

/// The intervals that nodes have delivered.
#[derive(Debug)]
pub struct Delivered {
    every: TimeDelta,
    /// The ends of the intervals of each node, in minutes since 1970, in any order.
    ends: BTreeMap<(&'static str, Node), Vec<u32>>,
}

impl Delivered {
    /// Begins, for log files that are expected at this interval.
    pub fn new(every: Duration) -> Self {
        let every = TimeDelta::from_std(every).unwrap_or(TimeDelta::days(1));
        Self {
            every: every.max(TimeDelta::minutes(1)),
            ends: BTreeMap::new(),
        }
    }

    /// Adds a log file, unless its name says nothing about it.
    pub fn add(&mut self, log_file: &LogFile) {
        let kind = match log_file.named_as() {
            NamedAs::AlbAccessLog | NamedAs::ClassicAccessLog | NamedAs::NlbTlsLog => "access log",
            NamedAs::AlbConnectionLog => "connection log",
            NamedAs::AlbHealthCheckLog => "health check log",
            NamedAs::Other(_) | NamedAs::TestObject | NamedAs::Unknown => return,
        };
        let arrival = Arrival::of_name(log_file.uri().to_owned());
        let end = arrival.end.map(|end| end.timestamp() / SECONDS_PER_MINUTE);
        if let (Some(node), Some(end)) = (arrival.node, end.and_then(|end| u32::try_from(end).ok()))
        {
            self.ends.entry((kind, node)).or_default().push(end);
        }
    }

    /// Finds the silences between the first and the last log file of each node.
    pub fn silences(self) -> Silences {
        let every = self.every.num_minutes();
        let mut of_balancers: BTreeMap<(&str, String, String, String), OfBalancer> =
            BTreeMap::new();
        let mut all = Vec::new();
        let nodes = self.ends.len() as u64;
        for ((kind, node), mut ends) in self.ends {
            ends.sort_unstable();
            ends.dedup();
            let key = (
                kind,
                node.account.clone(),
                node.region.clone(),
                node.balancer.clone(),
            );
            let of_balancer = of_balancers.entry(key).or_insert_with(|| OfBalancer {
                kind,
                account: node.account.clone(),
                region: node.region.clone(),
                balancer: node.balancer.clone(),
                nodes: 0,
                silent_nodes: 0,
                intervals: 0,
            });
            of_balancer.nodes += 1;
            let before = of_balancer.intervals;
            for pair in ends.windows(2) {
                let missing = i64::from(pair[1] - pair[0]) / every - 1;
                if missing < 1 {
                    continue;
                }
                let intervals = missing.unsigned_abs();
                of_balancer.intervals += intervals;
                all.push((intervals, kind, node.clone(), pair[0], pair[1]));
            }
            of_balancer.silent_nodes += u64::from(of_balancer.intervals > before);
            if all.len() > 2 * LISTED_MAX {
                keep_longest(&mut all);
            }
        }
        keep_longest(&mut all);
        let mut balancers: Vec<OfBalancer> = of_balancers
            .into_values()
            .filter(|balancer| balancer.intervals > 0)
            .collect();
        balancers.sort_by_key(|balancer| std::cmp::Reverse(balancer.intervals));
        let longest = all
            .into_iter()
            .map(|(intervals, kind, node, from, to)| Silence {
                kind,
                node,
                from: time(from),
                to: time(to),
                intervals,
            });
        Silences {
            every_minutes: every,
            nodes,
            intervals: balancers.iter().map(|balancer| balancer.intervals).sum(),
            balancers,
            longest: longest.collect(),
        }
    }
}

/// Number of intervals, kind, node, and the minutes of the log files before and after.
type Found = (u64, &'static str, Node, u32, u32);

fn keep_longest(all: &mut Vec<Found>) {
    // Stable: of equally long ones, the first load balancers stay.
    all.sort_by_key(|(intervals, ..)| std::cmp::Reverse(*intervals));
    all.truncate(LISTED_MAX);
}

fn time(minutes: u32) -> String {
    let time = DateTime::<Utc>::from_timestamp(i64::from(minutes) * SECONDS_PER_MINUTE, 0);
    time.map(minute).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silences(every: u64, names: &[(&str, &str)]) -> Silences {
        let mut delivered = Delivered::new(Duration::from_mins(every));
        for (node, end) in names {
            delivered.add(&LogFile::in_bucket(
                "logs",
                &format!("1_elasticloadbalancing_eu-west-1_app.shop.50_20261120T{end}Z_{node}_x{end}.log.gz"),
            ));
        }
        delivered.silences()
    }

    #[test]
    fn a_silence_is_between_two_log_files_of_a_node() {
        let silences = silences(
            5,
            &[
                ("10.0.0.1", "1020"),
                ("10.0.0.1", "1005"),
                ("10.0.0.1", "1005"),
                ("10.0.0.1", "1025"),
                // It appeared and disappeared, without a silence.
                ("10.0.0.2", "1010"),
                ("10.0.0.2", "1015"),
                ("10.0.0.3", "0905"),
                ("10.0.0.3", "1200"),
            ],
        );
        assert_eq!((silences.nodes, silences.intervals), (3, 2 + 34));
        let [balancer] = &silences.balancers[..] else {
            panic!("{silences:?}");
        };
        assert_eq!(
            (balancer.nodes, balancer.silent_nodes, balancer.intervals),
            (3, 2, 36)
        );
        let told = silences.longest.iter().map(|silence| {
            let address = silence.node.address.as_deref().unwrap();
            format!(
                "{address} {} {} {}",
                silence.from, silence.to, silence.intervals
            )
        });
        let told = told.collect::<Vec<String>>();
        assert_eq!(
            told,
            [
                "10.0.0.3 2026-11-20T09:05Z 2026-11-20T12:00Z 34",
                "10.0.0.1 2026-11-20T10:05Z 2026-11-20T10:20Z 2",
            ]
        );
    }

    #[test]
    fn the_expected_interval_may_be_an_hour_at_any_minute() {
        let hourly = [
            ("10.0.0.1", "0920"),
            ("10.0.0.1", "1020"),
            ("10.0.0.1", "1220"),
        ];
        assert_eq!(silences(60, &hourly).intervals, 1);
        assert_eq!(silences(5, &hourly).intervals, 11 + 23);
    }

    #[test]
    fn kinds_are_apart_and_other_files_are_left_out() {
        let mut delivered = Delivered::new(Duration::from_mins(5));
        let name = |kind: &str, end: &str| {
            format!("{kind}1_elasticloadbalancing_r_app.n.0_20261120T{end}Z_10.0.0.1_x.log.gz")
        };
        for name in [
            name("", "1000"),
            name("conn_log_", "1005"),
            name("", "1010"),
            name("conn_log_", "1010"),
            "export_20261120T1200Z.log".to_owned(),
            "1_CloudTrail_eu-west-1_20261120T1200Z_x.json.gz".to_owned(),
        ] {
            delivered.add(&LogFile::in_bucket("logs", &name));
        }
        let silences = delivered.silences();
        assert_eq!((silences.nodes, silences.intervals), (2, 1));
        assert_eq!(silences.longest[0].kind, "access log");
    }

    #[test]
    fn only_the_longest_silences_are_listed() {
        let mut delivered = Delivered::new(Duration::from_mins(5));
        for node in 0..1500 {
            for end in ["1000", "1010", if node == 1499 { "1100" } else { "1015" }] {
                delivered.add(&LogFile::in_bucket(
                    "logs",
                    &format!(
                        "1_elasticloadbalancing_r_app.n.0_20261120T{end}Z_10.0.{}.{}_x.log.gz",
                        node / 250,
                        node % 250
                    ),
                ));
            }
        }
        let silences = delivered.silences();
        assert_eq!((silences.nodes, silences.intervals), (1500, 1500 + 9));
        assert_eq!(
            (silences.longest.len(), silences.longest[0].intervals),
            (LISTED_MAX, 9)
        );
    }
}
