//! `logmill serve`: a worker. It stages the log files that are announced to it by a queue and over HTTP, and
//! commits, by lease, what it and others have staged.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use logmill_shared::LogFile;
use logmill_shared::notification::Allowed;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::intake::disposition::{Disposition, NotStaged};
use crate::intake::places::Places;
use crate::intake::queue::Queue;
use crate::intake::{Stage, Taken, http, sqs};
use crate::journey::{
    self, JourneyError, Limits, Outcome, RollupTable, RollupTables, Source, Staged,
};
use crate::memory;
use crate::metrics::Metrics;
use crate::rollup::Rollup;
use crate::stall::ReadCount;
use crate::table::Root;
use crate::upkeep::{self, News};

/// Log files at once, for each core. A small one waits for S3 most of its time; a large one keeps a core busy by itself,
/// and then more of them only cost memory, some 20 MB each.
const LOG_FILES_PER_CORE: usize = 4;

/// The most log files at once. Each takes a thread of Tokio's for what blocks, of which there are 512, and all that reads
/// files or looks up names needs one now and then.
pub const LOG_FILES_AT_ONCE_MAX: usize = 256;

/// Messages or requests that wait for their turn, for each log file that is staged: enough that the next is there when
/// one is done.
const WAITING_PER_LOG_FILE: usize = 1;

/// How a worker works.
pub struct Options {
    /// The folder of rollups: a path, or `s3://bucket/prefix`.
    pub rollups: String,
    /// The place of tables.
    pub tables: String,
    /// Places that log files may be read from.
    pub allowed: Vec<Allowed>,
    /// The queue that announces log files.
    pub queue_url: Option<String>,
    /// How long a message of it is hidden for at once.
    pub visibility: Duration,
    /// Where HTTP is answered.
    pub listen: Option<SocketAddr>,
    /// What must be shown to announce log files over HTTP.
    pub token: Option<http::Token>,
    /// Log files that are staged at once; by default some for each core.
    pub log_files_at_once: Option<NonZeroUsize>,
    /// The most text that a log file may expand to, in bytes.
    pub max_log_file_bytes: u64,
    /// How long what is in hand may take once it is time to stop.
    pub grace: Duration,
    /// How long a log file may make no progress before its announcement is given back.
    pub stalled_after: Duration,
    /// The time between commits when little comes; `None` for a worker that only stages.
    pub commit_interval: Option<Duration>,
}

/// Works until `stop` is cancelled, and then finishes what is in hand, for as long as the grace lasts. Fails at once if
/// there is something wrong with the queue, a rollup, a bucket or the tables.
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
        rollups = worker.tables.rollups.len(),
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
    if let Some(interval) = options.commit_interval {
        for table in 0..worker.tables.tables().count() {
            working.spawn(Arc::clone(&worker).keep(table, interval, stop.clone()));
        }
    }
    working.spawn({
        let (worker, stop) = (Arc::clone(&worker), stop.clone());
        async move { worker.all_stalled(&stop).await }
    });
    drain(working, answering, stop, close, options.grace).await
}

