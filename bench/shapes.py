#!/usr/bin/env python3
"""Measures what the shapes of logs cost: the same lines as text, JSON, W3C and Parquet, read by logmill, DuckDB and Polars.

    python3 bench/shapes.py LOGMILL [--rounds 5] [--bytes 2.4e8]

compares all results with the expected ones, and prints a table: the CPU seconds of each program with each shape, and the
ratio to logmill. The deliveries hold all fields, as AWS writes them by default, all as texts. Python 3.11.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import measure
import programs
from preparation import Logs, install_peers, say
from programs import BENCH, PEERS_VENV, TARGET, THREADS, Built, Program
from scenarios import ROLLUPS, Scenario

SHAPES = {"text": "text, gzip", "json": "JSON, gzip", "w3c": "W3C with tabs, gzip", "parquet": "Parquet, snappy"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logmill", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bytes", type=float, default=2.4e8)
    arguments = parser.parse_args()
    install_peers()
    text = Logs(arguments.bytes).hour()
    folders = {shape: text if shape == "text" else made(text, shape) for shape in SHAPES}
    built = Built(arguments.logmill.resolve().parent)
    contenders = []
    for shape, logs in folders.items():
        contenders.append(programs.logmill(built, logs, ROLLUPS, f"logmill-{shape}"))
        contenders += [peer(name, script, shape, logs) for name, script in [("duckdb", "duck.py"), ("polars", "pol.py")]]
    scenario = Scenario("shapes", text, contenders)
    lines = scenario.check()["reference"]["lines"]
    costs = scenario.measure(arguments.rounds)
    print(f"\n{lines:,} lines, {THREADS} threads, medians of {arguments.rounds} rounds\n")
    print("| shape | MB | logmill, CPU s | DuckDB | Polars | DuckDB ÷ logmill | Polars ÷ logmill | logmill, peak MB |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for shape, logs in folders.items():
        ours, duckdb, polars = (costs[f"{name}-{shape}"] for name in ["logmill", "duckdb", "polars"])
        size = sum(path.stat().st_size for path in logs.iterdir()) / 1e6
        cpu = [measure.figure(cost, "cpu_s").text(".2f") for cost in [ours, duckdb, polars]]
        ratios = [measure.ratio(cost, ours, "cpu_s").text(".2f") for cost in [duckdb, polars]]
        peak = measure.figure(ours, "peak_mb").text(".0f")
        print(f"| {' | '.join([SHAPES[shape], f'{size:.0f}', *cpu, *ratios, peak])} |")


def made(text, shape):
    """The folder of the same lines in this shape. Written on first use."""
    folder = text.with_name(f"{text.name}-{shape}")
    if not folder.exists():
        say(f"writing {folder}")
        part = folder.with_name(folder.name + ".part")
        script = [PEERS_VENV / "bin/python", BENCH / "peers/reshape.py", shape, text, part]
        subprocess.run([str(word) for word in script], check=True)
        part.rename(folder)
    return folder


def peer(name, script, shape, logs):
    variant = "one" if (shape, name) == ("text", "duckdb") else shape
    start = [PEERS_VENV / "bin/python", BENCH / "peers" / script, variant, logs]
    return Program(
        f"{name}-{shape}",
        name,
        lambda out: [*start, out / "result.parquet"],
        lambda out: {"reference": out / "result.parquet"},
    )


if __name__ == "__main__":
    sys.exit(main())
