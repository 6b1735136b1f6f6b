//! The swap: one version of the table's log makes the next generation live.

use std::collections::HashSet;

use deltalake_core::kernel::{Action, MetadataExt};
use logmill_shared::{LogFileId, Shard};

use super::super::data_writer::remove;
use super::super::guards::Guard;
use super::super::retention::TEXTS_FROM_PROPERTY;
use super::super::{
    ERASED_PROPERTY, Entry, LOOKUPS_PROPERTY, SQL_PROPERTY, Table, TableError, Version,
    delta_log::Operation,
};
use super::{
    EARLIER_PROPERTY, Earlier, FOLDER_PROPERTY, Folder, KEPT, NEXT_PROPERTY, SEALED_PROPERTY, add,
    with_properties,
};
use crate::table::milliseconds;

/// Shards of the ledgers compared at once.
const SHARDS_AT_ONCE: usize = 16;

/// The outcome of a swap.
#[derive(Debug)]
pub enum Swap {
    /// The next generation is live in this version.
    Done(u64),
    /// The next generation has not counted these log files, which the table has.
    Lacks(Vec<Entry>),
}

impl Table {
    /// The log files that this table has counted and its next generation has not.
    ///
    /// # Errors
    ///
    /// A ledger can't be read.
    pub async fn lacked_by(&self, next: &Table) -> Result<Vec<Entry>, TableError> {
        lacked(&self.version().await?, &next.any_version().await?).await
    }

    /// Makes the next generation live, if it has counted all that the table has.
    ///
    /// 1. Read the table's latest version k, and the next generation's. Compare their ledgers.
    /// 2. Seal the next generation: exactly its next version says that version k + 1 of the table makes it live. Whoever reads that
    ///    writes nothing to it until the table has a version k + 1.
    /// 3. Write exactly version k + 1 of the table: all of its files are replaced by those of the sealed version, together with the
    ///    ledger, the columns and the SQL.
    ///
    /// If either write loses a race, it starts over. A seal is never removed: it is void as soon as the table has a version k + 1
    /// in which the generation is still the next one.
    ///
    /// # Errors
    ///
    /// The table or the generation can't be read or written; or another process has dropped the generation.
    pub async fn swap(&self, next: &Table) -> Result<Swap, TableError> {
        let mut races = self.races();
        loop {
            let live = self.any_version().await?;
            let last = next.any_version().await?;
            if next.is_in(&live.folder) {
                return Ok(Swap::Done(live.number()));
            }
            self.check_generation(&live).await?;
            if !next.is_next_of(&live) {
                return Err(next.swapped());
            }
            if self.guards.is_on(Guard::WholeNext) {
                let lacked = lacked(&live, &last).await?;
                if !lacked.is_empty() {
                    return Ok(Swap::Lacks(lacked));
                }
            }
            match self.try_swap(next, &live, &last).await {
                Ok(()) => return Ok(Swap::Done(live.number() + 1)),
                Err(error) => self.wait_after(error, &mut races).await?,
            }
        }
    }

    async fn try_swap(
        &self,
        next: &Table,
        live: &Version,
        last: &Version,
    ) -> Result<(), TableError> {
        let seal = with_properties(
            last.metadata()?,
            [(SEALED_PROPERTY, Some((live.number() + 1).to_string()))],
        )?;
        let seal = vec![Action::Metadata(seal)];
        next.write_version(last, Operation::SetProperties, seal)
            .await?;
        let folder = live.next().cloned().unwrap_or_default();
        let actions = self.actions(live, last, &folder)?;
        self.write_version(live, Operation::Swap, actions).await
    }

    /// The actions of the version that makes the next generation live.
    fn actions(
        &self,
        live: &Version,
        next: &Version,
        folder: &Folder,
    ) -> Result<Vec<Action>, TableError> {
        let now = self.env.now();
        let mut earlier: Vec<Earlier> = live.generations.kept(now).into_iter().cloned().collect();
        earlier.push(Earlier {
            folder: live.folder.clone(),
            version: live.number(),
            until: milliseconds(now + KEPT),
        });
        let earlier = serde_json::to_string(&earlier)
            .map_err(|error| TableError::Internal(error.to_string()))?;
        let of_next = next.metadata()?;
        let of_sql = |property: &str| of_next.configuration().get(property).cloned();
        let schema = of_next
            .parse_schema()
            .map_err(deltalake_core::DeltaTableError::from)?;
        let metadata = live
            .metadata()?
            .with_schema(&schema)
            .map_err(deltalake_core::DeltaTableError::from)?;
        let metadata = with_properties(
            metadata,
            [
                (SQL_PROPERTY, Some(next.sql.clone())),
                (LOOKUPS_PROPERTY, of_sql(LOOKUPS_PROPERTY)),
                (ERASED_PROPERTY, of_sql(ERASED_PROPERTY)),
                (FOLDER_PROPERTY, Some(folder.to_string())),
                (NEXT_PROPERTY, None),
                (EARLIER_PROPERTY, Some(earlier)),
                // Its ledger may have older texts.
                (TEXTS_FROM_PROPERTY, None),
            ],
        )?;
        let removes = live.files.iter().map(|file| {
            let removed = remove(&live.folder, file.clone(), Operation::Swap, now);
            Action::Remove(removed)
        });
        let adds = next
            .files
            .iter()
            .map(|file| add(folder.in_log(&file.path), file));
        let mut actions = vec![Action::Metadata(metadata)];
        actions.extend(removes);
        actions.extend(adds);
        actions.extend(next.ledger.transaction().map(Action::Txn));
        Ok(actions)
    }
}

/// The entries of log files that `live` has counted and `next` has not.
async fn lacked(live: &Version, next: &Version) -> Result<Vec<Entry>, TableError> {
    let shards: Vec<Shard> = live.ledger_shards().cloned().collect();
    let mut lacked = Vec::new();
    for shards in shards.chunks(SHARDS_AT_ONCE) {
        let (counted, in_next) = (live.counted(shards).await?, next.counted(shards).await?);
        let missing: HashSet<&LogFileId> = counted.difference(&in_next).collect();
        if missing.is_empty() {
            continue;
        }
        let entries = live.counted_entries(shards).await?;
        let entries = entries.into_iter();
        let entries = entries.filter_map(|(id, entry)| missing.contains(&id).then_some(entry));
        lacked.extend(entries);
    }
    lacked.sort_by(|left, right| left.log_file.cmp(&right.log_file));
    Ok(lacked)
}
