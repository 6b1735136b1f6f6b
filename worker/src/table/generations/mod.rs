//! Generations: a table's SQL changes without a moment at which a reader sees less than all of one or of the other.
//!
//! Each generation has a folder of its own, with data files, ledger, staged files, notes and lookups. The first has the table's own
//! folder. While a generation is the *next* one, it is an ordinary Delta table in its folder: staging, commits, compaction and
//! vacuum are the same code. The table's log says which generation is live, and which is next:
//!
//! ```text
//! events/_delta_log/…                                  the table that everybody reads
//!        date=2026-11-22/T10-….parquet                 the first generation
//!        _generations/41-9c2e61d0/_delta_log/…         another generation, as long as it was the next one
//!                                 date=2026-11-22/T10-….parquet
//!                                 _ledger/…, _staging/…
//! ```
//!
//! ARCHITECTURE.md, "Generations", has the protocol: how a person's command begins a generation, how workers feed both, and how
//! the [swap](Swap) makes the next one live in one version.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use deltalake_core::DeltaTableError;
use deltalake_core::kernel::{Action, Add, Metadata, MetadataExt};
use object_store::ObjectStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use serde::{Deserialize, Serialize};

use super::definition::DATE_COLUMN;
use super::delta_log::Operation;
use super::{
    DataFile, Definition, FORMAT, FORMAT_PROPERTY, Notes, Root, Table, TableError, Version,
    milliseconds, root,
};

mod dead;
mod kept;
mod strays;
mod swap;

pub use kept::{Anew, Keeping};
pub(super) use kept::{Kept, within};
pub use strays::Stray;
#[cfg(test)]
pub(super) use strays::strays_of;
pub use swap::Swap;

/// The folder of all generations but the first, in the table's folder.
pub(super) const GENERATIONS: &str = "_generations";

/// The property of a table with the folder of its live generation. Absent: the first.
pub(super) const FOLDER_PROPERTY: &str = "logmill.folder";

/// The property of a table with the folder of its next generation. Absent: it has none.
pub(super) const NEXT_PROPERTY: &str = "logmill.next";

/// The property of a table with the generations that a person may put back, as JSON.
pub(super) const EARLIER_PROPERTY: &str = "logmill.earlier";

/// The property of a next generation that a swap has sealed: the version of the table that makes it live.
pub(super) const SEALED_PROPERTY: &str = "logmill.sealed";

/// The property of a next generation with the hours that it takes over from the live one, as JSON.
pub(super) const KEPT_PROPERTY: &str = "logmill.kept";

/// How long an earlier generation can be put back.
const KEPT: Duration = Duration::from_hours(3 * 24);

/// How long after it was begun a generation may be named: vacuum deletes it after [`ORPHAN_GRACE`](super::vacuum::ORPHAN_GRACE).
const NAMED_WITHIN: Duration = Duration::from_hours(4 * 24);

/// Objects copied at once.
const COPIED_AT_ONCE: usize = 16;

/// The folder of a generation, relative to the table's folder: empty for the first one, or `_generations/<name>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Folder(String);

impl Folder {
    /// A folder that no generation has ever had.
    pub(super) fn new(version: u64, unique: u128) -> Self {
        Self(format!("{GENERATIONS}/{version}-{:08x}", unique as u32))
    }

    /// The version that may have named a generation first whose folder has an object of this path. `None`: the first generation.
    pub(super) fn first_version(path: &Path) -> Option<u64> {
        let name = path.as_ref().strip_prefix(GENERATIONS)?.strip_prefix('/')?;
        name.split_once('-')?.0.parse().ok()
    }

    pub(super) fn path(&self) -> Path {
        Path::from(self.0.as_str())
    }

    /// The path in the table's log of an object in this folder.
    pub(super) fn in_log(&self, path: &str) -> String {
        match self.0.is_empty() {
            true => path.to_owned(),
            false => format!("{}/{path}", self.0),
        }
    }

