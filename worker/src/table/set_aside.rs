//! Log files that are set aside: a table can't count them as they are, until a person acts.
//!
//! A note says which log file, why, and since when. It is written beside the staged files, and moves nothing:
//!
//! ```text
//! _set_aside/<shard>/<id>.json                the rollup fails on the log file as a whole; nothing is staged
//! _set_aside/<shard>/<id>-<version>.json      this version of `_staging/<shard>/<id>.parquet` can't be committed
//! ```
//!
//! A commit skips staged files that a note names, by their version. If the log file is staged again, the new staged file has
//! another version, and is counted. The ledger therefore takes precedence over staged files, and these over notes. Vacuum deletes
//! the notes of log files that the ledger has.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::{StreamExt, TryStreamExt};
use logmill_object_io::Env;
use logmill_shared::{LogFile, LogFileId, Shard};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};

use super::guards::{Guard, Guards};
use super::staging::StagedFile;
use super::{Table, TableError, Version, delete, in_shard, milliseconds};

pub(super) const FOLDER: &str = "_set_aside";

/// Number of notes read at once.
const READ_AT_ONCE: usize = 16;

/// Maximum length of a kept reason, in bytes: an error message may have any length.
const REASON_BYTES_MAX: usize = 4096;

/// The content of a note.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    /// The log file's URI. `None` if the staged file does not tell it.
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
    /// Its URI, if known: its staged file may be damaged.
    pub log_file: Option<String>,
    /// Why it can't be counted.
    pub reason: String,
    /// When it was set aside.
    pub since: SystemTime,
    /// Whether it is staged.
    pub is_staged: bool,
    path: Path,
    /// Which of the folders of [`Notes`] it is in.
    folder: usize,
}

impl SetAside {
    /// Its path, relative to the folder of its generation.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// How many log files are set aside for a table, and for how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HowMuch {
    /// Number of log files.
    pub log_files: usize,
    /// Age of the oldest note. Zero if there are no notes.
    pub oldest: Duration,
}

/// A note, as far as its path tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) shard: Shard,
    pub(super) id: LogFileId,
    version: Option<String>,
    /// When the note was written, by the store's clock.
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
pub(super) struct NoteNames {
    pub(super) all: Vec<Name>,
    /// Staged files that are set aside: log file and version.
    versions: HashSet<(LogFileId, Option<String>)>,
}

impl NoteNames {
    pub(super) async fn list(
        store: &Arc<dyn ObjectStore>,
        guards: Guards,
    ) -> Result<Self, TableError> {
        let objects = store.list(Some(&Path::from(FOLDER)));
        let all: Vec<Name> = objects
            .try_filter_map(async |object| Ok(Name::of_object(&object)))
            .try_collect()
            .await?;
        let versions = all.iter().filter_map(|name| {
            let version = name.version.clone()?;
            let is_exact = guards.is_on(Guard::SetAsideVersion);
            Some((name.id, is_exact.then_some(version)))
        });
        Ok(Self {
            versions: versions.collect(),
            all,
        })
    }

    /// Counts the log files that are set aside, including `fresh`, which have just been set aside.
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

/// The notes of a table. They can be used even if the table can't be read or does not exist.
#[derive(Debug, Clone)]
pub struct Notes {
    /// The folders of generations. New notes are written to the first.
    folders: Vec<Arc<dyn ObjectStore>>,
    env: Arc<dyn Env>,
    guards: Guards,
}

impl Notes {
    pub(super) fn new(store: Arc<dyn ObjectStore>, env: Arc<dyn Env>, guards: Guards) -> Self {
        Self::of_folders(vec![store], env, guards)
    }

    pub(super) fn of_folders(
        folders: Vec<Arc<dyn ObjectStore>>,
        env: Arc<dyn Env>,
        guards: Guards,
    ) -> Self {
        Self {
            folders,
            env,
            guards,
        }
    }

