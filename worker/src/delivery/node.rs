//! The node of a load balancer, and what the name of a log file says about it.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, Utc};
use logmill_shared::LogFile;
use serde::Serialize;

use super::{INTERVAL, Late};
use crate::table::Entry;

/// A node of a load balancer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Node {
    /// The account of the load balancer.
    pub account: String,
    /// Its region.
    pub region: String,
    /// The load balancer, as lines name it: `app/shop/50dc6c495c0c9188`, or the name of a Classic Load Balancer.
    pub balancer: String,
    /// The address of the node. `None` for Network Load Balancers, whose log files don't name it: all nodes are one.
    pub address: Option<String>,
}

impl Node {
    /// The node that has written a log file. `None` if the name is not one that load balancers give to their log files.
    pub fn of(log_file: &LogFile) -> Option<Self> {
        Some(Self {
            balancer: log_file.balancer()?,
            account: log_file.account().unwrap_or_default().to_owned(),
            region: log_file.region().unwrap_or_default().to_owned(),
            address: log_file.node().map(str::to_owned),
        })
    }

    /// Whether it belongs to a Classic Load Balancer, which may publish hourly.
    pub(super) fn is_classic(&self) -> bool {
        !self.balancer.contains('/')
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) => write!(f, "{} {address}", self.balancer),
            None => f.write_str(&self.balancer),
        }
    }
}

/// A log file that was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Its URI.
    pub log_file: String,
    /// The node that has written it.
    pub node: Option<Node>,
    /// The end of its interval.
    pub end: Option<DateTime<Utc>>,
    /// The time of its earliest line, if it has lines and they were read.
    pub first_time: Option<DateTime<Utc>>,
}

impl Arrival {
    /// Reads what the name says.
    pub fn of_name(uri: String) -> Self {
        let log_file = LogFile::new(uri);
        Self {
            node: Node::of(&log_file),
            end: interval_end(&log_file),
            first_time: None,
            log_file: log_file.uri().to_owned(),
        }
    }

    /// Reads what an entry of a ledger says.
    pub fn of_entry(entry: &Entry) -> Self {
        let first_time = entry.first_time.and_then(DateTime::from_timestamp_millis);
        Self {
            first_time,
            ..Self::of_name(entry.log_file.clone())
        }
    }

    /// Whether it was counted too late, at the time `now`: some of its lines may be from a time that was already final.
    pub fn late(&self, final_until: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<Late> {
        let final_until =
            final_until.filter(|until| self.begin().is_some_and(|begin| begin < *until))?;
        Some(Late {
            log_file: self.log_file.clone(),
            counted_at: now,
            final_until,
        })
    }

    /// The earliest time that its lines may have.
    fn begin(&self) -> Option<DateTime<Utc>> {
        self.first_time
            .or_else(|| self.end.map(|end| end - INTERVAL))
    }
}

/// The end of a log file's interval. `None` if the name has no time, or an invalid one.
fn interval_end(log_file: &LogFile) -> Option<DateTime<Utc>> {
    let end = log_file.interval_end()?;
    let end = NaiveDateTime::parse_from_str(end, "%Y%m%dT%H%MZ").ok()?;
    Some(end.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_the_node_and_the_interval() {
        let folder = "s3://logs/AWSLogs/123456789012/elasticloadbalancing/eu-west-1/2026/11/20";
        let name = "123456789012_elasticloadbalancing_eu-west-1_app.shop.50dc_20261120T1005Z_10.0.1.7_b3c4.log.gz";
        let arrival = Arrival::of_name(format!("{folder}/{name}"));
        let node = arrival.node.clone().unwrap();
        assert_eq!(node.to_string(), "app/shop/50dc 10.0.1.7");
        assert_eq!(
            (&*node.account, &*node.region),
            ("123456789012", "eu-west-1")
        );
        assert!(!node.is_classic());
        assert_eq!(
            super::super::minute(arrival.end.unwrap()),
            "2026-11-20T10:05Z"
        );
        assert_eq!(
            super::super::minute(arrival.begin().unwrap()),
            "2026-11-20T10:00Z"
        );
        for (name, node) in [
            (
                "1_elasticloadbalancing_eu-west-1_shop_20261120T1005Z_10.0.1.7_x.log",
                Some("shop 10.0.1.7"),
            ),
            (
                "1_elasticloadbalancing_eu-west-1_net.n.0f_20261120T1005Z_x.log.gz",
                Some("net/n/0f"),
            ),
            ("export-1.txt", None),
            ("app_20261120T1005Z.log", None),
        ] {
            let arrival = Arrival::of_name(format!("s3://logs/{name}"));
            assert_eq!(arrival.node.map(|node| node.to_string()).as_deref(), node);
        }
        // A day that does not exist.
        let name = name.replace("20261120", "20261199");
        assert_eq!(Arrival::of_name(name).end, None);
    }
}
