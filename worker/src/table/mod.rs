//! Tables: Delta Lake tables with a ledger of the log files that they have counted.
//!
//! A table's folder holds everything that matters. Readers ignore names that begin with `_`:
//!
//! ```text
//! events/_delta_log/…                        which files are the table, version by version
//!        date=2026-11-22/T10-….parquet       an hour's rows, sorted by group key
//!        _staging/2026-11-22T10/….parquet    a log file's rows, waiting to be committed
//!        _ledger/….parquet                   the log files that have been counted
//! ```

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use datafusion::error::DataFusionError;
use deltalake_core::logstore::LogStoreRef;
use deltalake_core::{DeltaTable, DeltaTableError};
use futures::{Stream, StreamExt, TryStreamExt};
use logmill_object_io::durable_folder::NotWritten;
use logmill_object_io::{Env, LeaseFile, Policy, is_retryable};
use logmill_shared::{LogFile, LogFileId, Shard, chain};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use parquet::errors::ParquetError;
use sha2::{Digest, Sha256};
use url::Url;

mod guards;
mod checked_log;
mod root;
mod merge_rule;
pub(crate) mod definition;
mod slot;
mod statistics;
mod checksums;
mod parquet_file;
mod staging;
mod set_aside;
mod waiting;
mod ledger;
mod merging;
mod runs;
mod delta_log;
mod lease;
mod commit;
mod compact;
mod vacuum;
mod rejected_lines;
mod failed_lines;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod requests;

pub use commit::{Committed, Lost};
pub use compact::Compacted;
use definition::DATE_COLUMN;
pub use definition::{Column, Definition, SLOT_GROUPS_MAX};
pub use failed_lines::{FailedLine, FailedLines};
pub use ledger::Entry;
pub use logmill_object_io::Lease;
pub use merge_rule::MergeRule;
pub(crate) use merge_rule::sum_state;
pub use rejected_lines::RejectedLines;
pub use root::Root;
pub use set_aside::{HowMuch, Notes, SetAside};
pub(crate) use staging::StagingFile;
pub use vacuum::{MAX_GRACE, MIN_GRACE, Vacuumed};
pub use waiting::Waiting;

use guards::Guards;
use slot::Slot;

/// The format of tables that this version writes. It also reads and stages for tables of older formats; its first commit
/// upgrades them.
///
/// | format | new |
/// |---|---|
/// | 1 | |
/// | 2 | exact states of integer sums; `is_other`; staged rows are sorted runs; the ledger has slots and failed lines |
const FORMAT: u32 = 2;

/// The property of a Delta table that holds its format. Absent in format 1.
const FORMAT_PROPERTY: &str = "logmill.format";

/// The property of a Delta table that holds the table's SQL.
const SQL_PROPERTY: &str = "logmill.rollup";

/// The same in format 1. Newer tables don't have it, so that programs that know no formats refuse them.
const FIRST_SQL_PROPERTY: &str = "logmill.sql";

