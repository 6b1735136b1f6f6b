//! The checker: verifies the invariants after every change of the store, without using the code under test. It parses the
//! logs' JSON and the Parquet files itself, and knows the content of each log file. The table has a log, and so has each generation
//! that is or was the next one: all of them must hold the invariants as long as they are in use.

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

use super::scheduler::{HOUR, Object, Objects};
use super::{OLD, TABLES};

/// The status of the fold row: it holds the groups for which a slot had no room.
const OTHER: i64 = -1;

/// Number of requests per minute and status.
pub(super) type Groups = BTreeMap<(i64, i64), i64>;

/// `Ok`: the invariants hold, possibly with an event to count. `Err`: which invariant is broken.
pub(super) type Outcome = Result<Option<&'static str>, String>;

/// How often the rows of some hours count the requests of a log file, where that is not what the table's SQL says: never, if they were
/// removed because they were old; or as the SQL says that they were taken over from. By log file and hour since 1970.
type Exceptions = HashMap<String, HashMap<i64, i64>>;

/// The content of a version.
#[derive(Clone)]
pub(super) struct Past {
    pub(super) rows: Groups,
    exceptions: Arc<Exceptions>,
    factor: i64,
}

/// The checkers of all tables.
pub(super) struct Checker {
    tables: BTreeMap<&'static str, TableChecker>,
    acknowledged: HashSet<String>,
    /// Whether a table ends because it is renamed. Otherwise what was acknowledged for it is void.
    is_renamed: bool,
    /// How often the old table was dropped and made anew: odd as long as it is dropped.
    lives: u64,
}

/// The checkers of a table's logs.
struct TableChecker {
    name: &'static str,
    /// The content of each log file.
    truth: HashMap<String, Groups>,
    merges: bool,
    /// The checker of each log, by the folder of the log.
    logs: BTreeMap<String, LogChecker>,
}

/// The checker of one log. Paths are relative to the table's folder.
pub(super) struct LogChecker {
    table: &'static str,
    merges: bool,
    /// Whether it has a version.
    pub(super) exists: bool,
    /// Whether the newest version is the last one.
    pub(super) is_dropped: bool,
    /// The folder of the log, and what paths in it begin with.
    log: String,
    /// The folder of the live generation.
    folder: String,
    /// The folder of the next generation.
    next: Option<String>,
    /// Folders that were live or next, and are neither.
    dead: BTreeSet<String>,
    /// How often the SQL counts each request.
    factor: i64,
    truth: HashMap<String, Groups>,
    /// The number of the newest version.
    pub(super) newest: u64,
    /// The data files of the newest version.
    pub(super) live: BTreeSet<String>,
    manifest: Option<i64>,
    /// The ledger objects of the newest version.
    pub(super) ledger_objects: BTreeSet<String>,
    /// The log files that the newest version has counted.
    pub(super) counted: BTreeSet<String>,
    /// Those of which it has only the rows in kept hours.
    pending: BTreeSet<String>,
    /// The hours that a next generation has taken over, as its log says.
    kept: Vec<(i64, i64)>,
    exceptions: Arc<Exceptions>,
    /// The content of each version.
    pub(super) history: Vec<Past>,
    rows: HashMap<(String, u64), Arc<Vec<RecordBatch>>>,
}

fn joined(folder: &str, name: &str) -> String {
    match folder.is_empty() {
        true => name.to_owned(),
        false => format!("{folder}/{name}"),
    }
}

impl Checker {
    /// A checker for a table that has been created and is still empty, and for one that may become its copy.
    pub(super) fn new(merges: bool, truth: &HashMap<String, Groups>, is_renamed: bool) -> Self {
        let mut tables = BTreeMap::new();
        for name in TABLES {
            let mut log = LogChecker::new(name, "", merges, truth.clone());
            log.exists = name == OLD;
            let table = TableChecker {
                name,
                truth: truth.clone(),
                merges,
                logs: [(String::new(), log)].into(),
            };
            tables.insert(name, table);
        }
        Self {
            tables,
            acknowledged: HashSet::new(),
            is_renamed,
            lives: 0,
        }
    }

    /// The checker of a table's own log.
    pub(super) fn table(&self, name: &str) -> &LogChecker {
        &self.tables[name].logs[""]
    }

    /// Changes when the old table is dropped, and when it is made anew.
    pub(super) fn lives(&self) -> u64 {
        self.lives
    }

    /// Whether a table has counted this log file.
    pub(super) fn has_counted(&self, uri: &str) -> bool {
        let mut tables = TABLES.into_iter();
        tables.any(|name| self.table(name).counted.contains(uri))
    }

