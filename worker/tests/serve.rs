//! `logmill serve` by itself: how it takes log files from a queue and over HTTP, what it refuses, and how it ends.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use logmill_shared::LogFile;
use logmill_shared::notification;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use support::fault_proxy::{Fault, FaultProxy, Odds};
use support::made_logs::MadeLogs;
use support::ministack::{Ministack, at_endpoint};
use support::queues::{Depth, Queues, announced};
use support::worker::{Worker, request};
use support::{Workplace, fail, gzip, logmill, query_command, rows};
use tokio::runtime::Runtime;

const TABLES: &str = "s3://tables/t";
const TOKEN: &str = "a-token-for-tests";
const PATIENCE: Duration = Duration::from_secs(60);

/// Buckets, queues, and log files that are in the bucket already.
struct Scene {
    aws: Ministack,
    place: Workplace,
    logs: MadeLogs,
    /// The log files' keys.
    keys: Vec<String>,
    queues: Queues,
    runtime: Runtime,
}

impl Scene {
    fn new(log_files: u32) -> Self {
        let place = Workplace::new();
        MadeLogs::write_rollups(&place);
        let aws = Ministack::start(&["logs", "tables"]);
        let logs = MadeLogs::new(log_files, 10);
        let scene = Self {
            queues: Queues::new(&aws, 3),
            keys: logs.files.iter().map(|(name, _)| name.clone()).collect(),
            aws,
            place,
            logs,
            runtime: Runtime::new().unwrap(),
        };
        for (name, text) in &scene.logs.files {
            scene.put(name, text.clone().into_bytes());
        }
        scene
    }

    fn put(&self, key: &str, bytes: Vec<u8>) {
        let bucket = self.aws.bucket("logs");
        let key = Path::parse(key).unwrap();
        let put = bucket.put(&key, bytes.into());
        self.runtime.block_on(put).unwrap();
    }

    /// The command `serve`, which reaches AWS at this endpoint.
    fn command(&self, endpoint: &str) -> Command {
        let rollups = self.place.path("rollups");
        let mut command = logmill(["serve", "--rollups", &rollups, "--tables", TABLES]);
        command.args(["--allow", "s3://logs", "--listen", "127.0.0.1:0"]);
        command.args(["--commit-interval", "1"]);
        command.env("DISPATCH_TOKEN", TOKEN);
        at_endpoint(&mut command, endpoint);
        command
    }

    fn serve(&self, args: &[&str]) -> Worker {
        self.serve_at(&self.aws.endpoint(), args)
    }

    fn serve_at(&self, endpoint: &str, args: &[&str]) -> Worker {
        Worker::start(self.command(endpoint).args(args))
    }

    fn query(&self, sql: &str) -> Vec<String> {
        let mut command = query_command(TABLES, sql);
        rows(at_endpoint(&mut command, &self.aws.endpoint()))
    }

    /// Waits until both tables have counted so many log files.
    fn wait_until_counted(&self, log_files: usize) {
        let begin = Instant::now();
        let counted = || self.query("SELECT count(*) FROM log_files");
        while counted() != [(2 * log_files).to_string()] {
            assert!(begin.elapsed() < PATIENCE, "{:?} counted", counted());
            thread::sleep(Duration::from_millis(200));
        }
    }
}

const DONE: Depth = Depth {
    visible: 0,
    hidden: 0,
};

fn in_logs(key: &str) -> LogFile {
    LogFile::in_bucket("logs", key)
}

