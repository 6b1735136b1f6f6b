//! `logmill drop` and `logmill rename`.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::made_logs::MadeLogs;
use crate::support::{
    Random, Workplace, alb_line, alb_name, fail, kill_at_random_moments, logmill, seeds, succeed,
};

const BY_MINUTE: &str = "SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, count(*) AS requests \
     FROM alb_access_logs GROUP BY 1";

fn command(place: &Workplace, args: &[&str]) -> Command {
    let tables = place.path("tables");
    logmill(args.iter().copied().chain(["--tables", &tables]))
}

fn log(place: &Workplace, number: u32) {
    let line = alb_line(9 + number, 1, "192.0.2.1", 200, "https://shop.example:443/");
    place.log(&alb_name(9 + number, 5, number), &line);
}

fn of_two_log_files() -> Workplace {
    let place = Workplace::new();
    (0..2).for_each(|number| log(&place, number));
    place.rollup("requests", BY_MINUTE);
    place.run();
    place
}

fn is_there(place: &Workplace, table: &str) -> bool {
    let tables = succeed(&mut command(place, &["tables", "--format", "csv"]));
    tables
        .lines()
        .any(|line| line.starts_with(&format!("{table},")))
}

/// What is left of a dropped table: its last version, the checkpoint of it, and the name of that.
fn assert_only_the_end_is_left(place: &Workplace, table: &str) {
    assert!(!is_there(place, table));
    let left = |folder: &str| -> Vec<String> {
        let left = fs::read_dir(place.path(&format!("tables/{table}{folder}"))).unwrap();
        let names = left.map(|left| left.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    assert_eq!(left(""), ["_delta_log"]);
    let log = left("/_delta_log");
    let [checkpoint, version, last] = log.as_slice() else {
        panic!("{log:?}");
    };
    let number = version.strip_suffix(".json").unwrap();
    assert_eq!(*checkpoint, format!("{number}.checkpoint.parquet"));
    assert_eq!(last, "_last_checkpoint");
}

#[test]
fn a_table_is_dropped_when_a_person_confirms_it() {
    let place = of_two_log_files();
    let asked = succeed(&mut command(&place, &["drop", "requests"]));
    assert!(
        asked.contains("requests: 2 rows of 2 log files, in")
            && asked.contains("nothing is deleted: --yes"),
        "{asked}"
    );
    assert_eq!(place.query("SELECT count(*) FROM requests"), ["2"]);
    let dropped = succeed(&mut command(&place, &["drop", "requests", "--yes"]));
    assert!(dropped.contains("  dropped"), "{dropped}");
    assert_only_the_end_is_left(&place, "requests");
    let gone = fail(&mut command(&place, &["drop", "requests", "--yes"]), 1);
    assert!(gone.contains("no table 'requests' found"), "{gone}");
    // A rollup of this name makes it anew, by other SQL too.
    place.rollup("requests", &BY_MINUTE.replace("'minute'", "'hour'"));
    place.run();
    assert_eq!(
        place.query("SELECT count(*), sum(requests) FROM requests"),
        ["2,2"]
    );
    // Also one that can't be read.
    let log = place.path("tables/requests/_delta_log");
    for object in fs::read_dir(log).unwrap() {
        fs::write(object.unwrap().path(), "{").unwrap();
    }
    succeed(&mut command(&place, &["drop", "requests", "--yes"]));
    assert!(!Path::new(&place.path("tables/requests")).exists());
}

#[test]
fn a_table_gets_another_name() {
    let place = of_two_log_files();
    let all = |table: &str| place.query(&format!("SELECT * FROM {table} ORDER BY 1"));
    let before = all("requests");
    place.rollup("other", BY_MINUTE);
    place.run();
    let taken = fail(&mut command(&place, &["rename", "requests", "other"]), 1);
    assert!(taken.contains("there is a table other already"), "{taken}");
    let long = "a".repeat(129);
    for name in [
        "final_until",
        "log_files",
        "Foo",
        "a b",
        "../x",
        "é",
        "_x",
        "1a",
        "",
        &long,
    ] {
        let refused = fail(&mut command(&place, &["rename", "requests", name]), 1);
        assert!(
            refused.contains("is not a valid name of a table"),
            "{refused}"
        );
    }
    assert_eq!(all("requests"), before);
    let none = fail(&mut command(&place, &["rename", "nothing", "something"]), 1);
    assert!(none.contains("no table 'nothing' found"), "{none}");

    let renamed = succeed(&mut command(&place, &["rename", "requests", "by_minute"]));
    assert!(
        renamed.contains("requests: 2 rows are copied to by_minute"),
        "{renamed}"
    );
    assert_only_the_end_is_left(&place, "requests");
    assert_eq!(all("by_minute"), before);
    fs::rename(
        place.path("rollups/requests.sql"),
        place.path("rollups/by_minute.sql"),
    )
    .unwrap();
    assert!(place.run().contains("2 counted before"));
    log(&place, 2);
    place.run();
    assert_eq!(all("by_minute"), all("other"));
    assert_eq!(all("by_minute").len(), 3);
}

#[test]
fn renaming_is_exact_after_kills_at_random_moments() {
    for seed in seeds(6) {
        let mut random = Random::new(seed);
        let place = Workplace::new();
        let made = MadeLogs::new(24, 20);
        MadeLogs::write_rollups(&place);
        fs::rename(
            place.path("rollups/by_minute.sql"),
            place.path("rollups/older.sql"),
        )
        .unwrap();
        let (first, later) = made.files.split_at(12);
        first.iter().for_each(|(name, text)| place.log(name, text));
        place.run();
        later.iter().for_each(|(name, text)| place.log(name, text));
        for _ in 0..4 {
            // Workers that know the old name count on.
            let mut children = [
                command(&place, &["rename", "older", "by_minute"]),
                place.run_command(),
            ];
            kill_at_random_moments(&mut children, &mut random);
        }
        fs::rename(
            place.path("rollups/older.sql"),
            place.path("rollups/by_minute.sql"),
        )
        .unwrap();
        let renamed = command(&place, &["rename", "older", "by_minute"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&renamed.stderr);
        if said.contains("there is a table by_minute already") {
            // It was complete, and a run has made the old table anew, or not.
            if is_there(&place, "older") {
                succeed(&mut command(&place, &["drop", "older", "--yes"]));
            }
        } else {
            assert!(renamed.status.success(), "{said}");
        }
        place.run();
        made.check(|sql| place.query(sql));
    }
}
