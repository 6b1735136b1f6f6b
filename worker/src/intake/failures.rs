//! Groups the failures of one message or request by reason, and names the first few log files of each group. A message may
//! list tens of thousands of log files, and one log line for each would bury all other lines.

use std::collections::{BTreeMap, BTreeSet};

use logmill_shared::LogFile;

use super::not_staged::{Dependency, Disposition, NotStaged};

/// The number of log files that are named for each reason.
const NAMED_MAX: usize = 3;

/// The failures of one message or request.
#[derive(Debug, Default)]
pub(super) struct Failures {
    by_name: BTreeMap<&'static str, Group>,
    dispositions: BTreeSet<Disposition>,
}

/// Log files that failed with the same error name.
#[derive(Debug)]
struct Group {
    /// The reason of the first log file.
    reason: String,
    count: usize,
    first: Vec<LogFile>,
}

impl Failures {
    pub(super) fn add(&mut self, log_file: LogFile, error: &NotStaged) {
        let group = self.by_name.entry(error.name).or_insert_with(|| Group {
            reason: error.reason.to_string(),
            count: 0,
            first: Vec::new(),
        });
        group.count += 1;
        if group.first.len() < NAMED_MAX {
            group.first.push(log_file);
        }
        self.dispositions.insert(error.disposition.clone());
    }

    /// The disposition with the longest wait. `None` if nothing failed.
    pub(super) fn worst(&self) -> Option<&Disposition> {
        self.dispositions.last()
    }

    /// Dependencies that are down.
    pub(super) fn outages(&self) -> impl Iterator<Item = &Dependency> {
        self.dispositions.iter().filter_map(|each| match each {
            Disposition::BackOff(dependency) => Some(dependency),
            Disposition::Reject | Disposition::Retry => None,
        })
    }

    /// Calls `log` once for each error name, with the number of log files, the names of the first few, and the reason of
    /// the first one.
    pub(super) fn each_reason(&self, mut log: impl FnMut(&'static str, usize, &str, &str)) {
        for (name, group) in &self.by_name {
            let first: Vec<&str> = group.first.iter().map(LogFile::uri).collect();
            log(name, group.count, &first.join(" "), &group.reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::S3ErrorKind;

    #[test]
    fn many_failures_are_told_in_few_lines() {
        let mut failures = Failures::default();
        assert_eq!(failures.worst(), None);
        for number in 0..33_340 {
            let log_file = LogFile::in_bucket("logs", &format!("{number}.log"));
            let missing = NotStaged::by_s3(
                S3ErrorKind::NotFound,
                &log_file,
                "the object does not exist",
            );
            failures.add(log_file, &missing);
        }
        failures.add(
            LogFile::new("s3://b/x"),
            &NotStaged::rejected("not_allowed", "not allowed"),
        );
        let mut lines = Vec::new();
        failures.each_reason(|name, count, first, reason| {
            lines.push(format!("{name} {count} {first} {reason}"));
        });
        assert_eq!(
            lines,
            [
                "missing 33340 s3://logs/0.log s3://logs/1.log s3://logs/2.log the object does not exist",
                "not_allowed 1 s3://b/x not allowed",
            ]
        );
        assert_eq!(failures.worst(), Some(&Disposition::Retry));
        assert_eq!(failures.outages().count(), 0);
    }
}