/// What went wrong with a table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The location for tables can't be used.
    #[error("{place}: no place for tables: {reason}")]
    Root {
        /// The location, as it was given.
        place: String,
        /// Why it can't be used.
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
        /// Its URL.
        url: String,
        /// The SQL that it is the result of.
        stored: String,
    },
    /// The table was written by a newer version of logmill.
    #[error(
        "the table '{name}' has format {format}, and this version of logmill knows formats up to {FORMAT}: \
         use the version that wrote it, or a newer one"
    )]
    Format {
        /// The table's name.
        name: String,
        /// Its format.
        format: u32,
    },
    /// An object of the table is missing, or is not as it was written.
    #[error(
        "{object} {what}. Put the object back as it was; or remove the table's folder, and have the table built anew from \
         the logs: by `logmill run`, or by `logmill replay` to the queue of its workers"
    )]
    Damaged {
        /// The object's path, relative to the table's folder.
        object: String,
        /// A description of the damage.
        what: String,
    },
    /// An object in a table's folder that logmill has not written.
    #[error("{path}: {what}")]
    NotOurs {
        /// The path, relative to the table's folder.
        path: String,
        /// A description of the object.
        what: String,
    },
    /// The outcome of a commit is unknown: it may have been written, or another commit may have come first. Commit again: the
    /// ledger shows what was written.
    #[error("the commit's outcome is not known: {0}")]
    Unknown(String),
    /// A file can't be read or written.
    #[error("{path}")]
    Parquet {
        /// The file's path, relative to the table's folder.
        path: String,
        /// The underlying error.
        source: ParquetError,
    },
    /// The object store returned an error.
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

    /// Whether an object is missing.
    fn is_not_found(&self) -> bool {
        self.has_cause(|cause| matches!(cause, object_store::Error::NotFound { .. }))
    }

    /// The path in the store of the missing object.
    pub(crate) fn missing_object(&self) -> Option<&str> {
        causes(self).find_map(|cause| match cause {
            object_store::Error::NotFound { path, .. } => Some(path.as_str()),
            _ => None,
        })
    }

    /// Whether another process was probably at work: the outcome is unknown, or an object is missing or has been replaced.
    /// Delta's kernel does not say why it can't read a log, so its errors count as races too.
    fn is_race(&self) -> bool {
        matches!(self, Self::Delta(DeltaTableError::KernelError(_))) || self.is_lost_race()
    }

    /// The same for a commit. Kernel errors don't count: reading the log has already been retried.
    fn is_lost_race(&self) -> bool {
        matches!(self, Self::Unknown(_))
            || self.has_cause(|cause| {
                matches!(
                    cause,
                    object_store::Error::NotFound { .. } | object_store::Error::Precondition { .. }
                )
            })
    }

    /// Whether a retry may succeed: another process was at work, or the store could not be reached.
    pub fn is_transient(&self) -> bool {
        self.is_race() || self.has_cause(is_retryable)
    }

    /// The damaged object, if damage is the cause.
    fn damage(&self) -> Option<Damage<'_>> {
        let first: &(dyn std::error::Error + 'static) = self;
        let mut causes = std::iter::successors(Some(first), |error| error.source());
        causes.find_map(|cause| match cause.downcast_ref()? {
            Self::Damaged { object, what } => Some(Damage {
                object,
                what: what.clone(),
            }),
            Self::Parquet { path, source } if !self.is_of_store() => Some(Damage {
                object: path,
                what: format!("is damaged: {source}"),
            }),
            Self::Parquet { path, source } if self.has_cause(is_of_the_disk) => Some(Damage {
                object: path,
                what: format!("can't be read: {source}"),
            }),
            _ => None,
        })
    }

    /// Converts the error to [`TableError::Damaged`] if a damaged object is the cause.
    fn into_damage(self) -> Self {
        match self.damage() {
            Some(Damage { object, what }) => Self::Damaged {
                object: object.to_owned(),
                what,
            },
            None => self,
        }
    }

    /// Whether the object store is the cause.
    pub(crate) fn is_of_store(&self) -> bool {
        self.has_cause(|_| true)
    }

    /// Whether the table's own folder is the cause. The disk or the bucket works, and other tables may work too.
    pub(crate) fn is_of_its_folder(&self) -> bool {
        self.has_cause(|cause| {
            let object_store::Error::Generic { source, .. } = cause else {
                return false;
            };
            let not_written: Option<&NotWritten> = source.downcast_ref();
            not_written.is_some_and(NotWritten::is_of_its_folder)
        })
    }

    /// Whether the table is no longer the one that was opened: it has been removed, or replaced by another one.
    pub(crate) fn is_another(&self) -> bool {
        matches!(
            self,
            Self::OtherSql { .. } | Self::Delta(DeltaTableError::NotATable(_))
        )
    }

    fn has_cause(&self, is: fn(&object_store::Error) -> bool) -> bool {
        causes(self).any(is)
    }
}

/// The object store's errors among the causes of an error.
fn causes(error: &TableError) -> impl Iterator<Item = &object_store::Error> {
    let first: &(dyn std::error::Error + 'static) = error;
    let all = std::iter::successors(Some(first), |error| error.source());
    all.filter_map(|error| error.downcast_ref().or_else(|| in_io_error(error)))
}

/// An object that is not as it was written, or can't be read.
struct Damage<'e> {
    object: &'e str,
    what: String,
}

