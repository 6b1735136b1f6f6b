//! Which nodes have delivered, and until when, according to the names in a ledger. Nothing is judged here.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use super::{Arrival, Bounds, CLASSIC_INTERVAL, INTERVAL, NODES_KEPT, Node, Rule};

/// A log file whose interval ends later than this after the present is ignored: the time in its name is wrong.
const FUTURE_MAX: TimeDelta = TimeDelta::minutes(10);

/// What a node has delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The end of the first interval that was read. A node may be older.
    pub first: DateTime<Utc>,
    /// The end of the last interval.
    pub last: DateTime<Utc>,
    /// Number of log files that were read.
    pub log_files: u64,
}

impl Heard {
    fn begin(end: DateTime<Utc>) -> Self {
        Self {
            first: end,
            last: end,
            log_files: 0,
        }
    }

    fn add(&mut self, end: DateTime<Utc>) {
        self.first = self.first.min(end);
        self.last = self.last.max(end);
        self.log_files += 1;
    }
}

/// The nodes that have delivered in the last day, by the clock of the newest log file.
#[derive(Debug, Clone, Default)]
pub struct Arrivals {
    nodes: BTreeMap<Node, Heard>,
    newest: Option<DateTime<Utc>>,
    /// Number of log files that are ignored, because their names have no time or no load balancer.
    without_time: u64,
}

impl Arrivals {
    /// Adds a log file that was counted at the time `now` or before.
    pub fn add(&mut self, arrival: &Arrival, bounds: Bounds, now: DateTime<Utc>) {
        let (Some(node), Some(end)) = (&arrival.node, arrival.end) else {
            self.without_time += 1;
            return;
        };
        let is_future = end > now + FUTURE_MAX && bounds.has(Rule::Future);
        // A name can't prove that a later time has come than it is.
        let end = match bounds.has(Rule::Present) {
            true => end.min(now),
            false => end,
        };
        if is_future || self.newest.is_some_and(|newest| end + NODES_KEPT < newest) {
            return;
        }
        // Most nodes are known. `entry` would need a copy of the node each time.
        match self.nodes.get_mut(node) {
            Some(heard) => heard.add(end),
            None => {
                let mut heard = Heard::begin(end);
                heard.add(end);
                self.nodes.insert(node.clone(), heard);
            }
        }
        self.newest = self.newest.max(Some(end));
    }

    /// Forgets nodes that have been silent for a day.
    pub fn forget(&mut self) {
        if let Some(newest) = self.newest {
            self.nodes
                .retain(|_, heard| heard.last + NODES_KEPT >= newest);
        }
    }

    /// The nodes, and what each has delivered.
    pub fn nodes(&self) -> impl Iterator<Item = (&Node, &Heard)> {
        self.nodes.iter()
    }

    /// The end of the newest interval of any node. It was at least this time when its log file was counted.
    pub fn newest(&self) -> Option<DateTime<Utc>> {
        self.newest
    }

    /// Number of log files whose names have no time, or no load balancer.
    pub fn without_time(&self) -> u64 {
        self.without_time
    }

    /// The active nodes: those that have not been silent for long.
    pub fn active(&self, bounds: Bounds) -> impl Iterator<Item = (&Node, &Heard)> {
        let newest = self.newest;
        let is_active = move |heard: &Heard| {
            let is_silent = newest.is_none_or(|newest| heard.last + bounds.silence <= newest);
            !(is_silent && bounds.has(Rule::Silence))
        };
        self.nodes().filter(move |(_, heard)| is_active(heard))
    }

    /// The time up to which every active node has delivered, less the bounds, by the clocks of these nodes. `None` if nothing is
    /// known.
    pub fn complete_until(&self, bounds: Bounds) -> Option<DateTime<Utc>> {
        let slowest = self.active(bounds).map(|(_, heard)| heard.last).min()?;
        let slowest = match bounds.has(Rule::SlowestNode) {
            true => slowest,
            false => self.newest?,
        };
        let delay = match bounds.has(Rule::Delay) {
            true => bounds.delay,
            false => TimeDelta::zero(),
        };
        // Lines before a time are in log files whose intervals end less than an interval later. A table reads logs of one kind, so
        // either all nodes are of Classic Load Balancers, or none; and a Classic Load Balancer that publishes hourly may deliver at
        // any time.
        let longer = match self.nodes.keys().any(Node::is_classic) {
            true if bounds.has(Rule::Hourly) => CLASSIC_INTERVAL,
            _ => TimeDelta::zero(),
        };
        let until = slowest - delay - longer;
        match bounds.has(Rule::WholeIntervals) {
            true => until.duration_trunc(INTERVAL).ok(),
            false => Some(until),
        }
    }
}
