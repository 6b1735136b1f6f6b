//! The checker: verifies the invariants after every change of the store, without using the code under test. It parses the
//! log's JSON and the Parquet files itself, and knows the content of each log file.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use bytes::Bytes;
use logmill_shared::LogFile;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;

use super::TABLE;
use super::scheduler::{Object, Objects};

/// The status of the fold row: it holds the groups for which a slot had no room.
const OTHER: i64 = -1;

/// Number of requests per minute and status.
pub(super) type Groups = BTreeMap<(i64, i64), i64>;

/// `Ok`: the invariants hold, possibly with an event to count. `Err`: which invariant is broken.
pub(super) type Outcome = Result<Option<&'static str>, String>;

pub(super) struct Checker {
    merges: bool,
    /// The content of each log file.
    truth: HashMap<String, Groups>,
    acknowledged: HashSet<String>,
    /// The number of the newest version.
    pub(super) newest: u64,
    /// The data files of the newest version, under the table's folder.
    pub(super) live: BTreeSet<String>,
    manifest: Option<i64>,
    /// The ledger objects of the newest version.
    pub(super) ledger_objects: BTreeSet<String>,
    /// The log files that the newest version has counted.
    pub(super) counted: BTreeSet<String>,
    /// The content of each version: its rows, and the number of log files.
    pub(super) history: Vec<(Groups, usize)>,
    rows: HashMap<(String, u64), Arc<Vec<RecordBatch>>>,
}

impl Checker {
    /// A checker for a table that has been created and is still empty.
    pub(super) fn new(merges: bool, truth: HashMap<String, Groups>) -> Self {
        Self {
            merges,
            truth,
            acknowledged: HashSet::new(),
            newest: 0,
            live: BTreeSet::new(),
            manifest: None,
            ledger_objects: BTreeSet::new(),
            counted: BTreeSet::new(),
            history: vec![(Groups::new(), 0)],
            rows: HashMap::new(),
        }
    }

    /// A log file is acknowledged. From now on it must not be lost.
    pub(super) fn acknowledge(&mut self, uri: &str, objects: &Objects) -> Outcome {
        let repeated = !self.acknowledged.insert(uri.to_owned());
        self.check_not_lost(uri, objects)?;
        Ok(repeated.then_some("repeated deliveries"))
    }

    pub(super) fn acknowledged(&self) -> impl Iterator<Item = &String> {
        self.acknowledged.iter()
    }

