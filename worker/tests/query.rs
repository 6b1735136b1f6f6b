//! `logmill query`: SQL from the command line, a file, standard input or a prompt, over tables or log files.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use object_store::ObjectStoreExt;
use object_store::path::Path;

use crate::snapshots::assert_snapshot;
use crate::support::ministack::{Ministack, at_endpoint};
use crate::support::{
    Workplace, alb_line, alb_name, gzip, logmill, project, query_command, rows, succeed,
};

/// What a command prints on each stream, and its exit code.
struct Printed {
    out: String,
    err: String,
    code: Option<i32>,
}

fn printed(command: &mut Command) -> Printed {
    of_output(command.output().unwrap())
}

fn of_output(output: Output) -> Printed {
    Printed {
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code(),
    }
}

/// The command with this text on its standard input.
fn with_input(command: &mut Command, text: &str) -> Printed {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    of_output(child.wait_with_output().unwrap())
}

/// Queries this workplace's log files. Prints CSV.
fn of_logs(place: &Workplace, sql: &str) -> Command {
    let logs = place.path("logs");
    logmill(["query", sql, "--logs", &logs, "--format", "csv"])
}

const URL: &str = "https://shop.example:443/?n=1";

/// Log files of three days in AWS's folders, each with 20 lines at 10 o'clock.
fn three_days() -> Workplace {
    let place = Workplace::new();
    for day in ["19", "20", "21"] {
        let folder = format!(
            "{}/AWSLogs/1/elasticloadbalancing/us-east-2/2026/11/{day}",
            place.path("logs")
        );
        fs::create_dir_all(&folder).unwrap();
        let line = |second| {
            let status = if second % 4 == 0 { 503 } else { 200 };
            let line = alb_line(10, second, &format!("192.0.2.{}", second % 3), status, URL);
            line.replace("2026-11-20", &format!("2026-11-{day}"))
        };
        let text: String = (0..20).map(line).collect();
        let name = alb_name(10, 5, 1).replace("20261120", &format!("202611{day}"));
        fs::write(format!("{folder}/{name}.gz"), gzip(&text)).unwrap();
    }
    place
}

