//! The ledger: which log files a table has counted.
//!
//! The ledger is divided into shards by the hour in the log files' names, so that a commit rewrites only the hours that it
//! touches. Its objects are immutable. A shard that grows gets a new object, and a new manifest, `_ledger/<version>.parquet`,
//! names the object of every shard. When a day is over, the shards of its hours are packed into one of the day, so that the manifest stays
//! small. A log file that comes later gets a shard of its hour again, until the next time. One `txn` action in Delta's log points to the manifest. So the data and the ledger change
//! in one atomic commit, and a reader gets both by reading one version.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{
    DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType,
};
use deltalake_core::kernel::Transaction;
use futures::{StreamExt, TryStreamExt};
use logmill_object_io::Env;
use logmill_shared::{LogFile, LogFileId, Shard};
use object_store::ObjectStore;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::guards::{Guard, Guards};
use super::parquet_file::{self, Opened, ParquetFile, Use};
use super::{FailedLine, TableError, milliseconds};

/// The application of the `txn` action. The action's version is the version of the ledger's manifest.
pub(super) const APPLICATION: &str = "logmill.ledger";

pub(super) const FOLDER: &str = "_ledger";

/// Hours of a packed day with log files that came later, at which the day is packed again.
const REPACKED_HOURS: usize = 4;

/// Shards read and written concurrently: enough to hide the store's latency when log files of many hours arrive together.
pub(super) const SHARDS_AT_ONCE: usize = 16;

/// The ledger's entry for a log file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its URI.
    pub log_file: String,
    /// The log table that its lines belong to.
    pub log_table: String,
    /// Its size in bytes, as stored.
    pub bytes: i64,
    /// Its version: an S3 object's ETag; a local file's size and time of modification.
    pub etag: String,
    /// The size of its text in bytes.
    pub text_bytes: i64,
    /// Number of lines, including rejected lines.
    pub lines: i64,
    /// Number of rejected lines.
    pub rejected_lines: i64,
    /// Number of rows that the rollup made of it, before merging with other log files.
    pub rows: i64,
    /// The time of its earliest line, in milliseconds since 1970.
    pub first_time: Option<i64>,
    /// The time of its latest line, in milliseconds since 1970.
    pub last_time: Option<i64>,
    /// Number of failed lines: those on which the rollup fails. They are in no row.
    #[serde(default)]
    pub failed_lines: i64,
    /// The first failed lines.
    #[serde(default)]
    pub failures: Vec<FailedLine>,
    /// The hours or days that its rows belong to; consecutive ones are written as `first..last`. `None` if it was staged
    /// before format 2.
    #[serde(default)]
    pub slots: Option<Vec<String>>,
    /// Whether only its rows in hours that a next generation keeps are counted yet. No table that anybody reads has such entries.
    #[serde(default)]
    pub pending: bool,
}

impl Entry {
    /// The column of [`Entry::batch`] that holds the failed lines, as JSON.
    pub(crate) const FAILURES: &str = "failures";

    /// The column of a shard's object that says which entries are pending. Absent if none are.
    pub(super) const PENDING: &str = "pending";

    /// The schema of [`Entry::batch`].
    pub fn schema() -> SchemaRef {
        let time = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let column = |name: &str, data_type: &DataType| Field::new(name, data_type.clone(), true);
        Arc::new(Schema::new(vec![
            column("log_file", &DataType::Utf8),
            column("log_table", &DataType::Utf8),
            column("bytes", &DataType::Int64),
            column("etag", &DataType::Utf8),
            column("text_bytes", &DataType::Int64),
            column("lines", &DataType::Int64),
            column("rejected_lines", &DataType::Int64),
            column("rows", &DataType::Int64),
            column("first_time", &time),
            column("last_time", &time),
            column("failed_lines", &DataType::Int64),
            column(Self::FAILURES, &DataType::Utf8),
            column("slots", &DataType::Utf8),
        ]))
    }

