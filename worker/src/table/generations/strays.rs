//! Strays: what a worker that did not know of a swap has staged or set aside for a generation that can't become live any more.
//!
//! Such a log file is acknowledged, and may be in no ledger of the live generation. So it is staged anew, from its URI, for the
//! generations of today; only then the stray is deleted. What is in a folder that the table names neither as live nor as next can never
//! be committed, because a folder is never named again.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use logmill_shared::{LogFile, LogFileId, Shard};
use object_store::path::Path;

use super::super::guards::{Guard, Guards};
use super::super::set_aside::{NoteNames, Notes};
use super::super::staging;
use super::super::{Root, TableError, Version, delete};
use super::Folder;

/// A log file that is staged or set aside for a generation that can't become live.
#[derive(Debug, Clone)]
pub struct Stray {
    /// Its URI; `None` if the staged file or the note does not tell it.
    pub log_file: Option<String>,
    id: LogFileId,
    shard: Shard,
    /// What is to be deleted, relative to the table's folder.
    paths: Vec<Path>,
}

impl Root {
    /// Finds strays of a table that are not counted, and deletes those that are. If the table has only ever had one generation, this costs
    /// one request, and reads the version.
    ///
    /// # Errors
    ///
    /// The table or the folders can't be read.
    pub async fn strays(&self, table: &str) -> Result<Vec<Stray>, TableError> {
        strays_of(self, table, Guards::default()).await
    }

    /// Deletes strays. Their log files have been staged anew, or set aside, for the generations that are fed now.
    ///
    /// # Errors
    ///
    /// They can't be deleted.
    pub async fn delete_strays(&self, table: &str, strays: &[Stray]) -> Result<(), TableError> {
        let store = self
            .log_store(table, &Folder::default())?
            .object_store(None);
        let paths = strays.iter().flat_map(|stray| stray.paths.clone());
        delete(&store, paths).await
    }

    /// Sets strays aside whose log file is unknown, so that a person learns of them, and deletes them.
    ///
    /// # Errors
    ///
    /// The notes can't be written.
    pub async fn set_aside_unknown(
        &self,
        table: &str,
        version: &Version,
        strays: Vec<Stray>,
    ) -> Result<Vec<Stray>, TableError> {
        let (known, unknown): (Vec<Stray>, Vec<Stray>) = strays
            .into_iter()
            .partition(|stray| stray.log_file.is_some());
        for stray in &unknown {
            let notes = Notes::new(
                Arc::clone(&version.store),
                Arc::clone(self.env()),
                Guards::default(),
            );
            let reason = "it was staged for an earlier generation of the table, and that staged file can't be read";
            notes
                .set_aside_unknown(&stray.shard, stray.id, reason)
                .await?;
        }
        self.delete_strays(table, &unknown).await?;
        Ok(known)
    }
}

/// Finds strays. First the folders and what is in them are listed, and then the version is read: a folder that is not named then was
/// not named any more when it was listed, or not yet, and then nothing is staged in it.
pub(in crate::table) async fn strays_of(
    root: &Root,
    table: &str,
    guards: Guards,
) -> Result<Vec<Stray>, TableError> {
    let store = root
        .log_store(table, &Folder::default())?
        .object_store(None);
    let folders = Folder::list(&store).await?;
    // The live folder of a table that was made anew may still be empty.
    if folders.len() == 1 && root.read(table).await?.folder == Folder::default() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for folder in folders {
        let store = folder.store(Arc::clone(&store));
        let staged = staging::list(&store, usize::MAX, &NoteNames::default()).await?;
        let notes = NoteNames::list(&store, guards).await?;
        found.push((folder, store, staged, notes));
    }
    let version = root.read(table).await?;
    let mut strays = Vec::new();
    for (folder, in_folder, staged, notes) in found {
        if version.feeds(&folder) {
            continue;
        }
        let shards: Vec<Shard> = staged
            .iter()
            .map(|staged| staged.shard.clone())
            .chain(notes.all.iter().map(|note| note.shard.clone()))
            .collect();
        let counted = version.counted(&shards).await?;
        let in_table = |path: Path| Path::from(folder.in_log(path.as_ref()));
        let mut dead = Vec::new();
        for staged in staged {
            let path = in_table(staged.path());
            if counted.contains(&staged.id) || !guards.is_on(Guard::Strays) {
                dead.push(path);
                continue;
            }
            let log_file = match staged.entry(&in_folder).await {
                // A file under another log file's name tells nothing.
                Ok(entry) => entry
                    .map(|entry| entry.log_file)
                    .filter(|uri| LogFile::new(uri.as_str()).id() == staged.id),
                // Another process has just staged it anew.
                Err(error) if error.is_not_found() => continue,
                Err(error) if error.damage().is_some() => None,
                Err(error) => return Err(error),
            };
            strays.push(Stray {
                log_file,
                id: staged.id,
                shard: staged.shard,
                paths: vec![path],
            });
        }
        let notes_of_folder = Notes::new(Arc::clone(&in_folder), Arc::clone(root.env()), guards);
        for note in notes_of_folder.read().await? {
            let path = in_table(note.path().clone());
            if counted.contains(&note.id) {
                dead.push(path);
                continue;
            }
            strays.push(Stray {
                log_file: note.log_file.clone(),
                id: note.id,
                shard: note.shard.clone(),
                paths: vec![path],
            });
        }
        delete(&store, dead).await?;
    }
    Ok(merged(strays))
}

/// One stray for each log file: it may be staged, and also set aside. If either tells the URI, it is known.
fn merged(strays: Vec<Stray>) -> Vec<Stray> {
    let mut by_id: BTreeMap<String, Stray> = BTreeMap::new();
    for stray in strays {
        match by_id.entry(stray.id.to_string()) {
            Entry::Vacant(vacant) => {
                vacant.insert(stray);
            }
            Entry::Occupied(mut occupied) => {
                let other = occupied.get_mut();
                other.log_file = other.log_file.take().or(stray.log_file);
                other.paths.extend(stray.paths);
            }
        }
    }
    by_id.into_values().collect()
}
