//! What is set aside: log files that a table can't count as it stands, until a person has done something about it.
//!
//! A note says which log file, why, and since when. It is beside what is staged, and moves nothing:
//!
//! ```text
//! _set_aside/<shard>/<id>.json                     the rollup fails on the log file as a whole, and nothing is staged
//! _set_aside/<shard>/<id>-<version>.json           what is staged can't be committed: this version of `_staging/<shard>/<id>.parquet`
//! ```
//!
//! A commit leaves out staged files that a note names, by their version: the same log file staged anew is another one, and is
//! counted. So the order of truth is: the ledger, what is staged, what is set aside. Notes of what the ledger has are swept by
//! vacuum.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{StreamExt, TryStreamExt};
use logmill_shared::{LogFile, LogFileId, Shard};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};

use super::env::{Env, Guard};
use super::staging::StagedFile;
use super::{Table, TableError, Version, delete, in_shard, milliseconds};

const FOLDER: &str = "_set_aside";

/// Notes that are read at once.
const READ_AT_ONCE: usize = 16;

/// A reason is kept up to this length, in bytes: what stands in an error may be of any.
const REASON_BYTES_MAX: usize = 4096;

/// What a note says.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// The log file's URI. `None` if what is staged does not tell it.
    log_file: Option<String>,
    reason: String,
    /// In milliseconds since 1970.
    since: i64,
}

/// A log file that is set aside for a table.
#[derive(Debug, Clone)]
pub struct SetAside {
    /// The log file's id, half the SHA-256 of its URI.
    pub id: LogFileId,
    /// The shard of the ledger that it belongs to.
    pub shard: Shard,
    /// Its URI, if that is known: what is staged of it may be damaged.
    pub log_file: Option<String>,
    /// Why it can't be counted.
    pub reason: String,
    /// Since when.
    pub since: SystemTime,
    /// Whether it is staged.
    pub is_staged: bool,
    path: Path,
}

/// How much is set aside for a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HowMuch {
    /// How many log files.
    pub log_files: usize,
    /// How long the oldest of them has been. Zero if there is none.
    pub oldest: Duration,
}

/// A note, by its path alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) shard: Shard,
    pub(super) id: LogFileId,
    version: Option<String>,
    /// When it was written, by the store's clock.
    pub(super) since: SystemTime,
}

impl Name {
    fn of_object(object: &ObjectMeta) -> Option<Self> {
        let (shard, name) = in_shard(object, FOLDER)?;
        let name = name.strip_suffix(".json")?;
        let (id, version) = match name.split_once('-') {
            Some((id, version)) => (id, Some(version.to_owned())),
            None => (name, None),
        };
        Some(Self {
            shard,
            id: id.parse().ok()?,
            version,
            since: object.last_modified.into(),
        })
    }

    fn path(&self) -> Path {
        let name = match &self.version {
            Some(version) => format!("{}-{version}.json", self.id),
            None => format!("{}.json", self.id),
        };
        Path::from_iter([FOLDER, self.shard.as_str(), &name])
    }
}

/// The notes of a table.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) all: Vec<Name>,
    /// Staged files that are set aside, by log file and version.
    versions: HashSet<(LogFileId, Option<String>)>,
}

impl Names {
    pub(super) async fn list(
        store: &Arc<dyn ObjectStore>,
        env: &dyn Env,
    ) -> Result<Self, TableError> {
        let objects = store.list(Some(&Path::from(FOLDER)));
        let all: Vec<Name> = objects
            .try_filter_map(async |object| Ok(Name::of_object(&object)))
            .try_collect()
            .await?;
        let versions = all.iter().filter_map(|name| {
            let version = name.version.clone()?;
            let is_exact = env.keeps(Guard::SetAsideVersion);
            Some((name.id, is_exact.then_some(version)))
        });
        Ok(Self {
            versions: versions.collect(),
            all,
        })
    }

    /// How much is set aside, with these log files, which have just been.
    pub(super) fn how_much(&self, now: SystemTime, fresh: &[LogFileId]) -> HowMuch {
        let ids = self.all.iter().map(|name| name.id);
        let ids: BTreeSet<LogFileId> = ids.chain(fresh.iter().copied()).collect();
        let oldest = self.all.iter().map(|name| name.since).min();
        let age = |since| now.duration_since(since).unwrap_or_default();
        HowMuch {
            log_files: ids.len(),
            oldest: oldest.map(age).unwrap_or_default(),
        }
    }

    /// Whether this staged file is set aside.
    pub(super) fn cover(&self, staged: &StagedFile) -> bool {
        let is_covered = |version| self.versions.contains(&(staged.id, version));
        is_covered(Some(staged.version_name())) || is_covered(None)
    }
}

