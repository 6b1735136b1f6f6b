//! The texts that a rebuild prints.

use std::collections::{BTreeMap, HashSet};
use std::io::Write;

use anyhow::Result;
use chrono::{DateTime, Utc};
use indicatif::{HumanBytes, HumanCount};

use super::changes::changes;
use super::{Generations, LogFiles, Options, SHOWN, To, estimate, kept};
use crate::commands::progress::Progress;
use crate::commands::run::Summary;
use crate::rollup::Rollup;
use crate::table::{Anew, Entry, Keeping, Version};
use crate::terminal::escaped;

impl Generations {
    /// Reports which days are kept unchanged. Returns whether they can be.
    pub(super) fn say_kept(
        &self,
        keeping: &Keeping,
        version: &Version,
        log_files: &LogFiles,
        out: &mut impl Write,
    ) -> Result<bool> {
        if keeping.is_nothing() {
            return Ok(true);
        }
        let gone = HumanCount(keeping.gone() as u64);
        if self.to == To::Rollup(Anew::All) && log_files.found.is_empty() {
            writeln!(
                out,
                "  not rebuilt: none of the log files that the table has counted is found, for example:"
            )?;
            say_some(&log_files.gone, out)?;
            writeln!(
                out,
                "  a log file is known by its URI: one that was moved is another one. Put them back; or give --from, so that rows before that time are kept"
            )?;
            return Ok(false);
        }
        if keeping.gone() > 0 {
            let days = kept::days(keeping, version)?;
            writeln!(out, "  {gone} log files are gone, for example:")?;
            say_some(&log_files.gone, out)?;
            let what = match self.to {
                To::Without(_) => "  nothing is erased, because it can't be counted anew",
                _ => "  keeps as it is",
            };
            writeln!(out, "{what}: {days}")?;
        }
        if !keeping.keeps_rows(version)? {
            return Ok(true);
        }
        let obstacles = match self.has_same_rows() {
            true => Vec::new(),
            false => kept::obstacles(&self.old, &self.rollup),
        };
        if !obstacles.is_empty() {
            writeln!(
                out,
                "  not rebuilt: what is kept can't stand in a table of the new rollup:"
            )?;
            for obstacle in obstacles {
                writeln!(out, "    {obstacle}")?;
            }
            writeln!(
                out,
                "  put the log files back, or write the new rollup under another name"
            )?;
            return Ok(false);
        }
        let new = kept::new_columns(&self.old, &self.rollup);
        if !new.is_empty() {
            writeln!(out, "  there, new columns are NULL: {}", new.join(", "))?;
        }
        Ok(true)
    }

    /// Reports what changes, and what a rebuild takes.
    pub(super) async fn say_plan(
        &self,
        log_files: &LogFiles,
        left: &[Entry],
        options: &Options,
        out: &mut impl Write,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        match (&self.to, self.is_same()) {
            (To::Earlier, _) => writeln!(out, "{}: the earlier generation is put back", self.name)?,
            (To::Without(_), _) => writeln!(out, "{}: lines are erased", self.name)?,
            (_, true) => writeln!(out, "{}: a part is computed anew", self.name)?,
            (_, false) => writeln!(out, "{}: the rollup has changed", self.name)?,
        }
        if !self.has_same_rows() {
            for change in changes(&self.old, &self.rollup) {
                writeln!(out, "  {change}")?;
            }
        }
        match (&options.span, &self.to) {
            (Some(span), To::Without(_)) => writeln!(
                out,
                "  computes anew: all hours of log files with lines of this time: {span}; what is outside is kept as it is"
            )?,
            (Some(span), _) => {
                writeln!(
                    out,
                    "  computes anew: {span}; what is outside is kept as it is"
                )?;
            }
            (None, _) => {}
        }
        if self.drops {
            writeln!(
                out,
                "  drops the next generation, which was begun for something else"
            )?;
        }
        let bytes: i64 = left.iter().map(|entry| entry.bytes).sum();
        let files = format!(
            "{} log files of {}",
            HumanCount(left.len() as u64),
            HumanBytes(bytes.unsigned_abs())
        );
        let counted = log_files.entries.len();
        match (&self.next, left.is_empty()) {
            (None, _) if left.len() < counted => writeln!(
                out,
                "  reads {files}, of {} that the table has counted",
                HumanCount(counted as u64)
            )?,
            (None, _) => writeln!(out, "  reads {files}: as many as the table has counted")?,
            (Some(_), true) => writeln!(out, "  reads no log file: it has counted all of them")?,
            (Some(_), false) => writeln!(out, "  reads {files}: it has counted the others")?,
        }
        let estimate = estimate::of(&self.rollup, left, &log_files.found, options, progress);
        for line in estimate.await {
            writeln!(out, "  {line}")?;
        }
        Ok(())
    }

