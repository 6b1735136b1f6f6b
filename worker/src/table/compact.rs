//! Compaction: when a day is over, the files of its hours are packed into one file, in the same sort order.
//!
//! Compaction does not change rows. Log files that arrive late still merge: a commit with rows for a packed day writes the
//! day's hours as separate files again, and the next compaction packs them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use deltalake_core::kernel::Action;
use futures::TryStreamExt;
use logmill_shared::Shard;

use super::commit::DEADLINE;
use super::data_writer::{DataWriter, Files, remove};
use super::delta_log::Operation;
use super::generations::with_properties;
use super::slot::Slot;
use super::{
    BASE_FORMAT, DataFile, FORMAT, FORMAT_PROPERTY, Lease, Table, TableError, Version, milliseconds,
};

/// How long after its end an hour or a day counts as over. Load balancers deliver within minutes. A log file that arrives even
/// later costs one more compaction.
const LATENESS: Duration = Duration::from_hours(2);

/// How long a day is over when the ledger's shards of its hours are packed.
pub const LEDGER_QUIET: Duration = Duration::from_hours(2 * 24);

/// Days of the ledger packed in one version.
const LEDGER_DAYS: usize = 64;

/// Number of files at which a day that is not over is packed, in a table that keeps every row: each commit adds one.
const MANY_FILES: usize = 32;

/// Maximum size of a pack, which is large enough for any reader.
const PACKED_BYTES: u64 = 256 * 1024 * 1024;

/// A day whose hours are larger in total is not packed: its hours have about 10 MB each, which is large enough for any reader
/// and the minimum that Athena charges for. Trino knows which times a file contains, but not where they are in it: a query for
/// one hour of a packed day reads the whole day. A late log file would also cause the whole day to be rewritten.
const MERGED_BYTES: u64 = 256 * 1024 * 1024;

const MILLISECONDS_PER_HOUR: i64 = 3_600_000;

/// The result of a compaction.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// Files that were replaced.
    pub files: usize,
    /// Files that replace them.
    pub packed: usize,
}

impl Table {
    /// Packs the files of each day that is over into one file, if none of them has changed for `quiet`. In a table that keeps
    /// every row, commits never merge, so files are also packed before their day is over, when there are many. The packs of
    /// such a table have a bounded size.
    pub async fn compact(
        &self,
        lease: &mut Lease,
        quiet: Duration,
    ) -> Result<Compacted, TableError> {
        let mut settled = Compacted::default();
        let mut races = self.races();
        loop {
            let before = settled.packed;
            match self.compact_all(lease, quiet, &mut settled).await {
                Ok(true) => {}
                Ok(false) => return Ok(settled),
                Err(error) => {
                    if settled.packed > before {
                        races.start_over();
                    }
                    self.wait_after(error, &mut races).await?;
                }
            }
        }
    }

    /// Packs all files that are due. Returns whether there were any.
    ///
    /// Each pack is a separate version, so that a failure loses little work. The log is long, so it is read once for all
    /// packs: if a version was written as exactly the next one, no other process has written in between, and what was read
    /// still holds.
    async fn compact_all(
        &self,
        lease: &mut Lease,
        quiet: Duration,
        settled: &mut Compacted,
    ) -> Result<bool, TableError> {
        let mut current = self.env.now();
        let mut version = self.version().await?;
        let due = due(&version.files, self.definition.merges(), current, quiet)?;
        if due.is_empty() {
            if settled.packed > 0
                && let Err(error) = self.checkpoint_if_due(&version).await
            {
                tracing::warn!(table = %self.definition.name, %error, "the checkpoint could not be written");
            }
            return Ok(false);
        }
        for (slot, files) in due {
            let packed = files.len();
            current = self.pack(&version, current, slot, files, lease).await?;
            version.number += 1;
            version.format = version.format.max(BASE_FORMAT);
            settled.files += packed;
            settled.packed += 1;
        }
        Ok(true)
    }

