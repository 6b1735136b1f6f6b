//! `logmill serve` by itself: how it takes log files from a queue and over HTTP, what it refuses, and how it ends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::fault_proxy::{Fault, FaultProxy, Odds};
use crate::support::made_logs::MadeLogs;
use crate::support::ministack::{Ministack, at_endpoint};
use crate::support::queues::{Depth, Queues, announced};
use crate::support::worker::{Worker, request};
use crate::support::{Workplace, fail, gzip, logmill, query_command, rows, succeed};
use futures::TryStreamExt;
use logmill_shared::LogFile;
use logmill_shared::notification;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::runtime::Runtime;

pub const TABLES: &str = "s3://tables/t";
pub const TOKEN: &str = "a-token-for-tests";
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Buckets, queues, and log files that are in the bucket already.
pub struct Scene {
    pub aws: Ministack,
    pub place: Workplace,
    pub logs: MadeLogs,
    /// The log files' keys.
    pub keys: Vec<String>,
    pub queues: Queues,
    pub runtime: Runtime,
}

impl Scene {
    pub fn new(log_files: u32) -> Self {
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

    pub fn put(&self, key: &str, bytes: Vec<u8>) {
        let bucket = self.aws.bucket("logs");
        let key = Path::parse(key).unwrap();
        let put = bucket.put(&key, bytes.into());
        self.runtime.block_on(put).unwrap();
    }

    /// The command `serve`, which reaches AWS at this endpoint.
    pub fn command(&self, endpoint: &str) -> Command {
        let rollups = self.place.path("rollups");
        let mut command = logmill(["serve", "--rollups", &rollups, "--tables", TABLES]);
        command.args(["--allow", "s3://logs", "--listen", "127.0.0.1:0"]);
        command.args(["--commit-interval", "1"]);
        command.env("DISPATCH_TOKEN", TOKEN);
        at_endpoint(&mut command, endpoint);
        command
    }

    pub fn serve(&self, args: &[&str]) -> Worker {
        self.serve_at(&self.aws.endpoint(), args)
    }

    fn serve_at(&self, endpoint: &str, args: &[&str]) -> Worker {
        Worker::start(self.command(endpoint).args(args))
    }

    pub fn query(&self, sql: &str) -> Vec<String> {
        let mut command = query_command(TABLES, sql);
        rows(at_endpoint(&mut command, &self.aws.endpoint()))
    }

    /// Waits until both tables have counted so many log files.
    pub fn wait_until_counted(&self, log_files: usize) {
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
        notification::message(&log_files[..3]),
        // As Lambda's failure destination puts it into a queue: what it could not pass on.
        serde_json::json!({
            "version": "1.0", "requestContext": {"condition": "RetriesExhausted"},
            "requestPayload": {"Records": [{"eventName": "ObjectCreated:Put",
                "s3": {"bucket": {"name": "logs"}, "object": {"key": scene.keys[3]}}}]},
            "responsePayload": {"errorMessage": "x"},
        })
        .to_string(),
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
        5.0
    );
    assert_eq!(
        worker.metric("logmill_left_out_total{reason=\"test_event\"}"),
        1.0
    );
    let log = worker.end();
    // At its last attempt each message that dies says why, once.
    let last = log
        .iter()
        .filter(|line| line.contains("goes to the dead-letter queue"));
    let last: Vec<&String> = last.collect();
    assert_eq!(last.len(), 4, "{last:#?}");
    for (name, reason) in [
        ("unreadable", "cut off after 60 bytes"),
        ("no_log", "the content looks like XML or HTML"),
        ("not_allowed", "not in a location that --allow names"),
        ("not_understood", "an object with hello"),
    ] {
        let says = |line: &&&String| line.contains(name) && line.contains(reason);
        assert_eq!(last.iter().filter(says).count(), 1, "{name}: {last:#?}");
    }

    scene.logs.check(|sql| scene.query(sql));
    let mut dead = scene.queues.take_all(&scene.queues.dead);
    dead.sort();
    let mut left = [&bodies[2], &bodies[4], &bodies[5], &bodies[7]];
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

/// Waits until a metric has this value.
fn wait_for_metric(worker: &Worker, name: &str, value: f64) {
    let begin = Instant::now();
    while worker.metric(name) != value {
        let found = worker.metric(name);
        assert!(begin.elapsed() < PATIENCE, "{name} is {found}");
        thread::sleep(Duration::from_millis(200));
    }
}

/// An alarm rests on it, which is of use only if it comes soon.
#[test]
fn what_is_set_aside_is_a_metric_at_once_and_until_it_is_put_back() {
    let scene = Scene::new(2);
    let worker = scene.serve(&[]);
    let post = |key: &str| {
        let body = notification::message([&in_logs(key)]);
        let (status, answer) = worker.request("POST", "/v1/log-files", TOKEN, &body);
        assert_eq!(status, 200, "{answer}");
    };
    post(&scene.keys[0]);
    scene.wait_until_counted(1);
    let set_aside = "logmill_set_aside_log_files{table=\"by_minute\"} ";
    assert_eq!(worker.metric(set_aside), 0.0);

    let tables = scene.aws.bucket("tables");
    let staged = "t/by_minute/_staging/2026-11-20T10/0123456789abcdef0123456789abcdef.parquet";
    let staged = Path::from(staged);
    let put = tables.put(&staged, "no Parquet".into());
    scene.runtime.block_on(put).unwrap();
    wait_for_metric(&worker, set_aside, 1.0);

    // Somebody puts it back, and it is gone.
    let notes = tables.list(Some(&Path::from("t/by_minute/_set_aside")));
    let notes: Vec<_> = scene.runtime.block_on(notes.try_collect()).unwrap();
    assert_eq!(notes.len(), 1);
    for path in [&staged, &notes[0].location] {
        scene.runtime.block_on(tables.delete(path)).unwrap();
    }
    post(&scene.keys[1]);
    wait_for_metric(&worker, set_aside, 0.0);
    worker.end();
}

/// AWS's automations for WAF copy log files within their bucket, under the same name.
#[test]
fn a_copy_of_a_log_file_counts_and_is_told_with_the_other() {
    let scene = Scene::new(1);
    let key = &scene.keys[0];
    let copy = format!("copies/{key}");
    scene.put(&copy, scene.logs.files[0].1.clone().into_bytes());
    let mut worker = scene.serve(&[]);
    let copies = "logmill_copies_total{table=\"by_minute\"} ";
    for (key, copies_then) in [(key, 0.0), (&copy, 1.0)] {
        let body = notification::message([&in_logs(key)]);
        let (status, answer) = worker.request("POST", "/v1/log-files", TOKEN, &body);
        assert_eq!(status, 200, "{answer}");
        scene.wait_until_counted(if copies_then == 0.0 { 1 } else { 2 });
        wait_for_metric(&worker, copies, copies_then);
    }
    let warning = worker.wait_for(
        "log file has the same name as another one and is most likely a copy, but is counted too; exclude one of the two \
         folders with --ignore, or announce only the other",
    );
    assert_eq!(warning["level"], "WARN");
    assert_eq!(warning["log_file"], in_logs(&copy).uri());
    assert_eq!(warning["copy_of"], in_logs(key).uri());
    worker.end();
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

/// A message may name thousands of log files, and one of them thousands of times: each is staged once, and the log says in a
/// few lines what is missing.
#[test]
fn one_message_of_many_log_files_makes_few_lines_and_no_work_twice() {
    const MISSING: usize = 400;
    let scene = Scene::new(1);
    let missing = (0..MISSING).map(|at| in_logs(&format!("missing/{at}.log")));
    let named = std::iter::repeat_n(in_logs(&scene.keys[0]), 1000);
    let all: Vec<LogFile> = named.chain(missing).collect();
    let body = notification::message(&all);
    let worker = scene.serve(&["--queue-url", &scene.queues.work]);

    let (status, answer) = worker.request("POST", "/v1/log-files", TOKEN, &body);
    assert_eq!(status, 503);
    let answer = answer.split("\r\n\r\n").nth(1).unwrap();
    let answer: serde_json::Value = serde_json::from_str(answer).unwrap();
    assert_eq!(
        (&answer["staged"], &answer["left_out"]),
        (&1.into(), &999.into())
    );
    assert_eq!(answer["failed_log_files"], MISSING);
    assert_eq!(answer["failed"].as_array().unwrap().len(), 100);

    scene.queues.send(&[body]);
    let begin = Instant::now();
    let returned = || worker.metric("logmill_messages_total{outcome=\"returned\"}");
    while returned() == 0.0 {
        assert!(begin.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(
        worker.metric("logmill_log_files_total{outcome=\"staged\"}"),
        2.0
    );
    assert_eq!(
        worker.metric("logmill_left_out_total{reason=\"repeated\"}"),
        2.0 * 999.0
    );
    let log = worker.end();
    let lines: Vec<&String> = log
        .iter()
        .filter(|line| line.contains("missing/"))
        .collect();
    println!("{} lines: {lines:#?}", lines.len());
    // One for the request, and one for each attempt at the message.
    assert!((2..=4).contains(&lines.len()), "{lines:#?}");
    assert!(lines.iter().all(|line| line.contains("400")), "{lines:#?}");
}

/// A bucket that refuses holds up what is announced of it, and nothing else.
#[test]
fn a_bucket_that_refuses_holds_up_no_other() {
    let scene = Scene::new(20);
    let other = LogFile::in_bucket("tables", "refused/a.log");
    let proxy = FaultProxy::start(scene.aws.port(), Odds::always(None), 1);
    let args = [
        "--queue-url",
        &scene.queues.work,
        "--allow",
        "s3://tables/refused",
        "--no-commit",
    ];
    let worker = scene.serve_at(&proxy.endpoint(), &args);
    proxy.deny("/tables/refused");
    let refused = vec![notification::message([&other]); 40];
    scene.queues.send(&refused[..20]);
    let messages = scene
        .keys
        .iter()
        .map(|key| notification::message([&in_logs(key)]));
    scene.queues.send(&messages.collect::<Vec<_>>());
    scene.queues.send(&refused[20..]);
    let begin = Instant::now();
    let staged = || worker.metric("logmill_log_files_total{outcome=\"staged\"}");
    while staged() < 20.0 {
        assert!(begin.elapsed() < PATIENCE, "{} staged", staged());
        thread::sleep(Duration::from_millis(100));
    }
    println!("20 log files were staged after {:.1?}", begin.elapsed());
    // Once it is seen to be out, its messages are hidden without an attempt.
    let failed = |reason| worker.metric(&format!("logmill_failures_total{{reason=\"{reason}\"}}"));
    while failed("refused") + failed("held_back") < 40.0 {
        assert!(begin.elapsed() < 2 * PATIENCE);
        thread::sleep(Duration::from_millis(100));
    }
    println!(
        "{} tried, {} held back",
        failed("refused"),
        failed("held_back")
    );
    assert!(failed("held_back") > 0.0);
    assert!(failed("refused") < 40.0);
    let log = worker.end().join("\n");
    assert_eq!(
        log.matches("outage: messages that need this dependency")
            .count(),
        1,
        "{log}"
    );
    assert_eq!(scene.queues.depth(&scene.queues.dead), DONE);
}

/// A log file that hangs is given back, and so comes to the dead letters; the others go on.
#[test]
fn a_log_file_that_hangs_is_given_back() {
    let scene = Scene::new(4);
    let proxy = FaultProxy::start(scene.aws.port(), Odds::always(None), 1);
    proxy.hang(&format!("/logs/{}", scene.keys[0]));
    let args = ["--queue-url", &scene.queues.work, "--stalled-after", "2"];
    let worker = scene.serve_at(&proxy.endpoint(), &args);
    scene.queues.redrive_after(1);
    scene.queues.announce(&scene.keys);
    scene.wait_until_counted(3);
    scene
        .queues
        .wait_for(PATIENCE, "given back", |depth| depth == DONE);
    assert_eq!(worker.metric("logmill_stalled_log_files "), 1.0);
    assert_eq!(
        worker.metric("logmill_failures_total{reason=\"stalled\"}"),
        1.0
    );
    let log = worker.end().join("\n");
    assert!(log.contains("log file stalled"), "{log}");
    let dead = announced(&scene.queues.take_all(&scene.queues.dead));
    assert_eq!(dead, [in_logs(&scene.keys[0]).uri()]);
}

/// Nothing can end a thread that hangs. When all have come to that, another process must go on.
#[test]
fn a_worker_of_which_all_hangs_ends_with_an_error() {
    let scene = Scene::new(1);
    let proxy = FaultProxy::start(scene.aws.port(), Odds::always(None), 1);
    proxy.hang(&format!("/logs/{}", scene.keys[0]));
    let args = ["--log-files-at-once", "1", "--stalled-after", "1"];
    let worker = scene.serve_at(&proxy.endpoint(), &args);
    let body = notification::message([&in_logs(&scene.keys[0])]);
    let (status, answer) = worker.request("POST", "/v1/log-files", TOKEN, &body);
    assert_eq!(status, 503, "{answer}");
    assert!(
        answer.contains("no bytes of the log file were read for 1 seconds"),
        "{answer}"
    );
    let log = worker.ended(1).join("\n");
    assert!(
        log.contains("have stalled, so the worker must be restarted"),
        "{log}"
    );
}

/// Who opens all the connections that he can, asks for much, and reads nothing, keeps nobody else from being answered.
#[test]
fn connections_that_read_nothing_take_nobodys_place() {
    let scene = Scene::new(1);
    let worker = scene.serve(&[]);
    let many = "GET /metrics HTTP/1.1\r\nHost: worker\r\n\r\n".repeat(200);
    let held: Vec<TcpStream> = (0..520)
        .map(|_| {
            let mut stream = TcpStream::connect(worker.address()).unwrap();
            stream
                .set_write_timeout(Some(Duration::from_millis(50)))
                .unwrap();
            // It may have been closed already.
            let _ = stream.write_all(many.as_bytes());
            stream
        })
        .collect();
    let ask = |method: &str, path: &str, token: &str, body: &str| {
        let begin = Instant::now();
        let mut stream = TcpStream::connect(worker.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\n\
             Authorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer).map(|_| ());
        let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
        println!("{path}: '{status}' {read:?} after {:.1?}", begin.elapsed());
        assert_eq!(status, "200", "{path}");
        begin.elapsed()
    };
    for _ in 0..3 {
        // ECS waits 5 seconds for the answer of a health check.
        assert!(ask("GET", "/healthz", "", "") < Duration::from_secs(5));
    }
    ask("GET", "/metrics", "", "");
    let body = notification::message([&in_logs(&scene.keys[0])]);
    ask("POST", "/v1/log-files", TOKEN, &body);
    assert!(worker.metric("logmill_http_connections_evicted_total") > 0.0);
    drop(held);
    worker.end();
}

/// A load balancer keeps a connection that it does not use for a minute, and then asks over it.
#[test]
fn an_idle_connection_outlasts_a_load_balancers() {
    let scene = Scene::new(0);
    let worker = scene.serve(&["--no-commit"]);
    let mut stream = TcpStream::connect(worker.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    for pause in [0, 62] {
        thread::sleep(Duration::from_secs(pause));
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nHost: worker\r\n\r\n")
            .unwrap();
        let mut answer = [0; 15];
        let read = stream.read_exact(&mut answer);
        assert!(read.is_ok(), "closed after {pause} s: {read:?}");
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        // The rest of the answer.
        thread::sleep(Duration::from_millis(200));
        let mut rest = [0; 1000];
        assert!(stream.read(&mut rest).unwrap() > 0);
    }
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
    worker.wait_for("worker shutting down");
    // It tells who looks, and sends others elsewhere.
    assert_eq!(worker.request("GET", "/readyz", "", "").0, 503);
    assert_eq!(worker.request("GET", "/healthz", "", "").0, 200);
    let body = notification::message([&in_logs(&scene.keys[0])]);
    let (status, answer) = worker.request("POST", "/v1/log-files", TOKEN, &body);
    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains("shutting down"), "{answer}");
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
    refused(args, "the queue does not exist");
    let mut args = with(&["--queue-url"]);
    args.push(url.clone());
    let replaced = |at: usize, by: &str| {
        let mut args = args.clone();
        args[at] = by.to_owned();
        args
    };
    refused(replaced(5, "s3://no-such-logs"), "no-such-logs");
    refused(replaced(3, "s3://no-such-tables/t"), "no-such-tables");
    refused(replaced(1, "s3://logs/rollups"), "no .sql file found");
    // One rollup that is wrong stops no other; but without any there is nothing to do.
    let nothing_right = Workplace::new();
    nothing_right.rollup("bad", "SELECT array_agg(elb) FROM alb_access_logs");
    refused(replaced(1, &nothing_right.path("rollups")), "bad");
}

#[test]
fn a_rebuild_can_be_read_by_the_workers_of_a_queue() {
    let scene = Scene::new(12);
    let by_minute = std::fs::read_to_string(scene.place.path("rollups/by_minute.sql")).unwrap();
    let some = "FROM alb_access_logs WHERE elb_status_code = 200";
    scene.place.rollup(
        "by_minute",
        &by_minute.replace("FROM alb_access_logs", some),
    );
    let rollups = scene.place.path("rollups");
    let endpoint = scene.aws.endpoint();
    let arguments = [
        "run",
        "s3://logs",
        "--rollups",
        &rollups,
        "--tables",
        TABLES,
    ];
    succeed(at_endpoint(&mut logmill(arguments), &endpoint));
    scene.place.rollup("by_minute", &by_minute);

    let arguments = ["rebuild", "--rollups", &rollups, "--tables", TABLES];
    let mut rebuild = logmill(arguments);
    rebuild.args(["--queue-url", &scene.queues.work]);
    let rebuild = at_endpoint(&mut rebuild, &endpoint)
        .stdout(Stdio::piped())
        .spawn();
    let rebuild = rebuild.unwrap();
    // A worker that begins now knows of the next generation.
    let has_next = || {
        let mut tables = logmill(["tables", "--tables", TABLES, "--format", "json"]);
        succeed(at_endpoint(&mut tables, &endpoint)).contains("_generations/")
    };
    let begin = Instant::now();
    while !has_next() {
        assert!(begin.elapsed() < PATIENCE, "the rebuild has not begun");
    }
    let worker = scene.serve(&["--queue-url", &scene.queues.work]);
    let rebuilt = rebuild.wait_with_output().unwrap();
    let printed = String::from_utf8(rebuilt.stdout).unwrap();
    assert!(
        rebuilt.status.success() && printed.contains("swapped:"),
        "{printed}"
    );
    scene.logs.check(|sql| scene.query(sql));
    worker.signal("TERM");
    worker.ended(0);
}

/// What a person does to tables, on S3.
#[test]
fn tables_on_s3_are_erased_from_renamed_and_dropped() {
    let scene = Scene::new(6);
    let (rollups, endpoint) = (scene.place.path("rollups"), scene.aws.endpoint());
    let command = |arguments: &[&str]| {
        let mut command = logmill(arguments.iter().copied().chain(["--tables", TABLES]));
        succeed(at_endpoint(&mut command, &endpoint))
    };
    command(&["run", "s3://logs", "--rollups", &rollups]);
    let requests = |table: &str| {
        let sql = format!("SELECT sum(requests) FROM {table}");
        scene.query(&sql).remove(0).parse::<u64>().unwrap()
    };
    let all = requests("by_minute");
    let of_status = "SELECT sum(requests) FROM by_minute WHERE status = 200";
    let ok: u64 = scene.query(of_status).remove(0).parse().unwrap();
    assert!(ok < all);
    command(&[
        "erase",
        "--where",
        "elb_status_code = 200",
        "--table",
        "by_minute",
    ]);
    assert_eq!(requests("by_minute"), all - ok);
    command(&["rollback", "by_minute"]);
    assert_eq!(requests("by_minute"), all);
    let renamed = command(&["rename", "by_minute", "minutes"]);
    assert!(renamed.contains("  renamed: "), "{renamed}");
    assert_eq!(requests("minutes"), all);
    command(&["retain", "--keep-days", "1", "--table", "minutes"]);
    assert_eq!(scene.query("SELECT count(*) FROM minutes"), ["0"]);
    command(&["drop", "minutes", "--yes"]);
    let left = command(&["tables", "--format", "csv"]);
    assert!(!left.contains("minute"), "{left}");
    let bucket = scene.aws.bucket("tables");
    let objects = bucket
        .list(Some(&Path::from("t/minutes")))
        .try_collect::<Vec<_>>();
    // The last version of the log, its checkpoint, and the hint to it.
    let left = scene.runtime.block_on(objects).unwrap();
    let is_of_log = |path: &Path| path.as_ref().starts_with("t/minutes/_delta_log/");
    assert!(
        left.len() == 3 && left.iter().all(|object| is_of_log(&object.location)),
        "{left:?}"
    );
}