#[test]
fn messages_go_when_all_their_log_files_are_staged_and_others_to_the_dead() {
    let scene = Scene::new(6);
    let (name, text) = &scene.logs.files[0];
    let cut_off = &gzip(text)[..60];
    scene.put(&format!("{name}.cut.gz"), cut_off.to_vec());
    scene.put("notes.txt", b"no log at all\n".to_vec());
    let error = b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>";
    scene.put(&format!("{name}.xml.gz"), error.to_vec());
    // Neither is it looked up: there is no such object.
    let ignored = in_logs(&format!("copies/{name}"));

    let log_files: Vec<LogFile> = scene.keys.iter().map(|key| in_logs(key)).collect();
    let bad = in_logs(&format!("{name}.cut.gz"));
    let no_log = in_logs(&format!("{name}.xml.gz"));
    let bodies = [
        notification::message(&log_files[..4]),
        // One that can't be read keeps the message, and not the others from being counted.
        notification::message([&log_files[4], &bad, &log_files[5]]),
        notification::message([&in_logs("notes.txt")]),
        notification::message([&LogFile::in_bucket("secrets", "a.log")]),
        "{\"hello\":\"world\"}".to_owned(),
        "{\"Service\":\"Amazon S3\",\"Event\":\"s3:TestEvent\",\"Bucket\":\"logs\"}".to_owned(),
        notification::message([&no_log]),
        notification::message([&ignored]),
    ];
    scene.queues.send(&bodies);
    std::fs::write(scene.place.path("rollups/ignore.txt"), "copies/\n").unwrap();
    let worker = scene.serve(&["--queue-url", &scene.queues.work]);
    scene
        .queues
        .wait_for(PATIENCE, "done", |depth| depth == DONE);
    scene.wait_until_counted(6);
    let by_reason =
        |reason| worker.metric(&format!("logmill_failures_total{{reason=\"{reason}\"}}"));
    assert_eq!(by_reason("unreadable"), 3.0);
    assert_eq!(by_reason("no_log"), 3.0);
    assert_eq!(by_reason("not_allowed"), 3.0);
    assert_eq!(by_reason("not_understood"), 3.0);
    for outcome in ["unrecognised", "ignored"] {
        let metric = format!("logmill_log_files_total{{outcome=\"{outcome}\"}}");
        assert_eq!(worker.metric(&metric), 1.0, "{outcome}");
    }
    assert_eq!(
        worker.metric("logmill_messages_total{outcome=\"deleted\"}"),
        4.0
    );
    assert_eq!(
        worker.metric("logmill_left_out_total{reason=\"test_event\"}"),
        1.0
    );
    let log = worker.end().join("\n");
    assert!(log.contains("cut off after 60 bytes"), "{log}");
    assert!(log.contains("it looks like XML or HTML"), "{log}");

    scene.logs.check(|sql| scene.query(sql));
    let mut dead = scene.queues.take_all(&scene.queues.dead);
    dead.sort();
    let mut left = [&bodies[1], &bodies[3], &bodies[4], &bodies[6]];
    left.sort();
    assert_eq!(dead.iter().collect::<Vec<_>>(), left);
}

#[test]
fn http_is_answered_once_log_files_are_staged() {
    let scene = Scene::new(3);
    let worker = scene.serve(&["--no-commit"]);
    let all: Vec<LogFile> = scene.keys.iter().map(|key| in_logs(key)).collect();
    let body = notification::message(&all);
    let post = |token, body: &str| worker.request("POST", "/v1/log-files", token, body);

    assert_eq!(post("another", &body).0, 401);
    assert_eq!(post("", &body).0, 401);
    assert_eq!(post(TOKEN, &"x".repeat(1_100_000)).0, 413);
    assert_eq!(post(TOKEN, "rubbish").0, 422);
    let elsewhere = notification::message([&LogFile::in_bucket("secrets", "a.log")]);
    let (status, answer) = post(TOKEN, &elsewhere);
    assert_eq!(status, 422);
    assert!(answer.contains("s3://secrets/a.log"), "{answer}");
    assert_eq!(worker.request("GET", "/v1/log-files", TOKEN, "").0, 405);
    assert_eq!(worker.request("GET", "/healthz", "", "").0, 200);
    assert_eq!(worker.request("GET", "/readyz", "", "").0, 200);

    let (status, answer) = post(TOKEN, &body);
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("\"staged\":3"), "{answer}");
    // What was answered with 200 is safe, whatever happens to who has answered.
    worker.signal("KILL");
    let another = scene.serve(&[]);
    scene.wait_until_counted(3);
    another.end();
    scene.logs.check(|sql| scene.query(sql));
}

