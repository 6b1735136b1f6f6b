//! Alerts on data: rows of final hours are told once, by `run` and by a worker, to a webhook that fails, hangs or is not reached.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, DurationRound, TimeDelta, Timelike, Utc};
use logmill_shared::LogFile;
use logmill_shared::notification;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::Value;

use crate::support::ministack::{Ministack, at_endpoint};
use crate::support::worker::Worker;
use crate::support::{Workplace, alb_line, alb_name, fail, logmill, succeed};

const PATIENCE: Duration = Duration::from_secs(120);

const TABLES: &str = "s3://tables/t";
const TOKEN: &str = "a-token-for-tests";

/// Requests by hour and URL.
const ROLLUP: &str = "SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, request_url AS url, count(*) AS requests,
       count_if(elb_status_code >= 500) AS errors
FROM alb_access_logs GROUP BY 1, 2";

const ERRORS: &str = "-- Any error.
SELECT hour, url, errors FROM traffic WHERE errors > 0 ORDER BY hour, url";

/// The start of an hour that has ended so many hours ago.
fn hours_ago(hours: i64) -> DateTime<Utc> {
    let now: DateTime<Utc> = SystemTime::now().into();
    now.duration_trunc(TimeDelta::hours(1)).unwrap() - TimeDelta::hours(hours)
}

/// A log file of an hour: its name, and a line for each of these, a status and a URL.
fn log_file(hour: DateTime<Utc>, node: u32, lines: &[(u32, &str)]) -> (String, String) {
    let lines = lines.iter().map(|(status, url)| {
        let line = alb_line(hour.hour(), 7, "192.0.2.1", *status, url);
        line.replace("2026-11-20T", &hour.format("%Y-%m-%dT").to_string())
    });
    let name = alb_name(hour.hour(), 5, node);
    let name = name.replace("20261120T", &hour.format("%Y%m%dT").to_string());
    (name, lines.collect())
}

/// The end of the last hour that is final if these log files are counted: two nodes deliver until two hours ago.
const FINAL: i64 = 3;

/// A workplace with log files that make hours final. The hour of the last one is not final, and has an error.
fn workplace() -> Workplace {
    let place = Workplace::new();
    log(
        &place,
        log_file(hours_ago(FINAL - 1), 9, &[(502, "https://early/")]),
    );
    place.rollup("traffic", ROLLUP);
    fs::create_dir(place.path("rollups/alerts")).unwrap();
    alert(&place, "errors", ERRORS);
    place
}

fn alert(place: &Workplace, name: &str, sql: &str) {
    fs::write(place.path(&format!("rollups/alerts/{name}.sql")), sql).unwrap();
}

fn log(place: &Workplace, (name, text): (String, String)) {
    place.log(&name, &text);
}

/// What the alert `errors` has told, as it is stored.
fn state(place: &Workplace) -> Value {
    let text = fs::read(place.path("tables/traffic/_alerts/errors.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

/// Lets the next run find another hour final.
fn set_back(place: &Workplace) {
    let mut state = state(place);
    let until: DateTime<Utc> = state["until"].as_str().unwrap().parse().unwrap();
    state["until"] = (until - TimeDelta::hours(1)).to_rfc3339().into();
    fs::write(
        place.path("tables/traffic/_alerts/errors.json"),
        state.to_string(),
    )
    .unwrap();
}

/// What a webhook does with a request.
#[derive(Clone, Copy)]
enum Answer {
    Status(u16),
    Hang,
}

/// A webhook that gives these answers one after the other, and the last one from then on.
struct Hook {
    url: String,
    requests: Receiver<(String, Value)>,
}

impl Hook {
    fn start(answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/secret-path", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::channel();
        let answers = answers.to_vec();
        thread::spawn(move || {
            let mut held = Vec::new();
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.unwrap();
                let Some(request) = received(&stream) else {
                    continue;
                };
                if sender.send(request).is_err() {
                    return;
                }
                match answers[number.min(answers.len() - 1)] {
                    Answer::Hang => held.push(stream),
                    Answer::Status(status) => {
                        let head = format!("HTTP/1.1 {status} x\r\n");
                        let rest = "Content-Length: 0\r\nConnection: close\r\n\r\n";
                        let _ = stream.write_all((head + rest).as_bytes());
                    }
                }
            }
        });
        Self { url, requests }
    }

    /// The head and the body of the next request.
    fn next(&self) -> (String, Value) {
        self.requests.recv_timeout(PATIENCE).unwrap()
    }

    /// The requests that have come.
    fn ids(&self) -> Vec<String> {
        let requests = self.requests.try_iter();
        requests.map(|(_, body)| id(&body)).collect()
    }
}

fn id(body: &Value) -> String {
    body["id"].as_str().unwrap().to_owned()
}

fn received(stream: &TcpStream) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line.trim().is_empty() {
            break;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, serde_json::from_slice(&body).ok()?))
}

