//! Dropping tables. A dropped table ends with a version that says so and is never deleted; everything before it is.
//!
//! ARCHITECTURE.md, "Dropping and renaming", has the protocol, and says why no log begins twice.

use std::sync::Arc;

use deltalake_core::checkpoints::create_checkpoint;
use deltalake_core::kernel::{Action, Metadata, MetadataExt, StructType};
use deltalake_core::{DeltaTable, DeltaTableError};
use futures::TryStreamExt;
use logmill_object_io::Env;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use walkdir::WalkDir;

use super::commit::DEADLINE;
use super::data_writer::remove;
use super::delta_log::{self, Operation, is_checkpoint, number_of, version_path};
use super::generations::{FOLDER_PROPERTY, with_properties};
use super::guards::{Guard, Guards};
use super::{
    Definition, FORMAT, FORMAT_PROPERTY, Folder, Root, Table, TableError, Version, checked_log,
    delete, folder, lease, ledger, lookup_file, milliseconds, root, set_aside, staging,
};

/// The property of a table that was dropped: when, in milliseconds since 1970.
pub(super) const DROPPED_PROPERTY: &str = "logmill.dropped";

/// All logmill's properties begin with this.
const PROPERTIES: &str = "logmill.";

/// Objects that are left of a dropped table's log: the last version, its checkpoint, and `_last_checkpoint`.
pub(super) const LEFT_OF_DROPPED: usize = 3;

impl Table {
    /// Writes a last version, without any rows. Nobody commits to the table from then on. `version` must be the latest one: otherwise
    /// nothing is written.
    ///
    /// # Errors
    ///
    /// It is unknown whether the version was written; or another process has written a version in the meantime.
    pub(super) async fn write_last_version(&self, version: &Version) -> Result<(), TableError> {
        let now = self.env.now();
        let properties = [
            (DROPPED_PROPERTY, Some(milliseconds(now).to_string())),
            (FORMAT_PROPERTY, Some(FORMAT.to_string())),
        ];
        let metadata = with_properties(self.upgraded(version)?, properties)?;
        let removes = version.files.iter().map(|file| {
            let removed = remove(&version.folder, file.clone(), Operation::Delete, now);
            Action::Remove(removed)
        });
        let actions = [Action::Metadata(metadata)].into_iter().chain(removes);
        self.write_version(version, Operation::Delete, actions.collect())
            .await
    }

    /// Writes the last version, whatever the table has counted.
    ///
    /// # Errors
    ///
    /// The table can't be read or written.
    pub async fn end(&self) -> Result<(), TableError> {
        let end = || async move {
            let version = self.any_version().await?;
            self.write_last_version(&version).await
        };
        match self.until_won(end).await {
            Err(TableError::Dropped { .. }) => Ok(()),
            ended => ended,
        }
    }

    /// Makes the table anew that was dropped in this version: writes exactly the next one. This table is in a [folder of its
    /// own](Version::folder_anew).
    ///
    /// # Errors
    ///
    /// It is unknown whether the version was written; or another process has written it.
    pub(super) async fn make_anew(
        &self,
        last: &Version,
        more: impl IntoIterator<Item = (String, Option<String>)>,
    ) -> Result<(), TableError> {
        let begun = self.env.now();
        lookup_file::write(&*self.store, &self.definition.lookups).await?;
        let folder = (FOLDER_PROPERTY.to_owned(), Some(self.folder.to_string()));
        let properties = root::properties(&self.definition, FORMAT);
        let properties = properties.into_iter().chain(more).chain([folder]);
        let metadata = new_metadata(&self.definition, last.metadata()?, properties)?;
        self.check_deadline(begun, DEADLINE)?;
        // Otherwise the log would go on with the ledger of the dropped table.
        let no_ledger = Action::Txn(ledger::none());
        let actions = vec![Action::Metadata(metadata), no_ledger];
        self.write_version(last, Operation::Create, actions).await
    }
}

