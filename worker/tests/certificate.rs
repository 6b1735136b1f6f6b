//! `logmill verify --certificate` and `--against`: each single change is found and named, and upkeep changes nothing.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::format::of_format_1;
use crate::support::ministack::{Ministack, at_endpoint};
use crate::support::{
    Random, Workplace, alb_line, alb_name, fail, gzip, logmill, project, seeds, succeed,
};
use object_store::ObjectStoreExt;
use object_store::path::Path as Key;
use serde_json::Value;

const BY_MINUTE: &str = "SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, count(*) AS requests, \
     sum(sent_bytes) AS sent_bytes, avg(target_processing_time) AS mean, approx_set(client_ip) AS clients \
     FROM alb_access_logs GROUP BY 1";
const BY_ELB: &str = "SELECT elb, count(*) AS requests FROM alb_access_logs GROUP BY 1";
const EVERY_ROW: &str = "SELECT time, client_ip, sent_bytes FROM alb_access_logs";

/// The name of a log file of 2026-11-20 or 21.
fn name(day: u32, hour: u32, minute: u32, node: u32) -> String {
    alb_name(hour, minute, node).replace("20261120", &format!("202611{day}"))
}

fn lines(day: u32, hour: u32, number: u64) -> String {
    let line = |second| alb_line(hour, second, "192.0.2.1", 200, "https://shop.example/");
    let lines: String = (0..number as u32).map(line).collect();
    lines.replace("2026-11-20T", &format!("2026-11-{day}T"))
}

/// Tables of three rollups over log files of two days, and one of the midnight between them.
fn place_of(random: &mut Random) -> Workplace {
    let place = Workplace::new();
    place.rollup("by_minute", BY_MINUTE);
    place.rollup("by_elb", BY_ELB);
    place.rollup("every_row", EVERY_ROW);
    for day in [20, 21] {
        for node in 1..=3 + random.below(3) as u32 {
            let hour = 1 + random.below(20) as u32;
            let text = lines(day, hour, 2 + random.below(4));
            place.log(&name(day, hour, 5, node), &text);
        }
    }
    place.log(&name(21, 0, 0, 9), &lines(20, 23, 2));
    // Empty files are in no ledger.
    place.log(&name(20, 2, 5, 8), "");
    fs::write(place.path("logs/") + &name(20, 3, 5, 8), gzip("")).unwrap();
    place
}

fn certify_command(place: &Workplace, file: &str) -> Command {
    let (logs, tables, file) = (place.path("logs"), place.path("tables"), place.path(file));
    logmill([
        "verify",
        "--logs",
        &logs,
        "--tables",
        &tables,
        "--from",
        "2026-11-20",
        "--to",
        "2026-11-22",
        "--certificate",
        &file,
    ])
}

/// Writes a certificate. Returns its text.
fn certify(place: &Workplace, file: &str) -> String {
    let printed = succeed(&mut certify_command(place, file));
    let text = fs::read_to_string(place.path(file)).unwrap();
    let certificate: Value = serde_json::from_str(&text).unwrap();
    let root = certificate["root"].as_str().unwrap();
    assert!(printed.contains(&format!("root {root}\n")), "{printed}");
    text
}

fn against(place: &Workplace, tables: &str, more: &[&str]) -> Command {
    let (file, tables) = (place.path("certificate"), place.path(tables));
    let args = ["verify", "--against", &file, "--tables", &tables];
    logmill(args.into_iter().chain(more.iter().copied()))
}

fn holds(place: &Workplace, tables: &str) {
    let printed = succeed(&mut against(place, tables, &[]));
    assert!(printed.ends_with("unchanged\n"), "{printed}");
}

/// Checks a certificate that something differs from. Returns what was printed.
fn differs(place: &Workplace, tables: &str, more: &[&str]) -> String {
    let printed = fail(&mut against(place, tables, more), 3);
    assert!(printed.ends_with("different\n"), "{printed}");
    printed
}

/// Counts the log files as they are now into other tables.
fn count_into(place: &Workplace, tables: &str) {
    let (logs, rollups, tables) = (
        place.path("logs"),
        place.path("rollups"),
        place.path(tables),
    );
    let _ = fs::remove_dir_all(&tables);
    succeed(&mut logmill([
        "run",
        &logs,
        "--rollups",
        &rollups,
        "--tables",
        &tables,
    ]));
}

