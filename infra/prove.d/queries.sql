-- What infra/prove asks Athena and `logmill query`, comparing the answers. tests/prove.py checks that each query of README.md, docs/
-- and demo is here. A statement ends with a semicolon. A line `-- logmill: SELECT …` before a statement is what `logmill query` runs
-- instead, because it has no views, or lacks a function. Only Athena runs the statements that create something.

-- every column and row, with sketches as they are stored
SELECT * FROM events;
SELECT * FROM target_health;
SELECT * FROM top_talkers;
SELECT * FROM prove_kinds;
SELECT * FROM prove_rows;

-- docs/deploying.md
SELECT date, event, sum(events) AS events, cardinality(merge(cast(users AS HyperLogLog))) AS users
FROM events GROUP BY 1, 2 ORDER BY 1, 3 DESC;

-- docs/athena.md
SELECT date,
       cardinality(merge(cast(users AS HyperLogLog))) AS users
FROM events
WHERE date >= current_date - INTERVAL '7' DAY
GROUP BY date
ORDER BY date;

-- docs/usage.md
SELECT date, cardinality(merge(cast(users AS HyperLogLog))) AS users FROM events GROUP BY date;
SELECT value_at_quantile(merge(cast(latency AS tdigest)), 0.99) FROM target_health;

-- demo, of which one query asks for the day of its own logs
SELECT event, sum(events) AS events, sum(amount) AS amount,
       cardinality(merge(cast(users AS HyperLogLog))) AS users
FROM events WHERE date = current_date
GROUP BY event ORDER BY events DESC LIMIT 4;
SELECT * FROM slow_pages;

-- docs/sql.md: each merge rule
SELECT day, sum(n) AS n, sum(sent_bytes__sum) AS sent_bytes, sum(seconds) AS seconds, min(fastest) AS fastest, max(slowest) AS slowest,
       bool_or(any_failed) AS any_failed, bool_and(all_answered) AS all_answered,
       cardinality(merge(cast(clients AS HyperLogLog))) AS clients,
       value_at_quantile(merge(cast(latency AS tdigest)), 0.99) AS p99
FROM prove_kinds GROUP BY day;

-- docs/athena.md: one row per group, by the rollup's own time; sums of integers; folded groups
SELECT minute, event, country, events FROM events WHERE minute >= current_timestamp - INTERVAL '1' DAY;
SELECT date, sum(sent_bytes__sum) AS sent_bytes FROM target_health WHERE is_other IS DISTINCT FROM true GROUP BY date;

-- sketches one by one
SELECT minute, event, country, cardinality(cast(users AS HyperLogLog)) AS users FROM events;
SELECT minute, target_group, status_class, value_at_quantile(cast(latency AS tdigest), 0.5) AS p50
FROM target_health WHERE latency IS NOT NULL;

-- approx_set and approx_distinct of Athena and of logmill estimate alike
SELECT cardinality(approx_set(client_ip)) AS sketched, approx_distinct(user_agent) AS distinct_agents FROM top_talkers;

-- joins, subqueries, windows
WITH by_minute AS (SELECT minute, sum(requests) AS requests FROM target_health GROUP BY minute)
SELECT events.minute, event, country, events, requests FROM events JOIN by_minute ON events.minute = by_minute.minute;
SELECT event, day, rank() OVER (PARTITION BY event ORDER BY day) AS place
FROM (SELECT event, date_trunc('day', minute) AS day FROM events GROUP BY 1, 2) AS days;

-- docs/athena.md: a view
CREATE VIEW prove_view AS
SELECT date_format(minute, '%Y-%m-%d %H:%i') AS minute, event, sum(events) AS events,
       cardinality(merge(cast(users AS HyperLogLog))) AS users
FROM events GROUP BY 1, 2;
-- logmill: SELECT date_format(minute, '%Y-%m-%d %H:%i') AS minute, event, sum(events) AS events, cardinality(merge(cast(users AS HyperLogLog))) AS users FROM events GROUP BY 1, 2
SELECT * FROM prove_view;

-- docs/athena.md: a table of a query, with sketches that are merged once more
CREATE TABLE prove_days WITH (format = 'PARQUET') AS
SELECT date, event, sum(events) AS events, cast(merge(cast(users AS HyperLogLog)) AS varbinary) AS users
FROM events GROUP BY date, event;
-- logmill: SELECT event, sum(events) AS events, cardinality(merge(cast(users AS HyperLogLog))) AS users FROM events GROUP BY event
SELECT event, sum(events) AS events, cardinality(merge(cast(users AS HyperLogLog))) AS users FROM prove_days GROUP BY event;