#[test]
fn each_row_of_a_final_hour_is_told_once() {
    let place = workplace();
    let hostile = format!("https://a/?<script>'\u{202e}{}", "x".repeat(6000));
    log(
        &place,
        log_file(
            hours_ago(6),
            1,
            &[(502, "https://a/"), (200, "https://b/"), (502, &hostile)],
        ),
    );
    let hook = Hook::start(&[Answer::Status(200)]);
    let run = || succeed(place.run_command().env("ALERT_WEBHOOK_URL", &hook.url));

    let printed = run();
    assert!(
        printed.contains("alert      errors: 2 new rows until "),
        "{printed}"
    );
    assert!(
        !printed.contains("early") && !printed.contains('\u{202e}'),
        "{printed}"
    );
    let (_, first) = hook.next();
    assert_eq!(first["alert"], "errors");
    assert_eq!(first["table"], "traffic");
    assert_eq!(first["row"]["url"], "https://a/");
    assert_eq!(first["row"]["errors"], 1);
    assert_eq!(
        first["time"],
        hours_ago(6).format("%Y-%m-%dT%H:%M:%SZ").to_string()
    );
    let (_, second) = hook.next();
    let url = second["row"]["url"].as_str().unwrap();
    assert!(
        url.starts_with("https://a/?<script>'\u{202e}xxx") && url.ends_with("x…"),
        "{url}"
    );
    assert!(url.len() < 300, "{url}");

    // Nothing is new, in this hour and in the next.
    let told = state(&place)["told"].clone();
    assert_eq!(told.as_array().unwrap().len(), 2);
    assert!(!run().contains("new rows"));
    set_back(&place);
    assert!(run().contains("alert      errors: 0 new rows"));
    assert_eq!(hook.ids(), [""; 0]);

    // A late log file makes another row, and changes one, which is told under another id.
    log(
        &place,
        log_file(
            hours_ago(6),
            2,
            &[(502, "https://a/"), (502, "https://late/")],
        ),
    );
    run();
    set_back(&place);
    assert!(run().contains("alert      errors: 2 new rows"));
    let (_, changed) = hook.next();
    assert_eq!(changed["row"]["errors"], 2);
    assert_ne!(id(&changed), id(&first));
    assert_eq!(hook.next().1["row"]["url"], "https://late/");

    // Without what is stored, all that is there is told again, under the same ids: as after a crash before it is stored.
    fs::write(place.path("tables/traffic/_alerts/errors.json"), "cut o").unwrap();
    assert!(run().contains("alert      errors: 3 new rows"));
    assert!(hook.ids().contains(&id(&second)));
    assert_eq!(state(&place)["undelivered"], Value::Array(Vec::new()));
}

#[test]
fn a_webhook_gets_a_row_again_until_it_has_taken_it() {
    let place = workplace();
    log(
        &place,
        log_file(hours_ago(6), 1, &[(502, "https://a/"), (502, "https://b/")]),
    );
    // A killed run has told, but does not know whether the webhook has taken it.
    let hanging = Hook::start(&[Answer::Hang]);
    let mut command = place.run_command();
    let mut killed = command
        .env("ALERT_WEBHOOK_URL", &hanging.url)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (_, first) = hanging.next();
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert_eq!(state(&place)["undelivered"].as_array().unwrap().len(), 2);

    // One that refuses everything.
    let refusing = Hook::start(&[Answer::Status(500)]);
    let printed = fail(
        place.run_command().env("ALERT_WEBHOOK_URL", &refusing.url),
        3,
    );
    let says = "warning: rows of the alert errors are not delivered: the webhook: it returned 500";
    assert!(printed.contains(says), "{printed}");
    assert!(!printed.contains("secret-path"), "{printed}");
    assert_eq!(refusing.ids(), vec![id(&first); 4]);

    // One that refuses one request.
    let hook = Hook::start(&[
        Answer::Status(200),
        Answer::Status(503),
        Answer::Status(204),
    ]);
    let mut command = place.run_command();
    command.env("ALERT_WEBHOOK_URL", &hook.url);
    succeed(command.env("ALERT_WEBHOOK_TOKEN", "s3cr3t"));
    let (head, again) = hook.next();
    assert_eq!(again, first);
    assert!(head.contains("authorization: Bearer s3cr3t\r\n"), "{head}");
    assert!(
        head.contains("content-type: application/json\r\n"),
        "{head}"
    );
    let others = hook.ids();
    assert_eq!(others.len(), 2);
    assert_eq!(others[0], others[1]);
    assert_eq!(state(&place)["undelivered"], Value::Array(Vec::new()));

    let invalid = fail(place.run_command().env("ALERT_WEBHOOK_URL", "secret"), 1);
    assert!(invalid.contains("invalid ALERT_WEBHOOK_URL"), "{invalid}");
    let mut both = place.run_command();
    both.env("ALERT_WEBHOOK_URL", "https://me:s3cr3t@hooks.example/");
    let both = fail(both.env("ALERT_WEBHOOK_TOKEN", "t0ken"), 1);
    assert!(
        both.contains("give one of them") && !both.contains("s3cr3t"),
        "{both}"
    );
}