/// The description of a table that is made anew: nothing of the dropped one is left but its id and name.
fn new_metadata(
    definition: &Definition,
    dropped: Metadata,
    properties: impl IntoIterator<Item = (String, Option<String>)>,
) -> Result<Metadata, TableError> {
    let schema = StructType::try_new(definition.delta_fields()).map_err(DeltaTableError::from)?;
    let before: Vec<String> = dropped.configuration().keys().cloned().collect();
    let mut metadata = dropped
        .with_schema(&schema)
        .map_err(DeltaTableError::from)?;
    for property in before.iter().filter(|name| name.starts_with(PROPERTIES)) {
        metadata = metadata
            .remove_config_key(property)
            .map_err(DeltaTableError::from)?;
    }
    for (property, value) in properties {
        if let Some(value) = value {
            metadata = metadata
                .add_config_key(property, value)
                .map_err(DeltaTableError::from)?;
        }
    }
    Ok(metadata)
}

impl Version {
    /// A folder for the table that is made anew after this last version. Nothing was ever staged or written there.
    pub(super) fn folder_anew(&self, env: &dyn Env, guards: Guards) -> Folder {
        match guards.is_on(Guard::NewFolder) {
            true => Folder::new(self.number + 1, env.unique()),
            false => Folder::default(),
        }
    }
}

impl Root {
    /// The number and size of all objects in a table's folder.
    ///
    /// # Errors
    ///
    /// They can't be listed.
    pub async fn objects(&self, table: &str) -> Result<(usize, u64), TableError> {
        let store = self
            .log_store(table, &Folder::default())?
            .object_store(None);
        let sizes = store.list(None).map_ok(|object| object.size);
        let sizes: Vec<u64> = sizes.try_collect().await?;
        Ok((sizes.len(), sizes.into_iter().sum()))
    }

