use crate::rollup::parse::parse_alone;

/// Plain rollups with extra syntax that sqlparser accepts and that DataFusion mostly ignores, each with the text of
/// the refusal.
const ROUND_THE_CHECK: &[(&str, &str)] = &[
    ("SELECT elb FROM alb_access_logs |> LIMIT 1", "one SELECT"),
    (
        "SELECT elb FROM alb_access_logs |> WHERE elb = 'x'",
        "one SELECT",
    ),
    (
        "SELECT elb FROM alb_access_logs |> SELECT type",
        "one SELECT",
    ),
    (
        "SELECT elb FROM alb_access_logs |> AGGREGATE count(*) AS n",
        "one SELECT",
    ),
    (
        "SELECT elb FROM alb_access_logs |> ORDER BY elb",
        "one SELECT",
    ),
    ("SELECT elb FROM alb_access_logs |> DROP elb", "one SELECT"),
    ("SELECT elb FROM alb_access_logs FOR UPDATE", "leave it out"),
    ("SELECT elb FROM alb_access_logs FOR SHARE", "leave it out"),
    (
        "SELECT elb FROM alb_access_logs FOR UPDATE OF alb_access_logs NOWAIT",
        "leave it out",
    ),
    (
        "SELECT elb FROM alb_access_logs SETTINGS max_threads = 1",
        "SETTINGS",
    ),
    ("SELECT elb FROM alb_access_logs FORMAT CSV", "FORMAT CSV"),
    ("SELECT elb FROM alb_access_logs FORMAT NULL", "FORMAT NULL"),
    ("SELECT elb FROM alb_access_logs FINAL", "FINAL"),
    (
        "SELECT elb FROM alb_access_logs FETCH FIRST 1 ROW WITH TIES",
        "FETCH",
    ),
    ("SELECT elb FROM alb_access_logs LIMIT 1, 2", "LIMIT"),
    ("SELECT elb FROM alb_access_logs LIMIT 1 BY elb", "LIMIT"),
    (
        "SELECT elb FROM alb_access_logs PREWHERE elb_status_code = 200",
        "WHERE elb_status_code = 200",
    ),
    (
        "SELECT elb FROM alb_access_logs START WITH elb = 'x' CONNECT BY PRIOR elb = type",
        "CONNECT BY",
    ),
    (
        "SELECT elb FROM alb_access_logs CONNECT BY PRIOR elb = type",
        "CONNECT BY",
    ),
    (
        "SELECT elb FROM alb_access_logs LATERAL VIEW explode(type) t AS x",
        "LATERAL VIEW",
    ),
    (
        "SELECT elb FROM alb_access_logs CLUSTER BY elb",
        "CLUSTER BY",
    ),
    (
        "SELECT elb FROM alb_access_logs DISTRIBUTE BY elb",
        "DISTRIBUTE BY",
    ),
    ("SELECT elb FROM alb_access_logs SORT BY elb", "SORT BY"),
    (
        "SELECT elb FROM alb_access_logs WINDOW w AS (PARTITION BY elb)",
        "window functions",
    ),
    (
        "SELECT elb FROM alb_access_logs QUALIFY elb = 'x'",
        "window functions",
    ),
    ("SELECT TOP 5 elb FROM alb_access_logs", "LIMIT 5"),
    ("SELECT elb INTO other FROM alb_access_logs", "INTO other"),
    ("SELECT AS STRUCT elb FROM alb_access_logs", ""),
    ("SELECT AS VALUE elb FROM alb_access_logs", ""),
    ("SELECT ALL elb FROM alb_access_logs", "leave ALL out"),
    (
        "SELECT DISTINCT ON (elb) elb FROM alb_access_logs",
        "GROUP BY",
    ),
    (
        "SELECT /*+ BROADCAST(x) */ elb FROM alb_access_logs",
        "hint",
    ),
    ("SELECT FROM alb_access_logs", "no columns"),
    ("FROM alb_access_logs", "FROM before SELECT"),
    ("FROM alb_access_logs SELECT elb", "FROM before SELECT"),
    ("(SELECT elb FROM alb_access_logs)", "not a SELECT"),
    ("TABLE alb_access_logs", ""),
    ("VALUES (1)", "not a SELECT"),
    ("EXPLAIN SELECT elb FROM alb_access_logs", "not a query"),
    (
        "SELECT * EXCEPT (elb) FROM alb_access_logs",
        "name the columns",
    ),
    (
        "SELECT * EXCLUDE (elb) FROM alb_access_logs",
        "name the columns",
    ),
    (
        "SELECT * EXCLUDE elb FROM alb_access_logs",
        "name the columns",
    ),
    (
        "SELECT * REPLACE (1 AS elb) FROM alb_access_logs",
        "name the columns",
    ),
    (
        "SELECT * RENAME elb AS x FROM alb_access_logs",
        "name the columns",
    ),
    (
        "SELECT * ILIKE '%elb%' FROM alb_access_logs",
        "name the columns",
    ),
    ("SELECT a.* FROM alb_access_logs a", "name the columns"),
    (
        "SELECT a.* EXCEPT (elb) FROM alb_access_logs a",
        "name the columns",
    ),
    ("SELECT elb AS (x, y) FROM alb_access_logs", ""),
    ("SELECT elb AS `e` FROM alb_access_logs", "\"e\""),
    ("SELECT elb AS 'e' FROM alb_access_logs", "\"e\""),
    ("SELECT `elb` FROM alb_access_logs", "\"elb\""),
    ("SELECT elb FROM `alb_access_logs`", "\"alb_access_logs\""),
    (
        "SELECT elb FROM `alb_access_logs` AS a",
        "\"alb_access_logs\"",
    ),
    ("SELECT elb FROM alb_access_logs AS `a`", "\"a\""),
    (
        "SELECT elb FROM alb_access_logs FOR SYSTEM_TIME AS OF '2026-11-20 10:00:00'",
        "",
    ),
    ("SELECT elb FROM alb_access_logs FOR VERSION AS OF 1", ""),
    ("SELECT elb FROM alb_access_logs VERSION AS OF 1", ""),
    ("SELECT elb FROM alb_access_logs AT(TIMESTAMP => 1)", ""),
    ("SELECT elb FROM alb_access_logs PARTITION (p0)", ""),
    ("SELECT elb FROM alb_access_logs USE INDEX (i)", ""),
    ("SELECT elb FROM alb_access_logs FOR XML PATH", ""),
    ("SELECT elb FROM alb_access_logs FOR JSON AUTO", ""),
    ("SELECT elb FROM alb_access_logs LOCK IN SHARE MODE", ""),
    ("SELECT SQL_NO_CACHE elb FROM alb_access_logs", ""),
    ("SELECT STRAIGHT_JOIN elb FROM alb_access_logs", ""),
    ("SELECT elb FROM alb_access_logs WITH (NOLOCK)", "hints"),
    ("SELECT elb FROM alb_access_logs(1)", "arguments"),
    (
        "SELECT elb FROM alb_access_logs WITH ORDINALITY",
        "arguments",
    ),
    (
        "SELECT elb FROM alb_access_logs AS t (a, b)",
        "keep their names",
    ),
    (
        "SELECT elb FROM alb_access_logs TABLESAMPLE BERNOULLI (10)",
        "TABLESAMPLE",
    ),
    (
        "SELECT elb FROM alb_access_logs TABLESAMPLE (10 ROWS)",
        "TABLESAMPLE",
    ),
    ("SELECT elb FROM alb_access_logs SAMPLE 0.1", ""),
    ("SELECT elb FROM alb_access_logs, elb_logs", "exactly one"),
    (
        "SELECT elb FROM alb_access_logs CROSS JOIN elb_logs",
        "JOIN",
    ),
    ("SELECT elb FROM alb_access_logs ARRAY JOIN type", "JOIN"),
    ("SELECT elb FROM LATERAL (SELECT 1)", "subquery"),
    ("SELECT elb FROM UNNEST(ARRAY[1])", "subquery"),
    ("SELECT elb FROM TABLE(f(1))", "subquery"),
    (
        "SELECT elb FROM alb_access_logs MATCH_RECOGNIZE (PATTERN (A) DEFINE A AS true)",
        "subquery",
    ),
    (
        "SELECT elb FROM alb_access_logs PIVOT (sum(x) FOR y IN (1))",
        "subquery",
    ),
    (
        "SELECT count(*) AS n FROM alb_access_logs GROUP BY ALL",
        "GROUP BY ALL",
    ),
    (
        "SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY elb WITH ROLLUP",
        "ROLLUP",
    ),
    (
        "SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY elb WITH TOTALS",
        "WITH TOTALS is not supported",
    ),
    (
        "SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY CUBE (elb)",
        "CUBE",
    ),
    (
        "SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY GROUPING SETS ((elb), ())",
        "GROUPING SETS",
    ),
    (
        "SELECT elb, count(*) AS n FROM alb_access_logs GROUP BY (elb, type)",
        "one grouping",
    ),
    (
        "SELECT elb FROM alb_access_logs /*! WHERE elb = 'x' */",
        "without !",
    ),
    (
        "SELECT elb FROM alb_access_logs /*!50110 WHERE elb = 'x' */",
        "without !",
    ),
    (
        "SELECT elb FROM alb_access_logs /* /* */ WHERE elb = 'x' /* */ -- */",
        "first */",
    ),
];

