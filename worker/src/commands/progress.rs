//! The progress of a command that goes through log files, and what it waits for.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Receives the progress of a command.
pub trait Progress: Send {
    /// Reports what a query will read, before it reads it.
    fn reading(&mut self, _to_read: &dyn Display) {}
    /// Names the things that are counted, if they are not log files.
    fn counts(&mut self, _what: &'static str) {}
    /// Reports how many more log files there are to process.
    fn found(&mut self, log_files: usize);
    /// Reports the stored size of log files that were found, if the command reads them.
    fn found_bytes(&mut self, _log_file_bytes: u64) {}
    /// Everything has been found: from now on, the remaining number is known.
    fn found_all(&mut self) {}
    /// Reports how many more log files have been processed.
    fn done(&mut self, log_files: usize);
    /// Reports the progress within a log file: its stored size, and the size of its text.
    fn done_bytes(&mut self, _log_file_bytes: u64, _text_bytes: u64) {}
    /// All log files have been read, and the last commit is in progress.
    fn committing(&mut self) {}
    /// The command has ended.
    fn end(&mut self);
    /// Where the command notes what it is waiting for.
    fn waits(&self) -> Waits {
        Waits::default()
    }
}

/// The steps that a command waits for, such as reading a log file or committing a table. Clones share one list.
#[derive(Debug, Clone, Default)]
pub struct Waits(Arc<Mutex<List>>);

#[derive(Debug, Default)]
struct List {
    next: u64,
    begun: BTreeMap<u64, (Instant, String)>,
}

impl Waits {
    /// Notes a wait, until the result is dropped. `what` is shown as in "waiting for {what}".
    pub(crate) fn begin(&self, what: impl Into<String>) -> Wait {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = list.next;
        list.next += 1;
        list.begun.insert(number, (Instant::now(), what.into()));
        Wait {
            waits: self.clone(),
            number,
        }
    }

    /// The longest wait, if it has lasted at least this long, and the number of other waits.
    pub fn longest(&self, at_least: Duration) -> Option<LongWait> {
        let list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let long = |(begun, _): &&(Instant, String)| begun.elapsed() >= at_least;
        let mut long = list.begun.values().filter(long);
        // The numbers are in the order in which the waits began.
        let (begun, what) = long.next()?;
        Some(LongWait {
            what: what.clone(),
            time: begun.elapsed(),
            others: long.count(),
        })
    }
}

/// A long wait.
#[derive(Debug, PartialEq, Eq)]
pub struct LongWait {
    /// What the command is waiting for.
    pub what: String,
    /// How long it has waited.
    pub time: Duration,
    /// Number of other long waits.
    pub others: usize,
}

/// A wait, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Wait {
    waits: Waits,
    number: u64,
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut list = self.waits.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.begun.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_is_told() {
        let waits = Waits::default();
        assert_eq!(waits.longest(Duration::ZERO), None);
        let first = waits.begin("a");
        let clone = waits.clone();
        let _second = clone.begin("b");
        let longest = waits.longest(Duration::ZERO).unwrap();
        assert_eq!((longest.what.as_str(), longest.others), ("a", 1));
        assert_eq!(waits.longest(Duration::from_secs(60)), None);
        drop(first);
        assert_eq!(waits.longest(Duration::ZERO).unwrap().what, "b");
    }
}
