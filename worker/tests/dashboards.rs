//! The dashboards of `infra/`: they show what a worker exports, and what is in the tables.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::ministack::{Ministack, at_endpoint};
use crate::support::python::{PYTHON, judge};
use crate::support::worker::Worker;
use crate::support::{Workplace, alb_name, logmill, project, succeed};
use logmill_shared::LogFile;
use logmill_shared::notification;
use object_store::ObjectStoreExt;
use object_store::path::Path as Key;
use tokio::runtime::Runtime;

const TOKEN: &str = "a-token-for-tests";
const PATIENCE: Duration = Duration::from_secs(60);

/// Log files of Application Load Balancers in `testdata/`.
fn log_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(log_files(&path)),
            false if path.to_str().unwrap().ends_with(".log.gz") => found.push(path),
            false => {}
        }
    }
    found
}

/// A rollup that fails on every line.
const FAILING: &str = "SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, sum(cast(user_agent AS bigint)) AS n
FROM alb_access_logs GROUP BY 1";

/// An alert, which is evaluated when the table is final up to some hour.
const ALERT: &str = "SELECT minute FROM target_health WHERE minute < TIMESTAMP '2026-01-01'";

/// What a worker answers on `/metrics`, after each metric has got a value.
fn metrics(place: &Workplace) -> String {
    let aws = Ministack::start(&["logs", "tables"]);
    for entry in fs::read_dir(project().join("rollups")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "sql") {
            let copy = Path::new(&place.path("rollups")).join(path.file_name().unwrap());
            fs::copy(path, copy).unwrap();
        }
    }
    place.rollup("failing", FAILING);
    fs::create_dir(place.path("rollups/alerts")).unwrap();
    place.rollup("alerts/none_healthy", ALERT);
    let mut command = logmill(["serve", "--rollups", &place.path("rollups")]);
    command.args(["--tables", "s3://tables/t", "--allow", "s3://logs"]);
    command.args(["--listen", "127.0.0.1:0", "--commit-interval", "1"]);
    command.env("DISPATCH_TOKEN", TOKEN);
    let worker = Worker::start(at_endpoint(&mut command, &aws.endpoint()));
    let (bucket, runtime) = (aws.bucket("logs"), Runtime::new().unwrap());
    for path in log_files(&project().join("testdata/logs")) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let key = Key::from(name.as_str());
        let put = bucket.put(&key, fs::read(&path).unwrap().into());
        runtime.block_on(put).unwrap();
        let log_file = LogFile::in_bucket("logs", &name);
        // The second time, it is left out.
        let body = notification::message([&log_file, &log_file]);
        let (status, answer) = worker.request("POST", "/v1/log-files", TOKEN, &body);
        assert_eq!(status, 200, "{answer}");
    }
    let missing = LogFile::in_bucket("logs", &alb_name(10, 5, 1));
    let body = notification::message([&missing]);
    let (status, answer) = worker.request("POST", "/v1/log-files", TOKEN, &body);
    assert_ne!(status, 200, "{answer}");
    wait_for(
        &worker,
        "logmill_committed_log_files_total{table=\"target_health\"} ",
    );
    wait_for(
        &worker,
        "logmill_alert_evaluated_timestamp_seconds{alert=\"none_healthy\"} ",
    );
    let (_, answer) = worker.request("GET", "/metrics", "", "");
    worker.end();
    answer
}

fn wait_for(worker: &Worker, metric: &str) {
    let begin = Instant::now();
    while worker.metric(metric) == 0.0 {
        assert!(begin.elapsed() < PATIENCE, "there is no {metric}");
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn grafanas_show_what_there_is() {
    let place = Workplace::new();
    let (text, tables) = (place.path("metrics.txt"), place.path("tables"));
    fs::write(&text, metrics(&place)).unwrap();
    let (logs, rollups) = (project().join("testdata/logs"), project().join("rollups"));
    let mut run = logmill(["run", logs.to_str().unwrap(), "--tables", &tables]);
    succeed(run.arg("--rollups").arg(rollups));
    judge("grafana.py", &[Path::new(&text), Path::new(&tables)]);
}

/// CloudWatch's dashboard shows metrics that the templates make, or that AWS does.
#[test]
fn cloudwatchs_shows_what_there_is() {
    let mut command = Command::new(&*PYTHON);
    command
        .arg(project().join("tests/infra.py"))
        .arg("dashboard");
    println!("{}", succeed(&mut command));
}
