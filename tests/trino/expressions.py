"""Expressions over a line of `alb_access_logs`, each tested as a column of a rollup: logmill must return what Trino returns.
AGGREGATES are compared by group. N, T, E and P are the parameters of the awkward lines."""

N = "url_extract_parameter(request_url, 'n')"
T = "url_extract_parameter(request_url, 't')"
E = "url_extract_parameter(request_url, 'e')"
INSTANT = "from_iso8601_timestamp(time)"
CREATED = "from_iso8601_timestamp(request_creation_time)"
ODD_INSTANT = f"try(from_iso8601_timestamp({T}))"
ZONED = "from_iso8601_timestamp(url_extract_parameter(request_url, 'z'))"
NUMBER = f"try_cast({N} AS double)"
WHOLE = f"try_cast({N} AS bigint)"

COLUMNS = """
type time elb client_ip client_port target_ip target_port request_processing_time target_processing_time
response_processing_time elb_status_code target_status_code received_bytes sent_bytes request_verb request_url request_proto
user_agent ssl_cipher ssl_protocol target_group_arn domain_name chosen_cert_arn matched_rule_priority request_creation_time
actions_executed redirect_url lambda_error_reason target_port_list target_status_code_list classification
classification_reason conn_trace_id
""".split()

URL = [
    f"url_extract_{part}(request_url)" for part in ["protocol", "host", "port", "path", "query", "fragment"]
] + [
    E, N, T,
    "url_extract_parameter(request_url, 'uid')",
    "url_extract_parameter(request_url, '')",
    "url_extract_parameter(request_url, 'missing')",
    "url_extract_parameter(request_url, 'E')",
    "url_extract_parameter(redirect_url, 'e')",
    "url_extract_path(redirect_url)",
    "url_encode(user_agent)",
    "url_encode(request_url)",
    "url_decode(user_agent)",
    "try(url_decode(request_url))",
    "url_decode(url_encode(user_agent))",
]

TEXT = [
    "lower(user_agent)", "upper(user_agent)", "reverse(user_agent)", "length(user_agent)",
    "trim(user_agent)", "ltrim(user_agent)", "rtrim(user_agent)", "length(trim(user_agent))",
    "substr(user_agent, 2)", "substr(user_agent, 2, 3)", "substr(user_agent, -3)", "substr(user_agent, 0)",
    "substring(user_agent, -3, 2)", "substring(user_agent FROM 2 FOR 4)", "substring(user_agent FROM 3)",
    "substr(user_agent, 300, 5)", "substr(user_agent, 2, -1)",
    "replace(user_agent, 'a', 'ö')", "replace(user_agent, ' ')", "replace(user_agent, '', '.')", "replace(user_agent, 'a', '')",
    "split_part(user_agent, ' ', 1)", "split_part(user_agent, ',', 3)", "split_part(user_agent, ',', 9)",
    "split_part(target_group_arn, '/', 2)", "split_part(user_agent, '', 2)",
    "strpos(user_agent, 'a')", "strpos(user_agent, '')", "strpos(user_agent, 'の')", "position('a' IN user_agent)",
    "starts_with(user_agent, 'S')", "starts_with(user_agent, '')",
    "concat(user_agent, '|', domain_name)", "concat(user_agent, " + E + ")", "user_agent || '!'", "user_agent || NULL",
    "user_agent LIKE '%bot%'", "user_agent LIKE '_'", "user_agent LIKE 'a_b%'", "user_agent LIKE ''", "user_agent LIKE '%\\%'",
    "user_agent LIKE '%\\\\%'", "user_agent LIKE 'back\\slash'",
    "user_agent LIKE '100!%%' ESCAPE '!'", "user_agent LIKE 'a$_b$%%' ESCAPE '$'", "user_agent NOT LIKE '%e%'",
    "user_agent LIKE '_____語%'", "user_agent LIKE '%🍏%'", "user_agent LIKE 'Mozilla%iPhone%'", "user_agent LIKE NULL",
    "user_agent LIKE '100\\%%' ESCAPE '\\'",
    "user_agent = 'it''s'", "user_agent <> '-'", "user_agent < 'a'", "user_agent >= 'Z'",
    "user_agent BETWEEN 'A' AND 'Z'", "user_agent IN ('-', '', 'it''s')", "user_agent NOT IN ('-', NULL)",
    "regexp_like(user_agent, 'bot')", "regexp_like(user_agent, '^[A-Z]')", "regexp_like(user_agent, '\\d+')",
    "regexp_like(user_agent, '\\w{6,}')", "regexp_like(user_agent, '\\bbot\\b')", "regexp_like(user_agent, '(?i)strasse|straße')",
    "regexp_like(user_agent, '^$')", "regexp_like(user_agent, '\\s')", "regexp_like(user_agent, '[[:alpha:]]')",
    "regexp_like(user_agent, '\\p{L}+')", "regexp_like(user_agent, '[^\\x00-\\x7F]')",
    "regexp_extract(user_agent, '[a-z]+')", "regexp_extract(user_agent, '(\\w+)/(\\d+)\\.(\\d+)', 2)",
    "regexp_extract(user_agent, '(\\w+)/(\\d+)', 1)", "regexp_extract(user_agent, '(x)?(c)', 1)",
    "regexp_extract(user_agent, '.')", "regexp_extract(user_agent, '.$')", "regexp_extract(request_url, '[?&]uid=([^&]*)', 1)",
    "regexp_extract(user_agent, '(?<word>\\w+)', 1)", "regexp_extract(user_agent, 'a*')", "regexp_extract(user_agent, 'a|ab')",
    "regexp_extract(user_agent, '\\S+')", "regexp_extract(user_agent, '(\\w+) (\\w+)', 3)",
    "coalesce(" + E + ", user_agent, 'none')", "try(coalesce(" + E + ", 'none'))", "nullif(user_agent, '-')", "nullif(" + E + ", 'view')",
    "CASE WHEN user_agent LIKE '%bot%' THEN 'bot' WHEN user_agent = '-' THEN NULL ELSE 'other' END",
    "CASE type WHEN 'ws' THEN 1 WHEN 'https' THEN 2 END", "CASE WHEN target_port IS NULL THEN 'none' ELSE target_ip END",
    "if(user_agent = '-', 'none', user_agent)", "if(elb_status_code >= 500, 1)",
    "user_agent IS NULL", E + " IS NOT NULL", E + " IS DISTINCT FROM 'view'", E + " = ''",
    "'a' || 'b'", "''", "'日本'", "NULL",
]

NUMBERS = [
    NUMBER, WHOLE, f"try_cast({N} AS integer)", f"try_cast({N} AS smallint)", f"try_cast({N} AS tinyint)",
    f"try_cast({N} AS boolean)", f"try_cast({N} AS date)", f"try_cast(user_agent AS date)",
    f"try(cast({N} AS bigint))", f"cast({N} AS bigint)", f"cast({N} AS double)", f"cast(user_agent AS date)",
    f"try_cast({NUMBER} AS bigint)", f"try_cast({NUMBER} AS integer)", f"cast({NUMBER} AS varchar)", f"cast({WHOLE} AS varchar)",
    f"cast({WHOLE} AS double)", f"try_cast({WHOLE} AS integer)", f"try_cast({WHOLE} AS smallint)", f"cast({WHOLE} AS integer)",
    "cast(target_processing_time AS varchar)", "cast(elb_status_code AS varchar)", "cast(elb_status_code = 200 AS varchar)",
    "cast(elb_status_code = 200 AS bigint)", "cast(elb_status_code AS boolean)", "cast(target_processing_time AS boolean)",
    "cast(elb_status_code AS double)", "cast(elb_status_code AS smallint)", "cast(target_processing_time AS bigint)",
    "cast(target_processing_time AS real)", "cast(target_processing_time AS decimal(10,2))", "cast(sent_bytes AS decimal(20,0))",
    "round(target_processing_time)", "round(target_processing_time, 2)", "floor(target_processing_time)",
    "ceil(target_processing_time)", "ceiling(target_processing_time)", "abs(target_processing_time)", "abs(elb_status_code)",
    f"abs({WHOLE})", f"round({NUMBER})", f"round({WHOLE})", f"floor({NUMBER})", f"ceil({WHOLE})", f"floor(elb_status_code)",
    f"is_nan({NUMBER})", f"is_finite({NUMBER})", f"is_infinite({NUMBER})",
    "elb_status_code / 100", "elb_status_code % 100", "elb_status_code / 100 * 100", "-elb_status_code", "elb_status_code + 1",
    "-7 / 2", "-7 % 3", "7 / -2", "7 / 2.0", "1.5 + 1", "0.1 + 0.2", "10.0 / 3", "1 / 3.0",
    f"{WHOLE} / 2", f"{WHOLE} % 7", f"-{WHOLE}", f"{WHOLE} + 1", f"{WHOLE} * 2", "received_bytes + sent_bytes",
    "try(received_bytes + sent_bytes)", "received_bytes * 2", "try(received_bytes * 2)", "sent_bytes / received_bytes",
    "try(sent_bytes / received_bytes)", "sent_bytes % received_bytes", "sent_bytes / nullif(received_bytes, 0)",
    f"{WHOLE} - 1", f"try({WHOLE} - 1)", f"try({WHOLE} + 1)", f"try({WHOLE} * 3)", f"try(-{WHOLE})", f"try({WHOLE} * {WHOLE})",
    f"try(try_cast({N} AS integer) * 2)", f"try_cast({N} AS integer) + elb_status_code", f"try(try_cast({N} AS integer) + elb_status_code)",
    f"try(-try_cast({N} AS integer))", f"try(-try_cast({N} AS smallint))", "elb_status_code * client_port", "client_port - elb_status_code",
    "try(received_bytes - -1)", f"try({WHOLE} - {WHOLE})", "try(1 - sent_bytes - received_bytes)", f"{WHOLE} % 1000 + sent_bytes % 7 * 2 - 1",
    "received_bytes < 1000 AND received_bytes * sent_bytes > 0", "received_bytes > 1000 OR received_bytes + sent_bytes > 200",
    f"{NUMBER} / 0", f"0 / {NUMBER}", f"{NUMBER} % 7", f"{NUMBER} * 2", f"-{NUMBER}", f"{NUMBER} + {WHOLE}",
    "request_processing_time + target_processing_time + response_processing_time", "target_processing_time * 1000",
    "cast(target_processing_time * 1000 AS bigint)", "sent_bytes / 1024.0", "sent_bytes / 1024e0", "sent_bytes * 1.0 / received_bytes",
    "sent_bytes / cast(received_bytes AS double)",
    f"{NUMBER} = 1.5", f"{NUMBER} > 1", f"{NUMBER} <> {NUMBER}", f"{NUMBER} = {NUMBER}", f"{NUMBER} BETWEEN -1 AND 1",
    f"{NUMBER} IN (1, 2.5)", f"{NUMBER} NOT BETWEEN 0 AND 1e0", f"{NUMBER} > 0.1", f"{WHOLE} = 42", f"{WHOLE} IN (42, 7)",
    "target_processing_time = 0.25", "target_processing_time > 0.1", "target_processing_time < 0", "elb_status_code = 200.0",
    "elb_status_code BETWEEN 200 AND 299", "elb_status_code IN (200, 301, NULL)", "elb_status_code NOT IN (200, 301)",
    "NOT (elb_status_code = 200)", "elb_status_code = 200 AND target_port = 80", "elb_status_code = 200 OR target_port IS NULL",
    "elb_status_code <> 200 OR NULL", "elb_status_code IS DISTINCT FROM 200", "(elb_status_code = 200) IS NULL",
    "greatest(elb_status_code, 300)", "least(elb_status_code, client_port)", f"greatest({NUMBER}, 1e0)", f"least({NUMBER}, 1e0)",
    "greatest(user_agent, 'm')", "greatest(elb_status_code, NULL)", "coalesce(target_port, 0)", f"coalesce({WHOLE}, -1)",
    "nullif(elb_status_code, 200)", "nullif(target_processing_time, -1)", f"coalesce({NUMBER}, 0)",
    "received_bytes <> 0 AND sent_bytes / received_bytes > 1", "if(received_bytes = 0, NULL, sent_bytes / received_bytes)",
    "CASE WHEN received_bytes > 0 THEN sent_bytes / received_bytes ELSE 0 END", "CASE WHEN elb_status_code >= 500 THEN 1 ELSE 0 END",
    "CASE WHEN target_processing_time < 0 THEN NULL ELSE target_processing_time END", "CASE WHEN true THEN 1 ELSE 2.5 END",
    "power(2, 10)", "sqrt(target_processing_time)", "ln(sent_bytes)", "log10(sent_bytes)", "mod(elb_status_code, 100)",
    "sign(target_processing_time)", "truncate(target_processing_time)", "width_bucket(target_processing_time, 0, 1, 10)",
    "true", "1", "1e0", "9223372036854775807", "-1", "1.0", "TRUE AND NULL", "1 = 1.0", "bitwise_and(elb_status_code, 4)",
    "target_status_code = 200", "elb_status_code = '200'", "client_port || ''", "user_agent + 1",
]

