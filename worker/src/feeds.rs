//! The tables that log files are staged for, each with the rollup that feeds it.
//!
//! A table remembers the SQL and the lookup files that it is the result of, and is fed by these. A rollup's file creates a table that does
//! not exist yet, but changes no existing one. An error in one rollup or table does not stop the others.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use logmill_shared::chain;

use crate::memory::StagingBudget;
use crate::rollup::{Loaded, Rollup};
use crate::table::definition::REJECTED_LINES;
use crate::table::{Definition, Notes, RejectedLines, Root, Table, TableError, Version, of_tables};

/// A rollup and the table that it produces.
#[derive(Debug)]
pub struct RollupTable {
    /// The rollup, from the SQL that the table is the result of.
    pub rollup: Arc<Rollup>,
    /// Its table.
    pub table: Table,
}

/// A table that nothing can be staged for until its problem is fixed.
#[derive(Debug)]
pub struct Unfed {
    /// Its name.
    pub table: String,
    /// Whether it is the table's next generation that can't be fed.
    pub is_next: bool,
    /// Why.
    pub reason: String,
    /// Where log files are set aside for it.
    pub notes: Notes,
}

/// A table, and how it is fed.
#[derive(Debug)]
pub enum Feed {
    /// By a rollup.
    Rollup(RollupTable),
    /// By the lines that are not log lines: the built-in table `rejected_lines`.
    RejectedLines(Table),
    /// The table can't be fed. Log files are set aside for it.
    Unfed(Unfed),
}

impl Feed {
    /// The table's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Rollup(RollupTable { table, .. }) | Self::RejectedLines(table) => {
                &table.definition().name
            }
            Self::Unfed(unfed) => &unfed.table,
        }
    }

    /// Whether it is a table's next generation, which no query reads yet.
    pub fn is_next(&self) -> bool {
        match self {
            Self::Rollup(RollupTable { table, .. }) => table.is_next(),
            Self::RejectedLines(_) => false,
            Self::Unfed(unfed) => unfed.is_next,
        }
    }

    /// The table, if it is fed.
    pub fn table(&self) -> Option<&Table> {
        match self {
            Self::Rollup(RollupTable { table, .. }) | Self::RejectedLines(table) => Some(table),
            Self::Unfed(_) => None,
        }
    }

    /// The table and its rollup, if a rollup feeds it.
    pub fn rollup(&self) -> Option<&RollupTable> {
        match self {
            Self::Rollup(rollup) => Some(rollup),
            Self::RejectedLines(_) | Self::Unfed(_) => None,
        }
    }
}

/// A problem of a rollup or a table that a person should know about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The table's name.
    pub table: String,
    /// A description of the problem, and what to do about it.
    pub what: String,
    /// Whether something is not counted because of it. Otherwise it is a warning.
    pub is_failure: bool,
}

/// Everything that log files are staged for.
#[derive(Debug)]
pub struct Feeds {
    /// The tables of rollups, each followed by its next generation if it has one. The table of rejected lines is the last.
    pub tables: Vec<Arc<Feed>>,
    /// The rollups in files that are valid, by the table's name.
    files: HashMap<String, Arc<Rollup>>,
    /// Why the rollups in the other files are invalid, by the table's name.
    invalid: HashMap<String, String>,
}

impl Feeds {
    /// Opens the tables of these rollups concurrently, and creates missing ones. Also returns the problems of single
    /// rollups and tables.
    ///
    /// # Errors
    ///
    /// If none of them can be opened, or if one has a newer format than this program knows.
    pub async fn open(root: &Root, loaded: Loaded) -> Result<(Self, Vec<Trouble>), TableError> {
        let Loaded { rollups, invalid } = loaded;
        let there: BTreeSet<String> = root.tables().await?.into_iter().collect();
        let opened = rollups.iter().map(|rollup| open_rollup(root, rollup));
        let mut feeds = Vec::new();
        let mut troubles = Vec::new();
        let mut errors = Vec::new();
        for opened in of_tables(opened).await {
            let opened = opened?;
            feeds.push(Arc::new(opened.feed));
            feeds.extend(opened.next.map(Arc::new));
            troubles.extend(opened.trouble);
            errors.extend(opened.error);
        }
        if errors.len() == rollups.len()
            && let Some(first) = errors.into_iter().next()
        {
            return Err(first);
        }
        for rollup in &invalid {
            let what = match there.contains(&rollup.name) {
                true => {
                    let own = of_invalid(root, &rollup.name, &rollup.reason).await?;
                    feeds.push(Arc::new(own.feed));
                    feeds.extend(own.next.map(Arc::new));
                    own.what
                }
                false => is_invalid(&rollup.reason),
            };
            troubles.push(Trouble {
                table: rollup.name.clone(),
                what,
                is_failure: true,
            });
        }
        if !feeds.is_empty() {
            let rejected_lines = open_rejected_lines(root).await?;
            feeds.push(Arc::new(rejected_lines.feed));
            troubles.extend(rejected_lines.trouble);
        }
        let by_name = |rollup: Arc<Rollup>| (rollup.definition().name.clone(), rollup);
        let feeds = Self {
            tables: feeds,
            files: rollups.into_iter().map(by_name).collect(),
            invalid: invalid
                .into_iter()
                .map(|rollup| (rollup.name, rollup.reason))
                .collect(),
        };
        Ok((feeds, troubles))
    }

