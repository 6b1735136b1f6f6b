//! The commit: the only place where anything is counted.
//!
//! 1. Read the table's latest version; list what is staged; drop what the ledger has counted already.
//! 2. Merge the rest with the slots that it touches, into new files; write the ledger with the rest added.
//! 3. Write one Delta version, exactly the next one: the new files, the ones that they replace, the ledger.
//! 4. See, in a freshly read version, that the ledger has the rest; only then delete it from staging.
//!
//! Two processes may do this at once, and any of them may die anywhere. One of two commits to the same version
//! fails, and then nothing of it is in the table; it starts over, and finds in the ledger what the other has
//! counted. Whatever goes wrong in 3 leaves open whether the version was written, so nothing is concluded
//! from it: the answer is in the table.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use deltalake_core::kernel::{Action, Add, Remove};
use futures::{StreamExt, TryStreamExt};
use logmill_shared::Shard;
use object_store::path::Path;

use super::delta_log::Operation;
use super::merging::rows_of;
use super::parquet_file::{self, Opened, ParquetFile, Use, Written};
use super::slot::{Slot, runs};
use super::staging::{self, StagedFile};
use super::statistics::delta_statistics;
use super::world::Guard;
use super::{DataFile, Entry, Lease, Table, TableError, Version, lease, milliseconds};
use crate::rollup::DATE_COLUMN;

/// What one commit takes, so that its memory does not grow with the backlog. The next commit takes the rest.
const MAX_STAGED_FILES: usize = 1000;
const MAX_STAGED_BYTES: u64 = 32 * 1024 * 1024;

/// Staged files opened at once: enough to hide a store's latency.
const OPENED_AT_ONCE: usize = 16;

/// What is listed of staging at once, as a multiple of what one commit takes: some of it may have been counted.
const LISTED_PER_TAKEN: usize = 4;

/// Attempts at a commit without any progress before giving up, and the wait between them: somewhat more than a
/// minute in all, on top of what the store's client has tried.
const MAX_ATTEMPTS: u32 = 20;
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A commit that has taken longer than this is not written: vacuum may take its new files for those of a commit that
/// has died ([`super::vacuum::ORPHAN_GRACE`], which is far longer).
pub(super) const DEADLINE: Duration = Duration::from_hours(1);

/// What was committed.
#[derive(Debug, Default)]
pub struct Committed {
    /// The log files that were counted.
    pub entries: Vec<Entry>,
    /// Whether there is more to commit.
    pub more: bool,
    /// The version in which they were seen, if there are any.
    pub version: u64,
    /// When the one was staged that had waited longest.
    pub oldest: Option<SystemTime>,
}

impl Table {
    /// Commits everything that is staged, or waits for whoever is about to do so.
    pub async fn commit(&self) -> Result<Vec<Entry>, TableError> {
        let mut failures = 0;
        loop {
            match self.commit_or_wait().await {
                Ok(Some(entries)) => return Ok(entries),
                Ok(None) => self.world.sleep(lease::POLL).await,
                Err(error) => self.wait_after(error, &mut failures).await?,
            }
        }
    }

    /// `None`: another has the lease, and there is something staged.
    async fn commit_or_wait(&self) -> Result<Option<Vec<Entry>>, TableError> {
        if staging::list(&self.store, 1).await?.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let Some(mut lease) = self.try_lease().await? else {
            tracing::debug!(table = %self.definition.name, "another has the lease");
            return Ok(None);
        };
        let committed = self.commit_by(&mut lease).await;
        lease.release().await;
        committed.map(Some)
    }

    /// Commits everything that is staged.
    pub async fn commit_by(&self, lease: &mut Lease) -> Result<Vec<Entry>, TableError> {
        let mut entries = Vec::new();
        let mut failures = 0;
        loop {
            match self.try_commit(lease).await {
                Ok(committed) => {
                    failures = 0;
                    entries.extend(committed.entries);
                    if !committed.more {
                        return Ok(entries);
                    }
                }
                Err(error) => self.wait_after(error, &mut failures).await?,
            }
        }
    }

    /// Waits before the next attempt, if one may do better.
    pub(super) async fn wait_after(
        &self,
        error: TableError,
        failures: &mut u32,
    ) -> Result<(), TableError> {
        if !error.is_transient() || *failures >= MAX_ATTEMPTS {
            return Err(error);
        }
        *failures += 1;
        let (table, failures) = (&self.definition.name, *failures);
        match failures {
            0..5 => tracing::debug!(%table, failures, %error, "again"),
            _ => tracing::warn!(%table, failures, %error, "again"),
        }
        self.world.sleep(self.wait_before(failures)).await;
        Ok(())
    }

