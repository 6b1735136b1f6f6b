//! `logmill maintain`: settles and vacuums every table, once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::rollup::Rollup;
use crate::table::definition::REJECTED_LINES;
use crate::table::{Compacted, Definition, RejectedLines, Root, Vacuumed, Version};

/// What has been done to a table.
#[derive(Debug)]
pub struct Maintained {
    /// Its name.
    pub table: String,
    /// What was packed; `None` if another worker has the table's lease, and so does it.
    pub settled: Option<Compacted>,
    /// What was deleted.
    pub vacuumed: Vacuumed,
}

/// Settles and vacuums every table of `root`. What was replaced is kept for `grace`. A table that fails does not keep
/// the others from it.
pub async fn maintain(root: &Root, grace: Duration) -> Result<Vec<Result<Maintained>>> {
    let mut maintained = Vec::new();
    for name in root.tables().await? {
        let done = maintain_table(root, &name, grace).await;
        maintained.push(done.with_context(|| format!("the table '{name}' is not maintained")));
    }
    Ok(maintained)
}

async fn maintain_table(root: &Root, name: &str, grace: Duration) -> Result<Maintained> {
    let definition = definition(name, &root.read(name).await?).await?;
    let table = root.open_or_create(&definition).await?;
    let settled = match table.wait_for_lease().await? {
        Some(mut lease) => {
            let settled = table.compact(&mut lease, Duration::ZERO).await;
            lease.release().await;
            Some(settled?)
        }
        None => None,
    };
    Ok(Maintained {
        table: name.to_owned(),
        settled,
        vacuumed: table.vacuum(grace).await?,
    })
}

/// What a table is, by the SQL that it remembers.
async fn definition(name: &str, version: &Version) -> Result<Arc<Definition>> {
    if name == REJECTED_LINES {
        return Ok(RejectedLines::definition());
    }
    Ok(Arc::clone(rollup(name, version).await?.definition()))
}

/// The rollup that a table is made by, by the SQL that it remembers.
pub(crate) async fn rollup(name: &str, version: &Version) -> Result<Rollup> {
    Rollup::from_sql(name, version.sql())
        .await
        .map_err(|error| {
            anyhow!(
                "it was made by another version of logmill, whose SQL this one refuses: {error}"
            )
        })
}