/// Changes the text of a file. Its size and time of modification, which stand for an ETag, stay the same.
fn change_unseen(path: &Path, change: impl Fn(&str) -> String) {
    let before = fs::read_to_string(path).unwrap();
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let after = change(&before);
    assert!(after.len() == before.len() && after != before);
    fs::write(path, after).unwrap();
    File::options()
        .append(true)
        .open(path)
        .unwrap()
        .set_modified(modified)
        .unwrap();
}

fn log_files(place: &Workplace) -> Vec<PathBuf> {
    let listed = fs::read_dir(place.path("logs")).unwrap();
    let mut paths: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| fs::read_to_string(path).is_ok_and(|text| !text.is_empty()));
    paths.sort();
    paths
}

#[test]
fn each_single_change_is_found_and_named() {
    for seed in seeds(2) {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let place = place_of(&mut random);
        place.run();
        certify(&place, "certificate");
        holds(&place, "tables");
        let logs = place.path("logs");
        let paths = log_files(&place);
        let path = &paths[random.below(paths.len() as u64) as usize];
        let text = fs::read_to_string(path).unwrap();
        let modified = fs::metadata(path).unwrap().modified().unwrap();
        let restore = || {
            fs::write(path, &text).unwrap();
            File::options()
                .append(true)
                .open(path)
                .unwrap()
                .set_modified(modified)
                .unwrap();
        };
        let uri = format!("file://{}", path.display());
        let with_logs = ["--logs", &logs];
        succeed(&mut against(&place, "tables", &with_logs));

        // A byte more: another size, and another ETag.
        fs::write(path, text.clone() + "\n").unwrap();
        let printed = differs(&place, "tables", &with_logs);
        assert!(
            printed.contains("1 changed:") && printed.contains(&uri),
            "{printed}"
        );
        assert!(printed.contains("; bytes: certified "), "{printed}");
        restore();
        // A log file that is gone is not one that has changed.
        fs::rename(path, place.path("elsewhere")).unwrap();
        let printed = differs(&place, "tables", &with_logs);
        assert!(
            printed.contains(&format!("1 gone:\n              {uri}\n")),
            "{printed}"
        );
        assert!(!printed.contains("changed"), "{printed}");
        // The table that never counted it.
        count_into(&place, "other");
        let printed = differs(&place, "other", &[]);
        assert_eq!(
            printed.matches(&format!("removed: {uri}\n")).count(),
            3,
            "{printed}"
        );
        fs::rename(place.path("elsewhere"), path).unwrap();

        // A log file that came late.
        let late = name(20, 22, 5, 7);
        place.log(&late, &lines(20, 22, 3));
        let printed = differs(&place, "tables", &with_logs);
        assert!(
            printed.contains("1 not in the certificate:") && printed.contains(&late),
            "{printed}"
        );
        count_into(&place, "other");
        let printed = differs(&place, "other", &[]);
        assert_eq!(
            printed.matches(&format!("{late}\n")).count(),
            3,
            "{printed}"
        );
        assert!(
            printed.contains("2026-11-20: added: ") && printed.contains("2026-11-20: requests: "),
            "{printed}"
        );
        assert!(!printed.contains("2026-11-21: "), "{printed}");
        fs::remove_file(place.path("logs/") + &late).unwrap();

        // Another number in a row, which the ledger does not show.
        change_unseen(path, |text| text.replacen(" 34 366 ", " 34 367 ", 1));
        count_into(&place, "other");
        let printed = differs(&place, "other", &[]);
        assert!(
            printed.contains("as certified by_elb\ndifferent   by_minute, every_row\n"),
            "{printed}"
        );
        assert_eq!(
            printed.matches(": sent_bytes: certified ").count(),
            1,
            "{printed}"
        );
        assert_eq!(
            printed.matches("certified ").count(),
            1 + 1,
            "nothing else: {printed}"
        );
        restore();
        // A line that is not a log line any more.
        change_unseen(path, |text| text.replacen("2026-11-2", "2026-11-x", 1));
        count_into(&place, "other");
        let printed = differs(&place, "other", &[]);
        let named = format!("changed: {uri}; rejected_lines: certified 0, now 1\n");
        assert_eq!(printed.matches(&named).count(), 3, "{printed}");
        restore();
        // A replaced log file with the same lines.
        File::options()
            .append(true)
            .open(path)
            .unwrap()
            .set_modified(std::time::SystemTime::now())
            .unwrap();
        count_into(&place, "other");
        let printed = differs(&place, "other", &[]);
        let named = format!(
            "different   by_elb, by_minute, every_row\n            2026-11-{}: changed: {uri}; etag: certified ",
            if uri.contains("_20261120T") { 20 } else { 21 }
        );
        assert_eq!(printed.matches(&named).count(), 1, "{printed}");
        assert!(!printed.contains("requests: "), "{printed}");
        restore();
        holds(&place, "tables");

        // Values of the certificate.
        let whole: Value =
            serde_json::from_str(&fs::read_to_string(place.path("certificate")).unwrap()).unwrap();
        let mut places = Vec::new();
        values_of(&whole, String::new(), &mut places);
        for _ in 0..8 {
            let pointer = &places[random.below(places.len() as u64) as usize];
            let mut changed = whole.clone();
            change_value(changed.pointer_mut(pointer).unwrap());
            fs::write(place.path("certificate"), changed.to_string()).unwrap();
            let output = against(&place, "tables", &[]).output().unwrap();
            let printed = String::from_utf8_lossy(&output.stdout);
            let refused = String::from_utf8_lossy(&output.stderr);
            let is_told = match output.status.code() {
                Some(3) => printed.contains("was changed after it was written: "),
                Some(1) => refused.contains("certificate"),
                _ => false,
            };
            assert!(is_told, "{pointer}: {printed}{refused}");
        }
        // Another layout and order of the same values is the same certificate.
        fs::write(place.path("certificate"), format!("{whole:#}")).unwrap();
        holds(&place, "tables");
    }
}

