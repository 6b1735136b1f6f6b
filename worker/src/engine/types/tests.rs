use crate::rollup::Rollup;

async fn loaded(expression: &str) -> Result<Rollup, String> {
    let sql = format!("SELECT {expression} AS x FROM alb_access_logs");
    Rollup::from_sql("t", &sql).await
}

const TIME: &str = "from_iso8601_timestamp(time)";

#[tokio::test]
async fn what_athena_refuses_for_its_types_is_refused_with_what_to_write() {
    let cases = [
        (
            "target_status_code >= 500",
            "target_status_code >= 500 compares varchar with integer, which Athena refuses: \
          write try_cast(target_status_code AS integer) >= 500",
        ),
        (
            "target_status_code = 200",
            "write try_cast(target_status_code AS integer) = 200",
        ),
        (
            "500 <= target_status_code",
            "write 500 <= try_cast(target_status_code AS integer)",
        ),
        (
            "target_status_code = 3000000000",
            "try_cast(target_status_code AS bigint)",
        ),
        (
            "target_status_code = 1e0",
            "try_cast(target_status_code AS double)",
        ),
        (
            "elb_status_code = '200'",
            "compares integer with varchar, which Athena refuses: write elb_status_code = 200",
        ),
        (
            "elb_status_code <> 'x'",
            "cast one to the type of the other",
        ),
        (
            "elb_status_code IS DISTINCT FROM '200'",
            "compares integer with varchar",
        ),
        (
            "elb_status_code IN (200, '404')",
            "write 404 instead of '404'",
        ),
        (
            "target_status_code NOT IN ('200', 404)",
            "write try_cast(target_status_code AS integer) instead of target_status_code",
        ),
        (
            "target_status_code BETWEEN 200 AND 299",
            "compares varchar with integer",
        ),
        ("sent_bytes BETWEEN 1 AND '2'", "write 2 instead of '2'"),
        (
            "nullif(target_status_code, 0)",
            "compares varchar with integer",
        ),
        (
            "CASE target_status_code WHEN 200 THEN 1 END",
            "compares varchar with integer",
        ),
        (
            "CASE WHEN sent_bytes > 0 THEN 'x' ELSE 0 END",
            "is varchar or integer",
        ),
        (
            "if(sent_bytes > 0, sent_bytes, '-')",
            "is bigint or varchar",
        ),
        ("typeof('ab')", "write typeof(cast('ab' AS …))"),
        (
            "typeof(if(sent_bytes > 0, 'a', 'bc'))",
            "depends on literals",
        ),
        ("typeof(lower('A'))", "depends on literals"),
        ("typeof(-1.5)", "depends on literals"),
        ("typeof(ARRAY[1])", "depends on literals"),
        ("coalesce(target_port, '-')", "is integer or varchar"),
        ("coalesce(NULL, type, 0)", "is varchar or integer"),
        ("greatest(type, 1)", "varchar"),
        ("CASE WHEN sent_bytes THEN 1 END", "boolean"),
        ("if(elb_status_code, 1)", "boolean"),
        ("sent_bytes > 0 AND elb_status_code", ""),
        ("sent_bytes > 0 AND 1 / elb_status_code", "boolean"),
        ("NOT sent_bytes", "boolean"),
        ("(sent_bytes > 0) = 1", "compares boolean with integer"),
        ("(sent_bytes > 0) = 'true'", "write (sent_bytes > 0) = true"),
        (
            &format!("{TIME} >= '2026-11-20T10:00:00Z'"),
            "TIMESTAMP '2026-11-20 10:00:00 UTC'",
        ),
        (
            &format!("{TIME} > 5"),
            "compares timestamp with time zone with integer",
        ),
        (
            "time >= TIMESTAMP '2026-11-20 10:00:00 UTC'",
            "write from_iso8601_timestamp(time) >= ",
        ),
        (&format!("date({TIME}) = '2026-11-20'"), "DATE '2026-11-20'"),
        ("user_agent + 1", ""),
        ("user_agent * user_agent", ""),
        ("-user_agent", ""),
        (&format!("date({TIME}) + 1"), ""),
        ("client_port || ''", "write cast(client_port AS varchar)"),
        ("user_agent || NULL", "untyped NULL"),
        (
            "concat(user_agent, sent_bytes)",
            "write cast(sent_bytes AS varchar)",
        ),
        (
            "elb_status_code LIKE '5%'",
            "write cast(elb_status_code AS varchar)",
        ),
        (
            "lower(elb_status_code)",
            "lower takes varchar, but elb_status_code is integer",
        ),
        ("substr(sent_bytes, 1)", "write cast(sent_bytes AS varchar)"),
        ("substr(user_agent, '2')", ""),
        ("abs(target_status_code)", ""),
        (
            "starts_with(user_agent, 5)",
            "starts_with takes varchar, but 5 is integer",
        ),
        ("hour(time)", "hour(varchar) is not supported"),
        (
            "round(sent_bytes * 1e0, length(type))",
            "write cast(length(type) AS integer)",
        ),
        ("lower(trim(sent_bytes) || 'x')", "btrim takes varchar"),
        (
            "json_extract(elb, '$') = 'x'",
            "compares json with varchar, which Athena refuses: write cast(json_extract(elb, '$') AS varchar) = 'x'",
        ),
        ("json_parse(elb) < json_parse('1')", "has no order"),
        ("greatest(json_parse(elb), JSON '1')", "has no order"),
        ("json_parse(elb) || ''", "AS varchar)"),
        (
            "cast(elb AS ipaddress) = elb",
            "compares ipaddress with varchar",
        ),
        (
            "contains(elb, cast(elb AS ipaddress))",
            "write the network as a literal",
        ),
        (
            "contains('10.0.0.1/8', cast(elb AS ipaddress))",
            "Invalid CIDR",
        ),
        (
            "cast(elb AS ipaddress)",
            "the output column 'x' has the type ipaddress",
        ),
        ("contains(elb, 'a')", "write split(x, ',')"),
        (
            "split(elb, ',') || 1",
            "|| cannot concatenate array(varchar) and bigint",
        ),
        (
            "array_union(ARRAY[1], ARRAY['a'])",
            "two arrays of one type",
        ),
        ("reverse(sent_bytes)", "write cast(x AS varchar)"),
        ("json_format(elb)", "write json_parse(elb)"),
        ("cast(json_parse(elb) AS date)", "a cast from json to date"),
        (
            "ARRAY[json_parse(elb)]",
            "an array of json is not supported",
        ),
    ];
    for (expression, says) in cases {
        match loaded(expression).await {
            Ok(_) => panic!("{expression}: is taken"),
            Err(message) => assert!(message.contains(says), "{expression}: {message}"),
        }
    }
    for (aggregate, says) in [
        (
            "sum(target_status_code)",
            "sum(varchar) is not supported: use sum(bigint) or sum(double)",
        ),
        ("sum(type = 'x')", "sum(boolean) is not supported"),
        ("bool_or(elb_status_code)", "use bool_or(boolean)"),
        ("tdigest_agg(type)", "use tdigest_agg(double)"),
        ("count(*) FILTER (WHERE elb_status_code)", "boolean"),
        ("count_if(elb_status_code)", "boolean"),
        ("sum(if(type = 5, 1, 0))", "compares varchar with integer"),
        ("max(json_parse(type))", "has no order"),
        ("max(cast(type AS ipaddress))", "is an ipaddress"),
    ] {
        let sql = format!("SELECT elb, {aggregate} AS x FROM alb_access_logs GROUP BY 1");
        let message = Rollup::from_sql("t", &sql).await.unwrap_err();
        assert!(message.contains(says), "{aggregate}: {message}");
    }
    let sql =
        "SELECT elb, count(*) AS n FROM alb_access_logs WHERE target_status_code >= 500 GROUP BY 1";
    let message = Rollup::from_sql("t", sql).await.unwrap_err();
    assert!(
        message.contains("compares varchar with integer"),
        "{message}"
    );
}