UNITS = "millisecond second minute hour day week month quarter year".split()
TIMES = (
    [INSTANT, ODD_INSTANT, f"from_iso8601_timestamp({T})", CREATED]
    + [f"date_trunc('{unit}', {INSTANT})" for unit in UNITS]
    + [f"date_trunc('{unit}', {ODD_INSTANT})" for unit in UNITS]
    + [f"date_trunc('{unit}', cast({ODD_INSTANT} AS date))" for unit in UNITS]
    + [f"{part}({ODD_INSTANT})" for part in "year quarter month week day hour minute second millisecond".split()]
    + [f"{part}({ODD_INSTANT})" for part in "day_of_week dow day_of_year doy day_of_month year_of_week yow week_of_year".split()]
    + [f"extract({part} FROM {ODD_INSTANT})" for part in "year quarter month week day hour minute second day_of_week".split()]
    + [
        f"cast({ODD_INSTANT} AS date)", f"date({ODD_INSTANT})", f"cast({INSTANT} AS varchar)", f"cast({ODD_INSTANT} AS timestamp)",
        f"to_unixtime({ODD_INSTANT})", f"cast(to_unixtime({INSTANT}) AS bigint)", f"from_unixtime({WHOLE} % 100000)",
        f"from_unixtime({NUMBER})", "from_unixtime(1.5)", f"cast(cast({ODD_INSTANT} AS date) AS varchar)",
        f"{INSTANT} > TIMESTAMP '2026-11-20 10:00:00 UTC'", f"{INSTANT} >= TIMESTAMP '2026-11-20 10:00:00'",
        f"cast({INSTANT} AS date) = DATE '2026-11-20'", f"{INSTANT} BETWEEN {CREATED} AND {INSTANT}", f"{INSTANT} - {CREATED}",
        f"date_diff('millisecond', {CREATED}, {INSTANT})", f"date_diff('day', {ODD_INSTANT}, {INSTANT})",
        f"date_add('hour', 1, {INSTANT})", f"{INSTANT} + INTERVAL '1' HOUR", f"{INSTANT} - INTERVAL '1' DAY",
        "DATE '2026-11-20'", "TIMESTAMP '2026-11-20 10:00:00'", "DATE '2026-11-20' + INTERVAL '1' DAY", "INTERVAL '1' DAY",
        f"format_datetime({INSTANT}, 'yyyy-MM-dd')", f"date_format({INSTANT}, '%Y-%m-%d')", f"date_parse({N}, '%Y-%m-%d')",
        "parse_datetime(time, 'yyyy-MM-dd''T''HH:mm:ss.SSSSSS''Z''')", f"{INSTANT} AT TIME ZONE 'Europe/Berlin'",
        f"greatest({INSTANT}, {CREATED})", f"coalesce({ODD_INSTANT}, {INSTANT})", f"nullif({INSTANT}, {INSTANT})",
        f"date_trunc('minute', {CREATED})", "substr(time, 1, 13)", f"date_trunc('fortnight', {INSTANT})",
        f"date_trunc('MINUTE', {INSTANT})", "now()", "current_date", f"year(cast({ODD_INSTANT} AS date))",
        ZONED, f"hour({ZONED})", f"date_trunc('day', {ZONED})", f"cast({ZONED} AS date)", f"to_unixtime({ZONED})",
        f"date_trunc('day', cast({INSTANT} AS timestamp))", f"cast({INSTANT} AS timestamp)",
        f"cast({ODD_INSTANT} AS varchar)", f"cast({CREATED} AS varchar)", f"cast(date_trunc('day', {INSTANT}) AS varchar)",
        f"from_iso8601_date({N})", f"try(from_iso8601_date({N}))", f"last_day_of_month({INSTANT})",
    ]
)

# Differences of times, and additions to times.
COUNTS = "-13 0 1 400".split()
TIMES += (
    [f"date_diff('{unit}', {ODD_INSTANT}, {INSTANT})" for unit in UNITS]
    + [f"date_diff('{unit}', {INSTANT}, {ODD_INSTANT})" for unit in UNITS]
    + [f"date_diff('{unit}', cast({ODD_INSTANT} AS date), DATE '2023-02-28')" for unit in UNITS]
    + [f"date_diff('{unit}', TIMESTAMP '2024-01-31 12:00:00 UTC', {ODD_INSTANT})" for unit in UNITS]
    + [f"date_diff('{unit}', {ODD_INSTANT}, TIMESTAMP '2025-02-28 12:00:00 UTC')" for unit in UNITS]
    + [f"date_add('{unit}', {count}, {ODD_INSTANT})" for unit in UNITS for count in COUNTS]
    + [f"date_add('{unit}', {count}, cast({ODD_INSTANT} AS date))" for unit in UNITS for count in COUNTS]
    + [f"try(date_add('day', {WHOLE}, {INSTANT}))", f"date_add('day', {WHOLE}, {INSTANT})", f"date_add('month', length(user_agent), {INSTANT})"]
    + [f"date_diff('fortnight', {CREATED}, {INSTANT})", f"date_diff('DAY', {CREATED}, {INSTANT})", f"date_diff('hour', NULL, {INSTANT})"]
    + [f"to_unixtime({INSTANT}) - to_unixtime({CREATED})", f"date_diff('second', cast({INSTANT} AS date), {INSTANT})"]
)
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
JODA_LETTERS = "CDEGHKMSYZadehkmswxyzbu"
MYSQL_PATTERNS = ["%Y-%m-%d %H:%i:%s", "%Y%m%dT%T.%f", "100%% %é %", "", "at %r, %W", "%b %e %Y %l%p"]
JODA_PATTERNS = [
    "yyyy-MM-dd''T''HH:mm:ss.SSS", "yyyy-MM-dd HH", "EEE, d MMM yyyy hh:mm a", "''o''''clock'' H", "''''H ''''", "H ''open", "é.!? yy", "", "SSSSSSSSSS",
]
TIMES += (
    [f"date_format({ODD_INSTANT}, '%{letter}')" for letter in LETTERS]
    + [f"date_format({ODD_INSTANT}, '{pattern}')" for pattern in MYSQL_PATTERNS]
    + [f"date_format(cast({ODD_INSTANT} AS date), '%Y-%m-%d %H')", f"date_format({INSTANT}, user_agent)"]
    + [f"format_datetime({ODD_INSTANT}, '{letter * count}')" for letter in JODA_LETTERS for count in (1, 2, 3, 4)]
    + [f"format_datetime({ODD_INSTANT}, '{pattern}')" for pattern in JODA_PATTERNS]
)
PADDED = [
    f"{name}({text})"
    for name in ("lpad", "rpad")
    for text in [
        "user_agent, 12, '.'", "user_agent, 3, 'ab'", "user_agent, 25, '日本語'", "user_agent, 0, ' '", "user_agent, 2, '🍏'", "user_agent, -1, ' '",
        "user_agent, 5, ''", f"{E}, 8, user_agent", f"{E}, 8, {E}", "user_agent, NULL, ' '",
    ]
]
DIGITS = "-400 -30 -19 -18 -3 -2 -1 0 1 2 3 5 15 17 22 30 300 330".split()
ROUNDED = (
    [f"round({NUMBER}, {digits})" for digits in DIGITS]
    + [f"round({WHOLE}, {digits})" for digits in DIGITS]
    + [f"try(round({WHOLE}, {digits}))" for digits in DIGITS]
    + ["round(elb_status_code, -2)", "round(sent_bytes * 1e0 / 7, 3)", "round(target_processing_time * 1000, 1)"]
    + [f"sqrt({NUMBER})", f"truncate({NUMBER})", f"truncate({WHOLE})", f"sqrt({WHOLE})", "sqrt(elb_status_code)", f"round({NUMBER}, length(type))"]
    + ["user_agent <> '-' AND lpad(user_agent, length(user_agent) - 2, ' ') = 'x'", f"{E} = 'x' AND date_add('day', {WHOLE}, {INSTANT}) = {INSTANT}"]
)

