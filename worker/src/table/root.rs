//! The place that tables are in: a folder, or a prefix of an S3 bucket.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use datafusion::error::DataFusionError;
use deltalake_core::kernel::transaction::CommitProperties;
use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::SaveMode;
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStore;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use url::Url;

use super::checked_log::CheckedLog;
use super::definition::DATE_COLUMN;
use super::delta_log::Log;
use super::durable_folder::{self, DurableFolder};
use super::env::{Env, SystemEnv};
use super::retrying::Retrying;
use super::{
    Definition, FORMAT, FORMAT_PROPERTY, Notes, SQL_PROPERTY, Table, TableError, Version, Waiting,
    lease, merging, s3,
};

/// Folders that are looked into at once: enough to hide a store's latency.
const LISTED_AT_ONCE: usize = 16;

/// The place that tables are in, each in a folder of its own.
#[derive(Debug, Clone)]
pub struct Root {
    url: Url,
    /// Of the whole disk or bucket: Delta's log names a table by its place in it.
    store: Arc<dyn ObjectStore>,
    env: Arc<dyn Env>,
}

impl Root {
    /// The place at a path or an `s3://` URL; a folder is created if there is none.
    pub async fn create(place: &str) -> Result<Self, TableError> {
        if !is_s3(place) {
            durable_folder::create_folder(FilePath::new(place)).map_err(|error| {
                let advice = durable_folder::advice(error.kind());
                root_error(place, format!("{error}{advice}"))
            })?;
        }
        Self::open(place).await
    }

    /// The place at a path, which exists, or an `s3://` URL.
    pub async fn open(place: &str) -> Result<Self, TableError> {
        let env: Arc<dyn Env> = Arc::new(SystemEnv);
        let (url, store): (Url, Arc<dyn ObjectStore>) = match is_s3(place) {
            true => {
                if place.contains(['?', '#', '%', ' ']) {
                    return Err(root_error(
                        place,
                        "a place for tables has none of ? # % and blanks",
                    ));
                }
                let url = Url::parse(&format!("{}/", place.trim_end_matches('/')))
                    .map_err(|error| root_error(place, error))?;
                let bucket = url
                    .host_str()
                    .ok_or_else(|| root_error(place, "it names no bucket"))?;
                let store = s3::bucket(bucket, url.path().trim_start_matches('/')).await;
                let store = store.map_err(|error| root_error(place, format!("{error:#}")))?;
                let parts: Arc<dyn MultipartStore> = Arc::clone(&store) as _;
                let store = Retrying::new(store, Some(parts), Arc::clone(&env));
                (url, Arc::new(store))
            }
            false => {
                let folder = folder(place)?;
                let url = Url::from_directory_path(&folder)
                    .map_err(|()| root_error(place, "it has no absolute path"))?;
                (url, Arc::new(DurableFolder::new(&folder)))
            }
        };
        Ok(Self::in_env(url, store, env))
    }

    /// A place in a store of one's own. `url`, which ends with a slash, says where in the store.
    pub fn in_store(url: Url, store: Arc<dyn ObjectStore>) -> Self {
        Self::in_env(url, store, Arc::new(SystemEnv))
    }

    /// The same, in an environment of its own.
    pub(super) fn in_env(url: Url, store: Arc<dyn ObjectStore>, env: Arc<dyn Env>) -> Self {
        let store = Arc::new(CheckedLog::new(store));
        Self { url, store, env }
    }

    /// Where it is, as a URL that ends with a slash.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The store of the tables, each in the folder of its name.
    pub(crate) fn store(&self) -> Result<Arc<dyn ObjectStore>, TableError> {
        let whole = Arc::clone(&self.store);
        Ok(Arc::new(PrefixStore::new(whole, self.prefix()?)))
    }

    fn prefix(&self) -> Result<Path, TableError> {
        Path::from_url_path(self.url.path()).map_err(|error| root_error(self.url.as_str(), error))
    }

    /// The names of the tables that are here. They are not opened: some of them may not be readable.
    pub async fn tables(&self) -> Result<Vec<String>, TableError> {
        let listed = self
            .store
            .list_with_delimiter(Some(&self.prefix()?))
            .await?;
        let names = futures::stream::iter(listed.common_prefixes)
            .map(async |folder| {
                // What can't be listed may be a table. To read it says what is wrong, and fails no other.
                let has_log = self.has_log(&folder).await;
                let is_table = has_log.unwrap_or(true);
                folder.filename().filter(|_| is_table).map(str::to_owned)
            })
            .buffered(LISTED_AT_ONCE);
        let mut names: Vec<String> = names.filter_map(async |name| name).collect().await;
        names.sort();
        Ok(names)
    }

    /// Whether this is the folder of a table, instead of one with tables in it.
    pub async fn is_table(&self) -> Result<bool, TableError> {
        let prefix = self.prefix()?;
        self.has_log(&prefix).await
    }

    async fn has_log(&self, folder: &Path) -> Result<bool, TableError> {
        let log = folder.clone().join("_delta_log");
        Ok(self.store.list(Some(&log)).try_next().await?.is_some())
    }