/// All that a worker needs, seen to be there.
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
    let places = Places::open(options.allowed.clone()).await?;
    let listener = match options.listen {
        Some(address) => {
            let listener = TcpListener::bind(address).await;
            Some(listener.with_context(|| format!("{address}: can't listen there"))?)
        }
        None => None,
    };
    let root = Root::create(&options.tables).await?;
    let memory = memory::Staging::new(at_once, rollups.len());
    if memory.log_files < at_once {
        tracing::warn!(
            log_files_at_once = memory.log_files,
            rollups = rollups.len(),
            "fewer log files at once than configured: memory does not allow for more"
        );
    }
    let worker = Arc::new(Worker {
        tables: RollupTables::open(&root, rollups).await?,
        places,
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

/// Fewer receives than these make dead letters of what workers that come and go have held.
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

/// A task that is to go on until it is told to stop.
type Task = JoinSet<Result<()>>;

/// Waits until it is time to stop, or something has ended by itself, and then for what is in hand. HTTP is answered to
/// the end, so that whoever looks sees a worker that is stopping, and not one that has died.
///
/// An error of any task is logged, and the first is the worker's, whenever it came.
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
        // It may have been told to in this moment.
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

/// What the requests may take by which messages are given back.
const GIVING_BACK: Duration = Duration::from_secs(5);

/// Stages what is announced.
struct Worker {
    tables: RollupTables,
    places: Places,
    /// One for each log file that may be staged at once.
    turns: Arc<Semaphore>,
    stalls: Stalls,
    limits: Limits,
    metrics: Arc<Metrics>,
}

/// Log files that hang. The thread of one can't be ended, and keeps its turn.
struct Stalls {
    /// How long a log file may make no progress.
    after: Duration,
    turns: usize,
    now: AtomicUsize,
    /// Every turn is held by a log file that hangs.
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
    /// The whole way of a log file that was announced.
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
            // A journey goes on to its end even if nobody waits for it any more, and has its turn for so long.
            let _turn = (turn, in_flight);
            let source = Source {
                reader: counted.of(found.open()?),
                log_file: found.log_file,
                bytes: found.bytes,
                etag: found.etag,
            };
            let rollups: Vec<&RollupTable> = worker.tables.rollups.iter().collect();
            runtime.block_on(journey::stage(
                source,
                &rollups,
                &worker.tables.rejected_lines,
                worker.limits,
            ))
        });
        let staged = tokio::select! {
            staged = &mut staged => staged,
            () = read.stalls(self.stalls.after) => return Err(self.stalled(log_file, staged)),
        };
        match staged {
            Ok(staged) => staged.map_err(|error| NotStaged::by_journey(error, log_file)),
            Err(panic) => Err(NotStaged::by_panic(panic)),
        }
    }

    /// Counts a log file that hangs for as long as it does.
    fn stalled(
        self: &Arc<Self>,
        log_file: &LogFile,
        journey: JoinHandle<Result<Outcome, JourneyError>>,
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
            // Its end is nobody's any more. If it is staged after all, that counts once.
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

    /// Fails once every turn is held by a log file that hangs: only another process can go on.
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

    /// Commits, settles and vacuums one of the tables, by its number.
    async fn keep(
        self: Arc<Self>,
        table: usize,
        interval: Duration,
        stop: CancellationToken,
    ) -> Result<()> {
        let table = self.tables.tables().nth(table);
        let table = table.context("there is no table of this number")?;
        let name = &table.definition().name;
        upkeep::keep(table, interval, stop, |news| match news {
            News::Lease(is_held) => self.metrics.lease(name, is_held),
            News::Committed(committed, took) => self.metrics.committed(name, &committed, took),
            News::Failed => self.metrics.upkeep_failed(name),
        })
        .await;
        Ok(())
    }
}

impl Stage for Arc<Worker> {
    async fn stage(&self, log_file: &LogFile) -> Result<Taken, NotStaged> {
        match self.take(log_file).await {
            Ok(Outcome::Staged(staged)) => {
                let Staged {
                    reading,
                    spent,
                    failed_lines,
                } = staged;
                tracing::debug!(%log_file, lines = reading.lines, "staged");
                self.metrics.staged(&reading, &spent);
                for (table, lines) in failed_lines {
                    tracing::debug!(%log_file, %table, lines, "rollup fails on lines; they are left out of it");
                    self.metrics.failed_lines(&table, lines);
                }
                Ok(Taken::Staged)
            }
            Ok(Outcome::Skipped(what)) => {
                tracing::debug!(%log_file, what, "skipped");
                self.metrics.skipped();
                Ok(Taken::Skipped)
            }
            Err(error) => {
                self.metrics.not_staged(error.name);
                Err(error)
            }
        }
    }
}
