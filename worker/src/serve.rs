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

use crate::intake::places::Places;
use crate::intake::queue::Queue;
use crate::intake::{Next, NotStaged, Stage, Staged, http, sqs};
use crate::journey::{self, JourneyError, Outcome, RollupTable, RollupTables, Source};
use crate::log_file::gunzip::GunzipError;
use crate::metrics::Metrics;
use crate::rollup::Rollup;
use crate::table::Root;
use crate::upkeep::{self, News};

/// Log files at once, for each core. A small one waits for S3 most of its time; a large one keeps a core busy by itself,
/// and then more of them only cost memory, some 20 MB each.
const LOG_FILES_PER_CORE: usize = 4;

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
    /// The time between commits when little comes; `None` for a worker that only stages.
    pub commit_interval: Option<Duration>,
}

/// Works until `stop` is cancelled, and then finishes what is in hand, for as long as the grace lasts. Fails at once if
/// there is something wrong with the queue, a rollup, a bucket or the tables.
pub async fn serve(options: Options, stop: CancellationToken) -> Result<()> {
    if options.queue_url.is_none() && options.token.is_none() {
        bail!(
            "nothing announces log files: give --queue-url, or --listen and the token that callers \
             must show in DISPATCH_TOKEN"
        );
    }
    let at_once = match options.log_files_at_once {
        Some(at_once) => at_once.get(),
        None => {
            LOG_FILES_PER_CORE * std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
        }
    };
    let held_max = at_once * (1 + WAITING_PER_LOG_FILE);
    let metrics = Arc::new(Metrics::default());
    let worker = Arc::new(Worker {
        tables: open_tables(&options).await?,
        places: Places::open(options.allowed).await?,
        turns: Semaphore::new(at_once),
        max_text_bytes: options.max_log_file_bytes,
        metrics: Arc::clone(&metrics),
    });
    let queue = match &options.queue_url {
        Some(url) => Some(open_queue(url).await?),
        None => None,
    };
    let listener = match options.listen {
        Some(address) => Some(
            TcpListener::bind(address)
                .await
                .with_context(|| format!("{address}: can't listen there"))?,
        ),
        None => None,
    };
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

    let mut intakes = JoinSet::new();
    if let Some(queue) = queue {
        let settings = sqs::Settings {
            visibility: options.visibility,
            messages_max: held_max,
            log_files_at_once: at_once,
        };
        let (worker, metrics, stop) = (Arc::clone(&worker), Arc::clone(&metrics), stop.clone());
        intakes.spawn(async move {
            sqs::take(queue, settings, worker, metrics, stop, options.grace).await;
            Ok(())
        });
    }
    if let Some(listener) = listener {
        let settings = http::Settings {
            token: options.token,
            requests_max: held_max,
            log_files_at_once: at_once,
        };
        let (worker, metrics, stop) = (Arc::clone(&worker), Arc::clone(&metrics), stop.clone());
        intakes.spawn(async move {
            let answered = http::listen(listener, settings, worker, metrics, stop).await;
            answered.context("HTTP can't be answered any more")
        });
    }
    let mut upkeep = JoinSet::new();
    if let Some(interval) = options.commit_interval {
        for table in 0..worker.tables.tables().count() {
            upkeep.spawn(Arc::clone(&worker).keep(table, interval, stop.clone()));
        }
    }
    drain(intakes, upkeep, stop, options.grace).await
}

async fn open_tables(options: &Options) -> Result<RollupTables> {
    let rollups = Rollup::load_folder(&options.rollups).await?;
    let root = Root::create(&options.tables).await?;
    Ok(RollupTables::open(&root, rollups).await?)
}

async fn open_queue(url: &str) -> Result<Queue> {
    let queue = Queue::open(url).await?;
    if !queue.has_redrive_policy() {
        tracing::warn!(
            queue_url = url,
            "the queue has no redrive policy: what can't be read will be tried until its retention is over, \
             and then be lost; give it a dead-letter queue"
        );
    }
    Ok(queue)
}

