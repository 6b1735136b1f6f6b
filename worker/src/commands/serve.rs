//! `logmill serve`: a long-running worker. It stages log files that are announced by a queue or over HTTP. For each table
//! whose lease it holds, it commits what any worker has staged.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use logmill_shared::notification::Allowed;
use logmill_shared::{LogFile, chain};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::feeds::{Feed, Feeds, RollupTable, Trouble};
use crate::intake::allowed_locations::AllowedLocations;
use crate::intake::disposition::{Disposition, NotStaged};
use crate::intake::ignore::Ignore;
use crate::intake::queue::Queue;
use crate::intake::{Stage, StageOutcome, http, sqs};
use crate::maintenance::{self, MaintenanceEvent};
use crate::memory;
use crate::metrics::{LeftAlone, Metrics};
use crate::pipeline::{
    self, LOG_FILES_AT_ONCE_MAX, Limits, Outcome, PipelineError, Source, Staged,
};
use crate::rollup::Rollup;
use crate::set_aside_watch::SetAsideWatch;
use crate::stall::ReadCount;
use crate::table::{Root, Table};

/// Log files staged concurrently, per core. A small log file mostly waits for S3. A large one keeps a core busy by itself;
/// more of them only cost memory, about 20 MB each.
const LOG_FILES_PER_CORE: usize = 4;

/// Messages or requests that wait, for each log file being staged: enough that the next one is ready when one finishes.
const WAITING_PER_LOG_FILE: usize = 1;

/// Configuration of a worker.
pub struct Options {
    /// The folder of rollups: a path, or `s3://bucket/prefix`.
    pub rollups: String,
    /// The folder of tables.
    pub tables: String,
    /// Locations that log files may be read from.
    pub allowed: Vec<Allowed>,
    /// Files to ignore.
    pub ignore: Ignore,
    /// The queue that announces log files.
    pub queue_url: Option<String>,
    /// SQS visibility timeout; extended while a message is being processed.
    pub visibility: Duration,
    /// Address that the HTTP server listens on.
    pub listen: Option<SocketAddr>,
    /// The token that callers need to announce log files over HTTP.
    pub token: Option<http::Token>,
    /// Log files staged concurrently; by default a multiple of the number of cores.
    pub log_files_at_once: Option<NonZeroUsize>,
    /// Maximum decompressed size of a log file, in bytes.
    pub max_log_file_bytes: u64,
    /// How long work in progress may take after shutdown begins.
    pub grace: Duration,
    /// How long a log file may make no progress before its announcement is returned.
    pub stalled_after: Duration,
    /// Time between commits at low load; `None` for a worker that only stages.
    pub commit_interval: Option<Duration>,
}

/// Runs until `stop` is cancelled, then finishes work in progress within the grace period. Fails at startup if there is a
/// problem with the queue, a rollup, a bucket or the tables.
pub async fn serve(options: Options, stop: CancellationToken) -> Result<()> {
    let at_once = match options.log_files_at_once {
        Some(at_once) => at_once.get(),
        None => {
            let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
            (LOG_FILES_PER_CORE * cores).min(LOG_FILES_AT_ONCE_MAX)
        }
    };
    let held_max = at_once * (1 + WAITING_PER_LOG_FILE);
    let metrics = Arc::new(Metrics::default());
    let opened = open(&options, at_once, &metrics);
    let Some(opened) = stop.run_until_cancelled(opened).await else {
        tracing::info!("stopped before all was opened");
        return Ok(());
    };
    let Opened {
        worker,
        queue,
        listener,
    } = opened?;
    let listen = match &listener {
        Some(listener) => Some(listener.local_addr()?.to_string()),
        None => None,
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        rollups = worker.feeds.tables.len(),
        tables = options.tables,
        queue_url = options.queue_url,
        listen,
        log_files_at_once = at_once,
        commits = options.commit_interval.is_some(),
        "serving"
    );

    let (mut working, mut answering) = (Task::new(), Task::new());
    let close = CancellationToken::new();
    if let Some(queue) = queue {
        let settings = sqs::Settings {
            visibility: options.visibility,
            messages_max: held_max,
            log_files_at_once: at_once,
            grace: options.grace,
            buckets: worker.places.buckets(),
        };
        let (worker, metrics, stop) = (Arc::clone(&worker), Arc::clone(&metrics), stop.clone());
        working.spawn(sqs::take(queue, settings, worker, metrics, stop));
    }
    if let Some(listener) = listener {
        let settings = http::Settings {
            token: options.token,
            requests_max: held_max,
            log_files_at_once: at_once,
        };
        let (worker, metrics) = (Arc::clone(&worker), Arc::clone(&metrics));
        let http = http::Http::new(settings, worker, metrics, stop.clone());
        answering.spawn(http.listen(listener, close.clone()));
    }
    for number in 0..worker.feeds.tables.len() {
        working.spawn(Arc::clone(&worker).watch(number, stop.clone()));
    }
    if let Some(interval) = options.commit_interval {
        for number in 0..worker.feeds.tables.len() {
            working.spawn(Arc::clone(&worker).keep(number, interval, stop.clone()));
        }
        working.spawn(Arc::clone(&worker).keep_rejected_lines(interval, stop.clone()));
    }
    working.spawn(Arc::clone(&worker).watch_set_aside(stop.clone()));
    working.spawn({
        let (worker, stop) = (Arc::clone(&worker), stop.clone());
        async move { worker.all_stalled(&stop).await }
    });
    drain(working, answering, stop, close, options.grace).await
}

