//! `logmill test`: the cases of rollups, and the differences that it shows.

use std::fs;

use crate::snapshots::{assert_snapshot, printed};
use crate::support::{Workplace, alb_line, fail, gzip, logmill, project, succeed};

const BY_STATUS: &str = "SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, target_status_code AS status,
       url_extract_parameter(request_url, 'c') AS country, count(*) AS requests, sum(sent_bytes) AS sent_bytes,
       sum(1e0 / try_cast(url_extract_parameter(request_url, 'n') AS double)) AS odd, approx_set(client_ip) AS clients
FROM alb_access_logs
GROUP BY 1, 2, 3";

fn write(place: &Workplace, name: &str, bytes: impl AsRef<[u8]>) {
    let path = place.folder.path().join("rollups").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn test(place: &Workplace, options: &[&str]) -> std::process::Command {
    let mut command = logmill(["test", "--rollups", &place.path("rollups")]);
    command.args(options);
    command
}

fn line(second: u32, status: u32, url: &str) -> String {
    alb_line(10, second, "192.0.2.1", status, url)
}

/// A case for everything that can be wrong with one, and two that pass.
fn workplace() -> Workplace {
    let place = Workplace::new();
    place.rollup("by_status", BY_STATUS);
    let lines = [
        line(1, 200, "https://a/?c=DE&n=4"),
        line(2, 200, "https://a/?c=DE&n=4"),
        line(3, 200, "https://a/?c="),
        line(4, 200, "https://a/"),
        line(5, 404, "https://a/?c=DE,FR"),
        "not a log line\n".to_owned(),
    ]
    .concat();
    let cases = "by_status.test";
    let header = "hour,status,country,requests,odd\n";
    let expected = "2026-11-20 10:00:00,200,DE,2,0.5\n2026-11-20T10:00:00Z,200,\"\",1,\n\
                    2026-11-20T10:00:00Z,200,,1,\n2026-11-20T10:00:00Z,404,\"DE,FR\",1,\n";
    write(&place, &format!("{cases}/passes.log"), &lines);
    write(
        &place,
        &format!("{cases}/passes.csv"),
        format!("{header}{expected}"),
    );
    write(
        &place,
        &format!("{cases}/passes_compressed.log.gz"),
        gzip(&lines),
    );
    write(
        &place,
        &format!("{cases}/passes_compressed.csv"),
        "requests,country\n1,\n1,\"DE,FR\"\n2,DE\n1,\"\"\n",
    );
    let wrong = expected
        .replace("DE,2,0.5", "DE,3,0.25")
        .replace("200,\"\"", "200,")
        .replacen("404", "403", 1);
    write(&place, &format!("{cases}/differs.log"), &lines);
    write(
        &place,
        &format!("{cases}/differs.csv"),
        format!("{header}{wrong}"),
    );
    write(&place, &format!("{cases}/no_expected_rows.log"), &lines);
    write(
        &place,
        &format!("{cases}/no_log_line.log"),
        "not a log line\n",
    );
    write(&place, &format!("{cases}/no_log_line.csv"), "hour\n");
    write(&place, &format!("{cases}/unknown_column.log"), &lines);
    write(
        &place,
        &format!("{cases}/unknown_column.csv"),
        "hour,stauts\n",
    );
    place
}

#[test]
fn the_cases_of_the_example_rollups_pass() {
    let rollups = project().join("rollups");
    let said = succeed(&mut logmill([
        "test",
        "--rollups",
        rollups.to_str().unwrap(),
    ]));
    assert!(said.contains("ok        events/odd_parameters"), "{said}");
    assert!(said.contains(" passed, 0 failed"), "{said}");
}

#[test]
fn differences_are_shown() {
    let place = workplace();
    assert_snapshot("test_cases", Some(&place), &printed(&mut test(&place, &[])));
}

#[test]
fn accepted_rows_pass() {
    let place = workplace();
    let cases = place.folder.path().join("rollups/by_status.test");
    let passing = fs::read_to_string(cases.join("passes.csv")).unwrap();
    fail(&mut test(&place, &["--accept"]), 1);
    for broken in ["no_log_line", "unknown_column"] {
        fs::remove_file(cases.join(broken).with_extension("log")).unwrap();
        fs::remove_file(cases.join(broken).with_extension("csv")).unwrap();
    }
    let said = succeed(&mut test(&place, &[]));
    assert!(said.contains("4 passed, 0 failed"), "{said}");
    let read = |name: &str| fs::read_to_string(cases.join(name)).unwrap();
    assert_eq!(read("passes.csv"), passing);
    assert_eq!(
        read("differs.csv"),
        "hour,status,country,requests,odd\n2026-11-20T10:00:00Z,200,,1,\n2026-11-20T10:00:00Z,200,\"\",1,\n\
         2026-11-20T10:00:00Z,200,DE,2,0.5\n2026-11-20T10:00:00Z,404,\"DE,FR\",1,\n"
    );
    let header = read("no_expected_rows.csv")
        .lines()
        .next()
        .unwrap()
        .to_owned();
    assert_eq!(header, "hour,status,country,requests,sent_bytes,odd");
}

/// A window ends at the latest line of a case, and the order matters where the rollup has one. A line on which the rollup
/// fails is in no row.
#[test]
fn results_of_views_are_compared() {
    let place = Workplace::new();
    place.rollup(
        "last_hours",
        "SELECT hour(from_iso8601_timestamp(time)) AS \"hour of day\", count(*) AS n, sum(1000 / (sent_bytes - 366)) AS odd
         FROM alb_access_logs
         WHERE from_iso8601_timestamp(time) > now() - INTERVAL '6' HOUR AND day >= '2026/11/20'
         GROUP BY 1 ORDER BY 2 DESC",
    );
    let at = |hour| alb_line(hour, 0, "192.0.2.1", 200, "https://a/").replace(" 366 ", " 367 ");
    let fails = alb_line(12, 0, "192.0.2.1", 200, "https://a/");
    let lines = [
        at(1),
        at(8),
        at(12),
        at(12),
        fails,
        at(8).replace("2026-11-20", "2026-11-19"),
    ];
    write(&place, "last_hours.test/windows.log", lines.concat());
    write(
        &place,
        "last_hours.test/windows.csv",
        "hour of day,n,odd\n12,2,2000\n8,1,1000\n",
    );
    let said = succeed(&mut test(&place, &[]));
    assert!(
        said.contains("ok        last_hours/windows: 2 rows, 1 line left out\n"),
        "{said}"
    );
    write(
        &place,
        "last_hours.test/windows.csv",
        "hour of day,n\n8,1\n12,2\n",
    );
    let said = fail(&mut test(&place, &[]), 1);
    assert!(
        said.contains("other order: row 1 is 12,2, expected 8,1\n"),
        "{said}"
    );
    assert!(
        said.contains("line 5 fails: Divide by zero error\n"),
        "{said}"
    );
}

#[test]
fn folders_of_cases_are_checked() {
    let place = Workplace::new();
    place.rollup("by_status", BY_STATUS);
    let error = |name: &str, says: &str| {
        write(&place, name, "");
        let said = fail(&mut test(&place, &[]), 1);
        assert!(said.contains(says), "{said}");
        let path = place.folder.path().join("rollups").join(name);
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
    };
    error("by_status.test/.hidden", "no test cases found");
    error(
        "by_stauts.test/a.log",
        "by_stauts.test: there is no rollup by_stauts.sql",
    );
    error(
        "by_status.test/a.csv",
        "a.csv: the log lines of this test case are missing",
    );
    error(
        "by_status.test/a.txt",
        "a.txt: a test case has the files <case>.log",
    );
    write(&place, "by_status.test/a.log", "");
    error("by_status.test/a.log.gz", "of the same test case");
}

/// Other commands don't see the folders.
#[test]
fn rollups_are_loaded_without_their_cases() {
    let place = workplace();
    place.log("a.log", &line(1, 200, "https://a/"));
    let said = place.run();
    assert!(said.contains("table      by_status: 1 rows"), "{said}");
}
