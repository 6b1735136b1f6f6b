#!/usr/bin/env python3
"""Measures logmill against the bare decompression of its input and against peers, and prints a Markdown table.

    python3 bench/run.py [--data FOLDER] [--rounds 5] [--only floor,logmill] [--output FILE]

Builds logmill, makes the data and installs the peers if they are not there yet. No program is timed before the
results of all have been compared. See bench/README.md. Python 3.11, standard library only.
"""

import argparse
import gzip
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

BENCH = Path(__file__).resolve().parent
REPOSITORY = BENCH.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or Path.home() / ".cache/logmill/target").resolve()
VENV = TARGET / "bench-venv"
THREADS = os.cpu_count()
ENVIRONMENT = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # the repository stays clean

USERS_AS_NUMBERS = (
    "SELECT minute, event, country, elb_status_code, events, amount, sent_bytes, cardinality(users) AS users "
    "FROM reference"
)


@dataclass
class Program:
    name: str  # on the command line
    title: str  # in the table
    # The command to time, given the folder of logs and a fresh folder to write to.
    command: Callable[[Path, Path], list]
    # Brings the result out of that folder as one Parquet file; the floor has none.
    result: Callable[[Path], Path] | None = None


def programs():
    def floor(data, _):
        return [TARGET / "release/examples/gunzip", "--threads", THREADS, *sorted(data.glob("*.gz"))]

    def logmill(data, out):
        return [TARGET / "release/logmill", "run", data, "--rollups", BENCH / "rollups", "--tables", out / "tables"]

    def query(out):
        result = out / "result.parquet"
        binary = TARGET / "release/logmill"
        tables = ["--tables", out / "tables"]
        run([binary, "query", USERS_AS_NUMBERS, *tables, "--format", "parquet", "--output", result], out)
        return result

    def peer(name, title, *script):
        start = [VENV / "bin/python", BENCH / "peers" / script[0], *script[1:]]
        return Program(
            name,
            title,
            lambda data, out: [*start, data, out / "result.parquet"],
            lambda out: out / "result.parquet",
        )

    version = dict(line.split("==") for line in (BENCH / "peers/requirements.txt").read_text().split())
    return [
        Program("floor", "decompression alone", floor),
        Program("logmill", "logmill", logmill, query),
        peer("chdb-line", f"chDB {version['chdb']}, lines", "chdb_q.py", "line"),
        peer("chdb-csv", f"chDB {version['chdb']}, CSV", "chdb_q.py", "csv"),
        peer("datafusion", f"DataFusion for Python {version['datafusion']}", "dfpy.py"),
        peer("polars", f"Polars {version['polars']}, streaming", "pol.py"),
        peer("duckdb-one", f"DuckDB {version['duckdb']}, one expression", "duck.py", "one"),
        peer("duckdb-re", f"DuckDB {version['duckdb']}, four expressions", "duck.py", "re"),
    ]


# ---- what must be there first --------------------------------------------------------------------------------