    /// A single table.
    pub(crate) fn of_one(table: RollupTable) -> Self {
        Self {
            tables: vec![Arc::new(Feed::Rollup(table))],
            files: HashMap::new(),
            invalid: HashMap::new(),
        }
    }

    /// The tables that rollups feed, with their rollups.
    pub fn rollups(&self) -> impl Iterator<Item = &RollupTable> {
        self.tables.iter().filter_map(|feed| feed.rollup())
    }

    /// The memory for staging up to this many log files at once. A worker to which a next generation may come keeps room for one.
    pub fn staging_budget(&self, log_files: usize, may_get_next: bool) -> StagingBudget {
        // Rollups that were loaded together share their lookups.
        let lookups = self
            .rollups()
            .flat_map(|each| each.rollup.lookup_contents());
        let lookups: HashMap<_, _> = lookups
            .map(|content| (content.as_ptr(), content.len()))
            .collect();
        // The file itself, its columns, and an index by its keys.
        let bytes = 3 * lookups.values().sum::<usize>();
        let live = self.rollups().filter(|rollup| !rollup.table.is_next());
        let at_least = live.count() + usize::from(may_get_next);
        StagingBudget::new(log_files, self.rollups().count().max(at_least), bytes)
    }

    /// Opens one of the tables again, by its name, in its present state: it may have been removed, recreated or repaired.
    ///
    /// # Errors
    ///
    /// If the table has a newer format than this program knows.
    pub async fn reopened(&self, root: &Root, name: &str) -> Result<Reopened, TableError> {
        let opened = match self.files.get(name) {
            Some(rollup) => open_rollup(root, rollup).await?,
            None if name == REJECTED_LINES => open_rejected_lines(root).await?,
            None => {
                let reason = self.invalid.get(name).map_or("", String::as_str);
                let own = of_invalid(root, name, reason).await?;
                let trouble = Trouble {
                    table: name.to_owned(),
                    what: own.what,
                    is_failure: true,
                };
                return Ok(Reopened {
                    feed: own.feed,
                    next: own.next,
                    trouble: Some(trouble),
                });
            }
        };
        Ok(Reopened {
            feed: opened.feed,
            next: opened.next,
            trouble: opened.trouble,
        })
    }

    /// Every table that is fed.
    pub fn fed(&self) -> impl Iterator<Item = &Table> {
        self.tables.iter().filter_map(|feed| feed.table())
    }
}

/// A table in its present state.
#[derive(Debug)]
pub struct Reopened {
    /// The live generation.
    pub feed: Feed,
    /// The next one.
    pub next: Option<Feed>,
    /// What a person should know about the table.
    pub trouble: Option<Trouble>,
}

/// The result of opening a table, as far as it could be opened.
struct Opened {
    feed: Feed,
    next: Option<Feed>,
    trouble: Option<Trouble>,
    /// Why the table itself could not be read.
    error: Option<TableError>,
}

/// Opens a table, or creates it.
///
/// # Errors
///
/// If the table has a newer format than this program knows, or the location of the tables is invalid.
async fn open(
    root: &Root,
    definition: &Arc<Definition>,
    feed: impl Fn(Table) -> Feed,
) -> Result<Opened, TableError> {
    let name = definition.name.clone();
    let trouble = |what, is_failure| {
        Some(Trouble {
            table: name.clone(),
            what,
            is_failure,
        })
    };
    let error = match root.open_or_create(definition).await {
        Ok((table, version)) => {
            return Ok(Opened {
                feed: feed(table),
                next: next_of(root, &name, &version).await?,
                trouble: None,
                error: None,
            });
        }
        Err(error) => error,
    };
    match error {
        TableError::Format { .. } => Err(error),
        TableError::OtherSql { .. }
        | TableError::OtherLookup { .. }
        | TableError::Erased { .. } => {
            let changed = match &error {
                TableError::OtherLookup { file, .. } => OtherFile::Lookup(file),
                _ => OtherFile::Sql,
            };
            let own = by_its_own_sql(root, &name, changed).await?;
            let is_failure = own.feed.table().is_none();
            // What was erased is no difference between the rollup's file and the table.
            let is_told = is_failure || !matches!(error, TableError::Erased { .. });
            Ok(Opened {
                feed: own.feed,
                next: own.next,
                trouble: trouble(own.what, is_failure).filter(|_| is_told),
                error: None,
            })
        }
        TableError::NotOurs { .. } => Ok(Opened {
            feed: Feed::Unfed(Unfed {
                table: name.clone(),
                is_next: false,
                reason: chain(&error),
                notes: root.notes(&name).await?,
            }),
            next: None,
            trouble: trouble(chain(&error), true),
            error: Some(error),
        }),
        // Staged files wait until the table can be read again. The commit then checks whether the table has the same SQL.
        error => Ok(Opened {
            feed: feed(root.table(definition).await?),
            next: None,
            trouble: trouble(chain(&error), true),
            error: Some(error),
        }),
    }
}

