//! Delta's log: how a version is written, and how the log is kept short.

use std::collections::HashMap;
use std::sync::Arc;

use deltalake_core::DeltaTableError;
use deltalake_core::checkpoints::{cleanup_expired_logs_for, create_checkpoint};
use deltalake_core::kernel::{Action, CommitInfo, Metadata, MetadataExt, StructType};
use deltalake_core::logstore::commit_uri_from_version;
use futures::{StreamExt, TryStreamExt};
use logmill_object_io::is_retryable;
use logmill_shared::chain;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode};
use serde::Deserialize;

use super::error::is_unreadable_file;
use super::guards::Guard;
use super::{
    BASE_FORMAT, FIRST_SQL_PROPERTY, FORMAT_PROPERTY, SQL_PROPERTY, Table, TableError, Version,
    checked_log, milliseconds,
};

/// Versions between two checkpoints. A reader reads the latest checkpoint and every version after it.
const CHECKPOINT_INTERVAL: usize = 20;

/// The folder of a table's log.
pub(super) const FOLDER: &str = "_delta_log";
const LAST_CHECKPOINT: &str = "_last_checkpoint";

/// Versions read concurrently, to hide the store's latency.
const READ_AT_ONCE: usize = 16;

/// The operation of a version, for `DESCRIBE HISTORY`.
#[derive(Debug, Clone, Copy)]
pub(super) enum Operation {
    /// Log files are counted.
    Write,
    /// Files are packed; the rows are the same.
    Optimize,
    /// Another generation becomes live, and all rows are replaced.
    Swap,
    /// Properties change; no row does.
    SetProperties,
    /// Rows are removed.
    Delete,
    /// A table that was dropped is made anew.
    Create,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Write => "WRITE",
            Self::Optimize => "OPTIMIZE",
            Self::Swap => "CREATE OR REPLACE TABLE AS SELECT",
            Self::SetProperties => "SET TBLPROPERTIES",
            Self::Delete => "DELETE",
            Self::Create => "CREATE OR REPLACE TABLE",
        }
    }

    /// Whether it adds or removes rows, and not only files.
    pub(super) fn changes_data(self) -> bool {
        matches!(self, Self::Write | Self::Swap | Self::Delete)
    }
}

impl Table {
    /// Writes exactly the version after `read`, with one conditional PUT. Never attempts another version number.
    ///
    /// Any error means that it is unknown whether the version has been written. delta-rs's own commit is not used: it retries,
    /// and if its first attempt was written but the response was lost, it takes that version for another process's.
    pub(super) async fn write_version(
        &self,
        read: &Version,
        operation: Operation,
        actions: Vec<Action>,
    ) -> Result<(), TableError> {
        // A version has one description of the table at most.
        let describes = |action: &Action| matches!(action, Action::Metadata(_));
        let upgrade = match read.format >= BASE_FORMAT || actions.iter().any(describes) {
            true => None,
            false => Some(Action::Metadata(self.upgraded(read)?)),
        };
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
        self.check_still_exists(read).await?;
        let mut next = read.number() + 1;
        loop {
            let path = version_path(next);
            let written = self
                .log()
                .put_opts(&path, lines.clone().into(), PutMode::Create.into())
                .await;
            match written {
                Ok(_) => return Ok(()),
                Err(_) if !self.guards.is_on(Guard::ExactVersion) => next += 1,
                // The store could not be reached after several attempts. Starting over now would only multiply them.
                Err(error) if is_retryable(&error) => return Err(error.into()),
                Err(error) => return Err(TableError::Unknown(error.to_string())),
            }
        }
    }

