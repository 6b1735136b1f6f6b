"""Trino reads logmill's tables through its Delta Lake connector, after each commit and after compaction, and checks sketches.

At every step, Trino must read what `logmill query` reads, with the documented types. The amount that a query for one hour reads is printed
and limited. The output of `logmill ddl` must run. Estimates from sketches must agree with Trino's own sketches over the raw
logs. The cost of a query over the raw logs and over the rollup is printed.
"""

import bisect
import gzip
import re
import shutil
import subprocess
import time
from functools import partial
from pathlib import Path

import awkward
import judge_queries
import raw
import server
import traffic
from logmill import Logmill
from rows import changed, check_rows

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
GENERATED_BYTES = "18e6"
ROLLUP = """
SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour,
       url_extract_parameter(request_url, 'e') AS event,
       elb_status_code,
       count(*) AS events,
       sum(try_cast(url_extract_parameter(request_url, 'amt') AS double)) AS amount,
       min(time) AS first_seen,
       max(cast(from_iso8601_timestamp(time) AS date)) AS last_day,
       bool_or(elb_status_code >= 500) AS any_failed,
       approx_set(url_extract_parameter(request_url, 'uid')) AS users,
       tdigest_agg(target_processing_time) FILTER (WHERE target_processing_time >= 0) AS latency
FROM alb_access_logs
GROUP BY 1, 2, 3
"""
TYPES = {
    "hour": "timestamp with time zone", "event": "varchar", "elb_status_code": "integer", "events": "bigint", "amount": "double",
    "first_seen": "varchar", "last_day": "date", "any_failed": "boolean", "users": "varbinary", "latency": "varbinary", "date": "date",
}
# The same query, over the raw logs and over the rollup.
OF_RAW = """
SELECT date(from_iso8601_timestamp(time)) AS day, url_extract_parameter(request_url, 'e') AS event, count(*) AS events,
       cardinality(approx_set(url_extract_parameter(request_url, 'uid'))) AS users
FROM alb_access_logs GROUP BY 1, 2 ORDER BY 1, 2
"""
OF_ROLLUP = """
SELECT date AS day, event, sum(events) AS events, cardinality(merge(cast(users AS HyperLogLog))) AS users
FROM activity GROUP BY 1, 2 ORDER BY 1, 2
"""
ADDRESSES = """
SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, hour(from_iso8601_timestamp(time)) AS hour, client_ip,
       count(*) AS requests, sum(sent_bytes) AS sent_bytes
FROM alb_access_logs GROUP BY 1, 2, 3
"""
SUM_OF_ADDRESSES = "SELECT sum(requests), sum(sent_bytes), count(client_ip) FROM addresses"
LINES_OF_AN_HOUR = 4000
QUANTILES = [0.01, 0.25, 0.5, 0.75, 0.9, 0.99]


def catalogs(folder):
    local = {"fs.native-local.enabled": "true", "local.location": folder}
    file_metastore = {"hive.metastore": "file", "hive.metastore.catalog.dir": "local:///metastore"}
    return {
        "logs": {"connector.name": "hive", "hive.recursive-directories": "true", **file_metastore, **local},
        "delta": {"connector.name": "delta_lake", "delta.register-table-procedure.enabled": "true", **file_metastore, **local},
    }


def judge(checks, trino, binary, folder):
    (folder / "rollups").mkdir()
    (folder / "rollups" / "activity.sql").write_text(ROLLUP)
    server.run(
        ["python3", REPOSITORY / "bench" / "generate.py", folder / "raw", "--bytes", GENERATED_BYTES, "--files", "6", "--seed", "7"]
    )
    logs = at_other_hours(sorted(path for path in (folder / "raw").rglob("*.gz")))
    logmill = Logmill(binary, folder / "tables")
    check_steps(checks, trino, logmill, logs, folder)
    check_types(checks, trino)
    check_pruning(checks, trino)
    check_packed_day(checks, trino, binary, folder)
    trino.query("CREATE SCHEMA logs.raw")
    trino.query(raw.create_table("alb_access_logs", "local:///raw"), schema="raw")
    check_sketches(checks, trino)
    check_ddl(checks, trino, binary, folder)
    check_views(checks, trino, binary, folder)
    tell_cost(checks, trino)
    for change in changed(logmill, folder / "rollups", "activity", logs[-1]):
        check_rows(checks, partial(delta, trino), logmill, "activity", change)


