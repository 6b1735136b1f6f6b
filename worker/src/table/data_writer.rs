//! Writes the data files of a new version, and makes the Delta actions that add and remove them.

use std::collections::BTreeMap;
use std::time::SystemTime;

use arrow::record_batch::RecordBatch;
use deltalake_core::kernel::{Action, Add, Remove};
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use futures::{FutureExt, StreamExt};

use super::definition::DATE_COLUMN;
use super::delta_log::Operation;
use super::parquet_file::{ParquetFile, Use, Written};
use super::slot::{Slot, runs};
use super::statistics::delta_statistics;
use super::{DataFile, Folder, Table, TableError, milliseconds};

/// Data files completed concurrently. Each takes one or two requests.
const FINISHED_AT_ONCE: usize = 16;

/// Data files open at once in a table that keeps every row, whose rows come in no order. Each file has its own buffers. With a
/// lower limit, log files that span many days make more files than days.
const OPEN_MAX: usize = 64;

/// The action that removes a file from the table.
pub(super) fn remove(
    folder: &Folder,
    file: DataFile,
    operation: Operation,
    now: SystemTime,
) -> Remove {
    Remove {
        path: folder.in_log(&file.path),
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

/// How rows are divided into files.
#[derive(Debug, Clone, Copy)]
pub(super) enum Files {
    /// One file for each slot.
    PerSlot,
    /// A single file for all rows, stored under this slot.
    One(Slot),
}

/// Writes rows to data files.
pub(super) struct DataWriter<'t> {
    table: &'t Table,
    files: Files,
    open: BTreeMap<Slot, ParquetFile>,
    finishing: FuturesOrdered<BoxFuture<'static, Result<(Slot, Written), TableError>>>,
    written: Vec<(Slot, Written)>,
}

impl<'t> DataWriter<'t> {
    pub(super) fn new(table: &'t Table, files: Files) -> Self {
        Self {
            table,
            files,
            open: BTreeMap::new(),
            finishing: FuturesOrdered::new(),
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
            // Rows that merge come in the order of slots, so files of earlier slots are complete.
            if definition.merges() {
                self.finish_before(slot).await?;
            } else if self.open.len() == OPEN_MAX
                && !self.open.contains_key(&slot)
                && let Some((first, file)) = self.open.pop_first()
            {
                self.finish_file(first, file).await?;
            }
            let rows = batch.slice(range.start, range.len());
            let rows = without_date(&rows)?;
            let file = match self.open.entry(slot) {
                std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
                std::collections::btree_map::Entry::Vacant(vacant) => {
                    vacant.insert(ParquetFile::create(
                        &self.table.store,
                        slot.new_path(self.table.env.unique()),
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

    /// Completes a file concurrently with others.
    async fn finish_file(&mut self, slot: Slot, mut file: ParquetFile) -> Result<(), TableError> {
        // Flush the rows, so that files waiting to be completed hold none in memory.
        file.end_row_group().await?;
        if self.finishing.len() == FINISHED_AT_ONCE
            && let Some(written) = self.finishing.next().await
        {
            self.written.push(written?);
        }
        let finish = async move { Ok((slot, file.finish().await?)) };
        self.finishing.push_back(finish.boxed());
        Ok(())
    }

    /// Completes the files, and returns the actions that add them to the table.
    pub(super) async fn finish(mut self, operation: Operation) -> Result<Vec<Action>, TableError> {
        while let Some((slot, file)) = self.open.pop_first() {
            self.finish_file(slot, file).await?;
        }
        while let Some(written) = self.finishing.next().await {
            self.written.push(written?);
        }
        let schema = self.table.definition.file_schema();
        let now = self.table.env.now();
        let add = |(slot, written): (Slot, Written)| Add {
            path: self.table.folder.in_log(written.path.as_ref()),
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