/// Everything that a worker needs, opened and checked.
struct Opened {
    worker: Arc<Worker>,
    queue: Option<Queue>,
    listener: Option<TcpListener>,
}

async fn open(options: &Options, at_once: usize, metrics: &Arc<Metrics>) -> Result<Opened> {
    let announces_by_http = options.listen.is_some() && options.token.is_some();
    if options.queue_url.is_none() && !announces_by_http {
        bail!(
            "nothing announces log files: give --queue-url, or --listen and, in DISPATCH_TOKEN, the token that \
             callers must show"
        );
    }
    let rollups = Rollup::load_folder(&options.rollups).await?;
    let queue = match &options.queue_url {
        Some(url) => Some(open_queue(url).await?),
        None => None,
    };
    let places = AllowedLocations::open(options.allowed.clone()).await?;
    let listener = match options.listen {
        Some(address) => {
            let listener = TcpListener::bind(address).await;
            Some(listener.with_context(|| format!("{address}: can't listen there"))?)
        }
        None => None,
    };
    let root = Root::create(&options.tables).await?;
    let (feeds, troubles) = Feeds::open(&root, rollups).await?;
    let rollups = feeds.tables.len();
    for feed in &feeds.tables {
        metrics.trouble(feed.name(), false);
    }
    for trouble in &troubles {
        tell(trouble, metrics);
    }
    if rollups == 0 {
        bail!("there is no rollup that can be run; what is wrong with each is said above");
    }
    let memory = memory::Staging::new(at_once, rollups);
    if memory.log_files < at_once {
        tracing::warn!(
            log_files_at_once = memory.log_files,
            rollups,
            "fewer log files at once than configured: memory does not allow for more"
        );
    }
    let worker = Arc::new(Worker {
        current: feeds.tables.iter().cloned().map(RwLock::new).collect(),
        feeds,
        root,
        warned: Mutex::default(),
        set_aside: SetAsideWatch::new(LOOK_AT_SET_ASIDE),
        places,
        ignore: options.ignore.clone(),
        turns: Arc::new(Semaphore::new(memory.log_files)),
        stalls: Stalls::new(memory.log_files, options.stalled_after),
        limits: Limits {
            text_bytes: options.max_log_file_bytes,
            group_bytes: memory.groups,
        },
        metrics: Arc::clone(metrics),
    });
    Ok(Opened {
        worker,
        queue,
        listener,
    })
}

/// With a `maxReceiveCount` below this, messages that short-lived workers held become dead letters.
const FEW_RECEIVES: u64 = 3;

async fn open_queue(url: &str) -> Result<Queue> {
    let queue = Queue::open(url).await?;
    match queue.receives_max() {
        None => tracing::warn!(
            queue_url = url,
            "the queue has no redrive policy: what can't be read will be tried until its retention is over, \
             and then be lost; give it a dead-letter queue"
        ),
        Some(few) if few < FEW_RECEIVES => tracing::warn!(
            queue_url = url,
            maxReceiveCount = few,
            "messages become dead letters soon: a worker that ends gives back what it holds, and each time \
             counts; let the queue's redrive policy allow for five"
        ),
        Some(_) => {}
    }
    Ok(queue)
}

