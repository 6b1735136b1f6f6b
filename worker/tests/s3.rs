//! Tables on S3, over a network that fails.
//!
//! S3 is ministack, on this machine. What the tables rest on, conditional writes, it must first show by itself.
//!
//! `LOGMILL_SEEDS=20` tries more seeds, and `LOGMILL_SEED=17` one. Kills and faults follow from the seed; what
//! they meet does not quite, so a seed that fails may need a few tries.

use std::fs;
use std::io::{self, Seek};
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::fault_proxy::{Fault, FaultProxy, Odds};
use crate::support::made_logs::MadeLogs;
use crate::support::ministack::{self, Ministack, at_endpoint};
use crate::support::watch::Watch;
use crate::support::{
    Random, Workplace, alb_line, alb_name, fail, gzip, logmill, query_command, rows, seeds, succeed,
};
use futures::TryStreamExt;
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload, UpdateVersion};
use tokio::runtime::Runtime;
use tokio::sync::Barrier;

const RACERS: usize = 32;
const RACES: usize = 50;

/// All racers write their own number to the same object at once, each over connections of its own. Fails unless
/// one of them won, and it is the winner's number that is there.
async fn race(racers: &[Arc<AmazonS3>], path: &Path, mode: &PutMode) {
    let start = Arc::new(Barrier::new(racers.len()));
    let attempts = racers.iter().enumerate().map(|(number, store)| {
        let (start, store) = (Arc::clone(&start), Arc::clone(store));
        let (path, mode) = (path.clone(), mode.clone());
        tokio::spawn(async move {
            start.wait().await;
            let payload = PutPayload::from(number.to_string());
            store.put_opts(&path, payload, mode.into()).await
        })
    });
    let attempts: Vec<_> = attempts.collect();
    let mut winners = Vec::new();
    for (number, attempt) in attempts.into_iter().enumerate() {
        match attempt.await.unwrap() {
            Ok(_) => winners.push(number.to_string()),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {}
            Err(error) => panic!("neither won nor lost: {error}"),
        }
    }
    let found = racers[0].get(path).await.unwrap().bytes().await.unwrap();
    assert_eq!(winners, [std::str::from_utf8(&found).unwrap()], "{path}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conditional_put_holds_in_a_race() {
    let s3 = Ministack::start(&["races"]);
    let racers: Vec<_> = (0..RACERS).map(|_| Arc::new(s3.bucket("races"))).collect();
    for number in 0..RACES {
        race(
            &racers,
            &Path::from(format!("created-{number}")),
            &PutMode::Create,
        )
        .await;
    }
    let path = Path::from("replaced");
    racers[0].put(&path, "first".into()).await.unwrap();
    for _ in 0..RACES {
        // The racers' numbers would give the same ETag again and again, and a late one could match.
        let (e_tag, version) = (racers[0].head(&path).await.unwrap().e_tag, None);
        let mode = PutMode::Update(UpdateVersion { e_tag, version });
        race(&racers, &path, &mode).await;
        let unique = uuid::Uuid::new_v4().to_string();
        racers[0].put(&path, unique.into()).await.unwrap();
    }
    println!(
        "{RACES} races of {RACERS} to create an object, and {RACES} to replace one: one winner each"
    );
}

/// The proof rests on the faults being what they say they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_what_they_say() {
    let s3 = Ministack::start(&["faults"]);
    let direct = s3.bucket("faults");
    let through = |fault| {
        let proxy = FaultProxy::start(s3.port(), Odds::always(fault), 1);
        let store = ministack::bucket(&proxy.endpoint(), "faults");
        (proxy, store)
    };
    let text = "half of it is no answer".repeat(1000);

    // What the writer is told, and what is so.
    for (fault, told, done) in [
        (Fault::Reset, false, false),
        (Fault::Delay, true, true),
        (Fault::SlowDown, false, false),
        (Fault::LostAnswer, false, true),
        (Fault::DoneAndDenied, false, true),
    ] {
        let (proxy, store) = through(Some(fault));
        let path = Path::from(format!("_delta_log/{fault:?}.json"));
        let payload = PutPayload::from(text.clone());
        let written = store.put_opts(&path, payload, PutMode::Create.into()).await;
        assert_eq!(written.is_ok(), told, "{fault:?}: {written:?}");
        assert_eq!(direct.head(&path).await.is_ok(), done, "{fault:?}");
        let tally = proxy.tally();
        assert_eq!(tally.faults, [(fault, 1)].into(), "each is tried once");
        assert_eq!(tally.untold_versions, u64::from(done && !told));
    }

    let path = Path::from("whole");
    direct.put(&path, text.clone().into()).await.unwrap();
    let (proxy, store) = through(Some(Fault::CutBody));
    let cut = store.get(&path).await.unwrap().bytes().await;
    assert!(cut.is_err(), "{cut:?}");
    assert_eq!(proxy.tally().faults, [(Fault::CutBody, 1)].into());

    // Without a fault all goes through, over connections that are kept.
    let (proxy, store) = through(None);
    for number in 0..10 {
        let path = Path::from(format!("passed/{number}"));
        store.put(&path, text.clone().into()).await.unwrap();
        let got = store.get(&path).await.unwrap().bytes().await.unwrap();
        assert_eq!(got, text);
        assert_eq!(store.head(&path).await.unwrap().size, text.len() as u64);
        let folder = Path::from("passed");
        let listed: Vec<_> = store.list(Some(&folder)).try_collect().await.unwrap();
        assert_eq!(listed.len(), 1);
        store.delete(&path).await.unwrap();
    }
    let tally = proxy.tally();
    assert!(tally.connections * 5 <= tally.requests, "{tally}");
    assert!(tally.faults.is_empty(), "{tally}");
}

