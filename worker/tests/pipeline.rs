//! The fleet from end to end: log files are put into a bucket, and each way on which S3 can tell of them brings them to
//! a worker and into the tables.
//!
//! S3, SNS, EventBridge, SQS and Lambda are ministack, on this machine. It runs the real function, `lambda-dispatch`, as
//! Lambda's runtime `provided.al2023` would: its program, by the runtime API, in processes that are used again.

use std::collections::BTreeMap;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::function::BOOTSTRAP;
use crate::support::made_logs::MadeLogs;
use crate::support::ministack::{Ministack, at_endpoint};
use crate::support::python::PYTHON;
use crate::support::worker::Worker;
use crate::support::{Workplace, gzip, logmill, project, query_command, rows, succeed};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::Value;
use tokio::runtime::Runtime;

const LOG_FILES: u32 = 12;
const LINES: u32 = 20;

/// Where AWS puts the log files of that day.
const FOLDER: &str = "AWSLogs/123456789012/elasticloadbalancing/us-east-2/2026/11/20";

/// What S3 encodes in some of its messages, and in others not.
const ODD_FOLDER: &str = "copied by hand/50% of 1+1, \u{e9}t\u{e9} & more";

/// What a load balancer writes to see whether it may.
const TEST_OBJECT: &str = "AWSLogs/123456789012/ELBAccessLogTestFile";

/// How long a way may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

const TABLES: &str = "s3://tables/t";
const TOKEN: &str = "a-token-for-tests";

/// Two buckets, log files for one of them, and a way from it.
struct Scene {
    s3: Ministack,
    place: Workplace,
    logs: MadeLogs,
    runtime: Runtime,
    /// The stations of the way, as `tests/pipeline.py` names them.
    way: &'static [&'static str],
}

impl Scene {
    fn new(way: &'static [&'static str]) -> Self {
        let place = Workplace::new();
        MadeLogs::write_rollups(&place);
        Self {
            s3: Ministack::start(&["logs", "tables"]),
            place,
            logs: MadeLogs::new(LOG_FILES, LINES),
            runtime: Runtime::new().unwrap(),
            way,
        }
    }

    fn goes_by(&self, station: &str) -> bool {
        self.way.contains(&station)
    }

    /// `tests/pipeline.py`. Returns what it prints.
    fn pipeline(&self, args: &[&str]) -> Value {
        let mut command = Command::new(&*PYTHON);
        command.arg(project().join("tests/pipeline.py")).args(args);
        let printed = succeed(at_endpoint(&mut command, &self.s3.endpoint()));
        serde_json::from_str(&printed).unwrap()
    }

    /// Starts a worker, which listens for HTTP and, if there is one, to a queue.
    fn serve(&self, queue_url: Option<&str>) -> Worker {
        let rollups = self.place.path("rollups");
        let mut command = logmill(["serve", "--rollups", &rollups, "--tables", TABLES]);
        command.args(["--allow", "s3://logs", "--listen", "127.0.0.1:0"]);
        command.args(["--commit-interval", "2"]);
        if let Some(url) = queue_url {
            command.args(["--queue-url", url]);
        }
        command.env("DISPATCH_TOKEN", TOKEN);
        Worker::start(at_endpoint(&mut command, &self.s3.endpoint()))
    }

    /// Makes the way. Returns the URL of the queue, if it ends with one; otherwise it ends with this worker.
    fn build(&self, worker: Option<&Worker>) -> Option<String> {
        let mut args = [&["build"], self.way].concat();
        if self.goes_by("lambda") {
            args.extend(["--bootstrap", BOOTSTRAP.to_str().unwrap()]);
        }
        let url = worker.map(Worker::url).unwrap_or_default();
        if worker.is_some() {
            args.extend(["--dispatch-url", &url, "--dispatch-token", TOKEN]);
        }
        self.pipeline(&args)["queue_url"]
            .as_str()
            .map(str::to_owned)
    }

    /// Makes the way, and starts a worker at its end.
    fn build_to_worker(&self) -> Worker {
        if self.goes_by("sqs") {
            return self.serve(self.build(None).as_deref());
        }
        let worker = self.serve(None);
        self.build(Some(&worker));
        worker
    }

    fn put(&self, key: &str, bytes: Vec<u8>) {
        let key = Path::parse(key).unwrap();
        let bucket = self.s3.bucket("logs");
        let put = bucket.put(&key, bytes.into());
        self.runtime.block_on(put).unwrap();
    }

    /// Puts the log files, every other one compressed, one of them twice, and what is no log.
    fn put_logs(&self) {
        self.put(TEST_OBJECT, b"Enable AccessLog for ELB".to_vec());
        for (number, (name, text)) in self.logs.files.iter().enumerate() {
            let folder = if number == 0 { ODD_FOLDER } else { FOLDER };
            let (key, bytes) = match number % 2 {
                0 => (format!("{folder}/{name}.gz"), gzip(text)),
                _ => (format!("{folder}/{name}"), text.clone().into_bytes()),
            };
            self.put(&key, bytes.clone());
            if number == 1 {
                self.put(&key, bytes);
            }
        }
    }

    /// How often the function is invoked when the log files are put: for each of them, one again, what is no log, and
    /// what S3 tries out its notifications with. It doesn't try out functions and EventBridge.
    fn invocations(&self) -> usize {
        match (self.goes_by("lambda"), self.goes_by("sns")) {
            (false, _) => 0,
            (true, told_by_topic) => LOG_FILES as usize + 2 + usize::from(told_by_topic),
        }
    }

    fn look(&self) -> OnTheWay {
        serde_json::from_value(self.pipeline(&["look"])).unwrap()
    }

    fn query(&self, sql: &str) -> Vec<String> {
        let mut command = query_command(TABLES, sql);
        rows(at_endpoint(&mut command, &self.s3.endpoint()))
    }

    /// How many log files are in both tables. There may be no table yet.
    fn counted(&self) -> usize {
        let mut command = query_command(TABLES, "SELECT count(*) FROM log_files");
        let output = at_endpoint(&mut command, &self.s3.endpoint()).output();
        let printed = String::from_utf8(output.unwrap().stdout).unwrap();
        let rows = printed.lines().nth(1);
        rows.map_or(0, |rows| rows.parse::<usize>().unwrap() / 2)
    }

    /// Waits until the way is so, or can no longer be expected to be. Returns how it is.
    fn wait_until(&self, is_so: impl Fn(&OnTheWay) -> bool) -> OnTheWay {
        let begin = Instant::now();
        loop {
            let look = self.look();
            if is_so(&look) || begin.elapsed() > PATIENCE {
                return look;
            }
            thread::sleep(Duration::from_millis(200));
        }
    }
}

