//! Staging: what log files have become, waiting to be committed.
//!
//! The staged file of a log file is named by the log file alone, `_staging/<shard>/<id>.parquet`, so that
//! staging it twice changes nothing. It is complete or absent. In its footer is what the ledger will say.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::SystemTime;

use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt};
use logmill_shared::{LogFile, LogFileId, Shard};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};

use super::ledger::Entry;
use super::parquet_file::{self, Opened, ParquetFile, Use};
use super::slot::unnameable;
use super::{Definition, TableError};

const FOLDER: &str = "_staging";
const ENTRY_KEY: &str = "logmill.log_file";

/// Rows of a log file on their way to staging. Nothing is staged before [`StagingFile::stage`] returns.
pub(crate) struct StagingFile {
    file: ParquetFile,
    slot_column: usize,
}

/// A log file's rows, staged. They are in the table once a commit has found them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StagedFile {
    pub(super) shard: Shard,
    pub(super) id: LogFileId,
    pub(super) bytes: u64,
    /// When it was staged, by the store's clock.
    pub(super) staged: SystemTime,
    /// The object's ETag: another worker may stage the same log file again while this is read.
    version: Option<String>,
}

impl StagingFile {
    pub(super) fn create(
        store: &Arc<dyn ObjectStore>,
        definition: &Definition,
        log_file: &LogFile,
    ) -> Result<Self, TableError> {
        let path = path(&log_file.shard(), log_file.id());
        Ok(Self {
            file: ParquetFile::create(store, path, definition.row_schema(), Use::Staging)?,
            slot_column: definition.slot_column,
        })
    }

    /// Adds rows, which have the definition's columns in the types in which they are stored.
    pub(crate) async fn write(&mut self, rows: &RecordBatch) -> Result<(), TableError> {
        if let Some(date) = unnameable(rows.column(self.slot_column)) {
            return Err(TableError::Date(date));
        }
        self.file.write(rows).await
    }

    /// Stages the rows. When this returns, the log file may be acknowledged.
    pub(crate) async fn stage(mut self, entry: &Entry) -> Result<(), TableError> {
        let json = serde_json::to_string(entry)
            .map_err(|error| TableError::Internal(error.to_string()))?;
        self.file.set(ENTRY_KEY, json);
        self.file.finish().await?;
        Ok(())
    }
}

fn path(shard: &Shard, id: LogFileId) -> Path {
    Path::from_iter([FOLDER, shard.as_str(), &format!("{id}.parquet")])
}

impl StagedFile {
    fn of_object(object: &ObjectMeta) -> Option<Self> {
        let mut parts = object.location.parts();
        let folder = parts.next()?;
        let (shard, name) = (parts.next()?, parts.next()?);
        if folder.as_ref() != FOLDER || parts.next().is_some() {
            return None;
        }
        let id = name.as_ref().strip_suffix(".parquet")?.parse().ok()?;
        Some(Self {
            shard: Shard::from_name(shard.as_ref()),
            id,
            bytes: object.size,
            staged: object.last_modified.into(),
            version: object.e_tag.clone(),
        })
    }

    fn path(&self) -> Path {
        path(&self.shard, self.id)
    }

    /// Opens it. `None` if it has gone: another commit has counted it.
    pub(super) async fn open(
        &self,
        store: &Arc<dyn ObjectStore>,
    ) -> Result<Option<(Entry, Opened)>, TableError> {
        let path = self.path();
        let opened = parquet_file::open_at(store, &path, self.bytes, self.version.clone()).await;
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let entry = opened
            .get(ENTRY_KEY)
            .and_then(|json| serde_json::from_str(json).ok());
        let entry: Entry = entry.ok_or_else(|| TableError::NotOurs {
            path: path.to_string(),
            what: "no staged file: its footer does not say of which log file it is".to_owned(),
        })?;
        Ok(Some((entry, opened)))
    }
}

/// What is staged, in the order of shards and ids, up to `limit` files: a backlog may be longer than memory.
pub(super) async fn list(
    store: &Arc<dyn ObjectStore>,
    limit: usize,
) -> Result<Vec<StagedFile>, TableError> {
    let objects = store.list(Some(&Path::from(FOLDER)));
    let staged = objects.try_filter_map(async |object| Ok(StagedFile::of_object(&object)));
    let mut staged: Vec<StagedFile> = staged.take(limit).try_collect().await?;
    staged.sort();
    Ok(staged)
}

/// The log files that are staged.
pub(super) async fn ids(store: &Arc<dyn ObjectStore>) -> Result<HashSet<LogFileId>, TableError> {
    let staged = list(store, usize::MAX).await?;
    Ok(staged.into_iter().map(|staged| staged.id).collect())
}

/// Deletes staged files that the table has counted.
pub(super) async fn delete(
    store: &Arc<dyn ObjectStore>,
    staged: &[StagedFile],
) -> Result<(), TableError> {
    super::delete(store, staged.iter().map(StagedFile::path)).await
}
