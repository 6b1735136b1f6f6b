//! The texts that people read: help, errors, the output of `check` and `ddl`, and summaries.
//!
//! After a change of a text, `INSTA_UPDATE=always cargo test -p logmill --test program snapshots::` writes the files in `snapshots/`
//! anew. Read the difference before you commit it.

use std::fs;
use std::process::Command;

use crate::support::{Workplace, alb_line, alb_name, logmill, project};

const COMMANDS: [&str; 21] = [
    "run", "serve", "query", "report", "files", "tables", "status", "maintain", "verify", "replay",
    "retry", "rebuild", "rollback", "erase", "retain", "drop", "rename", "check", "alerts", "test",
    "ddl",
];

const ROLLUP: &str = "SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, target_status_code AS status,
       count(*) AS requests, sum(sent_bytes) AS sent_bytes, approx_set(client_ip) AS clients
FROM alb_access_logs
GROUP BY 1, 2";

/// What a command prints on both streams, and its exit code.
pub fn printed(command: &mut Command) -> String {
    let output = command.env("NO_COLOR", "1").output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    format!(
        "{}{}exit code {}\n",
        text(&output.stdout),
        text(&output.stderr),
        output.status.code().unwrap()
    )
}

/// Compares a text with `snapshots/<name>.snap`. What differs from run to run is replaced.
pub fn assert_snapshot(name: &str, place: Option<&Workplace>, text: &str) {
    let mut settings = insta::Settings::new();
    // Found when the test runs: clones that share a target directory share what is built.
    settings.set_snapshot_path(project().join("worker/tests/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    if let Some(place) = place {
        let folder = place.folder.path().to_str().unwrap();
        settings.add_filter(&regex::escape(folder), "FOLDER");
    }
    settings.add_filter(r#""timestamp":"[^"]*""#, r#""timestamp":"[time]""#);
    settings.add_filter(r"in \d+\.\d\d s, \d+\.\d MB/s", "in [seconds], [speed]");
    settings.add_filter(r"\d+(\.\d+)? (MiB|KiB|B)\b", "[size]");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// A workplace with three log files. One has lines that are not log lines, one is not a log file.
fn workplace() -> Workplace {
    let place = Workplace::new();
    place.rollup("by_minute", ROLLUP);
    let lines: String = (0..40)
        .map(|n| {
            let status = if n % 7 == 0 { 502 } else { 200 };
            alb_line(
                10,
                n * 3,
                &format!("192.0.2.{}", n % 9),
                status,
                "https://a/",
            )
        })
        .collect();
    place.log(&alb_name(10, 5, 1), &lines);
    place.log(&alb_name(10, 5, 2), &(lines + "not a log line\n"));
    place.log("notes.txt", "These are notes.\n");
    place
}

#[test]
fn help() {
    assert_snapshot("help", None, &printed(&mut logmill(["--help"])));
    for command in COMMANDS {
        let text = printed(&mut logmill([command, "--help"]));
        assert_snapshot(&format!("help_{command}"), None, &text);
    }
}

#[test]
fn a_view() {
    let place = workplace();
    place.rollup(
        "by_status",
        "SELECT target_status_code AS \"status code\", count(*), avg(sent_bytes) AS mean,
       round(100.0 * count(*) / sum(count(*)) OVER (), 1) AS share
FROM alb_access_logs
WHERE day = '2026/11/20' AND from_iso8601_timestamp(time) > current_timestamp - INTERVAL '100' YEAR
GROUP BY 1
HAVING count(*) > 1
ORDER BY 2 DESC
LIMIT 10;",
    );
    place.run();
    let (rollups, tables) = (place.path("rollups"), place.path("tables"));
    let cases: [&[&str]; 3] = [
        &["check", &place.path("rollups/by_status.sql")],
        &["ddl", "--rollups", &rollups, "--tables", &tables],
        &["query", "SELECT * FROM by_status", "--tables", &tables],
    ];
    let printed = cases.map(|args| {
        let printed = printed(&mut logmill(args.iter().copied()));
        format!("$ logmill {}\n{printed}\n", args.join(" "))
    });
    assert_snapshot("a_view", Some(&place), &printed.concat());
}

/// What a newcomer gets wrong.
#[test]
fn wrong_rollups() {
    let place = Workplace::new();
    let printed: Vec<String> = [
        "SELECT elb, date_trunc('hour', time) AS hour, count(*) AS n\nFROM alb_access_logs\nGROUP BY 1, 2",
        "SELECT elb, count(*) AS n\nFROM alb_access_logs\nWHERE (type = 'h2' AND n > 5\nGROUP BY elb",
        "SELECT elb, url_extract_paramater(request_url, 'e') AS event, listagg(client_ip, ',') AS clients,\n       \
         sum(DISTINCT sent_bytes) AS sent, sent_bites\nFROM alb_access_logs\nWHERE event <> 'x'\nGROUP BY 1, 2",
        "SELECT elb, client_ip, count(*) AS n\nFROM alb_access_logs\nGROUP BY elb",
        "SELECT elb, approx_percentile(target_processing_time, 99) AS p99, numeric_histogram(1, sent_bytes) AS sizes\n\
         FROM alb_access_logs\nGROUP BY elb",
        "SELECT elb, count(*) AS n\nFROM alb_access_logs\nWHERE time > now() - interval '1' day\nGROUP BY elb",
        "SELECT elb, count(*) AS n\nFROM alb_access_logs\nWHERE day = '2026-11-20'\nGROUP BY elb",
        "SELECT elb, count(*) AS n\nFROM alb_access_logs\nWHERE year = '2024' AND nothing = 1 AND nobody = 2 AND request_verb = \"GET\"\nGROUP BY elb",
        "SELECT regexp_extract(\"$path\", '_(\\d+)_', 1) AS node, count(*) AS n\nFROM alb_access_logs\nGROUP BY 1",
    ]
    .into_iter()
    .map(|sql| {
        place.rollup("wrong", sql);
        let printed = printed(&mut logmill(["check", &place.path("rollups/wrong.sql")]));
        format!("{sql}\n\n{printed}\n")
    })
    .collect();
    assert_snapshot("wrong_rollups", Some(&place), &printed.concat());
}

#[test]
fn errors() {
    let place = workplace();
    place.run();
    place.rollup(
        "wrong",
        "SELECT elb_status_code AS status,
       url_extract_paramter(request_url, 'e') AS event,
       array_agg(client_ip) AS clients
FROM alb_access_logs
WHERE status > 399 AND usr_agent <> '-'
GROUP BY 1, 2",
    );
    let (logs, rollups, tables) = (
        place.path("logs"),
        place.path("rollups"),
        place.path("tables"),
    );
    fs::create_dir(place.path("empty")).unwrap();
    fs::write(place.path("file"), "").unwrap();
    let (empty, file, wrong) = (
        place.path("empty"),
        place.path("file"),
        place.path("rollups/wrong.sql"),
    );
    let missing = place.path("missing");
    let cases: &[&[&str]] = &[
        &["run", &missing, "--rollups", &rollups, "--tables", &tables],
        &["run", &logs, "--rollups", &missing, "--tables", &tables],
        &["run", &logs, "--rollups", &empty, "--tables", &tables],
        &["run", &logs, "--rollups", &rollups, "--tables", &file],
        &["run", &logs, "--rollups", &rollups, "--tables", &logs],
        &["run", &logs, "--rollups", &rollups, "--tables", "s3://"],
        &[
            "run",
            &logs,
            "--rollups",
            &rollups,
            "--tables",
            &tables,
            "--threads",
            "0",
        ],
        &[
            "run",
            &logs,
            "--rollups",
            &rollups,
            "--tables",
            &tables,
            "--ignore",
            "[a",
        ],
        &["query", "SELECT 1", "--tables", &missing],
        &["query", "SELECT 1", "--tables", &empty],
        &["query", "SELECT * FROM nowhere", "--tables", &tables],
        &[
            "query",
            "SELECT nothing FROM by_minute",
            "--tables",
            &tables,
        ],
        &["query", "SELEKT", "--tables", &tables],
        &["query", "DROP TABLE by_minute", "--tables", &tables],
        &[
            "verify",
            "--logs",
            &logs,
            "--tables",
            &tables,
            "--from",
            "yesterday",
        ],
        &[
            "verify",
            "--logs",
            &logs,
            "--tables",
            &tables,
            "--from",
            "2026-11-21",
            "--to",
            "2026-11-20",
        ],
        &["verify", "--logs", &logs, "--tables", &tables],
        &[
            "verify",
            "--logs",
            &missing,
            "--tables",
            &tables,
            "--from",
            "2026-11-20",
        ],
        &["check", &wrong],
        &["check", &missing],
        &["ddl", "--rollups", &rollups, "--tables", &tables],
        &[
            "serve",
            "--rollups",
            &rollups,
            "--tables",
            &tables,
            "--allow",
            "s3://logs",
        ],
        &[
            "serve",
            "--rollups",
            &rollups,
            "--tables",
            &tables,
            "--allow",
            "logs",
            "--queue-url",
            "x",
        ],
        &[
            "serve",
            "--rollups",
            &rollups,
            "--tables",
            &tables,
            "--allow",
            "s3://logs",
            "--queue-url",
            "x",
        ],
        &[
            "replay",
            "--queue-url",
            "https://sqs.us-east-1.amazonaws.com/123456789012/q",
        ],
        &["maintain", "--tables", &missing],
        &["retry", "--rollups", &rollups, "--tables", &missing],
    ];
    let mut text = String::new();
    let mut others: Vec<String> = Vec::new();
    for args in cases {
        let case = printed(&mut logmill(args.iter().copied()));
        text.push_str(&format!("$ logmill {}\n{case}\n", args.join(" ")));
        if !case.ends_with("exit code 1\n")
            && !case.ends_with("exit code 2\n")
            && !case.ends_with("exit code 3\n")
        {
            others.push(args.join(" "));
        }
    }
    assert_snapshot("errors", Some(&place), &text);
    assert_eq!(others, Vec::<String>::new(), "these did not fail");
}

#[test]
fn check_and_ddl() {
    let place = workplace();
    let rollups = project().join("rollups");
    for name in ["events", "slow_pages", "target_health", "top_talkers"] {
        let file = rollups.join(format!("{name}.sql"));
        let text = printed(&mut logmill(["check", file.to_str().unwrap()]));
        assert_snapshot(&format!("check_{name}"), None, &text);
    }
    let file = place.path("rollups/by_minute.sql");
    let sample = printed(&mut logmill([
        "check",
        &file,
        "--sample",
        &place.path("logs"),
    ]));
    assert_snapshot("check_sample", Some(&place), &sample);
    let rollups = rollups.to_str().unwrap();
    let ddl = printed(&mut logmill([
        "ddl",
        "--rollups",
        rollups,
        "--tables",
        "s3://tables/logmill",
    ]));
    assert_snapshot("ddl", None, &ddl);
}

#[test]
fn summaries() {
    let place = workplace();
    let tables = place.path("tables");
    let logs = place.path("logs");
    let mut text = String::new();
    let mut run = |args: &[&str]| {
        let printed = printed(&mut logmill(args.iter().copied()));
        text.push_str(&format!("$ logmill {}\n{printed}\n", args.join(" ")));
    };
    let rollups = place.path("rollups");
    let span = ["--from", "2026-11-20", "--to", "2026-11-21"];
    let verify = [&["verify", "--logs", &logs, "--tables", &tables], &span[..]].concat();
    run(&["run", &logs, "--rollups", &rollups, "--tables", &tables]);
    run(&["run", &logs, "--rollups", &rollups, "--tables", &tables]);
    run(&verify);
    place.log(
        &alb_name(11, 5, 1),
        &alb_line(11, 1, "192.0.2.1", 200, "https://a/"),
    );
    run(&verify);
    run(&[&verify[..], &["--format", "json"]].concat());
    run(&["retry", "--rollups", &rollups, "--tables", &tables]);
    run(&["maintain", "--tables", &tables]);
    run(&[
        "query",
        "SELECT minute, status, requests, sent_bytes FROM by_minute ORDER BY 1, 2",
        "--tables",
        &tables,
    ]);
    assert_snapshot("summaries", Some(&place), &text);
}
