//! Prints what a command has done.

use std::io::{self, Write};

use crate::commands::alerts::{Alert, Alerts, Evaluated, Seen};
use crate::commands::maintain::Maintained;
use crate::commands::query::Logs;
use crate::commands::retry::PutBack;
use crate::commands::run::Summary;
use crate::commands::verify;
use crate::feeds::Trouble;
use crate::log_file::reading::Reading;
use crate::terminal::escaped;
use indicatif::{HumanBytes, HumanCount};

/// Maximum number of files that are not logs that are named.
const SHOWN_FILES: usize = 10;

/// Maximum number of reasons printed for set-aside log files.
const SHOWN_SET_ASIDE: usize = 10;

pub(crate) fn print_put_back(done: &PutBack, out: &mut impl Write) -> io::Result<()> {
    if done.set_aside.is_empty() {
        return writeln!(out, "no log files are set aside");
    }
    for (table, before) in &done.set_aside {
        let still = done.still.get(table).map_or(&[][..], Vec::as_slice);
        writeln!(
            out,
            "table      {table}: {before} set aside before the retry, {} still set aside:",
            still.len()
        )?;
        for (log_file, reason) in still.iter().take(SHOWN_SET_ASIDE) {
            writeln!(out, "{}", named(log_file, reason))?;
        }
    }
    print_summary(&done.summary, out)
}

/// Prints what alerts have told. Nothing about alerts for which no other hour has become final.
pub(crate) fn print_alerts(
    alerts: &Alerts,
    evaluated: &[(String, anyhow::Result<Evaluated>)],
    out: &mut impl Write,
) -> io::Result<()> {
    for invalid in &alerts.invalid {
        writeln!(out, "warning: {}", escaped(&invalid.reason))?;
    }
    for (alert, evaluated) in evaluated {
        let evaluated = match evaluated {
            Ok(evaluated) => evaluated,
            Err(error) => {
                let reason = format!("{error:#}");
                writeln!(
                    out,
                    "warning: the alert {alert} failed: {}",
                    escaped(&reason)
                )?;
                continue;
            }
        };
        if let Some(until) = evaluated.until {
            let rows = evaluated.told.len() + evaluated.more_rows;
            let s = if rows == 1 { "" } else { "s" };
            let until = until.format("%Y-%m-%dT%H:%MZ");
            writeln!(out, "alert      {alert}: {rows} new row{s} until {until}")?;
        }
        for instance in &evaluated.told {
            writeln!(out, "           {}", escaped(instance.row.get()))?;
        }
        if evaluated.more_rows > 0 {
            writeln!(out, "           and {} more", evaluated.more_rows)?;
        }
        if let Some(reason) = &evaluated.undelivered {
            let reason = escaped(reason);
            writeln!(
                out,
                "warning: rows of the alert {alert} are not delivered: {reason}"
            )?;
        }
    }
    Ok(())
}

/// Prints the rows that an alert returns.
pub(crate) fn print_look(
    alert: &Alert,
    seen: &Option<Seen>,
    out: &mut impl Write,
) -> io::Result<()> {
    let (name, tables) = (&alert.name, alert.tables().join(", "));
    let Some(seen) = seen else {
        return writeln!(out, "{name}, of {tables}: no hour is final yet");
    };
    let rows = seen.rows.len();
    let s = if rows == 1 { "" } else { "s" };
    let more = if seen.has_more {
        ", and there are more"
    } else {
        ""
    };
    let until = seen.until.format("%Y-%m-%dT%H:%MZ");
    writeln!(
        out,
        "{name}, of {tables}: {rows} row{s} until {until}{more}"
    )?;
    for row in &seen.rows {
        writeln!(out, "  {}", escaped(row))?;
    }
    Ok(())
}