#[test]
fn a_full_worker_says_so() {
    let scene = Scene::new(1);
    let slow = FaultProxy::start(scene.aws.port(), Odds::always(Some(Fault::Delay)), 1);
    let worker = scene.serve_at(&slow.endpoint(), &["--log-files-at-once", "1"]);
    let body = notification::message([&in_logs(&scene.keys[0])]);
    let address = worker.address();
    let answers: Vec<(u16, String)> = thread::scope(|scope| {
        let post = || request(address, "POST", "/v1/log-files", TOKEN, &body);
        let posts: Vec<_> = (0..16).map(|_| scope.spawn(post)).collect();
        posts.into_iter().map(|post| post.join().unwrap()).collect()
    });
    let of_status = |wanted| answers.iter().filter(move |(status, _)| *status == wanted);
    let (staged, full) = (of_status(200).count(), of_status(503).count());
    assert_eq!(staged + full, 16, "{answers:?}");
    assert!(
        staged >= 2 && full > 0,
        "{staged} staged, {full} turned away"
    );
    for (_, answer) in of_status(503) {
        assert!(answer.to_lowercase().contains("retry-after: 1"), "{answer}");
    }
}

/// Who announces and hangs up has begun what goes on without him, and within the bounds.
#[test]
fn those_who_hang_up_get_no_more_than_a_turn() {
    let scene = Scene::new(12);
    let slow = FaultProxy::start(scene.aws.port(), Odds::always(Some(Fault::Delay)), 1);
    let args = ["--log-files-at-once", "2", "--no-commit"];
    let worker = scene.serve_at(&slow.endpoint(), &args);
    let in_flight = || worker.metric("logmill_log_files_in_flight ");
    for key in &scene.keys {
        hang_up(&worker, &notification::message([&in_logs(key)]));
        assert!(in_flight() <= 2.0);
    }
    let begin = Instant::now();
    while in_flight() > 0.0 {
        assert!(begin.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(50));
    }
    worker.end();
}

