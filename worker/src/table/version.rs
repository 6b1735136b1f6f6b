//! A snapshot of a table: one version of its Delta log, with the data files and the ledger that it names.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use deltalake_core::DeltaTable;
use deltalake_core::logstore::LogStoreRef;
use futures::{Stream, StreamExt, TryStreamExt};
use logmill_object_io::Env;
use logmill_shared::{LogFile, LogFileId, Shard};
use object_store::ObjectStore;
use object_store::path::Path;

use super::definition::DATE_COLUMN;
use super::dropping::DROPPED_PROPERTY;
use super::generations::Generations;
use super::renaming::RENAMED_PROPERTY;
use super::retention::{KEEP_DAYS_PROPERTY, TEXTS_FROM_PROPERTY};
use super::slot::Slot;
use super::touched_files::touched_files;
use super::{
    Definition, ERASED_PROPERTY, Entry, FIRST_SQL_PROPERTY, FORMAT, FORMAT_PROPERTY, Folder,
    LOOKUPS_PROPERTY, LookupFile, LookupHashes, SQL_PROPERTY, TableError, delta_log, ledger,
    lookup_file, parquet_file, root,
};
use logmill_object_io::Policy;
use logmill_shared::chain;

/// A snapshot of a table.
#[derive(Debug)]
pub struct Version {
    pub(super) number: u64,
    pub(super) delta: DeltaTable,
    /// The folder of the live generation.
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) folder: Folder,
    pub(super) generations: Generations,
    pub(super) format: u32,
    pub(super) sql: String,
    pub(super) lookups: LookupHashes,
    pub(super) renamed_from: Option<String>,
    /// Whether this is the last version of a table that was dropped.
    pub(super) is_dropped: bool,
    pub(super) keep_days: Option<u32>,
    pub(super) texts_from: Option<i64>,
    pub(super) erased: Vec<String>,
    pub(super) files: Vec<DataFile>,
    pub(super) ledger: ledger::Ledger,
    /// Whether a checkpoint can't be read, so that versions were read instead of it.
    pub(super) is_without_checkpoint: bool,
}

/// A data file of a table.
#[derive(Debug, Clone)]
pub struct DataFile {
    /// Its path, relative to the folder of its generation.
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
    pub(super) fn size(&self) -> parquet_file::Size {
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

    pub(super) fn slot(&self) -> Result<Slot, TableError> {
        Slot::of_path(&self.path).ok_or_else(|| TableError::NotOurs {
            path: self.path.clone(),
            what: "logmill has not written this data file; other programs must not write or optimize its tables"
                .to_owned(),
        })
    }
}

impl Version {
    /// Reads the latest version.
    ///
    /// # Errors
    ///
    /// [`TableError::Damaged`] names the object that prevents reading it. [`TableError::Dropped`]: it is the last one.
    pub(super) async fn read(
        name: &str,
        log_store: &LogStoreRef,
        env: &dyn Env,
    ) -> Result<Self, TableError> {
        let version = Self::read_even_last(name, log_store, env).await?;
        match version.is_dropped {
            false => Ok(version),
            true => Err(TableError::Dropped {
                name: name.to_owned(),
            }),
        }
    }