    /// Converts entries to rows.
    pub fn batch(entries: &[Self]) -> Result<RecordBatch, TableError> {
        let text = |get: fn(&Self) -> &str| -> Arc<dyn Array> {
            Arc::new(
                entries
                    .iter()
                    .map(|entry| Some(get(entry)))
                    .collect::<StringArray>(),
            )
        };
        let number = |get: fn(&Self) -> i64| -> Arc<dyn Array> {
            Arc::new(
                entries
                    .iter()
                    .map(get)
                    .collect::<Vec<_>>()
                    .into_iter()
                    .map(Some)
                    .collect::<Int64Array>(),
            )
        };
        let time = |get: fn(&Self) -> Option<i64>| -> Arc<dyn Array> {
            let times = entries
                .iter()
                .map(get)
                .collect::<TimestampMillisecondArray>();
            Arc::new(times.with_timezone("UTC"))
        };
        let columns = vec![
            text(|entry| &entry.log_file),
            text(|entry| &entry.log_table),
            number(|entry| entry.bytes),
            text(|entry| &entry.etag),
            number(|entry| entry.text_bytes),
            number(|entry| entry.lines),
            number(|entry| entry.rejected_lines),
            number(|entry| entry.rows),
            time(|entry| entry.first_time),
            time(|entry| entry.last_time),
            number(|entry| entry.failed_lines),
            Arc::new(
                entries
                    .iter()
                    .map(Self::failures_json)
                    .collect::<StringArray>(),
            ),
            Arc::new(
                entries
                    .iter()
                    .map(|entry| Some(entry.slots.as_ref()?.join(",")))
                    .collect::<StringArray>(),
            ),
        ];
        RecordBatch::try_new(Self::schema(), columns)
            .map_err(|error| TableError::Internal(error.to_string()))
    }

    fn failures_json(&self) -> Option<String> {
        let some = (!self.failures.is_empty()).then_some(&self.failures);
        serde_json::to_string(some?).ok()
    }

    fn of_batch(batch: &RecordBatch) -> Option<Vec<Self>> {
        let text = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>();
        let number = |name: &str| batch.column_by_name(name)?.as_primitive_opt::<Int64Type>();
        let time = |name: &str| {
            batch
                .column_by_name(name)?
                .as_primitive_opt::<TimestampMillisecondType>()
        };
        let (log_file, log_table, etag) = (text("log_file")?, text("log_table")?, text("etag")?);
        let (bytes, text_bytes, lines) =
            (number("bytes")?, number("text_bytes")?, number("lines")?);
        let (rejected_lines, rows) = (number("rejected_lines")?, number("rows")?);
        let (first_time, last_time) = (time("first_time")?, time("last_time")?);
        // Absent in ledgers of format 1.
        let failed_lines = number("failed_lines");
        let (failures, slots) = (text("failures"), text("slots"));
        let pending = pending(batch);
        let entries = (0..batch.num_rows()).map(|row| Self {
            log_file: log_file.value(row).to_owned(),
            log_table: log_table.value(row).to_owned(),
            bytes: bytes.value(row),
            etag: etag.value(row).to_owned(),
            text_bytes: text_bytes.value(row),
            lines: lines.value(row),
            rejected_lines: rejected_lines.value(row),
            rows: rows.value(row),
            first_time: first_time.is_valid(row).then(|| first_time.value(row)),
            last_time: last_time.is_valid(row).then(|| last_time.value(row)),
            failed_lines: failed_lines.map_or(0, |lines| lines.value(row)),
            failures: failures
                .filter(|failures| failures.is_valid(row))
                .and_then(|failures| serde_json::from_str(failures.value(row)).ok())
                .unwrap_or_default(),
            slots: slots.filter(|slots| slots.is_valid(row)).map(|slots| {
                let names = slots.value(row).split(',').filter(|name| !name.is_empty());
                names.map(str::to_owned).collect()
            }),
            pending: pending.is_some_and(|pending| pending.value(row)),
        });
        Some(entries.collect())
    }
}

fn pending(batch: &RecordBatch) -> Option<&BooleanArray> {
    batch.column_by_name(Entry::PENDING)?.as_boolean_opt()
}