    /// Fails if the table has been removed since it was read. The next version would belong to no table, or to a new one.
    async fn check_still_exists(&self, read: &Version) -> Result<(), TableError> {
        let path = version_path(read.number());
        match self.log().head(&path).await {
            Ok(_) => return Ok(()),
            // The version may also have been trimmed from the log.
            Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        match self.any_version().await?.number() == read.number() {
            true => Ok(()),
            false => Err(TableError::Unknown(
                "another process has written a version".to_owned(),
            )),
        }
    }

    /// The description of the table. That of an older format is upgraded to [`BASE_FORMAT`]: it gets columns, which are NULL in older
    /// files, and the format's number.
    pub(super) fn upgraded(&self, read: &Version) -> Result<Metadata, TableError> {
        let metadata = read.metadata()?;
        if read.format >= BASE_FORMAT {
            return Ok(metadata);
        }
        let schema =
            StructType::try_new(self.definition.delta_fields()).map_err(DeltaTableError::from)?;
        let metadata = metadata
            .with_schema(&schema)
            .and_then(|metadata| metadata.remove_config_key(FIRST_SQL_PROPERTY))
            .and_then(|metadata| metadata.add_config_key(SQL_PROPERTY.to_owned(), read.sql.clone()))
            .and_then(|metadata| {
                metadata.add_config_key(FORMAT_PROPERTY.to_owned(), BASE_FORMAT.to_string())
            });
        Ok(metadata.map_err(DeltaTableError::from)?)
    }

    /// Writes a checkpoint if the last one is old. Only the time that reading takes depends on it.
    pub(super) async fn checkpoint_if_due(&self, version: &Version) -> Result<(), TableError> {
        let last = last_checkpoint(&self.log()).await?.unwrap_or(0);
        let interval = self.guards.limit(CHECKPOINT_INTERVAL) as u64;
        let number = version.number();
        // The hint may be left from an earlier table in this place. A damaged checkpoint should be replaced soon.
        let is_wrong = last > number || version.is_without_checkpoint;
        if is_wrong || number >= last + interval {
            create_checkpoint(&version.delta, None).await?;
        }
        Ok(())
    }

    /// Deletes versions from the log that are older than a checkpoint before `cutoff`. Returns the number of deleted files.
    pub(super) async fn trim_log(
        &self,
        version: &Version,
        cutoff: std::time::SystemTime,
    ) -> Result<usize, TableError> {
        // A damaged checkpoint covers no versions: the versions that it was made from must be kept.
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

/// The part of the log that a read depends on, at one moment: the newest intact checkpoint, and each version after it.
pub(super) struct Log {
    /// Its objects. None of them is ever changed.
    objects: Vec<ObjectMeta>,
    /// Checkpoints that are missing or damaged, with a description of the damage; newest first.
    bad_checkpoints: Vec<(Path, String)>,
    /// The object that makes the log unreadable, with a description of the damage.
    damage: Option<(String, String)>,
}

impl Log {
    /// Inspects the log.
    ///
    /// # Errors
    ///
    /// The store returned an error.
    pub(super) async fn look(store: &Arc<dyn ObjectStore>) -> Result<Self, TableError> {
        let folder = Path::from(FOLDER);
        // Read the hint before the listing, which then contains the checkpoint that the hint names.
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
                log.bad_checkpoints.push((path, "is missing".to_owned()));
            }
        }
        let base = log.whole_checkpoint(store).await?;
        log.check_versions(store, base).await?;
        Ok(log)
    }

    /// Finds the newest intact checkpoint.
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

    /// Checks that each version after this checkpoint exists and is intact.
    async fn check_versions(
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
                _ => (version_path(missing).to_string(), "is missing".to_owned()),
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

    /// Describes the damage of a log that begins with version `first` and has no intact checkpoint.
    fn without_beginning(&self, first: u64) -> (String, String) {
        match self.bad_checkpoint() {
            Some((path, what)) => (path.to_string(), what.to_owned()),
            None => (
                FOLDER.to_owned(),
                format!("has no checkpoint, and no version before {first}"),
            ),
        }
    }

    /// Whether the log is the same in both inspections. A failure in between was then not a lost race.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.objects == other.objects
    }

    /// Objects that reading the log can do without, in case they are damaged. Delta assumes that every checkpoint is intact,
    /// and that the hint `_last_checkpoint` is correct.
    pub(super) fn dispensable(&self) -> impl Iterator<Item = Path> {
        let checkpoints = self.bad_checkpoints.iter().map(|(path, _)| path.clone());
        checkpoints.chain([Path::from(FOLDER).join(LAST_CHECKPOINT)])
    }

    /// The newest missing or damaged checkpoint, with a description of the damage.
    pub(super) fn bad_checkpoint(&self) -> Option<(&Path, &str)> {
        let (path, what) = self.bad_checkpoints.first()?;
        Some((path, what))
    }

    /// Whether another program created the table: its first version exists, is intact, and has none of logmill's properties.
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

    /// Turns an error into one that says why the log can't be read, if the inspection has found a reason.
    pub(super) fn explained(self, error: TableError) -> TableError {
        if self.objects.is_empty() {
            let what =
                "the table's folder has no log; the table has been removed, or was never created"
                    .to_owned();
            return TableError::Delta(DeltaTableError::NotATable(what));
        }
        match self.damage {
            Some((object, what)) => TableError::Damaged { object, what },
            None => match error.missing_object() {
                Some(missing) => TableError::Damaged {
                    object: missing.to_owned(),
                    what: "is missing".to_owned(),
                },
                None => error.into_damage(),
            },
        }
    }
}

/// The result of reading an object of the log.
enum Seen {
    Whole,
    Gone,
    Damaged(String),
}

/// Reads an object of the log. Reading checks it.
async fn seen(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<Seen, TableError> {
    let read = async { store.get(path).await?.bytes().await };
    Ok(match read.await {
        Ok(_) => Seen::Whole,
        Err(object_store::Error::NotFound { .. }) => Seen::Gone,
        Err(object_store::Error::NotSupported { source }) => Seen::Damaged(source.to_string()),
        Err(error) if is_unreadable_file(&error) => {
            Seen::Damaged(format!("cannot be read: {}", chain(&error)))
        }
        Err(error) => return Err(error.into()),
    })
}

/// Whether this is the path of a checkpoint, or of one part of a checkpoint that another program wrote.
pub(super) fn is_checkpoint(path: &Path) -> bool {
    let name = path.filename().unwrap_or_default();
    number_of(path).is_some() && name.contains(".checkpoint.")
}

/// The number at the beginning of the name of a version or a checkpoint.
pub(super) fn number_of(path: &Path) -> Option<u64> {
    path.filename()?.split('.').next()?.parse().ok()
}

pub(super) fn version_path(number: u64) -> Path {
    commit_uri_from_version(Some(number))
}

#[derive(Deserialize)]
struct LastCheckpoint {
    version: u64,
}

/// The version of the last checkpoint, according to `_last_checkpoint`.
async fn last_checkpoint(store: &Arc<dyn ObjectStore>) -> Result<Option<u64>, TableError> {
    let path = Path::from(FOLDER).join(LAST_CHECKPOINT);
    let read = async { store.get(&path).await?.bytes().await };
    let json = match read.await {
        Ok(json) => json,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) if is_unreadable_file(&error) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // In Delta's protocol this is only a hint. Without it, the log is listed.
    let hint: Option<LastCheckpoint> = serde_json::from_slice(&json).ok();
    Ok(hint.map(|hint| hint.version))
}
