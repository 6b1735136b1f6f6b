//! A bucket or folder with logs of every kind and shape, and other things: what counts, what is skipped, and what is said of it.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use object_store::ObjectStoreExt;
use object_store::path::Path as S3Path;
use tokio::runtime::Runtime;

use crate::support::ministack::{Ministack, at_endpoint};
use crate::support::queues::Queues;
use crate::support::worker::Worker;
use crate::support::{Workplace, fail, gzip, logmill, query_command, rows, succeed};

/// One of everything, as `key, content`.
pub fn one_of_everything() -> Vec<(String, Vec<u8>)> {
    let a = "AWSLogs/123456789012/elasticloadbalancing/us-east-2/2026/11/20";
    let b = "123456789012_elasticloadbalancing_us-east-2";
    let end = "20261120T1005Z";
    let alb = "https 2026-11-20T10:00:00.000001Z app/shop/50dc6c495c0c9188 192.0.2.1:2817 10.0.0.1:80 0.001 0.020 0.000 200 200 34 366 \
               \"GET https://shop.example:443/ HTTP/1.1\" \"curl/8\" - -\n";
    let json = "{\"time\":\"2026-11-20T10:01:00.000001Z\",\"elb\":\"app/shop/50dc6c495c0c9188\",\"client_port\":\"192.0.2.1:2817\",\
                \"elb_status_code\":\"200\",\"sent_bytes\":366,\"request_line\":\"GET https://shop.example:443/ HTTP/1.1\"}\n";
    let w3c = "#Version: 1.0\n#Fields: time elb elb_status_code sent_bytes\n\
               2026-11-20T10:02:00.000001Z\tapp/shop/50dc6c495c0c9188\t200\t366\n";
    let plain = "2026-11-20T10:03:00.000001Z,app/shop/50dc6c495c0c9188,404,300\n";
    let classic = "2026-11-20T10:00:00.000001Z legacy 192.0.2.1:2817 10.0.0.1:80 0.000073 0.001048 0.000057 200 200 0 29 \
                   \"GET http://shop.example:80/ HTTP/1.1\" \"curl/8\" - -\n";
    let connection = "2026-11-20T10:00:00.000001Z 192.0.2.1 2817 443 TLSv1.3 TLS_AES_128_GCM_SHA256 0.043 \"-\" - - Success TID_1\n";
    let health = "http 2026-11-20T10:00:00.000001Z 0.019584011 10.0.0.1:80 web PASS 200 -\n";
    let network = "tls 2.0 2026-11-20T10:00:00 net/edge/c6e77e28c25b2234 g3d4 192.0.2.1:2817 10.0.0.1:443 5 2 98 246 - arn:aws:acm:1 - \
                   ECDHE-RSA-AES128-SHA tlsv12 - edge.example - - - 2026-11-20T09:59:59\n";
    let text = |name: &str, text: &str| (format!("{a}/{name}"), gzip(text));
    vec![
        text(&format!("{b}_app.shop.50dc6c495c0c9188_{end}_10.0.1.7_r.log.gz"), alb),
        text("delivered.json.gz", json),
        text("delivered.w3c.gz", w3c),
        text("delivered.csv.gz", plain),
        text(&format!("conn_log_{b}_app.shop.50dc6c495c0c9188_{end}_10.0.1.7_r.log.gz"), connection),
        text(&format!("health_check_log_{b}_app.shop.50dc6c495c0c9188_{end}_10.0.1.7_r.log.gz"), health),
        text(&format!("{b}_net.edge.c6e77e28c25b2234_{end}_r.log.gz"), network),
        (format!("{a}/{b}_legacy_{end}_192.0.2.44_r.log"), classic.into()),
        (format!("{a}/delivered.parquet"), parquet()),
        ("AWSLogs/123456789012/ELBAccessLogTestFile".to_owned(), b"Enable AccessLogs".to_vec()),
        (
            "AWSLogs/123456789012/CloudTrail/us-east-2/2026/11/20/123456789012_CloudTrail_us-east-2_20261120T1005Z_r.json.gz".to_owned(),
            gzip("{\"Records\":[]}"),
        ),
        ("inventory/logs/all/manifest.json".to_owned(), b"{}".to_vec()),
        ("athena/0f1e2d3c-aaaa-bbbb-cccc-0123456789ab.csv".to_owned(), b"\"a\"\n\"1\"\n".to_vec()),
        ("readme.txt".to_owned(), b"# a readme\n".to_vec()),
    ]
}

