//! What a query over log files notices about them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use indicatif::{HumanBytes, HumanCount};
use logmill_shared::{LogFile, LogFileId, chain};

use crate::format::{LogFormat, Recognised};
use crate::intake::copies::{Copy, SeenNames};
use crate::pipeline::{ReadRows, RowsEnd};

/// The log files that a query will read.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct LogsToRead {
    /// Number of log files.
    pub log_files: usize,
    /// Their stored size.
    pub bytes: u64,
    /// Log files that the query's conditions exclude by their paths and names.
    pub excluded: usize,
    /// Whether the conditions exclude folders of other times, which are not listed.
    pub is_restricted: bool,
}

impl LogsToRead {
    pub(super) fn add(&mut self, other: Self) {
        self.log_files += other.log_files;
        self.bytes += other.bytes;
        self.excluded += other.excluded;
        self.is_restricted |= other.is_restricted;
    }
}

impl fmt::Display for LogsToRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = HumanCount(self.log_files as u64);
        let s = if self.log_files == 1 { "" } else { "s" };
        write!(f, "reading {count} log file{s}, {}", HumanBytes(self.bytes))?;
        match self.excluded {
            0 if self.is_restricted => f.write_str("; folders of other times not listed"),
            0 => Ok(()),
            excluded => write!(
                f,
                "; {} of other times not read",
                HumanCount(excluded as u64)
            ),
        }
    }
}

/// What a query has noticed about log files. A join of a log table with itself reads them twice, but notices them once.
#[derive(Debug, Default, Clone)]
pub struct LogNotes {
    /// Log files that were read, at least in part.
    pub log_files: usize,
    /// Log files that can't be read to their end, each with the reason.
    pub failed: BTreeMap<String, String>,
    /// Files of no known kind, each with what it looks like.
    pub unrecognised: BTreeMap<String, &'static str>,
    /// Log files with the same name as another one. Their lines are read too.
    pub copies: Vec<Copy>,
    /// Log files that logmill's own decoder refused and flate2 could read.
    pub by_second_opinion: Vec<String>,
    /// Number of files excluded by the ignore patterns.
    pub ignored: usize,
    /// Number of files to read that turned out not to be log files of the query's tables.
    pub(super) others: usize,
    skipped: HashMap<LogFileId, String>,
    rejected: BTreeMap<String, u64>,
}

impl LogNotes {
    /// Number of skipped files, by kind: they hold no lines of the tables that the query reads.
    pub fn skipped(&self) -> BTreeMap<&str, usize> {
        let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
        for kind in self.skipped.values() {
            *kinds.entry(kind).or_default() += 1;
        }
        kinds
    }

    /// Number of lines that are not log lines, and the log file that has the most of them.
    pub fn rejected_lines(&self) -> Option<(u64, &str)> {
        let (log_file, _) = self.rejected.iter().max_by_key(|(_, lines)| **lines)?;
        Some((self.rejected.values().sum(), log_file))
    }

    pub(super) fn skip(&mut self, log_file: &LogFile, kind: &str) {
        self.skipped.insert(log_file.id(), kind.to_owned());
    }

    pub(super) fn fail(&mut self, log_file: &LogFile, reason: String) {
        tracing::warn!(%log_file, reason, "log file not read");
        self.failed.insert(log_file.to_string(), reason);
    }

    pub(super) fn find_copies<'a>(&mut self, found: impl Iterator<Item = &'a LogFile>) {
        let mut names = SeenNames::default();
        self.copies = found.filter_map(|log_file| names.meet(log_file)).collect();
    }

    /// Skips a log that the query does not read.
    pub(super) fn skip_format(&mut self, log_file: &LogFile, format: &LogFormat) {
        let kind = format!("of {}, which the query does not read", format.table);
        self.skip(log_file, &kind);
    }

    pub(super) fn has_read(&mut self, log_file: &LogFile, read: ReadRows) {
        let ReadRows {
            reading,
            end,
            by_second_opinion,
        } = read;
        if reading.rejected_lines > 0 {
            self.rejected
                .insert(log_file.to_string(), reading.rejected_lines);
        }
        self.others += usize::from(matches!(end, RowsEnd::Other(_)));
        let name = log_file.to_string();
        if by_second_opinion && !self.by_second_opinion.contains(&name) {
            self.by_second_opinion.push(name.clone());
        }
        match end {
            RowsEnd::Whole | RowsEnd::Stopped => self.log_files += 1,
            RowsEnd::Other(Recognised::Unrecognised(what)) => {
                self.unrecognised.insert(name, what);
            }
            RowsEnd::Other(Recognised::Other(kind)) => self.skip(log_file, kind),
            RowsEnd::Other(Recognised::Log(format, _) | Recognised::Claimed(format)) => {
                self.skip_format(log_file, format);
            }
            // Its columns have told what it is.
            RowsEnd::Other(Recognised::Parquet) => {}
            RowsEnd::Failed(error) => {
                let reason = match reading.lines {
                    0 => format!("{}; no line of it is read", chain(&error)),
                    lines => format!(
                        "{}; only its first {} lines are read",
                        chain(&error),
                        HumanCount(lines)
                    ),
                };
                self.fail(log_file, reason);
            }
        }
    }
}
