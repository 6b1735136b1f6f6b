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

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use deltalake_core::kernel::{Action, Add, Remove};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use futures::{StreamExt, TryStreamExt};
use logmill_shared::Shard;
use object_store::path::Path;

use super::merging::rows_of;
use super::parquet_file::{self, Opened, ParquetFile, Written};
use super::slot::{Slot, runs};
use super::staging::{self, StagedFile};
use super::statistics::delta_statistics;
use super::{DataFile, Entry, Table, TableError, Version};
use crate::rollup::DATE_COLUMN;

/// What one commit takes, so that its memory does not grow with the backlog. The next commit takes the rest.
const MAX_STAGED_FILES: usize = 1000;
const MAX_STAGED_BYTES: u64 = 32 * 1024 * 1024;

/// Staged files opened at once: enough to hide a store's latency.
const OPENED_AT_ONCE: usize = 16;

/// Attempts at a commit before giving up, and the wait between them. Each failure but those of the storage
/// itself means that somebody else has committed, so there is progress.
const MAX_ATTEMPTS: u32 = 50;
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What was committed.
#[derive(Debug, Default)]
pub struct Committed {
    /// The log files that were counted.
    pub entries: Vec<Entry>,
    /// Whether there is more to commit.
    pub more: bool,
}

impl Table {
    /// Commits everything that is staged.
    pub async fn commit(&self) -> Result<Vec<Entry>, TableError> {
        let mut entries = Vec::new();
        let mut failures = 0;
        loop {
            match self.try_commit().await {
                Ok(committed) => {
                    failures = 0;
                    entries.extend(committed.entries);
                    if !committed.more {
                        return Ok(entries);
                    }
                }
                // What has gone, or changed, since it was listed: another commit came first.
                Err(error)
                    if failures < MAX_ATTEMPTS
                        && (matches!(error, TableError::Unknown(_)) || error.is_overtaken()) =>
                {
                    failures += 1;
                    tracing::debug!(table = %self.definition.name, failures, %error, "commit again");
                    tokio::time::sleep(wait_before(failures)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Tries once to commit what is staged, up to the bounds of one commit.
    pub async fn try_commit(&self) -> Result<Committed, TableError> {
        let version = self.version().await?;
        let (fresh, more) = self.fresh(&version).await?;
        let (staged, opened) = self.open(fresh).await?;
        if staged.is_empty() {
            return Ok(Committed {
                entries: Vec::new(),
                more,
            });
        }
        let mut by_shard: BTreeMap<Shard, Vec<Entry>> = BTreeMap::new();
        let mut files = Vec::with_capacity(opened.len());
        for (file, (entry, opened)) in staged.iter().zip(opened) {
            by_shard.entry(file.shard.clone()).or_default().push(entry);
            files.push(opened);
        }
        let entries: Vec<Entry> = by_shard.values().flatten().cloned().collect();

        let mut actions = self.write_data(&version, files).await?;
        let Version { delta, ledger, .. } = version;
        let transaction = ledger.extended(&self.store, by_shard).await?;
        actions.push(Action::Txn(transaction));

        // No retries of Delta's own: it would take a version that has landed, and whose answer was lost, for
        // another's, and land it again. No clean-up on its way: that would report a landed commit as failed.
        let properties = CommitProperties::default()
            .with_max_retries(0)
            .with_create_checkpoint(false)
            .with_cleanup_expired_logs(Some(false));
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec![DATE_COLUMN.to_owned()]),
            predicate: None,
        };
        let committed = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(
                Some(delta.snapshot()?.snapshot() as &dyn TableReference),
                Arc::clone(&self.log_store),
                operation,
            )
            .await;
        committed.map_err(|error| TableError::Unknown(error.to_string()))?;

        self.see_counted(&staged).await?;
        staging::delete(&self.store, &staged).await?;
        Ok(Committed { entries, more })
    }

    /// What is staged and has not been counted, up to the bounds of one commit, and whether there is more.
    /// What has been counted is deleted.
    async fn fresh(&self, version: &Version) -> Result<(Vec<StagedFile>, bool), TableError> {
        let staged = staging::list(&self.store).await?;
        let shards: BTreeSet<&Shard> = staged.iter().map(|file| &file.shard).collect();
        let counted = version.counted(shards).await?;
        let (counted, mut fresh): (Vec<_>, Vec<_>) = staged
            .into_iter()
            .partition(|file| counted.contains(&file.id));
        staging::delete(&self.store, &counted).await?;

        let mut bytes = 0;
        let taken = fresh.iter().take(MAX_STAGED_FILES).take_while(|file| {
            let first = bytes == 0;
            bytes += file.bytes;
            first || bytes <= MAX_STAGED_BYTES
        });
        let taken = taken.count();
        let more = taken < fresh.len();
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
                        let live = self.rows_of_files(&replaced).await?;
                        merge.fold(fresh, live).await?
                    }
                }
            }
        };
        let mut writer = DataWriter::new(self);
        while let Some(batch) = rows.try_next().await? {
            writer.write(&batch).await?;
        }
        let mut actions = writer.finish().await?;
        actions.extend(
            replaced
                .into_iter()
                .map(|file| Action::Remove(remove(file))),
        );
        Ok(actions)
    }

    /// The rows of data files, one after the other, with their partition's column if they have one.
    async fn rows_of_files(
        &self,
        files: &[DataFile],
    ) -> Result<SendableRecordBatchStream, TableError> {
        let row_schema = self.definition.row_schema();
        let file_schema = self.definition.file_schema();
        let mut streams = Vec::with_capacity(files.len());
        for file in files {
            let opened =
                parquet_file::open(&self.store, &Path::from(file.path.as_str()), file.bytes)
                    .await?;
            let rows = rows_of(Arc::clone(&file_schema), opened.rows()?);
            let (schema, date) = (Arc::clone(&row_schema), file.date.clone());
            streams.push(rows.map(move |batch| with_date(&batch?, &schema, date.as_deref())));
        }
        Ok(Box::pin(RecordBatchStreamAdapter::new(
            row_schema,
            futures::stream::iter(streams).flatten(),
        )))
    }

    /// Checks, on a freshly read version, that the ledger has these log files.
    async fn see_counted(&self, staged: &[StagedFile]) -> Result<(), TableError> {
        let version = self.version().await?;
        let shards: BTreeSet<&Shard> = staged.iter().map(|file| &file.shard).collect();
        let counted = version.counted(shards).await?;
        match staged.iter().all(|file| counted.contains(&file.id)) {
            true => Ok(()),
            false => Err(TableError::Unknown(
                "the version was written, but the table does not have it".to_owned(),
            )),
        }
    }
}