const TABLES: &str = "s3://tables/t";

/// Two buckets, logs to put in one, and rollups for tables in the other.
struct Scene {
    s3: Ministack,
    place: Workplace,
    logs: MadeLogs,
    runtime: Runtime,
}

impl Scene {
    fn new(files: u32, lines: u32) -> Self {
        let place = Workplace::new();
        MadeLogs::write_rollups(&place);
        Self {
            s3: Ministack::start(&["logs", "tables"]),
            place,
            logs: MadeLogs::new(files, lines),
            runtime: Runtime::new().unwrap(),
        }
    }

    /// Puts the log file of this number under one of the prefixes; every other one compressed.
    fn put_log(&self, number: usize) {
        let (name, text) = &self.logs.files[number];
        let prefix = number % PREFIXES;
        let (name, bytes) = match number % 2 {
            0 => (format!("{prefix}/{name}"), text.clone().into_bytes()),
            _ => (format!("{prefix}/{name}.gz"), gzip(text)),
        };
        let put = self.s3.bucket("logs");
        let put = self
            .runtime
            .block_on(put.put(&Path::from(name), bytes.into()));
        put.unwrap();
    }

    /// The command `run` over these prefixes of the logs.
    fn run(&self, endpoint: &str, prefixes: &[String]) -> Command {
        let rollups = self.place.path("rollups");
        let mut command = logmill(["run", "--rollups", &rollups, "--tables", TABLES]);
        command.args(["--threads", "2"]).args(prefixes);
        at_endpoint(&mut command, endpoint);
        command
    }

    /// The command `maintain`.
    fn maintain(&self, endpoint: &str) -> Command {
        let mut command = logmill(["maintain", "--tables", TABLES]);
        at_endpoint(&mut command, endpoint);
        command
    }

    /// Takes the leases of all tables from whoever has them.
    fn take_leases(&self) {
        let tables = self.s3.bucket("tables");
        for table in ["by_minute", "every_row", "rejected_lines"] {
            let lease = Path::from(format!("t/{table}/_lease"));
            self.runtime.block_on(tables.delete(&lease)).unwrap();
        }
    }

    /// Runs over all logs, with nothing in the way. Returns what was printed.
    fn run_undisturbed(&self) -> String {
        succeed(&mut self.run(&self.s3.endpoint(), &["s3://logs".to_owned()]))
    }

    fn query(&self, sql: &str) -> Vec<String> {
        rows(at_endpoint(
            &mut query_command(TABLES, sql),
            &self.s3.endpoint(),
        ))
    }

    /// Fails unless the tables hold exactly the logs, each once, and nothing is left in staging.
    fn check(&self) {
        self.logs.check(|sql| self.query(sql));
        let tables = self.s3.bucket("tables");
        let objects = tables.list(None).try_collect::<Vec<_>>();
        let objects = self.runtime.block_on(objects).unwrap();
        let paths = objects.iter().map(|object| object.location.as_ref());
        let staged: Vec<_> = paths.filter(|path| path.contains("/_staging/")).collect();
        assert!(staged.is_empty(), "staged, and not committed: {staged:?}");
    }
}

const LOG_FILES: u32 = 80;
const LINES: u32 = 25;
const PREFIXES: usize = 6;

/// Programs that run at once, each over some of the prefixes, so that each log file is several programs'.
const RUNNERS: usize = 8;
const PREFIXES_OF_A_RUNNER: usize = 3;

/// For so long they are killed and started again; then each is let run to its end.
const TURMOIL: Duration = Duration::from_secs(50);

const LONGEST_LIFE: Duration = Duration::from_secs(20);

/// How often the leases of all tables are taken away, from the living and the dead. The living don't notice, and go on
/// as two that both believe to have it: nothing may rest on it. Nobody need wait until the dead are known to be dead.
const LEASES_LAST: Duration = Duration::from_millis(700);