    /// The same, also if the table was dropped. That version has no files, and its ledger is empty.
    pub(super) async fn read_even_last(
        name: &str,
        log_store: &LogStoreRef,
        env: &dyn Env,
    ) -> Result<Self, TableError> {
        let store = log_store.object_store(None);
        let what = format!("reading the table {name}");
        let mut races = READ_RACES.begin_with(what, Some(env.unique() as u64));
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
                        what: format!(
                            "logmill has not written this Delta table: {}",
                            chain(&error)
                        ),
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
                "a checkpoint is missing or damaged; reading the versions that it covers instead; the next commit writes a new checkpoint"
            );
        }
        Ok(version)
    }

    /// Fails if the table is the result of other SQL than this definition's, or of other lookups.
    pub(super) fn check_sql(
        &self,
        definition: &Definition,
        log_store: &LogStoreRef,
    ) -> Result<(), TableError> {
        let lookups = LookupFile::hashes(&definition.lookups);
        // Compare the texts first: parsing the SQL costs a millisecond, and each read of a table comes here.
        let is_same_sql = self.sql == definition.sql
            || Definition::identity_of(&self.sql, &lookups, &definition.erased)
                == definition.identity;
        let (name, url) = (definition.name.clone(), log_store.root_url().to_string());
        if !is_same_sql {
            return Err(TableError::OtherSql {
                name,
                url,
                stored: self.sql.clone(),
            });
        }
        let changed = lookups
            .into_iter()
            .find(|(file, hash)| self.lookups.get(file) != Some(hash));
        match changed {
            Some((file, _)) => Err(TableError::OtherLookup { name, url, file }),
            None if self.erased != definition.erased => Err(TableError::Erased { name }),
            None => Ok(()),
        }
    }

    /// Conditions on log lines that a person has erased: the table leaves them out.
    pub fn erased(&self) -> &[String] {
        &self.erased
    }

    /// The files that the table's SQL looks values up in.
    ///
    /// # Errors
    ///
    /// [`TableError::Damaged`] names the table's copy of a file that is missing or has changed.
    pub(crate) async fn lookup_files(&self) -> Result<Vec<LookupFile>, TableError> {
        lookup_file::read(&*self.store, &self.lookups).await
    }

    /// Reads an older version.
    ///
    /// # Errors
    ///
    /// It can't be read: the log does not have it any more, or it is damaged.
    pub(super) async fn at(
        name: &str,
        log_store: &LogStoreRef,
        number: u64,
    ) -> Result<Self, TableError> {
        let mut delta = DeltaTable::new(Arc::clone(log_store));
        delta.load_version(number).await?;
        Self::of_delta(name, log_store, delta).await
    }

    async fn load(name: &str, log_store: &LogStoreRef) -> Result<Self, TableError> {
        let mut delta = DeltaTable::new(Arc::clone(log_store));
        delta.load().await?;
        Self::of_delta(name, log_store, delta).await
    }

    async fn of_delta(
        name: &str,
        log_store: &LogStoreRef,
        delta: DeltaTable,
    ) -> Result<Self, TableError> {
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
        let is_dropped = properties.contains_key(DROPPED_PROPERTY);
        let sql = [SQL_PROPERTY, FIRST_SQL_PROPERTY]
            .iter()
            .find_map(|property| properties.get(*property).cloned());
        let sql = sql.ok_or_else(|| TableError::NotOurs {
            path: name.to_owned(),
            what: "logmill has not written this Delta table: the SQL is missing in its properties"
                .to_owned(),
        })?;
        let lookups = match properties.get(LOOKUPS_PROPERTY) {
            Some(hashes) => serde_json::from_str(hashes).map_err(|error| TableError::NotOurs {
                path: name.to_owned(),
                what: format!("the property {LOOKUPS_PROPERTY} of the table is invalid: {error}"),
            })?,
            None => LookupHashes::new(),
        };
        let (folder, generations) = Generations::of_properties(name, properties)?;
        let renamed_from = properties.get(RENAMED_PROPERTY).cloned();
        let erased = match properties.get(ERASED_PROPERTY) {
            Some(conditions) => {
                serde_json::from_str(conditions).map_err(|error| TableError::NotOurs {
                    path: name.to_owned(),
                    what: format!(
                        "the property {ERASED_PROPERTY} of the table is invalid: {error}"
                    ),
                })?
            }
            None => Vec::new(),
        };
        // Without it, or if it is invalid, all texts are looked at.
        let texts_from = properties.get(TEXTS_FROM_PROPERTY);
        let texts_from = texts_from.and_then(|hour| hour.parse().ok());
        let keep_days = properties.get(KEEP_DAYS_PROPERTY).map(|days| days.parse());
        let keep_days = keep_days.transpose().map_err(|error| TableError::NotOurs {
            path: name.to_owned(),
            what: format!("the property {KEEP_DAYS_PROPERTY} of the table is invalid: {error}"),
        })?;
        let files = snapshot
            .file_views(&**log_store, None)
            .map_ok(|file| {
                let mut partition: HashMap<String, Option<String>> = file.partition_values_map();
                let path = file.path();
                DataFile {
                    // The path of a file that another program has written stays as it is, and is refused.
                    path: folder.of_log(&path).unwrap_or(&path).to_owned(),
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
        let store = folder.store(log_store.object_store(None));
        let ledger_version = ledger_version.filter(|_| !is_dropped);
        let ledger = ledger::Ledger::load(&store, ledger_version).await?;
        Ok(Self {
            number: delta.version().unwrap_or_default(),
            delta,
            store,
            folder,
            generations,
            format,
            sql,
            lookups,
            renamed_from,
            is_dropped,
            keep_days,
            texts_from,
            erased,
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
    pub async fn check_files_exist(&self) -> Result<(), TableError> {
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
    pub(super) async fn check_slots_readable(
        &self,
        slots: &BTreeSet<Slot>,
    ) -> Result<(), TableError> {
        for file in touched_files(self, slots)? {
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

    /// The path of one of its data files, relative to the table's folder.
    pub(crate) fn path_in_table(&self, file: &DataFile) -> String {
        self.folder.in_log(&file.path)
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

    /// Which log files of these shards have rows in kept hours only.
    pub(super) async fn pending(
        &self,
        shards: impl IntoIterator<Item = &Shard>,
    ) -> Result<HashSet<LogFileId>, TableError> {
        self.ledger.pending(&self.store, shards).await
    }

    /// The ledger's entries for the log files of these shards that the table has counted.
    pub async fn counted_entries(
        &self,
        shards: impl IntoIterator<Item = &Shard>,
    ) -> Result<HashMap<LogFileId, Entry>, TableError> {
        let entries = self.ledger.entries_of(&self.store, shards).await?;
        let counted = entries
            .into_iter()
            .filter(|entry| !entry.pending)
            .map(|entry| (LogFile::new(&entry.log_file).id(), entry));
        Ok(counted.collect())
    }

    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.size().rows).sum()
    }

    /// The shards that the ledger has objects of: hours, packed days, and those of names without a time.
    pub(crate) fn ledger_shards(&self) -> impl Iterator<Item = &Shard> {
        self.ledger.shards()
    }

    /// The log files in the objects of these shards that the table has counted.
    pub(crate) async fn log_files_in(
        &self,
        shards: impl IntoIterator<Item = Shard>,
    ) -> Result<Vec<LogFile>, TableError> {
        let log_files: Vec<Vec<LogFile>> = futures::stream::iter(shards)
            .map(async |shard| self.ledger.log_files_in(&self.store, &shard, false).await)
            .buffered(ledger::SHARDS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(log_files.into_iter().flatten().collect())
    }

    /// The id of the Delta table. A table that was removed and made anew has another one.
    pub(crate) fn id(&self) -> Result<String, TableError> {
        Ok(self.metadata()?.id().to_owned())
    }

    /// The ledger's entries in the objects of these shards, one object after another.
    pub(crate) fn entries_by_shard(
        self: Arc<Self>,
        shards: Vec<Shard>,
    ) -> impl Stream<Item = Result<Vec<Entry>, TableError>> {
        futures::stream::iter(shards)
            .map(move |shard| {
                let version = Arc::clone(&self);
                async move { version.ledger.entries(&version.store, &shard).await }
            })
            .buffered(ledger::SHARDS_AT_ONCE)
    }

    /// The ledger's entries for every log file: those that the table has counted, and those that are pending.
    pub async fn entries(&self) -> Result<Vec<Entry>, TableError> {
        self.ledger.all_entries(&self.store).await
    }
}

/// Attempts to read a table while other processes change it: a few seconds in total.
const READ_RACES: Policy = Policy {
    attempts: 6,
    first_wait: Duration::from_millis(100),
    longest_wait: Duration::from_secs(1),
};