fn parquet() -> Vec<u8> {
    use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;
    use std::sync::Arc;
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
    let status: ArrayRef = Arc::new(Int32Array::from(vec![503]));
    let columns = [
        ("time", text("2026-11-20T10:04:00.000001Z")),
        ("elb", text("app/shop/50dc6c495c0c9188")),
        ("elb_status_code", status),
        ("sent_bytes", text("10")),
    ];
    let rows = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), None).unwrap();
    writer.write(&rows).unwrap();
    writer.close().unwrap();
    bytes
}

/// A rollup over each kind.
pub const ROLLUPS: [(&str, &str); 5] = [
    (
        "requests",
        "SELECT elb, elb_status_code, count(*) AS requests, sum(sent_bytes) AS sent_bytes FROM alb_access_logs GROUP BY 1, 2",
    ),
    (
        "legacy",
        "SELECT elb_name, count(*) AS requests FROM elb_logs GROUP BY 1",
    ),
    (
        "connections",
        "SELECT tls_verify_status, count(*) AS connections FROM alb_connection_logs GROUP BY 1",
    ),
    (
        "checks",
        "SELECT target_group_id, status, count(*) AS checks, max(latency) AS slowest FROM alb_health_check_logs GROUP BY 1, 2",
    ),
    (
        "tls",
        "SELECT elb, tls_protocol_version, sum(sent_bytes) AS sent_bytes FROM nlb_tls_logs GROUP BY 1, 2",
    ),
];

/// What these rollups say of one of everything.
pub fn check(query: impl Fn(&str) -> Vec<String>) {
    let shop = "app/shop/50dc6c495c0c9188";
    assert_eq!(
        query(
            "SELECT elb, elb_status_code, sum(requests) AS n, sum(sent_bytes) AS b FROM requests GROUP BY 1, 2 ORDER BY 2"
        ),
        [
            format!("{shop},200,3,1098"),
            format!("{shop},404,1,300"),
            format!("{shop},503,1,10")
        ]
    );
    assert_eq!(query("SELECT elb_name, requests FROM legacy"), ["legacy,1"]);
    assert_eq!(query("SELECT * FROM connections"), ["Success,1"]);
    assert_eq!(query("SELECT * FROM checks"), ["web,PASS,1,0.019584011"]);
    assert_eq!(
        query("SELECT * FROM tls"),
        ["net/edge/c6e77e28c25b2234,tlsv12,246"]
    );
}

