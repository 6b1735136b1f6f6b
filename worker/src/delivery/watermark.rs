//! The decision: up to when is a table final?
//!
//! A time is final when every active node has delivered a log file whose interval ended [`Bounds::delay`] later. Such a log file
//! proves that this much time has passed, so by the bound all earlier ones are counted. Three rules apply when the bound does not
//! hold:
//!
//! 1. *A node is waited for until it has been silent for [`Bounds::silence`]*, by the clock of the others. So if the log files of one
//!    node or of one bucket are missing, nothing becomes final for a while, although the other nodes continue.
//! 2. *While log files come late, nothing becomes final.* After a log file that was counted later than the bound, and after a pause of all
//!    log files that was longer than the bound, the table must count for a while without another one. So a backlog, in whatever order the
//!    queue gives it back, is counted before anything of it becomes final.
//! 3. *A log file that is set aside is waited for*: it is known, but not counted.
//!
//! Later log files are reported as [`Late`], and do not set `final_until` back.

use chrono::{DateTime, TimeDelta, Utc};

use super::{Arrival, Arrivals, Bounds, Late, Rule, WaitsFor};

/// Up to when a table is final, and what that depends on.
#[derive(Debug, Clone)]
pub struct Watermark {
    bounds: Bounds,
    arrivals: Arrivals,
    final_until: Option<DateTime<Utc>>,
    settles_at: Option<DateTime<Utc>>,
}

impl Watermark {
    /// Continues from the known state: the log files that a table has counted, the time up to which it was final, and the time before
    /// which nothing more becomes final.
    pub fn new(
        bounds: Bounds,
        arrivals: Arrivals,
        final_until: Option<DateTime<Utc>>,
        settles_at: Option<DateTime<Utc>>,
    ) -> Self {
        Self {
            bounds,
            arrivals,
            final_until,
            settles_at,
        }
    }

    /// The time up to which the table is final; exclusive.
    pub fn final_until(&self) -> Option<DateTime<Utc>> {
        self.final_until
    }

    /// Nothing more becomes final before this time, because log files have arrived late.
    pub fn settles_at(&self) -> Option<DateTime<Utc>> {
        self.settles_at
    }

    /// What has arrived.
    pub fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    /// Notes log files that the table has counted together at the time `now`. Returns those with lines of a time that was already
    /// final.
    pub fn counted(&mut self, arrived: &[Arrival], now: DateTime<Utc>) -> Vec<Late> {
        let before = self.arrivals.newest();
        let mut is_beyond_bound = false;
        let mut late = Vec::new();
        for arrival in arrived {
            let delay = arrival.end.map_or(TimeDelta::zero(), |end| now - end);
            is_beyond_bound |= delay > self.bounds.delay;
            late.extend(arrival.late(self.final_until, now));
            self.arrivals.add(arrival, self.bounds, now);
        }
        let is_after_pause = match (before, self.arrivals.newest()) {
            (Some(before), Some(newest)) => newest - before > self.bounds.delay,
            (None, newest) => newest.is_some(),
            (Some(_), None) => false,
        };
        if is_beyond_bound && self.bounds.has(Rule::SettleAfterLate)
            || is_after_pause && self.bounds.has(Rule::SettleAfterPause)
        {
            self.settles_at = self.settles_at.max(Some(now + self.bounds.delay));
        }
        self.arrivals.forget();
        late
    }

    /// The later time up to which the table has become final. `None` if it has not.
    ///
    /// `set_aside` is the earliest time of lines in log files that are set aside.
    pub fn next(
        &self,
        now: DateTime<Utc>,
        set_aside: Option<DateTime<Utc>>,
    ) -> Option<DateTime<Utc>> {
        if self.settles_at.is_some_and(|settles_at| now < settles_at) {
            return None;
        }
        let complete = self.arrivals.complete_until(self.bounds)?;
        let set_aside = set_aside.filter(|_| self.bounds.has(Rule::SetAside));
        let next = set_aside.map_or(complete, |set_aside| complete.min(set_aside));
        (Some(next) > self.final_until).then_some(next)
    }

    /// Takes over the record of this process or another one: a later time up to which the table is final, and a later time before
    /// which nothing more becomes final.
    pub fn merge(&mut self, final_until: Option<DateTime<Utc>>, settles_at: Option<DateTime<Utc>>) {
        self.final_until = self.final_until.max(final_until);
        self.settles_at = self.settles_at.max(settles_at);
    }

    /// What must happen before a later time is final.
    pub fn waits_for(&self, now: DateTime<Utc>, set_aside: Option<DateTime<Utc>>) -> WaitsFor {
        let Some(newest) = self.arrivals.newest() else {
            return WaitsFor::FirstLogFile;
        };
        if let Some(until) = self.settles_at.filter(|settles_at| now < *settles_at) {
            return WaitsFor::Settling { until };
        }
        let complete = self.arrivals.complete_until(self.bounds);
        if let Some(from) = set_aside.filter(|from| Some(*from) <= complete) {
            return WaitsFor::SetAside { from };
        }
        let silent = self.arrivals.active(self.bounds);
        let silent = silent.filter(|(_, heard)| heard.last + self.bounds.delay < newest);
        let mut silent: Vec<_> = silent
            .map(|(node, heard)| (node.clone(), heard.last))
            .collect();
        silent.sort_by_key(|(_, last)| *last);
        match silent.last() {
            Some((_, last)) => WaitsFor::Nodes {
                until: *last + self.bounds.silence,
                silent,
            },
            None => WaitsFor::LaterLogFiles { newest },
        }
    }
}
