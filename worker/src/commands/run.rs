//! `logmill run`: one batch run. It stages log files from folders and buckets on all cores, and commits them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use indicatif::HumanBytes;
use logmill_shared::{LogFile, LogFileId, Shard, chain};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::commands::progress::{Progress, Waits};
use crate::commit_pace::{self, CommitPace};
use crate::delivery::Late;
use crate::feeds::{Feed, Feeds, Trouble};
use crate::intake::copies::{Copy, SeenNames};
use crate::intake::file_rules::FileRules;
use crate::intake::listing;
use crate::intake::log_object::{Listed, LogObject, in_order};
use crate::log_file::reading::Reading;
use crate::pipeline::{self, LOG_FILES_AT_ONCE_MAX, Limits, Outcome, PipelineError, Staged};
use crate::rollup::Loaded;
use crate::table::{Entry, Lost, Root, TableError, of_tables};

mod strays;
mod finality;

use finality::Finality;

/// Configuration of a run.
#[derive(Debug)]
pub struct Options {
    /// Log files and folders of log files: paths or `s3://bucket/key`.
    pub logs: Vec<String>,
    /// The folder of tables.
    pub tables: String,
    /// Maximum decompressed size of a log file, in bytes.
    pub max_log_file_bytes: u64,
    /// Log files read concurrently; by default one per core.
    pub threads: Option<NonZeroUsize>,
    /// Files to ignore.
    pub rules: FileRules,
}

/// The results of a run.
#[derive(Debug, Default)]
pub struct Summary {
    /// Log files that a rollup reads, whether this run or an earlier one counted them.
    pub log_files: usize,
    /// Log files that tables counted in this run.
    pub counted: usize,
    /// Number of log files that were read, by kind: the table of their lines, with their shape if they are not text.
    pub kinds: BTreeMap<String, usize>,
    /// Log files that all tables had counted before this run.
    pub counted_before: usize,
    /// Log files that were counted earlier and have changed since. The change is not counted.
    pub changed: Vec<String>,
    /// Number of skipped files, by kind: no rollup reads them.
    pub skipped: BTreeMap<String, usize>,
    /// Files of no known kind, each with a description of its content.
    pub unrecognised: Vec<(String, &'static str)>,
    /// Number of files excluded by the ignore patterns.
    pub ignored: usize,
    /// Log files with the same name as another one. They are counted in addition to it.
    pub copies: Vec<Copy>,
    /// Log files that logmill's own decoder rejected and flate2 could read.
    pub by_second_opinion: Vec<String>,
    /// Log files that are not counted, each with the reason.
    pub failed: Vec<(String, String)>,
    /// Number of lines on which a rollup fails, by table. No row of the table includes them.
    pub failed_lines: BTreeMap<String, u64>,
    /// Values that tables could not store exactly, by table.
    pub lost: BTreeMap<String, Lost>,
    /// What was read in total.
    pub reading: Reading,
    /// Log files that are set aside, by table.
    pub set_aside: BTreeMap<String, SetAsideSummary>,
    /// Number of log files that were counted for a time that was already final, by table.
    pub late: BTreeMap<String, usize>,
    /// Problems with rollups and tables.
    pub troubles: Vec<Trouble>,
    /// The tables after the run.
    pub tables: Vec<TableSummary>,
    /// Time from the first log file to the last commit.
    pub elapsed: Duration,
}

/// The log files that a run has set aside for one table.
#[derive(Debug, Default)]
pub struct SetAsideSummary {
    /// Number of log files.
    pub log_files: usize,
    /// The first of them, and the reason.
    pub first: (String, String),
}

impl Summary {
    /// Whether any log file was found, and all tables count all of them.
    pub fn is_complete(&self) -> bool {
        self.log_files + self.counted > 0 && !self.has_failures()
    }

    /// Whether some table lacks a log file that was found.
    pub fn has_failures(&self) -> bool {
        let failed = self.troubles.iter().any(|trouble| trouble.is_failure);
        failed || !self.failed.is_empty() || !self.set_aside.is_empty()
    }

