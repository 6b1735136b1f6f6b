//! Renaming tables. A renamed table is a copy, which counts what the old one has counted until that one ends.
//!
//! ARCHITECTURE.md, "Dropping and renaming", has the protocol.

use std::sync::Arc;

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode};

use super::generations::within;
use super::guards::Guard;
use super::{
    Definition, Folder, Keeping, Root, Table, TableError, Version, delete, set_aside, staging,
};

/// The property of a table that is becoming the copy of another one, which a person renames: that one's name.
pub(super) const RENAMED_PROPERTY: &str = "logmill.renamed_from";

/// Races that the end of a renamed table may lose against commits to it.
const ROUNDS: usize = 20;

/// What a renaming has to do.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a command makes one of it, and takes it apart at once"
)]
pub enum Renaming {
    /// Another table has the new name; or the renaming was complete.
    Taken,
    /// The table of this version is copied.
    Begins(Version),
    /// It was begun: the version of the old table, unless it has ended; and the copy's.
    GoesOn(Option<Version>, Version),
}

/// Whether a renamed table has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It has.
    Yes,
    /// The copy lacks log files that can't be counted.
    Lacks,
    /// Log files were counted faster than the copy could follow.
    Outrun,
}

impl Version {
    /// The table that this one is becoming the copy of.
    pub fn renamed_from(&self) -> Option<&str> {
        self.renamed_from.as_deref()
    }

    /// Whether the table has neither rows nor a ledger.
    pub(crate) fn is_untouched(&self) -> bool {
        self.files.is_empty() && self.ledger.shards().next().is_none()
    }
}

impl Table {
    /// Writes the last version, following one in which `copy` has all that this table has counted. `fill` counts for the copy what it
    /// lacks, and returns whether it has all of it. Returns whether the table has ended.
    ///
    /// # Errors
    ///
    /// Filling has failed, or a table can't be read or written.
    pub(crate) async fn end_when_equal<E: From<TableError>>(
        &self,
        mut fill: impl AsyncFnMut() -> Result<bool, E>,
    ) -> Result<Ended, E> {
        for _ in 0..ROUNDS {
            // Read first: the last version follows this one, or is not written.
            let mut version = match self.version().await {
                Err(TableError::Dropped { .. }) => return Ok(Ended::Yes),
                read => read?,
            };
            if !fill().await? {
                return Ok(Ended::Lacks);
            }
            if !self.guards.is_on(Guard::LastFollows) {
                version = self.version().await?;
            }
            match self.write_last_version(&version).await {
                Ok(()) => return Ok(Ended::Yes),
                // It is unknown whether the version was written.
                Err(error) if error.is_transient() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Ended::Outrun)
    }

    /// Says that the renaming to this table is complete.
    ///
    /// # Errors
    ///
    /// The table can't be read or written.
    async fn end_renaming(&self) -> Result<(), TableError> {
        let complete = |version: &Version| {
            let is_renamed = version.renamed_from.is_some();
            Ok(is_renamed.then(|| vec![(RENAMED_PROPERTY, None)]))
        };
        self.set_properties(complete).await
    }
}

impl Root {
    /// What a renaming has to do, after whatever an interrupted one has done.
    ///
    /// # Errors
    ///
    /// There is no table `old`, or a table can't be read.
    pub async fn renaming(&self, old: &str, new: &str) -> Result<Renaming, TableError> {
        let there = self.tables().await?;
        let is_there = |name: &str| there.iter().any(|table| table == name);
        let copy = match is_there(new) {
            true => Some(self.read(new).await?),
            false => None,
        };
        match copy {
            None => Ok(Renaming::Begins(self.read(old).await?)),
            Some(copy) if copy.renamed_from() != Some(old) => Ok(Renaming::Taken),
            Some(copy) => match self.read(old).await {
                Ok(version) => Ok(Renaming::GoesOn(Some(version), copy)),
                // The old table has ended.
                Err(TableError::Dropped { .. }) => Ok(Renaming::GoesOn(None, copy)),
                Err(_) if !is_there(old) => Ok(Renaming::GoesOn(None, copy)),
                Err(error) => Err(error),
            },
        }
    }