/// Expressions, each an output column of a rollup that keeps every row.
const EXPRESSIONS: &[(&str, &str)] = &[
    ("elb ? type", ""),
    ("elb -> type", "operators"),
    ("elb ->> type", "operators"),
    ("elb #> type", "operators"),
    ("elb @> type", "operators"),
    ("elb <@ type", "operators"),
    ("elb ^ type", "operators"),
    ("elb & type", "operators"),
    ("elb | type", "operators"),
    ("elb << type", "operators"),
    ("elb >> type", "operators"),
    ("elb && type", "operators"),
    ("(elb, type) OVERLAPS (elb, type)", ""),
    ("elb_status_code DIV 2", ""),
    ("elb <=> type", "IS NOT DISTINCT FROM"),
    ("elb XOR type", "<>"),
    ("elb ~ 'b'", "regexp_like(elb, 'b')"),
    ("elb ~* 'b'", "write regexp_like(elb, pattern), with (?i)"),
    ("elb !~ 'b'", "regexp_like(elb, 'b')"),
    ("elb !~* 'b'", "write NOT regexp_like(elb, pattern)"),
    ("elb ~~ 'b'", "elb LIKE 'b'"),
    ("elb !~~* 'b'", "lower(elb) NOT LIKE 'b'"),
    ("elb ^@ 'b'", ""),
    ("elb REGEXP 'b'", "regexp_like(elb, 'b')"),
    ("elb RLIKE 'b'", "regexp_like(elb, 'b')"),
    ("elb SIMILAR TO 'b'", "write regexp_like(elb, pattern)"),
    ("elb ILIKE 'B'", "lower(elb)"),
    ("elb NOT ILIKE 'B'", "lower(elb)"),
    ("elb LIKE ANY ('a', 'b')", "OR"),
    ("elb GLOBAL IN ('a')", ""),
    ("elb IN ()", ""),
    ("elb IN UNNEST(ARRAY['a'])", "IN (…)"),
    ("elb IN (SELECT 1)", "subquery"),
    ("EXISTS (SELECT 1)", "subquery"),
    ("(SELECT 1)", "subquery"),
    ("elb = ANY (ARRAY['a'])", "IN (…)"),
    ("elb = SOME (ARRAY['a'])", "IN (…)"),
    ("elb > ALL (ARRAY['a'])", "IN (…)"),
    ("elb = ANY (SELECT 1)", ""),
    ("!true", ""),
    ("~elb_status_code", ""),
    ("@elb_status_code", ""),
    ("|/elb_status_code", ""),
    ("elb_status_code!", ""),
    ("elb IS TRUE", "coalesce(elb, false)"),
    ("elb IS NOT TRUE", "NOT coalesce(elb, false)"),
    ("elb IS FALSE", "NOT coalesce(elb, true)"),
    ("elb IS NOT FALSE", "coalesce(elb, true)"),
    ("elb IS UNKNOWN", "IS NULL"),
    ("elb IS NOT UNKNOWN", "IS NOT NULL"),
    ("elb IS NORMALIZED", "not Athena SQL"),
    ("elb IS DISTINCT FROM 'x' AND true", "in parentheses"),
    ("elb IS NOT DISTINCT FROM 'x' OR true", "in parentheses"),
    ("true IS DISTINCT FROM NOT true", "in parentheses"),
    ("true IS DISTINCT FROM elb = 'x'", "in parentheses"),
    ("true IS DISTINCT FROM elb IS NULL", "in parentheses"),
    ("elb[1:2]", "elb[1]"),
    ("elb[1].a", "numbers, text"),
    ("split(elb, '/')[1][2]", "numbers, text"),
    ("(elb, type)", "numbers, text"),
    ("[elb]", "write ARRAY[elb]"),
    ("{'a': elb}", ""),
    ("MAP {'a': elb}", ""),
    ("STRUCT(elb AS a)", ""),
    ("STRUCT<a varchar>(elb)", ""),
    ("elb:a", ""),
    ("x -> x", "the lambda x -> x"),
    ("(x, y) -> x", "the lambda (x, y) -> x"),
    ("elb MEMBER OF (type)", ""),
    ("PRIOR elb", ""),
    ("elb(+)", ""),
    ("elb COLLATE \"C\"", "byte by byte"),
    ("_utf8 'a'", ""),
    ("MATCH (elb) AGAINST ('a')", "LIKE"),
    ("OVERLAY(elb PLACING 'a' FROM 1)", "substr"),
    ("elb::varchar", "CAST(elb AS VARCHAR)"),
    ("SAFE_CAST(elb AS bigint)", "try_cast(elb AS BIGINT)"),
    ("CAST(elb AS date FORMAT 'YYYY')", "CAST(x AS type)"),
    ("CAST(elb AS varchar(3))", "substr(x, 1, n)"),
    ("CAST(elb AS char)", "substr(x, 1, n)"),
    ("CAST(elb AS string)", "types are"),
    ("CAST(elb AS text)", "types are"),
    ("CAST(elb AS float)", "types are"),
    ("CAST(elb AS int8)", "types are"),
    ("CAST(elb AS bool)", "types are"),
    ("CAST(elb AS bigint unsigned)", "types are"),
    ("CAST(elb AS bigint(20))", "types are"),
    (
        "CAST(elb_status_code AS decimal(10, 2))",
        "Write round(elb_status_code, 2)",
    ),
    (
        "CAST(elb_status_code AS decimal(10))",
        "Write CAST(elb_status_code AS bigint)",
    ),
    ("json_array_get(elb, 0)", "write json_extract(x, '$[0]')"),
    ("format('%.2f', sent_bytes)", "write round(x, 2)"),
    ("split_to_map(elb, '&', '=')", "write url_extract_parameter"),
    ("regexp_split(elb, ',')", "write split(regexp_replace("),
    ("parse_duration(elb)", "parse_duration('1d')"),
    ("row_number()", "write OVER"),
    (
        "transform(split(elb, ','), x -> lower(x))",
        "takes a lambda",
    ),
    ("max(count(*))", "an aggregate of an aggregate"),
    (
        "max(sent_bytes) FILTER (WHERE avg(sent_bytes) > 1)",
        "an aggregate of an aggregate",
    ),
    (
        "listagg(elb, ',') WITHIN GROUP (ORDER BY elb)",
        "cannot keep listagg",
    ),
    ("\"GET\"", "Write 'GET'"),
    ("\"%it's%\"", "Write '%it''s%'"),
    ("\"elb_statuscode\"", "did you mean elb_status_code?"),
    ("year", "Write day = '2024/01/15'"),
    ("CAST(elb AS time)", "types are"),
    ("CAST(elb AS datetime)", "types are"),
    ("CAST(elb AS timestamptz)", "types are"),
    ("CAST(elb AS timestamp(0))", "types are"),
    ("CAST(elb AS bigint array)", ""),
    ("CONVERT(bigint, elb)", ""),
    ("CONVERT(elb USING utf8)", ""),
    ("TRY_CONVERT(bigint, elb)", ""),
    ("TIME '10:00:00'", "types are"),
    ("DATETIME '2026-11-20 10:00:00'", "types are"),
    ("{d '2026-11-20'}", ""),
    ("{ts '2026-11-20 10:00:00'}", ""),
    ("DATE \"2026-11-20\"", ""),
    (
        "from_iso8601_timestamp(time) AT TIME ZONE elb",
        "must be a literal",
    ),
    (
        "from_iso8601_timestamp(time) AT TIME ZONE 'Mars/Base'",
        "'Mars/Base' is not a valid time zone",
    ),
    ("EXTRACT('year' FROM elb)", "extract takes"),
    ("EXTRACT(year, elb)", "extract(YEAR FROM elb)"),
    ("EXTRACT(lower FROM elb)", "extract takes"),
    ("EXTRACT(epoch FROM elb)", "extract takes"),
    ("EXTRACT(week(monday) FROM elb)", "extract takes"),
    ("CEIL(sent_bytes TO DAY)", "ceil(sent_bytes)"),
    ("CEIL(sent_bytes, 2)", "ceil(sent_bytes)"),
    ("FLOOR(sent_bytes TO DAY)", "floor(sent_bytes)"),
    ("SUBSTRING(elb FOR 3)", "substr(elb, 1, 3)"),
    ("TRIM('a' FROM elb)", "white space"),
    ("TRIM(BOTH 'a' FROM elb)", "white space"),
    ("TRIM(elb, 'a')", "white space"),
    ("TRIM(LEADING elb)", "ltrim"),
    ("INTERVAL '1 day'", "INTERVAL '1' DAY"),
    ("INTERVAL 1 DAY", "INTERVAL '1' DAY"),
    ("INTERVAL '1.5' DAY", "INTERVAL '1' DAY"),
    ("INTERVAL '1' WEEK", "INTERVAL '1' DAY"),
    ("INTERVAL '1-2' YEAR TO MONTH", "INTERVAL '1' DAY"),
    ("INTERVAL '1' SECOND(3)", "INTERVAL '1' DAY"),
    ("INTERVAL elb DAY", "INTERVAL '1' DAY"),
    ("?", ""),
    ("$1", "no parameters"),
    (":name", "no parameters"),
    ("@name", ""),
    ("1L", "without L"),
    ("X'41'", "from_hex('41')"),
    ("0x41", "decimal digits"),
    ("E'a'", "single quotes"),
    ("N'a'", "single quotes"),
    ("B'1'", "single quotes"),
    ("R'a'", "single quotes"),
    ("U&'a'", "single quotes"),
    ("Q'{a}'", "single quotes"),
    ("$$a$$", "single quotes"),
    ("\"url_extract_path(request_url)\"", "no column"),
    ("\"from_iso8601_timestamp(time)\"", "no column"),
    ("no_such_column", "no column no_such_column"),
    ("b.elb", "called alb_access_logs"),
    ("x.alb_access_logs.elb", "column's name alone"),
    ("\"named cast\"(elb, 'Cast BIGINT')", "without quotes"),
    ("\"all of\"(true, false)", "without quotes"),
    ("\"exact division\"(sent_bytes, 2, '/')", "without quotes"),
    ("\"lower\"(elb)", "without quotes"),
    ("a.lower(elb)", "without quotes"),
    ("{fn lower(elb)}", "without {"),
    ("lower(elb) OVER ()", "window"),
    ("lower(DISTINCT elb)", "only to aggregates"),
    ("lower(ALL elb)", "only to aggregates"),
    (
        "lower(elb) FILTER (WHERE true)",
        "FILTER applies only to aggregates",
    ),
    ("lower(elb) IGNORE NULLS", "IGNORE NULLS"),
    ("lower(elb IGNORE NULLS)", "nothing after the arguments"),
    ("lower(elb) WITHIN GROUP (ORDER BY elb)", "WITHIN GROUP"),
    ("lower(elb ORDER BY elb)", "nothing after the arguments"),
    ("lower(elb LIMIT 1)", "nothing after the arguments"),
    ("lower(elb HAVING MAX type)", "nothing after the arguments"),
    ("lower(elb SEPARATOR ',')", "nothing after the arguments"),
    (
        "lower(elb ON OVERFLOW ERROR)",
        "nothing after the arguments",
    ),
    ("lower(1)(elb)", "one pair of parentheses"),
    ("lower(text => elb)", "without their names"),
    ("lower(text := elb)", "without their names"),
    ("lower(*)", "count(*)"),
    ("lower(alb_access_logs.*)", "count(*)"),
    ("lower((SELECT 1))", "subquery"),
    ("lower(SELECT 1)", ""),
    (
        "CASE WHEN elb::bigint > 1 THEN 1 END",
        "CAST(elb AS BIGINT)",
    ),
    ("elb_status_code IN (1, '2'::bigint)", "CAST('2' AS BIGINT)"),
];