    /// A log file is acknowledged. From now on it must not be lost. `lives`: those when its staging began.
    pub(super) fn acknowledge(&mut self, uri: &str, lives: u64, objects: &Objects) -> Outcome {
        // For a table that is dropped before anybody has made it anew.
        if !self.is_renamed && (lives != self.lives || !lives.is_multiple_of(2)) {
            return Ok(Some("acknowledged for a dropped table"));
        }
        let repeated = !self.acknowledged.insert(uri.to_owned());
        self.check_not_lost(uri, objects)?;
        Ok(repeated.then_some("repeated deliveries"))
    }

    pub(super) fn acknowledged(&self) -> impl Iterator<Item = &String> {
        self.acknowledged.iter()
    }

    /// Whether this object is of a generation that was live or next, and is neither.
    pub(super) fn is_of_dead_generation(&self, table: &str, name: &str) -> bool {
        let dead = &self.table(table).dead;
        dead.iter()
            .any(|folder| !folder.is_empty() && name.starts_with(&format!("{folder}/")))
    }

    /// A version of a log was written.
    pub(super) fn version(
        &mut self,
        table: &str,
        log: &str,
        number: u64,
        bytes: &Bytes,
        objects: &Objects,
    ) -> Outcome {
        // The copy takes over what a version of the old table has.
        let of_old = match table == OLD {
            true => Vec::new(),
            false => self.table(OLD).history.clone(),
        };
        let Some(checker) = self.tables.get_mut(table) else {
            return Ok(None);
        };
        let before = checker.logs[""].is_dropped;
        let outcome = checker.version(log, number, bytes, objects, of_old)?;
        let is_dropped = checker.logs[""].is_dropped;
        self.lives += u64::from(before != is_dropped);
        if is_dropped && !before {
            if !self.is_renamed {
                self.acknowledged.clear();
            }
            for uri in &self.acknowledged {
                self.check_not_lost(uri, objects)?;
            }
        }
        Ok(outcome)
    }

    /// Another object was written.
    pub(super) fn put(&mut self, table: &str, name: &str, objects: &Objects) -> Outcome {
        if let Some(table) = self.tables.get_mut(table) {
            table.put(name, objects)?;
        }
        Ok(None)
    }

    /// An object was deleted.
    pub(super) fn deleted(&mut self, table: &str, name: &str, objects: &Objects) -> Outcome {
        if let Some(table) = self.tables.get_mut(table) {
            table.deleted(name)?;
        }
        if name.contains("_staging/") {
            let lost = self
                .acknowledged
                .iter()
                .find(|uri| name.ends_with(&staged_name(uri)))
                .cloned();
            if let Some(uri) = lost {
                self.check_not_lost(&uri, objects)?;
            }
        }
        Ok(None)
    }

    /// A log file is not lost if a table has counted it, or if it is staged or set aside for any generation.
    fn check_not_lost(&self, uri: &str, objects: &Objects) -> Result<(), String> {
        let (staged, note) = (staged_name(uri), note_name(uri));
        let is_kept =
            |path: &Path| path.as_ref().ends_with(&staged) || path.as_ref().contains(&note);
        match self.has_counted(uri) || objects.keys().any(is_kept) {
            true => Ok(()),
            false => Err(format!(
                "lost: {uri} was acknowledged, and is neither staged nor counted"
            )),
        }
    }
}

impl TableChecker {
    fn version(
        &mut self,
        log: &str,
        number: u64,
        bytes: &Bytes,
        objects: &Objects,
        mut bases: Vec<Past>,
    ) -> Outcome {
        if !self.logs.contains_key(log) {
            let checker = LogChecker::new(self.name, log, self.merges, self.truth.clone());
            self.logs.insert(log.to_owned(), checker);
        }
        let is_over = self.is_over(log);
        let table = &self.logs[""];
        if !log.is_empty() {
            bases = table.history.clone();
        }
        let next = table.next.as_ref().and_then(|next| self.logs.get(next));
        let of_next = next.map(|next| Arc::clone(&next.exceptions));
        let Some(checker) = self.logs.get_mut(log) else {
            return Ok(None);
        };
        if is_over {
            return Ok(Some("versions of dead generations"));
        }
        let before = (checker.folder.clone(), checker.next.clone());
        let outcome = checker.version(number, bytes, objects, &bases, of_next)?;
        let (is_other, next) = (before.0 != checker.folder, checker.next.clone());
        let is_swap = is_other && outcome != Some("tables made anew");
        if log.is_empty()
            && next != before.1
            && let Some(next) = next
        {
            let checker = self.logs.get_mut(&next);
            let checker = checker.ok_or_else(|| format!("next: {next} has no log"))?;
            checker.check(objects, true, &[])?;
        }
        Ok(if is_swap { Some("swaps") } else { outcome })
    }

