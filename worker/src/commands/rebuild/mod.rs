//! `logmill rebuild`: a table gets other SQL. The table's next generation is filled from the log files that the table has counted, and then
//! takes the table's place in one version. `logmill rollback` takes that back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Write;
use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use indicatif::{HumanBytes, HumanCount};
use logmill_shared::{LogFile, LogFileId};

use crate::commands::maintain;
use crate::commands::progress::Progress;
use crate::commands::run::{self, Summary};
use crate::feeds::{Feeds, RollupTable};
use crate::intake::ignore::Ignore;
use crate::intake::listing;
use crate::intake::log_object::{Listed, LogObject};
use crate::rollup::{Loaded, Rollup};
use crate::table::{Entry, Root, Swap, Table};
use crate::terminal::escaped;

mod changes;
mod difference;
mod estimate;

use changes::changes;
use difference::Difference;

/// Configuration of a rebuild.
#[derive(Debug)]
pub struct Options {
    /// Where the log files are: paths or `s3://bucket/prefix`. If empty, each is looked up by its URI.
    pub logs: Vec<String>,
    /// The folder of tables.
    pub tables: String,
    /// Only this table.
    pub table: Option<String>,
    /// When the rebuilt table takes the old one's place.
    pub swap: When,
    /// Whether to say only what would be done.
    pub dry_run: bool,
    /// Maximum decompressed size of a log file, in bytes.
    pub max_log_file_bytes: u64,
    /// Log files read concurrently; by default one per core.
    pub threads: Option<NonZeroUsize>,
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

/// Rounds of filling. Each counts what the table has counted during the one before.
const ROUNDS: usize = 10;

/// Names of log files shown in a list.
const SHOWN: usize = 5;

/// Rebuilds the tables whose rollups have changed. Returns whether all of them are as their rollups say, or would be.
///
/// # Errors
///
/// A rollup or a table can't be used. What was done by then stays: the command can be repeated.
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
        bail!("there is no rollup {table}.sql; rebuild needs the SQL that the table shall have");
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
        let generations = Generations::open(&root, Arc::clone(&rollup)).await;
        let Some(generations) = generations.with_context(|| format!("table {name}"))? else {
            writeln!(out, "{name}: unchanged")?;
            continue;
        };
        let rebuilt = generations.rebuild(options, out, progress).await;
        whole &= rebuilt.with_context(|| format!("table {name}"))?;
    }
    out.flush()?;
    Ok(whole)
}

/// Puts the generation back that was live before the last swap, with all that was counted since.
///
/// # Errors
///
/// There is none, or the table can't be used. What was done by then stays: the command can be repeated.
pub async fn rollback(
    options: &Options,
    table: &str,
    out: &mut (impl Write + Send),
    progress: &mut dyn Progress,
) -> Result<bool> {
    let root = Root::open(&options.tables).await?;
    if !root.tables().await?.iter().any(|there| there == table) {
        bail!("no table '{table}' found in {}", options.tables);
    }
    let Some(earlier) = root.read_earlier(table).await? else {
        bail!(
            "the table {table} has no earlier generation that could be put back: it was never rebuilt, or more than three days ago"
        );
    };
    let rollup = Arc::new(maintain::rollup(table, &earlier).await?);
    let Some(mut generations) = Generations::open(&root, rollup).await? else {
        bail!("the table {table} has the SQL of its earlier generation already");
    };
    if generations.next.is_none() {
        let (live, rollup) = (&generations.live, &generations.rollup);
        let next = root
            .begin_again(live, rollup.definition(), &earlier)
            .await
            .context("the earlier generation can't be copied")?;
        generations.next = Some(next);
    }
    generations.is_rollback = true;
    let options = Options {
        logs: options.logs.clone(),
        tables: options.tables.clone(),
        table: None,
        swap: When::Now,
        dry_run: false,
        ..*options
    };
    let done = generations.rebuild(&options, out, progress).await?;
    out.flush()?;
    Ok(done)
}

