//! `logmill retain`: rows that are older than wanted go, and no log file is counted again.

use std::fs;

use chrono::{Days, Utc};

use crate::support::{Workplace, alb_line, alb_name, fail, logmill, succeed};

const BY_HOUR: &str = "SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, count(*) AS requests \
     FROM alb_access_logs GROUP BY 1";

/// A log file of three lines of a day that is so many days ago.
fn log(place: &Workplace, ago: u64, node: u32) {
    let day = Utc::now().date_naive() - Days::new(ago);
    let lines = (0..3).map(|hour| alb_line(hour, 1, "192.0.2.1", 200, "https://shop.example:443/"));
    let lines: String = lines.collect();
    let name = alb_name(3, 0, node).replace("20261120", &day.format("%Y%m%d").to_string());
    let text = lines.replace("2026-11-20", &day.to_string()) + "no log line\n";
    place.log(&name, &text);
}

fn retain(place: &Workplace, more: &[&str]) -> std::process::Command {
    let tables = place.path("tables");
    logmill(
        ["retain", "--tables", &tables]
            .into_iter()
            .chain(more.iter().copied()),
    )
}

#[test]
fn rows_that_are_older_than_wanted_are_removed_and_stay_counted() {
    let place = Workplace::new();
    for (node, ago) in [0, 1, 5, 6, 40].into_iter().enumerate() {
        log(&place, ago, node as u32);
    }
    place.rollup("requests", BY_HOUR);
    place.run();
    let days = "SELECT count(DISTINCT date), sum(requests) FROM requests";
    assert_eq!(place.query(days), ["5,15"]);
    let rejected = "SELECT count(*) FROM rejected_lines";
    assert_eq!(place.query(rejected), ["5"]);

    let unknown = fail(
        &mut retain(&place, &["--keep-days", "5", "--table", "nothing"]),
        1,
    );
    assert!(unknown.contains("no table 'nothing' found"), "{unknown}");
    fail(&mut retain(&place, &[]), 2);
    fail(&mut retain(&place, &["--keep-days", "0"]), 2);
    let kept = succeed(&mut retain(&place, &["--keep-days", "5"]));
    assert!(
        kept.contains("requests: rows are kept for 5 days; 6 older rows are removed")
            && kept.contains("rejected_lines: rows are kept for 5 days; 2 older rows are removed"),
        "{kept}"
    );
    assert_eq!(place.query(days), ["3,9"]);
    assert_eq!(place.query(rejected), ["3"]);
    assert!(place.run().contains("5 counted before"));
    // A late one of an old day is counted, and goes with the next maintenance.
    log(&place, 40, 7);
    place.run();
    assert_eq!(place.query(days), ["4,12"]);
    let tables = place.path("tables");
    let maintained = succeed(&mut logmill(["maintain", "--tables", &tables]));
    assert!(maintained.contains("; 3 old rows removed"), "{maintained}");
    assert_eq!(place.query(days), ["3,9"]);

    // A rebuild does not read, nor need, log files of rows that are too old.
    let logs = fs::read_dir(place.path("logs"))
        .unwrap()
        .map(|log| log.unwrap().path());
    fs::remove_file(logs.min().unwrap()).unwrap();
    place.rollup(
        "requests",
        &BY_HOUR
            .replace("'hour'", "'minute'")
            .replace("hour", "minute"),
    );
    let rollups = place.path("rollups");
    let rebuild = ["rebuild", "--rollups", &rollups, "--tables", &tables];
    let rebuilt = succeed(&mut logmill(rebuild));
    assert!(
        rebuilt.contains("reads 4 log files of") || rebuilt.contains("reads 3 log files of"),
        "{rebuilt}"
    );
    assert_eq!(place.query(days), ["3,9"]);
    assert_eq!(
        place.query("SELECT count(*) FROM log_files WHERE \"table\" = 'requests'"),
        ["6"]
    );
    let forever = succeed(&mut retain(&place, &["--forever", "--table", "requests"]));
    assert_eq!(forever, "requests: rows are kept for ever\n");
}

