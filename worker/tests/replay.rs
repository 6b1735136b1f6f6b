//! `logmill verify` and `logmill replay`, over buckets and queues that ministack has on this machine.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::support::ministack::{Ministack, at_endpoint};
use crate::support::worker::Worker;
use crate::support::{Workplace, alb_line, alb_name, fail, logmill, succeed};
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use flate2::Compression;
use flate2::write::GzEncoder;
use logmill_shared::notification;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::Value;
use tokio::runtime::Runtime;

const LOGS: &str = "s3://logs/p";
const TABLES: &str = "s3://tables/t";
const ACCOUNTS: [&str; 2] = ["111111111111", "222222222222"];

/// Buckets for logs and tables, a work queue, and the queue of its dead letters.
struct Scene {
    s3: Ministack,
    place: Workplace,
    runtime: Runtime,
    sqs: Client,
    work: String,
    dead: String,
}

impl Scene {
    fn new() -> Self {
        let place = Workplace::new();
        place.rollup(
            "by_status",
            "SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, elb_status_code AS status, \
             count(*) AS requests FROM alb_access_logs GROUP BY 1, 2",
        );
        let s3 = Ministack::start(&["logs", "tables"]);
        let config = aws_config::SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .endpoint_url(s3.endpoint())
            .credentials_provider(
                aws_credential_types::provider::SharedCredentialsProvider::new(Credentials::new(
                    "test", "test", None, None, "test",
                )),
            )
            .build();
        let runtime = Runtime::new().unwrap();
        let _guard = runtime.enter();
        let sqs = Client::new(&config);
        drop(_guard);
        let mut scene = Self {
            s3,
            place,
            runtime,
            sqs,
            work: String::new(),
            dead: String::new(),
        };
        scene.dead = scene.queue("dead", &HashMap::new());
        let redrive = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead","maxReceiveCount":"1"}"#;
        scene.work = scene.queue(
            "work",
            &HashMap::from([(QueueAttributeName::RedrivePolicy, redrive.to_owned())]),
        );
        scene
    }

    fn queue(&self, name: &str, attributes: &HashMap<QueueAttributeName, String>) -> String {
        let create = self.sqs.create_queue().queue_name(name);
        let create = create.set_attributes(Some(attributes.clone())).send();
        self.runtime.block_on(create).unwrap().queue_url.unwrap()
    }

    fn put(&self, key: &str, bytes: Vec<u8>) {
        let bucket = self.s3.bucket("logs");
        let path = Path::from(key);
        let put = bucket.put(&path, bytes.into());
        self.runtime.block_on(put).unwrap();
    }

    fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = logmill(args);
        at_endpoint(&mut command, &self.s3.endpoint());
        command
    }

    fn run(&self, logs: &[String]) -> String {
        let rollups = self.place.path("rollups");
        let mut command = self.command(["run", "--rollups", &rollups, "--tables", TABLES]);
        succeed(command.args(logs))
    }

    fn verify(&self, from: &str, to: &str) -> Command {
        let verify = ["verify", "--logs", LOGS, "--tables", TABLES];
        self.command(verify.into_iter().chain(["--from", from, "--to", to]))
    }

    /// What `verify` says as JSON, and its exit code.
    fn report(&self, from: &str, to: &str) -> (Value, i32) {
        let output = self
            .verify(from, to)
            .args(["--format", "json"])
            .output()
            .unwrap();
        let report = serde_json::from_slice(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        (
            report.unwrap_or_else(|_| panic!("{said}")),
            output.status.code().unwrap(),
        )
    }

    fn replay(&self, args: &[&str]) -> Command {
        let mut command = self.command(["replay", "--queue-url", &self.work]);
        command.args(args);
        command
    }

    fn send(&self, queue: &str, body: &str) {
        let send = self.sqs.send_message().queue_url(queue).message_body(body);
        self.runtime.block_on(send.send()).unwrap();
    }

    /// Takes all messages out of a queue. Returns their bodies.
    fn drain(&self, queue: &str) -> Vec<String> {
        let mut bodies = Vec::new();
        loop {
            let receive = self.sqs.receive_message().queue_url(queue);
            let receive = receive.max_number_of_messages(10).send();
            let messages = self.runtime.block_on(receive).unwrap();
            let messages = messages.messages();
            if messages.is_empty() {
                return bodies;
            }
            for message in messages {
                let delete = self.sqs.delete_message().queue_url(queue);
                let delete = delete.receipt_handle(message.receipt_handle().unwrap());
                self.runtime.block_on(delete.send()).unwrap();
                bodies.push(message.body().unwrap().to_owned());
            }
        }
    }

    /// Takes all messages out of a queue. Returns the log files in them, of which each must be there once.
    fn drain_log_files(&self, queue: &str) -> BTreeSet<String> {
        let mut log_files = BTreeSet::new();
        for body in self.drain(queue) {
            let notification = notification::parse(&body).unwrap();
            assert_eq!(notification.log_files.len(), 1, "{body}");
            let log_file = notification.log_files[0].log_file.to_string();
            assert!(log_files.insert(log_file), "twice: {body}");
        }
        log_files
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// The key of a log file of 2025-11-<day>, as AWS would make it.
fn key(account: &str, day: u32, time: &str, balancer: &str) -> String {
    format!(
        "p/AWSLogs/{account}/elasticloadbalancing/us-east-2/2025/11/{day:02}/\
         {account}_elasticloadbalancing_us-east-2_{balancer}_202511{day:02}T{time}Z_10.0.0.1_r.log.gz"
    )
}

fn log(lines: u32) -> Vec<u8> {
    let line = |second| alb_line(10, second, "192.0.2.1", 200, "https://shop.example:443/");
    gzip(&(0..lines).map(line).collect::<String>())
}

fn uri(key: &str) -> String {
    format!("s3://logs/{key}")
}

fn uris(keys: &[String]) -> BTreeSet<String> {
    keys.iter().map(|key| uri(key)).collect()
}

/// A file that is no log, in the folder of a day.
const README: &str = "p/AWSLogs/111111111111/elasticloadbalancing/us-east-2/2025/11/20/readme.txt";

const APP: &str = "app.shop.50dc6c495c0c9188";

/// Log files of four days in two accounts. Returns the keys of each day.
fn put_days(scene: &Scene) -> Vec<Vec<String>> {
    let day = |day| {
        let keys: Vec<String> = ACCOUNTS
            .iter()
            .flat_map(|account| ["0005", "1200", "2355"].map(|time| key(account, day, time, APP)))
            .collect();
        keys.iter().for_each(|key| scene.put(key, log(5)));
        keys
    };
    (19..=22).map(day).collect()
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn what_is_not_counted_is_told_and_sent_again() {
    let scene = Scene::new();
    let days = put_days(&scene);
    let [d19, d20, d21, d22] = &days[..] else {
        panic!()
    };

    // Without tables nothing can be complete.
    let told = fail(&mut scene.verify("2025-11-19", "2025-11-23"), 1);
    assert!(told.contains("no tables found"), "{told}");

    // All of the 19th and the 20th, and one of the 21st.
    let counted: Vec<String> = [d19.as_slice(), d20, &d21[..1]].concat();
    let printed = scene.run(&counted.iter().map(|key| uri(key)).collect::<Vec<_>>());
    assert!(printed.contains("log files  13 counted"), "{printed}");
    let told = succeed(&mut scene.verify("2025-11-19", "2025-11-21"));
    assert!(
        told.contains("log files  12 from 2025-11-19T00:00Z to 2025-11-21T00:00Z"),
        "{told}"
    );
    assert!(
        told.ends_with("           12 counted\ncomplete\n"),
        "{told}"
    );

    // One changes, one comes that can't be read, and some that are no log of a kind that a table reads.
    scene.put(&d20[4], log(6));
    let truncated = key(ACCOUNTS[0], 20, "1205", APP);
    scene.put(&truncated, log(50)[..60].to_vec());
    scene.put(&key(ACCOUNTS[0], 20, "1210", "net.n.0123"), log(1));
    scene.put(&key(ACCOUNTS[0], 20, "1210", "classic"), log(1));
    let connections = key(ACCOUNTS[0], 20, "1210", APP).replace("/20/1", "/20/conn_log_1");
    scene.put(&connections, log(1));
    scene.put(
        "p/AWSLogs/111111111111/ELBAccessLogTestFile",
        b"Enable AccessLog".to_vec(),
    );
    scene.put(README, b"# a readme".to_vec());
    let export = "p/export/some.log".to_owned();
    scene.put(&export, log(2));

    let told = fail(&mut scene.verify("2025-11-20", "2025-11-22"), 3);
    println!("{told}");
    let (report, code) = scene.report("2025-11-20", "2025-11-22");
    assert_eq!(code, 3);
    assert_eq!(report["complete"], false);
    assert_eq!(report["counted"], 6, "{report}");
    assert_eq!(report["staged"], 0);
    assert_eq!(report["changed"], Value::from(vec![uri(&d20[4])]));
    assert_eq!(report["failed"][0]["log_file"], uri(&truncated));
    let reason = report["failed"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("cut off after 60 bytes"), "{reason}");
    let missing = |report: &Value| -> BTreeSet<String> {
        let missing = report["missing"].as_array().unwrap().iter();
        missing
            .map(|missing| missing["log_file"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(missing(&report), uris(&d21[1..]));
    let skipped = report["skipped"].as_object().unwrap();
    assert_eq!(skipped["of elb_logs, which no table here reads"], 1);
    assert_eq!(skipped["of nlb_tls_logs, which no table here reads"], 1);
    assert_eq!(
        skipped["of alb_connection_logs, which no table here reads"],
        1
    );
    assert_eq!(
        skipped
            .values()
            .map(|count| count.as_u64().unwrap())
            .sum::<u64>(),
        3,
        "{report}"
    );

    // What is ignored is said beside the rollups, in a bucket too.
    scene.put(
        "cfg/ignore.txt",
        b"# cut off for good\n*_20251120T1205Z_*\n".to_vec(),
    );
    let mut command = scene.verify("2025-11-20", "2025-11-22");
    let told = fail(command.args(["--rollups", "s3://logs/cfg"]), 3);
    assert!(
        told.contains("1 ignored") && !told.contains("failed"),
        "{told}"
    );
    scene.put("cfg/ignore.txt", b"[".to_vec());
    let mut command = scene.verify("2025-11-20", "2025-11-22");
    let told = fail(command.args(["--rollups", "s3://logs/cfg"]), 1);
    assert!(
        told.contains("s3://logs/cfg/ignore.txt:1: invalid pattern '['"),
        "{told}"
    );

    // Objects without a time in their names belong to today.
    let today = (std::time::SystemTime::now() - Duration::from_hours(1)).into();
    let today: chrono::DateTime<chrono::Utc> = today;
    let from = today.format("%Y-%m-%dT%H").to_string();
    let mut command = scene.verify(&from, "2999-01-01");
    let told = fail(&mut command, 3);
    assert!(told.contains("1 skipped: test object"), "{told}");
    assert!(
        told.contains(&format!("1 missing:\n             {}", uri(&export))),
        "{told}"
    );

    // What would be sent, and then is: what is missing, and nothing else.
    let span = ["--logs", LOGS, "--from", "2025-11-19", "--to", "2025-11-23"];
    let only_missing = [&span[..], &["--missing", "--tables", TABLES]].concat();
    let dry = [&only_missing[..], &["--dry-run"]].concat();
    let wanted: BTreeSet<String> =
        uris(&[&d21[1..], d22, &[truncated.clone(), README.to_owned()]].concat());
    let output = scene.replay(&dry).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let printed = String::from_utf8(output.stdout.clone()).unwrap();
    assert_eq!(
        printed.lines().map(str::to_owned).collect::<BTreeSet<_>>(),
        wanted
    );
    assert!(
        text(&output).contains("log files  13 would be sent"),
        "{}",
        text(&output)
    );
    assert!(scene.drain(&scene.work).is_empty());

    let told = succeed(&mut scene.replay(&only_missing));
    println!("{told}");
    assert!(told.contains("log files  13 sent"), "{told}");
    assert!(told.contains("13 already counted or staged"), "{told}");
    assert_eq!(scene.drain_log_files(&scene.work), wanted);

    // A span, whatever is counted of it: only its hours.
    let noon = [
        "--logs",
        LOGS,
        "--from",
        "2025-11-20T12",
        "--to",
        "2025-11-21T12:00Z",
    ];
    let told = succeed(&mut scene.replay(&noon));
    println!("{told}");
    let noon: Vec<String> = [
        &d20[1..3],
        &d20[4..6],
        &d21[..1],
        &d21[3..4],
        // Only the workers know what they read.
        &[truncated, key(ACCOUNTS[0], 20, "1210", "classic")],
        &[
            key(ACCOUNTS[0], 20, "1210", "net.n.0123"),
            connections,
            README.to_owned(),
        ],
    ]
    .concat();
    assert_eq!(scene.drain_log_files(&scene.work), uris(&noon));
    assert!(told.contains("11 sent"), "{told}");

    // Once they are counted, nothing is missing.
    scene.run(
        &[d21.as_slice(), d22]
            .concat()
            .iter()
            .map(|key| uri(key))
            .collect::<Vec<_>>(),
    );
    let told = succeed(&mut scene.verify("2025-11-21", "2025-11-23"));
    assert!(told.ends_with("complete\n"), "{told}");
}

#[test]
fn what_can_not_be_listed_or_read_is_never_complete() {
    let scene = Scene::new();
    let keys = &put_days(&scene)[0];
    scene.run(&[uri(&keys[0])]);
    let verify = |logs, tables| {
        let mut command = scene.command([
            "verify",
            "--from",
            "2025-11-19",
            "--logs",
            logs,
            "--tables",
            tables,
        ]);
        command.args(["--to", "2025-11-20"]);
        command
    };
    for (logs, tables, said) in [
        (
            "s3://no-such-logs",
            TABLES,
            "the bucket 'no-such-logs' does not exist",
        ),
        ("s3://logs/q", TABLES, "no object and no folder"),
        ("/no/such/folder", TABLES, "cannot be listed"),
        (LOGS, "s3://no-such-tables/t", "no-such-tables"),
        (LOGS, "s3://tables/none", "no tables found"),
        (TABLES, TABLES, "in the same place"),
    ] {
        let told = fail(&mut verify(logs, tables), 1);
        assert!(told.contains(said), "{told}");
        println!("{told}");
    }
    let told = fail(&mut scene.verify("2019-01-01", "2019-01-02"), 3);
    assert!(
        told.contains("no log files found in this time range"),
        "{told}"
    );

    // Nor is a replay done that can't list all.
    let lost = ["--logs", "s3://no-such-logs", "--from", "2025-11-19"];
    let told = fail(&mut scene.replay(&lost), 1);
    assert!(
        told.contains(
            "listing failed after 0 log files were sent: s3://no-such-logs: cannot be listed"
        ),
        "{told}"
    );

    // A ledger that has gone is not an empty one.
    let tables = scene.s3.bucket("tables");
    let list = object_store::ObjectStore::list(
        &tables,
        Some(&Path::from("t/by_status/_ledger/2025-11-19T00")),
    );
    let ledger: Vec<_> = scene
        .runtime
        .block_on(futures::TryStreamExt::try_collect(list))
        .unwrap();
    let ledger: Vec<object_store::ObjectMeta> = ledger;
    assert_eq!(ledger.len(), 1);
    scene
        .runtime
        .block_on(tables.delete(&ledger[0].location))
        .unwrap();
    let told = fail(&mut verify(LOGS, TABLES), 3);
    assert!(
        told.contains("the ledger of the table 'by_status' cannot be read")
            && told.contains("unknown whether the log file is counted"),
        "{told}"
    );
    println!("{told}");
}

#[test]
fn what_is_sent_again_is_staged_and_then_counted() {
    let scene = Scene::new();
    let days = put_days(&scene).concat();
    scene.run(&[uri(&days[0])]);
    let rollups = scene.place.path("rollups");
    let serve = ["serve", "--rollups", &rollups, "--tables", TABLES];
    let mut serve = scene.command(serve);
    serve.args([
        "--queue-url",
        &scene.work,
        "--allow",
        "s3://logs",
        "--no-commit",
    ]);
    let worker = Worker::start(serve.args(["--listen", "127.0.0.1:0"]));

    let span = ["--logs", LOGS, "--from", "2025-11-19", "--to", "2025-11-23"];
    let missing = [&span[..], &["--missing", "--tables", TABLES]].concat();
    let told = succeed(scene.replay(&missing).args(["--rate", "50"]));
    assert!(told.contains("log files  23 sent"), "{told}");
    let begin = Instant::now();
    let told = loop {
        let output = scene.verify("2025-11-19", "2025-11-23").output().unwrap();
        if output.status.success() {
            break text(&output);
        }
        assert_eq!(output.status.code(), Some(3), "{}", text(&output));
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "{}",
            text(&output)
        );
    };
    // Killed: what is staged stays so.
    drop(worker);
    println!("{told}");
    let staged = "23 staged: the next commit counts them\ncomplete   once the staged log files are committed";
    assert!(told.contains(staged), "{told}");
    let told = succeed(&mut scene.replay(&missing));
    assert!(told.contains("log files  0 sent"), "{told}");

    // All of it again, to no effect.
    let told = succeed(&mut scene.replay(&span));
    assert!(told.contains("log files  24 sent"), "{told}");
    scene.run(&[LOGS.to_owned()]);
    let told = succeed(&mut scene.verify("2025-11-19", "2025-11-23"));
    assert!(told.contains("24 counted\ncomplete"), "{told}");
}

#[test]
fn folders_are_verified_as_buckets_are() {
    let place = Workplace::new();
    place.rollup("every_row", "SELECT time, client_ip FROM alb_access_logs");
    for node in 0..3 {
        place.log(
            &alb_name(10, 5, node),
            &alb_line(10, 1, "192.0.2.1", 200, "/"),
        );
    }
    place.run();
    place.log(&alb_name(11, 5, 0), &alb_line(11, 1, "192.0.2.1", 200, "/"));
    let (logs, tables) = (place.path("logs"), place.path("tables"));
    let verify = |hours: [&str; 2]| {
        let mut command = logmill(["verify", "--logs", &logs, "--tables", &tables]);
        command.args(["--from", hours[0], "--to", hours[1]]);
        command
    };
    let told = succeed(&mut verify(["2026-11-20T10", "2026-11-20T11"]));
    assert!(told.contains("3 counted\ncomplete"), "{told}");
    let told = fail(&mut verify(["2026-11-20", "2026-11-21"]), 3);
    assert!(told.contains("1 missing:\n             file:///"), "{told}");
}

#[test]
fn dead_letters_are_shown_and_stay() {
    let scene = Scene::new();
    let bodies: BTreeSet<String> = (0..25)
        .map(|number| format!(r#"{{"version":1,"log_files":["s3://logs/p/{number}.log.gz"]}}"#))
        .chain(["no notification at all".to_owned()])
        .collect();
    bodies.iter().for_each(|body| scene.send(&scene.dead, body));
    let dead = scene.dead.clone();

    let output = scene
        .replay(&["--dead-letters", &dead, "--dry-run"])
        .output()
        .unwrap();
    println!("{}", text(&output));
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 25);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        told.contains("messages   26 would be moved, with 25 log files"),
        "{told}"
    );
    assert!(
        told.contains("is not understood: the message is not JSON"),
        "{told}"
    );
    assert!(scene.drain(&scene.work).is_empty());

    // They are there again at once, although it has looked at them.
    assert_eq!(
        scene.drain(&dead).into_iter().collect::<BTreeSet<_>>(),
        bodies
    );

    for (args, said) in [
        (
            vec!["--dead-letters", scene.work.as_str()],
            "both the work queue and the dead-letter queue",
        ),
        (
            vec!["--dead-letters", "http://127.0.0.1:1/none"],
            "the queue",
        ),
        (
            vec!["--logs", "/logs", "--from", "2025-11-20"],
            "logmill run",
        ),
        (
            vec!["--logs", LOGS, "--from", "2025-11-20", "--to", "2025-11-19"],
            "must be later",
        ),
    ] {
        let told = fail(&mut scene.replay(&args), 1);
        assert!(told.contains(said), "{told}");
    }
    for (args, said) in [
        (vec![], "--logs"),
        (vec!["--logs", LOGS], "--from"),
        (
            vec!["--logs", LOGS, "--from", "yesterday"],
            "2026-11-20T10:05Z",
        ),
        (
            vec!["--logs", LOGS, "--from", "2025-11-20", "--missing"],
            "--tables",
        ),
        (
            vec![
                "--logs",
                LOGS,
                "--from",
                "2025-11-20",
                "--dead-letters",
                "http://x",
            ],
            "cannot be used with",
        ),
    ] {
        let told = fail(&mut scene.replay(&args), 2);
        assert!(told.contains(said), "{told}");
    }
}

#[test]
fn a_rate_is_kept() {
    let scene = Scene::new();
    for minute in 0..40 {
        scene.put(
            &key(ACCOUNTS[0], 20, &format!("10{minute:02}"), APP),
            log(1),
        );
    }
    let span = ["--logs", LOGS, "--from", "2025-11-20", "--to", "2025-11-21"];
    let timed = |rate: &[&str]| {
        let begin = Instant::now();
        let told = succeed(&mut scene.replay(&[&span[..], rate].concat()));
        assert!(told.contains("log files  40 sent"), "{told}");
        begin.elapsed()
    };
    let (fast, slow) = (timed(&[]), timed(&["--rate", "20"]));
    println!("40 log files in {fast:.2?}, and in {slow:.2?} at 20 a second");
    // Four requests of ten: the first at once, the last a second and a half later.
    assert!(slow >= Duration::from_millis(1450), "{slow:?}");
    assert_eq!(scene.drain(&scene.work).len(), 80);
}