# Other types and functions that people write, and that rollups may not support.
OTHERS = [
    "split(user_agent, ' ')", "split(user_agent, ' ')[1]", "element_at(split(user_agent, '/'), 2)", "cardinality(split(user_agent, ' '))",
    "json_extract_scalar(user_agent, '$.a')", "regexp_replace(user_agent, '[0-9]+', 'N')", "regexp_replace(user_agent, 'a')",
    "regexp_replace(user_agent, '(\\w+)/(\\d+)', '$2-$1')", "regexp_count(user_agent, 'a')", "regexp_split(user_agent, ' ')",
    "md5(to_utf8(user_agent))", "to_hex(sha256(to_utf8(client_ip)))", "xxhash64(to_utf8(client_ip))", "from_utf8(to_utf8(user_agent))",
    "lpad(type, 8, '.')", "rpad(type, 8, '.')", "chr(65)", "codepoint('A')", "translate(user_agent, 'abc', 'xyz')",
    "normalize(user_agent)", "levenshtein_distance(type, 'http')", "to_base64(to_utf8(type))", "word_stem(type)", "concat_ws('-', type, elb)",
    "cast(client_ip AS ipaddress)", "contains(ARRAY['http', 'https'], type)", "ARRAY[1, 2]", "ROW(1, 'a')", "typeof(time)",
    "cast(user_agent AS varchar(3))", "cast(user_agent AS char(5))", "random()", "uuid()",
    "regexp_like(user_agent, '(?=bot)')", "regexp_like(user_agent, '(a)\\1')", "regexp_extract(user_agent, '[a-z&&[^b]]+')",
    "(SELECT 1)", "row_number() OVER ()", "undefined_function(type)", "no_such_column", "U&'\\0041'", "X'41'",
    "lower(user_agent) COLLATE x", "elb_status_code::varchar", "type ~ 'h'", "strpos(user_agent, 'a', 2)", "hamming_distance(type, type)",
    "human_readable_seconds(target_processing_time)", "try_cast(user_agent AS json)", "split_part(user_agent, ' ', 0)", "ends_with(type, 's')",
    "bar(0.5, 10)", "date '2026-11-20'", "time '10:00:00'", "cast('10:00' AS time)", "\"type\"", "\"TYPE\"", "TYPE", "a.type",
]

# Of many arguments, nested, and with NaN.
OTHERS += [
    "greatest(elb_status_code, client_port, 300)", "least(sent_bytes, received_bytes, 100, NULL)", f"greatest({NUMBER}, 1e0, -1e0)",
    f"greatest(1e0, {NUMBER})", f"least(1e0, {NUMBER}, 5e0)", f"least({NUMBER}, {NUMBER})", f"greatest(-0e0, {NUMBER} * 0e0)", "greatest(type)",
    f"{NUMBER} + 0e0 > 1", f"{NUMBER} + 0e0 <> {NUMBER}", f"{NUMBER} * 1e0 = {NUMBER} + 0e0", f"{NUMBER} + 0e0 BETWEEN 0 AND 5",
    f"{NUMBER} + 0e0 NOT BETWEEN 0 AND 5", f"NOT ({NUMBER} + 0e0 <= sent_bytes)", f"nullif({NUMBER} + 0e0, 1)", f"{NUMBER} + 0e0 IN (1, 2)",
    "greatest(greatest(sent_bytes, received_bytes), least(elb_status_code, 300))", "least(user_agent, type, 'm')", "greatest()",
    f"greatest({INSTANT}, {CREATED}, {ODD_INSTANT})", f"least(date({INSTANT}), DATE '2026-11-20')", "greatest(sent_bytes > 0, received_bytes > 0)",
    "received_bytes <> 0 AND (sent_bytes / received_bytes > 10 OR 5 / (received_bytes - 1) > 1)", "NULL AND 1 / received_bytes = 1",
    "received_bytes = 0 OR NULL OR 1 / received_bytes = 1", "received_bytes <> 0 AND NULL AND 1 / received_bytes = 1",
    f"is_finite({NUMBER}) AND round({WHOLE}, -19) = 0", "mod(sent_bytes, 1.5)",
]

# In Trino a text is not a number, and a number is not a text, whatever DataFusion would cast.
OTHERS += [
    "target_status_code >= 500", "try_cast(target_status_code AS integer) >= 500", "500 = target_status_code", "elb_status_code <> 'x'",
    "elb_status_code IN (200, '404')", "target_status_code IN ('200', 404)", "elb_status_code BETWEEN '1' AND 2", "type IS DISTINCT FROM 5",
    "nullif(target_status_code, 0)", "CASE target_status_code WHEN 200 THEN 1 END", "CASE WHEN sent_bytes > 0 THEN 'x' ELSE 0 END",
    "if(sent_bytes > 0, sent_bytes, '-')", "coalesce(target_port, '-')", "greatest(type, 1)", "if(elb_status_code, 1)", "NOT sent_bytes",
    "(sent_bytes > 0) = 1", "(sent_bytes > 0) = 'true'", "(sent_bytes > 0) = (received_bytes > 0)", f"{INSTANT} >= '2026-11-20T10:00:00Z'",
    f"{INSTANT} >= DATE '2026-11-20'", f"date({INSTANT}) <= {INSTANT}", f"date({INSTANT}) = '2026-11-20'", f"date({INSTANT}) + 1", "-user_agent",
    "user_agent * 2", "concat(user_agent, sent_bytes)", "user_agent || cast(NULL AS varchar)", "elb_status_code LIKE '5%'", "lower(elb_status_code)",
    "starts_with(user_agent, 5)", "substr(user_agent, '2')", "hour(time)", "abs(target_status_code)", "is_nan(sent_bytes)", "sent_bytes + NULL",
    f"round({NUMBER}, cast(length(type) AS integer))", f"round({NUMBER}, if(type = 'ws', 1, 2))", "elb_status_code = 1.5", "BIGINT '5' > 3",
    f"(type IS DISTINCT FROM {E}) AND elb_status_code = 200", "type IS NOT DISTINCT FROM 'ws' OR elb_status_code = 200",
]

