//! Log files that a table has not counted yet: those that are staged and can be committed, and those that are set aside.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use logmill_object_io::Env;
use logmill_shared::{LogFileId, Shard};
use object_store::ObjectStore;

use super::generations::Folder;
use super::guards::Guards;
use super::set_aside::Notes;
use super::slot::Slot;
use super::staging::{self, Opening, StagedFile};
use super::{Definition, TableError, Version};

/// Number of staged files opened at once.
const OPENED_AT_ONCE: usize = 16;

/// Log files that wait for any generation of a table. It is listed before the table's version is read, because a commit moves log files
/// from the first to the second.
#[derive(Debug)]
pub struct WaitingAnywhere {
    table: Arc<dyn ObjectStore>,
    of: HashMap<Folder, Waiting>,
}

impl WaitingAnywhere {
    pub(super) async fn list(
        table: &Arc<dyn ObjectStore>,
        env: &Arc<dyn Env>,
    ) -> Result<Self, TableError> {
        let mut of = HashMap::new();
        for folder in Folder::list(table).await? {
            let store = folder.store(Arc::clone(table));
            let waiting = Waiting::list(store, Arc::clone(env)).await?;
            of.insert(folder, waiting);
        }
        Ok(Self {
            table: Arc::clone(table),
            of,
        })
    }

    /// Those that wait for the generation that is live in this version. What is staged for others is not certain to be counted.
    pub fn at(mut self, version: &Version) -> Waiting {
        let folder = &version.folder;
        let none = || Waiting::none(folder.store(Arc::clone(&self.table)));
        self.of.remove(folder).unwrap_or_else(none)
    }
}

/// Log files that a table has not counted yet.
#[derive(Debug)]
pub struct Waiting {
    store: Arc<dyn ObjectStore>,
    staged: HashMap<LogFileId, StagedFile>,
    /// Staged files that were opened and can be committed.
    seen: HashSet<LogFileId>,
    /// Log files that are set aside: the shard and the reason.
    set_aside: HashMap<LogFileId, (Shard, String)>,
    /// The slots of the rows seen so far, as far as they are known.
    slots: BTreeSet<Slot>,
}

impl Waiting {
    pub(super) async fn list(
        store: Arc<dyn ObjectStore>,
        env: Arc<dyn Env>,
    ) -> Result<Self, TableError> {
        let staged = staging::list_all(&store, Guards::default()).await?;
        let staged = staged.into_iter().map(|file| (file.id, file));
        let notes = Notes::new(Arc::clone(&store), env, Guards::default())
            .read()
            .await?;
        Ok(Self {
            staged: staged.collect(),
            set_aside: notes
                .into_iter()
                .map(|note| (note.id, (note.shard, note.reason)))
                .collect(),
            ..Self::none(store)
        })
    }

    fn none(store: Arc<dyn ObjectStore>) -> Self {
        Self {
            store,
            staged: HashMap::new(),
            seen: HashSet::new(),
            set_aside: HashMap::new(),
            slots: BTreeSet::new(),
        }
    }

    /// The number of log files that are staged and not set aside.
    pub fn staged(&self) -> usize {
        self.staged.len()
    }

    /// Whether the log file is staged.
    pub fn is_staged(&self, id: LogFileId) -> bool {
        self.staged.contains_key(&id)
    }

    /// Why the log file is set aside. `None` if it is not, or if it has been staged again.
    pub fn set_aside(&self, id: LogFileId) -> Option<&str> {
        match self.is_staged(id) {
            true => None,
            false => self.set_aside.get(&id).map(|(_, reason)| reason.as_str()),
        }
    }

    /// All log files that are set aside and have not been staged again: the id, the shard and the reason of each.
    pub fn all_set_aside(&self) -> impl Iterator<Item = (LogFileId, &Shard, &str)> {
        let set_aside = self
            .set_aside
            .iter()
            .filter(|(id, _)| !self.is_staged(**id));
        set_aside.map(|(id, (shard, reason))| (*id, shard, reason.as_str()))
    }

    /// Opens the staged files of these log files, to check that they can be committed after this version. A staged file
    /// that can't be committed counts as set aside: the next commit will set it aside.
    ///
    /// # Errors
    ///
    /// A staged file can't be read at the moment, or a data file is damaged that a commit would have to read.
    pub async fn check(
        &mut self,
        log_files: &[LogFileId],
        definition: &Definition,
        version: &Version,
    ) -> Result<(), TableError> {
        let unseen = log_files.iter().filter(|id| !self.seen.contains(*id));
        let unseen: Vec<StagedFile> = unseen
            .filter_map(|id| self.staged.get(id).cloned())
            .collect();
        let store = Arc::clone(&self.store);
        let mut opened = futures::stream::iter(unseen)
            .map(async |file| {
                let opening = file.open(&store, definition).await?;
                Ok::<_, TableError>((file.id, opening))
            })
            .buffered(OPENED_AT_ONCE);
        let mut fresh = BTreeSet::new();
        while let Some((id, opening)) = opened.try_next().await? {
            match opening {
                Opening::Opened(opened) => {
                    let (_, rows) = *opened;
                    self.seen.insert(id);
                    fresh.extend(rows.slots.into_iter().flatten());
                }
                // A commit has just taken it.
                Opening::Gone => {
                    self.seen.insert(id);
                }
                Opening::Unusable { reason, .. } => {
                    if let Some(file) = self.staged.remove(&id) {
                        self.set_aside.insert(id, (file.shard, reason));
                    }
                }
            }
        }
        if definition.merges() {
            fresh.retain(|slot| !self.slots.contains(slot));
            version.check_slots_readable(&fresh).await?;
            self.slots.extend(fresh);
        }
        Ok(())
    }
}