    pub(super) fn say_swapped(&self, version: u64, out: &mut impl Write) -> Result<()> {
        writeln!(
            out,
            "  swapped: whoever reads version {version} or a later one reads the rebuilt table"
        )?;
        let columns = |rollup: &Rollup| {
            let columns = rollup.definition().columns.iter();
            let columns = columns.map(|column| (column.name.clone(), column.data_type.clone()));
            columns.collect::<Vec<_>>()
        };
        if columns(&self.old) != columns(&self.rollup) {
            writeln!(
                out,
                "  Glue has the columns of the day on which Athena's table was created: run `infra/tables`, or drop that table (the data \
                 stay) and run the statements of `logmill ddl` again"
            )?;
        }
        writeln!(
            out,
            "  to take it back within three days: logmill rollback {}",
            self.name
        )?;
        Ok(())
    }
}

/// Names the log files that a rebuild needs and that are gone, and their days. Returns whether the rebuild has everything it needs.
pub(super) fn say_gone(left: &[Entry], gone: &[Entry], out: &mut impl Write) -> Result<bool> {
    let left: HashSet<&str> = left.iter().map(|entry| &*entry.log_file).collect();
    let gone = gone.iter().filter(|entry| left.contains(&*entry.log_file));
    let gone: Vec<Entry> = gone.cloned().collect();
    if gone.is_empty() {
        return Ok(true);
    }
    let mut days: BTreeMap<String, usize> = BTreeMap::new();
    for entry in &gone {
        let day = match entry
            .first_time
            .and_then(DateTime::<Utc>::from_timestamp_millis)
        {
            Some(time) => time.format("%Y-%m-%d").to_string(),
            None => "without a time".to_owned(),
        };
        *days.entry(day).or_default() += 1;
    }
    writeln!(
        out,
        "  not rebuilt: {} log files that the table has counted are gone, and the rebuilt table would lack them:",
        HumanCount(gone.len() as u64)
    )?;
    say_some(&gone, out)?;
    let days: Vec<String> = days
        .into_iter()
        .map(|(day, log_files)| format!("{day} ({log_files})"))
        .collect();
    writeln!(out, "  days: {}", days.join(", "))?;
    writeln!(
        out,
        "  put the log files back, or do without what was before"
    )?;
    Ok(false)
}

pub(super) fn say_some(entries: &[Entry], out: &mut impl Write) -> Result<()> {
    for entry in entries.iter().take(SHOWN) {
        writeln!(out, "    {}", escaped(&entry.log_file))?;
    }
    match entries.len().saturating_sub(SHOWN) {
        0 => {}
        more => writeln!(out, "    and {} more", HumanCount(more as u64))?,
    }
    Ok(())
}

/// Reports why log files are not in the rebuilt table.
pub(super) fn say_failures(summary: &Summary, out: &mut impl Write) -> Result<()> {
    for (log_file, reason) in summary.failed.iter().take(SHOWN) {
        writeln!(
            out,
            "  not read: {}: {}",
            escaped(log_file),
            escaped(reason)
        )?;
    }
    for set_aside in summary.set_aside.values() {
        let (log_file, reason) = &set_aside.first;
        writeln!(
            out,
            "  the new rollup fails on {} log files as a whole, for example {}: {}",
            HumanCount(set_aside.log_files as u64),
            escaped(log_file),
            escaped(reason)
        )?;
    }
    for trouble in &summary.troubles {
        writeln!(out, "  problem: {}", escaped(&trouble.what))?;
    }
    if let Some(lines) = summary.failed_lines.values().max() {
        writeln!(
            out,
            "  the new rollup fails on {} lines, which the rebuilt table leaves out (they are in failed_lines after the swap)",
            HumanCount(*lines)
        )?;
    }
    Ok(())
}