/// The rows of a shard's object.
fn shard_rows(entries: &[Entry]) -> Result<RecordBatch, TableError> {
    let rows = Entry::batch(entries)?;
    if !entries.iter().any(|entry| entry.pending) {
        return Ok(rows);
    }
    let pending: BooleanArray = entries.iter().map(|entry| Some(entry.pending)).collect();
    let mut fields: Vec<_> = rows.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(
        Entry::PENDING,
        DataType::Boolean,
        true,
    )));
    let mut columns = rows.columns().to_vec();
    columns.push(Arc::new(pending));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|error| TableError::Internal(error.to_string()))
}

/// The ledger of one version of the table.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The version of its manifest; `None` if nothing has been counted yet.
    version: Option<i64>,
    /// The name of the object of each shard: of an hour, of a packed day, or of names without a time.
    shards: BTreeMap<Shard, String>,
}

/// The shard of the day that a shard's hour belongs to.
pub(super) fn day_of(shard: &Shard) -> Option<Shard> {
    let (day, _) = shard.as_str().split_once('T')?;
    Some(Shard::from_name(day))
}

/// Whether entries of log files of this shard may be in the object of `stored`.
pub(crate) fn may_hold(stored: &Shard, shard: &Shard) -> bool {
    stored == shard || day_of(shard).as_ref() == Some(stored)
}

impl Ledger {
    /// Reads the manifest of this version; `None` for a table that has counted nothing yet.
    pub(super) async fn load(
        store: &Arc<dyn ObjectStore>,
        version: Option<i64>,
    ) -> Result<Self, TableError> {
        let Some(version) = version else {
            return Ok(Self::default());
        };
        let path = manifest_path(version);
        let mut shards = BTreeMap::new();
        for batch in read(store, &path).await? {
            let columns = (
                batch.column(0).as_string_opt::<i32>(),
                batch.column(1).as_string_opt::<i32>(),
            );
            let (Some(names), Some(objects)) = columns else {
                return Err(not_a_ledger(&path));
            };
            for row in 0..batch.num_rows() {
                shards.insert(
                    Shard::from_name(names.value(row)),
                    objects.value(row).to_owned(),
                );
            }
        }
        Ok(Self {
            version: Some(version),
            shards,
        })
    }

    /// The paths of all objects that the ledger consists of.
    pub(super) fn paths(&self) -> impl Iterator<Item = Path> {
        let shards = self.shards.iter();
        shards
            .map(|(shard, object)| shard_path(shard, object))
            .chain(self.version.map(manifest_path))
    }

    /// The action that points to it; `None` if nothing has been counted yet.
    pub(super) fn transaction(&self) -> Option<Transaction> {
        self.version
            .map(|version| Transaction::new(APPLICATION, version))
    }