/// The places of all numbers, texts and truth values.
fn values_of(value: &Value, pointer: String, places: &mut Vec<String>) {
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, value)| values_of(value, format!("{pointer}/{name}"), places)),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(at, item)| values_of(item, format!("{pointer}/{at}"), places)),
        Value::Null => {}
        _ => places.push(pointer),
    }
}

fn change_value(value: &mut Value) {
    *value = match &*value {
        Value::Bool(is_so) => Value::from(!is_so),
        Value::Number(number) => Value::from(number.as_i64().unwrap() + 1),
        Value::String(text) => match text.strip_prefix('1') {
            Some(rest) => Value::from(format!("2{rest}")),
            None => Value::from(format!("1{}", text.get(1..).unwrap_or_default())),
        },
        other => other.clone(),
    };
}

#[test]
fn a_certificate_of_tables_on_s3_names_the_object_that_changed() {
    let place = place_of(&mut Random::new(1));
    let aws = Ministack::start(&["logs", "tables"]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bucket = aws.bucket("logs");
    let put = |name: &str, bytes: Vec<u8>| {
        let put = async { bucket.put(&Key::from(name), bytes.into()).await };
        runtime.block_on(put).unwrap();
    };
    let names: Vec<String> = log_files(&place)
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    let bytes_of = |name: &str| fs::read(place.path("logs/") + name).unwrap();
    for name in &names {
        put(name, bytes_of(name));
    }
    let (rollups, file) = (place.path("rollups"), place.path("certificate"));
    let on_s3 = |args: &[&str]| {
        let mut command = logmill(args.iter().copied());
        command.args(["--tables", "s3://tables/t"]);
        at_endpoint(&mut command, &aws.endpoint());
        command
    };
    let run = || {
        succeed(&mut on_s3(&["run", "s3://logs", "--rollups", &rollups]));
    };
    run();
    let days = ["--from", "2026-11-20", "--to", "2026-11-22"];
    let certify = ["verify", "--logs", "s3://logs", "--certificate", &file];
    succeed(on_s3(&certify).args(days));
    let check = || on_s3(&["verify", "--against", &file, "--logs", "s3://logs"]);
    let printed = succeed(&mut check());
    assert!(printed.ends_with("unchanged\n"), "{printed}");

    // Another object under the same key, of the same size.
    let (first, second) = (&names[0], &names[1]);
    let text = String::from_utf8(bytes_of(first)).unwrap();
    put(first, text.replacen(" 34 366 ", " 34 367 ", 1).into_bytes());
    let printed = fail(&mut check(), 3);
    let changed = format!("1 changed:\n              s3://logs/{first}; etag: certified ");
    assert!(printed.contains(&changed), "{printed}");
    put(first, text.into_bytes());
    succeed(&mut check());

    runtime
        .block_on(bucket.delete(&Key::from(second.as_str())))
        .unwrap();
    let printed = fail(&mut check(), 3);
    let gone = format!("1 gone:\n              s3://logs/{second}\n");
    assert!(printed.contains(&gone), "{printed}");
    put(second, bytes_of(second));

    // One that came late, and was counted.
    let late = name(20, 22, 5, 7);
    put(&late, lines(20, 22, 3).into_bytes());
    run();
    let printed = fail(&mut check(), 3);
    let added = format!("2026-11-20: added: s3://logs/{late}\n");
    assert_eq!(printed.matches(&added).count(), 3, "{printed}");
}

#[test]
fn upkeep_changes_nothing_and_certificates_of_one_state_are_the_same() {
    let place = place_of(&mut Random::new(7));
    // A version of each log file, so that there are checkpoints, and several files of an hour.
    let paths = log_files(&place);
    let apart: Vec<PathBuf> = paths
        .iter()
        .map(|path| {
            PathBuf::from(place.path("apart-") + path.file_name().unwrap().to_str().unwrap())
        })
        .collect();
    for (path, apart) in paths.iter().zip(&apart) {
        fs::rename(path, apart).unwrap();
    }
    for (path, apart) in paths.iter().zip(&apart) {
        fs::rename(apart, path).unwrap();
        place.run();
    }
    let before = certify(&place, "certificate");
    assert_eq!(before, certify(&place, "again"));
    let tables = place.path("tables");
    let maintained = succeed(&mut logmill([
        "maintain",
        "--tables",
        &tables,
        "--grace-hours",
        "1",
    ]));
    assert!(
        Path::new(&place.path("tables/by_minute/_ledger/2026-11-20")).exists(),
        "{maintained}"
    );
    holds(&place, "tables");
    assert_eq!(before, certify(&place, "again"));
    // A table by another order of commits.
    count_into(&place, "other");
    holds(&place, "other");
    // The three tables share the lists of the two days.
    let certificate: Value = serde_json::from_str(&before).unwrap();
    assert_eq!(certificate["log_files"].as_array().unwrap().len(), 2);
    assert_eq!(certificate["tables"].as_array().unwrap().len(), 3);
    assert_eq!(
        certificate["tables"][1]["without_totals"],
        serde_json::json!(["mean", "clients", "mean__sum"])
    );
    let lines = before
        .lines()
        .filter(|line| line.starts_with("{\"log_file\":"));
    assert_eq!(lines.count(), paths.len(), "one line for each log file");
}

#[test]
fn what_people_do_to_tables_is_said() {
    let place = place_of(&mut Random::new(8));
    place.run();
    certify(&place, "certificate");
    let tables = place.path("tables");
    let run = |args: &[&str]| {
        succeed(&mut logmill(
            args.iter().copied().chain(["--tables", &tables]),
        ))
    };

    run(&[
        "erase",
        "--where",
        "client_ip = '192.0.2.1'",
        "--table",
        "by_minute",
    ]);
    let printed = differs(&place, "tables", &[]);
    assert!(
        printed.contains("different   by_minute\n")
            && printed.contains("as certified by_elb, every_row\n"),
        "{printed}"
    );
    assert!(
        printed.contains("(conditions of `logmill erase`: 0 then, 1 now)"),
        "{printed}"
    );
    assert!(printed.contains("(the table was rebuilt: "), "{printed}");

    run(&["rename", "by_elb", "by_balancer"]);
    let printed = differs(&place, "tables", &[]);
    assert!(printed.contains("the table is gone"), "{printed}");
    assert!(
        printed.contains("by_balancer has the same SQL"),
        "{printed}"
    );
    assert!(
        !printed.contains("requests: certified 0") && !printed.contains("removed: "),
        "{printed}"
    );

    run(&["retain", "--keep-days", "1", "--table", "every_row"]);
    let printed = differs(&place, "tables", &[]);
    assert!(
        printed
            .contains("2026-11-20: the rows were removed: `logmill retain` keeps those of 1 days"),
        "{printed}"
    );

    run(&["drop", "every_row", "--yes"]);
    let printed = fail(&mut against(&place, "tables", &["--format", "json"]), 3);
    let check: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(check["holds"], false);
    assert!(
        check["differences"]
            .as_array()
            .unwrap()
            .iter()
            .any(|difference| {
                difference["table"] == "every_row" && difference["what"] == "table"
            })
    );
}

#[test]
fn tables_of_the_first_format_have_certificates() {
    let place = of_format_1();
    // The log files of the fixture are gone.
    let printed = fail(&mut certify_command(&place, "certificate"), 3);
    assert!(
        printed.contains("incomplete") && printed.contains("2 log files, 2 tables"),
        "{printed}"
    );
    let text = fs::read_to_string(place.path("certificate")).unwrap();
    let certificate: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(certificate["complete"], false);
    let day = &certificate["tables"][0]["days"][0];
    assert_eq!(
        (&day["lines"], &day["rejected_lines"]),
        (&Value::from(50), &Value::from(2))
    );
    assert_eq!(
        day["totals"],
        serde_json::json!({"requests": "48", "sent_bytes": "7200"})
    );
    let printed = succeed(&mut against(&place, "tables", &[]));
    assert!(
        printed.contains("log files were missing when it was written"),
        "{printed}"
    );
    // The first commit upgrades the table, and commits a log file that was staged.
    place.log(&alb_name(10, 5, 9), &lines(20, 10, 1));
    place.run();
    let printed = differs(&place, "tables", &[]);
    assert_eq!(printed.matches("added: ").count(), 4, "{printed}");
    assert!(
        printed.contains("requests: certified 48, now 73"),
        "{printed}"
    );
    assert!(
        !printed.contains("removed") && !printed.contains("changed"),
        "{printed}"
    );
}

#[test]
fn the_script_in_the_documentation_computes_the_same_root() {
    let place = place_of(&mut Random::new(9));
    for odd in [
        "quote\"back\\slash",
        "right\u{202e}to left",
        "new\nline",
        "日本 é",
    ] {
        place.log(
            &format!("{}-{odd}.log", name(20, 3, 5, 3)),
            &lines(20, 3, 1),
        );
    }
    place.run();
    let counts = r#"{"Label": "RequestCount", "Datapoints": [{"Timestamp": "2026-11-20T00:00:00Z", "Sum": 1000.0, "Unit": "Count"}]}"#;
    fs::write(place.path("counts.json"), counts).unwrap();
    let counts = format!("app/shop/50dc6c495c0c9188={}", place.path("counts.json"));
    let mut command = certify_command(&place, "certificate");
    let printed = succeed(command.args(["--request-count", &counts]));
    let docs = fs::read_to_string(project().join("docs/certificate.md")).unwrap();
    let (_, script) = docs.split_once("```python\n").unwrap();
    let (script, _) = script.split_once("```").unwrap();
    let computed =
        succeed(Command::new("python3").args(["-c", script, &place.path("certificate")]));
    assert_eq!(computed.trim().len(), 64);
    assert!(
        printed.contains(&format!("root {computed}")),
        "{printed}\n{computed}"
    );
    // A changed log file gives the script another root too.
    let text = fs::read_to_string(place.path("certificate")).unwrap();
    fs::write(
        place.path("certificate"),
        text.replacen("\"rejected_lines\":0}", "\"rejected_lines\":1}", 1),
    )
    .unwrap();
    fail(
        Command::new("python3").args(["-c", script, &place.path("certificate")]),
        1,
    );
}

#[test]
fn awss_own_count_of_requests_stands_beside_the_lines() {
    let place = Workplace::new();
    place.rollup("by_minute", BY_MINUTE);
    for (day, hour, minute, lines_of, number) in [
        (20, 0, 0, 19, 5),
        (20, 10, 5, 20, 7),
        (20, 11, 0, 20, 4),
        (21, 0, 0, 20, 6),
        (21, 0, 5, 21, 8),
    ] {
        place.log(&name(day, hour, minute, 1), &lines(lines_of, 10, number));
    }
    place.run();
    let counts = r#"{"MetricDataResults": [{"Id": "m1", "Label": "app/shop/50dc6c495c0c9188", "StatusCode": "Complete",
        "Timestamps": ["2026-11-20T23:00:00+00:00", "2026-11-20T10:00:00+00:00", "2026-11-20T09:00:00+00:00"],
        "Values": [5.0, 12.0, 3.0]}], "Messages": []}"#;
    let file = place.path("counts.json");
    fs::write(&file, counts).unwrap();
    let with_counts = |file: &str| {
        let mut command = certify_command(&place, "certificate");
        command.args(["--request-count", file]);
        command
    };
    let printed = succeed(&mut with_counts(&file));
    for line in [
        "requests    2026-11-20, app/shop/50dc6c495c0c9188: 20 by CloudWatch, 17 lines in by_minute\n",
        "            at least 3 (15.000 %) are in no log file of the table\n",
        "            2 hours with fewer lines than requests, 4 in total\n",
    ] {
        assert!(printed.contains(line), "{line} is not in {printed}");
    }
    holds(&place, "tables");
    // A late log file of the last five minutes of a day.
    place.log(&name(21, 0, 0, 2), &lines(20, 23, 2));
    place.run();
    let printed = differs(&place, "tables", &[]);
    assert!(
        printed.contains("2026-11-20: lines of app/shop/50dc6c495c0c9188: certified 17, now 19"),
        "{printed}"
    );
    let refused = fail(&mut with_counts(&place.path("rollups/by_minute.sql")), 1);
    assert!(
        refused.contains("counts of requests in") && refused.contains("expected the JSON"),
        "{refused}"
    );
    fs::write(
        &file,
        counts.replace("app/shop/50dc6c495c0c9188", "app/other/1"),
    )
    .unwrap();
    let printed = succeed(&mut with_counts(&file));
    assert!(
        printed.contains("20 by CloudWatch, 0 lines in by_minute"),
        "{printed}"
    );
    fs::write(&file, counts.replace("2026-11", "2025-11")).unwrap();
    let refused = fail(&mut with_counts(&file), 1);
    assert!(refused.contains("have nothing for these days"), "{refused}");
    assert!(refused.contains("no certificate was written"), "{refused}");
}

