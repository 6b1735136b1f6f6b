//! Dropping and renaming tables. The objects of a dropped table are deleted, the log last. A renamed table is a copy, which counts what the
//! old one has counted until that one ends.

use std::sync::Arc;

use deltalake_core::kernel::Action;
use futures::TryStreamExt;
use object_store::path::Path;

use super::data_writer::remove;
use super::delta_log::Operation;
use super::generations::with_properties;
use super::root::create;
use super::{
    BASE_FORMAT, Definition, FORMAT, FORMAT_PROPERTY, Folder, Keeping, Root, Table, TableError,
    Version, delete, folder, milliseconds,
};

/// The property of a table that is being dropped: when that began, in milliseconds since 1970.
pub(super) const DROPPED_PROPERTY: &str = "logmill.dropped";

/// The property of a table that is becoming the copy of another one, which a person renames: that one's name.
pub(super) const RENAMED_PROPERTY: &str = "logmill.renamed_from";

/// The folder of a table's log.
const LOG: &str = "_delta_log";

impl Table {
    /// Writes a last version, without any rows. Nobody commits to the table from then on. `version` must be the latest one: otherwise
    /// nothing is written.
    ///
    /// # Errors
    ///
    /// It is unknown whether the version was written; or another process has written a version in the meantime.
    pub async fn write_last_version(&self, version: &Version) -> Result<(), TableError> {
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
}

impl Version {
    /// The table that this one is becoming the copy of.
    pub fn renamed_from(&self) -> Option<&str> {
        self.renamed_from.as_deref()
    }
}

impl Table {
    /// Says that the renaming to this table is complete.
    ///
    /// # Errors
    ///
    /// The table can't be read or written.
    pub async fn end_renaming(&self) -> Result<(), TableError> {
        let complete = |version: &Version| {
            let is_renamed = version.renamed_from.is_some();
            Ok(is_renamed.then(|| vec![(RENAMED_PROPERTY, None)]))
        };
        self.set_properties(complete).await
    }
}

impl Root {
    /// Begins to rename a table: creates the table of this definition, which has the new name, with the rows and the ledger of a version of
    /// the old one. It can be repeated. A new table that log files have been counted for is left as it is.
    ///
    /// # Errors
    ///
    /// Objects can't be read or written.
    pub async fn begin_renaming(
        &self,
        old: &str,
        version: &Version,
        definition: &Arc<Definition>,
    ) -> Result<Table, TableError> {
        let folder = Folder::default();
        let log_store = self.log_store(&definition.name, &folder)?;
        let from = (RENAMED_PROPERTY.to_owned(), Some(old.to_owned()));
        create(definition, &log_store, BASE_FORMAT, [from]).await?;
        let new = self.table(definition).await?;
        if new.version().await?.number() == 0 {
            let keeping = Keeping::everything(version).await?;
            let place = Path::from(definition.name.as_str());
            self.take_over(old, version, keeping, &new, &place).await?;
        }
        Ok(new)
    }

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

    /// Deletes a table's objects, whatever they are. The log is deleted last, so that an interrupted deletion can be repeated.
    ///
    /// # Errors
    ///
    /// The objects can't be listed or deleted.
    pub async fn delete_table(&self, table: &str) -> Result<(), TableError> {
        let log_store = self.log_store(table, &Folder::default())?;
        let store = log_store.object_store(None);
        let paths: Vec<Path> = store
            .list(None)
            .map_ok(|object| object.location)
            .try_collect()
            .await?;
        let is_log = |path: &Path| path.parts().next().is_some_and(|part| part.as_ref() == LOG);
        let (log, rest): (Vec<_>, Vec<_>) = paths.into_iter().partition(is_log);
        delete(&store, rest).await?;
        delete(&store, log).await?;
        if let Some(folder) = folder(log_store.root_url()) {
            // What is left are empty folders.
            match std::fs::remove_dir_all(&folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(TableError::Root {
                        place: folder.display().to_string(),
                        reason: error.to_string(),
                    });
                }
                _ => {}
            }
        }
        Ok(())
    }
}
