//! Delta's log: how a version is written, and how the log is kept short.

use std::collections::HashMap;
use std::sync::Arc;

use deltalake_core::checkpoints::{cleanup_expired_logs_for, create_checkpoint};
use deltalake_core::kernel::{Action, CommitInfo, MetadataExt, StructType};
use deltalake_core::logstore::commit_uri_from_version;
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode};
use serde::Deserialize;

use super::world::Guard;
use super::{
    FIRST_SQL_PROPERTY, FORMAT, FORMAT_PROPERTY, SQL_PROPERTY, Table, TableError, Version,
    checked_log, milliseconds, parquet_file, retrying,
};
use crate::aws::chain;

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
    /// An error, whichever it is, means that it is not known whether the version has been written. delta-rs's own commit is not
    /// used: it tries again, and takes its own version that has landed, and whose answer was lost, for another's.
    pub(super) async fn write_version(
        &self,
        read: &Version,
        operation: Operation,
        actions: Vec<Action>,
    ) -> Result<(), TableError> {
        let upgrade = self.upgrade(read)?;
        let rest = json_lines(upgrade.iter().chain(&actions))?;
        let commit_info = Action::CommitInfo(CommitInfo {
            timestamp: Some(milliseconds(self.world.now())),
            operation: Some(operation.name().to_owned()),
            operation_parameters: Some(HashMap::new()),
            read_version: Some(read.number()),
            is_blind_append: Some(false),
            engine_info: Some(concat!("logmill ", env!("CARGO_PKG_VERSION")).to_owned()),
            info: [checked_log::seal(&rest)].into(),
            ..CommitInfo::default()
        });
        let lines = [json_lines([&commit_info])?, rest].concat();
        let lines = bytes::Bytes::from(lines);
        self.see_still_there(read).await?;
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
                // The store could not be reached, attempt after attempt. To start over now would only multiply them.
                Err(error) if retrying::may_pass(&error) => return Err(error.into()),
                Err(error) => return Err(TableError::Unknown(error.to_string())),
            }
        }
    }

    /// Fails if the table has been removed since. Its next version would be one of nothing, or of a table that was made anew.
    async fn see_still_there(&self, read: &Version) -> Result<(), TableError> {
        let path = commit_uri_from_version(Some(read.number()));
        match self.store.head(&path).await {
            Ok(_) => return Ok(()),
            // The log is trimmed, too.
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        match self.version().await?.number() == read.number() {
            true => Ok(()),
            false => Err(TableError::Unknown(
                "another version was written".to_owned(),
            )),
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

fn json_lines<'a>(actions: impl IntoIterator<Item = &'a Action>) -> Result<Vec<u8>, TableError> {
    let mut lines = Vec::new();
    for action in actions {
        serde_json::to_writer(&mut lines, action)
            .map_err(|error| TableError::Internal(error.to_string()))?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// Why the log can't be read: the object that is damaged or missing in it, if one is.
pub(super) async fn explained(error: TableError, store: &Arc<dyn ObjectStore>) -> TableError {
    match damaged_object(store).await {
        Ok(Some((object, what))) => TableError::Damaged { object, what },
        Ok(None) if error.is_not_found() => TableError::Damaged {
            object: "an object of the table".to_owned(),
            what: format!("is gone: {}", chain(&error)),
        },
        Ok(None) => error,
        // The store is in trouble, and says what that is.
        Err(trouble) => trouble,
    }
}

/// What the store says, if it can't give out the log's last object now. Delta's kernel does not say whether it is that.
pub(super) async fn trouble(store: &Arc<dyn ObjectStore>) -> Option<TableError> {
    let look = async {
        let folder = Path::from("_delta_log");
        let objects: Vec<ObjectMeta> = store.list(Some(&folder)).try_collect().await?;
        let versions = objects.into_iter().map(|object| object.location);
        if let Some(last) = versions.filter(checked_log::is_version).max() {
            store.get(&last).await?;
        }
        Ok::<_, object_store::Error>(())
    };
    let trouble = look.await.err().filter(retrying::may_pass)?;
    Some(trouble.into())
}

/// Looks for an object of the log that is not as it was written.
async fn damaged_object(
    store: &Arc<dyn ObjectStore>,
) -> Result<Option<(String, String)>, TableError> {
    let folder = Path::from("_delta_log");
    let mut objects: Vec<ObjectMeta> = store.list(Some(&folder)).try_collect().await?;
    objects.sort_by(|left, right| left.location.cmp(&right.location));
    let mut last: Option<u64> = None;
    for object in objects {
        let path = object.location;
        let name = path.filename().unwrap_or_default();
        let number = name
            .split('.')
            .next()
            .and_then(|number| number.parse().ok());
        let what = match number {
            Some(number) if checked_log::is_version(&path) => {
                if let Some(missing) = last.map(|last: u64| last + 1)
                    && missing < number
                {
                    return Ok(Some((
                        commit_uri_from_version(Some(missing)).to_string(),
                        "is gone".to_owned(),
                    )));
                }
                last = Some(number);
                match store.get(&path).await {
                    Err(object_store::Error::NotSupported { source }) => Some(source.to_string()),
                    Err(object_store::Error::NotFound { .. }) => None,
                    Err(error) => return Err(error.into()),
                    Ok(found) => match checked_log::check(&found.bytes().await?) {
                        Ok(()) => None,
                        Err(damaged) => Some(damaged.to_string()),
                    },
                }
            }
            Some(_) if name.ends_with(".parquet") => {
                let read = async {
                    let opened = parquet_file::open_whole(store, &path).await?;
                    let mut rows = opened.rows()?;
                    while rows.try_next().await?.is_some() {}
                    Ok::<_, TableError>(())
                };
                match read.await {
                    Ok(()) => None,
                    Err(error) if error.is_not_found() => None,
                    Err(error) => match error.damage() {
                        Some(damage) => Some(damage.what),
                        None => return Err(error),
                    },
                }
            }
            _ => None,
        };
        if let Some(what) = what {
            return Ok(Some((path.to_string(), what)));
        }
    }
    Ok(None)
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