/// ELOOP, for which the standard library has no stable name.
const TOO_MANY_LINKS: i32 = if cfg!(target_os = "macos") { 62 } else { 40 };

/// Whether a single object in a folder can't be read, although the disk works.
fn is_of_the_disk(error: &object_store::Error) -> bool {
    use std::io::ErrorKind;
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |error| error.source()).any(|error| {
        let error: Option<&std::io::Error> = error.downcast_ref();
        error.is_some_and(|error| {
            let is_loop = error.raw_os_error() == Some(TOO_MANY_LINKS);
            is_loop
                || matches!(
                    error.kind(),
                    ErrorKind::PermissionDenied | ErrorKind::IsADirectory | ErrorKind::InvalidData
                )
        })
    })
}

/// The object store's error that is wrapped in an I/O error. `source` of an I/O error skips the error that it wraps, and
/// returns that error's source.
fn in_io_error<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> Option<&'e object_store::Error> {
    let error: &std::io::Error = error.downcast_ref()?;
    error.get_ref()?.downcast_ref()
}

/// A table that log files are staged for and committed to.
#[derive(Debug)]
pub struct Table {
    definition: Arc<Definition>,
    log_store: LogStoreRef,
    store: Arc<dyn ObjectStore>,
    merge: Option<Arc<merging::Merge>>,
    lease: LeaseFile,
    env: Arc<dyn Env>,
    guards: Guards,
}

impl Table {
    /// The table's definition.
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// Starts staging a log file's rows.
    pub(crate) fn staging_file(&self, log_file: &LogFile) -> Result<StagingFile, TableError> {
        StagingFile::create(&self.store, &self.definition, log_file)
    }

    /// Reads the latest version of the table.
    ///
    /// # Errors
    ///
    /// The table can't be read; or it has been removed and created anew with other SQL.
    pub async fn version(&self) -> Result<Version, TableError> {
        let version = Version::read(&self.definition.name, &self.log_store, &*self.env).await?;
        version.see_same(&self.definition, &self.log_store)?;
        Ok(version)
    }

    /// The log files that are staged and not set aside.
    pub async fn staged(&self) -> Result<HashSet<LogFileId>, TableError> {
        let staged = staging::list_all(&self.store, self.guards).await?;
        Ok(staged.into_iter().map(|staged| staged.id).collect())
    }
}

/// A snapshot of a table.
#[derive(Debug)]
pub struct Version {
    number: u64,
    delta: DeltaTable,
    store: Arc<dyn ObjectStore>,
    format: u32,
    sql: String,
    files: Vec<DataFile>,
    ledger: ledger::Ledger,
    /// Whether a checkpoint can't be read, so that versions were read instead of it.
    is_without_checkpoint: bool,
}

/// A data file of a table.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// Its path, relative to the table's folder.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// The value of the partition column; `None` if it is NULL.
    pub date: Option<String>,
    /// When it was added to the table, in milliseconds since 1970.
    pub modified: i64,
    /// Its Delta statistics, as JSON.
    pub statistics: Option<String>,
}

impl DataFile {
    /// The number of its rows, and its size in the store.
    fn size(&self) -> parquet_file::Size {
        let rows = || {
            let statistics: serde_json::Value =
                serde_json::from_str(self.statistics.as_deref()?).ok()?;
            statistics.get("numRecords")?.as_u64()
        };
        parquet_file::Size {
            rows: rows().unwrap_or(0),
            bytes: self.bytes,
        }
    }

    fn slot(&self) -> Result<Slot, TableError> {
        Slot::of_path(&self.path).ok_or_else(|| TableError::NotOurs {
            path: self.path.clone(),
            what: "a data file that logmill has not written; tables must not be written or optimized by others"
                .to_owned(),
        })
    }
}

