//! Delta's log: how a version is written, and how the log is kept short.

use std::collections::HashMap;
use std::sync::Arc;

use deltalake_core::DeltaTableError;
use deltalake_core::checkpoints::{cleanup_expired_logs_for, create_checkpoint};
use deltalake_core::kernel::{Action, CommitInfo, MetadataExt, StructType};
use deltalake_core::logstore::commit_uri_from_version;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode};
use serde::Deserialize;

use super::env::Guard;
use super::{
    FIRST_SQL_PROPERTY, FORMAT, FORMAT_PROPERTY, SQL_PROPERTY, Table, TableError, Version,
    checked_log, is_of_the_disk, milliseconds, retrying,
};
use crate::aws::chain;

/// Versions between two checkpoints. A reader reads the last checkpoint and every version after it.
const CHECKPOINT_INTERVAL: usize = 20;

const FOLDER: &str = "_delta_log";
const LAST_CHECKPOINT: &str = "_last_checkpoint";

/// Versions that are read at once, to hide a store's latency.
const READ_AT_ONCE: usize = 16;

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
            timestamp: Some(milliseconds(self.env.now())),
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
                Err(_) if !self.env.keeps(Guard::ExactVersion) => next += 1,
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
        let schema =
            StructType::try_new(self.definition.delta_fields()).map_err(DeltaTableError::from)?;
        let metadata = read.delta.snapshot()?.snapshot().metadata().clone();
        let metadata = metadata
            .with_schema(&schema)
            .and_then(|metadata| metadata.remove_config_key(FIRST_SQL_PROPERTY))
            .and_then(|metadata| metadata.add_config_key(SQL_PROPERTY.to_owned(), read.sql.clone()))
            .and_then(|metadata| {
                metadata.add_config_key(FORMAT_PROPERTY.to_owned(), FORMAT.to_string())
            });
        let metadata = metadata.map_err(DeltaTableError::from)?;
        Ok(Some(Action::Metadata(metadata)))
    }

    /// Writes a checkpoint if the last one is old. Nothing depends on it but the time that reading takes.
    pub(super) async fn checkpoint_if_due(&self, version: &Version) -> Result<(), TableError> {
        let last = last_checkpoint(&self.store).await?.unwrap_or(0);
        let interval = self.env.bound(CHECKPOINT_INTERVAL) as u64;
        let number = version.number();
        // The hint may be of another table that was here before. A checkpoint that is damaged is best replaced soon.
        let is_wrong = last > number || version.is_without_checkpoint;
        if is_wrong || number >= last + interval {
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
        // A damaged checkpoint stands for no version: what it is of must not go.
        let log_store = version.delta.log_store();
        let trimmed =
            cleanup_expired_logs_for(version.number(), &*log_store, milliseconds(cutoff), None);
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

/// What a reading of the log rests on, as it is at one moment: the newest checkpoint that is whole, and each version after it.
pub(super) struct Log {
    /// Its objects. None of them is ever changed.
    objects: Vec<ObjectMeta>,
    /// Checkpoints that are gone or not as they were written, and what is the matter with each; the newest first.
    bad_checkpoints: Vec<(Path, String)>,
    /// The object because of which it can't be read, and what is the matter with it.
    damage: Option<(String, String)>,
}

impl Log {
    /// Looks at the log.
    ///
    /// # Errors
    ///
    /// The store is in trouble, and says what that is.
    pub(super) async fn look(store: &Arc<dyn ObjectStore>) -> Result<Self, TableError> {
        let folder = Path::from(FOLDER);
        // Before the listing, which then has what this names.
        let last = last_checkpoint(store).await?;
        let mut objects: Vec<ObjectMeta> = store.list(Some(&folder)).try_collect().await?;
        objects.sort_by(|left, right| left.location.cmp(&right.location));
        let mut log = Self {
            objects,
            bad_checkpoints: Vec::new(),
            damage: None,
        };
        if let Some(last) = last {
            let path = Path::from(format!("{FOLDER}/{last:020}.checkpoint.parquet"));
            let is_there = |object: &ObjectMeta| {
                number_of(&object.location) == Some(last) && is_checkpoint(&object.location)
            };
            if !log.objects.iter().any(is_there) {
                log.bad_checkpoints.push((path, "is gone".to_owned()));
            }
        }
        let base = log.whole_checkpoint(store).await?;
        log.see_versions(store, base).await?;
        Ok(log)
    }

    /// The newest checkpoint that is whole.
    async fn whole_checkpoint(
        &mut self,
        store: &Arc<dyn ObjectStore>,
    ) -> Result<Option<u64>, TableError> {
        for object in self.objects.iter().rev() {
            let path = &object.location;
            let number = number_of(path);
            if !is_checkpoint(path) {
                continue;
            }
            match seen(store, path).await? {
                Seen::Whole => return Ok(number),
                Seen::Gone => {}
                Seen::Damaged(what) => self.bad_checkpoints.push((path.clone(), what)),
            }
        }
        Ok(None)
    }

    /// Sees that each version after this checkpoint is there, and whole.
    async fn see_versions(
        &mut self,
        store: &Arc<dyn ObjectStore>,
        base: Option<u64>,
    ) -> Result<(), TableError> {
        let first = base.map_or(0, |base| base + 1);
        let versions = self.objects.iter().map(|object| &object.location);
        let versions: Vec<(u64, Path)> = versions
            .filter(|path| checked_log::is_version(path))
            .filter_map(|path| Some((number_of(path)?, path.clone())))
            .filter(|(number, _)| *number >= first)
            .collect();
        let expected = first..;
        let gap = versions
            .iter()
            .zip(expected)
            .find(|((number, _), expected)| number != expected);
        if let Some(((number, _), missing)) = gap {
            self.damage = Some(match base {
                None if missing == 0 => self.without_beginning(*number),
                _ => (version_path(missing).to_string(), "is gone".to_owned()),
            });
            return Ok(());
        }
        let mut seen = futures::stream::iter(versions)
            .map(async |(_, path)| Ok::<_, TableError>((seen(store, &path).await?, path)))
            .buffered(READ_AT_ONCE);
        while let Some((seen, path)) = seen.try_next().await? {
            if let Seen::Damaged(what) = seen {
                self.damage = Some((path.to_string(), what));
                break;
            }
        }
        Ok(())
    }

    /// What is the matter with a log of which there are only the versions from this one on, and no checkpoint that is whole.
    fn without_beginning(&self, first: u64) -> (String, String) {
        match self.bad_checkpoint() {
            Some((path, what)) => (path.to_string(), what.to_owned()),
            None => (
                FOLDER.to_owned(),
                format!("has no checkpoint, and no version before {first}"),
            ),
        }
    }

    /// Whether nothing has happened between the two looks. What fails in between has lost no race.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.objects == other.objects
    }

    /// The objects without which the log may be read, if they are what is wrong: Delta takes any checkpoint for whole, and the hint
    /// `_last_checkpoint` for true.
    pub(super) fn dispensable(&self) -> impl Iterator<Item = Path> {
        let checkpoints = self.bad_checkpoints.iter().map(|(path, _)| path.clone());
        checkpoints.chain([Path::from(FOLDER).join(LAST_CHECKPOINT)])
    }

    /// A checkpoint that can't be read, and what is the matter with it.
    pub(super) fn bad_checkpoint(&self) -> Option<(&Path, &str)> {
        let (path, what) = self.bad_checkpoints.first()?;
        Some((path, what))
    }

    /// Whether another program has made the table: its first version, if it is there and whole, has none of logmill's properties.
    pub(super) async fn is_of_others(
        &self,
        store: &Arc<dyn ObjectStore>,
    ) -> Result<bool, TableError> {
        let first = version_path(0);
        let is_there = self.objects.iter().any(|object| object.location == first);
        if self.damage.is_some() || !is_there {
            return Ok(false);
        }
        let text = store.get(&first).await?.bytes().await?;
        Ok(memchr::memmem::find(&text, b"\"logmill.").is_none())
    }

    /// Why the log can't be read, if that is not by chance.
    pub(super) fn explained(self, error: TableError) -> TableError {
        if self.objects.is_empty() {
            let what = "its folder has no log; it has been removed, or was never made".to_owned();
            return TableError::Delta(DeltaTableError::NotATable(what));
        }
        match self.damage {
            Some((object, what)) => TableError::Damaged { object, what },
            None => match error.missing_object() {
                Some(missing) => TableError::Damaged {
                    object: missing.to_owned(),
                    what: "is gone".to_owned(),
                },
                None => error.into_damage(),
            },
        }
    }
}

/// What has been seen of an object of the log.
enum Seen {
    Whole,
    Gone,
    Damaged(String),
}

/// Reads an object of the log, which is checked by that.
async fn seen(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<Seen, TableError> {
    let read = async { store.get(path).await?.bytes().await };
    Ok(match read.await {
        Ok(_) => Seen::Whole,
        Err(object_store::Error::NotFound { .. }) => Seen::Gone,
        Err(object_store::Error::NotSupported { source }) => Seen::Damaged(source.to_string()),
        Err(error) if is_of_the_disk(&error) => {
            Seen::Damaged(format!("can't be read: {}", chain(&error)))
        }
        Err(error) => return Err(error.into()),
    })
}

/// Whether this is the path of a checkpoint, or of a part of one as others write them.
fn is_checkpoint(path: &Path) -> bool {
    let name = path.filename().unwrap_or_default();
    number_of(path).is_some() && name.contains(".checkpoint.")
}

/// The number that the name of a version or a checkpoint begins with.
fn number_of(path: &Path) -> Option<u64> {
    path.filename()?.split('.').next()?.parse().ok()
}

fn version_path(number: u64) -> Path {
    commit_uri_from_version(Some(number))
}

#[derive(Deserialize)]
struct LastCheckpoint {
    version: u64,
}

/// The version of the last checkpoint, as far as `_last_checkpoint` says.
async fn last_checkpoint(store: &Arc<dyn ObjectStore>) -> Result<Option<u64>, TableError> {
    let path = Path::from(FOLDER).join(LAST_CHECKPOINT);
    let read = async { store.get(&path).await?.bytes().await };
    let json = match read.await {
        Ok(json) => json,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) if is_of_the_disk(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // A hint, says Delta's protocol: without it the log is listed.
    let hint: Option<LastCheckpoint> = serde_json::from_slice(&json).ok();
    Ok(hint.map(|hint| hint.version))
}
