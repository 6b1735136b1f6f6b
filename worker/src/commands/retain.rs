//! `logmill retain`: sets how long tables keep their rows.

use std::io::Write;

use anyhow::{Context, Result, bail};
use indicatif::HumanCount;

use crate::commands::maintain;
use crate::table::Root;

/// Sets how many days of rows these tables keep, besides the current day (UTC); all tables if none is named. With `None`, rows are
/// kept for good. Older rows are removed immediately, and later by workers and `logmill maintain`.
///
/// # Errors
///
/// There is no such table, or one can't be read or written.
pub async fn retain(
    root: &Root,
    tables: &[String],
    days: Option<u32>,
    out: &mut impl Write,
) -> Result<()> {
    let there = root.tables().await?;
    if let Some(missing) = tables.iter().find(|table| !there.contains(table)) {
        bail!("no table '{missing}' found in {}", root.url());
    }
    let wanted = |table: &&String| tables.is_empty() || tables.contains(table);
    for name in there.iter().filter(wanted) {
        let retained = retain_table(root, name, days).await;
        let said = retained.with_context(|| format!("table {name}"))?;
        writeln!(out, "{name}: {said}")?;
    }
    out.flush()?;
    Ok(())
}

async fn retain_table(root: &Root, name: &str, days: Option<u32>) -> Result<String> {
    let version = root.read(name).await?;
    let definition = maintain::definition(name, &version).await?;
    let table = root.table_at(&definition, &version).await?;
    table.set_keep_days(days).await?;
    let Some(days) = days else {
        return Ok("rows are kept for ever".to_owned());
    };
    let removed = table.expire().await?;
    let rows = HumanCount(removed.rows);
    let s = if days == 1 { "" } else { "s" };
    Ok(format!(
        "rows are kept for {days} day{s}; {rows} older rows are removed"
    ))
}
