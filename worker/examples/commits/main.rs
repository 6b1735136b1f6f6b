//! What commits cost.
//!
//! ```text
//! cargo run --release --example commits -- fleet      # as the fleet grows: delay, requests, dollars
//! cargo run --release --example commits -- slot       # as the hour grows that is written anew
//! ```

#![allow(clippy::print_stdout)]

use std::collections::HashMap;
use std::error::Error;
use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use logmill::commit_pace;
use logmill::feeds::Feeds;
use logmill::maintenance::{self, MaintenanceEvent};
use logmill::pipeline::{self, Limits, Source};
use logmill::rollup::Rollup;
use logmill::table::{Root, Table};
use logmill_shared::LogFile;
use tokio_util::sync::CancellationToken;
use url::Url;

mod slow_store;

use slow_store::{Latency, Requests, SlowStore};

type Failure = Box<dyn Error + Send + Sync>;

const SQL: &str = "SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, request_url AS url, \
    count(*) AS requests, sum(sent_bytes) AS bytes FROM alb_access_logs GROUP BY 1, 2";

/// Large enough to matter to no log file here.
const LIMITS: Limits = Limits {
    text_bytes: u64::MAX,
    group_bytes: 64 << 20,
};

/// A million log files a day.
const LOG_FILES_PER_SECOND: f64 = 1e6 / 86_400.0;

/// What a request takes on S3, about.
const S3: Latency = Latency {
    get: Duration::from_millis(30),
    put: Duration::from_millis(60),
    list: Duration::from_millis(100),
};

/// List prices of S3 in us-east-1, dollars per request. Deletes are free.
const GET_PRICE: f64 = 0.4e-6;
const PUT_PRICE: f64 = 5e-6;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["fleet"] => runtime.block_on(fleet(Duration::from_secs(180))),
        ["fleet", seconds] => runtime.block_on(fleet(Duration::from_secs(seconds.parse()?))),
        ["slot"] => runtime.block_on(slot()),
        _ => Err("usage: commits fleet [SECONDS] | commits slot".into()),
    }
}

/// A table of one's own, in a store.
async fn table(store: SlowStore) -> Result<Bench, Failure> {
    let root = Root::in_store(Url::parse("memory:///tables/")?, Arc::new(store));
    let rollup = Rollup::from_sql("by_url", SQL).await?;
    let (feeds, _) = Feeds::open(&root, vec![rollup].into()).await?;
    Ok(Bench { feeds })
}

struct Bench {
    feeds: Feeds,
}

impl Bench {
    fn table(&self) -> &Table {
        let mut tables = self.feeds.fed();
        tables.next().expect("the table of the rollup")
    }

    async fn stage(&self, log_file: LogFile, text: impl Read + Clone) -> Result<(), Failure> {
        let source = Source {
            log_file,
            bytes: 1,
            etag: "etag".to_owned(),
            plain: None,
            open: |_| Ok(text.clone()),
        };
        pipeline::stage(source, &self.feeds.tables, LIMITS).await?;
        Ok(())
    }
}

fn log_file(number: u64) -> LogFile {
    LogFile::new(format!(
        "s3://logs/1_elasticloadbalancing_us-east-1_app.shop.0_20261120T1005Z_10.0.0.1_{number:08x}.log"
    ))
}

/// A line whose group is one of so many: by 60 minutes and the URL.
fn line(number: u64, groups: u64) -> String {
    let group = number % groups;
    let (minute, url) = (group % 60, group / 60);
    format!(
        "https 2026-11-20T10:{minute:02}:00.000000Z app/shop/0 192.0.2.1:2817 10.0.0.1:80 0.001 0.020 0.000 200 200 34 366 \
         \"GET https://shop.example:443/{url:08} HTTP/1.1\" \"curl/8.5.0\" - - \
         arn:aws:elasticloadbalancing:us-east-1:1:targetgroup/web/7 \"Root=1-58337262-36d2\" \"-\" \"-\" 0 \
         2026-11-20T10:00:00.000000Z \"forward\" \"-\" \"-\" \"10.0.0.1:80\" \"200\" \"-\" \"-\" TID_0\n"
    )
}

// The fleet.

