//! `logmill run` from outside: what is counted, once, and what is refused.

use std::fs;

use crate::support::{Workplace, alb_line, alb_name, fail, logmill, project, succeed};

const BY_MINUTE: &str = "SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, elb_status_code AS status, \
     count(*) AS requests, approx_set(client_ip) AS clients FROM alb_access_logs GROUP BY 1, 2";

#[test]
fn a_log_file_counts_once_however_often_it_is_run() {
    let place = Workplace::new();
    place.rollup("by_minute", BY_MINUTE);
    let url = "https://shop.example:443/";
    place.log(
        &alb_name(10, 5, 1),
        &[
            alb_line(10, 1, "192.0.2.1", 200, url),
            alb_line(10, 70, "192.0.2.2", 200, url),
        ]
        .concat(),
    );
    assert!(place.run().contains("log files  1 counted"));
    let again = place.run();
    assert!(
        again.contains("log files  0 counted") && again.contains("1 counted before"),
        "{again}"
    );
    let rows = "SELECT minute, status, requests, cardinality(clients) FROM by_minute ORDER BY 1, 2";
    assert_eq!(
        place.query(rows),
        [
            "2026-11-20T10:00:00Z,200,1,1",
            "2026-11-20T10:01:00Z,200,1,1"
        ]
    );

    // A second node's file of the same minutes: its rows merge with those that are there.
    place.log(
        &alb_name(10, 5, 2),
        &[
            alb_line(10, 2, "192.0.2.1", 200, url),
            alb_line(11, 0, "192.0.2.9", 404, url),
        ]
        .concat(),
    );
    assert!(place.run().contains("log files  1 counted"));
    assert_eq!(
        place.query(rows),
        [
            "2026-11-20T10:00:00Z,200,2,1",
            "2026-11-20T10:01:00Z,200,1,1",
            "2026-11-20T11:00:00Z,404,1,1"
        ]
    );
    let files = "SELECT lines, rejected_lines, rows, first_time, last_time FROM log_files ORDER BY log_file";
    assert_eq!(
        place.query(files),
        [
            "2,0,2,2026-11-20T10:00:01Z,2026-11-20T10:01:10Z",
            "2,0,2,2026-11-20T10:00:02Z,2026-11-20T11:00:00Z"
        ]
    );
}

#[test]
fn a_log_file_that_has_changed_is_named_and_not_counted_again() {
    let place = Workplace::new();
    place.rollup("by_minute", BY_MINUTE);
    let line = alb_line(10, 1, "192.0.2.1", 200, "https://shop.example:443/");
    place.log(&alb_name(10, 5, 1), &line);
    place.run();
    place.log(&alb_name(10, 5, 1), &line.repeat(2));
    let printed = place.run();
    assert!(
        printed.contains("1 changed since they were counted"),
        "{printed}"
    );
    assert_eq!(place.query("SELECT sum(requests) FROM by_minute"), ["1"]);
}

#[test]
fn a_rollup_added_later_counts_what_is_there() {
    let place = Workplace::new();
    place.rollup("by_minute", BY_MINUTE);
    place.log(
        &alb_name(10, 5, 1),
        &alb_line(10, 1, "192.0.2.1", 200, "https://shop.example:443/"),
    );
    place.run();
    place.rollup(
        "by_client",
        "SELECT client_ip, count(*) AS requests FROM alb_access_logs GROUP BY 1",
    );
    place.run();
    assert_eq!(
        place.query("SELECT client_ip, requests, date, is_other FROM by_client_groups"),
        ["192.0.2.1,1,2026-11-20,false"]
    );
    assert_eq!(place.query("SELECT * FROM by_client"), ["192.0.2.1,1"]);
    assert_eq!(place.query("SELECT sum(requests) FROM by_minute"), ["1"]);
}

#[test]
fn a_sum_that_overflows_is_told_and_never_wrong() {
    let place = Workplace::new();
    place.rollup(
        "amounts",
        "SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, \
         sum(try_cast(url_extract_parameter(request_url, 'n') AS bigint)) AS amount \
         FROM alb_access_logs GROUP BY 1",
    );
    let line = |n: i64| {
        let url = format!("https://shop.example:443/?n={n}");
        alb_line(10, 1, "192.0.2.1", 200, &url)
    };
    let amount = || place.query("SELECT amount, amount__sum FROM amounts");
    // In one log file, and where the rows of two meet.
    place.log(&alb_name(10, 5, 1), &(line(i64::MAX) + &line(1)));
    let printed = place.run();
    assert!(
        printed.contains("1 sums exceed bigint and are NULL"),
        "{printed}"
    );
    assert_eq!(amount(), [",9223372036854775808"]);
    place.log(&alb_name(10, 5, 2), &line(i64::MAX));
    place.run();
    assert_eq!(amount(), [",18446744073709551615"]);

    // It is exact, and a bigint again when it can be.
    place.log(&alb_name(10, 5, 3), &(line(i64::MIN) + &line(i64::MIN)));
    let printed = place.run();
    assert!(!printed.contains("exceed bigint"), "{printed}");
    assert_eq!(amount(), ["-1,-1"]);
}

#[test]
fn a_full_hour_keeps_the_groups_that_it_has_and_folds_others() {
    let place = Workplace::new();
    place.rollup(
        "by_client",
        "-- logmill: groups_max = 3\n\
         SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, client_ip, count(*) AS n, sum(sent_bytes) AS sent, \
         approx_set(client_ip) AS clients FROM alb_access_logs GROUP BY 1, 2",
    );
    let lines = |hour: u32, clients: &[u32]| -> String {
        let line = |client: &u32| {
            let client = format!("192.0.2.{client}");
            alb_line(hour, 1, &client, 200, "https://shop.example:443/")
        };
        clients.iter().map(line).collect()
    };
    let rows = |hour: u32| {
        place.query(&format!(
            "SELECT client_ip, n, sent, cardinality(clients), is_other FROM by_client WHERE hour(hour) = {hour} ORDER BY is_other, 1"
        ))
    };
    place.log(&alb_name(10, 5, 1), &lines(10, &[5, 5, 7]));
    place.run();
    // There is room for one more, and for all that come later of those that are there.
    place.log(&alb_name(10, 5, 2), &lines(10, &[1, 5, 9, 8, 9]));
    place.log(&alb_name(11, 5, 2), &lines(11, &[1, 2, 3]));
    let printed = place.run();
    assert!(
        printed.contains("1 rows have is_other set: they combine groups"),
        "{printed}"
    );
    let full = [
        "192.0.2.1,1,366,1,false",
        "192.0.2.5,3,1098,1,false",
        "192.0.2.7,1,366,1,false",
        ",3,1098,2,true",
    ];
    assert_eq!(rows(10), full);
    place.log(&alb_name(10, 5, 3), &lines(10, &[7, 9, 6]));
    place.run();
    assert_eq!(
        rows(10),
        [
            full[0],
            full[1],
            "192.0.2.7,2,732,1,false",
            ",5,1830,3,true"
        ]
    );
    assert_eq!(rows(11).len(), 3);
    assert_eq!(
        place.query("SELECT sum(n), sum(sent__sum) FROM by_client"),
        ["14,5124"]
    );

    // A day that was packed says nothing of its hours by itself.
    succeed(&mut logmill([
        "maintain",
        "--tables",
        &place.path("tables"),
    ]));
    place.log(&alb_name(11, 5, 4), &lines(11, &[3, 4]));
    place.log(&alb_name(12, 5, 4), &lines(12, &[1, 2, 3]));
    place.run();
    assert_eq!(rows(11)[2..], ["192.0.2.3,2,732,1,false", ",1,366,1,true"]);
    assert_eq!(rows(10)[3], ",5,1830,3,true");
    assert_eq!(rows(12).len(), 3);
}