def check_views(checks, trino, binary, folder):
    """The views that `logmill ddl` prints give what `logmill query` gives."""
    rollups, tables = folder / "queries", folder / "viewed"
    rollups.mkdir()
    for path in sorted((HERE.parent / "queries").glob("*.sql")):
        (rollups / path.name).write_text(judge_queries.text(path))
    for lookup in (HERE.parent / "queries").glob("*.csv"):
        shutil.copy(lookup, rollups)
    for part, log_files in enumerate([traffic.log_files(1, 20, 60), traffic.log_files(2, 20, 60)]):
        for key, lines in log_files:
            judge_queries.put(folder / "traffic" / str(part) / key, lines)
    logmill = Logmill(binary, tables)
    for part in "01":
        logmill.run(folder / "traffic" / part, rollups)
    printed = subprocess.run([binary, "ddl", "--rollups", rollups, "--tables", tables], capture_output=True, text=True, check=True).stdout
    views = re.findall(r"CREATE OR REPLACE VIEW logmill\.(\w+) AS\n(.*?);\n", printed, re.DOTALL)
    for name, sql in views:
        delta(trino, f"CALL delta.system.register_table('logmill', '{name}_groups', 'local:///viewed/{name}')")
        trinos = delta(trino, sql)
        ours = logmill.query(f"SELECT * FROM {name}")
        names = [name.lower() for name in trinos.columns]
        wrong = [] if ours.column_names == names else [f"columns {ours.column_names}, Trino {names}"]
        rows = [tuple(row.values()) for row in ours.to_pylist()]
        limited = re.search(r"\sLIMIT \d+$", sql)
        everything = delta(trino, sql[: limited.start()]).rows if limited else trinos.rows
        wrong += judge_queries.compared(names, rows, trinos.rows, everything, None, limited is not None)
        checks.check(f"the view {name}: {len(rows)} rows", wrong)
    checks.check(f"{len(views)} of {len(list(rollups.glob('*.sql')))} queries have views", [] if len(views) > 10 else ["too few"])


def at_other_hours(logs):
    """The generated logs are of one hour. Moves the last two to another hour and to another day."""
    for log, (name, time) in zip(logs[-2:], [("20261120T1305Z", b"2026-11-20T13:"), ("20261121T0205Z", b"2026-11-21T02:")]):
        moved = log.with_name(re.sub(r"_\d{8}T\d{4}Z_", f"_{name}_", log.name))
        moved.write_bytes(gzip.compress(gzip.decompress(log.read_bytes()).replace(b"2026-11-20T10:", time), mtime=0))
        log.unlink()
        logs = [moved if other == log else other for other in logs]
    return logs


def delta(trino, sql):
    return trino.query(sql, catalog="delta", schema="logmill")


def check_steps(checks, trino, logmill, logs, folder):
    """Compares what Trino reads after each commit and after compaction."""
    trino.query("CREATE SCHEMA delta.logmill WITH (location = 'local:///schema')")
    for number, log in enumerate(logs):
        logmill.run(log, folder / "rollups")
        if number == 0:
            delta(trino, "CALL delta.system.register_table('logmill', 'activity', 'local:///tables/activity')")
        check_rows(checks, partial(delta, trino), logmill, "activity", f"after {number + 1} commits")
    logmill.call("maintain")
    check_rows(checks, partial(delta, trino), logmill, "activity", "packed")


def check_types(checks, trino):
    answer = delta(trino, "SELECT * FROM activity LIMIT 1")
    got = dict(zip(answer.columns, answer.types))
    checks.check("types are as documented", [f"{name}: {got.get(name)}" for name in TYPES if got.get(name) != TYPES[name]])


def check_pruning(checks, trino):
    """Splits and bytes of a query for one hour and for all."""
    hours = [row[0] for row in delta(trino, "SELECT DISTINCT hour FROM activity ORDER BY 1").rows]
    files = delta(trino, 'SELECT count(DISTINCT "$path") FROM activity').rows[0][0]
    hour = f"TIMESTAMP '{hours[0]:%Y-%m-%d %H:%M:%S} UTC'"
    one = delta(trino, f"SELECT count(DISTINCT \"$path\"), sum(events) FROM activity WHERE hour = {hour}")
    every = delta(trino, "SELECT sum(events), min(amount) FROM activity")
    read = delta(trino, f"SELECT sum(events), min(amount) FROM activity WHERE hour = {hour}")
    day = delta(trino, "SELECT sum(events) FROM activity WHERE date = DATE '1999-01-01'")
    rows = [answer.stats["processedRows"] for answer in (read, every, day)]
    print(f"        {len(hours)} hours in {files} files; one hour reads {one.rows[0][0]} file, {rows[0]} of {rows[1]} rows, "
          f"{read.stats['physicalInputBytes']} of {every.stats['physicalInputBytes']} bytes")
    wrong = [] if one.rows[0][0] == 1 else [f"one hour is in {one.rows[0][0]} files"]
    wrong += [] if rows[2] == 0 and day.stats["physicalInputBytes"] == 0 else [f"a day that is not there reads {rows[2]} rows"]
    wrong += [] if len(hours) < 2 or rows[0] < rows[1] else [f"one hour reads {rows[0]} of {rows[1]} rows"]
    checks.check("a query for one hour reads one file, and one for another day none", wrong)


