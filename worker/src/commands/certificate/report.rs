//! The outcome of checking a certificate, and how it is shown.

use std::fmt;

use indicatif::HumanCount;
use serde::Serialize;

use crate::terminal::escaped;

/// Log files that are shown one by one. If there are more, only some are shown.
const SHOWN: usize = 10;

/// Log files that are shown if there are many.
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
    /// The signs that the certificate itself was changed.
    pub certificate_changes: Vec<String>,
    /// The differences from the certificate.
    pub differences: Vec<Difference>,
    /// The causes that the tables know of.
    pub causes: Vec<Cause>,
    /// The comparison with the log files themselves, if it was asked for.
    pub logs: Option<LogsCheck>,
}

/// A difference from the certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// The table.
    pub table: String,
    /// The day; `None` if it is about the whole table.
    pub day: Option<String>,
    /// The difference.
    #[serde(flatten)]
    pub what: What,
}

/// The difference.
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
        /// The values that differ: name, certified value, current value.
        values: Vec<(&'static str, String, String)>,
    },
    /// A number of the day.
    Number {
        /// The column of a total, or what is counted.
        name: String,
        /// The certified value, if any.
        certified: Option<String>,
        /// The current value, if any.
        now: Option<String>,
    },
    /// Retention has removed the rows of the day.
    Expired {
        /// For how many days rows are kept.
        keep_days: u32,
    },
}

/// A cause of differences that a table knows of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Cause {
    /// The table.
    pub table: String,
    /// What has happened to it.
    pub cause: String,
}

/// The comparison of the log files themselves.
#[derive(Debug, Default, Serialize)]
pub struct LogsCheck {
    /// Log files that are as certified.
    pub unchanged: usize,
    /// Log files that have another ETag or size.
    pub changed: Vec<ChangedLogFile>,
    /// Log files that are gone.
    pub gone: Vec<String>,
    /// Log files that are not in the listing, and too many to look up each.
    pub not_listed: Vec<String>,
    /// Log files and folders that could not be checked.
    pub unknown: Vec<String>,
    /// Log files that were listed, but are not in the certificate.
    pub added: Vec<String>,
}

/// A log file that differs from the certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ChangedLogFile {
    /// Its URI.
    pub log_file: String,
    /// The values that differ: name, certified value, current value.
    pub values: Vec<(&'static str, String, String)>,
}

impl LogsCheck {
    /// Whether all log files exist, as certified, and no others.
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
        self.tables(f)?;
        if let Some(logs) = &self.logs {
            logs.fmt(f)?;
        }
        match self.holds {
            true => writeln!(f, "unchanged"),
            false => writeln!(f, "different"),
        }
    }
}

/// What differs in a table, and why.
type OfTable<'c> = (Vec<(Option<&'c str>, &'c What)>, Vec<&'c str>);

impl Check {
    fn of_table(&self, table: &str) -> OfTable<'_> {
        let differences = self.differences.iter();
        let differences = differences.filter(|each| each.table == table);
        let causes = self.causes.iter().filter(|cause| cause.table == table);
        (
            differences
                .map(|each| (each.day.as_deref(), &each.what))
                .collect(),
            causes.map(|cause| cause.cause.as_str()).collect(),
        )
    }

    /// Combines tables that have the same differences.
    fn tables(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut groups: Vec<(OfTable<'_>, Vec<&str>)> = Vec::new();
        for table in &self.tables {
            let what = self.of_table(table);
            match groups.iter_mut().find(|(other, _)| *other == what) {
                Some((_, tables)) => tables.push(table),
                None => groups.push((what, vec![table])),
            }
        }
        groups
            .iter()
            .try_for_each(|(what, tables)| show(f, &tables.join(", "), what))
    }
}

fn show(
    f: &mut fmt::Formatter<'_>,
    tables: &str,
    (differences, causes): &OfTable<'_>,
) -> fmt::Result {
    if differences.is_empty() {
        return writeln!(f, "as certified {}", escaped(tables));
    }
    writeln!(f, "different   {}", escaped(tables))?;
    let kind = |what: &What| std::mem::discriminant(what);
    let groups = differences.chunk_by(|(left_day, left), (right_day, right)| {
        left_day == right_day && kind(left) == kind(right)
    });
    for group in groups {
        let shown = if group.len() > SHOWN { EXAMPLES } else { SHOWN };
        for (day, what) in group.iter().take(shown) {
            match day {
                Some(day) => writeln!(f, "            {}: {what}", escaped(day))?,
                None => writeln!(f, "            {what}")?,
            }
        }
        more(f, group.len().saturating_sub(shown))?;
    }
    causes
        .iter()
        .try_for_each(|cause| writeln!(f, "            ({})", escaped(cause)))
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

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let none = |value: &Option<String>| match value {
            Some(value) => escaped(value).into_owned(),
            None => "none".to_owned(),
        };
        match self {
            Self::Table { reason } => f.write_str(&escaped(reason)),
            Self::Added { log_file } => {
                write!(f, "added: {}", escaped(log_file))
            }
            Self::Removed { log_file } => {
                write!(f, "removed: {}", escaped(log_file))
            }
            Self::Changed { log_file, values } => {
                write!(f, "changed: {}", escaped(log_file))?;
                changed(f, values)
            }
            Self::Number {
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
            Self::Expired { keep_days } => write!(
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
