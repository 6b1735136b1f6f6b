//! `logmill report`: its figures are those of queries, and nothing that visitors write gets out of its place.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::made_logs::MadeLogs;
use crate::support::{Workplace, alb_line, alb_name, fail, logmill, succeed};

fn report_command(place: &Workplace, more: &[&str]) -> Command {
    let (tables, page) = (place.path("tables"), place.path("report.html"));
    let mut command = logmill(["report", "--tables", &tables, "--output", &page]);
    command.args(more);
    command
}

/// The page of a workplace's tables.
fn report(place: &Workplace, more: &[&str]) -> String {
    succeed(&mut report_command(place, more));
    fs::read_to_string(place.path("report.html")).unwrap()
}

/// The figures in a page.
fn figures(page: &str) -> Value {
    let (_, rest) = page
        .split_once("<script id=\"figures\" type=\"application/json\">")
        .unwrap();
    let (json, _) = rest.split_once("</script>").unwrap();
    serde_json::from_str(json).unwrap()
}

fn section<'f>(figures: &'f Value, table: &str) -> &'f Value {
    let tables = figures["tables"].as_array().unwrap();
    let found = tables.iter().find(|section| section["table"] == table);
    found.unwrap_or_else(|| panic!("no section of {table}"))
}

/// The figures over the whole range, as the CSV of a query has them.
fn totals(section: &Value) -> String {
    let totals = section["totals"].as_array().unwrap();
    let texts = totals.iter().map(|total| total["value"].to_string());
    texts.collect::<Vec<_>>().join(",")
}

/// The points of all series of a chart that are not 0, one line a bucket.
fn points(section: &Value, chart: usize) -> Vec<String> {
    let chart = &section["charts"][chart];
    let starts = chart["x"].as_array().unwrap().iter().enumerate();
    let lines = starts.map(|(place, start)| {
        let series = chart["series"].as_array().unwrap().iter();
        let values = series.map(|series| series["values"][place].to_string());
        (
            start.as_i64().unwrap(),
            values.collect::<Vec<_>>().join(","),
        )
    });
    let is_something = |values: &str| {
        values
            .split(',')
            .any(|value| value != "0" && value != "null")
    };
    let lines = lines.filter(|(_, values)| is_something(values));
    lines
        .map(|(start, values)| format!("{start},{values}"))
        .collect()
}

fn keys(section: &Value, key: usize) -> Vec<String> {
    let rows = section["keys"][key]["rows"].as_array().unwrap().iter();
    rows.map(|row| format!("{},{}", row["text"].as_str().unwrap_or(""), row["value"]))
        .collect()
}

const CLIENTS: &str = "cardinality(merge(cast(clients AS HyperLogLog)))";

