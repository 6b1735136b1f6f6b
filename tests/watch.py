"""Watches tables on S3 while they are written: four readers read them repeatedly. When standard input is closed, they
read once more, and the results are checked (see watching.py).

    AWS_ENDPOINT_URL=http://127.0.0.1:4566 … python3 tests/watch.py LOGMILL s3://BUCKET/TABLES
"""

import argparse
import csv
import os
import subprocess
import sys
from urllib.parse import urlsplit

import deltalake
import duckdb
import polars

import watching
from checks import Checks
from readers import delta_extension

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

    readers = [reader(arguments) for reader in (Logmill, Deltalake, Polars, DuckDB)]
    watches = watching.watch(readers, sys.stdin.read)
    checks = Checks()
    watching.check(checks, arguments.tables, watches)
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
        return watching.total(read.to_pyarrow_table(columns=[column])[column])


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


if __name__ == "__main__":
    sys.exit(main())
