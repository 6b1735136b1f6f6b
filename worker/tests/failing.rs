//! Files that were taken for what they are not, and what is right instead: in a folder of logs, from outside.

use std::fs;
use std::io::Write;
use std::process::Command;

use crate::support::{Workplace, alb_line, alb_name, fail, gzip, logmill, project, succeed};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

const EVERY_ROW: &str = "SELECT time, type, client_ip, request_url FROM alb_access_logs";

/// A workplace with a rollup over each format.
fn place() -> Workplace {
    let place = Workplace::new();
    place.rollup("rows", EVERY_ROW);
    place.rollup("classic_rows", "SELECT timestamp, elb_name FROM elb_logs");
    place
}

fn line(second: u32) -> String {
    alb_line(10, second, "192.0.2.1", 200, "https://shop.example:443/")
}

/// A name of AWS's for a log file of 10:05.
fn name(random: &str) -> String {
    alb_name(10, 5, 7).replace("_r7.log", &format!("_{random}.log.gz"))
}

fn put(place: &Workplace, name: &str, bytes: impl AsRef<[u8]>) {
    let path = place.folder.path().join("logs").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn gzip_bytes(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// `verify` over all times.
fn verify_command(place: &Workplace) -> Command {
    let (logs, tables) = (place.path("logs"), place.path("tables"));
    let mut command = logmill(["verify", "--logs", &logs, "--tables", &tables]);
    command.args(["--from", "2000-01-01", "--to", "2999-01-01"]);
    command
}

fn verified(place: &Workplace) -> Value {
    let output = verify_command(place)
        .args(["--format", "json"])
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let code = if report["complete"] == true { 0 } else { 3 };
    assert_eq!(output.status.code(), Some(code), "{report}");
    report
}

fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap().iter();
    list.map(|each| {
        each["log_file"]
            .as_str()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap()
    })
    .collect()
}

#[test]
fn logs_of_other_programs_are_unrecognised_and_not_counted() {
    let place = place();
    for (name, text) in [
        (
            "app.log",
            "2026-11-20T10:00:00.123Z INFO c.e.Foo: user 42 did something quite long with more than twelve words in it ok\n",
        ),
        (
            "service.log",
            "INFO 2026-11-20T10:00:00.123Z worker app.py:42 processed a batch of one hundred things without any trouble at all today\n",
        ),
        // CloudWatch Logs' export of a Lambda function's log.
        (
            "000000",
            "2026-11-20T10:00:00.000Z START RequestId: 00000000-1111-4222-8333-444444444444 Version: $LATEST\n\
             2026-11-20T10:00:00.200Z END RequestId: 00000000-1111-4222-8333-444444444444\n\
             2026-11-20T10:00:00.200Z REPORT RequestId: 00000000-1111-4222-8333-444444444444 Duration: 2.11 ms Billed Duration: 3 ms Memory Size: 128 MB\n",
        ),
        (
            "cloudfront.gz",
            "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes\n",
        ),
        (
            "123456789012_CloudTrail_us-east-2_20261120T1005Z_r.json.gz",
            "{}",
        ),
        ("empty.log", ""),
    ] {
        put(&place, name, text);
    }
    // Nothing that was found is a log file: all is as it should be, and nothing is proven.
    let printed = fail(&mut place.run_command(), 3);
    for expected in [
        "log files  0 counted",
        "2 unrecognised: not a load balancer's log",
        "/app.log: text of another kind",
        "1 skipped: Lambda function's log",
        "1 skipped: CloudFront log",
        "1 skipped: CloudTrail log",
        "1 skipped: empty file",
        "no log files found that a rollup reads",
    ] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    for table in ["rows", "classic_rows", "rejected_lines"] {
        assert_eq!(
            place.query(&format!("SELECT count(*) FROM {table}")),
            ["0"],
            "{table}"
        );
    }

    // With a log file, the unrecognised are told by `run`, and are not complete for `verify` until they are ignored.
    put(&place, &name("good"), gzip(&line(1)));
    let printed = place.run();
    assert!(printed.contains("2 unrecognised"), "{printed}");
    let report = verified(&place);
    assert_eq!(report["complete"], false);
    assert_eq!(names(&report["unrecognised"]), ["app.log", "service.log"]);
    let told = fail(&mut verify_command(&place), 3);
    assert!(
        told.contains("2 unrecognised") && told.ends_with("incomplete\n"),
        "{told}"
    );
    let told =
        succeed(verify_command(&place).args(["--ignore", "app.log", "--ignore", "logs/serv*"]));
    assert!(
        told.contains("2 ignored") && told.ends_with("\ncomplete\n"),
        "{told}"
    );

    // A file beside the rollups says so to all.
    fs::write(place.path("rollups/ignore.txt"), "# not ours\n*.log\n").unwrap();
    let printed = place.run();
    assert!(
        printed.contains("3 ignored") && !printed.contains("unrecognised"),
        "{printed}"
    );
    let rollups = place.path("rollups");
    let told = succeed(verify_command(&place).args(["--rollups", &rollups]));
    assert!(told.ends_with("\ncomplete\n"), "{told}");
    fs::write(place.path("rollups/ignore.txt"), "a**b\n").unwrap();
    let printed = fail(&mut place.run_command(), 1);
    assert!(
        printed.contains("ignore.txt:1: invalid pattern 'a**b'"),
        "{printed}"
    );
}

#[test]
fn what_is_named_as_a_log_and_has_no_log_line_fails_and_its_mended_file_counts() {
    let place = place();
    let whole: String = (0..1000).map(line).collect();
    let xml =
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>AccessDenied</Code></Error>\n";
    let json = "{\"type\":\"https\",\"time\":\"2026-11-20T10:01:00.000000Z\",\"elb_status_code\":\"200\"}\n";
    // As bzip2 begins.
    let bzip2 = b"BZh91AY&SY\x4e\xec\xe8\x36\x00\x00\x02\x51\x80\x00\x10\x40";
    let files: [(&str, Vec<u8>, &str); 6] = [
        (
            "twice",
            gzip_bytes(&gzip(&whole)),
            "a gzip stream inside a gzip stream",
        ),
        ("xml", xml.into(), "XML or HTML"),
        ("json", gzip(&json.repeat(3)), "JSON"),
        ("bzip2", bzip2.to_vec(), "a bzip2 stream"),
        ("blank", gzip("\n\n"), "white space"),
        (
            "lines",
            gzip(&"no log line\n".repeat(500)),
            "text of another kind",
        ),
    ];
    for (random, bytes, _) in &files {
        put(&place, &name(random), bytes);
    }
    // Some bad lines among good ones are rejected, as ever, also if they come first.
    put(
        &place,
        &name("some"),
        gzip(&("no log line\n".repeat(500) + &line(1))),
    );
    let printed = fail(&mut place.run_command(), 3);
    assert!(printed.contains("log files  1 counted"), "{printed}");
    assert!(printed.contains("6 failed, and not counted"), "{printed}");
    assert!(printed.contains("501, of which 500 rejected"), "{printed}");
    let report = verified(&place);
    assert_eq!(report["failed"].as_array().unwrap().len(), files.len());
    for (random, _, what) in &files {
        let of_it = |text: &str| {
            text.contains(&format!("_{random}.log.gz"))
                && text.contains(&format!("the content looks like {what}"))
        };
        assert!(printed.lines().any(of_it), "{random}: {printed}");
        let failed = report["failed"].as_array().unwrap();
        assert!(
            failed.iter().any(|failed| of_it(&failed.to_string())),
            "{random}: {report}"
        );
    }
    assert_eq!(place.query("SELECT count(*) FROM rows"), ["1"]);
    assert_eq!(place.query("SELECT count(*) FROM rejected_lines"), ["500"]);

    for (random, ..) in &files {
        put(&place, &name(random), gzip(&line(2)));
    }
    let printed = place.run();
    assert!(printed.contains("log files  6 counted"), "{printed}");
    let told = succeed(&mut verify_command(&place));
    assert!(told.contains("7 counted\ncomplete\n"), "{told}");
    assert_eq!(place.query("SELECT count(*) FROM rows"), ["7"]);
}

#[test]
fn an_empty_log_file_is_skipped_and_counts_once_it_is_not() {
    let place = place();
    put(&place, &name("good"), gzip(&line(1)));
    put(&place, &name("empty"), "");
    put(&place, &name("nothing"), gzip(""));
    let printed = place.run();
    assert!(
        printed.contains("log files  1 counted") && printed.contains("2 skipped: empty file"),
        "{printed}"
    );
    let told = succeed(&mut verify_command(&place));
    assert!(told.contains("2 skipped: empty file\ncomplete"), "{told}");
    put(&place, &name("empty"), gzip(&line(2)));
    put(&place, &name("nothing"), gzip(&line(3)));
    fail(&mut verify_command(&place), 3);
    let printed = place.run();
    assert!(printed.contains("log files  2 counted"), "{printed}");
    assert_eq!(place.query("SELECT count(*) FROM rows"), ["3"]);
}

#[test]
fn a_byte_order_mark_and_padding_are_no_part_of_the_text() {
    let place = place();
    put(&place, "bom.txt", format!("\u{feff}{}", line(1)));
    put(
        &place,
        &name("zeros"),
        [gzip(&line(2)), vec![0; 512]].concat(),
    );
    put(
        &place,
        &name("newline"),
        [gzip(&line(3)), b"\n".to_vec()].concat(),
    );
    let connection = "2026-11-20T10:01:00.000000Z 192.0.2.1 36280 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 4.036 \"CN=x,O=y\" - - Success TID_x\n";
    put(
        &place,
        &format!("copy-of-conn_log_{}", name("conn")),
        gzip(connection),
    );
    put(&place, &name("conn"), gzip(connection));
    let printed = place.run();
    assert!(printed.contains("log files  3 counted"), "{printed}");
    assert!(
        printed.contains("2 skipped: of alb_connection_logs, which no rollup here reads"),
        "{printed}"
    );
    assert!(printed.contains("3, of which 0 rejected"), "{printed}");
    assert_eq!(
        place.query("SELECT count(*) FROM rows WHERE type = 'https'"),
        ["3"]
    );
    let told = succeed(&mut verify_command(&place));
    assert!(told.ends_with("\ncomplete\n"), "{told}");
}

#[test]
fn urls_that_trino_can_not_parse_are_counted_by_check() {
    let place = Workplace::new();
    let queries = [
        "",
        "&utm=a|b",
        "&j={%22a%22:1}",
        "&x[]=1",
        "&q=100%",
        "&a=^",
        "&a=`",
        "&a=\\x22",
        "&a=\\xC3",
        "&x=%41",
        "&ok=1",
        "&a=<",
        "&a=b c",
    ];
    let lines: String = queries
        .iter()
        .enumerate()
        .map(|(uid, query)| {
            let url = format!("https://h.example:443/e?e=view&uid={uid}{query}");
            alb_line(10, uid as u32, "192.0.2.1", 204, &url)
        })
        .collect();
    place.log(&alb_name(10, 5, 1), &lines);
    let logs = place.path("logs");
    let check = |rollup: &str| succeed(&mut logmill(["check", rollup, "--sample", &logs]));
    let events = project().join("rollups/events.sql");
    let printed = check(events.to_str().unwrap());
    assert!(
        printed.contains("URLs:   9 lines have a URL that Trino's URL functions cannot parse"),
        "{printed}"
    );
    assert!(printed.contains("docs/sql.md"), "{printed}");
    place.rollup("rows", EVERY_ROW);
    let printed = check(&place.path("rollups/rows.sql"));
    assert!(!printed.contains("URLs:"), "{printed}");
}

#[cfg(unix)]
#[test]
fn what_can_not_be_listed_is_named_and_the_rest_counts() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let place = place();
    put(&place, &format!("a/{}", name("good")), gzip(&line(1)));
    symlink("nowhere", place.folder.path().join("logs/a/dangling.log")).unwrap();
    let printed = fail(&mut place.run_command(), 3);
    assert!(printed.contains("log files  1 counted"), "{printed}");
    assert!(
        printed.contains("/a/dangling.log: a symbolic link whose target does not exist"),
        "{printed}"
    );
    let report = verified(&place);
    assert_eq!(
        (&report["counted"], &report["complete"]),
        (&Value::from(1), &Value::from(false))
    );
    assert_eq!(names(&report["failed"]), ["dangling.log"]);
    let told = succeed(verify_command(&place).args(["--ignore", "dangling.*"]));
    assert!(told.contains("1 ignored\ncomplete\n"), "{told}");
    fs::remove_file(place.folder.path().join("logs/a/dangling.log")).unwrap();

    let locked = place.folder.path().join("logs/b");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(&locked).is_ok() {
        println!("this user may read all: an unreadable folder can't be made");
    } else {
        let printed = fail(&mut place.run_command(), 3);
        assert!(
            printed.contains("1 counted before") && printed.contains("/b: cannot be listed"),
            "{printed}"
        );
        assert_eq!(names(&verified(&place)["failed"]), ["b"]);
    }
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o755)).unwrap();
    succeed(&mut verify_command(&place));
}