    /// The path in this folder of an object that the table's log names; `None` if it is in another folder.
    pub(super) fn of_log<'p>(&self, path: &'p str) -> Option<&'p str> {
        match self.0.is_empty() {
            true => (!path.starts_with(GENERATIONS)).then_some(path),
            false => path.strip_prefix(self.0.as_str())?.strip_prefix('/'),
        }
    }

    /// The folder, in the store of the table's folder.
    pub(super) fn store(&self, table: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        match self.0.is_empty() {
            true => table,
            false => Arc::new(PrefixStore::new(table, self.path())),
        }
    }

    /// The folders of all generations of a table, in the store of the table's folder.
    pub(super) async fn list(table: &Arc<dyn ObjectStore>) -> Result<Vec<Self>, TableError> {
        let found = table
            .list_with_delimiter(Some(&Path::from(GENERATIONS)))
            .await?;
        let folders = found.common_prefixes.into_iter();
        let folders = folders.map(|folder| Self(folder.to_string()));
        Ok([Self::default()].into_iter().chain(folders).collect())
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A generation that was live, and that a person may put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Earlier {
    folder: Folder,
    /// The last version of the table in which it was live.
    version: u64,
    /// Until when it can be put back, in milliseconds since 1970.
    until: i64,
}

/// What a table's log says about its generations, besides which one is live.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Generations {
    pub(super) next: Option<Folder>,
    /// The newest last.
    earlier: Vec<Earlier>,
    /// If this is the log of a next generation that a swap has sealed: the version of the table that makes it live.
    sealed: Option<u64>,
    /// If this is the log of a next generation: the hours that it has taken over.
    pub(super) kept: Option<Arc<Kept>>,
}

impl Generations {
    /// Reads the properties of a table: the folder of the live generation, and the rest.
    pub(super) fn of_properties(
        name: &str,
        properties: &HashMap<String, String>,
    ) -> Result<(Folder, Self), TableError> {
        let folder = |property: &str| properties.get(property).cloned().map(Folder);
        let invalid = |property: &str, error: &dyn fmt::Display| TableError::NotOurs {
            path: name.to_owned(),
            what: format!("the property {property} of the table is invalid: {error}"),
        };
        let earlier = match properties.get(EARLIER_PROPERTY) {
            Some(json) => {
                serde_json::from_str(json).map_err(|error| invalid(EARLIER_PROPERTY, &error))?
            }
            None => Vec::new(),
        };
        let sealed = properties.get(SEALED_PROPERTY).map(|number| number.parse());
        let sealed = sealed
            .transpose()
            .map_err(|error| invalid(SEALED_PROPERTY, &error))?;
        let kept = properties.get(KEPT_PROPERTY);
        let kept = kept.map(|json| serde_json::from_str(json)).transpose();
        let generations = Self {
            next: folder(NEXT_PROPERTY),
            earlier,
            sealed,
            kept: kept
                .map_err(|error| invalid(KEPT_PROPERTY, &error))?
                .map(Arc::new),
        };
        Ok((folder(FOLDER_PROPERTY).unwrap_or_default(), generations))
    }

    /// Whether a person may still put back the generation of this folder.
    pub(super) fn keeps(&self, folder: &Folder, now: SystemTime) -> bool {
        let kept = self.kept(now);
        kept.into_iter().any(|earlier| earlier.folder == *folder)
    }

    /// Whether the generation of this folder was live, and was replaced before this time.
    fn was_replaced_before(&self, folder: &Folder, time: SystemTime) -> bool {
        let (time, kept) = (milliseconds(time), KEPT.as_millis() as i64);
        let mut earlier = self.earlier.iter();
        earlier.any(|earlier| earlier.folder == *folder && earlier.until - kept < time)
    }

    fn kept(&self, now: SystemTime) -> Vec<&Earlier> {
        let now = milliseconds(now);
        let earlier = self.earlier.iter();
        earlier.filter(|earlier| earlier.until > now).collect()
    }

    /// Whether any earlier generation can be put back. The log must have its version.
    pub(super) fn keep_any(&self, now: SystemTime) -> bool {
        !self.kept(now).is_empty()
    }
}

/// A name for log lines, metrics and summaries.
pub(crate) fn label(table: &str, is_next: bool) -> String {
    match is_next {
        true => format!("{table} (next)"),
        false => table.to_owned(),
    }
}

impl Version {
    /// A name for the live generation.
    pub fn generation(&self) -> String {
        match self.folder == Folder::default() {
            true => "the first".to_owned(),
            false => self.folder.to_string(),
        }
    }

    /// The folder of the next generation, if the table has one.
    pub fn next(&self) -> Option<&Folder> {
        self.generations.next.as_ref()
    }