/// The notes of a table, which need not be readable, nor be there.
#[derive(Debug, Clone)]
pub struct Notes {
    store: Arc<dyn ObjectStore>,
    env: Arc<dyn Env>,
}

impl Notes {
    pub(super) fn new(store: Arc<dyn ObjectStore>, env: Arc<dyn Env>) -> Self {
        Self { store, env }
    }

    /// All that is set aside, the oldest first.
    ///
    /// # Errors
    ///
    /// The notes can't be listed or read.
    pub async fn read(&self) -> Result<Vec<SetAside>, TableError> {
        let names = Names::list(&self.store, &*self.env).await?.all;
        let notes = futures::stream::iter(names).map(async |name| {
            let path = name.path();
            let text = match self.store.get(&path).await {
                Ok(found) => found.bytes().await?,
                // It has been put back just now.
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            // A note that can't be read is still one.
            let note = serde_json::from_slice(&text).unwrap_or(Note {
                log_file: None,
                reason: "the note that says why can't be read".to_owned(),
                since: milliseconds(name.since),
            });
            Ok::<_, TableError>(Some(SetAside {
                id: name.id,
                shard: name.shard,
                log_file: note.log_file,
                reason: note.reason,
                since: UNIX_EPOCH + Duration::from_millis(note.since.unsigned_abs()),
                is_staged: name.version.is_some(),
                path,
            }))
        });
        let notes: Vec<Option<SetAside>> = notes.buffered(READ_AT_ONCE).try_collect().await?;
        let mut notes: Vec<SetAside> = notes.into_iter().flatten().collect();
        notes.sort_by_key(|note| note.since);
        Ok(notes)
    }

    /// How much is set aside now. It costs a listing, and reads none of the notes.
    ///
    /// # Errors
    ///
    /// The notes can't be listed.
    pub async fn how_much(&self) -> Result<HowMuch, TableError> {
        let names = Names::list(&self.store, &*self.env).await?;
        Ok(names.how_much(self.env.now(), &[]))
    }

    /// Forgets that these are set aside: the next commit tries again what is staged.
    ///
    /// # Errors
    ///
    /// The notes can't be deleted.
    pub async fn put_back(&self, notes: &[SetAside]) -> Result<(), TableError> {
        delete(&self.store, notes.iter().map(|note| note.path.clone())).await
    }

    /// Forgets the notes of log files that this version's ledger has. Returns how many there were.
    ///
    /// # Errors
    ///
    /// The notes can't be listed or deleted, or the ledger can't be read.
    pub async fn sweep(&self, version: &Version) -> Result<usize, TableError> {
        let names = Names::list(&self.store, &*self.env).await?.all;
        let shards: HashSet<Shard> = names.iter().map(|name| name.shard.clone()).collect();
        let counted = version.counted(&shards).await?;
        let done = names.iter().filter(|name| counted.contains(&name.id));
        let paths: Vec<Path> = done.map(Name::path).collect();
        let swept = paths.len();
        delete(&self.store, paths).await?;
        Ok(swept)
    }

    /// Sets a log file aside, of which nothing is staged. When this returns, it may be acknowledged.
    ///
    /// # Errors
    ///
    /// The note can't be written.
    pub async fn set_aside(&self, log_file: &LogFile, reason: &str) -> Result<(), TableError> {
        let name = Name {
            shard: log_file.shard(),
            id: log_file.id(),
            version: None,
            since: self.env.now(),
        };
        self.write(&name, Some(log_file.uri().to_owned()), reason)
            .await
    }

    async fn write(
        &self,
        name: &Name,
        log_file: Option<String>,
        reason: &str,
    ) -> Result<(), TableError> {
        let end = reason.floor_char_boundary(REASON_BYTES_MAX);
        let note = Note {
            log_file,
            reason: reason[..end].to_owned(),
            since: milliseconds(name.since),
        };
        let note = serde_json::to_vec(&note);
        let note = note.map_err(|error| TableError::Internal(error.to_string()))?;
        self.store.put(&name.path(), note.into()).await?;
        Ok(())
    }
}

impl Table {
    /// The notes of what is set aside.
    pub fn notes(&self) -> Notes {
        Notes::new(Arc::clone(&self.store), Arc::clone(&self.env))
    }

    /// Sets aside what is staged of a log file.
    pub(super) async fn set_aside_staged(
        &self,
        staged: &StagedFile,
        log_file: Option<String>,
        reason: &str,
    ) -> Result<(), TableError> {
        let name = Name {
            shard: staged.shard.clone(),
            id: staged.id,
            version: Some(staged.version_name()),
            since: self.env.now(),
        };
        self.notes().write(&name, log_file, reason).await
    }
}
