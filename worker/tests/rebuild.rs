//! `logmill rebuild` and `logmill rollback`: a rollup changes, and a reader sees all of the one table or all of the other.

use std::fs;
use std::path::Path;
use std::process::Command;

use logmill::feeds::Feeds;
use logmill::intake::file_rules::FileRules;
use logmill::intake::listing;
use logmill::pipeline::{self, Limits, Outcome};
use logmill::rollup::Rollup;
use logmill::table::Root;

use crate::support::made_logs::MadeLogs;
use crate::support::{
    Random, Workplace, alb_line, alb_name, fail, kill_at_random_moments, logmill, project, seeds,
    succeed,
};

const BY_MINUTE: &str = "SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, count(*) AS requests, \
     sum(sent_bytes) AS sent_bytes FROM alb_access_logs GROUP BY 1";
const BY_HOUR: &str = "SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, elb_status_code AS status, \
     count(*) AS requests, max(client_ip) AS last_client FROM alb_access_logs GROUP BY 1, 2";
const SERVED: &str = "SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, count(*) AS requests, \
     sum(sent_bytes) AS sent_bytes FROM alb_access_logs WHERE elb_status_code < 400 GROUP BY 1";

fn rebuild(place: &Workplace, more: &[&str]) -> Command {
    let (rollups, tables) = (place.path("rollups"), place.path("tables"));
    let args = ["rebuild", "--rollups", &rollups, "--tables", &tables];
    logmill(args.into_iter().chain(more.iter().copied()))
}

fn rollback(place: &Workplace, table: &str) -> Command {
    let tables = place.path("tables");
    logmill(["rollback", table, "--tables", &tables])
}

fn log(place: &Workplace, number: u32) {
    let url = "https://shop.example:443/";
    let lines = [
        alb_line(9 + number, 1, "192.0.2.1", 200, url),
        alb_line(9 + number, 70, "192.0.2.2", 404, url),
    ];
    place.log(&alb_name(9 + number, 5, number), &lines.concat());
}

/// A log line of a day of November 2026.
fn line_of(day: u32, hour: u32, minute: u32, client: &str) -> String {
    let line = alb_line(hour, 60 * minute, client, 200, "https://shop.example:443/");
    line.replace("2026-11-20", &format!("2026-11-{day}"))
}

/// Three log files, counted by minute.
fn of_three_log_files() -> Workplace {
    let place = Workplace::new();
    (0..3).for_each(|number| log(&place, number));
    place.rollup("requests", BY_MINUTE);
    place.run();
    place
}

/// What a table made afresh by this SQL has.
fn afresh(place: &Workplace, sql: &str, query: &str) -> Vec<String> {
    let fresh = Workplace::new();
    fresh.rollup("requests", sql);
    for log in fs::read_dir(place.path("logs")).unwrap() {
        let log = log.unwrap();
        let text = fs::read_to_string(log.path()).unwrap();
        fresh.log(log.file_name().to_str().unwrap(), &text);
    }
    fresh.run();
    fresh.query(query)
}

const ALL: &str = "SELECT * FROM requests ORDER BY 1, 2";

