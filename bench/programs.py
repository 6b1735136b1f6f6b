"""The measured programs: their commands and results."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

import measure

BENCH = Path(__file__).resolve().parent
REPOSITORY = BENCH.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or Path.home() / ".cache/logmill/target").resolve()
PEERS_VENV = TARGET / "bench-venv"
THREADS = os.cpu_count()

# The query for the values that peers/check.py compares, by table. Sketches become numbers.
RESULTS = {
    "reference": "SELECT minute, event, country, elb_status_code, events, amount, sent_bytes, "
    "cardinality(users) AS users FROM reference",
    "failures": "SELECT minute, event, country, elb_status_code, events, amount, sent_bytes, "
    "cardinality(users) AS users FROM failures",
    "latency": "SELECT minute, target_group, status_class, requests, answered, received_bytes, slowest, "
    "CASE WHEN answered >= 100 THEN value_at_quantile(latency, 0.5) ELSE 0 END AS half FROM latency",
    "pages": "SELECT hour, page, views, amount, cardinality(users) AS users FROM pages",
    "purchases": "SELECT minute, country, purchases, amount, cardinality(users) AS users FROM purchases",
    "user_agents": "SELECT hour, user_agent, type, requests, failed, sent_bytes, first_seen, last_seen FROM user_agents",
}


@dataclass
class Program:
    name: str  # on the command line
    title: str  # in a table
    # The measured command, for a new output folder.
    command: Callable[[Path], list]
    # Extracts the results from that folder as a Parquet file per table. None if there is nothing to compare.
    results: Callable[[Path], dict[str, Path]] | None = None
    cwd: Path | None = None
    env: dict = field(default_factory=dict)


@dataclass
class Built:
    """A build: a folder with logmill, gunzip and stage."""

    folder: Path

    @property
    def logmill(self):
        return self.folder / "logmill"

    @property
    def gunzip(self):
        return self.folder / "gunzip"

    @property
    def stage(self):
        return self.folder / "stage"


def floor(built, logs, name="floor", title="decompression alone", threads=THREADS, decoder="flate2"):
    # With relative names: ten thousand absolute paths are too long for a command line.
    names = sorted(path.name for path in logs.glob("*.gz"))
    command = [built.gunzip, "--threads", threads, "--decoder", decoder, *names]
    return Program(name, title, lambda _: command, cwd=logs)


def logmill(built, logs, rollups, name="logmill", title="logmill", threads=THREADS, bucket=None, env=None):
    """`logmill run`. Tables are in the output folder or, with a bucket, in the bucket under the folder's name."""
    environment = env or {}
    tables = sorted(path.stem for path in rollups.glob("*.sql"))
    place = tables_in(bucket)

    def command(out):
        return [built.logmill, "run", logs, "--rollups", rollups, "--tables", place(out), "--threads", threads]

    def results(out):
        files = {}
        for table in tables:
            files[table] = out / f"{table}.parquet"
            query = [built.logmill, "query", RESULTS[table], "--tables", place(out)]
            measure.run([*query, "--format", "parquet", "--output", files[table]], out, env=environment)
        return files

    return Program(name, title, command, results, env=environment)


def stage(built, logs, rollups, name, title, bucket=None, env=None):
    """Only up to staging, on one thread."""
    place = tables_in(bucket)
    return Program(name, title, lambda out: [built.stage, rollups, place(out), logs], env=env or {})


def tables_in(bucket):
    """Returns a function from a run's output folder to the location of its tables."""
    return lambda out: f"{bucket}/{out.name}" if bucket else out / "tables"


def peers(logs):
    version = versions()

    def peer(name, title, *script):
        start = [PEERS_VENV / "bin/python", BENCH / "peers" / script[0], *script[1:], logs]
        return Program(
            name,
            title,
            lambda out: [*start, out / "result.parquet"],
            lambda out: {"reference": out / "result.parquet"},
        )

    return [
        peer("chdb-line", f"chDB {version['chdb']}, lines", "chdb_q.py", "line"),
        peer("chdb-csv", f"chDB {version['chdb']}, CSV", "chdb_q.py", "csv"),
        peer("datafusion", f"DataFusion for Python {version['datafusion']}", "dfpy.py"),
        peer("polars", f"Polars {version['polars']}, streaming", "pol.py"),
        peer("duckdb-one", f"DuckDB {version['duckdb']}, one expression", "duck.py", "one"),
        peer("duckdb-re", f"DuckDB {version['duckdb']}, four expressions", "duck.py", "re"),
    ]


def versions():
    """The installed version of each peer."""
    return dict(line.split("==") for line in (BENCH / "peers/requirements.txt").read_text().split())
