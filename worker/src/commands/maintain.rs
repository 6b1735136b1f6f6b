//! `logmill maintain`: compacts and vacuums every table once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::rollup::Rollup;
use crate::table::definition::REJECTED_LINES;
use crate::table::{
    Compacted, Definition, Expired, LEDGER_QUIET, RejectedLines, Root, Vacuumed, Version,
};

/// The results of maintaining one table.
#[derive(Debug)]
pub struct Maintained {
    /// The table's name.
    pub table: String,
    /// What was compacted; `None` if another process holds the table's lease, and therefore compacts it.
    pub compacted: Option<Compacted>,
    /// Days of the ledger that were packed.
    pub ledger_days: usize,
    /// Rows removed by the retention of the table.
    pub expired: Expired,
    /// What was deleted.
    pub vacuumed: Vacuumed,
}

/// Compacts and vacuums every table of `root`. Replaced files are kept for `grace`. A failure of one table does not affect
/// the others.
pub async fn maintain(root: &Root, grace: Duration) -> Result<Vec<Result<Maintained>>> {
    let mut maintained = Vec::new();
    for name in root.tables().await? {
        let done = maintain_table(root, &name, grace).await;
        maintained
            .push(done.with_context(|| format!("the table '{name}' could not be maintained")));
    }
    Ok(maintained)
}

async fn maintain_table(root: &Root, name: &str, grace: Duration) -> Result<Maintained> {
    let version = root.read(name).await?;
    let definition = definition(name, &version).await?;
    let table = root.table_at(&definition, &version).await?;
    let compacted = match table.wait_for_lease().await? {
        Some(mut lease) => {
            let compacted = table.compact(&mut lease, Duration::ZERO).await;
            lease.release().await;
            Some(compacted?)
        }
        None => None,
    };
    let mut ledger_days = 0;
    loop {
        match table.pack_ledger(LEDGER_QUIET).await? {
            0 => break,
            days => ledger_days += days,
        }
    }
    Ok(Maintained {
        table: name.to_owned(),
        ledger_days,
        expired: table.expire().await?,
        compacted,
        vacuumed: table.vacuum(grace).await?,
    })
}

/// Fails if there is no table of this name.
pub(crate) async fn must_exist(root: &Root, place: &str, table: &str) -> Result<()> {
    if !root.tables().await?.iter().any(|there| there == table) {
        bail!("no table '{table}' found in {place}");
    }
    Ok(())
}

/// The definition of a table, from the SQL that the table stores.
pub(crate) async fn definition(name: &str, version: &Version) -> Result<Arc<Definition>> {
    if name == REJECTED_LINES {
        return Ok(RejectedLines::definition());
    }
    Ok(Arc::clone(rollup(name, version).await?.definition()))
}

/// The rollup that produces a table, from the SQL that the table stores.
pub(crate) async fn rollup(name: &str, version: &Version) -> Result<Rollup> {
    let lookups = version.lookup_files().await?;
    Rollup::of_table(name, version.sql(), lookups, version.erased())
        .await
        .map_err(|error| {
            anyhow!(
                "the table was created by another version of logmill, and this version refuses its SQL: {error}"
            )
        })
}