#[test]
fn a_rollup_changes_and_the_change_is_taken_back() {
    let place = of_three_log_files();
    let before = place.query(ALL);
    assert!(succeed(&mut rebuild(&place, &[])).contains("requests: unchanged"));
    place.rollup("requests", BY_HOUR);

    // It says first what it will do.
    let plan = succeed(&mut rebuild(&place, &["--dry-run"]));
    for line in [
        "requests: the rollup has changed",
        "new column      hour: timestamp with time zone, a group key",
        "dropped column  sent_bytes: bigint",
        "reads 3 log files",
    ] {
        assert!(plan.contains(line), "{line} is not in {plan}");
    }
    assert!(!Path::new(&place.path("tables/requests/_generations")).exists());

    let listed = |columns: &str| {
        let (rollups, tables) = (place.path("rollups"), place.path("tables"));
        let args = [
            "tables",
            "--rollups",
            &rollups,
            "--tables",
            &tables,
            "--format",
            "json",
        ];
        let printed = succeed(&mut logmill(args));
        let rows = printed.lines();
        let mut rows = rows.map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap());
        let of_table = |row: &serde_json::Value| row["table"] == "requests";
        let row = rows.find(of_table).unwrap();
        columns
            .split(' ')
            .map(|column| row[column].to_string())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let what = "fed_by generation rows newest_line staged set_aside";
    assert_eq!(
        listed(what),
        "\"its own SQL: the rollup has changed\" \"the first\" 6 \"2026-11-20T11:01:10Z\" 0 0"
    );

    // The next generation is filled, and follows the table until the swap.
    let filled = succeed(&mut rebuild(&place, &["--swap", "never"]));
    assert!(listed("next").contains("_generations/"));
    assert!(filled.contains("not swapped"), "{filled}");
    assert_eq!(place.query(ALL), before);
    log(&place, 3);
    assert!(place.run().contains("log files  1 counted"));
    let old = afresh(&place, BY_MINUTE, ALL);
    assert_eq!(place.query(ALL), old);

    let swapped = succeed(&mut rebuild(&place, &[]));
    assert!(swapped.contains("reads no log file"), "{swapped}");
    assert!(
        swapped.contains("swapped:") && swapped.contains("logmill ddl"),
        "{swapped}"
    );
    let new = afresh(&place, BY_HOUR, ALL);
    assert_eq!(place.query(ALL), new);
    assert!(listed("fed_by generation next").starts_with("\"its rollup\" \"_generations/"));
    // Nothing is counted again, and what comes now is counted.
    assert!(place.run().contains("4 counted before"));
    log(&place, 4);
    assert!(place.run().contains("log files  1 counted"));
    assert_eq!(place.query(ALL), afresh(&place, BY_HOUR, ALL));

    // The earlier one comes back with what was counted since.
    let back = succeed(&mut rollback(&place, "requests"));
    assert!(back.contains("reads 1 log files"), "{back}");
    assert_eq!(place.query(ALL), afresh(&place, BY_MINUTE, ALL));
    let rows = "SELECT count(*), count(DISTINCT log_file) FROM log_files";
    assert_eq!(place.query(rows), ["5,5"]);
    // Also that can be taken back.
    succeed(&mut rollback(&place, "requests"));
    assert_eq!(place.query(ALL), afresh(&place, BY_HOUR, ALL));
    let tables = place.path("tables");
    succeed(&mut logmill(["maintain", "--tables", &tables]));
    assert_eq!(place.query(ALL), afresh(&place, BY_HOUR, ALL));
}

#[test]
fn a_rebuild_that_changes_no_number_is_swapped_when_equal() {
    let place = of_three_log_files();
    let columns = "SELECT minute, requests, sent_bytes FROM requests ORDER BY 1";
    let before = place.query(columns);
    place.rollup("requests", &format!("{BY_MINUTE} HAVING count(*) > 0"));
    let swapped = succeed(&mut rebuild(&place, &["--swap", "when-equal"]));
    assert!(
        swapped.contains("1 day with the same rows and totals") && swapped.contains("swapped:"),
        "{swapped}"
    );
    assert_eq!(place.query(columns), before);
}

#[test]
fn a_change_of_mind_drops_what_was_begun() {
    let place = of_three_log_files();
    let before = place.query(ALL);
    place.rollup("requests", BY_HOUR);
    succeed(&mut rebuild(&place, &["--swap", "never"]));
    // Other SQL again: the first is dropped.
    place.rollup("requests", SERVED);
    let swapped = succeed(&mut rebuild(&place, &["--dry-run"]));
    assert!(swapped.contains("drops the next generation"), "{swapped}");
    let differs = fail(&mut rebuild(&place, &["--swap", "when-equal"]), 3);
    assert!(
        differs.contains("2026-11-20  rows 6 → 3, requests 6 → 3, sent_bytes 2196 → 1098")
            && differs.contains("not swapped"),
        "{differs}"
    );
    // And back to what the table has.
    place.rollup("requests", BY_MINUTE);
    let dropped = succeed(&mut rebuild(&place, &[]));
    assert!(dropped.contains("is dropped"), "{dropped}");
    assert!(succeed(&mut rebuild(&place, &[])).contains("unchanged"));
    assert_eq!(place.query(ALL), before);
    let never = fail(&mut rollback(&place, "requests"), 1);
    assert!(never.contains("no earlier generation"), "{never}");
    let none = fail(&mut rollback(&place, "other"), 1);
    assert!(none.contains("no table 'other'"), "{none}");
}