/// Prints what a query over log files has noticed about them. Nothing, if there is nothing to say.
pub(crate) fn print_log_notes(logs: &Logs, out: &mut impl Write) -> io::Result<()> {
    let notes = logs.notes();
    let count = |count: usize| HumanCount(count as u64);
    for (log_file, reason) in &notes.failed {
        writeln!(out, "warning: {}: {}", escaped(log_file), escaped(reason))?;
    }
    for (log_file, what) in notes.unrecognised.iter().take(SHOWN_FILES) {
        writeln!(
            out,
            "warning: {}: not a log that logmill knows, but {what}; --ignore excludes such files",
            escaped(log_file)
        )?;
    }
    if let Some(others @ 1..) = notes.unrecognised.len().checked_sub(SHOWN_FILES) {
        writeln!(
            out,
            "warning: {} other files are not logs that logmill knows",
            count(others)
        )?;
    }
    for copy in notes.copies.iter().take(SHOWN_FILES) {
        writeln!(
            out,
            "warning: {}: a copy of {}, and read too; --ignore excludes copies",
            escaped(&copy.log_file),
            escaped(&copy.copy_of)
        )?;
    }
    for log_file in &notes.by_second_opinion {
        writeln!(
            out,
            "warning: {}: read by flate2 because logmill's own gzip decoder refuses it; please report this as a bug",
            escaped(log_file)
        )?;
    }
    if let Some((lines, log_file)) = notes.rejected_lines() {
        writeln!(
            out,
            "{} lines are not log lines, and are left out; most of them are in {}",
            HumanCount(lines),
            escaped(log_file)
        )?;
    }
    for (kind, files) in notes.skipped() {
        let s = if files == 1 { "" } else { "s" };
        writeln!(out, "{} file{s} skipped: {kind}", count(files))?;
    }
    if notes.ignored > 0 {
        let s = if notes.ignored == 1 { "" } else { "s" };
        writeln!(out, "{} file{s} ignored", count(notes.ignored))?;
    }
    if logs.found_none() {
        writeln!(
            out,
            "warning: no log files found of the tables that the query names"
        )?;
    }
    Ok(())
}

/// The line for a log file below a heading, with the reason why it is there.
fn named(log_file: &str, reason: &str) -> String {
    format!("             {}: {}", escaped(log_file), escaped(reason))
}

pub(crate) fn print_summary(summary: &Summary, out: &mut impl Write) -> io::Result<()> {
    let Reading {
        text_bytes,
        lines,
        rejected_lines,
        ..
    } = summary.reading;
    let count = |count: usize| HumanCount(count as u64);
    let seconds = summary.elapsed.as_secs_f64();
    writeln!(out, "log files  {} counted", count(summary.counted))?;
    let mut line = |count: usize, what: &str| match count {
        0 => Ok(()),
        _ => writeln!(out, "           {} {what}", HumanCount(count as u64)),
    };
    // Text logs of one kind need no word.
    let is_plain = summary.kinds.keys().all(|kind| !kind.contains(','));
    if summary.kinds.len() > 1 || !is_plain {
        for (kind, log_files) in &summary.kinds {
            line(*log_files, &format!("of {kind}"))?;
        }
    }
    line(summary.counted_before, "counted before")?;
    line(
        summary.changed.len(),
        "changed since they were counted; the changes are not counted",
    )?;
    for (what, skipped) in &summary.skipped {
        line(*skipped, &format!("skipped: {what}"))?;
    }
    line(summary.ignored, "ignored")?;
    line(summary.failed.len(), "failed, and not counted:")?;
    for (log_file, reason) in &summary.failed {
        writeln!(out, "{}", named(log_file, reason))?;
    }
    writeln_some(
        out,
        verify::UNRECOGNISED,
        summary
            .unrecognised
            .iter()
            .map(|(log_file, what)| named(log_file, what)),
    )?;
    writeln_some(
        out,
        verify::COPIES,
        summary
            .copies
            .iter()
            .map(|copy| named(&copy.log_file, &format!("a copy of {}", copy.copy_of))),
    )?;
    writeln_some(
        out,
        "read by flate2 because logmill's own gzip decoder refuses them; please report this as a bug:",
        summary
            .by_second_opinion
            .iter()
            .map(|log_file| format!("             {}", escaped(log_file))),
    )?;
    if summary.log_files + summary.counted == 0 && summary.failed.is_empty() {
        writeln!(out, "           no log files found that a rollup reads")?;
    }
    for (table, set_aside) in &summary.set_aside {
        let (log_file, reason) = &set_aside.first;
        writeln!(
            out,
            "           {} set aside for {table} and not counted by it; fix the cause, then run `logmill retry`:",
            count(set_aside.log_files)
        )?;
        writeln!(out, "{}", named(log_file, reason))?;
    }
    writeln!(
        out,
        "lines      {}, of which {} rejected",
        HumanCount(lines),
        HumanCount(rejected_lines)
    )?;
    if rejected_lines > 0 {
        writeln!(out, "           (they are in the table rejected_lines)")?;
    }
    for (table, lines) in &summary.failed_lines {
        let lines = HumanCount(*lines);
        writeln!(
            out,
            "           {lines} on which the rollup {table} fails; its table leaves them out"
        )?;
    }
    if !summary.failed_lines.is_empty() {
        writeln!(
            out,
            "           (they are in failed_lines: logmill query 'SELECT * FROM failed_lines')"
        )?;
    }
    writeln!(
        out,
        "text       {} in {seconds:.2} s, {:.1} MB/s",
        HumanBytes(text_bytes),
        text_bytes as f64 / 1e6 / seconds.max(1e-9)
    )?;
    for table in &summary.tables {
        writeln!(
            out,
            "table      {}: {} rows in {} {}, {}",
            table.name,
            HumanCount(table.rows),
            count(table.files),
            if table.files == 1 { "file" } else { "files" },
            HumanBytes(table.bytes)
        )?;
        let lost = summary.lost.get(&table.name).copied().unwrap_or_default();
        if lost.sums > 0 {
            let sums = HumanCount(lost.sums);
            writeln!(
                out,
                "           {sums} sums exceed bigint and are NULL; columns that end in __sum have the exact values"
            )?;
        }
        if lost.other_rows > 0 {
            let rows = HumanCount(lost.other_rows);
            writeln!(
                out,
                "           {rows} rows have is_other set: they combine groups that did not fit into a full hour"
            )?;
        }
    }
    for (table, late) in &summary.late {
        writeln!(
            out,
            "late       {} counted by {table} for a time that was final; `logmill status` lists the last ones",
            count(*late)
        )?;
    }
    for trouble in &summary.troubles {
        let Trouble { table, what, .. } = trouble;
        let word = if trouble.is_failure {
            "problem"
        } else {
            "warning"
        };
        writeln!(out, "{word}    {table}: {}", escaped(what))?;
    }
    out.flush()
}