/// Tasks that run until they are told to stop.
type Task = JoinSet<Result<()>>;

/// Waits until `stop` is cancelled or a task ends by itself, and then for work in progress. HTTP is answered until the end,
/// so that health checks see a worker that is shutting down and not one that has died.
///
/// Logs the error of every task. Returns the first one, whether it occurred before or after the shutdown began.
async fn drain(
    mut working: Task,
    mut http: Task,
    stop: CancellationToken,
    close: CancellationToken,
    grace: Duration,
) -> Result<()> {
    let ended = tokio::select! {
        () = stop.cancelled() => None,
        Some(ended) = working.join_next() => Some(ended),
        Some(ended) = http.join_next() => Some(ended),
    };
    let mut first_error = None;
    let mut note = |ended: Result<Result<()>, JoinError>| {
        if let Err(error) = ended.map_err(anyhow::Error::new).flatten() {
            tracing::error!(
                error = format!("{error:#}"),
                "a task of the worker has failed"
            );
            first_error.get_or_insert(error);
        }
    };
    if let Some(ended) = ended {
        // `stop` may have been cancelled at the same moment.
        let too_early = || Err(anyhow!("a task has ended before it was told to"));
        note(match ended {
            Ok(Ok(())) if !stop.is_cancelled() => Ok(too_early()),
            ended => ended,
        });
    }
    stop.cancel();
    tracing::info!(grace_s = grace.as_secs(), "stopping");
    let deadline = Instant::now() + grace + GIVING_BACK;
    let finished = async {
        while let Some(ended) = working.join_next().await {
            note(ended);
        }
        close.cancel();
        while let Some(ended) = http.join_next().await {
            note(ended);
        }
    };
    if timeout_at(deadline, finished).await.is_err() {
        tracing::warn!("grace over; what is left will be done again, by this worker or another");
    }
    match first_error {
        Some(error) => Err(error),
        None => {
            tracing::info!("stopped");
            Ok(())
        }
    }
}

/// Time after the grace period for the requests that return messages to the queue.
const GIVING_BACK: Duration = Duration::from_secs(5);

/// Stages announced log files.
struct Worker {
    root: Root,
    /// The tables as they were at startup.
    feeds: Feeds,
    /// The tables as they are now.
    current: Vec<RwLock<Arc<Feed>>>,
    /// Time of the last warning about set-aside log files, by table.
    warned: Mutex<HashMap<String, Instant>>,
    /// Number of set-aside log files of each table, as last seen by this worker.
    set_aside: SetAsideWatch,
    places: AllowedLocations,
    ignore: Ignore,
    /// One permit for each log file that may be staged concurrently.
    turns: Arc<Semaphore>,
    stalls: Stalls,
    limits: Limits,
    metrics: Arc<Metrics>,
}

/// Log files that hang. The thread of such a log file can't be stopped, and keeps its permit.
struct Stalls {
    /// How long a log file may make no progress.
    after: Duration,
    turns: usize,
    now: AtomicUsize,
    /// Cancelled when stalled log files hold all permits.
    are_all: CancellationToken,
}

impl Stalls {
    fn new(turns: usize, after: Duration) -> Self {
        Self {
            after,
            turns,
            now: AtomicUsize::new(0),
            are_all: CancellationToken::new(),
        }
    }
}

impl Worker {
    /// Looks up an announced log file and stages it for all tables.
    async fn take(self: &Arc<Self>, log_file: &LogFile) -> Result<Outcome, NotStaged> {
        let begun = Instant::now();
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        self.metrics.step("wait", begun.elapsed());
        let in_flight = self.metrics.log_file_in_flight();
        let begun = Instant::now();
        let found = self.places.look_up(log_file).await?;
        self.metrics.step("look_up", begun.elapsed());

        let (worker, runtime) = (Arc::clone(self), Handle::current());
        let read = ReadCount::default();
        let counted = read.clone();
        let mut staged = tokio::task::spawn_blocking(move || {
            // The thread runs to its end even if the caller has stopped waiting. It holds its permit until then.
            let _turn = (turn, in_flight);
            let source = Source {
                log_file: found.log_file.clone(),
                bytes: found.bytes,
                etag: found.etag.clone(),
                open: || Ok(counted.of(found.open()?)),
            };
            runtime.block_on(worker.stage_for_all(source))
        });
        let staged = tokio::select! {
            staged = &mut staged => staged,
            () = read.stalls(self.stalls.after) => return Err(self.stalled(log_file, staged)),
        };
        match staged {
            Ok(staged) => staged.map_err(|error| error.disposed(log_file)),
            Err(panic) => Err(NotStaged::by_panic(panic)),
        }
    }