#[test]
fn nothing_is_swapped_if_all_log_files_are_elsewhere() {
    let place = Workplace::new();
    for number in 0..3 {
        place.log(
            &alb_name(9, 5, number),
            &line_of(20, 9, number, "192.0.2.1"),
        );
    }
    place.rollup("requests", BY_MINUTE);
    place.run();
    let elsewhere = place.path("elsewhere");
    fs::rename(place.path("logs"), &elsewhere).unwrap();
    place.rollup(
        "requests",
        &BY_MINUTE.replace(" GROUP", " WHERE elb_status_code >= 400 GROUP"),
    );
    for more in [&[][..], &["--logs", &elsewhere]] {
        let refused = fail(&mut rebuild(&place, more), 3);
        assert!(
            refused.contains("none of the log files that the table has counted is found"),
            "{refused}"
        );
    }
    assert_eq!(place.query("SELECT sum(requests) FROM requests"), ["3"]);
}

#[test]
fn a_table_with_a_damaged_file_is_rebuilt() {
    let place = Workplace::new();
    place.log(&alb_name(9, 5, 0), &line_of(20, 9, 0, "192.0.2.1"));
    place.rollup("requests", BY_MINUTE);
    place.run();
    let data = fs::read_dir(place.path("tables/requests/date=2026-11-20")).unwrap();
    for file in data {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    place.rollup("requests", BY_HOUR);
    let rebuilt = succeed(&mut rebuild(&place, &[]));
    assert!(
        rebuilt.contains("not compared: the rows of the old table can't be read"),
        "{rebuilt}"
    );
    assert_eq!(place.query("SELECT sum(requests) FROM requests"), ["1"]);
}

#[test]
fn days_whose_logs_are_gone_are_kept_as_they_are() {
    let place = Workplace::new();
    for (number, day) in [(0, 20), (1, 21), (2, 22)] {
        // Just before and after midnight, so that log files share days.
        let lines = [
            line_of(day, 0, 30, "192.0.2.1"),
            line_of(day, 12, 0, "192.0.2.2"),
            line_of(day + 1, 0, 1, "192.0.2.3"),
        ];
        let name = alb_name(9, 5, number).replace("20261120", &format!("202611{day}"));
        place.log(&name, &lines.concat());
    }
    place.rollup("requests", BY_MINUTE);
    place.run();
    let logs = place.path("logs");
    let gone = fs::read_dir(&logs).unwrap().map(|log| log.unwrap().path());
    let gone = gone.min().unwrap();
    let text = fs::read_to_string(&gone).unwrap();
    fs::remove_file(&gone).unwrap();

    // Other keys can't be kept.
    place.rollup("requests", BY_HOUR);
    for more in [&["--dry-run"][..], &[], &["--logs", &logs]] {
        let refused = fail(&mut rebuild(&place, more), 3);
        for line in [
            "1 log files are gone",
            "keeps as it is: 2026-11-20, 2026-11-21",
            "rows belong to an hour or day by date_trunc('hour', from_iso8601_timestamp(time)), until now by",
            "the group keys are",
        ] {
            assert!(refused.contains(line), "{line} is not in {refused}");
        }
    }
    assert!(!Path::new(&place.path("tables/requests/_generations")).exists());
    // The same keys can.
    let longer = BY_MINUTE.replace(" FROM", ", max(client_ip) AS last_client FROM");
    place.rollup("requests", &longer);
    let kept = succeed(&mut rebuild(&place, &[]));
    assert!(
        kept.contains("there, new columns are NULL: last_client") && kept.contains("swapped:"),
        "{kept}"
    );
    let rows = place.query("SELECT minute, requests, last_client FROM requests ORDER BY 1");
    fs::write(&gone, text).unwrap();
    let whole = afresh(
        &place,
        &longer,
        "SELECT minute, requests, last_client FROM requests ORDER BY 1",
    );
    let as_it_was =
        |row: &String| match row.starts_with("2026-11-20") || row.starts_with("2026-11-21T00") {
            true => format!("{},", row.rsplit_once(',').unwrap().0),
            false => row.clone(),
        };
    let expected: Vec<String> = whole.iter().map(as_it_was).collect();
    assert_eq!(rows, expected);
    assert_eq!(place.query("SELECT count(*) FROM log_files"), ["3"]);
    // It goes on, and what comes late is added to kept days too.
    let late = alb_name(9, 55, 7);
    place.log(&late, &line_of(20, 0, 30, "192.0.2.9"));
    place.run();
    let minute = "SELECT requests FROM requests WHERE minute = TIMESTAMP '2026-11-20 00:30:00 UTC'";
    assert_eq!(place.query(minute), ["2"]);
}

#[test]
fn a_log_file_that_has_changed_is_counted_anew_with_its_hours() {
    let place = of_three_log_files();
    let before = place.query(ALL);
    let changed = place.path(&format!("logs/{}", alb_name(10, 5, 1)));
    let text = fs::read_to_string(&changed).unwrap();
    fs::write(&changed, text.repeat(3)).unwrap();
    let tables = place.path("tables");
    let rollups = place.path("rollups");
    let span = ["--all", "--from", "2026-11-20T10", "--to", "2026-11-20T11"];
    let dry = [&["--dry-run"], &span[..]].concat();
    let plan = succeed(&mut rebuild(&place, &dry));
    for line in [
        "requests: a part is computed anew",
        "computes anew: 2026-11-20T10:00Z to 2026-11-20T11:00Z; what is outside is kept as it is",
        "reads 1 log files of",
        ", of 3 that the table has counted",
    ] {
        assert!(plan.contains(line), "{line} is not in {plan}");
    }
    succeed(&mut rebuild(&place, &span));
    let whole = afresh(&place, BY_MINUTE, ALL);
    assert_eq!(place.query(ALL), whole);
    assert_ne!(whole, before);
    let verify = [
        "verify",
        "--logs",
        &place.path("logs"),
        "--tables",
        &tables,
        "--rollups",
        &rollups,
    ];
    let verified =
        logmill(
            verify
                .into_iter()
                .chain(["--from", "2026-11-20", "--to", "2026-11-21"]),
        )
        .output()
        .unwrap();
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stdout)
    );
    // That can be taken back.
    succeed(&mut rollback(&place, "requests"));
    assert_eq!(place.query(ALL), before);
}

