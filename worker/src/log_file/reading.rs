//! Measurements of reading a log file.

use std::time::Duration;

/// Where the time for a log file went.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Waiting for its bytes.
    pub fetch: Duration,
    /// Decompressing, parsing and grouping.
    pub compute: Duration,
    /// Writing the staged files.
    pub put: Duration,
}

/// Sizes and line counts of a log file, or of several log files in total.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Its size in bytes, as stored.
    pub bytes: u64,
    /// The size of its text in bytes.
    pub text_bytes: u64,
    /// The number of lines.
    pub lines: u64,
    /// The number of lines that are not log lines.
    pub rejected_lines: u64,
}

impl Reading {
    /// Adds the counts of another log file.
    pub fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.text_bytes += other.text_bytes;
        self.lines += other.lines;
        self.rejected_lines += other.rejected_lines;
    }
}