    /// Counts a log file as stalled until its thread ends.
    fn stalled(
        self: &Arc<Self>,
        log_file: &LogFile,
        journey: JoinHandle<Result<Outcome, PipelineError>>,
    ) -> NotStaged {
        let (worker, log_file) = (Arc::clone(self), log_file.clone());
        let stalls = &self.stalls;
        let now = stalls.now.fetch_add(1, Ordering::SeqCst) + 1;
        let after_s = stalls.after.as_secs();
        tracing::error!(
            %log_file, after_s, stalled = now, turns = stalls.turns,
            "log file stalled: nothing of it was read for so long; its announcement is given back, and its turn stays taken"
        );
        if now == stalls.turns {
            stalls.are_all.cancel();
        }
        let gauge = self.metrics.stalled_log_file();
        tokio::spawn(async move {
            // Nothing uses the result any more. If the log file is staged after all, it still counts once.
            let _ = journey.await;
            drop(gauge);
            worker.stalls.now.fetch_sub(1, Ordering::SeqCst);
            tracing::info!(%log_file, "stalled log file has ended after all");
        });
        NotStaged {
            name: "stalled",
            reason: Cow::Owned(format!("nothing of it was read for {after_s} seconds")),
            disposition: Disposition::Retry,
        }
    }

    /// Fails when stalled log files hold all permits: only a restart of the process helps.
    async fn all_stalled(&self, stop: &CancellationToken) -> Result<()> {
        match stop
            .run_until_cancelled(self.stalls.are_all.cancelled())
            .await
        {
            None => Ok(()),
            Some(()) => bail!(
                "all {} log files at once have stalled; the worker must be started again. The log names them: remove or \
                 replace what is not to be read",
                self.stalls.turns
            ),
        }
    }

    /// Stages a log file for the tables in their current state. Sets it aside for tables that can't be used.
    async fn stage_for_all<R: Read>(
        &self,
        source: Source<impl Fn() -> io::Result<R>>,
    ) -> Result<Outcome, PipelineError> {
        let log_file = source.log_file.clone();
        let feeds: Vec<Arc<Feed>> = (0..self.current.len()).map(|at| self.feed(at)).collect();
        let fed: Vec<&RollupTable> = feeds.iter().filter_map(|feed| feed.fed()).collect();
        let rejected_lines = &self.feeds.rejected_lines;
        let mut outcome = pipeline::stage(source, &fed, rejected_lines, self.limits).await?;
        for feed in &feeds {
            let Feed::Unfed(unfed) = &**feed else {
                continue;
            };
            let set_aside = match &mut outcome {
                Outcome::Staged(staged) => &mut staged.set_aside,
                // The log format that the table reads is unknown: this may be a log for it.
                Outcome::NotRead(_) => {
                    outcome = Outcome::Staged(Staged::default());
                    match &mut outcome {
                        Outcome::Staged(staged) => &mut staged.set_aside,
                        _ => continue,
                    }
                }
                Outcome::Skipped(_) | Outcome::Unrecognised(_) => continue,
            };
            unfed.notes.set_aside(&log_file, &unfed.reason).await?;
            set_aside.push((unfed.table.clone(), unfed.reason.clone()));
        }
        Ok(outcome)
    }

    /// Counts the log files that are set aside for tables: soon after this worker has set one aside, and periodically while
    /// there are any. The count also shows when another process has put them back.
    async fn watch_set_aside(self: Arc<Self>, stop: CancellationToken) -> Result<()> {
        while stop
            .run_until_cancelled(self.set_aside.is_due())
            .await
            .is_some()
        {
            for table in self.set_aside.due() {
                let look = async { self.root.notes(&table)?.how_much().await };
                match look.await {
                    Ok(how_much) => {
                        self.set_aside.seen(&table, how_much);
                        self.metrics.set_aside(&table, how_much);
                    }
                    // The table stays due.
                    Err(error) => {
                        tracing::warn!(
                            table,
                            error = chain(&error),
                            "what is set aside is not known"
                        );
                    }
                }
            }
        }
        Ok(())
    }