    /// Doubles from 10 ms, with a part of chance so that two that collided do not do so again.
    fn wait_before(&self, attempt: u32) -> Duration {
        let wait = Duration::from_millis(10) * 2_u32.saturating_pow(attempt);
        let chance = (self.world.unique() as u32) as f64 / f64::from(u32::MAX);
        wait.min(LONGEST_WAIT).mul_f64(0.5 + chance / 2.0)
    }

    /// Tries once to commit what is staged, up to the bounds of one commit.
    pub async fn try_commit(&self, lease: &mut Lease) -> Result<Committed, TableError> {
        let begun = self.world.now();
        let version = self.version().await?;
        let (fresh, more) = self.fresh(&version).await?;
        let (staged, opened) = self.open(fresh).await?;
        if staged.is_empty() {
            return Ok(Committed {
                more,
                ..Committed::default()
            });
        }
        lease.renew().await;
        let mut by_shard: BTreeMap<Shard, Vec<Entry>> = BTreeMap::new();
        let mut files = Vec::with_capacity(opened.len());
        for (file, (entry, opened)) in staged.iter().zip(opened) {
            by_shard.entry(file.shard.clone()).or_default().push(entry);
            files.push(opened);
        }
        let entries: Vec<Entry> = by_shard.values().flatten().cloned().collect();

        let mut actions = self.write_data(&version, files, lease).await?;
        let ledger = version.ledger.extended(&self.store, &*self.world, by_shard);
        actions.push(Action::Txn(ledger.await?));
        lease.renew().await;
        self.check_deadline(begun)?;
        self.write_version(&version, Operation::Write, actions)
            .await?;

        let version = self.version().await?;
        if self.world.keeps(Guard::ReadBack) {
            see_counted(&version, &staged).await?;
        }
        staging::delete(&self.store, &staged).await?;
        if let Err(error) = self.checkpoint_if_due(&version).await {
            tracing::warn!(table = %self.definition.name, %error, "no checkpoint");
        }
        Ok(Committed {
            entries,
            more,
            version: version.number(),
            oldest: staged.iter().map(|file| file.staged).min(),
        })
    }

    /// Fails if too much time has gone since this moment.
    pub(super) fn check_deadline(&self, begun: SystemTime) -> Result<(), TableError> {
        let taken = self.world.now().duration_since(begun).unwrap_or_default();
        if taken > DEADLINE && self.world.keeps(Guard::Deadline) {
            return Err(TableError::Unknown(format!(
                "it has taken {} s, and its new files may be gone",
                taken.as_secs()
            )));
        }
        Ok(())
    }

    /// What is staged and has not been counted, up to the bounds of one commit, and whether there is more.
    /// What has been counted is deleted.
    async fn fresh(&self, version: &Version) -> Result<(Vec<StagedFile>, bool), TableError> {
        let files_max = self.world.bound(MAX_STAGED_FILES);
        let staged = staging::list(&self.store, LISTED_PER_TAKEN * files_max).await?;
        let more_staged = staged.len() == LISTED_PER_TAKEN * files_max;
        let shards: BTreeSet<&Shard> = staged.iter().map(|file| &file.shard).collect();
        let counted = match self.world.keeps(Guard::LedgerCheck) {
            true => version.counted(shards).await?,
            false => HashSet::new(),
        };
        let (counted, mut fresh): (Vec<_>, Vec<_>) = staged
            .into_iter()
            .partition(|file| counted.contains(&file.id));
        staging::delete(&self.store, &counted).await?;

        let mut bytes = 0;
        let taken = fresh.iter().take(files_max).take_while(|file| {
            let first = bytes == 0;
            bytes += file.bytes;
            first || bytes <= MAX_STAGED_BYTES
        });
        let taken = taken.count();
        let more = more_staged || taken < fresh.len();
        fresh.truncate(taken);
        Ok((fresh, more))
    }

