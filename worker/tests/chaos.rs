//! A fleet on a bad day: workers are killed, halted for longer than their messages stay hidden, and started again, while
//! the network fails and each log file is announced up to three times. In the end every log file is counted exactly once,
//! and what can't be read, and nothing else, is with the dead letters.
//!
//! `LOGMILL_SEEDS=20` tries more seeds, and `LOGMILL_SEED=17` one. What befalls whom follows from the seed; what they meet
//! does not quite, so a seed that fails may need a few tries.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::fault_proxy::{Fault, FaultProxy, Odds};
use crate::support::made_logs::MadeLogs;
use crate::support::ministack::{Ministack, at_endpoint};
use crate::support::queues::{Depth, Queues, announced};
use crate::support::watch::Watch;
use crate::support::{Random, Workplace, fail, gzip, logmill, query_command, rows, seeds, succeed};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

const LOG_FILES: u32 = 500;
const LINES: u32 = 8;
/// One of so many log files has a copy that is cut off.
const CUT_OFF: usize = 50;
const WORKERS: usize = 4;

const TABLES: &str = "s3://tables/t";

/// A worker lives so long at most before it is killed or halted.
const LONGEST_LIFE: Duration = Duration::from_secs(6);
/// How long messages stay hidden: short, so that those of the dead are soon seen again.
const VISIBILITY: Duration = Duration::from_secs(6);
/// Longer than that: who is halted for so long has lost its messages, and does not know it.
const HALT: Duration = Duration::from_secs(8);
/// For so long log files are announced, and workers befallen.
const TURMOIL: Duration = Duration::from_secs(50);
/// MessageOutcome so often, a message is a dead letter. In the turmoil it is the workers that die, and not the messages.
const PATIENT: u32 = 1000;
const IMPATIENT: u32 = 3;

const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn a_fleet_on_a_bad_day_counts_once() {
    for seed in seeds(1) {
        println!("LOGMILL_SEED={seed}");
        count_once(seed);
    }
}

struct Scene {
    aws: Ministack,
    queues: Queues,
    place: Workplace,
    logs: MadeLogs,
    /// Log files, by their keys.
    good: Vec<String>,
    /// What can't be read.
    bad: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let place = Workplace::new();
        MadeLogs::write_rollups(&place);
        let aws = Ministack::start(&["logs", "tables"]);
        let logs = MadeLogs::new(LOG_FILES, LINES);
        let (runtime, bucket) = (Runtime::new().unwrap(), aws.bucket("logs"));
        let put = |key: &str, bytes: Vec<u8>| {
            let key = Path::from(key);
            runtime.block_on(bucket.put(&key, bytes.into())).unwrap();
        };
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for (number, (name, text)) in logs.files.iter().enumerate() {
            let (key, bytes) = (format!("{name}.gz"), gzip(text));
            if number % CUT_OFF == 0 {
                let key = format!("cut-off/{key}");
                put(&key, bytes[..bytes.len() / 2].to_vec());
                bad.push(key);
            }
            put(&key, bytes);
            good.push(key);
        }
        Self {
            queues: Queues::new(&aws, PATIENT),
            aws,
            place,
            logs,
            good,
            bad,
        }
    }

    fn serve(&self, endpoint: &str) -> Command {
        let rollups = self.place.path("rollups");
        let mut command = logmill(["serve", "--rollups", &rollups, "--tables", TABLES]);
        command.args(["--allow", "s3://logs", "--queue-url"]);
        // As everything else it goes through the network that fails.
        command.arg(self.queues.work.replace(&self.aws.endpoint(), endpoint));
        command.args(["--visibility", &VISIBILITY.as_secs().to_string()]);
        command.args(["--commit-interval", "2", "--grace", "5"]);
        at_endpoint(&mut command, endpoint);
        command
    }

    /// A command over the whole bucket of logs.
    fn command(&self, command: &str, args: &[&str], span: &[&str]) -> Command {
        let mut command = logmill([command, "--logs", "s3://logs"]);
        command.args(args).args(span);
        at_endpoint(&mut command, &self.aws.endpoint());
        command
    }

    /// Log files that are staged, for each table.
    fn staged(&self) -> usize {
        let tables = self.aws.bucket("tables");
        let objects = tables.list(None).try_collect::<Vec<_>>();
        let objects = Runtime::new().unwrap().block_on(objects).unwrap();
        let paths = objects.iter().map(|object| object.location.as_ref());
        paths.filter(|path| path.contains("/_staging/")).count()
    }

    /// A command on the tables that may have to be repeated, because others change them.
    fn patiently(&self, args: &[&str]) {
        let begin = Instant::now();
        loop {
            let mut command = logmill(args.iter().copied());
            command.args(["--tables", TABLES]);
            let output = at_endpoint(&mut command, &self.aws.endpoint()).output();
            let output = output.unwrap();
            if output.status.success() {
                println!("{}", String::from_utf8_lossy(&output.stdout));
                return;
            }
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(begin.elapsed() < PATIENCE, "{args:?}: {told}");
            println!("{args:?}: {told}");
            thread::sleep(Duration::from_secs(1));
        }
    }

    fn query(&self, sql: &str) -> Vec<String> {
        let mut command = query_command(TABLES, sql);
        rows(at_endpoint(&mut command, &self.aws.endpoint()))
    }

    /// Each log file, one to three times and in any order.
    fn announcements(&self, random: &mut Random) -> Vec<String> {
        let mut all = Vec::new();
        for key in self.good.iter().chain(&self.bad) {
            all.extend(vec![key.clone(); 1 + random.below(3) as usize]);
        }
        for at in (1..all.len()).rev() {
            all.swap(at, random.below(at as u64 + 1) as usize);
        }
        all
    }
}

