//! The status page of `logmill serve`: who may see it, what it shows of a fleet, and that its figures are those of metrics and queries.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::TryStreamExt;
use logmill_shared::{LogFile, notification};
use object_store::ObjectStore;
use object_store::path::Path;
use serde_json::Value;

use crate::serve::{PATIENCE, Scene, TABLES, TOKEN};
use crate::support::ministack::at_endpoint;
use crate::support::worker::Worker;
use crate::support::{gzip, logmill, succeed};

/// Asks a worker. Returns the status, the head and the body of the answer.
fn get(worker: &Worker, path: &str, authorization: &str) -> (u16, String, String) {
    request(worker, "GET", path, authorization)
}

fn request(
    worker: &Worker,
    method: &str,
    path: &str,
    authorization: &str,
) -> (u16, String, String) {
    let mut stream = TcpStream::connect(worker.address()).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: worker\r\nConnection: close\r\nContent-Length: 0\r\n\
         Authorization: {authorization}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

fn basic(user: &str, password: &str) -> String {
    format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("{user}:{password}"))
    )
}

fn status(worker: &Worker) -> Value {
    let (status, _, body) = get(worker, "/v1/status", &format!("Bearer {TOKEN}"));
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// The names of the workers' reports.
fn reports(scene: &Scene) -> Vec<String> {
    let tables = scene.aws.bucket("tables");
    let listed = tables.list(Some(&Path::from("t/_workers"))).try_collect();
    let listed: Vec<object_store::ObjectMeta> = scene.runtime.block_on(listed).unwrap();
    let names = listed.into_iter().map(|object| object.location.to_string());
    names.collect()
}

fn wait_for_reports(scene: &Scene, number: usize) {
    let begin = Instant::now();
    while reports(scene).len() != number {
        assert!(begin.elapsed() < PATIENCE, "{:?}", reports(scene));
        thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn the_page_shows_what_metrics_and_queries_say() {
    let scene = Scene::new(6);
    let (name, text) = &scene.logs.files[0];
    let cut_off = format!("<script>alert(1)</script>/{name}.cut.gz");
    scene.put(&cut_off, gzip(text)[..60].to_vec());
    scene.put("notes.txt", b"no log at all\n".to_vec());
    scene.queues.announce(&scene.keys);
    scene
        .queues
        .announce(&[cut_off.clone(), "notes.txt".to_owned()]);
    let worker = scene.serve(&["--queue-url", &scene.queues.work]);
    scene.wait_until_counted(6);
    let begin = Instant::now();
    while scene.queues.depth(&scene.queues.dead).visible == 0 {
        assert!(begin.elapsed() < PATIENCE, "no dead letter");
        thread::sleep(Duration::from_millis(200));
    }

    let shown = status(&worker);
    let metric = |name: &str| worker.metric(&format!("logmill_{name} ")) as u64;
    let totals = &shown["totals"];
    assert_eq!(totals["lines"], metric("lines_total"));
    assert_eq!(totals["bytes"], metric("log_file_bytes_total"));
    assert_eq!(totals["text_bytes"], metric("text_bytes_total"));
    for outcome in ["staged", "skipped", "unrecognised", "ignored", "failed"] {
        let name = format!("log_files_total{{outcome=\"{outcome}\"}}");
        assert_eq!(totals["log_files"][outcome], metric(&name), "{outcome}");
    }
    let unreadable = metric("failures_total{reason=\"unreadable\"}");
    assert_eq!(
        (&totals["failures"]["unreadable"], unreadable),
        (&3.into(), 3)
    );
    assert_eq!(shown["queue"]["dead"]["known"], 1);
    assert_eq!(shown["queue"]["depth"]["known"]["waiting"], 0);

    let tables = shown["tables"].as_array().unwrap();
    let names: Vec<&str> = tables
        .iter()
        .map(|table| table["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    for table in tables {
        let name = table["name"].as_str().unwrap();
        let rows = scene.query(&format!("SELECT count(*) FROM {name}"));
        assert_eq!(rows, [table["rows"].to_string()], "{name}");
        assert_eq!(
            (
                &table["staged"]["log_files"],
                &table["set_aside"]["log_files"]
            ),
            (&0.into(), &0.into())
        );
        assert_eq!(table["problem"], Value::Null);
        if name == "rejected_lines" {
            continue;
        }
        let newest = format!(
            "SELECT to_unixtime(max(last_time)) * 1000 FROM log_files WHERE \"table\" = '{name}'"
        );
        let newest: f64 = scene.query(&newest)[0].parse().unwrap();
        let line =
            chrono::DateTime::parse_from_rfc3339(table["newest_line"].as_str().unwrap()).unwrap();
        assert_eq!(line.timestamp_millis(), newest.round() as i64, "{name}");
        assert!(table["last_commit"].is_string());
    }
    let by_worker = &shown["workers"][0]["report"]["tables"];
    assert!(
        names
            .iter()
            .all(|name| by_worker[name]["has_lease"] == true),
        "{by_worker}"
    );
    let verdict = &shown["verdict"];
    assert_eq!(verdict["state"], "wrong");
    let first = verdict["problems"][0]["what"].as_str().unwrap();
    assert!(
        first.starts_with("1 message is in the dead-letter queue"),
        "{first}"
    );

    // The page says the same.
    let (code, head, html) = get(&worker, "/", &basic("anybody", TOKEN));
    assert_eq!(code, 200);
    for header in [
        "content-type: text/html; charset=utf-8",
        "cache-control: no-store",
        "content-security-policy: default-src 'none'; script-src 'sha256-",
        "referrer-policy: no-referrer",
        "x-content-type-options: nosniff",
    ] {
        assert!(head.contains(header), "{header}\n{head}");
    }
    let staged = format!(
        ">staged</bdi></th><td class=\"number\">{}<",
        totals["log_files"]["staged"]
    );
    for text in [
        first,
        &staged,
        "cut off after 60 bytes",
        "&lt;script&gt;alert(1)",
    ] {
        assert!(html.contains(text), "{text}\n{html}");
    }
    assert!(!html.contains("<script>alert"));
    assert!(!html.contains(TOKEN) && !shown.to_string().contains(TOKEN));

    // Who shows no token learns nothing.
    for authorization in ["", "Bearer other", &basic(TOKEN, ""), &basic("", "other")] {
        for path in ["/", "/v1/status"] {
            let (code, head, body) = get(&worker, path, authorization);
            assert_eq!(code, 401, "{authorization}");
            assert!(head.contains("www-authenticate: basic realm="), "{head}");
            assert!(
                !body.contains("dead-letter") && !body.contains("s3://"),
                "{body}"
            );
        }
    }
    // A browser sends a password by itself, also with requests that another site causes.
    let (code, _, _) = request(&worker, "POST", "/v1/log-files", &basic("anybody", TOKEN));
    assert_eq!(code, 401);
    let (code, _, _) = request(&worker, "POST", "/", &basic("anybody", TOKEN));
    assert_eq!(code, 405);
    worker.end();
    assert_eq!(reports(&scene), [""; 0]);
}

#[test]
fn the_page_shows_the_fleet_and_is_open_or_off_if_so_told() {
    let scene = Scene::new(2);
    let first = scene.serve(&[]);
    let body = notification::message([&LogFile::in_bucket("logs", &scene.keys[0])]);
    assert_eq!(first.request("POST", "/v1/log-files", TOKEN, &body).0, 200);
    scene.wait_until_counted(1);
    wait_for_reports(&scene, 1);
    let open = scene.serve(&["--status-page", "open"]);
    wait_for_reports(&scene, 2);
    let (code, _, body) = get(&open, "/v1/status", "");
    assert_eq!(code, 200);
    let shown: Value = serde_json::from_str(&body).unwrap();
    let workers = shown["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 2, "{workers:?}");
    assert_eq!(workers[0]["id"], shown["answered_by"]);
    assert_eq!(shown["verdict"]["unknown"], serde_json::json!([]));
    assert!(get(&open, "/", "").2.contains("Workers: 2"));

    // The folder of reports is not a table.
    let mut tables = logmill(["tables", "--tables", TABLES]);
    let tables = succeed(at_endpoint(&mut tables, &scene.aws.endpoint()));
    assert!(
        tables.contains("by_minute") && !tables.contains("_workers"),
        "{tables}"
    );
    first.end();
    assert_eq!(reports(&scene).len(), 1);
    open.end();

    let off = scene.serve(&["--status-page", "off"]);
    assert_eq!(get(&off, "/", &basic("a", TOKEN)).0, 404);
    assert_eq!(reports(&scene), [""; 0]);
    off.end();

    let queue = ["--queue-url", &scene.queues.work];
    let mut command = scene.command(&scene.aws.endpoint());
    let without_token = Worker::start(command.args(queue).env_remove("DISPATCH_TOKEN"));
    let (code, _, html) = get(&without_token, "/", &basic("a", ""));
    assert_eq!(code, 403);
    assert!(
        html.contains("DISPATCH_TOKEN") && !html.contains("s3://"),
        "{html}"
    );
    without_token.end();
}
