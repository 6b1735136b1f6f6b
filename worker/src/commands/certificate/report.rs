//! The outcome of checking a certificate, and how it is shown.

use std::fmt;

use indicatif::HumanCount;
use serde::Serialize;

use crate::terminal::escaped;

/// Log files shown one by one. Of more, only some are.
const SHOWN: usize = 10;

/// Log files shown of many.
const EXAMPLES: usize = 3;

/// The outcome of checking a certificate.
#[derive(Debug, Default, Serialize)]
pub struct Check {
    /// Whether everything is as certified.
    pub holds: bool,
    /// The root that the certificate gives.
    pub root: String,
    /// The first day (UTC).
    pub from: String,
    /// The day after the last one.
    pub to: String,
    /// Whether each log file that was listed was counted when the certificate was written.
    pub complete: bool,
    /// The tables that were compared.
    pub tables: Vec<String>,
    /// Number of log files in the certificate, of each day those of the table with the most.
    pub log_files: i64,
    /// What shows that the certificate itself was changed.
    pub certificate_changes: Vec<String>,
    /// What is not as certified.
    pub differences: Vec<Difference>,
    /// What the tables say of why they differ.
    pub causes: Vec<Cause>,
    /// The comparison with the log files themselves, if it was asked for.
    pub logs: Option<LogsCheck>,
}

/// Something that is not as certified.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// The day; `None` if it is about the whole table.
    pub day: Option<String>,
    /// What differs.
    #[serde(flatten)]
    pub what: What,
}

/// What differs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// The table is gone, or can't be read.
    Table {
        /// Why it can't be compared.
        reason: String,
    },
    /// The table has counted a log file that the certificate does not have.
    Added {
        /// Its URI.
        log_file: String,
    },
    /// The table has not counted a log file that the certificate has.
    Removed {
        /// Its URI.
        log_file: String,
    },
    /// The table has counted a log file in another version, or with other lines.
    Changed {
        /// Its URI.
        log_file: String,
        /// What differs: the name, the certified value, and the one now.
        values: Vec<(&'static str, String, String)>,
    },
    /// A number of the day.
    Number {
        /// The column of a total, or what is counted.
        name: String,
        /// The certified value. `None`: there was none.
        certified: Option<String>,
        /// The value now. `None`: there is none.
        now: Option<String>,
    },
    /// Retention has removed the rows of the day.
    Expired {
        /// For how many days rows are kept.
        keep_days: u32,
    },
}

/// What a table says of why it differs from the certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Cause {
    /// The table.
    pub table: String,
    /// What has happened to it.
    pub cause: String,
}

/// The log files themselves beside the certificate.
#[derive(Debug, Default, Serialize)]
pub struct LogsCheck {
    /// Log files that are as certified.
    pub unchanged: usize,
    /// Log files that have another ETag or size.
    pub changed: Vec<ChangedLogFile>,
    /// Log files that are gone.
    pub gone: Vec<String>,
    /// Log files that are not in the listing. There are too many to look for each.
    pub not_listed: Vec<String>,
    /// Log files and folders that could not be looked into.
    pub unknown: Vec<String>,
    /// Log files that were listed, and that the certificate does not have.
    pub added: Vec<String>,
}

/// A log file that is not as certified.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ChangedLogFile {
    /// Its URI.
    pub log_file: String,
    /// What differs: the name, the certified value, and the one now.
    pub values: Vec<(&'static str, String, String)>,
}

impl LogsCheck {
    /// Whether all log files are there, as certified, and no others.
    pub fn holds(&self) -> bool {
        self.changed.is_empty()
            && self.gone.is_empty()
            && self.not_listed.is_empty()
            && self.unknown.is_empty()
            && self.added.is_empty()
    }
}