#[test]
fn any_select_runs_over_log_lines() {
    let place = three_days();
    for (sql, rows) in [
        (
            "SELECT count(*), count_if(elb_status_code >= 500) FROM alb_access_logs",
            "_col0,_col1\n60,15\n",
        ),
        // A table may be qualified, quoted and in upper case.
        (
            "SELECT day, count(*) AS n FROM \"AwsDataCatalog\".weblogs.\"ALB_ACCESS_LOGS\" GROUP BY 1 ORDER BY 1",
            "day,n\n2026/11/19,20\n2026/11/20,20\n2026/11/21,20\n",
        ),
        (
            "SELECT count(*) AS n FROM alb_access_logs a JOIN weblogs.alb_access_logs b ON a.client_ip = b.client_ip \
             WHERE a.day = '2026/11/19' AND b.day = '2026/11/20' AND a.elb_status_code = 503 AND b.elb_status_code = 503",
            "n\n9\n",
        ),
        (
            "WITH gaps AS (SELECT client_ip, time, lag(time) OVER (PARTITION BY client_ip ORDER BY time) AS before \
             FROM alb_access_logs WHERE day = '2026/11/20') \
             SELECT client_ip, count(before) AS gaps FROM gaps GROUP BY 1 ORDER BY 1",
            "client_ip,gaps\n192.0.2.0,6\n192.0.2.1,6\n192.0.2.2,5\n",
        ),
        (
            "SELECT * FROM (SELECT time, row_number() OVER (ORDER BY time DESC) AS n FROM alb_access_logs) WHERE n = 1",
            "time,n\n2026-11-21T10:00:19.000001Z,1\n",
        ),
        (
            "SELECT time FROM alb_access_logs WHERE client_ip IN (SELECT cast(client_ip AS varchar) FROM alb_access_logs \
             WHERE sent_bytes / 2 = 183) ORDER BY time DESC LIMIT 1",
            "time\n2026-11-21T10:00:19.000001Z\n",
        ),
        (
            "SELECT elb_status_code, approx_percentile(sent_bytes, 0.5), approx_distinct(client_ip), arbitrary(elb), \
             max_by(time, target_processing_time), min_by(client_ip, time), avg(sent_bytes), variance(sent_bytes), \
             count(DISTINCT client_ip), array_agg(DISTINCT request_verb), approx_percentile(sent_bytes, ARRAY[0.1, 0.9]), \
             approx_percentile(target_processing_time, 0.5), numeric_histogram(2, sent_bytes), round(geometric_mean(sent_bytes), 6), length(checksum(client_ip)) \
             FROM alb_access_logs WHERE elb_status_code = 503 AND day = '2026/11/19' GROUP BY 1",
            "elb_status_code,_col1,_col2,_col3,_col4,_col5,_col6,_col7,_col8,_col9,_col10,_col11,_col12,_col13,_col14\n\
             503,366,3,app/shop/50dc6c495c0c9188,2026-11-19T10:00:00.000001Z,192.0.2.0,366.0,0.0,3,[GET],\"[366, 366]\",0.02,{366.0=5.0},366.0,8\n",
        ),
        (
            "SELECT DISTINCT typeof(time), typeof(elb_status_code + 1), typeof(sent_bytes * 2), typeof(from_iso8601_timestamp(time)), \
             typeof(split(elb, '/')), typeof(if(elb = '', 'x', elb)), typeof(NULL) FROM alb_access_logs",
            "_col0,_col1,_col2,_col3,_col4,_col5,_col6\n\
             varchar,integer,bigint,timestamp(3) with time zone,array(varchar),varchar,unknown\n",
        ),
        (
            "SELECT DISTINCT upper(elb), upper(type) FROM alb_access_logs ORDER BY upper(type) DESC, upper(elb)",
            "_col0,_col1\nAPP/SHOP/50DC6C495C0C9188,HTTPS\n",
        ),
        ("SELECT 1", "_col0\n1\n"),
    ] {
        let Printed { out, err, code } = printed(&mut of_logs(&place, sql));
        assert_eq!((out.as_str(), code), (rows, Some(0)), "{sql}\n{err}");
    }
}

#[test]
fn what_would_differ_from_trino_is_refused() {
    let place = three_days();
    for (sql, says) in [
        (
            "SELECT cast(elb AS varchar(3)) FROM alb_access_logs",
            "the type varchar(3) is not supported",
        ),
        (
            "SELECT sum(DISTINCT sent_bytes) FROM alb_access_logs",
            "sum(DISTINCT x) is not supported",
        ),
        (
            "SELECT approx_percentile(sent_bytes, 0.5) OVER () FROM alb_access_logs",
            "approx_percentile is not supported as a window function",
        ),
        (
            "SELECT approx_set(client_ip, 0.01) FROM alb_access_logs",
            "approx_set takes one value",
        ),
        (
            "SELECT median(sent_bytes) FROM alb_access_logs WHERE date_bin(sent_bytes) = 1",
            "the function date_bin is not supported",
        ),
        (
            "SELECT time FROM alb_access_logs TABLESAMPLE BERNOULLI (1)",
            "TABLESAMPLE is not supported",
        ),
    ] {
        let Printed { err, code, .. } = printed(&mut of_logs(&place, sql));
        assert_eq!(code, Some(1), "{sql}");
        assert!(err.contains(says), "{sql}\n{err}");
    }
}

