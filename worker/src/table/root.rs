//! The location of tables: a folder, or a prefix of an S3 bucket.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use datafusion::error::DataFusionError;
use deltalake_core::DeltaTableError;
use deltalake_core::kernel::transaction::CommitProperties;
use deltalake_core::logstore::{LogStoreRef, StorageConfig, default_logstore};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::SaveMode;
use futures::{StreamExt, TryStreamExt};
use logmill_object_io::{DurableFolder, Env, RetryingStore, SystemEnv, durable_folder};
use logmill_shared::S3Uri;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectMeta, ObjectStore};
use url::Url;

use super::checked_log::CheckedLog;
use super::definition::DATE_COLUMN;
use super::delta_log::Log;
use super::dropping::{LEFT_OF_DROPPED, is_left_of_dropped};
use super::guards::Guards;
use super::{
    BASE_FORMAT, Definition, ERASED_PROPERTY, FORMAT_PROPERTY, Folder, LOOKUPS_PROPERTY,
    LookupFile, Notes, SQL_PROPERTY, Table, TableError, Version, WaitingAnywhere, delta_log, lease,
    lookup_file, merging,
};
use crate::aws;

/// Folders inspected concurrently: enough to hide the store's latency.
const LISTED_AT_ONCE: usize = 16;

/// Tables opened or read concurrently. While the log of one is read, a blocking thread waits for others. Tokio has 512: with more tables,
/// all of them would wait for each other.
const TABLES_AT_ONCE: usize = 64;

/// The results of work on tables, in the same order.
pub(crate) async fn of_tables<T>(
    work: impl IntoIterator<Item = impl Future<Output = T>>,
) -> Vec<T> {
    let work = futures::stream::iter(work);
    work.buffered(TABLES_AT_ONCE).collect().await
}

/// The location of tables, each in its own folder.
#[derive(Debug, Clone)]
pub struct Root {
    url: Url,
    /// Covers the whole disk or bucket: Delta's log identifies a table by its path there.
    store: Arc<dyn ObjectStore>,
    env: Arc<dyn Env>,
}

impl Root {
    /// Opens the location at a path or an `s3://` URL. Creates the folder if it does not exist.
    pub async fn create(place: &str) -> Result<Self, TableError> {
        if let Ok(None) = S3Uri::parse(place)
            && !FilePath::new(place).exists()
        {
            durable_folder::create_folder(FilePath::new(place)).map_err(|error| {
                let advice = durable_folder::advice(error.kind());
                root_error(place, format!("{error}{advice}"))
            })?;
        }
        Self::open(place).await
    }

    /// Opens the location at an existing path or an `s3://` URL.
    pub async fn open(place: &str) -> Result<Self, TableError> {
        let env: Arc<dyn Env> = Arc::new(SystemEnv);
        let uri = S3Uri::parse(place).map_err(|error| root_error(place, error))?;
        let (url, store): (Url, Arc<dyn ObjectStore>) = match uri {
            Some(uri) => {
                if place.contains(['?', '#', '%', ' ']) {
                    return Err(root_error(
                        place,
                        "the URL must not contain ?, #, % or spaces",
                    ));
                }
                let url = Url::parse(&format!("{}/", place.trim_end_matches('/')))
                    .map_err(|error| root_error(place, error))?;
                let store = aws::object_store(uri.bucket, url.path().trim_start_matches('/')).await;
                let store = store.map_err(|error| root_error(place, format!("{error:#}")))?;
                let parts: Arc<dyn MultipartStore> = Arc::clone(&store) as _;
                let store = RetryingStore::new(store, Some(parts), Arc::clone(&env));
                (url, Arc::new(store))
            }
            None => {
                let folder = folder(place)?;
                let url = Url::from_directory_path(&folder)
                    .map_err(|()| root_error(place, "the path is not absolute"))?;
                (url, Arc::new(DurableFolder::new(&folder)))
            }
        };
        Ok(Self::in_env(url, store, env))
    }

    /// A location in the given store. `url` ends with a slash; its path is the path in the store.
    pub fn in_store(url: Url, store: Arc<dyn ObjectStore>) -> Self {
        Self::in_env(url, store, Arc::new(SystemEnv))
    }

    /// The same with a given environment.
    pub(super) fn in_env(url: Url, store: Arc<dyn ObjectStore>, env: Arc<dyn Env>) -> Self {
        let store = Arc::new(CheckedLog::new(store));
        Self { url, store, env }
    }

    /// Its URL, which ends with a slash.
    pub fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn env(&self) -> &Arc<dyn Env> {
        &self.env
    }

    /// The store of the tables. Each table is in the folder of its name.
    pub(crate) fn store(&self) -> Result<Arc<dyn ObjectStore>, TableError> {
        let whole = Arc::clone(&self.store);
        Ok(Arc::new(PrefixStore::new(whole, self.prefix()?)))
    }

    fn prefix(&self) -> Result<Path, TableError> {
        Path::from_url_path(self.url.path()).map_err(|error| root_error(self.url.as_str(), error))
    }

