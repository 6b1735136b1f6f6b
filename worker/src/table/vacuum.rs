//! Vacuum: deletes objects that a table no longer needs, after a grace period. Live objects are never deleted.
//!
//! | object | deleted |
//! |---|---|
//! | data files that a commit has replaced | a grace period after they were replaced: queries of older versions may read them |
//! | data files and ledger objects of failed commits, which no version has ever had | after [`ORPHAN_GRACE`] |
//! | ledger objects that newer ones have replaced | a grace period after they were written |
//! | versions and checkpoints of the log | a grace period after they were written, if a checkpoint covers them |
//! | partial files that a killed process has left in a folder | after [`ORPHAN_GRACE`] |
//! | notes of set-aside log files | once the ledger has the log file |
//! | earlier generations | when they can't be put back any more |
//! | generations that were begun and are nobody's next | after [`ORPHAN_GRACE`] |
//!
//! Vacuum does not touch staged files: the commit deletes them.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::{Duration, SystemTime};

use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore};
use walkdir::WalkDir;

use super::commit::DEADLINE;
use super::guards::Guard;
use super::{Table, TableError, Version, delete, folder, ledger, milliseconds};

/// How long objects that no version refers to are kept, because a commit in progress may have written them. It must be longer
/// than a commit may take, from its first file until its version is written, even if its machine is suspended in between.
pub(super) const ORPHAN_GRACE: Duration = Duration::from_hours(7 * 24);

/// The shortest grace period. A commit in progress, or a query that has just begun, must find the files that it reads.
pub const MIN_GRACE: Duration = Duration::from_hours(1);

/// The longest grace period: the log forgets after a week when a file was replaced.
pub const MAX_GRACE: Duration = Duration::from_hours(6 * 24);

/// What was deleted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Vacuumed {
    /// Data files that were replaced, or that never became part of the table.
    pub data_files: usize,
    /// Objects of the ledger.
    pub ledger_objects: usize,
    /// Versions and checkpoints of the log.
    pub log_files: usize,
    /// Notes of log files that were set aside and are counted by now.
    pub notes: usize,
    /// The size of the data files and ledger objects in bytes.
    pub bytes: u64,
}

impl Table {
    /// Deletes objects that the table no longer needs. `grace`, from [`MIN_GRACE`] to [`MAX_GRACE`], must be longer than any
    /// query.
    pub async fn vacuum(&self, grace: Duration) -> Result<Vacuumed, TableError> {
        self.until_won(|| self.try_vacuum(grace)).await
    }

    async fn try_vacuum(&self, grace: Duration) -> Result<Vacuumed, TableError> {
        let grace = grace.clamp(MIN_GRACE, MAX_GRACE);
        let begun = self.env.now();
        // The order of these two does not matter, nor how long either takes: a commit has a deadline, so a file of a version
        // that is written after `begun` is far younger than `begun - ORPHAN_GRACE`. No older version names that file.
        let objects = self.objects().await?;
        let version = self.version().await?;
        let dead = Dead {
            ledger: newest_ledger(&objects, &version),
            live: live(&version),
            replaced: self.replaced(&version).await?,
            grace: match self.guards.is_on(Guard::ReplacedGrace) {
                // The log has the time at which a commit removed a file. The commit may have landed up to a deadline later.
                true => milliseconds(begun - grace - DEADLINE),
                false => i64::MAX,
            },
            orphan_grace: match self.guards.is_on(Guard::OrphanGrace) {
                true => milliseconds(begun - ORPHAN_GRACE),
                false => i64::MAX,
            },
        };
        let mut vacuumed = Vacuumed::default();
        let mut paths = Vec::new();
        for object in objects {
            if !dead.is_dead(&object) {
                continue;
            }
            match object.location.as_ref().starts_with(ledger::FOLDER) {
                true => vacuumed.ledger_objects += 1,
                false => vacuumed.data_files += 1,
            }
            vacuumed.bytes += object.size;
            paths.push(object.location);
        }
        delete(&self.store, paths).await?;
        vacuumed.notes = self.notes().sweep(&version).await?;
        let (objects, bytes) = self.vacuum_generations(&version, begun, grace).await?;
        vacuumed.data_files += objects;
        vacuumed.bytes += bytes;
        // To put an earlier generation back, its version is read.
        if !version.generations.keep_any(begun) {
            vacuumed.log_files = self.trim_log(&version, begun - grace).await?;
        }
        self.delete_partial_files(begun - ORPHAN_GRACE);
        Ok(vacuumed)
    }

