//! Tables: Delta Lake tables with a ledger of the log files that they have counted.
//!
//! Everything that matters is in the table's folder, and what is under a name that begins with `_` readers
//! leave alone:
//!
//! ```text
//! events/_delta_log/…                        which files are the table, version by version
//!        date=2026-11-22/T10-….parquet       an hour's rows, sorted by group key
//!        _staging/2026-11-22T10/….parquet    a log file's rows, waiting to be committed
//!        _ledger/….parquet                   the log files that have been counted
//! ```

use std::collections::{HashMap, HashSet};
use std::path::Path as FilePath;
use std::sync::Arc;

use datafusion::error::DataFusionError;
use deltalake_core::kernel::transaction::CommitProperties;
use deltalake_core::logstore::LogStoreRef;
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::SaveMode;
use deltalake_core::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use futures::TryStreamExt;
use logmill_shared::{LogFile, LogFileId, Shard};
use object_store::ObjectStore;
use object_store::path::Path;
use parquet::errors::ParquetError;
use url::Url;

use crate::rollup::{DATE_COLUMN, canonical};

mod definition;
mod slot;
mod statistics;
mod parquet_file;
mod staging;
mod ledger;
mod merging;
mod commit;
mod rejected_lines;

pub use commit::Committed;
pub use definition::{Column, Definition};
pub use ledger::Entry;
pub(crate) use merging::conform;
pub(crate) use rejected_lines::RejectedLines;
pub(crate) use staging::StagingFile;

/// The property of a Delta table that holds the SQL which it is the result of.
const SQL_PROPERTY: &str = "logmill.sql";

