//! `logmill serve`: a worker. It stages the log files that are announced to it by a queue and over HTTP, and
//! commits, by lease, what it and others have staged.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use datafusion::error::DataFusionError;
use logmill_shared::LogFile;
use logmill_shared::notification::Allowed;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::aws::Verdict;
use crate::intake::ignore::Ignore;
use crate::intake::places::Places;
use crate::intake::queue::Queue;
use crate::intake::{Next, NotStaged, Stage, Taken, http, sqs};
use crate::journey::{
    self, JourneyError, Limits, Outcome, RollupTable, RollupTables, Source, Staged,
};
use crate::log_file::fetch;
use crate::log_file::gunzip::GunzipError;
use crate::memory;
use crate::metrics::{LeftAlone, Metrics};
use crate::rollup::Rollup;
use crate::table::{Root, TableError};
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
    /// Files that are left alone.
    pub ignore: Ignore,
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
        ignore: options.ignore.clone(),
        turns: Arc::new(Semaphore::new(memory.log_files)),
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
    // It may have been told to in this moment.
    let too_early = ended.filter(|_| !stop.is_cancelled());
    stop.cancel();
    tracing::info!(grace_s = grace.as_secs(), "stopping");
    let deadline = Instant::now() + grace + GIVING_BACK;
    let finished = async {
        while let Some(ended) = working.join_next().await {
            ended??;
        }
        close.cancel();
        while let Some(ended) = http.join_next().await {
            ended??;
        }
        anyhow::Ok(())
    };
    match timeout_at(deadline, finished).await {
        Ok(finished) => finished?,
        Err(_) => {
            tracing::warn!(
                "grace over; what is left will be done again, by this worker or another"
            );
        }
    }
    if let Some(ended) = too_early {
        ended??;
        bail!("a task has ended before it was told to");
    }
    tracing::info!("stopped");
    Ok(())
}

/// What the requests may take by which messages are given back.
const GIVING_BACK: Duration = Duration::from_secs(5);

/// Stages what is announced.
struct Worker {
    tables: RollupTables,
    places: Places,
    ignore: Ignore,
    /// One for each log file that may be staged at once.
    turns: Arc<Semaphore>,
    limits: Limits,
    metrics: Arc<Metrics>,
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
        let staged = tokio::task::spawn_blocking(move || {
            // A journey goes on to its end even if nobody waits for it any more, and has its turn for so long.
            let _turn = (turn, in_flight);
            let source = Source {
                log_file: found.log_file.clone(),
                bytes: found.bytes,
                etag: found.etag.clone(),
                open: || found.open(),
            };
            let rollups: Vec<&RollupTable> = worker.tables.rollups.iter().collect();
            runtime.block_on(journey::stage(
                source,
                &rollups,
                &worker.tables.rejected_lines,
                worker.limits,
            ))
        })
        .await;
        match staged {
            Ok(staged) => staged.map_err(not_staged),
            Err(panic) => Err(NotStaged {
                name: "bug",
                reason: Cow::Owned(format!("a bug of logmill: {panic}")),
                next: Next::Person,
            }),
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
        if self.ignore.has(log_file) {
            tracing::debug!(%log_file, "ignored");
            self.metrics.left_alone(LeftAlone::Ignored);
            return Ok(Taken::Skipped);
        }
        match self.take(log_file).await {
            Ok(Outcome::Staged(staged)) => {
                let Staged {
                    reading,
                    spent,
                    failed_lines,
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
                Ok(Taken::Staged)
            }
            Ok(Outcome::Skipped(what)) => {
                tracing::debug!(%log_file, what, "skipped");
                self.metrics.left_alone(LeftAlone::Skipped);
                Ok(Taken::Skipped)
            }
            Ok(Outcome::Unrecognised(what)) => {
                tracing::info!(%log_file, what, "unrecognised: of no known kind, and left alone; --ignore leaves such files out");
                self.metrics.left_alone(LeftAlone::Unrecognised);
                Ok(Taken::Skipped)
            }
            Err(error) => {
                self.metrics.not_staged(error.name);
                Err(error)
            }
        }
    }
}

/// Whose move is next when a journey has ended badly.
fn not_staged(error: JourneyError) -> NotStaged {
    if let JourneyError::Open(source) | JourneyError::Unreadable(GunzipError::Read { source, .. }) =
        &error
    {
        let verdict = fetch::verdict(source).unwrap_or(Verdict::Retry);
        return NotStaged::by_s3(verdict, chain(error));
    }
    let (name, next) = match &error {
        JourneyError::Open(_) | JourneyError::Unreadable(_) => ("unreadable", Next::Person),
        JourneyError::NoLog { .. } => ("no_log", Next::Person),
        JourneyError::Sql { source, .. } => match source.find_root() {
            DataFusionError::IoError(_) => ("disk", Next::Outage),
            _ => ("sql", Next::Person),
        },
        JourneyError::Staging(TableError::NotOurs { .. } | TableError::Internal(_)) => {
            ("not_stageable", Next::Person)
        }
        // Whatever else it is, it is not the log file's fault: no answer, or no permission any more.
        JourneyError::Staging(_) => ("tables_unavailable", Next::Outage),
    };
    let reason = match &error {
        // What could not be cast, say, is what a visitor has sent: it is not for logs and for callers.
        JourneyError::Sql { rollup, source } if name == "sql" => {
            tracing::debug!(%rollup, error = %source, "rollup fails");
            format!("the rollup '{rollup}' fails on it; LOGMILL_LOG=logmill=debug tells more")
        }
        _ => chain(error),
    };
    NotStaged {
        name,
        reason: Cow::Owned(reason),
        next,
    }
}

fn chain(error: JourneyError) -> String {
    format!("{:#}", anyhow::Error::new(error))
}