/// A table and the generation that shall take its place.
struct Generations {
    root: Root,
    name: String,
    live: Table,
    /// The rollup of the live generation.
    old: Rollup,
    /// The rollup that the table shall have.
    rollup: Arc<Rollup>,
    /// The generation of that rollup, if it was begun before.
    next: Option<Table>,
    /// Whether the table has a next generation of other SQL, which is dropped.
    drops: bool,
    /// Whether the generation is an earlier one that a person puts back.
    is_rollback: bool,
}

/// The log files of a table's ledger.
struct LogFiles {
    entries: Vec<Entry>,
    found: HashMap<LogFileId, LogObject>,
    /// Those that are gone.
    gone: Vec<Entry>,
}

impl Generations {
    /// `None` if the table is the result of this rollup already.
    async fn open(root: &Root, rollup: Arc<Rollup>) -> Result<Option<Self>> {
        let name = rollup.definition().name.clone();
        let version = root.read(&name).await?;
        let old = maintain::rollup(&name, &version).await?;
        let live = root.table_at(old.definition(), &version).await?;
        let is_same = old.definition().identity == rollup.definition().identity;
        let mut next = None;
        if let Some(folder) = version.next() {
            // One that can't be read is dropped.
            let of_next = async {
                let of_next = root.read_next(&name, folder).await?;
                maintain::rollup(&name, &of_next).await
            };
            let identity = &rollup.definition().identity;
            let goes_on = match of_next.await {
                Ok(of_next) => of_next.definition().identity == *identity,
                Err(_) => false,
            };
            if !is_same && goes_on {
                next = Some(root.next_table(rollup.definition(), folder).await?);
            }
        }
        let drops = version.next().is_some() && next.is_none();
        if is_same && !drops {
            return Ok(None);
        }
        Ok(Some(Self {
            root: root.clone(),
            name,
            live,
            old,
            is_rollback: false,
            rollup,
            next,
            drops,
        }))
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
        if self.is_same() {
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
        let log_files = self.log_files(options).await?;
        self.say_plan(&log_files, options, out, progress).await?;
        if !log_files.gone.is_empty() {
            say_gone(&log_files.gone, out)?;
            return Ok(false);
        }
        if options.dry_run {
            return Ok(true);
        }
        out.flush()?;
        let next = match self.next.take() {
            Some(next) => next,
            None => {
                let begun = self.root.begin_next(&self.live, self.rollup.definition());
                begun.await?
            }
        };
        self.live.void_seal(&next).await?;
        if !self.fill(&next, &log_files, options, out, progress).await? {
            return Ok(false);
        }
        let difference = self.difference(&next).await?;
        write!(out, "{difference}")?;
        let swaps = match options.swap {
            When::Never => false,
            When::WhenEqual => difference.is_equal(),
            When::Now => true,
        };
        if !swaps {
            writeln!(
                out,
                "  not swapped: workers keep both up to date; `logmill rebuild --swap now` makes the new one live"
            )?;
            return Ok(options.swap == When::Never);
        }
        self.swap(&next, &log_files, options, out, progress).await
    }

    /// Says what changes, and what a rebuild takes.
    async fn say_plan(
        &self,
        log_files: &LogFiles,
        options: &Options,
        out: &mut impl Write,
        progress: &mut dyn Progress,
    ) -> Result<()> {
        match self.is_rollback {
            true => writeln!(out, "{}: the earlier generation is put back", self.name)?,
            false => writeln!(out, "{}: the rollup has changed", self.name)?,
        }
        for change in changes(&self.old, &self.rollup) {
            writeln!(out, "  {change}")?;
        }
        if self.drops {
            writeln!(out, "  drops the next generation, which has other SQL")?;
        }
        let left = match &self.next {
            Some(next) => self.live.lacked_by(next).await?,
            None => log_files.entries.clone(),
        };
        let bytes: i64 = left.iter().map(|entry| entry.bytes).sum();
        let files = format!(
            "{} log files of {}",
            HumanCount(left.len() as u64),
            HumanBytes(bytes.unsigned_abs())
        );
        match (&self.next, left.is_empty()) {
            (None, _) => writeln!(out, "  reads {files}: as many as the table has counted")?,
            (Some(_), true) => writeln!(out, "  reads no log file: it has counted all of them")?,
            (Some(_), false) => writeln!(out, "  reads {files}: it has counted the others")?,
        }
        let estimate = estimate::of(&self.rollup, &left, &log_files.found, options, progress);
        for line in estimate.await {
            writeln!(out, "  {line}")?;
        }
        Ok(())
    }

    /// Finds the log files that the table has counted.
    async fn log_files(&self, options: &Options) -> Result<LogFiles> {
        let version = self.root.read(&self.name).await?;
        let mut entries = version.entries().await?;
        entries.sort_by(|left, right| left.log_file.cmp(&right.log_file));
        let listed = match options.logs.is_empty() {
            true => {
                let uris = entries.iter().map(|entry| entry.log_file.clone());
                listing::locate(uris, &options.tables).await.0
            }
            false => listing::list(&options.logs, &options.tables).await?,
        };
        let found = listed.found.into_iter();
        let found: HashMap<LogFileId, LogObject> =
            found.map(|found| (found.log_file.id(), found)).collect();
        let is_gone = |entry: &&Entry| !found.contains_key(&id(entry));
        let gone = entries.iter().filter(is_gone).cloned().collect();
        Ok(LogFiles {
            entries,
            found,
            gone,
        })
    }

    /// Counts for the next generation what the table has counted. Returns whether it has all of it.
    async fn fill(
        &self,
        next: &Table,
        log_files: &LogFiles,
        options: &Options,
        out: &mut impl Write,
        progress: &mut dyn Progress,
    ) -> Result<bool> {
        let mut before = usize::MAX;
        for _ in 0..ROUNDS {
            let lacked = self.live.lacked_by(next).await?;
            if lacked.is_empty() {
                return Ok(true);
            }
            if lacked.len() >= before {
                writeln!(
                    out,
                    "  {} log files are not in the rebuilt table, and the swap waits for them:",
                    HumanCount(lacked.len() as u64)
                )?;
                say_some(&lacked, out)?;
                return Ok(false);
            }
            before = lacked.len();
            let (mut known, mut unknown) = (Vec::new(), Vec::new());
            for entry in &lacked {
                match log_files.found.get(&id(entry)) {
                    Some(found) => known.push(found.clone()),
                    // The table has counted it in the meantime.
                    None => unknown.push(entry.log_file.clone()),
                }
            }
            let (later, _) = listing::locate(unknown, &options.tables).await;
            known.extend(later.found);
            let summary = self.fill_with(next, known, options, progress).await?;
            say_failures(&summary, out)?;
        }
        Ok(self.live.lacked_by(next).await?.is_empty())
    }

    async fn fill_with(
        &self,
        next: &Table,
        found: Vec<LogObject>,
        options: &Options,
        progress: &mut dyn Progress,
    ) -> Result<Summary> {
        // A table of its own: a run takes it, and commits what workers have staged for it too.
        let folder = self.root.read(&self.name).await?;
        let folder = folder
            .next()
            .cloned()
            .context("the next generation has been dropped")?;
        let table = self.root.next_table(next.definition(), &folder).await?;
        let feeds = Feeds::of_one(RollupTable {
            rollup: Arc::clone(&self.rollup),
            table,
        });
        let listed = Listed {
            found,
            not_listed: Vec::new(),
        };
        let run_options = run::Options {
            logs: Vec::new(),
            tables: options.tables.clone(),
            max_log_file_bytes: options.max_log_file_bytes,
            threads: options.threads,
            ignore: Ignore::default(),
        };
        run::run_feeds(
            listed,
            (feeds, Vec::new()),
            &self.root,
            &run_options,
            progress,
        )
        .await
    }

    async fn difference(&self, next: &Table) -> Result<Difference> {
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

    async fn swap(
        &self,
        next: &Table,
        log_files: &LogFiles,
        options: &Options,
        out: &mut impl Write,
        progress: &mut dyn Progress,
    ) -> Result<bool> {
        for _ in 0..ROUNDS {
            match self.live.swap(next).await? {
                Swap::Done(version) => {
                    self.say_swapped(version, out)?;
                    return Ok(true);
                }
                Swap::Lacks(_) => {
                    if !self.fill(next, log_files, options, out, progress).await? {
                        return Ok(false);
                    }
                }
            }
        }
        bail!(
            "log files are counted faster than the rebuilt table can follow; try again when fewer arrive"
        )
    }

    fn say_swapped(&self, version: u64, out: &mut impl Write) -> Result<()> {
        writeln!(
            out,
            "  swapped: whoever reads version {version} or a later one reads the rebuilt table"
        )?;
        let columns = |rollup: &Rollup| {
            let columns = rollup.definition().columns.iter();
            let columns = columns.map(|column| (column.name.clone(), column.data_type.clone()));
            columns.collect::<Vec<_>>()
        };
        if columns(&self.old) != columns(&self.rollup) {
            writeln!(
                out,
                "  Glue has the columns of the day on which Athena's table was created: run `infra/tables`, or drop that table (the data \
                 stay) and run the statements of `logmill ddl` again"
            )?;
        }
        writeln!(
            out,
            "  to take it back within three days: logmill rollback {}",
            self.name
        )?;
        Ok(())
    }
}

fn id(entry: &Entry) -> LogFileId {
    LogFile::new(entry.log_file.as_str()).id()
}

/// Says which days a rebuilt table could not have.
fn say_gone(gone: &[Entry], out: &mut impl Write) -> Result<()> {
    let mut days: BTreeMap<String, usize> = BTreeMap::new();
    for entry in gone {
        let day = match entry
            .first_time
            .and_then(DateTime::<Utc>::from_timestamp_millis)
        {
            Some(time) => time.format("%Y-%m-%d").to_string(),
            None => "without a time".to_owned(),
        };
        *days.entry(day).or_default() += 1;
    }
    writeln!(
        out,
        "  not rebuilt: {} log files that the table has counted are gone, and the rebuilt table would lack them:",
        HumanCount(gone.len() as u64)
    )?;
    say_some(gone, out)?;
    let days: Vec<String> = days
        .into_iter()
        .map(|(day, log_files)| format!("{day} ({log_files})"))
        .collect();
    writeln!(out, "  days: {}", days.join(", "))?;
    writeln!(
        out,
        "  give all places of log files with --logs, or put the log files back; or write the new rollup under another name"
    )?;
    Ok(())
}

fn say_some(entries: &[Entry], out: &mut impl Write) -> Result<()> {
    for entry in entries.iter().take(SHOWN) {
        writeln!(out, "    {}", escaped(&entry.log_file))?;
    }
    match entries.len().saturating_sub(SHOWN) {
        0 => {}
        more => writeln!(out, "    and {} more", HumanCount(more as u64))?,
    }
    Ok(())
}

/// Says why log files are not in the rebuilt table.
fn say_failures(summary: &Summary, out: &mut impl Write) -> Result<()> {
    for (log_file, reason) in summary.failed.iter().take(SHOWN) {
        writeln!(
            out,
            "  not read: {}: {}",
            escaped(log_file),
            escaped(reason)
        )?;
    }
    for set_aside in summary.set_aside.values() {
        let (log_file, reason) = &set_aside.first;
        writeln!(
            out,
            "  the new rollup fails on {} log files as a whole, for example {}: {}",
            HumanCount(set_aside.log_files as u64),
            escaped(log_file),
            escaped(reason)
        )?;
    }
    for trouble in &summary.troubles {
        writeln!(out, "  problem: {}", escaped(&trouble.what))?;
    }
    if let Some(lines) = summary.failed_lines.values().max() {
        writeln!(
            out,
            "  the new rollup fails on {} lines, which the rebuilt table leaves out (they are in failed_lines after the swap)",
            HumanCount(*lines)
        )?;
    }
    Ok(())
}