# Numbers, bits, characters and binary values.
P = "url_extract_parameter(request_url, 'uid')"
MATH = (
    [
        f"{name}({number})"
        for name in "ln exp log2 log10 cbrt sign radians degrees sin cos tan asin acos atan sinh cosh tanh sqrt format_number".split()
        for number in [NUMBER, WHOLE, "target_processing_time", "elb_status_code"]
    ]
    + [f"{name}({NUMBER}, {other})" for name in "log power pow atan2".split() for other in ["2", "0e0", "-1.5e0", NUMBER, "nan()", "infinity()"]]
    + [f"{name}(1, {NUMBER})" for name in "power log".split()] + [f"power(-1, {NUMBER})", f"power({WHOLE}, 2)", "power(0, 0)", "log(1, 5)"]
    + ["pi()", "e()", "nan()", "infinity()", "-infinity()", "pi() * target_processing_time", f"try(pi() * (1 / {WHOLE}))", "ln(NULL)", "power(NULL, 2)", "ln(user_agent)"]
    + [f"to_base({WHOLE}, {radix})" for radix in ["2", "16", "36", "37", "1", "NULL", "-5"]]
    + [f"try(from_base({N}, {radix}))" for radix in ["2", "10", "16", "36", "37", "0", "NULL"]]
    + [f"from_base({N}, 10)", "from_base('ff', 16)", "from_base('', 10)", "try(from_base(user_agent, 36))", f"try(to_base({WHOLE}, {WHOLE}))", "from_base('7fffffffffffffff', 16)"]
    + [f"width_bucket(target_processing_time, {args})" for args in ["0, 1, 10", "1, 0, 10", "0, 0, 10", "0, 1, 0", "-5e0, 5e0, 3", "0, 1, NULL", "nan(), 1, 2"]]
    + [f"try(width_bucket({NUMBER}, -10, 10, 5))", f"width_bucket({NUMBER}, -10, 10, 5)", f"try(width_bucket({NUMBER}, 10, -10, 9223372036854775807))"]
    + ["random()", "rand()", "random(10)", "uuid()", "greatest(1, 2, elb_status_code, client_port)", "least(user_agent, type, elb, domain_name)"]
)
BITS = (
    [f"bitwise_{name}({WHOLE}, {other})" for name in "and or xor".split() for other in ["255", WHOLE, "-1", "NULL", "elb_status_code"]]
    + [f"bitwise_not({WHOLE})", "bitwise_not(elb_status_code)", "bitwise_not(1.5)", "bitwise_and(user_agent, 1)"]
    + [
        f"bitwise_{name}({value}, {by})"
        for name in "left_shift right_shift right_shift_arithmetic".split()
        for value in [WHOLE, f"try_cast({N} AS integer)", f"try_cast({N} AS smallint)", f"try_cast({N} AS tinyint)", "elb_status_code"]
        for by in ["0", "1", "7", "31", "63", "64", "-1"]
    ]
    + ["bitwise_left_shift(1, 40)", f"bitwise_left_shift(1, {WHOLE})", f"bitwise_left_shift({WHOLE}, NULL)", f"bitwise_right_shift({WHOLE}, elb_status_code - 190)"]
    + [f"try(bit_count({WHOLE}, {bits}))" for bits in ["64", "32", "8", "2", "1", "65"]] + [f"bit_count({WHOLE}, 64)", f"bit_count({WHOLE}, 8)"]
)
CHARACTERS = (
    ["chr(elb_status_code)", "chr(127822)", "chr(-1)", "chr(55296)", "chr(1114112)", f"try(chr({WHOLE}))", "chr(0)", "codepoint('a')", "codepoint('🍎')", "codepoint('')", "codepoint('ab')"]
    + ["codepoint(user_agent)", "codepoint(chr(233))", "codepoint(substr(user_agent, 1, 1))"]
    + [f"levenshtein_distance(user_agent, {other})" for other in ["'curl'", "''", "domain_name", "reverse(user_agent)", P, "NULL"]]
    + [f"try(hamming_distance(user_agent, {other}))" for other in ["'curl/8.16.1'", "reverse(user_agent)", "'🍎'", "''"]] + ["hamming_distance(user_agent, '-')", "hamming_distance(type, reverse(type))"]
    + [f"translate(user_agent, {args})" for args in ["'abc', 'xyz'", "'aab', 'xy'", "'aeiou', ''", "'', 'x'", "'日本語', '日'", "'é', 'e'", "NULL, 'x'", "user_agent, 'x'"]]
    + [f"concat_ws({args})" for args in ["'-', user_agent, type", f"',', {P}, {E}, type", f"{P}, 'a', 'b'", f"'', {E}", "NULL, 'a'", "'x'", "',', NULL, NULL", "',', elb_status_code"]]
    + [f"strpos(user_agent, {args})" for args in ["'a', 1", "'a', 2", "'a', -1", "'a', -2", "'', 3", "'', -3", "'xx', 5", "'xx', -5", "'の', -1", "'a', 0", "'a', NULL"]]
    + ["try(strpos(user_agent, 'a', elb_status_code - 200))", "normalize(user_agent)", f"normalize({P})", "soundex(user_agent)", "strrpos(user_agent, 'a')", "typeof(user_agent)"]
)
AGENT = "to_utf8(user_agent)"
BINARY = (
    [f"{name}({AGENT})" for name in "to_hex to_base64 to_base64url md5 sha1 sha256 sha512 xxhash64 crc32 length from_utf8".split()]
    + [f"{name}(to_utf8(request_url))" for name in "to_hex to_base64 to_base64url md5 sha1 sha256 sha512 xxhash64 crc32 length from_utf8".split()]
    + [f"to_hex({name}(to_utf8({E})))" for name in "md5 sha1 sha256 sha512 xxhash64".split()]
    + [f"hmac_{name}({AGENT}, {key})" for name in "md5 sha1 sha256 sha512".split() for key in ["to_utf8('key')", "to_utf8(request_url)", "from_hex('00FF')", "NULL"]]
    + [f"try({name}({text}))" for name in "from_base64 from_base64url from_hex".split() for text in [N, E, "user_agent", T, P, "reverse(to_base64(to_utf8(user_agent)))"]]
    + [f"from_base64({AGENT})", f"try(from_base64({AGENT}))", f"try(from_hex({AGENT}))", "from_hex(user_agent)", "from_base64('YQ=')", "from_base64('YQ')", "from_base64('YR==')", "from_base64('')"]
    + ["from_base64('=')", "from_base64('YQ==YQ==')", "from_base64('Y Q=')", "from_base64url('-_8')", "from_base64('-_8=')", "from_hex('0')", "from_hex('zz')", "from_hex('Ff00')", "from_hex('')"]
    + [f"{name}(to_base64({AGENT}))" for name in ["from_base64"]] + [f"from_base64url(to_base64url({AGENT}))", f"from_hex(to_hex({AGENT}))"]
    + [f"from_utf8(from_hex('{digits}'))" for digits in ["61FF62", "E697", "EDA080", "F888808080", "FC8480808080", "8080", "C328", "C080", "F48FBFBF", "F4908080", "F09F8D", "E0808061", "FE", ""]]
    + [f"from_utf8(from_hex('61FF62'), {other})" for other in ["'?'", "''", "'🍎'", "'ab'", "NULL"]] + [f"from_utf8({AGENT}, type)", f"try(from_utf8(from_base64({N})))"]
    + [f"to_big_endian_64({WHOLE})", f"to_big_endian_32(try_cast({N} AS integer))", f"from_big_endian_64(to_big_endian_64({WHOLE}))", f"from_big_endian_32(to_big_endian_32(elb_status_code))"]
    + ["from_big_endian_64(from_hex('00'))", f"try(from_big_endian_64({AGENT}))", "from_big_endian_64(xxhash64(to_utf8(user_agent)))", f"to_ieee754_64({NUMBER})", f"from_ieee754_64(to_ieee754_64({NUMBER}))"]
    + ["X'00FF'", "0x41", "from_hex('00FF')", "md5(user_agent)", "to_hex(user_agent)", "to_utf8(elb_status_code)", "to_utf8(NULL)", f"{AGENT} = from_hex('2D')", f"{AGENT} < to_utf8('a')", f"coalesce({AGENT}, from_hex('00'))", f"crc32({AGENT}) % 100 = 0"]
    + [f"{AGENT} IS NULL", f"{AGENT} IN (from_hex('2D'), from_hex(''))", f"greatest({AGENT}, from_hex('61'))", f"if(type = 'ws', {AGENT})", f"nullif({AGENT}, from_hex('2D'))", f"from_big_endian_64(substr(md5({AGENT}), 1, 8))"]
    + [f"murmur3({AGENT})", f"spooky_hash_v2_64({AGENT})", f"to_base32({AGENT})", f"reverse({AGENT})", f"{AGENT} || from_hex('00')", f"ip_prefix(cast(client_ip AS ipaddress), 24)", "cast(client_ip AS ipaddress)"]
)

AGGREGATES = [
    "count(*)", "count(1)", "count(target_port)", "count(" + E + ")", "count(" + NUMBER + ")", "count_if(elb_status_code >= 500)",
    "count_if(" + E + " = 'view')", "count(*) FILTER (WHERE target_port IS NULL)", "count() ",
    "sum(elb_status_code)", "sum(target_port)", "sum(" + WHOLE + " % 1000)", f"sum(if({WHOLE} BETWEEN -1000 AND 1000, {WHOLE}))", "sum(-elb_status_code)", "sum(sent_bytes % 7 * 2 - 9)",
    "sum(received_bytes) FILTER (WHERE received_bytes < 1000)", "sum(if(sent_bytes < 5000, sent_bytes * 1000000000000))", "sum(" + WHOLE + ")", "sum(target_processing_time)",
    "sum(sent_bytes) FILTER (WHERE sent_bytes < 1000000)", "sum(received_bytes)", f"sum(if(is_finite({NUMBER}), 1e0))", f"sum({NUMBER})",
    "sum(1)", "sum(1.5)", "sum(CASE WHEN elb_status_code >= 500 THEN 1 ELSE 0 END)", "sum(if(target_port IS NULL, 1, 0))",
    "sum(cast(elb_status_code AS smallint))", "sum(target_processing_time) FILTER (WHERE target_processing_time >= 0)",
    "min(elb_status_code)", "max(elb_status_code)", "min(user_agent)", "max(user_agent)", "min(target_processing_time)",
    "max(target_processing_time)", f"min({WHOLE})", f"max({WHOLE})", f"min({NUMBER}) FILTER (WHERE is_finite({NUMBER}))",
    f"max({NUMBER})", f"min({NUMBER})", f"min({INSTANT})", f"max({ODD_INSTANT})", f"min(cast({INSTANT} AS date))", "min(target_port)",
    "max(elb_status_code = 200)", "bool_or(elb_status_code >= 500)", "bool_and(elb_status_code >= 200)", "every(sent_bytes > 0)",
    f"bool_or({E} = 'view')", "bool_and(target_port IS NULL)", f"min({T})", "min(time)", "max(length(user_agent))",
    "approx_set(client_ip)", "approx_set(user_agent)", f"approx_set({E})", "approx_set(client_port)", "approx_set(sent_bytes)",
    "approx_set(target_processing_time)", f"approx_set({NUMBER})", f"approx_set({WHOLE})", "approx_set(user_agent || trace_id)",
    "approx_set(cast(elb_status_code AS bigint))", f"approx_set(cast({INSTANT} AS date))", "approx_set(elb_status_code = 200)",
    f"approx_set({INSTANT})", "approx_set(lower(user_agent)) FILTER (WHERE type = 'https')", "approx_set(client_ip, 0.01)",
    "tdigest_agg(target_processing_time)", "tdigest_agg(sent_bytes)", "tdigest_agg(target_processing_time, 2)",
    "avg(sent_bytes)", "count(DISTINCT client_ip)", "approx_distinct(client_ip)", "approx_percentile(sent_bytes, 0.5)", "stddev(sent_bytes)",
    "arbitrary(type)", "max_by(user_agent, time)", "array_agg(type)", "sum(sent_bytes) / count(*)", "count(*) + 1",
    "cast(sum(sent_bytes) AS double)", "checksum(type)", "bitwise_or_agg(elb_status_code)", "geometric_mean(sent_bytes)", "histogram(type)",
    "min(type, 2)", "any_value(type)", "listagg(type, ',')", "map_agg(type, elb)", "corr(sent_bytes, received_bytes)", "sum(DISTINCT sent_bytes)",
    "sum(target_status_code)", "bool_or(elb_status_code)", "tdigest_agg(type)", "count_if(elb_status_code)", "count(ALL type)", "sum(NULL)",
    "max(sent_bytes) - min(sent_bytes)", "round(sum(target_processing_time))", "coalesce(sum(target_port), 0)",
]
AGGREGATES += [f"checksum({value})" for value in [
    "elb_status_code", "sent_bytes", "cast(elb_status_code AS smallint)", "target_port", WHOLE, "target_processing_time", NUMBER, "cast(elb_status_code AS real)",
    E, "NULL", "to_utf8(user_agent)", "elb_status_code = 200", "sent_bytes / 1024.0", f"cast({INSTANT} AS date)", INSTANT, ODD_INSTANT,
    f"cast({ODD_INSTANT} AS timestamp)", f"cast({INSTANT} AS timestamp(6) with time zone)", "ARRAY[1]", "try_cast(client_ip AS ipaddress)", f"json_extract({N}, '$')",
]]
AGGREGATES += ["to_hex(checksum(type))", "checksum(type) FILTER (WHERE type = 'none')", "checksum(DISTINCT type)"]

