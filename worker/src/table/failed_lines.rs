//! Lines on which a rollup's SQL fails. A failed line is left out of that rollup only. The ledger's entry of the log file
//! counts all of them, and holds the first ones as examples.

use serde::{Deserialize, Serialize};

/// Maximum number of examples kept for a log file.
const KEPT_MAX: usize = 100;

/// Maximum size of all examples of a log file, in bytes. Each commit rewrites the entries of an hour's log files, and
/// clients control the content of lines.
const KEPT_BYTES_MAX: usize = 4 * 1024;

/// Maximum length of a kept reason, in bytes: it may quote text from a request.
const REASON_BYTES_MAX: usize = 200;

/// The failed lines of a log file, for one rollup.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct FailedLines {
    /// Number of failed lines.
    pub count: u64,
    /// The first failed lines.
    pub kept: Vec<FailedLine>,
    bytes: usize,
}

/// A line on which a rollup's SQL fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedLine {
    /// The line's number in its log file, from 1; 0 if it is not known.
    pub line_number: i64,
    /// Why it fails.
    pub reason: String,
    /// The beginning of the line.
    pub line: String,
}

impl FailedLines {
    /// Counts a line, and keeps it if there is room.
    pub(crate) fn add(&mut self, line_number: i64, reason: &str, line: &str) {
        self.count += 1;
        let reason = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
        let bytes = reason.len() + line.len();
        if self.kept.len() < KEPT_MAX && self.bytes + bytes <= KEPT_BYTES_MAX {
            self.bytes += bytes;
            self.kept.push(FailedLine {
                line_number,
                reason: reason.to_owned(),
                line: line.to_owned(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_bounded_and_all_lines_are_counted() {
        let mut failed = FailedLines::default();
        for number in 1..=1000 {
            failed.add(number, "short", "line");
        }
        assert_eq!((failed.count, failed.kept.len()), (1000, KEPT_MAX));

        let mut failed = FailedLines::default();
        for number in 1..=1000 {
            failed.add(number, &"é".repeat(1000), &"x".repeat(1024));
        }
        assert_eq!(failed.count, 1000);
        let bytes: usize = failed
            .kept
            .iter()
            .map(|each| each.reason.len() + each.line.len())
            .sum();
        assert!((KEPT_BYTES_MAX / 2..=KEPT_BYTES_MAX).contains(&bytes));
    }
}