    /// The names of the tables. Tables are not opened, because some may be unreadable. A folder whose name begins with `_` is not a
    /// table: workers write there what they do.
    pub async fn tables(&self) -> Result<Vec<String>, TableError> {
        let listed = self
            .store
            .list_with_delimiter(Some(&self.prefix()?))
            .await?;
        let is_ours = |folder: &Path| folder.filename().is_some_and(|name| name.starts_with('_'));
        let folders = listed.common_prefixes.into_iter();
        let names = futures::stream::iter(folders.filter(|folder| !is_ours(folder)))
            .map(async |folder| {
                // A folder that can't be listed may be a table. Reading it reports the error, and does not affect other
                // tables.
                let has_table = self.has_table(&folder).await;
                let is_table = has_table.unwrap_or(true);
                folder.filename().filter(|_| is_table).map(str::to_owned)
            })
            .buffered(LISTED_AT_ONCE);
        let mut names: Vec<String> = names.filter_map(async |name| name).collect().await;
        names.sort();
        Ok(names)
    }

    /// Whether this is the folder of a table, rather than one that contains tables.
    pub async fn is_table(&self) -> Result<bool, TableError> {
        let prefix = self.prefix()?;
        self.has_log(&prefix).await
    }

    async fn has_log(&self, folder: &Path) -> Result<bool, TableError> {
        let log = folder.clone().join(delta_log::FOLDER);
        Ok(self.store.list(Some(&log)).try_next().await?.is_some())
    }

    /// Whether this is the folder of a table that was not dropped, or whose deletion was interrupted.
    async fn has_table(&self, folder: &Path) -> Result<bool, TableError> {
        let log = folder.clone().join(delta_log::FOLDER);
        let objects = self.store.list(Some(&log)).take(LEFT_OF_DROPPED + 1);
        let objects: Vec<ObjectMeta> = objects.try_collect().await?;
        let is_empty = objects.is_empty();
        match objects.len() > LEFT_OF_DROPPED {
            true => Ok(true),
            false => Ok(!is_empty && !is_left_of_dropped(&self.store, objects).await?),
        }
    }

    /// Opens a table for reading.
    pub async fn read(&self, name: &str) -> Result<Version, TableError> {
        let log_store = self.log_store(name, &Folder::default())?;
        Version::read(name, &log_store, &*self.env).await
    }

    /// The notes of log files that are set aside for any generation of a table. The table need not exist, nor be readable. New notes
    /// are written to the table's own folder: if another generation is live, they are strays, which are staged anew.
    ///
    /// # Errors
    ///
    /// The location can't hold tables, or can't be listed.
    pub async fn notes(&self, table: &str) -> Result<Notes, TableError> {
        let store = self
            .log_store(table, &Folder::default())?
            .object_store(None);
        let folders = Folder::list(&store).await?;
        let folders = folders
            .iter()
            .map(|folder| folder.store(Arc::clone(&store)));
        let env = Arc::clone(&self.env);
        Ok(Notes::of_folders(folders.collect(), env, Guards::default()))
    }

    /// Lists what waits to be counted by the generations of a table. The table need not be readable.
    ///
    /// # Errors
    ///
    /// The table's objects can't be listed.
    pub async fn waiting(&self, table: &str) -> Result<WaitingAnywhere, TableError> {
        let store = self
            .log_store(table, &Folder::default())?
            .object_store(None);
        WaitingAnywhere::list(&store, &self.env).await
    }

    /// Opens the table of a rollup, and creates it if it does not exist. Fails if the existing table is the result of other
    /// SQL. Also returns its version.
    pub async fn open_or_create(
        &self,
        definition: &Arc<Definition>,
    ) -> Result<(Table, Version), TableError> {
        let log_store = self.log_store(&definition.name, &Folder::default())?;
        let version = self.read_or_create(definition, []).await?;
        version.check_sql(definition, &log_store)?;
        let table = self.table_at(definition, &version).await?;
        Ok((table, version))
    }

    /// Reads a table. Creates it if there is none, or if it was dropped; with more properties.
    pub(super) async fn read_or_create(
        &self,
        definition: &Arc<Definition>,
        more: impl IntoIterator<Item = (String, Option<String>)> + Clone,
    ) -> Result<Version, TableError> {
        let (name, env) = (&definition.name, &*self.env);
        let log_store = self.log_store(name, &Folder::default())?;
        if !log_store.is_delta_table_location().await? {
            create(definition, &log_store, BASE_FORMAT, more.clone()).await?;
            say_new(name);
        }
        let last = Version::read_even_last(name, &log_store, env).await?;
        if !last.is_dropped {
            return Ok(last);
        }
        let folder = last.folder_anew(env, Guards::default());
        let opened = self.opened(definition, Arc::clone(&log_store), folder, None);
        match opened.await?.make_anew(&last, more).await {
            // Another process has made it anew.
            Err(error) if !error.is_lost_race() => Err(error),
            _ => {
                say_new(name);
                Version::read(name, &log_store, env).await
            }
        }
    }