# Conditions of a WHERE.
CONDITIONS = [
    "elb_status_code = 200", "elb_status_code <> 200", "NOT elb_status_code = 200", f"{E} = 'n' AND cast({N} AS varchar) <> '1'",
    "target_port IS NULL", f"{NUMBER} > 0", f"{NUMBER} <> 1", f"NOT ({NUMBER} > 0)", f"{E} LIKE '%e%'", f"{E} IN ('view', 'n')",
    f"{E} NOT IN ('view', 'n')", "regexp_like(user_agent, '(?i)BOT')", f"{INSTANT} >= TIMESTAMP '2026-11-20 00:00:00 UTC'",
    f"cast({INSTANT} AS date) = DATE '2026-11-19'", "received_bytes <> 0 AND sent_bytes / received_bytes > 10", "true", "false", "NULL",
    "user_agent = '-' OR (type = 'ws' AND elb_status_code = 101)", f"coalesce({E}, '') = ''", "elb_status_code BETWEEN 300 AND 599",
    f"date_trunc('hour', {INSTANT}) = TIMESTAMP '2026-11-20 10:00:00 UTC'", "length(user_agent) > 20", f"url_extract_path(request_url) = '/e'",
]

OTHERS += [f"typeof({value})" for value in [
    "elb_status_code", "elb_status_code + 1", "sent_bytes * 2", "target_processing_time * 1.5", "1", "-1", "3000000000", "1.5", "1e0", "'ab'", "'a' || 'b'", "true", "NULL",
    "coalesce(type, 'ab')", "if(type = 'ws', 'a', 'bc')", "lower('A')", "lower(type)", "chr(65)", "codepoint('a')", "length('a')", "sent_bytes / 1024.0", INSTANT, f"cast({INSTANT} AS date)",
    f"date_trunc('hour', {INSTANT})", f"cast({INSTANT} AS timestamp)", f"cast({INSTANT} AS timestamp(6) with time zone)", "TIMESTAMP '2026-11-20 12:00:00'", "split(elb, '/')", "ARRAY['a']",
    "ARRAY[sent_bytes]", "array_except(split(elb, '/'), ARRAY['a'])", "to_utf8(elb)", "cast(elb_status_code AS smallint)", "try_cast(client_ip AS ipaddress)",
]]
AGGREGATES += [f"typeof({value})" for value in ["count(*)", f"max({INSTANT})", "min(elb_status_code)", "approx_set(client_ip)", "avg(sent_bytes)", "checksum(type)"]]

# Time zones. In a table all zones are UTC, so texts show whether a value has the right one.
D = "url_extract_parameter(request_url, 'd')"
PLACES = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "+02:00"]


def at(zone, instant=ODD_INSTANT):
    return f"{instant} AT TIME ZONE '{zone}'"


# Within the years that Python has, in any zone.
MODERN = f"if(year({ODD_INSTANT}) BETWEEN 1900 AND 9000, {ODD_INSTANT})"
TIMES += (
    [f"cast({at(zone)} AS varchar)" for zone in PLACES]
    + [f"cast(date_trunc('{unit}', {at(zone)}) AS varchar)" for zone in PLACES for unit in UNITS]
    + [f"{part}({at(zone)})" for zone in PLACES for part in "year month week day hour minute day_of_week day_of_year".split()]
    + [f"extract({part} FROM {at('America/New_York')})" for part in "year quarter month week day hour minute second day_of_week".split()]
    + [f"cast({at(zone)} AS {to})" for zone in PLACES for to in ("date", "timestamp")]
    + [f"cast({at(zone, MODERN)} AS timestamp with time zone)" for zone in PLACES]
    + [f"date({at(zone)})" for zone in PLACES]
    + [f"date_format({at(zone)}, '%d.%m. %H Uhr')" for zone in PLACES]
    + [f"format_datetime({at(zone)}, '{pattern}')" for zone in PLACES for pattern in ("yyyy-MM-dd HH:mm Z", "kk K ZZ", "ZZZ e")]
    + [f"to_iso8601({at(zone)})" for zone in PLACES + ["UTC"]]
    + [f"cast(date_add('{unit}', {count}, {at('Europe/Berlin')}) AS varchar)" for unit in UNITS for count in (-1, 1, 5)]
    + [f"date_diff('{unit}', {at('Europe/Berlin', 'TIMESTAMP ' + repr('2026-03-28 12:00:00 UTC'))}, {at('America/New_York')})" for unit in UNITS]
    + [f"date_diff('{unit}', {at('America/New_York')}, {INSTANT})" for unit in UNITS]
)
TIMES += [
    at("Europe/Berlin", MODERN), f"date_trunc('day', {at('Europe/Berlin', MODERN)})", f"at_timezone({MODERN}, 'Asia/Tokyo')",
    f"cast(at_timezone({ODD_INSTANT}, 'Asia/Tokyo') AS varchar)", f"cast({at('UTC')} AS varchar)", f"cast({at('Etc/GMT+5')} AS varchar)",
    f"cast({at('GMT-3')} AS varchar)", f"cast({at('-7')} AS varchar)", f"cast({at('+0530')} AS varchar)", f"cast({at('Zulu')} AS varchar)",
    at("europe/berlin"), at("EST"), at("Mars/Base"), at("+15:00"), at("CET", MODERN), f"cast({at('EST5EDT')} AS varchar)", f"{INSTANT} AT TIME ZONE type",
    f"cast({at('Europe/Berlin')} AT TIME ZONE 'Asia/Tokyo' AS varchar)", f"{INSTANT} AT TIME ZONE INTERVAL '2' HOUR",
    f"cast(cast({ODD_INSTANT} AS timestamp) AT TIME ZONE 'Europe/Berlin' AS varchar)",
    f"cast(with_timezone(cast({ODD_INSTANT} AS timestamp), 'Europe/Berlin') AS varchar)",
    f"cast(with_timezone(cast({ODD_INSTANT} AS timestamp), 'America/New_York') AS varchar)",
    f"with_timezone({INSTANT}, 'Europe/Berlin')", f"with_timezone(cast({ODD_INSTANT} AS timestamp), 'Mars/Base')",
    f"cast({at('Europe/Berlin')} + INTERVAL '1' DAY AS varchar)", f"cast({at('Europe/Berlin')} - INTERVAL '3' MONTH AS varchar)",
    f"cast({at('America/New_York')} + INTERVAL '2' HOUR AS varchar)", f"cast(INTERVAL '1' YEAR + {at('Europe/Berlin')} AS varchar)",
    f"{at('Europe/Berlin')} - {CREATED}", f"{at('Europe/Berlin')} = {ODD_INSTANT}", f"{at('Europe/Berlin')} > {at('Asia/Tokyo', CREATED)}",
    f"{at('Europe/Berlin')} > TIMESTAMP '2026-03-29 03:00:00 Europe/Berlin'", f"{at('Europe/Berlin')} >= TIMESTAMP '2026-03-29 01:00:00'",
    f"{at('Europe/Berlin')} > DATE '2026-03-29'", f"date_trunc('day', {at('Europe/Berlin')}) = TIMESTAMP '2026-10-25 00:00:00 Europe/Berlin'",
    f"{at('Europe/Berlin')} BETWEEN DATE '2026-03-29' AND TIMESTAMP '2026-10-25 02:00:00'",
    f"{at('Europe/Berlin')} IN (TIMESTAMP '2026-03-29 01:00:00 UTC', TIMESTAMP '2026-10-25 00:30:00')",
    f"nullif({at('Europe/Berlin')}, TIMESTAMP '2026-03-29 01:00:00 UTC')", f"coalesce({at('Europe/Berlin')}, {INSTANT})",
    f"cast(coalesce({at('Europe/Berlin')}, {at('Europe/Berlin', INSTANT)}) AS varchar)",
    f"CASE {at('Europe/Berlin')} WHEN TIMESTAMP '2026-03-29 01:00:00 UTC' THEN 'turn' ELSE 'other' END",
    f"CASE WHEN elb_status_code = 200 THEN {at('Europe/Berlin')} ELSE {INSTANT} END",
    f"cast(greatest({at('Europe/Berlin')}, {at('Europe/Berlin', CREATED)}) AS varchar)", f"to_unixtime({at('Europe/Berlin')})",
    f"try(hour({at('Europe/Berlin', f'from_iso8601_timestamp({T})')}))", f"({at('Europe/Berlin')}) IS NULL",
    f"({at('Europe/Berlin')}) IS DISTINCT FROM TIMESTAMP '2026-03-29 01:00:00'", f"cast(from_unixtime({WHOLE} % 100000, 'Asia/Tokyo') AS varchar)",
    f"from_unixtime({NUMBER}, 'Europe/Berlin')", "from_unixtime(0, 'Mars/Base')", "cast(from_unixtime(1.5, '+02:00') AS varchar)",
    "cast(from_unixtime(elb_status_code, 2, 30) AS varchar)", f"timezone_hour({at('Europe/Berlin')})", "current_timezone()",
    "cast(TIMESTAMP '2026-11-20 12:00:00.123 Europe/Berlin' AS varchar)", "TIMESTAMP '2026-03-29 02:30:00 Europe/Berlin'",
    "cast(TIMESTAMP '2026-10-25 02:30:00.000 Europe/Berlin' AS varchar)", "cast(TIMESTAMP '2026-11-20 12:00:00.123+02:00' AS varchar)",
    "TIMESTAMP '2026-11-20 25:00:00'", "TIMESTAMP '2026-11-20'", "TIMESTAMP '2026-11-20 1:2'", "TIMESTAMP '2026-11-20T12:00:00'",
    "cast(TIMESTAMP '2026-11-20 12:00:00.123456' AS varchar)", "TIMESTAMP '2026-11-20 12:00:00 Mars/Base'", "TIMESTAMP '2026-11-20 12:00:00.1234567'",
]