fn with_everything() -> Workplace {
    let place = Workplace::new();
    for (key, content) in one_of_everything() {
        let path = place.path(&format!("logs/{key}"));
        fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    place
}

/// The part of the output that says what there is.
fn kinds(output: &str, place: &Workplace) -> String {
    let lines = output.lines().take_while(|line| !line.starts_with("text "));
    let lines = lines.map(|line| {
        line.replace(&place.path("logs"), "LOGS")
            .trim_end()
            .to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn one_of_everything_is_counted_or_named() {
    let place = with_everything();
    for (name, sql) in ROLLUPS {
        place.rollup(name, sql);
    }
    // Without a rule, a plain log is not known.
    let first = place.run();
    fs::write(place.path("rollups/plain.txt"), PLAIN).unwrap();
    let second = place.run();
    check(|sql| place.query(sql));
    let arguments = [
        "verify",
        "--logs",
        &place.path("logs"),
        "--tables",
        &place.path("tables"),
        "--rollups",
        &place.path("rollups"),
        "--from",
        "2026-11-20",
        "--to",
        "2100-01-01",
    ];
    let verified = logmill(arguments).output().unwrap();
    let code = verified.status.code();
    let verified = String::from_utf8(verified.stdout).unwrap();
    assert_eq!(code, Some(3), "the readme is unrecognised: {verified}");
    let said = [
        kinds(&first, &place),
        kinds(&second, &place),
        kinds(&verified, &place),
    ];
    insta::assert_snapshot!("one_of_everything", said.join("\n\n"));
}

#[test]
fn kinds_that_no_rollup_reads_are_named() {
    let place = with_everything();
    place.rollup(ROLLUPS[4].0, ROLLUPS[4].1);
    let said = place.run();
    insta::assert_snapshot!("kinds_not_read", kinds(&said, &place));
}

#[test]
fn a_rollup_groups_by_what_the_path_says() {
    let place = with_everything();
    place.rollup("by_path", "SELECT account, region, balancer, count(*) AS n FROM alb_access_logs GROUP BY account, region, balancer");
    place.run();
    let said = place
        .query("SELECT account, region, balancer, n FROM by_path ORDER BY balancer NULLS FIRST");
    assert_eq!(
        said,
        [
            "123456789012,us-east-2,,3",
            "123456789012,us-east-2,app/shop/50dc6c495c0c9188,1"
        ]
    );
    let logs = place.path("logs");
    let sql = "SELECT balancer, day, count(*) AS n FROM nlb_tls_logs WHERE region = 'us-east-2' GROUP BY 1, 2";
    let said = rows(&mut logmill([
        "query", "--logs", &logs, "--format", "csv", sql,
    ]));
    assert_eq!(said, ["net/edge/c6e77e28c25b2234,2026/11/20,1"]);
}

#[test]
fn a_log_without_the_time_has_null_times() {
    let place = Workplace::new();
    place.log(
        "without.json",
        "{\"elb\":\"app/a/1\",\"elb_status_code\":200}\n",
    );
    let with = "{\"elb\":\"app/a/1\",\"elb_status_code\":500,\"time\":\"2026-11-20T10:00:00Z\"}\n";
    let null = "{\"elb\":\"app/a/1\",\"elb_status_code\":503,\"time\":null}\n";
    place.log("with.json", &format!("{with}{null}"));
    let sql = "SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, elb_status_code, count(*) AS n FROM alb_access_logs GROUP BY 1, 2";
    place.rollup("by_hour", sql);
    place.rollup(
        "by_status",
        "SELECT elb_status_code, count(*) AS n FROM alb_access_logs GROUP BY 1",
    );
    place.run();
    let by_hour = place.query("SELECT hour, elb_status_code, n, date FROM by_hour ORDER BY 2");
    assert_eq!(
        by_hour,
        [",200,1,", "2026-11-20T10:00:00Z,500,1,2026-11-20"]
    );
    assert_eq!(
        place.query("SELECT * FROM by_status ORDER BY 1"),
        ["200,1", "500,1"]
    );
    let rejected = place.query("SELECT line_number, reason FROM rejected_lines");
    assert_eq!(rejected, ["2,the field time is no timestamp"]);
}

#[test]
fn a_sample_says_what_kinds_it_has() {
    let place = with_everything();
    place.rollup(ROLLUPS[3].0, ROLLUPS[3].1);
    let checked = succeed(&mut logmill([
        "check",
        &place.path("rollups"),
        "--sample",
        &place.path("logs"),
    ]));
    assert!(
        checked.contains("sample: 1 log files, 1 lines"),
        "{checked}"
    );
    assert!(
        checked.contains("not read: 1 of alb_connection_logs\n"),
        "{checked}"
    );
    assert!(checked.contains("unrecognised: file:///"), "{checked}");
}

const PLAIN: &str = "*.csv.gz alb_access_logs comma time elb elb_status_code sent_bytes\n";
const PATIENCE: Duration = Duration::from_secs(60);

/// Each kind and shape, announced by SQS, and listed in S3: a Parquet file is read by ranges there.
#[test]
fn each_kind_and_shape_is_counted_from_s3() {
    let place = Workplace::new();
    for (name, sql) in ROLLUPS {
        place.rollup(name, sql);
    }
    fs::write(place.path("rollups/plain.txt"), PLAIN).unwrap();
    let aws = Ministack::start(&["logs", "tables"]);
    let runtime = Runtime::new().unwrap();
    let mut keys = Vec::new();
    for (key, content) in one_of_everything() {
        let put = async {
            aws.bucket("logs")
                .put(&S3Path::from(key.as_str()), content.into())
                .await
        };
        runtime.block_on(put).unwrap();
        keys.push(key);
    }
    let query = |tables: &str, sql: &str| {
        rows(at_endpoint(
            &mut query_command(tables, sql),
            &aws.endpoint(),
        ))
    };
    let rollups = place.path("rollups");

    let queues = Queues::new(&aws, 3);
    let served = "s3://tables/served";
    let mut serve = logmill([
        "serve",
        "--rollups",
        &rollups,
        "--tables",
        served,
        "--allow",
        "s3://logs",
    ]);
    serve.args([
        "--queue-url",
        &queues.work,
        "--listen",
        "127.0.0.1:0",
        "--commit-interval",
        "1",
    ]);
    let worker = Worker::start(at_endpoint(
        serve.env("DISPATCH_TOKEN", "a-token-for-tests"),
        &aws.endpoint(),
    ));
    queues.announce(&keys);
    queues.wait_for(PATIENCE, "empty", |depth| depth.visible + depth.hidden == 0);
    let begin = Instant::now();
    while query(served, "SELECT count(*) FROM log_files") != ["9"] {
        assert!(begin.elapsed() < PATIENCE, "not all is counted");
        thread::sleep(Duration::from_millis(200));
    }
    check(|sql| query(served, sql));
    for kind in [
        "alb_access_logs",
        "alb_access_logs, JSON",
        "alb_access_logs, Parquet",
        "alb_access_logs, W3C",
        "alb_access_logs, plain",
        "nlb_tls_logs",
        "CloudTrail log",
        "S3 inventory",
        "Athena query result",
    ] {
        let metric = format!("logmill_log_file_kinds_total{{kind=\"{kind}\"}}");
        assert!(worker.metric(&metric) >= 1.0, "{kind}");
    }
    worker.end();

    let ran = "s3://tables/ran";
    let mut run = logmill(["run", "s3://logs", "--rollups", &rollups, "--tables", ran]);
    let said = succeed(at_endpoint(&mut run, &aws.endpoint()));
    assert!(said.contains("log files  9 counted"), "{said}");
    check(|sql| query(ran, sql));
}

#[test]
fn a_file_of_which_no_line_can_be_read_fails() {
    let place = Workplace::new();
    place.rollup("requests", ROLLUPS[0].1);
    let header = "#Fields: time elb elb_status_code\n";
    let line = |delimiter: &str| ["2026-11-20T10:00:00Z", "app/a/1", "200"].join(delimiter) + "\n";
    place.log("dollar.w3c", &format!("{header}{}", line("$").repeat(2)));
    place.log("late.w3c", &format!("{header}no line\n{}", line("\t")));
    let no_time = "{\"time\":\"yesterday\",\"elb\":\"app/a/1\",\"elb_status_code\":200}\n";
    place.log("times.json", no_time);
    place.log("none.w3c", header);
    let printed = fail(&mut place.run_command(), 3);
    for says in [
        "log files  2 counted",
        "dollar.w3c: no line can be read as one of alb_access_logs in the shape W3C; the first one: too few fields: 1 where a log line has at least 3",
        "times.json: no line can be read as one of alb_access_logs in the shape JSON; the first one: the field time is no timestamp",
        "lines      2, of which 1 rejected",
    ] {
        assert!(printed.contains(says), "{says}\n{printed}");
    }
    assert_eq!(
        place.query("SELECT elb_status_code, requests FROM requests"),
        ["200,1"]
    );
}

#[test]
fn a_rule_is_for_files_that_do_not_say_what_they_are() {
    let place = Workplace::new();
    place.rollup("requests", ROLLUPS[0].1);
    for (key, content) in one_of_everything() {
        let name = key.rsplit('/').next().unwrap();
        fs::write(place.path(&format!("logs/{name}")), content).unwrap();
    }
    place.log(
        "few.json",
        "{\"time\":\"2026-11-20T10:05:00Z\",\"elb\":\"app/few/1\"}\n",
    );
    let rule = "** alb_access_logs comma time elb elb_status_code sent_bytes\n";
    fs::write(place.path("rollups/plain.txt"), rule).unwrap();
    let printed = fail(&mut place.run_command(), 3);
    let says = "readme.txt: no line can be read as one of alb_access_logs in the shape plain; the first one: too few fields: 1 where a log line has at least 4";
    assert!(printed.contains(says), "{printed}");
    let shop = "app/shop/50dc6c495c0c9188";
    assert_eq!(
        place.query("SELECT elb, elb_status_code, requests FROM requests ORDER BY 1, 2"),
        [
            "app/few/1,,1".to_owned(),
            format!("{shop},200,3"),
            format!("{shop},404,1"),
            format!("{shop},503,1")
        ]
    );
}

/// What begins a file may be a visitor's.
#[test]
fn a_value_that_begins_a_file_does_not_decide_what_the_file_is() {
    let place = Workplace::new();
    place.rollup(
        "agents",
        "SELECT user_agent, count(*) AS n FROM alb_access_logs GROUP BY 1",
    );
    let line = |agent: &str| format!("{agent}\t2026-11-20T10:00:00Z\tapp/a/1\t200\n");
    let rule = "*.tsv alb_access_logs tab user_agent time elb elb_status_code\n";
    fs::write(place.path("rollups/plain.txt"), rule).unwrap();
    for (number, agent) in ["PAR1", "{", "#Fields: elb", "<html>"]
        .into_iter()
        .enumerate()
    {
        place.log(
            &format!("{number}.tsv"),
            &format!("{}{}", line(agent), line("curl")),
        );
        let header = "#Fields: user_agent\ttime\telb\telb_status_code\n";
        place.log(
            &format!("{number}.w3c"),
            &format!("{header}{}{}", line(agent), line("curl")),
        );
    }
    place.run();
    let counted = place.query("SELECT * FROM agents ORDER BY 1");
    assert_eq!(
        counted,
        ["#Fields: elb,2", "<html>,2", "PAR1,2", "curl,8", "{,2"]
    );
}
