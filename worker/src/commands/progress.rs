//! The progress of a command that goes through log files.

use std::fmt::Display;

/// Receives the progress of a command.
pub trait Progress: Send {
    /// Reports what a query will read, before it reads it.
    fn reading(&mut self, _to_read: &dyn Display) {}
    /// Reports how many more log files there are to process. (For dead letters, it counts messages.)
    fn found(&mut self, log_files: usize);
    /// Reports the stored size of log files that were found, if the command reads them.
    fn found_bytes(&mut self, _log_file_bytes: u64) {}
    /// Reports how many more log files have been processed.
    fn done(&mut self, log_files: usize);
    /// Reports what has been read of a log file: its stored size, and the size of its text.
    fn done_bytes(&mut self, _log_file_bytes: u64, _text_bytes: u64) {}
    /// All log files have been read, and the last commit is in progress.
    fn committing(&mut self) {}
    /// The command is over.
    fn end(&mut self);
}