    /// Whether a generation's own log is not in use any more: the generation is live, or dead.
    fn is_over(&self, log: &str) -> bool {
        let table = &self.logs[""];
        !log.is_empty() && (table.folder == log || table.dead.contains(log))
    }

    /// The logs that are in use: the table's own, and that of its next generation.
    fn in_use(&mut self) -> impl Iterator<Item = &mut LogChecker> {
        let next = self.logs[""].next.clone();
        let logs = self.logs.iter_mut();
        let in_use = logs.filter(move |(log, _)| log.is_empty() || next.as_ref() == Some(*log));
        in_use.map(|(_, checker)| checker)
    }

    fn put(&mut self, name: &str, objects: &Objects) -> Result<(), String> {
        for checker in self.in_use() {
            if checker.live.contains(name) || checker.ledger_objects.contains(name) {
                checker.check(objects, true, &[])?;
            }
        }
        Ok(())
    }

    fn deleted(&mut self, name: &str) -> Result<(), String> {
        for checker in self.in_use() {
            if checker.live.contains(name) || checker.ledger_objects.contains(name) {
                return Err(format!("live: {name} is deleted, and part of the table"));
            }
        }
        Ok(())
    }
}

impl LogChecker {
    /// Whether this is of the log that the live generation had when it was the next one, or its lease.
    pub(super) fn is_of_log_of_live(&self, name: &str) -> bool {
        let log = joined(&self.folder, "_delta_log/");
        !self.folder.is_empty()
            && (name.starts_with(&log) || name == joined(&self.folder, "_lease"))
    }

    fn new(table: &'static str, log: &str, merges: bool, truth: HashMap<String, Groups>) -> Self {
        let created = Past {
            rows: Groups::new(),
            exceptions: Arc::default(),
            factor: 1,
        };
        Self {
            table,
            merges,
            exists: false,
            is_dropped: false,
            log: log.to_owned(),
            folder: log.to_owned(),
            next: None,
            dead: BTreeSet::new(),
            factor: 1,
            truth,
            newest: 0,
            live: BTreeSet::new(),
            manifest: None,
            ledger_objects: BTreeSet::new(),
            counted: BTreeSet::new(),
            pending: BTreeSet::new(),
            kept: Vec::new(),
            exceptions: Arc::default(),
            history: vec![created],
            rows: HashMap::new(),
        }
    }

    /// A version was written.
    ///
    /// If it is the first one with rows, these may have been taken over from one of `bases`. If it is a swap, the next generation has the
    /// exceptions `of_next`.
    fn version(
        &mut self,
        number: u64,
        bytes: &Bytes,
        objects: &Objects,
        bases: &[Past],
        of_next: Option<Arc<Exceptions>>,
    ) -> Outcome {
        if number > 0 && number <= self.newest {
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
        self.exists = true;
        let was_dropped = self.is_dropped;
        let mut operation = String::new();
        let mut removed_days = 0;
        let mut added_days = 0;
        let mut is_swap = false;
        let mut removed = Vec::new();
        let is_day = |path: &str| path.contains("/day-");
        for line in bytes
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let action: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
            if let Some(path) = action["add"]["path"].as_str() {
                added_days += usize::from(is_day(path));
                if !self.live.insert(joined(&self.log, path)) {
                    return Err(format!("log: {path} is added twice"));
                }
            } else if let Some(path) = action["remove"]["path"].as_str() {
                removed_days += usize::from(is_day(path));
                removed.push(path.to_owned());
                if !self.live.remove(&joined(&self.log, path)) {
                    return Err(format!("log: {path} is removed, and was not live"));
                }
            } else if let Some(manifest) = action["txn"]["version"].as_i64() {
                self.manifest = Some(manifest).filter(|&manifest| manifest >= 0);
            } else if let Some(name) = action["commitInfo"]["operation"].as_str() {
                operation = name.to_owned();
            } else if let Some(properties) = action["metaData"]["configuration"].as_object() {
                let property = |name: &str| properties.get(name).and_then(Value::as_str);
                let sql = property("logmill.rollup").unwrap_or_default();
                self.factor = super::factor(sql);
                self.kept = kept_hours(property("logmill.kept"));
                self.is_dropped = property("logmill.dropped").is_some();
                let next = property("logmill.next").filter(|_| !self.is_dropped);
                let next = next.map(str::to_owned);
                let folder = property("logmill.folder").unwrap_or_default();
                let folder = joined(&self.log, folder);
                let folder = folder.trim_end_matches('/').to_owned();
                let before = std::mem::replace(&mut self.folder, folder);
                let next_before = std::mem::replace(&mut self.next, next);
                is_swap = before != self.folder;
                self.dead.insert(before);
                self.dead.extend(next_before);
                if !self.is_dropped {
                    self.dead.remove(&self.folder);
                }
                if let Some(next) = &self.next {
                    self.dead.remove(next);
                }
            }
        }
        if number == 0 {
            return Ok(None);
        }
        if self.is_dropped {
            return self.end();
        }
        let is_anew = was_dropped;
        let is_deletion = operation == "DELETE";
        if is_deletion {
            let hours: Vec<i64> = removed.iter().flat_map(|path| hours_of(path)).collect();
            let exceptions = Arc::make_mut(&mut self.exceptions);
            for uri in &self.counted {
                let exceptions = exceptions.entry(uri.clone()).or_default();
                exceptions.extend(hours.iter().map(|&hour| (hour, 0)));
            }
        }
        if is_swap && !is_anew {
            self.exceptions = of_next.unwrap_or_default();
        }
        let is_untouched = self.counted.is_empty() && self.pending.is_empty();
        let bases = if is_untouched { bases } else { &[] };
        let totals = self.check(objects, !is_swap && !is_deletion, bases)?;
        let folds = totals.keys().any(|&(_, status)| status == OTHER);
        self.history.push(Past {
            rows: totals,
            exceptions: Arc::clone(&self.exceptions),
            factor: self.factor,
        });
        Ok(Some(match (operation.as_str(), added_days, removed_days) {
            _ if is_anew => "tables made anew",
            _ if !self.log.is_empty() => "versions of next generations",
            ("DELETE", ..) => "old rows removed",
            ("OPTIMIZE", 1.., _) => "days settled",
            ("OPTIMIZE", ..) => "hours settled",
            ("SET TBLPROPERTIES", ..) => "properties set",
            (_, _, 1..) => "days reopened",
            _ if folds => "commits with folded rows",
            _ => "commits",
        }))
    }

