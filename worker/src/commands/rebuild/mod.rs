//! `logmill rebuild`: gives a table other SQL. The table's next generation is filled from the log files that the table has counted,
//! and then replaces the table in one version. `logmill rollback` undoes that.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io::Write;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use indicatif::HumanCount;
use logmill_shared::{LogFile, LogFileId};

use crate::commands::maintain;
use crate::commands::progress::Progress;
use crate::intake::file_rules::FileRules;
use crate::intake::listing;
use crate::intake::log_object::LogObject;
use crate::intake::span::Span;
use crate::intake::sqs_queue::SqsQueue;
use crate::rollup::{Loaded, Rollup};
use crate::table::{Anew, Entry, Keeping, Root, Swap, Table, Version};

mod changes;
mod difference;
pub mod erase;
mod estimate;
mod fill;
mod kept;
mod words;

use difference::Difference;
pub(crate) use fill::Fill;
use words::say_gone;

/// Configuration of a rebuild.
#[derive(Debug)]
pub struct Options {
    /// Where the log files are: paths or `s3://bucket/prefix`. If empty, each is looked up by its URI.
    pub logs: Vec<String>,
    /// The folder of tables.
    pub tables: String,
    /// Only this table.
    pub table: Option<String>,
    /// Only the rows of these hours.
    pub span: Option<Span>,
    /// Whether the rows of these hours are counted again in tables whose rollups have not changed, even if no table is named.
    pub all: bool,
    /// The format of plain logs. Ignore patterns do not apply, because all of these log files were counted.
    pub rules: FileRules,
    /// When the rebuilt table takes the old one's place.
    pub swap: When,
    /// Whether to report what would be done, without doing it.
    pub dry_run: bool,
    /// Maximum decompressed size of a log file, in bytes.
    pub max_log_file_bytes: u64,
    /// Log files read concurrently; by default one per core.
    pub threads: Option<NonZeroUsize>,
    /// The work queue of workers that read the log files. `None`: this process reads them.
    pub queue: Option<Arc<SqsQueue>>,
}

/// When a rebuilt table takes the old one's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum When {
    /// Not now. Workers keep both up to date; a later `rebuild` makes the swap.
    Never,
    /// If each day has the same rows and totals, in the columns that both have.
    WhenEqual,
    /// As soon as it has counted all that the old one has.
    Now,
}

/// Rounds of filling. Each counts the log files that the table has counted during the previous one.
const ROUNDS: usize = 10;

/// Names of log files shown in a list.
const SHOWN: usize = 5;

/// Rebuilds the tables whose rollups have changed. Returns whether all of them now match their rollups, or would without `--dry-run`.
///
/// # Errors
///
/// A rollup or a table can't be used. Completed steps stay: the command can be repeated.
pub async fn rebuild(
    rollups: Loaded,
    options: &Options,
    out: &mut (impl Write + Send),
    progress: &mut dyn Progress,
) -> Result<bool> {
    let root = Root::open(&options.tables).await?;
    let there: BTreeSet<String> = root.tables().await?.into_iter().collect();
    let wanted = |name: &str| options.table.as_deref().is_none_or(|table| table == name);
    if let Some(invalid) = rollups.invalid.iter().find(|rollup| wanted(&rollup.name)) {
        bail!("{}", invalid.reason);
    }
    let rollups = rollups.rollups.into_iter();
    let rollups: Vec<_> = rollups
        .filter(|rollup| wanted(&rollup.definition().name))
        .collect();
    if let (true, Some(table)) = (rollups.is_empty(), &options.table) {
        bail!("there is no rollup {table}.sql; rebuild needs the table's new SQL");
    }
    let mut whole = true;
    for rollup in rollups {
        let name = &rollup.definition().name;
        if !there.contains(name) {
            writeln!(
                out,
                "{name}: new; `logmill run` and workers create the table"
            )?;
            continue;
        }
        let hours = options.span.map(|span| Anew::Hours(span.hours()));
        let to = To::Rollup(hours.unwrap_or(Anew::All));
        let opened = async {
            // A rebuilt table leaves out erased lines.
            let version = root.read(name).await?;
            let rollup = match version.erased() {
                [] => Arc::clone(&rollup),
                erased => Arc::new(rollup.without(erased).await.map_err(anyhow::Error::msg)?),
            };
            Generations::open(&root, rollup, to).await
        };
        let are_same_meant = options.all || options.table.is_some() || options.span.is_none();
        let generations = opened.await.with_context(|| format!("table {name}"))?;
        let is_unmeant = generations.is_same() && !are_same_meant;
        if is_unmeant || generations.has_nothing_to_do() {
            writeln!(out, "{name}: unchanged")?;
            continue;
        }
        let rebuilt = generations.rebuild(options, out, progress).await;
        whole &= rebuilt.with_context(|| format!("table {name}"))?;
    }
    out.flush()?;
    Ok(whole)
}