impl Version {
    /// Reads the latest version.
    ///
    /// # Errors
    ///
    /// [`TableError::Damaged`] names the object that prevents reading it.
    async fn read(name: &str, log_store: &LogStoreRef, env: &dyn Env) -> Result<Self, TableError> {
        let store = log_store.object_store(None);
        let what = format!("reading {name}");
        let mut races = RACES.begin_with(what, Some(env.unique() as u64));
        let mut seen: Option<delta_log::Log> = None;
        loop {
            let error = match &seen {
                None => Self::load(name, log_store).await,
                Some(log) => Self::load_without(name, log_store, log).await,
            };
            let error = match error {
                Ok(version) => return Ok(version),
                Err(error) => error,
            };
            if !error.is_race() {
                return Err(error.into_damage());
            }
            let log = delta_log::Log::look(&store).await?;
            let is_same = seen.is_some_and(|seen| seen.is_same(&log));
            let wait = match is_same {
                true => None,
                false => races.failed(&error),
            };
            let Some(wait) = wait else {
                return Err(match log.is_of_others(&store).await? {
                    true => TableError::NotOurs {
                        path: name.to_owned(),
                        what: format!("a Delta table, but none of logmill's: {}", chain(&error)),
                    },
                    false => log.explained(error),
                });
            };
            env.sleep(wait).await;
            seen = Some(log);
        }
    }

    /// Reads the latest version without the damaged objects of the log that are dispensable.
    async fn load_without(
        name: &str,
        log_store: &LogStoreRef,
        log: &delta_log::Log,
    ) -> Result<Self, TableError> {
        let mut version = Self::load(name, &root::without(log_store, log)?).await?;
        if let Some((checkpoint, what)) = log.bad_checkpoint() {
            version.is_without_checkpoint = true;
            tracing::warn!(
                table = name, %checkpoint, what,
                "a checkpoint can't be read; the versions that it stands for are read instead, and the next commit writes another"
            );
        }
        Ok(version)
    }

    /// Fails if the table is the result of other SQL than this definition's.
    fn see_same(&self, definition: &Definition, log_store: &LogStoreRef) -> Result<(), TableError> {
        // Compare the texts first: parsing the SQL costs a millisecond, and each read of a table comes here.
        let is_same =
            self.sql == definition.sql || Definition::identity_of(&self.sql) == definition.identity;
        match is_same {
            true => Ok(()),
            false => Err(TableError::OtherSql {
                name: definition.name.clone(),
                url: log_store.root_url().to_string(),
                stored: self.sql.clone(),
            }),
        }
    }

