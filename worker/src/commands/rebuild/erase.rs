//! `logmill erase`: removes lines from tables, as if nobody had sent them. A next generation computes the hours of their log files
//! again, and stores the condition, so no later rebuild brings the lines back.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use indicatif::HumanCount;

use super::{Generations, Options, To};
use crate::commands::maintain;
use crate::commands::progress::Progress;
use crate::engine::StreamPlan;
use crate::rollup::{self, Fallible, Rollup, over_rows, parse_sql, plain_words};
use crate::table::definition::REJECTED_LINES;
use crate::table::{RejectedLines, Root};
use crate::terminal::escaped;

/// The lines to erase.
#[derive(Debug)]
pub struct Lines {
    /// A condition on the columns of the log table.
    pub condition: Option<String>,
    /// A condition on the columns of `rejected_lines`.
    pub rejected: Option<String>,
    /// The earliest time of such lines.
    pub from: DateTime<Utc>,
    /// The end of their time span.
    pub to: DateTime<Utc>,
}

impl Lines {
    fn milliseconds(&self) -> Range<i64> {
        self.from.timestamp_millis()..self.to.timestamp_millis()
    }

    /// The condition on lines of this format, with their time.
    fn of(&self, condition: &str, rollup: &Rollup) -> Result<String, String> {
        let time = rollup.format().time_column;
        // Lines have times with and without fractions and zones. Texts are compared, and a prefix sorts before the longer text.
        let text = |time: DateTime<Utc>| time.format("%Y-%m-%dT%H:%M:%S");
        let mut parts = vec![rollup::condition(condition)?];
        if self.from > DateTime::<Utc>::MIN_UTC {
            parts.push(format!("{time} >= '{}'", text(self.from)));
        }
        parts.push(format!("{time} < '{}'", text(self.to)));
        Ok(parts.join(" AND "))
    }
}

/// Erases lines from all tables of rollups, or from one. Returns whether they are erased from all of these.
///
/// # Errors
///
/// A table can't be read or written. Completed steps stay: the command can be repeated.
pub async fn erase(
    lines: &Lines,
    options: &Options,
    out: &mut (impl Write + Send),
    progress: &mut dyn Progress,
) -> Result<bool> {
    let root = Root::open(&options.tables).await?;
    let tables = root.tables().await?;
    let wanted = |name: &&String| match &options.table {
        Some(table) => table == *name,
        None => true,
    };
    let tables: Vec<&String> = tables.iter().filter(wanted).collect();
    if tables.is_empty() {
        bail!(
            "no table to erase lines from is found in {}",
            options.tables
        );
    }
    let mut everywhere = true;
    for name in tables {
        let erased = match (name.as_str(), &lines.condition, &lines.rejected) {
            (REJECTED_LINES, _, Some(condition)) => {
                erase_rejected(&root, condition, options, out).await
            }
            (REJECTED_LINES, _, None) => Ok(true),
            (_, Some(condition), _) => {
                let condition = (condition.as_str(), lines);
                erase_from(&root, name, condition, options, out, progress).await
            }
            (_, None, _) => Ok(true),
        };
        everywhere &= erased.with_context(|| format!("table {name}"))?;
    }
    if !options.dry_run {
        writeln!(
            out,
            "the log files are not changed. What the tables had is deleted after three days"
        )?;
    }
    out.flush()?;
    Ok(everywhere)
}

/// Deletes rows of rejected lines.
async fn erase_rejected(
    root: &Root,
    condition: &str,
    options: &Options,
    out: &mut impl Write,
) -> Result<bool> {
    let version = root.read(REJECTED_LINES).await?;
    let definition = RejectedLines::definition();
    let table = root.table_at(&definition, &version).await?;
    let planned = async {
        let met = rollup::condition(condition)?;
        let sql = format!("SELECT * FROM {REJECTED_LINES} WHERE NOT coalesce({met}, false)");
        let mut statements = parse_sql(&sql)?;
        let Some(mut statement) = statements.pop().filter(|_| statements.is_empty()) else {
            return Err("it is not a condition".to_owned());
        };
        over_rows(&mut statement)?;
        let schema = definition.row_schema();
        let planned = StreamPlan::new(statement, REJECTED_LINES, schema, Vec::new()).await;
        planned.map_err(|error| plain_words(&error))
    };
    let query = match planned.await {
        Ok(query) => query,
        Err(reason) => {
            writeln!(
                out,
                "{REJECTED_LINES}: nothing is erased: the condition {condition}: {reason}"
            )?;
            return Ok(false);
        }
    };
    if options.dry_run {
        writeln!(
            out,
            "{REJECTED_LINES}: rows that meet the condition are deleted"
        )?;
        return Ok(true);
    }
    let deleted = table.keep_only(&query).await?;
    writeln!(
        out,
        "{REJECTED_LINES}: {} rows are deleted",
        HumanCount(deleted.rows)
    )?;
    Ok(true)
}

async fn erase_from(
    root: &Root,
    name: &str,
    (condition, lines): (&str, &Lines),
    options: &Options,
    out: &mut (impl Write + Send),
    progress: &mut dyn Progress,
) -> Result<bool> {
    let version = root.read(name).await?;
    let rollup = maintain::rollup(name, &version).await?;
    let mut erased = version.erased().to_vec();
    let without = async {
        let condition = lines.of(condition, &rollup)?;
        if !erased.contains(&condition) {
            erased.push(condition);
        }
        let without = rollup.without(&erased).await?;
        // A line on which the condition fails would be removed too.
        let known = |fallible: &Fallible| rollup.fallible().contains(fallible);
        match without.fallible().iter().find(|fallible| !known(fallible)) {
            Some(fails) => Err(format!(
                "the condition can fail on a line: {}: {}",
                fails.expression, fails.advice
            )),
            None => Ok(without),
        }
    };
    let without = match without.await {
        Ok(without) => Arc::new(without),
        Err(reason) => {
            writeln!(out, "{name}: nothing is erased: {}", escaped(&reason))?;
            return Ok(false);
        }
    };
    let to = To::Without(lines.milliseconds());
    let generations = Generations::open(root, without, to).await?;
    if generations.is_same() {
        writeln!(out, "{name}: erased before")?;
        return Ok(true);
    }
    generations.rebuild(options, out, progress).await
}