# Texts read by patterns, and timestamps without a zone.
PARSED = f"try(date_parse({D}, '%Y-%m-%dT%H:%i:%s.%fZ'))"
TIMES += (
    [f"try(date_parse({D}, '{pattern}'))" for pattern in [
        "%Y-%m-%d", "%Y-%m-%dT%T", "%Y-%m-%d %H:%i:%s", "%d.%m.%y %r", "%d.%m.%y %h:%i:%s %p", "%b %e %Y %l%p", "%M %e %Y %I%p", "%x-W%v %a", "%x-w%v %W",
        "%j %Y", "%H:%i", "%k:%i", "%m-%d", "%c-%e", "%Y%m%d%H", "%Y-%m-%d %H:%i:%s.%f", "%d/%b/%Y:%T %p", "%%%Y", "%Y",
    ]]
    + [f"try(parse_datetime({D}, '{pattern}'))" for pattern in [
        "yyyy-MM-dd", "yyyy-MM-dd''T''HH:mm:ss.SSSSSS''Z''", "yyyy-MM-dd''T''HH:mm:ss.SSS''Z", "yyyy-MM-dd HH:mm:ss", "dd/MMM/yyyy:HH:mm:ss Z",
        "dd/MMMM/yyyy:kk:mm:ss ZZ", "MMM d yyyy ha", "xxxx-''w''ww EEE", "xxxx-''W''ww EEEE", "D yyyy", "H:m", "M-d", "yyyyMMddHH", "Y-M-d", "yyyyy-MM-dd",
        "yyyy-MM-ddZ", "K:m", "e HH", "yyyy-MM-dd HH:mmZZ",
    ]]
    + [f"date_parse(time, '%Y-%m-%dT%H:%i:%s.%{letter}')" for letter in "DUuVwXq"]
    + [f"parse_datetime(time, '{pattern}')" for pattern in ["", "yy", "G", "zzz", "ZZZ", "bb", "''"]]
    + [f"{name}({PARSED})" for name in "year month day hour minute second millisecond week day_of_week to_unixtime to_iso8601 date".split()]
    + [f"cast({PARSED} AS {to})" for to in ("varchar", "date", "timestamp", "timestamp with time zone")]
    + [f"date_trunc('{unit}', {PARSED})" for unit in UNITS]
    + [f"date_add('{unit}', 1, {PARSED})" for unit in UNITS]
    + [f"date_diff('{unit}', {PARSED}, {INSTANT})" for unit in UNITS]
    + [f"date_diff('{unit}', TIMESTAMP '2024-01-31 12:00:00', {PARSED})" for unit in UNITS]
    + [f"{kind}({D} AS {to})" for kind in ("try_cast", "cast") for to in ("timestamp", "timestamp with time zone")]
    + [f"cast(try_cast({D} AS timestamp{precision}) AS varchar)" for precision in ("", "(3)", "(6)")]
)
TIMES += [
    f"date_parse({D}, '%Y-%m-%d')", f"date_parse({D}, user_agent)", f"date_parse({D}, NULL)", f"date_parse(NULL, '%Y')", "date_parse('2026-02-30', '%Y-%m-%d')",
    "date_parse('2026-11-20 10', '%Y-%m-%d %H')", "parse_datetime('2026-11-20 10 +01:30', 'yyyy-MM-dd HH Z')", "parse_datetime('x', 'yyyy')",
    f"{PARSED} = {INSTANT}", f"{PARSED} < TIMESTAMP '2026-11-20 10:05:09.124'", f"{PARSED} > TIMESTAMP '2026-11-20 10:05:09 Europe/Berlin'",
    f"{PARSED} >= DATE '2026-11-20'", f"{PARSED} BETWEEN DATE '2026-11-20' AND {INSTANT} + INTERVAL '6' MINUTE", f"{PARSED} + INTERVAL '1' DAY",
    f"{PARSED} - INTERVAL '1' MONTH", f"{PARSED} - TIMESTAMP '2026-11-20 10:00:00'", f"coalesce({PARSED}, {INSTANT})", f"coalesce({PARSED}, DATE '2026-11-20')",
    f"greatest({PARSED}, TIMESTAMP '2026-11-20 10:00:00')", f"date_format({PARSED}, '%H:%i:%s.%f')", f"format_datetime({PARSED}, 'HH:mm:ss.SSS')",
    f"format_datetime({PARSED}, 'HH Z')", f"cast({PARSED} AT TIME ZONE 'Europe/Berlin' AS varchar)", f"cast(with_timezone({PARSED}, 'Europe/Berlin') AS varchar)",
    f"cast(date_trunc('hour', {PARSED}) AS varchar)", f"try(from_iso8601_date({D}))", f"try(from_iso8601_date({T}))", f"from_iso8601_date({D})",
    f"to_iso8601({ODD_INSTANT})", f"to_iso8601(cast({ODD_INSTANT} AS date))", f"to_iso8601(cast({ODD_INSTANT} AS timestamp))",
    f"extract(HOUR FROM {PARSED})", f"try_cast({T} AS timestamp)", f"try_cast({T} AS timestamp with time zone)", f"cast(cast({ODD_INSTANT} AS timestamp) AS varchar)",
    f"cast({INSTANT} AS timestamp) = TIMESTAMP '2026-11-20 10:00:00'", f"cast(cast({ODD_INSTANT} AS date) AS timestamp)",
    f"cast(cast({ODD_INSTANT} AS date) AS timestamp with time zone)", f"try_cast({N} AS timestamp)", "cast('2026-11-20 10:00:00' AS timestamp)",
    f"cast({ODD_INSTANT} AS date) > TIMESTAMP '2026-03-29 00:00:00'", f"cast({ODD_INSTANT} AS date) <= {INSTANT}",
]
AGGREGATES += [
    f"min({at('Europe/Berlin')})", f"cast(max({at('Europe/Berlin')}) AS varchar)", f"max({PARSED})", f"hour(min({at('Asia/Tokyo', INSTANT)}))",
    f"count_if(hour({at('Europe/Berlin')}) = 2)", f"count(DISTINCT cast({at('Europe/Berlin')} AS date))",
]
CONDITIONS += [
    f"{INSTANT} >= TIMESTAMP '2026-11-20 11:00:00 Europe/Berlin'", f"hour({at('Europe/Berlin', INSTANT)}) = 11",
    f"cast({at('Asia/Tokyo', INSTANT)} AS date) = DATE '2026-11-21'", f"{PARSED} > TIMESTAMP '2026-11-20 10:00:00'",
    "date_parse(substr(time, 1, 19), '%Y-%m-%dT%T') < TIMESTAMP '2026-11-20 12:00:00'",
    "parse_datetime(time, 'yyyy-MM-dd''T''HH:mm:ss.SSSSSS''Z') BETWEEN parse_datetime('2026-11-20-09', 'yyyy-MM-dd-HH') AND TIMESTAMP '2026-11-20 11:00:00'",
]
# Arrays. ODD_LIST has parts of odd texts, and LIST a NULL among numbers.
ODD_LIST = f"split({N}, ',')"
WORDS = "split(user_agent, ' ')"
LIST = "ARRAY[elb_status_code, 200, NULL]"
DOUBLES = f"ARRAY[{NUMBER}, 0e0, -0e0, 1.5e0]"
INDEXES = "-9223372036854775807 -3 -1 0 1 2 3 300 9223372036854775807 NULL".split()
ARRAYS = (
    [f"split({text}, '{by}')" for text in ["user_agent", N, "target_group_arn", "actions_executed"] for by in [" ", ",", "/", "e", "日", "🍏", "xyz", ""]]
    + [f"split(user_agent, ' ', {limit})" for limit in ["1", "2", "3", "0", "-1", "2147483647", "2147483648", "NULL"]]
    + [f"split({N}, {N})", "split(NULL, ',')", "split(user_agent, NULL)", "split(user_agent, type)", "split('', ',')", "split('a,', ',')", "split(',', ',')"]
    + [f"element_at({WORDS}, {index})" for index in INDEXES]
    + [f"try({WORDS}[{index}])" for index in INDEXES]
    + [f"{WORDS}[1]", f"{WORDS}[2]", f"{WORDS}[0]", f"{LIST}[1]", f"{LIST}[3]", f"{LIST}[4]", "split(request_url, '/')[3]", f"split({N}, ',')[length(type)]"]
    + [f"element_at({LIST}, {index})" for index in ["1", "2", "3", "-1", "4", "elb_status_code"]]
    + [f"element_at({DOUBLES}, {index})" for index in ["1", "3", "-1"]]
    + [f"contains({WORDS}, {value})" for value in ["'bot'", "''", "type", "NULL", "user_agent", "'日本語'", "5"]]
    + [f"contains({LIST}, {value})" for value in ["200", "201", "elb_status_code", "NULL", "client_port", "'a'", "200e0"]]
    + [f"contains({DOUBLES}, {value})" for value in ["0e0", "-0e0", NUMBER, "1.5", "2e0", "NULL"]]
    + ["contains(ARRAY['http', 'https', 'h2'], type)", "contains(ARRAY['http', NULL], type)", "contains(ARRAY[], type)", "NOT contains(ARRAY['ws'], type)"]
    + [f"array_position({WORDS}, {value})" for value in ["'bot'", "''", "type", "NULL"]]
    + [f"array_position({LIST}, {value})" for value in ["200", "201", "NULL"]]
    + [f"array_position({DOUBLES}, {value})" for value in ["0e0", NUMBER, "1.5e0"]]
    + [f"cardinality({array})" for array in [WORDS, ODD_LIST, LIST, DOUBLES, "ARRAY[]", "ARRAY[NULL]", "split(NULL, ',')", "user_agent", "NULL"]]
    + [f"array_join({WORDS}, {by})" for by in ["'-'", "''", "'日本'", "type", "NULL"]]
    + [f"array_join({LIST}, ','{rest})" for rest in ["", ", 'none'", ", ''", ", NULL", ", type"]]
    + [f"array_join({DOUBLES}, ' ')", "array_join(ARRAY[true, NULL, sent_bytes > 0], ',', '?')", f"array_join(ARRAY[date({INSTANT})], ',')", "array_join(ARRAY[], ',')"]
    + [f"array_join(split({N}, ','), ';', 'x')", "array_join(user_agent, ',')", "array_join(ARRAY[NULL], ',', 'n')", "array_join(ARRAY[1.5, 2], ',')"]
    + ["ARRAY[1, 2]", "ARRAY[1, NULL]", "ARRAY['a', user_agent]", "ARRAY[type, NULL, elb]", "ARRAY[sent_bytes, elb_status_code]", "ARRAY[1, 'a']"]
    + ["ARRAY[true]", "ARRAY[sent_bytes > 0, NULL]", "ARRAY[1, 2.5e0]", "ARRAY[ARRAY[1]]", "ARRAY[]", f"ARRAY[{INSTANT}]", f"coalesce({ODD_LIST}, ARRAY['none'])"]
    + [f"if(sent_bytes > 100, {WORDS}, ARRAY[type])", f"CASE WHEN type = 'ws' THEN {LIST} END", f"{WORDS} IS NULL", f"{ODD_LIST} IS NOT NULL", f"{WORDS} = {WORDS}"]
    + [f"try(split({N}, '')[1])", f"coalesce(element_at({ODD_LIST}, 2), 'none')", f"try_cast(element_at({ODD_LIST}, 1) AS bigint)", "lower(split(user_agent, '/')[1])"]
    + [f"cardinality({WORDS}) > 2 AND {WORDS}[3] <> ''", f"cardinality({WORDS}) + 1", "type[1]", "split(user_agent, ' ')['a']", "element_at(type, 1)", "split(sent_bytes, ',')"]
    + [f"contains({WORDS}, upper(type)) OR elb_status_code = 200", "contains(type, 'h')", "contains(ARRAY[1, 2])", f"cardinality(ARRAY[{N}, {T}, {E}])"]
)
BINS = ["ARRAY[0e0, 1e0, 2.5e0]", "ARRAY[-1e0]", "ARRAY[1, 10, 100]", "ARRAY[0.5, 1.5]", "ARRAY[2e0, 1e0]", "ARRAY[]", "ARRAY[0e0, NULL, 1e0]", "NULL", "ARRAY['a']"]
BOUNDS = ["0, 10, 5", "10, 0, 5", "0e0, 1e0, 3", "-1e0, 1e0, 9223372036854775807", "0, 10, 0", "0, 10, -1", "5, 5, 2", "NULL, 1, 2", "0, 1000000, 7", "0, 10, NULL", "0, 1, 2.5"]
BUCKETS = [
    f"width_bucket({number}, {bins})"
    for number in ["target_processing_time", NUMBER, "sent_bytes", "elb_status_code"]
    for bins in [*BINS, *BOUNDS]
] + [f"try(width_bucket({NUMBER}, {bins}))" for bins in [*BINS[:4], *BOUNDS[:4]]] + [
    f"width_bucket(1e0, {NUMBER}, 10e0, 4)", f"try(width_bucket(1e0, {NUMBER}, 10e0, 4))", f"try(width_bucket(5e0, ARRAY[{NUMBER}, 1e0]))", "width_bucket(user_agent, 1, 2, 3)",
]
ARRAYS += BUCKETS