    fn set_aside(&mut self, table: &str, log_file: String, reason: String) {
        let of_table = self.set_aside.entry(table.to_owned()).or_default();
        if of_table.log_files == 0 {
            of_table.first = (log_file, reason);
        }
        of_table.log_files += 1;
    }

    /// Adds a problem unless it was reported before.
    fn trouble(&mut self, trouble: Trouble) {
        if !self.troubles.contains(&trouble) {
            self.troubles.push(trouble);
        }
    }
}

/// A table after the run.
#[derive(Debug)]
pub struct TableSummary {
    /// Its name.
    pub name: String,
    /// Its rows.
    pub rows: u64,
    /// Its data files.
    pub files: usize,
    /// Their size in bytes.
    pub bytes: u64,
}

/// Runs every rollup over every log file that its table has not counted.
pub async fn run(
    rollups: Loaded,
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<Summary> {
    for logs in &options.logs {
        listing::refuse_tables_as_logs(logs, &options.tables)?;
    }
    let root = Root::create(&options.tables).await?;
    let wait = progress.waits().begin("the list of log files");
    let listed = listing::list(&options.logs, &options.tables).await?;
    drop(wait);
    run_over(listed, rollups, &root, options, progress).await
}

/// Like [`run`], over log files that are already listed.
pub(crate) async fn run_over(
    listed: Listed,
    rollups: Loaded,
    root: &Root,
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<Summary> {
    let wait = progress.waits().begin("the tables to be opened");
    let (feeds, troubles) = Feeds::open(root, rollups).await?;
    drop(wait);
    run_feeds(listed, (feeds, troubles), root, options, progress).await
}

/// Like [`run`], for tables that are already open.
pub(crate) async fn run_feeds(
    mut listed: Listed,
    (feeds, troubles): (Feeds, Vec<Trouble>),
    root: &Root,
    options: &Options,
    progress: &mut dyn Progress,
) -> Result<Summary> {
    if let (true, Some(trouble)) = (feeds.tables.is_empty(), troubles.first()) {
        bail!("{}", trouble.what);
    }
    let mut summary = Summary {
        troubles,
        ..Summary::default()
    };
    let tables = strays::tables(&feeds);
    listed
        .found
        .extend(strays::find(root, &tables, &options.tables, &mut summary).await?);
    in_order(&mut listed.found);
    let found = summary.take(listed, &options.rules);
    let waits = progress.waits();
    let to_do = to_do(found, &feeds, &waits, &mut summary).await?;
    progress.found(to_do.len());
    progress.found_bytes(to_do.iter().map(|to_do| to_do.found.bytes).sum());
    progress.found_all();

    let begin = Instant::now();
    let threads = match options.threads {
        Some(threads) => threads.get(),
        None => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
    };
    let threads = threads.min(LOG_FILES_AT_ONCE_MAX);
    let memory = feeds.staging_budget(threads, false);
    let threads = memory.log_files_at_once;
    let workshop = Arc::new(Workshop {
        next: AtomicUsize::new(0),
        to_do,
        finality: Finality::open(root, &feeds).await?,
        feeds,
        limits: Limits {
            text_bytes: options.max_log_file_bytes,
            group_bytes: memory.group_bytes,
        },
        rules: options.rules.clone(),
        waits,
    });
    let (sender, results) = channel(threads);
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..threads {
        let (workshop, sender, runtime) =
            (Arc::clone(&workshop), sender.clone(), Handle::current());
        workers.spawn_blocking(move || {
            while let Some(to_do) = workshop.next() {
                let result = runtime.block_on(workshop.stage(to_do));
                if sender.blocking_send((to_do.found.clone(), result)).is_err() {
                    return;
                }
            }
        });
    }
    drop(sender);
    let late = gather(results, &workshop, &mut summary, progress).await?;
    while let Some(worker) = workers.join_next().await {
        worker.context("a worker thread failed")?;
    }

    strays::sweep(root, &tables).await;
    workshop
        .finality
        .record(&workshop.feeds, late, &mut summary)
        .await;
    for table in workshop.feeds.fed().filter(|table| !table.is_next()) {
        let name = table.definition().name.clone();
        match table.version().await {
            Ok(version) => summary.tables.push(TableSummary {
                name,
                rows: version.rows(),
                files: version.files().len(),
                bytes: version.files().iter().map(|file| file.bytes).sum(),
            }),
            // If there was a problem with this table before, this one adds nothing.
            Err(error) if summary.troubles.iter().all(|trouble| trouble.table != name) => {
                summary.trouble(not_read(name, &error));
            }
            Err(_) => {}
        }
    }
    summary.elapsed = begin.elapsed();
    progress.end();
    Ok(summary)
}

impl Summary {
    /// Adds a listing, without ignored files. Files that can't be accessed count as failed.
    fn take(&mut self, listed: Listed, rules: &FileRules) -> Vec<LogObject> {
        let Listed {
            mut found,
            not_listed,
        } = listed;
        let listed = found.len() + not_listed.len();
        found.retain(|found| !rules.ignores(&found.log_file));
        for each in not_listed
            .into_iter()
            .filter(|each| !rules.ignores(&each.log_file))
        {
            tracing::warn!(log_file = %each.log_file, reason = each.reason, "file or folder could not be listed");
            self.failed.push((each.log_file.to_string(), each.reason));
        }
        self.ignored = listed - found.len() - self.failed.len();
        found
    }

    /// Finds log files with equal names, among the listed ones and those that the ledgers counted before.
    fn find_copies<'a>(&mut self, found: &[LogObject], entries: impl Iterator<Item = &'a Entry>) {
        let mut names = SeenNames::default();
        let met = found.iter().filter_map(|found| names.meet(&found.log_file));
        self.copies.extend(met);
        let listed: HashSet<&str> = found.iter().map(|found| found.log_file.uri()).collect();
        let elsewhere: BTreeSet<&str> = entries
            .map(|entry| entry.log_file.as_str())
            .filter(|uri| !listed.contains(uri))
            .collect();
        self.copies.extend(elsewhere.into_iter().filter_map(|uri| {
            Some(Copy {
                log_file: names.find(&LogFile::new(uri))?.to_string(),
                copy_of: uri.to_owned(),
            })
        }));
        for Copy { log_file, copy_of } in &self.copies {
            tracing::warn!(
                log_file,
                copy_of,
                "log file has the same name as another one and is counted too"
            );
        }
    }
}

/// A log file and the tables that have neither counted nor staged it.
struct ToDo {
    found: LogObject,
    tables: Vec<Arc<Feed>>,
}

fn not_read(table: String, error: &TableError) -> Trouble {
    Trouble {
        table,
        what: chain(error),
        is_failure: true,
    }
}

/// The counted and staged log files of a table.
struct Known<'f> {
    feed: &'f Arc<Feed>,
    counted: HashMap<LogFileId, Entry>,
    staged: HashSet<LogFileId>,
}

/// Leaves out log files that are already counted or staged. If a table can't be read, its ledger is unknown: log files are staged for
/// it, and its commits will check.
async fn to_do(
    found: Vec<LogObject>,
    feeds: &Feeds,
    waits: &Waits,
    summary: &mut Summary,
) -> Result<Vec<ToDo>> {
    let shards: HashSet<Shard> = found.iter().map(|found| found.log_file.shard()).collect();
    let fed = feeds.tables.iter();
    let fed = fed.filter_map(|feed| Some((feed, feed.table()?)));
    let known = fed.map(async |(feed, table)| {
        let _wait = waits.begin(format!("the ledger of the table {}", feed.name()));
        let read = async {
            let counted = table.version().await?.counted_entries(&shards).await?;
            Ok::<_, TableError>((counted, table.staged().await?))
        };
        (feed, read.await)
    });
    let mut tables: Vec<Known> = Vec::new();
    for (feed, read) in of_tables(known).await {
        let (counted, staged) = read.unwrap_or_else(|error| {
            summary.trouble(not_read(feed.name().to_owned(), &error));
            Default::default()
        });
        tables.push(Known {
            feed,
            counted,
            staged,
        });
    }
    let counted = tables.iter().flat_map(|known| known.counted.values());
    summary.find_copies(&found, counted);
    let mut to_do = Vec::new();
    for found in found {
        let id = found.log_file.id();
        let entries: Vec<&Entry> = tables
            .iter()
            .filter_map(|known| known.counted.get(&id))
            .collect();
        if entries.iter().any(|entry| entry.etag != found.etag) {
            summary.changed.push(found.log_file.to_string());
        }
        // A ledger entry tells the format, and whether there are rejected lines. Tables over another format will never count
        // this log file.
        let reads = |known: &Known| match (entries.first(), known.feed.rollup()) {
            (None, _) => true,
            (Some(entry), Some(rollup)) => rollup.rollup.format().table == entry.log_table,
            (Some(entry), None) => entry.rejected_lines > 0,
        };
        let missing = || {
            let tables = tables.iter();
            tables.filter(|known| reads(known) && !known.counted.contains_key(&id))
        };
        let not_staged: Vec<Arc<Feed>> = missing()
            .filter(|known| !known.staged.contains(&id))
            .map(|known| Arc::clone(known.feed))
            .collect();
        if missing().all(|known| known.feed.rollup().is_none()) {
            summary.counted_before += 1;
        }
        if not_staged.is_empty() {
            summary.log_files += 1;
        } else {
            to_do.push(ToDo {
                found,
                tables: not_staged,
            });
        }
    }
    Ok(to_do)
}

/// State that the worker threads share.
struct Workshop {
    to_do: Vec<ToDo>,
    next: AtomicUsize,
    finality: Finality,
    feeds: Feeds,
    limits: Limits,
    rules: FileRules,
    waits: Waits,
}

impl Workshop {
    fn next(&self) -> Option<&ToDo> {
        self.to_do.get(self.next.fetch_add(1, Ordering::Relaxed))
    }