#[test]
fn figures_are_those_of_queries() {
    let place = Workplace::new();
    let made = MadeLogs::new(24, 40);
    for (name, text) in &made.files {
        place.log(name, text);
    }
    MadeLogs::write_rollups(&place);
    place.rollup(
        "by_client",
        "SELECT client_ip, count(*) AS requests, avg(target_processing_time) AS mean, approx_percentile(target_processing_time, 0.9) AS p90 \
         FROM alb_access_logs GROUP BY 1 ORDER BY 2 DESC LIMIT 3",
    );
    place.run();
    let page = report(&place, &[]);
    let all = figures(&page);

    let by_minute = section(&all, "by_minute");
    let sums = format!("sum(requests), {CLIENTS}, cast(sum(sent_bytes__sum) AS bigint)");
    let of_all = place.query(&format!(
        "SELECT sum(requests), cast(sum(sent_bytes__sum) AS bigint), {CLIENTS} FROM by_minute"
    ));
    assert_eq!(totals(by_minute), of_all[0]);
    // Two hours and ten minutes, by the minute.
    let bucket = "cast(floor(to_unixtime(minute) / 60) * 60 AS bigint)";
    let by = |columns: &str| {
        place.query(&format!(
            "SELECT {bucket}, {columns} FROM by_minute GROUP BY 1 ORDER BY 1"
        ))
    };
    assert_eq!(points(by_minute, 0), by("sum(requests)"));
    assert_eq!(
        points(by_minute, 1),
        by("cast(sum(sent_bytes__sum) AS bigint)")
    );
    assert_eq!(points(by_minute, 2), by(CLIENTS));
    assert!(!by(&sums).is_empty());
    let statuses = "SELECT status, sum(requests) FROM by_minute GROUP BY 1 ORDER BY 2 DESC, 1";
    assert_eq!(keys(by_minute, 0), place.query(statuses));
    let split = by_minute["charts"].as_array().unwrap().last().unwrap();
    assert_eq!(split["drawing"], "stacked");
    assert_eq!(split["series"].as_array().unwrap().len(), 3);

    // A view: its groups are shown, by day and by key, and the rows of its own result.
    let by_client = section(&all, "by_client");
    let groups = "SELECT sum(requests), sum(mean__sum) / sum(mean__count) FROM by_client_groups";
    let expected = place.query(groups);
    assert!(
        totals(by_client).starts_with(&expected[0]),
        "{} {expected:?}",
        totals(by_client)
    );
    let p90 =
        "SELECT value_at_quantile(merge(cast(p90__tdigest AS tdigest)), 0.9) FROM by_client_groups";
    assert!(totals(by_client).contains(&place.query(p90)[0]));
    assert_eq!(by_client["result"]["rows"].as_array().unwrap().len(), 3);
    let top = "SELECT client_ip, sum(requests) FROM by_client_groups GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10";
    assert_eq!(keys(by_client, 0), place.query(top));
    let rest = "SELECT sum(n) FROM (SELECT sum(requests) AS n FROM by_client_groups GROUP BY client_ip ORDER BY 1 DESC OFFSET 10)";
    assert_eq!(
        by_client["keys"][0]["rest"].to_string(),
        place.query(rest)[0]
    );

    let every_row = section(&all, "every_row");
    assert_eq!(
        totals(every_row),
        place.query("SELECT count(*) FROM every_row")[0]
    );
    let rejected = section(&all, "rejected_lines");
    let reasons = "SELECT reason, count(*) FROM rejected_lines GROUP BY 1 ORDER BY 2 DESC, 1";
    assert_eq!(keys(rejected, 0), place.query(reasons));
    let ledger = &by_minute["ledger"];
    let counted = "SELECT count(*), sum(lines), sum(rejected_lines) FROM log_files WHERE \"table\" = 'by_minute'";
    let of_ledger = ["log_files", "lines", "rejected_lines"].map(|name| ledger[name].to_string());
    assert_eq!(of_ledger.join(","), place.query(counted)[0]);

    // A range, and the one before it.
    let page = report(
        &place,
        &[
            "--from",
            "2026-11-20T10",
            "--to",
            "2026-11-20T11",
            "--compare",
            "--table",
            "by_minute",
        ],
    );
    let hour = figures(&page);
    assert_eq!(hour["tables"].as_array().unwrap().len(), 1);
    let total = &section(&hour, "by_minute")["totals"][0];
    let of_hour = |hour: u32| {
        let sql = format!("SELECT sum(requests) FROM by_minute WHERE hour(minute) = {hour}");
        place.query(&sql)[0].clone()
    };
    assert_eq!(
        [total["value"].to_string(), total["before"].to_string()],
        [of_hour(10), of_hour(9)]
    );
}