    /// Whether a table was dropped, and objects are left of it besides its last version.
    ///
    /// # Errors
    ///
    /// They can't be listed, or the table can't be read at the moment.
    pub async fn has_left_of_dropped(&self, table: &str) -> Result<bool, TableError> {
        let last = match self.last_version(table).await {
            Ok(Some(last)) => last,
            // There is no log, or a damaged one.
            Err(TableError::Delta(DeltaTableError::NotATable(_)) | TableError::Damaged { .. }) => {
                return Ok(false);
            }
            Ok(None) => return Ok(false),
            Err(error) => return Err(error),
        };
        let store = self
            .log_store(table, &Folder::default())?
            .object_store(None);
        let mut objects = store.list(None);
        while let Some(object) = objects.try_next().await? {
            let path = &object.location;
            let is_of_log = matches!(Part::of(path), Part::Log);
            let number = number_of(path).unwrap_or(last.number);
            if !is_of_log || number < last.number {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The last version of a table, if it was dropped.
    async fn last_version(&self, table: &str) -> Result<Option<Version>, TableError> {
        let log_store = self.log_store(table, &Folder::default())?;
        let version = Version::read_even_last(table, &log_store, &**self.env()).await?;
        Ok(Some(version).filter(|version| version.is_dropped))
    }

    /// Deletes what is left of a dropped table: everything up to its last version, which stays. `with_waiting`: also what is staged and set
    /// aside. Can be repeated at any moment. If the table was made anew, or was not dropped, nothing is deleted.
    ///
    /// # Errors
    ///
    /// The objects can't be read, listed or deleted.
    pub async fn delete_dropped(&self, table: &str, with_waiting: bool) -> Result<(), TableError> {
        self.delete_dropped_by(table, with_waiting, Guards::default())
            .await
    }

    pub(super) async fn delete_dropped_by(
        &self,
        table: &str,
        with_waiting: bool,
        guards: Guards,
    ) -> Result<(), TableError> {
        let Some(last) = self.last_version(table).await? else {
            return Ok(());
        };
        let log_store = self.log_store(table, &Folder::default())?;
        let store = log_store.object_store(None);
        if guards.is_on(Guard::LastCheckpoint) {
            checkpoint(&store, &last).await?;
        }
        let objects = store.list(None).map_ok(|object| object.location);
        let paths: Vec<Path> = objects.try_collect().await?;
        let (mut dead, mut log, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
        for path in paths {
            let is_before = || number_of(&path).is_some_and(|number| number < last.number);
            match Part::of(&path) {
                Part::Log if is_before() || !guards.is_on(Guard::LastVersion) => log.push(path),
                Part::Log => {}
                // Of a table that was made anew.
                _ if Folder::first_version(&path).is_some_and(|first| first > last.number) => {}
                Part::Lease => repeated.push(path),
                Part::Waiting if with_waiting => repeated.push(path),
                Part::Waiting => {}
                Part::Rest => dead.push(path),
            }
        }
        delete(&store, dead).await?;
        delete(&store, log).await?;
        let next = version_path(last.number + 1);
        match store.head(&next).await {
            // Otherwise it may be a lease or strays of the table that was made anew.
            Ok(_) if guards.is_on(Guard::NotMadeAnew) => {}
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {
                delete(&store, repeated).await?;
            }
            Err(error) => return Err(error.into()),
        }
        delete_empty_folders(&log_store);
        Ok(())
    }

    /// Deletes all objects of a table whose log can't be read, the log last.
    ///
    /// # Errors
    ///
    /// The objects can't be listed or deleted.
    pub async fn delete_unreadable(&self, table: &str) -> Result<(), TableError> {
        let log_store = self.log_store(table, &Folder::default())?;
        let store = log_store.object_store(None);
        let objects = store.list(None).map_ok(|object| object.location);
        let paths: Vec<Path> = objects.try_collect().await?;
        let is_log = |path: &Path| matches!(Part::of(path), Part::Log);
        let (log, rest): (Vec<_>, Vec<_>) = paths.into_iter().partition(is_log);
        delete(&store, rest).await?;
        delete(&store, log).await?;
        delete_empty_folders(&log_store);
        Ok(())
    }
}

/// What an object in a table's folder is part of.
enum Part {
    /// The table's log.
    Log,
    /// What is staged or set aside for any generation. Its names may come again.
    Waiting,
    /// The lease of a log. Its name comes again.
    Lease,
    /// Data, ledgers and lookups, and the logs of generations. Names of the dropped table's are never those of another one's.
    Rest,
}

impl Part {
    fn of(path: &Path) -> Self {
        let in_generation = usize::from(Folder::first_version(path).is_some()) * 2;
        let parts: Vec<_> = path.parts().collect();
        match parts.get(in_generation).map(|part| part.as_ref()) {
            Some(delta_log::FOLDER) if in_generation == 0 => Self::Log,
            Some(staging::FOLDER | set_aside::FOLDER) => Self::Waiting,
            Some(lease::NAME) => Self::Lease,
            _ => Self::Rest,
        }
    }
}

/// Writes a checkpoint of a last version, unless there is one of it or of a later version.
async fn checkpoint(store: &Arc<dyn ObjectStore>, last: &Version) -> Result<(), TableError> {
    let folder = Path::from(delta_log::FOLDER);
    let log: Vec<ObjectMeta> = store.list(Some(&folder)).try_collect().await?;
    let is_later = |object: &ObjectMeta| {
        let path = &object.location;
        is_checkpoint(path) && number_of(path).is_some_and(|number| number >= last.number)
    };
    if log.iter().any(is_later) {
        return Ok(());
    }
    let mut delta = DeltaTable::new(last.delta.log_store());
    delta.load_version(last.number).await?;
    Ok(create_checkpoint(&delta, None).await?)
}

/// Whether these few objects are all that stays of a dropped table's log.
pub(super) async fn is_left_of_dropped(
    store: &Arc<dyn ObjectStore>,
    objects: Vec<ObjectMeta>,
) -> Result<bool, TableError> {
    let versions = objects.into_iter().map(|object| object.location);
    let versions: Vec<Path> = versions.filter(checked_log::is_version).collect();
    let [version] = versions.as_slice() else {
        return Ok(false);
    };
    let text = store.get(version).await?.bytes().await?;
    let mut actions = text
        .split(|&byte| byte == b'\n')
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    Ok(actions.any(|action| action["metaData"]["configuration"][DROPPED_PROPERTY].is_string()))
}

/// Deletes the empty folders that are left where objects were deleted on a disk.
fn delete_empty_folders(log_store: &deltalake_core::logstore::LogStoreRef) {
    let Some(folder) = folder(log_store.root_url()) else {
        return;
    };
    for entry in WalkDir::new(folder)
        .contents_first(true)
        .into_iter()
        .flatten()
    {
        if entry.file_type().is_dir() {
            // Fails if it is not empty, which is meant.
            let _ = std::fs::remove_dir(entry.path());
        }
    }
}