    /// Data files and ledger objects, whether live or not.
    async fn objects(&self) -> Result<Vec<ObjectMeta>, TableError> {
        let is_ours = |object: &ObjectMeta| {
            let path = object.location.as_ref();
            path.starts_with("date=") || path.starts_with("_ledger/")
        };
        let mut objects = Vec::new();
        // Not everything is listed: staging may hold a backlog, and the log has its own rules.
        let top = self.store.list_with_delimiter(None).await?;
        for folder in top.common_prefixes {
            let name = folder.filename().unwrap_or_default();
            if name.starts_with("date=") || name == ledger::FOLDER {
                let found: Vec<ObjectMeta> = self.store.list(Some(&folder)).try_collect().await?;
                objects.extend(found.into_iter().filter(is_ours));
            }
        }
        Ok(objects)
    }

    /// When files were replaced, if the log has it, in milliseconds since 1970.
    async fn replaced(&self, version: &Version) -> Result<HashMap<String, i64>, TableError> {
        let state = version.delta.snapshot()?;
        let log_store = version.delta.log_store();
        let tombstones = state.all_tombstones(&*log_store);
        let replaced = tombstones.map_ok(|tombstone| {
            let when = tombstone.deletion_timestamp().unwrap_or(i64::MAX);
            let path = tombstone.path();
            Some((self.folder.of_log(&path)?.to_owned(), when))
        });
        Ok(replaced
            .try_filter_map(async |file| Ok(file))
            .try_collect()
            .await?)
    }

    /// Deletes partial files. In a folder, a file is written as `<name>#<number>`, and renamed when it is complete. A killed
    /// process leaves it behind. Stores don't list such files.
    fn delete_partial_files(&self, before: SystemTime) {
        let Some(folder) = folder(self.log_store.root_url()) else {
            return;
        };
        for entry in WalkDir::new(folder).into_iter().flatten() {
            let name = entry.file_name().to_string_lossy();
            let is_partial = name
                .rsplit_once('#')
                .is_some_and(|(_, number)| number.parse::<u64>().is_ok());
            let is_old = || {
                let modified = entry.metadata().ok()?.modified().ok()?;
                Some(modified < before)
            };
            if is_partial && entry.file_type().is_file() && is_old() == Some(true) {
                // Ignore a failure: the next vacuum tries again.
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// All objects that the version consists of.
fn live(version: &Version) -> HashSet<Path> {
    let data = version.files.iter();
    let data = data.map(|file| Path::from(file.path.as_str()));
    data.chain(version.ledger.paths()).collect()
}

/// When the version's ledger objects were written, by folder: each shard's folder has one, and so does the manifests' folder.
fn newest_ledger(objects: &[ObjectMeta], version: &Version) -> HashMap<String, i64> {
    let ledger: HashSet<Path> = version.ledger.paths().collect();
    let ledger = objects
        .iter()
        .filter(|object| ledger.contains(&object.location));
    ledger
        .map(|object| (parent(&object.location), written(object)))
        .collect()
}

fn parent(path: &Path) -> String {
    let path = path.as_ref();
    path.rsplit_once('/')
        .map_or("", |(folder, _)| folder)
        .to_owned()
}

/// Decides which objects may be deleted.
struct Dead {
    live: HashSet<Path>,
    replaced: HashMap<String, i64>,
    ledger: HashMap<String, i64>,
    /// Objects that were replaced before this time may be deleted, in milliseconds since 1970.
    grace: i64,
    /// Objects that were written before this time, and are not known to have been replaced, may be deleted.
    orphan_grace: i64,
}

impl Dead {
    fn is_dead(&self, object: &ObjectMeta) -> bool {
        if self.live.contains(&object.location) {
            return false;
        }
        let written = written(object);
        if let Some(&replaced) = self.replaced.get(object.location.as_ref()) {
            return replaced < self.grace;
        }
        // The commit that wrote this object had not seen the ledger's current object, so no later version will refer to it. A
        // reader of an older version that does not find it reads the next version.
        let newest = self.ledger.get(&parent(&object.location));
        if newest.is_some_and(|&newest| written < newest) {
            return written < self.grace;
        }
        written < self.orphan_grace
    }
}

/// When an object was written, in milliseconds since 1970, by the store's clock.
fn written(object: &ObjectMeta) -> i64 {
    object.last_modified.timestamp_millis()
}