/// Opens the table of a rollup.
async fn open_rollup(root: &Root, rollup: &Arc<Rollup>) -> Result<Opened, TableError> {
    let feed = |table| fed(rollup, table);
    open(root, rollup.definition(), feed).await
}

/// Opens the table of rejected lines.
async fn open_rejected_lines(root: &Root) -> Result<Opened, TableError> {
    open(root, &RejectedLines::definition(), Feed::RejectedLines).await
}

fn fed(rollup: &Arc<Rollup>, table: Table) -> Feed {
    Feed::Rollup(RollupTable {
        rollup: Arc::clone(rollup),
        table,
    })
}

/// Opens the table of an invalid rollup, and describes the problem.
async fn of_invalid(root: &Root, name: &str, reason: &str) -> Result<OwnSql, TableError> {
    let mut own = by_its_own_sql(root, name, OtherFile::Sql).await?;
    if own.feed.table().is_some() {
        own.what = "the table continues with the SQL stored in it".to_owned();
    }
    own.what = format!("{}; {}", is_invalid(reason), own.what);
    Ok(own)
}

fn is_invalid(reason: &str) -> String {
    format!("the rollup is invalid: {reason}")
}

/// The file that differs from what a table remembers.
#[derive(Clone, Copy)]
enum OtherFile<'f> {
    /// The rollup's.
    Sql,
    /// A lookup of this name.
    Lookup(&'f str),
}

/// A table that is fed by the SQL that it remembers, if that is possible.
struct OwnSql {
    feed: Feed,
    next: Option<Feed>,
    /// A description of its problem.
    what: String,
}

/// Opens a table by the SQL that it remembers, and describes its problem.
async fn by_its_own_sql(
    root: &Root,
    name: &str,
    changed: OtherFile<'_>,
) -> Result<OwnSql, TableError> {
    let notes = root.notes(name).await?;
    let unfed = |reason: String| {
        let feed = Feed::Unfed(Unfed {
            table: name.to_owned(),
            is_next: false,
            reason: reason.clone(),
            notes,
        });
        Ok(OwnSql {
            feed,
            next: None,
            what: reason,
        })
    };
    let version = match root.read(name).await {
        Ok(version) => version,
        Err(error @ TableError::Format { .. }) => return Err(error),
        Err(error) => return unfed(chain(&error)),
    };
    let lookups = match version.lookup_files().await {
        Ok(lookups) => lookups,
        Err(error) => return unfed(chain(&error)),
    };
    match Rollup::of_table(name, version.sql(), lookups, version.erased()).await {
        Ok(rollup) => {
            let rollup = Arc::new(rollup);
            let table = root.table_at(rollup.definition(), &version).await?;
            let next = next_of(root, name, &version).await?;
            let what = match changed {
                _ if next.is_some() => {
                    "the table continues with the SQL stored in it until `logmill rebuild` has filled its next generation and made it \
                     live"
                        .to_owned()
                }
                OtherFile::Sql => {
                    "the rollup's file and the table have different SQL; the table continues with the SQL stored \
                     in it. To use the new SQL, run `logmill rebuild`"
                        .to_owned()
                }
                OtherFile::Lookup(file) => format!(
                    "{file} has changed since the table was created; the table continues with its own copy. To use the changed \
                     file, run `logmill rebuild`"
                ),
            };
            Ok(OwnSql {
                feed: fed(&rollup, table),
                next,
                what,
            })
        }
        Err(error) => unfed(format!(
            "this version of logmill refuses the SQL stored in the table: {error}"
        )),
    }
}

/// Opens the next generation of a table, if this version names one. It is fed by the SQL that it remembers.
///
/// # Errors
///
/// It has a newer format than this program knows, or the location of the tables is invalid.
async fn next_of(root: &Root, name: &str, version: &Version) -> Result<Option<Feed>, TableError> {
    let Some(folder) = version.next() else {
        return Ok(None);
    };
    let opened = async {
        let next = root.read_next(name, folder).await?;
        let lookups = next.lookup_files().await?;
        Ok::<_, TableError>(Rollup::of_table(name, next.sql(), lookups, next.erased()).await)
    };
    let reason = match opened.await {
        Ok(Ok(rollup)) => {
            let rollup = Arc::new(rollup);
            let table = root.next_table(rollup.definition(), folder).await?;
            return Ok(Some(fed(&rollup, table)));
        }
        Ok(Err(error)) => {
            format!(
                "this version of logmill refuses the SQL stored in the table's next generation: {error}"
            )
        }
        Err(error @ TableError::Format { .. }) => return Err(error),
        Err(error) => format!(
            "the table's next generation cannot be read: {}",
            chain(&error)
        ),
    };
    Ok(Some(Feed::Unfed(Unfed {
        table: name.to_owned(),
        is_next: true,
        reason,
        notes: root.notes_of_next(name, folder)?,
    })))
}