#[test]
fn logs_and_tables_in_one_place_are_refused_however_it_is_written() {
    let place = place();
    put(&place, &name("good"), gzip(&line(1)));
    let run = |logs: &str, tables: &str| {
        let mut command = logmill(["run", logs, "--rollups", "rollups", "--tables", tables]);
        command.current_dir(place.folder.path());
        command
    };
    for (logs, tables) in [
        ("./logs", "logs"),
        ("logs/", "./logs"),
        ("rollups/../logs", "logs"),
        ("logs", "."),
    ] {
        let printed = fail(&mut run(logs, tables), 1);
        assert!(
            printed.contains("cannot be in the same place"),
            "{logs} {tables}: {printed}"
        );
    }
    assert!(
        !place.folder.path().join("logs/rows").exists(),
        "nothing was made"
    );
    // The tables' own files are no logs, wherever they lie.
    let printed = succeed(&mut run("logs", "logs/tables"));
    assert!(printed.contains("log files  1 counted"), "{printed}");
    let printed = succeed(&mut run("logs", "logs/tables"));
    assert!(
        printed.contains("1 counted before") && !printed.contains("unrecognised"),
        "{printed}"
    );
    let mut verify = logmill([
        "verify",
        "--logs",
        "./logs/tables/rows",
        "--tables",
        "logs/tables",
        "--from",
        "2026-11-20",
    ]);
    let printed = fail(verify.current_dir(place.folder.path()), 1);
    assert!(printed.contains("cannot be in the same place"), "{printed}");
}