    /// Whether the generation of this folder is live.
    pub(super) fn is_live(&self, folder: &Folder) -> bool {
        self.folder == *folder
    }

    /// Whether log files are staged for the generation of this folder.
    pub(super) fn feeds(&self, folder: &Folder) -> bool {
        self.is_live(folder) || self.next() == Some(folder)
    }

    /// The properties of the table and its columns, as the next version may change them.
    pub(super) fn metadata(&self) -> Result<Metadata, TableError> {
        Ok(self.delta.snapshot()?.snapshot().metadata().clone())
    }
}

/// Sets properties of a table, or removes those that are `None`.
pub(super) fn with_properties(
    metadata: Metadata,
    properties: impl IntoIterator<Item = (&'static str, Option<String>)>,
) -> Result<Metadata, TableError> {
    let mut metadata = metadata;
    for (property, value) in properties {
        metadata = metadata
            .remove_config_key(property)
            .map_err(DeltaTableError::from)?;
        if let Some(value) = value {
            metadata = metadata
                .add_config_key(property.to_owned(), value)
                .map_err(DeltaTableError::from)?;
        }
    }
    Ok(metadata)
}

/// The action that adds a data file of another log to the table, with its path in the table's log.
fn add(path: String, file: &DataFile) -> Action {
    Action::Add(Add {
        path,
        partition_values: [(DATE_COLUMN.to_owned(), file.date.clone())].into(),
        size: file.bytes as i64,
        modification_time: file.modified,
        data_change: Operation::Swap.changes_data(),
        stats: file.statistics.clone(),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    })
}

impl Table {
    /// Fails if this is no longer a generation that log files are staged for.
    pub(super) async fn check_generation(&self, version: &Version) -> Result<(), TableError> {
        if version.folder != self.folder {
            return Err(self.swapped());
        }
        let (Some(table), Some(sealed)) = (&self.next_of, version.generations.sealed) else {
            return Ok(());
        };
        if !self.guards.is_on(super::guards::Guard::Seal) {
            return Ok(());
        }
        let live = Version::read(&self.definition.name, table, &*self.env).await?;
        if live.number() < sealed {
            return Err(TableError::Unknown(
                "the generation is being made the live one".to_owned(),
            ));
        }
        match self.is_next_of(&live) {
            true => Ok(()),
            false => Err(self.swapped()),
        }
    }

    fn swapped(&self) -> TableError {
        TableError::Swapped {
            name: self.definition.name.clone(),
        }
    }

    /// Whether a version of the table names this generation as the next one.
    pub(crate) fn is_next_of(&self, live: &Version) -> bool {
        live.next().is_some_and(|next| self.is_in(next))
    }

    /// Whether this is the generation that is live in a version of the table.
    pub(crate) fn is_live_in(&self, version: &Version) -> bool {
        !self.is_next() && self.folder == version.folder
    }

    /// Whether this is the next generation that was begun in a folder.
    fn is_in(&self, folder: &Folder) -> bool {
        let url = self.log_store.root_url().path().trim_end_matches('/');
        !folder.0.is_empty() && url.ends_with(&format!("/{folder}"))
    }

    /// Names a generation as the next one of this table, whatever was next before; or says that it has none. The generation's folder has a
    /// log.
    ///
    /// # Errors
    ///
    /// The table can't be read or written; or the generation was begun so long ago that it may have been deleted.
    async fn name_next(
        &self,
        folder: Option<&Folder>,
        begun: SystemTime,
    ) -> Result<(), TableError> {
        let change = |version: &Version| {
            if version.next() == folder {
                return Ok(None);
            }
            self.check_deadline(begun, NAMED_WITHIN)?;
            Ok(Some(vec![
                (NEXT_PROPERTY, folder.map(Folder::to_string)),
                (FORMAT_PROPERTY, Some(FORMAT.to_string())),
            ]))
        };
        self.set_properties(change).await
    }

    /// Drops the next generation. What was staged for it is staged anew, and its folder is deleted later.
    ///
    /// # Errors
    ///
    /// The table can't be read or written.
    pub async fn drop_next(&self) -> Result<(), TableError> {
        self.name_next(None, self.env.now()).await
    }

    /// Writes a version in which nothing changes. If a swap was interrupted after it had sealed the next generation, that one can be
    /// written to again: the version that would have made it live has been written now.
    ///
    /// # Errors
    ///
    /// The table can't be read or written.
    pub async fn void_seal(&self, next: &Table) -> Result<(), TableError> {
        let mut races = self.races();
        loop {
            let version = self.version().await?;
            let sealed = next.any_version().await?.generations.sealed;
            if sealed.is_none_or(|sealed| version.number() >= sealed) {
                return Ok(());
            }
            let same = vec![Action::Metadata(version.metadata()?)];
            let written = self.write_version(&version, Operation::SetProperties, same);
            if let Err(error) = written.await {
                self.wait_after(error, &mut races).await?;
            }
        }
    }
}

impl Root {
    /// Reads the next generation of a table.
    ///
    /// # Errors
    ///
    /// Its log can't be read.
    pub async fn read_next(&self, name: &str, folder: &Folder) -> Result<Version, TableError> {
        let log_store = self.log_store(name, folder)?;
        Version::read(name, &log_store, &**self.env()).await
    }

    /// The notes of log files that are set aside for the next generation of a table.
    ///
    /// # Errors
    ///
    /// The location can't hold tables.
    pub fn notes_of_next(&self, name: &str, folder: &Folder) -> Result<Notes, TableError> {
        let store = self.log_store(name, folder)?.object_store(None);
        let env = Arc::clone(self.env());
        Ok(Notes::new(store, env, super::guards::Guards::default()))
    }

    /// Opens the next generation of a table, without reading it.
    ///
    /// # Errors
    ///
    /// The location can't hold tables.
    pub async fn next_table(
        &self,
        definition: &Arc<Definition>,
        folder: &Folder,
    ) -> Result<Table, TableError> {
        let log_store = self.log_store(&definition.name, folder)?;
        let table = self.log_store(&definition.name, &Folder::default())?;
        let opened = self.opened(definition, log_store, Folder::default(), Some(table));
        opened.await
    }

    /// Begins a generation of a table, which is the result of this definition and has counted nothing. Whatever was next before is
    /// dropped.
    ///
    /// # Errors
    ///
    /// The table can't be read or written.
    pub async fn begin_next(
        &self,
        table: &Table,
        definition: &Arc<Definition>,
    ) -> Result<Table, TableError> {
        let begun = table.env.now();
        let (folder, next) = self.create_next(table, definition).await?;
        table.name_next(Some(&folder), begun).await?;
        Ok(next)
    }

    /// Creates a generation in a folder of its own. It is nobody's next yet.
    async fn create_next(
        &self,
        table: &Table,
        definition: &Arc<Definition>,
    ) -> Result<(Folder, Table), TableError> {
        let create = || async move {
            let version = table.version().await?;
            let folder = Folder::new(version.number() + 1, table.env.unique());
            let log_store = self.log_store(&definition.name, &folder)?;
            root::create(definition, &log_store, FORMAT, []).await?;
            let next = self.next_table(definition, &folder).await?;
            Ok((folder, next))
        };
        table.until_won(create).await
    }

    /// Reads the generation that was live before the present one, if it can still be put back.
    ///
    /// # Errors
    ///
    /// Its version can't be read.
    pub async fn read_earlier(&self, table: &str) -> Result<Option<Version>, TableError> {
        let log_store = self.log_store(table, &Folder::default())?;
        let version = Version::read(table, &log_store, &**self.env()).await?;
        let kept = version.generations.kept(self.env().now());
        match kept.last() {
            Some(earlier) => Version::at(table, &log_store, earlier.version)
                .await
                .map(Some),
            None => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_the_log_belong_to_one_folder() {
        let (first, second) = (Folder::default(), Folder::new(7, 0xab));
        assert_eq!(second.to_string(), "_generations/7-000000ab");
        let path = "date=2026-11-20/T10-x.parquet";
        for folder in [&first, &second] {
            assert_eq!(folder.of_log(&folder.in_log(path)), Some(path));
        }
        assert_eq!(first.of_log(&second.in_log(path)), None);
        assert_eq!(second.of_log(path), None);
        assert_eq!(second.of_log("_generations/7-000000abc/x"), None);
        let first_version = |path: String| Folder::first_version(&Path::from(path));
        assert_eq!(first_version(first.in_log(path)), None);
        assert_eq!(first_version(second.in_log(path)), Some(7));
    }
}