    /// The newest version is the last one.
    fn end(&mut self) -> Outcome {
        if let Some(path) = self.live.first() {
            return Err(format!("dropped: {path} is part of the last version"));
        }
        self.manifest = None;
        self.ledger_objects.clear();
        self.counted.clear();
        self.pending.clear();
        self.kept.clear();
        self.exceptions = Arc::default();
        self.history.push(Past {
            rows: Groups::new(),
            exceptions: Arc::default(),
            factor: self.factor,
        });
        Ok(Some("tables dropped"))
    }

    /// Checks the newest version, and returns its rows.
    ///
    /// A group that had a row keeps it, unless this version is a swap: the other generation may have folded other groups. If it is the first
    /// version with rows, they may have been taken over from one of `bases`.
    fn check(
        &mut self,
        objects: &Objects,
        keeps_groups: bool,
        bases: &[Past],
    ) -> Result<Groups, String> {
        self.read_ledger(objects)?;
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
        let mut expected = folded(&self.expected()?, &rows);
        for base in bases.iter().rev() {
            if rows == expected {
                break;
            }
            self.exceptions = Arc::new(self.taken_over(base));
            expected = folded(&self.expected()?, &rows);
        }
        if rows != expected {
            return Err(format!(
                "sum: the rows of version {} are not those of the log files in its ledger: {rows:?}, not {expected:?}",
                self.newest
            ));
        }
        if let Some(forgotten) = self
            .history
            .last()
            .filter(|_| keeps_groups)
            .and_then(|before| before.rows.keys().find(|group| !rows.contains_key(group)))
        {
            return Err(format!("groups: {forgotten:?} had a row, and has none"));
        }
        Ok(rows)
    }

    /// The rows of the log files in the ledger, if none are folded.
    fn expected(&self) -> Result<Groups, String> {
        let mut expected = Groups::new();
        for uri in self.counted.iter().chain(&self.pending) {
            let groups = self.truth.get(uri);
            let groups = groups.ok_or_else(|| format!("ledger: {uri} does not exist"))?;
            let is_pending = self.pending.contains(uri);
            let exceptions = self.exceptions.get(uri);
            for (group, count) in groups {
                let exception = exceptions.and_then(|hours| hours.get(&hour_of(group.0)));
                let factor = exception.copied().unwrap_or(self.factor);
                let is_there = !is_pending || is_kept(&self.kept, group.0);
                if is_there && factor > 0 {
                    *expected.entry(*group).or_default() += count * factor;
                }
            }
        }
        Ok(expected)
    }

