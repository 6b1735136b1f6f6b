//! Staging: rows of log files, waiting to be committed.
//!
//! The path of a staged file, `_staging/<shard>/<id>.parquet`, depends only on its log file, so staging a log file twice
//! changes nothing. A staged file is complete or absent. Its footer holds the entry for the ledger.
//!
//! Rows that merge are staged in sorted order, so that a commit merges streams and holds little of each. A log file with very
//! many groups is staged as several sorted runs, one after another: when its groups have taken their share of memory, they are
//! written as a run, and grouping starts over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use arrow::datatypes::FieldRef;
use arrow::record_batch::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use futures::{StreamExt, TryStreamExt};
use logmill_shared::{LogFile, LogFileId, Shard};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::generations::Kept;
use super::guards::Guards;
use super::ledger::Entry;
use super::merging::{self, conform};
use super::parquet_file::{self, Opened, ParquetFile, Use};
use super::set_aside::NoteNames;
use super::slot::{self, Slot};
use super::{Definition, TableError, in_shard, short_hash};

pub(super) const FOLDER: &str = "_staging";
const ENTRY_KEY: &str = "logmill.log_file";
const RUNS_KEY: &str = "logmill.runs";
/// The table definition that the rows follow: [`Definition::identity`].
const DEFINITION_KEY: &str = "logmill.definition";

/// A log file's rows on their way to staging. Nothing is staged before [`StagingFile::stage`] returns.
pub(crate) struct StagingFile {
    definition: Arc<Definition>,
    file: ParquetFile,
    rows: u64,
    slots: BTreeSet<Slot>,
    /// The first row group of each sorted run.
    runs: Vec<usize>,
    row_groups: usize,
}

/// A log file's staged rows. A commit adds them to the table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StagedFile {
    pub(super) shard: Shard,
    pub(super) id: LogFileId,
    pub(super) bytes: u64,
    /// When it was staged, by the store's clock.
    pub(super) staged: SystemTime,
    /// The object's ETag: another worker may stage the same log file again while this one is read.
    version: Option<String>,
}

impl StagingFile {
    pub(super) fn create(
        store: &Arc<dyn ObjectStore>,
        definition: &Arc<Definition>,
        log_file: &LogFile,
    ) -> Result<Self, TableError> {
        let path = path(&log_file.shard(), log_file.id());
        Ok(Self {
            file: ParquetFile::create(store, path, definition.row_schema(), Use::Staging)?,
            definition: Arc::clone(definition),
            rows: 0,
            slots: BTreeSet::new(),
            runs: Vec::new(),
            row_groups: 0,
        })
    }

    /// Adds rows, which have the definition's columns. In a table that merges, no two of them may belong to the same group,
    /// and they become a sorted run.
    pub(crate) async fn write(&mut self, rows: Vec<RecordBatch>) -> Result<(), TableError> {
        let schema = self.definition.row_schema();
        let rows = rows.into_iter().map(|rows| conform(&rows, &schema));
        let mut rows = rows.collect::<Result<Vec<_>, _>>()?;
        rows.retain(|rows| rows.num_rows() > 0);
        if rows.is_empty() {
            return Ok(());
        }
        let merges = self.definition.merges();
        if merges {
            self.runs.push(self.row_groups);
            rows = merging::sorted(rows, &self.definition.sort_keys())?;
        }
        for rows in rows {
            self.rows += rows.num_rows() as u64;
            let runs = slot::runs(rows.column(self.definition.slot_column));
            self.slots.extend(runs.into_iter().map(|(slot, _)| slot));
            self.file.write(&rows).await?;
        }
        if merges {
            self.row_groups = self.file.end_row_group().await?;
        }
        Ok(())
    }