def install_peers():
    """The venv, anew if the requirements are not those that it was made from."""
    wanted = (BENCH / "peers/requirements.txt").read_text()
    made_from = VENV / "requirements.txt"
    if made_from.exists() and made_from.read_text() == wanted:
        return
    say(f"installing the peers in {VENV}")
    shutil.rmtree(VENV, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    install = ["-m", "pip", "install", "--quiet", "-r", BENCH / "peers/requirements.txt"]
    subprocess.run([VENV / "bin/python", *install], check=True)
    made_from.write_text(wanted)


def generate(data):
    if any(data.glob("*.gz")):
        return
    say(f"generating logs in {data}")
    # Under another name until it is whole, so that half a data set is never taken for one.
    part = data.with_name(data.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    subprocess.run([sys.executable, BENCH / "generate.py", part], check=True)
    if data.exists():
        data.rmdir()
    part.rename(data)


def build():
    say("building logmill")
    command = "cargo build --release -p logmill --bin logmill --example gunzip".split()
    subprocess.run(command, cwd=REPOSITORY, env={**os.environ, "CARGO_TARGET_DIR": str(TARGET)}, check=True)


# ---- measuring -----------------------------------------------------------------------------------------------


@dataclass
class Cost:
    cpu_s: float
    wall_s: float
    peak_mb: float


def run(command, folder):
    """Runs the command to its end and returns what it cost; the end of this program if it fails."""
    log = folder / "log"
    with open(log, "wb") as output:
        began = time.monotonic()
        child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=ENVIRONMENT,
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.monotonic() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        text = log.read_text(errors="replace")
        sys.exit(f"{text[-4000:]}\nexit code {child.returncode}: {' '.join(child.args)[:1000]}")
    unit = 1 if platform.system() == "Darwin" else 1024  # of ru_maxrss
    return Cost(usage.ru_utime + usage.ru_stime, wall_s, usage.ru_maxrss * unit / 1e6)


def in_fresh_folder(program, data, keep=None):
    """Runs the program once; its result goes to the folder `keep`, if given, and all else is removed."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=TARGET) as folder:
        out = Path(folder)
        cost = run(program.command(data, out), out)
        if keep and program.result:
            shutil.move(program.result(out), keep / f"{program.name}.parquet")
    return cost


def check(chosen, data):
    """Runs each once, which also brings the logs into the page cache, and ends here if results differ."""
    with tempfile.TemporaryDirectory(prefix="bench-check-", dir=TARGET) as folder:
        results = Path(folder)
        for program in chosen:
            say(f"running {program.name} for its result")
            in_fresh_folder(program, data, keep=results)
        say("comparing")
        command = [VENV / "bin/python", BENCH / "peers/check.py", data, *sorted(results.glob("*.parquet"))]
        compared = subprocess.run(command, stdout=sys.stderr, env=ENVIRONMENT)
        if compared.returncode != 0:
            sys.exit("results differ: nothing to measure")


def measure(chosen, data, rounds):
    """In turn, A B C A B C, so that a slow minute of the machine falls on all of them."""
    costs = {program.name: [] for program in chosen}
    for number in range(1, rounds + 1):
        for program in chosen:
            cost = in_fresh_folder(program, data)
            costs[program.name].append(cost)
            say(f"round {number}: {program.name} {cost.cpu_s:.2f} CPU s, {cost.wall_s:.2f} s, {cost.peak_mb:.0f} MB")
    return costs


# ---- the table -----------------------------------------------------------------------------------------------


def sizes(data):
    """Number of files, bytes of gzip, bytes of text."""
    files = sorted(data.glob("*.gz"))
    text = 0
    for path in files:
        with gzip.open(path) as file:
            while chunk := file.read(1 << 16):
                text += len(chunk)
    return len(files), sum(path.stat().st_size for path in files), text


def table(chosen, costs, data, rounds):
    files, packed, text = sizes(data)
    cpu_s = {name: statistics.median(cost.cpu_s for cost in runs) for name, runs in costs.items()}
    lines = [
        f"{files} files, {packed / 1e6:,.0f} MB of gzip, {text / 1e6:,.0f} MB of text; "
        f"medians of {rounds} rounds; {THREADS} CPUs, {platform.machine()}.",
        "",
        "| program | CPU s (min–max) | wall s | peak MB | × decompression | MB/s of text per core |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for program in chosen:
        runs, median = costs[program.name], cpu_s[program.name]
        spread = f"{min(cost.cpu_s for cost in runs):.2f}–{max(cost.cpu_s for cost in runs):.2f}"
        wall_s = statistics.median(cost.wall_s for cost in runs)
        peak_mb = statistics.median(cost.peak_mb for cost in runs)
        ratio = f"{median / cpu_s['floor']:.2f}" if "floor" in cpu_s else "–"
        speed = text / 1e6 / median
        lines.append(
            f"| {program.title} | {median:.2f} ({spread}) | {wall_s:.2f} | {peak_mb:.0f} | {ratio} | {speed:.0f} |"
        )
    return "\n".join(lines) + "\n"


def say(what):
    print(what, file=sys.stderr, flush=True)


def choose(only):
    """Programs by name, or by the name's first part: `duckdb` is `duckdb-one` and `duckdb-re`."""
    known = programs()
    if only is None:
        return known
    wanted = set(only.split(","))
    chosen = [program for program in known if {program.name, program.name.split("-")[0]} & wanted]
    found = {name for program in chosen for name in (program.name, program.name.split("-")[0])}
    if wanted - found:
        sys.exit(f"no such program: {', '.join(sorted(wanted - found))}; there are {', '.join(p.name for p in known)}")
    return chosen


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--data", type=Path, default=TARGET / "bench-logs", help="logs; generated if there are none")
    arguments.add_argument("--rounds", type=int, default=5, help="0 only compares the results")
    arguments.add_argument("--only", help="names of programs, with commas between")
    arguments.add_argument("--output", type=Path, help="write the table to this file, too")
    given = arguments.parse_args()

    chosen = choose(given.only)
    data = given.data.resolve()
    TARGET.mkdir(parents=True, exist_ok=True)
    install_peers()
    generate(data)
    if any(program.name in ("floor", "logmill") for program in chosen):
        build()

    check(chosen, data)
    if given.rounds < 1:
        return
    costs = measure(chosen, data, given.rounds)
    result = table(chosen, costs, data, given.rounds)
    print(result, end="")
    if given.output:
        given.output.write_text(result)


if __name__ == "__main__":
    main()