    /// The exceptions, if the rows of kept hours are those of this version of another log.
    fn taken_over(&self, base: &Past) -> Exceptions {
        let mut taken_over = Exceptions::new();
        for uri in self.counted.iter().chain(&self.pending) {
            for (minute, _) in self.truth.get(uri).into_iter().flat_map(Groups::keys) {
                let hour = hour_of(*minute);
                let exception = base.exceptions.get(uri).and_then(|hours| hours.get(&hour));
                let factor = exception.copied().unwrap_or(base.factor);
                // A copy is a table of its own, which keeps everything.
                let is_taken_over = self.log.is_empty() || is_kept(&self.kept, *minute);
                if is_taken_over && factor != self.factor {
                    let hours = taken_over.entry(uri.clone()).or_default();
                    hours.insert(hour, factor);
                }
            }
        }
        taken_over
    }

    fn read_ledger(&mut self, objects: &Objects) -> Result<(), String> {
        let Some(manifest) = self.manifest else {
            return Ok(());
        };
        let manifest = joined(&self.folder, &format!("_ledger/{manifest}.parquet"));
        let mut names = BTreeSet::from([manifest.clone()]);
        let (mut counted, mut pending) = (BTreeSet::new(), BTreeSet::new());
        for batch in self.read(&manifest, objects)?.iter() {
            let (shards, ids) = (
                batch.column(0).as_string::<i32>(),
                batch.column(1).as_string::<i32>(),
            );
            for row in 0..batch.num_rows() {
                let object = format!("_ledger/{}/{}.parquet", shards.value(row), ids.value(row));
                names.insert(joined(&self.folder, &object));
            }
        }
        for name in names.iter().filter(|&name| name != &manifest) {
            for batch in self.read(name, objects)?.iter() {
                let uris = batch.column(0).as_string::<i32>();
                let are_pending = batch.column_by_name("pending");
                let are_pending = are_pending.map(|pending| pending.as_boolean());
                for (row, uri) in uris.iter().flatten().enumerate() {
                    let is_new = match are_pending.is_some_and(|pending| pending.value(row)) {
                        true => pending.insert(uri.to_owned()),
                        false => counted.insert(uri.to_owned()),
                    };
                    if !is_new || (pending.contains(uri) && counted.contains(uri)) {
                        return Err(format!("twice: {uri} is in the ledger twice"));
                    }
                }
            }
        }
        if let Some(forgotten) = self.counted.difference(&counted).next() {
            return Err(format!("ledger: {forgotten} was counted, and is forgotten"));
        }
        self.counted = counted;
        self.pending = pending;
        self.ledger_objects = names;
        Ok(())
    }

    fn read(&mut self, name: &str, objects: &Objects) -> Result<Arc<Vec<RecordBatch>>, String> {
        let path = Path::from(format!("tables/{}/{name}", self.table));
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

/// The ranges of hours in the property of a next generation.
fn kept_hours(json: Option<&str>) -> Vec<(i64, i64)> {
    let Some(Ok(kept)) = json.map(serde_json::from_str::<Value>) else {
        return Vec::new();
    };
    let ranges = kept["hours"].as_array().into_iter().flatten();
    let edge = |range: &Value, edge: &str| range[edge].as_i64();
    ranges
        .filter_map(|range| Some((edge(range, "start")?, edge(range, "end")?)))
        .collect()
}

/// The hour since 1970 of a minute, in microseconds since 1970.
fn hour_of(minute: i64) -> i64 {
    minute.div_euclid(HOUR as i64 * 1000)
}

/// The hours since 1970 of a data file, by its path, which ends with `date=2026-11-22/T10-….parquet`, or `day-…` in the place of the hour.
fn hours_of(path: &str) -> Vec<i64> {
    let parsed = || {
        let (_, path) = path.split_once("date=")?;
        let (date, name) = path.split_once('/')?;
        let date: chrono::NaiveDate = date.parse().ok()?;
        let first = date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp() / 3600;
        match name.split_once('-')?.0.strip_prefix('T') {
            Some(hour) => Some(vec![first + hour.parse::<i64>().ok()?]),
            None => Some((first..first + 24).collect()),
        }
    };
    parsed().unwrap_or_default()
}

/// Whether a minute, in microseconds since 1970, is in one of these ranges of hours.
fn is_kept(hours: &[(i64, i64)], minute: i64) -> bool {
    let hour = hour_of(minute);
    hours.iter().any(|&(from, to)| from <= hour && hour < to)
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

/// What the paths of notes about a log file contain.
fn note_name(uri: &str) -> String {
    let log_file = LogFile::new(uri);
    format!("_set_aside/{}/{}", log_file.shard().as_str(), log_file.id())
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
