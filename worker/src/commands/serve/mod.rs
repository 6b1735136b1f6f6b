//! `logmill serve`: a long-running worker. It stages log files that are announced by a queue or over HTTP. For each table
//! whose lease it holds, it commits what any worker has staged.

mod table_states;
mod alerts;
mod tables;
mod stager;
mod strays;
mod reporter;
mod fleet;
mod cached;
mod gather;
mod status_page;
mod shutdown;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use clap::ValueEnum;
use indicatif::HumanBytes;
use logmill_object_io::{Env, SystemEnv};
use logmill_shared::notification::Allowed;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::commands::alerts::{Alerts, Webhook};
use crate::delivery::{Bounds, Records};
use crate::feeds::Feeds;
use crate::intake::allowed_locations::AllowedLocations;
use crate::intake::file_rules::FileRules;
use crate::intake::sqs_queue::{SqsQueue, without_credentials};
use crate::intake::token::Token;
use crate::intake::{consumer, http};
use crate::maintenance::Finality;
use crate::metrics::Metrics;
use crate::pipeline::{LOG_FILES_AT_ONCE_MAX, Limits};
use crate::rollup::Rollup;
use crate::stall::Stalls;
use crate::status::Setting;
use crate::table::Root;

use fleet::Fleet;
use gather::Gatherer;
use reporter::Reporter;
use shutdown::{Tasks, drain};
use stager::Stager;
use status_page::Access;
use tables::Tables;

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
    pub rules: FileRules,
    /// The queue that announces log files.
    pub queue_url: Option<String>,
    /// SQS visibility timeout; extended while a message is being processed.
    pub visibility: Duration,
    /// Address that the HTTP server listens on.
    pub listen: Option<SocketAddr>,
    /// The token that callers need to announce log files over HTTP.
    pub token: Option<Token>,
    /// Access to the status page.
    pub status_page: StatusPage,
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
    /// The longest time from the end of a log file's interval until it is counted, in normal operation.
    pub delay_max: Duration,
}

/// Access to the status page, and whether the worker writes its report for the pages of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatusPage {
    /// Everybody who can reach the worker.
    Open,
    /// Those who log in with any user name, and DISPATCH_TOKEN as the password.
    Token,
    /// Nobody. The worker does not write its report for the pages of other workers either.
    Off,
}

/// Runs until `stop` is cancelled, then finishes work in progress within the grace period. Fails at startup if the queue or a
/// bucket can't be used, no rollup or table can be used, or a table has a newer format. A problem with a single rollup or
/// table is logged.
pub async fn serve(options: Options, stop: CancellationToken) -> Result<()> {
    let at_once = match options.log_files_at_once {
        Some(at_once) => at_once.get(),
        None => {
            let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
            (LOG_FILES_PER_CORE * cores).min(LOG_FILES_AT_ONCE_MAX)
        }
    };
    let metrics = Arc::new(Metrics::default());
    let opened = open(&options, at_once, &metrics);
    let Some(opened) = stop.run_until_cancelled(opened).await else {
        tracing::info!("worker stopped before startup was complete");
        return Ok(());
    };
    let Opened {
        stager,
        log_files_at_once: at_once,
        queue,
        listener,
    } = opened?;
    let held_max = at_once * (1 + WAITING_PER_LOG_FILE);
    let tables = Arc::clone(&stager.tables);
    let listen = match &listener {
        Some(listener) => Some(listener.local_addr()?.to_string()),
        None => None,
    };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        rollups = tables.rollup_count(),
        tables = options.tables,
        queue_url = options.queue_url.as_deref().map(without_credentials),
        listen,
        log_files_at_once = at_once,
        commits = options.commit_interval.is_some(),
        "serving"
    );

    let (mut working, mut answering) = (Tasks::new(), Tasks::new());
    let pages = match options.status_page {
        StatusPage::Off => Router::new(),
        shown => {
            let commits = options.commit_interval.is_some();
            let reporter = Reporter::new(&tables, &metrics, commits, &stop);
            let unique = SystemEnv.unique();
            let fleet = Arc::new(Fleet::new(tables.root().store()?, unique));
            working.spawn(Arc::clone(&reporter).remember(stop.clone()));
            let reports = Arc::clone(&fleet).write_reports(Arc::clone(&reporter), stop.clone());
            working.spawn(reports);
            let access = match (shown, &options.token) {
                (StatusPage::Open, _) => Access::Open,
                (_, Some(token)) => Access::Token(token.clone()),
                (_, None) => Access::NoToken,
            };
            let settings = settings(&options, at_once);
            let gatherer = Gatherer::new(&tables, &reporter, &fleet, queue.clone(), settings);
            status_page::routes(access, gatherer)
        }
    };
    let close = CancellationToken::new();
    if let Some(queue) = queue {
        let settings = consumer::Settings {
            visibility: options.visibility,
            messages_max: held_max,
            log_files_at_once: at_once,
            grace: options.grace,
            bucket_count: stager.allowed.bucket_count(),
        };
        let (stager, metrics, stop) = (Arc::clone(&stager), Arc::clone(&metrics), stop.clone());
        working.spawn(consumer::consume(queue, settings, stager, metrics, stop));
    }
    if let Some(listener) = listener {
        let settings = http::Settings {
            token: options.token,
            requests_max: held_max,
            log_files_at_once: at_once,
            pages,
        };
        let (stager, metrics) = (Arc::clone(&stager), Arc::clone(&metrics));
        let http = http::Http::new(settings, stager, metrics, stop.clone());
        answering.spawn(http.listen(listener, close.clone()));
    }
    for table in tables.served() {
        working.spawn(Arc::clone(&tables).watch(Arc::clone(table), stop.clone()));
        let of_table = strays::restage(Arc::clone(&stager), Arc::clone(table), stop.clone());
        working.spawn(of_table);
        if let Some(interval) = options.commit_interval {
            working.spawn(Arc::clone(&tables).maintain(Arc::clone(table), interval, stop.clone()));
            let next = Arc::clone(&tables);
            working.spawn(next.maintain_next(Arc::clone(table), interval, stop.clone()));
        }
    }
    working.spawn(Arc::clone(&tables).watch_set_aside(stop.clone()));
    working.spawn(Arc::clone(&tables.alerts).watch(stop.clone()));
    working.spawn(Arc::clone(&stager.stalls).all_stalled(stop.clone()));
    drain(working, answering, stop, close, options.grace).await
}