/// What `tests/pipeline.py look` sees.
#[derive(Debug, serde::Deserialize)]
struct OnTheWay {
    /// Messages, by queue.
    messages: BTreeMap<String, usize>,
    /// The function's log.
    function: Vec<Value>,
}

impl OnTheWay {
    fn left(&self) -> usize {
        self.messages.values().sum()
    }

    /// The sum of this field over all invocations.
    fn sum(&self, field: &str) -> u64 {
        let lines = self.function.iter();
        lines.filter_map(|line| line[field].as_u64()).sum()
    }
}

/// Fails unless all log files that are put into the bucket are counted exactly, each once, and leave nothing behind.
fn brings_log_files_to_the_tables(way: &'static [&'static str]) {
    let scene = Scene::new(way);
    let worker = scene.build_to_worker();
    let begin = Instant::now();
    scene.put_logs();
    scene.wait_until(|look| {
        let arrived = look.left() == 0 && look.function.len() >= scene.invocations();
        arrived && scene.counted() >= LOG_FILES as usize
    });
    println!("{:.1?} from the bucket to the tables", begin.elapsed());
    let said = worker.end().join("\n");
    println!("{said}");

    scene.logs.check(|sql| scene.query(sql));
    let odd = "SELECT DISTINCT log_file FROM log_files WHERE log_file LIKE '%copied%'";
    let name = &scene.logs.files[0].0;
    let uri = format!("s3://logs/{ODD_FOLDER}/{name}.gz");
    // As a field of CSV, since there is a comma in it.
    assert_eq!(scene.query(odd), [format!("\"{uri}\"")]);
    assert!(!said.contains("\"ERROR\""), "{said}");
    // A worker that ends gives back what it has in hand, so this is the time to look.
    let look = scene.look();
    assert_eq!(look.left(), 0, "{look:#?}");
    assert_eq!(look.function.len(), scene.invocations(), "{look:#?}");
    if scene.goes_by("lambda") {
        assert_eq!(look.sum("sent"), u64::from(LOG_FILES) + 1, "{look:#?}");
        assert_eq!(look.sum("left_out.test_object"), 1, "{look:#?}");
        let test_events = u64::from(scene.goes_by("sns"));
        assert_eq!(look.sum("left_out.test_event"), test_events, "{look:#?}");
    }
}

#[test]
fn a_function_sends_a_message_for_each_log_file() {
    let scene = Scene::new(&["s3", "lambda", "sqs"]);
    scene.build(None);
    scene.put_logs();
    let look = scene.wait_until(|look| look.function.len() >= scene.invocations());
    // One of them was put twice.
    let sent = LOG_FILES as usize + 1;
    assert_eq!(
        (look.left(), look.messages["log-files"]),
        (sent, sent),
        "{look:#?}"
    );
}

#[test]
fn a_function_tells_the_queue() {
    brings_log_files_to_the_tables(&["s3", "lambda", "sqs"]);
}

#[test]
fn a_function_tells_the_worker() {
    brings_log_files_to_the_tables(&["s3", "lambda"]);
}

#[test]
fn s3_tells_the_queue() {
    brings_log_files_to_the_tables(&["s3", "sqs"]);
}

#[test]
fn a_topic_tells_the_queue() {
    brings_log_files_to_the_tables(&["s3", "sns", "sqs"]);
}

#[test]
fn a_topic_tells_the_queue_without_its_envelope() {
    brings_log_files_to_the_tables(&["s3", "sns-raw", "sqs"]);
}

#[test]
fn a_topic_tells_a_function() {
    brings_log_files_to_the_tables(&["s3", "sns", "lambda", "sqs"]);
}

#[test]
fn an_event_bus_tells_the_queue() {
    brings_log_files_to_the_tables(&["s3", "eventbridge", "sqs"]);
}

#[test]
fn an_event_bus_tells_a_function() {
    brings_log_files_to_the_tables(&["s3", "eventbridge", "lambda", "sqs"]);
}