#[test]
fn lookups_are_joined_as_tables_and_called() {
    let place = three_days();
    let names = "ip,name\n192.0.2.0,one\n192.0.2.1,two\n192.0.2.1,three\n";
    fs::write(place.path("rollups/names.csv"), names).unwrap();
    for (from, to) in [
        ("geoip/GeoIP2-Country-Test.mmdb", "country.mmdb"),
        ("user_agents/regexes.yaml", "regexes.yaml"),
    ] {
        let from = project().join("tests").join(from);
        fs::copy(from, place.path(&format!("rollups/{to}"))).unwrap();
    }
    let rollups = place.path("rollups");
    // Joins that a rollup can't have.
    let joined = "SELECT coalesce(name, 'none') AS who, count(*) AS n FROM alb_access_logs l LEFT JOIN names ON ip = l.client_ip \
                  AND name <> 'two' GROUP BY 1 ORDER BY 1";
    let called = "SELECT logmill.user_agent('regexes', user_agent, 'family') AS browser, count(*) AS n, \
                  max(logmill.geoip('country', '81.2.69.160', 'country.iso_code')) AS country FROM alb_access_logs GROUP BY 1";
    for (sql, rows) in [
        (joined, "who,n\nnone,18\none,21\nthree,21\n"),
        (called, "browser,n,country\ncurl,60,GB\n"),
        ("SELECT count(*) AS n FROM names", "n\n3\n"),
        (
            "DESCRIBE names",
            "col_name,data_type\nip,varchar\nname,varchar\n",
        ),
    ] {
        let answer = printed(of_logs(&place, sql).args(["--rollups", &rollups]));
        assert_eq!(answer.out, rows, "{sql}\n{}", answer.err);
    }
    fs::write(place.path("rollups/ignore.txt"), "*20261119*\n").unwrap();
    let counted = "SELECT count(*) AS n FROM alb_access_logs";
    let answer = printed(of_logs(&place, counted).args(["--rollups", &rollups]));
    assert_eq!(answer.out, "n\n40\n", "{}", answer.err);

    let refused = |sql: &str, more: &[&str]| {
        let answer = printed(of_logs(&place, sql).args(more));
        assert_eq!(answer.code, Some(1), "{sql}");
        answer.err
    };
    let said = refused(called, &[]);
    assert!(said.contains("--rollups rollups"), "{said}");
    let said = refused("SELECT * FROM country", &["--rollups", &rollups]);
    assert!(said.contains("write logmill.geoip('country'"), "{said}");
    let said = refused("SELECT * FROM nothing", &["--rollups", &rollups]);
    assert!(said.contains("FROM must name one of"), "{said}");

    // Tables are joined too.
    let place = a_table();
    fs::write(place.path("rollups/names.csv"), "ip,name\n192.0.2.0,one\n").unwrap();
    let sql =
        "SELECT name, sum(requests) AS n FROM clients JOIN names ON ip = client_ip GROUP BY 1";
    let mut command = query_command(&place.path("tables"), sql);
    let answer = printed(command.args(["--rollups", &place.path("rollups")]));
    assert_eq!(answer.out, "name,n\none,3\n", "{}", answer.err);
}

#[test]
fn conditions_decide_which_log_files_are_read() {
    let place = three_days();
    for (condition, read, lines) in [
        ("true", 3, 60),
        ("day = '2026/11/20'", 1, 20),
        ("day IN ('2026/11/19', '2026/11/21')", 2, 40),
        ("day >= '2026/11/20' AND elb_status_code >= 500", 2, 10),
        ("day = '2026/11/20' OR elb_status_code >= 500", 3, 30),
        ("substr(day, 9) = '21'", 1, 20),
        ("day = '2025/01/01'", 0, 0),
        ("time LIKE '2026-11-20T10:%'", 1, 20),
        (
            "time >= '2026-11-20' AND time < '2026-11-20T10:00:10'",
            1,
            10,
        ),
        (
            "from_iso8601_timestamp(time) BETWEEN timestamp '2026-11-20 10:00:00 UTC' AND timestamp '2026-11-20 10:00:09 UTC' \
             AND length(url_decode(request_url)) / 2 > 1",
            1,
            10,
        ),
        (
            "from_iso8601_timestamp(time) > from_iso8601_timestamp('2026-11-20T23:00:00Z') - INTERVAL '1' HOUR",
            1,
            20,
        ),
        (
            "date(from_iso8601_timestamp(time)) = DATE '2026-11-20'",
            1,
            20,
        ),
        (
            "from_iso8601_timestamp(time) > now() + INTERVAL '1000' DAY",
            0,
            0,
        ),
    ] {
        let sql = format!("SELECT count(*) AS n FROM alb_access_logs WHERE {condition}");
        let Printed { out, err, code } = printed(&mut of_logs(&place, &sql));
        assert_eq!(
            (out, code),
            (format!("n\n{lines}\n"), Some(0)),
            "{sql}\n{err}"
        );
        let s = if read == 1 { "" } else { "s" };
        assert!(
            err.starts_with(&format!("reading {read} log file{s}, ")),
            "{sql}\n{err}"
        );
    }
}