#[test]
fn alerts_are_checked_and_one_that_fails_costs_only_itself() {
    let place = workplace();
    log(&place, log_file(hours_ago(6), 1, &[(502, "https://a/")]));
    alert(
        &place,
        "by_zero",
        "SELECT hour, 1 / (errors - errors) AS x FROM traffic",
    );
    alert(
        &place,
        "many",
        "SELECT n, m FROM traffic CROSS JOIN UNNEST(split('a,b,c,d,e,a', ',')) AS a (n) CROSS JOIN UNNEST(split('a,b,c,d,e', ',')) AS b (m)",
    );
    let sound = succeed(&mut logmill(["check", &place.path("rollups")]));
    assert!(sound.contains("alert errors: of traffic\n"), "{sound}");
    assert!(
        sound.contains("  errors  bigint\n\nEach row is told once, if its hour is not more than"),
        "{sound}"
    );

    alert(&place, "misspelled", "SELECT hour FROM trafic");
    alert(&place, "column", "SELECT hours FROM traffic");
    alert(&place, "syntax", "SELECT hour\nFORM traffic");
    alert(&place, "ledger", "SELECT * FROM log_files");
    alert(&place, "constant", "SELECT 1 AS x");
    alert(&place, "writes", "DROP TABLE traffic");
    let printed = fail(&mut logmill(["check", &place.path("rollups")]), 1);
    for says in [
        "alerts/misspelled.sql: the table trafic can't be read here",
        "alerts/column.sql: there is no column hours",
        "alerts/syntax.sql: line 2, column ",
        "alerts/ledger.sql: the table log_files can't be read here",
        "alerts/constant.sql: it reads no table",
        "alerts/writes.sql: DROP is not supported",
    ] {
        assert!(printed.contains(says), "{says}\n{printed}");
    }

    let (tables, rollups) = (place.path("tables"), place.path("rollups"));
    let printed = fail(&mut place.run_command(), 3);
    assert!(
        printed.contains("warning: the alert by_zero failed: Division by zero"),
        "{printed}"
    );
    assert!(
        printed.contains("alert      errors: 1 new row until "),
        "{printed}"
    );
    assert!(
        printed.contains("alert      many: 25 new rows until "),
        "{printed}"
    );
    assert!(printed.contains("           and 5 more\n"), "{printed}");
    let look = ["alerts", "--rollups", &rollups, "--tables", &tables];
    let printed = fail(&mut logmill(look), 1);
    assert!(
        printed.contains("errors, of traffic: 1 row until "),
        "{printed}"
    );
    assert!(
        printed.contains("alert by_zero: Division by zero"),
        "{printed}"
    );
}

