#!/usr/bin/env python3
"""Measures a flood of group keys: one hour's log file with many keys, staged and then committed, each in a separate process.

    python3 bench/flood.py LOGMILL [LOGMILL…] [--quick] [--minutes 10]

prints a table for each program: memory and time of staging, bytes staged, memory and time of the commit, and of a second commit
of one line. To compare versions, pass several programs. Linux only.
"""

import argparse
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LINE = (
    'https 2026-11-20T10:{minute:02}:00.000000Z app/shop/0 192.0.2.1:2817 10.0.0.1:80 0.001 0.020 0.000 200 200 34 366 '
    '"GET https://shop.example:443/ HTTP/1.1" "{key}" - - - "Root=1" "-" "-" 0 2026-11-20T10:00:00.000000Z "forward" "-" "-" '
    '"10.0.0.1:80" "200" "-" "-" TID_0\n'
)
NAME = "123456789012_elasticloadbalancing_us-east-2_app.shop.0_20261120T1005Z_10.0.0.{node}_r.log"

PLAIN = "count(*) AS requests, sum(sent_bytes) AS sent_bytes"
SKETCHES = PLAIN + ", approx_set(client_port) AS ports, tdigest_agg(target_processing_time) AS times"

# Keys, bytes of each, whether groups have sketches.
FLOODS = [
    (10_000, 30, False),
    (1_000_000, 30, False),
    (10_000_000, 30, False),
    (1_000_000, 30, True),
    (10_000, 8192, False),
    (300_000, 8192, False),
    (10_000, 8192, True),
]
QUICK = [(10_000, 30, False), (100_000, 30, True), (10_000, 8192, False)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", metavar="LOGMILL", nargs="+", type=Path, help="programs to measure")
    parser.add_argument("--quick", action="store_true", help="small floods")
    parser.add_argument("--minutes", type=float, default=10, help="how long a process may take")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flood-") as folder:
        for program in arguments.programs:
            print(f"\n{program}\n\n| keys | each | sketches | staging s | MB | staged MB | commit s | MB | one line more, s | MB |")
            print("|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|", flush=True)
            for flood in QUICK if arguments.quick else FLOODS:
                print(row(program.absolute(), Path(folder), *flood, arguments.minutes * 60), flush=True)


def row(program, folder, keys, size, sketches, patience):
    place = folder / "place"
    (place / "rollups").mkdir(parents=True)
    columns = SKETCHES if sketches else PLAIN
    (place / "rollups" / "keys.sql").write_text(
        f"SELECT date_trunc('hour', from_iso8601_timestamp(time)) AS hour, user_agent, {columns} FROM alb_access_logs GROUP BY 1, 2"
    )
    # The table is created first, so that its lease can be held.
    write(place / "first", 1, 1, 30)
    cost(program, place, "first", patience)
    write(place / "flood", 2, keys, size)
    lease = open(place / "tables" / "keys" / "_lease", "rb+")
    fcntl.flock(lease, fcntl.LOCK_EX)
    staging = cost(program, place, "flood", patience, until_staged=True)
    staged = sum(file.stat().st_size for file in (place / "tables" / "keys" / "_staging").rglob("*.parquet"))
    lease.close()
    commit = cost(program, place, "flood", patience) if staged else "-"
    write(place / "more", 3, 1, 30)
    more = cost(program, place, "more", patience) if staged else "-"
    shutil.rmtree(place)
    is_kept = "yes" if sketches else "no"
    shown = [f"{keys:,}", f"{size:,} B", is_kept, *split(staging), f"{staged / 1e6:.1f}", *split(commit), *split(more)]
    return f"| {' | '.join(shown)} |"


def split(figures):
    if isinstance(figures, str):
        return [figures, "-"]
    seconds, megabytes = figures
    return [f"{seconds:.2f}", f"{megabytes:.0f}"]


def write(logs, node, keys, size):
    logs.mkdir()
    with open(logs / NAME.format(node=node), "w") as out:
        for number in range(keys):
            # Unordered keys that compress badly.
            key = os.urandom(size // 2).hex() if size > 1000 else f"{number * 2654435761 % 2**64:020x}{node:010}"
            out.write(LINE.format(minute=number % 60, key=key))


def cost(program, place, logs, patience, until_staged=False):
    """Seconds and peak memory of a run, or until its log file is staged if it can't commit."""
    began = time.monotonic()
    with open(place / "log", "w+b") as log:
        child = subprocess.Popen(
            [program, "run", place / logs, "--rollups", place / "rollups", "--tables", place / "tables"], stdout=log, stderr=log
        )
        peak = 0
        while child.poll() is None:
            time.sleep(0.01)
            peak = max(peak, memory(child.pid))
            took = time.monotonic() - began
            if until_staged and any((place / "tables" / "keys" / "_staging").rglob("*.parquet")):
                child.send_signal(signal.SIGKILL)
                child.wait()
                return took, peak
            if took > patience:
                child.kill()
                child.wait()
                return f"not in {patience:.0f}"
        if child.returncode:
            log.seek(0)
            print(log.read().decode(errors="replace")[-400:], file=sys.stderr)
            return "failed"
    return time.monotonic() - began, peak


def memory(pid):
    """The peak memory of a process, in MB."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0")
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    sys.exit(main())