    /// All shards.
    pub(super) fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards.keys()
    }

    /// The shards with entries of the log files of these shards, which may be of another ledger.
    fn related<'s>(&self, shards: impl IntoIterator<Item = &'s Shard>) -> Related {
        let mut related = Related::default();
        for shard in shards {
            let mut add = |stored: &Shard| {
                if self.shards.contains_key(stored) {
                    related.stored.insert(stored.clone());
                }
            };
            add(shard);
            match day_of(shard) {
                Some(day) => add(&day),
                // The hours of a day.
                None => {
                    let hours = Shard::from_name(format!("{}T", shard.as_str()));
                    let hours = self.shards.range(hours..);
                    let hours = hours.take_while(|(hour, _)| day_of(hour).as_ref() == Some(shard));
                    hours.for_each(|(hour, _)| add(hour));
                }
            }
            related.wanted.insert(shard.clone());
        }
        related
    }

    /// The entries in the object of a shard.
    pub(super) async fn entries(
        &self,
        store: &Arc<dyn ObjectStore>,
        shard: &Shard,
    ) -> Result<Vec<Entry>, TableError> {
        let Some(object) = self.shards.get(shard) else {
            return Ok(Vec::new());
        };
        let path = shard_path(shard, object);
        let mut entries = Vec::new();
        for batch in read(store, &path).await? {
            entries.extend(Entry::of_batch(&batch).ok_or_else(|| not_a_ledger(&path))?);
        }
        Ok(entries)
    }

    /// All entries.
    pub(super) async fn all_entries(
        &self,
        store: &Arc<dyn ObjectStore>,
    ) -> Result<Vec<Entry>, TableError> {
        self.entries_in(store, self.shards.keys().cloned()).await
    }

    async fn entries_in(
        &self,
        store: &Arc<dyn ObjectStore>,
        stored: impl IntoIterator<Item = Shard>,
    ) -> Result<Vec<Entry>, TableError> {
        let entries: Vec<Vec<Entry>> = futures::stream::iter(stored)
            .map(async |shard| self.entries(store, &shard).await)
            .buffered(SHARDS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(entries.into_iter().flatten().collect())
    }

    /// The entries of the log files of these shards.
    pub(super) async fn entries_of(
        &self,
        store: &Arc<dyn ObjectStore>,
        shards: impl IntoIterator<Item = &Shard>,
    ) -> Result<Vec<Entry>, TableError> {
        let Related { stored, wanted } = self.related(shards);
        let mut entries = self.entries_in(store, stored).await?;
        entries.retain(|entry| wanted.has(&LogFile::new(&entry.log_file)));
        Ok(entries)
    }

    /// The ids of the log files in these shards that are counted.
    pub(super) async fn counted(
        &self,
        store: &Arc<dyn ObjectStore>,
        shards: impl IntoIterator<Item = &Shard>,
    ) -> Result<HashSet<LogFileId>, TableError> {
        self.ids(store, shards, false).await
    }

    /// The ids of the log files in these shards that are pending.
    pub(super) async fn pending(
        &self,
        store: &Arc<dyn ObjectStore>,
        shards: impl IntoIterator<Item = &Shard>,
    ) -> Result<HashSet<LogFileId>, TableError> {
        self.ids(store, shards, true).await
    }

    async fn ids(
        &self,
        store: &Arc<dyn ObjectStore>,
        shards: impl IntoIterator<Item = &Shard>,
        are_pending: bool,
    ) -> Result<HashSet<LogFileId>, TableError> {
        let Related { stored, wanted } = self.related(shards);
        let ids: Vec<Vec<LogFileId>> = futures::stream::iter(stored)
            .map(async |shard| self.ids_in(store, &shard, &wanted, are_pending).await)
            .buffered(SHARDS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(ids.into_iter().flatten().collect())
    }

    /// The ids of the wanted log files in the object of a shard that are counted, or pending.
    async fn ids_in(
        &self,
        store: &Arc<dyn ObjectStore>,
        shard: &Shard,
        wanted: &Wanted,
        are_pending: bool,
    ) -> Result<Vec<LogFileId>, TableError> {
        let log_files = self.log_files_in(store, shard, are_pending).await?;
        let log_files = log_files
            .into_iter()
            .filter(|log_file| wanted.has(log_file));
        Ok(log_files.map(|log_file| log_file.id()).collect())
    }

    /// The log files in the object of a shard that are counted, or pending. Reads only the columns that say so.
    pub(super) async fn log_files_in(
        &self,
        store: &Arc<dyn ObjectStore>,
        shard: &Shard,
        are_pending: bool,
    ) -> Result<Vec<LogFile>, TableError> {
        let Some(object) = self.shards.get(shard) else {
            return Ok(Vec::new());
        };
        let path = shard_path(shard, object);
        let opened = open(store, &path).await?;
        let mut rows = opened.columns(["log_file", Entry::PENDING])?;
        let mut log_files = Vec::new();
        while let Some(batch) = rows.try_next().await? {
            let uris = batch.column_by_name("log_file");
            let uris = uris.and_then(|uris| uris.as_string_opt::<i32>());
            let uris = uris.ok_or_else(|| not_a_ledger(&path))?;
            let pending = pending(&batch);
            let is_pending = |row: usize| pending.is_some_and(|pending| pending.value(row));
            let rows = (0..uris.len()).filter(|&row| is_pending(row) == are_pending);
            log_files.extend(rows.map(|row| LogFile::new(uris.value(row))));
        }
        Ok(log_files)
    }

    /// Writes the ledger with these entries added. It takes effect with the commit that contains the transaction, and never
    /// takes effect without one.
    pub(super) async fn extended(
        &self,
        store: &Arc<dyn ObjectStore>,
        env: &dyn Env,
        guards: Guards,
        fresh: BTreeMap<Shard, Vec<Entry>>,
    ) -> Result<Extended, TableError> {
        let written: Vec<ExtendedShard> = futures::stream::iter(fresh)
            .map(|(shard, entries)| self.extended_shard(store, env.unique(), shard, entries))
            .buffered(SHARDS_AT_ONCE)
            .try_collect()
            .await?;
        let mut shards = self.shards.clone();
        let mut copies = Vec::new();
        for written in written {
            shards.insert(written.shard, written.object);
            copies.extend(written.copies);
        }
        let transaction = self.write_manifest(store, env, guards, &shards).await?;
        Ok(Extended {
            transaction,
            copies,
        })
    }

    /// The days whose hours are packed if they are over: those of which there are several objects.
    pub(super) fn unpacked_days(&self) -> Vec<Shard> {
        let mut hours: BTreeMap<Shard, usize> = BTreeMap::new();
        for day in self.shards.keys().filter_map(day_of) {
            *hours.entry(day).or_default() += 1;
        }
        let unpacked = hours.into_iter().filter(|(day, hours)| {
            let enough = match self.shards.contains_key(day) {
                true => REPACKED_HOURS,
                false => 2,
            };
            *hours >= enough
        });
        unpacked.map(|(day, _)| day).collect()
    }

    /// Writes the ledger with the shards of these days packed. Leaves out days with entries that are pending. `None` if nothing is packed.
    /// It takes effect with the version that contains the transaction.
    pub(super) async fn packed(
        &self,
        store: &Arc<dyn ObjectStore>,
        env: &dyn Env,
        guards: Guards,
        days: &[Shard],
    ) -> Result<Option<Transaction>, TableError> {
        let mut shards = self.shards.clone();
        let mut is_packed = false;
        for day in days {
            let stored = self.related([day]).stored;
            let mut entries = self.entries_in(store, stored.clone()).await?;
            if entries.iter().any(|entry| entry.pending) {
                continue;
            }
            entries.sort_by(|left, right| left.log_file.cmp(&right.log_file));
            let object = format!("{:032x}", env.unique());
            write(store, shard_path(day, &object), &shard_rows(&entries)?).await?;
            for shard in &stored {
                shards.remove(shard);
            }
            shards.insert(day.clone(), object);
            is_packed = true;
        }
        match is_packed {
            true => self
                .write_manifest(store, env, guards, &shards)
                .await
                .map(Some),
            false => Ok(None),
        }
    }

    /// Writes a manifest, and returns the action that points to it.
    async fn write_manifest(
        &self,
        store: &Arc<dyn ObjectStore>,
        env: &dyn Env,
        guards: Guards,
        shards: &BTreeMap<Shard, String>,
    ) -> Result<Transaction, TableError> {
        let names: StringArray = shards.keys().map(|shard| Some(shard.as_str())).collect();
        let objects: StringArray = shards.values().map(Some).collect();
        let manifest = RecordBatch::try_from_iter([
            ("shard", Arc::new(names) as Arc<dyn Array>),
            ("object", Arc::new(objects) as Arc<dyn Array>),
        ])
        .map_err(|error| TableError::Internal(error.to_string()))?;
        let version = match guards.is_on(Guard::UniqueManifest) {
            true => unique_version(env),
            false => self.version.unwrap_or(0) + 1,
        };
        write(store, manifest_path(version), &manifest).await?;
        Ok(Transaction::new(APPLICATION, version))
    }

    /// Writes a shard with these entries added.
    async fn extended_shard(
        &self,
        store: &Arc<dyn ObjectStore>,
        unique: u128,
        shard: Shard,
        entries: Vec<Entry>,
    ) -> Result<ExtendedShard, TableError> {
        let mut all = self.entries(store, &shard).await?;
        if all.iter().any(|entry| entry.pending) {
            let fresh: HashSet<&str> = entries.iter().map(|entry| &*entry.log_file).collect();
            all.retain(|entry| !(entry.pending && fresh.contains(&*entry.log_file)));
        }
        let fresh: Vec<LogFile> = entries
            .iter()
            .map(|entry| LogFile::new(entry.log_file.as_str()))
            .collect();
        all.extend(entries);
        let mut copies = copies(&fresh, &all);
        if let Some(day) = day_of(&shard).filter(|day| self.shards.contains_key(day)) {
            copies.extend(self::copies(&fresh, &self.entries(store, &day).await?));
        }
        // Similar URIs next to each other compress well.
        all.sort_by(|left, right| left.log_file.cmp(&right.log_file));
        let object = format!("{unique:032x}");
        write(store, shard_path(&shard, &object), &shard_rows(&all)?).await?;
        Ok(ExtendedShard {
            shard,
            object,
            copies,
        })
    }
}

/// The objects to read for log files of some shards.
#[derive(Debug, Default)]
struct Related {
    stored: BTreeSet<Shard>,
    wanted: Wanted,
}

/// Shards whose log files are wanted.
#[derive(Debug, Default)]
struct Wanted(HashSet<Shard>);

impl Wanted {
    fn insert(&mut self, shard: Shard) {
        self.0.insert(shard);
    }

    fn has(&self, log_file: &LogFile) -> bool {
        let shard = log_file.shard();
        self.0.contains(&shard) || day_of(&shard).is_some_and(|day| self.0.contains(&day))
    }
}

/// A ledger that was written with entries added.
pub(super) struct Extended {
    /// The action that points to it.
    pub(super) transaction: Transaction,
    /// Added log files that have the same name as another one: the URI of each, and of the other one.
    pub(super) copies: Vec<(String, String)>,
}

struct ExtendedShard {
    shard: Shard,
    object: String,
    copies: Vec<(String, String)>,
}

/// Finds fresh log files that have the same name as another one, in another folder. Equal names have the same hour, so both
/// log files are in the same shard, which has been read already.
fn copies(fresh: &[LogFile], all: &[Entry]) -> Vec<(String, String)> {
    let named = |log_file: &LogFile| log_file.given_name().map(str::to_owned);
    let fresh: HashMap<String, &str> = fresh
        .iter()
        .filter_map(|log_file| Some((named(log_file)?, log_file.uri())))
        .collect();
    let copies = all.iter().filter_map(|entry| {
        let (_, name) = entry.log_file.rsplit_once('/')?;
        let log_file = *fresh.get(name)?;
        (log_file != entry.log_file).then(|| (log_file.to_owned(), entry.log_file.clone()))
    });
    copies.collect()
}

/// A version that no other commit attempt uses, even one that believes it holds the same lease: the time, so that versions
/// ascend, and 20 random bits. If two attempts wrote the same manifest, each could commit the other's ledger.
fn unique_version(env: &dyn Env) -> i64 {
    let random = (env.unique() & ((1 << 20) - 1)) as i64;
    // Milliseconds since 1970 fit into 43 bits until the year 2248.
    ((milliseconds(env.now()) << 20) | random) & i64::MAX
}

fn manifest_path(version: i64) -> Path {
    Path::from_iter([FOLDER, &format!("{version}.parquet")])
}

fn shard_path(shard: &Shard, object: &str) -> Path {
    Path::from_iter([FOLDER, shard.as_str(), &format!("{object}.parquet")])
}

async fn write(
    store: &Arc<dyn ObjectStore>,
    path: Path,
    rows: &RecordBatch,
) -> Result<(), TableError> {
    let mut file = ParquetFile::create(store, path, rows.schema(), Use::Keeping)?;
    file.write(rows).await?;
    file.finish().await?;
    Ok(())
}

async fn read(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<Vec<RecordBatch>, TableError> {
    open(store, path).await?.rows()?.try_collect().await
}

/// Opens an object of the ledger.
///
/// # Errors
///
/// [`TableError::Damaged`] if it is not as it was written. A missing object is not reported as damage: it may belong to a
/// version that is no longer the latest.
async fn open(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<Opened, TableError> {
    let opened = parquet_file::open_whole(store, path).await;
    opened.map_err(TableError::into_damage)
}

fn not_a_ledger(path: &Path) -> TableError {
    TableError::Damaged {
        object: path.to_string(),
        what: "is not a valid ledger".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;
    use logmill_object_io::SystemEnv;

    fn entry(uri: &str) -> Entry {
        Entry {
            log_file: uri.to_owned(),
            log_table: "alb_access_logs".to_owned(),
            bytes: 10,
            etag: "e".to_owned(),
            text_bytes: 100,
            lines: 3,
            rejected_lines: 1,
            rows: 2,
            first_time: Some(1),
            last_time: None,
            failed_lines: 2,
            failures: vec![FailedLine {
                line_number: 7,
                reason: "because".to_owned(),
                line: "a line".to_owned(),
            }],
            slots: Some(vec!["2026-11-22T10".to_owned(), "null".to_owned()]),
            pending: false,
        }
    }

    /// A log file of the hour 2026-11-22T10.
    fn named(node: u32) -> String {
        format!("s3://b/1_elasticloadbalancing_r_app.n.0_20261122T1005Z_10.0.0.{node}_r.log.gz")
    }

    #[tokio::test]
    async fn a_pending_log_file_is_not_counted_before_it_is_added() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let shard = Shard::from_name("2026-11-22T10");
        let (a, b, c) = (&*named(1), &*named(2), &*named(3));
        let pending = Entry {
            pending: true,
            ..entry(a)
        };
        let ids = |uris: &[&str]| -> HashSet<LogFileId> {
            uris.iter().map(|uri| LogFile::new(*uri).id()).collect()
        };
        let mut ledger = Ledger::default();
        for (added, counted, left) in [
            (vec![pending, entry(b)], vec![b], vec![a]),
            (vec![entry(c)], vec![b, c], vec![a]),
            (vec![entry(a)], vec![a, b, c], vec![]),
        ] {
            let added = BTreeMap::from([(shard.clone(), added)]);
            let extended = ledger.extended(&store, &SystemEnv, Guards::default(), added);
            let version = extended.await.unwrap().transaction.version;
            ledger = Ledger::load(&store, Some(version)).await.unwrap();
            let shards = [&shard];
            assert_eq!(ledger.counted(&store, shards).await.unwrap(), ids(&counted));
            assert_eq!(ledger.pending(&store, shards).await.unwrap(), ids(&left));
        }
        assert_eq!(ledger.entries(&store, &shard).await.unwrap().len(), 3);
    }

    #[tokio::test]
    async fn packed_days_and_hours_that_come_later_are_one_ledger() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let name = |hour: u32, node: u32| {
            format!(
                "s3://b/1_elasticloadbalancing_r_app.n.0_20261120T{hour:02}05Z_10.0.0.{node}_r.log.gz"
            )
        };
        let shard = |hour: u32| Shard::from_name(format!("2026-11-20T{hour:02}"));
        let day = Shard::from_name("2026-11-20");
        let id = |uri: &str| LogFile::new(uri).id();
        let load = async |version| Ledger::load(&store, Some(version)).await.unwrap();
        let added = |hours: &[u32], node: u32| -> BTreeMap<Shard, Vec<Entry>> {
            let entries = hours
                .iter()
                .map(|&hour| (shard(hour), vec![entry(&name(hour, node))]));
            entries.collect()
        };
        let guards = Guards::default();
        let ledger = Ledger::default();
        let first = ledger.extended(&store, &SystemEnv, guards, added(&[9, 10, 11], 1));
        let ledger = load(first.await.unwrap().transaction.version).await;
        assert_eq!(ledger.unpacked_days(), std::slice::from_ref(&day));
        let days = ledger.unpacked_days();
        let packed = ledger.packed(&store, &SystemEnv, guards, &days);
        let ledger = load(packed.await.unwrap().unwrap().version).await;
        assert_eq!(ledger.shards().collect::<Vec<_>>(), [&day]);
        assert!(ledger.unpacked_days().is_empty());
        // A copy comes later: it is told, although the other one is packed.
        let late = BTreeMap::from([(
            shard(10),
            vec![entry(&name(10, 1).replace("s3://b/", "s3://b/copy/"))],
        )]);
        let late = ledger
            .extended(&store, &SystemEnv, guards, late)
            .await
            .unwrap();
        assert_eq!(late.copies.len(), 1);
        let ledger = load(late.transaction.version).await;
        let counted = |ledger: Ledger, shards: Vec<Shard>| {
            let store = Arc::clone(&store);
            async move { ledger.counted(&store, &shards).await.unwrap() }
        };
        let of_hour = counted(load(late.transaction.version).await, vec![shard(10)]).await;
        assert_eq!(of_hour.len(), 2);
        assert!(of_hour.contains(&id(&name(10, 1))) && !of_hour.contains(&id(&name(9, 1))));
        let of_day = counted(load(late.transaction.version).await, vec![day.clone()]).await;
        assert_eq!(of_day.len(), 4);
        assert_eq!(ledger.all_entries(&store).await.unwrap().len(), 4);
        assert_eq!(
            ledger.entries_of(&store, [&shard(10)]).await.unwrap().len(),
            2
        );
        // Enough late hours are packed again.
        assert!(ledger.unpacked_days().is_empty());
        let more = ledger.extended(&store, &SystemEnv, guards, added(&[1, 2, 3], 2));
        let ledger = load(more.await.unwrap().transaction.version).await;
        let days = ledger.unpacked_days();
        let packed = ledger.packed(&store, &SystemEnv, guards, &days);
        let ledger = load(packed.await.unwrap().unwrap().version).await;
        assert_eq!(ledger.shards().count(), 1);
        assert_eq!(ledger.all_entries(&store).await.unwrap().len(), 7);
    }

    #[tokio::test]
    async fn a_ledger_remembers_what_it_was_extended_by() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let (one, two) = (
            Shard::from_name("2026-11-22T10"),
            LogFile::new("s3://b/3").shard(),
        );
        let ledger = Ledger::load(&store, None).await.unwrap();
        let first = BTreeMap::from([(one.clone(), vec![entry(&named(1))])]);
        let version = ledger
            .extended(&store, &SystemEnv, Guards::default(), first)
            .await
            .unwrap()
            .transaction
            .version;

        let ledger = Ledger::load(&store, Some(version)).await.unwrap();
        let more = BTreeMap::from([
            (one.clone(), vec![entry(&named(2))]),
            (two.clone(), vec![entry("s3://b/3")]),
        ]);
        let next = ledger
            .extended(&store, &SystemEnv, Guards::default(), more)
            .await
            .unwrap()
            .transaction
            .version;
        assert!(next > version);

        let ledger = Ledger::load(&store, Some(next)).await.unwrap();
        assert_eq!(
            ledger.entries(&store, &one).await.unwrap(),
            [entry(&named(1)), entry(&named(2))]
        );
        assert!(
            ledger
                .counted(&store, [&two])
                .await
                .unwrap()
                .contains(&LogFile::new("s3://b/3").id())
        );
        // The previous version is unchanged.
        let before = Ledger::load(&store, Some(version)).await.unwrap();
        assert_eq!(
            before.entries(&store, &one).await.unwrap(),
            [entry(&named(1))]
        );
        assert!(before.entries(&store, &two).await.unwrap().is_empty());
    }

    #[test]
    fn a_log_file_of_the_name_of_another_one_is_told_with_it() {
        let name = "1_elasticloadbalancing_r_app.n.0_20261120T1005Z_10.0.0.1_r.log.gz";
        let in_folder = |folder: &str| format!("s3://b/{folder}/{name}");
        let fresh = [in_folder("copies"), "s3://b/x/export.log".to_owned()];
        let fresh = fresh.map(LogFile::new);
        let all = [
            entry("s3://b/a/export.log"),
            entry(&in_folder("a")),
            entry(&in_folder("copies")),
            entry("s3://b/x/export.log"),
        ];
        assert_eq!(
            copies(&fresh, &all),
            [(in_folder("copies"), in_folder("a"))]
        );
        assert!(copies(&fresh, &all[2..]).is_empty());
        // One commit may add both. The pair is reported once.
        let both = [in_folder("copies"), in_folder("a")].map(LogFile::new);
        assert_eq!(copies(&both, &all).len(), 1);
    }
}