    /// Opens a table for reading.
    pub async fn read(&self, name: &str) -> Result<Version, TableError> {
        let log_store = self.log_store(name)?;
        Version::read(name, &log_store, &*self.env).await
    }

    /// The notes of what is set aside for a table, which need not be there.
    ///
    /// # Errors
    ///
    /// This is no place for tables.
    pub fn notes(&self, table: &str) -> Result<Notes, TableError> {
        let store = self.log_store(table)?.object_store(None);
        Ok(Notes::new(store, Arc::clone(&self.env)))
    }

    /// What waits to be counted by a table, which need not be readable.
    ///
    /// # Errors
    ///
    /// It can't be listed.
    pub async fn waiting(&self, table: &str) -> Result<Waiting, TableError> {
        let store = self.log_store(table)?.object_store(None);
        Waiting::list(store, Arc::clone(&self.env)).await
    }

    /// Opens the table that a rollup makes, and creates it if there is none. Refused if there is one that is
    /// the result of other SQL.
    pub async fn open_or_create(&self, definition: &Arc<Definition>) -> Result<Table, TableError> {
        let log_store = self.log_store(&definition.name)?;
        if !log_store.is_delta_table_location().await? {
            create(definition, &log_store).await?;
        }
        let version = Version::read(&definition.name, &log_store, &*self.env).await?;
        version.see_same(definition, &log_store)?;
        self.table(definition).await
    }

    /// The table of this definition, unseen: rows can be staged for it whatever state it is in, and a commit sees whether they
    /// are its own.
    pub async fn table(&self, definition: &Arc<Definition>) -> Result<Table, TableError> {
        let (definition, log_store) = (Arc::clone(definition), self.log_store(&definition.name)?);
        let merge: Result<_, DataFusionError> = match definition.merges() {
            true => merging::Merge::plan(&definition)
                .await
                .map(|merge| Some(Arc::new(merge))),
            false => Ok(None),
        };
        Ok(Table {
            store: log_store.object_store(None),
            lease: lease::Kind::of(log_store.root_url()),
            env: Arc::clone(&self.env),
            merge: merge?,
            definition,
            log_store,
        })
    }

    pub(super) fn log_store(&self, table: &str) -> Result<LogStoreRef, TableError> {
        let url = self
            .url
            .join(&format!("{table}/"))
            .map_err(|error| root_error(self.url.as_str(), error))?;
        let prefix = self.prefix()?.join(table);
        let in_table = Arc::new(PrefixStore::new(Arc::clone(&self.store), prefix));
        let whole = Arc::clone(&self.store);
        Ok(default_logstore(
            in_table,
            whole,
            &url,
            &StorageConfig::default(),
        ))
    }
}

/// The log of a table without the objects of it that can be done without, if they are what is wrong.
pub(super) fn without(log_store: &LogStoreRef, log: &Log) -> Result<LogStoreRef, TableError> {
    let url = log_store.root_url();
    let prefix =
        Path::from_url_path(url.path()).map_err(|error| root_error(url.as_str(), error))?;
    let hidden = log
        .dispensable()
        .map(|path| prefix.parts().chain(path.parts()).collect());
    let whole = CheckedLog::without(log_store.root_object_store(None), hidden.collect());
    let whole: Arc<dyn ObjectStore> = Arc::new(whole);
    let in_table = Arc::new(PrefixStore::new(Arc::clone(&whole), prefix));
    Ok(default_logstore(
        in_table,
        whole,
        url,
        &StorageConfig::default(),
    ))
}

/// Whether a place is given as one on S3.
fn is_s3(place: &str) -> bool {
    place.starts_with("s3://")
}

fn folder(place: &str) -> Result<PathBuf, TableError> {
    let path = std::fs::canonicalize(place).map_err(|error| root_error(place, error))?;
    match path.is_dir() {
        true => Ok(path),
        false => Err(root_error(place, "it is a file")),
    }
}

fn root_error(place: &str, reason: impl ToString) -> TableError {
    TableError::Root {
        place: place.to_owned(),
        reason: reason.to_string(),
    }
}

/// Writes the table's first version. Another process may do the same at the same moment: one of them does it.
async fn create(definition: &Definition, log_store: &LogStoreRef) -> Result<(), TableError> {
    let properties = [
        (SQL_PROPERTY.to_owned(), Some(definition.sql.clone())),
        (FORMAT_PROPERTY.to_owned(), Some(FORMAT.to_string())),
    ];
    let created = CreateBuilder::new()
        .with_log_store(Arc::clone(log_store))
        .with_table_name(&definition.name)
        .with_columns(definition.delta_fields())
        .with_partition_columns([DATE_COLUMN])
        .with_configuration(properties)
        // The properties are logmill's own.
        .with_raise_if_key_not_exists(false)
        .with_save_mode(SaveMode::Ignore)
        .with_commit_properties(CommitProperties::default().with_max_retries(0))
        .await;
    match created {
        Ok(_) => Ok(()),
        Err(_) if log_store.is_delta_table_location().await? => Ok(()),
        Err(error) => Err(error.into()),
    }
}
