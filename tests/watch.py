"""Watches tables on S3 while they are written: four readers look again and again. When standard input is closed they
look once more. Then the versions of each table are worked out from Delta's log alone, and every total that a
reader has seen must be one that some version had; none may go back in time, fail, or miss the end.

    AWS_ENDPOINT_URL=http://127.0.0.1:4566 … python3 tests/watch.py LOGMILL s3://BUCKET/TABLES
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

import deltalake
import duckdb
import polars
import pyarrow.compute
import pyarrow.fs
import pyarrow.parquet

from checks import Checks
from readers import delta_extension

# What is totalled: a version's total is its number of rows and the sum of this column over them.
TABLES = {"by_minute": "requests", "every_row": "sent_bytes"}

# A reader that has looked less often has hardly been there.
FEWEST_LOOKS = 10

# Seconds between two looks, for the writers to get on meanwhile.
PAUSE = 0.5

ENDPOINT = urlsplit(os.environ["AWS_ENDPOINT_URL"])
STORAGE = {
    "AWS_ENDPOINT_URL": ENDPOINT.geturl(),
    "AWS_ALLOW_HTTP": "true",
    "AWS_ACCESS_KEY_ID": os.environ["AWS_ACCESS_KEY_ID"],
    "AWS_SECRET_ACCESS_KEY": os.environ["AWS_SECRET_ACCESS_KEY"],
    "AWS_REGION": os.environ["AWS_REGION"],
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logmill", help="the program")
    parser.add_argument("tables", help="where the tables are")
    arguments = parser.parse_args()

    over = threading.Event()
    readers = [reader(arguments) for reader in (Logmill, Deltalake, Polars, DuckDB)]
    watches = [Watch(reader, table) for reader in readers for table in TABLES]
    threads = [threading.Thread(target=watch.run, args=[over]) for watch in watches]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    over.set()
    for thread in threads:
        thread.join()

    checks = Checks()
    for table in TABLES:
        history = History(arguments.tables, table)
        check_history(checks, history)
        for watch in watches:
            if watch.table == table:
                check_watch(checks, watch, history)
    return checks.close()


# ---- readers ---------------------------------------------------------------------------------------------------------


class Logmill:
    def __init__(self, arguments):
        self.program, self.tables = arguments.logmill, arguments.tables

    def total(self, table, column):
        sql = f"SELECT count(*), coalesce(sum({column}), 0) FROM {table}"
        command = [self.program, "query", sql, "--tables", self.tables, "--format", "csv"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"ended with {done.returncode}: {done.stderr}")
        _, row = csv.reader(done.stdout.splitlines())
        return tuple(map(int, row))


class Deltalake:
    def __init__(self, arguments):
        self.tables = arguments.tables

    def total(self, table, column):
        read = deltalake.DeltaTable(f"{self.tables}/{table}", storage_options=STORAGE)
        return total(read.to_pyarrow_table(columns=[column])[column])


class Polars:
    def __init__(self, arguments):
        self.tables = arguments.tables

    def total(self, table, column):
        read = polars.scan_delta(f"{self.tables}/{table}", storage_options=STORAGE)
        return read.select(polars.len(), polars.col(column).sum()).collect().row(0)


class DuckDB:
    def __init__(self, arguments):
        self.tables = arguments.tables

    def total(self, table, column):
        db = duckdb.connect()
        db.execute("SET autoinstall_known_extensions = false")
        for name in ("httpfs", "delta"):
            db.execute(f"LOAD '{delta_extension().with_name(name)}.duckdb_extension'")
        db.execute(
            "CREATE SECRET (TYPE s3, KEY_ID $1, SECRET $2, REGION $3, ENDPOINT $4, URL_STYLE 'path', USE_SSL false)",
            [STORAGE["AWS_ACCESS_KEY_ID"], STORAGE["AWS_SECRET_ACCESS_KEY"], STORAGE["AWS_REGION"], ENDPOINT.netloc],
        )
        sql = f"SELECT count(*), coalesce(sum({column}), 0) FROM delta_scan($1)"
        return db.execute(sql, [f"{self.tables}/{table}"]).fetchone()


def total(column):
    return len(column), pyarrow.compute.sum(column, min_count=0).as_py()


# ---- what they see ---------------------------------------------------------------------------------------------------


@dataclass
class Watch:
    """One reader, looking at one table."""

    reader: object
    table: str
    totals: list = field(default_factory=list)
    failures: list = field(default_factory=list)

    def run(self, over):
        store, folder = place(self.reader.tables, self.table)
        first = f"{folder}/_delta_log/{0:020}.json"
        # Before there is a table nobody can read it, and each reader says so in its own way.
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
    checks.check(f"{watch.table}: {reader} looked {len(totals)} times without a failure", watch.failures)
    known = set(history.totals)
    foreign = [f"{total}: {count} times" for total, count in seen.items() if total not in known]
    checks.check(f"{watch.table}: {reader} saw {len(seen)} totals, each of which some version had", foreign)
    back = [f"{after} after {before}" for before, after in zip(totals, totals[1:]) if after < before]
    checks.check(f"{watch.table}: {reader} never saw an older version after a newer one", back)
    checks.equal(f"{watch.table}: {reader} saw the last version", totals[-1:], history.totals[-1:])
    few = [] if len(totals) >= FEWEST_LOOKS and len(seen) > 1 else [f"{len(totals)} looks, {len(seen)} totals"]
    checks.check(f"{watch.table}: {reader} looked often enough to see it change", few)


# ---- what was there to be seen ---------------------------------------------------------------------------------------


class History:
    """The total of each version of a table, from Delta's log and the data files that it names."""

    def __init__(self, tables, table):
        self.table = table
        self.store, self.folder = place(tables, table)
        self.versions, self.totals, self.problems = [], [], []
        self.known = {}
        live = {}
        for version, actions in self.log():
            for action in actions:
                if "remove" in action:
                    path = action["remove"]["path"]
                    if live.pop(path, None) is None:
                        self.problems.append(f"version {version} removes what is not there: {path}")
            for action in actions:
                if "add" in action:
                    path = action["add"]["path"]
                    if path in live:
                        self.problems.append(f"version {version} adds what is there: {path}")
                    live[path] = self.file_total(action["add"])
            self.versions.append(version)
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
                self.problems.append(f"{path} is said to have {said} rows: {self.known[path][0]}")
        return self.known[path]

    def read(self, path):
        with self.store.open_input_stream(path) as stream:
            return stream.read()


def check_history(checks, history):
    name = f"{history.table}: {len(history.versions)} versions"
    checks.equal(f"{name}, none missing", history.versions, list(range(len(history.versions))))
    checks.check(f"{name}, each made from the one before it", history.problems)
    back = [f"{after} after {before}" for before, after in zip(history.totals, history.totals[1:]) if after < before]
    checks.check(f"{name}, none with less than the one before it", back)


def place(tables, table):
    """Where a table is, for pyarrow: it is no reader of Delta tables, and so says nothing but what is there."""
    store = pyarrow.fs.S3FileSystem(
        access_key=STORAGE["AWS_ACCESS_KEY_ID"],
        secret_key=STORAGE["AWS_SECRET_ACCESS_KEY"],
        region=STORAGE["AWS_REGION"],
        scheme=ENDPOINT.scheme,
        endpoint_override=ENDPOINT.netloc,
    )
    return store, f"{tables.removeprefix('s3://')}/{table}"


if __name__ == "__main__":
    sys.exit(main())