/// Restores the generation that was live before the last swap, with all log files that were counted since.
///
/// # Errors
///
/// There is none, or the table can't be used. Completed steps stay: the command can be repeated.
pub async fn rollback(
    options: &Options,
    table: &str,
    out: &mut (impl Write + Send),
    progress: &mut dyn Progress,
) -> Result<bool> {
    let root = Root::open(&options.tables).await?;
    maintain::must_exist(&root, &options.tables, table).await?;
    let Some(earlier) = root.read_earlier(table).await? else {
        bail!(
            "the table {table} has no earlier generation to restore: it was never rebuilt, or more than three days ago"
        );
    };
    let rollup = Arc::new(maintain::rollup(table, &earlier).await?);
    let mut generations = Generations::open(&root, rollup, To::Earlier).await?;
    if generations.next.is_none() {
        let (live, rollup) = (&generations.live, &generations.rollup);
        let keeping = Keeping::everything(&earlier).await?;
        let next = root
            .begin_keeping(live, rollup.definition(), &earlier, keeping)
            .await
            .context("the earlier generation can't be copied")?;
        generations.next = Some(next);
    }
    let options = Options {
        logs: options.logs.clone(),
        tables: options.tables.clone(),
        queue: options.queue.clone(),
        table: None,
        swap: When::Now,
        dry_run: false,
        span: None,
        all: false,
        rules: options.rules.clone(),
        ..*options
    };
    let done = generations.rebuild(&options, out, progress).await?;
    out.flush()?;
    Ok(done)
}

/// What a table should become.
#[derive(Debug, PartialEq, Eq)]
enum To {
    /// The result of a rollup.
    Rollup(Anew),
    /// The same rollup without some lines of this time span, in milliseconds since 1970.
    Without(Range<i64>),
    /// The generation that was live before the last swap.
    Earlier,
}

/// A table and the generation that should replace it.
struct Generations {
    root: Root,
    name: String,
    live: Table,
    /// The rollup of the live generation.
    old: Rollup,
    /// The rollup that the table should have.
    rollup: Arc<Rollup>,
    /// The generation of that rollup, if it was begun before.
    next: Option<Table>,
    /// Whether the table has a next generation with other SQL, which is dropped.
    drops: bool,
    to: To,
}

/// The log files of a table's ledger.
struct LogFiles {
    entries: Vec<Entry>,
    found: HashMap<LogFileId, LogObject>,
    /// Those that are gone.
    gone: Vec<Entry>,
}

impl Generations {
    async fn open(root: &Root, rollup: Arc<Rollup>, to: To) -> Result<Self> {
        let name = rollup.definition().name.clone();
        let version = root.read(&name).await?;
        let old = maintain::rollup(&name, &version).await?;
        let live = root.table_at(old.definition(), &version).await?;
        let is_same = old.definition().identity == rollup.definition().identity;
        let mut next = None;
        if let Some(folder) = version.next() {
            // A generation that can't be read is dropped.
            let of_next = async {
                let of_next = root.read_next(&name, folder).await?;
                anyhow::Ok((maintain::rollup(&name, &of_next).await?, of_next))
            };
            let identity = &rollup.definition().identity;
            let goes_on = match of_next.await {
                Ok((its, of_next)) => {
                    let is_begun = match &to {
                        To::Rollup(anew) => of_next.was_begun_for(anew),
                        // The definition has the condition.
                        To::Without(_) => true,
                        To::Earlier => of_next.was_begun_as_copy(),
                    };
                    its.definition().identity == *identity && is_begun
                }
                Err(_) => false,
            };
            if goes_on && !(is_same && to == To::Rollup(Anew::All)) {
                next = Some(root.next_table(rollup.definition(), folder).await?);
            }
        }
        let drops = version.next().is_some() && next.is_none();
        Ok(Self {
            root: root.clone(),
            name,
            live,
            old,
            to,
            rollup,
            next,
            drops,
        })
    }