    /// Packs the ledger's shards of days that are over for so long. Returns how many days.
    ///
    /// # Errors
    ///
    /// The table can't be read or written.
    pub async fn pack_ledger(&self, over_for: Duration) -> Result<usize, TableError> {
        self.until_won(|| self.try_pack_ledger(over_for)).await
    }

    async fn try_pack_ledger(&self, over_for: Duration) -> Result<usize, TableError> {
        let begun = self.env.now();
        let version = self.version().await?;
        let over = milliseconds(begun - over_for).div_euclid(MILLISECONDS_PER_HOUR);
        let mut days = version.ledger.unpacked_days();
        let is_over = |day: &Shard| {
            let end = Slot::of_name(day.as_str()).and_then(Slot::end);
            end.is_some_and(|end| end <= over)
        };
        days.retain(is_over);
        days.truncate(self.guards.limit(LEDGER_DAYS));
        let (store, env) = (&self.store, &*self.env);
        let packed = version.ledger.packed(store, env, self.guards, &days);
        let Some(transaction) = packed.await? else {
            return Ok(0);
        };
        self.check_deadline(begun, DEADLINE)?;
        let mut actions = vec![Action::Txn(transaction)];
        if version.format < FORMAT {
            let format = (FORMAT_PROPERTY, Some(FORMAT.to_string()));
            let metadata = with_properties(self.upgraded(&version)?, [format])?;
            actions.push(Action::Metadata(metadata));
        }
        self.write_version(&version, Operation::Optimize, actions)
            .await?;
        Ok(days.len())
    }

    /// Packs the first files that are due. Returns how many files it packed; `None` if none are due.
    pub async fn compact_next(
        &self,
        lease: &mut Lease,
        quiet: Duration,
    ) -> Result<Option<usize>, TableError> {
        let begun = self.env.now();
        let version = self.version().await?;
        let due = due(&version.files, self.definition.merges(), begun, quiet)?;
        let Some((slot, files)) = due.into_iter().next() else {
            return Ok(None);
        };
        let packed = files.len();
        self.pack(&version, begun, slot, files, lease).await?;
        Ok(Some(packed))
    }

    /// Packs files, and writes the version after `version`, which was the table's latest version at the time `current`.
    /// Returns the `current` for the new version: a time taken just before it was written. A time taken afterwards could be
    /// too late: if the process was suspended, others may have written versions by then, and vacuum may have trimmed them from
    /// the log.
    async fn pack(
        &self,
        version: &Version,
        current: SystemTime,
        slot: Slot,
        files: Vec<DataFile>,
        lease: &mut Lease,
    ) -> Result<SystemTime, TableError> {
        let mut rows = self.rows_of_files(&files);
        let mut writer = DataWriter::new(self, Files::One(slot));
        while let Some(batch) = rows.try_next().await? {
            writer.write(&batch).await?;
            lease.renew().await;
        }
        let mut actions = writer.finish(Operation::Optimize).await?;
        let now = self.env.now();
        let removes = files
            .into_iter()
            .map(|file| Action::Remove(remove(&self.folder, file, Operation::Optimize, now)));
        actions.extend(removes);
        self.check_deadline(current, DEADLINE)?;
        let written = self.env.now();
        self.write_version(version, Operation::Optimize, actions)
            .await?;
        Ok(written)
    }
}

/// The files to pack, grouped into packs.
fn due(
    files: &[DataFile],
    merges: bool,
    now: SystemTime,
    quiet: Duration,
) -> Result<Vec<(Slot, Vec<DataFile>)>, TableError> {
    let over = milliseconds(now - LATENESS) / MILLISECONDS_PER_HOUR;
    let changed_before = milliseconds(now - quiet);
    let mut days: BTreeMap<i64, Vec<(Slot, DataFile)>> = BTreeMap::new();
    for file in files {
        let slot = file.slot()?;
        let day = days.entry(slot.day().start()).or_default();
        day.push((slot, file.clone()));
    }
    let mut due = Vec::new();
    for mut files in days.into_values() {
        files.sort_by(|(left, left_file), (right, right_file)| {
            (left.start(), &left_file.path).cmp(&(right.start(), &right_file.path))
        });
        let day = files[0].0.day();
        let is_over = day.end().is_some_and(|end| end <= over);
        let is_quiet = files
            .iter()
            .all(|(_, file)| file.modified <= changed_before);
        let files = files.into_iter().map(|(_, file)| file).collect();
        let packs = match (merges, is_over) {
            // All or none: if only a part of a day were packed, one slot would have two files.
            (true, true) if is_quiet => vec![files],
            (false, true) if is_quiet => packs(files),
            (false, false) => packs(files),
            _ => continue,
        };
        let worth = |files: &Vec<DataFile>| {
            let bytes: u64 = files.iter().map(|file| file.bytes).sum();
            match merges {
                true => files.len() > 1 && bytes <= MERGED_BYTES,
                false => files.len() >= if is_over { 2 } else { MANY_FILES },
            }
        };
        due.extend(packs.into_iter().filter(worth).map(|files| (day, files)));
    }
    Ok(due)
}