#[test]
fn what_visitors_write_stays_in_its_place() {
    let place = Workplace::new();
    place.rollup(
        "words",
        "SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, url_extract_parameter(request_url, 'k') AS word, \
         count(*) AS n, sum(try_cast(url_extract_parameter(request_url, 'v') AS double)) AS value FROM alb_access_logs GROUP BY 1, 2",
    );
    place.rollup(
        "visitors_times",
        "SELECT date_trunc('hour', try(from_iso8601_timestamp(url_extract_parameter(request_url, 't')))) AS t, count(*) AS n \
         FROM alb_access_logs GROUP BY 1",
    );
    place.rollup(
        "nothing",
        "SELECT elb, count(*) AS n FROM alb_access_logs WHERE elb = 'none' GROUP BY 1",
    );
    let long = "x".repeat(8000);
    let words = [
        "%3C/script%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "%3C!--%3Cscript%3E",
        "%22%27%26amp;",
        "%E2%80%AEtxt.exe",
        "%E2%80%A8%E2%80%A9",
        "%D7%A9%D7%9C%D7%95%D7%9D",
        "%00%1B%5B31m",
        "",
        &long,
    ];
    let mut text = String::new();
    for (number, word) in words.iter().enumerate() {
        let value = ["NaN", "Infinity", "-Infinity", "1e308", "2"][number % 5];
        let time = ["9999-12-31T00:00:00Z", "0001-01-01T00:00:00Z", "soon"][number % 3];
        let url = format!("https://a/?k={word}&v={value}&t={time}");
        text.push_str(&alb_line(10, number as u32, "192.0.2.1", 200, &url));
    }
    place.log(&alb_name(10, 5, 1), &text);
    place.run();
    let page = report(&place, &[]);
    let all = figures(&page);
    // The figures, the library and the script of the page.
    assert_eq!(page.matches("<script").count(), 3);
    assert_eq!(page.matches("</script").count(), 3);
    assert!(!page.contains(['\u{202e}', '\u{2028}', '\u{0}', '\u{1b}']));
    assert!(page.contains("&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;"));
    assert!(page.contains("(8000 characters)") && !page.contains(&long));
    assert!(!page.contains(" style=") && !page.contains("onclick"));
    assert!(page.len() < 200_000, "{} bytes", page.len());
    let words_section = section(&all, "words");
    assert_eq!(words_section["totals"][0]["value"], words.len());
    // NaN and infinities are no JSON, and are shown as what they are.
    assert_eq!(words_section["totals"][1]["value"], Value::Null);
    assert!(page.contains("NaN"));
    let times = section(&all, "visitors_times");
    let note = times["notes"][0].as_str().unwrap();
    assert!(note.starts_with("3 n have no time"), "{note}");
    assert!(
        section(&all, "nothing")["charts"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    for section in all["tables"].as_array().unwrap() {
        assert_eq!(section["problems"], Value::Array(Vec::new()), "{section}");
    }
}

#[test]
fn a_table_that_cannot_be_read_does_not_hide_the_others() {
    let place = Workplace::new();
    MadeLogs::write_rollups(&place);
    place.log(
        &alb_name(10, 5, 1),
        &alb_line(10, 1, "192.0.2.1", 200, "https://a/"),
    );
    place.run();
    let log = place.path("tables/every_row/_delta_log");
    for object in fs::read_dir(log).unwrap() {
        fs::write(object.unwrap().path(), "damaged <b>").unwrap();
    }
    let said = fail(&mut report_command(&place, &[]), 3);
    assert!(
        said.contains("table every_row: It cannot be read"),
        "{said}"
    );
    let page = fs::read_to_string(place.path("report.html")).unwrap();
    let all = figures(&page);
    assert_eq!(section(&all, "by_minute")["totals"][0]["value"], 1);
    assert!(
        section(&all, "every_row")["problems"][0]
            .as_str()
            .unwrap()
            .contains("cannot be read")
    );
    assert!(!page.contains("damaged <b>"));
    let said = fail(&mut report_command(&place, &["--table", "evens"]), 1);
    assert!(said.contains("there is no table evens"), "{said}");
}

/// A live report, until it is dropped.
struct Live {
    process: Child,
    address: String,
}

impl Live {
    fn new(place: &Workplace) -> Self {
        let tables = place.path("tables");
        let mut process = logmill(["report", "--tables", &tables, "--serve"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("http://").unwrap();
        Self {
            process,
            address: address.trim_end_matches('/').to_owned(),
        }
    }

    fn get(&self, path: &str, host: &str, more: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(120)))
            .unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn the_live_page_is_for_this_machine_and_filters_by_keys() {
    let place = Workplace::new();
    let made = MadeLogs::new(6, 20);
    for (name, text) in &made.files {
        place.log(name, text);
    }
    MadeLogs::write_rollups(&place);
    place.run();
    let live = Live::new(&place);
    assert!(live.address.starts_with("127.0.0.1:"));

    let page = live.get("/", &live.address, "");
    assert!(page.starts_with("HTTP/1.1 200"), "{}", &page[..100]);
    let (head, body) = page.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-security-policy: default-src 'none'; script-src 'sha256-"));
    assert!(head.contains("frame-ancestors 'none'") && head.contains("cache-control: no-store"));
    let all = figures(body);
    let of_all = place.query("SELECT sum(requests) FROM by_minute");
    assert_eq!(
        section(&all, "by_minute")["totals"][0]["value"].to_string(),
        of_all[0]
    );
    assert!(body.contains("where=status%3A404"));

    let path = "/?from=2026-11-20T09%3A00&to=2026-11-20T11%3A00&table=by_minute&where=status%3A404&compare=1";
    let page = live.get(path, &live.address, "");
    let filtered = figures(page.split_once("\r\n\r\n").unwrap().1);
    let sql = "SELECT sum(requests) FROM by_minute WHERE status = 404 AND hour(minute) < 11";
    assert_eq!(
        section(&filtered, "by_minute")["totals"][0]["value"].to_string(),
        place.query(sql)[0]
    );

    for (host, more) in [
        ("evil.example", ""),
        (
            live.address.as_str(),
            "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: cors\r\n",
        ),
    ] {
        let refused = live.get("/", host, more);
        assert!(refused.starts_with("HTTP/1.1 403"), "{refused}");
        assert!(!refused.contains("by_minute"));
    }
    let wrong = live.get("/?from=%3Cscript%3E", &live.address, "");
    assert!(
        wrong.starts_with("HTTP/1.1 400") && !wrong.contains("<script>"),
        "{wrong}"
    );
    let absent = live.get("/?where=status:x", &live.address, "");
    assert!(absent.contains("whole numbers"));

    // A browser that does not wait any more: the next one gets its page.
    for _ in 0..20 {
        let mut gone = TcpStream::connect(&live.address).unwrap();
        write!(gone, "GET / HTTP/1.1\r\nHost: {}\r\n\r\n", live.address).unwrap();
    }
    let mut answer = String::new();
    for _ in 0..60 {
        answer = live.get("/?hours=1", &live.address, "");
        if answer.starts_with("HTTP/1.1 200") {
            break;
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    assert!(answer.starts_with("HTTP/1.1 200"), "{}", &answer[..100]);
}
