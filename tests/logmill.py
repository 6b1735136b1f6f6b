"""Runs the program under test, as a user does."""

import subprocess
import tempfile
from pathlib import Path

import pyarrow.parquet


class Logmill:
    def __init__(self, binary, tables):
        self.binary = Path(binary).resolve()
        self.tables = tables if str(tables).startswith("s3://") else Path(tables).resolve()

    def call(self, *arguments):
        """Runs a command over the tables. If it fails, the test ends."""
        command = [self.binary, *arguments, "--tables", self.tables]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"logmill {arguments[0]} ended with {done.returncode}:\n{done.stdout}{done.stderr}")

    def run(self, logs, rollups):
        self.call("run", logs, "--rollups", rollups)

    def query(self, sql):
        return self.rows("query", sql)

    def groups(self, rollup):
        """The name of the table under a rollup, which a view may hide."""
        command = [self.binary, "query", f"SELECT 1 FROM {rollup}_groups LIMIT 0", "--tables", self.tables]
        done = subprocess.run(list(map(str, command)), capture_output=True, check=False)
        return rollup if done.returncode else f"{rollup}_groups"

    def files(self):
        return self.rows("files")

    def rows(self, *arguments):
        """The output of a command, as an Arrow table."""
        with tempfile.TemporaryDirectory() as folder:
            answer = Path(folder, "answer.parquet")
            self.call(*arguments, "--format", "parquet", "--output", answer)
            return pyarrow.parquet.read_table(answer)