    /// All log files that are set aside, the oldest first.
    ///
    /// # Errors
    ///
    /// The notes can't be listed or read.
    pub async fn read(&self) -> Result<Vec<SetAside>, TableError> {
        let mut names = Vec::new();
        for (folder, store) in self.folders.iter().enumerate() {
            let of_folder = NoteNames::list(store, self.guards).await?.all;
            names.extend(of_folder.into_iter().map(|name| (folder, name)));
        }
        let notes = futures::stream::iter(names).map(async |(folder, name)| {
            let path = name.path();
            let text = match self.folders[folder].get(&path).await {
                Ok(found) => found.bytes().await?,
                // It has been put back just now.
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            // A log file remains set aside even if its note can't be read.
            let note = serde_json::from_slice(&text).unwrap_or(Note {
                log_file: None,
                reason: "the note with the reason cannot be read".to_owned(),
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
                folder,
            }))
        });
        let notes: Vec<Option<SetAside>> = notes.buffered(READ_AT_ONCE).try_collect().await?;
        let mut notes: Vec<SetAside> = notes.into_iter().flatten().collect();
        notes.sort_by_key(|note| note.since);
        Ok(notes)
    }

    /// The shards of the log files that are set aside now. This costs one listing, and reads no notes.
    ///
    /// # Errors
    ///
    /// The notes can't be listed.
    pub async fn shards(&self) -> Result<BTreeSet<Shard>, TableError> {
        let mut shards = BTreeSet::new();
        for store in &self.folders {
            let names = NoteNames::list(store, self.guards).await?.all;
            shards.extend(names.into_iter().map(|name| name.shard));
        }
        Ok(shards)
    }

    /// How many log files are set aside now. This costs one listing, and reads no notes.
    ///
    /// # Errors
    ///
    /// The notes can't be listed.
    pub async fn how_much(&self) -> Result<HowMuch, TableError> {
        let mut all = NoteNames::default();
        for store in &self.folders {
            let of_folder = NoteNames::list(store, self.guards).await?;
            all.all.extend(of_folder.all);
        }
        Ok(all.how_much(self.env.now(), &[]))
    }

    /// Deletes these notes. The next commit then tries the staged files again.
    ///
    /// # Errors
    ///
    /// The notes can't be deleted.
    pub async fn put_back(&self, notes: &[SetAside]) -> Result<(), TableError> {
        for (folder, store) in self.folders.iter().enumerate() {
            let of_folder = notes.iter().filter(|note| note.folder == folder);
            delete(store, of_folder.map(|note| note.path.clone())).await?;
        }
        Ok(())
    }

    /// Deletes the notes of log files that this version's ledger has. Returns their number.
    ///
    /// # Errors
    ///
    /// The notes can't be listed or deleted, or the ledger can't be read.
    pub async fn sweep(&self, version: &Version) -> Result<usize, TableError> {
        let mut swept = 0;
        for store in &self.folders {
            let names = NoteNames::list(store, self.guards).await?.all;
            let shards: HashSet<Shard> = names.iter().map(|name| name.shard.clone()).collect();
            let counted = version.counted(&shards).await?;
            let done = names.iter().filter(|name| counted.contains(&name.id));
            let paths: Vec<Path> = done.map(Name::path).collect();
            swept += paths.len();
            delete(store, paths).await?;
        }
        Ok(swept)
    }

    /// Sets aside a log file for which nothing is staged. Once this returns, the log file may be acknowledged.
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

    /// Sets aside a log file whose URI is not known.
    ///
    /// # Errors
    ///
    /// The note can't be written.
    pub(super) async fn set_aside_unknown(
        &self,
        shard: &Shard,
        id: LogFileId,
        reason: &str,
    ) -> Result<(), TableError> {
        let name = Name {
            shard: shard.clone(),
            id,
            version: None,
            since: self.env.now(),
        };
        self.write(&name, None, reason).await
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
        self.folders[0].put(&name.path(), note.into()).await?;
        Ok(())
    }
}

impl Table {
    /// The table's notes.
    pub fn notes(&self) -> Notes {
        Notes::new(Arc::clone(&self.store), Arc::clone(&self.env), self.guards)
    }

    /// Sets aside the staged file of a log file.
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
