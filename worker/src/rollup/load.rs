//! Loads rollups, one per file.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::Rollup;
use super::joins;
use super::lookups::Lookups;
use crate::small_files::{self, SmallFile, Unread};
use crate::table::definition::{FAILED_LINES, FINAL_UNTIL, GROUPS, LOG_FILES, REJECTED_LINES};
use logmill_shared::chain;

/// The extension of a rollup's file.
const ENDING: &str = ".sql";

/// An error in a rollup, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum RollupError {
    /// The rollup can't be read.
    #[error("{place}: cannot be read")]
    Read {
        /// The file, folder or object.
        place: String,
        /// Why not.
        source: anyhow::Error,
    },
    /// A folder without rollups.
    #[error("{0}: no .sql file found; write each rollup as a file <table>.sql with one SELECT")]
    NoRollups(String),
    /// The file's name can't be a table's name.
    #[error(
        "{place}: a table has the name of its rollup's file, and '{name}' is not a valid name. {TABLE_NAMES}"
    )]
    Name {
        /// The file.
        place: String,
        /// Its name without the ending.
        name: String,
    },
    /// SQL that is not understood, or that can't be merged.
    #[error("{place}: {message}")]
    Sql {
        /// The file.
        place: String,
        /// The error.
        message: String,
    },
}

/// Which names tables may have, for error messages.
pub(crate) const TABLE_NAMES: &str = "Begin with a lower-case letter, and use only lower-case letters, digits and _, at most 128 in all. \
     The names rejected_lines, failed_lines, log_files and final_until are reserved";

/// Whether a name begins with a lower-case letter, and has only lower-case letters, digits and _.
pub(crate) fn is_plain_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.chars().all(is_plain)
}

/// Whether the table of a rollup may have this name.
pub(crate) fn is_table_name(name: &str) -> bool {
    let reserved = [REJECTED_LINES, FAILED_LINES, LOG_FILES, FINAL_UNTIL];
    is_plain_name(name) && name.len() <= 128 && !reserved.contains(&name)
}

/// The rollups of a folder.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Rollups that can be run.
    pub rollups: Vec<Arc<Rollup>>,
    /// Rollups that can't be run.
    pub invalid: Vec<InvalidRollup>,
}

impl<R: Into<Arc<Rollup>>> From<Vec<R>> for Loaded {
    fn from(rollups: Vec<R>) -> Self {
        Self {
            rollups: rollups.into_iter().map(Into::into).collect(),
            invalid: Vec::new(),
        }
    }
}

impl Loaded {
    /// The rollups, if all of them can be run.
    ///
    /// # Errors
    ///
    /// The error of the first rollup that can't be run.
    pub fn all(self) -> Result<Vec<Arc<Rollup>>, String> {
        match self.invalid.into_iter().next() {
            Some(invalid) => Err(invalid.reason),
            None => Ok(self.rollups),
        }
    }
}

impl Loaded {
    /// The names of the tables that these rollups make, or would make if they were valid.
    pub fn tables(&self) -> BTreeSet<String> {
        let valid = self.rollups.iter();
        let valid = valid.map(|rollup| rollup.definition().name.clone());
        let invalid = self.invalid.iter().map(|rollup| rollup.name.clone());
        valid.chain(invalid).collect()
    }

    /// Refuses rollups whose name the groups under another rollup's view have.
    fn refuse_hidden(&mut self) {
        let viewed = self.rollups.iter().filter(|rollup| rollup.view().is_some());
        let names: Vec<String> = viewed
            .map(|rollup| format!("{}{GROUPS}", rollup.definition().name))
            .collect();
        let (kept, hidden) = std::mem::take(&mut self.rollups)
            .into_iter()
            .partition(|rollup| !names.contains(&rollup.definition().name));
        self.rollups = kept;
        for rollup in hidden {
            let name = rollup.definition().name.clone();
            let other = name.trim_end_matches(GROUPS);
            self.invalid.push(InvalidRollup {
                reason: format!(
                    "{name}{ENDING}: the groups of {other}{ENDING} are read under the name {name}; rename one of the two files"
                ),
                name,
            });
        }
    }
}

/// A rollup's file that can't be used.
#[derive(Debug)]
pub struct InvalidRollup {
    /// The file's name without its ending.
    pub name: String,
    /// The error, with the file's location.
    pub reason: String,
}

impl Rollup {
    /// Loads every `.sql` file of a folder, sorted by name. The folder is a path or `s3://bucket/prefix`.
    ///
    /// # Errors
    ///
    /// If the folder can't be read or has no rollups. Errors of single files are in [`Loaded`] instead.
    pub async fn load_folder(folder: &str) -> Result<Loaded, RollupError> {
        let read_error = |source| RollupError::Read {
            place: folder.to_owned(),
            source,
        };
        let files = small_files::read(folder, |name| name.ends_with(ENDING)).await;
        let files = files.map_err(read_error)?;
        if files.is_empty() {
            return Err(RollupError::NoRollups(folder.to_owned()));
        }
        let texts = files.iter().flatten().flat_map(SmallFile::text);
        let joined: BTreeSet<String> = texts.flat_map(joins::names).collect();
        let mut lookups = Lookups::read(folder, &joined).await.map_err(read_error)?;
        for file in &files {
            let (Ok(SmallFile { name, .. }) | Err(Unread { name, .. })) = file;
            lookups.refuse_rollup(name.trim_end_matches(ENDING));
        }
        let mut loaded = Loaded::default();
        for file in files {
            let (name, rollup) = match file {
                Ok(file) => (file.name.clone(), Self::of_file(file, &lookups).await),
                Err(Unread {
                    place,
                    name,
                    source,
                }) => (name, Err(RollupError::Read { place, source })),
            };
            match rollup {
                Ok(rollup) => loaded.rollups.push(Arc::new(rollup)),
                Err(error) => loaded.invalid.push(InvalidRollup {
                    name: name.trim_end_matches(ENDING).to_owned(),
                    reason: chain(&error),
                }),
            }
        }
        loaded.refuse_hidden();
        Ok(loaded)
    }

    /// Loads the rollup in one file, with the lookups beside it.
    ///
    /// # Errors
    ///
    /// If the file can't be read, its name can't be a table's name, or its SQL can't be a rollup.
    pub async fn load(path: &Path) -> Result<Self, RollupError> {
        let read_error = |source| RollupError::Read {
            place: path.display().to_string(),
            source,
        };
        let file = SmallFile::on_disk(path).map_err(read_error)?;
        let joined = joins::names(file.text().map_err(read_error)?);
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let lookups = Lookups::read(&folder.to_string_lossy(), &joined).await;
        Self::of_file(file, &lookups.map_err(read_error)?).await
    }

    async fn of_file(file: SmallFile, lookups: &Lookups) -> Result<Self, RollupError> {
        let place = file.place.clone();
        // The command `check` accepts a file of any name.
        let name = Path::new(&file.name).file_stem().unwrap_or_default();
        let name = name.to_string_lossy().into_owned();
        if !is_table_name(&name) {
            return Err(RollupError::Name { place, name });
        }
        let text = match file.text() {
            Ok(text) => text,
            Err(source) => return Err(RollupError::Read { place, source }),
        };
        let rollup = Self::with_lookups(&name, text, lookups, &[]).await;
        rollup.map_err(|message| RollupError::Sql { place, message })
    }
}
