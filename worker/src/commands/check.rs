//! `logmill check`: describes a rollup and, given a sample of logs, shows what its table will contain.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Result, bail};
use indicatif::{HumanBytes, HumanCount};

use crate::commands::alerts::Alert;
use crate::commands::progress::Progress;
use crate::commands::query::{self, Format};
use crate::commands::run::{self, Options, Summary};
use crate::engine::functions::cast::trino_name;
use crate::intake::file_rules::FileRules;
use crate::rollup::{Fallible, Reader, Rollup, VISITOR_SLOTS_MAX};
use crate::table::Root;
use crate::table::definition::GROUPS;
use crate::terminal::escaped;

const MILLISECONDS_PER_DAY: f64 = 86_400_000.0;

/// Rows of the sample that are printed.
const SHOWN_ROWS: usize = 10;

/// Reasons for failed lines that are printed.
const SHOWN_REASONS: usize = 10;

/// Describes a rollup: its columns, their types and how they merge.
pub fn describe(rollup: &Rollup) -> String {
    let definition = rollup.definition();
    let width = definition
        .columns
        .iter()
        .map(|column| column.name.len())
        .max()
        .unwrap_or(0)
        .max(6);
    let kind = match definition.merges() {
        true => "one row per group",
        false => "every row kept",
    };
    let mut text = format!(
        "table {}: {kind} of {}\n\n",
        definition.name,
        rollup.format().table
    );
    let _ = writeln!(text, "  {:width$}  {:24}  merged by", "column", "type");
    for column in &definition.columns {
        let rule = column
            .rule
            .as_ref()
            .map_or("-".to_owned(), ToString::to_string);
        let _ = writeln!(
            text,
            "  {:width$}  {:24}  {rule}",
            column.name,
            trino_name(&column.data_type)
        );
    }
    let slot = &definition.columns[definition.slot_column].name;
    let _ = match slot.as_str() {
        "date" => writeln!(
            text,
            "\nPartitioned by date, the day of each line's time; one file per day."
        ),
        slot => writeln!(text, "\nPartitioned by date, the day of {slot}."),
    };
    for (file, rows) in rollup.lookups() {
        let rows = rows.map_or(String::new(), |rows| {
            format!(", which has {} rows", HumanCount(rows as u64))
        });
        let _ = writeln!(
            text,
            "\nLooks values up in {file}{rows}. The table keeps a copy of it, and goes on with that if the file changes."
        );
    }
    if let Some(view) = rollup.view() {
        let groups = format!("{}{GROUPS}", definition.name);
        let _ = writeln!(
            text,
            "\nRead the result of the SQL from {}, a view; the columns above are those of the table under it, {groups}:\n",
            definition.name
        );
        for line in view.sql(&groups, Reader::Athena).lines() {
            let _ = writeln!(text, "  {line}");
        }
    }
    text.push_str(&warnings(rollup));
    text
}

/// Describes an alert: its columns, and which of its rows are reported.
pub fn describe_alert(alert: &Alert) -> String {
    let mut text = format!("alert {}: of {}\n\n", alert.name, alert.tables().join(", "));
    let widths = alert.columns().iter().map(|(name, _)| name.len());
    let width = widths.max().unwrap_or(0).max(6);
    let _ = writeln!(text, "  {:width$}  type", "column");
    for (name, data_type) in alert.columns() {
        let _ = writeln!(text, "  {name:width$}  {data_type}");
    }
    let rows = match alert.time() {
        Some(time) => format!(
            "Each row is told once, if its {time} is not more than two days before the end of the last final hour."
        ),
        None => "Each row is told once, whatever its time: no column is a time.".to_owned(),
    };
    let _ = writeln!(text, "\n{rows}");
    text
}

/// Lists the expressions on which input from visitors can make the rollup fail.
fn warnings(rollup: &Rollup) -> String {
    let mut text = String::new();
    if !rollup.fallible().is_empty() {
        text.push_str("\nThe rollup can fail on values that visitors send. A line on which it fails is left out of \
             this table and recorded in failed_lines:\n");
    }
    for Fallible { expression, advice } in rollup.fallible() {
        let _ = writeln!(text, "  {expression}\n    {advice}");
    }
    if rollup.visitors_write_times() {
        let slot = &rollup.definition().columns[rollup.definition().slot_column].name;
        let _ = writeln!(
            text,
            "\nVisitors control {slot}, which determines the hour or day of a row. Commits rewrite a file for each \
             hour or day, so a log file may touch at most {VISITOR_SLOTS_MAX} of them; lines beyond that are recorded \
             in failed_lines. Group by the line's own time first: date_trunc('hour', from_iso8601_timestamp(time))."
        );
    }
    text
}