    /// Whether the table already has the SQL of this rollup.
    fn has_nothing_to_do(&self) -> bool {
        self.is_same() && !self.drops && self.to == To::Rollup(Anew::All)
    }

    fn anew(&self) -> Option<Anew> {
        match &self.to {
            To::Rollup(anew) => Some(anew.clone()),
            To::Without(lines) => Some(Anew::OfLines(lines.clone())),
            To::Earlier => None,
        }
    }

    /// Whether lines become the same rows, apart from lines that are left out.
    fn has_same_rows(&self) -> bool {
        self.is_same() || matches!(self.to, To::Without(_))
    }

    fn is_same(&self) -> bool {
        self.old.definition().identity == self.rollup.definition().identity
    }

    async fn rebuild(
        mut self,
        options: &Options,
        out: &mut (impl Write + Send),
        progress: &mut dyn Progress,
    ) -> Result<bool> {
        if self.is_same() && self.to == To::Rollup(Anew::All) {
            writeln!(
                out,
                "{}: the rollup is what the table was made by; its next generation is dropped",
                self.name
            )?;
            if !options.dry_run {
                self.live.drop_next().await?;
            }
            return Ok(true);
        }
        if !options.dry_run {
            // What retention would remove anyway is neither kept nor compared.
            self.live.expire().await?;
        }
        let version = self.root.read(&self.name).await?;
        let waits = progress.waits();
        let listing = waits.begin(format!(
            "the list of log files that {} has counted",
            self.name
        ));
        let log_files = self.log_files(&version, options).await?;
        drop(listing);
        self.forget_what_lacks_gone(&log_files).await?;
        let keeping = match self.anew() {
            Some(anew) if self.next.is_none() => {
                let (definition, gone) = (self.old.definition(), &log_files.gone);
                let gone = gone.iter().map(id).collect();
                let (is_same, now) = (self.has_same_rows(), SystemTime::now());
                let keeping = Keeping::of(&version, definition, &gone, &anew, is_same, now);
                Some(keeping.await?)
            }
            _ => None,
        };
        let left = match (&self.next, &keeping) {
            (Some(next), _) => self.live.lacked_by(next).await?,
            (None, Some(keeping)) if !keeping.is_nothing() => keeping.pending().cloned().collect(),
            (None, _) => log_files.entries.clone(),
        };
        self.say_plan(&log_files, &left, options, out, progress)
            .await?;
        let can_begin = match &keeping {
            Some(keeping) => self.say_kept(keeping, &version, &log_files, out)?,
            None => say_gone(&left, &log_files.gone, out)?,
        };
        if !can_begin || options.dry_run {
            return Ok(can_begin);
        }
        // Lines of log files that are gone can't be erased.
        let is_gone = keeping.as_ref().is_some_and(|keeping| keeping.gone() > 0);
        let stays = is_gone && matches!(self.to, To::Without(_));
        out.flush()?;
        let next = match (self.next.take(), keeping) {
            (Some(next), _) => next,
            (None, Some(keeping)) if !keeping.is_nothing() => {
                let definition = self.rollup.definition();
                let begun = self
                    .root
                    .begin_keeping(&self.live, definition, &version, keeping);
                begun.await?
            }
            (None, _) => {
                let begun = self.root.begin_next(&self.live, self.rollup.definition());
                begun.await?
            }
        };
        self.live.void_seal(&next).await?;
        let fill = Fill {
            root: &self.root,
            old: &self.live,
            rollup: &self.rollup,
            found: &log_files.found,
            options,
            waits: "the swap",
        };
        let open = async || self.next_once_more().await;
        if !fill.run(&next, &open, out, progress).await? {
            return Ok(false);
        }
        let comparing = waits.begin("the comparison of the rows");
        let difference = self.difference(&next).await?;
        drop(comparing);
        match &difference {
            Some(difference) => {
                write!(out, "{difference}")?;
                if matches!(self.to, To::Without(_)) && difference.is_equal() {
                    writeln!(
                        out,
                        "  no row is different: no line that the table counts meets the condition"
                    )?;
                }
            }
            None => writeln!(
                out,
                "  not compared: the rows of the old table can't be read; `logmill verify` says why"
            )?,
        }
        let swaps = match options.swap {
            When::Never => false,
            When::WhenEqual => difference.is_some_and(|difference| difference.is_equal()),
            When::Now => true,
        };
        if !swaps {
            writeln!(
                out,
                "  not swapped: workers keep both up to date; `logmill rebuild --swap now` makes the new one live"
            )?;
            return Ok(options.swap == When::Never);
        }
        for _ in 0..ROUNDS {
            let swapping = waits.begin("the swap");
            let swapped = self.live.swap(&next).await?;
            drop(swapping);
            match swapped {
                Swap::Done(version) => {
                    self.say_swapped(version, out)?;
                    self.expire_swapped(out).await?;
                    return Ok(!stays);
                }
                Swap::Lacks(_) => {
                    if !fill.run(&next, &open, out, progress).await? {
                        return Ok(false);
                    }
                }
            }
        }
        bail!(
            "log files are counted faster than the rebuilt table can follow; try again when fewer arrive"
        )
    }