#[test]
fn what_can_not_be_read_is_said() {
    let place = Workplace::new();
    let line = |second: u32| alb_line(10, second % 3600, "192.0.2.1", 200, URL);
    let text: String = (0..20_000).map(line).collect();
    let folder = place.folder.path().join("logs");
    let whole = gzip(&text);
    let damaged = alb_name(10, 5, 1) + ".gz";
    fs::write(folder.join(&damaged), &whole[..whole.len() / 2]).unwrap();
    place.log(
        &alb_name(10, 5, 2),
        &format!("{}nonsense\n\n{}", line(1), line(2)),
    );
    place.log("notes.txt", "text of a person\n");
    place.log("empty.log", "");
    place.log(&format!("conn_log_{}", alb_name(10, 5, 3)), "not opened\n");
    place.log(&alb_name(10, 5, 4), "a name without a log line\n");
    let sql = "SELECT count(*) AS n FROM alb_access_logs";
    let Printed { out, err, code } = printed(&mut of_logs(&place, sql));
    assert_eq!(code, Some(3), "{err}");
    let rows: u64 = out.lines().nth(1).unwrap().parse().unwrap();
    assert!(rows > 1000 && rows < 20_000, "{out}");
    for says in [
        "reading 5 log files, ".to_owned(),
        format!("{damaged}: cannot be read: "),
        "lines are read".to_owned(),
        "notes.txt: not a log that logmill knows, but text of another kind".to_owned(),
        "no line is a log line".to_owned(),
        "2 lines are not log lines, and are left out; most of them are in file:///".to_owned(),
        "1 file skipped: of alb_connection_logs, which the query does not read".to_owned(),
        "1 file skipped: empty file".to_owned(),
    ] {
        assert!(err.contains(&says), "{says}\n{err}");
    }
    // Files that are ignored are not missing.
    let mut command = of_logs(&place, sql);
    command.args([
        "--ignore",
        "*.gz",
        "--ignore",
        "notes.txt",
        "--ignore",
        "*_r4.log",
    ]);
    let Printed { out, err, code } = printed(&mut command);
    assert_eq!((out.as_str(), code), ("n\n2\n", Some(0)), "{err}");
    assert!(err.contains("3 files ignored"), "{err}");

    // A single file, another table, and a place that does not exist.
    let one = format!("{}/{}", place.path("logs"), alb_name(10, 5, 2));
    let query = |sql: &str, logs: &str| {
        printed(&mut logmill([
            "query", sql, "--logs", logs, "--format", "csv",
        ]))
    };
    assert_eq!(query(sql, &one).out, "n\n2\n");
    let none = query("SELECT count(*) AS n FROM elb_logs", &one);
    assert_eq!((none.out.as_str(), none.code), ("n\n0\n", Some(3)));
    assert!(none.err.contains("no log files found"), "{}", none.err);
    let missing = query(sql, "/no/such/folder");
    assert_eq!(missing.code, Some(1));
    assert!(
        missing.err.contains("/no/such/folder: cannot be listed"),
        "{}",
        missing.err
    );
}

#[test]
fn a_limit_ends_the_reading_early() {
    let place = Workplace::new();
    let text: String = (0..3000)
        .map(|second| alb_line(10, second, "192.0.2.1", 200, URL))
        .collect();
    let whole = gzip(&text);
    for node in 1..40 {
        fs::write(
            format!("{}/{}.gz", place.path("logs"), alb_name(10, 5, node)),
            &whole,
        )
        .unwrap();
    }
    // The last ones are damaged, which is noticed if they are read.
    for node in 40..80 {
        let half = &whole[..whole.len() / 2];
        fs::write(
            format!("{}/z{}.gz", place.path("logs"), alb_name(10, 5, node)),
            half,
        )
        .unwrap();
    }
    let count = |sql: &str| printed(&mut of_logs(&place, sql));
    let some = count("SELECT time FROM alb_access_logs LIMIT 5");
    assert_eq!(
        (some.out.lines().count(), some.code),
        (6, Some(0)),
        "{}",
        some.err
    );
    assert!(!some.err.contains("warning"), "{}", some.err);
    assert_eq!(count("SELECT max(time) FROM alb_access_logs").code, Some(3));
}

