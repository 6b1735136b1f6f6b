//! The data files that a commit replaces: which they are, and how much room their slots have for new groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt};

use super::merging::{Room, Rooms, rows_of};
use super::parquet_file::{self, Size};
use super::slot::{Slot, runs};
use super::{DataFile, Table, TableError, Version};

/// Data files opened ahead of being read. Each holds the response to one request.
const OPENED_AHEAD: usize = 8;

/// Files with fewer rows are not opened to measure their size in memory: they are small enough whatever they contain.
const FEW_ROWS: u64 = 2000;

/// A slot whose rows take more memory than this accepts no new groups: each commit that touches the slot rewrites it.
const SLOT_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// A file that is replaced, and the size of its rows in memory.
pub(super) struct LiveFile {
    pub(super) file: DataFile,
    pub(super) size: Size,
}

/// The data files of these slots, in the order of slots.
pub(super) fn touched_files(
    version: &Version,
    touched: &BTreeSet<Slot>,
) -> Result<Vec<DataFile>, TableError> {
    let mut files = BTreeMap::new();
    for file in &version.files {
        let slot = file.slot()?;
        let is_touched = match slot == slot.day() {
            // A packed day covers its hours.
            true => touched.iter().any(|&touched| slot.covers(touched)),
            false => touched.contains(&slot),
        };
        if is_touched && files.insert(slot.start(), file.clone()).is_some() {
            return Err(TableError::Internal(format!(
                "the table has two data files for one slot: {}",
                file.path
            )));
        }
    }
    Ok(files.into_values().collect())
}

/// The type of timestamps that [`runs`] can divide into hours.
fn slot_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

impl Table {
    /// Measures how much memory the rows of these files take.
    pub(super) async fn measured(&self, files: Vec<DataFile>) -> Result<Vec<LiveFile>, TableError> {
        let measured = futures::stream::iter(files).map(async |file| {
            let mut size = file.size();
            // The Delta log has only the compressed size, which visitors can make misleadingly small.
            if size.rows > FEW_ROWS {
                let opened = parquet_file::open_live(&self.store, &file).await?;
                size = opened.size(0..opened.row_groups());
            }
            Ok(LiveFile { file, size })
        });
        measured.buffered(OPENED_AHEAD).try_collect().await
    }

    /// The remaining room of the slots that these files belong to. `None` if this many fresh rows fit, even if all of them
    /// belong to one slot.
    pub(super) async fn room(
        &self,
        files: &[LiveFile],
        fresh: Size,
    ) -> Result<Option<Rooms>, TableError> {
        let groups_max = self.guards.limit(self.definition.slot_groups_max) as u64;
        let fits = |size: Size| {
            size.rows + fresh.rows <= groups_max && size.bytes + fresh.bytes <= SLOT_BYTES_MAX
        };
        let none = Size::default();
        if fits(none) && files.iter().all(|file| fits(file.size)) {
            return Ok(None);
        }
        let mut taken: BTreeMap<Slot, Size> = BTreeMap::new();
        for LiveFile { file, size } in files {
            let slot = file.slot()?;
            if slot != slot.day() || !self.definition.has_hours() {
                taken.entry(slot).or_default().add(*size);
                continue;
            }
            // A packed day has no sizes for its hours, so count the rows of each.
            let opened = parquet_file::open_live(&self.store, file).await?;
            let name = &self.definition.columns[self.definition.slot_column].name;
            let mut times = opened.column(name)?;
            let each = size.bytes / size.rows.max(1);
            while let Some(batch) = times.try_next().await? {
                let hours = arrow::compute::cast(batch.column(0), &slot_type())
                    .map_err(|error| TableError::Internal(error.to_string()))?;
                for (slot, rows) in runs(&hours) {
                    let rows = rows.len() as u64;
                    taken.entry(slot).or_default().add(Size {
                        rows,
                        bytes: rows * each,
                    });
                }
            }
        }
        let left = |size: Size| Room {
            groups: groups_max.saturating_sub(size.rows),
            bytes: SLOT_BYTES_MAX.saturating_sub(size.bytes),
        };
        Ok(Some(Rooms {
            of: taken
                .into_iter()
                .map(|(slot, size)| (slot, left(size)))
                .collect(),
            elsewhere: left(none),
        }))
    }

    /// The rows of data files, one file after another, with the partition column if rows have one. Some files are opened
    /// ahead, because there may be many.
    pub(super) fn rows_of_files(&self, files: &[DataFile]) -> SendableRecordBatchStream {
        let definition = Arc::clone(&self.definition);
        let store = Arc::clone(&self.store);
        let opened = futures::stream::iter(files.to_vec())
            .map(move |file| {
                let (store, definition) = (Arc::clone(&store), Arc::clone(&definition));
                async move {
                    let opened = parquet_file::open_live(&store, &file).await;
                    let rows = opened.and_then(|opened| opened.rows());
                    let rows = rows.map_err(|error| DataFusionError::External(Box::new(error)))?;
                    Ok::<_, DataFusionError>(rows_of(&definition, Some(file.date), rows))
                }
            })
            .buffered(OPENED_AHEAD);
        Box::pin(RecordBatchStreamAdapter::new(
            self.definition.row_schema(),
            opened.try_flatten(),
        ))
    }
}