    fn warn_of_set_aside(&self, log_file: &LogFile, table: &str, reason: &str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let last = warned.insert(table.to_owned(), now);
        if last.is_none_or(|last| now - last >= WARN_OF_SET_ASIDE) {
            tracing::warn!(%log_file, table, reason, "set aside for the table, as others may be; `logmill retry` tries again");
        } else if let Some(last) = last {
            warned.insert(table.to_owned(), last);
        }
    }

    fn feed(&self, number: usize) -> Arc<Feed> {
        let feed = self.current[number].read();
        Arc::clone(&*feed.unwrap_or_else(PoisonError::into_inner))
    }

    /// Commits, compacts and vacuums one table, given by its index.
    async fn keep(
        self: Arc<Self>,
        number: usize,
        interval: Duration,
        stop: CancellationToken,
    ) -> Result<()> {
        while !stop.is_cancelled() {
            let feed = self.feed(number);
            match feed.fed() {
                Some(fed) => {
                    self.keep_table(&fed.table, interval, &stop).await;
                    if !stop.is_cancelled() {
                        self.reopen(number).await;
                    }
                }
                // `watch` reopens it.
                None => pause(interval, &stop).await,
            }
        }
        Ok(())
    }

    async fn keep_rejected_lines(
        self: Arc<Self>,
        interval: Duration,
        stop: CancellationToken,
    ) -> Result<()> {
        let table = &self.feeds.rejected_lines;
        while !stop.is_cancelled() {
            self.keep_table(table, interval, &stop).await;
            // The table may have been removed.
            if !stop.is_cancelled()
                && let Err(error) = self.root.open_or_create(table.definition()).await
            {
                tracing::error!(error = chain(&error), "rejected_lines can't be opened");
                pause(interval, &stop).await;
            }
        }
        Ok(())
    }

    async fn keep_table(&self, table: &Table, interval: Duration, stop: &CancellationToken) {
        let name = &table.definition().name;
        maintenance::keep(table, interval, stop, |news| match news {
            MaintenanceEvent::Lease(is_held) => self.metrics.lease(name, is_held),
            MaintenanceEvent::Committed(committed, took) => {
                self.metrics.committed(name, &committed, took)
            }
            MaintenanceEvent::SetAside(how_much) => {
                self.set_aside.seen(name, how_much);
                self.metrics.set_aside(name, how_much);
            }
            MaintenanceEvent::Failed => self.metrics.upkeep_failed(name),
        })
        .await;
    }

    /// Checks periodically whether a table is still the one that was opened. Commits to a replaced table set aside what was
    /// staged for the old one; an early check keeps this to few log files.
    async fn watch(self: Arc<Self>, number: usize, stop: CancellationToken) -> Result<()> {
        loop {
            pause(WATCH, &stop).await;
            if stop.is_cancelled() {
                return Ok(());
            }
            let feed = self.feed(number);
            let is_another = match feed.fed() {
                Some(fed) => match fed.table.version().await {
                    Ok(_) => false,
                    Err(error) => error.is_another(),
                },
                None => true,
            };
            if is_another {
                self.reopen(number).await;
            }
        }
    }

    /// Opens a table in its current state.
    async fn reopen(&self, number: usize) {
        let before = self.feed(number);
        match self.feeds.reopened(&self.root, number).await {
            Ok((feed, trouble)) => {
                match &trouble {
                    Some(trouble) => tell(trouble, &self.metrics),
                    None => {
                        self.metrics.trouble(before.name(), false);
                        tracing::info!(table = before.name(), "table opened anew");
                    }
                }
                let current = self.current[number].write();
                *current.unwrap_or_else(PoisonError::into_inner) = Arc::new(feed);
            }
            Err(error) => {
                self.metrics.trouble(before.name(), true);
                tracing::error!(
                    table = before.name(),
                    error = chain(&error),
                    "table can't be opened"
                );
            }
        }
    }
}

/// Minimum time between warnings about set-aside log files of one table: a rollup that fails on one log file is likely to
/// fail on all.
const WARN_OF_SET_ASIDE: Duration = Duration::from_mins(1);

/// How often a worker counts set-aside log files while there are any. Each count lists the notes of a table.
const LOOK_AT_SET_ASIDE: Duration = Duration::from_mins(1);