#[tokio::test]
async fn log_files_on_s3_are_read_as_those_in_folders() {
    let place = three_days();
    let s3 = Ministack::start(&["logs"]);
    let bucket = s3.bucket("logs");
    let folder = place.folder.path().join("logs");
    for day in ["19", "20", "21"] {
        let day = format!("AWSLogs/1/elasticloadbalancing/us-east-2/2026/11/{day}");
        for file in fs::read_dir(folder.join(&day)).unwrap() {
            let file = file.unwrap();
            let key = format!("{day}/{}", file.file_name().to_str().unwrap());
            let bytes = fs::read(file.path()).unwrap();
            bucket.put(&Path::from(key), bytes.into()).await.unwrap();
        }
    }
    for (condition, lines, read) in [
        ("true", 60, "reading 3 log files, "),
        ("day = '2026/11/20'", 20, "reading 1 log file, "),
        (
            "day = '2025/11/20'",
            0,
            "reading 0 log files, 0 B; folders of other times not listed",
        ),
    ] {
        let sql = format!("SELECT count(*) AS n FROM alb_access_logs WHERE {condition}");
        let mut command = logmill([
            "query",
            &sql,
            "--logs",
            "s3://logs/AWSLogs",
            "--format",
            "csv",
        ]);
        let Printed { out, err, code } = printed(at_endpoint(&mut command, &s3.endpoint()));
        assert_eq!(
            (out, code),
            (format!("n\n{lines}\n"), Some(0)),
            "{sql}\n{err}"
        );
        assert!(err.starts_with(read), "{sql}\n{err}");
    }
}

#[test]
fn elements_of_arrays_are_rows() {
    let place = three_days();
    let lines = "SELECT DISTINCT part, n FROM alb_access_logs AS l CROSS JOIN UNNEST(split(l.type, 't')) WITH ORDINALITY AS t (part, n) \
                 WHERE n > 0 AND 10 / n > 0 ORDER BY n";
    assert_eq!(rows(&mut of_logs(&place, lines)), ["h,1", ",2", "ps,3"]);
    place.rollup(
        "parts",
        "SELECT split(type, 't') AS parts, trace_id FROM alb_access_logs LIMIT 1",
    );
    place.run();
    let of_table = "SELECT x, upper(y) AS y, count(*) FROM parts p LEFT JOIN UNNEST(p.parts, ARRAY['a']) AS t (x, y) ON true \
                    JOIN parts q ON true GROUP BY 1, 2";
    let printed = printed(&mut query_command(&place.path("tables"), of_table));
    assert!(
        printed.err.contains("write it after all of them"),
        "{}",
        printed.err
    );
    let of_table = "SELECT x, upper(y) AS y, count(*) FROM parts p JOIN parts q ON p.trace_id = q.trace_id \
                    LEFT JOIN UNNEST(p.parts, ARRAY['a']) AS t (x, y) ON true WHERE (SELECT count(*) FROM parts) = 1 GROUP BY 1, 2 ORDER BY 1";
    assert_eq!(place.query(of_table), [",,1", "h,A,1", "ps,,1"]);
    let first = "SELECT n * 2 FROM UNNEST(ARRAY[1, 2]) AS t (n) ORDER BY 1";
    assert_eq!(place.query(first), ["2", "4"]);
}

fn a_table() -> Workplace {
    let place = Workplace::new();
    place.rollup(
        "clients",
        "SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, client_ip, count(*) AS requests, \
         sum(sent_bytes) AS bytes FROM alb_access_logs GROUP BY 1, 2",
    );
    let line = |second| alb_line(10, second, &format!("192.0.2.{}", second % 3), 200, URL);
    place.log(&alb_name(10, 5, 1), &(0..9).map(line).collect::<String>());
    place.run();
    place
}