#[test]
fn wrong_command_lines_and_files_are_refused() {
    let place = place_of(&mut Random::new(10));
    place.run();
    let (logs, tables, file) = (
        place.path("logs"),
        place.path("tables"),
        place.path("certificate"),
    );
    let base = [
        "verify",
        "--logs",
        &logs,
        "--tables",
        &tables,
        "--certificate",
        &file,
    ];
    let with = |more: &[&str]| logmill(base.into_iter().chain(more.iter().copied()));
    let refused = fail(
        &mut with(&["--from", "2026-11-20T10", "--to", "2026-11-21"]),
        1,
    );
    assert!(refused.contains("whole days (UTC)"), "{refused}");
    fail(&mut with(&["--from", "2026-11-20"]), 1);
    fail(
        &mut with(&["--from", "0001-01-01", "--to", "9999-01-01"]),
        1,
    );
    fail(&mut with(&["--from", "2026-11-20", "--against", &file]), 2);
    fail(&mut logmill(["verify", "--tables", &tables]), 2);
    fail(
        &mut logmill([
            "verify",
            "--tables",
            &tables,
            "--logs",
            &logs,
            "--from",
            "2026-11-20",
            "--request-count",
            "x",
        ]),
        2,
    );
    assert!(!Path::new(&file).exists());
    let absent = fail(&mut against(&place, "tables", &[]), 1);
    assert!(absent.contains("cannot be opened"), "{absent}");
    for (text, reason) in [
        ("", "cannot be read"),
        ("{\"format\": 1}", "missing field"),
        (
            "{\"format\": 2, \"new\": [1]}",
            "has format 2; this version of logmill reads format 1",
        ),
        ("[]", "a certificate of `logmill verify --certificate`"),
    ] {
        fs::write(&file, text).unwrap();
        let refused = fail(&mut against(&place, "tables", &[]), 1);
        assert!(refused.contains(reason), "{text}: {refused}");
    }
    // What a damaged table has is not known.
    certify(&place, "certificate");
    fs::remove_dir_all(place.path("tables/by_minute/_ledger")).unwrap();
    let printed = differs(&place, "tables", &[]);
    assert!(
        printed.contains("different   by_minute\n            the table 'by_minute' cannot be read"),
        "{printed}"
    );
    assert!(
        printed.contains("as certified by_elb, every_row\n"),
        "{printed}"
    );
}