#[test]
fn a_table_goes_on_with_its_own_sql_when_its_file_has_another() {
    let place = Workplace::new();
    place.rollup("by_minute", BY_MINUTE);
    place.log(
        &alb_name(10, 5, 1),
        &alb_line(10, 1, "192.0.2.1", 200, "https://shop.example:443/"),
    );
    place.run();
    place.rollup(
        "by_minute",
        &format!(
            "-- another layout\n{}",
            BY_MINUTE.replace(" FROM", "\nFROM")
        ),
    );
    place.run();
    place.rollup("by_minute", &BY_MINUTE.replace("client_ip", "user_agent"));
    place.log(
        &alb_name(10, 5, 2),
        &alb_line(10, 1, "192.0.2.2", 200, "https://shop.example:443/"),
    );
    let printed = place.run();
    assert!(
        printed
            .contains("warning    by_minute: the rollup's file and the table have different SQL")
            && printed.contains("run `logmill rebuild`"),
        "{printed}"
    );
    let rows = "SELECT requests, cardinality(clients) FROM by_minute";
    assert_eq!(place.query(rows), ["2,2"]);
}

#[test]
fn a_rollup_joins_a_lookup_and_its_table_keeps_a_copy() {
    let place = Workplace::new();
    let countries = place.path("rollups/countries.csv");
    let rows = "Code,Region,Name\nDE,Europe,Germany\nFR,Europe,\nUS,America,\"U, S\"\n";
    fs::write(&countries, rows).unwrap();
    let by_cc = "countries c ON c.code = url_extract_parameter(l.request_url, 'cc')";
    place.rollup(
        "regions",
        &format!("SELECT c.region, count(*) AS requests FROM alb_access_logs l JOIN {by_cc} GROUP BY c.region"),
    );
    place.rollup(
        "all_lines",
        &format!(
            "WITH lines AS (SELECT l.elb, c.name FROM alb_access_logs l LEFT JOIN {by_cc}) \
             SELECT name, count(*) AS requests FROM lines GROUP BY 1 ORDER BY requests DESC"
        ),
    );
    let codes = ["DE", "FR", "DE", "XX", "", "de", "US"];
    let log = |hour| {
        let lines = (0..).zip(codes).map(|(n, code)| {
            let url = format!("http://a.de:80/?cc={code}");
            alb_line(hour, n, "1.1.1.1", 200, &url)
        });
        let lines: String = lines.collect();
        place.log(&alb_name(hour, 5, 1), &lines);
        place.run()
    };
    log(9);
    log(10);
    let regions = "SELECT region, requests FROM regions ORDER BY 1";
    assert_eq!(place.query(regions), ["America,2", "Europe,6"]);
    let all_lines = "SELECT coalesce(name, 'none'), requests FROM all_lines ORDER BY 2 DESC, 1";
    let counted = ["none,6", "Germany,4", ",2", "\"U, S\",2"];
    assert_eq!(place.query(all_lines), counted);

    // The table goes on with its own copy.
    fs::write(&countries, "code,region,name\nDE,EU,D\n").unwrap();
    let printed = log(11);
    assert!(
        printed
            .contains("warning    regions: countries.csv has changed since the table was created")
            && printed.contains("run `logmill rebuild`"),
        "{printed}"
    );
    assert_eq!(place.query(regions), ["America,3", "Europe,9"]);
    // Maintenance and views don't need the file.
    fs::remove_file(&countries).unwrap();
    succeed(&mut logmill([
        "maintain",
        "--tables",
        &place.path("tables"),
    ]));
    assert_eq!(place.query(all_lines)[1], "Germany,6");

    // Each line may match one row at most.
    fs::write(&countries, "code,region\nDE,EU\nFR,EU\nDE,Europe\n").unwrap();
    let said = fail(
        &mut logmill(["check", &place.path("rollups/regions.sql")]),
        1,
    );
    assert!(
        said.contains("countries.csv: the lines 2 and 4 have the same code"),
        "{said}"
    );
}

#[test]
fn addresses_are_looked_up_in_a_database() {
    let place = Workplace::new();
    // Of MaxMind's repository MaxMind-DB, which offers it under the Apache License 2.0.
    let database = project().join("tests/geoip/GeoIP2-Country-Test.mmdb");
    fs::copy(database, place.path("rollups/country.mmdb")).unwrap();
    place.rollup(
        "countries",
        "SELECT logmill.geoip('country', client_ip, 'country.iso_code') AS country, \
         max(logmill.geoip('country', l.client_ip, 'country.names.en')) AS name, count(*) AS requests \
         FROM alb_access_logs l GROUP BY 1 ORDER BY 1",
    );
    for hour in [9, 10] {
        let addresses = (0..).zip([
            "81.2.69.160",
            "81.2.69.142",
            "192.0.2.1",
            "2.125.160.216",
            "-",
        ]);
        let lines: String = addresses
            .map(|(n, address)| alb_line(hour, n, address, 200, "http://a.de:80/"))
            .collect();
        place.log(&alb_name(hour, 5, 1), &lines);
        place.run();
    }
    let rows = "SELECT coalesce(country, 'none'), name, requests FROM countries ORDER BY 1";
    assert_eq!(place.query(rows), ["GB,United Kingdom,6", "none,,4"]);

    place.rollup(
        "joined",
        "SELECT elb FROM alb_access_logs l JOIN country c ON c.x = l.elb",
    );
    let check = |name: &str| {
        let path = place.path(&format!("rollups/{name}.sql"));
        fail(&mut logmill(["check", &path]), 1)
    };
    assert!(check("joined").contains("write logmill.geoip('country', client_ip"));
    place.rollup(
        "wrong",
        "SELECT logmill.geoip('city', client_ip, elb) AS x FROM alb_access_logs",
    );
    assert!(check("wrong").contains("as literals"));
    place.rollup(
        "missing",
        "SELECT logmill.geoip('city', client_ip, 'x') AS x FROM alb_access_logs",
    );
    assert!(check("missing").contains("there is no file city.mmdb beside the rollups"));
}