    /// Creates the table of this definition, which has the new name, if it does not exist.
    pub(super) async fn create_copy(
        &self,
        old: &str,
        definition: &Arc<Definition>,
    ) -> Result<Version, TableError> {
        let from = (RENAMED_PROPERTY.to_owned(), Some(old.to_owned()));
        self.read_or_create(definition, [from]).await
    }

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
        let created = self.create_copy(old, definition).await?;
        let new = self.table_at(definition, &created).await?;
        self.copy_to(old, version, &new).await?;
        Ok(new)
    }

    /// Ends a renaming, after the old table has ended.
    ///
    /// # Errors
    ///
    /// Objects can't be read, written or deleted.
    pub async fn finish_renaming(&self, old: &str, new: &Table) -> Result<(), TableError> {
        let is_there = self.tables().await?.iter().any(|table| table == old);
        if is_there || self.has_left_of_dropped(old).await? {
            if new.guards.is_on(Guard::Moved) {
                self.move_waiting(old, new).await?;
            }
            let with_waiting = !new.guards.is_on(Guard::Moved);
            self.delete_dropped_by(old, with_waiting, new.guards)
                .await?;
        }
        new.end_renaming().await
    }

    /// Copies the rows and the ledger of a version of the table `old` to a new table, unless that one has counted something.
    pub(super) async fn copy_to(
        &self,
        old: &str,
        version: &Version,
        new: &Table,
    ) -> Result<(), TableError> {
        let name = new.definition.name.as_str();
        let copy = async || {
            let created = new.version().await?;
            if !created.is_untouched() || version.is_untouched() {
                return Ok(());
            }
            let keeping = Keeping::everything(version).await?;
            let place = within(&Path::from(name), new.folder.path().as_ref());
            self.take_over(old, version, keeping, new, (&created, &place))
                .await
        };
        let mut races = new.races();
        loop {
            match copy().await {
                Ok(()) => return Ok(()),
                Err(error) => new.wait_after(error, &mut races).await?,
            }
        }
    }

    /// Moves what is staged or set aside for a table that was dropped, because it is renamed: to `new`, unless that one has it.
    ///
    /// # Errors
    ///
    /// Objects can't be listed, read or written.
    async fn move_waiting(&self, old: &str, new: &Table) -> Result<(), TableError> {
        let log_store = self.log_store(old, &Folder::default())?;
        let store = log_store.object_store(None);
        let mut waiting = Vec::new();
        for folder in Folder::list(&store).await? {
            for part in [staging::FOLDER, set_aside::FOLDER] {
                let in_folder = folder.store(Arc::clone(&store));
                let objects = in_folder.list(Some(&Path::from(part)));
                let paths = objects.map_ok(|object| object.location);
                let paths: Vec<Path> = paths.try_collect().await?;
                waiting.push((folder.clone(), in_folder, paths));
            }
        }
        // Read last: what was listed for a generation that is not named now can't be committed.
        let version = Version::read_even_last(old, &log_store, &**self.env()).await?;
        for (folder, in_folder, paths) in waiting {
            if !version.is_dropped && version.feeds(&folder) {
                continue;
            }
            for path in &paths {
                copy_if_absent(&in_folder, &new.store, path).await?;
            }
            delete(&in_folder, paths).await?;
        }
        Ok(())
    }
}

/// Copies an object to the same path of another store, if there is none.
async fn copy_if_absent(
    from: &Arc<dyn ObjectStore>,
    to: &Arc<dyn ObjectStore>,
    path: &Path,
) -> Result<(), TableError> {
    let bytes = match from.get(path).await {
        Ok(found) => found.bytes().await?,
        // Another process has moved it.
        Err(object_store::Error::NotFound { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let put = to.put_opts(path, bytes.clone().into(), PutMode::Create.into());
    match put.await {
        Ok(_) => return Ok(()),
        Err(object_store::Error::AlreadyExists { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    // S3 also says so if another request is under way.
    match to.head(path).await {
        Ok(_) => Ok(()),
        Err(object_store::Error::NotFound { .. }) => {
            to.put(path, bytes.into()).await?;
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}