    /// Opens staged files, leaving out those that another commit has just counted and deleted.
    async fn open(
        &self,
        staged: Vec<StagedFile>,
    ) -> Result<(Vec<StagedFile>, Vec<(Entry, Opened)>), TableError> {
        let opened: Vec<_> = futures::stream::iter(staged)
            .map(async |file| Ok::<_, TableError>((file.open(&self.store).await?, file)))
            .buffered(OPENED_AT_ONCE)
            .try_collect()
            .await?;
        Ok(opened
            .into_iter()
            .filter_map(|(opened, file)| Some((file, opened?)))
            .unzip())
    }

    /// Writes the data files of the next version, and returns what changes by them.
    async fn write_data(
        &self,
        version: &Version,
        staged: Vec<Opened>,
        lease: &mut Lease,
    ) -> Result<Vec<Action>, TableError> {
        let schema = self.definition.row_schema();
        let streams = staged
            .into_iter()
            .map(|file| Ok(rows_of(Arc::clone(&schema), file.rows()?)))
            .collect::<Result<Vec<SendableRecordBatchStream>, TableError>>()?;
        let staged: SendableRecordBatchStream = Box::pin(RecordBatchStreamAdapter::new(
            Arc::clone(&schema),
            futures::stream::iter(streams).flatten(),
        ));

        let mut replaced = Vec::new();
        let mut rows = match &self.merge {
            // Every row is kept, so no file need be written again.
            None => staged,
            Some(merge) => {
                let fresh = merge.gather(staged).await?;
                replaced = touched_files(version, self.definition.slot_column, &fresh)?;
                match replaced.is_empty() {
                    true => merge.stream(fresh),
                    false => {
                        let live = self.rows_of_files(&replaced);
                        merge.fold(fresh, live).await?
                    }
                }
            }
        };
        let mut writer = DataWriter::new(self, Files::PerSlot);
        while let Some(batch) = rows.try_next().await? {
            writer.write(&batch).await?;
            lease.renew().await;
        }
        let mut actions = writer.finish(Operation::Write).await?;
        let now = self.world.now();
        let removes = replaced
            .into_iter()
            .map(|file| Action::Remove(remove(file, Operation::Write, now)));
        actions.extend(removes);
        Ok(actions)
    }