# JSON, whole and torn.
TEXTS_OF_JSON = [
    '{"a": 1, "b": [1.50, "x", {"c": "d\\"\\u00e9\\ud83c\\udf4f\\n"}], "a": 2}', '{"a":"x"} rest', '{"a":1,"b":', '{"a":1x', '{"a":truex', '{"a":"x', '{"b":01,"a":1}',
    '{"b":"\\q","a":1}', '{"b":[1,],"a":1}', '{"b":1 "a":1}', '{"b":{"c":[1,{}]},"a":null}', '{"\\u0061":"A"}', '[1, -0.0, 1e400, "", null, false, [2], {"a": 3}]', '[1', '[]', '{}',
    '"plain"', '12', '12 x', '12x', '-', '1.', '.5', '1e5', '+1', 'true', 'truely', 'null', 'NaN', '', ' ', '{"a":"\\ud83c."}', '{a:1}', "{''a'':1}", '{"":5,"a b":6}', '[[1,2],[3]]',
    '{"a":1}}', '{"a":1,}', '[,1]', '{"a" 1}', '{"a":tru', '{"a":nul}', '{"日本":"語"}', '{"a":[{"b":[{"c":7}]}]}', '{"a":"\\/\\b\\f\\t"}', '{"a":"\\u12"}', '{"A":1}', '"torn', '{"a":{"b":',
]
PATHS = ["$", "$.a", "$.b[2].c", "$[0]", '$["a"]', "$.a.b"]
JSON = (
    [f"json_extract_scalar('{text}', '{path}')" for text in TEXTS_OF_JSON for path in ("$", "$.a")]
    + [f"json_extract_scalar('{TEXTS_OF_JSON[0]}', '{path}')" for path in ["$.b[0]", "$.b[1]", "$.b[2].c", "$.b.2.c", '$["b"][0]', "$.b[9]", "$.c", "$.b[-1]", "$b", "$.", "", "a", "$.*", "$..a", "$ .a"]]
    + [f"json_extract_scalar('{TEXTS_OF_JSON[12]}', '$[{index}]')" for index in range(9)]
    + [f"json_extract_scalar('{text}', '{path}')" for text in TEXTS_OF_JSON[33:36] for path in ['$[""]', '$["a b"]', "$[0][1]", "$[1][0]"]]
    + [f"json_extract_scalar(user_agent, '{path}')" for path in PATHS] + [f"json_extract_scalar({N}, '{path}')" for path in PATHS]
    + [f"json_array_length('{text}')" for text in TEXTS_OF_JSON] + [f"json_array_length({N})", "json_array_length(user_agent)", "json_array_length(NULL)"]
    + [f"json_size('{text}', '{path}')" for text in TEXTS_OF_JSON for path in ("$", "$.a")] + [f"json_size({N}, '$')"]
    + [f"json_extract_scalar({N}, type)", f"try(json_extract_scalar({N}, {E}))", f"json_extract_scalar({N}, NULL)", "json_extract_scalar('{\"a\":1}', '$.' || 'a')"]
    + ["json_array_get('[1, 2]', 0)", "json_extract_scalar(5, '$')"]
    + ["try_cast(json_extract_scalar('{\"n\":\"1.5\"}', '$.n') AS double)", "coalesce(json_extract_scalar(user_agent, '$.a'), 'none')"]
)
VALUES_OF_JSON = ["1", "-0", "1.5", "1.50e3", "1e400", "12345678901234567890", "2147483648", "128", "true", "false", "null", '"x"', '"1"', '"1.5"', '"true"', '" 7 "', '""', "[1]", "{}", '"\\ud83c"']
DEEP = "rpad('', {0}, '[') || rpad('', {0}, ']')"
JSON += (
    [f"json_extract('{text}', '{path}')" for text in TEXTS_OF_JSON for path in ("$", "$.a")]
    + [f"json_extract('{TEXTS_OF_JSON[0]}', '{path}')" for path in ["$.b", "$.b[1]", "$.b[2].c", "$.c", "$b", ""]]
    + [f"try({function}('{text}'))" for function in ("json_parse", "is_json_scalar") for text in [*TEXTS_OF_JSON, '{"b":1,"a":{"d":1,"c":2},"b":3}', "1 2", '{"é":1,"z":2,"🍏":3,"\\uffff":4}']]
    + [f"{function}({N})" for function in ("json_parse", "try(json_parse", "is_json_scalar", "try(is_json_scalar")]
    + [f"json_array_contains('[1, 2.0, \"x\", true, [3], null, 1e2, 9223372036854775808, \"torn', {item})" for item in ["1", "2", "2e0", "2.0", "100e0", "'x'", "'torn'", "true", "false", "3", "NULL", "infinity()", "type", "elb_status_code"]]
    + [f"json_array_contains('{text}', {item})" for text in ['[]', '{}', '', 'null', '["é🍏", 1]', '[7', '[7, x'] for item in ("7", "'é🍏'", "true")]
    + [f"json_format(json_parse('{text}'))" for text in ['{"b" : 1.0, "a":[ ]}', '["\\/\\u0041é🍏\\ud83c\\udf4f"]', '[0.1, 1e-7, 123456789.5, 1e21, 0.001, 100]']]
    + [f"try_cast(json_parse('{value}') AS {type_})" for value in VALUES_OF_JSON for type_ in ("varchar", "bigint", "integer", "smallint", "tinyint", "double", "boolean")]
    + [f"cast(json_extract('{{\"a\":{value}}}', '$.a') AS {type_})" for value in ["1", "1.5", "null", '"x"', "[1]"] for type_ in ("varchar", "bigint", "double", "boolean", "date", "real")]
    + [f"cast({value} AS json)" for value in ["user_agent", N, "sent_bytes", "elb_status_code", "target_processing_time", "try_cast(target_port AS smallint)", "elb_status_code = 200", NUMBER, "NULL", f"cast({INSTANT} AS date)"]]
    + ["cast(cast(user_agent AS json) AS varchar)", f"cast({NUMBER} AS json) = JSON '1.5'", "json_extract(json_extract('{\"a\":{\"b\":1}}', '$.a'), '$.b')", "json_extract_scalar(json_parse('{\"a\":1}'), '$.a')", "json_size(json_parse('[1,2]'), '$')"]
    + ["json_array_length(json_parse('[1,2]'))", "is_json_scalar(json_parse('1'))", "json_array_contains(json_parse('[1,2]'), 2)", "JSON '{\"b\": 1, \"a\": 2}'", "JSON 'x'", "json_parse('[1, 2]') = JSON '[1,2]'", "json_parse('1') IN (JSON '1', JSON '2')"]
    + ["json_parse('1') < json_parse('2')", "json_parse('1') = '1'", "json_parse('1') || 'x'", "lower(json_parse('1'))", "json_format('1')", "greatest(json_parse('1'), json_parse('2'))", "json_parse('1') BETWEEN JSON '0' AND JSON '2'", "coalesce(json_extract(user_agent, '$.a'), JSON '0')"]
    + ["ARRAY[json_parse('1')]", "nullif(json_parse('1'), JSON '1')", "json_extract(user_agent, '$.a') IS NULL", f"CASE WHEN type = 'h2' THEN json_extract({N}, '$') ELSE JSON 'null' END", f"coalesce(cast(json_extract({N}, '$') AS varchar), 'none')", "typeof(json_parse('1'))"]
    + [f"json_parse({DEEP.format(depth)}) IS NULL" for depth in (1, 1500)] + [f"json_extract({DEEP.format(depth)}, '$') IS NULL" for depth in (1, 1500)] + ["json_extract('{\"a\":1}', NULL)", f"json_extract({N}, type)", f"try(json_extract({N}, {E}))"]
)

