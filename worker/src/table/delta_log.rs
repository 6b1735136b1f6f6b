//! Delta's log: how a version is written, and how the log is kept short.

use std::collections::HashMap;
use std::sync::Arc;

use deltalake_core::checkpoints::{cleanup_expired_logs_for, create_checkpoint};
use deltalake_core::kernel::{Action, CommitInfo, MetadataExt, StructType};
use deltalake_core::logstore::commit_uri_from_version;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};
use serde::Deserialize;

use super::world::Guard;
use super::{
    FIRST_SQL_PROPERTY, FORMAT, FORMAT_PROPERTY, SQL_PROPERTY, Table, TableError, Version,
    milliseconds,
};

/// Versions between two checkpoints. A reader reads the last checkpoint and every version after it.
const CHECKPOINT_INTERVAL: usize = 20;

/// What a version does, for `DESCRIBE HISTORY`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    /// Log files are counted.
    Write,
    /// Files are packed; the rows are the same.
    Optimize,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Write => "WRITE",
            Self::Optimize => "OPTIMIZE",
        }
    }

    /// Whether rows come or go by it, and not only files.
    pub(super) fn changes_data(self) -> bool {
        matches!(self, Self::Write)
    }
}

impl Table {
    /// Writes exactly the version after `read`: one conditional PUT, and no second attempt at another version.
    ///
    /// An error means that it is not known whether the version has been written. delta-rs's own commit is not
    /// used: it tries again, and takes its own version that has landed, and whose answer was lost, for another's.
    pub(super) async fn write_version(
        &self,
        read: &Version,
        operation: Operation,
        actions: Vec<Action>,
    ) -> Result<(), TableError> {
        let commit_info = Action::CommitInfo(CommitInfo {
            timestamp: Some(milliseconds(self.world.now())),
            operation: Some(operation.name().to_owned()),
            operation_parameters: Some(HashMap::new()),
            read_version: Some(read.number()),
            is_blind_append: Some(false),
            engine_info: Some(concat!("logmill ", env!("CARGO_PKG_VERSION")).to_owned()),
            ..CommitInfo::default()
        });
        let upgrade = self.upgrade(read)?;
        let mut lines = Vec::new();
        for action in [commit_info].iter().chain(&upgrade).chain(&actions) {
            serde_json::to_writer(&mut lines, action)
                .map_err(|error| TableError::Internal(error.to_string()))?;
            lines.push(b'\n');
        }
        let lines = bytes::Bytes::from(lines);
        let mut next = read.number() + 1;
        loop {
            let path = commit_uri_from_version(Some(next));
            let written = self
                .store
                .put_opts(&path, lines.clone().into(), PutMode::Create.into())
                .await;
            match written {
                Ok(_) => return Ok(()),
                Err(_) if !self.world.keeps(Guard::ExactVersion) => next += 1,
                Err(error) => return Err(TableError::Unknown(error.to_string())),
            }
        }
    }

    /// What gives a table of an older format this one: it has more columns, which are NULL in files that were written before,
    /// and says its format.
    fn upgrade(&self, read: &Version) -> Result<Option<Action>, TableError> {
        if read.format == FORMAT {
            return Ok(None);
        }
        let schema = StructType::try_new(self.definition.delta_fields())
            .map_err(deltalake_core::DeltaTableError::from)?;
        let metadata = read.delta.snapshot()?.snapshot().metadata().clone();
        let metadata = metadata
            .with_schema(&schema)
            .and_then(|metadata| metadata.remove_config_key(FIRST_SQL_PROPERTY))
            .and_then(|metadata| metadata.add_config_key(SQL_PROPERTY.to_owned(), read.sql.clone()))
            .and_then(|metadata| {
                metadata.add_config_key(FORMAT_PROPERTY.to_owned(), FORMAT.to_string())
            });
        let metadata = metadata.map_err(deltalake_core::DeltaTableError::from)?;
        Ok(Some(Action::Metadata(metadata)))
    }

    /// Writes a checkpoint if the last one is old. Nothing depends on it but the time that reading takes.
    pub(super) async fn checkpoint_if_due(&self, version: &Version) -> Result<(), TableError> {
        let last = last_checkpoint(&self.store).await?.unwrap_or(0);
        let interval = self.world.bound(CHECKPOINT_INTERVAL) as u64;
        if version.number() >= last + interval {
            create_checkpoint(&version.delta, None).await?;
        }
        Ok(())
    }

    /// Removes versions from the log that are older than a checkpoint before `cutoff`. Returns how many files.
    pub(super) async fn trim_log(
        &self,
        version: &Version,
        cutoff: std::time::SystemTime,
    ) -> Result<usize, TableError> {
        let trimmed = cleanup_expired_logs_for(
            version.number(),
            &*self.log_store,
            milliseconds(cutoff),
            None,
        );
        Ok(trimmed.await?)
    }
}

#[derive(Deserialize)]
struct LastCheckpoint {
    version: u64,
}

/// The version of the last checkpoint, if there is one.
async fn last_checkpoint(store: &Arc<dyn ObjectStore>) -> Result<Option<u64>, TableError> {
    let path = Path::from("_delta_log/_last_checkpoint");
    let json = match store.get(&path).await {
        Ok(found) => found.bytes().await?,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // A hint, says Delta's protocol: without it the log is listed.
    let hint: Option<LastCheckpoint> = serde_json::from_slice(&json).ok();
    Ok(hint.map(|hint| hint.version))
}