    /// Stages the rows. Once this has succeeded, the log file may be acknowledged.
    pub(crate) async fn stage(mut self, entry: &Entry) -> Result<(), TableError> {
        let entry = Entry {
            rows: self.rows as i64,
            slots: Some(slot::names(&self.slots)),
            ..entry.clone()
        };
        self.file.set(ENTRY_KEY, json(&entry)?);
        self.file.set(RUNS_KEY, json(&self.runs)?);
        self.file
            .set(DEFINITION_KEY, self.definition.identity.clone());
        self.file.finish().await?;
        Ok(())
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, TableError> {
    serde_json::to_string(value).map_err(|error| TableError::Internal(error.to_string()))
}

fn entry_of(opened: &Opened) -> Option<Entry> {
    serde_json::from_str(opened.get(ENTRY_KEY)?).ok()
}

fn path(shard: &Shard, id: LogFileId) -> Path {
    Path::from_iter([FOLDER, shard.as_str(), &format!("{id}.parquet")])
}

impl StagedFile {
    fn of_object(object: &ObjectMeta) -> Option<Self> {
        let (shard, name) = in_shard(object, FOLDER)?;
        Some(Self {
            shard,
            id: name.strip_suffix(".parquet")?.parse().ok()?,
            bytes: object.size,
            staged: object.last_modified.into(),
            version: object.e_tag.clone(),
        })
    }

    pub(super) fn path(&self) -> Path {
        path(&self.shard, self.id)
    }

    /// A name for this version of the object: 16 hexadecimal digits.
    pub(super) fn version_name(&self) -> String {
        let version = self.version.as_deref().unwrap_or_default();
        short_hash(&format!("{} {version}", self.bytes))
    }

    /// The ledger entry in the file's footer; `None` if it has none.
    ///
    /// # Errors
    ///
    /// The file is gone or damaged, or the store could not return it.
    pub(super) async fn entry(
        &self,
        store: &Arc<dyn ObjectStore>,
    ) -> Result<Option<Entry>, TableError> {
        let opened = self.opened(store).await?;
        Ok(entry_of(&opened))
    }

    async fn opened(&self, store: &Arc<dyn ObjectStore>) -> Result<Opened, TableError> {
        parquet_file::open_at(store, &self.path(), self.bytes, self.version.clone()).await
    }

    /// Opens the file, to commit it to the table of this definition.
    ///
    /// # Errors
    ///
    /// The store could not return the object; a retry may succeed.
    pub(super) async fn open(
        &self,
        store: &Arc<dyn ObjectStore>,
        definition: &Definition,
    ) -> Result<Opening, TableError> {
        let opened = match self.opened(store).await {
            Ok(opened) => opened,
            Err(error) if error.is_not_found() => return Ok(Opening::Gone),
            Err(error) => return Opening::unreadable(error),
        };
        let Some(entry) = entry_of(&opened) else {
            let reason = "the staged file does not name its log file";
            return Ok(Opening::unusable(None, reason));
        };
        let log_file = LogFile::new(&entry.log_file);
        if (log_file.id(), &log_file.shard()) != (self.id, &self.shard) {
            let reason = format!(
                "the staged file belongs to {log_file}, but has the name of another log file"
            );
            return Ok(Opening::unusable(None, reason));
        }
        let identity = opened.get(DEFINITION_KEY);
        let schema = definition.row_schema();
        let staged = opened.schema().fields();
        let is_known = |field: &FieldRef| schema.column_with_name(field.name()).is_some();
        let fits = match identity {
            Some(identity) => {
                let same = |(staged, own): (&FieldRef, &FieldRef)| {
                    staged.name() == own.name() && staged.data_type() == own.data_type()
                };
                identity == definition.identity
                    && staged.len() == schema.fields().len()
                    && staged.iter().zip(schema.fields()).all(same)
            }
            // Files staged before format 2 don't name their definition. Compare columns instead: a newer definition may have
            // more.
            None => staged.iter().all(is_known),
        };
        if !fits {
            let reason = "the staged file was computed with different SQL than the table, or with another lookup file";
            return Ok(Opening::unusable(Some(entry.log_file), reason));
        }
        let runs = opened
            .get(RUNS_KEY)
            .and_then(|json| serde_json::from_str(json).ok());
        let rows = StagedRows {
            slots: entry.slots.as_deref().and_then(slot::named),
            runs,
            file: opened,
            without: None,
        };
        Ok(Opening::Opened(Box::new((entry, rows))))
    }
}

/// The result of opening a staged file.
pub(super) enum Opening {
    /// It can be committed.
    Opened(Box<(Entry, StagedRows)>),
    /// Another commit has counted it, or it has been staged again.
    Gone,
    /// It can never be committed as it is.
    Unusable {
        log_file: Option<String>,
        reason: String,
    },
}

impl Opening {
    fn unusable(log_file: Option<String>, reason: impl Into<String>) -> Self {
        Self::Unusable {
            log_file,
            reason: reason.into(),
        }
    }

    /// Separates damage to this object from errors that may affect all objects.
    fn unreadable(error: TableError) -> Result<Self, TableError> {
        match error.damage() {
            Some(damage) => Ok(Self::unusable(
                None,
                format!("the staged file {}", damage.what),
            )),
            None => Err(error),
        }
    }
}

/// The rows of a staged file.
pub(super) struct StagedRows {
    pub(super) file: Opened,
    /// The slots that the rows belong to. `None` if they were staged before format 2.
    pub(super) slots: Option<BTreeSet<Slot>>,
    /// The first row group of each sorted run. `None` in format 1, whose rows are not sorted.
    pub(super) runs: Option<Vec<usize>>,
    /// Hours whose rows are left out, because the table has them already.
    pub(super) without: Option<Arc<Kept>>,
}

impl StagedRows {
    /// Rows read from the file, as rows of the table.
    pub(super) fn as_rows(
        definition: &Definition,
        rows: parquet_file::Rows,
        without: Option<&Arc<Kept>>,
    ) -> SendableRecordBatchStream {
        let rows = merging::rows_of(definition, None, rows);
        match without {
            Some(kept) => kept.left_out_of(rows, definition),
            None => rows,
        }
    }

    /// Leaves out the rows of hours that the table has already.
    pub(super) fn leave_out(&mut self, kept: &Arc<Kept>) {
        if let Some(slots) = &mut self.slots {
            slots.retain(|&slot| !kept.has(slot));
        }
        self.without = Some(Arc::clone(kept));
    }
}

/// Lists up to `limit` staged files, in the order of shards and ids: the whole backlog may not fit into memory. Leaves out
/// files that these notes set aside.
pub(super) async fn list(
    store: &Arc<dyn ObjectStore>,
    limit: usize,
    set_aside: &NoteNames,
) -> Result<Vec<StagedFile>, TableError> {
    let objects = store.list(Some(&Path::from(FOLDER)));
    let staged = objects.try_filter_map(async |object| {
        let staged = StagedFile::of_object(&object);
        Ok(staged.filter(|staged| !set_aside.cover(staged)))
    });
    let mut staged: Vec<StagedFile> = staged.take(limit).try_collect().await?;
    staged.sort();
    Ok(staged)
}

/// Lists all staged files that are not set aside.
pub(super) async fn list_all(
    store: &Arc<dyn ObjectStore>,
    guards: Guards,
) -> Result<Vec<StagedFile>, TableError> {
    let set_aside = NoteNames::list(store, guards).await?;
    list(store, usize::MAX, &set_aside).await
}

/// Deletes staged files that the table has counted.
pub(super) async fn delete(
    store: &Arc<dyn ObjectStore>,
    staged: &[StagedFile],
) -> Result<(), TableError> {
    super::delete(store, staged.iter().map(StagedFile::path)).await
}