#[test]
fn only_a_span_of_a_changed_rollup_is_computed_anew() {
    let place = of_three_log_files();
    place.rollup("by_hour", BY_HOUR);
    place.run();
    place.rollup("requests", SERVED);
    let span = ["--from", "2026-11-20T10"];
    let done = succeed(&mut rebuild(&place, &span));
    assert!(
        done.contains("computes anew: 2026-11-20T10:00Z and later; what is outside")
            && done.contains("by_hour: unchanged"),
        "{done}"
    );
    let hours = "SELECT hour(minute), sum(requests) FROM requests GROUP BY 1 ORDER BY 1";
    assert_eq!(place.query(hours), ["9,2", "10,1", "11,1"]);
    // Nothing is found where the logs are said to be.
    fs::rename(place.path("logs"), place.path("elsewhere")).unwrap();
    place.rollup("requests", BY_MINUTE);
    let refused = fail(&mut rebuild(&place, &[]), 3);
    assert!(
        refused.contains("none of the log files that the table has counted is found"),
        "{refused}"
    );
}

#[test]
fn log_files_that_the_new_sql_cannot_count_hold_the_swap_up() {
    let place = of_three_log_files();
    let before = place.query(ALL);
    let cut = place.path(&format!("logs/{}", alb_name(10, 5, 1)));
    let whole = fs::read(&cut).unwrap();
    // It is no log any more.
    fs::write(&cut, "<html>").unwrap();
    place.rollup("requests", BY_HOUR);
    let held_up = fail(&mut rebuild(&place, &[]), 3);
    assert!(
        held_up.contains("1 log files are not in the new table, and the swap waits for them"),
        "{held_up}"
    );
    assert_eq!(place.query(ALL), before);
    fs::write(&cut, whole).unwrap();
    succeed(&mut rebuild(&place, &[]));
    assert_eq!(place.query(ALL), afresh(&place, BY_HOUR, ALL));
}