#[test]
fn a_worker_counts_while_the_webhook_hangs_and_the_next_one_goes_on() {
    let place = workplace();
    alert(
        &place,
        "by_zero",
        "SELECT hour, 1 / (errors - errors) AS x FROM traffic",
    );
    alert(&place, "wrong", "SELECT nothing FROM traffic");
    log(&place, log_file(hours_ago(6), 1, &[(502, "https://a/")]));
    let aws = Ministack::start(&["logs", "tables"]);
    // A run without alerts makes hours final at once, and a worker waits for half an hour.
    let (alerts, later) = (place.path("rollups/alerts"), place.path("alerts"));
    fs::rename(&alerts, &later).unwrap();
    let (logs, rollups) = (place.path("logs"), place.path("rollups"));
    let mut run = logmill(["run", &logs, "--rollups", &rollups, "--tables", TABLES]);
    succeed(at_endpoint(&mut run, &aws.endpoint()));
    fs::rename(&later, &alerts).unwrap();
    let hook = Hook::start(&[Answer::Hang]);
    let serve = |hook: &Hook| {
        let rollups = place.path("rollups");
        let mut command = logmill(["serve", "--rollups", &rollups, "--tables", TABLES]);
        command.args([
            "--allow",
            "s3://logs",
            "--listen",
            "127.0.0.1:0",
            "--commit-interval",
            "1",
        ]);
        command
            .env("DISPATCH_TOKEN", TOKEN)
            .env("ALERT_WEBHOOK_URL", &hook.url);
        Worker::start(at_endpoint(&mut command, &aws.endpoint()))
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let send = |worker: &Worker, (name, text): (String, String)| {
        let key = Path::parse(&name).unwrap();
        runtime
            .block_on(aws.bucket("logs").put(&key, text.into()))
            .unwrap();
        let body = notification::message([&LogFile::in_bucket("logs", &name)]);
        let (status, answer) = worker.request("POST", "/v1/log-files", TOKEN, &body);
        assert_eq!(status, 200, "{answer}");
    };
    let counted = |worker: &Worker, log_files: f64| {
        let begin = Instant::now();
        while worker.metric("logmill_committed_log_files_total{table=\"traffic\"}") < log_files {
            assert!(begin.elapsed() < PATIENCE);
            thread::sleep(Duration::from_millis(100));
        }
    };

    let mut worker = serve(&hook);
    let raised = worker.wait_for("alert raised");
    let (_, first) = hook.next();
    assert_eq!(raised["id"], first["id"]);
    assert_eq!(raised["alert"], "errors");
    let row: Value = serde_json::from_str(raised["row"].as_str().unwrap()).unwrap();
    assert_eq!(row, first["row"]);
    assert_eq!(worker.metric("logmill_alerts_total{alert=\"errors\"}"), 1.0);
    send(&worker, log_file(hours_ago(5), 1, &[(502, "https://b/")]));
    counted(&worker, 1.0);
    assert!(worker.metric("logmill_alert_failures_total{alert=\"by_zero\"}") >= 1.0);
    assert!(worker.metric("logmill_alert_failures_total{alert=\"wrong\"}") >= 1.0);
    worker.signal("KILL");
    drop(worker);

    // Another worker takes the lease, and sends what the webhook may not have. It does not tell it anew.
    let hook = Hook::start(&[Answer::Status(200)]);
    let worker = serve(&hook);
    let (_, again) = hook.next();
    assert_eq!(again, first);
    send(&worker, log_file(hours_ago(4), 1, &[(200, "https://a/")]));
    counted(&worker, 1.0);
    let said = worker.end().join("\n");
    assert!(!said.contains("alert raised"), "{said}");
    assert!(!said.contains("secret-path"), "{said}");
}

#[test]
fn what_is_final_decides_what_is_seen() {
    let place = workplace();
    log(&place, log_file(hours_ago(30), 1, &[(502, "https://a/")]));
    log(&place, log_file(hours_ago(6), 1, &[(502, "https://a/")]));
    alert(
        &place,
        "by_day",
        "SELECT date_trunc('day', hour) AS day, sum(errors) AS errors FROM traffic WHERE hour < current_date GROUP BY 1",
    );
    alert(
        &place,
        "silence",
        "SELECT last_hour FROM (SELECT max(hour) AS last_hour FROM traffic) WHERE last_hour < now() - INTERVAL '1' HOUR",
    );
    place.run();
    let (tables, rollups) = (place.path("tables"), place.path("rollups"));
    let mut look: Command = logmill(["alerts", "--rollups", &rollups, "--tables", &tables]);
    let printed = succeed(&mut look);
    assert!(
        printed.contains("errors, of traffic: 2 rows until "),
        "{printed}"
    );
    let silent = hours_ago(6)
        .format("{\"last_hour\":\"%Y-%m-%dT%H:%M:%SZ\"}")
        .to_string();
    assert!(printed.contains(&silent), "{printed}");
    let from = hours_ago(6).format("%Y-%m-%dT%H").to_string();
    let printed = succeed(look.args(["--from", &from]));
    assert!(
        printed.contains("errors, of traffic: 1 row until "),
        "{printed}"
    );
}