    /// A version was written.
    pub(super) fn version(&mut self, number: u64, bytes: &Bytes, objects: &Objects) -> Outcome {
        if number <= self.newest {
            // Log cleanup has removed the version with this number. Readers begin at a later checkpoint.
            return Ok(Some("versions lost"));
        }
        if number > self.newest + 1 {
            return Err(format!(
                "gap: version {number} was written after {}",
                self.newest
            ));
        }
        self.newest = number;
        let mut operation = String::new();
        let mut removed_days = 0;
        let mut added_days = 0;
        let is_day = |path: &str| path.contains("/day-");
        for line in bytes
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let action: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
            if let Some(path) = action["add"]["path"].as_str() {
                added_days += usize::from(is_day(path));
                if !self.live.insert(path.to_owned()) {
                    return Err(format!("log: {path} is added twice"));
                }
            } else if let Some(path) = action["remove"]["path"].as_str() {
                removed_days += usize::from(is_day(path));
                if !self.live.remove(path) {
                    return Err(format!("log: {path} is removed, and was not live"));
                }
            } else if let Some(manifest) = action["txn"]["version"].as_i64() {
                self.manifest = Some(manifest);
            } else if let Some(name) = action["commitInfo"]["operation"].as_str() {
                operation = name.to_owned();
            }
        }
        let totals = self.check(objects)?;
        let folds = totals.keys().any(|&(_, status)| status == OTHER);
        self.history.push((totals, self.counted.len()));
        Ok(Some(match (operation.as_str(), added_days, removed_days) {
            ("OPTIMIZE", 1.., _) => "days settled",
            ("OPTIMIZE", ..) => "hours settled",
            (_, _, 1..) => "days reopened",
            _ if folds => "commits with folded rows",
            _ => "commits",
        }))
    }

    /// Another object was written.
    pub(super) fn put(&mut self, name: &str, objects: &Objects) -> Outcome {
        if self.live.contains(name) || self.ledger_objects.contains(name) {
            self.check(objects)?;
        }
        Ok(None)
    }

    /// An object was deleted.
    pub(super) fn deleted(&mut self, name: &str, objects: &Objects) -> Outcome {
        if self.live.contains(name) || self.ledger_objects.contains(name) {
            return Err(format!("live: {name} is deleted, and part of the table"));
        }
        if name.starts_with("_staging/") {
            let lost = self
                .acknowledged
                .iter()
                .find(|uri| staged_name(uri) == name)
                .cloned();
            if let Some(uri) = lost {
                self.check_not_lost(&uri, objects)?;
            }
        }
        Ok(None)
    }

    fn check_not_lost(&self, uri: &str, objects: &Objects) -> Result<(), String> {
        let staged = Path::from(format!("{TABLE}/{}", staged_name(uri)));
        match self.counted.contains(uri) || objects.contains_key(&staged) {
            true => Ok(()),
            false => Err(format!(
                "lost: {uri} was acknowledged, and is neither staged nor counted"
            )),
        }
    }

    /// Checks the newest version, and returns its rows.
    fn check(&mut self, objects: &Objects) -> Result<Groups, String> {
        self.read_ledger(objects)?;
        let mut counted = Groups::new();
        for uri in &self.counted {
            let groups = self.truth.get(uri);
            let groups = groups.ok_or_else(|| format!("ledger: {uri} does not exist"))?;
            add_all(&mut counted, groups);
        }
        let mut rows = Groups::new();
        for path in self.live.clone() {
            for batch in self.read(&path, objects)?.iter() {
                let repeated =
                    add_rows(&mut rows, batch).map_err(|error| format!("{path}: {error}"))?;
                if self.merges && repeated {
                    return Err(format!(
                        "groups: a group has two rows, one of them in {path}"
                    ));
                }
            }
        }
        let expected = folded(&counted, &rows);
        if rows != expected {
            return Err(format!(
                "sum: the rows of version {} are not those of the log files in its ledger: {rows:?}, not {expected:?}",
                self.newest
            ));
        }
        if let Some(forgotten) = self
            .history
            .last()
            .and_then(|(before, _)| before.keys().find(|group| !rows.contains_key(group)))
        {
            return Err(format!("groups: {forgotten:?} had a row, and has none"));
        }
        Ok(rows)
    }

    fn read_ledger(&mut self, objects: &Objects) -> Result<(), String> {
        let Some(manifest) = self.manifest else {
            return Ok(());
        };
        let manifest = format!("_ledger/{manifest}.parquet");
        let mut names = BTreeSet::from([manifest.clone()]);
        let mut counted = BTreeSet::new();
        for batch in self.read(&manifest, objects)?.iter() {
            let (shards, ids) = (
                batch.column(0).as_string::<i32>(),
                batch.column(1).as_string::<i32>(),
            );
            for row in 0..batch.num_rows() {
                names.insert(format!(
                    "_ledger/{}/{}.parquet",
                    shards.value(row),
                    ids.value(row)
                ));
            }
        }
        for name in names.iter().filter(|&name| name != &manifest) {
            for batch in self.read(name, objects)?.iter() {
                let uris = batch.column(0).as_string::<i32>();
                for uri in uris.iter().flatten() {
                    if !counted.insert(uri.to_owned()) {
                        return Err(format!("twice: {uri} is in the ledger twice"));
                    }
                }
            }
        }
        if let Some(forgotten) = self.counted.difference(&counted).next() {
            return Err(format!("ledger: {forgotten} was counted, and is forgotten"));
        }
        self.counted = counted;
        self.ledger_objects = names;
        Ok(())
    }

    fn read(&mut self, name: &str, objects: &Objects) -> Result<Arc<Vec<RecordBatch>>, String> {
        let path = Path::from(format!("{TABLE}/{name}"));
        let object: &Object = objects
            .get(&path)
            .ok_or_else(|| format!("live: {name} is part of the table, and does not exist"))?;
        let key = (name.to_owned(), object.e_tag);
        if let Some(rows) = self.rows.get(&key) {
            return Ok(Arc::clone(rows));
        }
        let rows = ParquetRecordBatchReaderBuilder::try_new(object.bytes.clone())
            .and_then(|builder| builder.build())
            .map_err(|error| format!("{name}: {error}"))?
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("{name}: {error}"))?;
        let rows = Arc::new(rows);
        self.rows.insert(key, Arc::clone(&rows));
        Ok(rows)
    }
}

/// Adds each group that has no row of its own to the fold row of its minute, if there is one.
fn folded(groups: &Groups, rows: &Groups) -> Groups {
    let mut folded = Groups::new();
    for (&(minute, status), &count) in groups {
        let has_row = rows.contains_key(&(minute, status)) || !rows.contains_key(&(minute, OTHER));
        let status = if has_row { status } else { OTHER };
        *folded.entry((minute, status)).or_default() += count;
    }
    folded
}

/// The path of a log file's staged file, under the table's folder.
fn staged_name(uri: &str) -> String {
    let log_file = LogFile::new(uri);
    format!(
        "_staging/{}/{}.parquet",
        log_file.shard().as_str(),
        log_file.id()
    )
}

pub(super) fn add_all(sum: &mut Groups, groups: &Groups) {
    for (group, count) in groups {
        *sum.entry(*group).or_default() += count;
    }
}

/// Adds the rows of a batch. Returns whether it had a group that was there before.
pub(super) fn add_rows(sum: &mut Groups, batch: &RecordBatch) -> Result<bool, String> {
    let column = |name: &str| {
        let column = batch.column_by_name(name).ok_or("a column is missing")?;
        cast(column, &DataType::Int64).map_err(|error| error.to_string())
    };
    let (minutes, statuses) = (column("minute")?, column("status")?);
    let requests = match batch.column_by_name("requests") {
        Some(_) => Some(column("requests")?),
        None => None,
    };
    let is_other = batch
        .column_by_name("is_other")
        .map(|column| column.as_boolean());
    let mut repeated = false;
    for row in 0..batch.num_rows() {
        let value = |column: &dyn Array| column.as_primitive::<Int64Type>().value(row);
        let count = requests.as_ref().map_or(1, |requests| value(requests));
        let group = match is_other.is_some_and(|is_other| is_other.value(row)) {
            true if statuses.is_null(row) => (value(&minutes), OTHER),
            true => return Err("a row of others has a key".to_owned()),
            false => (value(&minutes), value(&statuses)),
        };
        repeated |= sum
            .insert(group, sum.get(&group).unwrap_or(&0) + count)
            .is_some();
    }
    Ok(repeated)
}