/// A worker that does not know of a swap stages a log file for the generation that is gone, and acknowledges it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_staged_for_an_earlier_generation_is_counted_by_the_live_one() {
    let place = of_three_log_files();
    let tables = place.path("tables");
    let root = Root::open(&tables).await.unwrap();
    let rollups = Rollup::load_folder(&place.path("rollups")).await.unwrap();
    let (stale, _) = Feeds::open(&root, rollups).await.unwrap();
    place.rollup("requests", BY_HOUR);
    succeed(&mut rebuild(&place, &[]));

    log(&place, 3);
    let found = place.path(&format!("logs/{}", alb_name(12, 5, 3)));
    let found = listing::list(&[found], &tables).await.unwrap().found;
    let source = pipeline::source(&found[0], &FileRules::default());
    let limits = Limits {
        text_bytes: 1 << 20,
        group_bytes: 1 << 20,
    };
    let staged = pipeline::stage(source, &stale.tables, limits)
        .await
        .unwrap();
    assert!(matches!(staged, Outcome::Staged(_)));
    let committed = stale.tables[0].table().unwrap().commit().await;
    let refused = committed.unwrap_err().to_string();
    assert!(
        refused.starts_with("the table 'requests' has another generation now"),
        "{refused}"
    );
    assert_eq!(place.query("SELECT sum(requests) FROM requests"), ["6"]);
    assert_eq!(root.strays("requests").await.unwrap().len(), 1);

    // A run of a folder without log files.
    let empty = place.path("empty");
    fs::create_dir(&empty).unwrap();
    let rollups = place.path("rollups");
    succeed(&mut logmill([
        "run",
        &empty,
        "--rollups",
        &rollups,
        "--tables",
        &tables,
    ]));
    assert_eq!(place.query(ALL), afresh(&place, BY_HOUR, ALL));
    assert_eq!(root.strays("requests").await.unwrap().len(), 0);
    let left = Path::new(&tables).join("requests/_staging");
    let left = fs::read_dir(left).unwrap();
    let left = left.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    assert_eq!(left.count(), 0);
}

#[test]
fn rebuilds_and_runs_are_exact_after_kills_at_random_moments() {
    for seed in seeds(6) {
        let mut random = Random::new(seed);
        let place = Workplace::new();
        let made = MadeLogs::new(24, 20);
        MadeLogs::write_rollups(&place);
        let by_minute = fs::read_to_string(place.path("rollups/by_minute.sql")).unwrap();
        place.rollup(
            "by_minute",
            &by_minute.replace(
                "FROM alb_access_logs",
                "FROM alb_access_logs WHERE elb_status_code = 200",
            ),
        );
        let (first, later) = made.files.split_at(12);
        first.iter().for_each(|(name, text)| place.log(name, text));
        place.run();
        later.iter().for_each(|(name, text)| place.log(name, text));
        place.rollup("by_minute", &by_minute);
        for round in 0..4 {
            let mut children = vec![rebuild(&place, &[]), place.run_command()];
            if round == 2 {
                children.push(rollback(&place, "by_minute"));
            }
            kill_at_random_moments(&mut children, &mut random);
        }
        place.run();
        succeed(&mut rebuild(&place, &[]));
        place.run();
        made.check(|sql| place.query(sql));
    }
}