/// Runs a rollup over a sample of logs in a temporary folder, and reports the result.
pub async fn sample(
    rollup: Arc<Rollup>,
    logs: &[String],
    rules: &FileRules,
    progress: &mut dyn Progress,
) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let tables = folder.path().to_string_lossy().into_owned();
    let name = rollup.definition().name.clone();
    let options = Options {
        logs: logs.to_vec(),
        tables: tables.clone(),
        max_log_file_bytes: u64::MAX,
        threads: None,
        rules: rules.clone(),
    };
    let urls = Urls::of(&rollup).await?;
    let mut rollups = vec![rollup];
    rollups.extend(urls.map(|urls| Arc::new(urls.0)));
    let summary = run::run(rollups.into(), &options, progress).await?;
    let Some(table) = summary.tables.iter().find(|table| table.name == name) else {
        bail!("the table '{name}' was not created");
    };
    let root = Root::open(&tables).await?;
    let entries = root.read(&name).await?.entries().await?;
    let first = entries.iter().filter_map(|entry| entry.first_time).min();
    let last = entries.iter().filter_map(|entry| entry.last_time).max();
    let days = match (first, last) {
        (Some(first), Some(last)) => (last - first).max(1) as f64 / MILLISECONDS_PER_DAY,
        _ => match summary.failed.first() {
            Some((log_file, reason)) => bail!("{log_file}: {reason}"),
            None => bail!("the sample has no line that this rollup reads"),
        },
    };

    let mut text = format!(
        "sample: {} log files, {} lines over {}; {} rows in {} of Parquet\n",
        HumanCount(summary.counted as u64),
        HumanCount(summary.reading.lines),
        hours(days),
        HumanCount(table.rows),
        HumanBytes(table.bytes),
    );
    if days < 1.0 {
        let a_day = |amount: u64| (amount as f64 / days) as u64;
        let _ = writeln!(
            text,
            "a day:  at most about {} rows in {}, at the sample's rate of traffic",
            HumanCount(a_day(table.rows)),
            HumanBytes(a_day(table.bytes)),
        );
    }
    if let Some(lines) = summary.failed_lines.get(&name) {
        let _ = writeln!(
            text,
            "fails on {} lines, which are left out:",
            HumanCount(*lines)
        );
        let reasons: BTreeSet<&str> = entries
            .iter()
            .flat_map(|entry| &entry.failures)
            .map(|failure| failure.reason.as_str())
            .collect();
        for reason in reasons.into_iter().take(SHOWN_REASONS) {
            let _ = writeln!(text, "  {}", escaped(reason));
        }
    }
    for set_aside in summary.set_aside.values() {
        let (log_file, reason) = &set_aside.first;
        let _ = writeln!(
            text,
            "fails on {} log files as a whole, for example {}: {}",
            HumanCount(set_aside.log_files as u64),
            escaped(log_file),
            escaped(reason)
        );
    }
    if let Some(lines) = Urls::unparsable(&root, &summary).await? {
        let _ = writeln!(
            text,
            "URLs:   {} lines have a URL that Trino's URL functions cannot parse, for example because of {{, |, ^ \
             or a lone %. The functions return NULL for it, and a WHERE on a parameter leaves these lines out \
             (docs/sql.md, URLs)",
            HumanCount(lines)
        );
    }
    for (what, files) in &summary.skipped {
        let what = what.split(',').next().unwrap_or(what);
        let _ = writeln!(text, "not read: {} {what}", HumanCount(*files as u64));
    }
    for (log_file, what) in &summary.unrecognised {
        let _ = writeln!(text, "unrecognised: {}: {what}", escaped(log_file));
    }
    for (log_file, reason) in &summary.failed {
        let _ = writeln!(text, "not read: {}: {}", escaped(log_file), escaped(reason));
    }
    text.push('\n');
    let mut rows = Vec::new();
    let sql = format!("SELECT * FROM {name} LIMIT {SHOWN_ROWS}");
    query::query(&root, None, &sql, Format::Table, &mut rows).await?;
    text.push_str(&String::from_utf8_lossy(&rows));
    Ok(text)
}

/// A rollup that counts the lines whose URL Trino can't parse. For these, all URL functions silently return NULL.
struct Urls(Rollup);

impl Urls {
    const TABLE: &str = "logmill_unparsable_urls";

    /// For the logs that `rollup` reads. `None` if it uses no URL function.
    async fn of(rollup: &Rollup) -> Result<Option<Self>> {
        let sql = rollup.definition().sql.to_ascii_lowercase();
        let url = rollup.format().url_column;
        let Some(url) = url.filter(|_| sql.contains("url_extract_")) else {
            return Ok(None);
        };
        let table = rollup.format().table;
        let sql = format!(
            "SELECT count(*) AS lines FROM {table} WHERE {url} IS NOT NULL AND url_extract_protocol({url}) IS NULL"
        );
        let rollup = Rollup::from_sql(Self::TABLE, &sql).await;
        Ok(Some(Self(rollup.map_err(anyhow::Error::msg)?)))
    }

    /// The number of such lines; `None` if there are none.
    async fn unparsable(root: &Root, summary: &Summary) -> Result<Option<u64>> {
        if !summary
            .tables
            .iter()
            .any(|table| table.name == Self::TABLE && table.rows > 0)
        {
            return Ok(None);
        }
        let mut rows = Vec::new();
        let sql = format!("SELECT sum(lines) AS lines FROM {}", Self::TABLE);
        query::query(root, None, &sql, Format::Csv, &mut rows).await?;
        let rows = String::from_utf8_lossy(&rows);
        let lines = rows.lines().nth(1).and_then(|lines| lines.parse().ok());
        Ok(lines.filter(|lines| *lines > 0))
    }
}

fn hours(days: f64) -> String {
    match days * 24.0 {
        hours if hours < 1.0 => format!("{:.0} minutes", hours * 60.0),
        hours if hours < 48.0 => format!("{hours:.1} hours"),
        _ => format!("{days:.1} days"),
    }
}