    /// Removes rows that retention would remove: the new generation has them if an earlier one had them, or if their log files exist.
    async fn expire_swapped(&self, out: &mut impl Write) -> Result<()> {
        let version = self.root.read(&self.name).await?;
        let live = self
            .root
            .table_at(self.rollup.definition(), &version)
            .await?;
        let removed = live.expire().await?.rows;
        if removed > 0 {
            let rows = HumanCount(removed);
            writeln!(
                out,
                "  {rows} rows are removed, because they are older than `logmill retain` keeps"
            )?;
        }
        Ok(())
    }

    /// Opens the next generation once more.
    async fn next_once_more(&self) -> Result<Table> {
        let version = self.root.read(&self.name).await?;
        let folder = version.next();
        let folder = folder.context("the next generation has been dropped")?;
        let next = self.root.next_table(self.rollup.definition(), folder);
        Ok(next.await?)
    }

    /// Starts again if an existing generation needs log files that are gone by now.
    async fn forget_what_lacks_gone(&mut self, log_files: &LogFiles) -> Result<()> {
        let (Some(next), Some(_)) = (&self.next, self.anew()) else {
            return Ok(());
        };
        let lacked = self.live.lacked_by(next).await?;
        let gone: HashSet<LogFileId> = log_files.gone.iter().map(id).collect();
        if lacked.iter().any(|entry| gone.contains(&id(entry))) {
            self.next = None;
            self.drops = true;
        }
        Ok(())
    }

    /// Finds the log files that the table has counted.
    async fn log_files(&self, version: &Version, options: &Options) -> Result<LogFiles> {
        let mut entries = version.entries().await?;
        entries.sort_by(|left, right| left.log_file.cmp(&right.log_file));
        let listed = listing::list(&options.logs, &options.tables).await?;
        let counted: HashSet<LogFileId> = entries.iter().map(id).collect();
        let found = listed.found.into_iter();
        let found = found.map(|found| (found.log_file.id(), found));
        let mut found: HashMap<LogFileId, LogObject> =
            found.filter(|(id, _)| counted.contains(id)).collect();
        let not_listed = entries
            .iter()
            .filter(|entry| !found.contains_key(&id(entry)));
        let not_listed = not_listed.map(|entry| entry.log_file.clone());
        let (located, not_found) =
            listing::locate(not_listed.collect::<Vec<_>>(), &options.tables).await;
        let located = located.found.into_iter();
        found.extend(located.map(|found| (found.log_file.id(), found)));
        // If a lookup fails for another reason, the log file may still exist.
        if let Some((_, error)) = not_found.into_iter().find(|(_, error)| !error.is_gone()) {
            return Err(error.into());
        }
        let is_gone = |entry: &&Entry| !found.contains_key(&id(entry));
        let gone = entries.iter().filter(is_gone).cloned().collect();
        Ok(LogFiles {
            entries,
            found,
            gone,
        })
    }

    /// `None` if the old rows can't be read: an object of the table is damaged.
    async fn difference(&self, next: &Table) -> Result<Option<Difference>> {
        let version = self.root.read(&self.name).await?;
        let next_version = next.version().await?;
        let folder = version
            .next()
            .cloned()
            .context("the next generation has been dropped")?;
        let of_next = format!("{}/{folder}", self.name);
        let old = (self.name.as_str(), &version, self.old.definition());
        let new = (of_next.as_str(), &next_version, self.rollup.definition());
        Difference::between(&self.root, old, new).await
    }
}

fn id(entry: &Entry) -> LogFileId {
    LogFile::new(entry.log_file.as_str()).id()
}