async fn fleet(duration: Duration) -> Result<(), Failure> {
    println!(
        "{LOG_FILES_PER_SECOND:.1} log files a second for {duration:?}; S3 in memory with {S3:?}\n"
    );
    println!(
        "| workers | log files counted | commits a minute | staged to visible, p50 s | p99 s | GET | PUT | LIST | DELETE | $ |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    println!("| | | | | | per | thousand | log | files | |");
    for workers in [2, 8, 32] {
        fleet_of(workers, duration).await?;
    }
    Ok(())
}

/// When log files were staged, and how long they took from there to be visible.
#[derive(Default)]
struct Delays {
    staged: Mutex<HashMap<String, Instant>>,
    delays: Mutex<Vec<Duration>>,
    commits: AtomicU64,
}

async fn fleet_of(workers: u64, duration: Duration) -> Result<(), Failure> {
    let store = SlowStore::new(S3);
    let delays = Arc::new(Delays::default());
    let number = Arc::new(AtomicU64::new(0));
    let stop = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    let begin = Instant::now();
    for worker in 0..workers {
        let bench = Arc::new(table(store.clone()).await?);
        let (staging, delays_of_staging) = (Arc::clone(&bench), Arc::clone(&delays));
        let (number, until) = (Arc::clone(&number), stop.clone());
        // A log file's journey is for a thread of its own.
        let runtime = tokio::runtime::Handle::current();
        let stage = move || {
            runtime.block_on(async move {
                let every = Duration::from_secs_f64(workers as f64 / LOG_FILES_PER_SECOND);
                // Workers are not in step.
                tokio::time::sleep(every.mul_f64(worker as f64 / workers as f64)).await;
                let mut clock = tokio::time::interval(every);
                while !until.is_cancelled() {
                    clock.tick().await;
                    let file = log_file(number.fetch_add(1, Ordering::Relaxed));
                    let text: String = (0..100).map(|n| line(n * 7, 3000)).collect();
                    staging.stage(file.clone(), Cursor::new(text)).await?;
                    if let Ok(mut staged) = delays_of_staging.staged.lock() {
                        staged.insert(file.uri().to_owned(), Instant::now());
                    }
                }
                Ok::<_, Failure>(())
            })
        };
        tasks.spawn_blocking(stage);
        let (delays, until) = (Arc::clone(&delays), stop.clone());
        tasks.spawn(async move {
            maintenance::run(
                bench.table(),
                None,
                commit_pace::INTERVAL,
                &until,
                |event| {
                    let MaintenanceEvent::Committed(committed, _) = event else {
                        return;
                    };
                    if committed.entries.is_empty() {
                        return;
                    }
                    let (Ok(staged), Ok(mut all)) = (delays.staged.lock(), delays.delays.lock())
                    else {
                        return;
                    };
                    delays.commits.fetch_add(1, Ordering::Relaxed);
                    let entries = committed.entries.iter();
                    let of_entry = entries.filter_map(|entry| staged.get(&entry.log_file));
                    all.extend(of_entry.map(Instant::elapsed));
                },
            )
            .await;
            Ok(())
        });
    }
    tokio::time::sleep(duration).await;
    let taken = begin.elapsed();
    let mut all = delays
        .delays
        .lock()
        .map_err(|_| "a task has panicked")?
        .clone();
    report(workers, taken, &mut all, &delays, &store.requests);
    stop.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

fn report(
    workers: u64,
    taken: Duration,
    all: &mut [Duration],
    delays: &Delays,
    requests: &Requests,
) {
    all.sort();
    let counted = all.len();
    let quantile = |q: f64| {
        all.get((q * counted as f64) as usize)
            .map_or(f64::NAN, Duration::as_secs_f64)
    };
    // What has been requested is for the log files that were staged: those that wait are few beside.
    let staged = delays.staged.lock().map_or(0, |staged| staged.len());
    let per_thousand =
        |count: &AtomicU64| count.load(Ordering::Relaxed) as f64 * 1000.0 / staged as f64;
    let (get, put, list) = (
        per_thousand(&requests.get),
        per_thousand(&requests.put),
        per_thousand(&requests.list),
    );
    println!(
        "| {workers} | {counted} | {:.1} | {:.1} | {:.1} | {get:.0} | {put:.0} | {list:.0} | {:.0} | {:.4} |",
        delays.commits.load(Ordering::Relaxed) as f64 * 60.0 / taken.as_secs_f64(),
        quantile(0.5),
        quantile(0.99),
        per_thousand(&requests.delete),
        get * GET_PRICE + (put + list) * PUT_PRICE,
    );
}

// The slot.

async fn slot() -> Result<(), Failure> {
    println!("an hour of so many groups, and a commit of one log file of 1,000 lines to it\n");
    println!(
        "| groups in the hour | its file, MB | commit, s | groups a second | peak memory so far, MB |"
    );
    println!("|--:|--:|--:|--:|--:|");
    for groups in [10_000, 1_000_000, 10_000_000] {
        let bench = table(SlowStore::new(Latency::default())).await?;
        let lines = Lines {
            next: 0,
            groups,
            rest: Cursor::default(),
        };
        bench.stage(log_file(0), lines).await?;
        bench.table().commit().await?;
        let text: String = (0..1000)
            .map(|n| line(n * (groups / 1000), groups))
            .collect();
        bench.stage(log_file(1), Cursor::new(text)).await?;
        let begin = Instant::now();
        bench.table().commit().await?;
        let taken = begin.elapsed().as_secs_f64();
        let version = bench.table().version().await?;
        assert_eq!(version.rows(), groups);
        let bytes: u64 = version.files().iter().map(|file| file.bytes).sum();
        println!(
            "| {groups} | {:.1} | {taken:.2} | {:.0} | {:.0} |",
            bytes as f64 / 1e6,
            groups as f64 / taken,
            peak_mb()
        );
    }
    Ok(())
}

/// A line for each group, made as it is read.
#[derive(Clone)]
struct Lines {
    next: u64,
    groups: u64,
    rest: Cursor<Vec<u8>>,
}

impl Read for Lines {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.rest.position() == self.rest.get_ref().len() as u64 {
            let until = self.groups.min(self.next + 100);
            let text: String = (self.next..until).map(|n| line(n, self.groups)).collect();
            self.next = until;
            self.rest = Cursor::new(text.into_bytes());
        }
        self.rest.read(buffer)
    }
}

/// The largest resident set of this process, in MB; 0 where the system does not say.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes =
        peak.and_then(|peak| peak.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
    kilobytes.unwrap_or(0.0) / 1e3
}