impl Check {
    pub(super) fn end(&mut self) {
        self.differences.sort();
        self.causes.sort();
        self.causes.dedup();
        self.holds = self.differences.is_empty()
            && self.certificate_changes.is_empty()
            && self.logs.as_ref().is_none_or(LogsCheck::holds);
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to, root, .. } = self;
        let log_files = HumanCount(self.log_files.unsigned_abs());
        writeln!(
            f,
            "certificate {log_files} log files from {} to {}",
            escaped(from),
            escaped(to)
        )?;
        writeln!(f, "            root {}", escaped(root))?;
        if !self.complete {
            writeln!(f, "            log files were missing when it was written")?;
        }
        for change in &self.certificate_changes {
            writeln!(
                f,
                "            was changed after it was written: {}",
                escaped(change)
            )?;
        }
        for table in &self.tables {
            self.table(f, table)?;
        }
        if let Some(logs) = &self.logs {
            logs.fmt(f)?;
        }
        match self.holds {
            true => writeln!(f, "unchanged"),
            false => writeln!(f, "different"),
        }
    }
}

impl Check {
    fn table(&self, f: &mut fmt::Formatter<'_>, table: &str) -> fmt::Result {
        let mut of_table = self
            .differences
            .iter()
            .filter(|each| each.table == table)
            .peekable();
        if of_table.peek().is_none() {
            return writeln!(f, "table       {}: as certified", escaped(table));
        }
        writeln!(f, "table       {} differs:", escaped(table))?;
        let of_table: Vec<&Difference> = of_table.collect();
        let alike = |left: &&Difference, right: &&Difference| {
            let kind = |each: &Difference| std::mem::discriminant(&each.what);
            left.day == right.day && kind(left) == kind(right)
        };
        for group in of_table.chunk_by(alike) {
            let shown = if group.len() > SHOWN { EXAMPLES } else { SHOWN };
            for difference in group.iter().take(shown) {
                writeln!(f, "            {difference}")?;
            }
            more(f, group.len().saturating_sub(shown))?;
        }
        let causes = self.causes.iter().filter(|cause| cause.table == table);
        for Cause { cause, .. } in causes {
            writeln!(f, "            ({})", escaped(cause))?;
        }
        Ok(())
    }
}

fn more(f: &mut fmt::Formatter<'_>, more: usize) -> fmt::Result {
    match more {
        0 => Ok(()),
        more => writeln!(
            f,
            "            and {} more, which --format json lists",
            HumanCount(more as u64)
        ),
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(day) = &self.day {
            write!(f, "{}: ", escaped(day))?;
        }
        let none = |value: &Option<String>| match value {
            Some(value) => escaped(value).into_owned(),
            None => "none".to_owned(),
        };
        match &self.what {
            What::Table { reason } => f.write_str(&escaped(reason)),
            What::Added { log_file } => {
                write!(f, "added: {}", escaped(log_file))
            }
            What::Removed { log_file } => {
                write!(f, "removed: {}", escaped(log_file))
            }
            What::Changed { log_file, values } => {
                write!(f, "changed: {}", escaped(log_file))?;
                changed(f, values)
            }
            What::Number {
                name,
                certified,
                now,
            } => write!(
                f,
                "{}: certified {}, now {}",
                escaped(name),
                none(certified),
                none(now)
            ),
            What::Expired { keep_days } => write!(
                f,
                "the rows were removed: `logmill retain` keeps those of {keep_days} days"
            ),
        }
    }
}

fn changed(f: &mut fmt::Formatter<'_>, values: &[(&str, String, String)]) -> fmt::Result {
    values.iter().try_for_each(|(name, certified, now)| {
        let (certified, now) = (escaped(certified), escaped(now));
        write!(f, "; {name}: certified {certified}, now {now}")
    })
}

impl fmt::Display for ChangedLogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(&self.log_file))?;
        changed(f, &self.values)
    }
}

impl fmt::Display for LogsCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unchanged = HumanCount(self.unchanged as u64);
        writeln!(f, "log files   {unchanged} as certified")?;
        list(f, "changed", &self.changed)?;
        list(f, "gone", &self.gone)?;
        list(f, "not listed", &self.not_listed)?;
        list(f, "unknown", &self.unknown)?;
        list(f, "not in the certificate", &self.added)
    }
}

fn list(f: &mut fmt::Formatter<'_>, what: &str, items: &[impl fmt::Display]) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    writeln!(f, "            {} {what}:", HumanCount(items.len() as u64))?;
    let shown = if items.len() > SHOWN { EXAMPLES } else { SHOWN };
    for item in items.iter().take(shown) {
        writeln!(f, "              {}", escaped(&item.to_string()))?;
    }
    more(f, items.len().saturating_sub(shown))
}