    async fn load(name: &str, log_store: &LogStoreRef) -> Result<Self, TableError> {
        let mut delta = DeltaTable::new(Arc::clone(log_store));
        delta.load().await?;
        let snapshot = delta.snapshot()?.snapshot();
        let properties = snapshot.metadata().configuration();
        let format = match properties.get(FORMAT_PROPERTY) {
            Some(format) => format.parse().unwrap_or(u32::MAX),
            None => 1,
        };
        if format > FORMAT {
            return Err(TableError::Format {
                name: name.to_owned(),
                format,
            });
        }
        let sql = [SQL_PROPERTY, FIRST_SQL_PROPERTY]
            .iter()
            .find_map(|property| properties.get(*property).cloned());
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
                    modified: file.modification_time(),
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
            number: delta.version().unwrap_or_default(),
            delta,
            store,
            format,
            sql,
            files,
            ledger,
            is_without_checkpoint: false,
        })
    }

    /// Checks that all of its data files exist, with the right sizes.
    ///
    /// # Errors
    ///
    /// [`TableError::Damaged`] names a data file that does not.
    pub async fn see_files(&self) -> Result<(), TableError> {
        let mut found: HashMap<String, u64> = HashMap::new();
        let top = self.store.list_with_delimiter(None).await?;
        for folder in top.common_prefixes {
            if folder.as_ref().starts_with("date=") {
                let mut objects = self.store.list(Some(&folder));
                while let Some(object) = objects.try_next().await? {
                    found.insert(object.location.to_string(), object.size);
                }
            }
        }
        for file in &self.files {
            let path = Path::from(file.path.as_str());
            if found.get(path.as_ref()) != Some(&file.bytes) {
                parquet_file::open_live(&self.store, file).await?;
            }
        }
        Ok(())
    }

    /// Reads the data files that a commit with rows in these slots would rewrite.
    ///
    /// # Errors
    ///
    /// [`TableError::Damaged`] names a file that can't be read. No such commit can succeed.
    async fn see_slots(&self, slots: &BTreeSet<Slot>) -> Result<(), TableError> {
        for file in commit::touched_files(self, slots)? {
            let opened = parquet_file::open_live(&self.store, &file).await?;
            let mut rows = opened.rows().map_err(TableError::into_damage)?;
            while let Some(rows) = rows.next().await {
                rows.map_err(TableError::into_damage)?;
            }
        }
        Ok(())
    }

    /// The version number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The SQL that the table is the result of.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// Its data files.
    pub fn files(&self) -> &[DataFile] {
        &self.files
    }

    /// The table's columns, with the partition column last.
    pub fn schema(&self) -> Result<arrow::datatypes::SchemaRef, TableError> {
        Ok(self.delta.snapshot()?.snapshot().arrow_schema())
    }

    /// Which log files of these shards the table has counted.
    pub async fn counted(
        &self,
        shards: impl IntoIterator<Item = &Shard>,
    ) -> Result<HashSet<LogFileId>, TableError> {
        self.ledger.counted(&self.store, shards).await
    }

    /// The ledger's entries for the log files of these shards.
    pub async fn counted_entries(
        &self,
        shards: impl IntoIterator<Item = &Shard>,
    ) -> Result<HashMap<LogFileId, Entry>, TableError> {
        let entries = self.ledger.entries_of(&self.store, shards).await?;
        let counted = entries
            .into_iter()
            .map(|entry| (LogFile::new(&entry.log_file).id(), entry));
        Ok(counted.collect())
    }

    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.size().rows).sum()
    }

    /// The shards of the ledger.
    pub(crate) fn ledger_shards(&self) -> impl Iterator<Item = &Shard> {
        self.ledger.shards()
    }

    /// The ledger's entries for these shards, one shard after another.
    pub(crate) fn entries_by_shard(
        self,
        shards: Vec<Shard>,
    ) -> impl Stream<Item = Result<Vec<Entry>, TableError>> {
        let version = Arc::new(self);
        futures::stream::iter(shards)
            .map(move |shard| {
                let version = Arc::clone(&version);
                async move { version.ledger.entries(&version.store, &shard).await }
            })
            .buffered(ledger::SHARDS_AT_ONCE)
    }

    /// The ledger's entries for every log file that the table has counted.
    pub async fn entries(&self) -> Result<Vec<Entry>, TableError> {
        let shards = self.ledger.shards();
        self.ledger.entries_of(&self.store, shards).await
    }
}

/// Attempts to read a table while other processes change it: a few seconds in total.
const RACES: Policy = Policy {
    attempts: 6,
    first_wait: Duration::from_millis(100),
    longest_wait: Duration::from_secs(1),
};

/// Deletes objects, many with one request where the store supports it. A missing object is not an error.
async fn delete(
    store: &Arc<dyn ObjectStore>,
    paths: impl IntoIterator<Item = Path>,
) -> Result<(), TableError> {
    let paths: Vec<_> = paths.into_iter().map(Ok).collect();
    let mut deleted = store.delete_stream(futures::stream::iter(paths).boxed());
    while let Some(outcome) = deleted.next().await {
        match outcome {
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The folder of a table; `None` if it is in a bucket.
fn folder(table: &Url) -> Option<PathBuf> {
    // `to_file_path` ignores the scheme, and would accept a bucket named `localhost`.
    (table.scheme() == "file").then(|| table.to_file_path().ok())?
}

/// The shard and the name of an object `<folder>/<shard>/<name>`; `None` for any other object.
fn in_shard(object: &ObjectMeta, folder: &str) -> Option<(Shard, String)> {
    let mut parts = object.location.parts();
    let is_there = parts.next()?.as_ref() == folder;
    let (shard, name) = (parts.next()?, parts.next()?);
    let found = (Shard::from_name(shard.as_ref()), name.as_ref().to_owned());
    (is_there && parts.next().is_none()).then_some(found)
}

/// A short hash of a text: the first 16 hexadecimal digits of its SHA-256.
fn short_hash(text: &str) -> String {
    let hash = Sha256::digest(text);
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Milliseconds since 1970.
fn milliseconds(time: SystemTime) -> i64 {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since_epoch.as_millis() as i64
}
