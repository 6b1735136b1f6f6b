//! Up to when tables are final, as `run` records it, and what `status`, `query` and `verify --expect-every` say. The log files are of the last
//! hours, because a name of the future tells nothing.

use std::fs;
use std::path::Path;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use serde_json::Value;

use crate::support::{Workplace, logmill, succeed};

const BY_MINUTE: &str = "SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, count(*) AS requests \
     FROM alb_access_logs GROUP BY 1";

fn minutes(minutes: i64) -> TimeDelta {
    TimeDelta::minutes(minutes)
}

/// The end of the last interval.
fn last_end() -> DateTime<Utc> {
    Utc::now().duration_trunc(minutes(5)).unwrap()
}

/// A log file of a node with one line, in the middle of its five minutes.
fn log(place: &Workplace, node: u32, end: DateTime<Utc>) -> String {
    let time = end - TimeDelta::seconds(150);
    let line = format!(
        "https {} app/shop/50dc6c495c0c9188 192.0.2.1:2817 10.0.0.1:80 0.001 0.020 0.000 200 200 34 366 \
         \"GET https://shop.example:443/ HTTP/1.1\" \"curl/8.5.0\" - - \
         arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/web/73e2d6bc24d8a067 \
         \"Root=1-58337262-36d228ad5d99923122bbe354\" \"-\" \"-\" 0 {0} \"forward\" \"-\" \"-\" \"10.0.0.1:80\" \"200\" \
         \"-\" \"-\" TID_dc57cebed65b444ebc8177bb698fe166\n",
        time.format("%Y-%m-%dT%H:%M:%S.000001Z")
    );
    let name = format!(
        "123456789012_elasticloadbalancing_us-east-2_app.shop.50dc6c495c0c9188_{}_10.0.0.{node}_r{node}.log",
        end.format("%Y%m%dT%H%MZ")
    );
    place.log(&name, &line);
    name
}

/// The report of a command as JSON.
fn json<'a>(place: &Workplace, args: impl IntoIterator<Item = &'a str>) -> Value {
    let mut command = logmill(args);
    command.args(["--tables", &place.path("tables"), "--format", "json"]);
    serde_json::from_str(&succeed(&mut command)).unwrap()
}

/// The status of the table `requests`.
fn status(place: &Workplace) -> Value {
    let status = json(place, ["status"]);
    let tables = status["tables"].as_array().unwrap();
    let requests = tables.iter().find(|table| table["table"] == "requests");
    requests.unwrap_or_else(|| panic!("{status}")).clone()
}

fn minute(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%MZ").to_string()
}

/// Two nodes that deliver until ten minutes ago, in three hours.
fn of_two_nodes(place: &Workplace) -> DateTime<Utc> {
    place.rollup("requests", BY_MINUTE);
    let newest = last_end() - minutes(10);
    for number in 0..36 {
        for node in 1..=2 {
            log(place, node, newest - minutes(5 * number));
        }
    }
    newest
}

#[test]
fn a_table_is_final_up_to_what_each_node_has_delivered() {
    let place = Workplace::new();
    let newest = of_two_nodes(&place);
    place.run();
    let final_until = newest - minutes(30);
    let known = status(&place);
    assert_eq!(known["final_until"], minute(final_until));
    assert_eq!(known["newest_interval_end"], minute(newest));
    assert_eq!(
        known["first_interval_end"],
        minute(newest - minutes(5 * 35))
    );
    assert_eq!(known["nodes"].as_array().unwrap().len(), 2);
    assert_eq!(known["nodes"][1]["address"], "10.0.0.2");
    assert_eq!(known["late_log_files"], 0);
    let text = succeed(&mut logmill(["status", "--tables", &place.path("tables")]));
    for line in [
        format!(
            "table      requests: final until {} (bound 30 min)\n",
            minute(final_until)
        ),
        format!(
            "  waits    for log files later than {} from each node\n",
            minute(newest)
        ),
        "  rows     36, newest line ".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} is not in {text}");
    }
    // The last six intervals are not final.
    let of_final = "SELECT sum(requests) FROM logmill.requests WHERE minute < \
         (SELECT final_until FROM logmill.final_until WHERE table_name = 'requests')";
    assert_eq!(place.query(of_final), ["60"]);

    // A late one is counted, and told.
    let late = log(&place, 3, newest - minutes(60));
    let said = place.run();
    assert!(
        said.contains("late       1 counted by requests for a time that was final"),
        "{said}"
    );
    let known = status(&place);
    assert_eq!(known["final_until"], minute(final_until));
    assert_eq!(
        (
            &known["late_log_files"],
            &known["late"].as_array().unwrap().len()
        ),
        (&Value::from(1), &1)
    );
    assert!(
        known["late"][0]["log_file"]
            .as_str()
            .unwrap()
            .ends_with(&late)
    );
    assert_eq!(place.query(of_final), ["61"]);
    // It is told once.
    place.run();
    assert_eq!(status(&place)["late_log_files"], 1);
}