/// A run that is not killed comes to an end, whatever the network does.
const LONGEST_RUN: Duration = Duration::from_secs(180);

/// Log files come while the programs run, as they do in life, so that there are many versions.
const LOG_FILES_AT_FIRST: usize = 20;
const ARRIVAL: Duration = Duration::from_millis(800);

#[test]
fn killed_runs_through_a_faulty_network_count_once() {
    for seed in seeds(1) {
        println!("LOGMILL_SEED={seed}");
        count_once(seed);
    }
}

fn count_once(seed: u64) {
    let scene = Scene::new(LOG_FILES, LINES);
    let proxy = FaultProxy::start(scene.s3.port(), Odds::bad_day(), seed);
    let watch = Watch::start(&scene.s3, TABLES);
    let begin = Instant::now();
    let fates = Fates::default();
    (0..LOG_FILES_AT_FIRST).for_each(|number| scene.put_log(number));
    turmoil(&scene, &proxy.endpoint(), seed, &fates);
    let tally = proxy.tally();
    drop(proxy);
    println!("{:.0?}: {fates:?}", begin.elapsed());
    println!("the network: {tally}");

    print!("{}", scene.run_undisturbed());
    watch.end();
    scene.check();
    let again = scene.run_undisturbed();
    assert!(again.contains("log files  0 counted"), "{again}");

    assert!(fates.killed.into_inner() > RUNNERS, "too few are killed");
    assert!(fates.done.into_inner() > 0, "none gets through");
    for fault in Odds::bad_day().others.iter().map(|(fault, _)| fault) {
        assert!(tally.faults.contains_key(fault), "no {fault:?}: {tally}");
    }
    assert!(tally.untold_versions > 0, "{tally}");
}

/// Log files come, programs are killed and started again, and leases are taken away, all at once.
fn turmoil(scene: &Scene, endpoint: &str, seed: u64, fates: &Fates) {
    let begin = Instant::now();
    let run = &|runner| {
        let prefixes = runner..runner + PREFIXES_OF_A_RUNNER;
        let prefixes = prefixes.map(|prefix| format!("s3://logs/{}/", prefix % PREFIXES));
        scene.run(endpoint, &prefixes.collect::<Vec<_>>())
    };
    let random = |program| Random::new(seed * 1000 + program as u64);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in LOG_FILES_AT_FIRST..LOG_FILES as usize {
                thread::sleep(ARRIVAL);
                scene.put_log(number);
            }
        });
        scope.spawn(|| {
            while begin.elapsed() < TURMOIL {
                thread::sleep(LEASES_LAST);
                scene.take_leases();
            }
        });
        scope.spawn(|| {
            let maintain = || scene.maintain(endpoint);
            live_and_die("maintainer", maintain, random(RUNNERS), fates);
        });
        for runner in 0..RUNNERS {
            scope.spawn(move || {
                let name = format!("runner {runner}");
                live_and_die(&name, || run(runner), random(runner), fates);
            });
        }
    });
}

/// What has become of the runs.
#[derive(Debug, Default)]
struct Fates {
    killed: AtomicUsize,
    /// They did what they were to do.
    done: AtomicUsize,
    /// The network was too much for them, and they said so.
    failed: AtomicUsize,
}

/// A program: started and killed again and again, and at last let run to its end.
fn live_and_die(name: &str, command: impl Fn() -> Command, mut random: Random, fates: &Fates) {
    let begin = Instant::now();
    let mut last = false;
    while !last {
        last = begin.elapsed() >= TURMOIL;
        let mut said = tempfile::tempfile().unwrap();
        let mut child = command()
            .stdout(said.try_clone().unwrap())
            .stderr(said.try_clone().unwrap())
            .spawn()
            .unwrap();
        let part = random.below(1000) as f64 / 1000.0;
        let to_live = match last {
            true => LONGEST_RUN,
            false => LONGEST_LIFE.mul_f64(part),
        };
        let status = end_within(&mut child, to_live);
        said.rewind().unwrap();
        let said = io::read_to_string(said).unwrap();
        let fate = match status {
            None => {
                assert!(!last, "a run doesn't end: {said}");
                &fates.killed
            }
            Some(status) if status.success() => &fates.done,
            Some(status) => {
                // One of the documented ends: not a panic, and not a signal.
                assert!(matches!(status.code(), Some(1 | 3)), "{status}: {said}");
                println!("{name}, {:.0?}: {said}", begin.elapsed());
                &fates.failed
            }
        };
        fate.fetch_add(1, Ordering::Relaxed);
    }
}