    async fn stage(&self, to_do: &ToDo) -> Result<Outcome, PipelineError> {
        let found = &to_do.found;
        let (name, size) = (found.log_file.name(), HumanBytes(found.bytes));
        let _wait = self.waits.begin(format!("the log file {name} ({size})"));
        let source = pipeline::source(found, &self.rules);
        pipeline::stage(source, &to_do.tables, self.limits).await
    }

    /// Commits the staged files of all tables. A failure of one table does not affect the others.
    async fn commit(&self) -> CommitResults {
        let mut counted = CommitResults::default();
        for feed in &self.feeds.tables {
            let Some(table) = feed.table() else {
                continue;
            };
            let name = &table.definition().name;
            let _wait = self.waits.begin(format!("the commit of the table {name}"));
            let committed = match table.commit().await {
                Ok(committed) => committed,
                Err(error) => {
                    tracing::warn!(table = %name, error = chain(&error), "table cannot be committed");
                    counted.troubles.push(Trouble {
                        table: name.clone(),
                        what: format!("the table cannot be committed: {}", chain(&error)),
                        is_failure: true,
                    });
                    continue;
                }
            };
            let set_aside = committed.set_aside.into_iter();
            counted
                .set_aside
                .extend(set_aside.map(|(log_file, reason)| (name.clone(), log_file, reason)));
            if feed.rollup().is_some() && !feed.is_next() {
                let late = self.finality.late(name, &committed.entries);
                counted.late.entry(name.clone()).or_default().extend(late);
                let entries = committed.entries.into_iter();
                counted
                    .log_files
                    .extend(entries.map(|entry| entry.log_file));
                if committed.version > 0 {
                    counted
                        .lost
                        .entry(name.clone())
                        .or_default()
                        .add(&committed.lost);
                }
            }
        }
        counted
    }
}

/// The results of commits.
#[derive(Default)]
struct CommitResults {
    /// Log files that a rollup's table has counted.
    log_files: HashSet<String>,
    /// Values that tables could not store exactly.
    lost: BTreeMap<String, Lost>,
    /// Set-aside log files: table, log file, reason.
    set_aside: Vec<(String, String, String)>,
    /// Log files that were counted for a time that was already final, by table.
    late: BTreeMap<String, Vec<Late>>,
    troubles: Vec<Trouble>,
}

impl CommitResults {
    /// Adds the results of later commits. Problems of earlier commits are over unless they occurred again.
    fn add(&mut self, later: Self) {
        self.log_files.extend(later.log_files);
        for (table, lost) in later.lost {
            self.lost.entry(table).or_default().add(&lost);
        }
        self.set_aside.extend(later.set_aside);
        for (table, late) in later.late {
            self.late.entry(table).or_default().extend(late);
        }
        self.troubles = later.troubles;
    }
}

/// Collects the results of the workers, and commits periodically while they run. Returns the log files that were late, by table.
async fn gather(
    mut results: Receiver<(LogObject, Result<Outcome, PipelineError>)>,
    workshop: &Arc<Workshop>,
    summary: &mut Summary,
    progress: &mut dyn Progress,
) -> Result<BTreeMap<String, Vec<Late>>> {
    let mut counted = CommitResults::default();
    let commit = |workshop: Arc<Workshop>| {
        tokio::spawn(async move {
            let begin = Instant::now();
            let counted = workshop.commit().await;
            (counted, begin.elapsed())
        })
    };
    let mut committing: Option<JoinHandle<(CommitResults, Duration)>> = None;
    let mut pace = CommitPace::new(commit_pace::INTERVAL);
    let mut last_commit = Instant::now();
    let mut staged = 0;
    while let Some((found, result)) = results.recv().await {
        let mut text_bytes = 0;
        match result {
            Ok(Outcome::Staged(done)) => {
                staged += 1;
                summary.log_files += 1;
                let Staged {
                    kind,
                    reading,
                    failed_lines,
                    set_aside,
                    by_second_opinion,
                    ..
                } = done;
                *summary.kinds.entry(kind).or_default() += 1;
                for (table, reason) in set_aside {
                    summary.set_aside(&table, found.log_file.to_string(), reason);
                }
                if by_second_opinion {
                    summary.by_second_opinion.push(found.log_file.to_string());
                }
                for (table, lines) in failed_lines {
                    *summary.failed_lines.entry(table).or_default() += lines;
                }
                text_bytes = reading.text_bytes;
                summary.reading.add(&reading);
            }
            Ok(Outcome::Skipped(what)) => *summary.skipped.entry(what).or_default() += 1,
            Ok(Outcome::NotRead(format)) => {
                let what = format!("of {}, which no rollup here reads", format.table);
                *summary.skipped.entry(what).or_default() += 1;
            }
            Ok(Outcome::Unrecognised(what)) => {
                summary
                    .unrecognised
                    .push((found.log_file.to_string(), what));
            }
            Err(error) => {
                let reason = chain(&error);
                tracing::warn!(log_file = %found.log_file, %reason, "log file not counted");
                summary.failed.push((found.log_file.to_string(), reason));
            }
        }
        progress.done(1);
        progress.done_bytes(found.bytes, text_bytes);
        if committing.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(finished) = committing.take()
        {
            let (committed, took) = finished.await.context("a commit panicked")?;
            counted.add(committed);
            pace.committed(took);
            last_commit = Instant::now();
        }
        if committing.is_none() && pace.is_due(staged, last_commit.elapsed()) {
            committing = Some(commit(Arc::clone(workshop)));
            staged = 0;
        }
    }
    progress.committing();
    if let Some(committing) = committing {
        let (committed, _) = committing.await.context("a commit panicked")?;
        counted.add(committed);
    }
    let (committed, _) = commit(Arc::clone(workshop))
        .await
        .context("a commit panicked")?;
    counted.add(committed);
    summary.counted = counted.log_files.len();
    summary.lost = counted.lost;
    summary.lost.retain(|_, lost| *lost != Lost::default());
    for (table, log_file, reason) in counted.set_aside {
        summary.set_aside(&table, log_file, reason);
    }
    for trouble in counted.troubles {
        // Replaces an earlier problem with the same table, such as one with opening it.
        summary
            .troubles
            .retain(|before| before.table != trouble.table);
        summary.trouble(trouble);
    }
    Ok(counted.late)
}