/// Aggregates, each an output column of a rollup with groups.
const AGGREGATES: &[(&str, &str)] = &[
    ("sum(sent_bytes) OVER ()", "add it to GROUP BY"),
    ("sum(sent_bytes ORDER BY time)", "ORDER BY"),
    ("sum(sent_bytes LIMIT 1)", ""),
    ("max(sent_bytes HAVING MAX time)", ""),
    ("max(sent_bytes) IGNORE NULLS", "IGNORE NULLS"),
    ("max(sent_bytes) RESPECT NULLS", "IGNORE NULLS"),
    ("max(sent_bytes IGNORE NULLS)", ""),
    (
        "max(sent_bytes) WITHIN GROUP (ORDER BY time)",
        "WITHIN GROUP",
    ),
    ("sum(*)", "count(*)"),
    ("count(a.*)", "count(*)"),
    ("count(* EXCLUDE (elb))", ""),
    ("count(DISTINCT elb, type)", "group key"),
    ("sum(DISTINCT sent_bytes)", "group key"),
    ("max(DISTINCT sent_bytes)", "Leave it out"),
    (
        "count_if(elb = 'x', elb = 'y')",
        "does not take 2 arguments",
    ),
    ("bool_or(elb NOT ILIKE 'x')", "lower(elb) NOT LIKE"),
    ("bool_or(elb NOT SIMILAR TO 'x')", "NOT regexp_like(elb"),
    ("bool_or(elb !~ 'x')", "NOT regexp_like(elb"),
    ("bool_or(elb !~* 'x')", "(?i)"),
    ("bool_or(elb !~~ 'x')", "elb NOT LIKE"),
    ("bool_or(elb !~~* 'x')", "lower(elb) NOT LIKE"),
    ("sum(x => sent_bytes)", "without their names"),
    ("sum(1)(sent_bytes)", "one pair of parentheses"),
    ("\"count\"(*)", ""),
    ("{fn count(*)}", "without {"),
    (
        "count(*) FILTER (WHERE elb::bigint = 1)",
        "CAST(elb AS BIGINT)",
    ),
    ("count_if(elb ILIKE 'x')", "lower(elb)"),
];