#[test]
fn a_node_that_is_silent_is_waited_for() {
    let place = Workplace::new();
    let newest = of_two_nodes(&place);
    // It delivered until an hour before the others, and another one until three hours before.
    log(&place, 3, newest - minutes(60));
    log(&place, 4, newest - minutes(180));
    place.run();
    let known = status(&place);
    assert_eq!(known["final_until"], minute(newest - minutes(90)));
    let waits_for = known["waits_for"].as_str().unwrap();
    let expected = format!(
        "app/shop/50dc6c495c0c9188 10.0.0.3 (silent since {}), or log files of {} from the others",
        minute(newest - minutes(60)),
        minute(newest + minutes(60))
    );
    assert_eq!(waits_for, expected);
    let active = known["nodes"].as_array().unwrap().iter();
    let active: Vec<bool> = active.map(|node| node["is_active"] == true).collect();
    assert_eq!(active, [true, true, true, false]);
}

#[test]
fn a_record_goes_with_its_table() {
    let place = Workplace::new();
    let newest = of_two_nodes(&place);
    place.run();
    let record = |table: &str| place.path(&format!("tables/final-until/{table}.json"));
    let tables = place.path("tables");
    let (old, new) = (record("requests"), record("hits"));
    let before = fs::read_to_string(&old).unwrap();
    succeed(&mut logmill([
        "rename", "requests", "hits", "--tables", &tables,
    ]));
    assert!(!Path::new(&old).exists());
    let value =
        |text: &str, field: &str| serde_json::from_str::<Value>(text).unwrap()[field].clone();
    let after = fs::read_to_string(&new).unwrap();
    assert_eq!(value(&after, "table_name"), "hits");
    assert_eq!(value(&after, "final_until"), value(&before, "final_until"));
    succeed(&mut logmill(["drop", "hits", "--yes", "--tables", &tables]));
    assert!(!Path::new(&new).exists());
    assert!(place.query("SELECT * FROM final_until").is_empty());

    // A table that was removed by hand, and made anew from fewer log files, is not final by its old record.
    place.run();
    fs::remove_dir_all(place.path("tables/requests")).unwrap();
    for entry in fs::read_dir(place.path("logs")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    log(&place, 1, newest - minutes(120));
    let said = place.run();
    assert!(!said.contains("late "), "{said}");
    assert_eq!(status(&place)["final_until"], minute(newest - minutes(150)));
    // `tables` and `maintain` see tables only.
    let listed = succeed(&mut logmill([
        "tables", "--tables", &tables, "--format", "csv",
    ]));
    assert!(!listed.contains("final"), "{listed}");
    succeed(&mut logmill(["maintain", "--tables", &tables]));
}

#[test]
fn silent_intervals_are_listed_and_are_no_failure() {
    let place = Workplace::new();
    place.rollup("requests", BY_MINUTE);
    let newest = last_end() - minutes(60);
    for number in [0, 1, 2, 3, 9, 10] {
        log(&place, 1, newest - minutes(5 * number));
        log(&place, 2, newest - minutes(5 * (number / 2)));
    }
    place.run();
    let (logs, tables) = (place.path("logs"), place.path("tables"));
    let from = minute(newest - TimeDelta::days(1));
    let args = ["verify", "--logs", &logs, "--from", &from, "--expect-every"];
    let verify = |every: &'static str| json(&place, args.into_iter().chain([every]));
    let report = verify("5m");
    assert_eq!(report["complete"], true);
    let silences = &report["silences"];
    assert_eq!(
        (&silences["nodes"], &silences["intervals"]),
        (&Value::from(2), &Value::from(5 + 2))
    );
    assert_eq!(silences["balancers"][0]["silent_nodes"], 2);
    let longest = &silences["longest"][0];
    assert_eq!(longest["address"], "10.0.0.1");
    assert_eq!(longest["from"], minute(newest - minutes(45)));
    assert_eq!(longest["to"], minute(newest - minutes(15)));
    assert_eq!(verify("60m")["silences"]["intervals"], 0);
    let mut command = logmill(args.into_iter().chain(["5m", "--tables", &tables]));
    let text = succeed(&mut command);
    for line in [
        "silent     7 intervals of 5 minutes, of 2 nodes: no traffic, or lost before delivery\n",
        "             app/shop/50dc6c495c0c9188 (123456789012 us-east-2, access logs): 7 intervals at 2 of 2 nodes\n",
        "             the longest:\n               app/shop/50dc6c495c0c9188 10.0.0.1: 5 from ",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    assert!(text.ends_with("complete\n"), "{text}");
}