#[test]
fn where_nothing_was_found_nothing_is_complete() {
    let place = place();
    let printed = fail(&mut place.run_command(), 3);
    assert!(
        printed.contains("no log files found that a rollup reads"),
        "{printed}"
    );
    let told = fail(&mut verify_command(&place), 3);
    assert!(
        told.ends_with("incomplete no log files found in this time range that a table reads\n"),
        "{told}"
    );
    put(&place, &name("good"), gzip(&line(1)));
    place.run();
    place.run();
    succeed(&mut verify_command(&place));
    let (logs, tables) = (place.path("logs"), place.path("tables"));
    let span = ["--from", "2026-11-21", "--to", "2026-11-22"];
    let told = fail(
        logmill(["verify", "--logs", &logs, "--tables", &tables]).args(span),
        3,
    );
    assert!(
        told.contains("incomplete no log files found in this time range"),
        "{told}"
    );
}

#[test]
fn a_log_file_that_was_delivered_days_late_is_verified() {
    let place = place();
    let folder = |day: u32| format!("AWSLogs/1/elasticloadbalancing/us-east-2/2026/11/{day}/");
    put(&place, &(folder(20) + &name("good")), gzip(&line(1)));
    place.run();
    put(&place, &(folder(22) + &name("late")), gzip(&line(2)));
    put(&place, &(folder(27) + &name("later")), gzip(&line(3)));
    let (logs, tables) = (place.path("logs"), place.path("tables"));
    let mut verify = logmill([
        "verify", "--logs", &logs, "--tables", &tables, "--format", "json",
    ]);
    verify.args(["--from", "2026-11-20", "--to", "2026-11-21"]);
    let report: Value = serde_json::from_slice(&verify.output().unwrap().stdout).unwrap();
    assert_eq!(names(&report["missing"]), [name("late"), name("later")]);
}