def check_packed_day(checks, trino, binary, folder):
    """Measures what a query for an hour reads of a day with a file per hour, and of a packed day. Inside a file, readers use the
    bounds of row groups, and this day has only one."""
    (folder / "packed").mkdir()
    (folder / "packed" / "addresses.sql").write_text(ADDRESSES)
    logs = folder / "packed-logs"
    logs.mkdir()
    for hour in range(24):
        write_hour(logs, hour)
    logmill = Logmill(binary, folder / "tables")
    logmill.run(logs, folder / "packed")
    delta(trino, "CALL delta.system.register_table('logmill', 'addresses', 'local:///tables/addresses')")
    check_hours(checks, trino, "in a file for each hour", {"by the minute": 1 / 24, "by the number of the hour": 1 / 24})
    logmill.call("maintain")
    check_hours(checks, trino, "packed in one file", {"by the minute": 1, "by the number of the hour": 1})


def check_hours(checks, trino, state, shares):
    """Fails if a larger share of the day's rows is read."""
    files = delta(trino, 'SELECT count(DISTINCT "$path") FROM addresses').rows[0][0]
    whole = delta(trino, SUM_OF_ADDRESSES)
    for name, share in shares.items():
        wrong, read = [], []
        for hour in [0, 11, 23]:
            begin = f"TIMESTAMP '2026-11-20 {hour:02}:00:00 UTC'"
            condition = {
                "by the minute": f"minute >= {begin} AND minute < {begin} + INTERVAL '1' HOUR",
                "by the number of the hour": f"hour = {hour}",
            }
            one = delta(trino, f"{SUM_OF_ADDRESSES} WHERE {condition[name]}")
            rows, all_rows = one.stats["processedRows"], whole.stats["processedRows"]
            read.append(f"{rows}")
            if one.rows[0][0] != LINES_OF_AN_HOUR or rows > share * all_rows:
                wrong.append(f"hour {hour}: {one.rows[0][0]} requests, {rows} of {all_rows} rows are read")
        checks.check(f"an hour {name}, of a day {state} ({files}): {', '.join(read)} of {all_rows} rows are read", wrong)


def write_hour(logs, hour):
    """A log file in which every line is a separate group."""
    lines = []
    for number in range(LINES_OF_AN_HOUR):
        client = f"10.{number % 7}.{number // 250 % 250}.{number % 250}:41000"
        time = f"2026-11-20T{hour:02}:{60 * number // LINES_OF_AN_HOUR:02}:00.000000Z"
        sent = str(number * 7919 % 1_000_003)
        lines.append(awkward.text(awkward.DEFAULTS | {"time": time, "client": client, "sent_bytes": sent}))
    name = f"123456789012_elasticloadbalancing_us-east-2_app.shop.50dc6c495c0c9188_20261120T{hour:02}55Z_10.0.1.7_{hour:08x}.log.gz"
    (logs / name).write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), 1, mtime=0))


