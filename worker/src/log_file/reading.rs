//! What reading a log file has come to.

use std::time::Duration;

/// Where a log file's time has gone.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Waiting for its bytes.
    pub fetch: Duration,
    /// Decompressing, parsing and grouping.
    pub compute: Duration,
    /// Writing what is staged.
    pub put: Duration,
}

/// What was read of a log file.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Its size in bytes, as stored.
    pub bytes: u64,
    /// The size of its text in bytes.
    pub text_bytes: u64,
    /// Its lines.
    pub lines: u64,
    /// Lines of it that are no log lines.
    pub rejected_lines: u64,
}

impl Reading {
    /// Adds what was read of another log file.
    pub fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.text_bytes += other.text_bytes;
        self.lines += other.lines;
        self.rejected_lines += other.rejected_lines;
    }
}