/// Doubles from 10 ms, with a part of chance so that two that collided do not do so again.
fn wait_before(attempt: u32) -> Duration {
    let wait = Duration::from_millis(10) * 2_u32.saturating_pow(attempt);
    let chance = f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX);
    wait.min(LONGEST_WAIT).mul_f64(0.5 + chance / 2.0)
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
        let slot = Slot::of_path(&file.path).ok_or_else(|| TableError::NotOurs {
            path: file.path.clone(),
            what: "a data file that logmill has not written; tables must not be written or optimized by others"
                .to_owned(),
        })?;
        if touched.contains(&slot) && files.insert(slot, file.clone()).is_some() {
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

fn remove(file: DataFile) -> Remove {
    Remove {
        path: file.path,
        // Two commits that replace the same file with `false` here would both succeed.
        data_change: true,
        deletion_timestamp: Some(now_ms()),
        extended_file_metadata: Some(true),
        partition_values: Some([(DATE_COLUMN.to_owned(), file.date)].into()),
        size: Some(file.bytes as i64),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
    }
}

fn now_ms() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since_epoch.as_millis() as i64
}

/// Writes rows to a file for each slot.
struct DataWriter<'t> {
    table: &'t Table,
    open: BTreeMap<Slot, ParquetFile>,
    actions: Vec<Action>,
}

impl<'t> DataWriter<'t> {
    fn new(table: &'t Table) -> Self {
        Self {
            table,
            open: BTreeMap::new(),
            actions: Vec::new(),
        }
    }

    async fn write(&mut self, batch: &RecordBatch) -> Result<(), TableError> {
        let definition = &self.table.definition;
        for (slot, range) in runs(batch.column(definition.slot_column)) {
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
                        slot.new_path(),
                        definition.file_schema(),
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
        let statistics = delta_statistics(&self.table.definition.file_schema(), &written.metadata);
        self.actions
            .push(Action::Add(add(slot, &written, statistics)));
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<Action>, TableError> {
        while let Some((slot, file)) = self.open.pop_first() {
            self.finish_file(slot, file).await?;
        }
        Ok(self.actions)
    }
}

fn add(slot: Slot, written: &Written, statistics: String) -> Add {
    Add {
        path: written.path.to_string(),
        partition_values: [(DATE_COLUMN.to_owned(), slot.date())].into(),
        size: written.bytes as i64,
        modification_time: now_ms(),
        data_change: true,
        stats: Some(statistics),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
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