#[test]
fn copies_are_named_and_can_be_left_out() {
    let place = place();
    put(&place, &format!("alb/{}", name("good")), gzip(&line(1)));
    put(
        &place,
        &format!("waf/2026/{}", name("good")),
        gzip(&line(1)),
    );
    put(&place, "alb/export.log", line(2));
    put(&place, "waf/export.log", line(3));
    // Left out before they count.
    let printed = succeed(place.run_command().args(["--ignore", "waf/"]));
    assert!(
        printed.contains("2 counted") && printed.contains("2 ignored"),
        "{printed}"
    );
    assert!(!printed.contains("a copy of"), "{printed}");

    let told_of = |printed: &str| {
        let copy = format!("/waf/2026/{}: a copy of file:///", name("good"));
        printed.contains("1 have the same name as another log file") && printed.contains(&copy)
    };
    let printed = place.run();
    assert!(
        printed.contains("2 counted") && told_of(&printed),
        "{printed}"
    );
    let told = succeed(&mut verify_command(&place));
    assert!(told_of(&told), "{told}");

    // Also if the first is not in the listing, and was counted before.
    let (waf, rollups, tables) = (
        place.path("logs/waf"),
        place.path("rollups"),
        place.path("tables"),
    );
    let printed = succeed(&mut logmill([
        "run",
        &waf,
        "--rollups",
        &rollups,
        "--tables",
        &tables,
    ]));
    assert!(told_of(&printed), "{printed}");
}
