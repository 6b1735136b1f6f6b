//! Others judge: DuckDB computes the rollups from the raw lines by itself, and independent readers of Delta Lake
//! read the tables. Both are Python programs in `tests/`; this runs them.

use std::fs;
use std::process::Command;

use crate::support::python::judge;
use crate::support::{logmill, project, succeed};

#[test]
fn duckdb_computes_the_same_rows_from_testdata() {
    judge("oracle.py", &[&project().join("testdata/logs")]);
}

#[test]
fn duckdb_computes_the_same_rows_from_generated_logs() {
    let logs = tempfile::tempdir().unwrap();
    succeed(
        Command::new("python3")
            .arg(project().join("bench/generate.py"))
            .arg(logs.path())
            .args(["--bytes", "12e6", "--files", "8", "--seed", "42"]),
    );
    judge("oracle.py", &[logs.path()]);
}

#[test]
fn other_readers_of_delta_lake_read_the_same() {
    let tables = tempfile::tempdir().unwrap();
    let place = tables.path().to_str().unwrap();
    let rollups = tempfile::tempdir().unwrap();
    let examples = fs::read_dir(project().join("rollups")).unwrap();
    let examples = examples.map(|entry| entry.unwrap().path());
    let examples = examples.filter(|path| path.extension().is_some_and(|end| end == "sql"));
    let examples: Vec<_> = examples
        .chain([project().join("tests/nested.sql")])
        .collect();
    for path in &examples {
        fs::copy(path, rollups.path().join(path.file_name().unwrap())).unwrap();
    }
    // These two are made by other SQL at first, and rebuilt.
    for table in ["events", "slow_pages"] {
        let other = "SELECT elb, count(*) AS requests FROM alb_access_logs GROUP BY elb";
        fs::write(rollups.path().join(format!("{table}.sql")), other).unwrap();
    }
    // To this one a column is added, and its first day is kept as it is.
    let longer = fs::read_to_string(project().join("rollups/target_health.sql")).unwrap();
    let lines = longer
        .lines()
        .filter(|line| !line.ends_with("AS answered,"));
    let shorter: String = lines.map(|line| format!("{line}\n")).collect();
    assert!(shorter.len() < longer.len());
    fs::write(rollups.path().join("target_health.sql"), shorter).unwrap();
    let logs = project().join("testdata/logs");
    let logs = logs.join("AWSLogs/123456789012/elasticloadbalancing/us-east-2/2026/11");
    // A run for each day, so that there is a version that replaces files of another.
    for day in ["20", "21"] {
        let (rollups, logs) = (rollups.path().to_str().unwrap(), logs.join(day));
        succeed(&mut logmill([
            "run",
            logs.to_str().unwrap(),
            "--rollups",
            rollups,
            "--tables",
            place,
        ]));
    }
    for path in &examples {
        fs::copy(path, rollups.path().join(path.file_name().unwrap())).unwrap();
    }
    let rollups = rollups.path().to_str().unwrap();
    let rebuild = ["rebuild", "--rollups", rollups, "--tables", place];
    let of_a_day = ["--table", "target_health", "--from", "2026-11-21"];
    let printed = succeed(&mut logmill(rebuild.into_iter().chain(of_a_day)));
    assert!(
        printed.contains("there, new columns are NULL: answered"),
        "{printed}"
    );
    let rebuilt = logmill(rebuild);
    let printed = succeed(&mut { rebuilt });
    assert_eq!(printed.matches("swapped:").count(), 2, "{printed}");
    judge("readers.py", &[tables.path()]);
}
