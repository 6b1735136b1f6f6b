//! What a visitor typed, or somebody named an object, reaches the operator's terminal as text and does nothing there.

use std::fs;
use std::process::Command;

use crate::support::{Workplace, alb_line, alb_name, fail, gzip, logmill, succeed};

/// Sets the title of the terminal's window, in seven bits and in eight; moves the cursor and rings; turns text round; hides.
const HOSTILE: &[&str] = &[
    "\u{1b}]0;owned\u{7}",
    "\u{9d}0;owned\u{9c}",
    "\u{9b}2J",
    "a\rb",
    "a\u{8}b",
    "a\tb",
    "a\nlogmill: all is well",
    "\u{7f}",
    "\u{202e}gnp.exe",
    "\u{2066}a\u{2069}",
    "\u{200f}a",
    "a\u{2028}b",
    "\u{feff}a",
];

fn hostile_text() -> String {
    HOSTILE.join("")
}

fn url(text: &str) -> String {
    let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
    format!("https://shop.example:443/?q={encoded}")
}

/// Fails if the text has a character that a terminal acts on.
fn assert_safe(text: &str) {
    for character in text.chars() {
        let is_shown = !character.is_control() || character == '\n';
        let is_format = HOSTILE.concat().contains(character) && !character.is_ascii();
        assert!(is_shown && !is_format, "{character:?} in\n{text:?}");
    }
    // A visitor's line end does not begin a line of the output.
    assert!(!text.contains("\nlogmill: all is well"), "{text}");
}

/// Runs a command on a terminal. Returns what it shows there.
fn on_a_terminal(command: &Command) -> String {
    let pty = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    let mut python = Command::new("python3");
    python
        .args(["-c", pty])
        .arg(command.get_program())
        .args(command.get_args());
    // The terminal itself makes "\r\n" of a line end.
    succeed(&mut python).replace("\r\n", "\n")
}

#[test]
fn a_query_shows_what_a_visitor_typed_as_text() {
    let place = Workplace::new();
    let sql = "SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, \
               url_extract_parameter(request_url, 'q') AS q, count(*) AS n FROM alb_access_logs GROUP BY 1, 2";
    place.rollup("searches", sql);
    let texts = HOSTILE.iter().map(|text| (*text).to_owned());
    let texts: Vec<String> = texts.chain([hostile_text(), "plain".to_owned()]).collect();
    let line = |text: &String| alb_line(10, 1, "192.0.2.1", 200, &url(text));
    place.log(
        &alb_name(10, 5, 1),
        &texts.iter().map(line).collect::<String>(),
    );
    place.run();

    let tables = place.path("tables");
    let query =
        |sql: &str, format: &str| logmill(["query", sql, "--tables", &tables, "--format", format]);
    let sql = "SELECT q, n FROM searches";
    let table = succeed(&mut query(sql, "table"));
    assert_safe(&table);
    let lines: Vec<&str> = table.lines().collect();
    // Three rules, the header, the number of rows, and each row on a line of its own.
    assert_eq!(lines.len(), texts.len() + 5, "{table}");
    let width = lines[0].chars().count();
    let rows = &lines[..lines.len() - 1];
    assert!(
        rows.iter().all(|line| line.chars().count() == width),
        "{table}"
    );

    // CSV for programs is exact. On a terminal it is safe, in each format.
    let csv = succeed(&mut query(sql, "csv"));
    assert!(HOSTILE.iter().all(|text| csv.contains(text)));
    // CSV's own line ends stay: a text with one is quoted, and has more lines than one.
    let sql = "SELECT replace(q, chr(10), '') AS q FROM searches";
    for format in ["table", "csv", "spreadsheet-csv", "json"] {
        assert_safe(&on_a_terminal(&query(sql, format)));
    }

    // The only escapes of a chart are its colours.
    assert_safe(&on_a_terminal(&query("SELECT q, n FROM searches", "chart")));
    let mut lines = on_a_terminal(&query("SELECT hour, q, n FROM searches", "chart"));
    assert!(lines.contains("\u{1b}[36m"), "{lines}");
    for colour in [0, 31, 32, 33, 34, 35, 36] {
        lines = lines.replace(&format!("\u{1b}[{colour}m"), "");
    }
    assert_safe(&lines);

    // JSON is safe and exact at once.
    let json = succeed(&mut query("SELECT q FROM searches", "json"));
    assert_safe(&json);
    let values = json.lines().map(|line| serde_json::from_str(line).unwrap());
    let mut values: Vec<String> = values
        .map(|row: serde_json::Value| row["q"].as_str().unwrap().to_owned())
        .collect();
    let mut expected = texts.clone();
    values.sort();
    expected.sort();
    assert_eq!(values, expected);

    // An error quotes the value that it is about.
    let sql = format!(
        "SELECT cast(q AS bigint) FROM searches WHERE q LIKE '{}%owned%well%'",
        HOSTILE[0]
    );
    let printed = fail(&mut query(&sql, "table"), 1);
    assert!(printed.contains("\\u{1b}]0;owned\\u{7}"), "{printed}");
    assert_safe(&printed);
}