# IP addresses.
ADDRESSES = ["10.0.0.1", "::ffff:10.0.0.1", "::ffff:a00:1", "2001:DB8:0:0:1:0:0:1", "::", "::1", "fe80::1%eth0", "10.0.0.1%a", "::1.2.3.4", "1:2:3:4:5:6:7::", "1::2:3:4:5:6:7:8", "0:0:1:0:0:0:1:0", "255.255.255.255",
    "", "-", "10.0.0", "10.0.0.256", "010.0.0.1", "00.0.0.0", "1::2::3", " 10.0.0.1", "10.0.0.1 ", ":1", "1:", "12345::", "g::", "1:2:3:4:5:6:7:8:9", "::ffff:1.2.3", "%", "::%", "10.1", "0x0a.0.0.1"]
NETWORKS = ["10.0.0.0/8", "0.0.0.0/0", "192.0.2.0/24", "::/0", "2001:db8::1/32", "::ffff:10.0.0.0/8", "::ffff:10.0.0.0/104", "1.2.3.4/32", "10.0.0.1/8", "10.0.0.0", "x/8", "10.0.0.0/33", "10.0.0.0/-1", "::/129", "::/x", "10.0.0.0/+8", "10.0.0.0/8/8", ""]
IP = (
    [f"cast(try_cast('{text}' AS ipaddress) AS varchar)" for text in ADDRESSES]
    + [f"cast(try_cast({column} AS ipaddress) AS varchar)" for column in ["client_ip", "target_ip", N, "user_agent"]] + ["cast(cast(user_agent AS ipaddress) AS varchar)", "cast(cast(client_ip AS ipaddress) AS varchar)"]
    + [f"contains('{network}', try_cast({address} AS ipaddress))" for network in NETWORKS for address in ["client_ip", "'10.1.2.3'", "'2001:db8:ffff::'", "'::1'"]]
    + [f"if(contains('10.0.0.0/8', try_cast({N} AS ipaddress)), 'inside', 'outside')", "contains(type, cast(client_ip AS ipaddress))", "contains('10.0.0.0/8', client_ip)", "contains(NULL, cast('::1' AS ipaddress))"]
    + [f"cast('{one}' AS ipaddress) {operator} cast('{other}' AS ipaddress)" for one, other in [("10.0.0.1", "10.0.0.2"), ("::1", "10.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1")] for operator in ["=", "<", ">=", "<>"]]
    + ["try_cast(client_ip AS ipaddress) BETWEEN cast('10.0.0.0' AS ipaddress) AND cast('203.0.113.255' AS ipaddress)", "try_cast(client_ip AS ipaddress) IN (cast('::1' AS ipaddress), try_cast(client_ip AS ipaddress))", "try_cast(client_ip AS ipaddress) IS NULL"]
    + ["cast(coalesce(try_cast(user_agent AS ipaddress), cast('::1' AS ipaddress)) AS varchar)", "cast(client_ip AS ipaddress) = client_ip", "cast(greatest(cast('::1' AS ipaddress), cast('10.0.0.1' AS ipaddress)) AS varchar)", "cast(sent_bytes AS ipaddress)"]
    + ["cast(cast('::1' AS ipaddress) AS bigint)", "cast(client_ip AS ipaddress) || ''", "cardinality(ARRAY[try_cast(client_ip AS ipaddress)])", "contains(ARRAY[cast('::1' AS ipaddress)], cast('::1' AS ipaddress))", "cast(try_cast(regexp_replace(client_ip, '[\\[\\]]') AS ipaddress) AS varchar)"]
)

# Arrays of arrays' elements.
MORE_LISTS = ["ARRAY[3, 1, NULL, 2, 1]", "ARRAY[1.5e0, -0e0, 0e0, 1.5e0, NULL]", "ARRAY['b', 'a', '', 'é', 'a', '🍏']", "ARRAY[true, false, true]", "ARRAY[]", "ARRAY[NULL, NULL]", WORDS, f"split({N}, ',')", ODD_LIST, "ARRAY[1, 2]", "ARRAY[2.5e0]"]
PAIRED = [*MORE_LISTS[:3], "ARRAY[]", WORDS]
PAIRS = [(one, other) for one in PAIRED for other in PAIRED] + [("ARRAY[NULL, NULL]", "ARRAY[NULL]"), ("ARRAY[1, 2]", "ARRAY[2, NULL]"), ("ARRAY[1, 2]", "ARRAY[3]")]
ARRAYS += (
    [f"{function}({array})" for function in ("array_sort", "array_distinct", "array_min", "array_max", "reverse") for array in MORE_LISTS if array != "ARRAY[]" or function not in ("array_min", "array_max")]
    + [f"{function}({one}, {other})" for function in ("array_union", "array_intersect", "array_except", "arrays_overlap") for one, other in PAIRS]
    + [f"array_join({function}(ARRAY[1e0, nan(), -0e0, 0e0, nan()]), ',')" for function in ("array_sort", "array_distinct", "reverse")] + [f"{function}(ARRAY[1e0, nan(), -1e0])" for function in ("array_min", "array_max")] + ["array_join(array_union(ARRAY[nan()], ARRAY[0e0 / 0e0, 1e0]), ',')"]
    + [f"{one} || {other}" for one, other in PAIRS]
    + [f"array_remove({array}, {value})" for array, value in [(MORE_LISTS[0], "1"), (MORE_LISTS[0], "NULL"), ("ARRAY[1e0]", "nan()"), (MORE_LISTS[1], "0e0"), (MORE_LISTS[2], "'a'"), (WORDS, "type"), (WORDS, N), ("ARRAY[1, 2]", "1.5e0"), ("ARRAY[]", "1"), (MORE_LISTS[3], "true"), ("ARRAY[1]", "'a'")]]
    + [f"slice({WORDS}, {start}, {length})" for start in (1, 2, -1, -2, -100, 100, 0) for length in (0, 1, 2, 100, -1, 9223372036854775807)] + [f"try(slice({WORDS}, {WHOLE}, 2))", f"try(slice({WORDS}, 1, {WHOLE}))", "slice(ARRAY[], 1, 1)", "slice(ARRAY[1, 2, 3], NULL, 1)", "slice(type, 1, 2)"]
    + [f"{array} || {element}" for array, element in [("ARRAY[1, 2]", "3"), ("ARRAY[1, 2]", "1.5e0"), (WORDS, "type"), (WORDS, N), (WORDS, "NULL"), ("ARRAY[1]", "'a'"), ("ARRAY[]", "type")]] + [f"type || {WORDS}", f"{N} || {WORDS}", "1 || ARRAY[2, 3]", f"concat({WORDS}, ARRAY['x'])", f"concat({WORDS}, ARRAY['x'], ARRAY[type])", f"cardinality({WORDS} || {WORDS})"]
    + [f"array_join(array_sort(array_distinct({WORDS} || ARRAY[type, {N}])), ',')", "array_sort(type)", "array_union(ARRAY[1], ARRAY['a'])", "reverse(sent_bytes)", "array_min(ARRAY[])", "array_max(ARRAY[])", f"array_max({WORDS}) = array_min({WORDS})", "array_sort(ARRAY[DATE '2026-11-20', DATE '2026-11-19'])[1]"]
)