fn bad_network() -> Odds {
    let odds = vec![
        (Fault::SlowDown, 25),
        (Fault::Reset, 10),
        (Fault::Delay, 10),
        (Fault::LostAnswer, 10),
        (Fault::DoneAndDenied, 10),
    ];
    Odds {
        versions: odds.clone(),
        others: odds,
    }
}

/// What has befallen the workers.
#[derive(Debug, Default)]
struct Fates {
    killed: AtomicUsize,
    halted: AtomicUsize,
    /// They were asked to end, and did.
    drained: AtomicUsize,
    /// The network was too much for them at their start.
    failed: AtomicUsize,
}

fn count_once(seed: u64) {
    let start = Instant::now();
    let scene = Scene::new();
    let mut random = Random::new(seed);
    let announcements = scene.announcements(&mut random);
    let proxy = FaultProxy::start(scene.aws.port(), bad_network(), seed);
    let fates = Fates::default();
    let begin = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            let some = announcements.len().div_ceil(20);
            for part in announcements.chunks(some) {
                scene.queues.announce(part);
                thread::sleep(TURMOIL / 25);
            }
        });
        for worker in 0..WORKERS {
            let random = Random::new(seed * 1000 + worker as u64);
            let (scene, endpoint, fates) = (&scene, proxy.endpoint(), &fates);
            scope.spawn(move || live_and_die(scene, &endpoint, worker, random, fates));
        }
    });
    println!(
        "{:.0?}: {} announcements; {fates:?}",
        begin.elapsed(),
        announcements.len()
    );
    println!("the network: {}", proxy.tally());
    drop(proxy);

    // The day is over. What is left is what nobody can read, and what the dead had in hand.
    let worker = Running::start(scene.serve(&scene.aws.endpoint()), &scene, "last");
    let bad: usize = announcements
        .iter()
        .filter(|key| scene.bad.contains(key))
        .count();
    let left = |depth: Depth| depth.visible + depth.hidden;
    scene
        .queues
        .wait_for(PATIENCE, "only what can't be read", |depth| {
            left(depth) <= bad
        });
    println!("{:.0?}: only what can't be read is left", start.elapsed());
    scene.queues.redrive_after(IMPATIENT);
    scene
        .queues
        .wait_for(PATIENCE, "empty", |depth| left(depth) == 0);
    println!("{:.0?}: the queue is empty", start.elapsed());
    let begin = Instant::now();
    while scene.query("SELECT count(*) FROM log_files") != [(2 * LOG_FILES).to_string()] {
        assert!(begin.elapsed() < PATIENCE, "not all is counted");
        thread::sleep(Duration::from_millis(500));
    }
    println!("{:.0?}: all is counted", start.elapsed());
    scene.logs.check(|sql| scene.query(sql));
    let dead = announced(&scene.queues.take_all(&scene.queues.dead));
    assert_eq!(dead.len(), bad);
    let dead: BTreeSet<_> = dead.into_iter().collect();
    let unreadable = scene.bad.iter().map(|key| format!("s3://logs/{key}"));
    assert_eq!(dead, unreadable.collect());

    // The listing of the bucket against the ledgers says the same.
    let span = ["--from", "2026-11-20", "--to", "2026-11-21"];
    let mut verify = scene.command("verify", &["--tables", TABLES, "--format", "json"], &span);
    let told = fail(&mut verify, 3);
    let told: serde_json::Value = serde_json::from_str(told.trim()).unwrap();
    println!("{told:#}");
    assert_eq!(told["counted"], LOG_FILES);
    assert_eq!(told["missing"], serde_json::json!([]));
    let failed = told["failed"].as_array().unwrap();
    assert_eq!(failed.len(), scene.bad.len());

    // Announced once more, all of it changes nothing.
    let work = scene.queues.work.clone();
    let mut replay = scene.command("replay", &["--queue-url", &work], &span);
    println!("{}", succeed(&mut replay));
    scene
        .queues
        .wait_for(PATIENCE, "empty", |depth| left(depth) == 0);
    // The next commits find what has been counted, and drop it.
    let begin = Instant::now();
    while scene.staged() > 0 {
        assert!(begin.elapsed() < PATIENCE, "something stays staged");
        thread::sleep(Duration::from_millis(500));
    }
    scene.logs.check(|sql| scene.query(sql));
    println!("{:.0?} in all", start.elapsed());
    drop(worker);

    assert!(
        fates.killed.into_inner() > 2 * WORKERS,
        "too few are killed"
    );
    assert!(fates.halted.into_inner() > 0, "none is halted");
}