    /// The live generation of a table, which is the result of this definition.
    ///
    /// # Errors
    ///
    /// The location can't hold tables.
    pub async fn table_at(
        &self,
        definition: &Arc<Definition>,
        version: &Version,
    ) -> Result<Table, TableError> {
        let log_store = self.log_store(&definition.name, &Folder::default())?;
        let folder = version.folder.clone();
        self.opened(definition, log_store, folder, None).await
    }

    /// The table of this definition, without reading it. Rows can be staged for it whatever state it is in, and a commit
    /// checks that they belong to it. They go to the folder of the first generation. If another one is live, they are strays, which are
    /// staged anew.
    pub async fn table(&self, definition: &Arc<Definition>) -> Result<Table, TableError> {
        let folder = Folder::default();
        let log_store = self.log_store(&definition.name, &folder)?;
        self.opened(definition, log_store, folder, None).await
    }

    pub(super) async fn opened(
        &self,
        definition: &Arc<Definition>,
        log_store: LogStoreRef,
        folder: Folder,
        next_of: Option<LogStoreRef>,
    ) -> Result<Table, TableError> {
        let definition = Arc::clone(definition);
        let merge: Result<_, DataFusionError> = match definition.merges() {
            true => merging::Merge::plan(&definition)
                .await
                .map(|merge| Some(Arc::new(merge))),
            false => Ok(None),
        };
        let (store, env) = (log_store.object_store(None), Arc::clone(&self.env));
        Ok(Table {
            lease: lease::of(log_store.root_url(), Arc::clone(&store), Arc::clone(&env)),
            store: folder.store(store),
            folder,
            next_of,
            env,
            guards: Guards::default(),
            merge: merge?,
            definition,
            log_store,
        })
    }

    /// The log in the folder of a table, or in one of its generations.
    pub(super) fn log_store(
        &self,
        table: &str,
        folder: &Folder,
    ) -> Result<LogStoreRef, TableError> {
        let in_table = folder.path();
        let parts = in_table.parts();
        let url = self
            .url
            .join(&format!("{table}/"))
            .and_then(|url| match in_table.as_ref() {
                "" => Ok(url),
                folder => url.join(&format!("{folder}/")),
            })
            .map_err(|error| root_error(self.url.as_str(), error))?;
        let prefix = parts.fold(self.prefix()?.join(table), Path::join);
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

/// The log store of a table, without the dispensable objects of its log, in case they are damaged.
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

fn folder(place: &str) -> Result<PathBuf, TableError> {
    let path = std::fs::canonicalize(place).map_err(|error| root_error(place, error))?;
    match path.is_dir() {
        true => Ok(path),
        false => Err(root_error(place, "it is a file, not a folder")),
    }
}

fn root_error(place: &str, reason: impl ToString) -> TableError {
    TableError::Root {
        place: place.to_owned(),
        reason: reason.to_string(),
    }
}

/// Writes the table's first version. If another process does so at the same time, only one of them writes it.
pub(super) async fn create(
    definition: &Definition,
    log_store: &LogStoreRef,
    format: u32,
    more: impl IntoIterator<Item = (String, Option<String>)>,
) -> Result<(), TableError> {
    // Before the version that names them: a version's files exist.
    lookup_file::write(&*log_store.object_store(None), &definition.lookups).await?;
    let mut properties = properties(definition, format);
    properties.extend(more);
    let created = CreateBuilder::new()
        .with_log_store(Arc::clone(log_store))
        .with_table_name(&definition.name)
        .with_columns(definition.delta_fields())
        .with_partition_columns([DATE_COLUMN])
        .with_configuration(properties)
        // Delta does not know logmill's properties.
        .with_raise_if_key_not_exists(false)
        .with_save_mode(SaveMode::Ignore)
        .with_commit_properties(CommitProperties::default().with_max_retries(0))
        .await;
    match created {
        Ok(_) => Ok(()),
        Err(_) if log_store.is_delta_table_location().await? => Ok(()),
        // The store said that the version exists, and it does not: so another request to write it was under way.
        Err(DeltaTableError::InvalidVersion(_)) => Err(TableError::Unknown(
            "another request was writing the table's first version".to_owned(),
        )),
        Err(error) => Err(error.into()),
    }
}

/// Says what a new table lacks.
fn say_new(table: &str) {
    tracing::info!(
        table,
        "the table is new: it counts log files that arrive from now on; `logmill replay --missing` counts earlier ones"
    );
}

/// The properties of a new table.
pub(super) fn properties(definition: &Definition, format: u32) -> Vec<(String, Option<String>)> {
    let mut properties = vec![
        (SQL_PROPERTY.to_owned(), Some(definition.sql.clone())),
        (FORMAT_PROPERTY.to_owned(), Some(format.to_string())),
    ];
    if !definition.erased.is_empty() {
        let erased = serde_json::json!(definition.erased).to_string();
        properties.push((ERASED_PROPERTY.to_owned(), Some(erased)));
    }
    if !definition.lookups.is_empty() {
        let hashes = serde_json::json!(LookupFile::hashes(&definition.lookups));
        properties.push((LOOKUPS_PROPERTY.to_owned(), Some(hashes.to_string())));
    }
    properties
}
