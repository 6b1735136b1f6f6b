//! The last failures of each reason, for people who look at a worker. Bounded: there are few reasons, and each keeps few.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::moment::Moment;

/// Failures that are kept of each reason: a flood of one reason does not push out the others.
const PER_REASON_MAX: usize = 3;

/// Maximum length of a kept text, in bytes. A key may have 1,024, an error message any number.
const TEXT_BYTES_MAX: usize = 600;

/// Texts that are this much longer are kept whole, so that a cut text is not cut again.
const CUT_MARK_BYTES: usize = 32;

/// A failed attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RecentFailure {
    /// When.
    pub at: Moment,
    /// The reason's name in metrics.
    pub reason: String,
    /// The log file, the queue or the table that it is about. May be empty.
    pub about: String,
    /// The error.
    pub message: String,
}

impl RecentFailure {
    /// Cuts its texts to a bounded length.
    pub(crate) fn cut(&mut self) {
        cut(&mut self.reason);
        cut(&mut self.about);
        cut(&mut self.message);
    }
}

/// Cuts a text to a bounded length.
pub(crate) fn cut(text: &mut String) {
    if text.len() > TEXT_BYTES_MAX + CUT_MARK_BYTES {
        let (end, bytes) = (text.floor_char_boundary(TEXT_BYTES_MAX), text.len());
        text.truncate(end);
        text.push_str(&format!("… ({bytes} bytes)"));
    }
}

/// The last failures, the newest of each reason last.
#[derive(Debug, Default)]
pub(crate) struct RecentFailures(Mutex<BTreeMap<&'static str, VecDeque<RecentFailure>>>);

impl RecentFailures {
    pub(crate) fn add(&self, reason: &'static str, about: &str, message: &str) {
        let mut failure = RecentFailure {
            at: SystemTime::now().into(),
            reason: reason.to_owned(),
            about: about.to_owned(),
            message: message.to_owned(),
        };
        failure.cut();
        let mut failures = self.lock();
        let of_reason = failures.entry(reason).or_default();
        if of_reason.len() >= PER_REASON_MAX {
            of_reason.pop_front();
        }
        of_reason.push_back(failure);
    }

    /// All of them, the newest first.
    pub(crate) fn newest(&self) -> Vec<RecentFailure> {
        let mut all: Vec<_> = self.lock().values().flatten().cloned().collect();
        all.sort_by_key(|failure| std::cmp::Reverse(failure.at));
        all
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, VecDeque<RecentFailure>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_one_reason_leaves_the_others_and_texts_are_cut() {
        let failures = RecentFailures::default();
        failures.add("refused", "s3://logs/a.log", "access denied");
        for number in 0..1000 {
            failures.add("missing", &"é".repeat(4096), &format!("{number}"));
        }
        let newest = failures.newest();
        assert_eq!(newest.len(), 1 + PER_REASON_MAX);
        assert!(newest.iter().any(|failure| failure.reason == "refused"));
        let messages = newest.iter().map(|failure| failure.message.as_str());
        let mut missing: Vec<_> = messages.filter(|text| *text != "access denied").collect();
        missing.sort();
        assert_eq!(missing, ["997", "998", "999"]);
        let longest = newest.iter().map(|failure| failure.about.len()).max();
        assert!(longest.is_some_and(|bytes| bytes <= TEXT_BYTES_MAX + CUT_MARK_BYTES));
    }
}