    /// The rows of data files, one after the other, with their partition's column if they have one. A file is opened
    /// when its turn comes: there may be many.
    pub(super) fn rows_of_files(&self, files: &[DataFile]) -> SendableRecordBatchStream {
        let row_schema = self.definition.row_schema();
        let (schema, file_schema) = (Arc::clone(&row_schema), self.definition.file_schema());
        let store = Arc::clone(&self.store);
        let opened = futures::stream::iter(files.to_vec()).then(move |file| {
            let (store, schema) = (Arc::clone(&store), Arc::clone(&schema));
            let file_schema = Arc::clone(&file_schema);
            async move {
                let path = Path::from(file.path.as_str());
                let opened = parquet_file::open(&store, &path, file.bytes).await;
                let rows = opened.and_then(Opened::rows);
                let rows = rows.map_err(|error| DataFusionError::External(Box::new(error)))?;
                let rows = rows_of(file_schema, rows);
                Ok::<_, DataFusionError>(
                    rows.map(move |batch| with_date(&batch?, &schema, file.date.as_deref())),
                )
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(
            row_schema,
            opened.try_flatten(),
        ))
    }
}

/// Checks that a version's ledger has these log files.
async fn see_counted(version: &Version, staged: &[StagedFile]) -> Result<(), TableError> {
    let shards: BTreeSet<&Shard> = staged.iter().map(|file| &file.shard).collect();
    let counted = version.counted(shards).await?;
    match staged.iter().all(|file| counted.contains(&file.id)) {
        true => Ok(()),
        false => Err(TableError::Unknown(
            "the version was written, but the table does not have it".to_owned(),
        )),
    }
}

/// The files of the slots that rows belong to, in the order of slots.
fn touched_files(
    version: &Version,
    slot_column: usize,
    rows: &[RecordBatch],
) -> Result<Vec<DataFile>, TableError> {
    let mut touched = BTreeSet::new();
    for batch in rows {
        touched.extend(
            runs(batch.column(slot_column))
                .into_iter()
                .map(|(slot, _)| slot),
        );
    }
    let mut files = BTreeMap::new();
    for file in &version.files {
        let slot = file.slot()?;
        if touched.iter().any(|&touched| slot.covers(touched))
            && files.insert(slot.start(), file.clone()).is_some()
        {
            return Err(TableError::Internal(format!(
                "two data files for one slot: {}",
                file.path
            )));
        }
    }
    Ok(files.into_values().collect())
}

/// Rows of a data file with the `date` column, which stands in the file's folder, put back in its place.
fn with_date(
    batch: &RecordBatch,
    schema: &arrow::datatypes::SchemaRef,
    date: Option<&str>,
) -> Result<RecordBatch, DataFusionError> {
    let Some((index, field)) = schema.column_with_name(DATE_COLUMN) else {
        return Ok(batch.clone());
    };
    let date = arrow::array::StringArray::from(vec![date; batch.num_rows()]);
    let mut columns = batch.columns().to_vec();
    columns.insert(index, arrow::compute::cast(&date, field.data_type())?);
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

/// Takes a file out of the table.
pub(super) fn remove(file: DataFile, operation: Operation, now: SystemTime) -> Remove {
    Remove {
        path: file.path,
        data_change: operation.changes_data(),
        deletion_timestamp: Some(milliseconds(now)),
        extended_file_metadata: Some(true),
        partition_values: Some([(DATE_COLUMN.to_owned(), file.date)].into()),
        size: Some(file.bytes as i64),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
    }
}

/// Where rows are written to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Files {
    /// A file for each slot.
    PerSlot,
    /// One file, which stands for all of its slots.
    One(Slot),
}

/// Writes rows to data files.
pub(super) struct DataWriter<'t> {
    table: &'t Table,
    files: Files,
    open: BTreeMap<Slot, ParquetFile>,
    written: Vec<(Slot, Written)>,
}

impl<'t> DataWriter<'t> {
    pub(super) fn new(table: &'t Table, files: Files) -> Self {
        Self {
            table,
            files,
            open: BTreeMap::new(),
            written: Vec::new(),
        }
    }

    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<(), TableError> {
        let definition = &self.table.definition;
        let runs = match self.files {
            Files::PerSlot => runs(batch.column(definition.slot_column)),
            Files::One(slot) => vec![(slot, 0..batch.num_rows())],
        };
        for (slot, range) in runs {
            // Rows that merge come in the order of slots, so the ones before are complete.
            if definition.merges() {
                self.finish_before(slot).await?;
            }
            let rows = batch.slice(range.start, range.len());
            let rows = without_date(&rows)?;
            let file = match self.open.entry(slot) {
                std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
                std::collections::btree_map::Entry::Vacant(vacant) => {
                    vacant.insert(ParquetFile::create(
                        &self.table.store,
                        slot.new_path(self.table.world.unique()),
                        definition.file_schema(),
                        Use::Keeping,
                    )?)
                }
            };
            file.write(&rows).await?;
        }
        Ok(())
    }

    async fn finish_before(&mut self, slot: Slot) -> Result<(), TableError> {
        while let Some(first) = self.open.first_entry()
            && *first.key() < slot
        {
            let (slot, file) = first.remove_entry();
            self.finish_file(slot, file).await?;
        }
        Ok(())
    }

    async fn finish_file(&mut self, slot: Slot, file: ParquetFile) -> Result<(), TableError> {
        let written = file.finish().await?;
        self.written.push((slot, written));
        Ok(())
    }

    /// Completes the files, and returns what puts them into the table.
    pub(super) async fn finish(mut self, operation: Operation) -> Result<Vec<Action>, TableError> {
        while let Some((slot, file)) = self.open.pop_first() {
            self.finish_file(slot, file).await?;
        }
        let schema = self.table.definition.file_schema();
        let now = self.table.world.now();
        let add = |(slot, written): (Slot, Written)| Add {
            path: written.path.to_string(),
            partition_values: [(DATE_COLUMN.to_owned(), slot.date())].into(),
            size: written.bytes as i64,
            modification_time: milliseconds(now),
            data_change: operation.changes_data(),
            stats: Some(delta_statistics(&schema, &written.metadata)),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        };
        Ok(self.written.into_iter().map(add).map(Action::Add).collect())
    }
}

fn without_date(batch: &RecordBatch) -> Result<RecordBatch, TableError> {
    let Some((index, _)) = batch.schema_ref().column_with_name(DATE_COLUMN) else {
        return Ok(batch.clone());
    };
    let kept: Vec<usize> = (0..batch.num_columns())
        .filter(|&column| column != index)
        .collect();
    batch
        .project(&kept)
        .map_err(|error| TableError::Internal(error.to_string()))
}