#[test]
fn sql_comes_from_a_file_or_standard_input() {
    let place = a_table();
    let (tables, file) = (place.path("tables"), place.path("query.sql"));
    let sql = "-- how many\n/* of all */ SELECT sum(requests) AS n FROM clients; -- done\n";
    // Some editors write a byte order mark first.
    let marked = format!("\u{feff}{sql}");
    fs::write(&file, &marked).unwrap();
    place.rollup(
        "marked",
        "\u{feff}SELECT count(*) AS n FROM alb_access_logs",
    );
    succeed(&mut logmill(["check", &place.path("rollups/marked.sql")]));
    let csv = ["--tables", &tables, "--format", "csv"];
    let expected = "n\n9\n";
    assert_eq!(succeed(&mut query_command(&tables, sql)), expected);
    assert_eq!(
        succeed(logmill(["query", "--file", &file]).args(csv)),
        expected
    );
    for args in [&["query", "-"][..], &["query"]] {
        let command = &mut logmill(args.iter().copied());
        let Printed { out, err, code } = with_input(command.args(csv), &marked);
        assert_eq!((out.as_str(), code), (expected, Some(0)), "{err}");
    }
    // The folder of tables may come from the environment.
    let command = &mut logmill(["query", sql, "--format", "csv"]);
    assert_eq!(succeed(command.env("LOGMILL_TABLES", &tables)), expected);
    let Printed { err, code, .. } = printed(command.env_remove("LOGMILL_TABLES"));
    assert_eq!(code, Some(2));
    assert!(err.contains("--tables is missing"), "{err}");
    let missing = printed(logmill(["query", "--file", "/no/such.sql"]).args(csv));
    assert!(
        missing.err.contains("the file /no/such.sql cannot be read"),
        "{}",
        missing.err
    );
}

#[test]
fn tables_are_described_and_listed() {
    let place = a_table();
    let tables = place.path("tables");
    let names = "tab_name\nclients\nfailed_lines\nfinal_until\nlog_files\nrejected_lines\n";
    let shown = succeed(&mut query_command(&tables, "SHOW TABLES"));
    assert_eq!(
        shown.replace("rejected_lines\n", ""),
        names.replace("rejected_lines\n", "")
    );
    let columns =
        "col_name,data_type\nhour,timestamp with time zone\nclient_ip,varchar\nrequests,bigint\n";
    for sql in [
        "DESCRIBE clients",
        "describe weblogs.Clients;",
        "SHOW COLUMNS IN clients",
    ] {
        let described = succeed(&mut query_command(&tables, sql));
        assert!(described.starts_with(columns), "{described}");
    }
    let logs = succeed(&mut of_logs(&place, "DESCRIBE alb_access_logs"));
    assert!(
        logs.starts_with("col_name,data_type\ntype,varchar\ntime,varchar\n"),
        "{logs}"
    );
    let of_path = "\nday,varchar\naccount,varchar\nregion,varchar\nbalancer,varchar\n";
    assert!(logs.ends_with(of_path), "{logs}");
    let logs = succeed(&mut of_logs(&place, "SHOW TABLES"));
    let tables = [
        "alb_access_logs",
        "alb_connection_logs",
        "alb_health_check_logs",
        "elb_logs",
        "nlb_tls_logs",
    ];
    assert_eq!(logs, format!("tab_name\n{}\n", tables.join("\n")));
}

