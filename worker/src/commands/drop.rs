//! `logmill drop` and `logmill rename`: a table is deleted, or gets another name.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use indicatif::{HumanBytes, HumanCount};
use logmill_shared::chain;

use crate::commands::maintain;
use crate::commands::progress::Progress;
use crate::commands::rebuild::{Fill, Options};
use crate::delivery::Records;
use crate::rollup::Rollup;
use crate::table::definition::REJECTED_LINES;
use crate::table::{Root, Table, TableError, Version};

/// Races that the end of a renamed table may lose against commits to it.
const ROUNDS: usize = 20;

/// Says what a table has, and deletes it if that is confirmed. A table that can't be read can be deleted too.
///
/// # Errors
///
/// There is no such table, or it can't be deleted. The command can be repeated.
pub async fn drop(
    root: &Root,
    table: &str,
    is_confirmed: bool,
    out: &mut impl Write,
) -> Result<()> {
    maintain::must_exist(root, root.url().as_str(), table).await?;
    let (objects, bytes) = root.objects(table).await?;
    let objects = format!(
        "{} objects of {}",
        HumanCount(objects as u64),
        HumanBytes(bytes)
    );
    let read = root.read(table).await;
    match &read {
        Ok(version) => writeln!(
            out,
            "{table}: {} rows of {} log files, in {objects}",
            HumanCount(version.rows()),
            HumanCount(version.entries().await?.len() as u64)
        )?,
        Err(error) => writeln!(out, "{table}: {objects}; {}", chain(error))?,
    }
    if !is_confirmed {
        writeln!(
            out,
            "  nothing is deleted: --yes deletes the table, for good. The log files stay. Where a rollup {table}.sql is still in use, the table \
             is made anew, and has what is counted from then on"
        )?;
        return Ok(());
    }
    match read {
        Ok(version) => {
            // A table whose SQL this program refuses is not committed to by this version's workers either.
            if let Ok(ending) = opened(root, table, &version).await {
                ending.end().await?;
            }
        }
        Err(error @ TableError::NotOurs { .. }) => return Err(error.into()),
        Err(_) => {}
    }
    root.delete_table(table).await?;
    Records::of(root)?.delete(table).await?;
    writeln!(out, "  dropped")?;
    Ok(())
}

/// Gives a table another name: copies it, counts for the copy what the table counts meanwhile, and then drops it.
///
/// # Errors
///
/// There is no such table, or another one has the new name; or a table can't be read or written. The command can be repeated.
pub async fn rename(
    options: &Options,
    old: &str,
    new: &str,
    out: &mut (impl Write + Send),
    progress: &mut dyn Progress,
) -> Result<bool> {
    if [old, new].contains(&REJECTED_LINES) {
        bail!("the table {REJECTED_LINES} always has this name");
    }
    let root = Root::open(&options.tables).await?;
    let there = root.tables().await?;
    let copy = match there.iter().any(|table| table == new) {
        true => Some(root.read(new).await?),
        false => None,
    };
    if let Some(copy) = &copy
        && copy.renamed_from() != Some(old)
    {
        bail!("there is a table {new} already");
    }
    let version = match root.read(old).await {
        // An earlier command has been interrupted after the table had ended.
        Err(TableError::Dropped { .. }) if copy.is_some() => None,
        _ if copy.is_some() && !there.iter().any(|table| table == old) => None,
        Ok(version) => Some(version),
        Err(error) => {
            maintain::must_exist(&root, root.url().as_str(), old).await?;
            return Err(error.into());
        }
    };
    let of_copy = version.as_ref().or(copy.as_ref());
    let of_copy = of_copy.context("the table can't be read")?;
    let lookups = of_copy.lookup_files().await?;
    let rollup = Rollup::of_table(new, of_copy.sql(), lookups, of_copy.erased()).await;
    let rollup = Arc::new(rollup.map_err(anyhow::Error::msg)?);
    if let Some(version) = version {
        if version.next().is_some() {
            bail!("{old} has a next generation: finish or drop it first, with `logmill rebuild`");
        }
        writeln!(
            out,
            "{old}: {} rows are copied to {new}",
            HumanCount(version.rows())
        )?;
        let ending = opened(&root, old, &version).await?;
        let begun = root.begin_renaming(old, &version, rollup.definition());
        let copy = begun.await?;
        let fill = Fill {
            root: &root,
            old: &ending,
            rollup: &rollup,
            found: &HashMap::new(),
            options,
            waits: "the renaming",
        };
        let open = async || Ok(root.table(rollup.definition()).await?);
        if !end_when_equal(&fill, &copy, &open, out, progress).await? {
            return Ok(false);
        }
    }
    if there.iter().any(|table| table == old) {
        root.delete_table(old).await?;
    }
    Records::of(&root)?
        .rename(old, new, &root.read(new).await?)
        .await?;
    root.table(rollup.definition())
        .await?
        .end_renaming()
        .await?;
    writeln!(
        out,
        "  renamed: rename the rollup's file to {new}.sql, and run `infra/tables` or the statements of `logmill ddl` for Athena"
    )?;
    out.flush()?;
    Ok(true)
}

/// Ends the old table in a version in which the new one has all that it has counted. Returns whether it has ended.
async fn end_when_equal(
    fill: &Fill<'_>,
    copy: &Table,
    open: &impl AsyncFn() -> Result<Table>,
    out: &mut impl Write,
    progress: &mut dyn Progress,
) -> Result<bool> {
    for _ in 0..ROUNDS {
        // Read first: the last version follows this one, or is not written.
        let version = fill.old.version().await?;
        if !fill.run(copy, open, out, progress).await? {
            return Ok(false);
        }
        match fill.old.write_last_version(&version).await {
            Ok(()) => return Ok(true),
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error.into()),
        }
        // It is unknown whether the version was written.
        match fill.old.version().await {
            Err(TableError::Dropped { .. }) => return Ok(true),
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
    }
    bail!(
        "log files are counted faster than the renamed table can follow; try again when fewer arrive"
    )
}

async fn opened(root: &Root, table: &str, version: &Version) -> Result<Table> {
    let definition = maintain::definition(table, version).await?;
    Ok(root.table_at(&definition, version).await?)
}
