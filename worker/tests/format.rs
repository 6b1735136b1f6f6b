//! Tables of older formats are read and fed, and those of newer ones are refused.
//!
//! `fixtures/tables-format-1` was made by the last version before formats: two log files of 24 requests each are counted, and a third
//! is staged.

use std::fs;
use std::path::Path;

use crate::support::{Workplace, alb_line, alb_name, fail, project, query_command, succeed};
use serde_json::Value;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }
}

/// A place with tables of format 1, and their rollups.
pub fn of_format_1() -> Workplace {
    let place = Workplace::new();
    let fixture = project().join("worker/tests/fixtures/tables-format-1");
    for folder in ["tables", "rollups"] {
        copy(&fixture.join(folder), &place.folder.path().join(folder));
    }
    place
}

const TOTALS: &str = "SELECT sum(requests), sum(sent_bytes), sum(n), max(last_client), \
    cardinality(merge(cast(clients AS HyperLogLog))), count(*) FROM by_minute";

#[test]
fn a_table_of_format_1_is_read_and_fed() {
    let place = of_format_1();
    // Two log files are counted.
    assert_eq!(place.query(TOTALS), ["48,7200,528.0,192.0.2.5,5,6"]);
    assert_eq!(place.query("SELECT count(*) FROM every_row"), ["48"]);
    assert_eq!(
        place.query("SELECT sum(lines), sum(failed_lines) FROM log_files"),
        ["100,0"]
    );

    // A commit takes what the version before has staged, and what is staged now.
    let urls = [("200", "9"), ("200", "9223372036854775807"), ("404", "1")];
    let lines = urls.map(|(status, n)| {
        let url = format!("https://shop.example:443/?n={n}");
        alb_line(10, 0, "192.0.2.99", status.parse().unwrap(), &url)
    });
    place.log(&alb_name(10, 5, 9), &lines.concat());
    let printed = place.run();
    assert!(printed.contains("2 counted"), "{printed}");
    let totals = place.query(TOTALS);
    assert!(
        totals[0].starts_with("75,15498,") && totals[0].ends_with(",192.0.2.99,7,6"),
        "{totals:?}"
    );
    assert_eq!(place.query("SELECT count(*) FROM every_row"), ["75"]);
    assert_eq!(place.query("SELECT count(*) FROM rejected_lines"), ["3"]);
    // What format 2 has beside that is made of what is there.
    let exact = "SELECT sum(sent_bytes__sum), bool_or(is_other) FROM by_minute";
    assert_eq!(place.query(exact), ["15498,false"]);

    // Nothing is counted again.
    let printed = place.run();
    assert!(printed.contains("1 counted before"), "{printed}");
    assert_eq!(place.query(TOTALS), totals);
}

#[test]
fn a_table_of_format_1_is_changed() {
    let place = of_format_1();
    place.log(
        &alb_name(10, 5, 9),
        &alb_line(10, 0, "192.0.2.99", 200, "https://shop.example:443/?n=9"),
    );
    place.run();
    let totals = place.query(TOTALS);
    // The log files of the fixture are not there: what they have made is kept, although the ledger does not say to which hours it belongs.
    let sql = fs::read_to_string(place.path("rollups/by_minute.sql")).unwrap();
    let longer = sql.replacen(
        "count(*) AS",
        "min(client_ip) AS first_client, count(*) AS",
        1,
    );
    assert_ne!(longer, sql);
    place.rollup("by_minute", &longer);
    let (rollups, tables) = (place.path("rollups"), place.path("tables"));
    let rebuild = [
        "rebuild",
        "--rollups",
        &rollups,
        "--tables",
        &tables,
        "--table",
        "by_minute",
    ];
    let printed = succeed(&mut crate::support::logmill(rebuild));
    assert!(
        printed.contains("log files are gone")
            && printed.contains("new columns are NULL: first_client"),
        "{printed}"
    );
    assert_eq!(place.query(TOTALS), totals);
    let run = place.run();
    assert!(run.contains("1 counted before"), "{run}");
    let back = ["rollback", "by_minute", "--tables", &tables];
    succeed(&mut crate::support::logmill(back));
    assert_eq!(place.query(TOTALS), totals);
}

#[test]
fn a_table_of_format_1_says_its_format_after_a_commit() {
    let place = of_format_1();
    place.run();
    let log = place.path("tables/by_minute/_delta_log/00000000000000000002.json");
    let log = fs::read_to_string(log).unwrap();
    let metadata = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find_map(|action| action.get("metaData").cloned())
        .unwrap();
    let properties = &metadata["configuration"];
    assert_eq!(properties["logmill.format"], "2");
    // A program that knows no formats looks for this one, and refuses a table without it.
    assert_eq!(properties.get("logmill.sql"), None);
    assert!(
        properties["logmill.rollup"]
            .as_str()
            .unwrap()
            .contains("sum(sent_bytes) AS sent_bytes")
    );
}

#[test]
fn a_table_of_a_newer_format_is_refused() {
    let place = of_format_1();
    place.run();
    let log = place.path("tables/by_minute/_delta_log");
    let version_2 = fs::read_to_string(format!("{log}/00000000000000000002.json")).unwrap();
    let newer = version_2
        .lines()
        .find(|line| line.starts_with("{\"metaData\""))
        .unwrap()
        .replace("\"logmill.format\":\"2\"", "\"logmill.format\":\"4\"");
    fs::write(format!("{log}/00000000000000000003.json"), newer).unwrap();

    let refusal = "the table 'by_minute' has format 4, and this version of logmill supports formats up to 3: \
                   use the version that wrote the table, or a newer one";
    for mut command in [
        place.run_command(),
        query_command(&place.path("tables"), "SELECT * FROM by_minute"),
        crate::support::logmill(["maintain", "--tables", &place.path("tables")]),
    ] {
        let printed = fail(&mut command, 1);
        assert!(printed.contains(refusal), "{command:?}: {printed}");
    }
}