/// Divides files, in their order, into packs of a bounded size. Leaves out files that are larger than half a pack, so that a
/// late row does not cause a whole day to be rewritten.
fn packs(files: Vec<DataFile>) -> Vec<Vec<DataFile>> {
    let mut packs: Vec<Vec<DataFile>> = Vec::new();
    let mut bytes = 0;
    for file in files {
        if file.bytes > PACKED_BYTES / 2 {
            continue;
        }
        bytes += file.bytes;
        match packs.last_mut() {
            Some(pack) if bytes <= PACKED_BYTES => pack.push(file),
            _ => {
                bytes = file.bytes;
                packs.push(vec![file]);
            }
        }
    }
    packs
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn file(slot: Slot, number: u128, megabytes: u64, modified: Duration) -> DataFile {
        DataFile {
            path: slot.new_path(number).to_string(),
            bytes: megabytes << 20,
            date: slot.date(),
            modified: modified.as_millis() as i64,
            statistics: None,
        }
    }

    fn due_at(hours: u32, files: &[DataFile], merges: bool) -> Vec<(Slot, usize)> {
        let due = due(files, merges, UNIX_EPOCH + hours * HOUR, HOUR).unwrap();
        due.into_iter()
            .map(|(slot, files)| (slot, files.len()))
            .collect()
    }

    #[test]
    fn a_day_is_packed_when_it_is_over_and_quiet() {
        let files = [
            file(Slot::Hour(24), 1, 1, 25 * HOUR),
            file(Slot::Hour(25), 2, 1, 25 * HOUR),
            file(Slot::Hour(48), 3, 1, 49 * HOUR),
            file(Slot::Null, 4, 1, HOUR),
        ];
        assert_eq!(due_at(49, &files, true), [], "the day may have late files");
        assert_eq!(due_at(50, &files, true), [(Slot::Day(1), 2)]);
        let changed = [files[0].clone(), file(Slot::Hour(25), 5, 1, 50 * HOUR)];
        assert_eq!(due_at(50, &changed, true), [], "it has just changed");
        assert_eq!(due_at(51, &changed, true), [(Slot::Day(1), 2)]);
        assert_eq!(due_at(51, &files[..1], true), [], "one file is packed");
    }

    #[test]
    fn kept_rows_are_packed_when_they_are_many_and_up_to_a_size() {
        let files = |sizes: &[u64]| -> Vec<DataFile> {
            (0..)
                .zip(sizes)
                .map(|(n, &size)| file(Slot::Day(1), n, size, 25 * HOUR))
                .collect()
        };
        assert_eq!(due_at(27, &files(&[1; 31]), false), []);
        assert_eq!(
            due_at(27, &files(&[1; 40]), false),
            [(Slot::Day(1), 40)],
            "the day goes on, and commits too"
        );
        assert_eq!(due_at(50, &files(&[1; 3]), false), [(Slot::Day(1), 3)]);
        // 200 is large enough by itself. Neither 100 + 100 nor 100 + 100 + 10 exceeds the limit.
        assert_eq!(
            due_at(50, &files(&[100, 200, 100, 100, 100, 10]), false),
            [(Slot::Day(1), 2), (Slot::Day(1), 3)]
        );
    }
}
