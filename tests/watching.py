"""Reads tables repeatedly while they are written, and checks what was read.

The versions of each table are computed from Delta's log alone. Every total that a reader has seen must be the total of some
version; no reader may go back in time, fail, or miss the last version. Each version must have exactly the lines of the log files
in its ledger: a log file is counted completely or not at all.
"""

import json
import os
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import pyarrow.compute
import pyarrow.fs
import pyarrow.parquet

# A version's total is its number of rows and the sum of this column.
TABLES = {"by_minute": "requests", "every_row": "sent_bytes"}

# Which of the two is the number of lines.
LINES = {"by_minute": 1, "every_row": 0}

# A reader with fewer reads has not tested much.
FEWEST_LOOKS = 10

# Seconds between two reads, so that the writers can progress.
PAUSE = 0.5


def watch(readers, write):
    """Lets the readers read the tables while `write` runs, and once more afterwards. Returns what each has seen."""
    over = threading.Event()
    watches = [Watch(reader, table) for reader in readers for table in TABLES]
    threads = [threading.Thread(target=watch.run, args=[over]) for watch in watches]
    for thread in threads:
        thread.start()
    try:
        write()
    finally:
        over.set()
        for thread in threads:
            thread.join()
    return watches


def check(checks, tables, watches):
    """Returns the history of each table."""
    histories = [History(tables, table) for table in TABLES]
    for history in histories:
        check_history(checks, history)
        for watch in watches:
            if watch.table == history.table:
                check_watch(checks, watch, history)
    return histories


def total(column):
    return len(column), pyarrow.compute.sum(column, min_count=0).as_py()


# ---- readers ---------------------------------------------------------------------------------------------------------


@dataclass
class Watch:
    """One reader of one table."""

    reader: object
    table: str
    totals: list = field(default_factory=list)
    failures: list = field(default_factory=list)

    def run(self, over):
        store, folder = place(self.reader.tables, self.table)
        first = f"{folder}/_delta_log/{0:020}.json"
        # Before the table exists, each reader fails in its own way.
        while not over.is_set() and store.get_file_info(first).type == pyarrow.fs.FileType.NotFound:
            time.sleep(0.1)
        last = False
        while not last:
            last = over.wait(PAUSE)
            try:
                self.totals.append(tuple(map(int, self.reader.total(self.table, TABLES[self.table]))))
            except Exception as failure:
                self.failures.append(f"look {len(self.totals)}: {type(failure).__name__}: {failure}")


def check_watch(checks, watch, history):
    reader, totals = type(watch.reader).__name__, watch.totals
    seen = Counter(totals)
    checks.check(f"{watch.table}: {reader} read {len(totals)} times without a failure", watch.failures)
    known = set(history.totals)
    foreign = [f"{total}: {count} times" for total, count in seen.items() if total not in known]
    checks.check(f"{watch.table}: {reader} saw {len(seen)} totals, each of some version", foreign)
    back = [f"{after} after {before}" for before, after in zip(totals, totals[1:]) if after < before]
    checks.check(f"{watch.table}: {reader} never saw an older version after a newer one", back)
    checks.equal(f"{watch.table}: {reader} saw the last version", totals[-1:], history.totals[-1:])
    few = [] if len(totals) >= FEWEST_LOOKS and len(seen) > 1 else [f"{len(totals)} looks, {len(seen)} totals"]
    checks.check(f"{watch.table}: {reader} read often enough to see changes", few)


# ---- expected results ------------------------------------------------------------------------------------------------