#[test]
fn spreadsheets_get_no_formulas() {
    let place = Workplace::new();
    let sql = "SELECT time, url_extract_parameter(request_url, 'q') AS q, -sent_bytes AS n FROM alb_access_logs";
    place.rollup("searches", sql);
    let texts = [
        "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1", "1-1", "'", "",
    ];
    let line = |text: &&str| alb_line(10, 1, "192.0.2.1", 200, &url(text));
    place.log(
        &alb_name(10, 5, 1),
        &texts.iter().map(line).collect::<String>(),
    );
    place.run();
    let sql = "SELECT '|' || q AS \"|q\", q, n, n / 2.5 AS d FROM searches";
    let tables = place.path("tables");
    let query = |format: &str| {
        succeed(&mut logmill([
            "query", sql, "--tables", &tables, "--format", format,
        ]))
    };
    let rows: Vec<String> = texts
        .iter()
        .map(|text| {
            let quoted = |text: String| match text.contains('\r') {
                true => format!("\"{text}\""),
                false => text,
            };
            let safe = match text.starts_with(|first: char| "=+-@\t\r＝".contains(first)) {
                true => format!("'{text}"),
                false => (*text).to_owned(),
            };
            format!(
                "{},{},-366,-146.4\n",
                quoted(format!("|{text}")),
                quoted(safe)
            )
        })
        .collect();
    assert_eq!(
        query("spreadsheet-csv"),
        format!("|q,q,n,d\n{}", rows.concat())
    );
    assert_eq!(
        query("csv"),
        format!(
            "|q,q,n,d\n{}",
            rows.concat()
                .replace(",'=", ",=")
                .replace(",'+", ",+")
                .replace(",'-", ",-")
                .replace(",'@", ",@")
                .replace(",'\t", ",\t")
                .replace(",\"'\r", ",\"\r")
                .replace(",'＝", ",＝")
        )
    );
}

#[test]
fn log_files_names_are_shown_as_text() {
    let place = Workplace::new();
    let sql = "SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY 1";
    place.rollup("requests", sql);
    let line = alb_line(10, 1, "192.0.2.1", 200, &url("7"));
    let whole = gzip(&line);
    let hostile = alb_name(10, 5, 1).replace(".log", &(hostile_text() + ".log.gz"));
    let hostile = format!("{}/{hostile}", place.path("logs"));
    fs::write(&hostile, &whole[..whole.len() / 2]).unwrap();
    place.log(&alb_name(10, 5, 2), &line);

    let mut run = place.run_command();
    let printed = fail(run.env("LOGMILL_LOG", "logmill=debug"), 3);
    assert!(
        printed.contains("1 failed") && printed.contains("]0;owned"),
        "{printed}"
    );
    assert_safe(&printed);

    let (logs, tables) = (place.path("logs"), place.path("tables"));
    let span = [
        "--logs",
        &logs,
        "--from",
        "2026-11-20",
        "--to",
        "2026-11-21",
    ];
    for format in ["text", "json"] {
        let mut verify = logmill(["verify", "--tables", &tables, "--format", format]);
        let printed = fail(verify.args(span), 3);
        assert!(printed.contains("]0;owned"), "{printed}");
        assert_safe(&printed);
    }
    let rollup = format!("{}/requests.sql", place.path("rollups"));
    for (sample, code) in [(&logs, 0), (&hostile, 1)] {
        let printed = fail(&mut logmill(["check", &rollup, "--sample", sample]), code);
        assert!(printed.contains("]0;owned"), "{printed}");
        assert_safe(&printed);
    }
    // What is told of a place by the name that it was given.
    assert_safe(&fail(
        &mut logmill(["query", "SELECT 1", "--tables", &hostile]),
        1,
    ));
    assert_safe(&fail(&mut logmill(["maintain", "--tables", &hostile]), 1));
}