#[test]
fn erased_lines_are_in_no_table_and_do_not_come_back() {
    let place = of_three_log_files();
    place.rollup(
        "by_client",
        "SELECT client_ip, count(*) AS requests FROM alb_access_logs GROUP BY 1",
    );
    place.rollup(
        "classic",
        "SELECT elb_name, count(*) AS requests FROM elb_logs GROUP BY 1",
    );
    place.run();
    let tables = place.path("tables");
    let erase = |more: &[&str]| {
        let args = ["erase", "--tables", &tables, "--where"];
        logmill(args.into_iter().chain(more.iter().copied()))
    };
    let clients = "SELECT client_ip, sum(requests) FROM by_client_groups GROUP BY 1 ORDER BY 1";
    let minutes = "SELECT count(*), sum(requests) FROM requests";
    for wrong in [
        "client_ip =",
        "clientip = 'x'",
        "count(*) > 1",
        "day = '2026/11/20'",
        "true) OR (false",
        "true; SELECT 1",
        "true AS x",
        "true FROM alb_access_logs",
        "true LIMIT 1",
        "1 / (elb_status_code - 200) > 0",
    ] {
        let refused = fail(&mut erase(&[wrong, "--table", "requests"]), 3);
        assert!(
            refused.contains("requests: nothing is erased: "),
            "{refused}"
        );
    }
    let condition = "client_ip = '192.0.2.2'";
    let plan = succeed(&mut erase(&[condition, "--dry-run", "--table", "requests"]));
    assert!(
        plan.contains("requests: lines are erased") && plan.contains("reads 3 log files of"),
        "{plan}"
    );
    assert_eq!(place.query(minutes), ["6,6"]);
    // Classic logs have no such column.
    let erased = fail(&mut erase(&[condition]), 3);
    for line in [
        "by_client: lines are erased",
        "2026-11-20  rows 2 → 1, requests 6 → 3",
        "requests: lines are erased",
        "classic: nothing is erased: ",
        "the log files are not changed",
    ] {
        assert!(erased.contains(line), "{line} is not in {erased}");
    }
    assert_eq!(place.query(minutes), ["3,3"]);
    assert_eq!(place.query(clients), ["192.0.2.1,3"]);
    let nobody = succeed(&mut erase(&[
        "client_ip = '198.51.100.1'",
        "--table",
        "requests",
    ]));
    let no_row = "no row is different: no line that the table counts meets the condition";
    assert!(
        nobody.contains(no_row) && !erased.contains(no_row),
        "{nobody}"
    );
    let again = succeed(&mut erase(&[condition, "--table", "requests"]));
    assert!(again.contains("requests: erased before"), "{again}");

    // Neither by a late log file, nor by a rebuild. Lines of later times are counted.
    log(&place, 3);
    let run = place.run();
    assert!(!run.contains("different SQL"), "{run}");
    assert_eq!(place.query(minutes), ["4,4"]);
    place.rollup("requests", BY_HOUR);
    succeed(&mut rebuild(&place, &["--table", "requests"]));
    assert_eq!(place.query("SELECT sum(requests) FROM requests"), ["4"]);
    let verified = succeed(&mut rebuild(&place, &[]));
    assert!(verified.contains("by_client: unchanged"), "{verified}");
    place.log(
        &alb_name(23, 55, 9),
        &alb_line(23, 1, "192.0.2.2", 200, "https://shop.example:443/")
            .replace("2026-11-20", "2999-01-01"),
    );
    place.run();
    assert_eq!(place.query(clients), ["192.0.2.1,4", "192.0.2.2,1"]);
    // Rejected lines have other columns.
    let lines = "no line of 192.0.2.2\nno line of 192.0.2.3\n";
    let erased_line = alb_line(21, 1, "192.0.2.2", 200, "https://shop.example:443/");
    place.log(&alb_name(22, 0, 8), &(erased_line + lines));
    place.run();
    let rejected = |condition: &str| {
        let args = ["erase", "--tables", &tables, "--rejected-where", condition];
        logmill(args)
    };
    let wrong = fail(&mut rejected("lines LIKE '%192.0.2.2%'"), 3);
    assert!(
        wrong.contains("rejected_lines: nothing is erased: the condition"),
        "{wrong}"
    );
    let deleted = succeed(&mut rejected("line LIKE '%192.0.2.2%'"));
    assert!(
        deleted.contains("rejected_lines: 1 rows are deleted"),
        "{deleted}"
    );
    let left = "SELECT line FROM rejected_lines";
    assert_eq!(place.query(left), ["no line of 192.0.2.3"]);
    // What is gone can't be erased.
    let gone = place.path(&format!("logs/{}", alb_name(9, 5, 0)));
    let text = fs::read_to_string(&gone).unwrap();
    fs::remove_file(&gone).unwrap();
    let stays = fail(
        &mut erase(&[
            "client_ip = '192.0.2.1'",
            "--to",
            "2026-11-20T10",
            "--table",
            "by_client",
        ]),
        3,
    );
    assert!(
        stays.contains("nothing is erased, because it can't be counted anew: 2026-11-20"),
        "{stays}"
    );
    assert_eq!(place.query(clients), ["192.0.2.1,4", "192.0.2.2,1"]);
    fs::write(&gone, text).unwrap();
    // Of a part of the time. The log file that was gone is read now, without what was to be erased of it.
    let span = [
        "--from",
        "2026-11-20T10",
        "--to",
        "2026-11-20T11",
        "--table",
        "by_client",
    ];
    let arguments: Vec<&str> = ["client_ip = '192.0.2.1'"]
        .into_iter()
        .chain(span)
        .collect();
    succeed(&mut erase(&arguments));
    assert_eq!(place.query(clients), ["192.0.2.1,2", "192.0.2.2,1"]);
}