#[test]
fn old_rows_do_not_come_back_with_a_swap_and_no_erased_line_stays_among_them() {
    let place = Workplace::new();
    for (node, ago) in [0, 1, 5, 40].into_iter().enumerate() {
        log(&place, ago, node as u32);
    }
    place.rollup("requests", BY_HOUR);
    place.run();
    let days = "SELECT count(DISTINCT date), sum(requests) FROM requests";
    let (tables, rollups) = (place.path("tables"), place.path("rollups"));
    let command = |args: &[&str]| {
        let all = args.iter().copied().chain(["--tables", &tables]);
        succeed(&mut logmill(all))
    };
    let longer = BY_HOUR.replace(" FROM", ", count(DISTINCT client_ip) AS clients FROM");
    place.rollup("requests", &longer);
    command(&["rebuild", "--rollups", &rollups]);
    command(&["retain", "--keep-days", "3", "--table", "requests"]);
    assert_eq!(place.query(days), ["2,6"]);

    // The earlier generation has the old rows.
    let back = command(&["rollback", "requests"]);
    assert!(
        back.contains("6 rows are removed, because they are older than `logmill retain` keeps"),
        "{back}"
    );
    assert_eq!(place.query(days), ["2,6"]);

    // An old log file that comes late brings such rows.
    log(&place, 30, 8);
    place.run();
    let erased = "client_ip = '192.0.2.1'";
    command(&["erase", "--where", erased, "--table", "requests"]);
    command(&["retain", "--forever", "--table", "requests"]);
    assert_eq!(place.query(days), ["0,"]);
}

#[test]
fn texts_of_failed_lines_go_with_the_rows() {
    let place = Workplace::new();
    let failing = |ago: u64, node: u32| {
        let day = Utc::now().date_naive() - Days::new(ago);
        let lines = ["1", "many"].map(|n| {
            let url = format!("https://shop.example:443/?n={n}");
            alb_line(3, 1, "192.0.2.1", 200, &url)
        });
        let text = lines.concat().replace("2026-11-20", &day.to_string());
        let name = alb_name(3, 5, node).replace("20261120", &day.format("%Y%m%d").to_string());
        place.log(&name, &text);
    };
    failing(1, 1);
    failing(20, 2);
    place.rollup(
        "numbers",
        "SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, \
         sum(CAST(url_extract_parameter(request_url, 'n') AS bigint)) AS n FROM alb_access_logs GROUP BY 1",
    );
    place.run();
    let texts = "SELECT count(*), min(line) LIKE '%n=many%' FROM failed_lines";
    let counts = "SELECT count(*), sum(failed_lines) FROM log_files WHERE \"table\" = 'numbers'";
    assert_eq!(place.query(texts), ["2,true"]);
    succeed(&mut retain(&place, &["--keep-days", "5"]));
    assert_eq!(place.query(texts), ["1,true"]);
    assert_eq!(place.query(counts), ["2,2"]);
    // Nor has a late log file any.
    failing(20, 3);
    place.run();
    assert_eq!(place.query(texts), ["1,true"]);
    assert_eq!(place.query(counts), ["3,3"]);
    // A second time, nothing is written.
    let versions = || {
        let log = fs::read_dir(place.path("tables/numbers/_delta_log")).unwrap();
        log.count()
    };
    succeed(&mut retain(&place, &["--keep-days", "5"]));
    let before = versions();
    succeed(&mut retain(&place, &["--keep-days", "5"]));
    assert_eq!(versions(), before);
    // After the table is rebuilt, older texts go again.
    place.rollup(
        "numbers",
        "SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, count(*) AS requests, \
         sum(CAST(url_extract_parameter(request_url, 'n') AS bigint)) AS n FROM alb_access_logs GROUP BY 1",
    );
    let (tables, rollups) = (place.path("tables"), place.path("rollups"));
    succeed(&mut logmill([
        "rebuild",
        "--rollups",
        &rollups,
        "--tables",
        &tables,
    ]));
    succeed(&mut logmill(["maintain", "--tables", &tables]));
    assert_eq!(place.query(texts), ["1,true"]);
}
