//! Rollups that together use every function, form and aggregate of `docs/sql.md`, most of them in ways that fail on some line.
//!
//! `{n}` is the parameter `n` of the URL, for each name in [`super::lines::PARAMETERS`]; `{time}` is the line's time. `{counts}` counts
//! all lines and the ordinary ones. A rollup without it keeps rows, and has the column `user_agent`. Every `WHERE` is true for
//! ordinary lines.

/// A lookup, `words.csv`: some of what lines have, and the empty text.
pub const WORDS: &str = "word,number,kind\nword/1,2,ordinary\nword/2,3,ordinary\n\"\",0,empty\n-,0,none\nä,3,odd\n\u{fffd},4,odd\n";

/// Name and SQL of each rollup.
pub const ROLLUPS: &[(&str, &str)] = &[
    // Functions of texts, numbers, bits, binary values, arrays, JSON and zones, of what a visitor wrote.
    (
        "more_texts",
        "SELECT concat_ws('-', {q}, user_agent) AS a, translate({q}, 'abc', 'xyz') AS b, normalize({q}) AS c, \
         try(chr(try_cast({n} AS bigint))) AS d, codepoint('x') AS e, try(levenshtein_distance({q}, user_agent)) AS f, \
         try(hamming_distance({q}, {q})) AS g, {counts} FROM alb_access_logs GROUP BY 1, 2, 3, 4, 5, 6, 7",
    ),
    (
        "mathematics",
        "SELECT elb, {counts}, max(sign(try_cast({n} AS double))) AS a, max(cbrt(try_cast({n} AS double))) AS b, \
         max(power(try_cast({n} AS double), 2e0)) AS c, max(exp(try_cast({n} AS double))) AS d, max(ln(try_cast({n} AS double))) AS e, \
         max(log(2e0, try_cast({n} AS double))) AS f, max(log2(try_cast({n} AS double)) + log10(try_cast({n} AS double))) AS g, \
         max(sin(try_cast({n} AS double)) + cos(try_cast({n} AS double)) + tan(try_cast({n} AS double))) AS h, \
         max(asin(try_cast({n} AS double)) + acos(try_cast({n} AS double)) + atan(try_cast({n} AS double))) AS i, \
         max(atan2(try_cast({n} AS double), pi()) + sinh(try_cast({n} AS double)) + cosh(e()) + tanh(nan()) + infinity()) AS j, \
         max(degrees(try_cast({n} AS double)) + radians(try_cast({n} AS double))) AS k, max(format_number(try_cast({n} AS bigint))) AS l, \
         max(try(from_base({q}, 16))) AS m, max(try(to_base(try_cast({n} AS bigint), 7))) AS n2, \
         max(try(width_bucket(try_cast({n} AS double), 0e0, 9e0, 3))) AS o FROM alb_access_logs GROUP BY 1",
    ),
    (
        "bits",
        "SELECT elb, {counts}, max(bitwise_and(try_cast({n} AS bigint), 255)) AS a, max(bitwise_or(try_cast({n} AS bigint), 1)) AS b, \
         max(bitwise_xor(try_cast({n} AS bigint), 3)) AS c, max(bitwise_not(try_cast({n} AS bigint))) AS d, \
         max(try(bitwise_left_shift(try_cast({n} AS bigint), 3))) AS e, max(try(bitwise_right_shift(try_cast({n} AS bigint), 3))) AS f, \
         max(try(bitwise_right_shift_arithmetic(try_cast({n} AS bigint), 3))) AS g, max(try(bit_count(try_cast({n} AS bigint), 64))) AS h \
         FROM alb_access_logs GROUP BY 1",
    ),
    (
        "binary",
        "SELECT elb, {counts}, max(try(from_utf8(from_base64({q})))) AS a, max(to_base64(to_utf8({q}))) AS b, \
         max(try(to_hex(from_base64url({q})))) AS c, max(to_base64url(to_utf8({q}))) AS d, max(try(to_hex(from_hex({q})))) AS e, \
         max(try(from_big_endian_64(to_big_endian_64(try_cast({n} AS bigint))))) AS f, \
         max(try(from_big_endian_32(to_big_endian_32(try_cast({n} AS integer))))) AS g, \
         max(try(from_ieee754_64(to_ieee754_64(try_cast({n} AS double))))) AS h, max(to_hex(md5(to_utf8({q})))) AS i, \
         max(to_hex(sha1(to_utf8({q})))) AS j, max(to_hex(sha256(to_utf8({q})))) AS k, max(to_hex(sha512(to_utf8({q})))) AS l, \
         max(to_hex(xxhash64(to_utf8({q})))) AS m, max(crc32(to_utf8({q}))) AS o, max(to_hex(hmac_md5(to_utf8({q}), to_utf8('k')))) AS p, \
         max(to_hex(hmac_sha1(to_utf8({q}), to_utf8('k')))) AS q, max(to_hex(hmac_sha256(to_utf8({q}), to_utf8('k')))) AS r, \
         max(to_hex(hmac_sha512(to_utf8({q}), to_utf8('k')))) AS s, max(length(to_utf8({q}))) AS t FROM alb_access_logs GROUP BY 1",
    ),
    (
        "arrays_and_json",
        "SELECT split({q}, ',')[1] AS a, element_at(split(user_agent, ' '), 2) AS b, array_join(split({q}, 'a'), '-') AS c, \
         contains(ARRAY['x', {q}], user_agent) AS d, array_position(split({q}, ','), 'x') AS e, cardinality(split({q}, ',')) AS f, \
         json_extract_scalar({q}, '$.a') AS g, json_array_length({q}) AS h, json_size({q}, '$') AS i, {counts} \
         FROM alb_access_logs GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9",
    ),
    // Rows from arrays whose length visitors decide.
    (
        "elements",
        "SELECT t.word, u.letter, {counts} FROM alb_access_logs LEFT JOIN UNNEST(split({q}, ',')) WITH ORDINALITY AS t (word, place) ON true \
         LEFT JOIN UNNEST(split(word, 'a'), ARRAY[1, 2]) WITH ORDINALITY AS u (letter, two, n) ON true \
         WHERE coalesce(place, 1) = 1 AND n = 1 GROUP BY 1, 2",
    ),
    (
        "elements_that_fail",
        "SELECT user_agent, cast(word AS bigint) AS n FROM alb_access_logs LEFT JOIN UNNEST(split({n}, ',')) WITH ORDINALITY AS t (word, place) \
         ON true WHERE coalesce(place, 1) = 1",
    ),
    (
        "products",
        "SELECT elb, {counts} FROM alb_access_logs LEFT JOIN UNNEST(split({q}, 'a')) WITH ORDINALITY AS t (x, a) ON true \
         LEFT JOIN UNNEST(split({q}, 'a')) WITH ORDINALITY AS u (y, b) ON true WHERE coalesce(a + b, 2) = 2 GROUP BY 1",
    ),
    (
        "more_arrays",
        "SELECT array_join(array_sort(split({q}, ',')), ',') AS a, array_min(split({q}, ',')) AS b, array_max(split(user_agent, ' ')) AS c, \
         array_join(array_distinct(split({q}, 'a') || split(user_agent, ' ')), '-') AS d, arrays_overlap(split({q}, ','), ARRAY['x']) AS e, \
         array_join(array_remove(split({q}, ','), user_agent), ',') AS f, array_join(array_union(split({q}, ','), ARRAY[{n}]), ',') AS g, \
         array_join(array_intersect(split({q}, ','), split({n}, ',')), ',') AS h, array_join(array_except(split({q}, ','), ARRAY['x']), ',') AS i, \
         array_join(reverse(slice(split({q}, ','), 2, 3)), ',') AS j, cardinality(try(slice(split({q}, ','), try_cast({n} AS bigint), 2))) AS k, \
         {counts} FROM alb_access_logs GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11",
    ),
    (
        "addresses",
        "SELECT cast(try_cast({q} AS ipaddress) AS varchar) AS a, contains('10.0.0.0/8', try_cast({q} AS ipaddress)) AS b, \
         try_cast({n} AS ipaddress) < cast('::1' AS ipaddress) AS c, typeof({q}) AS d, {counts} FROM alb_access_logs GROUP BY 1, 2, 3, 4",
    ),
    (
        "json",
        "SELECT json_extract({q}, '$.a') AS a, try(json_parse({q})) AS b, json_format(json_extract({q}, '$')) AS c, \
         try_cast(json_extract({q}, '$') AS varchar) AS d, try_cast(json_extract({n}, '$') AS bigint) AS e, \
         json_array_contains({q}, 1) AS f, try(is_json_scalar({q})) AS g, cast({q} AS json) = JSON '\"a\"' AS h, {counts} \
         FROM alb_access_logs GROUP BY 1, 2, 3, 4, 5, 6, 7, 8",
    ),
    (
        "zones",
        "SELECT date_trunc('hour', {time}) AS hour, try(date_parse({d}, '%Y-%m-%d')) AS a, try(parse_datetime({d}, 'yyyy-MM-dd')) AS b, \
         try(from_iso8601_date({d})) AS c, to_iso8601({time}) AS d, date_format({time} AT TIME ZONE 'Europe/Berlin', '%H') AS e, \
         hour(at_timezone({time}, 'Asia/Tokyo')) AS f, try(hour(with_timezone(date_parse({d}, '%Y-%m-%d'), 'America/New_York'))) AS g, \
         {counts} FROM alb_access_logs GROUP BY 1, 2, 3, 4, 5, 6, 7, 8",
    ),
    // Joins with a lookup, by what a visitor wrote.
    (
        "looked_up",
        "SELECT w.kind, v.kind AS kind_of_agent, {counts}, max(w.word) AS word, count_if(w.word IS NULL) AS not_found \
         FROM alb_access_logs l LEFT JOIN words w ON w.word = {q} LEFT JOIN words v ON v.word = l.user_agent AND v.number = {n} \
         GROUP BY w.kind, v.kind",
    ),
    (
        "looked_up_lines",
        "SELECT {time} AS at, user_agent, w.kind, w.number FROM alb_access_logs LEFT JOIN words AS w ON {q} = w.word",
    ),
    (
        "recognised",
        "SELECT logmill.user_agent('agents', {q}, 'family') AS a, logmill.user_agent('agents', user_agent, 'os.family') AS b, \
         max(logmill.user_agent('agents', {q}, 'device.model')) AS c, {counts} FROM alb_access_logs GROUP BY 1, 2",
    ),
    // What most rollups are: keys of the line's own time, and columns that cannot fail.
    (
        "requests",
        "SELECT date_trunc('hour', {time}) AS hour, elb_status_code AS status, {counts}, sum(received_bytes) AS received, \
         sum(sent_bytes) AS sent, sum(target_processing_time) AS seconds FROM alb_access_logs GROUP BY 1, 2",
    ),
    (
        "extremes",
        "SELECT elb, {counts}, min(user_agent) AS agent, max(request_url) AS url, min(client_port) AS port, \
         max(elb_status_code) AS status, min(received_bytes) AS received, max(sent_bytes) AS sent, \
         min(target_processing_time) AS fastest, max(request_processing_time) AS slowest, min({time}) AS first, \
         max({time}) AS last, min(date({time})) AS first_day, max(sent_bytes > 100) AS large, min(sent_bytes > 100) AS all_large \
         FROM alb_access_logs GROUP BY 1",
    ),
    (
        "texts",
        "SELECT user_agent AS agent, domain_name, request_verb, redirect_url, unhandled_fields, {counts} FROM alb_access_logs \
         GROUP BY 1, 2, 3, 4, 5",
    ),
    (
        "users",
        "SELECT date_trunc('hour', {time}) AS hour, {uid} AS uid, {counts} FROM alb_access_logs GROUP BY 1, 2",
    ),
    ("kept", "SELECT * FROM alb_access_logs"),
    (
        "kept_time",
        "SELECT {time} AS at, user_agent, {q} AS q, client_ip FROM alb_access_logs WHERE {q} IS NOT NULL OR user_agent <> '-'",
    ),
    // Keys of every type, cast from what a visitor wrote.
    (
        "bigint_key",
        "SELECT cast({n} AS bigint) AS k, {counts} FROM alb_access_logs GROUP BY 1",
    ),
    (
        "integer_keys",
        "SELECT cast({n} AS integer) AS i, cast({n} AS smallint) AS s, cast({n} AS tinyint) AS t, {counts} \
         FROM alb_access_logs GROUP BY 1, 2, 3",
    ),
    (
        "double_key",
        "SELECT cast({n} AS double) AS k, {counts} FROM alb_access_logs GROUP BY 1",
    ),
    (
        "boolean_key",
        "SELECT cast({b} AS boolean) AS k, {counts} FROM alb_access_logs GROUP BY 1",
    ),
    (
        "date_key",
        "SELECT cast({d} AS date) AS k, {counts} FROM alb_access_logs GROUP BY 1",
    ),
    (
        "date_named",
        "SELECT cast({d} AS date) AS date, {counts} FROM alb_access_logs GROUP BY 1",
    ),
    (
        "hour_key",
        "SELECT date_trunc('hour', from_iso8601_timestamp({t})) AS hour, {counts} FROM alb_access_logs GROUP BY 1",
    ),
    (
        "instant_key",
        "SELECT from_iso8601_timestamp({t}) AS at, {counts} FROM alb_access_logs GROUP BY 1",
    ),
    (
        "unix_hour_key",
        "SELECT date_trunc('hour', from_unixtime(try_cast({u} AS double))) AS hour, {counts} FROM alb_access_logs GROUP BY 1",
    ),
    (
        "unix_key",
        "SELECT from_unixtime(cast({u} AS double)) AS at, {counts} FROM alb_access_logs GROUP BY 1",
    ),
    (
        "times_key",
        "SELECT date_trunc('day', {time}) AS day, cast({d} AS date) AS said, from_unixtime(try_cast({u} AS double)) AS unix, \
         try(from_iso8601_timestamp({t})) AS t, {counts} FROM alb_access_logs GROUP BY 1, 2, 3, 4",
    ),
    (
        "late_time_key",
        "SELECT {q} AS q, try(cast({d} AS date)) AS d, {counts} FROM alb_access_logs GROUP BY 1, 2",
    ),
    (
        "week_key",
        "SELECT date_trunc('week', cast({d} AS date)) AS week, {counts} FROM alb_access_logs GROUP BY 1",
    ),
    (
        "date_add_key",
        "SELECT date_trunc('day', date_add('day', try_cast({n} AS integer), {time})) AS due, {counts} \
         FROM alb_access_logs GROUP BY 1",
    ),
    // More hours and days than a log file may touch.
    (
        "wide_hours",
        "SELECT date_trunc('hour', from_iso8601_timestamp({w})) AS hour, {counts} FROM alb_access_logs GROUP BY 1",
    ),
    (
        "wide_days",
        "SELECT cast(from_iso8601_timestamp({w}) AS date) AS day, {q} AS q, {counts} FROM alb_access_logs GROUP BY 1, 2",
    ),
    // Arithmetic.
    (
        "arithmetic",
        "SELECT elb, {counts}, sum(cast({n} AS bigint) * 1000) AS thousands, max(cast({n} AS bigint) + 1) AS more, \
         min(cast({n} AS bigint) - 1) AS less, min(-cast({n} AS bigint)) AS negative, max(cast({n} AS integer) * 3) AS small \
         FROM alb_access_logs GROUP BY 1",
    ),
    (
        "division",
        "SELECT 100 / cast({n} AS bigint) AS share, mod(100, cast({x} AS bigint)) AS rest, {counts} \
         FROM alb_access_logs GROUP BY 1, 2",
    ),
    (
        "edge_division",
        "SELECT elb, {counts}, max(cast({n} AS bigint) / cast({x} AS bigint)) AS d, \
         max(cast({n} AS bigint) % cast({x} AS bigint)) AS m, max(cast({n} AS double) / cast({x} AS double)) AS f, \
         max(cast({n} AS double) % cast({x} AS double)) AS fm FROM alb_access_logs GROUP BY 1",
    ),
    (
        "absolute",
        "SELECT abs(cast({n} AS bigint)) AS a, {counts}, max(abs(cast({n} AS double))) AS d FROM alb_access_logs GROUP BY 1",
    ),
    (
        "rounded",
        "SELECT round(cast({n} AS double)) AS r, truncate(cast({n} AS double)) AS t, floor(cast({n} AS double)) AS f, \
         ceil(cast({n} AS double)) AS c, sqrt(cast({n} AS double)) AS s, {counts} FROM alb_access_logs GROUP BY 1, 2, 3, 4, 5",
    ),
    (
        "rounded_to",
        "SELECT round(cast({n} AS bigint), cast({i} AS integer)) AS b, round(cast({n} AS double), cast({i} AS integer)) AS d, \
         {counts} FROM alb_access_logs GROUP BY 1, 2",
    ),
    (
        "doubles",
        "SELECT elb, {counts}, sum(cast({n} AS double)) AS s, sum(cast({n} AS double) * cast({n} AS double)) AS squares, \
         min(cast({n} AS double)) AS low, max(cast({n} AS double)) AS high, count_if(is_nan(cast({n} AS double))) AS nan, \
         count_if(is_finite(cast({n} AS double))) AS finite, count_if(is_infinite(cast({n} AS double))) AS infinite \
         FROM alb_access_logs GROUP BY 1",
    ),
    (
        "doubles_tried",
        "SELECT date_trunc('minute', {time}) AS minute, {counts}, sum(try_cast({n} AS double)) AS s, \
         tdigest_agg(try_cast({n} AS double)) AS t, approx_set(try_cast({n} AS double)) AS a FROM alb_access_logs GROUP BY 1",
    ),
    (
        "bigints_tried",
        "SELECT elb, {counts}, sum(try_cast({n} AS bigint)) AS s, sum(try_cast({n} AS integer)) AS i, \
         min(try_cast({n} AS smallint)) AS low, max(try_cast({n} AS tinyint)) AS high, \
         approx_set(try_cast({n} AS bigint)) AS a FROM alb_access_logs GROUP BY 1",
    ),
    (
        "overflow",
        "SELECT user_agent AS agent, {counts}, sum(try_cast({big} AS bigint)) AS s, sum(received_bytes) AS received \
         FROM alb_access_logs GROUP BY 1",
    ),
    // Texts.
    (
        "text_functions",
        "SELECT lower({q}) AS l, upper({q}) AS u, reverse({q}) AS r, trim({q}) AS t, ltrim({q}) AS lt, rtrim({q}) AS rt, {counts} \
         FROM alb_access_logs GROUP BY 1, 2, 3, 4, 5, 6",
    ),
    (
        "text_numbers",
        "SELECT length({q}) AS l, strpos({q}, 'a') AS s, position('e' IN user_agent) AS p, starts_with({q}, 'w') AS w, \
         strpos(user_agent, {q}) AS f, {counts} FROM alb_access_logs GROUP BY 1, 2, 3, 4, 5",
    ),
    (
        "substrings",
        "SELECT substr({q}, cast({i} AS bigint)) AS a, substring({q}, 1, cast({i} AS bigint)) AS b, \
         substring({q} FROM 2 FOR 3) AS c, substr(user_agent, -3) AS d, {counts} FROM alb_access_logs GROUP BY 1, 2, 3, 4",
    ),
    (
        "replaced",
        "SELECT replace({q}, 'o') AS a, replace({q}, {p}, '<>') AS b, concat({q}, '-', {p}) AS c, {q} || {p} AS d, {counts} \
         FROM alb_access_logs GROUP BY 1, 2, 3, 4",
    ),
    (
        "split",
        "SELECT split_part({q}, '/', try_cast({i} AS bigint)) AS a, split_part(user_agent, {p}, 1) AS b, {counts} \
         FROM alb_access_logs GROUP BY 1, 2",
    ),
    (
        "padded",
        "SELECT lpad({q}, cast({l} AS bigint), {p}) AS l, {counts}, max(rpad({q}, cast({l} AS bigint), {p})) AS r \
         FROM alb_access_logs GROUP BY 1",
    ),
    (
        "padded_with_nothing",
        "SELECT elb, {counts}, max(length(lpad({q}, length({q}), '-'))) AS l FROM alb_access_logs WHERE {p} = 'ab' OR \
         rpad({q}, 3, '') = 'x' GROUP BY 1",
    ),
    (
        "like",
        r"SELECT {q} LIKE '%o\_%' ESCAPE '\' AS a, user_agent LIKE '%' || {p} || '%' AS b, {q} NOT LIKE 'w_r%' AS c, {counts}
         FROM alb_access_logs GROUP BY 1, 2, 3",
    ),
    (
        "regexes",
        "SELECT regexp_like({q}, '^(a+)+$') AS a, regexp_extract({q}, '(w)(.*)', cast({i} AS bigint)) AS b, \
         regexp_replace({q}, '[^a-z]', '_$0') AS c, regexp_extract(user_agent, '[a-z]+') AS d, {counts} \
         FROM alb_access_logs GROUP BY 1, 2, 3, 4",
    ),
    (
        "visitors_regexes",
        "SELECT regexp_like({q}, {r}) AS a, regexp_extract({q}, {r}, cast({i} AS bigint)) AS b, \
         regexp_replace({q}, 'o(.)', {p}) AS c, {counts} FROM alb_access_logs GROUP BY 1, 2, 3",
    ),
    // URLs.
    (
        "urls",
        "SELECT url_extract_protocol(request_url) AS protocol, url_extract_host(request_url) AS host, \
         url_extract_port(request_url) AS port, url_extract_path(request_url) AS path, \
         url_extract_fragment(request_url) AS fragment, {counts}, max(url_extract_query(request_url)) AS query \
         FROM alb_access_logs GROUP BY 1, 2, 3, 4, 5",
    ),
    (
        "urls_in_urls",
        "SELECT url_extract_host({q}) AS host, url_extract_port(redirect_url) AS port, url_extract_parameter({q}, 'a') AS a, \
         url_extract_parameter(request_url, {p}) AS named, {counts} FROM alb_access_logs GROUP BY 1, 2, 3, 4",
    ),
    (
        "decoded",
        "SELECT url_decode({q}) AS q, {counts}, max(url_decode(request_url)) AS url, min(url_encode(user_agent)) AS agent \
         FROM alb_access_logs GROUP BY 1",
    ),
    // Times.
    (
        "date_added",
        "SELECT elb, {counts}, max(date_add('millisecond', cast({n} AS bigint), {time})) AS ms, \
         max(date_add('month', cast({n} AS integer), {time})) AS months, min(date_add('year', cast({n} AS smallint), {time})) AS years, \
         max(date_add('day', cast({i} AS bigint), cast({d} AS date))) AS days, \
         min(date_add('quarter', cast({i} AS bigint), cast({d} AS date))) AS quarters FROM alb_access_logs GROUP BY 1",
    ),
    (
        "date_differences",
        "SELECT date_diff('millisecond', from_iso8601_timestamp({t}), {time}) AS ms, \
         date_diff('second', from_iso8601_timestamp({t}), {time}) AS s, date_diff('hour', from_iso8601_timestamp({t}), {time}) AS h, \
         date_diff('week', from_iso8601_timestamp({t}), {time}) AS w, date_diff('month', from_iso8601_timestamp({t}), {time}) AS mo, \
         date_diff('quarter', {time}, from_iso8601_timestamp({t})) AS q, date_diff('year', {time}, from_iso8601_timestamp({t})) AS y, \
         date_diff('day', cast({d} AS date), date({time})) AS d, date_diff('year', cast({d} AS date), date '1970-01-01') AS dy, \
         {counts} FROM alb_access_logs GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9",
    ),
    (
        "units",
        "SELECT date_trunc({unit}, {time}) AS start, {counts}, max(date_diff({unit}, from_iso8601_timestamp({t}), {time})) AS d \
         FROM alb_access_logs GROUP BY 1",
    ),
    (
        "truncated",
        "SELECT elb, {counts}, max(date_trunc('second', from_iso8601_timestamp({t}))) AS s, \
         max(date_trunc('week', from_iso8601_timestamp({t}))) AS w, min(date_trunc('month', from_iso8601_timestamp({t}))) AS m, \
         min(date_trunc('quarter', from_iso8601_timestamp({t}))) AS q, max(date_trunc('year', from_iso8601_timestamp({t}))) AS y, \
         min(date_trunc('week', cast({d} AS date))) AS dw, max(date_trunc('month', cast({d} AS date))) AS dm, \
         min(date_trunc('quarter', cast({d} AS date))) AS dq, min(date_trunc('year', cast({d} AS date))) AS dy \
         FROM alb_access_logs GROUP BY 1",
    ),
    (
        "parts",
        "SELECT year(from_iso8601_timestamp({t})) AS y, quarter(from_iso8601_timestamp({t})) AS q, \
         month(from_iso8601_timestamp({t})) AS mo, week(from_iso8601_timestamp({t})) AS w, day(from_iso8601_timestamp({t})) AS d, \
         day_of_week(from_iso8601_timestamp({t})) AS dow, day_of_year(from_iso8601_timestamp({t})) AS doy, \
         year_of_week(from_iso8601_timestamp({t})) AS yow, hour(from_iso8601_timestamp({t})) AS h, \
         minute(from_iso8601_timestamp({t})) AS mi, second(from_iso8601_timestamp({t})) AS s, \
         millisecond(from_iso8601_timestamp({t})) AS ms, {counts} FROM alb_access_logs \
         GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12",
    ),
    (
        "parts_of_unix",
        "SELECT year(from_unixtime(cast({u} AS double))) AS y, week(from_unixtime(cast({u} AS double))) AS w, \
         extract(HOUR FROM from_unixtime(cast({u} AS double))) AS h, date(from_unixtime(cast({u} AS double))) = date '2026-11-20' AS d, \
         {counts} FROM alb_access_logs GROUP BY 1, 2, 3, 4",
    ),
    (
        "parts_of_dates",
        "SELECT year(cast({d} AS date)) AS y, quarter(cast({d} AS date)) AS q, month(cast({d} AS date)) AS mo, \
         week(cast({d} AS date)) AS w, day(cast({d} AS date)) AS d, day_of_week(cast({d} AS date)) AS dow, \
         day_of_year(cast({d} AS date)) AS doy, year_of_week(cast({d} AS date)) AS yow, extract(YEAR FROM cast({d} AS date)) AS ey, \
         {counts} FROM alb_access_logs GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9",
    ),
    (
        "formatted",
        "SELECT date_format(from_iso8601_timestamp({t}), '%Y-%m-%d %H:%i:%s.%f %W %M %j') AS a, \
         format_datetime(from_iso8601_timestamp({t}), 'yyyy-MM-dd HH:mm:ss.SSS EEE xxxx-ww D') AS b, \
         format_datetime(cast({d} AS date), 'y-M-d') AS c, date_format(from_unixtime(cast({u} AS double)), '%y %c %e') AS d, {counts} \
         FROM alb_access_logs GROUP BY 1, 2, 3, 4",
    ),
    (
        "intervals",
        "SELECT elb, {counts}, max(from_iso8601_timestamp({t}) + INTERVAL '1' DAY) AS d, \
         min(from_iso8601_timestamp({t}) - INTERVAL '3' HOUR) AS h, max(from_unixtime(cast({u} AS double)) + INTERVAL '2' SECOND) AS s, \
         max(from_iso8601_timestamp({t}) + INTERVAL '2' MONTH) AS m, min(from_iso8601_timestamp({t}) - INTERVAL '1' YEAR) AS y \
         FROM alb_access_logs GROUP BY 1",
    ),
    (
        "date_intervals",
        "SELECT elb, {counts}, max(cast({d} AS date) + INTERVAL '1' DAY) AS d, min(cast({d} AS date) - INTERVAL '1' DAY) AS e, \
         max(cast({d} AS date) + INTERVAL '2' MONTH) AS m, min(cast({d} AS date) - INTERVAL '1' YEAR) AS y \
         FROM alb_access_logs GROUP BY 1",
    ),
    (
        "far_times",
        "SELECT elb, {counts}, min(cast({d} AS date)) AS first, max(cast({d} AS date)) AS last, \
         min(from_iso8601_timestamp({t})) AS early, max(from_iso8601_timestamp({t})) AS late, \
         min(from_unixtime(cast({u} AS double))) AS old, max(from_unixtime(cast({u} AS double))) AS new, \
         max(to_unixtime(from_iso8601_timestamp({t}))) AS unix FROM alb_access_logs GROUP BY 1",
    ),
    (
        "far_times_tried",
        "SELECT elb, {counts}, min(try_cast({d} AS date)) AS first, max(try_cast({d} AS date)) AS last, \
         min(try(from_iso8601_timestamp({t}))) AS early, max(try(from_iso8601_timestamp({t}))) AS late, \
         max(try(from_unixtime(try_cast({u} AS double)))) AS new FROM alb_access_logs GROUP BY 1",
    ),
    (
        "without_zone",
        "SELECT elb, {counts}, max(cast(from_iso8601_timestamp({t}) AS timestamp)) AS t, \
         max(cast(cast({d} AS date) AS timestamp)) AS d, max(cast(cast({d} AS date) AS timestamp with time zone)) AS z \
         FROM alb_access_logs GROUP BY 1",
    ),
    (
        "compared_times",
        "SELECT from_iso8601_timestamp({t}) > {time} AS a, cast({d} AS date) < date '2026-11-21' AS b, \
         from_unixtime(cast({u} AS double)) >= from_iso8601_timestamp('2026-11-20T10:00:00Z') AS c, {counts} \
         FROM alb_access_logs GROUP BY 1, 2, 3",
    ),
    // Casts from and to the other types.
    (
        "to_text",
        "SELECT cast(cast({n} AS double) AS varchar) AS number, cast(cast({d} AS date) AS varchar) AS d, \
         cast(from_iso8601_timestamp({t}) AS varchar) AS t, cast(cast({b} AS boolean) AS varchar) AS b, \
         cast(try_cast({n} AS bigint) AS varchar) AS i, {counts} FROM alb_access_logs GROUP BY 1, 2, 3, 4, 5",
    ),
    (
        "to_integers",
        "SELECT cast(cast({n} AS double) AS bigint) AS b, {counts}, max(cast(try_cast({n} AS double) AS integer)) AS i, \
         max(cast(try_cast({n} AS bigint) AS smallint)) AS s, max(cast(cast({b} AS boolean) AS tinyint)) AS t \
         FROM alb_access_logs GROUP BY 1",
    ),
    // Conditions.
    (
        "holds",
        "SELECT elb, {counts} FROM alb_access_logs WHERE cast({x} AS bigint) >= 1 GROUP BY 1",
    ),
    (
        "holds_not",
        "SELECT elb, {counts} FROM alb_access_logs WHERE NOT (cast({x} AS bigint) >= 1) OR user_agent = 'ordinary/1.0' GROUP BY 1",
    ),
    (
        "unknown",
        "SELECT elb, {counts} FROM alb_access_logs WHERE (cast({x} AS bigint) >= 1) IS NULL OR user_agent = 'ordinary/1.0' GROUP BY 1",
    ),
    (
        "and_or",
        "SELECT elb, {counts} FROM alb_access_logs WHERE cast({n} AS bigint) <> 0 AND 100 / cast({n} AS bigint) > -100 \
         AND (cast({x} AS bigint) = 0 OR 100 / cast({x} AS bigint) >= 1) GROUP BY 1",
    ),
    (
        "cases",
        "SELECT CASE WHEN try_cast({n} AS bigint) = 0 THEN 0 WHEN cast({n} AS bigint) > 10 THEN 10 ELSE 100 / cast({n} AS bigint) END \
         AS a, if({b} = 'true', cast({n} AS bigint), -1) AS b, CASE {p} WHEN 'ab' THEN 1 ELSE cast({p} AS integer) END AS c, {counts} \
         FROM alb_access_logs GROUP BY 1, 2, 3",
    ),
    (
        "tried",
        "SELECT try(100 / cast({n} AS bigint)) AS a, coalesce(try(cast({d} AS date)), date '2026-01-01') AS d, \
         try(lpad({q}, cast({l} AS bigint) / 1000, {p})) AS l, try(regexp_like({q}, {r})) AS r, {counts} \
         FROM alb_access_logs GROUP BY 1, 2, 3, 4",
    ),
    (
        "larger",
        "SELECT greatest(cast({n} AS bigint), cast({x} AS bigint)) AS g, least(cast({n} AS double), cast({x} AS double)) AS l, {counts} \
         FROM alb_access_logs GROUP BY 1, 2",
    ),
    (
        "among",
        "SELECT cast({n} AS double) BETWEEN 1 AND cast({x} AS double) AS a, cast({n} AS bigint) IN (1, 2, 127) AS b, \
         {q} IN ('word', '') AS c, cast({n} AS bigint) IS DISTINCT FROM cast({x} AS bigint) AS d, {counts} \
         FROM alb_access_logs GROUP BY 1, 2, 3, 4",
    ),
    (
        "nulls",
        "SELECT 100 / nullif(cast({n} AS bigint), 0) AS a, nullif({q}, '') AS b, {q} IS NULL AS c, {counts} \
         FROM alb_access_logs GROUP BY 1, 2, 3",
    ),
    // Aggregates of what may fail.
    (
        "filtered",
        "SELECT elb, {counts}, count(*) FILTER (WHERE cast({n} AS bigint) > 5) AS many, \
         sum(cast({x} AS bigint)) FILTER (WHERE cast({b} AS boolean)) AS s, count({q}) AS q, \
         approx_set({q}) FILTER (WHERE length({q}) > 3) AS users, bool_or(cast({b} AS boolean)) AS some, \
         bool_and(cast({b} AS boolean)) AS every_one, every(100 / cast({x} AS bigint) > 0) AS e, \
         count_if(cast({b} AS boolean)) AS trues, checksum({q}) AS texts, checksum(cast({n} AS double)) AS doubles FROM alb_access_logs GROUP BY 1",
    ),
    (
        "sketches",
        "SELECT date_trunc('hour', {time}) AS hour, {counts}, approx_set({q}) AS q, approx_set(cast({n} AS bigint)) AS numbers, \
         approx_set(cast({x} AS double)) AS x, tdigest_agg(cast({n} AS double)) AS t, \
         tdigest_agg(cast({x} AS double)) FILTER (WHERE cast({x} AS double) > 1e0) AS f FROM alb_access_logs GROUP BY 1",
    ),
    // Rows kept as they are.
    (
        "kept_casts",
        "SELECT user_agent, cast({n} AS bigint) * 1000 AS n, 1 / cast({x} AS bigint) AS x, from_iso8601_timestamp({t}) AS t, \
         cast({d} AS date) AS d, cast({b} AS boolean) AS b, abs(cast({n} AS bigint)) AS a, split_part({q}, '/', cast({i} AS bigint)) AS s \
         FROM alb_access_logs",
    ),
    (
        "kept_tried",
        "SELECT user_agent, try_cast({n} AS double) AS n, try(from_iso8601_timestamp({t})) AS t, try_cast({d} AS date) AS d, \
         try(url_decode({q})) AS q, from_unixtime(try_cast({u} AS double)) AS u FROM alb_access_logs",
    ),
    (
        "kept_where",
        "SELECT user_agent, request_url, cast({n} AS double) AS n FROM alb_access_logs \
         WHERE cast({n} AS double) >= 1 OR 1 / cast({x} AS bigint) = 1",
    ),
    // Classic Load Balancers.
    (
        "classic_requests",
        "SELECT date_trunc('hour', {time}) AS hour, elb_response_code AS status, {counts}, sum(received_bytes) AS received, \
         max(backend_processing_time) AS slowest, min(request_port) AS port FROM elb_logs GROUP BY 1, 2",
    ),
    (
        "classic_codes",
        "SELECT cast(elb_response_code AS integer) / 100 AS class, {counts}, max(cast({n} AS bigint) + received_bytes) AS most \
         FROM elb_logs GROUP BY 1",
    ),
    (
        "classic_hours",
        "SELECT date_trunc('hour', from_iso8601_timestamp({t})) AS hour, user_agent AS agent, {counts} FROM elb_logs GROUP BY 1, 2",
    ),
    ("classic_kept", "SELECT * FROM elb_logs"),
    (
        "classic_dates",
        "SELECT try(cast({d} AS date)) AS date, {counts}, sum(try_cast({n} AS bigint)) AS s, approx_set(request_ip) AS clients \
         FROM elb_logs GROUP BY 1",
    ),
    (
        "classic_where",
        "SELECT elb_name AS elb, {counts}, tdigest_agg(cast({n} AS double)) AS t FROM elb_logs \
         WHERE url_extract_path(url) <> '/none' AND cast({x} AS bigint) > 0 GROUP BY 1",
    ),
];

/// Rollups whose first time key is a visitor's, and has more hours or days than a log file may touch: ordinary lines may be left
/// out by it too.
pub const WIDE: &[&str] = &["wide_hours", "wide_days"];