/// Asks, and is gone a moment later.
fn hang_up(worker: &Worker, body: &str) {
    let mut stream = TcpStream::connect(worker.address()).unwrap();
    let length = body.len();
    write!(
        stream,
        "POST /v1/log-files HTTP/1.1\r\nHost: worker\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    thread::sleep(Duration::from_millis(700));
}

/// A message that comes late in a long poll has been hidden no longer than it seems.
#[test]
fn a_queue_that_was_quiet_is_emptied() {
    let scene = Scene::new(1);
    let worker = scene.serve(&["--queue-url", &scene.queues.work, "--visibility", "6"]);
    for _ in 0..3 {
        thread::sleep(Duration::from_secs(5));
        scene.queues.announce(&scene.keys);
        scene
            .queues
            .wait_for(Duration::from_secs(5), "done", |depth| depth == DONE);
    }
    let messages =
        |outcome| worker.metric(&format!("logmill_messages_total{{outcome=\"{outcome}\"}}"));
    assert_eq!((messages("deleted"), messages("lost")), (3.0, 0.0));
    worker.end();
}

/// What fails as everything does is not the messages' fault: they are left in the queue.
#[test]
fn an_outage_costs_few_messages_an_attempt() {
    let scene = Scene::new(30);
    let proxy = FaultProxy::start(scene.aws.port(), Odds::always(None), 1);
    let worker = scene.serve_at(&proxy.endpoint(), &["--queue-url", &scene.queues.work]);
    proxy.deny("/tables/");
    scene.queues.announce(&scene.keys);
    let returned = || worker.metric("logmill_messages_total{outcome=\"returned\"}");
    let begin = Instant::now();
    while returned() == 0.0 {
        assert!(begin.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(100));
    }
    thread::sleep(Duration::from_secs(10));
    let by_outage = worker.metric("logmill_failures_total{reason=\"tables_unavailable\"}");
    assert_eq!(by_outage, returned());
    assert!(returned() <= 20.0, "{} attempts", returned());
    worker.end();
    assert_eq!(scene.queues.depth(&scene.queues.dead), DONE);
}

/// A worker that is told to stop in the midst of its work loses no message, and leaves none hidden.
#[test]
fn a_worker_that_stops_gives_back_what_it_has_not_done() {
    for grace in ["0", "20"] {
        let scene = Scene::new(60);
        scene.queues.announce(&scene.keys);
        let slow = FaultProxy::start(scene.aws.port(), Odds::slow(), 1);
        let args = ["--queue-url", &scene.queues.work, "--grace", grace];
        let args = [&args[..], &["--log-files-at-once", "4"]].concat();
        let worker = scene.serve_at(&slow.endpoint(), &args);
        let deleted = "logmill_messages_total{outcome=\"deleted\"}";
        let begin = Instant::now();
        while worker.metric(deleted) < 5.0 {
            assert!(begin.elapsed() < PATIENCE);
            thread::sleep(Duration::from_millis(20));
        }
        let begin = Instant::now();
        let log = worker.end();
        println!("grace {grace}: ended after {:.1?}", begin.elapsed());
        println!("{}", log.join("\n"));
        let depth = scene.queues.depth(&scene.queues.work);
        println!("{depth:?}");
        assert_eq!(depth.hidden, 0, "{depth:?}");
        assert!(
            (1..60).contains(&depth.visible),
            "not in the midst: {depth:?}"
        );

        let another = scene.serve(&["--queue-url", &scene.queues.work]);
        scene
            .queues
            .wait_for(PATIENCE, "done", |depth| depth == DONE);
        scene.wait_until_counted(60);
        another.end();
        scene.logs.check(|sql| scene.query(sql));
        assert_eq!(
            announced(&scene.queues.take_all(&scene.queues.dead)),
            [""; 0]
        );
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let scene = Scene::new(20);
    scene.queues.announce(&scene.keys);
    let slow = FaultProxy::start(scene.aws.port(), Odds::always(Some(Fault::Delay)), 1);
    let args = ["--queue-url", &scene.queues.work, "--grace", "3600"];
    let mut worker = scene.serve_at(&slow.endpoint(), &args);
    worker.signal("TERM");
    worker.wait_for("stopping");
    // It tells who looks, and sends others elsewhere.
    assert_eq!(worker.request("GET", "/readyz", "", "").0, 503);
    assert_eq!(worker.request("GET", "/healthz", "", "").0, 200);
    let body = notification::message([&in_logs(&scene.keys[0])]);
    let (status, answer) = worker.request("POST", "/v1/log-files", TOKEN, &body);
    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains("stopping"), "{answer}");
    worker.signal("INT");
    worker.ended(128 + 2);
}

#[test]
fn what_is_wrong_is_told_at_the_start() {
    let scene = Scene::new(0);
    let url = scene.queues.work.clone();
    let no_queue = url.replace("work", "no-such-queue");
    let told = |args: &[&str]| {
        let mut command = logmill(["serve"]);
        command.args(args);
        fail(at_endpoint(&mut command, &scene.aws.endpoint()), 1)
    };
    let rollups = scene.place.path("rollups");
    let serve = [
        "--rollups",
        &rollups,
        "--tables",
        TABLES,
        "--allow",
        "s3://logs",
    ];
    let with = |more: &[&'static str]| -> Vec<String> {
        let all = serve.iter().chain(more);
        all.map(|&arg| arg.to_owned()).collect()
    };
    let refused = |args: Vec<String>, why: &str| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let told = told(&args);
        assert!(told.contains(why), "{told}");
        println!("{told}");
    };
    refused(with(&["--listen", "127.0.0.1:0"]), "DISPATCH_TOKEN");
    let mut args = with(&["--queue-url"]);
    args.push(no_queue);
    refused(args, "there is no such queue");
    let mut args = with(&["--queue-url"]);
    args.push(url.clone());
    let replaced = |at: usize, by: &str| {
        let mut args = args.clone();
        args[at] = by.to_owned();
        args
    };
    refused(replaced(5, "s3://no-such-logs"), "no-such-logs");
    refused(replaced(3, "s3://no-such-tables/t"), "no-such-tables");
    refused(replaced(1, "s3://logs/rollups"), "there is no .sql file");
    scene
        .place
        .rollup("bad", "SELECT avg(sent_bytes) FROM alb_access_logs");
    refused(args.clone(), "bad.sql");
}