/// Waits until it is time to stop or an intake has ended by itself, and then for what is in hand.
async fn drain(
    mut intakes: JoinSet<Result<()>>,
    mut upkeep: JoinSet<()>,
    stop: CancellationToken,
    grace: Duration,
) -> Result<()> {
    tokio::select! {
        // An intake that has ended because it was told to is not looked at here.
        biased;
        () = stop.cancelled() => {}
        Some(ended) = intakes.join_next() => {
            ended??;
            bail!("an intake has ended before it was told to");
        }
    }
    tracing::info!(grace_s = grace.as_secs(), "stopping");
    let deadline = Instant::now() + grace + GIVING_BACK;
    let finished = async {
        while let Some(ended) = intakes.join_next().await {
            ended??;
        }
        while let Some(ended) = upkeep.join_next().await {
            ended?;
        }
        anyhow::Ok(())
    };
    match timeout_at(deadline, finished).await {
        Ok(finished) => finished?,
        Err(_) => {
            tracing::warn!("grace over; what is left will be done again, by this worker or another")
        }
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
    /// One for each log file that may be staged at once.
    turns: Semaphore,
    max_text_bytes: u64,
    metrics: Arc<Metrics>,
}

impl Worker {
    /// The whole way of a log file that was announced.
    async fn take(self: &Arc<Self>, log_file: &LogFile) -> Result<Outcome, NotStaged> {
        let begun = Instant::now();
        let turn = self.turns.acquire().await;
        self.metrics.stage("wait", begun.elapsed());
        let _in_flight = self.metrics.log_file_in_flight();
        let begun = Instant::now();
        let found = self.places.look_up(log_file).await?;
        self.metrics.stage("look_up", begun.elapsed());

        let (worker, runtime) = (Arc::clone(self), Handle::current());
        let staged = tokio::task::spawn_blocking(move || {
            let source = Source {
                reader: found.open()?,
                log_file: found.log_file,
                bytes: found.bytes,
                etag: found.etag,
            };
            let rollups: Vec<&RollupTable> = worker.tables.rollups.iter().collect();
            runtime.block_on(journey::stage(
                source,
                &rollups,
                &worker.tables.rejected_lines,
                worker.max_text_bytes,
            ))
        })
        .await;
        drop(turn);
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
    async fn keep(self: Arc<Self>, table: usize, interval: Duration, stop: CancellationToken) {
        let Some(table) = self.tables.tables().nth(table) else {
            return;
        };
        let name = &table.definition().name;
        upkeep::keep(table, interval, stop, |news| match news {
            News::Lease(is_held) => self.metrics.lease(name, is_held),
            News::Committed(committed, took) => self.metrics.committed(name, &committed, took),
            News::Failed => self.metrics.upkeep_failed(name),
        })
        .await;
    }
}

impl Stage for Arc<Worker> {
    async fn stage(&self, log_file: &LogFile) -> Result<Staged, NotStaged> {
        match self.take(log_file).await {
            Ok(Outcome::Staged(reading, spent)) => {
                tracing::debug!(%log_file, lines = reading.lines, "staged");
                self.metrics.staged(&reading, &spent);
                Ok(Staged::Staged)
            }
            Ok(Outcome::Skipped(what)) => {
                tracing::debug!(%log_file, what, "skipped");
                self.metrics.skipped();
                Ok(Staged::Skipped)
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
    let (name, next) = match &error {
        JourneyError::Open(_) => ("s3_unavailable", Next::Outage),
        JourneyError::Unreadable(GunzipError::Read { .. }) => ("s3_unavailable", Next::Outage),
        JourneyError::Unreadable(_) => ("unreadable", Next::Person),
        // Other log files that are staged just now have the memory that it needs.
        JourneyError::Sql { source, .. } if is_crowded(source) => ("memory", Next::Again),
        JourneyError::Sql { .. } => ("sql", Next::Person),
        JourneyError::Staging(error) if error.is_transient() => {
            ("tables_unavailable", Next::Outage)
        }
        JourneyError::Staging(_) => ("not_stageable", Next::Person),
    };
    NotStaged {
        name,
        reason: Cow::Owned(format!("{:#}", anyhow::Error::new(error))),
        next,
    }
}

fn is_crowded(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}