#[test]
fn a_line_counts_with_all_elements_of_its_arrays_or_not_at_all() {
    let place = Workplace::new();
    let parts =
        "CROSS JOIN UNNEST(split(url_extract_parameter(l.request_url, 'p'), ',')) AS t (part)";
    place.rollup(
        "numbers",
        &format!("SELECT cast(part AS bigint) AS n, count(*) AS uses FROM alb_access_logs l {parts} GROUP BY 1"),
    );
    place.rollup(
        "pairs",
        &format!(
            "WITH parts AS (SELECT part, client_ip FROM alb_access_logs l {parts}) \
             SELECT part || other AS pair, count(*) AS uses FROM parts LEFT JOIN UNNEST(split(nullif(part, '3'), '-')) \
             WITH ORDINALITY AS u (other, n) ON true, UNNEST(split(client_ip, '.')) AS v (byte) WHERE n = 1 AND byte = '1' GROUP BY 1"
        ),
    );
    place.rollup(
        "products",
        &format!(
            "SELECT elb, count(*) AS n FROM alb_access_logs l {parts} {} GROUP BY 1",
            parts.replace(" t ", " u ")
        ),
    );
    place.rollup(
        "times",
        &format!(
            "SELECT date_trunc('hour', from_unixtime(3600 * try_cast(part AS bigint))) AS h, count(*) AS n FROM alb_access_logs l {parts} GROUP BY 1"
        ),
    );
    let many: Vec<String> = (0..400).map(|n| n.to_string()).collect();
    let values = ["1,2", "1,x", "3", "", &many.join(",")];
    for hour in [9, 10] {
        let lines = (0..).zip(values).map(|(n, p)| {
            let url = format!("http://a.de:80/?p={p}");
            alb_line(hour, n, "1.1.1.0", 200, &url)
        });
        let without = alb_line(hour, 30, "1.1.1.0", 200, "http://a.de:80/");
        place.log(
            &alb_name(hour, 5, 1),
            &(lines.collect::<String>() + &without),
        );
        place.run();
    }
    assert_eq!(
        place.query("SELECT n, uses FROM numbers WHERE n < 4 ORDER BY 1"),
        ["0,2", "1,4", "2,4", "3,4"]
    );
    // Three bytes of the address are 1.
    assert_eq!(
        place.query(
            "SELECT pair, uses FROM pairs WHERE pair IN ('11', '22', '33', 'xx') ORDER BY 1"
        ),
        ["11,18", "22,12", "xx,6"]
    );
    // 1 + 2 * 4 rows of the others.
    assert_eq!(place.query("SELECT n FROM products"), ["20"]);
    assert_eq!(place.query("SELECT count(*), sum(n) FROM times"), ["4,12"]);
    let failed = place
        .query("SELECT \"table\", line_number, reason FROM failed_lines ORDER BY 1, 2, log_file");
    let of = |table: &str| {
        let prefix = format!("{table},");
        let lines = failed.iter().filter_map(|line| line.strip_prefix(&prefix));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let twice = |lines: &[String]| {
        lines
            .chunks(2)
            .map(|pair| {
                assert_eq!(pair[0], pair[1]);
                pair[0].clone()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(twice(&of("numbers")).len(), 2);
    assert_eq!(
        twice(&of("products")),
        [
            "5,\"UNNEST makes more than 10000 rows of the line, or rows with more than 4 MB of its text\""
        ]
    );
    assert_eq!(twice(&of("times")).len(), 1);
    assert!(of("pairs").is_empty());
}

#[test]
fn user_agents_are_recognised_by_rules_that_a_table_keeps() {
    let place = Workplace::new();
    let rules = place.path("rollups/regexes.yaml");
    fs::copy(project().join("tests/user_agents/regexes.yaml"), &rules).unwrap();
    place.rollup(
        "browsers",
        "SELECT logmill.user_agent('regexes', user_agent, 'family') AS browser, \
         max(logmill.user_agent('regexes', l.user_agent, 'device.brand')) AS brand, count(*) AS requests \
         FROM alb_access_logs l GROUP BY 1",
    );
    let agents = [
        "curl/7.29.0",
        "-",
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_3) Chrome/80.0.3987.87",
        "curl/8.0.0",
    ];
    for hour in [9, 10] {
        let lines = (0..).zip(agents).map(|(n, agent)| {
            alb_line(hour, n, "192.0.2.1", 200, "http://a.de:80/").replace("curl/8.5.0", agent)
        });
        let lines: String = lines.collect();
        place.log(&alb_name(hour, 5, 1), &lines);
        place.run();
        // The table goes on with its own copy.
        fs::write(
            &rules,
            "user_agent_parsers: []\nos_parsers: []\ndevice_parsers: []\n",
        )
        .unwrap();
    }
    let rows = "SELECT browser, brand, requests FROM browsers ORDER BY 1";
    assert_eq!(place.query(rows), ["Chrome,Apple,2", "Other,,2", "curl,,4"]);

    let refused = |path: &str| {
        let sql = format!("SELECT logmill.user_agent({path}) AS x FROM alb_access_logs");
        place.rollup("refused", &sql);
        let path = place.path("rollups/refused.sql");
        fail(&mut logmill(["check", &path]), 1)
    };
    assert!(refused("'regexes', user_agent, elb").contains("as literals"));
    let said = refused("'regexes', user_agent, 'browser'");
    assert!(said.contains("write one of family, major, minor"), "{said}");
    let said = refused("'missing', user_agent, 'family'");
    assert!(
        said.contains("there is no file missing.yaml beside"),
        "{said}"
    );
    let said = refused("'regexes', elb_status_code, 'family'");
    assert!(said.contains("cast(elb_status_code AS varchar)"), "{said}");
    fs::write(&rules, "user_agent_parsers:\n  - regex: '('\n").unwrap();
    let said = refused("'regexes', user_agent, 'family'");
    assert!(said.contains("regexes.yaml: "), "{said}");
}

#[test]
fn hundreds_of_tables_are_opened() {
    let place = Workplace::new();
    for number in 0..520 {
        place.rollup(
            &format!("t{number}"),
            "SELECT type, count(*) AS n FROM alb_access_logs GROUP BY 1",
        );
    }
    place.log(
        &alb_name(9, 5, 1),
        &alb_line(9, 0, "1.1.1.1", 200, "http://a.de:80/"),
    );
    assert!(place.run().contains("1 counted"));
}

#[test]
fn arrays_are_kept_and_merged() {
    let place = Workplace::new();
    place.rollup(
        "percentiles",
        "SELECT elb, approx_percentile(elb_status_code, ARRAY[0.5, 1.0]) AS p FROM alb_access_logs GROUP BY 1",
    );
    place.rollup(
        "parts",
        "SELECT split(request_url, '/') AS parts FROM alb_access_logs WHERE json_extract_scalar('[7]', '$[0]') = '7'",
    );
    for hour in [9, 10] {
        let lines: String = (0..3)
            .map(|n| {
                alb_line(
                    hour,
                    n,
                    "1.1.1.1",
                    200 + 50 * (hour + n - 9),
                    "http://a.de:80/b",
                )
            })
            .collect();
        place.log(&alb_name(hour, 5, 1), &lines);
        place.run();
    }
    assert_eq!(
        place.query("SELECT p[1], p[2], cardinality(p) FROM percentiles"),
        ["300,350,2"]
    );
    assert_eq!(
        place.query(
            "SELECT parts[3] AS host, count(*), max(array_join(parts, '|')) FROM parts GROUP BY 1"
        ),
        ["a.de:80,6,http:||a.de:80|b"]
    );
}

#[test]
fn a_rollup_without_groups_keeps_every_row() {
    let place = Workplace::new();
    place.rollup("errors", "SELECT time, client_ip, elb_status_code AS status FROM alb_access_logs WHERE elb_status_code >= 400");
    let url = "https://shop.example:443/";
    let lines = [
        alb_line(10, 1, "192.0.2.1", 200, url),
        alb_line(10, 2, "192.0.2.1", 404, url).repeat(2),
    ]
    .concat();
    place.log(&alb_name(10, 5, 1), &lines);
    place.log(&alb_name(10, 5, 2), &alb_line(10, 3, "192.0.2.2", 503, url));
    place.run();
    assert_eq!(
        place.query("SELECT client_ip, status, date FROM errors ORDER BY time"),
        [
            "192.0.2.1,404,2026-11-20",
            "192.0.2.1,404,2026-11-20",
            "192.0.2.2,503,2026-11-20"
        ]
    );
}

#[test]
fn aggregates_without_groups_make_one_row_a_day() {
    let place = Workplace::new();
    place.rollup(
        "totals",
        "SELECT count(*) AS requests, max(sent_bytes) AS largest FROM alb_access_logs",
    );
    place.log(
        &alb_name(10, 5, 1),
        &alb_line(10, 1, "192.0.2.1", 200, "https://shop.example:443/"),
    );
    place.run();
    place.log(
        &alb_name(11, 5, 1),
        &alb_line(11, 1, "192.0.2.1", 200, "https://shop.example:443/"),
    );
    place.run();
    assert_eq!(
        place.query("SELECT * FROM totals_groups"),
        ["2,366,2026-11-20"]
    );
    assert_eq!(place.query("SELECT * FROM totals"), ["2,366"]);
}

/// Results are computed from states that merge, so it makes no difference which log files are committed together, and in which order.
#[test]
fn results_are_the_same_however_log_files_come() {
    let sql = "SELECT target_status_code AS status, count(*) AS n, avg(sent_bytes) AS mean, var_pop(sent_bytes) AS variance, \
               stddev(sent_bytes) AS deviation, round(100.0 * count_if(sent_bytes > 500) / count(*), 1) AS share, \
               max(sent_bytes) - min(sent_bytes) AS spread, bool_or(sent_bytes > 990) AND every(sent_bytes > 0) AS flags, \
               cardinality(approx_set(client_ip)) AS clients, coalesce(sum(client_port) - 1, 0) AS ports, count_if(sent_bytes < 0) / nullif(count_if(sent_bytes < 0), 0) AS none, \
               approx_distinct(client_ip) AS about, count(DISTINCT client_ip) AS exactly, any_value(client_ip) AS one, \
               max_by(client_ip, sent_bytes) AS largest_of, min_by(sent_bytes, time) AS first, bitwise_or_agg(sent_bytes) AS bits, \
               covar_samp(sent_bytes, client_port) AS together, numeric_histogram(5, elb_status_code) AS codes, to_hex(checksum(client_ip)) AS checked, \
               count(*) * 100 / (SELECT count(*) FROM alb_access_logs) AS share_of_all, \
               rank() OVER (ORDER BY avg(sent_bytes)) AS place \
               FROM alb_access_logs GROUP BY 1 HAVING count(*) > 2 ORDER BY mean DESC";
    let hour = "date_trunc('hour', from_iso8601_timestamp(time)) AS hour";
    let by_hour = sql.replace("SELECT target", &format!("SELECT {hour}, target"));
    let by_hour = by_hour
        .replace("GROUP BY 1", "GROUP BY 1, 2")
        .replace("mean DESC", "1, mean DESC");
    let mut state = 20_261_128_u64;
    let mut random = move |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let logs: Vec<(String, String)> = (0..12)
        .map(|number| {
            let hour = 10 + number / 6;
            let lines = (0..40).map(|_| {
                let client = format!("192.0.2.{}", random(30));
                let status = [200, 404, 502][random(3) as usize];
                let line = alb_line(
                    hour,
                    random(60) as u32,
                    &client,
                    status,
                    "https://shop.example:443/",
                );
                line.replacen(" 366 ", &format!(" {} ", 1 + random(1000)), 1)
            });
            (alb_name(hour, 5, number), lines.collect())
        })
        .collect();
    let bytes = logs.iter().flat_map(|(_, lines)| lines.lines());
    let mut bytes: Vec<u32> = bytes
        .map(|line| line.split(' ').nth(11).unwrap().parse().unwrap())
        .collect();
    bytes.sort_unstable();
    let mut results = Vec::new();
    for commits in [1, 3, 12] {
        let place = Workplace::new();
        place.rollup("by_status", sql);
        place.rollup("by_hour", &by_hour);
        place.rollup(
            "percentiles",
            "SELECT approx_percentile(sent_bytes, ARRAY[0.1, 0.5, 0.99]) AS of_bytes FROM alb_access_logs",
        );
        let mut left: Vec<_> = logs.iter().collect();
        for commit in 0..commits {
            for _ in 0..left.len().div_ceil(commits - commit) {
                let (name, lines) = left.swap_remove(random(left.len() as u64) as usize);
                place.log(name, lines);
            }
            place.run();
        }
        let read = |table| place.query(&format!("SELECT * FROM {table}"));
        results.push((read("by_status"), read("by_hour")));
        // A t-digest estimates, and depends a little on the order in which it is merged.
        let found = place.query("SELECT of_bytes[1], of_bytes[2], of_bytes[3] FROM percentiles");
        for (percentile, found) in [0.1, 0.5, 0.99].into_iter().zip(found[0].split(',')) {
            let found: u32 = found.parse().unwrap();
            let rank = bytes.partition_point(|value| *value < found) as f64 / bytes.len() as f64;
            assert!(
                (rank - percentile).abs() < 0.01,
                "{percentile}: {found}, which is at {rank}"
            );
        }
    }
    assert_eq!(results[0].0.len(), 3);
    assert_eq!(results[0].1.len(), 6);
    assert!(
        results.iter().all(|result| *result == results[0]),
        "{results:#?}"
    );
}

#[test]
fn numbers_that_are_none_are_null_and_nan_is_not_compared() {
    let place = Workplace::new();
    place.rollup(
        "numbers",
        "SELECT elb, count(target_processing_time) AS times, count_if(try_cast('NaN' AS double) >= sent_bytes) AS larger, \
         count_if(try_cast('NaN' AS double) BETWEEN 0 AND 1) AS between, approx_set(client_port) AS ports, \
         approx_set(cast(client_port AS bigint) + 0) AS big_ports \
         FROM alb_access_logs GROUP BY 1",
    );
    let line = alb_line(10, 1, "192.0.2.1", 200, "https://shop.example:443/");
    let odd = ["inf", "1e400", "nan", "-", "0.5"]
        .map(|time| line.replace(" 0.020 ", &format!(" {time} ")));
    place.log(&alb_name(10, 5, 1), &odd.concat());
    place.run();
    assert_eq!(
        place.query(
            "SELECT times, larger, between, ports = big_ports, round(0.5), abs(-3) FROM numbers"
        ),
        ["1,0,0,true,1.0,3"]
    );
    // A table without rows answers too.
    assert!(
        place
            .query("SELECT * FROM rejected_lines ORDER BY line_number")
            .is_empty()
    );
}

#[test]
fn a_line_that_one_rollup_leaves_out_is_there_for_the_others() {
    let url = |event| format!("https://shop.example:443/e?e={event}");
    let lines: String = (0..30)
        .map(|n| {
            let event = ["view", "buy", "leave"][n as usize % 3];
            alb_line(10, n, "192.0.2.1", [200, 500][n as usize % 2], &url(event))
        })
        .collect();
    let from = "FROM alb_access_logs WHERE";
    let rollups = [
        (
            "failures",
            format!("SELECT time {from} elb_status_code >= 500"),
            "15",
        ),
        (
            "bought",
            format!("SELECT time {from} url_extract_parameter(request_url, 'e') = 'buy'"),
            "10",
        ),
        (
            "told",
            format!("SELECT time {from} user_agent LIKE '%' AND elb_status_code = 200"),
            "15",
        ),
    ];
    // Each alone, all whose lines the scan can tell, and all.
    for chosen in [&rollups[..1], &rollups[1..2], &rollups[..2], &rollups[..]] {
        let place = Workplace::new();
        place.log(&alb_name(10, 5, 1), &lines);
        for (name, sql, _) in chosen {
            place.rollup(name, sql);
        }
        let printed = place.run();
        assert!(printed.contains("lines      30"), "{printed}");
        for (name, _, rows) in chosen {
            let counted = place.query(&format!("SELECT count(*) FROM {name}"));
            assert_eq!(counted, [*rows], "{name} of {}", chosen.len());
        }
    }
}

#[test]
fn a_rollup_that_needs_no_rows_does_not_hold_up_the_others() {
    let place = Workplace::new();
    place.rollup("by_minute", BY_MINUTE);
    place.rollup(
        "none",
        "SELECT elb, count(*) AS n FROM alb_access_logs WHERE false GROUP BY 1",
    );
    let line = alb_line(10, 1, "192.0.2.1", 200, "https://shop.example:443/");
    // Several chunks of text.
    place.log(&alb_name(10, 5, 1), &line.repeat(12_000));
    place.run();
    assert_eq!(
        place.query("SELECT sum(requests) FROM by_minute"),
        ["12000"]
    );
    assert_eq!(place.query("SELECT count(*) FROM none"), ["0"]);
}

#[test]
fn a_time_that_no_table_can_store_costs_its_line() {
    let place = Workplace::new();
    place.rollup(
        "by_ts",
        "SELECT date_trunc('hour', from_unixtime(try_cast(url_extract_parameter(request_url, 'ts') AS double))) AS hour, \
         count(*) AS n FROM alb_access_logs GROUP BY 1",
    );
    let line = |ts: &str| {
        let url = format!("https://e.example:443/?ts={ts}");
        alb_line(10, 1, "192.0.2.1", 200, &url)
    };
    // Years 2023, 55841, -9999 and 1, and one that no timestamp can be.
    let times = ["1.7e9", "1.7e12", "-3.777e11", "-6.2e10", "1e300"];
    place.log(&alb_name(10, 5, 1), &times.map(line).concat());
    let printed = place.run();
    assert!(
        printed.contains("3 on which the rollup by_ts fails"),
        "{printed}"
    );
    assert_eq!(place.query("SELECT sum(n) FROM by_ts"), ["2"]);
    let reasons = place.query("SELECT line_number, reason FROM failed_lines ORDER BY 1");
    assert_eq!(reasons.len(), 3);
    assert!(reasons[0].starts_with("2,a table cannot store the date 55840-"));
    assert!(reasons[1].starts_with("3,a table cannot store the date -9999-"));
    assert!(reasons[2].starts_with("5,Millis overflow"));
}

#[test]
fn keys_that_follow_from_other_keys_cost_a_line_at_most() {
    let place = Workplace::new();
    let parameter = "url_extract_parameter(request_url, 'ts')";
    place.rollup(
        "by_both",
        &format!(
            "SELECT {parameter} AS raw, target_status_code, date_trunc('hour', from_unixtime(try_cast({parameter} AS double))) AS hour, \
             cast(target_status_code AS bigint) AS status, count(*) AS n FROM alb_access_logs GROUP BY 1, 2, 3, 4"
        ),
    );
    let line = |ts: String, status: &str| {
        let url = format!("https://e.example:443/?ts={ts}");
        alb_line(10, 1, "192.0.2.1", 200, &url).replace(" 200 200 ", &format!(" 200 {status} "))
    };
    let mut lines: String = (0..120)
        .map(|hour| line((3600 * hour).to_string(), "200"))
        .collect();
    lines += &line("1e15".to_owned(), "200");
    lines += &line("0".to_owned(), "-");
    place.log(&alb_name(10, 5, 1), &lines);
    place.run();
    assert_eq!(
        place.query("SELECT sum(n), count(*) FROM by_both"),
        ["100,100"]
    );
    let reasons = "SELECT DISTINCT substr(reason, 1, 12) FROM failed_lines ORDER BY 1";
    let reasons = place.query(reasons);
    assert!(reasons.contains(&"the time of ".to_owned()), "{reasons:?}");
    assert_eq!(place.query("SELECT failed_lines FROM log_files"), ["22"]);
}

#[test]
fn names_that_a_table_needs_are_refused() {
    let place = Workplace::new();
    for (name, sql) in [
        ("is_other", "count_if(elb_status_code >= 500) AS is_other"),
        ("n__sum", "sum(sent_bytes) AS n, count(*) AS n__sum"),
    ] {
        let key = "date_trunc('hour', from_iso8601_timestamp(time)) AS hour";
        let sql = format!("SELECT {key}, {sql} FROM alb_access_logs GROUP BY 1");
        place.rollup("t", &sql);
        let printed = fail(&mut place.run_command(), 1);
        let refused = format!("the output column '{name}' would hide");
        assert!(printed.contains(&refused), "{printed}");
    }
}

#[test]
fn times_that_visitors_write_touch_a_bounded_number_of_hours() {
    let place = Workplace::new();
    place.rollup(
        "by_ts",
        "SELECT date_trunc('hour', from_unixtime(try_cast(url_extract_parameter(request_url, 'ts') AS double))) AS hour, \
         count(*) AS n FROM alb_access_logs GROUP BY 1",
    );
    place.rollup(
        "by_hour",
        "SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, count(*) AS n FROM alb_access_logs GROUP BY 1",
    );
    let line = |hours: u64| {
        let url = format!("https://e.example:443/?ts={}", 3600 * hours);
        alb_line(10, 1, "192.0.2.1", 200, &url)
    };
    // Each hour twice: those that have come are counted on.
    let lines: String = (0..300).chain(0..300).map(line).collect();
    place.log(&alb_name(10, 5, 1), &lines);
    let printed = place.run();
    assert!(
        printed.contains("400 on which the rollup by_ts fails"),
        "{printed}"
    );
    assert_eq!(
        place.query("SELECT count(*), sum(n) FROM by_ts"),
        ["100,200"]
    );
    assert_eq!(place.query("SELECT sum(n) FROM by_hour"), ["600"]);
    let ledger = "SELECT \"table\", failed_lines, slots FROM log_files ORDER BY 1";
    assert_eq!(
        place.query(ledger),
        [
            "by_hour,0,2026-11-20T10",
            "by_ts,400,1970-01-01T00..1970-01-05T03"
        ]
    );
    let reason = "SELECT DISTINCT reason FROM failed_lines";
    assert_eq!(
        place.query(reason),
        [
            "the time of the line is beyond the limit of 100 hours or days that one log file may touch"
        ]
    );
}

#[test]
fn a_date_key_is_the_partition() {
    let place = Workplace::new();
    place.rollup(
        "by_day",
        "SELECT date(from_iso8601_timestamp(time)) AS date, elb, count(*) AS requests FROM alb_access_logs GROUP BY 1, 2",
    );
    let line = alb_line(10, 1, "192.0.2.1", 200, "https://shop.example:443/");
    place.log(&alb_name(10, 5, 1), &line);
    place.run();
    place.log(&alb_name(10, 5, 2), &line);
    place.run();
    assert_eq!(
        place.query("SELECT date, elb, requests FROM by_day"),
        ["2026-11-20,app/shop/50dc6c495c0c9188,2"]
    );
}

#[test]
fn groups_whose_time_is_null_are_kept() {
    let place = Workplace::new();
    place.rollup(
        "created",
        "SELECT date_trunc('hour', try(from_iso8601_timestamp(request_creation_time))) AS hour, count(*) AS requests \
         FROM alb_access_logs GROUP BY 1",
    );
    let line = alb_line(10, 1, "192.0.2.1", 200, "https://shop.example:443/");
    let without = line.replace("2026-11-20T10:00:00.000000Z", "-");
    place.log(
        &alb_name(10, 5, 1),
        &[line.clone(), without.clone()].concat(),
    );
    place.run();
    place.log(&alb_name(10, 5, 2), &[without.clone(), without].concat());
    place.run();
    assert_eq!(
        place.query("SELECT * FROM created ORDER BY hour"),
        ["2026-11-20T10:00:00Z,1,2026-11-20", ",3,"]
    );
}

#[test]
fn classic_and_application_logs_go_to_their_own_rollups() {
    let place = Workplace::new();
    place.rollup(
        "alb",
        "SELECT elb_status_code AS status, count(*) AS n FROM alb_access_logs GROUP BY 1",
    );
    place.rollup(
        "classic",
        "SELECT elb_response_code AS status, request_verb, protocol, user_agent, count(*) AS n FROM elb_logs GROUP BY 1, 2, 3, 4",
    );
    place.log("notes.txt", "nothing to see here\n");
    place.log(
        "app.txt",
        &alb_line(10, 1, "192.0.2.1", 200, "https://shop.example:443/"),
    );
    place.log(
        "classic.txt",
        "2026-11-20T10:02:03.000001Z legacy 192.0.2.7:2817 - -1 -1 -1 408 - 0 0 \"GET http://h:80/ HTTP/1.1\"\n\
         2026-11-20T10:02:04.000001Z legacy 192.0.2.7:2817 10.0.0.1:80 0.1 0.2 0.3 - - 82 305 \"- - - \" \"-\" - -\n",
    );
    let printed = place.run();
    assert!(
        printed.contains("2 counted")
            && printed.contains("1 unrecognised: not a load balancer's log"),
        "{printed}"
    );
    assert_eq!(place.query("SELECT status, n FROM alb"), ["200,1"]);
    assert_eq!(
        place.query(
            "SELECT status, request_verb, protocol, user_agent, n FROM classic ORDER BY status"
        ),
        ["-,-,,\"\"\"-\"\"\",1", "408,GET,HTTP/1.1,,1"]
    );
    let again = place.run();
    assert!(
        again.contains("log files  0 counted") && again.contains("2 counted before"),
        "{again}"
    );
}

#[test]
fn unreadable_log_files_fail_whole_and_the_others_go_on() {
    let place = Workplace::new();
    place.rollup("by_minute", BY_MINUTE);
    let unreadable = project().join("testdata/unreadable");
    for file in fs::read_dir(&unreadable).unwrap() {
        let file = file.unwrap();
        fs::copy(
            file.path(),
            place.folder.path().join("logs").join(file.file_name()),
        )
        .unwrap();
    }
    place.log(
        &alb_name(10, 5, 1),
        &alb_line(10, 1, "192.0.2.1", 200, "https://shop.example:443/"),
    );
    let printed = fail(&mut place.run_command(), 3);
    assert!(
        printed.contains("log files  1 counted") && printed.contains("4 failed"),
        "{printed}"
    );
    for reason in [
        "cut off after",
        "corrupt near byte",
        "does not match its checksum",
        "not a gzip member",
    ] {
        assert!(printed.contains(reason), "{reason}: {printed}");
    }
    assert_eq!(place.query("SELECT sum(requests) FROM by_minute"), ["1"]);
    let left = fs::read_dir(place.folder.path().join("tables/by_minute/_staging"));
    let left = left.map_or(0, |folder| {
        folder
            .flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap())
            .count()
    });
    assert_eq!(left, 0, "nothing of them is staged");
}

#[test]
fn text_beyond_the_limit_fails_the_file() {
    let place = Workplace::new();
    place.rollup("by_minute", BY_MINUTE);
    place.log(
        &alb_name(10, 5, 1),
        &alb_line(10, 1, "192.0.2.1", 200, "https://shop.example:443/").repeat(100),
    );
    let printed = fail(
        place.run_command().args(["--max-log-file-bytes", "1000"]),
        3,
    );
    assert!(
        printed.contains("expands to more than 1000 bytes"),
        "{printed}"
    );
}

#[test]
fn a_line_on_which_sql_fails_is_left_out_of_that_rollup_alone() {
    let place = Workplace::new();
    place.rollup("statuses", "SELECT cast(target_status_code AS bigint) AS status, count(*) AS n FROM alb_access_logs GROUP BY 1");
    place.rollup("by_minute", BY_MINUTE);
    let good = alb_line(10, 1, "192.0.2.1", 200, "https://shop.example:443/");
    let bad = good.replace(" 200 200 ", " 502 - ");
    let lines = [&good, "no log line\n", &bad, &good].concat();
    place.log(&alb_name(10, 5, 1), &lines);
    place.log(&alb_name(10, 5, 2), &good);
    let printed = place.run();
    assert!(
        printed.contains("1 on which the rollup statuses fails"),
        "{printed}"
    );
    assert_eq!(place.query("SELECT status, n FROM statuses"), ["200,3"]);
    assert_eq!(place.query("SELECT sum(requests) FROM by_minute"), ["4"]);
    let failed = place.query("SELECT \"table\", line_number, reason, line FROM failed_lines");
    assert_eq!(failed.len(), 1);
    assert!(
        failed[0].starts_with("statuses,3,Cannot cast '-' to BIGINT,"),
        "{failed:?}"
    );
    assert!(failed[0].contains(" 502 - "), "{failed:?}");
    let ledger = "SELECT \"table\", sum(rejected_lines), sum(failed_lines) FROM log_files GROUP BY 1 ORDER BY 1";
    assert_eq!(place.query(ledger), ["by_minute,1,0", "statuses,1,1"]);
}

#[test]
fn rejected_lines_are_set_aside_with_their_place_and_reason() {
    let place = Workplace::new();
    place.rollup("by_minute", BY_MINUTE);
    let good = alb_line(10, 1, "192.0.2.1", 200, "https://shop.example:443/");
    let overlong = format!(
        "{}\n",
        good.trim_end().replace("curl/8.5.0", &"x".repeat(2 << 20))
    );
    place.log(
        &alb_name(10, 5, 1),
        &[good.as_str(), "<html>\n", "\n", &good, &overlong, &good].concat(),
    );
    let printed = place.run();
    assert!(printed.contains("6, of which 3 rejected"), "{printed}");
    assert_eq!(
        place.query("SELECT line_number, reason, length(line), date FROM rejected_lines ORDER BY line_number"),
        [
            "2,too few fields: 1 where a log line has at least 12,6,2026-11-20",
            "3,empty line,0,2026-11-20",
            "5,longer than 262144 bytes,8192,2026-11-20"
        ]
    );
    assert_eq!(place.query("SELECT sum(requests) FROM by_minute"), ["3"]);
    assert_eq!(
        place.query("SELECT lines, rejected_lines FROM log_files"),
        ["6,3"]
    );
    place.run();
    assert_eq!(place.query("SELECT count(*) FROM rejected_lines"), ["3"]);
}

#[test]
fn the_table_of_rejected_lines_is_a_table_like_others() {
    let place = Workplace::new();
    place.rollup("by_minute", BY_MINUTE);
    let good = alb_line(10, 1, "192.0.2.1", 200, "https://shop.example:443/");
    place.log(&alb_name(10, 5, 1), &[&good, "<html>\n"].concat());
    place.log(&alb_name(10, 5, 2), &good);
    place.run();
    let rejected = || place.query("SELECT line_number, line FROM rejected_lines");
    assert_eq!(rejected(), ["2,<html>"]);

    // A table that was removed is built anew, from the log files that have rows in it.
    let folder = std::path::PathBuf::from(place.path("tables/rejected_lines"));
    fs::remove_dir_all(&folder).unwrap();
    let printed = place.run();
    assert!(
        printed.contains("lines      2, of which 1 rejected"),
        "{printed}"
    );
    assert_eq!(rejected(), ["2,<html>"]);
    assert_eq!(place.query("SELECT sum(requests) FROM by_minute"), ["2"]);

    // A table that cannot take rows costs the others nothing.
    let version = folder.join("_delta_log/00000000000000000000.json");
    let text = fs::read_to_string(&version).unwrap();
    let foreign = text.replace("logmill.", "other.");
    for entry in fs::read_dir(folder.join("_delta_log")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    fs::write(&version, foreign).unwrap();
    place.log(&alb_name(10, 5, 3), &[&good, "<html>\n"].concat());
    let printed = fail(&mut place.run_command(), 3);
    assert!(printed.contains("rejected_lines"), "{printed}");
    assert_eq!(place.query("SELECT sum(requests) FROM by_minute"), ["3"]);
}

#[test]
fn mistakes_are_named() {
    let place = Workplace::new();
    let printed = fail(&mut place.run_command(), 1);
    assert!(printed.contains("no .sql file found"), "{printed}");
    place.rollup("Events", BY_MINUTE);
    let printed = fail(&mut place.run_command(), 1);
    assert!(
        printed.contains("'Events' is not a valid name"),
        "{printed}"
    );
    fs::remove_file(place.folder.path().join("rollups/Events.sql")).unwrap();
    place.rollup(
        "events",
        "SELECT elb, array_agg(sent_bytes) AS a FROM alb_access_logs GROUP BY 1",
    );
    let printed = fail(&mut place.run_command(), 1);
    assert!(
        printed.contains(
            "events.sql: line 1, column 13: a table cannot keep array_agg: its result would grow"
        ),
        "{printed}"
    );
    place.rollup(
        "events",
        "SELECT elbow, count(*) AS n FROM alb_access_logs GROUP BY 1",
    );
    let printed = fail(&mut place.run_command(), 1);
    assert!(printed.contains("elbow"), "{printed}");
    place.rollup("events", BY_MINUTE);
    let nowhere = place.path("nowhere");
    let (rollups, tables) = (place.path("rollups"), place.path("tables"));
    let printed = fail(
        &mut logmill(["run", &nowhere, "--rollups", &rollups, "--tables", &tables]),
        1,
    );
    assert!(printed.contains("nowhere: cannot be listed"), "{printed}");
    let printed = fail(&mut logmill(["query", "SELECT 1", "--tables", &nowhere]), 1);
    assert!(
        printed.contains("cannot be used as the location of tables"),
        "{printed}"
    );
}

/// The collector logs up to four requests for one event; `rollups/events.sql` counts one of them.
#[test]
fn an_event_counts_once_however_many_requests_it_takes() {
    let place = Workplace::new();
    let events = fs::read_to_string(project().join("rollups/events.sql")).unwrap();
    place.rollup("events", &events);
    let plain = "http://events.example.com:80/e?e=signup&uid=1&amt=2.5";
    let url = "https://events.example.com:443/e?e=signup&uid=1&amt=2.5";
    let request = |second, verb: &str, status, url| {
        alb_line(10, second, "192.0.2.1", status, url).replace("\"GET ", &format!("\"{verb} "))
    };
    let lines = [
        // Port 80 redirects to HTTPS.
        request(1, "GET", 301, plain),
        request(2, "GET", 204, url),
        // A browser's preflight: https://developer.mozilla.org/en-US/docs/Glossary/Preflight_request
        request(3, "OPTIONS", 204, url),
        request(4, "POST", 204, url),
        // A program that previews links.
        request(5, "HEAD", 204, url),
        // The balancer refused it, or a firewall did.
        request(6, "GET", 403, url),
        request(7, "GET", 503, url),
    ];
    place.log(&alb_name(10, 5, 1), &lines.concat());
    place.run();
    let counted = place.query("SELECT event, events, amount FROM events");
    assert_eq!(counted, ["signup,2,5.0"], "one GET and one POST");
}

#[test]
fn check_shows_columns_rules_and_a_sample() {
    let rollup = project().join("rollups/events.sql");
    let logs = project().join("testdata/logs");
    let printed = succeed(&mut logmill([
        "check",
        rollup.to_str().unwrap(),
        "--sample",
        logs.to_str().unwrap(),
    ]));
    for expected in [
        "minute",
        "timestamp with time zone  group key",
        "merge (HyperLogLog)",
        "a day:",
        "10 rows",
    ] {
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
}

#[test]
fn check_describes_all_of_a_folder_and_names_what_is_wrong() {
    let place = Workplace::new();
    place.rollup("by_minute", BY_MINUTE);
    place.rollup("classic", "SELECT elb_name FROM elb_logs");
    place.log(
        &alb_name(10, 5, 1),
        &alb_line(10, 1, "192.0.2.1", 200, "https://a/"),
    );
    let (rollups, logs) = (place.path("rollups"), place.path("logs"));
    let describes_both = |printed: &str| {
        for rollup in [
            "table by_minute: one row per group",
            "table classic: every row kept",
        ] {
            assert!(printed.contains(rollup), "{printed}");
        }
    };
    let printed = succeed(&mut logmill(["check", &rollups]));
    describes_both(&printed);

    let printed = fail(&mut logmill(["check", &rollups, "--sample", &logs]), 1);
    assert!(printed.contains("1 rows in"), "{printed}");
    assert!(
        printed.contains("table classic: the sample has no line"),
        "{printed}"
    );

    place.rollup("a_wrong_one", "SELECT nothing FROM alb_access_logs");
    let printed = fail(&mut logmill(["check", &rollups]), 1);
    assert!(printed.contains("a_wrong_one.sql: "), "{printed}");
    describes_both(&printed);
}

#[test]
fn queries_answer_in_every_format() {
    let place = Workplace::new();
    place.rollup("by_minute", BY_MINUTE);
    place.log(
        &alb_name(10, 5, 1),
        &alb_line(10, 1, "192.0.2.1", 200, "https://shop.example:443/"),
    );
    place.run();
    let tables = place.path("tables");
    let answer = |format: &str| {
        succeed(&mut logmill([
            "query",
            "SELECT minute, requests, clients FROM by_minute",
            "--tables",
            &tables,
            "--format",
            format,
        ]))
    };
    assert!(answer("table").contains("| 2026-11-20 10:00:00 | 1        | 020c0100"));
    assert!(answer("csv").starts_with("minute,requests,clients\n2026-11-20T10:00:00Z,1,020c0100"));
    assert!(
        answer("json").starts_with(
            "{\"minute\":\"2026-11-20T10:00:00Z\",\"requests\":1,\"clients\":\"020c0100"
        )
    );
    let file = place.path("out.parquet");
    let sql = "SELECT value_at_quantile(merge(cast(d AS tdigest)), 0.5) AS q FROM \
               (SELECT tdigest_agg(cast(requests AS double)) AS d FROM by_minute)";
    succeed(&mut logmill([
        "query", sql, "--tables", &tables, "--format", "parquet", "--output", &file,
    ]));
    assert!(fs::read(file).unwrap().starts_with(b"PAR1"));
}

#[test]
fn a_query_tells_hours_and_days_of_a_time_zone() {
    let place = Workplace::new();
    place.rollup("by_minute", BY_MINUTE);
    let line = alb_line(1, 1, "192.0.2.1", 200, "https://shop.example:443/");
    place.log(&alb_name(1, 5, 1), &line);
    place.run();
    let parts = |x: &str| {
        format!(
            "SELECT hour({x}), day({x}), date({x}), date_trunc('day', {x}), extract(hour FROM {x}), \
             date_format({x}, '%Y-%m-%d %H'), to_unixtime({x}) FROM by_minute"
        )
    };
    let in_utc = place.query(&parts("minute"));
    assert!(in_utc[0].starts_with("1,20,2026-11-20,"), "{in_utc:?}");
    assert_eq!(place.query(&parts("minute AT TIME ZONE 'UTC'")), in_utc);
    // The stored instant is another hour of another day there.
    let elsewhere = place.query(&parts("minute AT TIME ZONE 'America/New_York'"));
    let expected = "20,19,2026-11-19,2026-11-19T00:00:00-05:00,20,2026-11-19 20,";
    assert!(elsewhere[0].starts_with(expected), "{elsewhere:?}");
}

/// Of an hour that happens twice at the end of daylight saving time, there are two groups of instants, and one of texts.
#[test]
fn groups_of_local_hours_and_days_through_the_end_of_daylight_saving_time() {
    const BERLIN: &str = "from_iso8601_timestamp(time) AT TIME ZONE 'Europe/Berlin'";
    let place = Workplace::new();
    let rollup = |name: &str, key: &str| {
        let sql = format!("SELECT {key} AS k, count(*) AS n FROM alb_access_logs GROUP BY 1");
        place.rollup(name, &sql);
    };
    rollup("hours", &format!("date_trunc('hour', {BERLIN})"));
    rollup("texts", &format!("date_format({BERLIN}, '%H Uhr')"));
    rollup("days", &format!("date_trunc('day', {BERLIN})"));
    rollup("dates", &format!("cast({BERLIN} AS date)"));
    for hour in [21, 22, 23] {
        let line = alb_line(hour, 1, "192.0.2.1", 200, "https://shop.example:443/");
        let line = line.replace("2026-11-20", "2026-10-24");
        place.log(&alb_name(hour, 5, 1), &line);
    }
    for hour in [0, 1, 22, 23] {
        let line = alb_line(hour, 1, "192.0.2.1", 200, "https://shop.example:443/");
        let line = line.replace("2026-11-20", "2026-10-25");
        place.log(&alb_name(hour, 6, 2), &line);
    }
    place.run();
    let rows = |table: &str| place.query(&format!("SELECT * FROM {table} ORDER BY k, n"));
    assert_eq!(
        place.query("SELECT k, n FROM hours WHERE hour(k) = 2 ORDER BY k"),
        ["2026-10-25T02:00:00+02:00,1", "2026-10-25T02:00:00+01:00,1"]
    );
    assert_eq!(rows("hours").len(), 7);
    assert!(rows("texts").contains(&"02 Uhr,2".to_owned()));
    // The day has 25 hours. Its partition is the day in UTC of its start.
    assert_eq!(
        rows("days"),
        [
            "2026-10-24T00:00:00+02:00,1",
            "2026-10-25T00:00:00+02:00,5",
            "2026-10-26T00:00:00+01:00,1"
        ]
    );
    assert_eq!(
        place.query("SELECT k, date, n FROM days_groups ORDER BY k"),
        [
            "2026-10-23T22:00:00Z,2026-10-23,1",
            "2026-10-24T22:00:00Z,2026-10-24,5",
            "2026-10-25T23:00:00Z,2026-10-25,1"
        ]
    );
    assert_eq!(
        place.query("SELECT k, date, n FROM dates ORDER BY k"),
        [
            "2026-10-24,2026-10-24,1",
            "2026-10-25,2026-10-25,5",
            "2026-10-26,2026-10-26,1"
        ]
    );
}

#[test]
fn a_query_for_one_hour_reads_one_file() {
    let place = Workplace::new();
    place.rollup("by_minute", BY_MINUTE);
    for hour in 0..4 {
        let line = alb_line(hour, 1, "192.0.2.1", 200, "https://shop.example:443/");
        place.log(&alb_name(hour, 5, 1), &line);
    }
    place.run();
    // The files of the other hours are not missed.
    let day = place.path("tables/by_minute/date=2026-11-20");
    let mut removed = 0;
    for file in fs::read_dir(day).unwrap() {
        let path = file.unwrap().path();
        if !path.to_string_lossy().contains("/T02-") {
            fs::remove_file(path).unwrap();
            removed += 1;
        }
    }
    assert_eq!(removed, 3);
    let rows = place.query(
        "SELECT sum(requests) FROM by_minute WHERE date = DATE '2026-11-20' \
         AND minute >= timestamp '2026-11-20 02:00:00Z' AND minute < timestamp '2026-11-20 03:00:00Z'",
    );
    assert_eq!(rows, ["1"]);
}

#[test]
fn maintain_packs_days_that_are_over_and_late_log_files_open_them_again() {
    let place = Workplace::new();
    place.rollup("by_minute", BY_MINUTE);
    place.rollup("every_row", "SELECT time, client_ip FROM alb_access_logs");
    let line = |hour, second| alb_line(hour, second, "192.0.2.1", 200, "https://shop.example:443/");
    for hour in 9..12 {
        place.log(&alb_name(hour, 5, 0), &(line(hour, 0) + &line(hour, 60)));
    }
    place.run();
    let rows = "SELECT minute, requests FROM by_minute ORDER BY 1";
    let before = place.query(rows);
    assert_eq!(before.len(), 6);
    let tables = place.path("tables");
    let maintain = || succeed(&mut logmill(["maintain", "--tables", &tables]));
    let printed = maintain();
    assert!(
        printed.contains("by_minute: 3 files compacted into 1;"),
        "{printed}"
    );
    assert_eq!(place.query(rows), before);
    let again = maintain();
    assert!(
        again.contains("by_minute: 0 files compacted into 0;"),
        "{again}"
    );

    // To one minute that is there, and one that is not.
    place.log(&alb_name(10, 5, 1), &(line(10, 0) + &line(10, 120)));
    let printed = place.run();
    assert!(
        printed.contains("by_minute: 7 rows in 3 files"),
        "{printed}"
    );
    assert!(
        printed.contains("every_row: 8 rows in 2 files"),
        "{printed}"
    );
    let after = place.query(rows);
    assert_eq!(after.len(), 7);
    assert_eq!(after[2], "2026-11-20T10:00:00Z,2");
    let printed = maintain();
    for files in ["by_minute: 3", "every_row: 2"] {
        let packed = format!("{files} files compacted into 1;");
        assert!(printed.contains(&packed), "{printed}");
    }
    assert_eq!(place.query(rows), after);
    assert_eq!(place.query("SELECT count(*) FROM every_row"), ["8"]);
    assert!(place.run().contains("log files  0 counted"));
}

#[test]
fn maintain_deletes_what_a_kill_left_but_nothing_young() {
    let place = Workplace::new();
    place.rollup("by_minute", BY_MINUTE);
    place.log(
        &alb_name(9, 5, 0),
        &alb_line(9, 0, "192.0.2.1", 200, "https://shop.example:443/"),
    );
    place.run();
    let folder = place.folder.path().join("tables/by_minute/date=2026-11-20");
    let week = std::time::Duration::from_hours(8 * 24);
    for (name, age) in [("T09-dead", week), ("T10-young", std::time::Duration::ZERO)] {
        for suffix in ["", "#1"] {
            let file = fs::File::create(folder.join(format!("{name}.parquet{suffix}"))).unwrap();
            file.set_modified(std::time::SystemTime::now() - age)
                .unwrap();
        }
    }
    let printed = succeed(&mut logmill([
        "maintain",
        "--tables",
        &place.path("tables"),
    ]));
    assert!(printed.contains("deleted 1 data files"), "{printed}");
    let left = |name: &str| folder.join(name).exists();
    assert!(!left("T09-dead.parquet") && !left("T09-dead.parquet#1"));
    assert!(left("T10-young.parquet") && left("T10-young.parquet#1"));
    assert_eq!(place.query("SELECT requests FROM by_minute"), ["1"]);
}