fn refused(sql: &str, says: &str) -> Option<String> {
    match parse_alone(sql) {
        Ok(_) => Some(format!("{sql}: is taken")),
        Err(message) if message.contains(says) => None,
        Err(message) => Some(format!("{sql}: {message}")),
    }
}

#[test]
fn sql_that_goes_round_the_check_is_refused() {
    let queries = ROUND_THE_CHECK
        .iter()
        .map(|(sql, says)| (sql.to_string(), *says));
    let expressions = EXPRESSIONS.iter().flat_map(|(expression, says)| {
        [
            format!("SELECT {expression} AS x FROM alb_access_logs"),
            format!("SELECT type FROM alb_access_logs WHERE coalesce({expression}, NULL) = 1"),
        ]
        .map(|sql| (sql, *says))
    });
    let aggregates = AGGREGATES.iter().map(|(aggregate, says)| {
        let sql = format!("SELECT elb, {aggregate} AS x FROM alb_access_logs a GROUP BY 1");
        (sql, *says)
    });
    let wrong: Vec<String> = queries
        .chain(expressions)
        .chain(aggregates)
        .filter_map(|(sql, says)| refused(&sql, says))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_rollups_are_made_of_is_taken() {
    for expression in [
        "a.elb",
        "\"elb\"",
        "(elb)",
        "-sent_bytes + 1.5e0 * 2 % 3 / 4",
        "elb || 'x' || ''''",
        "elb != 'x' AND NOT elb <> 'y' OR elb IS NULL AND elb IS NOT NULL",
        "(elb IS DISTINCT FROM type) OR elb IS NOT DISTINCT FROM type || 'x'",
        "elb_status_code NOT BETWEEN 1 AND 2 OR elb IN ('x', NULL)",
        "elb LIKE 'x!%' ESCAPE '!' AND elb NOT LIKE '_'",
        "CASE elb WHEN 'x' THEN 1 ELSE 2 END",
        "CASE WHEN true THEN 1 END",
        "try_cast(elb AS double precision)",
        "cast(cast(from_iso8601_timestamp(time) AS timestamp(3) with time zone) AS timestamp)",
        "DATE '2026-11-20' + INTERVAL '1' MONTH",
        "TIMESTAMP '2026-11-20 10:00:00 UTC'",
        "BIGINT '5'",
        "extract(day_of_week FROM from_iso8601_timestamp(time))",
        "ceil(sent_bytes) + floor(sent_bytes)",
        "position('x' IN elb)",
        "substring(elb FROM 2 FOR 3) || substring(elb, 2)",
        "trim(elb)",
        "split(elb, '/')[1] || ARRAY[elb, 'x'][2]",
        "if(elb = 'x', 1, 2)",
        "lower(elb) /* a comment */ -- and another",
    ] {
        let sql = format!("SELECT {expression}\n AS x FROM alb_access_logs AS a");
        if let Err(message) = parse_alone(&sql) {
            panic!("{sql}: {message}");
        }
    }
    for aggregate in [
        "count(*)",
        "count(ALL elb)",
        "count()",
        "sum(sent_bytes) FILTER (WHERE elb = 'x')",
        "count_if(elb = 'x')",
    ] {
        let sql = format!("SELECT elb, {aggregate} AS x FROM default.alb_access_logs GROUP BY elb");
        if let Err(message) = parse_alone(&sql) {
            panic!("{sql}: {message}");
        }
    }
}