/// What went wrong with a table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The place for tables is none.
    #[error("{place}: no place for tables: {reason}")]
    Root {
        /// As it was given.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A table of this name is the result of another rollup.
    #[error(
        "the table '{name}' at {url} is the result of other SQL:\n\n{stored}\n\n\
         A table is exactly what one SQL returns, so it can't go on with another. Give the new rollup a \
         name of its own (its file's name), or remove the table's folder to have it built anew from the logs."
    )]
    OtherSql {
        /// The table's name.
        name: String,
        /// Where it is.
        url: String,
        /// The SQL that it is the result of.
        stored: String,
    },
    /// A row's time is outside of what a partition can be named by.
    #[error(
        "a row of it is of the date {0}, and tables have the years 1 to 9999; \
         leave such times out in the rollup's WHERE"
    )]
    Date(String),
    /// Something in a table's folder that logmill has not written.
    #[error("{path}: {what}")]
    NotOurs {
        /// The file, under the table's folder.
        path: String,
        /// What it is not.
        what: String,
    },
    /// It can't be told whether a commit has landed, or another came before it. Commit again: what has landed
    /// will be found in the ledger.
    #[error("the commit's outcome is not known: {0}")]
    Unknown(String),
    /// A file can't be read or written.
    #[error("{path}")]
    Parquet {
        /// The file, under the table's folder.
        path: String,
        /// What went wrong with it.
        source: ParquetError,
    },
    /// The store refused.
    #[error("storage")]
    Store(#[from] object_store::Error),
    /// The table's log can't be read or written.
    #[error("the table's log")]
    Delta(#[from] DeltaTableError),
    /// Rows can't be merged.
    #[error("merging rows")]
    Merge(#[from] DataFusionError),
    /// A bug.
    #[error("internal error: {0}")]
    Internal(String),
}

impl TableError {
    fn parquet(path: &Path, source: ParquetError) -> Self {
        Self::Parquet {
            path: path.to_string(),
            source,
        }
    }

    /// Whether the object is not there, or no longer.
    fn is_not_found(&self) -> bool {
        self.has_cause(|cause| matches!(cause, object_store::Error::NotFound { .. }))
    }

    /// Whether an object has gone, or is another now, because somebody else was at work.
    fn is_overtaken(&self) -> bool {
        self.has_cause(|cause| {
            matches!(
                cause,
                object_store::Error::NotFound { .. } | object_store::Error::Precondition { .. }
            )
        })
    }

    fn has_cause(&self, is: fn(&object_store::Error) -> bool) -> bool {
        let first: &(dyn std::error::Error + 'static) = self;
        std::iter::successors(Some(first), |error| error.source())
            .any(|error| error.downcast_ref().is_some_and(is))
    }
}

/// The place that tables are in: a folder with one folder for each.
#[derive(Debug, Clone)]
pub struct Root {
    url: Url,
}

impl Root {
    /// The folder at a path; it is created if there is none.
    pub fn create(place: &str) -> Result<Self, TableError> {
        std::fs::create_dir_all(place).map_err(|error| root_error(place, error))?;
        Self::open(place)
    }

    /// The folder at a path, which exists.
    pub fn open(place: &str) -> Result<Self, TableError> {
        let path = std::fs::canonicalize(place).map_err(|error| root_error(place, error))?;
        if !path.is_dir() {
            return Err(root_error(place, "it is a file"));
        }
        let url = Url::from_directory_path(&path)
            .map_err(|()| root_error(place, "it has no absolute path"))?;
        Ok(Self { url })
    }

    fn path(&self) -> Result<std::path::PathBuf, TableError> {
        self.url
            .to_file_path()
            .map_err(|()| root_error(self.url.as_str(), "it is no path"))
    }

    fn url_of(&self, table: &str) -> Result<Url, TableError> {
        let url = self.url.join(&format!("{table}/"));
        url.map_err(|error| root_error(self.url.as_str(), error))
    }

    /// The names of the tables that are here.
    pub fn tables(&self) -> Result<Vec<String>, TableError> {
        let mut names = Vec::new();
        let path = self.path()?;
        let read_error = |error| root_error(self.url.as_str(), error);
        for entry in std::fs::read_dir(&path).map_err(read_error)? {
            let entry = entry.map_err(read_error)?;
            if entry.path().join("_delta_log").is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// Opens the table for reading.
    pub async fn read(&self, name: &str) -> Result<Version, TableError> {
        let log_store = log_store(self.url_of(name)?)?;
        Version::load(name, &log_store).await
    }

    /// Opens the table that a rollup makes, and creates it if there is none. Refused if there is one that is
    /// the result of other SQL.
    pub async fn open_or_create(&self, definition: &Arc<Definition>) -> Result<Table, TableError> {
        let url = self.url_of(&definition.name)?;
        if let Ok(path) = url.to_file_path() {
            create_folder(&path)?;
        }
        let log_store = log_store(url.clone())?;
        if !log_store.is_delta_table_location().await? {
            create(definition, &log_store).await?;
        }
        let version = Version::load(&definition.name, &log_store).await?;
        if canonical(&version.sql) != canonical(&definition.sql) {
            return Err(TableError::OtherSql {
                name: definition.name.clone(),
                url: url.to_string(),
                stored: version.sql,
            });
        }
        let merge = match definition.merges() {
            true => Some(merging::Merge::plan(definition).await?),
            false => None,
        };
        Ok(Table {
            definition: Arc::clone(definition),
            store: log_store.object_store(None),
            log_store,
            merge,
        })
    }
}

fn root_error(place: &str, reason: impl ToString) -> TableError {
    TableError::Root {
        place: place.to_owned(),
        reason: reason.to_string(),
    }
}

fn create_folder(path: &FilePath) -> Result<(), TableError> {
    std::fs::create_dir_all(path).map_err(|error| root_error(&path.to_string_lossy(), error))
}

fn log_store(url: Url) -> Result<LogStoreRef, TableError> {
    Ok(DeltaTableBuilder::from_url(url)?.build()?.log_store())
}

/// Writes the table's first version. Another process may do the same at the same moment: one of them does it.
async fn create(definition: &Definition, log_store: &LogStoreRef) -> Result<(), TableError> {
    let properties = [(SQL_PROPERTY.to_owned(), Some(definition.sql.clone()))];
    let created = CreateBuilder::new()
        .with_log_store(Arc::clone(log_store))
        .with_table_name(&definition.name)
        .with_columns(definition.delta_fields())
        .with_partition_columns([DATE_COLUMN])
        .with_configuration(properties)
        // The property is logmill's own.
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

/// A table that log files are staged for and committed to.
#[derive(Debug)]
pub struct Table {
    definition: Arc<Definition>,
    log_store: LogStoreRef,
    store: Arc<dyn ObjectStore>,
    merge: Option<merging::Merge>,
}

impl Table {
    /// What it is.
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// Begins to stage a log file's rows.
    pub(crate) fn staging_file(&self, log_file: &LogFile) -> Result<StagingFile, TableError> {
        StagingFile::create(&self.store, &self.definition, log_file)
    }

    /// The table as it is now.
    pub async fn version(&self) -> Result<Version, TableError> {
        Version::load(&self.definition.name, &self.log_store).await
    }

    /// The log files that are staged.
    pub async fn staged(&self) -> Result<HashSet<LogFileId>, TableError> {
        let staged = staging::list(&self.store).await?;
        Ok(staged.into_iter().map(|staged| staged.id).collect())
    }
}

/// A table as it was at one moment.
#[derive(Debug)]
pub struct Version {
    delta: DeltaTable,
    store: Arc<dyn ObjectStore>,
    sql: String,
    files: Vec<DataFile>,
    ledger: ledger::Ledger,
}

/// A file of a table's data.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// Its path under the table's folder.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The value of the partition column, if it is not NULL.
    pub date: Option<String>,
    /// Delta's statistics of it, as JSON.
    pub statistics: Option<String>,
}

impl Version {
    async fn load(name: &str, log_store: &LogStoreRef) -> Result<Self, TableError> {
        let mut delta = DeltaTable::new(Arc::clone(log_store));
        delta.load().await?;
        let snapshot = delta.snapshot()?.snapshot();
        let sql = snapshot
            .metadata()
            .configuration()
            .get(SQL_PROPERTY)
            .cloned();
        let sql = sql.ok_or_else(|| TableError::NotOurs {
            path: name.to_owned(),
            what: "a Delta table, but none of logmill's: it does not say which SQL it is the result of".to_owned(),
        })?;
        let files = snapshot
            .file_views(&**log_store, None)
            .map_ok(|file| {
                let mut partition: HashMap<String, Option<String>> = file.partition_values_map();
                DataFile {
                    path: file.path().into_owned(),
                    bytes: file.size().unsigned_abs(),
                    date: partition.remove(DATE_COLUMN).flatten(),
                    statistics: file.stats(),
                }
            })
            .try_collect()
            .await?;
        let ledger_version = snapshot
            .transaction_version(&**log_store, ledger::APPLICATION)
            .await?;
        let store = log_store.object_store(None);
        let ledger = ledger::Ledger::load(&store, ledger_version).await?;
        Ok(Self {
            delta,
            store,
            sql,
            files,
            ledger,
        })
    }

    /// Its number.
    pub fn number(&self) -> u64 {
        self.delta.version().unwrap_or_default()
    }

    /// Its data files.
    pub fn files(&self) -> &[DataFile] {
        &self.files
    }

    /// The store that its files' paths are in.
    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// Its columns, with the partition's at the end.
    pub fn schema(&self) -> Result<arrow::datatypes::SchemaRef, TableError> {
        Ok(self.delta.snapshot()?.snapshot().arrow_schema())
    }

    /// Which of these shards' log files it has counted.
    pub async fn counted(
        &self,
        shards: impl IntoIterator<Item = &Shard>,
    ) -> Result<HashSet<LogFileId>, TableError> {
        let mut counted = HashSet::new();
        for shard in shards {
            counted.extend(self.ledger.counted(&self.store, shard).await?);
        }
        Ok(counted)
    }

    /// What the ledger says of these shards' log files.
    pub async fn counted_entries(
        &self,
        shards: impl IntoIterator<Item = &Shard>,
    ) -> Result<HashMap<LogFileId, Entry>, TableError> {
        let mut counted = HashMap::new();
        for shard in shards {
            let entries = self.ledger.entries(&self.store, shard).await?;
            counted.extend(
                entries
                    .into_iter()
                    .map(|entry| (LogFile::new(&entry.log_file).id(), entry)),
            );
        }
        Ok(counted)
    }

    /// Its rows.
    pub fn rows(&self) -> u64 {
        let rows = |file: &DataFile| {
            let statistics: serde_json::Value =
                serde_json::from_str(file.statistics.as_deref()?).ok()?;
            statistics.get("numRecords")?.as_u64()
        };
        self.files.iter().filter_map(rows).sum()
    }

    /// Every log file that it has counted.
    pub async fn entries(&self) -> Result<Vec<Entry>, TableError> {
        let mut entries = Vec::new();
        for shard in self.ledger.shards() {
            entries.extend(self.ledger.entries(&self.store, shard).await?);
        }
        Ok(entries)
    }
}