#[test]
fn errors_have_the_words_of_sql() {
    let place = a_table();
    let tables = place.path("tables");
    let mut said = String::new();
    for sql in [
        "SELECT nothing FROM clients",
        "SELECT c.nothing FROM clients c",
        "SELECT * FROM nothing",
        "DESCRIBE nothing",
        "SELECT nothing(requests) FROM clients",
        "SELECT cast(client_ip AS bigint) FROM clients",
        "SELECT requests FROM clients GROUP BY client_ip",
        "SELECT substr(1, 'x') FROM clients",
        "SELECT client_ip FROM clients a, clients b",
        "SELECT client_ip FROM clients WHERE client_ip = \"ADMIN\"",
        "SELECT max(count(*)) FROM clients GROUP BY client_ip",
        "SELECT client_ip, * FROM clients",
        "SELECT rank() FROM clients",
        "SELECT TOP 10 client_ip FROM clients",
        "SELECT transform(split(client_ip, '.'), x -> x) FROM clients",
        "SELECT cast(avg(requests) AS decimal(10, 3)) FROM clients",
        "SELEC 1",
        "SELECT (",
        "",
        "SELECT 1; SELECT 2",
        "CREATE TABLE a AS SELECT 1",
        "INSERT INTO clients VALUES (1)",
        "DROP TABLE clients",
        "COPY clients TO 'x.csv'",
        "SET x = 1",
        "EXPLAIN SELECT 1",
        "SHOW CREATE TABLE clients",
    ] {
        for (of, command) in [
            ("tables", &mut query_command(&tables, sql)),
            (
                "logs",
                &mut of_logs(&place, &sql.replace("clients", "alb_access_logs")),
            ),
        ] {
            let Printed { out, err, code } = printed(command);
            // A header is written before the first row fails.
            assert_eq!(
                (out.trim_start_matches("_col0\n"), code),
                ("", Some(1)),
                "{sql}: {err}"
            );
            said += &format!("{of}: {sql}\n{err}\n");
        }
    }
    for words in [
        "DataFusion",
        "Error during",
        "Schema error",
        "Did you mean '",
        "Utf8",
        "datafusion",
    ] {
        assert!(!said.contains(words), "{words}\n{said}");
    }
    assert_snapshot("query_errors", Some(&place), &said);
}

#[test]
fn the_ending_of_the_output_decides_its_format() {
    let place = a_table();
    let tables = place.path("tables");
    let sql = "SELECT client_ip, sum(requests) AS n FROM clients GROUP BY 1 ORDER BY 1 LIMIT 1";
    let written = |name: &str, others: &[&str]| {
        let path = place.path(name);
        let command = &mut logmill(["query", sql, "--tables", &tables, "--output", &path]);
        assert_eq!(succeed(command.args(others)), "");
        fs::read(path).unwrap()
    };
    assert_eq!(written("a.csv", &[]), b"client_ip,n\n192.0.2.0,3\n");
    assert_eq!(written("a", &[]), b"client_ip,n\n192.0.2.0,3\n");
    let json = b"{\"client_ip\":\"192.0.2.0\",\"n\":3}\n";
    assert_eq!(written("a.json", &[]), json);
    assert_eq!(written("a.NDJSON", &[]), json);
    assert_eq!(written("a.csv", &["--format", "json"]), json);
    assert!(written("a.parquet", &[]).starts_with(b"PAR1"));
    assert!(written("a.txt", &[]).starts_with(b"+--"));
    assert_eq!(
        written("a.txt", &["--vertical"]),
        b"-- row 1 --\nclient_ip  192.0.2.0\nn          3\n1 row\n"
    );
}

/// Runs a command on a terminal, types this text, and returns what the terminal shows until the command has ended.
fn typed(command: &Command, text: &str) -> String {
    let script = r#"
import os, pty, select, sys, time
text, program = sys.argv[1].encode(), sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    os.execvp(program[0], program)
shown, typed, end = b"", b"", time.time() + 60
for key in [text[i:i + 1] for i in range(len(text))] + [None]:
    while time.time() < end:
        ready, _, _ = select.select([terminal], [], [], 0.02 if key is not None else 1)
        if not ready:
            if key is not None and (shown.count(b"logmill> ") or b"--" in shown):
                break
            continue
        try:
            read = os.read(terminal, 65536)
        except OSError:
            read = b""
        if not read:
            key = None
            end = 0
            break
        shown += read
    if key is not None:
        os.write(terminal, key)
        typed += key
        # A key that is typed while a query runs may be lost when the prompt takes the terminal again.
        prompts = shown.count(b"[?2004h")
        while typed.endswith(b";\r") and shown.count(b"[?2004h") == prompts and time.time() < end:
            if select.select([terminal], [], [], 1)[0]:
                shown += os.read(terminal, 65536)
os.kill(child, 9)
os.waitpid(child, 0)
sys.stdout.buffer.write(shown)
"#;
    let mut python = Command::new("python3");
    python.args(["-c", script, text]);
    python.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => python.env(name, value),
            None => python.env_remove(name),
        };
    }
    succeed(&mut python).replace("\r\n", "\n")
}