/// The settings as the status page shows them: no secrets.
fn settings(options: &Options, log_files_at_once: usize) -> Vec<Setting> {
    let setting = |name, value: String| Setting { name, value };
    let seconds = |time: Duration| format!("{} s", time.as_secs());
    let allowed: Vec<String> = options.allowed.iter().map(ToString::to_string).collect();
    let queue_url = options.queue_url.as_deref().map(without_credentials);
    let all = [
        Some(setting("--rollups", options.rollups.clone())),
        Some(setting("--tables", options.tables.clone())),
        Some(setting("--allow", allowed.join(" "))),
        queue_url.map(|url| setting("--queue-url", url)),
        options
            .listen
            .map(|listen| setting("--listen", listen.to_string())),
        Some(setting(
            "--log-files-at-once",
            log_files_at_once.to_string(),
        )),
        Some(setting("--visibility", seconds(options.visibility))),
        Some(setting(
            "--commit-interval",
            match options.commit_interval {
                Some(interval) => seconds(interval),
                None => "this worker does not commit".to_owned(),
            },
        )),
        Some(setting("--stalled-after", seconds(options.stalled_after))),
        Some(setting(
            "--max-log-file-bytes",
            HumanBytes(options.max_log_file_bytes).to_string(),
        )),
        Some(setting("--delay-max", seconds(options.delay_max))),
        Some(setting("--grace", seconds(options.grace))),
        Some(setting(
            "DISPATCH_TOKEN",
            match options.token {
                Some(_) => "set".to_owned(),
                None => "not set: no log files are accepted over HTTP".to_owned(),
            },
        )),
    ];
    all.into_iter().flatten().collect()
}

/// Everything that a worker needs, opened and checked.
struct Opened {
    stager: Arc<Stager>,
    /// Limited by memory.
    log_files_at_once: usize,
    queue: Option<SqsQueue>,
    listener: Option<TcpListener>,
}

async fn open(options: &Options, at_once: usize, metrics: &Arc<Metrics>) -> Result<Opened> {
    let announces_by_http = options.listen.is_some() && options.token.is_some();
    if options.queue_url.is_none() && !announces_by_http {
        bail!(
            "no source of log files: give --queue-url; or give --listen, and set DISPATCH_TOKEN to the token that \
             callers must send"
        );
    }
    let rollups = Rollup::load_folder(&options.rollups).await?;
    let webhook = Webhook::from_env()?;
    let alerts = Alerts::load(&options.rollups, &rollups, webhook).await;
    let alerts = alerts.context("the folder of alerts cannot be read")?;
    let queue = match &options.queue_url {
        Some(url) => Some(SqsQueue::open(url).await?),
        None => None,
    };
    queue.iter().for_each(SqsQueue::check_redrive_policy);
    let allowed = AllowedLocations::open(options.allowed.clone()).await?;
    let listener = match options.listen {
        Some(address) => {
            let listener = TcpListener::bind(address).await;
            Some(listener.with_context(|| format!("cannot listen on {address}"))?)
        }
        None => None,
    };
    let root = Root::create(&options.tables).await?;
    let (feeds, troubles) = Feeds::open(&root, rollups).await?;
    let memory = feeds.staging_budget(at_once, true);
    let finality = Finality {
        records: Records::of(&root)?,
        bounds: Bounds::of_delay(options.delay_max),
    };
    let tables = Tables::new(root, feeds, &troubles, finality, alerts, metrics);
    let rollups = tables.rollup_count();
    if rollups == 0 {
        bail!("no rollup can be run; the log lines above say what is wrong with each");
    }
    if memory.log_files_at_once < at_once {
        tracing::warn!(
            log_files_at_once = memory.log_files_at_once,
            rollups,
            "fewer log files are staged concurrently than configured, because there is not enough memory for more"
        );
    }
    let stager = Arc::new(Stager {
        tables,
        allowed,
        rules: options.rules.clone(),
        turns: Arc::new(Semaphore::new(memory.log_files_at_once)),
        stalls: Stalls::new(memory.log_files_at_once, options.stalled_after),
        limits: Limits {
            text_bytes: options.max_log_file_bytes,
            group_bytes: memory.group_bytes,
        },
        metrics: Arc::clone(metrics),
    });
    Ok(Opened {
        stager,
        log_files_at_once: memory.log_files_at_once,
        queue,
        listener,
    })
}