/// Each of these rollups, made by other SQL first and then rebuilt, is what it is if it is made at once.
#[test]
fn queries_as_people_write_them_are_rebuilt_as_if_made_afresh() {
    let (fresh, rebuilt) = (Workplace::new(), Workplace::new());
    let logs = project().join("testdata/logs");
    let run = |place: &Workplace| {
        let (rollups, tables) = (place.path("rollups"), place.path("tables"));
        let mut run = logmill(["run", "--rollups", &rollups, "--tables", &tables]);
        succeed(run.arg(&logs));
    };
    let mut names = Vec::new();
    for folder in ["tests/queries", "rollups"] {
        for file in fs::read_dir(project().join(folder)).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                continue;
            }
            for place in [&fresh, &rebuilt] {
                fs::copy(&path, Path::new(&place.path("rollups")).join(name)).unwrap();
            }
            if let Some(name) = name.strip_suffix(".sql") {
                rebuilt.rollup(name, BY_MINUTE);
                names.push(name.to_owned());
            }
        }
    }
    run(&fresh);
    run(&rebuilt);
    for name in &names {
        let file = format!("rollups/{name}.sql");
        fs::copy(fresh.path(&file), rebuilt.path(&file)).unwrap();
    }
    succeed(&mut rebuild(&rebuilt, &[]));
    assert!(names.len() > 35);
    for name in &names {
        let sql = fs::read_to_string(fresh.path(&format!("rollups/{name}.sql"))).unwrap();
        // Which of several equal rows a LIMIT takes is nobody's promise.
        let query = match sql.contains("LIMIT") {
            true => format!("SELECT count(*) FROM {name}_groups"),
            false => format!("SELECT * FROM {name}"),
        };
        // In any order: many have none.
        let rows = |place: &Workplace| {
            let mut rows = place.query(&query);
            rows.sort();
            rows
        };
        assert_eq!(rows(&rebuilt), rows(&fresh), "{name}");
    }
}
