//! `logmill drop` and `logmill rename`: deletes a table, or gives it another name.

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
use crate::rollup::{Rollup, TABLE_NAMES, is_table_name};
use crate::table::definition::REJECTED_LINES;
use crate::table::{Ended, Renaming, Root, Table, TableError, Version};

/// Shows what a table contains, and deletes it if that is confirmed. A table that can't be read can be deleted too.
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
    if !root.has_left_of_dropped(table).await? {
        maintain::must_exist(root, root.url().as_str(), table).await?;
    }
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
        Ok(version) => match opened(root, table, &version).await {
            Ok(ending) => {
                ending.end().await?;
                root.delete_dropped(table, true).await?;
            }
            // This version of logmill refuses its SQL, so its workers don't commit to it either.
            Err(_) => root.delete_unreadable(table).await?,
        },
        Err(TableError::Dropped { .. }) => root.delete_dropped(table, true).await?,
        Err(error @ TableError::NotOurs { .. }) => return Err(error.into()),
        Err(error) if error.is_store_error() && error.is_transient() => return Err(error.into()),
        Err(_) => root.delete_unreadable(table).await?,
    }
    Records::of(root)?.delete(table).await?;
    writeln!(out, "  dropped")?;
    Ok(())
}

/// Gives a table another name: copies it, adds to the copy what the table counts in the meantime, and then drops the table.
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
    if !is_table_name(new) {
        bail!("'{new}' is not a valid name of a table. {TABLE_NAMES}");
    }
    let root = Root::open(&options.tables).await?;
    let (version, copy) = match root.renaming(old, new).await {
        Ok(Renaming::Taken) => bail!("there is a table {new} already"),
        Ok(Renaming::Begins(version)) => (Some(version), None),
        Ok(Renaming::GoesOn(version, copy)) => (version, Some(copy)),
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
        let open = async || {
            let version = root.read(new).await?;
            Ok(root.table_at(rollup.definition(), &version).await?)
        };
        let all = async || fill.run(&copy, &open, out, progress).await;
        match ending.end_when_equal(all).await? {
            Ended::Yes => {}
            Ended::Lacks => return Ok(false),
            Ended::Outrun => bail!(
                "log files are counted faster than the renamed table can follow; try again when fewer arrive"
            ),
        }
    }
    let version = root.read(new).await?;
    let copy = root.table_at(rollup.definition(), &version).await?;
    Records::of(&root)?.rename(old, new, &version).await?;
    root.finish_renaming(old, &copy).await?;
    writeln!(
        out,
        "  renamed: rename the rollup's file to {new}.sql, and run `infra/tables` or the statements of `logmill ddl` for Athena"
    )?;
    out.flush()?;
    Ok(true)
}

async fn opened(root: &Root, table: &str, version: &Version) -> Result<Table> {
    let definition = maintain::definition(table, version).await?;
    Ok(root.table_at(&definition, version).await?)
}
