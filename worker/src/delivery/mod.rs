//! Up to when the numbers of a table are *final*, and which nodes of load balancers have delivered what.
//!
//! Each node of a load balancer delivers a log file every five minutes, unless it had no traffic. The name of the log file contains
//! the end of these minutes, and the ledger of a table contains the names. So the ledger is a clock: a log file of 10:35 proves that
//! it was at least 10:35 when it was counted. [`Watermark`] reads this clock, not wall-clock time, by which all hours of a stalled
//! pipeline would soon be final.
//!
//! *The promise*: if each log file is counted within [`Bounds::delay`] after the end of its interval, no table ever counts a line
//! whose time is before its `final_until`. `simulation.rs` tests it. [`Watermark`] says what happens when the bound does not hold.
//!
//! [`Record`] is the published `final_until`: an object for each table, which Athena can join. [`Delivery`] is what a person or a page
//! wants to know about one table, and [`Silences`] are the intervals without a log file.

mod node;
mod arrivals;
mod watermark;
mod record;
mod recorder;
mod reading;
mod silences;
#[cfg(test)]
mod simulation;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

pub use arrivals::{Arrivals, Heard};
pub use node::{Arrival, Node};
pub use reading::{Delivery, NodeDelivery, WaitsFor};
pub use record::{FOLDER, Late, Record, Records};
pub use recorder::{Recorded, Recorder};
pub use silences::{Delivered, OfBalancer, Silence, Silences};
pub use watermark::Watermark;

/// The interval of a log file, except for Classic Load Balancers that publish hourly.
pub const INTERVAL: TimeDelta = TimeDelta::minutes(5);

/// The longer one of the two intervals that a Classic Load Balancer can have.
const CLASSIC_INTERVAL: TimeDelta = TimeDelta::minutes(60);

/// Nodes that delivered nothing for this long before the newest log file are forgotten.
const NODES_KEPT: TimeDelta = TimeDelta::hours(24);

/// How long log files and nodes are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The longest time from the end of a log file's interval until a table counts it, in normal operation.
    pub delay: TimeDelta,
    /// A node that has delivered nothing for this long, while others did, is no longer active: it is gone, or has no traffic.
    pub silence: TimeDelta,
    /// A rule that the simulation turns off, to see that it is needed.
    #[cfg(test)]
    without: Option<Rule>,
}

/// The rules that decide what becomes final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// The bound must have passed by the clock of each node.
    Delay,
    /// The slowest active node counts, not the fastest.
    SlowestNode,
    /// A node that has been silent for long is no longer active.
    Silence,
    /// Lines may be in a log file whose interval ends an hour later.
    Hourly,
    /// Only whole intervals are final.
    WholeIntervals,
    /// A log file with a future time in its name is ignored.
    Future,
    /// A time in a name that has not come yet counts as the present time.
    Present,
    /// While log files are later than the bound, nothing becomes final.
    SettleAfterLate,
    /// After a pause, nothing becomes final immediately.
    SettleAfterPause,
    /// Lines of set-aside log files are not final.
    SetAside,
}

impl Bounds {
    #[cfg(not(test))]
    fn has(self, _: Rule) -> bool {
        true
    }

    #[cfg(test)]
    fn has(self, rule: Rule) -> bool {
        self.without != Some(rule)
    }

    /// AWS delivers a log file a few minutes after its interval, and a worker counts it within one or two.
    pub const DELAY: Duration = Duration::from_mins(30);

    /// Twice the usual delay would be too short for Classic Load Balancers that publish hourly.
    const SILENCE_MIN: TimeDelta = TimeDelta::hours(2);

    /// The bounds for this delay.
    pub fn of_delay(delay: Duration) -> Self {
        let longest = TimeDelta::days(7);
        let delay = TimeDelta::from_std(delay).map_or(longest, |delay| delay.min(longest));
        Self {
            delay,
            silence: Self::SILENCE_MIN.max(delay * 2),
            #[cfg(test)]
            without: None,
        }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self::of_delay(Self::DELAY)
    }
}

/// A time in the notation that people read: `2026-11-20T10:05Z`.
pub fn minute(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%MZ").to_string()
}