/// How it ends by itself within this time; `None` if it doesn't, and is killed.
fn end_within(child: &mut Child, to_live: Duration) -> Option<ExitStatus> {
    let begin = Instant::now();
    while begin.elapsed() < to_live {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        thread::sleep(Duration::from_millis(10));
    }
    // SIGKILL
    child.kill().unwrap();
    let status = child.wait().unwrap();
    // It may have ended just before.
    status.code().map(|_| status)
}

#[test]
fn tables_and_logs_on_s3_are_as_in_folders() {
    let scene = Scene::new(12, 10);
    (0..12).for_each(|number| scene.put_log(number));
    let printed = scene.run_undisturbed();
    assert!(printed.contains("log files  12 counted"), "{printed}");
    scene.check();
    let again = scene.run_undisturbed();
    assert!(again.contains("log files  0 counted"), "{again}");
    assert!(again.contains("12 counted before"), "{again}");
    scene.check();

    let files = ["files", "--tables", TABLES, "--format", "csv"];
    let files = rows(at_endpoint(&mut logmill(files), &scene.s3.endpoint()));
    assert_eq!(files.len(), 24, "12 log files in 2 tables");
    let in_bucket = |row: &String| row.contains("s3://logs/");
    assert!(files.iter().all(in_bucket), "{files:?}");
}

#[test]
fn rollups_on_s3_have_their_lookups_beside_them() {
    let scene = Scene::new(1, 10);
    scene.put_log(0);
    let place = &scene.place;
    // A Parquet file is made of a query's result.
    let file = place.path("words.parquet");
    let words = "SELECT DISTINCT request_verb AS verb, length(request_verb) AS letters FROM alb_access_logs";
    place.log(
        &alb_name(10, 5, 1),
        &alb_line(10, 0, "192.0.2.1", 200, "http://a.de:80/"),
    );
    succeed(&mut logmill([
        "query",
        words,
        "--logs",
        &place.path("logs"),
        "--output",
        &file,
    ]));
    let sql = "SELECT w.letters, count(*) AS n FROM alb_access_logs l LEFT JOIN words w ON w.verb = l.request_verb GROUP BY 1";
    let bucket = scene.s3.bucket("tables");
    for (name, content) in [
        ("set/letters.sql", sql.as_bytes().to_vec()),
        ("set/words.parquet", fs::read(&file).unwrap()),
    ] {
        let path = Path::from(name);
        let put = bucket.put(&path, content.into());
        scene.runtime.block_on(put).unwrap();
    }
    let mut run = logmill([
        "run",
        "s3://logs",
        "--rollups",
        "s3://tables/set",
        "--tables",
        TABLES,
    ]);
    succeed(at_endpoint(&mut run, &scene.s3.endpoint()));
    assert_eq!(
        scene.query("SELECT letters, n > 0 FROM letters"),
        ["3,true"]
    );
    let copies = scene.runtime.block_on(async {
        let folder = Path::from("t/letters/_lookups");
        bucket.list(Some(&folder)).try_collect::<Vec<_>>().await
    });
    let copies = copies.unwrap();
    assert!(
        matches!(copies.as_slice(), [copy] if copy.location.as_ref().ends_with(".parquet")),
        "{copies:?}"
    );
}

#[test]
fn what_s3_refuses_is_told() {
    let scene = Scene::new(2, 2);
    (0..2).for_each(|number| scene.put_log(number));
    let (rollups, logs) = (scene.place.path("rollups"), "s3://logs");
    let run = |logs, tables| logmill(["run", logs, "--rollups", &rollups, "--tables", tables]);
    let query = |tables| query_command(tables, "SELECT 1");

    for (mut command, bucket) in [
        (run(logs, "s3://no-such-tables/t"), "no-such-tables"),
        (run("s3://no-such-logs", TABLES), "no-such-logs"),
        (query("s3://no-such-tables/t"), "no-such-tables"),
    ] {
        let told = fail(at_endpoint(&mut command, &scene.s3.endpoint()), 1);
        assert!(told.contains(bucket), "{told}");
        println!("{told}");
    }
    let folder = scene.place.path("tables");
    for (mut command, bucket) in [
        (run(logs, TABLES), "s3://tables"),
        (run(logs, &folder), "s3://logs"),
        (query(TABLES), "s3://tables"),
    ] {
        at_endpoint(&mut command, &scene.s3.endpoint())
            .env_remove("AWS_ACCESS_KEY_ID")
            .env_remove("AWS_SECRET_ACCESS_KEY")
            // No other place where credentials could be.
            .env("HOME", scene.place.path("rollups"))
            .env("AWS_EC2_METADATA_DISABLED", "true");
        let told = fail(&mut command, 1);
        assert!(told.contains(bucket), "{told}");
        assert!(told.contains("credentials"), "{told}");
        println!("{told}");
    }
}