class History:
    """The total of each version of a table, from Delta's log and its data files."""

    def __init__(self, tables, table):
        self.table = table
        self.store, self.folder = place(tables, table)
        self.versions, self.totals, self.problems = [], [], []
        # The lines and log files in the ledger of each version.
        self.counted = []
        self.packings = self.swaps = 0
        self.known = {}
        # The folder of the live generation.
        self.generation = ""
        live, counted = {}, (0, 0)
        for version, actions in self.log():
            for action in actions:
                if "remove" in action:
                    path = action["remove"]["path"]
                    if live.pop(path, None) is None:
                        self.problems.append(f"version {version} removes a file that is not in the table: {path}")
            for action in actions:
                if "add" in action:
                    path = action["add"]["path"]
                    if path in live:
                        self.problems.append(f"version {version} adds a file that is already in the table: {path}")
                    live[path] = self.file_total(action["add"])
                if action.get("commitInfo", {}).get("operation") == "OPTIMIZE":
                    self.packings += 1
                if "metaData" in action:
                    generation = action["metaData"]["configuration"].get("logmill.folder", "")
                    self.swaps += generation != self.generation
                    self.generation = generation
                if "txn" in action:
                    counted = self.ledger(action["txn"]["version"])
            self.versions.append(version)
            self.counted.append(counted)
            self.totals.append((sum(rows for rows, _ in live.values()), sum(sums for _, sums in live.values())))

    def log(self):
        selector = pyarrow.fs.FileSelector(f"{self.folder}/_delta_log")
        for file in sorted(self.store.get_file_info(selector), key=lambda file: file.path):
            number, _, kind = file.base_name.partition(".")
            if kind == "json" and number.isdigit():
                lines = self.read(file.path).decode().splitlines()
                yield int(number), [json.loads(line) for line in lines]

    def file_total(self, add):
        path = add["path"]
        if path not in self.known:
            with self.store.open_input_file(f"{self.folder}/{unquote(path)}") as file:
                self.known[path] = total(pyarrow.parquet.read_table(file, columns=[TABLES[self.table]])[0])
            said = json.loads(add["stats"])["numRecords"]
            if said != self.known[path][0]:
                self.problems.append(f"{path}: the log says {said} rows, the file has {self.known[path][0]}")
        return self.known[path]

    def ledger(self, version):
        """The accepted lines of the log files of this manifest, and the number of log files."""
        shards = [f"{entry['shard']}/{entry['object']}.parquet" for entry in self.ledger_rows(f"{version}.parquet")]
        log_files = [log_file for shard in shards for log_file in self.ledger_rows(shard)]
        return sum(log_file["lines"] - log_file["rejected_lines"] for log_file in log_files), len(log_files)

    def ledger_rows(self, path):
        path = "/".join(part for part in (self.folder, self.generation, "_ledger", path) if part)
        if path not in self.known:
            with self.store.open_input_file(path) as file:
                self.known[path] = pyarrow.parquet.read_table(file).to_pylist()
        return self.known[path]

    def read(self, path):
        with self.store.open_input_stream(path) as stream:
            return stream.read()


def check_history(checks, history):
    name = f"{history.table}: {len(history.versions)} versions"
    checks.equal(f"{name}, {history.packings} of them packings, none missing", history.versions, list(range(len(history.versions))))
    checks.check(f"{name}, each based on the one before it", history.problems)
    lines = [total[LINES[history.table]] for total in history.totals]
    other = [f"{got} lines of {files} log files with {expected}" for got, (expected, files) in zip(lines, history.counted) if got != expected]
    checks.check(f"{name}, each with the lines of the log files in its ledger, at last {history.counted[-1][1]}", other)
    back = [f"{after} after {before}" for before, after in zip(history.totals, history.totals[1:]) if after < before]
    checks.check(f"{name}, none with less than the one before it", back)


def place(tables, table):
    """The location of a table for pyarrow, which does not interpret Delta tables and so reports only the files."""
    if not tables.startswith("s3://"):
        return pyarrow.fs.LocalFileSystem(), f"{tables}/{table}"
    endpoint = urlsplit(os.environ["AWS_ENDPOINT_URL"])
    store = pyarrow.fs.S3FileSystem(
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        region=os.environ["AWS_REGION"],
        scheme=endpoint.scheme,
        endpoint_override=endpoint.netloc,
    )
    return store, f"{tables.removeprefix('s3://')}/{table}"
