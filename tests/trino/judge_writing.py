"""Trino reads tables through its Delta Lake connector repeatedly while they are written, in a folder and on S3, which is
ministack on this machine. On S3, the DDL of `logmill ddl` gives the location of a table.

Log files arrive one after another; two concurrent `logmill run` count them, and `logmill maintain` compacts and vacuums
without a pause. Meanwhile a table is rebuilt with another column and put back, again and again. Each read must return the state of
some version (see ../watching.py). At the end, Trino must read the same rows as `logmill query`.
"""

import gzip
import re
import threading
import time

import awkward
import raw
import server
import watching
from logmill import Logmill
from rows import check_rows

LOG_FILES = 36
LINES = 40
HOURS = 3
SECONDS_BETWEEN_LOG_FILES = 0.5
# Log files between two rebuilds. Halfway, the table is put back.
CHANGE_EVERY = 10
SWAPS = 6
SWAPPED = "the table 'by_minute' has another generation now"
ROLLUPS = {
    "by_minute": """
        SELECT date_trunc('minute', from_iso8601_timestamp(time)) AS minute, elb_status_code AS status,
               count(*) AS requests, sum(sent_bytes) AS sent_bytes, approx_set(client_ip) AS clients
        FROM alb_access_logs GROUP BY 1, 2
    """,
    "every_row": "SELECT time, client_ip, sent_bytes FROM alb_access_logs",
}
CHANGED = ROLLUPS["by_minute"].replace("FROM", ", max(time) AS latest FROM")


def catalogs(folder, bucket):
    register = {"connector.name": "delta_lake", "delta.register-table-procedure.enabled": "true"}
    in_folder = {
        "hive.metastore": "file", "hive.metastore.catalog.dir": "local:///metastore",
        "fs.native-local.enabled": "true", "local.location": folder,
    }
    return {"folder": register | in_folder, "s3": register | bucket.file_system()}


def judge(checks, trino, binary, folder):
    (folder / "rollups").mkdir()
    for name, sql in ROLLUPS.items():
        (folder / "rollups" / f"{name}.sql").write_text(sql)
    in_folder = {table: f"local:///tables/{table}" for table in ROLLUPS}
    watch(checks, binary, folder, Trino(trino, "folder", str(folder / "tables"), in_folder))
    on_s3 = f"s3://{raw.BUCKET}/tables"
    watch(checks, binary, folder, Trino(trino, "s3", on_s3, locations(binary, folder, on_s3)))


def watch(checks, binary, folder, reader):
    logmill = Logmill(binary, reader.tables)
    begun = time.monotonic()
    watches = watching.watch([reader], lambda: write(logmill, folder, folder / f"logs-{reader.catalog}"))
    print(f"        {reader.tables.replace(str(folder), '…')}: written in {time.monotonic() - begun:.0f} s")
    histories = watching.check(checks, reader.tables, watches)
    checks.check("every table was packed while it was read", [history.table for history in histories if not history.packings])
    swaps = {history.table: history.swaps for history in histories}
    checks.equal("a table was rebuilt and put back while it was read", swaps, {"by_minute": SWAPS, "every_row": 0})
    for table in ROLLUPS:
        check_rows(checks, reader.ask, logmill, table, f"below {reader.tables.replace(str(folder), '…')}")


def locations(binary, folder, tables):
    """The location of each table in the DDL for Athena."""
    printed = server.run([binary, "ddl", "--rollups", folder / "rollups", "--tables", tables])
    return dict(re.findall(r"CREATE EXTERNAL TABLE \w+\.(\w+)\nLOCATION '([^']+)'", printed))


class Trino:
    """A reader, with which each table must be registered once."""

    def __init__(self, trino, catalog, tables, locations):
        self.trino, self.catalog, self.tables, self.locations = trino, catalog, tables, locations
        self.known = set()
        self.lock = threading.Lock()
        schema = locations["every_row"].partition("tables")[0] + "schema"
        trino.query(f"CREATE SCHEMA {catalog}.logmill WITH (location = '{schema}')", catalog=catalog)

    def ask(self, sql):
        return self.trino.query(sql, catalog=self.catalog, schema="logmill")

    def total(self, table, column):
        with self.lock:
            if table not in self.known:
                self.ask(f"CALL {self.catalog}.system.register_table('logmill', '{table}', '{self.locations[table]}')")
                self.known.add(table)
        return self.ask(f"SELECT count(*), coalesce(sum({column}), 0) FROM {table}").rows[0]


# ---- writers ---------------------------------------------------------------------------------------------------------


def write(logmill, folder, logs):
    """Returns when all log files are counted and the days are packed."""
    logs.mkdir()
    put_log_file(logs, 0)
    logmill.run(logs, folder / "rollups")
    over = threading.Event()
    failures = []

    def again_and_again(work):
        while not over.is_set():
            try:
                work()
            except SystemExit as failure:
                # Of a table that is rebuilt, it says that one must run it again.
                if SWAPPED not in str(failure):
                    failures.append(str(failure))
                    return

    def run():
        logmill.run(logs, folder / "rollups")

    def maintain():
        logmill.call("maintain")

    changed = logs.with_name(f"{logs.name}-changed")
    changed.mkdir()
    (changed / "by_minute.sql").write_text(CHANGED)
    writers = [threading.Thread(target=again_and_again, args=[work]) for work in (run, run, maintain)]
    for writer in writers:
        writer.start()
    try:
        for number in range(1, LOG_FILES):
            put_log_file(logs, number)
            if number % CHANGE_EVERY == 0:
                logmill.call("rebuild", "--rollups", changed, "--logs", logs)
            elif number % CHANGE_EVERY == CHANGE_EVERY // 2 and number > CHANGE_EVERY:
                logmill.call("rollback", "by_minute", "--logs", logs)
            time.sleep(SECONDS_BETWEEN_LOG_FILES)
    finally:
        over.set()
        for writer in writers:
            writer.join()
    run()
    maintain()
    if failures:
        raise SystemExit("\n".join(failures))


def put_log_file(logs, number):
    """A log file with lines of several hours, so that every commit merges. Some lines are not log lines."""
    lines = []
    for line in range(LINES):
        hour, minute = 9 + (number + line) % HOURS, (7 * number + line) % 60
        fields = {
            "time": f"2026-11-20T{hour:02}:{minute:02}:00.000000Z", "client": f"192.0.2.{line}:41000",
            "sent_bytes": str(100 * number + line), "elb_status_code": str([200, 204, 404][line % 3]),
        }
        lines.append(awkward.text(awkward.DEFAULTS | fields) if (number + line) % 20 else "cut off")
    minute = 5 * (number % 12)
    hour = 9 + number // 12
    name = f"123456789012_elasticloadbalancing_us-east-2_app.shop.50dc6c495c0c9188_20261120T{hour:02}{minute:02}Z_10.0.1.7_{number:08x}.log.gz"
    # Written outside of the folder and then moved: a listed file that disappears would fail a run.
    part = logs.with_name(f"{logs.name}.part")
    part.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0))
    part.rename(logs / name)