#[test]
fn a_fleet_counts_once_while_a_table_is_rebuilt_and_put_back() {
    let scene = Scene::new();
    let by_minute = std::fs::read_to_string(scene.place.path("rollups/by_minute.sql")).unwrap();
    // At first the table lacks a column.
    let shorter = by_minute.replace(", approx_set(client_ip) AS clients", "");
    assert_ne!(shorter, by_minute);
    scene.place.rollup("by_minute", &shorter);
    // Each version has the lines of its ledger's log files, whichever generation it is, and none has less than the one before it.
    let watch = Watch::start(&scene.aws, TABLES);
    let fates = Fates::default();
    thread::scope(|scope| {
        scope.spawn(|| {
            let part = scene.good.len().div_ceil(20);
            for part in scene.good.chunks(part) {
                scene.queues.announce(part);
                thread::sleep(TURMOIL / 25);
            }
        });
        for worker in 0..WORKERS {
            let random = Random::new(4000 + worker as u64);
            let (scene, endpoint, fates) = (&scene, scene.aws.endpoint(), &fates);
            scope.spawn(move || live_and_die(scene, &endpoint, worker, random, fates));
        }
        scope.spawn(|| {
            thread::sleep(TURMOIL / 5);
            scene.place.rollup("by_minute", &by_minute);
            for _ in 0..2 {
                scene.patiently(&["rebuild", "--rollups", &scene.place.path("rollups")]);
                thread::sleep(TURMOIL / 10);
                scene.patiently(&["rollback", "by_minute"]);
                thread::sleep(TURMOIL / 10);
            }
        });
    });
    println!("{fates:?}");
    let worker = Running::start(scene.serve(&scene.aws.endpoint()), &scene, "last");
    let left = |depth: Depth| depth.visible + depth.hidden;
    scene
        .queues
        .wait_for(PATIENCE, "empty", |depth| left(depth) == 0);
    scene.patiently(&["rebuild", "--rollups", &scene.place.path("rollups")]);
    let begin = Instant::now();
    let counted = format!("{}", 2 * LOG_FILES);
    // A worker looks for what is staged for earlier generations every five minutes, if it has not just noticed a swap.
    let patience = 3 * PATIENCE;
    while scene.query("SELECT count(*) FROM log_files") != [counted.as_str()] || scene.staged() > 0
    {
        assert!(begin.elapsed() < patience, "not all is counted");
        thread::sleep(Duration::from_millis(500));
    }
    scene.logs.check(|sql| scene.query(sql));
    drop(worker);
    watch.end();
    assert!(fates.killed.into_inner() > WORKERS, "too few are killed");
}

/// A worker that is started again whenever it has died.
fn live_and_die(scene: &Scene, endpoint: &str, worker: usize, mut random: Random, fates: &Fates) {
    let begin = Instant::now();
    let mut life = 0;
    while begin.elapsed() < TURMOIL {
        life += 1;
        let mut running = Running::start(scene.serve(endpoint), scene, &format!("{worker}-{life}"));
        let part = random.below(1000) as f64 / 1000.0;
        thread::sleep(LONGEST_LIFE.mul_f64(part));
        if let Some(status) = running.child.try_wait().unwrap() {
            assert_eq!(status.code(), Some(1), "{}", running.log());
            fates.failed.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let fate = match random.below(10) {
            0..3 => {
                running.signal("STOP");
                thread::sleep(HALT);
                running.signal("CONT");
                // It wakes up, and goes on as if nothing had happened.
                thread::sleep(Duration::from_secs(1));
                &fates.halted
            }
            3..5 => {
                running.signal("TERM");
                thread::sleep(Duration::from_secs(11));
                let status = running.child.try_wait().unwrap();
                let status = status.unwrap_or_else(|| panic!("not ended: {}", running.log()));
                // At its start the network may have failed it.
                let log = running.log();
                let serving = log.contains("\"serving\"");
                let ended_well = status.success() || !serving && status.code() == Some(1);
                assert!(ended_well, "{status}: {log}");
                &fates.drained
            }
            _ => &fates.killed,
        };
        fate.fetch_add(1, Ordering::Relaxed);
        // Whatever it was, it is killed now.
        drop(running);
    }
}

/// A worker's process, gone with the test.
struct Running {
    child: Child,
    log: String,
}

impl Running {
    fn start(mut command: Command, scene: &Scene, name: &str) -> Self {
        let log = scene.place.path(&format!("{name}.log"));
        command.stderr(File::create(&log).unwrap());
        Self {
            child: command.spawn().unwrap(),
            log,
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill")
            .args([format!("-{name}"), pid])
            .status();
        assert!(sent.unwrap().success());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended; what counts is that it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