def check_sketches(checks, trino):
    """Compares estimates from the table with Trino's own sketches over the raw logs."""
    mine = delta(trino, OF_ROLLUP).rows
    raws = trino.query(OF_RAW, schema="raw").rows
    checks.check(f"unique users of {len(raws)} days and events: the table's sketches estimate the same as Trino's own",
                 [f"{one}, Trino {other}" for one, other in zip(mine, raws) if one != other] + ([] if len(mine) == len(raws) else ["rows"]))
    bytes_of = "to_hex(cast(merge(cast(users AS HyperLogLog)) AS varbinary))"
    mine = delta(trino, f"SELECT event, {bytes_of} FROM activity GROUP BY 1 ORDER BY 1").rows
    raws = trino.query("SELECT url_extract_parameter(request_url, 'e'), to_hex(cast(approx_set(url_extract_parameter(request_url, 'uid')) AS "
                       "varbinary)) FROM alb_access_logs GROUP BY 1 ORDER BY 1", schema="raw").rows
    checks.check(f"merged HyperLogLogs of {len(raws)} events are Trino's byte by byte", [one[0] for one, other in zip(mine, raws) if one != other])

    where = "target_processing_time >= 0"
    exact = [row[0] for row in trino.query(f"SELECT target_processing_time FROM alb_access_logs WHERE {where} ORDER BY 1", schema="raw").rows]
    ask = lambda digest: ", ".join(f"value_at_quantile({digest}, {q})" for q in QUANTILES)
    mine = delta(trino, f"SELECT {ask('merge(cast(latency AS tdigest))')} FROM activity").rows[0]
    raws = trino.query(f"SELECT {ask('tdigest_agg(target_processing_time)')} FROM alb_access_logs WHERE {where}", schema="raw").rows[0]
    print(f"        quantile   true      table's   Trino's   rank error of the table's, of Trino's ({len(exact)} values)")
    wrong = []
    for q, ours, trinos in zip(QUANTILES, mine, raws):
        errors = [rank_error(exact, q, value) for value in (ours, trinos)]
        print(f"        {q:<9}  {exact[min(len(exact) - 1, int(q * len(exact)))]:<8.4g}  {ours:<8.4g}  {trinos:<8.4g}  {errors[0]:.5f}  {errors[1]:.5f}")
        if errors[0] > max(2 * errors[1], 0.005):
            wrong.append(f"{q}: {errors[0]} off, Trino's {errors[1]}")
    checks.check("quantiles of merged t-digests are about as exact as Trino's own", wrong)


def rank_error(values, q, value):
    """How far the rank of a value, or the nearest end of its ties, is from q."""
    low, high = bisect.bisect_left(values, value) / len(values), bisect.bisect_right(values, value) / len(values)
    return 0.0 if low <= q <= high else min(abs(low - q), abs(high - q))


def check_ddl(checks, trino, binary, folder):
    """Runs the printed queries on Trino without changes: they must find rows on a day of the logs. Registering a table is specific to
    Athena, so Trino uses another call. The table `final_until` is JSON, which the connector for Delta does not read."""
    printed = server.run([binary, "ddl", "--rollups", folder / "rollups", "--tables", "s3://bucket/tables", "--database", "logmill"])
    statements = [re.sub(r"(?m)^--.*\n?", "", part).strip() for part in printed.split(";")]
    queries = [statement for statement in statements if statement.startswith("SELECT")]
    wrong = [] if len(queries) >= 3 and "CREATE EXTERNAL TABLE logmill.activity" in printed else ["statements are missing"]
    for query in queries:
        query = re.sub(r"\(\s*SELECT final_until FROM [^)]*\)", "TIMESTAMP '2026-11-22 00:00:00'", query)
        then = query.replace("current_date", "DATE '2026-11-21'").replace("current_timestamp", "TIMESTAMP '2026-11-20 11:00:00 UTC'")
        try:
            delta(trino, query)
            wrong += [] if delta(trino, then).rows else [f"no rows: {then}"]
        except server.TrinoError as error:
            wrong.append(f"{error}: {query}")
    checks.check(f"the {len(queries)} queries of `logmill ddl` run on Trino, and find rows", wrong)


def tell_cost(checks, trino):
    """Measures the same query over both: seconds and bytes, medians of three."""
    cost = {}
    for name, ask in [("raw logs", lambda: trino.query(OF_RAW, schema="raw")), ("rollup", lambda: delta(trino, OF_ROLLUP))]:
        seconds, answers = [], []
        for _ in range(3):
            started = time.monotonic()
            answers.append(ask())
            seconds.append(time.monotonic() - started)
        cost[name] = sorted(seconds)[1], answers[0].stats["physicalInputBytes"]
        print(f"        events and users by day, over the {name}: {cost[name][0]:.2f} s, {cost[name][1]} bytes read")
    ratios = [cost["raw logs"][n] / max(cost["rollup"][n], 1e-9) for n in (0, 1)]
    print(f"        the raw logs take {ratios[0]:.1f} times as long, and {ratios[1]:.1f} times the bytes")
    checks.check("the rollup is cheaper to query than the raw logs", [] if ratios[1] > 1 else [f"{ratios}"])
