//! Sorted runs of staged rows. A commit merges all of them at once. If log files with very many groups have more runs than
//! memory allows, some runs are merged first, into temporary files on disk.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{TryStreamExt, stream};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use parquet::errors::ParquetError;
use tempfile::{NamedTempFile, TempPath};

use super::generations::Kept;
use super::merging::{self, Merge};
use super::parquet_file::{self, Opened, ParquetFile, Size, Use};
use super::slot::{self, Slot};
use super::staging::StagedRows;
use super::{Definition, Lease, TableError};
use crate::memory;

/// Memory for one run during a merge: a stored row group and a batch of its rows, twice each.
const RUN_BYTES: u64 = 4 * 1024 * 1024;

/// Minimum number of runs that are merged at once, so that each pass makes progress.
const RUNS_MIN: usize = 8;

/// Sorted runs, and the slots that their rows belong to.
pub(super) struct Runs {
    pub(super) slots: BTreeSet<Slot>,
    runs: Vec<Run>,
}

enum Run {
    /// Row groups of a file.
    Stored {
        file: Arc<Opened>,
        row_groups: Range<usize>,
        /// Hours whose rows are left out.
        without: Option<Arc<Kept>>,
        /// Deletes the temporary file on drop.
        _temporary: Option<TempPath>,
    },
    Held(Vec<RecordBatch>),
}

impl Runs {
    /// The runs of staged files.
    pub(super) async fn of_staged(
        definition: &Definition,
        staged: Vec<StagedRows>,
    ) -> Result<Self, TableError> {
        let mut slots = BTreeSet::new();
        let mut runs = Vec::with_capacity(staged.len());
        for StagedRows {
            file,
            slots: touched,
            runs: starts,
            without,
        } in staged
        {
            let (Some(touched), Some(starts)) = (touched, starts) else {
                let run = sorted(definition, &file, without.as_ref()).await?;
                for rows in &run {
                    let touched = slot::runs(rows.column(definition.slot_column));
                    slots.extend(touched.into_iter().map(|(slot, _)| slot));
                }
                runs.push(Run::Held(run));
                continue;
            };
            slots.extend(touched);
            let file = Arc::new(file);
            let ends = starts.iter().copied().skip(1).chain([file.row_groups()]);
            runs.extend(starts.iter().zip(ends).map(|(&start, end)| Run::Stored {
                file: Arc::clone(&file),
                row_groups: start..end,
                without: without.clone(),
                _temporary: None,
            }));
        }
        Ok(Self { slots, runs })
    }

    /// The total size of their rows.
    pub(super) fn size(&self) -> Size {
        let mut size = Size::default();
        self.runs.iter().for_each(|run| size.add(run.size()));
        size
    }

    /// Merges some runs until the rest can be merged at once.
    pub(super) async fn narrow(
        &mut self,
        merge: &Merge,
        definition: &Definition,
        lease: &mut Lease,
    ) -> Result<(), TableError> {
        while self.held_bytes(self.runs.len()) > memory::for_merging() as u64
            && self.runs.len() > RUNS_MIN
        {
            let mut some = RUNS_MIN;
            while some < self.runs.len()
                && self.held_bytes(some + 1) <= memory::for_merging() as u64
            {
                some += 1;
            }
            let some = Self {
                slots: BTreeSet::new(),
                runs: self.runs.drain(..some).collect(),
            };
            let merged = merge.fold(some.streams(definition)?, some.size()).await?;
            let merged = stored(merged, definition, lease).await?;
            self.runs.push(merged);
        }
        Ok(())
    }

    /// Memory for merging the first `runs` runs.
    fn held_bytes(&self, runs: usize) -> u64 {
        let held = self.runs.iter().take(runs).map(|run| match run {
            // A run counts twice: as it is stored, and as rows.
            Run::Stored { .. } => (2 * run.size().bytes).min(RUN_BYTES),
            Run::Held(_) => run.size().bytes,
        });
        held.sum()
    }

    /// The rows of each run, as a sorted stream.
    pub(super) fn streams(
        &self,
        definition: &Definition,
    ) -> Result<Vec<SendableRecordBatchStream>, TableError> {
        self.runs.iter().map(|run| run.stream(definition)).collect()
    }
}

impl Run {
    fn size(&self) -> Size {
        match self {
            Self::Stored {
                file, row_groups, ..
            } => file.size(row_groups.clone()),
            Self::Held(batches) => Size::of(batches),
        }
    }

    fn stream(&self, definition: &Definition) -> Result<SendableRecordBatchStream, TableError> {
        Ok(match self {
            Self::Stored {
                file,
                row_groups,
                without,
                ..
            } => {
                let rows = file.rows_of(row_groups.clone())?;
                StagedRows::as_rows(definition, rows, without.as_ref())
            }
            Self::Held(batches) => Box::pin(RecordBatchStreamAdapter::new(
                definition.row_schema(),
                stream::iter(batches.clone().into_iter().map(Ok)),
            )),
        })
    }
}

fn on_disk(source: ParquetError) -> TableError {
    TableError::Parquet {
        path: std::env::temp_dir().display().to_string(),
        source,
    }
}

/// Sorts the rows of a file that was staged unsorted.
async fn sorted(
    definition: &Definition,
    file: &Opened,
    without: Option<&Arc<Kept>>,
) -> Result<Vec<RecordBatch>, TableError> {
    let rows = StagedRows::as_rows(definition, file.rows()?, without);
    let rows: Vec<RecordBatch> = rows.try_collect().await?;
    match rows.is_empty() {
        true => Ok(rows),
        false => Ok(merging::sorted(rows, &definition.sort_keys())?),
    }
}

/// Writes merged rows to a temporary file.
async fn stored(
    mut rows: SendableRecordBatchStream,
    definition: &Definition,
    lease: &mut Lease,
) -> Result<Run, TableError> {
    let temporary = NamedTempFile::new()
        .map_err(ParquetError::from)
        .map_err(on_disk)?
        .into_temp_path();
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new());
    let path = Path::from_absolute_path(&temporary).map_err(object_store::Error::from)?;
    let schema = definition.row_schema();
    let mut file = ParquetFile::create(&store, path.clone(), schema, Use::Staging)?;
    while let Some(rows) = rows.try_next().await? {
        file.write(&rows).await?;
        lease.renew().await;
    }
    let bytes = file.finish().await?.bytes;
    let file = parquet_file::open(&store, &path, bytes).await?;
    Ok(Run::Stored {
        row_groups: 0..file.row_groups(),
        file: Arc::new(file),
        without: None,
        _temporary: Some(temporary),
    })
}
