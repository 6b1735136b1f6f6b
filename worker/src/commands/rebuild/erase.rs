//! `logmill erase`: lines are left out of tables, as if nobody had sent them. The hours of their log files are computed anew in a next
//! generation, which remembers the condition: no later rebuild brings the lines back.

use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, SecondsFormat, Utc};

use super::{Generations, Options, To};
use crate::commands::maintain;
use crate::commands::progress::Progress;
use crate::rollup::Rollup;
use crate::table::Root;
use crate::table::definition::REJECTED_LINES;

/// The lines to erase.
#[derive(Debug)]
pub struct Lines {
    /// A condition on the columns of the log table.
    pub condition: String,
    /// The first time of such lines.
    pub from: DateTime<Utc>,
    /// The end of their time.
    pub to: DateTime<Utc>,
}

impl Lines {
    fn milliseconds(&self) -> Range<i64> {
        self.from.timestamp_millis()..self.to.timestamp_millis()
    }

    /// The condition on lines of this format, with their time.
    fn of(&self, rollup: &Rollup) -> String {
        let time = rollup.format().time_column;
        let text = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Micros, true);
        let mut parts = vec![format!("({})", self.condition)];
        if self.from > DateTime::<Utc>::MIN_UTC {
            parts.push(format!("{time} >= '{}'", text(self.from)));
        }
        parts.push(format!("{time} < '{}'", text(self.to)));
        parts.join(" AND ")
    }
}

/// Erases lines from all tables of rollups, or from one. Returns whether they are erased from all of these.
///
/// # Errors
///
/// A table can't be read or written. What was done by then stays: the command can be repeated.
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
        None => *name != REJECTED_LINES,
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
        let erased = erase_from(&root, name, lines, options, out, progress).await;
        everywhere &= erased.with_context(|| format!("table {name}"))?;
    }
    writeln!(
        out,
        "the log files are not changed, and neither is {REJECTED_LINES}: `logmill retain` removes its old rows. What the tables had is \
         deleted after three days"
    )?;
    out.flush()?;
    Ok(everywhere)
}

async fn erase_from(
    root: &Root,
    name: &str,
    lines: &Lines,
    options: &Options,
    out: &mut (impl Write + Send),
    progress: &mut dyn Progress,
) -> Result<bool> {
    if name == REJECTED_LINES {
        bail!(
            "it has lines that are no log lines, and conditions on their columns have no meaning"
        );
    }
    let version = root.read(name).await?;
    let rollup = maintain::rollup(name, &version).await?;
    let mut erased = version.erased().to_vec();
    let condition = lines.of(&rollup);
    if !erased.contains(&condition) {
        erased.push(condition);
    }
    let without = match rollup.without(&erased).await {
        Ok(without) => Arc::new(without),
        Err(reason) => {
            writeln!(out, "{name}: nothing is erased: {reason}")?;
            return Ok(false);
        }
    };
    let to = To::Without(lines.milliseconds());
    let Some(generations) = Generations::open(root, without, to).await? else {
        writeln!(out, "{name}: erased before")?;
        return Ok(true);
    };
    if generations.is_same() {
        writeln!(out, "{name}: erased before")?;
        return Ok(true);
    }
    generations.rebuild(options, out, progress).await
}