#[tokio::test]
async fn what_athena_casts_by_itself_is_taken() {
    for expression in [
        "elb_status_code = 1.5 OR sent_bytes > elb_status_code OR target_processing_time > 1",
        "elb_status_code IN (1, 2.5, NULL) AND type IN ('x', NULL)",
        "coalesce(target_port, 0) + 1 > sent_bytes",
        "CASE WHEN type = 'x' THEN 1 WHEN type = 'y' THEN NULL ELSE 2.5 END",
        "if(sent_bytes > 1, 1)",
        "nullif(type, NULL) = '-'",
        "(type IS DISTINCT FROM NULL) AND type LIKE NULL",
        &format!("{TIME} >= TIMESTAMP '2026-11-20 10:00:00'"),
        &format!("{TIME} >= DATE '2026-11-20'"),
        &format!("date({TIME}) <= {TIME}"),
        &format!("coalesce(try({TIME}), {TIME})"),
        &format!("date_diff('second', cast({TIME} AS date), {TIME})"),
        &format!("{TIME} + INTERVAL '1' HOUR - INTERVAL '1' DAY"),
        "to_unixtime(DATE '2026-11-20')",
        "round(target_processing_time, -2) + round(sent_bytes, if(type = 'x', 1, 2))",
        "round(sent_bytes, cast(length(type) AS integer))",
        "is_nan(sent_bytes) AND NULL AND (NULL OR true)",
        "cast(elb_status_code AS varchar) || '' || cast(NULL AS varchar)",
        "sqrt(elb_status_code) + abs(client_port) - sent_bytes / 2e0",
        "sent_bytes + NULL",
        "date_format(DATE '2026-11-20', '%Y')",
        "url_extract_port(request_url) = 80",
        "BIGINT '5' > 3 AND (sent_bytes > 0) = true",
        "json_extract(elb, '$.a') = JSON '1' OR json_extract(elb, '$.a') IN (JSON '2', NULL)",
        "json_extract_scalar(json_extract(elb, '$.a'), '$.b') = 'x'",
        "contains('10.0.0.0/8', try_cast(elb AS ipaddress)) OR try_cast(elb AS ipaddress) < cast('::1' AS ipaddress)",
        "array_max(slice(split(elb, ',') || type || ARRAY['x'], 1, 2)) = reverse('x')",
        "coalesce(cast(json_extract(elb, '$.a') AS bigint), 0) > 1",
    ] {
        if let Err(message) = loaded(expression).await {
            panic!("{expression}: {message}");
        }
    }
    for aggregate in [
        "sum(1)",
        "sum(1.5)",
        "max(type = 'x')",
        "tdigest_agg(sent_bytes)",
        "bool_or(NULL)",
        "count_if(NULL)",
        "count(json_extract(type, '$'))",
    ] {
        let sql = format!("SELECT elb, {aggregate} AS x FROM alb_access_logs GROUP BY 1");
        if let Err(message) = Rollup::from_sql("t", &sql).await {
            panic!("{aggregate}: {message}");
        }
    }
}