/// Maximum number of names printed for a list.
const SHOWN_NAMES: usize = 10;

/// Prints the number of lines, and the first of them.
fn writeln_some(
    out: &mut impl Write,
    what: &str,
    lines: impl ExactSizeIterator<Item = String>,
) -> io::Result<()> {
    let count = lines.len();
    if count == 0 {
        return Ok(());
    }
    writeln!(out, "           {} {what}", HumanCount(count as u64))?;
    for line in lines.take(SHOWN_NAMES) {
        writeln!(out, "{line}")?;
    }
    match count.saturating_sub(SHOWN_NAMES) {
        0 => Ok(()),
        more => writeln!(out, "             and {} more", HumanCount(more as u64)),
    }
}

pub(crate) fn print_maintained(maintained: &Maintained, out: &mut impl Write) -> io::Result<()> {
    let Maintained {
        table,
        compacted,
        ledger_days,
        expired,
        vacuumed,
    } = maintained;
    match compacted {
        Some(compacted) => write!(
            out,
            "{table}: {} files compacted into {}",
            compacted.files, compacted.packed
        )?,
        None => write!(
            out,
            "{table}: not compacted, because another process holds the table's lease"
        )?,
    }
    if *ledger_days > 0 {
        write!(out, "; {ledger_days} days of the ledger packed")?;
    }
    if expired.files > 0 {
        write!(out, "; {} old rows removed", expired.rows)?;
    }
    writeln!(
        out,
        "; deleted {} data files and {} ledger objects ({}), {} files of the Delta log",
        vacuumed.data_files,
        vacuumed.ledger_objects,
        HumanBytes(vacuumed.bytes),
        vacuumed.log_files
    )?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_reasons_are_shown_as_one_line_of_text() {
        let summary = Summary {
            failed: vec![("s3://logs/a\nb\u{1b}[2J".to_owned(), "\u{9b}2J".to_owned())],
            ..Summary::default()
        };
        let mut out = Vec::new();
        print_summary(&summary, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let failed = "\n             s3://logs/a\\nb\\u{1b}[2J: \\u{9b}2J\n";
        assert!(text.contains(failed), "{text}");
    }
}