/// How often a worker checks whether a table is still the one that it opened.
const WATCH: Duration = Duration::from_mins(5);

/// Waits for `duration`, or until `stop` is cancelled.
async fn pause(duration: Duration, stop: &CancellationToken) {
    // Both outcomes are fine.
    let _ = timeout(duration, stop.cancelled()).await;
}

/// Logs a problem with a rollup or a table, and sets its metric.
fn tell(trouble: &Trouble, metrics: &Metrics) {
    let Trouble {
        table,
        what,
        is_failure,
    } = trouble;
    metrics.trouble(table, true);
    match is_failure {
        true => tracing::error!(%table, what, "trouble with a table; the others go on"),
        false => tracing::warn!(%table, what, "the rollup's file is not what the table is fed by"),
    }
}

impl Stage for Arc<Worker> {
    async fn stage(&self, log_file: &LogFile) -> Result<StageOutcome, NotStaged> {
        if self.ignore.has(log_file) {
            tracing::debug!(%log_file, "ignored");
            self.metrics.left_alone(LeftAlone::Ignored);
            return Ok(StageOutcome::Skipped);
        }
        match self.take(log_file).await {
            Ok(Outcome::Staged(staged)) => {
                let Staged {
                    reading,
                    spent,
                    failed_lines,
                    set_aside,
                    by_second_opinion,
                } = staged;
                if by_second_opinion {
                    self.metrics.second_opinion();
                }
                tracing::debug!(%log_file, lines = reading.lines, "staged");
                self.metrics.staged(&reading, &spent);
                for (table, lines) in failed_lines {
                    tracing::debug!(%log_file, %table, lines, "rollup fails on lines; they are left out of it");
                    self.metrics.failed_lines(&table, lines);
                }
                for (table, reason) in set_aside {
                    self.metrics.failed("set_aside");
                    self.set_aside.changed(&table);
                    self.warn_of_set_aside(log_file, &table, &reason);
                }
                Ok(StageOutcome::Staged)
            }
            Ok(Outcome::NotRead(format)) => {
                tracing::debug!(%log_file, format = format.table, "skipped: no rollup reads it");
                self.metrics.left_alone(LeftAlone::Skipped);
                Ok(StageOutcome::Skipped)
            }
            Ok(Outcome::Skipped(what)) => {
                tracing::debug!(%log_file, what, "skipped");
                self.metrics.left_alone(LeftAlone::Skipped);
                Ok(StageOutcome::Skipped)
            }
            Ok(Outcome::Unrecognised(what)) => {
                tracing::info!(%log_file, what, "unrecognised: of no known kind, and left alone; --ignore leaves such files out");
                self.metrics.left_alone(LeftAlone::Unrecognised);
                Ok(StageOutcome::Skipped)
            }
            Err(error) => {
                self.metrics.not_staged(error.name);
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    /// Returns the result of a worker after one task ended with `outcome`, before or after it was told to stop.
    async fn ends(is_told: bool, outcome: fn() -> Result<()>) -> Result<()> {
        let stop = CancellationToken::new();
        let (mut working, mut http) = (Task::new(), Task::new());
        let close = CancellationToken::new();
        http.spawn({
            let close = close.clone();
            async move {
                close.cancelled().await;
                Ok(())
            }
        });
        for is_odd in [false, true] {
            let stop = stop.clone();
            working.spawn(async move {
                match is_odd && !is_told {
                    true => sleep(Duration::from_millis(10)).await,
                    false => stop.cancelled().await,
                }
                if is_odd { outcome() } else { Ok(()) }
            });
        }
        if is_told {
            stop.cancel();
        }
        drain(working, http, stop, close, Duration::from_secs(5)).await
    }

    #[tokio::test]
    async fn a_tasks_error_is_the_workers_whenever_it_comes() {
        let broken = || bail!("broken");
        for is_told in [false, true] {
            let error = ends(is_told, broken).await.unwrap_err();
            assert_eq!(error.to_string(), "broken");
            let panicked = ends(is_told, || panic!("a bug")).await.unwrap_err();
            assert!(panicked.to_string().contains("panicked"), "{panicked}");
        }
        assert!(ends(true, || Ok(())).await.is_ok());
        let too_early = ends(false, || Ok(())).await.unwrap_err();
        assert!(
            too_early.to_string().contains("before it was told"),
            "{too_early}"
        );
    }
}