#[test]
fn a_prompt_answers_one_statement_after_the_other() {
    let place = a_table();
    let (tables, home) = (place.path("tables"), place.path("home"));
    let mut command = logmill(["query", "--tables", &tables]);
    command
        .env("HOME", &home)
        .env("TERM", "xterm")
        .env_remove("XDG_STATE_HOME");
    let shown = typed(
        &command,
        "SHOW TABLES;\rSELECT sum(requests)\r  AS all_requests FROM clients;\rSELECT nothing FROM clients;\r\
         SEL\t client_i\t FROM clients ORDER BY 1 LIMIT 1;\rexit\r",
    );
    for says in [
        "End a statement with ;",
        "| tab_name",
        "| all_requests |",
        "| 9            |",
        "there is no column nothing",
        "| 192.0.2.0 |",
    ] {
        assert!(shown.contains(says), "{says}\n{shown}");
    }
    let history = fs::read_to_string(format!("{home}/.local/state/logmill/history")).unwrap();
    assert!(
        history.contains("SELECT client_ip FROM clients ORDER BY 1 LIMIT 1;"),
        "{history}"
    );
    // The log tables, without any other.
    let logs = place.path("logs");
    let mut command = logmill(["query", "--logs", &logs]);
    command.env("HOME", &home).env("TERM", "xterm");
    let shown = typed(&command, "SELECT count(*) AS n FROM alb_a\t;\rexit\r");
    assert!(
        shown.contains("reading 1 log file, ") && shown.contains("| 9 |"),
        "{shown}"
    );
}

#[test]
fn a_terminal_shows_some_rows_and_says_so() {
    let place = Workplace::new();
    let line = |second| alb_line(10, second, "192.0.2.1", 200, URL);
    place.log(
        &alb_name(10, 5, 1),
        &(0..1500).map(line).collect::<String>(),
    );
    let logs = place.path("logs");
    let sql = "SELECT time FROM alb_access_logs";
    let command = logmill(["query", sql, "--logs", &logs, "--format", "csv"]);
    let shown = typed(&command, "");
    assert!(
        shown.contains("Only the first 1,000 rows are shown on a terminal."),
        "{shown}"
    );
    let rows = |text: &str| {
        text.lines()
            .filter(|line| line.starts_with("2026-11-20T"))
            .count()
    };
    assert_eq!(rows(&shown), 1000);
    assert_eq!(rows(&printed(&mut of_logs(&place, sql)).out), 1500);
}

#[test]
fn an_interrupt_ends_a_query_cleanly() {
    let place = three_days();
    let (logs, file) = (place.path("logs"), place.path("rows.csv"));
    // It never ends by itself.
    let from: Vec<String> = (0..9).map(|n| format!("alb_access_logs t{n}")).collect();
    let sql = format!(
        "SELECT count(*) FROM {} WHERE t0.elb > t8.time",
        from.join(", ")
    );
    let mut child = logmill(["query", &sql, "--logs", &logs, "--output", &file])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert_eq!(child.try_wait().unwrap(), None);
    succeed(Command::new("kill").args(["-INT", &child.id().to_string()]));
    let Printed { err, code, .. } = of_output(child.wait_with_output().unwrap());
    assert_eq!(code, Some(130), "{err}");
    // Neither the file nor a part of it is left.
    let left: Vec<_> = fs::read_dir(place.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        left.iter()
            .all(|name| !name.to_string_lossy().contains(".csv")
                && !name.to_string_lossy().starts_with('.')),
        "{left:?}"
    );
}
